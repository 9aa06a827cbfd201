"""The best and the worst samples once more: pictures, and what may be wrong with the worst (Wulff 2022, 4.2.4)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from napari_cellrestore.evaluate.causes import Case, likely_causes, said
from napari_cellrestore.evaluate.certainty import badness
from napari_cellrestore.evaluate.evaluation import EXTREMES, EXTREMES_BY, Evaluation
from napari_cellrestore.evaluate.scoring import WRONG_SAMPLE, Method, Sample, computed

Array = np.ndarray
#: What may be wrong, in words, by method and sample.
Causes = dict[str, dict[str, list[str]]]


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
    wanted = _wanted(evaluation, methods, count)
    found = [
        _extreme(evaluation, sample, shown, one)
        for name, sample, shown in _restored_again(evaluation, samples, methods, wanted)
        for one in wanted
        if one[3] == name
    ]
    return sorted(found, key=lambda one: wanted.index((one.method, one.metric, one.rank, one.name)))


def worst_causes(
    evaluation: Evaluation,
    samples: Mapping[str, Callable[[], Sample]],
    methods: Mapping[str, Method],
    count: int = EXTREMES,
) -> Causes:
    """Return what may be wrong with the worst samples of each method by each metric, and with those that lack nuclei.

    They are restored once more, one after another, at the focus level of :func:`extreme_pictures`.
    """
    worst = [(method, name) for method, _, rank, name in _wanted(evaluation, methods, count) if rank == "worst"]
    worst += [
        (method, sample.name)
        for method in evaluation.methods
        if method in methods
        for sample in evaluation.worst_by_nuclei(method, count)
    ]
    causes: Causes = {method: {} for method in dict.fromkeys(method for method, _ in worst)}
    wanted = [(method, "", "worst", name) for method, name in dict.fromkeys(worst)]
    for name, sample, shown in _restored_again(evaluation, samples, methods, wanted):
        given = computed(sample.inputs[_index(sample, evaluation)])
        for method in shown:
            if (method, name) in worst:
                case = Case(sample.stack, given, shown[method], sample.reference)
                causes[method][name] = said(likely_causes(case))
    return causes


_Wanted = tuple[str, str, str, str]  # method, metric, rank and name


def _wanted(evaluation: Evaluation, methods: Mapping[str, Method], count: int) -> list[_Wanted]:
    return [
        (method, metric, rank, name)
        for method in evaluation.methods
        if method in methods
        for metric in EXTREMES_BY
        if metric in evaluation.table.metrics
        for rank, names in zip(("best", "worst"), evaluation.extremes(method, metric, count), strict=True)
        for name in names
    ]


def _restored_again(
    evaluation: Evaluation,
    samples: Mapping[str, Callable[[], Sample]],
    methods: Mapping[str, Method],
    wanted: list[_Wanted],
) -> Iterator[tuple[str, Sample, dict[str, Array]]]:
    """Yield name, sample and restored images of what is wanted, each sample once; those that cannot be opened are left out."""
    for name in dict.fromkeys(name for *_, name in wanted):
        try:
            sample = samples[name]()
            index = _index(sample, evaluation)
            needed = dict.fromkeys(method for method, _, _, other in wanted if other == name)
            shown = {method: computed(sample.restored(methods[method])[index]) for method in needed}
        except (*WRONG_SAMPLE, KeyError):
            continue
        yield name, sample, shown


def typical_level(evaluation: Evaluation, metric: str = "mse") -> float:
    """Return the focus level at which the input is as bad as on the mean over all levels, the higher of two."""
    means = np.nanmean(badness(evaluation.table.values("input", metric), metric), axis=0)
    distance = np.abs(means - np.nanmean(means))
    nearest = np.flatnonzero(np.isclose(distance, distance.min(), rtol=0.05))
    return evaluation.levels_um[int(nearest[-1])]


def _index(sample: Sample, evaluation: Evaluation) -> int:
    metric = "mse" if "mse" in evaluation.table.metrics else evaluation.table.metrics[0]
    return int(np.argmin(np.abs(sample.levels_um - typical_level(evaluation, metric))))


def _extreme(evaluation: Evaluation, sample: Sample, shown: Mapping[str, Array], wanted: _Wanted) -> Extreme:
    method, metric, rank, name = wanted
    index = _index(sample, evaluation)
    level_um = float(sample.levels_um[index])
    row = next(number for number, kept in enumerate(evaluation.kept) if kept.name == name)
    column = evaluation.levels_um.index(level_um)
    score, score_input = (float(evaluation.table.scores[one][metric][row, column]) for one in (method, "input"))
    blurred = computed(sample.inputs[index])
    images = blurred, shown[method], sample.reference
    return Extreme(method, metric, rank, name, level_um, score, score_input, *images, pixel_um=sample.stack.pixel_um)
