"""What all architectures share: any image size, upsampling by two, the global skip, refused options."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm


class ImageNetwork(nn.Module):
    """A network that maps an image (N, in_channels, Y, X) to an image (N, out_channels, Y, X) of any size.

    An architecture writes :meth:`transform`, for sizes that are multiples of its :attr:`stride`; other sizes are
    extended at the lower and right border by the mirror image and cropped back, as the engines do.
    """

    #: What comes out: an image, or scores of the image.
    gives = "image"
    #: Pixels that sizes are extended to a multiple of.
    stride: int = 1
    #: False where statistics of the whole image enter, so that tiles would not give what the whole gives.
    tile_safe: bool = True

    #: True where it is fastest, once compiled, on colours that lie plane by plane in memory and not pixel by pixel.
    planar: bool = False

    #: Grey levels, of 255, below which a correction of the input fades.
    faint: float = 0.0

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.out_channels = out_channels

    def forward(self, image: Tensor) -> Tensor:
        """Map (N, in_channels, Y, X), in -1..1, to (N, out_channels, Y, X)."""
        if _tracing():  # a trace has no branches: who traces brings sizes that fit
            return self.transform(image)
        rows, columns = sizes(self, image)
        return self.transform(mirrored(image, self.stride))[..., :rows, :columns]

    def transform(self, image: Tensor) -> Tensor:
        """Map an image whose sizes are multiples of the stride."""
        raise NotImplementedError

    def add_input(self, correction: Tensor, image: Tensor) -> Tensor:
        """Add the input to a correction: as many channels, the mean of several sets of them, or one for all.

        Corrections ``c`` of less than :attr:`faint` fade, ``c^3 / (c^2 + faint^2)``, as coefficients of wavelets do under
        the garrote (Gao 1998): what would be changed by less than its noise stays as it was recorded.
        """
        if self.faint:
            square = correction * correction
            correction = correction * square / (square + (self.faint / 127.5) ** 2)
        if self.in_channels in (1, self.out_channels):
            return correction + image
        sets = image.chunk(self.in_channels // self.out_channels, dim=1)
        return correction + torch.stack(sets).mean(dim=0)


class ScoresNetwork(nn.Module):
    """A network that maps an image (N, in_channels, Y, X) of at least :attr:`SMALLEST_PX` to scores.

    Scores are logits: a sigmoid makes probabilities of them. An architecture writes :meth:`judge`.
    """

    gives = "scores"
    stride: int = 1
    tile_safe: bool = False
    #: Smallest side of an image in pixels.
    SMALLEST_PX: int = 1

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.out_channels = out_channels

    def forward(self, image: Tensor) -> Tensor:
        """Map (N, in_channels, Y, X), in -1..1, to scores (N, out_channels, ...)."""
        return self.judge(image)[0]

    def features(self, image: Tensor) -> list[Tensor]:
        """Return the outputs of the layers that a loss compares."""
        return self.judge(image)[1]

    def judge(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return scores and features in one pass."""
        if not _tracing() and min(sizes(self, image)) < self.SMALLEST_PX:
            rows, columns = image.shape[-2:]
            raise ValueError(
                f"the image is {rows} x {columns} px: {type(self).__name__} needs {self.SMALLEST_PX} px or more on each side"
            )
        return self.layers_of(image)

    def layers_of(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return scores and features of an image that is large enough."""
        raise NotImplementedError


def _tracing() -> bool:
    return bool(torch.jit.is_tracing())  # type: ignore[attr-defined,no-untyped-call]


def sizes(network: ImageNetwork | ScoresNetwork, image: Tensor) -> tuple[int, int]:
    """Return Y and X of an image; ValueError where it is none of the network's."""
    if image.ndim != 4 or image.shape[1] != network.in_channels:
        raise ValueError(
            f"the image has shape {tuple(image.shape)}: {type(network).__name__} takes (N, {network.in_channels}, Y, X)"
        )
    return image.shape[2], image.shape[3]


def mirrored(image: Tensor, stride: int) -> Tensor:
    """Extend (..., Y, X) at its lower and right border to multiples of the stride by its mirror image.

    Where the image is smaller than the extension, the mirror image is mirrored again.

    Examples
    --------
    >>> mirrored(torch.tensor([[1, 2, 3]]), 8)[0].tolist()
    [1, 2, 3, 3, 2, 1, 1, 2]
    """
    for axis in (-2, -1):
        length = image.shape[axis]
        if length % stride:
            place = torch.arange(length + -length % stride, device=image.device) % (2 * length)
            image = image.index_select(axis, torch.minimum(place, 2 * length - 1 - place))
    return image


class Standardise(nn.BatchNorm2d):
    """Each channel minus its mean and divided by its spread over the first :attr:`BATCHES` batches that were learnt from.

    Planes of an LED stack can be as unlike as white and nearly black, and bf16 has too few digits for what differs between
    those that are nearly black. Unlike batch norm it is the same while learning and later, and takes nothing from the image
    itself, so that grey levels keep their meaning. A spread counts as at least a grey level of 255.
    """

    BATCHES = 100

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=1 / 127.5**2, momentum=None, affine=False)

    def forward(self, image: Tensor) -> Tensor:
        """Map (N, C, Y, X) to the same shape."""
        assert self.num_batches_tracked is not None
        if self.training and self.num_batches_tracked < self.BATCHES:
            super().forward(image)
        return batch_norm(image, self.running_mean, self.running_var, eps=self.eps)


def standardised(channels: int, wanted: bool) -> nn.Module:
    """Return the layer that brings channels to one spread, or one that does nothing."""
    return Standardise(channels) if wanted else nn.Identity()


def doubling(source: int, width: int, kernel: int, *, upsample: str, bias: bool = True) -> list[nn.Module]:
    """Return layers that exactly double the size, for any kernel.

    ``transposed`` is one transposed convolution of stride 2, which can leave a checkerboard; ``resize`` repeats each
    pixel and convolves, by a kernel of odd size, which cannot (Jönsson & Sjöstrand 2018, sections 3.6.1 and 5.3).
    """
    one_of("upsample", upsample, ("transposed", "resize"))
    if upsample == "resize":
        side = max(3, kernel - 1 + kernel % 2)
        return [
            nn.Upsample(scale_factor=2, mode="nearest"),
            nn.Conv2d(source, width, side, padding=side // 2, bias=bias),
        ]
    padding = (kernel - 1) // 2
    extra = 2 * padding + 2 - kernel
    return [nn.ConvTranspose2d(source, width, kernel, 2, padding, output_padding=extra, bias=bias)]


def normalisation(kind: str, width: int) -> list[nn.Module]:
    """Return the layer of a normalisation, or no layer."""
    known: dict[str, type[nn.Module]] = {"batch": nn.BatchNorm2d, "instance": InstanceNorm}
    return [known[kind](width)] if kind in known else []


class InstanceNorm(nn.Module):
    """Mean 0 and variance 1 in each channel of each image; without parameters.

    As ``nn.InstanceNorm2d``, but without its check of sizes, which a trace cannot hold.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, width, Y, X) to the same shape."""
        return torch.instance_norm(features, None, None, None, None, True, 0.0, 1e-5, True)


def check_skip(in_channels: int, out_channels: int) -> None:
    """Refuse channels that :meth:`ImageNetwork.add_input` cannot add."""
    if in_channels != 1 and in_channels % out_channels:
        raise ValueError(f"a global skip needs inputs ({in_channels}) in whole sets of outputs ({out_channels})")


def check_faint(faint: float, global_skip: bool) -> float:
    """Refuse grey levels that are none, or that there is no correction for."""
    if not faint >= 0 or (faint and not global_skip):
        raise ValueError(f"faint is {faint}: give grey levels of 255, 0 or more; above 0 it needs a global skip")
    return float(faint)


def one_of(name: str, value: Any, allowed: Sequence[Any]) -> None:
    """Refuse an option that is not one of those allowed."""
    if value not in allowed:
        raise ValueError(f"{name} is {value!r}: use {', '.join(map(repr, allowed[:-1]))} or {allowed[-1]!r}")


def whole(name: str, value: Any, least: int = 1) -> int:
    """Refuse an option that is not a whole number, or below the least."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{name} is {value!r}: give a whole number from {least}")
    return value
