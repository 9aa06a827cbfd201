"""The plane of a layer that is being looked at: which it is, its pixels, its place, and how to go to another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Layer

from napari_cellrestore.stack import ImageStack


def full_resolution(layer: Image) -> Any:
    """Return the pixels of a layer, of a pyramid the finest level."""
    return layer.data[0] if layer.multiscale else layer.data


def plane_index(viewer: ViewerModel, layer: Image) -> tuple[int, ...]:
    """Return the index of the plane shown along each axis of a layer but rows and columns."""
    position = layer.world_to_data(viewer.dims.point)
    shape = full_resolution(layer).shape
    return tuple(int(np.clip(np.rint(position[i]), 0, shape[i] - 1)) for i in range(layer.ndim - 2))


def planes_in_view(viewer: ViewerModel, layer: Image, stack: ImageStack, but: str = "") -> ImageStack:
    """Return the plane shown of a layer that is a stack, or all planes along the axes ``but``; none is read yet."""
    for letter, index in zip(stack.plane_axes, plane_index(viewer, layer), strict=True):
        if letter not in but:
            stack = stack.select(letter, index)
    return stack


def go_to_plane(viewer: ViewerModel, layer: Image, axis: int, index: int) -> None:
    """Move the viewer's slider of one axis of a layer to a plane."""
    position = np.zeros(layer.ndim)
    position[: layer.ndim - 2] = plane_index(viewer, layer)
    position[axis] = index
    viewer.dims.set_point(viewer.dims.ndim - layer.ndim + axis, layer.data_to_world(position)[axis])


def lazy_plane(viewer: ViewerModel, layer: Image) -> Any:
    """Return the plane shown, (Y, X) or (Y, X, S), not yet read; of a restoration the restored pixels only."""
    pixels = full_resolution(layer)
    return (pixels.finished() if hasattr(pixels, "finished") else pixels)[plane_index(viewer, layer)]


def plane_place(layer: Layer) -> dict[str, Any]:
    """Return the options that put a 2-D layer in the place of a plane of a layer."""
    return {
        "scale": layer.scale[-2:],
        "translate": layer.translate[-2:],
        "rotate": layer.rotate[-2:, -2:],
        "affine": layer.affine.affine_matrix[-3:, -3:],
        "units": layer.units[-2:],
    }


def display_options(layer: Image) -> dict[str, Any]:
    """Return the options that show an image as a layer is shown."""
    if layer.rgb:
        return {}
    return {"colormap": layer.colormap, "contrast_limits": layer.contrast_limits, "gamma": layer.gamma}


def made_from(sources: Mapping[str, Mapping[str, Any]], **made: Any) -> dict[str, Any]:
    """Return the provenance of an image computed from layers.

    Parameters
    ----------
    sources : mapping
        Provenance of each layer by name. What is made from generated pixels is generated.
    made : Any
        What was done: ``step`` and its settings.
    """
    made["layers"] = {name: dict(said) for name, said in sources.items()}
    if generated := [said["generated"] for said in sources.values() if "generated" in said]:
        made["generated"] = "; ".join(generated)
    return made


def provenance_of(layer: Layer) -> Mapping[str, Any]:
    """Return how the pixels of a layer were made, empty where it is not said."""
    return layer.metadata.get("cellrestore", {}).get("provenance", {})


def put_layer(viewer: ViewerModel, data: Any, options: dict[str, Any]) -> Image:
    """Add an image layer, or give its pixels to the layer of that name if the same step made it.

    What the user set on the layer meanwhile (contrast, colours, opacity) stays. The active layer stays active.
    """
    name, step = options["name"], options["metadata"]["cellrestore"]["provenance"]["step"]
    layer = viewer.layers[name] if name in viewer.layers else None
    if layer is not None and provenance_of(layer).get("step") == step and layer.data.shape == data.shape:
        layer.data = data
        for option in ("scale", "translate", "rotate", "affine", "units", "metadata"):
            setattr(layer, option, options[option])
        return layer
    active = viewer.layers.selection.active
    made = viewer.add_image(data, **options)
    viewer.layers.selection.active = active
    return made


def show_scale(layer: Image) -> None:
    """Show a small colour bar of a layer in the canvas."""
    bar = layer.colorbar
    bar.size, bar.font_size, bar.position, bar.visible = (12, 90), 8, "bottom_right", True
