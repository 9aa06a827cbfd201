"""Give the smears of one microscope the look of another: networks without pairs beside normalisations of the stain.

Images of the second are first brought to the pixel size of the first: a network that is to make one look like the other would
otherwise learn to make cells larger or smaller. With ``--recoloured`` also between two halves of the first, one of them
recoloured in a known way: both show the same kinds of cells, and what each image should become is known.

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
from skimage.transform import rescale
from variants import RESULTS, interval, keep, known, markdown, slug

from napari_cellrestore.artefacts import black_spots
from napari_cellrestore.files import write_tiff
from napari_cellrestore.metrics import gradient_magnitude, mae, ssim
from napari_cellrestore.model import Model, load_model
from napari_cellrestore.nuclei import NucleiCounts, compare_nuclei
from napari_cellrestore.pairs import read_smear, split_by_image, training_images
from napari_cellrestore.pairs.picture import images_in
from napari_cellrestore.recipe import RECIPES, ImageSource, Recipe
from napari_cellrestore.restore import restore
from napari_cellrestore.simulate import quantise
from napari_cellrestore.stack import ImageStack
from napari_cellrestore.stain import CLASSES, NORMALISATIONS, class_distances, fit_system, fit_transfer, lab_colours
from napari_cellrestore.stain.distance import LabColours
from napari_cellrestore.train import train
from napari_cellrestore.trained_model import make_model

PAGE = Path(__file__).parent.parent / "docs" / "looks.md"
#: Networks that learn without pairs: what --quick makes of the recipe CycleGAN for each row.
VARIANTS: dict[str, dict[str, Any]] = {
    "CycleGAN": {"options": {"filters": 8}, "batch": 2},
    "CycleGAN, nafnet-fast": {
        "network": "nafnet-fast",
        "options": {},
        "batch": 4,
        "learning_rate": 5e-4,
        "schedule": "one-cycle",
        "gradient_limit": 1.0,
    },
}
#: Its critics: those of the second row see patches of 16 pixels, that is colours and texture and not which cells there are.
CRITICS: dict[str, dict[str, Any]] = {
    "CycleGAN": {"filters": 16},
    "CycleGAN, nafnet-fast": {"filters": 32, "patch": 16},
}
NETWORKS = {
    "CycleGAN": "of the source's kind with 8 filters, its critics with 16, 2 crops a step",
    "CycleGAN, nafnet-fast": "`nafnet-fast` with critics that see 16 px, 4 crops a step",
}
#: Red, green and blue of a second camera from those of the first, and its gamma.
MIX, GAMMA = np.array([[0.85, 0.1, 0.0], [0.05, 0.8, 0.1], [0.0, 0.1, 0.75]]), 1.3
RESAMPLES = 200
#: Part of the nuclei that a network which gives another look must keep.
KEPT = 0.99
WHAT_FOLLOWS = (
    "## What follows",
    "",
    "**Unpaired training needs two folders that show the same kinds of cells, about as often.** Between two halves of one "
    "laboratory both networks keep every nucleus, and `nafnet-fast` comes nearly as close to the truth as Reinhard's "
    "normalisation, which knows that only colours differ. Chula shows hardly any white cells, and the brightness of its "
    "background differs from image to image: between the two laboratories the CycleGAN of the source's kind loses nuclei, "
    "and `nafnet-fast` makes those of bccd grey, paints white patches beside its cells, and turns red cells of chula violet.",
    "",
    "No model for this is bundled: between the two laboratories none beats Reinhard's, a mean and a spread for each colour, "
    "in colour, structure and nuclei together. Fit a [stain normalisation](stain-normalisation.md) to two folders of your "
    "own, which takes a minute, leave out classes that one of them hardly shows, and count nuclei in the original.",
)
Array = np.ndarray
Look = Callable[[Array], Array]


# --- images -----------------------------------------------------------------------------------------------------------


def resampled(folder: Path, pixel_um: float, to_um: float, home: Path) -> Path:
    """Return a folder of the images at another pixel size, made but for those that are there."""
    made = home / f"{folder.name}-{to_um:g}um"
    made.mkdir(parents=True, exist_ok=True)
    for path in images_in(folder):
        target = made / f"{path.stem}.tif"
        if not target.exists():
            image = rescale(read_smear(path), pixel_um / to_um, order=3, channel_axis=-1, preserve_range=True)
            write_tiff(target, ImageStack(quantise(image, np.dtype(np.uint8)), "YXS", pixel_um=to_um))
    return made


def halves(folder: Path, home: Path) -> list[Path]:
    """Return a folder of every second image, and one of the others as the second camera would show them."""
    made = [home / f"{folder.name}-{kind}" for kind in ("recorded", "recoloured")]
    for number, path in enumerate(images_in(folder)):
        target = made[number % 2] / f"{path.stem}.tif"
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            image = read_smear(path)
            write_tiff(target, ImageStack(recoloured(image) if number % 2 else image, "YXS"))
    return made


def recoloured(image: Array) -> Array:
    """Return an image of 8 bit as the second camera would show it."""
    return quantise(255 * ((image / 255) @ MIX.T) ** GAMMA, np.dtype(np.uint8))


# --- looks ------------------------------------------------------------------------------------------------------------


def cycle_looks(name: str, sets: str, folders: Sequence[Path], options: argparse.Namespace) -> dict[str, Look]:
    """Return the two ways of a CycleGAN, trained as far as it is not; none where it is not there and not wished for."""
    home = options.runs / budget_of(options) / sets / slug(name)
    targets = {"generator": home / "there", "back": home / "there-back"}
    if not targets["back"].exists():
        if name not in options.variants:
            return {}
        recipe = _recipe(name, folders, options)
        images = training_images(recipe)
        for progress in train(recipe, images.pairs, home, resume=True):
            if progress.step % recipe.checkpoint_every == 0:
                left = progress.seconds_left / 60
                print(f"{sets}, {name}: {progress.step} of {progress.steps}, {left:.0f} minutes", flush=True)
        for which, target in targets.items():
            if not target.exists():
                make_model(home, target, images, recipe, data="smears of two laboratories", which=which)
    return {which: _by_model(load_model(target)) for which, target in targets.items()}


def budget_of(options: argparse.Namespace) -> str:
    """Return the name of the budget."""
    return f"quick-{options.steps}-{options.precision}" if options.quick else "full"


def _by_model(model: Model) -> Look:
    return lambda image: np.asarray(restore(image, model).compute())


def _recipe(name: str, folders: Sequence[Path], options: argparse.Namespace) -> Recipe:
    given, target = map(str, folders)
    source = ImageSource(kind="unpaired", input=given, target=target, every=options.every)
    recipe = RECIPES["CycleGAN"].model_copy(update={"images": (source,)})
    if not options.quick:
        return recipe
    assert recipe.discriminator
    return recipe.model_copy(
        update={
            **VARIANTS[name],
            "discriminator": recipe.discriminator.model_copy(update={"options": CRITICS[name]}),
            "steps": options.steps,
            "precision": options.precision,
            "crop_px": 128,
            "average": 0.99,
            "checkpoint_every": 100,
        }
    )


def _fitted(fit: Callable[..., Any], source: Sequence[Path], target: Sequence[Path]) -> Look:
    apply: Look = fit(source, target).apply
    return apply


def _hedlund_morell(*sets: Sequence[Path], pixel_um: float, classes: Sequence[str] = CLASSES) -> Look:
    source, target = (fit_system(paths, classes=classes, pixel_um=pixel_um) for paths in sets)
    return fit_transfer(source, target).apply


# --- measuring ----------------------------------------------------------------------------------------------------------


def measured(
    look: Look,
    test: Sequence[Array],
    pixel_um: float,
    target: list[LabColours],
    classes: Sequence[str],
    truth: Look | None,
) -> dict[str, Any]:
    """Return distances of colours, structure kept of each image, and what became of nuclei; of its own classes alone.

    A class that a look leaves without pixels has no distance, and the mean is over the others. Where it is known what the images
    should become, also how far off they are.
    """
    made = [look(image) for image in test]
    ours = [lab_colours([image], pixel_um=pixel_um) for image in made]
    of_class = class_distances(_together(ours), _together(target), classes)
    rng, drawn = np.random.default_rng(0), []
    while len(drawn) < RESAMPLES:
        both = ([side[i] for i in rng.integers(len(side), size=len(side))] for side in (ours, target))
        found = class_distances(*map(_together, both), classes)
        if found.keys() == of_class.keys():  # else it is the mean over other classes: drawn again
            drawn.append(float(np.mean(list(found.values()))))
    counts = NucleiCounts()
    for before, after in zip(test, made, strict=True):
        counts += compare_nuclei(before, after, pixel_um).counts
    return {
        "distance": [float(np.mean(list(of_class.values()))), *np.quantile(drawn, [0.025, 0.975]).tolist()],
        "of_class": of_class,
        "structure": [structure_kept(before, after) for before, after in zip(test, made, strict=True)],
        "nuclei": counts.as_dict(),
        "spots": sum(len(black_spots(after, before)) for before, after in zip(test, made, strict=True)),
        "off": [mae(truth(before), after) for before, after in zip(test, made, strict=True)] if truth else [],
    }


def structure_kept(before: Array, after: Array) -> float:
    """Return the structural similarity of the gradients of two images, each over its mean: contrast may change."""
    edges = [gradient_magnitude(image.astype(np.float32).mean(axis=-1)) for image in (before, after)]
    edges = [one / max(float(one.mean()), 1e-6) for one in edges]
    return ssim(*edges, data_range=float(max(np.percentile(one, 99.9) for one in edges)))


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
    shown = {name for rows in tables.values() for name in rows}
    networks = "; ".join(said for name, said in NETWORKS.items() if name in shown)
    budget = (
        f"{options.steps} steps of crops of 128 px in {options.precision} for each CycleGAN: {networks}"
        if options.quick
        else "the CycleGAN is that of the source"
    )
    first_um, second_um = options.pixel_um
    lines = [
        "# The look of another microscope",
        "",
        f"Smears of two laboratories without pairs; {budget}. Images of the second ({second_um:g} um a pixel) were resampled to "
        f"the pixels of the first ({first_um:g} um). On held-out images: distance of colours from the other's held-out images "
        "(CIELAB, mean over the classes that both sets show enough of; 2.3 can just be seen), structural similarity of gradients "
        "with the input, nuclei of the input that are missing or added (few where most images show none), and black spots. "
        "Off the truth: mean difference in grey levels, where it is known. "
        "95 % intervals: bootstrap over images, of nuclei Wilson's. "
        "Made by `benchmarks/looks.py`, which goes on where it was stopped.",
    ]
    for title, rows in tables.items():
        body, classes = {}, list(rows["input"]["of_class"])
        for name, found in rows.items():
            distance, low, high = found["distance"]
            rates = NucleiCounts(**found["nuclei"]).rates()
            body[name] = [
                f"{distance:.1f} ({low:.1f} to {high:.1f})",
                *(f"{found['of_class'].get(one, np.nan):.1f}" for one in classes),
                interval(found["structure"], 3),
                str(rates["missing"]),
                str(rates["added"]),
                str(found["spots"]),
                *([interval(found["off"], 1)] if found.get("off") else []),
            ]
        head = ["", "distance of colours", *classes, "structure kept", "nuclei missing", "nuclei added", "black spots"]
        head += ["off the truth"] if rows["input"].get("off") else []
        lines += ["", f"## {title}", "", *markdown(head, body), "", kept_nuclei(rows)]
    return "\n".join([*lines, "", *WHAT_FOLLOWS, ""])


def kept_nuclei(rows: dict[str, dict[str, Any]]) -> str:
    """Say which networks keep nuclei as a look must, and which do not."""
    said = []
    for name in VARIANTS:
        if name in rows:
            counts = NucleiCounts(**rows[name]["nuclei"])
            missed = counts.missing > (1 - KEPT) * counts.target
            said.append(
                f"{name} {'does not' if missed else 'does'} ({counts.target - counts.missing} of {counts.target})"
            )
    return f"A network that gives another look must keep {100 * KEPT:.0f} % of the nuclei: {'; '.join(said)}."


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", type=Path, nargs=2, help="smears of one microscope, and of the other")
    budget = parser.add_mutually_exclusive_group(required=True)
    budget.add_argument("--quick", action="store_true", help="narrow networks, few steps")
    budget.add_argument("--full", action="store_true", help="as in the source, for a GPU")
    parser.add_argument("--pixel-um", type=float, nargs=2, default=(0.1, 0.192), help="of both")
    parser.add_argument("--recoloured", action="store_true", help="also from the first folder to itself recoloured")
    parser.add_argument("--steps", type=int, default=4000, help="of --quick")
    parser.add_argument("--every", type=int, default=5, help="of so many images one is kept for the test")
    parser.add_argument("--threads", type=int, help="processor cores to use")
    parser.add_argument("--runs", type=Path, default=Path("runs/looks"))
    parser.add_argument("--variants", nargs="*", choices=list(VARIANTS), default=list(VARIANTS), help="to be trained")
    parser.add_argument("--precision", choices=("float32", "bf16"), default="bf16", help="of the training of --quick")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    first, second = options.folders
    pixel_um, other_um = options.pixel_um
    folders = [first, resampled(second, other_um, pixel_um, options.runs) if other_um != pixel_um else second]
    tables = tables_of([one.name for one in options.folders], "two-laboratories", folders, options)
    if options.recoloured:
        tables |= tables_of(
            [first.name, f"{first.name} recoloured"], "recoloured", halves(first, options.runs), options
        )
    PAGE.write_text(page(tables, options), encoding="utf-8")


def tables_of(
    names: Sequence[str], sets: str, folders: Sequence[Path], options: argparse.Namespace
) -> dict[str, dict[str, dict[str, Any]]]:
    """Return what was measured of every look, there and back; of recoloured images there alone, where the truth is known."""
    trained = {name: cycle_looks(name, sets, folders, options) for name in VARIANTS}
    truth = recoloured if sets == "recoloured" else None
    tables = {}
    for way, step in (("generator", 1), ("back", -1))[: 1 if truth else 2]:
        title = " to ".join(names[::step])
        networks = {name: looks.get(way) for name, looks in trained.items()}
        tables[title] = rows_of(title, folders[::step], networks, options, truth)
    return tables


def rows_of(
    title: str,
    folders: Sequence[Path],
    networks: dict[str, Look | None],
    options: argparse.Namespace,
    truth: Look | None,
) -> dict[str, dict[str, Any]]:
    """Return what was measured of every look from one set to the other; what is known is not measured again."""
    splits = [split_by_image(images_in(folder), every=options.every) for folder in folders]
    pixel_um = options.pixel_um[0]
    train, target_train = (split.train for split in splits)
    looks: dict[str, Callable[[], Look]] = {"input": lambda: lambda image: image}
    for name, fit in NORMALISATIONS.items():
        looks[name] = partial(_fitted, fit, train, target_train)
    by_class = partial(_hedlund_morell, train, target_train, pixel_um=pixel_um)
    looks["hedlund-morell"] = by_class
    looks["hedlund-morell, without white cells"] = partial(by_class, classes=("background", "red cell"))
    looks |= {name: (lambda look=look: look) for name, look in networks.items() if look}
    folder = RESULTS / "looks" / budget_of(options) / slug(title)
    results = {name: folder / f"{slug(name)}.json" for name in (*looks, *networks)}
    rows = {name: found for name, result in results.items() if (found := known(result))}
    missing = [name for name in looks if name not in rows]
    if missing:
        test, target_test = ([read_smear(path) for path in split.test] for split in splits)
        ours, target = ([lab_colours([one], pixel_um=pixel_um) for one in images] for images in (test, target_test))
        classes = list(class_distances(_together(ours), _together(target)))
        for name in missing:
            try:
                found = measured(looks[name](), test, pixel_um, target, classes, truth)
            except (ValueError, ImportError) as error:
                print(f"{title}, {name}: {error}", flush=True)
            else:
                rows[name] = keep(results[name], found)
    return {name: rows[name] for name in results if name in rows}


if __name__ == "__main__":
    main()
