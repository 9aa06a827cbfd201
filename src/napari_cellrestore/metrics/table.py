"""The metrics by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from napari_cellrestore.metrics.edges import cv, msemg, sharpness
from napari_cellrestore.metrics.focus import focus_ratio, fpw
from napari_cellrestore.metrics.images import Array, DataRange, Image
from napari_cellrestore.metrics.levels import mae, mse, psnr
from napari_cellrestore.metrics.structure import ssim, ssim_global


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
    >>> score([[0, 0], [0, 0]], [[1, 1], [1, 1]], ["mse", "cv"])
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
