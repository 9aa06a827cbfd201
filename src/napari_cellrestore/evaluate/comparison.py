"""Methods against each other: differences with intervals and paired tests, so that nobody reads noise as progress."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np

from napari_cellrestore.evaluate.certainty import mean_interval, paired_test
from napari_cellrestore.evaluate.tables import ScoreTable
from napari_cellrestore.metrics import METRICS

#: Chance of calling any of the differences real where none is.
SIGNIFICANCE = 0.05


@dataclass(frozen=True)
class Comparison:
    """How a method does against another by one metric, over images.

    Attributes
    ----------
    metric, method, against : str
    mean, mean_against : float
        Over images, each counting by its mean over the focus levels that all have. Of a metric that is best at 1 it is
        the distance from 1.
    difference : (float, float, float)
        ``method - against``, mean and bootstrap 95 % interval over images.
    p : float
        Of the paired Wilcoxon test, corrected for the number of comparisons (Holm 1979, Scand. J. Stat. 6:65).
    images : int
    verdict : str
        ``"better"``, ``"worse"``, ``"no difference shown"`` or, where even the smallest p-value of so many comparisons over so
        few images, ``2 / 2^n`` times their number, is not small enough, ``"too few images"``.
    """

    metric: str
    method: str
    against: str
    mean: float
    mean_against: float
    difference: tuple[float, float, float]
    p: float
    images: int
    verdict: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        return {**asdict(self), "difference": list(self.difference)}


def compare_methods(table: ScoreTable, metrics: Sequence[str] | None = None) -> list[Comparison]:
    """Compare every method with those before it, the input first.

    Of several metrics and methods some differ by chance: p-values are corrected for all of them together.

    Examples
    --------
    >>> scores = {"input": {"mse": np.arange(8.0)[:, None] + 4}, "net": {"mse": np.arange(8.0)[:, None]}}
    >>> compare_methods(ScoreTable((0.4,), scores))[0].verdict
    'better'
    """
    found = []
    for metric in metrics or table.metrics:
        for before, after in combinations(table.scores, 2):
            found.append(_compare(table, metric, after, before))
    corrected = holm([one.p for one in found])
    return [_judged(one, p, len(found)) for one, p in zip(found, corrected, strict=True)]


def _compare(table: ScoreTable, metric: str, method: str, against: str) -> Comparison:
    sign = -1.0 if METRICS[metric].better == "higher" else 1.0
    ours, theirs = (sign * table.sample_badness(name, metric) for name in (method, against))
    return Comparison(
        metric=metric,
        method=method,
        against=against,
        mean=float(ours.mean()),
        mean_against=float(theirs.mean()),
        difference=mean_interval(ours - theirs),
        p=paired_test(ours, theirs),
        images=len(ours),
    )


def _judged(one: Comparison, p: float, comparisons: int) -> Comparison:
    difference, low, high = one.difference
    if comparisons * 2.0 ** (1 - one.images) >= SIGNIFICANCE:
        verdict = "too few images"
    elif p >= SIGNIFICANCE or low <= 0 <= high:
        verdict = "no difference shown"
    else:
        verdict = "better" if (difference > 0) == (METRICS[one.metric].better == "higher") else "worse"
    return replace(one, p=p, verdict=verdict)


def label(metric: str) -> str:
    """Return what is compared, in a table: of a metric that is best at 1 the distance from 1.

    >>> label("mse"), label("focus_ratio")
    ('MSE', '|FR − 1|')
    """
    said = METRICS[metric].label
    return f"|{said} − 1|" if METRICS[metric].better == "one" else said


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for their number, step by step from the smallest (Holm 1979).

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order = np.argsort(p_values)
    count = len(p_values)
    corrected = np.maximum.accumulate([(count - rank) * p_values[index] for rank, index in enumerate(order)])
    result = np.empty(count)
    result[order] = np.minimum(corrected, 1.0)
    return [float(value) for value in result]
