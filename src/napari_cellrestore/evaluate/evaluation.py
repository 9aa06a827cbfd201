"""An evaluation: scores of methods on many samples, written down as they come, and what they say together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from napari_cellrestore.evaluate.comparison import Comparison, compare_methods
from napari_cellrestore.evaluate.scoring import Scored
from napari_cellrestore.evaluate.success import SHARP_UM
from napari_cellrestore.evaluate.tables import ScoreTable, Table
from napari_cellrestore.metrics import METRICS
from napari_cellrestore.nuclei import NucleiCounts

Array = np.ndarray

#: Metrics by which success is told (table 7.1).
SUCCESS_BY = ("mse", "fpw")
#: Metrics by which the best and the worst samples are chosen (Wulff 2022, section 4.2.4: by similarity and by loss).
EXTREMES_BY = ("ssim", "mse", "mae")
#: How many of the best and of the worst are named, and looked at for likely causes.
EXTREMES = 5


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Scores of methods on samples, and the samples that had to be left out.

    Parameters
    ----------
    settings : mapping
        What was measured with what: ``images`` (where the samples come from), ``methods`` (name -> what it is), and
        whatever else must be the same for scores to be put together. ``pairs`` is true where they are of pairs of images.
    samples : sequence of Scored
    sharp_um : (float, float)
        Focus levels that count as sharp.
    causes : mapping
        ``causes[method][sample]``: what may be the reason that one of the worst is bad, in words, the likeliest first.
    """

    settings: Mapping[str, Any]
    samples: Sequence[Scored]
    sharp_um: tuple[float, float] = SHARP_UM
    causes: Mapping[str, Mapping[str, Sequence[str]]] = field(default_factory=dict)

    @property
    def of_pairs(self) -> bool:
        """Whether the samples are pairs of images, which have no focus levels."""
        return bool(self.settings.get("pairs"))

    @cached_property
    def kept(self) -> list[Scored]:
        """The samples that were scored."""
        return [sample for sample in self.samples if not sample.reason]

    @cached_property
    def left_out(self) -> dict[str, str]:
        """Why the others were not."""
        return {sample.name: sample.reason for sample in self.samples if sample.reason}

    @cached_property
    def levels_um(self) -> tuple[float, ...]:
        """Focus levels of all samples together."""
        return tuple(sorted(self._level_counts))

    @cached_property
    def table(self) -> ScoreTable:
        """The scores, samples by focus levels; NaN where a sample has no plane at a level."""
        if not self.kept:
            first = next(iter(self.left_out.items()), ("", "there were none"))
            raise ValueError(f"no sample could be scored; {': '.join(first)}")
        rows = [_spread(sample, self.levels_um) for sample in self.kept]
        return ScoreTable.of_stacks(self.levels_um, rows)

    @cached_property
    def remarks(self) -> dict[str, list[str]]:
        """What makes samples doubtful: flags of their focus curves, and levels that at least half of the others have."""
        usual = {level for level, count in self._level_counts.items() if 2 * count >= len(self.kept)}
        remarks = {}
        for sample in self.kept:
            missing = sorted(usual - set(sample.levels_um))
            said = [f"no plane at {', '.join(f'{level:g}' for level in missing)} um"] if missing else []
            if texts := [*sample.remarks, *said]:
                remarks[sample.name] = texts
        return remarks

    @cached_property
    def _level_counts(self) -> Counter[float]:
        return Counter(level for sample in self.kept for level in sample.levels_um)

    @property
    def methods(self) -> list[str]:
        """Names of what was measured, without the input."""
        return [method for method in self.table.scores if method != "input"]

    def of_input(self, method: str) -> dict[str, float]:
        """Return by label of the metric what is left of the input's error: mean over levels, divided by the input's."""
        scores = self.table.scores
        return {
            METRICS[metric].label: float(np.nanmean(scores[method][metric]) / np.nanmean(scores["input"][metric]))
            for metric in SUCCESS_BY
            if metric in self.table.metrics and np.nanmean(scores["input"][metric])
        }

    @cached_property
    def comparisons(self) -> list[Comparison]:
        """Every method against the input, and against the methods named before it."""
        return compare_methods(self.table)

    @cached_property
    def nuclei(self) -> dict[str, NucleiCounts]:
        """What became of the nuclei of all samples together, by method; empty where none were counted."""
        methods = dict.fromkeys(method for sample in self.kept for method in sample.nuclei)
        return {
            method: sum((sample.nuclei[method] for sample in self.kept if method in sample.nuclei), NucleiCounts())
            for method in methods
        }

    def worst_by_nuclei(self, method: str, count: int | None = None) -> list[Scored]:
        """Return the samples that lack nuclei of the target or have others, the worst first."""
        wrong = [sample for sample in self.kept if method in sample.nuclei and sample.nuclei[method].wrong]
        return sorted(wrong, key=lambda sample: -sample.nuclei[method].wrong)[:count]

    def extremes(self, method: str, metric: str, count: int = EXTREMES) -> tuple[list[str], list[str]]:
        """Return the names of the best samples of a method, best first, and of the worst, worst first.

        A sample counts by its mean over the levels that all have.
        """
        order = np.argsort(self.table.sample_badness(method, metric), kind="stable").tolist()
        names = [self.kept[index].name for index in order]
        return names[:count], names[::-1][:count]

    def tables(self) -> dict[str, Table]:
        """Return the tables by what they are called as files."""
        named = {"means": self.means()} if self.of_pairs else self._level_tables()
        return named | ({"nuclei": self.nuclei_table()} if self.nuclei else {})

    def _level_tables(self) -> dict[str, Table]:
        table = self.table
        success = [metric for metric in SUCCESS_BY if metric in table.metrics]
        named = {f"by level, {method}": table.by_level(method) for method in table.scores}
        for metric in success:
            for method in self.methods:
                named[f"success by {metric}, {method}"] = table.success(method, metric, self.sharp_um)
        named["success rates"] = table.intervals(success, sharp=self.sharp_um)
        return named

    def means(self) -> Table:
        """Return the mean of each metric over images with its bootstrap 95 % interval, pairs of images only."""
        rows = {
            f"{METRICS[metric].label}, {method}": self.table.level_intervals(method, metric)[0].tolist()
            for metric in self.table.metrics
            for method in self.table.scores
        }
        return Table("over images", ("mean", "from", "to"), rows)

    def nuclei_table(self) -> Table:
        """Return what became of nuclei, as counts and shares with their 95 % intervals (Wilson)."""
        rows = {}
        for method, counts in self.nuclei.items():
            for name, rate in counts.rates().items():
                shares = [np.nan if part is None else 100 * part for part in (rate.share, rate.low, rate.high)]
                rows[f"{method}: {name}"] = [rate.count, rate.of, *shares]
        return Table("nuclei", ("count", "of", "share (%)", "from", "to"), rows)

    def as_dict(self) -> dict[str, Any]:
        """Return everything but the single scores, as JSON can hold it."""
        extremes = {
            method: {
                metric: dict(zip(("best", "worst"), self.extremes(method, metric), strict=True))
                for metric in EXTREMES_BY
                if metric in self.table.metrics
            }
            for method in self.methods
        }
        return {
            **self.settings,
            "of_input": {method: self.of_input(method) for method in self.methods},
            "sharp_um": list(self.sharp_um),
            "samples": [sample.name for sample in self.kept],
            "left_out": self.left_out,
            "remarks": self.remarks,
            "tables": {name: table.as_dict() for name, table in self.tables().items()},
            "comparisons": [comparison.as_dict() for comparison in self.comparisons],
            "best_and_worst": extremes,
            "causes": {
                method: {name: list(said) for name, said in named.items()} for method, named in self.causes.items()
            },
            "nuclei": {method: counts.as_dict() for method, counts in self.nuclei.items()},
        }

    def score_rows(self) -> Iterator[tuple[str, float, str, str, float]]:
        """Yield every score as (sample, level in um, method, metric, value)."""
        for sample in self.kept:
            for method, metrics in sample.scores.items():
                for metric, values in metrics.items():
                    for level, value in zip(sample.levels_um, values, strict=True):
                        yield sample.name, level, method, metric, float(value)


def _spread(sample: Scored, levels_um: Sequence[float]) -> dict[str, dict[str, Array]]:
    """Return the scores of a sample at all levels."""
    places = [levels_um.index(level) for level in sample.levels_um]
    spread: dict[str, dict[str, Array]] = {}
    for method, metrics in sample.scores.items():
        spread[method] = {}
        for metric, values in metrics.items():
            row = np.full(len(levels_um), np.nan)
            row[places] = values
            spread[method][metric] = row
    return spread
