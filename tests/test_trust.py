"""Consistency of a restored image with the measured one, what the data cannot tell, and the spread of a model."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage, stats

from napari_cellrestore.filters import blur
from napari_cellrestore.model import load_model
from napari_cellrestore.objective import Objective
from napari_cellrestore.psf import incoherent_psf
from napari_cellrestore.restore import plan_restoration, restore, restore_stack, restore_with_spread
from napari_cellrestore.stack import ImageStack
from napari_cellrestore.trust import (
    LEGEND,
    TIMES_ASKED,
    consistency_map,
    estimate_noise,
    explaining_kernel,
    judge,
    judge_pair,
    mean_and_spread,
    smallest_told_px,
    turned,
    turned_back,
    unseen_map,
)
from napari_cellrestore.trust.asking import Maker, judge_made, judging, maker_of

LENS = Objective(na=0.25, wavelength_um=0.53)
NOISE = 2.0


@pytest.fixture(scope="module")
def kernel():
    return incoherent_psf((63, 63), 0.3, LENS, 10.0)


@pytest.fixture(scope="module")
def scene():
    rng = np.random.default_rng(3)
    return 120 + 25 * ndimage.gaussian_filter(rng.normal(size=(256, 288)), 3) / 0.09


@pytest.fixture(scope="module")
def measured(scene, kernel):
    return blur(scene, psf=kernel) + np.random.default_rng(4).normal(0, NOISE, scene.shape)


def area_under_curve(positive, negative):
    """Chance that a positive value is above a negative one."""
    ranks = stats.rankdata(np.concatenate([positive, negative]))
    n, m = len(positive), len(negative)
    return (ranks[:n].sum() - n * (n + 1) / 2) / (n * m)


def planted(shape, kernel, strengths, rng, sizes=(4.0, 6.0)):
    """Blobs whose peaks, blurred, are ``strengths`` times the noise; and where they are more than half of that."""
    structure, where = np.zeros(shape), np.zeros(shape, bool)
    y, x = np.mgrid[:61, :61] - 30
    for row in range(30, shape[0] - 30, 62):
        for column in range(30, shape[1] - 30, 62):
            blob = np.exp(-(y**2 + x**2) / 2 / rng.choice(sizes) ** 2)
            seen = blur(blob, psf=kernel)
            part = slice(row - 30, row + 31), slice(column - 30, column + 31)
            structure[part] += rng.choice([-1, 1]) * rng.uniform(*strengths) * NOISE * blob / seen.max()
            where[part] |= seen > 0.5 * seen.max()
    return structure, where


# --- contradiction ---------------------------------------------------------------------------------------------


def test_a_right_restoration_is_in_units_of_the_noise(scene, measured, kernel):
    z = consistency_map(measured, scene, kernel, NOISE)
    assert z.min() >= 0
    assert np.mean(z > 3) < 0.02
    # the larger of two halves of a normal distribution, which belong to nearly the same pixels
    assert np.median(z) == pytest.approx(0.9, abs=0.25)


@pytest.mark.parametrize("size_px", [3.0, 6.0])
def test_one_point_has_the_significance_of_its_average(kernel, size_px):
    """A residual that is a Gaussian of a size has the significance of matched filtering it."""
    y, x = np.mgrid[:161, :161] - 80
    kernel = np.ones((1, 1))  # no blur: widened by 1 / sqrt(4 pi) px only
    width = np.hypot(size_px, 1 / np.sqrt(4 * np.pi))
    residual = np.exp(-(y**2 + x**2) / 2 / width**2)
    z = consistency_map(residual, np.zeros_like(residual), kernel, 0.5)
    expected = np.sqrt(np.sum(residual**2)) / 0.5
    assert z[80, 80] == pytest.approx(expected, rel=0.01)


def test_planted_structures_are_found(scene, measured, kernel):
    structure, where = planted(scene.shape, kernel, (0.3, 0.6), np.random.default_rng(0))
    z = consistency_map(measured, scene + structure, kernel, NOISE)
    clean = ndimage.distance_transform_edt(~where) > 12
    assert area_under_curve(z[where], z[clean]) > 0.95
    strong = consistency_map(measured, scene + 2 * structure, kernel, NOISE)
    assert area_under_curve(strong[where], strong[clean]) > 0.99


def test_structure_beyond_the_cutoff_contradicts_nothing(scene, measured, kernel):
    """A grating that the blur removes leaves the residual as it was; it is what the data cannot tell."""
    grating = 20 * np.cos(np.pi * np.arange(scene.shape[1]) * 0.95) * np.ones((scene.shape[0], 1))
    z, with_grating = (consistency_map(measured, image, kernel, NOISE) for image in (scene, scene + grating))
    inner = (slice(40, -40), slice(40, -40))
    np.testing.assert_allclose(with_grating[inner], z[inner], atol=0.1)
    unseen = unseen_map(scene + grating, kernel, NOISE)
    assert np.median(unseen[inner]) == pytest.approx(20 / np.sqrt(2) / NOISE, rel=0.1)
    assert np.median(unseen_map(scene, kernel, NOISE)[inner]) < 0.3 * np.median(unseen[inner])


def test_colours_count_together(scene, measured, kernel):
    one = consistency_map(measured, scene, kernel, NOISE)
    same = consistency_map(np.stack([measured] * 3, -1), np.stack([scene] * 3, -1), [kernel] * 3, NOISE)
    np.testing.assert_allclose(same, one, rtol=1e-4)
    alpha = np.concatenate([np.stack([measured] * 3, -1), np.full((*scene.shape, 1), 255)], -1)
    np.testing.assert_array_equal(consistency_map(alpha, alpha[..., :4], kernel, NOISE).shape, scene.shape)


def test_noise_may_differ_from_pixel_to_pixel(scene, kernel):
    rng = np.random.default_rng(0)
    noise = np.where(np.arange(scene.shape[1]) < 144, 1.0, 5.0) * np.ones((scene.shape[0], 1))
    image = blur(scene, psf=kernel) + rng.normal(size=scene.shape) * noise
    z = consistency_map(image, scene, kernel, noise)
    assert np.std(z[:, :100]) == pytest.approx(np.std(z[:, -100:]), rel=0.2)
    np.testing.assert_allclose(
        consistency_map(image, scene, kernel, np.full(scene.shape, 2.0)),
        consistency_map(image, scene, kernel, 2.0),
        rtol=0.02,
    )


@given(gain=st.floats(0.1, 10), offset=st.floats(-50, 50))
@settings(max_examples=15, deadline=None)
def test_units_and_offset_do_not_matter(gain, offset):
    rng = np.random.default_rng(0)
    image, restored = rng.normal(100, 5, (2, 40, 44))
    kernel = np.ones((3, 3))
    one = consistency_map(image, restored, kernel, 1.5)
    other = consistency_map(gain * image + offset, gain * restored + offset, 7 * kernel, 1.5 * gain)
    np.testing.assert_allclose(other, one, atol=2e-3)


# --- noise and size --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("std", [0.5, 2.0, 5.0])
def test_noise_is_estimated(scene, kernel, std):
    image = blur(scene, psf=kernel) + np.random.default_rng(1).normal(0, std, scene.shape)
    assert estimate_noise(image) == pytest.approx(std, rel=0.05)
    rounded = np.rint(np.clip(image, 0, 255)).astype(np.uint8)
    assert estimate_noise(rounded) == pytest.approx(np.hypot(std, np.sqrt(1 / 12)), rel=0.05)


def test_rounding_is_noise_too():
    assert estimate_noise(np.full((20, 20), 7, np.uint8)) == pytest.approx(np.sqrt(1 / 12))
    assert estimate_noise(np.full((20, 20), 7.0)) == 0


def test_more_noise_tells_less(scene, kernel):
    sizes = [smallest_told_px(scene, kernel, std) for std in (0.01, 1.0, 20.0)]
    assert sizes == sorted(sizes)
    cutoff_px = 0.3 * LENS.cutoff_per_um  # cycles per pixel
    assert sizes[0] >= 0.5 / cutoff_px * 0.9


# --- judgement -------------------------------------------------------------------------------------------------


def test_judgement_tells_kinds_of_doubt_apart(scene, measured, kernel):
    grating = np.zeros_like(scene)
    grating[:, :80] = 40 * np.cos(np.pi * np.arange(80) * 0.95)
    wrong = np.zeros_like(scene)
    wrong[100:130, 180:210] = 10
    spread = np.zeros_like(scene)
    spread[200:230, 180:210] = 10 * NOISE
    trust = judge(measured, scene + grating + wrong, kernel, spread=spread)
    names = np.array([verdict.name for verdict in LEGEND])[trust.classes]
    assert np.mean(names[110:120, 190:200] == "contradicts") == 1
    assert np.mean(names[205:225, 185:205] == "model unsure") == 1
    assert np.mean(names[20:90, 20:60] == "cannot tell") > 0.95
    assert np.mean(names[20:90, 200:260] == "explained") > 0.9
    assert trust.noise_std == pytest.approx(NOISE, rel=0.1)
    assert sum(trust.shares.values()) == pytest.approx(1)


def test_right_restoration_explains_the_data(scene, measured, kernel):
    trust = judge(measured, scene, kernel)
    assert trust.misfit == pytest.approx(1, abs=0.2)
    assert trust.shares["contradicts"] < 0.02


def test_errors_at_every_edge_are_expected_but_not_planted_ones(scene, measured, kernel):
    """A restoration that is a little too smooth everywhere."""
    smooth = ndimage.gaussian_filter(scene, 2.0)
    structure, where = planted(scene.shape, kernel, (3, 4), np.random.default_rng(0))
    clean = ndimage.distance_transform_edt(~where) > 12
    trust = judge(measured, smooth + structure, kernel)
    assert trust.misfit > 1.5
    assert np.mean(trust.contradiction[clean] > 3) < 0.05
    z = consistency_map(measured, smooth + structure, kernel, NOISE)
    assert (
        area_under_curve(trust.contradiction[where], trust.contradiction[clean])
        > area_under_curve(z[where], z[clean]) - 0.01
    )


def test_what_is_usual_is_subtracted(scene, measured, kernel):
    def method(image):
        return image * 0.97 + 4  # too little contrast, everywhere

    structure, where = planted(scene.shape, kernel, (1, 2), np.random.default_rng(0))
    clean = ndimage.distance_transform_edt(~where) > 12
    restored = method(scene) + structure
    left = blur(restored, psf=kernel) - blur(method(restored), psf=kernel)
    plain = judge(measured, restored, kernel)
    better = judge(measured, restored, kernel, usual=[left[..., None]])
    assert better.misfit < 0.6 * plain.misfit
    assert area_under_curve(better.contradiction[where], better.contradiction[clean]) > area_under_curve(
        plain.contradiction[where], plain.contradiction[clean]
    )


# --- from the pair alone ---------------------------------------------------------------------------------------


def test_the_kernel_that_explains_is_the_blur(scene, kernel):
    """Where the restored image is right it is the true kernel, as far as the scene has structure."""
    wrapped = np.fft.ifft2(np.fft.fft2(scene) * np.fft.fft2(np.fft.ifftshift(padded(kernel, scene.shape)))).real
    found = explaining_kernel(scene, wrapped)
    assert found.sum() == pytest.approx(1)
    expected = padded(kernel, scene.shape)
    residual = blur(scene, psf=found) - blur(scene, psf=kernel)
    assert np.std(residual[30:-30, 30:-30]) < 0.02 * np.std(scene)
    assert np.unravel_index(found.argmax(), found.shape) == np.unravel_index(expected.argmax(), expected.shape)


def padded(kernel, shape):
    """The kernel in the middle of a frame."""
    frame = np.zeros(shape)
    first = [n // 2 - k // 2 for n, k in zip(shape, kernel.shape, strict=True)]
    frame[first[0] : first[0] + kernel.shape[0], first[1] : first[1] + kernel.shape[1]] = kernel
    return frame


def test_a_pair_is_judged_without_knowing_the_blur(scene, measured, kernel):
    wrong = scene.copy()
    wrong[100:130, 180:210] += 6
    trust = judge_pair(measured, wrong)
    assert np.mean(trust.contradiction[108:122, 188:202] > 3) > 0.9
    assert trust.shares["contradicts"] < 0.1
    colours = judge_pair(np.stack([measured] * 3, -1), np.stack([wrong] * 3, -1))
    np.testing.assert_allclose(colours.contradiction, trust.contradiction, rtol=1e-3, atol=1e-3)


def test_a_method_is_asked_for_what_it_usually_leaves(scene, measured):
    asked = []

    def method(image):
        asked.append(image)
        return ndimage.gaussian_filter(np.asarray(image, float), 1)

    recorded = np.uint8(np.clip(np.rint(measured), 0, 255))
    trust = judge_pair(recorded, method(measured), method=method)
    assert len(asked) == 1 + TIMES_ASKED + 8
    assert all(image.dtype == np.uint8 for image in asked[1:])  # as the measured image was
    assert np.array_equal(asked[-1], np.rot90(recorded[:, ::-1], 3))
    assert trust.spread.max() < 1e-5  # a method for which all directions are alike


def test_a_method_that_prefers_a_direction_is_not_sure(scene, measured):
    trust = judge_pair(
        measured, scene, method=lambda image: ndimage.gaussian_filter1d(np.asarray(image, float), 2, axis=1)
    )
    assert np.median(trust.spread) > 0.2


def test_pairs_that_cannot_be_judged(scene, measured):
    with pytest.raises(ValueError, match="has no structure"):
        judge_pair(measured, np.full_like(measured, 7))
    with pytest.raises(ValueError, match="give images of one field and size"):
        judge_pair(measured, scene[:-1])


# --- several results -------------------------------------------------------------------------------------------


@given(rows=st.integers(2, 9), columns=st.integers(2, 9), colours=st.sampled_from([None, 3]))
@settings(max_examples=25, deadline=None)
def test_turning_and_turning_back(rows, columns, colours):
    rng = np.random.default_rng(0)
    image = rng.normal(size=(rows, columns) if colours is None else (rows, columns, colours))
    copies = turned(image)
    assert len({copy.tobytes() + str(copy.shape).encode() for copy in map(np.ascontiguousarray, copies)}) == 8
    for copy in turned_back(copies):
        np.testing.assert_array_equal(copy, image)


def test_mean_and_spread_by_hand():
    mean, spread = mean_and_spread([np.full((2, 2, 3), value) for value in (1, 2, 3)])
    assert np.all(mean == 2)
    assert np.all(spread == 1)


# --- the model that made an image -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def recorded():
    """A part of a smear as the model of the package knows it, (Y, X, 3) uint8."""
    from napari_cellrestore.simulate import DetectorNoise, defocus_stack, draw_smear, smear_objectives

    image = draw_smear((96, 128), 0.1, np.random.default_rng(1))
    return defocus_stack(image, 0.1, smear_objectives(), [0.8], DetectorNoise()).select("Z", 0)


@pytest.mark.parametrize("turned", [False, True])
def test_the_maker_is_asked_as_it_made_the_image(recorded, turned):
    model = load_model("deblur-fast")
    plan = plan_restoration(recorded, model, turned=turned)
    made = restore_stack(recorded, model, plan)
    pair = recorded.data, made.data.compute()
    *steps, trust = judging(*pair, maker_of(made.provenance))
    assert steps == sorted(steps)
    assert steps[-1] == 1
    assert steps[0] == pytest.approx(
        1 / (TIMES_ASKED + (1 if turned else 8))
    )  # images blurred again, copies for the spread
    spread = restore_with_spread(recorded, model, plan_restoration(recorded, model, turned=True))[1].compute()
    np.testing.assert_allclose(trust.spread * trust.noise_std, spread, rtol=1e-4, atol=1e-4)
    asked = judge_pair(
        *pair, method=lambda image: restore(image, model, plan_restoration(image, model, turned=turned)).compute()
    )
    np.testing.assert_allclose(trust.contradiction, asked.contradiction, rtol=1e-4, atol=1e-4)
    assert trust.asked
    assert not judge_pair(*pair).asked


def test_the_range_of_the_plan_is_kept(recorded):
    """An image of 12 bit: its range is what the plan took, not what the image blurred again reaches."""
    maker = Maker((load_model("deblur-fast"),), {"intensity": [0, 4080], "way": "once"})
    deep = recorded.data.astype(np.uint16) * 16
    plan = maker.plan_for(deep // 16, several=True)
    assert (plan.intensity, plan.way, plan.passes) == ((0, 4080), "turned", 8)
    assert maker.plan_for(deep, several=False).way == "once"
    assert Maker(maker.models, {"way": "turned"}).plan_for(deep, several=False).way == "turned"


def test_a_maker_that_cannot_be_found_is_said(recorded):
    made = {"generated": "restored by a: …", "model": "a", "weights_sha256": "0"}
    with pytest.raises(ValueError, match="the model 'a' that made it is not in the list of models any more"):
        maker_of(made)
    with pytest.raises(ValueError, match="the model 'deblur-fast' in the list has other weights"):
        maker_of(made | {"model": "deblur-fast"})
    for strange in ({}, {"model": "deblur-fast"}, {"generated": "map"}):
        with pytest.raises(ValueError, match="does not say which model made it"):
            maker_of(strange)
    with pytest.raises(ValueError, match="one field and size"):
        judge_made(recorded.data, recorded.data[:50], Maker((load_model("deblur-fast"),)))


def test_images_made_by_several_name_them_all(recorded):
    model = load_model("deblur-fast")
    stack = ImageStack(recorded.data, "YXS")
    made = restore_stack(stack, model).provenance
    both = made | {"model": "deblur-fast, gone", "weights_sha256": f"{model.card.weights_sha256}, 1"}
    with pytest.raises(ValueError, match="the model 'gone' that made it is not in the list"):
        maker_of(both)


# --- bad input -------------------------------------------------------------------------------------------------


def test_what_cannot_be_judged(scene, measured, kernel):
    with pytest.raises(ValueError, match=r"measured image has shape \(256, 288\), the restored one \(10, 10\)"):
        consistency_map(measured, scene[:10, :10], kernel, NOISE)
    with pytest.raises(ValueError, match="must be positive"):
        consistency_map(measured, scene, kernel, 0.0)
    with pytest.raises(ValueError, match="one for each pixel"):
        consistency_map(measured, scene, kernel, np.ones((3, 3)))
    with pytest.raises(ValueError, match="2 kernels for 1 colours"):
        consistency_map(measured, scene, [kernel, kernel], NOISE)
    bad = measured.copy()
    bad[3, 4] = np.nan
    with pytest.raises(ValueError, match="the measured image has 1 of"):
        consistency_map(bad, scene, kernel, NOISE)
    with pytest.raises(ValueError, match="the restored image has 1 of"):
        consistency_map(measured, bad, kernel, NOISE)
    with pytest.raises(TypeError, match="dtype complex128"):
        consistency_map(measured.astype(complex), scene, kernel, NOISE)
    with pytest.raises(ValueError, match="noise_std is 0"):
        judge(np.full((30, 30), 5.0), np.full((30, 30), 5.0), kernel[20:43, 20:43])
    before = measured.copy(), scene.copy()
    consistency_map(measured, scene, kernel, NOISE)
    np.testing.assert_array_equal(measured, before[0])
    np.testing.assert_array_equal(scene, before[1])
