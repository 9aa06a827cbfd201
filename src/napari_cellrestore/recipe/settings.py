"""Parts of a recipe: optics of simulated pairs, augmentation, discriminator, feature network, where the images are."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from napari_cellrestore.card import field_errors


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DefocusSettings(_Settings):
    """Pairs by simulated defocus of sharp images, see :class:`napari_cellrestore.pairs.DefocusPairs`."""

    pixel_um: float = Field(0.1, gt=0, description="Pixel size at the object")
    na: float = Field(1.05, gt=0, description="Effective aperture of condenser and objective together")
    immersion_index: float = Field(1.515, ge=1, description="Refractive index: 1 air, 1.33 water, 1.515 oil")
    wavelengths_um: tuple[float, ...] = Field(
        (0.62, 0.53, 0.47), min_length=1, description="One for each colour of the images"
    )
    levels_um: tuple[float, float] = Field((-1.4, 1.4), description="Least and largest distance from focus")
    step_um: float = Field(0.1, gt=0, description="Levels lie so far apart")
    only_um: tuple[float, ...] = Field((), description="Levels to draw from instead of those in steps")
    axial_colour_um: float = Field(0.1, ge=0, description="How far the foci of the colours may lie apart")
    noise_gain: float = Field(0.0025, ge=0, description="Grey levels per photo-electron")
    scales: tuple[float, ...] = Field((0.8, 0.65), description="Half of the crops are rescaled by one of these")
    other_colours: bool = Field(True, description="Change contrast, brightness and white balance at random")

    @model_validator(mode="after")
    def _levels_in_order(self) -> DefocusSettings:
        low_um, high_um = self.levels_um
        if not low_um <= high_um:
            raise ValueError(f"levels_um are {low_um:g} to {high_um:g}: give the lower one first")
        return self


class Augmentation(_Settings):
    """Random changes of a pair of crops, the same of input and target; 0 or false leaves one out.

    Colours are those of Olofsson & Wagnström 2019, 2.3; shapes those of Bon (chapter 1.2.4).
    """

    flips: bool = Field(True, description="Mirror half of the crops")
    quarter_turns: bool = Field(
        True, description="Turn by multiples of 90 degrees; of LED stacks all turns and mirrors that their array allows"
    )
    contrast: float = Field(0.0, ge=0, description="Largest logarithm of the factor of contrast about the background")
    brightness: float = Field(0.0, ge=0, description="Largest logarithm of the factor of the background")
    balance: float = Field(0.0, ge=0, description="Largest logarithm of the factor of each colour's background")
    saturation: float = Field(0.0, ge=0, description="Largest logarithm of the factor of distance from grey")
    stain: float = Field(0.0, ge=0, description="Largest logarithm of the factor of each stain's density")
    shift_px: float = Field(0.0, ge=0, description="Largest shift")
    scale: float = Field(0.0, ge=0, description="Largest logarithm of the factor of size")
    rotation_deg: float = Field(0.0, ge=0, le=180, description="Largest turn to either side")
    elastic_px: float = Field(0.0, ge=0, description="Largest move of a smooth random field")
    distortion: float = Field(
        0.0, ge=0, lt=0.5, description="Largest radial distortion at the corner, share of its radius"
    )
    cutout: float = Field(0.0, ge=0, le=1, description="Share of crops in which a square of the input is blank")


class DiscriminatorSettings(_Settings):
    """The network that judges restored images, and how it learns."""

    network: str = Field("patch-discriminator", description="Architecture, a key of NETWORKS")
    options: dict[str, Any] = Field(default_factory=dict, description="Options of the architecture")
    adversarial: Literal["bce", "wgan", "relativistic", "least-squares"] = Field(
        "bce", description="How scores become a loss"
    )
    conditional: bool = Field(True, description="Whether it sees the input beside the image that it judges")
    learning_rate: float | None = Field(None, gt=0, description="The recipe's where left out")
    every: int = Field(1, ge=1, description="It learns in every n-th step")
    generator_every: int = Field(1, ge=1, description="The generator learns in every n-th step")
    soft_labels: bool = Field(False, description="Labels drawn from 0..0.1 and 0.9..1 instead of 0 and 1")
    gradient_penalty: float = Field(
        0.0,
        ge=0,
        description="Weight of (norm of the gradient - 1)^2 between true and made images, in its own learning",
    )
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
    compare: Literal["l1", "mse", "gram"] = Field("l1", description="How; gram is the style loss, of Gram matrices")
    weights: str | None = Field(None, description="File of its weights; the user's cache where left out")


#: Kinds of sources that have two folders, and those whose inputs can be moved onto their targets.
WITH_TARGETS, ALIGNED = ("pairs", "unpaired", "leds"), ("pairs", "stacks")


class ImageSource(_Settings):
    """A folder of images to train on.

    ``sharp``: sharp images, of which blurred ones are simulated. ``pairs``: ``input`` and ``target`` hold images of the
    same names. ``stacks``: focus stacks, whose sharpest plane is the target of every other one. ``unpaired``: images of
    two kinds that do not belong to each other. ``leds``: LED stacks in ``input``, stained images of the same names in
    ``target``.
    """

    kind: Literal["sharp", "pairs", "stacks", "unpaired", "leds"] = Field("sharp", description="What the folders hold")
    input: str = Field(min_length=1, description="Folder of the images, or of the inputs")
    target: str | None = Field(None, description="Folder of the targets, of kinds that have two folders")
    every: int = Field(10, ge=3, description="Of so many images one is kept for the test and one to validate")
    slide: str | None = Field(
        None, description="Regular expression; images in whose names it finds the same stay together"
    )
    align: bool = Field(False, description="Move inputs by whole pixels to lie on their targets; pairs and stacks only")
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

    @model_validator(mode="after")
    def _options_do_something(self) -> ImageSource:
        for name, kinds in (("align", ALIGNED), ("at_minimum", ("stacks",))):
            if getattr(self, name) and self.kind not in kinds:
                raise ValueError(
                    f"images of kind {self.kind!r}: {name} is for {' and '.join(kinds)} alone; leave it out"
                )
        return self
