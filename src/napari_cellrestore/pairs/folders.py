"""Inputs and targets in two folders, by name; and two folders of images that do not belong to each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from napari_cellrestore.pairs.images import Field
from napari_cellrestore.pairs.picture import Picture, Room, images_in, open_picture
from napari_cellrestore.pairs.shifts import registered


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
