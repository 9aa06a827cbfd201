"""Networks written in another way that gives the same numbers in less time, once they are no longer trained."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def rewritten(network: nn.Module) -> nn.Module:
    """Change a network in evaluation mode in place: the same function, with less to compute.

    Dropout is left out, batch norms are folded into convolutions, and doubled images are convolved before they are doubled.
    Within sequences only: what a network's own code calls one after the other stays as it is.
    """
    return double_by_phases(fold_batch_norm(leave_out_dropout(network)))


def leave_out_dropout(network: nn.Module) -> nn.Module:
    """Replace dropout, which does nothing in evaluation mode, by a layer that costs nothing."""
    for part, index, layer in _layers_in_sequence(network):
        if isinstance(layer, nn.Dropout | nn.Dropout2d):
            part[index] = nn.Identity()
    return network


def fold_batch_norm(network: nn.Module) -> nn.Module:
    """Replace each convolution followed by a batch norm in a sequence by one convolution; the same function."""
    for part, (index, first), (after, second) in _pairs_in_sequence(network):
        if isinstance(first, nn.Conv2d | nn.ConvTranspose2d) and isinstance(second, nn.BatchNorm2d):
            part[index] = fuse_conv_bn_eval(first, second, isinstance(first, nn.ConvTranspose2d))
            part[after] = nn.Identity()
    return network


def double_by_phases(network: nn.Module) -> nn.Module:
    """Replace each doubling by repeated pixels with a convolution after it by :class:`PhaseConv`; the same function."""
    for part, (index, first), (after, second) in _pairs_in_sequence(network):
        if _doubles(first) and isinstance(second, nn.Conv2d) and _is_plain(second):
            part[index] = nn.Identity()
            part[after] = PhaseConv(second)
    return network


def _layers_in_sequence(network: nn.Module) -> Iterator[tuple[nn.Sequential, int, nn.Module]]:
    """Yield every layer of every sequence: the sequence, its index there, and the layer."""
    for part in network.modules():
        if isinstance(part, nn.Sequential):
            yield from ((part, index, layer) for index, layer in enumerate(part))


def _pairs_in_sequence(
    network: nn.Module,
) -> Iterator[tuple[nn.Sequential, tuple[int, nn.Module], tuple[int, nn.Module]]]:
    """Yield every two layers that follow each other in a sequence, layers that do nothing left out."""
    acting = [item for item in _layers_in_sequence(network) if not isinstance(item[2], nn.Identity)]
    yield from ((part, (i, one), (j, other)) for (part, i, one), (same, j, other) in pairwise(acting) if part is same)


class PhaseConv(nn.Module):
    """What a convolution makes of an image whose pixels were repeated to twice the size, without making that image.

    A pixel of the result at ``2 i + p`` (p = 0 or 1: its phase) sees at the tap t the pixel ``i + floor((p + t) / 2)`` of
    the small image. So taps that see the same pixel are added, and each of the four phases is a smaller convolution: of
    5 x 5 taps on four pixels, 100 products, 36 are left.

    Parameters
    ----------
    convolution : nn.Conv2d
        Of odd size, padded with zeros to keep the size, of stride 1 and one group.

    Examples
    --------
    >>> plain = nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(2, 3, 5, padding=2))
    >>> image = torch.rand(1, 2, 6, 7)
    >>> torch.allclose(PhaseConv(plain[1])(image), plain(image), atol=1e-6)
    True
    """

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        reach = convolution.kernel_size[0] // 2
        small = (reach + 1) // 2
        taps = torch.arange(-reach, reach + 1)
        sees = torch.stack([(phase + taps).div(2, rounding_mode="floor") for phase in (0, 1)])
        # (phase, small tap, tap): 1 where the tap sees the pixel of the small tap
        adds = (sees[:, None] == torch.arange(-small, small + 1)[None, :, None]).to(convolution.weight.dtype)
        weight = torch.einsum("oiyx,pby,qcx->pqoibc", convolution.weight.detach(), adds, adds)
        self.width = convolution.out_channels
        self.phases = nn.Conv2d(
            convolution.in_channels, 4 * self.width, 2 * small + 1, padding=small, bias=convolution.bias is not None
        )
        self.phases.weight = nn.Parameter(weight.flatten(0, 2), requires_grad=False)
        if convolution.bias is not None:
            self.phases.bias = nn.Parameter(convolution.bias.detach().repeat(4), requires_grad=False)

    def forward(self, image: Tensor) -> Tensor:
        """Map (N, C, Y, X) to (N, width, 2 Y, 2 X)."""
        # Phases before channels, and these last in memory: then whole pixels are copied, which nn.PixelShuffle does not do.
        rows: Tensor = self.phases(image).permute(0, 2, 3, 1)
        n, y, x, _ = rows.shape
        apart = rows.reshape(n, y, x, 2, 2, self.width).permute(0, 1, 3, 2, 4, 5)
        return apart.reshape(n, 2 * y, 2 * x, self.width).permute(0, 3, 1, 2)


def _doubles(layer: nn.Module) -> bool:
    return isinstance(layer, nn.Upsample) and layer.scale_factor in (2, (2, 2), (2.0, 2.0)) and layer.mode == "nearest"


def _is_plain(layer: nn.Conv2d) -> bool:
    """Return whether a convolution is one that :class:`PhaseConv` can write in another way."""
    side = layer.kernel_size[0]
    return (
        layer.kernel_size == (side, side)
        and side % 2 == 1
        and layer.padding in ((side // 2, side // 2), side // 2)
        and layer.padding_mode == "zeros"
        and layer.stride == layer.dilation == (1, 1)
        and layer.groups == 1
    )
