"""How well a method restores, by distance from focus: tables by focus level, success rates, intervals, tests.

After Olofsson & Wagnström 2019: tables 6.1 (scores by focus level), A.1 to A.6 (which input plane a restored image
has become as good as) and 7.1 (success rates). Scores are arrays (N, L): images by focus levels.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from napari_cellrestore.metrics import METRICS, DataRange, score

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
    levels = _levels(levels_um)
    restored, planes = _scores(scores_restored, len(levels)), _scores(scores_input, len(levels))
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
    levels = _levels(levels_um)
    rates = _scores(np.atleast_2d(np.asarray(success, float)), len(levels))[0]
    chosen = [_between(levels, *interval) for interval in intervals_um]
    return np.array([rates[inside].mean() if inside.any() else np.nan for inside in chosen])


# --- scores of many images ---------------------------------------------------------------------------------


def score_levels(
    reference: Array,
    planes: Sequence[Array] | Array,
    restored: Mapping[str, Sequence[Array] | Array],
    metrics: Iterable[str] = ("mse", "ssim", "psnr", "focus_ratio", "fpw"),
    *,
    data_range: DataRange = None,
) -> dict[str, dict[str, Array]]:
    """Score one stack: its planes, and what each method made of them, against its sharp plane.

    Parameters
    ----------
    reference : (Y, X) or (Y, X, 3) array
        The sharp plane.
    planes : (L, Y, X[, 3]) array
        One plane for each focus level.
    restored : mapping of (L, Y, X[, 3]) arrays
        Name of the method: the images restored from the planes.
    metrics, data_range
        As in :func:`napari_cellrestore.metrics.score`.

    Returns
    -------
    ``{method: {metric: (L,) array}}``; the planes are the method ``"input"``.
    """
    names = list(metrics)
    if "input" in restored:
        raise ValueError("a method is called 'input', the name of the planes themselves: give it another name")
    for method, images in restored.items():
        if len(images) != len(planes):
            raise ValueError(f"{method!r} has {len(images)} images for {len(planes)} planes: give one for each plane")
    table = {}
    for method, images in {"input": planes, **restored}.items():
        rows = [score(reference, image, names, data_range=data_range) for image in images]
        table[method] = {name: np.array([row[name] for row in rows]) for name in names}
    return table


@dataclass(frozen=True, eq=False)
class ScoreTable:
    """Scores of several methods: ``scores[method][metric]`` is (N, L), images by focus levels.

    Examples
    --------
    >>> one = {"input": {"mse": np.array([4.0, 0.0])}, "net": {"mse": np.array([1.0, 0.5])}}
    >>> two = {"input": {"mse": np.array([8.0, 0.0])}, "net": {"mse": np.array([3.0, 0.5])}}
    >>> table = ScoreTable.of_stacks([-0.6, 0], [one, two])
    >>> print(table.by_level("net").text())
    net       MSE
    -0.6 um     2
    0 um      0.5
    Mean     1.25
    """

    levels_um: tuple[float, ...]
    scores: Mapping[str, Mapping[str, Array]]

    @classmethod
    def of_stacks(cls, levels_um: Levels, stacks: Sequence[Mapping[str, Mapping[str, Array]]]) -> ScoreTable:
        """Collect what :func:`score_levels` gave for each stack."""
        if not stacks:
            raise ValueError("there are no scored stacks: give one result of score_levels for each stack")
        levels = _levels(levels_um)
        scores = {
            method: {name: _scores([stack[method][name] for stack in stacks], len(levels)) for name in metrics}
            for method, metrics in stacks[0].items()
        }
        return cls(tuple(levels.tolist()), scores)

    def by_level(self, method: str, psnr_cap: float | None = 50.0) -> Table:
        """Return the mean scores of a method at each focus level and over all, as table 6.1.

        PSNR is infinite for identical images, and so would be its mean: the source prints 50, and so does ``psnr_cap``.
        """
        columns = {METRICS[name].label: values for name, values in self._of(method).items()}
        if psnr_cap is not None and "PSNR" in columns:
            columns["PSNR"] = np.minimum(columns["PSNR"], psnr_cap)
        rows = {
            _name(level): [float(values[:, index].mean()) for values in columns.values()]
            for index, level in enumerate(self.levels_um)
        }
        rows["Mean"] = [float(values.mean()) for values in columns.values()]
        return Table(method, tuple(columns), rows)

    def success(self, method: str, metric: str, sharp: tuple[float, float] = SHARP_UM) -> Table:
        """Return the success matrix of a method with the success rate ``SR`` of each row, as table A.1."""
        restored, planes = (_badness(self._of(name)[metric], metric) for name in (method, "input"))
        matrix, success = success_matrix(restored, planes, self.levels_um, sharp)
        body = np.column_stack([matrix, success])
        rows = dict(zip(map(_name, self.levels_um), body.tolist(), strict=True))
        rows["Total (%)"] = np.nanmean(body, axis=0).tolist()
        return Table(f"{method} {METRICS[metric].label}", (*map(_name, self.levels_um), "SR (%)"), rows)

    def intervals(
        self, metrics: Sequence[str] = ("mse", "fpw"), intervals_um: Sequence[tuple[float, float]] = INTERVALS_UM
    ) -> Table:
        """Return the success rates of every method over intervals of focus level, as table 7.1."""
        rows = {}
        for method in self.scores:
            for metric in metrics if method != "input" else ():
                success = [row[-1] for row in list(self.success(method, metric).rows.values())[:-1]]
                rows[f"{method} {METRICS[metric].label}"] = interval_rates(
                    success, self.levels_um, intervals_um
                ).tolist()
        return Table("success (%)", tuple(f"{low:g} : {high:g}" for low, high in intervals_um), rows)

    def _of(self, method: str) -> Mapping[str, Array]:
        if method not in self.scores:
            raise ValueError(f"no scores of {method!r}: there are {', '.join(self.scores)}")
        return self.scores[method]


@dataclass(frozen=True)
class Table:
    """Numbers with names for rows and columns, that can be printed and saved; NaN is shown as a dash."""

    title: str
    columns: tuple[str, ...]
    rows: Mapping[str, Sequence[float]]

    def text(self) -> str:
        """Return aligned text."""
        cells = [[self.title, *self.columns]]
        cells += [[name, *("–" if np.isnan(v) else f"{v:.4g}" for v in values)] for name, values in self.rows.items()]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        return "\n".join(
            "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))])
            for row in cells
        )

    def csv(self) -> str:
        """Return comma-separated values in full precision, NaN as an empty field."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([self.title, *self.columns])
        writer.writerows(
            [name, *("" if np.isnan(v) else repr(float(v)) for v in values)] for name, values in self.rows.items()
        )
        return text.getvalue()

    def as_dict(self) -> dict[str, Any]:
        """Return what JSON can hold; what is not finite as a word (None, "inf")."""
        rows = {name: [_json(value) for value in values] for name, values in self.rows.items()}
        return {"title": self.title, "columns": list(self.columns), "rows": rows}


# --- certainty ---------------------------------------------------------------------------------------------


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
    means = [rng.choice(sample, sample.size).mean() for _ in range(resamples)]
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


def best_and_worst(scores: npt.ArrayLike, metric: str, count: int = 3) -> tuple[list[int], list[int]]:
    """Return the indices of the best images, best first, and of the worst, worst first (Wulff 2022, section 4.2.4).

    Examples
    --------
    >>> best_and_worst([0.9, 0.7, 0.8, 0.95], "ssim", count=2)
    ([3, 0], [1, 2])
    """
    order = np.argsort(_badness(np.asarray(scores, float), metric), kind="stable").tolist()
    return order[:count], order[::-1][:count]


# --- what came in ------------------------------------------------------------------------------------------


def _levels(levels_um: Levels) -> Array:
    levels = np.asarray(levels_um, float)
    steps = np.diff(np.sort(levels))
    if levels.ndim != 1 or not levels.size or not np.isfinite(levels).all() or (steps <= _LEVEL_UM).any():
        raise ValueError(f"levels_um is {levels_um}: give the focus levels in micrometres, each once")
    return levels


def _scores(scores: npt.ArrayLike, count: int) -> Array:
    values = np.asarray(scores, float)
    if values.ndim != 2 or values.shape[1] != count or not len(values):
        raise ValueError(
            f"scores have shape {values.shape}: give (N, {count}), one row for each image and one column a level"
        )
    return values


def _badness(scores: Array, metric: str) -> Array:
    """Return scores such that smaller is better."""
    if metric not in METRICS:
        raise ValueError(f"unknown metric {metric!r}: use {', '.join(METRICS)}")
    better = METRICS[metric].better
    return scores if better == "lower" else -scores if better == "higher" else np.abs(scores - 1)


def _between(levels: Array, low: float, high: float) -> Array:
    return (levels >= low - _LEVEL_UM) & (levels <= high + _LEVEL_UM)


def _name(level_um: float) -> str:
    return f"{level_um + 0.0:g} um"  # + 0.0 makes a negative zero positive


def _json(value: float) -> float | str | None:
    return None if np.isnan(value) else float(value) if np.isfinite(value) else str(value)
