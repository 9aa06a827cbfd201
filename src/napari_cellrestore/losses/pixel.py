"""Differences of pixels."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from napari_cellrestore.losses.images import checked


def l1(output: Tensor, target: Tensor) -> Tensor:
    """Mean absolute difference ``mean|Yhat - Y|`` over images, colours and pixels.

    Cycle, identity and paired losses are this one between other images (Jönsson & Sjöstrand 2018, equations 21, 22, 24).
    Their equations, and that of Olofsson & Wagnström 2019 (4.1), print the norm, a sum; a mean does not grow with the image,
    as in Wulff 2022 (2.7).

    >>> float(l1(torch.zeros(1, 3, 4, 4), torch.full((1, 3, 4, 4), 0.5)))
    0.5
    """
    return functional.l1_loss(*checked(output, target, "l1"))


def mse(output: Tensor, target: Tensor) -> Tensor:
    """Mean of squared differences ``mean (Yhat - Y)^2`` over images, colours and pixels.

    Differs from Wulff 2022, whose equation 2.8 prints ``||Y - Yhat||_2 / N``, the root of the sum: the name and the mean of
    squares are what is meant.

    >>> float(mse(torch.zeros(1, 3, 4, 4), torch.full((1, 3, 4, 4), 0.5)))
    0.25
    """
    return functional.mse_loss(*checked(output, target, "mse"))


def rmse(output: Tensor, target: Tensor) -> Tensor:
    """Root of the mean squared difference of each image, averaged over images; never below 0.001.

    Weighs images that are nearly sharp as much as strongly blurred ones, which a plain mean of squares lets go:
    a model must not spoil what is in focus.

    >>> float(rmse(torch.zeros(1, 3, 4, 4), torch.full((1, 3, 4, 4), 0.5)))
    0.5
    """
    output, target = checked(output, target, "rmse")
    squared = (output - target).square().flatten(1).mean(1)
    # The root has no slope at 0: the floor of 1e-3 (0.1 grey level of 255) keeps the gradient finite.
    return torch.sqrt(squared.clamp_min(1e-6)).mean()
