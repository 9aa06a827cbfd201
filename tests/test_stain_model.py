"""Stain normalisation as a model: agreement with numpy, tiles, saving, the command line, bad input."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from skimage.io import imsave

from napari_cellrestore.cli import main
from napari_cellrestore.engine import Runner, available_engines
from napari_cellrestore.files import write_tiff
from napari_cellrestore.model import list_models, load_model
from napari_cellrestore.networks import COLOUR_MAPS, create_network
from napari_cellrestore.restore import plan_restoration, restore
from napari_cellrestore.simulate import draw_smear
from napari_cellrestore.stack import ImageStack
from napari_cellrestore.stain import StainTransfer, fit_hedlund_morell, fit_system, fit_transfer
from napari_cellrestore.stain_model import save_stain, stain_model

MIX = np.array([[0.8, 0.1, 0.0], [0.0, 0.75, 0.1], [0.1, 0.0, 0.7]])


def drawn(seed: int, *, other: bool = False) -> np.ndarray:
    smear = draw_smear((240, 260), 0.1, np.random.default_rng(seed))
    return np.rint(smear @ MIX.T).astype(np.uint8) if other else smear


@pytest.fixture(scope="module")
def transfer():
    return fit_hedlund_morell([drawn(0), drawn(1)], [drawn(2, other=True), drawn(3, other=True)], pixel_um=0.1)


@pytest.fixture(scope="module")
def model(transfer):
    return stain_model(transfer, name="there", said="two drawn smears")


def test_missing_pixels_leave_those_around_them_alone(model):
    image = drawn(5).astype(np.float32)
    whole = np.asarray(restore(image, model, plan_restoration(image, model, intensity=(0, 255))).compute())
    image[20, 30] = np.nan
    plan = plan_restoration(image, model, intensity=(0, 255))
    assert "1 pixels are NaN or infinite: they stay NaN in the result" in plan.warnings
    made = np.asarray(restore(image, model, plan).compute())
    assert np.isnan(made[20, 30]).all()
    whole[20, 30] = np.nan
    np.testing.assert_allclose(made, whole, atol=1e-3)


# --- the network ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ["torch", "openvino", "compiled"])
def test_it_does_what_the_transfer_does(engine, model, transfer):
    if available_engines()[engine].startswith("not installed"):
        pytest.skip(f"{engine} is not installed")
    levels = drawn(5).astype(np.float32)
    output = Runner(model, engine, "cpu")(levels / 127.5 - 1) * 127.5 + 127.5
    np.testing.assert_allclose(output, transfer.apply(levels, intensity=(0, 255)), atol=1e-3)


def test_it_does_so_on_any_colour(model, transfer, rng):
    """Far from every class float32 hardly tells which is nearest."""
    levels = rng.integers(0, 256, (200, 300, 3)).astype(np.float32)
    output = Runner(model, "torch", "cpu")(levels / 127.5 - 1) * 127.5 + 127.5
    np.testing.assert_allclose(output, transfer.apply(levels, intensity=(0, 255)), atol=0.05)


def test_restore_gives_what_apply_gives(model, transfer):
    image = drawn(6)
    restored = restore(image, model).compute()
    assert np.abs(restored.astype(int) - transfer.apply(image)).max() <= 1
    assert np.mean(restored != transfer.apply(image)) < 1e-3
    assert np.abs(restored.astype(float) - image @ MIX.T).mean() < 3


def test_tiles_are_the_whole(model):
    image = drawn(7)
    plan = plan_restoration(image, model, tile=64)
    assert (plan.n_tiles, plan.halo_px, plan.stride) == (20, 0, 1)
    assert plan.warnings == ()
    np.testing.assert_array_equal(restore(image, model, plan).compute(), restore(image, model).compute())


def test_alpha_and_16_bit(model, transfer):
    image = drawn(8)
    alpha = np.arange(240 * 260).astype(np.uint8).reshape(240, 260)
    restored = restore(np.dstack([image, alpha]), model).compute()
    np.testing.assert_array_equal(restored[..., 3], alpha)
    np.testing.assert_array_equal(restored[..., :3], restore(image, model).compute())
    deep = image.astype(np.uint16) * 16
    plan = plan_restoration(deep, model, intensity=(0, 4080))
    expected = transfer.apply(deep, intensity=(0, 4080))
    assert np.abs(restore(deep, model, plan).compute().astype(int) - expected).max() <= 1


def test_grey_images_are_refused_as_by_the_transfer(model, transfer):
    grey = drawn(8)[..., 0]
    for use in (transfer.apply, lambda image: plan_restoration(image, model)):
        with pytest.raises(
            ValueError, match=r"image has shape \(240, 260\): stains are told apart by colour; give \(Y, X, 3\)"
        ):
            use(grey)


def test_unfitted_it_leaves_colours_as_they_are(rng):
    (name,) = COLOUR_MAPS
    image = torch.from_numpy(rng.uniform(-1, 1, (2, 3, 5, 7)).astype(np.float32))
    torch.testing.assert_close(create_network(name, classes=3)(image), image)


@pytest.mark.parametrize(
    ("channels", "options", "message"),
    [
        ((1, 3), {}, "takes and gives 3 channels, not 1 and 3"),
        ((3, 3), {"classes": 0}, "classes is 0: give a whole number from 1 to 64"),
        ((3, 3), {"classes": 2.5}, "classes is 2.5"),
        ((3, 3), {"stains": 2}, "has no option 'stains'; known are classes"),
    ],
)
def test_networks_that_cannot_be(channels, options, message):
    with pytest.raises(ValueError, match=message):
        create_network("stain-normalisation", *channels, **options)


# --- the model -----------------------------------------------------------------------------------------------


def test_it_is_saved_and_listed_as_a_model(models, transfer):
    saved = save_stain("to there", transfer, said="two drawn smears", pixel_um=0.1)
    assert "to there" in [card.name for card in list_models()]
    again = load_model("to there")
    assert again.card.weights_sha256 == saved.card.weights_sha256
    image = drawn(9)
    np.testing.assert_array_equal(restore(image, again).compute(), restore(image, stain_model(transfer)).compute())
    with pytest.raises(ValueError, match="there is a model 'to there' already"):
        save_stain("to there", transfer)


def test_the_card_says_what_it_is(model, transfer):
    card = model.card
    assert (card.task, card.network, card.options) == ("transfer", "stain-normalisation", {"classes": 4})
    assert card.data.startswith("two drawn smears; source: 2 images, pixels of background ")
    assert "target: 2 images" in card.data
    assert "no detail is added or removed" in card.limits[0]
    np.testing.assert_allclose(card.colour_mean, np.mean([drawn(0).mean((0, 1)), drawn(1).mean((0, 1))], 0), atol=0.01)
    two = [
        fit_system([drawn(s, other=o)], classes=("background", "red cell"), pixel_um=0.1) for s, o in ((0, 0), (2, 1))
    ]
    less = stain_model(fit_transfer(*two))
    assert any("Not fitted: nucleus, cytoplasm" in text for text in less.card.limits)
    assert less.card.weights_sha256 != card.weights_sha256


def test_only_transfers_become_models(transfer):
    with pytest.raises(TypeError, match="transfer is a StainSystem: give the StainTransfer"):
        stain_model(transfer.source)


# --- the command line ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    home = tmp_path_factory.mktemp("smears")
    for name, other in (("here", False), ("there", True)):
        (home / name).mkdir()
        for number in range(3):
            image = drawn(10 + number + 5 * other, other=other)
            imsave(home / name / f"{number}.png", image, check_contrast=False)
    return home


def run(folders, *more: str) -> int:
    return main(["stain", str(folders / "here"), str(folders / "there"), "--pixel", "0.1", *more])


def test_the_command_fits_measures_and_saves(folders, models, capsys):
    assert run(folders, "--name", "here to there") == 0
    said = capsys.readouterr().out
    assert said.startswith("fitted to 2 and 2 images\nclass")
    assert "model here to there saved in" in said
    before, after = (float(word) for word in next(line for line in said.splitlines() if "mean" in line).split()[1:])
    assert after < 0.3 * before
    card = load_model("here to there").card
    assert f"fell from {before:.1f} to {after:.1f}" in card.data
    assert str(folders) not in card.to_json()
    assert card.pixel_um == 0.1


def test_what_was_fitted_is_kept_as_json(folders, models, tmp_path, capsys):
    path = tmp_path / "fitted.json"
    assert run(folders, "--name", "kept", "--fitted", str(path)) == 0
    fitted = StainTransfer.from_json(path.read_text(encoding="utf-8"))
    image = drawn(9)
    expected = restore(image, load_model("kept")).compute().astype(int)
    assert np.abs(fitted.apply(image) - expected).max() <= 1
    assert run(folders, "--name", "again", "--fitted", str(path)) == 2
    assert "exists already" in capsys.readouterr().err


def test_the_command_as_json(folders, models, capsys):
    assert run(folders, "--name", "two", "--without", "nucleus", "cytoplasm", "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert list(said["after"]) == ["background", "red cell"]
    assert said["held_out"] == [1, 1]
    assert said["source"]["images"] == 2


@pytest.fixture
def deep(folders, tmp_path):
    """A folder of 16 bit of the smears of "here"."""
    (tmp_path / "deep").mkdir()
    for number in range(3):
        write_tiff(tmp_path / "deep" / f"{number}.tif", ImageStack(drawn(10 + number).astype(np.uint16) * 257, "YXS"))
    return tmp_path / "deep"


def test_the_range_of_16_bit_is_not_that_of_an_8_bit_target(folders, deep, models, capsys):
    words = ["stain", str(deep), str(folders / "there"), "--pixel", "0.1", "--json"]
    assert main([*words, "--name", "deep", "--intensity", "0", "65535"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert run(folders, "--name", "shallow", "--json") == 0
    shallow = json.loads(capsys.readouterr().out)
    assert said["after"] == pytest.approx(shallow["after"], abs=0.3)
    assert said["target"] == shallow["target"]
    for more, message in (
        (
            [],
            "1.tif is uint16, whose full scale is not known: give black and full scale (--intensity), such as 0 and 65535",
        ),
        (["--intensity", "5", "5"], "--intensity is (5.0, 5.0): give (black, full scale)"),
        (["--intensity", "0", "65535", "--target-intensity", "0", "4095"], "--target-intensity is (0.0, 4095.0) and"),
    ):
        assert main([*words, "--name", "new", *more]) == 2
        assert message in capsys.readouterr().err


def test_means_are_of_classes_found_both_times(folders, models, capsys, monkeypatch):
    """The result loses its nuclei where what becomes of them is measured to be nothing."""
    from napari_cellrestore.cli import stain

    distances = {"background": 2.0, "red cell": 4.0, "nucleus": 30.0}, {"background": 1.0, "red cell": 2.0}
    monkeypatch.setattr(stain, "_distances", lambda *_: distances)
    assert run(folders, "--name", "lost") == 0
    said = capsys.readouterr()
    mean = next(line for line in said.out.splitlines() if line.startswith("mean"))
    assert mean.split()[1:] == ["3.0", "1.5"]
    assert "Mind: in the result of the images kept out nucleus is not found any more" in said.err
    data = load_model("lost").card.data
    assert "mean colour distance of background, red cell fell from 3.0 to 1.5; in the result" in data
    distances[1].update({"background": 9.0})
    assert run(folders, "--name", "worse") == 0
    assert "rose from 3.0 to 5.5" in load_model("worse").card.data


@pytest.mark.parametrize("lacking", ["source", "target"])
def test_the_folder_that_lacks_a_class_is_named(lacking, folders, models, tmp_path, capsys):
    for number in range(2):
        imsave(tmp_path / f"{number}.png", np.full((100, 120, 3), 230, np.uint8), check_contrast=False)
    pair = [tmp_path, folders / "there"] if lacking == "source" else [folders / "here", tmp_path]
    assert main(["stain", *map(str, pair), "--pixel", "0.1", "--name", "new"]) == 2
    assert f"cellrestore stain: {tmp_path}: class 'red cell' has 0 pixels" in capsys.readouterr().err


def test_a_result_without_any_class_is_not_saved(folders, models, capsys, monkeypatch):
    monkeypatch.setattr(StainTransfer, "apply", lambda self, image, **_: np.full_like(image, 200))
    assert run(folders, "--name", "blank", "--without", "background", "cytoplasm", "nucleus") == 2
    assert (
        "in the result of the images kept out red cell is not found any more: nothing is saved"
        in capsys.readouterr().err
    )
    assert not models.exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--every", "1"], "--every 1: give 2 or more"),
        (["--without", "platelet"], "--without platelet: the classes are background"),
        (["--pixel", "1", "2", "3"], "give one pixel size, or one each"),
        (["--spread", "much"], "--spread is 'much'"),
        (["--pixel", "0.001"], "give images that show it, of the right --pixel"),
    ],
)
def test_wrong_commands(words, message, folders, models, capsys):
    assert run(folders, "--name", "new", *words) == 2
    assert message in capsys.readouterr().err
    assert not models.exists()


def test_two_folders_are_needed(folders, models, tmp_path, capsys):
    here = str(folders / "here")
    assert main(["stain", here, here, "--name", "new"]) == 2
    assert "source and target are the same folder" in capsys.readouterr().err
    (tmp_path / "one").mkdir()
    imsave(tmp_path / "one" / "a.png", drawn(0), check_contrast=False)
    assert main(["stain", here, str(tmp_path / "one"), "--name", "new"]) == 2
    assert "1 image, of which one is kept out: give 2 or more" in capsys.readouterr().err
