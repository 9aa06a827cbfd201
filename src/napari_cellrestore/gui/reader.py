"""Open files and folders in napari with their calibration, lazily."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import napari
from napari.utils.notifications import show_error, show_info

from napari_cellrestore.files import image_suffixes, open_stack
from napari_cellrestore.gui.layers import layer_data

AnyPath = str | Sequence[str]

#: Words of the notes that the user is told at once: the image may not be what it was taken for.
TOLD = ("naming the axes", "images: the first", "cut off")


def get_reader(path: AnyPath) -> Callable[[AnyPath], list[Any]] | None:
    """Return the reader of image files, of a folder with image files, or of several files as one stack.

    None where a path is none of these, so that napari asks another plugin.
    """
    paths = [path] if isinstance(path, str) else list(path)
    return read if paths and all(_is_ours(Path(one)) for one in paths) else None


def read(path: AnyPath) -> list[Any]:
    """Return the layers of what is at a path; the first note that puts them in doubt is told.

    What cannot be opened is one line in the window, for which napari takes an empty result: raised, it would become a
    dialog that asks for another plugin and does not show the line. Without a window it is raised.
    """
    try:
        stack = open_stack(path)
        layers = layer_data(stack)
    except (ValueError, FileNotFoundError) as error:
        if napari.current_viewer() is None:
            raise
        show_error(str(error))
        return [(None,)]
    decided = next((note for note in stack.notes if any(words in note for words in TOLD)), None)
    if decided is not None:
        show_info(f"{Path(str(stack.source)).name}: {decided}")
    return layers


def _is_ours(path: Path) -> bool:
    if path.is_dir():
        return any(file.suffix.lower() in image_suffixes() for file in path.iterdir())
    return path.suffix.lower() in image_suffixes()
