"""There and back: two models as one."""

import numpy as np
import pytest
import torch
from torch import nn

from napari_cellrestore.card import ModelCard
from napari_cellrestore.cli import main
from napari_cellrestore.files import open_stack, write_tiff
from napari_cellrestore.model import Model, load_model, save_model, there_and_back, way_back
from napari_cellrestore.networks import create_network, receptive_halo
from napari_cellrestore.restore import plan_restoration, restore, restore_stack
from napari_cellrestore.stack import ImageStack


class Smooth(nn.Module):
    """A shift of grey levels, and a mean over so many pixels on either side."""

    gives = "image"

    def __init__(self, shift, reach):
        super().__init__()
        self.in_channels = self.out_channels = 3
        self.shift, self.reach = shift, reach

    def forward(self, image):
        side = 2 * self.reach + 1
        return nn.functional.avg_pool2d(image, side, 1, self.reach, count_include_pad=False) + self.shift


def model(name, shift=0.0, reach=0, stride=1, **card):
    fields = {"task": "transfer", "network": "cae", "stride": stride, "halo_px": reach, "weights_sha256": name}
    return Model(Smooth(shift, reach).eval(), ModelCard(**{"name": name, **fields, **card}), None)


@pytest.fixture
def pair(tmp_path, monkeypatch):
    """Two models of one training in the list."""
    monkeypatch.setenv("CELLRESTORE_MODELS", str(tmp_path / "models"))
    for seed, name in enumerate(("look", "look-back")):
        torch.manual_seed(seed)
        options = {"filters": 4, "levels": 2}
        network = create_network("cae", 3, 3, **options).eval()
        card = ModelCard(
            name=name, task="transfer", network="cae", options=options, stride=4, halo_px=receptive_halo(network, 3, 4)
        )
        save_model(tmp_path / "models" / name, network, card)
    return load_model("look"), load_model("look-back")


def test_ways_there_and_back_find_each_other(pair):
    there, back = pair
    assert way_back(there.card) == back.card
    assert way_back(back.card) == there.card
    assert way_back(load_model("deblur-fast").card) is None
    both = there_and_back(there)
    assert (both.card.name, both.card.task, both.folder) == ("look there and back", "transfer", None)
    assert both.card.weights_sha256 not in (there.card.weights_sha256, back.card.weights_sha256)
    with pytest.raises(ValueError, match="'deblur-fast' has no way back: there is no 'deblur-fast-back' in the list"):
        there_and_back(load_model("deblur-fast"))


def test_a_cycle_is_one_after_the_other(pair, rng):
    there, back = pair
    image = rng.integers(0, 255, (40, 52, 3)).astype(np.float32)
    known = {"intensity": (0, 255)}
    way = restore(image, there, plan_restoration(image, there, **known)).compute()
    again = restore(way, back, plan_restoration(way, back, **known)).compute()
    both = there_and_back(there)
    plan = plan_restoration(image, both, **known)
    np.testing.assert_allclose(restore(image, both, plan).compute(), again, atol=1e-3)


@pytest.mark.parametrize(("reaches", "strides"), [((5, 9), (1, 1)), ((3, 4), (4, 8)), ((7, 2), (16, 4))])
def test_tiles_give_what_the_whole_gives(rng, reaches, strides):
    there, back = (model(n, 0.01, r, s) for n, r, s in zip(("a", "b"), reaches, strides, strict=True))
    both = there_and_back(there, back)
    image = rng.integers(0, 255, (96, 96, 3)).astype(np.uint8)
    whole = restore(image, both, plan_restoration(image, both, tile=96)).compute()
    plan = plan_restoration(image, both, tile=32)
    assert plan.n_tiles == 9
    inside = slice(16, -16)  # at the border of an image each pass of the two sees less
    np.testing.assert_array_equal(restore(image, both, plan).compute()[inside, inside], whole[inside, inside])


def test_what_was_undone_comes_back(rng):
    image = rng.integers(40, 200, (30, 30, 3)).astype(np.uint8)
    both = there_and_back(model("brighter", 0.5), model("darker", -0.5))
    stack = restore_stack(ImageStack(image, "YXS", pixel_um=0.1), both)
    np.testing.assert_array_equal(stack.data, image)
    assert stack.provenance["model"] == "brighter there and back"


def test_models_that_do_not_fit_are_said():
    with pytest.raises(
        ValueError, match=r"'a' makes images of 3 channels and grey levels 0 to 255, 'b' takes 3 and 0 to 4095"
    ):
        there_and_back(model("a"), model("b", input_range=(0, 4095)))
    assert there_and_back(model("a", output_range=(0, 4095)), model("b", input_range=(0, 4095)))


def test_the_command_goes_there_and_back(pair, tmp_path, rng, capsys):
    image = ImageStack(rng.integers(0, 255, (24, 28, 3)).astype(np.uint8), "YXS", pixel_um=0.1)
    write_tiff(tmp_path / "cells.tif", image)
    arguments = ["restore", str(tmp_path / "cells.tif"), "--and-back", "--out", str(tmp_path / "out.tif")]
    assert main([*arguments, "--model", "look"]) == 0
    assert "look there and back" in capsys.readouterr().out
    assert "look there and back" in open_stack(tmp_path / "out.tif").provenance["generated"]
    assert main([*arguments, "--model", "deblur-fast"]) == 2
    assert "has no way back" in capsys.readouterr().err
