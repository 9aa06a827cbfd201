"""What is computed when images are compared: maps, regions and metrics, in the background."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from threading import Event
from typing import Any

import numpy as np

from napari_cellrestore.gui.compare.maps import MAPS
from napari_cellrestore.gui.compare.metrics_table import measured
from napari_cellrestore.gui.compare.region_table import region_values
from napari_cellrestore.gui.regions import Area
from napari_cellrestore.metrics import METRICS
from napari_cellrestore.trust import Trust
from napari_cellrestore.trust.asking import judging, maker_of


@dataclass(frozen=True, eq=False)
class Wanted:
    """What is to be computed of planes, of which the first is the reference's: (Y, X) or (Y, X, S), not yet read."""

    planes: Sequence[Any]
    maps: Sequence[str] = ()
    data_range: float | None = None
    mask: np.ndarray | None = None
    areas: Sequence[Area] = ()
    #: How each plane was made, so that the model that made it can be asked; empty where it shall not be.
    provenances: Sequence[Mapping[str, Any]] = ()


def compare(stop: Event, wanted: Wanted) -> Iterator[tuple[str, Any, Any]]:
    """Yield the planes read, the maps asked for, what is measured in the regions, the metrics, then what models say.

    ``("planes", None, [pixels])``, ``("map", kind, ([pixels], limits) or why there are none)``,
    ``("regions", None, values)``, ``("metric", (place of the image, name), value or why there is none)``,
    ``("asking", place, part done, or why the model cannot be asked)``, and after each ``("asked", place, ([pixels], limits))``.
    """
    planes = []
    for plane in wanted.planes:
        planes.append(np.asarray(plane))
        if stop.is_set():
            return
    yield "planes", None, planes
    trust: Any = None
    for name in wanted.maps:
        made = _maps(name, planes, wanted.data_range)
        trust = made if name == "trust" else trust
        yield "map", name, made
    yield "regions", None, dict(region_values(wanted.areas, planes))
    for name, metric in METRICS.items():
        for place, plane in enumerate(planes):
            if place or not metric.needs_reference:
                images = (planes[0], plane) if metric.needs_reference else (plane,)
                yield "metric", (place, name), measured(name, *images, data_range=wanted.data_range, mask=wanted.mask)
    if isinstance(trust, tuple):
        yield from _ask(stop, planes, wanted.provenances, *trust)


def _ask(
    stop: Event,
    planes: Sequence[np.ndarray],
    provenances: Sequence[Mapping[str, Any]],
    classes: Sequence[np.ndarray],
    limits: Any,
) -> Iterator[tuple[str, Any, Any]]:
    """Ask the model of each candidate how sure it is: many times the work of one restoration, so it comes last."""
    classes = list(classes)
    for place, (plane, made) in enumerate(zip(planes[1:], provenances[1:], strict=False), 1):
        try:
            maker = maker_of(made)
            for said in judging(planes[0], plane, maker):
                if stop.is_set():
                    return
                if isinstance(said, Trust):
                    classes[place - 1] = said.classes.astype(np.float32)
                else:
                    yield "asking", place, said
        except (ValueError, TypeError) as error:
            yield "asking", place, " ".join(str(error).split())
            continue
        yield "asked", place, (list(classes), limits)


def _maps(name: str, planes: Sequence[np.ndarray], data_range: float | None) -> tuple[list[np.ndarray], Any] | str:
    """Return the map of each candidate and the contrast in which all of them can be seen."""
    kind = MAPS[name]
    if kind.needs_range and data_range is None and planes[0].dtype.kind != "u":
        return (
            f"the type of the reference, {planes[0].dtype}, does not tell the span of grey levels; give the data range"
        )
    try:
        pixels = [kind.function(planes[0], plane, data_range) for plane in planes[1:]]
    except ValueError as error:
        return str(error)
    lows, highs = zip(*map(kind.limits, pixels), strict=True)
    return pixels, (min(lows), max(highs))
