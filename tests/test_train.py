import signal
import sys

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from skimage.io import imread

from darker import Darker
from napari_cellrestore.networks import create_network
from napari_cellrestore.optimiser import Optimiser
from napari_cellrestore.pairs import Split
from napari_cellrestore.recipe import Recipe
from napari_cellrestore.train import estimate, saved_step, train, trained_network
from napari_cellrestore.train.checkpoint import keep_recipe
from napari_cellrestore.train.learner import Learner
from napari_cellrestore.train.log import write_sample
from napari_cellrestore.train.rate import rate_at
from napari_cellrestore.train.standing import Standing


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
def pairs():
    return Darker()


def losses_of(run):
    return [progress.losses for progress in run]


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
    assert blurred.shape == output.shape == sharp.shape == (64, 64, 3)
    np.testing.assert_allclose(blurred, pairs.validation()[0].input, atol=1e-3)
    assert events[-1].validation == pytest.approx(np.abs(output - sharp).mean() / 127.5, rel=1e-4)
    assert events[-1].seconds_left == 0
    assert events[0].seconds_left > 0


def test_the_result_is_the_moving_average(pairs, tmp_path):
    list(train(recipe(), pairs, tmp_path / "run", steps=6))
    network, step = trained_network(tmp_path / "run", recipe())
    assert step == 6
    state = load_file(tmp_path / "run" / "checkpoint.safetensors")
    for key, value in network.state_dict().items():
        assert torch.equal(value, state[f"average.generator.{key}"])
        assert not torch.equal(value, state[f"generators.generator.{key}"])


def test_batch_norm_knows_the_averaged_network(pairs, tmp_path):
    """Running means and variances are averaged as the weights are, which they belong to."""
    options = recipe(options={"filters": 4, "blocks": 4, "norm": "batch"}, checkpoint_every=1)
    before: dict[str, torch.Tensor] = {}
    for progress in train(options, pairs, tmp_path / "run", steps=4):
        state = load_file(tmp_path / "run" / "checkpoint.safetensors")
        now = {key.removeprefix("average."): value for key, value in state.items() if key.startswith("average.")}
        for key, value in now.items():
            if progress.step > 1 and value.is_floating_point():
                keep = min(0.9, (progress.step - 1) / (progress.step + 9))
                torch.testing.assert_close(value, keep * before[key] + (1 - keep) * state[f"generators.{key}"])
        before = now
    assert any("running_var" in key for key in before)


def test_a_run_is_not_overwritten(pairs, tmp_path):
    list(train(recipe(), pairs, tmp_path, steps=3))
    with pytest.raises(ValueError, match="holds a training run; resume it or give another folder"):
        next(train(recipe(), pairs, tmp_path, steps=3))


@pytest.mark.parametrize("device", ["tpu", "cuda:99", "meta", ""])
def test_a_device_that_is_not_there_is_said(pairs, tmp_path, device):
    for begin in (
        lambda: next(train(recipe(), pairs, tmp_path / "run", device=device)),
        lambda: estimate(recipe(), pairs, device),
    ):
        with pytest.raises(ValueError, match=rf"no device '{device}' on this machine; there are auto, cpu"):
            begin()
    assert not (tmp_path / "run").exists()


def test_a_folder_that_holds_something_else_is_refused(pairs, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "losses.csv").write_text("mine")
    with pytest.raises(ValueError, match=r"holds other things than a run \(losses\.csv, thesis\); give a new folder"):
        next(train(recipe(), pairs, tmp_path, steps=3))
    with pytest.raises(ValueError, match=r"losses\.csv: is a file; give a folder for the run"):
        next(train(recipe(), pairs, tmp_path / "losses.csv", steps=3))
    assert (tmp_path / "losses.csv").read_text() == "mine"
    assert len(list(tmp_path.iterdir())) == 2
    (tmp_path / "thesis" / ".DS_Store").touch()
    next(train(recipe(), pairs, tmp_path / "thesis", steps=3))


def test_a_loss_that_is_no_number_stops_and_keeps_the_last_state(pairs, tmp_path):
    class Broken(Darker):
        def crop(self, rng, size):
            crop = super().crop(rng, size)
            return crop._replace(input=crop.input * np.nan) if rng.random() < 0.3 else crop

        def validation(self):
            return []

    with pytest.raises(
        ValueError, match=r"the loss is nan at step 3; the state of step 2 is kept: resume with a lower"
    ):
        list(train(recipe(checkpoint_every=1, seed=1), Broken(), tmp_path, steps=50))
    network, _ = trained_network(tmp_path, recipe())
    assert all(torch.isfinite(p).all() for p in network.parameters())


def test_a_loss_that_is_no_number_from_the_start_keeps_nothing(tmp_path):
    class Broken(Darker):
        def crop(self, rng, size):
            crop = super().crop(rng, size)
            return crop._replace(input=crop.input * np.nan)

    with pytest.raises(ValueError, match=r"the loss is nan at step 1; no state is kept yet: begin again with a lower"):
        list(train(recipe(), Broken(), tmp_path, steps=5))
    assert not (tmp_path / "checkpoint.safetensors").exists()


def test_weights_that_are_no_numbers_are_never_kept(pairs, tmp_path, monkeypatch):
    learn = Learner.step

    def spoilt(self, batch, step, rate):
        losses = learn(self, batch, step, rate)
        if step == 5:
            next(self.scheme.generators.parameters()).data.view(-1)[0] = np.nan
        return losses

    monkeypatch.setattr(Learner, "step", spoilt)
    with pytest.raises(ValueError, match="weights of generators are not finite at step 6; the state of step 3 is kept"):
        list(train(recipe(), pairs, tmp_path, steps=9))
    assert saved_step(tmp_path) == 3


def test_a_validation_that_is_no_number_is_never_kept_nor_the_best(tmp_path):
    class Blind(Darker):
        def validation(self):
            return [crop._replace(target=crop.target * np.nan) for crop in super().validation()]

    with pytest.raises(ValueError, match="the error on images of validation is nan; no state is kept yet"):
        list(train(recipe(), Blind(), tmp_path, steps=5))
    assert saved_step(tmp_path) is None
    standing = Standing()
    assert [standing.judge(error, recipe()) for error in (np.nan, 2.0, np.nan, 1.0)] == [False, True, False, True]


def test_a_run_goes_on_at_a_lower_rate(pairs, tmp_path):
    list(train(recipe(), pairs, tmp_path, steps=3))
    lower = recipe(learning_rate=1e-4, muon_rate=1e-3)
    assert [event.step for event in train(lower, pairs, tmp_path, steps=4, resume=True)] == [4]
    assert Recipe.read(tmp_path / "recipe.yaml").learning_rate == 1e-4


def test_a_run_without_steps_is_refused(pairs, tmp_path):
    with pytest.raises(ValueError, match="steps is -5: give 1 or more"):
        next(train(recipe(), pairs, tmp_path / "run", steps=-5))
    assert not (tmp_path / "run").exists()


def test_the_state_is_saved_before_pictures_are(pairs, tmp_path, monkeypatch):
    def refuse(*_):
        raise RuntimeError("no picture")

    monkeypatch.setattr("napari_cellrestore.train.loop.write_sample", refuse)
    with pytest.raises(RuntimeError, match="no picture"):
        list(train(recipe(), pairs, tmp_path, steps=3))
    assert saved_step(tmp_path) == 3


@pytest.mark.parametrize(("channels", "wide"), [((1, 3, 3), 3), ((6, 3, 3), 3), ((2, 3, 3), 2), ((3, 1, 1), 3)])
def test_samples_show_grey_beside_colours(tmp_path, channels, wide):
    images = tuple(np.full((8, 10, count), 100.0 + 50 * (count > 1), np.float32) for count in channels)
    write_sample(tmp_path, 7, images)
    assert imread(tmp_path / "samples" / "0000007.png").shape[:2] == (8, 10 * wide)


def test_a_run_is_not_gone_on_with_from_other_images(pairs, tmp_path):
    def files(*sets):
        return {"smears": Split(*(tuple(tmp_path / name for name in names) for names in sets))}

    begun = files(("a", "b"), ("c",), ("d",))
    list(train(recipe(), pairs, tmp_path / "run", steps=3, splits=begun))
    other = files(("a", "d"), ("c",), ("b",))
    message = r"b was in training, now it is in the test and 1 more\); give the same images and numbers"
    with pytest.raises(ValueError, match=message):
        next(train(recipe(), pairs, tmp_path / "run", steps=6, resume=True, splits=other))
    more = {**begun, **{"more": Split((tmp_path / "e",), (), ())}}
    with pytest.raises(ValueError, match="e was not there, now it is in training"):
        next(train(recipe(), pairs, tmp_path / "run", steps=6, resume=True, splits=more))
    # Without files nothing is compared, and what is known is kept.
    assert next(train(recipe(), pairs, tmp_path / "run", steps=6, resume=True)).step == 4
    list(train(recipe(), pairs, tmp_path / "run", steps=6, resume=True))
    moved = {"elsewhere": begun["smears"]}
    assert list(train(recipe(), pairs, tmp_path / "run", steps=6, resume=True, splits=moved)) == []
    with pytest.raises(ValueError, match="b was in training"):
        next(train(recipe(), pairs, tmp_path / "run", steps=9, resume=True, splits=other))


def test_a_run_that_kept_no_files_goes_on(pairs, tmp_path):
    list(train(recipe(), pairs, tmp_path / "run", steps=3))
    path = tmp_path / "run" / "checkpoint.safetensors"
    with safe_open(path, framework="pt") as file:
        metadata = {key: value for key, value in file.metadata().items() if key != "sets"}
    save_file(load_file(path), path, metadata)
    files = {"smears": Split((tmp_path / "a",), (), (tmp_path / "b",))}
    assert next(train(recipe(), pairs, tmp_path / "run", steps=6, resume=True, splits=files)).step == 4


def test_nothing_trained_is_said(tmp_path):
    with pytest.raises(ValueError, match="no checkpoint, so nothing was trained here yet"):
        trained_network(tmp_path, recipe())


def test_schedules():
    standing = Standing()
    assert rate_at(0.5, "constant", standing) == 1
    rates = [rate_at(f, "one-cycle", standing) for f in np.linspace(0, 1, 101)]
    assert max(rates) == 1
    assert int(np.argmax(rates)) == 10
    assert rates[-1] == pytest.approx(0.001)


def test_a_plateau_lowers_the_rate_and_patience_ends_the_run(pairs, tmp_path):
    class Hopeless(Darker):
        def validation(self):
            crop = super().validation()[0]
            return [crop._replace(target=crop.input - 200)]  # the more it learns, the worse

    options = recipe(schedule="plateau", patience=5, checkpoint_every=1, average=0.0)
    events = list(train(options, Hopeless(), tmp_path, steps=200))
    assert len(events) < 60
    checked = [event.validation for event in events]
    assert int(np.argmin(checked)) == len(events) - 6
    network, step = trained_network(tmp_path)
    assert step == len(events)
    # What is kept is the best, not the last.
    crop = Hopeless().validation()[0]
    with torch.inference_mode():
        output = network(torch.from_numpy(crop.input[None] / 127.5 - 1).permute(0, 3, 1, 2).float())
    target = torch.from_numpy(crop.target[None] / 127.5 - 1).permute(0, 3, 1, 2)
    assert float((output - target).abs().mean()) == pytest.approx(min(checked), rel=1e-4)


@pytest.mark.parametrize(
    "changes",
    [
        {
            "losses": {"l1": 10, "adversarial": 1},
            "discriminator": {"options": {"patch": 16, "filters": 4}, "soft_labels": True},
        },
        {
            "losses": {"l1": 10, "adversarial": 1},
            "discriminator": {
                "options": {"patch": 16, "filters": 4, "norm": "instance"},
                "adversarial": "wgan",
                "gradient_penalty": 1,
                "generator_every": 2,
            },
        },
        {
            "losses": {"cycle": 10, "identity": 5, "adversarial": 1},
            "discriminator": {"options": {"patch": 16, "filters": 4}, "conditional": False},
        },
        {"patience": 3, "schedule": "plateau", "checkpoint_every": 1},
    ],
    ids=["soft labels", "wasserstein", "cycle", "patience"],
)
def test_every_kind_of_run_can_be_gone_on_from(changes, pairs, tmp_path):
    options = recipe(checkpoint_every=2, **changes) if "checkpoint_every" not in changes else recipe(**changes)
    options = options.model_copy(update={"optimiser": "adam"})
    whole = losses_of(train(options, pairs, tmp_path / "whole", steps=8))
    stopped = train(options, pairs, tmp_path / "stopped", steps=8)
    for _ in range(5):
        next(stopped)
    stopped.close()
    rest = list(train(options, pairs, tmp_path / "stopped", steps=8, resume=True))
    assert [event.losses for event in rest] == whole[rest[0].step - 1 :]
    ours, theirs = ((tmp_path / name / "losses.csv").read_text() for name in ("whole", "stopped"))
    assert ours == theirs


def test_a_pause_saves_the_state_and_ends(pairs, tmp_path):
    run = train(recipe(checkpoint_every=100), pairs, tmp_path, steps=50)
    for _ in range(4):
        next(run)
    (tmp_path / "pause").touch()
    last = list(run)[-1]
    assert (last.step, last.paused) == (5, True)
    assert not (tmp_path / "pause").exists()
    assert next(train(recipe(checkpoint_every=100), pairs, tmp_path, steps=50, resume=True)).step == 6


@pytest.mark.skipif(sys.platform == "win32", reason="file sizes are limited the POSIX way")
def test_a_full_disk_stops_and_keeps_the_last_state(pairs, tmp_path):
    import resource

    list(train(recipe(), pairs, tmp_path, steps=3))
    before = (tmp_path / "checkpoint.safetensors").read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, limits[1]))
    try:
        with pytest.raises(ValueError, match=r"could not be written .*: that of step 3 is kept; free some space"):
            list(train(recipe(steps=9), pairs, tmp_path, resume=True))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)
    assert (tmp_path / "checkpoint.safetensors").read_bytes() == before
    assert not list(tmp_path.glob("*.unfinished"))
    assert [event.step for event in train(recipe(steps=9), pairs, tmp_path, resume=True)] == [4, 5, 6, 7, 8, 9]


def test_a_run_of_another_recipe_is_refused(pairs, tmp_path):
    list(train(recipe(), pairs, tmp_path, steps=3))
    with pytest.raises(ValueError, match=r"holds a run of another recipe \(batch, seed differ\)"):
        next(train(recipe(batch=3, seed=5), pairs, tmp_path, resume=True))


def test_a_run_goes_on_by_a_recipe_whose_options_are_in_a_tuple(pairs, tmp_path):
    named = recipe(network="nafnet", options={"width": 4, "blocks": (1, 1)}, steps=3)
    list(train(named, pairs, tmp_path))
    assert [event.step for event in train(named.model_copy(update={"steps": 4}), pairs, tmp_path, resume=True)] == [4]


def test_samples_and_validation_are_written(pairs, tmp_path):
    list(train(recipe(), pairs, tmp_path, steps=6))
    assert [path.name for path in sorted((tmp_path / "samples").iterdir())] == ["0000003.png", "0000006.png"]
    rows = (tmp_path / "validation.csv").read_text().splitlines()
    assert rows[0] == "step,error"
    assert [row.split(",")[0] for row in rows[1:]] == ["3", "6"]


def test_event_files_need_their_package(pairs, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ValueError, match="pip install tensorboard, or leave tensorboard out"):
        next(train(recipe(), pairs, tmp_path, steps=3, tensorboard=True))


def test_event_files(pairs, tmp_path):
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    ours = losses_of(train(recipe(), pairs, tmp_path, steps=6, tensorboard=True))
    read = events.EventAccumulator(str(tmp_path / "tensorboard"))
    read.Reload()
    told = read.Scalars("losses/loss")
    assert [one.step for one in told] == [1, 2, 3, 4, 5, 6]
    np.testing.assert_allclose([one.value for one in told], [losses["loss"] for losses in ours], rtol=1e-5)


def test_half_precision_learns_too(pairs, tmp_path):
    losses = [event.losses["loss"] for event in train(recipe(precision="bf16"), pairs, tmp_path, steps=40)]
    assert np.mean(losses[-10:]) < 0.9 * np.mean(losses[:10])


def test_an_estimate_leaves_nothing_behind(pairs, monkeypatch):
    size = estimate(recipe(), pairs)
    assert size.parameters == sum(p.numel() for p in create_network("pix2pix-fast", **recipe().options).parameters())
    assert size.seconds == pytest.approx(size.seconds_a_step * 12_000)
    critic = {"options": {"patch": 16, "filters": 4}, "generator_every": 5}
    learnt = []
    monkeypatch.setattr(Learner, "step", lambda self, batch, step, rate: learnt.append(step))
    estimate(recipe(losses={"l1": 10, "adversarial": 1}, discriminator=critic), pairs)
    assert learnt == [0, 1, 2, 3, 4, 5]  # the generator learns in the fifth


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


def test_a_full_disk_leaves_the_recipe_of_a_run_whole(tmp_path, monkeypatch):
    kept = keep_recipe(tmp_path, recipe())
    before = kept.read_text()

    def half(path, text, **options):
        path.write_bytes(text[:100].encode())
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(kept), "write_text", half)
    with pytest.raises(OSError, match="No space left"):
        keep_recipe(tmp_path, recipe(name="other"))
    assert kept.read_text() == before
    assert [path.name for path in tmp_path.iterdir()] == [kept.name]
