"""Classifier of how far out of focus an image is."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d, relu

from napari_cellrestore.networks.layers import ScoresNetwork, whole


class Distance(ScoresNetwork):
    """Five convolutions with maximum pooling between them and three fully connected layers.

    Olofsson & Wagnström 2019 (6.3.3, figure 6.5) show such a network, trained to tell how far from focus a cell image
    was taken, without filters or sizes. Differs from it: each colour is first brought to mean 0 and spread 1, since
    neither stain nor light tell focus; batch norms; mean and maximum over the image of all five layers enter the fully
    connected ones, so that any size can be judged and fine and coarse detail are compared.

    Parameters
    ----------
    in_channels : int
        Colours.
    out_channels : int
        Focus levels told apart.
    filters : int
        Of the first convolution; the others have 2, 2, 4 and 4 times as many.

    The softmax of the scores (N, levels) is the probability of each level. A level stands for the distance from focus,
    not its sign: a symmetric blur has none.

    Examples
    --------
    >>> network = Distance(3, 8)
    >>> network(torch.zeros(2, 3, 64, 80)).shape, len(network.features(torch.zeros(1, 3, 64, 64)))
    (torch.Size([2, 8]), 5)
    """

    #: Pixels a side that the four poolings leave something of.
    SMALLEST_PX = 32

    def __init__(self, in_channels: int = 3, out_channels: int = 8, *, filters: int = 32) -> None:
        super().__init__(in_channels, out_channels)
        whole("filters", filters)
        widths = [filters, 2 * filters, 2 * filters, 4 * filters, 4 * filters]
        self.convolutions = nn.ModuleList(
            nn.Conv2d(source, width, 3, padding=1)
            for source, width in zip([in_channels, *widths], widths, strict=False)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for width in widths)
        self.connected = nn.Sequential(
            nn.Linear(2 * sum(widths), 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, out_channels)
        )

    def layers_of(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return scores, and the outputs of the five convolutions before norm and activation."""
        hidden = image - image.mean((-2, -1), keepdim=True)
        hidden = hidden / (image.std((-2, -1), keepdim=True) + 1e-2)
        features, pooled = [], []
        for number, (convolution, norm) in enumerate(zip(self.convolutions, self.norms, strict=True)):
            features.append(convolution(max_pool2d(hidden, 2) if number else hidden))
            hidden = relu(norm(features[-1]))
            # The mean tells how much detail of a size there is, the maximum how sharp the sharpest of it is; focus is in
            # their ratios between sizes, so their logarithms are taken.
            pooled += [hidden.mean((-2, -1)), hidden.amax((-2, -1))]
        return self.connected(torch.log(torch.cat(pooled, dim=1) + 1e-3)), features
