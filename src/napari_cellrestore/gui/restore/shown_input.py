"""The input as it is shown where nothing is restored yet: read in a thread, so that the window never waits for a disk."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from threading import Lock

import dask.array as da
import numpy as np

from napari_cellrestore.stack import ImageStack

log = logging.getLogger(__name__)
Key = tuple[int, ...]


class ShownInput:
    """Pixels of a stack at the levels of a pyramid: of an array in memory at once, of a lazy one as they are read.

    What was read is kept in blocks, the latest ones up to :attr:`KEPT_BYTES`. What was asked for last is read first; what
    was asked for long ago, such as a place that was only passed on the way, is not read.

    Parameters
    ----------
    stack : ImageStack
        What is shown.
    smaller : mapping of int to array
        By factor the levels that the file has itself, to be read in place of every so many-th pixel of the finest level.
    look : callable
        What is made of pixels (Y, X[, S]) to be shown; of what is read, in the thread that reads.
    arrived : callable
        Told, in a thread, that more was read.
    """

    BLOCK_PX = 512
    KEPT_BYTES = 256 * 2**20
    WAITING = 64

    def __init__(
        self,
        stack: ImageStack,
        smaller: Mapping[int, da.Array],
        look: Callable[[np.ndarray], np.ndarray],
        arrived: Callable[[], object],
    ) -> None:
        self._stack, self._smaller, self._look, self._arrived = stack, smaller, look, arrived
        self._blocks: OrderedDict[Key, np.ndarray] = OrderedDict()
        self._waiting: list[Key] = []
        self._lock = Lock()
        self._reading = False
        self._pool: ThreadPoolExecutor | None = ThreadPoolExecutor(1, thread_name_prefix="input")

    def region(self, planes: Key, rows: range, columns: range, factor: int) -> np.ndarray:
        """Return how pixels (rows, columns[, S]) of one plane look at one level, an array of its own; what was not read is 0."""
        if isinstance(self._stack.data, np.ndarray):
            spans = (slice(r.start * factor, r.stop * factor, factor) for r in (rows, columns))
            part: tuple[int | slice, ...] = (*planes, *spans)
            return self._look(self._stack.data[part])
        colours = self._stack.data.shape[-1:] if self._stack.rgb else ()
        shown = np.zeros((len(rows), len(columns), *colours), self._stack.data.dtype)
        missing = []
        for key in self._keys(planes, rows, columns, factor):
            with self._lock:
                block = self._blocks.get(key)
                if block is not None:
                    self._blocks.move_to_end(key)
            if block is None:
                missing.append(key)
                continue
            top, left = (index * self.BLOCK_PX for index in key[-2:])
            inner_y, inner_x = range(top, top + block.shape[0]), range(left, left + block.shape[1])
            taken = block[_inside(rows, inner_y), _inside(columns, inner_x)]
            shown[_inside(inner_y, rows), _inside(inner_x, columns)] = taken
        self._read(missing)
        return shown

    def _keys(self, planes: Key, rows: range, columns: range, factor: int) -> Iterator[Key]:
        spans = [range(r.start // self.BLOCK_PX, -(-r.stop // self.BLOCK_PX)) for r in (rows, columns)]
        return ((*planes, factor, row, column) for row, column in product(*spans))

    def _read(self, keys: Sequence[Key]) -> None:
        if not keys:
            return
        with self._lock:
            self._waiting = [*keys, *(key for key in self._waiting if key not in keys)][: self.WAITING]
            if self._reading or self._pool is None:
                return
            self._reading = True
            self._pool.submit(self._work)

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._waiting or self._pool is None:
                    self._reading = False
                    return
                key = self._waiting.pop(0)
            try:
                block = self._block(key)
            except Exception:  # what cannot be read cannot be restored either, and that says so
                log.exception("input %s", key)
                continue
            with self._lock:
                self._blocks[key] = block
                while sum(one.nbytes for one in self._blocks.values()) > self.KEPT_BYTES and len(self._blocks) > 1:
                    self._blocks.popitem(last=False)
            self._arrived()

    def _block(self, key: Key) -> np.ndarray:
        *planes, factor, row, column = key
        lengths = [-(-n // factor) for n in self._stack.yx_shape]
        spans = [
            slice(i * self.BLOCK_PX, min((i + 1) * self.BLOCK_PX, n))
            for i, n in zip((row, column), lengths, strict=True)
        ]
        level = self._smaller.get(factor)
        if level is None:
            level = da.asarray(self._stack.data)
            spans = [slice(s.start * factor, s.stop * factor, factor) for s in spans]
        return self._look(level[(*planes, *spans)].compute(scheduler="synchronous"))

    @property
    def pending(self) -> bool:
        """Whether something is still to be read."""
        with self._lock:
            return self._reading

    def stop(self) -> None:
        """Read nothing more."""
        with self._lock:
            pool, self._pool, self._waiting = self._pool, None, []
        if pool is not None:
            pool.shutdown(wait=False, cancel_futures=True)


def _inside(part: range, whole: range) -> slice:
    """Return where the part of ``whole`` that lies in ``part`` begins and ends, counted from the start of ``whole``."""
    first, last = max(part.start, whole.start), min(part.stop, whole.stop)
    return slice(first - whole.start, last - whole.start)
