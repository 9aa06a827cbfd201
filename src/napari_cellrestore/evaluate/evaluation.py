"""An evaluation: scores of methods on many samples, written down as they come, and what they say together."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from napari_cellrestore.evaluate.comparison import Comparison, compare_methods
from napari_cellrestore.evaluate.scoring import Scored
from napari_cellrestore.evaluate.success import SHARP_UM
from napari_cellrestore.evaluate.tables import ScoreTable, Table
from napari_cellrestore.metrics import METRICS

Array = np.ndarray

#: Metrics by which success is told (table 7.1).
SUCCESS_BY = ("mse", "fpw")
#: Metrics by which the best and the worst samples are chosen (Wulff 2022, section 4.2.4: by similarity and by loss).
EXTREMES_BY = ("ssim", "mse")
#: The file to which scores are appended as they come.
LEDGER = "ledger.jsonl"


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Scores of methods on samples, and the samples that had to be left out.

    Parameters
    ----------
    settings : mapping
        What was measured with what: ``images`` (where the samples come from), ``methods`` (name -> what it is), and
        whatever else must be the same for scores to be put together.
    samples : sequence of Scored
    sharp_um : (float, float)
        Focus levels that count as sharp.
    """

    settings: Mapping[str, Any]
    samples: Sequence[Scored]
    sharp_um: tuple[float, float] = SHARP_UM

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

    def extremes(self, method: str, metric: str, count: int = 3) -> tuple[list[str], list[str]]:
        """Return the names of the best samples of a method, best first, and of the worst, worst first.

        A sample counts by its mean over the levels that all have.
        """
        order = np.argsort(self.table.sample_badness(method, metric), kind="stable").tolist()
        names = [self.kept[index].name for index in order]
        return names[:count], names[::-1][:count]

    def tables(self) -> dict[str, Table]:
        """Return the tables by what they are called as files."""
        table = self.table
        success = [metric for metric in SUCCESS_BY if metric in table.metrics]
        named = {f"by level, {method}": table.by_level(method) for method in table.scores}
        for metric in success:
            for method in self.methods:
                named[f"success by {metric}, {method}"] = table.success(method, metric, self.sharp_um)
        named["success rates"] = table.intervals(success, sharp=self.sharp_um)
        return named

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


# --- on disk -----------------------------------------------------------------------------------------------


class Ledger:
    """Scores of samples as lines of JSON, appended as they come; an evaluation that was stopped goes on from there.

    The first line holds the settings. A line that was cut off by a stop is dropped.

    Parameters
    ----------
    path : path
        Of the file; its folder must exist.
    settings : mapping
        See :class:`Evaluation`.

    Raises
    ------
    ValueError
        The file was written with other settings.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        self._path = path
        lines = _whole_lines(path)
        if lines and (before := json.loads(lines[0])) != json.loads(json.dumps(settings)):
            raise ValueError(f"{path}: is of another evaluation ({_told(before, settings)}); give another folder")
        self.done = [_scored(json.loads(line)) for line in lines[1:]]
        with path.open("ab") as file:  # what is whole stays where it is, only a cut-off end goes
            file.truncate(sum(len(line.encode()) + 1 for line in lines))
            if not lines:
                file.write(f"{json.dumps(settings, ensure_ascii=False)}\n".encode())

    def add(self, sample: Scored) -> None:
        """Append what became of a sample."""
        self.done.append(sample)
        with self._path.open("a", encoding="utf-8", newline="\n") as file:
            file.write(json.dumps(_line(sample), ensure_ascii=False) + "\n")


def read_evaluation(folder: str | Path, sharp_um: tuple[float, float] = SHARP_UM) -> Evaluation:
    """Return the evaluation whose ledger is in a folder, as far as it has come."""
    path = Path(folder) / LEDGER
    lines = _whole_lines(path)
    if not lines:
        raise ValueError(
            f"{folder}: holds no evaluation ({LEDGER}); give a folder that cellrestore evaluate has written"
        )
    try:
        scored = [_scored(json.loads(line)) for line in lines[1:]]
        latest = {sample.name: sample for sample in scored}  # one that was left out may have been scored later
        return Evaluation(json.loads(lines[0]), list(latest.values()), sharp_um)
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: is not the ledger of an evaluation ({error})") from error


def write_scores(evaluation: Evaluation, path: Path) -> None:
    """Write every score as a row of CSV, in full precision."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["sample", "level_um", "method", "metric", "value"])
        writer.writerows(
            [name, f"{level:g}", method, metric, "" if np.isnan(value) else repr(value)]
            for name, level, method, metric, value in evaluation.score_rows()
        )


def _whole_lines(path: Path) -> list[str]:
    whole, end, _ = (path.read_bytes() if path.exists() else b"").rpartition(b"\n")  # what follows was cut off
    return (whole + end).decode().split("\n")[:-1]


def _line(sample: Scored) -> dict[str, Any]:
    if sample.reason:
        return {"sample": sample.name, "reason": sample.reason}
    scores = {
        method: {metric: [_number(value) for value in values] for metric, values in metrics.items()}
        for method, metrics in sample.scores.items()
    }
    return {
        "sample": sample.name,
        "levels_um": list(sample.levels_um),
        "scores": scores,
        "remarks": list(sample.remarks),
    }


def _scored(line: Mapping[str, Any]) -> Scored:
    if "reason" in line:
        return Scored(line["sample"], reason=line["reason"])
    scores = {
        method: {metric: np.array(values, float) for metric, values in metrics.items()}
        for method, metrics in line["scores"].items()
    }
    return Scored(line["sample"], tuple(line["levels_um"]), scores, tuple(line["remarks"]))


def _number(value: float) -> float | str | None:
    """Return a number as JSON holds it; float() reads it back."""
    return float(value) if np.isfinite(value) else str(float(value))


def _told(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Say in what two settings differ."""
    now = json.loads(json.dumps(now))
    differing = [key for key in {**before, **now} if before.get(key) != now.get(key)]
    return "; ".join(f"{key} was {before.get(key)}, now {now.get(key)}" for key in differing[:2])
