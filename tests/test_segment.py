from __future__ import annotations

from xml.etree import ElementTree

import dask.array as da
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.draw import disk
from skimage.io import imread

from napari_cellrestore.segment import (
    CONTRASTS,
    crop_around_nucleus,
    find_nuclei,
    largest_nucleus,
    square_around,
)
from napari_cellrestore.simulate import draw_smear
from napari_cellrestore.stack import ImageStack

BACKGROUND, RED_CELL, CHROMATIN = (235, 232, 225), (220, 170, 165), (100, 60, 150)


def smear(nuclei, shape=(200, 240)):
    """Red cells of 30 px radius and nuclei as discs of known centre and radius."""
    image = np.full((*shape, 3), BACKGROUND, np.uint8)
    for centre, radius, colour in [*(((y, x), 30, RED_CELL) for y, x in ((60, 60), (140, 190))),
                                   *((centre, radius, CHROMATIN) for centre, radius in nuclei)]:  # fmt: skip
        image[disk(centre, radius, shape=shape)] = colour
    return image


@pytest.mark.parametrize("contrast", CONTRASTS)
def test_discs_are_found_with_place_and_size_the_largest_first(contrast):
    image = smear([((50, 170), 15), ((150, 80), 22)])
    before = image.copy()
    first, second = find_nuclei(image, contrast=contrast, pixel_um=0.2)
    assert np.abs(np.subtract(first.centroid_px, (150, 80))).max() < 0.5
    assert np.abs(np.subtract(second.centroid_px, (50, 170))).max() < 0.5
    assert first.area_px == pytest.approx(np.pi * 22**2, rel=0.1)
    assert first.area_um2 == pytest.approx(0.04 * first.area_px)
    assert first.centroid_um == pytest.approx(np.multiply(first.centroid_px, 0.2))
    assert np.abs(np.subtract(first.box_px, (129, 59, 172, 102))).max() <= 1
    assert first.box_um == pytest.approx(np.multiply(first.box_px, 0.2))
    assert not first.touches_edge
    assert np.array_equal(image, before)


def test_grey_levels_and_the_pixel_size_of_a_stack():
    grey = smear([((100, 120), 20)])[..., 1]
    (found,) = find_nuclei(ImageStack(grey, "YX", pixel_um=0.1, pixel_y_um=0.3))
    assert found.centroid_um == pytest.approx((100 * 0.3, 120 * 0.1), abs=0.1)
    assert largest_nucleus(grey).centroid_um is None


def test_what_is_small_or_cut_off():
    image = smear([((100, 5), 20), ((30, 150), 5)])
    assert largest_nucleus(image).touches_edge
    assert len(find_nuclei(image, min_area_px=10)) == 2
    assert len(find_nuclei(image, min_area_px=200)) == 1


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 3), st.booleans(), st.floats(0.5, 1.0))
def test_it_turns_with_the_image_and_ignores_the_lamp(turns, mirrored, brightness):
    image = smear([((60, 150), 22)], (200, 200))
    y, x = largest_nucleus(image).centroid_px
    turned = np.rot90(image, turns)[:, :: -1 if mirrored else 1]
    expected = np.zeros((200, 200), bool)
    expected[round(y), round(x)] = True
    (where,) = np.argwhere(np.rot90(expected, turns)[:, :: -1 if mirrored else 1])
    found = largest_nucleus((turned * brightness).astype(np.uint8))
    assert np.abs(np.subtract(found.centroid_px, where)).max() < 1


@pytest.mark.parametrize("seed", range(4))
def test_the_nucleus_of_a_drawn_smear_lies_where_chromatin_was_drawn(seed):
    image = draw_smear((256, 256), 0.1, np.random.default_rng(seed))
    chromatin = (image[..., 1] < 105) & (image[..., 0] < 160)  # optical density of green above 0.8, of red above 0.4
    rows, columns = np.nonzero(chromatin)
    top, left, bottom, right = largest_nucleus(image).box_px
    inside = (rows >= top - 2) & (rows < bottom + 2) & (columns >= left - 2) & (columns < right + 2)
    assert inside.mean() > 0.95
    assert largest_nucleus(image).area_px == pytest.approx(len(rows), rel=0.25)


# --- cutting out


def test_a_square_around_the_nucleus_of_the_sharpest_plane():
    sharp = smear([((90, 100), 20)]).astype(float)
    stack = ImageStack(da.from_array(np.stack([0.9 * sharp, sharp])), "ZYXS", pixel_um=0.1, z_um=[0, 0.2])
    cropped, (rows, columns) = crop_around_nucleus(stack, 64, jitter_px=0)
    assert (rows, columns) == (slice(58, 122), slice(68, 132))
    assert isinstance(cropped.data, da.Array)
    assert np.array_equal(cropped.data[1].compute(), sharp[rows, columns])
    assert (cropped.pixel_um, cropped.z_um.tolist()) == (0.1, [0, 0.2])
    assert cropped.provenance["cropped"] == {"rows": [58, 122], "columns": [68, 132]}


def test_offsets_are_normal_with_the_stated_spread_and_repeat_with_the_seed():
    rng = np.random.default_rng(0)
    first = np.array([[part.start for part in square_around((500, 500), (1000, 1000), 64, 12.0, rng)]
                      for _ in range(4000)])  # fmt: skip
    assert first.mean(0) == pytest.approx([468.5, 468.5], abs=0.7)
    assert first.std(0) == pytest.approx([12, 12], rel=0.04)
    assert (np.abs(first - first.mean(0)) < 12).mean() == pytest.approx(0.683, abs=0.03)
    squares = [square_around((50, 50), (200, 200), 64, rng=np.random.default_rng(4)) for _ in range(2)]
    assert squares[0] == squares[1]


@settings(max_examples=25, deadline=None)
@given(st.floats(-5, 205), st.floats(-5, 305), st.integers(1, 200), st.floats(0, 500), st.integers(0, 99))
def test_the_square_stays_inside(y, x, size_px, jitter_px, seed):
    square = square_around((y, x), (200, 300), size_px, jitter_px, np.random.default_rng(seed))
    for part, length in zip(square, (200, 300), strict=True):
        assert 0 <= part.start < part.stop <= length
        assert part.stop - part.start == size_px


# --- wrong input


def test_images_without_a_nucleus():
    assert find_nuclei(np.full((50, 50, 3), 200, np.uint8)) == []
    assert find_nuclei(np.full((50, 50), 0.1)) == []
    with pytest.raises(ValueError, match="no nucleus found"):
        largest_nucleus(np.full((50, 50), 200, np.uint8))


@pytest.mark.parametrize(
    ("image", "options", "message"),
    [
        (np.ones((20, 20)), {"contrast": "red"}, "unknown contrast 'red': use one of violet, darkness"),
        (np.ones((20, 20)), {"contrast": "violet"}, r"shape \(20, 20\): 'violet' needs colours"),
        (np.ones((20, 20)), {"pixel_um": 0}, "pixel_um is 0: give a positive number"),
        (np.full((20, 20), np.nan), {}, "not finite"),
        (np.ones((2, 20, 20)), {}, r"shape \(2, 20, 20\): give one plane"),
        (ImageStack(np.ones((2, 20, 20)), "ZYX"), {}, "axes ZYX: nuclei are found in one plane"),
    ],
)
def test_wrong_images(image, options, message):
    with pytest.raises(ValueError, match=message):
        find_nuclei(image, **options)


@pytest.mark.parametrize(
    ("size_px", "options", "message"),
    [
        (300, {"jitter_px": 0}, r"size_px is 300: give a whole number of pixels, 1 to 200"),
        (64, {"jitter_px": -1}, "jitter_px is -1: give a number of pixels, 0 or more"),
        (64, {}, "a random offset needs rng"),
    ],
)
def test_wrong_squares(size_px, options, message):
    with pytest.raises(ValueError, match=message):
        crop_around_nucleus(np.stack([smear([((90, 100), 20)])] * 2), size_px, **options)


# --- real images


def white_cells(path):
    """Boxes (top, left, bottom, right) of the white cells of an image."""
    objects = ElementTree.parse(path.with_suffix(".xml")).findall("object")
    return [[int(one.findtext(f"bndbox/{edge}")) for edge in ("ymin", "xmin", "ymax", "xmax")]
            for one in objects if one.findtext("name") == "WBC"]  # fmt: skip


@pytest.mark.real_data
def test_the_largest_nucleus_lies_in_the_box_of_a_white_cell(real_data):
    paths = [path for path in sorted((real_data / "blood_smears" / "bccd").glob("*.jpg")) if white_cells(path)][3::9][
        :30
    ]
    assert len(paths) == 30
    hits = 0
    for path in paths:
        y, x = largest_nucleus(imread(path)).centroid_px
        hits += any(top <= y <= bottom and left <= x <= right for top, left, bottom, right in white_cells(path))
    assert hits >= 27
