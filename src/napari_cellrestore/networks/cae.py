"""Convolutional auto-encoder."""

from __future__ import annotations

from torch import Tensor, nn

from napari_cellrestore.networks.layers import ImageNetwork, doubling, normalisation, one_of, whole


class CAE(ImageNetwork):
    """Convolutional auto-encoder of Bon (section 1.2.3, figure 15).

    An encoder of convolutions makes a small code with many channels, a decoder of transposed ("inverse") convolutions
    an image of it. There are no skip connections: all that is kept goes through the code, and noise does not fit.

    Parameters
    ----------
    in_channels, out_channels : int
        Colours in and out.
    filters : int
        Of the first level; they double from level to level.
    levels : int
        Halvings of the size; the stride is ``2 ** levels``. The source's text gives neither number.
    norm : {"batch", "none"}
        Normalisation.
    upsample : {"transposed", "resize"}
        Transposed convolution as in the source, or repeated pixels and a convolution.

    Examples
    --------
    >>> import torch
    >>> network = CAE(3, 3, filters=4)
    >>> network.encode(torch.zeros(1, 3, 64, 64)).shape, network(torch.zeros(1, 3, 63, 30)).shape
    (torch.Size([1, 16, 8, 8]), torch.Size([1, 3, 63, 30]))
    """

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        *,
        filters: int = 32,
        levels: int = 3,
        norm: str = "batch",
        upsample: str = "transposed",
    ) -> None:
        super().__init__(in_channels, out_channels)
        self.stride = 2 ** whole("levels", levels)
        self.encoder = halvings(in_channels, filters, levels, norm)
        self.decoder = doublings(out_channels, filters, levels, norm, upsample)

    def transform(self, image: Tensor) -> Tensor:
        """Map an image whose sizes are multiples of the stride."""
        return self.decode(self.encode(image))

    def encode(self, image: Tensor) -> Tensor:
        """Return the code (N, filters * 2 ** (levels - 1), Y / stride, X / stride) of an image."""
        code: Tensor = self.encoder(image)
        return code

    def decode(self, code: Tensor) -> Tensor:
        """Return the image of a code."""
        image: Tensor = self.decoder(code)
        return image


def halvings(source: int, filters: int, levels: int, norm: str) -> nn.Sequential:
    """Return ``levels`` times: 4x4 convolution of stride 2, normalisation, leaky ReLU 0.2."""
    one_of("norm", norm, ("batch", "none"))
    layers: list[nn.Module] = []
    for width in _widths(filters, levels):
        layers.append(nn.Conv2d(source, width, 4, stride=2, padding=1, bias=norm == "none"))
        layers += [*normalisation(norm, width), nn.LeakyReLU(0.2, inplace=True)]
        source = width
    return nn.Sequential(*layers)


def doublings(out_channels: int, filters: int, levels: int, norm: str, upsample: str) -> nn.Sequential:
    """Return the way back: doubling, normalisation and ReLU, at last a 3x3 convolution to the output and tanh."""
    layers: list[nn.Module] = []
    *widths, source = _widths(filters, levels)
    for width in [*reversed(widths), filters]:
        layers += doubling(source, width, 4, upsample=upsample, bias=norm == "none")
        layers += [*normalisation(norm, width), nn.ReLU(inplace=True)]
        source = width
    return nn.Sequential(*layers, nn.Conv2d(source, out_channels, 3, padding=1), nn.Tanh())


def _widths(filters: int, levels: int) -> list[int]:
    return [whole("filters", filters) * 2**level for level in range(levels)]
