"""Arrays of LEDs that are common: a rectangular panel, and arms around the axis."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from napari_cellrestore.leds.table import LedTable

Array = np.ndarray

#: How the LEDs of a panel are numbered.
ORDERS = ("spiral", "rows")
#: Polar angles along an arm of Wulff 2022. The source names 10, 24 and 57 degrees (3.1.1, A.3.1), two LEDs up to 18, three
#: more up to 36 (table 3.1) and six beyond NA 0.4; the others are set evenly between here.
ARM_POLAR_DEG = (10.0, 17.0, 24.0, 30.0, 36.0, 43.0, 50.0, 57.0)
#: Index of a row that all LEDs inside the aperture shone for.
ALL_INSIDE = -1


def rectangular_leds(
    rows: int,
    columns: int,
    pitch_mm: float,
    height_mm: float,
    *,
    order: str = "spiral",
    offset_mm: tuple[float, float] = (0.0, 0.0),
    slide_mm: float = 0.0,
    slide_index: float = 1.52,
    **columns_of_table: Any,
) -> LedTable:
    """Return the table of a panel of LEDs below the sample.

    The centre LED, in row ``rows // 2`` and column ``columns // 2`` counted from 0, is on the optical axis.

    Parameters
    ----------
    rows, columns : int
        LEDs along y and x.
    pitch_mm : float
        Distance of neighbouring LEDs.
    height_mm : float
        Distance of the panel and the sample, of which the slide is not part.
    order : {"spiral", "rows"}
        How LEDs are numbered and planes follow one another. "spiral": from the centre LED outward, first to +x, then
        +y, -x, -y and so on, as Fourier-ptychographic set-ups light them (Zheng, Horstmeyer & Yang 2013, Nat. Photonics
        7:739); places beyond the panel are passed over. "rows": line by line from -y to +y, in each from -x to +x.
    offset_mm : (float, float)
        Where the centre LED is, (x, y) from the axis: panels are seldom centred better than a millimetre.
    slide_mm, slide_index : float
        Thickness of the glass that the light goes through to the sample: it comes from
        ``height tan(polar) + slide tan(asin(sin(polar) / index))`` off the axis. Angles are those in air.
    **columns_of_table
        ``exposure``, ``wavelength_um`` and other columns of :class:`LedTable`.

    Examples
    --------
    >>> leds = rectangular_leds(3, 3, pitch_mm=4, height_mm=91.5)
    >>> list(zip(leds.x_mm.tolist(), leds.y_mm.tolist()))[:5]
    [(0.0, 0.0), (4.0, 0.0), (4.0, 4.0), (0.0, 4.0), (-4.0, 4.0)]
    """
    if rows < 1 or columns < 1:
        raise ValueError(f"rows is {rows} and columns {columns}: an array has at least one LED")
    for name, value in (("pitch_mm", pitch_mm), ("height_mm", height_mm)):
        if not (np.isfinite(value) and value > 0):
            raise ValueError(f"{name} is {value}: give a positive number of millimetres")
    if not (0 <= slide_mm <= height_mm / 2 and slide_index >= 1):
        raise ValueError(
            f"slide_mm is {slide_mm} and slide_index {slide_index}: give a thickness from 0 to half of height_mm, and the "
            "index of glass, 1 or more"
        )
    if order not in ORDERS:
        raise ValueError(f"unknown order {order!r}: use {' or '.join(ORDERS)}")
    x, y = ([i - n // 2 for i in range(n)] for n in (columns, rows))
    places = [(i, j) for j in y for i in x]
    if order == "spiral":
        inside = set(places)
        places = [place for place in _spiral(max(rows, columns) + 1) if place in inside]
    x_mm, y_mm = (np.asarray(places, float) * pitch_mm + offset_mm).T
    return LedTable(
        index=range(len(places)),
        polar_deg=np.degrees(_polar(np.hypot(x_mm, y_mm), height_mm, slide_mm, slide_index)),
        azimuth_deg=np.degrees(np.arctan2(y_mm, x_mm)),
        x_mm=x_mm,
        y_mm=y_mm,
        **columns_of_table,
    )


def _polar(radius_mm: Array, height_mm: float, slide_mm: float, slide_index: float) -> Array:
    """Return the angle in air, in radians, of light from ``radius_mm`` off the axis to the sample on its slide."""
    polar = np.arctan(radius_mm / height_mm)
    for _ in range(20 if slide_mm else 0):  # each step leaves slide / height of the error
        aside = slide_mm * np.tan(np.arcsin(np.sin(polar) / slide_index))
        polar = np.arctan((radius_mm - aside) / height_mm)
    return polar


def _spiral(width: int) -> Iterator[tuple[int, int]]:
    """Yield the places (x, y) of a square spiral of ``width`` x ``width``: 1 to +x, 1 to +y, 2 to -x, 2 to -y, 3 to +x ...

    >>> list(_spiral(2))
    [(0, 0), (1, 0), (1, 1), (0, 1)]
    """
    x = y = 0
    yield x, y
    for side in range(2 * width - 1):
        dx, dy = ((1, 0), (0, 1), (-1, 0), (0, -1))[side % 4]
        for _ in range(min(side // 2 + 1, width - 1)):
            x, y = x + dx, y + dy
            yield x, y


def arm_leds(
    *,
    arms: int = 5,
    arm_polar_deg: Sequence[float] = ARM_POLAR_DEG,
    near_axis: int = 3,
    near_axis_polar_deg: float = 8.0,
    na: float = 0.4,
    azimuth_deg: float = 0.0,
    darkfield_exposures: Sequence[str] = ("low", "high"),
    brightfield: bool = True,
    **columns_of_table: Any,
) -> LedTable:
    """Return the table of LEDs on arms around the axis, with the planes that Wulff 2022 (3.1.1) takes of them.

    As it stands it is that array: three LEDs near the axis, five arms of eight. Of the 43 LEDs the 30 outside NA 0.4
    are taken twice, at low and high exposure, the others once; with one image lit by all LEDs inside that makes 74
    planes. The source states angles only in part, see :data:`ARM_POLAR_DEG`, and not where on the circle the
    LEDs are.

    Parameters
    ----------
    arms : int
        Number of arms, evenly around the axis.
    arm_polar_deg : sequence of float
        Polar angles along each arm.
    near_axis, near_axis_polar_deg : int, float
        Number of LEDs near the axis, evenly around it, and their angle.
    na : float
        Of the objective: LEDs with ``sin(polar) >= na`` are dark field.
    azimuth_deg : float
        Of the first arm and the first LED near the axis.
    darkfield_exposures : sequence of str
        Of each LED in dark field; the others are "single".
    brightfield : bool
        Begin with the plane of all LEDs inside the aperture, of index -1.
    **columns_of_table
        One value for all rows of a column of :class:`LedTable`, such as ``gain``.

    Examples
    --------
    >>> leds = arm_leds()
    >>> len(leds), [int((leds.kind == kind).sum()) for kind in ("brightfield", "point", "darkfield")]
    (74, [1, 13, 60])
    """
    if near_axis < 0 or arms < 0:
        raise ValueError(f"near_axis is {near_axis} and arms {arms}: give numbers of LEDs and of arms, 0 or more")
    places = [(near_axis_polar_deg, 360 * i / near_axis) for i in range(near_axis)]
    places += [(polar, 360 * arm / arms) for arm in range(arms) for polar in arm_polar_deg]
    planes = [
        (index, polar, (azimuth + azimuth_deg) % 360, exposure)
        for index, (polar, azimuth) in enumerate(places)
        for exposure in (("single",) if np.sin(np.radians(polar)) < na else darkfield_exposures)
    ]
    kinds = ["point"] * len(planes)
    if brightfield:
        planes.insert(0, (ALL_INSIDE, 0.0, 0.0, "single"))
        kinds.insert(0, "brightfield")
    if not planes:
        raise ValueError("no LEDs: give arms with angles, or LEDs near the axis")
    index, polar_deg, azimuth, exposures = zip(*planes, strict=True)
    table = LedTable(index, polar_deg, azimuth, exposures, kinds, **columns_of_table)
    return table.with_kinds(na)
