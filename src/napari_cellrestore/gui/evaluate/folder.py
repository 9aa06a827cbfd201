"""Folders that hold evaluations: where one goes on, and what one says."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path
from threading import Event
from typing import Any

from napari_cellrestore.evaluate import LEDGER, Evaluation, read_evaluation


def fitting_folder(stacks: Path, settings: Mapping[str, Any]) -> Path:
    """Return the folder beside the stacks in which an evaluation with these settings can begin or go on."""
    for number in count(1):
        folder = stacks.with_name(f"{stacks.name} evaluation {number}".removesuffix(" 1"))
        if all(_fits(path, settings) for path in folder.glob(f"*/{LEDGER}")):
            break
    return folder


def _fits(ledger: Path, settings: Mapping[str, Any]) -> bool:
    """Whether what is in a ledger was scored with these settings, as far as it says."""
    with ledger.open(encoding="utf-8") as file:
        before = json.loads(file.readline() or "{}")
    if bool(before.get("pairs")) != bool(settings.get("pairs")):
        return False
    return all(before[name] == value for name, value in settings.items() if name in before)


def results_in(_stop: Event, folder: Path, sharp_um: tuple[float, float]) -> Iterator[tuple[Evaluation, Path, bool]]:
    """Yield the evaluation in a folder as its page shows it, where it is, and whether it came to its end.

    One that did not has no page yet: it is shown as far as it has come, with the sharp planes given here.
    """
    folder = _ledger_folder(folder)
    evaluation = read_evaluation(folder, sharp_um)
    path = folder / "evaluation.json"
    whole = path.is_file()
    if whole:
        said = json.loads(path.read_text(encoding="utf-8"))
        scored = {sample.name: sample for sample in evaluation.samples}
        samples = [scored[name] for name in (*said["samples"], *said["left_out"]) if name in scored]
        evaluation = Evaluation(evaluation.settings, samples, tuple(said["sharp_um"]), said.get("causes", {}))
    _ = evaluation.comparisons, evaluation.remarks  # they take a while, and are kept
    yield evaluation, folder, whole


def _ledger_folder(folder: Path) -> Path:
    """Return the folder itself, or the one in it that holds an evaluation, where it holds none and there is only one."""
    inside = [path.parent for path in sorted(folder.glob(f"*/{LEDGER}"))]
    if (folder / LEDGER).exists() or not inside:
        return folder
    if len(inside) > 1:
        raise ValueError(f"{folder.name} holds several evaluations: choose {' or '.join(path.name for path in inside)}")
    return inside[0]
