"""Whether transposed convolutions draw a checkerboard, and repeated pixels do not (Jönsson & Sjöstrand 2018, section 5.3).

The same narrow transfer network learns to deblur smears with either, alone and against a critic; the score is measured on what it
makes of held-out images, at every stride of its decoder that matters. A run that was stopped goes on.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from variants import RESULTS, interval, markdown, measured_once, slug

from napari_cellrestore.artefacts import checkerboard_score
from napari_cellrestore.held_out import LEVELS_UM, simulated_stack
from napari_cellrestore.metrics import mse
from napari_cellrestore.model import Model
from napari_cellrestore.pairs import split_by_image
from napari_cellrestore.pairs.picture import images_in
from napari_cellrestore.recipe import RECIPES, ImageSource, Recipe
from napari_cellrestore.restore import restore

STRIDES = (2, 4, 8)
LEVEL_UM = 0.8
ROWS = {
    f"{said}, {recipe}": (recipe, upsample)
    for recipe in ("L1Net", "L1GAN")
    for upsample, said in (("resize", "repeated pixels, then a convolution"), ("transposed", "transposed convolution"))
}


def recipe_of(name: str, options: argparse.Namespace) -> Recipe:
    """Return the recipe of a row in the budget asked for."""
    base, upsample = ROWS[name]
    recipe = RECIPES[base]
    return recipe.model_copy(
        update={
            "options": {**recipe.options, "filters": 8, "upsample": upsample},
            "images": (ImageSource(input=str(options.images), every=10),),
            "steps": options.steps,
            "batch": 4,
            "crop_px": 128,
            "average": 0.99,
            "checkpoint_every": 100,
        }
    )


def measured(model: Model, recipe: Recipe, test: list[Path]) -> dict[str, Any]:
    """Return the scores of what a model makes of images out of focus, and its error as a part of theirs."""
    rows = []
    for path in test:
        sharp, stack = simulated_stack(path, recipe.pairs, 0)
        blurred = np.asarray(stack.data[LEVELS_UM.index(LEVEL_UM)])
        made = np.asarray(restore(blurred, model))
        scores = [[checkerboard_score(image, stride) for stride in STRIDES] for image in (sharp, made)]
        rows.append([*scores[0], *scores[1], mse(sharp, made, data_range=255) / mse(sharp, blurred, data_range=255)])
    return {"rows": rows}


def main() -> None:
    """Run what is asked for and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("images", type=Path, help="folder of sharp smears")
    parser.add_argument("--steps", type=int, default=600, help="of every row")
    parser.add_argument("--threads", type=int, help="processor cores to use")
    parser.add_argument("--runs", type=Path, default=Path("runs/checkerboard"))
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    head = ["", *(f"score at {stride} px" for stride in STRIDES), "error (MSE) of the input's"]
    body: dict[str, list[str]] = {}
    for name in ROWS:
        recipe = recipe_of(name, options)
        test = list(split_by_image(images_in(options.images), every=10).test)[:12]
        found = measured_once(
            recipe,
            options.runs / slug(name),
            RESULTS / "checkerboard" / f"{options.steps}" / f"{slug(name)}.json",
            lambda model, recipe=recipe, test=test: measured(model, recipe, test),
            data="smears",
        )
        rows = np.array(found["rows"])
        body.setdefault("the sharp images", [*(interval(rows[:, index], 2) for index in range(len(STRIDES))), ""])
        body[name] = [interval(rows[:, index], 2) for index in range(len(STRIDES), rows.shape[1])]
    print("\n".join(markdown(head, body)))


if __name__ == "__main__":
    main()
