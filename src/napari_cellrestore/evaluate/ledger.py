"""What an evaluation leaves on disk: scores line by line as they come, and as one table at the end."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from napari_cellrestore.evaluate.evaluation import Evaluation
from napari_cellrestore.evaluate.scoring import Scored
from napari_cellrestore.evaluate.success import SHARP_UM
from napari_cellrestore.nuclei import NucleiCounts

#: The file to which scores are appended as they come.
LEDGER = "ledger.jsonl"


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


def write_nuclei(evaluation: Evaluation, path: Path) -> None:
    """Write what became of nuclei in every sample as a row of CSV; nothing where they were not counted."""
    if not evaluation.nuclei:
        return
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["sample", "method", *NucleiCounts().as_dict()])
        for sample in evaluation.kept:
            for method, counts in sample.nuclei.items():
                writer.writerow([sample.name, method, *counts.as_dict().values()])


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
    line = {
        "sample": sample.name,
        "levels_um": list(sample.levels_um),
        "scores": scores,
        "remarks": list(sample.remarks),
    }
    nuclei = {method: counts.as_dict() for method, counts in sample.nuclei.items()}
    return line | ({"nuclei": nuclei} if nuclei else {})


def _scored(line: Mapping[str, Any]) -> Scored:
    if "reason" in line:
        return Scored(line["sample"], reason=line["reason"])
    scores = {
        method: {metric: np.array(values, float) for metric, values in metrics.items()}
        for method, metrics in line["scores"].items()
    }
    nuclei = {method: NucleiCounts(**counts) for method, counts in line.get("nuclei", {}).items()}
    return Scored(line["sample"], tuple(line["levels_um"]), scores, tuple(line["remarks"]), nuclei=nuclei)


def _number(value: float) -> float | str | None:
    """Return a number as JSON holds it; float() reads it back."""
    return float(value) if np.isfinite(value) else str(float(value))


def _told(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Say in what two settings differ."""
    now = json.loads(json.dumps(now))
    differing = [key for key in {**before, **now} if before.get(key) != now.get(key)]
    return "; ".join(f"{key} was {before.get(key)}, now {now.get(key)}" for key in differing[:2])
