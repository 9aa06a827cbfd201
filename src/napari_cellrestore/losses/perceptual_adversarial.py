"""Perceptual adversarial losses: a critic's hidden layers compare generated and true images (PAN).

Beside these stand the adversarial losses of :data:`napari_cellrestore.losses.ADVERSARIALS` with a weight theta (Olofsson &
Wagnström 2019, equations 4.3 and 4.4; their weights are in table 4.2).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from napari_cellrestore.losses.images import at_least_single


def perceptual_generator(fake: Sequence[Tensor], real: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """Return the weighted difference of the critic's features ``sum_i lambda_i mean|H_i(Y) - H_i(Yhat)|``.

    Olofsson & Wagnström 2019, equation 4.1, after Wang et al. 2018. The source prints the 1-norm, a sum; the mean, which
    Wang et al. take, does not depend on the sizes of image and layer.

    Parameters
    ----------
    fake, real : sequences of (N, ...) tensors
        Hidden layers of the critic for generated and for true images.
    weights : sequence of float
        Lambda, one a layer; (100, 1, 1, 1) in the source for layers 1, 4, 6, 8.

    Examples
    --------
    >>> round(float(perceptual_generator([torch.zeros(1, 2)], [torch.tensor([[1.0, 2.0]])], [10.0])), 4)
    15.0
    """
    return _distances(fake, real, weights).mean()


def perceptual_discriminator(
    fake: Sequence[Tensor], real: Sequence[Tensor], weights: Sequence[float], margin: float
) -> Tensor:
    """Return what the critic's features lack to tell each pair apart by a margin: ``max(0, m - sum_i lambda_i P_i)``.

    Olofsson & Wagnström 2019, equation 4.2: for each pair, averaged over pairs. They do not tell their margin.

    Parameters
    ----------
    fake, real, weights
        As in :func:`perceptual_generator`; the source's weights are (5, 1.5, 1.5, 5).
    margin : float
        Above 0.

    Examples
    --------
    >>> round(float(perceptual_discriminator([torch.zeros(1, 2)], [torch.tensor([[1.0, 2.0]])], [2.0], margin=4.0)), 4)
    1.0
    """
    if not margin > 0:
        raise ValueError(f"the margin is {margin}: give a number above 0, or the critic learns nothing from it")
    return torch.relu(margin - _distances(fake, real, weights)).mean()


def _distances(fake: Sequence[Tensor], real: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """Return the weighted sum over layers for each pair, (N,)."""
    if not len(fake) == len(real) == len(weights) or not weights:
        raise ValueError(
            f"{len(fake)} layers of generated images, {len(real)} of true ones and {len(weights)} weights: give as many of each"
        )
    distances = []
    for ours, true, weight in zip(fake, real, weights, strict=True):
        if ours.shape != true.shape:
            raise ValueError(
                f"features have shapes {tuple(ours.shape)} and {tuple(true.shape)}: give those of paired images"
            )
        distances.append(weight * (at_least_single(ours) - at_least_single(true)).abs().flatten(1).mean(1))
    return torch.stack(distances).sum(0)
