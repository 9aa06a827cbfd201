"""Where a stained field of view lies on the unstained one, and whether it is the same field at all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_cellrestore.rescan.correlation import correlation_map, local_shift, vertex
from napari_cellrestore.rescan.looks import Look, canny_edges, grey, resample, steepness
from napari_cellrestore.rescan.similarity import FEWEST, Similarity, fit_similarity

Array = npt.NDArray[np.float64]

#: Pixel in which whole fields are compared; a red cell is 15 of them across.
COARSE_UM = 0.5
#: What is correlated of whole fields.
ROUGH: dict[str, Look] = {"steepness": steepness, "canny": canny_edges}
#: Turns that are tried: a slide goes back under the microscope by hand.
TURNS_DEG = (-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0)
#: How far the best place must stand out, in robust standard deviations of all places.
NEEDED = 7.0
#: Tiles whose shifts tell scale and turn: their side, and at most how many.
TILE_UM, MOST_TILES = 24.0, 100
#: How far tiles may lie beside the rough match: by its pixels, and by half a turn between those tried and 1.5 % of scale
#: as parts of the distance from the middle of the field. Then beside the first fit.
ROUGH_UM, ROUGH_PART, FITTED_UM = 1.5, 0.024, 1.5
#: Distance of a tile from the fit up to which it agrees.
AGREES_UM = 0.5


@dataclass(frozen=True)
class FieldMatch:
    """How two scans of a field lie on each other, or that they do not.

    Attributes
    ----------
    place : Similarity
        Where micrometres of the stained scan lie in the unstained one; its scale is 1 where both pixel sizes are right.
    correlation : float
        Of the edges, at the best place.
    certainty : float
        By how many robust standard deviations of all places the best one stands out.
    tiles, agreeing : int
        Parts of the field whose shift was measured, and those that agree with the fit.
    residual_um : float
        Median distance of the agreeing ones from the fit.
    reason : str
        Why it is no match; empty where it is.
    """

    place: Similarity
    correlation: float
    certainty: float
    tiles: int = 0
    agreeing: int = 0
    residual_um: float = float("nan")
    reason: str = ""


def match_field(
    unstained: npt.ArrayLike,
    stained: npt.ArrayLike,
    pixel_um: float,
    stained_pixel_um: float | None = None,
    *,
    by: str = "steepness",
    turns_deg: Sequence[float] = TURNS_DEG,
    needed: float = NEEDED,
) -> FieldMatch:
    """Find where a stained field lies on the unstained one: correlation of their edges, then a fit to shifts of tiles.

    Edges of both are correlated for every shift and some turns (:func:`~napari_cellrestore.rescan.correlation_map`). With
    ``t = r sqrt(overlap)``, which scatters alike for every shift of unlike images, the certainty of the best place is
    ``(max t - median t) / (1.4826 MAD of t)``; 7 is asked for. On simulated fields of 60 to 100 um, turned by up to
    3.5 deg, in and out of focus, it was 11 or more for the same field and 5.3 or less for another one.

    Then shifts of tiles, by correlation of steepness, give scale, turn and shift (:func:`fit_similarity`), in
    two rounds. A turn between those tried and a scale beside the stated pixel sizes are found so.

    Parameters
    ----------
    unstained : (Y, X) or (Y, X, 3) array
        In bright field, such as :func:`~napari_cellrestore.rescan.bright_plane` gives; of colours green counts.
    stained : (Y, X) or (Y, X, 3) array
        The same field, or a part of it, stained.
    pixel_um, stained_pixel_um : float
        Pixel sizes; the second is like the first if not given.
    by : {"steepness", "canny"}
        What is correlated: steepness, or edges by Canny as in the source.
    turns_deg : sequence of float
        Turns to try.
    needed : float
        Certainty below which it is no match.

    Returns
    -------
    FieldMatch
        With a ``reason`` where it is no match.

    Notes
    -----
    Differs from Wulff 2022 (section 3.1.3), who correlate Canny edges, take the place of highest correlation whatever it
    is, know no turn and leave the scale as stated. Where contrast is weak Canny finds noise: up to a quarter
    of the simulated fields were no match by it (certainty from 4), none by steepness.
    """
    if by not in ROUGH:
        raise ValueError(f"by is {by!r}: use one of {', '.join(ROUGH)}")
    ours, theirs = grey(unstained), grey(stained)
    stained_pixel_um = stained_pixel_um or pixel_um
    try:
        rough, correlation, certainty = _rough(ours, theirs, pixel_um, stained_pixel_um, turns_deg, ROUGH[by])
    except ValueError as error:
        return FieldMatch(Similarity(), float("nan"), 0.0, reason=f"no match: {error}")
    if certainty < needed:
        return FieldMatch(
            rough,
            correlation,
            certainty,
            reason=f"no match: at the best place edges correlate by {correlation:.2f}, which stands out by {certainty:.1f} "
            f"standard deviations; {needed:g} are needed, so this may be another slide or field",
        )
    found = FieldMatch(rough, correlation, certainty)
    first_um = ROUGH_UM + ROUGH_PART * 0.5 * float(np.hypot(*ours.shape)) * pixel_um
    for to_pixel_um, reach_um in ((max(COARSE_UM, pixel_um), first_um), (pixel_um, FITTED_UM)):
        found = _fitted(found, ours, theirs, pixel_um, stained_pixel_um, to_pixel_um, reach_um)
    if found.agreeing < max(2, found.tiles // 4):
        reason = f"no match: only {found.agreeing} of {found.tiles} parts of the field agree on one place"
        return FieldMatch(found.place, correlation, certainty, found.tiles, found.agreeing, reason=reason)
    return found


def _rough(
    ours: npt.NDArray[np.float32],
    theirs: npt.NDArray[np.float32],
    pixel_um: float,
    stained_pixel_um: float,
    turns_deg: Sequence[float],
    look: Look,
) -> tuple[Similarity, float, float]:
    """Return the best place to a coarse pixel, its correlation and its certainty."""
    coarse_um = max(COARSE_UM, pixel_um, stained_pixel_um)
    fixed = look(_shrunk(ours, pixel_um, coarse_um), coarse_um)
    edges = look(_shrunk(theirs, stained_pixel_um, coarse_um), coarse_um)
    best = (Similarity(), float("nan"), -np.inf)
    for turn_deg in turns_deg:
        turn, shape = _turned(edges.shape, coarse_um, turn_deg)
        moving = resample(edges, coarse_um, turn, coarse_um, shape) if turn_deg else edges
        correlation, overlap = correlation_map(fixed, moving)
        t = correlation * np.sqrt(overlap)
        known = t[np.isfinite(t)]
        if not known.size:
            raise ValueError("one of the scans has no edges")
        middle = np.median(known)
        scatter = 1.4826 * np.median(np.abs(known - middle))
        peak = np.unravel_index(int(np.nanargmax(t)), t.shape)
        certainty = float((t[peak] - middle) / scatter) if scatter > 0 else 0.0
        if certainty > best[2]:
            at = [k + vertex(t, peak, axis) for axis, k in enumerate(peak)]
            dy, dx = (np.asarray(at) - (np.asarray(moving.shape) - 1)) * coarse_um
            best = Similarity(shift_um=(float(dy), float(dx))).after(turn), float(correlation[peak]), certainty
    return best


def _shrunk(levels: npt.NDArray[np.float32], pixel_um: float, to_um: float) -> npt.NDArray[np.float32]:
    rows, columns = (max(int((n - 1) * pixel_um / to_um) + 1, 1) for n in levels.shape)
    return resample(levels, pixel_um, Similarity(), to_um, (rows, columns))


def _turned(shape: tuple[int, ...], pixel_um: float, turn_deg: float) -> tuple[Similarity, tuple[int, int]]:
    """Return the turn about the first pixel, moved so that the whole image lies in a shape, and that shape."""
    turn = Similarity(rotation_deg=turn_deg)
    corners = turn(np.array([(y, x) for y in (0, shape[0] - 1) for x in (0, shape[1] - 1)], float))
    rows, columns = (int(n) for n in np.ceil(np.ptp(corners, axis=0)) + 1)
    dy, dx = -corners.min(0) * pixel_um
    return Similarity(rotation_deg=turn_deg, shift_um=(float(dy), float(dx))), (rows, columns)


def _fitted(
    before: FieldMatch,
    ours: npt.NDArray[np.float32],
    theirs: npt.NDArray[np.float32],
    pixel_um: float,
    stained_pixel_um: float,
    to_um: float,
    reach_um: float,
) -> FieldMatch:
    """Return the match with the place fitted to shifts of tiles, looked for within ``reach_um`` of where it was."""
    fixed = steepness(_shrunk(ours, pixel_um, to_um), to_um)
    moving = steepness(resample(theirs, stained_pixel_um, before.place, to_um, _shape(fixed)), to_um)
    reach_px, side_px = round(reach_um / to_um), round(TILE_UM / to_um)
    at, moved = [], []
    for top, left in _tiles(moving, side_px, reach_px):
        wide = fixed[top - reach_px : top + side_px + reach_px, left - reach_px : left + side_px + reach_px]
        shift, correlation = local_shift(wide, moving[top : top + side_px, left : left + side_px], reach_px)
        if np.isfinite(correlation) and np.abs(shift).max() < reach_px:
            centre_um = np.array([top, left]) * to_um + 0.5 * (side_px - 1) * to_um
            at.append(centre_um)
            moved.append(centre_um + np.array(shift) * to_um)
    if not at:
        return FieldMatch(before.place, before.correlation, before.certainty)
    back = before.place.inverse()
    stained_um, unstained_um = back(np.array(at)), np.array(moved)
    place, agree = fit_similarity(stained_um, unstained_um, near_um=AGREES_UM)
    if len(at) < FEWEST:  # too few tiles: what was known stays
        correction, agree = fit_similarity(np.array(at), unstained_um, near_um=AGREES_UM)
        place = correction.after(before.place)
    distance = np.hypot(*(place(stained_um) - unstained_um).T)
    residual = float(np.median(distance[agree])) if agree.any() else float("nan")
    return FieldMatch(place, before.correlation, before.certainty, len(at), int(agree.sum()), residual)


def _shape(image: npt.NDArray[np.float32]) -> tuple[int, int]:
    rows, columns = image.shape
    return rows, columns


def _tiles(moving: npt.NDArray[np.float32], side_px: int, reach_px: int) -> Iterator[tuple[int, int]]:
    """Yield first rows and columns of tiles that the stained scan shows whole, evenly over the field."""
    rows, columns = moving.shape
    room = np.array([rows, columns]) - side_px - 2 * reach_px
    if room.min() < 0:
        return
    step = max(side_px / 2, float(np.sqrt(np.prod(room + side_px / 2) / MOST_TILES)))
    for top in reach_px + np.linspace(0, room[0], int(room[0] / step) + 1).astype(int):
        for left in reach_px + np.linspace(0, room[1], int(room[1] / step) + 1).astype(int):
            if np.isfinite(moving[top : top + side_px, left : left + side_px]).all():
                yield int(top), int(left)
