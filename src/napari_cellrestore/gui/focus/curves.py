"""Focus curves of a stack and of regions of it, measured in the background one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Event
from typing import Any

import numpy as np

from napari_cellrestore.focus import FocusCurve, focus_curve
from napari_cellrestore.gui.regions import Bounds
from napari_cellrestore.gui.watched import Stopped


def measure(
    stop: Event, planes: Any, z_um: np.ndarray | None, method: str, regions: list[Bounds | None]
) -> Iterator[tuple[Bounds | None, FocusCurve | str]]:
    """Yield each region with its curve, or with why it has none."""
    planes.stop = stop
    for bounds in regions:
        roi = None if bounds is None else (slice(*bounds[:2]), slice(*bounds[2:]))
        try:
            yield bounds, focus_curve(planes, z_um, method, roi)
        except Stopped:
            return
        except (ValueError, TypeError) as error:
            yield bounds, str(error)
