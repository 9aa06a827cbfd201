"""Random changes of pairs: input and target stay together, strengths of 0 change nothing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage.color import hed_from_rgb

from napari_cellrestore.augment import augment, background, reach_px
from napari_cellrestore.recipe import Augmentation

STILL = {"flips": False, "quarter_turns": False}
SHAPES = {
    "flips": {"flips": True, "quarter_turns": False},
    "quarter_turns": {"flips": False, "quarter_turns": True},
    "shift_px": {"shift_px": 9, **STILL},
    "scale": {"scale": 0.3, **STILL},
    "rotation_deg": {"rotation_deg": 180, **STILL},
    "elastic_px": {"elastic_px": 5, **STILL},
    "distortion": {"distortion": 0.2, **STILL},
}
COLOURS = {name: {name: 0.3, **STILL} for name in ("contrast", "brightness", "balance", "saturation", "stain")}


@pytest.fixture
def image(rng):
    """A field with smooth structure, different in each colour."""
    coarse = rng.uniform(60, 220, (14, 14, 3))
    return np.kron(coarse, np.ones((8, 8, 1))).astype(np.float32)


@pytest.mark.parametrize("options", [*SHAPES.values(), *COLOURS.values()], ids=[*SHAPES, *COLOURS])
def test_each_strength_changes_input_and_target_alike(image, options):
    before = image.copy()
    changed = 0.0
    for seed in range(4):
        ours, theirs = augment(np.random.default_rng(seed), image, image, Augmentation(**options), size=64)
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)
        changed = max(changed, float(np.abs(ours - image[24:88, 24:88]).max()))
    assert changed > 2
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("options", SHAPES.values(), ids=SHAPES)
def test_a_relation_of_input_and_target_survives_every_shape(image, options):
    """target = 250 - input / 2 holds pixel by pixel, so both were moved to the same places."""
    for seed in range(4):
        ours, theirs = augment(np.random.default_rng(seed), image, 250 - image / 2, Augmentation(**options), size=64)
        np.testing.assert_allclose(theirs, 250 - ours / 2, atol=2e-3)


def test_nothing_is_drawn_and_nothing_changes_where_strengths_are_0(image):
    rng = np.random.default_rng(3)
    ours, theirs = augment(rng, image, image + 5, Augmentation(**STILL))
    np.testing.assert_array_equal(ours, image)
    np.testing.assert_array_equal(theirs, image + 5)
    assert rng.bit_generator.state == np.random.default_rng(3).bit_generator.state


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), strengths=st.tuples(*[st.floats(0, 0.4)] * 3), planes=st.integers(1, 3))
def test_the_same_state_gives_the_same_pair_and_planes_stay_on_one_another(seed, strengths, planes):
    sharp = np.random.default_rng(0).uniform(20, 230, (40, 40, 3)).astype(np.float32)
    given_ = np.concatenate([sharp] * planes, axis=-1)
    options = Augmentation(contrast=strengths[0], stain=strengths[1], scale=strengths[2], rotation_deg=30, elastic_px=2)
    first, again = (
        augment(np.random.default_rng(seed), given_, sharp, options, planes=planes, size=24) for _ in range(2)
    )
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])
    for plane in range(planes):
        np.testing.assert_allclose(first[0][..., 3 * plane : 3 * plane + 3], first[1], rtol=1e-4, atol=1e-3)


# --- shapes --------------------------------------------------------------------------------------------------


def test_whole_turns_keep_every_grey_level(image):
    ours, _ = augment(np.random.default_rng(5), image, image, Augmentation())
    np.testing.assert_array_equal(np.sort(ours.ravel()), np.sort(image.ravel()))
    seen = {augment(np.random.default_rng(s), image, image, Augmentation())[0].tobytes() for s in range(60)}
    assert len(seen) == 8  # the symmetries of a square


def test_shift_moves_by_at_most_its_strength():
    """On a ramp a shift of d px changes the grey level by d."""
    ramp = np.broadcast_to(np.arange(60, dtype=np.float32)[None, :, None], (60, 60, 1))
    moves = []
    for seed in range(30):
        ours, _ = augment(np.random.default_rng(seed), ramp, ramp, Augmentation(shift_px=4, **STILL), size=40)
        moved = ours[..., 0] - np.arange(10, 50)
        assert np.ptp(moved) < 1e-3
        moves.append(float(moved.mean()))
    assert max(np.abs(moves)) <= 4
    assert min(moves) < -2
    assert max(moves) > 2


def test_scale_and_distortion_are_the_closed_forms():
    """A ramp through the middle gets the slope of the factor; the corner moves by its share of the radius."""
    axis = np.arange(101, dtype=np.float32) - 50
    ramps = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1)
    for seed in range(10):
        ours, _ = augment(np.random.default_rng(seed), ramps, ramps, Augmentation(scale=0.4, **STILL), size=41)
        factor = ours[40, 20, 0] / 20
        assert np.exp(-0.4) <= factor <= np.exp(0.4)
        np.testing.assert_allclose(
            ours[..., 0], np.broadcast_to(factor * np.arange(-20, 21)[:, None], (41, 41)), atol=1e-3
        )
        bent, _ = augment(np.random.default_rng(seed), ramps, ramps, Augmentation(distortion=0.3, **STILL), size=41)
        k = np.hypot(*bent[0, 0]) / np.hypot(20, 20) - 1
        assert abs(k) <= 0.3 + 1e-4
        np.testing.assert_allclose(bent[20, 40, 1], 20 * (1 + k / 2), rtol=1e-3)  # half the corner's radius squared


def test_elastic_moves_are_smooth_and_bounded():
    axis = np.arange(140, dtype=np.float32)
    ramps = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1)
    for seed in range(10):
        ours, _ = augment(np.random.default_rng(seed), ramps, ramps, Augmentation(elastic_px=6, **STILL), size=120)
        moves = ours - ramps[10:130, 10:130]
        assert np.hypot(*np.moveaxis(moves, -1, 0)).max() <= 6 + 1e-3
        assert np.abs(np.diff(moves, axis=0)).max() < 0.5
        assert np.ptp(moves) > 0.5


@settings(max_examples=25, deadline=None)
@given(
    size=st.integers(8, 40),
    rotation=st.floats(0, 180),
    scale=st.floats(0, 0.5),
    shift=st.floats(0, 8),
    seed=st.integers(0, 99),
)
def test_what_moves_in_is_within_reach(size, rotation, scale, shift, seed):
    """With that many pixels around, nothing is mirrored: a ramp stays a plane."""
    options = Augmentation(rotation_deg=rotation, scale=scale, shift_px=shift, elastic_px=0.0, **STILL)
    side = size + 2 * reach_px(options, size)
    # cubic convolution needs two more pixels, which are mirrored at worst: look at the position, not at its neighbours
    ramp = np.broadcast_to(np.arange(side, dtype=np.float32)[:, None, None], (side, side, 1))
    if not (rotation or scale or shift):
        assert side == size
        return
    ours, _ = augment(np.random.default_rng(seed), ramp, ramp, options, size=size)
    bends = np.abs(np.diff(ours[..., 0], 2, axis=0)).max(), np.abs(np.diff(ours[..., 0], 2, axis=1)).max()
    assert max(bends) < 0.75  # a mirror folds the ramp: twice its slope


def test_pixels_are_interpolated_by_the_cubic_convolution_of_keys(rng):
    """Shifted by a known part of a pixel: the weights of Keys 1981, equation 15."""
    image = rng.uniform(0, 255, (48, 48, 1)).astype(np.float32)
    ours, _ = augment(np.random.default_rng(4), image, image, Augmentation(shift_px=0.9, **STILL), size=32)
    dy, dx = np.random.default_rng(4).uniform(-0.9, 0.9, 2)

    def weights(shift):
        s = np.abs(np.arange(-3, 4) - shift)
        return np.where(s < 1, 1.5 * s**3 - 2.5 * s**2 + 1, np.where(s < 2, -0.5 * s**3 + 2.5 * s**2 - 4 * s + 2, 0))

    expected = ndimage.correlate1d(ndimage.correlate1d(image[..., 0].astype(float), weights(dy), 0), weights(dx), 1)
    np.testing.assert_allclose(ours[..., 0], expected[8:40, 8:40], atol=0.255)  # white noise of 255 levels


# --- colours -------------------------------------------------------------------------------------------------


def test_contrast_and_brightness_are_the_formula(image):
    clear = background(image)
    rng = np.random.default_rng(11)
    contrast, brightness = np.exp(rng.uniform(-0.5, 0.5)), np.exp(rng.uniform(-0.2, 0.2))
    ours, _ = augment(np.random.default_rng(11), image, image, Augmentation(contrast=0.5, brightness=0.2, **STILL))
    np.testing.assert_allclose(ours, clear * brightness + (image - clear) * contrast, rtol=1e-4)


def test_contrast_leaves_the_background_and_brightness_the_contrast(image):
    clear = background(image)
    ours, _ = augment(np.random.default_rng(0), image, image, Augmentation(contrast=0.5, **STILL))
    np.testing.assert_allclose(background(ours), clear, rtol=1e-4)
    ours, _ = augment(np.random.default_rng(0), image, image, Augmentation(brightness=0.5, **STILL))
    np.testing.assert_allclose(ours.std((0, 1)), image.std((0, 1)), rtol=1e-4)
    assert np.abs(background(ours) - clear).min() > 1


def test_saturation_keeps_the_mean_of_colours(image):
    for seed in range(6):
        ours, _ = augment(np.random.default_rng(seed), image, image, Augmentation(saturation=0.5, **STILL))
        np.testing.assert_allclose(ours.mean(-1), image.mean(-1), rtol=1e-4)
        factor = np.exp(np.random.default_rng(seed).uniform(-0.5, 0.5))
        np.testing.assert_allclose(ours.std(-1), factor * image.std(-1), rtol=1e-3, atol=1e-3)


def test_stain_multiplies_the_density_of_each_stain(rng):
    density = rng.uniform(0.1, 1.0, (48, 48, 3))
    density[:32] = 0  # background
    image = (200 * np.exp(-density @ np.linalg.inv(hed_from_rgb))).astype(np.float32)
    ours, _ = augment(np.random.default_rng(2), image, image, Augmentation(stain=0.4, **STILL))
    np.testing.assert_allclose(ours[:32], 200, rtol=1e-4)  # light that no stain took stays
    factors = np.exp(np.random.default_rng(2).uniform(-0.4, 0.4, 3))
    np.testing.assert_allclose(-np.log(ours / 200) @ hed_from_rgb, density * factors, atol=1e-3)


def test_grey_images_take_contrast_and_brightness_alone(image):
    grey = image[..., :1]
    options = Augmentation(balance=0.5, saturation=0.5, stain=0.5, **STILL)
    ours, theirs = augment(np.random.default_rng(0), grey, grey, options)
    np.testing.assert_array_equal(ours, grey)
    np.testing.assert_array_equal(theirs, grey)
    # what only the target could show, the network could not learn
    ours, theirs = augment(np.random.default_rng(0), grey, image, options)
    np.testing.assert_array_equal(theirs, image)
    ours, theirs = augment(np.random.default_rng(0), grey, image, Augmentation(contrast=0.5, **STILL))
    ratio = (theirs - background(image)).std() / (image - background(image)).std()
    np.testing.assert_allclose(ours, background(grey) + (grey - background(grey)) * ratio, rtol=1e-4)


def test_levels_are_limited_where_the_detector_would_and_nowhere_else(image):
    bright = Augmentation(brightness=1.0, contrast=1.0, **STILL)
    free = [augment(np.random.default_rng(s), image, image, bright)[0] for s in range(8)]
    held = [augment(np.random.default_rng(s), image, image, bright, limits=(0, 255))[0] for s in range(8)]
    assert max(a.max() for a in free) > 255
    for a, b in zip(free, held, strict=True):
        np.testing.assert_array_equal(np.clip(a, 0, 255), b)
    # without a change of colours nothing is limited, whatever was recorded
    still, _ = augment(np.random.default_rng(0), image + 200, image, Augmentation(**STILL), limits=(0, 255))
    np.testing.assert_array_equal(still, image + 200)


def test_cutout_blanks_a_square_of_the_input_alone(image):
    ours, theirs = augment(np.random.default_rng(0), image, image, Augmentation(cutout=1.0, **STILL))
    np.testing.assert_array_equal(theirs, image)
    blank = (ours == background(image)).all(-1)
    rows, columns = np.flatnonzero(blank.all(-1) | (blank.sum(1) >= 28)), np.flatnonzero(blank.sum(0) >= 28)
    assert len(rows) == len(columns) == 28  # a quarter of 112
    np.testing.assert_array_equal(ours[~blank], image[~blank])
    share = np.mean(
        [
            augment(np.random.default_rng(s), image, image, Augmentation(cutout=0.3, **STILL))[0].tobytes()
            != image.tobytes()
            for s in range(100)
        ]
    )
    assert 0.15 < share < 0.45


@pytest.mark.parametrize(
    ("shapes", "options", "message"),
    [
        (((8, 8, 1), (8, 9, 1)), {}, r"input is \(8, 8, 1\), target \(8, 9, 1\): give \(y, x, C\) of one size"),
        (((8, 8), (8, 8)), {}, "give .* of one size"),
        (((8, 8, 1), (8, 8, 1)), {"size": 9}, r"size is 9 of crops of \(8, 8\): give 1 to 8"),
        (((8, 8, 3), (8, 8, 1)), {"planes": 2}, "3 channels, not a multiple of 2 planes"),
    ],
)
def test_wrong_input_is_said(shapes, options, message):
    with pytest.raises(ValueError, match=message):
        augment(np.random.default_rng(0), np.zeros(shapes[0]), np.zeros(shapes[1]), Augmentation(), **options)
