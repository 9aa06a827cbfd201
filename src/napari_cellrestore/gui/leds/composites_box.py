"""The buttons of images made of all planes."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QGridLayout, QProgressBar, QPushButton, QSpinBox, QWidget

from napari_cellrestore.gui.background import Background
from napari_cellrestore.gui.leds.composites import COMPOSITES, PHASE, make_composite
from napari_cellrestore.gui.watched import WatchedPlanes
from napari_cellrestore.stack import ImageStack

#: Waiting for the end of a movement before computing.
PAUSE_MS = 150


class CompositesBox(QWidget):
    """The buttons, and the work behind them; what is asked for meanwhile is made one after the other.

    Parameters
    ----------
    saturation : callable
        Says the grey level from which pixels are burnt, None where it is not known.
    """

    #: An image was made, what it is in its provenance.
    made = Signal(object)
    #: Why none was made, in a line; empty when the work begins.
    failed = Signal(str)
    #: The user turned the azimuth.
    turned = Signal()

    def __init__(self, saturation: Callable[[], float | None] = lambda: None) -> None:
        super().__init__()
        self._saturation = saturation
        self._stack: ImageStack | None = None
        self._na: float | None = None
        self._step = ""
        self._wanted: list[str] = []
        self.planes: WatchedPlanes | None = None
        self._build()
        self._work = Background(self)
        self._work.came.connect(self.made)
        self._work.failed.connect(self._on_failure)
        self._work.finished.connect(self._next)
        self._soon = QTimer(self, singleShot=True, interval=PAUSE_MS)
        self._soon.timeout.connect(self.turned)
        self._clock = QTimer(self, interval=100)
        self._clock.timeout.connect(self._show_progress)
        self.azimuth.valueChanged.connect(lambda _: self._soon.start())
        self.stop_button.clicked.connect(self.stop)
        self._show()

    def _build(self) -> None:
        self.buttons = {step: QPushButton(kind.label) for step, kind in COMPOSITES.items()}
        for step, button in self.buttons.items():
            button.clicked.connect(lambda _checked=False, step=step: self.ask(step))
        self.azimuth = QSpinBox(maximum=359, singleStep=15, suffix="°", prefix="at ", wrapping=True)
        self.azimuth.setKeyboardTracking(False)
        self.azimuth.setToolTip("Azimuth of the phase contrast: 0° right against left, 90° below against above")
        self.progress = QProgressBar(textVisible=False, maximumHeight=4)
        self.stop_button = QPushButton("Stop")
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        places = {"synthetic brightfield": (0, 0), "dark field": (0, 1), PHASE: (1, 0), "colour by angle": (2, 0)}
        for step, place in places.items():
            grid.addWidget(self.buttons[step], *place)
        grid.addWidget(self.azimuth, 1, 1)
        grid.addWidget(self.stop_button, 2, 1)
        grid.addWidget(self.progress, 3, 0, 1, 2)
        for column in (0, 1):
            grid.setColumnStretch(column, 1)

    @property
    def running(self) -> bool:
        """Whether an image is being made."""
        return self._work.running

    def show_stack(self, stack: ImageStack | None, na: float | None) -> None:
        """Offer images of a stack AYX or AYXS with its table, by the aperture of the objective."""
        self._stack, self._na = stack, na
        self._show()

    def ask(self, step: str) -> None:
        """Make an image, after what is being made."""
        if self.running and step != self._step:
            if step not in self._wanted:
                self._wanted.append(step)
            return
        self._start(step)

    def stop(self) -> None:
        """Make no image any more."""
        self._wanted.clear()
        self._soon.stop()
        self._work.stop()
        self._show()

    def _start(self, step: str) -> None:
        if self._stack is None or self._na is None:
            return
        self.failed.emit("")
        self._step = step
        self.planes = WatchedPlanes(self._stack.data, passes=1)
        azimuth_deg, level = float(self.azimuth.value()), self._saturation()
        self._work.start(make_composite, self.planes, self._stack, step, self._na, azimuth_deg, level)
        self._clock.start()
        self._show()

    def _on_failure(self, why: str) -> None:
        self.failed.emit(f"{COMPOSITES[self._step].label}: {why}")

    def _next(self) -> None:
        if self._wanted:
            self._start(self._wanted.pop(0))
        self._show()

    def _show(self) -> None:
        there_is = self._stack is not None and self._na is not None
        for step, button in self.buttons.items():
            button.setEnabled(there_is)
            tip = COMPOSITES[step].help
            button.setToolTip(tip if there_is else f"{tip}. Needs the NA of the objective")
        self.azimuth.setEnabled(there_is)
        self._show_progress()

    def _show_progress(self) -> None:
        if not self.running:
            self._clock.stop()
        elif self.planes is not None:
            self.progress.setMaximum(self.planes.total)
            self.progress.setValue(self.planes.count)
        self.progress.setVisible(self.running)
        self.stop_button.setVisible(self.running)
