"""Fourier Tikhonov estimate and projection: Werth & Matlock 2018, equations 17 and 18 as printed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from napari_cellrestore.isotropy import Rings
from napari_cellrestore.recover.estimate import Estimate
from napari_cellrestore.recover.noise import noise_powers
from napari_cellrestore.recover.rings import RingSums, ends, ring_sums
from napari_cellrestore.recover.spectra import Spectra, Window, folded

Array = np.ndarray


def fourier_estimate(
    geometry: Rings, spectra: Sequence[Spectra], window: Window, cutoff: int, mu: float | str
) -> tuple[Sequence[Spectra], RingSums, Estimate]:
    """Return equations 17 and 18 as printed; of several pairs numerators and denominators are summed."""
    spectra = [pair.with_mean(window.weights.size) for pair in spectra]
    product = np.sum([pair.sharp.conj() * pair.blurred for pair in spectra], 0)
    power = np.sum([np.abs(pair.sharp) ** 2 for pair in spectra], 0)
    candidates, scores = np.empty(0), {}
    if isinstance(mu, str):
        blurred = np.sum([np.abs(pair.blurred) ** 2 for pair in spectra], 0)
        candidates = np.median(power) * np.logspace(-5, 5, 21)
        scores["gcv"] = _cross_validation(product, power, blurred, candidates, len(spectra))
        mu = float(candidates[np.argmin(scores["gcv"])])
    estimate = product.real / (power + mu)
    quarter = folded(estimate, geometry.shape)
    curve = geometry.solve(geometry.sums(quarter), geometry.sums(quarter * geometry.fraction))
    squares = geometry.sums(folded(estimate**2, geometry.shape))
    scatter = np.maximum(squares / geometry.counts[0] - ends(curve, geometry.rings)[0] ** 2, 0)
    variance = 2 * window.correlation * scatter / geometry.counts[0]  # half of the plane repeats the other
    covariance = np.diag(np.append(0, variance[1 : geometry.radii]))
    rings = ring_sums(geometry, spectra)
    return spectra, rings, Estimate(curve, covariance, noise_powers(rings, cutoff), True, mu, candidates, scores)


def _cross_validation(product: Array, power: Array, blurred: Array, candidates: Array, pairs: int) -> Array:
    """Return ``mean |G - F C|^2 / (1 - trace / samples)^2`` of equation 17."""
    explained = product.real**2 + product.imag**2
    scores = []
    for mu in candidates:
        residual = blurred - explained * (power + 2 * mu) / (power + mu) ** 2
        freedom = 1 - np.mean(power / (power + mu)) / pairs
        scores.append(np.mean(residual) / freedom**2)
    return np.asarray(scores)
