"""Differences of structure: what neighbouring pixels do together."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from napari_cellrestore.focus import LAG_PX
from napari_cellrestore.losses.images import checked

#: Side of the Gaussian window of SSIM and its standard deviation (Wang et al. 2004).
WINDOW_PX, SIGMA_PX = 11, 1.5
#: Span of the images.
DATA_RANGE = 2.0


def ssim(output: Tensor, target: Tensor) -> Tensor:
    """One minus the structural similarity, 0 for equal images and at most 2.

    ``SSIM = mean (2 m m' + c1)(2 cov + c2) / ((m^2 + m'^2 + c1)(v + v' + c2))`` with means, variances and covariance in a
    Gaussian window of 11 px (1.5 px standard deviation) wherever it fits, ``c1 = (0.01 * 2)^2``, ``c2 = (0.03 * 2)^2`` for
    the range -1..1; the mean is over images, colours and positions. Wang et al. 2004, IEEE Trans. Image Process. 13:600;
    wished for by Werth & Matlock 2018. Equal to ``structural_similarity`` of scikit-image with
    ``gaussian_weights=True, use_sample_covariance=False, data_range=2``; :func:`napari_cellrestore.metrics.ssim` has a flat
    window of 7 px instead.

    >>> black, white = torch.full((1, 1, 16, 16), -1.0), torch.ones(1, 1, 16, 16)
    >>> round(float(ssim(black, black)), 4), round(float(ssim(black, white)), 4)
    (0.0, 1.9996)
    """
    output, target = checked(output, target, "ssim", WINDOW_PX)
    c1, c2 = (0.01 * DATA_RANGE) ** 2, (0.03 * DATA_RANGE) ** 2
    products = torch.stack([output, target, output * output, target * target, output * target])
    mean, true_mean, square, true_square, product = _windowed(products)
    variance, true_variance = square - mean * mean, true_square - true_mean * true_mean
    covariance = product - mean * true_mean
    brightness = (2 * mean * true_mean + c1) / (mean * mean + true_mean * true_mean + c1)
    structure = (2 * covariance + c2) / (variance + true_variance + c2)
    similarity: Tensor = (brightness * structure).mean()
    return 1 - similarity


def _windowed(images: Tensor) -> Tensor:
    """Return means of (..., Y, X) in the Gaussian window where it fits."""
    offsets_px = torch.arange(WINDOW_PX, dtype=images.dtype, device=images.device) - WINDOW_PX // 2
    weights = torch.exp(-0.5 * (offsets_px / SIGMA_PX).square())
    weights = weights / weights.sum()
    planes = images.reshape(1, -1, *images.shape[-2:])  # as channels, not as a batch: many times faster on a CPU
    count = planes.shape[1]
    along_x, along_y = weights.expand(count, 1, 1, -1), weights.view(-1, 1).expand(count, 1, -1, 1)
    # Autocast would do this in bfloat16, and the variance is a small difference of large means.
    with torch.autocast(images.device.type, enabled=False):
        means = functional.conv2d(functional.conv2d(planes, along_x, groups=count), along_y, groups=count)
    return means.view(*images.shape[:-2], *means.shape[-2:])


def focus(output: Tensor, target: Tensor) -> Tensor:
    """Difference of the pixelwise focus measure (FPW) on the green channel.

    ``mean |(wx * Y)^2 - (wx * Yhat)^2| + |(wy * Y)^2 - (wy * Yhat)^2|`` with ``wx`` the second difference at a lag of
    6 pixels (Olofsson & Wagnström 2019, 6.3.1), in squares of the range -1..1; a single channel stands for green.

    Their weight, 0.02 beside 10 of L1, is for grey levels 0..255. The square of a grey level is ``1 / 127.5^2`` here and its
    difference ``1 / 127.5``, so that the same balance is a weight of ``0.02 * 127.5 = 2.55``.

    >>> image = torch.zeros(1, 3, 13, 13)
    >>> image[0, 1, 6, 6] = 1.0
    >>> round(float(focus(image, torch.zeros_like(image))), 4)  # (2^2 / 13 positions) along x, and the same along y
    0.6154
    """
    output, target = checked(output, target, "focus", 2 * LAG_PX + 1)
    green = min(1, output.shape[1] - 1)
    pairs = zip(_second_differences(output[:, green]), _second_differences(target[:, green]), strict=True)
    return torch.stack([(ours.square() - true.square()).abs().mean() for ours, true in pairs]).sum()


def _second_differences(image: Tensor, lag: int = LAG_PX) -> tuple[Tensor, Tensor]:
    x = 2 * image[..., :, lag:-lag] - image[..., :, : -2 * lag] - image[..., :, 2 * lag :]
    y = 2 * image[..., lag:-lag, :] - image[..., : -2 * lag, :] - image[..., 2 * lag :, :]
    return x, y
