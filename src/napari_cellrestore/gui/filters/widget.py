"""Filters widget: classical filters on a layer, among them the repair of a scan shear."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from threading import Event
from time import perf_counter
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QFormLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_cellrestore.filtered import IMAGE_FILTERS, SHEAR, filter_stack, measure_shear
from napari_cellrestore.gui.background import Background
from napari_cellrestore.gui.choice import Connections, LayerChoice
from napari_cellrestore.gui.current import plane_index
from napari_cellrestore.gui.filters.made_layer import put_filtered
from napari_cellrestore.gui.filters.option_rows import OffsetRow, OptionRows
from napari_cellrestore.gui.layers import stack_from_layer
from napari_cellrestore.gui.panel import Panel
from napari_cellrestore.gui.theme import warning_colour
from napari_cellrestore.scan_lines import LineOffset
from napari_cellrestore.stack import ImageStack

EMPTY = "Open an image to filter:\nFile > Open, or\nFile > Open Sample > Cell Restore"
#: Planes that take longer are said to.
SLOW_S = 1.0


@dataclass(frozen=True)
class Filtered:
    """A filtered stack, and how long one of its planes takes."""

    stack: ImageStack
    plane_s: float


class FiltersWidget(Panel):
    """Dock widget that filters a layer into a layer of its own."""

    def __init__(self, napari_viewer: ViewerModel) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self._source: Any = None  # the layer that is worked on
        self._build()
        self._work = Background(self)
        self._work.came.connect(self._on_value)
        self._work.failed.connect(self._warn)
        self._work.finished.connect(self._show)
        self._layer_events = Connections(self)
        Connections(self).connect(napari_viewer.events.theme, self._forget)
        self.layer_choice.changed.connect(self._on_layer)
        self.filter_choice.currentIndexChanged.connect(self._on_filter)
        self.apply_button.clicked.connect(self.apply)
        self.offset.asked.connect(self.measure)
        self.closed.connect(self._work.stop)
        self._on_layer()
        self._on_filter()

    def _build(self) -> None:
        self.layer_choice = LayerChoice(self._viewer, lambda layer: isinstance(layer, Image))
        self.layer_choice.setMinimumContentsLength(9)  # for a narrow dock
        self.filter_choice = QComboBox()
        for name, known in IMAGE_FILTERS.items():
            self.filter_choice.addItem(known.label, name)
            self.filter_choice.setItemData(self.filter_choice.count() - 1, known.help, Qt.ItemDataRole.ToolTipRole)
        form = QFormLayout()
        form.addRow("Image", self.layer_choice)
        form.addRow("Filter", self.filter_choice)
        self.rows = OptionRows(form)
        (self.offset,) = (field for field in self.rows.fields[SHEAR].values() if isinstance(field, OffsetRow))
        self.help, self.shear, self.status = (QLabel(wordWrap=True) for _ in range(3))
        self.status.setTextFormat(Qt.TextFormat.RichText)
        self.apply_button = QPushButton("Apply")
        self.apply_button.setToolTip("Make a layer of its own beside the image, or make the one of this filter anew")
        content = QWidget()
        layout = QVBoxLayout(content)
        layout.addLayout(form)
        for part in (self.help, self.offset.button, self.shear, self.apply_button, self.status):
            layout.addWidget(part)
        layout.addStretch(1)
        self.set_content(content, EMPTY)

    @property
    def filter_name(self) -> str:
        """The filter that is chosen, by its name in the table."""
        return str(self.filter_choice.currentData())

    # --- what is done ----------------------------------------------------------------------------------------

    def apply(self) -> None:
        """Filter the image, in the background; the button stops that."""
        if self._work.running:
            self._work.stop()
            self._show()
            return
        self._start(_filtering, self.filter_name, self.rows.values(self.filter_name))

    def measure(self) -> None:
        """Measure the shear, and say it."""
        if not self._work.running:
            self._start(_measuring)

    def _start(self, work: Any, *args: Any) -> None:
        self._say("")
        self._source = self.layer_choice.layer
        if self._source is None:
            return
        try:
            stack = stack_from_layer(self._source)
        except (ValueError, TypeError) as error:
            self._warn(str(error))
            return
        self._work.start(work, stack, plane_index(self._viewer, self._source), *args)
        self._show()

    def _on_value(self, value: LineOffset | Filtered) -> None:
        if isinstance(value, LineOffset):
            self._show_shear(value.found, value.offset_px, str(value))
        elif self._source not in self._viewer.layers:
            self._warn("The image was removed meanwhile: nothing was made.")
        else:
            self._put(value)

    def _put(self, value: Filtered) -> None:
        made = value.stack
        if measured := made.provenance.get("measured"):
            self._show_shear(measured["found"], measured["offset_px"], measured["said"])
            if not measured["found"]:
                self._say("The image stays as it is: no layer was made.")
                return
        put_filtered(self._viewer, self._source, made)
        slow = (
            f" A plane takes {value.plane_s:.0f} s, each when it is first looked at." if value.plane_s > SLOW_S else ""
        )
        self._say(f"Filtered, as a layer of its own.{slow if made.n_planes > 1 else ''}")

    # --- what is seen ----------------------------------------------------------------------------------------

    def _on_layer(self) -> None:
        """Forget what was said of another image."""
        self._layer_events.clear()
        if self.layer_choice.layer is not None:
            self._layer_events.connect(self.layer_choice.layer.events.data, self._forget)
        self._forget()

    def _on_filter(self, _index: int = 0) -> None:
        self.rows.show_filter(self.filter_name)
        self.help.setText(IMAGE_FILTERS[self.filter_name].help)
        self._say("")
        self._show()

    def _forget(self, _event: object = None) -> None:
        self.shear.clear()
        self._say("")
        self._show()

    def _show_shear(self, found: bool, offset_px: float | None, said: str) -> None:
        """Say what was measured, if it is of the image that is still chosen."""
        if self._source is self.layer_choice.layer:
            self.shear.setText(f"{said[0].upper()}{said[1:]}.")
            self.offset.show_measured(offset_px if found and offset_px is not None else 0.0)
            self._show()

    def _warn(self, text: str) -> None:
        colour = warning_colour(self._viewer)
        self._tell(f"<span style='color:{colour}'>{escape(text, quote=False)}</span>")

    def _say(self, text: str) -> None:
        self._tell(escape(text, quote=False))

    def _tell(self, text: str) -> None:
        self.status.setText(text)
        self.status.setVisible(bool(text))

    def _show(self) -> None:
        self.show_content(self.layer_choice.layer is not None)
        shear, running = self.filter_name == SHEAR, self._work.running
        self.offset.button.setVisible(shear)
        self.offset.button.setEnabled(not running)
        self.shear.setVisible(shear and bool(self.shear.text()))
        self.apply_button.setText("Stop" if running else "Apply")


# --- work --------------------------------------------------------------------------------------------------


def _filtering(
    _stop: Event, stack: ImageStack, plane: tuple[int, ...], name: str, options: dict[str, Any]
) -> Iterator[Filtered]:
    """Yield the filtered stack: lazy of several planes, of one plane finished, so that the window need not wait for it."""
    made = filter_stack(stack, name, **options)
    started = perf_counter()
    shown = np.asarray(made.data[plane])
    if made.n_planes == 1:
        made = made.replace(data=shown.reshape(made.data.shape))
    yield Filtered(made, perf_counter() - started)


def _measuring(_stop: Event, stack: ImageStack, _plane: tuple[int, ...]) -> Iterator[LineOffset]:
    """Yield the shear of the whole stack."""
    yield measure_shear(stack)
