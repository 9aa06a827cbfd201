"""A row that runs a job: how far it is, how long it still takes, and a button to stop it."""

from __future__ import annotations

import re
import time
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

from qtpy.QtCore import Qt, QTimer, Signal
from qtpy.QtWidgets import QApplication, QGridLayout, QLabel, QProgressBar, QPushButton, QWidget

from napari_cellrestore.jobs import Job

#: Names of how much is done, in events that say of how much in "of".
DONE = ("step", "done")


class JobBox(QWidget):
    """Runs one :class:`~napari_cellrestore.jobs.Job` at a time; what starts it belongs to the owner.

    The job ends with the widget, which ends with the dock it is in, and with the application. It has a thread of its own
    rather than one of Qt's pool: there are as many of these as processor cores, they are for short work, and napari
    waits for them when it closes.
    """

    #: An event of the job, a dictionary.
    came = Signal(object)
    #: The process has ended; true if it did all it should, false if it failed or was stopped.
    finished = Signal(bool)
    #: Why it failed, in a line; ``finished`` follows.
    failed = Signal(str)

    #: Milliseconds between two looks at what came.
    LOOK_EVERY_MS = 100
    #: What has come is taken for so long at a look; the rest waits for the next.
    MOMENT_S = 0.03

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._job: Job | None = None
        self._said: SimpleQueue[Any] = SimpleQueue()
        self._pace = Pace()
        self.progress = QProgressBar()
        self.progress.setFormat("%v of %m")
        self.stop_button = QPushButton("Stop")
        self.time_left, self.message = QLabel(), QLabel()
        for label in (self.time_left, self.message):
            label.setTextFormat(Qt.TextFormat.PlainText)
            label.setWordWrap(True)
        layout = QGridLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.progress, 0, 0)
        layout.addWidget(self.stop_button, 0, 1)
        layout.addWidget(self.time_left, 1, 0, 1, 2)
        layout.addWidget(self.message, 2, 0, 1, 2)
        self._clock = QTimer(self, interval=self.LOOK_EVERY_MS)
        self._clock.timeout.connect(self._look)
        self.stop_button.clicked.connect(self.stop)
        self.destroyed.connect(lambda: self._cancel())  # a bound method would be let go before
        QApplication.instance().aboutToQuit.connect(self.stop)
        self.say("")
        self._show_running(False)

    @property
    def running(self) -> bool:
        """Whether a process runs, also one that was told to stop and has not ended yet."""
        return self._job is not None

    def start(self, job: Job) -> None:
        """Run a job; ValueError where one runs already."""
        if self.running:
            raise ValueError("a job is running: stop it before another is started")
        self._job, self._said, self._pace = job, SimpleQueue(), Pace()
        self.progress.setRange(0, 0)  # busy: how much there is to do is not known yet
        self.stop_button.setEnabled(True)
        self.time_left.setText("Starting…")
        self.say("")
        self._show_running(True)
        self._clock.start()
        Thread(target=_walk, args=(job, self._said), daemon=True).start()

    def stop(self) -> None:
        """Let the job end; ``finished`` says when it has."""
        if self.running:
            self._cancel()
            self.stop_button.setEnabled(False)
            self.time_left.setText("Stopping…")

    def say(self, text: str) -> None:
        """Show a line of text below the progress."""
        self.message.setText(re.sub(r"([/\\_])", "\\1\u200b", text))  # lets long paths be broken there
        self.message.setVisible(bool(text))

    def _cancel(self) -> None:
        if self._job is not None:
            self._job.cancel()

    def _show_running(self, running: bool) -> None:
        self.progress.setVisible(running)
        self.stop_button.setVisible(running)
        self.time_left.setVisible(running)

    def _look(self) -> None:
        """Take what has come since the last look, for a moment at most: the window must not wait for a fast job."""
        job, until = self._job, time.monotonic() + self.MOMENT_S
        while job is not None and self._job is job and time.monotonic() < until:
            try:
                said = self._said.get_nowait()
            except Empty:
                return
            if isinstance(said, dict):
                self._on_event(job, said)
            else:
                self._on_end(job, said)

    def _on_event(self, job: Job, event: dict[str, Any]) -> None:
        if job.cancelled:
            return
        done, of = next((event[name] for name in DONE if name in event), None), event.get("of")
        if isinstance(done, int) and isinstance(of, int) and of > 0:
            self.progress.setRange(0, of)
            self.progress.setValue(done)
            left_s = event.get("left_s", self._pace.left_s(done, of, time.monotonic()))
            self.time_left.setText("" if left_s is None or done == of else in_words(left_s))
        elif self.progress.maximum() == 0:
            self.time_left.setText("")  # it has started
        self.came.emit(event)

    def _on_end(self, job: Job, error: Exception | None) -> None:
        self._clock.stop()
        self._job = None
        self._show_running(False)
        if error is not None:
            why = " ".join(str(error).split()) or type(error).__name__
            self.say(why)
            self.failed.emit(why)
        else:
            self.say("Done" if job.status == 0 else "Stopped")
        self.finished.emit(error is None and job.status == 0)


def _walk(job: Job, said: SimpleQueue[Any]) -> None:
    """Put the events of a job into a queue, then the error it ended with, or None."""
    try:
        for event in job.events():
            said.put(event)
    except Exception as error:  # whatever it was, the window must hear of the end
        said.put(error)
    else:
        said.put(None)


class Pace:
    """How fast something goes since it was first heard of, or since it began anew."""

    def __init__(self) -> None:
        self._first: tuple[int, float] | None = None
        self._last = 0

    def left_s(self, done: int, of: int, now_s: float) -> float | None:
        """Return how many seconds the rest takes at this pace; None where it cannot be known.

        >>> pace = Pace()
        >>> pace.left_s(10, 50, 100.0), pace.left_s(20, 50, 105.0)
        (None, 15.0)
        """
        if self._first is None or done < self._last:
            self._first = done, now_s
        self._last = done
        first, first_s = self._first
        return None if done == first else (now_s - first_s) / (done - first) * (of - done)


def in_words(left_s: float) -> str:
    """Return a time left as one says it.

    >>> in_words(20), in_words(200), in_words(7900), in_words(200_000)
    ('less than a minute left', 'about 3 min left', 'about 2 h 12 min left', 'about 56 h left')
    """
    minutes = round(left_s / 60)
    if left_s < 55:
        return "less than a minute left"
    if minutes < 60:
        return f"about {minutes} min left"
    if minutes < 24 * 60:
        return f"about {minutes // 60} h {minutes % 60} min left"
    return f"about {round(minutes / 60)} h left"
