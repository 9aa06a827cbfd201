"""Model card: what a model expects, what it was trained on, what it may be trusted with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from napari_cellrestore.plain import from_json, shortly

#: Version of the card's format; a card of a newer version is refused.
CARD_VERSION = 1
#: Wrong fields that are named in an error.
MOST_ERRORS = 8


class ModelCard(BaseModel):
    """Everything that must be known of a model besides its weights.

    Examples
    --------
    >>> card = ModelCard(name="sharp", task="deblur", network="pix2pix-fast")
    >>> ModelCard.from_json(card.to_json()) == card
    True
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int = CARD_VERSION
    name: str = Field(min_length=1, description="Name under which the model is listed")
    task: str = Field(description="What it does: deblur, stain, transfer, enhance, distance")
    summary: str = Field("", description="One sentence for the list of models")

    network: str = Field(description="Architecture, a key of NETWORKS")
    options: dict[str, Any] = Field(default_factory=dict, description="Options of the architecture")
    in_channels: int = 3
    out_channels: int = 3
    in_planes: int = Field(1, ge=1, description="Planes that it makes one image of; in_channels counts those of all")
    leds: dict[str, list[Any]] | None = Field(
        None, description="LED of each of these planes, as the columns of a LedTable"
    )
    stride: int = Field(16, ge=1, description="Tiles and sizes are multiples of this many pixels")
    halo_px: int = Field(0, ge=0, description="Pixels around a tile that its result depends on, above the tolerance")
    tile_safe: bool = Field(True, description="False: statistics of the whole image enter, so it must run whole")
    tolerance: float = Field(0.5, gt=0, description="Largest error in units of 1/255 of the range for a faster engine")

    input_range: tuple[float, float] = Field((0.0, 255.0), description="Grey levels that the network knows as -1 and 1")
    output_range: tuple[float, float] | None = Field(
        None, description="Grey levels of the result for -1 and 1, where they are not those of the input"
    )
    output_dtype: str | None = Field(None, description="Type of the result's pixels, where it is not that of the input")
    pixel_um: float | None = Field(None, description="Pixel size of the training images")
    defocus_um: tuple[float, float] | None = Field(None, description="Range of defocus it was trained on")
    levels_um: tuple[float, ...] = Field((), description="Distances from focus that its scores stand for")
    colour_mean: tuple[float, ...] = Field((), description="Mean of each channel over the training images")
    colour_std: tuple[float, ...] = Field((), description="Standard deviation over training images of that mean")

    data: str = Field("", description="What it was trained on, with licence and split")
    recipe: dict[str, Any] = Field(default_factory=dict, description="Recipe that made it")
    steps: int = Field(0, ge=0)
    seed: int | None = None
    weights_sha256: str = Field("", description="Hash of weights.safetensors")
    versions: dict[str, str] = Field(default_factory=dict)
    created: str = ""
    licence: str = ""

    held_out: list[dict[str, Any]] = Field(default_factory=list, description="Tables of scores on held-out images")
    limits: list[str] = Field(default_factory=list, description="What it is not to be trusted with, in plain words")

    def to_json(self) -> str:
        """Return the card as indented JSON."""
        return self.model_dump_json(indent=1)

    @classmethod
    def from_json(cls, text: str) -> ModelCard:
        """Return the card written in JSON; ValueError in one line where it is not one."""
        try:
            content = from_json(text)
        except ValueError as error:
            raise ValueError(f"the card is not JSON: {error}") from error
        if not isinstance(content, dict):
            raise ValueError(f"the card is a {type(content).__name__}, not a table of fields")
        version = content.get("version")
        if isinstance(version, int) and version > CARD_VERSION:
            raise ValueError(
                f"the card has format version {version}, this program knows up to {CARD_VERSION}: update napari-cellrestore"
            )
        try:
            return cls(**content)
        except ValidationError as error:
            raise ValueError("the card " + "; ".join(field_errors(error))) from error

    @classmethod
    def read(cls, path: Path) -> ModelCard:
        """Read a card file; errors name it."""
        try:
            return cls.from_json(path.read_text(encoding="utf-8"))
        except (ValueError, OSError) as error:
            raise ValueError(f"{path}: {error}") from error


def field_errors(error: ValidationError) -> list[str]:
    """Return one phrase for each field that pydantic refused, of many the first."""
    wrong = error.errors(include_url=False)
    phrases = [
        f"field {shortly('.'.join(map(str, item['loc']))) or '(all)'}: {shortly(item['msg'], 300)} (came: {shortly(item['input'])})"
        for item in wrong[:MOST_ERRORS]
    ]
    return phrases + [f"and {len(wrong) - MOST_ERRORS} more"] * (len(wrong) > MOST_ERRORS)
