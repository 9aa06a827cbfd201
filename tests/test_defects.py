"""Defects of an instrument: closed forms, what each may not change, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_cellrestore.objective import Objective
from napari_cellrestore.psf import otf, pupil
from napari_cellrestore.simulate import (
    DEFECTS,
    bidirectional_shear,
    defocus,
    detector_noise,
    instrument_defects,
    line_step,
    wrong_immersion,
)

DRY = Objective(na=0.5, wavelength_um=0.53)


def smooth(shape=(64, 96), seed=0):
    """A sum of waves that are mirror-symmetric at the borders, so that a shift of them is known."""
    y, x = (np.arange(n) + 0.5 for n in shape)
    rng = np.random.default_rng(seed)
    waves = [
        rng.normal() * np.outer(np.cos(np.pi * p * y / shape[0]), np.cos(np.pi * q * x / shape[1]))
        for p in range(4)
        for q in range(1, 9)
    ]
    return 128 + 4 * np.sum(waves, axis=0)


# --- shear


@given(offset=st.floats(-6, 6), q=st.integers(1, 20))
@settings(max_examples=25, deadline=None)
def test_a_wave_is_sheared_as_its_formula_says(offset, q):
    x = np.arange(80) + 0.5
    wave = np.cos(np.pi * q * x / 80) + np.zeros((6, 1))
    sheared = bidirectional_shear(wave, offset)
    np.testing.assert_array_equal(sheared[::2], wave[::2])
    np.testing.assert_allclose(sheared[1::2], np.cos(np.pi * q * (x - offset) / 80) + np.zeros((3, 1)), atol=1e-10)


def test_whole_pixels_are_moved_exactly_and_lines_are_mirrored_at_their_ends():
    image = np.random.default_rng(0).integers(0, 65536, (7, 40, 3)).astype(np.uint16)
    right, left = bidirectional_shear(image, 2), bidirectional_shear(image, -1)
    np.testing.assert_array_equal(right[1::2, 2:], image[1::2, :-2])
    np.testing.assert_array_equal(right[1::2, :2], image[1::2, 1::-1])
    np.testing.assert_array_equal(left[1::2, :-1], image[1::2, 1:])
    np.testing.assert_array_equal(left[1::2, -1], image[1::2, -1])


# --- line step


def test_lines_are_left_out_and_interpolated_by_hand():
    image = np.array([[0], [99], [99], [30], [99], [99], [60], [99]], np.uint8)
    assert line_step(image, 3).ravel().tolist() == [0, 10, 20, 30, 40, 50, 60, 60]
    np.testing.assert_array_equal(line_step(image, 1), image)
    assert line_step(image, 8).ravel().tolist() == [0] * 8


@given(step=st.integers(1, 6), slope=st.floats(-5, 5))
@settings(max_examples=25, deadline=None)
def test_a_ramp_loses_nothing_up_to_the_last_line_kept(step, slope):
    ramp = slope * np.arange(20.0)[:, None, None] + np.zeros((1, 5, 3))
    last = (19 // step) * step + 1
    np.testing.assert_allclose(line_step(ramp, step)[:last], ramp[:last], atol=1e-9)


# --- wrong immersion


def test_no_gap_and_the_right_medium_blur_nothing_that_the_lens_passed():
    seen = defocus(smooth(), 0.25, DRY, 0.0)
    np.testing.assert_allclose(wrong_immersion(seen, 0.25, DRY, 0.0), seen, atol=0.02)
    np.testing.assert_allclose(wrong_immersion(seen, 0.25, DRY, 900.0, filled_with=1.0), seen, atol=0.02)


def test_the_transfer_function_is_that_of_the_aberrated_pupil_over_that_of_the_lens():
    """Against an image whose spectrum is one wave, and a delay fitted by least squares over the pupil's pixels."""
    size, pixel_um, gap_um, k = 128, 0.25, 400.0, 12
    x = np.arange(size) + 0.5
    wave = 100 + 50 * np.cos(np.pi * k * x / size) + np.zeros((size, 1))
    twice = (2 * size, 2 * size)
    lens = pupil(twice, pixel_um, DRY)
    nu = np.fft.fftfreq(2 * size, pixel_um)
    a2 = 0.53**2 * (nu[:, None] ** 2 + nu**2)
    inside = np.abs(lens) > 0
    delay = np.zeros(twice)
    delay[inside] = gap_um * (np.sqrt(1.515**2 - a2[inside]) - np.sqrt(1 - a2[inside]))
    design = np.column_stack([np.ones(inside.sum()), a2[inside]])
    delay[inside] -= design @ np.linalg.lstsq(design, delay[inside], rcond=None)[0]
    both = [
        np.abs(np.fft.ifft2(amplitude)) ** 2
        for amplitude in (lens * np.exp(2j * np.pi * delay / DRY.wavelength_um), lens)
    ]
    ratio = otf(np.fft.fftshift(both[0]))[0, k].real / otf(np.fft.fftshift(both[1]))[0, k].real
    blurred = wrong_immersion(wave, pixel_um, DRY, gap_um)
    assert abs(ratio) < 0.9
    np.testing.assert_allclose(blurred, 100 + ratio * (wave - 100), atol=0.5)


def test_a_thicker_gap_blurs_more_and_keeps_the_mean():
    point = np.zeros((64, 64, 3))
    point[32, 32] = 1000
    peaks = [wrong_immersion(point, 0.25, DRY, gap_um)[32, 32, 1] for gap_um in (0, 200, 600, 2000)]
    assert np.all(np.diff(peaks) < 0)
    assert wrong_immersion(point, 0.25, DRY, 600).sum() == pytest.approx(point.sum(), rel=1e-4)


def test_pixels_too_large_for_the_lens_are_warned_about():
    with pytest.warns(UserWarning, match="pixels of 1 um alias"):
        wrong_immersion(np.zeros((32, 32)), 1.0, DRY)


# --- noise


def test_noise_has_the_variance_of_its_formula_and_is_rounded_as_a_detector_does():
    flat = np.full((300, 300), 400.0)
    noisy = detector_noise(flat, gain=2, read_std=10, rng=np.random.default_rng(0))
    assert noisy.var() == pytest.approx(2 * 400 + 100, rel=0.03)
    assert noisy.mean() == pytest.approx(400, abs=0.5)
    bright = detector_noise(np.full((50, 50), 250, np.uint8), gain=4, rng=np.random.default_rng(0))
    assert (bright.dtype, bright.max()) == (np.uint8, 255)


def test_noise_of_few_electrons_does_not_depend_on_the_span_of_grey_levels():
    flat = np.full((300, 300), 200.0)
    noise = DEFECTS["detector_noise"]
    for image in (flat, 100 * flat):
        noisy = noise(image, 100, np.random.default_rng(0))
        assert noisy.std() / noisy.mean() == pytest.approx(0.1, rel=0.02)


# --- the table


@pytest.mark.parametrize("name", DEFECTS)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float64])
def test_every_defect_keeps_type_and_size_leaves_its_input_and_harms_more_with_strength(name, dtype):
    defect = DEFECTS[name]
    for image in (smooth(), np.stack([smooth(seed=seed) for seed in range(3)], axis=-1)):
        image = image.astype(dtype)
        before = image.copy()
        damaged = [defect(image, strength, np.random.default_rng(0)) for strength in defect.strengths]
        np.testing.assert_array_equal(image, before)
        assert {(one.dtype, one.shape) for one in damaged} == {(image.dtype, image.shape)}
        errors = [np.square(one.astype(float) - image).mean() for one in damaged]
        assert errors[0] > 0
        assert np.all(np.diff(errors) > 0), errors


def test_the_wrong_immersion_of_the_table_is_that_of_the_pixel_size_given():
    point = np.zeros((64, 64))
    point[32, 32] = 1
    coarse, fine = (
        instrument_defects(um)["wrong_immersion"](point, 600, np.random.default_rng(0)) for um in (0.25, 0.125)
    )
    assert fine.max() < coarse.max()


@pytest.mark.parametrize("name", DEFECTS)
def test_wrong_images_are_refused(name):
    def apply(image):
        return DEFECTS[name](image, DEFECTS[name].strengths[0], np.random.default_rng(0))

    with pytest.raises(TypeError, match="dtype bool: give grey levels"):
        apply(np.zeros((40, 40), bool))
    with pytest.raises(ValueError, match=r"shape \(4, 40, 40\): give \(Y, X\) or \(Y, X, 3\)"):
        apply(np.zeros((4, 40, 40)))
    with pytest.raises(ValueError, match="1 of 1600 pixels are not finite"):
        apply(np.where(np.arange(1600).reshape(40, 40) == 3, np.nan, 1))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda image: line_step(image, 0), "step is 0: give a whole number of lines from 1 to 20"),
        (lambda image: line_step(image, 2.5), "step is 2.5"),
        (lambda image: line_step(image, 21), "step is 21"),
        (lambda image: bidirectional_shear(image, 41), "offset_px is 41: give a distance in pixels, at most the 40"),
        (lambda image: bidirectional_shear(image, np.nan), "offset_px is nan"),
        (lambda image: wrong_immersion(image, 0.2, DRY, -1), "gap_um is -1"),
        (lambda image: wrong_immersion(image, 0.2, DRY, 1, filled_with=0.9), "filled_with 0.9"),
        (lambda image: wrong_immersion(image, 0, DRY, 1), "pixel_um is 0"),
        (lambda image: detector_noise(image, -1, rng=np.random.default_rng(0)), "gain -1"),
    ],
)
def test_wrong_strengths_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(np.zeros((20, 40)))
