"""Train small networks alike and measure them on the same held-out smears, to choose the one to bundle.

Every candidate has the recipe of ``deblur-fast`` but for its network or losses, the same number of steps on the same
crops, and its own folder: a run that was stopped goes on, a finished one is not repeated. Milliseconds are of 360 x 360
pixels, of all candidates in turn in one run.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from variants import RESULTS, known, measured_once, slug

from napari_cellrestore.engine import padded, torch_run
from napari_cellrestore.evaluate.certainty import mean_interval
from napari_cellrestore.held_out import model_method, score_held_out, summary
from napari_cellrestore.model import Model
from napari_cellrestore.networks import create_network, stride_of
from napari_cellrestore.pairs import training_images
from napari_cellrestore.recipe import RECIPES, FeatureSettings, ImageSource, Recipe

#: The source's fast network, and what its optimiser does best with.
_PIX2PIX: dict[str, Any] = {
    "network": "pix2pix-fast",
    "options": {"norm": "none", "dropout": 0.0, "global_skip": True},
    "learning_rate": 2e-3,
    "muon_rate": 0.02,
}
#: NAFNet does best with less; at 0.02 it does not learn.
_NAFNET: dict[str, Any] = {"network": "nafnet-fast", "learning_rate": 1e-3, "muon_rate": 0.005}
#: What each candidate changes of the recipe.
CANDIDATES: dict[str, dict[str, Any]] = {
    "pix2pix-fast": _PIX2PIX,
    "pix2pix-fast, distance loss": {
        **_PIX2PIX,
        "losses": {"rmse": 1.0, "feature": 0.1},
        "features": FeatureSettings(network="distance", layers=(3,)),
    },
    "nafnet-fast": {**_NAFNET, "options": {}},
    "nafnet-fast, faint": {**_NAFNET, "options": {"faint": 1.0}},
    "nafnet-fast, fold 4": {
        **_NAFNET,
        "options": {"width": 48, "fold": 4, "blocks": (0, 3), "up_blocks": (1,)},
    },
}


def folder_of(name: str, options: argparse.Namespace) -> Path:
    """Return the folder of a candidate."""
    return Path(options.runs) / f"{options.steps}" / slug(name)


def result_of(name: str, options: argparse.Namespace) -> Path:
    """Return where the numbers of a candidate are kept."""
    return RESULTS / "architectures" / f"{options.steps}" / f"{slug(name)}.json"


def recipe_of(name: str, options: argparse.Namespace) -> Recipe:
    """Return the recipe of a candidate."""
    sources = tuple(ImageSource(input=str(folder), every=options.every) for folder in options.images)
    return RECIPES["deblur-fast"].model_copy(update={**CANDIDATES[name], "steps": options.steps, "images": sources})


def run(name: str, options: argparse.Namespace) -> None:
    """Train a candidate and measure it on the held-out images, unless that was done."""
    recipe = recipe_of(name, options)

    def measured(model: Model) -> dict[str, Any]:
        splits = training_images(recipe).splits
        return {"images": {name: _scores(model, split.test, recipe, name) for name, split in splits.items()}}

    measured_once(recipe, folder_of(name, options), result_of(name, options), measured, data="sharp images")


def _scores(model: Model, test: Sequence[Path], recipe: Recipe, name: str) -> dict[str, Any]:
    table = score_held_out(test, {"model": model_method(model)}, recipe.pairs)
    ratios = {
        metric: [float(v) for v in (table.scores["model"][metric] / table.scores["input"][metric].mean()).mean(axis=1)]
        for metric in ("mse", "fpw")
    }
    return {**summary(table, "model", name), "of_images": ratios}


def milliseconds(names: list[str], rounds: int = 25) -> dict[str, float]:
    """Return the median time of one image for each candidate, taken in turn, as the engine runs it."""
    taken: dict[str, list[float]] = {name: [] for name in names}
    image = np.zeros((360, 360, 3), np.float32)
    runs = {}
    for name in names:
        recipe = RECIPES["deblur-fast"].model_copy(update=CANDIDATES[name])
        network = create_network(recipe.network, **recipe.options)
        runs[name] = padded(torch_run(network), stride_of(network))
        runs[name](image)
    for _ in range(rounds):
        for name, run_image in runs.items():
            started = time.perf_counter()
            run_image(image)
            taken[name].append(1000 * (time.perf_counter() - started))
    return {name: float(np.median(values)) for name, values in taken.items()}


def show(options: argparse.Namespace) -> None:
    """Print what is there as a table."""
    results = {}
    for name in CANDIDATES:
        found = known(result_of(name, options))
        if "images" in found:
            results[name] = found["images"]
    speed = milliseconds(list(results))
    print(
        f"| candidate, {options.steps} steps | images | MSE of input's | FPW of input's | success MSE, FPW | harm | ms |"
    )
    print("|---|---|---|---|---|---|---|")
    for name, sets in results.items():
        for source, row in sets.items():
            cells = []
            for metric in ("mse", "fpw"):
                mean, low, high = mean_interval(np.array(row["of_images"][metric]))
                cells.append(f"{mean:.3f} ({low:.3f} to {high:.3f})")
            cells.append(f"{row['success_mse']:.0f} %, {row['success_fpw']:.0f} %")
            cells.append(f"{row['worst_mse']:+.2f}, {row['worst_fpw']:+.2f}")
            print(f"| {name} | {source} | {' | '.join(cells)} | {speed[name]:.1f} |")


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("images", type=Path, nargs="+", help="folders of sharp images of 8 bit RGB")
    parser.add_argument("--candidates", nargs="*", default=list(CANDIDATES), choices=list(CANDIDATES))
    parser.add_argument("--every", type=int, default=10, help="of so many images one is kept for the test")
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--runs", type=Path, default=Path("runs/architectures"))
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    for name in options.candidates:
        run(name, options)
    show(options)


if __name__ == "__main__":
    main()
