"""U-Net of strided and transposed convolutions (pix2pix)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from napari_cellrestore.networks.layers import (
    ImageNetwork,
    check_faint,
    check_skip,
    doubling,
    normalisation,
    one_of,
    whole,
)


class Pix2Pix(ImageNetwork):
    """Generator of pix2pix as Olofsson & Wagnström 2019 use it (section 4.1, figures 4.1 and 6.7).

    ``blocks / 2`` encoder blocks (convolution of stride 2, batch norm but in the first, leaky ReLU 0.2) and as many
    decoder blocks (transposed convolution of stride 2, batch norm, ReLU; dropout in the first three), skip
    connections between equal sizes, then a convolution to the output channels and tanh. Filters double from block
    to block up to ``8 * filters``.

    Parameters
    ----------
    in_channels, out_channels : int
        Colours in and out.
    filters : int
        Filters of the first block (64; 16 for ``pix2pix-fast``).
    blocks : int
        Encoder plus decoder blocks (16; 8 for ``pix2pix-fast``): the stride is ``2 ** (blocks // 2)``.
    kernel : int
        Kernel size, 3 or 4 in the source (tables 6.12 and 6.13).
    norm : {"batch", "instance", "none"}
        Normalisation. By batch norm the deep blocks, which see a few pixels of a crop, know little of a larger image; Isola et al.
        2017 take the statistics of the image itself, as ``"instance"`` does, which then cannot be restored in tiles. Without it
        every pixel depends on its neighbourhood alone, in training too.
    dropout : float
        In the first three decoder blocks, but never in all of them.
    global_skip : bool
        Add the input to the output before the range is limited, so that the network learns the correction only.
        Differs from the source, whose last layer is ``tanh``: with a skip the output is not squashed. One channel
        is added to all outputs, of several sets of channels the mean.
    faint : float
        With a skip: corrections of fewer grey levels, of 255, fade, so that what is in focus stays as it was recorded.
    upsample : {"transposed", "resize"}
        Transposed convolution as in the source, or repeated pixels and a convolution, which leaves no checkerboard.

    Input and output are (N, C, Y, X) in -1..1.

    Examples
    --------
    >>> network = Pix2Pix(3, 3, filters=16, blocks=8)
    >>> network(torch.zeros(1, 3, 32, 48)).shape
    torch.Size([1, 3, 32, 48])
    """

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        *,
        filters: int = 64,
        blocks: int = 16,
        kernel: int = 4,
        norm: str = "batch",
        dropout: float = 0.5,
        global_skip: bool = False,
        faint: float = 0.0,
        upsample: str = "transposed",
    ) -> None:
        super().__init__(in_channels, out_channels)
        if blocks < 4 or blocks % 2:
            raise ValueError(f"blocks is {blocks}: give an even number, 4 or more (half encode, half decode)")
        if kernel not in (3, 4, 5, 6):
            raise ValueError(f"kernel is {kernel}: give 3, 4, 5 or 6")
        one_of("norm", norm, ("batch", "instance", "none"))
        whole("filters", filters)
        if global_skip:
            check_skip(in_channels, out_channels)
        depth = blocks // 2
        self.stride, self.tile_safe = 2**depth, norm != "instance"
        self.global_skip, self.faint = global_skip, check_faint(faint, global_skip)
        widths = [min(filters * 2**level, filters * 8) for level in range(depth)]

        self.encoder = nn.ModuleList()
        for level, width in enumerate(widths):
            source = in_channels if level == 0 else widths[level - 1]
            # At 1 x 1 pixels there would be nothing to normalise over: the deepest block has no norm.
            norms = normalisation(norm, width) if 0 < level < depth - 1 else []
            self.encoder.append(
                nn.Sequential(
                    nn.Conv2d(source, width, kernel, stride=2, padding=(kernel - 1) // 2, bias=not norms),
                    *norms,
                    nn.LeakyReLU(0.2, inplace=True),
                )
            )
        self.decoder = nn.ModuleList()
        for step, level in enumerate(reversed(range(depth))):
            source = widths[level] * (1 if step == 0 else 2)  # the skip connection doubles it
            width = widths[max(level - 1, 0)]
            self.decoder.append(
                nn.Sequential(
                    *doubling(source, width, kernel, upsample=upsample, bias=norm == "none"),
                    *normalisation(norm, width),
                    *([nn.Dropout(dropout)] if dropout and step < min(3, depth - 1) else []),
                    nn.ReLU(inplace=True),
                )
            )
        # The source does not give its kernel; 3 x 3 keeps the receptive field of four levels within 32 pixels.
        self.last = nn.Conv2d(widths[0], out_channels, 3, padding=1)

    def transform(self, image: Tensor) -> Tensor:
        """Map an image whose sizes are multiples of the stride."""
        skips = []
        features = image
        for block in self.encoder:
            features = block(features)
            skips.append(features)
        features = skips.pop()
        for step, block in enumerate(self.decoder):
            features = block(features if step == 0 else torch.cat([features, skips.pop()], dim=1))
        correction: Tensor = self.last(features)
        return self.add_input(correction, image) if self.global_skip else torch.tanh(correction)
