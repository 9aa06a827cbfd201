"""The only translation between an :class:`~napari_cellrestore.stack.ImageStack` and napari's image layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pint
from napari.layers import Image

from napari_cellrestore.stack import ImageStack, check_axes

LayerData = tuple[Any, dict[str, Any], str]

#: How axes are named on sliders.
LABELS = {"T": "t", "P": "position", "A": "LED", "C": "c", "Z": "z", "Q": "q", "Y": "y", "X": "x"}
#: What other programs call them.
LETTERS = {
    **{label.lower(): letter for letter, label in LABELS.items()},
    **{"time": "T", "p": "P", "a": "A", "angle": "A", "channel": "C", "depth": "Z", "row": "Y", "column": "X"},
}
#: Axes of a layer whose labels say nothing, by their number.
UNLABELLED = {2: "YX", 3: "ZYX", 4: "TZYX", 5: "TCZYX"}
#: Colours of two channels, and of more (as napari gives them).
TWO_COLOURS = ("magenta", "green")
COLOURS = ("cyan", "yellow", "magenta", "red", "green", "blue")
#: Side of the middle part of a plane that contrast limits are taken from.
CONTRAST_PX = 2048


# --- stack to layers ---------------------------------------------------------------------------------------


def layer_data(stack: ImageStack) -> list[LayerData]:
    """Return one napari image layer, or one for each channel, as ``(data, options, "image")``.

    Lengths become scale and translate in ``um``; an axis of unknown or no length is in ``pixel``. What a layer has no
    place for (uneven positions, LED table, notes, provenance) is in ``metadata["cellrestore"]``.
    """
    stem = Path(stack.source).name.split(".")[0] if stack.source else "image"
    if "C" not in stack.plane_axes:
        return [_layer(stack, stem)]
    names = tuple(stack.channels) or tuple(f"channel {number}" for number in range(stack.size("C")))
    colours = TWO_COLOURS if len(names) == 2 else COLOURS
    layers = []
    for number, name in enumerate(names):
        data, options, kind = _layer(stack.select("C", number), f"{stem} {name}")
        options["metadata"]["cellrestore"]["channel"] = name
        if len(names) > 1:
            options |= {"colormap": colours[number % len(colours)], "blending": "additive"}
        layers.append((data, options, kind))
    return layers


def _layer(stack: ImageStack, name: str) -> LayerData:
    letters = stack.axes.removesuffix("S")
    um_per_index, starts = _scale_um(stack)
    options = {
        "name": name,
        "rgb": stack.rgb,
        "axis_labels": tuple(LABELS[letter] for letter in letters),
        "units": tuple("um" if letter in um_per_index else "pixel" for letter in letters),
        "scale": tuple(um_per_index.get(letter, 1.0) for letter in letters),
        "translate": tuple(starts.get(letter, 0.0) for letter in letters),
        "contrast_limits": contrast_limits(stack),
        "metadata": {
            "cellrestore": {
                "z_um": stack.z_um,
                "source": stack.source,
                "notes": tuple(stack.notes),
                "provenance": dict(stack.provenance),
                "leds": stack.leds,
            }
        },
    }
    return stack.data, options, "image"


def _scale_um(stack: ImageStack) -> tuple[dict[str, float], dict[str, float]]:
    """Return micrometres per index and where index 0 is, for the axes that have lengths."""
    scale, start = {}, {}
    if stack.pixel_yx_um is not None:
        scale["Y"], scale["X"] = stack.pixel_yx_um
    if stack.z_um is not None:
        z_um = np.asarray(stack.z_um)
        start["Z"] = float(z_um[0])
        scale["Z"] = _step(z_um) or 1.0
    return scale, start


def _step(z_um: np.ndarray) -> float:
    """Return the median step with its sign, 0 for a single plane."""
    return float(np.round(np.median(np.diff(z_um)), 9)) if len(z_um) > 1 else 0.0


def contrast_limits(stack: ImageStack) -> tuple[float, float]:
    """Return contrast limits from the type of 8-bit pixels, else from the middle of the middle plane.

    napari would take them from the first plane, which may be out of focus or dark.
    """
    if stack.data.dtype == np.uint8:
        return 0.0, 255.0
    if stack.data.dtype == bool:
        return 0.0, 1.0
    middle: list[Any] = [stack.size(letter) // 2 for letter in stack.plane_axes]
    middle += [slice(max((n - CONTRAST_PX) // 2, 0), (n + CONTRAST_PX) // 2) for n in stack.yx_shape]
    plane = np.asarray(stack.data[tuple(middle)], float)
    finite = plane[np.isfinite(plane)]
    if not finite.size:
        return 0.0, 1.0
    low, high = float(finite.min()), float(finite.max())
    return low, high if high > low else low + 1.0


# --- layer to stack ----------------------------------------------------------------------------------------


def stack_from_layer(layer: Image) -> ImageStack:
    """Return the stack of any napari image layer, also one that another plugin made.

    Axes are those that its labels name, else by their number; lengths are taken where its units are lengths. Of a
    pyramid it is the finest level; of a restoration that fills in as it is viewed, the finished one.
    """
    data, options, _ = layer.as_layer_data_tuple()
    return stack_from_layer_data(data, {**options, "path": layer.source.path})


def stack_from_layer_data(data: Any, options: Mapping[str, Any]) -> ImageStack:
    """Return the stack of the data and options of a layer, as a writer gets them."""
    data = finished(data[0] if options.get("multiscale") else data)
    if not isinstance(data, (np.ndarray, da.Array)):
        data = da.asarray(data)
    ours = (options.get("metadata") or {}).get("cellrestore", {})
    axes, notes = _axes(data.shape, options)
    length_um = _lengths(axes, options)
    scale = options.get("scale")
    if "X" not in length_um and scale is not None and not np.allclose(np.asarray(scale)[-2:], 1):
        notes.append("the scale of the layer has no unit of length, its pixel size is not known: set its units to um")
    y_um, x_um = length_um.get("Y", (None, 0.0))[0], length_um.get("X", (None, 0.0))[0]
    leds = ours.get("leds")
    return ImageStack(
        data,
        axes,
        pixel_um=x_um,
        pixel_y_um=None if x_um is None or y_um is None or np.isclose(x_um, y_um, rtol=1e-6) else y_um,
        z_um=_z_um(data.shape[axes.index("Z")], length_um.get("Z"), ours.get("z_um")) if "Z" in axes else None,
        leds=leds if leds is not None and "A" in axes and len(leds) == data.shape[axes.index("A")] else None,
        source=ours.get("source") or options.get("path"),
        notes=(*notes, *ours.get("notes", ())),
        provenance=ours.get("provenance", {}),
    )


def calibrate(layer: Image, stack: ImageStack) -> None:
    """Give a layer the calibration of a stack; its pixels and its place in the field stay."""
    letters = stack.axes.removesuffix("S")
    ((_, options, _),) = layer_data(stack.replace(axes=stack.axes.replace("C", "Q"), channels=()))
    layer.axis_labels = tuple(LABELS[letter] for letter in letters)
    layer.units, layer.scale = options["units"], options["scale"]
    starts = zip(letters, options["translate"], layer.translate, strict=True)
    layer.translate = [z if letter == "Z" else kept for letter, z, kept in starts]
    layer.metadata = {**layer.metadata, **options["metadata"]}


def smaller_levels(layer: Image) -> dict[int, da.Array]:
    """Return the smaller copies that a pyramid has, by how many pixels of the finest level are one along each side."""
    levels: dict[int, da.Array] = {}
    for level in layer.data[1:] if layer.multiscale and not hasattr(layer.data[0], "finished") else []:
        finest, shape = (array.shape[: layer.ndim] for array in (layer.data[0], level))
        factor = round(finest[-1] / shape[-1])
        if (*finest[:-2], *(-(-n // factor) for n in finest[-2:])) == shape:
            levels[factor] = da.asarray(level)
    return levels


def finished(data: Any) -> Any:
    """Return what the data will be when all of it is computed: the data, but for a restoration still filling in."""
    return data.finished() if hasattr(data, "finished") else data


def _axes(shape: Sequence[int], options: Mapping[str, Any]) -> tuple[str, list[str]]:
    """Return the axes of a layer and what had to be guessed."""
    tail = "S" if options.get("rgb") else ""
    ndim = len(shape) - len(tail)
    labels = [str(label).lower() for label in options.get("axis_labels") or ()]
    named = "".join(LETTERS.get(label, "?") for label in labels) + tail
    try:
        check_axes(named, tuple(shape))
    except ValueError:
        if ndim not in UNLABELLED:
            raise ValueError(
                f"{options.get('name')}: a layer of {ndim} axes; name them (t, c, z, y, x) in its axis labels"
            ) from None
        axes = UNLABELLED[ndim] + tail
        guessed = [] if ndim == 2 else [f"the axes of the layer have no known names: taken as {axes}"]
        return axes, guessed
    return named, []


def _lengths(axes: str, options: Mapping[str, Any]) -> dict[str, tuple[float, float]]:
    """Return step and start in micrometres for each axis whose unit is a length."""
    letters = axes.removesuffix("S")
    columns = [options.get(key) for key in ("units", "scale", "translate")]
    units, scales, starts = (
        given if given is not None else [default] * len(letters)
        for given, default in zip(columns, ("pixel", 1.0, 0.0), strict=True)
    )
    registry = pint.get_application_registry()
    lengths = {}
    for letter, unit, scale, start in zip(letters, units, scales, starts, strict=True):
        if registry.Unit(str(unit)).is_compatible_with("um"):
            um = registry.Quantity(1.0, str(unit)).m_as("um")
            lengths[letter] = (float(f"{scale * um:.12g}"), float(f"{start * um:.12g}"))
    return lengths


def _z_um(n: int, length_um: tuple[float, float] | None, known: Any) -> np.ndarray | None:
    """Return positions along Z: those the stack had, unless the layer was moved or scaled since."""
    if length_um is None:
        return None
    step, start = length_um
    if known is not None and len(known) == n and np.allclose([known[0], _step(known) or step], [start, step]):
        return np.asarray(known)
    return start + step * np.arange(n)
