"""Planes of image files as a dask array: a plane is read when it is asked for, and its file closed again.

Nothing here holds an open file, so the array can be pickled and sent to other processes, and no file stays locked.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Protocol

import dask.array as da
import imagecodecs
import numpy as np
import numpy.typing as npt
import tifffile
from PIL import Image, UnidentifiedImageError

Array = npt.NDArray[Any]
Where = tuple[slice, ...]
Shape = tuple[int, ...]

#: A plane larger than this is read in parts, so that a look at a corner does not read all of it.
WHOLE_PLANE_BYTES = 64 * 2**20
#: Side of such a part in pixels; whole tiles or strips are taken.
PART_PX = 2048
#: First bytes of image files: TIFF and BigTIFF of either byte order, PNG, JPEG, BMP.
MAGIC = {
    **dict.fromkeys((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), "TIFF"),
    b"\x89PNG": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"BM": "BMP",
}


class FileError(ValueError):
    """A file that cannot be opened, said in one line: name, reason, what to do."""


class Plane(Protocol):
    """One plane of an image file."""

    @property
    def path(self) -> str:
        """File that holds the plane."""

    def read(self, where: Where) -> Array:
        """Return a part of the plane."""


@dataclass(frozen=True)
class TiffPlane:
    """A page of a TIFF file.

    Parameters
    ----------
    path : str
        The file.
    directory : int
        Position of the page's directory in the file.
    pixels : int or None
        Position of the pixels where they are stored plainly, one after the other.
    shape, dtype
        Of the page, in the byte order of the file.
    """

    path: str
    directory: int
    pixels: int | None
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def read(self, where: Where) -> Array:
        """Return a part of the page in the byte order of this machine."""
        if self.pixels is not None:
            stored = np.memmap(self.path, self.dtype, "r", self.pixels, self.shape)
            return np.array(stored[where], self.dtype.newbyteorder("="))
        with quiet_tifffile(), tifffile.TiffFile(self.path) as tif:
            tif.filehandle.seek(self.directory)
            page = tifffile.TiffPage(tif, 0)
            if all(w == slice(0, n) for w, n in zip(where, self.shape, strict=True)):
                return np.asarray(page.asarray()).reshape(self.shape)
            return decode_part(page, *where[_yx(page)]).reshape([w.stop - w.start for w in where])


@dataclass(frozen=True)
class PicturePlane:
    """A PNG, JPEG or BMP file."""

    path: str

    def read(self, where: Where) -> Array:
        """Return a part of the picture."""
        return self.decode()[where]

    def decode(self) -> Array:
        """Return the whole picture, palettes as colours. PNG not by Pillow, which makes 8 bits of 16-bit colours."""
        with Image.open(self.path) as image:
            if image.format != "PNG":
                return np.asarray(image.convert({"P": "RGB", "1": "L"}.get(image.mode)))
        return np.asarray(imagecodecs.png_decode(Path(self.path).read_bytes()))


def decode_part(page: tifffile.TiffPage, rows: slice, columns: slice) -> Array:
    """Return a part of a page as (separate samples, Y, X, samples); only the tiles or strips it touches are decoded."""
    height, width = segment_shape(page)
    separate, _, n_rows, n_columns, samples = page.shaped
    across, down = -(-n_columns // width), -(-n_rows // height)
    part = np.zeros((separate, rows.stop - rows.start, columns.stop - columns.start, samples), page.dtype)
    touched = product(
        range(separate),
        range(rows.start // height, -(-rows.stop // height)),
        range(columns.start // width, -(-columns.stop // width)),
    )
    for sample, tile_y, tile_x in touched:
        number = (sample * down + tile_y) * across + tile_x
        stored = _segment_bytes(page, number)
        pixels = page.decode(stored, number, jpegtables=page.jpegtables)[0] if stored else None
        if pixels is None:  # a tile that was never written is 0
            continue
        top, left = tile_y * height, tile_x * width
        y = slice(max(top, rows.start), min(top + height, rows.stop, n_rows))
        x = slice(max(left, columns.start), min(left + width, columns.stop, n_columns))
        part[sample, _moved(y, rows.start), _moved(x, columns.start)] = pixels[0, _moved(y, top), _moved(x, left)]
    return part


def _segment_bytes(page: tifffile.TiffPage, number: int) -> bytes:
    if not page.databytecounts[number]:
        return b""
    page.parent.filehandle.seek(page.dataoffsets[number])
    return bytes(page.parent.filehandle.read(page.databytecounts[number]))


def _moved(part: slice, by: int) -> slice:
    return slice(part.start - by, part.stop - by)


def _yx(page: tifffile.TiffPage) -> slice:
    """Return where Y and X are among the axes of a page."""
    return slice(page.axes.index("Y"), page.axes.index("Y") + 2)


def segment_shape(page: tifffile.TiffPage) -> tuple[int, int]:
    """Return rows and columns of a tile or strip, the least that can be decoded."""
    if page.is_tiled:
        return page.tilelength, page.tilewidth
    return min(page.rowsperstrip or page.imagelength, page.imagelength), page.imagewidth


def block_shape(page: tifffile.TiffPage, plain: bool) -> tuple[int, ...]:
    """Return the shape in which a page is read: whole where it is small, else parts of whole tiles or strips."""
    if page.nbytes <= WHOLE_PLANE_BYTES or page.axes not in ("YX", "YXS", "SYX"):
        return tuple(page.shape)
    height, width = (1, 1) if plain else segment_shape(page)
    columns = min(max(PART_PX // width, 1) * width, page.imagewidth)
    rows_that_fit = WHOLE_PLANE_BYTES * page.imagewidth * page.imagelength // (page.nbytes * columns)
    rows = min(max(min(PART_PX, rows_that_fit) // height, 1) * height, page.imagelength)
    yx = iter((rows, columns))
    return tuple(next(yx) if letter in "YX" else n for letter, n in zip(page.axes, page.shape, strict=True))


class Planes:
    """Planes that dask can take parts of: shape is ``lead`` (one plane for each of its positions) + a plane's."""

    def __init__(
        self, planes: Sequence[Plane], lead: tuple[int, ...], plane_shape: tuple[int, ...], dtype: Any
    ) -> None:
        self.planes = tuple(planes)
        self.lead = lead
        self.shape = (*lead, *plane_shape)
        self.ndim = len(self.shape)
        self.dtype = np.dtype(dtype)
        self.stamps = {path: stamp_of(path) for path in {plane.path for plane in self.planes}}

    def __dask_tokenize__(self) -> tuple[Any, ...]:
        return self.planes, self.lead, self.shape, str(self.dtype), sorted(self.stamps.items())

    def read(self, number: int, where: Where) -> Array:
        """Return a part of one plane; ValueError names file and plane where that fails."""
        plane = self.planes[number]
        name = Path(plane.path).name
        try:
            if stamp_of(plane.path) != self.stamps[plane.path]:
                raise FileError(f"{name}: the file has changed since it was opened; open it again")
            part = plane.read(where)
        except FileError:
            raise
        except FileNotFoundError:
            raise FileError(
                f"{name}: plane {number} cannot be read, the file is gone; put it back or open another"
            ) from None
        except Exception as error:  # a damaged file can make a decoder raise anything
            raise unreadable(name, error, f"plane {number} cannot be read, ") from None
        return part.astype(self.dtype, copy=False)


def stamp_of(path: str | Path) -> tuple[int, int]:
    """Return size and time of a file, which change when it does."""
    stat = Path(path).stat()
    return stat.st_size, stat.st_mtime_ns


def read_block(planes: Planes, where: Where, *_: Any) -> Array:
    """Return a block of the dask array of ``planes``; an own function, so that dask merges no slices into it."""
    n = len(planes.lead)
    numbers = np.arange(len(planes.planes)).reshape(planes.lead)[where[:n]]
    parts = [planes.read(int(number), where[n:]) for number in numbers.ravel()]
    return np.stack(parts).reshape(numbers.shape + parts[0].shape) if n else parts[0]


def lazy_array(planes: Planes, block: tuple[int, ...]) -> da.Array:
    """Return a dask array with one block for each plane, or for each part ``block`` of a large one."""
    chunks = (1,) * len(planes.lead) + block
    meta = np.empty((0,) * planes.ndim, planes.dtype)
    return da.from_array(planes, chunks=chunks, getitem=read_block, meta=meta, asarray=True)


def sniff(path: Path) -> str:
    """Return the kind of an image file, TIFF, PNG, JPEG or BMP, by its first bytes."""
    with path.open("rb") as file:
        start = file.read(64)
    for magic, kind in MAGIC.items():
        if start.startswith(magic):
            return kind
    if not start:
        raise FileError(f"{path.name}: the file is empty; copy it again")
    if start.startswith(b"version https://git-lfs"):
        raise FileError(f"{path.name}: it is a Git LFS pointer, not the image; get the image with 'git lfs pull'")
    raise FileError(f"{path.name}: it is no TIFF, PNG, JPEG or BMP file; save it anew as TIFF")


# --- errors ------------------------------------------------------------------------------------------------


def unreadable(name: str, error: Exception, where: str = "") -> FileError:
    """Return the one line for whatever a library raised; texts meant for users are kept, others replaced."""
    if isinstance(error, FileError):
        return error
    if isinstance(error, OSError) and error.strerror:
        reason = error.strerror.lower()
    elif isinstance(error, (OSError, RuntimeError, ValueError, tifffile.TiffFileError)) and str(error):
        reason = " ".join(str(error).split())[:120].rstrip(".")
    else:
        reason = "its structure is damaged"
    if isinstance(error, UnidentifiedImageError):
        reason = "its header is damaged"
    return FileError(
        f"{name}: {where}{reason}; copy it again from where it was made, or save it anew as uncompressed TIFF there"
    )


@contextmanager
def file_errors(name: str) -> Iterator[None]:
    """Turn whatever goes wrong while a file is opened into a one-line ValueError that names it."""
    try:
        yield
    except Exception as error:  # a damaged file can make a reader raise anything
        raise unreadable(name, error) from None


@contextmanager
def quiet_tifffile() -> Iterator[None]:
    """Keep what tifffile logs about a damaged file off the terminal: our errors and notes say it."""
    silence: Callable[[logging.LogRecord], bool] = lambda record: False  # noqa: E731
    logger = logging.getLogger("tifffile")
    logger.addFilter(silence)
    try:
        yield
    finally:
        logger.removeFilter(silence)
