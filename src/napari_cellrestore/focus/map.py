"""Focus maps: which plane is sharp at each place of the image, and the image of these planes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_cellrestore.focus.curve import vertex
from napari_cellrestore.focus.measures import BLOCK_ROWS, LAG_PX, difference_blocks
from napari_cellrestore.focus.planes import Array, StackLike, check_z, focus_stack, green_planes

#: Part of the largest local energy that the running sums of the average leave, of either sign, where there is none.
ROUNDING = 1e-9


def focus_map(
    stack_zyx: StackLike,
    z_um: Sequence[float] | Array | None = None,
    window: int = 36,
    *,
    confidence_from: float | None = None,
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
    confidence_from : float, optional
        Leave the map empty (NaN) where the confidence is lower; such places then do not come into their neighbours
        either. 0.2 tells structure from noise. Default: values everywhere.

    Returns
    -------
    peak_um : (Y, X) float32
        In micrometres, or plane numbers where z is not known.
    confidence : (Y, X) float32
        ``1 - mean / peak`` of the energy over z, from 0 (all planes alike, or no contrast at all) towards 1 (all
        energy in one plane). A place without structure has the confidence of noise, about 0.1.

    Within 6 px of the border, where the kernel does not fit, the nearest value is repeated.

    Examples
    --------
    >>> texture = np.random.default_rng(0).normal(size=(40, 80))
    >>> contrast = np.repeat([[1, 0], [2, 1], [1, 2], [0, 1]], 40, axis=1)  # the right half is one plane higher
    >>> peak_um, confidence = focus_map(contrast[:, None, :] * texture, [0, 0.2, 0.4, 0.6], window=8)
    >>> peak_um[20, [10, 70]].round(2).tolist(), confidence[20, [10, 70]].round(2).tolist()
    ([0.2, 0.4], [0.62, 0.62])
    """
    planes, z, _ = focus_stack(stack_zyx, z_um)
    energy = _peak_energy(planes, window)
    around = [z[np.clip(energy.index + offset, 0, len(z) - 1)] for offset in (-1, 0, 1)]
    peak_um, _ = vertex(around, [energy.before, energy.peak, energy.after])
    with np.errstate(invalid="ignore"):
        confidence = np.where(energy.peak > 0, np.maximum(1 - energy.mean / energy.peak, 0), 0)
    shape = planes.shape[1:3]
    if confidence_from is not None:
        peak_um = _filled(peak_um, confidence >= confidence_from)
    peak_um, confidence = (_stretch(grid, energy.step_px, shape) for grid in (peak_um, confidence))
    if confidence_from is not None:
        peak_um[confidence < confidence_from] = np.nan
    return peak_um, confidence


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
    planes, _, _ = focus_stack(stack_zyx, z_um)
    energy = _peak_energy(planes, window)
    smooth = ndimage.median_filter(energy.index, size=5, mode="nearest")  # 5 grid steps are about half a window
    rows, columns = (
        np.rint(_grid_position(length, energy.step_px, count)).astype(int)
        for length, count in zip(planes.shape[1:3], smooth.shape, strict=True)
    )
    source_plane = smooth[np.ix_(rows, columns)]
    return take_planes(planes, source_plane), source_plane


def take_planes(stack_zyx: StackLike, source_plane: npt.ArrayLike) -> Array:
    """Return the image whose pixels come from the planes that a map names: one channel by the focus of another.

    Pixels are grey levels as they were acquired, neither blended nor interpolated.

    Parameters
    ----------
    stack_zyx : (Z, Y, X) or (Z, Y, X, 3 or 4) array, or ImageStack of axes ZYX or ZYXS
        numpy or dask; of dask the planes that are named are read, one at a time.
    source_plane : (Y, X) int array
        A plane number for each pixel, as :func:`all_in_focus` and :func:`nearest_planes` return them.

    Returns
    -------
    image : (Y, X) or (Y, X, S) array
        In the dtype of the stack.

    Raises
    ------
    ValueError
        A map of another size, plane numbers that the stack does not have.

    Examples
    --------
    >>> cells, nuclei = np.zeros((2, 3, 2, 2)), np.arange(12).reshape(3, 2, 2)
    >>> take_planes(nuclei, [[0, 2], [1, 0]])
    array([[0, 9],
           [6, 3]])
    """
    planes, _, _ = focus_stack(stack_zyx, None)
    numbers = np.asarray(source_plane)
    if numbers.dtype.kind not in "ui":
        raise TypeError(
            f"source_plane has dtype {numbers.dtype}: give whole plane numbers; nearest_planes makes them from positions"
        )
    if numbers.shape != planes.shape[1:3]:
        raise ValueError(
            f"source_plane has shape {numbers.shape}, planes have {planes.shape[1:3]}: give the map of the same field"
        )
    if numbers.min() < 0 or numbers.max() >= len(planes):
        raise ValueError(
            f"source_plane names planes {numbers.min()} to {numbers.max()}, the stack has 0 to {len(planes) - 1}: give the "
            "map of a stack with the same planes"
        )
    image = np.empty(planes.shape[1:], planes.dtype)
    for index in np.flatnonzero(np.bincount(numbers.ravel().astype(np.intp))):
        chosen = np.nonzero(numbers == index)
        image[chosen] = np.asarray(planes[int(index)])[chosen]
    return image


def nearest_planes(peak_um: npt.ArrayLike, z_um: Sequence[float] | Array) -> Array:
    """Return the plane nearest to each position of a focus map, for :func:`take_planes`.

    Where the map says nothing (NaN: no structure to focus on) the plane is that of the nearest place where it does: focus
    is a surface, and what surrounds a gap says most about it. Halfway between two planes it is the one of lower z.

    Parameters
    ----------
    peak_um : (Y, X) float array
        As of :func:`focus_map`, NaN where the confidence is too low for you.
    z_um : sequence of float
        Position of each plane in micrometres, or ``range(Z)`` where the map counts planes.

    Returns
    -------
    source_plane : (Y, X) int array

    Raises
    ------
    ValueError
        NaN everywhere, or positions more than half a step beyond the first or last plane.

    Examples
    --------
    >>> nearest_planes([[0.0, 0.29, np.nan, 0.41]], [0, 0.2, 0.4])
    array([[0, 1, 1, 2]])
    """
    peak = np.array(peak_um, float)
    z = check_z(z_um, np.size(z_um))
    known = ~np.isnan(peak)
    if peak.ndim != 2 or not known.any():
        raise ValueError(f"peak_um has shape {peak.shape} and {known.sum()} numbers: give a map (Y, X) with some")
    order = np.argsort(z)
    reach_um = np.abs(np.diff(z)).max(initial=0) / 2 + 1e-6 * np.abs(z).max()  # maps are float32
    low, high = float(peak[known].min()), float(peak[known].max())
    if low < z.min() - reach_um or high > z.max() + reach_um:
        raise ValueError(
            f"peak_um goes from {low:g} to {high:g}, the planes lie from {z.min():g} to {z.max():g}: give the map of a stack "
            "with the same z"
        )
    between = (z[order][1:] + z[order][:-1]) / 2
    return _filled(order[np.searchsorted(between, peak)], known)


def _filled(values: Array, known: Array) -> Array:
    """Return values with those that are not known replaced by the nearest that are, if there are any."""
    if known.all() or not known.any():
        return values
    rows, columns = ndimage.distance_transform_edt(~known, return_distances=False, return_indices=True)
    return np.asarray(values[rows, columns])


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
    for number, plane in enumerate(green_planes(planes)):
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
    for dx2, dy2 in difference_blocks(plane, step_px * max(1, BLOCK_ROWS // step_px)):
        energy = np.square(dx2, out=dx2)
        energy += np.square(dy2, out=dy2)
        rows, columns = (length // step_px for length in energy.shape)  # what is left over at the far edges is not used
        energy = energy[: rows * step_px].reshape(rows, step_px, energy.shape[1]).sum(1)
        blocks.append(sum(energy[:, first : columns * step_px : step_px] for first in range(step_px)))
    energy = np.asarray(ndimage.uniform_filter(np.concatenate(blocks) / step_px**2, window // step_px | 1))
    energy[energy < ROUNDING * energy.max()] = 0
    return energy


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
