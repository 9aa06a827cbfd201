"""A restored layer that fills in where one looks.

napari asks the levels of a multiscale layer for the pixels it shows. They answer at once: finished tiles are restored
pixels, the rest is the input, dimmed. The tiles asked for are then computed one after another in a thread, those around
the view after those in it, and the layer is drawn again as they come. What is no longer looked at is not computed. Of
several passes there is a second layer, of their spread, that fills in with the first.
"""

from __future__ import annotations

import logging
import os
import sys
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate, product
from threading import Lock, get_native_id
from time import monotonic
from typing import Any

import dask.array as da
import numpy as np
from napari.layers import Image
from qtpy.QtCore import QObject, QTimer, Signal

from napari_cellrestore.gui.restore.shown_input import ShownInput
from napari_cellrestore.model import Model
from napari_cellrestore.restore import Plan, Tiles, before, halves, loaded
from napari_cellrestore.stack import ImageStack

log = logging.getLogger(__name__)
Key = tuple[int, ...]


class LiveRestoration(QObject):
    """Tiles of one restoration: those finished, those wanted, and a thread that computes them.

    Parameters
    ----------
    stack : ImageStack
        What is restored.
    model : Model
    plan : Plan
        From :func:`napari_cellrestore.restore.plan_restoration` for this stack and model.
    smaller : mapping of int to array
        Smaller copies that the file of the stack has itself, by how many of its pixels are one, see :class:`ShownInput`.
    """

    #: A view of more tiles than this computes none: zoom in to restore.
    TILES_IN_VIEW = 64
    #: Unfinished pixels are shown at this part of their grey level.
    DIMMED = 0.4
    #: Milliseconds between two drawings while tiles come in.
    DRAW_EVERY_MS = 150

    changed = Signal()
    failed = Signal(str)
    _tile_done = Signal()

    def __init__(
        self, stack: ImageStack, model: Model, plan: Plan, smaller: Mapping[int, da.Array] | None = None
    ) -> None:
        super().__init__()
        #: What is shown where nothing is restored yet: what came, in the axes of the result.
        self.stack = before(stack, plan)
        self.plan = plan
        self._made = Tiles(stack, loaded(model), plan)
        self._tiles: dict[Key, np.ndarray] = {}
        self._spreads: dict[Key, np.ndarray] = {}
        self._wanted: list[Key] = []
        self._around: list[Key] = []
        self._lock = Lock()
        self._working = self._working_in_view = False
        self.view_is_too_large = False
        self._pool: ThreadPoolExecutor | None = ThreadPoolExecutor(
            1, thread_name_prefix="restore", initializer=_give_way
        )
        self._y = self.stack.axes.index("Y")
        self._edges = [[0, *accumulate(sizes)] for sizes in (plan.rows, plan.columns)]
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._draw)
        self._drawn = 0.0
        self._tile_done.connect(self._draw_soon)
        own = self.stack.data is stack.data  # smaller copies are those of the stack, not of what was made of it
        self._input = ShownInput(self.stack, dict(smaller or {}) if own else {}, self._dimmed, self._tile_done.emit)
        smallest = max(stack.yx_shape)
        self._factors = factors = [1, 2]
        while smallest // factors[-1] > 1024:
            factors.append(2 * factors[-1])
        self._followed: list[Image] = []
        self.levels = self._pyramid(spread=False)
        #: Those of the spread; empty where there is one pass.
        self.spread_levels = self._pyramid(spread=True) if plan.passes > 1 else []

    def _pyramid(self, *, spread: bool) -> list[LivePart]:
        first, *others = self._factors
        kinds = ((LiveImage, first), *((LivePart, factor) for factor in others))
        return [
            kind(self, factor, self._ranges(factor)[: self._y + 2] if spread else self._ranges(factor), spread)
            for kind, factor in kinds
        ]

    def _ranges(self, factor: int) -> list[range]:
        lengths = zip(self.stack.axes, self.stack.data.shape, strict=True)
        return [range(-(-n // factor) if letter in "YX" else n) for letter, n in lengths]

    # --- what is shown ---------------------------------------------------------------------------------

    def region(
        self, planes: Key, rows: range, columns: range, factor: int, *, want: bool = True, spread: bool = False
    ) -> np.ndarray:
        """Return pixels (rows, columns[, S]) of one plane at one level, and have their tiles computed if wanted."""
        y, x = (slice(r.start * factor, r.stop * factor, factor) for r in (rows, columns))
        if spread:
            shown = np.full((len(rows), len(columns)), np.nan, np.float32)
        else:
            shown = self._input.region(planes, rows, columns, factor)
        missing = []
        for key, tile, top, left, bottom, right in self._tiles_in(planes, y, x, spread=spread):
            if tile is None:
                missing.append(key)
                continue
            first_row, first_column = -(-max(top, y.start) // factor), -(-max(left, x.start) // factor)
            target = shown[
                first_row - rows.start : -(-bottom // factor) - rows.start,
                first_column - columns.start : -(-right // factor) - columns.start,
            ]
            piece = tile[first_row * factor - top :: factor, first_column * factor - left :: factor]
            target[...] = piece[: target.shape[0], : target.shape[1]]
        if want and self._followed:
            # Those that are not visible are not kept up to date.
            layer = next((one for one in self._followed if one.visible), self._followed[0])
            self._want(*self._missing_in_view(planes, layer, self._factors[layer.data_level]))
        elif want:
            self._want(missing)
        return shown

    def follow(self, *layers: Image) -> None:
        """Compute what is in view of these layers; napari reads more than that, such as the whole for the thumbnail."""
        self._followed = list(layers)

    def begin(self, source: Image) -> None:
        """Compute what is in view of the source already, of one plane: its restoration takes a while to become a layer."""
        if self._y == 0:
            factor = round(source.downsample_factors[source.data_level][-1]) if source.multiscale else 1
            self._want(*self._missing_in_view((), source, factor))

    def _missing_in_view(self, planes: Key, layer: Image, factor: int) -> tuple[list[Key], list[Key]]:
        """Return the tiles in view of a layer that are not finished, and those around them."""
        (top, left), (bottom, right) = layer.corner_pixels[:, -2:].tolist()  # at the level shown, both inside
        y, x = slice(top * factor, (bottom + 1) * factor), slice(left * factor, (right + 1) * factor)
        in_view = [key for key, tile, *_ in self._tiles_in(planes, y, x) if tile is None]
        seen = set(in_view)
        wider = (
            slice(max(s.start - max(edges), 0), s.stop + max(edges))
            for s, edges in ((y, self.plan.rows), (x, self.plan.columns))
        )
        return in_view, [key for key, tile, *_ in self._tiles_in(planes, *wider) if tile is None and key not in seen]

    def _tiles_in(
        self, planes: Key, y: slice, x: slice, *, spread: bool = False
    ) -> Iterator[tuple[Key, np.ndarray | None, int, int, int, int]]:
        """Yield (key, finished tile or None, top, left, bottom, right) of the tiles that a region touches."""
        spans = []
        for edges, part in zip(self._edges, (y, x), strict=True):
            first, last = bisect_right(edges, part.start) - 1, bisect_right(edges, part.stop - 1) - 1
            spans.append(range(first, min(last, len(edges) - 2) + 1))
        top, left = self._edges
        for row, column in product(*spans):
            key = (*planes, row, column)
            tile = (self._spreads if spread else self._tiles).get(key)
            inner = None if tile is None else tile[(0,) * len(planes)]
            yield key, inner, top[row], left[column], top[row + 1], left[column + 1]

    def _dimmed(self, pixels: np.ndarray) -> np.ndarray:
        """Return pixels (Y, X[, S]) darkened; alpha stays."""
        low = np.float32(self.plan.result_intensity[0])
        if pixels.dtype == np.uint8:  # a table takes a tenth of the time of arithmetic
            table = ((np.arange(256) - low) * self.DIMMED + low).clip(0, 255).astype(np.uint8)
            dimmed = np.frombuffer(bytearray(pixels).translate(table.tobytes()), np.uint8).reshape(pixels.shape)
        else:
            dimmed = ((pixels - low) * np.float32(self.DIMMED) + low).astype(pixels.dtype)
        if self.stack.rgb:
            dimmed[..., 3:] = pixels[..., 3:]
        return dimmed

    # --- what is computed -------------------------------------------------------------------------------

    def _want(self, keys: list[Key], around: Sequence[Key] = ()) -> None:
        """Compute these tiles next, from the middle of the view outwards, and forget what was wanted before."""
        self.view_is_too_large = len(keys) > self.TILES_IN_VIEW
        if self.view_is_too_large:
            keys, around = [], []
        with self._lock:
            self._wanted, self._around = _from_the_middle(keys), _from_the_middle(around)
            if self._working or self._pool is None or not (keys or around):
                return
            self._working = True
            self._pool.submit(self._work)

    def _work(self) -> None:
        while True:
            with self._lock:
                self._working_in_view = bool(self._wanted)
                if self._pool is None or not (self._wanted or self._around):
                    self._working = False
                    return
                key = (self._wanted or self._around).pop(0)
            try:
                if key not in self._tiles:
                    mean, spread = self._made.compute(key)
                    if spread is not None:
                        self._spreads[key] = spread  # before its mean, which says that the tile is finished
                    self._tiles[key] = mean
                    self._tile_done.emit()
            except Exception as error:  # said once to the user; the thread must not die silently
                log.exception("tile %s", key)
                with self._lock:
                    self._wanted, self._around, self._working = [], [], False
                self.failed.emit(" ".join(str(error).split()))
                return

    def _draw_soon(self) -> None:
        if not self._timer.isActive():
            wait_ms = self.DRAW_EVERY_MS - 1000 * (monotonic() - self._drawn)
            self._timer.start(max(0, round(wait_ms)))

    def _draw(self) -> None:
        self._drawn = monotonic()
        self.changed.emit()

    @property
    def pending(self) -> int:
        """Number of tiles in view that are wanted and not finished."""
        with self._lock:
            return len(self._wanted) + (self._working and self._working_in_view)

    @property
    def n_finished(self) -> int:
        """Number of tiles finished over all planes."""
        return len(self._tiles)

    def stop(self) -> None:
        """Compute nothing more; finished tiles stay."""
        with self._lock:
            pool, self._pool, self._wanted, self._around = self._pool, None, [], []
        self._timer.stop()
        self._input.stop()
        if pool is not None:
            pool.shutdown(wait=False, cancel_futures=True)

    # --- what is saved ------------------------------------------------------------------------------------

    def finished(self) -> da.Array:
        """Return the whole restored image, lazily: tiles already shown are taken as they are, others computed."""
        return self._finished(
            lambda key: self._tiles[key] if key in self._tiles else self._made.compute(key)[0], self._chunks()
        )

    def finished_with_spread(self) -> tuple[da.Array, da.Array]:
        """Return the whole restored image and its spread, which computed together compute each tile once."""

        def both(key: Key) -> Any:
            mean, spread = (self._tiles[key], self._spreads[key]) if key in self._tiles else self._made.compute(key)
            return mean if self.stack.rgb else mean[..., None], np.asarray(spread)[..., None]

        chunks = self._chunks()
        mean, spread = halves(self._finished(both, chunks if self.stack.rgb else (*chunks, (1,))))
        return mean if self.stack.rgb else mean[..., 0], spread

    def _chunks(self) -> tuple[tuple[int, ...], ...]:
        """Return the tiles of the result along its axes."""
        planes = [(1,) * n for n in self.stack.data.shape[: self._y]]
        return *planes, self.plan.rows, self.plan.columns, *([(self.stack.size("S"),)] if self.stack.rgb else [])

    def _finished(self, tile: Callable[[Key], Any], chunks: Any) -> da.Array:
        def block(block_id: tuple[int, ...]) -> Any:
            return tile(block_id[: self._y + 2])

        nothing = np.empty((0,) * len(chunks), self.plan.result_dtype)
        return da.map_blocks(block, chunks=chunks, dtype=nothing.dtype, meta=nothing, name=False)


def _give_way() -> None:
    """Let other threads before this one, and before those that torch starts from it: the window's above all."""
    if sys.platform == "linux":  # elsewhere priorities are of processes
        os.setpriority(os.PRIO_PROCESS, get_native_id(), 5)


def _from_the_middle(keys: Sequence[Key]) -> list[Key]:
    middle = np.mean(keys, axis=0) if keys else 0
    return sorted(keys, key=lambda key: float(np.sum((np.asarray(key) - middle) ** 2)))


class LivePart:
    """A level of the pyramid of a :class:`LiveRestoration`, or a part of one, as napari reads arrays.

    Made an array, it gives restored pixels where finished, else the dimmed input. napari cuts out the view first and the
    plane afterwards, so a part must not be read before it is wanted whole.
    """

    def __init__(
        self, live: LiveRestoration, factor: int, indices: Sequence[range | int], spread: bool = False
    ) -> None:
        self._live, self._factor, self._indices, self._spread = live, factor, indices, spread
        self.shape = tuple(len(index) for index in indices if isinstance(index, range))
        self.dtype = np.dtype(np.float32) if spread else live.stack.data.dtype
        self.ndim = len(self.shape)
        self.size = int(np.prod(self.shape))

    def __getitem__(self, key: Any) -> LivePart:
        """Return a smaller part."""
        keys = iter((*key,) if isinstance(key, tuple) else (key,))
        smaller = [index if isinstance(index, int) else index[next(keys, slice(None))] for index in self._indices]
        return LivePart(self._live, self._factor, smaller, self._spread)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Return what is known of it now, and have the rest computed if it is (a part of) one plane."""
        rgb = self._live.stack.rgb and not self._spread
        *planes, rows, columns = self._indices[:-1] if rgb else self._indices
        lists = [[index] if isinstance(index, int) else index for index in planes]
        y, x = (range(i, i + 1) if isinstance(i, int) else range(min(i), max(i) + 1) for i in (rows, columns))
        one_plane = all(len(indices) == 1 for indices in lists)
        read = np.stack(
            [
                self._live.region(plane, y, x, self._factor, want=one_plane, spread=self._spread)
                for plane in product(*lists)
            ]
        ).reshape(*map(len, lists), len(y), len(x), *([self._live.stack.size("S")] if rgb else []))
        # What was read begins and ends with the part: only steps, dropped axes and single colours are left to do.
        left: list[Any] = [0 if isinstance(index, int) else slice(None) for index in planes]
        left += [0 if isinstance(index, int) else slice(None, None, index.step) for index in (rows, columns)]
        if rgb:
            colour = self._indices[-1]
            left.append(colour if isinstance(colour, int) else slice(colour.start, colour.stop, colour.step))
        return np.asarray(read[tuple(left)], dtype)


class LiveImage(LivePart):
    """The finest level: made an array as a whole, it gives the restored image, however long it takes, never a mixture."""

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Return the whole restored image."""
        return np.asarray(self.finished().compute(scheduler="synchronous"), dtype)

    def finished(self) -> da.Array:
        """Return the whole restored image, or its spread, lazily, see :meth:`LiveRestoration.finished`."""
        return self._live.finished_with_spread()[1] if self._spread else self._live.finished()
