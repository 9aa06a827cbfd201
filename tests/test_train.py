import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from skimage.io import imsave

from napari_cellrestore.networks import create_network
from napari_cellrestore.optimiser import Optimiser
from napari_cellrestore.pairs import DefocusPairs, Split, change_colours, split_by_image
from napari_cellrestore.recipe import RECIPES, DefocusSettings, Recipe, read_recipe
from napari_cellrestore.train import schedule, to_tensor, train, trained_network


def recipe(**changes):
    options = {
        "name": "tiny",
        "network": "pix2pix-fast",
        "options": {"filters": 4, "blocks": 4, "norm": "none", "dropout": 0.0, "global_skip": True},
        "losses": {"rmse": 1.0, "l1": 1.0},
        "batch": 2,
        "crop_px": 32,
        "checkpoint_every": 3,
        "learning_rate": 1e-3,
        "optimiser": "muon",
        "schedule": "one-cycle",
        "average": 0.9,
        **changes,
    }
    return Recipe(**options)


@pytest.fixture
def smears(tmp_path):
    rng = np.random.default_rng(0)
    folder = tmp_path / "smears"
    folder.mkdir()
    for index in range(6):
        image = np.kron(rng.integers(40, 230, (16, 16, 3)), np.ones((8, 8, 1))).astype(np.uint8)
        imsave(folder / f"{index}.png", image, check_contrast=False)
    return sorted(folder.glob("*.png"))


@pytest.fixture
def pairs(smears):
    return DefocusPairs(smears[:4], smears[4:])


# --- pairs -----------------------------------------------------------------------------------------------


def test_split_keeps_every_image_once(smears):
    split = split_by_image(smears, every=3)
    assert sorted([*split.train, *split.validation, *split.test]) == smears
    with pytest.raises(ValueError, match="1 images are in both train and test"):
        Split(tuple(smears[:2]), (), tuple(smears[1:2]))
    with pytest.raises(ValueError, match="2 images cannot be split"):
        split_by_image(smears[:2])


def test_leaks_are_refused(smears):
    with pytest.raises(ValueError, match="split by image"):
        DefocusPairs(smears[:3], smears[2:])


def test_crops_are_pairs_of_a_sharp_target_and_a_recorded_input(pairs):
    rng = np.random.default_rng(1)
    drawn = [pairs.crop(rng, 48) for _ in range(20)]
    for blurred, target in drawn:
        assert blurred.shape == target.shape == (48, 48, 3)
        assert blurred.min() >= 0
        assert blurred.max() <= 255
        np.testing.assert_array_equal(blurred, np.rint(blurred))  # 8 bit
        assert abs(blurred.mean() - target.mean()) < 6
    assert np.mean([t.std() - b.std() for b, t in drawn]) > 0.5  # defocus takes contrast away
    again = pairs.crop(np.random.default_rng(1), 48)
    np.testing.assert_array_equal(again[0], drawn[0][0])


def test_no_defocus_and_no_noise_is_the_identity(smears):
    settings = DefocusSettings(levels_um=(0, 0), axial_colour_um=0, noise_gain=0)
    blurred, target = DefocusPairs(smears, settings=settings).crop(np.random.default_rng(0), 32)
    assert np.abs(blurred - np.clip(target, 0, 255)).max() <= 0.5 + 1e-3


def test_colours_change_within_the_range(rng):
    image = rng.uniform(0, 255, (64, 64, 3)).astype(np.float32)
    before = image.copy()
    changed = change_colours(image, np.random.default_rng(2))
    np.testing.assert_array_equal(image, before)
    assert changed.min() >= 0
    assert changed.max() <= 255
    assert np.abs(changed - image).mean() > 1


# --- the loop ----------------------------------------------------------------------------------------------


def test_training_learns(pairs, tmp_path):
    losses = [progress.losses["loss"] for progress in train(recipe(), pairs, tmp_path / "run", steps=40)]
    assert len(losses) == 40
    assert np.mean(losses[-10:]) < 0.9 * np.mean(losses[:10])


def test_an_interrupted_run_goes_on_as_if_nothing_had_happened(pairs, tmp_path):
    options = recipe(options={"filters": 4, "blocks": 8, "dropout": 0.5})
    whole = [p.losses for p in train(options, pairs, tmp_path / "whole", steps=8)]
    stopped = train(options, pairs, tmp_path / "stopped", steps=8)
    for _ in range(5):  # the last checkpoint is after step 3
        next(stopped)
    stopped.close()
    rest = list(train(options, pairs, tmp_path / "stopped", steps=8, resume=True))
    assert [p.step for p in rest] == [4, 5, 6, 7, 8]
    assert [p.losses for p in rest] == whole[3:]
    ours, theirs = (load_file(tmp_path / name / "checkpoint.safetensors") for name in ("whole", "stopped"))
    for key in ours:
        assert torch.equal(ours[key], theirs[key]), key
    ours, theirs = ((tmp_path / name / "losses.csv").read_text() for name in ("whole", "stopped"))
    assert ours == theirs
    assert ours.splitlines()[0] == "step,loss,rmse,l1"


def test_progress_tells_time_and_shows_a_preview(pairs, tmp_path):
    events = list(train(recipe(), pairs, tmp_path / "run", steps=4))
    assert [event.preview is None for event in events] == [True, True, False, False]
    blurred, output, sharp = events[-1].preview
    assert blurred.shape == output.shape == sharp.shape == (128, 128, 3)
    assert events[-1].seconds_left == 0
    assert events[0].seconds_left > 0


def test_the_result_is_the_moving_average(pairs, tmp_path):
    list(train(recipe(), pairs, tmp_path / "run", steps=6))
    network, step = trained_network(tmp_path / "run", recipe())
    assert step == 6
    state = load_file(tmp_path / "run" / "checkpoint.safetensors")
    for key, value in network.state_dict().items():
        assert torch.equal(value, state[f"average.{key}"])
        assert not torch.equal(value, state[f"network.{key}"])


def test_a_run_is_not_overwritten(pairs, tmp_path):
    list(train(recipe(), pairs, tmp_path, steps=3))
    with pytest.raises(ValueError, match="holds a training run; resume it or give another folder"):
        next(train(recipe(), pairs, tmp_path, steps=3))


def test_a_loss_that_is_no_number_stops_and_keeps_the_last_state(pairs, tmp_path):
    class Broken:
        def crop(self, rng, size):
            blurred, target = pairs.crop(rng, size)
            return (blurred * np.nan if rng.random() < 0.3 else blurred), target

        def validation(self):
            return []

    with pytest.raises(ValueError, match=r"the loss is nan at step \d+: the state of the last checkpoint is kept"):
        list(train(recipe(checkpoint_every=1, seed=1), Broken(), tmp_path, steps=50))
    network, _ = trained_network(tmp_path, recipe())
    assert all(torch.isfinite(p).all() for p in network.parameters())


def test_nothing_trained_is_said(tmp_path):
    with pytest.raises(ValueError, match="no checkpoint, so nothing was trained here yet"):
        trained_network(tmp_path, recipe())


def test_schedule():
    assert schedule(0.5, "constant") == 1
    rates = [schedule(f, "one-cycle") for f in np.linspace(0, 1, 101)]
    assert max(rates) == 1
    assert int(np.argmax(rates)) == 10
    assert rates[-1] == pytest.approx(0.001)


def test_grey_levels_map_to_the_range_of_the_network():
    tensor = to_tensor([np.array([[[0.0, 127.5, 255.0]]])])
    assert tensor.flatten().tolist() == [-1, 0, 1]


@pytest.mark.parametrize("kind", ["adam", "muon"])
def test_optimisers_change_every_parameter_and_come_back(kind):
    torch.manual_seed(0)
    network = create_network("pix2pix-fast", filters=4, blocks=4, norm="none")
    optimiser = Optimiser(network, recipe(optimiser=kind))
    before = [p.detach().clone() for p in network.parameters()]
    network(torch.rand(1, 3, 16, 16)).square().sum().backward()
    optimiser.step(1.0)
    assert all(not torch.equal(p, q) for p, q in zip(network.parameters(), before, strict=True))
    assert all(p.grad is None for p in network.parameters())
    twin = Optimiser(network, recipe(optimiser=kind))
    twin.load(optimiser.tensors())
    assert all(torch.equal(v, twin.tensors()[k]) for k, v in optimiser.tensors().items())


# --- recipes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_makes_its_network_and_survives_yaml(name):
    known = RECIPES[name]
    assert Recipe.from_yaml(known.to_yaml()) == known
    assert create_network(known.network, **known.options) is not None
    assert read_recipe(name) == known


def test_a_recipe_from_a_file(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("name: mine\nnetwork: pix2pix\nlosses: {l1: 10}\npairs: {na: 0.9}\n")
    assert read_recipe(path).pairs.na == 0.9


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: a\nnetwork: b\nlosses: {l1: 1}\nstep: 5", "field step: Extra inputs.*Known fields: name, task"),
        ("name: a\nnetwork: b\nlosses: {l1: -1}", "each with a weight above 0"),
        ("name: a\nnetwork: b\nlosses: {l1: 1}\nbatch: 0", r"field batch: .*\(came: 0\)"),
        ("- a list", "the recipe must be a table of fields"),
        ("a: [", "the recipe is not YAML"),
        ("!!python/object/apply:os.system ['true']", "the recipe is not YAML"),
    ],
)
def test_wrong_recipes_are_said(text, message):
    with pytest.raises(ValueError, match=message):
        Recipe.from_yaml(text)


def test_unknown_recipes_are_listed():
    with pytest.raises(ValueError, match="no recipe 'best'; known are pix2pix-cnn"):
        read_recipe("best")
