"""Two generators, there and back."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from napari_cellrestore.losses.pixel import l1
from napari_cellrestore.recipe import Recipe
from napari_cellrestore.schemes.batch import Batch
from napari_cellrestore.schemes.critic import Critic
from napari_cellrestore.schemes.scheme import Made, Scheme, new_generator


class Cycle(Scheme):
    """CycleGAN (Zhu et al. 2017), ccGAN and pcNET (Jönsson & Sjöstrand 2018, 3.4, 3.5).

    ``cycle = |F(G(x)) - x| + |G(F(y)) - y|``, ``identity = |G(y) - y| + |F(x) - x|``, ``paired = |G(x) - y| + |F(y) - x|``
    over the pairs of a batch that belong to each other, all means of absolute differences.
    """

    KNOWN = ("adversarial", "feature", "cycle", "identity", "paired")

    def __init__(self, recipe: Recipe, in_channels: int, out_channels: int) -> None:
        super().__init__(recipe)
        if in_channels != out_channels:
            raise ValueError(
                f"recipe {recipe.name!r} goes there and back, so both kinds of images must have the same number of "
                f"channels; they have {in_channels} and {out_channels}"
            )
        for name in ("generator", "back"):
            self.generators[name] = new_generator(recipe, in_channels, out_channels)
        if recipe.discriminator:
            for name in ("critic", "back_critic"):
                self.critics[name] = Critic(recipe.discriminator, in_channels, out_channels)

    def make(self, batch: Batch) -> Made:
        """Return what the generators make of a batch."""
        there, back = self.generators["generator"], self.generators["back"]
        made = {"output": there(batch.input), "back": back(batch.target)}
        if "cycle" in self.recipe.losses:
            made |= {"input_again": back(made["output"]), "target_again": there(made["back"])}
        if "identity" in self.recipe.losses:
            made |= {"target_kept": there(batch.target), "input_kept": back(batch.input)}
        return made

    def losses(self, batch: Batch, made: Made) -> dict[str, Tensor]:
        """Return the losses of the generators, unweighted."""
        return {name: self._loss(name, batch, made) for name in self.recipe.losses}

    def _loss(self, name: str, batch: Batch, made: Made) -> Tensor:
        x, y = batch.input, batch.target
        if name == "cycle":
            return l1(made["input_again"], x) + l1(made["target_again"], y)
        if name == "identity":
            return l1(made["target_kept"], y) + l1(made["input_kept"], x)
        if name == "adversarial":
            there, back = (self._critic(name) for name in ("critic", "back_critic"))
            return there.adversarial_loss(x, made["output"], y) + back.adversarial_loss(y, made["back"], x)
        pairs = batch.paired
        if not bool(pairs.any()):  # none in this batch
            return torch.zeros((), device=x.device)
        ways = ((made["output"][pairs], y[pairs]), (made["back"][pairs], x[pairs]))
        compare = self.feature if name == "feature" else l1
        return torch.stack([compare(ours, theirs) for ours, theirs in ways]).sum()

    def critic_losses(self, batch: Batch, made: Made) -> dict[str, Tensor]:
        """Return the losses of the critics."""
        return {
            "critic": self._critic("critic").own_loss(batch.input, made["output"], batch.target),
            "back_critic": self._critic("back_critic").own_loss(batch.target, made["back"], batch.input),
        }

    def _critic(self, name: str) -> Critic:
        critic = self.critics[name]
        assert isinstance(critic, Critic)
        return critic

    def judged(self, generators: nn.ModuleDict, batch: Batch) -> tuple[float, Tensor | None]:
        """Return the difference to the target for pairs; else of the input, there and back, to itself."""
        output = generators["generator"](batch.input)
        if bool(batch.paired.all()):
            return float(l1(output, batch.target)), output
        return float(l1(generators["back"](output), batch.input)), output
