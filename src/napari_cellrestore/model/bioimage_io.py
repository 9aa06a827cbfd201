"""A model as a package of bioimage.io, which other programs for microscopy run; tested by that project's own library.

The network learns and works in -1..1; a package takes and gives the grey levels of the card's ``input_range``, by linear
scaling before and behind. It has the weights twice: as a state of this program's network, and as TorchScript for programs
that do not have it. TorchScript is a program: packages of others are read only as far as they hold numbers.
"""

from __future__ import annotations

import hashlib
import re
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
from napari_cellrestore.model.folder import CARD, Model, build, check_fits, unfinished_beside, weights_of
from napari_cellrestore.model.foreign import state_of
from napari_cellrestore.model.words import facts, held_out
from napari_cellrestore.networks import COLOUR_MAPS, DECONVOLUTIONS, NETWORKS
from napari_cellrestore.plain import from_yaml, shortly

#: Names of the description in a package: since format 0.5, and before.
DESCRIPTIONS = ("bioimageio.yaml", "rdf.yaml")
LIBRARY, CALLABLE = "napari_cellrestore.networks", "create_network"
STATE, SCRIPT = "weights.pt", "weights-torchscript.pt"
#: What to cite of an architecture: first part of its name -> work and DOI.
SOURCES = {
    "pix2pix": ("Isola et al. 2017, Image-to-Image Translation with Conditional Adversarial Networks", "10.1109/CVPR.2017.632"),
    "rrdb": ("Wang et al. 2018, ESRGAN: Enhanced Super-Resolution Generative Adversarial Networks", "10.1007/978-3-030-11021-5_5"),
    "richardson": ("Richardson 1972, Bayesian-Based Iterative Method of Image Restoration", "10.1364/JOSA.62.000055"),
}  # fmt: skip
#: Mean difference of the outputs, in parts of the grey levels, that a package may have on another machine.
TOLERANCE = 1e-4


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
            spec.save_bioimageio_package_as_folder(_description(model.card, authors), output_path=package)
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
    middle, half = _middle_and_half(card)
    scaled = torch.from_numpy((grey - middle) / half)
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # torch announces the end of tracing
        torch.jit.trace(network, scaled, check_trace=False).save(str(folder / SCRIPT))  # type: ignore[no-untyped-call]
        restored = network(scaled).numpy() * half + middle
    np.save(folder / "test-input.npy", grey)
    np.save(folder / "test-output.npy", restored.astype(np.float32))
    (folder / CARD).write_text(card.to_json() + "\n", encoding="utf-8")
    (folder / "README.md").write_text(_documentation(card), encoding="utf-8")
    (folder / "environment.yaml").write_text(yaml.safe_dump(_environment()), encoding="utf-8")


def _middle_and_half(card: ModelCard) -> tuple[np.float32, np.float32]:
    """Return the grey level that the network knows as 0, and the distance from it to 1."""
    low, high = card.input_range
    return np.float32((low + high) / 2), np.float32((high - low) / 2)


def _smallest(card: ModelCard) -> int:
    """Return the smallest side of an image in a package: something must be left without the halo."""
    halo = _halo(card)
    return -(-(2 * halo + 1) // card.stride) * card.stride + card.stride


def _halo(card: ModelCard) -> int:
    return -(-card.halo_px // card.stride) * card.stride if card.tile_safe else 0


def _test_image(card: ModelCard) -> np.ndarray:
    """Return smooth noise over the grey levels, (1, C, Y, X)."""
    side, low, high = _smallest(card), *card.input_range
    rng = np.random.default_rng(0)
    coarse = rng.uniform(low, high, (1, card.in_channels, 8, 8))
    times = -(-side // 8)
    fine = np.kron(coarse, np.ones((1, 1, times, times)))[..., :side, :side]
    return np.asarray(np.clip(fine + rng.normal(0, (high - low) / 50, fine.shape), low, high), np.float32)


def _environment() -> dict[str, Any]:
    ours = [f"napari-cellrestore>={version('napari-cellrestore')}"]
    needed = ["python>=3.11", f"pytorch>={_torch_version()}", "pip", {"pip": ours}]
    return {"name": "cellrestore", "channels": ["conda-forge", "nodefaults"], "dependencies": needed}


def _torch_version() -> str:
    return torch.__version__.split("+")[0]


def _documentation(card: ModelCard) -> str:
    """Return the card in words: what it is for, what it must not be trusted with, how it was measured."""
    lines = [f"# {card.name}", "", card.summary, "", "## Limits", ""]
    lines += [f"- {text}" for text in card.limits] or ["The card states none: nobody wrote down what it is bad at."]
    lines += ["", "## Facts", "", "| | |", "|---|---|"]
    lines += [f"| {name} | {value or 'not stated'} |" for name, value in facts(card).items()]
    lines += ["", "## Validation", ""]
    for row in card.held_out:
        where, numbers = held_out(row)
        lines += [f"On {where}:", "", *(f"- {text}: {value}" for text, value in numbers.items()), ""]
    lines += [] if card.held_out else ["It was not measured on images kept out of its training.", ""]
    lines += ["Restored pixels are generated: compare them with sharp images of your own before you rely on them.", ""]
    return "\n".join(lines)


def _description(card: ModelCard, authors: Sequence[str]) -> Any:
    """Return the description of a package whose files lie in the folder of the validation context."""
    from bioimageio.spec.model import v0_5 as spec

    limits = " ".join(card.limits) or "Not stated."
    return spec.ModelDescr(
        name=_title(card),
        description=(card.summary or f"{card.name}: {card.task}")[:1024],
        authors=[spec.Author(name=name) for name in authors],
        cite=[spec.CiteEntry(text=text, doi=spec.Doi(doi)) for text, doi in _sources(card)],
        license=_licence(spec, card),
        documentation=spec.FileDescr(source="README.md"),
        attachments=[spec.FileDescr(source=CARD)],
        tags=["restoration", card.task, "napari-cellrestore", "2d", "pytorch"],
        inputs=[_input(spec, card)],
        outputs=[_output(spec, card)],
        weights=_weights(spec, card),
        config=spec.Config(
            bioimageio=spec.BioimageioConfig(
                reproducibility_tolerance=[
                    spec.ReproducibilityTolerance(relative_tolerance=1e-3, absolute_tolerance=_tolerance(card))
                ],
                bias_risks_limitations=spec.BiasRisksLimitations(limitations=limits),
            )
        ),
    )


def _title(card: ModelCard) -> str:
    """Return the name with what the format allows: ASCII letters, digits and a few signs, five at least."""
    name = re.sub(r"[^A-Za-z0-9_+\- ()]", "_", card.name)
    return name if len(name) >= 5 else f"{name} ({card.task})"


def _licence(spec: Any, card: ModelCard) -> str | None:
    """Return the licence where it is an SPDX identifier; others are only in the documentation."""
    try:
        return str(spec.LicenseId(card.licence))
    except ValueError:
        return None


def _sources(card: ModelCard) -> list[tuple[str, str]]:
    first = card.network.split("-")[0]
    return [SOURCES[first]] if first in SOURCES else []


def _tolerance(card: ModelCard) -> float:
    low, high = card.input_range
    return TOLERANCE * (high - low)


def _scaling(spec: Any, gain: float, offset: float) -> list[Any]:
    """Return the step ``gain * x + offset``, none where it would change nothing."""
    if (gain, offset) == (1.0, 0.0):
        return []
    return [spec.ScaleLinearDescr(kwargs=spec.ScaleLinearKwargs(gain=gain, offset=offset))]


def _grey_levels(spec: Any, card: ModelCard, *, bounded: bool) -> Any:
    levels = card.input_range if bounded else (None, None)
    return spec.IntervalOrRatioDataDescr(type="float32", range=levels)


def _channels(spec: Any, count: int) -> Any:
    names = ["red", "green", "blue"] if count == 3 else [f"channel{number}" for number in range(count)]
    return spec.ChannelAxis(channel_names=names)


def _calibration(card: ModelCard) -> dict[str, Any]:
    if not card.pixel_um:
        return {}
    # The library computes n * scale / scale and wants n again: with the digits of float32 that is exact.
    return {"unit": "micrometer", "scale": float(np.float32(card.pixel_um))}


def _input(spec: Any, card: ModelCard) -> Any:
    middle, half = map(float, _middle_and_half(card))
    size = spec.ParameterizedSize(min=_smallest(card), step=card.stride)
    space = [
        spec.SpaceInputAxis(id=name, size=size, concatenable=card.tile_safe, **_calibration(card))
        for name in ("y", "x")
    ]
    return spec.InputTensorDescr(
        id="input",
        axes=[spec.BatchAxis(), _channels(spec, card.in_channels), *space],
        data=_grey_levels(spec, card, bounded=True),
        preprocessing=_scaling(spec, 1 / half, -middle / half),
        test_tensor=spec.FileDescr(source="test-input.npy"),
    )


def _output(spec: Any, card: ModelCard) -> Any:
    middle, half = map(float, _middle_and_half(card))
    axis: Any = spec.SpaceOutputAxisWithHalo if _halo(card) else spec.SpaceOutputAxis
    halo = {"halo": _halo(card)} if _halo(card) else {}
    space = [
        axis(id=name, size=spec.SizeReference(tensor_id="input", axis_id=name), **halo, **_calibration(card))
        for name in ("y", "x")
    ]
    return spec.OutputTensorDescr(
        id="output",
        axes=[spec.BatchAxis(), _channels(spec, card.out_channels), *space],
        data=_grey_levels(spec, card, bounded=False),
        postprocessing=_scaling(spec, half, middle),
        test_tensor=spec.FileDescr(source="test-output.npy"),
    )


def _weights(spec: Any, card: ModelCard) -> Any:
    arguments = {"name": card.network, "in_channels": card.in_channels, "out_channels": card.out_channels}
    return spec.WeightsDescr(
        pytorch_state_dict=spec.PytorchStateDictWeightsDescr(
            source=STATE,
            pytorch_version=spec.Version(_torch_version()),
            architecture=spec.ArchitectureFromLibraryDescr(
                callable=CALLABLE, import_from=LIBRARY, kwargs={**arguments, **card.options}
            ),
            dependencies=spec.FileDescr(source="environment.yaml"),
        ),
        torchscript=spec.TorchscriptWeightsDescr(
            source=SCRIPT, pytorch_version=spec.Version(_torch_version()), parent="pytorch_state_dict"
        ),
    )


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
