"""Direct least squares by radius: Werth & Matlock 2018, equation 15, with noise, window and smoothness."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.linalg import LinAlgError, cho_solve_banded, cholesky_banded

from napari_cellrestore.isotropy import Rings, gather, gather_squares
from napari_cellrestore.recover.estimate import Estimate
from napari_cellrestore.recover.noise import noise_powers, signal_part, weights_of
from napari_cellrestore.recover.rings import TINY, RingSums, limited, ring_sums, smoothed
from napari_cellrestore.recover.spectra import Spectra, Window, unfolded

Array = np.ndarray

#: Prior of the curve: it returns to 0, where nothing is measured, over this part of the band that the optics pass.
MEMORY = 0.25
#: Part of the light by which the two images of a pair may differ, one standard deviation.
LIGHT = 0.001
#: Extrapolated over measured brightness of the blurred image, from and to, that still fit: those of other exposure or
#: offset do not.
CUSP = (0.85, 1.02)
#: Times that an estimate corrects the spectrum for the window; the second time gains little.
PASSES = 1
#: Weights of smoothness that are compared: 1 / variance of the second difference of the curve from radius to radius.
CANDIDATES = np.logspace(-2, 11, 53)


@dataclass(frozen=True, eq=False)
class _Choice:
    """The best mu, its matrix ``B^T diag(w |F|^2) B + mu P`` and curve, and what it was chosen from and by."""

    curve: Array
    matrix: Array
    mu: float
    candidates: Array
    scores: dict[str, Array]


def radial_estimate(
    geometry: Rings, spectra: Sequence[Spectra], window: Window, cutoff: int, mu: float | str
) -> tuple[Sequence[Spectra], RingSums, Estimate]:
    """Return the direct estimate, and the spectra corrected for the window with their sums."""
    plain, corrected = ring_sums(geometry, spectra), spectra
    rings = plain
    curve = rings.fg[0] / np.maximum(rings.ff[0], TINY)
    curve[0] = curve[1]
    curve = smoothed(curve, 2)[: geometry.radii]
    counted = min(cutoff, geometry.inside)
    samples = float(rings.count[:counted].sum()) / window.correlation
    for again in range(PASSES + 1):
        if again and window.correlation > 1:
            transfer = unfolded(geometry.spread(limited(curve, cutoff)), geometry.shape)
            transfer = transfer.astype(window.weights.dtype)
            corrected = [pair.corrected(transfer, window) for pair in spectra]
            rings = ring_sums(geometry, corrected, plain.ff)
        noise = noise_powers(rings, cutoff)
        signal = signal_part(rings, noise[0])
        weight = weights_of(rings, curve, noise)[:counted] / window.correlation
        normal, right = _equations(rings, weight, signal[:counted], geometry.radii)
        level = _light(corrected, float(curve[0])) if again else None
        if level:
            normal[2, 0] += len(spectra) / (level * LIGHT) ** 2
            right[0] += len(spectra) / (level * LIGHT**2)
        prior = _prior(geometry.radii, MEMORY * cutoff, level is None)
        choice = _smoothest(normal, right, prior, mu, float(curve[0]), samples, geometry.radii - (level is not None))
        curve = choice.curve
    factor = cholesky_banded(choice.matrix, check_finite=False)
    covariance = cho_solve_banded((factor, False), np.eye(geometry.radii), check_finite=False)
    support = np.arange(geometry.radii) < cutoff
    covariance *= np.outer(support, support)
    return (
        corrected,
        rings,
        Estimate(
            limited(curve, cutoff), covariance, noise, level is not None, choice.mu, choice.candidates, choice.scores
        ),
    )


def _equations(rings: RingSums, weight: Array, signal: Array, radii: int) -> tuple[Array, Array]:
    """Return ``B^T diag(w |F_0|^2) B`` as an upper banded matrix with three diagonals, and ``B^T w Re conj(F) G``."""
    counted = len(weight)
    normal, right = np.zeros((3, radii)), np.zeros(radii)
    diagonal, beside = gather_squares(*(weight * signal * power[:counted] for power in rings.ff))
    normal[2, : counted + 1], normal[1, 1 : counted + 1] = diagonal, beside
    right[: counted + 1] = gather(*(weight * product[:counted] for product in rings.fg))
    return normal, right


def _smoothest(
    normal: Array, right: Array, prior: Array, mu: float | str, gain: float, samples: float, rank: int
) -> _Choice:
    """Return the smooth curve that solves the equations for the best mu."""
    candidates = CANDIDATES if isinstance(mu, str) else np.array([mu], float)
    likelihood, misfit = np.full((2, len(candidates)), np.inf)
    curves = np.zeros((len(candidates), len(right)))
    log_determinant = np.full(len(candidates), np.nan)
    for k, weight in enumerate(candidates / gain**2):
        try:
            factor = cholesky_banded(weight * prior + normal, check_finite=False)
        except LinAlgError:  # the prior is too weak to tell what is not measured
            continue
        x = curves[k] = cho_solve_banded((factor, False), right, check_finite=False)
        log_determinant[k] = 2 * np.log(factor[-1]).sum()
        likelihood[k] = 0.5 * (log_determinant[k] - rank * np.log(weight) - right @ x)
        misfit[k] = normal[2] @ x**2 + 2 * normal[1, 1:] @ (x[1:] * x[:-1]) - 2 * right @ x
    scores: dict[str, Array] = {}
    best = 0
    if isinstance(mu, str):
        # d log|K| / d log mu = R - trace of the smoother
        degrees = len(right) - np.gradient(log_determinant, np.log(candidates))
        first = np.flatnonzero(np.isfinite(degrees))[0]
        squares = misfit - misfit[first] + samples - degrees[first]
        cross = squares / samples / (1 - degrees / samples) ** 2
        scores = {"likelihood": likelihood, "gcv": np.where(np.isfinite(cross), cross, np.inf)}
        best = int(np.argmin(scores["gcv" if mu == "gcv" else "likelihood"]))
    matrix = candidates[best] / gain**2 * prior + normal
    return _Choice(curves[best], matrix, float(candidates[best]), candidates if scores else candidates[:0], scores)


@lru_cache(maxsize=8)
def _prior(radii: int, memory: float, even: bool) -> Array:
    """Return ``L^T L`` of ``L = 1 / memory^2 - D2`` as an upper banded matrix; even about radius 0, or of any slope."""
    operator = (2 + 1 / memory**2) * np.eye(radii) - np.eye(radii, k=1) - np.eye(radii, k=-1)
    operator[0, 1] *= 2
    operator[0] *= 0.5**0.5 if even else 0  # half of the curve is here
    square = operator.T @ operator
    return np.stack([np.append(np.zeros(k), np.diagonal(square, k)) for k in (2, 1, 0)])


def _light(spectra: Sequence[Spectra], gain: float) -> float | None:
    """Return by how much the blurred images are brighter than the sharp ones, None if that does not fit the curve.

    ``gain`` is the curve extrapolated to frequency 0, as an even one; a transfer function with a cusp lies above it.
    """
    sharp, blurred = np.array([pair.means for pair in spectra]).T
    level = float(sharp @ blurred / max(sharp @ sharp, TINY))
    return level if level > 0 and CUSP[0] < gain / level < CUSP[1] else None
