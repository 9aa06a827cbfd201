"""The LED table of a stack: from a file, made for an array that is common, and saved."""

from __future__ import annotations

import csv
from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget
from superqt import QCollapsible

from napari_cellrestore.gui.leds.array_form import ArrayForm
from napari_cellrestore.gui.leds.words import counts_said
from napari_cellrestore.leds import LedTable

KINDS_OF_FILE = "LED table (*.csv *.json)"


class TableBox(QCollapsible):
    """The buttons and fields."""

    #: The user gives the stack this table; the text says where it is from; the NA that it was made by, if it was.
    given = Signal(object, str, object)
    #: A table is made of the fields (None: there is none yet), to look at before it is given.
    proposed = Signal(object)
    #: Why a file could not be read or written, or what was written; empty when that begins.
    said = Signal(str, bool)

    def __init__(self) -> None:
        super().__init__("LED table", collapsedIcon="▶")
        self.layout().setContentsMargins(0, 0, 0, 0)
        self._leds: LedTable | None = None
        self._n = 0
        self.load_button, self.save_button = QPushButton("Load table…"), QPushButton("Save table…")
        self.load_button.setToolTip(
            "CSV or JSON with a row for each plane: index and polar_deg, azimuth_deg, or x_mm, y_mm and height_mm"
        )
        self.save_button.setToolTip(
            "Write the table of this stack as CSV; <name>.leds.csv beside a file is found by itself"
        )
        self.form = ArrayForm()
        self.counts = QLabel(wordWrap=True)
        self.use_button = QPushButton("Use this table")
        content = QWidget()
        layout = QVBoxLayout(content)
        layout.setContentsMargins(0, 0, 0, 0)
        row = QHBoxLayout()
        for button in (self.load_button, self.save_button):
            row.addWidget(button, 1)
        layout.addLayout(row)
        for part in (self.form, self.counts, self.use_button):
            layout.addWidget(part)
        self.addWidget(content)
        self.load_button.clicked.connect(self._ask_load)
        self.save_button.clicked.connect(self._ask_save)
        self.use_button.clicked.connect(self._use)
        self.form.changed.connect(self._propose)

    @property
    def proposal(self) -> LedTable | None:
        """The table made of the fields, if they are complete and possible."""
        try:
            return self.form.table()
        except ValueError:
            return None

    def show_stack(self, leds: LedTable | None, n: int) -> None:
        """Offer tables for a stack of ``n`` planes, which may have one."""
        if n != self._n:
            self.form.offer(n)
        self._leds, self._n = leds, n
        self.save_button.setVisible(leds is not None)
        self._show()

    def load(self, path: Path) -> None:
        """Read a table and give it to the stack, if it has a row for each plane."""
        self.said.emit("", True)
        try:
            leds = LedTable.read(path)
            if len(leds) != self._n:
                raise ValueError(f"{path.name}: {counts_said(leds, self._n)}")
        except (ValueError, OSError) as error:
            self.said.emit(" ".join(str(error).split()), False)
        else:
            self.given.emit(leds, path.name, None)

    def save(self, path: Path) -> None:
        """Write the table of the stack."""
        if self._leds is None:
            return
        try:
            write_table(path, self._leds)
        except OSError as error:
            self.said.emit(f"{path.name} was not written: {error}", False)
        else:
            self.said.emit(f"Saved {path.name}: {len(self._leds)} rows.", True)

    def _ask_load(self) -> None:
        name, _ = QFileDialog.getOpenFileName(self, "Load an LED table", "", KINDS_OF_FILE)
        if name:
            self.load(Path(name))

    def _ask_save(self) -> None:
        name, _ = QFileDialog.getSaveFileName(self, "Save the LED table", "leds.csv", "LED table (*.csv)")
        if name:
            path = Path(name)
            self.save(path if path.suffix else path.with_suffix(".csv"))

    def _use(self) -> None:
        if (leds := self.proposal) is not None:
            self.given.emit(leds, self.form.said(), self.form.aperture)

    def _propose(self) -> None:
        self._show()
        self.proposed.emit(self.proposal)

    def _show(self) -> None:
        try:
            leds = self.form.table()
            said = "Give pitch and height to make a table." if leds is None else f"{counts_said(leds, self._n)}."
        except ValueError as error:
            leds, said = None, str(error)
        self.counts.setText(said)
        self.use_button.setEnabled(leds is not None and len(leds) == self._n)


def write_table(path: Path, leds: LedTable) -> None:
    """Write a table as CSV, which :meth:`LedTable.read` reads; what is not known is empty, rows are in the order of planes."""
    columns = {name: column for name, column in leds.columns().items() if name != "plane"}
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
