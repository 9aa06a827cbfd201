"""Planes that are counted as they are read: how far a function is that walks through a stack, and the way to end it."""

from __future__ import annotations

from threading import Event
from typing import Any

import numpy as np


class Stopped(Exception):
    """What reads planes is no longer wanted."""


class WatchedPlanes:
    """The planes of a stack as they are read: counts them, and reads no more once ``stop`` is set."""

    def __init__(self, data: Any, passes: int) -> None:
        self._data = data
        self.shape, self.ndim, self.dtype = data.shape, data.ndim, data.dtype
        self.count, self.total = 0, passes * len(data)
        self.stop = Event()

    def __len__(self) -> int:
        return len(self._data)

    def __getitem__(self, key: Any) -> Any:
        if self.stop.is_set():
            raise Stopped
        self.count += 1
        return np.asarray(self._data[key])  # read now: what is not read yet could not be ended
