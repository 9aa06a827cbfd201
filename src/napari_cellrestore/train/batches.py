"""Batches made ahead of the steps that need them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from napari_cellrestore.pairs import Crop, Pairs
from napari_cellrestore.recipe import Recipe
from napari_cellrestore.schemes import Batch


class Batches:
    """Batches of one step after another, made ahead in a thread; each depends on seed and step alone.

    :attr:`waited` is the time in seconds that was spent waiting for them.
    """

    AHEAD = 4

    def __init__(self, recipe: Recipe, pairs: Pairs, first: int) -> None:
        self._recipe, self._pairs = recipe, pairs
        self._steps = range(first, recipe.steps)
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="pairs")
        self.waited = 0.0

    def __enter__(self) -> Batches:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def __iter__(self) -> Iterator[tuple[int, Batch]]:
        queue: list[Future[Batch]] = []
        ahead = iter(self._steps)
        for step in self._steps:
            while len(queue) < self.AHEAD and (following := next(ahead, None)) is not None:
                queue.append(self._pool.submit(self._make, following))
            before = time.monotonic()
            batch = queue.pop(0).result()
            self.waited += time.monotonic() - before
            yield step, batch

    def _make(self, step: int) -> Batch:
        rng = np.random.default_rng([self._recipe.seed, step])
        crops = [Crop(*self._pairs.crop(rng, self._recipe.crop_px)) for _ in range(self._recipe.batch)]
        return Batch.of(crops, self._pairs.intensity_range)
