"""Maps of where a candidate differs from the reference: what kinds there are, and their layers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.colors import to_rgba
from napari.components import ViewerModel
from napari.layers import Image, Layer
from napari.utils.colormaps import Colormap

from napari_cellrestore.gui.current import made_from, plane_index, plane_place, provenance_of, put_layer, show_scale
from napari_cellrestore.gui.layers import layer_data
from napari_cellrestore.metrics import difference_map, fpw_map, gradient_map, ssim_map
from napari_cellrestore.stack import ImageStack
from napari_cellrestore.trust import LEGEND, judge_pair, kind_said, kinds_of

Limits = tuple[float, float]
#: Percentile of a map's pixels at which its contrast ends.
SHOWN_PERCENT = 99.5
#: Below the reference blue, above it red, equal to it white.
DIVERGING = Colormap(
    [[0.02, 0.19, 0.58], [0.42, 0.68, 0.90], [1, 1, 1], [0.96, 0.60, 0.44], [0.65, 0, 0.13]], name="below-above"
)


#: The kinds of pixel of a trust map; what is explained is left clear, so that the image below is seen.
KINDS = Colormap(
    [to_rgba(verdict.colour, alpha=0.65 if number else 0) for number, verdict in enumerate(LEGEND)],
    name="trust",
    interpolation="zero",
)


@dataclass(frozen=True)
class MapKind:
    """A kind of map: ``function(reference, image, data_range)`` returns (Y, X) float32, ``limits`` where contrast ends.

    ``of`` stands between the names of the two images.
    """

    name: str
    label: str
    function: Callable[[np.ndarray, np.ndarray, float | None], np.ndarray]
    colormap: str | Colormap
    limits: Callable[[np.ndarray], Limits]
    of: str
    unit: str
    help: str
    needs_range: bool = False


def about_zero(values: np.ndarray) -> Limits:
    """Return contrast limits for signed values."""
    top = _percentile(np.abs(values), SHOWN_PERCENT, 0) or 1.0
    return -top, top


def from_zero(values: np.ndarray) -> Limits:
    """Return contrast limits for values from 0 on."""
    return 0.0, _percentile(values, SHOWN_PERCENT, 0) or 1.0


def up_to_one(values: np.ndarray) -> Limits:
    """Return contrast limits for values of which 1 is the best."""
    low = _percentile(values, 100 - SHOWN_PERCENT, 0)
    return (low, 1.0) if low < 1 else (0.0, 1.0)


def _percentile(values: np.ndarray, percent: float, default: float) -> float:
    finite = values[np.isfinite(values)]
    return float(np.percentile(finite, percent)) if finite.size else default


def _mean_difference(reference: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Return the signed difference, of colours their mean."""
    values = difference_map(reference, image)
    return values if values.ndim == 2 else values.mean(axis=-1)


def trust_classes(measured: np.ndarray, restored: np.ndarray) -> np.ndarray:
    """Return the number of the kind of each pixel in the legend of trust."""
    return judge_pair(measured, restored).classes.astype(np.float32)


def legend_said(classes: np.ndarray, *, asked: bool = False) -> str:
    """Return the legend of a trust map as rich text, with the share of each kind; what is explained is not coloured."""
    counts = np.bincount(classes.astype(int).ravel(), minlength=len(LEGEND))
    lines = []
    for number, verdict in kinds_of(asked):
        sign = f"<span style='color:{verdict.colour}'>■</span>" if number else "□"
        name, rest = kind_said(verdict, counts[number] / classes.size).split(" (", 1)
        lines.append(f"{sign} <b>{name}</b> ({rest}")
    return "<br>".join(lines)


#: The kinds of map by the step that their provenance names, in the order of their buttons.
MAPS = {
    kind.name: kind
    for kind in (
        MapKind("difference", "Difference", lambda y, x, _: _mean_difference(y, x), DIVERGING, about_zero, "−",
                "grey levels", "Candidate minus reference: red above, blue below, white equal; of colours the mean"),
        MapKind("FPW map", "FPW", lambda y, x, _: fpw_map(y, x), "inferno", from_zero, "vs",
                "grey levels²", "Where the focus differs: black is as sharp as the reference"),
        MapKind("SSIM map", "SSIM", lambda y, x, span: ssim_map(y, x, data_range=span), "viridis", up_to_one, "vs",
                "", "Structural similarity around each pixel: yellow is like the reference, 1 is identical", True),
        MapKind("gradient", "Gradient", lambda y, x, _: gradient_map(y, x), DIVERGING, about_zero, "−",
                "grey levels", "Edges: red stronger than in the reference (or noise), blue weaker; of colours the mean"),
        MapKind("trust", "Trust", lambda y, x, _: trust_classes(y, x), KINDS, lambda _: (-0.5, len(LEGEND) - 0.5), "from",
                "kind", "How far a restoration can be trusted; the reference must be the image that it was made from"),
    )
}  # fmt: skip


def map_kind(layer: Layer) -> MapKind | None:
    """Return which kind of map a layer is."""
    return MAPS.get(provenance_of(layer).get("step", ""))


class MapLayers:
    """The layers of maps in a viewer, renewed in place."""

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._layers: dict[str, list[Image]] = {name: [] for name in MAPS}

    def show(self, name: str, reference: Image, pixels: Mapping[Image, np.ndarray], limits: Limits) -> list[Image]:
        """Add or renew a layer of this kind for each candidate, new ones in one contrast; drop those of before."""
        kind, layers = MAPS[name], []
        look = {"colormap": kind.colormap, "contrast_limits": limits}
        for candidate, values in pixels.items():
            ((data, options, _),) = layer_data(
                ImageStack(values, "YX", provenance=self._made(kind, candidate, reference))
            )
            options |= plane_place(candidate) | look
            options["name"] = f"{name}: {candidate.name} {kind.of} {reference.name}"
            layers.append(put_layer(self._viewer, data, options))
        if kind.colormap is not KINDS and layers and layers[-1] not in self._layers[name]:
            show_scale(layers[-1])
            layers[-1].colorbar.position = "middle_right"  # over the image also where it does not fill its cell
        self.drop(name, but=layers)
        self._layers[name] = layers
        return layers

    def _made(self, kind: MapKind, candidate: Image, reference: Image) -> dict[str, Any]:
        place = {
            key: list(plane_index(self._viewer, layer)) for key, layer in (("plane", candidate), ("of", reference))
        }
        sources = {layer.name: provenance_of(layer) for layer in (candidate, reference)}
        return made_from(sources, step=kind.name, unit=kind.unit or "1", **place)

    def drop(self, name: str, but: Iterable[Image] = ()) -> None:
        """Take the layers of a kind from the list."""
        kept = list(but)
        before, self._layers[name] = self._layers[name], []
        for layer in before:
            if layer not in kept and layer in self._viewer.layers:
                self._viewer.layers.remove(layer)

    def forget(self, layer: Layer) -> str:
        """Return the kind of map of which a layer, removed by the user, was the last one; otherwise ""."""
        for name, layers in self._layers.items():
            if layer in layers:
                layers.remove(layer)
                return "" if layers else name
        return ""
