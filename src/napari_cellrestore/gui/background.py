"""Work beside the window: one generator at a time in another thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from threading import Event
from typing import Any

from qtpy.QtCore import QObject, Signal
from superqt.utils import create_worker

#: Gets an event that is set when its values are no longer wanted, and yields values.
Work = Callable[..., Iterator[Any]]


class Background(QObject):
    """Runs a generator in a thread and says what it yields; a new one, or :meth:`stop`, drops the one before.

    Once :meth:`start` or :meth:`stop` was called, nothing more comes from the generator before, although its thread may
    take until its next look at the event to end.
    """

    came = Signal(object)
    failed = Signal(str)
    finished = Signal()

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._stop = Event()
        self.running = False
        self.destroyed.connect(lambda: self._stop.set())

    def start(self, work: Work, *args: Any) -> None:
        """Run ``work(stop, *args)``."""
        self.stop()
        self._stop = Event()
        self.running = True
        worker = create_worker(_tagged, work, self._stop, args)
        worker.yielded.connect(self._on_value)
        worker.errored.connect(self._on_crash)
        worker.start()

    def stop(self) -> None:
        """Want nothing more."""
        self._stop.set()
        self.running = False

    def _on_value(self, tagged: tuple[Event, str, Any]) -> None:
        stop, kind, value = tagged
        if stop.is_set():
            return
        if kind == "value":
            self.came.emit(value)
            return
        self.stop()
        if kind == "error":
            self.failed.emit(value)
        self.finished.emit()

    def _on_crash(self, error: Exception) -> None:
        self.stop()
        self.finished.emit()
        raise error


def _tagged(work: Work, stop: Event, args: tuple[Any, ...]) -> Iterator[tuple[Event, str, Any]]:
    try:
        for value in work(stop, *args):
            yield stop, "value", value
            if stop.is_set():
                return
    except (ValueError, TypeError, OSError) as error:  # of the data: a line for the user, not a traceback
        yield stop, "error", " ".join(str(error).split())
    else:
        yield stop, "end", None
