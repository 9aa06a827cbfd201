"""What became of many stacks: a table beside the results, with a row for each as soon as it is done."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path

from napari_cellrestore.files import is_zarr
from napari_cellrestore.files.led_table import table_beside

#: The table that is written beside the results.
LEDGER = "restored.csv"
DONE, FAILED = "done", "failed"
Pair = tuple[str, str]


@dataclass(frozen=True)
class Row:
    """What became of one stack; the last row of a result is the one that counts.

    ``bytes`` and ``modified`` are of the input when the work on it began (:func:`stamp`), ``model`` is its name and the start
    of its hash, ``plan`` a fingerprint of all that was asked for.
    """

    result: str
    input: str
    status: str
    reason: str
    seconds: str
    bytes: str
    modified: str
    model: str
    plan: str


HEADER = tuple(field.name for field in fields(Row))


class Ledger:
    """A table of results in their folder; a batch that was stopped goes on from there.

    Rows are appended one by one, each in one piece. Of a row that was cut off nothing is taken, and the next begins on a
    line of its own.

    Parameters
    ----------
    folder : Path
        Of the results, which must exist.
    model, plan : str
        As in :class:`Row`, of the results to come.

    Raises
    ------
    ValueError
        A file of that name is there and is another table.
    """

    def __init__(self, folder: Path, model: str, plan: str) -> None:
        self.path, self._by = folder / LEDGER, (model, plan)
        self.failed: dict[str, str] = {}  # of this run: input and reason
        self._done = _last_done(self.path)
        self._there = set(os.listdir(folder))
        end = _end(self.path)
        if end is None:
            self._append(HEADER)
        elif end != b"\n":
            self._write(b"\n")

    def done(self, path: str, targets: Sequence[Path]) -> bool:
        """Whether the results of an input are there and were made of it as it is, by the same model and plan."""
        known = self._done.get(_plain(targets[0].name))
        there = known is not None and self._there.issuperset(target.name for target in targets)
        return there and known == (stamp(path), self._by)

    def differs(self, path: str, target: Path) -> str:
        """Say in what a result that is there differs from the one that would be made; "" where nothing is known of it."""
        was, by = self._done.get(_plain(target.name), (("", ""), self._by))
        if by != self._by:
            return f"made by {by[0]}" if by[0] != self._by[0] else "made with other options"
        return "made before its input changed" if was not in (("", ""), stamp(path)) else ""

    def add(self, path: str, target: Path, was: Pair, seconds: float, reason: str = "") -> None:
        """Append what became of a stack: done, or failed for a reason; ``was`` is the stamp of its input."""
        status = FAILED if reason else DONE
        if reason:
            self.failed[path] = reason
        cells = (target.name, path, status, reason, f"{seconds:.2f}", *was, *self._by)
        self._append([_plain(cell) for cell in cells])

    def _append(self, cells: Sequence[str]) -> None:
        line = io.StringIO(newline="")
        csv.writer(line, lineterminator="\n").writerow(cells)
        self._write(line.getvalue().encode("utf-8", "surrogateescape"))

    def _write(self, content: bytes) -> None:
        with self.path.open("ab", buffering=0) as file:
            file.write(content)


def read_rows(path: Path) -> Iterator[Row]:
    """Yield the whole rows of a ledger, nothing where there is none; ValueError for another table."""
    if not path.exists():
        return
    with path.open(encoding="utf-8", errors="surrogateescape", newline="\n") as file:
        for number, line in enumerate(file):
            cells = next(csv.reader([line.rstrip("\r\n")]), [])
            if number == 0 and tuple(cells) != HEADER:
                raise ValueError(f"{path}: is no ledger of cellrestore restore; move it, or give another folder")
            if number and len(cells) == len(HEADER) and line.endswith("\n"):
                yield Row(*cells)


def _last_done(path: Path) -> dict[str, tuple[Pair, Pair]]:
    """Return stamp of the input, and model and plan, of each result whose last row says that it is done."""
    done: dict[str, tuple[Pair, Pair]] = {}
    once: dict[Pair, Pair] = {}  # of a million rows a few
    for row in read_rows(path):
        done.pop(row.result, None)
        if row.status == DONE:
            by = row.model, row.plan
            done[row.result] = (row.bytes, row.modified), once.setdefault(by, by)
    return done


def stamp(path: str | Path) -> Pair:
    """Return the size in bytes and the time of the last change of an input, of a folder over its files and those of its folders.

    The tiles of an OME-Zarr count, and the LED table beside a file counts as part of it. Nothing of a file that is not there.
    """
    path = Path(path)
    files = _inside(path) if path.is_dir() else [path, *_tables(path)]
    try:
        stats = [one.stat() for one in files]
    except OSError:
        return "", ""
    latest_ns = max((stat.st_mtime_ns for stat in stats), default=0)
    seconds, ns = divmod(latest_ns, 10**9)
    modified = f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{ns:09d}Z"
    return str(sum(stat.st_size for stat in stats)), modified


def _inside(folder: Path) -> list[Path]:
    found = {path for pattern in ("*", "*/*") for path in folder.glob(pattern) if path.is_file()}
    if is_zarr(folder):
        from napari_cellrestore.files.zarr.opening import tile_files  # half a second, for those who have such images

        with suppress(ValueError):  # of which opening will complain
            found.update(tile_files(folder))
    return list(found)


def _tables(path: Path) -> list[Path]:
    try:
        table = table_beside(path)
    except ValueError:  # several, of which opening will complain
        return []
    return [] if table is None else [table]


def _end(path: Path) -> bytes | None:
    """Return the last byte of a file, None where there is none."""
    if not path.exists() or not path.stat().st_size:
        return None
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read()


def _plain(text: str) -> str:
    r"""Return a text without line ends, so that a row is a line.

    >>> print(_plain("two\nlines"))
    two\nlines
    """
    return text.replace("\r", "\\r").replace("\n", "\\n")


def remove_unfinished(folder: Path, names: Collection[str]) -> None:
    """Remove what a run that was killed left of these files while it wrote them."""
    for path in folder.iterdir():
        ends = path.name.removeprefix(".").rsplit(".", 2)  # as write_tiff names them: .<name>.<8 signs>.part
        if path.name.startswith(".") and len(ends) == 3 and ends[2] == "part" and ends[0] in names:
            path.unlink(missing_ok=True)
