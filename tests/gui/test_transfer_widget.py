"""The widget that pairs two images, in a real viewer: what it makes, says, saves and refuses."""

from __future__ import annotations

import csv
from dataclasses import replace

import numpy as np
import pytest
from napari.utils._proxies import PublicOnlyProxy
from scipy import ndimage

from napari_cellrestore.files import open_stack
from napari_cellrestore.gui.layers import stack_from_layer
from napari_cellrestore.gui.theme import warning_colour
from napari_cellrestore.gui.transfer.widget import PairWidget
from napari_cellrestore.simulate import draw_smear

pytestmark = pytest.mark.gui

UM = {"units": ("um", "um"), "scale": (0.2, 0.2)}
LONG = "DM1200 slide 0042 neutrophil 17, May-Grünwald-Giemsa, second scan, white balance corrected, before cleaning.tif"


@pytest.fixture(scope="module")
def smears():
    """One smear and what another microscope shows of it: turned by 2 degrees, greener, blurred."""
    sharp = draw_smear((240, 260), 0.2, np.random.default_rng(1)).astype(float)
    seen = ndimage.gaussian_filter(sharp, (0.8, 0.8, 0))
    angle = np.radians(2)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    shape = (190, 200)
    shift = np.array([117, 131]) - turn @ (np.array(shape) / 2)
    other = [ndimage.affine_transform(colour, turn, shift, shape, order=3) for colour in np.moveaxis(seen, -1, 0)]
    other = np.stack(other, -1) @ np.array([[0.85, 0.1, 0], [0.05, 0.85, 0.1], [0, 0.1, 0.9]]).T
    noise = np.random.default_rng(0).normal(0, 1.5, other.shape)
    return seen.round().astype(np.uint8), np.clip(other + noise, 0, 255).round().astype(np.uint8)


@pytest.fixture
def open_widget(viewer):
    def opened():
        widget = PairWidget(PublicOnlyProxy(viewer))  # as napari gives it to plugins
        viewer.window.add_dock_widget(widget)
        return widget

    return opened


@pytest.fixture
def two(viewer, smears, open_widget):
    viewer.add_image(smears[1], name=LONG, **UM)
    viewer.add_image(smears[0], name="DM96", translate=(7.0, -3.0), **UM)
    return open_widget()


def aligned(widget, qtbot):
    widget.align_button.click()
    assert widget.align_button.text() == "Stop"
    qtbot.waitUntil(lambda: not widget._work.running, timeout=60_000)


def test_empty_until_there_are_two_images(viewer, open_widget, smears):
    widget = open_widget()
    assert widget.is_empty
    viewer.add_image(smears[0], name="one")
    assert not widget.is_empty
    widget.align_button.click()
    assert "the same layer: choose two" in widget.said.text()
    viewer.add_image(smears[1], name="two")
    assert (widget.input_choice.layer.name, widget.target_choice.layer.name) == ("one", "two")
    assert widget.said.text() == ""
    viewer.layers.clear()
    assert widget.is_empty


def test_a_pair_becomes_two_layers_of_one_grid(two, viewer, qtbot, smears):
    aligned(two, qtbot)
    assert two.pair.good
    ours, theirs = viewer.layers[f"{LONG} paired"], viewer.layers["DM96 paired"]
    assert ours.data.shape == theirs.data.shape
    np.testing.assert_allclose(ours.scale, theirs.scale)
    np.testing.assert_allclose(ours.translate, theirs.translate)
    rows, columns = two.pair.region
    np.testing.assert_array_equal(theirs.data, smears[0][rows, columns])
    np.testing.assert_allclose(theirs.translate, np.array([7.0, -3.0]) + 0.2 * np.array([rows.start, columns.start]))
    stack = stack_from_layer(ours)
    assert stack.pixel_um == 0.2
    said = stack.provenance
    assert said["step"] == "pair"
    assert said["kept"] == "target"
    assert set(said["layers"]) == {LONG, "DM96"}
    assert said["residual_px"] == pytest.approx(two.pair.alignment.residual_px, abs=1e-3)
    assert said["inliers"] >= 12
    assert said["rotation_deg"] == pytest.approx(2, abs=0.2)
    assert "Good pair" in two.said.text()
    assert "+2." in two.said.text() or "+1.9" in two.said.text()
    assert (two.input_choice.layer.name, two.target_choice.layer.name) == (LONG, "DM96")
    assert two.minimumSizeHint().width() <= 320  # a long name does not widen the dock


def test_the_other_image_can_keep_its_pixels(two, viewer, qtbot, smears):
    two.keep_box.setCurrentIndex(two.keep_box.findData("input"))
    aligned(two, qtbot)
    rows, columns = two.pair.region
    np.testing.assert_array_equal(viewer.layers[f"{LONG} paired"].data, smears[1][rows, columns])
    two.keep_box.setCurrentIndex(two.keep_box.findData("target"))
    assert two.pair is None  # it is not of what is chosen now
    assert two.said.text() == ""


def test_a_bad_pair_is_shown_and_not_offered_to_be_saved(two, qtbot, tmp_path):
    aligned(two, qtbot)
    assert two.save_button.isVisibleTo(two)
    two.pair = replace(two.pair, alignment=replace(two.pair.alignment, reason="residual 3 px"))
    two._show()
    assert not two.save_button.isVisibleTo(two)
    two.save(tmp_path / "pairs")
    assert "a bad pair is not saved" in two.said.text()
    assert not list(tmp_path.iterdir())


def test_pairs_are_saved_beside_each_other(two, qtbot, tmp_path):
    aligned(two, qtbot)
    two.save(tmp_path / "pairs")
    two.save(tmp_path / "pairs")
    assert "Saved as" in two.said.text()
    names = sorted(path.stem for path in (tmp_path / "pairs" / "input").iterdir())
    assert len(names) == 2
    assert names[1] == f"{names[0]}_2"
    assert names == sorted(path.stem for path in (tmp_path / "pairs" / "target").iterdir())
    assert open_stack(tmp_path / "pairs" / "input" / f"{names[0]}.tif").pixel_um == 0.2
    with (tmp_path / "pairs" / "pairs.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {row["target"] for row in rows} == {"DM96"}
    two.save(tmp_path / "nowhere" / "pairs")
    assert "there is no folder" in two.said.text()


def test_grey_alpha_and_other_scales(viewer, smears, open_widget, qtbot):
    alpha = np.full((*smears[0].shape[:2], 1), 200, np.uint8)
    viewer.add_image(smears[1][::2, ::2], name="coarse", units=("um", "um"), scale=(0.4, 0.4))
    viewer.add_image(np.concatenate([smears[0], alpha], -1), name="alpha", **UM)
    widget = open_widget()
    aligned(widget, qtbot)
    assert widget.pair.good, widget.pair.reason
    assert viewer.layers["coarse paired"].data.shape[-1] == 3
    assert widget.pair.alignment.scale == pytest.approx(1, abs=0.01)
    viewer.add_image(smears[1][..., 1], name="grey", colormap="magma", **UM)
    widget.input_choice.choose(viewer.layers["grey"])
    aligned(widget, qtbot)
    assert "grey: white cells were not looked for" in widget.said.text()
    assert viewer.layers["grey paired"].colormap.name == "magma"


def test_a_bad_pair_is_said_in_the_warning_colour(two, viewer, qtbot):
    other = draw_smear((200, 220), 0.2, np.random.default_rng(9))
    viewer.add_image(other, name="another", **UM)
    two.input_choice.choose(viewer.layers["another"])
    aligned(two, qtbot)
    assert not two.pair.good
    assert f"color:{warning_colour(viewer)}" in two.said.text()
    assert "another cell" in two.said.text()
    assert not two.save_button.isVisibleTo(two)
    assert "another paired" not in viewer.layers


def test_it_can_be_stopped_and_closed(two, viewer, qtbot):
    two.align_button.click()
    two.align_button.click()
    assert two.align_button.text() == "Align"
    assert two.pair is None
    two.align_button.click()
    viewer.layers.remove(LONG)  # what is worked on goes
    assert not two._work.running
    qtbot.wait(200)
    assert len(viewer.layers) == 1


def test_planes_of_a_stack_are_taken_as_they_are_seen(viewer, smears, open_widget, qtbot):
    stack = np.stack([np.full_like(smears[1], 230), smears[1]])
    viewer.add_image(stack, name="stack", axis_labels=("z", "y", "x"), units=("um",) * 3, scale=(1, 0.2, 0.2))
    viewer.add_image(smears[0], name="flat", **UM)
    widget = open_widget()
    widget.input_choice.choose(viewer.layers["stack"])
    widget.target_choice.choose(viewer.layers["flat"])
    viewer.dims.set_current_step(0, 1)
    aligned(widget, qtbot)
    assert widget.pair.good, widget.pair.reason
