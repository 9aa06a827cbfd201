"""The networks of a scheme, learning."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor, nn

from napari_cellrestore.optimiser import Optimiser
from napari_cellrestore.schemes import Batch, Scheme


def device_of(name: str) -> str:
    """Return the device to train on, for "auto" a GPU where there is one; ValueError where there is none of that name."""
    device = ("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name
    try:
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError) as error:  # whatever torch says of a device that it does not know or have
        there = ["auto", "cpu", *["cuda"] * torch.cuda.is_available()]
        raise ValueError(f"no device {name!r} on this machine; there are {', '.join(there)}") from error
    return device


class DivergedError(ValueError):
    """What was learnt is no number any more."""


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
        #: Moving average of the generators' weights, and of what batch norm knows.
        self.average = deepcopy(scheme.generators).eval().requires_grad_(False)
        #: The average that did best on the images of validation, where the recipe asks for it.
        self.best = deepcopy(self.average) if recipe.patience else None
        self._device = torch.device(device).type

    def step(self, batch: Batch, step: int, rate: float) -> dict[str, float]:
        """Learn from one batch and return the losses; :class:`DivergedError` where one is no number."""
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

    def check_finite(self, step: int) -> None:
        """Raise :class:`DivergedError` where a weight is no number after a step."""
        for kind, networks in (
            ("generators", self.scheme.generators),
            ("critics", self.scheme.critics),
            ("the moving average", self.average),
        ):
            if not all(bool(torch.isfinite(value).all()) for value in networks.state_dict().values()):
                raise DivergedError(f"weights of {kind} are not finite at step {step}")

    def _learn(
        self, networks: nn.ModuleDict, total: Tensor, parts: dict[str, Tensor], step: int, rate: float
    ) -> dict[str, float]:
        """Change networks by the gradient of their loss."""
        if not torch.isfinite(total):
            raise DivergedError(f"the loss is {float(total.detach())} at step {step + 1}")
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
        for ours, theirs in zip(self.average.modules(), generators.modules(), strict=True):
            # running means and variances too: those of the last steps belong to other weights than the averaged ones
            moving = isinstance(theirs, nn.BatchNorm2d) and theirs.momentum is not None
            for mine, its in zip(ours.buffers(recurse=False), theirs.buffers(recurse=False), strict=True):
                mine.lerp_(its, 1 - keep) if moving and mine.is_floating_point() else mine.copy_(its)
