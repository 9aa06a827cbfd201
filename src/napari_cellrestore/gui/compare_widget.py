"""Compare widget: candidates against a reference, side by side, as maps and in numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from threading import Event
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.experimental import link_layers, unlink_layers
from napari.layers import Image, Layer, Shapes
from napari.utils.colormaps import Colormap
from qtpy.QtCore import QLocale, Qt, QTimer
from qtpy.QtGui import QDoubleValidator
from qtpy.QtWidgets import (
    QAbstractItemView,
    QApplication,
    QFormLayout,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QLineEdit,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_cellrestore.gui.background import Background
from napari_cellrestore.gui.choice import Connections, LayerChecks, LayerChoice
from napari_cellrestore.gui.current import (
    full_resolution,
    lazy_plane,
    made_from,
    plane_index,
    plane_place,
    provenance_of,
    put_layer,
    show_scale,
)
from napari_cellrestore.gui.layers import layer_data
from napari_cellrestore.gui.panel import Panel
from napari_cellrestore.gui.regions import mask_px
from napari_cellrestore.metrics import METRICS, difference_map, fpw_map
from napari_cellrestore.stack import ImageStack

EMPTY = "Open or restore two images of the same field:<br>File > Open, or<br>File > Open Sample > Cell Restore."
DIFFERENCE, FPW = "difference", "FPW map"
PAUSE_MS = 200
#: Percentile of a map's pixels at which its contrast ends.
SHOWN_PERCENT = 99.5
#: Below the reference blue, above it red, equal to it white.
DIVERGING = Colormap(
    [[0.02, 0.19, 0.58], [0.42, 0.68, 0.90], [1, 1, 1], [0.96, 0.60, 0.44], [0.65, 0, 0.13]], name="below-above"
)
ARROWS = {"lower": "↓", "higher": "↑", "one": "→ 1"}


class CompareWidget(Panel):
    """Dock widget that compares the planes in view of several image layers with that of a reference."""

    def __init__(self, napari_viewer: ViewerModel) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self._values: dict[tuple[int, str], float | str] = {}
        self._maps: dict[str, list[Image]] = {DIFFERENCE: [], FPW: []}
        self._beside: SideBySide | None = None
        self._reference: Image | None = None
        self._build()
        self._work = Background(self)
        self._work.came.connect(self._on_result)
        self._work.failed.connect(self.said.setText)
        self._soon = QTimer(self, singleShot=True, interval=PAUSE_MS)
        self._soon.timeout.connect(self._compare)
        self._data_events, self._mask_events = Connections(self), Connections(self)
        self._choose_first()

        lasting = Connections(self)
        lasting.connect(napari_viewer.dims.events.current_step, self._compare_soon)
        lasting.connect(napari_viewer.layers.events.removed, self._on_removed)
        self.reference.changed.connect(self._on_reference)
        self.candidates.changed.connect(self._on_choice)
        self.mask.changed.connect(self._on_mask)
        self.data_range.textChanged.connect(self._compare_soon)
        for button in self._map_buttons.values():
            button.toggled.connect(self._compare_soon)
        self.beside_button.toggled.connect(self._set_beside)
        self.copy_button.clicked.connect(lambda: QApplication.clipboard().setText(self.table_text()))
        self.closed.connect(self._end_beside)
        self._on_choice()

    def _build(self) -> None:
        self.reference = LayerChoice(self._viewer, is_comparable)
        self.reference.setToolTip("What is compared with: the truth, or the input")
        self.candidates = LayerChecks(self._viewer, self._is_candidate, generated)
        self.candidates.setMaximumHeight(72)
        self.mask = LayerChoice(self._viewer, lambda layer: isinstance(layer, Shapes), none="whole image")
        self.data_range = QLineEdit(placeholderText="from the image type")
        self.data_range.setToolTip("Span of possible grey levels, for PSNR and SSIM: 255 for 8 bit, 4095 for 12 bit")
        validator = QDoubleValidator(0, 1e12, 6)
        validator.setLocale(QLocale.c())
        self.data_range.setValidator(validator)
        self.difference_button = QPushButton("Difference", checkable=True)
        self.difference_button.setToolTip("Layers of candidate minus reference: red above, blue below, white equal")
        self.fpw_button = QPushButton("FPW map", checkable=True)
        self.fpw_button.setToolTip("Layers of where the focus differs from that of the reference")
        self.beside_button = QPushButton("Side by side", checkable=True)
        self.beside_button.setToolTip("Reference and candidates in a grid, in one contrast; off puts everything back")
        self._map_buttons = {DIFFERENCE: self.difference_button, FPW: self.fpw_button}
        self.said = QLabel(wordWrap=True)
        self.table = _table()
        self.copy_button = QPushButton("Copy table")
        self.copy_button.setToolTip("As text with tabs, for a spreadsheet")

        form = QFormLayout()
        form.addRow("Reference", self.reference)
        form.addRow("Candidates", self.candidates)
        form.addRow("Within", self.mask)
        form.addRow("Data range", self.data_range)
        buttons = QHBoxLayout()
        for button in (self.difference_button, self.fpw_button, self.beside_button):
            buttons.addWidget(button)
        content = QWidget()
        layout = QVBoxLayout(content)
        layout.addLayout(form)
        layout.addLayout(buttons)
        layout.addWidget(self.said)
        layout.addWidget(self.table)
        layout.addWidget(self.copy_button)
        layout.addStretch(1)
        self.set_content(content, EMPTY)

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
        return is_comparable(layer) and layer is not self.reference.layer

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
                self._data_events.connect(layer.events.data, self._compare_soon)
        self._set_beside()
        self._compare_soon()

    def _on_mask(self) -> None:
        self._mask_events.clear()
        if (shapes := self.mask.layer) is not None:
            self._mask_events.connect(shapes.events.data, self._compare_soon)
        self._compare_soon()

    def _compare_soon(self, _event: object = None) -> None:
        """Drop what was compared; compare once nothing changes any more."""
        self._work.stop()
        self._values.clear()
        self._show_table()
        self._soon.start()

    def _compare(self) -> None:
        """Compare in the background."""
        reference = self.reference.layer
        layers = [] if reference is None else [layer for layer in self.candidates.layers if self._fits(layer)]
        maps = [kind for kind, button in self._map_buttons.items() if button.isChecked() and layers]
        for kind in self._maps:
            if kind not in maps:
                self._put_maps(kind, [])
        self.said.setText(self._remarks(layers))
        if layers:
            planes = {id(layer): lazy_plane(self._viewer, layer) for layer in layers}
            truth = lazy_plane(self._viewer, reference)
            mask = None if self.mask.layer is None else mask_px(self.mask.layer, reference, truth.shape[:2])
            span = self.data_range.text().strip()
            self._work.start(compare, truth, planes, maps, float(span) if span else None, mask)

    def _remarks(self, fitting: Sequence[Image]) -> str:
        """Return what the user should know about the choice."""
        reference = self.reference.layer
        said = [] if self.candidates.layers else ["Check one or more candidates."]
        for layer in self.candidates.layers:
            if layer not in fitting:
                said.append(
                    f"{layer.name} is {_shape(_size(layer))}, {reference.name} is {_shape(_size(reference))}: "
                    "only images of one shape can be compared."
                )
        if any(layer.ndim > 2 for layer in (*fitting, *([reference] if fitting else []))):
            said.append("The planes in view are compared; they follow the sliders.")
        return "\n".join(said)

    def _on_result(self, result: tuple[str, Any, Any]) -> None:
        kind, key, value = result
        if kind == "metric":
            self._values[key] = value
            self._show_table()
        else:
            self._show_maps(key, *value)

    # --- maps ------------------------------------------------------------------------------------------------

    def _show_maps(self, kind: str, pixels: dict[int, np.ndarray], top: float) -> None:
        """Add or renew a layer for each candidate, all new ones in one contrast, that ends at ``top``."""
        reference = self.reference.layer
        look = {"colormap": DIVERGING, "contrast_limits": (-top, top)}
        sign = "−"
        if kind == FPW:
            look, sign = {"colormap": "inferno", "contrast_limits": (0, top)}, "vs"
        layers = []
        for layer in self.candidates.layers:
            if id(layer) in pixels:
                place = {
                    name: list(plane_index(self._viewer, part)) for name, part in (("plane", layer), ("of", reference))
                }
                sources = {part.name: provenance_of(part) for part in (layer, reference)}
                map_stack = ImageStack(pixels[id(layer)], "YX", provenance=made_from(sources, step=kind, **place))
                ((data, options, _),) = layer_data(map_stack)
                name = f"{kind}: {layer.name} {sign} {reference.name}"
                layers.append(put_layer(self._viewer, data, {**options, **plane_place(layer), **look, "name": name}))
        if layers[-1] not in self._maps[kind]:
            show_scale(layers[-1])
        self._put_maps(kind, layers)
        if self._beside is not None:
            self._beside.add(layers)

    def _put_maps(self, kind: str, layers: list[Image]) -> None:
        """Keep these layers of a kind of map, and take those of before from the list."""
        before, self._maps[kind] = self._maps[kind], layers
        for layer in before:
            if layer not in layers and layer in self._viewer.layers:
                self._viewer.layers.remove(layer)

    def _on_removed(self, event: Any) -> None:
        """Switch a kind of map off when the user removed its last layer."""
        for kind, layers in self._maps.items():
            if event.value in layers:
                layers.remove(event.value)
                self._map_buttons[kind].setChecked(bool(layers))

    # --- side by side ----------------------------------------------------------------------------------------

    def _set_beside(self) -> None:
        self._end_beside()
        if self.beside_button.isChecked() and self.candidates.layers:
            self._beside = SideBySide(self._viewer, [self.reference.layer, *self.candidates.layers])

    def _end_beside(self) -> None:
        beside, self._beside = self._beside, None
        if beside is not None:
            beside.undo()

    # --- numbers ---------------------------------------------------------------------------------------------

    def _columns(self) -> list[tuple[int, Image]]:
        reference = self.reference.layer
        if reference is None:
            return []
        return [(0, reference), *((id(layer), layer) for layer in self.candidates.layers)]

    def _show_table(self) -> None:
        columns = self._columns()
        self.table.setColumnCount(len(columns))
        for column, (key, layer) in enumerate(columns):
            head = QTableWidgetItem(f"✦ {_short(layer.name)}" if generated(layer) else _short(layer.name))
            role = (
                "The reference" if key == 0 else (generated(layer) and provenance_of(layer)["generated"]) or "Candidate"
            )
            head.setToolTip(f"{layer.name}\n{role}")
            self.table.setHorizontalHeaderItem(column, head)
            for row, name in enumerate(METRICS):
                self.table.setItem(row, column, self._cell(key, name))

    def _cell(self, key: int, name: str) -> QTableWidgetItem:
        value = self._values.get((key, name))
        item = QTableWidgetItem("–" if isinstance(value, str) else "" if value is None else _number(value))
        item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        item.setToolTip(value if isinstance(value, str) else "" if value is None else f"{value!r} {METRICS[name].unit}")
        font = item.font()
        font.setBold(isinstance(value, float) and key in self._best(name))
        item.setFont(font)
        return item

    def _best(self, name: str) -> list[int]:
        """Return the candidates that have the best value of a metric, where there are several to choose from.

        Of a metric without a reference none is best: noise raises sharpness, blur lowers the variation.
        """
        if not METRICS[name].needs_reference:
            return []
        values = {key: v for (key, of), v in self._values.items() if of == name and key and isinstance(v, float)}
        if len(values) < 2:
            return []
        distance = {"lower": lambda v: v, "higher": lambda v: -v, "one": lambda v: abs(v - 1)}[METRICS[name].better]
        best = min(map(distance, values.values()))
        return [key for key, value in values.items() if distance(value) == best]

    def table_text(self) -> str:
        """Return the table with full digits, columns parted by tabs."""
        columns = self._columns()
        lines = [["metric", "unit", *(layer.name for _, layer in columns)]]
        for name, metric in METRICS.items():
            values = (self._values.get((key, name)) for key, _ in columns)
            lines.append([metric.label, metric.unit, *(repr(v) if isinstance(v, float) else "" for v in values)])
        return "\n".join("\t".join(line) for line in lines)


class SideBySide:
    """Some layers in the cells of napari's grid, grey ones in one contrast; :meth:`undo` puts everything back."""

    def __init__(self, viewer: ViewerModel, layers: Sequence[Image]) -> None:
        self._viewer, self._grid = viewer, viewer.canvas.grid
        self._was_visible = {layer: layer.visible for layer in viewer.layers}
        self._was_grid = {name: getattr(self._grid, name) for name in ("enabled", "shape", "stride")}
        camera = viewer.scene.camera
        self._was_camera = {name: getattr(camera, name) for name in ("center", "zoom")}
        self._grey = [layer for layer in layers if not layer.rgb]
        self._was_named = {layer: layer.name_overlay.visible for layer in viewer.layers}
        self._was_limits = {layer: tuple(layer.contrast_limits) for layer in self._grey}
        for layer in viewer.layers:
            layer.visible = layer in layers or bool(
                provenance_of(layer).get("step") in (DIFFERENCE, FPW) and layer.visible
            )
        for layer in layers:
            layer.name_overlay.visible = True
        for layer in self._grey[1:]:
            layer.contrast_limits = self._grey[0].contrast_limits
        if len(self._grey) > 1:
            link_layers(self._grey, ["contrast_limits"])
        self._grid.shape, self._grid.stride, self._grid.enabled = (-1, -1), 1, True
        viewer.reset_view()

    def add(self, layers: Sequence[Image]) -> None:
        """Show more layers, in further cells."""
        for layer in layers:
            layer.name_overlay.visible = True
        self._viewer.reset_view()

    def undo(self) -> None:
        """Put back grid, contrast, visibility and view."""
        if len(self._grey) > 1:
            unlink_layers(self._grey, ["contrast_limits"])
        for layer, limits in self._was_limits.items():
            layer.contrast_limits = limits
        for layer, visible in self._was_visible.items():
            layer.visible = visible
        for layer, named in self._was_named.items():
            layer.name_overlay.visible = named
        for name, value in self._was_grid.items():
            setattr(self._grid, name, value)
        for name, value in self._was_camera.items():
            setattr(self._viewer.scene.camera, name, value)


def compare(
    stop: Event,
    reference: Any,
    planes: dict[int, Any],
    maps: Sequence[str],
    data_range: float | None,
    mask: np.ndarray | None,
) -> Iterator[tuple[str, Any, Any]]:
    """Yield the maps asked for, then the metrics.

    ``("map", kind, ({key: pixels}, end of the contrast))`` and ``("metric", (key, name), value or why there is none)``.
    ``planes`` are the candidates by a key other than 0, which is the reference's.
    """
    reference = np.asarray(reference)
    read: dict[int, np.ndarray] = {}
    for key, plane in planes.items():
        read[key] = np.asarray(plane)
        if stop.is_set():
            return
    for kind in maps:
        of = {DIFFERENCE: _mean_difference, FPW: fpw_map}[kind]
        pixels = {key: of(reference, plane) for key, plane in read.items()}
        tops = [float(np.nanpercentile(np.abs(values), SHOWN_PERCENT)) for values in pixels.values()]
        yield "map", kind, (pixels, max(tops) or 1.0)
    for name, metric in METRICS.items():
        for key, plane in {0: reference, **read}.items():
            if metric.needs_reference and key == 0:
                continue
            images = (reference, plane) if metric.needs_reference else (plane,)
            value: float | str
            try:
                value = float(metric(*images, data_range=data_range, mask=mask))
            except (ValueError, TypeError) as error:
                value = str(error)
            yield "metric", (key, name), value


def _mean_difference(reference: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Return the signed difference, of colours their mean."""
    values = difference_map(reference, image)
    return values if values.ndim == 2 else values.mean(axis=-1)


def is_comparable(layer: Layer) -> bool:
    """Return whether a layer is an image other than the maps made here."""
    return isinstance(layer, Image) and provenance_of(layer).get("step") not in (DIFFERENCE, FPW)


def generated(layer: Layer | None) -> str:
    """Return the mark of a layer whose pixels a model made, "" of one that was recorded."""
    return "generated" if layer is not None and "generated" in provenance_of(layer) else ""


def _table() -> QTableWidget:
    table = QTableWidget(len(METRICS), 0)
    for row, metric in enumerate(METRICS.values()):
        head = QTableWidgetItem(f"{metric.label} {ARROWS[metric.better]}" if metric.needs_reference else metric.label)
        head.setToolTip(f"{metric.help} In {metric.unit}." if metric.unit else metric.help)
        table.setVerticalHeaderItem(row, head)
    table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
    table.verticalHeader().setDefaultSectionSize(24)
    header = table.horizontalHeader()
    header.setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
    header.setMinimumSectionSize(62)
    header.setDefaultAlignment(Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap)
    header.setFixedHeight(52)
    table.setFixedHeight(header.height() + 24 * len(METRICS) + 20)
    return table


def _size(layer: Image) -> tuple[int, ...]:
    return tuple(full_resolution(layer).shape[layer.ndim - 2 :])


def _short(name: str) -> str:
    return name if len(name) <= 22 else f"{name[:10]}…{name[-10:]}"


def _shape(shape: tuple[int, ...]) -> str:
    return f"{shape[0]} × {shape[1]}" + (" in colour" if len(shape) > 2 else "")


def _number(value: float) -> str:
    return "∞" if np.isinf(value) else f"{value:.4g}".replace("-", "−")
