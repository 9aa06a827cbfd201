"""Tables in pages: made of rows, and put between two marks by the scripts beside this one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path


def markdown(lines: Sequence[Sequence[str]]) -> str:
    """Return rows of cells as a table, the first as its header."""
    first, *others = ["| " + " | ".join(cells) + " |" for cells in lines]
    return "\n".join([first, "|" + "---|" * len(lines[0]), *others])


def replaced(text: str, marks: tuple[str, str], table: str) -> str:
    """Return a page with what is between two marks replaced."""
    start, end = marks
    before, found, rest = text.partition(start)
    _, found_end, after = rest.partition(end)
    if not found or not found_end:
        raise SystemExit(f"the lines {start!r} and {end!r} are not there; put them around the table")
    return f"{before}{start}\n\n{table}\n\n{end}{after}"


def write(pages: Mapping[Path, str], script: str, *, check: bool) -> int:
    """Write the pages that changed, or return 1 where one did and is only to be checked."""
    status = 0
    for path, new in pages.items():
        if new == path.read_text(encoding="utf-8"):
            continue
        if check:
            print(f"{path.name}: not up to date; run docs/{script}")
            status = 1
        else:
            path.write_text(new, encoding="utf-8", newline="\n")
            print(f"{path.name}: written")
    return status
