"""Whether two aligned images are a good pair, and why not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_cellrestore.transfer.cells import Smear
from napari_cellrestore.transfer.placement import Placement

#: Points that have to agree on the map; of 36 pairs of different cells 4 did at most.
FEWEST_POINTS = 12
#: Limits of a plausible map: angle between rows and columns, scale of one direction over the other, and how far the scale
#: may lie beside the stated pixel sizes; where these are not known, the magnification either way.
SHEAR_DEG, ANISOTROPY, BESIDE_SCALE, MAGNIFICATION = 2.0, 1.03, 0.1, 5.5
#: Correlation of luminance over the common part, at least.
LEAST_LIKENESS = 0.5
#: What may be left, in pixels of the coarser image.
RESIDUAL_PX = 1.0
#: How many times as far 5 % of the tiles may lie beside their place, or a white cell.
FAR = 1.5
#: How far the white cell of one image may lie beside one of the other.
CELL_BESIDE_UM = 3.0
#: Smallest side of what both images show, in pixels of the result.
SMALLEST_SIDE_PX = 32


@dataclass(frozen=True, eq=False)
class Alignment:
    """How an input lies on a target, and how sure that is.

    Attributes
    ----------
    place : Placement or None
        Where pixels of the input lie in the target; None where no map was found.
    residual_px : float
        Median of what is left, by intensity, in pixels of the target: of each tile beside a map fitted to others.
    residual95_px : float
        95 % of what is left of tiles that are looked for farther away, those left out that cannot tell.
    points_px, points95_px : float
        The same of the inliers of SIFT, before the fit was refined.
    inliers, matches : int
        Points of SIFT that agree on the map, of those that have a partner.
    tiles : int
        Whose shifts the residual is of.
    correlation : float
        Of luminance over what both show.
    scale : float
        Beside the stated pixel sizes, 1 where these are right; where they are not known, pixels of the target for one of
        the input.
    known : bool
        Which of the two that is.
    reason : str
        Why it is a bad pair; empty where it is a good one.
    notes : sequence of str
        What is to be minded.
    """

    place: Placement | None = None
    residual_px: float = float("nan")
    residual95_px: float = float("nan")
    points_px: float = float("nan")
    points95_px: float = float("nan")
    inliers: int = 0
    matches: int = 0
    tiles: int = 0
    correlation: float = float("nan")
    scale: float = float("nan")
    known: bool = True
    reason: str = ""
    notes: Sequence[str] = ()

    @property
    def good(self) -> bool:
        """Whether nothing speaks against the pair."""
        return not self.reason

    @property
    def rotation_deg(self) -> float:
        """Turn of the input to lie on the target, positive is clockwise on the screen; NaN without a map."""
        return self.place.rotation_deg if self.place else float("nan")


def implausible(place: Placement, scale: float, known: bool) -> str:
    """Return why no microscope makes such a map, empty where one does.

    Examples
    --------
    >>> implausible(Placement(np.diag([1.0, 1.1]), np.zeros(2)), 1.05, True)
    'implausible: rows and columns differ in scale by 10.0 % (3 % at most)'
    """
    if place.mirrored:
        return "implausible: one image is the mirror image of the other; flip one"
    if abs(place.shear_deg) > SHEAR_DEG:
        return f"implausible: sheared by {place.shear_deg:.1f} deg ({SHEAR_DEG:g} at most)"
    if place.anisotropy > ANISOTROPY:
        return (
            f"implausible: rows and columns differ in scale by {place.anisotropy - 1:.1%} "
            f"({ANISOTROPY - 1:.0%} at most)".replace("%", " %")
        )
    if known and abs(scale - 1) > BESIDE_SCALE:
        return f"implausible: scale {scale:.3f} beside the stated pixel sizes ({1 - BESIDE_SCALE:g} to {1 + BESIDE_SCALE:g})"
    if not known and not 1 / MAGNIFICATION <= scale <= MAGNIFICATION:
        return f"implausible: magnification {scale:.2f} (up to {MAGNIFICATION:g} either way)"
    return ""


def few_points(inliers: int, matches: int) -> str:
    """Return why so many points are too few, empty where they are enough."""
    if inliers >= FEWEST_POINTS:
        return ""
    return (
        f"only {inliers} of {matches} points agree on one place ({FEWEST_POINTS} needed): another cell, or too blurred or "
        "noisy"
    )


def unlike(correlation: float) -> str:
    """Return why the images do not show the same, empty where they do."""
    if correlation >= LEAST_LIKENESS:
        return ""
    return f"another cell: where both images are they correlate by {correlation:.2f} ({LEAST_LIKENESS:g} needed)"


def too_far(residual_px: float, place: Placement, limit_px: float) -> str:
    """Return why what is left is too much, empty where it is not; the limit is in pixels of the coarser image."""
    most = limit_px * max(place.scale, 1.0)
    if not np.isfinite(residual_px):
        return "the residual cannot be measured: too little contrast, or too little that both images show"
    return f"residual {residual_px:.2f} px ({most:.2g} at most)" if residual_px > most else ""


def partly_far(residual95_px: float, place: Placement, limit_px: float) -> str:
    """Return why what is left is too much in a part of the images, empty where it is not.

    Examples
    --------
    >>> partly_far(1.82, Placement(np.eye(2), np.zeros(2)), 1.0)
    'residual of 5 % of the tiles 1.82 px or more (1.5 at most): a part moved, or a lens bends straight lines'
    """
    most = FAR * limit_px * max(place.scale, 1.0)
    if not residual95_px > most:
        return ""
    return (
        f"residual of 5 % of the tiles {residual95_px:.2f} px or more ({most:.2g} at most): a part moved, or a lens bends "
        "straight lines"
    )


def moved_cell(beside_px: npt.NDArray[np.float64], place: Placement, limit_px: float) -> str:
    """Return that a white cell moved against the rest of the image, empty where none did.

    Examples
    --------
    >>> moved_cell(np.array([0.1, 6.0]), Placement(np.eye(2), np.zeros(2)), 1.0)
    'a white cell moved: it lies 6.00 px beside its place (1.5 at most)'
    """
    most, farthest = FAR * limit_px * max(place.scale, 1.0), float(beside_px.max(initial=0.0))
    if farthest <= most:
        return ""
    return f"a white cell moved: it lies {farthest:.2f} px beside its place ({most:.2g} at most)"


def other_cells(ours: Smear, theirs: Smear, place: Placement) -> str:
    """Return that no white cell of the input lies on one of the target, empty where one does."""
    there = np.array([cell.at_px for cell in theirs.cells])
    nearest_px = min((float(np.hypot(*(place(cell.at_px) - there).T).min()) for cell in ours.cells), default=np.inf)
    beside_um = nearest_px * theirs.working_um
    cut = any(cell.cut for smear in (ours, theirs) for cell in smear.cells)  # their centre moves with the edge
    if beside_um <= CELL_BESIDE_UM * (3 if cut else 1):
        return ""
    return f"another cell: the white cells lie {beside_um:.1f} um beside each other"
