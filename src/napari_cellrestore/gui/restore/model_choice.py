"""Choosing a model: a combo box that knows the models there are when it is opened."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox

from napari_cellrestore.card import ModelCard
from napari_cellrestore.gui.models.news import NEWS
from napari_cellrestore.model import list_models


def makes_images(card: ModelCard) -> bool:
    """Return whether a model makes images."""
    return card.task != "distance"


class ModelChoice(QComboBox):
    """One model of a kind; the list is read anew when it is opened, as models are trained and saved meanwhile.

    Parameters
    ----------
    wanted : callable
        Says of a card whether its model is offered.
    """

    def __init__(self, wanted: Callable[[ModelCard], bool] = makes_images) -> None:
        super().__init__()
        self._wanted = wanted
        self._cards: dict[str, ModelCard] = {}
        self.refresh()
        NEWS.changed.connect(self.refresh)

    @property
    def card(self) -> ModelCard | None:
        """The card of the model chosen, or None where there is no model."""
        return self._cards.get(self.currentText())

    def refresh(self) -> None:
        """List the models anew; the one chosen stays chosen if it is still there."""
        cards = {card.name: card for card in list_models() if self._wanted(card)}
        if list(cards.values()) == list(self._cards.values()):
            return
        chosen, self._cards = self.currentText(), cards
        blocked = self.blockSignals(True)
        self.clear()
        for row, card in enumerate(cards.values()):
            self.addItem(card.name)
            self.setItemData(row, f"{card.task}: {card.summary}", Qt.ItemDataRole.ToolTipRole)
        if chosen in cards:
            self.setCurrentText(chosen)
        self.blockSignals(blocked)
        self.currentIndexChanged.emit(self.currentIndex())

    def showPopup(self) -> None:
        """Open the list."""
        self.refresh()
        super().showPopup()
