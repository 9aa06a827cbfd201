"""Give the smears of one microscope the look of another: networks without pairs beside normalisations of the stain.

Judged on held-out images by three things that need no pairs: how far the colours are from those of the other microscope's
held-out images, how much of the structure is kept (structural similarity of the gradients of input and result), and whether
nuclei are. ``--quick`` takes narrow networks and few steps; a run that was stopped goes on, a finished one is not repeated, and
docs/looks.md is made of what is there.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from variants import RESULTS, interval, keep, known, markdown, slug

from napari_cellrestore.metrics import gradient_magnitude, ssim
from napari_cellrestore.model import Model, load_model
from napari_cellrestore.nuclei import NucleiCounts, compare_nuclei
from napari_cellrestore.pairs import read_smear, split_by_image, training_images
from napari_cellrestore.pairs.picture import images_in
from napari_cellrestore.recipe import RECIPES, ImageSource, Recipe
from napari_cellrestore.restore import restore
from napari_cellrestore.stain import NORMALISATIONS, class_distances, fit_system, fit_transfer, lab_colours
from napari_cellrestore.stain.distance import LabColours
from napari_cellrestore.train import train
from napari_cellrestore.trained_model import make_model

PAGE = Path(__file__).parent.parent / "docs" / "looks.md"
RESAMPLES = 200
Array = np.ndarray
Look = Callable[[Array], Array]


# --- looks ------------------------------------------------------------------------------------------------------------


def cycle_looks(folders: Sequence[Path], options: argparse.Namespace) -> dict[str, Look]:
    """Return the two ways of a CycleGAN, trained as far as it is not; none where it is not there and not wished for."""
    home = options.runs / budget_of(options) / "CycleGAN"
    targets = {"generator": home / "there", "back": home / "there-back"}
    if not targets["back"].exists():
        if options.page_only:
            return {}
        recipe = _recipe(folders, options)
        images = training_images(recipe)
        for progress in train(recipe, images.pairs, home, resume=True):
            if progress.step % recipe.checkpoint_every == 0:
                left = progress.seconds_left / 60
                print(f"CycleGAN: {progress.step} of {progress.steps}, {left:.0f} minutes", flush=True)
        for which, target in targets.items():
            if not target.exists():
                make_model(home, target, images, recipe, data="smears of two laboratories", which=which)
    return {which: _by_model(load_model(target)) for which, target in targets.items()}


def budget_of(options: argparse.Namespace) -> str:
    """Return the name of the budget."""
    return f"quick-{options.steps}" if options.quick else "full"


def _by_model(model: Model) -> Look:
    return lambda image: np.asarray(restore(image, model).compute())


def _recipe(folders: Sequence[Path], options: argparse.Namespace) -> Recipe:
    given, target = map(str, folders)
    source = ImageSource(kind="unpaired", input=given, target=target, every=options.every)
    recipe = RECIPES["CycleGAN"].model_copy(update={"images": (source,)})
    if not options.quick:
        return recipe
    assert recipe.discriminator
    return recipe.model_copy(
        update={
            "options": {"filters": 8},
            "discriminator": recipe.discriminator.model_copy(update={"options": {"filters": 16}}),
            "steps": options.steps,
            "batch": 2,
            "crop_px": 128,
            "average": 0.99,
            "checkpoint_every": 100,
        }
    )


def _fitted(fit: Callable[..., Any], source: Sequence[Path], target: Sequence[Path]) -> Look:
    apply: Look = fit(source, target).apply
    return apply


def _hedlund_morell(*sets: tuple[Sequence[Path], float]) -> Look:
    source, target = (fit_system(paths, pixel_um=pixel_um) for paths, pixel_um in sets)
    return fit_transfer(source, target).apply


# --- measuring ----------------------------------------------------------------------------------------------------------


def measured(look: Look, test: Sequence[Array], pixel_um: float, target: list[LabColours]) -> dict[str, Any]:
    """Return distance of colours with its interval, structure kept of each image, and what became of nuclei."""
    made = [look(image) for image in test]
    ours = [lab_colours([image], pixel_um=pixel_um) for image in made]
    rng = np.random.default_rng(0)
    drawn = [
        _distance(
            [ours[i] for i in rng.integers(len(ours), size=len(ours))],
            [target[i] for i in rng.integers(len(target), size=len(target))],
        )
        for _ in range(RESAMPLES)
    ]
    counts = NucleiCounts()
    for before, after in zip(test, made, strict=True):
        counts += compare_nuclei(before, after, pixel_um).counts
    return {
        "distance": [_distance(ours, target), *np.quantile(drawn, [0.025, 0.975]).tolist()],
        "structure": [structure_kept(before, after) for before, after in zip(test, made, strict=True)],
        "nuclei": counts.as_dict(),
    }


def structure_kept(before: Array, after: Array) -> float:
    """Return the structural similarity of the gradients of two images, each over its mean: contrast may change."""
    edges = [gradient_magnitude(image.astype(np.float32).mean(axis=-1)) for image in (before, after)]
    edges = [one / max(float(one.mean()), 1e-6) for one in edges]
    return ssim(*edges, data_range=float(max(np.percentile(one, 99.9) for one in edges)))


def _distance(ours: Sequence[LabColours], theirs: Sequence[LabColours]) -> float:
    return float(np.mean(list(class_distances(_together(ours), _together(theirs)).values())))


def _together(parts: Sequence[LabColours]) -> LabColours:
    """Return the colours of several images as those of one set."""
    pixels = np.array([part.pixels for part in parts])
    share = pixels / np.maximum(pixels.sum(axis=0), 1e-9)
    means = np.einsum("ik,ikc->kc", share, np.nan_to_num([part.means for part in parts]))
    covariances = np.einsum("ik,ikcd->kcd", share, np.nan_to_num([part.covariances for part in parts]))
    return LabColours(means, covariances, pixels.sum(axis=0))


# --- the page -------------------------------------------------------------------------------------------------------------


def page(tables: dict[str, dict[str, dict[str, Any]]], options: argparse.Namespace) -> str:
    """Return the page in Markdown."""
    budget = (
        f"the CycleGAN has 8 filters, its critics 16, and {options.steps} steps of 2 crops of 128 px"
        if options.quick
        else "the CycleGAN is that of the source"
    )
    lines = [
        "# The look of another microscope",
        "",
        f"Smears of two laboratories without pairs; {budget}. On held-out images: distance of colours from the other's held-out "
        "images (CIELAB, mean over background, red cells, nuclei and cytoplasm; 2.3 can just be seen), structural similarity of "
        "gradients with the input, and nuclei of the input that are missing or added: few where most images show none. 95 % "
        f"intervals: bootstrap over images, of nuclei Wilson's. Pixels of {options.pixel_um[0]:g} and {options.pixel_um[1]:g} um. "
        "Made by `benchmarks/looks.py`, which goes on where it was stopped.",
    ]
    for title, rows in tables.items():
        body = {}
        for name, found in rows.items():
            distance, low, high = found["distance"]
            rates = NucleiCounts(**found["nuclei"]).rates()
            body[name] = [
                f"{distance:.1f} ({low:.1f} to {high:.1f})",
                interval(found["structure"], 3),
                str(rates["missing"]),
                str(rates["added"]),
            ]
        head = ["", "distance of colours", "structure kept", "nuclei missing", "nuclei added"]
        lines += ["", f"## {title}", "", *markdown(head, body)]
    return "\n".join([*lines, ""])


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", type=Path, nargs=2, help="smears of one microscope, and of the other")
    budget = parser.add_mutually_exclusive_group(required=True)
    budget.add_argument("--quick", action="store_true", help="narrow networks, few steps")
    budget.add_argument("--full", action="store_true", help="as in the source, for a GPU")
    parser.add_argument("--pixel-um", type=float, nargs=2, default=(0.1, 0.192), help="of both, for nuclei")
    parser.add_argument("--steps", type=int, default=4000, help="of --quick")
    parser.add_argument("--every", type=int, default=5, help="of so many images one is kept for the test")
    parser.add_argument("--threads", type=int, help="processor cores to use")
    parser.add_argument("--runs", type=Path, default=Path("runs/looks"))
    parser.add_argument("--page-only", action="store_true", help="write the page of what is there")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    splits = [split_by_image(images_in(folder), every=options.every) for folder in options.folders]
    ways = cycle_looks(options.folders, options)
    tables = {}
    for index, which in ((0, "generator"), (1, "back")):
        here, there = splits[index], splits[1 - index]
        title = f"{options.folders[index].name} to {options.folders[1 - index].name}"
        result = RESULTS / "looks" / budget_of(options) / f"{slug(title)}.json"
        found = known(result)
        test = [read_smear(path) for path in here.test]
        here_um, there_um = (options.pixel_um[i] for i in (index, 1 - index))
        target = [lab_colours([read_smear(path)], pixel_um=there_um) for path in there.test]
        looks: dict[str, Callable[[], Look]] = {"input": lambda: lambda image: image}
        for name, fit in NORMALISATIONS.items():
            looks[name] = partial(_fitted, fit, here.train, there.train)
        looks["hedlund-morell"] = partial(_hedlund_morell, (here.train, here_um), (there.train, there_um))
        if ways:
            looks["CycleGAN"] = partial(ways.__getitem__, which)
        for name, look in looks.items():
            if name not in found:
                try:
                    found[name] = measured(look(), test, here_um, target)
                except (ValueError, ImportError) as error:
                    print(f"{title}, {name}: {error}", flush=True)
        tables[title] = keep(result, found)
    PAGE.write_text(page(tables, options), encoding="utf-8")


if __name__ == "__main__":
    main()
