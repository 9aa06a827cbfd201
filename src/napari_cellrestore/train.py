"""Training: one loop that can be read in one sitting."""

from __future__ import annotations

import csv
import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from napari_cellrestore.losses import weighted
from napari_cellrestore.networks import create_network
from napari_cellrestore.optimiser import Optimiser
from napari_cellrestore.pairs import Pairs
from napari_cellrestore.recipe import Recipe

Preview = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Progress:
    """What a training step tells: losses of this step, time left, now and then a preview.

    ``preview`` is (input, output, target) of one validation image in grey levels, (Y, X, C) float32.
    """

    step: int
    steps: int
    losses: dict[str, float]
    seconds_left: float
    waiting: float
    preview: Preview | None = None


def train(
    recipe: Recipe,
    pairs: Pairs,
    folder: str | Path,
    *,
    steps: int | None = None,
    resume: bool = False,
    device: str = "auto",
) -> Iterator[Progress]:
    """Train a network and yield the progress of every step.

    The state is saved to ``folder/checkpoint.safetensors`` whole or not at all; the same seed on the same machine
    gives the same losses whether or not the run was interrupted and resumed. Take the result with
    :func:`trained_network`.

    Parameters
    ----------
    recipe : Recipe
        What to train and how.
    pairs : Pairs
        Where crops come from; grey levels 0..255 are the network's -1..1.
    folder : path
        Of this run: recipe, checkpoint, losses.csv.
    steps : int, optional
        Instead of the recipe's (the schedule is fitted to it).
    resume : bool
        Go on from the checkpoint in ``folder``. Without it a folder that holds one is refused.
    device : str
        ``"auto"`` takes a GPU when there is one.

    Yields
    ------
    Progress
    """
    folder = Path(folder)
    steps = steps or recipe.steps
    device = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    checkpoint = folder / "checkpoint.safetensors"
    if checkpoint.exists() and not resume:
        raise ValueError(f"{folder}: holds a training run; resume it or give another folder")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "recipe.yaml").write_text(recipe.to_yaml(), encoding="utf-8")

    torch.manual_seed(recipe.seed)
    network = create_network(recipe.network, **recipe.options).to(device)
    average = deepcopy(network).eval()
    optimiser = Optimiser(network, recipe)
    loss_of = weighted(recipe.losses)
    first = _load(checkpoint, network, average, optimiser) if resume and checkpoint.exists() else 0
    started, waited = time.monotonic(), 0.0

    with _Batches(recipe, pairs, first, steps) as batches, _LossLog(folder / "losses.csv", first) as log:
        for step, (blurred, sharp) in batches:
            waited = batches.waited
            # forward, backward, step
            network.train()
            output = network(blurred.to(device))
            loss, parts = loss_of(output, sharp.to(device))
            if not torch.isfinite(loss):
                raise ValueError(
                    f"the loss is {float(loss.detach())} at step {step}: the state of the last checkpoint is kept; "
                    "resume with a lower learning rate"
                )
            torch.autograd.backward(loss)
            if recipe.gradient_limit:
                nn.utils.clip_grad_norm_(network.parameters(), recipe.gradient_limit)
            optimiser.step(schedule(step / steps, recipe.schedule))

            # moving average of the weights: what is kept as the model
            _follow(average, network, min(recipe.average, step / (step + 10)))

            # tell, save
            done = step + 1
            last = done == steps
            save_now = last or done % recipe.checkpoint_every == 0
            losses = {"loss": float(loss.detach()), **{name: float(part.detach()) for name, part in parts.items()}}
            log.write(done, losses)
            if save_now:
                _save(checkpoint, done, network, average, optimiser)
            elapsed = time.monotonic() - started
            yield Progress(
                done,
                steps,
                losses,
                seconds_left=elapsed / (done - first) * (steps - done),
                waiting=waited / elapsed,
                preview=_preview(average, pairs, device) if save_now else None,
            )


def trained_network(folder: str | Path, recipe: Recipe) -> tuple[nn.Module, int]:
    """Return the network of a run's last checkpoint (moving average of the weights) and its step."""
    checkpoint = Path(folder) / "checkpoint.safetensors"
    if not checkpoint.exists():
        raise ValueError(f"{folder}: no checkpoint, so nothing was trained here yet")
    network = create_network(recipe.network, **recipe.options)
    step = _load(checkpoint, None, network, None)
    return network.eval(), step


def schedule(fraction: float, kind: str) -> float:
    """Return the learning rate at a fraction of the run, in units of the recipe's.

    ``one-cycle``: rises over the first tenth, then falls as a half cosine to a thousandth.

    Examples
    --------
    >>> [round(schedule(f, "one-cycle"), 3) for f in (0, 0.1, 0.55, 1)]
    [0.04, 1.0, 0.5, 0.001]
    """
    if kind == "constant":
        return 1.0
    if fraction < 0.1:
        return 0.04 + 0.96 * fraction / 0.1
    return 0.001 + 0.999 * (0.5 + 0.5 * float(np.cos(np.pi * (fraction - 0.1) / 0.9)))


def to_tensor(images: np.ndarray | list[np.ndarray]) -> Tensor:
    """Turn grey levels 0..255, (N, Y, X, C), into the network's (N, C, Y, X) in -1..1."""
    nchw = torch.from_numpy(np.ascontiguousarray(np.asarray(images, np.float32))).permute(0, 3, 1, 2)
    return (nchw / 127.5 - 1).contiguous(memory_format=torch.channels_last)


class _Batches:
    """Batches of one step after another, made ahead in a thread; each depends on seed and step alone."""

    AHEAD = 4

    def __init__(self, recipe: Recipe, pairs: Pairs, first: int, steps: int) -> None:
        self._recipe, self._pairs = recipe, pairs
        self._steps = range(first, steps)
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="pairs")
        self.waited = 0.0

    def __enter__(self) -> _Batches:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def __iter__(self) -> Iterator[tuple[int, tuple[Tensor, Tensor]]]:
        queue: list[Future[tuple[Tensor, Tensor]]] = []
        ahead = iter(self._steps)
        for step in self._steps:
            while len(queue) < self.AHEAD and (following := next(ahead, None)) is not None:
                queue.append(self._pool.submit(self._make, following))
            before = time.monotonic()
            batch = queue.pop(0).result()
            self.waited += time.monotonic() - before
            yield step, batch

    def _make(self, step: int) -> tuple[Tensor, Tensor]:
        rng = np.random.default_rng([self._recipe.seed, step])
        crops = [self._pairs.crop(rng, self._recipe.crop_px) for _ in range(self._recipe.batch)]
        blurred, sharp = zip(*crops, strict=True)
        return to_tensor(list(blurred)), to_tensor(list(sharp))


class _LossLog:
    """``losses.csv``, a row a step; rows after the step that a run goes on from are dropped."""

    def __init__(self, path: Path, first: int) -> None:
        rows = path.read_text(encoding="utf-8").splitlines()[: first + 1] if first and path.exists() else []
        self._file = path.open("w", newline="", encoding="utf-8")
        self._file.writelines(row + "\n" for row in rows)
        self._writer = csv.writer(self._file, lineterminator="\n")
        self._empty = not rows

    def __enter__(self) -> _LossLog:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, step: int, losses: dict[str, float]) -> None:
        if self._empty:
            self._writer.writerow(["step", *losses])
            self._empty = False
        self._writer.writerow([step, *(f"{value:.6g}" for value in losses.values())])


@torch.no_grad()
def _follow(average: nn.Module, network: nn.Module, keep: float) -> None:
    torch._foreach_lerp_(list(average.parameters()), list(network.parameters()), 1 - keep)
    for ours, theirs in zip(average.buffers(), network.buffers(), strict=True):
        ours.copy_(theirs)


@torch.no_grad()
def _preview(network: nn.Module, pairs: Pairs, device: str) -> Preview | None:
    validation = pairs.validation()
    if not validation:
        return None
    blurred, sharp = validation[0]
    output = network(to_tensor([blurred]).to(device))[0].permute(1, 2, 0).cpu().numpy() * 127.5 + 127.5
    return blurred, output, sharp


def _save(path: Path, step: int, network: nn.Module, average: nn.Module, optimiser: Optimiser) -> None:
    """Write the state beside the old one, then put it in its place."""
    tensors = {f"network.{key}": value for key, value in network.state_dict().items()}
    tensors |= {f"average.{key}": value for key, value in average.state_dict().items()}
    tensors |= {f"optimiser.{key}": value for key, value in optimiser.tensors().items()}
    tensors["random"] = torch.get_rng_state()
    unfinished = path.with_suffix(".unfinished")
    save_file({k: v.detach().cpu().contiguous() for k, v in tensors.items()}, unfinished, {"step": json.dumps(step)})
    os.replace(unfinished, path)


def _load(path: Path, network: nn.Module | None, average: nn.Module, optimiser: Optimiser | None) -> int:
    """Read a checkpoint into what is given and return its step."""
    with safe_open(path, framework="pt") as file:
        step = int(json.loads(file.metadata()["step"]))
        tensors = {key: file.get_tensor(key) for key in file.keys()}

    def part(prefix: str) -> dict[str, Tensor]:
        return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}

    average.load_state_dict(part("average."))
    if network is not None:
        network.load_state_dict(part("network."))
    if optimiser is not None:
        optimiser.load(part("optimiser."))
        torch.set_rng_state(tensors["random"])
    return step
