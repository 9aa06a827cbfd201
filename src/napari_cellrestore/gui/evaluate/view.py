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
    extreme_cells,
    matrix_cells,
    minded_cells,
    rate_cells,
    table_cells,
    verdict_cells,
)
from napari_cellrestore.metrics import METRICS
from napari_cellrestore.report.evaluation import JUDGED, SIMULATED

AGAINST, CURVES, LEVELS, MATRIX, RATES, EXTREME, MINDED = VIEWS = (
    "Against each other",
    "Curves",
    "By focus level",
    "Success matrix",
    "Success rates",
    "Best and worst",
    "Samples to mind",
)
#: What a number means that the table does not say itself.
NOTES = {
    AGAINST: f"Difference of means over stacks, with its 95 % interval below. {JUDGED}",
    CURVES: "Lines: mean over {count} stacks. Bands: bootstrap 95 % intervals of the mean.",
    LEVELS: "Means over stacks. The PSNR of identical images counts as 50 dB.",
    MATRIX: "Rows: focus level of the input. Columns: plane of its stack that the restored image is as good as, in percent "
    "of stacks; in brackets those that count as sharp. SR: success rate, their sum.",
    RATES: "Percent of restored planes that are as good as one that counts as sharp ({low} to {high} µm), by how far from "
    "focus they were.",
    EXTREME: "By the mean over the focus levels that all stacks have.",
    MINDED: "Doubtful ones were scored; those left out were not.",
}
RECORDED = "Restored pixels were compared with the sharpest plane of the same stack, which is noisy itself."
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
        self.view_choice.addItems(VIEWS)
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
        self.view_choice.setItemText(VIEWS.index(MINDED), f"{MINDED} ({minded})")
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
        self.view_choice.setCurrentIndex(0)
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
        """Which of :data:`VIEWS` is shown."""
        return VIEWS[self.view_choice.currentIndex()]

    def _show(self, *_: object) -> None:
        evaluation = self.evaluation
        if evaluation is None:
            return
        self._offer(evaluation)
        curves = self.view == CURVES
        for part, there_is in ((self.plot, curves), (self.legend, curves), (self.table, not curves)):
            part.setVisible(there_is)
        if curves:
            self._show_curves(evaluation)
        else:
            self.table.show_cells(self._cells(evaluation))
        low, high = (f"{value:g}".replace("-", "−") for value in evaluation.sharp_um)
        self.note.setText(NOTES[self.view].format(count=len(evaluation.kept), low=low, high=high))
        self._show_buttons()

    def _offer(self, evaluation: Evaluation) -> None:
        """Offer the methods and metrics that the view has; what is chosen stays chosen."""
        methods = {LEVELS: [*evaluation.methods, "input"], MATRIX: evaluation.methods, EXTREME: evaluation.methods}
        metrics = {CURVES: evaluation.table.metrics, MATRIX: SUCCESS_BY, EXTREME: EXTREMES_BY}.get(self.view, ())
        there = [(METRICS[name].label, name) for name in metrics if name in evaluation.table.metrics]
        _offer(self.method_choice, [(name, name) for name in methods.get(self.view, [])])
        _offer(self.metric_choice, there)

    def _cells(self, evaluation: Evaluation) -> Cells:
        table = evaluation.table
        method, metric = self.method_choice.currentData(), self.metric_choice.currentData()
        if self.view == AGAINST:
            return verdict_cells(evaluation, COLOURS[get_theme(self._viewer.theme).type])
        if self.view == LEVELS:
            return table_cells(table.by_level(method))
        if self.view == MATRIX:
            matrix = table.success(method, metric, evaluation.sharp_um)
            return matrix_cells(matrix, table.levels_um, evaluation.sharp_um)
        if self.view == RATES:
            return rate_cells(evaluation.tables()["success rates"])
        return extreme_cells(evaluation, method, metric) if self.view == EXTREME else minded_cells(evaluation)

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
        named = self.view in (EXTREME, MINDED)
        self.stack_button.setVisible(named)
        self.stack_button.setEnabled(named and self.table.currentRow() >= 0)
        self.copy_button.setVisible(self.view != CURVES)

    def _open_stack(self) -> None:
        column = {EXTREME: 1, MINDED: 0}.get(self.view)
        if column is not None and (item := self.table.item(self.table.currentRow(), column)) is not None:
            self.wanted.emit(item.text())

    def _open_page(self) -> None:
        if (page := self.page) is not None:
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(page)))


def headline(evaluation: Evaluation) -> str:
    """Return over what the scores are, and what they are against."""
    images = str(evaluation.settings.get("images", "samples"))
    left_out = f"; {len(evaluation.left_out)} left out" if evaluation.left_out else ""
    against = SIMULATED if images.startswith("focus stacks simulated") else RECORDED
    return f"Over {len(evaluation.kept)} {images.removeprefix('recorded ')}{left_out}. {against}"


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
