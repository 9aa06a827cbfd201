"""Images whose tiles are computed by the workers of a cluster, and arrive one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import prod
from pathlib import Path
from tempfile import TemporaryDirectory

import dask
import dask.array as da
import numpy as np

from napari_cellrestore.batch.cluster import Cluster
from napari_cellrestore.batch.each import each_on

Array = np.ndarray
Slab = tuple[slice, ...]
#: Neighbouring tiles that a worker computes at a time, at most: what they share is read once.
TOGETHER = 16
#: Times that each thread gets some, at least: then none waits long for the others at the end.
ROUNDS = 4


@contextmanager
def held(
    cluster: Cluster, arrays: Sequence[da.Array], folder: Path, count: Callable[[], None] = lambda: None
) -> Iterator[list[Array]]:
    """Give arrays as the workers compute them, in temporary files, so that they may be larger than memory.

    What is to be computed is sent once to each worker, then only which tiles: not a task for each step of a tile.

    Parameters
    ----------
    cluster : Cluster
    arrays : sequence of dask arrays
        Of the same blocks along the axes that they share; what two have in common is computed once.
    folder : Path
        Where the temporary files are.
    count : callable
        Called for each block of the first array that has come.

    Raises
    ------
    ValueError
        A block could not be computed.
    ConnectionError
        The scheduler has gone.
    """
    cluster.wait()
    numblocks = arrays[0].numblocks
    together = min(max(prod(numblocks) // (ROUNDS * cluster.threads()), 1), TOGETHER)
    with TemporaryDirectory(prefix=".unfinished-", dir=folder, ignore_cleanup_errors=True) as home:
        made: list[Array] = [
            np.memmap(Path(home) / str(number), one.dtype, "w+", shape=one.shape) for number, one in enumerate(arrays)
        ]
        for done in each_on(cluster, _computed, _slabs(numblocks, together), arrays):
            if done.reason:
                raise ValueError(done.reason)
            for one, pixels, part in zip(arrays, made, done.value, strict=True):
                pixels[_where(one, done.item)] = part
            for _ in range(prod(part.stop - part.start for part in done.item)):
                count()
        yield made


def _computed(slab: Slab, arrays: Sequence[da.Array]) -> tuple[Array, ...]:
    """On a worker: compute some blocks of every array."""
    parts = (one.blocks[slab[: one.ndim]] for one in arrays)
    return tuple(dask.compute(*parts, scheduler="synchronous"))


def _where(whole: da.Array, slab: Slab) -> tuple[slice, ...]:
    """Return the pixels of a slab of blocks."""
    return tuple(
        slice(sum(sizes[: part.start]), sum(sizes[: part.stop]))
        for sizes, part in zip(whole.chunks, slab, strict=False)
    )


def _slabs(numblocks: tuple[int, ...], limit: int) -> Iterator[Slab]:
    """Yield neighbouring blocks, at most so many at a time, until all are given.

    >>> list(_slabs((1, 3), 2))
    [(slice(0, 1, None), slice(0, 2, None)), (slice(0, 1, None), slice(2, 3, None))]
    >>> list(_slabs((2, 3), 4))
    [(slice(0, 1, None), slice(0, 3, None)), (slice(1, 2, None), slice(0, 3, None))]
    """
    axis, below = len(numblocks) - 1, 1
    while axis > 0 and below * numblocks[axis] <= limit:
        below *= numblocks[axis]
        axis -= 1
    step = max(1, limit // below)
    whole = tuple(slice(0, count) for count in numblocks[axis + 1 :])
    for lead in np.ndindex(numblocks[:axis]):
        for first in range(0, numblocks[axis], step):
            part = slice(first, min(first + step, numblocks[axis]))
            yield (*(slice(place, place + 1) for place in lead), part, *whole)
