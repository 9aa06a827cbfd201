"""Before and after on one place: the reference left of a line, a candidate right of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.components.overlays import TextOverlay
from napari.experimental import link_layers, unlink_layers
from napari.layers import Image, Layer
from qtpy.QtCore import QObject, Signal

from napari_cellrestore.gui.compare.beside import Remembered, show_or_hide
from napari_cellrestore.gui.compare.names import SIZE_PT, generated, shortened
from napari_cellrestore.gui.current import full_resolution, made_from, plane_index, plane_place, provenance_of

STEP = "swipe"
#: How near to the line the mouse takes hold of it, in pixels of the screen.
REACH_PX = 10
#: The line is blue, or amber where the pixels right of it are generated.
LINE, LINE_GENERATED = "#4a7bf0", "#e69f00"
LEFT, RIGHT = "cellrestore swipe left", "cellrestore swipe right"
#: What the two sides have in common.
LINKED = ["contrast_limits", "gamma", "colormap"]


class Swipe(QObject):
    """A candidate over the reference, seen right of a line that can be dragged; :meth:`undo` puts everything back.

    What is seen of the candidate is a layer of its own, a view of the columns right of the line. It lies pixel on pixel
    over the reference, as images are compared, wherever the layer of the candidate lies.
    """

    #: The line was dragged to this share of the width.
    moved = Signal(float)

    def __init__(self, viewer: ViewerModel, reference: Image, candidate: Image, share: float, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer, self.reference, self.candidate, self.share = viewer, reference, candidate, share
        self._pixels: Any = None
        self.layer: Any = None
        self._was = Remembered(viewer)
        for layer in viewer.layers:
            show_or_hide(layer, layer == reference)
        viewer.canvas.grid.enabled = False
        self._was_style = viewer.cursor.style
        self._near = False
        viewer.mouse_drag_callbacks.append(self._drag)
        viewer.mouse_move_callbacks.append(self._point)
        viewer.canvas.events.size.connect(self._show_names)
        self._show_names()

    # --- what is seen ----------------------------------------------------------------------------------------

    @property
    def column(self) -> int:
        """The first column of the candidate that is seen."""
        columns = full_resolution(self.reference).shape[self.reference.ndim - 1]
        return int(np.clip(round(self.share * columns), 0, columns - 1))

    def show(self, pixels: np.ndarray) -> None:
        """Show the plane of the candidate right of the line."""
        self._pixels = pixels
        if self.layer is None:
            self._add_layer()
        else:
            self._cut()
            self.layer.metadata = self._metadata()
        self.layer.visible = True

    def hide(self) -> None:
        """Show the reference alone, until the pixels of another plane are there."""
        if self.layer is not None:
            self.layer.visible = False

    def add(self, layers: Sequence[Layer]) -> None:
        """Keep layers that came meanwhile for afterwards: they would cover what is compared."""
        for layer in layers:
            self._was.hide(layer)

    def move(self, share: float) -> None:
        """Move the line to a share of the width."""
        self.share = float(np.clip(share, 0, 1))
        if self._pixels is not None and self.layer is not None:
            self._cut()

    def _add_layer(self) -> None:
        look = {} if self.reference.rgb else {name: getattr(self.reference, name) for name in LINKED}
        active = self._viewer.layers.selection.active
        self.layer = self._viewer.add_image(
            self._pixels[:, self.column :],
            name=f"{STEP}: {self.candidate.name}",
            rgb=self.reference.rgb,
            blending="opaque",
            interpolation2d=self.reference.interpolation2d,
            metadata=self._metadata(),
            **look,
            **plane_place(self.reference) | {"translate": self._corner()},
        )
        self._viewer.layers.selection.active = active
        box = self.layer.bounding_box
        box.points, box.line_thickness = False, 2
        box.line_color = LINE_GENERATED if generated(self.candidate) else LINE
        box.visible = True
        if not self.reference.rgb:
            link_layers([self.reference, self.layer], LINKED)

    def _cut(self) -> None:
        self.layer.data = self._pixels[:, self.column :]
        self.layer.translate = self._corner()

    def _corner(self) -> np.ndarray:
        """Return where the first column that is seen begins, before the affine transform of the layer."""
        place = plane_place(self.reference)
        return place["translate"] + place["rotate"] @ [0, self.column * place["scale"][1]]

    def _metadata(self) -> dict[str, Any]:
        place = {"plane": list(plane_index(self._viewer, self.candidate))}
        made = made_from({self.candidate.name: provenance_of(self.candidate)}, step=STEP, **place)
        return {"cellrestore": {"provenance": made}}

    def _show_names(self, _event: object = None) -> None:
        mark = f"  ({generated(self.candidate)})" if generated(self.candidate) else ""
        left_mark = f"  ({generated(self.reference)})" if generated(self.reference) else ""
        room_px = self._viewer.canvas.size[1] / 2 - 60
        sides = {
            LEFT: ("top_left", f"{shortened(self.reference.name, room_px - 7 * len(left_mark))}{left_mark}"),
            RIGHT: ("top_right", f"{shortened(self.candidate.name, room_px - 7 * len(mark))}{mark}"),
        }
        for key, (position, text) in sides.items():
            if key not in self._viewer.canvas.overlays:
                self._viewer.canvas.overlays[key] = TextOverlay(position=position, font_size=SIZE_PT, visible=True)
            self._viewer.canvas.overlays[key].text = text

    # --- the mouse -------------------------------------------------------------------------------------------

    def _column_at(self, event: Any) -> float:
        return float(self.reference.world_to_data(event.position)[-1]) + 0.5  # pixels are centred on their index

    def _reached(self, event: Any) -> bool:
        if self._pixels is None or self.layer is None or not self.layer.visible or self._viewer.dims.ndisplay != 2:
            return False
        away = abs(self._column_at(event) - self.column) * abs(self.reference.scale[-1])
        return away * self._viewer.scene.camera.zoom <= REACH_PX

    def _point(self, viewer: ViewerModel, event: Any) -> None:
        """Show by the cursor that the line can be taken."""
        near = self._reached(event)
        if near != self._near:
            if near:
                self._was_style = viewer.cursor.style
            self._near = near
            viewer.cursor.style = "pointing" if near else self._was_style

    def _drag(self, viewer: ViewerModel, event: Any) -> Iterator[None]:
        if not self._reached(event):
            return
        camera = viewer.scene.camera
        panned, camera.mouse_pan = camera.mouse_pan, False
        yield
        while event.type == "mouse_move":
            if self._pixels is not None:
                self.move(self._column_at(event) / self._pixels.shape[1])
                self.moved.emit(self.share)
            yield
        camera.mouse_pan = panned

    # --- the end ---------------------------------------------------------------------------------------------

    def undo(self) -> None:
        """Take away line, names and layer, and show the others as before."""
        viewer, layer = self._viewer, self.layer
        self._pixels = self.layer = None
        viewer.mouse_drag_callbacks.remove(self._drag)
        viewer.mouse_move_callbacks.remove(self._point)
        viewer.canvas.events.size.disconnect(self._show_names)
        if self._near:
            viewer.cursor.style = self._was_style
        for key in (LEFT, RIGHT):
            viewer.canvas.overlays.pop(key, None)
        if layer is not None and not self.reference.rgb:
            unlink_layers([self.reference, layer], LINKED)
        if layer in viewer.layers:
            viewer.layers.remove(layer)
        self._was.put_back()
        self.deleteLater()
