"""How a run goes: its losses, and what its last state makes of images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from napari.components import ViewerModel
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_cellrestore.gui.background import Background
from napari_cellrestore.gui.text import show_text, text_label
from napari_cellrestore.gui.train.loss_history import LossHistory, read_history
from napari_cellrestore.gui.train.loss_plot import LossPlot
from napari_cellrestore.gui.train.preview import PreviewBox
from napari_cellrestore.gui.train.run_folder import newest_sample
from napari_cellrestore.gui.train.sample_strip import SampleStrip
from napari_cellrestore.train import CHECKPOINT


class ProgressView(QWidget):
    """Losses of one run as they come, a picture of an image kept for validation, and the preview of a layer.

    Parameters
    ----------
    viewer : napari viewer
    """

    #: Milliseconds between two drawings.
    DRAW_EVERY_MS = 400

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__()
        self.history = LossHistory()
        self._run: Path | None = None
        self._state: object = None
        self.plot, self.legend = LossPlot(viewer), text_label(rich=True)
        self.preview, self.strip = PreviewBox(viewer), SampleStrip()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for part in (self.plot, self.legend, self.preview, self.strip):
            layout.addWidget(part)
        self._reading = Background(self)
        self._reading.came.connect(self._on_history)
        self._clock = QTimer(self, interval=self.DRAW_EVERY_MS, singleShot=True)
        self._clock.timeout.connect(self.draw)
        self.draw()

    def show_run(self, run: Path, step: int) -> None:
        """Show a run that was begun before, up to the step of its state."""
        if (run, step) != (self._run, self.history.last):
            self._follow(run)
            self._reading.start(read_history, run, step)

    def begin(self, run: Path, step: int) -> None:
        """Show a run that begins now, or goes on from a step."""
        self._reading.stop()
        self._follow(run)
        self.history.cut(step)
        self.draw()

    def add(self, event: dict[str, Any]) -> None:
        """Take the losses of a step; they are drawn soon."""
        self.history.add(event)
        if not self._clock.isActive():
            self._clock.start()

    def _follow(self, run: Path) -> None:
        if run != self._run:
            self._run, self._state, self.history = run, None, LossHistory()
            self.draw()

    def _on_history(self, history: LossHistory) -> None:
        self.history = history
        self.draw()

    def draw(self) -> None:
        """Draw the losses known, and what the state saved last makes of images, if it is another."""
        self.plot.show_history(self.history)
        self.plot.setVisible(self.history.last > 0)
        show_text(
            self.legend, f"Step&nbsp;{self.history.last:,} &nbsp; {self.plot.legend()}" if self.history.last else ""
        )
        state = self._saved_when()
        if state != self._state:
            self._state = state
            self.strip.show_run(self._run)
            self.preview.follow(self._run if state else None)
        self.setVisible(self._run is not None)

    def _saved_when(self) -> object:
        """Return what is another with every state that is saved and with its picture after it, None where there is none."""
        if self._run is None:
            return None
        try:
            return self._run, (self._run / CHECKPOINT).stat().st_mtime_ns, newest_sample(self._run)
        except OSError:
            return None
