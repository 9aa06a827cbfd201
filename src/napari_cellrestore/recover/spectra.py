"""Spectra of a pair of images: their window, what corrects for it, and the quarter plane they are folded to."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from scipy import fft
from scipy.signal.windows import tukey

Array = np.ndarray

#: Part of each side over which a window fades an image out, both ends together.
WINDOWS = {"tukey": 0.25, "hann": 1.0, "none": 0.0}


@dataclass(frozen=True, eq=False)
class Spectra:
    """Spectra of one pair in the half plane of ``rfft2``, without the means: windowed, and of the whole sharp image."""

    sharp: Array
    blurred: Array
    whole: Array
    means: tuple[float, float]

    @classmethod
    def of(cls, sharp: Array, blurred: Array, window: Window) -> Spectra:
        """Return the spectra of a pair."""
        f, f_mean = _centred(sharp.astype(window.weights.dtype), window)
        g, g_mean = _centred(blurred.astype(window.weights.dtype), window)
        windowed = fft.rfft2(window.weights * f)
        whole = windowed if window.correlation == 1 else fft.rfft2(f)
        return cls(windowed, fft.rfft2(window.weights * g), whole, (f_mean, g_mean))

    def corrected(self, transfer: Array, window: Window) -> Spectra:
        """Return the spectra as if the window commuted with the blur of this transfer function (half plane)."""
        blurred, mean = _centred(fft.irfft2(self.whole * transfer, window.weights.shape), window)
        spectrum = self.blurred + self.sharp * transfer - fft.rfft2(window.weights * blurred)
        return replace(self, blurred=spectrum, means=(self.means[0], self.means[1] - mean))

    def with_mean(self, pixels: int) -> Spectra:
        """Return the windowed spectra with the sums of the images at frequency 0."""
        sharp, blurred = self.sharp.copy(), self.blurred.copy()
        sharp[0, 0], blurred[0, 0] = (mean * pixels for mean in self.means)
        return replace(self, sharp=sharp, blurred=blurred)


def _centred(image: Array, window: Window) -> tuple[Array, float]:
    mean = float(np.vdot(window.weights, image) / window.sum)
    return image - image.dtype.type(mean), mean


@dataclass(frozen=True, eq=False)
class Window:
    """Weights of the pixels (Y, X)."""

    weights: Array
    sum: float
    power: float  # sum of squares
    #: By how much it raises the variance of a sum over the spectrum, whose values it correlates.
    correlation: float


@lru_cache(maxsize=2)
def window_of(shape: tuple[int, int], apodise: str, dtype: str) -> Window:
    """Return the window of that name, see :data:`WINDOWS`."""
    taper = WINDOWS[apodise]
    y, x = (tukey(length + 2, taper)[1:-1] if taper else np.ones(length) for length in shape)
    total, power, fourth = (float((y**k).sum() * (x**k).sum()) for k in (1, 2, 4))
    return Window(np.outer(y, x).astype(dtype), total, power, y.size * x.size * fourth / power**2)


def folded(half: Array, shape: tuple[int, int]) -> Array:
    """Return the quarter plane of a half plane as of ``rfft2``, each value as often as it is in the whole plane."""
    rows, columns = shape
    centre = rows // 2
    quarter = np.zeros((centre + 1, half.shape[1]))
    quarter[: rows - centre] = half[: rows - centre]
    quarter[1:] += half[: rows - centre - 1 : -1] if centre else 0
    quarter[:, 1 : (columns + 1) // 2] *= 2
    return quarter


def unfolded(quarter: Array, shape: tuple[int, int]) -> Array:
    """Return the half plane as of ``rfft2`` of a quarter plane."""
    centre = shape[0] // 2
    return np.concatenate([quarter[: shape[0] - centre], quarter[:0:-1]])
