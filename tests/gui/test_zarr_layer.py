from __future__ import annotations

from pathlib import Path

import dask.array as da
import napari
import numpy as np
import pytest
import zarr
from npe2 import PluginManager, PluginManifest
from qtpy.QtCore import QMimeData, QPointF, Qt, QUrl
from qtpy.QtGui import QDropEvent
from qtpy.QtWidgets import QApplication

import napari_cellrestore
from napari_cellrestore.files import open_stack
from napari_cellrestore.files.zarr.writing import write_zarr
from napari_cellrestore.gui.layers import stack_from_layer
from napari_cellrestore.gui.reader import get_reader, read
from napari_cellrestore.stack import ImageStack

PLUGIN = "napari-cellrestore"
MANIFEST = Path(napari_cellrestore.__file__).with_name("napari.yaml")


def write(path: Path, axes="ZYX", shape=(2, 2100, 1100), dtype="uint16", **more) -> np.ndarray:
    data = np.random.default_rng(0).integers(0, 200, shape).astype(dtype)
    chunks = tuple(512 if letter in "YX" else n if letter == "S" else 1 for letter, n in zip(axes, shape, strict=True))
    write_zarr(path, ImageStack(da.from_array(data, chunks=chunks), axes, pixel_um=0.1, pixel_y_um=0.125, **more))
    return data


# --- reader without a window ---------------------------------------------------------------------------------


def test_reader_takes_folders_of_zarr(tmp_path):
    write(tmp_path / "a.ome.zarr", shape=(1, 20, 20))
    assert get_reader(str(tmp_path / "a.ome.zarr")) is read
    assert get_reader([str(tmp_path / "a.ome.zarr")]) is read
    assert get_reader(str(tmp_path)) is None


def test_levels_are_a_pyramid_and_windows_those_of_the_file(tmp_path):
    path = tmp_path / "cells.ome.zarr"
    data = write(path, "CYX", (2, 1500, 30), channels=("BF", "GFP"))
    group = zarr.open_group(str(path), mode="r+")
    ome = dict(group.attrs["ome"])
    for channel, (start, end) in zip(ome["omero"]["channels"], ((10, 90), (5, 5)), strict=True):
        channel["window"] |= {"start": start, "end": end}  # an empty window is none
    group.attrs["ome"] = ome
    (first, options, _), (second, others, _) = read(str(path))
    assert [options["name"], others["name"]] == ["cells BF", "cells GFP"]
    assert options["multiscale"]
    assert [level.shape for level in first] == [(1500, 30), (750, 15)]
    np.testing.assert_array_equal(second[0], data[1])
    np.testing.assert_array_equal(second[1], np.rint(data[1].reshape(750, 2, 15, 2).mean((1, 3))))
    assert options["contrast_limits"] == (10, 90)
    assert others["contrast_limits"] == (data[1].min(), data[1].max())


def test_led_table_beside_it_names_the_first_axis(tmp_path):
    write(tmp_path / "array.ome.zarr", "ZYX", (2, 1500, 30))
    (tmp_path / "array.leds.csv").write_text("index,polar_deg,azimuth_deg\n0,0,0\n1,30,72\n")
    ((levels, options, _),) = read(str(tmp_path / "array.ome.zarr"))
    assert options["axis_labels"] == ("LED", "y", "x")
    assert [level.shape for level in levels] == [(2, 1500, 30), (2, 750, 15)]


def test_without_a_window_what_is_no_image_raises(tmp_path, monkeypatch):
    monkeypatch.setattr(napari, "current_viewer", lambda: None)
    zarr.create_array(str(tmp_path / "plain.zarr"), shape=(9, 9), dtype="u1")
    with pytest.raises(ValueError, match=r"^plain.zarr: it is an array without the metadata of an image; "):
        get_reader(str(tmp_path / "plain.zarr"))(str(tmp_path / "plain.zarr"))


# --- in a window ---------------------------------------------------------------------------------------------


@pytest.fixture
def viewer(make_napari_viewer):
    plugins = PluginManager.instance()
    viewer = make_napari_viewer(show=True)
    if PLUGIN not in plugins:
        plugins.register(PluginManifest.from_file(MANIFEST))
    return viewer


@pytest.mark.gui
def test_open_in_viewer_is_calibrated_and_reads_what_is_in_view(viewer, tmp_path, monkeypatch):
    path = tmp_path / "zellen grün.ome.zarr"
    data = write(path, "YXS", (3000, 2100, 3), "uint8")
    read_keys = []
    get = zarr.storage.LocalStore.get

    async def counting(self, key, *args, **kwargs):
        if "/c/" in key:
            read_keys.append(key)
        return await get(self, key, *args, **kwargs)

    monkeypatch.setattr(zarr.storage.LocalStore, "get", counting)
    (layer,) = viewer.open(path, plugin=PLUGIN)
    assert layer.multiscale
    assert layer.rgb
    assert layer.name == "zellen grün"
    np.testing.assert_allclose(layer.scale, [0.125, 0.1])
    assert [str(unit) for unit in layer.units] == ["micrometer"] * 2
    assert len({key for key in read_keys if key.startswith("0/")}) < 30 / 2  # all but few of the finest level
    stack = stack_from_layer(layer)
    assert (stack.axes, stack.pixel_um, stack.pixel_y_um) == ("YXS", 0.1, 0.125)
    np.testing.assert_array_equal(stack.data, data)


@pytest.mark.gui
def test_dropped_folder_opens(viewer, tmp_path, monkeypatch):
    write(tmp_path / "cells.ome.zarr")
    dialog = "napari._qt.dialogs.qt_reader_dialog.QtReaderDialog.get_user_choices"
    monkeypatch.setattr(dialog, lambda self: ("Cell Restore", False))
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(tmp_path / "cells.ome.zarr"))])
    button, modifier = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    event = QDropEvent(QPointF(10, 10), Qt.DropAction.CopyAction, mime, button, modifier)
    viewer.window._qt_viewer.dropEvent(event)
    QApplication.processEvents()
    assert viewer.layers[0].source.reader_plugin == PLUGIN
    np.testing.assert_allclose(viewer.layers[0].scale[-2:], [0.125, 0.1])


@pytest.mark.gui
def test_saved_layer_keeps_calibration_and_never_replaces_its_source(viewer, tmp_path):
    path, out = tmp_path / "in.ome.zarr", tmp_path / "out.ome.zarr"
    data = write(path, z_um=[0, 0.3])
    (layer,) = viewer.open(path, plugin=PLUGIN)
    assert layer.save(str(out), plugin=PLUGIN) == [str(out)]
    saved = open_stack(out)
    assert (saved.pixel_um, saved.pixel_y_um, saved.z_step_um) == (0.1, 0.125, 0.3)
    np.testing.assert_array_equal(saved.data, data)
    with pytest.raises(RuntimeError, match=r"in\.ome\.zarr: the stack comes from this folder; give another name"):
        layer.save(str(path), plugin=PLUGIN)
    (tmp_path / "photos.zarr").mkdir()
    (tmp_path / "photos.zarr" / "cat.jpg").write_text("mine")
    with pytest.raises(RuntimeError, match=r"photos.zarr: there is something else of that name"):
        layer.save(str(tmp_path / "photos.zarr"), plugin=PLUGIN)
