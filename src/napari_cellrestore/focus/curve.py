"""Focus curves: a focus measure against z, its peak, and what makes it doubtful."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_cellrestore.focus.measures import find_measure, mean, not_finite
from napari_cellrestore.focus.planes import Array, Roi, StackLike, focus_stack, green_planes

#: A second local maximum above this part of the peak makes a curve jagged (Olofsson & Wagnström 2019, figure 2.7).
JAGGED = 0.9
#: A curve that rises by less than this part of its peak says nothing about focus.
FLAT = 0.05
#: A step this many times the usual one leaves out a plane: of even planes one that is missing doubles it.
GAP = 1.75
#: A minimum below this part of the lower of the two maxima around it is one of contrast at focus.
CONTRAST_MINIMUM = 0.5


@dataclass(frozen=True, eq=False)
class FocusCurve:
    """A focus measure against z.

    Attributes
    ----------
    z_um : (Z,) float array
        Position of each plane in ``z_unit``.
    values : (Z,) float array
        Focus measure of each plane; NaN where a plane has pixels that are not finite.
    peak_index : int
        The sharpest plane.
    peak_um : float
        Its position, between planes: the vertex of the parabola through the peak and its two neighbours.
    width_um : (float, float)
        Distance from the peak to half its height on the side of lower z and of higher z; NaN where not reached.
    asymmetry : float
        ``(higher - lower) / (higher + lower)`` of the widths: positive where focus is lost more slowly towards
        higher z. NaN where a width is.
    flags : tuple of str
        What makes the curve doubtful: ``"one plane"``, ``"flat"``, ``"peak at edge"``, ``"jagged"``,
        ``"contrast minimum at focus"``, ``"plane k not finite"``, ``"plane k constant"`` (all its pixels are equal, where
        those of other planes are not), ``"gap after plane k"`` (the next is :data:`GAP` usual steps away or more).
    method : str
        Name of the measure.
    z_unit : str
        ``"um"``, or ``"plane"`` where positions are not known: then all z and widths count planes.
    roi : (slice, slice) or None
        Rows and columns that were measured; None means all.
    minimum_um : float or None
        Where contrast is lowest between two maxima: the focus of a phase object (unstained cells in brightfield),
        given with the flag ``"contrast minimum at focus"``.
    minimum_index : int or None
        The plane of this minimum.
    """

    z_um: Array
    values: Array
    peak_index: int
    peak_um: float
    width_um: tuple[float, float] = (np.nan, np.nan)
    asymmetry: float = np.nan
    flags: tuple[str, ...] = ()
    method: str = "second_difference"
    z_unit: str = "um"
    roi: Roi | None = None
    minimum_um: float | None = None
    minimum_index: int | None = None


def focus_curve(
    stack_zyx: StackLike,
    z_um: Sequence[float] | Array | None = None,
    method: str = "second_difference",
    roi: Roi | None = None,
) -> FocusCurve:
    """Measure every plane of a focus stack and find the sharpest (Olofsson & Wagnström 2019, section 2.1.1).

    Parameters
    ----------
    stack_zyx : (Z, Y, X) or (Z, Y, X, 3 or 4) array, or ImageStack of axes ZYX or ZYXS
        numpy or dask; dask is read plane by plane, never whole.
    z_um : sequence of float, optional
        Position of each plane in micrometres, rising or falling, not necessarily even. Default: those of the
        ImageStack; otherwise plane numbers, and the curve says so in ``z_unit``.
    method : str
        A name of :data:`MEASURES`.
    roi : (slice, slice), optional
        Rows and columns to measure: in a tilted sample, or of cells of different height, each has its own peak.

    Returns
    -------
    FocusCurve

    Raises
    ------
    ValueError
        Wrong shape or axes, z positions that are repeated or out of order, no plane without NaN.

    Examples
    --------
    >>> texture = np.random.default_rng(0).normal(size=(32, 32))
    >>> contrast = np.sqrt([2.75, 4.75, 4.75, 2.75])  # F follows 5 - (z - 0.1)^2 / 0.01
    >>> curve = focus_curve(contrast[:, None, None] * texture, z_um=[-0.05, 0.05, 0.15, 0.25])
    >>> curve.peak_index, round(curve.peak_um, 6), curve.flags
    (1, 0.1, ())
    """
    measure = find_measure(method)
    planes, z, z_unit = focus_stack(stack_zyx, z_um)
    values, constant = np.full(len(z), np.nan), []
    for index, plane in enumerate(green_planes(planes, roi)):
        if not not_finite(plane):
            values[index] = measure(plane)
            if _is_constant(plane):
                constant.append(index)
    finite = np.flatnonzero(np.isfinite(values))
    if not len(finite):
        raise ValueError(
            f"none of the {len(z)} planes is finite: every plane has NaN or infinite pixels; mend the stack"
        )
    described = _describe(z[finite], values[finite])
    minimum = described.pop("minimum", None)
    bad = [f"plane {index} not finite" for index in range(len(z)) if index not in finite]
    if len(constant) < len(finite):  # where all are, the curve is flat
        bad += [f"plane {index} constant" for index in constant]
    bad += [f"gap after plane {index}" for index in _gaps(z)]
    return FocusCurve(
        z_um=z,
        values=values,
        peak_index=int(finite[values[finite].argmax()]),
        method=method,
        z_unit=z_unit,
        roi=roi,
        minimum_index=None if minimum is None else int(finite[minimum]),
        **{**described, "flags": described["flags"] + tuple(bad)},
    )


def _is_constant(grey: Array) -> bool:
    """Return whether all pixels are equal; of most images that are not a few tell."""
    few = grey[:: max(1, len(grey) // 4)]
    return bool((few == grey[0, 0]).all() and (grey == grey[0, 0]).all())


def _gaps(z: Array) -> list[int]:
    """Return the planes after which one or more are missing."""
    steps = np.abs(np.diff(z))
    return [int(index) for index in np.flatnonzero(steps >= GAP * np.median(steps))] if len(steps) else []


def _describe(z: Array, values: Array) -> dict[str, Any]:
    """Return what a curve says: position and width of its peak, and why not to trust it."""
    turned = z[0] > z[-1]
    if turned:
        z, values = z[::-1], values[::-1]
    peak = int(values.argmax())
    if len(z) == 1:
        return {"peak_um": float(z[0]), "flags": ("one plane",)}
    if values[peak] - values.min() <= FLAT * values[peak]:
        return {"peak_um": float(z[peak]), "flags": ("flat",)}
    peak_um, height = _vertex_at(z, values, peak)
    lower = -_half_maximum(-z[peak::-1], values[peak::-1], height / 2)
    higher = _half_maximum(z[peak:], values[peak:], height / 2)
    width = (peak_um - lower, higher - peak_um)
    minimum = _contrast_minimum(values)
    flags = {
        "peak at edge": peak in (0, len(z) - 1),
        "jagged": _count_maxima(values, JAGGED * values[peak]) > (1 if minimum is None else 2),
        "contrast minimum at focus": minimum is not None,
    }
    return {
        "peak_um": peak_um,
        "width_um": width,
        "asymmetry": (width[1] - width[0]) / (width[1] + width[0]),
        "flags": tuple(flag for flag, raised in flags.items() if raised),
        "minimum_um": None if minimum is None else _vertex_at(z, values, minimum)[0],
        "minimum": len(z) - 1 - minimum if turned and minimum is not None else minimum,
    }


def vertex(z: Sequence[Array], values: Sequence[Array]) -> tuple[Array, Array]:
    """Return position and height of the vertex of the parabola through three points, element by element.

    Where it is not defined (a neighbour is not finite, or all three are equal) it is the middle point.
    """
    before, after = z[1] - z[0], z[2] - z[1]
    with np.errstate(divide="ignore", invalid="ignore"):
        rise, fall = (values[1] - values[0]) / before, (values[2] - values[1]) / after
        slope = (rise * after + fall * before) / (before + after)  # at the middle point
        curvature = (fall - rise) / (before + after)
        shift = -slope / (2 * curvature)
    defined = np.isfinite(shift)
    shift = np.where(defined, shift, 0)
    return z[1] + shift, values[1] + np.where(defined, slope, 0) * shift / 2


def _vertex_at(z: Array, values: Array, index: int) -> tuple[float, float]:
    if not 0 < index < len(z) - 1:
        return float(z[index]), float(values[index])
    around = slice(index - 1, index + 2)
    position, height = vertex(list(z[around]), list(values[around]))
    return float(position), float(height)


def _half_maximum(z: Array, values: Array, half: float) -> float:
    """Return where values that start at a peak first fall to ``half``, between planes; NaN if they do not."""
    below = np.flatnonzero(values <= half)
    if not len(below):
        return np.nan
    pair = slice(below[0] - 1, below[0] + 1)
    return float(np.interp(-half, -values[pair], z[pair]))


def _count_maxima(values: Array, above: float) -> int:
    """Count local maxima, ends included, of at least a height; a plateau is one."""
    changes = values[np.diff(values, prepend=np.nan) != 0]
    padded = np.concatenate([[-np.inf], changes, [-np.inf]])
    return int(np.count_nonzero((changes > padded[:-2]) & (changes > padded[2:]) & (changes >= above)))


def _contrast_minimum(values: Array) -> int | None:
    """Return the plane of a pronounced minimum between two maxima, or None.

    Stained cells absorb and show most contrast in focus; a phase object shows least. One misplaced plane makes a dip
    too, but has its maxima next to it: here both are two planes away or more.
    """
    found, depth = None, CONTRAST_MINIMUM
    for index in range(2, len(values) - 2):
        left, right = values[:index], values[index + 1 :]
        relative = values[index] / min(left.max(), right.max())
        if relative < depth and left.argmax() < index - 1 and right.argmax() > 0:
            found, depth = index, relative
    return found


def sharpest(stack_zyx: StackLike, method: str = "second_difference", roi: Roi | None = None) -> int:
    """Return the index of the sharpest plane of a focus stack; see :func:`focus_curve`."""
    return focus_curve(stack_zyx, method=method, roi=roi).peak_index


def brightest_plane(stack_zyx: StackLike) -> int:
    """Return the index of the plane of highest mean, the one with most signal in fluorescence (Bon, section 1.2.2).

    Examples
    --------
    >>> brightest_plane(np.arange(4)[:, None, None] * np.ones((16, 16)))
    3
    """
    planes, _, _ = focus_stack(stack_zyx, None)
    means = [mean(plane) for plane in green_planes(planes)]
    if not np.isfinite(means).all():
        raise ValueError(f"plane {int(np.argmin(np.isfinite(means)))} has pixels that are not finite: leave it out")
    return int(np.argmax(means))
