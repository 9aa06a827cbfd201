"""Where the LEDs of a table are in a plan of the array, seen as the image is: x to the right, y down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_cellrestore.leds import LedTable
from napari_cellrestore.leds.gaps import Gap

#: Radii that fall by no more than this part of the largest still rise with the angle.
UNEVEN = 0.02
#: How far aside an LED may be to lie in a direction: tangent of the angle.
ASIDE = 1.2

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Spot:
    """One LED in the plan: the rows of the table that it shone for, as it is (x, y), and what shone."""

    rows: tuple[int, ...]
    xy: tuple[float, float]
    kind: str


@dataclass(frozen=True, eq=False)
class Plan:
    """The spots of a table.

    Parameters
    ----------
    spots : sequence of Spot
    spacing : float
        Distance of neighbouring LEDs (median), in the unit of the positions.
    in_mm : bool
        Positions are those of a flat array in mm; else they are sines of angles.
    radius : (N,), (N,) float arrays
        ``sin(polar)`` of the single LEDs, rising, and how far from the axis they are.
    """

    spots: Sequence[Spot]
    spacing: float
    in_mm: bool
    radius: tuple[Floats, Floats]

    @property
    def xy(self) -> Floats:
        """Places (N, 2) of the spots."""
        return np.array([spot.xy for spot in self.spots], float).reshape(-1, 2)

    def spot_of(self, row: int) -> int:
        """Return the number of the spot of a row of the table."""
        return next(number for number, spot in enumerate(self.spots) if row in spot.rows)

    def place_of(self, gap: Gap) -> tuple[float, float] | None:
        """Return where a missing LED should be; None where this plan has no place for it."""
        if self.in_mm or gap.polar_deg is None or gap.azimuth_deg is None:
            return gap.xy_mm if self.in_mm else None
        sine, azimuth = np.sin(np.radians(gap.polar_deg)), np.radians(gap.azimuth_deg)
        return float(sine * np.cos(azimuth)), float(sine * np.sin(azimuth))

    def aperture_radius(self, na: float) -> float | None:
        """Return how far from the axis LEDs are whose light just enters the objective; None where all light does."""
        if na >= 1 or not len(self.radius[0]):
            return None
        sine, radius = self.radius
        if na <= sine[-1]:
            return float(np.interp(na, np.concatenate([[0], sine]), np.concatenate([[0], radius])))
        if self.in_mm:  # a flat panel goes on
            slope = na / np.sqrt(1 - na**2) / (sine[-1] / np.sqrt(1 - sine[-1] ** 2))
            return float(radius[-1] * slope)
        return na

    def next_spot(self, number: int, dx: float, dy: float) -> int:
        """Return the nearest spot in a direction, the same one where there is none."""
        step = self.xy - self.xy[number]
        ahead, aside = step @ (dx, dy), np.abs(step @ (-dy, dx))
        cost = np.where((ahead > 1e-9) & (aside <= ASIDE * ahead), ahead + 2 * aside, np.inf)
        best = int(np.argmin(cost))
        return best if np.isfinite(cost[best]) else number


def plan_of(leds: LedTable, kinds: Sequence[str]) -> Plan:
    """Return the plan of a table: LEDs where they are in mm if that is known and fits their angles, else by angle.

    ``kinds`` is what shone for each row. A plane lit by all LEDs inside the aperture is put beside the array.
    """
    single = np.flatnonzero(leds.kind != "brightfield")
    sine = np.sin(np.radians(leds.polar_deg))
    azimuth = np.radians(leds.azimuth_deg)
    by_angle = np.stack([sine * np.cos(azimuth), sine * np.sin(azimuth)], axis=1)
    in_mm = np.stack([leds.x_mm, leds.y_mm], axis=1)
    use_mm = bool(len(single)) and _rises(sine[single], np.hypot(*in_mm[single].T))
    xy = in_mm if use_mm else by_angle
    spots = _spots(leds, single, xy, kinds)
    spacing = _spacing(np.array([spot.xy for spot in spots]))
    if len(single) < len(leds):
        together = tuple(np.flatnonzero(leds.kind == "brightfield").tolist())
        spots.append(Spot(together, _beside([spot.xy for spot in spots], spacing), "brightfield"))
    order = single[np.argsort(sine[single], kind="stable")]
    radius = np.maximum.accumulate(np.hypot(*xy[order].T)) if len(order) else np.zeros(0)
    return Plan(spots, spacing, use_mm, (sine[order], radius))


def _spots(leds: LedTable, single: npt.NDArray[np.intp], xy: Floats, kinds: Sequence[str]) -> list[Spot]:
    """Return one spot for each LED: rows of one index and one place."""
    rows_of: dict[tuple[int, float, float], list[int]] = {}
    for row in single.tolist():
        x, y = np.round(xy[row], 6).tolist()
        rows_of.setdefault((int(leds.index[row]), x, y), []).append(row)
    return [Spot(tuple(rows), (x, y), str(kinds[rows[0]])) for (_, x, y), rows in rows_of.items()]


def _rises(sine: Floats, radius: Floats) -> bool:
    """Return whether distances from the axis are known and rise with the angle, as they do where both are right."""
    if not np.isfinite(radius).all():
        return False
    along = radius[np.argsort(sine, kind="stable")]
    return bool((np.maximum.accumulate(along) - along).max() <= UNEVEN * radius.max())


def _spacing(xy: Floats) -> float:
    if len(xy) < 2:
        return 1.0
    distance = np.hypot(*(xy[:, None] - xy[None]).transpose(2, 0, 1))
    nearest = np.where(distance > 1e-9, distance, np.inf).min(axis=1)
    known = nearest[np.isfinite(nearest)]
    return float(np.median(known)) if len(known) else 1.0


def _beside(xy: Sequence[tuple[float, float]], spacing: float) -> tuple[float, float]:
    """Return the upper right corner of the array, or above it where an LED is there."""
    if not xy:
        return 0.0, 0.0
    places = np.array(xy)
    x, y = places[:, 0].max(), places[:, 1].min()
    free = np.hypot(*(places - (x, y)).T).min() > 2 * spacing
    return float(x), float(y if free else y - 2 * spacing)
