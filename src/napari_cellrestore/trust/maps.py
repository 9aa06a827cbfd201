"""Maps of doubt: what of the restored image contradicts the measured one, and what the measured one cannot tell."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import fft, ndimage

from napari_cellrestore.filters import blur, kernels_of, mirrored, transfer_of

Array = np.ndarray
Psf = Array | Sequence[Array]

#: Sizes of structures that are looked for in the residual (standard deviation of a Gaussian, pixels).
SIZES_PX = (1.5, 3.0, 6.0)


def consistency_map(blurred: npt.ArrayLike, restored: npt.ArrayLike, psf: Psf, noise_std: float | Array) -> Array:
    """Return how clearly the restored image contradicts the measured one, in units of the noise.

    The residual ``e = g - k * f`` is averaged over Gaussians of :data:`SIZES_PX` (each widened by the blur) and divided by
    the standard deviation that the noise has after the same averaging: ``z = (e * w) / (noise sqrt(sum w^2))``. The map is
    the largest ``|z|`` over sizes; of colours the root of the mean square. Where the restoration is right, one grey image
    exceeds 3 in about 0.9 % of its pixels.

    Parameters
    ----------
    blurred, restored : (Y, X) or (Y, X, C) array
        Measured image g and restored image f, in the same grey levels.
    psf : (y, x) array, or one for each colour
        Kernel k that leads from the restored image to the measured one, centred on ``(y // 2, x // 2)``; scaled to sum 1.
    noise_std : float or (Y, X) or (Y, X, C) array
        Standard deviation of the noise of a measured pixel, grey levels.

    Returns
    -------
    (Y, X) float32, not negative.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> scene = ndimage.gaussian_filter(rng.normal(size=(96, 96)), 2) * 100
    >>> kernel = np.ones((5, 5))
    >>> measured = blur(scene, psf=kernel) + rng.normal(0, 1, scene.shape)
    >>> invented = scene.copy()
    >>> invented[40:50, 40:50] += 2
    >>> z = consistency_map(measured, invented, kernel, 1.0)
    >>> bool(z[45, 45] > 6), float(np.mean(consistency_map(measured, scene, kernel, 1.0) > 3)) < 0.02
    (True, True)
    """
    values = residual_of(blurred, restored, psf)
    noise = noise_of(noise_std, values.shape)
    largest = np.zeros(values.shape[:2], np.float32)
    for size_px in SIZES_PX:
        z = smoothed(values, noise, width_px_of(psf, size_px))
        np.maximum(largest, np.sqrt(np.mean(np.square(z), axis=-1)), out=largest)
    return largest


def unseen_map(restored: npt.ArrayLike, psf: Psf, noise_std: float | Array) -> Array:
    """Return how much of the restored image the measured one cannot confirm, in units of the noise.

    At each spatial frequency the measured image holds the restored structure, weakened by the blur, and noise. The part
    ``1 - w`` with ``w = |K|^2 P / (|K|^2 P + N)`` (Wiener's weight; P is the power of the restored image around this
    frequency, N that of the noise) is not told by the data. The map is the local amplitude (over 3 px) of
    that part of the image, divided by the noise; of colours the root of the mean square.

    Parameters
    ----------
    restored, psf, noise_std
        As in :func:`consistency_map`.

    Returns
    -------
    (Y, X) float32, not negative.
    """
    return unseen_of(restored, psf, noise_std)[0]


def smallest_told_px(restored: npt.ArrayLike, psf: Psf, noise_std: float) -> float:
    """Return the size in pixels (half a period) below which the measured image cannot tell what was restored.

    There the restored structure, weakened by the blur, falls below the noise for the first time, over all colours.
    """
    return unseen_of(restored, psf, noise_std)[1]


def unseen_of(restored: npt.ArrayLike, psf: Psf, noise_std: float | Array) -> tuple[Array, float]:
    """Return the map of :func:`unseen_map` and the size of :func:`smallest_told_px`."""
    image = image_of(restored, "the restored image")
    noise = noise_of(noise_std, image.shape)
    level = float(np.sqrt(np.mean(np.square(noise))))
    total, sizes = np.zeros(image.shape[:2]), []
    for channel, kernel in zip(np.moveaxis(image, -1, 0), kernels_of(psf, image.shape[-1]), strict=True):
        twice = mirrored(channel)
        spectrum = fft.rfft2(twice)
        weight, cutoff = _told(spectrum, twice.shape, kernel, level)
        unseen = fft.irfft2(spectrum * (1 - weight), twice.shape)[: channel.shape[0], : channel.shape[1]]
        total += ndimage.gaussian_filter(np.square(unseen), 3.0) / level**2
        sizes.append(0.5 / cutoff)
    return np.asarray(np.sqrt(total / image.shape[-1]), np.float32), float(min(sizes))


def estimate_noise(image: npt.ArrayLike) -> float:
    """Return the standard deviation of the noise of an image, from its finest detail.

    The mean square of the diagonal differences ``(a - b - c + d) / 2`` of 2 x 2 pixels in blocks of 16 x 16, of blocks the
    median: at most half of them may hold structure as fine as a pixel, which counts as noise. Of colours the root of the
    mean square. Differs from the usual median of absolute differences (Donoho & Johnstone 1994, Biometrika 81:425), which
    for integers of little noise can take a few values only.

    Examples
    --------
    >>> noisy = np.random.default_rng(0).normal(100, 2, (200, 200))
    >>> round(estimate_noise(noisy), 1)
    2.0
    """
    given = np.asarray(image)
    values = image_of(given, "the image")
    squares = np.square((values[1:, 1:] - values[:-1, 1:] - values[1:, :-1] + values[:-1, :-1]) / 2)
    side = min(16, *squares.shape[:2])
    rows, columns = (n // side for n in squares.shape[:2])
    blocks = squares[: rows * side, : columns * side].reshape(rows, side, columns, side, -1).mean(axis=(1, 3))
    variance = float(np.median(blocks, axis=(0, 1)).mean())
    rounding = 1 / 12 if given.dtype.kind in "bui" else 0.0
    return float(np.sqrt(max(variance, rounding)))


# --- parts -----------------------------------------------------------------------------------------------------


def residual_of(blurred: npt.ArrayLike, restored: npt.ArrayLike, psf: Psf) -> Array:
    """Return ``g - k * f`` as (Y, X, C)."""
    if np.shape(blurred) != np.shape(restored):
        raise ValueError(
            f"the measured image has shape {np.shape(blurred)}, the restored one {np.shape(restored)}: give images of one "
            "field and size"
        )
    measured, image = image_of(blurred, "the measured image"), image_of(restored, "the restored image")
    return np.asarray(measured - blur(image, psf=kernels_of(psf, image.shape[-1])))


def image_of(image: npt.ArrayLike, what: str) -> Array:
    """Return an image as (Y, X, C) float32, without alpha."""
    values = np.asarray(image)
    if values.dtype.kind not in "buif":
        raise TypeError(f"{what} has dtype {values.dtype}: give real numbers (integer, float or bool)")
    if values.ndim == 2:
        values = values[..., None]
    if values.ndim != 3 or values.shape[-1] not in (1, 3, 4) or min(values.shape[:2]) < 2:
        raise ValueError(f"{what} has shape {np.shape(image)}: give one plane, (Y, X), (Y, X, 3) or (Y, X, 4)")
    values = values[..., :3].astype(np.float32)
    if bad := int(values.size - np.count_nonzero(np.isfinite(values))):
        raise ValueError(f"{what} has {bad} of {values.size} values that are NaN or infinite: mend or crop it")
    return values


def noise_of(noise_std: float | Array, shape: tuple[int, ...]) -> Array:
    """Return the standard deviation of the noise, broadcastable to (Y, X, C); ValueError where it cannot be one."""
    std = np.asarray(noise_std, float)
    std = std[..., None] if std.ndim == 2 else std
    if std.ndim not in (0, 3) or not (np.isfinite(std).all() and (std > 0).all()):
        raise ValueError("noise_std must be positive: a number of grey levels, or one for each pixel")
    if std.ndim == 3 and (std.shape[:2] != shape[:2] or std.shape[2] not in (1, shape[2])):
        raise ValueError(
            f"noise_std has shape {np.shape(noise_std)} for an image of {shape[:2]}: give one for each pixel"
        )
    return std


def width_px_of(psf: Psf, size_px: float) -> float:
    """Return the width that a structure of a size has after the blur: both as Gaussians."""
    kernel = np.asarray(psf if isinstance(psf, np.ndarray) and psf.ndim == 2 else psf[0], float)
    kernel = kernel / kernel.sum()
    return float(np.hypot(size_px, 1 / np.sqrt(4 * np.pi * np.sum(kernel**2))))


def smoothed(values: Array, noise: Array, width_px: float) -> Array:
    """Return values (Y, X, C) averaged over a Gaussian, in units of the spread that averaged noise has."""
    averaged = ndimage.gaussian_filter(values, (width_px, width_px, 0), mode="reflect")
    if noise.ndim == 0:
        return np.asarray(averaged / (noise * np.sqrt(_square_sum(width_px))))
    # the sum of noise^2 w^2: the square of a Gaussian is a Gaussian of 1 / sqrt(2) the width
    narrow = width_px / np.sqrt(2)
    variance = ndimage.gaussian_filter(np.square(noise), (narrow, narrow, 0), mode="reflect")
    return np.asarray(averaged / np.sqrt(variance * _square_sum(width_px)))


def _square_sum(width_px: float) -> float:
    """Return the sum of the squared weights of a Gaussian average."""
    reach = int(4 * width_px + 1)
    line = np.zeros(2 * reach + 1)
    line[reach] = 1
    return float(np.sum(ndimage.gaussian_filter1d(line, width_px) ** 2) ** 2)


def _told(spectrum: Array, shape: tuple[int, ...], kernel: Array, noise_std: float) -> tuple[Array, float]:
    """Return Wiener's weight at each frequency of ``rfft2``, and the first frequency (cycles/px) where it is below half."""
    rows, columns = shape
    distance = np.hypot(fft.fftfreq(rows)[:, None], fft.rfftfreq(columns)[None, :])
    rings = min(shape) // 2
    ring = np.minimum(np.rint(distance * 2 * rings).astype(int), 2 * rings - 1)
    count = np.bincount(ring.ravel(), minlength=2 * rings)
    power = np.abs(spectrum) ** 2 / (rows * columns)
    transfer = np.abs(transfer_of(kernel, shape)) ** 2
    received = np.bincount(ring.ravel(), (transfer * power).ravel(), minlength=2 * rings) / np.maximum(count, 1)
    received = ndimage.gaussian_filter1d(received, 2.0, mode="nearest")
    weight = received / (received + noise_std**2)
    lost = np.flatnonzero(weight[1 : rings + 1] < 0.5)
    cutoff = (lost[0] + 1 if len(lost) else rings) / (2 * rings)
    return weight[ring], float(cutoff)
