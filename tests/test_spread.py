"""The same restoration several times: symmetries, LED permutations, mean and spread, dropout, members."""

from __future__ import annotations

import pickle

import dask
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from napari_cellrestore.card import ModelCard
from napari_cellrestore.files import open_stack
from napari_cellrestore.leds import LedTable
from napari_cellrestore.model import Model
from napari_cellrestore.passes import passes_of, with_seeded_dropout
from napari_cellrestore.restore import (
    plan_restoration,
    restore,
    restore_stack_with_spread,
    restore_with_spread,
    write_with_spread,
)
from napari_cellrestore.spread import SYMMETRIES, led_symmetries, mean_and_spread, turned_mean_and_spread
from napari_cellrestore.stack import ImageStack


class Directed(nn.Module):
    """Blurs along X only, in strides of 8: what it gives depends on how the image lies, and on where tiles begin."""

    def __init__(self, dropout: float = 0.0, gain: float = 1.0) -> None:
        super().__init__()
        self.down = nn.Conv2d(3, 4, 8, stride=8)
        self.drop = nn.Dropout(dropout)
        self.gain = gain
        torch.manual_seed(0)
        nn.init.normal_(self.down.weight, std=0.05)

    def forward(self, image):
        coarse = nn.functional.interpolate(self.drop(self.down(image)), scale_factor=8)[:, :3]
        along = nn.functional.avg_pool2d(nn.functional.pad(image, (2, 2, 0, 0)), (1, 5), stride=1)
        return self.gain * along + coarse


def model(network=None, name="directed", **changes):
    card = ModelCard(
        **{"name": name, "task": "deblur", "network": "pix2pix", "stride": 8, "halo_px": 8, "weights_sha256": name}
        | changes
    )
    return Model((network or Directed()).eval().requires_grad_(False), card, None)


MODEL = model()


@pytest.fixture
def image(rng):
    return rng.uniform(0, 255, (45, 70, 3)).astype(np.float32)


# --- symmetries ------------------------------------------------------------------------------------------------


@given(rows=st.integers(2, 9), columns=st.integers(2, 9), number=st.integers(0, 7))
@settings(max_examples=25, deadline=None)
def test_every_turn_of_any_shape_is_undone(rows, columns, number):
    image = np.arange(rows * columns * 3).reshape(rows, columns, 3)
    np.testing.assert_array_equal(SYMMETRIES[number].back(SYMMETRIES[number].turn(image)), image)


def grid_of_leds(angles=(0, 90, 180, 270), polar=30.0, **columns):
    n = len(angles)
    return LedTable(index=range(n + 1), polar_deg=[0, *[polar] * n], azimuth_deg=[0, *angles], **columns)


def shaded(leds, shape=(6, 9)):
    """Planes as LEDs shade them: grey levels rise towards the light, azimuth from +X to +Y (down)."""
    rows, columns = shape
    y, x = np.mgrid[:rows, :columns].astype(float)
    y, x = y - (rows - 1) / 2, x - (columns - 1) / 2
    sine, azimuth = np.sin(np.radians(leds.polar_deg)), np.radians(leds.azimuth_deg)
    return np.stack([s * (x * np.cos(a) + y * np.sin(a)) for s, a in zip(sine, azimuth, strict=True)])


def test_a_turned_led_stack_is_as_if_recorded_so():
    """Shading follows the light: after turning pixels and planes each plane is shaded as its own LED does."""
    leds = grid_of_leds()
    found = led_symmetries(leds)
    assert len(found) == 8
    for symmetry in found:
        shape = (9, 6) if symmetry.turns % 2 else (6, 9)
        np.testing.assert_allclose(symmetry.turn(shaded(leds)), shaded(leds, shape), atol=1e-9)


def test_five_arms_leave_the_mirror_through_an_arm():
    arms = grid_of_leds([90 + 72 * k for k in range(5)])
    assert [(one.turns, one.mirrored) for one in led_symmetries(arms)] == [(0, False), (0, True)]
    assert led_symmetries(arms)[1].planes == (0, 1, 5, 4, 3, 2)
    sideways = grid_of_leds([72 * k for k in range(5)])
    assert [(one.turns, one.mirrored) for one in led_symmetries(sideways)] == [(0, False), (2, True)]


def test_leds_of_another_exposure_or_colour_are_not_the_same():
    lit = grid_of_leds(exposure=["single", "low", "low", "high", "high"])
    assert [(one.turns, one.mirrored) for one in led_symmetries(lit)] == [(0, False), (1, True)]  # the transpose
    colours = grid_of_leds(wavelength_um=[0.5, 0.5, 0.6, 0.5, 0.6])
    assert len(led_symmetries(colours)) == 4


def test_a_method_that_knows_the_leds_is_sure_and_one_that_does_not_is_unsure(rng):
    """The difference of right and left light points to the right however the slide lay, if planes follow the LEDs."""
    leds = grid_of_leds()
    stack = shaded(leds) + rng.normal(size=(6, 9))  # the scene, the same under every LED

    def slope(planes):
        return planes[1] - planes[3]

    mean, spread = turned_mean_and_spread(
        stack, lambda planes: np.hypot(slope(planes), planes[2] - planes[4]), leds=leds
    )
    assert spread.max() < 1e-5
    assert mean.shape == (6, 9)
    with pytest.raises(ValueError, match="rows for 4 planes"):
        turned_mean_and_spread(stack[1:], slope, leds=leds)
    with pytest.raises(ValueError, match="maps these LEDs onto themselves"):
        turned_mean_and_spread(stack[:2], lambda planes: planes[0], leds=grid_of_leds([10.0]))


# --- mean and spread -------------------------------------------------------------------------------------------


@given(seed=st.integers(0, 99), number=st.integers(2, 9))
@settings(max_examples=20, deadline=None)
def test_mean_and_spread_are_those_of_numpy(seed, number):
    results = np.random.default_rng(seed).normal(100, 5, (number, 4, 5, 3)).astype(np.float32)
    mean, spread = mean_and_spread(iter(results))
    np.testing.assert_allclose(mean, results.mean(0), rtol=1e-5)
    np.testing.assert_allclose(spread, np.sqrt((results.std(0, ddof=1) ** 2).mean(-1)), rtol=1e-3)


def test_one_result_has_no_spread():
    with pytest.raises(ValueError, match="1 result has no spread"):
        mean_and_spread([np.zeros((2, 2))])


# --- turned ----------------------------------------------------------------------------------------------------


def test_turned_is_the_mean_and_spread_of_eight_restorations(image):
    """Sizes that are multiples of the stride need no extension, so whole images can be turned by hand."""
    image = image[:40, :64]
    mean, spread = restore_with_spread(image, MODEL, plan_restoration(image, MODEL, turned=True))
    by_hand = [one.back(restore(np.ascontiguousarray(one.turn(image)), MODEL).compute()) for one in SYMMETRIES]
    np.testing.assert_allclose(mean.compute(), np.mean(by_hand, axis=0), atol=1e-2)
    expected = np.sqrt((np.std(by_hand, axis=0, ddof=1) ** 2).mean(-1))
    np.testing.assert_allclose(spread.compute(), expected, atol=1e-2)
    assert expected.mean() > 5  # the network does prefer a direction


@settings(max_examples=8, deadline=None)
@given(rows=st.integers(5, 70), columns=st.integers(64, 110), tile=st.sampled_from([16, 24, 32]))
def test_tiles_do_not_change_what_is_turned(rows, columns, tile):
    image = np.random.default_rng(rows).uniform(0, 255, (rows, columns, 3)).astype(np.float32)
    results = []
    for side in (tile, 4096):
        plan = plan_restoration(image, MODEL, tile=side, turned=True)
        results.append(dask.compute(*restore_with_spread(image, MODEL, plan)))
    assert len(plan_restoration(image, MODEL, tile=tile, turned=True).columns) > 1
    for tiled, whole in zip(*results, strict=True):
        np.testing.assert_allclose(tiled, whole, atol=255e-5)


def test_members_in_tiles_are_members_whole(image):
    """Their strides 8 and 16 meet in tiles aligned to 16, halos of the larger of the two."""
    members = [MODEL, model(Directed(gain=0.9), "other", stride=16, halo_px=16)]
    results = []
    for side in (16, 4096):
        plan = plan_restoration(image, members, tile=side)
        assert (plan.way, plan.passes, plan.stride, plan.halo_px) == ("members", 2, 16, 16)
        results.append(dask.compute(*restore_with_spread(image, members, plan)))
    for tiled, whole in zip(*results, strict=True):
        np.testing.assert_allclose(tiled, whole, atol=255e-5)
    one, other = (restore(image, member).compute() for member in members)
    np.testing.assert_allclose(results[1][0], (one + other) / 2, atol=1e-2)
    expected = np.sqrt((((one - other) ** 2) / 2).mean(-1))  # s^2 of two is half the square of their difference
    np.testing.assert_allclose(results[1][1], expected, atol=1e-2)


@pytest.mark.parametrize(("dtype", "shape"), [(np.uint8, (20, 30)), (np.uint16, (2, 20, 30)), (np.uint8, (20, 30, 4))])
def test_result_is_like_the_input_and_spread_in_its_grey_levels(dtype, shape, rng):
    image = rng.integers(0, 250, shape).astype(dtype)
    plan = plan_restoration(image, MODEL, turned=True, intensity=(0, 255))
    mean, spread = dask.compute(*restore_with_spread(image, MODEL, plan))
    assert (mean.dtype, mean.shape) == (image.dtype, image.shape)
    assert (spread.dtype, spread.shape) == (np.float32, shape[:-1] if shape[-1] == 4 else shape)
    doubled = plan_restoration(image.astype(np.float32) * 2, MODEL, turned=True, intensity=(0, 510))
    twice = restore_with_spread(image.astype(np.float32) * 2, MODEL, doubled)[1].compute()
    np.testing.assert_allclose(twice, 2 * spread, rtol=1e-3, atol=1e-3)
    if shape[-1] == 4:
        np.testing.assert_array_equal(mean[..., 3], image[..., 3])


def test_missing_pixels_have_no_spread_and_the_input_stays(image):
    image[3, 4, 1] = np.nan
    before = image.copy()
    mean, spread = dask.compute(*restore_with_spread(image, MODEL, plan_restoration(image, MODEL, turned=True)))
    assert np.argwhere(np.isnan(spread)).tolist() == [[3, 4]]
    assert np.argwhere(np.isnan(mean)).tolist() == [[3, 4, 1]]
    np.testing.assert_array_equal(image, before)


def test_a_part_computes_its_tiles_only_and_both_results_together_once(image):
    calls = []

    class Counting(nn.Module):
        def forward(self, tensor):
            calls.append(tuple(tensor.shape[2:]))
            return tensor

    counting = model(Counting())
    plan = plan_restoration(image, counting, tile=16, turned=True)
    mean, spread = restore_with_spread(image, counting, plan)
    calls.clear()
    dask.compute(mean[20:24, 20:24], spread[20:24, 20:24])
    # one tile, 29 px to the lower border and 16 across, with its halo of 8 to three sides, as it lies in eight ways
    assert calls == [(40, 32), (32, 40)] * 4


# --- dropout ---------------------------------------------------------------------------------------------------


def test_dropout_is_repeatable_and_by_chance(image):
    dropping = model(Directed(dropout=0.5))
    state = torch.random.get_rng_state()
    plans = [plan_restoration(image, dropping, way="dropout", passes=6, seed=seed) for seed in (1, 1, 2)]
    first, again, other = (dask.compute(*restore_with_spread(image, dropping, plan)) for plan in plans)
    np.testing.assert_array_equal(first[1], again[1])
    assert not np.array_equal(first[1], other[1])
    assert first[1].mean() > 0.1
    assert not dropping.network.training
    assert torch.equal(torch.random.get_rng_state(), state)  # torch's own chance is not touched


def test_dropped_units_are_as_many_as_they_should_be(monkeypatch):
    """Mean of kept units 1, variance p / (1 - p); whole channels where the layer drops those."""
    for part, shape in ((nn.Dropout(0.25), (1, 4, 200, 200)), (nn.Dropout2d(0.25), (1, 4000, 2, 2))):
        network = with_seeded_dropout(nn.Sequential(part))
        monkeypatch.setattr("napari_cellrestore.passes._NOW.seed", 3, raising=False)
        values = network(torch.ones(shape))
        assert float(values.mean()) == pytest.approx(1, abs=0.03)
        assert float(values.var()) == pytest.approx(0.25 / 0.75, abs=0.03)
        if isinstance(part, nn.Dropout2d):
            assert bool((values == values[:, :, :1, :1]).all())


def test_passes_travel_to_other_processes(image):
    dropping = model(Directed(dropout=0.5))
    passes = passes_of([dropping], "torch", "cpu", way="dropout", stride=8, number=3, seed=5)
    here, there = ([run(image[:40, :64] / 255) for run in one] for one in (passes, pickle.loads(pickle.dumps(passes))))
    assert len(here) == 3
    np.testing.assert_array_equal(here, there)


# --- saved -----------------------------------------------------------------------------------------------------


def test_both_are_saved_with_calibration_and_each_tile_computed_once(tmp_path, rng):
    calls = []

    class Counting(Directed):
        def forward(self, tensor):
            calls.append(tensor.shape)
            return super().forward(tensor)

    counting = model(Counting())
    stack = ImageStack(rng.integers(0, 255, (2, 40, 48, 3)).astype(np.uint8), "ZYXS", pixel_um=0.1, z_um=[0, 0.5])
    plan = plan_restoration(stack, counting, turned=True)
    mean, spread = restore_stack_with_spread(stack, counting, plan)
    calls.clear()
    files = write_with_spread(tmp_path / "out.ome.tif", mean, spread)
    assert len(calls) == 2 * 8
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.ome.tif", "out_unsure.ome.tif"]
    saved, unsure = map(open_stack, files)
    assert (saved.axes, unsure.axes, unsure.pixel_um, unsure.z_um.tolist()) == ("ZYXS", "ZYX", 0.1, [0, 0.5])
    assert saved.provenance["plan"]["way"] == "turned"
    assert "mean of 8 passes turned and mirrored" in saved.provenance["generated"]
    assert unsure.provenance["generated"].startswith("spread (standard deviation) of 8 restorations by directed")
    assert "model" not in unsure.provenance  # no model made these pixels
    expected = restore_with_spread(stack, counting, plan)
    np.testing.assert_array_equal(saved.data, expected[0])
    np.testing.assert_array_equal(unsure.data, expected[1])


# --- bad input -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("models", "options", "message"),
    [
        (MODEL, {"way": "dropout"}, "model 'directed' has no dropout: ask it turned, or ask several models"),
        (model(Directed(0.5)), {"way": "dropout", "passes": 1}, "passes is 1: give a whole number, 2 or more"),
        (model(Directed(0.5)), {"way": "dropout", "seed": -1}, "seed is -1"),
        (model(Directed(0.5)), {"way": "dropout", "engine": "openvino"}, "engine"),
        (MODEL, {"way": "sideways"}, "no way 'sideways' to restore; known are once, turned, dropout, members"),
        (MODEL, {"way": "members"}, "members are 'directed': give two models or more, each once"),
        ([MODEL, MODEL], {}, "give two models or more, each once"),
        ([], {}, "members are none"),
        (
            [MODEL, model(name="b", task="stain")],
            {},
            "members 'directed', 'b' do deblur, stain: give models that do the same",
        ),
        ([MODEL, model(name="b", out_channels=1)], {}, "members 'directed', 'b' give channels 3, 1"),
        ([MODEL, model(name="b")], {"way": "turned"}, "2 models are given: the way 'members' takes several"),
        (MODEL, {"way": "turned", "passes": 3}, "passes is 3: only of dropout it can be chosen"),
        (MODEL, {"way": "dropout", "turned": True}, "turned=True and way='dropout': give one of them"),
    ],
)
def test_what_cannot_be_asked_is_said_in_one_line(models, options, message, image):
    with pytest.raises(ValueError, match=message) as error:
        plan_restoration(image, models, **options)
    assert "\n" not in str(error.value)


def test_a_plan_for_once_has_no_spread(image):
    with pytest.raises(ValueError, match="the plan restores once, which has no spread"):
        restore_with_spread(image, MODEL, plan_restoration(image, MODEL))


def test_an_image_smaller_than_the_stride_is_turned_too(rng):
    image = rng.uniform(0, 255, (3, 5, 3)).astype(np.float32)
    plan = plan_restoration(image, MODEL, turned=True)
    assert any("the image is 3 x 5 px, the network sees 16 px and more" in text for text in plan.warnings)
    mean, spread = dask.compute(*restore_with_spread(image, MODEL, plan))
    assert mean.shape == (3, 5, 3)
    assert np.isfinite(spread).all()


def test_the_plan_says_how_often(image):
    plan = plan_restoration(image, MODEL, turned=True)
    assert "passes     8 over each tile, turned and mirrored, each turned back; the result is their mean" in str(plan)
    assert type(plan).model_validate_json(plan.model_dump_json()) == plan
    assert "passes" not in str(plan_restoration(image, MODEL))
