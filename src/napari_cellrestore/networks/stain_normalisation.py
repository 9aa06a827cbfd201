"""Colours of one microscope as another would show them, in the form of a network: the same plan, tiles and report.

Nothing is learned by training: Gaussians of colours are fitted (Jönsson & Sjöstrand 2018, 2.2). Images come in as -1..1 for
black and full scale.
"""

from __future__ import annotations

from functools import reduce

import torch
from torch import Tensor

from napari_cellrestore.networks.layers import ImageNetwork

#: Most classes of what an image shows.
MOST_CLASSES = 64
#: Pixels that are computed together: few enough for the nearest caches of a processor.
BLOCK_PX = 16384


class StainNormalisation(ImageNetwork):
    """An affine map of colours for each class, weighted by the probability of the class by the colour alone.

    The state is that of :class:`napari_cellrestore.stain.transfer.Affine`; as created it leaves every colour as it is.

    Parameters
    ----------
    in_channels, out_channels : int
        Red, green and blue.
    classes : int
        Number of classes.
    """

    planar = True
    weight: Tensor
    bias: Tensor
    log_weight: Tensor

    def __init__(self, in_channels: int = 3, out_channels: int = 3, *, classes: int = 4) -> None:
        super().__init__(in_channels, out_channels)
        if (in_channels, out_channels) != (3, 3):
            raise ValueError(f"a map of colours takes and gives 3 channels, not {in_channels} and {out_channels}")
        if isinstance(classes, bool) or int(classes) != classes or not 1 <= classes <= MOST_CLASSES:
            raise ValueError(f"classes is {classes}: give a whole number from 1 to {MOST_CLASSES}")
        self.classes = int(classes)
        same = torch.cat([torch.zeros(3, 3), torch.eye(3)]).repeat_interleave(self.classes, 0)
        self.register_buffer("weight", same)
        self.register_buffer("bias", torch.zeros(6 * self.classes))
        self.register_buffer("log_weight", torch.zeros(self.classes))

    def transform(self, image: Tensor) -> Tensor:
        """Map (N, 3, Y, X); blocks of pixels, which stay in the cache from step to step."""
        if torch.compiler.is_compiling():
            return self._in_one_loop(image)
        colours = image.movedim(1, -1)
        flat = colours.reshape(-1, 3)
        if torch.jit.is_tracing():  # type: ignore[attr-defined,no-untyped-call]  # a trace would keep the number of blocks
            return self._mapped(flat).T.reshape(colours.shape).movedim(-1, 1)
        result = torch.empty_like(flat)
        for start in range(0, len(flat), BLOCK_PX):
            result[start : start + BLOCK_PX] = self._mapped(flat[start : start + BLOCK_PX]).T
        return result.reshape(colours.shape).movedim(-1, 1)

    def _mapped(self, colours: Tensor) -> Tensor:
        """Return colours (3, N) of colours (N, 3)."""
        rows = torch.addmm(self.bias[:, None], self.weight, colours.T)
        whitened, made = rows.reshape(2, 3, self.classes, -1).unbind(0)
        first, second, third = whitened.unbind(0)
        square = (first * first).addcmul(second, second).addcmul(third, third)
        return (made * (self.log_weight[:, None] - square).softmax(0)).sum(1)

    def _in_one_loop(self, image: Tensor) -> Tensor:
        """Map (N, 3, Y, X) by steps of one pixel each, which a compiler joins to one loop over the planes of colour."""
        planes = image.unbind(1)
        weight, bias = self.weight.reshape(6, self.classes, 3), self.bias.reshape(6, self.classes)

        def row(number: int, one: int) -> Tensor:
            return reduce(torch.add, map(torch.mul, weight[number, one], planes), bias[number, one])

        def log_chance(one: int) -> Tensor:
            return self.log_weight[one] - reduce(torch.add, (row(number, one).square() for number in range(3)))

        logs = [log_chance(one) for one in range(self.classes)]
        most = reduce(torch.maximum, logs)
        chances = [(log - most).exp() for log in logs]
        whole = reduce(torch.add, chances)
        made = [[chance * row(number, one) for one, chance in enumerate(chances)] for number in range(3, 6)]
        return torch.stack([reduce(torch.add, parts) / whole for parts in made], 1)
