"""The passes of a restoration: how often a network, or several, are asked for one piece of an image, and how differently."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from threading import local

import numpy as np
import torch
from torch import Tensor, nn

from napari_cellrestore.engine import Run, padded, runner
from napari_cellrestore.leds import LedTable
from napari_cellrestore.model import Model
from napari_cellrestore.spread import SYMMETRIES, WAYS, Symmetry, led_symmetries

Array = np.ndarray

#: Passes with other units dropped, unless asked for otherwise.
DROPOUT_PASSES = 16
_NOW = local()  # of this thread: the seed of the pass that runs


@dataclass(frozen=True)
class Passes:
    """Runs of one or several models on an image in -1..1; can be sent to another process.

    Parameters
    ----------
    runs : sequence of Run
        Of :func:`napari_cellrestore.engine.runner`: one, or one for each member.
    stride : int
        Sizes are multiples of this; of several models the least common multiple.
    way : str
        Of :data:`napari_cellrestore.spread.WAYS`.
    number : int
        Passes of dropout.
    seed : int
        Of dropout.
    symmetries : sequence of Symmetry
        Of the way "turned"; those of an LED array exchange planes.
    """

    runs: tuple[Run, ...]
    stride: int
    way: str = "once"
    number: int = 1
    seed: int = 0
    symmetries: tuple[Symmetry, ...] = SYMMETRIES

    def __iter__(self) -> Iterator[Run]:
        """Yield what to call with an image (Y, X, C), once for each pass."""
        (first, *_) = self.runs
        if self.way == "turned":
            # Extended to the stride before it is turned: tiles then begin at multiples of it in every direction.
            return (padded(partial(_run_turned, first, symmetry), self.stride) for symmetry in self.symmetries)
        if self.way == "dropout":
            return (partial(_run_seeded, first, 1009 * self.seed + number) for number in range(self.number))
        return iter(self.runs)


def passes_of(
    models: Sequence[Model],
    engine: str,
    device: str,
    precision: str = "float32",
    *,
    way: str,
    stride: int,
    number: int,
    seed: int | None,
) -> Passes:
    """Return the passes over models that :func:`check_way` let through."""
    if way == "dropout":
        (model,) = models
        models = [replace(model, network=with_seeded_dropout(model.network), runners={})]
    runs = tuple(runner(model, engine, device, precision) for model in models)
    return Passes(runs, stride, way, number, seed or 0, _symmetries(models[0]))


def check_way(models: Sequence[Model], way: str, number: int | None, seed: int) -> int:
    """Return the number of passes; ValueError where the models cannot be asked in this way."""
    if way not in WAYS:
        raise ValueError(f"no way {way!r} to restore; known are {', '.join(WAYS)}")
    if way != "members" and len(models) > 1:
        raise ValueError(f"{len(models)} models are given: the way 'members' takes several, {way!r} takes one")
    if number is not None and way != "dropout":
        raise ValueError(f"passes is {number}: only of dropout it can be chosen, {way!r} has as many as there are")
    if way == "members":
        _check_members(models)
    elif way == "dropout":
        return _check_dropout(models[0], number, seed)
    elif way == "turned":
        return _check_turned(models[0])
    return 1 if way == "once" else len(models)


def _symmetries(model: Model) -> tuple[Symmetry, ...]:
    """Return the turns that leave what the model takes alike: of an LED array few, and planes change places."""
    leds = model.card.leds
    return led_symmetries(LedTable(**leds)) if leds else SYMMETRIES


def _check_turned(model: Model) -> int:
    number = len(_symmetries(model))
    if number < 2:
        raise ValueError(
            f"no turn by quarters or mirror maps the LEDs of model {model.card.name!r} onto themselves: nothing can be turned"
        )
    return number


def _check_members(models: Sequence[Model]) -> None:
    cards = [model.card for model in models]
    names = ", ".join(repr(card.name) for card in cards)
    if len({card.weights_sha256 for card in cards}) < max(len(cards), 2):
        raise ValueError(f"members are {names or 'none'}: give two models or more, each once")
    for what, values in (
        ("do", [card.task for card in cards]),
        ("give channels", [str(card.out_channels) for card in cards]),
        ("take channels", [str(card.in_channels) for card in cards]),
    ):
        if len(set(values)) > 1:
            raise ValueError(f"members {names} {what} {', '.join(values)}: give models that {what} the same")


def _check_dropout(model: Model, number: int | None, seed: int) -> int:
    if not any(isinstance(part, _DROPOUTS) and part.p > 0 for part in model.network.modules()):
        raise ValueError(
            f"model {model.card.name!r} has no dropout: ask it turned, or ask several models of its task (members)"
        )
    number = DROPOUT_PASSES if number is None else number
    if isinstance(number, bool) or not isinstance(number, int) or number < 2:
        raise ValueError(f"passes is {number!r}: give a whole number, 2 or more")
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise ValueError(f"seed is {seed!r}: give a whole number, 0 or more")
    return number


def _run_turned(run: Run, symmetry: Symmetry, image: Array) -> Array:
    return symmetry.back(run(np.ascontiguousarray(_turned(symmetry, image))))


def _turned(symmetry: Symmetry, image: Array) -> Array:
    """Return an image (Y, X, channels) turned; planes that lie along its channels change places where their LEDs do."""
    if symmetry.planes is None:
        return symmetry.turn(image)
    planes = np.stack(np.split(image, len(symmetry.planes), axis=-1))
    return np.concatenate(list(symmetry.turn(planes)), axis=-1)


def _run_seeded(run: Run, seed: int, image: Array) -> Array:
    _NOW.seed = seed
    return run(image)


# --- dropout ---------------------------------------------------------------------------------------------------

_DROPOUTS = (nn.Dropout, nn.Dropout2d)


class _SeededDropout(nn.Module):
    """Dropout whose mask depends on the pass, the layer and the size alone: torch's own takes what other threads leave."""

    def __init__(self, part: nn.Dropout | nn.Dropout2d, layer: int) -> None:
        super().__init__()
        self.probability, self.whole_channels, self.layer = float(part.p), isinstance(part, nn.Dropout2d), layer

    def forward(self, values: Tensor) -> Tensor:
        """Drop units, or whole channels, and scale up the others."""
        generator = torch.Generator().manual_seed(65_537 * _NOW.seed + self.layer)
        shape = (*values.shape[:2], 1, 1) if self.whole_channels else values.shape
        kept = torch.rand(shape, generator=generator) >= self.probability
        return values * kept.to(values) / (1 - self.probability)


def with_seeded_dropout(network: nn.Module) -> nn.Module:
    """Return a copy of a network in evaluation mode but for its dropout layers, which drop by a given seed."""
    network = deepcopy(network).eval()
    layers = [(name, part) for name, part in network.named_modules() if isinstance(part, _DROPOUTS) and part.p > 0]
    for layer, (name, part) in enumerate(layers):
        home, _, last = name.rpartition(".")
        setattr(network.get_submodule(home), last, _SeededDropout(part, layer))
    return network
