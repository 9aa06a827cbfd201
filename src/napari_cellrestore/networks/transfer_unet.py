"""U-Net of seven levels that resizes before it convolves."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from napari_cellrestore.networks.layers import ImageNetwork, doubling, whole

#: Filters of the encoder's and of the decoder's blocks in units of those of the first.
ENCODER = (1, 2, 2, 4, 4, 4, 8)
DECODER = (4, 4, 4, 2, 1, 0.5)


class TransferUNet(ImageNetwork):
    """Generator of Jönsson & Sjöstrand 2018 (section 3.6.1, figure 25).

    Seven encoder blocks (5x5 convolution of stride 2, batch norm but in the first, leaky ReLU 0.2) and seven decoder
    blocks (upsampling by two, 5x5 convolution, batch norm, ReLU) with skip connections between equal sizes; the last
    decoder block has the output channels and tanh. A transposed convolution of stride 1, as the source calls it, is
    a convolution with its kernel turned.

    The source's text gives a number of parameters, 20 043 919, but no filters. With 64, 128, 128, 256, 256, 256, 512
    filters on the way down and 256, 256, 256, 128, 64, 32, 3 on the way up, a bias everywhere, and the running means
    and variances counted as Keras does, it is this number exactly: 20 038 857 parameters and 5 062 running values.
    Other layouts may have it too.

    Parameters
    ----------
    in_channels, out_channels : int
        Colours in and out.
    filters : int
        Of the first block; an even number.
    kernel : int
        Odd.
    upsample : {"resize", "transposed"}
        Repeated pixels and a convolution as in the source, or a transposed convolution of stride 2.

    Examples
    --------
    >>> sum(p.numel() for p in TransferUNet(3, 3).parameters())
    20038857
    """

    stride = 128

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        *,
        filters: int = 64,
        kernel: int = 5,
        upsample: str = "resize",
    ) -> None:
        super().__init__(in_channels, out_channels)
        if whole("filters", filters, 2) % 2:
            raise ValueError(f"filters is {filters}: give an even number")
        if whole("kernel", kernel, 3) % 2 == 0:
            raise ValueError(f"kernel is {kernel}: give an odd number, 3 or more")
        down = [in_channels, *(filters * factor for factor in ENCODER)]
        up = [*(int(filters * factor) for factor in DECODER), out_channels]

        self.encoder = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(source, width, kernel, stride=2, padding=kernel // 2),
                *([nn.BatchNorm2d(width)] if level else []),
                nn.LeakyReLU(0.2, inplace=True),
            )
            for level, (source, width) in enumerate(pairwise(down))
        )
        # what a decoder block sees: the block before and the encoder's output of the same size
        sources = [down[-1], *(above + beside for above, beside in zip(up, down[-2:0:-1], strict=False))]
        self.decoder = nn.ModuleList(
            nn.Sequential(
                *doubling(source, width, kernel, upsample=upsample),
                nn.BatchNorm2d(width),
                nn.Tanh() if step == len(DECODER) else nn.ReLU(inplace=True),
            )
            for step, (source, width) in enumerate(zip(sources, up, strict=True))
        )

    def transform(self, image: Tensor) -> Tensor:
        """Map an image whose sizes are multiples of the stride."""
        skips = []
        features = image
        for block in self.encoder:
            features = block(features)
            skips.append(features)
        output: Tensor = skips.pop()
        for step, block in enumerate(self.decoder):
            output = block(torch.cat([output, skips.pop()], dim=1) if step else output)
        return output
