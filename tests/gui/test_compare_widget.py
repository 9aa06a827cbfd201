"""The Compare widget in a real viewer: numbers, maps, side by side, and odd orders of events."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
from qtpy.QtWidgets import QApplication
from scipy.ndimage import gaussian_filter

from napari_cellrestore.gui.compare_widget import CompareWidget
from napari_cellrestore.metrics import METRICS, difference_map, fpw_map, psnr, score

pytestmark = pytest.mark.gui

GENERATED = {"cellrestore": {"provenance": {"generated": "restored by a model: the pixels are computed, not recorded"}}}


@pytest.fixture
def truth(rng):
    return gaussian_filter(rng.integers(0, 255, (48, 64)).astype(np.float32), 1).astype(np.uint8)


@pytest.fixture
def blurred(truth):
    return gaussian_filter(truth, 2)


@pytest.fixture
def viewer(make_napari_viewer):
    return make_napari_viewer()


@pytest.fixture
def open_widget(viewer, qtbot):
    def opened(wait=True):
        widget = CompareWidget(viewer)
        viewer.window.add_dock_widget(widget)
        if wait:
            finished(widget, qtbot)
        return widget

    return opened


def finished(widget, qtbot):
    """Wait until the table is filled and nothing is being computed."""

    def done():
        candidates = 1 + len(widget.candidates.layers)
        return not widget._work.running and not widget._soon.isActive() and (candidates == 1 or bool(widget._values))

    qtbot.waitUntil(done)


def column(widget, name):
    heads = [layer.name for _, layer in widget._columns()]
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
    widget.difference_button.click()
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
    widget.difference_button.click()
    qtbot.waitUntil(lambda: names(viewer) == ["truth", "blurred"])


def test_maps_follow_the_slider(viewer, open_widget, qtbot, truth):
    stack = np.stack([gaussian_filter(truth, sigma) for sigma in (3, 1, 0.3)])
    viewer.add_image(stack, name="stack")
    viewer.add_image(truth, name="truth")
    widget = open_widget()
    widget.reference.choose(viewer.layers["truth"])
    widget.fpw_button.click()
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
    widget.fpw_button.click()
    qtbot.waitUntil(lambda: len(viewer.layers) == 3)
    viewer.layers.pop()
    assert not widget.fpw_button.isChecked()
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
    widget.difference_button.click()
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
    widget.beside_button.click()
    assert viewer.canvas.grid.enabled
    assert [layer.visible for layer in (first, second, other, hidden)] == [True, True, False, False]
    assert tuple(second.contrast_limits) == (0, 200)
    first.contrast_limits = (10, 90)
    assert tuple(second.contrast_limits) == (10, 90)
    widget.candidates.check([hidden])
    assert [layer.visible for layer in (first, second, other, hidden)] == [True, False, False, True]
    widget.beside_button.click()
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
    widget.beside_button.click()
    viewer.layers.remove(third)
    qtbot.wait(300)
    viewer.layers.remove("blurred")
    assert widget.is_empty
    widget.beside_button.setChecked(False)
    assert not viewer.canvas.grid.enabled
    assert viewer.layers["truth"].visible


def test_closing_puts_the_view_back_and_stops(viewer, open_widget, qtbot, truth, blurred):
    viewer.add_image(truth, name="truth")
    viewer.add_image(blurred, name="blurred")
    before = len(viewer.layers.events.removed.callbacks)
    widget = open_widget()
    widget.beside_button.click()
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
