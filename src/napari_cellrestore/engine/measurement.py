"""How fast the engines run a model on this machine, and how far they are off: measured, and kept for the next time."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Collection, Iterator
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from math import sqrt
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict
from scipy.ndimage import zoom

from napari_cellrestore.card import ModelCard
from napari_cellrestore.engine.machine import (
    ENGINES,
    PRECISIONS,
    available_engines,
    cache_folder,
    check_device,
    has_bfloat16,
    processor_name,
)
from napari_cellrestore.engine.runners import Runner
from napari_cellrestore.model import Model
from napari_cellrestore.tiling import round_up

Array = np.ndarray
log = logging.getLogger(__name__)

#: Side of the image that is timed, that of a tile; less where one run would take longer than :data:`RUN_S`.
SIDE_PX = 512
RUN_S = 1.0
#: Time for all runs together; to make the engines ready comes on top.
BUDGET_S = 12.0
#: Runs of each engine at most.
RUNS = 9
#: Grey levels of 255 for 1 in the network's units.
LEVELS = 127.5


class Timing(BaseModel):
    """One engine in one precision."""

    model_config = ConfigDict(frozen=True)

    engine: str
    precision: str
    ready_s: float  # to make it ready
    s_per_mpx: float  # to run a million pixels
    error: float  # grey levels of 255 that 99.9 % of pixels are within, of what torch gives in float32

    def seconds(self, megapixels: float) -> float:
        """Return the time that so many pixels take, making ready counted in."""
        return self.ready_s + self.s_per_mpx * megapixels

    def __str__(self) -> str:
        return f"{self.engine} {self.precision}"


class Measurement(BaseModel):
    """All engines that ran, of one model on one machine."""

    model_config = ConfigDict(frozen=True)

    facts: dict[str, str]
    side_px: int
    timings: tuple[Timing, ...]


# --- measuring -------------------------------------------------------------------------------------------------


def measure(
    model: Model, device: str = "auto", *, engines: Collection[str] = ENGINES, budget_s: float = BUDGET_S
) -> Measurement:
    """Time engines that there are, in turn, on one image of the size of a tile, and keep what was found.

    Of each: the time to make it ready, the median time of a run, and how far it is off torch in float32. An engine that
    fails here is left out and the log says why.

    Parameters
    ----------
    model : Model
    device : str
        "auto" or a name.
    engines : collection of str
        Of those that there are; torch is always among them.
    budget_s : float
        Time for all runs together, of each two at least; to make the engines ready comes on top.

    Returns
    -------
    Measurement
    """
    device = check_device(device)
    image = probe_image(_side(model, device), model.card.in_channels)
    first = _first_runs(model, device, engines, image)
    times = _in_turn({key: run for key, (run, _, _) in first.items()}, image, budget_s)
    _, _, reference = first["torch", "float32"]
    timings = []
    for (engine, precision), (_, seconds, output) in first.items():
        usual = median(times[engine, precision])
        timings.append(
            Timing(
                engine=engine,
                precision=precision,
                ready_s=max(seconds - usual, 0),
                s_per_mpx=usual / (len(image) ** 2 / 1e6),
                error=difference(output, reference),
            )
        )
    found = Measurement(facts=_facts(model.card, device), side_px=len(image), timings=tuple(timings))
    _keep(found)
    return found


def _first_runs(
    model: Model, device: str, engines: Collection[str], image: Array
) -> dict[tuple[str, str], tuple[Runner, float, Array]]:
    """Return runner, seconds and output of the first run of each engine and precision, in which it is made ready."""
    first = {}
    for engine, precision in candidates(device):
        if engine not in ("torch", *engines):
            continue
        run = Runner(model, engine, device, precision)
        try:
            first[engine, precision] = (run, *_timed(run, image))
        except Exception as error:  # of libraries of others, on a machine that nobody has seen
            if (engine, precision) == ("torch", "float32"):
                raise
            log.warning("%s %s cannot run %s: %s", engine, precision, model.card.name, error)
    return first


def _in_turn(runs: dict[tuple[str, str], Runner], image: Array, budget_s: float) -> dict[tuple[str, str], list[float]]:
    """Return the seconds of the runs of each, until the time is over."""
    times: dict[tuple[str, str], list[float]] = {key: [] for key in runs}
    ends = perf_counter() + budget_s
    for number in range(RUNS):
        if number > 1 and perf_counter() > ends:
            break
        for key, run in runs.items():
            times[key].append(_timed(run, image)[0])
    return times


def candidates(device: str) -> Iterator[tuple[str, str]]:
    """Yield what can be chosen from on a device: engine and precision."""
    for engine, said in available_engines().items():
        if "not installed" not in said and (engine == "torch" or device == "cpu"):
            yield from ((engine, one) for one in PRECISIONS if one == "float32" or has_bfloat16(engine, device))


def difference(ours: Array, reference: Array) -> float:
    """Return the grey levels, of 255, that 99.9 % of the values differ by at most."""
    return float(np.percentile(np.abs(ours - reference), 99.9)) * LEVELS


def bfloat16_error(model: Model, engine: str, device: str) -> float:
    """Return the :func:`difference` that bfloat16 makes, from the runs of one tile or from what was kept."""
    kept = known(model.card, device)
    for one in kept.timings if kept else ():
        if (one.engine, one.precision) == (engine, "bfloat16"):
            return one.error
    key = model.card.weights_sha256, engine, device
    if key not in _ERRORS:
        image = probe_image(_side(model, device), model.card.in_channels)
        ours, reference = (Runner(model, *how)(image) for how in ((engine, device, "bfloat16"), ("torch", device)))
        _ERRORS[key] = difference(ours, reference)
    return _ERRORS[key]


def seconds_per_mpx(model: Model, device: str) -> float:
    """Return about how long torch takes for a million pixels, from one run of a small image."""
    key = model.card.weights_sha256, device
    if key not in _RATES:
        side = round_up(128, model.card.stride)
        run, image = Runner(model, "torch", device), probe_image(side, model.card.in_channels)
        run(image)
        _RATES[key] = _timed(run, image)[0] / (side**2 / 1e6)
    return _RATES[key]


def probe_image(side: int, channels: int) -> Array:
    """Return an image (side, side, channels) in -1..1 with large and small structures and noise; always the same."""
    rng = np.random.default_rng(0)
    image = rng.normal(0, 0.02, (side, side, channels)).astype(np.float32)
    for size, strength in ((64, 0.6), (8, 0.3)):
        coarse = rng.uniform(-strength, strength, (side // size + 2,) * 2 + (channels,)).astype(np.float32)
        image += zoom(coarse, (size, size, 1), order=1)[:side, :side]
    return np.clip(image, -1, 1)


def _side(model: Model, device: str) -> int:
    """Return the side of the image that is timed: of a tile, unless that takes long."""
    of_tile = seconds_per_mpx(model, device) * SIDE_PX**2 / 1e6
    smaller = SIDE_PX * min(sqrt(RUN_S / of_tile), 1)
    return max(int(smaller) // model.card.stride * model.card.stride, round_up(64, model.card.stride))


def _timed(run: Runner, image: Array) -> tuple[float, Array]:
    started = perf_counter()
    output = run(image)
    return perf_counter() - started, output


# --- what is kept ----------------------------------------------------------------------------------------------

# Of this process, also where the folder cannot be written.
_HELD: dict[Path, Measurement] = {}
_RATES: dict[tuple[str, str], float] = {}
_ERRORS: dict[tuple[str, str, str], float] = {}


def known(card: ModelCard, device: str = "auto") -> Measurement | None:
    """Return what was measured of a model on this machine with these versions of the engines; None if nothing was."""
    path = _path(facts := _facts(card, check_device(device)))
    if path not in _HELD:
        try:
            found = Measurement.model_validate_json(path.read_bytes())
        except (OSError, ValueError):  # none, or one that another program or version left
            return None
        if found.facts != facts:
            return None
        _HELD[path] = found
    return _HELD[path]


def _keep(found: Measurement) -> None:
    path = _path(found.facts)
    _HELD[path] = found
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_text(found.model_dump_json(indent=1) + "\n", encoding="utf-8")
        os.replace(unfinished, path)
    except OSError as error:
        log.info("what was measured is not kept: %s", error)
        with suppress(OSError):
            unfinished.unlink()


def _path(facts: dict[str, str]) -> Path:
    name = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:20]
    return cache_folder() / "engines" / f"{name}.json"


def _facts(card: ModelCard, device: str) -> dict[str, str]:
    """Return all that a measurement depends on."""
    return {"weights_sha256": card.weights_sha256, **_of_machine(device), "threads": str(torch.get_num_threads())}


@cache
def _of_machine(device: str) -> dict[str, str]:
    packages = ("napari-cellrestore", "torch", "openvino")
    return {"device": device, "processor": processor_name(device), **{name: _version(name) for name in packages}}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
