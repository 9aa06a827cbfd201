"""OME-Zarr images as stacks, lazily."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import dask.array as da
import numpy as np
import zarr

from napari_cellrestore.files.assemble import assemble, stack_order
from napari_cellrestore.files.calibration import Calibration
from napari_cellrestore.files.planes import Array, FileError, Shape, Where, file_errors, stamp_of, unreadable
from napari_cellrestore.files.tiff import ALPHA_NOTE, first_block_decodes
from napari_cellrestore.files.zarr.axes import AXES, stored_order
from napari_cellrestore.files.zarr.colours import Window, meaning, windows
from napari_cellrestore.files.zarr.image import OmeImage, calibration_of, read_image
from napari_cellrestore.leds import LedTable
from napari_cellrestore.stack import ImageStack

#: Side in pixels up to which small tiles are read together.
READ_PX = 1024


class Levels(NamedTuple):
    """The smaller copies of an image, and the grey levels that each channel is shown from and to."""

    smaller: Sequence[da.Array]
    windows: Sequence[Window | None]


def open_zarr(path: Path, *, axes: str | None = None, lit: bool = False) -> ImageStack:
    """Open the finest level of an OME-Zarr image. Reads its metadata and, to see that it decodes, the first tiles.

    Parameters
    ----------
    path : Path
        Folder of the image; of a plate that of one field.
    axes : str, optional
        What the axes are, if not what the folder says.
    lit : bool
        The leading axis holds LEDs.
    """
    with file_errors(path.name):
        return _stack(path, read_image(path), axes=axes, lit=lit)


def open_levels(path: Path) -> Levels:
    """Open what an OME-Zarr image has for viewers; the axes of its copies are in the order of those of its stack."""
    with file_errors(path.name):
        image = read_image(path)
        meant = _meant(image)
        order = stack_order(meant.letters)
        smaller = [_in_order(path, level, meant).transpose(order) for level in image.levels[1:]]
        return Levels(smaller, windows(image.omero))


def tile_files(path: Path) -> list[Path]:
    """Return the files of the finest level of an image: with its metadata, all that its pixels are in."""
    with file_errors(path.name):
        level = path / read_image(path).levels[0].path
        return sorted(Path(folder, name) for folder, _, names in os.walk(level) for name in names)


def _stack(path: Path, image: OmeImage, *, axes: str | None = None, lit: bool = False) -> ImageStack:
    meant = _meant(image)
    stack = assemble(
        path,
        first_block_decodes(_in_order(path, image.levels[0], meant)),
        meant.letters,
        _calibration(image),
        axes=axes,
        lit=lit,
        channels=meant.channels,
        notes=[*image.notes, *meant.notes, *_missing(path, image)],
        leds=_leds(path, image) if axes is None and not lit else None,
        provenance=dict(image.saved.get("provenance") or {}),
    )
    notes = dict.fromkeys((*stack.notes, *image.saved.get("notes", ())))
    return stack.replace(data=_colours_together(da.asarray(stack.data), stack.axes), notes=tuple(notes))


def _colours_together(data: da.Array, axes: str) -> da.Array:
    """Return the array with all colours of a pixel in one block, also where the user says that channels are colours."""
    return data.rechunk({-1: -1}) if axes.endswith("S") else data


def _calibration(image: OmeImage) -> Calibration:
    """Return the lengths, positions along Z exactly as they were written where this project wrote them."""
    calibration, z_um = calibration_of(image), image.saved.get("z_um")
    return replace(calibration, z_um=z_um) if z_um else calibration


def _leds(path: Path, image: OmeImage) -> LedTable | None:
    try:
        return LedTable(**image.saved["leds"]) if image.saved.get("leds") else None
    except (ValueError, TypeError) as error:
        raise FileError(f"{path.name}: {error}; correct them, or name the axes to open it without") from None


# --- what the axes mean ------------------------------------------------------------------------------------


class _Meant(NamedTuple):
    """Stored axes in the order that is wanted, what they mean, and what was decided of them."""

    order: Sequence[int]
    letters: str
    channels: Sequence[str]
    notes: Sequence[str]


def _meant(image: OmeImage) -> _Meant:
    shape, letters = image.levels[0].shape, image.letters
    saved = str(image.saved.get("axes", ""))
    if len(saved) == len(shape) and set(saved) <= set(AXES):
        order = [stored_order(saved).index(i) for i in range(len(saved))]
        if list(image.saved.get("shape", ())) == [shape[i] for i in order]:
            return _Meant(order, saved, image.saved.get("channels") or (), ())
    if "C" not in letters:
        return _Meant(range(len(letters)), letters, (), ())
    where = letters.index("C")
    meaning_of, channels, note = meaning(image.omero, shape[where])
    letters = letters[:where] + meaning_of + letters[where + 1 :]
    alpha = [ALPHA_NOTE] if meaning_of == "S" and shape[where] == 4 else []
    return _Meant(range(len(letters)), letters, channels, [*([note] if note else []), *alpha])


def _missing(path: Path, image: OmeImage) -> list[str]:
    """Return a note where tiles are not there, which the standard allows; ours are all written."""
    level = image.levels[0]
    if not (missing := level.nchunks - level.nchunks_initialized):
        return []
    if image.saved:
        raise FileError(f"{path.name}: {missing} of its {level.nchunks} tiles are not there; copy the folder again")
    return [f"{missing} of {level.nchunks} tiles are not in the folder and read as {level.fill_value}"]


# --- pixels ------------------------------------------------------------------------------------------------


class Pixels:
    """An array that dask can take parts of. It holds no open file, so that it can be sent to other processes."""

    def __init__(self, path: Path, array: zarr.Array[Any]) -> None:
        self.name = path.name
        self.array = array
        self.shape, self.ndim = array.shape, array.ndim
        self.dtype = array.dtype.newbyteorder("=")
        self.described = path / array.path / ("zarr.json" if array.metadata.zarr_format == 3 else ".zarray")
        self.stamp = stamp_of(self.described)

    def __dask_tokenize__(self) -> tuple[Any, ...]:
        return str(self.described.absolute()), self.shape, str(self.dtype), self.stamp

    def read(self, where: Where) -> Array:
        """Return a part; ValueError names file and place where that fails."""
        try:
            if stamp_of(self.described) != self.stamp:
                raise FileError(f"{self.name}: the image has changed since it was opened; open it again")
            return np.asarray(self.array[where]).astype(self.dtype, copy=False)
        except FileNotFoundError:
            raise FileError(f"{self.name}: the image is gone; put it back or open another") from None
        except Exception as error:  # a damaged tile can make a decoder raise anything
            place = ", ".join(str(part.start) for part in where)
            raise unreadable(self.name, error, f"the tile at ({place}) cannot be read, ") from None


def read_block(pixels: Pixels, where: Where, *_: Any) -> Array:
    """Return a block of the dask array; an own function, so that dask merges no slices into it."""
    return pixels.read(where)


def _in_order(path: Path, array: zarr.Array[Any], meant: _Meant) -> da.Array:
    """Return an array lazily, its axes in the order that is meant."""
    stored = "".join(meant.letters[list(meant.order).index(i)] for i in range(array.ndim))
    pixels = Pixels(path, array)
    data = da.from_array(
        pixels,
        chunks=_read_shape(array, stored),
        getitem=read_block,
        meta=np.empty((0,) * array.ndim, pixels.dtype),
        asarray=True,
    )
    return data.transpose(list(meant.order))


def _read_shape(array: zarr.Array[Any], stored: str) -> Shape:
    """Return in what shape an array is read: whole tiles, small ones together."""
    shape = []
    for letter, n, tile in zip(stored, array.shape, array.chunks, strict=True):
        tiles = max(READ_PX // tile, 1) if letter in "YX" else -(-n // tile) if letter == "S" else 1
        shape.append(min(tile * tiles, n))
    return tuple(shape)
