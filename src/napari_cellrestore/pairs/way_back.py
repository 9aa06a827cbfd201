"""Pairs the other way round: the targets are given and the inputs wished for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial

import numpy as np

from napari_cellrestore.pairs.crop import Crop, Pairs, Test


class WayBack:
    """Pairs whose inputs and targets have changed places, for the generator of the way back.

    Parameters
    ----------
    pairs : Pairs
        Of the way there.
    """

    def __init__(self, pairs: Pairs) -> None:
        self._there = pairs
        self.in_channels, self.out_channels = pairs.out_channels, pairs.in_channels
        self.intensity_range, self.target_range = pairs.target_range, pairs.intensity_range
        self.dtypes = pairs.dtypes[1], pairs.dtypes[0]
        self.pixel_um = pairs.pixel_um

    def crop(self, rng: np.random.Generator, size: int) -> Crop:
        """Return a pair of ``size`` x ``size`` pixels."""
        return turned_round(self._there.crop(rng, size))

    def validation(self) -> list[Crop]:
        """Return a few whole images that are in no crop."""
        return [turned_round(crop) for crop in self._there.validation()]


def turned_round(crop: Crop) -> Crop:
    """Return a crop whose input and target have changed places."""
    return crop._replace(input=crop.target, target=crop.input)


def turned_round_tests(tests: Mapping[str, Test]) -> dict[str, Test]:
    """Return what is kept for the test, by source, with inputs and targets exchanged."""

    def turned(test: Test) -> Iterator[tuple[str, Crop]]:
        return ((name, turned_round(crop)) for name, crop in test())

    return {source: partial(turned, test) for source, test in tests.items()}
