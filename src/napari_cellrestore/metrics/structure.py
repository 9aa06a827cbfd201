"""Structural similarity."""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from skimage.metrics import structural_similarity

from napari_cellrestore.metrics.images import (
    Array,
    DataRange,
    Image,
    check_layout,
    inside_of,
    masked,
    mean_of,
    pair,
    peak_level,
)

SSIM_WINDOW_PX = 7


def ssim(reference: Image, image: Image, *, data_range: DataRange = None, mask: Array | None = None) -> float:
    """Structural similarity in windows of 7 x 7 px (scikit-image), averaged over positions and colours; 1 is identical.

    Windows that reach over the border are not counted; those that reach over the edge of a mask are.
    Wang et al. 2004, IEEE Trans. Image Process. 13:600.

    Examples
    --------
    >>> x = np.arange(256).reshape(16, 16)
    >>> ssim(x, x, data_range=255), round(ssim(x, 255 - x, data_range=255), 2)
    (1.0, -0.74)
    """
    border = SSIM_WINDOW_PX // 2
    inside = (slice(border, -border), slice(border, -border))
    return mean_of(_ssim(reference, image, data_range)[inside], inside_of(mask, reference, inside))


def ssim_map(reference: Image, image: Image, *, data_range: DataRange = None) -> Array:
    """Return the structural similarity around each pixel, (Y, X) float32, averaged over colours.

    Near the border the images are mirrored. :func:`ssim` is the mean of this map without its outer 3 px.
    """
    values = _ssim(reference, image, data_range).astype(np.float32)
    return values if values.ndim == 2 else values.mean(axis=-1)


def _ssim(reference: Image, image: Image, data_range: DataRange) -> Array:
    peak = peak_level(reference, data_range)
    reference, image = pair(reference, image)
    check_layout(reference, SSIM_WINDOW_PX, "SSIM")
    bad = ~(np.isfinite(reference) & np.isfinite(image))
    if bad.any():  # which the running sums of scikit-image would carry far beyond their windows
        reference, image = np.where(bad, 0, reference), np.where(bad, 0, image)
    # The variance is a difference of mean squares: float32 will do only for levels of the order of data_range.
    narrow = all(part.dtype.itemsize <= 4 and np.abs(part).max() <= 2 * peak for part in (reference, image))
    float_type = np.result_type(reference, image, np.float32 if narrow else np.float64)
    _, values = structural_similarity(
        reference.astype(float_type, copy=False),
        image.astype(float_type, copy=False),
        win_size=SSIM_WINDOW_PX,
        data_range=peak,
        channel_axis=-1 if reference.ndim == 3 else None,
        full=True,
    )
    if bad.any():
        size = (SSIM_WINDOW_PX, SSIM_WINDOW_PX, 1)[: bad.ndim]
        values[ndimage.maximum_filter(bad, size)] = np.nan
    return np.asarray(values)


def ssim_global(reference: Image, image: Image, *, data_range: DataRange = None, mask: Array | None = None) -> float:
    """Structural similarity with the whole image (all pixels and colours) as one window; 1 is identical.

    ``(2 mu mu' + c1)(2 cov + c2) / ((mu^2 + mu'^2 + c1)(var + var' + c2))`` with ``c1 = (0.01 L)^2``,
    ``c2 = (0.03 L)^2`` (Olofsson & Wagnström 2019, section 5.3). It compares mean, contrast and correlation of the
    images, not their structure place by place.

    Examples
    --------
    >>> x = np.arange(256).reshape(16, 16)
    >>> round(ssim_global(x, 255 - x, data_range=255), 3)
    -0.989
    """
    peak = peak_level(reference, data_range)
    reference, image = (masked(part, mask).astype(np.float64) for part in pair(reference, image))
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    mean_y, mean_x = mean_of(reference), mean_of(image)
    covariance = mean_of((reference - mean_y) * (image - mean_x))
    return float(
        (2 * mean_y * mean_x + c1)
        * (2 * covariance + c2)
        / ((mean_y**2 + mean_x**2 + c1) * (reference.var() + image.var() + c2))
    )
