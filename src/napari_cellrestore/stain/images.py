"""Images of stained smears, one after another, in grey levels from 0 to 255 whatever their type; and back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from napari_cellrestore.files import image_suffixes, open_stack
from napari_cellrestore.files.places import check_folder
from napari_cellrestore.stack import ImageStack

Array = np.ndarray
Image: TypeAlias = Array | ImageStack | str | PathLike[str]
#: A folder, one image, or any number of them: arrays, stacks of one plane, files.
Images: TypeAlias = Image | Iterable[Image]
Range: TypeAlias = tuple[float, float]

#: Full scale in which colours are compared, fitted and mapped.
FULL = 255.0


def named_images(images: Images) -> Iterator[tuple[str, Array]]:
    """Yield name and pixels of one image after another; a file is read when it is its turn."""
    number = 0
    for number, image in enumerate(_listed(images), 1):
        yield _pixels(image, number)
    if not number:
        raise ValueError("no images: give a folder with images, files or arrays (Y, X, 3)")


def image_files(folder: str | PathLike[str]) -> list[Path]:
    """Return the image files of a folder in the order of their names; ValueError where there are none."""
    check_folder(folder)
    home = Path(folder)
    files = sorted(path for path in home.iterdir() if path.is_file() and not path.name.startswith("."))
    found = [path for path in files if path.suffix.lower() in image_suffixes()]
    if not found:
        raise ValueError(f"{folder}: no images in it; they end in {', '.join(image_suffixes())}")
    return found


def levels(pixels: Any, intensity: Range | None = None, name: str = "image") -> Array:
    """Return colours (Y, X, 3) as float32 from 0, black, to 255, full scale; alpha is left out.

    Parameters
    ----------
    pixels : (Y, X, 3) or (Y, X, 4) array
    intensity : (float, float), optional
        Grey levels of black and full scale; known of 8 bit, of other types it must be given.
    name : str
        Of the image, for errors.

    Raises
    ------
    ValueError, TypeError
        Grey images, types or ranges that are not known, pixels that are not finite.
    """
    low, high = grey_levels(pixels, intensity, name)
    colours = np.asarray(pixels)[..., :3]
    check_finite(colours, name)
    return np.asarray((colours.astype(np.float32) - np.float32(low)) * np.float32(FULL / (high - low)))


def check_finite(colours: Array, name: str = "image") -> None:
    """Raise ValueError where pixels are NaN or infinite."""
    if colours.dtype.kind == "f" and not np.isfinite(colours).all():
        raise ValueError(f"{name} has pixels that are not finite (NaN or infinite): replace them or cut them off")


def grey_levels(pixels: Any, intensity: Range | None, name: str = "image") -> Range:
    """Return the grey levels of black and full scale of colours; ValueError where they are none or it is not known."""
    array = np.asarray(pixels)
    if array.ndim != 3 or array.shape[-1] not in (3, 4):
        raise ValueError(f"{name} has shape {array.shape}: stains are told apart by colour; give (Y, X, 3), red first")
    if array.dtype.kind not in "iuf":
        raise TypeError(f"{name} is {array.dtype}: grey levels must be integers or floating point")
    if not array.size:
        raise ValueError(f"{name} has shape {array.shape}: it has no pixels")
    if intensity is None:
        if array.dtype != np.uint8:
            raise ValueError(
                f"{name} is {array.dtype}, whose full scale is not known: give the intensity of black and of full scale, "
                f"such as 0 and {65535 if array.dtype.kind in 'iu' else 1}"
            )
        return 0.0, FULL
    low, high = (float(level) for level in intensity)
    if not (np.isfinite([low, high]).all() and low < high):
        raise ValueError(f"intensity is {intensity}: give (black, full scale), two numbers, the first lower")
    if array.dtype.kind in "iu" and not (np.iinfo(array.dtype).min <= low and high <= np.iinfo(array.dtype).max):
        info = np.iinfo(array.dtype)
        raise ValueError(
            f"intensity is {intensity} and {name} is {array.dtype}, which holds {info.min} to {info.max}: give grey levels that "
            "it can have"
        )
    return low, high


def with_target_range(
    source: Images, target: Images, intensity: Range | None, target_intensity: Range | None
) -> tuple[Images, Images, Range | None]:
    """Return both sets of images, and the grey levels of the target's.

    Those of the source are taken where none are given and the first images of both are of one type: what is full scale of
    16 bit is nothing that 8 bit can hold.
    """
    if intensity is None or target_intensity is not None:
        return source, target, target_intensity
    (ours, source), (theirs, target) = (_first_type(images) for images in (source, target))
    return source, target, intensity if ours == theirs else None


def _first_type(images: Images) -> tuple[np.dtype[Any] | None, Images]:
    """Return the type of the first image, None where there is none, and all images, of which an iterator lost none."""
    listed = iter(_listed(images))
    try:
        first = next(listed)
    except StopIteration:
        return None, []
    return _pixels(first, 1)[1].dtype, chain([first], listed)


def as_given(colours: Array, pixels: Any) -> Array:
    """Return grey levels (Y, X, 3) of an image's own scale in its type, with its alpha."""
    given = np.asarray(pixels)
    result = rounded(colours, given.dtype).astype(given.dtype)
    return with_alpha(result, given)


def rounded(colours: Array, dtype: Any) -> Array:
    """Return grey levels rounded and clipped to the range of an integer type, overwritten where float32 can hold it."""
    if np.dtype(dtype).kind not in "iu":
        return colours
    info = np.iinfo(dtype)
    wide = colours if info.bits <= 16 else colours.astype(np.float64)
    return np.asarray(np.clip(np.rint(wide, out=wide), info.min, info.max, out=wide))


def with_alpha(colours: Array, given: Array) -> Array:
    """Return colours with the alpha of an image beside them, where it has one."""
    return np.concatenate([colours, given[..., 3:]], axis=-1) if given.shape[-1] == 4 else colours


def _listed(images: Images) -> Iterable[Image]:
    """Return single images and folders as several."""
    if isinstance(images, str | PathLike):
        return image_files(images) if Path(images).is_dir() or not Path(images).exists() else [images]
    if isinstance(images, ImageStack) or (isinstance(images, np.ndarray) and images.ndim < 4):
        return [images]
    return images


def _pixels(image: Image, number: int) -> tuple[str, Array]:
    if isinstance(image, str | PathLike):
        return str(image), _plane(open_stack(image), str(image))
    if isinstance(image, ImageStack):
        return image.source or f"image {number}", _plane(image, image.source or f"image {number}")
    return f"image {number}", np.asarray(image)


def _plane(stack: ImageStack, name: str) -> Array:
    """Return the pixels of a stack of one plane."""
    if stack.n_planes != 1:
        raise ValueError(
            f"{name} has the axes {stack.axes} with {stack.n_planes} planes: give one plane, of colour samples"
        )
    data = stack.data.reshape(stack.data.shape[len(stack.plane_axes) :])
    return np.asarray(data)
