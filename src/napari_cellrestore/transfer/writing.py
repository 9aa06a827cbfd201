"""Pairs of two microscopes as files: two folders with images of one name, and tables of what was and was not paired."""

from __future__ import annotations

import csv
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from napari_cellrestore.files import write_tiff
from napari_cellrestore.files.places import check_parent
from napari_cellrestore.rescan import check_new_folder
from napari_cellrestore.stack import ImageStack
from napari_cellrestore.transfer.aligned import AlignedPair, cut_pair, numbers
from napari_cellrestore.transfer.judging import Alignment
from napari_cellrestore.transfer.result import ImagePair, Pairing, Problem

#: What is in the folder.
INPUTS, TARGETS, PAIRS, PROBLEMS = "input", "target", "pairs.csv", "problems.csv"


def write_pairs(pairing: Pairing, folder: str | Path) -> Path:
    """Write the good pairs into a new folder, for ``cellrestore train --pairs FOLDER/input FOLDER/target``.

    ``input/NAME.tif`` and ``target/NAME.tif`` are the pair on one grid, cut to what both show, with pixel size and how they
    were made; ``pairs.csv`` has a row for each, ``problems.csv`` for every image that is in no good pair, with the reason.
    All is made under a name that begins with a dot and takes its own at the end: a folder of that name is complete.

    Parameters
    ----------
    pairing : Pairing
        As from :func:`pair_images`; the images are read again.
    folder : path
        Not there yet.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    ValueError
        The folder exists, there is no good pair, or an image can no longer be read.
    """
    for _ in follow_writing(pairing, folder):
        pass
    return Path(folder)


def follow_writing(pairing: Pairing, folder: str | Path) -> Iterator[ImagePair]:
    """Do as :func:`write_pairs`, yielding each pair as it is written."""
    out = check_new_folder(folder)
    if not pairing.good:
        raise ValueError(f"{out}: there is no good pair to write; see the problems of the pairing")
    unfinished = out.with_name(f".{out.name}.part")
    if unfinished.exists():  # of a run that was killed
        shutil.rmtree(unfinished)
    try:
        for name in (INPUTS, TARGETS):
            (unfinished / name).mkdir(parents=True)
        problems, rows = list(pairing.problems), []
        for pair in pairing.good:
            aligned = cut_pair(*pairing.open(pair), pair.alignment, pairing.keep)
            if aligned.input is None or aligned.target is None:
                problems.append(Problem(pair.input.name, pair.target.name, aligned.reason))
                continue
            _write_two(unfinished, pair.name, aligned.input, aligned.target)
            rows.append(_row(pair.name, pair.input.name, pair.target.name, aligned, pair.correlation, pair.next_best))
            yield pair
        _write_table(unfinished / PAIRS, rows, _row("", "", "", AlignedPair(Alignment())))
        said = [{"input": one.input, "target": one.target, "reason": one.reason} for one in problems]
        _write_table(unfinished / PROBLEMS, said, {"input": "", "target": "", "reason": ""})
        os.replace(unfinished, out)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def save_pair(pair: AlignedPair, folder: str | Path, name: str) -> Path:
    """Add one aligned pair to a folder of pairs, which is made if it is not there; nothing is written over.

    Parameters
    ----------
    pair : AlignedPair
    folder : path
        With ``input``, ``target`` and ``pairs.csv`` as :func:`write_pairs` makes them, or new.
    name : str
        Of both files, without suffix.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    ValueError
        A bad pair, a name that is taken or is no name of a file, a folder that cannot be made.
    """
    if pair.input is None or pair.target is None:
        raise ValueError(f"there is nothing to save: {pair.reason}")
    if not pair.good:
        raise ValueError(f"a bad pair is not saved, training would learn from it: {pair.reason}")
    if not name or name != Path(name).name or set(name) & set('<>:"/\\|?*') or name.startswith("."):
        raise ValueError(f"{name!r} is no name of a file: leave out signs such as / and :")
    home = Path(folder)
    check_parent(home)
    if taken := [path for path in (home / INPUTS / f"{name}.tif", home / TARGETS / f"{name}.tif") if path.exists()]:
        raise ValueError(f"{taken[0]}: exists already; give another name, nothing is written over")
    for sub in (INPUTS, TARGETS):
        (home / sub).mkdir(parents=True, exist_ok=True)
    try:
        _write_two(home, name, pair.input, pair.target)
    except BaseException:
        with suppress(FileNotFoundError):
            (home / INPUTS / f"{name}.tif").unlink()
        raise
    _add_row(home / PAIRS, _row(name, pair.input.source or "", pair.target.source or "", pair))
    return home


def _write_two(folder: Path, name: str, ours: ImageStack, theirs: ImageStack) -> None:
    write_tiff(folder / INPUTS / f"{name}.tif", ours.replace(source=None))
    write_tiff(folder / TARGETS / f"{name}.tif", theirs.replace(source=None))


def _row(
    name: str, ours: str, theirs: str, pair: AlignedPair, correlation: float = float("nan"), other: float = float("nan")
) -> dict[str, Any]:
    said = numbers(pair.alignment)
    rows, columns = pair.region or (slice(0, 0), slice(0, 0))
    matrix, shift = said.pop("matrix") or [["", ""], ["", ""]], said.pop("shift_px") or ["", ""]
    return {
        "name": name,
        "input": Path(ours).name,
        "target": Path(theirs).name,
        "cell_correlation": round(correlation, 4),
        "next_best": round(other, 4) if other > -1 else float("nan"),
        **said,
        "kept": pair.keep,
        "row": rows.start,
        "column": columns.start,
        "rows": rows.stop - rows.start,
        "columns": columns.stop - columns.start,
        **{f"matrix_{a}{b}": matrix[i][j] for i, a in enumerate("yx") for j, b in enumerate("yx")},
        "shift_y_px": shift[0],
        "shift_x_px": shift[1],
        "reason": pair.reason,
    }


def _write_table(path: Path, rows: Sequence[Mapping[str, Any]], like: Mapping[str, Any]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(like))
        table.writeheader()
        table.writerows(map(_plain, rows))


def _add_row(path: Path, row: Mapping[str, Any]) -> None:
    new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(row))
        if new:
            table.writeheader()
        table.writerow(_plain(row))


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row with empty cells instead of NaN."""
    return {key: "" if value != value else value for key, value in row.items()}
