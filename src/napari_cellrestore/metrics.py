"""How close an image is to a reference, and how sharp it is on its own: one table, :data:`METRICS`.

Every metric is ``f(reference, image, *, data_range=None, mask=None) -> float``, or ``f(image, ...)`` where it needs no
reference. Nothing is rescaled: errors are in the grey levels of the images. Numbers are computed in float32 for images
of up to 16 bit and float32, otherwise in float64, and summed in float64.

Parameters that all metrics share
---------------------------------
reference, image : (Y, X) or (Y, X, 3) array
    Of one shape. The alpha of (Y, X, 4) is not looked at. Types may differ (uint8 against float32): grey levels are
    compared as they are.
data_range : float, optional
    The span of possible grey levels, where the formula has one (PSNR, SSIM; ignored by the others). Default: that of
    the reference's unsigned integer type (255, 65535); other types have none, so it must be given: 4095 for a 12-bit
    camera. ``"reference"`` takes the maximum of the reference.
mask : (Y, X) bool array, optional
    Only where it is True is counted.

Pixels that are not finite raise ValueError, unless a mask leaves them out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import fft, ndimage
from skimage.metrics import structural_similarity

from napari_cellrestore.focus import LAG_PX, second_differences

Array = np.ndarray
Image = npt.ArrayLike
DataRange = float | Literal["reference"] | None

SSIM_WINDOW_PX = 7


# --- differences of grey levels ----------------------------------------------------------------------------


def mse(reference: Image, image: Image, *, data_range: DataRange = None, mask: Array | None = None) -> float:
    """Mean squared error ``mean[(Y - Yhat)^2]`` over pixels and colours, in grey levels squared.

    Olofsson & Wagnström 2019, section 5.1.

    Examples
    --------
    >>> mse([[0, 0], [0, 0]], [[1, 1], [1, 3]])
    3.0
    """
    return _mean(np.square(_difference(reference, image)), mask)


def mae(reference: Image, image: Image, *, data_range: DataRange = None, mask: Array | None = None) -> float:
    """Mean absolute error ``mean|Y - Yhat|`` over pixels and colours, in grey levels.

    Examples
    --------
    >>> mae([[0, 0], [0, 0]], [[1, 1], [1, -3]])
    1.5
    """
    return _mean(np.abs(_difference(reference, image)), mask)


def psnr(
    reference: Image,
    image: Image,
    *,
    data_range: DataRange = None,
    mask: Array | None = None,
    cap: float | None = None,
) -> float:
    """Peak signal-to-noise ratio ``10 log10(data_range^2 / MSE)`` in dB; ``inf`` for identical images.

    Olofsson & Wagnström 2019 (section 5.2) take the maximum of the reference, ``data_range="reference"``, and print 50
    for identical images, ``cap=50``; Werth & Matlock 2018 (equation 19) take 4096 for 12 bit, and leave out the 10.

    Examples
    --------
    >>> black, grey = np.zeros((2, 2), np.uint8), np.full((2, 2), 51)
    >>> round(psnr(black, grey), 4), psnr(black, black), psnr(black, black, cap=50)
    (13.9794, inf, 50.0)
    """
    peak = peak_level(reference, data_range)
    error = mse(reference, image, mask=mask)
    value = float(10 * np.log10(peak**2 / error)) if error else np.inf
    return value if cap is None else min(value, float(cap))


def difference_map(reference: Image, image: Image) -> Array:
    """Return ``image - reference``, signed, float32, in grey levels.

    Examples
    --------
    >>> difference_map(np.full((1, 2), 200, np.uint8), np.array([[10, 255]], np.uint8)).tolist()
    [[-190.0, 55.0]]
    """
    return _difference(reference, image).astype(np.float32, copy=False)


# --- structure ---------------------------------------------------------------------------------------------


def ssim(reference: Image, image: Image, *, data_range: DataRange = None, mask: Array | None = None) -> float:
    """Structural similarity in windows of 7 x 7 px (scikit-image), averaged over positions and colours; 1 is identical.

    Windows that reach over the border are not counted; those that reach over the edge of a mask are.
    Wang et al. 2004, IEEE Trans. Image Process. 13:600.

    Examples
    --------
    >>> x = np.arange(256).reshape(16, 16)
    >>> ssim(x, x, data_range=255), round(ssim(x, 255 - x, data_range=255), 2)
    (1.0, -0.74)
    """
    border = SSIM_WINDOW_PX // 2
    inside = (slice(border, -border), slice(border, -border))
    return _mean(_ssim(reference, image, data_range)[inside], _inside(mask, reference, inside))


def ssim_map(reference: Image, image: Image, *, data_range: DataRange = None) -> Array:
    """Return the structural similarity around each pixel, (Y, X) float32, averaged over colours.

    Near the border the images are mirrored. :func:`ssim` is the mean of this map without its outer 3 px.
    """
    values = _ssim(reference, image, data_range).astype(np.float32)
    return values if values.ndim == 2 else values.mean(axis=-1)


def _ssim(reference: Image, image: Image, data_range: DataRange) -> Array:
    peak = peak_level(reference, data_range)
    reference, image = _pair(reference, image)
    _check_layout(reference, SSIM_WINDOW_PX, "SSIM")
    bad = ~(np.isfinite(reference) & np.isfinite(image))
    if bad.any():  # which the running sums of scikit-image would carry far beyond their windows
        reference, image = np.where(bad, 0, reference), np.where(bad, 0, image)
    # The variance is a difference of mean squares: float32 will do only for levels of the order of data_range.
    narrow = all(part.dtype.itemsize <= 4 and np.abs(part).max() <= 2 * peak for part in (reference, image))
    float_type = np.result_type(reference, image, np.float32 if narrow else np.float64)
    _, values = structural_similarity(
        reference.astype(float_type, copy=False),
        image.astype(float_type, copy=False),
        win_size=SSIM_WINDOW_PX,
        data_range=peak,
        channel_axis=-1 if reference.ndim == 3 else None,
        full=True,
    )
    if bad.any():
        size = (SSIM_WINDOW_PX, SSIM_WINDOW_PX, 1)[: bad.ndim]
        values[ndimage.maximum_filter(bad, size)] = np.nan
    return np.asarray(values)


def ssim_global(reference: Image, image: Image, *, data_range: DataRange = None, mask: Array | None = None) -> float:
    """Structural similarity with the whole image (all pixels and colours) as one window; 1 is identical.

    ``(2 mu mu' + c1)(2 cov + c2) / ((mu^2 + mu'^2 + c1)(var + var' + c2))`` with ``c1 = (0.01 L)^2``,
    ``c2 = (0.03 L)^2`` (Olofsson & Wagnström 2019, section 5.3). It compares mean, contrast and correlation of the
    images, not their structure place by place.

    Examples
    --------
    >>> x = np.arange(256).reshape(16, 16)
    >>> round(ssim_global(x, 255 - x, data_range=255), 3)
    -0.989
    """
    peak = peak_level(reference, data_range)
    reference, image = (_masked(part, mask).astype(np.float64) for part in _pair(reference, image))
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    mean_y, mean_x = _mean(reference), _mean(image)
    covariance = _mean((reference - mean_y) * (image - mean_x))
    return float(
        (2 * mean_y * mean_x + c1)
        * (2 * covariance + c2)
        / ((mean_y**2 + mean_x**2 + c1) * (reference.var() + image.var() + c2))
    )


# --- focus -------------------------------------------------------------------------------------------------


def focus_ratio(reference: Image, image: Image, *, data_range: DataRange = None, mask: Array | None = None) -> float:
    """Focus measure of the image over that of the reference, ``F(Yhat) / F(Y)``, on the green channel.

    1 is as sharp as the reference; above 1 there is structure (or noise) that the reference does not have.
    Olofsson & Wagnström 2019, section 5.4; ``F`` is :func:`napari_cellrestore.focus.focus_measure`.

    Examples
    --------
    >>> grating = np.sin(2 * np.pi * np.arange(60) / 12) + np.zeros((40, 1))
    >>> round(focus_ratio(grating, 0.5 * grating), 6)
    0.25
    """
    sharpness_y, sharpness_x = (
        _mean(np.square(dx2) + np.square(dy2), _inside(mask, part, _KERNEL_FITS))
        for part in _pair(reference, image)
        for dx2, dy2 in [second_differences(part)]
    )
    if sharpness_y == 0:
        raise ValueError("the reference has focus measure 0 (no contrast in its green channel): no ratio to it exists")
    return sharpness_x / sharpness_y


def fpw(reference: Image, image: Image, *, data_range: DataRange = None, mask: Array | None = None) -> float:
    """Pixelwise difference of focus, the mean of :func:`fpw_map`; 0 is equally sharp everywhere.

    In grey levels squared. Olofsson & Wagnström 2019, section 5.5.

    Examples
    --------
    >>> parabola = np.arange(20.0) ** 2 + np.zeros((20, 1))  # its second difference is 72
    >>> fpw(parabola, 0 * parabola) == 72**2
    True
    """
    return _mean(_fpw(reference, image), _inside(mask, reference, _KERNEL_FITS))


def fpw_map(reference: Image, image: Image) -> Array:
    """Return where the focus of two images differs: ``|(wx*Y)^2 - (wx*Yhat)^2| + |(wy*Y)^2 - (wy*Yhat)^2|``.

    On the green channel; ``wx*``, ``wy*`` are :func:`napari_cellrestore.focus.second_differences`.

    Returns
    -------
    (Y, X) float32, in grey levels squared; NaN in the outer 6 px, where the kernels do not fit. Its ``nanmean`` is
    :func:`fpw`.
    """
    values = _fpw(reference, image)
    return np.pad(values.astype(np.float32, copy=False), LAG_PX, constant_values=np.nan)


_KERNEL_FITS = (slice(LAG_PX, -LAG_PX), slice(LAG_PX, -LAG_PX))


def _fpw(reference: Image, image: Image) -> Array:
    total: Array | float = 0.0
    for of_y, of_x in zip(*map(second_differences, _pair(reference, image)), strict=True):
        total = total + np.abs(np.square(of_y) - np.square(of_x))
    return np.asarray(total)


# --- edges and noise ---------------------------------------------------------------------------------------


def gradient_magnitude(image: Image) -> Array:
    """Return the Sobel gradient ``MG = sqrt(Gx^2 + Gy^2)`` of each pixel and colour, in the shape of the image.

    Kernels ``[1 2 1]^T [1 0 -1]`` without normalisation, as Bon (section 2.1.2) prints them, so a ramp of 1 per px has
    MG 8; at the border the image is mirrored. float32 (float64 of float64).

    Examples
    --------
    >>> float(gradient_magnitude(np.arange(5.0) + np.zeros((5, 1)))[2, 2])
    8.0
    """
    values = _numbers(image)
    _check_layout(values, 2, "a gradient")
    values = values.astype(np.result_type(values, np.float32), copy=False)
    beyond = np.pad(values, [(1, 1), (1, 1), *[(0, 0)] * (values.ndim - 2)], mode="symmetric")
    smooth_x = beyond[:, :-2] + 2 * beyond[:, 1:-1] + beyond[:, 2:]
    smooth_y = beyond[:-2] + 2 * beyond[1:-1] + beyond[2:]
    # sums of slices: four times as fast as correlations, and no smoothing across colours
    squares = np.square(smooth_x[2:] - smooth_x[:-2])
    squares += np.square(smooth_y[:, 2:] - smooth_y[:, :-2])
    return np.asarray(np.sqrt(squares, out=squares))


def sharpness(image: Image, *, data_range: DataRange = None, mask: Array | None = None) -> float:
    """Mean of :func:`gradient_magnitude`, in grey levels. Noise raises it: compare images of equal noise only.

    Bon, section 2.1.2 (whose text says sum, and formula mean).
    """
    return _mean(gradient_magnitude(image), mask)


def msemg(reference: Image, image: Image, *, data_range: DataRange = None, mask: Array | None = None) -> float:
    """Mean squared error of the gradient magnitudes, ``MSE(MG(Y), MG(Yhat))``: do the edges agree (Bon, 2.1.2)."""
    reference, image = _pair(reference, image)
    return mse(gradient_magnitude(reference), gradient_magnitude(image), mask=mask)


def gradient_map(reference: Image, image: Image) -> Array:
    """Return where edges differ, ``MG(Yhat) - MG(Y)``, signed, in grey levels: above 0 they are stronger than they were.

    ``MG`` is :func:`gradient_magnitude`; (Y, X) float32, averaged over colours as in :func:`msemg`. Noise has a gradient
    too, and raises it.

    Examples
    --------
    >>> ramp = np.arange(5.0) + np.zeros((5, 1))
    >>> float(gradient_map(ramp, 0.5 * ramp)[2, 2])
    -4.0
    """
    reference, image = _pair(reference, image)
    values = gradient_magnitude(image) - gradient_magnitude(reference)
    return np.asarray(values if values.ndim == 2 else values.mean(axis=-1), np.float32)


def cv(image: Image, *, data_range: DataRange = None, mask: Array | None = None) -> float:
    """Coefficient of variation, standard deviation over mean (Bon, section 2.1.2).

    Noise raises it, and so does contrast: on a flat part of the image it is the relative noise.

    Examples
    --------
    >>> cv([[1, 3], [1, 3]])
    0.5
    """
    values = _masked(_numbers(image), mask)
    mean = _mean(values)
    if mean == 0:
        raise ValueError("the image has mean 0: the coefficient of variation std / mean does not exist")
    return float(np.std(values, dtype=np.float64)) / mean


# --- spatial frequencies -----------------------------------------------------------------------------------


def spectral_ratio(reference: Image, image: Image, pixel_um: float | None = None) -> tuple[Array, Array]:
    """Return how much power an image has of the reference's, for each spatial frequency.

    ``|F(Yhat)|^2 / |F(Y)|^2``, each summed over rings of one frequency step and over colours, of the images less
    their mean under a Hann window. 1 up to some frequency and less above tells up to where resolution was restored;
    more than 1 is amplified noise or invented structure.

    Returns
    -------
    frequency : (R,) array
        From one period over the shorter side to Nyquist, in cycles per micrometre; without ``pixel_um`` per pixel.
    ratio : (R,) array
        NaN where the reference has no power.

    Examples
    --------
    >>> texture = np.random.default_rng(0).normal(size=(64, 64))
    >>> frequency, ratio = spectral_ratio(texture, texture / 2, pixel_um=0.1)
    >>> len(frequency), round(float(frequency[-1]), 3), np.unique(ratio.round(6))
    (32, 5.0, array([0.25]))
    """
    reference, image = _pair(reference, image)
    return _ring_ratio(reference, image, reference, pixel_um)


def spectral_error(reference: Image, image: Image, pixel_um: float | None = None) -> tuple[Array, Array]:
    """Return the power of the error over that of the reference, ``|F(Yhat - Y)|^2 / |F(Y)|^2``, by frequency.

    As :func:`spectral_ratio`, but structure of the right power in the wrong place counts as error: 0 is right, 1 is no
    better than a blank.
    """
    reference, image = _pair(reference, image)
    return _ring_ratio(reference, difference_map(reference, image), reference, pixel_um)


def _ring_ratio(reference: Array, above: Array, below: Array, pixel_um: float | None) -> tuple[Array, Array]:
    if pixel_um is not None and not (np.isfinite(pixel_um) and pixel_um > 0):
        raise ValueError(
            f"pixel_um is {pixel_um}: give the size of a pixel in micrometres, or None for cycles per pixel"
        )
    _check_layout(reference, 4, "a spectrum")
    shorter = min(reference.shape[:2])
    power_above, power_below = _ring_power(above), _ring_power(below)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(power_below > 0, power_above / power_below, np.nan)
    return np.arange(1, shorter // 2 + 1) / (shorter * (1.0 if pixel_um is None else pixel_um)), ratio


def _ring_power(image: Array) -> Array:
    """Return the power of an image in rings of frequency, without frequency 0."""
    rows, columns = image.shape[:2]
    shorter = min(rows, columns)
    colours = image.reshape(rows, columns, -1).astype(np.float64)
    _mean(colours)  # refuses what is not finite
    window = np.hanning(rows + 2)[1:-1, None, None] * np.hanning(columns + 2)[1:-1, None]
    spectrum = fft.fft2((colours - colours.mean(axis=(0, 1))) * window, axes=(0, 1))
    power = np.square(np.abs(spectrum)).sum(axis=-1)
    ring = np.rint(shorter * np.hypot(fft.fftfreq(rows)[:, None], fft.fftfreq(columns))).astype(int)
    return np.bincount(ring.ravel(), power.ravel(), minlength=shorter)[1 : shorter // 2 + 1]


# --- the table ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Metric:
    """A metric as a table or a window shows it. Called, it is its function.

    ``better`` is the direction to wish for: ``"lower"``, ``"higher"`` or ``"one"``.
    """

    name: str
    label: str
    function: Callable[..., float]
    better: Literal["lower", "higher", "one"]
    needs_reference: bool
    unit: str
    help: str

    def __call__(self, *images: Image, data_range: DataRange = None, mask: Array | None = None) -> float:
        """Return the metric of ``(reference, image)``, or of ``(image)`` where it needs no reference."""
        return self.function(*images, data_range=data_range, mask=mask)


#: The metrics by name, in the order of a report.
METRICS = {
    metric.name: metric
    for metric in (
        Metric("mse", "MSE", mse, "lower", True, "grey levels²", "Mean squared difference from the reference."),
        Metric("mae", "MAE", mae, "lower", True, "grey levels", "Mean absolute difference from the reference."),
        Metric(
            "psnr",
            "PSNR",
            psnr,
            "higher",
            True,
            "dB",
            "Span of grey levels over MSE. Depends on the span: see data range.",
        ),
        Metric("ssim", "SSIM", ssim, "higher", True, "", "Structural similarity in windows of 7 px. 1 is identical."),
        Metric(
            "ssim_global",
            "SSIM (global)",
            ssim_global,
            "higher",
            True,
            "",
            "Structural similarity of the whole image at once. Compare only with values of the same kind.",
        ),
        Metric(
            "focus_ratio",
            "FR",
            focus_ratio,
            "one",
            True,
            "",
            "Focus measure over that of the reference. Above 1: structure or noise that the reference does not have.",
        ),
        Metric(
            "fpw", "FPW", fpw, "lower", True, "grey levels²", "Difference of focus from the reference, pixel by pixel."
        ),
        Metric("msemg", "MSEMG", msemg, "lower", True, "grey levels²", "Mean squared difference of the edges."),
        Metric(
            "sharpness",
            "Sharpness",
            sharpness,
            "higher",
            False,
            "grey levels",
            "Mean gradient. Noise raises it: compare images of equal noise only.",
        ),
        Metric(
            "cv", "CV", cv, "lower", False, "", "Standard deviation over mean. Noise raises it, and so does contrast."
        ),
    )
}


def score(
    reference: Image,
    image: Image,
    metrics: Iterable[str] = ("mse", "ssim", "psnr", "focus_ratio", "fpw"),
    *,
    data_range: DataRange = None,
    mask: Array | None = None,
) -> dict[str, float]:
    """Return several metrics of an image by name; those that need no reference are of the image.

    Examples
    --------
    >>> score(np.zeros((4, 4)), np.ones((4, 4)), ["mse", "cv"])
    {'mse': 1.0, 'cv': 0.0}
    """
    names = list(metrics)
    if unknown := [name for name in names if name not in METRICS]:
        raise ValueError(f"unknown metrics {unknown}: use {', '.join(METRICS)}")
    chosen = [METRICS[name] for name in names]
    return {
        metric.name: metric(
            *((reference, image) if metric.needs_reference else (image,)), data_range=data_range, mask=mask
        )
        for metric in chosen
    }


# --- what came in ------------------------------------------------------------------------------------------


def peak_level(reference: Image, data_range: DataRange = None) -> float:
    """Return the span of possible grey levels: given, or of the reference's unsigned integer type.

    Examples
    --------
    >>> peak_level(np.zeros(1, np.uint8)), peak_level(np.zeros(1), 4095), peak_level([3.0, 7.0], "reference")
    (255.0, 4095.0, 7.0)
    """
    values = np.asarray(reference)
    if data_range is None:
        if values.dtype.kind != "u":
            raise ValueError(
                f"the reference has dtype {values.dtype}, which does not tell the span of grey levels: give data_range "
                '(255 for 8 bit, 4095 for 12 bit, 1 for 0 to 1), or "reference" for the maximum of the reference'
            )
        return float(np.iinfo(values.dtype).max)
    peak = float(np.max(values)) if data_range == "reference" else float(data_range)
    if not (np.isfinite(peak) and peak > 0):
        raise ValueError(f"data_range is {peak:g}: it must be a positive number, the span of possible grey levels")
    return peak


def _numbers(image: Image) -> Array:
    """Return an image as an array, without alpha."""
    values = np.asarray(image)
    if values.dtype.kind not in "buif":
        raise TypeError(f"image has dtype {values.dtype}: give real numbers (integer, float or bool)")
    if values.size == 0:
        raise ValueError(f"image has shape {values.shape}: there are no pixels")
    return values[..., :3] if values.ndim == 3 and values.shape[-1] == 4 else values


def _pair(reference: Image, image: Image) -> tuple[Array, Array]:
    if np.shape(reference) != np.shape(image):
        raise ValueError(
            f"the reference has shape {np.shape(reference)} and the image {np.shape(image)}: metrics compare images of "
            "one shape; crop or resample one of them"
        )
    return _numbers(reference), _numbers(image)


def _difference(reference: Image, image: Image) -> Array:
    """Return ``image - reference`` in a type that holds it."""
    reference, image = _pair(reference, image)
    return np.asarray(np.subtract(image, reference, dtype=np.result_type(reference, image, np.float32)))


def _check_layout(values: Array, smallest_px: int, what: str) -> None:
    if not (values.ndim == 2 or (values.ndim == 3 and values.shape[-1] == 3)) or min(values.shape[:2]) < smallest_px:
        raise ValueError(
            f"image has shape {values.shape}: {what} needs (Y, X) or (Y, X, 3) with Y and X of {smallest_px} px or more"
        )


def _inside(mask: Array | None, image: Image, inside: tuple[slice, slice]) -> Array | None:
    """Return the mask where a kernel fits."""
    return None if mask is None else _checked(mask, np.shape(image))[inside]


def _checked(mask: Array, shape: tuple[int, ...]) -> Array:
    if not isinstance(mask, np.ndarray) or mask.dtype != bool or mask.shape != shape[:2]:
        came = f"{mask.dtype} of shape {mask.shape}" if isinstance(mask, np.ndarray) else f"a {type(mask).__name__}"
        raise ValueError(f"mask is {came}: give a bool array of the rows and columns of the image, {shape[:2]}")
    return mask


def _masked(values: Array, mask: Array | None) -> Array:
    return values if mask is None else values[_checked(mask, values.shape)]


def _mean(values: Array, mask: Array | None = None) -> float:
    """Return the mean over pixels (where the mask is True) and colours; refuse what is not finite."""
    values = _masked(values, mask)
    if values.size == 0:
        raise ValueError("the mask leaves no pixel to measure: it must be True somewhere away from the border")
    mean = float(np.mean(values, dtype=np.float64))
    if not np.isfinite(mean):
        bad = values.size - np.count_nonzero(np.isfinite(values))
        raise ValueError(
            f"{bad} of {values.size} values are not finite (NaN or infinite pixels): mend them or leave them out by a "
            "mask"
        )
    return mean
