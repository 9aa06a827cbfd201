"""The Focus widget in a real viewer: what it shows, what it does, and odd orders of events."""

from __future__ import annotations

import time

import dask.array as da
import numpy as np
import pytest
from qtpy.QtCore import QPointF, Qt

from napari_cellrestore.focus import FocusCurve, focus_curve
from napari_cellrestore.gui.focus_widget import FocusWidget, Region, describe, explain

pytestmark = pytest.mark.gui

CONTRAST = np.array([1.0, 2, 4, 3, 2, 1])


def focus_stack(rng, contrast=CONTRAST, shape=(64, 80)):
    """Texture of a contrast that differs from plane to plane: its focus measure goes with the square."""
    texture = rng.normal(size=shape)
    return (1000 + 100 * np.asarray(contrast)[:, None, None] * texture).astype(np.uint16)


def um(ndim):
    return {"units": ("um",) * ndim, "scale": (0.5,) * (ndim - 2) + (0.1, 0.1)}


@pytest.fixture
def viewer(make_napari_viewer):
    return make_napari_viewer()


@pytest.fixture
def open_widget(viewer, qtbot):
    """Open the widget beside what is in the viewer; wait for its curves."""

    def opened(wait=True):
        widget = FocusWidget(viewer)
        viewer.window.add_dock_widget(widget)
        if wait:
            qtbot.waitUntil(lambda: widget.frame_curve is not None)
        return widget

    return opened


def test_curve_is_that_of_the_stack_in_um(viewer, open_widget, rng):
    stack = focus_stack(rng)
    viewer.add_image(stack, name="cells", axis_labels=("z", "y", "x"), translate=(-1, 3, 4), **um(3))
    widget = open_widget()
    expected = focus_curve(stack, -1 + 0.5 * np.arange(6))
    np.testing.assert_allclose(widget.frame_curve.values, expected.values)
    assert widget.frame_curve.peak_um == pytest.approx(expected.peak_um)
    assert "plane 2" in widget.said.text()
    assert widget.plot.getAxis("bottom").labelText == "z (µm)"
    drawn = widget.plot.getPlotItem().listDataItems()[0]
    np.testing.assert_allclose(drawn.getData()[1], expected.values / expected.values.max())


def test_uncalibrated_stack_counts_planes_and_says_so(viewer, open_widget, rng):
    viewer.add_image(focus_stack(rng))
    widget = open_widget()
    assert widget.frame_curve.z_unit == "plane"
    assert widget.plot.getAxis("bottom").labelText == "plane (z step not known)"
    assert "taken as ZYX" in widget.notes.text()


def test_line_follows_the_slider_and_the_slider_the_curve(viewer, open_widget, rng):
    viewer.add_image(focus_stack(rng), axis_labels=("z", "y", "x"), translate=(-1, 0, 0), **um(3))
    widget = open_widget()
    viewer.dims.set_current_step(0, 5)
    assert widget.plot.position.value() == pytest.approx(1.5)
    widget.plot.picked.emit(-0.7)
    assert viewer.dims.current_step[0] == 1
    widget.said.linkActivated.emit("4")
    assert viewer.dims.current_step[0] == 4
    widget.go_button.click()
    assert viewer.dims.current_step[0] == 2


def test_click_on_the_plot_moves_the_slider(viewer, open_widget, qtbot, rng):
    viewer.window.show()
    viewer.add_image(focus_stack(rng), axis_labels=("z", "y", "x"), translate=(-1, 0, 0), **um(3))
    widget = open_widget()
    qtbot.wait(100)  # for the layout
    box = widget.plot.getPlotItem().getViewBox()
    where = widget.plot.mapFromScene(box.mapViewToScene(QPointF(1.1, 0.5)))
    qtbot.mouseClick(widget.plot.viewport(), Qt.MouseButton.LeftButton, pos=where)
    qtbot.waitUntil(lambda: viewer.dims.current_step[0] == 4)


def test_each_region_has_its_curve_name_and_colour(viewer, open_widget, qtbot, rng):
    stack = focus_stack(rng)
    stack[:, :, 40:] = focus_stack(rng, CONTRAST[::-1])[:, :, 40:]
    layer = viewer.add_image(stack, name="cells", axis_labels=("z", "y", "x"), translate=(0, 2, 1), **um(3))
    widget = open_widget()
    widget.add_button.click()
    shapes = viewer.layers["cells regions"]
    assert shapes.mode == "add_rectangle"
    assert widget.region_choice.layer is shapes
    for left, right in ((0, 39), (40, 79)):
        shapes.add_rectangles(np.array([[0, left], [0, right], [63, right], [63, left]]))
    qtbot.waitUntil(lambda: len(widget._known) == 3)
    peaks = [widget._known[region.bounds].peak_index for region in widget._regions[1:]]
    assert peaks == [2, 3]
    assert [region.name for region in widget._regions] == ["frame", "region 1", "region 2"]
    assert widget._regions[1].bounds == (0, 64, 0, 40)
    colours = [region.colour for region in widget._regions[1:]]
    assert colours == ["#e69f00", "#56b4e9"]
    np.testing.assert_allclose(255 * shapes.edge_color[1][:3], (0x56, 0xB4, 0xE9), atol=0.5)
    shapes.selected_data = {0}
    shapes.remove_selected()
    qtbot.waitUntil(lambda: len(widget._regions) == 2)
    assert widget._known[widget._regions[1].bounds].peak_index == 3
    layer.visible = False  # something else happens meanwhile
    viewer.layers.remove(shapes)
    qtbot.waitUntil(lambda: len(widget._regions) == 1)


def test_region_too_small_says_why_and_the_frame_stays(viewer, open_widget, qtbot, rng):
    viewer.add_image(focus_stack(rng), name="cells")
    widget = open_widget()
    shapes = viewer.add_shapes([np.array([[1, 1], [1, 5], [5, 5], [5, 1]])], name="mine")
    widget.region_choice.choose(shapes)
    qtbot.waitUntil(lambda: len(widget._known) == 2)
    assert "take a larger region" in widget.said.text()
    assert widget.frame_curve is not None


def test_extracted_plane_keeps_calibration_place_and_origin(viewer, open_widget, rng):
    stack = focus_stack(rng)
    layer = viewer.add_image(
        stack, name="cells", axis_labels=("z", "y", "x"), translate=(-1, 3, 4), colormap="green", **um(3)
    )
    widget = open_widget()
    widget.extract_button.click()
    widget.extract_button.click()
    assert [each.name for each in viewer.layers] == ["cells", "cells sharpest (plane 2)"]
    plane = viewer.layers[1]
    np.testing.assert_array_equal(plane.data, stack[2])
    assert plane.scale.tolist() == [0.1, 0.1]
    assert plane.translate.tolist() == [3, 4]
    assert [str(unit) for unit in plane.units] == ["micrometer", "micrometer"]
    assert plane.colormap.name == "green"
    made = plane.metadata["cellrestore"]["provenance"]
    assert (made["step"], made["plane"], made["z_um"]) == ("sharpest plane", 2, 0.0)
    assert list(made["layers"]) == ["cells"]
    assert viewer.layers.selection.active is layer


def test_plane_of_generated_pixels_is_generated(viewer, open_widget, rng):
    metadata = {"cellrestore": {"provenance": {"generated": "restored by a model"}}}
    viewer.add_image(focus_stack(rng), name="cells", metadata=metadata)
    open_widget().extract_button.click()
    assert viewer.layers[1].metadata["cellrestore"]["provenance"]["generated"] == "restored by a model"


def test_focus_map_is_in_um_and_empty_without_structure(viewer, open_widget, qtbot, rng):
    stack = focus_stack(rng, shape=(90, 120)).astype(np.float32)
    stack[:, :, 60:] = 1000
    viewer.add_image(stack, name="cells", axis_labels=("z", "y", "x"), translate=(-1, 3, 4), **um(3))
    widget = open_widget()
    widget.map_button.click()
    qtbot.waitUntil(lambda: "cells focus map (µm)" in viewer.layers)
    found = viewer.layers["cells focus map (µm)"]
    assert np.nanmedian(found.data) == pytest.approx(0.1, abs=0.15)  # between the planes at 0 and 0.5
    assert np.isnan(found.data[:, 100:]).all()
    assert found.translate.tolist() == [3, 4]
    assert not viewer.layers["cells focus map confidence"].visible
    widget.fused_button.click()
    qtbot.waitUntil(lambda: "cells all in focus" in viewer.layers)
    assert viewer.layers["cells all in focus"].data.dtype == np.float32


def test_rgb_dask_stack_along_time_measures_the_time_in_view(viewer, open_widget, qtbot, rng):
    first, second = (np.stack([focus_stack(rng, c)] * 3, axis=-1) // 16 for c in (CONTRAST, CONTRAST[::-1]))
    stack = da.from_array(np.stack([first, second]).astype(np.uint8), chunks=(1, 1, -1, -1, -1))
    viewer.add_image(stack, rgb=True, axis_labels=("t", "z", "y", "x"), contrast_limits=(0, 255))
    viewer.dims.set_current_step(0, 0)
    widget = open_widget()
    assert widget.frame_curve.peak_index == 2
    viewer.dims.set_current_step(0, 1)
    qtbot.waitUntil(lambda: widget.frame_curve is not None and widget.frame_curve.peak_index == 3)
    widget.go_to_sharpest()
    assert viewer.dims.current_step[:2] == (1, 3)


def test_without_a_stack_it_says_what_to_do(viewer, open_widget, qtbot, rng):
    viewer.add_image(np.zeros((30, 30)))
    widget = open_widget(wait=False)
    assert widget.is_empty
    layer = viewer.add_image(focus_stack(rng), name="late")
    qtbot.waitUntil(lambda: widget.frame_curve is not None)
    assert not widget.is_empty
    layer.name = "renamed"
    assert widget.stack_choice.currentText() == "renamed"
    viewer.layers.remove(layer)
    assert widget.is_empty
    assert widget.frame_curve is None


@pytest.mark.parametrize(
    ("stack", "said"),
    [(np.zeros((4, 30, 30)), "no plane is sharper"), (np.zeros((1, 30, 30)), "one plane only")],
)
def test_stack_without_focus_says_so(viewer, open_widget, stack, said):
    viewer.add_image(stack)
    assert said in open_widget().said.text()


def test_layer_of_too_many_axes_says_why(viewer, open_widget, rng):
    viewer.add_image(np.zeros((1, 1, 1, 2, 30, 30)), contrast_limits=(0, 1))
    widget = open_widget(wait=False)
    assert "name them" in widget.status.text()


def test_file_that_cannot_be_read_says_so(viewer, open_widget, qtbot):
    def broken(block):
        if reading:
            raise OSError("cells.tif: the file ends early")
        return block

    reading = False
    lazy = da.zeros((3, 30, 30), chunks=(1, -1, -1)).map_blocks(broken, dtype=float)
    viewer.add_image(lazy, contrast_limits=(0, 1))
    reading = True
    widget = open_widget(wait=False)
    qtbot.waitUntil(lambda: "ends early" in widget.status.text())
    assert not widget.progress.isVisible()


def test_layer_removed_while_it_is_measured(viewer, open_widget, qtbot, rng):
    stack, read = focus_stack(rng), []

    def slow(block):
        read.append(1)
        time.sleep(0.05)
        return block

    lazy = da.from_array(np.concatenate([stack] * 5), chunks=(1, -1, -1)).map_blocks(slow, dtype=stack.dtype)
    layer = viewer.add_image(lazy, contrast_limits=(0, 2000))
    widget = open_widget(wait=False)
    qtbot.waitUntil(lambda: widget.progress.value() > 2)
    viewer.layers.remove(layer)
    qtbot.wait(150)
    so_far = len(read)
    qtbot.wait(200)
    assert len(read) == so_far < 30
    assert widget.is_empty


def test_window_stays_alive_while_a_large_stack_is_measured(viewer, open_widget, qtbot, rng):
    viewer.add_image(focus_stack(rng, np.r_[1:13], (1024, 1024)))
    widget = open_widget(wait=False)
    gaps, last = [], time.perf_counter()
    while widget.frame_curve is None:
        qtbot.wait(5)
        gaps.append(time.perf_counter() - last)
        last = time.perf_counter()
    assert np.median(gaps) < 0.1


def test_time_series_can_be_declared_a_focus_stack(viewer, open_widget, qtbot, rng):
    layer = viewer.add_image(focus_stack(rng), axis_labels=("t", "y", "x"), translate=(0, 5, 6))
    widget = open_widget(wait=False)
    qtbot.wait(200)
    assert widget.frame_curve is None
    assert "not known to be a focus stack" in widget.said.text()
    box = widget.calibration
    box.axis.setCurrentIndex(box.axis.findData("Z"))
    box.axis.activated.emit(box.axis.currentIndex())
    qtbot.waitUntil(lambda: widget.frame_curve is not None)
    assert layer.axis_labels == ("z", "y", "x")
    assert layer.translate.tolist() == [0, 5, 6]


def test_calibration_changes_layer_regions_and_curve_and_nothing_else(viewer, open_widget, qtbot, rng):
    stack = focus_stack(rng)
    layer = viewer.add_image(stack, name="cells", metadata={"mine": 1})
    widget = open_widget()
    widget.add_region()
    shapes = viewer.layers["cells regions"]
    shapes.add_rectangles(np.array([[10, 20], [10, 50], [40, 50], [40, 20]]))
    qtbot.waitUntil(lambda: len(widget._known) == 2)
    viewer.dims.set_current_step(0, 4)
    widget.calibration.pixel.setValue(0.25)
    widget.calibration.z_step.setValue(0.5)
    assert layer.scale.tolist() == [0.5, 0.25, 0.25]
    assert [str(unit) for unit in layer.units] == ["micrometer"] * 3
    assert layer.metadata["mine"] == 1
    assert viewer.dims.current_step[0] == 4
    qtbot.waitUntil(lambda: len(widget._known) == 2)
    assert widget.frame_curve.z_unit == "um"
    assert widget._regions[1].bounds == (10, 41, 20, 51)
    np.testing.assert_array_equal(layer.data, stack)
    widget.calibration.z_step.setValue(0)
    qtbot.waitUntil(lambda: widget.frame_curve is not None and widget.frame_curve.z_unit == "plane")


def test_other_measure_is_measured_anew(viewer, open_widget, qtbot, rng):
    stack = focus_stack(rng)
    viewer.add_image(stack)
    widget = open_widget()
    widget.method_choice.setCurrentIndex(widget.method_choice.findData("brenner"))
    qtbot.waitUntil(lambda: widget.frame_curve is not None and widget.frame_curve.method == "brenner")
    np.testing.assert_allclose(widget.frame_curve.values, focus_curve(stack, method="brenner").values)


def test_closed_widget_stops_and_lets_go_of_the_viewer(viewer, open_widget, qtbot, rng):
    layer = viewer.add_image(focus_stack(rng))
    before = len(viewer.dims.events.current_step.callbacks)
    widget = open_widget()
    gone = []
    widget.destroyed.connect(lambda: gone.append(True))
    viewer.window.remove_dock_widget(widget)
    qtbot.waitUntil(lambda: bool(gone))
    assert len(viewer.dims.events.current_step.callbacks) == before
    viewer.dims.set_current_step(0, 1)
    layer.name = "other"
    viewer.layers.clear()


def test_theme_is_followed(viewer, open_widget, rng):
    viewer.add_image(focus_stack(rng))
    widget = open_widget()
    dark = widget.plot.backgroundBrush().color().lightness()
    viewer.theme = "light"
    assert widget.plot.backgroundBrush().color().lightness() > dark + 100


def test_flags_are_said_in_plain_words():
    z = np.arange(3.0)
    edge = FocusCurve(z, np.array([1.0, 2, 4]), 2, 2.0, flags=("peak at edge",))
    assert explain("peak at edge", edge) == "the sharpest plane is the last one recorded; focus may lie beyond"
    assert explain("plane 3 not finite", edge) == "plane 3 has pixels that are not numbers (NaN) and was left out"
    dip = FocusCurve(z, np.array([4.0, 1, 4]), 0, 0.0, minimum_um=1.03, z_unit="plane")
    assert "contrast has a dip at 1 planes" in explain("contrast minimum at focus", dip)


def test_description_has_the_digits_that_the_step_tells():
    curve = FocusCurve(0.05 * np.arange(3.0), np.array([1.0, 4, 2]), 1, -0.04321, (0.06, np.nan))
    text = describe(
        [(Region("frame", None, None), curve), (Region("region 1", "#ff0000", (0, 1, 0, 1)), "too small")],
        {"text": "#fff", "icon": "#ccc", "warning": "#fa0"},
    )
    assert "−0.043" in text
    assert "−0.060 / +?" in text
    assert "<b>region 1:</b> too small." in text
