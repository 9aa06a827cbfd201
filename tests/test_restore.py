import pickle
import re

import dask.array as da
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from napari_cellrestore.card import ModelCard
from napari_cellrestore.engine import Runner, available_engines, choose
from napari_cellrestore.model import Model, load_model
from napari_cellrestore.networks import create_network
from napari_cellrestore.restore import Tiles, plan_restoration, restore, restore_stack, restore_with_spread
from napari_cellrestore.sample import as_stack
from napari_cellrestore.stack import ImageStack

#: But the one that takes half a minute to compile: that it agrees, also in tiles, is seen in test_engine.py.
ENGINES = [name for name, said in available_engines().items() if "not installed" not in said and name != "compiled"]


def model(seed=0, **changes):
    """A network with random weights: as hard for tiles as a trained one."""
    torch.manual_seed(seed)
    options = {"norm": "none", "dropout": 0.0, "global_skip": True}
    card = ModelCard(
        **{"name": "random", "task": "deblur", "network": "pix2pix-fast", "options": options, "halo_px": 32, **changes}
    )
    network = create_network("pix2pix-fast", **card.options).eval().requires_grad_(False)
    return Model(network, card.model_copy(update={"weights_sha256": str(seed)}), None)


MODEL = model()


def smear(shape, dtype=np.uint8, seed=0):
    rng = np.random.default_rng(seed)
    levels = rng.uniform(0, 255, shape)
    return (levels / 255 * np.iinfo(dtype).max if np.issubdtype(dtype, np.integer) else levels).astype(dtype)


# --- tiled = whole = lazy = eager -----------------------------------------------------------------------------


@settings(max_examples=15, deadline=None)
@given(rows=st.integers(1, 150), columns=st.integers(40, 200), tile=st.sampled_from([32, 48, 64]))
def test_tiles_do_not_change_the_result(rows, columns, tile):
    image = smear((rows, columns, 3), np.float32)
    whole = restore(image, MODEL, plan_restoration(image, MODEL, tile=4096, engine="torch")).compute()
    plan = plan_restoration(image, MODEL, tile=tile, engine="torch")
    assert len(plan.columns) > 1 or columns < 2 * tile
    np.testing.assert_allclose(restore(image, MODEL, plan).compute(), whole, atol=255e-5)


@pytest.mark.parametrize("shape", [(2, 100, 150, 3), (2, 100, 150), (2, 100, 150, 4)])
@pytest.mark.parametrize("turned", [False, True])
def test_tiles_one_by_one_are_those_of_the_lazy_image(shape, turned):
    image = smear(shape, np.float32)
    image[0, 5, 7] = np.nan
    plan = plan_restoration(image, MODEL, tile=48, engine="torch", turned=turned)
    lazy = restore_with_spread(image, MODEL, plan) if turned else (restore(image, MODEL, plan),)
    tiles = Tiles(as_stack(image), [MODEL], plan)
    keys = list(np.ndindex(*lazy[0].numblocks[:3]))
    assert len(keys) == 2 * 2 * 3
    for key in keys:
        for made, whole in zip(tiles.compute(key), lazy, strict=False):
            np.testing.assert_array_equal(made, whole.blocks[key].compute())
    assert (tiles.compute(keys[0])[1] is None) == (not turned)


def test_a_part_computes_only_its_tiles():
    image = smear((256, 256, 3))
    calls = []

    class Counting(nn.Module):
        def forward(self, tensor):
            calls.append(tuple(tensor.shape[2:]))
            return tensor

    counting = Model(Counting(), MODEL.card, None)
    plan = plan_restoration(image, counting, tile=64, engine="torch")
    restored = restore(image, counting, plan)
    calls.clear()
    restored[70:80, 10:20].compute()
    assert calls == [(128, 96)]  # one tile of 64 with its halo of 32, the left border without


@pytest.mark.parametrize("engine", ENGINES)
def test_engines_agree_with_plain_torch(engine):
    image = smear((61, 100, 3), np.float32)
    with torch.inference_mode():
        padded = np.pad(image, ((0, 3), (0, 12), (0, 0)), mode="symmetric") / 127.5 - 1
        plain = MODEL.network(torch.from_numpy(padded.transpose(2, 0, 1)[None]).float())[0].permute(1, 2, 0).numpy()
    ours = restore(image, MODEL, plan_restoration(image, MODEL, engine=engine)).compute()
    np.testing.assert_allclose(ours, plain[:61, :100] * 127.5 + 127.5, atol=1e-2)


def test_planes_of_a_stack_are_restored_one_by_one():
    data = smear((2, 3, 40, 50), np.uint16)
    stack = ImageStack(da.from_array(data, chunks=(1, 1, 40, 50)), "TZYX", pixel_um=0.1, z_um=[0, 1, 2], source="a.tif")
    restored = restore_stack(stack, MODEL)
    assert (restored.axes, restored.pixel_um, restored.z_um.tolist()) == ("TZYX", 0.1, [0, 1, 2])
    assert restored.data.dtype == np.uint16
    plane = stack.select("T", 1).select("Z", 2)
    np.testing.assert_array_equal(restored.data[1, 2].compute(), restore(plane, MODEL).compute())
    assert restored.provenance["generated"].startswith("restored by random: the pixels are computed")
    assert restored.provenance["source"] == "a.tif"
    assert restored.provenance["plan"]["halo_px"] == 32


def test_the_input_is_not_changed():
    image = smear((40, 40, 3), np.float32)
    image[3, 4] = np.nan
    before = image.copy()
    restore(image, MODEL).compute()
    np.testing.assert_array_equal(image, before)


# --- intensity ----------------------------------------------------------------------------------------------


class Identity(nn.Module):
    def forward(self, tensor):
        return tensor


IDENTITY = Model(Identity(), MODEL.card, None)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.float32, np.float64])
@pytest.mark.parametrize("shape", [(33, 40), (33, 40, 3), (33, 40, 4), (2, 33, 40)])
def test_a_network_that_does_nothing_gives_the_input_back(dtype, shape):
    image = smear(shape, dtype)
    result = restore(image, IDENTITY).compute()
    assert result.dtype == image.dtype
    assert result.shape == image.shape
    tolerance = 0 if np.issubdtype(dtype, np.integer) else 1e-3
    np.testing.assert_allclose(result, image, atol=tolerance)


def test_integers_saturate_instead_of_wrapping():
    class Brighter(nn.Module):
        def forward(self, tensor):
            return tensor + 1.5

    image = np.array([[10, 100, 250]], np.uint8)
    assert restore(image, Model(Brighter(), MODEL.card, None)).compute().tolist() == [[201, 255, 255]]


def test_eight_bit_is_known_and_the_rest_is_said():
    assert plan_restoration(smear((40, 40)), MODEL).intensity == (0, 255)
    twelve_bit = np.full((40, 40), 3000, np.uint16)
    plan = plan_restoration(twelve_bit, MODEL)
    assert plan.intensity == (0, 4095)
    assert any("the full scale of uint16 is not stated" in text for text in plan.warnings)
    assert plan_restoration(twelve_bit, MODEL, intensity=(100, 5000)).intensity == (100, 5000)
    assert plan_restoration(np.full((40, 40), 0.5), MODEL).intensity == (0, 1)


def test_alpha_is_no_colour():
    image = smear((40, 50, 4))
    restored = restore(image, MODEL).compute()
    np.testing.assert_array_equal(restored[..., 3], image[..., 3])
    np.testing.assert_array_equal(restored[..., :3], restore(image[..., :3], MODEL).compute())


# --- what does not fit ---------------------------------------------------------------------------------------


def test_missing_pixels_are_counted_said_and_stay_missing():
    image = smear((100, 120, 3), np.float32)
    image[5, 6], image[50, 60, 1] = np.nan, np.inf
    plan = plan_restoration(image, MODEL, tile=48)
    assert any("2 pixels are NaN or infinite: they stay NaN in the result, and their" in text for text in plan.warnings)
    result = restore(image, MODEL, plan).compute()
    np.testing.assert_array_equal(np.isnan(result), ~np.isfinite(image))
    whole = restore(image, MODEL, plan_restoration(image, MODEL, tile=512)).compute()
    np.testing.assert_allclose(result, whole, atol=255e-5)


def test_an_image_of_nothing_but_nan():
    image = np.full((40, 40, 3), np.nan, np.float32)
    assert np.isnan(restore(image, MODEL).compute()).all()


def test_what_does_not_fit_the_card_is_said_with_both_numbers():
    card = MODEL.card.model_copy(
        update={"pixel_um": 0.1, "colour_mean": (200.0, 180.0, 190.0), "colour_std": (10.0, 10.0, 10.0)}
    )
    strict = Model(MODEL.network, card, None)
    image = np.full((64, 64, 3), 60, np.uint8)
    said = "\n".join(plan_restoration(ImageStack(image, "YXS", pixel_um=0.32), strict).warnings)
    assert "pixels are 0.32 um, the model was trained at 0.1 um: resample the image by 3.2" in said
    assert "red is 60 of 255 on average, training images 200 +- 10 (14.0 deviations away)" in said
    said = "\n".join(plan_restoration(image, strict).warnings)
    assert "the pixel size is not known; the model was trained at 0.1 um" in said
    said = "\n".join(plan_restoration(np.zeros((9, 64), np.uint8), strict).warnings)
    assert "the image is 9 x 64 px, the network sees 32 px and more" in said
    assert "the model knows colour images: the grey image is shown to it in all three colours" in said


@pytest.mark.parametrize(
    ("image", "options", "message"),
    [
        (np.zeros((4, 4)), {"tile": 0}, "tile is 0: give the side of a tile in pixels"),
        (np.zeros((4, 4)), {"tile": 2.5}, "tile is 2.5"),
        (np.zeros((4, 4)), {"engine": "tpu"}, "no engine 'tpu'; known are auto, torch"),
        (np.zeros((4, 4)), {"device": "cuda:7"}, "no device 'cuda:7' on this machine; there are auto, cpu"),
        (np.zeros((4, 4)), {"precision": "int4"}, "no precision 'int4'"),
        (np.zeros((4, 4)), {"intensity": (5, 5)}, r"intensity is \(5, 5\): give \(black, full scale\)"),
        (np.zeros((2, 3, 4, 5, 6)), {}, r"image has shape \(2, 3, 4, 5, 6\): give"),
        (np.zeros((4, 4), complex), {}, "image is complex128: grey levels must be integers or floating point"),
        ([[1, 2]], {}, "image is a list: give a numpy or dask array"),
    ],
)
def test_bad_input_is_said(image, options, message):
    with pytest.raises((ValueError, TypeError), match=message):
        plan_restoration(image, MODEL, **options)


def test_a_tile_larger_than_memory_is_said(monkeypatch):
    large = da.zeros((200_000, 200_000), np.uint8, chunks=4096)
    plan = plan_restoration(large, MODEL, tile=200_000, engine="torch")
    (text,) = [text for text in plan.warnings if "of memory" in text]
    assert re.fullmatch(r"a tile may take \d+ GiB of memory, and the cpu has \d+ GiB: give a smaller tile", text)
    assert not any("of memory" in text for text in plan_restoration(large, MODEL, engine="torch").warnings)
    monkeypatch.setattr("napari_cellrestore.restore.planning.memory_bytes", lambda device: None)  # as on Windows
    assert not any("of memory" in text for text in plan_restoration(large, MODEL, tile=200_000).warnings)


def test_a_plan_for_something_else_is_refused():
    image = smear((40, 40, 3))
    with pytest.raises(ValueError, match="the plan was made for model 'random', not for 'random'"):
        restore(image, model(1), plan_restoration(image, MODEL))
    with pytest.raises(
        ValueError, match=r"the plan was made for YXS \(40, 40, 3\) uint8, the image is YXS \(41, 40, 3\)"
    ):
        restore(smear((41, 40, 3)), MODEL, plan_restoration(image, MODEL))


def test_a_model_of_whole_image_statistics_runs_whole_or_not():
    whole_only = model(tile_safe=False)
    image = smear((100, 100, 3))
    assert plan_restoration(image, whole_only).n_tiles == 1
    with pytest.raises(ValueError, match="takes statistics of the whole image and cannot run in tiles of 64 px"):
        plan_restoration(image, whole_only, tile=64)


def test_a_plan_is_printed_and_saved():
    plan = plan_restoration(smear((1400, 1300, 3)), MODEL, engine="torch")
    assert type(plan).model_validate_json(plan.model_dump_json()) == plan
    assert "tiles      4 of at most 1024 x 1024 px, halo 32 px, aligned to 16 px" in str(plan)
    assert plan.n_tiles == 4


@pytest.mark.parametrize(
    ("memory", "soon", "side"),
    [(2**35, False, 1024), (2**35, True, 512), (2**31, False, 512), (2**27, False, 256), (None, False, 1024)],
)
def test_tiles_are_as_large_as_suits_the_memory(monkeypatch, memory, soon, side):
    monkeypatch.setattr("napari_cellrestore.restore.planning.memory_bytes", lambda device: memory)
    plan = plan_restoration(da.zeros((3000, 3000), np.uint8, chunks=500), MODEL, soon=soon)
    assert (plan.rows[0], plan.columns[0]) == (side, side)


def test_the_memory_estimate_is_no_less_than_the_layers_need():
    plan = plan_restoration(smear((64, 64, 3)), MODEL)
    first_layer, last_block = 32 * 32 * 16 * 4, 64 * 64 * 16 * 4
    assert plan.memory_bytes > first_layer + last_block


def test_a_runner_travels_to_other_processes():
    image = np.random.default_rng(0).uniform(-1, 1, (32, 32, 3)).astype(np.float32)
    runner = Runner(MODEL, "torch", "cpu")
    np.testing.assert_array_equal(runner(image), pickle.loads(pickle.dumps(runner))(image))


def test_choices_are_resolved():
    engine, device, precision = choose("auto", "auto", "auto")
    assert engine in available_engines()
    assert (device, precision) == ("cuda" if torch.cuda.is_available() else "cpu", "float32")


def test_the_bundled_model_sharpens_what_it_was_made_for():
    from napari_cellrestore.metrics import mse
    from napari_cellrestore.simulate import DetectorNoise, defocus, defocus_stack, draw_smear, smear_objectives

    image = draw_smear((160, 160), 0.1, np.random.default_rng(5))
    truth = defocus(image, 0.1, smear_objectives(), 0.0)
    stack = defocus_stack(image, 0.1, smear_objectives(), [-1.0, 0.0, 1.0], DetectorNoise())
    restored = restore(stack, load_model("deblur-fast")).compute()
    blurred, sharpened = ([mse(truth, plane) for plane in planes] for planes in (stack.data, restored))
    assert sharpened[0] < 0.6 * blurred[0]
    assert sharpened[2] < 0.6 * blurred[2]
    assert sharpened[1] < blurred[1] + 1


@pytest.mark.parametrize(("dtype", "scale", "intensity"), [(np.uint8, 1, None), (np.uint16, 16, (0, 4080))])
def test_an_image_noisier_than_the_training_images_is_said_so(dtype, scale, intensity, rng):
    recipe = {"pairs": {"noise_gain": 0.0025}}
    model = Model(MODEL.network, MODEL.card.model_copy(update={"recipe": recipe}), None)
    said = {}
    for std in (0.7, 4.0):
        image = (np.clip(rng.normal(160, std, (80, 90, 3)), 0, 255) * scale).astype(dtype)
        said[std] = [text for text in plan_restoration(image, model, intensity=intensity).warnings if "noise" in text]
    assert said[0.7] == []
    (text,) = said[4.0]
    assert float(text.split()[4]) == pytest.approx(4.0, rel=0.1)
    assert float(text.split("was ")[1].split(":")[0]) == pytest.approx(0.695, abs=0.01)
