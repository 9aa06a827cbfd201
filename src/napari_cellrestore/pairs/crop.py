"""A pair of crops, and what a trainer needs of a set of pairs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol

import numpy as np

Array = np.ndarray

#: Longest side of a whole image that is validated on, and how many of them: validation must not hold a training up.
VALIDATION_PX = 512
VALIDATION_IMAGES = 4
#: Of smaller images there are more, up to as many pixels.
VALIDATION_PIXELS = VALIDATION_IMAGES * VALIDATION_PX**2


class Crop(NamedTuple):
    """An input and its target, (y, x, C) and (y, x, C') float32 in the grey levels of the images.

    Several planes of one field lie one after the other along C: all colours of the first, then those of the second.
    ``level_um`` is how far the input is out of focus, signed; None where that is not known or there are several planes.
    ``paired`` is False where input and target do not belong to each other.
    """

    input: Array
    target: Array
    level_um: float | None = None
    paired: bool = True


#: Returns an iterator over the name and crop of everything that is kept for the test, whole.
Test = Callable[[], Iterator[tuple[str, Crop]]]


class Pairs(Protocol):
    """What a trainer needs of a set of pairs: crops in grey levels, chosen by the random generator alone."""

    @property
    def in_channels(self) -> int:
        """Channels of an input as the network takes it: planes times colours."""

    @property
    def out_channels(self) -> int:
        """Channels of a target."""

    @property
    def intensity_range(self) -> tuple[float, float]:
        """Grey levels of inputs that the network knows as -1 and 1."""

    @property
    def target_range(self) -> tuple[float, float]:
        """The same of targets."""

    @property
    def dtypes(self) -> tuple[str, str]:
        """Types of the pixels of inputs and of targets."""

    @property
    def pixel_um(self) -> float | None:
        """Pixel size in micrometres, where it is known and the same for all images."""

    def crop(self, rng: np.random.Generator, size: int) -> Crop:
        """Return a pair of ``size`` x ``size`` pixels."""

    def validation(self) -> list[Crop]:
        """Return a few whole images that are in no crop, the middle of them where they are large."""


def images_known(pairs: Pairs) -> dict[str, Any]:
    """Return what a model must say of the images that it learned from, as fields of its card."""
    dtype, target_dtype = pairs.dtypes
    known: dict[str, Any] = {
        "input_range": pairs.intensity_range,
        "output_range": None if dtype == target_dtype else pairs.target_range,
        "output_dtype": None if dtype == target_dtype else target_dtype,
        "pixel_um": pairs.pixel_um,
    }
    leds = getattr(pairs, "leds", None)
    return known if leds is None else {**known, "in_planes": len(leds), "leds": leds.columns()}
