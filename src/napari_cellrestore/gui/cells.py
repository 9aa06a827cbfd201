"""A table of texts that says the same on the clipboard."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isinf
from typing import NamedTuple

from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem

ROW_PX = 24


class Cell(NamedTuple):
    """A text, and how it is shown: ``shade`` from 0 to 1 colours what is behind it."""

    text: str
    colour: str = ""
    bold: bool = False
    shade: float = 0.0


@dataclass(frozen=True)
class Cells:
    """What a table shows: heads of columns, and rows with their heads; a row of one cell goes over all columns.

    ``copied`` has a row for each line of the clipboard, in full digits. ``wide`` is the column that takes the room that
    is left, ``lines`` how many lines of text a row has room for.
    """

    columns: Sequence[str]
    heads: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    copied: Sequence[Sequence[str]]
    wide: int | None = None
    lines: int = 1


class CellTable(QTableWidget):
    """Shows :class:`Cells`."""

    #: Height that is not exceeded, and width of a column.
    HIGHEST_PX, WIDEST_PX = 400, 150

    def __init__(self) -> None:
        super().__init__()
        self._cells = Cells((), (), (), ())
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setWordWrap(True)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.horizontalHeader().setMinimumSectionSize(34)
        self.horizontalScrollBar().rangeChanged.connect(self._fit_height)

    def show_cells(self, cells: Cells) -> None:
        """Show these and nothing of those before."""
        self._cells = cells
        self.clear()
        self.clearSpans()
        self.setRowCount(len(cells.rows))
        self.setColumnCount(len(cells.columns))
        for column, name in enumerate(cells.columns):
            self.setHorizontalHeaderItem(column, _item(Cell(name)))
        self.setVerticalHeaderLabels(cells.heads)
        self.verticalHeader().setVisible(any(cells.heads))
        for row, line in enumerate(cells.rows):
            for column, cell in enumerate(line):
                self.setItem(row, column, _item(cell))
            if len(line) == 1 < len(cells.columns):
                self.setSpan(row, 0, 1, len(cells.columns))
                self.item(row, 0).setSizeHint(QSize(0, ROW_PX))  # a column need not be as wide as what goes over all
        self._fit()
        self.scrollToTop()

    def text(self) -> str:
        """Return the table in full digits, columns parted by tabs."""
        return "\n".join("\t".join(line) for line in self._cells.copied)

    def _fit(self) -> None:
        header = self.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
        self.resizeColumnsToContents()
        for column in range(self.columnCount()):
            self.setColumnWidth(column, min(self.columnWidth(column), self.WIDEST_PX))
            self._fit_head(self.horizontalHeaderItem(column), self.columnWidth(column) - 8)
        if self._cells.wide is not None:
            header.setSectionResizeMode(self._cells.wide, QHeaderView.ResizeMode.Stretch)
        tall = ROW_PX + (self._cells.lines - 1) * self.fontMetrics().height()
        for row, line in enumerate(self._cells.rows):
            self.setRowHeight(row, ROW_PX if len(line) == 1 else tall)
        self._fit_height()

    def _fit_head(self, head: QTableWidgetItem, width_px: int) -> None:
        """Leave out the middle of lines that are too long; Qt would cut off their ends."""
        lines = head.text().split("\n")
        elide, middle = self.fontMetrics().elidedText, Qt.TextElideMode.ElideMiddle
        head.setText("\n".join(elide(line, middle, width_px) for line in lines))

    def _fit_height(self, *_: object) -> None:
        """Be as high as the rows, up to a limit, and a scroll bar where columns have no room."""
        rows_px = sum(self.rowHeight(row) for row in range(self.rowCount()))
        bar = self.horizontalScrollBar()
        bar_px = bar.sizeHint().height() if bar.maximum() else 0
        self.setFixedHeight(min(self.horizontalHeader().sizeHint().height() + rows_px + bar_px + 4, self.HIGHEST_PX))


def _item(cell: Cell) -> QTableWidgetItem:
    item = QTableWidgetItem(cell.text)
    item.setToolTip(cell.text)
    font = item.font()
    font.setBold(cell.bold)
    item.setFont(font)
    if cell.colour:
        item.setForeground(QColor(cell.colour))
    if cell.shade:
        shade = QColor("#0072b2")
        shade.setAlphaF(0.65 * cell.shade)
        item.setBackground(shade)
    if cell.text[:1].isdigit() or cell.text[:1] in "−∞–·":
        item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
    return item


def number(value: float) -> str:
    """Return a number as a table shows it."""
    return "∞" if isinf(value) else f"{value:.4g}".replace("-", "−")
