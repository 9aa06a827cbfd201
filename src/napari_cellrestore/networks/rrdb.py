"""Residual in residual dense blocks (ESRGAN's generator without its upsampling)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from napari_cellrestore.networks.layers import ImageNetwork, standardised, whole


class RRDB(ImageNetwork):
    """Generator of Wulff 2022 (section 3.2.1, figures 2.15 and 3.7), after ESRGAN (Wang et al. 2018).

    A convolution, ``blocks`` residual-in-residual dense blocks, a convolution whose output is added to that of the
    first, and a convolution to the output channels; all 3x3 and at full resolution, without batch norm. Each block
    is three dense blocks of five convolutions, and both scale what they add by ``beta``.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels in (3 for each image of a stack) and out.
    width : int, optional
        Channels between the blocks; as many as come in where left out, as in the source. 64 is the usual number.
    blocks : int
        ``n_b``: 4 in the source, 8 for its deeper networks.
    growth : int
        Channels that each convolution of a dense block adds.
    beta : float
        Scale of what blocks add.
    standardise : bool
        Bring each channel to mean 0 and spread 1, as the first batches have them, which the source does not.

    Weights of the blocks begin at a tenth of those of He et al. 2015, as in ESRGAN. With the other options left as they
    are, the numbers of parameters are those of the source's table 4.1.

    Examples
    --------
    >>> sum(p.numel() for p in RRDB(3, 3).parameters()), sum(p.numel() for p in RRDB(132, 3).parameters())
    (749292, 6515463)
    """

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        *,
        width: int | None = None,
        blocks: int = 4,
        growth: int = 32,
        beta: float = 0.2,
        standardise: bool = False,
    ) -> None:
        super().__init__(in_channels, out_channels)
        width = in_channels if width is None else whole("width", width)
        whole("blocks", blocks)
        whole("growth", growth)
        if not 0 < beta <= 1:
            raise ValueError(f"beta is {beta}: give a number above 0 and up to 1")
        self.standard = standardised(in_channels, standardise)
        self.first = nn.Conv2d(in_channels, width, 3, padding=1)
        self.blocks = nn.Sequential(*(ResidualInResidual(width, growth, beta) for _ in range(blocks)))
        self.trunk = nn.Conv2d(width, width, 3, padding=1)
        self.last = nn.Conv2d(width, out_channels, 3, padding=1)

    def transform(self, image: Tensor) -> Tensor:
        """Map an image of any size."""
        features = self.first(self.standard(image))
        output: Tensor = self.last(features + self.trunk(self.blocks(features)))
        return output


class ResidualInResidual(nn.Module):
    """Three dense blocks one after the other, scaled and added to the input."""

    def __init__(self, width: int, growth: int, beta: float) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(DenseBlock(width, growth, beta) for _ in range(3)))
        self.beta = beta

    def forward(self, features: Tensor) -> Tensor:
        """Return features of the same shape."""
        added: Tensor = features + self.beta * self.blocks(features)
        return added


class DenseBlock(nn.Module):
    """Five convolutions, each of which sees the input and the outputs of all before; scaled and added to the input."""

    def __init__(self, width: int, growth: int, beta: float) -> None:
        super().__init__()
        self.growing = nn.ModuleList(nn.Conv2d(width + step * growth, growth, 3, padding=1) for step in range(4))
        self.last = nn.Conv2d(width + 4 * growth, width, 3, padding=1)
        self.beta = beta
        for convolution in (*self.growing, self.last):
            nn.init.kaiming_normal_(convolution.weight)
            convolution.weight.data.mul_(0.1)
            nn.init.zeros_(convolution.bias)

    def forward(self, features: Tensor) -> Tensor:
        """Return features of the same shape."""
        seen = features
        for convolution in self.growing:
            seen = torch.cat([seen, leaky_relu(convolution(seen), 0.2)], dim=1)
        added: Tensor = features + self.beta * self.last(seen)
        return added
