"""Correlation of two images for every shift of one over the other."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import fft

Array = npt.NDArray[np.float64]


def correlation_map(fixed: npt.ArrayLike, moving: npt.ArrayLike, *, least_overlap: float = 0.3) -> tuple[Array, Array]:
    """Return the correlation coefficient of what overlaps, for every shift by whole pixels, and how much overlaps.

    The normalised correlation of Padfield 2012 (IEEE Trans. Image Process. 21:2706): mean and deviation are those of
    the pixels that overlap, as in equation A.1 of Wulff 2022, but neither image needs to lie within the other. Pixels
    that are NaN are not there.

    Parameters
    ----------
    fixed, moving : (Y, X) arrays
    least_overlap : float
        Shifts at which less than this part of the smaller image overlaps are NaN.

    Returns
    -------
    correlation : array
        At ``[k]`` along an axis for the shift ``k - (length of moving - 1)`` of ``moving``.
    overlap_px : array
        Pixels that count at each shift.

    Examples
    --------
    >>> scene = np.random.default_rng(0).normal(size=(30, 40))
    >>> correlation, _ = correlation_map(scene, scene[5:25, 8:38])
    >>> peak = np.unravel_index(np.nanargmax(correlation), correlation.shape)
    >>> (peak - np.array([19, 29])).tolist(), correlation[peak].round(6).item()
    ([5, 8], 1.0)
    """
    ours, theirs = (np.asarray(image, float) for image in (fixed, moving))
    full = [a + b - 1 for a, b in zip(ours.shape, theirs.shape, strict=True)]
    size = [fft.next_fast_len(length, real=True) for length in full]

    def spectra(image: Array) -> tuple[Array, Array, Array]:
        there = np.isfinite(image)
        if not there.any():
            raise ValueError("an image has no pixels that are finite: there is nothing to correlate")
        levels = np.where(there, image - image[there].mean(), 0)
        one, two, three = (fft.rfft2(part, size) for part in (there.astype(float), levels, levels**2))
        return one, two, three

    def summed(a: Array, b: Array) -> Array:
        part = np.asarray(fft.irfft2(a * b, size))
        return part[: full[0], : full[1]]

    m1, f1, q1 = spectra(ours)
    m2, f2, q2 = spectra(theirs[::-1, ::-1])
    overlap = np.rint(summed(m1, m2))
    n = np.maximum(overlap, 1)
    sum1, sum2 = summed(f1, m2), summed(m1, f2)
    var1, var2 = summed(q1, m2) - sum1**2 / n, summed(m1, q2) - sum2**2 / n
    covariance = summed(f1, f2) - sum1 * sum2 / n
    smaller = min(np.isfinite(ours).sum(), np.isfinite(theirs).sum())
    # rounding of the transforms leaves a little where there is no contrast
    flat = (var1 < 1e-9 * var1.max()) | (var2 < 1e-9 * var2.max())
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation = covariance / np.sqrt(var1 * var2)
    correlation[flat | (overlap < least_overlap * smaller)] = np.nan
    return correlation, overlap


def local_shift(fixed: npt.ArrayLike, moving: npt.ArrayLike, reach_px: int) -> tuple[tuple[float, float], float]:
    """Return the shift within ``reach_px`` at which ``moving`` is most like ``fixed``, to parts of a pixel, and how much.

    ``fixed`` has ``reach_px`` more pixels than ``moving`` on every side. The correlation is NaN, and the shift 0, where
    there is no contrast.

    Examples
    --------
    >>> from scipy import ndimage
    >>> scene = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(40, 40)), 2)
    >>> (dy, dx), correlation = local_shift(scene, scene[6:32, 2:28], 5)
    >>> round(dy, 1), round(dx, 1), round(correlation, 3)
    (1.0, -3.0, 1.0)
    """
    correlation, _ = correlation_map(fixed, moving, least_overlap=0.9)
    middle = np.asarray(np.shape(moving)) - 1 + reach_px
    around = tuple(slice(int(m) - reach_px, int(m) + reach_px + 1) for m in middle)
    near = correlation[around]
    if not np.isfinite(near).any():
        return (0.0, 0.0), float("nan")
    peak = np.unravel_index(int(np.nanargmax(near)), near.shape)
    dy, dx = (at + vertex(near, peak, axis) - reach_px for axis, at in enumerate(peak))
    return (float(dy), float(dx)), float(near[peak])


def vertex(values: Array, peak: tuple[np.intp, ...], axis: int) -> float:
    """Return how far beside a peak, -0.5 to 0.5, the parabola through it and its neighbours along an axis is highest."""
    at = int(peak[axis])
    if not 0 < at < values.shape[axis] - 1:
        return 0.0
    below, here, above = (float(values[(*peak[:axis], at + k, *peak[axis + 1 :])]) for k in (-1, 0, 1))
    bend = below - 2 * here + above
    return float(np.clip((below - above) / (2 * bend), -0.5, 0.5)) if np.isfinite(bend) and bend < 0 else 0.0
