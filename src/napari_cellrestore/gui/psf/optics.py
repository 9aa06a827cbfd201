"""A row for what is known of the optics."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QLineEdit, QWidget

from napari_cellrestore.objective import Objective


class OpticsRow(QWidget):
    """Numerical aperture, wavelength and immersion index; empty where they are not known."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.na = _field("NA", "Numerical aperture; in brightfield what objective and condenser reach together")
        self.wavelength = _field("wavelength", "Wavelength in micrometres, 0.53 for green light")
        self.index = _field("1.0", "Refractive index of the immersion: 1.0 air, 1.33 water, 1.515 oil")
        self.index.setMinimumWidth(44)  # for 1.515 in a narrow dock
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        for widget, stretch in ((self.na, 3), (self.wavelength, 4), (QLabel("µm, n"), 0), (self.index, 3)):
            row.addWidget(widget, stretch)
        for field in (self.na, self.wavelength, self.index):
            field.textChanged.connect(lambda _text: self.changed.emit())

    @property
    def objective(self) -> Objective | None:
        """The optics, None where they are not known.

        Raises
        ------
        ValueError
            Impossible or incomplete optics, in words for the user.
        """
        na, wavelength_um = _number(self.na, "NA"), _number(self.wavelength, "wavelength")
        if na is None and wavelength_um is None:
            return None
        if na is None or wavelength_um is None:
            raise ValueError("optics: give NA and wavelength both, or leave both empty")
        return Objective(na, wavelength_um, _number(self.index, "index") or 1.0)


def _field(placeholder: str, tip: str) -> QLineEdit:
    field = QLineEdit(placeholderText=placeholder)
    field.setToolTip(tip)
    field.setMinimumWidth(36)
    return field


def _number(field: QLineEdit, name: str) -> float | None:
    text = field.text().strip().replace(",", ".")
    try:
        return float(text) if text else None
    except ValueError:
        raise ValueError(f"{name} {text!r} is not a number") from None
