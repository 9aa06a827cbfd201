"""How exactly two aligned images lie on each other: shifts of tiles by intensity, independent of the points of the fit."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from napari_cellrestore.rescan.correlation import local_shift
from napari_cellrestore.transfer.placement import Placement
from napari_cellrestore.transfer.planes import Levels
from napari_cellrestore.transfer.points import fit_points
from napari_cellrestore.transfer.warping import warped

Array = npt.NDArray[np.float64]

#: Side of a tile: a fifth of the shorter side of the image, within these limits.
TILE_PX = (20, 64)
#: How far beside its place a tile is looked for.
REACH_PX = 3
#: Correlation below which a tile has too little contrast, or another content, to tell a shift.
LIKE = 0.6
#: Tiles that a map is fitted to at least; so many are needed twice.
ENOUGH = 5
#: Distance from the map up to which a tile agrees, in pixels of the coarser image.
NEAR_PX = 0.75
#: How often tiles are measured and the map is fitted to them; the second time changes little.
ROUNDS = 2


@dataclass(frozen=True, eq=False)
class TileShifts:
    """Shifts of tiles that are left.

    Attributes
    ----------
    from_px, to_px : (N, 2) arrays
        Where the middle of each tile is in the input, and where it is seen in the target.
    left_px : (N,) array
        Length of the shift, in pixels of the target.
    even : (N,) bool array
        The white fields of a chess board.
    correlation : float
        Of the images, where both are.
    """

    from_px: Array
    to_px: Array
    left_px: Array
    even: npt.NDArray[np.bool_]
    correlation: float


def tile_shifts(ours: Levels, theirs: Levels, place: Placement) -> TileShifts:
    """Measure by how much tiles of two images lie beside each other once the input is put at its place.

    It is done on the pixels of the coarser image: the finer one is blurred and put there.

    Parameters
    ----------
    ours, theirs : (Y, X) arrays
        Luminance of input and target.
    place : Placement
        Where the input lies in the target.
    """
    fixed, moved, to_input = on_coarser(ours, theirs, place)
    side = tile_side(fixed.shape)
    here, there, even = [], [], []
    for row, column, top, first in tiles(fixed.shape, side):
        wide = fixed[top - REACH_PX : top + side + REACH_PX, first - REACH_PX : first + side + REACH_PX]
        tile = moved[top : top + side, first : first + side]
        if not np.isfinite(tile).all():
            continue
        shift, correlation = local_shift(wide, tile, REACH_PX)
        if not correlation >= LIKE:
            continue
        centre = np.array([top, first]) + 0.5 * (side - 1)
        here.append(centre)
        there.append(centre + shift)
        even.append((row + column) % 2 == 0)
    at, seen = np.reshape(here, (-1, 2)), np.reshape(there, (-1, 2))
    from_px, to_px = (seen, place(at)) if to_input else (place.inverse()(at), seen)
    left_px = np.hypot(*(place(from_px) - to_px).T)
    return TileShifts(from_px, to_px, left_px, np.array(even, bool), _correlation(fixed, moved))


def refined(ours: Levels, theirs: Levels, place: Placement, transform: str) -> tuple[Placement, TileShifts]:
    """Return the place fitted to the shifts of tiles, and what is left; the place as it was where that is not better.

    Points of SIFT have errors of half a pixel of the coarser image, tiles of a fifth or less. So that no tile is judged by
    a map that it made, tiles are the fields of a chess board: what is left of the white ones is their distance from a map
    that is fitted to the black ones, and the other way round.
    """
    before = shifts = tile_shifts(ours, theirs, place)
    better, near_px = place, NEAR_PX * max(place.scale, 1.0)
    for _ in range(ROUNDS):
        found, agree = fit_points(shifts.from_px, shifts.to_px, transform, near_px)
        if found is None or agree.sum() < 2 * ENOUGH:
            return place, before
        better, shifts = found, tile_shifts(ours, theirs, found)
    left_px = _held_out(shifts, transform, near_px)
    if left_px is None or np.median(left_px) >= np.median(before.left_px):
        return place, before
    return better, replace(shifts, left_px=left_px)


def _held_out(shifts: TileShifts, transform: str, near_px: float) -> Array | None:
    """Return the distance of each tile from the map of the tiles of the other colour; None where one cannot be fitted."""
    left_px = np.empty(len(shifts.from_px))
    for half in (shifts.even, ~shifts.even):
        other, agree = fit_points(shifts.from_px[~half], shifts.to_px[~half], transform, near_px)
        if other is None or agree.sum() < ENOUGH:
            return None
        left_px[half] = np.hypot(*(other(shifts.from_px[half]) - shifts.to_px[half]).T)
    return left_px


def on_coarser(ours: Levels, theirs: Levels, place: Placement) -> tuple[Levels, Levels, bool]:
    """Return the coarser of two images, the other one on its pixels, NaN where it shows nothing, and if it is the input."""
    to_input = place.scale > 1
    fixed, moving = (ours, theirs) if to_input else (theirs, ours)
    shape = int(fixed.shape[0]), int(fixed.shape[1])
    return fixed, warped(moving, place.inverse() if to_input else place, shape, order=1), to_input


def tile_side(shape: tuple[int, ...]) -> int:
    """Return the side of the tiles of an image."""
    return int(np.clip(min(shape) // 5, *TILE_PX))


def tiles(shape: tuple[int, ...], side: int) -> list[tuple[int, int, int, int]]:
    """Return row and column among tiles side by side, and first row and column of pixels, of all that can be moved."""
    firsts = [range(REACH_PX, n - side - REACH_PX + 1, side) for n in shape]
    return [(i, j, top, left) for i, top in enumerate(firsts[0]) for j, left in enumerate(firsts[1])]


def _correlation(fixed: Levels, moved: Levels) -> float:
    there = np.isfinite(moved)
    if there.sum() < 2 or np.ptp(fixed[there]) == 0 or np.ptp(moved[there]) == 0:
        return float("nan")
    return float(np.corrcoef(fixed[there], moved[there])[0, 1])
