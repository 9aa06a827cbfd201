"""The training loop, to be read in one sitting."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from napari_cellrestore.pairs import Pairs, Split, images_known
from napari_cellrestore.recipe import Recipe
from napari_cellrestore.schemes import Batch, Scheme, create_scheme
from napari_cellrestore.schemes.batch import to_grey_levels
from napari_cellrestore.train.batches import Batches
from napari_cellrestore.train.checkpoint import Checkpoint
from napari_cellrestore.train.learner import DivergedError, Learner, device_of
from napari_cellrestore.train.log import LossLog, write_sample
from napari_cellrestore.train.rate import rate_at
from napari_cellrestore.train.standing import Standing

Preview = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Progress:
    """What a training step tells: losses of this step, time left, now and then how good it is.

    ``validation`` is the error on images that are in no crop: mean absolute difference in units of half the range, or
    micrometres for the distance from focus. ``preview`` is (input, output, target) of the first of them in grey levels,
    (Y, X, C) float32. ``waiting`` is the share of time that was spent waiting for crops; ``paused`` ends the run for now.
    """

    step: int
    steps: int
    losses: dict[str, float]
    seconds_left: float
    waiting: float
    validation: float | None = None
    preview: Preview | None = None
    paused: bool = False


def train(
    recipe: Recipe,
    pairs: Pairs,
    folder: str | Path,
    *,
    steps: int | None = None,
    resume: bool = False,
    device: str = "auto",
    tensorboard: bool = False,
    splits: Mapping[str, Split] | None = None,
) -> Iterator[Progress]:
    """Train the networks of a recipe and yield the progress of every step.

    The state is saved to ``folder/checkpoint.safetensors`` whole or not at all; the same seed on the same machine
    gives the same losses whether or not the run was interrupted and resumed. A file ``folder/pause`` makes it save its
    state and end. Take the result with :func:`trained_network`.

    Parameters
    ----------
    recipe : Recipe
        What to train and how.
    pairs : Pairs
        Where crops come from.
    folder : path
        Of this run: recipe, checkpoint, losses.csv, samples.
    steps : int, optional
        Instead of the recipe's (the schedule is fitted to it).
    resume : bool
        Go on from the checkpoint in ``folder``; steps, learning_rate and muon_rate may be others now. Without it a folder
        that holds one is refused.
    device : str
        ``"auto"`` takes a GPU when there is one.
    tensorboard : bool
        Write event files too (needs the package tensorboard).
    splits : mapping of Split, optional
        Files that train, validate and test, as :class:`TrainingImages` has them. Their names are kept with the state, and a
        run is not gone on with where they are others: what was learnt from would be tested on.

    Yields
    ------
    Progress

    Raises
    ------
    ValueError
        A device that is not there, a loss or weights that are no numbers, a disk that is full, a folder of another run or of
        something else, other images than the run was begun with; the last saved state is kept.
    """
    folder = Path(folder)
    if steps is not None and steps < 1:
        raise ValueError(f"steps is {steps}: give 1 or more, or leave it out")
    recipe = recipe if steps is None else recipe.model_copy(update={"steps": steps})
    device = device_of(device)
    checkpoint = Checkpoint(folder, images_known(pairs), splits)

    torch.manual_seed(recipe.seed)
    scheme = create_scheme(recipe, pairs.in_channels, pairs.out_channels).to(device)
    checkpoint.begin(recipe, resume=resume)  # not before the recipe has proved to be one
    learner = Learner(scheme, device)
    standing = checkpoint.load(learner) if resume else Standing()
    validation = [Batch.of([crop], pairs.intensity_range, pairs.target_range).to(device) for crop in pairs.validation()]
    first, started = standing.step, time.monotonic()

    with (
        Batches(recipe, pairs, first, device=device) as batches,
        checkpoint.said_what_is_kept(),
        LossLog(folder, first, tensorboard=tensorboard) as log,
    ):
        for step, batch in batches:
            losses = learner.step(batch.to(device), step, rate_at(step / recipe.steps, recipe.schedule, standing))
            log.write(step + 1, losses)

            standing.step = step + 1
            paused = checkpoint.asked_to_pause()
            checked = None
            if standing.step == recipe.steps or standing.step % recipe.checkpoint_every == 0 or paused:
                learner.check_finite(standing.step)
                checked, preview = _validate(scheme, learner.average, validation, pairs.target_range)
                learner.keep_if_best(standing.judge(checked, recipe))
                log.write_validation(standing.step, checked)
                checkpoint.save(standing, learner)
                write_sample(folder, standing.step, preview)
            elapsed = time.monotonic() - started
            yield Progress(
                standing.step,
                recipe.steps,
                losses,
                seconds_left=elapsed / (standing.step - first) * (recipe.steps - standing.step),
                waiting=batches.waited / elapsed,
                validation=checked,
                preview=preview if checked is not None else None,
                paused=paused,
            )
            if paused or standing.without_gain >= (recipe.patience or recipe.steps):
                return


@torch.no_grad()
def _validate(
    scheme: Scheme, generators: nn.ModuleDict, batches: list[Batch], target_range: tuple[float, float]
) -> tuple[float | None, Preview | None]:
    """Return the mean error on images of validation, DivergedError where it is none, and what was made of the first."""
    if not batches:
        return None, None
    judged = [scheme.judged(generators, batch) for batch in batches]
    error = float(np.mean([error for error, _ in judged]))
    if not np.isfinite(error):
        raise DivergedError(f"the error on images of validation is {error}")
    output = judged[0][1]
    if output is None:
        return error, None
    given, made, wanted = (to_grey_levels(i, target_range) for i in (batches[0].input, output, batches[0].target))
    return error, (given, made, wanted)
