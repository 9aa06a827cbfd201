"""An aligned pair as two layers of one grid, in the place of the layer that kept its pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image

from napari_cellrestore.gui.current import display_options, made_from, plane_place, provenance_of, put_layer
from napari_cellrestore.gui.layers import layer_data
from napari_cellrestore.stack import ImageStack
from napari_cellrestore.transfer import AlignedPair


def add_pair(viewer: ViewerModel, pair: AlignedPair, ours: Image, theirs: Image) -> tuple[Image, Image] | None:
    """Add input and target as two layers and return them; None where there is no map.

    Their provenance says which layers they are of, the map, what is left and how many points agree.
    """
    if pair.input is None or pair.target is None or pair.region is None:
        return None
    place = _place(theirs if pair.keep == "target" else ours, pair)
    # the target first: the input comes to lie over it, to be hidden and shown
    target = _put(viewer, pair.target, theirs, place, (ours, theirs))
    return _put(viewer, pair.input, ours, place, (ours, theirs)), target


def _put(
    viewer: ViewerModel, stack: ImageStack, layer: Image, place: dict[str, Any], layers: tuple[Image, Image]
) -> Image:
    sources = {one.name: provenance_of(one) for one in layers}
    said = made_from(sources, **stack.provenance["paired"])
    ((data, options, _),) = layer_data(stack.replace(provenance=said, notes=()))
    grey = {} if stack.rgb else display_options(layer)
    return put_layer(viewer, data, {**options, **grey, **place, "name": f"{layer.name} paired"})


def _place(layer: Image, pair: AlignedPair) -> dict[str, Any]:
    """Return the options that put a part of a layer where it is in the layer."""
    place = plane_place(layer)
    first = np.array([part.start for part in pair.region or ()], float)
    return {**place, "translate": place["translate"] + place["rotate"] @ (place["scale"] * first)}
