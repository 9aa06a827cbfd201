"""Nuclei of drawn cells, whose number, place and lobes are known."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage.color import hsv2rgb, rgb2hsv
from skimage.io import imread

from napari_cellrestore.nuclei import NucleiCounts, compare_nuclei, count_lobes, stained_nuclei, wilson
from napari_cellrestore.stack import ImageStack

PIXEL_UM = 0.2
FILM, RED, PLASM, VIOLET = (236, 234, 228), (214, 160, 158), (205, 195, 225), (96, 48, 148)


def disc(shape, centre, radius_px):
    y, x = np.indices(shape)
    return np.hypot(y - centre[0], x - centre[1]) < radius_px


def painted(image, mask, colour):
    soft = ndimage.gaussian_filter(mask.astype(float), 0.8)[..., None]
    return image * (1 - soft) + np.array(colour, float) * soft


def smear(nuclei=(), shape=(160, 160), noise=0.0, seed=0):
    """A film with red cells and white cells; each nucleus is a mask."""
    image = np.full((*shape, 3), FILM, float)
    for centre in ((20, 20), (20, 140), (140, 20), (140, 140)):
        image = painted(image, disc(shape, centre, 17), RED)
    for mask in nuclei:
        image = painted(image, ndimage.binary_dilation(mask, iterations=8), PLASM)
        image = painted(image, mask, VIOLET)
    image += np.random.default_rng(seed).normal(0, 1, image.shape) * noise
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def lobed(lobes, shape=(160, 160), turn=0.3):
    """A nucleus of lobes along a bow, joined by bridges of 0.8 um."""
    radius_px = 9.0 if lobes > 1 else 16.0
    angles = turn + 2.1 * radius_px / 22 * (np.arange(lobes) - (lobes - 1) / 2) * 1.15
    centres = [(80 + 22 * np.sin(angle), 80 + 22 * np.cos(angle)) for angle in angles]
    mask = np.zeros(shape, bool)
    for centre in centres:
        mask |= disc(shape, centre, radius_px)
    for a, b in pairwise(centres):
        for part in np.linspace(0, 1, 60):
            mask |= disc(shape, (a[0] + part * (b[0] - a[0]), a[1] + part * (b[1] - a[1])), 2)
    return mask


ONE, OTHER = disc((160, 160), (60, 70), 18), disc((160, 160), (115, 100), 16)


# --- finding ---------------------------------------------------------------------------------------------------


def test_nuclei_are_found_where_they_were_drawn_and_red_cells_are_not():
    nuclei = stained_nuclei(smear([ONE, OTHER], noise=4), pixel_um=PIXEL_UM)
    assert len(nuclei) == 2
    np.testing.assert_allclose(nuclei.centres_um, np.array([(60, 70), (115, 100)]) * PIXEL_UM, atol=0.1)
    np.testing.assert_allclose(nuclei.area_um2, [ONE.sum() * 0.04, OTHER.sum() * 0.04], rtol=0.08)
    assert nuclei.lobes.tolist() == [1, 1]
    assert nuclei.doubt == ""
    row = nuclei.table[1]
    assert (row["label"], row["lobes"]) == (2, 1)
    assert nuclei.labels[115, 100] == 2


@pytest.mark.parametrize("lobes", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("turn", [0.0, 0.9, 2.2])
@pytest.mark.parametrize("noise", [0, 6])
def test_lobes_on_bridges_are_one_nucleus_and_are_counted(lobes, turn, noise):
    nuclei = stained_nuclei(smear([lobed(lobes, turn=turn)], noise=noise), pixel_um=PIXEL_UM)
    assert nuclei.lobes.tolist() == [lobes]


def test_lobes_in_a_ring_are_counted_and_clear_spots_are_not():
    ring = np.zeros((120, 120), bool)
    for angle in np.arange(5) * 2 * np.pi / 5:
        ring |= disc(ring.shape, (60 + 22 * np.sin(angle), 60 + 22 * np.cos(angle)), 14)
    assert count_lobes(ring, 0.2) == 5
    spotted = disc((80, 80), (40, 40), 25)
    spotted[40, 30:32] = spotted[50, 45:47] = False
    assert count_lobes(spotted, 0.2) == 1


def test_parts_apart_are_one_nucleus_when_they_are_near():
    parts = [disc((160, 160), (80, 58), 14) | disc((160, 160), (80, 58 + 28 + gap), 14) for gap in (5, 25)]
    near, far = (stained_nuclei(smear([part]), pixel_um=PIXEL_UM) for part in parts)  # 1 um and 5 um
    assert near.lobes.tolist() == [2]
    assert far.lobes.tolist() == [1, 1]
    assert len(stained_nuclei(smear([parts[1]]), pixel_um=PIXEL_UM, gap_um=6)) == 1


def test_sizes_beyond_the_limits_are_counted_apart():
    platelet, clump = disc((160, 160), (30, 80), 7), disc((160, 160), (105, 80), 45)
    nuclei = stained_nuclei(smear([platelet, clump]), pixel_um=PIXEL_UM, largest_um2=200)
    assert (len(nuclei), nuclei.too_small, nuclei.too_large) == (0, 1, 1)
    in_pixels = stained_nuclei(smear([clump]), pixel_um=1, smallest_um2=1000, largest_um2=1e5, gap_um=5)
    assert len(in_pixels) == 1
    assert in_pixels.area_um2[0] == pytest.approx(clump.sum(), rel=0.05)


@pytest.mark.parametrize("make", [smear, lambda: np.zeros((40, 40, 3), np.uint8), lambda: np.full((40, 40, 3), 200.0)])
def test_an_image_without_nuclei_has_none(make):
    nuclei = stained_nuclei(make(), pixel_um=PIXEL_UM)
    assert len(nuclei) == 0
    assert nuclei.table == []
    assert nuclei.centres_um.shape == (0, 2)


@given(gain=st.floats(0.4, 1.0), strength=st.floats(0.7, 1.4))
@settings(max_examples=15, deadline=None)
def test_lamp_and_strength_of_the_stain_do_not_matter(gain, strength):
    image = smear([ONE, OTHER]) / 255.0
    nuclei = stained_nuclei(gain * image**strength, pixel_um=PIXEL_UM)
    np.testing.assert_allclose(nuclei.centres_um, np.array([(60, 70), (115, 100)]) * PIXEL_UM, atol=0.3)


@pytest.mark.parametrize("turn_deg", [-120, -75, 120, 180])
def test_other_colours_are_doubted(turn_deg):
    hsv = rgb2hsv(smear([ONE, OTHER]))
    hsv[..., 0] = (hsv[..., 0] + turn_deg / 360) % 1
    other = np.uint8(255 * hsv2rgb(hsv))
    nuclei = stained_nuclei(other, pixel_um=PIXEL_UM)
    assert nuclei.confidence < 0.5
    assert "not violet: another stain" in nuclei.doubt
    found = compare_nuclei(other, smear([ONE]), PIXEL_UM)
    assert found.counts == NucleiCounts(doubtful=1)
    assert str(found).startswith("target: ")
    assert "prediction: " in str(compare_nuclei(smear([ONE]), other, PIXEL_UM))


def test_what_shines_on_black_is_doubted():
    assert "dark" in stained_nuclei(255 - smear([ONE])[..., ::-1], pixel_um=PIXEL_UM).doubt


def test_order_of_colours_is_doubted_or_finds_nothing():
    nuclei = stained_nuclei(smear([ONE, OTHER])[..., [1, 0, 2]], pixel_um=PIXEL_UM)
    assert nuclei.doubt or len(nuclei) == 0


def test_an_image_stack_brings_its_pixel_size():
    stack = ImageStack(smear([ONE]), "YXS", pixel_um=PIXEL_UM)
    assert stained_nuclei(stack).area_um2[0] == stained_nuclei(stack.data, pixel_um=PIXEL_UM).area_um2[0]


@pytest.mark.parametrize(
    ("image", "options", "said"),
    [
        (np.zeros((40, 40)), {"pixel_um": 0.2}, r"image has shape \(40, 40\): nuclei are found by their colour"),
        (np.zeros((40, 40, 3)), {}, "pixel_um is None: give the size of a pixel"),
        (np.full((40, 40, 3), np.nan), {"pixel_um": 0.2}, "not finite"),
        (
            np.zeros((40, 40, 3)),
            {"pixel_um": 0.2, "smallest_um2": 50, "largest_um2": 20},
            "give the smaller area first",
        ),
    ],
)
def test_what_cannot_be_is_refused(image, options, said):
    with pytest.raises(ValueError, match=said):
        stained_nuclei(image, **options)


# --- comparing -------------------------------------------------------------------------------------------------


def compared(target, prediction, **options):
    before = [image.copy() for image in (target, prediction)]
    found = compare_nuclei(target, prediction, PIXEL_UM, **options)
    for image, same in zip((target, prediction), before, strict=True):
        np.testing.assert_array_equal(image, same)
    return found


def test_the_same_image_has_the_same_nuclei():
    found = compared(smear([ONE, OTHER]), smear([ONE, OTHER], noise=4))
    assert found.counts.missing == found.counts.added == found.counts.resized == found.counts.lobes == 0
    assert found.pairs.tolist() == [[0, 0], [1, 1]]
    assert found.counts.mean_dice > 0.97


def test_an_erased_and_an_added_nucleus_are_seen():
    erased = compared(smear([ONE, OTHER]), smear([ONE]))
    assert (erased.missing, erased.added) == ((1,), ())
    assert str(erased) == "1 of 2 nuclei missing, 0 added, 0 of other size, 0 of other lobes"
    added = compared(smear([ONE]), smear([ONE, OTHER]))
    assert (added.missing, added.added) == ((), (1,))
    assert added.counts.prediction == 2


@pytest.mark.parametrize(("px", "matched"), [(0, 1), (10, 1), (16, 1), (20, 0), (40, 0)])
def test_a_nucleus_is_the_same_up_to_a_radius_away(px, matched):
    moved = compared(smear([ONE]), smear([np.roll(ONE, px, 1)]))  # of 18 px radius
    assert moved.counts.matched == matched
    assert moved.counts.missing == moved.counts.added == 1 - matched
    if matched:
        assert moved.distance_um[0] == pytest.approx(px * PIXEL_UM, abs=0.05)


def test_a_shrunk_nucleus_is_of_another_size_and_not_missing():
    small = compared(smear([ONE]), smear([disc((160, 160), (60, 70), 12)]))
    assert small.area_ratio[0] == pytest.approx(144 / 324, rel=0.1)
    assert (small.counts.missing, small.counts.resized) == (0, 1)
    # just below the limit of area on one side: still the same nucleus
    limit = float(stained_nuclei(smear([ONE]), pixel_um=PIXEL_UM).area_um2[0]) * 0.9
    edge = compared(smear([ONE]), smear([disc((160, 160), (60, 70), 16)]), smallest_um2=limit)
    assert (edge.counts.matched, edge.counts.missing) == (1, 0)


def test_merged_and_erased_lobes_are_seen():
    three = smear([lobed(3)])
    whole = smear([disc((160, 160), np.argwhere(lobed(3)).mean(axis=0), 20)])
    assert compared(three, whole).lobe_difference.tolist() == [-2]
    assert compared(three, smear([lobed(3) & ~disc((160, 160), (95, 97), 14)])).counts.lobes == 1


def test_neighbours_are_matched_one_to_one():
    masks = [disc((160, 160), (80, x), 12) for x in (40, 80, 120)]
    moved = [np.roll(mask, 5, 1) for mask in masks]
    found = compared(smear(masks), smear(moved[::-1]))
    assert found.pairs.tolist() == [[0, 0], [1, 1], [2, 2]]
    two_for_one = compared(smear(masks[:1]), smear([masks[0] & ~disc((160, 160), (80, 40), 3)]))
    assert two_for_one.counts.matched == 1


def test_a_target_without_nuclei_is_said_and_is_no_rate():
    found = compared(smear(), smear([ONE]))
    assert str(found) == "the target has no nuclei, 1 added"
    assert found.counts.empty == 1
    rates = found.counts.rates()
    assert rates["missing"].share is None
    assert str(rates["missing"]) == "none to count"
    assert rates["added"].share == 1
    assert compared(smear(), smear()).counts == NucleiCounts(images=1, empty=1)


def test_sizes_must_be_alike():
    with pytest.raises(ValueError, match="give images of one size"):
        compare_nuclei(smear(), smear()[:-1], PIXEL_UM)


# --- counts ----------------------------------------------------------------------------------------------------


def test_counts_add_up():
    parts = [compared(smear([ONE, OTHER]), smear([ONE])).counts, compared(smear([ONE]), smear([ONE, OTHER])).counts]
    both = sum(parts, NucleiCounts())
    assert (both.images, both.target, both.prediction, both.matched) == (2, 3, 3, 2)
    assert both.rates()["missing"].count == both.rates()["added"].count == 1
    assert NucleiCounts(**both.as_dict()) == both


def test_wilson_by_hand():
    # Newcombe 1998, Stat. Med. 17:857, table I: 81 of 263, 15 of 148, 0 of 20, 1 of 29
    for count, of, low, high in (
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ):
        rate = wilson(count, of)
        assert (rate.low, rate.high) == (pytest.approx(low, abs=6e-5), pytest.approx(high, abs=6e-5))
    with pytest.raises(ValueError, match="3 of 2"):
        wilson(3, 2)


# --- recorded smears -------------------------------------------------------------------------------------------


@pytest.mark.real_data
def test_white_cells_of_recorded_smears_are_found(real_data):
    from xml.etree import ElementTree

    from skimage.io import imread

    found = total = 0
    for path in sorted((real_data / "blood_smears" / "bccd").glob("*.jpg"))[::40]:
        nuclei = stained_nuclei(imread(path), pixel_um=0.1)
        y, x = (nuclei.centres_um / 0.1).T
        for one in ElementTree.parse(path.with_suffix(".xml")).iter("object"):
            if one.findtext("name") == "WBC":
                left, top, right, bottom = (
                    float(one.findtext(f"bndbox/{edge}")) for edge in ("xmin", "ymin", "xmax", "ymax")
                )
                total += 1
                found += bool(((x > left) & (x < right) & (y > top) & (y < bottom)).any())
    assert total > 5
    assert found == total


def test_dark_red_cells_are_no_nuclei_and_dark_nuclei_are(rng):
    """Six violet discs of one population, the darkest above the threshold; then one that is far darker."""
    yy, xx = np.mgrid[:200, :240]
    thickness = np.zeros(yy.shape)
    for (y, x), depth in zip(
        ((40, 40), (40, 120), (40, 200), (150, 40), (150, 120), (150, 200)), range(6), strict=True
    ):
        inside = np.hypot(yy - y, xx - x) < 24
        thickness[inside] = 0.7 + 0.13 * depth
    colour = np.array([0.65, 0.43, 0.6])
    image = 226 * colour ** thickness[..., None] + rng.normal(0, 3, (*yy.shape, 3))
    found = stained_nuclei(np.clip(np.rint(image), 0, 255).astype(np.uint8), pixel_um=0.2)
    assert len(found) == 0
    assert found.like_others >= 1
    nucleus = np.hypot(yy - 95, xx - 80) < 20
    image[nucleus] = (70, 40, 130)
    found = stained_nuclei(np.clip(np.rint(image), 0, 255).astype(np.uint8), pixel_um=0.2)
    assert len(found) == 1
    np.testing.assert_allclose(found.centres_um[0], (95 * 0.2, 80 * 0.2), atol=0.3)


@pytest.mark.real_data
def test_purple_red_cells_of_another_laboratory_are_no_nuclei(real_data):
    paths = sorted((real_data / "blood_smears/chula").glob("*.jpg"))[::16]
    found = [stained_nuclei(imread(path), pixel_um=0.1) for path in paths]
    assert sum(map(len, found)) <= 4  # most fields have no white cell
