"""The numerical aperture of the objective, which the kinds in an LED table may tell, and the user may give."""

from __future__ import annotations

from html import escape

from qtpy.QtWidgets import QDoubleSpinBox

from napari_cellrestore.gui.leds.words import na_by_kinds
from napari_cellrestore.leds import LedTable


class ApertureField(QDoubleSpinBox):
    """The aperture, 0 where it is not known. :attr:`origin` says in words where it is from, "" where that is plain."""

    def __init__(self) -> None:
        super().__init__(decimals=3, maximum=1.7, singleStep=0.05, specialValueText="not known")
        self.setKeyboardTracking(False)
        self.setToolTip("Numerical aperture of the objective: light of LEDs with sin(angle) below it enters directly")
        self.origin = ""
        self._given_for = ""  # name of the layer

    def keep(self, layer: str, na: float | None = None) -> None:
        """Keep the value, or another one, as given for a layer; ``""`` as given for none."""
        self._given_for, self.origin = layer, ""
        if na is not None:
            self._set(na)

    def take(self, leds: LedTable | None, layer: str) -> None:
        """Take the aperture from the kinds of a layer's table if they tell; else what the user gave stays."""
        between = None if leds is None else na_by_kinds(leds)
        if between is not None and not self._given_for:
            low, high = between
            self._set(round((low + high) / 2, 3))
            self.origin = f"From the kinds in the table, which leave {low:.3g} to {high:.3g} open."
        elif not self._given_for:
            self._set(0)
            self.origin = ""
        elif layer and self._given_for != layer:
            self.origin = f"As given for {escape(self._given_for, quote=False)}."

    def _set(self, na: float) -> None:
        blocked = self.blockSignals(True)
        self.setValue(na)
        self.blockSignals(blocked)
