"""Pictures of the best and the worst samples of an evaluation (Wulff 2022, section 4.2.4)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from napari_cellrestore.evaluate.certainty import badness
from napari_cellrestore.evaluate.evaluation import EXTREMES_BY, Evaluation
from napari_cellrestore.evaluate.scoring import WRONG_SAMPLE, Method, Sample, computed

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Extreme:
    """One of the best or worst samples of a method by a metric, at one focus level.

    ``rank`` is ``"best"`` or ``"worst"``; ``score`` and ``score_input`` are of this level.
    """

    method: str
    metric: str
    rank: str
    name: str
    level_um: float
    score: float
    score_input: float
    blurred: Array
    restored: Array
    reference: Array
    pixel_um: float | None = None


def extreme_pictures(
    evaluation: Evaluation,
    samples: Mapping[str, Callable[[], Sample]],
    methods: Mapping[str, Method],
    count: int = 2,
) -> list[Extreme]:
    """Return the best and the worst samples of each method, restored once more, as only numbers were kept.

    All are shown at one focus level, the one whose input planes are typical: as bad as the mean over all levels (a sample
    that lacks it, at the nearest it has). Samples that can no longer be opened are left out.
    """
    found = []
    wanted = [
        (method, metric, rank, name)
        for method in evaluation.methods
        if method in methods
        for metric in EXTREMES_BY
        if metric in evaluation.table.metrics
        for rank, names in zip(("best", "worst"), evaluation.extremes(method, metric, count), strict=True)
        for name in names
    ]
    for name in dict.fromkeys(name for *_, name in wanted):
        try:
            sample = samples[name]()
            shown = {method: _restored(sample, apply, evaluation) for method, apply in methods.items()}
        except (*WRONG_SAMPLE, KeyError):
            continue
        found += [_extreme(evaluation, sample, shown, one) for one in wanted if one[3] == name]
    return sorted(found, key=lambda one: wanted.index((one.method, one.metric, one.rank, one.name)))


def typical_level(evaluation: Evaluation, metric: str = "mse") -> float:
    """Return the focus level at which the input is as bad as on the mean over all levels, the higher of two."""
    means = np.nanmean(badness(evaluation.table.values("input", metric), metric), axis=0)
    distance = np.abs(means - np.nanmean(means))
    nearest = np.flatnonzero(np.isclose(distance, distance.min(), rtol=0.05))
    return evaluation.levels_um[int(nearest[-1])]


def _index(sample: Sample, evaluation: Evaluation) -> int:
    metric = "mse" if "mse" in evaluation.table.metrics else evaluation.table.metrics[0]
    return int(np.argmin(np.abs(np.asarray(sample.stack.z_um) - typical_level(evaluation, metric))))


def _restored(sample: Sample, apply: Method, evaluation: Evaluation) -> Array:
    return computed(apply(sample.stack)[_index(sample, evaluation)])


def _extreme(
    evaluation: Evaluation, sample: Sample, shown: Mapping[str, Array], wanted: tuple[str, str, str, str]
) -> Extreme:
    method, metric, rank, name = wanted
    index = _index(sample, evaluation)
    level_um = float(np.asarray(sample.stack.z_um)[index])
    row = next(number for number, kept in enumerate(evaluation.kept) if kept.name == name)
    column = evaluation.levels_um.index(level_um)
    score, score_input = (float(evaluation.table.scores[one][metric][row, column]) for one in (method, "input"))
    blurred = computed(sample.stack.data[index])
    images = blurred, shown[method], sample.reference
    return Extreme(method, metric, rank, name, level_um, score, score_input, *images, pixel_um=sample.stack.pixel_um)
