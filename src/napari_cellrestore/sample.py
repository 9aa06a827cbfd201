"""What is looked at of an image before anything is decided: a few pixels, and the grey levels they can have."""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np

from napari_cellrestore.leds import clearest
from napari_cellrestore.stack import ImageStack

Array = np.ndarray

#: Full scales that images of more than 8 bit, or of floating point, are taken to have.
FULL_SCALES = {"i": (255, 1023, 4095, 16383, 65535), "f": (1, 255, 4095, 65535)}
#: Of a large lazy plane so many windows along each side decide, of so many pixels.
WINDOWS, WINDOW_PX = 4, 512


def as_stack(image_or_stack: Array | da.Array | ImageStack) -> ImageStack:
    """Return an ImageStack; arrays are (Y, X), (Y, X, 3 or 4 colour samples), (Z, Y, X) or (Z, Y, X, 3 or 4)."""
    if isinstance(image_or_stack, ImageStack):
        return image_or_stack
    if not isinstance(image_or_stack, np.ndarray | da.Array):
        raise TypeError(f"image is a {type(image_or_stack).__name__}: give a numpy or dask array or an ImageStack")
    colour = image_or_stack.ndim > 2 and image_or_stack.shape[-1] in (3, 4)
    axes = {2: "YX", 3: "YXS" if colour else "ZYX", 4: "ZYXS" if colour else ""}.get(image_or_stack.ndim, "")
    if not axes:
        raise ValueError(
            f"image has shape {image_or_stack.shape}: give (Y, X), (Y, X, 3), (Z, Y, X) or (Z, Y, X, 3), or an "
            "ImageStack, which states its axes"
        )
    return ImageStack(image_or_stack, axes)


def deciding_pixels(stack: ImageStack) -> Array:
    """Return the pixels that decide: all of an array in memory; of a lazy one the middle plane, of a large one parts of it."""
    if isinstance(stack.data, np.ndarray):
        return stack.data
    return spread_parts(stack.data[_middle_plane(stack)])


def _middle_plane(stack: ImageStack) -> tuple[int, ...]:
    """Return where the plane is that stands for all: the middle one, along LEDs the clearest."""
    return tuple(clearest(stack.leds) if letter == "A" else stack.size(letter) // 2 for letter in stack.plane_axes)


def spread_parts(plane: Array | da.Array) -> Array:
    """Return a plane (Y, X[, S]); of a large one parts, evenly spread over it and put side by side.

    A slide is not read through to know how it looks.
    """
    lazy = plane if isinstance(plane, da.Array) else da.from_array(plane, chunks=-1, name=False)
    rows, columns = (_windows(n) for n in plane.shape[:2])
    parts = [da.concatenate([lazy[y, x] for x in columns], axis=1) for y in rows]
    return np.asarray(da.concatenate(parts, axis=0))


def _windows(length: int) -> list[slice]:
    if length <= WINDOWS * WINDOW_PX:
        return [slice(0, length)]
    # Whole multiples of the side: a part then lies in one chunk of most files, and is read faster.
    firsts = np.linspace(0, length // WINDOW_PX - 1, WINDOWS).astype(int) * WINDOW_PX
    return [slice(first, first + WINDOW_PX) for first in firsts.tolist()]


def thinned(pixels: Array, stack: ImageStack) -> Array:
    """Return every so many-th pixel, enough for means and medians: deciding must not take longer than looking."""
    last = pixels.ndim - (1 if stack.rgb else 0)
    steps = [slice(None, None, max(1, n // 256)) for n in pixels.shape[last - 2 : last]]
    where: tuple[Any, ...] = (..., *steps, *([slice(3)] if stack.rgb else []))
    return np.asarray(pixels[where])


def middle_of(stack: ImageStack, side_px: int = 256) -> Array:
    """Return the middle of the middle plane, in full resolution."""
    where: list[Any] = [*_middle_plane(stack)]
    where += [slice(max(0, (n - side_px) // 2), (n + side_px) // 2) for n in stack.yx_shape]
    return np.asarray(stack.data[tuple(where)])


def grey_range(
    stack: ImageStack, pixels: Array, intensity: tuple[float, float] | None = None
) -> tuple[float, float, list[str]]:
    """Return black and full scale, and what had to be guessed: known for 8 bit, else taken from the pixels."""
    if intensity is not None:
        low, high = map(float, intensity)
        if not (np.isfinite([low, high]).all() and low < high):
            raise ValueError(f"intensity is {intensity}: give (black, full scale), two numbers, the first lower")
        return low, high, []
    dtype = stack.data.dtype
    if dtype == np.uint8:
        return 0.0, 255.0, []
    colour = pixels[..., :3] if stack.rgb else pixels
    finite = colour[np.isfinite(colour)]
    least, most = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    scales = FULL_SCALES["f" if dtype.kind == "f" else "i"]
    high = float(next((scale for scale in scales if most <= scale), most))
    low = min(0.0, least)
    seen = "the image" if isinstance(stack.data, np.ndarray) else "what was looked at of one plane"
    return (
        low,
        high,
        [
            f"the full scale of {dtype} is not stated: {seen} reaches from {least:g} to {most:g}, so {low:g} to {high:g} was "
            "taken; state the full scale (intensity) to change it"
        ],
    )
