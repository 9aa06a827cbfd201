"""Image files and folders as stacks, lazily, and stacks as files.

>>> from napari_cellrestore.files import open_stack, write_image, write_tiff
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from napari_cellrestore.files.colours import COLOURS, colour_files, open_colours
from napari_cellrestore.files.export import check_tiff, write_tiff
from napari_cellrestore.files.folder import KINDS, TIFF_SUFFIXES, open_files, open_folder, open_picture
from napari_cellrestore.files.led_table import FoundTable, find_table, read_table
from napari_cellrestore.files.planes import FileError, file_errors, sniff
from napari_cellrestore.files.tiff import open_tiff
from napari_cellrestore.files.zarr import SUFFIX, is_zarr
from napari_cellrestore.leds import LedTable
from napari_cellrestore.stack import ImageStack

__all__ = ["open_stack", "write_image", "write_tiff", "check_image", "image_name", "image_suffixes", "is_zarr"]

AnyPath = str | PathLike[str]


def image_suffixes() -> tuple[str, ...]:
    """Return the suffixes of files that can be opened."""
    return tuple(KINDS)


def image_name(path: AnyPath) -> str:
    """Return the name of an image without its suffix; a folder of planes has none, that of an OME-Zarr has.

    >>> image_name("a/cells.ome.tif"), image_name("b/cells.v2.jpg"), image_name("cells.OME.ZARR")
    ('cells', 'cells.v2', 'cells')
    """
    path = Path(path)
    if path.is_dir() and path.suffix.lower() != SUFFIX:
        return path.name
    return path.stem[:-4] if path.stem.lower().endswith(".ome") else path.stem


def open_stack(
    path_or_paths: AnyPath | Sequence[AnyPath], *, axes: str | None = None, leds: LedTable | AnyPath | None = None
) -> ImageStack:
    """Open an image file, a folder or several files with one plane each, without reading all pixels.

    The pixels are a dask array that reads a plane when it is asked for. On opening, every plane is looked for and the
    first is decoded, so that a broken file fails here. ``notes`` of the result say what had to be decided.

    Parameters
    ----------
    path_or_paths : path or sequence of paths
        TIFF (plain, ImageJ, OME, tiled, compressed, pyramid: its full resolution), PNG, JPEG or BMP; the folder of an OME-Zarr
        image (0.4 or 0.5); a folder, or several files, with one plane each, which are stacked along Z in the order of the
        numbers in their names. Three LED stacks of one array with red, green and blue in their names, or the folder that
        holds them, are the colours of one.
    axes : str, optional
        What the axes are, where the file does not say or says it wrongly: a letter of
        :data:`napari_cellrestore.stack.AXES` for each, in the order of the opened stack or of the file.
    leds : LedTable or path of its CSV or JSON, optional
        The leading axis holds LEDs. ``<name>.leds.csv`` or ``.json`` beside the file is found by itself, in a folder
        also ``leds.csv`` or ``.json``. A column ``file`` says which file of a folder each row describes. One that is given is
        that of all three colours, where it has not three rows, one a file.

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
    given = None if leds is None else _given_table(leds)
    # Of three rows each is one of the files.
    if axes in (None, "AYXS") and (given is None or len(given.table) != len(COLOURS)):
        if colours := colour_files(paths, lit=given is not None):
            return open_colours(colours, _common_folder(paths), None if given is None else given.table)
    found = given or _found_table(paths)
    if found is None:
        return _open(paths, axes=axes)
    stack = _open(paths, axes=axes, lit=axes is None, names=found.files, table=found.name)
    if "A" not in stack.axes or stack.size("A") != len(found.table):
        raise FileError(
            f"{paths[0].name}: the LED table has {len(found.table)} rows, but the stack is {stack.axes} of "
            f"{stack.data.shape}; give one row for each plane of the leading axis, or move the table away"
        )
    return stack.replace(leds=found.table, notes=(*found.notes, *stack.notes))


def _open(
    paths: Sequence[Path], *, axes: str | None, lit: bool = False, names: Sequence[str] = (), table: str = ""
) -> ImageStack:
    if zarrs := [path.name for path in paths if is_zarr(path)]:
        return _open_zarr(paths, zarrs[0], axes=axes, lit=lit)
    if len(paths) > 1:
        return open_files(paths, _common_folder(paths), axes=axes, lit=lit, names=names)
    path = paths[0]
    if path.is_dir():
        return open_folder(path, axes=axes, lit=lit, names=names, aside=(table,))
    with file_errors(path.name):
        opener = open_tiff if sniff(path) == "TIFF" else open_picture
    return opener(path, axes=axes, lit=lit)


def _open_zarr(paths: Sequence[Path], name: str, *, axes: str | None, lit: bool) -> ImageStack:
    from napari_cellrestore.files.zarr.opening import open_zarr  # half a second, for those who have such images

    if len(paths) > 1:
        raise FileError(f"{name}: it is an OME-Zarr, and several files are opened as one plane each; open it by itself")
    return open_zarr(paths[0], axes=axes, lit=lit)


def write_image(
    path: AnyPath,
    stack: ImageStack,
    *,
    overwrite: bool = False,
    resume: Mapping[str, Any] | None = None,
    on_resume: Callable[[int, int], None] | None = None,
) -> Path:
    """Write a stack as the name says: ``.tif`` as OME-TIFF, ``.zarr`` as OME-Zarr, which may go on where it was broken off.

    See :func:`write_tiff`, which begins anew always, and :func:`napari_cellrestore.files.zarr.writing.write_zarr`.
    """
    if _is_zarr_name(path):
        from napari_cellrestore.files.zarr.writing import write_zarr

        return write_zarr(path, stack, overwrite=overwrite, resume=resume, on_resume=on_resume)
    return write_tiff(path, stack, overwrite=overwrite)


def check_image(
    path: AnyPath, stack: ImageStack, *, overwrite: bool = False, resume: Mapping[str, Any] | None = None
) -> None:
    """Raise ValueError where :func:`write_image` would not begin; to be asked before what takes long is computed."""
    if _is_zarr_name(path):
        from napari_cellrestore.files.zarr.writing import check_zarr

        check_zarr(path, stack, overwrite=overwrite, resume=resume)
    else:
        check_tiff(path, stack, overwrite=overwrite)


def _is_zarr_name(path: AnyPath) -> bool:
    """Whether a name is that of an OME-Zarr; ValueError where it is not that of a TIFF either."""
    suffix = Path(path).suffix.lower()
    if suffix != SUFFIX and suffix not in TIFF_SUFFIXES:
        raise ValueError(
            f"{Path(path).name}: stacks are written as TIFF or OME-Zarr; give a name that ends in .ome.tif or .ome.zarr"
        )
    return suffix == SUFFIX


def _given_table(leds: LedTable | AnyPath) -> FoundTable:
    return FoundTable(leds) if isinstance(leds, LedTable) else read_table(_existing(leds)[0])


def _found_table(paths: Sequence[Path]) -> FoundTable | None:
    """Return the LED table beside or in what is opened."""
    return find_table(paths[0]) if len(paths) == 1 or paths[0].is_file() else None


def _common_folder(paths: Sequence[Path]) -> Path:
    if len(paths) == 1:
        return paths[0]
    return Path(os.path.commonpath([path.parent.absolute() for path in paths]))


def _existing(path_or_paths: AnyPath | Sequence[AnyPath]) -> list[Path]:
    given = [path_or_paths] if isinstance(path_or_paths, (str, PathLike)) else list(path_or_paths)
    paths = [Path(path) if Path(path).name else Path(path).resolve() for path in given]
    if not paths:
        raise ValueError("no path given: give a file, a folder or several files")
    for path in paths:
        if not path.exists():
            raise FileNotFoundError(f"{path.name}: there is no such file or folder in {path.parent}; check the path")
    return paths
