"""What is made of recovered kernels: series over a stack, images, theory, models."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from napari_cellrestore.kernel_model import save_kernel
from napari_cellrestore.kernels import (
    best_defocus,
    defocused_otf,
    kernel_image,
    kernel_stack,
    otf_rows,
    recover_series,
    sharp_kernel,
    summary,
)
from napari_cellrestore.model import check_name, list_models, load_model, model_folders
from napari_cellrestore.objective import Objective
from napari_cellrestore.psf import in_focus_otf, incoherent_psf, otf
from napari_cellrestore.recover import recover_psf
from napari_cellrestore.restore import restore
from napari_cellrestore.simulate import defocus

LENS = Objective(0.25, 0.5)
PIXEL_UM = 0.3


@pytest.fixture(scope="module")
def scene():
    rng = np.random.default_rng(0)
    return 100 + 400 * ndimage.gaussian_filter(rng.normal(size=(192, 192)), 1)


@pytest.fixture(scope="module")
def pair(scene):
    rng = np.random.default_rng(1)
    return [defocus(scene, PIXEL_UM, LENS, z) + rng.normal(0, 0.3, scene.shape) for z in (0.0, 8.0)]


@pytest.fixture(scope="module")
def found(pair):
    return recover_psf(*pair, PIXEL_UM, objective=LENS)


@pytest.mark.parametrize("defocus_um", [0.0, 3.0, 20.0])
def test_defocused_otf_is_that_of_the_kernel(defocus_um):
    side = 400
    whole = otf(incoherent_psf((side, side), PIXEL_UM, LENS, defocus_um)).real
    frequency = np.arange(side // 2) / (side * PIXEL_UM)
    np.testing.assert_allclose(defocused_otf(frequency, LENS, defocus_um), whole[0, : side // 2], atol=0.01)


def test_the_defocus_that_fits_is_that_of_the_simulation(found):
    defocus_um, curve = best_defocus(found)
    assert defocus_um == pytest.approx(8, rel=0.04)
    band = found.trusted & (found.frequency < 0.5)
    np.testing.assert_allclose(curve[band], found.otf[band], atol=0.05)
    with pytest.raises(ValueError, match="theory needs the optics"):
        best_defocus(replace(found, objective=None))


def test_a_series_goes_on_after_a_plane_that_cannot_be_used(scene):
    stack = np.stack([ndimage.gaussian_filter(scene, sigma) for sigma in (3, 0.5, 2)] + [np.full(scene.shape, 7.0)])
    results = dict(recover_series(stack, 0.1))
    assert sorted(results) == [0, 2, 3]
    assert results[0].fwhm_um > results[2].fwhm_um
    assert results[3] == "blurred: all pixels are 7, there is nothing to recover from; give an image with structure"
    colour = np.stack([stack[:3], stack[:3] ** 2, stack[:3]], -1)
    (only,) = recover_series(colour, 0.1, reference=1, planes=[2], colour=0)
    np.testing.assert_allclose(only[1].otf, results[2].otf)
    with pytest.raises(ValueError, match=r"plane 9 does not exist: there are 4 \(0 to 3\)"):
        list(recover_series(stack, 0.1, planes=[9]))


def test_images_keep_values_and_calibration(found):
    stack = kernel_stack([found, sharp_kernel(found)], "Z", z_um=[0.0, 8.0])
    assert stack.axes == "ZYX"
    assert stack.pixel_um == PIXEL_UM
    side = stack.data.shape[1]
    assert side % 2 == 1
    middle = found.psf.shape[0] // 2
    cut = slice(middle - side // 2, middle + side // 2 + 1)
    np.testing.assert_allclose(stack.data[0], found.psf[cut, cut], rtol=1e-6)
    assert stack.data[1].argmax() == side * side // 2
    absolute = kernel_stack([sharp_kernel(found)], absolute=True).data
    expected = incoherent_psf((191, 191), PIXEL_UM, LENS)
    np.testing.assert_allclose(absolute, kernel_image(expected, side), atol=0.03 * expected.max())


def test_the_table_holds_the_curves(found):
    head, rows = otf_rows(found, best_defocus(found)[1])
    assert head == (
        *("frequency_per_um", "otf", "otf_std", "residual", "trusted"),
        *("absolute_otf", "theory_in_focus", "theory"),
    )
    table = np.array(rows, float)
    np.testing.assert_allclose(table[:, 1], found.otf)
    np.testing.assert_allclose(table[:, 5], found.otf * in_focus_otf(found.frequency, LENS), atol=1e-9)
    said = summary(found)
    assert said["smallest_period_um"] == pytest.approx(1 / found.frequency[found.trusted].max())


def test_a_kernel_is_kept_as_a_model(found, pair, tmp_path, monkeypatch):
    monkeypatch.setenv("CELLRESTORE_MODELS", str(tmp_path / "models"))
    model = save_kernel("defocus 8 um", found.psf, pixel_um=PIXEL_UM, said="a pair", balance=0.01)
    assert model.folder == tmp_path / "models" / "defocus 8 um"
    assert "defocus 8 um" in [card.name for card in list_models()]
    assert load_model("defocus 8 um").card.pixel_um == PIXEL_UM
    sharp, blurred = ((image / 2).clip(0, 255).astype(np.uint8) for image in pair)
    restored = restore(blurred, model).compute().astype(float)
    assert np.mean((restored - sharp) ** 2) < 0.7 * np.mean((blurred.astype(float) - sharp) ** 2)
    with pytest.raises(ValueError, match="there is a model 'defocus 8 um' already; give another name"):
        save_kernel("defocus 8 um", found.psf, pixel_um=PIXEL_UM, said="a pair")
    for name in ("", "../away", "a/b", " ", ".hidden", "a\\b", "deblur-fast"):
        with pytest.raises(ValueError, match=r"cannot be the name|there is a model"):
            check_name(name, model_folders())
