"""Turns and mirrors that map an LED array onto itself, and which plane then takes whose place.

A turned image is as if it were lit from the turned direction, so with the image the planes of a stack must change places
(Wulff 2022, 3.1.6, leaves that out). Five arms allow turns by 72 degrees, which pixels have to be interpolated for.

Images are as one sees them: rows run down, a turn is against the clock. Directions are ``sin(polar)`` times (cos, sin) of
the azimuth, which runs from +x (columns) towards +y (rows, down), so that against the clock it falls. That is the
convention of :class:`napari_cellrestore.spread.Symmetry`.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from napari_cellrestore.leds.table import LedTable

#: LEDs are the same where their directions differ by no more than this.
TOLERANCE_DEG = 1.0
#: LEDs so near the axis may be taken for one another more freely: what they light looks much the same.
NEAR_AXIS_DEG = 10.0
#: Found turns are rounded to this many decimals of a degree: tables are not more exact.
_DECIMALS = 3

Array = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]


def permutation(
    leds: LedTable,
    turn_deg: float,
    mirrored: bool = False,
    *,
    tolerance_deg: float = TOLERANCE_DEG,
    near_axis_tolerance_deg: float | None = None,
) -> Rows | None:
    """Return which row of the table takes whose place when the image is turned, None where some LED has no counterpart.

    Parameters
    ----------
    leds : LedTable
        LEDs change places only with those of the same exposure, kind and wavelength. Rows of the kind
        "brightfield" have no direction.
    turn_deg : float
        Turn of the image against the clock, any angle.
    mirrored : bool
        Left and right are exchanged first.
    tolerance_deg : float
        Angle between an LED turned and the one whose place it takes, at most. Rows are paired so that the sum of the
        roots of the angles is smallest, which keeps exact pairs together.
    near_axis_tolerance_deg : float, optional
        The same between two LEDs within :data:`NEAR_AXIS_DEG` of the axis; as of the others where left out.

    Returns
    -------
    rows : (A,) array of int or None
        ``turned(stack[rows])`` is as if lit by the LEDs of ``leds``, row by row.

    Examples
    --------
    >>> cross = LedTable(index=range(5), polar_deg=[0, 30, 30, 30, 30], azimuth_deg=[0, 0, 90, 180, 270])
    >>> permutation(cross, 90).tolist(), permutation(cross, 45)
    ([0, 2, 3, 4, 1], None)
    """
    if not np.isfinite(turn_deg):
        raise ValueError(f"turn_deg is {turn_deg}: give an angle in degrees")
    if not 0 <= tolerance_deg < 90:
        raise ValueError(f"tolerance_deg is {tolerance_deg}: give an angle from 0 to below 90 degrees")
    places = _unit_vectors(leds)
    angle_deg = _angles_deg(places, _turned(places, turn_deg, mirrored))
    # 1e-6: a turn by sums of cosines is not exact
    far = _unlike(leds) | (angle_deg > _most_deg(places, tolerance_deg, near_axis_tolerance_deg) + 1e-6)
    _, rows = linear_sum_assignment(np.where(far, 1e6, np.sqrt(angle_deg)))
    return None if far[np.arange(len(leds)), rows].any() else np.asarray(rows)


def turns(
    leds: LedTable, *, tolerance_deg: float = TOLERANCE_DEG, near_axis_tolerance_deg: float | None = None
) -> list[tuple[float, bool]]:
    """Return the turns (degrees against the clock, mirrored first or not) that map an LED array onto itself.

    Parameters
    ----------
    leds : LedTable
        A table in which no LED is off the axis has the turn by 0 alone: all turns map it.
    tolerance_deg, near_axis_tolerance_deg : float
        As in :func:`permutation`. The array of Wulff 2022 has three LEDs near the axis beside its five arms. No turn
        maps both, but the mirror does if one of the three is on an arm; without the three the arms have all ten. With
        7 degrees near the axis the whole array has them: the three, turned by a fifth, are 6.5 degrees from one another.

    Returns
    -------
    list of (float, bool)
        By angle from 0 to below 360, those not mirrored first; of directions that are not exact the median turn.

    Examples
    --------
    >>> from napari_cellrestore.leds import arm_leds
    >>> turns(arm_leds(near_axis=0))[:5]
    [(0.0, False), (72.0, False), (144.0, False), (216.0, False), (288.0, False)]
    >>> turns(arm_leds()), len(turns(arm_leds(), near_axis_tolerance_deg=7))
    ([(0.0, False), (180.0, True)], 10)
    """
    places = _unit_vectors(leds)
    polar_deg = np.degrees(np.arccos(np.clip(places[:, 2], -1, 1)))
    outermost = int(np.argmax(polar_deg))
    if polar_deg[outermost] <= tolerance_deg:
        return [(0.0, False)]
    like = ~_unlike(leds)[outermost] & (polar_deg[outermost] - polar_deg <= tolerance_deg)
    maps = partial(permutation, leds, near_axis_tolerance_deg=near_axis_tolerance_deg)
    found: list[tuple[float, bool]] = []
    for mirrored in (False, True):
        best = {}
        for row in np.flatnonzero(like):
            turn = _turn_deg(places[[row]], places[[outermost]], mirrored)
            rows = maps(turn, mirrored, tolerance_deg=min(2 * tolerance_deg, 89))
            if rows is None:
                continue
            turn = _turn_deg(places[rows], places, mirrored)  # of all LEDs, not of one
            if maps(turn, mirrored, tolerance_deg=tolerance_deg) is not None:
                best[rows.tobytes()] = turn
        found += sorted((turn, mirrored) for turn in best.values())
    return found


def _unit_vectors(leds: LedTable) -> Array:
    """Return where the light comes from as (A, 3) vectors x, y, z of length 1."""
    polar = np.radians(np.where(leds.kind == "brightfield", 0, leds.polar_deg))
    azimuth = np.radians(leds.azimuth_deg)
    return np.stack([np.sin(polar) * np.cos(azimuth), np.sin(polar) * np.sin(azimuth), np.cos(polar)], axis=1)


def _turned(vectors: Array, turn_deg: float, mirrored: bool) -> Array:
    """Return vectors mirrored left to right, or not, and then turned against the clock, where y runs down."""
    cos, sin = np.cos(np.radians(turn_deg)), np.sin(np.radians(turn_deg))
    x, y, z = vectors.T
    x = -x if mirrored else x
    return np.stack([cos * x + sin * y, -sin * x + cos * y, z], axis=1)


def _turn_deg(vectors: Array, places: Array, mirrored: bool) -> float:
    """Return the turn that brings vectors, mirrored or not, onto their places: the median, from 0 to below 360."""
    here, there = (side[:, :2] @ (1, 1j) for side in (_turned(vectors, 0, mirrored), places))
    mean = np.angle(np.vdot(here, there))
    off_axis = np.abs(here) > np.sin(np.radians(TOLERANCE_DEG))
    beside_mean = np.angle(np.conj(here) * there * np.exp(-1j * mean))[off_axis]
    return float(np.round(-np.degrees(mean + np.median(beside_mean)), _DECIMALS) % 360)


def _angles_deg(places: Array, vectors: Array) -> Array:
    """Return the angle of each place to each vector; by the chord, which is exact for small angles."""
    chord = np.linalg.norm(places[:, None] - vectors[None], axis=2)
    return np.asarray(np.degrees(2 * np.arcsin(np.minimum(chord / 2, 1))))


def _most_deg(places: Array, tolerance_deg: float, near_axis_tolerance_deg: float | None) -> Array:
    """Return the largest angle between each two LEDs that may be taken for one another."""
    near = places[:, 2] > np.cos(np.radians(NEAR_AXIS_DEG))
    both = near[:, None] & near
    return np.where(both, tolerance_deg if near_axis_tolerance_deg is None else near_axis_tolerance_deg, tolerance_deg)


def _unlike(leds: LedTable) -> npt.NDArray[np.bool_]:
    """Return for each pair of rows whether they differ in more than where the LED is."""
    columns = (leds.exposure, leds.kind, np.nan_to_num(leds.wavelength_um))
    return np.asarray(np.any([column[:, None] != column[None] for column in columns], axis=0))
