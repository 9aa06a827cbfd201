"""One thing after another done by the workers of a cluster, also where some of them die of it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from time import perf_counter, sleep
from typing import Any
from uuid import uuid4

import dask

from napari_cellrestore.batch.cluster import Cluster, without_workers

#: A task takes about this long: quick things are done several at once, since a scheduler needs about 1 ms for each task.
TASK_S = 0.5
LARGEST_GROUP = 64
#: A scheduler blames a task for the death of a worker on which it only waited; not more often than this.
TRUSTED_DEATHS = 2
#: How often it is looked whether a task is done, or a worker has come.
LOOK_S = 0.002


@dataclass(frozen=True)
class Done:
    """What became of one item: a value, or the reason why there is none, and how long it took."""

    item: Any
    value: Any = None
    reason: str = ""
    seconds: float = 0.0


def each_on(cluster: Cluster, do: Callable[[Any, Any], Any], items: Iterable[Any], shared: Any) -> Iterator[Done]:
    """Let workers do something with each item, and yield what becomes of it as it is done; nothing ends the others.

    Only as many tasks are at the scheduler as workers can do at once. One whose worker dies goes to another, three times
    unless the scheduler is set otherwise (``distributed.scheduler.allowed-failures``). When the last dies too, the item has
    failed; of several items in a task, each is done by itself at the end.

    Parameters
    ----------
    cluster : Cluster
    do : callable
        ``do(item, shared)`` gives what can be sent; a function of a module that workers have too.
    items : iterable
        Small things, such as paths.
    shared : object
        Sent once to each worker, also to those that come later: a model.

    Yields
    ------
    Done
        In the order in which they are done.

    Raises
    ------
    ValueError
        Workers cannot take what is shared.
    ConnectionError
        The scheduler has gone.
    """
    from distributed import as_completed

    name = f"cellrestore-{uuid4().hex}"
    cluster.wait()
    cluster.threads()  # asks for versions before anything is sent
    _share(cluster.client, shared, name)
    waiting, suspects, pace = iter(items), deque[Any](), _Pace()
    running: dict[Any, _Group] = {}
    finished = as_completed(loop=cluster.client.loop)
    try:
        while True:
            while len(running) < cluster.threads():
                if not (group := _next(waiting, suspects, pace.group, idle=not running)).items:
                    break
                task = cluster.client.submit(_do, do, group.items, name, key=f"{name}-{uuid4().hex}", pure=False)
                running[task] = group
                finished.add(task)
            if not running:
                return
            if not finished.has_ready():
                sleep(LOOK_S)  # workers may come meanwhile
                continue
            task = next(finished)
            group = running.pop(task)
            if task.status == "finished":
                outcomes = task.result()
                pace.add(outcomes)
                yield from outcomes
            elif task.status != "error":
                raise cluster.lost()
            elif group.is_to_blame_for(error := task.exception()):
                yield Done(group.items[0], reason=said(without_workers(error)))
            else:
                suspects.extend(group.items)
    finally:
        cluster.client.cancel(list(running))
        _forget(cluster.client, name)


@dataclass(frozen=True)
class _Group:
    """Items of a task; ``alone``, where no other task was at the scheduler."""

    items: list[Any]
    alone: bool = False

    def is_to_blame_for(self, error: Exception) -> bool:
        """Whether an error is of its only item, and not of others on the same workers."""
        deaths = getattr(error, "allowed_failures", TRUSTED_DEATHS) + 1
        return self.alone or (len(self.items) == 1 and deaths > TRUSTED_DEATHS)


def _next(waiting: Iterator[Any], suspects: deque[Any], count: int, *, idle: bool) -> _Group:
    """Return the items of the next task: some that nobody has tried, then one by one those whose workers died."""
    group = list(islice(waiting, count))
    if not group and idle and suspects:
        return _Group([suspects.popleft()], alone=True)
    return _Group(group)


class _Pace:
    """How many items a task takes, by the time that they took so far."""

    def __init__(self) -> None:
        self._count, self._seconds = 0, 0.0

    def add(self, outcomes: Sequence[Done]) -> None:
        self._count += len(outcomes)
        self._seconds += sum(done.seconds for done in outcomes)

    @property
    def group(self) -> int:
        if not self._count:
            return 1
        return int(min(max(TASK_S * self._count / max(self._seconds, 1e-6), 1), LARGEST_GROUP))


def _share(client: Any, shared: Any, name: str) -> None:
    try:
        client.register_plugin(_holder(shared), name=name)
    except Exception as error:  # whatever a worker raised
        raise ValueError(
            f"the workers cannot take what they need ({said(error)}): install the same versions there"
        ) from error


def _forget(client: Any, name: str) -> None:
    if client.status == "running":
        client.unregister_worker_plugin(name)


# --- on a worker -------------------------------------------------------------------------------------------

_BATCHES = 0  # at work in this process


def _holder(shared: Any) -> Any:
    from distributed import WorkerPlugin

    class Holder(WorkerPlugin):  # type: ignore[misc]
        """Holds something on a worker, as long as a batch needs it."""

        def setup(self, worker: Any) -> None:
            _begin_or_end(+1)

        def teardown(self, worker: Any) -> None:
            _begin_or_end(-1)

    holder = Holder()
    holder.held = shared
    return holder


def _begin_or_end(change: int) -> None:
    """Let the tiles of a stack be computed one by one: a worker does as many stacks at once as it has threads.

    Else dask would send them to the scheduler, and a stack would wait for its tiles, which wait for a worker.
    """
    global _BATCHES
    _BATCHES += change
    dask.config.set(scheduler="synchronous" if _BATCHES else None)


def _do(do: Callable[[Any, Any], Any], group: list[Any], name: str) -> list[Done]:
    """Do something with each item."""
    from distributed import get_worker

    shared = get_worker().plugins[name].held
    return [_try(do, item, shared) for item in group]


def _try(do: Callable[[Any, Any], Any], item: Any, shared: Any) -> Done:
    start = perf_counter()
    try:
        value, reason = do(item, shared), ""
    except Exception as error:
        value, reason = None, said(error)
    return Done(item, value, reason, perf_counter() - start)


def said(error: Exception) -> str:
    """Return why something failed, in one line; what is no word to the user has the kind of the error before it.

    >>> said(ValueError("the file is empty")), said(KeyError("axes"))
    ('the file is empty', "KeyError: 'axes'")
    """
    text = " ".join(str(error).split())
    return text if text and isinstance(error, ValueError | TypeError | OSError) else f"{type(error).__name__}: {text}"
