"""Noise of a pair of images, and how much each ring of their spectra can tell."""

from __future__ import annotations

import numpy as np

from napari_cellrestore.isotropy import Rings
from napari_cellrestore.objective import Objective
from napari_cellrestore.recover.rings import TINY, RingSums, ends, ring_means, smoothed

Array = np.ndarray


def cutoff_ring(geometry: Rings, pixel_um: float, objective: Objective | None) -> int:
    """Return the radius from which on the optics pass nothing, at most R."""
    if objective is None:
        return geometry.radii
    return min(int(np.ceil(objective.cutoff_per_um * min(geometry.shape) * pixel_um)), geometry.radii)


def noise_powers(rings: RingSums, cutoff: int) -> tuple[float, float]:
    """Return the power of white noise of the sharp and of the blurred image.

    It is the median of the rings beyond the cutoff, if those hold noise and not a part of the image that is finer: what
    the two images have in common cannot be noise, so it is at most ``(1 - coherence) |F|^2`` of every ring.
    """
    beyond = slice(min(cutoff + 2, len(rings.count) - 2), None)
    inside = slice(2, max(cutoff, 3))  # rings of few pixels are too uncertain
    apart = np.clip(1 - rings.fg[0] ** 2 / np.maximum(rings.ff[0] * rings.gg, TINY), 0, 1)
    powers = []
    for sums in (rings.ff[0], rings.gg):
        mean = sums / rings.count
        tail, most = float(np.median(mean[beyond])), float(np.min((apart * mean)[inside]))
        powers.append(tail if most > 0.5 * tail else most)
    return powers[0], powers[1]


def signal_part(rings: RingSums, noise: float) -> Array:
    """Return the part of ``|F|^2`` in each ring that is not noise, 0.001 to 1."""
    return np.asarray(np.clip(1 - noise / np.maximum(smoothed(ring_means(rings), 2), TINY), 1e-3, 1))


def weights_of(rings: RingSums, curve: Array, noise: tuple[float, float]) -> Array:
    """Return the inverse variance of ``conj(F) (G - H F)`` in each ring, times the power of the signal.

    The variance is ``|F|^2`` times that of ``G - H F``, which also holds what the window and the linear interpolation
    leave; it is not taken for much less than the noise of the two images.
    """
    height, _ = ends(curve, len(rings.count))
    residual = smoothed(rings.residual(curve) / rings.count, 4)
    least = 0.8 * (noise[1] + height**2 * noise[0])
    rounding = 1e-12 * rings.gg / rings.count + 1e-28 * rings.gg.max() + TINY
    return np.asarray(signal_part(rings, noise[0]) / np.maximum.reduce([residual, least, rounding]))
