"""Files of a report: each is there whole or not at all."""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path

#: How bytes that are no text, as names of files may hold them, are written into one.
AS_NUMBERS = "backslashreplace"


def file_name(name: str) -> str:
    """Return a name as that of a file.

    >>> file_name("by level, Wiener, true PSF")
    'by-level-Wiener-true-PSF'
    """
    return re.sub(r"[^\w.-]+", "-", name)


def csv_text(rows: Sequence[Sequence[str]]) -> str:
    """Return rows as CSV."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def replace_file(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file beside its place and put it there when it is whole."""
    unfinished = path.with_name(f".unfinished-{path.name}")
    try:
        write(unfinished)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def replace_text(path: Path, content: str) -> None:
    """Write a text in the same way."""
    replace_file(path, lambda unfinished: unfinished.write_text(content, "utf-8", AS_NUMBERS))
