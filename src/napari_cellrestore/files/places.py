"""Folders that have to be there: those of images, and those that something new is written into."""

from __future__ import annotations

from os import PathLike
from pathlib import Path


def check_folder(folder: str | PathLike[str], of: str = "images") -> None:
    """Raise ValueError, with what it is to hold, unless a folder is there."""
    home = Path(folder)
    if not home.is_dir():
        said = "it is a file" if home.is_file() else "there is no such folder"
        raise ValueError(f"{folder}: {said}; give a folder of {of}")


def check_parent(path: Path) -> None:
    """Raise ValueError unless the folder is there that a new file or folder is to lie in."""
    if path.parent.is_file():
        raise ValueError(f"{path}: {path.parent} is a file; give a name in a folder")
    if not path.parent.is_dir():
        raise ValueError(f"{path}: there is no folder {path.parent}; make it first")
