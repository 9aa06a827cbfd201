"""What the files of an evaluation do not say themselves, and what counts as sharp."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QLocale
from qtpy.QtGui import QDoubleValidator
from qtpy.QtWidgets import QCheckBox, QDoubleSpinBox, QFormLayout, QHBoxLayout, QLabel, QLineEdit, QSizePolicy, QWidget
from superqt import QCollapsible

from napari_cellrestore.evaluate import SHARP_UM
from napari_cellrestore.gui.folder_row import FileRow


class EvaluateOptions(QCollapsible):
    """Options of an evaluation; those of focus stacks and those of pairs."""

    def __init__(self) -> None:
        super().__init__("Options", collapsedIcon="▶")
        self.sharp_low, self.sharp_high = (_um(value, "Focus levels that count as sharp") for value in SHARP_UM)
        self.align_box = QCheckBox("Align planes first")
        self.align_box.setToolTip("Put the planes of a stack on top of one another: drift would count as error")
        self.z_step = _length("Distance of the planes, of files that do not say it")
        self.pixel = _length("Size of a pixel, of files that do not say it: nuclei are counted where it is known")
        self.axes = QLineEdit(placeholderText="as the files say")
        self.axes.setToolTip("What the axes are, where files do not say: ZYX, of colours ZYXS, of LED stacks AYXS")
        self.data_range = QLineEdit(placeholderText="from the image type")
        self.data_range.setToolTip("Span of possible grey levels, for PSNR and SSIM: 255 for 8 bit, 4095 for 12 bit")
        self.leds = FileRow("Table of the LEDs", "beside the stacks", "Tables of LEDs (*.csv *.json)")
        self.leds.setToolTip("Of LED stacks: their table, where none lies beside them")
        validator = QDoubleValidator(0, 1e12, 6)
        validator.setLocale(QLocale.c())
        self.data_range.setValidator(validator)
        self._build()

    def _build(self) -> None:
        self._sharp = QWidget()
        sharp = QHBoxLayout(self._sharp)
        sharp.setContentsMargins(0, 0, 0, 0)
        sharp.addWidget(self.sharp_low, 1)
        sharp.addWidget(QLabel("to"))
        sharp.addWidget(self.sharp_high, 1)
        sharp.addWidget(QLabel("µm"))
        content = QWidget()
        self._form = form = QFormLayout(content)
        form.setContentsMargins(0, 0, 0, 0)
        form.addRow("Sharp", self._sharp)
        form.addRow(self.align_box)
        form.addRow("z step", self.z_step)
        form.addRow("Pixel size", self.pixel)
        form.addRow("Axes", self.axes)
        form.addRow("LED table", self.leds)
        form.addRow("Data range", self.data_range)
        self.layout().setContentsMargins(0, 0, 0, 0)
        self.addWidget(content)

    @property
    def sharp_um(self) -> tuple[float, float]:
        """Focus levels that count as sharp."""
        return self.sharp_low.value(), self.sharp_high.value()

    def show_for(self, pairs: bool) -> None:
        """Show the options of pairs, or those of focus stacks."""
        for row in (self._sharp, self.align_box, self.z_step):
            self._form.setRowVisible(row, not pairs)
        for row in (self.pixel, self.leds):
            self._form.setRowVisible(row, pairs)

    def settings(self, pairs: bool) -> dict[str, Any]:
        """Return what must be the same for an evaluation to go on, as its ledger has it."""
        same = {
            "data_range": float(self.data_range.text()) if self.data_range.hasAcceptableInput() else None,
            "axes": self.axes.text().strip() or None,
        }
        if pairs:
            leds = self.leds.file
            return same | {"pixel_um": self.pixel.value() or None, "leds": None if leds is None else str(leds)}
        return same | {"align": self.align_box.isChecked(), "z_step_um": self.z_step.value() or None}


def _um(value: float, tip: str) -> QDoubleSpinBox:
    box = QDoubleSpinBox(decimals=2, minimum=-1000, maximum=1000, singleStep=0.1, value=value)
    box.setButtonSymbols(QDoubleSpinBox.ButtonSymbols.NoButtons)
    box.setStyleSheet("min-width: 44px")  # two fit beside each other
    box.setToolTip(tip)
    return box


def _length(tip: str) -> QDoubleSpinBox:
    box = QDoubleSpinBox(decimals=4, maximum=1000, singleStep=0.05, suffix=" µm", specialValueText="as the files say")
    box.setToolTip(tip)
    box.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)  # for a narrow dock
    return box
