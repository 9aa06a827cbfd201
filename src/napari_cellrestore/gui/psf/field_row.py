"""A row that asks for the width of the kernel over the field."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QSpinBox, QWidget


class FieldRow(QWidget):
    """Tiles down and across, and the button that maps them."""

    #: A map is wanted.
    asked = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.down, self.across = (QSpinBox(minimum=1, maximum=32, value=3) for _ in range(2))
        for box in (self.down, self.across):
            box.setButtonSymbols(QSpinBox.ButtonSymbols.NoButtons)
        self.setStyleSheet("QSpinBox {min-width: 16px; padding: 1px 6px;}")  # a dock may be narrow, napari's are 70 px
        self.down.setToolTip("Tiles down the field; each needs structure of its own")
        self.across.setToolTip("Tiles across the field; each needs structure of its own")
        self.button = QPushButton("Map width")
        self.button.setToolTip(
            "A layer of the width (FWHM) of the kernel of each tile, µm; empty where a tile cannot tell"
        )
        self.button.clicked.connect(self.asked)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        for widget, stretch in ((self.down, 2), (QLabel("×"), 0), (self.across, 2), (self.button, 3)):
            row.addWidget(widget, stretch)

    @property
    def grid(self) -> tuple[int, int]:
        """Tiles down and across."""
        return self.down.value(), self.across.value()
