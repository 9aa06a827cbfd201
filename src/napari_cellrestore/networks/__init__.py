"""Network architectures by name."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from functools import partial
from typing import Any

import torch
from torch import nn

from napari_cellrestore.networks.deconvolution import RichardsonLucy, Wiener
from napari_cellrestore.networks.pix2pix import Pix2Pix

#: Every architecture: name -> constructor taking ``in_channels``, ``out_channels`` and options.
NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "pix2pix": Pix2Pix,
    "pix2pix-fast": partial(Pix2Pix, filters=16, blocks=8),
}

#: Restorations with a known kernel, which learn nothing but run as networks do.
DECONVOLUTIONS: dict[str, Callable[..., nn.Module]] = {"wiener": Wiener, "richardson-lucy": RichardsonLucy}


def create_network(name: str, in_channels: int = 3, out_channels: int = 3, **options: Any) -> nn.Module:
    """Create an untrained network.

    Parameters
    ----------
    name : str
        A key of :data:`NETWORKS` or of :data:`DECONVOLUTIONS`.
    in_channels, out_channels : int
        Channels of its input and output.
    **options
        Of the architecture, see its class.

    Examples
    --------
    >>> sum(p.numel() for p in create_network("pix2pix-fast").parameters())
    395011
    """
    known = NETWORKS | DECONVOLUTIONS
    if name not in known:
        raise ValueError(f"no network {name!r}; known are {', '.join(known)}")
    for key, value in (("in_channels", in_channels), ("out_channels", out_channels)):
        if not isinstance(value, int) or value < 1:
            raise ValueError(f"{key} is {value!r}: give a positive whole number")
    try:
        return known[name](in_channels, out_channels, **options)
    except TypeError as error:
        raise ValueError(f"network {name!r}: {error}") from error


def stride_of(network: nn.Module) -> int:
    """Return the pixels that sizes must be a multiple of; every architecture has it as ``stride``."""
    stride = network.stride
    assert isinstance(stride, int)
    return stride


def receptive_halo(network: nn.Module, in_channels: int, stride: int, *, reach_px: int = 512) -> int:
    """Return how many pixels around an aligned block its result depends on, rounded up to the stride.

    Found from the network itself: the gradient of one aligned block of the output is zero outside its receptive
    field. With tiles aligned to the stride and this halo, tiled and whole results are equal.

    Parameters
    ----------
    network : Module
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
    reach = -(-reach_px // stride) * stride
    probe = deepcopy(network).double().eval().requires_grad_(False)
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(1, in_channels, stride, 2 * reach + stride, generator=generator, dtype=torch.double)
    image.requires_grad_(True)
    probe(image)[..., reach : reach + stride].square().sum().backward()
    assert image.grad is not None
    columns = image.grad.abs().amax((0, 1, 2)).nonzero().flatten()
    extent = max(reach - int(columns.min()), int(columns.max()) - (reach + stride - 1))
    if extent >= reach:
        raise ValueError(
            f"the network sees {extent} px and more around a block; give a larger reach_px than {reach_px}"
        )
    return -(-max(extent, 0) // stride) * stride
