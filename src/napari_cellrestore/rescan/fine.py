"""Where one cell of the stained scan lies in the unstained one: structural similarity at every shift by a few pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_cellrestore.rescan.correlation import vertex

Array = npt.NDArray[np.float64]

#: How far a cell is looked for in every direction (Wulff 2022, section 3.1.3).
REACH_PX = 5
#: Window and constants of structural similarity (Wang et al. 2004, IEEE Trans. Image Process. 13:600), as in scikit-image.
WINDOW_PX, K1, K2 = 7, 0.01, 0.03


@dataclass(frozen=True)
class FineMatch:
    """Where a cell lies.

    Attributes
    ----------
    shift_px : (float, float)
        By how much the stained crop has to be moved down and right.
    ssim : float
        Structural similarity there.
    at_edge : bool
        Whether that is the edge of what was looked at, so that the best place may lie beyond.
    """

    shift_px: tuple[float, float]
    ssim: float
    at_edge: bool


def ssim_shifts(wide: npt.ArrayLike, crop: npt.ArrayLike) -> Array:
    """Return the structural similarity of a crop and a wider image, for every shift by whole pixels.

    Parameters
    ----------
    wide : (Y + 2 R, X + 2 R) array
        Levels between about 0 and 1: the constants are those of a data range of 1.
    crop : (Y, X) array
        The same.

    Returns
    -------
    (2 R + 1, 2 R + 1) array
        The middle is for no shift; ``[R + dy, R + dx]`` for the crop moved by ``dy`` down and ``dx`` right.

    Examples
    --------
    >>> scene = np.random.default_rng(0).random((40, 40))
    >>> likeness = ssim_shifts(scene, scene[7:37, 3:33])
    >>> [int(k) - 5 for k in np.unravel_index(likeness.argmax(), likeness.shape)], likeness.max().round(6).item()
    ([2, -2], 1.0)
    """
    ours, theirs = np.asarray(wide, float), np.asarray(crop, float)
    reach = [a - b for a, b in zip(ours.shape, theirs.shape, strict=True)]
    if len(set(reach)) > 1 or reach[0] < 0 or reach[0] % 2 or min(theirs.shape) < WINDOW_PX:
        raise ValueError(
            f"a crop of {theirs.shape} px in {ours.shape} px: the wide image has as many pixels more on every side, and the "
            f"crop {WINDOW_PX} or more"
        )
    mean1, var1 = _moments(ours)
    mean2, var2 = _moments(theirs)
    n = WINDOW_PX**2
    inner = slice(WINDOW_PX // 2, -(WINDOW_PX // 2))  # windows that lie within the crop, as in scikit-image
    likeness = np.empty((reach[0] + 1,) * 2)
    for dy, dx in np.ndindex(likeness.shape):
        here = slice(dy, dy + theirs.shape[0]), slice(dx, dx + theirs.shape[1])
        product = ndimage.uniform_filter(ours[here] * theirs, WINDOW_PX)[inner, inner]
        a, b = mean1[here][inner, inner], mean2[inner, inner]
        va, vb = var1[here][inner, inner], var2[inner, inner]
        covariance = (product - a * b) * n / (n - 1)
        ssim = (2 * a * b + K1**2) * (2 * covariance + K2**2) / ((a * a + b * b + K1**2) * (va + vb + K2**2))
        likeness[dy, dx] = ssim.mean()
    return likeness


def _moments(image: Array) -> tuple[Array, Array]:
    mean = ndimage.uniform_filter(image, WINDOW_PX)
    n = WINDOW_PX**2
    return mean, (ndimage.uniform_filter(image * image, WINDOW_PX) - mean * mean) * n / (n - 1)


def match_cell(wide: npt.ArrayLike, crop: npt.ArrayLike, *, subpixel: bool = False) -> FineMatch:
    """Find a stained crop in the part of the unstained scan around it (Wulff 2022, section 3.1.3).

    Both were turned into the same look (:data:`~napari_cellrestore.rescan.looks.LOOKS`); see :func:`ssim_shifts`.

    Parameters
    ----------
    wide, crop : arrays
        As for :func:`ssim_shifts`.
    subpixel : bool
        Parts of a pixel too, by parabolas through the best place and its neighbours.

    Examples
    --------
    >>> scene = ndimage.gaussian_filter(np.random.default_rng(0).random((40, 40)), 1)
    >>> match_cell(scene, scene[7:37, 3:33]).shift_px
    (2.0, -2.0)
    """
    likeness = ssim_shifts(wide, crop)
    peak = np.unravel_index(int(likeness.argmax()), likeness.shape)
    reach = likeness.shape[0] // 2
    dy, dx = (int(at) - reach + (vertex(likeness, peak, axis) if subpixel else 0.0) for axis, at in enumerate(peak))
    return FineMatch((dy, dx), float(likeness[peak]), bool(max(abs(dy), abs(dx)) > reach - 0.6))
