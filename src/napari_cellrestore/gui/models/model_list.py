"""The list of models: yours, then those that came with the program."""

from __future__ import annotations

from qtpy.QtCore import Qt, Signal

from napari_cellrestore.gui.cells import Cell, Cells, CellTable
from napari_cellrestore.model import Entry, model_entries

COLUMNS = ("Model", "Task", "Size", "Made")
NONE_YET = "none yet: train one, or drop a file here"


class ModelList(CellTable):
    """All models there are, one of them chosen; the damaged ones in the colour of warnings."""

    HIGHEST_PX = 220

    #: Another model is chosen.
    chosen = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._rows: list[Entry | None] = []
        self.itemSelectionChanged.connect(self.chosen)

    @property
    def entries(self) -> list[Entry]:
        """The models of the list."""
        return [entry for entry in self._rows if entry is not None]

    @property
    def entry(self) -> Entry | None:
        """The model that is chosen."""
        row = self.currentRow()
        return self._rows[row] if 0 <= row < len(self._rows) and self.selectedItems() else None

    def refresh(self, colour: str, choose: str = "") -> None:
        """List the models anew; the one chosen stays chosen unless another name is given.

        Parameters
        ----------
        colour : str
            Of models that cannot be used.
        choose : str
            Name of the model to choose.
        """
        name = choose or (self.entry.name if self.entry else "")
        blocked = self.blockSignals(True)
        self._show(model_entries(), colour)
        self.clearSelection()
        rows = {entry.name: row for row, entry in enumerate(self._rows) if entry}
        self.selectRow(rows.get(name, next(iter(rows.values()), -1)))
        self.blockSignals(blocked)
        self.chosen.emit()

    def _show(self, entries: list[Entry], colour: str) -> None:
        own = [entry for entry in entries if not entry.bundled]
        bundled = [entry for entry in entries if entry.bundled]
        yours: list[Entry | None] = [*own] or [None]
        self._rows = [None, *yours, None, *bundled]
        rows = [[Cell("Yours", bold=True)], *(_cells(entry, colour) for entry in own)]
        rows += [] if own else [[Cell(NONE_YET)]]
        rows += [[Cell("Bundled", bold=True)], *(_cells(entry, colour) for entry in bundled)]
        copied = [COLUMNS, *([cell.text for cell in row] for row in rows)]
        self.show_cells(Cells(COLUMNS, [""] * len(rows), rows, copied, wide=0))
        for row in (row for row, entry in enumerate(self._rows) if entry is None):
            self.item(row, 0).setFlags(Qt.ItemFlag.ItemIsEnabled)  # a heading is not chosen


def _cells(entry: Entry, colour: str) -> list[Cell]:
    size = f"{entry.size_bytes / 1e6:.1f} MB"
    if entry.card is None:
        return [Cell(entry.name, colour), Cell("damaged", colour), Cell(size, colour), Cell("", colour)]
    return [Cell(entry.name), Cell(entry.card.task), Cell(size), Cell(entry.card.created or "–")]
