"""A folder, or a list of files, with one plane in each; and single pictures (PNG, JPEG, BMP)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from math import gcd
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from napari_cellrestore.files.assemble import assemble
from napari_cellrestore.files.calibration import Calibration, from_leica_folder
from napari_cellrestore.files.planes import (
    FileError,
    PicturePlane,
    Plane,
    Planes,
    Shape,
    file_errors,
    lazy_array,
    sniff,
)
from napari_cellrestore.files.tiff import ALPHA_NOTE, first_block_decodes, read_directories
from napari_cellrestore.stack import ImageStack

TIFF_SUFFIXES = (".tif", ".tiff")
PNG_SUFFIXES = (".png",)
JPEG_SUFFIXES = (".jpg", ".jpeg")
BMP_SUFFIXES = (".bmp",)
#: Kinds of files that can be planes, by suffix.
KINDS = {suffix: kind for kind in (TIFF_SUFFIXES, PNG_SUFFIXES, JPEG_SUFFIXES, BMP_SUFFIXES) for suffix in kind}

#: Names of the samples of pictures that are not red, green, blue.
CHANNELS = {"CMYK": ("cyan", "magenta", "yellow", "black")}


class PlaneFile(NamedTuple):
    """A file with one plane."""

    plane: Plane
    shape: Shape
    block: Shape
    dtype: Any
    letters: str
    channels: Sequence[str]
    notes: Sequence[str]
    calibration: Calibration
    #: What must be the same in all files of a stack, with how to say it.
    like: str


def open_folder(
    folder: Path, *, axes: str | None = None, lit: bool = False, names: Sequence[str] = (), aside: Sequence[str] = ()
) -> ImageStack:
    """Open the image files of a folder as planes, in the order of the numbers in their names.

    Files of the kind (TIFF, PNG, JPEG, BMP) that most are of are planes; the others are left out, with a note, unless they are
    ``aside`` anyway. With ``names`` those files are planes, in that order.
    """
    with file_errors(folder.name):
        paths = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
        kinds = Counter(KINDS[path.suffix.lower()] for path in paths if path.suffix.lower() in KINDS)
        if not kinds:
            raise FileError(f"{folder.name}: no TIFF, PNG, JPEG or BMP files in this folder; choose one that has them")
        kind = max(kinds, key=lambda kind: (kinds[kind], kind == TIFF_SUFFIXES))
        planes = named(names, paths) if names else [path for path in paths if path.suffix.lower() in kind]
        others = [path.name for path in paths if path not in planes and path.name not in aside]
        notes = [f"left out, no planes: {some(others)}"] if others else []
        return open_files(planes, folder, axes=axes, lit=lit, notes=notes, names=names)


def named(names: Sequence[str], paths: Sequence[Path]) -> list[Path]:
    """Return the paths that a table names, in its order."""
    by_name = {path.name: path for path in paths}
    if missing := [name for name in names if name not in by_name]:
        raise FileError(
            f"{missing[0]}: the LED table names this file, but it is not there; put it back or correct the name"
        )
    if twice := [name for name, n in Counter(names).items() if n > 1]:
        raise FileError(f"{twice[0]}: the LED table names this file in two rows; give each row its own file")
    return [by_name[name] for name in names]


def open_files(
    paths: Sequence[Path],
    source: Path,
    *,
    axes: str | None = None,
    lit: bool = False,
    notes: Sequence[str] = (),
    names: Sequence[str] = (),
) -> ImageStack:
    """Open files with one plane each as a stack along Z, in the order of ``names``, else of the numbers in theirs."""
    paths = named(names, paths) if names else sorted(paths, key=natural_key)
    first = plane_file(paths[0])
    files = [first, *(plane_file(path, decoded=first) for path in paths[1:])]
    for path, file in zip(paths, files, strict=True):
        if file.like != first.like:
            raise FileError(
                f"{path.name}: it is {file.like}, but {paths[0].name} is {first.like}; keep only planes of one kind"
            )
    with file_errors(source.name):
        data = first_block_decodes(
            lazy_array(Planes([file.plane for file in files], (len(files),), first.shape, first.dtype), first.block)
        )
        steps, order_note = (None, f"{len(paths)} files in the order of the LED table") if names else _order(paths)
        y = first.letters.index("Y")
        calibration = from_leica_folder(paths[0].parent, first.calibration, (first.shape[y], first.shape[y + 1]))
        return assemble(
            source,
            data,
            f"Z{first.letters}",
            calibration,
            axes=axes,
            lit=lit,
            channels=first.channels,
            notes=[order_note, *first.notes, *notes],
            index=steps,
        )


def open_picture(path: Path, *, axes: str | None = None, lit: bool = False) -> ImageStack:
    """Open a PNG, JPEG or BMP file. They state no pixel size."""
    with file_errors(path.name):
        file = plane_file(path)
        data = lazy_array(Planes([file.plane], (), file.shape, file.dtype), file.block)
        return assemble(
            path, data, file.letters, file.calibration, axes=axes, lit=lit, channels=file.channels, notes=file.notes
        )


# --- one plane a file --------------------------------------------------------------------------------------


def plane_file(path: Path, decoded: PlaneFile | None = None) -> PlaneFile:
    """Return what a file with one plane holds; a picture like one ``decoded`` before is not decoded again."""
    with file_errors(path.name):
        return _page(path) if sniff(path) == "TIFF" else _picture(path, decoded)


def _page(path: Path) -> PlaneFile:
    opened = read_directories(path, is_ome=False)  # OME-XML may name the other files as planes of this one
    if len(opened.planes) > 1:
        raise FileError(
            f"{path.name}: it holds {len(opened.planes)} planes, a folder is opened as one plane a file; open the file"
        )
    like = f"{' x '.join(map(str, opened.shape))} {opened.planes[0].dtype.name}"
    return PlaneFile(
        opened.planes[0],
        opened.shape,
        opened.block,
        opened.planes[0].dtype.newbyteorder("="),
        opened.letters,
        opened.channels,
        opened.notes,
        opened.calibration,
        like,
    )


def _picture(path: Path, decoded: PlaneFile | None) -> PlaneFile:
    with Image.open(path) as image:  # reads the header
        mode = image.mode
        args: Any = image.tile[0].args if image.tile else mode  # tells 8 from 16 bits
        like = f"{image.height} x {image.width} {args[0] if isinstance(args, tuple) else args}"
    plane = PicturePlane(str(path))
    if decoded is not None and decoded.like == like:
        return decoded._replace(plane=plane)
    pixels = plane.decode()
    letters = "YX" if pixels.ndim == 2 else "YXC" if mode in CHANNELS else "YXS"
    channels = CHANNELS.get(mode, ())
    notes = [ALPHA_NOTE] if letters == "YXS" and pixels.shape[2] == 4 else []
    if channels:
        notes.append(f"{len(channels)} samples a pixel that are not RGB ({mode}) were taken as channels (C)")
    return PlaneFile(plane, pixels.shape, pixels.shape, pixels.dtype, letters, channels, notes, Calibration(), like)


# --- order of names ----------------------------------------------------------------------------------------


def natural_key(path: Path) -> list[Any]:
    """Return a key that sorts numbers in names by value.

    >>> [path.name for path in sorted([Path("z10.tif"), Path("z9.tif")], key=natural_key)]
    ['z9.tif', 'z10.tif']
    """
    parts = re.split(r"([0-9]+)", path.name)
    return [int(part) if i % 2 else part.casefold() for i, part in enumerate(parts)]


def _order(paths: Sequence[Path]) -> tuple[list[int] | None, str]:
    """Return the steps of the planes from the first where one number in the names counts them, and a note."""
    index = plane_numbers(paths)
    if index is None:
        return None, f"{len(paths)} files in the order of their names, {paths[0].name} to {paths[-1].name}"
    step = gcd(*(number - index[0] for number in index)) or 1
    steps = [(number - index[0]) // step for number in index]
    by = f" in steps of {step}" if step > 1 else ""
    missing = sorted(set(range(steps[-1] + 1)) - set(steps)) if steps[-1] < 100_000 else []
    gaps = f"; missing: {some([str(index[0] + step * i) for i in missing])}" if missing else ""
    return steps, f"{len(paths)} files in the order of the number in their names, {index[0]} to {index[-1]}{by}{gaps}"


def plane_numbers(paths: Sequence[Path]) -> list[int] | None:
    """Return the number that counts files, None where not exactly one number in the names changes."""
    keys = [natural_key(path) for path in paths]
    if len(keys) < 2 or len({tuple(key[::2]) for key in keys}) > 1:
        return None
    changing = [column for column in zip(*(key[1::2] for key in keys), strict=True) if len(set(column)) > 1]
    return [int(number) for number in changing[0]] if len(changing) == 1 else None


def some(names: Sequence[str], most: int = 5) -> str:
    """Return the first few names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
