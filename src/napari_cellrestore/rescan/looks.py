"""What scans are turned into before they are compared, and how one is put on the pixels of the other.

Without a stain a cell is bright or dark by its refraction, with it by absorption: grey levels of the two have little to do
with each other, edges are at the same places.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.feature import canny

from napari_cellrestore.focus import green
from napari_cellrestore.rescan.similarity import Similarity

Array = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

#: Width of the Gaussian that edges are found at and blurred by.
EDGE_UM = 0.5
#: Width of the Gaussian that steepness is measured at.
STEEP_UM = 0.25
#: Part of the pixels whose gradient is below the two thresholds of Canny: edges do not depend on how bright a scan is.
CANNY_QUANTILES = (0.80, 0.90)
#: Gaussian of 9 x 9 and Laplacian of 7 x 7 pixels as one width in pixels: 1.7 of the one, 1.2 of the other.
LOG_PX = 2.1
#: Part of the grey levels that may lie beyond 0 and beyond 1 at either end.
_BEYOND_PERCENT = 0.5


def grey(image: npt.ArrayLike) -> Array:
    """Return green of colours, or the only channel, as float32."""
    return green(image).astype(np.float32)


def spread(image: npt.ArrayLike) -> Array:
    """Return grey levels with all but 0.5 % at either end between 0 and 1; constant images become 0.

    >>> spread(np.arange(201.0).reshape(3, 67))[1, 33].item()
    0.5
    """
    levels = np.asarray(image, np.float32)
    low, high = np.percentile(levels, (_BEYOND_PERCENT, 100 - _BEYOND_PERCENT))
    return np.asarray((levels - low) / ((high - low) or 1), np.float32)


def find_edges(image: npt.ArrayLike, pixel_um: float, quantiles: tuple[float, float] = CANNY_QUANTILES) -> Mask:
    """Return the edges of Canny 1986 (IEEE Trans. Pattern Anal. Mach. Intell. 8:679), at :data:`EDGE_UM`.

    ``quantiles`` are the parts of the pixels whose gradient is below the two thresholds.
    """
    low, high = quantiles
    sigma_px = max(EDGE_UM / pixel_um, 1.0)
    return np.asarray(canny(grey(image), sigma_px, low_threshold=low, high_threshold=high, use_quantiles=True))


def canny_edges(image: npt.ArrayLike, pixel_um: float) -> Array:
    """Return :func:`find_edges` blurred, so that they bear an error; Wulff 2022 (3.1.3) correlates them as they are."""
    edges = find_edges(image, pixel_um).astype(np.float32)
    return np.asarray(ndimage.gaussian_filter(edges, max(EDGE_UM / pixel_um, 1.0)))


def steepness(image: npt.ArrayLike, pixel_um: float) -> Array:
    """Return how steep grey levels are at :data:`STEEP_UM`: the root of the size of their gradient.

    High at the rims of cells, whichever side is bright. A stained nucleus is ten times as steep as the rim of an
    unstained cell; the root brings them nearer. Laplacians, also high there, have several rings about a rim out of
    focus, and a fit locked to the wrong one.
    """
    sigma_px = max(STEEP_UM / pixel_um, 0.7)
    return np.sqrt(ndimage.gaussian_gradient_magnitude(grey(image), sigma_px))


def accentuated(image: npt.ArrayLike) -> Array:
    """Return grey levels minus their Laplacian of Gaussian: edges as dark and bright rims (Wulff 2022, section 3.1.3).

    ``g - s^2 LoG(g)`` with :data:`LOG_PX` as width ``s``; the source gives the sizes of its two filters, 9 x 9 and 7 x 7
    pixels, and no factor, so that of one scale is taken (Lindeberg 1998, Int. J. Comput. Vis. 30:79).
    """
    levels = grey(image)
    return np.asarray(levels - LOG_PX**2 * ndimage.gaussian_laplace(levels, LOG_PX))


Look = Callable[[npt.ArrayLike, float], Array]


def _levels(image: npt.ArrayLike, pixel_um: float) -> Array:
    return spread(grey(image))


def _inverted(image: npt.ArrayLike, pixel_um: float) -> Array:
    return 1 - spread(grey(image))


def _edges(image: npt.ArrayLike, pixel_um: float) -> Array:
    return spread(steepness(image, pixel_um))


#: What the unstained and the stained scan are turned into, each with its pixel size, before SSIM compares them.
#: "grey" is the way of Wulff 2022; "inverted" is for unstained cells brighter than the background.
LOOKS: dict[str, tuple[Look, Look]] = {
    "edges": (_edges, _edges),
    "grey": (_levels, _levels),
    "inverted": (_inverted, _levels),
}


def resample(
    image: npt.ArrayLike,
    pixel_um: float,
    place: Similarity,
    to_pixel_um: float,
    to_shape: tuple[int, int],
    *,
    order: Literal[1, 3] = 1,
    outside: float = np.nan,
) -> Array:
    """Return an image on the pixels of another scan, blurred first where those are coarser.

    Parameters
    ----------
    image : (Y, X) or (Y, X, C) array
    pixel_um, to_pixel_um : float
        Pixel sizes of the image and of the result.
    place : Similarity
        Where micrometres of the image lie among those of the other scan; the first pixel's centre is 0 in both.
    to_shape : (int, int)
        Rows and columns of the result.
    order : int
        Of the spline: 1 is linear, 3 cubic.
    outside : float
        Value of pixels that the image does not show.

    Examples
    --------
    >>> steps = np.arange(12.0).repeat(12).reshape(12, 12)
    >>> resample(steps, 0.5, Similarity(shift_um=(-1, 0)), 0.5, (3, 1))[:, 0].tolist()
    [2.0, 3.0, 4.0]
    """
    levels = np.asarray(image, np.float32)
    if levels.ndim == 3:
        layers = [
            resample(layer, pixel_um, place, to_pixel_um, to_shape, order=order, outside=outside)
            for layer in np.moveaxis(levels, -1, 0)
        ]
        return np.stack(layers, axis=-1)
    back = place.inverse()
    coarser = to_pixel_um * back.scale / pixel_um
    if coarser > 1.05:  # as scikit-image resizes
        levels = ndimage.gaussian_filter(levels, (coarser - 1) / 2, mode="nearest")
    matrix = back.matrix * to_pixel_um / pixel_um
    offset = np.asarray(back.shift_um) / pixel_um
    moved = ndimage.affine_transform(levels, matrix, offset, to_shape, order=order, mode="constant", cval=outside)
    return np.asarray(moved)
