"""Focus map and all-in-focus image of a stack, and of another channel by a map made before."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Event
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Layer
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QGridLayout, QHBoxLayout, QLabel, QPushButton, QWidget

from napari_cellrestore.focus import all_in_focus, focus_map, nearest_planes, take_planes
from napari_cellrestore.gui.background import Background
from napari_cellrestore.gui.choice import LayerChoice, LayersWatch
from napari_cellrestore.gui.current import provenance_of
from napari_cellrestore.gui.layers import stack_from_layer
from napari_cellrestore.gui.watched import Stopped, WatchedPlanes
from napari_cellrestore.stack import ImageStack

#: Confidence of a focus map below which there is no structure to focus on: noise reaches about 0.1.
SURE = 0.2
#: Steps that make a map of planes.
MAPS = ("focus map", "source plane")


class FocusMaps(QWidget):
    """The buttons, and the work behind them."""

    #: An image was made, what it is in its provenance.
    made = Signal(object)
    #: Why none was made, in a line; empty when the work begins.
    failed = Signal(str)
    #: The work began or ended.
    changed = Signal()

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__()
        self._stack: ImageStack | None = None
        self.planes: WatchedPlanes | None = None
        self.map_button, self.fused_button = QPushButton("Focus map"), QPushButton("All in focus")
        self.map_button.setToolTip(
            "The z at which each place is sharpest, as a layer; empty where there is nothing to focus on"
        )
        self.fused_button.setToolTip("One image put together from the sharpest plane of each place, as a layer")
        self.map_choice = LayerChoice(viewer, is_map, none="this stack")
        self._by_map = QWidget()
        self._by_map.setToolTip(
            "All in focus by a map made before, of another channel for example. Where the map is empty, the nearest place "
            "that it knows decides"
        )
        row = QHBoxLayout(self._by_map)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(QLabel("All in focus by"))
        row.addWidget(self.map_choice, 1)
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.addWidget(self.map_button, 0, 0)
        grid.addWidget(self.fused_button, 0, 1)
        grid.addWidget(self._by_map, 1, 0, 1, 2)

        self._work = Background(self)
        self._work.came.connect(self.made)
        self._work.failed.connect(self.failed)
        self._work.finished.connect(self._show)
        self.map_button.clicked.connect(lambda: self._start(make_map))
        self.fused_button.clicked.connect(self._fuse)
        LayersWatch(viewer, self).changed.connect(self._show_buttons)
        self._show()

    @property
    def running(self) -> bool:
        """Whether an image is being made."""
        return self._work.running

    def show_stack(self, stack: ImageStack | None) -> None:
        """Offer maps of a stack (ZYX or ZYXS), or of none."""
        self._stack = stack
        self._show_buttons()

    def stop(self) -> None:
        """Make no image any more."""
        self._work.stop()

    def _fuse(self) -> None:
        known = self.map_choice.layer
        if known is None:
            self._start(make_all_in_focus)
        else:
            self._start(take_by_map, stack_from_layer(known), known.name)

    def _start(self, work: Any, *args: Any) -> None:
        if self._stack is not None:
            self.failed.emit("")
            self.planes = WatchedPlanes(self._stack.data, passes=1)
            self._work.start(work, self.planes, self._stack, *args)
            self._show()

    def _show(self) -> None:
        self._show_buttons()
        self.changed.emit()

    def _show_buttons(self) -> None:
        for button in (self.map_button, self.fused_button):
            button.setEnabled(self._stack is not None and not self.running)
        self._by_map.setVisible(self.map_choice.count() > 1)


def is_map(layer: Layer) -> bool:
    """Return whether a layer is a map of planes, by which other stacks of the field can be put together."""
    return isinstance(layer, Image) and layer.ndim == 2 and provenance_of(layer).get("step") in MAPS


# --- work --------------------------------------------------------------------------------------------------


def make_map(stop: Event, planes: Any, stack: ImageStack) -> Iterator[ImageStack]:
    """Yield the confidence of a focus map, then the map, empty where that is low."""
    planes.stop = stop
    plane, window = stack.select("Z", 0), min(36, *stack.yx_shape)
    made = {"window_px": window, "confidence_from": SURE, "unit": "plane" if stack.z_um is None else "um"}
    try:
        peak_um, confidence = focus_map(planes, stack.z_um, window, confidence_from=SURE)
    except Stopped:
        return
    yield plane.replace(data=confidence, axes="YX", provenance={"step": "focus map confidence", **made})
    yield plane.replace(data=peak_um, axes="YX", provenance={"step": "focus map", **made})


def make_all_in_focus(stop: Event, planes: Any, stack: ImageStack) -> Iterator[ImageStack]:
    """Yield the plane that each pixel comes from, then the image."""
    planes.stop = stop
    plane, window = stack.select("Z", 0), min(36, *stack.yx_shape)
    try:
        image, source_plane = all_in_focus(planes, stack.z_um, window)
    except Stopped:
        return
    made = {"window_px": window, "planes": stack.size("Z")}
    numbers = source_plane.astype(np.uint16)
    yield plane.replace(data=numbers, axes="YX", provenance={"step": "source plane", **made})
    yield plane.replace(data=image, provenance={"step": "all in focus", **made})


def take_by_map(stop: Event, planes: Any, stack: ImageStack, known: ImageStack, name: str) -> Iterator[ImageStack]:
    """Yield the image of the planes that a focus map, or a map of source planes, names."""
    planes.stop = stop
    numbers = np.asarray(known.data)
    if known.provenance["step"] == "focus map":
        numbers = nearest_planes(numbers, _positions(stack, known.provenance["unit"]))
    try:
        image = take_planes(planes, numbers)
    except Stopped:
        return
    made = {"step": "all in focus", "by": name, "map": dict(known.provenance)}
    yield stack.select("Z", 0).replace(data=image, provenance=made)


def _positions(stack: ImageStack, unit: str) -> np.ndarray:
    if unit != "um":
        return np.arange(stack.size("Z"))
    if stack.z_um is None:
        raise ValueError("the map is in µm, but the z step of this stack is not known: set it below, under Calibration")
    return np.asarray(stack.z_um)
