"""Shear of bidirectional scans: known shears of real and drawn texture, noise, leaning content, and what cannot be told."""

from __future__ import annotations

from pathlib import Path

import dask.array as da
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage.io import imread

import napari_cellrestore
from napari_cellrestore.filters import FILTERS, undo_scan_shear
from napari_cellrestore.scan_lines import LineOffset, estimate_line_offset, shear_lines, undo_shear
from napari_cellrestore.simulate import bidirectional_shear
from napari_cellrestore.stack import ImageStack


def texture(seed=0, shape=(128, 160)):
    """Detail and coarse structure as images have, mean 100 and standard deviation 40."""
    rng = np.random.default_rng(seed)
    parts = sum(sigma * ndimage.gaussian_filter(rng.normal(size=shape), sigma) for sigma in (1.0, 2.5, 6.0))
    return 100 + 40 * parts / parts.std()


def sheared(image, offset):
    """A shear by splines along x, which are not what the module uses."""
    result = image.copy()
    result[1::2] = ndimage.shift(image[1::2], (0, offset, *[0] * (image.ndim - 2)), order=5, mode="reflect")
    return result


@pytest.fixture(scope="module")
def mitochondria():
    path = Path(napari_cellrestore.__file__).parent / "data" / "mitochondria.tif"
    return tifffile.imread(path).astype(float)


# --- measuring


@given(offset=st.floats(-3, 3), seed=st.integers(0, 50))
@settings(max_examples=25, deadline=None)
def test_a_shear_is_found(offset, seed):
    found = estimate_line_offset(sheared(texture(seed), offset))
    assert found.offset_px == pytest.approx(offset, abs=0.05)
    assert found.found or abs(offset) < 0.05


@given(offset=st.floats(-3, 3), seed=st.integers(0, 50))
@settings(max_examples=25, deadline=None)
def test_a_shear_is_found_in_noise(offset, seed):
    """Of half the standard deviation of the texture, which has most of its power at low frequencies."""
    noise = np.random.default_rng(1000 + seed).normal(0, 20, (128, 160))
    found = estimate_line_offset(sheared(texture(seed), offset) + noise)
    assert found.offset_px == pytest.approx(offset, abs=0.15)
    assert abs(found.offset_px - offset) < 6 * found.error_px
    assert found.error_px < 0.1


def test_a_recorded_image_has_no_shear_and_a_given_one_is_found(mitochondria):
    plane = mitochondria[8]
    none = estimate_line_offset(plane)
    assert abs(none.offset_px) < 0.03
    assert not none.found
    assert none.to_undo_px == 0
    for offset in (-3, -0.6, 1.37):
        found = estimate_line_offset(sheared(plane, offset))
        assert found.offset_px - none.offset_px == pytest.approx(offset, abs=0.03)
        assert found.found


def test_images_without_shear_are_rarely_said_to_have_one():
    rng = np.random.default_rng(5)
    found = [estimate_line_offset(texture(seed) + rng.normal(0, 20, (128, 160))) for seed in range(40)]
    assert sum(one.found for one in found) <= 1
    ratios = [one.offset_px / one.error_px for one in found]
    assert 0.6 < np.std(ratios) < 1.6  # the error says what it should
    clean = [estimate_line_offset(texture(seed)) for seed in range(10)]
    assert max(abs(one.offset_px) for one in clean) < 0.03
    assert not any(one.found for one in clean)


@pytest.mark.parametrize("lean", [-2.0, 0.7, 3.0])
def test_content_that_leans_does_not_look_like_a_shear(lean):
    y, x = np.mgrid[:120, :160]
    profile = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=3000), 1.2)
    fibres = 100 + 300 * np.interp(x - lean * y + 1000, np.arange(3000), profile)
    assert abs(estimate_line_offset(fibres).offset_px) < 0.03
    assert estimate_line_offset(sheared(fibres, 1.4)).offset_px == pytest.approx(1.4, abs=0.05)


def test_planes_and_colours_are_measured_together():
    rng = np.random.default_rng(7777)  # of no texture: its noise would be theirs
    planes = [sheared(texture(seed), 0.8) + rng.normal(0, 60, (128, 160)) for seed in range(6)]
    one, all_of_them = estimate_line_offset(planes[0]), estimate_line_offset(np.stack(planes))
    assert all_of_them.error_px < one.error_px
    assert all_of_them.offset_px == pytest.approx(0.8, abs=0.1)
    same = estimate_line_offset(ImageStack(da.from_array(np.stack(planes)), "ZYX"))
    assert same == all_of_them
    assert estimate_line_offset(planes) == all_of_them
    colours = np.stack(planes[:3], axis=-1)
    by_colour = estimate_line_offset(list(np.moveaxis(colours, -1, 0)))
    assert estimate_line_offset(colours).offset_px == pytest.approx(by_colour.offset_px, abs=1e-6)


def test_first_line_left_off_turns_the_sign_and_gain_does_nothing():
    image = sheared(texture(3), 1.2)
    assert estimate_line_offset(image[1:]).offset_px == pytest.approx(-1.2, abs=0.03)
    assert estimate_line_offset(1000 * image + 7).offset_px == pytest.approx(1.2, abs=0.03)
    assert estimate_line_offset(image.round().astype(np.uint8)).offset_px == pytest.approx(1.2, abs=0.03)


def test_offsets_beyond_those_looked_for_are_said():
    image = sheared(texture(0, (128, 256)), 14)
    assert estimate_line_offset(image, most_px=20).offset_px == pytest.approx(14, abs=0.1)
    beyond = estimate_line_offset(sheared(texture(0, (128, 256)), 5.0), most_px=4.97)
    assert "give it (offset_px)" in beyond.doubt or abs(beyond.offset_px) < 4.97


@pytest.mark.parametrize("shape", [(128, 256), (128, 64)])
@pytest.mark.parametrize("offset", [14, 20, 30, 50])
def test_no_small_offset_is_found_in_an_image_with_a_large_one(offset, shape):
    for seed in range(12):
        rng = np.random.default_rng(seed)
        scene = ndimage.gaussian_filter(rng.normal(100, 300, shape), 2).clip(0, 255)
        found = estimate_line_offset(shear_lines(scene, offset).clip(0, 255))
        assert not found.found
        assert "most_px" not in found.doubt
        assert not found.doubt or "give it (offset_px)" in found.doubt or "noise" in found.doubt


def test_an_offset_in_much_noise_is_not_doubted():
    """Noise of three times the texture makes neighbouring lines unlike, and those of one way too."""
    for seed in range(20):
        noise = np.random.default_rng(1000 + seed).normal(0, 120, (128, 160))
        found = estimate_line_offset(sheared(texture(seed), 3.0) + noise)
        assert not found.doubt
        assert found.offset_px == pytest.approx(3, abs=6 * found.error_px)


@pytest.mark.real_data
def test_offsets_of_recorded_smears_are_found_or_doubted(real_data):
    for path in sorted((real_data / "blood_smears" / "bccd").glob("*.jpg"))[::90][:3]:
        smear = imread(path)[:320, :400].astype(float)
        for offset in (0.5, -4, 8):
            assert estimate_line_offset(shear_lines(smear, offset)).offset_px == pytest.approx(offset, abs=0.1)
        for offset in (15, 30):
            assert not estimate_line_offset(shear_lines(smear, offset)).found


def test_alpha_is_no_colour():
    colours = np.stack([texture(seed) for seed in range(3)], axis=-1)
    alpha = np.where(texture(3) > 100, 255.0, 0.0)
    damaged = np.dstack([sheared(colours, 2.0), alpha])
    without = estimate_line_offset(damaged[..., :3])
    given = [damaged, damaged[None], [damaged], ImageStack(damaged, "YXS"), ImageStack(damaged[None], "ZYXS")]
    assert all(estimate_line_offset(one) == without for one in given)
    np.testing.assert_allclose(undo_scan_shear(damaged)[:, 12:-12, :3], colours[:, 12:-12], atol=3)
    psf = np.ones((3, 3))
    for known in FILTERS.values():
        done = known(np.abs(damaged), **({"psf": psf} if known.needs_psf else {}))
        np.testing.assert_array_equal(done[..., 3], alpha)


@pytest.mark.parametrize(
    ("image", "doubt"),
    [
        (np.full((64, 64), 7), "no contrast along the lines"),
        (np.arange(64)[:, None] + np.zeros((1, 64)), "no contrast along the lines"),
        (np.random.default_rng(0).normal(size=(64, 200)), "nothing in common but noise"),
        (texture()[:31], "31 lines of 160 px tell too little, 32 of 32"),
        (texture()[:, :20], "128 lines of 20 px"),
    ],
    ids=["flat", "one level a line", "noise", "few lines", "short lines"],
)
def test_what_cannot_be_told_is_said(image, doubt):
    found = estimate_line_offset(image)
    assert doubt in found.doubt
    assert np.isnan(found.offset_px)
    assert not found.found
    assert found.to_undo_px == 0
    assert str(found) == f"shear not measured: {found.doubt}"


def test_a_result_says_what_it_is():
    assert str(LineOffset(1.5, 0.02)) == "shear of 1.50 ± 0.02 px"
    assert str(LineOffset(0.05, 0.02)) == "no shear found (0.05 ± 0.02 px)"
    assert not LineOffset(0.015, 0.0001).found  # too small to show


# --- undoing


@given(offset=st.floats(-3, 3), seed=st.integers(0, 50))
@settings(max_examples=25, deadline=None)
def test_undoing_gives_the_original_back(offset, seed):
    image = texture(seed)
    inside = (slice(None), slice(12, -12))
    back = undo_shear(sheared(image, offset), offset)
    np.testing.assert_allclose(back[inside], image[inside], atol=3)  # what splines lose of the finest detail
    assert np.std((back - image)[inside]) < 0.4  # of 40 grey levels
    again = undo_shear(bidirectional_shear(image, offset), offset)
    np.testing.assert_allclose(again[inside], image[inside], atol=0.5)


def test_lines_that_stay_are_not_touched_and_inputs_neither():
    image = np.random.default_rng(0).integers(0, 255, (9, 40, 3)).astype(np.uint8)
    before = image.copy()
    moved = shear_lines(image, 0.5)
    np.testing.assert_array_equal(image, before)
    np.testing.assert_array_equal(moved[::2], image[::2])
    assert moved.dtype == np.float32
    assert shear_lines(image.astype(np.int32), 0.5).dtype == np.float64
    assert not np.shares_memory(undo_shear(moved, 0), moved)


def test_sharpness_and_noise_of_moved_lines_are_those_of_the_others():
    noise = np.random.default_rng(0).normal(size=(400, 256))
    moved = shear_lines(noise, 0.5)
    assert moved[1::2].std() == pytest.approx(noise[1::2].std(), rel=0.01)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: estimate_line_offset(np.zeros((40, 40), complex)), TypeError, "complex128"),
        (lambda: estimate_line_offset(np.zeros(40)), ValueError, r"shape \(40,\): give \(Y, X\)"),
        (lambda: estimate_line_offset(np.zeros((2, 2, 2, 40, 40))), ValueError, r"shape \(2, 2, 2, 40, 40\)"),
        (lambda: estimate_line_offset([np.zeros((40, 40)), np.zeros((40, 41))]), ValueError, "different sizes"),
        (lambda: estimate_line_offset([]), ValueError, "0 images"),
        (lambda: estimate_line_offset(texture(), most_px=0), ValueError, "most_px is 0"),
        (lambda: estimate_line_offset(np.where(texture() > 200, np.nan, 1)), ValueError, "not finite"),
        (lambda: undo_shear(np.zeros((4, 5)), 6), ValueError, "offset_px is -6: .* at most the 5"),
        (lambda: shear_lines(np.zeros((2, 3, 4, 5)), 1), ValueError, r"shape \(2, 3, 4, 5\)"),
    ],
)
def test_wrong_input_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


# --- the filter


def test_the_filter_measures_all_colours_once_and_leaves_good_images_as_they_are():
    colours = np.stack([texture(seed) for seed in range(3)], axis=-1)
    damaged = sheared(colours, 2.3)
    undone = undo_scan_shear(damaged)
    np.testing.assert_allclose(undone[:, 12:-12], colours[:, 12:-12], atol=3)
    offset = estimate_line_offset(damaged.astype(np.float32)).offset_px
    np.testing.assert_allclose(undone, undo_shear(damaged.astype(np.float32), offset), atol=1e-3)
    np.testing.assert_array_equal(undo_scan_shear(colours), colours.astype(np.float32))
    np.testing.assert_array_equal(undo_scan_shear(damaged, offset_px=0), damaged.astype(np.float32))
    assert FILTERS["undo_scan_shear"](damaged, offset_px=2.3).shape == colours.shape
