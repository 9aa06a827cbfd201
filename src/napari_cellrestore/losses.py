"""Losses by name. Each takes (output, target) in -1..1, (N, C, Y, X), and returns one number to be made small."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

Loss = Callable[[Tensor, Tensor], Tensor]


def l1(output: Tensor, target: Tensor) -> Tensor:
    """Mean absolute difference.

    >>> float(l1(torch.zeros(1, 3, 4, 4), torch.full((1, 3, 4, 4), 0.5)))
    0.5
    """
    return functional.l1_loss(output, target)


def mse(output: Tensor, target: Tensor) -> Tensor:
    """Mean of squared differences.

    >>> float(mse(torch.zeros(1, 3, 4, 4), torch.full((1, 3, 4, 4), 0.5)))
    0.25
    """
    return functional.mse_loss(output, target)


def rmse(output: Tensor, target: Tensor) -> Tensor:
    """Root of the mean squared difference of each image, averaged over images.

    Weighs images that are nearly sharp as much as strongly blurred ones, which a plain mean of squares lets go:
    a model must not spoil what is in focus.

    >>> float(rmse(torch.zeros(1, 3, 4, 4), torch.full((1, 3, 4, 4), 0.5)))
    0.5
    """
    squared = (output - target).square().flatten(1).mean(1)
    # The root has no slope at 0: the floor of 1e-3 (0.1 grey level of 255) keeps the gradient finite.
    return torch.sqrt(squared.clamp_min(1e-6)).mean()


def focus(output: Tensor, target: Tensor) -> Tensor:
    """Difference of the pixelwise focus measure (FPW) on the green channel.

    ``mean |(wx * Y)^2 - (wx * Yhat)^2| + |(wy * Y)^2 - (wy * Yhat)^2|`` with ``wx`` the second difference at a lag of
    6 pixels (Olofsson & Wagnström 2019, 6.3.1), in squares of the range -1..1; a single channel stands for green.
    """
    green = min(1, output.shape[1] - 1)
    pairs = zip(_second_differences(output[:, green]), _second_differences(target[:, green]), strict=True)
    return torch.stack([(ours.square() - true.square()).abs().mean() for ours, true in pairs]).sum()


def _second_differences(image: Tensor, lag: int = 6) -> tuple[Tensor, Tensor]:
    x = 2 * image[..., :, lag:-lag] - image[..., :, : -2 * lag] - image[..., :, 2 * lag :]
    y = 2 * image[..., lag:-lag, :] - image[..., : -2 * lag, :] - image[..., 2 * lag :, :]
    return x, y


#: Every loss by name.
LOSSES: dict[str, Loss] = {"l1": l1, "mse": mse, "rmse": rmse, "focus": focus}


def weighted(weights: dict[str, float]) -> Callable[[Tensor, Tensor], tuple[Tensor, dict[str, Tensor]]]:
    """Return a function giving the weighted sum of named losses and each of them unweighted."""
    if unknown := sorted(set(weights) - set(LOSSES)):
        raise ValueError(f"no losses {unknown}; known are {', '.join(LOSSES)}")

    def total(output: Tensor, target: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        parts = {name: LOSSES[name](output, target) for name in weights}
        return torch.stack([weight * parts[name] for name, weight in weights.items()]).sum(), parts

    return total
