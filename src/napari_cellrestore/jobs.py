"""Long work: the command line in a process of its own, what it says as it goes, and its end once it is not wanted."""

from __future__ import annotations

import atexit
import json
import logging
import os
import signal
import subprocess
import sys
import time
from _thread import interrupt_main
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from threading import Event, Lock, Thread, main_thread
from typing import IO, Any
from weakref import WeakSet

log = logging.getLogger(__name__)

#: Set for a command that a :class:`Job` runs; says that it ends when its standard input is closed.
JOB_VARIABLE = "CELLRESTORE_JOB"
#: Seconds that a command which is not wanted any more has to remove what it has not finished, before it is killed.
GRACE_S = 1.2
#: Lines of errors that are kept, and the characters of a line.
KEPT_LINES, KEPT_CHARACTERS = 50, 2000
#: Without a console window on Windows, and there too after the programs that someone looks at.
_HIDDEN = getattr(subprocess, "CREATE_NO_WINDOW", 0)
_BELOW_NORMAL = getattr(subprocess, "BELOW_NORMAL_PRIORITY_CLASS", 0)
#: How far a job steps back behind other processes, elsewhere.
NICE = 10


class JobError(ValueError):
    """A command failed; the text is the line with which it said why."""


class Job:
    """The command line in a process of its own.

    The process ends when the job is cancelled, when nobody walks through its events any more, and when the process that
    made the job ends, however that happens. What a command writes appears under its name when it is finished, so nothing
    half-written is left to be taken for whole.

    Parameters
    ----------
    arguments
        What follows ``cellrestore``, with ``--json``. Nothing is quoted or expanded: there is no shell.
    program
        What runs instead of the command line, for tests.

    Examples
    --------
    >>> "deblur-fast" in [event["name"] for event in Job(["models", "--json"]).events()]
    True
    """

    def __init__(
        self, arguments: Sequence[str | os.PathLike[str]], *, program: Sequence[str | os.PathLike[str]] | None = None
    ) -> None:
        self.arguments = [os.fspath(argument) for argument in arguments]
        # -P: a file that happens to lie in the working directory must not be imported in place of a library
        self._program = program or [sys.executable, "-P", "-m", __package__]
        self._process: subprocess.Popen[str] | None = None
        self._lock = Lock()
        self._unwanted = Event()
        self._errors: deque[str] = deque(maxlen=KEPT_LINES)

    @property
    def status(self) -> int | None:
        """Exit status of the command, negative where a signal ended it; None until it has ended."""
        return None if self._process is None else self._process.returncode

    @property
    def cancelled(self) -> bool:
        """Whether it was told to end before it had."""
        return self._unwanted.is_set()

    @property
    def errors(self) -> list[str]:
        """The last lines that the command said on standard error: remarks, and why it failed."""
        return list(self._errors)

    def events(self) -> Iterator[dict[str, Any]]:
        """Run the command and yield what it says, line by line as it says it.

        Once only. It ends when the process has ended; after :meth:`cancel` that is no error.

        Raises
        ------
        JobError
            The command failed.
        OSError
            No process could be started.
        """
        with self._lock:
            if self._process is not None:
                raise ValueError("this job has run: make another for another run")
            if self.cancelled:
                return
            self._process = process = self._start()
        listener = Thread(target=self._listen, args=(process.stderr,), daemon=True)
        for thread in (listener, Thread(target=self._watch, args=(process,), daemon=True)):
            thread.start()
        assert process.stdout is not None
        try:
            with process.stdout:
                for line in process.stdout:
                    event = _event(line)
                    if event is not None:
                        yield event
                process.wait()
        finally:
            self.cancel()  # nothing but the end of the process is left where it has ended already
        listener.join(1)
        if process.returncode and not self.cancelled:
            if len(self._errors) > 1:
                log.error("%s failed with status %d:\n%s", self._name, process.returncode, "\n".join(self._errors))
            raise JobError(self._complaint(process.returncode))

    def cancel(self) -> None:
        """Let the process and what it started end, within a second or two; returns at once, from any thread."""
        with self._lock:
            process = self._process
            if process is None or process.poll() is None:
                self._unwanted.set()
            if process is not None and process.stdin is not None:
                process.stdin.close()  # which a command takes as the wish that it end

    def _start(self) -> subprocess.Popen[str]:
        _JOBS.add(self)
        return subprocess.Popen(
            [*self._program, *self.arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            env={**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8", JOB_VARIABLE: "1"},
            start_new_session=True,  # so that it can be ended with all it starts; Ctrl-C of a terminal is not for it
            creationflags=_HIDDEN | _BELOW_NORMAL,
        )

    def _listen(self, stream: IO[str]) -> None:
        with stream:
            for line in iter(lambda: stream.readline(KEPT_CHARACTERS), ""):
                if line.strip():
                    self._errors.append(line.strip())
                    log.info("%s says: %s", self._name, line.strip())

    def _watch(self, process: subprocess.Popen[str]) -> None:
        """Wait until the process has ended, or is to end, and see to the rest."""
        while process.poll() is None and not self._unwanted.wait(0.2):
            pass
        _end(process)
        process.wait()

    @property
    def _name(self) -> str:
        return " ".join(["cellrestore", *self.arguments[:1]])

    def _complaint(self, status: int) -> str:
        if status < 0:
            reason = " (out of memory?)" if status == -9 else ""
            return f"{self._name}: ended by signal {-status}{reason}"
        return self._errors[-1] if self._errors else f"{self._name}: ended with status {status} and did not say why"


def _event(line: str) -> dict[str, Any] | None:
    with suppress(ValueError):
        event = json.loads(line)
        if isinstance(event, dict):
            return event
    if line.strip():
        log.info("not an event: %s", line.strip())
    return None


# --- the end -----------------------------------------------------------------------------------------------

_JOBS: WeakSet[Job] = WeakSet()


@atexit.register
def _cancel_all() -> None:
    jobs = list(_JOBS)
    for job in jobs:
        job.cancel()
    for job in jobs:
        if job._process is not None and job._process.poll() is None:
            _end(job._process)  # in this thread: the others may not come to it any more


def _end(process: subprocess.Popen[str]) -> None:
    """Wait a moment for a process, then kill it; what it started is killed either way."""
    with suppress(subprocess.TimeoutExpired):
        process.wait(GRACE_S + 0.2)
    if os.name == "posix" or process.poll() is None:  # Windows finds what a process started only while it runs
        _kill(process.pid)


def _kill(pid: int) -> None:
    """Kill the process that a job started, and what that started in turn."""
    if sys.platform == "win32":
        quiet = subprocess.DEVNULL
        command = ["taskkill", "/F", "/T", "/PID", str(pid)]
        subprocess.run(command, stdin=quiet, stdout=quiet, stderr=quiet, creationflags=_HIDDEN, check=False)
    else:
        with suppress(ProcessLookupError, PermissionError):  # macOS does not permit it where all have ended
            os.killpg(pid, signal.SIGKILL)


def end_with_job() -> None:
    """In a process that a :class:`Job` runs: give way to others, and end once the job is cancelled or its process has gone.

    Both of these close standard input, which a thread waits for. What else reads standard input finds it empty: Windows
    would let the import of numpy wait for that thread (numpy issue 24290).
    """
    if os.environ.pop(JOB_VARIABLE, None) is None:
        return
    if hasattr(os, "nice"):
        os.nice(NICE)
    # A program that was started in the background ignores interrupts, and so would its jobs: no tidying up.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    pipe, nothing = os.dup(0), os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    unwanted = Event()
    atexit.register(_end_what_was_started, unwanted, os.getppid())  # before all others, and so after them
    Thread(target=_end_when_closed, args=(pipe, unwanted), daemon=True).start()


def _end_what_was_started(unwanted: Event, parent: int) -> None:
    """At the end of a command that is not wanted any more, end what it started: who would, may have gone.

    That nobody listens any more can end a command before it hears that it is to end.
    """
    if unwanted.is_set() or os.getppid() != parent:
        with suppress(OSError, ValueError):
            sys.stdout.flush()
        _kill(os.getpid())


def _end_when_closed(pipe: int, unwanted: Event) -> None:
    while os.read(pipe, 1024):
        pass
    unwanted.set()
    _interrupt()
    time.sleep(GRACE_S)
    _kill(os.getpid())
    os._exit(130)


def _interrupt() -> None:
    """Do what Ctrl-C does, so that unfinished files are removed."""
    main = main_thread().ident
    if sys.platform == "win32" or main is None:
        interrupt_main()
    else:
        signal.pthread_kill(main, signal.SIGINT)  # a real signal wakes it where it waits for another thread, too
