"""Evaluate widget: how well models restore a folder of recorded focus stacks, or pairs of two folders."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from napari.components import ViewerModel
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QComboBox, QFileDialog, QFormLayout, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_cellrestore.evaluate import Evaluation
from napari_cellrestore.gui.background import Background
from napari_cellrestore.gui.evaluate.folder import fitting_folder, results_in
from napari_cellrestore.gui.evaluate.model_checks import ModelChecks
from napari_cellrestore.gui.evaluate.options import EvaluateOptions
from napari_cellrestore.gui.evaluate.view import EvaluationView
from napari_cellrestore.gui.evaluate.view_cells import without
from napari_cellrestore.gui.evaluate.views import MINDED, kind_of
from napari_cellrestore.gui.folder_row import FolderRow
from napari_cellrestore.gui.job_box import JobBox
from napari_cellrestore.gui.panel import Panel
from napari_cellrestore.jobs import Job

FIRST = (
    "Choose a folder of recorded focus stacks, each a file or a folder of planes. The sharpest plane of a stack is taken "
    "for the truth; what a model makes of the others is compared with it."
)
FIRST_PAIRS = (
    "Choose two folders with images of the same names: inputs, such as unstained cells or LED stacks, and targets, the same "
    "cells as they should look. What a model makes of an input is compared with its target, and its nuclei with the target's."
)
STACKS, PAIRS = "Focus stacks", "Pairs of folders"
GOES_ON = "What was scored is kept: Evaluate goes on from there."
UNFINISHED = "This evaluation did not come to its end: this is what was scored so far."


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
        self.kind_choice.currentIndexChanged.connect(self._on_kind)
        self.stacks.changed.connect(self._show)
        self.targets.changed.connect(self._show)
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
        self.kind_choice = QComboBox()
        self.kind_choice.addItems((STACKS, PAIRS))
        self.stacks = FolderRow("Folder of recorded focus stacks, or of inputs", "folder of focus stacks")
        self.targets = FolderRow("Folder of targets", "folder of images of the same names")
        self.models = ModelChecks(self._viewer)
        self.options = EvaluateOptions()
        self.results = FolderRow("Folder for the results")
        self.hint = QLabel(wordWrap=True)
        self.evaluate_button, self.earlier_button = QPushButton("Evaluate"), QPushButton("Open earlier…")
        self.earlier_button.setToolTip("Show an evaluation that was made before: choose its folder of results")
        self.box = JobBox()
        self.box.stop_button.setToolTip(GOES_ON)
        self.view = EvaluationView(self._viewer)
        self._form = form = QFormLayout()
        form.addRow("Measure on", self.kind_choice)
        form.addRow("Stacks", self.stacks)
        form.addRow("Targets", self.targets)
        form.addRow("Models", self.models)
        form.addRow("Results", self.results)
        buttons = QHBoxLayout()
        buttons.addWidget(self.evaluate_button)
        buttons.addWidget(self.earlier_button)
        content = QWidget()
        layout = QVBoxLayout(content)
        layout.addLayout(form)
        layout.addWidget(self.options)
        layout.addWidget(self.hint)
        layout.addLayout(buttons)
        layout.addWidget(self.box)
        layout.addWidget(self.view)
        layout.addStretch(1)
        self.set_content(content, "There is no model that can be loaded.\ncellrestore models says why.")

    def showEvent(self, event: QShowEvent) -> None:
        """List models that were made meanwhile."""
        self.models.refresh()
        super().showEvent(event)

    # --- what is chosen --------------------------------------------------------------------------------------

    @property
    def of_pairs(self) -> bool:
        """Whether pairs of two folders are to be measured on."""
        return self.kind_choice.currentText() == PAIRS

    def _on_kind(self, *_: object) -> None:
        self.models.show_for(self.of_pairs)
        self._show()

    def _show(self, *_: object) -> None:
        self.show_content(bool(self.models.cards))
        pairs = self.of_pairs
        self._form.setRowVisible(self.targets, pairs)
        self._form.labelForField(self.stacks).setText("Inputs" if pairs else "Stacks")
        self.stacks.line.setPlaceholderText("folder of images or LED stacks" if pairs else "folder of focus stacks")
        self.options.show_for(pairs)
        stacks, missing = self.stacks.folder, self._missing()
        place = "beside the inputs" if pairs else "beside the stacks"
        self.results.line.setPlaceholderText(place if stacks is None else f"{stacks.name} evaluation, {place}")
        self.hint.setText(missing)
        self.hint.setVisible(bool(missing) and not self.box.running)
        self.evaluate_button.setEnabled(not missing and not self.box.running)
        self.earlier_button.setEnabled(not self.box.running)

    def _missing(self) -> str:
        """Return what is to be chosen before an evaluation can begin, nothing where all is."""
        stacks, targets, results = self.stacks.folder, self.targets.folder, self.results.folder
        if stacks is None or (self.of_pairs and targets is None):
            return FIRST_PAIRS if self.of_pairs else FIRST
        folders = [stacks, targets] if self.of_pairs and targets is not None else [stacks]
        for folder in folders:
            if not folder.is_dir():
                return f"There is no folder {folder.name}."
        if self.of_pairs and stacks == targets:
            return "Inputs and targets are one folder: choose another for the targets."
        if not self.models.checked:
            return "Check at least one model."
        for folder in folders:
            if results is not None and folder in (results, *results.parents, results / stacks.name):
                among = "images" if self.of_pairs else "stacks"
                return f"The results would lie among the {among}: choose another folder for them."
        return ""

    def settings(self) -> dict[str, Any]:
        """Return what must be the same for an evaluation to go on, as its ledger has it."""
        methods = {card.name: f"{card.name} ({card.weights_sha256[:12]})" for card in self.models.checked}
        settings = {"methods": methods, **self.options.settings(self.of_pairs)}
        inputs, targets = self.stacks.folder, self.targets.folder
        if not self.of_pairs or inputs is None or targets is None:
            return settings
        return settings | {"pairs": True, "images": f"pairs of {targets.name} and {inputs.name}"}

    def arguments(self, stacks: Path, results: Path) -> list[str]:
        """Return the command line that does what is chosen."""
        settings = self.settings()
        images = ["--pairs", str(stacks), str(self.targets.folder)] if self.of_pairs else ["--stacks", str(stacks)]
        line = ["evaluate", *settings["methods"], *images, "--out", str(results)]
        if not self.of_pairs:
            line += ["--sharp", *(f"{value:g}" for value in self.options.sharp_um)]
            line += ["--align"] if settings["align"] else []
        names = {"z_step_um": "--z-step", "axes": "--axes", "leds": "--leds"}
        names |= {"data_range": "--data-range", "pixel_um": "--pixel-um"}
        for name, option in names.items():
            line += [] if settings.get(name) is None else [option, str(settings[name])]
        return [*line, "--json"]

    # --- running ---------------------------------------------------------------------------------------------

    def evaluate(self) -> None:
        """Score the models on the stacks or pairs; what was scored before with the same settings is not scored again."""
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
        self._reading.start(results_in, folder, self.options.sharp_um)

    def _on_read(self, found: tuple[Evaluation, Path, bool]) -> None:
        evaluation, folder, whole = found
        if not whole:
            self.box.say(UNFINISHED)
        self.view.show_evaluation(evaluation, folder)

    def open_stack(self, name: str) -> None:
        """Open a stack of the evaluation in the viewer; of a pair the input, and the target where its folder is chosen."""
        path = self._path_of(name)
        if path is None:
            kind = kind_of(self.view.evaluation) if self.view.evaluation else "stack"
            self.box.say(
                f"{name} was not found: choose the folder of its {'inputs' if kind == 'pair' else 'stacks'} above"
            )
            return
        try:
            for one in (path, self._target_of(path)):
                if one is not None:
                    self._viewer.open(one, plugin="napari-cellrestore")
        except (ValueError, TypeError, OSError, RuntimeError) as error:
            self.box.say(" ".join(str(error).split()))

    def _target_of(self, path: Path) -> Path | None:
        """Return where the target of an input lies, None where it is not found or there is none."""
        evaluation, targets = self.view.evaluation, self.targets.folder
        if evaluation is None or not evaluation.of_pairs or targets is None or not targets.is_dir():
            return None
        return next((one for one in sorted(targets.iterdir()) if _stem(one) == _stem(path) and one.is_file()), None)

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


def _stem(path: Path) -> str:
    """Return what an input and its target have in common in their names."""
    return path.stem.removesuffix(".ome").casefold()
