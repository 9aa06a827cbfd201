"""Deconvolution with a known kernel, in the form of a network: so it runs through the same plan, tiles and report.

Nothing is learned: the kernel is the only state. Images come in as -1..1 for black and full scale.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.fft import irfft2, rfft2
from torch.nn.functional import pad


class _Deconvolution(nn.Module):
    """A kernel for each channel, centred, of sum 1."""

    stride = 1
    psf: Tensor

    def __init__(self, in_channels: int, out_channels: int, kernel_px: int) -> None:
        super().__init__()
        if out_channels != in_channels:
            raise ValueError(f"deconvolution of {in_channels} channels gives as many, not {out_channels}")
        if kernel_px < 1 or kernel_px % 2 == 0:
            raise ValueError(f"kernel_px is {kernel_px}: give an odd number of pixels, so that the kernel has a centre")
        psf = torch.zeros(in_channels, kernel_px, kernel_px)
        psf[:, kernel_px // 2, kernel_px // 2] = 1
        self.register_buffer("psf", psf)

    def forward(self, image: Tensor) -> Tensor:
        """Restore (N, C, Y, X); beyond the borders the image is mirrored."""
        rows, columns = image.shape[-2:]
        mirrored = torch.cat([image, image.flip(-1)], -1)
        mirrored = torch.cat([mirrored, mirrored.flip(-2)], -2)
        return self.restore(mirrored, self._transfer(mirrored))[..., :rows, :columns]

    def _transfer(self, mirrored: Tensor) -> Tensor:
        """Return the transfer functions of the kernels at the frequencies of an image, (C, Y, X / 2 + 1)."""
        side = self.psf.shape[-1]
        rows, columns = mirrored.shape[-2:]
        folded = self.psf.to(mirrored.dtype)
        down, across = -(-side // rows), -(-side // columns)  # in an image smaller than the kernel the rest wraps
        folded = pad(folded, (0, across * columns - side, 0, down * rows - side))
        folded = folded.reshape(-1, down, rows, across, columns).sum((1, 3))
        transfer: Tensor = rfft2(folded.roll((-(side // 2), -(side // 2)), (-2, -1)))
        return transfer

    def restore(self, mirrored: Tensor, transfer: Tensor) -> Tensor:
        """Return the image restored, in the size it came."""
        raise NotImplementedError


class Wiener(_Deconvolution):
    """Undo the blur at once: ``conj(H) / (|H|^2 + balance |L|^2)``, ``L`` the Laplacian (Hunt 1971).

    As :func:`napari_cellrestore.filters.wiener`.

    Parameters
    ----------
    in_channels, out_channels : int
        The same number.
    kernel_px : int
        Side of the kernel.
    balance : float
        Larger is smoother.
    """

    def __init__(
        self, in_channels: int = 3, out_channels: int = 3, *, kernel_px: int = 31, balance: float = 0.01
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_px)
        if not balance > 0:
            raise ValueError(f"balance is {balance}: it must be positive; larger is smoother")
        self.balance = balance

    def restore(self, mirrored: Tensor, transfer: Tensor) -> Tensor:
        """Return the image restored, in the size it came."""
        rows, columns = mirrored.shape[-2:]
        # the eigenvalues of the Laplacian with four neighbours
        down = torch.fft.fftfreq(rows, dtype=mirrored.dtype, device=mirrored.device)[:, None]
        across = torch.fft.rfftfreq(columns, dtype=mirrored.dtype, device=mirrored.device)[None, :]
        laplacian = 4 - 2 * torch.cos(2 * torch.pi * down) - 2 * torch.cos(2 * torch.pi * across)
        inverse = transfer.conj() / (transfer.abs().square() + self.balance * laplacian.square())
        restored: Tensor = irfft2(rfft2(mirrored) * inverse, (rows, columns))
        return restored


class RichardsonLucy(_Deconvolution):
    """Undo the blur step by step, for photon counts; never below black (Richardson 1972; Lucy 1974).

    ``x <- x * k^T(g / k(x))`` from the mean, as :func:`napari_cellrestore.filters.richardson_lucy`; it stops after
    ``iterations``, since more sharpen noise.

    Parameters
    ----------
    in_channels, out_channels : int
        The same number.
    kernel_px : int
        Side of the kernel.
    iterations : int
        One or more.
    """

    def __init__(
        self, in_channels: int = 3, out_channels: int = 3, *, kernel_px: int = 31, iterations: int = 20
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_px)
        if isinstance(iterations, bool) or int(iterations) != iterations or iterations < 1:
            raise ValueError(f"iterations is {iterations}: give a whole number from 1")
        self.iterations = int(iterations)

    def restore(self, mirrored: Tensor, transfer: Tensor) -> Tensor:
        """Return the image restored, in the size it came."""
        size = mirrored.shape[-2:]
        counts = ((mirrored + 1) / 2).clamp(min=0)
        smallest = torch.finfo(counts.dtype).eps
        estimate = counts.mean((-2, -1), keepdim=True).expand_as(counts).clamp(min=smallest)
        for _ in range(self.iterations):
            again = irfft2(rfft2(estimate) * transfer, size).clamp(min=smallest)
            estimate = estimate * irfft2(rfft2(counts / again) * transfer.conj(), size).clamp(min=0)
        return 2 * estimate - 1
