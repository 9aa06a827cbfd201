"""The white cells of one field in both scans: where each lies, and what speaks for and against the pair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_cellrestore.leds.table import check_na
from napari_cellrestore.rescan.cells import find_white_cells, said
from napari_cellrestore.rescan.edges import EdgeMaps
from napari_cellrestore.rescan.field import ROUGH, FieldMatch, match_field
from napari_cellrestore.rescan.fine import REACH_PX, match_cell
from napari_cellrestore.rescan.looks import LOOKS, accentuated, grey, resample
from napari_cellrestore.rescan.planes import ShiftedPlane, bright_plane, shifted_planes
from napari_cellrestore.rescan.similarity import Similarity
from napari_cellrestore.segment import Nucleus
from napari_cellrestore.stack import ImageStack

Array = npt.NDArray[np.float32]
Roi = tuple[slice, slice]

#: Side of a crop in pixels of the unstained scan (Wulff 2022).
CROP_PX = 64
#: Numerical aperture of the objective of Wulff 2022.
NA = 0.4
#: Pixel sizes that differ by less than this part are those of one magnification.
SAME_POWER = 0.02


@dataclass(frozen=True)
class CellPair:
    """A white cell in both scans, and whether the pair is good for training.

    Attributes
    ----------
    name : str
        Of its files: that of the field and a number.
    at_um, stained_at_um : (float, float)
        Y and X of the cell in the unstained and the stained scan.
    place : Similarity
        Where the stained scan lies in the unstained one at this cell.
    shift_px : (float, float)
        Rows and columns of the unstained scan by which the cell lies beside the place of its field.
    ssim : float
        Structural similarity of both, in the look in which they were compared; NaN where they were not.
    at_edge : bool
        The best place is the last one that was looked at.
    alone_um, missing_um : float
        Length of edges that only the stained and only the unstained crop has.
    reason : str
        Why the pair is refused; empty where it is accepted.
    """

    name: str
    at_um: tuple[float, float]
    stained_at_um: tuple[float, float]
    place: Similarity
    shift_px: tuple[float, float] = (float("nan"), float("nan"))
    ssim: float = float("nan")
    at_edge: bool = False
    alone_um: float = float("nan")
    missing_um: float = float("nan")
    reason: str = ""

    @property
    def accepted(self) -> bool:
        """Whether nothing speaks against it."""
        return not self.reason


@dataclass(frozen=True)
class FieldPairs:
    """What was found in one field.

    Attributes
    ----------
    name : str
    match : FieldMatch or None
        None where it did not come to a match.
    cells : sequence of CellPair
    reason : str
        Why there are no pairs of it; empty where there may be.
    notes : sequence of str
        What is to be minded.
    """

    name: str
    match: FieldMatch | None = None
    cells: Sequence[CellPair] = ()
    reason: str = ""
    notes: Sequence[str] = ()


def pair_field(
    unstained: ImageStack,
    stained: ImageStack,
    name: str = "field",
    *,
    pixel_um: float | None = None,
    stained_pixel_um: float | None = None,
    na: float = NA,
    crop_px: int = CROP_PX,
    match_by: str = "steepness",
    look: str = "edges",
    place_by: str = "field",
    subpixel: bool = False,
    colours: Mapping[str, Any] | None = None,
) -> FieldPairs:
    """Find the white cells of a stained field and where each lies in the unstained LED stack (Wulff 2022, section 3.1.3).

    Cells are found by colour, the fields are matched (:func:`match_field`), and around its place each cell is looked for
    within 5 px by structural similarity (:func:`match_cell`). Nothing is judged yet but what needs no other cells: a
    field that does not match, cells at the border, planes that are shifted; :func:`judge` does the rest.

    Parameters
    ----------
    unstained : ImageStack
        Of axes AYX or AYXS, with LED table.
    stained : ImageStack
        Of axes YXS, of the same or a higher magnification.
    name : str
        Cells are called after it.
    pixel_um, stained_pixel_um : float, optional
        Pixel sizes, where the stacks do not state them or state them wrongly.
    na : float
        Numerical aperture of the objective of the unstained scan.
    crop_px : int
        Side of the crops in pixels of the unstained scan.
    match_by : {"steepness", "canny"}
        Edges that the fields are matched by, see :func:`match_field`.
    look : str
        What both are turned into before they are compared, of :data:`LOOKS`.
    place_by : {"field", "cell"}
        Whether a cell is put where the fit to its field says, and its own best place only checks that; or at its own
        best place, as in the source.
    subpixel : bool
        Whether the best place is found to parts of a pixel.
    colours : mapping, optional
        Ranges and sizes of :func:`find_white_cells`.

    Returns
    -------
    FieldPairs
        With a ``reason`` where the fields do not match.

    Raises
    ------
    ValueError
        Stacks that are none of such: no LED table, no colours, pixel size not known, an unknown look.

    Notes
    -----
    Differs from Wulff 2022, who compare grey levels and take the best place of each cell. On simulated pairs whose
    cells are brighter than the background grey levels missed by 5 px and more, as contrast changes sign with the stain;
    edges missed by 0.2 to 0.5 px whatever the contrast. The fit to the field, which the source does not have, missed by
    0.02 to 0.12 px. Where cells are darker than the background in both scans, grey levels are good too (0.2 px).
    """
    check_options(look, place_by, crop_px, na, match_by)
    if stained.axes != "YXS":
        raise ValueError(f"the stained scan has axes {stained.axes}: give one plane in colours (YXS)")
    ours_um, theirs_um = pixel_of(unstained, pixel_um, "unstained"), pixel_of(stained, stained_pixel_um, "stained")
    if theirs_um > ours_um * (1 + SAME_POWER):
        raise ValueError(
            f"the stained scan has pixels of {theirs_um:g} um, coarser than the {ours_um:g} um of the unstained one: targets "
            "are of the same or a higher magnification; swap them, or give the pixel sizes"
        )
    bright, target = bright_plane(unstained, na), np.asarray(stained.data)[..., :3]
    higher = theirs_um < ours_um * (1 - SAME_POWER)
    match = match_field(bright, accentuated(target) if higher else target, ours_um, theirs_um, by=match_by)
    if match.reason:
        return FieldPairs(name, match, reason=match.reason)
    cells, too_large = find_white_cells(target, theirs_um, **(colours or {}))
    if not cells:
        ranges = {key: value for key, value in (colours or {}).items() if key in ("hue_deg", "saturation", "value")}
        return FieldPairs(
            name, match, reason=f"no white cells in the stained scan, by {said(**ranges)}; give other ranges"
        )
    notes = [f"{len(too_large)} violet parts are too large for one cell and were left out"] if too_large else []
    notes += _scale_note(match)
    both = _Scans(bright, target, ours_um, theirs_um, match.place, look)
    pairs = [both.pair(f"{name}_{number:03d}", cell, crop_px, subpixel) for number, cell in enumerate(cells, 1)]
    if place_by == "cell":
        pairs = [_moved(pair, ours_um) for pair in pairs]
    return FieldPairs(name, match, pairs, _planes_reason(list(shifted_planes(unstained, na))), notes)


class _Scans:
    """Both scans of a field on the pixels of the unstained one, in what they are compared by."""

    def __init__(
        self, bright: Array, stained: npt.NDArray[Any], ours_um: float, theirs_um: float, place: Similarity, look: str
    ) -> None:
        self.pixel_um, self.place = ours_um, place
        moved = resample(stained[..., 1], theirs_um, place, ours_um, (bright.shape[0], bright.shape[1]))
        self.there = np.isfinite(moved)
        moved = np.where(self.there, moved, np.median(moved[self.there]))
        of_ours, of_theirs = LOOKS[look]
        self.ours, self.theirs = of_ours(bright, ours_um), of_theirs(moved, ours_um)
        self.edges = EdgeMaps(grey(bright), moved, ours_um)

    def pair(self, name: str, cell: Nucleus, crop_px: int, subpixel: bool) -> CellPair:
        """Return where a cell of the stained scan lies."""
        stained_at = np.asarray(cell.centroid_um)
        at = self.place(stained_at)
        crop = square_at(at / self.pixel_um, crop_px)
        wide = _grown(crop, REACH_PX)
        pair = CellPair(name, _two(at), _two(stained_at), self.place)
        if not _shown(self.there, wide):
            return replace(pair, reason=f"too near the edge of a scan for {crop_px} px and {REACH_PX} px around them")
        found = match_cell(self.ours[wide], self.theirs[crop], subpixel=subpixel)
        rows, columns = (
            slice(part.start + round(shift), part.stop + round(shift))
            for part, shift in zip(crop, found.shift_px, strict=True)
        )
        alone, missing = self.edges.alone_um((rows, columns), crop)
        return replace(
            pair,
            shift_px=found.shift_px,
            ssim=found.ssim,
            at_edge=found.at_edge,
            alone_um=alone,
            missing_um=missing,
        )


def _moved(pair: CellPair, pixel_um: float) -> CellPair:
    """Return a pair put where its cell was found."""
    if not np.isfinite(pair.ssim):
        return pair
    shift = Similarity(shift_um=_two(np.array(pair.shift_px) * pixel_um))
    return replace(pair, at_um=_two(shift(pair.at_um)), place=shift.after(pair.place))


def square_at(centre_px: npt.ArrayLike, side_px: int) -> Roi:
    """Return the rows and columns of a square around a point; they may lie outside the image.

    >>> square_at((10.0, 20.5), 4)
    (slice(8, 12, None), slice(19, 23, None))
    """
    top, left = (int(first) for first in np.rint(np.asarray(centre_px, float) + 0.5 - side_px / 2))
    return slice(top, top + side_px), slice(left, left + side_px)


def _grown(square: Roi, by_px: int) -> Roi:
    rows, columns = (slice(part.start - by_px, part.stop + by_px) for part in square)
    return rows, columns


def _shown(there: npt.NDArray[np.bool_], square: Roi) -> bool:
    inside = all(part.start >= 0 and part.stop <= length for part, length in zip(square, there.shape, strict=True))
    return inside and bool(there[square].all())


def _two(point: npt.ArrayLike) -> tuple[float, float]:
    y, x = (float(k) for k in np.asarray(point))
    return y, x


def pixel_of(stack: ImageStack, given: float | None, which: str) -> float:
    """Return the pixel size in micrometres, that of the stack where none is given; ValueError where it is not known."""
    size = stack.pixel_yx_um if given is None else (given, given)
    if size is None:
        option = "stained_pixel_um" if which == "stained" else "pixel_um"
        raise ValueError(
            f"the pixel size of the {which} scan is not known: the file does not say; give {option} "
            f"(--{option.replace('_', '-')}) in micrometres"
        )
    if not (np.isfinite(size[1]) and size[1] > 0) or abs(size[0] / size[1] - 1) > 1e-3:
        raise ValueError(
            f"the {which} scan has pixels of {size[0]:g} x {size[1]:g} um: give square ones, of a positive size"
        )
    return float(size[1])


def check_options(
    look: str = "edges",
    place_by: str = "field",
    crop_px: int = CROP_PX,
    na: float = NA,
    match_by: str = "steepness",
) -> None:
    """Raise ValueError for options of :func:`pair_field` that cannot be."""
    if match_by not in ROUGH:
        raise ValueError(f"unknown edges {match_by!r} to match by: use one of {', '.join(ROUGH)}")
    if look not in LOOKS:
        raise ValueError(f"unknown look {look!r}: use one of {', '.join(LOOKS)}")
    if place_by not in ("field", "cell"):
        raise ValueError(f"place_by is {place_by!r}: use 'field' or 'cell'")
    if isinstance(crop_px, bool) or int(crop_px) != crop_px or crop_px < 16:
        raise ValueError(f"crop_px is {crop_px}: give a whole number of pixels, 16 or more")
    check_na(na)


def _scale_note(match: FieldMatch) -> list[str]:
    scale = match.place.scale
    if abs(scale - 1) < 0.002:
        return []
    return [f"the scans differ in scale by {scale - 1:+.2%} beside the stated pixel sizes; places are corrected for it"]


def _planes_reason(shifted: Sequence[ShiftedPlane]) -> str:
    empty, moved = ([str(plane) for plane in shifted if plane.empty == one] for one in (True, False))
    if not moved:
        return _some(empty)
    said = f"planes of the LED stack do not lie on its bright field: {_some(moved)}"
    return f"{said}; {_some(empty)}" if empty else said


def _some(said: list[str]) -> str:
    return ", ".join(said[:3]) + (f" and {len(said) - 3} more" if len(said) > 3 else "")
