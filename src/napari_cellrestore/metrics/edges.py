"""Edges and noise."""

from __future__ import annotations

import numpy as np

from napari_cellrestore.metrics.images import Array, DataRange, Image, check_layout, masked, mean_of, numbers, pair
from napari_cellrestore.metrics.levels import mse


def gradient_magnitude(image: Image) -> Array:
    """Return the Sobel gradient ``MG = sqrt(Gx^2 + Gy^2)`` of each pixel and colour, in the shape of the image.

    Kernels ``[1 2 1]^T [1 0 -1]`` without normalisation, as Bon (section 2.1.2) prints them, so a ramp of 1 per px has
    MG 8; at the border the image is mirrored. float32 (float64 of float64).

    Examples
    --------
    >>> float(gradient_magnitude(np.arange(5.0) + np.zeros((5, 1)))[2, 2])
    8.0
    """
    values = numbers(image)
    check_layout(values, 2, "a gradient")
    values = values.astype(np.result_type(values, np.float32), copy=False)
    beyond = np.pad(values, [(1, 1), (1, 1), *[(0, 0)] * (values.ndim - 2)], mode="symmetric")
    smooth_x = beyond[:, :-2] + 2 * beyond[:, 1:-1] + beyond[:, 2:]
    smooth_y = beyond[:-2] + 2 * beyond[1:-1] + beyond[2:]
    # sums of slices: four times as fast as correlations, and no smoothing across colours
    squares = np.square(smooth_x[2:] - smooth_x[:-2])
    squares += np.square(smooth_y[:, 2:] - smooth_y[:, :-2])
    return np.asarray(np.sqrt(squares, out=squares))


def sharpness(image: Image, *, data_range: DataRange = None, mask: Array | None = None) -> float:
    """Mean of :func:`gradient_magnitude`, in grey levels. Noise raises it: compare images of equal noise only.

    Bon, section 2.1.2 (whose text says sum, and formula mean).
    """
    return mean_of(gradient_magnitude(image), mask)


def msemg(reference: Image, image: Image, *, data_range: DataRange = None, mask: Array | None = None) -> float:
    """Mean squared error of the gradient magnitudes, ``MSE(MG(Y), MG(Yhat))``: do the edges agree (Bon, 2.1.2)."""
    reference, image = pair(reference, image)
    return mse(gradient_magnitude(reference), gradient_magnitude(image), mask=mask)


def gradient_map(reference: Image, image: Image) -> Array:
    """Return where edges differ, ``MG(Yhat) - MG(Y)``, signed, in grey levels: above 0 they are stronger than they were.

    ``MG`` is :func:`gradient_magnitude`; (Y, X) float32, averaged over colours as in :func:`msemg`. Noise has a gradient
    too, and raises it.

    Examples
    --------
    >>> ramp = np.arange(5.0) + np.zeros((5, 1))
    >>> float(gradient_map(ramp, 0.5 * ramp)[2, 2])
    -4.0
    """
    reference, image = pair(reference, image)
    values = gradient_magnitude(image) - gradient_magnitude(reference)
    return np.asarray(values if values.ndim == 2 else values.mean(axis=-1), np.float32)


def cv(image: Image, *, data_range: DataRange = None, mask: Array | None = None) -> float:
    """Coefficient of variation, standard deviation over mean (Bon, section 2.1.2).

    Noise raises it, and so does contrast: on a flat part of the image it is the relative noise.

    Examples
    --------
    >>> cv([[1, 3], [1, 3]])
    0.5
    """
    values = masked(numbers(image), mask)
    mean = mean_of(values)
    if mean == 0:
        raise ValueError("the image has mean 0: the coefficient of variation std / mean does not exist")
    return float(np.std(values, dtype=np.float64)) / mean
