"""Pairs of images as samples: an input, which may be an LED stack, and the true image of the same cells.

Wulff 2022 (4.2): what a model makes of the unstained cells is compared with the same cells after staining.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_cellrestore.evaluate.scoring import Method, Sample, computed
from napari_cellrestore.files import open_stack
from napari_cellrestore.focus import green
from napari_cellrestore.leds import clearest
from napari_cellrestore.sample import deciding_pixels, grey_range
from napari_cellrestore.simulate import quantise
from napari_cellrestore.stack import ImageStack

if TYPE_CHECKING:
    from napari_cellrestore.model import Model

Array = np.ndarray

#: Metrics of pairs: the loss that networks for staining are trained with, and what table 4.2 of the source states.
PAIR_METRICS = ("mae", "ssim", "psnr", "focus_ratio")


def paired_samples(
    inputs: str | Path,
    targets: str | Path,
    *,
    axes: str | None = None,
    leds: str | Path | None = None,
    pixel_um: float | None = None,
) -> tuple[dict[str, Callable[[], Sample]], list[str]]:
    """Return the pairs of two folders by the name of the input, each opened when its turn comes, and notes on others.

    Parameters
    ----------
    inputs, targets : path
        Folders of images; an input and its target have one name but for the suffix.
    axes, leds : optional
        What the axes of inputs are, and the table of their LEDs, where files do not say.
    pixel_um : float, optional
        Pixel size, where files do not say.

    Raises
    ------
    ValueError
        A folder that is not there or empty, no names in common.
    """
    from napari_cellrestore.pairs import match_folders  # which imports torch

    matched, notes = match_folders(inputs, targets)
    options: dict[str, Any] = {"axes": axes, "leds": leds, "pixel_um": pixel_um}
    return {path.name: partial(paired_sample, path, other, **options) for path, other in matched.items()}, notes


def paired_sample(
    path: str | Path,
    target: str | Path,
    *,
    axes: str | None = None,
    leds: str | Path | None = None,
    pixel_um: float | None = None,
) -> Sample:
    """Open a pair; ValueError where both have not one size, or the target is not one image.

    A target may have another type of pixels, such as a stain of 8 bit beside stacks of 12: what is made of the input is then
    to have that of the target, and the input beside it is brought to the grey levels of the target, full scale to full scale.
    """
    stack, truth = open_stack(path, axes=axes, leds=leds), open_stack(target)
    name = Path(target).name
    if truth.plane_axes:
        raise ValueError(f"the target {name} has the axes {truth.axes}: give one image, YX or YXS")
    if stack.yx_shape != truth.yx_shape:
        ours, theirs = (" x ".join(map(str, shape)) for shape in (stack.yx_shape, truth.yx_shape))
        raise ValueError(f"the input has {ours} px, its target {name} {theirs}: both must be alike")
    stack = stack.replace(pixel_um=stack.pixel_um or truth.pixel_um or pixel_um)
    reference = _opaque(computed(truth.data))
    beside, remarks = computed(clearest_plane(stack).data), tuple(truth.notes)
    if beside.dtype != reference.dtype:
        beside, guessed = _in_levels_of(beside, stack, truth)
        remarks += tuple(guessed)
    return Sample(reference, stack, remarks, in_colours_of(beside, reference))


def pair_method(model: Model) -> Method:
    """Return a model as a method that makes one image of a whole stack.

    One of several planes is given them all and finds its own. One of a single plane is given the clearest.
    """
    from napari_cellrestore.restore import restore

    def apply(stack: ImageStack) -> Any:
        return restore(clearest_plane(stack) if model.card.in_planes == 1 else stack, model)

    return apply


def clearest_plane(stack: ImageStack) -> ImageStack:
    """Return the plane that looks most like a usual image: all LEDs inside the aperture, else the most central, else the first.

    Examples
    --------
    >>> from napari_cellrestore.leds import LedTable
    >>> leds = LedTable(index=[0, 1], polar_deg=[20, 3], azimuth_deg=0)
    >>> clearest_plane(ImageStack(np.arange(2).reshape(2, 1, 1), "AYX", leds=leds)).data.tolist()
    [[1]]
    """
    for axis in stack.plane_axes:
        stack = stack.select(axis, clearest(stack.leds) if axis == "A" else 0)
    return stack


def in_colours_of(image: Array, reference: Array) -> Array:
    """Return an image in grey where the reference is, and in three equal colours where it is coloured."""
    image = _opaque(image)
    if reference.ndim == image.ndim:
        return image
    return green(image) if reference.ndim == 2 else np.stack([image] * 3, axis=-1)


def _opaque(image: Array) -> Array:
    return image[..., :3] if image.ndim == 3 else image


def _in_levels_of(image: Array, stack: ImageStack, truth: ImageStack) -> tuple[Array, list[str]]:
    """Return a plane of a stack in the grey levels and the type of the target, and what had to be guessed for it."""
    low, high, guessed = grey_range(stack, deciding_pixels(stack))
    to_low, to_high, also_guessed = grey_range(truth, deciding_pixels(truth))
    levels = (image.astype(np.float64) - low) * ((to_high - to_low) / (high - low)) + to_low
    return quantise(levels, truth.data.dtype), [*guessed, *also_guessed]
