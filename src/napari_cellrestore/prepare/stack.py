"""One focus stack for training, or why it is of no use."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_cellrestore.focus import FocusCurve, focus_curve
from napari_cellrestore.prepare.steps import Interval, check_interval, peaks_within, positions, recentre, trim
from napari_cellrestore.register import Roi, align_stack, common_area
from napari_cellrestore.segment import largest_nucleus, square_around
from napari_cellrestore.stack import ImageStack

#: Flags of a focus curve that leave no sharpest plane to go by, and ends of those that name a plane of no use.
USELESS = ("one plane", "flat")
USELESS_PLANE = ("not finite", "constant")


@dataclass(frozen=True, eq=False)
class Prepared:
    """A stack for training, or why there is none.

    Attributes
    ----------
    stack : ImageStack or None
        None where the stack was discarded.
    reason : str
        Why it was discarded; empty where it was kept.
    curve : FocusCurve or None
        As measured, against z as it was acquired, of the part that was cut out; None where none could be.
    shifts_px : (Z, 2) float array or None
        By how much the planes that are left were moved; None where they were not aligned.
    """

    stack: ImageStack | None
    reason: str = ""
    curve: FocusCurve | None = None
    shifts_px: npt.NDArray[np.float64] | None = None


def prepare_stack(
    stack: ImageStack,
    *,
    keep_um: Interval | None = (-0.2, 0.4),
    range_um: Interval | None = (-1.4, 1.2),
    align: bool = True,
    crop_px: int | None = None,
    jitter_px: float | None = None,
    rng: np.random.Generator | None = None,
) -> Prepared:
    """Prepare a focus stack for training (Olofsson & Wagnström 2019, section 2.1), or say why it is of no use.

    The square around the nucleus is chosen first and its sharpest plane found, as it may be another than that of
    the whole image. Then z is counted from it, planes are trimmed, whole planes are aligned to it, and the square is
    cut out of them. What a shift leaves empty at the borders is cut off, never filled.

    Parameters
    ----------
    stack : ImageStack
        Of axes ZYX or ZYXS, with ``z_um``; of dask pixels are moved and cut when they are asked for.
    keep_um : (float, float) or None
        Interval of z, as acquired, in which the sharpest plane must lie; None keeps all.
    range_um : (float, float) or None
        z range to trim to, from the sharpest plane; None leaves all planes.
    align : bool
        Whether to align planes, see :func:`napari_cellrestore.register.align_stack`.
    crop_px : int, optional
        Side of the square; default: the whole image.
    jitter_px, rng
        As in :func:`napari_cellrestore.segment.crop_around_nucleus`.

    Returns
    -------
    Prepared

    Raises
    ------
    ValueError
        Options that cannot be. What is wrong with the stack is not raised but the ``reason``.

    Examples
    --------
    >>> texture = np.random.default_rng(0).normal(size=(32, 32))
    >>> contrast = np.array([1, 2, 3, 2, 1.0])
    >>> stack = ImageStack(contrast[:, None, None] * texture, "ZYX", z_um=[-0.2, 0, 0.2, 0.4, 0.6])
    >>> prepare_stack(stack, range_um=(-0.2, 0.2)).stack.z_um.tolist()
    [-0.2, 0.0, 0.2]
    >>> prepare_stack(stack, keep_um=(-0.1, 0.1)).reason
    'sharpest at 0.2 um, outside -0.1 to 0.1 um'
    """
    check_options(keep_um, range_um, crop_px, jitter_px, rng)
    curve: FocusCurve | None = None
    try:
        _check_pixels(stack)
        square = None if crop_px is None else _square(stack, crop_px, jitter_px, rng)
        curve = focus_curve(stack, roi=square)
        if reason := _useless(curve, keep_um):
            return Prepared(None, reason, curve)
        centred = recentre(stack, curve)
        ready = centred if range_um is None else trim(centred, *range_um)
        if not align or ready.size("Z") == 1:
            return Prepared(_cut(ready, square), "", curve)
        aligned, shifts_px = align_stack(ready, int(np.argmin(np.abs(positions(ready)))))
        area = common_area(shifts_px, ready.yx_shape)
        return Prepared(_cut(aligned, area if square is None else _moved_inside(square, area)), "", curve, shifts_px)
    except ValueError as error:
        return Prepared(None, str(error), curve)


def _square(
    stack: ImageStack, crop_px: int, jitter_px: float | None, rng: np.random.Generator | None
) -> tuple[slice, slice]:
    nucleus = largest_nucleus(stack.select("Z", focus_curve(stack).peak_index))
    return square_around(nucleus.centroid_px, stack.yx_shape, crop_px, jitter_px, rng)


def _useless(curve: FocusCurve, keep_um: Interval | None) -> str:
    """Return why a curve cannot be used, nothing where it can."""
    if doubts := [flag for flag in curve.flags if flag in USELESS or flag.endswith(USELESS_PLANE)]:
        return f"focus curve: {', '.join(doubts)}"
    if keep_um is None or peaks_within(curve, *keep_um):
        return ""
    return f"sharpest at {curve.z_um[curve.peak_index]:g} um, outside {keep_um[0]:g} to {keep_um[1]:g} um"


def _moved_inside(square: Roi, area: Roi) -> Roi:
    """Return the square moved as little as needed to lie in the area."""
    moved = []
    for part, allowed in zip(square, area, strict=True):
        side = part.stop - part.start
        if side > allowed.stop - allowed.start:
            raise ValueError(
                f"a square of {side} px does not fit the {allowed.stop - allowed.start} px that the aligned planes have in "
                "common: choose a smaller one"
            )
        start = min(max(part.start, allowed.start), allowed.stop - side)
        moved.append(slice(start, start + side))
    return moved[0], moved[1]


def _cut(stack: ImageStack, part: Roi | None) -> ImageStack:
    if part is None or part == tuple(slice(0, length) for length in stack.yx_shape):
        return stack
    rows, columns = part
    made = {"cropped": {"rows": [rows.start, rows.stop], "columns": [columns.start, columns.stop]}}
    return stack.replace(data=stack.data[:, rows, columns], provenance={**stack.provenance, **made})


# --- what came in --------------------------------------------------------------------------------------------


def _check_pixels(stack: ImageStack) -> None:
    if stack.data.dtype.kind not in "uif":
        raise ValueError(f"pixels are {stack.data.dtype}: give grey levels, integer or float")
    positions(stack)


def check_options(
    keep_um: Interval | None,
    range_um: Interval | None,
    crop_px: int | None,
    jitter_px: float | None,
    rng: np.random.Generator | None,
) -> None:
    """Raise ValueError for options of :func:`prepare_stack` that cannot be."""
    if keep_um is not None:
        check_interval(keep_um, "keep_um")
    if range_um is not None:
        low, high = check_interval(range_um, "range_um")
        if not low <= 0 <= high:
            raise ValueError(f"range_um is {low:g} to {high:g} um: it counts from the sharpest plane and must hold 0")
    if crop_px is not None:
        if isinstance(crop_px, bool) or int(crop_px) != crop_px or crop_px < 13:
            raise ValueError(f"crop_px is {crop_px}: give a whole number, 13 or more (the focus measure needs 13 px)")
        square_around((0, 0), (crop_px, crop_px), crop_px, jitter_px, rng)
