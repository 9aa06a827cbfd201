"""Deconvolution as a model: agreement with the filters, tiles, saving, bad input."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_cellrestore.deconvolve import CUT_OFF, deconvolution_model
from napari_cellrestore.engine import Runner
from napari_cellrestore.filters import blur, richardson_lucy, wiener
from napari_cellrestore.model import load_model, save_model
from napari_cellrestore.networks import DECONVOLUTIONS, create_network
from napari_cellrestore.objective import Objective
from napari_cellrestore.psf import incoherent_psf
from napari_cellrestore.restore import plan_restoration, restore
from napari_cellrestore.simulate import draw_smear

LENS = Objective(1.05, 0.53, 1.515)
OPTIONS = {"wiener": {"balance": 0.01}, "richardson-lucy": {"iterations": 12}}
FILTERS = {"wiener": wiener, "richardson-lucy": richardson_lucy}


@pytest.fixture(scope="module")
def psf():
    return incoherent_psf((41, 41), 0.1, LENS, 0.8)


@pytest.fixture(scope="module")
def sharp():
    return draw_smear((150, 170), 0.1, np.random.default_rng(0)).astype(np.float32)


@pytest.fixture(scope="module")
def blurred(sharp, psf):
    noise = np.random.default_rng(1).normal(0, 0.7, sharp.shape)
    return np.clip(np.rint(blur(sharp, psf=psf) + noise), 0, 255).astype(np.uint8)


def test_every_deconvolution_is_tested():
    assert set(OPTIONS) == set(DECONVOLUTIONS) == set(FILTERS)


@pytest.mark.parametrize("method", OPTIONS)
def test_it_does_what_the_filter_does(method, blurred, psf):
    model = deconvolution_model(psf, method, **OPTIONS[method])
    side = model.card.options["kernel_px"]
    first = 20 - side // 2
    kernel = psf[first : first + side, first : first + side]
    assert kernel.sum() >= 1 - CUT_OFF
    expected = np.clip(FILTERS[method](blurred, psf=kernel, **OPTIONS[method]), 0, 255)
    np.testing.assert_allclose(restore(blurred, model).compute(), expected, atol=0.51)


@pytest.mark.parametrize("method", OPTIONS)
def test_it_restores(method, sharp, blurred, psf):
    restored = restore(blurred, deconvolution_model(psf, method, **OPTIONS[method])).compute()
    before, after = (np.mean((image.astype(float) - sharp) ** 2) for image in (blurred, restored))
    assert after < 0.75 * before


@pytest.mark.parametrize("method", OPTIONS)
def test_tiled_is_whole(method, blurred, psf):
    model = deconvolution_model(
        psf[10:31, 10:31], method, **{**OPTIONS[method], "balance": 0.3} if method == "wiener" else {"iterations": 2}
    )
    plan = plan_restoration(blurred, model, tile=64)
    assert plan.n_tiles > 1
    whole, tiled = restore(blurred, model).compute(), restore(blurred, model, plan).compute()
    assert np.abs(whole.astype(int) - tiled).max() <= 1
    assert np.mean(whole != tiled) < 0.01


@pytest.mark.parametrize("method", OPTIONS)
@pytest.mark.parametrize("shape", [(1, 1), (3, 50), (31, 40)])
def test_any_size_and_grey_levels_stay(method, shape, psf):
    model = deconvolution_model(psf, method, **OPTIONS[method])
    output = Runner(model, "torch", "cpu")(np.full((*shape, 3), 0.25, np.float32))
    np.testing.assert_allclose(output, 0.25, atol=1e-4)


def test_each_colour_has_its_own_kernel(blurred, psf):
    sharp_green = np.zeros_like(psf)
    sharp_green[20, 20] = 1
    model = deconvolution_model([psf, sharp_green, psf], balance=1e-6)
    restored = restore(blurred, model).compute()
    np.testing.assert_array_equal(restored[..., 1], blurred[..., 1])
    assert np.any(restored[..., 0] != blurred[..., 0])


def test_it_is_saved_and_listed_as_a_model(tmp_path, monkeypatch, blurred, psf):
    monkeypatch.setenv("CELLRESTORE_MODELS", str(tmp_path))
    model = deconvolution_model(
        psf, "wiener", name="my scope", pixel_um=0.1, said="recovered from a pair", balance=0.02
    )
    save_model(tmp_path / "my scope", model.network, model.card)
    again = load_model("my scope")
    assert again.card.data == "recovered from a pair"
    np.testing.assert_array_equal(restore(blurred, again).compute(), restore(blurred, model).compute())


def test_models_of_different_kernels_are_told_apart(psf):
    one, other = deconvolution_model(psf), deconvolution_model(psf[5:36, 5:36])
    assert one.card.weights_sha256 != other.card.weights_sha256
    assert deconvolution_model(psf, balance=0.5).card.weights_sha256 != one.card.weights_sha256


@pytest.mark.parametrize(
    ("kernel", "method", "options", "message"),
    [
        (np.ones((5, 5)), "inverse", {}, "unknown method 'inverse': use wiener, richardson-lucy"),
        (np.zeros((5, 5)), "wiener", {}, "sum 0"),
        (np.ones(5), "wiener", {}, "give one psf \\(y, x\\), or one for each colour"),
        ([np.ones((5, 5))] * 2, "wiener", {}, "2 kernels"),
        (np.ones((5, 5)), "wiener", {"balance": 0}, "balance is 0"),
        (np.ones((5, 5)), "richardson-lucy", {"iterations": 0}, "iterations is 0"),
        (np.ones((5, 5)), "wiener", {"iterations": 5}, "network 'wiener' has no option 'iterations'"),
        (np.eye(5) - 0.01, "richardson-lucy", {}, "negative values"),
    ],
)
def test_what_cannot_be_a_deconvolution(kernel, method, options, message):
    with pytest.raises(ValueError, match=message):
        deconvolution_model(kernel, method, **options)


def test_kernels_need_a_centre():
    with pytest.raises(ValueError, match="odd number"):
        create_network("wiener", kernel_px=4)
    with pytest.raises(ValueError, match="gives as many"):
        create_network("wiener", 3, 1)
    assert torch.count_nonzero(create_network("wiener", kernel_px=5).psf) == 3
