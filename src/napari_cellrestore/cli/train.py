"""``cellrestore train``: train a model by a recipe."""

from __future__ import annotations

import argparse
import json
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from napari_cellrestore.cli._common import add_images, read_splits

if TYPE_CHECKING:
    from napari_cellrestore.pairs import Pairs, Split
    from napari_cellrestore.recipe import Recipe


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("recipe", help="name of a recipe, or a YAML file")
    add_images(parser)
    parser.add_argument("--folder", type=Path, required=True, help="folder of this run: state, losses, recipe")
    parser.add_argument("--model", type=Path, help="folder of the finished model (default: <folder>/<recipe>)")
    parser.add_argument("--data", default="", help="what the images are and their licence, for the card")
    parser.add_argument("--licence", default="", help="licence of the model, for the card")
    parser.add_argument("--steps", type=int, help="optimiser steps instead of the recipe's")
    parser.add_argument("--resume", action="store_true", help="go on from the state in the folder")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--threads", type=int, help="processor cores to use")
    parser.add_argument("--json", action="store_true", help="print one line of JSON for each event")


def run(options: argparse.Namespace) -> int:
    """Train, then measure on the held-out images and write the model."""
    import torch

    from napari_cellrestore.pairs import DefocusPairs
    from napari_cellrestore.recipe import read_recipe

    recipe = read_recipe(options.recipe)
    target = options.model or options.folder / recipe.name
    if target.exists():
        raise ValueError(f"{target}: exists already; give another folder with --model")
    splits = read_splits(options.images)
    if options.threads:
        torch.set_num_threads(options.threads)
    train_paths = [path for split in splits.values() for path in split.train]
    validation_paths = [path for split in splits.values() for path in split.validation]
    pairs = DefocusPairs(train_paths, validation_paths, recipe.pairs)
    _train(options, recipe, pairs)
    _write_model(options, recipe, splits, target)
    return 0


def _train(options: argparse.Namespace, recipe: Recipe, pairs: Pairs) -> None:
    from tqdm import tqdm

    from napari_cellrestore.train import train

    bar = tqdm(total=options.steps or recipe.steps, unit="step", disable=options.json, mininterval=1)
    for event in train(
        recipe, pairs, options.folder, steps=options.steps, resume=options.resume, device=options.device
    ):
        bar.update(event.step - bar.n)
        bar.set_postfix_str(" ".join(f"{name} {value:.4g}" for name, value in event.losses.items()), refresh=False)
        if options.json:
            said = {"step": event.step, "of": event.steps, **event.losses, "left_s": round(event.seconds_left, 1)}
            print(json.dumps(said), flush=True)
    bar.close()


def _write_model(options: argparse.Namespace, recipe: Recipe, splits: dict[str, Split], target: Path) -> None:
    """Measure the trained network on the images kept for the test and save it with its card."""
    import numpy as np

    from napari_cellrestore.card import ModelCard
    from napari_cellrestore.evaluate.scoring import METRICS
    from napari_cellrestore.held_out import model_method, score_held_out, summary
    from napari_cellrestore.model import Model, save_model
    from napari_cellrestore.networks import receptive_halo, stride_of
    from napari_cellrestore.pairs import read_smear
    from napari_cellrestore.train import trained_network

    network, step = trained_network(options.folder, recipe)
    levels = np.array([read_smear(path).mean((0, 1)) for split in splits.values() for path in split.train])
    stride = stride_of(network)
    card = ModelCard(
        name=recipe.name,
        task=recipe.task,
        summary=recipe.summary,
        network=recipe.network,
        options=recipe.options,
        stride=stride,
        halo_px=receptive_halo(network, 3, stride),
        pixel_um=recipe.pairs.pixel_um,
        defocus_um=recipe.pairs.levels_um,
        colour_mean=tuple(levels.mean(0).round(2)),
        colour_std=tuple(levels.std(0).round(2)),
        data="; ".join(filter(None, [options.data, *map(_describe_split, splits, splits.values())])),
        recipe=recipe.model_dump(mode="json"),
        steps=step,
        seed=recipe.seed,
        created=date.today().isoformat(),
        licence=options.licence,
    )
    held_out = []
    for name, split in splits.items():
        _say(
            options, f"measuring on {len(split.test)} held-out images of {name}", measuring=name, images=len(split.test)
        )
        table = score_held_out(split.test, {card.name: model_method(Model(network, card, target))}, recipe.pairs)
        tables = [table.by_level(method).as_dict() for method in ("input", card.name)]
        held_out.append({**summary(table, card.name, name), "by_level": tables, "metrics": list(METRICS)})
    card = card.model_copy(update={"held_out": held_out, "limits": _limits(held_out)})
    model = save_model(target, network, card)
    _say(options, f"{model.label} in {target}", model=model.card.name, folder=str(target))


def _say(options: argparse.Namespace, text: str, **event: object) -> None:
    print(json.dumps(event) if options.json else text, flush=True)


def _describe_split(name: str, split: Split) -> str:
    return f"{name}: {len(split.train)} images to train, {len(split.validation)} to validate, {len(split.test)} to test"


def _limits(held_out: list[dict[str, object]]) -> list[str]:
    """Say in plain words what the measured numbers mean for trust."""
    said = [
        "It was trained on simulated defocus of stained blood smears; on other samples, stains or microscopes its output "
        "is a guess until you have compared it with sharp images of your own.",
        "It fills in detail that the blur removed by what smears usually look like: do not count, measure or diagnose "
        "on restored pixels alone.",
    ]
    for row in held_out:
        said.append(
            f"On held-out {row['images']} images its error (MSE) is {row['mse_of_input']} of the blurred input's. Of images up "
            f"to 0.8 um out of focus {row['reach_mse']} % (by MSE) and {row['reach_fpw']} % (by FPW) become as good as a plane "
            f"0.4 um out of focus; counted by the plane each comes to equal, {row['success_mse']} % and "
            f"{row['success_fpw']} % come to one from -0.2 to 0.4 um."
        )
    return said
