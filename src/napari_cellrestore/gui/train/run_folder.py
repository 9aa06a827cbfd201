"""The folder of a training run, as the window sees it: how far it has come, what was set, what it left to be seen."""

from __future__ import annotations

from pathlib import Path

from napari_cellrestore.model import models_folder
from napari_cellrestore.recipe import Recipe
from napari_cellrestore.train import RECIPE


def runs_folder() -> Path:
    """Where runs are unless another folder is chosen: beside the user's models."""
    return models_folder().parent / "runs"


def recipe_of(run: Path) -> Recipe:
    """Return the recipe that a run was begun with."""
    return Recipe.read(run / RECIPE)


def ask_to_pause(run: Path) -> None:
    """Let the run save its state after this step and end."""
    (run / "pause").touch()


def newest_sample(run: Path) -> Path | None:
    """Return the picture of input, output and target that was written last, None where there is none."""
    return max((run / "samples").glob("*.png"), default=None)
