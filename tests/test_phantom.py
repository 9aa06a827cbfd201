from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage.measure import regionprops
from skimage.morphology import h_maxima

from napari_cellrestore.leds import LedTable
from napari_cellrestore.simulate import (
    WHITE_CELLS,
    WULFF_2022,
    DetectorNoise,
    blood_phantom,
    led_stack,
    metered,
    simulated_rescan,
    smear_objectives,
    stained_image,
)
from napari_cellrestore.simulate.materials import MATERIALS, haemoglobin_per_um
from napari_cellrestore.simulate.rescan import BACKGROUND
from napari_cellrestore.simulate.shapes import Grid, disc, grains, spheres

EQUAL = dict.fromkeys(WHITE_CELLS, 1.0)
WAVELENGTHS = [lens.wavelength_um for lens in WULFF_2022]


def grid(width_um, pixel_um, offset_um=0.0):
    places = np.arange(-width_um / 2, width_um / 2, pixel_um) + offset_um
    return Grid(places, places, pixel_um)


def draw(kind, lobes, seed, radius_um=6.5, pixel_um=0.1):
    return WHITE_CELLS[kind].draw(grid(2 * radius_um + 1, pixel_um), radius_um, lobes, np.random.default_rng(seed))


@pytest.fixture(scope="module")
def crowd():
    """All classes as often."""
    return blood_phantom((420, 460), 0.2, seed=4, white_per_mm2=1400, shares=EQUAL)


# --- shapes ----------------------------------------------------------------------------------------------------


def test_a_red_cell_has_the_volume_and_thickness_of_evans_and_fung():
    """94 cubic um; 0.81 um in the middle, 2.57 um at most. ``pi R^2 (0.81 2/3 + 7.83 4/15 - 4.39 16/105)``."""
    places = grid(9, 0.02)
    thickness = disc(places.polar()[0] / 3.91, 3.91)
    assert thickness.sum() * 0.02**2 == pytest.approx(np.pi * 3.91**2 * (0.54 + 2.088 - 0.66895), rel=1e-3)
    assert thickness[225, 225] == pytest.approx(0.81, abs=0.01)
    assert thickness.max() == pytest.approx(2.57, abs=0.02)


@settings(max_examples=25, deadline=None)
@given(radius_um=st.floats(0.1, 1.0), y_um=st.floats(-1, 1), x_um=st.floats(-1, 1))
def test_spheres_have_their_volume_also_where_they_are_small(radius_um, y_um, x_um):
    drawn = spheres(grid(6, 0.2), np.array([[y_um, x_um]]), np.array([radius_um]))
    assert drawn.sum() * 0.2**2 == pytest.approx(4 / 3 * np.pi * radius_um**3, rel=1e-4)


def test_grains_are_as_strong_on_any_pixel():
    rng = np.random.default_rng(0)
    for pixel_um in (0.05, 0.1, 0.2):
        texture = grains(grid(40, pixel_um), 0.4, rng)
        assert texture.std() == pytest.approx(1, abs=0.06)
        assert abs(texture.mean()) < 0.1


@pytest.mark.parametrize("kind", WHITE_CELLS)
@pytest.mark.parametrize("seed", range(4))
def test_a_white_cell_lies_within_its_circle_and_its_nucleus_within_it(kind, seed):
    lobes = list(WHITE_CELLS[kind].lobes)[-1]
    cell = draw(kind, lobes, seed)
    distance = grid(14, 0.1).polar()[0]
    assert distance[cell.body].max() <= 6.5
    assert distance[~cell.body].min() > 4  # and fills it
    assert not (cell.nucleus & ~cell.body).any()
    assert 0.15 < cell.nucleus.sum() / cell.body.sum() < 0.9
    assert ndimage.label(cell.nucleus, np.ones((3, 3)))[1] == 1  # bridges join the lobes
    assert cell.lobes == lobes
    for thickness in cell.thickness_um.values():
        assert thickness.min() >= 0
        assert not thickness[~cell.body].any()


@pytest.mark.parametrize("lobes", [2, 3, 4, 5])
def test_neutrophils_have_as_many_lobes_as_are_said(lobes):
    """As many places that are deeper inside than all around, by a pixel, but where two lie on each other."""
    counts = []
    for seed in range(20):
        nucleus = draw("neutrophil", lobes, seed).nucleus
        depth = ndimage.gaussian_filter(ndimage.distance_transform_edt(nucleus), 1)
        counts.append(ndimage.label(h_maxima(depth, 1.0), np.ones((3, 3)))[1])
    assert np.median(counts) == lobes
    assert max(counts) == lobes


def test_nuclei_tell_the_classes_apart():
    """A small lymphocyte is nearly all nucleus, of the others none is; the nucleus of a monocyte has a dent."""

    def share(kind, lobes, radius_um):
        cells = [draw(kind, lobes, seed, radius_um, pixel_um=0.15) for seed in range(6)]
        return np.mean([cell.nucleus.sum() / cell.body.sum() for cell in cells])

    assert share("lymphocyte", 1, 4.0) > 0.6
    for kind, lobes, radius_um in (("neutrophil", 3, 6.5), ("eosinophil", 2, 6.5), ("monocyte", 1, 9.0)):
        assert share(kind, lobes, radius_um) < 0.5
    dented = [_solidity(draw("monocyte", 1, seed, radius_um=9.0, pixel_um=0.15).nucleus) for seed in range(8)]
    round_ = [_solidity(draw("lymphocyte", 1, seed, radius_um=4.5).nucleus) for seed in range(8)]
    assert max(dented) < 0.95 < min(round_)


def _solidity(mask):
    return regionprops(mask.astype(int))[0].solidity


# --- the field -------------------------------------------------------------------------------------------------


def test_one_seed_is_one_field():
    first, again, other = (blood_phantom((160, 128), 0.2, seed=seed, white_per_mm2=900) for seed in (1, 1, 2))
    assert first.cells == again.cells
    for name in MATERIALS:
        np.testing.assert_array_equal(first.thickness_um[name], again.thickness_um[name])
    np.testing.assert_array_equal(first.labels, again.labels)
    assert (first.labels != other.labels).any()


def test_white_cells_touch_nothing(crowd):
    for cell in crowd.white_cells:
        for other in crowd.cells:
            if other is not cell:
                apart = np.hypot(*np.subtract(cell.centre_um, other.centre_um))
                assert apart >= cell.radius_um + other.radius_um - 1e-9


def test_the_maps_show_the_cells_of_the_list(crowd):
    assert len(crowd.white_cells) > 8
    assert set(np.unique(crowd.labels)) == {0, *(cell.label for cell in crowd.cells)}
    assert set(np.unique(crowd.nuclei)) <= {0, *(cell.label for cell in crowd.white_cells)}
    inside = crowd.nuclei > 0
    np.testing.assert_array_equal(crowd.labels[inside], crowd.nuclei[inside])
    border = np.concatenate([crowd.labels[0], crowd.labels[-1], crowd.labels[:, 0], crowd.labels[:, -1]])
    assert {cell.label for cell in crowd.cells if cell.whole}.isdisjoint(border)
    assert any(not cell.whole for cell in crowd.cells)
    for cell in crowd.cells:
        rows, columns = np.nonzero(crowd.labels == cell.label)
        distance = np.hypot(rows * 0.2 - cell.centre_um[0], columns * 0.2 - cell.centre_um[1])
        assert distance.max() <= cell.radius_um
        if cell.whole and cell.white:
            assert distance.max() > 0.75 * cell.radius_um
            np.testing.assert_allclose((rows.mean() * 0.2, columns.mean() * 0.2), cell.centre_um, atol=0.4)
            assert (crowd.nuclei == cell.label).any()
        assert (cell.lobes > 0) == cell.white


def test_classes_lobes_and_sizes_are_met_as_often_as_the_table_says():
    """Within four standard deviations of the binomial distribution, of the cells whose centre is in the field."""
    cells = []
    for seed in range(60):
        field = blood_phantom((160, 160), 0.8, seed=seed, white_per_mm2=900, red_coverage=0)
        cells += [cell for cell in field.white_cells if 0 <= min(cell.centre_um) and max(cell.centre_um) < 128]
    n = len(cells)
    assert n == pytest.approx(60 * 900 * 0.128**2, rel=0.12)
    counts = Counter(cell.kind for cell in cells)
    for name, kind in WHITE_CELLS.items():
        assert abs(counts[name] - n * kind.share) <= 4 * np.sqrt(n * kind.share * (1 - kind.share))
        low, high = min(r[0] for r in kind.diameter_um), max(r[1] for r in kind.diameter_um)
        assert all(low <= 2 * cell.radius_um <= high for cell in cells if cell.kind == name)
    lobes = Counter(cell.lobes for cell in cells if cell.kind == "neutrophil")
    for number, share in WHITE_CELLS["neutrophil"].lobes.items():
        m = counts["neutrophil"]
        assert abs(lobes[number] - m * share) <= 4 * np.sqrt(m * share * (1 - share))


def test_the_table_keeps_to_its_sources():
    """Wulff 2022, 1.1.1: neutrophils 50 to 75 %, lymphocytes 20 to 40, monocytes 3 to 11, the others < 5 and < 1."""
    ranges = {
        "neutrophil": (0.5, 0.75),
        "lymphocyte": (0.2, 0.4),
        "monocyte": (0.03, 0.11),
        "eosinophil": (0, 0.05),
        "basophil": (0, 0.01),
    }
    assert list(WHITE_CELLS) == list(ranges)
    assert sum(kind.share for kind in WHITE_CELLS.values()) == pytest.approx(1)
    for name, (low, high) in ranges.items():
        assert low < WHITE_CELLS[name].share < high
        assert sum(WHITE_CELLS[name].lobes.values()) == pytest.approx(1)


def test_as_many_cells_as_are_asked_for():
    size = (400, 400)  # 80 um, 100 with the margin that cells are scattered over
    none = blood_phantom(size, 0.2, seed=1, white_per_mm2=0, red_coverage=0)
    assert none.cells == ()
    assert set(none.labels.ravel()) == {0}
    red = blood_phantom(size, 0.2, seed=1, white_per_mm2=0, red_coverage=0.4)
    assert {cell.kind for cell in red.cells} == {"red", "platelet"}
    assert np.mean(red.labels > 0) == pytest.approx(0.37, abs=0.05)
    shares = {"basophil": 3, "monocyte": 0}
    only = blood_phantom(size, 0.2, seed=1, white_per_mm2=800, shares=shares, red_coverage=0)
    assert {cell.kind for cell in only.cells} == {"basophil"}
    assert shares == {"basophil": 3, "monocyte": 0}


def test_a_part_of_the_field_has_the_cells_seen_there(crowd):
    part = crowd.crop(slice(100, 300), slice(60, 260), step=2)
    np.testing.assert_array_equal(part.labels, crowd.labels[100:300:2, 60:260:2])
    np.testing.assert_array_equal(part.thickness_um["chromatin"], crowd.thickness_um["chromatin"][100:300:2, 60:260:2])
    assert part.pixel_um == 0.4
    assert {cell.label for cell in part.cells} == set(np.unique(part.labels)) - {0}
    of = {cell.label: cell for cell in crowd.cells}
    for cell in part.cells:
        np.testing.assert_allclose(np.subtract(of[cell.label].centre_um, cell.centre_um), (20, 12), atol=1e-9)
        inside = min(cell.centre_um) >= cell.radius_um and max(cell.centre_um) <= 39.6 - cell.radius_um
        assert cell.whole == inside


# --- unstained and stained -------------------------------------------------------------------------------------


def test_unstained_only_haemoglobin_has_colour(crowd):
    """Everything else retards light by the same path at each wavelength, and takes none."""
    light = crowd.transmission(WAVELENGTHS)
    path_um = sum(MATERIALS[name].index_step * thickness for name, thickness in crowd.thickness_um.items())
    blood_um = crowd.thickness_um["haemoglobin"]
    for colour, wavelength in enumerate(WAVELENGTHS):
        expected = np.exp(2j * np.pi * path_um / wavelength)
        np.testing.assert_allclose(
            light[..., colour], expected * np.exp(-0.5 * haemoglobin_per_um(wavelength) * blood_um), atol=1e-6
        )
    plain = np.abs(light[blood_um == 0])
    np.testing.assert_allclose(plain, 1, atol=1e-6)
    assert len(plain) > 1000


def test_haemoglobin_absorbs_as_tabulated():
    """Of 330 g/l, 10 um, at 0.56 um: 10^(-32613 / cm / M * 5.116 mM * 1e-3 cm)."""
    assert np.exp(-10 * haemoglobin_per_um(0.56)) == pytest.approx(10 ** (-32613 * 330 / 64500 * 1e-3), rel=1e-9)
    assert haemoglobin_per_um(0.62) < 0.1 * haemoglobin_per_um(0.53)
    with pytest.raises(ValueError, match=r"wavelength_um is 0.4: the absorption of haemoglobin is tabulated from 0.45"):
        haemoglobin_per_um(0.4)


@pytest.mark.parametrize("kind", WHITE_CELLS)
def test_the_nucleus_can_be_told_by_refraction(kind):
    """Light is retarded more by it than by the plasm beside it."""
    field = blood_phantom((160, 160), 0.2, seed=3, white_per_mm2=1200, shares={kind: 1}, red_coverage=0)
    retarded = np.angle(field.transmission([0.53])[..., 0])
    granules = sum(field.thickness_um[name] for name in MATERIALS if name.endswith("granules"))
    beside = (field.labels > 0) & (field.nuclei == 0) & (granules == 0)
    assert retarded[field.nuclei > 0].mean() > retarded[beside].mean() + 0.3
    assert retarded[beside].mean() > retarded[field.labels == 0].mean() + 0.2


def test_dyes_have_the_colours_of_a_film(crowd):
    kinds = {cell.label: cell.kind for cell in crowd.cells}
    colour = crowd.stained()
    thickness = crowd.thickness_um
    of_kind = np.array([kinds.get(label, "") for label in range(len(kinds) + 1)])[crowd.labels]
    red, green, blue = (colour[of_kind == "red"].mean(0)).tolist()
    assert red > 0.88  # salmon, paler in the middle
    assert red > 1.2 * max(green, blue)
    purple = colour[thickness["chromatin"] > 1.5].mean(0)
    assert purple[1] < 0.6 * min(purple[0], purple[2])
    orange = colour[thickness["eosin granules"] > 0.8].mean(0)
    assert orange[0] > 1.2 * orange[1] > 1.2 * orange[2]
    dark = colour[thickness["basic granules"] > 0.8].mean(0)
    assert dark.max() < 0.55
    sky = colour[(of_kind == "lymphocyte") & (crowd.nuclei == 0)].mean(0)
    assert sky[2] > sky[1] > sky[0]
    np.testing.assert_allclose(colour[crowd.labels == 0].mean(0), 1, atol=0.02)


def test_a_stained_image_is_sharper_through_the_better_lens():
    field = blood_phantom((256, 256), 0.1, seed=2, white_per_mm2=2000)
    low, high = stained_image(field, WULFF_2022), stained_image(field)
    assert (low.dtype, low.shape) == (np.uint8, (256, 256, 3))
    empty = ndimage.distance_transform_edt(field.labels == 0) > 15
    for image in (low, high):
        np.testing.assert_allclose(image[empty].mean(0), BACKGROUND, atol=5)
    ideal = field.stained() * np.array(BACKGROUND)
    errors = [np.abs(image - ideal).mean() for image in (high, low)]
    assert errors[0] < 0.7 * errors[1]
    sharpness = [np.abs(np.diff(image[..., 1].astype(float))).mean() for image in (high, low)]
    assert sharpness[0] > 1.1 * sharpness[1]


def test_every_second_pixel_and_noise_of_a_stained_image():
    field = blood_phantom((128, 128), 0.1, seed=2)
    whole = stained_image(field, WULFF_2022)
    np.testing.assert_array_equal(stained_image(field, WULFF_2022, step=2), whole[::2, ::2])
    noisy = stained_image(field, WULFF_2022, noise=DetectorNoise(0, 3.0), seed=1)
    assert np.std(noisy - whole.astype(float)) == pytest.approx(3, rel=0.03)
    smoothed = stained_image(field, smear_objectives(), step=4).astype(float)
    pixels = stained_image(field, smear_objectives()).astype(float)
    blocks = ndimage.uniform_filter(pixels, (5, 5, 0))[::4, ::4]  # what a pixel of 0.4 um would have gathered
    assert np.abs(smoothed - blocks)[2:-2, 2:-2].mean() < 0.7 * np.abs(pixels[::4, ::4] - blocks)[2:-2, 2:-2].mean()


# --- pairs -----------------------------------------------------------------------------------------------------

LEDS = LedTable(
    index=[9, 0, 1, 2, 3],
    polar_deg=[0, 15, 15, 15, 40],
    azimuth_deg=[0, 0, 120, 240, 0],
    kind=["brightfield", "point", "point", "point", "darkfield"],
)


def test_a_rescan_is_the_same_field_on_the_same_pixels():
    stack, target, phantom = simulated_rescan((120, 140), 0.25, WULFF_2022, LEDS, seed=6, white_per_mm2=1500)
    assert (stack.axes, stack.data.shape, stack.data.dtype) == ("AYXS", (5, 120, 140, 3), np.uint8)
    assert (stack.pixel_um, phantom.pixel_um, target.dtype) == (0.25, 0.25, np.uint8)
    assert target.shape == (*phantom.labels.shape, 3) == (120, 140, 3)
    haemoglobin = phantom.thickness_um["haemoglobin"]
    for image in (stack.data[0, ..., 1], target[..., 2]):  # both darkest where red cells are, and there only unshifted
        fit = {
            shift: np.corrcoef(np.roll(haemoglobin, shift, (0, 1)).ravel(), -image.astype(float).ravel())[0, 1]
            for shift in ((0, 0), (2, 0), (-2, 0), (0, 2), (0, -2))
        }
        assert max(fit, key=fit.get) == (0, 0)
    assert target[phantom.nuclei > 0, 1].mean() < 120 < target[phantom.labels == 0, 1].mean()
    again = simulated_rescan((120, 140), 0.25, WULFF_2022, LEDS, seed=6, white_per_mm2=1500)
    np.testing.assert_array_equal(stack.data, again[0].data)
    np.testing.assert_array_equal(target, again[1])


def test_the_target_is_the_stained_image_of_the_same_field():
    _, target, phantom = simulated_rescan((96, 96), 0.25, WULFF_2022, LEDS[[1]], seed=2, fineness=1, margin_um=0)
    field = blood_phantom((96, 96), 0.25, seed=2, white_per_mm2=800)
    np.testing.assert_array_equal(phantom.labels, field.labels)
    np.testing.assert_array_equal(target, stained_image(field, WULFF_2022))


def test_the_stack_is_that_of_the_field():
    noise = DetectorNoise(0.01)
    stack, _, _ = simulated_rescan(
        (96, 96), 0.2, WULFF_2022, LEDS, seed=2, fineness=1, margin_um=0, level=90, noise=noise, defocus_um=2.0
    )
    field = blood_phantom((96, 96), 0.2, seed=2, white_per_mm2=800)
    direct = led_stack(
        field.transmission(WAVELENGTHS),
        0.2,
        WULFF_2022,
        LEDS,
        dtype=np.uint8,
        level=90,
        noise=noise,
        defocus_um=2.0,
        seed=2,
    )
    np.testing.assert_array_equal(stack.data, direct.data)


def test_metered_dark_field_shows_cells_and_is_dark_beside_them():
    sample = blood_phantom((200, 200), 0.15, seed=1, white_per_mm2=1500)
    leds = metered(LEDS, sample.transmission(WAVELENGTHS), 0.15, WULFF_2022)
    assert leds.gain[4] > 2
    stack, _, phantom = simulated_rescan((120, 120), 0.25, WULFF_2022, leds, seed=3, white_per_mm2=1500)
    dark = stack.data[4].mean(-1)
    beside = ndimage.distance_transform_edt(phantom.labels == 0) > 8
    assert dark[phantom.labels > 0].mean() > 4 * dark[beside].mean()
    assert np.percentile(dark, 99) > 60
    for plane, other in pairwise(range(1, 4)):  # light from another side, another image
        assert np.abs(stack.data[plane].astype(float) - stack.data[other]).mean() > 3


# --- wrong use -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"shape": (10,)}, r"shape \(10,\) with pixels of 0.2 um"),
        ({"pixel_um": -1}, "pixels of -1 um"),
        ({"white_per_mm2": -5}, "white_per_mm2 is -5"),
        ({"red_coverage": 0.9}, "red_coverage 0.9: .* from 0 to 0.5"),
        ({"shares": {"blast": 1}}, "shares of blast: the classes are neutrophil, lymphocyte, monocyte"),
        ({"shares": {"basophil": 0}}, "one of them positive"),
        ({"shares": {}}, "one of them positive"),
        ({"white_per_mm2": 9000}, "no room for .* white cells on 12.8 x 12.8 um: ask for fewer than 9000 per mm2"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        blood_phantom(**({"shape": (64, 64), "pixel_um": 0.2, "seed": 0} | arguments))


def test_wrong_steps():
    field = blood_phantom((64, 64), 0.2, seed=0)
    with pytest.raises(ValueError, match=r"step is 3 for a field of shape \(64, 64\)"):
        stained_image(field, WULFF_2022, step=3)
    with pytest.raises(ValueError, match=r"fineness is 0 and margin_um 6.0"):
        simulated_rescan((32, 32), 0.25, WULFF_2022, LEDS, 0, fineness=0)
