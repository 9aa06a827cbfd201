"""Open files and folders in napari with their calibration, lazily."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import napari
from napari.utils.notifications import show_error, show_info

from napari_cellrestore.files import image_suffixes, is_zarr, open_stack
from napari_cellrestore.gui.layers import LayerData, layer_data
from napari_cellrestore.stack import ImageStack

if TYPE_CHECKING:
    from napari_cellrestore.files.zarr.opening import Levels

AnyPath = str | Sequence[str]

#: Words of the notes that the user is told at once: the image may not be what it was taken for.
TOLD = ("naming the axes", "images: the first", "cut off")


def get_reader(path: AnyPath) -> Callable[[AnyPath], list[Any]] | None:
    """Return the reader of image files, of an OME-Zarr, of a folder with image files, or of several files as one stack.

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
        stack, layers = _opened(path)
    except (ValueError, FileNotFoundError) as error:
        if napari.current_viewer() is None:
            raise
        show_error(str(error))
        return [(None,)]
    decided = next((note for note in stack.notes if any(words in note for words in TOLD)), None)
    if decided is not None:
        show_info(f"{Path(str(stack.source)).name}: {decided}")
    return layers


def _opened(path: AnyPath) -> tuple[ImageStack, list[LayerData]]:
    stack = open_stack(path)
    layers = layer_data(stack)
    one = Path(path if isinstance(path, str) else path[0])
    if is_zarr(one):
        from napari_cellrestore.files.zarr.opening import open_levels

        levels = open_levels(one)
        layers = [_pyramid(layer, levels, stack, number) for number, layer in enumerate(layers)]
    return stack, layers


def _pyramid(layer: LayerData, levels: Levels, stack: ImageStack, channel: int) -> LayerData:
    """Return the layer of a channel with its smaller copies, shown from and to the grey levels that the file says."""
    data, options, kind = layer
    where = (*[slice(None)] * stack.axes.index("C"), channel) if "C" in stack.axes else ()
    if levels.smaller:
        data, options = [data, *(level[where] for level in levels.smaller)], {**options, "multiscale": True}
    window = levels.windows[channel] if channel < len(levels.windows) and not stack.rgb else None
    return data, {**options, "contrast_limits": window or options["contrast_limits"]}, kind


def _is_ours(path: Path) -> bool:
    if is_zarr(path):
        return True
    if path.is_dir():
        return any(file.suffix.lower() in image_suffixes() for file in path.iterdir())
    return path.suffix.lower() in image_suffixes()
