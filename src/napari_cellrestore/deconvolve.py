"""A recovered point-spread function as a model: deconvolution beside the networks, by the same plan, tiles and report."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import date
from typing import Any

import numpy as np
import torch

from napari_cellrestore.card import ModelCard
from napari_cellrestore.filters import kernels_of
from napari_cellrestore.model import Model
from napari_cellrestore.networks import DECONVOLUTIONS, create_network

Array = np.ndarray
Psf = Array | Sequence[Array]

#: Part of a kernel's absolute sum that may be cut off at its borders.
CUT_OFF = 0.002
#: Largest side of a kernel in pixels.
LARGEST_PX = 255


def deconvolution_model(
    psf: Psf,
    method: str = "wiener",
    *,
    name: str | None = None,
    pixel_um: float | None = None,
    said: str = "",
    **options: Any,
) -> Model:
    """Return a model that undoes a known blur; it can be planned, run in tiles, saved and listed as any other.

    Parameters
    ----------
    psf : (y, x) array, or one for each of three colours
        Kernel, centred on ``(y // 2, x // 2)``, such as :attr:`napari_cellrestore.recover.PsfRecovery.psf`. It is cropped
        to where all but :data:`CUT_OFF` of its absolute sum lies.
    method : {"wiener", "richardson-lucy"}
    name : str, optional
        Under which it is listed; default: the method.
    pixel_um : float, optional
        Pixel size of the kernel: images of another are warned about.
    said : str
        Where the kernel comes from, for the card.
    **options
        ``balance`` of Wiener, ``iterations`` of Richardson-Lucy.

    Raises
    ------
    ValueError
        Unknown method or option, a kernel that cannot be one.

    Examples
    --------
    >>> from napari_cellrestore.restore import restore
    >>> model = deconvolution_model(np.ones((5, 5)) / 25, balance=0.001)
    >>> restore(np.full((40, 60, 3), 90, np.uint8), model).compute().max()
    np.uint8(90)
    """
    if method not in DECONVOLUTIONS:
        raise ValueError(f"unknown method {method!r}: use {', '.join(DECONVOLUTIONS)}")
    kernels = _cropped(_three(psf))
    options = {"kernel_px": kernels.shape[-1], **options}
    network = create_network(method, 3, 3, **options).eval()
    state = torch.from_numpy(kernels.astype(np.float32))
    network.load_state_dict({"psf": state})
    if method == "richardson-lucy" and (low := float(kernels.min())) < -1e-6:
        raise ValueError(f"psf has negative values (down to {low:.2g}): Richardson-Lucy needs intensities; use wiener")
    settings = ", ".join(f"{key} {value:g}" for key, value in options.items() if key != "kernel_px")
    card = ModelCard(
        name=name or method,
        task="deblur",
        summary=f"Undoes a known blur ({method}{f', {settings}' if settings else ''}); learned from no images",
        network=method,
        options=options,
        stride=1,
        halo_px=_halo(network, kernels.shape[-1]),
        pixel_um=pixel_um,
        data=said or "none: the kernel was given",
        weights_sha256=hashlib.sha256(
            f"{method} {sorted(options.items())}".encode() + state.numpy().tobytes()
        ).hexdigest(),
        created=date.today().isoformat(),
        limits=[
            "It assumes one blur over the whole image, and detail that the blur removed stays removed.",
            "Edges may ring, and noise is raised with detail.",
        ],
    )
    return Model(network.requires_grad_(False), card, None)


def _three(psf: Psf) -> Array:
    """Return three kernels of sum 1, (3, y, x)."""
    kernels = kernels_of(psf, 3)
    if len({kernel.shape for kernel in kernels}) != 1:
        raise ValueError(f"kernels of shapes {[kernel.shape for kernel in kernels]}: give one, or three of one shape")
    return np.stack(kernels)


def _cropped(kernels: Array) -> Array:
    """Return the middle of the kernels, an odd square of sum 1 that holds nearly all of each."""
    middle = [length // 2 for length in kernels.shape[1:]]
    most = min(min(middle), LARGEST_PX // 2, *(n - 1 - m for n, m in zip(kernels.shape[1:], middle, strict=True)))
    whole = np.abs(kernels).sum(axis=(1, 2))
    for reach in range(most + 1):
        part = kernels[:, middle[0] - reach : middle[0] + reach + 1, middle[1] - reach : middle[1] + reach + 1]
        if np.all(np.abs(part).sum(axis=(1, 2)) >= (1 - CUT_OFF) * whole):
            break
    return np.asarray(part / part.sum(axis=(1, 2), keepdims=True))


@torch.no_grad()
def _halo(network: torch.nn.Module, kernel_px: int) -> int:
    """Return how far a bright point is felt in the result: beyond, less than 1/1000 of what it makes in all.

    A deconvolution has no end to its reach; it fades.
    """
    reach = max(64, 3 * kernel_px)
    image = torch.zeros(1, 3, 2 * reach + 1, 2 * reach + 1)
    flat = network(image)
    image[..., reach, reach] = 1
    change = (network(image) - flat).abs().sum(1)[0]
    y, x = torch.meshgrid(*[(torch.arange(2 * reach + 1) - reach).abs()] * 2, indexing="ij")
    distance = torch.maximum(y, x).flatten()
    by_distance = torch.zeros(reach + 1).scatter_add(0, distance, change.flatten())
    beyond = by_distance.sum() - by_distance.cumsum(0)
    inside = (beyond <= 1e-3 * by_distance.sum()).nonzero()
    return int(inside[0]) if len(inside) else reach
