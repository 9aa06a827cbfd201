"""The Filters widget in a real viewer."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
from scipy import ndimage

from napari_cellrestore.files import open_stack
from napari_cellrestore.filtered import filter_stack
from napari_cellrestore.filters import FILTERS
from napari_cellrestore.gui.filters.widget import FiltersWidget
from napari_cellrestore.gui.layers import stack_from_layer
from napari_cellrestore.scan_lines import shear_lines

pytestmark = pytest.mark.gui

LONG = "2024-03-11_patient_0042_slide_17_objective_63x_oil_position_0003_channel_brightfield"


@pytest.fixture
def widget(viewer):
    made = FiltersWidget(viewer)
    viewer.window.add_dock_widget(made)
    return made


@pytest.fixture
def scan(rng):
    scene = ndimage.gaussian_filter(rng.normal(128, 400, (3, 64, 96)), (0, 1.5, 1.5)).clip(0, 255)
    return np.stack([shear_lines(plane, 1.5) for plane in scene]).clip(0, 255).astype(np.uint8)


def choose(widget, name, **values):
    widget.filter_choice.setCurrentIndex(widget.filter_choice.findData(name))
    for option, value in values.items():
        widget.rows.fields[name][option].setValue(value)


def apply(widget, qtbot):
    widget.apply_button.click()
    finish(widget, qtbot)


def finish(widget, qtbot):
    qtbot.waitUntil(lambda: not widget._work.running, timeout=30_000)


def seen_rows(widget):
    return [
        option for fields in widget.rows.fields.values() for option, one in fields.items() if one.isVisibleTo(widget)
    ]


def test_it_says_what_to_do_and_shows_the_options_of_one_filter(viewer, widget):
    assert widget.is_empty
    widget.apply()  # as a key might
    widget.measure()
    viewer.add_image(np.zeros((40, 50), np.uint8))
    assert not widget.is_empty
    assert seen_rows(widget) == ["sigma_px"]
    choose(widget, "unsharp", amount=2.5)
    assert seen_rows(widget) == ["sigma_px", "amount"]
    assert widget.help.text() == FILTERS["unsharp"].help
    choose(widget, "median")
    assert not widget.offset.button.isVisibleTo(widget)
    choose(widget, "unsharp")
    assert widget.rows.values("unsharp") == {"sigma_px": 2.0, "amount": 2.5}  # as it was set
    size = widget.rows.fields["median"]["size_px"]
    size.setValue(6)
    assert size.value() == 7


def test_a_filtered_stack_is_lazy_beside_its_source_and_is_saved(viewer, widget, scan, qtbot, tmp_path):
    place = {"scale": (0.5, 0.1, 0.1), "translate": (1, 5, 6), "units": "um"}
    source = viewer.add_image(
        scan, name="cells", colormap="green", contrast_limits=(10, 200), rotate=(0, 0, 30), **place
    )
    choose(widget, "median", size_px=5)
    apply(widget, qtbot)
    made = viewer.layers["cells median"]
    assert isinstance(made.data, da.Array)
    expected = filter_stack(stack_from_layer(source), "median", size_px=5)
    np.testing.assert_array_equal(made.data, expected.data)
    np.testing.assert_allclose(made.data_to_world((1, 3, 4)), source.data_to_world((1, 3, 4)))
    assert made.units == source.units
    assert (made.colormap.name, made.contrast_limits) == ("green", [10, 200])
    assert viewer.layers.selection.active is source
    # the same filter again takes its place, another gets its own
    choose(widget, "median", size_px=3)
    apply(widget, qtbot)
    assert [layer.name for layer in viewer.layers] == ["cells", "cells median"]
    assert made.metadata["cellrestore"]["provenance"]["options"] == {"size_px": 3}
    choose(widget, "mean")
    apply(widget, qtbot)
    assert len(viewer.layers) == 3
    (path,) = made.save(str(tmp_path / "saved.tif"), plugin="napari-cellrestore")
    saved = open_stack(path)
    np.testing.assert_array_equal(saved.data, made.data)
    assert (saved.pixel_um, saved.z_um.tolist()) == (0.1, [1.0, 1.5, 2.0])
    assert saved.provenance["filter"] == "median"


def test_a_shear_is_measured_said_and_undone(viewer, widget, scan, qtbot):
    viewer.add_image(scan, name="scan")
    choose(widget, "undo_scan_shear")
    assert not widget.offset.box.isEnabled()
    widget.offset.button.click()
    finish(widget, qtbot)
    assert widget.shear.text().startswith("Shear of 1.50 ± 0.0")
    assert widget.offset.box.value() == pytest.approx(1.5, abs=0.02)
    assert len(viewer.layers) == 1
    apply(widget, qtbot)
    made = viewer.layers["scan undo scan shear"]
    assert made.metadata["cellrestore"]["provenance"]["measured"]["found"]
    widget.layer_choice.choose(made)
    assert not widget.shear.isVisibleTo(widget)  # it was of another image
    apply(widget, qtbot)
    assert widget.shear.text().startswith("No shear found")
    assert "no layer was made" in widget.status.text()
    assert len(viewer.layers) == 2
    widget.offset.measured.setChecked(False)
    widget.offset.box.setValue(-2)
    apply(widget, qtbot)
    again = viewer.layers["scan undo scan shear undo scan shear"]
    np.testing.assert_array_equal(
        again.data[1].compute(),
        np.rint(FILTERS["undo_scan_shear"](np.asarray(made.data[1]), offset_px=-2)).clip(0, 255),
    )


@pytest.mark.parametrize("shape", [(40, 50, 3), (40, 50, 4), (2, 40, 50, 3), (2, 2, 2, 40, 50), (40, 50)])
def test_colours_axes_and_types(viewer, widget, shape, qtbot, rng):
    pixels = rng.random(shape, np.float32) if shape == (40, 50) else rng.integers(0, 255, shape).astype(np.uint8)
    rgb = shape[-1] in (3, 4)
    source = viewer.add_image(pixels, name=LONG, rgb=rgb)
    apply(widget, qtbot)
    made = viewer.layers[f"{LONG} gaussian"]
    assert (made.rgb, made.data.dtype, made.axis_labels) == (rgb, pixels.dtype, source.axis_labels)
    np.testing.assert_array_equal(made.data, filter_stack(stack_from_layer(source), "gaussian").data)


def test_of_a_pyramid_the_finest_level_is_filtered(viewer, widget, qtbot, rng):
    pixels = rng.integers(0, 255, (64, 96)).astype(np.uint8)
    viewer.add_image([pixels, pixels[::2, ::2]], name="pyramid", multiscale=True, scale=(0.2, 0.2), units="um")
    apply(widget, qtbot)
    made = viewer.layers["pyramid gaussian"]
    assert made.data.shape == pixels.shape
    np.testing.assert_allclose(made.scale, 0.2)


def test_odd_orders(viewer, widget, qtbot, scan):
    source = viewer.add_image(scan, name="scan")
    widget.apply_button.click()
    assert widget.apply_button.text() == "Stop"
    widget.apply_button.click()
    assert (widget.apply_button.text(), len(viewer.layers)) == ("Apply", 1)
    widget.apply_button.click()
    other = viewer.add_image(scan[0] > 100, name="mask")
    viewer.layers.remove(source)  # meanwhile
    finish(widget, qtbot)
    assert "removed meanwhile" in widget.status.text()
    assert list(viewer.layers) == [other]
    apply(widget, qtbot)
    assert "grey levels must be integers or floating point" in widget.status.text()
    viewer.layers.clear()
    assert widget.is_empty
    missing = scan[0].astype(np.float32)
    missing[3, 3] = np.nan
    viewer.add_image(missing, name="missing")
    apply(widget, qtbot)
    assert np.isnan(viewer.layers["missing gaussian"].data[3, 3])
    choose(widget, "undo_scan_shear")
    widget.measure()
    finish(widget, qtbot)
    assert "pixels are missing" in widget.shear.text()
