"""What several subcommands share: what is wrong with one file of many, outputs, JSON, folders of sharp images."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from glob import glob
from math import isfinite, isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO
from uuid import uuid4

from napari_cellrestore.cli import WRONG_INPUT, one_line

if TYPE_CHECKING:
    from napari_cellrestore.pairs import Split

#: Sharp images that can be split into training, validation and test.
IMAGE_SUFFIXES = (".bmp", ".jpg", ".jpeg", ".png", ".tif", ".tiff")


# --- many files --------------------------------------------------------------------------------------------


def expand(paths: Iterable[str]) -> list[str]:
    """Return the paths with patterns such as ``*.tif`` replaced by what they match: Windows leaves that to programs."""
    found = []
    for path in paths:
        pattern = any(sign in path for sign in "*?[") and not Path(path).exists()
        found += sorted(glob(path)) or [path] if pattern else [path]
    return found


def each(options: argparse.Namespace, paths: Iterable[str], do: Callable[[str], None]) -> int:
    """Do something with each path; of a wrong one a line says why, and the others are done. Returns the status."""
    status = 0
    for path in paths:
        try:
            do(path)
        except BrokenPipeError:  # an OSError too, but of the output
            raise
        except WRONG_INPUT as error:
            if options.debug:
                raise
            print(f"cellrestore {options.command}: {naming(path, error)}", file=sys.stderr)
            status = 2
    return status


def naming(path: str | Path, error: Exception) -> str:
    """Return an error as one line that begins with the path as the user gave it.

    >>> naming("a/cells.tif", ValueError("cells.tif: the file is empty")), naming("b.tif", ValueError("too small"))
    ('a/cells.tif: the file is empty', 'b.tif: too small')
    """
    return f"{path}: {one_line(error).removeprefix(f'{Path(path).name}: ').removeprefix(f'{path}: ')}"


def mind(text: str) -> None:
    """Print a remark that does not stop the work."""
    print(f"Mind: {text}", file=sys.stderr)


def add_axes(parser: argparse.ArgumentParser) -> None:
    """Declare the option that overrides what a file says of its axes."""
    parser.add_argument(
        "--axes", help="what the axes are, where the file does not say or says it wrongly, e.g. ZYX or CZYX"
    )


# --- outputs -----------------------------------------------------------------------------------------------


def stem(path: str | Path) -> str:
    """Return the name of an image without its suffix, as the start of the names of files made from it.

    >>> stem("a/cells.ome.tif"), stem("b/cells.v2.jpg")
    ('cells', 'cells.v2')
    """
    from napari_cellrestore.files import image_name

    return image_name(Path(path).resolve())


def check_new(path: Path) -> None:
    """Raise ValueError unless a new file can be written there; to be asked before the work begins."""
    from napari_cellrestore.files.places import check_parent

    if path.exists():
        raise ValueError(f"{path}: exists already; give another name")
    check_parent(path)


@contextmanager
def new_table(path: Path) -> Iterator[TextIO]:
    """Open a new table for writing; it appears under its name when it is whole."""
    check_new(path)
    unfinished = path.with_name(f".{uuid4().hex[:8]}.unfinished")
    try:
        # names of files may hold bytes that are no text
        with unfinished.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
            yield file
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def check_number(text: str) -> int:
    """Return a whole number, 1 or more, as an option gives it."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number, 1 or more")
    return int(text)


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Return rows of text in columns.

    >>> print(aligned([["name", "task"], ["deblur-fast", "deblur"]]))
    name         task
    deblur-fast  deblur
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def print_json(value: Mapping[str, Any]) -> None:
    """Print one line of JSON at once; NaN becomes null and infinity a word, which JSON has no numbers for."""
    print(json.dumps(_plain(value), ensure_ascii=False, allow_nan=False), flush=True)


def say_or_json(options: argparse.Namespace, text: str, **event: Any) -> None:
    """Print a line of text, or with ``--json`` the event."""
    if options.json:
        print_json(event)
    else:
        print(text, flush=True)


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):  # of numpy, which this module does not import
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, float) and not isfinite(value):
        return None if isnan(value) else str(value)
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


# --- folders of sharp images -------------------------------------------------------------------------------


def add_images(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    """Declare the option that names folders of sharp images; :func:`read_splits` reads it."""
    parser.add_argument(
        "--images",
        action="append",
        nargs="+",
        required=required,
        default=[],
        metavar=("FOLDER", "N"),
        help="folder of sharp images, may be given again; one image in N is kept for the test, one for validation (10)",
    )


def read_splits(images: Iterable[Sequence[str]]) -> dict[str, Split]:
    """Return training, validation and test images of each folder, by its name."""
    from napari_cellrestore.files.places import check_folder
    from napari_cellrestore.pairs import split_by_image

    splits: dict[str, Split] = {}
    for folder, *every in images:
        number = _number(folder, every)
        home = Path(folder).resolve()
        check_folder(folder, "sharp images")
        if home.name in splits:
            raise ValueError(f"{folder}: another folder is called {home.name} too; rename one, results go by that name")
        try:
            splits[home.name] = split_by_image(
                [path for path in Path(folder).glob("*") if path.suffix.lower() in IMAGE_SUFFIXES], every=number
            )
        except ValueError as error:
            raise ValueError(naming(folder, error)) from error
    return splits


def _number(folder: str, every: Sequence[str]) -> int:
    if not every:
        return 10
    if len(every) > 1 or not every[0].isdecimal() or int(every[0]) < 3:
        raise ValueError(f"--images {folder} {' '.join(every)}: after the folder comes one whole number, 3 or more")
    return int(every[0])
