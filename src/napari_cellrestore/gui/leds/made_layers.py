"""A stack of the LEDs that are selected, as a layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import dask.array as da
import numpy as np
from napari.components import ViewerModel
from napari.layers import Image

from napari_cellrestore.gui.current import display_options, made_from, plane_index, provenance_of, put_layer
from napari_cellrestore.gui.layers import layer_data, stack_from_layer
from napari_cellrestore.stack import ImageStack

STEP = "LED selection"


def put_selection(
    viewer: ViewerModel, layer: Image, stack: ImageStack, rows: Sequence[int], name: str
) -> tuple[Image, bool]:
    """Add planes of an LED stack as a layer in its place, not yet read, with their part of the table.

    ``stack`` is that of the layer, at the place that is shown along other axes. The same planes with the same table are
    not added twice; returned is whether they were added.
    """
    assert stack.leds is not None
    leds = stack.leds[rows].counted()
    axes = stack_from_layer(layer).plane_axes
    said: dict[str, Any] = {"step": STEP, "planes": list(rows)}
    said["at"] = {axis: i for axis, i in zip(axes, plane_index(viewer, layer), strict=True) if axis != "A"}
    for other in viewer.layers:
        made = provenance_of(other)
        if layer.name in made.get("layers", ()) and said.items() <= made.items():
            known = stack_from_layer(other).leds
            if known is not None and known.columns() == leds.columns():
                return other, False
    provenance = made_from({layer.name: stack.provenance}, **said, rule=name)
    data = stack.data if isinstance(stack.data, da.Array) else _planes(stack.data)
    made_stack = stack.replace(data=data[list(rows)], leds=leds, notes=(), provenance=provenance)
    blank = np.broadcast_to(np.zeros((), data.dtype), made_stack.data.shape)  # no plane is read to place it
    ((_, options, _),) = layer_data(made_stack.replace(data=blank))
    options |= {"contrast_limits": layer.contrast_limits, **display_options(layer), **_place(layer, stack)}
    return put_layer(viewer, made_stack.data, {**options, "name": f"{layer.name} {name}"}), True


def _planes(data: np.ndarray) -> da.Array:
    return da.from_array(data, chunks=(1, *data.shape[1:]), name=False)


def _place(layer: Image, stack: ImageStack) -> dict[str, Any]:
    """Return where rows and columns of the layer are; planes are counted."""
    axes = [layer.ndim - 3, layer.ndim - 2, layer.ndim - 1]
    rotate, affine = np.eye(3), np.eye(4)
    rotate[1:, 1:] = layer.rotate[-2:, -2:]
    affine[1:, 1:] = layer.affine.affine_matrix[np.ix_([*axes[1:], -1], [*axes[1:], -1])]
    return {
        "scale": (1.0, *layer.scale[-2:]),
        "translate": (0.0, *layer.translate[-2:]),
        "units": ("pixel", *layer.units[-2:]),
        "rotate": rotate,
        "affine": affine,
    }
