"""Fields of an array of LEDs that is common, of which a table is made."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_cellrestore.leds import LedTable, arm_leds, rectangular_leds

#: How planes follow one another on a panel, in words.
ORDERS = {"spiral": "spiral", "rows": "row by row"}


class ArrayForm(QWidget):
    """The fields of a panel, and of the arms of Wulff 2022."""

    #: Something was changed.
    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.kind = QComboBox(sizeAdjustPolicy=QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.kind.addItems(["rectangular panel", "arms (Wulff 2022)"])
        self.rows, self.columns = (QSpinBox(minimum=1, maximum=999) for _ in range(2))
        self.pitch, self.height = _length("Distance of neighbouring LEDs"), _length("Distance of panel and sample")
        self.order = QComboBox(sizeAdjustPolicy=QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        for name, words in ORDERS.items():
            self.order.addItem(words, name)
        self.order.setToolTip("Spiral: from the centre LED outward, first to the right, then down, left and up")
        self.na = QDoubleSpinBox(decimals=3, minimum=0.01, maximum=1, singleStep=0.05, value=0.4)
        self.na.setToolTip("Of the objective: LEDs outside are dark field")
        self.twice = QCheckBox("Dark field low and high", checked=True)
        self.together = QCheckBox("Brightfield comes first", checked=True)
        lengths = (("Pitch", self.pitch), ("Height", self.height), ("Order", self.order))
        self._panel = _form(("Rows", self.rows), ("Columns", self.columns), *lengths)
        self._arms = _form(("NA", self.na), ("", self.twice), ("", self.together))
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        top = QFormLayout()
        top.addRow("Array", self.kind)
        layout.addLayout(top)
        for page in (self._panel, self._arms):
            layout.addWidget(page)
        self._arms.hide()
        self.kind.currentIndexChanged.connect(self._on_kind)
        for number in (self.rows, self.columns, self.pitch, self.height, self.na):
            number.valueChanged.connect(self.changed)
        self.order.currentIndexChanged.connect(self.changed)
        for box in (self.twice, self.together):
            box.toggled.connect(self.changed)

    def offer(self, n: int) -> None:
        """Begin with a square panel where there are as many planes."""
        side = round(n**0.5)
        if side**2 == n:
            blocked = self.blockSignals(True)
            self.rows.setValue(side)
            self.columns.setValue(side)
            self.blockSignals(blocked)

    def table(self) -> LedTable | None:
        """Return the table, None where a length is not known yet; ValueError where there can be none."""
        if self.kind.currentIndex():
            exposures = ("low", "high") if self.twice.isChecked() else ("single",)
            return arm_leds(na=self.na.value(), darkfield_exposures=exposures, brightfield=self.together.isChecked())
        if not self.pitch.value() or not self.height.value():
            return None
        return rectangular_leds(
            self.rows.value(),
            self.columns.value(),
            self.pitch.value(),
            self.height.value(),
            order=self.order.currentData(),
        )

    @property
    def aperture(self) -> float | None:
        """The NA of the objective, where the table was made by it."""
        return self.na.value() if self.kind.currentIndex() else None

    def said(self) -> str:
        """Return what the table is made from."""
        if self.kind.currentIndex():
            return f"arms of Wulff 2022, NA {self.na.value():g}"
        size = f"{self.rows.value()} x {self.columns.value()}"
        lengths = f"pitch {self.pitch.value():g} mm, height {self.height.value():g} mm"
        return f"panel of {size} LEDs, {lengths}, {self.order.currentText()}"

    def _on_kind(self, number: int) -> None:
        self._panel.setVisible(not number)
        self._arms.setVisible(bool(number))
        self.changed.emit()


def _form(*rows: tuple[str, QWidget]) -> QWidget:
    page = QWidget()
    form = QFormLayout(page)
    form.setContentsMargins(0, 0, 0, 0)
    for label, field in rows:
        form.addRow(label, field)
    return page


def _length(tip: str) -> QDoubleSpinBox:
    box = QDoubleSpinBox(decimals=3, maximum=9999, suffix=" mm", specialValueText="not known")
    box.setToolTip(tip)
    return box
