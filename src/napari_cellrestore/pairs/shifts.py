"""Shifts between inputs and targets: looked for, said, and taken back by whole pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from napari_cellrestore.pairs.images import Field, middle
from napari_cellrestore.register import common_area, estimate_shift
from napari_cellrestore.rescan.looks import steepness

Array = np.ndarray
Shift = tuple[float, float]
Key = TypeVar("Key")

#: A shift of less than this is none: inputs are moved by whole pixels, so that they keep what was recorded.
REGISTERED_PX = 0.75
#: Pairs, and focus stacks, that are looked at for a shift: of more so many, evenly over all. A pair takes some 20 ms.
LOOKED_AT, STACKS_LOOKED_AT = 300, 60
#: Least side of LED stacks whose edges are compared, shift of these that is said, and a pixel size where none is known.
_EDGES_PX, EDGES_BESIDE_PX, _USUAL_UM = 192, 2.0, 0.25
#: Sides of the part in which a shift is looked for, and then measured.
_LOOKED_PX, _MEASURED_PX = 256, 512


def registered(fields: Mapping[Path, Field], *, align: bool) -> tuple[dict[Path, Field], list[str]]:
    """Return fields whose inputs lie on their targets, if asked for, and notes on how they lay."""
    names = list(fields)
    looked = names if align else _some(names, LOOKED_AT)
    shifts = {name: _shift_of(fields[name]) for name in looked}
    notes = _notes(shifts, align)
    if len(looked) < len(names):
        notes.append(f"{len(looked)} of {len(names)} inputs were looked at for a shift, evenly over all")
    if not align:
        return dict(fields), notes
    moved = {name: _moved(fields[name], shift) for name, shift in _shifted(shifts).items()}
    return {name: moved.get(name, fields[name]) for name in names}, notes


def drift_notes(fields: Mapping[Path, Field]) -> list[str]:
    """Return a note on focus stacks whose planes do not lie on their targets, nothing where all do.

    Of a stack four planes are looked at, evenly over all.
    """
    looked = _some(list(fields), STACKS_LOOKED_AT)
    found: dict[Path, tuple[str, Shift]] = {}
    for name in looked:
        shifts = {plane: shift for plane in set(fields[name].usual(4)) if (shift := _shift_of(fields[name], plane))}
        if far := _shifted(shifts):
            plane = max(far, key=lambda plane: np.hypot(*far[plane]))
            found[name] = fields[name].inputs[plane].name, far[plane]
    if not found:
        return []
    plane_name, shift = max(found.values(), key=lambda one: np.hypot(*one[1]))
    return [
        f"planes of {len(found)} of {len(looked)} focus stacks that were looked at do not lie on the plane in focus, at most by "
        f"{_said(plane_name, shift)}: train with align to move them"
    ]


def edge_notes(fields: Mapping[Path, Field], channels: slice) -> list[str]:
    """Return a note on LED stacks whose edges lie beside those of the stained images, nothing where none do.

    A stain changes grey levels, edges stay. ``channels`` are those of the plane that is compared.

    Notes
    -----
    Of simulated blood, bright field against the stain, 200 px wide and more, shifts were found to a quarter of a pixel, of one LED
    at 8 degrees to one pixel; of crops of 64 px some were wrong by 30 px, so small images are not looked at.
    """
    large = [name for name, field in fields.items() if min(field.target.shape[:2]) >= _EDGES_PX]
    looked = _some(large, STACKS_LOOKED_AT) if large else []
    beside = {name: shift for name in looked if (shift := _edges_beside(fields[name], channels))}
    far = {name: shift for name, shift in beside.items() if np.abs(shift).max() >= EDGES_BESIDE_PX}
    if not far:
        return []
    worst = max(far, key=lambda name: np.hypot(*far[name]))
    return [
        f"edges of {len(far)} of {len(looked)} LED stacks that were looked at lie beside those of their targets, at most by "
        f"{_said(worst.name, far[worst])}: pair the scans with cellrestore pairs led"
    ]


def _edges_beside(field: Field, channels: slice) -> Shift | None:
    given, target = field.read([0], *middle(field.area, _MEASURED_PX))
    pixel_um = field.target.pixel_um or field.inputs[0].pixel_um or _USUAL_UM
    try:
        edges = [steepness(_comparable(image), pixel_um) for image in (target, given[..., channels])]
        return estimate_shift(*edges, upsample=4)
    except ValueError:
        return None


def _some(names: Sequence[Path], most: int) -> Sequence[Path]:
    return names[:: -(-len(names) // most)]


def _shift_of(field: Field, plane: int = 0) -> Shift | None:
    """Return by how much an input has to be moved, None where that cannot be told."""
    shift = _measured(field, plane, _LOOKED_PX)
    if shift is not None and np.abs(shift).max() < REGISTERED_PX:
        return shift
    return _measured(field, plane, _MEASURED_PX)  # a larger part knows better, and shows more


def _measured(field: Field, plane: int, side_px: int) -> Shift | None:
    given, target = field.read([plane], *middle(field.area, side_px))
    try:
        return estimate_shift(_comparable(target), _comparable(given), upsample=4)
    except ValueError:  # no contrast, or nothing in common: another stain, another contrast
        return None


def _comparable(image: Array) -> Array:
    return image if image.shape[-1] == 3 else image[..., 0]


def _shifted(shifts: Mapping[Key, Shift | None]) -> dict[Key, Shift]:
    return {name: shift for name, shift in shifts.items() if shift and np.abs(shift).max() >= REGISTERED_PX}


def _moved(field: Field, shift: Shift) -> Field:
    whole = round(shift[0]), round(shift[1])
    area = common_area([(0, 0), whole], field.target.shape[:2])
    return replace(field, shifts_px=(whole,), area=area)


def _notes(shifts: Mapping[Path, Shift | None], align: bool) -> list[str]:
    notes = []
    if unknown := [name for name, shift in shifts.items() if shift is None]:
        notes.append(
            f"whether {len(unknown)} of {len(shifts)} inputs lie on their targets cannot be told, e.g. {unknown[0].name}: they "
            "have too little in common"
        )
    if far := _shifted(shifts):
        worst = max(far, key=lambda name: np.hypot(*far[name]))
        notes.append(
            f"{len(far)} of {len(shifts)} inputs do not lie on their targets, at most by {_said(worst.name, far[worst])}: "
            + (
                "they were moved by whole pixels and cut to what both show"
                if align
                else "train with align to move them"
            )
        )
    return notes


def _said(name: str, shift: Shift) -> str:
    dy, dx = shift
    return f"{np.hypot(dy, dx):.2g} px ({name}: {dy:+g} down, {dx:+g} right)"
