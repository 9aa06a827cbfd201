"""Images as they are paired: one plane without alpha, its pixel size, and what is compared of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_cellrestore.files import image_suffixes, open_stack
from napari_cellrestore.files.places import check_folder
from napari_cellrestore.rescan import Similarity, resample
from napari_cellrestore.rescan.looks import spread
from napari_cellrestore.stack import ImageStack

Array = np.ndarray
Levels = npt.NDArray[np.float32]

#: Smaller images have too few points in common with anything.
SMALLEST_PX = 32
#: Share of red, green and blue in luminance (ITU-R BT.709).
LUMINANCE = (0.2125, 0.7154, 0.0721)


@dataclass(frozen=True, eq=False)
class Plane:
    """One image.

    Attributes
    ----------
    name : str
        For messages.
    pixels : (Y, X) or (Y, X, 3) array
        As recorded; alpha is left out.
    pixel_um : float or None
        None where it is not known.
    source, provenance
        Where the pixels are from.
    """

    name: str
    pixels: Array
    pixel_um: float | None = None
    source: str | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def grey(self) -> bool:
        """Whether it has no colours: one channel, or three that are the same and show something."""
        if self.pixels.ndim == 2:
            return True
        return bool((self.pixels == self.pixels[..., :1]).all() and np.ptp(self.pixels) > 0)

    @property
    def yx_shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return int(self.pixels.shape[0]), int(self.pixels.shape[1])

    def look(self) -> Levels:
        """Return what is compared: luminance, or the grey levels, nearly all of them from 0 to 1."""
        levels = self.pixels.astype(np.float32)
        return spread(levels if levels.ndim == 2 else levels @ np.asarray(LUMINANCE, np.float32))


def plane_of(image: npt.ArrayLike | ImageStack, name: str, pixel_um: float | None = None) -> Plane:
    """Return an image of one plane; ValueError or TypeError where it is none that can be paired.

    Parameters
    ----------
    image : (Y, X), (Y, X, 3) or (Y, X, 4) array, or ImageStack of one plane
    name : str
        For messages.
    pixel_um : float, optional
        Pixel size; that of the stack if not given.

    Examples
    --------
    >>> plane = plane_of(np.zeros((64, 48, 4), np.uint8), "cells", 0.1)
    >>> plane.pixels.shape, plane.grey, plane.pixel_um
    ((64, 48, 3), False, 0.1)
    """
    stack = image if isinstance(image, ImageStack) else _stack(np.asarray(image), name)
    for letter in [letter for letter in stack.plane_axes if stack.size(letter) == 1]:
        stack = stack.select(letter, 0)
    if stack.plane_axes:
        held = ", ".join(f"{letter} {stack.size(letter)}" for letter in stack.plane_axes)
        raise ValueError(f"{name}: it holds several planes ({held}), one is paired with one; select a plane")
    pixels = _computed(stack.data)
    if pixels.dtype.kind not in "uif":
        raise TypeError(f"{name}: pixels are {pixels.dtype}; give grey levels, integer or float")
    if min(pixels.shape[:2]) < SMALLEST_PX:
        raise ValueError(f"{name}: it has {pixels.shape[0]} x {pixels.shape[1]} px; give {SMALLEST_PX} a side or more")
    if not np.isfinite(pixels).all():
        raise ValueError(f"{name}: it has pixels that are not finite (NaN or infinite); mend it or leave it out")
    pixels = pixels[..., :3] if stack.rgb else pixels
    return Plane(name, pixels, _pixel_um(stack, name, pixel_um), stack.source, dict(stack.provenance))


def _stack(pixels: Array, name: str) -> ImageStack:
    colours = pixels.ndim == 3 and pixels.shape[-1] in (3, 4)
    if not (colours or pixels.ndim == 2) or 0 in pixels.shape:
        raise ValueError(f"{name}: it has shape {pixels.shape}; give one plane (Y, X), RGB (Y, X, 3) or RGBA (Y, X, 4)")
    return ImageStack(pixels, "YXS" if colours else "YX")


def _computed(data: Any) -> Array:
    # in this thread: dask's own would take all cores
    return data if isinstance(data, np.ndarray) else np.asarray(data.compute(scheduler="synchronous"))


def _pixel_um(stack: ImageStack, name: str, given: float | None) -> float | None:
    if given is not None:
        check_pixel_um(given, name)
        return float(given)
    if stack.pixel_yx_um is None:
        return None
    height, width = stack.pixel_yx_um
    if abs(height / width - 1) > 1e-3:
        raise ValueError(f"{name}: pixels of {height:g} x {width:g} um; give images of square ones, or their size")
    return width


def check_pixel_um(pixel_um: float | None, which: str) -> None:
    """Raise ValueError unless a pixel size is None or a positive number of micrometres."""
    if pixel_um is not None and not (np.isfinite(pixel_um) and pixel_um > 0):
        raise ValueError(f"{which}: pixel size {pixel_um}; give a positive number of micrometres, or none if not known")


def read_plane(path: Path, pixel_um: float | None = None) -> Plane:
    """Read an image file of one plane; errors are one line that begins with its name."""
    return plane_of(open_stack(path), path.name, pixel_um)


def images_in(folder: str | Path) -> list[Path]:
    """Return the image files of a folder by name; ValueError where there are none or two share a name."""
    home = Path(folder)
    check_folder(home)
    files = sorted(path for path in home.iterdir() if path.is_file() and not path.name.startswith("."))
    found = [path for path in files if path.suffix.lower() in image_suffixes()]
    if not found:
        others = f"; {files[0].name} is none" if files else ""
        raise ValueError(f"{home}: no images in it, they end in {', '.join(image_suffixes())}{others}")
    for path, other in _of_one_name(found):
        raise ValueError(f"{path.name} and {other.name} in {home} have one name: rename or remove one")
    return found


def _of_one_name(paths: list[Path]) -> Iterator[tuple[Path, Path]]:
    seen: dict[str, Path] = {}
    for path in paths:
        name = stem(path).casefold()
        if name in seen:
            yield seen[name], path
        seen[name] = path


def stem(path: Path) -> str:
    """Return the name of an image without its suffix."""
    return path.stem.removesuffix(".ome")


def reduced(levels: npt.ArrayLike, factor: float) -> Levels:
    """Return levels on pixels ``factor`` times as large, blurred first; the centre of the first pixel stays.

    Examples
    --------
    >>> reduced(np.arange(9.0) * np.ones((9, 1)), 4.0)[1].round(3).tolist()[1]
    4.0
    """
    pixels = np.asarray(levels, np.float32)
    if factor < 1.02:
        return pixels
    rows, columns = (max(int((n - 1) / factor) + 1, 1) for n in pixels.shape[:2])
    return resample(pixels, 1.0, Similarity(), factor, (rows, columns))
