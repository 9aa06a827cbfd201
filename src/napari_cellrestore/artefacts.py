"""Faults that networks draw: a checkerboard of transposed convolutions, and black spots (Jönsson & Sjöstrand 2018, figure 31).

Both are measured on the image alone; spots also against the image that it was made from.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import fft, ndimage
from skimage.measure import label, regionprops

Array = np.ndarray

#: Side of the tiles whose spectra are averaged, in strides: so many bins lie between two harmonics.
TILE_STRIDES = 16
#: Bins that make the background of a frequency: beyond the window's width, nearer than the next harmonic.
BACKGROUND_BINS = (3, 6)

#: Grey level below which a spot is black, and by how much it is darker than its surroundings; parts of white.
BLACK, CONTRAST = 0.3, 0.2
#: Fewer dark pixels are noise.
SMALLEST_PX = 4
#: Part of the circle around it that a compact spot fills.
COMPACT = 0.5
#: A spot that has this part of its contrast in the reference was there before.
KNOWN = 0.5

_WHITE_PERCENT = 98.0  # brighter than nearly all is the slide without cells
_AROUND_PX = 2  # a reference may lie so far beside the image


# --- checkerboard ------------------------------------------------------------------------------------------


def checkerboard_score(image: npt.ArrayLike, stride: int = 2) -> float:
    """Return how much power repeats every ``stride`` pixels, over what a smooth spectrum would have there; 1 is none.

    The mean of :func:`checkerboard_ratios`. Transposed convolutions whose kernel is no multiple of their stride leave such a
    pattern (Odena, Dumoulin & Olah 2016, Distill; Jönsson & Sjöstrand 2018, section 5.3). Noise of standard deviation ``sigma``
    plus ``a (-1)^(x + y)`` has ``1 + (4 / 9) 32^2 (a / sigma)^2 / 3``: a checkerboard of a tenth of the noise scores 2.5. An image
    that is its own neighbour, as enlarged ones are, has little power there and scores below 1.

    Parameters
    ----------
    image : (Y, X) or (Y, X, C) array
        Any real type; the powers of colours are added, of four the last is alpha and left out. At least 16 strides along each
        side; the score of few tiles is noisy, from 256 px on it is within about 0.1 of 1 for clean images.
    stride : int
        Of the upsampling, 2 or more. JPEG has blocks of 8: its own pattern scores at 8, and a little at 2 and 4.

    Examples
    --------
    >>> noise = np.random.default_rng(0).normal(size=(256, 256))
    >>> board = (-1.0) ** np.add.outer(np.arange(256), np.arange(256))
    >>> round(checkerboard_score(noise), 1), round(checkerboard_score(noise + 0.1 * board), 1)
    (1.0, 2.4)
    """
    return float(np.mean(list(checkerboard_ratios(image, stride).values())))


def checkerboard_ratios(image: npt.ArrayLike, stride: int = 2) -> dict[tuple[float, float], float]:
    """Return the power at each frequency that repeats every ``stride`` pixels, over that around it.

    Power is averaged over half-overlapping tiles of 16 strides under a Hann window. The frequencies are ``(a, b) / stride``
    cycles per pixel along y and x, of each the one of ``(a, b)`` and ``(-a, -b)``, without 0. The background of those on an axis
    is the axis itself, on both sides, since edges of objects put power there; of the others a ring.

    Examples
    --------
    >>> stripes = np.random.default_rng(0).normal(size=(128, 128)) + (-1.0) ** np.arange(128)
    >>> {at: round(ratio) for at, ratio in checkerboard_ratios(stripes).items()}
    {(0.0, 0.5): 458, (0.5, 0.0): 1, (0.5, 0.5): 1}
    """
    colours = _colours(image)
    if isinstance(stride, bool) or int(stride) != stride or stride < 2:
        raise ValueError(f"stride is {stride}: give a whole number of pixels, 2 or more")
    side = TILE_STRIDES * int(stride)
    if min(colours.shape[:2]) < side:
        raise ValueError(
            f"image has {colours.shape[0]} x {colours.shape[1]} px: a stride of {stride} needs {side} px or more along each side"
        )
    power, rounding = _mean_power(colours, side)
    ratios = {}
    for a, b in _frequencies(int(stride)):
        here = power[a * TILE_STRIDES, b * TILE_STRIDES]
        around = np.mean([np.sqrt(power[one] * power[other]) for one, other in _background(a, b, side)])
        ratios[(a / stride, b / stride)] = float(max(here, rounding) / max(around, rounding))
    return ratios


def _frequencies(stride: int) -> Iterator[tuple[int, int]]:
    for a in range(stride):
        for b in range(stride):
            if (0, 0) != (a, b) <= (-a % stride, -b % stride):
                yield a, b


def _background(a: int, b: int, side: int) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """Yield two bins on either side of a harmonic: the root of their product is right where a spectrum falls."""
    row, column = a * TILE_STRIDES, b * TILE_STRIDES
    near, far = BACKGROUND_BINS
    for dy in range(-far, far + 1) if a else (0,):
        for dx in range(-far, far + 1) if b else (0,):
            if near <= max(abs(dy), abs(dx)) and (dy, dx) > (0, 0):
                yield ((row + dy) % side, (column + dx) % side), ((row - dy) % side, (column - dx) % side)


def _mean_power(colours: Array, side: int) -> tuple[Array, float]:
    """Return the power spectrum averaged over tiles and added over colours, and that of rounding errors."""
    hann = np.hanning(side + 1)[:-1]
    window = np.outer(hann, hann)[..., None]
    total, count = np.zeros((side, side)), 0
    for top in range(0, colours.shape[0] - side + 1, side // 2):
        for left in range(0, colours.shape[1] - side + 1, side // 2):
            tile = colours[top : top + side, left : left + side].astype(float)
            spectrum = fft.fft2((tile - tile.mean(axis=(0, 1))) * window, axes=(0, 1))
            total += (np.abs(spectrum) ** 2).sum(axis=-1)
            count += 1
    smallest = max(float(np.finfo(np.float32).eps) * float(np.abs(colours).max()), 1e-30)
    return total / count, float(smallest**2 * (window**2).sum())


# --- black spots -------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class BlackSpots:
    """The black spots of an image; row ``i`` of each column is the spot of label ``i + 1``.

    Attributes
    ----------
    labels : (Y, X) int32 array
        0 outside of spots.
    centres_px : (N, 2) array
        Row and column; the centre of the first pixel is 0.
    area_px : (N,) array
    contrast : (N,) array
        How much darker than the darkest of the surroundings, as a part of white.
    """

    labels: Array
    centres_px: Array
    area_px: Array
    contrast: Array

    def __len__(self) -> int:
        return len(self.area_px)

    @property
    def table(self) -> list[dict[str, float]]:
        """One row for each spot: label, y_px, x_px, area_px, contrast."""
        return [
            {"label": row + 1, "y_px": float(y), "x_px": float(x), "area_px": float(area), "contrast": float(contrast)}
            for row, ((y, x), area, contrast) in enumerate(
                zip(self.centres_px, self.area_px, self.contrast, strict=True)
            )
        ]


def black_spots(image: npt.ArrayLike, reference: npt.ArrayLike | None = None, *, largest_px: int = 20) -> BlackSpots:
    """Find compact black regions that are darker than all around them, and that the reference does not have.

    Of colours the brightest counts: black takes all light, a dye some. With the closing of grey levels (Serra 1982) by a
    square of ``largest_px + 1``, which is at each pixel the brightest level of the darkest square over it, a spot is a connected
    region where::

        closing - level > 0.2 white,   its darkest level < 0.3 white

    ``white`` is the level that 98 % of the pixels do not exceed. It has 4 px or more, is not longer than ``largest_px``, and fills
    half of the circle around it. With a reference it is dropped if that has half of its contrast within 2 px.

    Parameters
    ----------
    image : (Y, X) or (Y, X, C) array
        Made by a network, in bright field: 0 is no light. Any real type; of four colours the last is alpha and left out.
    reference : array of the same rows and columns, optional
        What it was made from, or the truth; it may be of another microscope, its own white is taken. Without it a black
        particle of dirt counts.
    largest_px : int
        Length of the largest spot.

    Notes
    -----
    The source shows a spot and gives no measure; the numbers above were chosen for spots that one sees at once.

    Examples
    --------
    >>> image = np.full((60, 60), 200, np.uint8)
    >>> image[20:26, 30:36] = 10
    >>> image[:, 50:53] = 10  # a line is no spot
    >>> black_spots(image).table
    [{'label': 1, 'y_px': 22.5, 'x_px': 32.5, 'area_px': 36.0, 'contrast': 0.95}]
    >>> len(black_spots(image, reference=image))
    0
    """
    if isinstance(largest_px, bool) or int(largest_px) != largest_px or largest_px < 3:
        raise ValueError(f"largest_px is {largest_px}: give a whole number of pixels, 3 or more")
    level, depth = _depth(image, int(largest_px))
    known = np.zeros(depth.shape, np.float32)
    if reference is not None:
        _, theirs = _depth(reference, int(largest_px))
        if theirs.shape != depth.shape:
            raise ValueError(f"image has {depth.shape} px, reference {theirs.shape}: give images of one size")
        known = ndimage.maximum_filter(theirs, 2 * _AROUND_PX + 1)
    parts = label(depth > CONTRAST)
    spots = [part for part in regionprops(parts) if _is_spot(part, level, depth, known, largest_px)]
    labels = np.zeros(depth.shape, np.int32)
    for number, part in enumerate(spots, 1):
        labels[tuple(part.coords.T)] = number
    return BlackSpots(
        labels,
        np.reshape([part.centroid for part in spots], (-1, 2)),
        np.array([float(part.area) for part in spots]),
        np.array([float(depth[tuple(part.coords.T)].max()) for part in spots]),
    )


def _depth(image: npt.ArrayLike, largest_px: int) -> tuple[Array, Array]:
    """Return the brightest colour, and how much darker it is than the surroundings, as parts of white."""
    level = _colours(image).max(axis=-1).astype(np.float32)
    white = float(np.percentile(level, _WHITE_PERCENT))
    if white <= 0:
        return level, np.zeros_like(level)
    closed = ndimage.grey_closing(level, size=(largest_px + 1, largest_px + 1))
    return level / np.float32(white), (closed - level) / np.float32(white)


def _is_spot(part: Any, level: Array, depth: Array, known: Array, largest_px: int) -> bool:
    where = tuple(part.coords.T)
    top, left, bottom, right = part.bbox
    length = max(bottom - top, right - left)
    if len(where[0]) < SMALLEST_PX or length > largest_px or level[where].min() >= BLACK:
        return False
    compact = len(where[0]) >= COMPACT * np.pi / 4 * length**2
    return bool(compact and known[where].max() < KNOWN * depth[where].max())


# --- what came in ------------------------------------------------------------------------------------------


def _colours(image: npt.ArrayLike) -> Array:
    """Return (Y, X, C), without alpha."""
    values = np.asarray(image)
    if values.dtype.kind not in "buif":
        raise TypeError(f"image has dtype {values.dtype}: give real numbers (integer, float or bool)")
    if values.ndim not in (2, 3) or values.size == 0:
        raise ValueError(f"image has shape {values.shape}: give (Y, X) or (Y, X, C)")
    if not np.isfinite(values).all():
        bad = values.size - np.count_nonzero(np.isfinite(values))
        raise ValueError(f"{bad} of {values.size} pixels are not finite (NaN or infinite): mend them first")
    if values.ndim == 2:
        return values[..., None]
    return values[..., :3] if values.shape[-1] == 4 else values
