"""Power by spatial frequency."""

from __future__ import annotations

import numpy as np
from scipy import fft

from napari_cellrestore.metrics.images import Array, Image, check_layout, mean_of, pair
from napari_cellrestore.metrics.levels import difference_map


def spectral_ratio(reference: Image, image: Image, pixel_um: float | None = None) -> tuple[Array, Array]:
    """Return how much power an image has of the reference's, for each spatial frequency.

    ``|F(Yhat)|^2 / |F(Y)|^2``, each summed over rings of one frequency step and over colours, of the images less
    their mean under a Hann window. 1 up to some frequency and less above tells up to where resolution was restored;
    more than 1 is amplified noise or invented structure.

    Returns
    -------
    frequency : (R,) array
        From one period over the shorter side to Nyquist, in cycles per micrometre; without ``pixel_um`` per pixel.
    ratio : (R,) array
        NaN where the reference has no power.

    Examples
    --------
    >>> texture = np.random.default_rng(0).normal(size=(64, 64))
    >>> frequency, ratio = spectral_ratio(texture, texture / 2, pixel_um=0.1)
    >>> len(frequency), round(float(frequency[-1]), 3), np.unique(ratio.round(6))
    (32, 5.0, array([0.25]))
    """
    reference, image = pair(reference, image)
    return _ring_ratio(reference, image, reference, pixel_um)


def spectral_error(reference: Image, image: Image, pixel_um: float | None = None) -> tuple[Array, Array]:
    """Return the power of the error over that of the reference, ``|F(Yhat - Y)|^2 / |F(Y)|^2``, by frequency.

    As :func:`spectral_ratio`, but structure of the right power in the wrong place counts as error: 0 is right, 1 is no
    better than a blank.
    """
    reference, image = pair(reference, image)
    return _ring_ratio(reference, difference_map(reference, image), reference, pixel_um)


def _ring_ratio(reference: Array, above: Array, below: Array, pixel_um: float | None) -> tuple[Array, Array]:
    if pixel_um is not None and not (np.isfinite(pixel_um) and pixel_um > 0):
        raise ValueError(
            f"pixel_um is {pixel_um}: give the size of a pixel in micrometres, or None for cycles per pixel"
        )
    check_layout(reference, 4, "a spectrum")
    shorter = min(reference.shape[:2])
    power_above, power_below = _ring_power(above), _ring_power(below)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(power_below > 0, power_above / power_below, np.nan)
    return np.arange(1, shorter // 2 + 1) / (shorter * (1.0 if pixel_um is None else pixel_um)), ratio


def _ring_power(image: Array) -> Array:
    """Return the power of an image in rings of frequency, without frequency 0."""
    rows, columns = image.shape[:2]
    shorter = min(rows, columns)
    colours = image.reshape(rows, columns, -1).astype(np.float64)
    mean_of(colours)  # refuses what is not finite
    window = np.hanning(rows + 2)[1:-1, None, None] * np.hanning(columns + 2)[1:-1, None]
    spectrum = fft.fft2((colours - colours.mean(axis=(0, 1))) * window, axes=(0, 1))
    power = np.square(np.abs(spectrum)).sum(axis=-1)
    ring = np.rint(shorter * np.hypot(fft.fftfreq(rows)[:, None], fft.fftfreq(columns))).astype(int)
    return np.bincount(ring.ravel(), power.ravel(), minlength=shorter)[1 : shorter // 2 + 1]
