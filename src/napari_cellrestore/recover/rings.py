"""Sums of spectra over the rings of a plane."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from napari_cellrestore.isotropy import Rings
from napari_cellrestore.recover.spectra import Spectra, folded

Array = np.ndarray
Powers = tuple[Array, Array, Array]

#: Less than any power.
TINY = 1e-250


@dataclass(frozen=True)
class RingSums:
    """Sums over the rings of the whole plane, up to its corner, of all pairs."""

    count: Array
    ff: Powers  # |F|^2 times fraction^0, ^1, ^2
    fg: tuple[Array, Array]  # Re conj(F) G times fraction^0, ^1
    gg: Array

    def __add__(self, other: RingSums) -> RingSums:
        f0, f1, f2 = (mine + theirs for mine, theirs in zip(self.ff, other.ff, strict=True))
        g0, g1 = (mine + theirs for mine, theirs in zip(self.fg, other.fg, strict=True))
        return RingSums(self.count + other.count, (f0, f1, f2), (g0, g1), self.gg + other.gg)

    def residual(self, curve: Array) -> Array:
        """Return the sums of ``|G - F B x|^2``."""
        start, end = ends(curve, len(self.count))
        f0, f1, f2 = self.ff
        explained = start * (self.fg[0] - self.fg[1]) + end * self.fg[1]
        power = start**2 * (f0 - 2 * f1 + f2) + 2 * start * end * (f1 - f2) + end**2 * f2
        return np.asarray(np.maximum(self.gg - 2 * explained + power, 0))


def ring_sums(geometry: Rings, spectra: Sequence[Spectra], known: Powers | None = None) -> RingSums:
    """Return the sums of all pairs; those of ``|F|^2`` may be known."""
    total: RingSums | None = None
    for pair in spectra:
        f, g = pair.sharp, pair.blurred
        product = folded(f.real * g.real + f.imag * g.imag, geometry.shape)
        fg = geometry.sums(product), geometry.sums(product * geometry.fraction)
        gg = geometry.sums(folded(g.real**2 + g.imag**2, geometry.shape))
        sums = RingSums(geometry.counts[0], known or _power_sums(geometry, f), fg, gg)
        total = total + sums if total else sums
    assert total
    return replace(total, ff=known) if known else total


def _power_sums(geometry: Rings, spectrum: Array) -> Powers:
    power = folded(spectrum.real**2 + spectrum.imag**2, geometry.shape)
    first = power * geometry.fraction
    return geometry.sums(power), geometry.sums(first), geometry.sums(first * geometry.fraction)


def ends(curve: Array, rings: int) -> tuple[Array, Array]:
    """Return the values of a curve at the beginning and the end of each ring, 0 beyond its last radius."""
    long = np.zeros(max(rings, len(curve)) + 1)
    long[: len(curve)] = curve
    return long[:rings], long[1 : rings + 1]


def ring_means(rings: RingSums) -> Array:
    """Return the mean of ``|F|^2`` in each ring; ring 0, from which the mean of the image is taken, as ring 1."""
    means = rings.ff[0] / rings.count
    means[0] = means[1]
    return np.asarray(means)


def smoothed(values: Array, rings: int) -> Array:
    """Return the mean over so many rings to both sides."""
    return np.asarray(ndimage.uniform_filter1d(values, 2 * rings + 1, mode="nearest"))


def limited(curve: Array, cutoff: int) -> Array:
    """Return a curve that is 0 from a radius on."""
    return np.where(np.arange(len(curve)) < cutoff, curve, 0)
