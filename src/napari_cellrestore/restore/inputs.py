"""What a model is given of a stack: one plane after another, or several planes together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import dask.array as da
import numpy as np

from napari_cellrestore.card import ModelCard
from napari_cellrestore.leds import LedTable, clearest
from napari_cellrestore.leds.symmetry import TOLERANCE_DEG
from napari_cellrestore.model import Model, load_model
from napari_cellrestore.restore.plan import Plan
from napari_cellrestore.stack import ImageStack

#: Wavelengths no farther apart are of one LED.
SAME_LIGHT_UM = 0.015

Array = np.ndarray
ImageLike: TypeAlias = Array | da.Array | ImageStack
#: One model or its name; of the way "members" several.
Models: TypeAlias = Model | str | Sequence[Model | str]


def loaded(model: Models) -> list[Model]:
    """Return the models, loaded."""
    given = list(model) if isinstance(model, Sequence) and not isinstance(model, str) else [model]
    return [one if isinstance(one, Model) else load_model(one) for one in given]


def colours_of(stack: ImageStack, card: ModelCard) -> str:
    """Return "grey", "rgb" or "rgb + alpha"; ValueError where a model does not take such an image."""
    if stack.data.dtype.kind not in "iuf":
        raise TypeError(f"image is {stack.data.dtype}: grey levels must be integers or floating point")
    if card.task == "distance":
        raise ValueError(f"model {card.name!r} tells the distance from focus and makes no image: choose another model")
    colours, rest = divmod(card.in_channels, card.in_planes)
    if rest or colours not in (1, 3) or card.out_channels not in (1, 3):
        raise ValueError(
            f"model {card.name!r} maps {card.in_channels} channels of {card.in_planes} planes to {card.out_channels}: grey "
            "images (1 channel) and colour images (3) can be restored here"
        )
    if colours == 1 and stack.rgb:
        raise ValueError(
            f"model {card.name!r} takes grey images and this one is in colour: take one of its colours, or a model of "
            "colour images"
        )
    if not stack.rgb and (card.in_planes > 1 or card.out_channels == 1) and colours == 3:
        raise ValueError(f"model {card.name!r} takes colour images and this one is grey: choose another model")
    return {1: "grey", 3: "rgb", 4: "rgb + alpha"}[stack.size("S")]


def planes_of(stack: ImageStack, card: ModelCard, planes: Sequence[int] | None) -> tuple[int, ...]:
    """Return which planes a model takes together, in the order it knows; () where it takes one after another.

    Planes of LED stacks are found by the light they were recorded in, never by their number. A model that learned from one
    LED's planes takes that LED's of a stack.
    """
    if card.in_planes == 1 and not (card.leds and stack.plane_axes == "A"):
        if planes is not None:
            raise ValueError(f"model {card.name!r} restores one plane after another: leave planes out")
        return ()
    axis = stack.plane_axes
    if len(axis) != 1:
        raise ValueError(
            f"model {card.name!r} makes one image of {card.in_planes} planes and this stack has the axes {stack.axes}: give one "
            "with a single axis of planes"
        )
    if card.leds:
        if planes is not None:
            raise ValueError(f"model {card.name!r} finds its planes by the LED table: leave planes out")
        return _lit_alike(stack, card)
    if planes is None:
        raise ValueError(
            f"model {card.name!r} makes one image of {card.in_planes} planes: say which of the {stack.n_planes} (planes)"
        )
    chosen = tuple(int(plane) for plane in planes)
    if len(chosen) != card.in_planes or not all(0 <= plane < stack.n_planes for plane in chosen):
        raise ValueError(
            f"planes are {', '.join(map(str, chosen)) or 'none'}: model {card.name!r} takes {card.in_planes} of 0 to "
            f"{stack.n_planes - 1}"
        )
    return chosen


def _lit_alike(stack: ImageStack, card: ModelCard) -> tuple[int, ...]:
    """Return the plane of each LED that a model knows."""
    if stack.leds is None:
        raise ValueError(
            f"model {card.name!r} knows LEDs by their direction and this stack has no LED table: give one (--leds TABLE, the LEDs "
            "widget, or leds of open_stack)"
        )
    wanted, ours = LedTable(**(card.leds or {})), stack.leds
    apart_deg = _apart_deg(wanted, ours)
    near = (apart_deg <= TOLERANCE_DEG) & (_whole(wanted)[:, None] == _whole(ours))
    unlike = {
        "at another wavelength": _other_light(wanted, ours),
        "at another exposure": wanted.exposure[:, None] != ours.exposure,
    }
    same = near & ~np.logical_or(*unlike.values())
    far_deg = np.where(same, apart_deg, np.inf)
    missing = ~same.any(axis=1)
    if missing.any():
        why = [
            next((said for said, other in unlike.items() if (near & other)[row].any()), "")
            for row in range(len(wanted))
        ]
        raise ValueError(
            f"{missing.sum()} of the {len(wanted)} LEDs of model {card.name!r} are not in this stack: "
            f"{'; '.join(_named(wanted, missing, why))}; record them, or train a model on the LEDs there are"
        )
    nearest = far_deg.argmin(axis=1)
    if len(set(nearest.tolist())) < len(nearest):
        first, second = next((a, b) for b, p in enumerate(nearest) for a in range(b) if nearest[a] == p)
        raise ValueError(
            f"model {card.name!r} knows LEDs {wanted.index[first]} and {wanted.index[second]} as two and plane {nearest[first]} of "
            "this stack would be both: the table lacks what tells them apart, such as the wavelength"
        )
    return tuple(int(plane) for plane in nearest)


def _other_light(one: LedTable, other: LedTable) -> Array:
    """Return for every two rows whether both wavelengths are known and differ."""
    return np.asarray(np.abs(one.wavelength_um[:, None] - other.wavelength_um) > SAME_LIGHT_UM)


def _named(leds: LedTable, missing: Array, why: Sequence[str]) -> list[str]:
    """Return the LEDs that are missing, all of them, ring by ring."""
    rings: dict[tuple[str, str, str], list[str]] = {}
    for row in np.flatnonzero(missing).tolist():
        ring = f"{leds.polar_deg[row]:.1f} deg", str(leds.exposure[row]), why[row]
        rings.setdefault(ring, []).append(f"{leds.index[row]} at {leds.azimuth_deg[row]:.0f} deg")
    return [
        f"{', '.join(names)} ({polar}, {exposure}{f': there, but {reason}' if reason else ''})"
        for (polar, exposure, reason), names in rings.items()
    ]


def _whole(leds: LedTable) -> Array:
    """Return which rows are of all LEDs inside the aperture together."""
    return np.asarray(leds.kind == "brightfield")


def _apart_deg(one: LedTable, other: LedTable) -> Array:
    """Return the angle between the light of every two rows; whole brightfields have no direction."""
    directions = []
    for leds in (one, other):
        polar = np.radians(np.where(_whole(leds), 0.0, leds.polar_deg))
        azimuth = np.radians(leds.azimuth_deg)
        directions.append(
            np.stack([np.sin(polar) * np.cos(azimuth), np.sin(polar) * np.sin(azimuth), np.cos(polar)], 1)
        )
    a, b = directions
    return np.asarray(np.degrees(2 * np.arcsin(np.clip(np.linalg.norm(a[:, None] - b, axis=-1) / 2, 0, 1))))


def given(stack: ImageStack, planes: Sequence[int]) -> da.Array:
    """Return what goes into the network: (..., Y, X, channels), of planes taken together one after the other along channels."""
    if planes:
        return stack.joined(planes)
    return da.asarray(stack.data) if stack.rgb else da.asarray(stack.data)[..., None]


def before(stack: ImageStack, plan: Plan) -> ImageStack:
    """Return the image that a result is laid beside, with the axes and the shape of the result.

    The input itself where it has these. Of planes taken together one: all LEDs inside the aperture, else the most central one,
    else the first. A grey image that became a coloured one is shown in grey colours, one of other grey levels in those of
    the result.
    """
    stack = _in_levels_of_result(stack, plan)
    if plan.planes:
        stack = stack.select(stack.plane_axes, plan.planes[clearest(stack.leds and stack.leds[list(plan.planes)])])
    if stack.rgb and not plan.result_axes.endswith("S"):
        return stack.replace(data=da.asarray(stack.data)[..., 1], axes=stack.axes.removesuffix("S"))
    if not stack.rgb and plan.result_axes.endswith("S"):
        return stack.replace(data=da.stack([da.asarray(stack.data)] * 3, axis=-1), axes=stack.axes + "S")
    return stack


def _in_levels_of_result(stack: ImageStack, plan: Plan) -> ImageStack:
    """Return a stack whose grey levels and type are those of the result, so that the two can be compared."""
    if (plan.result_dtype, plan.result_intensity) == (plan.dtype, plan.intensity):
        return stack
    dtype = np.dtype(plan.result_dtype)

    def scaled(pixels: Array) -> Array:
        (low, high), (to_low, to_high) = plan.intensity, plan.result_intensity
        levels = (pixels.astype(np.float64) - low) * ((to_high - to_low) / (high - low)) + to_low
        if dtype.kind in "iu":
            levels = np.clip(np.rint(levels), np.iinfo(dtype).min, np.iinfo(dtype).max)
        return levels.astype(dtype)

    return stack.replace(data=da.asarray(stack.data).map_blocks(scaled, dtype=dtype))
