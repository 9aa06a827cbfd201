"""Which plane is sharp, and where: focus measures, focus curves, focus maps, all-in-focus images.

Everything is measured on the green channel of colour images: it holds most of the information in stained cells,
and axial colour puts its plane of focus between those of red and blue (Olofsson & Wagnström 2019, section 1.3).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_cellrestore.stack import ImageStack

Array = np.ndarray
StackLike = Array | ImageStack  # or a dask array: anything with shape, dtype and planes that numpy can read
Roi = tuple[slice, slice]

LAG_PX = 6
KERNEL_PX = 2 * LAG_PX + 1

#: A second local maximum above this part of the peak makes a curve jagged (Olofsson & Wagnström 2019, figure 2.7).
JAGGED = 0.9
#: A curve that rises by less than this part of its peak says nothing about focus.
FLAT = 0.05
#: A minimum below this part of the lower of the two maxima around it is one of contrast at focus.
CONTRAST_MINIMUM = 0.5

_BLOCK_ROWS = (
    64  # rows differentiated at a time: temporary arrays stay in the cache, and float32 sums stay exact enough
)


# --- one image ---------------------------------------------------------------------------------------------


def green(image: npt.ArrayLike) -> Array:
    """Return the channel on which focus is measured: (Y, X) as it is, of (Y, X, 3 or 4) the green one (a view)."""
    grey = np.asarray(image)
    if grey.dtype.kind not in "buif":
        raise TypeError(f"image has dtype {grey.dtype}: give real numbers (integer, float or bool)")
    if grey.ndim == 3 and grey.shape[-1] in (3, 4):
        grey = grey[..., 1]
    if grey.ndim != 2 or grey.size == 0:
        raise ValueError(f"image has shape {grey.shape}: give one plane (Y, X), RGB (Y, X, 3) or RGBA (Y, X, 4)")
    return grey


def second_differences(image: npt.ArrayLike) -> tuple[Array, Array]:
    """Return ``wx * X`` and ``wy * X``, the second differences at a lag of 6 px along x and along y.

    ``dx2[y, x] = 2 X[y, x] - X[y, x - 6] - X[y, x + 6]`` and the same along y: the kernel
    ``[-1 0 0 0 0 0 2 0 0 0 0 0 -1]`` of Olofsson & Wagnström 2019 (section 1.3) as two shifted subtractions.
    Being blind to periods of 6, 3 and 2 px, it measures structure of about 12 px.

    Parameters
    ----------
    image : (Y, X), (Y, X, 3) or (Y, X, 4) array
        Of colour images the green channel is taken.

    Returns
    -------
    dx2, dy2 : (Y - 12, X - 12) arrays
        Only positions where both kernels fit (the source does not say), so a linear ramp gives 0 everywhere.
        float32; float64 where the image is float64 or integer of 32 bit and more.

    Examples
    --------
    >>> parabola = np.arange(20.0) ** 2 + np.zeros((15, 1))
    >>> dx2, dy2 = second_differences(parabola)
    >>> dx2.shape, set(dx2.flat), set(dy2.flat)
    ((3, 8), {np.float64(-72.0)}, {np.float64(0.0)})
    """
    grey = green(image)
    _check_size(grey, KERNEL_PX, "the second difference")
    float_type = np.result_type(grey.dtype, np.float32)
    # Differences of 8 bit are exact in 16 bit, which is twice as fast as float32.
    grey = grey.astype(np.int16 if grey.dtype in (np.uint8, np.int8) else float_type, copy=False)
    rows, columns = grey[LAG_PX:-LAG_PX], grey[:, LAG_PX:-LAG_PX]
    step_x = rows[:, LAG_PX:] - rows[:, :-LAG_PX]
    step_y = columns[LAG_PX:] - columns[:-LAG_PX]
    dx2 = step_x[:, :-LAG_PX] - step_x[:, LAG_PX:]
    dy2 = step_y[:-LAG_PX] - step_y[LAG_PX:]
    return dx2.astype(float_type, copy=False), dy2.astype(float_type, copy=False)


def _second_difference(grey: Array) -> float:
    total, count = 0.0, 0
    for dx2, dy2 in _blocks(grey, _BLOCK_ROWS):
        total += float(np.vdot(dx2, dx2)) + float(np.vdot(dy2, dy2))
        count += dx2.size
    return total / count


def _blocks(grey: Array, rows: int) -> Iterator[tuple[Array, Array]]:
    """Yield the second differences of an image, some rows at a time."""
    for start in range(0, len(grey) - 2 * LAG_PX, rows):
        yield second_differences(grey[start : start + rows + 2 * LAG_PX])


def _brenner(grey: Array) -> float:
    grey = _as_float(grey)
    return _mean(np.square(grey[:, 2:] - grey[:, :-2]))


def _tenengrad(grey: Array) -> float:
    grey = _as_float(grey)
    gradient_y, gradient_x = (ndimage.sobel(grey, axis)[1:-1, 1:-1] for axis in (0, 1))
    return _mean(np.square(gradient_y) + np.square(gradient_x))


def _laplacian_variance(grey: Array) -> float:
    return float(np.var(ndimage.laplace(_as_float(grey))[1:-1, 1:-1], dtype=np.float64))


def _normalised_variance(grey: Array) -> float:
    grey = _as_float(grey)
    above_darkest = _mean(grey - grey.min())
    return float(np.var(grey, dtype=np.float64)) / above_darkest if above_darkest else 0.0


def _vollath_f4(grey: Array) -> float:
    grey = _as_float(grey)
    centred = grey - grey.dtype.type(_mean(grey))
    return _mean(centred[:, :-2] * (centred[:, 1:-1] - centred[:, 2:]))


def _mean(values: Array) -> float:
    return float(np.mean(values, dtype=np.float64))


def _as_float(grey: Array) -> Array:
    return grey.astype(np.result_type(grey.dtype, np.float32), copy=False)


def _not_finite(grey: Array) -> int:
    return 0 if grey.dtype.kind in "bui" else int(grey.size - np.count_nonzero(np.isfinite(grey)))


@dataclass(frozen=True)
class Measure:
    """A focus measure: larger is sharper.

    Called with one image it returns the measure. Every measure is invariant to a constant added to the image, and
    none to gain: ``F(a + k X) = k ** gain_power F(X)``. Compare planes of one exposure only.
    """

    name: str
    function: Callable[[Array], float]
    formula: str
    reference: str
    gain_power: int
    smallest_px: int

    def __call__(self, image: npt.ArrayLike) -> float:
        """Return the measure of one image; see :func:`focus_measure`."""
        grey = green(image)
        _check_size(grey, self.smallest_px, self.name)
        if bad := _not_finite(grey):
            raise ValueError(
                f"{bad} of {grey.size} pixels are not finite (NaN or infinite): replace them or cut them off"
            )
        return self.function(grey)


#: The focus measures by name.
MEASURES = {
    measure.name: measure
    for measure in (
        Measure(
            "second_difference",
            _second_difference,
            "mean[(wx * X)^2 + (wy * X)^2], wx = [-1 0 0 0 0 0 2 0 0 0 0 0 -1], wy = wx^T",
            "Olofsson & Wagnström 2019, section 1.3",
            2,
            KERNEL_PX,
        ),
        Measure(
            "brenner",
            _brenner,
            "mean[(X(x + 2) - X(x))^2], along x as published",
            "Brenner et al. 1976, J. Histochem. Cytochem. 24:100",
            2,
            3,
        ),
        Measure(
            "tenengrad",
            _tenengrad,
            "mean[Gx^2 + Gy^2], Sobel gradients",
            "Tenenbaum 1970, thesis, Stanford; Krotkov 1988, Int. J. Comput. Vis. 1:223",
            2,
            3,
        ),
        Measure(
            "laplacian_variance",
            _laplacian_variance,
            "var[Laplacian of X], four neighbours",
            "Pech-Pacheco et al. 2000, ICPR 3:314",
            2,
            3,
        ),
        Measure(
            "normalised_variance",
            _normalised_variance,
            "var[X] / mean[X - min X]; differs from the source, which divides by mean[X]: that depends on the offset",
            "Groen et al. 1985, Cytometry 6:81",
            1,
            2,
        ),
        Measure(
            "vollath_f4",
            _vollath_f4,
            "mean[X(x) X(x + 1) - X(x) X(x + 2)]; differs from the source in that the mean of X is taken off first: "
            "without, it depends on the offset",
            "Vollath 1987, J. Microsc. 147:279",
            2,
            3,
        ),
    )
}


def focus_measure(image: npt.ArrayLike, method: str = "second_difference") -> float:
    """Return how sharp an image is, in a unit of its own: only images of one scene can be compared.

    The default is ``F(X) = mean[(wx * X)^2 + (wy * X)^2]`` of Olofsson & Wagnström 2019 (section 1.3), see
    :func:`second_differences`; the others, their formulas and sources are in :data:`MEASURES`. Only positions where
    the kernel fits are counted, so a constant image scores 0.

    Parameters
    ----------
    image : (Y, X), (Y, X, 3) or (Y, X, 4) array
        Grey levels; of colour images the green channel is measured, alpha is not looked at.
    method : str
        A name of :data:`MEASURES`. All are invariant to a constant offset and none to gain.

    Raises
    ------
    ValueError
        Unknown method, image too small for the kernel, pixels not finite.

    Examples
    --------
    >>> grating = np.sin(2 * np.pi * np.arange(60) / 12) + np.zeros((40, 1))  # period 12 px
    >>> round(focus_measure(grating), 6)  # the mean of (2 (1 - cos pi) sin)^2
    8.0
    >>> focus_measure(np.full((40, 40), 7)), focus_measure(np.full((40, 40), 7), method="vollath_f4")
    (0.0, 0.0)
    """
    return _measure(method)(image)


# --- a stack -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class FocusCurve:
    """A focus measure against z.

    Attributes
    ----------
    z_um : (Z,) float array
        Position of each plane in ``z_unit``.
    values : (Z,) float array
        Focus measure of each plane; NaN where a plane has pixels that are not finite.
    peak_index : int
        The sharpest plane.
    peak_um : float
        Its position, between planes: the vertex of the parabola through the peak and its two neighbours.
    width_um : (float, float)
        Distance from the peak to half its height on the side of lower z and of higher z; NaN where not reached.
    asymmetry : float
        ``(higher - lower) / (higher + lower)`` of the widths: positive where focus is lost more slowly towards
        higher z. NaN where a width is.
    flags : tuple of str
        What makes the curve doubtful: ``"one plane"``, ``"flat"``, ``"peak at edge"``, ``"jagged"``,
        ``"contrast minimum at focus"``, ``"plane k not finite"``.
    method : str
        Name of the measure.
    z_unit : str
        ``"um"``, or ``"plane"`` where positions are not known: then all z and widths count planes.
    roi : (slice, slice) or None
        Rows and columns that were measured; None means all.
    minimum_um : float or None
        Where contrast is lowest between two maxima: the focus of a phase object (unstained cells in brightfield),
        given with the flag ``"contrast minimum at focus"``.
    """

    z_um: Array
    values: Array
    peak_index: int
    peak_um: float
    width_um: tuple[float, float] = (np.nan, np.nan)
    asymmetry: float = np.nan
    flags: tuple[str, ...] = ()
    method: str = "second_difference"
    z_unit: str = "um"
    roi: Roi | None = None
    minimum_um: float | None = None


def focus_curve(
    stack_zyx: StackLike,
    z_um: Sequence[float] | Array | None = None,
    method: str = "second_difference",
    roi: Roi | None = None,
) -> FocusCurve:
    """Measure every plane of a focus stack and find the sharpest (Olofsson & Wagnström 2019, section 2.1.1).

    Parameters
    ----------
    stack_zyx : (Z, Y, X) or (Z, Y, X, 3 or 4) array, or ImageStack of axes ZYX or ZYXS
        numpy or dask; dask is read plane by plane, never whole.
    z_um : sequence of float, optional
        Position of each plane in micrometres, rising or falling, not necessarily even. Default: those of the
        ImageStack; otherwise plane numbers, and the curve says so in ``z_unit``.
    method : str
        A name of :data:`MEASURES`.
    roi : (slice, slice), optional
        Rows and columns to measure: in a tilted sample, or of cells of different height, each has its own peak.

    Returns
    -------
    FocusCurve

    Raises
    ------
    ValueError
        Wrong shape or axes, z positions that are repeated or out of order, no plane without NaN.

    Examples
    --------
    >>> texture = np.random.default_rng(0).normal(size=(32, 32))
    >>> contrast = np.sqrt([2.75, 4.75, 4.75, 2.75])  # F follows 5 - (z - 0.1)^2 / 0.01
    >>> curve = focus_curve(contrast[:, None, None] * texture, z_um=[-0.05, 0.05, 0.15, 0.25])
    >>> curve.peak_index, round(curve.peak_um, 6), curve.flags
    (1, 0.1, ())
    """
    measure = _measure(method)
    planes, z, z_unit = _focus_stack(stack_zyx, z_um)
    values = np.full(len(z), np.nan)
    for index, plane in enumerate(_green_planes(planes, roi)):
        if not _not_finite(plane):
            values[index] = measure(plane)
    finite = np.flatnonzero(np.isfinite(values))
    if not len(finite):
        raise ValueError(
            f"none of the {len(z)} planes is finite: every plane has NaN or infinite pixels; mend the stack"
        )
    described = _describe(z[finite], values[finite])
    bad = tuple(f"plane {index} not finite" for index in range(len(z)) if index not in finite)
    return FocusCurve(
        z_um=z,
        values=values,
        peak_index=int(finite[values[finite].argmax()]),
        method=method,
        z_unit=z_unit,
        roi=roi,
        **{**described, "flags": described["flags"] + bad},
    )


def _describe(z: Array, values: Array) -> dict[str, Any]:
    """Return what a curve says: position and width of its peak, and why not to trust it."""
    if z[0] > z[-1]:
        z, values = z[::-1], values[::-1]
    peak = int(values.argmax())
    if len(z) == 1:
        return {"peak_um": float(z[0]), "flags": ("one plane",)}
    if values[peak] - values.min() <= FLAT * values[peak]:
        return {"peak_um": float(z[peak]), "flags": ("flat",)}
    peak_um, height = _vertex_at(z, values, peak)
    lower = -_half_maximum(-z[peak::-1], values[peak::-1], height / 2)
    higher = _half_maximum(z[peak:], values[peak:], height / 2)
    width = (peak_um - lower, higher - peak_um)
    minimum = _contrast_minimum(values)
    flags = {
        "peak at edge": peak in (0, len(z) - 1),
        "jagged": _count_maxima(values, JAGGED * values[peak]) > (1 if minimum is None else 2),
        "contrast minimum at focus": minimum is not None,
    }
    return {
        "peak_um": peak_um,
        "width_um": width,
        "asymmetry": (width[1] - width[0]) / (width[1] + width[0]),
        "flags": tuple(flag for flag, raised in flags.items() if raised),
        "minimum_um": None if minimum is None else _vertex_at(z, values, minimum)[0],
    }


def _vertex(z: Sequence[Array], values: Sequence[Array]) -> tuple[Array, Array]:
    """Return position and height of the vertex of the parabola through three points, element by element.

    Where it is not defined (a neighbour is not finite, or all three are equal) it is the middle point.
    """
    before, after = z[1] - z[0], z[2] - z[1]
    with np.errstate(divide="ignore", invalid="ignore"):
        rise, fall = (values[1] - values[0]) / before, (values[2] - values[1]) / after
        slope = (rise * after + fall * before) / (before + after)  # at the middle point
        curvature = (fall - rise) / (before + after)
        shift = -slope / (2 * curvature)
    defined = np.isfinite(shift)
    shift = np.where(defined, shift, 0)
    return z[1] + shift, values[1] + np.where(defined, slope, 0) * shift / 2


def _vertex_at(z: Array, values: Array, index: int) -> tuple[float, float]:
    if not 0 < index < len(z) - 1:
        return float(z[index]), float(values[index])
    around = slice(index - 1, index + 2)
    position, height = _vertex(list(z[around]), list(values[around]))
    return float(position), float(height)


def _half_maximum(z: Array, values: Array, half: float) -> float:
    """Return where values that start at a peak first fall to ``half``, between planes; NaN if they do not."""
    below = np.flatnonzero(values <= half)
    if not len(below):
        return np.nan
    pair = slice(below[0] - 1, below[0] + 1)
    return float(np.interp(-half, -values[pair], z[pair]))


def _count_maxima(values: Array, above: float) -> int:
    """Count local maxima, ends included, of at least a height; a plateau is one."""
    changes = values[np.diff(values, prepend=np.nan) != 0]
    padded = np.concatenate([[-np.inf], changes, [-np.inf]])
    return int(np.count_nonzero((changes > padded[:-2]) & (changes > padded[2:]) & (changes >= above)))


def _contrast_minimum(values: Array) -> int | None:
    """Return the plane of a pronounced minimum between two maxima, or None.

    Stained cells absorb and show most contrast in focus; a phase object shows least. One misplaced plane makes a dip
    too, but has its maxima next to it: here both are two planes away or more.
    """
    found, depth = None, CONTRAST_MINIMUM
    for index in range(2, len(values) - 2):
        left, right = values[:index], values[index + 1 :]
        relative = values[index] / min(left.max(), right.max())
        if relative < depth and left.argmax() < index - 1 and right.argmax() > 0:
            found, depth = index, relative
    return found


def sharpest(stack_zyx: StackLike, method: str = "second_difference", roi: Roi | None = None) -> int:
    """Return the index of the sharpest plane of a focus stack; see :func:`focus_curve`."""
    return focus_curve(stack_zyx, method=method, roi=roi).peak_index


def brightest_plane(stack_zyx: StackLike) -> int:
    """Return the index of the plane of highest mean, the one with most signal in fluorescence (Bon, section 1.2.2).

    Examples
    --------
    >>> brightest_plane(np.arange(4)[:, None, None] * np.ones((16, 16)))
    3
    """
    planes, _, _ = _focus_stack(stack_zyx, None)
    means = [_mean(plane) for plane in _green_planes(planes)]
    if not np.isfinite(means).all():
        raise ValueError(f"plane {int(np.argmin(np.isfinite(means)))} has pixels that are not finite: leave it out")
    return int(np.argmax(means))


# --- where in the image ------------------------------------------------------------------------------------


def focus_map(
    stack_zyx: StackLike, z_um: Sequence[float] | Array | None = None, window: int = 36
) -> tuple[Array, Array]:
    """Return the z at which each place of the image is sharpest, and how clearly.

    The local energy ``(wx * X)^2 + (wy * X)^2`` is averaged over a square of ``window`` px; its peak along z is
    refined by the parabola through the neighbouring planes. The averages are taken on a grid of a ninth of the window
    and interpolated between. Planes are read one at a time and not kept.

    Parameters
    ----------
    stack_zyx, z_um
        As in :func:`focus_curve`.
    window : int
        Width of the square in px, rounded up to an odd number of grid steps. Larger is less noisy; smaller follows
        edges between heights better.

    Returns
    -------
    peak_um : (Y, X) float32
        In micrometres, or plane numbers where z is not known.
    confidence : (Y, X) float32
        ``1 - mean / peak`` of the energy over z, from 0 (all planes alike, or no contrast at all) towards 1 (all
        energy in one plane). A place without structure has the confidence of noise, about 0.1.

    Both maps have values everywhere: within 6 px of the border, where the kernel does not fit, the nearest value is
    repeated.

    Examples
    --------
    >>> texture = np.random.default_rng(0).normal(size=(40, 80))
    >>> contrast = np.repeat([[1, 0], [2, 1], [1, 2], [0, 1]], 40, axis=1)  # the right half is one plane higher
    >>> peak_um, confidence = focus_map(contrast[:, None, :] * texture, [0, 0.2, 0.4, 0.6], window=8)
    >>> peak_um[20, [10, 70]].round(2).tolist(), confidence[20, [10, 70]].round(2).tolist()
    ([0.2, 0.4], [0.62, 0.62])
    """
    planes, z, _ = _focus_stack(stack_zyx, z_um)
    energy = _peak_energy(planes, window)
    around = [z[np.clip(energy.index + offset, 0, len(z) - 1)] for offset in (-1, 0, 1)]
    peak_um, _ = _vertex(around, [energy.before, energy.peak, energy.after])
    with np.errstate(invalid="ignore"):
        confidence = np.where(energy.peak > 0, np.maximum(1 - energy.mean / energy.peak, 0), 0)
    shape = planes.shape[1:3]
    return _stretch(peak_um, energy.step_px, shape), _stretch(confidence, energy.step_px, shape)


def all_in_focus(
    stack_zyx: StackLike, z_um: Sequence[float] | Array | None = None, window: int = 36
) -> tuple[Array, Array]:
    """Return one image put together from the sharpest plane of each place, and the plane each pixel came from.

    Pixels are grey levels as they were acquired, neither blended nor interpolated. The map of planes is the peak of
    :func:`focus_map`'s energy, median-filtered over half the window.

    Parameters
    ----------
    stack_zyx, z_um, window
        As in :func:`focus_map`; the positions are only checked.

    Returns
    -------
    image : (Y, X) or (Y, X, S) array
        In the dtype of the stack.
    source_plane : (Y, X) int array

    Examples
    --------
    >>> texture = np.random.default_rng(0).integers(0, 50, (40, 40))
    >>> image, source_plane = all_in_focus(np.stack([texture, 2 * texture, texture]), window=8)
    >>> np.array_equal(image, 2 * texture), set(source_plane.flat)
    (True, {np.int64(1)})
    """
    planes, _, _ = _focus_stack(stack_zyx, z_um)
    energy = _peak_energy(planes, window)
    smooth = ndimage.median_filter(energy.index, size=5, mode="nearest")  # 5 grid steps are about half a window
    rows, columns = (
        np.rint(_grid_position(length, energy.step_px, count)).astype(int)
        for length, count in zip(planes.shape[1:3], smooth.shape, strict=True)
    )
    source_plane = smooth[np.ix_(rows, columns)]
    image = np.empty(planes.shape[1:], planes.dtype)
    for index in np.unique(smooth):
        chosen = np.nonzero(source_plane == index)
        image[chosen] = np.asarray(planes[index])[chosen]
    return image, source_plane


@dataclass(frozen=True)
class _PeakEnergy:
    """Local energy on a grid: its peak over planes, the planes around the peak, and its mean."""

    index: Array
    before: Array
    peak: Array
    after: Array
    mean: Array
    step_px: int


def _peak_energy(planes: Array, window: int) -> _PeakEnergy:
    if isinstance(window, bool) or int(window) != window or not 1 <= window <= min(planes.shape[1:3]):
        raise ValueError(
            f"window is {window}: give a whole number of pixels, 1 to {min(planes.shape[1:3])} (the size of the image)"
        )
    step_px = max(1, min(round(window / 9), *(length - 2 * LAG_PX for length in planes.shape[1:3])))
    index = peak = before = after = total = previous = np.empty(0)
    for number, plane in enumerate(_green_planes(planes)):
        energy = _local_energy(plane, window, step_px)
        if not np.isfinite(energy).all():
            raise ValueError(
                f"plane {number} has pixels that are not finite (NaN or infinite): leave it out or mend it"
            )
        if number == 0:
            index, total = np.zeros(energy.shape, int), energy.astype(np.float64)
            peak, before, after = energy.copy(), np.full_like(energy, np.nan), np.full_like(energy, np.nan)
        else:
            total += energy
            np.copyto(after, energy, where=index == number - 1)
            better = energy > peak
            for running, new in ((index, number), (before, previous), (peak, energy), (after, np.nan)):
                np.copyto(running, new, where=better)
        previous = energy
    return _PeakEnergy(index, before, peak, after, total / len(planes), step_px)


def _local_energy(plane: Array, window: int, step_px: int) -> Array:
    """Return the squared second differences averaged over the window, on a grid of ``step_px``."""
    blocks = []
    for dx2, dy2 in _blocks(plane, step_px * max(1, _BLOCK_ROWS // step_px)):
        energy = np.square(dx2, out=dx2)
        energy += np.square(dy2, out=dy2)
        rows, columns = (length // step_px for length in energy.shape)  # what is left over at the far edges is not used
        energy = energy[: rows * step_px].reshape(rows, step_px, energy.shape[1]).sum(1)
        blocks.append(sum(energy[:, first : columns * step_px : step_px] for first in range(step_px)))
    return np.asarray(ndimage.uniform_filter(np.concatenate(blocks) / step_px**2, window // step_px | 1))


def _grid_position(length: int, step_px: int, count: int) -> Array:
    """Return where each pixel of an image axis lies on the grid of :func:`_local_energy`, in grid steps."""
    return np.clip((np.arange(length) - LAG_PX - (step_px - 1) / 2) / step_px, 0, count - 1)


def _stretch(grid: Array, step_px: int, shape: tuple[int, int]) -> Array:
    """Interpolate a map from the grid to the pixels of an image, linearly; beyond the grid its edge is repeated."""
    grid = grid.astype(np.float32)
    for axis, length in enumerate(shape):
        position = _grid_position(length, step_px, grid.shape[axis])
        lower = position.astype(int)
        part = np.expand_dims((position - lower).astype(np.float32), 1 - axis)
        step = np.diff(grid, axis=axis, append=grid.take([-1], axis))
        grid = grid.take(lower, axis) + part * step.take(lower, axis)
    return grid


# --- what came in ------------------------------------------------------------------------------------------


def _measure(method: str) -> Measure:
    if method not in MEASURES:
        raise ValueError(f"unknown focus measure {method!r}: use one of {', '.join(MEASURES)}")
    return MEASURES[method]


def _check_size(grey: Array, smallest_px: int, what: str) -> None:
    if min(grey.shape) < smallest_px:
        raise ValueError(
            f"image has {grey.shape[0]} x {grey.shape[1]} px: {what} needs {smallest_px} or more along both axes; "
            "take a larger region"
        )


def _focus_stack(stack: StackLike, z_um: Sequence[float] | Array | None) -> tuple[Array, Array, str]:
    """Return pixels (Z, Y, X[, S]), the z of each plane and the unit of z."""
    if isinstance(stack, ImageStack):
        if stack.axes not in ("ZYX", "ZYXS"):
            others = stack.axes.replace("Z", "").replace("Y", "").replace("X", "").replace("S", "")
            todo = (
                f'select one plane along {", ".join(others)} first: stack.select("{others[0]}", 0)'
                if others
                else "open a stack"
            )
            raise ValueError(f"stack has axes {stack.axes}: focus is measured along Z (ZYX or ZYXS); {todo}")
        z_um = stack.z_um if z_um is None else z_um
        stack = stack.data
    planes = stack if hasattr(stack, "shape") and hasattr(stack, "dtype") else np.asarray(stack)
    if not (planes.ndim == 3 or (planes.ndim == 4 and planes.shape[-1] in (3, 4))) or 0 in planes.shape:
        raise ValueError(
            f"stack has shape {planes.shape}: give planes (Z, Y, X) or colour planes (Z, Y, X, 3 or 4); for one image "
            "use focus_measure"
        )
    if z_um is None:
        return planes, np.arange(len(planes), dtype=float), "plane"
    return planes, _check_z(z_um, len(planes)), "um"


def _check_z(z_um: Sequence[float] | Array, count: int) -> Array:
    z = np.asarray(z_um, float)
    if z.shape != (count,):
        raise ValueError(
            f"z_um has shape {z.shape} for {count} planes: give one position in micrometres for each plane"
        )
    if not np.isfinite(z).all():
        raise ValueError(f"z_um of plane {int(np.argmin(np.isfinite(z)))} is not a finite number")
    steps = np.diff(z) * np.sign(z[-1] - z[0])
    if count > 1 and not (steps > 0).all():
        first = int(np.argmin(steps > 0))
        what = "the same position" if z[first] == z[first + 1] else "out of order"
        raise ValueError(
            f"planes {first} and {first + 1} are {what} (z {z[first]:g} and {z[first + 1]:g} um): z must rise or fall "
            "from plane to plane; sort the planes or leave out the repeated one"
        )
    return z


def _green_planes(planes: Array, roi: Roi | None = None) -> Iterator[Array]:
    """Yield the green channel of each plane as numpy, one at a time; of a dask array only that is computed."""
    if roi is not None and not (isinstance(roi, tuple) and [type(part) for part in roi] == [slice, slice]):
        raise TypeError(f"roi is {roi!r}: give (slice of rows, slice of columns)")
    rows, columns = (slice(None), slice(None)) if roi is None else roi
    for index in range(len(planes)):
        plane = planes[index, rows, columns]
        yield green(plane[..., 1] if plane.ndim == 3 else plane)
