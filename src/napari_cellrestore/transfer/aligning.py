"""Two images of the same cell by two microscopes, put pixel on pixel (Jönsson & Sjöstrand 2018, section 3.1.1)."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from napari_cellrestore.stack import ImageStack
from napari_cellrestore.transfer.aligned import AlignedPair, cut_pair
from napari_cellrestore.transfer.cells import COARSE_UM, Smear, find_cells, working_pixel_um
from napari_cellrestore.transfer.judging import (
    RESIDUAL_PX,
    Alignment,
    few_points,
    implausible,
    moved_cell,
    other_cells,
    partly_far,
    too_far,
    unlike,
)
from napari_cellrestore.transfer.parts import cells_beside, tiles_beside
from napari_cellrestore.transfer.planes import Plane, check_pixel_um, plane_of
from napari_cellrestore.transfer.points import TRANSFORMS, match_points
from napari_cellrestore.transfer.residual import refined

#: Which image keeps its pixels.
KEEP = ("target", "input")

T = TypeVar("T")


def align_pair(
    image: npt.ArrayLike | ImageStack,
    target: npt.ArrayLike | ImageStack,
    *,
    input_pixel_um: float | None = None,
    target_pixel_um: float | None = None,
    transform: str = "affine",
    keep: str = "target",
    residual_limit_px: float = RESIDUAL_PX,
) -> AlignedPair:
    """Put two images of the same cell, taken by two microscopes, pixel on pixel.

    White cells are found in both. SIFT points that both have give an affine map by RANSAC, which is then fitted to shifts
    of small tiles by intensity. The residual of each tile is its distance from a map fitted to other tiles.

    The **target keeps its pixels as recorded**: the input is put on them by a cubic spline, blurred first where they are
    coarser, for a network learns to make what the target is, and an interpolated target would teach it blur. The price is
    that the input's noise is smoothed; ``keep="input"`` interpolates the target instead, for networks that are to see
    the noise of a recorded input, as when restoring. Pixels that the other image does not show are cut off: the pair is
    the largest rectangle that both show. Alpha is left out.

    Parameters
    ----------
    image, target : (Y, X), (Y, X, 3) or (Y, X, 4) arrays, or ImageStacks of one plane
        Of any turn, magnified by up to a factor of 5 against each other. Grey ones are aligned without looking for white
        cells.
    input_pixel_um, target_pixel_um : float, optional
        Pixel sizes; those of the stacks if not given. Where one is not known the magnification is estimated from nuclei,
        and the result has the pixel size of the image that is kept, known or not.
    transform : {"affine", "similarity"}
        What is fitted: a similarity knows no shear and one scale.
    keep : {"target", "input"}
        See above.
    residual_limit_px : float
        A pair with a larger residual is bad, and one of which 5 % of the tiles or a white cell lie 1.5 times as far
        beside their place; in pixels of the coarser image.

    Returns
    -------
    AlignedPair
        With a ``reason`` where it is a bad pair.

    Raises
    ------
    ValueError, TypeError
        Images of several planes, pixels that are not finite, options that cannot be.

    Notes
    -----
    Jönsson & Sjöstrand 2018 name template matching, SIFT and RANSAC and give no parameters. The fit to tiles, the residual
    and the limits of plausible maps are not theirs.

    Examples
    --------
    >>> from napari_cellrestore.simulate import draw_smear
    >>> smear = draw_smear((220, 240), 0.2, np.random.default_rng(2))
    >>> pair = align_pair(smear[:, 8:], smear[5:], input_pixel_um=0.2, target_pixel_um=0.2)
    >>> pair.good, pair.alignment.place.shift_px.round(1).tolist(), pair.alignment.residual_px < 0.1
    (True, [-5.0, 8.0], True)
    """
    return last(
        follow_alignment(
            image,
            target,
            input_pixel_um=input_pixel_um,
            target_pixel_um=target_pixel_um,
            transform=transform,
            keep=keep,
            residual_limit_px=residual_limit_px,
        )
    )


def follow_alignment(
    image: npt.ArrayLike | ImageStack,
    target: npt.ArrayLike | ImageStack,
    *,
    input_pixel_um: float | None = None,
    target_pixel_um: float | None = None,
    transform: str = "affine",
    keep: str = "target",
    residual_limit_px: float = RESIDUAL_PX,
) -> Generator[str, None, AlignedPair]:
    """Do as :func:`align_pair`, yielding what comes next in words, so that it can be shown and stopped."""
    check_options(transform, keep, residual_limit_px)
    check_pixel_um(input_pixel_um, "input")
    check_pixel_um(target_pixel_um, "target")
    ours, theirs = plane_of(image, "input", input_pixel_um), plane_of(target, "target", target_pixel_um)
    yield "Looking for white cells"
    smears, notes = smears_of(ours, theirs)
    alignment = yield from align_planes(ours, theirs, smears, transform, residual_limit_px)
    alignment = replace(alignment, notes=(*notes, *alignment.notes))
    if alignment.place is None:
        return AlignedPair(alignment, keep=keep)
    yield "Cutting the pair"
    return cut_pair(ours, theirs, alignment, keep)


def smears_of(ours: Plane, theirs: Plane) -> tuple[tuple[Smear, Smear], list[str]]:
    """Return the white cells of two images, and notes on what had to be estimated."""
    both = (ours, theirs)
    unknown, grey = [plane for plane in both if plane.pixel_um is None], [plane for plane in both if plane.grey]
    working = [plane.pixel_um or working_pixel_um([plane]) for plane in both]
    searched = "the magnification was searched"
    if unknown and grey:  # no nuclei to tell a magnification from
        working, searched = [1.0, 1.0], "both were taken to be of one size"
    notes = [f"the pixel size of the {plane.name} is not known: {searched}" for plane in unknown]
    notes += [f"the {plane.name} is grey: white cells were not looked for" for plane in grey]
    coarse_um = max(COARSE_UM, *working)
    return (find_cells(ours, working[0], coarse_um), find_cells(theirs, working[1], coarse_um)), notes


def align_planes(
    ours: Plane,
    theirs: Plane,
    smears: tuple[Smear, Smear],
    transform: str = "affine",
    residual_limit_px: float = RESIDUAL_PX,
) -> Generator[str, None, Alignment]:
    """Measure how an input lies on a target, yielding what comes next; without a map where that is not known.

    The first thing that speaks against the pair is its reason; what can be measured after it still is, but for images
    without white cells.
    """
    coloured = not (ours.grey or theirs.grey)
    for smear in smears if coloured else ():
        if smear.reason:
            return Alignment(reason=f"{smear.name}: {smear.reason}")
    known = all(plane.pixel_um is not None for plane in (ours, theirs))
    stated = smears[0].working_um / smears[1].working_um
    yield "Looking for points in common"
    looks = ours.look(), theirs.look()
    points = match_points(*looks, stated, transform)
    found = Alignment(inliers=points.inliers, matches=points.matches, known=known)
    reason = few_points(points.inliers, points.matches)
    if points.place is None or reason:
        return replace(found, reason=reason)
    scale = points.place.scale / (stated if known else 1)
    found = replace(found, points_px=_median(points.distance_px), points95_px=_most(points.distance_px), scale=scale)
    if reason := implausible(points.place, scale, known):
        return replace(found, reason=reason)
    yield "Measuring what is left"
    place, shifts = refined(*looks, points.place, transform)
    residual_px, residual95_px = _median(shifts.left_px), _most(tiles_beside(*looks, place))
    reason = unlike(shifts.correlation) or too_far(residual_px, place, residual_limit_px)
    if coloured and not reason:
        beside_px = cells_beside(*looks, place, smears)
        reason = moved_cell(beside_px, place, residual_limit_px) or other_cells(*smears, place)
    return replace(
        found,
        place=place,
        residual_px=residual_px,
        residual95_px=residual95_px,
        tiles=len(shifts.left_px),
        correlation=shifts.correlation,
        scale=place.scale / (stated if known else 1),
        reason=reason or partly_far(residual95_px, place, residual_limit_px),
    )


def check_options(transform: str, keep: str, residual_limit_px: float) -> None:
    """Raise ValueError for options that cannot be."""
    if transform not in TRANSFORMS:
        raise ValueError(f"unknown transform {transform!r}: use one of {', '.join(TRANSFORMS)}")
    if keep not in KEEP:
        raise ValueError(f"keep is {keep!r}: use 'target' or 'input', the image whose pixels stay as recorded")
    if not (np.isfinite(residual_limit_px) and residual_limit_px > 0):
        raise ValueError(f"the residual limit is {residual_limit_px} px: give a positive number of pixels")


def last(steps: Generator[Any, None, T], said: Callable[[Any], object] = lambda _: None) -> T:
    """Return what a generator returns at its end."""
    while True:
        try:
            said(next(steps))
        except StopIteration as end:
            value: T = end.value
            return value


def _median(values: np.ndarray) -> float:
    return float(np.median(values)) if len(values) else float("nan")


def _most(values: np.ndarray) -> float:
    return float(np.percentile(values, 95)) if len(values) else float("nan")
