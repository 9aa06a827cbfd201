"""A row to choose the layer of regions, and to draw in it."""

from __future__ import annotations

from typing import Any

from napari.components import ViewerModel
from napari.layers import Image, Shapes
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QWidget

from napari_cellrestore.gui.choice import Connections, LayerChoice
from napari_cellrestore.gui.current import plane_place
from napari_cellrestore.gui.focus.words import Region
from napari_cellrestore.gui.plot import PALETTE
from napari_cellrestore.gui.regions import bounds_px


class RegionRow(QWidget):
    """The row. :attr:`changed` comes when shapes are drawn, moved or recoloured, or another layer is chosen."""

    changed = Signal()

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__()
        self._viewer = viewer
        self._events = Connections(self)
        self.choice = LayerChoice(viewer, lambda layer: isinstance(layer, Shapes), none="none")
        self.choice.setMinimumContentsLength(6)  # leaves room for the button beside it
        self.add_button = QPushButton("Add region")
        self.add_button.setToolTip("Draw rectangles on the image: each gets a curve of its own")
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.choice, 1)
        row.addWidget(self.add_button)
        self.choice.changed.connect(self._on_layer)
        self._on_layer()

    @property
    def shapes(self) -> Any:
        """The layer chosen, or None."""
        return self.choice.layer

    def regions(self, layer: Image, yx_shape: tuple[int, int]) -> list[Region]:
        """Return the frame and each shape as a part of an image layer."""
        regions = [Region("frame", None, None)]
        for number in range(0 if self.shapes is None else self.shapes.nshapes):
            bounds = bounds_px(self.shapes, number, layer, yx_shape)
            red, green, blue = (255 * self.shapes.edge_color[number][:3]).round().astype(int)
            regions.append(Region(f"region {number + 1}", f"#{red:02x}{green:02x}{blue:02x}", bounds))
        return regions

    def draw(self, layer: Image, yx_shape: tuple[int, int] | None) -> None:
        """Let the user draw rectangles over an image layer, in the layer of regions or a new one."""
        if self.shapes is None:
            made = self._viewer.add_shapes(
                ndim=2,
                name=f"{layer.name} regions",
                edge_color=PALETTE[0],
                face_color="transparent",
                edge_width=max(1, min(yx_shape) / 150) if yx_shape else 1,
                metadata={"cellrestore regions": True},
                **plane_place(layer),
            )
            self.choice.choose(made)
        self._viewer.layers.selection.active = self.shapes
        self.shapes.visible = True
        self.shapes.mode = "add_rectangle"

    def _on_layer(self) -> None:
        self._events.clear()
        if self.shapes is not None:
            for name in ("data", "edge_color", "scale", "translate"):
                self._events.connect(getattr(self.shapes.events, name), self._on_shapes)
        self._on_shapes()

    def _on_shapes(self, _event: object = None) -> None:
        """Give the next shape the next colour."""
        shapes = self.shapes
        if shapes is not None and "cellrestore regions" in shapes.metadata:
            with shapes.block_update_properties():
                shapes.current_edge_color = PALETTE[shapes.nshapes % len(PALETTE)]
        self.changed.emit()
