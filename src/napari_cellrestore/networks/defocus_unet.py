"""U-Net of pooled convolutions that keep the size."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from napari_cellrestore.networks.layers import ImageNetwork, check_skip, doubling, whole


class DefocusUNet(ImageNetwork):
    """U-Net of Werth & Matlock 2018 (section 3.3, figure 2), after Ronneberger, Fischer & Brox 2015.

    Ten 3x3 convolutions with ReLU on the way down, two a level with 2x2 maximum pooling between levels. On the way up
    2x2 transposed convolutions and, joined to the features of equal size, two convolutions a level; then the
    additional convolution of the source and one to the output channels, which are the ninth and tenth of this side.
    Convolutions keep the size; the output is not limited.

    Parameters
    ----------
    in_channels, out_channels : int
        Colours in and out.
    filters : int
        Of the first level; they double from level to level (64 in Ronneberger et al., the source's text has no number).
    levels : int
        Sizes; the stride is ``2 ** (levels - 1)``.
    upsample : {"transposed", "resize"}
        Transposed convolution, or repeated pixels and a 3x3 convolution.
    global_skip : bool
        Add the input to the output. Not in the source.

    Examples
    --------
    >>> DefocusUNet(1, 1, filters=4)(torch.zeros(1, 1, 30, 48)).shape
    torch.Size([1, 1, 30, 48])
    """

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        *,
        filters: int = 64,
        levels: int = 5,
        upsample: str = "transposed",
        global_skip: bool = False,
    ) -> None:
        super().__init__(in_channels, out_channels)
        whole("filters", filters)
        if global_skip:
            check_skip(in_channels, out_channels)
        self.global_skip = global_skip
        self.stride = 2 ** (whole("levels", levels, 2) - 1)
        widths = [filters * 2**level for level in range(levels)]
        self.pool = nn.MaxPool2d(2)
        self.encoder = nn.ModuleList(
            _pair(source, width) for source, width in zip([in_channels, *widths], widths, strict=False)
        )
        self.up = nn.ModuleList(
            nn.Sequential(*doubling(2 * width, width, 2, upsample=upsample)) for width in widths[-2::-1]
        )
        self.decoder = nn.ModuleList(_pair(2 * width, width) for width in widths[-2::-1])
        self.additional = nn.Sequential(nn.Conv2d(filters, filters, 3, padding=1), nn.ReLU(inplace=True))
        self.last = nn.Conv2d(filters, out_channels, 1)

    def transform(self, image: Tensor) -> Tensor:
        """Map an image whose sizes are multiples of the stride."""
        skips = []
        features = image
        for level, block in enumerate(self.encoder):
            features = block(self.pool(features) if level else features)
            skips.append(features)
        features = skips.pop()
        for up, block in zip(self.up, self.decoder, strict=True):
            features = block(torch.cat([up(features), skips.pop()], dim=1))
        output: Tensor = self.last(self.additional(features))
        return self.add_input(output, image) if self.global_skip else output


def _pair(source: int, width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(source, width, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(width, width, 3, padding=1),
        nn.ReLU(inplace=True),
    )
