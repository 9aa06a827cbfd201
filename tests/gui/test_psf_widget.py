"""The PSF widget in a real viewer: what it recovers, shows, makes and refuses."""

from __future__ import annotations

import numpy as np
import pytest
from napari.utils._proxies import PublicOnlyProxy
from qtpy.QtGui import QGuiApplication
from scipy import ndimage

from napari_cellrestore.gui.layers import stack_from_layer
from napari_cellrestore.gui.psf.widget import BEADS, PAIR, PLANE, STACK, PsfWidget
from napari_cellrestore.model import load_model
from napari_cellrestore.objective import Objective
from napari_cellrestore.recover import recover_psf
from napari_cellrestore.simulate import defocus

pytestmark = pytest.mark.gui

LENS = Objective(0.25, 0.5)
Z_UM = (-8.0, 0.0, 5.0)
UM = {"units": ("um", "um"), "scale": (0.3, 0.3)}
UM_Z = {"units": ("um",) * 3, "scale": (8.0, 0.3, 0.3), "translate": (-8.0, 0, 0), "axis_labels": ("z", "y", "x")}


@pytest.fixture(scope="module")
def planes():
    rng = np.random.default_rng(0)
    scene = 10_000 + sum(2000 * s * ndimage.gaussian_filter(rng.normal(size=(160, 160)), s) for s in (1, 3, 8))
    noisy = [defocus(scene, 0.3, LENS, z) + rng.normal(0, 3, scene.shape) for z in (8.0, 0.0, 8.0)]
    return np.stack(noisy).round().astype(np.uint16)


@pytest.fixture
def viewer(make_napari_viewer):
    return make_napari_viewer()


@pytest.fixture
def open_widget(viewer):
    def opened():
        widget = PsfWidget(PublicOnlyProxy(viewer))  # as napari gives it to plugins
        viewer.window.add_dock_widget(widget)
        return widget

    return opened


@pytest.fixture
def pair(viewer, planes, open_widget):
    viewer.add_image(planes[1], name="sharp", **UM)
    viewer.add_image(planes[0], name="blurred", **UM)
    widget = open_widget()
    widget.sharp_choice.choose(viewer.layers["sharp"])
    widget.blurred_choice.choose(viewer.layers["blurred"])
    return widget


def optics(widget):
    widget.optics.na.setText("0.25")
    widget.optics.wavelength.setText("0.5")


def recovered(widget, qtbot):
    widget.recover_button.click()
    qtbot.waitUntil(lambda: not widget._work.running, timeout=20_000)


def test_empty_until_there_is_an_image(viewer, open_widget, planes):
    widget = open_widget()
    assert widget.is_empty
    viewer.add_image(planes[0], **UM)
    assert not widget.is_empty
    assert widget.pixel.value() == 0.3
    assert not widget.tabs.isVisibleTo(widget)
    widget.recover_button.click()
    assert "sharp and blurred are the same layer" in widget.status.text()


def test_a_pair(pair, planes, qtbot, viewer):
    optics(pair)
    recovered(pair, qtbot)
    expected = recover_psf(planes[1], planes[0], 0.3, objective=LENS)
    np.testing.assert_allclose(pair.shown.found.otf, expected.otf)
    text = pair.said.text()
    assert f"{expected.fwhm_um:.3g} µm" in text
    assert f"{expected.mu:.2g} (chosen)" in text
    trusted = expected.frequency[expected.trusted].max()
    assert f"to {trusted:.3g} cycles/µm" in text
    assert f"{1 / trusted:.3g} µm" in text
    assert pair.shown.defocus_um == pytest.approx(8, rel=0.05)
    theory, _, otf = pair.otf_plot.curves
    np.testing.assert_allclose(otf.std, expected.otf_std[: len(otf.std)])
    assert theory.broad
    np.testing.assert_allclose(theory.y, pair.shown.theory[: len(theory.y)])
    assert len(pair.psf_plot.curves) == 2

    pair.psf_button.click()
    pair.otf_button.click()
    names = [layer.name for layer in viewer.layers]
    assert names[2:] == ["PSF of blurred, absolute", "PSF of blurred", "OTF of blurred"]
    made = stack_from_layer(viewer.layers["PSF of blurred"])
    assert made.pixel_um == 0.3
    assert made.provenance["optics"]["na"] == 0.25
    assert list(made.provenance["layers"]) == ["sharp", "blurred"]
    layer = viewer.layers["PSF of blurred"]
    centre = [length // 2 for length in layer.data.shape]
    assert layer.data.argmax() == np.ravel_multi_index(centre, layer.data.shape)
    np.testing.assert_allclose(layer.data_to_world(centre), 0, atol=1e-9)
    transfer = viewer.layers["OTF of blurred"]
    assert str(transfer.units[0]) == "1 / micrometer"
    at = transfer.world_to_data((0.0, expected.frequency[20]))
    assert transfer.data[tuple(np.rint(at).astype(int))] == pytest.approx(expected.otf[20], abs=0.02)
    assert pair.blurred_choice.layer.name == "blurred"  # what was made here is not offered
    assert pair.blurred_choice.count() == 2

    pair.copy_button.click()
    lines = QGuiApplication.clipboard().text().splitlines()
    assert lines[0].split("\t")[:3] == ["frequency_per_um", "otf", "otf_std"]
    assert len(lines) == len(expected.frequency) + 1


def test_own_mu_and_method(pair, planes, qtbot):
    pair.method.setCurrentText("fourier")
    pair.mu.setText("0,5")
    recovered(pair, qtbot)
    assert pair.shown.found.mu == 0.5
    assert pair.shown.found.method == "fourier"
    assert "0.5 (yours)" in pair.said.text()
    assert len(pair.psf_plot.curves) == 1
    pair.mu.setText("much")
    pair.recover_button.click()
    assert "μ is 'much': give a positive number" in pair.status.text()


def test_a_shift_is_registered(pair, viewer, planes, qtbot):
    viewer.layers["blurred"].data = np.roll(planes[0], (3, -4), (0, 1))
    recovered(pair, qtbot)
    assert "px off the sharp image" in pair.said.text()
    pair.said.linkActivated.emit("register")
    qtbot.waitUntil(lambda: pair.shown is not None and pair.shown.moved_px is not None, timeout=20_000)
    assert pair.shown.moved_px == pytest.approx((-3, 4), abs=0.3)
    assert "moved first" in pair.said.text()
    assert "px off the sharp image" not in pair.said.text()


def test_the_kernel_becomes_a_model(pair, qtbot, tmp_path, monkeypatch):
    monkeypatch.setenv("CELLRESTORE_MODELS", str(tmp_path))
    recovered(pair, qtbot)
    pair.save_model("my blur")
    assert "Saved as <b>my blur</b>" in pair.status.text()
    assert load_model("my blur").card.pixel_um == 0.3
    pair.save_model("my blur")
    assert "there is a model 'my blur' already" in pair.status.text()
    pair.save_model("../away")
    assert "cannot be the name of a model" in pair.status.text()


@pytest.mark.parametrize(
    ("na", "wavelength", "index", "said"),
    [
        ("0.25", "500", "", "500 nm would be 0.5"),
        ("1.3", "0.5", "", "na 1.3 is larger than the immersion index 1"),
        ("0.25", "", "", "give NA and wavelength both"),
        ("big", "0.5", "", "NA 'big' is not a number"),
    ],
)
def test_impossible_optics_are_one_line(pair, na, wavelength, index, said):
    for field, text in ((pair.optics.na, na), (pair.optics.wavelength, wavelength), (pair.optics.index, index)):
        field.setText(text)
    pair.recover_button.click()
    assert said in pair.status.text()
    assert not pair._work.running


def test_bad_images_are_one_line(viewer, pair, planes, qtbot):
    viewer.layers["blurred"].data = planes[1]
    recovered(pair, qtbot)
    assert "are the same image" in pair.status.text()
    viewer.layers["blurred"].data = planes[0][:100]
    recovered(pair, qtbot)
    assert "blurred has (100, 160) px, sharp (160, 160)" in pair.status.text()
    viewer.layers["blurred"].scale = (0.2, 0.2)
    assert pair.status.text() == ""  # what was said before is forgotten
    pair.recover_button.click()
    assert "pixels of 0.3 and 0.2 µm" in pair.status.text()
    viewer.layers["blurred"].units = viewer.layers["sharp"].units = ("pixel", "pixel")
    assert pair.pixel.text() == "not known"
    pair.recover_button.click()
    assert "the pixel size is not known" in pair.status.text()


def test_the_plane_in_view_against_the_sharpest(viewer, planes, open_widget, qtbot):
    viewer.add_image(planes, name="stack", **UM_Z)
    viewer.dims.set_current_step(0, 2)
    widget = open_widget()
    widget.what.setCurrentText(PLANE)
    optics(widget)
    recovered(widget, qtbot)
    assert (widget.shown.plane, widget.shown.reference) == (2, 1)
    assert (widget.shown.defocus_um, widget.shown.distance_known) == (8.0, True)
    np.testing.assert_allclose(widget.shown.found.otf, recover_psf(planes[1], planes[2], 0.3, objective=LENS).otf)
    viewer.dims.set_current_step(0, 1)
    recovered(widget, qtbot)
    assert "plane 1 is the sharpest itself" in widget.status.text()


def test_the_whole_stack_over_z(viewer, planes, open_widget, qtbot):
    stack = np.concatenate([planes, np.full((1, 160, 160), 7, np.uint16)])
    viewer.add_image(np.stack([stack, stack, stack], -1).astype(np.uint16) // 64, name="stack", rgb=True, **UM_Z)
    viewer.dims.set_current_step(0, 0)
    widget = open_widget()
    widget.what.setCurrentText(STACK)
    recovered(widget, qtbot)
    assert sorted(widget._shown) == [0, 2]
    assert "plane 3: blurred: all pixels are" in widget.said.text()
    assert "2 planes against plane 1" in widget.said.text()
    assert widget.shown.plane == 0
    viewer.dims.set_current_step(0, 2)
    assert widget.shown.plane == 2
    (widths,) = widget.z_plot.curves
    np.testing.assert_allclose(widths.x, [-8, 8])
    viewer.dims.set_current_step(0, 1)
    assert widget.shown is None
    assert not widget.otf_button.isEnabled()
    widget.psf_button.click()
    layer = viewer.layers["PSF of stack"]
    assert layer.data.shape[0] == 3
    np.testing.assert_allclose(layer.scale, (8, 0.3, 0.3))
    widget.copy_button.click()
    assert [line.split("\t")[:2] for line in QGuiApplication.clipboard().text().splitlines()[1:]] == [
        ["0", "-8.0"],
        ["2", "8.0"],
    ]


def test_beads(viewer, open_widget, qtbot, rng):
    z, y, x = np.indices((25, 90, 90))
    stack = 50 + rng.normal(0, 1, z.shape)
    for row, column in ((25, 25), (25, 65), (65, 25), (65, 65), (88, 45)):
        stack += 500 * np.exp(-0.5 * (((z - 12) / 3) ** 2 + ((y - row) / 2) ** 2 + ((x - column) / 2) ** 2))
    viewer.add_image(stack, name="beads", **{**UM_Z, "scale": (0.2, 0.1, 0.1)})
    widget = open_widget()
    widget.what.setCurrentText(BEADS)
    recovered(widget, qtbot)
    text = widget.said.text()
    assert "<b>4 beads</b>; 1 left out: 1 at the border" in text
    assert "1.41" in text
    assert "0.47" in text
    widget.otf_button.click()
    points = viewer.layers["beads of beads"]
    assert len(points.data) == 5
    assert sorted(reason[:4] for reason in points.features["left_out"]) == ["at t", "used", "used", "used", "used"]
    widget.psf_button.click()
    assert viewer.layers["PSF of beads"].scale == pytest.approx((0.2, 0.1, 0.1))
    widget.copy_button.click()
    assert QGuiApplication.clipboard().text().startswith("z_px\ty_px")
    viewer.layers["beads"].units = ("pixel", "um", "um")
    widget.recover_button.click()
    assert "the z step is not known" in widget.status.text()


def test_layers_that_go_and_a_stop(viewer, pair, planes, qtbot):
    pair.recover_button.click()
    assert pair.recover_button.text() == "Stop"
    pair.recover_button.click()
    assert pair.recover_button.text() == "Recover"
    viewer.layers.clear()
    assert pair.is_empty
    viewer.add_image(planes, name="stack", **UM_Z)
    pair.what.setCurrentText(STACK)
    pair.recover_button.click()
    viewer.layers.clear()
    assert not pair._work.running
    assert pair._shown == {}
    pair.what.setCurrentText(PAIR)
