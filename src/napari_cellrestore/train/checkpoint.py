"""The state of a run on disk: whole or not at all."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from itertools import zip_longest
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from napari_cellrestore.networks import create_network
from napari_cellrestore.pairs import Split
from napari_cellrestore.pairs.split import SETS
from napari_cellrestore.recipe import Recipe
from napari_cellrestore.train.learner import DivergedError, Learner
from napari_cellrestore.train.standing import Standing

#: The state of a run, and what it was begun with.
CHECKPOINT, RECIPE = "checkpoint.safetensors", "recipe.yaml"
#: Fields of a recipe that may be others when a run is gone on with.
_MAY_CHANGE = {"steps", "images", "learning_rate", "muon_rate"}
#: Where an image may be.
_IN: dict[str | None, str] = {
    "train": "in training",
    "validation": "in validation",
    "test": "in the test",
    None: "not there",
}
#: What systems leave in folders, and what a run leaves that was killed as it began.
_NOT_OF_A_RUN = {".DS_Store", "Thumbs.db", "desktop.ini", "recipe.unfinished"}


def check_run_folder(folder: str | Path) -> None:
    """Raise ValueError where no run can be begun or gone on with: a file, or a folder that holds other things."""
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder}: is a file; give a folder for the run")
    found = sorted(path.name for path in folder.iterdir() if path.name not in _NOT_OF_A_RUN) if folder.is_dir() else []
    if found and not {CHECKPOINT, RECIPE}.intersection(found):
        some = ", ".join(found[:3]) + (", …" if len(found) > 3 else "")
        raise ValueError(f"{folder}: holds other things than a run ({some}); give a new folder for the run")


class Checkpoint:
    """Where a run keeps its state, and what is to be known of its images (:func:`~napari_cellrestore.pairs.images_known`).

    ``checkpoint.safetensors`` holds networks, critics, optimisers, moving average, the best so far and the random state.
    """

    def __init__(
        self, folder: Path, images: dict[str, Any] | None = None, splits: Mapping[str, Split] | None = None
    ) -> None:
        self._folder = folder
        self._images = images or {}
        self._sets = None if splits is None else _sets_of(splits)
        self._path = folder / CHECKPOINT
        self._pause = folder / "pause"
        self._saved: int | None = None

    def begin(self, recipe: Recipe, *, resume: bool) -> None:
        """Make the folder and keep the recipe there; ValueError where it holds another run, or something else.

        A run may go on for more steps and at other rates, from images that lie elsewhere but are split as they were.
        """
        check_run_folder(self._folder)
        kept = self._folder / RECIPE
        if self._path.exists():
            if not resume:
                raise ValueError(f"{self._folder}: holds a training run; resume it or give another folder")
            before, now = (r.model_dump(mode="json", exclude=_MAY_CHANGE) for r in (Recipe.read(kept), recipe))
            if changed := [key for key in now if now[key] != before[key]]:
                raise ValueError(
                    f"{self._folder}: holds a run of another recipe ({', '.join(changed)} differ); resume with "
                    f"{kept}, or give another folder"
                )
            self._check_sets()
        self._pause.unlink(missing_ok=True)
        keep_recipe(self._folder, recipe)

    def _check_sets(self) -> None:
        """Raise ValueError where other images train, validate or test than in the run that is gone on with."""
        before: list[dict[str, str]] | None = _metadata(self._path, "sets", None)
        if before is None or self._sets is None:  # of a run that did not keep them, or of pairs without files
            self._sets = self._sets or before
        elif moved := _moved(before, self._sets):
            more = f" and {len(moved) - 1} more" if len(moved) > 1 else ""
            raise ValueError(
                f"{self._folder}: the images are not split as they were when this run began ({moved[0]}{more}); give the same "
                "images and numbers, or another folder"
            )

    def asked_to_pause(self) -> bool:
        """Return whether someone put a file ``pause`` into the folder, and take it away."""
        if not self._pause.exists():
            return False
        self._pause.unlink(missing_ok=True)
        return True

    def save(self, standing: Standing, learner: Learner) -> None:
        """Write the state beside the old one, then put it in its place."""
        tensors = {
            f"{kind}.{key}": v for kind, part in _modules(learner).items() for key, v in part.state_dict().items()
        }
        for name, optimiser in learner.optimisers.items():
            tensors |= {f"optimiser.{name}.{key}": value for key, value in optimiser.tensors().items()}
        tensors |= _random_states()
        unfinished = self._path.with_suffix(".unfinished")
        network = learner.scheme.generators["generator"]
        metadata = {
            "standing": json.dumps(asdict(standing)),
            "channels": json.dumps([network.in_channels, network.out_channels]),
            "images": json.dumps(self._images),
            "sets": json.dumps(self._sets),
        }
        save_file({key: value.detach().cpu().contiguous() for key, value in tensors.items()}, unfinished, metadata)
        put_in_place(unfinished, self._path)
        self._saved = standing.step

    def load(self, learner: Learner) -> Standing:
        """Read the state into a learner, where there is one."""
        if not self._path.exists():
            return Standing()
        with _said_where_damaged(self._path):
            with safe_open(self._path, framework="pt") as file:
                standing = Standing(**json.loads(file.metadata()["standing"]))
                tensors = {key: file.get_tensor(key) for key in file.keys()}
            for kind, module in _modules(learner).items():
                module.load_state_dict(_part(tensors, f"{kind}."))
            for name, optimiser in learner.optimisers.items():
                optimiser.load(_part(tensors, f"optimiser.{name}."))
            _set_random_states(tensors)
        self._saved = standing.step
        return standing

    @contextmanager
    def said_what_is_kept(self) -> Iterator[None]:
        """Say in one line which state is left when something cannot be written, or is no number."""
        try:
            yield
        except DivergedError as error:
            none = self._saved is None
            left = "no state is kept yet: begin again" if none else f"the state of step {self._saved} is kept: resume"
            raise ValueError(f"{error}; {left} with a lower learning_rate (with muon also muon_rate)") from error
        except (OSError, SafetensorError) as error:
            self._path.with_suffix(".unfinished").unlink(missing_ok=True)
            left = "none is kept yet" if self._saved is None else f"that of step {self._saved} is kept"
            raise ValueError(
                f"{self._folder}: the state of the run could not be written ({error}): {left}; free some space and resume"
            ) from error


def saved_step(folder: str | Path) -> int | None:
    """Return the step of the state that is saved in a run's folder, None where there is none; ValueError where damaged."""
    path = Path(folder) / CHECKPOINT
    if not path.is_file():
        return None
    with _said_where_damaged(path), safe_open(path, framework="numpy") as file:
        return int(json.loads(file.metadata()["standing"])["step"])


@contextmanager
def _said_where_damaged(path: Path) -> Iterator[None]:
    """Say in one line that a state cannot be read: it was copied in part, or is of another version."""
    try:
        yield
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{path}: the state of this run cannot be read; choose another folder") from error


def trained_network(
    folder: str | Path, recipe: Recipe | None = None, *, which: str = "generator"
) -> tuple[nn.Module, int]:
    """Return the network of a run's last checkpoint and its step.

    It is the best on the images of validation where the recipe has patience, else the moving average of the weights.
    ``which="back"`` returns the way back of a recipe that has one.
    """
    folder = Path(folder)
    path = folder / CHECKPOINT
    if not path.exists():
        raise ValueError(f"{folder}: no checkpoint, so nothing was trained here yet")
    recipe = recipe or Recipe.read(folder / "recipe.yaml")
    with _said_where_damaged(path), safe_open(path, framework="pt") as file:
        metadata = file.metadata()
        channels, step = json.loads(metadata["channels"]), int(json.loads(metadata["standing"])["step"])
        prefix = f"{'best' if recipe.patience else 'average'}.{which}."
        state = {key: file.get_tensor(key) for key in file.keys() if key.startswith(prefix)}
    if not state:
        raise ValueError(f"{folder}: the recipe {recipe.name!r} has no network {which!r}")
    network = create_network(recipe.network, *channels, **recipe.options)
    with _said_where_damaged(path):
        network.load_state_dict(_part(state, prefix))
    return network.eval(), step


def known_images(folder: str | Path) -> dict[str, Any]:
    """Return what is known of the images of a run, as fields of a card; nothing where nothing was saved yet."""
    path = Path(folder) / CHECKPOINT
    known: dict[str, Any] = _metadata(path, "images", {}) if path.is_file() else {}
    return known


def _metadata(path: Path, key: str, default: Any) -> Any:
    """Return what is kept with a state under a name; runs of older versions kept less."""
    with _said_where_damaged(path), safe_open(path, framework="numpy") as file:
        stored = dict(file.metadata())  # TypeError of a file that keeps none, which no run wrote
        return json.loads(stored.get(key, json.dumps(default)))


def _sets_of(splits: Mapping[str, Split]) -> list[dict[str, str]]:
    """Return the set of each file by its name, for each source: folders may be renamed and moved."""
    return [
        {path.name: name for name, paths in zip(SETS, split.sets, strict=True) for path in paths}
        for split in splits.values()
    ]


def _moved(before: list[dict[str, str]], now: list[dict[str, str]]) -> list[str]:
    """Say of each file that is in another set what it did and does."""
    said = []
    nothing: dict[str, str] = {}
    for old, new in zip_longest(before, now, fillvalue=nothing):
        for name in sorted({*old, *new}):
            if old.get(name) != new.get(name):
                said.append(f"{name} was {_IN[old.get(name)]}, now it is {_IN[new.get(name)]}")
    return said


def keep_recipe(folder: Path, recipe: Recipe) -> Path:
    """Write the recipe of a run into its folder and return the file; OSError, and the one before, where the disk is full."""
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / RECIPE
    unfinished = kept.with_suffix(".unfinished")
    try:
        unfinished.write_text(recipe.to_yaml(), encoding="utf-8")
        put_in_place(unfinished, kept)
    except OSError:
        unfinished.unlink(missing_ok=True)
        raise
    return kept


def put_in_place(new: Path, old: Path) -> None:
    """Put a file in the place of another; Windows refuses while someone reads that one, so it is tried for a while."""
    for attempt in range(20):
        try:
            os.replace(new, old)
        except PermissionError:
            if attempt == 19:
                raise
            time.sleep(0.1)
        else:
            return


def _modules(learner: Learner) -> dict[str, nn.Module]:
    best = {"best": learner.best} if learner.best is not None else {}
    scheme = learner.scheme
    return {"generators": scheme.generators, "critics": scheme.critics, "average": learner.average, **best}


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def _random_states() -> dict[str, Tensor]:
    states = {"random": torch.get_rng_state()}
    return states | ({"random_cuda": torch.cuda.get_rng_state()} if torch.cuda.is_available() else {})


def _set_random_states(tensors: dict[str, Tensor]) -> None:
    torch.set_rng_state(tensors["random"])
    if "random_cuda" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors["random_cuda"])
