"""How far from focus a single image is, as a network of task "distance" sees it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from napari_cellrestore.sample import as_stack, grey_range, spread_parts
from napari_cellrestore.stack import ImageStack
from napari_cellrestore.trust import estimate_noise

if TYPE_CHECKING:
    from napari_cellrestore.model import Model

Array = np.ndarray
NO_PREDICTION = "no model that predicts defocus is installed"
#: Defocus is predicted for crops of this side, of at most so many, the ones with most structure.
CROP_PX, CROPS = 128, 64
#: Standard deviation, of a range from -1 to 1, below which a crop is flat: a quarter of a grey level of 255.
FLAT = 0.002


def predict_defocus_um(
    image: Any, model: Model, *, intensity: tuple[float, float] | None = None
) -> tuple[float, float]:
    """Return how far a single image is from focus, and how unsure that is, in micrometres.

    The network gives a score for each focus level of ``model.card.levels_um``. Of each crop of 128 px that holds structure
    the distance is the mean of the levels, weighed by the softmax of the scores; the result is the median over crops and
    1.4826 times their median absolute deviation, or of one crop the standard deviation of its levels. A large image is looked
    at in parts spread over it.

    Parameters
    ----------
    image : (Y, X[, C]) array or ImageStack of one plane
    model : Model
        Of task "distance"; its network maps (N, C, Y, X) in -1..1 to (N, levels).
    intensity : (float, float), optional
        Black and full scale, as in a plan.

    Raises
    ------
    ValueError
        A model of another task, a card without levels, or an image with no structure or too small.
    """
    levels_um = _levels_um(model)
    stack = as_stack(image)
    if stack.n_planes != 1:
        raise ValueError(f"defocus is predicted for one plane, this stack has {stack.n_planes}: select one")
    plane = spread_parts(stack.data.reshape(stack.yx_shape + ((stack.size("S"),) if stack.rgb else ())))
    low, high, _ = grey_range(stack, plane, intensity)
    colour = plane[..., :3] if stack.rgb else np.repeat(plane[..., None], model.card.in_channels, axis=-1)
    scaled = (colour.astype(np.float32) - np.float32(low)) * np.float32(2 / (high - low)) - 1
    chances = _chances(model, _crops(scaled), len(levels_um))
    of_crops = chances @ levels_um
    um = float(np.median(of_crops))
    if len(of_crops) == 1:
        return um, float(np.sqrt(chances[0] @ (levels_um - um) ** 2))
    return um, float(1.4826 * np.median(np.abs(of_crops - um)))


def _levels_um(model: Model) -> Array:
    card = model.card
    levels_um = np.asarray(card.levels_um, float)
    if card.task != "distance":
        raise ValueError(f"model {card.name!r} does {card.task}: give one of task 'distance' to predict defocus")
    if not levels_um.size:
        raise ValueError(f"model {card.name!r}: its card does not say which focus levels it tells apart (levels_um)")
    return levels_um


def _crops(image: Array) -> list[Array]:
    """Return the crops of an image (Y, X, C) that hold structure, those with most of it first."""
    if not np.isfinite(image).all():
        raise ValueError("the image has pixels that are NaN or infinite: mend or crop it to predict its defocus")
    side = min(CROP_PX, *image.shape[:2])
    if side < 32:
        raise ValueError(
            f"the image is {image.shape[0]} x {image.shape[1]} px: 32 px a side are needed to predict defocus"
        )
    corners = [
        (y, x) for y in range(0, image.shape[0] - side + 1, side) for x in range(0, image.shape[1] - side + 1, side)
    ]
    crops = [image[y : y + side, x : x + side] for y, x in corners]
    strength = np.array([ndimage.gaussian_filter(crop.mean(axis=-1), 2.0).std() for crop in crops])
    noise = estimate_noise(image) / np.sqrt(16 * np.pi)  # what a Gaussian of 2 px leaves of it
    least = max(3 * noise, FLAT)
    kept = np.flatnonzero((strength > least) & (strength > 0.5 * np.percentile(strength, 90)))
    if not len(kept):
        raise ValueError("the image holds nothing but background: its defocus cannot be predicted")
    return [crops[place] for place in kept[np.argsort(-strength[kept])][:CROPS]]


def _chances(model: Model, crops: Sequence[Array], levels: int) -> Array:
    """Return the probability of each level for each crop, one crop at a time."""
    import torch

    chances = []
    with torch.inference_mode():
        for crop in crops:
            tensor = torch.from_numpy(np.ascontiguousarray(np.moveaxis(crop, -1, 0)[None]))
            chances.append(torch.softmax(model.network(tensor)[0].double(), dim=-1).numpy())
    found = np.stack(chances)
    if found.shape[1:] != (levels,):
        raise ValueError(
            f"model {model.card.name!r} gives scores of shape {found.shape[1:]} for {levels} focus levels: its card and its "
            "network do not belong together"
        )
    return found


def predicted_defocus_um(
    stack: ImageStack, *, intensity: tuple[float, float] | None = None
) -> tuple[float, float] | str:
    """Return what the installed model predicts of the first, the middle and the last plane, or why it cannot.

    Of the three it is the plane farthest from focus: a stack is restored as a whole. To be given to
    :func:`napari_cellrestore.domain.judge_domain`.
    """
    model = defocus_model()
    if model is None:
        return NO_PREDICTION
    if "A" in stack.plane_axes:
        return f"the model that predicts defocus ({model.card.name}) knows no images of single LEDs"
    if not stack.rgb and model.card.in_channels > 1:
        return f"the model that predicts defocus ({model.card.name}) knows colour images only"
    shape = stack.data.shape[: len(stack.plane_axes)]
    axes = f"YX{'S' if stack.rgb else ''}"
    found = []
    for number in sorted({0, stack.n_planes // 2, stack.n_planes - 1}):
        plane = stack.data[np.unravel_index(number, shape) if shape else ()]
        try:
            found.append(predict_defocus_um(ImageStack(plane, axes), model, intensity=intensity))
        except ValueError as error:
            return str(error)
    return max(found)


def defocus_model() -> Model | None:
    """Return the first model in the list that predicts defocus, None where there is none."""
    from napari_cellrestore.model import list_models, load_model

    card = next((card for card in list_models() if card.task == "distance" and card.levels_um), None)
    return None if card is None else load_model(card.name)
