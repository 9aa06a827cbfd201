"""Random changes of a pair of crops, the same of input and target: more samples than were recorded.

Colours are changed as by Olofsson & Wagnström 2019 (section 2.3), shapes as by Bon (chapter 1.2.4). Shifts, scale,
rotation, elastic moves and distortion are one map of coordinates, so pixels are interpolated once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, exp

import numpy as np
from scipy import ndimage, sparse
from skimage.color import hed_from_rgb, rgb_from_hed

from napari_cellrestore.recipe import Augmentation

Array = np.ndarray

#: Pixels of an elastic field between the places that are moved independently.
ELASTIC_GRID_PX = 48
#: Side of the blank square of a cutout, as a part of that of the crop.
CUTOUT_SIDE = 0.25
#: Least part of the background that the optical density of stains is taken of: black has none.
_LEAST_LIGHT = 1 / 256


def augment(
    rng: np.random.Generator,
    input: Array,  # noqa: A002
    target: Array,
    settings: Augmentation,
    *,
    planes: int = 1,
    size: int | None = None,
    limits: tuple[float, float] | None = None,
) -> tuple[Array, Array]:
    """Change a pair of crops at random, both alike.

    With background ``b`` of each colour, factors ``c`` of contrast, ``l`` of brightness and ``w`` of each colour,
    ``v' = b l w + (v - b) c w``. Saturation moves colours from or to their mean. Stain multiplies the density of
    haematoxylin, eosin and residual (Ruifrok & Johnston 2001, the matrix of scikit-image) in ``-log(v / b)``. The
    background is the median of the target, the same for both; where input and target have unlike colours each has
    its own, and only contrast and brightness are changed. Of grey images, too, contrast and brightness alone.

    Parameters
    ----------
    rng : numpy Generator
        The same state gives the same changes.
    input, target : (y, x, C) and (y, x, C') array
        Of one size, in grey levels; they stay as they are.
    settings : Augmentation
        How much may change; what is 0 or False changes nothing, and then nothing is drawn for it.
    planes : int
        Planes in the input, each with all its colours, one after the other along C.
    size : int, optional
        Side of the result, taken from the middle, so that what moves in was recorded; what was not is mirrored. See
        :func:`reach_px`. Default: the smaller side.
    limits : (float, float), optional
        Grey levels that the detector can record: after a change of colours both are limited to them, as a camera does.
        Without it nothing is limited. Interpolation may overshoot them a little at edges.

    Returns
    -------
    input, target : (size, size, C) and (size, size, C') float32 array

    Raises
    ------
    ValueError
        Sizes that differ, or are less than ``size``; channels that are not a multiple of ``planes``.

    Notes
    -----
    Pixels are interpolated by cubic convolution (Keys 1981, a = -0.5), which keeps every relation
    ``target = a input + b``. A turn or flip of whole crops moves pixels and keeps
    their grey levels.

    Examples
    --------
    >>> crop = np.random.default_rng(0).uniform(50, 200, (64, 64, 1)).astype(np.float32)
    >>> blurred, sharp = augment(np.random.default_rng(1), crop, 2 * crop, Augmentation(rotation_deg=180), size=32)
    >>> bool(np.allclose(sharp, 2 * blurred, rtol=1e-4))
    True
    """
    size = min(input.shape[:2]) if size is None else size
    _check(input, target, planes, size)
    images = [np.asarray(image, np.float32) for image in (input, target)]
    images = [_middle(image, size) for image in images] if not _warps(settings) else _warp(rng, images, settings, size)
    if settings.contrast or settings.brightness or settings.balance or settings.saturation or settings.stain:
        images = _change_colours(rng, images, settings, planes, limits)
    blurred, sharp = _turn(rng, images, settings)
    if settings.cutout and rng.random() < settings.cutout:
        blurred = _cut_out(rng, blurred)
    return np.ascontiguousarray(blurred), np.ascontiguousarray(sharp)


def turned(images: Sequence[Array], turn_deg: float, mirrored: bool, size: int) -> list[Array]:
    """Return the middle of images (Y, X, C), left and right exchanged or not, then turned against the clock.

    Quarter turns move pixels; other turns interpolate them as :func:`augment` does.

    Examples
    --------
    >>> image = np.arange(8.0).reshape(2, 4, 1)
    >>> turned([image], 90, False, 2)[0][..., 0].tolist()
    [[2.0, 6.0], [1.0, 5.0]]
    """
    images = [np.asarray(image[:, ::-1] if mirrored else image, np.float32) for image in images]
    quarters, rest = divmod(turn_deg, 90)
    if not rest:
        return [np.ascontiguousarray(np.rot90(_middle(image, size), int(quarters))) for image in images]
    cos, sin = (np.float32(f(np.radians(turn_deg))) for f in (np.cos, np.sin))
    axis = np.arange(size, dtype=np.float32) - (size - 1) / 2
    y, x = axis[:, None], axis[None, :]
    return _resampled(images, np.stack([cos * y + sin * x, cos * x - sin * y]))


def reach_px(settings: Augmentation | None, size: int) -> int:
    """Return how many pixels around a crop of a size may move into it.

    Examples
    --------
    >>> reach_px(Augmentation(rotation_deg=180), 100), reach_px(Augmentation(), 100)
    (22, 0)
    """
    if settings is None or not _warps(settings):
        return 0
    angle = np.radians(min(settings.rotation_deg, 45))
    half = size / 2 * float(np.cos(angle) + np.sin(angle))  # of the upright square around the turned one
    half *= exp(settings.scale) * (1 + settings.distortion)
    return ceil(half + settings.shift_px + settings.elastic_px - size / 2) + 1


# --- shapes --------------------------------------------------------------------------------------------------


def _warps(settings: Augmentation) -> bool:
    return any((settings.shift_px, settings.scale, settings.rotation_deg, settings.elastic_px, settings.distortion))


def _warp(rng: np.random.Generator, images: Sequence[Array], settings: Augmentation, size: int) -> list[Array]:
    """Return the middle of images after one random map of coordinates."""
    return _resampled(images, _coordinates(rng, settings, size))


def _resampled(images: Sequence[Array], from_middle: Array) -> list[Array]:
    """Return images at places (2, size, size) in pixels from the middle; what lies outside is mirrored."""
    shape = images[0].shape[:2]
    middle = (np.asarray(shape, np.float32) - 1) / 2
    weights = _cubic_weights((from_middle + middle[:, None, None]).reshape(2, -1), shape)
    pixels = np.concatenate(images, axis=-1).reshape(weights.shape[1], -1)
    moved = (weights @ pixels).reshape(*from_middle.shape[1:], -1)
    colours = images[0].shape[-1]
    return [moved[..., :colours], moved[..., colours:]]


def _cubic_weights(where: Array, shape: tuple[int, ...]) -> sparse.csr_array:
    """Return the weights (places, pixels) of the 4 x 4 pixels around each place (2, places), by the kernel of Keys 1981.

    One matrix for all channels: of an LED stack there are hundreds, and torch takes fifteen times as long for them.
    """
    first = np.floor(where)
    t = where - first
    u = 1 - t
    weights_of_taps = [-t * u * u / 2, (1.5 * t - 2.5) * t * t + 1, (1.5 * u - 2.5) * u * u + 1, -u * t * t / 2]
    weight_y, weight_x = np.stack(weights_of_taps, axis=1)
    near = first.astype(np.int32)[:, None] + np.arange(-1, 3, dtype=np.int32)[:, None]
    tap_y, tap_x = (_mirrored(taps, length) for taps, length in zip(near, shape, strict=True))
    weights, columns = np.empty((len(t[0]), 4, 4), np.float32), np.empty((len(t[0]), 4, 4), np.int32)
    for y, x in np.ndindex(4, 4):
        weights[:, y, x] = weight_y[y] * weight_x[x]
        columns[:, y, x] = tap_y[y] * shape[1] + tap_x[x]
    starts = np.arange(0, weights.size + 1, 16, dtype=np.int32)
    return sparse.csr_array((weights.ravel(), columns.ravel(), starts), shape=(len(weights), shape[0] * shape[1]))


def _mirrored(index: Array, length: int) -> Array:
    """Return where pixels beyond the borders are taken from."""
    period = np.int32(max(2 * (length - 1), 1))
    index = np.abs(index) % period
    return np.asarray(np.minimum(index, period - index))


def _coordinates(rng: np.random.Generator, settings: Augmentation, size: int) -> Array:
    """Return where each pixel of the result comes from, in pixels from the middle: (2, size, size) float32."""
    axis = np.arange(size, dtype=np.float32) - (size - 1) / 2
    y, x = axis[:, None], axis[None, :]
    stretch: Array | float = 1.0
    if settings.distortion:
        corner2 = 2 * ((size - 1) / 2) ** 2
        stretch = 1 + _uniform(rng, settings.distortion) * (y**2 + x**2) / corner2
    factor = exp(_uniform(rng, settings.scale)) if settings.scale else 1.0
    angle = np.radians(_uniform(rng, settings.rotation_deg)) if settings.rotation_deg else 0.0
    cos, sin = np.float32(factor * np.cos(angle)), np.float32(factor * np.sin(angle))
    where = np.stack([(cos * y - sin * x) * stretch, (sin * y + cos * x) * stretch])
    if settings.shift_px:
        where += rng.uniform(-settings.shift_px, settings.shift_px, (2, 1, 1))
    if settings.elastic_px:
        where += _elastic(rng, settings.elastic_px, size)
    return np.asarray(where, np.float32)


def _elastic(rng: np.random.Generator, most_px: float, size: int) -> Array:
    """Return a smooth random field (2, size, size) whose moves are at most ``most_px`` long."""
    most = most_px / np.sqrt(2)
    nodes = rng.uniform(-most, most, (2, *(ceil(size / ELASTIC_GRID_PX) + 4,) * 2))
    # B-splines of nodes, not through them, are never farther out than the nodes are; a product of two matrices.
    weights = ndimage.map_coordinates(
        np.eye(nodes.shape[1]),
        np.broadcast_arrays(np.arange(nodes.shape[1])[None, :], (np.arange(size) / ELASTIC_GRID_PX + 1.5)[:, None]),
        order=3,
        prefilter=False,
    )
    weights /= weights.sum(1, keepdims=True)
    return np.asarray(weights @ nodes @ weights.T)


def _turn(rng: np.random.Generator, images: list[Array], settings: Augmentation) -> list[Array]:
    """Return images turned by quarters and flipped."""
    if settings.quarter_turns:
        quarters = int(rng.integers(4))
        images = [np.rot90(image, quarters) for image in images]
    if settings.flips:
        down, across = (slice(None, None, -1 if rng.random() < 0.5 else 1) for _ in range(2))
        images = [image[down, across] for image in images]
    return images


def _middle(image: Array, size: int) -> Array:
    top, left = ((n - size) // 2 for n in image.shape[:2])
    return image[top : top + size, left : left + size]


def _cut_out(rng: np.random.Generator, image: Array) -> Array:
    """Return an image with a square blank: as bright as its background."""
    side = max(1, round(CUTOUT_SIDE * min(image.shape[:2])))
    top, left = (int(rng.integers(n - side + 1)) for n in image.shape[:2])
    result = image.copy()
    result[top : top + side, left : left + side] = background(image)
    return result


# --- colours -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Colours:
    """Factors of one change of colours; None leaves a change out."""

    contrast: float
    brightness: float
    balance: Array | None = None
    saturation: float | None = None
    stain: Array | None = None

    def of(self, image: Array, clear: Array) -> Array:
        """Return an image (..., C) changed; ``clear`` is its background."""
        light = np.float32(self.brightness) if self.balance is None else (self.brightness * self.balance)
        depth = np.float32(self.contrast) if self.balance is None else (self.contrast * self.balance)
        light, depth = np.asarray(light, np.float32), np.asarray(depth, np.float32)
        image = image * depth + clear * (light - depth)
        clear = clear * light
        if self.saturation is not None:
            s = np.float32(self.saturation)
            grey = image @ np.full((image.shape[-1], 1), 1 / image.shape[-1], np.float32)
            image = image * s + grey * (1 - s)
            clear = clear * s + clear.mean() * (1 - s)
        if self.stain is not None:
            bright = np.maximum(clear, np.finfo(np.float32).tiny)
            density = -np.log(np.maximum(image / bright, np.float32(_LEAST_LIGHT)))
            image = image * np.exp(-density @ self.stain)
        return np.asarray(image)


def background(image: Array) -> Array:
    """Return the grey level of each channel that most of an image has: the median of every eighth row and column."""
    return np.asarray(np.median(image[::8, ::8], axis=(0, 1)), np.float32)


def _change_colours(
    rng: np.random.Generator,
    images: Sequence[Array],
    settings: Augmentation,
    planes: int,
    limits: tuple[float, float] | None,
) -> list[Array]:
    blurred, sharp = images
    alike = blurred.shape[-1] == planes * sharp.shape[-1]
    colours = _draw_colours(rng, settings, sharp.shape[-1] if alike else 1)
    yxpc = blurred.reshape(*blurred.shape[:2], planes, -1)
    clear = background(sharp)
    changed = [
        colours.of(yxpc, clear if alike else background(yxpc)).reshape(blurred.shape),
        colours.of(sharp, clear),
    ]
    return changed if limits is None else [np.clip(image, *limits) for image in changed]


def _draw_colours(rng: np.random.Generator, settings: Augmentation, colours: int) -> _Colours:
    """Draw the factors of images with so many colours."""

    def factor(strength: float, shape: int | None = None) -> Array:
        return np.exp(rng.uniform(-strength, strength, shape)) if strength else np.ones(shape or ())

    contrast, brightness = float(factor(settings.contrast)), float(factor(settings.brightness))
    balance = factor(settings.balance, colours) if settings.balance and colours > 1 else None
    saturation = float(factor(settings.saturation)) if settings.saturation and colours == 3 else None
    stain = None
    if settings.stain and colours == 3:
        # what is added to the density of each colour: unmix, scale the stains, mix
        stain = (hed_from_rgb @ np.diag(factor(settings.stain, 3) - 1) @ rgb_from_hed).astype(np.float32)
    return _Colours(contrast, brightness, balance, saturation, stain)


# --- what came in --------------------------------------------------------------------------------------------


def _uniform(rng: np.random.Generator, most: float) -> float:
    return float(rng.uniform(-most, most))


def _check(blurred: Array, sharp: Array, planes: int, size: int) -> None:
    if blurred.ndim != 3 or sharp.ndim != 3 or blurred.shape[:2] != sharp.shape[:2]:
        raise ValueError(f"input is {blurred.shape}, target {sharp.shape}: give (y, x, C) of one size")
    if not 1 <= size <= min(blurred.shape[:2]):
        raise ValueError(f"size is {size} of crops of {blurred.shape[:2]}: give 1 to {min(blurred.shape[:2])}")
    if planes < 1 or blurred.shape[-1] % planes:
        raise ValueError(f"input has {blurred.shape[-1]} channels, not a multiple of {planes} planes")
