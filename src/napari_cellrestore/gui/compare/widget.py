"""Compare widget: candidates against a reference, side by side or under a line, as maps, curves and numbers."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Layer, Shapes
from napari.utils.notifications import show_error
from qtpy.QtCore import QLocale, Qt, QTimer
from qtpy.QtGui import QDoubleValidator
from qtpy.QtWidgets import (
    QApplication,
    QFileDialog,
    QFormLayout,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_cellrestore.focus import LAG_PX
from napari_cellrestore.gui.background import Background
from napari_cellrestore.gui.choice import Connections, LayerChecks, LayerChoice
from napari_cellrestore.gui.compare.asking_box import AskingBox
from napari_cellrestore.gui.compare.comparison import Wanted, compare
from napari_cellrestore.gui.compare.figure import rows_in_view, scale_of, swipe_in_view, write_figure
from napari_cellrestore.gui.compare.maps import MAPS, MapLayers, legend_said, map_kind
from napari_cellrestore.gui.compare.metrics_table import MetricsTable, Value
from napari_cellrestore.gui.compare.names import generated
from napari_cellrestore.gui.compare.profile import OWN, CurveBox
from napari_cellrestore.gui.compare.region_table import RegionTable
from napari_cellrestore.gui.compare.swipe import STEP
from napari_cellrestore.gui.compare.view_box import ViewBox
from napari_cellrestore.gui.current import full_resolution, lazy_plane, provenance_of
from napari_cellrestore.gui.layers import stack_from_layer
from napari_cellrestore.gui.panel import Panel
from napari_cellrestore.gui.regions import Area, areas_px, mask_px
from napari_cellrestore.restore import SPREAD

EMPTY = "Open or restore two images of the same field:<br>File > Open, or<br>File > Open Sample > Cell Restore."
PAUSE_MS = 200


class CompareWidget(Panel):
    """Dock widget that compares the planes in view of several image layers with that of a reference."""

    def __init__(self, napari_viewer: ViewerModel) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self._values: dict[tuple[int, str], Value] = {}
        self._layers: list[Image] = []  # the reference and the candidates of its size
        self._areas: list[Area] = []
        self._maps = MapLayers(napari_viewer)
        self._no_maps: dict[str, str] = {}
        self._reference: Image | None = None
        self._build()
        self._work, self._saving = Background(self), Background(self)
        self._work.came.connect(self._on_result)
        self._work.failed.connect(self._say)
        self._saving.came.connect(lambda path: self._tell(f"Saved: {path.name}"))
        self._saving.failed.connect(self._on_unsaved)
        self._soon = QTimer(self, singleShot=True, interval=PAUSE_MS)
        self._soon.timeout.connect(self._compare)
        self._data_events, self._mask_events = Connections(self), Connections(self)
        self._choose_first()
        self._connect()
        self._on_choice()

    def _build(self) -> None:
        self._build_choices()
        self.view, self.curves = ViewBox(self._viewer), CurveBox(self._viewer)
        self.map_buttons = {name: QPushButton(kind.label, checkable=True) for name, kind in MAPS.items()}
        for name, button in self.map_buttons.items():
            button.setToolTip(MAPS[name].help)
        self.said, self.saved = QLabel(wordWrap=True), QLabel(wordWrap=True)
        self.legend = QLabel(wordWrap=True, textFormat=Qt.TextFormat.RichText)
        self.asking = AskingBox()
        self.table, self.regions = MetricsTable(), RegionTable()
        self.copy_button, self.copy_regions_button = QPushButton("Copy table"), QPushButton("Copy regions")
        for button in (self.copy_button, self.copy_regions_button):
            button.setToolTip("As text with tabs, for a spreadsheet")
        self.save_button = QPushButton("Save figure…")
        self.save_button.setToolTip("What is in view as PNG, with scale bars, names and what was computed")
        form = QFormLayout()
        for label, field in (
            ("Reference", self.reference),
            ("Candidates", self.candidates),
            ("Within", self.mask),
            ("Data range", self.data_range),
            ("View", self.view),
            ("Maps", _grid(*self.map_buttons.values())),
            ("Plot", self.curves.choice),
        ):
            form.addRow(label, field)
        actions = QHBoxLayout()
        for button in (self.copy_button, self.copy_regions_button, self.save_button):
            actions.addWidget(button)
        content = QWidget()
        layout = QVBoxLayout(content)
        layout.addLayout(form)
        for part in (self.said, self.legend, self.asking, self.curves, self.table, self.regions):
            layout.addWidget(part)
        layout.addLayout(actions)
        layout.addWidget(self.saved)
        layout.addStretch(1)
        self._tell("")
        self.set_content(content, EMPTY)

    def _build_choices(self) -> None:
        self.reference = LayerChoice(self._viewer, is_comparable)
        self.reference.setToolTip("What is compared with: the truth, or the input")
        self.candidates = LayerChecks(self._viewer, self._is_candidate, generated)
        self.candidates.setMaximumHeight(72)
        self.mask = LayerChoice(self._viewer, encloses, none="whole image")
        self.mask.setToolTip("Regions drawn: all numbers are of what lies in them, and each has numbers of its own")
        self.data_range = QLineEdit(placeholderText="from the image type")
        self.data_range.setToolTip("Span of possible grey levels, for PSNR and SSIM: 255 for 8 bit, 4095 for 12 bit")
        validator = QDoubleValidator(0, 1e12, 6)
        validator.setLocale(QLocale.c())
        self.data_range.setValidator(validator)

    def _connect(self) -> None:
        lasting = Connections(self)
        lasting.connect(self._viewer.dims.events.current_step, self._on_planes)
        lasting.connect(self._viewer.layers.events.removed, self._on_removed)
        self.reference.changed.connect(self._on_reference)
        self.candidates.changed.connect(self._on_choice)
        self.mask.changed.connect(self._on_mask)
        self.data_range.textChanged.connect(self._compare_soon)
        for button in self.map_buttons.values():
            button.toggled.connect(self._compare_soon)
        self.view.missing.connect(self._compare_soon)
        self.copy_button.clicked.connect(lambda: QApplication.clipboard().setText(self.table.text()))
        self.copy_regions_button.clicked.connect(lambda: QApplication.clipboard().setText(self.regions.text()))
        self.save_button.clicked.connect(self._ask_and_save)
        self.asking.stopped.connect(self._work.stop)
        self.closed.connect(self._on_closed)

    # --- what is compared ------------------------------------------------------------------------------------

    def _choose_first(self) -> None:
        """Choose what is probably meant: the input as the reference, images of its size as candidates."""
        images = [layer for layer in self._viewer.layers if is_comparable(layer)]
        recorded = [layer for layer in images if not generated(layer)]
        if recorded and generated(self.reference.layer):
            self.reference.choose(recorded[0])
        self._reference = self.reference.layer
        self.candidates.check([layer for layer in images if self._is_candidate(layer) and self._fits(layer)])

    def _is_candidate(self, layer: Layer) -> bool:
        return is_comparable(layer) and layer != self.reference.layer

    def _fits(self, layer: Image) -> bool:
        return _size(layer) == _size(self.reference.layer)

    def _on_reference(self) -> None:
        """Turn to another reference; the one before becomes a candidate."""
        before, self._reference = self._reference, self.reference.layer
        self.candidates.check([*self.candidates.layers, *([before] if before in self._viewer.layers else [])])
        self._on_choice()

    def _on_choice(self) -> None:
        """Turn to another choice of layers."""
        self.show_content(self.candidates.count() > 0)
        self._data_events.clear()
        for layer in (self.reference.layer, *self.candidates.layers):
            if layer is not None:
                self._data_events.connect(layer.events.data, self._on_planes)
        self._choose_fitting()
        self._compare_soon()

    def _choose_fitting(self) -> None:
        """Choose the layers that can be compared, which may be others once they have other pixels."""
        reference, candidates = self.reference.layer, self.candidates.layers
        self._layers = [] if reference is None else [reference, *filter(self._fits, candidates)]
        self.view.show_layers([] if reference is None else [reference, *candidates], self._layers)

    def _on_mask(self) -> None:
        self._mask_events.clear()
        if (shapes := self.mask.layer) is not None:
            self._mask_events.connect(shapes.events.data, self._compare_soon)
        self.curves.use_lines_of(self.mask.layer)
        self._compare_soon()

    def _on_planes(self, _event: object = None) -> None:
        """Turn to other pixels of the same layers."""
        self._choose_fitting()
        self.view.renew_plane()
        self._compare_soon()

    def _compare_soon(self, _event: object = None) -> None:
        """Drop what was compared; compare once nothing changes any more."""
        self._work.stop()
        self._values.clear()
        self._no_maps.clear()
        self.asking.clear()
        self._show_numbers()
        self.curves.show_images(self._layers, [], None)
        self._soon.start()

    def _compare(self) -> None:
        """Compare in the background."""
        there_are = len(self._layers) > 1
        maps = [name for name, button in self.map_buttons.items() if button.isChecked() and there_are]
        for name in MAPS:
            if name not in maps:
                self._maps.drop(name)
        if "trust" not in maps:
            self._show_legend([])
        self._areas, mask = [], None
        if there_are:
            reference, shapes = self._layers[0], self.mask.layer
            planes = [lazy_plane(self._viewer, layer) for layer in self._layers]
            if shapes is not None:
                yx_shape = planes[0].shape[:2]
                self._areas = areas_px(shapes, reference, yx_shape, LAG_PX)
                mask = mask_px(shapes, reference, yx_shape)
            span = self.data_range.text().strip()
            made = [provenance_of(layer) for layer in self._layers] if "trust" in maps else []
            made = made if any("generated" in one for one in made[1:]) else []
            self._work.start(compare, Wanted(planes, maps, float(span) if span else None, mask, self._areas, made))
        self._show_numbers()
        self._say()

    def _say(self, failed: str = "") -> None:
        self.said.setText(failed or "\n".join(self._remarks()))
        self.said.setVisible(bool(self.said.text()))

    def _remarks(self) -> list[str]:
        """Return what the user should know about the choice."""
        reference, candidates = self.reference.layer, self.candidates.layers
        said = [] if candidates else ["Check one or more candidates."]
        said += [
            f"{layer.name} is {_shape(_size(layer))}, {reference.name} is {_shape(_size(reference))}: "
            "only images of one shape can be compared."
            for layer in candidates
            if layer not in self._layers
        ]
        if self.mask.layer is not None and not self._areas:
            said.append(f"{self.mask.layer.name} encloses nothing: the whole image is compared.")
        if self._areas and self._layers[0].rgb:
            said.append("Mean, std, min and max of regions are of the green channel.")
        said += [f"No {name}: {why}." for name, why in self._no_maps.items()]
        if len(self._layers) > 1 and any(layer.ndim > 2 for layer in self._layers):
            said.append("The planes in view are compared; they follow the sliders.")
        return said

    def _on_result(self, result: tuple[str, Any, Any]) -> None:
        kind, key, value = result
        if kind == "planes":
            self._on_pixels(value)
        elif kind == "regions":
            self.regions.show_values(self._layers, self._areas, value, self._pixel_yx_um)
        elif kind == "metric":
            self._values[key] = value
            self.table.show_values(self._layers, self._values)
        elif kind in ("asking", "asked"):
            self.asking.say(self._layers[key].name, 1.0 if kind == "asked" else value)
            if kind == "asked":
                self._show_maps("trust", value)
        else:
            self._show_maps(key, value)

    def _on_pixels(self, pixels: Sequence[np.ndarray]) -> None:
        self.curves.show_images(self._layers, pixels, self._pixel_yx_um)
        self.view.take_pixels(pixels)

    @property
    def _pixel_yx_um(self) -> tuple[float, float] | None:
        """Height and width of a pixel of the reference."""
        return stack_from_layer(self._layers[0]).pixel_yx_um

    # --- what is seen ----------------------------------------------------------------------------------------

    def _show_numbers(self) -> None:
        self.table.show_values(self._layers, self._values)
        self.regions.show_values(self._layers, self._areas, {}, None)
        self.regions.verticalHeader().setFixedWidth(self.table.verticalHeader().width())
        for part in (self.regions, self.copy_regions_button):
            part.setVisible(bool(self._areas))

    def _show_maps(self, name: str, made: tuple[list[np.ndarray], Any] | str) -> None:
        """Show maps, or say why there are none."""
        if isinstance(made, str):
            self._no_maps[name] = made
            self._maps.drop(name)
            self._say()
            return
        pixels, limits = made
        if name == "trust":
            self._show_legend(pixels)
        layers = self._maps.show(name, self._layers[0], dict(zip(self._layers[1:], pixels, strict=True)), limits)
        self.view.add_maps(layers)

    def _show_legend(self, trust: Sequence[np.ndarray]) -> None:
        """Say what the kinds of a trust map mean and how much there is of each, for each candidate."""
        said = []
        for place, classes in enumerate(trust, 1):
            name = f"{escape(self._layers[place].name)}:<br>" if len(trust) > 1 else ""
            said.append(f"<p>{name}{legend_said(classes, asked=self.asking.answered(self._layers[place].name))}</p>")
        self.legend.setText("".join(said))
        self.legend.setVisible(bool(trust))

    def _on_removed(self, event: Any) -> None:
        """Switch off what shows itself by layers of its own when the user removed them."""
        if name := self._maps.forget(event.value):
            self.map_buttons[name].setChecked(False)
        self.view.forget(event.value)

    def _on_closed(self) -> None:
        self.view.end()
        self.curves.drop_empty_line()

    # --- the figure ------------------------------------------------------------------------------------------

    def _ask_and_save(self) -> None:
        name, _ = QFileDialog.getSaveFileName(self, "Figure of what is in view", "comparison.png", "PNG (*.png)")
        if not name:
            return
        try:
            self.save_figure(name, overwrite=True)  # the dialog has asked
        except ValueError as error:
            show_error(str(error))

    def _tell(self, text: str) -> None:
        self.saved.setText(text)
        self.saved.setVisible(bool(text))

    def _on_unsaved(self, why: str) -> None:
        self._tell("")
        show_error(why)

    def save_figure(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write what is in view, the part zoomed in on, as PNG; in the background."""
        path = Path(path)
        if path.suffix.lower() != ".png":
            raise ValueError(f"{path.name}: figures are written as PNG; give a name that ends in .png")
        if path.exists() and not overwrite:
            raise ValueError(f"{path}: exists already; give another name, or overwrite=True")
        column = None
        if self.view.swipe is not None:
            rows, column = swipe_in_view(self._viewer, self.view.swipe)
        else:
            rows = rows_in_view(self._viewer)
        self._tell("Saving…")
        self._saving.start(write_figure, path, rows, scale_of(self._layers[0]), column)


def is_comparable(layer: Layer) -> bool:
    """Return whether a layer is an image other than maps, the swipe made here and where a model is unsure."""
    made = provenance_of(layer).get("step") if isinstance(layer, Image) else None
    return isinstance(layer, Image) and map_kind(layer) is None and made not in (STEP, SPREAD)


def encloses(layer: Layer) -> bool:
    """Return whether a layer may hold regions."""
    return isinstance(layer, Shapes) and OWN not in layer.metadata


def _grid(*widgets: QWidget) -> QGridLayout:
    grid = QGridLayout()
    for place, widget in enumerate(widgets):
        grid.addWidget(widget, *divmod(place, 2))
    return grid


def _size(layer: Image) -> tuple[int, ...]:
    return tuple(full_resolution(layer).shape[layer.ndim - 2 :])


def _shape(shape: tuple[int, ...]) -> str:
    return f"{shape[0]} × {shape[1]}" + (" in colour" if len(shape) > 2 else "")
