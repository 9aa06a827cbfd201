"""Pairs of LED stacks and stained images: which planes enter, and that turns exchange them."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from napari_cellrestore.augment import turned
from napari_cellrestore.files import open_stack, write_tiff
from napari_cellrestore.leds import LedTable, arm_leds, choose
from napari_cellrestore.leds.symmetry import permutation, turns
from napari_cellrestore.model import load_model
from napari_cellrestore.pairs import images_known, training_images
from napari_cellrestore.pairs.images import Field
from napari_cellrestore.pairs.led_stacks import LedPairs
from napari_cellrestore.pairs.picture import Picture
from napari_cellrestore.recipe import ImageSource, Recipe
from napari_cellrestore.restore import plan_restoration, restore_stack
from napari_cellrestore.stack import ImageStack
from napari_cellrestore.train import train
from napari_cellrestore.trained_model import make_model

CROSS = LedTable(index=range(5), polar_deg=[0, 30, 30, 30, 30], azimuth_deg=[0, 0, 90, 180, 270])
ARMS = arm_leds(near_axis=0)


def lit_from(leds, shape, turn_deg=0.0, mirrored=False, seed=0):
    """A toy that is equivariant: each plane is the gradient of one smooth object towards its LED."""
    rows, columns = (np.arange(n) - (n - 1) / 2 for n in shape)
    y, x = np.meshgrid(rows, columns, indexing="ij")
    if turn_deg or mirrored:
        angle = np.radians(turn_deg)
        # where each place of the turned image came from; y runs down, a turn is against the clock
        x, y = np.cos(angle) * x - np.sin(angle) * y, np.sin(angle) * x + np.cos(angle) * y
        x = -x if mirrored else x
    rng = np.random.default_rng(seed)
    dx, dy, height = 0.0, 0.0, 0.0
    for _ in range(12):
        cx, cy, width, amplitude = rng.uniform(-12, 12), rng.uniform(-12, 12), rng.uniform(4, 7), rng.uniform(-1, 1)
        bump = amplitude * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * width**2))
        height = height + 40 * bump
        dx, dy = dx - (x - cx) / width**2 * bump, dy - (y - cy) / width**2 * bump
    if turn_deg or mirrored:  # the gradient in the turned frame
        gx = -dx if mirrored else dx
        angle = np.radians(turn_deg)
        dx, dy = np.cos(angle) * gx + np.sin(angle) * dy, -np.sin(angle) * gx + np.cos(angle) * dy
    tilt = np.sin(np.radians(leds.polar_deg)), np.radians(leds.azimuth_deg)
    planes = [300 * s * (np.cos(a) * dx + np.sin(a) * dy) for s, a in zip(*tilt, strict=True)]
    return (np.stack(planes, axis=-1) + 120).astype(np.float32), (height + 120).astype(np.float32)[..., None]


@pytest.mark.parametrize("leds", [CROSS, ARMS], ids=["cross", "five arms"])
def test_every_turn_sees_the_same_data(leds):
    """Turned images with exchanged planes are what would have been recorded of the turned object."""
    found = turns(leds)
    assert len(found) == {5: 8, len(ARMS): 10}[len(leds)]
    given, target = lit_from(leds, (97, 97))
    for turn_deg, mirrored in found:
        rows = permutation(leds, turn_deg, mirrored)
        ours = turned([given[..., rows], target], turn_deg, mirrored, 61)
        expected = lit_from(leds, (97, 97), turn_deg, mirrored)
        for image, truth in zip(ours, expected, strict=True):
            np.testing.assert_allclose(image, truth[18:-18, 18:-18], atol=1e-3 if turn_deg % 90 == 0 else 0.25)


def test_crops_are_turned_with_their_leds():
    given, target = lit_from(CROSS, (40, 44))
    field = Field.of("a", Picture("a", given), Picture("t", target))
    pairs, rng = LedPairs([field], leds=CROSS), np.random.default_rng(3)
    seen = set()
    for _ in range(60):
        crop = pairs.crop(rng, 24)
        # the light comes from the right in plane 1 whatever the turn: its gradient runs along the columns
        right = np.gradient(crop.target[..., 0], axis=1)[2:-2, 2:-2].ravel()
        assert np.corrcoef(right, crop.input[2:-2, 2:-2, 1].ravel())[0, 1] > 0.99
        seen.add(round(float(crop.target.mean()), 3))
    assert len(seen) > 30
    straight = LedPairs([field], leds=CROSS, turn=False).crop(np.random.default_rng(1), 24)
    top_left = next(
        (y, x) for y in range(17) for x in range(21) if np.array_equal(target[y : y + 24, x : x + 24], straight.target)
    )
    np.testing.assert_array_equal(straight.input, given[top_left[0] :, top_left[1] :][:24, :24])


@pytest.mark.parametrize(("subset", "n"), [("full-no-high", 10), ("18deg", 10), ("8deg", 6), ("brightfield", 8)])
def test_inputs_of_the_source_take_all_turns(subset, n):
    leds = choose(arm_leds(), subset)
    given = np.zeros((40, 40, len(leds)), np.float32)
    given += np.arange(len(leds))
    pairs = LedPairs(
        [Field.of("a", Picture("a", given), Picture("t", given[..., :1]))], leds=leds, intensity_range=(0, 255)
    )
    orders, rng = set(), np.random.default_rng(0)
    for _ in range(200):
        crop = pairs.crop(rng, 16)
        order = np.rint(crop.input[8, 8]).astype(int)
        assert sorted(order) == list(range(len(leds)))
        orders.add(tuple(order))
    assert len(pairs._turns) == n
    assert len(orders) == (1 if subset == "brightfield" else n)


# --- folders ---------------------------------------------------------------------------------------------------


@pytest.fixture
def folders(tmp_path, rng):
    """Six stacks of four planes in colour, of which "8deg" takes two, and their stained images."""
    leds = LedTable(
        index=[0, 1, 2, -1],
        polar_deg=[5, 20, 40, 0],
        azimuth_deg=[0, 90, 180, 0],
        kind=["point", "point", "darkfield", "brightfield"],
    )
    for name in ("lit", "stained"):
        (tmp_path / name).mkdir()
    for number in range(6):
        smooth = ndimage.gaussian_filter(rng.normal(size=(4, 40, 48, 3)), (0, 2, 2, 0)) * 300 + 128
        pixels = np.clip(smooth, 0, 255).astype(np.uint8)
        write_tiff(tmp_path / "lit" / f"{number}.tif", ImageStack(pixels, "AYXS", leds=leds, pixel_um=0.3))
        write_tiff(tmp_path / "stained" / f"{number}.tif", ImageStack(255 - pixels[3], "YXS", pixel_um=0.3))
    return tmp_path / "lit", tmp_path / "stained", leds


def recipe(folders, **changes):
    source = ImageSource(kind="leds", input=str(folders[0]), target=str(folders[1]), every=6)
    fields = {"name": "tiny", "task": "stain", "network": "rrdb", "losses": {"l1": 1}, "leds": "8deg", **changes}
    options = {"width": 4, "blocks": 1, "growth": 2}
    return Recipe(**{"options": options, "steps": 4, "batch": 2, "crop_px": 24, "images": (source,), **fields})


def test_a_subset_of_planes_becomes_a_model_that_finds_them(folders, tmp_path):
    wanted = recipe(folders)
    images = training_images(wanted)
    assert (images.pairs.in_planes, images.pairs.in_channels, images.pairs.out_channels) == (2, 6, 3)
    assert images.pairs.leds.index.tolist() == [0, -1]
    assert (images.pairs.pixel_um, images.pairs.intensity_range) == (0.3, (0, 255))
    run = tmp_path / "run"
    assert [event.step for event in train(wanted, images.pairs, run)] == [1, 2, 3, 4]
    card = make_model(run, tmp_path / "tiny", images, wanted).card
    assert (card.in_planes, card.in_channels, card.leds["polar_deg"]) == (2, 6, [5.0, 0.0])
    row = card.held_out[0]
    assert row["number"] == 1  # of pairs; the plane that looks most like the stained image is compared
    (_, crop), *_ = images.test()
    assert row["mse_input"][0] == pytest.approx(float(np.mean((crop.input[..., 3:6] - crop.target) ** 2)), rel=1e-4)
    stack = ImageStack(
        np.zeros((3, 30, 30, 3), np.uint8),
        "AYXS",
        leds=LedTable([7, 8, 9], [0, 5, 9], [0, 0, 0], kind=["brightfield", "point", "point"]),
    )
    model = load_model(tmp_path / "tiny")
    assert plan_restoration(stack, model).planes == (1, 0)
    assert restore_stack(stack, model).axes == "YXS"


def test_a_camera_of_twelve_bits_and_a_scanner_of_eight(folders, tmp_path):
    lit, stained, leds = folders
    for path in sorted(lit.iterdir()):
        pixels = np.asarray(open_stack(path).data).astype(np.uint16) * 16
        path.unlink()
        write_tiff(path, ImageStack(pixels, "AYXS", leds=leds, pixel_um=0.3))
    wanted = recipe(folders, intensity_range=(0, 4095))
    images = training_images(wanted)
    assert (images.pairs.intensity_range, images.pairs.target_range) == ((0, 4095), (0, 255))
    assert images.pairs.dtypes[1] == "uint8"
    preview = [event.preview for event in train(wanted, images.pairs, tmp_path / "run")][-1]
    assert all(image.max() <= 300 for image in preview)  # all in the levels of the target
    card = make_model(tmp_path / "run", tmp_path / "tiny", images, wanted).card
    assert (card.input_range, card.output_range, card.output_dtype) == ((0, 4095), (0, 255), "uint8")
    (_, crop), *_ = images.test()
    before = np.rint(crop.input[..., 3:6] * (255 / 4095))
    assert card.held_out[0]["mse_input"][0] == pytest.approx(float(np.mean((before - crop.target) ** 2)), rel=1e-3)
    result = restore_stack(open_stack(lit / "0.tif"), load_model(tmp_path / "tiny"))
    assert (result.axes, result.data.dtype) == ("YXS", np.uint8)
    (stained / "3.tif").unlink()
    write_tiff(stained / "3.tif", ImageStack(np.zeros((40, 48, 3), np.uint16), "YXS"))
    with pytest.raises(ValueError, match=r"has pixels of uint8, 3\.tif has pixels of uint16: images must all be alike"):
        training_images(wanted)


def test_edges_that_lie_beside_the_stain_are_said(tmp_path, rng):
    leds = LedTable(index=[0, -1], polar_deg=[5, 0], azimuth_deg=[0, 0], kind=["point", "brightfield"])
    for name in ("lit", "stained"):
        (tmp_path / name).mkdir()
    for number in range(4):
        bright = ndimage.gaussian_filter(rng.normal(size=(220, 230)), 3) * 900 + 128
        pixels = np.clip(np.stack([rng.permutation(bright.ravel()).reshape(bright.shape), bright]), 0, 255).astype(
            np.uint8
        )
        moved = (5, -3) if number == 2 else (0, 0)
        write_tiff(tmp_path / "lit" / f"{number}.tif", ImageStack(pixels, "AYX", leds=leds, pixel_um=0.3))
        stain = 255 - np.roll(pixels[1], moved, (0, 1)) // 2
        write_tiff(tmp_path / "stained" / f"{number}.tif", ImageStack(stain, "YX", pixel_um=0.3))
    notes = training_images(recipe((tmp_path / "lit", tmp_path / "stained", leds))).notes
    (said,) = (note for note in notes if "lie beside" in note)
    assert said.startswith(
        "edges of 1 of 4 LED stacks that were looked at lie beside those of their targets, at most by 5.8 px (2.tif"
    )
    assert said.endswith("5 down, -3 right): pair the scans with cellrestore pairs led")


def test_changes_that_led_stacks_are_not_given_are_said(folders):
    got = training_images(recipe(folders, augmentation={"contrast": 0.2, "cutout": 0.1}))
    assert any(note.startswith("augmentation: contrast, cutout change nothing here") for note in got.notes)
    got = training_images(recipe(folders, augmentation={"flips": False}))
    assert any(note.startswith("augmentation: flips change") for note in got.notes)
    assert not any("augmentation" in note for note in training_images(recipe(folders, augmentation={})).notes)


def test_pairs_of_stacks_with_themselves_are_refused(folders):
    with pytest.raises(ValueError, match="inputs and targets are one folder"):
        training_images(recipe((folders[0], folders[0])))


def test_directions_are_alike_however_their_azimuth_is_written(folders):
    lit, _, leds = folders
    other = replace(leds, azimuth_deg=np.where(leds.polar_deg == 0, 77, leds.azimuth_deg - 360))
    pixels = np.asarray(open_stack(lit / "3.tif").data)
    write_tiff(lit / "3.tif", ImageStack(pixels, "AYXS", leds=other, pixel_um=0.3), overwrite=True)
    assert training_images(recipe(folders, leds=None)).pairs.leds.index.tolist() == leds.index.tolist()


def test_what_cannot_be_paired_is_said(folders, tmp_path):
    with pytest.raises(ValueError, match="unknown subset '9deg'"):
        training_images(recipe(folders, leds="9deg"))
    lit, _, leds = folders
    pixels = np.zeros((4, 40, 48, 3), np.uint8)
    (lit / "3.tif").unlink()
    write_tiff(lit / "3.tif", ImageStack(pixels, "AYXS", leds=leds[[1, 0, 2, 3]]))
    with pytest.raises(ValueError, match=r"3.tif has other LEDs, or in another order, than 0.tif"):
        training_images(recipe(folders, leds=None))
    (lit / "3.tif").unlink()
    write_tiff(lit / "3.tif", ImageStack(pixels, "ZYXS"))
    with pytest.raises(ValueError, match=r"3.tif has the axes ZYXS and no LED table"):
        training_images(recipe(folders))
    (lit / "3.tif").unlink()
    write_tiff(lit / "3.tif", ImageStack(pixels[:, :39], "AYXS", leds=leds))
    with pytest.raises(ValueError, match=r"3.tif: the input has 39 x 48 px, its target 3.tif 40 x 48"):
        training_images(recipe(folders))


def test_a_part_of_a_stack_that_was_saved_trains_as_the_part(tmp_path, folders):
    """Its table counted the planes of the whole stack once: pixels and LEDs must still be those of the file."""
    lit, stained, _ = folders
    (tmp_path / "part").mkdir()
    for path in sorted(lit.iterdir()):
        write_tiff(tmp_path / "part" / path.name, open_stack(path).select("A", slice(2, 4)))
    images = training_images(recipe((tmp_path / "part", stained), leds=None))
    assert images.pairs.leds.plane.tolist() == [0, 1]
    crop = images.pairs.crop(np.random.default_rng(0), 24)
    assert crop.input.shape == (24, 24, 6)


def test_two_folders_of_stacks_have_the_same_leds(tmp_path, folders):
    lit, stained, leds = folders
    more = tmp_path / "more"
    more.mkdir()
    first, second = (ImageSource(kind="leds", input=str(f), target=str(stained), every=6) for f in (lit, more))
    wanted = recipe(folders, leds=None).model_copy(update={"images": (first, second)})
    for path in sorted(lit.iterdir()):
        write_tiff(more / path.name, open_stack(path).replace(data=255 - open_stack(path).data))
    images = training_images(wanted)
    assert images.pairs.leds.polar_deg.tolist() == leds.polar_deg.tolist()
    assert images_known(images.pairs)["in_planes"] == 4
    for path in sorted(lit.iterdir()):
        (more / path.name).unlink()
        pixels = np.asarray(open_stack(path).data)
        write_tiff(more / path.name, ImageStack(pixels[::-1], "AYXS", leds=leds[[3, 2, 1, 0]], pixel_um=0.3))
    with pytest.raises(ValueError, match="more has other LEDs, or in another order, than lit: they cannot train one"):
        training_images(wanted)
