"""The settings of a recipe that differ from laboratory to laboratory, and from machine to machine."""

from __future__ import annotations

import os
from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QDoubleSpinBox,
    QFormLayout,
    QLineEdit,
    QSizePolicy,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)
from superqt import QCollapsible

from napari_cellrestore.recipe import Recipe

MOST_STEPS = 10_000_000

_DEFOCUS_TIP = "How far out of focus images may be, to both sides"


class SettingsBox(QWidget):
    """Steps and cores; below, to be opened, the microscope that blur is simulated for, and what else there is."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._build_fields()
        self.form = QFormLayout()
        self.form.addRow("Steps", self.steps)
        self.form.addRow("Cores", self.cores)
        self.microscope = _folded(
            "Microscope",
            {"Pixel": self.pixel, "Aperture": self.na, "Immersion": self.index, "Defocus": self.defocus},
        )
        self.options = _folded(
            "Options", {"Crops": self.batch, "Side": self.crop, "Images are": self.data, "Licence": self.licence}
        )
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(self.form)
        layout.addWidget(self.microscope)
        layout.addWidget(self.options)
        for field in (*self._of_recipe.values(), *self._of_optics.values(), self.defocus):
            field.valueChanged.connect(lambda _value: self.changed.emit())

    def _build_fields(self) -> None:
        cores = os.cpu_count() or 1
        self.steps = _whole("Batches that are learnt from", 1, MOST_STEPS)
        self.steps.setGroupSeparatorShown(True)
        self.cores = _whole("Processor cores to use; one less than there are keeps napari quick", 1, cores)
        self.cores.setValue(max(cores - 1, 1))
        self.batch = _whole("Crops that are learnt from at a time: fewer need less memory", 1, 1024, suffix=" a step")
        self.crop = _whole("Side of a crop: smaller ones need less memory", 16, 4096, suffix=" px")
        self.pixel = _number("Size of a pixel at the object: it decides most", 4, 1e-4, 100, suffix=" µm")
        self.na = _number("Effective numerical aperture of condenser and objective together", 3, 0.01, 2)
        self.index = _number("Refractive index of the immersion: 1 air, 1.33 water, 1.515 oil", 4, 1, 2)
        self.defocus = _number(_DEFOCUS_TIP, 2, 0.1, 100, suffix=" µm", prefix="± ")
        self._levels_named = False
        self.data, self.licence = (
            QLineEdit(placeholderText="said in the card"),
            QLineEdit(placeholderText="of the model"),
        )
        self.data.setToolTip("What the images are and their licence, such as: stained smears, 2 donors, CC BY 4.0")
        self._of_recipe = {"steps": self.steps, "batch": self.batch, "crop_px": self.crop}
        self._of_optics = {"pixel_um": self.pixel, "na": self.na, "immersion_index": self.index}

    def suit(self, *, begun: bool, simulated: bool) -> None:
        """Let be set what can be: of a run that was begun its length; the microscope where blur is simulated."""
        self.microscope.setVisible(simulated)
        for field in (*self._of_recipe.values(), *self._of_optics.values()):
            field.setEnabled(field is self.steps or not begun)
        self.defocus.setEnabled(not begun and not self._levels_named)

    def show_recipe(self, recipe: Recipe) -> None:
        """Show the settings of a recipe."""
        for name, field in self._of_recipe.items():
            field.setValue(getattr(recipe, name))
        for name, field in self._of_optics.items():
            field.setValue(getattr(recipe.pairs, name))
        self._levels_named = bool(recipe.pairs.only_um)
        self.defocus.setValue(_reach_um(recipe))
        named = ", ".join(f"{level:g}" for level in recipe.pairs.only_um)
        self.defocus.setToolTip(f"The recipe names the levels: {named} µm" if named else _DEFOCUS_TIP)

    def applied_to(self, recipe: Recipe) -> Recipe:
        """Return a recipe with the settings shown; a field that shows what the recipe has, rounded, changes nothing."""
        optics: dict[str, Any] = {
            name: _kept(field, getattr(recipe.pairs, name)) for name, field in self._of_optics.items()
        }
        if not self._levels_named and _kept(self.defocus, before := _reach_um(recipe)) != before:
            optics["levels_um"] = (-self.defocus.value(), self.defocus.value())
        own = {name: field.value() for name, field in self._of_recipe.items()}
        return recipe.model_copy(update={**own, "pairs": recipe.pairs.model_copy(update=optics)})


def _reach_um(recipe: Recipe) -> float:
    """Return how far out of focus a recipe simulates."""
    return max(map(abs, recipe.pairs.only_um or recipe.pairs.levels_um))


def _kept(field: QDoubleSpinBox, before: float) -> float:
    return before if field.value() == round(before, field.decimals()) else float(field.value())


def _whole(tip: str, low: int, high: int, **options: Any) -> QSpinBox:
    return _narrow(QSpinBox(minimum=low, maximum=high, **options), tip)


def _number(tip: str, decimals: int, low: float, high: float, **options: Any) -> QDoubleSpinBox:
    box = QDoubleSpinBox(decimals=decimals, minimum=low, maximum=high, singleStep=10.0 ** (1 - decimals), **options)
    return _narrow(box, tip)


def _narrow(box: Any, tip: str) -> Any:
    box.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)  # for a narrow dock
    box.setToolTip(tip)
    return box


def _folded(title: str, fields: dict[str, QWidget]) -> QCollapsible:
    content = QWidget()
    form = QFormLayout(content)
    form.setContentsMargins(0, 0, 0, 0)
    for words, field in fields.items():
        form.addRow(words, field)
    folded = QCollapsible(title, collapsedIcon="▶")
    folded.layout().setContentsMargins(0, 0, 0, 0)
    folded.addWidget(content)
    return folded
