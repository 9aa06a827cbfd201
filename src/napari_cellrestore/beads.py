"""Measurement of a point-spread function from images of beads: which can be used, their average, its widths.

A bead much smaller than the resolution is imaged as the point-spread function. One bead that saturates, touches another
or lies at the border is left out, with its reason; the others are used.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.optimize import OptimizeWarning, curve_fit
from skimage.feature import peak_local_max

from napari_cellrestore.focus.measures import not_finite
from napari_cellrestore.focus.planes import StackLike, focus_stack, green_planes
from napari_cellrestore.objective import Objective
from napari_cellrestore.psf import aliasing, incoherent_psf
from napari_cellrestore.stack import ImageStack

Array = np.ndarray
Zyx = tuple[float, float, float]

#: Full width at half maximum of a Gaussian over its standard deviation.
FWHM_PER_SIGMA = 2 * np.sqrt(2 * np.log(2))
#: A bead stands this many standard deviations of the background above it, and is used from the second number on.
SEEN, USED = 8.0, 15.0
#: Part of the brightest bead that a bead has at least; diffraction rings have less.
DIMMEST = 0.05
#: Half the size of what is cut out around a bead, in widths at half maximum, along z and in the plane.
REACH = (1.5, 3.0)
#: Distance to the next bead from which a bead is isolated, in units of the reach in the plane.
ISOLATED = 1.5
#: Difference from the median width from which something is not one bead.
ODD = 0.3
#: Distance from the centre within which Gaussians are fitted, in widths along z and in the plane: further out a
#: point-spread function is none. Along z there are few planes.
WITHIN = (0.8, 0.6)
#: Part of the variance that a Gaussian has to explain.
ALIKE = 0.8
#: Beads that are measured, the brightest; every one holds a cut-out of the stack in memory.
MOST = 300
#: Pixels at one largest value from which that counts as saturation where the type of the pixels allows more.
PLATEAU = 5

_MARGIN_PX = 2  # so that a shift within a pixel finds neighbours
_MIN_PX = 3  # half of a cut-out at least
_SIDE = 513  # of computed planes: coarser frequencies misplace the edge of the pupil, on which the width along z hangs


@dataclass(frozen=True)
class Bead:
    """One bead, or what was taken for one.

    Attributes
    ----------
    zyx_px : (float, float, float)
        Plane, row and column; between pixels if it was measured.
    peak : float
        Grey levels above the background.
    fwhm_um : (float, float, float)
        Full width at half maximum along z, y, x by Gaussians; NaN if it was not measured.
    reason : str
        Why it was left out, "" if it was used.
    """

    zyx_px: Zyx
    peak: float
    fwhm_um: Zyx = (np.nan, np.nan, np.nan)
    reason: str = ""


@dataclass(frozen=True, eq=False)
class BeadPsf:
    """What :func:`measure_beads` returns. Widths are full widths at half maximum along z, y, x, in um.

    Attributes
    ----------
    psf : (Z, Y, X) array
        Average of the beads, aligned within a pixel, without background, each with the same weight; sum 1. The centre is
        the voxel ``(Z // 2, Y // 2, X // 2)``.
    beads : tuple of Bead
        Used and left out, from top to bottom.
    fwhm_um : (float, float, float)
        Of the average.
    expected_um : (float, float, float) or None
        Of the theory for the objective, measured by the same fit: see :func:`expected_fwhm`.
    saturation : float or None
        Grey level that was taken for saturated.
    warnings : tuple of str
        Reasons for doubt, each with what to do.
    """

    psf: Array
    pixel_um: float
    z_step_um: float
    beads: tuple[Bead, ...]
    fwhm_um: Zyx
    objective: Objective | None = None
    expected_um: Zyx | None = None
    saturation: float | None = None
    warnings: tuple[str, ...] = ()

    @property
    def used(self) -> tuple[Bead, ...]:
        """The beads of the average."""
        return tuple(bead for bead in self.beads if not bead.reason)

    @property
    def left_out(self) -> tuple[Bead, ...]:
        """The beads that were left out, each with its reason."""
        return tuple(bead for bead in self.beads if bead.reason)

    @cached_property
    def mean_um(self) -> Zyx:
        """Mean of the widths of the single beads."""
        return _zyx(np.mean([bead.fwhm_um for bead in self.used], 0))

    @cached_property
    def std_um(self) -> Zyx:
        """Standard deviation of the widths from bead to bead; NaN for one bead."""
        widths = np.array([bead.fwhm_um for bead in self.used])
        return _zyx(widths.std(0, ddof=1) if len(widths) > 1 else np.full(3, np.nan))


def measure_beads(
    stack: StackLike,
    pixel_um: float | None = None,
    z_step_um: float | None = None,
    *,
    objective: Objective | None = None,
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
    top = _Projection.of(planes)
    width_px, spots = _find(top)
    reach_px = None if reach_um is None else np.ceil(np.divide(reach_um, voxel_um[:2])).astype(int)
    yx_px = max(int(np.ceil(REACH[1] * width_px)), _MIN_PX) if reach_px is None else int(reach_px[1])
    beads = _apart(spots, top, yx_px, width_px)
    free = [number for number, bead in enumerate(beads) if not bead.reason]
    columns = _columns(planes, [beads[number] for number in free], yx_px + _MARGIN_PX)
    depth_px = _depth_px(columns, [beads[number] for number in free])
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
        fwhm_um=_zyx(np.multiply(fit.fwhm_px, voxel_um)),
        objective=objective,
        expected_um=expected,
        saturation=top.saturation,
    )
    return replace(found, warnings=tuple(_doubts(found)))


def reasons(beads: Sequence[Bead]) -> str:
    """Return why beads were left out, with how many, the most frequent reason first.

    >>> reasons([Bead((0, 0, 0), 1, reason="saturated (3 pixels)"), Bead((0, 0, 9), 1, reason="saturated (1 pixel)")])
    '2 saturated'
    """
    kinds = [bead.reason.split(" (")[0] for bead in beads if bead.reason]
    return ", ".join(f"{kinds.count(kind)} {kind}" for kind in sorted(set(kinds), key=kinds.count, reverse=True))


def expected_fwhm(objective: Objective) -> Zyx:
    """Return the widths of the in-focus, aberration-free point-spread function along z, y, x, um, by the same fits.

    Of :func:`napari_cellrestore.psf.incoherent_psf` at many distances from focus: scalar theory of a widefield
    microscope. A confocal microscope with a closed pinhole is narrower by up to 1.4, one with a pinhole of an Airy unit by
    less; a bead that is not small and, at high apertures, polarisation widen it.

    Examples
    --------
    >>> oil = Objective(na=1.4, wavelength_um=0.58, immersion_index=1.518)
    >>> [round(width, 3) for width in expected_fwhm(oil)]
    [0.562, 0.212, 0.212]
    """
    pixel_um = objective.nyquist_pixel_um / 4
    n, na = objective.immersion_index, objective.na
    rough_um = 0.88 * objective.wavelength_um / (n - np.sqrt(n**2 - na**2))
    middle = slice(_SIDE // 2 - 16, _SIDE // 2 + 17)
    half = np.stack(
        [
            incoherent_psf((_SIDE, _SIDE), pixel_um, objective, step / 16 * rough_um)[middle, middle]
            for step in range(17)
        ]
    )
    width_px = 0.51 * objective.wavelength_um / na / pixel_um
    fit = fit_gaussians(np.concatenate([half[:0:-1], half]), (16.0, width_px, width_px), background=0.0)
    return _zyx(np.multiply(fit.fwhm_px, (rough_um / 16, pixel_um, pixel_um)))


# --- what came in --------------------------------------------------------------------------------------------


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


@dataclass(frozen=True, eq=False)
class _Projection:
    """The largest value along z of each pixel, the plane it is in, and the background."""

    values: Array
    plane: Array
    level: float
    noise: float
    saturation: float | None

    @classmethod
    def of(cls, planes: Any) -> _Projection:
        """Read every plane once."""
        level, noise = [], []
        for number, plane in enumerate(_finite(planes)):
            if number == 0:
                values, where = plane.copy(), np.zeros(plane.shape, int)
            else:
                higher = plane > values
                values[higher], where[higher] = plane[higher], number
            some = plane[::3, ::3].astype(float)
            level.append(np.median(some))
            noise.append(1.4826 * np.median(np.abs(some - level[-1])))
        # Of grey levels that are whole numbers the deviation is no better known than their step.
        least = 0.3 if values.dtype.kind in "ui" else 0.0
        saturation = _saturation(values, planes.dtype)
        return cls(
            values.astype(float), where, float(np.median(level)), max(float(np.median(noise)), least), saturation
        )


def _finite(planes: Any) -> Iterator[Array]:
    for number, plane in enumerate(green_planes(planes)):
        if plane.dtype == bool:
            raise TypeError("the stack has dtype bool: give grey levels, integer or float")
        if bad := not_finite(plane):
            raise ValueError(
                f"plane {number}: {bad} of {plane.size} pixels are not finite; mend the plane or leave it out"
            )
        yield plane


def _saturation(values: Array, dtype: np.dtype[Any]) -> float | None:
    """Return the grey level that is saturated: the largest of the type, or one at which many pixels end."""
    highest = values.max()
    if dtype.kind in "ui" and highest == np.iinfo(dtype).max:
        return float(highest)
    many = np.count_nonzero(values == highest) >= PLATEAU
    return float(highest) if many and dtype.itemsize > 1 and highest > values.min() else None


# --- finding ---------------------------------------------------------------------------------------------------


def _find(top: _Projection) -> tuple[float, Array]:
    """Return the width of a bead at half maximum in pixels, and the places (n, 2) of what may be beads."""
    rough = _maxima(top, 1.0, 2)
    if not len(rough):
        raise ValueError(
            f"no bead found: nothing stands {SEEN:g} times the noise above the background of {top.level:g}; give a stack "
            "of bright, single points"
        )
    width_px = float(np.median([_width_px(top, y, x) for y, x in rough]))
    return width_px, _maxima(top, width_px / 4, max(int(width_px / 2), 2))


def _maxima(top: _Projection, sigma_px: float, apart_px: int) -> Array:
    """Return rows and columns of maxima, from top to bottom."""
    smooth = ndimage.gaussian_filter(top.values, sigma_px)
    # The largest value of many planes lies above their median; how far tells the projection itself.
    level = float(np.median(smooth))
    noise = max(1.4826 * float(np.median(np.abs(smooth - level))), top.noise / 4)
    height = max(SEEN * noise, DIMMEST * float(smooth.max() - level))
    if height <= 0 or smooth.max() <= level + height:
        return np.zeros((0, 2), int)
    found = peak_local_max(smooth, min_distance=apart_px, threshold_abs=level + height, exclude_border=False)
    return np.asarray(found[np.lexsort(found.T[::-1])])


def _width_px(top: _Projection, row: int, column: int) -> float:
    """Return the width at half maximum of a spot, the mean of row and column."""
    half = (top.values[row, column] + top.level) / 2
    lines = (
        top.values[row, column:],
        top.values[row, column::-1],
        top.values[row:, column],
        top.values[row::-1, column],
    )
    return sum(_to_half(line, half) for line in lines) / 2


def _to_half(line: Array, half: float) -> float:
    """Return after how many pixels a line falls to half, between pixels."""
    below = np.flatnonzero(line < half)
    if not below.size or below[0] == 0:
        return float(len(line))
    last = int(below[0])
    return float(last - (half - line[last]) / (line[last - 1] - line[last]))


def _apart(spots: Array, top: _Projection, reach_px: int, width_px: float) -> list[Bead]:
    """Return beads, those that are seen at once not to be of use with their reasons."""
    distance = np.hypot(*(spots[:, None] - spots[None]).transpose(2, 0, 1)) + np.diag(np.full(len(spots), np.inf))
    room = np.minimum(spots, np.array(top.values.shape) - 1 - spots).min(1)
    peaks = top.values[tuple(spots.T)] - top.level
    dimmest = np.sort(peaks)[-MOST] if len(peaks) > MOST else -np.inf
    beads = []
    for (row, column), near, border, peak in zip(spots.tolist(), distance.min(1), room, peaks, strict=True):
        core = int(np.ceil(width_px))
        around = top.values[max(row - core, 0) : row + core + 1, max(column - core, 0) : column + core + 1]
        full = 0 if top.saturation is None else np.count_nonzero(around >= top.saturation)
        reason = ""
        if full:
            reason = f"saturated ({full / around.size:.1%} of the pixels at {top.saturation:g})"
        elif border < reach_px + _MARGIN_PX:
            reason = f"at the border ({border} px from it, {reach_px + _MARGIN_PX} are needed)"
        elif near < ISOLATED * reach_px:
            reason = f"near another ({near:.0f} px away, {ISOLATED * reach_px:.0f} are needed)"
        elif peak < USED * top.noise:
            reason = f"dim ({peak:.3g} above a noise of {top.noise:.2g})"
        elif peak < dimmest:
            reason = f"not among the {MOST} brightest"
        beads.append(Bead((float(top.plane[row, column]), row, column), float(peak), reason=reason))
    return beads


def _columns(planes: Any, beads: Sequence[Bead], reach_px: int) -> list[Array]:
    """Return all planes around each bead, (Z, y, x); reads every plane once."""
    side = 2 * reach_px + 1
    columns = [np.empty((len(planes), side, side), np.float32) for _ in beads]
    for number, plane in enumerate(green_planes(planes) if beads else ()):
        for bead, column in zip(beads, columns, strict=True):
            row, first = int(bead.zyx_px[1]) - reach_px, int(bead.zyx_px[2]) - reach_px
            column[number] = plane[row : row + side, first : first + side]
    return columns


def _depth_px(columns: Sequence[Array], beads: Sequence[Bead]) -> float:
    """Return the width of beads along z at half maximum, in planes."""
    widths = []
    for column, bead in zip(columns, beads, strict=True):
        line, level = _axis(column), _ring(column[int(bead.zyx_px[0])])
        middle = int(np.argmax(line))
        half = (line[middle] + level) / 2
        widths.append(_to_half(line[middle:], half) + _to_half(line[middle::-1], half))
    return max(float(np.median(widths)), 1.0) if widths else 1.0


def _axis(volume: Array) -> Array:
    """Return the middle of each plane, averaged over 3 x 3 pixels."""
    _, row, column = (length // 2 for length in volume.shape)
    return np.asarray(volume[:, row - 1 : row + 2, column - 1 : column + 2].mean((1, 2), dtype=float))


def _ring(plane: Array) -> float:
    """Return the median along the border of a plane."""
    return float(np.median(np.concatenate([plane[0], plane[-1], plane[1:-1, 0], plane[1:-1, -1]])))


# --- measuring -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class GaussianFit:
    """Gaussians of a bead: widths at half maximum and centre along z, y, x in pixels, height, part explained."""

    fwhm_px: Zyx
    centre_px: Zyx
    height: float
    background: float
    explained: float


def fit_gaussians(volume: npt.ArrayLike, width_px: Zyx, *, background: float | None = None) -> GaussianFit:
    """Fit Gaussians to a bead in the middle of a volume.

    In the plane in focus ``A exp(-(y - y0)^2 / 2 sy^2 - (x - x0)^2 / 2 sx^2)``, along z through ``(y0, x0)`` the same
    of z, both over a background that is known: near the centre a Gaussian cannot tell it from its own foot. For the
    point-spread function of an aberration-free objective these widths are up to 1 % less than the true ones at half
    maximum, along z 2 to 4 %.

    Parameters
    ----------
    volume : (Z, Y, X) array
    width_px : (float, float, float)
        Rough widths at half maximum along z, y, x: where to begin, and how far from the centre pixels count.
    background : float, optional
        If not given, the median along the border of the plane in focus.

    Raises
    ------
    ValueError
        Where a Gaussian cannot be fitted.
    """
    volume = np.asarray(volume, float)
    plane = int(np.argmax(_axis(volume)))
    for _ in range(2):  # the plane in focus is known once z was fitted
        level = _ring(volume[plane]) if background is None else background
        (height, y0, x0, sy, sx), alike = _fit_plane(volume[plane] - level, width_px[1:])
        line = ndimage.map_coordinates(
            volume,
            [np.arange(len(volume)), np.full(len(volume), y0), np.full(len(volume), x0)],
            order=1,
            mode="nearest",
        )
        (_, z0, sz), alike_z = _fit_line(line - level, width_px[0])
        plane = int(np.clip(np.rint(z0), 0, len(volume) - 1))
    widths = FWHM_PER_SIGMA * np.abs([sz, sy, sx])
    return GaussianFit(_zyx(widths), _zyx([z0, y0, x0]), float(height), level, min(alike, alike_z))


def _fit_plane(plane: Array, width_px: Sequence[float]) -> tuple[Array, float]:
    middle = (plane.shape[0] // 2, plane.shape[1] // 2)
    reach_y, reach_x = (max(WITHIN[1] * width, 2.0) for width in width_px)
    y, x = (np.arange(length) - centre for length, centre in zip(plane.shape, middle, strict=True))
    within = (y[:, None] / reach_y) ** 2 + (x / reach_x) ** 2 <= 1
    where = np.stack(np.nonzero(within)).astype(float)

    def model(at: Array, height: float, y0: float, x0: float, sy: float, sx: float) -> Array:
        return np.asarray(height * np.exp(-0.5 * (((at[0] - y0) / sy) ** 2 + ((at[1] - x0) / sx) ** 2)))

    guess = [float(plane[middle]), *middle, *(width / FWHM_PER_SIGMA for width in width_px)]
    return _fit(model, where, plane[within], guess)


def _fit_line(line: Array, width_px: float) -> tuple[Array, float]:
    middle = int(np.argmax(line))
    within = np.abs(np.arange(len(line)) - middle) <= max(WITHIN[0] * width_px, 2)

    def model(at: Array, height: float, z0: float, sz: float) -> Array:
        return np.asarray(height * np.exp(-0.5 * ((at - z0) / sz) ** 2))

    return _fit(
        model, np.flatnonzero(within).astype(float), line[within], [line[middle], middle, width_px / FWHM_PER_SIGMA]
    )


def _fit(model: Callable[..., Array], where: Array, values: Array, guess: Sequence[float]) -> tuple[Array, float]:
    """Return the values of a model that fit best, and the part of the variance that it explains."""
    if len(values) <= len(guess) or not np.ptp(values) > 0:
        raise ValueError("there are too few pixels for a Gaussian")
    with warnings.catch_warnings(), np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        warnings.simplefilter("ignore", OptimizeWarning)  # of the covariance, which is not used
        try:
            best, _ = curve_fit(model, where, values, guess, maxfev=2000)
        except RuntimeError:
            raise ValueError("no Gaussian fits") from None
    left = values - model(where, *best)
    return np.asarray(best), 1 - float(np.mean(left**2) / np.var(values))


def _measured(bead: Bead, column: Array, z_px: int, width_px: Zyx, voxel_um: Zyx) -> tuple[Bead, Array]:
    """Return a bead with its widths or the reason why it has none, and its volume, centred, from 0 to 1."""
    nothing = np.zeros(0)
    middle = int(np.argmax(_axis(column)))
    room = min(middle, len(column) - 1 - middle)
    if room < z_px:
        return replace(bead, reason=f"too few planes around it ({room} of {z_px} on one side)"), nothing
    try:
        volume = column[max(middle - z_px - 1, 0) : middle + z_px + 2]
        fit = fit_gaussians(volume, width_px)
    except ValueError as error:
        return replace(bead, reason=f"not like a bead ({error})"), nothing
    at = np.add(fit.centre_px, (max(middle - z_px - 1, 0), *(np.array(bead.zyx_px[1:]) - column.shape[1] // 2)))
    bead = replace(bead, zyx_px=_zyx(at), peak=fit.height, fwhm_um=_zyx(np.multiply(fit.fwhm_px, voxel_um)))
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
    cut = slice(_MARGIN_PX, -_MARGIN_PX)
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
    small = found.psf.shape[0] * found.z_step_um < 2.5 * found.fwhm_um[0]
    if small:
        yield "the stack ends near the beads: their widths along z are uncertain; record more planes"


def _zyx(values: npt.ArrayLike) -> Zyx:
    z, y, x = (float(value) for value in np.asarray(values, float))
    return z, y, x
