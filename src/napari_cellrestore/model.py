"""Models: a network, its weights and its card in one folder."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from platformdirs import user_data_path
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import nn

from napari_cellrestore.card import ModelCard
from napari_cellrestore.networks import create_network

BUNDLED = Path(__file__).with_name("weights")


@dataclass(frozen=True)
class Model:
    """A network in evaluation mode, with its card and the folder it came from."""

    network: nn.Module
    card: ModelCard
    folder: Path | None
    #: Ways to run it that are ready, kept by :func:`napari_cellrestore.engine.runner`.
    runners: dict[tuple[str, str], Any] = field(default_factory=dict, repr=False, compare=False)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "runners": {}}

    @property
    def label(self) -> str:
        """Name and the start of the hash: what results are marked with."""
        return f"{self.card.name} ({self.card.weights_sha256[:12]})"


def models_folder() -> Path:
    """Folder of the user's own models: ``$CELLRESTORE_MODELS`` or the platform's data folder."""
    return Path(os.environ.get("CELLRESTORE_MODELS") or user_data_path("napari-cellrestore") / "models")


def model_folders() -> dict[str, Path]:
    """Return the folder of every model by name; a user's model comes before a bundled one of the same name."""
    found: dict[str, Path] = {}
    for home in (models_folder(), BUNDLED):
        for card in sorted(home.glob("*/card.json")) if home.is_dir() else []:
            found.setdefault(card.parent.name, card.parent)
    return found


def list_models() -> list[ModelCard]:
    """Return the cards of all models that can be loaded, bundled and the user's own.

    A folder whose card cannot be read is left out here; :func:`load_model` tells what is wrong with it.

    Examples
    --------
    >>> "deblur-fast" in [card.name for card in list_models()]
    True
    """
    cards = []
    for folder in model_folders().values():
        try:
            cards.append(ModelCard.read(folder / "card.json"))
        except ValueError:
            continue
    return cards


def load_model(name_or_folder: str | Path) -> Model:
    """Load a model by its name in the list or from its folder.

    Raises
    ------
    ValueError
        The model does not exist, its card or weights are damaged, or the weights are not those of the card; the
        message says which.
    """
    folder = _find(name_or_folder)
    card = ModelCard.read(folder / "card.json")
    path = folder / "weights.safetensors"
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ValueError(
            f"{path}: the weights cannot be read ({error.strerror}); copy the model folder again"
        ) from error
    sha256 = hashlib.sha256(content).hexdigest()
    if sha256 != card.weights_sha256:
        raise ValueError(
            f"{path}: hash {sha256[:12]} is not the {card.weights_sha256[:12] or '(none)'} of the card: the weights are "
            "damaged or of another model; copy the model folder again"
        )
    try:
        state = load(content)
    except SafetensorError as error:
        raise ValueError(f"{path}: not a safetensors file ({error}); copy the model folder again") from error
    network = create_network(card.network, card.in_channels, card.out_channels, **card.options)
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        first = str(error).strip().splitlines()[-1].strip()
        raise ValueError(f"{path}: the weights do not fit the network {card.network!r} of the card: {first}") from error
    return Model(network.eval().requires_grad_(False), card, folder)


def _find(name_or_folder: str | Path) -> Path:
    folders = model_folders()
    if str(name_or_folder) in folders:
        return folders[str(name_or_folder)]
    folder = Path(name_or_folder)
    if (folder / "card.json").is_file():
        return folder
    if folder.is_dir():
        raise ValueError(f"{folder}: no card.json, so this is no model folder")
    raise ValueError(
        f"no model {str(name_or_folder)!r}; there are {', '.join(folders) or 'none'}, or give a model folder"
    )


def save_model(folder: Path, network: nn.Module, card: ModelCard) -> Model:
    """Write a model folder, whole or not at all, and return the model as loaded from it.

    The hash, the versions and nothing else of the card are filled in here. An existing folder is refused.
    """
    folder = Path(folder)
    if folder.exists():
        raise ValueError(f"{folder}: exists already; give another name or delete it first")
    content = save({key: value.detach().cpu().contiguous() for key, value in network.state_dict().items()})
    card = card.model_copy(
        update={
            "weights_sha256": hashlib.sha256(content).hexdigest(),
            "versions": {"napari-cellrestore": version("napari-cellrestore"), "torch": torch.__version__},
        }
    )
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        (unfinished / "weights.safetensors").write_bytes(content)
        (unfinished / "card.json").write_text(card.to_json() + "\n", encoding="utf-8")
        unfinished.chmod(0o755)
        unfinished.replace(folder)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    return load_model(folder)
