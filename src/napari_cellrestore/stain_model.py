"""A fitted stain normalisation as a model: beside the networks, by the same plan, tiles and report."""

from __future__ import annotations

import hashlib
from datetime import date

import torch

from napari_cellrestore.card import ModelCard
from napari_cellrestore.model import Model, check_name, model_folders, models_folder, save_model
from napari_cellrestore.networks import COLOUR_MAPS, create_network
from napari_cellrestore.stain import CLASSES, StainSystem, StainTransfer

(NETWORK,) = COLOUR_MAPS


def stain_model(
    transfer: StainTransfer, *, name: str = NETWORK, said: str = "", pixel_um: float | None = None
) -> Model:
    """Return a model that maps colours; it can be planned, run in tiles, saved and listed as any other.

    It makes of every pixel what :meth:`napari_cellrestore.stain.StainTransfer.apply` makes of it, to 0.001 grey levels of 255
    for colours of smears; to 0.05 for colours so far from every class that float32 hardly tells which is nearest.

    Parameters
    ----------
    transfer : StainTransfer
        Of :func:`napari_cellrestore.stain.fit_transfer`.
    name : str
        Under which it is listed.
    said : str
        Where the images come from, for the card.
    pixel_um : float, optional
        Pixel size of the source's images, where colours depend on it: images of another are warned about.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_cellrestore.restore import restore
    >>> from napari_cellrestore.simulate import draw_smear
    >>> from napari_cellrestore.stain import fit_hedlund_morell
    >>> smear = draw_smear((200, 200), 0.1, np.random.default_rng(0))
    >>> model = stain_model(fit_hedlund_morell([smear], [smear // 2], pixel_um=0.1))
    >>> bool(np.abs(restore(smear, model).compute().astype(int) - smear // 2).mean() < 1)
    True
    """
    if not isinstance(transfer, StainTransfer):
        raise TypeError(f"transfer is a {type(transfer).__name__}: give the StainTransfer of fit_transfer")
    options = {"classes": len(transfer.source.classes)}
    network = create_network(NETWORK, 3, 3, **options).eval()
    # grey levels x are u = (x - 127.5) / 127.5 to a network
    state = {key: torch.from_numpy(one).float() for key, one in transfer.affine(unit=127.5)._asdict().items()}
    network.load_state_dict(state)
    card = ModelCard(
        name=name,
        task="transfer",
        summary="Moves the colours of one microscope to those of another; fitted, not trained",
        network=NETWORK,
        options=options,
        stride=1,
        halo_px=0,
        pixel_um=pixel_um,
        colour_mean=tuple(transfer.source.colour_mean.round(2).tolist()),
        colour_std=tuple(transfer.source.colour_std.round(2).tolist()),
        data="; ".join(filter(None, [said, _fitted("source", transfer.source), _fitted("target", transfer.target)])),
        weights_sha256=hashlib.sha256(b"".join(one.numpy().tobytes() for one in state.values())).hexdigest(),
        created=date.today().isoformat(),
        limits=_limits(transfer),
    )
    return Model(network.requires_grad_(False), card, None)


def save_stain(name: str, transfer: StainTransfer, *, said: str = "", pixel_um: float | None = None) -> Model:
    """Save a stain normalisation as a model of the user's list, and return it; existing names are refused."""
    name = check_name(name, model_folders())
    model = stain_model(transfer, name=name, said=said, pixel_um=pixel_um)
    return save_model(models_folder() / name, model.network, model.card)


def _fitted(what: str, system: StainSystem) -> str:
    """Return what a system was fitted to, in words."""
    pixels = ", ".join(f"{name} {count:.0f}" for name, count in zip(system.classes, system.pixels, strict=True))
    return f"{what}: {system.images} images, pixels of {pixels}"


def _limits(transfer: StainTransfer) -> list[str]:
    absent = [name for name in CLASSES if name not in transfer.source.classes]
    fitted = f"Not fitted: {', '.join(absent)}, which is mapped like its most alike class." if absent else ""
    others = "What is none of the classes, such as platelets, parasites or dirt, is mapped like the most alike class."
    return [
        "It moves colours only: no detail is added or removed, and nothing comes into focus.",
        *filter(None, [fitted]),
        others,
        "Classes are told by colour alone: it holds for the light, the stain and the camera settings of the source's images.",
        *(f"{note[0].upper()}{note[1:]}." for note in transfer.notes),
    ]
