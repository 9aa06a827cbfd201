"""A classifier of the distance from focus."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_cellrestore.networks import create_network
from napari_cellrestore.recipe import Recipe
from napari_cellrestore.schemes.batch import Batch
from napari_cellrestore.schemes.scheme import Made, Scheme


class Levels(Scheme):
    """Cross entropy between the predicted probability of each level and the true distance from focus.

    A distance between two levels belongs to both, in proportion: 0.3 um is half 0.2 and half 0.4 um. The sign of the
    level does not count.
    """

    KNOWN = ("level",)

    def __init__(self, recipe: Recipe, in_channels: int, out_channels: int) -> None:
        super().__init__(recipe)
        self.generators["generator"] = create_network(
            recipe.network, in_channels, len(recipe.levels_um), **recipe.options
        )

    def make(self, batch: Batch) -> Made:
        """Return what the generators make of a batch."""
        return {"scores": self.generators["generator"](batch.input)}

    def losses(self, batch: Batch, made: Made) -> dict[str, Tensor]:
        """Return the losses of the generators, unweighted."""
        if bool(batch.level_um.isnan().any()):
            raise ValueError(
                "images came whose distance from focus is not known: train on focus stacks or on simulated defocus"
            )
        wanted = shares_of_levels(batch.level_um.abs(), self.recipe.levels_um)
        return {"level": functional.cross_entropy(made["scores"].float(), wanted)}

    def judged(self, generators: nn.ModuleDict, batch: Batch) -> tuple[float, Tensor | None]:
        """Return the mean error of the predicted distance in micrometres."""
        shares = generators["generator"](batch.input).softmax(1)
        predicted_um = shares @ torch.tensor(self.recipe.levels_um, device=shares.device)
        return float((predicted_um - batch.level_um.abs()).abs().mean()), None


def shares_of_levels(distance_um: Tensor, levels_um: tuple[float, ...]) -> Tensor:
    """Return (N, levels): how distances divide between their neighbouring levels; beyond the last one they are it.

    Examples
    --------
    >>> shares_of_levels(torch.tensor([0.0, 0.25, 9.0]), (0.0, 0.5, 1.0)).tolist()
    [[1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.0, 0.0, 1.0]]
    """
    levels = torch.tensor(levels_um, device=distance_um.device)
    inside = distance_um.clamp(levels[0], levels[-1])
    above = torch.searchsorted(levels, inside.contiguous()).clamp(1, len(levels) - 1)
    share = (inside - levels[above - 1]) / (levels[above] - levels[above - 1])
    shares = torch.zeros(len(distance_um), len(levels), device=distance_um.device)
    shares.scatter_(1, above[:, None], share[:, None])
    shares.scatter_(1, above[:, None] - 1, 1 - share[:, None])
    return shares
