"""Images of two microscopes whose places are known: which is which, how exactly they lie on each other, what is refused."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage.io import imread, imsave
from skimage.transform import AffineTransform, warp

from napari_cellrestore.cli import main
from napari_cellrestore.files import open_stack, write_tiff
from napari_cellrestore.pairs import Room, match_folders
from napari_cellrestore.pairs.folders import folder_fields
from napari_cellrestore.simulate import draw_smear
from napari_cellrestore.stack import ImageStack
from napari_cellrestore.transfer import Placement, align_pair, pair_images, save_pair, write_pairs
from napari_cellrestore.transfer import writing as writing_module
from napari_cellrestore.transfer.cells import Cell, find_cells, unlikeness, working_pixel_um
from napari_cellrestore.transfer.folder import Folder
from napari_cellrestore.transfer.judging import Alignment, few_points, implausible
from napari_cellrestore.transfer.matching import CellMatch, Scores, assign, candidates
from napari_cellrestore.transfer.pairing import _of_one_magnification, _pairs
from napari_cellrestore.transfer.parts import cells_beside, tiles_beside
from napari_cellrestore.transfer.planes import plane_of
from napari_cellrestore.transfer.points import fit_points
from napari_cellrestore.transfer.residual import tile_shifts
from napari_cellrestore.transfer.result import ImagePair
from napari_cellrestore.transfer.warping import common_rectangle, warped

PIXEL_UM = 0.2
#: Another microscope: what each of its colours takes of red, green and blue.
COLOURS = np.array([[0.82, 0.10, 0.02], [0.06, 0.85, 0.08], [0.0, 0.12, 0.95]])


def smear(seed, shape=(300, 340)):
    """A drawn smear as a microscope sees it."""
    sharp = draw_smear(shape, PIXEL_UM, np.random.default_rng(seed)).astype(float)
    seen = ndimage.gaussian_filter(sharp, (0.8, 0.8, 0))
    return np.clip(np.rint(seen + np.random.default_rng(seed).normal(0, 1.5, seen.shape)), 0, 255).astype(np.uint8)


def other_microscope(image, turn_deg=3.0, scale=1.02, coarser=1.0, blur_px=0.6, shift=(5, -7), noise=2.0, seed=0):
    """What another microscope shows of the middle of an image, and the place of its pixels in the image."""
    rng = np.random.default_rng(seed)
    whole = np.array(image.shape[:2])
    shape = (0.8 * whole / coarser / scale).astype(int)
    angle = np.radians(turn_deg)
    matrix = scale * coarser * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])  # (y, x)
    place = Placement(matrix, (whole - 1) / 2 + shift - matrix @ ((shape - 1) / 2))
    levels = np.clip(image / 255 @ COLOURS.T * 0.97 + 0.01, 0, 1) ** 1.1
    sigma = np.hypot(blur_px, (coarser - 1) / 2)
    params = np.eye(3)
    params[:2, :2], params[:2, 2] = matrix[::-1, ::-1], place.shift_px[::-1]
    blurred = ndimage.gaussian_filter(levels, (sigma, sigma, 0))
    seen = 255 * warp(blurred, AffineTransform(params), output_shape=tuple(shape), order=3, mode="reflect")
    return np.clip(np.rint(seen + rng.normal(0, noise, seen.shape)), 0, 255).astype(np.uint8), place


def away_px(found, truth, shape):
    """Median and largest distance of two places over an image, in pixels of the target."""
    grid = np.stack(np.meshgrid(*(np.linspace(0, n - 1, 9) for n in shape[:2]), indexing="ij"), -1).reshape(-1, 2)
    distance = np.hypot(*(found(grid) - truth(grid)).T)
    return np.median(distance), distance.max()


@pytest.fixture(scope="module")
def target():
    return smear(1)


@pytest.fixture(scope="module")
def seen(target):
    return other_microscope(target)


@pytest.fixture(scope="module")
def pair(seen, target):
    return align_pair(seen[0], target, input_pixel_um=PIXEL_UM, target_pixel_um=PIXEL_UM)


# --- the map ---------------------------------------------------------------------------------------------------


@given(st.floats(0.2, 5), st.floats(-179, 179), st.floats(-100, 100), st.floats(-100, 100))
@settings(max_examples=25, deadline=None)
def test_a_map_is_taken_apart_into_what_it_was_made_of(scale, turn_deg, dy, dx):
    angle = np.radians(turn_deg)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    place = Placement(scale * turn, np.array([dy, dx]))
    assert place.scale == pytest.approx(scale)
    assert place.rotation_deg == pytest.approx(turn_deg)
    assert place.anisotropy == pytest.approx(1)
    assert place.shear_deg == pytest.approx(0, abs=1e-6)
    assert not place.mirrored
    points = np.array([(3.0, -7.0), (0.0, 11.0)])
    np.testing.assert_allclose(place.inverse()(place(points)), points, atol=1e-9)


def test_shear_scales_and_mirrors_are_seen():
    assert Placement(np.diag([1.0, 1.1]), np.zeros(2)).anisotropy == pytest.approx(1.1)
    sheared = np.array([[1.0, 0.0], [np.sin(np.radians(3)), 1.0]])
    assert Placement(sheared, np.zeros(2)).shear_deg == pytest.approx(np.degrees(np.arctan(np.sin(np.radians(3)))))
    assert Placement(np.diag([1.0, -1.0]), np.zeros(2)).mirrored
    clockwise = Placement(np.array([[0.0, 1.0], [-1.0, 0.0]]), np.zeros(2))
    assert clockwise.rotation_deg == 90
    assert clockwise([0, 2]).tolist() == [2, 0]  # what was on the right is below


@pytest.mark.parametrize(
    ("matrix", "scale", "known", "said"),
    [
        (np.diag([1.0, -1.0]), 1.0, True, "mirror image"),
        (np.array([[1.0, 0.0], [0.06, 1.0]]), 1.0, True, "sheared by 3.4 deg"),
        (np.diag([1.0, 1.05]), 1.0, True, "differ in scale by 5.0 %"),
        (np.diag([1.2, 1.2]), 1.2, True, "scale 1.200 beside the stated pixel sizes"),
        (np.diag([7.0, 7.0]), 7.0, False, "magnification 7.00"),
        (np.diag([5.1, 5.1]), 5.1, False, ""),
        (np.diag([5.1, 5.1]), 1.02, True, ""),
    ],
)
def test_maps_that_no_microscope_makes_are_refused(matrix, scale, known, said):
    reason = implausible(Placement(matrix, np.zeros(2)), scale, known)
    assert said in reason
    assert bool(reason) == bool(said)


def test_too_few_points_are_said_with_their_number():
    assert few_points(12, 40) == ""
    assert few_points(4, 18).startswith("only 4 of 18 points agree")


# --- the grid --------------------------------------------------------------------------------------------------


@given(st.floats(-25, 25), st.floats(0.5, 2), st.floats(-10, 10), st.floats(-10, 10))
@settings(max_examples=25, deadline=None)
def test_the_common_rectangle_is_the_largest_that_both_show(turn_deg, scale, dy, dx):
    angle = np.radians(turn_deg)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    place, shape, other = Placement(scale * turn, np.array([dy, dx])), (23, 30), (20, 26)
    coarser = 1 / scale
    margin = coarser - 1 if coarser > 1.05 else 0.0
    y, x = np.moveaxis(place.inverse()(np.stack(np.indices(other), -1)), -1, 0)
    eps = 1e-9
    inside = (y >= margin - eps) & (y <= shape[0] - 1 - margin + eps)
    inside &= (x >= margin - eps) & (x <= shape[1] - 1 - margin + eps)
    summed = np.pad(inside.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    largest = 0
    for top in range(other[0]):
        for bottom in range(top + 1, other[0] + 1):
            for left in range(other[1]):
                right = np.arange(left + 1, other[1] + 1)
                area = (bottom - top) * (right - left)
                held = summed[bottom, right] - summed[top, right] - summed[bottom, left] + summed[top, left]
                largest = max(largest, int(np.max(area[held == area], initial=0)))
    found = common_rectangle(shape, place, other)
    if found is None:
        assert largest == 0
        return
    assert inside[found].all()
    assert inside[found].size == largest


def test_images_that_are_far_apart_have_nothing_in_common():
    assert common_rectangle((20, 20), Placement(np.eye(2), np.array([30.0, 0.0])), (20, 20)) is None


def test_whole_pixels_are_moved_as_they_are_and_nothing_is_invented(rng):
    image = rng.random((12, 10, 3)).astype(np.float32)
    moved = warped(image, Placement(np.eye(2), np.array([2.0, -3.0])), (12, 10))
    np.testing.assert_allclose(moved[2:, :7], image[:-2, 3:], atol=1e-5)
    assert np.isnan(moved[:2]).all()
    assert np.isnan(moved[:, 7:]).all()


def test_tiles_tell_by_how_much_a_place_is_wrong(target):
    look = plane_of(target, "smear").look()
    wrong = Placement(np.eye(2), np.array([0.6, -0.8]))
    shifts = tile_shifts(look, look, wrong)
    np.testing.assert_allclose(shifts.left_px, 1.0, atol=0.15)
    place, _ = fit_points(shifts.from_px, shifts.to_px, "affine", 0.5)
    assert away_px(place, Placement(np.eye(2), np.zeros(2)), target.shape)[1] < 0.1


# --- two images ------------------------------------------------------------------------------------------------


def test_two_images_come_to_lie_on_each_other(pair, seen, target):
    assert pair.good, pair.reason
    found = pair.alignment
    median, largest = away_px(found.place, seen[1], seen[0].shape)
    assert median < 0.15
    assert largest < 0.4
    assert found.residual_px < 0.3
    assert found.residual_px > 0.5 * median  # it does not promise more than there is
    assert found.scale == pytest.approx(1.02, abs=0.003)
    assert found.rotation_deg == pytest.approx(3.0, abs=0.2)
    assert found.points_px < 1.5
    assert found.inliers >= 12


def test_the_target_keeps_its_pixels_and_the_input_is_interpolated_without_a_border(pair, seen, target):
    np.testing.assert_array_equal(pair.target.data, target[pair.region])
    assert pair.input.data.shape == pair.target.data.shape
    assert pair.input.data.dtype == np.uint8
    assert pair.input.pixel_um == pair.target.pixel_um == PIXEL_UM
    assert pair.input.provenance["paired"]["pixels"] == "interpolated"
    truth = warped(seen[0], seen[1], target.shape[:2])[pair.region]
    assert np.abs(pair.input.data - truth)[np.isfinite(truth)].mean() < 1.5
    assert np.prod(pair.target.yx_shape) > 0.6 * np.prod(seen[0].shape[:2])


def test_the_input_keeps_its_pixels_if_asked_to(seen, target):
    kept = align_pair(seen[0], target, input_pixel_um=0.2, target_pixel_um=0.2, keep="input", transform="similarity")
    assert kept.good
    np.testing.assert_array_equal(kept.input.data, seen[0][kept.region])
    assert kept.target.yx_shape == kept.input.yx_shape
    assert kept.alignment.place.shear_deg == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("known", [True, False])
def test_five_times_coarser_pixels_are_aligned(known):
    sharp = draw_smear((720, 800), 0.1, np.random.default_rng(3)).astype(float)
    fine = np.clip(np.rint(ndimage.gaussian_filter(sharp, (1.5, 1.5, 0))), 0, 255).astype(np.uint8)
    coarse, place = other_microscope(fine, turn_deg=-2, scale=1.0, coarser=5.0, noise=1.0)
    sizes = {"input_pixel_um": 0.5, "target_pixel_um": 0.1} if known else {}
    found = align_pair(coarse, fine, **sizes)
    assert found.good, found.reason
    assert away_px(found.alignment.place, place, coarse.shape)[0] < 1.0  # a fifth of a coarse pixel
    assert found.alignment.scale == pytest.approx(1.0 if known else 5.0, rel=0.01)
    assert found.target.yx_shape == found.input.yx_shape
    assert bool(found.alignment.notes) is not known


def test_turned_images_are_aligned_and_nothing_is_modified(target):
    turned = np.ascontiguousarray(np.rot90(target[20:280, 10:300]))
    before = turned.copy(), target.copy()
    found = align_pair(turned, target, input_pixel_um=0.2, target_pixel_um=0.2)
    assert found.good, found.reason
    assert found.alignment.rotation_deg == pytest.approx(90, abs=0.05)
    assert found.alignment.residual_px < 0.1
    np.testing.assert_array_equal(turned, before[0])
    np.testing.assert_array_equal(target, before[1])


def test_alpha_is_no_colour(seen, target, pair):
    alpha = np.random.default_rng(0).integers(0, 255, (*target.shape[:2], 1)).astype(np.uint8)
    found = align_pair(seen[0], np.concatenate([target, alpha], -1), input_pixel_um=0.2, target_pixel_um=0.2)
    np.testing.assert_array_equal(found.target.data, pair.target.data)
    assert found.alignment.residual_px == pair.alignment.residual_px


def test_grey_images_are_aligned_without_white_cells_and_that_is_said(seen, target):
    found = align_pair(seen[0][..., 1].astype(np.uint16) * 16, target[..., 1])
    assert found.good, found.reason
    assert any("grey: white cells were not looked for" in note for note in found.alignment.notes)
    assert found.input.data.dtype == np.uint16


def test_grey_images_saved_as_colours_are_grey(seen, target):
    grey = np.repeat(seen[0][..., 1:2], 3, axis=-1)
    found = align_pair(grey, target, input_pixel_um=PIXEL_UM, target_pixel_um=PIXEL_UM)
    assert found.good, found.reason
    assert "the input is grey: white cells were not looked for" in found.alignment.notes
    assert found.input.data.shape == found.target.data.shape
    assert find_cells(plane_of(grey, "a"), PIXEL_UM, 0.4).reason.startswith("it is grey, and white cells are found")


def test_other_cells_are_refused(target):
    found = align_pair(smear(8), target, input_pixel_um=0.2, target_pixel_um=0.2)
    assert not found.good
    assert "another cell" in found.reason
    assert found.input is None


def with_moved_cell(image, by):
    """An image whose white cell nearest to the middle is put elsewhere; what lies below it is put where it was."""
    cells = find_cells(plane_of(image, "smear"), PIXEL_UM, 0.4).cells
    y, x = min((cell.at_px for cell in cells), key=lambda at: np.hypot(*(np.array(at) - np.array(image.shape[:2]) / 2)))
    top, left, side = round(y) - 24, round(x) - 24, 48
    moved = image.copy()
    moved[top : top + side, left : left + side] = image[top + 60 : top + 60 + side, left : left + side]
    moved[top : top + side, left + by : left + by + side] = image[top : top + side, left : left + side]
    return moved


@pytest.mark.parametrize("by", [3, 6, 12, 20, 30])
def test_a_white_cell_that_moved_is_refused(target, by):
    seen = other_microscope(with_moved_cell(target, by), shift=(0, 0))[0]
    found = align_pair(seen, target, input_pixel_um=PIXEL_UM, target_pixel_um=PIXEL_UM)
    assert found.reason.startswith("a white cell moved: it lies ")
    assert float(found.reason.split()[6]) == pytest.approx(by, abs=0.6)
    assert found.alignment.residual_px < 1  # the median knows nothing of it
    assert found.target is not None


def test_what_moved_around_the_cells_is_refused_in_grey_images_too(target):
    look = ndimage.gaussian_filter(target[..., 1].astype(float), 1)
    grey = np.roll(look, 14, axis=0)
    grey[:, :230] = look[:, :230]
    found = align_pair(grey, look)
    assert found.alignment.residual_px < 1
    assert found.alignment.residual95_px == pytest.approx(14, abs=1)
    assert "a part moved, or a lens bends straight lines" in found.reason


def test_a_lens_that_bends_straight_lines_is_refused():
    image = smear(3, (320, 360))
    middle = (np.array(image.shape[:2]) - 1) / 2

    def bent(by):
        beside = np.moveaxis(np.indices(image.shape[:2]), 0, -1) - middle
        at = middle + beside * (1 + by * (beside**2).sum(-1, keepdims=True) / (middle**2).sum())
        return np.stack(
            [ndimage.map_coordinates(image[..., k], np.moveaxis(at, -1, 0), mode="nearest") for k in range(3)], -1
        )

    sizes = {"input_pixel_um": PIXEL_UM, "target_pixel_um": PIXEL_UM}
    found = align_pair(bent(0.06), image, **sizes)
    assert found.reason.startswith("residual of 5 % of the tiles ")
    assert found.reason.endswith("px or more (1.5 at most): a part moved, or a lens bends straight lines")
    assert found.alignment.residual_px < 1 < 1.5 < found.alignment.residual95_px
    assert align_pair(bent(0.06), image, residual_limit_px=3.0, **sizes).good
    assert align_pair(bent(0.005), image, **sizes).good


def test_parts_of_true_pairs_lie_at_their_place(seen, target):
    ours, theirs = plane_of(seen[0], "input", PIXEL_UM), plane_of(target, "target", PIXEL_UM)
    smears = find_cells(ours, PIXEL_UM, 0.4), find_cells(theirs, PIXEL_UM, 0.4)
    looks = ours.look(), theirs.look()
    for beside_px in (cells_beside(*looks, seen[1], smears), tiles_beside(*looks, seen[1])):
        assert len(beside_px)
        assert beside_px.max() < 0.7
    back = cells_beside(*looks[::-1], seen[1].inverse(), smears[::-1])
    assert back.max() < 0.7
    wrong = Placement(seen[1].matrix, seen[1].shift_px + np.array([0, 9]))
    assert np.median(cells_beside(*looks, wrong, smears)) == pytest.approx(9, abs=0.5)


def test_a_residual_beyond_the_limit_is_refused(seen, target):
    found = align_pair(seen[0], target, input_pixel_um=0.2, target_pixel_um=0.2, residual_limit_px=0.001)
    assert found.reason.startswith("residual 0.")
    assert found.target is not None  # to be looked at


def test_a_bad_pair_is_not_saved(pair, tmp_path):
    bad = replace(pair, alignment=replace(pair.alignment, reason="residual 3 px"))
    with pytest.raises(ValueError, match="a bad pair is not saved, training would learn from it: residual 3 px"):
        save_pair(bad, tmp_path / "mine", "first")
    assert not list(tmp_path.iterdir())


def test_wrong_pixel_sizes_are_noticed(seen, target):
    found = align_pair(seen[0], target, input_pixel_um=0.3, target_pixel_um=0.2)
    assert "beside the stated pixel sizes" in found.reason


def test_images_without_white_cells_are_refused(target):
    empty = np.full((200, 220, 3), 235, np.uint8)
    assert "input: no white cell found" in align_pair(empty, target, input_pixel_um=0.2, target_pixel_um=0.2).reason


@pytest.mark.parametrize(
    ("image", "options", "error", "said"),
    [
        (np.zeros((3, 64, 64), np.uint8), {}, ValueError, "input: it has shape"),
        (np.zeros((64, 64), complex), {}, TypeError, "input: pixels are complex128"),
        (np.zeros((20, 64), np.uint8), {}, ValueError, "input: it has 20 x 64 px; give 32"),
        (np.full((64, 64), np.nan), {}, ValueError, "input: it has pixels that are not finite"),
        (ImageStack(np.zeros((4, 64, 64)), "ZYX"), {}, ValueError, r"input: it holds several planes \(Z 4\)"),
        (ImageStack(np.zeros((64, 64)), "YX", pixel_um=0.1, pixel_y_um=0.2), {}, ValueError, "pixels of 0.2 x 0.1 um"),
        (np.zeros((64, 64)), {"input_pixel_um": -1}, ValueError, "input: pixel size -1"),
        (np.zeros((64, 64)), {"transform": "rigid"}, ValueError, "unknown transform 'rigid': use one of affine, simil"),
        (np.zeros((64, 64)), {"keep": "both"}, ValueError, "keep is 'both': use 'target' or 'input'"),
        (np.zeros((64, 64)), {"residual_limit_px": 0}, ValueError, "the residual limit is 0 px"),
    ],
)
def test_what_cannot_be_aligned_is_said_in_one_line(image, options, error, said):
    with pytest.raises(error, match=said) as caught:
        align_pair(image, np.zeros((64, 64), np.uint8), **options)
    assert "\n" not in str(caught.value)


def test_images_without_contrast_have_no_points_in_common():
    assert "only 0 of 0 points" in align_pair(np.zeros((64, 64)), np.ones((64, 64))).reason


# --- cells -----------------------------------------------------------------------------------------------------


def test_cells_are_described_alike_by_both_microscopes(target):
    coarse, place = other_microscope(target, coarser=2.5, scale=1.0, noise=0.5)
    ours = find_cells(plane_of(coarse, "b", 0.5), 0.5, 0.5)
    theirs = find_cells(plane_of(target, "a", PIXEL_UM), PIXEL_UM, 0.5)
    whole = [cell for cell in ours.cells if not cell.cut]
    assert whole
    for cell in whole:
        beside = [np.hypot(*(place(cell.at_px) - other.at_px)) for other in theirs.cells]
        assert min(beside) < 4
        assert unlikeness(cell, theirs.cells)[int(np.argmin(beside))] < 1.5


def test_a_working_pixel_is_told_by_nuclei(target):
    assert 0.6 * PIXEL_UM < working_pixel_um([plane_of(target, "a")]) < 1.6 * PIXEL_UM


def test_candidates_are_alike_and_few_and_cut_ones_take_no_place_of_whole_ones():
    cell = Cell((0, 0), 60.0, 30.0, 0.9)
    whole = [Cell((0, 0), 60.0 * k, 30.0 * k**0.5, 0.9) for k in (1.1, 3.0, 1.0, 1.2)]
    cut = [Cell((0, 0), 60.0, 30.0, 0.2, cut=True) for _ in range(5)]
    assert candidates(cell, [*whole, *cut], most=2) == [2, 0, 4, 5]


def scored(values, ours=None):
    rows, columns = np.nonzero(np.isfinite(values))
    n, m = values.shape
    return Scores(ours or [(k, 0) for k in range(n)], [(k, 0) for k in range(m)], rows, columns, values[rows, columns])


def test_the_assignment_is_the_best_of_all_and_not_greedy():
    matches = assign(scored(np.array([[0.9, 0.85], [0.88, np.nan]])))
    assert [(match.image[0], match.target[0]) for match in matches] == [(0, 1), (1, 0)]
    assert matches[0].margin == pytest.approx(-0.05)
    assert matches[0].rival == (0, 0)
    assert matches[0].rival_is_target


def test_what_is_too_unlike_is_not_assigned_and_still_a_rival():
    matches = assign(scored(np.array([[0.9, 0.2], [0.45, 0.1]])))
    assert [(match.image[0], match.target[0], match.next_best) for match in matches] == [(0, 0, 0.45)]
    assert not matches[0].rival_is_target


def test_cells_of_one_image_are_no_rivals():
    values = np.array([[0.9, np.nan], [0.85, np.nan]])
    (match,) = assign(scored(values, ours=[(0, 0), (0, 1)]))
    assert match.next_best == -1
    assert match.rival is None


def test_a_magnification_unlike_the_others_is_another_cell(tmp_path):
    pairs = [
        ImagePair(str(k), tmp_path, tmp_path, 0.9, 0.1, Alignment(scale=scale, known=False))
        for k, scale in enumerate((5.0, 5.02, 4.1, 4.99))
    ]
    assert [pair.good for pair in _of_one_magnification(pairs)] == [True, True, False, True]
    known = [replace(pair, alignment=replace(pair.alignment, known=True)) for pair in pairs]
    assert all(pair.good for pair in _of_one_magnification(known))


# --- folders ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Five smears by both microscopes, names exchanged; one more each, a double, a grey, an empty and a broken one."""
    home = tmp_path_factory.mktemp("slide")
    truth = {}
    for name in ("inputs", "targets"):
        (home / name).mkdir()

    def put(folder, name, pixels):
        write_tiff(home / folder / name, ImageStack(pixels, "YXS" if pixels.ndim == 3 else "YX", pixel_um=PIXEL_UM))

    order = [3, 0, 4, 1, 2]
    for k in range(5):
        image = smear(20 + k, (260, 280))
        seen, place = other_microscope(image, turn_deg=2 * k - 4, scale=(1.0, 1.02)[k % 2], shift=(3, 2 - k), seed=k)
        put("inputs", f"in{order[k]}.tif", seen)
        put("targets", f"t{k}.tif", image)
        truth[f"in{order[k]}.tif"] = f"t{k}.tif", place, seen.shape
    put("inputs", "lonely.tif", smear(40, (220, 240)))
    twice = smear(50, (260, 280))
    put("inputs", "doubtful.tif", other_microscope(twice)[0])
    put("targets", "twin1.tif", twice)
    put("targets", "twin2.tif", twice)
    put("targets", "grey.tif", twice[..., 1])
    put("targets", "empty.tif", np.full((120, 120, 3), 236, np.uint8))
    (home / "inputs" / "broken.png").write_bytes(b"not an image")
    return home, truth


@pytest.fixture(scope="module")
def pairing(folders):
    return pair_images(folders[0] / "inputs", folders[0] / "targets")


def test_images_are_paired_whatever_they_are_called(pairing, folders):
    truth = folders[1]
    assert {pair.input.name: pair.target.name for pair in pairing.good} == {name: t for name, (t, *_) in truth.items()}
    for pair in pairing.good:
        _, place, shape = truth[pair.input.name]
        assert away_px(pair.alignment.place, place, shape)[0] < 0.25
        assert pair.correlation - pair.next_best > 0.1
    assert pairing.compared < pairing.comparable
    assert pairing.notes == []  # all files state their pixel size


def test_a_pixel_size_that_is_not_what_files_state_is_said(folders):
    inputs = folders[0] / "inputs"
    assert Folder(inputs, PIXEL_UM, "input").notes == []
    (note,) = Folder(inputs, 2 * PIXEL_UM, "input").notes
    assert note == f"inputs state pixels of {PIXEL_UM:g} um, {2 * PIXEL_UM:g} um is given for all: that is taken"


def test_names_of_several_pairs_of_an_input_are_no_others(tmp_path):
    ours, theirs = (
        SimpleNamespace(
            of=[tmp_path / name for name in names], paths=[tmp_path / name for name in (*names, "a_02.TIF")]
        )
        for names in (("a.png", "A_01.png", "b.png"), ("x.png", "y.png", "z.png"))
    )
    matched = {at: [CellMatch((at[0], 0), (at[1], 0), 0.9)] for at in ((0, 0), (0, 1), (1, 1), (2, 2))}
    names = [pair.name for pair in _pairs(ours, theirs, matched, 0.1)]
    assert names == ["a_03", "a_04", "A_01", "b"]


def test_targets_of_which_none_could_be_used_are_said_to_be_none(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    image = smear(20, (240, 260))
    imsave(tmp_path / "a" / "0.png", image, check_contrast=False)
    imsave(tmp_path / "b" / "1.png", image[..., 1], check_contrast=False)
    sizes = {"input_pixel_um": PIXEL_UM, "target_pixel_um": PIXEL_UM}
    reasons = {one.input: one.reason for one in pair_images(tmp_path / "a", tmp_path / "b", **sizes).problems}
    assert reasons["0.png"] == "no match: no target could be used"


def test_turned_images_are_found_only_if_asked_for(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    for k in range(2):
        image = smear(20 + k, (240, 260))
        imsave(tmp_path / "a" / f"{k}.png", image, check_contrast=False)
        imsave(tmp_path / "b" / f"{1 - k}.png", np.rot90(image, 2)[4:, 3:], check_contrast=False)
    sizes = {"input_pixel_um": PIXEL_UM, "target_pixel_um": PIXEL_UM}
    found = pair_images(tmp_path / "b", tmp_path / "a", turns_deg=(0, 180), **sizes)
    assert {pair.input.name: pair.target.name for pair in found.good} == {"0.png": "1.png", "1.png": "0.png"}
    assert all(abs(pair.alignment.rotation_deg) > 179.9 for pair in found.good)
    assert not pair_images(tmp_path / "b", tmp_path / "a", **sizes).good


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("lonely.tif", "no match"),
        ("doubtful.tif", "ambiguous: correlation"),
        ("grey.tif", "it is grey, and white cells are found by their colour: give an image in colours"),
        ("empty.tif", "no white cell found"),
        ("broken.png", "it is no TIFF, PNG, JPEG or BMP file"),
    ],
)
def test_every_bad_image_has_its_line(pairing, name, said):
    (problem,) = [one for one in pairing.problems if name in (one.input, one.target)]
    assert said in problem.reason
    assert str(problem).startswith(name)
    assert "\n" not in str(problem)


def test_twins_are_named(pairing):
    (problem,) = [one for one in pairing.problems if one.input == "doubtful.tif"]
    assert {problem.target, *(word for word in problem.reason.split() if word.startswith("twin"))} == {
        "twin1.tif",
        "twin2.tif",
    }
    assert any("belongs to another target" in one.reason for one in pairing.problems)


def test_pairs_are_written_as_training_takes_them(pairing, tmp_path):
    out = write_pairs(pairing, tmp_path / "pairs")
    names = sorted(path.name for path in (out / "input").iterdir())
    assert names == sorted(path.name for path in (out / "target").iterdir()) == [f"in{k}.tif" for k in range(5)]
    for name in names:
        ours, theirs = open_stack(out / "input" / name), open_stack(out / "target" / name)
        assert ours.data.shape == theirs.data.shape
        assert ours.pixel_um == theirs.pixel_um == PIXEL_UM
        assert ours.provenance["paired"]["inliers"] >= 12
    with (out / "pairs.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == [pair.name for pair in pairing.good]
    assert all(0 < float(row["residual_px"]) < 0.4 for row in rows)
    with (out / "problems.csv").open(encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == len(pairing.problems)
    matched, notes = match_folders(out / "input", out / "target")
    fields, shifts = folder_fields(matched, Room())
    assert len(fields) == 5
    assert not notes
    assert not any("do not lie on their targets" in note for note in shifts)
    with pytest.raises(ValueError, match="exists already"):
        write_pairs(pairing, out)


def test_nothing_is_left_of_writing_that_failed(pairing, tmp_path, monkeypatch):
    def fails(*_):
        raise OSError("the disk is full")

    monkeypatch.setattr(writing_module, "_write_table", fails)
    with pytest.raises(OSError, match="disk is full"):
        write_pairs(pairing, tmp_path / "pairs")
    assert not list(tmp_path.iterdir())


def test_there_must_be_a_good_pair(pairing, tmp_path):
    with pytest.raises(ValueError, match="there is no good pair to write"):
        write_pairs(replace(pairing, pairs=[]), tmp_path / "pairs")


def test_pairs_are_added_one_by_one_and_never_written_over(pair, tmp_path):
    for name in ("first", "second"):
        save_pair(pair, tmp_path / "mine", name)
    with pytest.raises(ValueError, match=r"first\.tif: exists already"):
        save_pair(pair, tmp_path / "mine", "first")
    with pytest.raises(ValueError, match="no name of a file"):
        save_pair(pair, tmp_path / "mine", "a/b")
    with (tmp_path / "mine" / "pairs.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == ["first", "second"]
    assert float(rows[0]["residual_px"]) == pytest.approx(pair.alignment.residual_px, abs=1e-4)
    np.testing.assert_array_equal(open_stack(tmp_path / "mine" / "target" / "first.tif").data, pair.target.data)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"turns_deg": ()}, "turns_deg is"),
        ({"margin": 2}, "margin 2: give numbers between 0 and 1"),
        ({"input_pixel_um": 0}, "inputs: pixel size 0"),
        ({"keep": "none"}, "keep is 'none'"),
    ],
)
def test_options_that_cannot_be_are_refused(folders, options, said):
    with pytest.raises(ValueError, match=said):
        pair_images(folders[0] / "inputs", folders[0] / "targets", **options)


def test_folders_that_cannot_be_are_refused(folders, tmp_path):
    home = folders[0]
    with pytest.raises(ValueError, match="there is no such folder"):
        pair_images(home / "nowhere", home / "targets")
    with pytest.raises(ValueError, match=r"broken\.png: it is a file; give a folder of images"):
        pair_images(home / "inputs" / "broken.png", home / "targets")
    with pytest.raises(ValueError, match="both folders are the same"):
        pair_images(home / "targets", home / "targets")
    (tmp_path / "slide.gif").write_bytes(b"")
    with pytest.raises(ValueError, match=r"no images in it, they end in .*; slide\.gif is none"):
        pair_images(tmp_path, home / "targets")
    for suffix in ("png", "jpg"):
        imsave(tmp_path / f"A.{suffix}", np.zeros((40, 40, 3), np.uint8), check_contrast=False)
    with pytest.raises(ValueError, match="have one name"):
        pair_images(tmp_path, home / "targets")


# --- the command -----------------------------------------------------------------------------------------------


def test_the_command_pairs_two_folders(tmp_path, capsys):
    for name in ("b", "a"):
        (tmp_path / name).mkdir()
    for k, seed in enumerate((20, 21)):
        image = smear(seed, (260, 280))
        imsave(tmp_path / "a" / f"x{k}.png", image, check_contrast=False)
        imsave(tmp_path / "b" / f"y{1 - k}.png", other_microscope(image)[0], check_contrast=False)
    words = ["pairs", "transfer", tmp_path / "b", tmp_path / "a", "--out", tmp_path / "out", "--pixel-um", 0.2]
    words += ["--target-pixel-um", 0.2]
    assert main([*map(str, words), "--dry-run", "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {line["input"]: line["target"] for line in lines if "pair" in line} == {
        "y0.png": "x1.png",
        "y1.png": "x0.png",
    }
    assert all(line["good"] and line["residual_px"] < 0.4 for line in lines if "pair" in line)
    assert not (tmp_path / "out").exists()
    assert main([*map(str, words)]) == 0
    said = capsys.readouterr().out
    assert "looking for white cells in inputs: 2 of 2" in said
    assert "2 good pairs of 2 inputs and 2 targets" in said
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"input", "target", "pairs.csv", "problems.csv"}
    assert main([*map(str, words)]) == 2
    assert "exists already" in capsys.readouterr().err
    (tmp_path / "b" / "broken.png").write_bytes(b"no image")
    words[5] = tmp_path / "new"
    assert main([*map(str, words), "--dry-run"]) == 2
    said = capsys.readouterr()
    assert "broken.png" in said.err
    assert "2 good pairs of 3 inputs and 2 targets" in said.out


# --- recorded smears -------------------------------------------------------------------------------------------


@pytest.mark.real_data
@pytest.mark.parametrize("coarser", [1, 5])
def test_recorded_smears_are_paired(real_data, tmp_path, coarser):
    files = sorted((real_data / "blood_smears" / "bccd").glob("*.jpg"))[::38][:8]
    rng, truth = np.random.default_rng(5), {}
    order = rng.permutation(len(files))
    for name in ("inputs", "targets"):
        (tmp_path / name).mkdir()
    for k, path in enumerate(files):
        image = imread(path)
        turn, scale = rng.uniform(-5, 5), rng.choice([1, 1.02])
        blur = 0.8 if coarser == 1 else 0.4
        seen, place = other_microscope(image, turn, scale, coarser, blur, rng.uniform(-12, 12, 2), 3.0, k)
        imsave(tmp_path / "targets" / f"{k}.png", image, check_contrast=False)
        imsave(tmp_path / "inputs" / f"{order[k]}.png", seen, check_contrast=False)
        truth[f"{order[k]}.png"] = f"{k}.png", place, seen.shape
    found = pair_images(tmp_path / "inputs", tmp_path / "targets", input_pixel_um=0.1 * coarser, target_pixel_um=0.1)
    assert {pair.input.name: pair.target.name for pair in found.good} == {name: t for name, (t, *_) in truth.items()}
    errors = [away_px(pair.alignment.place, *truth[pair.input.name][1:])[0] for pair in found.good]
    assert max(errors) < (0.3 if coarser == 1 else 1.0)
    assert max(pair.alignment.residual_px for pair in found.good) < 0.3 * coarser
