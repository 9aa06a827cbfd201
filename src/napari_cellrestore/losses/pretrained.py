"""Weights of networks trained by others, as a file on this machine; nothing is ever downloaded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from napari_cellrestore.model.archive import read_bounded
from napari_cellrestore.model.foreign import state_of

#: The file of each network as its publisher names it (vgg: torchvision; efficientnet: lukemelas, as MONAI takes it).
FILES = {
    "vgg16": "vgg16-397923af.pth",
    "vgg19": "vgg19-dcbd9e5d.pth",
    "efficientnet-b0": "efficientnet-b0-355c32eb.pth",
    "efficientnet-b3": "efficientnet-b3-5fb5a3c3.pth",
}
#: Colours of ImageNet, of 0..1, to which these networks are used.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def normalised(image: Tensor) -> Tensor:
    """Turn red, green, blue in -1..1, (N, 3, Y, X), into the standardised colours of ImageNet."""
    mean, std = image.new_tensor(MEAN).view(3, 1, 1), image.new_tensor(STD).view(3, 1, 1)
    return (0.5 * image + 0.5 - mean) / std


def find_weights(network: str) -> Path:
    """Return the weights in torch's cache; ValueError that says which file to put where."""
    cache = Path(torch.hub.get_dir()) / "checkpoints"
    found = sorted(cache.glob(f"{network}-*.pth"))
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(path.name for path in found)
        raise ValueError(f"features of {network}: {cache} holds {names}; say which by its weights: a file")
    raise ValueError(
        f"features of {network}: its weights are not here and are not downloaded; put {FILES[network]} into {cache}, or give "
        "a file as its weights (.safetensors or .pth); features: {network: distance} needs none"
    )


def read_weights(path: Path, names: Sequence[str], shapes: Sequence[torch.Size]) -> list[Tensor]:
    """Return the named tensors of a .safetensors or .pth file in float32; ValueError that names what is wrong with it.

    No code that the file may hold is run, see :mod:`napari_cellrestore.model.foreign`.
    """
    state = state_of(path, read_bounded(path))
    for name, shape in zip(names, shapes, strict=True):
        if name not in state:
            raise ValueError(f"{path}: has no {name!r}, so these are weights of another network")
        if state[name].shape != shape:
            raise ValueError(
                f"{path}: {name!r} has shape {tuple(state[name].shape)}, not {tuple(shape)}: another network"
            )
    return [state[name].float() for name in names]
