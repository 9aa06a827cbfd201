"""The two images that a loss compares."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

#: ``loss(output, target)``: images (N, C, Y, X) in -1..1, one number to be made small.
Loss = Callable[[Tensor, Tensor], Tensor]


def at_least_single(values: Tensor) -> Tensor:
    """Return values in float32 or better: a mean or a square of bfloat16 has two digits."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def checked(output: Tensor, target: Tensor, loss: str, smallest_px: int = 1) -> tuple[Tensor, Tensor]:
    """Return output and target in float32 or better; refuse what the loss cannot compare."""
    if output.shape != target.shape:
        raise ValueError(
            f"{loss}: the output has shape {tuple(output.shape)} and the target {tuple(target.shape)}: give images of one "
            "shape"
        )
    if output.ndim != 4 or output.numel() == 0 or min(output.shape[-2:]) < smallest_px:
        raise ValueError(
            f"{loss}: images have shape {tuple(output.shape)}: give (N, C, Y, X) with Y and X of {smallest_px} px or more"
        )
    for image in (output, target):
        if not image.is_floating_point():
            raise TypeError(f"{loss}: images have dtype {image.dtype}: give floating point in -1..1")
    return at_least_single(output), at_least_single(target)
