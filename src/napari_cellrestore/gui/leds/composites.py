"""Images made of all planes of an LED stack, computed beside the window, and how their layers look."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from threading import Event
from typing import Any

import dask.array as da
import numpy as np

from napari_cellrestore.gui.compare.maps import DIVERGING, about_zero, from_zero
from napari_cellrestore.gui.watched import Stopped, WatchedPlanes
from napari_cellrestore.illumination import brightfield, colour_by_angle, darkfield, differential_phase
from napari_cellrestore.illumination.composites import single_leds
from napari_cellrestore.leds import LedTable
from napari_cellrestore.stack import ImageStack

#: Part of the pixels, in percent, that is not brighter than what is shown as white.
WHITE_PERCENT = 99.5


@dataclass(frozen=True)
class Composite:
    """A kind of image: its button, ``function(stack, azimuth_deg, na, *, saturation)``, and of which side of the aperture."""

    step: str
    label: str
    function: Callable[..., Any]
    inside: bool
    help: str


def _from_all_sides(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that takes an azimuth too, which is of no matter to it."""
    return lambda stack, _azimuth_deg, na, **known: function(stack, na, **known)


PHASE = "differential phase"
#: The kinds by the step that their provenance names, in the order of their buttons.
COMPOSITES = {
    kind.step: kind
    for kind in (
        Composite("synthetic brightfield", "Brightfield", _from_all_sides(brightfield), True,
                  "Mean of the planes whose light enters the objective, as if all these LEDs shone at once"),
        Composite("dark field", "Dark field", _from_all_sides(darkfield), False,
                  "Mean of the planes whose light misses the objective: scattered light alone"),
        Composite(PHASE, "Phase contrast", differential_phase, True,
                  "Differential phase contrast: light from one side against light from the other, by brightfield planes"),
        Composite("colour by angle", "Colour by angle", _from_all_sides(colour_by_angle), False,
                  "Dark field in the colour of where the light came from: red from the right, cyan from the left"),
    )
}  # fmt: skip


def rows_of(leds: LedTable, step: str, na: float) -> list[int]:
    """Return the planes that an image can be made of: single LEDs of one side of the aperture, each once."""
    inside = leds.brightfield(na)
    return single_leds(leds, inside if COMPOSITES[step].inside else ~inside).tolist()


def make_composite(
    stop: Event,
    planes: WatchedPlanes,
    stack: ImageStack,
    step: str,
    na: float,
    azimuth_deg: float,
    saturation: float | None = None,
) -> Iterator[ImageStack]:
    """Yield an image, what it is of in its provenance. Each of its planes is read once.

    Of colour stacks brightfield comes back in their type of pixels. What is far darker than a plane, or has colours of
    its own, is divided by the grey level that is shown as white, since napari shows colours as they are. Differential
    phase is that of green. Pixels that are burnt in a plane are NaN; in colours, which have no place for that, they are
    as bright as can be.
    """
    planes.stop = stop
    assert stack.leds is not None
    rows = rows_of(stack.leds, step, na)
    planes.total = max(len(rows), 1)
    made: dict[str, Any] = {"step": step, "computed": "from planes of single LEDs", "na": na, "planes": rows}
    made["leds"] = stack.leds.index[rows].tolist()
    lazy = stack.replace(data=_read_once(planes))
    if step == PHASE:
        made |= {"azimuth_deg": azimuth_deg, "unit": "1"}
        if stack.rgb:
            lazy = lazy.replace(data=lazy.data[..., 1], axes="AYX")
            made["colour"] = "green"
    try:
        lazy_pixels = COMPOSITES[step].function(lazy, azimuth_deg, na, saturation=saturation)
        pixels = np.asarray(lazy_pixels.compute(scheduler="synchronous"))
    except Stopped:
        return
    if saturation is not None:
        made["saturation"] = saturation
        if step != PHASE:  # which is not known in the dark either
            made["burnt_fraction"] = float(np.isnan(pixels).mean())
    pixels, changed = _as_colours(pixels, step, stack.data.dtype, saturation) if pixels.ndim == 3 else (pixels, {})
    axes = "YX" if pixels.ndim == 2 else "YXS"
    yield stack.replace(data=pixels, axes=axes, leds=None, notes=(), provenance={**made, **changed})


def _read_once(planes: WatchedPlanes) -> da.Array:
    chunks = ((1,) * planes.shape[0], *((n,) for n in planes.shape[1:]))
    return da.from_array(planes, chunks=chunks, name=False, meta=np.empty((0,) * planes.ndim, planes.dtype))


def _as_colours(
    pixels: np.ndarray, step: str, dtype: np.dtype[Any], saturation: float | None
) -> tuple[np.ndarray, dict[str, Any]]:
    """Return colours as napari shows them, and what was done to them."""
    if COMPOSITES[step].inside:
        pixels = pixels if saturation is None else np.where(np.isnan(pixels), np.float32(saturation), pixels)
        return (np.rint(pixels).astype(dtype), {"rounded": str(dtype)}) if dtype.kind in "ui" else (pixels, {})
    bright = pixels[np.isfinite(pixels)]
    white = float(np.percentile(bright, WHITE_PERCENT)) if bright.size else 0.0
    shown = np.where(np.isnan(pixels), np.float32(white or 1), pixels)
    return (shown / white, {"divided_by": white}) if white > 0 else (shown, {})


def look_of(image: ImageStack) -> dict[str, Any]:
    """Return how a new layer of an image is shown."""
    if image.rgb:
        return {}
    pixels = np.asarray(image.data)
    if image.provenance["step"] == PHASE:
        return {"colormap": DIVERGING, "contrast_limits": about_zero(pixels)}
    if not COMPOSITES[image.provenance["step"]].inside:
        return {"colormap": "gray", "contrast_limits": from_zero(pixels)}
    finite = pixels[np.isfinite(pixels)]
    low, high = np.percentile(finite, (0.1, 99.9)).tolist() if finite.size else (0.0, 1.0)
    return {"colormap": "gray", "contrast_limits": (low, high if high > low else low + 1.0)}


def composite_said(image: ImageStack) -> str:
    """Return what was made, in a sentence."""
    made = image.provenance
    n = len(made["planes"])
    said = f"{made['step'].capitalize()} of {n} {'plane' if n == 1 else 'planes'}"
    if made["step"] == PHASE:
        said += f" along {made['azimuth_deg']:g}°" + (", green" if "colour" in made else "")
    if "divided_by" in made:
        said += f"; white is grey level {made['divided_by']:.3g}"
    if burnt := made.get("burnt_fraction"):
        said += f"; {100 * burnt:.2g} % of the pixels are burnt in a plane" + (
            " and white" if image.rgb else ", so unknown"
        )
    return said + "."
