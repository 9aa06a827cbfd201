"""Which planes are selected: by rule or by hand, and what they are in a line."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import numpy as np
from qtpy.QtCore import Signal
from qtpy.QtGui import QStandardItemModel
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_cellrestore.gui.leds.plan import ADD, REMOVE
from napari_cellrestore.gui.leds.words import selection_said
from napari_cellrestore.leds import SUBSETS, LedTable, choose

#: Rules of table 3.1 of Wulff 2022 in words.
RULES = {
    "full": "full input",
    "full-no-high": "full, no high exposures",
    "36deg": "up to 36°",
    "36deg-no-high": "up to 36°, no high exposures",
    "18deg": "up to 18°",
    "8deg": "up to 8°",
    "brightfield": "brightfield alone",
}
Rows = frozenset[int]


class SelectionBox(QWidget):
    """The rules, the line and the button."""

    #: Other planes are selected.
    changed = Signal()
    #: The user wants a layer of the planes selected.
    asked = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._leds: LedTable | None = None
        self.rows: Rows = frozenset()
        self.rule = ""
        self.choice = QComboBox(sizeAdjustPolicy=QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.choice.setMinimumContentsLength(10)
        self.choice.setPlaceholderText("by rule…")
        self.choice.setToolTip("Planes by rule; the lower ones are the inputs of Wulff 2022, table 3.1")
        self.said = QLabel(wordWrap=True)
        self.button = QPushButton("Extract selection")
        self.button.setToolTip("Make a layer of the planes selected, with their part of the LED table")
        row = QHBoxLayout()
        row.addWidget(QLabel("Select"))
        row.addWidget(self.choice, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(row)
        layout.addWidget(self.said)
        layout.addWidget(self.button)
        self.choice.activated.connect(self._on_rule)
        self.button.clicked.connect(self.asked)

    def show_table(self, leds: LedTable | None, na: float | None) -> None:
        """Offer the rules that fit a table; nothing is selected where it is another one than before."""
        if leds is not self._leds:
            self.rows, self.rule = frozenset(), ""
        self._leds = leds
        self.choice.clear()
        if leds is not None:
            self._offer("all", range(len(leds)))
            self._offer("none", [], empty=True)
            single = leds.kind != "brightfield"
            told = leds if na is None else leds.with_kinds(na)
            by_angle = na is not None or (leds.kind == "darkfield").any()
            self._offer("inside NA", np.flatnonzero(told.kind == "point") if by_angle else [])
            self._offer("dark field", np.flatnonzero(told.kind == "darkfield"))
            self.choice.insertSeparator(self.choice.count())
            for name in SUBSETS:
                self._offer(RULES[name], _chosen(leds, name, brightfield=not single.all()))
        number = self.choice.findText(self.rule) if self.rule else -1
        self.rule = self.rule if number >= 0 else ""
        self.choice.setCurrentIndex(number)
        self._show()

    def select(self, rows: Iterable[int], how: str = "", rule: str = "") -> None:
        """Select rows, or add them to what is selected, or remove them."""
        rows = frozenset(rows)
        self.rows = self.rows | rows if how == ADD else self.rows - rows if how == REMOVE else rows
        self.rule = rule
        if not rule:
            self.choice.setCurrentIndex(-1)
        self._show()
        self.changed.emit()

    def _offer(self, words: str, rows: Collection[int], *, empty: bool = False) -> None:
        chosen = frozenset(int(row) for row in rows)
        self.choice.addItem(words, chosen)
        number = self.choice.count() - 1
        if chosen:
            self.choice.setItemText(number, f"{words} ({len(chosen)})")
        model = self.choice.model()
        if not chosen and not empty and isinstance(model, QStandardItemModel):
            model.item(number).setEnabled(False)

    def _on_rule(self, number: int) -> None:
        words = self.choice.itemText(number)
        self.select(self.choice.itemData(number), rule=words)

    def _show(self) -> None:
        if self._leds is not None:
            self.said.setText(selection_said(self._leds, self.rows))
            self.updateGeometry()  # the line may need more room than before
        self.button.setEnabled(bool(self.rows))

    @property
    def name(self) -> str:
        """What is selected in few words, for the name of a layer."""
        return self.rule.rsplit(" (", 1)[0] if self.rule else "selection"


def _chosen(leds: LedTable, name: str, *, brightfield: bool) -> Collection[int]:
    """Return the rows of a rule, none where it leaves none."""
    try:
        return list(choose(leds.counted(), name, brightfield=brightfield).plane.tolist())
    except ValueError:
        return []
