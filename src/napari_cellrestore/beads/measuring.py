"""Measurement of the beads of a stack."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from scipy import ndimage

from napari_cellrestore.beads.bead import Bead, BeadPsf, Zyx, reasons, zyx
from napari_cellrestore.beads.finding import MARGIN_PX, Projection, apart, find_beads, to_half
from napari_cellrestore.beads.gaussian import GaussianFit, axis_of, fit_gaussians, ring_level
from napari_cellrestore.beads.size import SMALL, check_diameter, too_large, without_size
from napari_cellrestore.beads.theory import expected_fwhm
from napari_cellrestore.focus.planes import StackLike, focus_stack, green_planes
from napari_cellrestore.objective import Objective
from napari_cellrestore.psf import aliasing
from napari_cellrestore.stack import ImageStack

Array = np.ndarray

#: Half the size of what is cut out around a bead, in widths at half maximum, along z and in the plane.
REACH = (1.5, 3.0)
#: Difference from the median width from which something is not one bead.
ODD = 0.3
#: Part of the variance that a Gaussian has to explain.
ALIKE = 0.8
MIN_PX = 3  # half of a cut-out at least


def measure_beads(
    stack: StackLike,
    pixel_um: float | None = None,
    z_step_um: float | None = None,
    *,
    objective: Objective | None = None,
    diameter_um: float | None = None,
    reach_um: tuple[float, float] | None = None,
) -> BeadPsf:
    """Find isolated, unsaturated beads in a stack and measure the point-spread function.

    Beads are found as maxima of the largest value along z. Widths are those of Gaussians, fitted near the centre
    (:data:`WITHIN`) to the plane in focus (two axes, those of the pixel grid) and along z through the centre; the
    background is the median around the bead in the plane in focus. Left out, each with its reason, are beads that are
    saturated, dim, at the border, near another, not like a Gaussian, or whose widths differ from the median of the others
    by more than 30 % (:data:`ODD`: two that touch).

    Parameters
    ----------
    stack : (Z, Y, X) or (Z, Y, X, 3 or 4) array, or ImageStack of these axes
        Read twice, plane by plane; of colours the green channel. Grey levels in any unit.
    pixel_um, z_step_um : float
        Sizes of a voxel; of an ImageStack its own, if not given.
    objective : Objective, optional
        For the widths that theory expects.
    diameter_um : float, optional
        Of the beads themselves: their size is taken off the mean width, see :func:`without_size`. Without it widths are
        those of the image of the beads.
    reach_um : (float, float), optional
        Half the size of what is cut out around a bead, along z and in the plane; chosen from the widths
        (:data:`REACH`), if not given.

    Returns
    -------
    BeadPsf

    Raises
    ------
    ValueError
        No bead, none that can be used (the message counts why), a voxel size that is not known, pixels that are not
        finite.

    Examples
    --------
    >>> z, y, x = np.mgrid[-12:13, -20:21, -20:21]
    >>> bead = 10 + 200 * np.exp(-0.5 * ((z / 3) ** 2 + (y / 2) ** 2 + (x / 2) ** 2))
    >>> found = measure_beads(bead, 0.1, 0.2)
    >>> [round(width, 3) for width in found.fwhm_um]  # 2.355 times 0.6, 0.2 and 0.2
    [1.413, 0.471, 0.471]
    """
    planes, voxel_um = _checked(stack, pixel_um, z_step_um)
    if diameter_um is not None:
        check_diameter(diameter_um)
    top = Projection.of(planes)
    width_px, spots = find_beads(top)
    reach_px = None if reach_um is None else np.ceil(np.divide(reach_um, voxel_um[:2])).astype(int)
    yx_px = max(int(np.ceil(REACH[1] * width_px)), MIN_PX) if reach_px is None else int(reach_px[1])
    beads = apart(spots, top, yx_px, width_px)
    free = [number for number, bead in enumerate(beads) if not bead.reason]
    columns = columns_of(planes, [beads[number] for number in free], yx_px + MARGIN_PX)
    depth_px = depth_of(columns, [beads[number] for number in free])
    z_px = min(int(np.ceil(REACH[0] * depth_px)), (len(planes) - 1) // 2) if reach_px is None else int(reach_px[0])
    width_zyx_px = (depth_px, width_px, width_px)
    volumes: dict[int, Array] = {}
    for number, column in zip(free, columns, strict=True):
        beads[number], volumes[number] = _measured(beads[number], column, z_px, width_zyx_px, voxel_um)
    beads = _without_odd(beads)
    used = [volumes[number] for number, bead in enumerate(beads) if not bead.reason]
    if not used:
        raise ValueError(f"none of {len(beads)} beads can be used: {reasons(beads)}")
    psf = np.mean(used, 0)
    fit = fit_gaussians(psf, width_zyx_px)
    expected = None if objective is None else expected_fwhm(objective)
    found = BeadPsf(
        psf=psf / psf.sum(),
        pixel_um=voxel_um[2],
        z_step_um=voxel_um[0],
        beads=tuple(beads),
        fwhm_um=zyx(np.multiply(fit.fwhm_px, voxel_um)),
        objective=objective,
        expected_um=expected,
        saturation=top.saturation,
        diameter_um=diameter_um,
    )
    if diameter_um is not None and not too_large(found.mean_um, diameter_um):
        found = replace(found, corrected_um=without_size(found.mean_um, diameter_um))
    return replace(found, warnings=tuple(_doubts(found)))


def _checked(stack: StackLike, pixel_um: float | None, z_step_um: float | None) -> tuple[Any, Zyx]:
    """Return planes and the size of a voxel along z, y, x."""
    ours = stack if isinstance(stack, ImageStack) else None
    if ours is not None and ours.pixel_y_um not in (None, ours.pixel_um):
        raise ValueError(f"pixels are {ours.pixel_y_um:g} x {ours.pixel_um:g} um: beads need square ones")
    planes, _, _ = focus_stack(stack, None)
    if len(planes) < 5:
        raise ValueError(f"the stack has {len(planes)} planes: 5 or more through the beads are needed")
    if ours is not None:
        z_step_um = ours.z_step_um if z_step_um is None else z_step_um
        pixel_um = ours.pixel_um if pixel_um is None else pixel_um
    return planes, (_length("z_step_um", z_step_um), _length("pixel_um", pixel_um), _length("pixel_um", pixel_um))


def _length(name: str, size_um: float | None) -> float:
    if size_um is None or not (np.isfinite(size_um) and size_um > 0):
        raise ValueError(f"{name} is {size_um}: give it in micrometres, a positive number")
    return float(size_um)


def columns_of(planes: Any, beads: Sequence[Bead], reach_px: int) -> list[Array]:
    """Return all planes around each bead, (Z, y, x); reads every plane once."""
    side = 2 * reach_px + 1
    columns = [np.empty((len(planes), side, side), np.float32) for _ in beads]
    for number, plane in enumerate(green_planes(planes) if beads else ()):
        for bead, column in zip(beads, columns, strict=True):
            row, first = int(bead.zyx_px[1]) - reach_px, int(bead.zyx_px[2]) - reach_px
            column[number] = plane[row : row + side, first : first + side]
    return columns


def depth_of(columns: Sequence[Array], beads: Sequence[Bead]) -> float:
    """Return the width of beads along z at half maximum, in planes."""
    widths = []
    for column, bead in zip(columns, beads, strict=True):
        line, level = axis_of(column), ring_level(column[int(bead.zyx_px[0])])
        middle = int(np.argmax(line))
        half = (line[middle] + level) / 2
        widths.append(to_half(line[middle:], half) + to_half(line[middle::-1], half))
    return max(float(np.median(widths)), 1.0) if widths else 1.0


def _measured(bead: Bead, column: Array, z_px: int, width_px: Zyx, voxel_um: Zyx) -> tuple[Bead, Array]:
    """Return a bead with its widths or the reason why it has none, and its volume, centred, from 0 to 1."""
    nothing = np.zeros(0)
    middle = int(np.argmax(axis_of(column)))
    room = min(middle, len(column) - 1 - middle)
    if room < z_px:
        return replace(bead, reason=f"too few planes around it ({room} of {z_px} on one side)"), nothing
    try:
        volume = column[max(middle - z_px - 1, 0) : middle + z_px + 2]
        fit = fit_gaussians(volume, width_px)
    except ValueError as error:
        return replace(bead, reason=f"not like a bead ({error})"), nothing
    at = np.add(fit.centre_px, (max(middle - z_px - 1, 0), *(np.array(bead.zyx_px[1:]) - column.shape[1] // 2)))
    bead = replace(bead, zyx_px=zyx(at), peak=fit.height, fwhm_um=zyx(np.multiply(fit.fwhm_px, voxel_um)))
    off_px = np.abs(np.subtract(fit.centre_px[1:], column.shape[1] // 2)).max()
    if fit.explained < ALIKE or fit.height <= 0 or off_px > max(width_px[1] / 2, 1.5):
        return replace(bead, reason=f"not like a bead (a Gaussian explains {max(fit.explained, 0):.0%} of it)"), nothing
    return bead, _centred(column, at[0], fit, z_px)


def _centred(column: Array, z0: float, fit: GaussianFit, z_px: int) -> Array:
    """Return the bead moved to the middle of an odd volume, without background, of height 1."""
    first = int(np.rint(z0)) - z_px
    padded = np.pad(column, ((z_px, z_px), (0, 0), (0, 0)), mode="edge")[first + z_px : first + 3 * z_px + 1]
    middle = column.shape[1] // 2
    shift = (int(np.rint(z0)) - z0, middle - fit.centre_px[1], middle - fit.centre_px[2])
    moved = ndimage.shift(padded.astype(float) - fit.background, shift, order=3, mode="nearest")
    cut = slice(MARGIN_PX, -MARGIN_PX)
    return np.asarray(moved[:, cut, cut] / fit.height)


def _without_odd(beads: Sequence[Bead]) -> list[Bead]:
    """Return the beads; those whose widths are far from the median of the others are left out."""
    measured = [bead.fwhm_um for bead in beads if not bead.reason]
    if len(measured) < 3:
        return list(beads)
    median = np.median(measured, 0)
    kept = []
    for bead in beads:
        if not bead.reason and (odd := np.abs(np.divide(bead.fwhm_um, median) - 1) > ODD).any():
            axis = int(np.argmax(odd))
            said = f"odd width ({bead.fwhm_um[axis]:.3g} um along {'zyx'[axis]}, the median is {median[axis]:.3g})"
            bead = replace(bead, reason=said)
        kept.append(bead)
    return kept


def _doubts(found: BeadPsf) -> Iterator[str]:
    """Yield reasons for doubt."""
    n = len(found.used)
    if n < 3:
        yield f"{n} bead{'s' if n > 1 else ''} only: the spread is hardly known; record more, well apart"
    for name, step, width in zip("zyx", (found.z_step_um, *[found.pixel_um] * 2), found.fwhm_um, strict=True):
        if width < 2.5 * step:
            yield f"the width along {name} is {width / step:.1f} samples: it is hardly resolved; sample more finely"
    if found.objective is not None and (message := aliasing(found.pixel_um, found.objective)):
        yield message
    if found.diameter_um is not None:
        yield from _size_doubts(found.mean_um, found.diameter_um)
    small = found.psf.shape[0] * found.z_step_um < 2.5 * found.fwhm_um[0]
    if small:
        yield "the stack ends near the beads: their widths along z are uncertain; record more planes"


def _size_doubts(fwhm_um: Zyx, diameter_um: float) -> Iterator[str]:
    """Yield what is to be said of the size of the beads."""
    if message := too_large(fwhm_um, diameter_um):
        yield message
    elif diameter_um > SMALL * min(fwhm_um):
        part = diameter_um / min(fwhm_um)
        yield f"beads of {diameter_um:g} um are {part:.2f} of the width: what is left of it is up to 7 % too wide; use smaller ones"
