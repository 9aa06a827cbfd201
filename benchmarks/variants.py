"""What benchmarks that train several variants share: a variant is trained once, in a folder of its own, and gone on from."""

from __future__ import annotations

import json
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


def measured_once(
    recipe: Recipe, folder: Path, measure: Callable[[Model], dict[str, Any]], *, data: str
) -> dict[str, Any]:
    """Train a recipe in a folder, measure its model, and return what was measured; nothing that is there is done again.

    What a recipe lacks (weights that are not here) is returned under ``missing``.
    """
    result = folder / "result.json"
    if result.exists():
        return dict(json.loads(result.read_text(encoding="utf-8")))
    started = time.monotonic()
    try:
        model = trained_once(recipe, folder, data=data)
        found = measure(model)
        found |= {
            "minutes": round((time.monotonic() - started) / 60, 1),
            "parameters": sum(p.numel() for p in model.network.parameters()),
        }
    except ValueError as error:
        folder.mkdir(parents=True, exist_ok=True)
        found = {"missing": str(error)}
    result.write_text(json.dumps(found), encoding="utf-8")
    return found


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
