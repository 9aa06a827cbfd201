"""Network architectures by name."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from functools import partial
from inspect import signature
from typing import Any

import torch
from torch import nn

from napari_cellrestore.networks.cae import CAE
from napari_cellrestore.networks.deblurgan import DeblurGAN
from napari_cellrestore.networks.deconvolution import RichardsonLucy, Wiener
from napari_cellrestore.networks.defocus_unet import DefocusUNet
from napari_cellrestore.networks.distance import Distance
from napari_cellrestore.networks.nafnet import NAFNet
from napari_cellrestore.networks.pan import PAN, PANDiscriminator
from napari_cellrestore.networks.patch_discriminator import PatchDiscriminator
from napari_cellrestore.networks.pix2pix import Pix2Pix
from napari_cellrestore.networks.rrdb import RRDB
from napari_cellrestore.networks.stain_normalisation import StainNormalisation
from napari_cellrestore.networks.transfer_unet import TransferUNet
from napari_cellrestore.networks.unet_efficientnet import EfficientNetUNet
from napari_cellrestore.networks.unet_wulff import WulffUNet
from napari_cellrestore.networks.vae import VAE
from napari_cellrestore.networks.vgg_discriminator import VGGDiscriminator

#: Architectures that make an image of an image, by name.
IMAGE_NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "pix2pix": Pix2Pix,
    "pix2pix-fast": partial(Pix2Pix, filters=16, blocks=8),
    "pan": PAN,
    "deblurgan": DeblurGAN,
    "rrdb": RRDB,
    "unet-wulff": WulffUNet,
    "transfer-unet": TransferUNet,
    "cae": CAE,
    "vae": VAE,
    "unet-efficientnet": EfficientNetUNet,
    "defocus-unet": DefocusUNet,
    "nafnet": NAFNet,
    "nafnet-fast": partial(NAFNet, width=24, fold=2, blocks=(0, 1, 4), up_blocks=(0, 0), kernel=5),
}

#: Architectures that give scores of an image: discriminators, and the classifier of focus.
SCORES_NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "patch-discriminator": PatchDiscriminator,
    "pan-discriminator": PANDiscriminator,
    "vgg-discriminator": VGGDiscriminator,
    "distance": Distance,
}

#: Every architecture: name -> constructor taking ``in_channels``, ``out_channels`` and options. Each has ``gives``, ``stride``,
#: ``tile_safe``, ``in_channels`` and ``out_channels``.
NETWORKS: dict[str, Callable[..., nn.Module]] = IMAGE_NETWORKS | SCORES_NETWORKS

#: Restorations with a known kernel, which learn nothing but run as networks do.
DECONVOLUTIONS: dict[str, Callable[..., nn.Module]] = {"wiener": Wiener, "richardson-lucy": RichardsonLucy}

#: Maps of colours that are fitted, not trained, and run as networks do.
COLOUR_MAPS: dict[str, Callable[..., nn.Module]] = {"stain-normalisation": StainNormalisation}


def create_network(name: str, in_channels: int = 3, out_channels: int | None = None, **options: Any) -> nn.Module:
    """Create an untrained network.

    Parameters
    ----------
    name : str
        A key of :data:`NETWORKS`, :data:`DECONVOLUTIONS` or :data:`COLOUR_MAPS`.
    in_channels : int
        Channels of its input.
    out_channels : int, optional
        Channels of its output: 3 for an image, the network's own number of scores.
    **options
        Of the architecture, see its class.

    Examples
    --------
    >>> sum(p.numel() for p in create_network("pix2pix-fast").parameters())
    395011
    """
    known = NETWORKS | DECONVOLUTIONS | COLOUR_MAPS
    if name not in known:
        raise ValueError(f"no network {name!r}; known are {', '.join(known)}")
    channels = {"in_channels": in_channels} | ({} if out_channels is None else {"out_channels": out_channels})
    for key, value in channels.items():
        if not isinstance(value, int) or value < 1:
            raise ValueError(f"{key} is {value!r}: give a positive whole number")
    allowed = [key for key in signature(known[name]).parameters if key not in ("in_channels", "out_channels")]
    if strange := [key for key in options if key not in allowed]:
        raise ValueError(
            f"network {name!r} has no option {', '.join(map(repr, strange))}; known are {', '.join(allowed) or 'none'}"
        )
    try:
        return known[name](**channels, **options)
    except TypeError as error:
        raise ValueError(f"network {name!r}: {error}") from error


def stride_of(network: nn.Module) -> int:
    """Return the pixels that sizes must be a multiple of; every architecture has it as ``stride``."""
    stride = network.stride
    assert isinstance(stride, int)
    return stride


def receptive_halo(network: nn.Module, in_channels: int, stride: int, *, reach_px: int = 4096) -> int:
    """Return how many pixels around an aligned block its result depends on, rounded up to the stride.

    Found from the network itself: the gradient of one aligned block of the output is zero outside its receptive
    field. With tiles aligned to the stride and this halo, tiled and whole results are equal. What the weights are does
    not matter: the field of the architecture is found, which no trained weight can leave.

    Parameters
    ----------
    network : Module
        One that is ``tile_safe``; another has no halo, which raises ValueError.
    in_channels : int
    stride : int
        Sizes are multiples of this.
    reach_px : int
        How far is looked; a field that reaches this far raises ValueError.

    Examples
    --------
    >>> receptive_halo(create_network("pix2pix-fast"), 3, 16)
    32
    """
    if not getattr(network, "tile_safe", True):
        raise ValueError(
            f"{type(network).__name__} takes statistics of the whole image: no halo is enough, run it whole"
        )
    probe = _probe(network)
    reach = min(2 * stride, reach_px)
    while (extent := _extent(probe, in_channels, stride, reach)) >= reach:
        if reach >= reach_px:
            raise ValueError(
                f"the network sees {extent} px and more around a block; give a larger reach_px than {reach_px}"
            )
        reach = min(2 * reach, reach_px)
    return -(-extent // stride) * stride


def _probe(network: nn.Module) -> nn.Module:
    """Return a copy whose gradient vanishes only where nothing is seen: no weight, ReLU or maximum hides a pixel."""
    probe = deepcopy(network).double().eval().requires_grad_(False)
    generator = torch.Generator().manual_seed(0)
    for parameter in probe.parameters():
        # positive, and less than means, so that nothing is negative and nothing grows with the layers
        parameter.copy_(0.2 + 0.2 * torch.rand(parameter.shape, generator=generator, dtype=torch.double))
        if parameter.ndim > 1:
            parameter.mul_(1 / parameter[0].numel())
    for part in list(probe.modules()):
        if isinstance(part, nn.BatchNorm2d):  # means of trained ones could make something negative
            part.reset_running_stats()
        for name, child in part.named_children():
            if isinstance(child, nn.MaxPool2d):
                setattr(part, name, nn.AvgPool2d(child.kernel_size, child.stride, child.padding))
    return probe


def _extent(probe: nn.Module, in_channels: int, stride: int, reach: int) -> int:
    """Return how far around an aligned block pixels have a gradient, looking no further than ``reach``."""
    reach = -(-reach // stride) * stride
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(1, in_channels, stride, 2 * reach + stride, generator=generator, dtype=torch.double)
    image.requires_grad_(True)
    probe(image)[..., reach : reach + stride].square().sum().backward()
    assert image.grad is not None
    columns = image.grad.abs().amax((0, 1, 2)).nonzero().flatten()
    return max(reach - int(columns.min()), int(columns.max()) - (reach + stride - 1), 0)
