"""What is made of recovered kernels: one for each plane of a focus stack, images, tables, what theory says of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import fft
from scipy.optimize import minimize_scalar

from napari_cellrestore.focus import green, sharpest
from napari_cellrestore.focus.planes import StackLike, focus_stack
from napari_cellrestore.objective import Objective
from napari_cellrestore.psf import blur_radius_px, in_focus_otf, pupil
from napari_cellrestore.recover import PsfRecovery, recover_psf
from napari_cellrestore.stack import ImageStack

Array = np.ndarray

#: Side of the image of a kernel in widths at half maximum, and its least number of pixels.
SIDE, LEAST_PX = 12, 33
COLOURS = ("red", "green", "blue")


def recover_series(
    stack: StackLike,
    pixel_um: float,
    *,
    reference: int | None = None,
    planes: Iterable[int] | None = None,
    colour: int = 1,
    **options: Any,
) -> Iterator[tuple[int, PsfRecovery | str]]:
    """Recover the blur of planes of a focus stack against its sharpest one.

    Parameters
    ----------
    stack : (Z, Y, X) or (Z, Y, X, 3 or 4) array, or ImageStack of these axes
        Read plane by plane.
    pixel_um : float
        Pixel size.
    reference : int, optional
        The plane taken for sharp; if not given, by :func:`napari_cellrestore.focus.sharpest`.
    planes : iterable of int, optional
        All but the reference, if not given.
    colour : int
        Which sample of colour planes.
    **options
        Those of :func:`napari_cellrestore.recover.recover_psf`.

    Yields
    ------
    (int, PsfRecovery or str)
        Plane and its kernel, or why there is none: one bad plane does not end the series.

    Examples
    --------
    >>> from scipy import ndimage
    >>> scene = np.random.default_rng(0).normal(100, 20, (96, 96))
    >>> stack = np.stack([ndimage.gaussian_filter(scene, sigma, mode="wrap") for sigma in (2, 0, 2, 4)])
    >>> [(plane, round(found.fwhm_um, 1)) for plane, found in recover_series(stack, 0.1)]
    [(0, 0.5), (2, 0.5), (3, 0.9)]
    """
    pixels, _, _ = focus_stack(stack, None)
    reference = sharpest(pixels) if reference is None else check_plane(reference, len(pixels))
    sharp = _colour(pixels[reference], colour)
    chosen = range(len(pixels)) if planes is None else [check_plane(plane, len(pixels)) for plane in planes]
    for plane in chosen:
        if plane == reference:
            continue
        try:
            yield plane, recover_psf(sharp, _colour(pixels[plane], colour), pixel_um, **options)
        except ValueError as error:
            yield plane, str(error)


def sharp_kernel(like: PsfRecovery) -> PsfRecovery:
    """Return the kernel of the sharp plane against itself, one pixel: its absolute kernel is that in focus."""
    focus = None if like.objective is None else in_focus_otf(like.frequency, like.objective)
    return replace(
        like,
        otf=np.ones_like(like.otf),
        covariance=np.zeros_like(like.covariance),
        residual=np.zeros_like(like.residual),
        absolute_otf=focus,
        shift_px=(0.0, 0.0),
        warnings=(),
    )


def check_plane(plane: int, count: int) -> int:
    """Return a plane number that exists."""
    if not 0 <= plane < count:
        raise ValueError(f"plane {plane} does not exist: there are {count} (0 to {count - 1})")
    return plane


def _colour(plane: Any, colour: int) -> Array:
    plane = np.asarray(plane)
    return np.asarray(plane[..., colour] if plane.ndim == 3 else green(plane))


# --- images and tables -----------------------------------------------------------------------------------------


def kernel_image(psf: npt.ArrayLike, side_px: int) -> Array:
    """Return the middle of a centred kernel, odd sides, float32; values stay."""
    psf = np.asarray(psf, np.float32)
    cut = []
    for length in psf.shape:
        reach = min(side_px // 2, length // 2, length - 1 - length // 2)
        cut.append(slice(length // 2 - reach, length // 2 + reach + 1))
    return psf[tuple(cut)]


def side_px(found: Iterable[PsfRecovery]) -> int:
    """Return the side of an image that holds each of these kernels."""
    widths = [recovery.fwhm_um / recovery.pixel_um for recovery in found]
    return max(int(SIDE * np.nanmax([0, *widths])), LEAST_PX) // 2 * 2 + 1


def kernel_stack(found: Sequence[PsfRecovery], axis: str = "", *, absolute: bool = False, **fields: Any) -> ImageStack:
    """Return kernels as an image: one YX, several along ``axis`` ("Z", "C").

    ``absolute`` takes the kernels of the defocused microscope. ``fields`` are those of
    :class:`~napari_cellrestore.stack.ImageStack`, such as ``z_um`` and ``provenance``.
    """
    side = side_px(found)
    kernels = [recovery.absolute_psf if absolute else recovery.psf for recovery in found]
    images = [kernel_image(kernel, side) for kernel in kernels if kernel is not None]
    data = np.stack(images) if axis else images[0]
    return ImageStack(data, f"{axis}YX", pixel_um=found[0].pixel_um, **fields)


def summary(found: PsfRecovery) -> dict[str, Any]:
    """Return the numbers of a recovery by name, lengths in um."""
    trusted = float(found.frequency[found.trusted].max(initial=0.0))
    return {
        "fwhm_um": found.fwhm_um,
        "absolute_fwhm_um": found.absolute_fwhm_um,
        "trusted_to_per_um": trusted,
        "smallest_period_um": 1 / trusted if trusted else None,
        "residual": float(np.median(found.residual[found.trusted])) if found.trusted.any() else None,
        "noise_sharp": found.noise_std[0],
        "noise_blurred": found.noise_std[1],
        "mu": found.mu,
        "method": found.method,
        "warnings": list(found.warnings),
    }


def otf_rows(found: PsfRecovery, theory: Array | None = None) -> tuple[tuple[str, ...], list[list[Any]]]:
    """Return head and rows of the table of a transfer function.

    ``theory`` is that of the relative kernel; with known optics the absolute curve and the one in focus are added.
    """
    columns: dict[str, Any] = {
        "frequency_per_um": found.frequency,
        "otf": found.otf,
        "otf_std": found.otf_std,
        "residual": found.residual,
        "trusted": found.trusted.astype(int),
    }
    if found.objective is not None and found.absolute_otf is not None:
        columns["absolute_otf"] = found.absolute_otf
        columns["theory_in_focus"] = in_focus_otf(found.frequency, found.objective)
    if theory is not None:
        columns["theory"] = theory
    return tuple(columns), [list(row) for row in zip(*(np.asarray(c).tolist() for c in columns.values()), strict=True)]


# --- theory ----------------------------------------------------------------------------------------------------


def defocused_otf(frequency: npt.ArrayLike, objective: Objective, defocus_um: float) -> Array:
    """Return the transfer function of a defocused objective at radial frequencies, cycles/um, 1 at 0.

    The autocorrelation of :func:`napari_cellrestore.psf.pupil`; scalar, aberration-free.

    Examples
    --------
    >>> lens = Objective(na=0.25, wavelength_um=0.5)
    >>> defocused_otf([0, 0.5, 1.0], lens, 0.0).round(2).tolist()
    [1.0, 0.39, 0.0]
    """
    pixel_um = objective.nyquist_pixel_um
    side = fft.next_fast_len(2 * max(blur_radius_px(pixel_um, objective, defocus_um), 128))
    wave = fft.ifft2(pupil((side, side), pixel_um, objective, defocus_um))
    # The spectrum along one axis is that of the sum over the other.
    curve = fft.rfft((np.abs(wave) ** 2).sum(0)).real
    known = np.arange(len(curve)) / (side * pixel_um)
    inside = np.asarray(frequency, float)
    return np.asarray(np.interp(inside, known, curve / curve[0], right=0.0))


def relative_theory(found: PsfRecovery, defocus_um: float) -> Array:
    """Return what theory says of the relative transfer function; NaN where in focus too little is left to divide by."""
    if found.objective is None:
        raise ValueError("theory needs the optics: recover with objective=Objective(...)")
    focus = in_focus_otf(found.frequency, found.objective)
    curve = defocused_otf(found.frequency, found.objective, defocus_um)
    return np.where(focus > 0.02, curve / np.maximum(focus, 0.02), np.nan)


def best_defocus(found: PsfRecovery, largest_um: float | None = None) -> tuple[float, Array]:
    """Return the defocus, um, whose relative transfer function fits best where it is trusted, and that curve.

    Least squares, weighted by the stated uncertainty, of ``found.otf`` against :func:`relative_theory`; the sign of
    defocus does not show.
    """
    if found.objective is None:
        raise ValueError("theory needs the optics: recover with objective=Objective(...)")
    depth_um = found.objective.wavelength_um * found.objective.immersion_index / found.objective.na**2
    largest_um = 40 * depth_um if largest_um is None else largest_um
    weight = found.trusted / np.maximum(found.otf_std, 0.01) ** 2

    def misfit(defocus_um: float) -> float:
        return float(np.nansum(weight * (found.otf - relative_theory(found, defocus_um)) ** 2))

    grid = np.geomspace(depth_um / 10, largest_um, 40)
    scores = [misfit(defocus_um) for defocus_um in grid]
    best = int(np.argmin(scores))
    bounds = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
    defocus_um = float(minimize_scalar(misfit, bounds=bounds, method="bounded").x)
    return defocus_um, relative_theory(found, defocus_um)


def described(found: PsfRecovery, **said: Any) -> Mapping[str, Any]:
    """Return how a kernel was made, for the provenance of its image."""
    optics = found.objective
    return {
        "generated": "point-spread function: computed, not recorded",
        "kernel": "relative: blurred over sharp, sum 1 over the frame",
        "optics": None
        if optics is None
        else {"na": optics.na, "wavelength_um": optics.wavelength_um, "immersion_index": optics.immersion_index},
        **{key: value for key, value in summary(found).items() if value is not None},
        **said,
    }
