"""The Models widget in a real viewer."""

from __future__ import annotations

import json
import shutil

import pytest
from qtpy.QtCore import QMimeData, QPoint, Qt, QUrl
from qtpy.QtGui import QDropEvent
from qtpy.QtWidgets import QFileDialog, QInputDialog, QMessageBox

from napari_cellrestore.card import ModelCard
from napari_cellrestore.gui.models.news import NEWS
from napari_cellrestore.gui.models.widget import ModelsWidget
from napari_cellrestore.model import export_model, load_model, save_model
from napari_cellrestore.networks import create_network

pytestmark = pytest.mark.gui

OPTIONS = {"filters": 4, "blocks": 4, "norm": "none", "dropout": 0.0, "global_skip": True}
LONG_MS = 60_000


@pytest.fixture
def tiny(models):
    card = ModelCard(
        name="tiny",
        task="stain",
        summary="Stains <little>",
        network="pix2pix-fast",
        options=OPTIONS,
        data="two smears",
        licence="MIT",
        limits=["anything that is not a smear"],
        held_out=[{"images": "smears", "number": 3, "success_mse": 87.5}],
        created="2026-01-02",
    )
    return save_model(models / "tiny", create_network("pix2pix-fast", **OPTIONS), card)


@pytest.fixture
def viewer(make_napari_viewer):
    return make_napari_viewer(show=True)


@pytest.fixture
def widget(viewer, models):
    widget = ModelsWidget(viewer)
    viewer.window.add_dock_widget(widget)
    return widget


def rows(widget):
    table = widget.models
    texts = ([table.item(row, column) for column in range(table.columnCount())] for row in range(table.rowCount()))
    return [[item.text() for item in line if item is not None] for line in texts]


def said(widget):
    return widget.status.text().replace("\u200b", "")


def wait_until_idle(widget, qtbot):
    qtbot.waitUntil(lambda: not widget._working.running, timeout=LONG_MS)


def choose(widget, name):
    widget.models.refresh("#000000", name)
    assert widget.models.entry.name == name


def test_models_are_listed_with_their_cards(tiny, widget):
    listed = rows(widget)
    assert listed[0] == ["Yours"]
    assert listed[1] == ["tiny", "stain", "0.0 MB", "2026-01-02"]
    assert listed[2] == ["Bundled"]
    assert "deblur-fast" in [line[0] for line in listed[3:]]
    assert widget.models.entry.name == "tiny"
    text = widget.card.toPlainText()
    for part in (
        "Stains <little>",
        "anything that is not a smear",
        "two smears",
        "87.5",
        "MIT",
        tiny.card.weights_sha256,
    ):
        assert part in text
    for button in (widget.export_button, widget.rename_button, widget.delete_button):
        assert button.isEnabled()


def test_bundled_models_stay(tiny, widget):
    widget.models.selectRow([line[0] for line in rows(widget)].index("deblur-fast"))
    assert widget.models.entry.bundled
    assert widget.export_button.isEnabled()
    assert not widget.rename_button.isEnabled()
    assert not widget.delete_button.isEnabled()
    widget.delete("deblur-fast")
    assert "bundled with the program" in said(widget)


def test_no_model_of_ones_own_is_said(widget):
    assert rows(widget)[1] == ["none yet: train one, or drop a file here"]
    assert widget.models.entry.bundled  # a heading cannot be chosen
    widget.models.selectRow(0)
    assert widget.models.entry is None or widget.models.entry.bundled


def test_a_damaged_model_is_told_and_can_be_deleted(tiny, models, viewer, monkeypatch):
    shutil.copytree(models / "tiny", models / "broken")
    (models / "broken" / "card.json").write_text("{")
    widget = ModelsWidget(viewer)
    viewer.window.add_dock_widget(widget)
    choose(widget, "broken")
    assert "Cannot be used" in widget.card.toPlainText()
    assert "the card is not JSON" in widget.card.toPlainText()
    assert not widget.export_button.isEnabled()
    monkeypatch.setattr(QMessageBox, "question", lambda *_: QMessageBox.StandardButton.No)
    widget.delete_button.click()
    assert (models / "broken").is_dir()
    monkeypatch.setattr(QMessageBox, "question", lambda *_: QMessageBox.StandardButton.Yes)
    widget.delete_button.click()
    assert not (models / "broken").exists()
    assert said(widget) == "broken is deleted"
    assert "broken" not in [line[0] for line in rows(widget)]


def test_a_model_is_renamed_and_others_hear_of_it(tiny, widget, monkeypatch):
    heard = []
    NEWS.changed.connect(lambda: heard.append(True))
    monkeypatch.setattr(QInputDialog, "getText", lambda *_: ("a/b", True))
    widget.rename_button.click()
    assert "'a/b' cannot be the name of a model" in said(widget)
    assert not heard
    monkeypatch.setattr(QInputDialog, "getText", lambda *_: (" smears 2 ", True))
    widget.rename_button.click()
    assert widget.models.entry.name == "smears 2"
    assert load_model("smears 2").card.weights_sha256 == tiny.card.weights_sha256
    assert heard


def test_a_model_is_exported(tiny, widget, qtbot, tmp_path, monkeypatch):
    def ask(_parent, _title, proposal, kinds, options):
        assert proposal == "tiny.cellrestore.zip"
        return str(tmp_path / "sent"), kinds.split(";;")[0]

    monkeypatch.setattr(QFileDialog, "getSaveFileName", ask)
    widget.export_button.click()
    assert not widget.import_button.isEnabled()
    wait_until_idle(widget, qtbot)
    path = tmp_path / "sent.cellrestore.zip"
    assert said(widget) == f"Written: {path}"
    assert path.is_file()
    widget.export_button.click()
    wait_until_idle(widget, qtbot)
    assert "exists already" in said(widget)
    assert widget.import_button.isEnabled()


def test_a_file_is_imported_by_the_button_and_by_dropping_it(tiny, viewer, widget, qtbot, tmp_path, monkeypatch):
    path = export_model("tiny", tmp_path)
    asked = []

    def ask(_parent, _title, label, _mode, proposal):
        asked.append((label, proposal))
        return proposal, True

    monkeypatch.setattr(QFileDialog, "getOpenFileNames", lambda *_: ([str(path)], ""))
    monkeypatch.setattr(QInputDialog, "getText", ask)
    widget.import_button.click()
    qtbot.waitUntil(lambda: said(widget) == "tiny 2 is in the list", timeout=LONG_MS)
    assert asked == [("There is a model of this name. Name for tiny.cellrestore.zip", "tiny 2")]
    assert widget.models.entry.name == "tiny 2"
    wait_until_idle(widget, qtbot)
    widget.delete("tiny")
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path))])
    event = QDropEvent(
        QPoint(5, 5).toPointF(),
        Qt.DropAction.CopyAction,
        data,
        Qt.MouseButton.LeftButton,
        Qt.KeyboardModifier.NoModifier,
    )
    widget.dropEvent(event)
    assert event.isAccepted()
    qtbot.waitUntil(lambda: said(widget) == "tiny is in the list", timeout=LONG_MS)
    assert {line[0] for line in rows(widget)} >= {"tiny", "tiny 2"}


def test_what_is_no_model_is_said_in_one_line(widget, models, qtbot, tmp_path):
    (tmp_path / "image.tif").write_bytes(b"II*\0")
    widget.import_files([tmp_path / "image.tif"])
    wait_until_idle(widget, qtbot)
    assert "not a zip file, or cut off" in said(widget)
    assert "\n" not in said(widget)
    assert not models.exists()


def test_models_made_meanwhile_are_listed(widget, tiny):
    widget.hide()
    widget.show()
    assert "tiny" in [line[0] for line in rows(widget)]
    choose(widget, "tiny")
    path = tiny.folder / "card.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "version": 99}))
    NEWS.changed.emit()
    assert "format version 99" in widget.card.toPlainText()


def test_it_ends_with_its_dock(viewer, models, qtbot):
    widget = ModelsWidget(viewer)
    dock = viewer.window.add_dock_widget(widget)
    with qtbot.waitSignal(widget.destroyed, timeout=5000):
        viewer.window.remove_dock_widget(dock)
    NEWS.changed.emit()
    viewer.theme = "light"


@pytest.mark.parametrize("width", [300, 350])
def test_nothing_is_cut_off_in_a_narrow_dock(tiny, models, viewer, width):
    shutil.copytree(models / "tiny", models / ("long_name_" * 5))
    shutil.copytree(models / "tiny", models / ("x" * 60))
    widget = ModelsWidget(viewer)
    viewer.window.add_dock_widget(widget)
    widget.resize(width, 700)
    widget.say(f"Written: {models / ('x' * 60)}")
    choose(widget, "x" * 60)
    content = widget.models.parentWidget()
    assert content.minimumSizeHint().width() <= width
    assert widget.card.horizontalScrollBar().maximum() == 0
