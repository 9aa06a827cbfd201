"""A model folder: ``weights.safetensors`` and ``card.json``; and the folders in which models are listed."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from platformdirs import user_data_path
from safetensors import safe_open
from safetensors.torch import load, save
from torch import Tensor, nn

from napari_cellrestore.card import ModelCard
from napari_cellrestore.model.archive import read_bounded
from napari_cellrestore.networks import create_network
from napari_cellrestore.plain import shortly

BUNDLED = Path(__file__).parents[1] / "weights"
#: The model that is offered first: what most images need, fast on any laptop.
FIRST = "deblur-fast"
CARD, WEIGHTS = "card.json", "weights.safetensors"
#: Folders with these are being written, or are deleted; they are no models, even where a crash left them behind.
HIDDEN = "."
#: Largest number that a card from elsewhere may ask of an architecture, such as filters or blocks.
LARGEST_OPTION = 4096
AGAIN = "copy the model folder again"


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


@dataclass(frozen=True)
class Entry:
    """A model in the list: where it is, and its card or why it cannot be used."""

    name: str
    folder: Path
    card: ModelCard | None
    problem: str = ""

    @property
    def bundled(self) -> bool:
        """Whether it came with the program, and so stays."""
        return self.folder.parent == BUNDLED

    @property
    def size_bytes(self) -> int:
        """Size of its files."""
        return sum(path.stat().st_size for path in (self.folder / CARD, self.folder / WEIGHTS) if path.is_file())


# --- the list ----------------------------------------------------------------------------------------------


def models_folder() -> Path:
    """Folder of the user's own models: ``$CELLRESTORE_MODELS`` or the platform's data folder."""
    return Path(os.environ.get("CELLRESTORE_MODELS") or user_data_path("napari-cellrestore") / "models")


def model_folders() -> dict[str, Path]:
    """Return the folder of every model by name; a user's models come before the bundled ones."""
    found: dict[str, Path] = {}
    for home in (models_folder(), BUNDLED):
        for folder in sorted(home.iterdir(), key=_place) if home.is_dir() else []:
            if _is_model(folder):
                found.setdefault(folder.name, folder)
    return found


def _place(folder: Path) -> tuple[bool, str]:
    return folder.name != FIRST, folder.name


def _is_model(folder: Path) -> bool:
    return not folder.name.startswith(HIDDEN) and ((folder / CARD).is_file() or (folder / WEIGHTS).is_file())


def model_entries() -> list[Entry]:
    """Return all models, those that cannot be used with the reason.

    Only cards and the heads of weights are read: that weights are those of the card is known when they are loaded.
    """
    entries = [_entry(name, folder) for name, folder in model_folders().items()]
    # What is wrong may be so at this moment alone: another program deletes, renames or imports the model.
    again = [_entry(entry.name, entry.folder) if entry.problem else entry for entry in entries]
    return [entry for entry in again if not entry.problem or _is_model(entry.folder)]


def _entry(name: str, folder: Path) -> Entry:
    try:
        card = read_card(folder)
        _check_head(folder / WEIGHTS)
    except (ValueError, OSError) as error:
        return Entry(name, folder, None, str(error))
    return Entry(name, folder, card)


def list_models() -> list[ModelCard]:
    """Return the cards of all models that can be loaded, bundled and the user's own.

    A model that is damaged is left out here; :func:`model_entries` and :func:`load_model` tell what is wrong with it.

    Examples
    --------
    >>> "deblur-fast" in [card.name for card in list_models()]
    True
    """
    return [entry.card for entry in model_entries() if entry.card is not None]


def read_card(folder: Path) -> ModelCard:
    """Return the card of a model folder; in the list a model has the name of its folder."""
    if not (folder / CARD).is_file():
        raise ValueError(f"{folder}: no {CARD}, so this is no model folder")
    return _as_listed(ModelCard.read(folder / CARD), folder)


def _as_listed(card: ModelCard, folder: Path) -> ModelCard:
    listed = folder.parent in (models_folder(), BUNDLED)
    return card.model_copy(update={"name": folder.name}) if listed else card


def _check_head(path: Path) -> None:
    """Raise ValueError where weights are missing, cut off or something else."""
    _check_file(path)
    try:
        with safe_open(path, framework="numpy"):
            pass
    except OSError as error:
        raise _unreadable(path, error) from error
    except Exception as error:  # its own, and others where a type is unknown
        raise ValueError(f"{path}: {_no_tensors(error)}; {AGAIN}") from error


def _check_file(path: Path) -> None:
    """Raise ValueError where there is no file: a device or a pipe behind a link has no end."""
    if not path.is_file():
        raise ValueError(f"{path}: the weights cannot be read (there is no such file); {AGAIN}")


def _unreadable(path: Path, error: OSError) -> ValueError:
    return ValueError(f"{path}: the weights cannot be read ({error.strerror or 'there is no such file'}); {AGAIN}")


def _no_tensors(error: Exception) -> str:
    return f"not a safetensors file ({shortly(error, 200)})"


def tensors_in(content: bytes) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file by name; ValueError in one line where it is none."""
    try:
        return dict(load(content))
    except Exception as error:  # its own, and others where a type is unknown to torch
        raise ValueError(_no_tensors(error)) from error


# --- loading -----------------------------------------------------------------------------------------------


def load_model(name_or_folder: str | Path) -> Model:
    """Load a model by its name in the list or from its folder.

    Raises
    ------
    ValueError
        The model does not exist, its card or weights are damaged, or the weights are not those of the card; the
        message says which.
    """
    return load_folder(find_model(name_or_folder))


def find_model(name_or_folder: str | Path) -> Path:
    """Return the folder of a model."""
    folders = model_folders()
    if str(name_or_folder) in folders:
        return folders[str(name_or_folder)]
    folder = Path(name_or_folder)
    if folder.is_dir():
        return folder
    raise ValueError(
        f"no model {str(name_or_folder)!r}; there are {', '.join(folders) or 'none'}, or give a model folder"
    )


def load_folder(folder: Path) -> Model:
    """Load the model of a folder, as :func:`load_model`."""
    card = read_card(folder)
    path = folder / WEIGHTS
    _check_file(path)
    try:
        content = read_bounded(path)
    except OSError as error:
        raise _unreadable(path, error) from error
    sha256 = hashlib.sha256(content).hexdigest()
    if sha256 != card.weights_sha256:
        raise ValueError(
            f"{path}: hash {sha256[:12]} is not the {card.weights_sha256[:12] or '(none)'} of the card: the weights are "
            f"damaged or of another model; {AGAIN}"
        )
    try:
        state = tensors_in(content)
    except ValueError as error:
        raise ValueError(f"{path}: {error}; {AGAIN}") from error
    try:
        check_fits(card, state)  # before memory is taken: the card may ask for any size
        return Model(build(card, state), card, folder)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def build(card: ModelCard, state: Mapping[str, Tensor]) -> nn.Module:
    """Return the network of a card with these weights."""
    with _said_to_misfit(card):
        network = _untrained(card)
        network.load_state_dict(state)
    return network.eval().requires_grad_(False)


def check_fits(card: ModelCard, state: Mapping[str, Tensor]) -> None:
    """Raise ValueError where weights are not those of the card's network; it is drawn up without memory for its weights.

    For cards that came from elsewhere, which may ask for a network of any size.
    """
    large = {name: value for name, value in card.options.items() if isinstance(value, int) and value > LARGEST_OPTION}
    if large or max(card.in_channels, card.out_channels) > LARGEST_OPTION:
        raise ValueError(f"the card asks for {large or 'channels'} above {LARGEST_OPTION}; no network here is as large")
    with _said_to_misfit(card), torch.device("meta"):
        _untrained(card).load_state_dict(dict(state), assign=True)


def _untrained(card: ModelCard) -> nn.Module:
    # A file of weights that it started from says nothing any more: those of the model are all there.
    options = {name: value for name, value in card.options.items() if name != "weights"}
    return create_network(card.network, card.in_channels, card.out_channels, **options)


@contextmanager
def _said_to_misfit(card: ModelCard) -> Iterator[None]:
    try:
        yield
    except ValueError:
        raise
    except Exception as error:  # whatever options from elsewhere make of an architecture
        first = (str(error).strip() or type(error).__name__).splitlines()[-1]
        raise ValueError(
            f"the weights do not fit the network {card.network!r} of the card: {shortly(first, 200)}"
        ) from error


# --- saving ------------------------------------------------------------------------------------------------


def save_model(folder: Path, network: nn.Module, card: ModelCard) -> Model:
    """Write a model folder, whole or not at all, and return the model as loaded from it.

    The hash, the versions and nothing else of the card are filled in here. An existing folder is refused.
    """
    content = weights_of(network)
    card = card.model_copy(
        update={
            "weights_sha256": hashlib.sha256(content).hexdigest(),
            "versions": {"napari-cellrestore": version("napari-cellrestore"), "torch": torch.__version__},
        }
    )
    return write_model(Path(folder), content, card)


def weights_of(network: nn.Module) -> bytes:
    """Return the weights of a network as a safetensors file."""
    return bytes(save({key: value.detach().cpu().contiguous() for key, value in network.state_dict().items()}))


def write_model(folder: Path, weights: bytes, card: ModelCard) -> Model:
    """Write a model folder from its two contents; it appears under its name once it was loaded from what was written."""
    if folder.exists():
        raise _exists(folder)
    with unfinished_beside(folder) as unfinished:
        (unfinished / WEIGHTS).write_bytes(weights)
        (unfinished / CARD).write_text(card.to_json() + "\n", encoding="utf-8")
        try:
            model = load_folder(unfinished)
        except ValueError as error:  # the name that this folder has for a moment says nothing
            raise ValueError(str(error).removeprefix(f"{unfinished}{os.sep}")) from error
        move_model(unfinished, folder)
    return replace(model, folder=folder, card=_as_listed(card, folder))


@contextmanager
def unfinished_beside(path: Path) -> Iterator[Path]:
    """Make a hidden folder beside a path, of the same disk; what is still in it at the end goes with it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=HIDDEN, suffix=".unfinished", dir=path.parent))
    unfinished.chmod(0o755)
    try:
        yield unfinished
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def move_model(folder: Path, new: Path) -> None:
    """Rename a model folder; one that is there is never replaced, not even if it appears at this moment."""
    try:
        folder.rename(new)
    except OSError as error:
        if new.exists():
            raise _exists(new) from error
        if not folder.exists():
            raise ValueError(f"{folder}: is not there any more; another program renamed or deleted it") from error
        raise ValueError(
            f"{folder}: cannot be moved ({error.strerror}): another program may have it open, or the "
            "folder cannot be written; close what uses it"
        ) from error


def _exists(folder: Path) -> ValueError:
    return ValueError(f"{folder}: exists already; give another name or delete it first")
