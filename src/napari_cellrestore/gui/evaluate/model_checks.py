"""Models to choose from, by check boxes."""

from __future__ import annotations

from collections.abc import Collection

from napari.components import ViewerModel
from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtWidgets import QListWidget, QListWidgetItem

from napari_cellrestore.card import ModelCard
from napari_cellrestore.gui.choice import Connections
from napari_cellrestore.gui.models.news import NEWS
from napari_cellrestore.gui.theme import check_box_style
from napari_cellrestore.model import list_models

ROW_PX = 22


class ModelChecks(QListWidget):
    """All models that there are; those that make what is measured can be checked.

    Parameters
    ----------
    viewer : napari viewer
        Its theme is followed.
    """

    changed = Signal()

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__()
        self._viewer, self._pairs = viewer, False
        self.cards: list[ModelCard] = []
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.show_for(pairs=False)
        self._restyle()
        self.itemChanged.connect(lambda _item: self.changed.emit())
        Connections(self).connect(viewer.events.theme, self._restyle)
        NEWS.changed.connect(self.refresh)

    @property
    def checked(self) -> list[ModelCard]:
        """Cards of the models that are checked."""
        return [card for row, card in enumerate(self.cards) if self.item(row).checkState() == Qt.CheckState.Checked]

    @property
    def offered(self) -> list[str]:
        """Names of the models that can be checked."""
        return [card.name for card in self.cards if self._fits(card)]

    def check(self, names: Collection[str]) -> None:
        """Check these models and no other."""
        for row, card in enumerate(self.cards):
            if self._fits(card):
                state = Qt.CheckState.Checked if card.name in names else Qt.CheckState.Unchecked
                self.item(row).setCheckState(state)

    def show_for(self, pairs: bool) -> None:
        """Offer the models for pairs of images, or those for focus stacks.

        Of those for stacks the first is checked; which one pairs are for nobody knows, unless there is only one.
        """
        self._pairs = pairs
        self.refresh()
        self.check(self.offered[:1] if not pairs or len(self.offered) == 1 else [])

    def _fits(self, card: ModelCard) -> bool:
        """Whether a model makes images; of focus stacks, whether it makes each plane as sharp as the sharpest."""
        return card.task != "distance" if self._pairs else card.task == "deblur" and card.in_planes == 1

    def refresh(self) -> None:
        """List the models anew; those checked stay checked."""
        before = [card.name for card in self.checked]
        self.cards = sorted(list_models(), key=lambda card: not self._fits(card))
        blocked = self.blockSignals(True)
        self.clear()
        for card in self.cards:
            self.addItem(self._item(card, card.name in before))
        self.blockSignals(blocked)
        self.setFixedHeight(ROW_PX * min(max(len(self.cards), 1), 4) + 6)
        self.changed.emit()

    def _item(self, card: ModelCard, checked: bool) -> QListWidgetItem:
        item = QListWidgetItem(f"{card.name}  ({card.task})")
        item.setSizeHint(QSize(0, ROW_PX))
        if self._fits(card):
            item.setFlags(Qt.ItemFlag.ItemIsUserCheckable | Qt.ItemFlag.ItemIsEnabled)
            item.setCheckState(Qt.CheckState.Checked if checked else Qt.CheckState.Unchecked)
            item.setToolTip(card.summary)
        else:
            item.setFlags(Qt.ItemFlag.NoItemFlags)
            why = (
                "It makes no image"
                if self._pairs
                else "Focus stacks measure models that deblur one plane after another"
            )
            item.setToolTip(f"{card.summary}\n{why}")
        return item

    def _restyle(self, _event: object = None) -> None:
        self.setStyleSheet(check_box_style(self._viewer))
