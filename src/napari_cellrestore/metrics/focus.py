"""How much of the reference's focus an image has."""

from __future__ import annotations

import numpy as np

from napari_cellrestore.focus import LAG_PX, second_differences
from napari_cellrestore.metrics.images import Array, DataRange, Image, inside_of, mean_of, pair


def focus_ratio(reference: Image, image: Image, *, data_range: DataRange = None, mask: Array | None = None) -> float:
    """Focus measure of the image over that of the reference, ``F(Yhat) / F(Y)``, on the green channel.

    1 is as sharp as the reference; above 1 there is structure (or noise) that the reference does not have.
    Olofsson & Wagnström 2019, section 5.4; ``F`` is :func:`napari_cellrestore.focus.focus_measure`.

    Examples
    --------
    >>> grating = np.sin(2 * np.pi * np.arange(60) / 12) + np.zeros((40, 1))
    >>> round(focus_ratio(grating, 0.5 * grating), 6)
    0.25
    """
    sharpness_y, sharpness_x = (
        mean_of(np.square(dx2) + np.square(dy2), inside_of(mask, part, _KERNEL_FITS))
        for part in pair(reference, image)
        for dx2, dy2 in [second_differences(part)]
    )
    if sharpness_y == 0:
        raise ValueError("the reference has focus measure 0 (no contrast in its green channel): no ratio to it exists")
    return sharpness_x / sharpness_y


def fpw(reference: Image, image: Image, *, data_range: DataRange = None, mask: Array | None = None) -> float:
    """Pixelwise difference of focus, the mean of :func:`fpw_map`; 0 is equally sharp everywhere.

    In grey levels squared. Olofsson & Wagnström 2019, section 5.5.

    Examples
    --------
    >>> parabola = np.arange(20.0) ** 2 + np.zeros((20, 1))  # its second difference is 72
    >>> fpw(parabola, 0 * parabola) == 72**2
    True
    """
    return mean_of(_fpw(reference, image), inside_of(mask, reference, _KERNEL_FITS))


def fpw_map(reference: Image, image: Image) -> Array:
    """Return where the focus of two images differs: ``|(wx*Y)^2 - (wx*Yhat)^2| + |(wy*Y)^2 - (wy*Yhat)^2|``.

    On the green channel; ``wx*``, ``wy*`` are :func:`napari_cellrestore.focus.second_differences`.

    Returns
    -------
    (Y, X) float32, in grey levels squared; NaN in the outer 6 px, where the kernels do not fit. Its ``nanmean`` is
    :func:`fpw`.
    """
    values = _fpw(reference, image)
    return np.pad(values.astype(np.float32, copy=False), LAG_PX, constant_values=np.nan)


_KERNEL_FITS = (slice(LAG_PX, -LAG_PX), slice(LAG_PX, -LAG_PX))


def _fpw(reference: Image, image: Image) -> Array:
    total: Array | float = 0.0
    for of_y, of_x in zip(*map(second_differences, pair(reference, image)), strict=True):
        total = total + np.abs(np.square(of_y) - np.square(of_x))
    return np.asarray(total)
