"""Crops of one step as tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from napari_cellrestore.pairs import Crop


@dataclass(frozen=True)
class Batch:
    """Inputs and targets (N, C, Y, X) in -1..1; NaN where the level is not known."""

    input: Tensor
    target: Tensor
    level_um: Tensor
    paired: Tensor

    @classmethod
    def of(
        cls, crops: Sequence[Crop], intensity_range: tuple[float, float], target_range: tuple[float, float]
    ) -> Batch:
        """Return crops of equal size as a batch; the ranges are grey levels of inputs and of targets."""
        inputs, targets, levels, paired = zip(*crops, strict=True)
        return cls(
            to_tensor(list(inputs), intensity_range),
            to_tensor(list(targets), target_range),
            torch.tensor([np.nan if level is None else level for level in levels]),
            torch.tensor(paired),
        )

    def to(self, device: str) -> Batch:
        """Return the batch on another device."""
        return Batch(*(part.to(device) for part in (self.input, self.target, self.level_um, self.paired)))


def to_tensor(images: np.ndarray | list[np.ndarray], intensity_range: tuple[float, float] = (0.0, 255.0)) -> Tensor:
    """Turn grey levels, (N, Y, X, C), into the network's (N, C, Y, X), -1..1 over the range."""
    low, high = intensity_range
    half = (high - low) / 2
    nhwc = torch.from_numpy(
        np.array(images, np.float32)
    )  # a copy, changed in place: LED stacks have hundreds of channels
    return nhwc.div_(half).sub_(1 + low / half).permute(0, 3, 1, 2)


def to_grey_levels(output: Tensor, intensity_range: tuple[float, float]) -> np.ndarray:
    """Turn one output (1, C, Y, X) in -1..1 into grey levels (Y, X, C)."""
    low, high = intensity_range
    return np.asarray((output[0].permute(1, 2, 0).float().cpu().numpy() + 1) * ((high - low) / 2) + low)
