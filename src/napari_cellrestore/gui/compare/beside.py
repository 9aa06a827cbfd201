"""Layers side by side in napari's grid, and putting the view back as it was."""

from __future__ import annotations

from collections.abc import Sequence

from napari.components import ViewerModel
from napari.experimental import link_layers, unlink_layers
from napari.layers import Image, Layer

from napari_cellrestore.gui.compare.maps import map_kind
from napari_cellrestore.gui.compare.names import CanvasNames


class Remembered:
    """How the viewer showed its layers; :meth:`put_back` shows them like that again."""

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._grid = {name: getattr(viewer.canvas.grid, name) for name in ("enabled", "shape", "stride")}
        self._camera = {name: getattr(viewer.scene.camera, name) for name in ("center", "zoom")}
        self._visible = {layer: layer.visible for layer in viewer.layers}
        self._limits = {
            layer: tuple(layer.contrast_limits) for layer in viewer.layers if isinstance(layer, Image) and not layer.rgb
        }

    def hide(self, layer: Layer) -> None:
        """Hide a layer until then."""
        self._visible.setdefault(layer, layer.visible)
        layer.visible = False

    def put_back(self) -> None:
        """Put back contrast, visibility, grid and view."""
        for layer, limits in self._limits.items():
            layer.contrast_limits = limits
        for name, value in self._grid.items():  # before the layers: each that comes or goes arranges the grid anew
            setattr(self._viewer.canvas.grid, name, value)
        for layer, visible in self._visible.items():
            show_or_hide(layer, visible)
        for name, value in self._camera.items():
            setattr(self._viewer.scene.camera, name, value)


def show_or_hide(layer: Layer, visible: bool) -> None:
    """Make a layer visible or not, if it is not so already: napari draws everything anew."""
    if layer.visible != visible:
        layer.visible = visible


class LinkedContrast:
    """Grey images in one contrast, that of the first; :meth:`undo` unlinks them and leaves the contrast as it is."""

    def __init__(self, layers: Sequence[Image]) -> None:
        self.layers = [layer for layer in layers if not layer.rgb]
        for layer in self.layers[1:]:
            layer.contrast_limits = self.layers[0].contrast_limits
        if len(self.layers) > 1:
            link_layers(self.layers, ["contrast_limits"])

    def undo(self) -> None:
        """End the link."""
        if len(self.layers) > 1:
            unlink_layers(self.layers, ["contrast_limits"])


class SideBySide:
    """Some layers and the maps in the cells of napari's grid; :meth:`undo` puts everything back."""

    def __init__(self, viewer: ViewerModel, layers: Sequence[Image]) -> None:
        self._viewer, self._was, self._names = viewer, Remembered(viewer), CanvasNames(viewer)
        maps = [layer for layer in viewer.layers if map_kind(layer) and layer.visible]
        for layer in viewer.layers:
            show_or_hide(layer, layer in layers or layer in maps)
        grid = viewer.canvas.grid
        grid.shape, grid.stride, grid.enabled = (-1, -1), 1, True
        self.add([*layers, *maps])

    def add(self, layers: Sequence[Image]) -> None:
        """Show more layers, in further cells; the view stays where it is for those shown already."""
        if self._names.show(layers):
            self._viewer.reset_view()

    def undo(self) -> None:
        """Put back grid, contrast, visibility, names and view."""
        self._names.clear()
        self._was.put_back()
