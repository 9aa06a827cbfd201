"""Killed at any moment, and two at once: nothing half is taken for whole, and work goes on where it was."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import dask.array as da
import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from safetensors.torch import save as safetensors

from napari_cellrestore.card import ModelCard
from napari_cellrestore.files import open_stack, write_tiff
from napari_cellrestore.model import (
    delete_model,
    export_model,
    import_model,
    list_models,
    load_model,
    model_entries,
    rename_model,
    save_model,
)
from napari_cellrestore.networks import create_network
from napari_cellrestore.prepare import TABLE, prepare_folder
from napari_cellrestore.recipe import Recipe
from napari_cellrestore.stack import ImageStack
from napari_cellrestore.train import saved_step, train, trained_network
from napari_cellrestore.train.log import LossLog

if os.name != "posix":
    pytest.skip("processes are forked and killed as POSIX does", allow_module_level=True)

from darker import Darker
from interrupted import End, run
from workplace import NETWORK, focus_stack

MOMENTS, SEED = 20, 4
# --- killed --------------------------------------------------------------------------------------------------


class Task(NamedTuple):
    """Something that writes: what is there before, the work, and what must hold after a kill and after the end."""

    before: Callable[[Path], object]
    work: Callable[[Path], object]
    after_kill: Callable[[Path], object]
    at_end: Callable[[Path], object]


def long_stack(value):
    """Return planes that are computed as they are written, so that writing takes a while."""
    planes = da.random.default_rng(value).integers(0, 60_000, (12, 256, 256), dtype=np.uint16, chunks=(1, 256, 256))
    return ImageStack(planes, "ZYX", pixel_um=0.1, z_um=0.1 * np.arange(12))


@cache
def pixels_of(value):
    return np.asarray(long_stack(value).data)


def save(folder):
    write_tiff(folder / "cells.ome.tif", long_stack(1), overwrite=True)


def value_saved(folder):
    """Return whose pixels are in the file: one of those that were written, whole."""
    pixels = np.asarray(open_stack(folder / "cells.ome.tif").data)
    return next(value for value in (0, 1) if np.array_equal(pixels, pixels_of(value)))


def saved_whole_or_not(folder):
    there = [path.name for path in folder.iterdir() if path.name != "cells.ome.tif"]
    assert all(re.fullmatch(r"\.cells\.ome\.tif\.[0-9a-f]{8}\.part", name) for name in there), there
    if (folder / "cells.ome.tif").exists():
        value_saved(folder)


def saved_new(folder):
    assert value_saved(folder) == 1


def prepare(folder):
    list(prepare_folder(folder / "stacks", folder / "ready", range_um=(-0.2, 0.2)))


def two_stacks(folder):
    (folder / "stacks").mkdir()
    for number in range(3):
        write_tiff(folder / "stacks" / f"s{number}.ome.tif", focus_stack(number))


def prepared_whole_or_not(folder):
    for path in (folder / "ready").glob("*.tif"):
        stack = open_stack(path)
        assert np.asarray(stack.data).any(axis=(1, 2)).all()
        assert stack.provenance["prepared"]["row"]["kept"]


def prepared_all(folder):
    assert {path.name for path in (folder / "ready").iterdir()} == {TABLE, *(f"s{n}.ome.tif" for n in range(3))}
    rows = (folder / "ready" / TABLE).read_text(encoding="utf-8").splitlines()
    assert [row.split(",")[:2] for row in rows[1:]] == [[f"s{n}", "1"] for n in range(3)]


def own_models(folder):
    os.environ["CELLRESTORE_MODELS"] = str(folder / "models")
    return folder / "models"


def one_model(folder):
    torch.manual_seed(0)
    card = ModelCard(name="tiny", task="deblur", network="pix2pix-fast", options=NETWORK, stride=4)
    save_model(folder / "sent" / "tiny", create_network("pix2pix-fast", **NETWORK), card)
    return folder / "sent" / "tiny"


def export(folder):
    export_model(folder / "sent" / "tiny", folder / "tiny.cellrestore.zip")


def exported_whole_or_not(folder):
    own_models(folder)
    if (folder / "tiny.cellrestore.zip").exists():
        import_model(folder / "tiny.cellrestore.zip")
        shutil.rmtree(folder / "models")
    left = {path.name for path in folder.iterdir()} - {"sent", "models", "tiny.cellrestore.zip"}
    assert all(re.fullmatch(r"\.unfinished-\w+\.zip", name) for name in left), left


def export_again(folder):
    if not (folder / "tiny.cellrestore.zip").exists():
        export(folder)


def take_in(folder):
    own_models(folder)
    import_model(folder / "sent" / "tiny")


def imported_whole_or_not(folder):
    home = own_models(folder)
    assert all(not entry.problem for entry in model_entries())
    if "tiny" in [card.name for card in list_models()]:
        load_model("tiny")
    left = {path.name for path in home.iterdir()} - {"tiny"} if home.is_dir() else set()
    assert all(re.fullmatch(r"\.\w+\.unfinished", name) for name in left), left


def imported_once(folder):
    if not (own_models(folder) / "tiny").exists():
        take_in(folder)
    load_model("tiny")


TASKS = {
    "save": Task(lambda folder: None, save, saved_whole_or_not, saved_new),
    "replace": Task(
        lambda folder: write_tiff(folder / "cells.ome.tif", long_stack(0)),
        save,
        lambda folder: (value_saved(folder), saved_whole_or_not(folder)),
        saved_new,
    ),
    "prepare": Task(two_stacks, prepare, prepared_whole_or_not, prepared_all),
    "export": Task(one_model, export, exported_whole_or_not, exported_whole_or_not),
    "import": Task(one_model, take_in, imported_whole_or_not, imported_once),
}
#: What is done after a kill where doing the same again would be refused, because it was finished in fact.
AGAIN = {"export": export_again, "import": imported_once}


def killed(name: str, folder: Path, **how: Any) -> End:
    """Do a task that is killed, look at what it left, and do it again to its end."""
    task = TASKS[name]
    folder.mkdir()
    task.before(folder)
    end = run(task.work, folder, **how)
    assert not end.error
    if end.killed:
        task.after_kill(folder)
        again = run(AGAIN.get(name, task.work), folder)
        assert again.status == 0, again
        assert not again.error
    task.at_end(folder)
    shutil.rmtree(folder)
    return end


@pytest.fixture
def _own_models(monkeypatch):
    monkeypatch.setenv("CELLRESTORE_MODELS", "")  # set by some tasks, and back at the end


@pytest.mark.usefixtures("_own_models")
@pytest.mark.parametrize("name", TASKS)
def test_killed_at_any_moment(tmp_path, name):
    seconds, kills = killed(name, tmp_path / "whole").seconds, 0
    for part in np.random.default_rng(SEED).uniform(0, 1, 5 * MOMENTS):
        end = killed(name, tmp_path / "killed", kill_after_s=part * seconds)
        kills += end.killed
        seconds = seconds if end.killed else min(seconds, end.seconds)  # how fast it is depends on what else runs
        if kills == MOMENTS:
            break
    assert kills == MOMENTS


@pytest.mark.usefixtures("_own_models")
@pytest.mark.parametrize("name", TASKS)
def test_killed_at_any_change_of_a_file(tmp_path, name):
    """With the file that was to be written just opened, and so empty."""
    for number in range(1, 100):
        if not killed(name, tmp_path / "killed", kill_at=number).killed:
            break
    assert 3 < number < 99


# --- training ------------------------------------------------------------------------------------------------

RECIPE = Recipe(
    name="tiny",
    network="pix2pix-fast",
    options={**NETWORK, "filters": 4},
    losses={"rmse": 1.0, "l1": 1.0},
    batch=1,
    crop_px=16,
    checkpoint_every=2,
    optimiser="muon",
    average=0.9,
)


def learn(folder, steps):
    list(train(RECIPE, Darker(validation_px=16), folder, steps=steps, resume=True))


def learnt(folder):
    """Return all that a run is judged by."""
    tables = [(folder / name).read_text(encoding="utf-8") for name in ("losses.csv", "validation.csv", "recipe.yaml")]
    return tables, {key: value.tolist() for key, value in load_file(folder / "checkpoint.safetensors").items()}


def test_training_that_is_killed_at_any_moment_goes_on_as_if_nothing_had_happened(tmp_path):
    """Losses, errors of validation, weights and all that the next step depends on are those of a run that was left alone."""
    seconds, kills = run(learn, tmp_path / "whole", 20).seconds, 0
    whole = learnt(tmp_path / "whole")
    for number, part in enumerate(np.random.default_rng(SEED).uniform(0, 1, 5 * MOMENTS)):
        folder = tmp_path / str(number // 4)  # each run is killed four times
        end = run(learn, folder, 20, kill_after_s=part * seconds)
        kills += end.killed
        seconds = seconds if end.killed else min(seconds, max(end.seconds, seconds / 2))  # of a run that goes on, too
        if number % 4 == 3 or kills == MOMENTS:
            end = run(learn, folder, 20)
            assert not end.error
            assert learnt(folder) == whole
            assert not list(folder.glob("*.unfinished"))
        if kills == MOMENTS:
            break
    assert kills == MOMENTS


def test_training_that_is_killed_at_any_change_of_a_file(tmp_path):
    run(learn, tmp_path / "whole", 6)
    whole = learnt(tmp_path / "whole")
    for number in range(1, 100):
        shutil.copytree(tmp_path / "two", tmp_path / "killed") if number > 1 else run(learn, tmp_path / "killed", 2)
        end = run(learn, tmp_path / "killed", 6, kill_at=number)
        again = run(learn, tmp_path / "killed", 6)
        assert not again.error, number
        assert learnt(tmp_path / "killed") == whole, number
        (tmp_path / "killed").rename(tmp_path / "two") if number == 1 else shutil.rmtree(tmp_path / "killed")
        if not end.killed:
            break
    assert 3 < number < 99


@pytest.mark.parametrize("damage", ["cut", "flipped", "of another kind", "empty"])
def test_a_state_of_training_that_is_damaged_is_said(tmp_path, damage):
    learn(tmp_path, 2)
    path = tmp_path / "checkpoint.safetensors"
    content = path.read_bytes()
    other = safetensors({"a": torch.zeros(3)})
    damaged = {"cut": content[:-9], "flipped": b"\xff" + content[1:], "of another kind": other, "empty": b""}[damage]
    path.write_bytes(damaged)
    for read in (lambda: learn(tmp_path, 4), lambda: trained_network(tmp_path), lambda: saved_step(tmp_path)):
        with pytest.raises(ValueError, match=r"checkpoint\.safetensors: the state of this run cannot be read"):
            read()
    assert path.read_bytes() == damaged


def test_a_row_of_losses_that_was_cut_off_is_no_row(tmp_path):
    """As a kill leaves it: of the row of step 13 its first digit, which is the number of another step."""
    path = tmp_path / "losses.csv"
    with LossLog(tmp_path, 0) as log:
        for step in range(1, 13):
            log.write(step, {"loss": step / 2})
    whole = path.read_text(encoding="utf-8")
    path.write_text(whole + "1", encoding="utf-8")
    with LossLog(tmp_path, 12):
        pass
    assert path.read_text(encoding="utf-8") == whole


# --- two at once ---------------------------------------------------------------------------------------------


def juggle(folder, seed, seconds):
    """Import, rename, delete, list and load models at random; return how often each, and what should not be."""
    os.environ["CELLRESTORE_MODELS"] = str(folder / "models")
    rng, names = np.random.default_rng(seed), ["one", "two", "three"]
    acts = {
        "import": lambda a, b: import_model(folder / "sent" / f"{a}.cellrestore.zip", b),
        "rename": rename_model,
        "delete": lambda a, b: delete_model(a),
        "load": lambda a, b: load_model(a),
        "list": lambda a, b: [strange.append(entry.problem) for entry in model_entries() if entry.problem],
    }
    counts: Counter[str] = Counter()
    strange: list[str] = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        act = str(rng.choice(list(acts)))
        try:
            acts[act](*map(str, rng.choice(names, 2, replace=False)))
            counts[act] += 1
        except (ValueError, OSError) as error:
            if len(str(error).splitlines()) != 1:
                strange.append(str(error))
    return counts, strange


def test_processes_that_use_the_models_at_once(tmp_path, monkeypatch):
    monkeypatch.setenv("CELLRESTORE_MODELS", str(tmp_path / "models"))
    (tmp_path / "models").mkdir()
    for seed, name in enumerate(["one", "two", "three"]):
        torch.manual_seed(seed)
        card = ModelCard(name=name, task="deblur", network="pix2pix-fast", options=NETWORK, stride=4)
        save_model(tmp_path / "sent" / name, create_network("pix2pix-fast", **NETWORK), card)
        export_model(tmp_path / "sent" / name, tmp_path / "sent")
    with ThreadPoolExecutor(3) as pool:
        ends = list(pool.map(lambda seed: run(juggle, tmp_path, seed, 2.5), range(3)))
    assert [end.error for end in ends] == [""] * 3
    assert [strange for end in ends for strange in end.result[1]] == []
    done = sum((end.result[0] for end in ends), Counter())
    assert min(done[act] for act in ("import", "rename", "delete", "load", "list")) > 0, done
    for entry in model_entries():
        assert not entry.problem
        load_model(entry.folder)
    assert not [path.name for path in (tmp_path / "models").iterdir() if path.name.startswith(".")]
