"""Losses: numbers that training makes small.

:data:`LOSSES` holds those of an output and its target by name. The others need more than these two images: scores of a
critic (:data:`ADVERSARIALS`, :func:`gradient_penalty`), its features (:func:`perceptual_generator`), a trained network
(:class:`FeatureLoss`), a latent vector (:func:`kl`). Cycle, identity and paired losses are ``l1`` between other images.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from napari_cellrestore.losses.adversarial import ADVERSARIALS, Adversarial, bce, gradient_penalty
from napari_cellrestore.losses.features import COMPARISONS, FEATURE_NETWORKS, FeatureLoss
from napari_cellrestore.losses.frequency import fourier
from napari_cellrestore.losses.images import Loss
from napari_cellrestore.losses.latent import kl
from napari_cellrestore.losses.perceptual_adversarial import perceptual_discriminator, perceptual_generator
from napari_cellrestore.losses.pixel import l1, mse, rmse
from napari_cellrestore.losses.structure import focus, ssim

__all__ = [
    "LOSSES",
    "Loss",
    "weighted",
    "ADVERSARIALS",
    "Adversarial",
    "bce",
    "gradient_penalty",
    "perceptual_discriminator",
    "perceptual_generator",
    "COMPARISONS",
    "FEATURE_NETWORKS",
    "FeatureLoss",
    "kl",
]

#: Every loss of output and target by name: (N, C, Y, X) in -1..1 each, one number of float32 or better.
LOSSES: dict[str, Loss] = {"l1": l1, "mse": mse, "rmse": rmse, "ssim": ssim, "fourier": fourier, "focus": focus}


def weighted(weights: dict[str, float]) -> Callable[[Tensor, Tensor], tuple[Tensor, dict[str, Tensor]]]:
    """Return a function giving the weighted sum of named losses and each of them unweighted.

    Examples
    --------
    >>> total, parts = weighted({"l1": 10.0, "mse": 2.0})(torch.full((1, 3, 4, 4), 0.5), torch.zeros(1, 3, 4, 4))
    >>> float(total), {name: float(part) for name, part in parts.items()}
    (5.5, {'l1': 0.5, 'mse': 0.25})
    """
    if not weights:
        raise ValueError(f"no losses to weigh: give weights of one or more of {', '.join(LOSSES)}")
    if unknown := sorted(set(weights) - set(LOSSES)):
        raise ValueError(f"no losses {unknown}; known are {', '.join(LOSSES)}")

    def total(output: Tensor, target: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        parts = {name: LOSSES[name](output, target) for name in weights}
        return torch.stack([weight * parts[name] for name, weight in weights.items()]).sum(), parts

    return total
