"""Gaussians of colours: their moments, image by image, their likelihoods, the map from one to another."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

Array = np.ndarray

#: Added to the variance of each colour, in grey levels of 255, squared: what rounding, JPEG and the camera's noise leave of
#: the flattest surface. So no covariance is singular.
RIDGE = 1.0


@dataclass(eq=False)
class Moments:
    """Weights, means and covariances of the colours of K classes, summed up image by image.

    Examples
    --------
    >>> moments = Moments(1)
    >>> moments.add(np.array([[0.0, 0, 0], [2, 0, 0]]), np.ones((2, 1)))
    >>> moments.add(np.array([[4.0, 0, 0]]), np.ones((1, 1)))
    >>> moments.means[0].tolist(), round(float(moments.covariances[0, 0, 0] - RIDGE), 3)
    ([2.0, 0.0, 0.0], 2.667)
    >>> round(float(moments.within[0, 0, 0] - RIDGE), 3)
    0.667
    """

    classes: int
    weights: Array = field(init=False)
    _first: Array = field(init=False, repr=False)
    _second: Array = field(init=False, repr=False)
    _inner: Array = field(init=False, repr=False)

    def __post_init__(self) -> None:
        k = self.classes
        self.weights, self._first = np.zeros(k), np.zeros((k, 3))
        self._second, self._inner = np.zeros((k, 3, 3)), np.zeros((k, 3, 3))

    def add(self, colours: Array, weights: Array) -> None:
        """Add the pixels (N, 3) of one image, with their weights (N, K)."""
        for k in range(self.classes):
            weight = float(weights[:, k].sum(dtype=np.float64))
            if not weight:
                continue
            mean = np.average(colours, axis=0, weights=weights[:, k])
            centred = colours - mean
            scatter = (centred * weights[:, k, None]).T @ centred
            self.weights[k] += weight
            self._first[k] += weight * mean
            self._second[k] += scatter + weight * np.outer(mean, mean)
            self._inner[k] += scatter

    @property
    def means(self) -> Array:
        """Means (K, 3); 0 where there is no weight."""
        return np.asarray(self._first / self._divisor[:, None])

    @property
    def covariances(self) -> Array:
        """Covariances (K, 3, 3) of all images together, with :data:`RIDGE`."""
        means = self.means
        products = means[:, :, None] * means[:, None, :]
        return np.asarray(self._second / self._divisor[:, None, None] - products + RIDGE * np.eye(3))

    @property
    def within(self) -> Array:
        """Mean of the covariances (K, 3, 3) of each image about its own mean, with :data:`RIDGE`."""
        return np.asarray(self._inner / self._divisor[:, None, None] + RIDGE * np.eye(3))

    @property
    def _divisor(self) -> Array:
        return np.where(self.weights > 0, self.weights, 1.0)


def whitening(covariances: Array) -> Array:
    """Return matrices ``W`` (..., 3, 3) with ``W S W^T = 1``, so that ``|W x|^2`` is the squared Mahalanobis distance."""
    return np.asarray(np.linalg.inv(np.linalg.cholesky(covariances)))


def distances(colours: Array, means: Array, covariances: Array) -> Array:
    """Return the squared Mahalanobis distances (N, K) of colours (N, 3) from K Gaussians."""
    away = [(colours - mean) @ white.T for mean, white in zip(means, whitening(covariances), strict=True)]
    return np.stack([np.einsum("ij,ij->i", one, one) for one in away], axis=-1)


def log_norms(covariances: Array) -> Array:
    """Return ``-log sqrt(det S)`` of each Gaussian: its log density at its mean but for a constant."""
    return np.asarray(-0.5 * np.linalg.slogdet(covariances)[1])


def posterior(log_densities: Array) -> Array:
    """Return probabilities (N, K) from log densities with their priors (N, K)."""
    shares = np.exp(log_densities - log_densities.max(axis=-1, keepdims=True))
    return np.asarray(shares / shares.sum(axis=-1, keepdims=True))


def optimal_map(source: Array, target: Array) -> Array:
    """Return the symmetric matrices (..., 3, 3) that move covariances onto others by the least mean squared distance.

    ``M = A^-1/2 (A^1/2 B A^1/2)^1/2 A^-1/2``, so that ``M A M = B`` (Dowson & Landau 1982; Olkin & Pukelsheim 1982): of
    all affine maps between two Gaussians the one that changes colours least.

    Examples
    --------
    >>> optimal_map(np.diag([1.0, 4, 9]), np.diag([4.0, 4, 1])).diagonal().round(3).tolist()
    [2.0, 1.0, 0.333]
    """
    root, inverse = _power(source, 0.5), _power(source, -0.5)
    return np.asarray(inverse @ _power(root @ target @ root, 0.5) @ inverse)


def wasserstein(mean: Array, covariance: Array, other_mean: Array, other_covariance: Array) -> float:
    """Return the 2-Wasserstein distance of two Gaussians, in the unit of the colours.

    ``d^2 = |m - n|^2 + tr(A + B - 2 (A^1/2 B A^1/2)^1/2)`` (Dowson & Landau 1982).

    Examples
    --------
    >>> wasserstein(np.zeros(3), np.eye(3), np.array([3.0, 0, 0]), np.diag([1.0, 25, 1]))
    5.0
    """
    root = _power(covariance, 0.5)
    shape = np.trace(covariance + other_covariance - 2 * _power(root @ other_covariance @ root, 0.5))
    return float(np.sqrt(max(float(np.sum((mean - other_mean) ** 2) + shape), 0.0)))


def _power(matrices: Array, exponent: float) -> Array:
    """Return a power of symmetric positive matrices."""
    values, vectors = np.linalg.eigh(matrices)
    return np.asarray(np.einsum("...ij,...j,...kj->...ik", vectors, np.maximum(values, 0) ** exponent, vectors))
