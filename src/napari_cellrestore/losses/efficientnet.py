"""Encoder of EfficientNet, through MONAI."""

from __future__ import annotations

import re
from pathlib import Path

from torch import Tensor, nn

from napari_cellrestore.losses.pretrained import find_weights, normalised, read_weights


class EfficientNet(nn.Module):
    """The five stages of EfficientNet (Tan & Le 2019), each at half the size of the one before.

    Parameters
    ----------
    name : {"efficientnet-b0", "efficientnet-b3"}

    Needs the extra ``monai``. Without weights it is random: see :func:`load_efficientnet`.
    """

    in_channels = 3
    names = (1, 2, 3, 4, 5)
    SMALLEST_PX = 32

    def __init__(self, name: str) -> None:
        super().__init__()
        try:
            from monai.networks.nets.efficientnet import EfficientNetBNFeatures
        except ImportError as error:
            raise ValueError(
                f"features of {name}: MONAI is not installed; install napari-cellrestore[monai], or use another network"
            ) from error
        self.encoder = EfficientNetBNFeatures(name, pretrained=False)

    def features(self, image: Tensor) -> list[Tensor]:
        """Return the stages 1 to 5 of images (N, 3, Y, X) in -1..1."""
        stages: list[Tensor] = self.encoder(normalised(image))
        return stages


def load_efficientnet(name: str, weights: Path | None) -> EfficientNet:
    """Return the network with the weights that MONAI takes, from a file."""
    path = find_weights(name) if weights is None else weights
    network = EfficientNet(name)
    state = network.encoder.state_dict()
    unused = ("_conv_head", "_bn1.", "_fc")  # after the last stage
    mine = {key: value for key, value in state.items() if not key.startswith(unused) and "num_batches" not in key}
    # MONAI counts blocks within stacks, the file through: _blocks.1.2.x here is _blocks.2.x there
    names = [re.sub(r"^(_blocks)\.\d+(\.\d+\.)", r"\1\2", key) for key in mine]
    theirs = read_weights(path, names, [value.shape for value in mine.values()])
    network.encoder.load_state_dict(state | dict(zip(mine, theirs, strict=True)))
    return network
