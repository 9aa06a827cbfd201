"""The Train widget in a real viewer, with real processes: the command itself, and one that says what is wanted."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from textwrap import dedent

import numpy as np
import pytest
import tifffile
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication
from scipy import ndimage
from skimage.io import imsave

from napari_cellrestore.card import ModelCard
from napari_cellrestore.gui.layers import layer_data
from napari_cellrestore.gui.train import widget as train_widget
from napari_cellrestore.gui.train.layer_pairs import count_pairs, pair_folders
from napari_cellrestore.gui.train.loss_history import LossHistory
from napari_cellrestore.gui.train.loss_plot import log_ticks
from napari_cellrestore.gui.train.needs import lacking
from napari_cellrestore.gui.train.outcome import usable
from napari_cellrestore.gui.train.preview import PreviewBox, part_in_view
from napari_cellrestore.gui.train.run_folder import runs_folder
from napari_cellrestore.gui.train.sample_strip import SampleStrip
from napari_cellrestore.gui.train.setup_box import free_name
from napari_cellrestore.gui.train.widget import GONE, NOTHING_KEPT, TrainWidget
from napari_cellrestore.jobs import Job
from napari_cellrestore.leds import LedTable
from napari_cellrestore.model import list_models, save_model
from napari_cellrestore.networks import create_network
from napari_cellrestore.pairs import Field, Picture
from napari_cellrestore.pairs.led_stacks import LedPairs
from napari_cellrestore.recipe import RECIPES, Recipe
from napari_cellrestore.stack import ImageStack
from napari_cellrestore.train import CHECKPOINT, train

pytestmark = pytest.mark.gui

LONG_MS = 180_000
TINY = """
name: tiny
network: pix2pix-fast
options: {filters: 4, blocks: 4}
losses: {l1: 10}
steps: 6
batch: 1
crop_px: 32
checkpoint_every: 3
"""
SAY = """
import json, os, pathlib, sys, time
def say(**event): print(json.dumps(event), flush=True)
"""


@pytest.fixture(autouse=True)
def _home(tmp_path, monkeypatch):
    """Models and runs of this test alone."""
    monkeypatch.setenv("CELLRESTORE_MODELS", str(tmp_path / "home" / "models"))


@pytest.fixture
def smears(tmp_path):
    """Five sharp colour images."""
    folder = tmp_path / "smears"
    folder.mkdir()
    for seed in range(5):
        rough = np.random.default_rng(seed).normal(size=(48, 56, 3))
        pixels = ndimage.gaussian_filter(rough, (1.5, 1.5, 0)) * 300 + 128
        imsave(folder / f"{seed}.png", np.clip(pixels, 0, 255).astype(np.uint8), check_contrast=False)
    return folder


@pytest.fixture
def recipe_file(tmp_path, smears):
    path = tmp_path / "tiny.yaml"
    path.write_text(f"{TINY}images: [{{kind: sharp, input: {smears.as_posix()!r}}}]\n", encoding="utf-8")
    return path


@pytest.fixture
def viewer(make_napari_viewer):
    return make_napari_viewer(show=True)


@pytest.fixture
def widget(viewer):
    widget = TrainWidget(viewer)
    viewer.window.add_dock_widget(widget)
    return widget


@pytest.fixture
def ready(widget, recipe_file):
    """A widget in which all is chosen."""
    widget.setup.load(recipe_file)
    return widget


@pytest.fixture
def says(monkeypatch):
    """Let the command be a program that says what is wanted; returns what is told to it."""
    told = []

    def use(program):
        def job(arguments):
            told.append(arguments)
            return Job(arguments, program=[sys.executable, "-c", SAY + dedent(program)])

        monkeypatch.setattr(train_widget, "Job", job)
        return told

    return use


def said(widget):
    return plain(widget.box.message)


def plain(label):
    return label.text().replace("\u200b", "")


def wait(widget, qtbot):
    qtbot.waitUntil(lambda: not widget.box.running, timeout=LONG_MS)


STEPS = "[say(step=n, of=9, loss=1 / n, left_s=99) for n in range(1, 4)]\n"


# --- the whole way -----------------------------------------------------------------------------------------


def test_estimate_train_pause_resume_and_use(viewer, ready, smears, qtbot, recipe_file):
    layer = viewer.add_image(np.full((40, 60, 3), 200, np.uint8), scale=(0.1, 0.1), units="um", name="cells")
    setup, view = ready.setup, ready.view
    assert (setup.name.text(), setup.settings.steps.value(), ready.start_button.text()) == ("tiny", 6, "Start")
    ready.estimate_button.click()
    wait(ready, qtbot)
    assert ready.estimate_text.text().startswith(
        "3 images of smears to train on. A network of 1,867 weights; 6 steps of"
    )
    assert not setup.run.exists()  # an estimate leaves nothing behind

    setup.settings.steps.setValue(3000)
    assert not ready.estimate_text.isVisible()  # of other settings
    view.preview.on_box.setChecked(True)
    ready.start_button.click()
    assert not setup.isVisible()
    assert not ready.pause_button.isEnabled()  # a pause before the first step would be forgotten
    qtbot.waitUntil(ready.pause_button.isEnabled, timeout=LONG_MS)
    ready.pause_button.click()
    ready.pause()  # twice
    assert not ready.pause_button.isEnabled()
    wait(ready, qtbot)
    step = setup.saved[0]
    assert 1 <= step < 3000
    assert said(ready) == f"Paused at step {step:,}."
    assert plain(ready.hint) == f"This folder holds a run of tiny at step {step:,} of 3,000: Resume goes on from there."
    assert ready.start_button.text() == "Resume"
    assert not setup.recipes.isEnabled()
    assert view.history.last == step

    def preview():
        return [one for one in viewer.layers if one.name == f"Preview: step {step:,}"]

    qtbot.waitUntil(lambda: bool(preview()), timeout=LONG_MS)
    (shown,) = preview()
    assert "generated" in shown.metadata["cellrestore"]["provenance"]
    assert shown.data.shape[2:] == (3,)
    assert shown.units == layer.units
    np.testing.assert_allclose(shown.scale, layer.scale)

    setup.settings.steps.setValue(step + 5)
    setup.settings.steps.setValue(1)
    assert setup.settings.steps.value() == step  # not shorter than what was learnt
    setup.settings.steps.setValue(step + 5)
    ready.start_button.click()
    wait(ready, qtbot)
    assert said(ready) == ""
    assert "tiny is finished and in the list of models. On held-out smears images its error" in plain(ready.result)
    assert "tiny" in [card.name for card in list_models()]
    assert view.history.last == step + 5
    assert view.strip.isVisible()
    assert setup.name.text() == "tiny 2"  # for the next
    assert setup.saved is None
    qtbot.waitUntil(lambda: shown.name == f"Preview: step {step + 5:,}", timeout=LONG_MS)  # in its place
    assert shown in viewer.layers
    ready.use_button.click()
    restore = viewer.window.dock_widgets["Restore (napari-cellrestore)"]
    assert restore.model_choice.card.name == "tiny"


def test_settings_saved_as_a_file_are_what_the_command_runs(ready, tmp_path, qtbot):
    ready.setup.settings.pixel.setValue(0.2)
    ready.setup.settings.steps.setValue(4)
    path = tmp_path / "mine.yaml"
    ready.setup.save(path)
    recipe = Recipe.read(path)
    assert recipe == ready.setup.recipe()
    assert (recipe.steps, recipe.pairs.pixel_um, recipe.pairs.na) == (4, 0.2, 1.05)
    assert recipe.images[0].input == str(tmp_path / "smears")
    line = ready.setup.file.text
    assert line.startswith("cellrestore train ")
    assert str(path) in line
    ready.setup.file.copy_button.click()
    assert QApplication.clipboard().text() == line
    ready.setup.settings.steps.setValue(5)
    assert ready.setup.file.text == ""  # the file does not say that
    ready.setup.load(path)
    assert ready.setup.recipe() == recipe

    job = Job(ready.setup.command().arguments(path, "--dry-run", "--json"))
    assert [event["steps"] for event in job.events() if "steps" in event] == [4]


def test_a_source_of_a_file_stays_what_it_is(ready, recipe_file, smears, tmp_path):
    """Slides and the dip of contrast decide what trains and what is kept for the test."""
    stacks = f"{{kind: stacks, input: {smears.as_posix()!r}, every: 4, slide: '^(.)', align: true, at_minimum: true}}"
    recipe_file.write_text(f"{TINY}images: [{stacks}]\n", encoding="utf-8")
    setup = ready.setup
    setup.load(recipe_file)
    assert setup.recipe() == Recipe.read(recipe_file)
    assert (setup.sources.slide.text(), setup.sources.at_minimum.isChecked()) == ("^(.)", True)
    setup.sources.slide.setText("^[^_]+")
    setup.sources.at_minimum.setChecked(False)
    (source,) = setup.recipe().images
    assert (source.slide, source.at_minimum, source.every) == ("^[^_]+", False, 4)
    setup.sources._choose("sharp")
    (source,) = setup.recipe().images
    assert (source.slide, source.align, source.at_minimum) == ("^[^_]+", False, False)
    assert not setup.sources.at_minimum.isVisible()


def test_images_that_a_recipe_cannot_learn_from_are_said(ready, smears, tmp_path):
    sources = ready.setup.sources
    sources._choose("unpaired")
    sources.target.show_folder(tmp_path)
    assert "recipe 'tiny' learns from pairs, these images do not belong to each other" in plain(ready.hint)
    there_and_back = RECIPES["ccGAN"].model_copy(
        update={"losses": {"cycle": 1.0, "identity": 1.0}, "discriminator": None}
    )
    ready.setup.recipes.choose(there_and_back)
    assert "has no adversarial loss: from unpaired images alone it learns to leave images as they are" in plain(
        ready.hint
    )
    assert not ready.start_button.isEnabled()
    ready.setup.recipes.choose(RECIPES["CycleGAN"])
    assert ready.start_button.isEnabled()


def test_every_model_that_makes_images_can_be_used(tmp_path):
    said = []
    for task in ("distance", "enhance"):
        card = ModelCard(name=task, task=task, network="pix2pix-fast", halo_px=32)
        save_model(tmp_path / task, create_network("pix2pix-fast"), card)
        said.append({"folder": str(tmp_path / task)})
    assert (usable(said[:1]), usable(said)) == (None, "enhance")


# --- its end -----------------------------------------------------------------------------------------------


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_a_killed_process_leaves_napari_alive(ready, says, qtbot):
    says(STEPS + "time.sleep(60)")
    ready.start()
    qtbot.waitUntil(lambda: ready.view.history.last == 3)
    os.kill(ready._job._process.pid, signal.SIGKILL)
    wait(ready, qtbot)
    assert said(ready) == f"cellrestore train: ended by signal 9 (out of memory?). {NOTHING_KEPT}"
    assert ready.setup.isVisible()
    assert ready.start_button.isEnabled()
    assert not ready.pause_button.isEnabled()


def test_stop_then_start_again(ready, says, qtbot):
    says(STEPS + "time.sleep(60)")
    ready.start()
    ready.start()  # an impatient click
    qtbot.waitUntil(lambda: ready.view.history.last == 3)
    ready.box.stop_button.click()
    wait(ready, qtbot)
    assert said(ready) == f"Stopped. {NOTHING_KEPT}"
    told = says("say(step=1, of=9, loss=1); sys.exit('one line that says why')")
    ready.start_button.click()
    wait(ready, qtbot)
    assert said(ready) == f"one line that says why. {NOTHING_KEPT}"
    assert "--resume" not in told[0]
    assert ready.view.history.last == 1  # begun anew


@pytest.mark.parametrize("how", ["the dock", "the viewer"])
def test_closing_ends_the_process(viewer, ready, says, qtbot, how):
    says(STEPS + "time.sleep(60)")
    ready.start()
    qtbot.waitUntil(lambda: ready.view.history.last == 3)
    job = ready._job
    if how == "the dock":
        viewer.window.remove_dock_widget(ready)
    else:
        viewer.close()
    qtbot.waitUntil(lambda: job.cancelled and job.status is not None, timeout=10_000)


def test_many_fast_steps_do_not_freeze_the_window(ready, says, qtbot):
    says("for n in range(1, 20001): say(step=n, of=20000, loss=1 / n, left_s=1)\ntime.sleep(60)")
    ticks = [time.monotonic()]
    beat = QTimer(interval=50)
    beat.timeout.connect(lambda: ticks.append(time.monotonic()))
    beat.start()
    ready.start()
    qtbot.waitUntil(lambda: ready.view.history.last == 20_000, timeout=200_000)
    beat.stop()
    assert max(np.diff(ticks)) < 8  # it takes half a minute where Qt paints every step
    ready.box.stop()
    wait(ready, qtbot)


def test_what_the_command_minds_is_said(ready, says, qtbot):
    says("say(remark='2 files were left out'); say(step=1, of=1, loss=2.0); say(waiting=0.62); say(paused=1)")
    ready.start()
    wait(ready, qtbot)
    assert plain(ready.remarks) == ("Mind: 2 files were left out.\nMind: 62 % of the time was spent waiting for crops.")


def test_the_height_of_a_picture_does_not_depend_on_its_width(qtbot, tmp_path):
    """Else the scroll bar that it makes come makes it lower, so that the bar goes, and so on without an end."""
    folder = tmp_path / "run" / "samples"
    folder.mkdir(parents=True)
    for step in (3, 12):
        imsave(folder / f"{step:07}.png", np.full((64, 192, 3), step, np.uint8), check_contrast=False)
    strip = SampleStrip()
    qtbot.addWidget(strip)
    strip.show_run(tmp_path / "run")
    assert strip.words.text().endswith("step 12")
    heights = set()
    for width in (180, 240, 900):
        strip.resize(width, 300)
        qtbot.waitUntil(lambda width=width: strip.picture.width() == width)
        heights.add(strip.picture.height())
        size = strip.picture.pixmap().size()
        assert (size.width(), size.height()) == pytest.approx((min(width, 288), min(width / 3, 96)), abs=1)
    assert len(heights) == 1
    strip.show_run(None)
    assert not strip.isVisible()


# --- odd orders --------------------------------------------------------------------------------------------


def test_a_run_that_is_gone_is_not_resumed(ready, qtbot):
    ready.start()
    wait(ready, qtbot)
    run = runs_folder() / "tiny"
    ready.setup.run_row.show_folder(run)
    assert ready.start_button.text() == "Resume"
    assert "holds a run at its end, step 6" in plain(ready.hint)
    assert ready.setup.name.text() == "tiny 2"
    (run / CHECKPOINT).unlink()
    ready.start_button.click()
    assert said(ready) == GONE
    assert not ready.box.running
    (run / CHECKPOINT).write_bytes(b"cut off")
    ready.setup.look()
    assert "cannot be read; choose another folder" in plain(ready.hint)
    for path in run.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    (run / "thesis.txt").touch()
    ready.setup.look()
    assert "holds other things than a run (thesis.txt); give a new folder" in plain(ready.hint)
    assert not ready.start_button.isEnabled()
    assert not ready.start_button.isEnabled()


def test_pause_where_the_folder_has_gone(ready, says, qtbot, tmp_path):
    says(STEPS + "time.sleep(60)")
    ready.start()
    qtbot.waitUntil(ready.pause_button.isEnabled)
    ready.setup.run.rename(tmp_path / "elsewhere")
    ready.pause_button.click()
    assert "cannot be paused" in said(ready)
    ready.box.stop()
    wait(ready, qtbot)


def test_what_is_missing_is_said(widget, smears, recipe_file, tmp_path):
    setup = widget.setup

    def hint():
        return plain(widget.hint)

    assert hint() == "Choose the folder of images."
    for nothing in (widget.start, widget.estimate, widget.pause):
        nothing()
        assert not widget.box.running
    setup.sources.input.show_folder(tmp_path / "none")
    assert hint() == f"There is no folder {tmp_path / 'none'}."
    setup.sources.input.show_folder(smears)
    assert not widget.hint.isVisible()
    setup.name.setText("deblur-fast")
    assert "there is a model 'deblur-fast' already" in hint()
    setup.name.setText("a/b")
    assert "cannot be the name of a model" in hint()
    assert not widget.start_button.isEnabled()
    recipe_file.write_text("name: mine\nnetwrok: x")
    setup.load(recipe_file)
    assert "netwrok" in said(widget)
    assert "\n" not in said(widget)
    setup.load(tmp_path / "none.yaml")
    assert "none.yaml" in said(widget)


def test_recipes_say_what_they_lack(widget, monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    features = {"network": "vgg16", "layers": ["conv5_3"]}
    vgg = Recipe(name="v", network="pix2pix", losses={"feature": 1}, features=features)
    assert "vgg16-397923af.pth" in lacking(vgg)
    given = vgg.model_copy(update={"features": vgg.features.model_copy(update={"weights": "no/file"})})
    assert lacking(given) == "This recipe compares features of vgg16: there is no file no/file."
    begun = Recipe(name="s", network="pix2pix", losses={"l1": 1}, start="maeNET")
    assert "goes on from the model 'maeNET'" in lacking(begun)
    widget.setup.recipes.choose(RECIPES["pix2pix-vgg"])
    assert "vgg16" in plain(widget.hint)
    assert not widget.start_button.isEnabled()


def test_every_recipe_can_be_chosen_and_stays_what_it_is(widget, smears):
    setup = widget.setup
    setup.sources.input.show_folder(smears)
    for recipe in RECIPES.values():
        setup.recipes.choose(recipe)
        assert setup.settings.applied_to(setup.recipes.recipe) == recipe  # no field rounds what it shows
        levels_um = recipe.pairs.only_um or recipe.pairs.levels_um
        assert setup.settings.defocus.value() == max(map(abs, levels_um))
        assert setup.settings.defocus.isEnabled() == (not recipe.pairs.only_um)
    own = RECIPES["pix2pix"].model_copy(update={"name": "own"})
    for name in ("own", "own again"):  # the second in the place of the first
        setup.recipes.choose(own.model_copy(update={"name": name}))
    texts = [setup.recipes.itemText(row) for row in range(setup.recipes.count())]
    assert texts[-2:] == ["From a file", "own again"]
    assert texts.count("From a file") == 1


def test_names_are_proposed_that_are_free():
    card = ModelCard(name="mine", task="deblur", network="pix2pix-fast", halo_px=32)
    save_model(runs_folder().parent / "models" / "mine", create_network("pix2pix-fast"), card)
    (runs_folder() / "mine 2").mkdir(parents=True)
    assert free_name("mine") == "mine 3"
    assert free_name("other") == "other"


# --- layers ------------------------------------------------------------------------------------------------


def test_layers_are_saved_as_pairs_and_never_replaced(viewer, widget, qtbot):
    setup = widget.setup
    setup.sources._choose("layers")
    assert "Open two images" in setup.sources.saved.text()
    rng = np.random.default_rng(0)
    place = {"scale": (0.2, 0.2), "units": "um"}
    blurred = viewer.add_image(rng.integers(0, 255, (40, 60, 3), np.uint8), name="a/b: blurred", **place)
    sharp = viewer.add_image(rng.integers(0, 255, (40, 60, 3), np.uint8), name="sharp", **place)
    setup.sources.input_layer.choose(blurred)
    setup.sources.target_layer.choose(sharp)
    setup.sources.add_button.click()
    qtbot.waitUntil(lambda: count_pairs(setup.run) == 1 and not setup.sources.saving)
    assert "Add 3 pairs or more" in plain(widget.hint)
    setup.sources.cuts.setValue(2)
    setup.sources.add_pair()
    qtbot.waitUntil(lambda: not setup.sources.saving)
    assert setup.sources.saved.text() == "5 pairs are in the folder of the run"
    inputs, targets = (sorted(folder.iterdir()) for folder in pair_folders(setup.run))
    assert [path.name for path in inputs] == [f"{number:04} a b blurred.ome.tif" for number in range(1, 6)]
    np.testing.assert_array_equal(tifffile.imread(targets[0]), sharp.data)
    np.testing.assert_array_equal(tifffile.imread(inputs[4]), blurred.data[20:, 30:])
    (source,) = setup.recipe().images
    assert (source.kind, source.input, source.target) == ("pairs", *map(str, pair_folders(setup.run)))
    assert widget.start_button.isEnabled()

    other = viewer.add_image(np.zeros((8, 8), np.uint8), name="small")
    setup.sources.target_layer.choose(other)
    setup.sources.add_pair()
    qtbot.waitUntil(lambda: not setup.sources.saving)
    assert "choose layers that lie on each other" in said(widget)
    assert count_pairs(setup.run) == 5


def test_the_part_in_view_is_where_it_was(viewer):
    pixels = np.arange(30 * 900 * 700, dtype=np.uint32).astype(np.uint16).reshape(30, 900, 700)
    layer = viewer.add_image(pixels, scale=(1, 0.5, 0.5), translate=(0, 10, 20), rotate=30)
    viewer.dims.set_current_step(0, 7)
    viewer.reset_view()
    part, place = part_in_view(viewer, layer)
    assert max(part.data.shape) <= 512
    shown = viewer.add_image(np.asarray(part.data), **place)
    corner = np.array(shown.data_to_world((3, 4)))
    index = np.rint(layer.world_to_data((7, *corner))).astype(int)
    assert pixels[tuple(index)] == part.data[3, 4]


def test_led_stacks_are_previewed_as_a_whole(viewer, qtbot, tmp_path):
    """A model of several LEDs makes one image of them, whichever LED is shown."""
    leds = LedTable(index=range(3), polar_deg=[0, 30, 30], azimuth_deg=[0, 0, 90])
    pixels = np.random.default_rng(0).integers(0, 4095, (3, 48, 56)).astype(np.uint16)
    field = Field.of(
        "a", Picture("a", pixels.transpose(1, 2, 0)), Picture("b", (pixels[0, ..., None] // 16).astype(np.uint8))
    )
    pairs = LedPairs([field], [field], leds=leds, intensity_range=(0, 4095))
    recipe = Recipe(
        name="stained",
        task="stain",
        network="rrdb",
        options={"width": 4, "blocks": 1, "growth": 2},
        losses={"l1": 1},
        steps=2,
        batch=1,
        crop_px=32,
    )
    list(train(recipe, pairs, tmp_path / "run"))
    stack = ImageStack(pixels[[2, 0, 1]], "AYX", leds=leds[[2, 0, 1]], pixel_um=0.3)
    ((data, options, _),) = layer_data(stack)
    source = viewer.add_image(data, **options)
    box = PreviewBox(viewer)
    qtbot.addWidget(box)
    viewer.dims.set_current_step(0, 2)
    box.follow(tmp_path / "run")
    with qtbot.waitSignal(box.shown, timeout=LONG_MS):
        box.now_button.click()
    shown = viewer.layers["Preview: step 2"]
    assert (shown.data.shape, shown.data.dtype) == ((48, 56), np.uint8)
    assert tuple(shown.contrast_limits) == (0, 255)
    np.testing.assert_allclose(shown.scale, source.scale[1:])
    viewer.add_image(pixels[0], name="one plane")
    box.layer_choice.setCurrentText("one plane")
    qtbot.waitUntil(box.now_button.isEnabled, timeout=LONG_MS)
    box.now_button.click()
    qtbot.waitUntil(lambda: "a single axis of planes" in box.words.text(), timeout=LONG_MS)


# --- losses ------------------------------------------------------------------------------------------------


def test_losses_that_were_not_taken_are_no_zeros():
    history = LossHistory()
    for step in range(1, 7):  # a generator that waits for its critic
        made = {"loss": float(step), "l1": 1.0} if step % 2 == 0 else {}
        history.add({"step": step, "of": 6, "critic": None if step == 1 else 0.5, **made, "left_s": 1})
    assert history.names == ["critic", "loss", "l1"]
    steps, means = history.curve("loss", 3)
    assert (steps.tolist(), means.tolist()) == ([1.5, 3.5, 5.5], [2.0, 4.0, 6.0])
    assert history.curve("critic", 6)[0].tolist() == [2, 3, 4, 5, 6]
    history.cut(3)
    assert (history.last, history.curve("loss", 100)[1].tolist()) == (3, [2.0])


def test_ticks_of_many_decades_are_the_decades():
    assert [words for _, words in log_ticks(1e-3, 5e2)] == ["0.001", "0.01", "0.1", "1", "10", "100", "1000"]
