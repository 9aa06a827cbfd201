"""The LED table that belongs to a file or folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_cellrestore.files.folder import KINDS
from napari_cellrestore.files.planes import FileError
from napari_cellrestore.files.zarr import is_zarr
from napari_cellrestore.leds import LedTable
from napari_cellrestore.leds.reading import by_plane, read_rows

#: How the names of tables end, and names that are tables in a folder.
TABLE_SUFFIXES = (".leds.csv", ".leds.json")
PLAIN_NAMES = ("leds.csv", "leds.json")


@dataclass(frozen=True)
class FoundTable:
    """A table, the file of each row where it names them, and where it was found."""

    table: LedTable
    files: Sequence[str] = ()
    name: str = ""
    notes: Sequence[str] = ()


def read_table(path: Path, notes: Sequence[str] = ()) -> FoundTable:
    """Return a table and its column ``file``."""
    rows = read_rows(path)
    table = LedTable.of_rows(rows, path.name)
    files = [str(row.get("file") or "").strip() for row in by_plane(rows)]
    if any(files) and not all(files):
        raise FileError(f"{path.name}: row {files.index('')}: file is empty; name a file in each row or in none")
    return FoundTable(table, files if any(files) else (), path.name, notes)


def find_table(path: Path) -> FoundTable | None:
    """Return the table beside a file or in a folder, with a note; None where there is none."""
    if path.is_dir() and not is_zarr(path):
        found, place = table_in(path), "in the folder"
    else:
        found, place = table_beside(path), "beside the file"
    return None if found is None else read_table(found, (f"the LED table {found.name} {place} was used",))


def table_beside(path: Path) -> Path | None:
    """Return the table named like an image file."""
    return _only([path.with_name(_stem(path) + suffix) for suffix in TABLE_SUFFIXES])


def table_in(folder: Path) -> Path | None:
    """Return the table of a folder, one that is not that of a single file in it."""
    paths = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    images = [path for path in paths if path.suffix.lower() in KINDS]
    theirs = {_stem(path) + suffix for path in images for suffix in TABLE_SUFFIXES}
    tables = [path for path in paths if path.name in PLAIN_NAMES or path.name.endswith(TABLE_SUFFIXES)]
    return _only([path for path in tables if path.name not in theirs])


def _stem(path: Path) -> str:
    return path.name.removesuffix(path.suffix).removesuffix(".ome")


def _only(paths: Sequence[Path]) -> Path | None:
    there = [path for path in paths if path.is_file()]
    if len(there) > 1:
        names = ", ".join(path.name for path in there)
        raise FileError(f"{there[0].name}: there are several LED tables, {names}; keep one or name it with leds=")
    return there[0] if there else None
