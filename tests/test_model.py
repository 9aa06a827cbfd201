import json
import shutil

import pytest
import torch

from napari_cellrestore.card import ModelCard
from napari_cellrestore.model import list_models, load_model, save_model
from napari_cellrestore.model.words import HELD_OUT, held_out
from napari_cellrestore.networks import create_network

OPTIONS = {"filters": 4, "blocks": 4}


def card(**changes):
    return ModelCard(
        **{"name": "tiny", "task": "deblur", "network": "pix2pix-fast", "options": OPTIONS, "stride": 4, **changes}
    )


@pytest.fixture
def tiny(models):
    torch.manual_seed(0)
    return save_model(models / "tiny", create_network("pix2pix-fast", **OPTIONS), card())


def test_a_saved_model_comes_back_the_same(tiny):
    again = load_model("tiny")
    assert again.card == tiny.card
    assert not again.network.training
    image = torch.rand(1, 3, 8, 8)
    assert torch.equal(again.network(image), tiny.network(image))
    assert tiny.card.weights_sha256[:12] in tiny.label
    assert load_model(tiny.folder).card == tiny.card


def test_models_are_listed_with_the_bundled_ones(tiny):
    assert {"tiny", "deblur-fast"} <= {c.name for c in list_models()}


def test_a_damaged_folder_does_not_hide_the_others(tiny, models):
    shutil.copytree(models / "tiny", models / "broken")
    (models / "broken" / "card.json").write_text("{")
    assert "tiny" in [c.name for c in list_models()]


def damage_weights(folder):
    path = folder / "weights.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def cut_weights(folder):
    path = folder / "weights.safetensors"
    content = path.read_bytes()[:100]
    path.write_bytes(content)
    rehash(folder, content)


def rehash(folder, content):
    import hashlib

    edit_card(folder, weights_sha256=hashlib.sha256(content).hexdigest())


def edit_card(folder, **changes):
    path = folder / "card.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (damage_weights, r"weights.safetensors: hash \w{12} is not the \w{12} of the card: the weights are damaged"),
        (cut_weights, "weights.safetensors: not a safetensors file"),
        (lambda f: (f / "weights.safetensors").unlink(), "the weights cannot be read"),
        (
            lambda f: edit_card(f, options={"filters": 8, "blocks": 4}),
            "the weights do not fit the network 'pix2pix-fast'",
        ),
        (lambda f: edit_card(f, network="unet9"), "no network 'unet9'; known are"),
        (lambda f: edit_card(f, version=99), "format version 99, this program knows up to 1: update"),
        (lambda f: edit_card(f, colour="red"), r"card.json: the card field colour: Extra inputs.*\(came: red\)"),
        (lambda f: edit_card(f, stride=0), "field stride"),
        (lambda f: (f / "card.json").write_text("weights"), "card.json: the card is not JSON"),
        (lambda f: (f / "card.json").write_text("[1]"), "the card is a list, not a table of fields"),
        (lambda f: (f / "card.json").unlink(), "no card.json, so this is no model folder"),
    ],
)
def test_damage_is_said(tiny, damage, message):
    damage(tiny.folder)
    with pytest.raises(ValueError, match=message):
        load_model(tiny.folder)


def test_all_that_was_measured_is_said():
    error = {"levels_um": [0.0, 0.2], "error_um": 0.1, "error_by_level_um": [0.15, 0.05]}
    assert list(held_out(error)[1].values()) == [0.1, "0.15 at 0, 0.05 at 0.2"]
    pair = {f"{name}{of}": [2.0, 1.5, 2.5] for name in ("mse", "psnr", "ssim") for of in ("", "_input")}
    said = held_out({**pair, "mse_there_and_back": [3.0, 2.0, 4.0]})[1]
    assert len(said) == 4
    assert said["error (MSE), 95 % interval"] == "2 (1.5 to 2.5); of the input 2 (1.5 to 2.5)"
    assert said["error (MSE) after there and back, 95 % interval"] == "3 (2 to 4)"
    for odd in ([1, 2], [None, None, None], "x", {}, None):
        assert list(held_out({"mse": odd, "error_by_level_um": odd})[1].values()) == [odd, odd]
    assert all(len(text) < 52 for text in HELD_OUT.values())  # the column of the shell


def test_unknown_models_are_listed(models):
    with pytest.raises(
        ValueError,
        match="no model 'sharper'; there are deblur-fast, deblur, distance, enhance-smear, virtual-stain-sim, ",
    ):
        load_model("sharper")


def test_a_model_is_not_overwritten_and_never_half_written(tiny, models, monkeypatch):
    with pytest.raises(ValueError, match="exists already; give another name or delete it first"):
        save_model(models / "tiny", tiny.network, card())

    def full_disk(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_text", full_disk)
    with pytest.raises(OSError, match="No space left"):
        save_model(models / "new", tiny.network, card())
    assert [path.name for path in models.iterdir()] == ["tiny"]


def test_a_pickle_is_never_opened(tiny):
    class Evil:
        def __reduce__(self):
            return (exec, ("raise SystemExit('unpickled')",))

    path = tiny.folder / "weights.safetensors"
    torch.save(Evil(), path)
    rehash(tiny.folder, path.read_bytes())
    with pytest.raises(ValueError, match="not a safetensors file"):
        load_model(tiny.folder)
