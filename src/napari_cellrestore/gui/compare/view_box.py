"""How reference and candidates are seen: side by side, one over the other up to a line, in one contrast."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Layer
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QCheckBox, QGridLayout, QPushButton, QSlider, QWidget

from napari_cellrestore.gui.choice import LayerChoice
from napari_cellrestore.gui.compare.beside import LinkedContrast, SideBySide
from napari_cellrestore.gui.compare.swipe import Swipe
from napari_cellrestore.gui.current import lazy_plane

#: Steps of the slider of the swipe.
STEPS = 1000


class ViewBox(QWidget):
    """Buttons for the ways of seeing, of which one is on or none; what is switched off leaves no trace."""

    #: The swipe needs the pixels of a plane that is not in memory.
    missing = Signal()

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__()
        self._viewer = viewer
        self._layers: list[Image] = []
        self._fitting: list[Image] = []
        self._linked: LinkedContrast | None = None
        self.view: SideBySide | Swipe | None = None
        self._build()
        self.beside_button.toggled.connect(lambda: self._on_button(self.beside_button, self.swipe_button))
        self.swipe_button.toggled.connect(lambda: self._on_button(self.swipe_button, self.beside_button))
        self.swipe_choice.changed.connect(self._start)
        self.slider.valueChanged.connect(self._on_slider)
        self.link_check.toggled.connect(self._link)
        self._start()

    def _build(self) -> None:
        self.beside_button = QPushButton("Side by side", checkable=True)
        self.beside_button.setToolTip("Reference and candidates in a grid, in one contrast; off puts everything back")
        self.swipe_button = QPushButton("Swipe", checkable=True)
        self.swipe_button.setToolTip("Reference left of a line, a candidate right of it: drag the line")
        self.link_check = QCheckBox("Link contrast")
        self.link_check.setToolTip("Grey images in the contrast of the reference, changed together")
        self.swipe_choice = LayerChoice(self._viewer, lambda layer: layer in self._fitting[1:])
        self.slider = QSlider(Qt.Orientation.Horizontal, maximum=STEPS, value=STEPS // 2)
        self.slider.setToolTip("Where the line is")
        layout = QGridLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.beside_button, 0, 0)
        layout.addWidget(self.swipe_button, 0, 1)
        layout.addWidget(self.swipe_choice, 1, 0, 1, 2)
        layout.addWidget(self.slider, 2, 0, 1, 2)
        layout.addWidget(self.link_check, 3, 0, 1, 2)

    @property
    def swipe(self) -> Swipe | None:
        """The swipe, while it is on."""
        return self.view if isinstance(self.view, Swipe) else None

    # --- what is seen ----------------------------------------------------------------------------------------

    def show_layers(self, layers: Sequence[Image], fitting: Sequence[Image]) -> None:
        """See these layers, the reference first; ``fitting`` are those of its size."""
        if list(layers) == self._layers and list(fitting) == self._fitting:
            return
        self._layers, self._fitting = list(layers), list(fitting)
        blocked = self.swipe_choice.blockSignals(True)
        self.swipe_choice.refresh()
        self.swipe_choice.blockSignals(blocked)
        self._start()

    def add_maps(self, maps: Sequence[Image]) -> None:
        """Take up maps that came or were renewed."""
        if self.view is not None:
            self.view.add(maps)

    def renew_plane(self) -> None:
        """Swipe over another plane of the candidate: at once if it is in memory, else when it was read."""
        if self.swipe is not None:
            plane = lazy_plane(self._viewer, self.swipe.candidate)
            if isinstance(plane, np.ndarray):
                self.swipe.show(plane)
            else:
                self.swipe.hide()

    def take_pixels(self, pixels: Sequence[np.ndarray]) -> None:
        """Take the planes of the fitting layers that were read."""
        if self.swipe is not None:
            self.swipe.show(pixels[self._fitting.index(self.swipe.candidate)])

    def forget(self, layer: Layer) -> None:
        """Switch the swipe off when the user removed its layer."""
        if self.swipe is not None and layer == self.swipe.layer:
            self.swipe_button.setChecked(False)

    # --- on and off ------------------------------------------------------------------------------------------

    def _on_button(self, pressed: QPushButton, other: QPushButton) -> None:
        if pressed.isChecked() and other.isChecked():
            blocked = other.blockSignals(True)
            other.setChecked(False)
            other.blockSignals(blocked)
        self._start()

    def _start(self) -> None:
        """See the layers in the way that is switched on."""
        self.end()
        swiped = self.swipe_button.isChecked()
        self.slider.setVisible(swiped)
        self.swipe_choice.setVisible(swiped and len(self._fitting) > 2)
        if self.beside_button.isChecked() and len(self._layers) > 1:
            self.view = SideBySide(self._viewer, self._layers)
        elif swiped and self.swipe_choice.layer in self._fitting[1:]:
            share = self.slider.value() / STEPS
            self.view = Swipe(self._viewer, self._fitting[0], self.swipe_choice.layer, share, self)
            self.view.moved.connect(self._on_line)
            self.renew_plane()
            if self.view.layer is None:
                self.missing.emit()
        self._link()

    def end(self) -> None:
        """Put everything back; linked contrast stays as it is, but is linked no more."""
        if self._linked is not None:
            self._linked.undo()
            self._linked = None
        view, self.view = self.view, None
        if view is not None:
            view.undo()

    def _link(self) -> None:
        if self._linked is not None:
            self._linked.undo()
        wanted = self.link_check.isChecked() or isinstance(self.view, SideBySide)
        self._linked = LinkedContrast(self._layers) if wanted else None

    def _on_slider(self, step: int) -> None:
        if self.swipe is not None:
            self.swipe.move(step / STEPS)

    def _on_line(self, share: float) -> None:
        blocked = self.slider.blockSignals(True)
        self.slider.setValue(round(share * STEPS))
        self.slider.blockSignals(blocked)
