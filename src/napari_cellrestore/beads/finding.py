"""Finding beads in the projection of a stack along z, and which of them stand alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import ndimage
from skimage.feature import peak_local_max

from napari_cellrestore.beads.bead import Bead
from napari_cellrestore.focus.measures import not_finite
from napari_cellrestore.focus.planes import green_planes

Array = np.ndarray

#: A bead stands this many standard deviations of the background above it, and is used from the second number on.
SEEN, USED = 8.0, 15.0
#: Part of the brightest bead that a bead has at least; diffraction rings have less.
DIMMEST = 0.05
#: Distance to the next bead from which a bead is isolated, in units of the reach in the plane.
ISOLATED = 1.5
#: Beads that are measured, the brightest; every one holds a cut-out of the stack in memory.
MOST = 300
#: Pixels at one largest value from which that counts as saturation where the type of the pixels allows more.
PLATEAU = 5
MARGIN_PX = 2  # so that a shift within a pixel finds neighbours


@dataclass(frozen=True, eq=False)
class Projection:
    """The largest value along z of each pixel, the plane it is in, and the background."""

    values: Array
    plane: Array
    level: float
    noise: float
    saturation: float | None

    @classmethod
    def of(cls, planes: Any) -> Projection:
        """Read every plane once."""
        level, noise = [], []
        for number, plane in enumerate(_finite(planes)):
            if number == 0:
                values, where = plane.copy(), np.zeros(plane.shape, int)
            else:
                higher = plane > values
                values[higher], where[higher] = plane[higher], number
            some = plane[::3, ::3].astype(float)
            level.append(np.median(some))
            noise.append(1.4826 * np.median(np.abs(some - level[-1])))
        # Of grey levels that are whole numbers the deviation is no better known than their step.
        least = 0.3 if values.dtype.kind in "ui" else 0.0
        saturation = _saturation(values, planes.dtype)
        return cls(
            values.astype(float), where, float(np.median(level)), max(float(np.median(noise)), least), saturation
        )


def _finite(planes: Any) -> Iterator[Array]:
    for number, plane in enumerate(green_planes(planes)):
        if plane.dtype == bool:
            raise TypeError("the stack has dtype bool: give grey levels, integer or float")
        if bad := not_finite(plane):
            raise ValueError(
                f"plane {number}: {bad} of {plane.size} pixels are not finite; mend the plane or leave it out"
            )
        yield plane


def _saturation(values: Array, dtype: np.dtype[Any]) -> float | None:
    """Return the grey level that is saturated: the largest of the type, or one at which many pixels end."""
    highest = values.max()
    if dtype.kind in "ui" and highest == np.iinfo(dtype).max:
        return float(highest)
    many = np.count_nonzero(values == highest) >= PLATEAU
    return float(highest) if many and dtype.itemsize > 1 and highest > values.min() else None


def find_beads(top: Projection) -> tuple[float, Array]:
    """Return the width of a bead at half maximum in pixels, and the places (n, 2) of what may be beads."""
    rough = _maxima(top, 1.0, 2)
    if not len(rough):
        raise ValueError(
            f"no bead found: nothing stands {SEEN:g} times the noise above the background of {top.level:g}; give a stack "
            "of bright, single points"
        )
    width_px = float(np.median([_width_px(top, y, x) for y, x in rough]))
    return width_px, _maxima(top, width_px / 4, max(int(width_px / 2), 2))


def _maxima(top: Projection, sigma_px: float, apart_px: int) -> Array:
    """Return rows and columns of maxima, from top to bottom."""
    smooth = ndimage.gaussian_filter(top.values, sigma_px)
    # The largest value of many planes lies above their median; how far tells the projection itself.
    level = float(np.median(smooth))
    noise = max(1.4826 * float(np.median(np.abs(smooth - level))), top.noise / 4)
    height = max(SEEN * noise, DIMMEST * float(smooth.max() - level))
    if height <= 0 or smooth.max() <= level + height:
        return np.zeros((0, 2), int)
    found = peak_local_max(smooth, min_distance=apart_px, threshold_abs=level + height, exclude_border=False)
    return np.asarray(found[np.lexsort(found.T[::-1])])


def _width_px(top: Projection, row: int, column: int) -> float:
    """Return the width at half maximum of a spot, the mean of row and column."""
    half = (top.values[row, column] + top.level) / 2
    lines = (
        top.values[row, column:],
        top.values[row, column::-1],
        top.values[row:, column],
        top.values[row::-1, column],
    )
    return sum(to_half(line, half) for line in lines) / 2


def to_half(line: Array, half: float) -> float:
    """Return after how many pixels a line falls to half, between pixels."""
    below = np.flatnonzero(line < half)
    if not below.size or below[0] == 0:
        return float(len(line))
    last = int(below[0])
    return float(last - (half - line[last]) / (line[last - 1] - line[last]))


def apart(spots: Array, top: Projection, reach_px: int, width_px: float) -> list[Bead]:
    """Return beads, those that are seen at once not to be of use with their reasons."""
    distance = np.hypot(*(spots[:, None] - spots[None]).transpose(2, 0, 1)) + np.diag(np.full(len(spots), np.inf))
    room = np.minimum(spots, np.array(top.values.shape) - 1 - spots).min(1)
    peaks = top.values[tuple(spots.T)] - top.level
    dimmest = np.sort(peaks)[-MOST] if len(peaks) > MOST else -np.inf
    beads = []
    for (row, column), near, border, peak in zip(spots.tolist(), distance.min(1), room, peaks, strict=True):
        core = int(np.ceil(width_px))
        around = top.values[max(row - core, 0) : row + core + 1, max(column - core, 0) : column + core + 1]
        full = 0 if top.saturation is None else np.count_nonzero(around >= top.saturation)
        reason = ""
        if full:
            reason = f"saturated ({full / around.size:.1%} of the pixels at {top.saturation:g})"
        elif border < reach_px + MARGIN_PX:
            reason = f"at the border ({border} px from it, {reach_px + MARGIN_PX} are needed)"
        elif near < ISOLATED * reach_px:
            reason = f"near another ({near:.0f} px away, {ISOLATED * reach_px:.0f} are needed)"
        elif peak < USED * top.noise:
            reason = f"dim ({peak:.3g} above a noise of {top.noise:.2g})"
        elif peak < dimmest:
            reason = f"not among the {MOST} brightest"
        beads.append(Bead((float(top.plane[row, column]), row, column), float(peak), reason=reason))
    return beads
