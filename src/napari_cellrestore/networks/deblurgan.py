"""DeblurGAN: residual blocks between two halvings and two doublings of the size."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from napari_cellrestore.networks.layers import (
    ImageNetwork,
    check_skip,
    doubling,
    normalisation,
    one_of,
    whole,
)


class DeblurGAN(ImageNetwork):
    """Generator of DeblurGAN (Olofsson & Wagnström 2019, section 4.3, figure 4.5; Kupyn et al. 2018).

    A 7x7 convolution, two of stride 2, nine residual blocks (3x3 convolution, normalisation, ReLU, dropout,
    convolution, normalisation), two transposed convolutions of stride 2, a 7x7 convolution and tanh; this correction
    is added to the input.

    Parameters
    ----------
    in_channels, out_channels : int
        Colours in and out. One channel is added to all outputs, of several sets of channels the mean.
    filters : int
        Of the first convolution; four times as many in the residual blocks.
    blocks : int
        Residual blocks.
    norm : {"instance", "batch", "none"}
        Instance norm takes mean and deviation over the whole image: such a network cannot run in tiles. With the
        others it can.
    dropout : float
        In each residual block.
    upsample : {"transposed", "resize"}
        Transposed convolution as in the source, or repeated pixels and a convolution.

    Filters and the 7x7 convolutions are those of Kupyn et al. Differs from them: borders are padded by zeros, not
    mirrored, and the sum is not cut to -1..1.

    Examples
    --------
    >>> import torch
    >>> network = DeblurGAN(3, 3, filters=4, blocks=2)
    >>> network.tile_safe, network(torch.zeros(1, 3, 30, 45)).shape
    (False, torch.Size([1, 3, 30, 45]))
    """

    #: Two halvings need 4; with 8 instance norm is never left with one pixel, of which only rounding errors would remain.
    stride = 8

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        *,
        filters: int = 64,
        blocks: int = 9,
        norm: str = "instance",
        dropout: float = 0.5,
        upsample: str = "transposed",
    ) -> None:
        super().__init__(in_channels, out_channels)
        one_of("norm", norm, ("instance", "batch", "none"))
        whole("filters", filters)
        whole("blocks", blocks)
        check_skip(in_channels, out_channels)
        self.tile_safe = norm != "instance"
        bias = norm == "none"

        def active(convolution: list[nn.Module], width: int) -> list[nn.Module]:
            return [*convolution, *normalisation(norm, width), nn.ReLU(inplace=True)]

        widths = [filters, 2 * filters, 4 * filters]
        layers = active([nn.Conv2d(in_channels, filters, 7, padding=3, bias=bias)], filters)
        for source, width in pairwise(widths):
            layers += active([nn.Conv2d(source, width, 3, stride=2, padding=1, bias=bias)], width)
        layers += [ResidualBlock(widths[-1], norm, dropout) for _ in range(blocks)]
        for source, width in pairwise(reversed(widths)):
            layers += active(doubling(source, width, 3, upsample=upsample, bias=bias), width)
        self.layers = nn.Sequential(*layers, nn.Conv2d(filters, out_channels, 7, padding=3), nn.Tanh())

    def transform(self, image: Tensor) -> Tensor:
        """Map an image whose sizes are multiples of the stride."""
        return self.add_input(self.layers(image), image)


class ResidualBlock(nn.Module):
    """Convolution, normalisation, ReLU, dropout, convolution, normalisation, added to the input."""

    def __init__(self, width: int, norm: str, dropout: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, bias=norm == "none"),
            *normalisation(norm, width),
            nn.ReLU(inplace=True),
            *([nn.Dropout(dropout)] if dropout else []),
            nn.Conv2d(width, width, 3, padding=1, bias=norm == "none"),
            *normalisation(norm, width),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Return features of the same shape."""
        changed: Tensor = features + self.layers(features)
        return changed
