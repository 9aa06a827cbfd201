"""LEDs that OME-XML states by annotations of its planes."""

from __future__ import annotations

import logging
from collections import defaultdict
from xml.etree import ElementTree

from napari_cellrestore.leds.reading import Row, name_leds

log = logging.getLogger(__name__)

Element = ElementTree.Element


def ome_led_rows(root: Element, pixels: Element) -> tuple[Row, ...]:
    """Return the rows of an LED table, one for each plane, empty where the file states none or not for all planes.

    OME has no words for the LEDs of an array. What is read are ``MapAnnotation`` elements that planes refer to, with the
    columns of a table as keys (``index``, ``polar_deg``, ``azimuth_deg`` ...), and ``ExposureTime`` of the planes: where
    no exposure is annotated and an LED has planes of two times, the shorter is "low" and the longer "high". Others number
    planes by ``index`` too: without angles or places it is no table.
    """
    maps = {
        annotation.get("ID"): {pair.get("K", ""): pair.text or "" for pair in annotation.iter() if pair.get("K")}
        for annotation in root.iterfind("{*}StructuredAnnotations/{*}MapAnnotation")
    }
    rows: dict[tuple[int, ...], tuple[dict[str, str], float | None]] = {}
    for plane in pixels.iterfind("{*}Plane"):
        row: dict[str, str] = {}
        for reference in plane.iterfind("{*}AnnotationRef"):
            row |= maps.get(reference.get("ID"), {})
        time = plane.get("ExposureTime")
        if "index" in row:
            place = tuple(int(plane.get(f"The{axis}", 0)) for axis in "TCZ")
            rows[place] = row, None if time is None else float(time)
    if not rows or sorted(_sizes(pixels)) != [1, 1, len(rows)]:
        return ()
    if not name_leds({name for row, _ in rows.values() for name in row}):
        log.debug("planes have an index but no angles or places: no table of LEDs")
        return ()
    return _with_exposures([rows[place] for place in sorted(rows)])


def _sizes(pixels: Element) -> tuple[int, int, int]:
    """Return the numbers of times, channels and depths; red, green and blue of a pixel are one channel."""
    channel = pixels.find("{*}Channel")
    samples = int(channel.get("SamplesPerPixel", 1)) if channel is not None else 1
    times, channels, depths = (int(pixels.get(f"Size{axis}", 1)) for axis in "TCZ")
    return times, channels // samples, depths


def _with_exposures(planes: list[tuple[dict[str, str], float | None]]) -> tuple[Row, ...]:
    """Return rows with the exposure low or high where the times of an LED's planes tell."""
    times: defaultdict[str, set[float]] = defaultdict(set)
    for row, time in planes:
        times[row["index"]] |= set() if time is None else {time}
    exposed = []
    for row, time in planes:
        pair = times[row["index"]]
        by_time = "single" if len(pair) != 2 or time is None else "low" if time == min(pair) else "high"
        exposed.append({"exposure": by_time, **row})
    return tuple(exposed)
