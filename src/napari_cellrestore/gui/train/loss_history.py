"""The losses of a run, step by step."""

from __future__ import annotations

import csv
from array import array
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np

Array = np.ndarray
#: What an event of a step tells besides its losses.
NO_LOSSES = ("step", "of", "left_s", "validation")


class LossHistory:
    """Losses of every step by name, and the errors of validation.

    Examples
    --------
    >>> history = LossHistory()
    >>> for step in range(1, 5):
    ...     history.add({"step": step, "of": 9, "loss": 12.0 / step})
    >>> steps, means = history.curve("loss", 2)
    >>> steps.tolist(), means.tolist()
    ([1.5, 3.5], [9.0, 3.5])
    """

    def __init__(self) -> None:
        self._steps = array("q")
        self._losses: dict[str, array[float]] = {}
        self._validation: list[tuple[int, float]] = []

    @property
    def names(self) -> list[str]:
        """Names of the losses seen so far; of a single one its weighted self is left out."""
        names = list(self._losses)
        return ["loss"] if len(names) == 2 and "loss" in names else names

    @property
    def last(self) -> int:
        """The last step known, 0 where none is."""
        return self._steps[-1] if self._steps else 0

    def add(self, event: dict[str, Any]) -> None:
        """Add the losses of a step, as the command tells them; a loss that was not taken, or is no number, is NaN."""
        self._steps.append(event["step"])
        losses = {name: value for name, value in event.items() if name not in NO_LOSSES}
        for name in losses:
            if name not in self._losses:
                self._losses[name] = array("d", [np.nan]) * (len(self._steps) - 1)
        for name, values in self._losses.items():
            values.append(_number(losses.get(name)))
        if event.get("validation") is not None:
            self._validation.append((event["step"], _number(event["validation"])))

    def cut(self, step: int) -> None:
        """Forget what came after a step: a run that is resumed there takes these steps again."""
        kept = sum(one <= step for one in self._steps)
        del self._steps[kept:]
        for values in self._losses.values():
            del values[kept:]
        self._validation = [one for one in self._validation if one[0] <= step]

    def curve(self, name: str, points: int) -> tuple[Array, Array]:
        """Return steps and losses as means over successive steps, about so many: drawn at once, and smooth."""
        steps, values = np.asarray(self._steps, float), np.asarray(self._losses[name])
        edges = np.arange(0, len(steps), -(-len(steps) // points)) if len(steps) else np.zeros(0, int)
        known = np.isfinite(values)
        count = np.add.reduceat(known, edges, dtype=float) if len(edges) else np.zeros(0)
        total = np.add.reduceat(np.where(known, values, 0), edges) if len(edges) else np.zeros(0)
        length = np.diff([*edges, len(steps)])
        middle = np.add.reduceat(steps, edges) / length if len(edges) else np.zeros(0)
        return middle[count > 0], total[count > 0] / count[count > 0]

    def validation(self) -> tuple[Array, Array]:
        """Return steps and errors of the validations."""
        rows = np.asarray(self._validation, float).reshape(-1, 2)
        return rows[:, 0], rows[:, 1]


def read_history(_stop: Event, run: Path, step: int) -> Iterator[LossHistory]:
    """Yield what the tables of a run say up to the step of its state; rows that were being written are left out."""
    history = LossHistory()
    checked = {row["step"]: row["error"] for row in _rows(run / "validation.csv")}
    for row in _rows(run / "losses.csv"):
        losses = {name: value for name, value in row.items() if name != "step"}
        history.add({"step": int(row["step"]), **losses, "validation": checked.get(row["step"])})
    history.cut(step)
    yield history


def _rows(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if (row["step"] or "").isdecimal() and None not in row.values()]


def _number(value: Any) -> float:
    """Return a number of JSON or of a table, which may be empty; what is none becomes NaN."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return float("nan")
