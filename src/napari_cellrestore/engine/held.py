"""How much memory a network holds while it computes, and how several tiles share what there is."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from math import ceil
from threading import Condition
from typing import Any

import torch
from dask.system import CPU_COUNT
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from napari_cellrestore.engine.machine import memory_bytes
from napari_cellrestore.tiling import round_up

#: A layer may copy what it reads and what it makes into the order of channels it is fastest with: twice what is alive.
COPIES = 2
#: Part of a device's memory that tiles take together, unless a single one takes more.
SHARE = 0.5
_SIDE_PX, _SMALL_PX = 256, 64
_known: weakref.WeakKeyDictionary[nn.Module, int] = weakref.WeakKeyDictionary()


def held_bytes(network: nn.Module, in_channels: int, stride: int) -> int:
    """Return the bytes for each pixel of a tile that a network holds at most at one time, all channels together.

    The outputs of layers are followed from when they are made to when nobody needs them any more, twice over for
    copies inside of layers. Nothing is computed for this, or where a network needs numbers little.

    Examples
    --------
    >>> held_bytes(nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 3, 1)), 3, 1)
    152
    """
    if network not in _known:
        try:
            alive = _alive_bytes(_without_numbers(network), in_channels, round_up(_SIDE_PX, stride), "meta")
        except Exception:  # it needs numbers: a constant that is no buffer, or a branch
            alive = _alive_bytes(network, in_channels, round_up(_SMALL_PX, stride), "cpu")
        _known[network] = ceil(COPIES * alive)
    return _known[network]


def _without_numbers(network: nn.Module) -> nn.Module:
    """Return a copy that knows the shapes of its weights alone; the network itself may be at work in another thread."""
    shapes: dict[int, Any] = {id(one): one.to("meta") for one in (*network.parameters(), *network.buffers())}
    return deepcopy(network, shapes)


@torch.inference_mode()
def _alive_bytes(network: nn.Module, in_channels: int, side: int, device: str) -> float:
    """Return the most bytes for each pixel of an image that are alive at one time."""
    with _Alive() as alive:
        network(torch.zeros(1, in_channels, side, side, device=device))
    return float(alive.most / side**2)


class _Alive(TorchDispatchMode):  # type: ignore[no-untyped-call]  # missing in torch
    """Counts the bytes of tensors that are made, until they are gone."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = self.most = 0
        self._there: dict[int, weakref.ref[Any]] = {}

    def __torch_dispatch__(self, function: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = function(*args, **(kwargs or {}))
        for one in tree_leaves(made):
            if isinstance(one, Tensor):
                self._count(one.untyped_storage())
        return made

    def _count(self, memory: torch.UntypedStorage) -> None:
        place, size = memory._cdata, memory.nbytes()
        if place in self._there:
            return

        def gone(_reference: Any) -> None:
            self.now -= size
            del self._there[place]

        self._there[place] = weakref.ref(memory, gone)
        self.now += size
        self.most = max(self.most, self.now)


def at_once(tile_bytes: int, device: str) -> int:
    """Return how many tiles of so many bytes a process computes at the same time: no more than processors, at least one.

    >>> at_once(10**15, "cpu")
    1
    """
    return max(1, int(min(_share_bytes(device) / tile_bytes, CPU_COUNT)))


def _share_bytes(device: str) -> float:
    there = memory_bytes(device)
    return float("inf") if there is None else SHARE * there


class Room:
    """The memory of a device: who asks for more than is free of its share waits, but never for nothing.

    >>> room = Room(100)
    >>> with room.taken(60), room.taken(40):
    ...     room.free
    0
    """

    def __init__(self, share_bytes: float) -> None:
        self.free = self._share = share_bytes
        self._changed = Condition()

    @contextmanager
    def taken(self, size: int) -> Iterator[None]:
        """Hold so many bytes; wait for others to give theirs back where they are too many, if there are others."""
        with self._changed:
            self._changed.wait_for(lambda: size <= self.free or self.free == self._share)
            self.free -= size
        try:
            yield
        finally:
            with self._changed:
                self.free += size
                self._changed.notify_all()


_rooms: dict[str, Room] = {}


def room_on(device: str) -> Room:
    """Return the memory of a device, which all networks of this process share."""
    return _rooms.setdefault(device, Room(_share_bytes(device)))
