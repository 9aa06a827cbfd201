"""Choosing a recipe: a combo box in which recipes stand by what they are for."""

from __future__ import annotations

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QStandardItemModel
from qtpy.QtWidgets import QComboBox

from napari_cellrestore.recipe import RECIPES, Recipe

#: What the tasks of recipes are, as one says it.
TASKS = {
    "deblur": "Sharpen what is out of focus",
    "stain": "Stain without dye",
    "transfer": "Look of another microscope",
    "enhance": "Enhance",
    "distance": "Tell the distance from focus",
}
OWN = "From a file"


class RecipeChoice(QComboBox):
    """One of the named recipes, or one that was read from a file."""

    #: Another recipe is chosen.
    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(12)
        self.setMaxVisibleItems(24)
        self._has_own = False
        for task, words in TASKS.items():
            self._add_group(words, [recipe for recipe in RECIPES.values() if recipe.task == task])
        self.setCurrentIndex(1)
        self.currentIndexChanged.connect(lambda _row: self.changed.emit())

    @property
    def recipe(self) -> Recipe:
        """The recipe chosen."""
        recipe = self.currentData()
        assert isinstance(recipe, Recipe)
        return recipe

    def choose(self, recipe: Recipe) -> None:
        """Choose a named recipe, or put one from a file, in the place of the one before, under a heading of its own."""
        blocked = self.blockSignals(True)
        row = next((row for row in range(self.count()) if self.itemData(row) == recipe), None)
        if row is None:
            if self._has_own:
                self.removeItem(self.count() - 1)
                self.removeItem(self.count() - 1)
            self._add_group(OWN, [recipe])
            row, self._has_own = self.count() - 1, True
        self.setCurrentIndex(row)
        self.blockSignals(blocked)
        if not blocked:
            self.changed.emit()

    def _add_group(self, heading: str, recipes: list[Recipe]) -> None:
        items = self.model()
        assert isinstance(items, QStandardItemModel)
        self.addItem(heading)
        item = items.item(self.count() - 1)
        item.setFlags(Qt.ItemFlag.NoItemFlags)
        font = item.font()
        font.setBold(True)
        item.setFont(font)
        for recipe in recipes:
            self.addItem(recipe.name, recipe)
            self.setItemData(self.count() - 1, recipe.summary, Qt.ItemDataRole.ToolTipRole)


def describe(recipe: Recipe) -> str:
    """Return what a recipe does, in words.

    >>> describe(Recipe(name="mine", summary="A try", network="pix2pix", losses={"l1": 10}, steps=12000))
    'A try. Network pix2pix, loss l1; 12,000 steps of 4 crops of 256 px.'
    """
    losses = ", ".join(recipe.losses)
    summary = f"{recipe.summary.rstrip('.')}. " if recipe.summary else ""
    return (
        f"{summary}Network {recipe.network}, loss{'es' if len(recipe.losses) > 1 else ''} {losses}; "
        f"{recipe.steps:,} steps of {recipe.batch} crop{'s' if recipe.batch > 1 else ''} "
        f"of {recipe.crop_px} px."
    )
