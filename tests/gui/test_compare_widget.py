"""The Compare widget in a real viewer: numbers, maps, ways of seeing, curves, figures, and odd orders of events."""

from __future__ import annotations

import json
import time
from threading import Event

import dask.array as da
import numpy as np
import PIL.Image
import pytest
from napari.layers import Image
from napari.utils._proxies import PublicOnlyProxy
from qtpy.QtCore import QEvent, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import QApplication
from scipy.ndimage import gaussian_filter

from napari_cellrestore.gui.compare.figure import shown, swipe_figure
from napari_cellrestore.gui.compare.maps import MAPS
from napari_cellrestore.gui.compare.widget import CompareWidget
from napari_cellrestore.gui.layers import layer_data
from napari_cellrestore.gui.regions import mask_px
from napari_cellrestore.metrics import METRICS, difference_map, fpw_map, gradient_map, psnr, score, ssim_map
from napari_cellrestore.report.pictures import Scale
from napari_cellrestore.restore import plan_restoration, restore_stack, restore_stack_with_spread
from napari_cellrestore.stack import ImageStack
from napari_cellrestore.trust import judge_pair
from napari_cellrestore.trust.asking import judge_made, maker_of

pytestmark = pytest.mark.gui

GENERATED = {"cellrestore": {"provenance": {"generated": "restored by a model: the pixels are computed, not recorded"}}}


@pytest.fixture
def truth(rng):
    return gaussian_filter(rng.integers(0, 255, (48, 64)).astype(np.float32), 1).astype(np.uint8)


@pytest.fixture
def blurred(truth):
    return gaussian_filter(truth, 2)


@pytest.fixture
def open_widget(viewer, qtbot):
    def opened(wait=True):
        widget = CompareWidget(PublicOnlyProxy(viewer))  # as napari gives it to plugins
        viewer.window.add_dock_widget(widget)
        if wait:
            finished(widget, qtbot)
        return widget

    return opened


def finished(widget, qtbot):
    """Wait until the table is filled and nothing is being computed."""

    def done():
        busy = widget._work.running or widget._soon.isActive()
        curves = widget.curves
        busy = busy or curves._work.running or curves._soon.isActive()
        return not busy and (len(widget._layers) < 2 or bool(widget._values))

    qtbot.waitUntil(done, timeout=15000)


def column(widget, name):
    heads = [layer.name for layer in widget.table.images]
    return {metric: widget.table.item(row, heads.index(name)) for row, metric in enumerate(METRICS)}


def names(viewer):
    return [layer.name for layer in viewer.layers]


def test_numbers_are_those_of_the_metrics_and_the_best_are_bold(viewer, open_widget, qtbot, truth, blurred):
    viewer.add_image(truth, name="truth")
    viewer.add_image(blurred, name="blurred")
    viewer.add_image((truth.astype(float) + 0.1 * (blurred.astype(float) - truth)).astype(np.uint8), name="better")
    widget = open_widget()
    widget.reference.choose(viewer.layers["truth"])
    widget.candidates.check([viewer.layers["blurred"], viewer.layers["better"]])
    finished(widget, qtbot)
    expected = score(truth, blurred, list(METRICS))
    shown = column(widget, "blurred")
    for name in METRICS:
        assert float(shown[name].text().replace("−", "-")) == pytest.approx(expected[name], rel=1e-3)
    bold = {name: column(widget, "better")[name].font().bold() for name in ("mse", "psnr", "ssim", "focus_ratio")}
    assert all(bold.values())
    assert not any(shown[name].font().bold() for name in bold)


def test_input_is_the_reference_and_generated_layers_are_marked(viewer, open_widget, truth, blurred):
    viewer.add_image(blurred, name="input")
    viewer.add_image(truth, name="input restored", metadata=GENERATED)
    widget = open_widget()
    assert widget.reference.layer.name == "input"
    assert [layer.name for layer in widget.candidates.layers] == ["input restored"]
    assert widget.candidates.item(0).text() == "input restored  (generated)"
    assert widget.table.horizontalHeaderItem(1).text().startswith("✦")
    assert "computed, not recorded" in widget.table.horizontalHeaderItem(1).toolTip()
    viewer.add_image(truth, name="another", metadata=GENERATED)
    viewer.add_image(truth, name="recorded")
    assert [layer.name for layer in widget.candidates.layers] == ["another", "input restored"]


def test_difference_is_signed_symmetric_and_renewed(viewer, open_widget, qtbot, truth, blurred):
    viewer.add_image(truth, name="truth", scale=(0.1, 0.1), translate=(2, 3), units=("um", "um"))
    viewer.add_image(blurred, name="blurred", scale=(0.1, 0.1), translate=(2, 3), units=("um", "um"))
    widget = open_widget()
    widget.reference.choose(viewer.layers["truth"])
    widget.map_buttons["difference"].click()
    name = "difference: blurred − truth"
    qtbot.waitUntil(lambda: name in viewer.layers)
    layer = viewer.layers[name]
    np.testing.assert_array_equal(layer.data, difference_map(truth, blurred))
    low, high = layer.contrast_limits
    assert low == -high < 0
    np.testing.assert_allclose(layer.colormap.map(np.array([0.5]))[0], [1, 1, 1, 1], atol=0.02)
    assert layer.scale.tolist() == [0.1, 0.1]
    assert layer.translate.tolist() == [2, 3]
    assert layer.metadata["cellrestore"]["provenance"]["step"] == "difference"
    layer.opacity = 0.5
    viewer.layers["blurred"].data = truth
    qtbot.waitUntil(lambda: not viewer.layers[name].data.any())
    assert viewer.layers[name].opacity == 0.5
    assert names(viewer) == ["truth", "blurred", name]
    assert name not in [viewer.layers[n].name for n in ("truth", "blurred")]
    assert widget.candidates.count() == 1  # a map is no candidate
    widget.map_buttons["difference"].click()
    qtbot.waitUntil(lambda: names(viewer) == ["truth", "blurred"])


def test_maps_follow_the_slider(viewer, open_widget, qtbot, truth):
    stack = np.stack([gaussian_filter(truth, sigma) for sigma in (3, 1, 0.3)])
    viewer.add_image(stack, name="stack")
    viewer.add_image(truth, name="truth")
    widget = open_widget()
    widget.reference.choose(viewer.layers["truth"])
    widget.map_buttons["FPW map"].click()
    name = "FPW map: stack vs truth"
    for plane in (0, 2):
        viewer.dims.set_current_step(0, plane)
        expected = fpw_map(truth, stack[plane])
        qtbot.waitUntil(
            lambda expected=expected: (
                name in viewer.layers and np.array_equal(viewer.layers[name].data, expected, equal_nan=True)
            )
        )
        assert viewer.layers[name].metadata["cellrestore"]["provenance"]["plane"] == [plane]
    assert "planes in view" in widget.said.text()


def test_map_removed_by_hand_switches_the_button_off(viewer, open_widget, qtbot, truth, blurred):
    viewer.add_image(truth, name="truth")
    viewer.add_image(blurred, name="blurred")
    widget = open_widget()
    widget.map_buttons["FPW map"].click()
    qtbot.waitUntil(lambda: len(viewer.layers) == 3)
    viewer.layers.pop()
    assert not widget.map_buttons["FPW map"].isChecked()
    qtbot.wait(400)
    assert len(viewer.layers) == 2


def test_other_shape_is_said_in_one_line(viewer, open_widget, qtbot, truth):
    viewer.add_image(truth, name="truth")
    viewer.add_image(truth[:40, :30], name="crop")
    viewer.add_image(np.stack([truth] * 3, axis=-1), rgb=True, name="colour")
    widget = open_widget(wait=False)
    widget.reference.choose(viewer.layers["truth"])
    widget.candidates.check([viewer.layers["crop"], viewer.layers["colour"]])
    qtbot.waitUntil(lambda: "crop is 40 × 30, truth is 48 × 64" in widget.said.text())
    assert "colour is 48 × 64 in colour, truth is 48 × 64" in widget.said.text()
    widget.map_buttons["difference"].click()
    qtbot.wait(400)
    assert len(viewer.layers) == 3


def test_float_images_need_a_data_range(viewer, open_widget, qtbot, truth, blurred):
    viewer.add_image(truth / np.float32(255), name="truth")
    viewer.add_image(blurred / np.float32(255), name="blurred")
    widget = open_widget()
    widget.reference.choose(viewer.layers["truth"])
    finished(widget, qtbot)
    shown = column(widget, "blurred")
    assert shown["psnr"].text() == shown["ssim"].text() == "–"
    assert "give data_range" in shown["psnr"].toolTip()
    assert float(shown["mse"].text()) > 0
    widget.data_range.setText("1")
    finished(widget, qtbot)
    expected = psnr(truth / np.float32(255), blurred / np.float32(255), data_range=1)
    assert float(column(widget, "blurred")["psnr"].text()) == pytest.approx(expected, rel=1e-3)
    widget.data_range.clear()
    finished(widget, qtbot)
    assert column(widget, "blurred")["psnr"].text() == "–"


def test_only_inside_the_shapes(viewer, open_widget, qtbot, truth, blurred):
    mixed = truth.copy()
    mixed[:, 32:] = blurred[:, 32:]
    for name, pixels in (("truth", truth), ("mixed", mixed)):
        viewer.add_image(pixels, name=name, scale=(0.1, 0.1))
    shapes = viewer.add_shapes([np.array([[0, 0], [0, 2.9], [4.7, 2.9], [4.7, 0]])], name="left")  # um
    widget = open_widget()
    widget.reference.choose(viewer.layers["truth"])
    widget.mask.choose(shapes)
    finished(widget, qtbot)
    assert column(widget, "mixed")["mse"].text() == "0"
    assert column(widget, "mixed")["psnr"].text() == "∞"


def test_copied_table_has_all_digits(viewer, open_widget, qtbot, truth, blurred):
    viewer.add_image(truth, name="truth")
    viewer.add_image(blurred, name="blurred")
    widget = open_widget()
    widget.reference.choose(viewer.layers["truth"])
    finished(widget, qtbot)
    widget.copy_button.click()
    lines = [line.split("\t") for line in QApplication.clipboard().text().splitlines()]
    assert lines[0] == ["metric", "unit", "truth", "blurred"]
    values = {line[0]: line for line in lines[1:]}
    assert float(values["MSE"][3]) == score(truth, blurred, ["mse"])["mse"]
    assert values["MSE"][2] == ""
    assert float(values["Sharpness"][2]) > float(values["Sharpness"][3])


def test_side_by_side_links_contrast_and_puts_everything_back(viewer, open_widget, truth, blurred):
    first = viewer.add_image(truth, name="truth", contrast_limits=(0, 200))
    second = viewer.add_image(blurred, name="blurred", contrast_limits=(50, 100))
    other = viewer.add_points(np.zeros((1, 2)), name="points")
    hidden = viewer.add_image(truth, name="hidden", visible=False)
    widget = open_widget()
    widget.reference.choose(first)
    widget.candidates.check([second])
    zoom = viewer.scene.camera.zoom
    widget.view.beside_button.click()
    assert viewer.canvas.grid.enabled
    assert [layer.visible for layer in (first, second, other, hidden)] == [True, True, False, False]
    assert tuple(second.contrast_limits) == (0, 200)
    first.contrast_limits = (10, 90)
    assert tuple(second.contrast_limits) == (10, 90)
    widget.candidates.check([hidden])
    assert [layer.visible for layer in (first, second, other, hidden)] == [True, False, False, True]
    widget.view.beside_button.click()
    assert not viewer.canvas.grid.enabled
    assert [layer.visible for layer in (first, second, other, hidden)] == [True, True, True, False]
    assert tuple(second.contrast_limits) == (50, 100)
    assert tuple(first.contrast_limits) == (0, 200)
    first.contrast_limits = (20, 30)
    assert tuple(second.contrast_limits) == (50, 100)
    assert viewer.scene.camera.zoom == pytest.approx(zoom)


def test_layer_removed_while_side_by_side(viewer, open_widget, qtbot, truth, blurred):
    viewer.add_image(truth, name="truth")
    viewer.add_image(blurred, name="blurred")
    third = viewer.add_image(blurred, name="third")
    widget = open_widget()
    widget.candidates.check(viewer.layers[:2])
    widget.view.beside_button.click()
    viewer.layers.remove(third)
    qtbot.wait(300)
    viewer.layers.remove("blurred")
    assert widget.is_empty
    widget.view.beside_button.setChecked(False)
    assert not viewer.canvas.grid.enabled
    assert viewer.layers["truth"].visible


def test_closing_puts_the_view_back_and_stops(viewer, open_widget, qtbot, truth, blurred):
    viewer.add_image(truth, name="truth")
    viewer.add_image(blurred, name="blurred")
    before = len(viewer.layers.events.removed.callbacks)
    widget = open_widget()
    widget.view.beside_button.click()
    gone = []
    widget.destroyed.connect(lambda: gone.append(True))
    viewer.window.remove_dock_widget(widget)
    qtbot.waitUntil(lambda: bool(gone))
    assert not viewer.canvas.grid.enabled
    assert len(viewer.layers.events.removed.callbacks) == before
    viewer.layers.clear()


def test_of_a_restoration_only_restored_pixels_are_compared(viewer, open_widget, truth, blurred):
    """The finest level of a restoration in progress shows its input, dimmed, where it is not finished."""

    class Level(np.ndarray):
        def finished(self):
            return da.from_array(blurred)

    viewer.add_image(truth, name="truth")
    viewer.add_image(
        [(truth // 3)[::step, ::step].view(Level) for step in (1, 2)],
        name="restored",
        multiscale=True,
        metadata=GENERATED,
        contrast_limits=(0, 255),
    )
    widget = open_widget()
    assert widget.reference.layer.name == "truth"
    shown = float(column(widget, "restored")["mse"].text())
    assert shown == pytest.approx(score(truth, blurred, ["mse"])["mse"], rel=1e-3)


def test_with_one_image_it_says_what_to_do(viewer, open_widget, qtbot, truth, blurred):
    widget = open_widget(wait=False)
    assert widget.is_empty
    viewer.add_image(truth, name="truth")
    assert widget.is_empty
    layer = viewer.add_image(blurred, name="blurred")
    assert not widget.is_empty
    qtbot.waitUntil(lambda: "Check one or more" in widget.said.text())
    widget.candidates.item(0).setCheckState(widget.candidates.item(0).checkState().Checked)
    finished(widget, qtbot)
    layer.name = "renamed while compared"
    finished(widget, qtbot)
    assert widget.table.horizontalHeaderItem(1).toolTip().startswith("renamed while compared")
    viewer.layers.clear()
    assert widget.is_empty


# --- maps ------------------------------------------------------------------------------------------------------


def test_every_map_is_its_function_with_its_unit(viewer, open_widget, qtbot, truth, blurred):
    viewer.add_image(truth, name="truth")
    viewer.add_image(blurred, name="blurred", metadata=GENERATED)
    widget = open_widget()
    for button in widget.map_buttons.values():
        button.click()
    qtbot.waitUntil(lambda: len(viewer.layers) == 2 + len(MAPS), timeout=30_000)
    made = {layer.metadata["cellrestore"]["provenance"]["step"]: layer for layer in viewer.layers[2:]}
    np.testing.assert_array_equal(made["gradient"].data, gradient_map(truth, blurred))
    np.testing.assert_array_equal(made["SSIM map"].data, ssim_map(truth, blurred))
    units = {name: layer.metadata["cellrestore"]["provenance"]["unit"] for name, layer in made.items()}
    expected = {"difference": "grey levels", "FPW map": "grey levels²", "SSIM map": "1", "gradient": "grey levels"}
    assert units == {**expected, "trust": "kind"}
    np.testing.assert_array_equal(made["trust"].data, judge_pair(truth, blurred).classes)
    assert "explained" in widget.legend.text()
    assert all("generated" in layer.metadata["cellrestore"]["provenance"] for layer in made.values())
    assert made["SSIM map"].contrast_limits[1] == 1
    low, high = made["gradient"].contrast_limits
    assert low == -high
    for button in widget.map_buttons.values():
        button.click()
    qtbot.waitUntil(lambda: names(viewer) == ["truth", "blurred"])
    qtbot.waitUntil(lambda: not widget.legend.isVisible())


def test_ssim_map_without_a_data_range_says_what_to_do(viewer, open_widget, qtbot, truth, blurred):
    viewer.add_image(truth / np.float32(255), name="truth")
    viewer.add_image(blurred / np.float32(255), name="blurred")
    widget = open_widget()
    widget.map_buttons["SSIM map"].click()
    qtbot.waitUntil(lambda: "No SSIM map: the type of the reference, float32" in widget.said.text())
    assert "give the data range" in widget.said.text()
    assert len(viewer.layers) == 2
    widget.data_range.setText("1")
    qtbot.waitUntil(lambda: len(viewer.layers) == 3)
    assert "No SSIM map" not in widget.said.text()


# --- the model that made an image --------------------------------------------------------------------------------


@pytest.fixture
def smears(rng):
    """A smear as recorded, restored by the model of the package, and as a model that is gone made it."""
    smear = gaussian_filter(rng.integers(60, 230, (64, 80, 3)).astype(np.float32), (2, 2, 0)).astype(np.uint8)
    recorded = ImageStack(smear, "YXS", pixel_um=0.1)
    made = restore_stack(recorded, "deblur-fast")
    made = made.replace(data=np.asarray(made.data))
    return recorded, made, made.replace(provenance={**made.provenance, "model": "gone"})


def add_stack(viewer, stack, name):
    ((data, options, _),) = layer_data(stack)
    return viewer.add_image(data, **{**options, "name": name})


def test_trust_asks_the_model_that_made_the_image(viewer, open_widget, qtbot, smears):
    for stack, name in zip(smears, ("measured", "restored", "of a model gone"), strict=True):
        add_stack(viewer, stack, name)
    widget = open_widget()
    widget.map_buttons["trust"].click()
    gone = "where the model is unsure is not shown, since the model 'gone' that made it is not in the list of models any more"
    qtbot.waitUntil(lambda: gone in widget.asking.label.text(), timeout=60_000)
    expected = judge_made(smears[0].data, smears[1].data, maker_of(smears[1].provenance)).classes
    layer = next(layer for layer in viewer.layers if layer.name.startswith("trust: restored"))
    qtbot.waitUntil(lambda: not widget._work.running, timeout=60_000)
    np.testing.assert_array_equal(layer.data, expected)
    other, one = widget.legend.text().split("restored:")  # the topmost layer first
    assert "model unsure" in one
    assert "model unsure" not in other
    assert widget.asking.stop_button.isHidden()
    widget.map_buttons["trust"].click()
    qtbot.waitUntil(lambda: widget.asking.isHidden())


def test_asking_can_be_stopped_and_the_map_stays(viewer, open_widget, qtbot, smears, monkeypatch):
    stopped = Event()

    def endless(*_arguments):
        while not stopped.is_set():
            yield 0.25
            time.sleep(0.01)

    monkeypatch.setattr("napari_cellrestore.gui.compare.comparison.judging", endless)
    for stack, name in zip(smears[:2], ("measured", "restored"), strict=True):
        add_stack(viewer, stack, name)
    widget = open_widget()
    widget.map_buttons["trust"].click()
    said = "Asking the model that made restored how sure it is: 25 %"
    qtbot.waitUntil(lambda: said in widget.asking.label.text(), timeout=30_000)
    assert all(widget.table.item(row, 1).text() for row in range(3))  # the numbers are there already
    widget.asking.stop_button.click()
    assert "since the asking was stopped" in widget.asking.label.text()
    assert not widget._work.running
    assert any(layer.name.startswith("trust: restored") for layer in viewer.layers)
    assert "model unsure" not in widget.legend.text()
    stopped.set()


def test_where_a_model_is_unsure_is_no_candidate(viewer, open_widget, smears):
    add_stack(viewer, smears[0], "measured")
    plan = plan_restoration(smears[0], "deblur-fast", turned=True)
    for stack, name in zip(restore_stack_with_spread(smears[0], "deblur-fast", plan), ("mean", "unsure"), strict=True):
        add_stack(viewer, stack, name)
    widget = open_widget()
    assert [layer.name for layer in widget.candidates.layers] == ["mean"]
    assert widget.candidates.count() == 1


# --- ways of seeing --------------------------------------------------------------------------------------------


def test_linked_contrast_stays_when_it_is_unlinked(viewer, open_widget, truth, blurred):
    first = viewer.add_image(truth, name="truth", contrast_limits=(0, 200))
    second = viewer.add_image(blurred, name="blurred", contrast_limits=(50, 100))
    widget = open_widget()
    widget.reference.choose(first)
    view = widget.view
    view.link_check.click()
    assert tuple(second.contrast_limits) == (0, 200)
    view.beside_button.click()
    first.contrast_limits = (10, 90)
    assert tuple(second.contrast_limits) == (10, 90)
    view.beside_button.click()
    assert tuple(first.contrast_limits) == tuple(second.contrast_limits) == (0, 200)
    second.contrast_limits = (5, 105)
    assert tuple(first.contrast_limits) == (5, 105)
    view.link_check.click()
    first.contrast_limits = (1, 2)
    assert tuple(second.contrast_limits) == (5, 105)


def test_names_side_by_side_fit_their_cells_and_go(viewer, open_widget, truth, blurred):
    long = "a name that tells where and when the image was recorded, by whom and through which objective"
    first = viewer.add_image(truth, name="truth")
    second = viewer.add_image(blurred, name=long, metadata=GENERATED)
    first.name_overlay.visible = True
    keys = [set(layer._overlays) for layer in (first, second)]
    view = open_widget().view
    view.beside_button.click()
    (shown,) = [second._overlays[key] for key in set(second._overlays) - keys[1]]
    assert shown.text.startswith("✦ a name")
    assert shown.text.endswith("objective")
    assert "…" in shown.text
    assert not first.name_overlay.visible
    view.beside_button.click()
    assert [set(layer._overlays) for layer in (first, second)] == keys
    assert first.name_overlay.visible
    assert not second.name_overlay.visible


@pytest.mark.parametrize("colour", [False, True])
def test_swipe_lies_pixel_on_pixel_and_leaves_no_trace(viewer, open_widget, truth, blurred, colour):
    if colour:
        truth, blurred = (np.stack([image] * 3, axis=-1) for image in (truth, blurred))
    place = {"scale": (0.2, 0.1), "translate": (3, 4), "rotate": 30, "affine": np.diag([2, 3, 1])}
    first = viewer.add_image(truth, name="truth", **place)
    second = viewer.add_image(blurred, name="blurred", metadata=GENERATED)
    hidden = viewer.add_image(truth, name="hidden", visible=False)
    widget = open_widget(wait=False)
    widget.reference.choose(first)
    widget.candidates.check([second])
    overlays = set(viewer.canvas.overlays)
    widget.view.swipe_button.click()
    swipe = widget.view.swipe
    widget.view.slider.setValue(250)
    np.testing.assert_array_equal(swipe.layer.data, blurred[:, 16:])
    assert np.shares_memory(swipe.layer.data, second.data)
    for row, column in ((0, 0), (5, 7), (47, 47)):
        there, here = first.data_to_world((row, column + 16)), swipe.layer.data_to_world((row, column))
        np.testing.assert_allclose(here, there)
    assert [layer.visible for layer in (first, second, hidden, swipe.layer)] == [True, False, False, True]
    assert "generated" in swipe.layer.metadata["cellrestore"]["provenance"]
    assert {layer.name for layer in widget.candidates._offered} == {"blurred", "hidden"}
    texts = [viewer.canvas.overlays[key].text for key in sorted(set(viewer.canvas.overlays) - overlays)]
    assert texts == ["truth", "blurred  (generated)"]
    widget.view.slider.setValue(1000)
    assert swipe.layer.data.shape[1] == 1
    widget.view.swipe_button.click()
    assert names(viewer) == ["truth", "blurred", "hidden"]
    assert [layer.visible for layer in (first, second, hidden)] == [True, True, False]
    assert set(viewer.canvas.overlays) == overlays
    assert first.contrast_limits == second.contrast_limits or not colour


def send_mouse(viewer, kind, x, y, buttons):
    """Send a mouse event to the canvas as the window system would."""
    canvas, left = viewer.window._qt_viewer.canvas.native, Qt.MouseButton.LeftButton
    place = QPointF(x, y)
    button = Qt.MouseButton.NoButton if kind == QEvent.Type.MouseMove else left
    event = QMouseEvent(kind, place, canvas.mapToGlobal(place), button, buttons, Qt.KeyboardModifier.NoModifier)
    QApplication.sendEvent(canvas, event)
    QApplication.processEvents()


def drag(viewer, x, y, to_x):
    left = Qt.MouseButton.LeftButton
    send_mouse(viewer, QEvent.Type.MouseMove, x, y, Qt.MouseButton.NoButton)
    send_mouse(viewer, QEvent.Type.MouseButtonPress, x, y, left)
    for step in np.linspace(x, to_x, 5)[1:]:
        send_mouse(viewer, QEvent.Type.MouseMove, step, y, left)
    send_mouse(viewer, QEvent.Type.MouseButtonRelease, to_x, y, Qt.MouseButton.NoButton)


def test_line_of_the_swipe_is_dragged_and_the_view_stays(make_napari_viewer, qtbot, truth, blurred):
    viewer = make_napari_viewer(show=True)
    viewer.add_image(truth, name="truth")
    viewer.add_image(blurred, name="blurred")
    widget = CompareWidget(PublicOnlyProxy(viewer))
    viewer.window.add_dock_widget(widget)
    widget.reference.choose(viewer.layers["truth"])
    widget.view.swipe_button.click()
    swipe = widget.view.swipe
    qtbot.wait(300)
    height, width = viewer.canvas.size
    camera = viewer.scene.camera
    centre = camera.center
    x = width / 2 + (swipe.column - 0.5 - centre[2]) * camera.zoom
    drag(viewer, x, height / 2, x + 10 * camera.zoom)
    assert swipe.column == pytest.approx(42, abs=1)
    assert widget.view.slider.value() == pytest.approx(1000 * swipe.column / 64, abs=16)
    assert (camera.center, camera.mouse_pan) == (centre, True)
    assert viewer.cursor.style == "pointing"
    before = swipe.column
    drag(viewer, x - 15 * camera.zoom, height / 2, x)
    assert swipe.column == before
    assert camera.center != centre
    assert viewer.cursor.style == "standard"
    finished(widget, qtbot)


def test_swipe_and_side_by_side_exclude_each_other(viewer, open_widget, qtbot, truth, blurred):
    viewer.add_image(truth, name="truth")
    viewer.add_image(blurred, name="blurred")
    widget = open_widget()
    view = widget.view
    view.beside_button.click()
    view.swipe_button.click()
    assert not view.beside_button.isChecked()
    assert not viewer.canvas.grid.enabled
    widget.map_buttons["difference"].click()
    qtbot.waitUntil(lambda: len(viewer.layers) == 4)
    assert not viewer.layers[-1].visible
    view.beside_button.click()
    assert not view.swipe_button.isChecked()
    assert viewer.canvas.grid.enabled
    assert [layer.visible for layer in viewer.layers] == [True, True, True]
    viewer.scene.camera.zoom = 3
    viewer.layers["truth"].data = blurred
    finished(widget, qtbot)
    assert viewer.scene.camera.zoom == 3  # a map that is renewed leaves the view alone


def test_swipe_follows_the_slider_and_the_choice(viewer, open_widget, qtbot, truth):
    stack = np.stack([gaussian_filter(truth, sigma) for sigma in (3, 1, 0.3)])
    viewer.add_image(truth, name="truth")
    viewer.add_image(stack, name="in memory")
    viewer.add_image(da.from_array(stack[::-1]), name="to be read", contrast_limits=(0, 255))
    widget = open_widget()
    widget.reference.choose(viewer.layers["truth"])
    widget.candidates.check(viewer.layers[1:])
    view = widget.view
    view.swipe_button.click()
    view.swipe_choice.choose(viewer.layers["in memory"])
    viewer.dims.set_current_step(0, 2)
    np.testing.assert_array_equal(view.swipe.layer.data, stack[2][:, 32:])
    view.swipe_choice.choose(viewer.layers["to be read"])
    qtbot.waitUntil(lambda: view.swipe.layer is not None)
    np.testing.assert_array_equal(view.swipe.layer.data, stack[0][:, 32:])
    viewer.dims.set_current_step(0, 1)
    assert not view.swipe.layer.visible  # rather none than another plane
    qtbot.waitUntil(lambda: view.swipe.layer.visible)
    np.testing.assert_array_equal(view.swipe.layer.data, stack[1][:, 32:])
    viewer.layers["to be read"].data = stack[:, :20]
    assert view.swipe.candidate.name == "in memory"
    viewer.layers.remove(view.swipe.layer)
    assert not view.swipe_button.isChecked()
    assert [layer.visible for layer in viewer.layers] == [True, True, True]
    view.swipe_button.click()
    viewer.layers.remove("truth")
    finished(widget, qtbot)
    viewer.layers.clear()
    assert widget.is_empty


@pytest.mark.parametrize("seed", range(2))
def test_switched_off_in_any_order_all_is_as_before(viewer, open_widget, qtbot, truth, blurred, seed):
    rng = np.random.default_rng(seed)
    viewer.add_image(np.stack([truth, blurred]), name="stack", contrast_limits=(0, 200))
    viewer.add_image(truth, name="truth", contrast_limits=(10, 90))
    viewer.add_image(blurred, name="blurred", metadata=GENERATED, contrast_limits=(30, 70))
    viewer.add_points(np.zeros((1, 2)), name="points")
    viewer.add_image(np.zeros((8, 8)), name="small", visible=False)
    viewer.layers["truth"].name_overlay.visible = True
    widget = open_widget(wait=False)
    widget.candidates.check([viewer.layers["truth"], viewer.layers["blurred"]])

    def state():
        layers = [
            (layer.name, layer.visible, layer.name_overlay.visible, set(layer._overlays)) for layer in viewer.layers
        ]
        limits = [tuple(layer.contrast_limits) for layer in viewer.layers if isinstance(layer, Image)]
        return layers, limits, viewer.canvas.grid.enabled, set(viewer.canvas.overlays), viewer.layers.selection.active

    before = state()
    callbacks = len(viewer.mouse_drag_callbacks), len(viewer.mouse_move_callbacks)
    buttons = [widget.view.beside_button, widget.view.swipe_button, *widget.map_buttons.values()]
    actions = [
        *(button.click for button in buttons),
        *(button.click for button in buttons[:2]),
        lambda: viewer.dims.set_current_step(0, int(rng.integers(2))),
        lambda: widget.view.slider.setValue(int(rng.integers(1000))),
        lambda: widget.curves.choice.setCurrentIndex(int(rng.integers(3))),
        lambda: widget.view.swipe_choice.setCurrentIndex(int(rng.integers(2))),
        lambda: widget.reference.choose(viewer.layers[["stack", "truth"][rng.integers(2)]]),
        lambda: qtbot.wait(250),
    ]
    for number in rng.integers(len(actions), size=20):
        actions[number]()
    for button in rng.permutation(buttons):
        button.setChecked(False)
    widget.curves.choice.setCurrentIndex(0)
    finished(widget, qtbot)
    assert state() == before
    assert (len(viewer.mouse_drag_callbacks), len(viewer.mouse_move_callbacks)) == callbacks


def test_closed_in_the_middle_of_a_swipe(viewer, open_widget, qtbot, truth, blurred):
    viewer.add_image(truth, name="truth")
    viewer.add_image(blurred, name="blurred", visible=False)
    widget = open_widget(wait=False)
    widget.candidates.check([viewer.layers["truth"]])
    widget.view.swipe_button.click()
    widget.map_buttons["FPW map"].click()
    widget.curves.draw_line()
    gone = []
    widget.destroyed.connect(lambda: gone.append(True))
    viewer.window.remove_dock_widget(widget)
    qtbot.waitUntil(lambda: bool(gone))
    assert names(viewer) == ["truth", "blurred"]
    assert [layer.visible for layer in viewer.layers] == [True, False]
    viewer.layers[0].data = blurred
    viewer.window.resize(700, 500)
    viewer.layers.clear()


# --- regions and curves ----------------------------------------------------------------------------------------


def test_regions_have_numbers_of_their_own(viewer, open_widget, qtbot, truth, blurred):
    place = {"scale": (0.5, 0.5), "units": ("um", "um")}
    colours = [np.stack([np.zeros_like(image), image, image], axis=-1) for image in (truth, blurred)]
    viewer.add_image(colours[0], name="truth", **place)
    viewer.add_image(colours[1], name="blurred", **place)
    box = np.array([[10, 12], [10, 31], [29, 31], [29, 12]])
    shapes = viewer.add_shapes([box], name="regions", **place)
    widget = open_widget()
    widget.reference.choose(viewer.layers["truth"])
    assert widget.regions.isHidden()
    widget.mask.choose(shapes)
    shapes.add_lines([[[0, 0], [40, 40]]])
    finished(widget, qtbot)
    assert not widget.regions.isHidden()
    mask = mask_px(shapes, viewer.layers["truth"], truth.shape)
    inside = truth[mask].astype(float), blurred[mask].astype(float)
    header, first, second = (line.split("\t") for line in widget.regions.text().splitlines())
    assert header == ["region", "area (px)", "area (µm²)", "image", "mean", "std", "min", "max", "MSE", "FPW"]
    for line, values in zip((first, second), inside, strict=True):
        assert line[:3] == ["1", str(mask.sum()), repr(float(mask.sum() / 4))]
        expected = values.mean(), values.std(), values.min(), values.max()
        assert [float(cell) for cell in line[4:8]] == pytest.approx(expected)
    assert first[8:] == ["", ""]
    whole = score(*colours, ["mse", "fpw"], mask=mask)
    assert [float(cell) for cell in second[8:]] == pytest.approx(list(whole.values()))
    assert "green channel" in widget.said.text()
    shapes.selected_data = {0}
    shapes.remove_selected()
    finished(widget, qtbot)
    assert widget.regions.isHidden()
    assert "encloses nothing: the whole image is compared" in widget.said.text()
    assert float(column(widget, "blurred")["mse"].text()) > 0
    widget.mask.choose(None)
    finished(widget, qtbot)
    assert widget.regions.isHidden()


def test_profile_is_read_along_the_line_of_all_images(viewer, open_widget, qtbot):
    ramp = (np.arange(64) + np.zeros((48, 1))).astype(np.uint8)
    place = {"scale": (0.5, 0.5), "units": ("um", "um")}
    viewer.add_image(ramp, name="ramp", **place)
    viewer.add_image(np.stack([ramp, 2 * ramp]), name="stack", scale=(1, 0.5, 0.5), units=("pixel", "um", "um"))
    widget = open_widget()
    widget.reference.choose(viewer.layers["ramp"])
    curves = widget.curves
    curves.choice.setCurrentText("profile along a line")
    qtbot.waitUntil(lambda: curves.said.text() == "Draw a line on the image.")
    curves.draw_line()
    assert viewer.layers[-1].mode == "add_line"
    viewer.layers[-1].add_lines([[[4, 10.5], [4, 30.5]]])
    qtbot.waitUntil(lambda: curves.curves is not None)
    (x, y), (_, z) = curves.curves.lines.values()
    np.testing.assert_allclose(x, np.arange(21) * 0.5)
    np.testing.assert_allclose(y, np.arange(10.5, 31))
    np.testing.assert_allclose(z, y)
    viewer.dims.set_current_step(0, 1)
    qtbot.waitUntil(lambda: curves.curves.lines[1][1][0] == 21)
    viewer.layers[-1].data = [np.array([[4, 60], [4, 70]])]
    qtbot.waitUntil(lambda: len(curves.curves.lines[0][1]) == 11)
    assert np.isnan(curves.curves.lines[0][1]).tolist() == [False] * 4 + [True] * 7
    curves.copy_button.click()
    lines = QApplication.clipboard().text().splitlines()
    assert lines[0] == "along the line (µm),ramp,stack"
    assert lines[2] == "0.5,61.0,122.0"
    curves.choice.setCurrentText("none")
    assert viewer.layers[-1].nshapes == 1  # what was drawn is the user's
    assert not curves.isVisibleTo(widget)


def test_lines_of_the_regions_will_do(viewer, open_widget, qtbot, truth, blurred):
    viewer.add_image(truth, name="truth")
    viewer.add_image(blurred, name="blurred")
    shapes = viewer.add_shapes(name="shapes", ndim=2)
    shapes.add_lines([[[0, 0], [0, 9]], [[0, 0], [9, 0]]])
    widget = open_widget()
    widget.mask.choose(shapes)
    widget.curves.choice.setCurrentText("profile along a line")
    finished(widget, qtbot)
    reference = widget.reference.layer.data
    np.testing.assert_array_equal(widget.curves.curves.lines[0][1], reference[:10, 0])
    shapes.selected_data = {0}
    finished(widget, qtbot)
    np.testing.assert_array_equal(widget.curves.curves.lines[0][1], reference[0, :10])
    viewer.layers.remove(shapes)
    finished(widget, qtbot)
    assert widget.curves.curves is None


def test_spectrum_is_the_ratio_of_powers(viewer, open_widget, qtbot, rng):
    noise = rng.normal(size=(64, 64)).astype(np.float32)
    place = {"scale": (0.1, 0.1), "units": ("um", "um")}
    viewer.add_image(noise, name="noise", **place)
    viewer.add_image(noise / 2, name="half", **place)
    widget = open_widget()
    widget.reference.choose(viewer.layers["noise"])
    widget.curves.choice.setCurrentText("spectrum")
    qtbot.waitUntil(lambda: widget.curves.curves is not None)
    assert widget.curves.curves.x_label == "spatial frequency (cycles/µm)"
    frequency, ratio = widget.curves.curves.lines[1]
    assert frequency[-1] == pytest.approx(5)
    np.testing.assert_allclose(ratio, 0.25)
    viewer.theme = "light"
    viewer.layers["half"].data = np.full((64, 64), np.nan, np.float32)
    qtbot.waitUntil(lambda: "not finite" in widget.curves.said.text())
    assert widget.curves.curves is None


# --- figures ---------------------------------------------------------------------------------------------------


def test_figure_has_what_is_in_view_and_how_it_was_made(viewer, open_widget, qtbot, tmp_path, truth, blurred):
    place = {"scale": (0.1, 0.1), "units": ("um", "um")}
    viewer.add_image(truth, name="truth", contrast_limits=(0, 255), **place)
    viewer.add_image(blurred, name="blurred", contrast_limits=(0, 255), metadata=GENERATED, **place)
    widget = open_widget()
    viewer.canvas.size = (400, 400)
    viewer.scene.camera.center, viewer.scene.camera.zoom = (0, 2.0, 3.0), 200

    def saved(name):
        widget.save_figure(tmp_path / name)
        qtbot.waitUntil(lambda: widget.saved.text() == f"Saved: {name}", timeout=20000)
        with PIL.Image.open(tmp_path / name) as picture:
            return picture.size, json.loads(picture.text["Description"])["images"]

    (width, _), made = saved("single.png")
    assert made["blurred"]["rows and columns"] == [[10, 31], [20, 41]]
    assert made["blurred"]["provenance"] == GENERATED["cellrestore"]["provenance"]
    widget.map_buttons["gradient"].click()
    qtbot.waitUntil(lambda: len(viewer.layers) == 3)
    widget.view.beside_button.click()
    viewer.scene.camera.center, viewer.scene.camera.zoom = (0, 2.0, 3.0), 200
    size, made = saved("beside.png")
    assert list(made) == ["truth", "blurred", "gradient: blurred − truth"]
    assert size[0] > width
    assert made["truth"]["rows and columns"] == [[15, 26], [25, 36]]  # cells are half as high and wide
    widget.view.swipe_button.click()
    _, made = saved("swipe.png")
    assert list(made) == ["truth", "blurred"]
    with pytest.raises(ValueError, match=r"swipe\.png: exists already"):
        widget.save_figure(tmp_path / "swipe.png")
    with pytest.raises(ValueError, match=r"ends in \.png"):
        widget.save_figure(tmp_path / "swipe.pdf")
    viewer.scene.camera.center = (0, 500, 500)
    with pytest.raises(ValueError, match="nothing of truth is in view"):
        widget.save_figure(tmp_path / "nothing.png")


def test_pixels_of_a_figure_are_those_of_the_canvas(viewer, truth):
    grey = viewer.add_image(truth, name="grey", colormap="green", contrast_limits=(50, 150), gamma=0.5)
    colour = viewer.add_image(np.stack([truth, truth, 0 * truth], axis=-1), name="colour")
    viewer.canvas.size = (4000, 4000)
    expected = np.clip((truth.astype(float) - 50) / 100, 0, 1) ** 0.5 * 255
    pixels = shown(viewer, grey).colours()
    np.testing.assert_allclose(pixels[..., 1], expected, atol=2)
    assert not pixels[..., 0].any()
    np.testing.assert_allclose(shown(viewer, colour).colours()[..., :2], np.stack([truth, truth], axis=-1), atol=1e-3)
    left, right = shown(viewer, grey), shown(viewer, colour)
    assert swipe_figure(left, right, 20, Scale((0, 255))).width_mm > 0
    grey.data = np.where(truth > 100, np.nan, truth.astype(np.float32))
    assert np.isfinite(shown(viewer, grey).colours()).all()
