"""Stain normalisation: Gaussians and maps in closed form, segmentation, fitting, baselines, bad input."""

from __future__ import annotations

import json
import weakref

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import distance_transform_edt
from skimage.color import rgb2lab
from skimage.io import imread, imsave
from skimage.measure import label

from napari_cellrestore.nuclei import stained_nuclei
from napari_cellrestore.simulate import draw_smear
from napari_cellrestore.stack import ImageStack
from napari_cellrestore.stain import (
    CLASSES,
    StainSystem,
    StainTransfer,
    class_distances,
    colour_distance,
    fit_hedlund_morell,
    fit_macenko,
    fit_reinhard,
    fit_system,
    fit_transfer,
    image_files,
    lab_colours,
    stain_classes,
)
from napari_cellrestore.stain.gaussians import RIDGE, Moments, optimal_map, wasserstein
from napari_cellrestore.stain.system import LEAST_PX

#: Colours of the drawn cells: background, red cell, nucleus, cytoplasm.
DRAWN = np.array([[225, 226, 224], [205, 160, 150], [95, 55, 150], [190, 172, 215]], float)


def drawn(seed: int = 0, colours: np.ndarray = DRAWN, *, white_cell: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Return a smear of flat discs with noise, uint8, and the class of each pixel."""
    y, x = np.mgrid[:160, :200]
    truth = np.zeros(y.shape, int)
    for cy, cx in ((30, 30), (120, 40), (40, 160), (90, 175)):
        truth[np.hypot(y - cy, x - cx) < 20] = 1
    if white_cell:
        truth[np.hypot(y - 90, x - 105) < 34] = 3
        truth[np.hypot(y - 90, x - 105) < 22] = 2
    noise = np.random.default_rng(seed).normal(0, 4, (*y.shape, 3))
    return np.clip(np.rint(colours[truth] + noise), 0, 255).astype(np.uint8), truth


def system(means, covariances, priors=None, classes=CLASSES) -> StainSystem:
    means = np.asarray(means, float)
    k = len(means)
    covariances = np.broadcast_to(covariances, (k, 3, 3))
    priors = np.full(k, 1 / k) if priors is None else priors
    colour = means.mean(axis=0)
    return StainSystem(
        classes[:k], means, covariances, covariances, priors, np.full(k, 1000.0), 2, colour, np.full(3, 5.0)
    )


def spd(values) -> np.ndarray:
    root = np.reshape(values, (3, 3))
    return root @ root.T + np.eye(3)


MATRICES = st.lists(st.floats(-8, 8), min_size=9, max_size=9).map(spd)


@pytest.fixture(scope="module")
def smear():
    return draw_smear((240, 240), 0.1, np.random.default_rng(0))


@pytest.fixture(scope="module")
def transfer():
    """Between the drawn smears and such with other colours."""
    other = DRAWN * [0.8, 0.9, 0.7] + [10, -5, 20]
    return fit_hedlund_morell([drawn(0)[0], drawn(1)[0]], [drawn(2, other)[0], drawn(3, other)[0]])


# --- Gaussians -----------------------------------------------------------------------------------------------


def test_moments_of_several_images_are_those_of_all_pixels(rng):
    parts = [rng.normal(100 + 20 * i, 5, (50 + i, 3)) for i in range(3)]
    weights = [rng.random((len(part), 2)) for part in parts]
    moments = Moments(2)
    for part, weight in zip(parts, weights, strict=True):
        moments.add(part, weight)
    every, weight = np.concatenate(parts), np.concatenate(weights)[:, 1]
    np.testing.assert_allclose(moments.means[1], np.average(every, axis=0, weights=weight))
    expected = np.cov(every.T, aweights=weight, ddof=0) + RIDGE * np.eye(3)
    np.testing.assert_allclose(moments.covariances[1], expected)
    each = [np.cov(p.T, aweights=w[:, 1], ddof=0) * w[:, 1].sum() for p, w in zip(parts, weights, strict=True)]
    np.testing.assert_allclose(moments.within[1], sum(each) / weight.sum() + RIDGE * np.eye(3))


def test_a_class_without_pixels_has_a_covariance_all_the_same():
    moments = Moments(1)
    moments.add(np.ones((4, 3)), np.zeros((4, 1)))
    np.testing.assert_array_equal(moments.covariances[0], RIDGE * np.eye(3))


@settings(max_examples=25, deadline=None)
@given(MATRICES, MATRICES)
def test_the_map_moves_covariance_onto_covariance(a, b):
    moved = optimal_map(a, b)
    np.testing.assert_allclose(moved @ a @ moved, b, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(moved, moved.T, atol=1e-9)
    assert np.linalg.eigvalsh(moved)[0] > 0
    np.testing.assert_allclose(optimal_map(a, a), np.eye(3), atol=1e-7)


@settings(max_examples=25, deadline=None)
@given(MATRICES, MATRICES)
def test_the_distance_is_what_the_map_moves(a, b):
    """``E |M x + t - x|^2`` over the Gaussian, which the optimal map makes least."""
    step = np.array([1.0, -2, 3])
    moved = optimal_map(a, b) - np.eye(3)
    expected = np.sqrt(step @ step + np.trace(moved @ a @ moved))
    assert wasserstein(np.zeros(3), a, step, b) == pytest.approx(expected, rel=1e-5)
    assert wasserstein(step, b, np.zeros(3), a) == pytest.approx(expected, rel=1e-5)


# --- the map of colours --------------------------------------------------------------------------------------


def test_mean_and_covariance_of_one_class_move_exactly(rng):
    pixels = rng.multivariate_normal([120, 90, 150], spd([5, 1, 0, 2, 4, 1, 0, 3, 6]), 4000).astype(np.float32)
    sample = system([pixels.mean(0, dtype=float)], np.cov(pixels.T, ddof=0))
    target = system([[80, 140, 60]], spd([2, 0, 1, 0, 7, 2, 1, 1, 3]))
    moved = fit_transfer(sample, target).apply(pixels.reshape(40, 100, 3), intensity=(0, 255)).reshape(-1, 3)
    np.testing.assert_allclose(moved.mean(0, dtype=float), target.means[0], atol=1e-3)
    np.testing.assert_allclose(np.cov(moved.T.astype(float), ddof=0), target.covariances[0], rtol=1e-3, atol=1e-2)


def test_classes_are_weighted_by_bayes():
    """Between two like Gaussians only the priors tell: 1 to 3."""
    two = system([[100, 100, 100], [140, 100, 100]], 25 * np.eye(3), np.array([0.25, 0.75]))
    middle = np.array([[[120, 100, 100], [100, 100, 100], [140, 100, 100]]], np.uint8)
    found = two.probabilities(middle)[0]
    np.testing.assert_allclose(found[0], [0.25, 0.75], atol=1e-6)
    assert found[1, 0] > 0.999
    assert found[2, 1] > 0.999
    other = system([[50, 100, 100], [182, 100, 200]], 25 * np.eye(3), np.array([0.5, 0.5]))
    # at the middle: 0.25 (20 + 50) + 0.75 (-20 + 182) in red
    expected = [0.25 * 70 + 0.75 * 162, 100, 0.25 * 100 + 0.75 * 200]
    moved = fit_transfer(two, other).apply(middle.astype(np.float32), intensity=(0, 255))
    np.testing.assert_allclose(moved[0, 0], expected, atol=1e-3)
    np.testing.assert_array_equal(fit_transfer(two, other).apply(middle)[0, 0], np.rint(expected))


def test_probabilities_of_all_classes_sum_to_one(rng, transfer):
    found = transfer.probabilities(rng.integers(0, 256, (40, 50, 3)).astype(np.uint8))
    assert found.shape == (40, 50, 4)
    np.testing.assert_allclose(found.sum(-1), 1, atol=1e-6)


def test_colours_of_one_system_stay(rng, transfer):
    image = rng.integers(0, 256, (30, 40, 3)).astype(np.uint8)
    same = fit_transfer(transfer.source, transfer.source)
    np.testing.assert_array_equal(same.apply(image), image)
    np.testing.assert_allclose(same.apply(image / 255, intensity=(0, 1)), image / 255, atol=1e-5)


def test_every_pixel_is_mapped_by_itself(rng, transfer):
    image = rng.integers(0, 256, (150, 200, 3)).astype(np.uint8)
    before = image.copy()
    whole = transfer.apply(image)
    np.testing.assert_array_equal(image, before)
    tiles = [[transfer.apply(image[y : y + 64, x : x + 70]) for x in range(0, 200, 70)] for y in range(0, 150, 64)]
    np.testing.assert_array_equal(np.block([[[tile] for tile in row] for row in tiles]), whole)


def test_alpha_and_other_types(transfer):
    image, _ = drawn(5)
    moved = transfer.apply(image)
    alpha = np.arange(image[..., 0].size, dtype=np.uint8).reshape(image.shape[:2])
    with_alpha = transfer.apply(np.dstack([image, alpha]))
    np.testing.assert_array_equal(with_alpha[..., :3], moved)
    np.testing.assert_array_equal(with_alpha[..., 3], alpha)
    floats = transfer.apply(image.astype(np.float32), intensity=(0, 255))
    assert floats.dtype == np.float32
    np.testing.assert_array_equal(np.rint(floats), moved)
    deep = transfer.apply(image.astype(np.uint16) * 257, intensity=(0, 65535))
    assert deep.dtype == np.uint16
    np.testing.assert_allclose(deep / 257, floats, atol=0.01)
    assert transfer.apply(image.astype(np.int32) * 257, intensity=(0, 65535)).dtype == np.int32


def test_integers_are_clipped_and_floats_are_not():
    dark, bright = system([[100, 100, 100]], 25 * np.eye(3)), system([[250, 250, 250]], 25 * np.eye(3))
    image = np.full((1, 1, 3), 120, np.uint8)
    assert fit_transfer(dark, bright).apply(image).max() == 255
    floats = fit_transfer(dark, bright).apply(image.astype(float), intensity=(0, 255))
    np.testing.assert_allclose(floats, 270, atol=1e-4)
    # 12 bit in 16: the type has room above full scale
    assert fit_transfer(dark, bright).apply(np.full((1, 1, 3), 1927, np.uint16), intensity=(0, 4095)).max() > 4095


def test_json_and_back(transfer):
    image, _ = drawn(6)
    again = StainTransfer.from_json(transfer.to_json())
    assert json.loads(again.to_json()) == transfer.to_dict()
    np.testing.assert_array_equal(again.apply(image), transfer.apply(image))
    source = StainSystem.from_dict(json.loads(json.dumps(transfer.source.to_dict())))
    np.testing.assert_array_equal(source.covariances, transfer.source.covariances)
    assert source.classes == CLASSES


def test_what_differs_from_image_to_image_does_not_stretch_an_image():
    """Two brightnesses of the target: its spread is that of both only if asked for."""
    one, other = drawn(0)[0], np.clip(drawn(1)[0].astype(int) - 30, 0, 255).astype(np.uint8)
    source, target = fit_system([drawn(2)[0]]), fit_system([one, other])
    within, every = fit_transfer(source, target), fit_transfer(source, target, spread="all")
    assert within.stretches["background"] < 1.3
    assert every.stretches["background"] > 3
    assert any("stretched in background" in note for note in every.notes)
    assert within.notes == ()


# --- segmentation and fitting --------------------------------------------------------------------------------


def test_classes_are_found():
    image, truth = drawn()
    before = image.copy()
    found = stain_classes(image)
    np.testing.assert_array_equal(image, before)
    np.testing.assert_allclose(found.sum(-1), 1, atol=1e-5)
    assert np.mean(found.argmax(-1) == truth) > 0.98
    np.testing.assert_array_equal(stain_classes(np.dstack([image, image[..., 0]])), found)
    deep = stain_classes(image.astype(np.uint16) * 16, intensity=(0, 4080))
    np.testing.assert_allclose(deep, found, atol=1e-3)


def test_purple_red_cells_are_no_nuclei():
    """Thick ones pass for nuclei by their colour alone; beside thin ones they are seen to be of one kind."""
    _, truth = drawn(white_cell=False)
    thickness = np.array([0, 1.3, 1.2, 0.9, 0.8])[label(truth)] * np.clip(distance_transform_edt(truth) / 8, 0, 1)
    light = 226 * np.array([0.65, 0.43, 0.6]) ** thickness[..., None]
    image = np.rint(light + np.random.default_rng(0).normal(0, 3, light.shape)).astype(np.uint8)
    found = stained_nuclei(image, pixel_um=0.2)
    assert (len(found), found.like_others) == (0, 2)
    found = stain_classes(image)
    assert found[..., 2:].sum() == 0
    assert np.mean(found.argmax(-1) == truth) > 0.9


def test_small_and_flat_images_have_classes_too():
    for shape in ((1, 1), (3, 5), (40, 40)):
        found = stain_classes(np.full((*shape, 3), 200, np.uint8))
        np.testing.assert_allclose(found, np.broadcast_to([1, 0, 0, 0], (*shape, 4)))


def test_the_colours_that_were_drawn_are_fitted():
    fitted = fit_system([drawn(0)[0], drawn(1)[0]])
    np.testing.assert_allclose(fitted.means, DRAWN, atol=1)
    np.testing.assert_allclose(fitted.covariances, np.broadcast_to((16 + RIDGE) * np.eye(3), (4, 3, 3)), atol=3)
    truth = np.bincount(drawn()[1].ravel(), minlength=4)
    np.testing.assert_allclose(fitted.pixels, 2 * truth, rtol=0.03)
    np.testing.assert_allclose(fitted.priors, truth / truth.sum(), rtol=0.03)
    assert fitted.images == 2


def test_held_out_smears_get_the_colours_of_the_target(transfer):
    other = DRAWN * [0.8, 0.9, 0.7] + [10, -5, 20]
    image, truth = drawn(9)
    moved = transfer.apply(image)
    for k in range(4):
        np.testing.assert_allclose(moved[truth == k].mean(0), other[k], atol=1.5)
    targets = [drawn(7, other)[0]]
    before, after = colour_distance([image], targets), colour_distance([moved], targets)
    assert before > 8
    assert after < 0.15 * before


def test_a_folder_is_read_one_image_after_another(tmp_path):
    for seed in range(2):
        imsave(tmp_path / f"{seed}.png", drawn(seed)[0], check_contrast=False)
    (tmp_path / "notes.txt").write_text("no image")
    arrays = fit_system([drawn(0)[0], drawn(1)[0]])
    for images in (tmp_path, image_files(tmp_path), str(tmp_path), np.stack([drawn(0)[0], drawn(1)[0]])):
        np.testing.assert_array_equal(fit_system(images).means, arrays.means)
    one = fit_system(ImageStack(drawn(0)[0], "YXS"))
    np.testing.assert_array_equal(one.means, fit_system(drawn(0)[0]).means)


def test_images_are_not_kept():
    alive = weakref.WeakSet()

    class Image(np.ndarray):
        """An array that a weak set takes."""

        __hash__ = object.__hash__

    def images():
        for seed in range(4):
            image = drawn(seed)[0].view(Image)
            alive.add(image)
            yield image
            del image
            assert len(alive) <= 1

    assert fit_system(images()).images == 4


def test_a_class_that_is_not_there_is_said(smear):
    image, _ = drawn(white_cell=False)
    with pytest.raises(
        ValueError, match=r"'nucleus' has 0 pixels, 'cytoplasm' has 0 pixels in 1 images, 500 are needed"
    ):
        fit_system([image])
    with pytest.raises(ValueError, match="leave it out: the classes are then background, red cell"):
        fit_system([image])
    two = fit_system([image], classes=("red cell", "background"))
    assert two.classes == ("background", "red cell")
    with pytest.raises(ValueError, match="the source has the classes background, red cell, the target background, red"):
        fit_transfer(two, fit_system([drawn()[0]]))
    empty = np.random.default_rng(0).normal(220, 3, (200, 200, 3)).astype(np.uint8)
    with pytest.raises(ValueError, match="'red cell' has 0 pixels"):
        fit_system([empty], classes=CLASSES[:2])
    assert fit_system([empty], classes="background").priors.tolist() == [1.0]


def test_a_class_of_few_images_is_minded():
    plain = [drawn(seed, white_cell=False)[0] for seed in range(1, 4)]
    few = fit_system([drawn(0)[0], *plain])
    assert [note.split(":")[0] for note in few.notes] == [
        f"{name!r} comes from 1 of 4 images, {few.pixels[CLASSES.index(name)]:.0f} pixels" for name in CLASSES[2:]
    ]
    transfer = fit_transfer(few, fit_system([drawn(5)[0]]))
    assert "source: 'nucleus' comes from 1 of 4 images" in transfer.notes[0]
    small = fit_system([drawn(0)[0][:, :105]], classes=("nucleus", "red cell"))
    assert any("'nucleus' comes from 1 of 1 images" in note for note in small.notes)


@pytest.mark.parametrize(
    ("image", "options", "message"),
    [
        (np.zeros((5, 5), np.uint8), {}, r"image has shape \(5, 5\): stains are told apart by colour"),
        (np.zeros((5, 5, 2), np.uint8), {}, "told apart by colour"),
        (np.zeros((0, 5, 3), np.uint8), {}, "it has no pixels"),
        (np.zeros((5, 5, 3), np.uint16), {}, r"uint16, whose full scale is not known.*such as 0 and 65535"),
        (np.zeros((5, 5, 3), np.float32), {}, r"float32, whose full scale is not known.*such as 0 and 1"),
        (np.full((5, 5, 3), np.nan), {"intensity": (0, 1)}, "not finite"),
        (np.zeros((5, 5, 3), np.uint16), {"intensity": (5, 5)}, r"intensity is \(5, 5\): give \(black, full scale\)"),
        (
            np.zeros((5, 5, 3), np.uint8),
            {"intensity": (0, 65535)},
            r"image is uint8, which holds 0 to 255: give grey levels",
        ),
    ],
)
def test_images_without_known_colours(image, options, message, transfer):
    for use in (transfer.apply, transfer.probabilities, stain_classes):
        with pytest.raises(ValueError, match=message):
            use(image, **options)


def test_what_cannot_be_fitted(tmp_path, transfer):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="empty: no images in it; they end in"):
        fit_system(tmp_path / "empty")
    with pytest.raises(ValueError, match="there is no such folder"):
        fit_system(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="no images: give a folder"):
        fit_system([])
    imsave(tmp_path / "grey.png", np.zeros((9, 9), np.uint8), check_contrast=False)
    with pytest.raises(ValueError, match=r"grey\.png has shape \(9, 9\)"):
        fit_system(tmp_path)
    with pytest.raises(ValueError, match="image 2 has pixels that are not finite"):
        fit_system([np.zeros((9, 9, 3)), np.full((9, 9, 3), np.inf)], intensity=(0, 255))
    with pytest.raises(TypeError, match="image is bool"):
        stain_classes(np.zeros((9, 9, 3), bool))
    with pytest.raises(ValueError, match="with 2 planes: give one plane"):
        fit_system(ImageStack(np.zeros((2, 9, 9, 3), np.uint8), "ZYXS"))
    with pytest.raises(ValueError, match=r"not \['platelet'\]"):
        fit_system([drawn()[0]], classes=("platelet",))
    with pytest.raises(TypeError, match="target is a NoneType: give the StainSystem of fit_system, one of each"):
        fit_transfer(transfer.source, None)
    with pytest.raises(ValueError, match="spread is 'some': use within or all"):
        fit_transfer(transfer.source, transfer.target, spread="some")


def test_systems_that_cannot_be(transfer):
    content = transfer.source.to_dict()
    for change, message in (
        ({"means": [[1, 2, 3]]}, r"means has shape \(1, 3\): give \(4, 3\) finite numbers"),
        ({"covariances": np.zeros((4, 3, 3)).tolist()}, "covariances of 'background' is not symmetric and positive"),
        ({"priors": [1, 1, 1, 1]}, "priors are"),
        ({"classes": ["a", "b", "c", "d"]}, "give some of background"),
        ({"classes": None}, "not the colours of a microscope"),
        ({"more": 1}, "not the colours of a microscope: the fields are"),
    ):
        with pytest.raises(ValueError, match=message):
            StainSystem.from_dict({**content, **change})
    for text in ("{", "[1]", '{"source": 1}'):
        with pytest.raises(ValueError, match=r"not JSON|not a transfer of colours"):
            StainTransfer.from_json(text)


# --- distances and baselines ---------------------------------------------------------------------------------


def test_colour_distance_is_that_of_the_means_where_spreads_are_alike():
    image, _ = drawn(0)
    darker = np.clip(image.astype(int) - 12, 0, 255).astype(np.uint8)
    found = class_distances(lab_colours([image]), lab_colours([darker]))
    assert list(found) == list(CLASSES)
    for name, far in found.items():
        colour = DRAWN[CLASSES.index(name)]
        expected = np.linalg.norm(rgb2lab(colour / 255) - rgb2lab((colour - 12) / 255))
        assert far == pytest.approx(expected, abs=0.6)
    assert colour_distance([image], [darker]) == pytest.approx(np.mean(list(found.values())))
    assert colour_distance([darker], [image]) == pytest.approx(np.mean(list(found.values())))
    assert colour_distance([image], [image]) == pytest.approx(0, abs=1e-4)


def test_a_class_that_one_set_lacks_does_not_count():
    image, _ = drawn(0)
    plain, _ = drawn(1, white_cell=False)
    assert list(class_distances(lab_colours([image]), lab_colours([plain]))) == ["background", "red cell"]
    with pytest.raises(ValueError, match=f"none of the classes nucleus in common with {LEAST_PX} pixels or more"):
        colour_distance([image], [plain], classes=("nucleus",))


def test_reinhard_moves_mean_and_deviation_in_lab():
    image, _ = drawn(0)
    target = np.clip(drawn(1)[0] * [0.9, 0.95, 0.8], 0, 255).astype(np.uint8)
    moved = fit_reinhard([image], [target]).apply(image.astype(np.float32), intensity=(0, 255))
    ours, theirs = rgb2lab(moved / 255).reshape(-1, 3), rgb2lab(target / 255.0).reshape(-1, 3)
    np.testing.assert_allclose(ours.mean(0), theirs.mean(0), atol=0.3)
    np.testing.assert_allclose(ours.std(0), theirs.std(0), rtol=0.05)


def test_macenko_finds_two_stains():
    """Two known stains in known amounts, in other amounts and another white in the target."""
    pytest.importorskip("torchstain", reason="torchstain is not installed: pip install 'napari-cellrestore[stain]'")
    rng = np.random.default_rng(0)
    stains = np.array([[0.65, 0.70, 0.29], [0.15, 0.85, 0.50]])
    stains /= np.linalg.norm(stains, axis=1, keepdims=True)
    amounts = rng.uniform(0.0, 0.9, (200, 200, 2)) * rng.integers(0, 2, (200, 200, 2))
    source, target = (
        np.rint(white * np.exp(-(amounts * more) @ stains)).astype(np.uint8) for white, more in ((240, 1), (220, 0.7))
    )
    moved = fit_macenko([source], [target]).apply(source)
    assert np.abs(source.astype(float) - target).mean() > 10
    assert np.abs(moved.astype(float) - target).mean() < 3


def test_macenko_of_images_without_stain():
    pytest.importorskip("torchstain", reason="torchstain is not installed: pip install 'napari-cellrestore[stain]'")
    white = np.full((200, 200, 3), 240, np.uint8)
    with pytest.raises(ValueError, match="images of the target show no stain: 0 of 20000 pixels are darker than white"):
        fit_macenko([drawn()[0]], [white])


@pytest.mark.parametrize("fit", [fit_hedlund_morell, fit_reinhard, fit_macenko])
def test_source_and_target_have_their_own_grey_levels(fit):
    """16 bit to 8 bit is what 8 bit to 8 bit is; the range of the source is that of a target of its type."""
    if fit is fit_macenko:
        pytest.importorskip("torchstain", reason="torchstain is not installed: pip install 'napari-cellrestore[stain]'")
    (source, _), (target, _) = drawn(0), drawn(1)
    expected = fit([source], [target]).apply(source).astype(float)
    deep, full = source.astype(np.uint16) * 257, {"intensity": (0, 65535)}
    for made in (
        fit(iter([deep]), iter([target]), **full),
        fit([deep], [target.astype(np.uint16) * 257], **full),
        fit([deep], [target.astype(np.uint16) * 16], **full, target_intensity=(0, 4080)),
    ):
        np.testing.assert_allclose(made.apply(deep, **full) / 257, expected, atol=2)
    with pytest.raises(ValueError, match="image 1 is float64, whose full scale is not known"):
        fit([deep], [target / 255], **full)


def test_macenko_without_torchstain(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torchstain.numpy.normalizers", None)
    with pytest.raises(ValueError, match="torchstain is not installed: pip install"):
        fit_macenko([drawn()[0]], [drawn()[0]])


# --- real images ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def smears(real_data):
    """Some images of two laboratories; chula shows no white cells but one."""
    return [sorted((real_data / "blood_smears" / name).glob("*.jpg")) for name in ("bccd", "chula")]


@pytest.mark.real_data
def test_a_known_second_microscope(smears):
    """Recorded smears, recoloured by a matrix and a gamma: other smears are moved to what these would look like."""
    mix = np.array([[0.85, 0.1, 0.0], [0.05, 0.8, 0.1], [0.0, 0.1, 0.75]])

    def recoloured(image):
        return np.rint(255 * np.clip((image / 255) @ mix.T, 0, 1) ** 1.3).astype(np.uint8)

    recorded = smears[0]
    source = fit_system(recorded[1::75])
    target = fit_system(recoloured(imread(path)) for path in recorded[30::75])
    transfer = fit_transfer(source, target)
    images = [imread(path) for path in recorded[:240:60]]
    truths = [recoloured(image) for image in images]
    moved = [transfer.apply(image) for image in images]
    off = [[np.abs(a.astype(float) - t).mean() for a, t in zip(some, truths, strict=True)] for some in (images, moved)]
    assert np.mean(off[0]) > 30
    assert np.mean(off[1]) < 4
    assert [len(stained_nuclei(image, pixel_um=0.1)) for image in moved] == [
        len(stained_nuclei(image, pixel_um=0.1)) for image in images
    ]


def coarse(paths):
    """Every other pixel of images: their colours are the same, and what is done with them takes half as long."""
    return [imread(path)[::2, ::2] for path in paths]


@pytest.mark.real_data
def test_colours_of_another_laboratory(smears):
    classes = ("background", "red cell")
    steps = zip(smears, (75, 25), strict=True)
    source, target = (fit_system(coarse(paths[1::step]), classes=classes) for paths, step in steps)
    transfer = fit_transfer(source, target)
    images = coarse(smears[0][:300:50])
    theirs = lab_colours(coarse(smears[1][2::25]))
    moved = [transfer.apply(image) for image in images]
    before, after = (class_distances(lab_colours(some[:3]), theirs, classes) for some in (images, moved))
    assert sum(after.values()) < 0.5 * sum(before.values())
    assert [len(stained_nuclei(image, pixel_um=0.2)) for image in moved] == [
        len(stained_nuclei(image, pixel_um=0.2)) for image in images
    ]
