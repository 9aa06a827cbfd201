"""How far an image lies from what a model was trained on, and the defocus of a single image."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import nn

from napari_cellrestore import defocus_prediction as prediction_module
from napari_cellrestore.card import ModelCard
from napari_cellrestore.defocus_prediction import NO_PREDICTION, predict_defocus_um, predicted_defocus_um
from napari_cellrestore.domain import judge_domain, with_defocus
from napari_cellrestore.model import Model
from napari_cellrestore.stack import ImageStack

CARD = ModelCard(
    name="a",
    task="deblur",
    network="pix2pix-fast",
    pixel_um=0.1,
    defocus_um=(-1.4, 1.4),
    colour_mean=(180.0, 170.0, 175.0),
    colour_std=(20.0, 10.0, 10.0),
    recipe={"pairs": {"noise_gain": 0.0025}},
)


def traits(image, card=CARD, **options):
    return {trait.what: trait for trait in judge_domain(image, card, **options).traits}


def smear(rng, mean=(180, 170, 175), noise=0.7, shape=(96, 128)):
    return np.clip(rng.normal(mean, noise, (*shape, 3)), 0, 255).astype(np.uint8)


# --- traits ----------------------------------------------------------------------------------------------------


def test_an_image_like_those_of_the_training(rng):
    domain = judge_domain(ImageStack(smear(rng), "YXS", pixel_um=0.11), CARD, predicted_defocus_um=(0.8, 0.1))
    assert {trait.what: trait.verdict for trait in domain.traits} == dict.fromkeys(
        ("red", "green", "blue", "noise", "pixel size", "channels", "grey levels", "size", "defocus"), "as trained"
    )
    assert (domain.verdict, domain.warnings) == ("as trained", ())


def test_colours_are_in_deviations_of_the_card(rng):
    found = traits(np.full((64, 64, 3), (120, 195, 176), np.uint8))
    assert found["red"].distance == pytest.approx(-3)
    assert found["green"].distance == pytest.approx(2.5)
    assert found["blue"].distance == pytest.approx(0.1)
    assert [found[name].verdict for name in ("red", "green", "blue")] == ["as trained"] * 3
    assert traits(np.full((64, 64, 3), (119, 170, 175), np.uint8))["red"].verdict == "outside"


def test_a_training_without_spread_is_no_reason_to_doubt_a_level():
    card = CARD.model_copy(update={"colour_std": (0.01, 0.01, 0.01)})
    assert traits(np.full((64, 64, 3), (181, 171, 176), np.uint8), card)["red"].distance == pytest.approx(1)


def test_one_training_image_has_no_deviation():
    found = traits(np.full((64, 64, 3), 60, np.uint8), CARD.model_copy(update={"colour_std": (0.0, 10.0, 10.0)}))
    assert (found["red"].verdict, found["red"].said) == ("unknown", "trained on one image only")
    assert found["green"].verdict == "outside"


def test_of_colours_the_farthest_is_warned_of(rng):
    domain = judge_domain(np.full((64, 64, 3), 60, np.uint8), CARD)
    assert [trait.verdict for trait in domain.traits[:3]] == ["outside"] * 3
    assert [text for text in domain.warnings if "deviations away" in text] == [
        "blue is 60 of 255 on average, training images 175 +- 10 (11.5 deviations away)"
    ]


def test_grey_levels_are_those_of_the_network(rng):
    """A 12-bit image of the same scene is as far away as the 8-bit one."""
    image = smear(rng, mean=(140, 150, 160))
    one, other = traits(image), traits(image.astype(np.uint16) * 16, intensity=(0, 4080))
    for name in ("red", "green", "blue", "noise"):
        assert other[name].distance == pytest.approx(one[name].distance, rel=0.1)
    assert one["grey levels"].image == "uint8, 0 to 255"
    guessed = traits(image.astype(np.uint16) * 16)["grey levels"]
    assert (guessed.verdict, guessed.image) == ("unknown", "uint16, 0 to 4095")


@pytest.mark.parametrize("std", [1.0, 4.0])
def test_noise_is_times_that_of_the_training(rng, std):
    image = ndimage.gaussian_filter(rng.normal(170, 20, (128, 128)), 8)
    recorded = np.rint(np.repeat(image[..., None], 3, -1) + rng.normal(0, std, (128, 128, 3))).astype(np.uint8)
    known = np.sqrt(0.0025 * recorded.mean() + 1 / 12)
    found = traits(recorded)["noise"]
    assert found.distance == pytest.approx(np.sqrt(std**2 + 1 / 12) / known, rel=0.1)
    assert found.verdict == ("outside" if std > 2 else "as trained")


def test_noise_of_grey_images_is_of_all_columns(rng):
    """Its level is the mean of the plane: a dark left border does not change it."""
    image = np.full((64, 64), 170.0)
    image[:, :3] = 0
    known = traits((image + rng.normal(0, 0.1, image.shape)).astype(np.float32), intensity=(0, 255))["noise"].card
    assert known == f"{np.sqrt(0.0025 * image.mean() + 1 / 12):.2g} grey levels"


@pytest.mark.parametrize(
    ("pixel_um", "verdict", "ratio"),
    [(0.1, "as trained", 1), (0.125, "as trained", 1.25), (0.126, "outside", 1.26), (0.079, "outside", 0.79)],
)
def test_pixel_size_is_a_ratio(pixel_um, verdict, ratio, rng):
    found = traits(ImageStack(smear(rng), "YXS", pixel_um=pixel_um))["pixel size"]
    assert (found.verdict, found.minds) == (verdict, verdict == "outside")
    assert found.distance == pytest.approx(ratio)


def test_defocus_is_beyond_the_card_in_its_own_uncertainty(rng):
    found = traits(smear(rng), predicted_defocus_um=(2.0, 0.3))["defocus"]
    assert (found.verdict, found.minds, found.image) == ("outside", True, "about 2 µm ± 0.3")
    assert found.distance == pytest.approx(2)
    assert traits(smear(rng), predicted_defocus_um=-1.2)["defocus"].verdict == "as trained"
    assert traits(smear(rng), predicted_defocus_um="because")["defocus"].said == "because"


def test_what_the_card_does_not_say_is_unknown(rng):
    bare = ModelCard(name="b", task="deblur", network="wiener")
    found = traits(smear(rng), bare, predicted_defocus_um=0.5)
    unknown = {name: trait.said for name, trait in found.items() if trait.verdict == "unknown"}
    assert unknown == dict.fromkeys(("colour", "noise", "pixel size", "defocus"), "the card does not say")
    assert judge_domain(smear(rng), bare).warnings == ()
    nan = traits(np.full((64, 64, 3), np.nan, np.float32))
    assert nan["red"].verdict == nan["noise"].verdict == "unknown"


def test_a_grey_image_for_a_colour_model_and_a_small_one(rng):
    found = traits(np.full((9, 64), 100, np.uint8))
    assert found["channels"].verdict == found["size"].verdict == "outside"
    assert found["colour"].verdict == "unknown"


def test_the_table_is_for_reading(rng):
    rows = judge_domain(smear(rng, noise=9.0), CARD).table()
    assert rows[0] == ("", "this image", "trained on", "verdict")
    assert ("green", "170 of 255", "170 ± 10", "as trained") in rows
    noise = next(row for row in rows if row[0] == "noise")
    assert noise[3].startswith("outside (1")
    assert rows[-1] == ("defocus", "–", "up to 1.4 µm", "unknown: it was not predicted")
    assert len({len(row) for row in rows}) == 1


def test_the_defocus_can_follow(rng):
    image = smear(rng)
    first = judge_domain(image, CARD, predicted_defocus_um="being predicted")
    assert with_defocus(first, CARD, (2.0, 0.3)) == judge_domain(image, CARD, predicted_defocus_um=(2.0, 0.3)) != first


def test_the_input_is_not_changed(rng):
    image = smear(rng).astype(np.float32)
    before = image.copy()
    judge_domain(image, CARD)
    predict_defocus_um(blurred_squares(2.0), distance_model())
    np.testing.assert_array_equal(image, before)


# --- defocus of a single image -----------------------------------------------------------------------------------

LEVELS_UM = (0.0, 1.0, 2.0, 3.0)


class Sharpness(nn.Module):
    """Stands in for a network: scores of levels from the mean gradient, which a Gaussian of s makes 20 / s."""

    def forward(self, image):
        gradient = image.diff(dim=-1).abs().amax((1, 2, 3)) * 127.5
        width = 200 / (gradient * np.sqrt(2 * np.pi))  # of an edge of 200 grey levels
        return -20 * (width[:, None] - torch.tensor(LEVELS_UM)[None]) ** 2


def distance_model(network=None, **changes):
    card = ModelCard(**{"name": "far", "task": "distance", "network": "distance", "levels_um": LEVELS_UM} | changes)
    return Model(network or Sharpness(), card, None)


def blurred_squares(width_px, shape=(300, 420), where=slice(None)):
    image = np.full(shape, 20.0)
    for x in range(30, shape[1] - 30, 64):
        image[40 : shape[0] - 40, x : x + 30] = 220
    image[:, : where.start or 0] = 20
    return np.repeat(ndimage.gaussian_filter(image, width_px)[..., None], 3, -1).astype(np.float32)


@pytest.mark.parametrize("width_px", [1.0, 2.0, 3.0])
def test_defocus_is_read_from_crops_with_structure(width_px):
    um, spread = predict_defocus_um(blurred_squares(width_px), distance_model(), intensity=(0, 255))
    assert um == pytest.approx(width_px, abs=0.15)
    assert 0 <= spread < 0.3
    # a background twice as large as the cells does not change what they say
    wide = blurred_squares(width_px, (300, 900), slice(500, None))
    assert predict_defocus_um(wide, distance_model(), intensity=(0, 255))[0] == pytest.approx(um, abs=0.1)


def test_of_a_slide_only_parts_are_read_to_predict_its_defocus():
    read = []

    def chunk_of(block_info=None):
        read.append(block_info[None]["chunk-location"])
        return blurred_squares(2.0, (512, 512)).astype(np.uint8)

    chunks = ((512,) * 20, (512,) * 20, (3,))
    slide = da.map_blocks(chunk_of, chunks=chunks, dtype=np.uint8, meta=np.empty((0, 0, 0), np.uint8))
    assert predict_defocus_um(ImageStack(slide, "YXS"), distance_model())[0] == pytest.approx(2, abs=0.15)
    assert len(read) == 16  # of 400


def test_crops_that_differ_are_unsure():
    image = blurred_squares(1.0, (260, 512))
    image[:, 256:] = blurred_squares(3.0, (260, 512))[:, 256:]
    um, spread = predict_defocus_um(image, distance_model(), intensity=(0, 255))
    assert 1 < um < 3
    assert spread > 0.5


def test_of_one_crop_the_uncertainty_is_that_of_its_levels():
    class Torn(nn.Module):
        def forward(self, image):
            return torch.tensor([[0.0, -1e9, 0.0, -1e9]])

    um, spread = predict_defocus_um(blurred_squares(2.0)[:120, :120], distance_model(Torn()))
    assert (um, spread) == (pytest.approx(1), pytest.approx(1))  # 0 or 2 um, as likely


@pytest.mark.parametrize(
    ("image", "changes", "message"),
    [
        (blurred_squares(2), {"task": "deblur"}, "model 'far' does deblur: give one of task 'distance'"),
        (blurred_squares(2), {"levels_um": ()}, r"does not say which focus levels it tells apart \(levels_um\)"),
        (blurred_squares(2), {"levels_um": (0, 1)}, r"scores of shape \(4,\) for 2 focus levels"),
        (blurred_squares(2)[:20], {}, "20 x 420 px: 32 px a side are needed"),
        (np.full((200, 200, 3), 200, np.uint8), {}, "nothing but background"),
        (np.full((64, 64, 3), np.nan), {}, "NaN or infinite"),
        (np.zeros((2, 64, 64), np.uint8), {}, "one plane, this stack has 2"),
    ],
)
def test_what_cannot_be_predicted(image, changes, message):
    with pytest.raises(ValueError, match=message):
        predict_defocus_um(image, distance_model(**changes))


def test_of_a_stack_the_farthest_plane_counts(monkeypatch):
    monkeypatch.setattr(prediction_module, "defocus_model", distance_model)
    planes = np.stack([blurred_squares(width) for width in (2.0, 1.0, 3.0)]).astype(np.uint8)
    um, _ = predicted_defocus_um(ImageStack(planes, "ZYXS"), intensity=(0, 255))
    assert um == pytest.approx(3, abs=0.2)
    assert predicted_defocus_um(ImageStack(planes[0] * 0, "YXS")).startswith("the image holds nothing but background")
    assert predicted_defocus_um(ImageStack(planes, "AYXS")).endswith("knows no images of single LEDs")


def test_without_a_model_it_is_said(monkeypatch, tmp_path):
    monkeypatch.setattr("napari_cellrestore.model.list_models", lambda: [CARD])
    assert predicted_defocus_um(ImageStack(np.zeros((64, 64), np.uint8), "YX")) == NO_PREDICTION
