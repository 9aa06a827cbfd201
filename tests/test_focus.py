from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import dask.array as da
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_cellrestore.focus import (
    MEASURES,
    all_in_focus,
    brightest_plane,
    focus_curve,
    focus_map,
    focus_measure,
    green,
    nearest_planes,
    second_differences,
    sharpest,
    take_planes,
)
from napari_cellrestore.objective import Objective
from napari_cellrestore.simulate import defocus_stack
from napari_cellrestore.stack import ImageStack

TAPS = np.array([-1, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, -1], float)
INSIDE = (slice(6, -6), slice(6, -6))


@pytest.fixture
def texture(rng):
    return rng.normal(100, 20, (48, 64))


def stack_of_contrast(texture, values):
    """Planes whose focus measure is ``values`` times that of the texture."""
    return np.sqrt(np.asarray(values, float))[:, None, None] * texture


# --- one image


def test_second_differences_are_the_printed_kernel(texture):
    dx2, dy2 = second_differences(texture)
    np.testing.assert_allclose(dx2, ndimage.correlate1d(texture, TAPS, axis=1)[INSIDE])
    np.testing.assert_allclose(dy2, ndimage.correlate1d(texture, TAPS, axis=0)[INSIDE])


def test_focus_measure_is_the_mean_of_squares_over_all_blocks_of_rows(rng):
    image = rng.normal(size=(205, 30))
    expected = sum(ndimage.correlate1d(image, TAPS, axis=axis)[INSIDE] ** 2 for axis in (0, 1)).mean()
    assert focus_measure(image) == pytest.approx(expected, rel=1e-12)
    assert focus_measure(image.astype(np.float32)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("period", [5, 8, 12, 20])
def test_grating_has_its_closed_form(period):
    wave = np.sin(2 * np.pi * np.arange(12 + 8 * period) / period)
    expected = 2 * (1 - np.cos(2 * np.pi * 6 / period)) ** 2
    assert focus_measure(wave + np.zeros((20, 1))) == pytest.approx(expected)
    assert focus_measure((wave + np.zeros((20, 1))).T) == pytest.approx(expected)


def test_ramp_scores_zero_and_parabola_72_squared():
    x = np.arange(40.0)
    assert focus_measure(3 * x + 7 * x[:, None]) == 0
    assert focus_measure(x**2 + np.zeros((40, 1))) == 72**2
    assert focus_measure(x**2 + x[:, None] ** 2) == 2 * 72**2


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int16, np.uint32, np.float16, np.float32, bool])
def test_integer_types_do_not_overflow(dtype, rng):
    top = 1 if dtype is bool else min(np.iinfo(dtype).max, 2**31) if np.issubdtype(dtype, np.integer) else 1
    image = np.where(rng.random((40, 40)) < 0.5, 0, top).astype(dtype)
    assert focus_measure(image) == pytest.approx(focus_measure(image.astype(np.float64)), rel=1e-6)


@pytest.mark.parametrize("method", MEASURES)
@pytest.mark.parametrize("level", [0, 0.1, 255])
def test_constant_image_scores_zero(method, level):
    assert focus_measure(np.full((30, 30), level), method) == pytest.approx(0, abs=1e-20)
    assert focus_measure(np.full((30, 30), level, np.float32), method) == 0


@pytest.mark.parametrize("method", MEASURES)
@given(offset=st.integers(-50, 1000), gain=st.floats(0.25, 8), seed=st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_measures_ignore_offset_and_follow_gain(method, offset, gain, seed):
    image = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(30, 30)), 1)
    expected = gain ** MEASURES[method].gain_power * focus_measure(image, method)
    assert focus_measure(offset + gain * image, method) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("method", MEASURES)
def test_blur_lowers_every_measure(method, rng):
    image = ndimage.gaussian_filter(rng.normal(size=(200, 200)), 2) * 100
    values = [focus_measure(ndimage.gaussian_filter(image, sigma), method) for sigma in (0.5, 1, 2, 4, 8)]
    assert values == sorted(values, reverse=True)
    assert values[0] > 2 * values[-1] > 0


def test_published_definitions_written_out(rng):
    image = rng.uniform(0, 255, (20, 25))
    centred = image - image.mean()
    laplacian = image[:-2, 1:-1] + image[2:, 1:-1] + image[1:-1, :-2] + image[1:-1, 2:] - 4 * image[1:-1, 1:-1]
    gx = sum(weight * (image[i : 18 + i, 2:] - image[i : 18 + i, :-2]) for i, weight in enumerate((1, 2, 1)))
    gy = sum(weight * (image[2:, i : 23 + i] - image[:-2, i : 23 + i]) for i, weight in enumerate((1, 2, 1)))
    expected = {
        "brenner": np.mean((image[:, 2:] - image[:, :-2]) ** 2),
        "tenengrad": np.mean(gx**2 + gy**2),
        "laplacian_variance": laplacian.var(),
        "normalised_variance": image.var() / (image.mean() - image.min()),
        "vollath_f4": np.mean(centred[:, :-2] * centred[:, 1:-1] - centred[:, :-2] * centred[:, 2:]),
    }
    assert {name: focus_measure(image, name) for name in expected} == pytest.approx(expected)
    assert set(expected) | {"second_difference"} == set(MEASURES)


def test_colour_images_are_measured_on_green(rng):
    rgba = rng.integers(0, 256, (30, 30, 4), np.uint8)
    before = rgba.copy()
    assert focus_measure(rgba) == focus_measure(rgba[..., :3]) == focus_measure(rgba[..., 1])
    np.testing.assert_array_equal(rgba, before)
    assert np.shares_memory(green(rgba), rgba)


@pytest.mark.parametrize("method", MEASURES)
def test_measures_refuse_what_they_cannot_measure(method):
    measure, smallest = MEASURES[method], MEASURES[method].smallest_px
    assert measure(np.zeros((smallest, smallest))) == 0
    with pytest.raises(ValueError, match=f"30 x {smallest - 1} px: .*needs {smallest} or more"):
        measure(np.zeros((30, smallest - 1)))
    holes = np.zeros((30, 30))
    holes[0, :2] = np.nan, np.inf
    with pytest.raises(ValueError, match="2 of 900 pixels are not finite"):
        measure(holes)


def test_wrong_images_and_methods_are_refused():
    with pytest.raises(ValueError, match=r"shape \(3, 30, 30\): give one plane"):
        focus_measure(np.zeros((3, 30, 30)))
    with pytest.raises(TypeError, match="complex128"):
        focus_measure(np.zeros((30, 30), complex))
    with pytest.raises(ValueError, match="unknown focus measure 'brener': use one of second_difference, brenner"):
        focus_measure(np.zeros((30, 30)), "brener")


# --- a stack


def test_peak_between_uneven_planes_is_the_vertex_of_the_parabola(texture):
    z_um = np.array([-1.0, -0.4, -0.1, 0.3, 0.9])
    values = 10 - 4 * (z_um - 0.06) ** 2
    for planes, z in ((values, z_um), (values[::-1], z_um[::-1])):
        curve = focus_curve(stack_of_contrast(texture, planes), z)
        assert curve.z_um[curve.peak_index] == -0.1
        assert curve.peak_um == pytest.approx(0.06)
        np.testing.assert_allclose(curve.values / curve.values.max(), planes / planes.max())
    assert curve.z_unit == "um"
    assert curve.method == "second_difference"


def test_widths_and_asymmetry_of_a_triangle(texture):
    z_um = np.arange(-4.0, 5.0)
    values = np.where(z_um < 0, 1 + z_um / 2, 1 - z_um / 8).clip(0.01)
    rising = focus_curve(stack_of_contrast(texture, values), z_um)
    shift = rising.peak_um  # the parabola through the top three planes leans to the slow side
    assert rising.width_um == pytest.approx((1 + shift, 4 - shift), abs=0.3)
    assert rising.asymmetry == pytest.approx((rising.width_um[1] - rising.width_um[0]) / sum(rising.width_um))
    falling = focus_curve(stack_of_contrast(texture, values)[::-1], z_um[::-1])
    assert falling.width_um == pytest.approx(rising.width_um)
    assert rising.flags == falling.flags == ()


def test_symmetric_triangle_has_exact_half_widths(texture):
    z_um = np.array([-2.0, -1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0])
    curve = focus_curve(stack_of_contrast(texture, 1.01 - abs(z_um) / 2), z_um)
    assert curve.peak_um == pytest.approx(0)
    assert curve.width_um == pytest.approx((1.01, 1.01))
    assert curve.asymmetry == pytest.approx(0)


def test_half_maximum_that_is_not_reached_is_nan(texture):
    curve = focus_curve(stack_of_contrast(texture, [0.2, 0.6, 1, 0.9, 0.8]), [0, 1, 2, 3, 4])
    assert 1 < curve.width_um[0] < 2
    assert np.isnan(curve.width_um[1])
    assert np.isnan(curve.asymmetry)


@pytest.mark.parametrize(
    ("values", "flags"),
    [
        ([1, 3, 5, 3, 1], ()),
        ([5, 4, 3, 2, 1], ("peak at edge",)),
        ([1, 2, 3, 4, 5], ("peak at edge",)),
        ([1, 4.6, 3, 5, 1], ("jagged",)),
        ([1, 4.4, 3, 5, 1], ()),
        ([4.6, 3, 3, 3, 5], ("peak at edge", "jagged")),
        ([1, 4, 4, 4, 1], ()),
        ([0, 0, 0, 0, 0], ("flat",)),
        ([4.9, 5, 4.8, 5, 4.9], ("flat",)),
        ([1, 4, 2.5, 1, 2.5, 5, 1], ("contrast minimum at focus",)),
        ([1, 4.9, 2.5, 1, 2.5, 5, 1], ("contrast minimum at focus",)),
        ([1, 4.9, 1, 5, 1], ("jagged",)),
        ([3], ("one plane",)),
    ],
)
def test_flags(texture, values, flags):
    assert focus_curve(stack_of_contrast(texture, values)).flags == flags


def test_contrast_minimum_is_interpolated_and_peak_stays_the_highest(texture):
    z_um = np.arange(9) * 0.3
    values = 1 + 4 * np.minimum((z_um - 1.0) ** 2, 1)
    values[[0, 8]] = 1
    stack = stack_of_contrast(texture, values)
    curve = focus_curve(stack, z_um)
    assert curve.minimum_um == pytest.approx(1.0)
    assert (curve.peak_index, curve.minimum_index) == (int(np.argmax(values)), 3)
    falling = focus_curve(stack[::-1], z_um[::-1])
    assert (falling.minimum_um, falling.minimum_index) == (pytest.approx(1.0), 5)
    stack[0, 0, 0] = np.nan
    assert focus_curve(stack, z_um).minimum_index == 3
    plain = focus_curve(stack_of_contrast(texture, [1, 3, 1]))
    assert plain.minimum_um is plain.minimum_index is None


def test_one_plane_and_plane_numbers(texture):
    curve = focus_curve(texture[None])
    assert (curve.peak_index, curve.peak_um, curve.z_unit, curve.flags) == (0, 0.0, "plane", ("one plane",))
    assert np.isnan(curve.width_um).all()


def test_planes_that_are_not_finite_are_left_out(texture):
    stack = stack_of_contrast(texture, [1, 3, 9, 5, 3, 1])
    stack[2, 0, 0] = np.nan
    curve = focus_curve(stack, [0, 1, 2, 3, 4, 5])
    assert np.isnan(curve.values[2])
    assert np.isfinite(curve.values[[0, 1, 3, 4, 5]]).all()
    assert (curve.peak_index, curve.flags) == (3, ("plane 2 not finite",))
    with pytest.raises(ValueError, match="none of the 6 planes is finite"):
        focus_curve(np.full_like(stack, np.nan))


@pytest.mark.parametrize("method", MEASURES)
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
def test_a_constant_plane_is_named(rng, method, dtype):
    texture = 200 * ndimage.gaussian_filter(rng.normal(size=(48, 64)), 2)
    stack = np.clip(100 + stack_of_contrast(texture, [0.2, 0.5, 1, 0.5, 0.2]), 0, 255).astype(dtype)
    stack[3] = stack[3, 0, 0]
    curve = focus_curve(stack, method=method)
    assert curve.flags[-1] == "plane 3 constant"
    assert curve.values[3] == pytest.approx(0, abs=1e-9 * curve.values.max())
    assert curve.peak_index == 2
    stack[2] = stack[2, 0, 0]
    stack[2, -1, -1] += 1
    assert "plane 2 constant" not in focus_curve(stack, method=method).flags


@pytest.mark.parametrize(
    ("z_um", "flags"),
    [
        ([0, 0.2, 0.4, 0.8, 1.0], ("gap after plane 2",)),
        ([1.0, 0.8, 0.4, 0.2, 0.0], ("gap after plane 1",)),
        ([0, 0.2, 0.6, 0.8, 1.2], ()),  # as many wide steps as narrow ones: none is missing
        ([0, 0.2, 0.45, 0.6, 0.8], ()),  # a stage that is not quite even
        ([0, 0.1, 0.3, 0.5, 0.6], ()),
    ],
)
def test_missing_planes_are_flagged(texture, z_um, flags):
    assert focus_curve(stack_of_contrast(texture, [1, 2, 4, 2, 1]), z_um).flags == flags


@pytest.mark.parametrize("measured", [focus_curve, focus_map, all_in_focus, brightest_plane])
def test_planes_of_different_sizes_are_named(measured):
    planes = [np.zeros((40, 50)), np.zeros((40, 50)), np.zeros((38, 50))]
    with pytest.raises(ValueError, match=r"plane 2 has shape \(38, 50\), plane 0 \(40, 50\): give planes of one size"):
        measured(planes)
    assert focus_curve(planes[:2]).flags == ("flat",)


def test_region_of_interest_has_its_own_peak(rng):
    texture = rng.normal(size=(40, 80))
    contrast = np.repeat([[1, 0.1], [2, 1], [1, 3], [0.1, 1]], 40, axis=1)
    stack = contrast[:, None, :] * texture
    left, right = (slice(0, 40), slice(0, 40)), (slice(0, 40), slice(40, 80))
    assert (sharpest(stack), sharpest(stack, roi=left), sharpest(stack, roi=right)) == (2, 1, 2)
    assert focus_curve(stack, roi=left).roi == left
    with pytest.raises(ValueError, match="40 x 5 px"):
        focus_curve(stack, roi=(slice(0, 40), slice(75, 95)))
    with pytest.raises(TypeError, match="give \\(slice of rows, slice of columns\\)"):
        focus_curve(stack, roi=(0, 40, 0, 40))


class PlaneCounter:
    """An array that notes how many pixels are asked of it at a time."""

    def __init__(self, data):
        self.data, self.shape, self.dtype, self.ndim, self.asked = data, data.shape, data.dtype, data.ndim, []

    def __getitem__(self, where):
        self.asked.append(self.data[where].size)
        return self.data[where]


def test_dask_is_read_plane_by_plane_with_the_same_result(texture):
    values = np.array([1, 3, 4, 2, 1])
    eager = stack_of_contrast(texture, values)
    counter = PlaneCounter(eager)
    lazy = da.from_array(counter, chunks=(1, -1, -1), asarray=False, meta=np.empty((0, 0, 0)))
    counter.asked.clear()
    np.testing.assert_array_equal(focus_curve(lazy).values, focus_curve(eager).values)
    assert counter.asked == [texture.size] * 5
    for of_lazy, of_eager in zip(focus_map(lazy, window=9), focus_map(eager, window=9), strict=True):
        np.testing.assert_array_equal(of_lazy, of_eager)
    for of_lazy, of_eager in zip(all_in_focus(lazy, window=9), all_in_focus(eager, window=9), strict=True):
        np.testing.assert_array_equal(of_lazy, of_eager)


def test_image_stack_brings_its_positions(rng):
    data = rng.integers(0, 255, (3, 20, 20, 3), np.uint8)
    stack = ImageStack(data, "ZYXS", z_um=[0.4, 0.2, 0])
    curve = focus_curve(stack)
    assert (curve.z_unit, curve.z_um.tolist()) == ("um", [0.4, 0.2, 0])
    np.testing.assert_array_equal(curve.values, [focus_measure(plane) for plane in data])
    assert focus_curve(stack, z_um=[1, 2, 3]).z_um.tolist() == [1, 2, 3]
    with pytest.raises(ValueError, match=r'axes TZYX: .*select one plane along T first: stack.select\("T", 0\)'):
        focus_curve(ImageStack(data[..., 0][None], "TZYX"))
    with pytest.raises(ValueError, match="axes YX: focus is measured along Z"):
        focus_curve(ImageStack(data[0, ..., 0], "YX"))


@pytest.mark.parametrize(
    ("z_um", "message"),
    [
        ([0, 0.2, 0.2], "planes 1 and 2 are the same position"),
        ([0, 0.2, 0.1], "planes 1 and 2 are out of order"),
        ([0.5, 0.6, 0.1], "planes 0 and 1 are out of order"),
        ([0, 1], r"shape \(2,\) for 3 planes"),
        ([0, np.nan, 1], "z_um of plane 1 is not a finite number"),
        ([1, 1, 1], "planes 0 and 1 are the same position"),
    ],
)
def test_wrong_positions_name_the_planes(texture, z_um, message):
    with pytest.raises(ValueError, match=message):
        focus_curve(np.stack([texture] * 3), z_um)


@pytest.mark.parametrize("shape", [(20, 20), (2, 20, 20, 5), (0, 20, 20), (2, 3, 20, 20, 3)])
def test_wrong_stacks_are_refused(shape):
    with pytest.raises(ValueError, match="give planes"):
        focus_curve(np.zeros(shape))


def test_brightest_plane(rng):
    stack = rng.normal(100, 1, (4, 20, 20)) + np.array([0, 5, 2, 1])[:, None, None]
    assert brightest_plane(stack) == 1
    stack[3, 0, 0] = np.nan
    with pytest.raises(ValueError, match="plane 3 has pixels that are not finite"):
        brightest_plane(stack)


# --- where in the image


@pytest.fixture
def tilted(rng):
    """A texture whose focus rises from z 0.5 to 2.5 um from left to right: values are parabolas over z."""
    texture = rng.normal(size=(60, 120))
    z_um = np.arange(8) * 0.5
    peak_um = 0.5 + 2.0 * np.arange(120) / 119
    return np.sqrt(12 - (z_um[:, None] - peak_um) ** 2)[:, None, :] * texture, z_um, peak_um


@pytest.mark.parametrize("window", [9, 27, 36])
def test_focus_map_follows_a_tilt(tilted, window):
    stack, z_um, expected = tilted
    peak_um, confidence = focus_map(stack, z_um, window)
    assert peak_um.dtype == confidence.dtype == np.float32
    assert peak_um.shape == confidence.shape == (60, 120)
    error = (peak_um - expected)[:, 20:-20]
    assert np.abs(error).mean() < 0.12
    assert np.abs(np.median(error)) < 0.03
    assert ((confidence >= 0) & (confidence < 1)).all()


def test_focus_map_is_the_peak_of_the_local_energy_written_out(tilted):
    stack, z_um, _ = tilted
    energy = np.stack(
        [
            ndimage.uniform_filter(sum(ndimage.correlate1d(plane, TAPS, axis=a)[INSIDE] ** 2 for a in (0, 1)), 9)
            for plane in stack
        ]
    )
    index = energy.argmax(axis=0)
    peak = energy.max(axis=0)
    below, above = (np.take_along_axis(energy, np.clip(index + s, 0, 7)[None], 0)[0] for s in (-1, 1))
    with np.errstate(all="ignore"):
        shift = 0.5 * (below - above) / (below - 2 * peak + above)
    expected = np.where((index > 0) & (index < 7), 0.5 * (index + shift), 0.5 * index)
    peak_um, confidence = focus_map(stack, z_um, 9)
    np.testing.assert_allclose(peak_um[INSIDE], expected, atol=1e-4)
    np.testing.assert_allclose(confidence[INSIDE], 1 - energy.mean(axis=0) / peak, atol=1e-6)
    np.testing.assert_array_equal(peak_um[:6, 6:-6], np.broadcast_to(peak_um[6, 6:-6], (6, 108)))


def test_places_without_structure_are_empty_and_do_not_come_into_their_neighbours(rng):
    contrast = np.array([1, 1, 2, 4, 2])[:, None, None]
    stack = 100 + contrast * rng.normal(size=(120, 60))
    stack[:, 60:] = 100
    z_um = 2 + 0.5 * np.arange(5)
    everywhere, confidence = focus_map(stack, z_um, window=18)
    assert np.isclose(everywhere[100:], 2).all()
    assert (everywhere[50:80] < 3.4).any()  # between 3.5 above and the first plane, which is said where nothing is
    peak_um, again = focus_map(stack, z_um, window=18, confidence_from=0.2)
    np.testing.assert_array_equal(again, confidence)
    np.testing.assert_array_equal(np.isnan(peak_um), confidence < 0.2)
    np.testing.assert_allclose(peak_um[~np.isnan(peak_um)], 3.5, atol=1e-4)
    assert (nearest_planes(peak_um, z_um) == 3).all()
    assert np.isnan(focus_map(np.full((3, 30, 30), 7), window=9, confidence_from=0.2)[0]).all()


def test_focus_map_without_contrast_has_no_confidence():
    _, confidence = focus_map(np.full((5, 40, 40), 7, np.uint8), window=9)
    assert (confidence == 0).all()


def test_confidence_is_high_with_energy_in_one_plane_and_zero_with_equal_planes(texture):
    alone = np.zeros((10, *texture.shape))
    alone[4] = texture
    peak, confidence = focus_map(alone, window=9)
    np.testing.assert_allclose(confidence, 0.9, rtol=1e-6)
    assert (peak == 4).all()
    _, confidence = focus_map(np.stack([texture] * 4), window=9)
    np.testing.assert_allclose(confidence, 0, atol=1e-6)


@pytest.mark.parametrize("shape", [(13, 13), (13, 40), (14, 30), (77, 79), (78, 77), (79, 140), (142, 13)])
@pytest.mark.parametrize("window", [1, 13, 36])
def test_focus_map_of_any_size(rng, shape, window):
    stack = np.array([1.0, 2.0, 1.5])[:, None, None] * rng.normal(size=shape)
    peak, _ = focus_map(stack, window=min(window, *shape))
    assert peak.shape == all_in_focus(stack, window=min(window, *shape))[0].shape == shape
    np.testing.assert_allclose(peak, peak[0, 0], atol=1e-5)
    assert 1 < peak[0, 0] < 1.5


def test_all_in_focus_picks_acquired_pixels_of_the_sharper_half(rng):
    texture = rng.integers(0, 100, (60, 120, 3)).astype(np.uint8)
    contrast = np.repeat([[2, 1], [1, 2]], 60, axis=1)[:, None, :, None]
    stack = (contrast * texture).astype(np.uint8)
    before = stack.copy()
    image, source_plane = all_in_focus(stack, window=18)
    assert image.dtype == np.uint8
    assert (source_plane[:, :50] == 0).all()
    assert (source_plane[:, 70:] == 1).all()
    np.testing.assert_array_equal(image, np.where((source_plane == 0)[..., None], stack[0], stack[1]))
    assert focus_measure(image) > 1.5 * max(focus_measure(plane) for plane in stack)
    np.testing.assert_array_equal(stack, before)


def test_another_channel_is_taken_by_the_focus_of_the_first(rng):
    texture = rng.normal(size=(60, 120))
    z_um = np.array([1.0, 0.8, 0.6, 0.4])
    contrast = np.repeat([[1, 0.1], [3, 1], [1, 3], [0.1, 1]], 60, axis=1)[:, None, :]
    other = rng.integers(0, 60000, (4, 60, 120)).astype(np.uint16)
    before = other.copy()
    _, source_plane = all_in_focus(contrast * texture, window=18)
    peak_um, _ = focus_map(contrast * texture, z_um, window=18)
    by_planes, by_um = take_planes(other, source_plane), take_planes(other, nearest_planes(peak_um, z_um))
    for image in (by_planes, by_um):
        assert image.dtype == np.uint16
        np.testing.assert_array_equal(image[:, :50], other[1, :, :50])
        np.testing.assert_array_equal(image[:, 70:], other[2, :, 70:])
    lazy = da.from_array(other, chunks=(1, 30, 50))
    np.testing.assert_array_equal(take_planes(lazy, source_plane.astype(np.uint8)), by_planes)
    colours = np.stack([other] * 3, axis=-1)
    stack = ImageStack(colours, "ZYXS", z_um=z_um)
    np.testing.assert_array_equal(take_planes(stack, source_plane), np.stack([by_planes] * 3, axis=-1))
    np.testing.assert_array_equal(other, before)


@given(st.integers(2, 7), st.booleans(), st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_nearest_planes_are_nearest(count, falling, seed):
    rng = np.random.default_rng(seed)
    z_um = np.cumsum(rng.uniform(0.1, 1, count))[:: -1 if falling else 1]
    peak_um = rng.uniform(z_um.min(), z_um.max(), (4, 5)).astype(np.float32)
    expected = np.abs(z_um[:, None, None] - peak_um).argmin(axis=0)
    np.testing.assert_array_equal(nearest_planes(peak_um, z_um), expected)


def test_where_a_map_says_nothing_the_nearest_place_that_does_decides():
    peak_um = np.full((5, 9), np.nan)
    peak_um[:, 0], peak_um[:, 8] = 0.1, 0.6  # nearest are planes 0 and 3
    planes = nearest_planes(peak_um, [0, 0.2, 0.4, 0.6])
    assert (planes[:, :4] == 0).all()
    assert (planes[:, 5:] == 3).all()
    assert np.isnan(peak_um[0, 4])
    with pytest.raises(ValueError, match=r"shape \(5, 9\) and 0 numbers: give a map \(Y, X\) with some"):
        nearest_planes(peak_um * np.nan, [0, 0.2])


def test_maps_of_something_else_are_refused():
    stack, numbers = np.zeros((3, 20, 30)), np.zeros((20, 30), int)
    with pytest.raises(
        ValueError, match=r"peak_um goes from 0.1 to 0.5, the planes lie from 10 to 11: give the map of"
    ):
        nearest_planes([[0.1, 0.5]], [10, 10.5, 11])
    assert nearest_planes([[9.76, 11.24]], [10, 10.5, 11]).tolist() == [[0, 2]]  # half a step beyond
    with pytest.raises(ValueError, match="from inf to inf"):
        nearest_planes([[np.inf]], [0, 1])
    with pytest.raises(ValueError, match=r"source_plane has shape \(30, 20\), planes have \(20, 30\)"):
        take_planes(stack, numbers.T)
    with pytest.raises(ValueError, match="names planes 0 to 3, the stack has 0 to 2"):
        take_planes(stack, numbers + 3 * np.eye(20, 30, dtype=int))
    with pytest.raises(ValueError, match="names planes -1 to 0"):
        take_planes(stack, numbers - np.eye(20, 30, dtype=int))
    with pytest.raises(TypeError, match="dtype float64: give whole plane numbers; nearest_planes makes them"):
        take_planes(stack, numbers + 0.5)


def test_one_plane_has_a_map_without_confidence(texture):
    peak_um, confidence = focus_map(texture[None], [0.3], window=9)
    np.testing.assert_allclose(peak_um, 0.3)
    assert (confidence == 0).all()
    assert (nearest_planes(peak_um, [0.3]) == 0).all()
    np.testing.assert_array_equal(all_in_focus(texture[None], window=9)[0], texture)


@pytest.mark.parametrize("window", [0, 2.5, 61, True, -3])
def test_wrong_windows_are_refused(window):
    with pytest.raises(ValueError, match=f"window is {window}: give a whole number of pixels, 1 to 60"):
        focus_map(np.zeros((3, 60, 70)), window=window)


def test_maps_refuse_planes_with_holes(texture):
    stack = np.stack([texture] * 3)
    stack[1, 20, 20] = np.nan
    with pytest.raises(ValueError, match="plane 1 has pixels that are not finite"):
        focus_map(stack, window=9)


# --- simulated and real stacks


def test_simulated_defocus_peaks_at_focus(rng):
    cells = 200 - 120 * (ndimage.gaussian_filter(rng.normal(size=(96, 96)), 3) > 0.03)
    z_um = np.arange(-6, 7) * 0.2
    objective = Objective(na=1.05, wavelength_um=0.53, immersion_index=1.515)
    stack = defocus_stack(cells.astype(np.uint8), 0.1, objective, z_um)
    curve = focus_curve(stack)
    assert curve.peak_um == pytest.approx(0, abs=0.02)
    assert curve.asymmetry == pytest.approx(0, abs=0.03)
    assert curve.flags == ()


#: The plane of focus of the yeast, and what each measure says of it.
YEAST_FOCUS = 15
YEAST_FLAGS = {
    "second_difference": ("contrast minimum at focus",),
    "brenner": ("contrast minimum at focus",),
    "tenengrad": ("contrast minimum at focus",),
    "laplacian_variance": ("jagged",),  # noise fills the dip: it is a tenth of the peak deep
    "normalised_variance": ("peak at edge", "jagged", "contrast minimum at focus"),
    "vollath_f4": ("contrast minimum at focus",),
}


@pytest.mark.real_data
@pytest.mark.parametrize("method", MEASURES)
def test_yeast_has_a_contrast_minimum_at_its_focus(real_data, method):
    planes = tifffile.imread(real_data / "focus_stacks" / "yeast_brightfield" / "BF.tif")
    curve = focus_curve(planes, np.arange(len(planes)) * 0.3, method)
    assert curve.flags == YEAST_FLAGS[method]
    if "contrast minimum at focus" in curve.flags:
        assert curve.minimum_index == YEAST_FOCUS
        assert curve.minimum_um == pytest.approx(YEAST_FOCUS * 0.3, abs=0.2)
    else:
        assert curve.minimum_um is None


@pytest.mark.real_data
@pytest.mark.parametrize("method", MEASURES)
def test_mitochondria_peak_at_the_stated_focus(real_data, method):
    paths = sorted((real_data / "focus_stacks" / "mitochondria_fluorescence").glob("*.tif"))
    z_um = [(51 - int(path.stem[-4:])) * 0.05 for path in paths]
    curve = focus_curve(np.stack([tifffile.imread(path) for path in paths]), z_um, method)
    if method == "normalised_variance":  # most light, not most detail: that of what lies below comes in
        assert curve.flags == ("jagged",)
        return
    assert curve.peak_um == pytest.approx(0, abs=0.07)
    assert curve.flags == (("jagged",) if method == "laplacian_variance" else ())


@pytest.mark.real_data
def test_the_documentation_says_what_is_found_in_real_stacks(real_data):
    script = Path(__file__).parents[1] / "docs" / "make_focus_table.py"
    environment = os.environ | {"CELLRESTORE_DATA": str(real_data)}
    done = subprocess.run(
        [sys.executable, script, "--check"], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
