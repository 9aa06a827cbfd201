"""A model as a package of bioimage.io, which other programs for microscopy run; tested by that project's own library.

The network learns and works in -1..1; a package takes the grey levels of the card's ``input_range`` and gives those of its
``output_range``, by linear scaling before and behind. It has the weights twice: as a state of this program's network, and as
TorchScript for programs that do not have it. TorchScript is a program: packages of others are read only as far as they hold
numbers.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from pydantic import ValidationError

from napari_cellrestore.card import ModelCard
from napari_cellrestore.model.archive import TEXT_BYTES, WEIGHTS_BYTES, Archive, write_new, write_zip
from napari_cellrestore.model.bioimage_description import (
    CALLABLE,
    LIBRARY,
    SCRIPT,
    STATE,
    description,
    documentation,
    middle_and_half,
    output_range,
    smallest_px,
    torch_version,
)
from napari_cellrestore.model.folder import CARD, Model, build, check_fits, unfinished_beside, weights_of
from napari_cellrestore.model.foreign import state_of
from napari_cellrestore.networks import COLOUR_MAPS, DECONVOLUTIONS, NETWORKS
from napari_cellrestore.plain import from_yaml, shortly

#: Names of the description in a package: since format 0.5, and before.
DESCRIPTIONS = ("bioimageio.yaml", "rdf.yaml")


# --- export ------------------------------------------------------------------------------------------------


def write_package(path: Path, model: Model, *, authors: Sequence[str] = ()) -> Path:
    """Write a package of bioimage.io to a new file, and have it tested by ``bioimageio.core``.

    Parameters
    ----------
    path : Path
    model : Model
    authors : sequence of str
        Who made the model; asked for by the collection on bioimage.io, not by programs.

    Raises
    ------
    ValueError
        The extra ``bioimageio`` is not installed, or the library finds something wrong with the package: it is not written.
    """
    spec = _library()
    with unfinished_beside(path) as folder:
        made, package = folder / "made", folder / "package"
        made.mkdir()
        _write_files(made, model)
        with _said_in_a_line(path), spec.ValidationContext(root=made, log_warnings=False):
            spec.save_bioimageio_package_as_folder(description(model.card, authors), output_path=package)
        check_package(package / next(name for name in DESCRIPTIONS if (package / name).is_file()))
        contents = {each.name: each.read_bytes() for each in sorted(package.iterdir())}
        return write_new(path, lambda unfinished: write_zip(unfinished, contents))


@contextmanager
def _said_in_a_line(path: Path) -> Iterator[None]:
    """Say in a line, with the versions, what the library finds wrong while it makes a package."""
    try:
        yield
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        versions = ", ".join(f"{name} {version(name)}" for name in ("bioimageio.spec", "pydantic"))
        raise ValueError(
            f"{path}: the description of the package is refused by {versions}: {first['msg']}; install the versions of "
            "'napari-cellrestore[bioimageio]'"
        ) from error


def check_package(path: Path) -> None:
    """Raise ValueError where the test of the library ``bioimageio.core`` finds an error in a package.

    It is that of a folder, named by its description: of a zip file the library would keep hold.
    """
    _library()
    from bioimageio.core import test_description

    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch, that TorchScript will end, and of optional libraries
        summary = test_description(path, devices=["cpu"])
    if summary.status != "passed":
        errors = [f"{'.'.join(map(str, error.loc))}: {error.msg}" for each in summary.details for error in each.errors]
        said = " ".join("; ".join(errors).split())
        raise ValueError(f"{path}: the package does not pass the test of bioimageio.core: {said[:500]}")


def _library() -> Any:
    try:
        import bioimageio.core
        import bioimageio.spec
    except ImportError as error:
        raise ValueError(
            f"packages of bioimage.io need a library that is not here ({error}): pip install 'napari-cellrestore[bioimageio]'"
        ) from error
    return bioimageio.spec


def _write_files(folder: Path, model: Model) -> None:
    """Write everything of a package but its description."""
    card, network = model.card, deepcopy(model.network).cpu()
    torch.save({key: value.clone() for key, value in network.state_dict().items()}, folder / STATE)
    grey = _test_image(card)
    middle, half = middle_and_half(card.input_range)
    scaled = torch.from_numpy((grey - middle) / half)
    middle, half = middle_and_half(output_range(card))
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # torch announces the end of tracing
        torch.jit.trace(network, scaled, check_trace=False).save(str(folder / SCRIPT))  # type: ignore[no-untyped-call]
        restored = network(scaled).numpy() * half + middle
    np.save(folder / "test-input.npy", grey)
    np.save(folder / "test-output.npy", restored.astype(np.float32))
    (folder / CARD).write_text(card.to_json() + "\n", encoding="utf-8")
    (folder / "README.md").write_text(documentation(card), encoding="utf-8")
    (folder / "environment.yaml").write_text(yaml.safe_dump(_environment()), encoding="utf-8")


def _test_image(card: ModelCard) -> np.ndarray:
    """Return smooth noise over the grey levels, (1, C, Y, X)."""
    side, low, high = smallest_px(card), *card.input_range
    rng = np.random.default_rng(0)
    coarse = rng.uniform(low, high, (1, card.in_channels, 8, 8))
    times = -(-side // 8)
    fine = np.kron(coarse, np.ones((1, 1, times, times)))[..., :side, :side]
    return np.asarray(np.clip(fine + rng.normal(0, (high - low) / 50, fine.shape), low, high), np.float32)


def _environment() -> dict[str, Any]:
    ours = [f"napari-cellrestore>={version('napari-cellrestore')}"]
    needed = ["python>=3.11", f"pytorch>={torch_version()}", "pip", {"pip": ours}]
    return {"name": "cellrestore", "channels": ["conda-forge", "nodefaults"], "dependencies": needed}


# --- import ------------------------------------------------------------------------------------------------


def is_package(archive: Archive) -> bool:
    """Whether an archive is a package of bioimage.io."""
    return any(name in archive.names for name in DESCRIPTIONS)


def read_package(archive: Archive) -> tuple[ModelCard, bytes]:
    """Return card and weights of a package whose network is one of this program's; the library is not needed.

    Nothing of a package is run: TorchScript, and architectures that come as Python files, are programs.

    Raises
    ------
    ValueError
        The package is of another network, or damaged; the message says which.
    """
    path, entry = archive.path, _state_entry(archive)
    source, said = str(entry.get("source")), entry.get("sha256")
    content = archive.read(source, WEIGHTS_BYTES)
    if said is not None and hashlib.sha256(content).hexdigest() != said:
        raise ValueError(
            f"{path}: {shortly(source)} is not what was written, its hash differs; copy or download it again"
        )
    try:
        card = ModelCard.from_json(archive.read(CARD).decode("utf-8"))
        state = state_of(Path(shortly(source)), content)
        check_fits(card, state)
        weights = weights_of(build(card, state))
    except ValueError as error:
        raise ValueError(f"{path}: {str(error).removeprefix(f'{path}: ')}") from error
    return card.model_copy(update={"weights_sha256": hashlib.sha256(weights).hexdigest()}), weights


def _state_entry(archive: Archive) -> dict[str, Any]:
    """Return what the description says of the weights of a network of this program."""
    weights = _within(_read_description(archive), "weights")
    entry = _within(weights, "pytorch_state_dict")
    architecture = _within(entry, "architecture")
    if (architecture.get("import_from"), architecture.get("callable")) == (LIBRARY, CALLABLE) and CARD in archive.names:
        return entry
    kinds = shortly(", ".join(map(str, weights)), 200) or "no weights"
    known = ", ".join(NETWORKS | DECONVOLUTIONS | COLOUR_MAPS)
    raise ValueError(
        f"{archive.path}: its network ({kinds}) is not one of this program ({known}), and comes as a program, which is not run "
        "here; run it in a program for bioimage.io models, such as the bioimageio.core command line"
    )


def _read_description(archive: Archive) -> Any:
    name = next(name for name in DESCRIPTIONS if name in archive.names)
    content = archive.read(name, TEXT_BYTES // 16)
    try:
        return from_yaml(content)
    except ValueError as error:
        raise ValueError(f"{archive.path}: {name} is not YAML; copy or download it again") from error


def _within(table: Any, name: str) -> dict[str, Any]:
    """Return a table within a table, empty where it is something else."""
    found = table.get(name) if isinstance(table, dict) else None
    return found if isinstance(found, dict) else {}
