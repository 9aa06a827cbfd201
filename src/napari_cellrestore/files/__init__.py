"""Image files and folders as stacks, lazily, and stacks as files.

>>> from napari_cellrestore.files import open_stack, write_tiff
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from os import PathLike
from pathlib import Path

from napari_cellrestore.files.export import write_tiff
from napari_cellrestore.files.folder import KINDS, open_files, open_folder, open_picture
from napari_cellrestore.files.planes import FileError, file_errors, sniff
from napari_cellrestore.files.tiff import open_tiff
from napari_cellrestore.leds import LedTable
from napari_cellrestore.stack import ImageStack

__all__ = ["open_stack", "write_tiff", "image_suffixes"]

AnyPath = str | PathLike[str]


def image_suffixes() -> tuple[str, ...]:
    """Return the suffixes of files that can be opened."""
    return tuple(KINDS)


def open_stack(
    path_or_paths: AnyPath | Sequence[AnyPath], *, axes: str | None = None, leds: LedTable | AnyPath | None = None
) -> ImageStack:
    """Open an image file, a folder or several files with one plane each, without reading all pixels.

    The pixels are a dask array that reads a plane when it is asked for. On opening, every plane is looked for and the
    first is decoded, so that a broken file fails here. ``notes`` of the result say what had to be decided.

    Parameters
    ----------
    path_or_paths : path or sequence of paths
        TIFF (plain, ImageJ, OME, tiled, compressed, pyramid: its full resolution), PNG or JPEG; a folder, or several
        files, with one plane each, which are stacked along Z in the order of the numbers in their names.
    axes : str, optional
        What the axes are, where the file does not say or says it wrongly: a letter of
        :data:`napari_cellrestore.stack.AXES` for each, in the order of the opened stack or of the file.
    leds : LedTable or path of its CSV, optional
        The leading axis holds LEDs. ``<name>.leds.csv`` beside the file is found by itself.

    Returns
    -------
    ImageStack
        Planes first, then Y, X and colour samples; lengths in micrometres, only where the file states them.

    Raises
    ------
    FileNotFoundError
        Where there is no such file or folder.
    ValueError
        One line, ``name: reason; what to do``, for everything that cannot be opened.

    Examples
    --------
    >>> import tempfile, numpy, tifffile
    >>> folder = tempfile.TemporaryDirectory()
    >>> path = folder.name + "/cells.tif"
    >>> tifffile.imwrite(path, numpy.zeros((5, 64, 64), "uint16"), imagej=True, resolution=(10, 10),
    ...                  metadata={"axes": "ZYX", "unit": "um", "spacing": 0.3})
    >>> open_stack(path)
    <ImageStack Z 5 x Y 64 x X 64, uint16, 0.1 um/px, z step 0.3 um>
    >>> folder.cleanup()
    """
    paths = _existing(path_or_paths)
    table, note = _led_table(paths[0], leds)
    stack = _open(paths, axes=axes, lit=table is not None and axes is None)
    if table is None:
        return stack
    if "A" not in stack.axes or stack.size("A") != len(table):
        raise FileError(
            f"{paths[0].name}: the LED table has {len(table)} rows, but the stack is {stack.axes} of "
            f"{stack.data.shape}; give one row for each plane of the leading axis, or rename the table beside the file"
        )
    return stack.replace(leds=table, notes=(*note, *stack.notes))


def _open(paths: Sequence[Path], *, axes: str | None, lit: bool) -> ImageStack:
    if len(paths) > 1:
        folder = Path(os.path.commonpath([path.parent.absolute() for path in paths]))
        return open_files(paths, folder, axes=axes, lit=lit)
    path = paths[0]
    if path.is_dir():
        return open_folder(path, axes=axes, lit=lit)
    with file_errors(path.name):
        opener = open_tiff if sniff(path) == "TIFF" else open_picture
    return opener(path, axes=axes, lit=lit)


def _existing(path_or_paths: AnyPath | Sequence[AnyPath]) -> list[Path]:
    given = [path_or_paths] if isinstance(path_or_paths, (str, PathLike)) else list(path_or_paths)
    paths = [Path(path) if Path(path).name else Path(path).resolve() for path in given]
    if not paths:
        raise ValueError("no path given: give a file, a folder or several files")
    for path in paths:
        if not path.exists():
            raise FileNotFoundError(f"{path.name}: there is no such file or folder in {path.parent}; check the path")
    return paths


def _led_table(path: Path, leds: LedTable | AnyPath | None) -> tuple[LedTable | None, tuple[str, ...]]:
    """Return the LED table given or found beside the file, and a note where it was found."""
    if isinstance(leds, LedTable):
        return leds, ()
    if leds is not None:
        return LedTable.read_csv(_existing(leds)[0]), ()
    beside = path.with_name(path.name.removesuffix(path.suffix).removesuffix(".ome") + ".leds.csv")
    if not path.is_file() or not beside.is_file():
        return None, ()
    return LedTable.read_csv(beside), (f"the LED table {beside.name} beside the file was used",)
