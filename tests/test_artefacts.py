"""Checkerboards and black spots: closed forms, a network that makes them, and images that have none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage.io import imread

import napari_cellrestore
from napari_cellrestore.artefacts import black_spots, checkerboard_ratios, checkerboard_score
from napari_cellrestore.simulate import draw_smear

DATA = Path(napari_cellrestore.__file__).parent / "data"
INDEX = np.indices((256, 256))
BOARD = (-1.0) ** INDEX.sum(axis=0)


@pytest.fixture(scope="module")
def smear():
    return imread(DATA / "smear.jpg")


def texture(seed):
    rng = np.random.default_rng(seed)
    return 100 + 40 * ndimage.gaussian_filter(rng.normal(size=(256, 256)), 2) * 7 + rng.normal(0, 2, (256, 256))


# --- checkerboard


@given(amplitude=st.floats(0.1, 1.0), seed=st.integers(0, 50))
@settings(max_examples=15, deadline=None)
def test_a_checkerboard_on_noise_scores_as_its_formula_says(amplitude, seed):
    noise = np.random.default_rng(seed).normal(size=(256, 256))
    expected = 1 + 4 / 9 * 32**2 * amplitude**2 / 3
    assert checkerboard_score(noise + amplitude * BOARD) == pytest.approx(expected, rel=0.25)


@pytest.mark.parametrize(
    ("pattern", "at"),
    [(BOARD, (0.5, 0.5)), ((-1.0) ** INDEX[0], (0.5, 0.0)), ((-1.0) ** INDEX[1], (0.0, 0.5))],
    ids=["board", "rows", "columns"],
)
def test_the_frequency_that_repeats_is_named(pattern, at):
    ratios = checkerboard_ratios(texture(0) + pattern)
    assert set(ratios) == {(0.0, 0.5), (0.5, 0.0), (0.5, 0.5)}
    assert ratios.pop(at) > 30
    assert max(ratios.values()) < 2


@pytest.mark.parametrize("stride", [2, 3, 4])
def test_harmonics_of_a_stride_are_all_looked_at(stride):
    comb = 5.0 * ((INDEX[0] % stride == 0) & (INDEX[1] % stride == 0))  # all harmonics alike
    noise = ndimage.gaussian_filter(np.random.default_rng(1).normal(size=(256, 256)), 0.5)
    ratios = checkerboard_ratios(noise + comb, stride)
    pairs = {frozenset(((a, b), (-a % stride, -b % stride))) for a in range(stride) for b in range(stride)}
    assert len(ratios) == len(pairs) - 1  # without frequency 0
    assert min(ratios.values()) > 1.5
    assert checkerboard_score(noise, stride) < 1.2


@given(seed=st.integers(0, 100), stride=st.sampled_from([2, 3, 4]))
@settings(max_examples=15, deadline=None)
def test_noise_and_texture_score_about_one(seed, stride):
    assert checkerboard_score(np.random.default_rng(seed).normal(size=(256, 256)), stride) == pytest.approx(1, abs=0.35)
    assert checkerboard_score(texture(seed), stride) < 1.35


def test_recorded_images_score_about_one(smear):
    planes = tifffile.imread(DATA / "mitochondria.tif")
    assert checkerboard_score(planes[8]) < 1.5
    assert checkerboard_score(smear) < 1.5
    before = smear.copy()
    found = (
        checkerboard_score(smear + 2 * BOARD[: smear.shape[0], : smear.shape[1], None])
        if smear.shape[0] <= 256
        else None
    )
    y, x = np.indices(smear.shape[:2])
    found = checkerboard_score(smear + 2.0 * ((-1.0) ** (y + x))[..., None])
    assert found > 5
    np.testing.assert_array_equal(smear, before)


def test_a_flat_image_scores_one_and_a_faint_board_on_it_very_much():
    assert checkerboard_score(np.full((64, 64), 130.7)) == 1
    assert checkerboard_score(np.zeros((64, 64, 3), np.uint8)) == 1
    assert checkerboard_score(130 + 0.01 * BOARD) > 100


def test_transposed_convolutions_score_higher_than_resize_and_convolution():
    """Random networks of three layers; a kernel of 3 overlaps unevenly at stride 2 (Odena et al. 2016)."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    scores = {"transposed": [], "resize": []}
    for _ in range(3):
        code = torch.rand(1, 8, 36, 36)  # not negative, as behind a ReLU
        up = torch.nn.ConvTranspose2d(8, 8, 3, stride=2)
        end = torch.nn.Conv2d(8, 1, 3)
        enlarged = torch.nn.Upsample(scale_factor=2, mode="nearest")
        smooth = torch.nn.Conv2d(8, 8, 3)
        with torch.no_grad():
            scores["transposed"].append(checkerboard_score(end(torch.relu(up(code)))[0, 0].numpy()))
            scores["resize"].append(checkerboard_score(end(torch.relu(smooth(enlarged(code))))[0, 0].numpy()))
    assert min(scores["transposed"]) > 3 * max(scores["resize"]), scores


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: checkerboard_score(np.zeros((40, 31))), ValueError, "40 x 31 px: a stride of 2 needs 32 px"),
        (lambda: checkerboard_score(np.zeros((40, 40)), 1), ValueError, "stride is 1"),
        (lambda: checkerboard_score(np.zeros((40, 40)), 2.5), ValueError, "stride is 2.5"),
        (lambda: checkerboard_score(np.zeros((40, 40), complex)), TypeError, "complex128"),
        (lambda: checkerboard_score(np.zeros((2, 3, 40, 40))), ValueError, r"shape \(2, 3, 40, 40\)"),
        (lambda: checkerboard_score(np.full((40, 40), np.nan)), ValueError, "1600 of 1600 pixels are not finite"),
        (lambda: black_spots(np.zeros((40, 40)), largest_px=2), ValueError, "largest_px is 2"),
        (
            lambda: black_spots(np.zeros((40, 40)), np.zeros((40, 41))),
            ValueError,
            r"\(40, 40\) px, reference \(40, 41\)",
        ),
        (lambda: black_spots(np.full((40, 40), np.inf)), ValueError, "not finite"),
    ],
)
def test_wrong_input_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


# --- black spots


def with_spots(image, centres, radius=4.0, depth=0.97):
    """Draw soft black spots."""
    y, x = np.indices(image.shape[:2])
    result = image.astype(float)
    for row, column in centres:
        soft = np.clip(radius + 0.5 - np.hypot(y - row, x - column), 0, 1)
        result *= 1 - depth * (soft[..., None] if image.ndim == 3 else soft)
    return np.rint(result).astype(image.dtype)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_drawn_spots_are_found_and_none_else(seed):
    clean = draw_smear((240, 260), 0.1, np.random.default_rng(seed))
    centres = [(40, 50), (120, 200), (200, 90), (5, 240)]
    damaged = with_spots(clean, centres)
    before = damaged.copy()
    assert len(black_spots(clean)) == 0
    for found in (black_spots(damaged), black_spots(damaged, clean)):
        assert len(found) == 4
        np.testing.assert_allclose(sorted(map(tuple, found.centres_px)), sorted(centres), atol=1.2)
        assert np.all((found.area_px > 30) & (found.area_px < 80))  # pi 4^2 = 50
        assert found.contrast.min() > 0.2
        assert set(np.unique(found.labels)) == set(range(5))
        assert [row["label"] for row in found.table] == [1, 2, 3, 4]
    np.testing.assert_array_equal(damaged, before)


def test_a_recorded_smear_has_none_and_spots_drawn_on_it_are_found(smear):
    assert len(black_spots(smear)) == 0
    centres = [(60, 80), (150, 150)]
    found = black_spots(with_spots(smear, centres), smear)
    np.testing.assert_allclose(sorted(map(tuple, found.centres_px)), centres, atol=1.5)


def test_what_the_reference_has_is_no_spot_even_in_other_colours_and_a_little_beside():
    clean = draw_smear((200, 200), 0.1, np.random.default_rng(0))
    dirt, false = [(60, 60)], [(140, 130)]
    reference = (0.6 * with_spots(clean, dirt)[..., ::-1]).astype(np.uint8)
    made = with_spots(np.roll(with_spots(clean, dirt), 1, axis=1), false)
    found = black_spots(made, reference)
    np.testing.assert_allclose(found.centres_px, false, atol=1.2)
    assert len(black_spots(made)) == 2


def test_lines_large_regions_and_dark_grey_are_no_spots():
    image = np.full((120, 120), 200, np.uint8)
    image[10:13, :] = 5  # a scratch
    image[40:90, 40:90] = 5  # a field
    image[100:108, 10:18] = 90  # grey
    image[100, 60] = 0  # a pixel
    assert len(black_spots(image)) == 0
    image[100:106, 90:96] = 20
    (spot,) = black_spots(image).table
    assert spot == {"label": 1, "y_px": 102.5, "x_px": 92.5, "area_px": 36.0, "contrast": pytest.approx(0.9)}
    assert len(black_spots(image, largest_px=5)) == 0
    assert len(black_spots(np.zeros((30, 30)))) == 0


# --- alpha


@pytest.mark.parametrize("opacity", [0, 128, 255])
def test_alpha_is_no_colour(smear, opacity):
    image = smear[:256, :256].copy()
    image[100:106, 100:106] = 5
    board = np.clip(image + 4 * BOARD[:, :, None], 0, 255).astype(np.uint8)
    alpha = np.full(image.shape[:2], opacity, np.uint8)
    alpha[::2, ::2] -= opacity // 2
    found, with_alpha = black_spots(image), black_spots(np.dstack([image, alpha]))
    assert len(found) == len(black_spots(image, np.dstack([image, alpha]))) + 1 == 1
    assert with_alpha.table == found.table
    assert checkerboard_ratios(np.dstack([board, alpha])) == checkerboard_ratios(board)
