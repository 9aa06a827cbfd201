"""Curves of the images compared: grey levels along a line drawn, and power by spatial frequency."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from io import StringIO
from threading import Event

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Shapes
from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QApplication, QComboBox, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget
from skimage.measure import profile_line

from napari_cellrestore.focus import green
from napari_cellrestore.gui.background import Background
from napari_cellrestore.gui.choice import Connections
from napari_cellrestore.gui.compare.names import shortened, title
from napari_cellrestore.gui.current import full_resolution, plane_place
from napari_cellrestore.gui.plot import PALETTE, LinePlot
from napari_cellrestore.gui.regions import line_px
from napari_cellrestore.gui.theme import theme_colour
from napari_cellrestore.metrics import spectral_ratio

NONE, PROFILE, SPECTRUM = "none", "profile along a line", "spectrum"
#: Range of the ratio of powers that is shown.
RATIO = (0.0, 1.5)
PAUSE_MS = 60
OWN = "cellrestore profile line"


@dataclass(frozen=True, eq=False)
class Curves:
    """A line (x, y) for each image by its place, 0 for the reference."""

    x_label: str
    y_label: str
    lines: dict[int, tuple[np.ndarray, np.ndarray]]


def profile_curves(
    _stop: Event, images: Sequence[np.ndarray], ends_px: np.ndarray, pixel_yx_um: tuple[float, float] | None
) -> Iterator[Curves]:
    """Yield grey levels, of colours those of the green channel, a pixel apart along a line, between pixels bilinear."""
    levels = [_along(green(image), ends_px) for image in images]
    length = float(np.hypot(*((ends_px[1] - ends_px[0]) * (pixel_yx_um or (1, 1)))))
    x = np.linspace(0, length, len(levels[0]))
    unit = "px" if pixel_yx_um is None else "µm"
    yield Curves(f"along the line ({unit})", "grey level", {place: (x, y) for place, y in enumerate(levels)})


def _along(levels: np.ndarray, ends_px: np.ndarray) -> np.ndarray:
    """Return grey levels along a line; NaN outside the image."""
    first, last = np.floor(ends_px.min(axis=0)).astype(int), np.ceil(ends_px.max(axis=0)).astype(int)
    first, last = (np.clip(corner, 0, np.array(levels.shape) - 1) for corner in (first, last))
    box = levels[first[0] : last[0] + 1, first[1] : last[1] + 1].astype(float)  # no more than is needed
    values = profile_line(box, *(ends_px - first), order=1, mode="nearest")
    points = np.linspace(ends_px[0], ends_px[1], len(values))
    values[((points < -0.5) | (points > np.array(levels.shape) - 0.5)).any(axis=1)] = np.nan
    return values


def spectrum_curves(
    stop: Event, images: Sequence[np.ndarray], pixel_yx_um: tuple[float, float] | None
) -> Iterator[Curves]:
    """Yield the power of each candidate over that of the reference by frequency, one candidate more at a time."""
    square = pixel_yx_um is not None and np.isclose(*pixel_yx_um, rtol=1e-6)
    pixel_um = pixel_yx_um[0] if pixel_yx_um is not None and square else None
    unit, lines = "cycles/px" if pixel_um is None else "cycles/µm", {}
    for place, image in enumerate(images[1:], 1):
        lines[place] = spectral_ratio(images[0], image, pixel_um)
        yield Curves(f"spatial frequency ({unit})", "power / reference", dict(lines))
        if stop.is_set():
            return


class CurveBox(QWidget):
    """A choice of curves, their plot and what they are; curves follow the images and the line."""

    #: Curves came, or another kind was chosen.
    changed = Signal()

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__()
        self._viewer = viewer
        self._layers: list[Image] = []
        self._images: list[np.ndarray] = []
        self._pixel_yx_um: tuple[float, float] | None = None
        self._own: Shapes | None = None
        self._within: Shapes | None = None
        self.curves: Curves | None = None
        self._build()
        self._work = Background(self)
        self._work.came.connect(self._on_curves)
        self._work.failed.connect(self._say)
        self._soon = QTimer(self, singleShot=True, interval=PAUSE_MS)
        self._soon.timeout.connect(self._compute)
        self._line_events = Connections(self)
        self.choice.currentIndexChanged.connect(self._on_kind)
        self.draw_button.clicked.connect(self.draw_line)
        self.copy_button.clicked.connect(lambda: QApplication.clipboard().setText(self.text()))
        Connections(self).connect(viewer.events.theme, self._show)
        Connections(self).connect(viewer.layers.events.removed, self._on_removed)
        self._on_kind()

    def _build(self) -> None:
        self.choice = QComboBox()
        self.choice.addItems([NONE, PROFILE, SPECTRUM])
        self.draw_button = QPushButton("Draw line")
        self.draw_button.setToolTip("Draw a line on the image; the one drawn last, or selected, counts")
        self.copy_button = QPushButton("Copy curves")
        self.copy_button.setToolTip("All values as CSV")
        self.plot = LinePlot(self._viewer)
        self.plot.setMinimumHeight(190)
        self.said = QLabel(wordWrap=True)
        buttons = QHBoxLayout()
        buttons.addWidget(self.draw_button)
        buttons.addWidget(self.copy_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(buttons)
        layout.addWidget(self.plot)
        layout.addWidget(self.said)

    @property
    def kind(self) -> str:
        """Which curves are shown."""
        return self.choice.currentText()

    # --- what is computed ------------------------------------------------------------------------------------

    def show_images(
        self, layers: Sequence[Image], images: Sequence[np.ndarray], pixel_yx_um: tuple[float, float] | None
    ) -> None:
        """Have the curves of these planes, the reference's first; of none while they are being read."""
        if list(layers) != self._layers:
            self.curves = None
        self._layers, self._images, self._pixel_yx_um = list(layers), list(images), pixel_yx_um
        self._compute_soon()

    def use_lines_of(self, shapes: Shapes | None) -> None:
        """Take the line of this layer where none was drawn here."""
        self._within = shapes
        self._follow_lines()
        self._compute_soon()

    def draw_line(self) -> None:
        """Let the user draw a line, in a layer of its own."""
        if self.kind != PROFILE:
            self.choice.setCurrentText(PROFILE)
        if self._own is None and self._layers:
            layer = self._layers[0]
            rows_columns = full_resolution(layer).shape[layer.ndim - 2 : layer.ndim]
            self._own = self._viewer.add_shapes(
                ndim=2,
                name="profile line",
                edge_color=PALETTE[0],
                face_color="transparent",
                edge_width=max(1, min(rows_columns) / 200),
                metadata={OWN: True},
                **plane_place(layer),
            )
            self._follow_lines()
        if self._own is not None:
            self._viewer.layers.selection.active = self._own
            self._own.visible = True
            self._own.mode = "add_line"

    def _line(self) -> np.ndarray | None:
        """Return the ends of the line in pixels of the reference: drawn here, else in the layer of regions."""
        for shapes in (self._own, self._within):
            if shapes is not None and (ends := line_px(shapes, self._layers[0])) is not None:
                return ends
        return None

    def _follow_lines(self) -> None:
        self._line_events.clear()
        for shapes in (self._own, self._within):
            if shapes is not None:
                for event in (shapes.events.data, shapes.selected_data.events.items_changed):
                    self._line_events.connect(event, self._compute_soon)

    def _on_kind(self, _index: int = 0) -> None:
        if self.kind != PROFILE:
            self.drop_empty_line()
        self.setVisible(self.kind != NONE)
        self.draw_button.setVisible(self.kind == PROFILE)
        self.curves = None
        self._compute_soon()
        self._show()

    def drop_empty_line(self) -> None:
        """Take the layer for a line away again if nothing was drawn in it."""
        if self._own is not None and not self._own.nshapes and self._own in self._viewer.layers:
            self._viewer.layers.remove(self._own)

    def _on_removed(self, event: object) -> None:
        if event.value == self._own:  # type: ignore[attr-defined]
            self._own = None
            self._follow_lines()
            self._compute_soon()

    def _compute_soon(self, _event: object = None) -> None:
        self._work.stop()
        if self.kind != NONE:
            self._soon.start()

    def _compute(self) -> None:
        """Compute the curves in the background."""
        ends_px = self._line() if self._images and self.kind == PROFILE else None
        if self._images and self.kind == SPECTRUM:
            self._work.start(spectrum_curves, self._images, self._pixel_yx_um)
        elif ends_px is not None:
            self._work.start(profile_curves, self._images, ends_px, self._pixel_yx_um)
        elif not self._images and self._layers:
            return  # they are being read: what was shown stays until then
        else:
            self.curves = None
            self._show()

    # --- what is shown ---------------------------------------------------------------------------------------

    def _on_curves(self, curves: Curves) -> None:
        self.curves = curves
        self._show()

    def _say(self, text: str) -> None:
        self.curves = None
        self._show()
        self.said.setText(text)

    def _colour(self, place: int) -> str | None:
        """Return the colour of an image, None for the colour of text, which is the reference's."""
        return PALETTE[(place - 1) % len(PALETTE)] if place else None

    def _show(self, _event: object = None) -> None:
        curves = self.curves
        self.copy_button.setEnabled(curves is not None)
        self.plot.setVisible(curves is not None)
        if curves is None:
            self.plot.show_lines([], "", "")
            self.said.setText("Draw a line on the image." if self.kind == PROFILE and self._layers else "")
            self.changed.emit()
            return
        spectrum = self.kind == SPECTRUM
        lines = [(x, y, self._colour(place)) for place, (x, y) in curves.lines.items()]
        y_range, level = (RATIO, 1.0) if spectrum else (None, None)
        self.plot.show_lines(lines, curves.x_label, curves.y_label, y_range=y_range, level=level)
        text = theme_colour(self._viewer, "text")
        names = "".join(
            f"<div><span style='color:{self._colour(place) or text}'>●</span> "
            f"{escape(shortened(title(self._layers[place]), 270, self.font().pointSizeF()))}</div>"
            for place in curves.lines
        )
        colours = "" if spectrum or not self._layers[0].rgb else "<div>Of colours the green channel.</div>"
        self.said.setText(names + colours)
        self.changed.emit()

    def text(self) -> str:
        """Return the curves as CSV, a column of x and one for each image."""
        if self.curves is None:
            return ""
        out = StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow([self.curves.x_label, *(self._layers[place].name for place in self.curves.lines)])
        (x, _), *_ = self.curves.lines.values()
        writer.writerows(np.column_stack([x, *(y for _, y in self.curves.lines.values())]).tolist())
        return out.getvalue()
