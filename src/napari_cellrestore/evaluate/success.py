"""As which input plane a restored image is as good: success matrices and rates.

After Olofsson & Wagnström 2019, section 7.1, tables A.1 to A.6 and 7.1. Scores are arrays (N, L): images by focus levels.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

Array = np.ndarray
Levels = Sequence[float] | Array

#: Focus levels between these (um) count as sharp: focus is lost more slowly towards higher z.
SHARP_UM = (-0.2, 0.4)
#: Ranges of focus level (um) over which table 7.1 averages.
INTERVALS_UM = tuple((-half, half) for half in (1.2, 1.0, 0.8, 0.6, 0.4, 0.2))

_LEVEL_UM = 1e-6  # levels closer than this are the same


def success_matrix(
    scores_restored: npt.ArrayLike,
    scores_input: npt.ArrayLike,
    levels_um: Levels,
    sharp: tuple[float, float] = SHARP_UM,
) -> tuple[Array, Array]:
    """Tell as which input plane each restored image is as good.

    A restored image is assigned to the plane of its own stack with the smallest score that is still at least its own
    (the first of equals), or to none where it is worse than every plane (Olofsson & Wagnström 2019, section 7.1,
    tables A.1 to A.6).

    Parameters
    ----------
    scores_restored : (N, L) array
        Score of image n restored from focus level l, against its sharp plane; smaller is better (MSE, FPW). NaN where
        there is none: not counted.
    scores_input : (N, L) array
        Score of the input plane itself.
    levels_um : (L,) sequence
        Focus levels.
    sharp : (float, float)
        First and last focus level that count as sharp.

    Returns
    -------
    matrix : (L, L) array
        Percentage of the images restored from level [row] that are as good as plane [column]; NaN in a row without
        scores.
    success : (L,) array
        Percentage that is as good as a sharp plane.

    Examples
    --------
    >>> scores_input = [[9, 5, 0, 4, 8]]
    >>> scores_restored = [[6, 3, 1, 1, 10]]
    >>> matrix, success = success_matrix(scores_restored, scores_input, [-0.6, -0.3, 0, 0.3, 0.6])
    >>> matrix[0].tolist(), success.tolist()
    ([0.0, 0.0, 0.0, 0.0, 100.0], [0.0, 100.0, 100.0, 100.0, 0.0])
    """
    levels = check_levels(levels_um)
    restored, planes = check_scores(scores_restored, len(levels)), check_scores(scores_input, len(levels))
    if restored.shape != planes.shape:
        raise ValueError(
            f"scores_restored has shape {restored.shape} and scores_input {planes.shape}: both must be (N, L)"
        )
    at_least = planes[:, None, :] >= restored[:, :, None]  # (N, L restored, L planes)
    assigned = np.where(at_least, planes[:, None, :], np.inf).argmin(axis=2)
    hits = (assigned[:, :, None] == np.arange(len(levels))) & np.any(at_least, axis=2, keepdims=True)
    given = np.count_nonzero(~np.isnan(restored), axis=0)
    matrix = 100 * hits.sum(axis=0) / np.where(given, given, np.nan)[:, None]
    return matrix, matrix[:, _between(levels, *sharp)].sum(axis=1)


def interval_rates(
    success: npt.ArrayLike, levels_um: Levels, intervals_um: Iterable[tuple[float, float]] = INTERVALS_UM
) -> Array:
    """Return the mean success over the focus levels of each interval, as in table 7.1; NaN where a level has none.

    Examples
    --------
    >>> interval_rates([50, 90, 100, 80], [-0.4, -0.2, 0, 0.2], [(-0.2, 0.2), (-0.4, 0.4)])
    array([90., 80.])
    """
    levels = check_levels(levels_um)
    rates = check_scores(np.atleast_2d(np.asarray(success, float)), len(levels))[0]
    chosen = [_between(levels, *interval) for interval in intervals_um]
    return np.array([rates[inside].mean() if inside.any() else np.nan for inside in chosen])


# --- what came in ------------------------------------------------------------------------------------------


def check_levels(levels_um: Levels) -> Array:
    """Return focus levels as an array; ValueError unless each is finite and there once."""
    levels = np.asarray(levels_um, float)
    steps = np.diff(np.sort(levels))
    if levels.ndim != 1 or not levels.size or not np.isfinite(levels).all() or (steps <= _LEVEL_UM).any():
        raise ValueError(f"levels_um is {levels_um}: give the focus levels in micrometres, each once")
    return levels


def check_scores(scores: npt.ArrayLike, count: int) -> Array:
    """Return scores as an array (N, count); ValueError where it is not."""
    values = np.asarray(scores, float)
    if values.ndim != 2 or values.shape[1] != count or not len(values):
        raise ValueError(
            f"scores have shape {values.shape}: give (N, {count}), one row for each image and one column a level"
        )
    return values


def _between(levels: Array, low: float, high: float) -> Array:
    return (levels >= low - _LEVEL_UM) & (levels <= high + _LEVEL_UM)
