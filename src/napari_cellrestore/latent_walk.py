"""A walk through what a variational auto-encoder knows: images of the vectors on a line (Bon, section 1.2.3)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from napari_cellrestore.model import Model
from napari_cellrestore.restore import plan_restoration
from napari_cellrestore.sample import as_stack
from napari_cellrestore.stack import ImageStack

Array = np.ndarray
#: Largest side of an image that is walked from: all steps are in memory.
LARGEST_PX = 2048
#: What made the images, in their provenance.
STEP = "latent walk"


def can_walk(model: Model) -> bool:
    """Return whether a model has a latent space."""
    return hasattr(model.network, "encode") and hasattr(model.network, "decode")


def latent_walk(
    image: Any,
    model: Model,
    *,
    to: Any = None,
    direction: int | None = None,
    reach: float = 3.0,
    steps: int = 9,
    intensity: tuple[float, float] | None = None,
) -> ImageStack:
    """Return the images of vectors on a line: from an image to another, or along one direction of the latent space.

    Between two images the vectors are ``(1 - t) a + t b``, t from 0 to 1. Along direction k they are ``a + s e_k``, s from
    ``-reach`` to ``reach``: training draws vectors towards the standard normal distribution, so that 3 is far. Where a
    network has one vector for each block of the image, all go alike.

    Parameters
    ----------
    image, to : (Y, X[, C]) array or ImageStack of one plane
        Of one size and type.
    model : Model
        With a latent space, such as one of the recipe VAE.
    direction : int, optional
        Which number of the vector; give it, or ``to``.
    reach : float
        How far to walk.
    steps : int
        Images, 2 or more.
    intensity : (float, float), optional
        Black and full scale, as in a plan: of both images, and what had to be guessed is guessed of both.

    Returns
    -------
    ImageStack
        Axes QYX or QYXS, type and grey levels of the input; ``provenance["positions"]`` are t or s, ``"intensity"`` is black and
        full scale, and the notes are the warnings of the plan.

    Raises
    ------
    ValueError
        A model without a latent space, images that are not alike, a direction that there is not.
    """
    if not can_walk(model):
        raise ValueError(f"model {model.card.name!r} has no latent space to walk in: give one of the recipe VAE")
    if (to is None) == (direction is None):
        raise ValueError("give another image to walk to, or a direction: one of them")
    if not isinstance(steps, int) or steps < 2:
        raise ValueError(f"steps is {steps!r}: give a whole number, 2 or more")
    start = _plane(image)
    end = None if to is None else _plane(to)
    plan = plan_restoration(start if end is None else _both(start, end), model, intensity=intensity)
    low, high = plan.intensity
    with torch.inference_mode():
        first = _vector(model, start, low, high)
        if end is not None:
            positions = np.linspace(0, 1, steps)
            line = _vector(model, end, low, high) - first
        else:
            positions = _places(direction, reach, steps, first)
            line = torch.zeros_like(first)
            line[:, direction] = 1
        images = [_image(model.network, first + float(at) * line, start, low, high) for at in positions]
    made = {
        "generated": f"{steps} images on a line through the latent space of {model.card.name}: computed, not recorded",
        "model": model.card.name,
        "weights_sha256": model.card.weights_sha256,
        "step": STEP,
        "intensity": [low, high],
        "direction": "to another image" if direction is None else direction,
        "positions": positions.round(6).tolist(),
        "source": start.source,
    }
    axes = "QYX" + ("S" if images[0].ndim == 3 else "")
    return start.replace(data=np.stack(images), axes=axes, z_um=None, notes=plan.warnings, provenance=made)


def _plane(image: Any) -> ImageStack:
    stack = as_stack(image)
    if stack.n_planes != 1:
        raise ValueError(f"the image has {stack.n_planes} planes: give one")
    if max(stack.yx_shape) > LARGEST_PX:
        raise ValueError(f"the image is {stack.yx_shape[0]} x {stack.yx_shape[1]} px: crop it to {LARGEST_PX} a side")
    for letter in stack.plane_axes:
        stack = stack.select(letter, 0)
    return stack.replace(data=np.asarray(stack.data)[..., :3] if stack.rgb else np.asarray(stack.data))


def _both(one: ImageStack, other: ImageStack) -> ImageStack:
    """Return two images as one stack, by which their grey levels are decided; ValueError where they are not alike."""
    ours, theirs = ((stack.data.shape, str(stack.data.dtype)) for stack in (one, other))
    if ours != theirs:
        raise ValueError(
            f"one image is {ours[0]} {ours[1]}, the other {theirs[0]} {theirs[1]}: give two of one size and type"
        )
    return one.replace(data=np.stack([one.data, other.data]), axes=f"Q{one.axes}")


def _places(direction: int | None, reach: float, steps: int, vector: Tensor) -> Array:
    length = vector.shape[1]
    if not isinstance(direction, int) or not 0 <= direction < length:
        raise ValueError(f"direction is {direction!r}: the vectors have {length} numbers, give 0 to {length - 1}")
    if not (np.isfinite(reach) and reach > 0):
        raise ValueError(f"reach is {reach}: give a number above 0")
    return np.linspace(-reach, reach, steps)


def _vector(model: Model, stack: ImageStack, low: float, high: float) -> Tensor:
    """Return the mean of the vectors of an image (1, latent, blocks in Y, blocks in X)."""
    pixels = np.asarray(stack.data, np.float32)
    pixels = pixels if stack.rgb else np.repeat(pixels[..., None], model.card.in_channels, axis=-1)
    if not np.isfinite(pixels).all():
        raise ValueError("the image has pixels that are NaN or infinite: mend or crop it")
    scaled = (pixels - low) * (2 / (high - low)) - 1
    encode: Any = model.network.encode
    mean: Tensor = encode(torch.from_numpy(np.ascontiguousarray(scaled.transpose(2, 0, 1), np.float32))[None])[0]
    return mean


def _image(network: nn.Module, vector: Tensor, like: ImageStack, low: float, high: float) -> Array:
    """Return the image of vectors, in size, type and grey levels of another."""
    decode: Any = network.decode
    rows, columns = like.yx_shape
    output = decode(vector)[0, :, :rows, :columns].permute(1, 2, 0).numpy()
    levels = (output + 1) * ((high - low) / 2) + low
    levels = levels if like.rgb else levels.mean(axis=-1)
    dtype = np.dtype(like.data.dtype)
    if dtype.kind in "iu":
        levels = np.clip(np.rint(levels), np.iinfo(dtype).min, np.iinfo(dtype).max)
    return np.asarray(levels.astype(dtype))
