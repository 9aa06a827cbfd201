"""The tiles of a restoration: each is read with its halo, given to the network, and cropped.

Within, every array ends with an axis of channels, also that of a grey image: (..., Y, X, channels).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any

import dask.array as da
import numpy as np
from dask import delayed
from dask.array.overlap import overlap

from napari_cellrestore.model import Model
from napari_cellrestore.passes import Passes, passes_of
from napari_cellrestore.restore.inputs import given
from napari_cellrestore.restore.plan import Plan
from napari_cellrestore.spread import mean_and_spread
from napari_cellrestore.stack import ImageStack

Array = np.ndarray


def restored_tiles(stack: ImageStack, models: Sequence[Model], plan: Plan) -> da.Array:
    """Return the restored image (..., Y, X, channels), tile by tile."""
    return _by_tiles(_restore_once, stack, models, plan)


def tiles_with_spread(stack: ImageStack, models: Sequence[Model], plan: Plan) -> da.Array:
    """Return an array whose blocks are (mean, spread) of several passes, tile by tile."""
    return _by_tiles(_restore_several, stack, models, plan)


class Tiles:
    """The tiles of a restoration one by one: for a window, which shows a few of many and cannot wait until all are laid out.

    They are those of :func:`restored_tiles` and :func:`tiles_with_spread`.

    Parameters
    ----------
    stack, models, plan
        As in :func:`napari_cellrestore.restore.restore`.
    """

    def __init__(self, stack: ImageStack, models: Sequence[Model], plan: Plan) -> None:
        _check_plan(plan, stack, models)
        self._source, self._plan, self._passes = given(stack, plan.planes), plan, _passes(models, plan)
        self._edges = [[0, *accumulate(sizes)] for sizes in (plan.rows, plan.columns)]

    def compute(self, key: tuple[int, ...]) -> tuple[Array, Array | None]:
        """Return the tile (*planes, row, column), and of several passes its spread; both with planes as axes of one."""
        *planes, row, column = key
        parts = [self._part(*place) for place in zip(self._edges, (row, column), strict=True)]
        read, kept = (tuple(part[i] for part in parts) for i in (0, 1))
        plane = np.asarray(self._source[(*planes, *read)].compute(scheduler="synchronous"))
        if self._plan.passes > 1:
            mean, spread = _mean_and_spread(plane, kept, self._passes, self._plan)
            return self._shaped(mean, len(planes)), spread.reshape(*(1,) * len(planes), *spread.shape)
        return self._shaped(_once(plane, kept, self._passes, self._plan), len(planes)), None

    def _part(self, edges: list[int], place: int) -> tuple[slice, slice]:
        """Return which pixels of an axis are read for a tile, and which of these are kept."""
        start, stop = edges[place], edges[place + 1]
        first, last = max(start - self._plan.halo_px, 0), min(stop + self._plan.halo_px, edges[-1])
        return slice(first, last), slice(start - first, stop - first)

    def _shaped(self, tile: Array, n_planes: int) -> Array:
        tile = tile if self._plan.result_axes.endswith("S") else tile[..., 0]
        return tile.reshape(*(1,) * n_planes, *tile.shape)


def _by_tiles(function: Any, stack: ImageStack, models: Sequence[Model], plan: Plan) -> da.Array:
    """Return what ``function(plane, passes, plan)`` makes of every plane, tile by tile, each read with its halo."""
    _check_plan(plan, stack, models)
    source = given(stack, plan.planes)
    leading = source.ndim - 3
    chunks = (*((1,) * n for n in source.shape[:leading]), plan.rows, plan.columns, (source.shape[-1],))
    y, x = leading, leading + 1
    depth = {axis: plan.halo_px if axis in (y, x) and len(chunks[axis]) > 1 else 0 for axis in range(source.ndim)}
    read = overlap(source.rechunk(chunks), depth=depth, boundary="none", allow_rechunk=False)
    return da.map_blocks(
        function,
        read,
        # One task that all tiles refer to: a cluster sends the networks once to each worker, not with every tile.
        passes=delayed(_passes(models, plan), pure=True, traverse=False),
        plan=plan,
        depth=(depth[y], depth[x]),
        counts=(len(plan.rows), len(plan.columns)),
        chunks=(*chunks[:-1], (plan.result_channels,)),
        dtype=plan.result_dtype,
        meta=np.empty((0,) * source.ndim, plan.result_dtype),
    )


def _passes(models: Sequence[Model], plan: Plan) -> Passes:
    return passes_of(
        models,
        plan.engine,
        plan.device,
        plan.precision,
        way=plan.way,
        stride=plan.stride,
        number=plan.passes,
        seed=plan.seed,
    )


def _restore_once(block: Array, *, passes: Passes, plan: Plan, block_info: Any = None, **place: Any) -> Array:
    """Restore the plane of one block with its halo, and crop the halo off."""
    tile = _once(block.reshape(block.shape[-3:]), _kept(block, block_info, **place), passes, plan)
    return tile.reshape(*block.shape[:-3], *tile.shape)


def _restore_several(
    block: Array, *, passes: Passes, plan: Plan, block_info: Any = None, **place: Any
) -> tuple[Array, Array]:
    """Return mean and spread over the passes of one block, the halo cropped off."""
    leading = block.shape[:-3]
    mean, spread = _mean_and_spread(block.reshape(block.shape[-3:]), _kept(block, block_info, **place), passes, plan)
    return mean.reshape(*leading, *mean.shape), spread.reshape(*leading, *spread.shape, 1)


def _kept(block: Array, block_info: Any, depth: tuple[int, int], counts: tuple[int, int]) -> tuple[slice, slice]:
    """Return the rows and columns of a block that are not halo."""
    where = block_info[0]["chunk-location"][-3:-1]
    rows, columns = (
        slice(halo if place > 0 else 0, size - (halo if place < count - 1 else 0))
        for place, count, halo, size in zip(where, counts, depth, block.shape[-3:-1], strict=True)
    )
    return rows, columns


def _once(plane: Array, kept: tuple[slice, ...], passes: Passes, plan: Plan) -> Array:
    """Return what a model makes of a plane (Y, X, channels), of it what is kept."""
    (estimate,) = _estimates(plane, passes, plan)
    return _like(estimate, plane, plan)[kept]


def _mean_and_spread(plane: Array, kept: tuple[slice, ...], passes: Passes, plan: Plan) -> tuple[Array, Array]:
    """Return mean (Y, X, channels) and spread (Y, X) of several passes over a plane, of it what is kept."""
    mean, spread = mean_and_spread(_estimates(plane, passes, plan))
    if plane.dtype.kind == "f":
        spread[~np.isfinite(plane).all(axis=-1)] = np.nan
    return _like(mean, plane, plan)[kept], spread[kept]


def _estimates(plane: Array, passes: Passes, plan: Plan) -> Iterator[Array]:
    """Yield what each pass makes of a plane (Y, X, channels): float32 grey levels, (Y, X, result channels but alpha).

    A grey plane is given to all colours of a network of colours, whose mean is taken.
    """
    low, high = plan.intensity
    gain = (high - low) / 2
    made_low, made_high = plan.result_intensity
    made_gain = (made_high - made_low) / 2
    alike = plane.shape[-1] == 1 < plan.channels
    known = (np.repeat(plane, plan.channels, -1) if alike else plane[..., : plan.channels]).astype(np.float32)
    if plane.dtype.kind == "f":
        known[~np.isfinite(known)] = plan.fill
    # In place: on small images as much time goes into copies as into the network.
    known -= np.float32(low + gain)
    known /= np.float32(gain)
    for run in passes:
        output = run(known) * np.float32(made_gain)
        output += np.float32(made_low + made_gain)
        yield output.mean(axis=-1, keepdims=True) if alike else output


def _like(output: Array, plane: Array, plan: Plan) -> Array:
    """Return grey levels in the type of the result, the alpha of a plane beside them; what was missing is NaN."""
    dtype = np.dtype(plan.result_dtype)
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        output = output if dtype.itemsize <= 2 else output.astype(np.float64)  # float32 cannot hold its limits
        np.rint(output, out=output)
        np.clip(output, info.min, info.max, out=output)
    result = output.astype(dtype)
    if plan.colours == "rgb + alpha" and result.shape[-1] < plan.result_channels:
        result = np.concatenate([result, plane[..., 3:]], axis=-1)
    if plane.dtype.kind == "f":
        known = np.isfinite(plane)
        result[~known if known.shape == result.shape else ~known.all(axis=-1)] = np.nan
    return result


def _check_plan(plan: Plan, stack: ImageStack, models: Sequence[Model]) -> None:
    if plan.weights_sha256 != ", ".join(model.card.weights_sha256 for model in models):
        names = ", ".join(model.card.name for model in models)
        raise ValueError(f"the plan was made for model {plan.model!r}, not for {names!r}: make a new plan")
    if (plan.axes, plan.shape, plan.dtype) != (stack.axes, tuple(stack.data.shape), str(stack.data.dtype)):
        raise ValueError(
            f"the plan was made for {plan.axes} {plan.shape} {plan.dtype}, the image is {stack.axes} "
            f"{tuple(stack.data.shape)} {stack.data.dtype}: make a new plan"
        )
