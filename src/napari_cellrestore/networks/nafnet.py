"""NAFNet: restoration without activation functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, layer_norm

from napari_cellrestore.networks.layers import ImageNetwork, check_faint, check_skip, one_of, standardised, whole


class NAFNet(ImageNetwork):
    """NAFNet (Chen, Chu, Zhang & Sun 2022, "Simple baselines for image restoration").

    A U-Net whose blocks have no activation function but a *simple gate*: half of the channels multiplied by the other
    half. A block normalises over the channels of each pixel, widens (1x1), looks around (depthwise), gates, weighs
    the channels (attention) and projects back; then it normalises, widens, gates and projects once more. Both parts
    are added to the input. The source multiplies them by factors that begin at zero; here the projections begin at zero,
    which can express the same. On the way back features of equal size are added. The network computes a correction, which
    is added to the input; its last convolution begins at a tenth of its usual size, so that an untrained network changes
    little.

    Parameters
    ----------
    in_channels, out_channels : int
        Colours in and out. One channel is added to all outputs, of several sets of channels the mean.
    width : int
        Channels of the first level (32 in the source); twice as many in each further one.
    fold : int
        The first convolution takes every ``fold``-th pixel of each row and column, so that all levels are smaller and the
        network faster; 1 in the source.
    blocks : sequence of int
        Blocks of each level on the way down ((1, 1, 1, 28, 1) in the source); the last level is the bottom.
    up_blocks : sequence of int, optional
        Blocks of each level on the way up, one fewer, in the order of ``blocks``; as many as on the way down by default.
    global_skip : bool
        Without it the output is the network's alone.
    faint : float
        With a skip: corrections of fewer grey levels, of 255, fade, so that what is in focus stays as it was recorded.
    kernel : int
        Side of the depthwise convolution, odd (3 in the source).
    attention : {"none", "window", "global"}
        What the weights of the channels are computed from. ``global`` is the source's mean over the image: such a
        network cannot run in tiles. ``window`` takes the mean over ``window`` x ``window`` pixels of the level around each
        pixel (Chu et al. 2022 do so when they apply the network). ``none`` leaves the weights out.
    window : int
        Odd number of pixels, of the level.
    norm : {"layer", "none"}
        Normalisation over channels, which sees one pixel only.
    standardise : bool
        Bring each channel to mean 0 and spread 1, as the first batches have them: for planes as unlike as those of LED
        stacks.

    The stride is ``fold * 2 ** (len(blocks) - 1)``.

    Examples
    --------
    >>> import torch
    >>> network = NAFNet(3, 3, width=8, blocks=(1, 1))
    >>> network.tile_safe, network(torch.zeros(1, 3, 17, 32)).shape
    (True, torch.Size([1, 3, 17, 32]))
    """

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        *,
        width: int = 32,
        fold: int = 1,
        blocks: Sequence[int] = (1, 1, 2, 4),
        up_blocks: Sequence[int] | None = None,
        global_skip: bool = True,
        faint: float = 0.0,
        kernel: int = 3,
        attention: str = "none",
        window: int = 7,
        norm: str = "layer",
        standardise: bool = False,
    ) -> None:
        one_of("attention", attention, ("none", "window", "global"))
        one_of("norm", norm, ("layer", "none"))
        for name, side in (("kernel", kernel), ("window", window)):
            if whole(name, side) % 2 == 0:
                raise ValueError(f"{name} is {side}: give an odd number of pixels")
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

        # Squares of pixels become channels and are convolved 3 x 3, in one; the last convolution and PixelShuffle undo it.
        self.standard = standardised(in_channels, standardise)
        self.first = nn.Conv2d(in_channels, width, 3 * fold, stride=fold, padding=fold)

        def level(channels: int, count: int) -> nn.Sequential:
            options: dict[str, Any] = {
                "kernel": kernel,
                "attention": attention,
                "window": window,
                "normed": norm == "layer",
            }
            return nn.Sequential(*(NAFBlock(channels, **options) for _ in range(count)))

        self.encoder = nn.ModuleList(level(w, n) for w, n in zip(widths, blocks, strict=True))
        self.down = nn.ModuleList(nn.Conv2d(w, 2 * w, 2, stride=2) for w in widths[:-1])
        self.up = nn.ModuleList(nn.ConvTranspose2d(2 * w, w, 2, stride=2, bias=False) for w in widths[:-1])
        self.decoder = nn.ModuleList(level(w, n) for w, n in zip(widths, up_blocks, strict=False))
        self.last = nn.Sequential(nn.Conv2d(width, out_channels * fold**2, 3, padding=1), nn.PixelShuffle(fold))
        for parameter in self.last.parameters():
            parameter.data.mul_(0.1)
        self.tile_safe = attention != "global"

    def transform(self, image: Tensor) -> Tensor:
        """Map an image whose sizes are multiples of the stride."""
        features = self.first(self.standard(image))
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


class NAFBlock(nn.Module):
    """One block of :class:`NAFNet`."""

    def __init__(self, width: int, *, kernel: int, attention: str, window: int, normed: bool) -> None:
        super().__init__()
        wide = 2 * width
        self.look = nn.Sequential(
            *([ChannelNorm(width)] if normed else []),
            nn.Conv2d(width, wide, 1),
            nn.Conv2d(wide, wide, kernel, padding=kernel // 2, groups=wide),
            Gate(),
            *([ChannelAttention(width, window if attention == "window" else None)] if attention != "none" else []),
            nn.Conv2d(width, width, 1),
        )
        self.mix = nn.Sequential(
            *([ChannelNorm(width)] if normed else []), nn.Conv2d(width, wide, 1), Gate(), nn.Conv2d(width, width, 1)
        )
        for projection in (self.look[-1], self.mix[-1]):
            for parameter in projection.parameters():
                nn.init.zeros_(parameter)

    def forward(self, features: Tensor) -> Tensor:
        """Return features of the same shape."""
        features = features + self.look(features)
        mixed: Tensor = features + self.mix(features)
        return mixed


class Gate(nn.Module):
    """Half of the channels multiplied by the other half."""

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, 2 C, Y, X) to (N, C, Y, X)."""
        first, second = features.chunk(2, dim=1)
        return first * second


class ChannelNorm(nn.LayerNorm):
    """Normalise each pixel over its channels."""

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, C, Y, X) to the same shape."""
        normed = layer_norm(features.permute(0, 2, 3, 1), self.normalized_shape, self.weight, self.bias, 1e-6)
        return normed.permute(0, 3, 1, 2)


class ChannelAttention(nn.Module):
    """Weigh channels by a linear function of their means, over a window around each pixel or over the image."""

    def __init__(self, width: int, window: int | None) -> None:
        super().__init__()
        self.window = window
        self.weigh = nn.Conv2d(width, width, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, C, Y, X) to the same shape."""
        if self.window is None:
            means = features.mean((2, 3), keepdim=True)
        else:  # the mean over a square is the mean of means; at the border over what there is
            reach = self.window // 2
            means = avg_pool2d(features, (self.window, 1), 1, (reach, 0), count_include_pad=False)
            means = avg_pool2d(means, (1, self.window), 1, (0, reach), count_include_pad=False)
        weighed: Tensor = features * self.weigh(means)
        return weighed
