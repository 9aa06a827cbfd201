"""Pairs from simulation, folders, stacks, arrays; what is held out shares nothing with training."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage.io import imsave

from napari_cellrestore.files import open_stack, write_tiff
from napari_cellrestore.pairs import (
    ArrayPairs,
    Crop,
    DefocusPairs,
    Field,
    ImagePairs,
    MixedPairs,
    Picture,
    Room,
    Split,
    change_colours,
    check_leaks,
    images_known,
    match_folders,
    open_picture,
    shifts,
    split_by_image,
    stack_fields,
    training_images,
)
from napari_cellrestore.pairs.folders import folder_fields
from napari_cellrestore.pairs.split import fingerprint, identical_files
from napari_cellrestore.recipe import Augmentation, DefocusSettings, ImageSource, Recipe
from napari_cellrestore.simulate import DetectorNoise, defocus_stack, smear_objectives
from napari_cellrestore.stack import ImageStack


def recipe(*images, **changes):
    return Recipe(**{"name": "tiny", "network": "pix2pix-fast", "losses": {"l1": 1}, "images": images, **changes})


def cyclic(*images, **changes):
    losses = {"cycle": 1, "identity": 1, "adversarial": 1}
    return recipe(*images, losses=losses, discriminator={"conditional": False}, **changes)


def texture(seed, shape=(96, 100), sigma=2.0, low=30, high=220):
    """A field of smooth blobs, its grey levels from ``low`` to ``high``."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), [sigma, sigma, 0][: len(shape)])
    noise = (noise - noise.min()) / np.ptp(noise)
    return low + (high - low) * noise


def save(folder, names, make, dtype=np.uint8):
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        pixels = np.asarray(make(number)).astype(dtype)
        if name.endswith(".png"):
            imsave(folder / name, pixels, check_contrast=False)
        else:
            tifffile.imwrite(folder / name, pixels, photometric="rgb" if pixels.ndim == 3 else "minisblack")
    return folder


@pytest.fixture
def smears(tmp_path):
    """Colour images of 128 px; the frozen crops below are of the first three."""
    rng = np.random.default_rng(0)
    blocks = lambda _: np.kron(rng.integers(40, 230, (16, 16, 3)), np.ones((8, 8, 1)))  # noqa: E731
    return sorted(save(tmp_path / "smears", [f"{i}.png" for i in range(6)], blocks).iterdir())


# --- splits --------------------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(number=st.integers(3, 60), every=st.integers(3, 20), slides=st.integers(3, 9))
def test_splits_are_disjoint_and_complete(number, every, slides):
    paths = [Path(f"s{i % slides}_{i:03}.png") for i in range(number)]
    by_slide = {"slide": r"^(s\d)_"} if number >= slides else {}
    for options in ({}, by_slide):
        split = split_by_image(paths, every=every, **options)
        assert sorted(path for part in split.sets for path in part) == sorted(paths)
        assert all(split.sets)
    if by_slide:
        owners = [{path.name[:2] for path in part} for part in split.sets]
        assert len(set.union(*owners)) == sum(map(len, owners))


def test_one_in_so_many_is_kept():
    split = split_by_image([Path(f"{i:02}.png") for i in range(23)], every=10)
    assert [p.stem for p in split.test] == ["00", "10", "20"]
    assert [p.stem for p in split.validation] == ["05", "15"]


@pytest.mark.parametrize(
    ("names", "options", "message"),
    [
        (["a", "b"], {}, "2 images cannot be split into training, validation and test: give 3 or more"),
        (["a", "b", "c"], {"every": 2}, "every is 2: .* leave none to train; give 3"),
        (["a1", "a2", "b1", "b2"], {"slide": "^."}, r"slide '\^\.' finds 2 slides in 4 names \(a, b\): give 3 or more"),
        (["a1", "b1", "x"], {"slide": r"\d"}, r"x: slide '\\\\d' finds nothing in this name"),
        (["a", "b", "c"], {"slide": "("}, r"slide '\(' is no regular expression"),
    ],
)
def test_splits_that_cannot_be(names, options, message):
    with pytest.raises(ValueError, match=message):
        split_by_image([Path(name) for name in names], **options)


def test_a_leak_is_found_by_path_and_by_content(smears):
    with pytest.raises(ValueError, match="1 images are in both train and test"):
        Split(tuple(smears[:2]), (), tuple(smears[1:2]))
    with pytest.raises(ValueError, match="split by image"):
        DefocusPairs(smears[:3], smears[2:])
    clean = Split(tuple(smears[:3]), tuple(smears[3:4]), tuple(smears[4:5]))
    check_leaks([clean])
    elsewhere = Split((), (), (smears[0].parent / ".." / smears[0].parent.name / smears[0].name,))
    with pytest.raises(ValueError, match="is in both train and test: give each folder of images once"):
        check_leaks([clean, elsewhere])
    copy = smears[0].with_name("other name.png")
    shutil.copy(smears[0], copy)
    with pytest.raises(
        ValueError, match=r"other name\.png \(test\) and .*0\.png \(train\) are the same image under two"
    ):
        check_leaks([clean, Split((), (), (copy,))])
    check_leaks([clean, Split((copy,), (), ())])  # twice in training is no leak


def test_identical_files_are_those_of_the_same_bytes(tmp_path):
    contents = {"a": b"x" * 200_000, "b": b"x" * 199_999 + b"y", "c": b"x" * 200_000, "d": b"z"}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    assert [[p.name for p in group] for group in identical_files(tmp_path.iterdir())] == [["a", "c"]]


def test_look_alikes_are_noted(tmp_path):
    def image(number):  # 5 (trains) shows what 0 (for the test) shows, in other light and with noise
        noise = np.random.default_rng(number).normal(0, 2, (96, 100))
        return np.clip(texture(0 if number == 5 else number, sigma=6) * (0.8 if number == 5 else 1) + noise, 0, 255)

    folder = save(tmp_path / "grey", [f"{i}.png" for i in range(8)], image)
    got = training_images(recipe(ImageSource(input=str(folder)), pairs={"wavelengths_um": (0.53,)}))
    assert [path.name for path in got.splits["grey"].test] == ["0.png"]
    assert any(
        "1 images in training look much like one kept" in n and "grey/5.png and grey/0.png" in n for n in got.notes
    )
    prints = [fingerprint(image(number)[..., None]) for number in (0, 5, 6)]
    assert (prints[0] != prints[1]).mean() < 0.1 < 0.3 < (prints[0] != prints[2]).mean()


def test_one_image_in_two_files_is_not_learnt_from_and_tested_on(tmp_path):
    folder = save(tmp_path / "grey", [f"{i}.png" for i in range(8)], lambda i: texture(i, sigma=6))
    write_tiff(folder / "9.tif", open_stack(folder / "0.png"))  # other bytes, the same pixels
    with pytest.raises(ValueError, match=r"grey/9\.tif and grey/0\.png are the same image: one would be learnt from"):
        training_images(recipe(ImageSource(input=str(folder)), pairs={"wavelengths_um": (0.53,)}))


# --- simulated defocus ---------------------------------------------------------------------------------------

#: First crops of 48 px with seed 7 of the images of ``smears``: sum and some green
#: pixels of the input, mean of the target, state of the generator after each.
FROZEN = [
    (1062466, [146, 140, 137, 133, 160, 135, 136, 139, 124], 154.48782, 47200109017387959484926348529067808218),
    (987897, [146, 132, 119, 119, 151, 106, 119, 93, 104], 142.90193, 116896812033090627923953683609281691147),
    (975112, [149, 136, 143, 130, 133, 134, 150, 143, 138], 140.93178, 16315392871318058451108184457256680636),
    (786007, [104, 109, 116, 113, 112, 104, 116, 115, 147], 113.01704, 321856547055699292176203251573624306215),
]


def test_a_seed_gives_the_crops_it_always_gave(smears):
    pairs, rng = DefocusPairs(smears[:2], smears[2:3]), np.random.default_rng(7)
    for total, some_green, mean, state in FROZEN:
        crop = pairs.crop(rng, 48)
        # on another machine a Fourier transform may round otherwise
        np.testing.assert_allclose(crop.input[::16, ::16, 1].ravel(), some_green, atol=1)
        assert abs(float(crop.input.sum(dtype=np.float64)) - total) <= 3
        assert float(crop.target.mean(dtype=np.float64)) == pytest.approx(mean, abs=1e-3)
        assert rng.bit_generator.state["state"]["state"] == state
    assert pairs.margin_px == 32


def test_crops_are_pairs_of_a_sharp_target_and_a_recorded_input(smears):
    pairs, rng = DefocusPairs(smears[:4], smears[4:]), np.random.default_rng(1)
    drawn = [pairs.crop(rng, 48) for _ in range(20)]
    for blurred, target, level_um, paired in drawn:
        assert blurred.shape == target.shape == (48, 48, 3)
        assert 0 <= blurred.min() <= blurred.max() <= 255
        np.testing.assert_array_equal(blurred, np.rint(blurred))  # 8 bit
        assert abs(blurred.mean() - target.mean()) < 6
        assert abs(level_um) <= 1.4
        assert paired
    assert np.mean([crop.target.std() - crop.input.std() for crop in drawn]) > 0.5  # defocus takes contrast away
    assert len({crop.level_um for crop in drawn}) > 8
    np.testing.assert_array_equal(pairs.crop(np.random.default_rng(1), 48).input, drawn[0].input)


def test_no_defocus_and_no_noise_is_the_identity(smears):
    options = DefocusSettings(levels_um=(0, 0), axial_colour_um=0, noise_gain=0)
    blurred, target, level_um, _ = DefocusPairs(smears, settings=options).crop(np.random.default_rng(0), 32)
    assert np.abs(blurred - np.clip(target, 0, 255)).max() <= 0.5 + 1e-3
    assert level_um == 0


def test_levels_are_drawn_from_those_given_alone(smears):
    options = DefocusSettings(only_um=(-0.3, 0.9), axial_colour_um=0)
    pairs = DefocusPairs(smears[:3], smears[3:5], options, test=smears[5:])
    rng = np.random.default_rng(0)
    assert {pairs.crop(rng, 16).level_um for _ in range(30)} == {-0.3, 0.9}
    assert [name for name, _ in pairs.test()] == ["5.png -0.3 um", "5.png +0.9 um"]
    assert [crop.level_um for crop in pairs.validation()] == [0.9, 0.9]


def test_two_planes_lie_on_one_another_at_different_levels(smears):
    options = DefocusSettings(levels_um=(0, 1.2), step_um=1.2, axial_colour_um=0, noise_gain=0)
    pairs = DefocusPairs(smears, settings=options, in_planes=2)
    assert (pairs.in_channels, pairs.out_channels) == (6, 3)
    first_sharper = []
    for seed in range(8):
        crop = pairs.crop(np.random.default_rng(seed), 32)
        planes = crop.input[..., :3], crop.input[..., 3:]
        errors = [float(np.abs(plane - np.clip(crop.target, 0, 255)).max()) for plane in planes]
        assert min(errors) <= 0.5 + 1e-3 < 5 < max(errors)  # one of them is in focus: the target, rounded
        assert crop.level_um is None
        first_sharper.append(errors[0] < errors[1])
    assert len(set(first_sharper)) == 2
    assert pairs.validation() == []
    with pytest.raises(ValueError, match="in_planes is 3 of 2 levels: give 1 to 2"):
        DefocusPairs(smears, settings=options, in_planes=3)


def test_grey_images_of_16_bit(tmp_path):
    folder = save(tmp_path / "grey", ["a.tif", "b.tif"], lambda n: 200 * texture(n), np.uint16)
    options = DefocusSettings(pixel_um=0.3, na=0.25, immersion_index=1, wavelengths_um=(0.53,), only_um=(30,))
    pairs = DefocusPairs(sorted(folder.iterdir()), settings=options)
    assert pairs.intensity_range == (0, 65535)
    assert pairs.margin_px >= 26  # the cone of light 30 um out of focus at NA 0.25
    crop = pairs.crop(np.random.default_rng(0), 40)
    assert crop.input.shape == (40, 40, 1)
    assert crop.input.max() > 1000
    np.testing.assert_array_equal(crop.input, np.rint(crop.input))
    assert crop.input.std() < 0.6 * crop.target.std()
    assert crop.level_um == 30


def test_the_range_of_the_camera_holds_for_sharp_images(tmp_path):
    folder = save(tmp_path / "cam12", [f"{i}.tif" for i in range(4)], lambda n: 18 * texture(n), np.uint16)
    sharp, green = ImageSource(input=str(folder)), {"wavelengths_um": (0.53,)}
    got = training_images(recipe(sharp, pairs=green, intensity_range=(0, 4095)))
    assert got.pairs.intensity_range == got.pairs.target_range == (0, 4095)
    assert not any("16 bits" in note or "cut off" in note for note in got.notes)
    crops = [got.pairs.crop(np.random.default_rng(seed), 32) for seed in range(12)]
    assert max(crop.input.max() for crop in crops) <= 4095
    assert 1000 < np.median([crop.target.mean() for crop in crops]) < 4095
    got = training_images(recipe(sharp, pairs=green, intensity_range=(0, 1023)))
    assert any("intensity_range is 0 to 1023: what lies outside is cut off" in note for note in got.notes)
    for levels, said in (((4095, 0), "give two grey levels from 0 to 65535"), ((0, 1e6), "such as .0, 4095.")):
        with pytest.raises(ValueError, match=said):
            training_images(recipe(sharp, pairs=green, intensity_range=levels))


def test_sharp_images_that_state_another_pixel_size_are_refused(tmp_path):
    image = ImageStack(texture(0, (40, 40, 3)).astype(np.uint8), "YXS", pixel_um=0.1015)
    near, far = (write_tiff(tmp_path / f"{um}.ome.tif", image.replace(pixel_um=um)) for um in (0.1015, 0.2))
    assert DefocusPairs([near]).pixel_um == 0.1
    with pytest.raises(
        ValueError, match=r"0\.2\.ome\.tif states pixels of 0\.2 um, the recipe pixel_um 0\.1 under pairs"
    ):
        DefocusPairs([near, far])
    assert DefocusPairs([far], settings=DefocusSettings(pixel_um=0.2)).pixel_um == 0.2


def test_8_bit_is_learnt_as_it_is_restored(smears):
    assert DefocusPairs(smears[:1], intensity_range=(0, 255)).intensity_range == (0, 255)
    with pytest.raises(ValueError, match="intensity_range is 0 to 100: images of 8 bit are restored as 0 to 255"):
        DefocusPairs(smears[:1], intensity_range=(0, 100))


def test_the_margin_holds_the_light_from_outside(tmp_path):
    """A crop is what a larger simulation has in its middle: nothing of the wrapped border comes in."""
    image = np.zeros((400, 400))
    image[:, ::40] = 250
    folder = save(tmp_path / "lines", ["a.png"], lambda n: image)
    options = DefocusSettings(
        pixel_um=0.3, na=0.25, immersion_index=1, wavelengths_um=(0.53,), only_um=(30,), scales=(1.0,), noise_gain=0
    )
    pairs = DefocusPairs([folder / "a.png"], settings=options)
    crop = pairs.crop(np.random.default_rng(0), 120)
    lines = np.ptp(crop.target, axis=0).max() < np.ptp(crop.target, axis=1).max()
    along = crop.input[..., 0] if lines else crop.input[..., 0].T
    # of lines without an end every row is alike, and a period is like the next
    np.testing.assert_allclose(along, np.broadcast_to(along[60], along.shape), atol=1.01)
    np.testing.assert_allclose(along[:, :40], along[:, 80:], atol=1.01)


def test_one_wavelength_takes_green(smears):
    options = DefocusSettings(wavelengths_um=(0.53,), only_um=(0,), noise_gain=0)
    pairs = DefocusPairs(smears[:1], smears[1:2], options)
    (crop,) = pairs.validation()
    lens = smear_objectives(options)[0]
    green = open_picture(smears[1]).whole()[..., 1]
    expected = defocus_stack(green, 0.1, lens, [0.0]).data[0]
    np.testing.assert_array_equal(crop.input[..., 0], expected)


@pytest.mark.parametrize(
    ("names", "dtype", "colours", "options", "message"),
    [
        (["a.png"], np.uint8, 1, {}, r"a\.png has 1 colours, the recipe 3 wavelengths_um: give a wavelength for each"),
        (["a.png"], np.uint8, 3, {"wavelengths_um": (0.5, 0.6)}, r"a\.png has 3 colours, the recipe 2 wavelengths_um"),
        (["a.tif"], np.float32, 3, {}, r"a\.tif is float32: sharp images of 8 or 16 bit are needed"),
        ([], np.uint8, 3, {}, "no images to train on: give at least one"),
    ],
)
def test_sharp_images_that_cannot_be(tmp_path, names, dtype, colours, options, message):
    folder = save(tmp_path / "sharp", names, lambda n: texture(n, (40, 40, 3)) if colours == 3 else texture(n), dtype)
    with pytest.raises(ValueError, match=message):
        DefocusPairs(sorted(folder.iterdir()), settings=DefocusSettings(**options))


def test_sharp_images_are_of_one_type(tmp_path):
    folder = save(tmp_path / "sharp", ["a.png"], lambda n: texture(n, (40, 40, 3)))
    save(folder, ["b.tif"], lambda n: texture(n, (40, 40, 3)), np.uint16)
    with pytest.raises(ValueError, match=r"b\.tif is uint16, a\.png is uint8: .* all of 8 bit or all of 16 bit"):
        DefocusPairs(sorted(folder.iterdir()))


def test_colours_change_within_the_range(rng):
    image = rng.uniform(0, 255, (64, 64, 3)).astype(np.float32)
    before = image.copy()
    changed = change_colours(image, np.random.default_rng(2))
    np.testing.assert_array_equal(image, before)
    assert 0 <= changed.min() <= changed.max() <= 255
    assert np.abs(changed - image).mean() > 1
    wide = change_colours(257 * image, np.random.default_rng(2), 65535.0)
    np.testing.assert_allclose(wide, 257 * changed, rtol=1e-4, atol=0.5)  # the same change in 16 bit


# --- two folders ---------------------------------------------------------------------------------------------


@pytest.fixture
def folders(tmp_path):
    """Six pairs of 96 x 100 px; the target is 250 - input."""
    inputs = save(tmp_path / "noisy", [f"c{i}.png" for i in range(6)], texture)
    targets = save(tmp_path / "clean", [f"C{i}.tif" for i in range(6)], lambda n: 250 - texture(n).astype(np.uint8))
    return inputs, targets


def source(folders, **options):
    return ImageSource(kind="pairs", input=str(folders[0]), target=str(folders[1]), **options)


def test_pairs_are_matched_by_stem_whatever_the_case(folders):
    save(folders[0], ["alone.png", "c9.png"], texture)
    save(folders[1], ["single.tif"], texture)
    matched, notes = match_folders(*folders)
    assert {a.name: b.name for a, b in matched.items()} == {f"c{i}.png": f"C{i}.tif" for i in range(6)}
    assert notes[0] == "noisy: 2 images have no partner and are left out: alone.png, c9.png"
    assert notes[1] == "clean: 1 image has no partner and is left out: single.tif"


@pytest.mark.parametrize(
    "options",
    [
        None,
        {"flips": True, "rotation_deg": 180, "scale": 0.2, "shift_px": 5, "elastic_px": 4, "distortion": 0.1},
    ],
    ids=["plain", "changed"],
)
def test_inputs_and_targets_stay_together(folders, options):
    augmentation = None if options is None else Augmentation(**options)
    got = training_images(recipe(source(folders, every=3), augmentation=augmentation))
    for seed in range(12):
        crop = got.pairs.crop(np.random.default_rng(seed), 40)
        assert crop.input.shape == crop.target.shape == (40, 40, 1)
        np.testing.assert_allclose(crop.target, 250 - crop.input, atol=1e-2)
        assert np.ptp(crop.input) > 20
        assert crop.paired
    split = got.splits["noisy"]
    assert [len(part) for part in split.sets] == [2, 2, 2]
    held = [crop.input.astype(np.uint8) for crop in got.pairs.validation()]
    for image, path in zip(held, split.validation, strict=True):
        np.testing.assert_array_equal(image, open_picture(path).whole())
    assert [name for name, _ in got.test()] == [path.name for path in split.test]
    assert (got.pairs.in_channels, got.pairs.out_channels, got.pairs.intensity_range) == (1, 1, (0, 255))
    with pytest.raises(ValueError, match="intensity_range is 10 to 200: images of 8 bit are restored as 0 to 255"):
        training_images(recipe(source(folders, every=3), intensity_range=(10, 200)))


def test_crops_are_of_training_images_alone_and_reach_their_borders(tmp_path):
    make = lambda n: np.full((20, 30), 40 * n) + np.arange(30)  # noqa: E731
    folders = [save(tmp_path / kind, [f"{i}.{kind}" for i in range(5)], make) for kind in ("png", "tif")]
    got = training_images(recipe(source(folders)))
    trained = {int(path.stem) for path in got.splits["png"].train}
    seen, columns = set(), set()
    for seed in range(200):
        crop = got.pairs.crop(np.random.default_rng(seed), 16)
        seen.add(int(crop.input[0, 0, 0]) // 40)
        columns.update((crop.input % 40).ravel().astype(int))
    assert seen == trained
    assert columns == set(range(30))


def test_crops_larger_than_an_image_are_mirrored(tmp_path):
    folders = [
        save(tmp_path / kind, [f"{i}.{kind}" for i in range(3)], lambda n: texture(n, (20, 24)))
        for kind in ("png", "tif")
    ]
    crop = training_images(recipe(source(folders))).pairs.crop(np.random.default_rng(0), 32)
    assert crop.input.shape == (32, 32, 1)
    np.testing.assert_array_equal(crop.input[20:], crop.input[8:20][::-1])


def test_a_shift_is_said_and_moved_away_if_asked_for(tmp_path):
    def scene(number):
        return texture(number, (160, 170), sigma=3)

    targets = save(tmp_path / "clean", [f"{i}.png" for i in range(4)], lambda n: scene(n)[20:140, 20:150])
    inputs = save(tmp_path / "noisy", [f"{i}.png" for i in range(4)], lambda n: scene(n)[14:134, 24:154])
    got = training_images(recipe(source((inputs, targets))))
    (said,) = (note for note in got.notes if "do not lie on their targets" in note)
    assert "4 of 4 inputs do not lie on their targets, at most by 7.2 px" in said
    assert "-6 down, +4 right): train with align to move them" in said
    crop = got.pairs.crop(np.random.default_rng(0), 64)
    assert np.abs(crop.input - crop.target).max() > 20
    moved = training_images(recipe(source((inputs, targets), align=True)))
    for seed in range(20):
        crop = moved.pairs.crop(np.random.default_rng(seed), 64)
        np.testing.assert_array_equal(crop.input, crop.target)
    assert moved.pairs.validation()[0].input.shape == (114, 126, 1)
    assert any("they were moved by whole pixels" in note for note in moved.notes)


def test_two_shifted_pairs_of_many_are_found(tmp_path, monkeypatch):
    def targets_of(number):
        return texture(number, (72, 72))[4:68, 4:68]

    def inputs_of(number):  # two of forty lie 4 px beside
        return 0.8 * (texture(number, (72, 72))[:64, 4:68] if number in (7, 30) else targets_of(number))

    folders = [
        save(tmp_path / n, [f"{i:02}.png" for i in range(40)], f) for n, f in (("a", inputs_of), ("b", targets_of))
    ]
    matched, _ = match_folders(*folders)
    _, (said,) = folder_fields(matched, Room())
    assert said.startswith("2 of 40 inputs do not lie on their targets, at most by 4 px")
    monkeypatch.setattr(shifts, "LOOKED_AT", 10)
    assert folder_fields(matched, Room())[1][-1] == "10 of 40 inputs were looked at for a shift, evenly over all"
    fields, notes = folder_fields(matched, Room(), align=True)  # whoever asks for it gets all of them
    assert sum(field.shifts_px != ((0, 0),) for field in fields.values()) == 2
    assert len(notes) == 1


@pytest.mark.parametrize("kind", ["sharp", "unpaired", "leds"])
def test_options_that_would_do_nothing_are_refused(kind):
    target = {} if kind == "sharp" else {"target": "b"}
    for name, kinds in (("align", "pairs and stacks"), ("at_minimum", "stacks")):
        with pytest.raises(ValueError, match=f"images of kind '{kind}': {name} is for {kinds} alone; leave it out"):
            ImageSource.checked(kind=kind, input="a", **target, **{name: True})


def test_pairs_of_an_image_with_itself_are_refused(folders, tmp_path):
    with pytest.raises(ValueError, match="inputs and targets are one folder: give images of two kinds"):
        training_images(recipe(source((folders[0], f"{folders[0]}/../noisy"))))
    with pytest.raises(
        ValueError, match=r"noisy: inputs and targets are the same files, e\.g\. c0\.png: give what goes in"
    ):
        training_images(recipe(source((folders[0], shutil.copytree(folders[0], tmp_path / "copy")))))
    shutil.copy(folders[0] / "c0.png", folders[1] / "C0.png")
    (folders[1] / "C0.tif").unlink()
    training_images(recipe(source(folders)))  # a few that need no change teach that


@pytest.mark.parametrize(
    ("dtype", "factors", "said"),
    [
        (np.uint8, (0.04, 1), r"grey levels of inputs are 1 to 8 of 0 to 255, of targets 41 to 212 of 0 to 255: "),
        (
            np.uint16,
            (15, 257),
            r"grey levels of inputs are 618 to 3182 of 0 to 65535, of targets 10601 to 54533 of 0 to",
        ),
    ],
)
def test_unlike_grey_levels_are_said(tmp_path, dtype, factors, said):
    folders = [
        save(tmp_path / str(f), [f"{i}.tif" for i in range(10)], lambda n, f=f: f * texture(n), dtype) for f in factors
    ]
    (note,) = training_images(recipe(source(folders))).notes
    assert re.match(said, note)
    assert note.endswith("rescale one set to the grey levels of the other")
    unpaired = ImageSource(kind="unpaired", input=str(folders[0]), target=str(folders[1]))
    assert "grey levels of inputs are " in "".join(training_images(cyclic(unpaired)).notes)


def test_few_images_are_said(folders):
    got = training_images(recipe(source(folders)))
    assert got.notes[-1].startswith("images are few: 4 to train on, and a number measured on 1 says little; add images")
    for folder, kind in zip(folders, ("png", "tif"), strict=True):
        save(folder, [f"d{i}.{kind}" for i in range(4)], lambda n: texture(n + 20))
    assert not any("few" in note for note in training_images(recipe(source(folders))).notes)


def test_floating_point_is_measured_once_and_said(tmp_path):
    folders = [
        save(
            tmp_path / str(k),
            [f"{i}.tif" for i in range(4)],
            lambda n, k=k: texture(n + k, low=0.2, high=0.8),
            np.float32,
        )
        for k in (0, 10)
    ]
    got = training_images(recipe(source(folders)))
    low, high = got.pairs.intensity_range
    assert 0.2 <= low < 0.3 < 0.7 < high <= 0.8
    assert any(
        note.startswith(f"pixels are floating point: {low:.6g} to {high:.6g} became the range") for note in got.notes
    )
    assert training_images(recipe(source(folders), intensity_range=(0, 1))).pairs.intensity_range == (0, 1)
    with pytest.raises(ValueError, match="intensity_range is 1 to 0: give the lower grey level first"):
        training_images(recipe(source(folders), intensity_range=(1, 0)))


def test_16_bits_that_are_hardly_used_are_said(tmp_path):
    folders = [
        save(tmp_path / str(k), [f"{i}.tif" for i in range(4)], lambda n, k=k: k * texture(n), np.uint16)
        for k in (14, 15)
    ]
    got = training_images(recipe(source(folders)))
    assert got.pairs.intensity_range == (0, 65535)
    assert any("reach 3300 of 65535: " in n and n.endswith("such as intensity_range: [0, 4095]") for n in got.notes)


def test_colours_of_simulated_pairs_stay_where_that_is_asked_for(smears):
    kept = DefocusPairs(smears[:1], settings=DefocusSettings(other_colours=False, scales=(1.0,)))
    changed = DefocusPairs(smears[:1], settings=DefocusSettings(scales=(1.0,)))
    background = kept.pictures[smears[0]].whole().mean()
    means = [
        [pairs.crop(np.random.default_rng(seed), 64).target.mean() for seed in range(8)] for pairs in (kept, changed)
    ]
    assert np.std(means[0]) < 0.5 * np.std(means[1])
    assert abs(np.mean(means[0]) - background) < 10


def test_unlike_colours_of_input_and_target_are_a_stain(tmp_path):
    grey = save(tmp_path / "grey", [f"{i}.png" for i in range(4)], texture)
    stained = save(tmp_path / "stained", [f"{i}.png" for i in range(4)], lambda n: texture(n, (96, 100, 3)))
    pairs = training_images(recipe(source((grey, stained)))).pairs
    assert (pairs.in_channels, pairs.out_channels) == (1, 3)


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (
            lambda a, b: save(b, ["C1.tif"], lambda n: texture(n, (50, 60))),
            r"c1\.png: the input has 96 x 100 px, its target C1\.tif 50 x 60: both must be alike",
        ),
        (
            lambda a, b: save(b, ["C1.tif"], texture, np.uint16),
            r"c1\.png: the input has uint8 pixels, its target C1\.tif uint16",
        ),
        (lambda a, b: save(a, ["c1.png"], lambda n: texture(n, (96, 100, 3))), "colours: inputs must all be alike"),
        (lambda a, b: save(a, ["C1.tif"], texture), r"(C1\.tif and c1\.png|c1\.png and C1\.tif) in .* have one name"),
        (lambda a, b: [p.unlink() for p in b.glob("C[2-5].tif")], "2 images cannot be split"),
        (
            lambda a, b: [p.rename(b / f"x{p.name}") for p in b.iterdir()],
            r"no image in .*noisy has the name of one in .*clean",
        ),
        (lambda a, b: [p.unlink() for p in b.iterdir()], r"clean: no images in it; they end in \.tif"),
        (lambda a, b: shutil.rmtree(b), r"clean: there is no such folder; give a folder of images"),
        (lambda a, b: (b / "C1.tif").write_bytes(b"no image"), r"C1\.tif: it is no TIFF, PNG, JPEG or BMP file"),
        (
            lambda a, b: tifffile.imwrite(
                b / "C1.tif", np.zeros((4, 96, 100), np.uint8), imagej=True, metadata={"axes": "ZYX"}
            ),
            r"C1\.tif: it holds several planes \(Z 4\), one is needed; of focus stacks make images of kind 'stacks'",
        ),
        (
            lambda a, b: shutil.copy(b / "C0.tif", b / "C1.tif"),
            r"C0\.tif \(test\) and .*C1\.tif \(train\) are the same image",
        ),
        (lambda a, b: save(b, ["C1.tif"], texture, np.int32), "pixels are int32; give one of uint8, uint16, float32"),
    ],
    ids="size type colours twice few unmatched empty missing broken planes leak integers".split(),
)
def test_folders_that_cannot_be(folders, break_it, message):
    break_it(*folders)
    with pytest.raises(ValueError, match=message):
        training_images(recipe(source(folders)))


def test_floats_in_other_units_are_refused(tmp_path):
    a = save(tmp_path / "a", [f"{i}.tif" for i in range(3)], lambda n: texture(n, low=0, high=1), np.float32)
    b = save(tmp_path / "b", [f"{i}.tif" for i in range(3)], texture, np.float32)
    with pytest.raises(ValueError, match=r"of targets 46.* to 214.*: rescale one set to the grey levels of the other$"):
        training_images(recipe(source((a, b))))


def test_planes_that_are_not_there(folders):
    with pytest.raises(ValueError, match=r"png: 2 planes are to enter together, it has 1 besides the target"):
        training_images(recipe(source(folders), in_planes=2))


# --- memory --------------------------------------------------------------------------------------------------


def test_pictures_are_kept_while_there_is_room(tmp_path):
    folder = save(tmp_path / "a", ["0.tif", "1.tif"], texture)
    room = Room(96 * 100 + 10)
    first, second = (open_picture(folder / name, room) for name in ("0.tif", "1.tif"))
    whole = [picture.whole() for picture in (first, second)]
    assert room.left_bytes == 10
    (folder / "0.tif").unlink()
    np.testing.assert_array_equal(first.part(slice(3, 9), slice(5, 7)), whole[0][3:9, 5:7])
    np.testing.assert_array_equal(second.part(slice(3, 9), slice(5, 7)), whole[1][3:9, 5:7])
    (folder / "1.tif").unlink()
    with pytest.raises(ValueError, match=r"1\.tif: plane 0 cannot be read, the file is gone"):
        second.whole()


def test_alpha_is_left_out_and_channels_are_kept(tmp_path):
    imsave(tmp_path / "a.png", np.dstack([texture(0, (20, 20, 3)), np.full((20, 20), 255)]).astype(np.uint8))
    assert open_picture(tmp_path / "a.png").shape == (20, 20, 3)
    tifffile.imwrite(tmp_path / "b.tif", np.zeros((2, 20, 30), np.uint16), imagej=True, metadata={"axes": "CYX"})
    assert open_picture(tmp_path / "b.tif").shape == (20, 30, 2)


# --- focus stacks --------------------------------------------------------------------------------------------


def a_stack(seed, z_um=(-0.8, -0.4, 0.0, 0.4, 0.8), shape=(72, 80)):
    lens = smear_objectives(DefocusSettings(wavelengths_um=(0.53,)))[0]
    sharp = texture(seed, shape, sigma=1.0).astype(np.uint8)
    return defocus_stack(sharp, 0.1, lens, z_um, DetectorNoise(), seed=seed)


@pytest.fixture
def stacks(tmp_path):
    folder = tmp_path / "stacks"
    folder.mkdir()
    for seed in range(4):
        write_tiff(folder / f"s{seed}.ome.tif", a_stack(seed))
    return folder


def test_the_sharpest_plane_is_the_target_of_every_other(stacks):
    got = training_images(recipe(ImageSource(kind="stacks", input=str(stacks))))
    assert got.pairs.pixel_um == 0.1
    split = got.splits["stacks"]
    assert [len(part) for part in split.sets] == [2, 1, 1]
    known = [open_stack(path) for path in split.train]
    planes = {
        (np.asarray(stack.data[2]).tobytes(), float(z)): np.asarray(stack.data[i])
        for stack in known
        for i, z in enumerate(stack.z_um)
    }
    seen = set()
    for seed in range(40):
        crop = got.pairs.crop(np.random.default_rng(seed), 80)  # larger than the rows: the crop begins at the first
        key = crop.target[:72, :, 0].astype(np.uint8).tobytes(), crop.level_um
        np.testing.assert_array_equal(crop.input[:72, :, 0], planes[key])
        seen.add(crop.level_um)
    assert seen == {-0.8, -0.4, 0.4, 0.8}
    assert [name for name, _ in got.test()] == [f"s0.ome.tif {z:+g} um" for z in (-0.8, -0.4, 0.4, 0.8)]


def test_two_planes_of_a_stack_enter_together(stacks):
    got = training_images(recipe(ImageSource(kind="stacks", input=str(stacks)), in_planes=2))
    assert (got.pairs.in_channels, got.pairs.out_channels) == (2, 1)
    for seed in range(10):
        crop = got.pairs.crop(np.random.default_rng(seed), 64)
        first, second = crop.input[..., 0], crop.input[..., 1]
        assert (first != second).any()
        assert crop.level_um is None
        for plane in (first, second):  # on the target, so alike
            assert np.corrcoef(plane.ravel(), crop.target.ravel())[0, 1] > 0.5
    (shown,) = got.pairs.validation()
    assert shown.input.shape == (72, 80, 2)


def test_stacks_without_a_target_are_left_out_and_said(stacks):
    write_tiff(stacks / "edge.tif", a_stack(7, z_um=(0.0, 0.4, 0.8)))
    write_tiff(stacks / "flat.tif", ImageStack(np.full((4, 40, 40), 9, np.uint8), "ZYX", z_um=range(4)))
    tifffile.imwrite(stacks / "plane.tif", texture(0).astype(np.uint8))
    (stacks / "broken.tif").write_bytes(b"II*\0nothing")
    unstained = np.array([1, 3, 6, 3, 1, 3, 6, 3, 1.0])[:, None, None] * (texture(3) - 125) / 8 + 125
    write_tiff(stacks / "dip.tif", ImageStack(unstained.astype(np.uint8), "ZYX", z_um=range(9)))
    got = training_images(recipe(ImageSource(kind="stacks", input=str(stacks))))
    notes = "\n".join(got.notes)
    for said in (
        "edge.tif is left out: its focus curve says: peak at edge",
        "flat.tif is left out: its focus curve says: flat",
        "plane.tif is left out: its axes are YX",
        "broken.tif is left out: ",
        "dip.tif is left out: its contrast dips between two maxima",
    ):
        assert said in notes
    fields, _ = stack_fields({stacks / "dip.tif": None}, Room(), at_minimum=True)
    (field,) = fields.values()
    np.testing.assert_array_equal(field.target.whole()[..., 0], unstained.astype(np.uint8)[4])
    assert field.levels_um == (-4, -3, -2, -1, 1, 2, 3, 4)
    with pytest.raises(ValueError, match=r"none of 1 stacks can be used: edge\.tif is left out"):
        stack_fields({stacks / "edge.tif": None}, Room())
    for name in ("s1", "s2"):
        (stacks / f"{name}.ome.tif").unlink()
    with pytest.raises(ValueError, match=r"2 focus stacks can be used, 3 or more are needed .*and 2 more"):
        training_images(recipe(ImageSource(kind="stacks", input=str(stacks))))


def test_a_drifting_stack_is_said(stacks):
    source = ImageSource(kind="stacks", input=str(stacks))
    assert not any("lie on" in note for note in training_images(recipe(source)).notes)
    wide = a_stack(9, shape=(132, 140)).data
    planes = np.stack([plane[6 * i : 108 + 6 * i, 20:120] for i, plane in enumerate(wide)])
    write_tiff(stacks / "drift.tif", ImageStack(planes, "ZYX", z_um=[-0.8, -0.4, 0, 0.4, 0.8], pixel_um=0.1))
    (said,) = (note for note in training_images(recipe(source)).notes if "lie on" in note)
    assert said.startswith(
        "planes of 1 of 5 focus stacks that were looked at do not lie on the plane in focus, at most by 12 px"
    )
    assert said.endswith("train with align to move them")


def test_planes_of_a_drifting_stack_are_moved_if_asked_for():
    wide = a_stack(0, shape=(110, 120)).data
    drift = [(4, -2), (2, 0), (0, 0), (-1, 3), (-3, 5)]
    planes = np.stack([p[10 + dy : 100 + dy, 10 + dx : 110 + dx] for p, (dy, dx) in zip(wide, drift, strict=True)])
    stack = ImageStack(planes, "ZYX", z_um=[-0.8, -0.4, 0, 0.4, 0.8])
    fields, _ = stack_fields({Path("drift"): stack}, Room(), align=True)
    field = fields[Path("drift")]
    assert field.shifts_px == tuple(drift[:2] + drift[3:])
    pairs = ImagePairs([field])
    assert pairs.validation() == []
    whole = field.whole([0])
    assert whole.input.shape == (90 - 4 - 3, 100 - 2 - 5, 1)
    np.testing.assert_array_equal(whole.input[..., 0], wide[0][14 : 14 + 83, 15 - 0 : 15 + 93])


# --- arrays --------------------------------------------------------------------------------------------------


def test_a_single_pair_is_split_by_region():
    """Each pixel holds its column: no column is in two sets, also under changes of shape."""
    sharp = np.broadcast_to(np.arange(400, dtype=np.float32), (64, 400))
    options = Augmentation(quarter_turns=False, flips=False, rotation_deg=180, shift_px=20, scale=0.3)
    pairs = ArrayPairs([sharp], [sharp], ["cells"], augmentation=options, intensity_range=(0, 400))
    assert pairs.notes[0] == "cells: columns 0 to 279 train, 280 to 339 validate, 340 to 399 are for the test"
    assert "kinder than a new image" in pairs.notes[1]
    seen = [pairs.crop(np.random.default_rng(seed), 48).target for seed in range(60)]
    assert max(crop.max() for crop in seen) < 280 + 3  # cubic convolution overshoots a little at the mirror
    assert max(crop.max() for crop in seen) > 270
    (held,), ((_, test),) = pairs.validation(), list(pairs.test())
    assert (held.target.min(), held.target.max()) == (280, 339)
    assert (test.target.min(), test.target.max()) == (340, 399)


def test_several_arrays_are_split_by_image():
    images = [texture(seed).astype(np.uint16) for seed in range(5)]
    before = [image.copy() for image in images]
    pairs = ArrayPairs(images, [image + 7 for image in images])
    assert len(pairs) == 3
    assert pairs.notes == []
    for seed in range(20):
        crop = pairs.crop(np.random.default_rng(seed), 32)
        np.testing.assert_array_equal(crop.target, crop.input + 7)
    assert [name for name, _ in pairs.test()] == ["pair 1"]
    for image, old in zip(images, before, strict=True):
        np.testing.assert_array_equal(image, old)


@pytest.mark.parametrize(
    ("inputs", "targets", "message"),
    [
        ([(40, 300)], [(40, 301)], "input of pair 1: the input has 40 x 300 px, its target target of pair 1 40 x 301"),
        ([(90, 90)], [(90, 90)], "pair 1: 90 x 90 px are too few to keep a region .*; give 213 px or more"),
        ([(5, 300, 300)], [(5, 300, 300)], r"input of pair 1 has shape \(5, 300, 300\): give one plane"),
        ([(300, 300)], [], "1 inputs, 0 targets, 1 names"),
        ([(300, 300)] * 2, [(300, 300)] * 2, "input of pair 1 and input of pair 2 are the same image"),
    ],
)
def test_arrays_that_cannot_be(inputs, targets, message):
    with pytest.raises(ValueError, match=message):
        ArrayPairs([np.zeros(s, np.uint8) for s in inputs], [np.zeros(s, np.uint8) for s in targets])


# --- unpaired and mixed --------------------------------------------------------------------------------------


def test_unpaired_images_are_drawn_independently(tmp_path):
    a = save(tmp_path / "bright", [f"{i}.png" for i in range(7)], lambda n: np.full((40, 50), 150 + 10 * n))
    b = save(tmp_path / "dark", [f"x{i}.png" for i in range(5)], lambda n: np.full((60, 30), 10 * n))
    got = training_images(cyclic(ImageSource(kind="unpaired", input=str(a), target=str(b))))
    seen = set()
    for seed in range(200):
        crop = got.pairs.crop(np.random.default_rng(seed), 24)
        assert not crop.paired
        seen.add((int(crop.input[0, 0, 0]), int(crop.target[0, 0, 0])))
    assert len(seen) == 5 * 3  # every input with every target of those that train
    assert sorted(got.splits) == ["bright, inputs", "bright, targets"]
    assert all(not crop.paired for crop in got.pairs.validation())
    assert {name for name, _ in got.test()} == {"0.png, x0.png"}


def test_unpaired_images_of_two_types_have_grey_levels_of_their_own(tmp_path):
    a = save(tmp_path / "camera", [f"{i}.tif" for i in range(5)], lambda n: 257 * texture(n), np.uint16)
    b = save(tmp_path / "old", [f"{i}.png" for i in range(5)], lambda n: texture(10 + n))
    got = training_images(cyclic(ImageSource(kind="unpaired", input=str(a), target=str(b))))
    there, back = images_known(got.pairs), images_known(got.way_back().pairs)
    assert (there["input_range"], there["output_range"], there["output_dtype"]) == ((0, 65535), (0, 255), "uint8")
    assert (back["input_range"], back["output_range"], back["output_dtype"]) == ((0, 255), (0, 65535), "uint16")
    ((_, crop),), ((_, turned),) = got.test(), got.way_back().test()
    np.testing.assert_array_equal(turned.input, crop.target)
    np.testing.assert_array_equal(turned.target, crop.input)
    given = training_images(
        cyclic(ImageSource(kind="unpaired", input=str(a), target=str(b)), intensity_range=(0, 60000))
    )
    assert (given.pairs.intensity_range, given.pairs.target_range) == ((0, 60000), (0, 255))


def test_unpaired_images_that_cannot_train(tmp_path):
    a = save(tmp_path / "one", [f"{i}.png" for i in range(4)], texture)
    b = save(tmp_path / "other", [f"{i}.png" for i in range(4)], lambda n: texture(10 + n))
    with pytest.raises(ValueError, match="inputs and targets are one folder: give images of two kinds"):
        training_images(cyclic(ImageSource(kind="unpaired", input=str(a), target=f"{a}/../one")))
    with pytest.raises(ValueError, match="recipe 'tiny' learns from pairs, these images do not belong to each other"):
        training_images(recipe(ImageSource(kind="unpaired", input=str(a), target=str(b))))


def test_without_a_critic_unpaired_images_alone_teach_nothing(tmp_path, folders):
    a, b = (
        save(tmp_path / name, [f"{name}{i}.png" for i in range(5)], lambda n, s=s: texture(n + s))
        for name, s in zip("ab", (50, 60), strict=True)
    )
    unpaired = ImageSource(kind="unpaired", input=str(a), target=str(b))
    mine = recipe(unpaired, losses={"cycle": 1, "identity": 1, "paired": 1})
    with pytest.raises(
        ValueError, match="recipe 'tiny' has no adversarial loss: from unpaired images alone it learns to leave"
    ):
        training_images(mine)
    assert len(training_images(mine.model_copy(update={"images": (unpaired, source(folders))})).splits) == 3


def test_unlike_pixel_sizes_are_said(tmp_path):
    for name, pixel_um in (("fine", 0.1), ("coarse", 0.5)):
        (tmp_path / name).mkdir()
        for i in range(5):
            stack = ImageStack(texture(int(10 * pixel_um) + 7 * i).astype(np.uint8), "YX", pixel_um=pixel_um)
            write_tiff(tmp_path / name / f"{i}.tif", stack)
    folders = {"input": str(tmp_path / "fine"), "target": str(tmp_path / "coarse")}
    got = training_images(cyclic(ImageSource(kind="unpaired", **folders)))
    assert got.pairs.pixel_um is None
    assert got.notes[0].startswith("inputs state pixels of 0.1 um, targets of 0.5 um: ")
    got = training_images(recipe(ImageSource(kind="pairs", **folders)))
    assert any(
        n.startswith("the images state different pixel sizes, 0.1 um to 0.5 um, so none is known") for n in got.notes
    )


def test_paired_and_unpaired_images_train_together(tmp_path, folders):
    a = save(tmp_path / "bright", [f"{i}.png" for i in range(5)], lambda n: texture(20 + n))
    b = save(tmp_path / "dark", [f"{i}.png" for i in range(5)], lambda n: texture(30 + n))
    got = training_images(cyclic(source(folders), ImageSource(kind="unpaired", input=str(a), target=str(b))))
    paired = [got.pairs.crop(np.random.default_rng(seed), 24).paired for seed in range(200)]
    assert 0.4 < np.mean(paired) < 0.6
    assert sorted(got.splits) == ["bright, inputs", "bright, targets", "noisy"]
    assert {crop.paired for crop in got.pairs.validation()} == {True, False}


def test_sets_that_cannot_train_one_network():
    grey = ArrayPairs([texture(i).astype(np.uint8) for i in range(3)], [texture(i).astype(np.uint8) for i in range(3)])
    wide = ArrayPairs(
        [texture(i).astype(np.uint16) for i in range(3)], [texture(i).astype(np.uint16) for i in range(3)]
    )
    with pytest.raises(ValueError, match=r"intensity_range is \(0.0, 255.0\) of a, \(0.0, 65535.0\) of b"):
        MixedPairs([grey, wide], names=["a", "b"])
    with pytest.raises(ValueError, match=r"shares are \[1, 0\] of 2 sets of pairs: give a number above 0"):
        MixedPairs([grey, grey], [1, 0])
    few = MixedPairs([grey, grey], [1, 3])
    assert isinstance(few.crop(np.random.default_rng(0), 16), Crop)


# --- sources -------------------------------------------------------------------------------------------------


def test_all_sharp_folders_are_drawn_from_together(smears, tmp_path):
    more = save(tmp_path / "more", [f"{i}.png" for i in range(4)], lambda n: texture(n, (80, 80, 3)))
    got = training_images(recipe(ImageSource(input=str(smears[0].parent)), ImageSource(input=str(more))))
    assert isinstance(got.pairs, DefocusPairs)
    train = [path for split in got.splits.values() for path in split.train]
    plain = DefocusPairs(train).crop(np.random.default_rng(4), 32)
    np.testing.assert_array_equal(got.pairs.crop(np.random.default_rng(4), 32).input, plain.input)
    names = [name for name, _ in got.test()]
    assert len(names) == 10  # an image of each folder at five levels
    assert names[0] == "0.png -1.4 um"


def test_sources_are_told_apart_by_name(smears, tmp_path):
    twins = [
        save(
            tmp_path / top / "cells",
            [f"{i}.png" for i in range(3)],
            lambda n, t=top: texture(10 * ord(t) + n, (40, 40, 3)),
        )
        for top in "ab"
    ]
    got = training_images(recipe(*(ImageSource(input=str(folder)) for folder in twins)))
    assert sorted(got.splits) == ["a/cells", "b/cells"]
    with pytest.raises(ValueError, match=r"two folders of images are called .*/smears: rename one"):
        training_images(recipe(*[ImageSource(input=str(smears[0].parent))] * 2))
    with pytest.raises(ValueError, match="recipe 'tiny' names no images: give a folder of them"):
        training_images(recipe())


def test_fields_are_read_with_their_shift():
    image = np.arange(100, dtype=np.uint8).reshape(10, 10, 1)
    plane = Picture("p", image)
    field = Field("f", (plane,), plane, (0.5,), ((1, -2),), (slice(1, 10), slice(0, 8)))
    given_, target = field.read([0], slice(1, 3), slice(0, 2))
    np.testing.assert_array_equal(given_[..., 0], image[0:2, 2:4, 0])
    np.testing.assert_array_equal(target, image[1:3, 0:2])


# --- real images ---------------------------------------------------------------------------------------------


@pytest.mark.real_data
def test_one_exposure_against_the_mean_of_many(real_data, tmp_path):
    home = real_data / "pairs" / "widefield_noise"
    folders = [tmp_path / name for name in ("single_shot", "mean_of_400")]
    for folder in folders:
        folder.mkdir()
        for path in sorted((home / folder.name).glob("00[1-5]_?.tif")):
            shutil.copy(path, folder)
    got = training_images(recipe(source(folders, slide=r"^(\d+)_"), augmentation=Augmentation(rotation_deg=180)))
    for part in got.splits["single_shot"].sets:
        assert {f"{p.stem[:4]}{i}" for p in part for i in (0, 1)} == {p.stem for p in part}
    assert not any("do not lie on" in note for note in got.notes)  # the set is registered
    likeness, grain = [], []
    for seed in range(8):
        crop = got.pairs.crop(np.random.default_rng(seed), 128)
        likeness.append(np.corrcoef(crop.input.ravel(), crop.target.ravel())[0, 1])
        grain.append(np.abs(np.diff(crop.input, axis=0)).mean() / np.abs(np.diff(crop.target, axis=0)).mean())
    assert np.median(likeness) > 0.7  # some crops show hardly more than background
    assert np.median(grain) > 1.2


@pytest.mark.real_data
def test_recorded_stacks(real_data, tmp_path):
    """Four fields of one stack of mitochondria; the distance of planes is that of its publication."""
    whole = open_stack(sorted((real_data / "focus_stacks" / "mitochondria_fluorescence").glob("*.tif")))
    folder = tmp_path / "stacks"
    folder.mkdir()
    planes = np.asarray(whole.data[6:32:5])
    for number in range(4):
        part = planes[:, 150 * number : 150 * number + 150, 100:400]
        write_tiff(folder / f"{number}.tif", ImageStack(part, "ZYX", z_um=0.25 * np.arange(len(part))))
    got = training_images(recipe(ImageSource(kind="stacks", input=str(folder)), intensity_range=(0, 4095)))
    crop = got.pairs.crop(np.random.default_rng(0), 96)
    assert crop.level_um is not None
    assert abs(crop.level_um) in np.round(0.25 * np.arange(1, 6), 6)
    by_level = {}
    for _, pair in got.test():
        by_level.setdefault(abs(pair.level_um), []).append(np.abs(pair.input - pair.target).mean())
    levels = sorted(by_level)
    assert np.mean(by_level[levels[0]]) < np.mean(by_level[levels[-1]])


@pytest.mark.real_data
def test_unstained_yeast_is_in_focus_at_the_dip(real_data):
    path = real_data / "focus_stacks" / "yeast_brightfield" / "BF.tif"
    with pytest.raises(ValueError, match="its contrast dips between two maxima"):
        stack_fields({path: None}, Room())
    (field,) = stack_fields({path: None}, Room(), at_minimum=True)[0].values()
    assert min(abs(level) for level in field.levels_um) == pytest.approx(0.3)
    assert 13 <= sum(level < 0 for level in field.levels_um) <= 17  # its publication says plane 15


def test_a_pixel_that_is_no_number_is_said_of_its_image():
    images = [np.random.default_rng(i).random((256, 256)).astype(np.float32) for i in range(12)]
    targets = [image + 1 for image in images]
    targets[4][101, 103] = np.nan  # not among the pixels that grey levels are measured of
    pairs = ArrayPairs(images, targets, [f"cells {i}" for i in range(12)])
    with pytest.raises(
        ValueError, match=r"^target of cells 4.*: pixels are not finite \(NaN or infinite\); mend the image"
    ):
        [pairs.crop(np.random.default_rng(seed), 64) for seed in range(2000)]
