"""Inputs and targets in two folders, by name; and two folders of images that do not belong to each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from napari_cellrestore.pairs.images import Field, middle
from napari_cellrestore.pairs.picture import Picture, Room, images_in, open_picture
from napari_cellrestore.register import common_area, estimate_shift

Array = np.ndarray

#: A shift of less than this is none: inputs are moved by whole pixels, so that they keep what was recorded.
REGISTERED_PX = 0.75
#: Pairs that are looked at for a shift first; where none of them has one the others are not looked at.
LOOKED_AT = 12
#: Side of the part in which a shift is measured.
_MEASURED_PX = 512


def match_folders(inputs: str | Path, targets: str | Path) -> tuple[dict[Path, Path], list[str]]:
    """Return the target of each input, by the names of files without suffix, and a note on what has no partner.

    Upper and lower case do not count, nor does ``.ome``. ValueError where nothing matches or two files share a name.
    """
    ours, theirs = (_by_stem(images_in(folder)) for folder in (inputs, targets))
    both = [stem for stem in ours if stem in theirs]
    if not both:
        raise ValueError(
            f"no image in {inputs} has the name of one in {targets}: {_some(ours)} there, {_some(theirs)} here; pairs are "
            "found by names of files without suffix"
        )
    notes = []
    for folder, here, there in ((inputs, ours, theirs), (targets, theirs, ours)):
        if alone := [path.name for stem, path in here.items() if stem not in there]:
            are = "1 image has no partner and is" if len(alone) == 1 else f"{len(alone)} images have no partner and are"
            more = f" and {len(alone) - 5} more" if len(alone) > 5 else ""
            notes.append(f"{Path(folder).name}: {are} left out: {', '.join(alone[:5])}{more}")
    return {ours[stem]: theirs[stem] for stem in both}, notes


def folder_fields(
    matched: Mapping[Path, Path], room: Room, *, align: bool = False
) -> tuple[dict[Path, Field], list[str]]:
    """Return the field of each input, and notes on shifts between inputs and targets.

    Parameters
    ----------
    matched : mapping of Path to Path
        Target of each input.
    room : Room
        Memory for decoded images.
    align : bool
        Move inputs by whole pixels to lie on their targets and keep what both show. A part of a pixel that is left
        stays: interpolation would change the noise that is to be learnt.

    Raises
    ------
    ValueError
        Sizes or types of pixels that differ within a pair.
    """
    fields = {}
    for path, other in matched.items():
        ours, theirs = open_picture(path, room), open_picture(other, room)
        check_pair(ours, theirs)
        fields[path] = Field.of(path.name, ours, theirs)
    return registered(fields, align=align)


def check_pair(given: Picture, target: Picture, *, one_type: bool = True) -> None:
    """Raise ValueError unless both images have one size and, if asked for, one type of pixels."""
    for what, ours, theirs in (
        ("px", given.shape[:2], target.shape[:2]),
        *([("pixels", given.dtype.name, target.dtype.name)] if one_type else []),
    ):
        if ours != theirs:
            said = [" x ".join(map(str, v)) if isinstance(v, tuple) else v for v in (ours, theirs)]
            raise ValueError(
                f"{given.name}: the input has {said[0]} {what}, its target {target.name} {said[1]}: both must be alike; "
                + ("resample or crop one" if what == "px" else "save both in one type, without changing grey levels")
            )


def registered(fields: Mapping[Path, Field], *, align: bool) -> tuple[dict[Path, Field], list[str]]:
    """Return fields whose inputs lie on their targets, if asked for, and notes on how they lay."""
    names = list(fields)
    shifts: dict[Path, tuple[float, float] | None] = {}
    for name in names[:: -(-len(names) // LOOKED_AT)]:
        shifts[name] = _shift_of(fields[name])
    if _shifted(shifts):
        shifts |= {name: _shift_of(fields[name]) for name in names if name not in shifts}
    notes = _notes(shifts, fields, align)
    if not align:
        return dict(fields), notes
    moved = {name: _moved(fields[name], shift) for name, shift in _shifted(shifts).items()}
    return {name: moved.get(name, fields[name]) for name in names}, notes


def _shift_of(field: Field) -> tuple[float, float] | None:
    """Return by how much the input has to be moved, None where that cannot be told."""
    given, target = field.read([0], *middle(field.area, _MEASURED_PX))
    try:
        return estimate_shift(_comparable(target), _comparable(given), upsample=4)
    except ValueError:  # no contrast, or nothing in common: another stain, another contrast
        return None


def _comparable(image: Array) -> Array:
    return image if image.shape[-1] == 3 else image[..., 0]


def _shifted(shifts: Mapping[Path, tuple[float, float] | None]) -> dict[Path, tuple[float, float]]:
    return {name: shift for name, shift in shifts.items() if shift and np.abs(shift).max() >= REGISTERED_PX}


def _moved(field: Field, shift: tuple[float, float]) -> Field:
    whole = round(shift[0]), round(shift[1])
    area = common_area([(0, 0), whole], field.target.shape[:2])
    return replace(field, shifts_px=(whole,), area=area)


def _notes(shifts: Mapping[Path, tuple[float, float] | None], fields: Mapping[Path, Field], align: bool) -> list[str]:
    notes = []
    if unknown := [name for name, shift in shifts.items() if shift is None]:
        notes.append(
            f"whether {len(unknown)} of {len(shifts)} inputs lie on their targets cannot be told, e.g. {unknown[0].name}: they "
            "have too little in common"
        )
    if far := _shifted(shifts):
        worst = max(far, key=lambda name: np.hypot(*far[name]))
        dy, dx = far[worst]
        notes.append(
            f"{len(far)} of {len(fields)} inputs do not lie on their targets, at most by {np.hypot(dy, dx):.2g} px "
            f"({worst.name}: {dy:+g} down, {dx:+g} right): "
            + (
                "they were moved by whole pixels and cut to what both show"
                if align
                else "train with align to move them"
            )
        )
    return notes


def _by_stem(paths: Sequence[Path]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in paths:
        stem = path.stem.removesuffix(".ome").casefold()
        if stem in found:
            raise ValueError(f"{found[stem].name} and {path.name} in {path.parent} have one name: rename or remove one")
        found[stem] = path
    return found


def _some(stems: Mapping[str, Path]) -> str:
    return ", ".join(path.name for path in list(stems.values())[:2]) + (", ..." if len(stems) > 2 else "")
