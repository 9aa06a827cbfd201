"""The Report widget in a real viewer."""

from __future__ import annotations

import json

import numpy as np
import pytest

from napari_cellrestore.gui.layers import layer_data
from napari_cellrestore.gui.report_widget import ReportWidget
from napari_cellrestore.stack import ImageStack

pytestmark = pytest.mark.gui


@pytest.fixture
def viewer(make_napari_viewer):
    return make_napari_viewer(show=True)


@pytest.fixture
def widget(viewer):
    widget = ReportWidget(viewer)
    viewer.window.add_dock_widget(widget)
    return widget


def add(viewer, name, data, axes, **options):
    stack = ImageStack(data, axes, pixel_um=0.1, **options)
    ((pixels, layer_options, _),) = layer_data(stack)
    return viewer.add_image(pixels, **{**layer_options, "name": name})


def stack_and_restored(viewer):
    planes = np.random.default_rng(0).integers(60, 230, (5, 60, 80, 3)).astype(np.uint8)
    planes[2] = np.kron(planes[2, ::6, ::8], np.ones((6, 8, 1))).astype(np.uint8)
    add(viewer, "stack", planes, "ZYXS", z_um=[-0.4, -0.2, 0, 0.2, 0.4])
    add(viewer, "made", planes // 2, "ZYXS", z_um=[-0.4, -0.2, 0, 0.2, 0.4], provenance={"generated": "by a test"})


def test_a_report_is_written_of_the_planes_shown(viewer, widget, qtbot, tmp_path):
    stack_and_restored(viewer)
    viewer.dims.set_current_step(0, 4)
    assert widget.input_choice.layer.name == "stack"
    assert widget.restored_choice.layer.name == "made"  # it says that it is generated
    widget.sharpest_box.setChecked(True)
    widget.write(tmp_path / "report")
    qtbot.waitUntil(lambda: "Written" in widget.status.text(), timeout=60_000)
    names = {path.name for path in (tmp_path / "report").iterdir()}
    assert {"report.html", "report.pdf", "metrics.csv", "provenance.json", "focus_curve.png"} <= names
    said = json.loads((tmp_path / "report" / "provenance.json").read_text())
    assert "by a test" in json.dumps(said)
    assert "report" in widget.status.text()


def test_one_layer_is_not_enough(viewer, widget):
    assert widget.is_empty
    add(viewer, "alone", np.zeros((20, 20), np.uint8), "YX")
    assert not widget.write_button.isEnabled()
    assert "two different layers" in widget.status.text()
    add(viewer, "made", np.zeros((20, 20), np.uint8), "YX", provenance={"generated": "by a test"})
    assert widget.write_button.isEnabled()
    assert widget.status.text() == ""
    viewer.layers.clear()
    assert widget.is_empty


def test_what_does_not_fit_is_said_in_one_line(viewer, widget, qtbot, tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr("napari_cellrestore.gui.report_widget.show_error", said.append)
    add(viewer, "small", np.zeros((20, 20), np.uint8), "YX")
    add(viewer, "large", np.zeros((30, 30), np.uint8), "YX", provenance={"generated": "by a test"})
    widget.write(tmp_path / "report")
    qtbot.waitUntil(lambda: bool(said), timeout=30_000)
    assert "20" in said[0]
    assert "30" in said[0]
    assert "\n" not in said[0]
    assert not (tmp_path / "report").exists()
    assert widget.write_button.isEnabled()
