"""What was found in two folders: pairs of images, good and bad, and images without a partner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from napari_cellrestore.transfer.judging import Alignment
from napari_cellrestore.transfer.planes import Plane, read_plane


@dataclass(frozen=True, eq=False)
class ImagePair:
    """An input and the target that shows the same cell.

    Attributes
    ----------
    name : str
        Of its files: that of the input, with a number where it shows cells of several targets.
    input, target : Path
    correlation, next_best : float
        Of the nuclei and their surroundings, and of the best other image.
    alignment : Alignment
    reason : str
        Why it is a bad pair; empty where it is a good one.
    """

    name: str
    input: Path
    target: Path
    correlation: float
    next_best: float
    alignment: Alignment = field(default_factory=Alignment)
    reason: str = ""

    @property
    def good(self) -> bool:
        """Whether nothing speaks against it."""
        return not self.reason


@dataclass(frozen=True)
class Problem:
    """An image, or two, of which there is no pair.

    Attributes
    ----------
    input, target : str
        Names of the files; empty where it is of one only.
    reason : str
    """

    input: str
    target: str
    reason: str

    def __str__(self) -> str:
        return f"{' and '.join(filter(None, (self.input, self.target)))}: {self.reason}"


@dataclass(frozen=True, eq=False)
class Pairing:
    """What was found in two folders.

    Attributes
    ----------
    pairs : sequence of ImagePair
        Good and bad ones, in the order of the inputs.
    problems : sequence of Problem
        Every image of which there is no good pair, and every bad pair, with the reason.
    inputs, targets : int
        Images in the folders.
    compared : int
        Cells that were compared, of all that could have been (``comparable``).
    notes : sequence of str
        What is to be minded.
    input_pixel_um, target_pixel_um : float or None
        As given.
    keep : str
        Which image keeps its pixels.
    """

    pairs: Sequence[ImagePair]
    problems: Sequence[Problem]
    inputs: int = 0
    targets: int = 0
    compared: int = 0
    comparable: int = 0
    notes: Sequence[str] = ()
    input_pixel_um: float | None = None
    target_pixel_um: float | None = None
    keep: str = "target"

    @property
    def good(self) -> list[ImagePair]:
        """The pairs that nothing speaks against."""
        return [pair for pair in self.pairs if pair.good]

    def open(self, pair: ImagePair) -> tuple[Plane, Plane]:
        """Read both images of a pair, with the pixel sizes that were given."""
        return read_plane(pair.input, self.input_pixel_um), read_plane(pair.target, self.target_pixel_um)


def problem(path: Path, which: str, reason: str) -> Problem:
    """Return the problem of one image."""
    return Problem(path.name if which == "input" else "", path.name if which == "target" else "", reason)
