"""Weights that other programs trained: read as numbers, or not at all.

A ``.pth`` or ``.pt`` file can hold a program that runs when it is opened. It is opened in torch's way that only makes tensors,
lists and dictionaries, and refused where it holds more.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from napari_cellrestore.card import ModelCard
from napari_cellrestore.model.archive import WEIGHTS_BYTES, Archive, read_bounded
from napari_cellrestore.model.folder import build, check_fits, tensors_in, weights_of

SUFFIXES = (".pth", ".pt", ".ckpt", ".safetensors")
#: Under which name training programs keep the weights among other things; the first there is.
INSIDE = ("params_ema", "params", "state_dict", "model")


def read_foreign(path: Path) -> tuple[ModelCard, bytes]:
    """Return card and weights of a file of weights whose architecture is recognised.

    That is the generator of ESRGAN (Wang et al. 2018) without its enlargement, under the names that its authors' program or
    BasicSR gave. Images are 0..1 to it, -1..1 to networks here: the first and the last convolution take this in.
    The zeros beyond the borders stay zeros, which were black and are grey now: results differ near borders.

    Raises
    ------
    ValueError
        The file holds more than numbers, or weights of another architecture.
    """
    state = _renamed(path, state_of(path, read_bounded(path)))
    card = _rrdb_card(path, state)
    try:
        check_fits(card, state)
        weights = weights_of(build(card, _from_unit_range(state)))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return card.model_copy(update={"weights_sha256": hashlib.sha256(weights).hexdigest()}), weights


#: Names in the network "rrdb" of what ESRGAN's authors, and BasicSR, call otherwise.
RENAMED = (
    (r"conv_first\.(.+)", r"first.\1"),
    (r"(?:RRDB_trunk|body)\.(\d+)\.(?:RDB|rdb)([123])\.conv([1-5])\.(.+)", None),
    (r"(?:trunk_conv|conv_body)\.(.+)", r"trunk.\1"),
    (r"conv_last\.(.+)", r"last.\1"),
)


def _renamed(path: Path, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    renamed = {_name(key): value for key, value in state.items()}
    if any(name is None for name in renamed) or not {"first.weight", "trunk.weight", "last.weight"} <= set(renamed):
        odd = next((key for key in state if _name(key) is None), next(iter(state)))
        raise ValueError(
            f"{path}: holds {odd}, which the network 'rrdb' here has not; what is recognised by its weights alone is ESRGAN's "
            "generator without enlargement. Whole models are files that end in .cellrestore.zip, or model folders"
        )
    return {str(name): value for name, value in renamed.items()}


def _name(key: str) -> str | None:
    """Return the name of a weight here, None where there is none.

    >>> _name("RRDB_trunk.2.RDB1.conv4.weight"), _name("body.2.rdb3.conv5.bias"), _name("upconv1.weight")
    ('blocks.2.blocks.0.growing.3.weight', 'blocks.2.blocks.2.last.bias', None)
    """
    for pattern, name in RENAMED:
        if match := re.fullmatch(pattern, key):
            return match.expand(name) if name else _dense_name(*match.groups())
    return None


def _dense_name(block: str, dense: str, convolution: str, rest: str) -> str:
    number = int(convolution) - 1
    return f"blocks.{block}.blocks.{int(dense) - 1}.{'last' if number == 4 else f'growing.{number}'}.{rest}"


def _rrdb_card(path: Path, state: Mapping[str, Tensor]) -> ModelCard:
    first, last = state["first.weight"], state["last.weight"]
    blocks = len({key.split(".")[1] for key in state if key.startswith("blocks.")})
    growing = state.get("blocks.0.blocks.0.growing.0.weight")
    if first.ndim != 4 or last.ndim != 4 or growing is None:
        raise ValueError(f"{path}: the convolutions of ESRGAN's generator are not whole in it; copy it again")
    return ModelCard(
        name=re.sub(r"[^\w .()+-]", "_", path.stem).strip(" .+-_") or "imported",
        task="enhance",
        summary="Weights of another program; what they were trained for is not known here",
        network="rrdb",
        options={"width": len(first), "blocks": blocks, "growth": len(growing)},
        in_channels=first.shape[1],
        out_channels=len(last),
        stride=1,
        halo_px=15 * blocks + 3,  # 3 x 3 convolutions one after the other: 15 in a block, and 3
        data="",
        created=date.today().isoformat(),
        limits=[
            "It was imported as bare weights: nothing is known of its training, and nothing was measured.",
            "It is taken to work on images of 0..1, as ESRGAN does; near borders it differs from the program it came from.",
        ],
    )


def _from_unit_range(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights that do to -1..1 what these do to 0..1."""
    state = {name: value.float() for name, value in state.items()}
    first, last = state["first.weight"] / 2, state["last.weight"] * 2
    bias = state["first.bias"] + first.sum((1, 2, 3))
    return {
        **state,
        "first.weight": first,
        "first.bias": bias,
        "last.weight": last,
        "last.bias": state["last.bias"] * 2 - 1,
    }


def state_of(path: Path, content: bytes) -> dict[str, Tensor]:
    """Return the tensors of a file by name; ``path`` is named in messages."""
    if content[8:9] == b"{":
        try:
            return tensors_in(content)
        except ValueError as error:
            raise ValueError(f"{path}: {error}; copy or download it again") from error
    if content.startswith(b"PK"):
        Archive(path, content).check_total()
    try:
        found = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # whatever damaged or hostile bytes make of it
        raise ValueError(
            f"{path}: is damaged, or holds more than numbers, which could be a program; it is not opened. Where you trust it, "
            "save its state_dict as safetensors with the program that it came from"
        ) from error
    return _tensors(path, found)


def _tensors(path: Path, found: Any) -> dict[str, Tensor]:
    for name in INSIDE:
        if isinstance(found, Mapping) and isinstance(found.get(name), Mapping):
            found = found[name]
    if not isinstance(found, Mapping) or not found or not all(isinstance(value, Tensor) for value in found.values()):
        raise ValueError(f"{path}: holds a {type(found).__name__}, not weights by name; save the network's state_dict")
    if sum(value.numel() * value.element_size() for value in found.values()) > WEIGHTS_BYTES:
        raise ValueError(f"{path}: its weights claim more than {WEIGHTS_BYTES / 2**30:.0f} GiB; they are not read")
    return {str(name): value for name, value in found.items()}
