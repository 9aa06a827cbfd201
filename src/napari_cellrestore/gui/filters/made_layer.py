"""The layer of a filtered image: in the place of its source, looking like it, saying how it was made."""

from __future__ import annotations

from typing import Any

from napari.components import ViewerModel
from napari.layers import Image

from napari_cellrestore.filtered import IMAGE_FILTERS
from napari_cellrestore.gui.current import display_options, put_layer
from napari_cellrestore.stack import ImageStack


def put_filtered(viewer: ViewerModel, layer: Image, made: ImageStack) -> Image:
    """Add what a filter made of a layer, or give it to the layer that the same filter made of it before."""
    label = IMAGE_FILTERS[made.provenance["filter"]].label
    ours = layer.metadata.get("cellrestore", {})  # planes and their calibration are those of the source
    ours = {**ours, "source": made.source, "notes": tuple(made.notes), "provenance": dict(made.provenance)}
    options: dict[str, Any] = {
        name: getattr(layer, name)
        for name in ("rgb", "scale", "translate", "rotate", "affine", "units", "axis_labels", "contrast_limits")
    }
    options |= {**display_options(layer), "metadata": {"cellrestore": ours}, "name": f"{layer.name} {label.lower()}"}
    return put_layer(viewer, made.data, options)
