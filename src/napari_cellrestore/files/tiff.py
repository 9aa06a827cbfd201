"""TIFF files of microscopes: plain, ImageJ, OME, RGB, tiled, compressed, pyramids."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import dask.array as da
import numpy as np
import tifffile
from tifffile import COMPRESSION, EXTRASAMPLE, PHOTOMETRIC

from napari_cellrestore.files.assemble import assemble
from napari_cellrestore.files.calibration import Calibration, ome_root, read_calibration
from napari_cellrestore.files.planes import (
    WHOLE_PLANE_BYTES,
    FileError,
    Planes,
    Shape,
    TiffPlane,
    block_shape,
    file_errors,
    lazy_array,
    quiet_tifffile,
)
from napari_cellrestore.leds import LedTable
from napari_cellrestore.stack import AXES, ImageStack

#: Bytes that one stored byte can become at most; codecs not listed code a blank image almost for nothing.
LARGEST_RATIO: dict[int, int] = {
    COMPRESSION.NONE: 1,
    COMPRESSION.PACKBITS: 64,
    COMPRESSION.LZW: 1400,
    COMPRESSION.ADOBE_DEFLATE: 1032,
    COMPRESSION.DEFLATE: 1032,
}
#: Names of the samples of colours that are not red, green, blue.
SAMPLES: dict[int, tuple[str, ...]] = {
    PHOTOMETRIC.SEPARATED: ("cyan", "magenta", "yellow", "black"),
    PHOTOMETRIC.CIELAB: ("L*", "a*", "b*"),
    PHOTOMETRIC.ICCLAB: ("L*", "a*", "b*"),
    PHOTOMETRIC.ITULAB: ("L*", "a*", "b*"),
    PHOTOMETRIC.YCBCR: ("Y", "Cb", "Cr"),
}
#: More planes than this are not believed without looking for them (OME-XML can declare any number).
MOST_PLANES = 10_000_000
ALPHA_NOTE = "the 4th colour sample is alpha (opacity), not a colour"


class Opened(NamedTuple):
    """What a TIFF holds: planes as they are stored, the axes of their array, and what was decided."""

    planes: list[TiffPlane]
    block: Shape
    shape: Shape
    letters: str
    channels: Sequence[str]
    notes: list[str]
    calibration: Calibration


def open_tiff(path: Path, *, axes: str | None = None, lit: bool = False, decode: bool = True) -> ImageStack:
    """Open the first image of a TIFF file. Reads the directories and, to see that it decodes, the first block.

    Parameters
    ----------
    path : Path
        The file.
    axes : str, optional
        What the axes are, if not what the file says.
    lit : bool
        The leading axis holds LEDs.
    decode : bool
        Decode the first block, as one of several files that are opened does for all.
    """
    with file_errors(path.name):
        opened = read_directories(path)
        data = first_block_decodes(lazily(opened)) if decode else lazily(opened)
        saved = opened.calibration.saved
        leds = _stated_leds(path, opened.calibration) if axes is None and not lit else None
        return assemble(
            path,
            data,
            opened.letters,
            opened.calibration,
            axes=axes,
            lit=lit or (leds is not None and "A" not in opened.letters),
            channels=opened.channels,
            notes=opened.notes,
            leds=leds,
            provenance=saved.get("provenance", {}),
        )


def _stated_leds(path: Path, calibration: Calibration) -> LedTable | None:
    """Return the LED table that a file states: as this project writes it, or by annotations of its planes."""
    try:
        if calibration.saved.get("leds"):
            return LedTable(**calibration.saved["leds"])
        return LedTable.of_rows(calibration.led_rows, "LEDs of its OME-XML") if calibration.led_rows else None
    except (ValueError, TypeError) as error:
        raise FileError(f"{path.name}: {error}; correct them, or name the axes to open it without") from None


def read_directories(path: Path, **flags: Any) -> Opened:
    """Return what the first image of a file holds, from its directories alone."""
    with quiet_tifffile(), tifffile.TiffFile(path, **flags) as tif:
        if not len(tif.pages):
            raise FileError(f"{path.name}: the file has no image, its first directory is not there; copy it again")
        _believable_ome(path, tif)
        series, notes = _first_series(tif)
        page = series.keyframe
        if page.dtype is None or page.dtype.kind not in "biuf":
            kind = page.dtype or f"{page.bitspersample} bits"
            raise FileError(f"{path.name}: its pixels ({kind}) are no real numbers; save it anew as integers or float")
        planes = _planes(path, series)
        calibration = read_calibration(tif, series.kind)
        shape, letters, channels, meant = _meaning(series, calibration.saved)
        return Opened(
            planes,
            block_shape(page, planes[0].pixels is not None),
            shape,
            letters,
            channels,
            notes + meant,
            calibration,
        )


def lazily(opened: Opened) -> da.Array:
    """Return the planes as a dask array of the stored shape."""
    page, shape = opened.planes[0].shape, opened.shape
    fits = shape[len(shape) - len(page) :] == page
    lead = shape[: len(shape) - len(page)] if fits else (len(opened.planes),)
    dtype = opened.planes[0].dtype.newbyteorder("=")
    data = lazy_array(Planes(opened.planes, lead, page, dtype), opened.block)
    return data if fits else data.reshape(shape)


def first_block_decodes(data: da.Array) -> da.Array:
    """Return ``data`` after computing its first block, so that a damaged file fails when it is opened."""
    data.blocks[(0,) * data.ndim].compute(scheduler="synchronous")
    return data


# --- which image, which planes -----------------------------------------------------------------------------


def _believable_ome(path: Path, tif: tifffile.TiffFile) -> None:
    root = ome_root(tif.pages.first.description) if tif.is_ome else None
    for pixels in root.findall("{*}Image/{*}Pixels") if root is not None else ():
        sizes = [pixels.get(f"Size{axis}", "1") for axis in "ZCT"]
        if not all(size.isdecimal() for size in sizes) or np.prod([float(size) for size in sizes]) > MOST_PLANES:
            raise FileError(f"{path.name}: its OME-XML declares {' x '.join(sizes)} planes; save it anew")


def _first_series(tif: tifffile.TiffFile) -> tuple[tifffile.TiffPageSeries, list[str]]:
    """Return the first image of a file, and notes on what else the file has or should have."""
    series, notes = tif.series[0], []
    if len(tif.series) > 1:
        name = f" ({series.name})" if series.name else ""
        notes.append(f"the file holds {len(tif.series)} images: the first{name} was taken")
    declared = (tif.imagej_metadata or {}).get("images", 1)
    held = _n_planes(series)
    if declared > held:
        notes.append(f"its description declares {declared} planes, but the file holds {held}: it may have been cut off")
    return series, notes


def _n_planes(series: tifffile.TiffPageSeries) -> int:
    return int(np.prod(series.shape, dtype=float) // max(np.prod(series.keyframe.shape, dtype=float), 1))


def _planes(path: Path, series: tifffile.TiffPageSeries) -> list[TiffPlane]:
    """Return the planes of a series after checking that each one can be in its file."""
    page = series.keyframe
    if (n := _n_planes(series)) > len(series):
        return _planes_in_a_row(path, page, n)
    planes = []
    size: dict[str, int] = {}
    for number, frame in enumerate(series):
        if frame is None:
            raise FileError(
                f"{path.name}: plane {number} of {len(series)} is in none of its files; put the set into one folder"
            )
        file = frame.parent.filehandle.path if series.is_multifile else str(path)
        size.setdefault(file, Path(file).stat().st_size)
        page = frame.keyframe or page
        _check_stored(Path(file).name, number, frame, page, size[file])
        plain = page.is_final and _span(frame) == _span(page)
        dtype = series.dtype.newbyteorder(frame.parent.byteorder)
        planes.append(TiffPlane(file, frame.offset, frame.dataoffsets[0] if plain else None, page.shape, dtype))
    return planes


def _planes_in_a_row(path: Path, page: tifffile.TiffPage, n: int) -> list[TiffPlane]:
    """Return ``n`` planes that follow one another in the file behind one directory, as ImageJ writes large stacks."""
    there = (path.stat().st_size - page.dataoffsets[0]) // page.nbytes if page.is_final else 1
    if n > there:
        raise FileError(f"{path.name}: it declares {n} planes but holds {there}; it was cut off, copy it again")
    dtype = np.dtype(page.dtype).newbyteorder(page.parent.byteorder)
    starts = [page.dataoffsets[0] + i * page.nbytes for i in range(n)]
    return [TiffPlane(str(path), page.offset, start, page.shape, dtype) for start in starts]


def _span(frame: Any) -> int:
    return int(frame.dataoffsets[-1] - frame.dataoffsets[0])


def _check_stored(name: str, number: int, frame: Any, page: tifffile.TiffPage, size: int) -> None:
    """Raise where a plane ends beyond the file or is larger than its stored bytes can become."""
    stored, least = sum(frame.databytecounts), _least_bytes(page)
    end = max((o + n for o, n in zip(frame.dataoffsets, frame.databytecounts, strict=False)), default=0)
    if page.is_contiguous:
        end, stored = frame.dataoffsets[0] + page.nbytes, page.nbytes
    elif page.compression == COMPRESSION.NONE and stored <= 2 * least:
        end -= max(stored - int(least), 0)  # some programs count the last strip as long as the others
    if not stored:
        raise FileError(f"{name}: plane {number} has no pixels; its writing was broken off, make the file again")
    if end > size:
        raise FileError(f"{name}: plane {number} ends at byte {end} of a file of {size}; it was cut off, copy it again")
    if least > stored:
        shape = " x ".join(map(str, page.shape))
        raise FileError(f"{name}: {stored} bytes cannot hold {shape} {page.dtype}; the file is damaged, copy it again")


def _least_bytes(page: tifffile.TiffPage) -> float:
    """Return how many bytes a page must have stored at least; small ones are left to the decoder."""
    bits = page.bitspersample
    if page.compression == COMPRESSION.NONE and not page.is_subsampled:
        return page.imagelength * -(-page.imagewidth * (bits * page.samplesperpixel) // 8)
    decoded = page.nbytes
    if page.is_tiled:
        decoded = max(decoded, page.tilelength * page.tilewidth * np.dtype(page.dtype).itemsize)
    return decoded / LARGEST_RATIO.get(page.compression, 20_000) if decoded > WHOLE_PLANE_BYTES else 0


# --- what the axes mean ------------------------------------------------------------------------------------


def _meaning(series: tifffile.TiffPageSeries, saved: dict[str, Any]) -> tuple[Shape, str, Sequence[str], list[str]]:
    """Return shape, letters, names of channels and notes of a series."""
    page = series.keyframe
    shape = tuple(saved.get("shape", ()))
    if shape and np.prod(shape, dtype=float) == np.prod(series.shape, dtype=float):
        return shape, str(saved["axes"]), (), []
    letters = _letters(series)
    notes: list[str] = []
    channels: Sequence[str] = ()
    samples = page.axes.index("S") - len(page.axes) if "S" in page.axes else None
    if samples is not None:
        letters, channels, notes = _colours(page, letters, len(letters) + samples)
    if page.photometric == PHOTOMETRIC.MINISWHITE:
        notes.append("0 is white in this file: its values are kept, so that it shows as a negative")
    if page.photometric == PHOTOMETRIC.PALETTE:
        notes.append("the colour table of the file is left out: its indices are taken as grey levels")
    return series.shape, letters, channels, notes


def _letters(series: tifffile.TiffPageSeries) -> str:
    """Return the axes that a series states, ``?`` for those of no or another meaning."""
    stated = "".join(letter if letter in "TCZYXSAP" else "?" for letter in series.axes)
    known = stated.replace("?", "")
    if len(set(known)) < len(known) or not {"Y", "X"} <= set(known):
        page = series.keyframe.axes
        return "?" * (len(stated) - len(page)) + page
    return stated


def _colours(page: tifffile.TiffPage, letters: str, where: int) -> tuple[str, Sequence[str], list[str]]:
    """Return letters, channel names and notes for the samples of a pixel, stored along axis ``where``."""
    n = page.samplesperpixel
    rgb = n in (3, 4) and _decodes_to_rgb(page)
    if (meant := letters[where]) != "S":
        stored = f"{n} colour samples" if rgb else f"{n} samples a pixel"
        user = letters.replace(meant, "S" if rgb else "C")
        note = (
            f"{stored} are {AXES[meant]} ({meant}) by the file's own description; change it by naming the axes {user!r}"
        )
        return letters, (), [note]
    if rgb:
        return letters, (), [ALPHA_NOTE] if n == 4 else []
    if _is_grey_and_alpha(page):
        return letters, (), []
    letter = "C" if "C" not in letters else "?"
    kind = getattr(page.photometric, "name", page.photometric)
    note = f"{n} samples a pixel that are not RGB ({kind}) were taken as channels (C); change it by naming the axes"
    return letters[:where] + letter + letters[where + 1 :], SAMPLES.get(page.photometric, ()), [note]


def _is_grey_and_alpha(page: tifffile.TiffPage) -> bool:
    """Whether the second of two samples is the opacity, as the file says."""
    grey = page.photometric in (PHOTOMETRIC.MINISBLACK, PHOTOMETRIC.MINISWHITE)
    alpha = (EXTRASAMPLE.ASSOCALPHA,), (EXTRASAMPLE.UNASSALPHA,)
    return grey and page.samplesperpixel == 2 and tuple(page.extrasamples) in alpha


def _decodes_to_rgb(page: tifffile.TiffPage) -> bool:
    """Whether samples are red, green, blue when decoded: JPEG and WebP turn YCbCr into RGB."""
    jpeg = page.compression in (COMPRESSION.JPEG, COMPRESSION.OJPEG, COMPRESSION.WEBP, COMPRESSION.ALT_JPEG)
    return page.photometric == PHOTOMETRIC.RGB or (page.photometric == PHOTOMETRIC.YCBCR and jpeg)
