"""The LEDs widget in a real viewer: the plan, selections, checks, images of all planes, tables, and odd orders."""

from __future__ import annotations

import time

import dask.array as da
import numpy as np
import pytest
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtWidgets import QLabel, QPushButton, QScrollArea

from napari_cellrestore.gui.layers import layer_data, stack_from_layer
from napari_cellrestore.gui.leds.composites import COMPOSITES, PHASE
from napari_cellrestore.gui.leds.places import plan_of
from napari_cellrestore.gui.leds.table_box import write_table
from napari_cellrestore.gui.leds.widget import LedsWidget
from napari_cellrestore.gui.watched import Stopped, WatchedPlanes
from napari_cellrestore.illumination import brightfield, colour_by_angle, darkfield, differential_phase
from napari_cellrestore.leds import SUBSETS, LedTable, arm_leds, choose, rectangular_leds
from napari_cellrestore.stack import ImageStack

pytestmark = pytest.mark.gui

PANEL = rectangular_leds(15, 15, pitch_mm=4, height_mm=90)


def led_stack(leds, rng, *, colours=False, shape=(24, 32)):
    """Texture that is darker outside NA 0.4 and differs from plane to plane."""
    level = np.where(leds.brightfield(0.4), 120, 20)
    texture = rng.uniform(0.8, 1.2, (len(leds), *shape))
    data = (level[:, None, None] * texture).astype(np.uint8)
    data = np.stack([data, data // 2, data // 3], axis=-1) if colours else data
    return ImageStack(data, "AYXS" if colours else "AYX", pixel_um=0.25, leds=leds, source="cells.tif")


@pytest.fixture
def add(viewer):
    """Add a stack as a layer."""

    def added(stack, **options):
        ((data, own, _),) = layer_data(stack)
        return viewer.add_image(data, **{**own, **options})

    return added


@pytest.fixture
def open_widget(viewer):
    def opened():
        widget = LedsWidget(viewer)
        viewer.window.add_dock_widget(widget)
        return widget

    return opened


def place(widget, row):
    """Return where the LED of a row is in the plan, in pixels of the widget."""
    spot = widget.plan.plan.spots[widget.plan.plan.spot_of(row)]
    return widget.plan.mapFromScene(widget.plan.getPlotItem().getViewBox().mapViewToScene(QPointF(*spot.xy)))


def drag(qtbot, widget, *places, modifier=Qt.KeyboardModifier.NoModifier):
    viewport = widget.plan.viewport()
    qtbot.mousePress(viewport, Qt.MouseButton.LeftButton, modifier, places[0])
    for point in places[1:]:
        qtbot.mouseMove(viewport, point)
    # QTest's moves have no buttons and no modifiers: the last place and the keys come with the release
    qtbot.mouseRelease(viewport, Qt.MouseButton.LeftButton, modifier, places[-1])


def choose_rule(widget, start):
    number = next(
        i for i in range(widget.selection.choice.count()) if widget.selection.choice.itemText(i).startswith(start)
    )
    widget.selection.choice.setCurrentIndex(number)
    widget.selection.choice.activated.emit(number)


def shown_plane(viewer):
    return viewer.dims.current_step[0]


def finish(qtbot, box):
    qtbot.waitUntil(lambda: not box.running, timeout=20000)


# --- the plan ------------------------------------------------------------------------------------------------


def test_places_are_in_mm_where_known_and_else_by_angle():
    plan = plan_of(PANEL, PANEL.kind)
    assert plan.in_mm
    assert plan.spots[2].xy == (4, 4)  # down to the right, as in the image
    assert plan.aperture_radius(0.1) == pytest.approx(90 * np.tan(np.arcsin(0.1)), rel=0.01)
    assert plan.aperture_radius(1.05) is None
    assert plan.next_spot(0, 0, 1) == plan.spot_of(3)
    assert plan.next_spot(224, *np.sign(plan.xy[224] * (1, 0))) == 224  # nothing beyond the corner
    leds = arm_leds()
    plan = plan_of(leds, leds.kind)
    assert not plan.in_mm
    assert len(plan.spots) == 44
    twice = plan.spots[plan.spot_of(74 - 1)]
    assert twice.rows == (72, 73)
    np.testing.assert_allclose(np.hypot(*twice.xy), np.sin(np.radians(57)), rtol=1e-5)
    assert plan.aperture_radius(0.4) == pytest.approx(0.4)
    together = plan.spots[-1]
    assert (together.kind, together.rows) == ("brightfield", (0,))
    assert np.hypot(*(plan.xy[:-1] - together.xy).T).min() > plan.spacing


def test_places_that_do_not_fit_the_angles_are_not_taken():
    leds = LedTable(index=range(3), polar_deg=[0, 10, 20], azimuth_deg=0, x_mm=[9, 4, 0], y_mm=0)
    assert not plan_of(leds, leds.kind).in_mm
    lonely = LedTable(index=[-1], polar_deg=[0], azimuth_deg=[0], kind="brightfield")
    assert plan_of(lonely, lonely.kind).spots[0].xy == (0, 0)


def test_plan_and_slider_follow_each_other_by_mouse_and_keys(viewer, add, open_widget, qtbot, rng):
    viewer.window.show()
    add(led_stack(arm_leds(), rng))
    widget = open_widget()
    qtbot.wait(100)  # for the layout
    viewer.dims.set_current_step(0, 20)
    assert widget.plan.shown_row == 20
    assert widget.plane_said.text().startswith("Plane 20: LED 13, 24° at azimuth 72°")
    assert "low exposure" in widget.plane_said.text()
    for expected in (73, 72, 73):  # the LED, then its other exposure and back
        where = place(widget, 72)
        qtbot.mouseClick(widget.plan.viewport(), Qt.MouseButton.LeftButton, pos=where)
        if expected == 73 and shown_plane(viewer) == 72:
            qtbot.mouseClick(widget.plan.viewport(), Qt.MouseButton.LeftButton, pos=where)
        assert shown_plane(viewer) == expected
    assert viewer.window._qt_window.focusWidget() is widget.plan
    qtbot.keyClick(widget.plan, Qt.Key.Key_E)
    assert shown_plane(viewer) == 72
    viewer.dims.set_current_step(0, 1)  # LED 0, 8 degrees to the right
    for key, azimuth in ((Qt.Key.Key_Right, 0), (Qt.Key.Key_Left, 0), (Qt.Key.Key_Down, 72)):
        qtbot.keyClick(widget.plan, key)
        assert widget.leds.azimuth_deg[shown_plane(viewer)] == azimuth
    qtbot.keyClick(widget.plan, Qt.Key.Key_A)  # means nothing


def test_brush_selects_adds_and_removes(viewer, add, open_widget, qtbot, rng):
    viewer.window.show()
    add(led_stack(PANEL, rng))
    widget = open_widget()
    qtbot.wait(100)
    before = shown_plane(viewer)
    corner = 10 * (place(widget, 2) - place(widget, 0)) / 16  # a bit more than half a step each way
    drag(qtbot, widget, place(widget, 0) - corner, place(widget, 2) + corner)
    assert {(x, y) for x, y in zip(*selected(widget), strict=True)} == {(0, 0), (0, 4), (4, 0), (4, 4)}
    drag(qtbot, widget, place(widget, 0), modifier=Qt.KeyboardModifier.AltModifier)
    assert len(widget.selection.rows) == 3
    drag(qtbot, widget, place(widget, 100), modifier=Qt.KeyboardModifier.ControlModifier)
    assert len(widget.selection.rows) == 4
    assert shown_plane(viewer) == before  # selecting goes nowhere
    assert widget.selection.said.text().startswith("4 of 225 planes, up to")
    step = place(widget, 2) - place(widget, 0)
    left, right, top = (place(widget, 0) + QPoint(*where) for where in triangle(step.x()))
    drag(qtbot, widget, left, right, top, modifier=Qt.KeyboardModifier.ShiftModifier)
    assert {(x, y) for x, y in zip(*selected(widget), strict=True)} == {(0, 0), (-4, 0), (4, 0), (0, -4)}


def triangle(step_px):
    """Return corners around the centre LED, those left and right of it and the one above."""
    return (-2 * step_px, step_px // 2), (2 * step_px, step_px // 2), (0, -7 * step_px // 4)


def selected(widget):
    chosen = widget.leds[sorted(widget.selection.rows)]
    return chosen.x_mm.tolist(), chosen.y_mm.tolist()


# --- selections ----------------------------------------------------------------------------------------------


def test_rules_of_the_table_and_what_they_leave(add, open_widget, rng):
    leds = arm_leds()
    add(led_stack(leds, rng))
    widget = open_widget()
    texts = [widget.selection.choice.itemText(i) for i in range(widget.selection.choice.count())]
    assert texts[:4] == ["all (74)", "none", "inside NA (13)", "dark field (60)"]
    assert texts[5:] == [
        "full input (74)", "full, no high exposures (44)", "up to 36° (44)", "up to 36°, no high exposures (29)",
        "up to 18° (14)", "up to 8° (4)", "brightfield alone (1)",
    ]  # fmt: skip
    assert widget.selection.said.text() == "No planes selected"
    assert not widget.selection.button.isEnabled()
    for number, name in enumerate(SUBSETS, start=5):
        widget.selection.choice.activated.emit(number)
        assert sorted(widget.selection.rows) == choose(leds, name).plane.tolist()
    widget.selection.choice.activated.emit(8)
    said = "29 of 74 planes, up to 36°, exposures single, low, with brightfield"
    assert widget.selection.said.text() == said
    choose_rule(widget, "none")
    assert not widget.selection.rows


def test_selection_becomes_a_lazy_layer_with_its_part_of_the_table(viewer, add, open_widget, rng):
    layer = add(led_stack(arm_leds(), rng), translate=(0, 3, 4), name="cells")
    widget = open_widget()
    choose_rule(widget, "dark field")
    widget.selection.button.click()
    made = viewer.layers["cells dark field"]
    assert isinstance(made.data, da.Array)
    stack = stack_from_layer(made)
    assert stack.axes == "AYX"
    assert stack.pixel_um == 0.25
    assert set(stack.leds.kind.tolist()) == {"darkfield"}
    np.testing.assert_array_equal(np.asarray(stack.data), layer.data[arm_leds().kind == "darkfield"])
    assert stack.leds.plane.tolist() == list(range(stack.n_planes))  # its own planes
    assert made.translate.tolist() == [0, 3, 4]
    assert stack.provenance["step"] == "LED selection"
    assert list(stack.provenance["layers"]) == ["cells"]
    widget.selection.button.click()
    assert len(viewer.layers) == 2
    assert "already" in widget.status.text()
    widget.plan.brushed.emit(frozenset({14}), "remove")  # as many planes again would be another selection
    widget.selection.button.click()
    assert viewer.layers[-1].data.shape[0] == 59
    widget.stack_choice.choose(made)
    assert len(widget.plan.plan.spots) == 30


def test_a_selection_is_of_the_time_and_the_table_that_are_shown(viewer, add, open_widget, rng):
    leds = LedTable(index=range(3), polar_deg=[0, 10, 30], azimuth_deg=0)
    pixels = rng.integers(0, 255, (2, 3, 8, 8)).astype(np.uint8)
    layer = add(ImageStack(pixels, "TAYX", leds=leds), name="cells")
    widget = open_widget()
    for moment in (0, 1):
        viewer.dims.set_point(0, moment)
        widget.selection.select([1, 2])
        widget.selection.button.click()
        np.testing.assert_array_equal(np.asarray(viewer.layers["cells selection"].data), pixels[moment, 1:])
    widget.selection.button.click()
    assert "already" in widget.status.text()
    widget.give_table(LedTable(index=range(3), polar_deg=[0, 20, 40], azimuth_deg=90), "another")
    widget.selection.select([1, 2])
    widget.selection.button.click()
    assert stack_from_layer(viewer.layers["cells selection"]).leds.polar_deg.tolist() == [20, 40]
    assert layer in viewer.layers


# --- checks --------------------------------------------------------------------------------------------------


def test_checks_mark_list_and_go_to_planes(viewer, add, open_widget, qtbot, rng):
    leds = rectangular_leds(3, 3, pitch_mm=4, height_mm=90)
    stack = led_stack(leds, rng, shape=(48, 48))
    layer = add(stack)
    widget = open_widget()
    assert not widget.checks.button.isEnabled()  # without NA
    assert "Give the NA" in widget.na_said.text()
    widget.na.setValue(0.1)
    widget.checks.button.click()
    finish(qtbot, widget.checks)
    assert "No fault found in 9 planes." in widget.checks.said.text()
    assert "Not told: shift" in widget.checks.said.text()
    data = stack.data.copy()
    data[4], data[7] = 0, 255
    layer.data = data
    assert widget.checks.checks is None  # of other pixels
    widget.checks.check()
    finish(qtbot, widget.checks)
    assert widget.plan._marks == {4: "black", 7: "black"}
    assert widget.checks.list.count() == 3
    item = widget.checks.list.item(2)
    assert item.text().startswith("Plane 7 (LED 7) is saturated")
    widget.checks.list.itemClicked.emit(item)
    assert shown_plane(viewer) == 7
    widget.na.setValue(0)
    assert widget.plan._marks == {}
    layer.data = data.astype(np.float32)
    assert "Give the NA" in widget.na_said.text()


class SlowPlanes:
    """Planes that take a while to read, and are counted."""

    def __init__(self, data, seconds):
        self.data, self.seconds, self.count = data, seconds, 0

    def stack(self, stack):
        def read(block):
            time.sleep(self.seconds)
            self.count += 1
            return block

        chunks = (1, *self.data.shape[1:])
        lazy = da.from_array(self.data, chunks=chunks).map_blocks(read, dtype=self.data.dtype, meta=np.empty(0, "u1"))
        return stack.replace(data=lazy)


def test_work_is_stopped_by_button_by_another_layer_and_with_the_widget(viewer, add, open_widget, qtbot, rng):
    stack = led_stack(PANEL, rng)
    slow = SlowPlanes(stack.data, 0.02)
    layer = add(slow.stack(stack))
    widget = open_widget()
    widget.na.setValue(0.2)
    widget.checks.button.click()
    qtbot.waitUntil(lambda: widget.checks.planes.count > 3)
    assert widget.checks.button.text() == "Stop"
    widget.checks.button.click()
    assert widget.checks.checks is None
    for button in widget.composites.buttons.values():
        button.click()
    qtbot.waitUntil(lambda: widget.composites.planes.count > 3)
    assert not widget.composites.stop_button.isHidden()
    widget.composites.stop_button.click()
    widget.checks.button.click()
    widget.composites.ask("dark field")
    viewer.layers.remove(layer)  # read on meanwhile: the widget learns of it when napari is ready
    removed = slow.count
    assert widget.is_empty
    assert not widget.composites.running

    def at_rest():  # what is being read comes to its end
        read = slow.count
        qtbot.wait(300)
        return slow.count == read

    qtbot.waitUntil(at_rest, timeout=10_000)
    assert slow.count <= removed + 2  # one in each thread
    assert len(viewer.layers) == 0


def test_planes_that_are_watched_are_read_one_by_one(rng):
    """What is asked for is read at once: an array that is not read yet would be read after the end was asked for."""
    slow = SlowPlanes(rng.integers(0, 255, (5, 8, 9), np.uint8), 0)
    watched = WatchedPlanes(slow.stack(ImageStack(slow.data, "ZYX")).data, passes=1)
    plane = watched[2]
    assert isinstance(plane, np.ndarray)
    np.testing.assert_array_equal(plane, slow.data[2])
    assert (slow.count, watched.count, watched.total) == (1, 1, 5)
    watched.stop.set()
    with pytest.raises(Stopped):
        watched[3]
    assert slow.count == 1


# --- images of all planes ------------------------------------------------------------------------------------


def test_composites_are_those_of_the_functions_with_place_and_origin(viewer, add, open_widget, qtbot, rng):
    stack = led_stack(arm_leds(), rng)
    slow = SlowPlanes(stack.data, 0)
    add(slow.stack(stack), translate=(0, 3, 4), name="cells")
    widget = open_widget()
    assert widget.na.value() == pytest.approx(0.35)
    assert "From the kinds in the table" in widget.na_said.text()
    read = slow.count
    for button in widget.composites.buttons.values():
        button.click()
    qtbot.waitUntil(lambda: len(viewer.layers) == 5, timeout=20000)
    finish(qtbot, widget.composites)
    assert slow.count - read == 13 + 30 + 13 + 30  # each plane once for each image
    expected = {
        "synthetic brightfield": brightfield(stack, 0.4),
        "dark field": darkfield(stack, 0.4),
        PHASE: differential_phase(stack, 0, 0.4),
    }
    for step, pixels in expected.items():
        layer = viewer.layers[f"cells {step}"]
        np.testing.assert_allclose(layer.data, pixels, rtol=1e-5)
        assert layer.translate.tolist() == [3, 4]
        assert layer.scale.tolist() == [0.25, 0.25]
        made = layer.metadata["cellrestore"]["provenance"]
        assert made["computed"]
        if step != PHASE:
            mean = stack.data[made["planes"]].mean(axis=0)
            np.testing.assert_allclose(pixels, mean, rtol=1e-5)
    colours = viewer.layers["cells colour by angle"]
    made = colours.metadata["cellrestore"]["provenance"]
    np.testing.assert_allclose(colours.data * made["divided_by"], colour_by_angle(stack, 0.4), rtol=1e-4)
    phase = viewer.layers[f"cells {PHASE}"]
    assert phase.contrast_limits[0] == -phase.contrast_limits[1]
    assert viewer.layers.selection.active.name == "cells"


@pytest.mark.parametrize("rgb", [False, True])
def test_burnt_pixels_are_no_grey_levels(viewer, add, open_widget, qtbot, rng, rgb):
    leds = arm_leds()
    pixels = rng.integers(20, 200, (len(leds), 12, 14, *([3] if rgb else []))).astype(np.uint16)
    inside = int(np.flatnonzero(leds.kind == "point")[2])
    pixels[inside, 3, 4] = 4095
    add(ImageStack(pixels, "AYXS" if rgb else "AYX", leds=leds, pixel_um=0.25), name="cells")
    widget = open_widget()
    assert widget.checks.saturation is None
    widget.composites.ask("synthetic brightfield")
    finish(qtbot, widget.composites)
    layer = viewer.layers["cells synthetic brightfield"]
    assert np.isfinite(layer.data).all()
    widget.checks.level.setValue(4095)
    widget.composites.ask("synthetic brightfield")
    finish(qtbot, widget.composites)
    made = layer.metadata["cellrestore"]["provenance"]
    assert (made["saturation"], made["burnt_fraction"]) == (4095, pytest.approx(1 / 168))
    assert "0.6 % of the pixels are burnt in a plane" in widget.status.text()
    assert (layer.data[3, 4] == 4095).all() if rgb else np.isnan(layer.data[3, 4])
    assert (np.asarray(layer.data[0]) < 200).all()


def test_leds_that_are_missing_are_drawn(viewer, add, open_widget, rng):
    leds = rectangular_leds(5, 5, pitch_mm=4, height_mm=60)
    lost = leds[leds.index != 7]
    pixels = rng.integers(20, 200, (24, 8, 9)).astype(np.uint8)
    add(ImageStack(pixels, "AYX", leds=lost, pixel_um=0.25))
    widget = open_widget()
    place = leds[leds.index == 7]
    assert widget.plan.missing == [(float(place.x_mm[0]), float(place.y_mm[0]))]
    assert "missing" in widget.legend.text()
    arms = arm_leds()
    arms = arms[arms.index != 20]
    add(ImageStack(pixels[[0] * len(arms)], "AYX", leds=arms, pixel_um=0.25), name="arms")
    widget.stack_choice.setCurrentText("arms")
    polar, azimuth = np.radians(17), np.radians(144)
    near = [
        np.hypot(x - np.sin(polar) * np.cos(azimuth), y - np.sin(polar) * np.sin(azimuth))
        for x, y in widget.plan.missing
    ]
    assert min(near) < 1e-6


def test_phase_follows_the_azimuth_and_stays_one_layer(viewer, add, open_widget, qtbot, rng):
    stack = led_stack(arm_leds(), rng)
    add(stack, name="cells")
    widget = open_widget()
    widget.composites.azimuth.setValue(30)
    qtbot.wait(250)
    assert len(viewer.layers) == 1  # nothing is made unasked
    widget.composites.buttons[PHASE].click()
    qtbot.waitUntil(lambda: len(viewer.layers) == 2)
    phase = viewer.layers[1]
    phase.contrast_limits = (-0.2, 0.2)
    widget.composites.azimuth.setValue(120)
    widget.composites.azimuth.stepBy(1)
    turned = differential_phase(stack, 135, 0.4)
    qtbot.waitUntil(lambda: np.allclose(phase.data, turned))
    assert len(viewer.layers) == 2
    assert phase.contrast_limits == [-0.2, 0.2]
    assert widget.plan._azimuth_deg == 135
    viewer.layers.remove(phase)
    assert widget.plan._azimuth_deg is None


def test_colours_and_errors_in_one_line(viewer, add, open_widget, qtbot, rng):
    leds = LedTable(index=range(3), polar_deg=[0, 10, 10], azimuth_deg=[0, 0, 180])
    stack = led_stack(leds, rng, colours=True)
    add(stack, name="cells")
    widget = open_widget()
    widget.na.setValue(0.4)
    for button in widget.composites.buttons.values():
        button.click()
    qtbot.waitUntil(lambda: len(viewer.layers) == 3 and not widget.composites.running)
    bright = viewer.layers["cells synthetic brightfield"]
    assert bright.rgb
    assert bright.data.dtype == np.uint8
    np.testing.assert_array_equal(bright.data, np.rint(stack.data.mean(axis=0)))
    green = stack.replace(data=stack.data[..., 1], axes="AYX")
    np.testing.assert_allclose(viewer.layers[f"cells {PHASE}"].data, differential_phase(green, 0, 0.4))
    assert "Colour by angle: no plane" in widget.status.text()
    assert "\n" not in widget.status.text()


# --- tables --------------------------------------------------------------------------------------------------


def test_without_a_table_one_is_loaded_or_made_never_unasked(viewer, open_widget, rng, tmp_path):
    layer = viewer.add_image(rng.uniform(size=(225, 16, 16)), name="x" * 60)
    widget = open_widget()
    assert "not known to be of LEDs" in widget.missing.text()
    assert widget.composites.isHidden()
    form = widget.table.form
    assert (form.rows.value(), form.columns.value()) == (15, 15)
    assert not widget.table.use_button.isEnabled()
    write_table(tmp_path / "short.leds.csv", PANEL[:9])
    widget.table.load(tmp_path / "short.leds.csv")
    assert "short.leds.csv: 9 rows for 225 planes" in widget.status.text()
    (tmp_path / "no.csv").write_text("a,b\n1,2\n")
    for name in ("no.csv", "missing.csv"):
        widget.table.load(tmp_path / name)
        assert name in widget.status.text()
        assert widget.leds is None
    form.pitch.setValue(4)
    form.height.setValue(90)
    assert len(widget.plan.plan.spots) == 225  # to look at
    assert widget.leds is None
    assert widget.table.counts.text() == "225 rows for 225 planes."
    form.rows.setValue(14)
    assert not widget.table.use_button.isEnabled()
    form.rows.setValue(15)
    viewer.dims.set_current_step(0, 100)
    widget.table.use_button.click()
    stack = stack_from_layer(layer)
    assert stack.axes == "AYX"
    assert stack.leds.x_mm.tolist() == PANEL.x_mm.tolist()
    assert "LED table: panel of 15 x 15 LEDs, pitch 4 mm, height 90 mm, spiral" in stack.notes
    assert shown_plane(viewer) == 100
    assert widget.plan.shown_row == 100
    widget.table.save(tmp_path / "leds.csv")
    assert LedTable.read(tmp_path / "leds.csv").columns() == stack.leds.columns()
    widget.table.load(tmp_path / "leds.csv")
    assert "leds.csv, 225 rows" in widget.status.text()


def test_arms_are_made_with_their_aperture(viewer, open_widget, rng):
    layer = viewer.add_image(rng.uniform(size=(74, 8, 8)), axis_labels=("LED", "y", "x"))
    widget = open_widget()
    assert "which LED shone" in widget.missing.text()
    widget.table.form.kind.setCurrentIndex(1)
    assert widget.table.use_button.isEnabled()
    widget.table.form.twice.setChecked(False)
    assert not widget.table.use_button.isEnabled()
    widget.table.form.twice.setChecked(True)
    widget.table.use_button.click()
    assert widget.na.value() == 0.4
    assert len(stack_from_layer(layer).leds) == 74
    other = viewer.add_image(rng.uniform(size=(4, 8, 8)), name="z stack")
    widget.stack_choice.choose(other)
    assert widget.selection.isHidden()
    widget.stack_choice.choose(layer)
    assert not widget.selection.isHidden()


# --- odd orders ----------------------------------------------------------------------------------------------


def test_two_widgets_another_time_another_theme_and_a_narrow_dock(viewer, add, open_widget, qtbot, rng):
    viewer.window.show()
    viewer.window.resize(1200, 900)
    leds = arm_leds()
    one = led_stack(leds, rng)
    both = one.replace(data=np.stack([one.data, one.data[::-1]]), axes="TAYX")
    layer = add(both, name="a rather long name of a stack of unstained cells under LEDs")
    first, second = open_widget(), open_widget()
    viewer.dims.set_current_step(0, 0)
    first.go_to(40)
    assert first.plan.shown_row == second.plan.shown_row == 40
    first.composites.ask("dark field")
    finish(qtbot, first.composites)
    viewer.dims.set_current_step(0, 1)
    second.composites.ask("dark field")
    finish(qtbot, second.composites)
    (made,) = [other for other in viewer.layers if other is not layer]
    np.testing.assert_allclose(made.data, darkfield(one.replace(data=one.data[::-1]), 0.4), rtol=1e-5)
    for theme in ("light", "dark"):
        viewer.theme = theme
        assert first.plan.plan is not None
    first.table.expand(animate=False)
    choose_rule(first, "up to 36")
    first.setFixedWidth(250)
    second.close()
    qtbot.wait(100)
    scroll = first.findChild(QScrollArea)
    assert scroll.widget().width() <= scroll.viewport().width()
    for part in first.findChildren(QPushButton) + first.findChildren(QLabel):
        if part.isVisible():
            assert part.width() >= part.minimumSizeHint().width(), part.text()
            assert part.height() >= part.heightForWidth(part.width()), part.text()
    viewer.layers.clear()
    assert first.is_empty


def test_sample_opens_with_its_table_and_its_truth(viewer, open_widget):
    truth, stack = viewer.open_sample("napari-cellrestore", "unstained_blood")
    assert truth.ndim == 2
    assert truth.data.shape == stack.data.shape[1:]
    known = stack_from_layer(stack)
    assert (known.axes, known.pixel_um, len(known.leds)) == ("AYXS", 0.25, 74)
    assert "simulated" in known.provenance
    widget = open_widget()
    assert widget.layer is stack
    assert len(COMPOSITES) == 4
