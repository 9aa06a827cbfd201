"""How long a run will take, before it is begun."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from napari_cellrestore.pairs import Pairs
from napari_cellrestore.recipe import Recipe
from napari_cellrestore.schemes import create_scheme
from napari_cellrestore.train.batches import Batches
from napari_cellrestore.train.learner import Learner, device_of


@dataclass(frozen=True)
class Estimate:
    """Size of what is trained and time of a step, measured over a few steps."""

    parameters: int
    seconds_a_step: float
    steps: int

    @property
    def seconds(self) -> float:
        """Time of the whole run."""
        return self.seconds_a_step * self.steps

    @property
    def in_words(self) -> str:
        """Time of the whole run in words.

        >>> Estimate(1, 0.5, 240).in_words, Estimate(1, 2.0, 9000).in_words
        ('2 minutes', '5.0 hours')
        """
        minutes = self.seconds / 60
        if minutes < 1:
            return "a minute"
        return f"{minutes:.0f} minutes" if minutes < 90 else f"{minutes / 60:.1f} hours"


def estimate(recipe: Recipe, pairs: Pairs, device: str = "auto", *, steps: int = 3) -> Estimate:
    """Return size and time of a run, measured over a few steps that leave nothing behind.

    The first step, which takes longer, does not count. Where not every network learns in every step, all learn as often as
    in the run.
    """
    critic = recipe.discriminator
    turn = math.lcm(critic.every, critic.generator_every) if critic else 1
    steps = -(-steps // turn) * turn
    device = device_of(device)
    scheme = create_scheme(recipe, pairs.in_channels, pairs.out_channels).to(device)
    learner = Learner(scheme, device)
    few = recipe.model_copy(update={"steps": 1 + steps})
    started = time.monotonic()
    with Batches(few, pairs, 0, device=device) as batches:
        for step, batch in batches:
            learner.step(batch.to(device), step, 1e-3)
            if step == 0:
                started = time.monotonic()
    each = (time.monotonic() - started) / steps
    return Estimate(sum(p.numel() for p in scheme.parameters()), each, recipe.steps)
