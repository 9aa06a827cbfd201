"""The Focus widget in a real viewer: what it shows, what it does, and odd orders of events."""

from __future__ import annotations

import time

import dask.array as da
import numpy as np
import pytest
from qtpy.QtCore import QPointF, Qt
from qtpy.QtGui import QGuiApplication
from scipy import ndimage

from napari_cellrestore.files import open_stack, write_tiff
from napari_cellrestore.focus import FocusCurve, all_in_focus, focus_curve, take_planes
from napari_cellrestore.gui.focus.prepare_folder import PrepareFolder, summary
from napari_cellrestore.gui.focus.widget import FocusWidget
from napari_cellrestore.gui.focus.words import Region, describe, explain
from napari_cellrestore.gui.layers import stack_from_layer
from napari_cellrestore.prepare import Row
from napari_cellrestore.stack import ImageStack

pytestmark = pytest.mark.gui

CONTRAST = np.array([1.0, 2, 4, 3, 2, 1])
#: Of unstained cells, in focus in plane 3.
DIP = np.array([1.0, 4, 3, 1, 3, 5, 4, 1])


def focus_stack(rng, contrast=CONTRAST, shape=(64, 80)):
    """Texture of a contrast that differs from plane to plane: its focus measure goes with the square."""
    texture = rng.normal(size=shape)
    return (1000 + 100 * np.asarray(contrast)[:, None, None] * texture).astype(np.uint16)


def um(ndim):
    return {"units": ("um",) * ndim, "scale": (0.5,) * (ndim - 2) + (0.1, 0.1)}


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
    widget.regions.add_button.click()
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
    widget.maps.map_button.click()
    qtbot.waitUntil(lambda: "cells focus map (µm)" in viewer.layers)
    found = viewer.layers["cells focus map (µm)"]
    assert np.nanmedian(found.data) == pytest.approx(0.1, abs=0.15)  # between the planes at 0 and 0.5
    assert np.isnan(found.data[:, 100:]).all()
    assert found.translate.tolist() == [3, 4]
    assert not viewer.layers["cells focus map confidence"].visible
    widget.maps.fused_button.click()
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
    edge = FocusCurve(
        z, np.array([1.0, 2, 4]), 2, 2.0, flags=("peak at edge", "plane 3 not finite", "gap after plane 1")
    )
    assert list(explain(edge)) == [
        "the sharpest plane is the last one recorded; focus may lie beyond",
        "<a href='3'>plane 3</a> has pixels that are not numbers (NaN): left out",
        "planes are missing after <a href='1'>plane 1</a>",
    ]
    dip = FocusCurve(z, np.array([4.0, 1, 4]), 0, 0.0, minimum_um=1.03, minimum_index=1)
    (said,) = explain(dip)
    assert said.startswith("contrast has a dip at <a href='1'>plane 1</a> (1 µm); unstained cells are hardly seen")
    many = FocusCurve(z, z, 2, 2.0, flags=tuple(f"plane {index} constant" for index in range(9)))
    (said,) = explain(many)
    assert said.endswith("<a href='3'>plane 3</a> and 5 more have no contrast at all: all pixels are equal")


def test_description_has_the_digits_that_the_step_tells():
    curve = FocusCurve(0.05 * np.arange(3.0), np.array([1.0, 4, 2]), 1, -0.04321, (0.06, np.nan))
    text = describe(
        [(Region("frame", None, None), curve), (Region("region 1", "#ff0000", (0, 1, 0, 1)), "too small")],
        {"text": "#fff", "icon": "#ccc", "warning": "#fa0"},
    )
    assert "−0.043" in text
    assert "−0.060/+?" in text
    assert "<b>region 1:</b> too small." in text


# --- unstained cells


def test_a_dip_is_said_and_the_buttons_can_mean_it(viewer, open_widget, rng):
    stack = focus_stack(rng, DIP)
    layer = viewer.add_image(stack, name="yeast", axis_labels=("z", "y", "x"), **um(3))
    widget = open_widget()
    assert "contrast has a dip at" in widget.said.text()
    assert "(1.5 µm)" in widget.said.text()
    widget.said.linkActivated.emit("3")
    assert viewer.dims.current_step[0] == 3
    assert widget.dip_box.text() == "Focus is at the dip, plane 3"
    assert not widget.dip_box.isHidden()
    assert (widget.go_button.text(), widget.focus_plane) == ("Go to sharpest", 5)
    widget.dip_box.setChecked(True)
    assert (widget.go_button.text(), widget.extract_button.text()) == ("Go to the dip", "Extract plane of the dip")
    assert widget.prepare.against.currentData() == "neighbour"
    viewer.dims.set_current_step(0, 0)
    widget.go_button.click()
    assert viewer.dims.current_step[0] == 3
    widget.extract_button.click()
    plane = viewer.layers["yeast dip (plane 3)"]
    np.testing.assert_array_equal(plane.data, stack[3])
    assert plane.metadata["cellrestore"]["provenance"]["step"] == "dip plane"
    widget.prepare.centre_button.click()
    assert stack_from_layer(viewer.layers["yeast re-centred"]).z_um[3] == 0
    assert widget.dip_box.isChecked()
    viewer.layers.remove("yeast re-centred")
    viewer.layers.remove(layer)
    assert widget.is_empty


def test_without_a_dip_there_is_nothing_to_check(viewer, open_widget, rng):
    viewer.add_image(focus_stack(rng))
    assert open_widget().dip_box.isHidden()


# --- maps on other channels


def two_halves(rng):
    """Two channels of a field whose left half is sharp in plane 1, its right half in plane 3."""
    contrast = np.repeat(np.array([[1, 0.1], [4, 0.5], [1, 1], [0.5, 4], [0.1, 1]]), 60, axis=1)[:, None, :]
    texture = rng.normal(size=(90, 120))
    return (1000 + 100 * contrast * texture).astype(np.uint16), rng.integers(0, 9000, (5, 90, 120)).astype(np.uint16)


def test_another_channel_by_the_planes_of_the_first(viewer, open_widget, qtbot, rng):
    first, other = two_halves(rng)
    place = {"axis_labels": ("z", "y", "x"), "translate": (-1, 3, 4), **um(3)}
    nuclei = viewer.add_image(other, name="nuclei", colormap="magenta", **place)
    cells = viewer.add_image(first, name="cells", **place)
    widget = open_widget()
    widget.stack_choice.choose(cells)
    qtbot.waitUntil(lambda: widget.frame_curve is not None)
    assert widget.maps._by_map.isHidden()
    widget.maps.fused_button.click()
    qtbot.waitUntil(lambda: "cells all in focus" in viewer.layers)
    expected = all_in_focus(first)[1]
    source = viewer.layers["cells source plane"]
    assert not source.visible
    assert source.data.dtype.kind == "u"
    np.testing.assert_array_equal(source.data, expected)
    assert [str(unit) for unit in source.units] == ["micrometer"] * 2
    assert source.translate.tolist() == [3, 4]

    widget.stack_choice.choose(nuclei)
    qtbot.waitUntil(lambda: widget.frame_curve is not None)
    assert not widget.maps._by_map.isHidden()
    widget.maps.map_choice.choose(source)
    widget.maps.fused_button.click()
    qtbot.waitUntil(lambda: "nuclei all in focus by cells source plane" in viewer.layers)
    made = viewer.layers["nuclei all in focus by cells source plane"]
    np.testing.assert_array_equal(made.data, take_planes(other, expected))
    assert made.colormap.name == "magenta"
    assert made.scale.tolist() == [0.1, 0.1]
    provenance = made.metadata["cellrestore"]["provenance"]
    assert set(provenance["layers"]) == {"nuclei", "cells source plane"}
    assert "cells" in provenance["layers"]["cells source plane"]["layers"]
    viewer.layers.remove(source)
    assert widget.maps.map_choice.layer is None
    assert widget.maps._by_map.isHidden()


def test_another_channel_by_a_focus_map(viewer, open_widget, qtbot, rng):
    first, other = two_halves(rng)
    first[:, 40:, :] = 1000  # nothing to focus on: decided by what is above
    place = {"axis_labels": ("z", "y", "x"), "translate": (-1, 3, 4), **um(3)}
    nuclei = viewer.add_image(other, name="nuclei", **place)
    viewer.layers.selection.active = viewer.add_image(first, name="cells", **place)
    widget = open_widget()
    widget.maps.map_button.click()
    qtbot.waitUntil(lambda: "cells focus map (µm)" in viewer.layers)
    known = viewer.layers["cells focus map (µm)"]
    assert np.isnan(known.data[80:]).all()
    widget.stack_choice.choose(nuclei)
    widget.maps.map_choice.choose(known)
    widget.maps.fused_button.click()
    qtbot.waitUntil(lambda: "nuclei all in focus by cells focus map (µm)" in viewer.layers)
    made = viewer.layers["nuclei all in focus by cells focus map (µm)"].data
    np.testing.assert_array_equal(made[:, :40], other[1, :, :40])
    np.testing.assert_array_equal(made[:, 80:], other[3, :, 80:])
    viewer.layers.remove("nuclei all in focus by cells focus map (µm)")
    widget.calibration.z_step.setValue(0)
    widget.maps.fused_button.click()
    qtbot.waitUntil(lambda: "z step of this stack is not known" in widget.status.text())
    small = viewer.add_image(other[:, :50], name="small", **place)
    widget.stack_choice.choose(small)
    widget.maps.fused_button.click()
    qtbot.waitUntil(lambda: "give the map of the same field" in widget.status.text())
    assert widget.maps.fused_button.isEnabled()


# --- preparation


def drifting_stack(contrast=CONTRAST, shift_px=(1, -2)):
    """A blurred texture that drifts by whole pixels from plane to plane."""
    scene = 300 * ndimage.gaussian_filter(np.random.default_rng(4).normal(size=(100, 110)), 2)
    planes = []
    for number, gain in enumerate(contrast):
        top, left = 15 + shift_px[0] * number, 20 + shift_px[1] * number
        planes.append(1000 + gain * scene[top : top + 64, left : left + 72])
    return np.array(planes).astype(np.uint16)


def test_steps_are_chained_and_leave_the_layer_as_it_is(viewer, open_widget, qtbot):
    stack = drifting_stack()
    layer = viewer.add_image(
        stack, name="cells", axis_labels=("z", "y", "x"), translate=(-1, 3, 4), colormap="green", **um(3)
    )
    before = layer.data.copy(), layer.scale.copy(), layer.translate.copy()
    viewer.dims.set_current_step(0, 4)
    widget = open_widget()
    box = widget.prepare
    assert (box.low.value(), box.high.value()) == (-1, 1.5)
    box.centre_button.click()
    assert widget.layer.name == "cells re-centred"
    qtbot.waitUntil(lambda: widget.frame_curve is not None)
    assert stack_from_layer(widget.layer).z_um.tolist() == [-1, -0.5, 0, 0.5, 1, 1.5]
    assert widget.layer.data is stack
    assert widget.plot.position.value() == 1  # plane 4 is looked at, as before

    box.align_button.click()
    qtbot.waitUntil(lambda: widget.layer.name == "cells re-centred aligned")
    assert isinstance(widget.layer.data, da.Array)
    aligned = stack_from_layer(widget.layer)
    assert aligned.provenance["aligned"]["shifts_px"] == [[number, -2 * number] for number in (-2, -1, 0, 1, 2, 3)]
    np.testing.assert_array_equal(np.asarray(aligned.data[2]), stack[2])
    assert box.shifts_label.text() == "moved by up to 6.7 px"
    box.shifts_button.click()
    assert QGuiApplication.clipboard().text().splitlines()[:2] == ["plane\tdown (px)\tright (px)", "0\t-2.00\t4.00"]

    qtbot.waitUntil(lambda: widget.frame_curve is not None)
    box.low.setValue(-0.5)
    box.high.setValue(1)
    box.trim_button.click()
    trimmed = widget.layer
    assert trimmed.name == "cells re-centred aligned trimmed"
    assert stack_from_layer(trimmed).z_um.tolist() == [-0.5, 0, 0.5, 1]
    np.testing.assert_array_equal(np.asarray(trimmed.data), np.asarray(aligned.data[1:5]))
    assert trimmed.translate.tolist() == [-0.5, 3, 4]
    assert [str(unit) for unit in trimmed.units] == ["micrometer"] * 3
    assert trimmed.colormap.name == "green"
    provenance = trimmed.metadata["cellrestore"]["provenance"]
    assert provenance["step"] == "trimmed"
    assert provenance["layers"]["cells re-centred aligned"]["aligned"]["reference"] == 2
    assert viewer.layers[0] is layer
    for now, then in zip((layer.data, layer.scale, layer.translate), before, strict=True):
        np.testing.assert_array_equal(now, then)


def test_square_around_the_nucleus_lies_where_it_was(viewer, open_widget, qtbot):
    smear = np.full((3, 100, 120, 3), 230, np.uint8)
    smear[:, 50:70, 60:84] = 90, 50, 150
    smear[1, ::4] -= 20
    layer = viewer.add_image(
        smear, name="smear", rgb=True, axis_labels=("z", "y", "x"), rotate=30, translate=(0, 3, 4), **um(3)
    )
    widget = open_widget()
    widget.prepare.size.setValue(40)
    widget.prepare.crop_button.click()
    qtbot.waitUntil(lambda: widget.layer.name == "smear cropped")
    made = widget.layer
    assert made.data.shape == (3, 40, 40, 3)
    assert made.metadata["cellrestore"]["provenance"]["cropped"] == {"rows": [40, 80], "columns": [52, 92]}
    np.testing.assert_allclose(made.data_to_world((1, 0, 0)), layer.data_to_world((1, 40, 52)))
    np.testing.assert_allclose(made.data_to_world((2, 39, 7)), layer.data_to_world((2, 79, 59)))
    widget.prepare.size.setValue(200)
    qtbot.waitUntil(lambda: widget.prepare.crop_button.isEnabled())
    widget.prepare.crop_button.click()
    qtbot.waitUntil(lambda: "size_px is 200: give a whole number of pixels, 1 to 40" in widget.status.text())


def test_steps_of_one_time_of_a_series(viewer, open_widget, qtbot):
    series = np.stack([drifting_stack(), drifting_stack(CONTRAST[::-1])])
    viewer.add_image(series, name="series", axis_labels=("t", "z", "y", "x"), **um(4))
    viewer.dims.set_current_step(0, 1)
    widget = open_widget()
    qtbot.waitUntil(lambda: widget.frame_curve is not None and widget.frame_curve.peak_index == 3)
    widget.prepare.centre_button.click()
    made = stack_from_layer(widget.layer)
    assert made.axes == "ZYX"
    assert made.z_um.tolist() == [-1.5, -1, -0.5, 0, 0.5, 1]
    np.testing.assert_array_equal(made.data, series[1])


def test_alignment_shows_how_far_it_is_and_can_be_stopped(viewer, open_widget, qtbot):
    waiting = False

    def slow(block):
        if waiting:
            time.sleep(0.1)
        return block

    stack = drifting_stack(np.r_[1:9, 7:1:-1], (0, 1))
    lazy = da.from_array(stack, chunks=(1, -1, -1)).map_blocks(slow, dtype=stack.dtype)
    viewer.add_image(lazy, name="cells", contrast_limits=(0, 2000))
    widget = open_widget()
    waiting = True
    box = widget.prepare
    box.align_button.click()
    assert not box.align_button.isEnabled()
    qtbot.waitUntil(lambda: box.progress.value() >= 2)
    assert box.progress.maximum() == len(stack) - 1
    assert not box.stop_button.isHidden()
    box.stop_button.click()
    assert box.progress.isHidden()
    assert box.align_button.isEnabled()
    qtbot.wait(500)
    assert [layer.name for layer in viewer.layers] == ["cells"]


def test_what_cannot_be_prepared_is_said_in_a_line(viewer, open_widget, qtbot):
    stack = drifting_stack()
    stack[3] = 7
    viewer.add_image(stack, name="cells", axis_labels=("z", "y", "x"), **um(3))
    widget = open_widget()
    assert "plane 3</a> has no contrast at all" in widget.said.text()
    widget.prepare.low.setValue(-3)
    widget.prepare.trim_button.click()
    assert widget.status.text() == (
        "planes from 0 to 2.5 µm do not cover -3 to 2.5 µm: choose a smaller z range or leave the stack out"
    )
    widget.prepare.align_button.click()
    assert widget.status.text() == ""
    qtbot.waitUntil(lambda: "plane 3: all pixels are 7" in widget.status.text())
    assert [layer.name for layer in viewer.layers] == ["cells"]


def test_without_positions_planes_can_be_aligned_and_not_trimmed(viewer, open_widget, qtbot):
    viewer.add_image(drifting_stack(), name="cells")
    widget = open_widget()
    box = widget.prepare
    assert not box.centre_button.isEnabled()
    assert not box.trim_button.isEnabled()
    assert box.centre_label.text() == "z step not known"
    box.align_button.click()
    qtbot.waitUntil(lambda: widget.layer.name == "cells aligned")
    assert stack_from_layer(widget.layer).z_um is None


# --- a folder


@pytest.fixture
def recorded(tmp_path):
    folder = tmp_path / "recorded"
    folder.mkdir()
    z_um = np.round(0.2 * np.arange(6) - 0.4, 6)
    for name, contrast in (("a", CONTRAST), ("b", CONTRAST[::-1]), ("c", CONTRAST)):
        stack = ImageStack(drifting_stack(contrast, (0, 1)), "ZYX", pixel_um=0.1, z_um=z_um)
        write_tiff(folder / f"{name}.tif", stack)
    (folder / "d.tif").write_bytes(b"II*\0broken")
    return folder


def test_a_folder_is_prepared_with_a_summary(viewer, open_widget, qtbot, rng, recorded, tmp_path):
    viewer.add_image(focus_stack(rng))
    widget = open_widget()
    widget.prepare.folder_button.click()
    window = widget.prepare._folder
    assert window.isVisible()
    window.run_button.click()
    assert window.said.toPlainText() == "Choose both folders first."
    window.source.setText(str(recorded))
    window.target.setText(str(tmp_path / "prepared"))
    for field, value in ((window.trim_low, -0.4), (window.trim_high, 0.4), (window.keep_high, 0.1)):
        field.setValue(value)
    window.run_button.click()
    qtbot.waitUntil(lambda: "kept" in window.said.toPlainText())
    lines = window.said.toPlainText().splitlines()
    assert lines[0] == f"2 of 4 stacks kept, the table is {tmp_path / 'prepared' / 'prepared.csv'}"
    assert lines[1] == "Left out: b: sharpest at 0.2 um, outside -0.2 to 0.1 um"
    assert lines[2].startswith("Left out: d: d.tif: ")
    assert open_stack(tmp_path / "prepared" / "a.ome.tif").z_um.tolist() == pytest.approx([-0.4, -0.2, 0, 0.2, 0.4])
    window.align.setChecked(False)
    window.run_button.click()
    qtbot.waitUntil(lambda: "was prepared with" in window.said.toPlainText())
    window.target.setText(str(recorded))
    window.run_button.click()
    qtbot.waitUntil(lambda: "is the folder of the sources" in window.said.toPlainText())
    assert window.run_button.isEnabled()


def test_preparing_a_folder_can_be_stopped_and_goes_on(viewer, qtbot, recorded, tmp_path):
    window = PrepareFolder(None)
    qtbot.addWidget(window)
    window.source.setText(str(recorded))
    window.target.setText(str(tmp_path / "prepared"))
    window.keep.setChecked(False)
    window.trim.setChecked(False)
    window.run()
    qtbot.waitUntil(lambda: len(window._rows) >= 1)
    window.stop()
    assert window.said.toPlainText() == "Stopping after this stack…"
    assert not window.run_button.isEnabled()  # until the thread has left the folder
    qtbot.waitUntil(window.run_button.isEnabled)
    said = f"Stopped after {len(window._rows)} of 4 stacks. Prepare goes on from there."
    assert window.said.toPlainText() == said
    window.run()
    qtbot.waitUntil(lambda: "3 of 4 stacks kept" in window.said.toPlainText())


def test_only_the_first_reasons_are_said(tmp_path):
    rows = [Row(f"s{number}", False, "why") for number in range(9)] + [Row("kept", True)]
    lines = summary(rows, tmp_path / "prepared.csv").splitlines()
    assert lines[0].startswith("1 of 10 stacks kept")
    assert lines[-1] == "and 4 more, see the table"
    assert len(lines) == 7
