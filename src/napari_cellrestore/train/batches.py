"""Batches for the steps that need them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch

from napari_cellrestore.pairs import Crop, Pairs
from napari_cellrestore.recipe import Recipe
from napari_cellrestore.schemes import Batch


class Batches:
    """Batches of one step after another; each crop depends on seed, step and its place alone.

    Beside a GPU batches are made ahead. Where the processor itself learns, a thread that makes crops meanwhile would only
    hold up those that learn, which wait for each other: all cores make a batch, then all learn from it.
    :attr:`waited` is the time in seconds that was spent waiting for batches.
    """

    AHEAD = 4

    def __init__(self, recipe: Recipe, pairs: Pairs, first: int, *, device: str = "cpu") -> None:
        self._recipe, self._pairs = recipe, pairs
        self._steps = range(first, recipe.steps)
        self._at_once = 1 if device == "cpu" else self.AHEAD
        self._pool = ThreadPoolExecutor(torch.get_num_threads(), thread_name_prefix="pairs")
        self.waited = 0.0

    def __enter__(self) -> Batches:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def __iter__(self) -> Iterator[tuple[int, Batch]]:
        queue: list[list[Future[Crop]]] = []
        ahead = iter(self._steps)
        for step in self._steps:
            before = time.monotonic()
            while len(queue) < self._at_once and (following := next(ahead, None)) is not None:
                queue.append([self._pool.submit(self._crop, following, index) for index in range(self._recipe.batch)])
            crops = [crop.result() for crop in queue.pop(0)]
            self.waited += time.monotonic() - before
            yield step, Batch.of(crops, self._pairs.intensity_range, self._pairs.target_range)

    def _crop(self, step: int, index: int) -> Crop:
        rng = np.random.default_rng([self._recipe.seed, step, index])
        return Crop(*self._pairs.crop(rng, self._recipe.crop_px))
