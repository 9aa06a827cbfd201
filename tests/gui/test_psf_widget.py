"""The PSF widget in a real viewer: what it recovers, shows, makes and refuses."""

from __future__ import annotations

import re

import numpy as np
import pytest
from napari.utils._proxies import PublicOnlyProxy
from qtpy.QtGui import QGuiApplication
from scipy import ndimage

from napari_cellrestore.gui.layers import stack_from_layer
from napari_cellrestore.gui.psf.settings import BEADS, PAIR, PLANE, STACK
from napari_cellrestore.gui.psf.widget import PsfWidget
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
    widget.settings.sharp_choice.choose(viewer.layers["sharp"])
    widget.settings.blurred_choice.choose(viewer.layers["blurred"])
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
    assert widget.settings.pixel.value() == 0.3
    assert not widget.figure.isVisibleTo(widget)
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
    theory, _, otf = pair.figure.otf_plot.curves
    np.testing.assert_allclose(otf.std, expected.otf_std[: len(otf.std)])
    assert theory.broad
    np.testing.assert_allclose(theory.y, pair.shown.theory[: len(theory.y)])
    assert len(pair.figure.psf_plot.curves) == 2

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
    assert pair.settings.blurred_choice.layer.name == "blurred"  # what was made here is not offered
    assert pair.settings.blurred_choice.count() == 2

    pair.copy_button.click()
    lines = QGuiApplication.clipboard().text().splitlines()
    assert lines[0].split("\t")[:3] == ["frequency_per_um", "otf", "otf_std"]
    assert len(lines) == len(expected.frequency) + 1


def test_own_mu_and_method(pair, planes, qtbot):
    pair.settings.method.setCurrentText("fourier")
    pair.settings.mu.setText("0,5")
    recovered(pair, qtbot)
    assert pair.shown.found.mu == 0.5
    assert pair.shown.found.method == "fourier"
    assert "0.5 (yours)" in pair.said.text()
    assert len(pair.figure.psf_plot.curves) == 1
    pair.settings.mu.setText("much")
    pair.recover_button.click()
    assert "μ is 'much': give a positive number" in pair.status.text()


def test_a_shift_is_registered(pair, viewer, planes, qtbot):
    viewer.layers["blurred"].data = np.roll(planes[0], (3, -4), (0, 1))
    recovered(pair, qtbot)
    assert re.search(r"lies [23]\.\d px down and [34]\.\d px left of the sharp one", pair.said.text())
    assert pair.align_button.isVisibleTo(pair)
    pair.align_button.click()
    qtbot.waitUntil(lambda: not pair._work.running, timeout=20_000)
    assert pair.shown.moved_px == pytest.approx((-3, 4), abs=0.3)
    assert "moved first" in pair.said.text()
    assert "of the sharp one" not in pair.said.text()
    assert not pair.align_button.isVisibleTo(pair)
    # the images were cut: the map of the field begins where they do
    optics(pair)
    pair.settings.field.down.setValue(2)
    pair.settings.field.button.click()
    qtbot.waitUntil(lambda: not pair._work.running, timeout=20_000)
    field = viewer.layers["blurred kernel width (um)"]
    tile_px = ((160 - 3) / 2, (160 - 4) / 3)
    assert field.scale == pytest.approx(np.multiply(tile_px, 0.3))
    first_px = np.divide(field.data_to_world((0, 0)), 0.3)
    origin_px = 0, 4  # nothing comes in from above, four columns from the left
    np.testing.assert_allclose(first_px, np.add(origin_px, (np.array(tile_px) - 1) / 2), atol=0.6)


def test_the_width_over_the_field(pair, viewer, planes, qtbot):
    for name, plane in (("sharp", 1), ("blurred", 0)):
        image = planes[plane].copy()
        image[:80, :80] = 500
        viewer.layers[name].data = image
        viewer.layers[name].translate = (10.0, 20.0)
    optics(pair)
    pair.settings.field.down.setValue(2)
    pair.settings.field.across.setValue(2)
    pair.settings.field.button.click()
    qtbot.waitUntil(lambda: not pair._work.running, timeout=20_000)
    layer = viewer.layers["blurred kernel width (um)"]
    assert np.isnan(layer.data).tolist() == [[True, False], [False, False]]
    text = pair.field_said.text()
    assert "over 3 of 4 tiles" in text
    assert text.startswith("<p>Absolute FWHM")
    assert "Tile 1, 1 (row, column) cannot tell: sharp: all pixels are 500" in text
    assert pair.field_said.isVisibleTo(pair)
    # it lies on the image: its corners, half a pixel from the centres of its outermost, are those of the image
    image = viewer.layers["sharp"]
    for ours, theirs in ((-0.5, -0.5), (1.5, 159.5)):
        np.testing.assert_allclose(layer.data_to_world((ours, ours)), image.data_to_world((theirs, theirs)))
    assert str(layer.units[0]) == "micrometer"
    low, high = layer.contrast_limits
    assert low <= np.nanmin(layer.data) <= np.nanmax(layer.data) <= high
    assert high - low >= 0.1 * np.nanmedian(layer.data) * 0.99
    assert layer.colorbar.visible
    assert pair.settings.blurred_choice.count() == 2  # the map is no image to recover from
    pair.settings.field.down.setValue(30)
    pair.settings.field.button.click()
    qtbot.waitUntil(lambda: not pair._work.running, timeout=20_000)
    assert "smaller than 16 px: use fewer tiles, 10 x 10 at most" in pair.status.text()
    assert not pair.field_said.isVisibleTo(pair)


def test_the_field_of_a_plane_in_view(viewer, planes, open_widget, qtbot):
    viewer.add_image(planes, name="stack", **UM_Z)
    viewer.dims.set_current_step(0, 2)
    widget = open_widget()
    widget.what.setCurrentText(PLANE)
    assert widget.settings.field.isVisibleTo(widget)
    widget.settings.field.button.click()
    qtbot.waitUntil(lambda: not widget._work.running, timeout=20_000)
    assert viewer.layers["stack kernel width (um)"].data.shape == (3, 3)
    viewer.dims.set_current_step(0, 1)
    widget.settings.field.button.click()
    qtbot.waitUntil(lambda: not widget._work.running, timeout=20_000)
    assert "plane 1 is the sharpest itself" in widget.status.text()
    widget.what.setCurrentText(STACK)
    assert not widget.settings.field.isVisibleTo(widget)


def test_a_narrow_dock_cuts_nothing_off(pair, qtbot):
    """In a dock of 300 px, less its frame and a scroll bar, every setting is seen whole."""
    assert pair.settings.minimumSizeHint().width() <= 265
    pair.what.setCurrentText(BEADS)
    assert pair.settings.minimumSizeHint().width() <= 265


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
    assert pair.settings.pixel.text() == "not known"
    pair.recover_button.click()
    assert "the pixel size is not known" in pair.status.text()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda image: np.full_like(image, 7), "blurred: all pixels are 7, there is nothing to recover from"),
        (lambda image: np.where(image > 12_000, np.nan, image), "pixels are not finite \\(NaN or infinite\\); mend"),
        (lambda image: np.where(image > 9_000, 65_535, image), "pixels are saturated at 65535: expose less"),
        (lambda image: image[:, :150], r"blurred has \(160, 150\) px, sharp \(160, 160\)"),
    ],
)
def test_spoilt_images_are_one_line(viewer, pair, planes, qtbot, spoil, said):
    spoilt = np.asarray(spoil(planes[0]))
    viewer.layers["blurred"].data = spoilt.astype(np.uint16) if not np.isnan(spoilt).any() else spoilt
    recovered(pair, qtbot)
    assert re.search(said, pair.status.text())
    assert pair.shown is None


def test_doubts_are_shown(viewer, pair, planes, qtbot):
    viewer.layers["blurred"].data = np.minimum(planes[0], np.quantile(planes[0], 0.9).astype(np.uint16))
    pair.optics.na.setText("0.9")
    pair.optics.wavelength.setText("0.5")
    recovered(pair, qtbot)
    assert "of the pixels of blurred have its largest value" in pair.said.text()
    assert "Pixels of 0.3 um alias an image of NA 0.9" in pair.said.text()
    pair.settings.pixel.setValue(300)
    recovered(pair, qtbot)
    assert "(300 nm is 0.3)" in pair.said.text()


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
    (widths,) = widget.figure.z_plot.curves
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
    assert "own size is in these widths" in text
    widget.settings.diameter.setValue(0.3)
    recovered(widget, qtbot)
    assert "without bead size" in widget.said.text()
    widget.settings.diameter.setValue(0.6)
    recovered(widget, qtbot)
    assert "without bead size" not in widget.said.text()
    assert "beads of 0.6 um are larger than the width" in widget.said.text()
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
