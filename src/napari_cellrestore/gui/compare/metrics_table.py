"""The metrics of the images that are compared, as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from napari.layers import Image
from qtpy.QtCore import Qt
from qtpy.QtGui import QFontMetrics
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem

from napari_cellrestore.gui.cells import number
from napari_cellrestore.gui.compare.names import generated, title
from napari_cellrestore.gui.current import provenance_of
from napari_cellrestore.metrics import METRICS

#: A number, or why there is none.
Value = float | str
ARROWS = {"lower": "↓", "higher": "↑", "one": "→ 1"}
ROW_PX = 24


class ImageTable(QTableWidget):
    """A table with a column for the reference, the first one, and for each candidate."""

    def __init__(self) -> None:
        super().__init__()
        self.images: list[Image] = []
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.verticalHeader().setDefaultSectionSize(ROW_PX)
        header = self.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        header.setMinimumSectionSize(70)
        header.setDefaultAlignment(Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap)
        header.setFixedHeight(52)
        header.sectionResized.connect(self._fit_heads)
        self.horizontalScrollBar().rangeChanged.connect(self._fit_height)

    def show_images(self, images: Sequence[Image]) -> None:
        """Have a column for each of these images."""
        self.images = list(images)
        self.setColumnCount(len(images))
        for column, layer in enumerate(images):
            head = QTableWidgetItem()
            made = generated(layer) and provenance_of(layer)["generated"]
            head.setToolTip(f"{layer.name}\n{made or ('Candidate' if column else 'The reference')}")
            self.setHorizontalHeaderItem(column, head)
        self._fit_heads()

    def _fit_heads(self, *_: object) -> None:
        """Write names in two lines as wide as their columns."""
        for column, layer in enumerate(self.images):
            if (head := self.horizontalHeaderItem(column)) is not None:
                head.setText(_two_lines(title(layer), self.fontMetrics(), self.columnWidth(column) - 8))

    def _fit_height(self, *_: object) -> None:
        """Be as high as the lines shown, and a scroll bar where columns have no room."""
        bar = self.horizontalScrollBar()
        bar_px = bar.sizeHint().height() if bar.maximum() else 0
        self.setFixedHeight(self.horizontalHeader().height() + ROW_PX * self.shown_rows + bar_px + 4)

    @property
    def shown_rows(self) -> int:
        """How many lines are seen without scrolling."""
        return self.rowCount()

    def put(self, row: int, column: int, value: Value | None, unit: str = "", bold: bool = False) -> None:
        """Show a number; of what could not be computed a dash, with the reason as tool tip."""
        item = QTableWidgetItem("–" if isinstance(value, str) else "" if value is None else number(value))
        item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        item.setToolTip(value if isinstance(value, str) else "" if value is None else f"{value!r} {unit}".rstrip())
        font = item.font()
        font.setBold(bold)
        item.setFont(font)
        self.setItem(row, column, item)


class MetricsTable(ImageTable):
    """Every metric of every image; the best candidate of a row is bold."""

    def __init__(self) -> None:
        super().__init__()
        self._values: Mapping[tuple[int, str], Value] = {}
        self.setRowCount(len(METRICS))
        for row, metric in enumerate(METRICS.values()):
            text = f"{metric.label} {ARROWS[metric.better]}" if metric.needs_reference else metric.label
            head = QTableWidgetItem(text)
            head.setToolTip(f"{metric.help} In {metric.unit}." if metric.unit else metric.help)
            self.setVerticalHeaderItem(row, head)
        self._fit_height()

    def show_values(self, images: Sequence[Image], values: Mapping[tuple[int, str], Value]) -> None:
        """Show values by (place of the image, 0 for the reference, name of the metric)."""
        self._values = values
        self.show_images(images)
        for row, (name, metric) in enumerate(METRICS.items()):
            best = self._best(name)
            for column in range(len(images)):
                self.put(row, column, values.get((column, name)), metric.unit, bold=column in best)

    def _best(self, name: str) -> list[int]:
        """Return the candidates that have the best value of a metric, where there are several to choose from.

        Of a metric without a reference none is best: noise raises sharpness, blur lowers the variation.
        """
        if not METRICS[name].needs_reference:
            return []
        values = {place: v for (place, of), v in self._values.items() if of == name and place and isinstance(v, float)}
        if len(values) < 2:
            return []
        distance = {"lower": lambda v: v, "higher": lambda v: -v, "one": lambda v: abs(v - 1)}[METRICS[name].better]
        best = min(map(distance, values.values()))
        return [place for place, value in values.items() if distance(value) == best]

    def text(self) -> str:
        """Return the table with full digits, columns parted by tabs."""
        lines = [["metric", "unit", *(layer.name for layer in self.images)]]
        for name, metric in METRICS.items():
            values = (self._values.get((column, name)) for column in range(len(self.images)))
            lines.append([metric.label, metric.unit, *(digits(value) for value in values)])
        return "\n".join("\t".join(line) for line in lines)


def measured(name: str, *images: np.ndarray, data_range: float | None = None, mask: np.ndarray | None = None) -> Value:
    """Return a metric, or why there is none."""
    try:
        return float(METRICS[name](*images, data_range=data_range, mask=mask))
    except (ValueError, TypeError) as error:
        return str(error)


def digits(value: Value | None) -> str:
    """Return a number with all its digits, "" of none."""
    return repr(value) if isinstance(value, float) else ""


def _two_lines(name: str, metrics: QFontMetrics, width_px: int) -> str:
    """Return a name that fits into two lines, with its middle left out where it must be."""
    if all(metrics.horizontalAdvance(word) <= width_px for word in name.split()):
        if metrics.horizontalAdvance(name) <= 1.6 * width_px:
            return name  # Qt breaks it between words
    first = metrics.elidedText(name, Qt.TextElideMode.ElideRight, width_px)
    if first == name:
        return name
    return f"{first}\n{metrics.elidedText(name[len(first) - 1 :], Qt.TextElideMode.ElideLeft, width_px)}"
