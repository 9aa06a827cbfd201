"""Tiles of an OME-Zarr, written one by one so that writing can go on where it was broken off.

A block of the dask array covers whole tiles, and nobody else writes these. A tile is whole when its file is there and its
checksum fits: zarr writes a file under another name first, and what a full disk or a lost power supply left is found out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import accumulate, product
from math import isqrt, prod
from typing import Any
from uuid import uuid4

import dask
import dask.array as da
import numpy as np
import numpy.typing as npt
import zarr
from zarr.codecs import ZstdCodec

#: Largest side of a tile that is made of larger blocks.
TILE_PX = 1024
#: Smaller blocks are put together.
LEAST_PX = 16
#: Blocks of so many bytes are computed together, in squares: what they share is read once, and neither the graph nor what is
#: held grows with the image.
TOGETHER_BYTES = 48 * 2**20

Place = tuple[int, ...]
Region = tuple[slice, ...]


def tiled(data: da.Array, letters: str) -> tuple[da.Array, tuple[int, ...]]:
    """Return an array whose blocks are made of whole tiles, and the size of a tile: the blocks themselves where that can be.

    >>> blocks = da.zeros((3, 1040, 600), chunks=(1, (512, 528), (512, 88)))
    >>> tiled(blocks, "ZYX")[1], tiled(blocks.rechunk((3, -1, 300)), "ZYX")[1]
    ((1, 512, 512), (1, 1024, 300))
    """
    irregular = {
        i: TILE_PX // 2
        for i, (letter, sizes) in enumerate(zip(letters, data.chunks, strict=True))
        if letter in "YX" and len(sizes) > 1 and (len(set(sizes[:-1])) > 1 or sizes[0] < LEAST_PX)
    }
    colours = {letters.index("S"): -1} if "S" in letters else {}
    data = data.rechunk(irregular | colours) if irregular or colours else data
    tile = []
    for letter, sizes in zip(letters, data.chunks, strict=True):
        divides = len(sizes) == 1 or sizes[0] % TILE_PX == 0
        side = TILE_PX if sizes[0] > TILE_PX and divides else sizes[0]
        tile.append(side if letter in "YX" else sizes[0] if letter == "S" else 1)
    return data, tuple(tile)


def create(group: zarr.Group, name: str, data: da.Array, tile: Sequence[int], names: Sequence[str]) -> zarr.Array[Any]:
    """Return the array of a level, the one that is there if it is of the same kind."""
    kind = (data.shape, tuple(tile), data.dtype.newbyteorder("="))
    there = group.get(name)
    if not isinstance(there, zarr.Array) or (there.shape, there.chunks, there.dtype) != kind:
        there = group.create_array(
            name,
            shape=data.shape,
            chunks=tuple(tile),
            dtype=kind[-1],
            compressors=ZstdCodec(level=1, checksum=True),
            dimension_names=names,
            overwrite=True,
        )
    return there.with_config({"write_empty_chunks": True})  # so that a tile of zeros is seen to be finished


class Blocks:
    """The blocks of a dask array as tiles of a zarr array of its shape."""

    def __init__(self, data: da.Array, array: zarr.Array[Any]) -> None:
        self.data, self.array = data, array
        self.starts = tuple(tuple(accumulate((0, *sizes[:-1]))) for sizes in data.chunks)
        block_bytes = data.dtype.itemsize * prod(sizes[0] for sizes in data.chunks)
        self.together = max(1, TOGETHER_BYTES // block_bytes)
        side = isqrt(self.together)
        every = product(*(range(n) for n in data.numblocks))
        self.places: list[Place] = sorted(every, key=lambda place: ([i // side for i in place], place))

    def unfinished(self) -> list[Place]:
        """Return the blocks of which not every tile is whole; tiles that are damaged are deleted."""
        with ThreadPoolExecutor() as pool:
            whole = list(pool.map(self._is_whole, self.places))
        return [place for place, there in zip(self.places, whole, strict=True) if not there]

    def write(self, places: Sequence[Place]) -> None:
        """Compute blocks and write each as soon as it is there."""
        function: Any = partial(_write, array=self.array, starts=self.starts)
        written = da.map_blocks(
            function,
            self.data,
            dtype=bool,
            chunks=tuple((1,) * n for n in self.data.numblocks),
            meta=np.empty((0,) * self.data.ndim, bool),
            name=f"tiles-{uuid4().hex}",
        ).to_delayed(optimize_graph=False)
        for first in range(0, len(places), self.together):
            dask.compute(*(written[place] for place in places[first : first + self.together]))

    def _is_whole(self, place: Place) -> bool:
        files = list(self._files(place))
        if not all(file.is_file() for file in files):
            return False
        try:
            self.array[self._region(place)]
        except Exception:  # damaged bytes can make a decoder raise anything
            for file in files:
                file.unlink()
            return False
        return True

    def _region(self, place: Place) -> Region:
        return tuple(
            slice(starts[i], starts[i] + sizes[i])
            for starts, sizes, i in zip(self.starts, self.data.chunks, place, strict=True)
        )

    def _files(self, place: Place) -> Iterator[Any]:
        """Yield the files of the tiles of a block."""
        store: Any = self.array.store
        tiles = zip(self._region(place), self.array.chunks, strict=True)
        for tile in product(*(range(part.start // side, -(-part.stop // side)) for part, side in tiles)):
            yield store.root / self.array.path / self.array.metadata.encode_chunk_key(tile)


def _write(
    block: npt.NDArray[Any], *, array: zarr.Array[Any], starts: Sequence[Sequence[int]], block_id: Place
) -> npt.NDArray[np.bool_]:
    where = (start[i] for start, i in zip(starts, block_id, strict=True))
    array[tuple(slice(first, first + n) for first, n in zip(where, block.shape, strict=True))] = block
    return np.ones((1,) * block.ndim, bool)
