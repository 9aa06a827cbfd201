"""Differences of grey levels."""

from __future__ import annotations

import numpy as np

from napari_cellrestore.metrics.images import Array, DataRange, Image, difference, mean_of, peak_level


def mse(reference: Image, image: Image, *, data_range: DataRange = None, mask: Array | None = None) -> float:
    """Mean squared error ``mean[(Y - Yhat)^2]`` over pixels and colours, in grey levels squared.

    Olofsson & Wagnström 2019, section 5.1.

    Examples
    --------
    >>> mse([[0, 0], [0, 0]], [[1, 1], [1, 3]])
    3.0
    """
    return mean_of(np.square(difference(reference, image)), mask)


def mae(reference: Image, image: Image, *, data_range: DataRange = None, mask: Array | None = None) -> float:
    """Mean absolute error ``mean|Y - Yhat|`` over pixels and colours, in grey levels.

    Examples
    --------
    >>> mae([[0, 0], [0, 0]], [[1, 1], [1, -3]])
    1.5
    """
    return mean_of(np.abs(difference(reference, image)), mask)


def psnr(
    reference: Image,
    image: Image,
    *,
    data_range: DataRange = None,
    mask: Array | None = None,
    cap: float | None = None,
) -> float:
    """Peak signal-to-noise ratio ``10 log10(data_range^2 / MSE)`` in dB; ``inf`` for identical images.

    Olofsson & Wagnström 2019 (section 5.2) take the maximum of the reference, ``data_range="reference"``, and print 50
    for identical images, ``cap=50``; Werth & Matlock 2018 (equation 19) take 4096 for 12 bit, and leave out the 10.

    Examples
    --------
    >>> black, grey = np.zeros((2, 2), np.uint8), np.full((2, 2), 51)
    >>> round(psnr(black, grey), 4), psnr(black, black), psnr(black, black, cap=50)
    (13.9794, inf, 50.0)
    """
    peak = peak_level(reference, data_range)
    error = mse(reference, image, mask=mask)
    value = float(10 * np.log10(peak**2 / error)) if error else np.inf
    return value if cap is None else min(value, float(cap))


def difference_map(reference: Image, image: Image) -> Array:
    """Return ``image - reference``, signed, float32, in grey levels.

    Examples
    --------
    >>> difference_map(np.full((1, 2), 200, np.uint8), np.array([[10, 255]], np.uint8)).tolist()
    [[-190.0, 55.0]]
    """
    return difference(reference, image).astype(np.float32, copy=False)
