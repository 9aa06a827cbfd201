"""Checks of an LED stack: whether each plane is what the table says, well exposed, and in its place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_cellrestore.illumination.composites import lit_table
from napari_cellrestore.illumination.finding import WHATS, Finding
from napari_cellrestore.illumination.order import by_brightness, by_likeness, shuffled
from napari_cellrestore.illumination.planes import MeasuredPlanes, measure_planes
from napari_cellrestore.illumination.shifts import (
    against_brightfield,
    brightfield_findings,
    inside_shifts,
    outside_shifts,
    shift_findings,
)
from napari_cellrestore.leds import LedTable
from napari_cellrestore.leds.gaps import gaps
from napari_cellrestore.stack import ImageStack

#: A plane is called saturated where more than this fraction of its pixels is.
SATURATED = 0.001
#: An LED did not shine where its plane is this many times darker than usual at its angle.
DID_NOT_SHINE = 20.0


@dataclass(frozen=True, eq=False)
class LedChecks:
    """What was found, and what was measured of each plane.

    Parameters
    ----------
    findings : tuple of Finding
        Empty where nothing is wrong.
    mean : (A,) float array
        Mean grey level of each plane, of colours that of green.
    saturated : (A,) float array
        Fraction of burnt pixels; NaN where the level of saturation is not known.
    shift_px : (A, 2) float array
        How far each plane lies off those of neighbouring LEDs, rows and columns, positive down and to the right; inside
        the aperture without what defocus explains. NaN where unknown.
    unknown : tuple of str
        What could not be told, in sentences.
    """

    findings: tuple[Finding, ...]
    mean: npt.NDArray[np.float64]
    saturated: npt.NDArray[np.float64]
    shift_px: npt.NDArray[np.float64]
    unknown: tuple[str, ...]

    def __str__(self) -> str:
        lines = [str(finding) for finding in self.findings] or ["nothing wrong was found"]
        return "\n".join([*lines, *(f"unknown: {said}" for said in self.unknown)])


def check_leds(stack: ImageStack, *, na: float, saturation: float | None = None) -> LedChecks:
    """Check the planes of an LED stack against its table and against one another.

    The worst samples of Wulff 2022 (4.2.4) were stacks with planes that did not lie on the brightfield. Found are planes
    that are shifted, black, saturated or exchanged, a table in the wrong order, and LEDs that are missing
    (:data:`~napari_cellrestore.illumination.finding.WHATS`).

    - **Black**: all pixels are the same, or the plane is 20 times darker than usual at its angle.
    - **Saturated**: more than a thousandth of the pixels.
    - **Order**: planes whose light enters the objective are about equally bright, those outside the aperture far darker
      and darker the larger the angle, among planes of one exposure, wavelength and gain; neighbouring LEDs give images that
      are alike, inside more than those outside, outside more than if all planes are moved on by one. No two planes have
      the same pixels. Two planes from opposite sides, or of neighbours, can be too alike to tell. Planes within 15 % of the
      aperture are not judged.
    - **Shifted**: by more than 1.8 px against the planes of neighbouring LEDs; and all planes inside or outside the
      aperture against brightfield. See :mod:`~napari_cellrestore.illumination.shifts`.
    - **Missing**: gaps in panels and rings, see :func:`~napari_cellrestore.leds.gaps.gaps`.

    Planes are read once, one after the other; of large ones the middle is kept for comparing.

    Parameters
    ----------
    stack : ImageStack
        Axes AYX or AYXS with its LED table, grey levels as recorded.
    na : float
        Numerical aperture of the objective.
    saturation : float, optional
        Grey level from which a pixel is burnt. If not given, the largest value of 8-bit pixels; of others it is not
        known (cameras of 10 to 14 bits write 16), and saturation is not checked.

    Returns
    -------
    LedChecks

    Raises
    ------
    ValueError
        Other axes, no table, pixels that are not finite.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> leds = LedTable(index=range(3), polar_deg=[0, 10, 10], azimuth_deg=[0, 0, 180])
    >>> planes = rng.integers(90, 110, (3, 64, 64)).astype(np.uint8)
    >>> planes[1] = 255
    >>> for finding in check_leds(ImageStack(planes, "AYX", leds=leds), na=0.4).findings:
    ...     print(finding.plane, finding.what, finding.value)
    1 black 255.0
    1 saturated 1.0
    """
    leds = lit_table(stack)
    leds.brightfield(na)  # refuses what is no aperture
    if saturation is None and stack.data.dtype == np.uint8:
        saturation = 255
    planes = measure_planes(stack, saturation)
    findings = [*_flat(planes), *_saturated(planes), *_repeated(planes)]
    usable = ~planes.flat
    of_all = shuffled(planes, na, usable)
    shift_px = np.full((len(leds), 2), np.nan)
    if of_all is not None:
        findings.append(of_all)
    else:
        odd = list(_each_once(map(_dark_is_black, by_brightness(planes, na, usable))))
        usable = _without(usable, odd)
        odd += by_likeness(planes, na, usable)
        usable = _without(usable, odd)
        inside_px = inside_shifts(planes, na, usable)
        shift_px = np.where(np.isfinite(inside_px), inside_px, outside_shifts(planes, na, usable))
        moved = list(shift_findings(planes, shift_px))
        findings += [*odd, *moved]
        findings += brightfield_findings(against_brightfield(planes, na, _without(usable, moved)), na)
    findings += [Finding(None, None, "missing", np.nan, gap.sentence) for gap in gaps(leds)]
    order = list(WHATS)
    findings.sort(key=lambda found: (found.plane is not None, found.plane or 0, order.index(found.what)))
    unknown = _unknown(leds, shift_px, saturation, stack)
    return LedChecks(tuple(findings), planes.mean, planes.saturated, shift_px, unknown)


def _flat(planes: MeasuredPlanes) -> Iterator[Finding]:
    for row in np.flatnonzero(planes.flat):
        index, mean = planes.leds.index[row], float(planes.mean[row])
        said = f"plane {row} (LED {index}) has nothing in it, all pixels are {mean:g}"
        yield Finding(int(row), int(index), "black", mean, said)


def _repeated(planes: MeasuredPlanes) -> Iterator[Finding]:
    """Yield planes whose pixels are those of an earlier one."""
    seen: dict[bytes, int] = {}
    for row in np.flatnonzero(~planes.flat).tolist():
        first = seen.setdefault(planes.mean[row].tobytes() + planes.structure[row].tobytes(), row)
        if first != row:
            led = int(planes.leds.index[row])
            said = f"plane {row} (LED {led}) has the pixels of plane {first}: it was recorded once, and planes may be missing"
            yield Finding(row, led, "order", 0.0, said)


def _saturated(planes: MeasuredPlanes) -> Iterator[Finding]:
    for row in np.flatnonzero(np.nan_to_num(planes.saturated) > SATURATED):
        index, part = planes.leds.index[row], float(planes.saturated[row])
        said = f"plane {row} (LED {index}) is saturated in {100 * part:.2g} % of its pixels"
        yield Finding(int(row), int(index), "saturated", part, said)


def _dark_is_black(found: Finding) -> Finding:
    """Return a plane that is far too dark as black."""
    if found.plane is None or found.value * DID_NOT_SHINE > 1:
        return found
    said = f"plane {found.plane} (LED {found.led}) is {1 / found.value:.3g} times darker than usual: its LED may not have shone"
    return Finding(found.plane, found.led, "black", found.value, said)


def _each_once(findings: Iterator[Finding]) -> Iterator[Finding]:
    seen = set()
    for found in findings:
        if found.plane not in seen:
            seen.add(found.plane)
            yield found


def _without(usable: npt.NDArray[np.bool_], findings: list[Finding]) -> npt.NDArray[np.bool_]:
    left = usable.copy()
    left[[found.plane for found in findings if found.plane is not None]] = False
    return left


def _unknown(
    leds: LedTable, shift_px: npt.NDArray[np.float64], saturation: float | None, stack: ImageStack
) -> tuple[str, ...]:
    said = []
    if saturation is None:
        said.append(f"saturation, of {stack.data.dtype} pixels: give the grey level from which they are burnt")
    n = int((~np.isfinite(shift_px[:, 0]) & (leds.kind != "brightfield")).sum())
    if n:
        said.append(
            f"shift of {n} of {len(leds)} planes: too little in common with others, or at the edge of the aperture"
        )
    return tuple(said)
