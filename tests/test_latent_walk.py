"""Walks through a latent space."""

import numpy as np
import pytest
import torch

from napari_cellrestore.card import ModelCard
from napari_cellrestore.latent_walk import can_walk, latent_walk
from napari_cellrestore.model import Model, load_model
from napari_cellrestore.networks import create_network
from napari_cellrestore.restore import plan_restoration, restore
from napari_cellrestore.stack import ImageStack

OPTIONS = {"filters": 4, "latent": 6}


@pytest.fixture(scope="module")
def vae():
    torch.manual_seed(0)
    network = create_network("vae", 3, 3, **OPTIONS)
    network(torch.rand(4, 3, 64, 64))  # running statistics
    card = ModelCard(name="walker", task="enhance", network="vae", options=OPTIONS, stride=64, tile_safe=False)
    return Model(network.eval(), card.model_copy(update={"weights_sha256": "abc"}), None)


def cells(rng, shape=(70, 90, 3), dtype=np.uint8):
    return rng.integers(0, 255, shape).astype(dtype)


def test_a_walk_begins_and_ends_with_the_restored_images(vae, rng):
    one, other = cells(rng), cells(rng)
    walk = latent_walk(one, vae, to=other, steps=5)
    assert (walk.axes, walk.data.shape, walk.data.dtype) == ("QYXS", (5, 70, 90, 3), np.uint8)
    for image, step in ((one, walk.data[0]), (other, walk.data[-1])):
        restored = restore(image, vae, plan_restoration(image, vae)).compute()
        assert np.abs(step.astype(int) - restored).max() <= 1
    assert walk.provenance["positions"] == [0, 0.25, 0.5, 0.75, 1]
    assert "computed, not recorded" in walk.provenance["generated"]


def test_the_middle_is_the_image_of_the_mean_vector(vae, rng):
    one, other = (cells(rng, (64, 64, 3), np.float32) for _ in range(2))
    walk = latent_walk(one, vae, to=other, steps=3, intensity=(0, 255))
    with torch.inference_mode():
        a, b = (vae.network.encode(torch.from_numpy(i.transpose(2, 0, 1))[None] / 127.5 - 1)[0] for i in (one, other))
        middle = vae.network.decode((a + b) / 2)[0].permute(1, 2, 0).numpy() * 127.5 + 127.5
    np.testing.assert_allclose(walk.data[1], middle, atol=1e-2)


def test_along_a_direction_one_number_changes(vae, rng):
    image = ImageStack(cells(rng, (64, 64, 3), np.float32), "YXS", pixel_um=0.1, source="a.tif")
    walk = latent_walk(image, vae, direction=4, reach=2.0, steps=3, intensity=(0, 255))
    assert (walk.pixel_um, walk.provenance["positions"], walk.provenance["source"]) == (0.1, [-2, 0, 2], "a.tif")
    with torch.inference_mode():
        vector = vae.network.encode(torch.from_numpy(image.data.transpose(2, 0, 1))[None] / 127.5 - 1)[0].clone()
        vector[:, 4] += 2
        expected = vae.network.decode(vector)[0].permute(1, 2, 0).numpy() * 127.5 + 127.5
    np.testing.assert_allclose(walk.data[2], expected, atol=1e-2)


def test_the_full_scale_is_that_of_both_images_and_said(vae, rng, monkeypatch):
    dark, bright = (rng.integers(0, most, (64, 64, 3)).astype(np.uint16) for most in (4000, 60000))
    seen = []
    encode = vae.network.encode
    monkeypatch.setattr(vae.network, "encode", lambda x: (seen.append(float(x.abs().max())), encode(x))[1])
    walk = latent_walk(dark, vae, to=bright, steps=2)
    assert max(seen) <= 1
    assert walk.provenance["intensity"] == [0, 65535]
    (guess,) = (note for note in walk.notes if "full scale" in note)
    assert "0 to 65535 was taken" in guess
    given = latent_walk(dark, vae, to=bright, steps=2, intensity=(0, 65535))
    np.testing.assert_array_equal(given.data, walk.data)
    assert not any("full scale" in note for note in given.notes)


def test_grey_images_stay_grey(vae, rng):
    walk = latent_walk(cells(rng, (40, 50)), vae, direction=0, steps=2)
    assert (walk.axes, walk.data.shape) == ("QYX", (2, 40, 50))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"to": None}, "give another image to walk to, or a direction: one of them"),
        ({"direction": 3}, "give another image to walk to, or a direction: one of them"),
        ({"to": np.zeros((40, 51, 3), np.uint8)}, r"one image is \(40, 50, 3\) uint8, the other \(40, 51, 3\) uint8"),
        ({"to": None, "direction": 6}, "direction is 6: the vectors have 6 numbers, give 0 to 5"),
        ({"to": None, "direction": 0, "reach": 0.0}, "reach is 0.0: give a number above 0"),
        ({"steps": 1}, "steps is 1: give a whole number, 2 or more"),
    ],
)
def test_what_cannot_be_walked_is_said(vae, change, message):
    image = np.zeros((40, 50, 3), np.uint8)
    with pytest.raises(ValueError, match=message):
        latent_walk(image, vae, **{"to": image, **change})


def test_other_models_and_images_are_refused(vae):
    image = np.zeros((40, 50, 3), np.uint8)
    model = load_model("deblur-fast")
    assert not can_walk(model)
    with pytest.raises(ValueError, match="'deblur-fast' has no latent space to walk in: give one of the recipe VAE"):
        latent_walk(image, model, direction=0)
    with pytest.raises(ValueError, match="the image has 2 planes: give one"):
        latent_walk(np.zeros((2, 40, 50, 3), np.uint8), vae, direction=0)
    with pytest.raises(ValueError, match="the image is 2049 x 40 px: crop it to 2048 a side"):
        latent_walk(np.zeros((2049, 40, 3), np.uint8), vae, direction=0)
    with pytest.raises(ValueError, match="NaN or infinite"):
        latent_walk(np.full((40, 50, 3), np.nan, np.float32), vae, direction=0, intensity=(0, 1))
