"""Steps that make a focus stack ready for training, each as a button: re-centre, align, trim, crop."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Event
from typing import Any

import dask.array as da
import numpy as np
from qtpy.QtCore import Signal
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QSpinBox,
    QWidget,
)
from superqt import QCollapsible

from napari_cellrestore.gui.background import Background
from napari_cellrestore.gui.focus.prepare_folder import PrepareFolder
from napari_cellrestore.prepare import recentre, trim
from napari_cellrestore.register import follow_shifts, shift_planes
from napari_cellrestore.segment import crop_around_nucleus
from napari_cellrestore.stack import ImageStack

#: What planes are aligned to, in the words of the user.
AGAINST = {"reference": "to the plane in focus", "neighbour": "each to its neighbour"}


class PrepareBox(QCollapsible):
    """The buttons. :attr:`made` comes with the stack that a step made, what it did in its provenance."""

    made = Signal(object)
    #: Why a step could not be done, in a line; empty when one begins.
    failed = Signal(str)

    def __init__(self) -> None:
        super().__init__("Prepare", collapsedIcon="▶")
        self.layout().setContentsMargins(0, 0, 0, 0)
        self._stack: ImageStack | None = None
        self._plane: int | None = None
        self._folder: PrepareFolder | None = None
        self._work = Background(self)
        self._build()
        self._work.came.connect(self._on_value)
        self._work.failed.connect(self._fail)
        self._work.finished.connect(self._show)
        self.centre_button.clicked.connect(lambda: self._now(self._recentred))
        self.trim_button.clicked.connect(lambda: self._now(self._trimmed))
        self.align_button.clicked.connect(self._align)
        self.crop_button.clicked.connect(self._crop)
        self.stop_button.clicked.connect(self.stop)
        self.folder_button.clicked.connect(self.open_folder)
        self.shifts_button.clicked.connect(self.copy_shifts)
        self._show()

    def _build(self) -> None:
        self.centre_button = _button("Re-centre z", "Count z from the plane in focus; pixels stay")
        self.centre_label = QLabel()
        self.align_button = _button("Align planes", "Shift planes so that they lie on one another; takes back drift")
        self.against = QComboBox(sizeAdjustPolicy=QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        for name, words in AGAINST.items():
            self.against.addItem(words, name)
        self.against.setToolTip(
            "Each to its neighbour: for planes that look unlike the one in focus, as of unstained cells, whose contrast "
            "changes sign"
        )
        self.trim_button = _button("Trim (µm)", "Keep the planes in this range of z, ends included")
        self.low, self.high = _z_field("First z that is kept"), _z_field("Last z that is kept")
        self.crop_button = _button(
            "Crop to nucleus", "Cut a square around the largest stained nucleus, looked for in the plane in focus"
        )
        self.size = QSpinBox(minimum=13, maximum=100_000, value=256, suffix=" px", singleStep=32)
        self.folder_button = _button("Prepare folder…", "All these steps for every stack of a folder, with a table")
        self.progress = QProgressBar(textVisible=False, maximumHeight=4)
        self.stop_button = QPushButton("Stop")
        self.shifts_label, self.shifts_button = QLabel(wordWrap=True), QPushButton("Copy shifts")
        self.shifts_button.setToolTip("Copy the shift of each plane as a table, for a spreadsheet")
        content = QWidget()
        grid = QGridLayout(content)
        grid.setContentsMargins(0, 0, 0, 0)
        trim_row = QHBoxLayout()
        for part in (self.low, QLabel("to"), self.high):
            trim_row.addWidget(part, int(isinstance(part, QDoubleSpinBox)))
        grid.addWidget(self.centre_button, 0, 0)
        grid.addWidget(self.centre_label, 0, 1)
        grid.addWidget(self.align_button, 1, 0)
        align_row = QHBoxLayout()  # while a step runs, how far it is
        for part in (self.against, self.progress, self.stop_button):
            align_row.addWidget(part, int(part is not self.stop_button))
        grid.addLayout(align_row, 1, 1)
        grid.addWidget(self.trim_button, 2, 0)
        grid.addLayout(trim_row, 2, 1)
        grid.addWidget(self.crop_button, 3, 0)
        grid.addWidget(self.size, 3, 1)
        grid.addWidget(self.shifts_button, 4, 0)
        grid.addWidget(self.shifts_label, 4, 1)
        grid.addWidget(self.folder_button, 5, 0)
        grid.setColumnStretch(1, 1)
        self.addWidget(content)

    # --- what is shown ---------------------------------------------------------------------------------------

    def show_stack(self, stack: ImageStack | None, plane: int | None) -> None:
        """Offer the steps for a stack (ZYX or ZYXS) with its plane in focus, where that is known yet."""
        if stack is not None and (self._stack is None or not np.array_equal(_z(stack), _z(self._stack))):
            self._show_range(stack)
        self._stack, self._plane = stack, plane
        self._show()

    def prefer_neighbours(self, are_unlike: bool) -> None:
        """Choose what planes are aligned to: out of focus, unstained cells look unlike themselves in focus."""
        self.against.setCurrentIndex(self.against.findData("neighbour" if are_unlike else "reference"))

    def _show_range(self, stack: ImageStack) -> None:
        z_um = _z(stack)
        for field, value in ((self.low, z_um.min()), (self.high, z_um.max())):
            field.setSingleStep(stack.z_step_um or 0.1)
            field.setValue(float(value))

    def _show(self) -> None:
        stack, free = self._stack, not self._work.running
        calibrated = stack is not None and stack.z_um is not None
        several = stack is not None and stack.size("Z") > 1
        known = self._plane is not None
        self.centre_button.setEnabled(calibrated and known and free)
        self.trim_button.setEnabled(calibrated and free)
        self.align_button.setEnabled(several and known and free)
        self.crop_button.setEnabled(known and free)
        for field in (self.low, self.high):
            field.setEnabled(calibrated)
        self.centre_label.setText(f"z = 0 at plane {self._plane}" if calibrated and known else "")
        if stack is not None and not calibrated:
            self.centre_label.setText("z step not known")
        self.against.setVisible(free)
        self.progress.setVisible(not free)
        self.stop_button.setVisible(not free)
        self.shifts_label.setText("" if stack is None else aligned_words(stack))
        for part in (self.shifts_label, self.shifts_button):
            part.setVisible(bool(self.shifts_label.text()))

    # --- what is done ----------------------------------------------------------------------------------------

    def _now(self, step: Any) -> None:
        """Do a step that only looks at positions."""
        self.failed.emit("")
        try:
            self.made.emit(step())
        except ValueError as error:
            self._fail(str(error))

    def _recentred(self) -> ImageStack:
        assert self._stack is not None
        made = {"step": "re-centred", "plane": self._plane, "planes": [0, self._stack.size("Z")]}
        return recentre(self._stack, plane=self._plane).replace(provenance=made)

    def _trimmed(self) -> ImageStack:
        assert self._stack is not None
        low, high = self.low.value(), self.high.value()
        trimmed = trim(self._stack, low, high)
        first = int(np.argmin(np.abs(np.subtract(_z(self._stack), _z(trimmed)[0]))))
        made = {"step": "trimmed", "range_um": [low, high], "planes": [first, first + trimmed.size("Z")]}
        return trimmed.replace(provenance=made)

    def _align(self) -> None:
        if self._stack is not None:
            self._start(self._stack.size("Z") - 1, align, self._stack, self._plane, self.against.currentData())

    def _crop(self) -> None:
        if self._stack is not None:
            self._start(0, crop, self._stack, self._plane, self.size.value())

    def _start(self, total: int, work: Any, *args: Any) -> None:
        self.failed.emit("")
        self.progress.setRange(0, total)
        self.progress.setValue(0)
        self._work.start(work, *args)
        self._show()

    def stop(self) -> None:
        """Stop the step that runs."""
        self._work.stop()
        self._show()

    def _on_value(self, value: Any) -> None:
        if isinstance(value, ImageStack):
            self._work.stop()
            self._show()
            self.made.emit(value)
        else:
            self.progress.setValue(value)

    def _fail(self, why: str) -> None:
        why = why.replace("use against='neighbour'", f"align {AGAINST['neighbour']}")
        self.failed.emit(why.replace(" um", " µm"))

    def copy_shifts(self) -> None:
        """Put the shifts of the planes on the clipboard, as a table."""
        if self._stack is not None and "aligned" in self._stack.provenance:
            QGuiApplication.clipboard().setText(shift_table(self._stack))

    def open_folder(self) -> None:
        """Open the window that prepares a folder."""
        if self._folder is None:
            self._folder = PrepareFolder(self)
        self._folder.show()
        self._folder.raise_()


# --- work --------------------------------------------------------------------------------------------------


def align(stop: Event, stack: ImageStack, plane: int, against: str) -> Iterator[int | ImageStack]:
    """Yield how many planes are measured, then the stack whose planes are moved when they are looked at."""
    shifts_px = np.zeros((stack.size("Z"), 2))
    for count, (number, shift_px) in enumerate(follow_shifts(stack, plane, against=against), 1):
        shifts_px[number] = shift_px
        yield count
        if stop.is_set():
            return
    planes = stack.data
    lazy = planes if isinstance(planes, da.Array) else da.from_array(planes, chunks=(1, *planes.shape[1:]))
    moved = shift_planes(stack.replace(data=lazy, provenance={}), shifts_px)
    aligned = {**moved.provenance["aligned"], "reference": plane, "against": against}
    yield moved.replace(provenance={"step": "aligned", "aligned": aligned, "planes": [0, len(shifts_px)]})


def crop(stop: Event, stack: ImageStack, plane: int, size_px: int) -> Iterator[ImageStack]:
    """Yield the square around the nucleus."""
    cropped, _ = crop_around_nucleus(stack.replace(provenance={}), size_px, plane=plane, jitter_px=0)
    if not stop.is_set():
        yield cropped.replace(
            provenance={"step": "cropped", **cropped.provenance, "size_px": size_px, "planes": [0, stack.size("Z")]}
        )


# --- words -------------------------------------------------------------------------------------------------


def aligned_words(stack: ImageStack) -> str:
    """Return how far the planes of a stack were moved, nothing where they were not."""
    aligned = stack.provenance.get("aligned")
    if not aligned:
        return ""
    longest = float(np.hypot(*np.transpose(aligned["shifts_px"])).max())
    return f"moved by up to {longest:.1f} px"


def shift_table(stack: ImageStack) -> str:
    """Return the shifts of a stack's planes as a table for a spreadsheet."""
    shifts_px = stack.provenance["aligned"]["shifts_px"]
    lines = ["plane\tdown (px)\tright (px)"]
    lines += [f"{number}\t{down:.2f}\t{right:.2f}" for number, (down, right) in enumerate(shifts_px)]
    return "\n".join(lines) + "\n"


def _z(stack: ImageStack) -> np.ndarray:
    """Return the positions of planes; of a stack that has none those of its planes by number."""
    return np.arange(stack.size("Z")) if stack.z_um is None else np.asarray(stack.z_um)


def _button(text: str, tip: str) -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(tip)
    return button


def _z_field(tip: str) -> QDoubleSpinBox:
    field = QDoubleSpinBox(decimals=3, minimum=-100_000, maximum=100_000)
    field.setButtonSymbols(QDoubleSpinBox.ButtonSymbols.NoButtons)  # two fit beside each other
    field.setStyleSheet("min-width: 48px")  # napari's is wider
    field.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
    field.setToolTip(tip)
    return field
