"""Geometry of tiles: how an image is cut so that the pieces give what the whole would have given.

Each tile of the result is computed from a larger piece of the input, its halo, and cropped::

        start - halo      start            stop      stop + halo
             |   halo       |     tile      |     halo   |
             +--------------+===============+------------+      read
                            +===============+                   kept

Tiles begin at multiples of the network's stride (its strided layers are shift-equivariant by their stride only) and
the halo is a multiple of it. At the border of the image there is no halo: the network meets the same border there as
it does in the whole image.
"""

from __future__ import annotations

Edges = tuple[int, ...]


def tile_sizes(length: int, tile: int, *, stride: int, halo: int) -> Edges:
    """Cut a length into tiles and return their sizes.

    All but the last are ``tile`` rounded up to the stride; a rest shorter than the halo (or than two strides, which
    padding by reflection needs) is added to the last tile.

    Examples
    --------
    >>> tile_sizes(1200, 512, stride=16, halo=32)
    (512, 512, 176)
    >>> tile_sizes(1040, 512, stride=16, halo=32)
    (512, 528)
    """
    if length < 1 or tile < 1 or stride < 1 or halo < 0:
        raise ValueError(f"length {length}, tile {tile}, stride {stride}, halo {halo}: all must be positive")
    tile = max(round_up(tile, stride), round_up(halo, stride), 2 * stride)
    count, rest = divmod(length, tile)
    if count == 0:
        return (length,)
    if rest == 0:
        return (tile,) * count
    if rest < max(halo, 2 * stride):
        return (tile,) * (count - 1) + (tile + rest,)
    return (tile,) * count + (rest,)


def round_up(number: int, step: int) -> int:
    """Return the smallest multiple of ``step`` that is not below ``number``."""
    return -(-number // step) * step
