"""One image on the pixels of another, and the rectangle that both show."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_cellrestore.transfer.placement import Placement
from napari_cellrestore.transfer.planes import Levels

Roi = tuple[slice, slice]

#: Rows that the search for the largest rectangle looks at; of taller images not every one.
_MOST_ROWS = 1000


def warped(
    pixels: npt.ArrayLike,
    place: Placement,
    shape: tuple[int, int],
    *,
    order: Literal[1, 3] = 3,
    mode: Literal["constant", "nearest"] = "constant",
) -> Levels:
    """Return an image on the pixels of another, float32; NaN where it shows nothing.

    Where the other pixels are coarser it is blurred first, by a Gaussian of ``(f - 1) / 2`` px for pixels ``f`` times as
    large, as scikit-image resizes.

    Parameters
    ----------
    pixels : (Y, X) or (Y, X, C) array
    place : Placement
        Where it lies in the other image.
    shape : (int, int)
        Rows and columns of the other image.
    order : int
        Of the spline: 1 is linear, 3 cubic.
    mode : str
        ``"nearest"`` repeats the outermost pixels instead of NaN; for parts that lie within :func:`common_rectangle`,
        whose edge may fall a rounding error outside.
    """
    levels = np.asarray(pixels, np.float32)
    if levels.ndim == 3:
        colours = [warped(one, place, shape, order=order, mode=mode) for one in np.moveaxis(levels, -1, 0)]
        return np.stack(colours, axis=-1)
    if sigma := _blur_px(place):
        levels = ndimage.gaussian_filter(levels, sigma, mode="nearest")
    back = place.inverse()
    moved = ndimage.affine_transform(levels, back.matrix, back.shift_px, shape, order=order, mode=mode, cval=np.nan)
    return np.asarray(moved, np.float32)


def common_rectangle(shape: tuple[int, int], place: Placement, other_shape: tuple[int, int]) -> Roi | None:
    """Return the rows and columns of the other image that lie whole in an image put at its place; None without any.

    The largest rectangle by area: what an affine map makes of an image is convex, so the columns shown in the rows from
    ``a`` to ``b`` are those shown in both ``a`` and ``b``. Pixels near the edge that a blur would fill in are left out.

    Examples
    --------
    >>> moved = Placement(np.eye(2), np.array([3.0, -2.0]))
    >>> common_rectangle((10, 10), moved, (10, 10))
    (slice(3, 10, None), slice(0, 8, None))
    """
    back, margin = place.inverse(), 2 * _blur_px(place)
    rows = np.arange(0, other_shape[0], max(1, -(-other_shape[0] // _MOST_ROWS)))
    left, right = _shown_columns(rows, back, shape, margin, other_shape[1])
    first, last = np.maximum(left[:, None], left), np.minimum(right[:, None], right)
    tall = rows - rows[:, None] + 1
    area = np.where(tall > 0, tall * np.maximum(last - first + 1, 0), 0)
    a, b = np.unravel_index(int(area.argmax()), area.shape)
    if area[a, b] <= 0:
        return None
    return slice(int(rows[a]), int(rows[b]) + 1), slice(int(first[a, b]), int(last[a, b]) + 1)


def _shown_columns(
    rows: npt.NDArray[np.int64], back: Placement, shape: tuple[int, int], margin: float, n_columns: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the first and the last column of each row whose pixel lies in an image; the last below the first if none."""
    low, high = np.zeros(len(rows)), np.full(len(rows), n_columns - 1.0)
    start = rows[:, None] * back.matrix[:, 0] + back.shift_px  # of column 0, (y, x) in the image
    for axis in (0, 1):
        step, least, most = back.matrix[axis, 1], margin - 1e-9, shape[axis] - 1 - margin + 1e-9
        if abs(step) < 1e-12:
            never = (start[:, axis] < least) | (start[:, axis] > most)
            high[never] = -np.inf
            continue
        ends = np.sort(np.stack([(least - start[:, axis]) / step, (most - start[:, axis]) / step]), axis=0)
        low, high = np.maximum(low, ends[0]), np.minimum(high, ends[1])
    return np.ceil(np.minimum(low, n_columns)).astype(np.int64), np.floor(np.maximum(high, -1)).astype(np.int64)


def _blur_px(place: Placement) -> float:
    coarser = 1 / place.scale
    return (coarser - 1) / 2 if coarser > 1.05 else 0.0
