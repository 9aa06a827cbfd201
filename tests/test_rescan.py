from __future__ import annotations

import csv
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage.feature import match_template
from skimage.metrics import structural_similarity

from napari_cellrestore.files import open_stack, write_tiff
from napari_cellrestore.files.zarr.writing import write_zarr
from napari_cellrestore.leds import LedTable, arm_leds, choose
from napari_cellrestore.rescan import (
    CellPair,
    FieldPairs,
    Similarity,
    accentuated,
    bright_plane,
    correlation_map,
    cut_inputs,
    cut_target,
    find_scans,
    find_white_cells,
    fit_similarity,
    judge,
    match_cell,
    match_field,
    pair_field,
    pair_scans,
    resample,
    shifted_planes,
    ssim_shifts,
    write_pairs,
)
from napari_cellrestore.simulate import WULFF_2022, DetectorNoise, blood_phantom, led_stack
from napari_cellrestore.stack import ImageStack

PIXEL_UM = 0.25
SHAPE = (300, 340)
#: Where the unstained scan lies on the slide.
UNSTAINED_AT = Similarity(shift_um=(6, 6))
LEDS = LedTable(
    index=[-1, 0, 1, 2, 3, 4, 5, 6],
    polar_deg=[0, 8, 8, 8, 40, 40, 40, 40],
    azimuth_deg=[0, 0, 120, 240, 0, 90, 180, 270],
    kind=["brightfield"] + ["point"] * 3 + ["darkfield"] * 4,
)


class Slide:
    """Red and white cells at known places, drawn anew for each scan: shifts of parts of a pixel are exact."""

    def __init__(self, seed, size_um=(90, 100)):
        rng = np.random.default_rng(seed)
        self.cells = []
        size = np.asarray(size_um, float)
        for kind, radius, area_um2 in (("white", 5.5, 700.0), ("red", 3.6, 95.0)):
            margin = 20 if kind == "white" else -5
            for _ in range(int(size.prod() / area_um2) * 12):
                at = rng.uniform(margin, size - margin)
                if all(np.hypot(*(at - cell["at"])) > radius + cell["radius"] for cell in self.cells):
                    turn = rng.uniform(0, 2 * np.pi)
                    lobes = [(turn + 1.3 * k, rng.uniform(1.6, 2.1)) for k in range(int(rng.integers(2, 5)))]
                    wobble = [(k, rng.normal(0, 0.05 / k), rng.uniform(0, 6.3)) for k in (2, 3, 4)]
                    radius_um = radius * rng.uniform(0.93, 1.0)
                    self.cells.append({"kind": kind, "at": at, "radius": radius_um, "lobes": lobes, "wobble": wobble})
        self.white_um = np.array([cell["at"] for cell in self.cells if cell["kind"] == "white"])

    def thickness_um(self, shape, pixel_um, place):
        """Red cells, plasm and nuclei on the pixels of a scan; ``place`` maps its micrometres to those of the slide."""
        red, plasm, nucleus = (np.zeros(shape, np.float32) for _ in range(3))
        for cell in self.cells:
            centre = place.inverse()(cell["at"]) / pixel_um
            reach = 1.5 * cell["radius"] / pixel_um
            low, high = (np.clip(centre + side, 0, shape).astype(int) for side in (-reach, reach))
            if (low == high).any():
                continue
            part = slice(low[0], high[0]), slice(low[1], high[1])
            grid = np.stack(np.mgrid[part], -1) * pixel_um
            y, x = np.moveaxis(place(grid) - cell["at"], -1, 0)
            angle = np.arctan2(y, x)
            uneven = 1 + sum(size * np.cos(k * angle + phase) for k, size, phase in cell["wobble"])
            q = np.hypot(y, x) / (cell["radius"] * uneven)
            body = np.clip((1 - q) * cell["radius"] / pixel_um + 0.5, 0, 1)
            if cell["kind"] == "red":
                square = np.clip(q, 0, 1) ** 2
                red[part] += body * np.sqrt(1 - square) * (0.81 + 7.83 * square - 4.39 * square**2)
                continue
            plasm[part] += 3 * body * np.sqrt(np.clip(1 - q**2, 0, 1))
            for turn, radius in cell["lobes"]:
                away = np.hypot(y - 2.3 * np.sin(turn), x - 2.3 * np.cos(turn))
                nucleus[part] = np.maximum(nucleus[part], 2.5 * np.clip((radius - away) / pixel_um + 0.5, 0, 1))
        return red, plasm, nucleus

    def unstained(self, rng, *, place=UNSTAINED_AT, shape=SHAPE, tilt=(0, 0), dark=None, bend_um=1.5):
        """Bright or dark field of cells that refract; their rims are bright or, with a negative ``bend_um``, dark."""
        red, plasm, nucleus = self.thickness_um(shape, PIXEL_UM, place)
        path = ndimage.gaussian_filter(0.06 * red + 0.035 * plasm + 0.03 * nucleus, 1.2)
        slope = np.stack(np.gradient(path, PIXEL_UM))
        image = 215 * (1 - bend_um * ndimage.laplace(path) / PIXEL_UM**2 + np.tensordot(tilt, slope, 1))
        if dark is not None:
            image = 30 + 900 * np.maximum(np.tensordot(dark, slope, 1), 0) + 200 * np.hypot(*slope)
        colours = image[..., None] * np.exp(-np.multiply.outer(red, [0.01, 0.035, 0.06]))
        return camera(ndimage.gaussian_filter(colours, (1.2, 1.2, 0)), rng)

    def led_stack(self, rng, **options):
        planes = [self.unstained(rng, **options)]
        planes += [self.unstained(rng, tilt=0.15 * np.array([np.sin(a), np.cos(a)]), **options) for a in (0, 2.1, 4.2)]
        planes += [self.unstained(rng, dark=d, **options) for d in ((0, 1), (1, 0), (0, -1), (-1, 0))]
        return ImageStack(np.stack(planes), "AYXS", pixel_um=PIXEL_UM, leds=LEDS)

    def stained(self, rng, place, *, shape=SHAPE, pixel_um=PIXEL_UM, blur_um=0.3):
        red, plasm, nucleus = self.thickness_um(shape, pixel_um, place)
        density = np.multiply.outer(red, [0.035, 0.155, 0.10]) + np.multiply.outer(nucleus, [0.29, 0.5, 0.14])
        density += np.multiply.outer(plasm * (nucleus == 0), [0.033, 0.073, 0.01])
        light = np.array([238, 236, 229]) * np.exp(-density)
        return camera(ndimage.gaussian_filter(light, (blur_um / pixel_um, blur_um / pixel_um, 0)), rng)


def camera(light, rng):
    return np.clip(np.rint(light + rng.normal(0, 1.2, light.shape)), 0, 255).astype(np.uint8)


def as_stack(stained, pixel_um=PIXEL_UM):
    return ImageStack(stained, "YXS", pixel_um=pixel_um)


@pytest.fixture(scope="module")
def slide():
    return Slide(1)


@pytest.fixture(scope="module")
def lit(slide):
    return slide.led_stack(np.random.default_rng(2))


#: Where the stained scan lies on the slide, and so in the unstained one.
STAINED_AT = Similarity(1.006, 1.4, (7.3, 4.6))
TRUTH = UNSTAINED_AT.inverse().after(STAINED_AT)


@pytest.fixture(scope="module")
def stained(slide):
    return slide.stained(np.random.default_rng(3), STAINED_AT)


@pytest.fixture(scope="module")
def paired(lit, stained):
    return pair_field(lit, as_stack(stained), "one")


def errors_px(place, truth=TRUTH):
    points = np.array([(y, x) for y in (10, 35, 65) for x in (10, 40, 75)], float)
    return np.hypot(*(place(points) - truth(points)).T) / PIXEL_UM


# --- similarity


@settings(max_examples=25, deadline=None)
@given(st.floats(0.8, 1.25), st.floats(-170, 170), st.floats(-50, 50), st.floats(-50, 50))
def test_similarities_are_undone_and_joined(scale, rotation_deg, down, right):
    one, two = Similarity(scale, rotation_deg, (down, right)), Similarity(0.9, 20, (3, -1))
    points = np.array([[0, 0], [10, -3], [4.5, 70]])
    assert np.allclose(one.inverse()(one(points)), points)
    assert np.allclose(two.after(one)(points), two(one(points)))
    distances = np.hypot(*(one(points)[1:] - one(points)[:-1]).T)
    assert np.allclose(distances, scale * np.hypot(*(points[1:] - points[:-1]).T))


def test_a_turn_goes_from_columns_to_rows():
    assert np.allclose(Similarity(rotation_deg=90)([0, 1]), [1, 0])


@settings(max_examples=20, deadline=None)
@given(st.floats(0.97, 1.03), st.floats(-4, 4), st.integers(0, 9))
def test_a_fit_bears_two_fifths_of_wrong_points(scale, rotation_deg, seed):
    rng = np.random.default_rng(seed)
    truth = Similarity(scale, rotation_deg, (5, -8))
    here = rng.uniform(0, 200, (30, 2))
    there = truth(here) + rng.normal(0, 0.02, here.shape)
    there[:12] += rng.uniform(2, 9, (12, 2))
    found, agree = fit_similarity(here, there, near_um=0.3)
    assert not agree[:12].any()
    assert agree[12:].all()
    assert found.scale == pytest.approx(scale, abs=5e-4)
    assert found.rotation_deg == pytest.approx(rotation_deg, abs=0.03)


def test_few_points_give_a_shift_only():
    here = np.array([[0, 0], [10, 0], [0, 10], [7, 7]], float)
    found, agree = fit_similarity(here, 1.1 * here + [2, 3], near_um=0.6)
    assert (found.scale, found.rotation_deg) == (1, 0)
    assert found.shift_um == pytest.approx((2.35, 3.35))
    assert agree.tolist() == [True, False, False, True]
    with pytest.raises(ValueError, match="0 points for 0: give one for each, and at least one"):
        fit_similarity(np.zeros((0, 2)), np.zeros((0, 2)), near_um=1)


# --- correlation


def test_correlation_is_that_of_scikit_image_where_one_lies_within_the_other(rng):
    scene, part = rng.random((40, 50)), rng.random((13, 11))
    found, overlap = correlation_map(scene, part)
    inside = slice(12, 40), slice(10, 50)
    assert np.allclose(found[inside], match_template(scene, part))
    assert (overlap[inside] == 13 * 11).all()


def test_correlation_of_what_overlaps_by_hand(rng):
    ours, theirs = rng.random((12, 14)), rng.random((10, 9))
    theirs[:3, :4] = np.nan
    found, overlap = correlation_map(ours, theirs, least_overlap=0.2)
    # moved 4 up and 3 right
    here, there = ours[:6, 3:12], theirs[4:]
    assert found[-4 + 9, 3 + 8] == pytest.approx(np.corrcoef(here.ravel(), there.ravel())[0, 1])
    # moved 8 down, 6 right: NaN are not there
    here, there = ours[8:, 6:14], theirs[:4, :8]
    seen = np.isfinite(there)
    assert overlap[8 + 9, 6 + 8] == seen.sum()
    assert found[8 + 9, 6 + 8] == pytest.approx(np.corrcoef(here[seen], there[seen])[0, 1])
    assert np.isnan(found[0, 0])


def test_correlation_needs_pixels():
    with pytest.raises(ValueError, match="no pixels that are finite"):
        correlation_map(np.ones((5, 5)), np.full((3, 3), np.nan))


# --- fine match


def test_similarity_at_every_shift_is_that_of_scikit_image(rng):
    wide, crop = rng.random((26, 26)), rng.random((20, 20))
    found = ssim_shifts(wide, crop)
    for dy, dx in np.ndindex(7, 7):
        there = wide[dy : dy + 20, dx : dx + 20]
        assert found[dy, dx] == pytest.approx(structural_similarity(there, crop, data_range=1))


def test_a_crop_must_fit_in_the_wide_image():
    with pytest.raises(ValueError, match=r"a crop of \(20, 20\) px in \(26, 30\) px"):
        ssim_shifts(np.zeros((26, 30)), np.zeros((20, 20)))


def test_parts_of_a_pixel_and_the_end_of_the_search():
    scene = ndimage.gaussian_filter(np.random.default_rng(0).random((60, 60)), 2)
    scene = (scene - scene.min()) / np.ptp(scene)
    moved = ndimage.shift(scene, (1.4, -2.6), order=5, mode="reflect")
    found = match_cell(moved[5:55, 5:55], scene[10:50, 10:50], subpixel=True)
    assert found.shift_px == pytest.approx((1.4, -2.6), abs=0.1)
    assert not found.at_edge
    assert match_cell(moved[5:55, 5:55], scene[10:50, 10:50]).shift_px == (1, -3)
    assert match_cell(scene[10:60, 10:60], scene[9:49, 15:55]).at_edge  # 6 px are not looked at


# --- looks


def test_accentuating_makes_rims_and_leaves_flat_parts():
    step = np.repeat([[100.0] * 30 + [200.0] * 30], 40, axis=0)
    rims = accentuated(step)
    assert rims[:, :15] == pytest.approx(100, abs=0.3)  # the Laplacian of scipy is cut off at 4 widths
    assert rims.min() < 80  # dark rim on the dark side
    assert rims.max() > 220
    assert step.min() == 100


def test_resampling_of_a_ramp_is_exact_and_leaves_the_image():
    ramp = np.add.outer(3.0 * np.arange(60), 2.0 * np.arange(70))
    before = ramp.copy()
    place = Similarity(1.05, 10, (-2, -1))
    found = resample(ramp, 0.2, place, 0.25, (20, 22))
    at = place.inverse()(np.stack(np.mgrid[:20, :22], -1) * 0.25) / 0.2
    expected = 3 * at[..., 0] + 2 * at[..., 1]
    inner = np.isfinite(found)
    assert inner.mean() > 0.5
    assert np.allclose(found[inner], expected[inner], atol=0.02)
    assert (ramp == before).all()


def test_coarser_pixels_are_means_not_samples(rng):
    noise = rng.normal(0, 10, (400, 400))
    found = resample(noise, 0.05, Similarity(), 0.25, (80, 80))
    assert np.nanstd(found) < 4  # samples would have 10


# --- white cells


def violet_disc(image, y, x, radius, colour=(90, 50, 150)):
    rows, columns = np.ogrid[: image.shape[0], : image.shape[1]]
    image[(rows - y) ** 2 + (columns - x) ** 2 <= radius**2] = colour


def test_lobes_are_one_cell_platelets_none_and_clumps_apart():
    smear = np.full((200, 300, 3), 230, np.uint8)
    violet_disc(smear, 50, 50, 10)
    violet_disc(smear, 50, 75, 10)  # 5 px of 0.25 um between them: one nucleus
    violet_disc(smear, 50, 200, 10)  # another cell
    violet_disc(smear, 120, 50, 5)  # 5 um2, a platelet
    violet_disc(smear, 130, 200, 55)  # 590 um2
    violet_disc(smear, 180, 50, 8, (230, 120, 120))  # red cell
    cells, clumps = find_white_cells(smear, PIXEL_UM)
    assert np.allclose([cell.centroid_px for cell in cells], [(50, 62.5), (50, 200)], atol=0.5)
    assert cells[1].area_um2 == pytest.approx(np.pi * 2.5**2, rel=0.05)
    assert cells[1].centroid_um == pytest.approx((12.5, 50))
    assert np.allclose([clump.centroid_px for clump in clumps], [(130, 200)])
    assert len(find_white_cells(smear, PIXEL_UM, closing_um=0.2, smallest_um2=2)[0]) == 4


def test_a_range_of_hues_may_go_through_red():
    smear = np.full((60, 60, 3), 230, np.uint8)
    violet_disc(smear, 30, 30, 12, (200, 40, 60))  # hue 352
    assert find_white_cells(smear, PIXEL_UM) == ([], [])
    assert len(find_white_cells(smear, PIXEL_UM, hue_deg=(340, 10))[0]) == 1


def test_white_cells_need_colours_and_sizes():
    with pytest.raises(ValueError, match=r"shape \(60, 60\): white cells are found by colour"):
        find_white_cells(np.zeros((60, 60)), PIXEL_UM)
    with pytest.raises(ValueError, match="areas 50 to 20 um2"):
        find_white_cells(np.zeros((60, 60, 3)), PIXEL_UM, smallest_um2=50, largest_um2=20)


@pytest.mark.real_data
def test_white_cells_of_smears_of_a_laboratory(real_data):
    """Of the 10 cells in 10 smears of about 0.1 um/px at least 9 are found by the colours that are the default."""
    import xml.etree.ElementTree as ET

    from skimage.io import imread

    hits = wanted = 0
    for path in sorted((real_data / "blood_smears" / "bccd").glob("*.xml"))[1:40:4]:
        boxes = [box for box in ET.parse(path).getroot().iter("object") if box.findtext("name") == "WBC"]
        cells, large = find_white_cells(imread(path.with_suffix(".jpg")), 0.1)
        for box in boxes:
            top, left, bottom, right = (int(box.findtext(f"bndbox/{k}")) for k in ("ymin", "xmin", "ymax", "xmax"))
            at = [cell.centroid_px for cell in (*cells, *large)]
            hits += any(top <= y <= bottom and left <= x <= right for y, x in at)
            wanted += 1
    assert wanted >= 9
    assert hits >= wanted - 1


# --- planes of an LED stack


def test_bright_field_is_the_plane_of_all_leds_or_the_mean_of_those_inside():
    levels = np.array([7, 10, 30, 90], np.uint8)[:, None, None] * np.ones((1, 4, 4), np.uint8)
    leds = LedTable(index=[-1, 0, 1, 2], polar_deg=[0, 5, 9, 50], azimuth_deg=0, kind=["brightfield"] + ["point"] * 3)
    stack = ImageStack(levels, "AYX", leds=leds)
    assert (bright_plane(stack, 0.4) == 7).all()
    assert (bright_plane(stack.select("A", slice(1, 4)), 0.4) == 20).all()
    with pytest.raises(ValueError, match=r"no LED inside the aperture \(NA 0.4, 23.6 deg\): angles begin at 50"):
        bright_plane(stack.select("A", slice(3, 4)), 0.4)
    with pytest.raises(ValueError, match="has no LED table"):
        bright_plane(stack.replace(leds=None), 0.4)


def test_planes_that_lie_on_each_other_are_not_listed(lit):
    assert list(shifted_planes(lit, 0.4)) == []


@pytest.mark.parametrize("defocus_um", [0, 2])
def test_what_defocus_moves_is_in_register(defocus_um):
    leds = choose(arm_leds(), "18deg")
    sample = blood_phantom((256, 256), 0.125, seed=0, white_per_mm2=1500)
    lit = led_stack(
        *(sample.transmission(), 0.125, WULFF_2022, leds),
        **{"dtype": np.uint8, "level": 120, "noise": DetectorNoise(0.01), "defocus_um": defocus_um, "step": 2},
    )
    assert list(shifted_planes(lit, 0.4)) == []
    planes = lit.data.copy()
    planes[7] = np.roll(planes[7], 3, axis=1)
    assert [found.planes for found in shifted_planes(lit.replace(data=planes), 0.4)] == [(7,)]


def test_a_dark_led_whose_exposures_all_moved_and_an_empty_plane_are_told():
    leds = arm_leds()
    sample = blood_phantom((384, 384), 0.125, seed=0, white_per_mm2=1500)
    lit = led_stack(sample.transmission(), 0.125, WULFF_2022, leds, level=120, high_over_low=2.5, step=2)
    assert list(shifted_planes(lit, 0.4)) == []
    planes = lit.data.copy()
    rows = np.flatnonzero(leds.index == 14)
    planes[rows] = np.roll(planes[rows], 8, axis=1)
    planes[70] = 3
    empty, *moved = shifted_planes(lit.replace(data=planes), 0.4)
    assert str(empty) == "plane 70 has nothing in it, all its pixels are the same"
    assert [found.planes for found in moved] == [(row,) for row in rows]
    assert all(found.shift_px == pytest.approx((-8, 0), abs=1) for found in moved)
    planes[rows[1]] = lit.data[rows[1]]  # one of both is not told a second time by the other
    assert [found.planes for found in shifted_planes(lit.replace(data=planes), 0.4)] == [(70,), (rows[0],)]


@pytest.mark.real_data
@pytest.mark.parametrize("colour", ["red", "green", "blue"])
def test_recorded_planes_are_in_register(real_data, colour):
    assert list(shifted_planes(open_stack(real_data / "led_stacks" / "blood_smear" / f"{colour}.tif"), 0.1)) == []


def test_a_plane_that_moved_is_named(lit):
    planes = lit.data.copy()
    planes[2] = np.roll(planes[2], (3, -4), (0, 1))
    (found,) = shifted_planes(lit.replace(data=planes), 0.4)
    assert found.planes == (2,)
    assert found.shift_px == pytest.approx((-3, 4), abs=0.7)
    assert str(found).startswith("plane 2 by")


def test_dark_field_that_moved_is_named(lit):
    planes = lit.data.copy()
    planes[4:] = np.roll(planes[4:], 4, axis=1)
    (found,) = shifted_planes(lit.replace(data=planes), 0.4)
    assert str(found).startswith("the dark-field planes 4 to 7 by 4")


def test_exposures_of_one_led_are_compared(lit):
    planes = np.concatenate([lit.data, np.roll(lit.data[4:5], 5, axis=2)])
    columns = LEDS.columns() | {"plane": None}
    leds = LedTable(
        **{
            name: [*values, values[4]]
            for name, values in columns.items()
            if name in ("index", "polar_deg", "azimuth_deg", "kind")
        },
        exposure=["single"] * 4 + ["low"] + ["single"] * 3 + ["high"],
    )
    found = list(shifted_planes(lit.replace(data=planes, leds=leds), 0.4))
    assert [plane.planes for plane in found] == [(4, 8)]


# --- fields


@pytest.mark.parametrize("bend_um", [1.5, -1.5])
def test_a_field_is_found_with_its_scale_and_turn(slide, stained, bend_um):
    unstained = slide.unstained(np.random.default_rng(4), bend_um=bend_um)
    found = match_field(unstained, stained, PIXEL_UM)
    assert found.reason == ""
    assert found.certainty > 9
    assert errors_px(found.place).max() < 0.6
    assert found.place.scale == pytest.approx(TRUTH.scale, abs=0.002)
    assert found.place.rotation_deg == pytest.approx(1.4, abs=0.1)


def test_a_scan_of_higher_power_is_found(slide, lit):
    high = slide.stained(np.random.default_rng(5), STAINED_AT, shape=(600, 680), pixel_um=0.125, blur_um=0.1)
    found = pair_field(lit, as_stack(high, 0.125), "high")
    assert found.reason == ""
    assert errors_px(found.match.place).max() < 0.6
    assert "the scans differ in scale by +0." in found.notes[0]


def test_another_slide_is_no_match(lit):
    for seed in (11, 12, 13):
        other = Slide(seed).stained(np.random.default_rng(seed), STAINED_AT)
        found = match_field(bright_plane(lit, 0.4), other, PIXEL_UM)
        assert found.certainty < 6.5
        assert found.reason.startswith("no match: at the best place edges correlate by 0.")
        assert "7 are needed" in found.reason


def test_weak_contrast_is_matched_by_steepness_not_by_canny(slide, stained):
    """A third of the usual contrast: Canny, whose thresholds are quantiles, then finds noise."""
    weak = slide.unstained(np.random.default_rng(4), bend_um=0.3)
    found = {by: match_field(weak, stained, PIXEL_UM, by=by) for by in ("steepness", "canny")}
    assert found["steepness"].reason == ""
    assert found["steepness"].certainty > found["canny"].certainty + 2
    with pytest.raises(ValueError, match="by is 'colour': use one of steepness, canny"):
        match_field(weak, stained, PIXEL_UM, by="colour")


def test_an_empty_field_is_no_match(lit):
    found = match_field(bright_plane(lit, 0.4), np.full((200, 200, 3), 230, np.uint8), PIXEL_UM)
    assert found.reason.startswith("no match: ")


# --- pairs


def test_cells_are_put_on_each_other(slide, paired):
    whole = [pair for pair in paired.cells if not pair.reason]
    assert len(whole) >= 4
    wanted = UNSTAINED_AT.inverse()(slide.white_um)
    for pair in whole:
        assert np.hypot(*(wanted - pair.at_um).T).min() < 2.5  # the nucleus lies beside the middle of its cell
        assert np.hypot(*(pair.place(pair.stained_at_um) - TRUTH(pair.stained_at_um))) < 0.6 * PIXEL_UM
        assert np.hypot(*pair.shift_px) <= 2
    assert all(pair.accepted for field in judge([paired]) for pair in field.cells if "too near" not in pair.reason)


def test_cells_at_their_own_best_place(lit, stained):
    found = pair_field(lit, as_stack(stained), "one", place_by="cell", subpixel=True)
    for pair in found.cells:
        if not pair.reason:
            missed = pair.place(pair.stained_at_um) - TRUTH(pair.stained_at_um)
            assert np.hypot(*missed) < 2 * PIXEL_UM
            assert pair.place(pair.stained_at_um) == pytest.approx(np.array(pair.at_um))


def test_a_cell_that_moved_is_refused(slide, lit, stained, paired):
    middle_um = 0.5 * PIXEL_UM * np.array(SHAPE)
    victim = min(paired.cells, key=lambda pair: np.hypot(*(middle_um - pair.at_um)))
    y, x = (round(at / PIXEL_UM) for at in victim.stained_at_um)
    moved = stained.copy()
    moved[y - 32 : y + 32, x - 32 : x + 32] = stained[y - 35 : y + 29, x - 29 : x + 35]
    (field,) = judge([pair_field(lit, as_stack(moved), "one")])
    refused = next(pair for pair in field.cells if pair.name == victim.name)
    assert "px beside where its neighbours say it is" in refused.reason
    assert refused.shift_px == pytest.approx((-3, 3), abs=1.01)


def test_shifted_planes_speak_against_the_whole_field(lit, stained):
    planes = lit.data.copy()
    planes[3] = np.roll(planes[3], 6, axis=1)
    (field,) = judge([pair_field(lit.replace(data=planes), as_stack(stained), "one")])
    assert field.reason.startswith("planes of the LED stack do not lie on its bright field: plane 3 by ")
    assert all(pair.reason for pair in field.cells)
    planes = lit.data.copy()
    planes[6] = 9
    (field,) = judge([pair_field(lit.replace(data=planes), as_stack(stained), "one")])
    assert field.reason == "plane 6 has nothing in it, all its pixels are the same"


def test_what_cannot_be_paired_says_why(lit, stained):
    good = as_stack(stained)
    with pytest.raises(ValueError, match=r"has no LED table: put NAME\.leds\.csv beside it"):
        pair_field(lit.replace(leds=None), good)
    with pytest.raises(ValueError, match="pixel size of the unstained scan is not known"):
        pair_field(lit.replace(pixel_um=None), good)
    with pytest.raises(ValueError, match="pixel size of the stained scan is not known"):
        pair_field(lit, good.replace(pixel_um=None))
    with pytest.raises(ValueError, match=r"pixels of 0\.5 um, coarser than the 0\.25 um"):
        pair_field(lit, good.replace(pixel_um=0.5))
    with pytest.raises(ValueError, match="axes YX: give one plane in colours"):
        pair_field(lit, ImageStack(stained[..., 1], "YX", pixel_um=PIXEL_UM))
    with pytest.raises(ValueError, match="unknown look 'shape': use one of edges, grey, inverted"):
        pair_field(lit, good, look="shape")
    with pytest.raises(ValueError, match="unknown edges 'sobel' to match by: use one of steepness, canny"):
        pair_field(lit, good, match_by="sobel")
    assert not pair_field(lit, good, match_by="canny").match.reason
    with pytest.raises(ValueError, match="crop_px is 8"):
        pair_field(lit, good, crop_px=8)
    none = pair_field(lit, good, colours={"hue_deg": (100, 140)})
    assert none.reason.startswith("no white cells in the stained scan, by hue 100 to 140 deg, saturation 0.2 to 1")


# --- judging


def made_pairs(n=20):
    rng = np.random.default_rng(0)
    return [
        CellPair(
            f"a_{k:03d}",
            (k, k),
            (k, k),
            Similarity(),
            shift_px=tuple(rng.normal(0, 0.4, 2)),
            ssim=float(rng.normal(0.4, 0.03)),
            alone_um=float(rng.uniform(0, 2)),
            missing_um=float(rng.uniform(0, 2)),
        )
        for k in range(n)
    ]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"shift_px": (3.0, 0.0)}, "px beside where its neighbours"),
        ({"shift_px": (5.0, 0.0), "at_edge": True}, "no best place within 5 px"),
        ({"alone_um": 9.0}, "edges of 9.0 um in the stained crop have none in the unstained one"),
        ({"missing_um": 12.0}, "dirt in the input only"),
        ({"ssim": 0.1}, "similarity 0.10 where 0.4"),
        ({"reason": "too near the edge"}, "too near the edge"),
    ],
)
def test_each_fault_has_its_reason(change, reason):
    pairs = made_pairs()
    pairs[7] = replace(pairs[7], **change)
    (field,) = judge([FieldPairs("a", cells=pairs)])
    assert [k for k, pair in enumerate(field.cells) if pair.reason] == [7]
    assert reason in field.cells[7].reason
    assert pairs[7].reason == change.get("reason", "")


def test_a_look_that_sees_all_cells_beside_is_not_held_against_them():
    pairs = [replace(pair, shift_px=(pair.shift_px[0] + 2.5, pair.shift_px[1])) for pair in made_pairs()]
    (field,) = judge([FieldPairs("a", cells=pairs)])
    assert all(pair.accepted for pair in field.cells)


def test_few_pairs_are_not_judged_by_each_other():
    pairs = made_pairs(5)
    pairs[0] = replace(pairs[0], ssim=0.1)
    (field,) = judge([FieldPairs("a", cells=pairs)])
    assert all(pair.accepted for pair in field.cells)


# --- files


@pytest.fixture
def folders(tmp_path, lit, stained):
    for name in ("before", "after"):
        (tmp_path / name).mkdir()
    write_tiff(tmp_path / "before" / "one.ome.tif", lit)
    write_tiff(tmp_path / "after" / "One.tif", as_stack(stained))
    return tmp_path


def test_pairs_are_written_as_they_were_recorded(folders, lit, stained):
    (folders / "before" / "positions.csv").write_text("name,x_um,y_um\none,1000,2000\n")
    scans = find_scans(folders / "before", folders / "after")
    fields = judge(list(pair_scans(scans)))
    written = list(write_pairs(folders / "pairs", scans, fields))
    assert len(written) >= 4
    for pair in written:
        given = open_stack(folders / "pairs" / "inputs" / f"{pair.name}.tif")
        assert (given.axes, given.pixel_um) == ("AYXS", PIXEL_UM)
        assert given.leds.columns() == LEDS.columns()
        top, left = (round(at / PIXEL_UM + 0.5 - 32) for at in pair.at_um)
        assert (np.asarray(given.data) == lit.data[:, top : top + 64, left : left + 64]).all()
        target = open_stack(folders / "pairs" / "targets" / f"{pair.name}.tif")
        assert (target.axes, target.data.dtype, target.yx_shape) == ("YXS", np.uint8, (64, 64))
        assert target.pixel_um == PIXEL_UM
    with (folders / "pairs" / "pairs.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["cell"] for row in rows] == [pair.name for pair in fields[0].cells]
    first = next(row for row in rows if row["cell"] == written[0].name)
    assert float(first["x_um"]) == pytest.approx(1000 + written[0].at_um[1], abs=1e-3)
    assert float(first["stained_y_um"]) == pytest.approx(written[0].stained_at_um[0], abs=1e-3)
    assert all(bool(row["reason"]) != (row["accepted"] == "1") for row in rows)
    with (folders / "pairs" / "fields.csv").open(newline="", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert float(row["scale"]) == pytest.approx(TRUTH.scale, abs=0.002)
    assert int(row["accepted"]) == len(written)


def test_targets_lie_on_their_inputs(slide, lit, stained, paired):
    """The target is what a stained scan on the pixels of the unstained one would show."""
    ideal = slide.stained(np.random.default_rng(6), UNSTAINED_AT)
    pair = next(pair for pair in paired.cells if not pair.reason)
    top, left = (round(at / PIXEL_UM + 0.5 - 32) for at in pair.at_um)
    wanted = ideal[top : top + 64, left : left + 64].astype(float)
    (given,) = cut_inputs(lit, [pair], PIXEL_UM, 64)
    assert (given[0] == lit.data[0, top : top + 64, left : left + 64]).all()
    made = np.asarray(cut_target(as_stack(stained), pair, PIXEL_UM, 64).data)
    copied = np.asarray(cut_target(as_stack(stained), pair, PIXEL_UM, 64, whole_pixels=True).data)
    assert np.sqrt(np.mean((made - wanted) ** 2)) < 4
    assert np.sqrt(np.mean((copied - wanted) ** 2)) < 20  # up to half a pixel beside, turned by 1.4 deg
    assert made.std() == pytest.approx(wanted.std(), rel=0.03)
    with pytest.raises(ValueError, match=r"cannot be copied for an input of 0\.25 um"):
        cut_target(as_stack(stained, 0.1), pair, PIXEL_UM, 64, whole_pixels=True)


def test_a_folder_is_whole_or_not_there(folders, monkeypatch):
    scans = find_scans(folders / "before", folders / "after")
    fields = judge(list(pair_scans(scans)))
    stopped = write_pairs(folders / "pairs", scans, fields)
    next(stopped)
    assert not (folders / "pairs").exists()
    stopped.close()
    assert sorted(path.name for path in folders.iterdir()) == ["after", "before"]
    (folders / ".pairs.part" / "inputs").mkdir(parents=True)  # of a run that was killed
    list(write_pairs(folders / "pairs", scans, fields))
    assert not (folders / ".pairs.part").exists()
    with pytest.raises(ValueError, match="exists already; give another folder"):
        next(write_pairs(folders / "pairs", scans, fields))


def test_scans_are_found_by_name(folders, lit, stained):
    write_tiff(folders / "before" / "two.tif", lit)
    write_tiff(folders / "after" / "three.tif", as_stack(stained))
    scans = find_scans(folders / "before", folders / "after")
    assert list(scans.fields) == ["one"]
    assert len(scans.alone) == 2
    assert "two.tif: no stained scan of this name; left out" in scans.alone[0]
    write_tiff(folders / "before" / "ONE.tif", lit)
    with pytest.raises(ValueError, match="have one name: rename or remove one"):
        find_scans(folders / "before", folders / "after")


def test_two_files_are_a_pair_whatever_their_names(folders):
    scans = find_scans(folders / "before" / "one.ome.tif", folders / "after" / "One.tif")
    assert list(scans.fields) == ["one"]
    with pytest.raises(ValueError, match="give two files, or two folders"):
        find_scans(folders / "before", folders / "after" / "One.tif")
    with pytest.raises(ValueError, match="there is no such file or folder"):
        find_scans(folders / "nowhere", folders / "after")


def test_scans_that_are_zarr_folders_have_the_names_of_files(folders, lit, stained):
    ours = write_zarr(folders / "before" / "two.ome.zarr", lit)
    theirs = write_tiff(folders / "after" / "Two.ome.tif", as_stack(stained))
    assert find_scans(folders / "before", folders / "after").fields["two"] == (ours, theirs)
    assert find_scans(ours, theirs).fields == {"two": (ours, theirs)}  # one file, though it is a folder
    with pytest.raises(ValueError, match="give two files, or two folders"):
        find_scans(ours, folders / "after")


def test_a_bad_field_has_a_reason_and_the_others_are_paired(folders, lit, stained):
    (folders / "before" / "broken.tif").write_bytes(b"II*\0nothing")
    write_tiff(folders / "after" / "broken.tif", as_stack(stained))
    write_tiff(folders / "before" / "plain.tif", lit.replace(leds=None))
    write_tiff(folders / "after" / "plain.tif", as_stack(stained))
    found = {field.name: field for field in pair_scans(find_scans(folders / "before", folders / "after"))}
    assert "broken.tif" in found["broken"].reason
    assert "has no LED table" in found["plain"].reason
    assert found["one"].reason == ""


def test_a_field_without_a_position_has_none_in_the_table(folders, lit, stained):
    for name in ("slide.01", "slide.02", "Slide"):
        write_tiff(folders / "before" / f"{name}.tif", lit)
        write_tiff(folders / "after" / f"{name}.tif", as_stack(stained))
    table = folders / "before" / "positions.csv"
    table.write_text("name,x_um,y_um\nONE.ome.tif,1,2\nslide.01,10000,20000\nslide.tif,5,6\n")
    scans = find_scans(folders / "before", folders / "after")
    where = {name: scans.on_slide(name, (1.0, 1.0)) for name in scans.fields}
    assert np.isnan(where.pop("slide.02")).all()
    assert where == {"one": (3, 2), "slide.01": (20001, 10001), "Slide": (7, 6)}
    assert scans.on_slide("slide.02", (1.0, 1.0), stained=True) == (1, 1)  # there is no table
    found = replace(scans, fields={name: scans.fields[name] for name in ("slide.01", "slide.02")})
    (placed, unplaced) = judge(list(pair_scans(found)))
    assert not any("positions.csv" in note for note in placed.notes)
    said = f"{table} has no row for slide.02.tif: unstained coordinates of its cells are left empty"
    assert said in unplaced.notes
    list(write_pairs(folders / "pairs", found, [placed, unplaced]))
    with (folders / "pairs" / "pairs.csv").open(newline="", encoding="utf-8") as file:
        rows = {row["field"]: row for row in csv.DictReader(file)}
    assert (rows["slide.02"]["x_um"], rows["slide.02"]["y_um"]) == ("", "")
    assert float(rows["slide.01"]["y_um"]) > 20000


def test_a_pixel_size_that_a_file_states_is_not_that_of_the_other_scan(folders, lit, stained):
    write_tiff(folders / "before" / "one.ome.tif", lit.replace(pixel_um=None), overwrite=True)
    write_tiff(folders / "after" / "One.tif", as_stack(stained, 0.125), overwrite=True)
    homes = folders / "before", folders / "after"
    ours, theirs = find_scans(*homes, pixel_um=0.25).open("one")
    assert (ours.pixel_um, theirs.pixel_um) == (0.25, 0.125)
    (found,) = pair_scans(find_scans(*homes, pixel_um=0.25))
    assert (
        found.notes[0] == "stained One.tif states pixels of 0.125 um, pixel_um is 0.25: what the file states is taken"
    )
    other = find_scans(*homes, pixel_um=0.25, stained_pixel_um=0.25)
    assert other.open("one")[1].pixel_um == 0.25
    (found,) = pair_scans(other)
    assert found.notes[0] == "stained One.tif states pixels of 0.125 um, stained_pixel_um is 0.25: that is taken"
    (found,) = pair_scans(find_scans(*homes))
    assert "does not say; give pixel_um (--pixel-um) in micrometres" in found.reason


def test_positions_must_be_numbers(folders):
    (folders / "after" / "positions.csv").write_text("name,x_um\none,3\n")
    with pytest.raises(ValueError, match=r"positions\.csv: give columns name, x_um and y_um"):
        find_scans(folders / "before", folders / "after")
