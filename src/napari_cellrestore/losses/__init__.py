"""Losses: numbers that training makes small.

:data:`LOSSES` holds those of an output and its target by name. The others need more than these two images: scores of a
critic (:data:`ADVERSARIALS`, :func:`gradient_penalty`), its features (:func:`perceptual_generator`), a trained network
(:class:`FeatureLoss`), a latent vector (:func:`kl`). Cycle, identity and paired losses are ``l1`` between other images.
"""

from __future__ import annotations

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
