"""What a report says: scores, maps, warnings and facts of a restoration, computed once for all its forms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from scipy import ndimage

from napari_cellrestore.defocus_prediction import predicted_defocus_um
from napari_cellrestore.domain import Domain, judge_domain
from napari_cellrestore.focus import KERNEL_PX, FocusCurve, focus_curve
from napari_cellrestore.metrics import METRICS, difference_map, fpw_map, peak_level
from napari_cellrestore.report.maps import Map
from napari_cellrestore.report.pictures import Picture, Region, Scale
from napari_cellrestore.report.sheet import MARK, RULE
from napari_cellrestore.report.words import (
    MADE_BY,
    SIMULATED,
    described,
    facts,
    file_name,
    mapping,
    mark,
    missing,
    origin,
    settings,
    versions,
    warnings,
)
from napari_cellrestore.stack import ImageStack
from napari_cellrestore.trust import Trust, judge_pair

Array = np.ndarray

#: A detail is a quarter of the image's side, but no less than this.
DETAIL_PX = 48


@dataclass(frozen=True)
class Scores:
    """Metrics of one kind: a row for each metric, a column for each image."""

    heading: str
    remark: str
    compared_with: str  # "reference", "input", or "" where each metric is of one image by itself
    columns: tuple[str, ...]  # names of the images
    rows: dict[str, tuple[float | None, ...]]  # by name of the metric; None where it could not be computed

    def better(self, name: str) -> str:
        """Return the image that is closer to the reference, "equal", or "" where nothing can be said."""
        values = [value for value in self.rows[name] if value is not None]
        if self.compared_with != "reference" or len(values) < len(self.columns):
            return ""
        wish = METRICS[name].better
        losses = [abs(value - 1) if wish == "one" else -value if wish == "higher" else value for value in values]
        return "equal" if len(set(losses)) == 1 else self.columns[int(np.argmin(losses))]


@dataclass(frozen=True, eq=False)
class Report:
    """Everything a report shows."""

    title: str
    made: str
    origin: str
    pictures: tuple[Picture, ...]
    shown: str  # how grey levels are shown
    scale: Scale
    detail: Region | None
    maps: dict[str, Map]
    trust: Trust | None
    domain: Domain | None  # None where the model is not at hand
    curve: FocusCurve | None
    planes: tuple[int, ...]  # of the stack that the input is; more than one where they are equal
    scores: tuple[Scores, ...]
    warnings: tuple[str, ...]
    notes: tuple[str, ...]
    facts: dict[str, str]
    settings: dict[str, str]
    provenance: dict[str, Any]

    @property
    def basis(self) -> str:
        """What the restored image is compared with in maps and details."""
        return self.scores[0].compared_with


def collect(
    original: ImageStack,
    restored: ImageStack,
    reference: ImageStack | None = None,
    stack: ImageStack | None = None,
    *,
    title: str | None = None,
    data_range: float | None = None,
) -> Report:
    """Compute everything a report shows; the parameters are those of :func:`napari_cellrestore.report.make_report`."""
    stacks = {"input": original, "restored": restored} | ({} if reference is None else {"reference": reference})
    images = planes(stacks)
    if not isinstance(stack, ImageStack | None):
        raise TypeError(f"the stack is a {type(stack).__name__}: give an ImageStack, or None")
    basis = "input" if reference is None else "reference"
    plan = mapping(restored.provenance.get("plan"))
    span, span_said = _span(images[basis], plan, data_range)
    scores, notes = _scores(images, basis, span)
    maps = _maps(images, basis)
    trust, no_trust = _trust(images, restored)
    domain = _domain(original, restored, plan)
    levels, levels_said = _levels(images)
    made = datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
    everything = stacks if stack is None else stacks | {"stack": stack}
    return Report(
        title=title or f"Restoration of {file_name(original.source) or 'an image without a file'}",
        made=made,
        origin=origin(restored),
        pictures=tuple(_picture(name, image, stacks[name]) for name, image in images.items()),
        shown=levels_said,
        scale=Scale(levels, original.pixel_um, _aspect(original)),
        detail=_detail(images[basis].shape[:2], maps["fpw"].values if "fpw" in maps else None),
        maps=maps,
        trust=trust,
        domain=domain,
        curve=None if stack is None else focus_curve(stack),
        planes=() if stack is None else planes_of(images["input"], stack, original.z_um),
        scores=scores,
        warnings=tuple(dict.fromkeys(warnings(stacks, images, plan))),
        notes=tuple(dict.fromkeys([span_said, *no_trust, *notes])),
        facts=facts(restored, everything, made, plan),
        settings=settings(plan),
        provenance={
            "made_by": MADE_BY,
            "made": made,
            "versions": versions(),
            "data_range": span,
            "images": {name: described(one) for name, one in everything.items()},
        },
    )


def _picture(name: str, image: Array, stack: ImageStack) -> Picture:
    said = mark(name, stack)
    return Picture(name.capitalize(), image, said, RULE if said == SIMULATED else MARK)


# --- what came in ------------------------------------------------------------------------------------------


def planes(stacks: Mapping[str, ImageStack]) -> dict[str, Array]:
    """Return the pixels of single planes, without alpha, all of one shape."""
    images = {name: _plane(name, stack) for name, stack in stacks.items()}
    first, *others = images
    for name in others:
        if images[name].shape != images[first].shape:
            raise ValueError(
                f"the {name} image has shape {images[name].shape} and the {first} {images[first].shape}: a report compares "
                "images of one place, size and number of colours; crop, resample or convert one of them"
            )
    return images


def _plane(name: str, stack: ImageStack) -> Array:
    if not isinstance(stack, ImageStack):
        raise TypeError(f"the {name} is a {type(stack).__name__}: give an ImageStack")
    if stack.n_planes > 1:
        axis = next(letter for letter in stack.plane_axes if stack.size(letter) > 1)
        raise ValueError(
            f"the {name} has {stack.n_planes} planes (axes {stack.axes}): a report is about one; select it first, for "
            f'example .select("{axis}", 0)'
        )
    if stack.data.dtype.kind not in "buif":
        raise TypeError(f"the {name} is {stack.data.dtype}: grey levels must be integers or floating point")
    pixels = np.asarray(stack.data).reshape(stack.yx_shape + ((stack.size("S"),) if stack.rgb else ()))
    return pixels[..., :3] if stack.rgb else pixels


def planes_of(image: Array, stack: ImageStack, z_um: Any = None) -> tuple[int, ...]:
    """Return which planes of a focus stack (ZYX or ZYXS) have the pixels of an image, and its z where that is known."""
    equal_nan = image.dtype.kind == "f"
    found = []
    for index in range(stack.size("Z")):
        plane = np.asarray(stack.data[index])
        if np.array_equal(plane[..., :3] if stack.rgb else plane, image, equal_nan=equal_nan):
            found.append(index)
    if z_um is None or stack.z_um is None:
        return tuple(found)
    return tuple(index for index in found if np.isclose(stack.z_um[index], z_um[0]))


def _span(basis: Array, plan: Mapping[str, Any], data_range: float | None) -> tuple[float | None, str]:
    """Return the span of possible grey levels and where it is known from; never measured."""
    if data_range is not None:
        span = peak_level(basis, data_range)
        return span, f"PSNR and SSIM take a data range of {span:g}, as was asked for."
    taken = _taken(plan)
    if basis.dtype.kind == "u":
        span = peak_level(basis)
        less = (
            ""
            if taken is None or taken[1] - taken[0] >= span
            else f"; the restoration took {taken[0]:g} to {taken[1]:g}"
        )
        return span, f"PSNR and SSIM take the whole data range of {basis.dtype}, {span:g}{less}."
    if taken is not None:
        span = peak_level(basis, taken[1] - taken[0])
        return span, f"PSNR and SSIM take the data range of the restoration's plan, {span:g}."
    return None, f"PSNR and SSIM are left out: neither {basis.dtype} nor a plan tells the data range; give data_range."


def _taken(plan: Mapping[str, Any]) -> tuple[float, float] | None:
    """Return the grey levels that a plan took for black and full scale."""
    try:
        low, high = map(float, plan.get("intensity", ()))
    except (TypeError, ValueError):
        return None
    return (low, high) if low < high else None


# --- numbers and maps --------------------------------------------------------------------------------------


def _scores(images: Mapping[str, Array], basis: str, span: float | None) -> tuple[tuple[Scores, ...], list[str]]:
    filled, mask, notes = _measurable(images)
    failed: dict[str, dict[str, None]] = {}  # labels of metrics, in order and each once, by what went wrong

    def value(name: str, *of: Array) -> float | None:
        if span is None and name in _NEED_SPAN:
            return None
        try:
            return METRICS[name](*of, data_range=span, mask=mask)
        except ValueError as error:
            failed.setdefault(str(error), {})[METRICS[name].label] = None
            return None

    pairs = [name for name, metric in METRICS.items() if metric.needs_reference]
    single = [name for name in METRICS if name not in pairs]
    compared = tuple(name for name in ("input", "restored") if name != basis)
    if basis == "reference":
        heading, remark = "Closeness to the reference", "✓ marks the image that is closer to the reference."
    else:
        heading = "Size of the change: restored against input"
        remark = (
            "The input stands in for the reference: the numbers tell how large the change is, not whether it is right."
        )
    changes = {name: tuple(value(name, filled[basis], filled[image]) for image in compared) for name in pairs}
    alone = {name: tuple(value(name, image) for image in filled.values()) for name in single}
    notes += [f"{', '.join(labels)} could not be computed: {error}." for error, labels in failed.items()]
    return (
        Scores(heading, remark, basis, compared, changes),
        Scores("Each image by itself", "Noise raises these numbers as structure does.", "", tuple(images), alone),
    ), notes


_NEED_SPAN = ("psnr", "ssim", "ssim_global")


def _measurable(images: Mapping[str, Array]) -> tuple[dict[str, Array], Array | None, list[str]]:
    """Return images without NaN, and a mask of the pixels whose neighbourhoods had none (None: all)."""
    holes = np.any([missing(image) for image in images.values()], axis=0)
    if not holes.any():
        return dict(images), None, []
    mask = ~ndimage.binary_dilation(holes, np.ones((KERNEL_PX, KERNEL_PX), bool))
    filled = {}
    for name, image in images.items():
        finite = np.isfinite(image)
        filled[name] = np.where(finite, image, image.dtype.type(image[finite].mean() if finite.any() else 0))
    left_out = (
        f"{np.count_nonzero(~mask)} of {mask.size} pixels are left out of the metrics: one of the images is NaN or"
    )
    return filled, mask, [f"{left_out} infinite there or within {KERNEL_PX // 2} px."]


def _maps(images: Mapping[str, Array], basis: str) -> dict[str, Map]:
    """Return the maps that can be made, by the name of their file."""
    before, after = images[basis], images["restored"]
    with np.errstate(invalid="ignore"):  # inf - inf
        difference = difference_map(before, after)
    colours = " Of the three colours the one that differs most." if difference.ndim == 3 else ""
    maps = {
        "difference": Map(
            f"Difference: restored minus {basis}",
            largest_colour(difference),
            "grey levels",
            f"Red: restored is brighter than the {basis}. Blue: darker. White: equal.{colours}",
            signed=True,
        )
    }
    if min(before.shape[:2]) >= KERNEL_PX:
        channel = " (green channel)" if before.ndim == 3 else ""
        with np.errstate(invalid="ignore"):
            focus = fpw_map(before, after)
        maps["fpw"] = Map(
            "FPW: difference of focus",
            focus,
            "grey levels²",
            f"Black: restored is as sharp as the {basis}{channel}. Bright: sharper, or less sharp. Grey: no value.",
            signed=False,
        )
    return maps


def _trust(images: Mapping[str, Array], restored: ImageStack) -> tuple[Trust | None, list[str]]:
    """Return how far the restored image explains the input and how sure its model is, and what of it cannot be said."""
    pair = images["input"], images["restored"]
    try:
        if "model" not in restored.provenance:
            return judge_pair(*pair), []
        # with torch, which other reports do not need
        from napari_cellrestore.trust.asking import judge_made, maker_of

        try:
            maker = maker_of(restored.provenance)
        except ValueError as error:
            return judge_pair(*pair), [f"Where the model is unsure is not shown: {error}."]
        return judge_made(*pair, maker), []
    except ValueError as error:
        return None, [f"Whether the restored image explains the input cannot be said: {error}."]


def _domain(original: ImageStack, restored: ImageStack, plan: Mapping[str, Any]) -> Domain | None:
    """Return how far the input lies from what its model knows; of several models the first."""
    name, *_ = str(restored.provenance.get("model") or "").split(", ")
    if not name:
        return None
    from napari_cellrestore.model import list_models

    card = next((card for card in list_models() if card.name == name), None)
    if card is None or not str(restored.provenance.get("weights_sha256")).startswith(card.weights_sha256):
        return None
    intensity = _taken(plan)
    defocus = predicted_defocus_um(original, intensity=intensity)
    planes = tuple(plan.get("planes") or ())
    return judge_domain(original, card, predicted_defocus_um=defocus, intensity=intensity, planes=planes)


def largest_colour(difference: Array) -> Array:
    """Return (Y, X): of each pixel's colours the difference that is largest, with its sign."""
    if difference.ndim == 2:
        return difference
    most = np.abs(np.nan_to_num(difference)).argmax(axis=-1)[..., None]
    largest = np.take_along_axis(difference, most, axis=-1)[..., 0]
    return np.asarray(np.where(np.isfinite(difference).all(axis=-1), largest, np.nan))


def _levels(images: Mapping[str, Array]) -> tuple[tuple[float, float], str]:
    """Return the grey levels shown black and white, one pair for all pictures."""
    kind = next(iter(images.values()))
    if all(image.dtype == np.uint8 for image in images.values()) and kind.ndim == 3:
        return (0.0, 255.0), "All pictures: grey levels 0 to 255 are shown, no stretching."
    finite = [image[np.isfinite(image)] for image in images.values()]
    some = np.concatenate([values[:: max(1, values.size // 1_000_000)] for values in finite]).astype(np.float64)
    low, high = (float(v) for v in np.percentile(some, (0.1, 99.9))) if some.size else (0.0, 1.0)
    high = high if high > low else low + 1
    return (low, high), f"All pictures: grey level {low:.4g} is shown black, {high:.4g} white, in all alike."


def _aspect(stack: ImageStack) -> float:
    """Return the height of a pixel over its width."""
    height, width = stack.pixel_yx_um or (1.0, 1.0)
    return height / width


def _detail(shape: tuple[int, ...], focus: Array | None) -> Region | None:
    """Return the quarter-size region in which the focus differs most, or the middle; None where the image is too small for one."""
    sides = [min(n, max(-(-n // 4), DETAIL_PX)) for n in shape]
    if focus is None or sides == list(shape):
        return None
    total = np.pad(np.nan_to_num(focus).astype(np.float64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    height, width = sides
    sums = total[height:, width:] - total[:-height, width:] - total[height:, :-width] + total[:-height, :-width]
    most = np.unravel_index(sums.argmax(), sums.shape) if sums.any() else [n // 2 for n in sums.shape]
    top, left = (int(i) for i in most)
    return slice(top, top + height), slice(left, left + width)
