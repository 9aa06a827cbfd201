"""OME-Zarr: an image as a folder of compressed tiles, larger than memory, with smaller copies for viewing (Moore et al. 2023).

Written is version 0.5 (zarr 3), opened are 0.4 (zarr 2) and 0.5. This module itself imports no zarr: what it needs comes when
such an image is opened or written.
"""

from __future__ import annotations

from os import PathLike
from pathlib import Path

#: How the names of such folders end.
SUFFIX = ".zarr"
#: Files that make a folder a zarr.
MARKS = ("zarr.json", ".zgroup", ".zattrs", ".zarray")


def is_zarr(path: str | PathLike[str]) -> bool:
    """Return whether a path is a folder that is a zarr or is named like one."""
    path = Path(path)
    return path.is_dir() and (path.suffix.lower() == SUFFIX or any((path / mark).is_file() for mark in MARKS))
