from __future__ import annotations

from pathlib import Path

import dask.array as da
import napari
import numpy as np
import pytest
import tifffile
from napari.layers import Image
from napari.settings import get_settings
from napari.utils.notifications import notification_manager
from npe2 import PluginManager, PluginManifest
from qtpy.QtCore import QMimeData, QPointF, Qt, QUrl
from qtpy.QtGui import QDropEvent
from qtpy.QtWidgets import QApplication, QDialog

import napari_cellrestore
from napari_cellrestore.files import open_stack
from napari_cellrestore.gui.layers import contrast_limits, layer_data, stack_from_layer
from napari_cellrestore.gui.reader import get_reader
from napari_cellrestore.leds import LedTable
from napari_cellrestore.stack import ImageStack

PLUGIN = "napari-cellrestore"
MANIFEST = Path(napari_cellrestore.__file__).with_name("napari.yaml")


def write_stack(path, *, axes="ZYX", shape=(5, 16, 20)):
    data = np.random.default_rng(0).integers(100, 4000, shape, dtype=np.uint16)
    tifffile.imwrite(path, data, imagej=True, resolution=(10, 8), metadata={"axes": axes, "unit": "um", "spacing": 0.3})
    return data


# --- layers --------------------------------------------------------------------------------------------------


def as_layers(stack):
    return [Image(data, **options) for data, options, _ in layer_data(stack)]


def test_stack_to_layer_and_back_keeps_everything():
    leds = LedTable(index=[0, 1], polar_deg=[0, 30], azimuth_deg=[0, 72])
    stack = ImageStack(
        np.arange(2 * 3 * 8 * 9, dtype=np.float32).reshape(2, 3, 8, 9),
        "AZYX",
        pixel_um=0.1,
        pixel_y_um=0.2,
        z_um=[-0.5, 0.0, 0.7],
        leds=leds,
        source="cells.tif",
        notes=("a note",),
        provenance={"model": "none"},
    )
    (layer,) = as_layers(stack)
    assert [str(unit) for unit in layer.units] == ["pixel", "micrometer", "micrometer", "micrometer"]
    np.testing.assert_allclose(layer.scale, [1, 0.6, 0.2, 0.1])
    assert layer.translate[1] == -0.5
    back = stack_from_layer(layer)
    for name in ("axes", "pixel_um", "pixel_y_um", "source", "notes", "provenance", "leds"):
        assert getattr(back, name) == getattr(stack, name), name
    np.testing.assert_array_equal(back.z_um, stack.z_um)
    np.testing.assert_array_equal(back.data, stack.data)


def test_layer_that_was_scaled_by_the_user_has_the_new_lengths():
    (layer,) = as_layers(ImageStack(np.zeros((3, 8, 9)), "ZYX", pixel_um=0.1, z_um=[0, 0.2, 0.5]))
    layer.scale = (1.0, 0.2, 0.2)
    back = stack_from_layer(layer)
    assert back.pixel_um == 0.2
    np.testing.assert_allclose(back.z_um, [0, 1, 2])


def test_planes_from_far_to_near_keep_their_places_in_the_world():
    (layer,) = as_layers(ImageStack(np.zeros((3, 8, 9)), "ZYX", z_um=[0.4, 0.2, 0.0]))
    np.testing.assert_allclose(layer.data_to_world((2, 0, 0))[0], 0.0, atol=1e-12)
    np.testing.assert_allclose(stack_from_layer(layer).z_um, [0.4, 0.2, 0.0], atol=1e-12)


def test_channels_become_layers_of_their_own():
    data = np.stack([np.full((4, 8, 9), 10.0), np.full((4, 8, 9), 20.0)], axis=1)
    stack = ImageStack(data, "ZCYX", pixel_um=0.1, channels=("BF", "GFP"), source="a.tif")
    layers = as_layers(stack)
    assert [layer.name for layer in layers] == ["a BF", "a GFP"]
    assert [layer.data.max() for layer in layers] == [10, 20]
    assert layers[0].colormap.name != layers[1].colormap.name
    assert stack_from_layer(layers[1]).axes == "ZYX"


def test_unknown_lengths_are_pixels_and_stay_unknown():
    (layer,) = as_layers(ImageStack(np.zeros((4, 8, 9, 3), np.uint8), "ZYXS", pixel_um=0.1))
    assert layer.rgb
    assert [str(unit) for unit in layer.units] == ["pixel", "micrometer", "micrometer"]
    back = stack_from_layer(layer)
    assert back.axes == "ZYXS"
    assert back.z_um is None
    assert back.pixel_um == 0.1


@pytest.mark.parametrize(
    ("options", "axes", "pixel_um", "z_um"),
    [
        ({}, "ZYX", None, None),
        ({"scale": (2, 300, 300), "units": ("mm", "nm", "nm")}, "ZYX", 0.3, [0, 2000, 4000]),
        ({"axis_labels": ("t", "y", "x"), "scale": (2, 0.3, 0.3), "units": ("s", "um", "um")}, "TYX", 0.3, None),
        ({"axis_labels": ("channel", "row", "column")}, "CYX", None, None),
        ({"scale": (1, 0.3, 0.3)}, "ZYX", None, None),
    ],
)
def test_layers_of_others(options, axes, pixel_um, z_um):
    stack = stack_from_layer(Image(np.zeros((3, 8, 9)), **options))
    assert stack.axes == axes
    assert stack.pixel_um == pixel_um
    assert (None if stack.z_um is None else stack.z_um.tolist()) == z_um
    guessed = "axis_labels" not in options
    assert guessed == any("no known names: taken as ZYX" in note for note in stack.notes)
    assert (options == {"scale": (1, 0.3, 0.3)}) == any("no unit of length" in note for note in stack.notes)


def test_pyramid_is_its_finest_level_and_a_live_result_its_finished_one():
    fine = np.arange(64.0).reshape(8, 8)
    stack = stack_from_layer(Image([fine, fine[::2, ::2]], multiscale=True))
    np.testing.assert_array_equal(stack.data, fine)

    class Live:
        shape, dtype, ndim, size = (8, 8), np.dtype(float), 2, 64

        def __getitem__(self, key):
            return np.zeros((8, 8))[key]

        def finished(self):
            return da.from_array(fine)

    layer = Image([Live(), np.zeros((4, 4))], multiscale=True, contrast_limits=(0, 1))
    np.testing.assert_array_equal(stack_from_layer(layer).data.compute(), fine)


def test_layer_of_too_many_axes_is_refused():
    layer = Image(np.zeros((1, 1, 1, 1, 2, 2)), name="six")
    with pytest.raises(ValueError, match=r"six: a layer of 6 axes; name them \(t, c, z, y, x\)"):
        stack_from_layer(layer)


def test_contrast_is_that_of_the_middle_plane_and_reads_only_that():
    read = []

    def plane(block_id):
        read.append(block_id[0])
        return np.full((1, 4, 4), 100.0 * block_id[0]) + np.arange(4)

    data = da.map_blocks(plane, chunks=((1,) * 5, 4, 4), dtype=float, meta=np.empty((0, 0, 0)))
    assert contrast_limits(ImageStack(data, "ZYX")) == (200.0, 203.0)
    assert read == [2]
    assert contrast_limits(ImageStack(np.full((4, 4), np.nan), "YX")) == (0.0, 1.0)
    assert contrast_limits(ImageStack(np.full((4, 4), 7.0), "YX")) == (7.0, 8.0)


# --- reader and writer without a window ----------------------------------------------------------------------


def test_manifest_names_functions_that_exist():
    manifest = PluginManifest.from_file(MANIFEST)
    manifest.validate_imports()
    commands = {command.id for command in manifest.contributions.commands}
    used = [c.command for c in [*manifest.contributions.readers, *manifest.contributions.writers]]
    assert set(used) <= commands


def test_reader_leaves_what_is_not_its_own(tmp_path):
    (tmp_path / "notes.txt").write_text("no image")
    assert get_reader(str(tmp_path)) is None
    assert get_reader(str(tmp_path / "notes.txt")) is None
    assert get_reader([]) is None
    write_stack(tmp_path / "a.TIF")
    assert get_reader(str(tmp_path / "a.TIF")) is not None
    assert get_reader([str(tmp_path / "a.TIF"), str(tmp_path / "notes.txt")]) is None
    assert get_reader(str(tmp_path)) is not None


def test_without_a_window_a_broken_file_raises(tmp_path, monkeypatch):
    monkeypatch.setattr(napari, "current_viewer", lambda: None)
    path = tmp_path / "brôken file.tif"
    path.write_bytes(b"II*\0")
    with pytest.raises(ValueError, match=r"^brôken file.tif: .*; "):
        get_reader(str(path))(str(path))


# --- in a window ---------------------------------------------------------------------------------------------


@pytest.fixture
def viewer(make_napari_viewer):
    plugins = PluginManager.instance()
    viewer = make_napari_viewer(show=True)
    if PLUGIN not in plugins:
        plugins.register(PluginManifest.from_file(MANIFEST))
    return viewer


@pytest.fixture
def said():
    messages = []

    def listen(notification):
        messages.append((str(notification.severity), notification.message))

    notification_manager.notification_ready.connect(listen)
    yield messages
    notification_manager.notification_ready.disconnect(listen)


def drop(viewer, path):
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(path))])
    event = QDropEvent(
        QPointF(10, 10), Qt.DropAction.CopyAction, mime, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    )
    viewer.window._qt_viewer.dropEvent(event)
    QApplication.processEvents()


def dialogs():
    return [type(w).__name__ for w in QApplication.topLevelWidgets() if isinstance(w, QDialog) and w.isVisible()]


@pytest.mark.gui
def test_open_in_viewer_is_calibrated_and_lazy(viewer, tmp_path):
    path = tmp_path / "zellen grün.tif"
    data = write_stack(path)
    (layer,) = viewer.open(path, plugin=PLUGIN)
    assert isinstance(layer.data, da.Array)
    assert layer.name == "zellen grün"
    np.testing.assert_allclose(layer.scale, [0.3, 0.125, 0.1])
    assert [str(unit) for unit in layer.units] == ["micrometer"] * 3
    assert tuple(layer.contrast_limits) == (data[2].min(), data[2].max())
    assert viewer.dims.axis_labels == ("z", "y", "x")


@pytest.mark.gui
@pytest.mark.parametrize("how", ["open", "drop", "drop, reader chosen"])
def test_broken_file_is_one_line_and_no_dialog(viewer, said, tmp_path, monkeypatch, how):
    path = tmp_path / "cut off.tif"
    write_stack(path)
    path.write_bytes(path.read_bytes()[:-500])
    if how == "open":
        assert viewer.open(path, plugin=PLUGIN) == []
    elif how == "drop":
        monkeypatch.setattr(get_settings().plugins, "extension2reader", {"*.tif": PLUGIN})
        drop(viewer, path)
    else:
        dialog = "napari._qt.dialogs.qt_reader_dialog.QtReaderDialog.get_user_choices"
        monkeypatch.setattr(dialog, lambda self: ("Cell Restore", False))
        drop(viewer, path)
    assert len(viewer.layers) == 0
    assert len(said) == 1
    severity, message = said[0]
    assert severity == "error"
    assert message.startswith("cut off.tif: ")
    assert "; copy it again" in message
    assert "\n" not in message
    assert dialogs() == []


@pytest.mark.gui
def test_dropped_file_opens(viewer, tmp_path, monkeypatch):
    path = tmp_path / "cells.tif"
    write_stack(path)
    monkeypatch.setattr(get_settings().plugins, "extension2reader", {"*.tif": PLUGIN})
    drop(viewer, path)
    assert viewer.layers[0].source.reader_plugin == PLUGIN
    np.testing.assert_allclose(viewer.layers[0].scale, [0.3, 0.125, 0.1])


@pytest.mark.gui
def test_what_was_decided_about_axes_is_told(viewer, said, tmp_path):
    path = tmp_path / "pages.tif"
    tifffile.imwrite(path, np.zeros((4, 8, 9), np.uint8), photometric="minisblack", metadata=None)
    viewer.open(path, plugin=PLUGIN)
    assert said == [
        (
            "info",
            "pages.tif: 4 pages without stated meaning were taken as depth (Z); they may be something else, "
            "or colours (C): change it by naming the axes",
        )
    ]


@pytest.mark.gui
def test_saved_layer_keeps_calibration_and_never_replaces_its_source(viewer, tmp_path):
    path = tmp_path / "in.tif"
    data = write_stack(path)
    (layer,) = viewer.open(path, plugin=PLUGIN)
    assert layer.save(str(tmp_path / "out.tif"), plugin=PLUGIN) == [str(tmp_path / "out.tif")]
    saved = open_stack(tmp_path / "out.tif")
    assert (saved.pixel_um, saved.pixel_y_um, saved.z_step_um) == (0.1, 0.125, 0.3)
    np.testing.assert_array_equal(saved.data, data)
    with pytest.raises(RuntimeError, match=r"in\.tif: the stack comes from this file; give another name"):
        layer.save(str(path), plugin=PLUGIN)


@pytest.mark.gui
@pytest.mark.real_data
def test_real_files_open_in_the_viewer(viewer, real_data):
    (brightfield,) = viewer.open(real_data / "focus_stacks/yeast_brightfield/BF.tif", plugin=PLUGIN)
    np.testing.assert_allclose(brightfield.scale, [0.3, 0.1065, 0.1065], rtol=1e-6)
    assert len(viewer.open(real_data / "focus_stacks/yeast_brightfield/FLUO.tif", plugin=PLUGIN)) == 2
    (leds,) = viewer.open(real_data / "led_stacks/blood_smear/red.tif", plugin=PLUGIN)
    assert leds.axis_labels == ("LED", "y", "x")
    assert stack_from_layer(leds).leds.brightfield(0.1).sum() == 21
