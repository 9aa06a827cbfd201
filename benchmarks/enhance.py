"""Make noisy images of one microscope look like those of a better one: every recipe and filter of Bon, side by side.

Pairs are recorded: one exposure, and the mean of many of the same field. Fields are kept apart, not images. Filters are fitted
on the fields that networks train on: each has the setting that is best there. ``--quick`` takes narrow networks and few steps; a
run that was stopped goes on, a finished one is not repeated, and docs/enhancement.md is made of what is there.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from skimage.restoration import denoise_nl_means
from variants import RESULTS, interval, known, markdown, measured_once, slug

from napari_cellrestore.filters import FILTERS
from napari_cellrestore.metrics import METRICS, score
from napari_cellrestore.model import Model
from napari_cellrestore.pairs import match_folders, open_picture, split_by_image
from napari_cellrestore.recipe import RECIPES, DiscriminatorSettings, FeatureSettings, ImageSource, Recipe
from napari_cellrestore.restore import plan_restoration, restore
from napari_cellrestore.trust import estimate_noise

PAGE = Path(__file__).parent.parent / "docs" / "enhancement.md"
#: Images of one field begin alike.
SLIDE = r"^\d+"
SHOWN = ("mse", "msemg", "ssim", "psnr", "cv", "sharpness")
DIGITS = {"mse": 1, "msemg": 0, "ssim": 4, "psnr": 2, "cv": 3, "sharpness": 1}
_DISTANCE = FeatureSettings(network="distance", layers=(3,), compare="mse")
Array = np.ndarray

#: What each row changes of a named recipe, and what of it when time is short.
RECIPES_SHOWN: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "U-Net, EfficientNet encoder": ("enhance-unet", {}, {}),
    "CAE": ("CAE", {}, {}),
    "VAE": ("VAE", {}, {}),
    "perceptual auto-encoder, features of `distance`": ("perceptual-AE", {"features": _DISTANCE}, {}),
    "pix2pix": (
        "enhance-pix2pix",
        {},
        {"options": {"filters": 16, "blocks": 12}, "discriminator": DiscriminatorSettings(options={"filters": 16})},
    ),
    "pix2pix, norm by each image": (
        "enhance-pix2pix",
        {"options": {"norm": "instance"}},
        {
            "options": {"filters": 16, "blocks": 12, "norm": "instance"},
            "discriminator": DiscriminatorSettings(options={"filters": 16}),
        },
    ),
    "CycleGAN": (
        "enhance-cyclegan",
        {},
        {
            "options": {"filters": 8},
            "batch": 2,
            "discriminator": RECIPES["enhance-cyclegan"].discriminator.model_copy(update={"options": {"filters": 16}}),
        },
    ),
    "NAFNet (ours)": ("enhance-nafnet", {}, {}),
}
#: Settings that are tried of each filter.
FILTERS_SHOWN: dict[str, list[dict[str, Any]]] = {
    "gaussian": [{"sigma_px": sigma} for sigma in (0.5, 0.7, 1.0, 1.4, 2.0)],
    "mean": [{"size_px": size} for size in (3, 5, 7)],
    "median": [{"size_px": size} for size in (3, 5, 7)],
    "non-local means": [{"strength": strength} for strength in (0.4, 0.6, 0.8, 1.0, 1.3)],
}


def filtered(name: str, settings: dict[str, Any], image: Array) -> Array:
    """Return an image, (Y, X) or (Y, X, C), through a filter, in its grey levels."""
    if name == "non-local means":
        levels = image.astype(np.float32) / 255
        noise = float(estimate_noise(levels if image.ndim == 2 else levels[..., 1]))
        size: dict[str, Any] = {"patch_size": 5, "patch_distance": 6, "channel_axis": -1 if image.ndim == 3 else None}
        return np.asarray(denoise_nl_means(levels, h=settings["strength"] * noise, sigma=noise, **size) * 255)
    return np.asarray(FILTERS[name](image, **settings))


def recipe_of(name: str, options: argparse.Namespace) -> Recipe:
    """Return the recipe of a row in the budget asked for."""
    base, changes, quick = RECIPES_SHOWN[name]
    kind = "unpaired" if name == "CycleGAN" else "pairs"
    given, target = (str(options.images / folder) for folder in ("single_shot", "mean_of_400"))
    source = ImageSource(kind=kind, input=given, target=target, every=options.every, slide=SLIDE)
    recipe = RECIPES[base].model_copy(update={**changes, "images": (source,)})
    if not options.quick:
        return recipe
    return recipe.model_copy(
        update={
            "steps": options.steps,
            "batch": min(recipe.batch, 4),
            "crop_px": 128,
            "schedule": "one-cycle",
            "patience": None,
            "average": 0.99,
            "checkpoint_every": 100,
            **quick,
        }
    )


# --- measuring --------------------------------------------------------------------------------------------------------


def pairs_of(options: argparse.Namespace) -> tuple[list[tuple[Array, Array]], list[tuple[Array, Array]], list[str]]:
    """Return the pairs to fit filters on, those for the test, and the field of each of these."""
    matched, _ = match_folders(str(options.images / "single_shot"), str(options.images / "mean_of_400"))
    split = split_by_image(list(matched), every=options.every, slide=SLIDE)
    known, test = ([(_grey(path), _grey(matched[path])) for path in part] for part in (split.train, split.test))
    return known, test, [path.name.split("_")[0] for path in split.test]


def _grey(path: Path) -> Array:
    return open_picture(path).whole()[..., 0]


def scores_of(make: Callable[[Array], Array], pairs: list[tuple[Array, Array]], fields: list[str]) -> dict[str, Any]:
    """Return the scores of each field: of its images the mean."""
    rows = []
    for given, target in pairs:
        image = np.clip(make(given), 0, 255)
        rows.append(list(score(target, image, SHOWN, data_range=255).values()))
    values = np.array(rows)
    names = np.array(fields)
    return {"rows": [values[names == field].mean(axis=0).tolist() for field in dict.fromkeys(fields)]}


def best_filter(name: str, pairs: list[tuple[Array, Array]]) -> dict[str, Any]:
    """Return the setting of a filter with the least squared error on the images that networks train on."""
    few = pairs[:: max(1, len(pairs) // 12)]
    errors = [
        np.mean([np.mean((filtered(name, one, given) - target.astype(np.float32)) ** 2) for given, target in few])
        for one in FILTERS_SHOWN[name]
    ]
    return FILTERS_SHOWN[name][int(np.argmin(errors))]


def by_model(model: Model) -> Callable[[Array], Array]:
    """Return what restores a grey image by a model."""
    return lambda image: np.asarray(restore(image, model, plan_restoration(image, model)).compute())


def reference_row(test: list[tuple[Array, Array]], fields: list[str]) -> dict[str, Any]:
    """Return what the metrics that need no reference say of the reference."""
    own = [name for name in SHOWN if not METRICS[name].needs_reference]
    values = np.array([list(score(target, target, own, data_range=255).values()) for _, target in test])
    names = np.array(fields)
    return {"own": [values[names == field].mean(axis=0).tolist() for field in dict.fromkeys(fields)]}


# --- the page -----------------------------------------------------------------------------------------------------------


def page(rows: dict[str, dict[str, Any]], options: argparse.Namespace, count: int) -> str:
    """Return the page in Markdown."""
    budget = (
        f"Quick budget: {options.steps} steps of 4 crops of 128 px for every recipe (CycleGAN 2), narrow networks for pix2pix and "
        "CycleGAN"
        if options.quick
        else "Full budget: the recipes as they are"
    )
    head = ["", *(METRICS[name].label for name in SHOWN), "parameters"]
    body = {}
    for name, found in rows.items():
        if "own" in found:
            own = np.array(found["own"])
            cells = [interval(own[:, index], DIGITS[metric]) for index, metric in enumerate(("cv", "sharpness"))]
            body[name] = [*[""] * (len(SHOWN) - 2), *cells, ""]
            continue
        if "rows" not in found:
            body[name] = [found.get("missing", "not run yet"), *[""] * len(SHOWN)]
            continue
        values = np.array(found["rows"])
        cells = [interval(values[:, index], DIGITS[metric]) for index, metric in enumerate(SHOWN)]
        body[name] = [*cells, f"{found['parameters']:,}" if "parameters" in found else ""]
    return "\n".join(
        [
            "# Enhancing a noisy instrument",
            "",
            f"Bon's recipes and filters on recorded pairs: one exposure of a widefield microscope, and the mean of 400 of the same "
            f"field (8 bit). {budget}. {count} fields kept apart, with 95 % bootstrap intervals over fields; each filter has the "
            "setting that did best on the other fields. CV and sharpness need no reference: noise raises both, so lower or higher "
            "is better only towards the last row. Made by `benchmarks/enhance.py`, which goes on where it was stopped.",
            "",
            *markdown(head, body),
            "",
        ]
    )


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("images", type=Path, help="folder of single_shot and mean_of_400")
    budget = parser.add_mutually_exclusive_group(required=True)
    budget.add_argument("--quick", action="store_true", help="narrow networks, few steps")
    budget.add_argument("--full", action="store_true", help="the recipes as they are, for a GPU")
    parser.add_argument("--steps", type=int, default=1500, help="of every recipe of --quick")
    parser.add_argument("--every", type=int, default=5, help="of so many fields one is kept for the test")
    parser.add_argument("--recipes", nargs="*", choices=list(RECIPES_SHOWN), default=list(RECIPES_SHOWN))
    parser.add_argument("--threads", type=int, help="processor cores to use")
    parser.add_argument("--runs", type=Path, default=Path("runs/enhance"))
    parser.add_argument("--page-only", action="store_true", help="write the page of what is there")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    to_fit, test, fields = pairs_of(options)
    rows: dict[str, dict[str, Any]] = {"input": scores_of(lambda image: image, test, fields)}
    for name in FILTERS_SHOWN:
        settings = best_filter(name, to_fit)
        said = ", ".join(f"{key} {value:g}" for key, value in settings.items())
        rows[f"{name} ({said})"] = scores_of(partial(filtered, name, settings), test, fields)
    budget = f"quick-{options.steps}" if options.quick else "full"
    for name in RECIPES_SHOWN:
        result = RESULTS / "enhance" / budget / f"{slug(name)}.json"
        rows[name] = known(result)
        if name in options.recipes and not options.page_only:
            rows[name] = measured_once(
                recipe_of(name, options),
                options.runs / budget / slug(name),
                result,
                lambda model: scores_of(by_model(model), test, fields),
                data="widefield images of one exposure, and the mean of 400",
            )
    rows["mean of 400 (the reference)"] = reference_row(test, fields)
    PAGE.write_text(page(rows, options, len(set(fields))), encoding="utf-8")


if __name__ == "__main__":
    main()
