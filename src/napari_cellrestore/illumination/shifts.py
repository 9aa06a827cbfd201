"""How far the planes of an LED stack lie from one another.

Planes are measured against those of the nearest LEDs, which look most like them, not against brightfield. On a recorded
smear (three colours, 225 LEDs, 128 x 128 px, in register) comparing dark-field planes with the edges of brightfield
failed for a third of the planes of one colour and missed by a pixel or more for another third; all of them met the mean
of the four nearest planes within 0.8 px. Dark field as a whole is then measured against brightfield.

Out of focus, light from the side moves the image, by the defocus times the tangent of the angle: by 4 px in that smear.
Such a shift is optics and is taken out of planes whose light enters the objective; 1.6 px at most was left, and of planes
that were moved by 3 px on purpose, 2.0 px at least.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_cellrestore.illumination.finding import Finding
from napari_cellrestore.illumination.order import ENOUGH, Mask, Rows, at_edge, groups, neighbours, within_reach
from napari_cellrestore.illumination.planes import Floats, MeasuredPlanes
from napari_cellrestore.illumination.sideways import ENOUGH as ENOUGH_FOR_DEFOCUS
from napari_cellrestore.illumination.sideways import sideways, slopes
from napari_cellrestore.register import estimate_shift

#: Planes off by no more than this are in register.
IN_REGISTER_PX = 1.8
#: Likeness that a shift must lead to, as a correlation and as a multiple of what happens by chance, or it is not known; of
#: recorded planes it is 0.5 and more.
LIKE, LIKE_BY_CHANCE = 0.35, 5.0
UNKNOWN = (np.nan, np.nan)

Image = npt.NDArray[np.float32]


def inside_shifts(planes: MeasuredPlanes, na: float, usable: Mask) -> Floats:
    """Return by how much (A, 2) each plane with light inside the aperture lies off the others, without defocus.

    Each plane is measured against those of the nearest LEDs. What is linear in the difference of their directions is
    defocus; of what is left each plane has the median. The plane that is farthest off is set aside and the others are
    looked at without it, until all are in register. NaN where fewer than two others are like it.
    """
    leds = planes.leds
    shift_px = np.full((len(leds), 2), np.nan)
    rows = np.flatnonzero(usable & leds.brightfield(na) & (leds.kind != "brightfield"))
    if len(rows) < 3:
        return shift_px
    near = neighbours(leds, rows)
    pairs = sorted({(min(i, j), max(i, j)) for i in range(len(rows)) for j in near[i].tolist()})
    measured = [(i, j, _off(planes.structure[rows[i]], planes.structure[rows[j]], planes.chance)) for i, j in pairs]
    one, other = np.array([(i, j) for i, j, off in measured if off], int).reshape(-1, 2).T
    between = np.array([off for *_, off in measured if off], float).reshape(-1, 2)
    light = sideways(leds, rows)[other] - sideways(leds, rows)[one]
    kept = np.ones(len(rows), bool)
    while True:
        fair = kept[one] & kept[other]
        enough = min(kept.sum(), fair.sum()) >= ENOUGH_FOR_DEFOCUS
        left = between - (light @ slopes(light[fair], between[fair]) if enough else 0)
        for i in range(len(rows)):
            others = [(left[pair], 1) for pair in np.flatnonzero((other == i) & kept[one])]
            others += [(left[pair], -1) for pair in np.flatnonzero((one == i) & kept[other])]
            shift_px[rows[i]] = np.median([sign * off for off, sign in others], axis=0) if len(others) > 1 else np.nan
        distance = np.where(kept, np.nan_to_num(np.hypot(*shift_px[rows].T)), 0)
        if distance.max() <= IN_REGISTER_PX:
            return shift_px
        kept[distance.argmax()] = False


def outside_shifts(planes: MeasuredPlanes, na: float, usable: Mask) -> Floats:
    """Return by how much (A, 2) each dark-field plane lies off the mean of its neighbours; NaN where it cannot be told.

    What is linear in its direction from theirs is defocus, as it is inside. A plane that is off pulls its neighbours
    along, so the one that is farthest off is set aside and its neighbours are measured again without it, until all
    others are in register.
    """
    leds = planes.leds
    shift_px = np.full((len(leds), 2), np.nan)
    for rows in groups(leds, usable & ~leds.brightfield(na) & ~at_edge(leds, na)):
        rows = within_reach(leds, rows, na)
        light, measured = sideways(leds, rows), np.full((len(rows), 2), np.nan)
        beside = np.zeros_like(light)
        kept = np.ones(len(rows), bool)
        wrong = np.arange(len(rows))
        while kept.sum() > 2:
            part = np.flatnonzero(kept)
            near = part[neighbours(leds, rows[part])]
            for i in np.flatnonzero(np.isin(part, wrong)):
                around = planes.structure[rows[near[i]]].mean(axis=0)
                measured[part[i]] = _off(around, planes.structure[rows[part[i]]], planes.chance) or UNKNOWN
                beside[part[i]] = light[part[i]] - light[near[i]].mean(axis=0)
            known = kept & np.isfinite(measured[:, 0])
            moved = slopes(beside[known], measured[known]) if known.sum() >= ENOUGH_FOR_DEFOCUS else np.zeros((2, 2))
            shift_px[rows] = measured - beside @ moved
            distance = np.where(known, np.nan_to_num(np.hypot(*shift_px[rows].T)), 0)
            worst = int(distance.argmax())
            if distance[worst] <= IN_REGISTER_PX:
                break
            kept[worst] = False
            wrong = part[(near == worst).any(axis=1)]
    return shift_px


def off_brightfield(planes: MeasuredPlanes, rows: Rows) -> Floats:
    """Return by how much (N, 2) planes lie off the recorded brightfield, without defocus; NaN where it cannot be told."""
    bright = planes.structure[planes.leds.kind == "brightfield"].mean(axis=0)
    off_px = np.array([_off(bright, planes.structure[row], planes.chance) or UNKNOWN for row in rows])
    known = np.isfinite(off_px[:, 0])
    light = sideways(planes.leds, rows)
    return np.asarray(off_px - light @ slopes(light[known], off_px[known]))


def against_brightfield(planes: MeasuredPlanes, na: float, usable: Mask) -> dict[str, tuple[float, float] | None]:
    """Return by how much planes as a whole lie off brightfield (rows, columns, px), by name; None where unknown.

    Brightfield is the recorded plane of the kind "brightfield", else the mean of the planes inside the aperture. What
    scatters is missing in brightfield, or shows there by its edges: whichever of both dark field is more like is taken.
    """
    leds = planes.leds
    together, inside = leds.kind == "brightfield", leds.brightfield(na)
    groups_of = {"inside": usable & inside & ~together, "outside": usable & ~inside & ~together}
    means = {name: planes.structure[rows].mean(axis=0) for name, rows in groups_of.items() if rows.sum() >= ENOUGH}
    recorded = usable & together
    bright: Image | None = planes.structure[recorded].mean(axis=0) if recorded.any() else means.get("inside")
    found: dict[str, tuple[float, float] | None] = {}
    if bright is not None and "outside" in means:
        found["outside"] = _best_off(
            (-bright, ndimage.gaussian_gradient_magnitude(bright, 1.5)), means["outside"], planes.chance
        )
    if bright is not None and recorded.any() and "inside" in means:
        found["inside"] = _best_off((bright,), means["inside"], planes.chance)
    return found


def _best_off(references: Sequence[Image], image: Image, chance: float) -> tuple[float, float] | None:
    """Return the shift against the reference that it makes the image most like."""
    found = [(off, _likeness(one, image, off)) for one in references if (off := _off(one, image, chance))]
    return max(found, key=lambda one: one[1])[0] if found else None


def _off(reference: Image, image: Image, chance: float) -> tuple[float, float] | None:
    """Return by how many px an image lies off the reference; None where they have too little in common to tell."""
    try:
        down, right = estimate_shift(reference, image)
    except ValueError:
        return None
    off = -down + 0.0, -right + 0.0
    return off if _likeness(reference, image, off) >= max(LIKE, LIKE_BY_CHANCE * chance) else None


def _likeness(reference: Image, image: Image, off_px: tuple[float, float]) -> float:
    """Return the correlation of a reference and an image moved back, where they overlap."""
    whole = np.rint(off_px).astype(int)
    there = tuple(slice(max(k, 0), n + min(k, 0)) for k, n in zip(whole, image.shape, strict=True))
    here = tuple(slice(max(-k, 0), n + min(-k, 0)) for k, n in zip(whole, image.shape, strict=True))
    back = ndimage.shift(image[there], whole - np.asarray(off_px), order=1, mode="nearest")
    return float(np.corrcoef(reference[here].ravel(), back.ravel())[0, 1])


# --- findings ------------------------------------------------------------------------------------------------


def shift_findings(planes: MeasuredPlanes, shift_px: Floats) -> Iterator[Finding]:
    """Yield planes that are off those of neighbouring LEDs."""
    leds = planes.leds
    for row in np.flatnonzero(np.hypot(*np.nan_to_num(shift_px).T) > IN_REGISTER_PX):
        name = f"plane {row} (LED {leds.index[row]})"
        yield _shifted(int(row), int(leds.index[row]), name, shift_px[row], "the planes of neighbouring LEDs")


def brightfield_findings(off_px: Mapping[str, tuple[float, float] | None], na: float) -> Iterator[Finding]:
    """Yield the planes inside and outside the aperture where they, as a whole, are off brightfield."""
    for name, off in off_px.items():
        if off is not None and np.hypot(*off) > IN_REGISTER_PX:
            yield _shifted(None, None, f"all planes {name} NA {na:g} as a whole", np.asarray(off), "brightfield")


def _shifted(plane: int | None, led: int | None, name: str, off_px: Floats, against: str) -> Finding:
    distance = float(np.hypot(*off_px))
    where = f"{off_px[0]:+.1f} px in rows, {off_px[1]:+.1f} in columns"
    return Finding(plane, led, "shifted", distance, f"{name}: {distance:.1f} px off {against} ({where})")
