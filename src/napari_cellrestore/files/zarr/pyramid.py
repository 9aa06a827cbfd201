"""Smaller copies of an image, each half as large as the one before, made of its tiles."""

from __future__ import annotations

from itertools import product
from typing import Any

import dask.array as da
import numpy as np
import numpy.typing as npt
import zarr

#: The coarsest copy fits a square of this side.
SMALL_PX = 1024


def n_levels(yx_shape: tuple[int, int]) -> int:
    """Return how many levels an image has, with itself.

    >>> n_levels((40_000, 3000)), n_levels((1024, 5))
    (7, 1)
    """
    return 1 + max(0, (-(-max(yx_shape) // SMALL_PX) - 1).bit_length())


def halved(array: zarr.Array[Any]) -> da.Array:
    """Return an array at half its size along its last two axes, lazily: a block of it is made of two by two tiles.

    Each pixel is the mean of up to four, of integers rounded to the nearest, halves to even.
    """
    blocks = [*array.chunks[:-2], *(2 * tile for tile in array.chunks[-2:])]
    nothing = np.empty((0,) * array.ndim, array.dtype)
    data = da.from_array(array, chunks=blocks, name=False, meta=nothing)
    chunks = (*data.chunks[:-2], *(tuple(-(-n // 2) for n in sizes) for sizes in data.chunks[-2:]))
    return da.map_blocks(means, data, dtype=array.dtype, chunks=chunks, meta=nothing)


def means(block: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the means of two by two neighbours along the last two axes; an odd last one stands alone.

    >>> means(np.array([[1, 2, 9], [3, 4, 9], [0, 1, 5]], np.uint8)).tolist()
    [[2, 9], [0, 5]]
    """
    odd = [(0, 0)] * (block.ndim - 2) + [(0, n % 2) for n in block.shape[-2:]]
    block = np.pad(block, odd, mode="edge") if np.any(odd) else block
    mean = np.zeros((*block.shape[:-2], block.shape[-2] // 2, block.shape[-1] // 2))
    for row, column in product((0, 1), (0, 1)):
        mean += np.multiply(block[..., row::2, column::2], 0.25, dtype=np.float64)
    if block.dtype.kind in "biu":
        np.rint(mean, out=mean)
    return mean.astype(block.dtype)
