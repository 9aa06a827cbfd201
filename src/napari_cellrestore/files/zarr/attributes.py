"""What is written beside the pixels of an OME-Zarr: what the standard has words for, and the rest under the project's own key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

import dask.array as da
import numpy as np
import zarr
from yaozarrs import v05

from napari_cellrestore.files.calibration import SAVED
from napari_cellrestore.files.zarr.axes import ome_axes
from napari_cellrestore.files.zarr.colours import Window, omero_of
from napari_cellrestore.stack import ImageStack


def attributes_of(stack: ImageStack, name: str, stored: str, levels: Sequence[zarr.Array[Any]]) -> dict[str, Any]:
    """Return the attributes of an image whose axes are stored in the order ``stored``."""
    step, start = _places(stack)
    datasets = []
    for number in range(len(levels)):
        factor = 2.0**number
        scale = [step.get(letter, 1.0) * (factor if letter in "YX" else 1) for letter in stored]
        # The middle of the first pixel of a smaller copy lies between those of the pixels it is made of.
        shift = {letter: (factor - 1) / 2 * step.get(letter, 1.0) for letter in "YX"}
        translation = [start.get(letter, 0.0) + shift.get(letter, 0.0) for letter in stored]
        placed: list[Any] = [v05.ScaleTransformation(scale=scale)]
        if any(translation):
            placed.append(v05.TranslationTransformation(translation=translation))
        datasets.append(v05.Dataset(path=str(number), coordinateTransformations=placed))
    multiscale = v05.Multiscale(
        name=name,
        axes=ome_axes(stored, "".join(step)),
        datasets=datasets,
        type="mean",
        metadata={"description": "means of two by two pixels"},
    )
    image = v05.Image(multiscales=[multiscale], omero=omero_of(stack, _windows(stack, stored, levels[-1])))
    return {"ome": image.model_dump(mode="json", exclude_none=True), SAVED: saved_of(stack)}


def saved_of(stack: ImageStack) -> dict[str, Any]:
    """Return what the standard has no words for."""
    return {
        "axes": stack.axes,
        "shape": list(stack.data.shape),
        "z_um": plain(stack.z_um),
        "channels": list(stack.channels),
        "leds": None if stack.leds is None else stack.leds.columns(),
        "notes": list(stack.notes),
        "provenance": plain(stack.provenance),
    }


def plain(value: Any) -> Any:
    """Return a value as JSON has it: no numpy, and None for numbers that are not finite.

    >>> plain({"a": np.arange(2), 1: (float("nan"), {"b"})})
    {'a': [0, 1], '1': [None, "{'b'}"]}
    """
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, float):
        return value if isfinite(value) else None
    return value if value is None or isinstance(value, bool | int | str) else str(value)


def _places(stack: ImageStack) -> tuple[dict[str, float], dict[str, float]]:
    """Return micrometres per index and where index 0 is, for the axes that have lengths."""
    step: dict[str, float] = {}
    start: dict[str, float] = {}
    if stack.z_um is not None:
        z_um = np.asarray(stack.z_um)
        step["Z"] = (float(np.round(np.median(np.diff(z_um)), 9)) if len(z_um) > 1 else 0.0) or 1.0
        start["Z"] = float(z_um[0])
    if stack.pixel_yx_um is not None:
        step["Y"], step["X"] = stack.pixel_yx_um
    return step, start


def _windows(stack: ImageStack, stored: str, coarsest: zarr.Array[Any]) -> list[Window]:
    """Return the grey levels to show each channel from and to: 8 bit whole, others as the coarsest level reaches."""
    n = stack.size("S") if stack.rgb else stack.size("C")
    if stack.data.dtype.name in ("uint8", "bool"):
        return [(0.0, 255.0 if stack.data.dtype.name == "uint8" else 1.0)] * n
    data = da.from_array(coarsest, name=False)
    finite = da.isfinite(data)
    axes = tuple(i for i, letter in enumerate(stored) if letter != "C")  # colours are shown alike
    ends = da.compute(da.where(finite, data, np.inf).min(axis=axes), da.where(finite, data, -np.inf).max(axis=axes))
    low, high = (np.broadcast_to(end, n) for end in ends)
    return [_window(float(least), float(most)) for least, most in zip(low, high, strict=True)]


def _window(low: float, high: float) -> Window:
    if low > high:  # no pixel is a number
        return 0.0, 1.0
    return low, high if high > low else low + 1.0
