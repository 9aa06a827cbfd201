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

from napari_cellrestore.metrics.edges import cv, gradient_magnitude, gradient_map, msemg, sharpness
from napari_cellrestore.metrics.focus import focus_ratio, fpw, fpw_map
from napari_cellrestore.metrics.images import DataRange, peak_level
from napari_cellrestore.metrics.levels import difference_map, mae, mse, psnr
from napari_cellrestore.metrics.spectrum import spectral_error, spectral_ratio
from napari_cellrestore.metrics.structure import ssim, ssim_global, ssim_map
from napari_cellrestore.metrics.table import METRICS, Metric, score

__all__ = [
    "METRICS",
    "score",
    "Metric",
    "DataRange",
    "peak_level",
    "mse",
    "mae",
    "psnr",
    "difference_map",
    "ssim",
    "ssim_map",
    "ssim_global",
    "focus_ratio",
    "fpw",
    "fpw_map",
    "gradient_magnitude",
    "gradient_map",
    "sharpness",
    "msemg",
    "cv",
    "spectral_ratio",
    "spectral_error",
]
