"""Train widget: a recipe and images become a model, in a process of its own."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from napari.components import ViewerModel
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from napari_cellrestore.gui.job_box import JobBox
from napari_cellrestore.gui.panel import Panel
from napari_cellrestore.gui.text import show_text, text_label
from napari_cellrestore.gui.train.outcome import MUCH_WAITING, begun, estimated, finished, images, state_words, usable
from napari_cellrestore.gui.train.progress_view import ProgressView
from napari_cellrestore.gui.train.run_folder import ask_to_pause
from napari_cellrestore.gui.train.setup_box import SetupBox
from napari_cellrestore.jobs import Job
from napari_cellrestore.train import RECIPE
from napari_cellrestore.train.checkpoint import keep_recipe

GONE = "The state of this run is not there any more; Start begins anew."
PAUSING = "Pausing: the state is being saved…"
NOTHING_KEPT = "No state was saved yet, so Start begins anew."
TRAINED = "Trained; the model is being measured on the images kept for the test…"


class TrainWidget(Panel):
    """Dock widget that trains a model, shows how it goes, and puts what comes of it into the list of models."""

    def __init__(self, napari_viewer: ViewerModel) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self._job: Job | None = None
        self._aside: TemporaryDirectory[str] | None = None
        self._begun = ""
        self._forget()
        self._build()
        self.setup.changed.connect(self._on_setup)
        self.setup.said.connect(self.box.say)
        self.estimate_button.clicked.connect(self.estimate)
        self.start_button.clicked.connect(self.start)
        self.pause_button.clicked.connect(self.pause)
        self.use_button.clicked.connect(self.use)
        self.box.came.connect(self._on_event)
        self.box.failed.connect(self._on_failure)
        self.box.finished.connect(self._on_end)
        self.destroyed.connect(lambda: self._end_estimate())
        self.show_content(True)
        self._show()

    def _forget(self) -> None:
        """Know nothing of the job before."""
        self._training = self._stepping = self._pausing = False
        self._why = ""
        self._paused: int | None = None
        #: Name of the model that the Restore widget can use.
        self._usable: str | None = None
        self._remarks: list[str] = []
        self._models: list[dict[str, Any]] = []

    def _build(self) -> None:
        self.setup, self.view, self.box = SetupBox(self._viewer), ProgressView(self._viewer), JobBox()
        self.box.progress.setTextVisible(False)  # for a new number Qt paints the window at once, at every step
        self.box.stop_button.setToolTip("End at once; what was learnt since the last saved state is lost")
        self.doing = text_label()
        self.hint, self.estimate_text, self.remarks, self.result = (text_label() for _ in range(4))
        self.estimate_button, self.start_button = QPushButton("Estimate"), QPushButton("Start")
        self.pause_button, self.use_button = QPushButton("Pause"), QPushButton("Use it in Restore")
        self.estimate_button.setToolTip("Read the images and take a few steps that leave nothing behind")
        self.pause_button.setToolTip("Save the state after this step and end; Resume goes on from there")
        buttons = QHBoxLayout()
        for button in (self.estimate_button, self.start_button, self.pause_button):
            buttons.addWidget(button)
        content = QWidget()
        layout = QVBoxLayout(content)
        for part in (self.setup, self.doing, self.hint):
            layout.addWidget(part)
        layout.addLayout(buttons)
        for part in (self.estimate_text, self.remarks, self.box, self.result, self.use_button, self.view):
            layout.addWidget(part)
        layout.addStretch(1)
        self.set_content(content, "")

    def showEvent(self, event: QShowEvent) -> None:
        """Look for models and runs that were made meanwhile."""
        if not self.box.running:
            self.setup.look()
        super().showEvent(event)

    # --- running ---------------------------------------------------------------------------------------------

    def estimate(self) -> None:
        """Find out size and time, by a few steps in a process of its own."""
        if self.box.running or self.setup.missing():
            return
        self._aside = TemporaryDirectory(prefix="cellrestore-")
        path = Path(self._aside.name) / RECIPE
        path.write_text(self.setup.recipe().to_yaml(), encoding="utf-8")
        self._run(self.setup.command().arguments(path, "--dry-run", "--json"))

    def start(self) -> None:
        """Begin the training, or go on with it."""
        before = self.setup.saved
        if self.box.running:
            return
        self.setup.look()  # folders may have gone meanwhile
        if before and not self.setup.saved:
            self.box.say(GONE)
        if self.setup.missing() or (before and not self.setup.saved):
            return
        try:
            path = keep_recipe(self.setup.run, self.setup.recipe())
        except OSError as error:
            self.box.say(f"{self.setup.run}: the folder of the run cannot be written ({error.strerror})")
            return
        self.view.begin(self.setup.run, before[0] if before else 0)
        self._begun = begun(self.setup.name.text(), self.setup.recipe(), self.setup.run)
        self._run(self.setup.command().arguments(path, "--json"), training=True)

    def _run(self, arguments: list[str], *, training: bool = False) -> None:
        self._forget()
        self._training, self._job = training, Job(arguments)
        for label in (self.estimate_text, self.result):
            show_text(label, "")
        self.box.start(self._job)
        self._show()

    def pause(self) -> None:
        """Let the run save its state and end."""
        if not self._stepping or self._pausing:
            return
        try:
            ask_to_pause(self.setup.run)
        except OSError as error:
            self.box.say(f"{self.setup.run}: cannot be paused ({error.strerror})")
            return
        self._pausing = True
        self.box.say(PAUSING)
        self._show()

    def use(self) -> None:
        """Open the Restore widget with the new model chosen."""
        _, restore = self._viewer.window.add_plugin_dock_widget("napari-cellrestore", "Restore", tabify=True)
        restore.model_choice.refresh()
        restore.model_choice.setCurrentIndex(restore.model_choice.findText(self._usable))

    # --- what the command says -------------------------------------------------------------------------------

    def _on_event(self, event: dict[str, Any]) -> None:
        if "step" in event:
            self._on_step(event)
            return
        if "parameters" in event:
            show_text(self.estimate_text, estimated(event))
        elif "remark" in event:
            self._remarks.append(event["remark"])
        elif event.get("waiting", 0) > MUCH_WAITING:
            self._remarks.append(f"{100 * event['waiting']:.0f} % of the time was spent waiting for crops")
        elif "paused" in event:
            self._paused = event["paused"]
        elif "measuring" in event:
            self._stepping = False
            self.box.say(f"Measuring on {images(event['images'])} of {event['measuring']} kept for the test…")
        elif "model" in event:
            self._models.append(event)
        self._show()

    def _on_step(self, event: dict[str, Any]) -> None:
        """Take the losses of a step; there may be hundreds in a second, so nothing else is shown anew."""
        self.view.add(event)
        stepping = event["step"] < event["of"]
        if stepping != self._stepping:
            self._stepping = stepping
            if not stepping and not self._pausing:
                self.box.say(TRAINED)
            self._show()

    def _on_failure(self, why: str) -> None:
        self._why = why.rstrip(".") + "."

    def _on_end(self, well: bool) -> None:
        self._end_estimate()
        self._stepping = False
        self.view.draw()
        if self._models:
            self.setup.begin_anew()
        elif self._training:
            self.setup.look()
        self.box.say(self._said_at_end(well))
        self._show()

    def _said_at_end(self, well: bool) -> str:
        stopped = self._job is not None and self._job.cancelled
        why = "Stopped." if stopped else self._why
        if self._models:
            show_text(self.result, finished(self._models))
            self._usable = usable(self._models)
            return ""
        if self._paused is not None:
            return f"Paused at step {self._paused:,}."
        if not self._training:
            return "" if well else why
        return why if self.setup.saved else f"{why} {NOTHING_KEPT}"

    def _end_estimate(self) -> None:
        if self._aside is not None:
            self._aside.cleanup()
            self._aside = None

    # --- showing ---------------------------------------------------------------------------------------------

    def _on_setup(self) -> None:
        """Forget the estimate of other settings, and show the run of another folder."""
        if self.box.running:
            return
        show_text(self.estimate_text, "")
        if self.setup.saved is not None:
            self.view.show_run(self.setup.run, self.setup.saved[0])
        self._show()

    def _show(self) -> None:
        running = self.box.running
        missing = "" if running else self.setup.missing()
        self.setup.setEnabled(not running)
        self.setup.setVisible(not (running and self._training))  # room for what is seen
        show_text(self.doing, self._begun if running and self._training else "")
        resumable = "" if self.setup.saved is None or running else state_words(*self.setup.saved)
        show_text(self.hint, " ".join(filter(None, [resumable, missing])))
        show_text(self.remarks, "\n".join(f"Mind: {one.rstrip('.')}." for one in self._remarks))
        self.start_button.setText("Resume" if self.setup.saved else "Start")
        for button in (self.start_button, self.estimate_button):
            button.setEnabled(not missing and not running)
        self.pause_button.setEnabled(running and self._stepping and not self._pausing)
        self.use_button.setVisible(self._usable is not None and not running)
