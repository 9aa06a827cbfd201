"""Three LED stacks of one array, in red, green and blue light, as one colour stack."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import dask.array as da
import numpy as np
import numpy.typing as npt
from dask.base import tokenize

from napari_cellrestore.files.folder import KINDS, TIFF_SUFFIXES, some
from napari_cellrestore.files.led_table import read_table, table_beside
from napari_cellrestore.files.planes import FileError
from napari_cellrestore.files.tiff import open_tiff
from napari_cellrestore.leds import LedTable
from napari_cellrestore.stack import ImageStack

#: The colour samples in their order, as names of files tell them.
COLOURS = ("red", "green", "blue")
#: The colour whose table the merged stack has: green, on which colour images are measured.
REFERENCE = 1


def colour_files(paths: Sequence[Path], *, lit: bool = False) -> dict[str, Path]:
    """Return the file of each colour where a folder or three files hold them; empty where they do not.

    Files are told by red, green or blue as a word in their names, and by the LED table beside each; with ``lit`` one is given
    for all.
    """
    if len(paths) == 1 and paths[0].is_dir():
        paths = sorted(path for path in paths[0].iterdir() if path.is_file() and not path.name.startswith("."))
        paths = [path for path in paths if path.suffix.lower() in TIFF_SUFFIXES and colour_of(path)]
    if len(paths) != len(COLOURS) or {colour_of(path) for path in paths} != set(COLOURS):
        return {}
    tables = {path: table_beside(path) for path in paths if path.is_file()}
    if not lit and not any(tables.values()):
        return {}
    for path, table in tables.items():
        if table is None and not lit:
            raise FileError(
                f"{path.name}: there is no LED table beside it as beside the other colours; put {path.stem}.leds.csv there"
            )
    return {colour: next(path for path in paths if colour_of(path) == colour) for colour in COLOURS}


def colour_of(path: Path) -> str | None:
    """Return the colour that is a word in the name of a file, None where none or several are.

    >>> [colour_of(Path(name)) for name in ("smear_Red2.tif", "scattered.tif", "red-green.tif")]
    ['red', None, None]
    """
    words = set(re.split(r"[^a-z]+", path.stem.lower())) & set(COLOURS)
    return words.pop() if len(words) == 1 else None


def open_colours(files: Mapping[str, Path], source: Path, leds: LedTable | None = None) -> ImageStack:
    """Open the stacks of three colours as one of axes AYXS; the first plane of the red one is decoded.

    Each has the table beside it, or all have the one that is given.

    The LED table is that of green, of which colour images are measured, with unknown wavelength: a plane has three.
    They are in the notes and in the provenance.
    """
    lit = {colour: _open_lit(path, leds, decode=colour == COLOURS[0]) for colour, path in files.items()}
    first, first_name = lit[COLOURS[0]], files[COLOURS[0]].name
    for colour in COLOURS[1:]:
        _check_like(files[colour].name, lit[colour].stack, first_name, first.stack)
        _check_table(files[colour].name, lit[colour].leds, first_name, first.leds)
    wavelengths = [_wavelength_um(colour.leds) for colour in lit.values()]
    merged = {"files": [path.name for path in files.values()], "wavelength_um": wavelengths}
    return first.stack.replace(
        data=_side_by_side([da.asarray(colour.stack.data) for colour in lit.values()]),
        axes="AYXS",
        leds=_merged_table([colour.leds for colour in lit.values()]),
        source=str(source),
        notes=(*_notes(files, lit, wavelengths), *_left_out(files, source), *first.stack.notes),
        provenance={**first.stack.provenance, "colours": merged},
    )


class _Lit(NamedTuple):
    """The stack of one colour and the table beside it."""

    stack: ImageStack
    leds: LedTable


def _open_lit(path: Path, leds: LedTable | None, *, decode: bool) -> _Lit:
    if leds is None:
        table = table_beside(path)
        if table is None:
            raise FileError(f"{path.name}: its LED table is gone; put it back")
        leds = read_table(table).table
    stack = open_tiff(path, lit=True, decode=decode)
    if stack.axes != "AYX" or stack.size("A") != len(leds):
        raise FileError(
            f"{path.name}: it is {stack.axes} of {stack.data.shape} and its LED table has {len(leds)} rows; a colour is "
            "merged from grey planes, one for each row"
        )
    return _Lit(stack, leds)


def _side_by_side(colours: Sequence[da.Array]) -> da.Array:
    """Return arrays of one shape as the last axis of one, block by block."""
    first, *others = colours
    return da.map_blocks(
        _samples,
        first,
        *(other.rechunk(first.chunks) for other in others),
        chunks=(*first.chunks, (len(colours),)),
        new_axis=first.ndim,
        dtype=first.dtype,
        meta=np.empty((0,) * (first.ndim + 1), first.dtype),
        name=f"colours-{tokenize(*(colour.name for colour in colours))}",
    )


def _samples(*blocks: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    return np.stack(blocks, axis=-1)


# --- what must agree -----------------------------------------------------------------------------------------


def _check_like(name: str, stack: ImageStack, first_name: str, first: ImageStack) -> None:
    """Raise where two stacks differ in size, type or pixel."""
    kind, first_kind = (f"{' x '.join(map(str, s.data.shape))} {s.data.dtype}" for s in (stack, first))
    if kind != first_kind:
        raise FileError(f"{name}: it is {kind}, but {first_name} is {first_kind}; give three stacks of one kind")
    pixel, first_pixel = (s.pixel_yx_um or (0.0, 0.0) for s in (stack, first))
    if not np.allclose(pixel, first_pixel, rtol=1e-3):
        raise FileError(
            f"{name}: its pixel is {pixel[1]:g} um, that of {first_name} {first_pixel[1]:g} um (0 is not known); give "
            "three stacks of one calibration"
        )


def _check_table(name: str, leds: LedTable, first_name: str, first: LedTable) -> None:
    """Raise where the rows of two tables are not of the same LEDs."""
    for column in ("index", "exposure", "kind"):
        ours, theirs = getattr(leds, column), getattr(first, column)
        if (ours != theirs).any():
            row = int(np.argmax(ours != theirs))
            raise FileError(
                f"{name}: row {row} of its LED table has {column} {ours[row]}, that of {first_name} {theirs[row]}; give "
                "stacks of one array in one order"
            )
    by_place = bool(np.isfinite([first.x_mm, first.y_mm, leds.x_mm, leds.y_mm]).all())
    single = np.flatnonzero(first.kind != "brightfield")
    # Red, green and blue are dies side by side in one LED: their places differ, but by less than the LEDs' distance.
    distance = np.abs(_places(leds, by_place)[single, None] - _places(first, by_place)[None, single])
    away = np.diag(distance) > distance.min(axis=1, initial=np.inf) + 1e-9
    if away.any():
        row = int(np.argmax(away))
        index, other = leds.index[single[row]], first.index[single[np.argmin(distance[row])]]
        raise FileError(f"{name}: LED {index} is where {first_name} has LED {other}; give stacks of one array")


def _places(leds: LedTable, by_place: bool = False) -> npt.NDArray[np.complex128]:
    """Return places in mm, or directions, as x + iy."""
    if by_place:
        return np.asarray(leds.x_mm + 1j * leds.y_mm)
    return leds.direction


# --- what the merged stack says --------------------------------------------------------------------------------


def _merged_table(tables: Sequence[LedTable]) -> LedTable:
    """Return the table of green without what differs between colours."""
    leds = tables[REFERENCE]
    same = np.all([table.gain == leds.gain for table in tables], axis=0)
    return replace(leds, wavelength_um=np.nan, gain=np.where(same, leds.gain, np.nan))


def _wavelength_um(leds: LedTable) -> float | None:
    """Return the wavelength of a stack, None where it is not known or not one."""
    found = np.unique(leds.wavelength_um)
    return float(found[0]) if len(found) == 1 and np.isfinite(found[0]) else None


def _notes(files: Mapping[str, Path], lit: Mapping[str, _Lit], wavelengths: Sequence[float | None]) -> list[str]:
    names = [
        path.name + ("" if um is None else f" ({um:g} um)")
        for path, um in zip(files.values(), wavelengths, strict=True)
    ]
    notes = [f"red, green and blue are {', '.join(names)}"]
    reference = _places(lit[COLOURS[REFERENCE]].leds)
    apart_deg = np.degrees(max(np.abs(_places(colour.leds) - reference).max() for colour in lit.values()))
    if apart_deg >= 0.01:
        notes.append(
            f"the LED table has the places of {COLOURS[REFERENCE]}; those of the other colours are up to {apart_deg:.2f} "
            "deg from them"
        )
    return notes


def _left_out(files: Mapping[str, Path], source: Path) -> list[str]:
    if source in files.values() or not source.is_dir():
        return []
    others = sorted(path.name for path in source.iterdir() if path.suffix.lower() in KINDS)
    others = [name for name in others if name not in {path.name for path in files.values()}]
    return [f"left out, no colours: {some(others)}"] if others else []
