"""Recipes: what to train and how, as data."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from napari_cellrestore.card import field_errors


class Recipe(BaseModel):
    r"""A network, its losses and how it is trained. Frozen; saved with every run and in every model card.

    A recipe is also a YAML file with these fields; fields left out keep the values given here.

    Examples
    --------
    >>> RECIPES["deblur-fast"].network
    'pix2pix-fast'
    >>> Recipe.from_yaml("name: mine\nnetwork: pix2pix\nlosses: {l1: 10}").batch
    4
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1)
    task: Literal["deblur", "enhance", "stain", "transfer"] = "deblur"
    summary: str = ""
    network: str = Field(description="Architecture, a key of NETWORKS")
    options: dict[str, Any] = Field(default_factory=dict, description="Options of the architecture")
    losses: dict[str, float] = Field(description="Weights of the losses, keys of LOSSES")

    steps: int = Field(12_000, ge=1, description="Optimiser steps")
    batch: int = Field(4, ge=1, description="Crops a step")
    crop_px: int = Field(256, ge=16, description="Side of a crop in pixels")
    optimiser: Literal["adam", "muon"] = "adam"
    learning_rate: float = Field(2e-4, gt=0)
    muon_rate: float = Field(0.01, gt=0, description="Learning rate of the inner convolutions under muon")
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = Field(0.0, ge=0)
    schedule: Literal["constant", "one-cycle"] = "constant"
    average: float = Field(0.0, ge=0, lt=1, description="Moving average of the weights; 0 keeps the last ones")
    gradient_limit: float | None = Field(None, gt=0, description="Largest norm of the gradient")
    seed: int = 0
    checkpoint_every: int = Field(500, ge=1, description="Steps between saved states")

    pairs: DefocusSettings = Field(default_factory=lambda: DefocusSettings())

    @model_validator(mode="after")
    def _losses_weigh(self) -> Recipe:
        if not self.losses or not all(weight > 0 for weight in self.losses.values()):
            raise ValueError(f"losses {self.losses}: give at least one loss, each with a weight above 0")
        return self

    @classmethod
    def from_yaml(cls, text: str) -> Recipe:
        """Return the recipe written in YAML; ValueError that names wrong and known keys."""
        try:
            content = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ValueError(f"the recipe is not YAML: {' '.join(str(error).split())}") from error
        if not isinstance(content, dict):
            raise ValueError("the recipe must be a table of fields, such as 'name: mine'")
        try:
            return cls(**content)
        except ValidationError as error:
            known = ", ".join(cls.model_fields)
            raise ValueError(f"the recipe: {'; '.join(field_errors(error))}. Known fields: {known}") from error

    def to_yaml(self) -> str:
        """Return the recipe as YAML."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


class DefocusSettings(BaseModel):
    """Pairs by simulated defocus of sharp images, see :class:`napari_cellrestore.pairs.DefocusPairs`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pixel_um: float = Field(0.1, gt=0)
    na: float = Field(1.05, gt=0)
    immersion_index: float = Field(1.515, ge=1)
    wavelengths_um: tuple[float, float, float] = (0.62, 0.53, 0.47)
    levels_um: tuple[float, float] = (-1.4, 1.4)
    step_um: float = Field(0.1, gt=0)
    axial_colour_um: float = Field(0.1, ge=0)
    noise_gain: float = Field(0.0025, ge=0)
    scales: tuple[float, ...] = (0.8, 0.65)


Recipe.model_rebuild()


def read_recipe(name_or_path: str | Path) -> Recipe:
    """Return a recipe of :data:`RECIPES` by name, or one from a YAML file."""
    if str(name_or_path) in RECIPES:
        return RECIPES[str(name_or_path)]
    path = Path(name_or_path)
    if path.suffix not in (".yaml", ".yml"):
        raise ValueError(f"no recipe {str(name_or_path)!r}; known are {', '.join(RECIPES)}; or give a .yaml file")
    try:
        return Recipe.from_yaml(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from error


_RECIPES = [
    Recipe(
        name="pix2pix-cnn",
        summary="Generator of pix2pix with L1 loss alone (Olofsson & Wagnström 2019, table 6.17)",
        network="pix2pix",
        losses={"l1": 10.0},
        steps=200_000,
    ),
    Recipe(
        name="pix2pix-cnn-fast",
        summary="The fast generator (16 filters, 8 blocks) with L1 loss alone",
        network="pix2pix-fast",
        losses={"l1": 10.0},
        steps=200_000,
    ),
    Recipe(
        name="deblur-fast",
        summary="Deblurs stained blood smears up to 1.4 um out of focus, fast enough for any laptop",
        network="pix2pix-fast",
        options={"norm": "none", "dropout": 0.0, "global_skip": True},
        losses={"rmse": 1.0},
        steps=16_000,
        batch=8,
        crop_px=128,
        optimiser="muon",
        learning_rate=2e-3,
        muon_rate=0.02,
        schedule="one-cycle",
        average=0.998,
        gradient_limit=1.0,
        seed=2019,
    ),
]

#: Named recipes.
RECIPES: dict[str, Recipe] = {recipe.name: recipe for recipe in _RECIPES}
