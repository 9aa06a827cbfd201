"""``cellrestore train``: train a model by a recipe."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from napari_cellrestore.cli._common import check_number, print_json, say_or_json

if TYPE_CHECKING:
    from napari_cellrestore.pairs import TrainingImages
    from napari_cellrestore.recipe import ImageSource, Recipe


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("recipe", help="name of a recipe, or a YAML file")
    source = parser.add_argument_group(
        "images",
        "instead of those that the recipe names; each may be given again; of N images (10) one is kept for the test, one for "
        "validation",
    )
    for option, metavar, what in (
        ("--images", ("FOLDER", "N"), "sharp images, of which blurred ones are simulated"),
        ("--stacks", ("FOLDER", "N"), "focus stacks with their sharp planes"),
        ("--pairs", ("INPUT TARGET", "N"), "two folders of images of the same names"),
        ("--unpaired", ("INPUT TARGET", "N"), "two folders of images of two kinds"),
        ("--leds", ("INPUT TARGET", "N"), "LED stacks, and stained images of the same names"),
    ):
        source.add_argument(option, metavar=metavar, help=what, action="append", default=[], nargs="+")
    source.add_argument(
        "--align", action="store_true", help="move inputs of pairs and stacks by whole pixels to lie on their targets"
    )
    parser.add_argument("--folder", type=Path, required=True, help="folder of this run: state, losses, recipe")
    parser.add_argument("--model", type=Path, help="folder of the finished model (default: <folder>/<recipe>)")
    parser.add_argument("--data", default="", help="what the images are and their licence, for the card")
    parser.add_argument("--licence", default="", help="licence of the model, for the card")
    parser.add_argument(
        "--bundled",
        action="store_true",
        help="retrain a bundled model: the card keeps the recipe's summary and limits, which tell of that model alone",
    )
    parser.add_argument("--steps", type=check_number, help="steps instead of the recipe's")
    parser.add_argument("--resume", action="store_true", help="go on from the state in the folder")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--threads", type=check_number, help="processor cores to use")
    parser.add_argument("--tensorboard", action="store_true", help="write event files for TensorBoard too")
    parser.add_argument("--dry-run", action="store_true", help="say what would be trained and how long it takes")
    parser.add_argument("--json", action="store_true", help="print one line of JSON for each event")


def run(options: argparse.Namespace) -> int:
    """Train, then measure on the held-out images and write the model."""
    import torch

    from napari_cellrestore.model.names import check_name
    from napari_cellrestore.pairs import training_images
    from napari_cellrestore.recipe import read_recipe
    from napari_cellrestore.train import check_run_folder

    recipe = read_recipe(options.recipe)
    recipe = recipe.model_copy(
        update={"images": tuple(_sources(options)) or recipe.images, "steps": options.steps or recipe.steps}
    )
    if not recipe.images:
        raise ValueError("no images to train on: give --images, --stacks, --pairs, --unpaired or --leds")
    target = options.model or options.folder / check_name(recipe.name)
    if target.exists():
        raise ValueError(f"{target}: exists already; give another folder with --model")
    if not options.dry_run:
        check_run_folder(options.folder)
    if options.threads:
        torch.set_num_threads(options.threads)
    images = training_images(recipe)
    for remark in images.notes:
        say_or_json(options, f"Mind: {remark}", remark=remark)
    if options.dry_run:
        return _estimate(options, recipe, images)
    if _train(options, recipe, images):
        _write_models(options, recipe, images, target)
    return 0


def _sources(options: argparse.Namespace) -> Iterator[ImageSource]:
    """Return the folders given on the command line."""
    from napari_cellrestore.recipe import ALIGNED, ImageSource

    if options.align and not any(getattr(options, kind) for kind in ALIGNED):
        raise ValueError("--align goes with --pairs or --stacks; for images of a recipe write align: true beside them")
    for kind, folders in (("sharp", 1), ("stacks", 1), ("pairs", 2), ("unpaired", 2), ("leds", 2)):
        option = "images" if kind == "sharp" else kind
        for words in getattr(options, option):
            paths, rest = words[:folders], words[folders:]
            if len(paths) < folders or len(rest) > 1 or not all(word.isdecimal() for word in rest):
                wanted = "a folder" if folders == 1 else "two folders, of inputs and of targets"
                raise ValueError(f"--{option} {' '.join(words)}: give {wanted}, then if need be one whole number")
            target = {"target": paths[1]} if folders == 2 else {}
            every = {"every": int(rest[0])} if rest else {}
            yield ImageSource.checked(
                kind=kind, input=paths[0], align=options.align and kind in ALIGNED, **target, **every
            )


def _estimate(options: argparse.Namespace, recipe: Recipe, images: TrainingImages) -> int:
    """Say how large the networks are and how long a step takes."""
    from napari_cellrestore.train import estimate

    size = estimate(recipe, images.pairs, options.device)
    counts = {name: len(split.train) for name, split in images.splits.items()}
    say_or_json(
        options,
        f"{recipe.name}: {recipe.network} with {size.parameters:,} parameters; images to train: "
        f"{', '.join(f'{name} {count}' for name, count in counts.items())}; {recipe.steps} steps of {recipe.batch} crops "
        f"of {recipe.crop_px} px, {size.seconds_a_step:.3g} s each: about {size.in_words}",
        parameters=size.parameters,
        seconds_a_step=round(size.seconds_a_step, 4),
        left_s=round(size.seconds, 1),
        images=counts,
        steps=recipe.steps,
    )
    return 0


def _train(options: argparse.Namespace, recipe: Recipe, images: TrainingImages) -> bool:
    """Train and return whether the run came to its end; a pause is none."""
    from tqdm import tqdm

    from napari_cellrestore.train import train

    events = train(
        recipe,
        images.pairs,
        options.folder,
        resume=options.resume,
        device=options.device,
        tensorboard=options.tensorboard,
        splits=images.splits,
    )
    event = None
    with tqdm(total=recipe.steps, unit="step", disable=options.json, mininterval=1) as bar:
        for event in events:
            bar.update(event.step - bar.n)
            bar.set_postfix_str(" ".join(f"{name} {value:.4g}" for name, value in event.losses.items()), refresh=False)
            if options.json:
                checked = {} if event.validation is None else {"validation": event.validation}
                left_s = round(event.seconds_left, 1)
                print_json({"step": event.step, "of": event.steps, **event.losses, **checked, "left_s": left_s})
    if event is None:  # resumed at its end
        return True
    say_or_json(
        options, f"{100 * event.waiting:.0f} % of the time was spent waiting for crops", waiting=round(event.waiting, 3)
    )
    if event.paused:
        say_or_json(options, f"paused after step {event.step}; go on with --resume", paused=event.step)
    return not event.paused


def _write_models(options: argparse.Namespace, recipe: Recipe, images: TrainingImages, target: Path) -> None:
    from napari_cellrestore.trained_model import make_model

    def say(name: str, count: int) -> None:
        say_or_json(options, f"measuring on {count} held-out images of {name}", measuring=name, images=count)

    ways = {"generator": target, "back": target.with_name(f"{target.name}-back")}
    for which, folder in ways.items() if recipe.cyclic else [("generator", target)]:
        model = make_model(
            options.folder,
            folder,
            images,
            recipe,
            data=options.data,
            licence=options.licence,
            say=say,
            which=which,
            bundled=options.bundled,
        )
        say_or_json(options, f"{model.label} in {folder}", model=model.card.name, folder=str(folder))
