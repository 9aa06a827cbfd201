"""What came in: refusals, and doubts about what was recovered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_cellrestore.psf import aliasing
from napari_cellrestore.recover.recovery import PsfRecovery
from napari_cellrestore.recover.shift import shift_warning
from napari_cellrestore.recover.spectra import WINDOWS
from napari_cellrestore.stack import ImageStack

Array = np.ndarray
Image = npt.ArrayLike | ImageStack
Images = Image | Sequence[Image]
Pair = tuple[Array, Array]

METHODS = ("radial", "fourier")
#: Part of the pixels at the largest value from which an image counts as saturated.
SATURATED = 0.01
#: Part of the pixels at the largest value of an integer type from which an image is refused.
HOPELESS = 0.25
#: Shortest side of an image, px.
SMALLEST = 16
#: Radii that the sharp image has to stand above its noise for a curve to mean anything.
LEAST_BAND = 5
#: Pixels larger than this, um, are those of a camera or in nanometres, not at the object.
IMPLAUSIBLE_UM = 20.0


def checked_pairs(sharp: Images, blurred: Images) -> list[Pair]:
    """Return the pairs as they came, (Y, X) arrays of one shape."""
    fs, gs = ([_pixels(image) for image in _listed(images)] for images in (sharp, blurred))
    if len(fs) != len(gs):
        raise ValueError(f"{len(fs)} sharp and {len(gs)} blurred images: give as many of each, in the same order")
    for number, (f, g) in enumerate(zip(fs, gs, strict=True)):
        of_pair = f" of pair {number}" if len(fs) > 1 else ""
        for name, image in (("sharp", f), ("blurred", g)):
            _check_image(image, f"{name}{of_pair}")
        if f.shape != g.shape or f.shape != fs[0].shape:
            other = f.shape if f.shape != g.shape else fs[0].shape
            raise ValueError(
                f"blurred{of_pair} has {g.shape} px, sharp {other}: give images of one size and pixel size"
            )
        if np.array_equal(f, g):
            raise ValueError(f"sharp and blurred{of_pair} are the same image: give the field in and out of focus")
    return list(zip(fs, gs, strict=True))


def checked_pixel_um(sharp: Images, blurred: Images, pixel_um: float | None) -> float:
    """Return the pixel size that was given, or else the one on which the images agree."""
    if pixel_um is not None:
        if not (np.isfinite(pixel_um) and pixel_um > 0):
            raise ValueError(f"pixel_um is {pixel_um}: give the size of a pixel at the object in micrometres")
        return float(pixel_um)
    stacks = [image for images in (sharp, blurred) for image in _listed(images) if isinstance(image, ImageStack)]
    sizes = [size for stack in stacks for size in stack.pixel_yx_um or ()]
    if not sizes:
        raise ValueError("the pixel size is not known: give pixel_um, micrometres at the object")
    if max(sizes) > 1.001 * min(sizes):
        raise ValueError(
            f"pixels of {min(sizes):g} and {max(sizes):g} um: give images of one size of square pixels, resample the others"
        )
    return sizes[0]


def _listed(images: Images) -> list[Any]:
    """Return images: those of a list, or the one that was given."""
    if isinstance(images, list | tuple) and images and all(_is_image(image) for image in images):
        return list(images)
    return [images]


def _is_image(image: Any) -> bool:
    return isinstance(image, ImageStack) or np.ndim(image) >= 2


def _pixels(image: Any) -> Array:
    return np.asarray(image.data if isinstance(image, ImageStack) else image)


def _check_image(image: Array, name: str) -> None:
    if image.dtype.kind not in "uif":
        raise TypeError(f"{name} has dtype {image.dtype}: give grey levels, integer or float")
    if image.ndim != 2:
        raise ValueError(f"{name} has shape {image.shape}: give one plane (Y, X) of one colour, or a list of planes")
    if min(image.shape) < SMALLEST:
        raise ValueError(f"{name} has {image.shape} px: {SMALLEST} or more are needed each way")
    low, high = float(image.min()), float(image.max())
    if not np.isfinite(low + high):
        bad = image.size - np.count_nonzero(np.isfinite(image))
        raise ValueError(f"{name}: {bad} of {image.size} pixels are not finite (NaN or infinite); mend or crop them")
    if low == high:
        raise ValueError(
            f"{name}: all pixels are {low:g}, there is nothing to recover from; give an image with structure"
        )
    if image.dtype.kind in "ui" and high == np.iinfo(image.dtype).max and (part := _at_top(image)) > HOPELESS:
        raise ValueError(
            f"{name}: {part:.0%} of its pixels are saturated at {high:g}: expose less or crop to where it is not"
        )


def _at_top(image: Array) -> float:
    return float(np.count_nonzero(image == image.max()) / image.size)


def check_options(method: str, mu: float | str, apodise: str) -> None:
    """Refuse options that do not exist."""
    if method not in METHODS:
        raise ValueError(f"method is {method!r}: use one of {', '.join(METHODS)}")
    if apodise not in WINDOWS:
        raise ValueError(f"apodise is {apodise!r}: use one of {', '.join(WINDOWS)}")
    number = isinstance(mu, int | float | np.number) and not isinstance(mu, bool)
    if not (mu in ("auto", "gcv") if isinstance(mu, str) else number and 0 < mu < np.inf):
        raise ValueError(f"mu is {mu!r}: use 'auto', 'gcv' or a positive number")


def doubts(pairs: Sequence[Pair], light_kept: bool, found: PsfRecovery) -> Iterator[str]:
    """Yield reasons for doubt, each with what to do."""
    for number, pair in enumerate(pairs):
        for name, image in zip(("sharp", "blurred"), pair, strict=True):
            if (part := _at_top(image)) > SATURATED:
                of_pair = f" of pair {number}" if len(pairs) > 1 else ""
                yield f"{part:.1%} of the pixels of {name}{of_pair} have its largest value {image.max():g}: saturated? expose less"
    if found.pixel_um > IMPLAUSIBLE_UM:
        yield (
            f"pixels of {found.pixel_um:g} um at the object are implausible: give micrometres "
            f"({found.pixel_um:g} nm is {found.pixel_um / 1000:g}), the pixel of the camera over the magnification"
        )
    elif found.objective is not None and (message := aliasing(found.pixel_um, found.objective)):
        yield f"{message}; noise is overestimated and the fine parts of the kernel are wrong"
    if message := shift_warning(found.shift_px):
        yield message
    if not light_kept:
        yield (
            "brightness and contrast of the blurred image do not fit one another: exposure or offset differ from the "
            "sharp image; otf[0] is extrapolated"
        )
    if message := cannot_tell(found):
        yield message
    elif np.mean((found.otf > 1 + 2 * found.otf_std)[found.trusted][1:]) > 0.5:
        yield "blurred holds more fine structure than sharp: are the two swapped?"


def cannot_tell(found: PsfRecovery) -> str:
    """Return why a curve means nothing, "" if it does: little in the sharp image stands above its noise."""
    band = int(found.trusted.sum())
    if band >= LEAST_BAND:
        return ""
    return f"the sharp image is above its noise up to radius {band} of {len(found.otf)}: average frames or give several pairs"
