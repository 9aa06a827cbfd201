from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage import data
from skimage.metrics import mean_squared_error, peak_signal_noise_ratio, structural_similarity

from napari_cellrestore.focus import focus_measure
from napari_cellrestore.metrics import (
    METRICS,
    cv,
    difference_map,
    focus_ratio,
    fpw,
    fpw_map,
    gradient_magnitude,
    gradient_map,
    mae,
    mse,
    msemg,
    peak_level,
    psnr,
    score,
    sharpness,
    spectral_error,
    spectral_ratio,
    ssim,
    ssim_global,
    ssim_map,
)

TAPS = np.array([-1, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, -1], float)
INSIDE = (slice(6, -6), slice(6, -6))
WITH_REFERENCE = [name for name, metric in METRICS.items() if metric.needs_reference]
SHAPES = [(60, 70), (60, 70, 3)]


def pair_of(shape, dtype=np.uint8, top=255, seed=0):
    rng = np.random.default_rng(seed)
    sharp = ndimage.gaussian_filter(rng.normal(size=shape[:2]), 2)[..., None] + 0.02 * rng.normal(
        size=(1, 1, *shape[2:])
    )
    sharp = np.interp(sharp, (sharp.min(), sharp.max()), (0.1 * top, 0.9 * top)).reshape(shape)
    blurred = ndimage.gaussian_filter(sharp, (2, 2, 0)[: len(shape)]) + rng.normal(0, 0.01 * top, shape)
    return sharp.astype(dtype), blurred.clip(0, top).astype(dtype)


# --- agreement with scikit-image


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("dtype", "top"), [(np.uint8, 255), (np.uint16, 60000), (np.float32, 1), (np.float64, 1e4)])
def test_agrees_with_scikit_image(shape, dtype, top):
    reference, image = pair_of(shape, dtype, top)
    channel_axis = -1 if len(shape) == 3 else None
    wide = reference.astype(float), image.astype(float)
    assert mse(reference, image) == pytest.approx(mean_squared_error(*wide), rel=1e-5)
    assert psnr(reference, image, data_range=top) == pytest.approx(
        peak_signal_noise_ratio(*wide, data_range=top), rel=1e-6
    )
    expected, expected_map = structural_similarity(*wide, data_range=top, channel_axis=channel_axis, full=True)
    assert ssim(reference, image, data_range=top) == pytest.approx(expected, abs=2e-6)
    expected_map = expected_map.mean(axis=-1) if channel_axis else expected_map
    np.testing.assert_allclose(ssim_map(reference, image, data_range=top), expected_map, atol=5e-4)


def test_ssim_of_a_small_range_on_a_large_offset_is_exact():
    reference, image = pair_of((40, 40), np.float32, 50)
    expected = structural_similarity(reference.astype(float), image.astype(float), data_range=50)
    # 1e-4 is the luminance term, which sees the offset; float32 variances would be off by 0.1 and more
    shifted = [part + np.float32(40000) for part in (reference, image)]
    wide = structural_similarity(*(part.astype(float) for part in shifted), data_range=50)
    assert ssim(*shifted, data_range=50) == pytest.approx(wide, abs=1e-9)
    assert wide != pytest.approx(expected, abs=1e-6)


# --- definitions written out


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES)
def test_definitions_of_the_sources(shape, dtype):
    reference, image = pair_of(shape, dtype, 255)
    y, x = reference.astype(float), image.astype(float)
    green_y, green_x = (part if part.ndim == 2 else part[..., 1] for part in (y, x))
    squares = [[ndimage.correlate1d(g, TAPS, axis=axis)[INSIDE] ** 2 for axis in (1, 0)] for g in (green_y, green_x)]
    colours = [part.reshape(60, 70, -1).transpose(2, 0, 1) for part in (y, x)]
    gradients = [
        np.stack([np.sqrt(ndimage.sobel(grey, 0) ** 2 + ndimage.sobel(grey, 1) ** 2) for grey in part])
        for part in colours
    ]
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    covariance = ((y - y.mean()) * (x - x.mean())).mean()
    expected = {
        "mse": ((y - x) ** 2).mean(),
        "mae": abs(y - x).mean(),
        "psnr": 10 * np.log10(255**2 / ((y - x) ** 2).mean()),
        "ssim_global": (2 * y.mean() * x.mean() + c1)
        * (2 * covariance + c2)
        / ((y.mean() ** 2 + x.mean() ** 2 + c1) * (y.var() + x.var() + c2)),
        "focus_ratio": sum(squares[1]).mean() / sum(squares[0]).mean(),
        "fpw": sum(abs(of_y - of_x) for of_y, of_x in zip(*squares, strict=True)).mean(),
        "msemg": ((gradients[0] - gradients[1]) ** 2).mean(),
        "sharpness": gradients[1].mean(),
        "cv": x.std() / x.mean(),
    }
    assert score(reference, image, expected, data_range=255) == pytest.approx(expected, rel=1e-5)
    assert set(expected) | {"ssim"} == set(METRICS)


def test_values_by_hand():
    black, white = np.zeros((20, 20), np.uint8), np.full((20, 20), 255, np.uint8)
    assert mse(black, white) == 255**2  # and not 1, as unsigned arithmetic would have it
    assert mae(white, black) == 255
    assert psnr(black, white) == 0
    assert difference_map(white, black).min() == -255
    assert ssim(black, white) == pytest.approx(1e-4 / 1.0001)  # only c1 / (1 + c1) is left of it
    assert ssim_global(black, white) == pytest.approx(1e-4 / 1.0001)
    assert cv(np.array([[1, 3], [1, 3]])) == 0.5


def test_psnr_conventions_of_the_sources():
    reference = np.full((4, 4), 100, np.uint16)
    image = reference + np.uint16(10)
    assert psnr(reference, image) == pytest.approx(20 * np.log10(65535 / 10))
    assert psnr(reference, image, data_range="reference") == pytest.approx(20)
    assert psnr(reference, image, data_range=4096) == pytest.approx(20 * np.log10(409.6))
    assert psnr(reference, reference) == np.inf
    assert psnr(reference, reference, cap=50) == 50
    assert psnr(reference, image, data_range="reference", cap=50) == pytest.approx(20)


def test_types_may_differ_and_inputs_stay():
    reference, image = pair_of((40, 40, 3))
    copies = reference.copy(), image.copy()
    same = score(reference, image, METRICS)
    assert score(reference, image.astype(np.float32), METRICS) == pytest.approx(same, rel=1e-6)
    np.testing.assert_array_equal((reference, image), copies)


def test_alpha_is_not_looked_at():
    reference, image = pair_of((40, 40, 3))
    alpha = np.random.default_rng(1).integers(0, 255, (2, 40, 40, 1), np.uint8)
    with_alpha = [np.concatenate([part, a], axis=-1) for part, a in zip((reference, image), alpha, strict=True)]
    assert score(*with_alpha, METRICS) == score(reference, image, METRICS)


# --- properties


images = st.integers(0, 10**6).map(lambda seed: np.random.default_rng(seed).uniform(0, 255, (20, 24)))


@given(x=images)
@settings(max_examples=25, deadline=None)
def test_identical_images_score_best(x):
    assert score(x, x, WITH_REFERENCE, data_range=255) == pytest.approx(
        {
            "mse": 0,
            "mae": 0,
            "psnr": np.inf,
            "ssim": 1,
            "ssim_global": 1,
            "focus_ratio": 1,
            "fpw": 0,
            "msemg": 0,
        }
    )


@given(x=images, y=images)
@settings(max_examples=25, deadline=None)
def test_errors_are_symmetric_and_positive(x, y):
    for metric in (mse, mae, fpw, msemg):
        assert metric(x, y) == pytest.approx(metric(y, x))
        assert metric(x, y) > 0 or np.array_equal(x, y)
    assert ssim(x, y, data_range=255) == pytest.approx(ssim(y, x, data_range=255))
    assert mae(x, y) ** 2 <= mse(x, y) * (1 + 1e-9)


@given(x=images, y=images, k=st.floats(0.1, 20))
@settings(max_examples=25, deadline=None)
def test_scaling_both_images_scales_as_the_unit_says(x, y, k):
    power = {"grey levels": 1, "grey levels²": 2, "dB": 0, "": 0}
    before = score(x, y, METRICS, data_range=255)
    after = score(k * x, k * y, METRICS, data_range=k * 255)
    assert after == pytest.approx({name: k ** power[METRICS[name].unit] * value for name, value in before.items()})


@given(x=images, offset=st.floats(1, 50))
@settings(max_examples=25, deadline=None)
def test_focus_metrics_do_not_see_a_shift_of_grey_level(x, offset):
    assert fpw(x, x + offset) == pytest.approx(0, abs=1e-6)
    assert focus_ratio(x, x + offset) == pytest.approx(1)
    assert mse(x, x + offset) == pytest.approx(offset**2)


def test_fpw_is_zero_only_where_focus_agrees():
    reference, _ = pair_of((60, 60), float)
    image = reference.copy()
    image[:, 40:] = ndimage.gaussian_filter(reference, 2)[:, 40:]
    values = fpw_map(reference, image)
    assert (values[INSIDE][:, : 40 - 12] == 0).all()
    assert (values[INSIDE][:, 40:] > 0).mean() > 0.99
    assert fpw(reference, image) == pytest.approx(np.nanmean(values))
    assert np.isnan(values).sum() == 60**2 - 48**2
    assert np.isfinite(values[INSIDE]).all()
    assert fpw(reference, -reference) == 0  # squares do not see contrast reversal, as the source defines it


def test_focus_ratio_is_the_ratio_of_focus_measures():
    reference, image = pair_of((40, 40, 3))
    assert focus_ratio(reference, image) == pytest.approx(focus_measure(image) / focus_measure(reference))


def test_more_blur_is_worse_in_every_metric():
    reference = data.camera()[100:260, 100:260]
    blurred = [ndimage.gaussian_filter(reference.astype(float), sigma) for sigma in (0.5, 1, 2, 4)]
    for name in WITH_REFERENCE:
        values = [METRICS[name](reference, image) for image in blurred]
        assert values == sorted(values, reverse=METRICS[name].better != "lower"), name


def test_noise_raises_sharpness():
    image, rng = data.camera().astype(float), np.random.default_rng(0)
    assert sharpness(image + rng.normal(0, 10, image.shape)) > 1.2 * sharpness(image)


@pytest.mark.parametrize("axis", [0, 1])
def test_gradient_of_a_ramp(axis):
    ramp = np.expand_dims(3 * np.arange(9, dtype=np.uint8), 1 - axis) + np.zeros((9, 9), np.uint8)
    assert (gradient_magnitude(ramp)[1:-1, 1:-1] == 24).all()
    assert gradient_magnitude(np.stack([ramp, 2 * ramp, ramp], axis=-1))[4, 4].tolist() == [24, 48, 24]


def test_gradient_map_is_signed_and_the_mean_over_colours():
    ramp = np.arange(8) + np.zeros((8, 1))  # MG 8
    colours = np.stack([ramp, 2 * ramp, 4 * ramp], axis=-1)
    assert (gradient_map(2 * ramp, ramp)[1:-1, 1:-1] == -8).all()
    assert (gradient_map(0 * colours, colours)[1:-1, 1:-1] == np.float32(8 * 7 / 3)).all()
    reference, image = pair_of((60, 70, 3))
    made = gradient_map(reference, image)
    assert (made.shape, made.dtype) == ((60, 70), np.float32)
    assert made.mean() == pytest.approx(sharpness(image) - sharpness(reference), rel=1e-4)
    assert not gradient_map(image, image).any()
    with pytest.raises(ValueError, match="images of one shape"):
        gradient_map(reference, image[:-1])


# --- masks


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("shape", SHAPES)
def test_masked_pixels_do_not_count(name, shape):
    metric = METRICS[name]
    reference, image = pair_of(shape, np.float64)
    spoilt = image.copy()
    spoilt[:20] = np.nan
    mask = np.zeros(shape[:2], bool)
    mask[34:50, 10:60] = True  # further from the spoilt rows than any kernel reaches
    pair, spoilt_pair = ((reference, part) if metric.needs_reference else (part,) for part in (image, spoilt))
    assert metric(*spoilt_pair, data_range=255, mask=mask) == pytest.approx(metric(*pair, data_range=255, mask=mask))
    with pytest.raises(ValueError, match=r"not finite .*mask"):
        metric(*spoilt_pair, data_range=255)
    assert metric(*pair, data_range=255, mask=np.ones(shape[:2], bool)) == pytest.approx(metric(*pair, data_range=255))
    assert metric(*pair, data_range=255, mask=mask) != pytest.approx(metric(*pair, data_range=255))


def test_masked_ssim_is_the_mean_of_the_map():
    reference, image = pair_of((60, 70), np.float64)
    mask = np.zeros((60, 70), bool)
    mask[10:20, 30:50] = True
    expected = ssim_map(reference, image, data_range=255)[mask].mean()
    assert ssim(reference, image, data_range=255, mask=mask) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.ones((20, 20)), "mask is float64 of shape"),
        (np.ones((20, 21), bool), r"of shape \(20, 21\): give a bool array .* \(20, 20\)"),
        ([[True]], "mask is a list"),
        (np.zeros((20, 20), bool), "leaves no pixel"),
    ],
)
@pytest.mark.parametrize("name", METRICS)
def test_wrong_masks_are_refused(name, mask, message):
    images = [np.eye(20)] * (2 if METRICS[name].needs_reference else 1)
    with pytest.raises(ValueError, match=message):
        METRICS[name](*images, data_range=1, mask=mask)


# --- spatial frequencies


def test_spectral_ratio_of_a_gaussian_blur_is_its_transfer_function_squared(rng):
    texture = rng.normal(size=(256, 200))
    frequency, ratio = spectral_ratio(texture, ndimage.gaussian_filter(texture, 1.5, mode="wrap"), pixel_um=0.1)
    assert frequency[0] == pytest.approx(1 / (200 * 0.1))
    assert frequency[-1] == pytest.approx(5)
    expected = np.exp(-2 * (np.pi * 1.5 * 0.1 * frequency) ** 2) ** 2
    low = frequency < 2.5
    np.testing.assert_allclose(ratio[low][3:], expected[low][3:], rtol=0.12)


def test_spectral_ratio_and_error_of_gain_and_offset(rng):
    texture = rng.uniform(0, 255, (40, 50, 3)).astype(np.float32)
    np.testing.assert_allclose(spectral_ratio(texture, 0.5 * texture + 30)[1], 0.25, rtol=1e-4)
    np.testing.assert_allclose(spectral_error(texture, 0.5 * texture + 30)[1], 0.25, rtol=1e-4)
    np.testing.assert_allclose(spectral_error(texture, texture)[1], 0)
    # the right power in the wrong place
    np.testing.assert_allclose(spectral_ratio(texture, 255 - texture)[1], 1, rtol=1e-4)
    np.testing.assert_allclose(spectral_error(texture, 255 - texture)[1], 4, rtol=1e-4)


def test_a_wave_appears_at_its_frequency():
    wave = np.cos(2 * np.pi * np.arange(80) / 8) + np.zeros((80, 1))
    noise = np.random.default_rng(0).normal(size=(80, 80))
    frequency, ratio = spectral_ratio(noise, noise + 20 * wave)
    assert frequency[np.argmax(ratio)] == pytest.approx(1 / 8)
    assert np.isnan(spectral_ratio(np.zeros((16, 16)), noise[:16, :16])[1]).all()


# --- what is refused


@pytest.mark.parametrize("name", WITH_REFERENCE)
def test_shapes_must_agree(name):
    with pytest.raises(ValueError, match=r"shape \(20, 20\) and the image \(20, 21\)"):
        METRICS[name](np.zeros((20, 20)), np.zeros((20, 21)), data_range=1)


@pytest.mark.parametrize("name", ["psnr", "ssim", "ssim_global"])
@pytest.mark.parametrize("dtype", [np.float32, np.int16, bool])
def test_span_of_grey_levels_is_never_guessed(name, dtype):
    with pytest.raises(ValueError, match=f"dtype {np.dtype(dtype)}, which does not tell .*give data_range"):
        METRICS[name](np.eye(20).astype(dtype), np.eye(20))


def test_peak_level():
    assert peak_level(np.zeros(1, np.uint16)) == 65535
    assert peak_level(np.array([3, 9.5]), "reference") == 9.5
    for wrong in (0, -1, np.nan):
        with pytest.raises(ValueError, match="must be a positive number"):
            peak_level(np.zeros(1), wrong)


def test_other_wrong_input_is_refused():
    flat = np.full((20, 20), 5)
    with pytest.raises(ValueError, match="focus measure 0"):
        focus_ratio(flat, flat)
    with pytest.raises(ValueError, match="mean 0"):
        cv(np.array([[-1, 1]]))
    with pytest.raises(ValueError, match=r"SSIM needs .* of 7 px or more"):
        ssim(np.zeros((6, 20)), np.zeros((6, 20)), data_range=1)
    with pytest.raises(ValueError, match=r"shape \(20, 20, 5\)"):
        ssim(np.zeros((20, 20, 5)), np.zeros((20, 20, 5)), data_range=1)
    with pytest.raises(ValueError, match="no pixels"):
        mse(np.zeros((0, 5)), np.zeros((0, 5)))
    with pytest.raises(TypeError, match="complex128"):
        mae(np.zeros((2, 2), complex), np.zeros((2, 2)))
    with pytest.raises(ValueError, match=r"unknown metrics \['mes'\]: use mse, mae"):
        score(flat, flat, ["mse", "mes"])
    with pytest.raises(ValueError, match="pixel_um is -1"):
        spectral_ratio(flat, flat, pixel_um=-1)
