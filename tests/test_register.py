from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_cellrestore.files import open_stack
from napari_cellrestore.register import (
    align_stack,
    common_area,
    estimate_shift,
    follow_shifts,
    shift_plane,
    shift_planes,
)
from napari_cellrestore.simulate import DetectorNoise, defocus_planes, draw_smear, quantise, smear_objectives
from napari_cellrestore.stack import ImageStack

Z_UM = np.array([-1.2, -0.8, -0.4, 0.0, 0.4, 0.8, 1.2])
#: Sub-pixel positions of the planes of ``drifting``, against the sharp one.
DRIFT_PX = np.array([[4.3, -5.2], [2.7, -3.1], [1.4, -1.6], [0, 0], [-0.7, 2.2], [-2.5, 3.9], [-3.8, 6.6]])
MARGIN = 24


def texture(seed, shape=(64, 72)):
    return ndimage.gaussian_filter(np.random.default_rng(seed).normal(100, 60, shape), 2)


@pytest.fixture(scope="module")
def drifting():
    """A smear out of focus and moved by Fourier, which the spline of the code under test is not, with camera noise."""
    rng = np.random.default_rng(5)
    smear = draw_smear((320, 336), 0.1, rng)
    planes = []
    for plane, drift in zip(defocus_planes(smear, 0.1, smear_objectives(), list(Z_UM)), DRIFT_PX, strict=True):
        spectrum = np.fft.fft2(plane, axes=(0, 1))
        moved = np.fft.ifft2(ndimage.fourier_shift(spectrum, (*drift, 0)), axes=(0, 1)).real
        seen = moved[MARGIN:-MARGIN, MARGIN:-MARGIN].astype(np.float32)
        planes.append(quantise(DetectorNoise().add(seen, rng), np.dtype(np.uint8)))
    return ImageStack(np.stack(planes), "ZYXS", pixel_um=0.1, z_um=Z_UM, provenance={"scene": "smear"})


# --- known drift


def test_drift_of_a_defocused_stack_is_recovered(drifting):
    before = drifting.data.copy()
    aligned, shifts_px = align_stack(drifting)
    assert np.abs(shifts_px + DRIFT_PX).max() < 0.1
    assert np.array_equal(drifting.data, before)
    _, left = align_stack(aligned, reference=3)
    assert np.abs(left).max() <= 0.1
    assert (aligned.pixel_um, aligned.axes, aligned.data.dtype) == (0.1, "ZYXS", np.uint8)
    assert np.array_equal(aligned.z_um, Z_UM)
    assert aligned.provenance["scene"] == "smear"
    assert aligned.provenance["aligned"]["shifts_px"] == shifts_px.tolist()
    assert np.array_equal(aligned.data[3], drifting.data[3])


def test_aligned_planes_are_nearer_to_the_plane_that_did_not_drift(drifting):
    aligned, shifts_px = align_stack(drifting)
    smear = draw_smear((320, 336), 0.1, np.random.default_rng(5))[MARGIN:-MARGIN, MARGIN:-MARGIN]
    rows, columns = common_area(shifts_px, smear.shape[:2])
    for index in (2, 4):  # little out of focus: what remains of the difference is blur
        error = [float(np.square(data[index][rows, columns] - smear[rows, columns].astype(float)).mean())
                 for data in (drifting.data, aligned.data)]  # fmt: skip
        assert error[1] < error[0] / 2


def test_measured_against_the_neighbour_it_is_recovered_too(drifting):
    _, shifts_px = align_stack(drifting, against="neighbour")
    assert np.abs(shifts_px + DRIFT_PX).max() < 0.25  # errors add up over three planes


def test_whole_pixels_are_exact():
    scene = (texture(1, (136, 136)) * 300).astype(np.uint16)
    moves = [(0, 0), (5, -7), (-20, 12)]
    planes = np.stack([scene[45 - dy : 109 - dy, 30 - dx : 94 - dx] for dy, dx in moves])
    aligned, shifts_px = align_stack(planes, reference=0)
    assert shifts_px.tolist() == [[0, 0], [-5, 7], [20, -12]]
    rows, columns = common_area(shifts_px, (64, 64))
    for plane in aligned:
        assert np.array_equal(plane[rows, columns], planes[0][rows, columns])


def test_a_stack_in_place_stays_as_it_is():
    scene = texture(2)
    planes = np.stack([scene * gain for gain in (0.7, 1.0, 0.9)])
    aligned, shifts_px = align_stack(planes)
    assert not shifts_px.any()
    assert np.array_equal(aligned, planes)
    assert aligned is not planes


@settings(max_examples=20, deadline=None)
@given(st.integers(-9, 9), st.integers(-9, 9), st.integers(0, 5), st.floats(0.2, 5), st.floats(-1000, 1000))
def test_the_shift_turns_round_with_the_images_and_ignores_gain_and_offset(dy, dx, seed, gain, offset):
    scene = texture(seed, (90, 96))
    here, there = scene[12:78, 12:84], scene[12 + dy : 78 + dy, 12 + dx : 84 + dx]
    assert estimate_shift(here, there) == (dy, dx)
    assert estimate_shift(there, here) == (-dy, -dx)
    assert estimate_shift(here, gain * there + offset) == (dy, dx)
    assert estimate_shift(here.T, there.T) == (dx, dy)
    assert estimate_shift(here[::-1], there[::-1]) == (-dy, dx)


def test_another_channel_is_moved_by_the_shifts_of_the_first(drifting):
    part = drifting.select("Z", slice(1, 5))
    aligned, shifts_px = align_stack(part, 2, upsample=5)
    steps = dict(follow_shifts(part, 2, upsample=5))
    assert list(steps) == [3, 1, 0]
    assert [steps.get(number, (0, 0)) for number in range(4)] == [tuple(shift) for shift in shifts_px.tolist()]
    red = part.replace(data=part.data[..., 0], axes="ZYX")
    moved = shift_planes(red, shifts_px)
    assert np.array_equal(moved.data, aligned.data[..., 0])
    assert moved.provenance == {"scene": "smear", "aligned": {"shifts_px": shifts_px.tolist()}}
    lazy = shift_planes(da.from_array(red.data, chunks=(2, 50, 50)), shifts_px)
    assert np.array_equal(lazy.compute(scheduler="synchronous"), moved.data)
    with pytest.raises(ValueError, match=r"shifts_px has shape \(3, 2\): give .* for each of the 4 planes"):
        shift_planes(red, shifts_px[:3])
    with pytest.raises(ValueError, match="finite"):
        shift_planes(red, shifts_px * np.nan)


def test_finer_steps_are_told_apart_by_upsample():
    scene = texture(3)
    moved = ndimage.fourier_shift(np.fft.fft2(scene), (0.26, -1.43))
    image = np.fft.ifft2(moved).real
    assert estimate_shift(scene, image, upsample=1) == (0, 1)
    assert np.abs(np.add(estimate_shift(scene, image, upsample=100), (0.26, -1.43))).max() < 0.02


def test_only_the_green_channel_counts():
    scene = texture(4, (80, 80))
    planes = np.stack([scene[8:72, 8:72], scene[5:69, 9:73]])
    colours = np.stack([texture(8, (2, 64, 64)), planes, texture(9, (2, 64, 64))], -1)
    aligned, shifts_px = align_stack(colours, reference=0)
    assert shifts_px.tolist() == align_stack(planes, reference=0)[1].tolist() == [[0, 0], [-3, 1]]
    assert np.array_equal(aligned[1], shift_plane(colours[1], (-3, 1)))


# --- moving


def test_dask_is_moved_when_asked_and_like_numpy(drifting):
    part = drifting.data[2:5, :96, :100]
    lazy, shifts = align_stack(da.from_array(part, chunks=(2, 50, 50, 3)))
    eager, expected = align_stack(part)
    assert isinstance(lazy, da.Array)
    assert lazy.dtype == np.uint8
    assert np.array_equal(shifts, expected)
    assert np.array_equal(lazy.compute(scheduler="synchronous"), eager)


def test_integers_are_rounded_and_limited_to_their_range():
    edge = np.zeros((20, 20), np.uint8)
    edge[:, 10:] = 255
    moved = shift_plane(edge, (0, 0.5))
    spline = ndimage.shift(edge.astype(float), (0, 0.5), order=3, mode="nearest")
    assert spline.max() > 255.5  # overshoots
    assert np.array_equal(moved, np.clip(np.rint(spline), 0, 255))


def test_a_cubic_polynomial_is_shifted_exactly():
    y, x = np.mgrid[:40.0, :40.0]
    plane = 0.01 * (x - 20) ** 3 - 2 * y
    moved = shift_plane(plane, (0.25, -0.5))
    expected = 0.01 * (x + 0.5 - 20) ** 3 - 2 * (y - 0.25)
    assert np.allclose(moved[15:25, 15:25], expected[15:25, 15:25], atol=1e-4)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.floats(-9, 9), st.floats(-9, 9)), min_size=1, max_size=5))
def test_the_common_area_holds_no_repeated_border(shifts):
    inside = np.ones((30, 32))
    rows, columns = common_area(shifts, inside.shape)
    for shift in shifts:
        moved = ndimage.shift(inside, shift, order=1, mode="constant")
        assert np.allclose(moved[rows, columns], 1, atol=1e-6)


# --- wrong input


def test_one_plane():
    with pytest.raises(ValueError, match="one plane: aligning needs two or more"):
        align_stack(np.ones((1, 20, 20)))


@pytest.mark.parametrize(
    ("value", "message"),
    [(np.nan, r"plane 2: 1 of 4608 pixels are not finite"), (0, r"plane 2: all pixels are 0")],
)
@pytest.mark.parametrize("reference", ["sharpest", 0])
def test_the_plane_that_cannot_be_aligned_is_named(value, message, reference):
    planes = np.stack([texture(1)] * 4)
    planes[2, 3, 4] = value
    if value == 0:
        planes[2] = 0
    with pytest.raises(ValueError, match=message):
        align_stack(planes, reference)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"reference": "brightest"}, ValueError, "unknown reference 'brightest': use 'sharpest' or a plane number"),
        ({"reference": 3}, ValueError, "plane 3 of 3: use 'sharpest' or a plane number from 0 to 2"),
        ({"reference": -1}, ValueError, "plane -1 of 3"),
        ({"reference": 1.0}, TypeError, "reference is 1.0"),
        ({"upsample": 0}, ValueError, "upsample is 0: give a whole number"),
        ({"against": "mean"}, ValueError, "against is 'mean': use 'reference' or 'neighbour'"),
    ],
)
def test_wrong_options(given, error, message):
    with pytest.raises(error, match=message):
        align_stack(np.stack([texture(1)] * 3), **given)


def test_wrong_stacks():
    with pytest.raises(ValueError, match=r"plane 1 has shape \(20, 21\), plane 0 \(20, 20\): give planes of one size"):
        align_stack([np.ones((20, 20)), np.ones((20, 21))])
    with pytest.raises(ValueError, match="axes TYX: planes are aligned along Z"):
        align_stack(ImageStack(np.ones((2, 20, 20)), "TYX"))
    with pytest.raises(ValueError, match=r"shape \(20, 20\): give planes"):
        align_stack(np.ones((20, 20)))
    with pytest.raises(TypeError, match="dtype bool: give grey levels"):
        align_stack(np.ones((2, 20, 20), bool))
    with pytest.raises(ValueError, match=r"image has \(64, 72\) px, the reference \(64, 64\)"):
        estimate_shift(texture(1, (64, 64)), texture(1))
    with pytest.raises(ValueError, match=r"shift of \(40, 0\) px .* less than half"):
        estimate_shift(texture(1), texture(1), start=(40, 0))
    with pytest.raises(ValueError, match=r"nothing in common .*correlation .*leave it out"):
        estimate_shift(draw_smear((96, 96), 0.1, np.random.default_rng(1)), texture(1, (96, 96)))
    with pytest.raises(ValueError, match="leave nothing"):
        common_area([[0, 0], [50, 0]], (40, 40))


# --- real images


@pytest.mark.real_data
def test_unstained_cells_whose_contrast_changes_sign_are_followed_from_neighbour_to_neighbour(real_data):
    stack = open_stack(real_data / "focus_stacks" / "yeast_brightfield" / "BF.tif")
    with pytest.raises(ValueError, match=r"plane \d+: .*contrast changes sign along z, use against='neighbour'"):
        align_stack(stack, 15)
    _, shifts_px = align_stack(stack, 15, against="neighbour")
    assert np.abs(np.diff(shifts_px, axis=0)).max() < 1  # the stage does not jump


@pytest.mark.real_data
def test_two_recordings_of_one_field_are_brought_together(real_data):
    folder = real_data / "focus_stacks" / "yeast_brightfield"
    pair = np.stack([np.asarray(open_stack(folder / name).data) for name in ("T0.tif", "T10.tif")])
    aligned, shifts_px = align_stack(pair, reference=0)
    assert np.abs(shifts_px[1]).max() > 1  # it did drift
    area = common_area(shifts_px, pair.shape[1:])
    left = estimate_shift(aligned[0][area], aligned[1][area], upsample=50)
    assert np.abs(left).max() < 0.2
    near = [np.corrcoef(data[0][area].ravel(), data[1][area].ravel())[0, 1] for data in (pair, aligned)]
    assert near[1] > near[0]
