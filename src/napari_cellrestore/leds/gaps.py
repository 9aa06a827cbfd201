"""LEDs that an array should have and a table does not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_cellrestore.leds.table import LedTable

#: LEDs of one ring differ by no more than this in their angle to the axis.
RING_DEG = 1.0
#: Part of the distance of neighbouring LEDs within which a place is that of an LED.
PLACE = 0.2

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Gap:
    """An LED or an exposure that is missing.

    Parameters
    ----------
    sentence : str
        What is missing, for the user.
    xy_mm : (float, float), optional
        Where on a flat panel the LED should be.
    polar_deg, azimuth_deg : float, optional
        In which direction of a ring it should be.
    """

    sentence: str
    xy_mm: tuple[float, float] | None = None
    polar_deg: float | None = None
    azimuth_deg: float | None = None

    def __str__(self) -> str:
        return self.sentence


def gaps(leds: LedTable) -> list[Gap]:
    """Return the LEDs that are missing, as far as the array is regular enough to tell.

    On a panel, whose places are whole multiples of one distance, an LED is missing where the panel has LEDs on all four
    sides, or one at one of the three places opposite; round panels may leave out their corners. Else, an LED is missing
    in rings (LEDs of one polar angle) that are even but for gaps. An exposure is missing where one LED lacks it and
    others have it. An empty list also means that the array is too irregular to tell.

    Examples
    --------
    >>> from napari_cellrestore.leds import rectangular_leds
    >>> leds = rectangular_leds(3, 3, pitch_mm=4, height_mm=90)
    >>> gaps(leds), *map(str, gaps(leds[leds.index != 2]))
    ([], 'no LED at x 4, y 4 mm, where the panel should have one')
    """
    single = leds[np.flatnonzero(leds.kind != "brightfield")]
    if not len(single):
        return []
    _, first = np.unique(single.index, return_index=True)
    array = single[first]
    places = _panel_places(array)
    found = _panel_gaps(array, *places) if places is not None else _ring_gaps(array)
    return [*found, *_exposure_gaps(single)]


def _panel_places(leds: LedTable) -> tuple[npt.NDArray[np.int64], Floats, Floats] | None:
    """Return columns and rows of a panel (N, 2), where the first is and their distances in mm; None where it is none."""
    xy_mm = np.stack([leds.x_mm, leds.y_mm], axis=1)
    if not np.isfinite(xy_mm).all() or len(leds) < 4:
        return None
    first, pitch = xy_mm.min(0), np.array([_pitch(column) for column in xy_mm.T])
    if not (pitch > 0).all():
        return None
    steps = (xy_mm - first) / pitch
    places = np.rint(steps).astype(np.int64)
    regular = np.abs(steps - places).max() <= PLACE and len(np.unique(places, axis=0)) == len(leds)
    filled = len(leds) >= 0.5 * np.prod(places.max(0) + 1)
    return (places, first, pitch) if regular and filled else None


def _pitch(positions_mm: Floats) -> float:
    """Return the smallest distance of positions that are not the same, 0 where there is one position."""
    steps = np.diff(np.unique(np.round(positions_mm, 6)))
    apart = steps[steps > PLACE * steps.max()] if len(steps) else steps
    return float(apart.min()) if len(apart) else 0.0


def _panel_gaps(leds: LedTable, places: npt.NDArray[np.int64], first: Floats, pitch: Floats) -> Iterator[Gap]:
    lit = np.zeros(places.max(0) + 1, bool)
    lit[tuple(places.T)] = True
    opposite = lit[::-1] | lit[:, ::-1] | lit[::-1, ::-1]
    enclosed = np.all([_beyond(lit, axis) & _beyond(lit[::-1, ::-1], axis)[::-1, ::-1] for axis in (0, 1)], axis=0)
    for place in np.argwhere((opposite | enclosed) & ~lit):
        x_mm, y_mm = np.round(first + place * pitch, 3) + 0.0  # no -0.0
        said = f"no LED at x {x_mm:g}, y {y_mm:g} mm, where the panel should have one"
        yield Gap(said, xy_mm=(float(x_mm), float(y_mm)))


def _beyond(lit: npt.NDArray[np.bool_], axis: int) -> npt.NDArray[np.bool_]:
    """Return where there is an LED at a lower place along an axis."""
    return np.asarray(np.logical_or.accumulate(lit, axis=axis))


def _ring_gaps(leds: LedTable) -> Iterator[Gap]:
    order = np.argsort(leds.polar_deg, kind="stable")
    rings = np.split(order, np.flatnonzero(np.diff(leds.polar_deg[order]) > RING_DEG) + 1)
    for ring in rings:
        azimuths = np.sort(leds.azimuth_deg[ring] % 360)
        if len(ring) < 3:
            continue
        steps = np.diff(azimuths, append=azimuths[0] + 360)
        step = steps.min()
        if step <= 0:
            continue
        n = np.rint(steps / step)
        if np.abs(steps / step - n).max() > PLACE or len(ring) < n.sum() / 2:
            continue
        polar = leds.polar_deg[ring].mean()
        for start, missing in zip(azimuths, n.astype(int) - 1, strict=True):
            for i in range(missing):
                azimuth = (start + (i + 1) * step) % 360
                said = (
                    f"no LED at {polar:.3g} deg from the axis, azimuth {azimuth:.4g} deg, where the ring of "
                    f"{n.sum():g} should have one"
                )
                yield Gap(said, polar_deg=float(polar), azimuth_deg=float(azimuth))


def _exposure_gaps(leds: LedTable) -> Iterator[Gap]:
    taken = {index: set(leds.exposure[leds.index == index].tolist()) for index in np.unique(leds.index).tolist()}
    pairs = {"low", "high"} & set(leds.exposure.tolist())
    for index, exposures in taken.items():
        if exposures & pairs and (lacks := pairs - exposures):
            yield Gap(f"LED {index} has no plane of {min(lacks)} exposure, others of the array have both")
