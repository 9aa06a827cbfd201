"""Evaluate widget: how well models restore a folder of recorded focus stacks."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from napari.components import ViewerModel
from qtpy.QtCore import QLocale
from qtpy.QtGui import QDoubleValidator, QShowEvent
from qtpy.QtWidgets import (
    QCheckBox,
    QDoubleSpinBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)
from superqt import QCollapsible

from napari_cellrestore.evaluate import SHARP_UM, Evaluation
from napari_cellrestore.gui.background import Background
from napari_cellrestore.gui.evaluate.folder import fitting_folder, results_in
from napari_cellrestore.gui.evaluate.model_checks import ModelChecks
from napari_cellrestore.gui.evaluate.view import MINDED, EvaluationView
from napari_cellrestore.gui.evaluate.view_cells import without
from napari_cellrestore.gui.folder_row import FolderRow
from napari_cellrestore.gui.job_box import JobBox
from napari_cellrestore.gui.panel import Panel
from napari_cellrestore.jobs import Job

FIRST = (
    "Choose a folder of recorded focus stacks, each a file or a folder of planes. The sharpest plane of a stack is taken "
    "for the truth; what a model makes of the others is compared with it."
)
GOES_ON = "What was scored is kept: Evaluate goes on from there."
UNFINISHED = "This evaluation did not come to its end: these are the stacks scored so far."


class EvaluateWidget(Panel):
    """Dock widget that scores models on many stacks, in a process of its own, and shows what came of it."""

    def __init__(self, napari_viewer: ViewerModel) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self._job: Job | None = None
        self._result: dict[str, Any] | None = None
        self._left_out = 0
        self._stacks: Path | None = None
        self._build()
        self._reading = Background(self)
        self._reading.came.connect(self._on_read)
        self._reading.failed.connect(self.box.say)
        self.stacks.changed.connect(self._show)
        self.results.changed.connect(self._show)
        self.models.changed.connect(self._show)
        self.evaluate_button.clicked.connect(self.evaluate)
        self.earlier_button.clicked.connect(self._ask_and_open)
        self.box.came.connect(self._on_event)
        self.box.finished.connect(self._on_end)
        self.view.wanted.connect(self.open_stack)
        if len(offered := self.models.offered) == 1:
            self.models.check(offered)
        self._show()

    def _build(self) -> None:
        self.stacks = FolderRow("Folder of recorded focus stacks", "folder of focus stacks")
        self.models = ModelChecks(self._viewer)
        self.results = FolderRow("Folder for the results")
        self.hint = QLabel(wordWrap=True)
        self.evaluate_button, self.earlier_button = QPushButton("Evaluate"), QPushButton("Open earlier…")
        self.earlier_button.setToolTip("Show an evaluation that was made before: choose its folder of results")
        self.box = JobBox()
        self.box.stop_button.setToolTip(GOES_ON)
        self.view = EvaluationView(self._viewer)
        form = QFormLayout()
        form.addRow("Stacks", self.stacks)
        form.addRow("Models", self.models)
        form.addRow("Results", self.results)
        buttons = QHBoxLayout()
        buttons.addWidget(self.evaluate_button)
        buttons.addWidget(self.earlier_button)
        content = QWidget()
        layout = QVBoxLayout(content)
        layout.addLayout(form)
        layout.addWidget(self._build_options())
        layout.addWidget(self.hint)
        layout.addLayout(buttons)
        layout.addWidget(self.box)
        layout.addWidget(self.view)
        layout.addStretch(1)
        self.set_content(content, "There is no model that can be loaded.\ncellrestore models says why.")

    def _build_options(self) -> QCollapsible:
        self.sharp_low, self.sharp_high = (_um(value, "Focus levels that count as sharp") for value in SHARP_UM)
        self.align_box = QCheckBox("Align planes first")
        self.align_box.setToolTip("Put the planes of a stack on top of one another: drift would count as error")
        self.z_step = QDoubleSpinBox(
            decimals=4, maximum=1000, singleStep=0.05, suffix=" µm", specialValueText="as the files say"
        )
        self.z_step.setToolTip("Distance of the planes, of files that do not say it")
        self.axes = QLineEdit(placeholderText="as the files say")
        self.axes.setToolTip("What the axes are, where files do not say: ZYX, of colours ZYXS")
        self.data_range = QLineEdit(placeholderText="from the image type")
        self.data_range.setToolTip("Span of possible grey levels, for PSNR and SSIM: 255 for 8 bit, 4095 for 12 bit")
        validator = QDoubleValidator(0, 1e12, 6)
        validator.setLocale(QLocale.c())
        self.data_range.setValidator(validator)
        sharp = QHBoxLayout()
        sharp.addWidget(self.sharp_low, 1)
        sharp.addWidget(QLabel("to"))
        sharp.addWidget(self.sharp_high, 1)
        sharp.addWidget(QLabel("µm"))
        self.z_step.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)  # for a narrow dock
        content = QWidget()
        form = QFormLayout(content)
        form.setContentsMargins(0, 0, 0, 0)
        form.addRow("Sharp", sharp)
        form.addRow(self.align_box)
        form.addRow("z step", self.z_step)
        form.addRow("Axes", self.axes)
        form.addRow("Data range", self.data_range)
        self.options = QCollapsible("Options", collapsedIcon="▶")
        self.options.layout().setContentsMargins(0, 0, 0, 0)
        self.options.addWidget(content)
        return self.options

    def showEvent(self, event: QShowEvent) -> None:
        """List models that were made meanwhile."""
        self.models.refresh()
        super().showEvent(event)

    # --- what is chosen --------------------------------------------------------------------------------------

    def _show(self, *_: object) -> None:
        self.show_content(bool(self.models.cards))
        stacks, missing = self.stacks.folder, self._missing()
        beside = "" if stacks is None else f"{stacks.name} evaluation, beside the stacks"
        self.results.line.setPlaceholderText(beside or "beside the stacks")
        self.hint.setText(missing)
        self.hint.setVisible(bool(missing) and not self.box.running)
        self.evaluate_button.setEnabled(not missing and not self.box.running)
        self.earlier_button.setEnabled(not self.box.running)

    def _missing(self) -> str:
        """Return what is to be chosen before an evaluation can begin, nothing where all is."""
        stacks, results = self.stacks.folder, self.results.folder
        if stacks is None:
            return FIRST
        if not stacks.is_dir():
            return f"There is no folder {stacks.name}."
        if not self.models.checked:
            return "Check at least one model."
        if results is not None and stacks in (results, *results.parents, results / stacks.name):
            return "The results would lie among the stacks: choose another folder for them."
        return ""

    def settings(self) -> dict[str, Any]:
        """Return what must be the same for an evaluation to go on, as its ledger has it."""
        return {
            "methods": {card.name: f"{card.name} ({card.weights_sha256[:12]})" for card in self.models.checked},
            "data_range": float(self.data_range.text()) if self.data_range.hasAcceptableInput() else None,
            "align": self.align_box.isChecked(),
            "z_step_um": self.z_step.value() or None,
            "axes": self.axes.text().strip() or None,
        }

    def arguments(self, stacks: Path, results: Path) -> list[str]:
        """Return the command line that does what is chosen."""
        settings = self.settings()
        sharp = [f"{value.value():g}" for value in (self.sharp_low, self.sharp_high)]
        line = ["evaluate", *settings["methods"], "--stacks", str(stacks), "--out", str(results), "--sharp", *sharp]
        line += ["--align"] if settings["align"] else []
        for option, name in (("--z-step", "z_step_um"), ("--axes", "axes"), ("--data-range", "data_range")):
            line += [] if settings[name] is None else [option, str(settings[name])]
        return [*line, "--json"]

    # --- running ---------------------------------------------------------------------------------------------

    def evaluate(self) -> None:
        """Score the models on the stacks; what was scored before with the same settings is not scored again."""
        stacks = self.stacks.folder
        if stacks is None or self._missing() or self.box.running:
            return
        results = self.results.folder or fitting_folder(stacks, self.settings())
        self._forget()
        self._stacks, self._job = stacks, Job(self.arguments(stacks, results))
        self.box.start(self._job)
        self._show()

    def _forget(self) -> None:
        """Show nothing of what was evaluated or opened before."""
        self._reading.stop()
        self.view.clear()
        self.box.say("")
        self._result, self._left_out, self._stacks = None, 0, None

    def _on_event(self, event: dict[str, Any]) -> None:
        if "tables" in event:
            self._result = event
            return
        if "reason" in event:
            self._left_out += 1
            why = f"{event['sample']}: {without(event['sample'], event['reason'])}"
            self.box.say(f"{self._left_out} left out so far. The last is {why}")
        if event.get("done") == event.get("of"):
            left_out = f"{self._left_out} left out. " if self._left_out else ""
            self.box.say(f"{left_out}Writing tables and page…")

    def _on_end(self, _well: bool) -> None:
        """Show what came of it; the command ends with an error status where it had to leave stacks out, too."""
        if self._result is not None:
            left_out = len(self._result["left_out"])
            self.box.say(f"Done; {left_out} left out: see {MINDED}." if left_out else "Done")
            self._read(Path(self._result["out"]))
        elif self._job is not None and self._job.cancelled:
            self.box.say(f"Stopped. {GOES_ON}")
        self._show()

    # --- results ---------------------------------------------------------------------------------------------

    def _ask_and_open(self) -> None:
        start = self.results.folder or self.stacks.folder
        if name := QFileDialog.getExistingDirectory(self, "Folder of an evaluation", str(start or "")):
            self.open_earlier(Path(name))

    def open_earlier(self, folder: Path) -> None:
        """Show an evaluation that was made before."""
        if not self.box.running:
            self._forget()
            self._read(folder)

    def _read(self, folder: Path) -> None:
        sharp_um = self.sharp_low.value(), self.sharp_high.value()
        self._reading.start(results_in, folder, sharp_um)

    def _on_read(self, found: tuple[Evaluation, Path, bool]) -> None:
        evaluation, folder, whole = found
        if not whole:
            self.box.say(UNFINISHED)
        self.view.show_evaluation(evaluation, folder)

    def open_stack(self, name: str) -> None:
        """Open a stack of the evaluation in the viewer."""
        path = self._path_of(name)
        if path is None:
            self.box.say(f"{name} was not found: choose the folder of its stacks above")
            return
        try:
            self._viewer.open(path, plugin="napari-cellrestore")
        except (ValueError, TypeError, OSError, RuntimeError) as error:
            self.box.say(" ".join(str(error).split()))

    def _path_of(self, name: str) -> Path | None:
        """Return where a stack of the evaluation shown lies, None where it is not found."""
        evaluation, home = self.view.evaluation, self.view.folder
        if evaluation is None or home is None:
            return None
        beside = home.parent.with_name(re.sub(r" evaluation( \d+)?$", "", home.parent.name))
        images = str(evaluation.settings.get("images", ""))  # ends with the name of their folder
        places = [place for place in (self._stacks, beside, self.stacks.folder) if place is not None]
        paths = (place / name for place in places if images.endswith(f" {place.name}"))
        return next((path for path in paths if path.exists()), None)


def _um(value: float, tip: str) -> QDoubleSpinBox:
    box = QDoubleSpinBox(decimals=2, minimum=-1000, maximum=1000, singleStep=0.1, value=value)
    box.setButtonSymbols(QDoubleSpinBox.ButtonSymbols.NoButtons)
    box.setStyleSheet("min-width: 44px")  # two fit beside each other
    box.setToolTip(tip)
    return box
