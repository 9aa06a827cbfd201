"""VGG-16 and VGG-19, networks that were trained to tell a thousand kinds of photographs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from napari_cellrestore.losses.pretrained import find_weights, normalised, read_weights

#: Convolutions in each of the five blocks (Simonyan & Zisserman 2015, table 1, columns D and E), and their filters.
CONVOLUTIONS = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}
FILTERS = (64, 128, 256, 512, 512)


class Vgg(nn.Module):
    """The convolutions of VGG up to the deepest of some layers.

    A layer is named as in the paper: ``conv3_3``, third convolution of block 3, before its activation; ``relu3_3``, after
    it; ``pool3``, the maximum pooling that ends block 3.

    Parameters
    ----------
    name : {"vgg16", "vgg19"}
    layers : sequence of str
        What :meth:`features` gives, in this order.

    Examples
    --------
    >>> network = Vgg("vgg19", ["conv1_2", "pool2"])
    >>> [tuple(features.shape) for features in network.features(torch.zeros(1, 3, 32, 32))]
    [(1, 64, 32, 32), (1, 128, 8, 8)]
    """

    in_channels = 3

    def __init__(self, name: str, layers: Sequence[str | int]) -> None:
        super().__init__()
        known = vgg_layers(name)
        if unknown := [layer for layer in layers if layer not in known]:
            raise ValueError(f"{name} has no layers {unknown}; known are {', '.join(known)}")
        self.names = tuple(layers)
        used = known[: max(known.index(str(layer)) for layer in layers) + 1]
        #: Fewer pixels a side would leave nothing after the poolings.
        self.SMALLEST_PX = 2 ** sum(layer.startswith("pool") for layer in used)
        self.steps = nn.Sequential(*(_step(layer) for layer in used))
        self._positions = {used.index(str(layer)) for layer in layers}
        self._order = [sorted(self._positions).index(used.index(str(layer))) for layer in layers]

    def features(self, image: Tensor) -> list[Tensor]:
        """Return the layers of images (N, 3, Y, X) in -1..1, in the order asked for."""
        values, kept = normalised(image), []
        for position, step in enumerate(self.steps):
            values = step(values)
            if position in self._positions:
                kept.append(values)
        return [kept[place] for place in self._order]


def vgg_layers(name: str) -> list[str]:
    """Return the names of all layers in order.

    >>> vgg_layers("vgg16")[:5]
    ['conv1_1', 'relu1_1', 'conv1_2', 'relu1_2', 'pool1']
    """
    names = []
    for block, count in enumerate(CONVOLUTIONS[name], 1):
        for number in range(1, count + 1):
            names += [f"conv{block}_{number}", f"relu{block}_{number}"]
        names.append(f"pool{block}")
    return names


def load_vgg(name: str, layers: Sequence[str | int], weights: Path | None) -> Vgg:
    """Return the network with weights of torchvision's names, ``features.0.weight`` and so on."""
    with torch.device("meta"):  # no random weights that would be overwritten
        network = Vgg(name, layers)
    path = find_weights(name) if weights is None else weights
    mine = network.steps.state_dict()
    names, shapes = [f"features.{key}" for key in mine], [value.shape for value in mine.values()]
    theirs = read_weights(path, names, shapes)
    network.steps.load_state_dict(dict(zip(mine, theirs, strict=True)), assign=True)
    return network


def _step(layer: str) -> nn.Module:
    if layer.startswith("pool"):
        return nn.MaxPool2d(2)
    if layer.startswith("relu"):
        return nn.ReLU()  # not in place: what came before the activation may be asked for
    block, number = int(layer[4]), int(layer[6])
    width = FILTERS[block - 1]
    source = width if number > 1 else FILTERS[block - 2] if block > 1 else 3
    return nn.Conv2d(source, width, 3, padding=1)
