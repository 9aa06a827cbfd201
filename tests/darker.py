"""Pairs from which a small network learns something in a few steps."""

from __future__ import annotations

import numpy as np

from napari_cellrestore.pairs import Crop


class Darker:
    """Random blocks, and the same darker."""

    in_channels = out_channels = 3
    intensity_range = target_range = (0.0, 255.0)
    dtypes = ("uint8", "uint8")
    pixel_um = 0.1

    def __init__(self, validation_px=64):
        self.validation_px = validation_px

    def crop(self, rng, size):
        target = np.kron(rng.integers(40, 230, (size // 8, size // 8, 3)), np.ones((8, 8, 1))).astype(np.float32)
        return Crop(0.7 * target, target, level_um=0.5)

    def validation(self):
        return [self.crop(np.random.default_rng(99), self.validation_px)]
