"""The Latent walk widget in a real viewer."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_cellrestore.card import ModelCard
from napari_cellrestore.gui.latent.widget import NO_MODEL, LatentWidget
from napari_cellrestore.latent_walk import latent_walk
from napari_cellrestore.model import load_model, save_model
from napari_cellrestore.networks import create_network

pytestmark = pytest.mark.gui

OPTIONS = {"filters": 4, "latent": 6}


@pytest.fixture
def vae(tmp_path, monkeypatch):
    monkeypatch.setenv("CELLRESTORE_MODELS", str(tmp_path))
    torch.manual_seed(0)
    card = ModelCard(name="walker", task="enhance", network="vae", options=OPTIONS, stride=64, tile_safe=False)
    save_model(tmp_path / "walker", create_network("vae", 3, 3, **OPTIONS).eval(), card)


@pytest.fixture
def widget(viewer):
    made = LatentWidget(viewer)
    viewer.window.add_dock_widget(made)
    return made


def finish(widget, qtbot):
    qtbot.waitUntil(lambda: not widget._working.running, timeout=30_000)


def test_without_images_or_models_it_says_what_to_do(viewer, tmp_path, monkeypatch):
    monkeypatch.setenv("CELLRESTORE_MODELS", str(tmp_path))
    widget = LatentWidget(viewer)
    viewer.window.add_dock_widget(widget)
    assert widget.is_empty
    viewer.add_image(np.zeros((40, 50), np.uint8))
    assert not widget.is_empty
    assert widget.words.text() == NO_MODEL
    assert not widget.walk_button.isEnabled()
    widget.walk()  # as a key might


def test_a_walk_between_two_planes_lies_where_they_lie(viewer, vae, widget, qtbot):
    pixels = np.random.default_rng(0).integers(0, 255, (2, 40, 50, 3)).astype(np.uint8)
    one = viewer.add_image(pixels, name="cells", scale=(1, 0.1, 0.1), translate=(0, 5, 6), units=("pixel", "um", "um"))
    other = viewer.add_image(pixels[1], name="others", scale=(0.1, 0.1), units="um")
    widget.layer_choice.setCurrentText("cells")
    widget.other_choice.setCurrentText("others")
    viewer.dims.set_current_step(0, 0)
    widget.steps.setValue(4)
    widget.walk_button.click()
    assert widget.walk_button.text() == "Stop"
    finish(widget, qtbot)
    walk = viewer.layers["cells walk"]
    expected = latent_walk(pixels[0], load_model("walker"), to=pixels[1], steps=4)
    assert np.abs(walk.data.astype(int) - expected.data).max() <= 1
    np.testing.assert_allclose(walk.scale, (1, 0.1, 0.1))
    np.testing.assert_allclose(walk.data_to_world((0, 3, 4))[1:], one.data_to_world((0, 3, 4))[1:])
    assert "computed, not recorded" in walk.metadata["cellrestore"]["provenance"]["generated"]
    assert "4 images in the layer <b>cells walk</b>" in widget.status.text()
    widget.walk_button.click()  # in its place
    finish(widget, qtbot)
    assert len(viewer.layers) == 3
    assert other in viewer.layers


def test_a_layer_of_the_same_name_that_is_no_walk_stays_and_what_was_guessed_is_said(viewer, vae, widget, qtbot):
    pixels = np.random.default_rng(0).integers(0, 4000, (40, 50)).astype(np.uint16)
    viewer.add_image(pixels, name="grey")
    mine = viewer.add_image(pixels, name="grey walk")
    widget.layer_choice.setCurrentText("grey")
    widget.along.setChecked(True)
    widget.walk_button.click()
    finish(widget, qtbot)
    assert mine in viewer.layers
    assert "images in the layer <b>grey walk [1]</b>" in widget.status.text()
    assert "Mind: the full scale of uint16 is not stated" in widget.status.text()


def test_a_walk_is_between_two_images_and_shown_as_the_first(viewer, vae, widget, qtbot):
    pixels = np.random.default_rng(0).integers(0, 255, (2, 40, 50)).astype(np.uint8)
    first = viewer.add_image(pixels[0], name="first", colormap="magma", contrast_limits=(10, 90))
    assert widget.other_choice.layer is first
    second = viewer.add_image(pixels[1], name="second <b>")
    assert (widget.layer_choice.layer, widget.other_choice.layer) == (first, second)
    widget.walk_button.click()
    finish(widget, qtbot)
    walk = viewer.layers["first walk"]
    assert walk.colormap.name == "magma"
    assert walk.contrast_limits == [10, 90]
    widget.layer_choice.choose(second)
    widget.walk_button.click()
    assert "from an image to itself" in widget.status.text()
    widget.along.setChecked(True)
    widget.walk_button.click()
    finish(widget, qtbot)
    assert "<b>second &lt;b&gt; walk</b>" in widget.status.text()
    assert widget.layer_choice.layer is second  # another image does not change what is walked from


def test_along_a_number_and_odd_orders(viewer, vae, widget, qtbot):
    layer = viewer.add_image(np.random.default_rng(0).integers(0, 255, (40, 50)).astype(np.uint8), name="grey")
    widget.layer_choice.setCurrentText("grey")
    widget.along.setChecked(True)
    assert widget.direction.maximum() == 5
    assert not widget._form.isRowVisible(widget.other_choice)
    widget.direction.setValue(5)
    widget.walk_button.click()
    widget.walk_button.click()  # stop
    finish(widget, qtbot)
    widget.walk_button.click()
    finish(widget, qtbot)
    assert viewer.layers["grey walk"].data.shape == (9, 40, 50)
    viewer.layers.remove("grey walk")
    viewer.add_image(np.zeros((30, 50), np.uint8), name="small")
    widget.between.setChecked(True)
    widget.layer_choice.setCurrentText("grey")
    widget.other_choice.setCurrentText("small")
    widget.walk_button.click()
    finish(widget, qtbot)
    assert "give two of one size and type" in widget.status.text()
    widget.walk_button.click()
    viewer.layers.remove(layer)  # meanwhile
    finish(widget, qtbot)
    viewer.layers.clear()
    assert widget.is_empty
