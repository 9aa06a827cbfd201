"""Perceptual adversarial network: generator and discriminator."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from napari_cellrestore.networks.layers import ImageNetwork, ScoresNetwork, doubling, whole


class PAN(ImageNetwork):
    """Generator of the perceptual adversarial network (Olofsson & Wagnström 2019, section 4.2; Wang et al. 2018).

    ``blocks / 2`` encoder blocks (3x3 convolution of stride 2, batch norm, leaky ReLU 0.2), as many decoder blocks (4x4
    transposed convolution of stride 2, batch norm, ReLU), of which the last goes to the output channels and tanh.

    Parameters
    ----------
    in_channels, out_channels : int
        Colours in and out.
    filters : int
        Filters of the first block; they double from block to block up to ``8 * filters``.
    blocks : int
        Encoder plus decoder blocks; the stride is ``2 ** (blocks // 2)``. The source's text gives neither number.
    skips : bool
        Join encoder and decoder blocks of equal size. The source's text says nothing of them; without them what a
        block of ``stride`` pixels looked like must pass through the deepest block.
    upsample : {"transposed", "resize"}
        Transposed convolution as in the source, or repeated pixels and a convolution.

    Differs from the source: the deepest block has no batch norm, which at 1 x 1 pixels has nothing to normalise over.

    Examples
    --------
    >>> PAN(3, 3, filters=4, blocks=8)(torch.zeros(1, 3, 30, 48)).shape
    torch.Size([1, 3, 30, 48])
    """

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        *,
        filters: int = 64,
        blocks: int = 16,
        skips: bool = True,
        upsample: str = "transposed",
    ) -> None:
        super().__init__(in_channels, out_channels)
        whole("filters", filters)
        if whole("blocks", blocks, 4) % 2:
            raise ValueError(f"blocks is {blocks}: give an even number, 4 or more (half encode, half decode)")
        depth = blocks // 2
        self.stride = 2**depth
        self.skips = skips
        widths = [in_channels, *(min(filters * 2**level, filters * 8) for level in range(depth))]

        self.encoder = nn.ModuleList()
        for level, (source, width) in enumerate(pairwise(widths)):
            normed = level < depth - 1
            self.encoder.append(
                nn.Sequential(
                    nn.Conv2d(source, width, 3, stride=2, padding=1, bias=not normed),
                    *([nn.BatchNorm2d(width)] if normed else []),
                    nn.LeakyReLU(0.2, inplace=True),
                )
            )
        self.decoder = nn.ModuleList()
        for level in range(depth, 1, -1):
            source = widths[level] * (2 if skips and level < depth else 1)
            layers = doubling(source, widths[level - 1], 4, upsample=upsample, bias=False)
            self.decoder.append(nn.Sequential(*layers, nn.BatchNorm2d(widths[level - 1]), nn.ReLU(inplace=True)))
        last = doubling(widths[1] * (2 if skips else 1), out_channels, 4, upsample=upsample)
        self.decoder.append(nn.Sequential(*last, nn.Tanh()))

    def transform(self, image: Tensor) -> Tensor:
        """Map an image whose sizes are multiples of the stride."""
        encoded = []
        features = image
        for block in self.encoder:
            features = block(features)
            encoded.append(features)
        output: Tensor = encoded.pop()
        for step, block in enumerate(self.decoder):
            joined = step > 0 and self.skips
            output = block(torch.cat([output, encoded.pop()], dim=1) if joined else output)
        return output


class PANDiscriminator(ScoresNetwork):
    """Discriminator of the perceptual adversarial network (Olofsson & Wagnström 2019, section 4.2, figure 4.4).

    Nine 3x3 convolutions, of stride 1 in layers 1, 3, 5, 7 and 2 in layers 2, 4, 6, 8, 9, each but the last with
    batch norm and leaky ReLU 0.2. :meth:`features` gives the outputs of layers 1, 4, 6 and 8, which the perceptual
    adversarial loss compares (equations 4.1 and 4.2).

    Parameters
    ----------
    in_channels : int
        Of the image, or of condition and image concatenated.
    out_channels : int
        Scores.
    filters : int
        Of layers 1 and 2; layers 3 and 4 have twice as many, up to 8 times in 7 and 8. The source's text has no numbers.

    Scores have shape (N, out_channels). Differs from the source: the last layer has ``out_channels`` filters, and
    its mean over the image is the score (a logit), so that any size can be judged.

    Examples
    --------
    >>> network = PANDiscriminator(3, filters=4)
    >>> network(torch.zeros(2, 3, 40, 48)).shape, [len(layer[0]) for layer in network.features(torch.zeros(1, 3, 32, 32))]
    (torch.Size([2, 1]), [4, 8, 16, 32])
    """

    stride = 32
    SMALLEST_PX = 16
    COMPARED = (1, 4, 6, 8)

    def __init__(self, in_channels: int = 3, out_channels: int = 1, *, filters: int = 64) -> None:
        super().__init__(in_channels, out_channels)
        whole("filters", filters)
        widths = [in_channels, *(filters * 2 ** (layer // 2) for layer in range(8))]
        self.layers = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(source, width, 3, stride=1 + number % 2, padding=1, bias=False),
                nn.BatchNorm2d(width),
                nn.LeakyReLU(0.2, inplace=True),
            )
            for number, (source, width) in enumerate(pairwise(widths))
        )
        self.last = nn.Conv2d(widths[-1], out_channels, 3, stride=2, padding=1)

    def layers_of(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return scores and features of an image that is large enough."""
        compared = []
        features = image
        for number, layer in enumerate(self.layers, start=1):
            features = layer(features)
            if number in self.COMPARED:
                compared.append(features)
        return self.last(features).mean((2, 3)), compared
