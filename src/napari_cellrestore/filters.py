"""Classical filters, the baselines that a network has to beat: one table, :data:`FILTERS`.

Every filter is ``f(image, **options) -> image``: (Y, X) or (Y, X, C) in, float32 of the same shape out, each colour on
its own; the alpha of (Y, X, 4) stays as it is. Grey levels keep their units and nothing is clipped, so a result can leave
the range of the input's type. Beyond the border the image is mirrored; a constant image stays what it is. Filters take
whole images, not tiles.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import fft, ndimage
from skimage import restoration

from napari_cellrestore.scan_lines import estimate_line_offset, undo_shear

Array = np.ndarray
Psf = Array | Sequence[Array]


# --- smoothing and sharpening ------------------------------------------------------------------------------


def gaussian(image: npt.ArrayLike, *, sigma_px: float = 1.0) -> Array:
    """Smooth by a Gaussian of standard deviation ``sigma_px``.

    Examples
    --------
    >>> point = np.zeros((9, 9))
    >>> point[4, 4] = 100
    >>> round(float(gaussian(point, sigma_px=1.0)[4, 4]), 1)  # 100 / (2 pi)
    15.9
    """
    _positive(sigma_px=sigma_px)
    return _each_colour(image, lambda grey: ndimage.gaussian_filter(grey, sigma_px))


def mean(image: npt.ArrayLike, *, size_px: int = 3) -> Array:
    """Take the mean over squares of ``size_px``."""
    _check_size(size_px)
    return _each_colour(image, lambda grey: ndimage.uniform_filter(grey, size_px))


def median(image: npt.ArrayLike, *, size_px: int = 3) -> Array:
    """Take the median over squares of ``size_px``: removes single bright and dark pixels, keeps edges."""
    _check_size(size_px)
    return _each_colour(image, lambda grey: ndimage.median_filter(grey, size_px))


def unsharp(image: npt.ArrayLike, *, sigma_px: float = 2.0, amount: float = 1.0) -> Array:
    """Sharpen by adding ``amount`` times the difference from a Gaussian-smoothed image.

    A frequency ``nu`` (cycles per px) is raised by ``1 + amount (1 - exp(-2 (pi sigma nu)^2))``; noise is too.
    """
    _positive(sigma_px=sigma_px)
    return _each_colour(
        image, lambda grey: grey + np.float32(amount) * (grey - ndimage.gaussian_filter(grey, sigma_px))
    )


# --- a defect of the scan ------------------------------------------------------------------------------------


def undo_scan_shear(image: npt.ArrayLike, *, offset_px: float | None = None) -> Array:
    """Put back every second line of a bidirectional scan, see :mod:`napari_cellrestore.scan_lines`.

    Without an offset it is measured: once, on the whole image and all colours, which were scanned together. Where no shear is
    found, or it cannot be told (noise alone, no contrast, fewer than 32 lines), the image stays as it is. Of tiles each would
    get an offset of its own, and one that begins on an odd row the wrong sign: measure on the whole, and give that.

    Parameters
    ----------
    image : (Y, X) or (Y, X, C) array
        Lines along x.
    offset_px : float, optional
        How far the second, the fourth, ... line lies to the right.

    Examples
    --------
    >>> scene = ndimage.gaussian_filter(np.random.default_rng(0).normal(100, 50, (96, 128)), 1.5)
    >>> sheared = scene.copy()
    >>> sheared[1::2] = np.roll(scene[1::2], 2, axis=1)
    >>> bool(np.abs(undo_scan_shear(sheared) - scene)[:, 4:-4].max() < 0.5 < np.abs(sheared - scene)[:, 4:-4].max() / 50)
    True
    """
    values = _each_colour(image, lambda grey: grey)
    if offset_px is None:
        colours = [values] if values.ndim == 2 else list(np.moveaxis(_without_alpha(values), -1, 0))
        offset_px = estimate_line_offset(colours).to_undo_px
    return _each_colour(values, lambda grey: undo_shear(grey, offset_px))


# --- a known blur, and its deconvolution ---------------------------------------------------------------------


def blur(image: npt.ArrayLike, *, psf: Psf) -> Array:
    """Blur by a kernel, ``f * k``: the forward model of :func:`wiener` and :func:`richardson_lucy`.

    Beyond the borders the image is mirrored. The kernel is scaled to sum 1 and may have negative values, as a recovered
    one has.

    Examples
    --------
    >>> point = np.zeros((9, 9))
    >>> point[4, 4] = 9
    >>> blur(point, psf=np.ones((3, 3)))[3:6, 3:6].round(4).tolist()
    [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]
    """

    def apply(grey: Array, kernel: Array) -> Array:
        twice = mirrored(grey)
        return _filtered(twice, transfer_of(kernel, twice.shape))[_corner(grey)]

    return _each_colour(image, apply, psf)


def wiener(image: npt.ArrayLike, *, psf: Psf, balance: float = 0.01) -> Array:
    """Undo a known blur by the Wiener-Hunt filter ``conj(H) / (|H|^2 + balance |L|^2)``.

    ``H`` is the transfer function of the blur and ``L`` the Laplacian, so noise is held down at high frequencies and
    the mean stays (Hunt 1971, IEEE Trans. Audio Electroacoust. 19:285; :func:`skimage.restoration.wiener` without its
    clipping). The image is mirrored to twice its size first: a symmetric blur over mirrored borders is undone exactly.

    Parameters
    ----------
    image : (Y, X) or (Y, X, C) array
        Blurred image.
    psf : (y, x) array, or one for each colour
        Blurring kernel, centred on pixel ``(y // 2, x // 2)``; scaled to sum 1, so grey levels keep their unit.
    balance : float
        Larger is smoother. Lower it until noise shows.

    Examples
    --------
    >>> wave = 100 + 50 * np.cos(np.pi * (np.arange(32) + 0.5) / 8) + np.zeros((32, 1))
    >>> box = np.ones((3, 3))
    >>> bool(np.allclose(wiener(mean(wave, size_px=3), psf=box, balance=1e-6), wave, atol=0.01))
    True
    """
    if not balance > 0:
        raise ValueError(f"balance is {balance}: it must be positive; larger is smoother")

    def restore(grey: Array, kernel: Array) -> Array:
        twice = mirrored(grey)
        _check_fits(kernel, twice)
        return np.asarray(restoration.wiener(twice, kernel.astype(np.float32), balance, clip=False))[_corner(grey)]

    return _each_colour(image, restore, psf)


def richardson_lucy(image: npt.ArrayLike, *, psf: Psf, iterations: int = 20) -> Array:
    """Undo a known blur by Richardson-Lucy iterations, the most likely image under Poisson noise.

    ``x <- x * k^T(g / k(x))`` with ``k`` the blur, ``k^T`` the mirrored one and ``g`` the image, from a constant
    (Richardson 1972, J. Opt. Soc. Am. 62:55; Lucy 1974, Astron. J. 79:745). More iterations are sharper and noisier.
    Differs from :func:`skimage.restoration.richardson_lucy` at the border, which is black there and mirrored here, so
    that the sum of grey levels stays.

    Parameters
    ----------
    image : (Y, X) or (Y, X, C) array
        Blurred image, not negative.
    psf : (y, x) array, or one for each colour
        As in :func:`wiener`; not negative.
    iterations : int
        One or more.

    Examples
    --------
    >>> bool(np.allclose(richardson_lucy(np.full((16, 16), 40), psf=np.ones((3, 3))), 40))
    True
    """
    if isinstance(iterations, bool) or int(iterations) != iterations or iterations < 1:
        raise ValueError(f"iterations is {iterations}: give a whole number from 1")
    if (low := np.asarray(image).min(initial=0)) < 0:
        raise ValueError(
            f"image has negative pixels (down to {low:g}): Richardson-Lucy takes counts; add the background back, "
            "or use wiener"
        )

    def restore(grey: Array, kernel: Array) -> Array:
        if kernel.min() < 0:
            raise ValueError(f"psf has negative values (down to {kernel.min():g}): Richardson-Lucy needs intensities")
        blurred = mirrored(grey)
        transfer = transfer_of(kernel, blurred.shape)
        rounding = max(np.finfo(np.float32).eps * float(blurred.max()), np.finfo(np.float32).tiny)
        estimate = np.full_like(blurred, blurred.mean())
        for _ in range(int(iterations)):
            ratio = blurred / np.maximum(_filtered(estimate, transfer), rounding)
            estimate *= np.maximum(_filtered(ratio, transfer.conj()), 0)
        return estimate[_corner(grey)]

    return _each_colour(image, restore, psf)


def mirrored(grey: Array) -> Array:
    """Return the image of twice the size that continues smoothly over all borders when it is repeated."""
    return np.pad(grey, [(0, length) for length in grey.shape], mode="symmetric")


def _corner(grey: Array) -> tuple[slice, slice]:
    return slice(grey.shape[0]), slice(grey.shape[1])


def transfer_of(kernel: Array, shape: tuple[int, ...]) -> Array:
    """Return the transfer function of a kernel centred on ``(y // 2, x // 2)``, half plane as of ``rfft2``."""
    padded = np.zeros(shape, np.float32)
    _check_fits(kernel, padded)
    padded[: kernel.shape[0], : kernel.shape[1]] = kernel
    return np.asarray(fft.rfft2(np.roll(padded, [-(length // 2) for length in kernel.shape], axis=(0, 1))))


def _filtered(grey: Array, transfer: Array) -> Array:
    return np.asarray(fft.irfft2(fft.rfft2(grey) * transfer, grey.shape))


# --- the table ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Filter:
    """A filter as a menu shows it. Called, it is its function."""

    name: str
    label: str
    function: Callable[..., Array]
    needs_psf: bool
    help: str

    def __call__(self, image: npt.ArrayLike, **options: object) -> Array:
        """Return the filtered image."""
        return self.function(image, **options)


#: The filters by name.
FILTERS = {
    each.name: each
    for each in (
        Filter("gaussian", "Gaussian", gaussian, False, "Less noise, less detail."),
        Filter("mean", "Mean", mean, False, "Less noise, less detail; faster than Gaussian."),
        Filter("median", "Median", median, False, "Removes single bright and dark pixels, keeps edges."),
        Filter("unsharp", "Unsharp mask", unsharp, False, "Raises detail, and noise with it."),
        Filter(
            "undo_scan_shear",
            "Undo scan shear",
            undo_scan_shear,
            False,
            "Puts back every second line of a bidirectional scan; an image without shear stays as it is.",
        ),
        Filter("wiener", "Wiener", wiener, True, "Undoes a known blur; fast. Can ring at edges and go below zero."),
        Filter(
            "richardson_lucy",
            "Richardson-Lucy",
            richardson_lucy,
            True,
            "Undoes a known blur; for photon counts. Never below zero; noise grows with iterations.",
        ),
    )
}


# --- what came in ------------------------------------------------------------------------------------------


def _each_colour(image: npt.ArrayLike, function: Callable[..., Array], psf: Psf | None = None) -> Array:
    """Apply ``function(grey)``, or ``function(grey, kernel)``, to each colour of an image as float32; alpha stays."""
    values = np.asarray(image)
    if values.dtype.kind not in "buif":
        raise TypeError(f"image has dtype {values.dtype}: give real numbers (integer, float or bool)")
    if values.ndim not in (2, 3) or values.size == 0:
        raise ValueError(f"image has shape {values.shape}: give (Y, X) or (Y, X, C)")
    if not np.isfinite(values).all():
        bad = values.size - np.count_nonzero(np.isfinite(values))
        raise ValueError(
            f"{bad} of {values.size} pixels are not finite (NaN or infinite): mend them first, a filter spreads them"
        )
    colours = values[..., None] if values.ndim == 2 else _without_alpha(values)
    kernels = [()] * colours.shape[-1] if psf is None else [(kernel,) for kernel in kernels_of(psf, colours.shape[-1])]
    result = values.astype(np.float32).reshape(*values.shape[:2], -1)
    for index, kernel in enumerate(kernels):
        result[..., index] = function(colours[..., index].astype(np.float32), *kernel)
    return result.reshape(values.shape)


def _without_alpha(values: Array) -> Array:
    return values[..., :3] if values.shape[-1] == 4 and values.ndim == 3 else values


def kernels_of(psf: Psf, count: int) -> list[Array]:
    """Return one kernel of sum 1 for each colour."""
    given = [psf] * count if isinstance(psf, np.ndarray) and psf.ndim == 2 else list(psf)
    kernels = [np.asarray(kernel, np.float64) for kernel in given]
    if len(kernels) != count:
        raise ValueError(f"{len(kernels)} kernels for {count} colours: give one psf (y, x), or one for each colour")
    for kernel in kernels:
        if kernel.ndim != 2 or not np.isfinite(kernel).all() or not kernel.sum() > 0:
            raise ValueError(
                f"psf has shape {kernel.shape} and sum {kernel.sum():g}: give a finite 2-D kernel of positive sum"
            )
    return [kernel / kernel.sum() for kernel in kernels]


def _check_fits(kernel: Array, twice: Array) -> None:
    if any(k > m for k, m in zip(kernel.shape, twice.shape, strict=True)):
        raise ValueError(
            f"psf has {kernel.shape} px for an image of {tuple(m // 2 for m in twice.shape)}: crop it to twice the "
            "image's size"
        )


def _positive(**values: float) -> None:
    for name, value in values.items():
        if not (np.isfinite(value) and value > 0):
            raise ValueError(f"{name} is {value}: give a positive number of pixels")


def _check_size(size_px: int) -> None:
    if isinstance(size_px, bool) or int(size_px) != size_px or size_px < 1 or size_px % 2 == 0:
        raise ValueError(f"size_px is {size_px}: give an odd number of pixels, so that the square has a centre")
