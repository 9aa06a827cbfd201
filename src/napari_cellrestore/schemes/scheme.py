"""What every scheme of training has in common."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from napari_cellrestore.losses import LOSSES, FeatureLoss
from napari_cellrestore.networks import create_network, stride_of
from napari_cellrestore.recipe import OTHER_LOSSES, Recipe
from napari_cellrestore.schemes.batch import Batch

#: What the generators made of one batch, by name.
Made = dict[str, Tensor]


class Scheme(nn.Module):
    """Generators, which are kept, and critics, which only teach them.

    A step of the training loop: ``made = make(batch)``; the critics learn from ``critic_losses(batch, made)``, then the
    generators from ``losses(batch, made)``, whose parts the recipe weighs.
    """

    #: Losses that this scheme knows besides those of output and target.
    KNOWN: ClassVar[tuple[str, ...]] = ()

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.recipe = recipe
        self.generators = nn.ModuleDict()
        self.critics = nn.ModuleDict()
        if unknown := sorted(set(recipe.losses) - set(LOSSES) - set(self.KNOWN)):
            known = ", ".join([*LOSSES, *OTHER_LOSSES])
            raise ValueError(f"losses {', '.join(unknown)} cannot be taken with this recipe; known are {known}")
        # Kept in a list: a trained network that only measures is no part of what is saved.
        self._features = [feature_loss(recipe)] if recipe.features else []

    def make(self, batch: Batch) -> Made:
        """Return what the generators make of a batch."""
        raise NotImplementedError

    def losses(self, batch: Batch, made: Made) -> dict[str, Tensor]:
        """Return the losses of the generators by the recipe's names, unweighted."""
        raise NotImplementedError

    def critic_losses(self, batch: Batch, made: Made) -> dict[str, Tensor]:
        """Return the losses of the critics, weighted; ``made`` carries no gradient."""
        return {}

    def judged(self, generators: nn.ModuleDict, batch: Batch) -> tuple[float, Tensor | None]:
        """Return how wrong (less is better) generators are on a batch of validation, and their output as an image."""
        output = generators["generator"](batch.input)
        return float((output - batch.target).abs().mean()), output

    def feature(self, output: Tensor, target: Tensor) -> Tensor:
        """Return the loss between features of output and target."""
        loss: Tensor = self._features[0].to(output.device)(output, target)
        return loss

    def total(self, parts: dict[str, Tensor]) -> Tensor:
        """Return the sum of parts weighted by the recipe."""
        return torch.stack([self.recipe.losses[name] * part for name, part in parts.items()]).sum()


def new_generator(recipe: Recipe, in_channels: int, out_channels: int) -> nn.Module:
    """Create the recipe's network, with the weights that it starts from."""
    network = create_network(recipe.network, in_channels, out_channels, **recipe.options)
    if not any(True for _ in network.parameters()):
        raise ValueError(
            f"network: {recipe.network!r} has nothing to learn; take a network of layers, such as nafnet-fast"
        )
    stride = stride_of(network)
    normalises = any(isinstance(layer, nn.BatchNorm2d) for layer in network.modules())
    if normalises and recipe.batch == 1 and recipe.crop_px <= stride:
        raise ValueError(
            f"crop_px is {recipe.crop_px} and batch 1: {recipe.network} makes one pixel of such a crop and normalises it over the "
            f"batch, which leaves nothing; give crops of {2 * stride} px or a batch of 2"
        )
    if recipe.start is not None:
        start_from(network, recipe.start)
    return network


def start_from(network: nn.Module, model: str) -> None:
    """Take the weights of a model; ValueError where they do not fit.

    A network that has more layers than the model may start from it if it then computes the same, because what it has more
    begins as nothing: :class:`~napari_cellrestore.networks.nafnet.NAFNet` with further blocks.
    """
    from napari_cellrestore.model import load_model

    smaller = load_model(model)
    try:
        own, foreign = network.load_state_dict(smaller.network.state_dict(), strict=False)
    except RuntimeError as error:
        first = str(error).strip().splitlines()[-1].strip()
        raise ValueError(f"start {model!r}: its weights are of another network ({first})") from error
    if foreign or (own and not _compute_same(network, smaller.network, smaller.card.in_channels)):
        only = f"only it has {foreign[0]}" if foreign else f"it has no {own[0]}"
        raise ValueError(f"start {model!r}: its weights are of another network ({only})")


@torch.inference_mode()
def _compute_same(network: nn.Module, other: nn.Module, channels: int) -> bool:
    """Tell whether two networks map the same image to the same."""
    training = network.training
    image = torch.rand(1, channels, 64, 64, generator=torch.Generator().manual_seed(0))
    same = torch.allclose(network.eval()(image), other.eval()(image), atol=1e-5)
    network.train(training)
    return same


def feature_loss(recipe: Recipe) -> FeatureLoss:
    """Return the loss between features that the recipe names."""
    settings = recipe.features
    assert settings is not None
    return FeatureLoss(settings.network, settings.layers, compare=settings.compare, weights=settings.weights)
