"""NAFNet: restoration without activation functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, layer_norm

from napari_cellrestore.networks.layers import one_of, whole
from napari_cellrestore.networks.residual_unet import ResidualUNet


class NAFNet(ResidualUNet):
    """NAFNet (Chen, Chu, Zhang & Sun 2022, "Simple baselines for image restoration").

    A U-Net whose blocks have no activation function but a *simple gate*: half of the channels multiplied by the other
    half. A block normalises over the channels of each pixel, widens (1x1), looks around (depthwise), gates, weighs
    the channels (attention) and projects back; then it normalises, widens, gates and projects once more. Both parts
    are added to the input. The source multiplies them by factors that begin at zero; here the projections begin at zero,
    which can express the same.

    Parameters
    ----------
    in_channels, out_channels : int
        Colours in and out. One channel is added to all outputs, of several sets of channels the mean.
    width, fold, blocks, up_blocks, global_skip, faint
        As in :class:`~napari_cellrestore.networks.residual_unet.ResidualUNet`. In the source ``fold`` is 1, ``width`` 32
        and ``blocks`` (1, 1, 1, 28, 1); the default here is smaller.
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
    ) -> None:
        one_of("attention", attention, ("none", "window", "global"))
        one_of("norm", norm, ("layer", "none"))
        for name, side in (("kernel", kernel), ("window", window)):
            if whole(name, side) % 2 == 0:
                raise ValueError(f"{name} is {side}: give an odd number of pixels")
        self._options: dict[str, Any] = {"kernel": kernel, "attention": attention, "window": window, "norm": norm}
        super().__init__(
            in_channels,
            out_channels,
            width=width,
            fold=fold,
            blocks=blocks,
            up_blocks=up_blocks,
            global_skip=global_skip,
            faint=faint,
        )
        self.tile_safe = attention != "global"

    def block(self, width: int) -> nn.Module:
        """Return one block of this architecture."""
        return NAFBlock(width, **self._options)


class NAFBlock(nn.Module):
    """One block of :class:`NAFNet`."""

    def __init__(self, width: int, *, kernel: int, attention: str, window: int, norm: str) -> None:
        super().__init__()
        wide = 2 * width
        normed = norm == "layer"
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
