"""Focus stacks: the sharpest plane is the target of every other one (Olofsson & Wagnström 2019, section 2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from napari_cellrestore.files import image_suffixes, open_stack
from napari_cellrestore.files.places import check_folder
from napari_cellrestore.focus import FocusCurve, focus_curve
from napari_cellrestore.pairs.images import Field
from napari_cellrestore.pairs.picture import Picture, Room
from napari_cellrestore.pairs.shifts import drift_notes
from napari_cellrestore.register import common_area, follow_shifts
from napari_cellrestore.stack import ImageStack

#: Flags of a focus curve that leave no sharpest plane to go by, and ends of those that name a plane of no use.
USELESS = ("one plane", "flat", "peak at edge")
USELESS_PLANE = ("not finite", "constant")
DIP = "contrast minimum at focus"


def stacks_in(folder: str | Path) -> list[Path]:
    """Return the focus stacks of a folder: files with several planes, and folders with one plane a file."""
    home = Path(folder)
    check_folder(home, "focus stacks")
    found = sorted(
        path
        for path in home.iterdir()
        if not path.name.startswith(".") and (path.is_dir() or path.suffix.lower() in image_suffixes())
    )
    if not found:
        raise ValueError(
            f"{folder}: no focus stacks in it; they are files that end in {', '.join(image_suffixes())} or folders"
        )
    return found


def stack_fields(
    stacks: Mapping[Path, ImageStack | None], room: Room, *, align: bool = False, at_minimum: bool = False
) -> tuple[dict[Path, Field], list[str]]:
    """Return the field of each stack that can be used, and notes on those that cannot.

    Parameters
    ----------
    stacks : mapping of Path to ImageStack
        Stacks of axes ZYX or ZYXS; None where it is to be opened from the path.
    room : Room
        Memory for decoded planes.
    align : bool
        Move planes by whole pixels to lie on the target and keep what all show; ``cellrestore prepare`` aligns to
        parts of a pixel.
    at_minimum : bool
        Of stacks whose contrast dips at focus (unstained cells) the plane of the dip is the target. Without it such
        stacks are left out.

    Notes
    -----
    Left out are stacks that cannot be opened, have one plane, no contrast, a plane that is constant or not finite, or
    are sharpest in the first or last plane: focus may lie beyond it.
    """
    fields, notes = {}, []
    for path, stack in stacks.items():
        try:
            field, said = _field(path.name, open_stack(path) if stack is None else stack, room, align, at_minimum)
        except ValueError as error:
            notes.append(f"{path.name} is left out: {str(error).removeprefix(f'{path.name}: ')}")
        else:
            fields[path] = field
            notes += said
    if not fields:
        raise ValueError(f"none of {len(stacks)} stacks can be used: {some(notes)}")
    # of planes that are aligned nothing is left; at the dip contrast changes its sign, which looks like a shift
    return fields, notes if align or at_minimum else [*notes, *drift_notes(fields)]


def _field(name: str, stack: ImageStack, room: Room, align: bool, at_minimum: bool) -> tuple[Field, list[str]]:
    if stack.axes not in ("ZYX", "ZYXS"):
        raise ValueError(
            f"its axes are {stack.axes}: a focus stack has ZYX or ZYXS; save one channel or time as a stack"
        )
    curve = focus_curve(stack)
    target = _target(curve, at_minimum)
    others = [index for index in range(stack.size("Z")) if index != target]
    shifts: dict[int, tuple[int, int]] = {}
    if align:
        shifts = {number: (round(dy), round(dx)) for number, (dy, dx) in follow_shifts(stack, target, upsample=2)}
    levels: list[float | None] = [None] * len(others)
    if stack.z_um is not None:
        z_um = np.asarray(stack.z_um, float)
        levels = [float(round(z_um[index] - z_um[target], 6)) for index in others]
    notes = [f"{name}: how far its planes are apart is not known, so neither are their levels"] * (stack.z_um is None)
    notes += [f"{name}: {flag}" for flag in curve.flags if flag == "jagged" or flag.startswith("gap")]
    moves = tuple(shifts.get(index, (0, 0)) for index in others)
    planes = {index: _picture(stack, index, name, room) for index in (target, *others)}
    area = common_area([(0, 0), *moves], stack.yx_shape)
    inputs = tuple(planes[index] for index in others)
    return Field(name, inputs, planes[target], tuple(levels), moves, area), notes


def _target(curve: FocusCurve, at_minimum: bool) -> int:
    """Return the plane in focus; ValueError says why there is none."""
    dip = DIP in curve.flags and curve.minimum_index is not None
    if dip and at_minimum:
        return int(curve.minimum_index or 0)
    doubts = [flag for flag in curve.flags if flag in USELESS or flag.endswith(USELESS_PLANE)]
    if doubts:
        raise ValueError(f"its focus curve says: {', '.join(doubts)}")
    if dip:
        raise ValueError(
            "its contrast dips between two maxima, as of unstained cells, which are in focus at the dip; at_minimum=True "
            "takes that plane"
        )
    return curve.peak_index


def _picture(stack: ImageStack, index: int, name: str, room: Room) -> Picture:
    plane: Any = stack.data[index]
    plane = plane[..., :3] if stack.rgb else plane[..., None]
    return Picture(f"{name} plane {index}", plane, room, stack.pixel_um)


def some(notes: Sequence[str], most: int = 3) -> str:
    """Return the first few sentences, and how many more there are."""
    return "; ".join(notes[:most]) + (f"; and {len(notes) - most} more" if len(notes) > most else "")
