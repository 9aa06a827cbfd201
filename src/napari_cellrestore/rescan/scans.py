"""Scans of one slide in two folders, before and after staining, by the names of their files."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from math import isclose, isnan, nan
from pathlib import Path
from typing import Any

from napari_cellrestore.files import image_name, image_suffixes, is_zarr, open_stack
from napari_cellrestore.files.zarr import SUFFIX
from napari_cellrestore.leds import LedTable
from napari_cellrestore.rescan.pairing import FieldPairs, check_options, pair_field
from napari_cellrestore.stack import ImageStack

#: A table beside the scans that says where on the slide the first pixel of each lies: name, x_um, y_um.
POSITIONS = "positions.csv"

Point = tuple[float, float]


@dataclass(frozen=True)
class Scans:
    """Fields of a slide, each with its unstained and its stained scan.

    Attributes
    ----------
    fields : mapping of str to (Path, Path)
        By name, the unstained and the stained file.
    alone : sequence of str
        A sentence for each scan without a partner.
    leds : LedTable or None
        Of all unstained scans; None where each has its own.
    pixel_um, stained_pixel_um : float or None
        Pixel sizes that are to be taken instead of those in the files. Stained scans that state none have that of the
        unstained ones where no other is given.
    positions : (mapping, mapping)
        Y and X in micrometres of the first pixel of each field on the slide, in both scans: NaN for a field that is not
        in the table, nothing where there is no table.
    """

    fields: Mapping[str, tuple[Path, Path]]
    alone: tuple[str, ...] = ()
    leds: LedTable | None = None
    pixel_um: float | None = None
    stained_pixel_um: float | None = None
    positions: tuple[Mapping[str, Point], Mapping[str, Point]] = field(default_factory=lambda: ({}, {}))

    def open(self, name: str) -> tuple[ImageStack, ImageStack]:
        """Open both scans of a field, with the pixel sizes that were given."""
        (unstained, _), (stained, _) = _opened(self, name)
        return unstained, stained

    def on_slide(self, name: str, point_um: Point, *, stained: bool = False) -> Point:
        """Return where a point of a field is on the slide; in its field where there is no table, NaN where it is not in it."""
        y_um, x_um = self.positions[stained].get(name, (0.0, 0.0))
        return y_um + point_um[0], x_um + point_um[1]


def find_scans(
    unstained: str | Path,
    stained: str | Path,
    *,
    leds: LedTable | str | Path | None = None,
    pixel_um: float | None = None,
    stained_pixel_um: float | None = None,
) -> Scans:
    """Return the scans of two folders that have the same name, or of two files, or OME-Zarr, whatever they are called.

    Upper and lower case do not count, nor do ``.ome`` and the suffix. ``positions.csv`` in a folder, with the columns
    name, x_um and y_um, says where on the slide the first pixel of each of its scans lies.

    Parameters
    ----------
    unstained, stained : path
        Two folders, or two files.
    leds : LedTable or path of its CSV, optional
        One table for all unstained scans. If not given, ``NAME.leds.csv`` beside each, or what the file itself says.
    pixel_um, stained_pixel_um : float, optional
        Pixel sizes, where files do not state them or state them wrongly. Without the second the first is that of the
        stained scans too, but only where they state none.

    Raises
    ------
    ValueError
        A file and a folder, nothing in them, no name in common.
    """
    homes = [Path(path) for path in (unstained, stained)]
    for home in homes:
        if not home.exists():
            raise ValueError(f"{home}: there is no such file or folder")
    table = LedTable.read_csv(leds) if isinstance(leds, str | Path) else leds
    options: dict[str, Any] = {"leds": table, "pixel_um": pixel_um, "stained_pixel_um": stained_pixel_um}
    one = [home.is_file() or is_zarr(home) for home in homes]
    if all(one):
        return Scans({image_name(homes[0]): (homes[0], homes[1])}, **options)
    if any(one):
        raise ValueError(f"{homes[0]} and {homes[1]}: give two files, or two folders with scans of the same names")
    ours, theirs = (_by_name(home) for home in homes)
    fields = {image_name(path): (path, theirs[key]) for key, path in ours.items() if key in theirs}
    if not fields:
        raise ValueError(
            f"no scan in {homes[0]} has the name of one in {homes[1]}: {_some(ours)} there, {_some(theirs)} here"
        )
    alone = [
        f"{path}: no {what} scan of this name; left out"
        for what, here, there in (("stained", ours, theirs), ("unstained", theirs, ours))
        for key, path in here.items()
        if key not in there
    ]
    positions = _positions(homes[0], fields), _positions(homes[1], fields)
    return Scans(fields, tuple(alone), positions=positions, **options)


def pair_scans(scans: Scans, **options: Any) -> Iterator[FieldPairs]:
    """Yield what :func:`pair_field` finds in each field; one that cannot be opened or paired has the reason.

    Options are those of :func:`pair_field` but for pixel sizes, which the scans have. Nothing is judged yet: that
    needs all fields, see :func:`judge`.
    """
    check_options(**{key: options[key] for key in ("look", "place_by", "crop_px", "na", "match_by") if key in options})
    return (_pair(scans, name, options) for name in scans.fields)


def _pair(scans: Scans, name: str, options: dict[str, Any]) -> FieldPairs:
    notes = _unplaced(scans, name)
    try:
        (unstained, ours), (stained, theirs) = _opened(scans, name)
        notes += ours + theirs
        found = pair_field(unstained, stained, name, **options)
    except (ValueError, OSError) as error:  # a field never stops the others
        found = FieldPairs(name, reason=" ".join(str(error).split()))
    return replace(found, notes=(*notes, *found.notes))


def _unplaced(scans: Scans, name: str) -> list[str]:
    """Return a note for each table of positions that does not have a field."""
    return [
        f"{path.parent / POSITIONS} has no row for {path.name}: {what} coordinates of its cells are left empty"
        for what, path, places in zip(("unstained", "stained"), scans.fields[name], scans.positions, strict=True)
        if isnan(places.get(name, (0.0, 0.0))[0])
    ]


def _opened(scans: Scans, name: str) -> list[tuple[ImageStack, list[str]]]:
    """Return both scans of a field with their pixel sizes, each with notes."""
    ours, theirs = scans.fields[name]
    unstained, stained = open_stack(ours, leds=scans.leds), open_stack(theirs)
    first = _sized(unstained, f"unstained {ours.name}", "pixel_um", scans.pixel_um)
    name = f"stained {theirs.name}"
    if scans.stained_pixel_um is None:
        return [first, _sized(stained, name, "pixel_um", scans.pixel_um, over=False)]
    return [first, _sized(stained, name, "stained_pixel_um", scans.stained_pixel_um)]


def _sized(
    stack: ImageStack, name: str, option: str, given_um: float | None, *, over: bool = True
) -> tuple[ImageStack, list[str]]:
    """Return a scan with the pixel size that was given, over the one that it states or where there is none; and notes."""
    stated = stack.pixel_yx_um
    if given_um is None:
        return stack, []
    taken = replace(stack, pixel_um=given_um, pixel_y_um=None) if over or stated is None else stack
    if stated is None or all(isclose(um, given_um, rel_tol=1e-3) for um in stated):
        return taken, []
    said = " x ".join(dict.fromkeys(f"{um:g}" for um in stated))
    kept = "that is taken" if over else "what the file states is taken"
    return taken, [f"{name} states pixels of {said} um, {option} is {given_um:g}: {kept}"]


def _by_name(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or not (path.is_dir() or path.suffix.lower() in image_suffixes()):
            continue
        key = image_name(path).casefold()
        if key in found:
            raise ValueError(f"{found[key].name} and {path.name} in {folder} have one name: rename or remove one")
        found[key] = path
    if not found:
        raise ValueError(f"{folder}: no images in it; they end in {', '.join(image_suffixes())}")
    return found


def _some(found: Mapping[str, Path]) -> str:
    return ", ".join(path.name for path in list(found.values())[:2]) + (", ..." if len(found) > 2 else "")


def _positions(folder: Path, fields: Iterable[str]) -> dict[str, Point]:
    """Return where fields lie by the table of a folder, NaN for those that it does not have; nothing without a table."""
    path = folder / POSITIONS
    if not path.is_file():
        return {}
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file, skipinitialspace=True))
    try:
        places = {_key(Path(row["name"])): (float(row["y_um"]), float(row["x_um"])) for row in rows}
    except (KeyError, TypeError, ValueError):
        raise ValueError(
            f"{path}: give columns name, x_um and y_um, with numbers of micrometres in every row"
        ) from None
    return {name: places.get(name.casefold(), (nan, nan)) for name in fields}


def _key(path: Path) -> str:
    """Return a name of a table as scans are called, whether it has a suffix or not; a dot alone does not make one."""
    image = path.suffix.lower() in (*image_suffixes(), SUFFIX)
    return (image_name(path) if image else path.name.removesuffix(".ome")).casefold()
