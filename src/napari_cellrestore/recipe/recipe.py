"""What to train and how, as data."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from napari_cellrestore.card import field_errors
from napari_cellrestore.plain import from_yaml
from napari_cellrestore.recipe.settings import (
    Augmentation,
    DefocusSettings,
    DiscriminatorSettings,
    FeatureSettings,
    ImageSource,
)

#: Losses that a recipe weighs besides those of output and target, and what each needs.
OTHER_LOSSES = {
    "adversarial": "a discriminator",
    "perceptual-adversarial": "a discriminator",
    "feature": "features",
    "cycle": "a way back, so it makes one",
    "identity": "a way back, so it makes one",
    "paired": "a way back, so it makes one",
    "kl": "the network vae",
    "level": "the network distance",
}
#: Losses of a pair of generators, there and back.
CYCLIC = ("cycle", "identity", "paired")


class Recipe(BaseModel):
    r"""A network, its losses and how it is trained. Frozen; saved with every run and in every model card.

    A recipe is also a YAML file with these fields; fields left out keep the values given here.

    Examples
    --------
    >>> recipe = Recipe.from_yaml("name: mine\nnetwork: pix2pix\nlosses: {l1: 10}")
    >>> recipe.batch, recipe.cyclic
    (4, False)
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1)
    task: Literal["deblur", "enhance", "stain", "transfer", "distance"] = "deblur"
    summary: str = ""
    network: str = Field(description="Architecture, a key of NETWORKS")
    options: dict[str, Any] = Field(default_factory=dict, description="Options of the architecture")
    in_planes: int = Field(1, ge=1, description="Planes of a stack that enter together")
    leds: str | None = Field(None, description="Which planes of LED stacks enter, a key of SUBSETS; all where left out")
    levels_um: tuple[float, ...] = Field((), description="Distances from focus that the network distance tells apart")
    start: str | None = Field(None, description="Model, or folder of one, whose weights it starts from")
    losses: dict[str, float] = Field(description="Weights of the losses, keys of LOSSES or of OTHER_LOSSES")
    discriminator: DiscriminatorSettings | None = None
    features: FeatureSettings | None = None

    steps: int = Field(12_000, ge=1, description="Batches seen")
    batch: int = Field(4, ge=1, description="Crops a step")
    crop_px: int = Field(256, ge=16, description="Side of a crop in pixels")
    optimiser: Literal["adam", "muon"] = Field("adam", description="adam is AdamW, Adam where nothing decays")
    learning_rate: float = Field(2e-4, gt=0)
    muon_rate: float = Field(0.01, gt=0, description="Learning rate of the inner convolutions under muon")
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = Field(0.0, ge=0)
    schedule: Literal["constant", "one-cycle", "plateau"] = "constant"
    patience: int | None = Field(None, ge=1, description="Validations without gain before the run stops")
    average: float = Field(0.0, ge=0, lt=1, description="Moving average of the weights; 0 keeps the last ones")
    gradient_limit: float | None = Field(None, gt=0, description="Largest norm of the gradient")
    precision: Literal["float32", "bf16"] = "float32"
    seed: int = 0
    checkpoint_every: int = Field(500, ge=1, description="Steps between saved states, each with a validation")

    pairs: DefocusSettings = Field(default_factory=DefocusSettings, description="Simulated defocus of sharp images")
    augmentation: Augmentation | None = Field(None, description="Of pairs that are not simulated")
    intensity_range: tuple[float, float] | None = Field(
        None, description="Grey levels that the network knows as -1 and 1; that of the images' type where left out"
    )
    limits: tuple[str, ...] = Field(
        (), description="What its models must not be trusted with, a sentence each; in their cards"
    )
    images: tuple[ImageSource, ...] = Field((), description="Where the images are; the command line may say it too")

    @property
    def cyclic(self) -> bool:
        """Whether two generators learn, there and back."""
        return any(name in self.losses for name in CYCLIC)

    @model_validator(mode="after")
    def _losses_weigh(self) -> Recipe:
        if not self.losses or not all(weight > 0 for weight in self.losses.values()):
            raise ValueError(f"losses {self.losses}: give at least one loss, each with a weight above 0")
        return self

    @model_validator(mode="after")
    def _losses_have_what_they_need(self) -> Recipe:
        judged = {"adversarial", "perceptual-adversarial"} & set(self.losses)
        if bool(judged) != (self.discriminator is not None):
            what = f"{', '.join(sorted(judged))} needs one" if judged else "no loss uses one"
            raise ValueError(f"discriminator: {what}")
        if self.discriminator and self.discriminator.soft_labels and self.discriminator.adversarial != "bce":
            raise ValueError(f"discriminator: soft labels belong to bce, not to {self.discriminator.adversarial}")
        if ("feature" in self.losses) != (self.features is not None):
            what = "the loss 'feature' needs them" if self.features is None else "no loss 'feature' uses them"
            raise ValueError(f"features: {what}")
        for loss, network in (("kl", "vae"), ("level", "distance")):
            if loss in self.losses and self.network != network:
                raise ValueError(f"losses: {loss!r} needs the network {network!r}, not {self.network!r}")
        if ("level" in self.losses) != (len(self.levels_um) > 1):
            raise ValueError(f"levels_um {self.levels_um}: give two levels or more with the loss 'level', else none")
        return self

    @classmethod
    def from_yaml(cls, text: str) -> Recipe:
        """Return the recipe written in YAML; ValueError that names wrong and known keys."""
        try:
            content = from_yaml(text)
        except ValueError as error:
            raise ValueError(f"the recipe is not YAML: {error}") from error
        if not isinstance(content, dict):
            raise ValueError("the recipe must be a table of fields, such as 'name: mine'")
        try:
            return cls(**content)
        except (ValidationError, TypeError) as error:
            said = "; ".join(field_errors(error)) if isinstance(error, ValidationError) else str(error)
            raise ValueError(f"the recipe: {said}. Known fields: {', '.join(cls.model_fields)}") from error

    def to_yaml(self) -> str:
        """Return the recipe as YAML."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)

    @classmethod
    def read(cls, path: Path) -> Recipe:
        """Read a recipe's file; errors name it."""
        try:
            return cls.from_yaml(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ValueError(f"{path}: {error}") from error
