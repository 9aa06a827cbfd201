"""Discriminator of convolutions and two fully connected layers, spectrally normalised."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, leaky_relu
from torch.nn.utils.parametrizations import spectral_norm

from napari_cellrestore.networks.layers import ScoresNetwork, whole


class VGGDiscriminator(ScoresNetwork):
    """Critic of Wulff 2022 (section 3.2.2, figure 3.8), inspired by VGG.

    Three blocks of a 3x3 convolution of stride 1 and a 4x4 convolution of stride 2, each with leaky ReLU 0.2; filters
    double between blocks. Then 8 x 8 places of ``4 * filters`` channels are flattened to a vector (4096 in the
    source) and two fully connected layers make one number of it. :meth:`features` gives the outputs of the blocks.

    Parameters
    ----------
    in_channels : int
        Of the image, or of condition and image concatenated.
    out_channels : int
        Scores.
    filters : int
        Of the first block: 16, since 4096 numbers are left of the source's images of 64 x 64 pixels.
    hidden : int
        Between the fully connected layers (100 as in ESRGAN; the source's text has no number).
    spectral : bool
        Divide the weights of every layer by their spectral norm, its largest singular value (Miyato et al. 2018),
        as the source does.

    Scores have shape (N, out_channels). Differs from the source: images of any size are judged, since the last block
    is averaged to 8 x 8 places; for 64 x 64 pixels this changes nothing.

    Examples
    --------
    >>> import torch
    >>> network = VGGDiscriminator(3)
    >>> network(torch.zeros(2, 3, 64, 64)).shape, network.connected[0].in_features
    (torch.Size([2, 1]), 4096)
    """

    stride = 8
    SMALLEST_PX = 16
    PLACES = 8

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 1,
        *,
        filters: int = 16,
        hidden: int = 100,
        spectral: bool = True,
    ) -> None:
        super().__init__(in_channels, out_channels)
        whole("filters", filters)
        whole("hidden", hidden)
        widths = [in_channels, filters, 2 * filters, 4 * filters]
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(source, width, 3, padding=1),
                nn.LeakyReLU(0.2, inplace=True),
                nn.Conv2d(width, width, 4, stride=2, padding=1),
                nn.LeakyReLU(0.2, inplace=True),
            )
            for source, width in pairwise(widths)
        )
        self.connected = nn.ModuleList(
            [nn.Linear(widths[-1] * self.PLACES**2, hidden), nn.Linear(hidden, out_channels)]
        )
        if spectral:
            for part in list(self.modules()):
                if isinstance(part, nn.Conv2d | nn.Linear):
                    spectral_norm(part)

    def layers_of(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return scores and features of an image that is large enough."""
        outputs = []
        features = image
        for block in self.blocks:
            features = block(features)
            outputs.append(features)
        vector = adaptive_avg_pool2d(features, self.PLACES).flatten(1)
        first, second = self.connected
        return second(leaky_relu(first(vector), 0.2)), outputs
