"""Residual U-Net on pixels folded into channels: much arithmetic in little time on a processor."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn.functional import relu

from napari_cellrestore.networks.layers import ImageNetwork, check_faint, check_skip, whole


class ResidualUNet(ImageNetwork):
    """U-Net of residual blocks without normalisation, at a fraction of the image's resolution.

    Squares of ``fold`` x ``fold`` pixels become channels, so that nothing is lost and every convolution runs where
    images are small and channels many: the shape that a processor does fastest. At each level blocks, then half the
    size and twice the width; on the way back the features of equal size are added. The network computes a
    correction, which is added to the input.

    Parameters
    ----------
    in_channels, out_channels : int
        Colours in and out. One channel is added to all outputs, of several sets of channels the mean.
    width : int
        Channels of the first level.
    fold : int
        Pixels on the side of a square; 1 for none.
    blocks : sequence of int
        Blocks of each level on the way down; one or more levels, of which the last is the bottom.
    up_blocks : sequence of int, optional
        Blocks of each level on the way up, one fewer, in the order of ``blocks``; as many as on the way down by default.
    global_skip : bool
        Without it the output is the network's alone.
    faint : float
        With a skip: corrections of fewer grey levels, of 255, fade, so that what is in focus stays as it was recorded.

    The stride is ``fold * 2 ** (len(blocks) - 1)``. The last convolution begins at a tenth of its usual size, so that
    an untrained network changes little.

    Examples
    --------
    >>> import torch
    >>> network = ResidualUNet(3, 3, width=16, blocks=(1, 1))
    >>> network.stride, network(torch.zeros(1, 3, 30, 45)).shape
    (8, torch.Size([1, 3, 30, 45]))
    """

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        *,
        width: int = 48,
        fold: int = 4,
        blocks: Sequence[int] = (1, 3),
        up_blocks: Sequence[int] | None = None,
        global_skip: bool = True,
        faint: float = 0.0,
    ) -> None:
        super().__init__(in_channels, out_channels)
        whole("width", width)
        whole("fold", fold)
        levels = len(blocks)
        up_blocks = tuple(blocks[:-1] if up_blocks is None else up_blocks)
        if not blocks or len(up_blocks) != levels - 1:
            raise ValueError(
                f"blocks is {tuple(blocks)} and up_blocks {up_blocks}: give a number for each level, in up_blocks one fewer"
            )
        for count in (*blocks, *up_blocks):
            whole("a number of blocks", count, 0)
        if global_skip:
            check_skip(in_channels, out_channels)
        self.global_skip, self.faint = global_skip, check_faint(faint, global_skip)
        self.stride = fold * 2 ** (levels - 1)
        widths = [width * 2**level for level in range(levels)]

        # Folding and a convolution of 3 x 3 squares in one.
        self.first = nn.Conv2d(in_channels, width, 3 * fold, stride=fold, padding=fold)
        self.encoder = nn.ModuleList(self._level(w, n) for w, n in zip(widths, blocks, strict=True))
        self.down = nn.ModuleList(nn.Conv2d(w, 2 * w, 2, stride=2) for w in widths[:-1])
        self.up = nn.ModuleList(nn.ConvTranspose2d(2 * w, w, 2, stride=2, bias=False) for w in widths[:-1])
        self.decoder = nn.ModuleList(self._level(w, n) for w, n in zip(widths, up_blocks, strict=False))
        self.last = nn.Sequential(nn.Conv2d(width, out_channels * fold**2, 3, padding=1), nn.PixelShuffle(fold))
        for parameter in self.last.parameters():
            parameter.data.mul_(0.1)

    def _level(self, width: int, count: int) -> nn.Sequential:
        return nn.Sequential(*(self.block(width) for _ in range(count)))

    def block(self, width: int) -> nn.Module:
        """Return one block of this architecture."""
        return ResidualBlock(width)

    def transform(self, image: Tensor) -> Tensor:
        """Map an image whose sizes are multiples of the stride."""
        features = self.first(image)
        skips = []
        for level, down in zip(self.encoder, self.down, strict=False):
            features = level(features)
            skips.append(features)
            features = down(features)
        features = self.encoder[-1](features)
        for level, up in reversed(list(zip(self.decoder, self.up, strict=True))):
            features = level(up(features) + skips.pop())
        correction: Tensor = self.last(features)
        return self.add_input(correction, image) if self.global_skip else correction


class ResidualBlock(nn.Module):
    """Two convolutions with a ReLU between them, added to the input (Lim et al. 2017)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        """Return features of the same shape."""
        change: Tensor = self.second(relu(self.first(features), inplace=True))
        return features + change
