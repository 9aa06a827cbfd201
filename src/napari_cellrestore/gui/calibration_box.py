"""What the leading axis of a stack means and how large its pixels and steps are, to be changed by the user."""

from __future__ import annotations

from typing import Any

import numpy as np
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QDoubleSpinBox, QFormLayout, QWidget
from superqt import QCollapsible

from napari_cellrestore.stack import ImageStack

#: What a leading axis can be, in the words of the user.
MEANINGS = {"Z": "depth", "T": "time", "A": "LED", "P": "position", "C": "channel", "Q": "not known"}


def with_leading_axis(stack: ImageStack, axis: str) -> ImageStack:
    """Return the stack with another meaning of its first axis; what only the old one had is dropped."""
    belongings: dict[str, dict[str, Any]] = {"Z": {"z_um": None}, "A": {"leds": None}, "C": {"channels": ()}}
    return stack.replace(axes=axis + stack.axes[1:], **belongings.get(stack.axes[0], {}))


def with_pixel(stack: ImageStack, pixel_um: float | None) -> ImageStack:
    """Return the stack with another width of a pixel; pixels that are not square keep their proportion."""
    height = stack.pixel_y_um
    if height is not None:
        height = height / stack.pixel_um * pixel_um if pixel_um and stack.pixel_um else None
    return stack.replace(pixel_um=pixel_um, pixel_y_um=height)


def with_z_step(stack: ImageStack, step_um: float | None) -> ImageStack:
    """Return the stack with even steps, from the first position known (or 0) and in the known direction."""
    if step_um is None:
        return stack.replace(z_um=None)
    known = np.zeros(1) if stack.z_um is None else np.asarray(stack.z_um)
    signed_um = -step_um if known[-1] < known[0] else step_um
    return stack.replace(z_um=known[0] + signed_um * np.arange(stack.size("Z")))


class CalibrationBox(QCollapsible):
    """The fields. :attr:`changed` comes with the changed stack."""

    changed = Signal(object)

    def __init__(self) -> None:
        super().__init__("Calibration", collapsedIcon="▶")
        self.layout().setContentsMargins(0, 0, 0, 0)
        self._stack: ImageStack | None = None
        self.axis = QComboBox()
        self.z_step = _length("Distance of neighbouring planes")
        self.pixel = _length("Width of a pixel at the object")
        content = QWidget()
        form = QFormLayout(content)
        form.addRow("First axis is", self.axis)
        form.addRow("z step", self.z_step)
        form.addRow("Pixel size", self.pixel)
        self.addWidget(content)
        self.axis.activated.connect(lambda _row: self._tell(with_leading_axis, self.axis.currentData()))
        self.z_step.valueChanged.connect(lambda value: self._tell(with_z_step, value or None))
        self.pixel.valueChanged.connect(lambda value: self._tell(with_pixel, value or None))

    def show_stack(self, stack: ImageStack) -> None:
        """Show the calibration of a stack that has planes."""
        self._stack = stack
        fields = (self.axis, self.z_step, self.pixel)
        blocked = [field.blockSignals(True) for field in fields]
        self.axis.clear()
        for letter, meaning in MEANINGS.items():
            if letter == stack.axes[0] or letter not in stack.axes:
                self.axis.addItem(meaning, letter)
        self.axis.setCurrentIndex(self.axis.findData(stack.axes[0]))
        self.z_step.setValue(stack.z_step_um or 0)
        self.z_step.setEnabled("Z" in stack.axes)
        self.pixel.setValue(stack.pixel_um or 0)
        for field, was in zip(fields, blocked, strict=True):
            field.blockSignals(was)

    def _tell(self, change: Any, value: Any) -> None:
        if self._stack is not None:
            self.changed.emit(change(self._stack, value))


def _length(tip: str) -> QDoubleSpinBox:
    """Return a field for a length in micrometres, 0 standing for not known."""
    box = QDoubleSpinBox(decimals=4, maximum=10_000, singleStep=0.05, suffix=" µm", specialValueText="not known")
    box.setKeyboardTracking(False)
    box.setToolTip(tip)
    return box
