"""How certain a mean or a difference of scores is, and which of two scores is worse."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import stats

from napari_cellrestore.metrics import METRICS

Array = np.ndarray


def mean_interval(
    values: npt.ArrayLike, *, confidence: float = 0.95, resamples: int = 2000, seed: int = 0
) -> tuple[float, float, float]:
    """Return the mean over images and its bootstrap interval (percentiles of means of resampled images).

    Examples
    --------
    >>> mean_interval([5.0, 5.0, 5.0])
    (5.0, 5.0, 5.0)
    """
    sample = np.asarray(values, float)
    if sample.ndim != 1 or not sample.size or not np.isfinite(sample).all():
        raise ValueError(f"values have shape {sample.shape}: give one finite score for each image")
    rng = np.random.default_rng(seed)
    at_once = max(1, 1_000_000 // sample.size)  # of the resamples, to bound memory
    sizes = np.diff([*range(0, resamples, at_once), resamples])
    means = np.concatenate([sample[rng.integers(sample.size, size=(n, sample.size))].mean(axis=1) for n in sizes])
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(sample.mean()), float(low), float(high)


def paired_test(scores_a: npt.ArrayLike, scores_b: npt.ArrayLike) -> float:
    """Return the p-value of two methods scoring the same images alike (Wilcoxon signed-rank, two-sided).

    Give one score for each image: the levels of one stack are not independent of each other.

    Examples
    --------
    >>> paired_test([1, 2, 3, 4, 5, 6], [2, 4, 6, 8, 10, 12]), paired_test([1, 2], [1, 2])
    (0.03125, 1.0)
    """
    difference = np.asarray(scores_a, float) - np.asarray(scores_b, float)
    if difference.ndim != 1 or not np.isfinite(difference).all():
        raise ValueError(f"the scores have shape {difference.shape}: give one finite score for each image and method")
    return float(stats.wilcoxon(difference).pvalue) if difference.any() else 1.0


def badness(scores: Array, metric: str) -> Array:
    """Return scores of a metric such that smaller is better."""
    if metric not in METRICS:
        raise ValueError(f"unknown metric {metric!r}: use {', '.join(METRICS)}")
    better = METRICS[metric].better
    return scores if better == "lower" else -scores if better == "higher" else np.abs(scores - 1)
