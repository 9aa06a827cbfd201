"""Time training steps beside a plain PyTorch loop with the same network, loss and optimiser, in one run.

``plain loop, crops in line`` is what a user writes first: make a batch, learn from it, make the next. ``crops at hand``
learns from one batch over and over: no loop in float32 can be faster than that on this machine. bf16 is timed too where the
processor computes in it.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from napari_cellrestore.engine.machine import has_bfloat16
from napari_cellrestore.networks import create_network
from napari_cellrestore.optimiser import Optimiser
from napari_cellrestore.pairs import DefocusPairs
from napari_cellrestore.recipe import RECIPES, Recipe
from napari_cellrestore.schemes import Batch, create_scheme
from napari_cellrestore.train import train


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("images", type=Path, help="folder of sharp images")
    parser.add_argument("--recipes", nargs="+", default=["deblur-fast", "pix2pix-cnn-fast"])
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    paths = sorted(options.images.glob("*.jpg"))[:40]
    for name in options.recipes:
        recipe = RECIPES[name].model_copy(update={"steps": options.steps, "checkpoint_every": 10**9})
        compare(recipe, DefocusPairs(paths), options.rounds)


def compare(recipe: Recipe, pairs: DefocusPairs, rounds: int) -> None:
    """Time the ways in turn and print their rates, and the share of time that train() waits for crops."""
    waiting: list[float] = []
    ways: dict[str, Callable[[], None]] = {
        "plain loop, crops at hand": lambda: plain(recipe, pairs, at_hand=True),
        "plain loop, crops in line": lambda: plain(recipe, pairs, at_hand=False),
        "train()": lambda: ours(recipe, pairs, waiting),
    }
    if has_bfloat16("torch", "cpu"):
        in_bf16 = recipe.model_copy(update={"precision": "bf16"})
        ways["train(), bf16"] = lambda: ours(in_bf16, pairs, [])
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, run in ways.items():
            started = time.perf_counter()
            run()
            seconds[way].append(time.perf_counter() - started)
    print(f"\n{recipe.name}: {recipe.batch} crops of {recipe.crop_px} px a step, {torch.get_num_threads()} threads")
    at_hand = np.median(seconds["plain loop, crops at hand"])
    for way, taken in seconds.items():
        median = float(np.median(taken))
        print(f"  {way:28} {recipe.steps / median:6.2f} steps a second   {at_hand / median:.2f} of crops at hand")
    print(f"  train() waits for crops {100 * np.median(waiting):.0f} % of the time")


def plain(recipe: Recipe, pairs: DefocusPairs, *, at_hand: bool) -> None:
    """Learn as a plain script does."""
    torch.manual_seed(recipe.seed)
    network = create_network(recipe.network, **recipe.options)
    optimiser = Optimiser(network, recipe)
    scheme = create_scheme(recipe, 3, 3)
    batch = made(recipe, pairs, 0)
    for step in range(recipe.steps):
        if not at_hand:
            batch = made(recipe, pairs, step)
        output = network(batch.input)
        scheme.total(scheme.losses(batch, {"output": output})).backward()
        if recipe.gradient_limit:
            torch.nn.utils.clip_grad_norm_(network.parameters(), recipe.gradient_limit)
        optimiser.step(1.0)


def made(recipe: Recipe, pairs: DefocusPairs, step: int) -> Batch:
    """Return the crops of a step."""
    rng = np.random.default_rng([recipe.seed, step])
    return Batch.of(
        [pairs.crop(rng, recipe.crop_px) for _ in range(recipe.batch)], pairs.intensity_range, pairs.target_range
    )


def ours(recipe: Recipe, pairs: DefocusPairs, waiting: list[float]) -> None:
    """Learn by train()."""
    with tempfile.TemporaryDirectory() as folder:
        for progress in train(recipe, pairs, folder):
            last = progress
    waiting.append(last.waiting)


if __name__ == "__main__":
    main()
