"""Why a sample may be among the worst: proposals in words, each with the number that led to it.

Wulff 2022 (4.2.4, table 4.3) looked at the 100 worst samples of a network by eye: most of the gravest errors came not from
the network but from the data. The target lay beside the input, had stain or dirt that the input did not have, or the
planes of the LED stack had moved. What these look for is meant to be looked at, not believed.

Of faults put into 24 simulated LED stacks of drawn cells (14 planes, 128 x 128 px, 0.25 um, camera noise, up to 1 um out of
focus; an ordinary prediction: smooth, a little off in colour, with grain) these were found: targets 1.5, 3 and 6 px beside the
input 72 of 72, targets of another field 24 of 24, added nuclei 24 of 24, erased ones 19 of 20, artefacts in the target (blue,
brown, violet, water mark) 73 of 96. Nothing was said of the 24 as they were, nor of 32 planes of simulated focus stacks; 5 of the
20 erased nuclei were taken for an artefact as well. Of crops of 64, 96, 128 and 160 px, 40 each, all planes moved by 3 px were
found in each, one plane moved by 4 px in 19, 35, 39 and 38, named rightly; nothing was said of planes of the 160 as they were.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from skimage.measure import label

from napari_cellrestore.focus import green
from napari_cellrestore.illumination.planes import measure_planes
from napari_cellrestore.illumination.shifts import against_brightfield, inside_shifts, off_brightfield
from napari_cellrestore.illumination.sideways import ENOUGH
from napari_cellrestore.nuclei import compare_nuclei
from napari_cellrestore.register import estimate_shift
from napari_cellrestore.stack import ImageStack

Array = np.ndarray

#: Shifts below these are no cause, in pixels: so much is measured where images, and planes of other light, lie on each other.
BESIDE_PX, PLANES_BESIDE_PX = 1.0, 2.0
#: The same of one plane: of drawn cells lit at 17 degrees up to 2.7 are measured where nothing moved.
PLANE_BESIDE_PX = 3.0
#: Two measurements of the shift of a plane say the same if they differ by less, in pixels.
AGREE_PX = 1.5
#: Correlation of two images once they are moved onto each other, below which it was not their shift.
ALIKE = 0.5
#: Part of an image that a shift is believed up to: farther away other cells look alike.
FARTHEST = 0.25
#: Correlation of edges, in robust standard deviations of that of places that do not belong together, which a pair has.
TOGETHER = 4.0
#: Structure of the input where the target has an artefact, in units of its quiet parts: no more than this is none.
NOTHING = 1.8
#: Structure of the target there, in units of its quiet parts, or else the share of colours that it has nowhere else.
SOMETHING, STRANGE = 3.0, 0.5

_EDGES_PX = 1.5
_ERROR_PX = 2.0
_SMALLEST_PX = 25
_QUIET_PERCENT = 25
_PLACES = 60  # that do not belong together
UNKNOWN = "not known: look at it"


@dataclass(frozen=True, eq=False)
class Case:
    """One of the worst samples, at one focus level.

    Attributes
    ----------
    stack : ImageStack
        What the method was given.
    given, prediction, target : (Y, X) or (Y, X, 3 or 4) array
        The input as one image, the restored image and the truth.
    """

    stack: ImageStack
    given: Array
    prediction: Array
    target: Array


@dataclass(frozen=True)
class Cause:
    """A proposal: its name in :data:`CAUSES`, the number that led to it, and both in words."""

    name: str
    number: float
    said: str


def likely_causes(case: Case) -> list[Cause]:
    """Return what may be the reason of a large error, in the order of :data:`CAUSES`; empty where nothing is found."""
    found = ((name, look(case)) for name, look in CAUSES.items())
    return [Cause(name, *one) for name, one in found if one is not None]


def said(causes: list[Cause]) -> list[str]:
    """Return causes in words, also where there are none.

    >>> said([Cause("mismatch", 4.2, "the target lies 4.2 px beside the input")])
    ['likely: the target lies 4.2 px beside the input']
    """
    texts = [cause.said for cause in causes] or [UNKNOWN]
    return [f"likely: {texts[0]}", *texts[1:]] if causes else texts


# --- planes of the input --------------------------------------------------------------------------------------


def planes_shifted(case: Case) -> tuple[float, str] | None:
    """LED stacks: the farthest that a plane of light inside the aperture lies beside the others, in pixels.

    Against the brightfield all planes are measured as a whole; one plane, against the brightfield and, of eight planes or more,
    against those of the nearest LEDs, and it is told where both say the same: in small images one or the other errs.
    Out of focus, light from the side moves the image by the defocus times the tangent of its angle: what of the shifts
    follows the light is taken off.
    """
    leds, stack = case.stack.leds, case.stack
    if leds is None or stack.plane_axes != "A" or not (leds.kind == "brightfield").any():
        return None
    points = np.flatnonzero(leds.kind == "point")
    if not len(points):
        return None
    planes = measure_planes(stack, None)
    # The table says which LEDs are inside, not the aperture.
    inside = float(np.sin(np.radians(leds.polar_deg[points].max() + 1)))
    whole = against_brightfield(planes, inside, ~planes.flat).get("inside")
    if whole is not None and (far := float(np.hypot(*whole))) > PLANES_BESIDE_PX:
        return far, f"all planes of single LEDs of the input lie {far:.1f} px beside its brightfield"
    off_px = off_brightfield(planes, points)
    left = np.nan_to_num(np.hypot(*off_px.T))
    if len(points) >= ENOUGH:  # fewer have no neighbours that are alike
        beside_px = inside_shifts(planes, inside, ~planes.flat)[points]
        left[~(np.hypot(*(off_px - beside_px).T) < AGREE_PX)] = 0
    worst = int(left.argmax())
    if left[worst] <= PLANE_BESIDE_PX:
        return None
    number = int((left > PLANE_BESIDE_PX).sum())
    more = "" if number == 1 else f", as {number - 1} more of {len(points)}"
    where = f"plane {points[worst]} (LED {leds.index[points[worst]]})"
    return float(left[worst]), f"{where} of the input lies {left[worst]:.1f} px beside its brightfield{more}"


# --- input and target -----------------------------------------------------------------------------------------


def mismatch(case: Case) -> tuple[float, str] | None:
    """How far the target lies beside the input, in pixels; or the correlation of their edges where they show other things.

    What the network made lies on the input and looks like the target, so both are compared; where they have nothing in
    common, edges of the input and of the target.
    """
    shift = _sure_shift(_grey(case.target), _grey(case.prediction))
    if shift is None:
        shift = _sure_shift(_edges(case.target), _edges(case.given))
    if shift is not None:
        far = float(np.hypot(*shift))
        if far <= BESIDE_PX:
            return None
        down, right = shift  # of the prediction to lie on the target
        return (
            far,
            f"the target lies {far:.1f} px beside the input ({_way(down, 'down', 'up')}, {_way(right, 'right', 'left')})",
        )
    likeness, usual = _edge_likeness(case.given, case.target)
    if likeness > usual:
        return None
    return (
        likeness,
        f"input and target do not show the same (edges correlate by {likeness:.2f}, by chance {usual:.2f})",
    )


def _way(px: float, positive: str, negative: str) -> str:
    return f"{abs(px):.1f} {positive if px >= 0 else negative}"


def _shift(reference: Array, image: Array) -> tuple[float, float] | None:
    """Return by how many pixels the image has to be moved, None where it cannot be told."""
    try:
        return estimate_shift(reference, image)
    except ValueError:  # no contrast, or nothing in common
        return None


def _sure_shift(reference: Array, image: Array) -> tuple[float, float] | None:
    """Return the shift where it is not too far and makes the images alike, else None."""
    shift = _shift(reference, image)
    if shift is None or (np.abs(shift) > FARTHEST * np.array(reference.shape)).any():
        return None
    whole = np.rint(shift).astype(int)
    here = tuple(slice(max(k, 0), n + min(k, 0)) for k, n in zip(whole, reference.shape, strict=True))
    there = tuple(slice(max(-k, 0), n + min(-k, 0)) for k, n in zip(whole, reference.shape, strict=True))
    a, b = (ndimage.gaussian_filter(part, _EDGES_PX) for part in (reference[here], image[there]))
    return shift if float(np.corrcoef(a.ravel(), b.ravel())[0, 1]) >= ALIKE else None


def _edge_likeness(one: Array, other: Array) -> tuple[float, float]:
    """Return the correlation of edges, and what places that do not belong together reach by chance."""
    a, b = (_edges(image) for image in (one, other))
    a, b = ((part - part.mean()) / max(float(part.std()), 1e-12) for part in (a, b))
    rng = np.random.default_rng(0)
    away = [rng.integers(n // 8, max(n - n // 8, n // 8 + 1), _PLACES) for n in a.shape]
    chance = np.array([(a * np.roll(b, (dy, dx), (0, 1))).mean() for dy, dx in zip(*away, strict=True)])
    spread = 1.4826 * np.median(np.abs(chance - np.median(chance)))
    return float((a * b).mean()), float(np.median(chance) + TOGETHER * spread)


# --- target alone ---------------------------------------------------------------------------------------------


def artefact_in_target(case: Case) -> tuple[float, str] | None:
    """Structure of the target, in units of its quiet parts, in the place of the largest error, where the input has none.

    The place is what hangs together above half of the largest smoothed error. There the input, and what was made of it,
    must be as quiet as the quietest quarter of themselves, and the target have structure or colours that it has nowhere else.
    """
    place = _largest_error(case.prediction, case.target)
    if place is None:
        return None
    if any(_structure(image, place) > NOTHING for image in (case.given, case.prediction)):
        return None
    structure, strange = _structure(case.target, place), _strange(case.target, place)
    if structure < SOMETHING and strange < STRANGE:
        return None
    y, x = (round(float(at)) for at in ndimage.center_of_mass(place))
    what = f"{structure:.0f} times the structure of quiet parts"
    if strange >= STRANGE:
        what += f", {100 * strange:.0f} % in colours found nowhere else"
    return structure, f"the target has something at row {y}, column {x} that the input does not show ({what})"


def _largest_error(prediction: Array, target: Array) -> Array | None:
    error = np.abs(_grey(prediction) - _grey(target)) if target.ndim == 2 else _colour_error(prediction, target)
    smooth = ndimage.gaussian_filter(error, _ERROR_PX)
    if smooth.max() <= 0:
        return None
    parts = label(smooth > smooth.max() / 2)
    place = parts == parts[np.unravel_index(int(smooth.argmax()), smooth.shape)]
    return place if np.count_nonzero(place) >= _SMALLEST_PX else None


def _colour_error(prediction: Array, target: Array) -> Array:
    return np.asarray(np.abs(prediction[..., :3].astype(float) - target[..., :3]).mean(axis=-1))


def _structure(image: Array, place: Array) -> float:
    """Return the mean edge in a place, in units of that of the quietest quarter of the image."""
    edges = _edges(image)
    quiet = float(np.percentile(edges, _QUIET_PERCENT))
    return float(edges[place].mean()) / quiet if quiet > 0 else np.inf * float(edges[place].any())


def _strange(image: Array, place: Array) -> float:
    """Return the share of a place in colours that hardly a pixel of the rest has."""
    if image.ndim == 2:
        return 0.0
    low, high = (float(level) for level in np.percentile(image[..., :3], (0.1, 99.9)))
    steps = np.clip((image[..., :3].astype(float) - low) / max(high - low, 1e-9) * 15, 0, 15).astype(int)
    rest = ~ndimage.binary_dilation(place, iterations=3)
    usual, _ = np.histogramdd(steps[rest], bins=(range(17),) * 3)
    usual = ndimage.gaussian_filter(usual, 0.7)
    return float((usual[tuple(steps[place].T)] < 1e-4 * max(int(rest.sum()), 1)).mean())


# --- nuclei ---------------------------------------------------------------------------------------------------


def nuclei_differ(case: Case) -> tuple[float, str] | None:
    """Count nuclei that are missing or added, in samples in colours whose pixel size is known."""
    pixel_um = case.stack.pixel_um
    if case.target.ndim != 3 or pixel_um is None:
        return None
    found = compare_nuclei(case.target, case.prediction, pixel_um)
    counts = found.counts
    if found.target.doubt or not counts.wrong:
        return None
    theirs = "nucleus" if counts.target == 1 else "nuclei"
    parts = [f"{counts.missing} of {counts.target} {theirs} missing"] if counts.missing else []
    parts += [f"{counts.added} {'nuclei' if counts.added > 1 else 'nucleus'} added"] if counts.added else []
    return float(counts.wrong), ", ".join(parts)


# --- what all share -------------------------------------------------------------------------------------------


def _grey(image: Array) -> Array:
    return np.asarray(green(image).astype(float))


def _edges(image: Array) -> Array:
    return np.asarray(ndimage.gaussian_gradient_magnitude(_grey(image), _EDGES_PX))


#: Looks for each cause, the gravest first: name -> function that returns the number and what it says, or None.
CAUSES: Mapping[str, Callable[[Case], tuple[float, str] | None]] = {
    "planes shifted": planes_shifted,
    "mismatch": mismatch,
    "nuclei": nuclei_differ,
    "artefact in the target": artefact_in_target,
}
