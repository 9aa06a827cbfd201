"""The rows of a form that hold the options of a filter: one field an option, kept for each filter."""

from __future__ import annotations

from dataclasses import dataclass

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QDoubleSpinBox, QFormLayout, QHBoxLayout, QPushButton, QSpinBox, QWidget

from napari_cellrestore.filtered import IMAGE_FILTERS, filter_options
from napari_cellrestore.scan_lines import MOST_PX


@dataclass(frozen=True)
class Range:
    """How an option is called, and between which numbers it makes sense."""

    label: str
    least: float
    most: float
    step: float
    tip: str


#: By option; the defaults are those of the filters.
RANGES = {
    "sigma_px": Range("Sigma (px)", 0.1, 50, 0.5, "Standard deviation of the Gaussian"),
    "size_px": Range("Square (px)", 3, 15, 2, "Side of the square around each pixel: an odd number of pixels"),
    "amount": Range("Amount", 0, 10, 0.25, "How many times the detail finer than sigma is added"),
    "offset_px": Range("Offset (px)", -MOST_PX, MOST_PX, 0.1, "How far every second line lies to the right"),
}


class OddBox(QSpinBox):
    """An odd number of pixels; an even one becomes the next."""

    def __init__(self, allowed: Range) -> None:
        super().__init__(minimum=int(allowed.least), maximum=int(allowed.most), singleStep=int(allowed.step))
        self.editingFinished.connect(lambda: self.setValue(self.value()))

    def value(self) -> int:
        """Return the number that is shown, or the next if it is even."""
        return super().value() | 1


class OffsetRow(QWidget):
    """An offset that is measured, unless the user says it."""

    #: The user wants to know it.
    asked = Signal()

    def __init__(self, allowed: Range) -> None:
        super().__init__()
        self.box = _number(allowed)
        self.measured = QCheckBox("measured", checked=True)
        self.measured.setToolTip("Measure it on up to 8 planes of the stack; off: give it yourself")
        self.button = QPushButton("Measure")
        self.button.setToolTip("Measure it now, without making a layer")
        self.box.setEnabled(False)
        self.measured.toggled.connect(lambda on: self.box.setEnabled(not on))
        self.button.clicked.connect(self.asked)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.box, 1)
        layout.addWidget(self.measured)

    def value(self) -> float | None:
        """Return the offset in pixels, None where it is to be measured."""
        return None if self.measured.isChecked() else self.box.value()

    def show_measured(self, offset_px: float) -> None:
        """Show what was measured, as long as the user does not say otherwise."""
        if self.measured.isChecked():
            self.box.setValue(offset_px)


class OptionRows:
    """The fields of all filters in one form; only those of one filter are seen.

    Each filter keeps what was set while another is looked at.
    """

    def __init__(self, form: QFormLayout) -> None:
        self._form = form
        self.fields: dict[str, dict[str, QDoubleSpinBox | QSpinBox | OffsetRow]] = {}
        for name in IMAGE_FILTERS:
            self.fields[name] = {option: _field(option, value) for option, value in filter_options(name).items()}
            for option, field in self.fields[name].items():
                field.setToolTip(RANGES[option].tip)
                form.addRow(RANGES[option].label, field)

    def show_filter(self, name: str) -> None:
        """Show the rows of one filter."""
        for filter_name, fields in self.fields.items():
            for field in fields.values():
                self._form.setRowVisible(field, filter_name == name)

    def values(self, name: str) -> dict[str, float | None]:
        """Return the options of a filter as they are set."""
        return {option: field.value() for option, field in self.fields[name].items()}


def _field(option: str, default: float | None) -> QDoubleSpinBox | QSpinBox | OffsetRow:
    allowed = RANGES[option]
    if default is None:
        return OffsetRow(allowed)
    field = OddBox(allowed) if isinstance(default, int) else _number(allowed)
    field.setValue(default)
    return field


def _number(allowed: Range) -> QDoubleSpinBox:
    return QDoubleSpinBox(minimum=allowed.least, maximum=allowed.most, singleStep=allowed.step, decimals=2)
