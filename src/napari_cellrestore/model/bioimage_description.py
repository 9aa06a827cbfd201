"""What a package of bioimage.io says of its model: the description that programs read, and the documentation for people."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from napari_cellrestore.card import ModelCard
from napari_cellrestore.model.folder import CARD
from napari_cellrestore.model.words import facts, held_out

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


def description(card: ModelCard, authors: Sequence[str]) -> Any:
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
    low, high = output_range(card)
    return TOLERANCE * (high - low)


def scalings(spec: Any, card: ModelCard) -> tuple[list[Any], list[Any]]:
    """Return the steps before and behind the network: grey levels of the input to -1..1, and -1..1 to those of the result."""
    (middle, half), (middle_out, half_out) = (
        map(float, middle_and_half(levels)) for levels in (card.input_range, output_range(card))
    )
    return _scaling(spec, 1 / half, -middle / half), _scaling(spec, half_out, middle_out)


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
    size = spec.ParameterizedSize(min=smallest_px(card), step=card.stride)
    space = [
        spec.SpaceInputAxis(id=name, size=size, concatenable=card.tile_safe, **_calibration(card))
        for name in ("y", "x")
    ]
    return spec.InputTensorDescr(
        id="input",
        axes=[spec.BatchAxis(), _channels(spec, card.in_channels), *space],
        data=_grey_levels(spec, card, bounded=True),
        preprocessing=scalings(spec, card)[0],
        test_tensor=spec.FileDescr(source="test-input.npy"),
    )


def _output(spec: Any, card: ModelCard) -> Any:
    axis: Any = spec.SpaceOutputAxisWithHalo if _halo_px(card) else spec.SpaceOutputAxis
    halo = {"halo": _halo_px(card)} if _halo_px(card) else {}
    space = [
        axis(id=name, size=spec.SizeReference(tensor_id="input", axis_id=name), **halo, **_calibration(card))
        for name in ("y", "x")
    ]
    return spec.OutputTensorDescr(
        id="output",
        axes=[spec.BatchAxis(), _channels(spec, card.out_channels), *space],
        data=_grey_levels(spec, card, bounded=False),
        postprocessing=scalings(spec, card)[1],
        test_tensor=spec.FileDescr(source="test-output.npy"),
    )


def _weights(spec: Any, card: ModelCard) -> Any:
    arguments = {"name": card.network, "in_channels": card.in_channels, "out_channels": card.out_channels}
    return spec.WeightsDescr(
        pytorch_state_dict=spec.PytorchStateDictWeightsDescr(
            source=STATE,
            pytorch_version=spec.Version(torch_version()),
            architecture=spec.ArchitectureFromLibraryDescr(
                callable=CALLABLE, import_from=LIBRARY, kwargs={**arguments, **card.options}
            ),
            dependencies=spec.FileDescr(source="environment.yaml"),
        ),
        torchscript=spec.TorchscriptWeightsDescr(
            source=SCRIPT, pytorch_version=spec.Version(torch_version()), parent="pytorch_state_dict"
        ),
    )


def documentation(card: ModelCard) -> str:
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


def output_range(card: ModelCard) -> tuple[float, float]:
    """Return the grey levels of the result for -1 and 1: those of the input where the card states no others."""
    return card.output_range or card.input_range


def middle_and_half(levels: tuple[float, float]) -> tuple[np.float32, np.float32]:
    """Return the grey level that the network knows as 0, and the distance from it to 1."""
    low, high = levels
    return np.float32((low + high) / 2), np.float32((high - low) / 2)


def smallest_px(card: ModelCard) -> int:
    """Return the smallest side of an image in a package: something must be left without the halo."""
    halo = _halo_px(card)
    return -(-(2 * halo + 1) // card.stride) * card.stride + card.stride


def _halo_px(card: ModelCard) -> int:
    return -(-card.halo_px // card.stride) * card.stride if card.tile_safe else 0


def torch_version() -> str:
    """Return the version without what it was built for."""
    return torch.__version__.split("+")[0]
