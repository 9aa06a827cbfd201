"""Images made of many planes of an LED stack: brightfield, dark field, differential phase, colour by angle.

All add up planes one by one: of a dask array the result is a dask array, which reads each plane once and holds a few of
them. Each LED counts once at each wavelength: at the exposure that all of them have, of several the first of
:data:`PREFERRED`. "high" is not mixed with others; other differences in exposure and gain are not evened out. Planes of
the kind "brightfield", lit by many LEDs, are never part.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import dask.array as da
import numpy as np
import numpy.typing as npt

from napari_cellrestore.leds import LedTable
from napari_cellrestore.stack import ImageStack

#: Which plane of an LED is taken where it has several.
PREFERRED = ("hdr", "single", "low", "high")
#: LEDs whose light is this close to the line between two halves are part of neither.
LINE_DEG = 1.0
#: Partial sums that are added at once: few are in memory.
_AT_ONCE = 2

Rows = npt.NDArray[np.intp]


def brightfield(stack: ImageStack, na: float, *, saturation: float | None = None) -> Any:
    """Return the mean of the planes whose light enters the objective, ``sin(polar) < na``.

    LEDs do not interfere, so their sum is what a camera records when all shine at once; the mean has the grey levels of
    one plane.

    Parameters
    ----------
    stack : ImageStack
        Axes AYX or AYXS, with its LED table.
    na : float
        Numerical aperture of the objective.
    saturation : float, optional
        Grey level from which pixels are burnt: a pixel that is in any of the planes becomes NaN. Otherwise burnt pixels
        count as they are and the mean is too low there. HDR planes have none.

    Returns
    -------
    (Y, X[, S]) float32, dask or numpy as the stack
        Grey levels.

    Raises
    ------
    ValueError
        Other axes, no table, no LED inside the aperture, high exposures beside others.

    Examples
    --------
    >>> leds = LedTable(index=[0, 1, 2], polar_deg=[0, 10, 40], azimuth_deg=0)
    >>> stack = ImageStack(np.array([20, 10, 1], np.uint8).reshape(3, 1, 1), "AYX", leds=leds)
    >>> brightfield(stack, na=0.4).tolist(), darkfield(stack, na=0.4).tolist()
    ([[15.0]], [[1.0]])
    """
    leds = lit_table(stack)
    rows = _rows(leds, leds.brightfield(na), f"with light inside NA {na:g}")
    return _mean(stack.data, rows, saturation).astype(np.float32)


def darkfield(stack: ImageStack, na: float, *, saturation: float | None = None) -> Any:
    """Return the mean of the planes whose light misses the objective, ``sin(polar) >= na``: scattered light alone.

    Planes at small angles are brightest and so count most. Parameters, result and errors as of :func:`brightfield`.
    """
    leds = lit_table(stack)
    rows = _rows(leds, ~leds.brightfield(na), f"with light outside NA {na:g}")
    return _mean(stack.data, rows, saturation).astype(np.float32)


def differential_phase(stack: ImageStack, azimuth_deg: float, na: float, *, saturation: float | None = None) -> Any:
    """Return the differential phase contrast along an azimuth, ``(one - other) / (one + other)``.

    One and other are the means of the brightfield planes whose LEDs are on the side of the azimuth and on the opposite
    one (Mehta & Sheppard 2009, Opt. Lett. 34:1924; Tian, Wang & Waller 2014, Opt. Lett. 39:1326). It shows the slope of
    phase along the azimuth, absorption cancels. Its sign is that of the set-up: light that travels towards where phase
    rises is bent further, and more of it lost, so that the slope is negative if azimuths say where light goes to, as in
    :mod:`napari_cellrestore.simulate`, and positive if they say where it comes from, unless the camera turns the image.
    LEDs within :data:`LINE_DEG` of the line between the halves are left out, also those on the axis.

    Parameters
    ----------
    stack, na, saturation
        As of :func:`brightfield`.
    azimuth_deg : float
        From +x (columns) towards +y (rows, down): 0 compares right with left, 90 below with above.

    Returns
    -------
    (Y, X[, S]) float32
        Without unit, from -1 to 1 for light that is not negative; NaN where neither half has light.

    Examples
    --------
    >>> leds = LedTable(index=range(3), polar_deg=[0, 10, 10], azimuth_deg=[0, 0, 180])
    >>> stack = ImageStack(np.array([9, 3, 1], np.uint8).reshape(3, 1, 1), "AYX", leds=leds)
    >>> [differential_phase(stack, azimuth, na=0.4).item() for azimuth in (0, 180)]
    [0.5, -0.5]
    """
    leds = lit_table(stack)
    if not np.isfinite(azimuth_deg):
        raise ValueError(f"azimuth_deg is {azimuth_deg}: give an angle in degrees")
    along = np.sin(np.radians(leds.polar_deg)) * np.cos(np.radians(leds.azimuth_deg - azimuth_deg))
    inside, line = np.isin(np.arange(len(leds)), single_leds(leds, leds.brightfield(na))), np.sin(np.radians(LINE_DEG))
    one, other = (
        _mean(
            stack.data,
            _rows(leds, inside & half, f"inside NA {na:g} on one side of azimuth {azimuth_deg:g} deg"),
            saturation,
        )
        for half in (along > line, along < -line)
    )
    light = one + other
    where = da.where if isinstance(light, da.Array) else np.where
    return where(light > 0, (one - other) / where(light > 0, light, 1), np.nan).astype(np.float32)


def colour_by_angle(stack: ImageStack, na: float | None = None, *, saturation: float | None = None) -> Any:
    """Return dark field coloured by where the light came from.

    Red, green and blue are means over the dark-field planes weighted by ``(1 + cos(azimuth - c)) / 2`` with c = 0, 120
    and 240 degrees. What scatters light from all sides alike is grey, an edge has the colour of the side it faces: red
    for light from +x (right), yellow-green for +y (below), cyan for -x, violet for -y.

    Parameters
    ----------
    stack, saturation
        As of :func:`brightfield`; of colour stacks the green channel, so that colours mean angles alone.
    na : float, optional
        Numerical aperture: planes with ``sin(polar) >= na`` are dark field. If not given those of the kind "darkfield".

    Returns
    -------
    (Y, X, 3) float32
        Grey levels.
    """
    leds = lit_table(stack)
    dark = leds.kind == "darkfield" if na is None else ~leds.brightfield(na)
    hint = "of the kind darkfield; give na to tell by angle" if na is None else f"with light outside NA {na:g}"
    rows = _rows(leds, dark, hint)
    data = stack.data[..., 1] if stack.rgb else stack.data
    azimuth = np.radians(leds.azimuth_deg[rows])
    weights = (1 + np.cos(azimuth[:, np.newaxis] - np.radians((0, 120, 240)))) / 2
    return _mean(data, rows, saturation, weights).astype(np.float32)


def lit_table(stack: ImageStack) -> LedTable:
    """Return the LED table of a stack of axes AYX or AYXS; ValueError where it is none."""
    if stack.axes not in ("AYX", "AYXS"):
        raise ValueError(
            f"stack has axes {stack.axes}: give an LED stack, AYX or AYXS; select one plane along the others"
        )
    if stack.leds is None:
        raise ValueError("the stack has no LED table: open it with leds=, or put <name>.leds.csv beside the file")
    return stack.leds


def single_leds(leds: LedTable, wanted: npt.NDArray[np.bool_]) -> Rows:
    """Return the rows, of those wanted, of one LED each, every LED once at each wavelength; see this module.

    ValueError where some LEDs have nothing but the exposure "high" and others do not have it.
    """
    taken: defaultdict[tuple[int, float], dict[str, int]] = defaultdict(dict)
    for row in np.flatnonzero(wanted & (leds.kind != "brightfield")).tolist():
        taken[int(leds.index[row]), float(np.nan_to_num(leds.wavelength_um[row]))][str(leds.exposure[row])] = row
    shared = [exposure for exposure in PREFERRED if all(exposure in planes for planes in taken.values())]
    rows = [next(planes[one] for one in (*shared, *PREFERRED) if one in planes) for planes in taken.values()]
    high = leds.exposure[rows] == "high"
    if high.any() and not high.all():
        one, other = rows[int(high.argmax())], rows[int(high.argmin())]
        raise ValueError(
            f"plane {one} (LED {leds.index[one]}) is a high exposure, the only one of its LED, plane {other} "
            f"(LED {leds.index[other]}) is {leds.exposure[other]}: give planes of one exposure, or leave this LED out"
        )
    return np.array(sorted(rows), np.intp)


def _rows(leds: LedTable, wanted: npt.NDArray[np.bool_], said: str) -> Rows:
    """Return the rows of single LEDs that are wanted, each LED once."""
    rows = single_leds(leds, wanted)
    if not len(rows):
        raise ValueError(
            f"no plane of a single LED {said}: the angles go from {leds.polar_deg.min():g} to {leds.polar_deg.max():g} deg"
        )
    return rows


def _mean(data: Any, rows: Rows, saturation: float | None, weights: npt.NDArray[np.float64] | None = None) -> Any:
    """Return the mean of planes as float64; with weights (planes, images) several, along a last axis. NaN where one is burnt."""
    weights = np.ones((len(rows), 1)) if weights is None else weights
    if not (weights.sum(axis=0) > 0).all():
        raise ValueError("the LEDs are all on the other side: give a stack with LEDs all around")
    if isinstance(data, da.Array):
        planes = data[rows][..., np.newaxis]
        each = da.from_array(
            weights.reshape(len(rows), *(1,) * (planes.ndim - 2), -1),
            chunks=(planes.chunks[0], *(-1,) * (planes.ndim - 1)),
        )
        light = da.map_blocks(_weighted, planes, each, saturation, dtype=np.float64, meta=np.empty((0,) * planes.ndim))
        total = light.sum(axis=0, split_every=_AT_ONCE)
    else:
        total = sum(
            _weighted(data[row][..., np.newaxis], weight, saturation) for row, weight in zip(rows, weights, strict=True)
        )
    mean = total / weights.sum(axis=0)
    return mean[..., 0] if weights.shape[1] == 1 else mean


def _weighted(
    planes: npt.NDArray[Any], weight: npt.NDArray[np.float64], saturation: float | None
) -> npt.NDArray[np.float64]:
    light: npt.NDArray[np.float64] = weight * planes.astype(np.float64)
    return light if saturation is None else np.where(planes >= saturation, np.nan, light)
