"""Parts of a recipe: optics of simulated pairs, augmentation, discriminator, feature network, where the images are."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from napari_cellrestore.card import field_errors


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DefocusSettings(_Settings):
    """Pairs by simulated defocus of sharp images, see :class:`napari_cellrestore.pairs.DefocusPairs`."""

    pixel_um: float = Field(0.1, gt=0)
    na: float = Field(1.05, gt=0)
    immersion_index: float = Field(1.515, ge=1)
    wavelengths_um: tuple[float, ...] = Field((0.62, 0.53, 0.47), min_length=1)
    levels_um: tuple[float, float] = (-1.4, 1.4)
    step_um: float = Field(0.1, gt=0)
    only_um: tuple[float, ...] = Field((), description="Levels to draw from instead of those in steps")
    axial_colour_um: float = Field(0.1, ge=0)
    noise_gain: float = Field(0.0025, ge=0)
    scales: tuple[float, ...] = (0.8, 0.65)
    other_colours: bool = Field(True, description="Change contrast, brightness and white balance at random")


class Augmentation(_Settings):
    """Random changes of a pair of crops, the same of input and target; 0 or false leaves one out.

    Colours are those of Olofsson & Wagnström 2019, 2.3; shapes those of Bon (chapter 1.2.4).
    """

    flips: bool = True
    quarter_turns: bool = True
    contrast: float = Field(0.0, ge=0, description="Largest logarithm of the factor of contrast about the background")
    brightness: float = Field(0.0, ge=0, description="Largest logarithm of the factor of the background")
    balance: float = Field(0.0, ge=0, description="Largest logarithm of the factor of each colour's background")
    saturation: float = Field(0.0, ge=0, description="Largest logarithm of the factor of distance from grey")
    stain: float = Field(0.0, ge=0, description="Largest logarithm of the factor of each stain's density")
    shift_px: float = Field(0.0, ge=0)
    scale: float = Field(0.0, ge=0, description="Largest logarithm of the factor of size")
    rotation_deg: float = Field(0.0, ge=0, le=180)
    elastic_px: float = Field(0.0, ge=0, description="Largest move of a smooth random field")
    distortion: float = Field(
        0.0, ge=0, lt=0.5, description="Largest radial distortion at the corner, share of its radius"
    )
    cutout: float = Field(0.0, ge=0, le=1, description="Share of crops in which a square of the input is blank")


class DiscriminatorSettings(_Settings):
    """The network that judges restored images, and how it learns."""

    network: str = Field("patch-discriminator", description="Architecture, a key of NETWORKS")
    options: dict[str, Any] = Field(default_factory=dict, description="Options of the architecture")
    adversarial: Literal["bce", "wgan", "relativistic", "least-squares"] = "bce"
    conditional: bool = Field(True, description="Whether it sees the input beside the image that it judges")
    learning_rate: float | None = Field(None, gt=0, description="The recipe's where left out")
    every: int = Field(1, ge=1, description="It learns in every n-th step")
    generator_every: int = Field(1, ge=1, description="The generator learns in every n-th step")
    soft_labels: bool = Field(False, description="Labels drawn from 0..0.1 and 0.9..1 instead of 0 and 1")
    gradient_penalty: float = Field(0.0, ge=0)
    weight: float = Field(1.0, gt=0, description="Of the adversarial loss in its own learning")
    layer_weights: tuple[float, ...] = Field(
        (), description="Of its layers in the generator's perceptual adversarial loss"
    )
    own_layer_weights: tuple[float, ...] = Field((), description="Of its layers in its own perceptual adversarial loss")
    margin: float = Field(1.0, gt=0, description="Of its own perceptual adversarial loss")


class FeatureSettings(_Settings):
    """The trained network between whose features of output and target a loss is taken."""

    network: str = Field(description="vgg16, vgg19, efficientnet-b0, efficientnet-b3 or distance")
    layers: tuple[int | str, ...] = Field(min_length=1, description="Names or numbers of its layers")
    compare: Literal["l1", "mse", "gram"] = "l1"
    weights: str | None = Field(None, description="File of its weights; the user's cache where left out")


#: Kinds of sources that have two folders.
WITH_TARGETS = ("pairs", "unpaired", "leds")


class ImageSource(_Settings):
    """A folder of images to train on.

    ``sharp``: sharp images, of which blurred ones are simulated. ``pairs``: ``input`` and ``target`` hold images of the
    same names. ``stacks``: focus stacks, whose sharpest plane is the target of every other one. ``unpaired``: images of
    two kinds that do not belong to each other. ``leds``: LED stacks in ``input``, stained images of the same names in
    ``target``.
    """

    kind: Literal["sharp", "pairs", "stacks", "unpaired", "leds"] = "sharp"
    input: str = Field(min_length=1, description="Folder of the images, or of the inputs")
    target: str | None = Field(None, description="Folder of the targets")
    every: int = Field(10, ge=3, description="Of so many images one is kept for the test and one to validate")
    slide: str | None = Field(
        None, description="Regular expression; images in whose names it finds the same stay together"
    )
    align: bool = Field(False, description="Move inputs by whole pixels to lie on their targets")
    at_minimum: bool = Field(False, description="Stacks of unstained cells: the plane of least contrast is in focus")

    @classmethod
    def checked(cls, **fields: Any) -> ImageSource:
        """Return a source; ValueError in one line where a field is wrong."""
        try:
            return cls(**fields)
        except ValidationError as error:
            raise ValueError("; ".join(field_errors(error))) from error

    @model_validator(mode="after")
    def _target_where_needed(self) -> ImageSource:
        if (self.kind in WITH_TARGETS) != (self.target is not None):
            needs = "needs a folder of targets" if self.target is None else "takes no folder of targets"
            raise ValueError(f"images of kind {self.kind!r}: this kind {needs}")
        return self
