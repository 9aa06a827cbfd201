from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage, signal
from skimage import data, restoration

from napari_cellrestore.filters import FILTERS, gaussian, mean, median, richardson_lucy, unsharp, wiener
from napari_cellrestore.metrics import mse, psnr


def gaussian_kernel(sigma, size):
    r = np.arange(size) - size // 2
    kernel = np.exp(-(r**2 + r[:, None] ** 2) / (2 * sigma**2))
    return kernel / kernel.sum()


PSF = gaussian_kernel(1.5, 15)
COMA = np.zeros((5, 5))
COMA[2, 2:], COMA[3, 3] = (4, 2, 1), 1


def options(name):
    return {"psf": PSF} if FILTERS[name].needs_psf else {}


def blur(image, psf):
    return ndimage.convolve(np.asarray(image, float), psf / psf.sum(), mode="reflect")


# --- every filter


@pytest.mark.parametrize("name", FILTERS)
@given(level=st.floats(0.5, 60000), shape=st.tuples(st.integers(16, 30), st.integers(16, 30)))
@settings(max_examples=15, deadline=None)
def test_constant_images_stay(name, level, shape):
    np.testing.assert_allclose(FILTERS[name](np.full(shape, level), **options(name)), level, rtol=1e-4)


@pytest.mark.parametrize("name", FILTERS)
def test_colours_are_filtered_one_by_one_and_inputs_stay(name, rng):
    image = rng.integers(0, 255, (30, 34, 3), np.uint8)
    before = image.copy()
    result = FILTERS[name](image, **options(name))
    assert (result.dtype, result.shape) == (np.float32, image.shape)
    np.testing.assert_array_equal(image, before)
    for index in range(3):
        np.testing.assert_array_equal(result[..., index], FILTERS[name](image[..., index], **options(name)))


@pytest.mark.parametrize("name", FILTERS)
@given(gain=st.floats(0.01, 300), seed=st.integers(0, 99))
@settings(max_examples=10, deadline=None)
def test_grey_levels_keep_their_unit(name, gain, seed):
    image = np.random.default_rng(seed).uniform(10, 200, (24, 24))
    result = FILTERS[name](image, **options(name))
    np.testing.assert_allclose(FILTERS[name](gain * image, **options(name)), gain * result, rtol=1e-2, atol=1e-3 * gain)


@pytest.mark.parametrize("name", FILTERS)
def test_nothing_is_clipped(name):
    image = np.zeros((40, 40), np.uint16)
    image[10:30, 10:30] = 60000
    result = FILTERS[name](image, **options(name))
    assert result.max() > 59000
    if name in ("unsharp", "wiener"):
        assert result.max() > 65535 or result.min() < 0


@pytest.mark.parametrize("name", FILTERS)
def test_wrong_images_are_refused(name):
    with pytest.raises(ValueError, match=r"shape \(2, 3, 4, 5\): give \(Y, X\)"):
        FILTERS[name](np.zeros((2, 3, 4, 5)), **options(name))
    with pytest.raises(TypeError, match="complex128"):
        FILTERS[name](np.zeros((20, 20), complex), **options(name))
    with pytest.raises(ValueError, match="1 of 400 pixels are not finite"):
        FILTERS[name](np.where(np.arange(400).reshape(20, 20) == 3, np.nan, 1), **options(name))


# --- smoothing and sharpening


def test_smoothing_by_hand():
    image = np.zeros((7, 7), np.uint8)
    image[3, 3] = 90
    assert mean(image, size_px=3)[2:5, 2:5].tolist() == [[10.0] * 3] * 3
    assert median(image, size_px=3).max() == 0
    corner = np.zeros((7, 7))
    corner[0, 0] = 90
    assert mean(corner, size_px=3)[0, 0] == 40  # mirrored: four of nine


@pytest.mark.parametrize("sigma", [1.0, 2.5])
def test_gaussian_and_unsharp_have_their_transfer_functions(sigma):
    wave = np.cos(np.pi * (np.arange(64) + 0.5) / 8) + np.zeros((64, 1))  # 1/16 cycles per px, mirror-symmetric
    transfer = np.exp(-2 * (np.pi * sigma / 16) ** 2)
    np.testing.assert_allclose(gaussian(wave, sigma_px=sigma), transfer * wave, atol=2e-4)
    np.testing.assert_allclose(unsharp(wave, sigma_px=sigma, amount=1.5), (2.5 - 1.5 * transfer) * wave, atol=5e-4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda image: gaussian(image, sigma_px=0), "sigma_px is 0"),
        (lambda image: unsharp(image, sigma_px=-1), "sigma_px is -1"),
        (lambda image: mean(image, size_px=4), "size_px is 4: give an odd number"),
        (lambda image: median(image, size_px=2.5), "size_px is 2.5"),
        (lambda image: wiener(image, psf=PSF, balance=0), "balance is 0: it must be positive"),
        (lambda image: wiener(image, psf=np.zeros((3, 3))), r"psf has shape \(3, 3\) and sum 0"),
        (lambda image: wiener(image, psf=[PSF, PSF]), "2 kernels for 1 colours"),
        (lambda image: wiener(image, psf=np.ones((41, 3))), r"psf has \(41, 3\) px for an image of \(20, 20\)"),
        (lambda image: richardson_lucy(image, psf=np.ones((3, 50))), r"psf has \(3, 50\) px"),
        (lambda image: richardson_lucy(image, psf=PSF, iterations=0), "iterations is 0"),
        (lambda image: richardson_lucy(image - 3, psf=PSF), r"negative pixels \(down to -3\)"),
        (lambda image: richardson_lucy(image, psf=PSF - 0.001), "psf has negative values"),
    ],
)
def test_wrong_options_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(np.zeros((20, 20)))


# --- deconvolution


@pytest.mark.parametrize("psf", [PSF, np.ones((3, 5))], ids=["gaussian", "box"])
def test_wiener_undoes_the_blur_of_a_band_limited_image(psf):
    y, x = np.mgrid[:40, :48] + 0.5
    sharp = 120 + 60 * np.cos(np.pi * x / 8) * np.cos(np.pi * y / 10) + 20 * np.cos(np.pi * y / 5)
    blurred = blur(sharp, psf)
    assert np.abs(blurred - sharp).max() > 5
    np.testing.assert_allclose(wiener(blurred, psf=psf, balance=1e-6), sharp, atol=0.05)


def test_wiener_is_that_of_scikit_image_on_a_periodic_image(rng):
    image = np.pad(rng.uniform(0, 200, (20, 24)), [(0, 20), (0, 24)], mode="symmetric")
    expected = restoration.wiener(image, PSF, 0.05, clip=False)[:20, :24]
    np.testing.assert_allclose(wiener(image[:20, :24], psf=PSF, balance=0.05), expected, rtol=1e-3, atol=0.05)


def test_psf_may_have_any_sum_and_one_kernel_a_colour(rng):
    image = rng.uniform(10, 200, (24, 24, 2))
    kernels = [PSF, np.ones((3, 3))]
    for name in ("wiener", "richardson_lucy"):
        result = FILTERS[name](image, psf=kernels)
        for index, kernel in enumerate(kernels):
            alone = FILTERS[name](image[..., index], psf=7 * kernel)
            np.testing.assert_allclose(result[..., index], alone, rtol=1e-4, atol=1e-2)


def test_richardson_lucy_keeps_the_sum_and_stays_positive(rng):
    points = np.zeros((40, 40))
    points[rng.integers(8, 32, 12), rng.integers(8, 32, 12)] = 1000
    blurred = blur(points, PSF)
    restored = richardson_lucy(blurred, psf=PSF, iterations=30)
    assert restored.min() >= 0
    assert restored.sum() == pytest.approx(blurred.sum(), rel=1e-4)
    assert mse(points, restored) < 0.7 * mse(points, blurred)
    assert restored.max() > 3 * blurred.max()
    assert not richardson_lucy(np.zeros((20, 20)), psf=PSF).any()


@pytest.mark.parametrize("psf", [PSF, COMA, np.ones((4, 4))], ids=["symmetric", "coma", "even"])
@pytest.mark.parametrize("name", ["wiener", "richardson_lucy"])
def test_deconvolution_puts_structure_back_where_it_was(name, psf):
    point = np.zeros((41, 41))
    point[20, 17] = 5000
    odd = np.pad(psf, [(0, 1 - length % 2) for length in psf.shape])  # the same centre, y // 2, x // 2
    blurred = blur(point, odd)
    restored = FILTERS[name](blurred, psf=psf)
    assert np.unravel_index(restored.argmax(), restored.shape) == (20, 17)
    assert mse(point, restored) < 0.95 * mse(point, blurred)


def test_richardson_lucy_agrees_with_scikit_image_away_from_the_border(rng):
    image = signal.fftconvolve(rng.uniform(50, 200, (90, 90)), PSF, mode="same")
    expected = restoration.richardson_lucy(image, PSF, num_iter=5, clip=False)
    result = richardson_lucy(image, psf=PSF, iterations=5)
    inside = (slice(42, -42), slice(42, -42))  # the dark border of scikit-image comes 14 px nearer each iteration
    np.testing.assert_allclose(result[inside], expected[inside], rtol=2e-3)


@pytest.mark.parametrize("name", ["wiener", "richardson_lucy"])
def test_deconvolution_improves_a_blurred_noisy_photograph(name, rng):
    sharp = data.camera()[100:228, 150:278].astype(float)
    blurred = np.maximum(blur(sharp, PSF) + rng.normal(0, 1, sharp.shape), 0)
    restored = FILTERS[name](blurred, psf=PSF)
    assert psnr(sharp, restored, data_range=255) > psnr(sharp, blurred, data_range=255) + 1
