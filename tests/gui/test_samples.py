"""Samples: what they show, that they come at once, and that they open from the menu."""

from __future__ import annotations

from importlib.resources import files

import numpy as np
import pytest
from scipy import ndimage
from skimage.measure import label, regionprops

from napari_cellrestore.focus import focus_curve
from napari_cellrestore.gui.layers import stack_from_layer
from napari_cellrestore.gui.samples import mitochondria, smear_stack, unstained_blood
from napari_cellrestore.metrics import psnr
from napari_cellrestore.simulate import defocus, draw_smear, smear_objectives


def test_red_cells_have_the_size_and_the_pale_centre_of_red_cells():
    smear = draw_smear((384, 384), 0.1, np.random.default_rng(0)).astype(float)
    red_cell = (smear[..., 0] > 190) & (smear[..., 1] < 215)
    whole = [
        cell
        for cell in regionprops(label(ndimage.binary_fill_holes(red_cell)))
        if min(cell.bbox[:2]) > 0 and max(cell.bbox[2:]) < 384 and cell.eccentricity < 0.5 and 2000 < cell.area < 8000
    ]
    assert len(whole) >= 3
    for cell in whole:
        assert 6.5 < 0.1 * cell.equivalent_diameter_area < 8.5
        y, x = map(round, cell.centroid)
        rim = smear[y - 22 : y - 18, x - 2 : x + 3, 1].mean()  # Evans & Fung: thickest at 0.6 of the radius
        assert smear[y - 2 : y + 3, x - 2 : x + 3, 1].mean() > rim + 15


def test_smear_has_a_dark_nucleus_and_a_bright_background():
    smear = draw_smear((384, 384), 0.1, np.random.default_rng(1))
    assert 5 < 0.01 * np.count_nonzero(smear[..., 0] < 150) < 60  # um2 of chromatin
    assert np.percentile(smear, 90, axis=(0, 1)).tolist() == [238, 236, 229]


def test_same_state_draws_the_same_smear_and_any_size_works():
    first, again = (draw_smear((120, 90), 0.2, np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, draw_smear((120, 90), 0.2, np.random.default_rng(4)))
    assert draw_smear((1, 5), 0.5, np.random.default_rng(0)).shape == (1, 5, 3)


@pytest.mark.parametrize(("shape", "pixel_um"), [((0, 5), 0.1), ((5, 5), -1), ((5, 5), np.nan), ((5, 5, 3), 0.1)])
def test_impossible_smear_is_refused(shape, pixel_um):
    with pytest.raises(ValueError, match=r"give \(rows, columns\) and a positive size"):
        draw_smear(shape, pixel_um, np.random.default_rng(0))


def test_smear_stack_is_sharp_at_zero_and_its_truth_is_known():
    stack = smear_stack()
    assert stack.axes == "ZYXS"
    np.testing.assert_allclose(stack.z_um, np.arange(-7, 8) / 5)
    curve = focus_curve(stack)
    assert curve.peak_um == pytest.approx(0, abs=0.02)
    assert curve.flags == ()
    drawn = stack.provenance["draw_smear"]
    smear = draw_smear(drawn["shape"], drawn["pixel_um"], np.random.default_rng(drawn["seed"]))
    truth = defocus(smear, drawn["pixel_um"], smear_objectives(), 0)
    quality = [psnr(truth, plane, data_range=255) for plane in stack.data]
    assert int(np.argmax(quality)) == 7
    assert quality[7] > 45  # what is left is the noise of the camera


def test_mitochondria_are_calibrated_along_z_and_sharp_near_the_stated_focus():
    ((data, options, _),) = mitochondria()
    known = options["metadata"]["cellrestore"]
    assert data.shape == (16, 256, 256)
    np.testing.assert_allclose(known["z_um"], np.arange(-7, 9) / 10)
    assert focus_curve(data, known["z_um"]).peak_um == pytest.approx(0, abs=0.15)
    assert options["units"] == ("um", "pixel", "pixel")  # the size of a pixel is not stated
    assert data[7].max() > options["contrast_limits"][1]


def test_unstained_blood_has_every_led_well_exposed_above_its_truth():
    (stained, _, _), (planes, options, _) = unstained_blood()
    leds = options["metadata"]["cellrestore"]["leds"]
    assert planes.shape == (len(leds), *stained.shape)
    assert len(leds) == 74
    assert (planes == 255).mean(axis=(1, 2, 3)).max() < 1e-3  # nothing to be found by the checks
    single = leds.kind == "point"
    np.testing.assert_allclose(planes[single].mean(axis=(1, 2, 3)) / planes[single].mean(), 1, atol=0.1)
    low, high = (planes[leds.exposure == name].mean(axis=(1, 2, 3)) for name in ("low", "high"))
    assert (high > 2 * low).all()
    nucleus, field = np.percentile(stained[..., 0], (1, 90))
    assert field - nucleus > 100


def test_shipped_sample_is_small_and_says_where_it_is_from():
    folder = files("napari_cellrestore") / "data"
    assert len((folder / "mitochondria.tif").read_bytes()) < 1.2e6
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert "MIT License" in text
    assert "Copyright (c) 2023" in text


@pytest.mark.real_data
def test_shipped_planes_are_those_of_the_recording(real_data):
    import tifffile

    folder = real_data / "focus_stacks" / "mitochondria_fluorescence"
    ((data, options, _),) = mitochondria()
    for z_um, plane in zip(options["metadata"]["cellrestore"]["z_um"], data, strict=True):
        number = round(51 - z_um / 0.05)
        (path,) = folder.glob(f"*Abs{number:04d}.tif")
        np.testing.assert_array_equal(plane, tifffile.imread(path)[475:731, 175:431])


@pytest.mark.gui
def test_samples_open_from_the_menu_with_their_calibration(make_napari_viewer):
    viewer = make_napari_viewer()
    (smear,) = viewer.open_sample("napari-cellrestore", "blood_smear")
    assert smear.rgb
    assert stack_from_layer(smear).pixel_um == pytest.approx(0.1)
    (cells,) = viewer.open_sample("napari-cellrestore", "mitochondria")
    assert stack_from_layer(cells).z_step_um == pytest.approx(0.1)
