"""What an evaluation found, one table or plot at a time."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from pathlib import Path
from threading import Event

import numpy as np
from napari.components import ViewerModel
from napari.utils.theme import get_theme
from qtpy.QtCore import Qt, QUrl, Signal
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QApplication, QComboBox, QFormLayout, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_cellrestore.evaluate import Evaluation, ScoreTable
from napari_cellrestore.evaluate.evaluation import EXTREMES_BY, SUCCESS_BY
from napari_cellrestore.gui.background import Background
from napari_cellrestore.gui.cells import Cells, CellTable
from napari_cellrestore.gui.choice import Connections
from napari_cellrestore.gui.evaluate.level_plot import LevelPlot, method_colours
from napari_cellrestore.gui.evaluate.view_cells import (
    cause_cells,
    extreme_cells,
    matrix_cells,
    mean_cells,
    minded_cells,
    nuclei_cells,
    rate_cells,
    table_cells,
    verdict_cells,
)
from napari_cellrestore.gui.evaluate.views import (
    AGAINST,
    CAUSES,
    CURVES,
    EXTREME,
    LEVELS,
    MATRIX,
    MEANS,
    MINDED,
    NUCLEI,
    RATES,
    headline,
    kind_of,
    note_of,
    views_of,
)
from napari_cellrestore.metrics import METRICS

WISH = {"lower": "lower is better", "higher": "higher is better", "one": "1 is best"}
#: Of verdicts, by kind of theme.
COLOURS = {
    "dark": {"better": "#4fc3a1", "worse": "#ff8a4c"},
    "light": {"better": "#00664b", "worse": "#b34700"},
}


class EvaluationView(QWidget):
    """Shows an evaluation, and nothing while there is none.

    Parameters
    ----------
    viewer : napari viewer
        Its theme is followed.
    """

    #: The user wants to see the stack of this name.
    wanted = Signal(str)

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__()
        self._viewer = viewer
        self.evaluation: Evaluation | None = None
        self.folder: Path | None = None
        self._bands: dict[str, dict[str, np.ndarray]] = {}
        self._work = Background(self)
        self._work.came.connect(self._on_bands)
        self._build()
        for choice in (self.view_choice, self.method_choice, self.metric_choice):
            choice.currentIndexChanged.connect(self._show)
        self.table.itemSelectionChanged.connect(self._show_buttons)
        self.table.cellDoubleClicked.connect(lambda *_: self._open_stack())
        self.stack_button.clicked.connect(self._open_stack)
        self.copy_button.clicked.connect(lambda: QApplication.clipboard().setText(self.table.text()))
        self.page_button.clicked.connect(self._open_page)
        Connections(self).connect(viewer.events.theme, self._show)
        self.clear()

    def _build(self) -> None:
        self.view_choice, self.method_choice, self.metric_choice = QComboBox(), QComboBox(), QComboBox()
        for choice in (self.method_choice, self.metric_choice):
            choice.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
            choice.setMinimumContentsLength(8)
        self.said, self.legend, self.note, self.path = _text(), _text(), _text(), _text()
        self.legend.setTextFormat(Qt.TextFormat.RichText)
        self.path.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.table, self.plot = CellTable(), LevelPlot(self._viewer)
        self.plot.setFixedHeight(240)
        self.stack_button = QPushButton("Open stack")
        self.copy_button = QPushButton("Copy table")
        self.copy_button.setToolTip("As text with tabs, for a spreadsheet")
        self.page_button = QPushButton("Open page")
        form = QFormLayout()
        form.setContentsMargins(0, 0, 0, 0)
        choices = QHBoxLayout()
        choices.addWidget(self.method_choice, 3)
        choices.addWidget(self.metric_choice, 2)
        form.addRow("Show", self.view_choice)
        buttons = QHBoxLayout()
        for button in (self.stack_button, self.copy_button, self.page_button):
            buttons.addWidget(button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.said)
        layout.addLayout(form)
        layout.addLayout(choices)
        for part in (self.plot, self.legend, self.table, self.note):
            layout.addWidget(part)
        layout.addLayout(buttons)
        layout.addWidget(self.path)

    # --- what is shown ---------------------------------------------------------------------------------------

    def show_evaluation(self, evaluation: Evaluation, folder: Path) -> None:
        """Show an evaluation that lies in a folder."""
        self.clear()
        self.evaluation, self.folder = evaluation, folder
        minded = len(evaluation.left_out) + len(evaluation.remarks)
        names = {view: f"{view} ({minded})" if view == MINDED else view for view in views_of(evaluation)}
        _offer(self.view_choice, [(text, view) for view, text in names.items()])
        self.stack_button.setText(f"Open {kind_of(evaluation)}")
        self.said.setText(headline(evaluation))
        self.path.setText("" if self.page is None else breakable(str(self.page)))
        self.page_button.setEnabled(self.page is not None)
        self.setVisible(True)
        self._show()

    def clear(self) -> None:
        """Show nothing."""
        self._work.stop()
        self.evaluation, self.folder, self._bands = None, None, {}
        blocked = self.view_choice.blockSignals(True)
        self.view_choice.clear()
        self.view_choice.blockSignals(blocked)
        self.table.show_cells(Cells((), (), (), ()))
        self.plot.show_scores((), {}, "")
        self.setVisible(False)

    @property
    def page(self) -> Path | None:
        """The page of the evaluation, None where it has none yet."""
        page = None if self.folder is None else self.folder / "evaluation.html"
        return page if page is not None and page.is_file() else None

    @property
    def view(self) -> str:
        """Which of the views of the evaluation is shown."""
        return str(self.view_choice.currentData())

    def show_view(self, view: str) -> None:
        """Show one of the views; nothing happens where the evaluation does not have it."""
        if (place := self.view_choice.findData(view)) >= 0:
            self.view_choice.setCurrentIndex(place)

    def _show(self, *_: object) -> None:
        evaluation = self.evaluation
        if evaluation is None:
            return
        self._offer(evaluation)
        curves = self.view == CURVES
        cells = Cells((), (), (), ()) if curves else self._cells(evaluation)
        shown = ((self.plot, curves), (self.legend, curves), (self.table, bool(cells.rows)))
        for part, there_is in shown:
            part.setVisible(there_is)
        if curves:
            self._show_curves(evaluation)
        self.table.show_cells(cells)
        self.note.setText(note_of(evaluation, self.view, not cells.rows))
        self.note.setVisible(bool(self.note.text()))
        self._show_buttons()

    def _offer(self, evaluation: Evaluation) -> None:
        """Offer the methods and metrics that the view has; what is chosen stays chosen."""
        methods = {
            LEVELS: [*evaluation.methods, "input"],
            MATRIX: evaluation.methods,
            EXTREME: evaluation.methods,
            CAUSES: list(evaluation.causes),
            NUCLEI: list(evaluation.nuclei),
        }
        metrics = {CURVES: evaluation.table.metrics, MATRIX: SUCCESS_BY, EXTREME: EXTREMES_BY}.get(self.view, ())
        there = [(METRICS[name].label, name) for name in metrics if name in evaluation.table.metrics]
        _offer(self.method_choice, [(name, name) for name in methods.get(self.view, [])])
        _offer(self.metric_choice, there)

    def _cells(self, evaluation: Evaluation) -> Cells:
        table = evaluation.table
        method, metric = self.method_choice.currentData(), self.metric_choice.currentData()
        if self.view == AGAINST:
            return verdict_cells(evaluation, COLOURS[get_theme(self._viewer.theme).type])
        if self.view == MEANS:
            return mean_cells(evaluation)
        if self.view == LEVELS:
            return table_cells(table.by_level(method))
        if self.view == MATRIX:
            matrix = table.success(method, metric, evaluation.sharp_um)
            return matrix_cells(matrix, table.levels_um, evaluation.sharp_um)
        if self.view == RATES:
            return rate_cells(evaluation.tables()["success rates"])
        if self.view == EXTREME:
            return extreme_cells(evaluation, method, metric)
        if self.view == CAUSES:
            return cause_cells(evaluation, method)
        return nuclei_cells(evaluation, method) if self.view == NUCLEI else minded_cells(evaluation)

    def _show_curves(self, evaluation: Evaluation) -> None:
        """Draw means at once, and bands when they are computed: of many stacks that takes a while."""
        scores, metric = evaluation.table, self.metric_choice.currentData()
        lines = self._bands.get(metric)
        if lines is None:
            lines = {method: np.nanmean(scores.values(method, metric), axis=0) for method in scores.scores}
            self._work.start(bands, scores, metric)
        label = f"{METRICS[metric].label} ({WISH[METRICS[metric].better]})"
        self.plot.show_scores(scores.levels_um, lines, label)
        colours = method_colours(list(scores.scores))
        self.legend.setText(" &nbsp; ".join(map(_legend, colours, colours.values())))

    def _on_bands(self, found: tuple[str, dict[str, np.ndarray]]) -> None:
        metric, lines = found
        self._bands[metric] = lines
        if self.view == CURVES:
            self._show()

    # --- buttons ---------------------------------------------------------------------------------------------

    def _show_buttons(self) -> None:
        self.stack_button.setVisible(self.view in (EXTREME, CAUSES, NUCLEI, MINDED) and not self.table.isHidden())
        self.stack_button.setEnabled(self._chosen() is not None)
        self.copy_button.setVisible(not self.table.isHidden())

    def _chosen(self) -> str | None:
        """Return the name of the sample in the chosen row, None where it is of none."""
        evaluation, column = self.evaluation, {EXTREME: 1, CAUSES: 0, NUCLEI: 0, MINDED: 0}.get(self.view)
        if evaluation is None or column is None:
            return None
        item = self.table.item(self.table.currentRow(), column)
        name = "" if item is None else item.text()
        return name if any(name == sample.name for sample in evaluation.samples) else None

    def _open_stack(self) -> None:
        if (name := self._chosen()) is not None:
            self.wanted.emit(name)

    def _open_page(self) -> None:
        if (page := self.page) is not None:
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(page)))


def bands(stop: Event, scores: ScoreTable, metric: str) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """Yield mean and interval at each level, of every method."""
    found = {}
    for method in scores.scores:
        if stop.is_set():
            return
        found[method] = scores.level_intervals(method, metric)
    yield metric, found


def breakable(path: str) -> str:
    """Return a path that a label can break after each folder."""
    return path.replace("/", "/\u200b").replace("\\", "\\\u200b").replace("_", "_\u200b")


def _offer(choice: QComboBox, offered: list[tuple[str, str]]) -> None:
    """Offer texts with what they stand for; nothing is shown where there is no choice."""
    chosen = choice.currentData()
    blocked = choice.blockSignals(True)
    choice.clear()
    for text, data in offered:
        choice.addItem(text, data)
    choice.setCurrentIndex(max(choice.findData(chosen), 0))
    choice.blockSignals(blocked)
    choice.setToolTip(choice.currentText())
    choice.setVisible(bool(offered))


def _legend(method: str, colour: str) -> str:
    """Return a method with its colour, not to be broken in between."""
    unbroken = escape(method).replace(" ", "&nbsp;").replace("-", "\u2011")
    return f"<span style='color:{colour}'>▬</span>&nbsp;{unbroken}"


def _text() -> QLabel:
    label = QLabel(wordWrap=True)
    label.setTextFormat(Qt.TextFormat.PlainText)
    return label
