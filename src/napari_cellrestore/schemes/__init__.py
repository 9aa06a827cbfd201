"""Schemes: which networks learn together, and from what."""

from __future__ import annotations

from napari_cellrestore.recipe import Recipe
from napari_cellrestore.schemes.batch import Batch
from napari_cellrestore.schemes.cycle import Cycle
from napari_cellrestore.schemes.levels import Levels
from napari_cellrestore.schemes.paired import Paired
from napari_cellrestore.schemes.scheme import Scheme

__all__ = ["Batch", "Cycle", "Levels", "Paired", "Scheme", "create_scheme"]


def create_scheme(recipe: Recipe, in_channels: int, out_channels: int) -> Scheme:
    """Create the untrained networks of a recipe and what they learn from."""
    kind = Cycle if recipe.cyclic else Levels if "level" in recipe.losses else Paired
    return kind(recipe, in_channels, out_channels)
