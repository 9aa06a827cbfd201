"""``cellrestore train``: any kind of images, estimates, pauses, and what is said when something is wrong."""

import json
import re
import shutil
import warnings
from functools import partial

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from skimage.io import imread, imsave

from napari_cellrestore.files import open_stack, write_tiff
from napari_cellrestore.model import load_model, save_model
from napari_cellrestore.networks import create_network
from napari_cellrestore.recipe import RECIPES
from napari_cellrestore.restore import restore
from napari_cellrestore.simulate import defocus_stack, smear_objectives
from napari_cellrestore.stack import ImageStack
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


def test_a_card_says_nothing_that_is_true_of_a_bundled_model_alone(home, run):
    named = RECIPES["enhance-smear"]
    tiny = f"{TINY}summary: {named.summary}\n".replace("chequers.", f'chequers., "{named.limits[0]}"')
    (home / "tiny.yaml").write_text(tiny)
    pairs = ("--pairs", "dim", "sharp", "6", "--steps", "2", "--folder", "run")
    assert run("tiny.yaml", *pairs)[0] == 0
    card = load_model(home / "run" / "tiny").card
    assert card.summary == "Trained by the recipe tiny on dim"
    assert "It knows only chequers." in card.limits
    assert named.limits[0] not in card.limits
    assert run("tiny.yaml", *pairs, "--resume", "--model", "kept", "--bundled")[0] == 0
    card = load_model(home / "kept").card
    assert (card.summary, card.limits[1]) == (named.summary, named.limits[0])
    (home / "tiny.yaml").write_text(TINY + "summary: Brightens chequers\n")
    assert run("tiny.yaml", *pairs[:-1], "own", "--data", "chequers")[0] == 0
    assert load_model(home / "own" / "tiny").card.summary == "Brightens chequers"


def test_a_model_needs_no_file_that_its_recipe_named(home, run):
    pytest.importorskip("monai")
    weights = home / "b0.safetensors"
    save_file(create_network("unet-efficientnet").encoder_state(), weights)
    (home / "eff.yaml").write_text(
        f"name: eff\nnetwork: unet-efficientnet\noptions: {{weights: {weights}}}\nlosses: {{l1: 1}}\nbatch: 1\ncrop_px: 64\n"
    )
    status, _, wrong = run("eff.yaml", "--pairs", "dim", "sharp", "6", "--steps", "1", "--folder", "run")
    assert status == 0, wrong
    weights.unlink()
    model = load_model(home / "run" / "eff")
    assert str(home) not in model.card.to_json()
    save_model(home / "old", model.network, model.card.model_copy(update={"options": {"weights": str(weights)}}))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_model(home / "old")  # cards used to name the file


def test_floats_are_measured_as_they_are_restored(home, run):
    """The range is that of nearly all grey levels: bright spots beyond it are restored as bright as they are."""
    rng = np.random.default_rng(0)
    for folder in ("spots", "same"):
        (home / folder).mkdir()
    for number in range(6):
        image = rng.uniform(0, 1, (80, 96)).astype(np.float32)
        image[40, 40:43] = 50
        for folder, least in (("spots", 0), ("same", 1e-6)):
            write_tiff(home / folder / f"{number}.tif", ImageStack(image + np.float32(least), "YX"))
    (home / "tiny.yaml").write_text(TINY)
    status, _, wrong = run("tiny.yaml", "--pairs", "spots", "same", "6", "--folder", "run", "--steps", "1")
    assert status == 0, wrong
    model = load_model(home / "run" / "tiny")
    (row,) = model.card.held_out
    given, wanted = (np.asarray(open_stack(home / folder / "0.tif").data) for folder in ("spots", "same"))
    error = np.square(np.asarray(restore(given, model)) - wanted).mean()
    assert row["mse"][0] == pytest.approx(error, rel=1e-2)


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


def test_grey_becomes_colour(home, run):
    (home / "tiny.yaml").write_text(TINY.replace(", global_skip: true", ""))
    status, _, wrong = run("tiny.yaml", "--pairs", "grey", "sharp", "6", "--folder", "run")
    assert status == 0, wrong
    card = load_model(home / "run" / "tiny").card
    assert (card.in_channels, card.out_channels) == (1, 3)
    assert imread(home / "run" / "samples" / "0000002.png").shape == (80, 3 * 96, 3)


# --- sharp images of every kind ----------------------------------------------------------------------------

ONE = "pairs: {pixel_um: 0.3, na: 0.25, immersion_index: 1.0, wavelengths_um: [0.53], axial_colour_um: 0, "


@pytest.mark.parametrize(
    ("folder", "factor", "settings", "channels", "levels_um"),
    [
        ("sharp", 1, ONE + "only_um: [6, 2]}", 1, [2.0, 6.0]),
        ("grey", 1, ONE + "levels_um: [-2.8, 2.8]}", 1, np.arange(-7, 8) * 0.4),
        ("grey", 257, ONE + "only_um: [2]}", 1, [2.0]),
        ("sharp", 257, "", 3, np.arange(-7, 8) * 0.2),
    ],
    ids=["one wavelength of colours", "grey", "grey of 16 bit", "colours of 16 bit"],
)
def test_sharp_images_of_every_kind_are_measured(home, run, folder, factor, settings, channels, levels_um):
    for path in (home / folder).iterdir():
        pixels = imread(path)
        path.unlink()
        wide = (pixels * np.uint16(factor)).astype(np.uint16 if factor > 1 else np.uint8)
        write_tiff(path.with_suffix(".tif"), ImageStack(wide, "YXS" if wide.ndim == 3 else "YX"))
    (home / "tiny.yaml").write_text(TINY + settings)
    status, _, wrong = run("tiny.yaml", "--images", folder, "6", "--folder", "run", "--steps", "2")
    assert status == 0, wrong
    card = load_model(home / "run" / "tiny").card
    assert (card.in_channels, card.input_range) == (channels, (0, 65535 if factor > 1 else 255))
    assert card.defocus_um == pytest.approx((min(levels_um), max(levels_um)))
    assert max(card.colour_mean) > 100 * factor
    (row,) = card.held_out
    assert row["levels_um"] == pytest.approx(list(levels_um))
    assert 0 < row["mse_of_input"] < 20
    # A signal-to-noise ratio of the right range: 8 and 16 bit alike.
    psnr = row["by_level"][0]["rows"]["Mean"][row["by_level"][0]["columns"].index("PSNR")]
    assert 15 < psnr < 60
    rates = "reach_mse" in row  # only where a plane counts as sharp
    assert rates == any(abs(level - 0.4) < 1e-6 for level in levels_um)
    assert any("simulated defocus of the images named" in limit for limit in card.limits)
    assert not any("smear" in limit for limit in card.limits)
    status, _, wrong = run("tiny.yaml", "--images", folder, "6", "--folder", "run", "--model", "again", "--resume")
    assert status == 0, wrong


def test_a_model_of_grey_images_of_16_bit_is_evaluated(home, say):
    for path in sorted((home / "grey").iterdir()):
        write_tiff(path.with_suffix(".tif"), ImageStack(imread(path) * np.uint16(257), "YX"))
        path.unlink()
    (home / "tiny.yaml").write_text(TINY + ONE + "only_um: [2, 6]}")
    assert say("train", "tiny.yaml", "--images", "grey", "6", "--folder", "run", "--steps", "2")[0] == 0
    evaluate = ("evaluate", "run/tiny", "--images", "grey", "6", "--classical", "--json")
    status, out, wrong = say(*evaluate)
    assert status == 0, wrong
    said = json.loads(out[-1])["of_input"]
    (row,) = load_model(home / "run" / "tiny").card.held_out
    assert said["tiny"]["MSE"] == pytest.approx(row["mse_of_input"], abs=1e-4)
    assert said["Wiener, true PSF"]["MSE"] < 1
    imsave(
        home / "grey" / "3.tif", imread(home / "dim" / "3.png")[..., 1], check_contrast=False
    )  # kept for the test too
    _, out, wrong = say("evaluate", "run/tiny", "--images", "grey", "3", "--limit", "2", "--json")
    assert "has 256 grey levels, other images 65536: convert it, or leave it out" in "".join([*out, *wrong])


def test_a_model_of_a_camera_of_12_bit_is_measured_in_its_range(home, say):
    for path in sorted((home / "grey").iterdir()):
        write_tiff(path.with_suffix(".tif"), ImageStack(imread(path) * np.uint16(17), "YX"))
        path.unlink()
    (home / "tiny.yaml").write_text(TINY + ONE + "only_um: [2]}\nintensity_range: [0, 4095]")
    status, out, wrong = say("train", "tiny.yaml", "--images", "grey", "6", "--folder", "run", "--steps", "2")
    assert status == 0, wrong
    assert not any("16 bits" in line for line in [*out, *wrong])
    card = load_model(home / "run" / "tiny").card
    assert card.input_range == (0, 4095)
    (row,) = card.held_out
    psnr = row["by_level"][0]["rows"]["Mean"][row["by_level"][0]["columns"].index("PSNR")]
    assert 15 < psnr < 60  # in the range of 16 bits it would be 24 more
    status, out, wrong = say("evaluate", "run/tiny", "--images", "grey", "6", "--json")
    assert status == 0, wrong
    assert json.loads(out[-1])["of_input"]["tiny"]["MSE"] == pytest.approx(row["mse_of_input"], abs=1e-4)


def test_a_model_of_two_wavelengths_is_measured_on_pairs(home, run):
    for path in list((home / "sharp").iterdir()):
        two = imread(path)[..., :2]
        path.unlink()
        write_tiff(path.with_suffix(".tif"), ImageStack(np.moveaxis(two, -1, 0), "CYX"))
    (home / "tiny.yaml").write_text(TINY + "pairs: {wavelengths_um: [0.5, 0.6]}")
    status, _, wrong = run("tiny.yaml", "--images", "sharp", "6", "--folder", "run", "--steps", "2")
    assert status == 0, wrong
    card = load_model(home / "run" / "tiny").card
    assert (card.in_channels, card.out_channels, card.held_out[0]["number"]) == (2, 2, 1)
    assert 0 < card.held_out[0]["ssim_input"][0] < 1


def test_a_model_of_two_planes_is_measured_on_pairs(home, run):
    (home / "tiny.yaml").write_text(TINY + "in_planes: 2\n")
    status, _, wrong = run("tiny.yaml", "--images", "sharp", "6", "--folder", "run", "--steps", "2")
    assert status == 0, wrong
    card = load_model(home / "run" / "tiny").card
    assert (card.in_planes, card.in_channels) == (2, 6)
    (row,) = card.held_out
    assert (row["images"], row["number"], row["mse_input"][0] > 0) == ("sharp", 1, True)


# --- there and back ----------------------------------------------------------------------------------------


def test_images_of_one_name_in_two_folders_are_all_measured(home, run):
    both = ("--images", "sharp", "6", "--pairs", "dim", "sharp2", "6")
    shutil.copytree(home / "sharp", home / "sharp2")
    for path in (home / "sharp2").iterdir():
        imsave(path, imread(path)[::-1], check_contrast=False)
        imsave(home / "dim" / path.name, imread(home / "dim" / path.name)[::-1], check_contrast=False)
    status, _, wrong = run("tiny.yaml", *both, "--folder", "run", "--steps", "2")
    assert status == 0, wrong
    rows = load_model(home / "run" / "tiny").card.held_out
    assert [(row["images"], row["number"]) for row in rows] == [("sharp", 1), ("dim", 1)]
    shutil.copytree(home / "dim", home / "dimmer")
    for path in (home / "dimmer").iterdir():
        imsave(path, imread(path) // 2, check_contrast=False)
    two = ("--pairs", "dim", "sharp2", "6", "--pairs", "dimmer", "sharp2", "6")
    status, _, wrong = run("tiny.yaml", *two, "--folder", "two", "--steps", "2")
    assert status == 0, wrong
    (row,) = load_model(home / "two" / "tiny").card.held_out
    assert (row["images"], row["number"]) == ("dim and dimmer", 2)
    (home / "tiny.yaml").write_text(TINY + "in_planes: 2\n")
    status, _, wrong = run(
        "tiny.yaml", "--images", "sharp", "6", "--images", "dim", "6", "--folder", "planes", "--steps", "2"
    )
    assert status == 0, wrong
    (row,) = load_model(home / "planes" / "tiny").card.held_out
    assert row["number"] == 2


def test_the_way_back_is_measured_on_pairs(home, run):
    (home / "tiny.yaml").write_text(TINY.replace("{l1: 1.0}", "{cycle: 1.0}"))
    status, _, wrong = run("tiny.yaml", "--images", "sharp", "6", "--folder", "run", "--steps", "2")
    assert status == 0, wrong
    there, back = (load_model(home / "run" / name).card for name in ("tiny", "tiny-back"))
    assert "by_level" in there.held_out[0]
    (row,) = back.held_out
    assert (row["number"], "by_level" in row, row["mse_input"] == row["mse"]) == (1, False, False)
    assert (there.defocus_um, back.defocus_um) == ((-1.4, 1.4), None)
    assert any("held-out pairs of sharp" in limit for limit in back.limits)
    assert not any("simulated defocus" in limit for limit in back.limits)


def test_models_without_pairs_say_that_nothing_was_measured(home, run):
    critic = "\ndiscriminator: {conditional: false, options: {patch: 16, filters: 4}}"
    (home / "tiny.yaml").write_text(TINY.replace("{l1: 1.0}", "{cycle: 1.0, adversarial: 1.0}" + critic))
    status, _, wrong = run("tiny.yaml", "--unpaired", "dim", "sharp", "6", "--folder", "run", "--steps", "2")
    assert status == 0, wrong
    for name in ("tiny", "tiny-back"):
        card = load_model(home / "run" / name).card
        (row,) = card.held_out
        assert (row["number"], row["mse_there_and_back"][0] > 0) == (1, True)
        without, number = card.limits[-2:]
        assert without.endswith("trained without pairs: there is nothing to compare with, so no error was measured.")
        assert f"came back with an error (MSE) of {row['mse_there_and_back'][0]:g}" in number
    there, back = (load_model(home / "run" / name) for name in ("tiny", "tiny-back"))
    image = imread(home / "dim" / "0.png")
    scaled = torch.from_numpy(image[None] / np.float32(127.5) - 1).permute(0, 3, 1, 2)
    with torch.inference_mode():
        again = back.network(there.network(scaled))[0].permute(1, 2, 0).numpy()
    error = np.square(np.clip((again + 1) * 127.5, 0, 255) - image).mean()
    assert there.card.held_out[0]["mse_there_and_back"][0] == pytest.approx(error, rel=1e-3)


# --- the distance from focus -------------------------------------------------------------------------------


def test_a_distance_learnt_from_stacks_is_measured_on_their_planes(home, run):
    (home / "stacks").mkdir()
    for number in range(4):
        image = imread(home / "sharp" / f"{number}.png")
        stack = defocus_stack(image, 0.1, smear_objectives(), [-1.0, -0.5, 0.0, 0.5, 1.5], seed=number)
        write_tiff(home / "stacks" / f"{number}.ome.tif", stack)
    (home / "tiny.yaml").write_text(
        "name: tiny\ntask: distance\nnetwork: distance\noptions: {filters: 4}\nlevels_um: [0, 1]\n"
        "losses: {level: 1}\nbatch: 1\ncrop_px: 32\n"
    )
    status, _, wrong = run("tiny.yaml", "--stacks", "stacks", "4", "--folder", "run", "--steps", "2")
    assert status == 0, wrong
    card = load_model(home / "run" / "tiny").card
    assert card.defocus_um == (-1.0, 1.5)
    (row,) = card.held_out
    assert (row["images"], row["number"], row["levels_um"]) == ("stacks", 1, [0.5, 1.0, 1.5])
    assert 0 < row["error_um"] < 1.5
    assert any("held-out images of stacks its error is" in limit for limit in card.limits)
    simulated = "tiny.yaml", "--images", "sharp", "6", "--folder", "other", "--steps", "2"
    status, _, wrong = run(*simulated)
    assert (status, "tells distances up to 1 um, and blur up to 1.4 um" in wrong[-1]) == (2, True)
    with (home / "tiny.yaml").open("a") as file:
        file.write("pairs: {levels_um: [-1, 1]}\n")
    status, _, wrong = run(*simulated)
    assert status == 0, wrong
    (row,) = load_model(home / "other" / "tiny").card.held_out
    assert (row["levels_um"][0], row["levels_um"][-1], len(row["levels_um"])) == (0.0, 1.0, 8)


# --- what is said ------------------------------------------------------------------------------------------


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
        (("tiny.yaml", "--images", "sharp", "--align", "--folder", "run"), "--align goes with --pairs or --stacks"),
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


def test_resuming_with_another_split_is_refused(home, run):
    arguments = ("tiny.yaml", "--pairs", "dim", "sharp")
    assert run(*arguments, "6", "--folder", "run")[0] == 0
    status, _, wrong = run(*arguments, "3", "--folder", "run", "--model", "new", "--resume")
    assert status == 2
    assert "1.png was in training, now it is in validation and 2 more" in wrong[-1]
    assert "every: 6" in (home / "run" / "recipe.yaml").read_text()


@pytest.mark.parametrize("number", [("--steps", "0"), ("--steps", "-5"), ("--threads", "-1"), ("--threads", "0")])
def test_numbers_that_are_none_are_refused(home, run, number):
    with pytest.raises(SystemExit):
        run("tiny.yaml", "--images", "sharp", "--folder", "run", *number)
    assert not (home / "run").exists()


def test_the_name_of_a_recipe_is_no_path(home, run):
    (home / "tiny.yaml").write_text(TINY.replace("name: tiny", "name: ../escaped"))
    status, _, wrong = run("tiny.yaml", "--images", "sharp", "--folder", "run")
    assert status == 2
    assert "'../escaped' cannot be the name of a model" in wrong[-1]
    assert not (home / "run").exists()
