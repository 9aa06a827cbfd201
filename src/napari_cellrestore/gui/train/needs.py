"""What a recipe needs that is not on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from napari_cellrestore.losses.pretrained import FILES, find_weights
from napari_cellrestore.model import model_folders
from napari_cellrestore.networks import NETWORKS
from napari_cellrestore.recipe import Recipe


def lacking(recipe: Recipe) -> str:
    """Return what there must be before a recipe can be trained, in a line; "" where all is there.

    >>> lacking(Recipe(name="mine", network="pix2pix", losses={"l1": 1}))
    ''
    >>> lacking(Recipe(name="mine", network="none", losses={"l1": 1}))
    "This recipe needs the network 'none', which this version does not have."
    """
    return next(_lacking(recipe), "")


def _lacking(recipe: Recipe) -> Iterator[str]:
    if recipe.network not in NETWORKS:
        yield f"This recipe needs the network {recipe.network!r}, which this version does not have."
    features = recipe.features
    if "efficientnet" in f"{recipe.network} {features and features.network}" and find_spec("monai") is None:
        yield "This recipe needs MONAI, which is not installed: install napari-cellrestore[monai]."
    if recipe.start is not None and recipe.start not in model_folders() and not Path(recipe.start).is_dir():
        yield f"This recipe goes on from the model {recipe.start!r}, which is not in the list: train that first."
    if features is not None:
        yield from _lacking_weights(features.network, features.weights)


def _lacking_weights(network: str, weights: str | None) -> Iterator[str]:
    """Yield what is wrong with the weights of a network between whose features a loss is taken."""
    if weights is not None and not Path(weights).exists():
        yield f"This recipe compares features of {network}: there is no file {weights}."
    elif weights is None and network in FILES:
        try:
            find_weights(network)
        except ValueError as error:
            yield f"This recipe compares {error}."
    elif weights is None and network not in model_folders():
        yield f"This recipe compares features of the model {network!r}, which is not in the list: train that first."
