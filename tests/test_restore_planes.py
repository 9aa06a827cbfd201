"""Models that make one image of several planes, or a coloured image of a grey one."""

import dask
import dask.array as da
import numpy as np
import pytest
import torch
from torch import nn

from napari_cellrestore.card import ModelCard
from napari_cellrestore.leds import LedTable
from napari_cellrestore.model import Model
from napari_cellrestore.restore import before, plan_restoration, restore, restore_stack, restore_stack_with_spread
from napari_cellrestore.stack import ImageStack


class Pick(nn.Module):
    """Give some of the channels that came in; nothing is learnt, so that every pixel of the result is known."""

    stride, gives, tile_safe = 1, "image", True

    def __init__(self, *channels):
        super().__init__()
        self.channels = list(channels)

    def forward(self, image):
        return image[:, self.channels]


def picking(*channels, in_channels, name="picking", **card):
    fields = {"name": name, "task": "stain", "network": "cae", "stride": 1, "weights_sha256": name}
    card = ModelCard(**{**fields, "in_channels": in_channels, "out_channels": len(channels), **card})
    return Model(Pick(*channels).eval(), card, None)


ARRAY = LedTable(
    index=[0, 1, 2, 2, 9],
    polar_deg=[0, 10, 40, 40, 0],
    azimuth_deg=[0, 0, 72, 72, 0],
    exposure=["single", "single", "low", "high", "single"],
    kind=["point", "point", "darkfield", "darkfield", "brightfield"],
)


def lit(rng, leds=ARRAY, shape=(40, 50), dtype=np.uint8, **fields):
    pixels = rng.integers(0, 255, (len(leds), *shape, 3)).astype(dtype)
    return ImageStack(pixels, "AYXS", leds=leds, pixel_um=0.3, source="cells.tif", **fields)


@pytest.fixture
def two_leds():
    """Red of the high dark field, then green and blue of the brightfield."""
    return picking(0, 4, 5, in_channels=6, in_planes=2, leds=ARRAY[[3, 4]].columns())


def test_planes_are_found_by_their_light_in_any_order(rng, two_leds):
    stack = lit(rng)
    mixed = ImageStack(stack.data[[4, 2, 3, 0, 1]], "AYXS", leds=ARRAY[[4, 2, 3, 0, 1]])
    plan = plan_restoration(stack, two_leds, tile=16)
    assert plan.planes == (3, 4)
    assert plan_restoration(mixed, two_leds).planes == (2, 0)
    assert (plan.result_axes, plan.n_tiles) == ("YXS", 12)
    assert "planes     2 together make one image: 3, 4" in str(plan)
    expected = np.stack([stack.data[3, ..., 0], stack.data[4, ..., 1], stack.data[4, ..., 2]], axis=-1)
    np.testing.assert_array_equal(restore(stack, two_leds, plan), expected)
    np.testing.assert_array_equal(restore(mixed, two_leds), expected)


def test_only_the_planes_that_are_used_are_read(rng, two_leds):
    stack, read = lit(rng), []

    def plane(number):
        read.append(number)
        return stack.data[number]

    lazy = da.stack([da.from_delayed(dask.delayed(plane)(n), (40, 50, 3), np.uint8) for n in range(5)])
    lazy = stack.replace(data=lazy)
    restored = restore(lazy, two_leds, plan_restoration(lazy, two_leds, intensity=(0, 255)))
    read.clear()
    restored.compute()
    assert sorted(read) == [3, 4]


def test_leds_that_are_not_there_are_listed(rng, two_leds):
    with pytest.raises(
        ValueError,
        match=r"^1 of the 2 LEDs .*: 2 at 72 deg \(40.0 deg, high: there, but at another exposure\); record them",
    ):
        plan_restoration(lit(rng, ARRAY[[0, 1, 2, 4]]), two_leds)
    turned = LedTable(**{**ARRAY.columns(), "azimuth_deg": [90, 90, 162, 162, 90]})
    with pytest.raises(ValueError, match="1 of the 2 LEDs"):  # the whole brightfield and the axis have no azimuth
        plan_restoration(lit(rng, turned), two_leds)
    with pytest.raises(ValueError, match="this stack has no LED table"):
        plan_restoration(ImageStack(lit(rng).data, "AYXS"), two_leds)
    with pytest.raises(ValueError, match="finds its planes by the LED table: leave planes out"):
        plan_restoration(lit(rng), two_leds, planes=[3, 4])
    with pytest.raises(ValueError, match="with a single axis of planes"):
        plan_restoration(ImageStack(lit(rng).data[None], "TAYXS", leds=ARRAY), two_leds)
    with pytest.raises(ValueError, match="takes colour images and this one is grey"):
        plan_restoration(ImageStack(lit(rng).data[..., 0], "AYX", leds=ARRAY), two_leds)


def test_a_model_of_one_led_takes_its_plane(rng):
    model = picking(0, 1, 2, in_channels=3, leds=ARRAY[[4]].columns())
    stack = lit(rng)
    plan = plan_restoration(stack, model)
    assert (plan.planes, plan.result_axes) == ((4,), "YXS")
    np.testing.assert_array_equal(restore(stack, model, plan), stack.data[4])
    image = stack.select("A", 2)  # an image by itself is taken as it is
    np.testing.assert_array_equal(restore(image, model), image.data)


def test_leds_differ_by_their_wavelength(rng):
    """One LED in two colours: its planes are told apart by the light alone, and other light is not taken for it."""
    colours = LedTable(index=[0, 0], polar_deg=5, azimuth_deg=0, wavelength_um=[0.63, 0.47])
    model = picking(0, 4, 5, in_channels=6, in_planes=2, leds=colours.columns())
    assert plan_restoration(lit(rng, colours[[1, 0]]), model).planes == (1, 0)
    unknown = LedTable(index=[0, 1], polar_deg=[5, 20], azimuth_deg=0)
    with pytest.raises(ValueError, match="knows LEDs 0 and 0 as two and plane 0 of this stack would be both"):
        plan_restoration(lit(rng, unknown), model)
    with pytest.raises(
        ValueError, match=r"1 of the 2 LEDs .*: 0 at 0 deg \(5.0 deg, single: there, but at another wavel"
    ):
        plan_restoration(
            lit(rng, LedTable(index=[0, 0], polar_deg=5, azimuth_deg=0, wavelength_um=[0.53, 0.47])), model
        )


def test_planes_that_are_not_as_bright_as_in_training_are_told(rng, two_leds):
    """A table whose rows do not belong to the planes: dark field where brightfield should be."""
    means = {"colour_mean": (6, 6, 6, 120, 118, 119), "colour_std": (1, 1, 1, 10, 10, 10)}
    model = picking(0, 4, 5, in_channels=6, in_planes=2, leds=ARRAY[[3, 4]].columns(), **means)
    level = np.array([90, 90, 3, 7, 122], np.uint8)[:, None, None, None]
    right = ImageStack(np.broadcast_to(level, (5, 40, 50, 3)), "AYXS", leds=ARRAY, pixel_um=0.3)
    said = "plane 3 is 122 of 255 on average, in training it was 6 +- 1: check the exposure"
    assert not [text for text in plan_restoration(right, model).warnings if "on average" in text]
    wrong = right.replace(data=right.data[[0, 1, 2, 4, 3]])
    assert [text for text in plan_restoration(wrong, model).warnings if text.startswith(said)]


def test_the_clearest_plane_decides_the_grey_levels(rng, two_leds):
    """Of a stack on disk one plane is looked at: not a dark one, whose full scale would be far too low."""
    stack = lit(rng, dtype=np.uint16)
    dim = stack.data // np.array([1, 1, 200, 200, 1], np.uint16)[:, None, None, None]
    lazy = stack.replace(data=da.from_array(dim * np.uint16(10), chunks=(1, -1, -1, -1)))
    assert plan_restoration(lazy, two_leds).intensity == (0, 4095)


def test_the_result_is_calibrated_and_laid_beside_the_brightfield(rng, two_leds):
    stack = lit(rng)
    plan = plan_restoration(stack, two_leds)
    made = restore_stack(stack, two_leds, plan)
    assert (made.axes, made.data.shape, made.pixel_um, made.leds) == ("YXS", (40, 50, 3), 0.3, None)
    assert made.provenance["plan"]["planes"] == [3, 4]
    np.testing.assert_array_equal(before(stack, plan).data, stack.data[4])
    assert before(stack, plan).axes == plan.result_axes


def test_a_stain_has_grey_levels_of_its_own(rng):
    """A camera of 12 bits, a slide scanner of 8: the result is what the scanner would have recorded."""
    card = {"in_planes": 2, "leds": ARRAY[[3, 4]].columns(), "input_range": (0, 4095)}
    model = picking(0, 4, 5, in_channels=6, output_range=(0, 255), output_dtype="uint8", **card)
    stack = lit(rng)
    twelve_bit = ImageStack((stack.data * np.uint16(16)), "AYXS", leds=ARRAY, pixel_um=0.3)
    plan = plan_restoration(twelve_bit, model, tile=16)
    assert "0 to 4095 grey levels become the network's -1 to 1; the result is uint8, 0 to 255 for these" in str(plan)
    result = restore_stack(twelve_bit, model, plan).data
    planes = [twelve_bit.data[3, ..., 0], twelve_bit.data[4, ..., 1], twelve_bit.data[4, ..., 2]]
    assert result.dtype == np.uint8
    assert np.abs(np.stack(planes, axis=-1) * (255 / 4095) - result.compute()).max() <= 0.5 + 1e-3
    beside = before(twelve_bit, plan)  # what it is compared with has the levels of the result
    assert beside.data.dtype == np.uint8
    np.testing.assert_array_equal(beside.data, np.rint(twelve_bit.data[4] * (255 / 4095)))
    twin = picking(0, 4, 5, in_channels=6, name="twin", output_range=(0, 255), output_dtype="uint8", **card)
    plan = plan_restoration(twelve_bit, [model, twin], way="members")
    mean, spread = restore_stack_with_spread(twelve_bit, [model, twin], plan)
    assert mean.data.dtype == np.uint8
    assert spread.data.compute().max() == 0
    # of floating point stays floating point, which can hold what is missing
    gaps = twelve_bit.data.astype(np.float32)
    gaps[3, 5, 6, 0] = np.nan
    of_gaps = restore(ImageStack(gaps, "AYXS", leds=ARRAY), model).compute()
    assert of_gaps.dtype == np.float32
    assert np.isnan(of_gaps[5, 6]).any()
    np.testing.assert_allclose(of_gaps[0, 0, 1], planes[1][0, 0] * (255 / 4095), rtol=1e-5)
    alike = picking(0, 4, 5, in_channels=6, name="other", **card)
    with pytest.raises(ValueError, match="models picking, other make images of other grey levels each"):
        plan_restoration(twelve_bit, [model, alike], way="members")


def test_planes_of_a_focus_stack_are_said(rng):
    two = picking(0, 1, 3, in_channels=6, in_planes=2)
    stack = ImageStack(rng.integers(0, 255, (4, 20, 30, 3)).astype(np.uint8), "ZYXS", z_um=[0, 1, 2, 3])
    with pytest.raises(ValueError, match=r"makes one image of 2 planes: say which of the 4 \(planes\)"):
        plan_restoration(stack, two)
    for wrong in ([1], [1, 4], [0, 1, 2]):
        with pytest.raises(ValueError, match="takes 2 of 0 to 3"):
            plan_restoration(stack, two, planes=wrong)
    plan = plan_restoration(stack, two, planes=[2, 0])
    got = restore_stack(stack, two, plan)
    np.testing.assert_array_equal(got.data[..., :2], stack.data[2, ..., :2])
    np.testing.assert_array_equal(got.data[..., 2], stack.data[0, ..., 0])
    assert got.z_um is None
    with pytest.raises(ValueError, match="restores one plane after another: leave planes out"):
        plan_restoration(stack, picking(0, 1, 2, in_channels=3), planes=[1])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_grey_becomes_colour_and_colour_grey(rng, dtype):
    grey = ImageStack(rng.integers(0, 255, (2, 24, 33)).astype(dtype), "TYX")
    stain = picking(0, 0, 0, in_channels=1)
    got = restore_stack(grey, stain)
    assert (got.axes, got.data.shape, got.data.dtype) == ("TYXS", (2, 24, 33, 3), dtype)
    np.testing.assert_allclose(got.data, np.repeat(grey.data[..., None], 3, -1), atol=1e-3)
    assert before(grey, plan_restoration(grey, stain)).data.shape == (2, 24, 33, 3)
    colour = ImageStack(rng.integers(0, 255, (24, 33, 3)).astype(dtype), "YXS")
    one = restore_stack(colour, picking(2, in_channels=3))
    assert one.axes == "YX"
    np.testing.assert_allclose(one.data, colour.data[..., 2], atol=1e-3)


def test_what_is_missing_in_one_plane_is_missing_in_the_result(rng, two_leds):
    stack = lit(rng, dtype=np.float32)
    stack.data[3, 5, 6, 1] = np.nan  # of a plane that is used
    stack.data[0, 7, 8] = np.nan  # of one that is not
    got = restore(stack, two_leds, plan_restoration(stack, two_leds, intensity=(0, 255))).compute()
    assert np.argwhere(np.isnan(got).any(-1)).tolist() == [[5, 6]]
    assert np.isnan(got[5, 6]).all()


def test_members_take_the_same_planes(rng, two_leds):
    other = picking(0, 1, 2, in_channels=6, in_planes=2, leds=ARRAY[[0, 4]].columns(), name="other")
    with pytest.raises(ValueError, match="models picking, other take other planes each"):
        plan_restoration(lit(rng), [two_leds, other])
    alike = picking(1, 4, 5, in_channels=6, in_planes=2, leds=two_leds.card.leds, name="alike")
    stack = lit(rng)
    mean, spread = restore_stack_with_spread(stack, (both := [two_leds, alike]), plan_restoration(stack, both))
    assert (mean.axes, spread.axes, spread.data.shape) == ("YXS", "YX", (40, 50))
    red = stack.data[3, ..., :2].astype(float)
    np.testing.assert_allclose(spread.data, np.abs(red[..., 0] - red[..., 1]) / np.sqrt(2) / np.sqrt(3), rtol=1e-4)


def test_turned_led_planes_change_places(rng):
    """What is lit from the right becomes lit from below: the result is the same, and has no spread."""
    cross = LedTable(index=range(5), polar_deg=[0, 30, 30, 30, 30], azimuth_deg=[0, 0, 90, 180, 270])

    class FromTheSides(nn.Module):
        """The gradient of light is turned with the image, its square is not."""

        def forward(self, image):
            _, right, below, left, above = image.split(3, dim=1)
            return ((right - left) ** 2 + (below - above) ** 2) / 8

    card = ModelCard(
        name="sides", task="stain", network="cae", stride=1, in_channels=15, in_planes=5, leds=cross.columns()
    )
    model, stack = Model(FromTheSides(), card, None), lit(rng, cross, dtype=np.float32)
    once, plan = plan_restoration(stack, model), plan_restoration(stack, model, turned=True)
    assert (once.passes, plan.passes) == (1, 8)
    mean, spread = restore_stack_with_spread(stack, model, plan)
    np.testing.assert_allclose(mean.data, restore(stack, model, once), rtol=1e-5)
    assert spread.data.compute().max() < 1e-3
    alone = Model(model.network, card.model_copy(update={"in_planes": 3, "leds": ARRAY[[1, 2, 4]].columns()}), None)
    with pytest.raises(
        ValueError, match="no turn by quarters or mirror maps the LEDs of model 'sides' onto themselves"
    ):
        plan_restoration(stack, alone, turned=True)


def test_a_trained_architecture_runs_in_tiles(rng):
    from napari_cellrestore.networks import create_network, receptive_halo

    torch.manual_seed(0)
    network = create_network("rrdb", 6, 3, width=8, blocks=1, growth=4).eval()
    halo = receptive_halo(network, 6, 1)
    card = ModelCard(name="rrdb", task="stain", network="rrdb", in_channels=6, in_planes=2, stride=1, halo_px=halo)
    stack, model = lit(rng, shape=(90, 70)), Model(network, card, None)
    whole, tiled = (
        restore(stack, model, plan_restoration(stack, model, planes=[1, 3], tile=tile, engine="torch")).compute()
        for tile in (4096, 32)
    )
    np.testing.assert_allclose(whole.astype(int), tiled, atol=1)
