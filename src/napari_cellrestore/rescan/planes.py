"""Planes of an LED stack against each other: what brightfield it shows, and which planes do not lie on it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_cellrestore.illumination.planes import measure_planes
from napari_cellrestore.illumination.shifts import outside_shifts
from napari_cellrestore.illumination.sideways import sideways, slopes
from napari_cellrestore.leds import LedTable
from napari_cellrestore.register import estimate_shift
from napari_cellrestore.rescan.looks import grey, steepness
from napari_cellrestore.stack import ImageStack

#: Shift between planes of a stack that light from aside and the measuring make.
STILL_PX = 2.0


@dataclass(frozen=True)
class ShiftedPlane:
    """A plane that does not lie where the others do.

    Attributes
    ----------
    planes : tuple of int
        Its number, or those of all planes that were measured together.
    shift_px : (float, float) or None
        By how much it has to be moved down and right; None where it has nothing in common with the others.
    empty : bool
        All its pixels are the same.
    """

    planes: tuple[int, ...]
    shift_px: tuple[float, float] | None
    empty: bool = False

    def __str__(self) -> str:
        if len(self.planes) > 3:
            who = f"the dark-field planes {self.planes[0]} to {self.planes[-1]}"
        else:
            who = f"plane {' and '.join(map(str, self.planes))}"
        if self.empty:
            return f"{who} has nothing in it, all its pixels are the same"
        return who + (" like nothing else" if self.shift_px is None else f" by {np.hypot(*self.shift_px):.1f} px")


def check_lit(stack: ImageStack) -> LedTable:
    """Return the LED table of a stack; ValueError where there is none, or the stack has other planes too."""
    if stack.leds is None:
        raise ValueError(
            f"the unstained scan (axes {stack.axes}) has no LED table: put NAME.leds.csv beside it, or give a table for all"
        )
    if stack.plane_axes != "A":
        raise ValueError(f"the unstained scan has axes {stack.axes}: give planes of LEDs only (AYX or AYXS)")
    return stack.leds


def bright_plane(stack: ImageStack, na: float) -> npt.NDArray[np.float32]:
    """Return what an LED stack shows in bright field, (Y, X[, S]) float32.

    The mean of the planes of the kind "brightfield"; where there are none, of those lit by one LED inside the aperture:
    such light does not interfere, so intensities add.

    Raises
    ------
    ValueError
        No LED table; no LED inside the aperture.

    Examples
    --------
    >>> leds = LedTable(index=[0, 1, 2], polar_deg=[0, 5, 30], azimuth_deg=0)
    >>> stack = ImageStack(np.array([10, 30, 90], np.uint8)[:, None, None] * np.ones((1, 4, 4), np.uint8), "AYX", leds=leds)
    >>> bright_plane(stack, na=0.4)[0, 0].item()
    20.0
    """
    return _mean(stack, bright_planes(check_lit(stack), na))


def bright_planes(leds: LedTable, na: float) -> npt.NDArray[np.int64]:
    """Return the numbers of the planes that make up bright field."""
    together = np.flatnonzero(leds.kind == "brightfield")
    found = together if len(together) else np.flatnonzero(leds.brightfield(na))
    if not len(found):
        raise ValueError(
            f"no LED inside the aperture (NA {na:g}, {np.degrees(np.arcsin(min(na, 1))):.1f} deg): angles begin at "
            f"{leds.polar_deg.min():g} deg, so there is no brightfield to compare; give the NA of the objective"
        )
    return found


def shifted_planes(stack: ImageStack, na: float, *, still_px: float = STILL_PX) -> Iterator[ShiftedPlane]:
    """Yield the planes of an LED stack that do not lie on the others.

    Wulff 2022 (section 4.2.4) found such stacks only by the failure of the network. What is compared:

    - each plane lit from inside the aperture against bright field, by :func:`estimate_shift`; what defocus explains of the
      shifts of all of them is taken out, since light from the side moves what is out of focus;
    - the mean of dark field against where bright field steepness: it shows edges, and light from all sides evens out on
      which side of a cell an edge is bright;
    - each dark-field plane against those of the nearest LEDs, by :func:`outside_shifts`;
    - planes of one dark-field LED at several exposures against each other, where none of them was found before.

    Planes whose pixels are all the same are told and not compared.

    Parameters
    ----------
    stack : ImageStack
        Of axes AYX or AYXS, with LED table.
    na : float
        Numerical aperture of the objective.
    still_px : float
        A longer shift is one.
    """
    leds = check_lit(stack)
    of_bright = bright_planes(leds, na)
    bright = grey(_mean(stack, of_bright))
    planes = measure_planes(stack, None)
    yield from (ShiftedPlane((row,), None, empty=True) for row in np.flatnonzero(planes.flat).tolist())
    alone = ~planes.flat & (leds.kind != "brightfield")
    inside, dark = np.flatnonzero(alone & leds.brightfield(na)), np.flatnonzero(alone & ~leds.brightfield(na))
    shifts = [_shift(bright, _plane(stack, plane)) for plane in inside]
    known = np.array([shift is not None for shift in shifts], bool)
    measured = np.array([shift for shift in shifts if shift is not None], float).reshape(-1, 2)
    light = sideways(leds, inside[known])
    left = iter(measured - light @ slopes(light, measured))
    for plane, shift in zip(inside, shifts, strict=True):
        yield from _if_far((int(plane),), None if shift is None else next(left), still_px)
    if len(dark) >= 4:  # fewer light a cell from one side
        edges = steepness(bright, stack.pixel_um or 0.25)
        yield from _beside(edges, grey(_mean(stack, dark)), tuple(dark.tolist()), still_px)
    off_px = np.nan_to_num(outside_shifts(planes, na, ~planes.flat))
    far = np.hypot(*off_px.T) > still_px
    for row in np.flatnonzero(far):
        yield from _if_far((int(row),), -off_px[row], still_px)
    for led in np.unique(leds.index[dark]):
        first, *others = dark[leds.index[dark] == led]
        for other in others:
            if not far[[first, other]].any():
                yield from _beside(_plane(stack, first), _plane(stack, other), (int(first), int(other)), still_px)


def _beside(
    fixed: npt.NDArray[Any], moving: npt.NDArray[Any], planes: tuple[int, ...], still_px: float
) -> Iterator[ShiftedPlane]:
    yield from _if_far(planes, _shift(fixed, moving), still_px)


def _if_far(planes: tuple[int, ...], shift_px: npt.ArrayLike | None, still_px: float) -> Iterator[ShiftedPlane]:
    if shift_px is None:
        yield ShiftedPlane(planes, None)
        return
    down, right = (float(px) for px in np.asarray(shift_px))
    if np.hypot(down, right) > still_px:
        yield ShiftedPlane(planes, (down, right))


def _shift(fixed: npt.NDArray[Any], moving: npt.NDArray[Any]) -> tuple[float, float] | None:
    try:
        return estimate_shift(fixed, moving)
    except ValueError:  # nothing in common
        return None


def _plane(stack: ImageStack, number: int | np.integer[Any]) -> npt.NDArray[np.float32]:
    return grey(np.asarray(stack.data[int(number)]))


def _mean(stack: ImageStack, numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    total = np.zeros(stack.data.shape[1:], np.float32)
    for number in numbers:  # one plane at a time in memory
        total += np.asarray(stack.data[int(number)], np.float32)
    return np.asarray(total / len(numbers), np.float32)
