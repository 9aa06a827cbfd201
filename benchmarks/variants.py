"""What benchmarks that train several variants share: a variant is trained once, in a folder of its own, and gone on from.

What was measured of it is kept in ``benchmarks/results``, beside the benchmark: another machine goes on from there.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from napari_cellrestore.evaluate.certainty import mean_interval
from napari_cellrestore.model import Model, load_model
from napari_cellrestore.pairs import training_images
from napari_cellrestore.recipe import Recipe
from napari_cellrestore.train import train
from napari_cellrestore.trained_model import make_model

RESULTS = Path(__file__).parent / "results"


def slug(name: str) -> str:
    """Return the name of a row as that of a file."""
    return re.sub(r"[^A-Za-z0-9.-]+", "-", name).strip("-")


def known(result: Path) -> dict[str, Any]:
    """Return what was measured of a variant, or under ``missing`` why it cannot be run; nothing where neither is known."""
    return dict(json.loads(result.read_text(encoding="utf-8"))) if result.exists() else {}


def keep(result: Path, found: dict[str, Any]) -> dict[str, Any]:
    """Write what was measured of a variant, and return it."""
    result.parent.mkdir(parents=True, exist_ok=True)
    result.write_text(json.dumps(found) + "\n", encoding="utf-8")
    return found


def why(error: ValueError) -> dict[str, Any]:
    """Return why a variant cannot be run; what follows the reason names folders of this machine."""
    return {"missing": str(error).partition(";")[0]}


def measured_once(
    recipe: Recipe, folder: Path, result: Path, measure: Callable[[Model], dict[str, Any]], *, data: str
) -> dict[str, Any]:
    """Train a recipe in a folder, measure its model, and return what was measured; nothing that is known is done again.

    What a recipe lacks (weights that are not here) is returned under ``missing``, and tried again the next time.
    """
    found = known(result)
    if found and "missing" not in found:
        return found
    started = time.monotonic()
    try:
        model = trained_once(recipe, folder, data=data)
        found = measure(model)
    except ValueError as error:
        return keep(result, why(error))
    minutes = round((time.monotonic() - started) / 60, 1)
    parameters = sum(p.numel() for p in model.network.parameters())
    return keep(result, {**found, "minutes": minutes, "parameters": parameters})


def trained_once(recipe: Recipe, folder: Path, *, data: str) -> Model:
    """Return the model of a recipe, trained in a folder as far as it is not."""
    if (folder / "model").exists():
        return load_model(folder / "model")
    images = training_images(recipe)
    for progress in train(recipe, images.pairs, folder, resume=True):
        if progress.step % recipe.checkpoint_every == 0:
            left = progress.seconds_left / 60
            print(f"{folder.name}: {progress.step} of {progress.steps}, {left:.0f} minutes left", flush=True)
    return make_model(folder, folder / "model", images, recipe, data=data)


def interval(values: Any, digits: int) -> str:
    """Return a mean over images with its 95 % interval."""
    mean, low, high = mean_interval(np.asarray(values, float))
    return f"{mean:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def markdown(head: list[str], rows: Mapping[str, list[str]]) -> list[str]:
    """Return a table whose first column names the rows."""
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    return lines + [f"| {name} | {' | '.join(cells)} |" for name, cells in rows.items()]
