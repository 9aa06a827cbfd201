"""Names of layers in the canvas, with their middle left out where there is no room for all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from napari.components import ViewerModel
from napari.components.overlays import LayerNameOverlay
from napari.layers import Layer
from qtpy.QtCore import Qt
from qtpy.QtGui import QFont, QFontMetricsF

from napari_cellrestore.gui.current import provenance_of

try:  # napari draws the name of a layer as it is, also where its end is cut off; there is no public way to shorten it
    from napari._vispy.overlays.text import VispyLayerNameOverlay
    from napari._vispy.utils.visual import overlay_to_visual
except ImportError:
    overlay_to_visual = None

#: Size of names in the canvas, where a point is larger than in Qt.
SIZE_PT = 8.0
CANVAS_PT = 96 / 72
_KEY = "cellrestore name"

if overlay_to_visual is not None:

    class ShortName(LayerNameOverlay):
        """What is written over a layer instead of its name."""

        text: str = ""

    class _ShortNameVisual(VispyLayerNameOverlay):
        def _connect_events(self) -> None:
            self.overlay.events.text.connect(self._on_text_change)

        def _on_text_change(self) -> None:
            self.node.text = self.overlay.text
            self._on_position_change()

    overlay_to_visual[ShortName] = _ShortNameVisual


def generated(layer: Layer | None) -> str:
    """Return the mark of a layer whose pixels a model made, "" of one that was recorded."""
    return "generated" if layer is not None and "generated" in provenance_of(layer) else ""


def title(layer: Layer) -> str:
    """Return the name of a layer, marked where its pixels are generated."""
    return f"✦ {layer.name}" if generated(layer) else layer.name


def shortened(words: str, room_px: float, size_pt: float = SIZE_PT * CANVAS_PT) -> str:
    """Return a line, by default of the canvas, that fits into so many pixels, with its middle left out."""
    font = QFont()
    font.setPointSizeF(size_pt)
    return QFontMetricsF(font).elidedText(words, Qt.TextElideMode.ElideMiddle, max(room_px, 40))


class CanvasNames:
    """Names of layers in the cells of the grid; :meth:`clear` puts back what napari showed of them before."""

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._was_visible: dict[Layer, bool] = {}
        viewer.canvas.events.size.connect(self.fit)

    def show(self, layers: Sequence[Layer]) -> bool:
        """Show the names of these layers too; return whether any of them is new."""
        new = [layer for layer in layers if layer not in self._was_visible]
        for layer in new:
            self._was_visible[layer] = layer.name_overlay.visible
            overlays = _overlays(layer)
            layer.name_overlay.visible = overlays is None
            if overlays is not None:
                overlays[_KEY] = ShortName(visible=True, text=title(layer), font_size=SIZE_PT)
        self.fit()
        return bool(new)

    def fit(self, _event: object = None) -> None:
        """Shorten the names to the width of the cells."""
        _, columns = self._viewer.canvas.grid.actual_shape(self._viewer.layers)
        room_px = self._viewer.canvas.size[1] / columns - 30
        for layer in self._was_visible:
            if (overlays := _overlays(layer)) is not None:
                overlays[_KEY].text = shortened(title(layer), room_px)

    def clear(self) -> None:
        """Show no names any more but those that were shown before."""
        self._viewer.canvas.events.size.disconnect(self.fit)
        for layer, visible in self._was_visible.items():
            if (overlays := _overlays(layer)) is not None:
                overlays.pop(_KEY, None)
            layer.name_overlay.visible = visible


def _overlays(layer: Layer) -> Any:
    """Return what is drawn over a layer, None where this napari does not let us add to it."""
    whole = getattr(layer, "__wrapped__", layer)  # plugins get layers without what is not public
    return None if overlay_to_visual is None else getattr(whole, "_overlays", None)
