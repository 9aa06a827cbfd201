"""The layers of a restoration: the restored image, and over it where the model is unsure."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.colors import to_rgb
from napari.layers import Image
from napari.utils.colormaps import Colormap

from napari_cellrestore.gui.layers import layer_data
from napari_cellrestore.gui.restore.live import LiveRestoration
from napari_cellrestore.restore import Plan, provenance, spread_provenance
from napari_cellrestore.sample import middle_of
from napari_cellrestore.stack import ImageStack
from napari_cellrestore.trust import LEGEND, UNSURE, estimate_noise

#: The colours of the spread end at this many times what counts as unsure.
SHOWN = 2.0
#: In the colour that it has in the trust map; what is sure is left clear, so that the image below is seen.
_UNSURE = to_rgb(next(verdict.colour for verdict in LEGEND if verdict.name == "model unsure"))
CLEAR_TO_UNSURE = Colormap([(*_UNSURE, 0.0), (*_UNSURE, 0.9)], name="model unsure", nan_color=(0, 0, 0, 0))


def result_layers(live: LiveRestoration, source: Image, *, there: bool = False) -> list[Image]:
    """Return the layers that fill in as they are looked at: one, or of several passes two.

    With ``there`` they are those of the way there, beside a restoration that goes there and back.
    """
    stack, plan = live.stack, live.plan
    options = _options(stack, source, provenance(stack, plan))
    options["name"] = f"{source.name} there" if there else f"{source.name} restored"
    if not stack.rgb:
        options |= {"contrast_limits": source.contrast_limits, "colormap": source.colormap}
    layers = [Image(live.levels, **options)]
    if live.spread_levels:
        options = _options(stack, source, spread_provenance(stack, plan)) | {"rgb": False, "colormap": CLEAR_TO_UNSURE}
        options["name"] = f"{source.name} there, model unsure" if there else f"{source.name} model unsure"
        layers.append(Image(live.spread_levels, **options, contrast_limits=(0.0, _most(stack, plan))))
    for layer in layers:
        # napari keeps the coarsest level of a 2-D pyramid once read; this one changes as tiles come in.
        layer._level_materializer = None
    live.follow(*layers)
    return layers


def _most(stack: ImageStack, plan: Plan) -> float:
    """Return the spread at which colours end, from the noise as in the trust map; of a clean image a part of the range."""
    middle = middle_of(stack)
    noise = estimate_noise(middle) if np.isfinite(middle).all() and min(middle.shape[:2]) > 1 else 0.0
    low, high = plan.intensity
    return SHOWN * UNSURE * max(noise, 1e-3 * (high - low))


def _options(stack: ImageStack, source: Image, made: dict[str, Any]) -> dict[str, Any]:
    """Return the options of a layer in the place of its source, with an origin of its own."""
    ((_, options, _),) = layer_data(stack.replace(notes=(), provenance=made))
    del options["contrast_limits"]
    options |= {"multiscale": True, "affine": source.affine, "units": source.units}
    if stack.data.ndim - stack.rgb < source.ndim:  # planes that became one image leave its own axes
        rows_columns = [source.ndim - 2, source.ndim - 1]
        place = source._transforms["data2physical"].set_slice(rows_columns)
        options |= {"affine": source.affine.set_slice(rows_columns), "units": source.units[-2:]}
        return options | {"scale": place.scale, "translate": place.translate, "rotate": place.rotate}
    return options | {"scale": source.scale, "translate": source.translate, "rotate": source.rotate}
