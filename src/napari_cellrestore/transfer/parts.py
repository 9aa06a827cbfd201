"""Parts of two aligned images that lie elsewhere: white cells and tiles, looked for farther than a fit may reach."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from napari_cellrestore.rescan.correlation import correlation_map, vertex
from napari_cellrestore.transfer.cells import Smear
from napari_cellrestore.transfer.placement import Placement
from napari_cellrestore.transfer.planes import Levels
from napari_cellrestore.transfer.residual import LIKE, on_coarser, tile_side, tiles

Array = npt.NDArray[np.float64]

#: Shifts by more than a pixel count only where they leave at most this share of what speaks against a match, 1 minus the
#: correlation: noise and blur move the best match of what hardly differs in brightness. In 73 true pairs of recorded
#: smears, half of them very noisy, one white cell was so sure by more than 1.5 px, and that pair was wrongly aligned.
SURE = 0.5
#: Share of the pixels of a white cell that both images have to show.
SHOWN = 0.5


def tiles_beside(ours: Levels, theirs: Levels, place: Placement) -> Array:
    """Return how far tiles of two aligned images lie beside their place, in pixels of the target: of those that can tell.

    They are looked for up to half their side away; :func:`~napari_cellrestore.transfer.residual.tile_shifts` leaves out
    what is farther than its reach.

    Parameters
    ----------
    ours, theirs : (Y, X) arrays
        Luminance of input and target.
    place : Placement
        Where the input lies in the target.
    """
    fixed, moved, to_input = on_coarser(ours, theirs, place)
    side = tile_side(fixed.shape)
    found = []
    for _, _, top, left in tiles(fixed.shape, side):
        tile = moved[top : top + side, left : left + side]
        if np.isfinite(tile).all():
            found += _beside(_part(fixed, top, left, side, side // 2), tile, side // 2)
    return np.array(found) * (place.scale if to_input else 1.0)


def cells_beside(ours: Levels, theirs: Levels, place: Placement, smears: tuple[Smear, Smear]) -> Array:
    """Return how far white cells lie beside their place, in pixels of the target: of those that can tell.

    The square about each nucleus, of either image, is looked for in the other one up to its side away.

    Parameters
    ----------
    ours, theirs, place
        As of :func:`tiles_beside`.
    smears : (Smear, Smear)
        White cells of input and target.
    """
    fixed, moved, to_input = on_coarser(ours, theirs, place)
    found = []
    for image, other, (top, left), side in _windows(fixed, moved, place, smears, to_input):
        wide, part = _part(other, top, left, side, side), _part(image, top, left, side, 0)
        part[~np.isfinite(wide[side:-side, side:-side])] = np.nan
        if np.isfinite(part).mean() >= SHOWN:
            found += _beside(wide, part, side)
    return np.array(found) * (place.scale if to_input else 1.0)


def _windows(
    fixed: Levels, moved: Levels, place: Placement, smears: tuple[Smear, Smear], to_input: bool
) -> Iterator[tuple[Levels, Levels, tuple[int, int], int]]:
    """Yield the image of each white cell, the other image, and the first pixel and the side of its square."""
    pixel_um = smears[not to_input].working_um
    for smear, onto, on_grid in ((smears[0], place, to_input), (smears[1], place.inverse(), not to_input)):
        image, other = (fixed, moved) if on_grid else (moved, fixed)
        for cell in smear.cells:
            side = max(round(2 * np.sqrt(cell.area_um2 / np.pi) / pixel_um), 8)
            y, x = np.asarray(cell.at_px) if on_grid else onto(cell.at_px)
            yield image, other, (round(y - 0.5 * (side - 1)), round(x - 0.5 * (side - 1))), side


def _beside(wide: Levels, part: Levels, reach_px: int) -> list[float]:
    """Return the length of the shift at which a part is most like what is around it, nothing where that is not sure."""
    correlation, _ = correlation_map(wide, part, least_overlap=0.9)
    near = correlation[tuple(slice(n - 1, n + 2 * reach_px) for n in part.shape)]
    if not np.isfinite(near[reach_px, reach_px]):
        return []
    peak = np.unravel_index(int(np.nanargmax(near)), near.shape)
    dy, dx = (at + vertex(near, peak, axis) - reach_px for axis, at in enumerate(peak))
    beside = float(np.hypot(dy, dx))
    sure = 1 - near[peak] <= SURE * (1 - near[reach_px, reach_px])
    return [beside] if near[peak] >= LIKE and (beside <= 1 or sure) else []


def _part(image: Levels, top: int, left: int, side: int, reach_px: int) -> Levels:
    """Return a square of an image with ``reach_px`` more on every side; NaN where the image ends."""
    part = np.full((side + 2 * reach_px,) * 2, np.nan, np.float32)
    into, of = zip(
        *(
            (slice(max(-first, 0), max(n - first, 0)), slice(max(first, 0), max(first + len(part), 0)))
            for first, n in zip((top - reach_px, left - reach_px), image.shape, strict=True)
        ),
        strict=True,
    )
    part[into] = image[of]
    return part
