"""Recipes: what to train and how, as data."""

from napari_cellrestore.recipe.named import RECIPES, read_recipe
from napari_cellrestore.recipe.recipe import CYCLIC, OTHER_LOSSES, Recipe
from napari_cellrestore.recipe.settings import (
    ALIGNED,
    WITH_TARGETS,
    Augmentation,
    DefocusSettings,
    DiscriminatorSettings,
    FeatureSettings,
    ImageSource,
)

__all__ = [
    "ALIGNED",
    "CYCLIC",
    "OTHER_LOSSES",
    "RECIPES",
    "WITH_TARGETS",
    "Augmentation",
    "DefocusSettings",
    "DiscriminatorSettings",
    "FeatureSettings",
    "ImageSource",
    "Recipe",
    "read_recipe",
]
