"""The workers of a dask.distributed scheduler: found, counted as they come and go, and asked what they have installed."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import contextmanager
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from time import monotonic
from typing import Any

#: A scheduler that does not answer within this many seconds is not there.
TIMEOUT_S = 10.0
#: Workers are counted anew after this many seconds.
COUNT_S = 5.0
#: Of these the versions should be the same everywhere.
PACKAGES = ("napari-cellrestore", "torch", "numpy")


class Cluster:
    """A scheduler and its workers; made by :func:`connected`.

    Parameters
    ----------
    client : distributed.Client
        Of the scheduler.
    say : callable
        Told what is to be minded: no worker yet, other versions.
    """

    def __init__(self, client: Any, say: Callable[[str], None]) -> None:
        self.client, self._say = client, say
        self._threads: dict[str, int] = {}
        self._asked: set[str] = set()
        self._counted_s = -COUNT_S

    @property
    def address(self) -> str:
        """Of the scheduler."""
        return str(self.client.scheduler.address)

    def wait(self) -> None:
        """Return once there is a worker."""
        try:
            self.client.wait_for_workers(1, timeout=TIMEOUT_S)
        except TimeoutError:
            self._say(f"the scheduler {self.address} has no workers; waiting for one (dask worker {self.address})")
            self.client.wait_for_workers(1)

    def threads(self) -> int:
        """Return how many tasks the workers do at once, at least 1; new workers are asked for their versions."""
        if monotonic() - self._counted_s > COUNT_S:
            before, self._threads = self._threads, self._count()
            self._counted_s = monotonic()
            if before and not self._threads:
                self._say(f"the scheduler {self.address} has no workers any more; waiting for one")
            self._ask_versions([worker for worker in self._threads if worker not in self._asked])
        return max(1, sum(self._threads.values()))

    def _count(self) -> dict[str, int]:
        try:
            return dict(self.client.nthreads())
        except OSError as error:
            raise self.lost() from error

    def check_sees(self, paths: Sequence[str | Path]) -> None:
        """Raise ValueError where a worker does not see a file or folder that is here."""
        for path in map(str, paths):
            blind = [worker for worker, seen in self._ask(os.path.exists, path).items() if seen is False]
            if blind and os.path.exists(path):
                raise ValueError(
                    f"{path}: the worker {blind[0]} does not see it ({len(blind)} of {len(self.client.nthreads())} workers): put "
                    "files where all machines see them under the same path"
                )

    @contextmanager
    def computing(self) -> Iterator[None]:
        """Let workers compute what dask computes here meanwhile."""
        self.wait()
        self.threads()
        try:
            with self.client.as_current():
                yield
        except CancelledError as error:
            raise self.lost() from error
        except Exception as error:
            if (ours := without_workers(error)) is error:
                raise
            raise ours from error

    def lost(self) -> ConnectionError:
        """Return the error of a scheduler that has gone."""
        return ConnectionError(
            f"the scheduler {self.address} does not answer any more: start it again, then give the same line to go on"
        )

    def _ask_versions(self, workers: list[str]) -> None:
        self._asked.update(workers)
        for name in PACKAGES if workers else ():
            ours = version(name)
            theirs = {worker: _said(one) for worker, one in self._ask(version, name, workers=workers).items()}
            if other := [worker for worker, number in theirs.items() if number != ours]:
                self._say(
                    f"{name} is {ours} here and {theirs[other[0]]} on {len(other)} of {len(workers)} workers ({other[0]}): "
                    "results may differ; install the same versions"
                )

    def _ask(self, function: Callable[..., Any], *arguments: Any, **options: Any) -> dict[str, Any]:
        """Return what each worker answers, or the error with which it does not; only functions that Python brings along."""
        return dict(self.client.run(function, *arguments, on_error="return", **options))


def _said(answer: Any) -> str:
    return "not installed" if isinstance(answer, ModuleNotFoundError) else str(answer)


def without_workers(error: Exception) -> Exception:
    """Return the error of a task, in our words where it is that workers died of it."""
    if type(error).__name__ != "KilledWorker":
        return error
    times = error.allowed_failures + 1  # type: ignore[attr-defined]
    return ValueError(f"{times} workers died while they were at it (out of memory?)")


@contextmanager
def connected(address: str, *, say: Callable[[str], None] = print, timeout_s: float = TIMEOUT_S) -> Iterator[Cluster]:
    """Connect to a scheduler that runs.

    Parameters
    ----------
    address : str
        Such as ``tcp://host:8786``, or the path of the scheduler's file.
    say : callable
        Told what is to be minded.
    timeout_s : float
        How long to wait for an answer.

    Raises
    ------
    ValueError
        dask.distributed is not installed, no scheduler answers, or there is no such file.
    """
    if find_spec("distributed") is None:
        raise ValueError("dask.distributed is not installed: pip install 'napari-cellrestore[distributed]'")
    from distributed import Client

    found = address if _is_address(address) else _address_in(address)
    with ThreadPoolExecutor(1) as pool:  # where no event loop runs yet
        pool.submit(asyncio.run, _answer(found, timeout_s)).result()
    # Not the default: what is looked at here, such as grey levels for a plan, is computed here.
    with Client(found, timeout=timeout_s, set_as_default=False) as client:
        yield Cluster(client, say)


async def _answer(address: str, timeout_s: float) -> None:
    """Return once a scheduler has answered; a client that gets no answer would take as long again to give up."""
    from distributed import Security
    from distributed.core import rpc

    try:
        async with rpc(address, timeout_s, connection_args=Security().get_connection_args("client")) as server:
            kind = (await asyncio.wait_for(server.identity(), timeout_s))["type"]
    except Exception as error:  # TypeError without certificates; any where what answers is something else
        reason = " ".join(str(error).split()) or f"nothing within {timeout_s:g} s"
        reason = "what answers there is no dask scheduler" if isinstance(error, MemoryError) else reason
        raise ValueError(
            f"no scheduler answers at {address} ({reason}): check address and firewall, or start one (dask scheduler --host "
            "127.0.0.1, then dask worker tcp://127.0.0.1:8786)"
        ) from error
    if kind != "Scheduler":
        raise ValueError(f"{address} is a {kind.lower()}: give the address of the scheduler")


def _is_address(text: str) -> bool:
    """Whether a text is an address rather than a file.

    >>> [_is_address(text) for text in ("tcp://node1:8786", "node1:8786", "scheduler.json", "C:/run/scheduler.json")]
    [True, True, False, False]
    """
    return "://" in text or text.rpartition(":")[2].isdecimal()


def _address_in(path: str) -> str:
    """Return the address that a scheduler has written into its file."""
    try:
        return str(json.loads(Path(path).read_text(encoding="utf-8"))["address"])
    except FileNotFoundError:
        raise ValueError(
            f"{path}: there is no such scheduler file; give it, or an address such as tcp://host:8786"
        ) from None
    except (ValueError, LookupError, TypeError):
        raise ValueError(
            f"{path}: is no scheduler file; give what dask scheduler --scheduler-file has written"
        ) from None
