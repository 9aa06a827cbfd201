"""Tables of scores by focus level, in the layouts of Olofsson & Wagnström 2019, tables 6.1, A.1 and 7.1."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_cellrestore.evaluate.certainty import badness, mean_interval
from napari_cellrestore.evaluate.success import (
    INTERVALS_UM,
    SHARP_UM,
    Levels,
    check_levels,
    check_scores,
    interval_rates,
    success_matrix,
)
from napari_cellrestore.metrics import METRICS

Array = np.ndarray

#: What the source prints as the PSNR of identical images.
PSNR_CAP = 50.0


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
        levels = check_levels(levels_um)
        scores = {
            method: {name: check_scores([stack[method][name] for stack in stacks], len(levels)) for name in metrics}
            for method, metrics in stacks[0].items()
        }
        return cls(tuple(levels.tolist()), scores)

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics that were measured."""
        return tuple(next(iter(self.scores.values())))

    def by_level(self, method: str, psnr_cap: float | None = PSNR_CAP) -> Table:
        """Return the mean scores of a method at each focus level and over all, as table 6.1.

        PSNR is infinite for identical images, and so would be its mean: the source prints 50, and so does ``psnr_cap``.
        Images that have no plane at a level are not counted there.
        """
        columns = {METRICS[name].label: self.values(method, name, psnr_cap) for name in self._of(method)}
        rows = {
            level_name(level): [float(np.nanmean(values[:, index])) for values in columns.values()]
            for index, level in enumerate(self.levels_um)
        }
        rows["Mean"] = [float(np.nanmean(values)) for values in columns.values()]
        return Table(method, tuple(columns), rows)

    def values(self, method: str, metric: str, psnr_cap: float | None = PSNR_CAP) -> Array:
        """Return the scores (N, L) of a method, PSNR with a cap."""
        values = self._of(method)[metric]
        return np.minimum(values, psnr_cap) if metric == "psnr" and psnr_cap is not None else values

    def sample_badness(self, method: str, metric: str) -> Array:
        """Return one number for each image, (N,), smaller is better: its mean over the focus levels that all images have.

        Where they share none it is over each image's own. A metric that is best at 1 counts by its distance from 1, one
        whose higher values are better with the sign changed.
        """
        values = badness(self.values(method, metric), metric)
        shared = ~np.isnan(values).any(axis=0)
        return np.asarray(np.nanmean(values[:, shared] if shared.any() else values, axis=1))

    def level_intervals(self, method: str, metric: str) -> Array:
        """Return mean over images and its bootstrap interval at each focus level, (L, 3), as figure 6.8 draws means."""
        values = self.values(method, metric)
        return np.array([mean_interval(column[~np.isnan(column)]) for column in values.T])

    def success(self, method: str, metric: str, sharp: tuple[float, float] = SHARP_UM) -> Table:
        """Return the success matrix of a method with the success rate ``SR`` of each row, as table A.1."""
        restored, planes = (badness(self._of(name)[metric], metric) for name in (method, "input"))
        matrix, success = success_matrix(restored, planes, self.levels_um, sharp)
        body = np.column_stack([matrix, success])
        rows = dict(zip(map(level_name, self.levels_um), body.tolist(), strict=True))
        rows["Total (%)"] = np.nanmean(body, axis=0).tolist()
        return Table(f"{method} {METRICS[metric].label}", (*map(level_name, self.levels_um), "SR (%)"), rows)

    def intervals(
        self,
        metrics: Sequence[str] = ("mse", "fpw"),
        intervals_um: Sequence[tuple[float, float]] = INTERVALS_UM,
        sharp: tuple[float, float] = SHARP_UM,
    ) -> Table:
        """Return the success rates of every method over intervals of focus level, as table 7.1."""
        rows = {}
        for method in self.scores:
            for metric in metrics if method != "input" else ():
                success = [row[-1] for row in list(self.success(method, metric, sharp).rows.values())[:-1]]
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


def level_name(level_um: float) -> str:
    """Return a focus level as the name of a row."""
    return f"{level_um + 0.0:g} um"  # + 0.0 makes a negative zero positive


def _json(value: float) -> float | str | None:
    return None if np.isnan(value) else float(value) if np.isfinite(value) else str(value)
