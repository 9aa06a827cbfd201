"""The training loop, to be read in one sitting."""

from __future__ import annotations

import time
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from napari_cellrestore.optimiser import Optimiser
from napari_cellrestore.pairs import Pairs
from napari_cellrestore.recipe import Recipe
from napari_cellrestore.schemes import Batch, Scheme, create_scheme
from napari_cellrestore.schemes.batch import to_grey_levels
from napari_cellrestore.train.batches import Batches
from napari_cellrestore.train.checkpoint import Checkpoint, Standing
from napari_cellrestore.train.log import LossLog, write_sample
from napari_cellrestore.train.rate import rate_at

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
        Go on from the checkpoint in ``folder``. Without it a folder that holds one is refused.
    device : str
        ``"auto"`` takes a GPU when there is one.
    tensorboard : bool
        Write event files too (needs the package tensorboard).

    Yields
    ------
    Progress

    Raises
    ------
    ValueError
        A loss that is no number, a disk that is full, a folder of another run; the last saved state is kept.
    """
    folder = Path(folder)
    recipe = recipe if steps is None else recipe.model_copy(update={"steps": steps})
    device = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    checkpoint = Checkpoint(folder)
    checkpoint.begin(recipe, resume=resume)

    torch.manual_seed(recipe.seed)
    scheme = create_scheme(recipe, pairs.in_channels, pairs.out_channels).to(device)
    learner = Learner(scheme, device)
    standing = checkpoint.load(learner) if resume else Standing()
    validation = [Batch.of([crop], pairs.intensity_range).to(device) for crop in pairs.validation()]
    first, started = standing.step, time.monotonic()

    with (
        Batches(recipe, pairs, first) as batches,
        LossLog(folder, first, tensorboard=tensorboard) as log,
        checkpoint.kept_when_the_disk_is_full(),
    ):
        for step, batch in batches:
            losses = learner.step(batch.to(device), step, rate_at(step / recipe.steps, recipe.schedule, standing))
            log.write(step + 1, losses)

            standing.step = step + 1
            paused = checkpoint.asked_to_pause()
            checked = None
            if standing.step == recipe.steps or standing.step % recipe.checkpoint_every == 0 or paused:
                checked, preview = _validate(scheme, learner.average, validation, pairs.intensity_range)
                learner.keep_if_best(standing.judge(checked, recipe))
                log.write_validation(standing.step, checked)
                write_sample(folder, standing.step, preview)
                checkpoint.save(standing, learner)
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


class Learner:
    """The networks of a scheme with their optimisers and what is kept of the generators."""

    def __init__(self, scheme: Scheme, device: str) -> None:
        self.scheme = scheme
        recipe = scheme.recipe
        critic_rate = recipe.discriminator.learning_rate if recipe.discriminator else None
        self.optimisers = {
            **{name: Optimiser(network, recipe) for name, network in scheme.generators.items()},
            **{name: Optimiser(critic, recipe, critic_rate) for name, critic in scheme.critics.items()},
        }
        #: Moving average of the generators' weights.
        self.average = deepcopy(scheme.generators).eval().requires_grad_(False)
        #: The average that did best on the images of validation, where the recipe asks for it.
        self.best = deepcopy(self.average) if recipe.patience else None
        self._device = torch.device(device).type

    def step(self, batch: Batch, step: int, rate: float) -> dict[str, float]:
        """Learn from one batch and return the losses."""
        scheme, settings = self.scheme, self.scheme.recipe.discriminator
        generators_learn = settings is None or step % settings.generator_every == settings.generator_every - 1
        critics_learn = settings is not None and step % settings.every == 0
        losses: dict[str, float] = {}
        scheme.train()
        with torch.autocast(self._device, torch.bfloat16, enabled=scheme.recipe.precision == "bf16"):
            with torch.set_grad_enabled(generators_learn):
                made = scheme.make(batch)
            if critics_learn:
                judged = scheme.critic_losses(batch, {name: made[name].detach() for name in made})
                losses |= self._learn(scheme.critics, torch.stack(list(judged.values())).sum(), judged, step, rate)
            if generators_learn:
                scheme.critics.requires_grad_(False)
                parts = scheme.losses(batch, made)
                total = scheme.total(parts)
                losses |= self._learn(scheme.generators, total, {"loss": total, **parts}, step, rate)
                scheme.critics.requires_grad_(True)
                self._follow(min(scheme.recipe.average, step / (step + 10)))
        return losses

    def keep_if_best(self, best: bool) -> None:
        """Keep the average as it is now, where the recipe asks for the best."""
        if best and self.best is not None:
            self.best.load_state_dict(self.average.state_dict())

    def _learn(
        self, networks: nn.ModuleDict, total: Tensor, parts: dict[str, Tensor], step: int, rate: float
    ) -> dict[str, float]:
        """Change networks by the gradient of their loss."""
        if not torch.isfinite(total):
            raise ValueError(
                f"the loss is {float(total.detach())} at step {step}: the state of the last checkpoint is kept; "
                "resume with a lower learning rate"
            )
        torch.autograd.backward(total)
        for name, network in networks.items():
            if limit := self.scheme.recipe.gradient_limit:
                nn.utils.clip_grad_norm_(network.parameters(), limit)
            self.optimisers[name].step(rate)
        return {name: float(part.detach()) for name, part in parts.items()}

    @torch.no_grad()
    def _follow(self, keep: float) -> None:
        generators = self.scheme.generators
        torch._foreach_lerp_(list(self.average.parameters()), list(generators.parameters()), 1 - keep)
        for ours, theirs in zip(self.average.buffers(), generators.buffers(), strict=True):
            ours.copy_(theirs)


@torch.no_grad()
def _validate(
    scheme: Scheme, generators: nn.ModuleDict, batches: list[Batch], intensity_range: tuple[float, float]
) -> tuple[float | None, Preview | None]:
    """Return the mean error on images of validation and what was made of the first of them."""
    if not batches:
        return None, None
    judged = [scheme.judged(generators, batch) for batch in batches]
    output = judged[0][1]
    images = (batches[0].input, output, batches[0].target)
    preview = None if output is None else tuple(to_grey_levels(i, intensity_range) for i in images if i is not None)
    return float(np.mean([error for error, _ in judged])), preview  # type: ignore[return-value]
