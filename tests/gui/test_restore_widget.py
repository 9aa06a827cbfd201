"""The Restore widget and the layer that fills in as one looks, in a real viewer."""

from __future__ import annotations

import threading
import time
from threading import Event

import dask.array as da
import numpy as np
import pytest
import torch
from napari.layers import Image
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication

from napari_cellrestore.card import ModelCard
from napari_cellrestore.deconvolve import deconvolution_model
from napari_cellrestore.files import open_stack
from napari_cellrestore.gui.layers import layer_data, smaller_levels
from napari_cellrestore.gui.restore.live import LiveRestoration
from napari_cellrestore.gui.restore.shown_input import ShownInput
from napari_cellrestore.gui.restore.widget import RestoreWidget
from napari_cellrestore.leds import LedTable
from napari_cellrestore.model import load_model, save_model, there_and_back
from napari_cellrestore.networks import create_network
from napari_cellrestore.restore import plan_restoration, restore, restore_with_spread
from napari_cellrestore.stack import ImageStack

pytestmark = pytest.mark.gui


def smear(shape, seed=0):
    return np.random.default_rng(seed).integers(60, 230, shape).astype(np.uint8)


@pytest.fixture
def viewer(make_napari_viewer):
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1100, 800)
    return viewer


@pytest.fixture
def widget(viewer, qtbot):
    widget = RestoreWidget(viewer)
    viewer.window.add_dock_widget(widget)
    yield widget
    widget._stop()


def add(viewer, stack):
    ((data, options, _),) = layer_data(stack)
    return viewer.add_image(data, **options)


def alike(image, expected):
    """Whether two passes of one network agree: threads add in another order, so a half may round either way."""
    apart = np.abs(np.asarray(image).astype(int) - np.asarray(expected).astype(int))
    return apart.max() <= 1 and (apart > 0).mean() < 1e-3


def wait_for_tiles(qtbot, widget, count):
    qtbot.waitUntil(lambda: widget._live.n_finished >= count and not widget._live.pending, timeout=30_000)


def test_apply_restores_what_is_seen_and_keeps_the_calibration(viewer, widget, qtbot):
    stack = ImageStack(smear((3, 90, 120, 3)), "ZYXS", pixel_um=0.1, z_um=[0, 0.4, 0.8], source="smear.tif")
    source = add(viewer, stack)
    viewer.dims.set_current_step(0, 2)
    widget.apply()
    result = viewer.layers["smear restored"]
    np.testing.assert_allclose(result.scale, source.scale)
    assert [str(unit) for unit in result.units] == [str(unit) for unit in source.units]
    assert result.axis_labels == source.axis_labels
    assert "pixels are computed, not recorded" in result.metadata["cellrestore"]["provenance"]["generated"]
    qtbot.waitUntil(lambda: (2, 0, 0) in widget._live._tiles, timeout=30_000)
    exact = restore(stack, load_model("deblur-fast")).compute()
    qtbot.waitUntil(lambda: alike(result.data[0][2], exact[2]), timeout=5_000)
    assert (1, 0, 0) not in widget._live._tiles  # nobody looked there
    assert alike(result.data[0], exact)  # as an array: never a mixture


def test_saving_gives_the_numbers_shown(viewer, widget, qtbot, tmp_path):
    add(viewer, ImageStack(smear((2, 70, 80, 3)), "ZYXS", pixel_um=0.1, z_um=[0, 0.5], source="smear.tif"))
    widget.apply()
    wait_for_tiles(qtbot, widget, 1)
    path = tmp_path / "restored.ome.tif"
    widget.save(path)
    qtbot.waitUntil(lambda: path.exists() and not widget._saving.running, timeout=30_000)
    saved = open_stack(path)
    np.testing.assert_array_equal(np.asarray(saved.data), np.asarray(widget._result.data[0]))
    for key, tile in widget._live._tiles.items():
        np.testing.assert_array_equal(np.asarray(saved.data[key[0]]), tile[0])
    assert (saved.pixel_um, saved.z_um.tolist()) == (0.1, [0, 0.5])
    assert saved.provenance["weights_sha256"] == load_model("deblur-fast").card.weights_sha256
    widget.save(path.with_suffix(".zarr"))
    qtbot.waitUntil(lambda: path.with_suffix(".zarr").exists() and not widget._saving.running, timeout=30_000)
    np.testing.assert_array_equal(np.asarray(open_stack(path.with_suffix(".zarr")).data), np.asarray(saved.data))


def test_only_tiles_in_view_are_computed(viewer, widget, qtbot):
    add(viewer, ImageStack(smear((3000, 3000, 3)), "YXS", pixel_um=0.1))
    viewer.scene.camera.zoom = 20  # pixels of screen per um: about 50 x 40 um in view
    widget.apply()
    qtbot.wait(300)
    wait_for_tiles(qtbot, widget, 1)
    n_seen = widget._live.n_finished
    assert 1 <= n_seen <= 9
    assert widget._live.plan.n_tiles == 36
    middle = (2, 2)
    assert middle in widget._live._tiles
    tile = widget._live._tiles[middle]
    widget._draw()
    qtbot.wait(300)
    assert widget._live._tiles[middle] is tile  # not computed again


def dimmed(grey_levels):
    """What 8 bit grey levels look like where nothing is restored yet."""
    return (np.asarray(grey_levels) * LiveRestoration.DIMMED).astype(np.uint8)


def slow_disk(side=4000, chunk=250):
    """A smear that is read in chunks, and the threads that read each."""
    image, read = smear((side, side, 3)), []

    def chunk_of(block_info=None):
        read.append(threading.current_thread().name)
        (y0, y1), (x0, x1), _ = block_info[None]["array-location"]
        return image[y0:y1, x0:x1]

    chunks = ((chunk,) * (side // chunk),) * 2 + ((3,),)
    return image, da.map_blocks(chunk_of, chunks=chunks, dtype=np.uint8, meta=np.empty((0, 0, 0), np.uint8)), read


def test_nothing_is_read_by_the_window_and_tiles_around_the_view_follow(viewer, widget, qtbot):
    image, lazy, read = slow_disk()
    stack = ImageStack(lazy, "YXS", pixel_um=0.1)
    plan = plan_restoration(stack, load_model("deblur-fast"), soon=True)
    assert len(read) < 160  # of 256: not the whole of it to decide
    read.clear()
    live = LiveRestoration(stack, load_model("deblur-fast"), plan)
    layer = Image(live.levels, rgb=True)
    layer._level_materializer = None
    live.follow(layer)
    layer.corner_pixels, layer._data_level = np.array([[900, 900], [1400, 1400]]), 0
    shown = live.region((), range(900, 1400), range(900, 1400), 1)
    assert not shown.any()  # nothing was read yet
    qtbot.waitUntil(lambda: live.n_finished == 16, timeout=60_000)
    qtbot.waitUntil(lambda: not live.pending and not live._input.pending, timeout=10_000)
    # what is in view first, but for a tile begun when napari read the whole for its thumbnail
    assert set(list(live._tiles)[:5]) > {(1, 1), (1, 2), (2, 1), (2, 2)}
    assert threading.main_thread().name not in read
    np.testing.assert_array_equal(
        live._input.region((), range(1200, 1230), range(1000, 1030), 1), dimmed(image[1200:1230, 1000:1030])
    )
    coarse = live._input.region((), range(0, 20), range(100, 120), 2)
    assert not coarse.any()
    qtbot.waitUntil(lambda: not live._input.pending, timeout=10_000)
    np.testing.assert_array_equal(
        live._input.region((), range(0, 20), range(100, 120), 2), dimmed(image[0:40:2, 200:240:2])
    )
    live.stop()


def test_what_was_planned_of_a_file_is_applied_without_reading_it_again(viewer, widget, qtbot):
    _, lazy, _read = slow_disk()
    layer = add(viewer, ImageStack(lazy, "YXS", pixel_um=0.1))
    viewer.scene.camera.zoom = 30
    qtbot.waitUntil(lambda: widget.domain.domain is not None and not widget.domain.judging.running, timeout=30_000)
    decided = widget._decided
    widget.apply()
    assert widget._decided is decided
    layer.scale = 2 * layer.scale
    widget.apply()
    assert widget._decided[0].pixel_um == 0.2
    assert widget._decided[1] is decided[1]  # the model is not loaded again
    viewer.layers.remove(layer)
    add(viewer, ImageStack(smear((64, 64, 3)), "YXS", pixel_um=0.1))
    decided = widget._decided
    widget.apply()  # an array in memory may have been written to
    assert widget._decided is not decided


def test_smaller_copies_of_a_file_are_shown_in_place_of_every_so_many_th_pixel(qapp, qtbot):
    stack = ImageStack(da.zeros((2100, 2100, 3), dtype=np.uint8, chunks=(700, 700, 3)), "YXS", pixel_um=0.1)
    small = da.full((1050, 1050, 3), 7, dtype=np.uint8, chunks=(525, 525, 3))
    layer = Image([stack.data, small, small[:500]], rgb=True)
    assert list(smaller_levels(layer)) == [2]
    live = LiveRestoration(
        stack, load_model("deblur-fast"), plan_restoration(stack, "deblur-fast"), smaller_levels(layer)
    )
    live._input.region((), range(1000, 1050), range(1000, 1050), 2)
    qtbot.waitUntil(lambda: not live._input.pending, timeout=10_000)
    assert (live._input.region((), range(1000, 1050), range(1000, 1050), 2) == dimmed(7)).all()
    live.stop()


def test_what_was_read_is_forgotten_where_it_is_too_much(qapp, qtbot, monkeypatch):
    _, lazy, read = slow_disk(2000)
    shown = ShownInput(ImageStack(lazy, "YXS"), {}, np.array, lambda: None)
    monkeypatch.setattr(ShownInput, "KEPT_BYTES", 2 * 512 * 512 * 3)
    for row in range(3):
        shown.region((), range(512 * row, 512 * row + 5), range(5), 1)
        qtbot.waitUntil(lambda: not shown.pending, timeout=10_000)
    assert list(shown._blocks) == [(1, 1, 0), (1, 2, 0)]
    shown.stop()
    count = len(read)
    assert not shown.region((), range(5), range(5), 1).any()
    assert len(read) == count  # it reads nothing more


def test_a_whole_image_in_view_loses_its_dimming(viewer, widget, qtbot):
    """Seen at a coarse level, which napari would read once and keep."""
    add(viewer, ImageStack(smear((1500, 1500, 3)), "YXS", pixel_um=0.1))
    widget.apply()
    result = widget._result
    qtbot.waitUntil(lambda: result.data_level == 1, timeout=10_000)
    wait_for_tiles(qtbot, widget, widget._live.plan.n_tiles)
    exact = np.asarray(widget._live.finished()[::2, ::2])
    qtbot.waitUntil(lambda: np.array_equal(result._slice.image.raw, exact), timeout=10_000)


def test_a_view_of_too_many_tiles_says_so(viewer, widget, qtbot):
    add(viewer, ImageStack(smear((1500, 1500, 3)), "YXS", pixel_um=0.1))
    LiveRestoration.TILES_IN_VIEW, before = 4, LiveRestoration.TILES_IN_VIEW
    try:
        widget.apply()
        qtbot.waitUntil(lambda: "zoom in" in widget.status.text(), timeout=10_000)
        assert widget._live.n_finished == 0
    finally:
        LiveRestoration.TILES_IN_VIEW = before


def test_the_window_stays_alive_while_it_fills(viewer, widget, qtbot):
    """The widget asks for nothing in the GUI thread: the event loop turns while tiles are computed.

    The time itself is a benchmark's; here it must turn far more often than once a tile.
    """
    add(viewer, ImageStack(smear((1200, 1600, 3)), "YXS", pixel_um=0.1))
    widget.apply()
    turns = []
    timer = QTimer()
    timer.timeout.connect(lambda: turns.append(time.monotonic()))
    timer.start(5)
    wait_for_tiles(qtbot, widget, widget._live.plan.n_tiles)
    timer.stop()
    assert len(turns) > 3 * widget._live.plan.n_tiles


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_grey_images_of_every_type(viewer, widget, qtbot, dtype):
    image = (smear((64, 64)) / 255 * (1 if dtype == np.float32 else np.iinfo(dtype).max)).astype(dtype)
    layer = viewer.add_image(image, name="grey", colormap="green", contrast_limits=(0, image.max() / 2))
    widget.apply()
    result = viewer.layers["grey restored"]
    wait_for_tiles(qtbot, widget, 1)
    assert result.dtype == dtype
    assert result.colormap.name == "green"
    assert list(result.contrast_limits) == list(layer.contrast_limits)
    assert "Mind:" in widget.plan_text.text()


def test_the_range_of_grey_levels_can_be_given(viewer, widget):
    viewer.add_image(np.full((64, 64), 3000, np.uint16), name="twelve bit")
    assert widget._decided[2].intensity == (0, 4095)
    assert widget.white_edit.placeholderText() == "4095"
    widget.white_edit.setText("5000")
    widget.white_edit.editingFinished.emit()
    assert widget._decided[2].intensity == (0, 5000)
    widget.black_edit.setText("6000")
    widget.black_edit.editingFinished.emit()
    assert "intensity is (6000.0, 5000.0): give (black, full scale)" in widget.plan_text.text()
    assert not widget.apply_button.isEnabled()
    viewer.add_image(np.full((64, 64), 100, np.uint8), name="eight bit")
    widget.layer_choice.choose(viewer.layers["eight bit"])
    assert widget._decided[2].intensity == (0, 255)


def test_odd_orders(viewer, widget, qtbot):
    """Nothing to restore, apply twice, the result removed, the source removed, the widget closed."""
    assert widget.is_empty
    widget.apply()
    widget._ask_and_save()
    add(viewer, ImageStack(smear((64, 64, 3)), "YXS", source="first.tif"))
    assert not widget.is_empty
    assert not widget.save_button.isEnabled()
    widget.apply()
    first = widget._result
    widget.apply()
    assert first not in viewer.layers
    assert [layer.name for layer in viewer.layers] == ["first", "first restored"]
    viewer.layers.remove(widget._result)
    assert not widget.save_button.isEnabled()
    widget.apply()
    viewer.layers.remove("first")
    assert widget.is_empty
    viewer.layers.clear()
    add(viewer, ImageStack(smear((40, 64, 3)), "YXS", source="second.tif"))
    widget.apply()
    wait_for_tiles(qtbot, widget, 1)


def test_the_restored_layer_is_not_offered_as_input(viewer, widget):
    add(viewer, ImageStack(smear((64, 64, 3)), "YXS", source="first.tif"))
    widget.apply()
    offered = [widget.layer_choice.itemText(row) for row in range(widget.layer_choice.count())]
    assert offered == ["first"]


def test_what_cannot_be_restored_is_said_in_the_widget(viewer, widget):
    viewer.add_image(np.zeros((2, 2, 2, 2, 20, 20)), name="six axes")
    assert "a layer of 6 axes" in widget.plan_text.text()
    assert not widget.apply_button.isEnabled()


def test_an_error_in_a_tile_is_said_once(viewer, widget, qtbot, monkeypatch):
    def broken(_key):
        raise ValueError("smear.tif: page 3 is cut off")

    data = da.from_array(smear((64, 64, 3)), chunks=(64, 64, 3))
    stack = ImageStack(data, "YXS")
    live = LiveRestoration(stack, load_model("deblur-fast"), plan_restoration(stack, "deblur-fast"))
    monkeypatch.setattr(live._made, "compute", broken)
    with qtbot.waitSignal(live.failed, timeout=10_000) as said:
        np.asarray(live.levels[0][:, :])
    assert said.args == ["smear.tif: page 3 is cut off"]
    assert live.pending == 0
    live.stop()


# --- the levels as arrays -----------------------------------------------------------------------------------


@pytest.mark.parametrize("rgb", [True, False])
def test_parts_of_levels_are_parts_of_the_image(qapp, rgb):
    data = smear((3, 180, 270, 3) if rgb else (3, 180, 270))
    stack = ImageStack(data, "ZYXS" if rgb else "ZYX", z_um=[0, 1, 2])
    live = LiveRestoration(stack, load_model("deblur-fast"), plan_restoration(stack, "deblur-fast", tile=32))
    live._want = lambda keys: None  # nothing is computed here
    dimmed = (data * live.DIMMED).astype(np.uint8)
    keys = [(1,), (slice(1, 3), slice(10, 30), slice(5, 60)), (-1, 3, slice(None, None, 7)), (0, slice(2, 60, 3), 4)]
    for key in keys:
        np.testing.assert_array_equal(np.asarray(live.levels[0][key]), dimmed[key])
        np.testing.assert_array_equal(np.asarray(live.levels[1][key]), dimmed[:, ::2, ::2][key])
    whole_view = live.levels[0][:, 10:40, 20:60]
    np.testing.assert_array_equal(np.asarray(whole_view[2]), dimmed[2, 10:40, 20:60])
    # finished tiles take the place of the dimmed input, on every level
    exact = restore(stack, load_model("deblur-fast"), live.plan).compute()
    for key in [(1, 0, 1), (1, 1, 0)]:  # two of 2 x 3 tiles, no smaller than the halo of the model
        live._tiles[key], _ = live._made.compute(key)
        rows, columns = (slice(*edges[i : i + 2]) for edges, i in zip(live._edges, key[1:], strict=True))
        assert alike(live._tiles[key][0], exact[1, rows, columns])
        dimmed[1, rows, columns] = live._tiles[key][0]
    np.testing.assert_array_equal(np.asarray(live.levels[0][1]), dimmed[1])
    np.testing.assert_array_equal(np.asarray(live.levels[1][1]), dimmed[1, ::2, ::2])
    np.testing.assert_array_equal(np.asarray(live.levels[0][1, 60:120, 20:190]), dimmed[1, 60:120, 20:190])
    assert alike(live.finished().compute(), exact)
    live.stop()
    QApplication.processEvents()


def test_a_kernel_saved_meanwhile_is_offered_and_restores(viewer, widget, qtbot, tmp_path, monkeypatch):
    monkeypatch.setenv("CELLRESTORE_MODELS", str(tmp_path))
    source = add(viewer, ImageStack(smear((90, 120, 3)), "YXS", pixel_um=0.1, source="smear.tif"))
    chosen = widget.model_choice.currentText()
    kernel = np.ones((5, 5)) / 25
    model = deconvolution_model(kernel, name="my scope", pixel_um=0.1, balance=0.05)
    save_model(tmp_path / "my scope", model.network, model.card)
    widget.model_choice.showPopup()
    widget.model_choice.hidePopup()
    assert widget.model_choice.currentText() == chosen
    widget.model_choice.setCurrentText("my scope")
    assert widget.apply_button.isEnabled()
    widget.apply()
    wait_for_tiles(qtbot, widget, 1)
    expected = restore(np.asarray(source.data), load_model("my scope")).compute()
    np.testing.assert_array_equal(np.asarray(viewer.layers["smear restored"].data[0]), expected)


def test_planes_that_become_one_image(viewer, widget, qtbot, tmp_path, monkeypatch):
    monkeypatch.setenv("CELLRESTORE_MODELS", str(tmp_path / "models"))
    leds = LedTable(index=[4, 7], polar_deg=[0, 30], azimuth_deg=[0, 90])
    options = {"width": 8, "blocks": 1, "growth": 4}
    for name, fields in (("stain", {"leds": leds.columns()}), ("two planes", {})):
        torch.manual_seed(0)
        card = ModelCard(name=name, task="stain", network="rrdb", options=options, in_channels=6, in_planes=2, **fields)
        save_model(tmp_path / "models" / name, create_network("rrdb", 6, 3, **options), card)
    table = LedTable(index=[7, 1, 4], polar_deg=[30, 50, 0], azimuth_deg=[90, 0, 0])
    stack = ImageStack(smear((3, 60, 80, 3)), "AYXS", pixel_um=0.3, leds=table, source="cells.tif")
    source = add(viewer, stack)
    source.translate = (0, 5, 7)
    widget.model_choice.showPopup()
    widget.model_choice.hidePopup()
    widget.model_choice.setCurrentText("stain")
    assert not widget.planes_edit.isVisible()
    assert "2 planes make one image" in widget.plan_text.text()
    widget.apply()
    wait_for_tiles(qtbot, widget, 1)
    result = viewer.layers["cells restored"]
    model = load_model("stain")
    assert plan_restoration(stack, model).planes == (2, 0)
    assert alike(result.data[0], restore(stack, model).compute())
    np.testing.assert_allclose(result.data_to_world((10, 20)), source.data_to_world((0, 10, 20))[1:])
    assert result.units == source.units[1:]
    path = tmp_path / "stained.ome.tif"
    widget.save(path)
    qtbot.waitUntil(lambda: path.exists() and not widget._saving.running, timeout=30_000)
    assert (open_stack(path).axes, open_stack(path).pixel_um) == ("YXS", 0.3)

    widget.model_choice.setCurrentText("two planes")
    assert widget.planes_edit.isVisible()
    assert "say which of the 3 (planes)" in widget.plan_text.text()
    for text, said in (
        ("1, x", "give 2 numbers, such as 3, 5"),
        ("1 3", "takes 2 of 0 to 2"),
        ("0, 2", "2 planes make"),
    ):
        widget.planes_edit.setText(text)
        widget.planes_edit.editingFinished.emit()
        assert said in widget.plan_text.text()
    assert widget.apply_button.isEnabled()


# --- several passes, and what the model knows ---------------------------------------------------------------------


def test_there_and_back_is_offered_where_there_is_a_way_back(viewer, widget, qtbot, tmp_path, monkeypatch):
    monkeypatch.setenv("CELLRESTORE_MODELS", str(tmp_path))
    options = {"filters": 4, "levels": 2}
    for seed, name in enumerate(("look", "look-back")):
        torch.manual_seed(seed)
        card = ModelCard(name=name, task="transfer", network="cae", options=options, stride=4, tile_safe=False)
        save_model(tmp_path / name, create_network("cae", 3, 3, **options), card)
    add(viewer, ImageStack(smear((64, 80, 3)), "YXS", pixel_um=0.1, source="smear.tif"))
    assert not widget.form.isRowVisible(widget.back_check)
    widget.model_choice.refresh()
    widget.model_choice.setCurrentText("look")
    assert widget.form.isRowVisible(widget.back_check)
    widget.back_check.setChecked(True)
    widget.apply()
    wait_for_tiles(qtbot, widget, 1)
    said = viewer.layers["smear restored"].metadata["cellrestore"]["provenance"]
    assert said["model"] == "look there and back"
    stack = ImageStack(np.asarray(viewer.layers["smear"].data), "YXS")
    look, back = (load_model(name) for name in ("look", "look-back"))
    there = viewer.layers["smear there"]
    said = there.metadata["cellrestore"]["provenance"]
    assert said["model"] == "look"
    assert "pixels are computed, not recorded" in said["generated"]
    assert list(viewer.layers) == [viewer.layers["smear"], there, viewer.layers["smear restored"]]
    assert viewer.layers.selection.active is viewer.layers["smear restored"]
    qtbot.waitUntil(lambda: "Everything is restored" in widget.status.text(), timeout=30_000)
    assert widget.progress.maximum() == widget.progress.value() == 2
    assert alike(there.data[0], restore(stack, look).compute())
    assert alike(viewer.layers["smear restored"].data[0], restore(stack, there_and_back(look, back)).compute())

    widget.apply()  # both anew
    assert there not in viewer.layers
    assert [layer.name for layer in viewer.layers] == ["smear", "smear there", "smear restored"]
    viewer.layers.remove("smear there")  # goes alone
    assert [layer.name for layer in viewer.layers] == ["smear", "smear restored"]
    widget.apply()
    viewer.layers.remove("smear restored")  # takes the other along
    assert [layer.name for layer in viewer.layers] == ["smear"]
    assert not widget._lives
    widget.turned_check.click()
    widget.apply()
    assert [layer.name for layer in viewer.layers][1:3] == ["smear there", "smear there, model unsure"]
    viewer.layers.remove("smear there")
    assert [layer.name for layer in viewer.layers] == ["smear", "smear restored", "smear model unsure"]
    widget.turned_check.click()
    widget.apply()
    widget.model_choice.setCurrentText("deblur-fast")  # which has none; what was ticked is kept for one that has
    assert not widget.form.isRowVisible(widget.back_check)
    widget.apply()
    said = viewer.layers["smear restored"].metadata["cellrestore"]["provenance"]
    assert said["model"] == "deblur-fast"
    assert "smear there" not in viewer.layers


def test_turned_has_a_second_layer_and_both_are_saved(viewer, widget, qtbot, tmp_path):
    stack = ImageStack(smear((3, 90, 120, 3)), "ZYXS", pixel_um=0.1, z_um=[0, 0.4, 0.8], source="smear.tif")
    source = add(viewer, stack)
    widget.turned_check.click()
    assert "Each tile 8 times, turned and mirrored" in widget.plan_text.text()
    widget.apply()
    restored, unsure = viewer.layers["smear restored"], viewer.layers["smear model unsure"]
    assert viewer.layers.selection.active is restored
    np.testing.assert_allclose(unsure.scale, source.scale)
    assert not unsure.rgb
    wait_for_tiles(qtbot, widget, 1)
    model = load_model("deblur-fast")
    mean, spread = restore_with_spread(stack, model, plan_restoration(stack, model, turned=True))
    np.testing.assert_allclose(np.asarray(unsure.data[0][0]), spread[0].compute(), atol=1e-3)
    assert np.isnan(np.asarray(unsure.data[1][2])).all()  # not looked at
    assert alike(restored.data[0][0], mean[0].compute())
    with qtbot.waitSignal(widget._saving.finished, timeout=60_000):
        widget.save(tmp_path / "out.ome.tif")
    saved, beside = open_stack(tmp_path / "out.ome.tif"), open_stack(tmp_path / "out_unsure.ome.tif")
    assert alike(saved.data, mean.compute())
    np.testing.assert_allclose(beside.data, spread, rtol=1e-4, atol=1e-3)
    assert (beside.axes, beside.pixel_um, beside.z_um.tolist()) == ("ZYX", 0.1, [0, 0.4, 0.8])
    restored.visible = False  # what is in view of the other goes on being computed
    viewer.dims.set_current_step(0, 2)
    qtbot.waitUntil(lambda: (2, 0, 0) in widget._live._tiles, timeout=30_000)
    viewer.layers.remove(unsure)
    assert widget._result is restored
    widget.turned_check.click()
    widget.apply()
    assert [layer.name for layer in viewer.layers] == ["smear", "smear restored"]


def test_what_the_model_knows_is_said_and_the_defocus_when_it_is_predicted(viewer, widget, qtbot, monkeypatch):
    waiting = Event()

    def predicted(_stack, *, intensity):
        waiting.wait(10)
        return 2.5, 0.2

    monkeypatch.setattr("napari_cellrestore.gui.restore.domain_box.predicted_defocus_um", predicted)
    image = np.random.default_rng(0).normal((182, 173, 177), 0.6, (90, 120, 3)).astype(np.uint8)
    add(viewer, ImageStack(image, "YXS", pixel_um=0.1, source="smear.tif"))
    qtbot.waitUntil(lambda: widget.domain.head.text() == "Does the model know this? Yes", timeout=20_000)
    assert "being predicted" in widget.domain.text.text()
    waiting.set()
    qtbot.waitUntil(lambda: widget.domain.head.text() == "Does the model know this? No: defocus", timeout=20_000)
    assert "! <b>defocus</b> about 2.5 µm ± 0.2; 1.1 µm beyond; trained on up to 1.4 µm" in widget.domain.text.text()
    viewer.layers.clear()
    assert widget.domain.domain is None
