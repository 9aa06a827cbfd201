"""A window that prepares all focus stacks of a folder for training."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

from qtpy.QtWidgets import (
    QCheckBox,
    QDialog,
    QDoubleSpinBox,
    QFileDialog,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPlainTextEdit,
    QProgressBar,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_cellrestore.gui.background import Background
from napari_cellrestore.prepare import TABLE, Row, prepare_folder, stacks_in

#: Stacks that were left out whose reasons are said; the table has all.
MOST_REASONS = 5


class PrepareFolder(QDialog):
    """The window: which folders, which steps, how far it is, what came of it."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setWindowTitle("Prepare a folder of focus stacks")
        self.setMinimumWidth(460)
        self._names: list[str] = []
        self._rows: list[Row] = []
        self._enough = Event()
        self._work = Background(self)
        self._work.came.connect(self._on_value)
        self._work.failed.connect(self._on_failed)
        self._work.finished.connect(self._on_end)
        self._build()
        self.run_button.clicked.connect(self.run)
        self.stop_button.clicked.connect(self.stop)
        self._show_running(False)

    def _build(self) -> None:
        self.source, self.target = QLineEdit(), QLineEdit()
        self.source.setPlaceholderText("Folder of recorded stacks; they stay as they are")
        self.target.setPlaceholderText("Folder for the prepared stacks and the table")
        self.keep = QCheckBox("Only stacks sharpest at")
        self.keep_low, self.keep_high = _um(-0.2), _um(0.4)
        self.trim = QCheckBox("Trim, from the sharpest plane")
        self.trim_low, self.trim_high = _um(-1.4), _um(1.2)
        self.align = QCheckBox("Align planes to the sharpest")
        self.crop = QCheckBox("Crop around the nucleus")
        self.crop_px = QSpinBox(minimum=13, maximum=100_000, value=360, suffix=" px")
        self.crop.setToolTip("A square around the largest stained nucleus, with a random offset")
        for box in (self.keep, self.trim, self.align):
            box.setChecked(True)
        self.run_button, self.stop_button = QPushButton("Prepare"), QPushButton("Stop")
        self.run_button.setDefault(True)
        self.progress = QProgressBar(format="%v of %m")
        self.said = QPlainTextEdit(readOnly=True)
        self.said.setMinimumHeight(130)

        grid = QGridLayout()
        rows: list[tuple[QWidget, Any]] = [
            (QLabel("Recorded"), self._folder_row(self.source, "Folder of recorded focus stacks")),
            (QLabel("Prepared"), self._folder_row(self.target, "Folder for the prepared stacks")),
            (self.keep, _row(self.keep_low, QLabel("to"), self.keep_high)),
            (self.trim, _row(self.trim_low, QLabel("to"), self.trim_high)),
            (self.align, QHBoxLayout()),
            (self.crop, _row(self.crop_px)),
        ]
        for number, (name, fields) in enumerate(rows):
            grid.addWidget(name, number, 0)
            grid.addLayout(fields, number, 1)
        layout = QVBoxLayout(self)
        layout.addLayout(grid)
        layout.addWidget(self.progress)
        layout.addWidget(self.said, 1)
        buttons = QHBoxLayout()
        buttons.addStretch(1)
        buttons.addWidget(self.stop_button)
        buttons.addWidget(self.run_button)
        layout.addLayout(buttons)

    def _folder_row(self, field: QLineEdit, title: str) -> QHBoxLayout:
        button = QPushButton("Choose…")
        button.clicked.connect(lambda: self._choose(field, title))
        return _row(field, button)

    def _choose(self, field: QLineEdit, title: str) -> None:
        if name := QFileDialog.getExistingDirectory(self, title, field.text()):
            field.setText(name)

    # --- what is done ----------------------------------------------------------------------------------------

    def options(self) -> dict[str, Any]:
        """Return what is chosen, as :func:`~napari_cellrestore.prepare.prepare_folder` takes it."""
        return {
            "keep_um": (self.keep_low.value(), self.keep_high.value()) if self.keep.isChecked() else None,
            "range_um": (self.trim_low.value(), self.trim_high.value()) if self.trim.isChecked() else None,
            "align": self.align.isChecked(),
            "crop_px": self.crop_px.value() if self.crop.isChecked() else None,
        }

    def run(self) -> None:
        """Prepare the stacks; those that are there already are not made again."""
        if not self.source.text().strip() or not self.target.text().strip():
            self._say("Choose both folders first.")
            return
        self._names, self._rows = [], []
        source, target = (Path(field.text().strip()) for field in (self.source, self.target))
        self.progress.setRange(0, 0)
        self._say("")
        self._enough = Event()
        self._work.start(prepare, self._enough, source, target, self.options())
        self._show_running(True)

    def stop(self) -> None:
        """Stop after the stack that is being made: another run must not write into the folder before."""
        self._enough.set()
        self.stop_button.setEnabled(False)
        self._say("Stopping after this stack…")

    def _on_value(self, value: list[str] | Row) -> None:
        if isinstance(value, Row):
            self._rows.append(value)
        else:
            self._names = value
            self.progress.setMaximum(len(value))
        self.progress.setValue(len(self._rows))
        if len(self._rows) < len(self._names) and not self._enough.is_set():
            self._say(self._names[len(self._rows)])

    def _on_failed(self, why: str) -> None:
        self._say(why)
        self._rows, self._names = [], []

    def _on_end(self) -> None:
        self._show_running(False)
        if len(self._rows) < len(self._names):
            self._say(f"Stopped after {len(self._rows)} of {len(self._names)} stacks. Prepare goes on from there.")
        elif self._names:
            self._say(summary(self._rows, Path(self.target.text().strip()) / TABLE))

    def _say(self, text: str) -> None:
        self.said.setPlainText(text)

    def _show_running(self, running: bool) -> None:
        self.progress.setVisible(running)
        self.stop_button.setVisible(running)
        self.stop_button.setEnabled(running)
        self.run_button.setEnabled(not running)


def prepare(
    _stop: Event, enough: Event, source: Path, target: Path, options: dict[str, Any]
) -> Iterator[list[str] | Row]:
    """Yield the names of all stacks, then what became of each until it is enough."""
    yield list(stacks_in(source, target))
    for row in () if enough.is_set() else prepare_folder(source, target, **options):
        yield row
        if enough.is_set():
            return


def summary(rows: list[Row], table: Path) -> str:
    """Return what became of the stacks, in lines."""
    left_out = [row for row in rows if not row.kept]
    lines = [f"{len(rows) - len(left_out)} of {len(rows)} stacks kept, the table is {table}"]
    lines += [f"Left out: {row.stack}: {row.reason}" for row in left_out[:MOST_REASONS]]
    if len(left_out) > MOST_REASONS:
        lines.append(f"and {len(left_out) - MOST_REASONS} more, see the table")
    return "\n".join(lines)


def _um(value: float) -> QDoubleSpinBox:
    return QDoubleSpinBox(decimals=2, minimum=-1000, maximum=1000, singleStep=0.1, value=value, suffix=" µm")


def _row(*parts: QWidget) -> QHBoxLayout:
    row = QHBoxLayout()
    for part in parts:
        row.addWidget(part, int(not isinstance(part, QPushButton) and not (isinstance(part, QLabel) and part.text())))
    return row
