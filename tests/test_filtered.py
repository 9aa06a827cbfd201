"""Classical filters on whole stacks, in Python and in a shell."""

from __future__ import annotations

import json

import dask.array as da
import numpy as np
import pytest
from scipy import ndimage

from napari_cellrestore.files import open_stack, write_tiff
from napari_cellrestore.filtered import IMAGE_FILTERS, MEASURED_PLANES, filter_options, filter_stack, measure_shear
from napari_cellrestore.filters import FILTERS
from napari_cellrestore.scan_lines import estimate_line_offset, shear_lines
from napari_cellrestore.stack import ImageStack

OPTIONS = {
    "gaussian": {"sigma_px": 1.5},
    "mean": {"size_px": 5},
    "median": {"size_px": 3},
    "unsharp": {"sigma_px": 1.0, "amount": 3.0},
    "undo_scan_shear": {"offset_px": 1.25},
}


@pytest.fixture
def scene(rng):
    """Texture of five planes, 0 to 255, with bright and dark places."""
    drawn = ndimage.gaussian_filter(rng.normal(size=(5, 64, 96)), (0, 1.5, 1.5))
    return (128 + 40 * drawn / drawn.std()).clip(0, 255)


def sheared(planes, offset_px):
    return np.stack([shear_lines(plane, offset_px) for plane in planes])


def rounded(values, dtype):
    info = np.iinfo(dtype)
    return np.clip(np.rint(values), info.min, info.max).astype(dtype)


# --- each plane by itself ------------------------------------------------------------------------------------


def test_every_filter_of_an_image_is_tried():
    assert set(OPTIONS) == set(IMAGE_FILTERS) == {name for name in FILTERS if not FILTERS[name].needs_psf}


@pytest.mark.parametrize("name", OPTIONS)
def test_each_plane_is_what_the_filter_makes_of_it(name, scene):
    stack = ImageStack(scene.astype(np.uint8), "ZYX", pixel_um=0.2, z_um=[0, 1, 2, 3, 5], source="a.tif")
    before = stack.data.copy()
    made = filter_stack(stack, name, **OPTIONS[name])
    expected = np.stack([rounded(FILTERS[name](plane, **OPTIONS[name]), np.uint8) for plane in stack.data])
    assert isinstance(made.data, da.Array)
    assert made.data.chunks == ((1,) * 5, (64,), (96,))
    np.testing.assert_array_equal(made.data, expected)
    np.testing.assert_array_equal(made.data[3].compute(), expected[3])
    np.testing.assert_array_equal(stack.data, before)
    assert (made.pixel_um, list(made.z_um), made.axes) == (0.2, [0, 1, 2, 3, 5], "ZYX")
    assert made.provenance["filter"] == name
    assert made.provenance["options"] == OPTIONS[name]
    assert (made.provenance["step"], made.provenance["source"]) == ("filter", "a.tif")
    assert "not recorded" in made.provenance["computed"]
    # lazy pixels, cut otherwise, give the same
    lazy = stack.replace(data=da.from_array(stack.data, chunks=(2, 20, 30)))
    np.testing.assert_array_equal(filter_stack(lazy, name, **OPTIONS[name]).data, expected)


def test_nothing_is_read_before_it_is_asked_for(scene):
    read = []

    def reading(block, block_id=(0, 0, 0)):
        read.append(block_id[0])
        return block

    data = da.from_array(scene, chunks=(1, 64, 96)).map_blocks(reading, dtype=scene.dtype, meta=np.empty((0, 0, 0)))
    made = filter_stack(ImageStack(data, "ZYX"), "median")
    assert read == []
    made.data[2].compute()
    assert read == [2]


def test_integers_are_limited_and_floats_are_not():
    step = np.zeros((16, 16), np.int16)
    step[:, 8:] = 30_000
    made = filter_stack(ImageStack(step, "YX"), "unsharp", amount=5).data.compute()
    assert (made.dtype, made.max()) == (np.int16, 32_767)
    assert made.min() < -10_000  # below zero, which the type has
    floats = filter_stack(ImageStack(step.astype(np.float64), "YX"), "unsharp", amount=5).data.compute()
    assert floats.dtype == np.float64
    assert floats.max() > 40_000
    unsigned = np.full((8, 8), 2**32 - 1, np.uint32)
    np.testing.assert_array_equal(filter_stack(ImageStack(unsigned, "YX"), "mean").data, unsigned)


def test_alpha_stays_and_colours_do_not_mix(rng):
    pixels = rng.integers(0, 255, (2, 20, 30, 4)).astype(np.uint8)
    made = np.asarray(filter_stack(ImageStack(pixels, "ZYXS"), "gaussian").data)
    np.testing.assert_array_equal(made[..., 3], pixels[..., 3])
    for colour in range(3):
        grey = filter_stack(ImageStack(pixels[..., colour], "ZYX"), "gaussian")
        np.testing.assert_array_equal(made[..., colour], grey.data)


# --- missing pixels ------------------------------------------------------------------------------------------


def test_missing_pixels_stay_missing_and_do_not_spread():
    image = np.full((12, 14), 7.0)
    image[4, 5], image[0, 0] = np.nan, np.inf
    for name in ("gaussian", "median", "unsharp"):
        made = np.asarray(filter_stack(ImageStack(image, "YX"), name).data)
        np.testing.assert_array_equal(np.isnan(made), ~np.isfinite(image))
        np.testing.assert_allclose(made[np.isfinite(made)], 7.0, rtol=1e-6)
    assert np.isnan(filter_stack(ImageStack(image * np.nan, "YX"), "mean").data).all()


def test_missing_pixels_move_with_their_line():
    image = np.full((8, 16), 3.0)
    image[3, 9] = image[4, 9] = np.nan
    whole = np.asarray(filter_stack(ImageStack(image, "YX"), "undo_scan_shear", offset_px=2).data)
    assert np.argwhere(np.isnan(whole)).tolist() == [[3, 7], [4, 9]]  # only odd lines move, to the left
    between = np.asarray(filter_stack(ImageStack(image, "YX"), "undo_scan_shear", offset_px=2.5).data)
    assert np.argwhere(np.isnan(between)).tolist() == [[3, 6], [3, 7], [4, 9]]


# --- shear ---------------------------------------------------------------------------------------------------


def test_a_shear_is_measured_once_and_undone(scene, monkeypatch):
    stack = ImageStack(sheared(scene, 1.5).astype(np.float32), "ZYX")
    expected = estimate_line_offset(list(stack.data))
    seen = []
    monkeypatch.setattr(
        "napari_cellrestore.filtered.estimate_line_offset", lambda planes: seen.append(len(planes)) or expected
    )
    made = filter_stack(stack, "undo_scan_shear")
    assert seen == [5]
    assert made.provenance["options"] == {"offset_px": pytest.approx(1.5, abs=0.01)}
    measured = made.provenance["measured"]
    assert (measured["offset_px"], measured["error_px"]) == (expected.offset_px, expected.error_px)
    assert measured["said"] == str(expected)
    assert made.notes == ()
    left = np.abs(np.asarray(made.data) - scene)[..., 4:-4].max()
    assert left < 3
    assert np.abs(stack.data - scene)[..., 4:-4].max() > 20 * left
    again = filter_stack(stack, "undo_scan_shear", offset_px=expected.offset_px)
    np.testing.assert_array_equal(again.data, made.data)
    assert "measured" not in again.provenance


def test_of_many_planes_eight_are_read(scene):
    planes = sheared(np.tile(scene, (6, 1, 1)), 1.0)
    read = []

    def reading(block, block_id=(0, 0, 0)):
        read.append(block_id[0])
        return block

    data = da.from_array(planes, chunks=(1, 64, 96)).map_blocks(reading, dtype=planes.dtype, meta=np.empty((0, 0, 0)))
    found = measure_shear(ImageStack(data, "ZYX"))
    assert found.offset_px == pytest.approx(1, abs=0.02)
    assert len(read) == MEASURED_PLANES
    assert (min(read), max(read)) == (0, 29)


def test_without_shear_the_image_stays_as_it_is(scene):
    stack = ImageStack(scene, "ZYX")
    made = filter_stack(stack, "undo_scan_shear")
    np.testing.assert_array_equal(made.data, scene)  # to the last bit
    assert "no shear found" in made.notes[0]
    assert "stays as it is" in made.notes[0]
    assert made.provenance["measured"]["found"] is False
    assert made.provenance["computed"].startswith("nothing")
    small = filter_stack(stack.replace(data=scene[:, :9]), "undo_scan_shear")
    assert "shear not measured: 9 lines" in small.notes[0]
    assert small.provenance["measured"]["offset_px"] is None
    json.dumps(small.provenance, allow_nan=False)


def test_planes_with_missing_pixels_are_not_measured(scene):
    planes = sheared(scene, 1.5)
    planes[1, 5, 5] = np.nan
    assert measure_shear(ImageStack(planes, "ZYX")).found
    planes[:, 5, 5] = np.nan
    assert "missing" in measure_shear(ImageStack(planes, "ZYX")).doubt


def test_generated_pixels_stay_generated(scene):
    stack = ImageStack(scene, "ZYX", provenance={"generated": "by a model", "model": "m"})
    made = filter_stack(stack, "mean").provenance
    assert made["generated"] == "by a model"
    assert "model" not in made
    assert made["source_provenance"]["model"] == "m"


# --- what is refused -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options", "reason"),
    [
        ("blurr", {}, "'blurr' is not known: filters .* gaussian, mean, median, unsharp, undo_scan_shear"),
        ("wiener", {}, "'wiener' needs a kernel"),
        ("median", {"sigma_px": 2}, "no option sigma_px: it has size_px 3"),
        ("undo_scan_shear", {"x": 2}, "it has offset_px measured"),
        ("median", {"size_px": 4}, "give an odd number"),
        ("mean", {"size_px": 3.5}, "give an odd number"),
        ("gaussian", {"sigma_px": -1}, "sigma_px is -1"),
        ("gaussian", {"sigma_px": "2"}, "sigma_px is '2': give a number"),
        ("gaussian", {"sigma_px": None}, "sigma_px is None: give a number"),
        ("unsharp", {"amount": np.nan}, "amount is nan: give a number"),
        ("gaussian", {"sigma_px": 1e12}, "at most the 30 px"),
        ("undo_scan_shear", {"offset_px": 25}, "at most the 20 of a line"),
    ],
)
def test_wrong_filters_and_options_are_said(name, options, reason):
    with pytest.raises(ValueError, match=reason):
        filter_stack(ImageStack(np.zeros((30, 20), np.uint8), "YX"), name, **options)


def test_other_types_are_refused():
    for dtype in (bool, complex):
        with pytest.raises(TypeError, match="grey levels must be integers or floating point"):
            filter_stack(ImageStack(np.zeros((9, 9), dtype), "YX"), "mean")


def test_options_have_defaults():
    assert filter_options("unsharp") == {"sigma_px": 2.0, "amount": 1.0}
    size = filter_options("median", size_px=np.float64(5))["size_px"]
    assert (size, type(size)) == (5, int)


# --- in a shell ----------------------------------------------------------------------------------------------


@pytest.fixture
def sheared_file(scene, tmp_path):
    stack = ImageStack(rounded(sheared(scene, 1.5), np.uint8), "ZYX", pixel_um=0.1, z_um=[0, 1, 2, 3, 5])
    return write_tiff(tmp_path / "scan.ome.tif", stack)


def test_a_file_is_filtered_with_its_calibration(sheared_file, tmp_path, say):
    status, said, err = say("filter", sheared_file, "--filter", "undo_scan_shear", "--out", tmp_path / "out")
    target = tmp_path / "out" / "scan_undo_scan_shear.ome.tif"
    assert (status, said[-1]) == (0, f"written    {target}")
    assert any(line.startswith("measured   shear of 1.50 ± 0.0") for line in said)
    assert not [line for line in err if line.startswith("Mind")]
    source, result = open_stack(sheared_file), open_stack(target)
    expected = filter_stack(source, "undo_scan_shear")
    np.testing.assert_array_equal(result.data, expected.data)
    assert (result.pixel_um, list(result.z_um)) == (0.1, [0, 1, 2, 3, 5])
    assert result.provenance["measured"] == expected.provenance["measured"]
    # the repaired scan has no shear any more
    status, _, err = say("filter", target, "--filter", "undo_scan_shear", "--out", tmp_path / "b.tif", "--dry-run")
    assert status == 0
    assert len(err) == 1
    assert "no shear found" in err[0]
    assert not (tmp_path / "b.tif").exists()


def test_a_shear_too_large_to_measure_can_be_given(tmp_path, say):
    wide = ndimage.gaussian_filter(np.random.default_rng(0).normal(100, 300, (128, 256)), 2).clip(0, 255)
    path = write_tiff(tmp_path / "far.tif", ImageStack(rounded(shear_lines(wide, 20), np.uint8), "YX"))
    arguments = ("--filter", "undo_scan_shear", "--out", tmp_path / "out.tif", "--dry-run")
    status, _, err = say("filter", path, *arguments)
    assert (status, len(err)) == (0, 1)
    assert "measure it by hand and give it (--option offset_px=N)" in err[0]
    assert say("filter", path, *arguments, "--option", "offset_px=20")[2] == []


def test_events_are_json(sheared_file, tmp_path, say):
    out = tmp_path / "smooth.tif"
    arguments = (sheared_file, "--filter", "unsharp", "--option", "amount=2", "--option", "sigma_px=1.5", "--out", out)
    status, said, _ = say("filter", *arguments, "--json")
    first, *planes, last = map(json.loads, said)
    assert (status, first["options"]) == (0, {"sigma_px": 1.5, "amount": 2.0})
    assert [(one["event"], one["done"], one["of"]) for one in planes] == [("plane", i + 1, 5) for i in range(5)]
    assert last == {"event": "written", "path": str(sheared_file), "out": str(out)}
    expected = filter_stack(open_stack(sheared_file), "unsharp", sigma_px=1.5, amount=2).data
    np.testing.assert_array_equal(open_stack(out).data, expected)


def test_wrong_input_is_one_line_and_no_file_is_lost(sheared_file, tmp_path, say):
    out = ("--out", tmp_path / "out.tif")

    def refusal(*arguments):
        status, _, err = say("filter", *arguments)
        assert status == 2
        assert len(err) == 1
        return err[0]

    assert "is not known: filters" in refusal(sheared_file, "--filter", "blurr", *out)
    assert "give a name and a number" in refusal(sheared_file, "--filter", "mean", "--option", "size_px:5", *out)
    assert "give a name and a number" in refusal(sheared_file, "--filter", "mean", "--option", "size_px=five", *out)
    wrong = refusal(sheared_file, "--filter", "gaussian", "--option", "sigma_px=measured", *out)
    assert "--option sigma_px=measured: only offset_px can be measured, give a number" in wrong
    assert "odd number" in refusal(sheared_file, "--filter", "mean", "--option", "size_px=4", *out)
    assert "the input" in refusal(sheared_file, "--filter", "mean", "--out", sheared_file, "--overwrite")
    (tmp_path / "out.tif").write_text("mine")
    assert "exists already" in refusal(sheared_file, "--filter", "mean", *out)
    assert (tmp_path / "out.tif").read_text() == "mine"
    assert say("filter", sheared_file, "--filter", "mean", *out, "--overwrite")[0] == 0
    assert "missing.tif" in refusal(tmp_path / "missing.tif", "--filter", "mean", "--out", tmp_path)
