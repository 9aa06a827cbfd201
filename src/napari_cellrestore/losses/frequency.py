"""Differences of spatial frequencies."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from napari_cellrestore.losses.images import checked


def fourier(output: Tensor, target: Tensor) -> Tensor:
    """Mean difference of Fourier magnitudes ``mean | |FFT(Y)| - |FFT(Yhat)| |`` (Wulff 2022, equation 2.10).

    Over images, colours and all frequencies. The transform is the orthonormal one (divided by the root of the number of
    pixels), so that the loss does not grow with the image. The source does not say; of the usual normalisations only this
    one gives its losses, 0.0121 beside 0.0463 of L1 (table 4.2). Phases are not compared: an image that is shifted
    periodically costs nothing, so use it beside another loss.

    >>> float(fourier(torch.full((1, 1, 4, 4), 0.5), torch.zeros(1, 1, 4, 4)))  # frequency 0 alone: 0.5 * 4 over 16
    0.125
    """
    output, target = checked(output, target, "fourier")
    magnitude, true_magnitude = (torch.fft.fft2(image, norm="ortho").abs() for image in (output, target))
    return functional.l1_loss(magnitude, true_magnitude)
