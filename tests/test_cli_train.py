"""``cellrestore train``: any kind of images, estimates, pauses, and what is said when something is wrong."""

import json
import re
from functools import partial

import numpy as np
import pytest
from skimage.io import imread, imsave

from napari_cellrestore.model import load_model
from napari_cellrestore.restore import restore
from napari_cellrestore.train import saved_step
from napari_cellrestore.train.checkpoint import Checkpoint

TINY = """
name: tiny
network: pix2pix-fast
options: {filters: 4, blocks: 4, norm: none, dropout: 0.0, global_skip: true}
losses: {l1: 1.0}
steps: 4
batch: 1
crop_px: 32
checkpoint_every: 2
limits: [It knows only chequers.]
"""


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.yaml").write_text(TINY)
    rng = np.random.default_rng(0)
    for folder in ("sharp", "dim", "grey"):
        (tmp_path / folder).mkdir()
    for number in range(6):
        image = np.kron(rng.integers(40, 230, (10, 12, 3)), np.ones((8, 8, 1))).astype(np.uint8)
        imsave(tmp_path / "sharp" / f"{number}.png", image, check_contrast=False)
        imsave(tmp_path / "dim" / f"{number}.png", (0.7 * image).astype(np.uint8), check_contrast=False)
        imsave(tmp_path / "grey" / f"{number}.png", image[..., 1], check_contrast=False)
    return tmp_path


@pytest.fixture
def run(say):
    return partial(say, "train")


def events(lines):
    return [json.loads(line) for line in lines if line.startswith("{")]


def test_pairs_become_a_model_with_its_numbers_on_held_out_pairs(home, run):
    status, out, _ = run("tiny.yaml", "--pairs", "dim", "sharp", "6", "--folder", "run", "--json")
    assert status == 0
    said = events(out)
    assert [event["step"] for event in said if "step" in event] == [1, 2, 3, 4]
    assert said[-1]["model"] == "tiny"
    model = load_model(home / "run" / "tiny")
    (row,) = model.card.held_out
    assert (row["images"], row["number"]) == ("dim", 1)
    low, mean, high = row["mse"][1], row["mse"][0], row["mse"][2]
    assert low <= mean <= high
    assert row["mse_of_input"] == pytest.approx(row["mse"][0] / row["mse_input"][0], abs=1e-3)
    assert "images" not in model.card.recipe  # the user's folders are the user's business
    assert model.card.limits[0] == "It knows only chequers."
    assert any("held-out pairs of dim" in limit for limit in model.card.limits)
    assert "sharp" in (home / "run" / "recipe.yaml").read_text()


def test_grey_pairs_become_a_model_of_grey_images(home, run):
    (home / "grey_dim").mkdir()
    for path in (home / "dim").iterdir():
        imsave(home / "grey_dim" / path.name, imread(path)[..., 1], check_contrast=False)
    status, _, wrong = run("tiny.yaml", "--pairs", "grey_dim", "grey", "--folder", "run")
    assert status == 0, wrong
    model = load_model(home / "run" / "tiny")
    assert (model.card.in_channels, model.card.out_channels) == (1, 1)
    image = np.random.default_rng(0).integers(0, 255, (40, 52)).astype(np.uint8)
    assert np.asarray(restore(image, model)).shape == (40, 52)
    with pytest.raises(ValueError, match="takes grey images and this one is in colour"):
        restore(np.stack([image] * 3, axis=-1), model)


def test_an_estimate_comes_before_anything_is_written(home, run):
    status, out, _ = run("tiny.yaml", "--images", "sharp", "--folder", "run", "--dry-run")
    assert status == 0
    assert "tiny: pix2pix-fast with" in out[-1]
    assert "images to train: sharp 4; 4 steps of 1 crops of 32 px" in out[-1]
    assert not (home / "run").exists()
    said = events(run("tiny.yaml", "--images", "sharp", "--folder", "run", "--dry-run", "--json")[1])[-1]
    assert said["images"] == {"sharp": 4}
    assert said["left_s"] == pytest.approx(4 * said["seconds_a_step"], abs=0.06)


def test_a_paused_run_goes_on(home, run, monkeypatch):
    (home / "run").mkdir()
    arguments = ("tiny.yaml", "--images", "sharp", "--folder", "run", "--json")
    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "asked_to_pause", lambda self: True)
        said = events(run(*arguments)[1])
    assert said[-1] == {"paused": 1}
    assert saved_step(home / "run") == 1
    assert not (home / "run" / "tiny").exists()
    said = events(run(*arguments, "--resume")[1])
    assert [event["step"] for event in said if "step" in event] == [2, 3, 4]
    assert (home / "run" / "tiny" / "card.json").exists()


def test_inputs_that_lie_aside_are_said_and_moved(home, run):
    for path in (home / "sharp").iterdir():
        imsave(home / "dim" / path.name, np.roll(imread(path), (4, -3), (0, 1)), check_contrast=False)
    arguments = ("tiny.yaml", "--pairs", "dim", "sharp", "6", "--folder", "run", "--dry-run")
    _, out, _ = run(*arguments)
    assert "inputs do not lie on their targets" in out[0]
    assert out[0].endswith("train with align to move them")
    assert "they were moved by whole pixels and cut to what both show" in run(*arguments, "--align")[1][0]


@pytest.mark.parametrize(("right", "wrong"), [("norm: none", "nrom: none"), ("l1: 1.0", "l7: 1.0")])
def test_a_recipe_that_is_none_leaves_nothing(home, run, right, wrong):
    (home / "wrong.yaml").write_text(TINY.replace(right, wrong))
    assert run("wrong.yaml", "--images", "sharp", "--folder", "run")[0] == 2
    assert not (home / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("tiny.yaml", "--folder", "run"),
            "no images to train on: give --images, --stacks, --pairs, --unpaired or --leds",
        ),
        (("tiny.yaml", "--pairs", "dim", "--folder", "run"), "--pairs dim: give two folders, of inputs and of targets"),
        (("tiny.yaml", "--images", "sharp", "2", "--folder", "run"), "field every: .* greater than or equal to 3"),
        (("tiny.yaml", "--images", "sharp", "many", "--folder", "run"), "--images sharp many: give a folder"),
        (("tiny.yaml", "--images", "nowhere", "--folder", "run"), "nowhere"),
        (("tiny.yaml", "--pairs", "grey", "sharp", "--folder", "run", "--model", "sharp"), "sharp: exists already"),
        (
            ("tiny.yaml", "--unpaired", "dim", "sharp", "--folder", "run"),
            "learns from pairs, these images do not belong to each other",
        ),
        (("best", "--images", "sharp", "--folder", "run"), "no recipe 'best'; known are deblur-fast"),
        (("deblurgan", "--pairs", "dim", "sharp", "--folder", "run"), "vgg19"),
    ],
)
def test_what_is_wrong_is_said_in_one_line_and_leaves_no_model(home, run, arguments, message):
    status, _, wrong = run(*arguments)
    assert status == 2
    errors = [line for line in wrong if line.startswith("cellrestore train: ")]
    assert len(errors) == 1
    assert re.search(message, errors[0])
    assert not (home / "run" / "tiny").exists()


def test_resuming_with_another_recipe_is_refused(home, run):
    assert run("tiny.yaml", "--images", "sharp", "--folder", "run")[0] == 0
    (home / "tiny.yaml").write_text(TINY.replace("batch: 1", "batch: 2"))
    status, _, wrong = run("tiny.yaml", "--images", "sharp", "--folder", "run", "--model", "new", "--resume")
    assert status == 2
    assert "holds a run of another recipe (batch differ)" in wrong[-1]
