"""Layers made of a stack that is a layer: planes and stacks, in its place, looking like it, saying where they are from."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image

from napari_cellrestore.gui.current import display_options, made_from, plane_place, put_layer
from napari_cellrestore.gui.layers import layer_data
from napari_cellrestore.stack import ImageStack


def put_plane(
    viewer: ViewerModel, layer: Image, stack: ImageStack, plane: ImageStack, what: str, **options: Any
) -> Image:
    """Add a plane made of a layer and its stack, in its place.

    ``options`` are those of the layer; the provenance of the plane says what was done.
    """
    ((data, own, _),) = layer_data(_noted(layer, stack, plane))
    return put_layer(viewer, data, {**own, **plane_place(layer), **options, "name": f"{layer.name} {what}"})


def put_stack(viewer: ViewerModel, layer: Image, stack: ImageStack, made: ImageStack) -> Image:
    """Add a stack ZYX or ZYXS made of a layer and its stack, in its place, named by the step of its provenance."""
    noted = _noted(layer, stack, made)
    blank = np.broadcast_to(np.zeros((), made.data.dtype), made.data.shape)  # no plane has to be computed to place it
    ((_, options, _),) = layer_data(noted.replace(data=blank))
    options |= {"contrast_limits": layer.contrast_limits, **display_options(layer)}
    options |= _stack_place(layer, stack.plane_axes.index("Z"), made, options)
    return put_layer(viewer, made.data, {**options, "name": f"{layer.name} {made.provenance['step']}"})


def _noted(layer: Image, stack: ImageStack, made: ImageStack) -> ImageStack:
    """Return what was made of a layer with a note of all that it was made of."""
    said = dict(made.provenance)
    sources = {layer.name: stack.provenance}
    if "by" in said:
        sources[said["by"]] = said.pop("map")
    return made.replace(notes=(), provenance=made_from(sources, **said))


def _stack_place(layer: Image, axis: int, made: ImageStack, own: dict[str, Any]) -> dict[str, Any]:
    """Return the place of a stack whose z is its own and whose rows and columns are those of a layer, or a part."""
    axes = [axis, layer.ndim - 2, layer.ndim - 1]
    source = {name: getattr(layer, name)[axis] for name in ("scale", "translate", "units")}
    z = source if made.z_um is None else {name: own[name][0] for name in source}
    part = made.provenance.get("cropped", {"rows": [0], "columns": [0]})
    start_px = [part["rows"][0], part["columns"][0]]
    moved = layer.rotate[-2:, -2:] @ (layer.scale[-2:] * start_px)
    return {
        "scale": (z["scale"], *layer.scale[-2:]),
        "translate": (z["translate"], *(layer.translate[-2:] + moved)),
        "units": (z["units"], *layer.units[-2:]),
        "rotate": layer.rotate[np.ix_(axes, axes)],
        "affine": layer.affine.affine_matrix[np.ix_([*axes, -1], [*axes, -1])],
    }
