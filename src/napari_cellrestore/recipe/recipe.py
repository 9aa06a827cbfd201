"""What to train and how, as data."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from napari_cellrestore.card import MOST_ERRORS, field_errors
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

    name: str = Field(min_length=1, description="Of the recipe, and of its model where no other is given")
    task: Literal["deblur", "enhance", "stain", "transfer", "distance"] = Field(
        "deblur", description="What its models are for"
    )
    summary: str = Field("", description="One sentence, for lists")
    network: str = Field(description="Architecture, a key of NETWORKS")
    options: dict[str, Any] = Field(default_factory=dict, description="Options of the architecture")
    in_planes: int = Field(1, ge=1, description="Planes of a stack that enter together")
    leds: str | None = Field(None, description="Which planes of LED stacks enter, a key of SUBSETS; all where left out")
    levels_um: tuple[float, ...] = Field((), description="Distances from focus that the network distance tells apart")
    start: str | None = Field(None, description="Model, or folder of one, whose weights it starts from")
    losses: dict[str, float] = Field(description="Weights of the losses, keys of LOSSES or of OTHER_LOSSES")
    discriminator: DiscriminatorSettings | None = Field(None, description="What judges, for adversarial losses")
    features: FeatureSettings | None = Field(None, description="What is compared by the loss feature")

    steps: int = Field(12_000, ge=1, description="Batches seen")
    batch: int = Field(4, ge=1, description="Crops a step")
    crop_px: int = Field(256, ge=16, description="Side of a crop in pixels")
    optimiser: Literal["adam", "muon"] = Field(
        "adam", description="AdamW (Adam where nothing decays), or Muon for the inner convolutions"
    )
    learning_rate: float = Field(2e-4, gt=0, description="Of all weights, or under muon of those that are not its own")
    muon_rate: float = Field(0.01, gt=0, description="Learning rate of the inner convolutions under muon")
    betas: tuple[float, float] = Field((0.9, 0.999), description="Adam's decay of means of gradient and of its square")
    weight_decay: float = Field(0.0, ge=0, description="AdamW's decay of the weights")
    schedule: Literal["constant", "one-cycle", "plateau"] = Field(
        "constant", description="How the learning rate changes"
    )
    patience: int | None = Field(None, ge=1, description="Validations without gain before the run stops")
    average: float = Field(0.0, ge=0, lt=1, description="Moving average of the weights; 0 keeps the last ones")
    gradient_limit: float | None = Field(None, gt=0, description="Largest norm of the gradient")
    precision: Literal["float32", "bf16"] = Field(
        "float32",
        description="What is computed in; under bf16 the weights stay float32, and dark-field planes want the option standardise",
    )
    seed: int = Field(0, ge=0, description="Of all that is drawn at random")
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

    def check_images(self) -> None:
        """Raise ValueError where its losses cannot learn from the kinds of its images."""
        kinds = {source.kind for source in self.images}
        if "unpaired" in kinds and not self.cyclic:
            raise ValueError(
                f"recipe {self.name!r} learns from pairs, these images do not belong to each other: give pairs, or take a "
                "recipe such as CycleGAN"
            )
        if "unpaired" in kinds and self.discriminator and self.discriminator.conditional:
            raise ValueError(
                f"recipe {self.name!r} has a critic that sees the input beside the image (conditional), and of unpaired images "
                "no true pair is known: set conditional: false"
            )
        reach_um = max(map(abs, self.pairs.only_um or self.pairs.levels_um))
        if "sharp" in kinds and "level" in self.losses and reach_um > (last_um := self.levels_um[-1]) + 1e-9:
            raise ValueError(
                f"recipe {self.name!r} tells distances up to {last_um:g} um, and blur up to {reach_um:g} um is to be simulated: "
                f"farther ones would be called {last_um:g}. Simulate less, or set levels_um up to {reach_um:g}"
            )
        if kinds == {"unpaired"} and "adversarial" not in self.losses:
            raise ValueError(
                f"recipe {self.name!r} has no adversarial loss: from unpaired images alone it learns to leave images as they "
                "are; give pairs too, or take a recipe such as CycleGAN"
            )

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
        if self.discriminator and self.discriminator.adversarial == "wgan" and not self.discriminator.gradient_penalty:
            raise ValueError("discriminator: wgan has scores without bounds: give gradient_penalty above 0, such as 10")
        if ("feature" in self.losses) != (self.features is not None):
            what = "the loss 'feature' needs them" if self.features is None else "no loss 'feature' uses them"
            raise ValueError(f"features: {what}")
        for loss, network in (("kl", "vae"), ("level", "distance")):
            if loss in self.losses and self.network != network:
                raise ValueError(f"losses: {loss!r} needs the network {network!r}, not {self.network!r}")
        if ("level" in self.losses) != (len(self.levels_um) > 1):
            raise ValueError(f"levels_um {self.levels_um}: give two levels or more with the loss 'level', else none")
        if "level" in self.losses and not (self.levels_um[0] >= 0 and all(a < b for a, b in pairwise(self.levels_um))):
            raise ValueError(f"levels_um {self.levels_um}: give distances from focus, 0 or more, from small to large")
        if self.network == "distance" and set(self.losses) != {"level"}:
            raise ValueError("losses: the network 'distance' learns by the loss 'level' alone")
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
            raise ValueError(f"the recipe: {said}. {_known_fields(error)}") from error

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


def _known_fields(error: ValidationError | TypeError) -> str:
    """Return the fields of the tables that errors lie in."""
    places = [item["loc"][:-1] for item in error.errors()] if isinstance(error, ValidationError) else [()]
    tables = dict(map(_table_at, places[:MOST_ERRORS]))
    return " ".join(f"Known fields{name}: {', '.join(table.model_fields)}." for table, name in tables.items())[:-1]


def _table_at(place: tuple[int | str, ...]) -> tuple[type[BaseModel], str]:
    """Return the innermost table of fields on the way to a place in a recipe, and how it is called after "fields"."""
    table: type[BaseModel] = Recipe
    called = ""
    for name in place:
        inner = _table_in(table.model_fields[name].annotation) if name in table.model_fields else None
        table, called = (inner, f" of {name}") if inner else (table, called)
    return table, called


def _table_in(annotation: Any) -> type[BaseModel] | None:
    """Return the table that a field holds: itself, in a tuple, or where it is given."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((table for part in get_args(annotation) if (table := _table_in(part))), None)
