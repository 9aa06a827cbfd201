"""``cellrestore psf``: what it prints, writes, keeps and refuses."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from scipy import ndimage

from napari_cellrestore.cli import main
from napari_cellrestore.files import open_stack, write_tiff
from napari_cellrestore.model import load_model
from napari_cellrestore.objective import Objective
from napari_cellrestore.simulate import defocus
from napari_cellrestore.stack import ImageStack

LENS = Objective(0.25, 0.5)
OPTICS = ("--na", "0.25", "--wavelength", "0.5")
Z_UM = (-8.0, 0.0, 5.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A focus stack, two of its planes, the same in colour, and beads."""
    home = tmp_path_factory.mktemp("psf")
    rng = np.random.default_rng(0)
    scene = 10_000 + sum(2000 * s * ndimage.gaussian_filter(rng.normal(size=(160, 160)), s) for s in (1, 3, 8))
    planes = [defocus(scene, 0.3, LENS, z) + rng.normal(0, 3, scene.shape) for z in Z_UM]
    stack = np.stack(planes).round().astype(np.uint16)
    write_tiff(home / "stack.tif", ImageStack(stack, "ZYX", pixel_um=0.3, z_um=Z_UM))
    write_tiff(home / "sharp.tif", ImageStack(stack[1], "YX", pixel_um=0.3))
    write_tiff(home / "blurred.tif", ImageStack(stack[0], "YX", pixel_um=0.3))
    write_tiff(home / "other.tif", ImageStack(stack[0], "YX", pixel_um=0.2))
    write_tiff(home / "bare.tif", ImageStack(stack[0], "YX"))
    colours = (stack / 256).astype(np.uint8)
    for name, plane in (("rgb sharp", 1), ("rgb blurred", 0)):
        rgb = np.stack([colours[plane], colours[plane], np.full_like(colours[0], 9)], -1)
        write_tiff(home / f"{name}.tif", ImageStack(rgb, "YXS", pixel_um=0.3))
    z, y, x = np.indices((25, 90, 90))
    beads = sum(
        500 * np.exp(-0.5 * (((z - 12) / 3) ** 2 + ((y - row) / 2) ** 2 + ((x - column) / 2) ** 2))
        for row, column in ((25, 25), (25, 65), (65, 25), (65, 65), (88, 45))
    )
    beads = (50 + beads + rng.normal(0, 1, beads.shape)).astype(np.uint16)
    write_tiff(home / "beads.tif", ImageStack(beads, "ZYX", pixel_um=0.1, z_um=0.2 * np.arange(25)))
    return home


@pytest.fixture
def psf(folder, monkeypatch, capsys, tmp_path):
    """Run the command in the folder of images; return status, output, errors."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("CELLRESTORE_MODELS", str(tmp_path / "models"))

    def run(*arguments):
        status = main(["psf", *map(str, arguments)])
        said = capsys.readouterr()
        return status, said.out, said.err

    return run


def rows_of(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_pair_with_optics(psf, tmp_path):
    out = tmp_path / "out"
    table = tmp_path / "psf.csv"
    status, said, wrong = psf("sharp.tif", "blurred.tif", *OPTICS, "--out", out, "--csv", table)
    assert (status, wrong) == (0, "")
    head, line = said.splitlines()
    assert head.startswith("FWHM (um)  absolute (um)  defocus that fits (um)  trusted to (1/um)")
    (row,) = rows_of(table)
    assert float(row["defocus_um"]) == pytest.approx(8, rel=0.05)
    assert f"{float(row['fwhm_um']):.3g}" == line.split()[0]
    curve = rows_of(out / "otf.csv")
    assert list(curve[0])[:5] == ["frequency_per_um", "otf", "otf_std", "residual", "trusted"]
    assert float(curve[0]["otf"]) == 1
    image = open_stack(out / "psf.ome.tif")
    assert (image.axes, image.pixel_um, str(image.data.dtype)) == ("YX", 0.3, "float32")
    assert image.provenance["sharp"] == "sharp.tif"
    assert image.provenance["optics"]["na"] == 0.25
    absolute = open_stack(out / "psf_absolute.ome.tif")
    assert absolute.provenance["kernel"].startswith("absolute")
    assert absolute.data.max().compute() < image.data.max().compute()


def test_every_colour_of_a_pair_is_recovered(psf):
    status, said, wrong = psf("rgb sharp.tif", "rgb blurred.tif")
    assert status == 0
    assert [line.split()[0] for line in said.splitlines()] == ["colour", "red", "green"]
    assert wrong.startswith("Mind: blue: sharp: all pixels are 9")
    status, said, wrong = psf("rgb sharp.tif", "rgb blurred.tif", "--colour", "red", "--json")
    assert (status, wrong) == (0, "")
    row = json.loads(said)
    assert (row["colour"], row["method"]) == ("red", "radial")
    assert len(row["otf"]) == len(row["frequency_per_um"]) == 80


def test_the_planes_of_a_stack_against_the_sharpest(psf, tmp_path):
    out = tmp_path / "out"
    status, said, wrong = psf("stack.tif", *OPTICS, "--out", out)
    assert (status, wrong) == (0, "")
    lines = said.splitlines()
    assert lines[0] == "sharpest: plane 1 (0 um)"
    assert [line.split()[:2] for line in lines[2:]] == [["0", "-8"], ["2", "5"]]
    found_um = [float(line.split()[4]) for line in lines[2:]]
    assert found_um == pytest.approx([8, 5], rel=0.06)
    image = open_stack(out / "psf.ome.tif")
    assert (image.axes, image.z_um.tolist()) == ("ZYX", list(Z_UM))
    kernels = np.asarray(image.data)
    assert kernels[1].argmax() == kernels[1].size // 2
    assert kernels[1].max() > 5 * kernels[0].max()
    curve = rows_of(out / "otf.csv")
    assert {row["plane"] for row in curve} == {"0", "2"}
    assert float(curve[3]["theory"]) == pytest.approx(float(curve[3]["otf"]), abs=0.05)


def test_beads(psf, tmp_path):
    out = tmp_path / "out"
    status, said, wrong = psf("--beads", "beads.tif", "--out", out, "--na", 0.5, "--wavelength", 0.5)
    assert (status, wrong) == (0, "")
    lines = said.splitlines()
    assert lines[0] == "4 beads used; 1 left out: 1 at the border"
    assert [line.rsplit(maxsplit=3)[0] for line in lines[2:]] == [
        "mean of the beads",
        "standard deviation",
        "average bead",
        "theory (scalar, widefield)",
        "the beads' own size is in these widths: their diameter is not",
    ]
    assert [float(cell) for cell in lines[4].split()[-3:]] == pytest.approx([1.413, 0.471, 0.471], rel=0.02)
    rows = rows_of(out / "beads.csv")
    assert [row["left_out"][:13] for row in rows] == ["", "", "", "", "at the border"]
    image = open_stack(out / "bead_psf.ome.tif")
    assert image.axes == "ZYX"
    assert image.z_step_um == pytest.approx(0.2)
    assert float(image.data.sum().compute()) == pytest.approx(1, rel=1e-4)
    status, said, _ = psf("--beads", "beads.tif", "--json", "--save-model", "bead")
    assert (status, json.loads(said)["n"]) == (0, 4)
    assert load_model("bead").card.pixel_um == 0.1


def test_the_size_of_the_beads_is_taken_off(psf):
    status, said, wrong = psf("--beads", "beads.tif", "--diameter", 0.3)
    assert (status, wrong) == (0, "")
    (line,) = [line for line in said.splitlines() if line.startswith("mean without the beads' size")]
    off = 8 * np.log(2) / 20 * 0.3**2
    assert [float(cell) for cell in line.split()[-3:]] == pytest.approx(
        [(w**2 - off) ** 0.5 for w in (1.413, 0.471, 0.471)], rel=0.03
    )
    status, said, wrong = psf("--beads", "beads.tif", "--diameter", 100, "--json")
    assert (status, json.loads(said)["corrected_um"]) == (0, None)
    assert wrong.startswith("Mind: beads of 100 um (100 nm would be 0.1) are larger than the width of 0.47")


def test_the_width_over_the_field(psf, tmp_path):
    out = tmp_path / "out"
    status, said, wrong = psf("sharp.tif", "blurred.tif", *OPTICS, "--field", 2, 3, "--out", out)
    assert status == 0
    assert wrong == ""
    lines = said.splitlines()
    assert lines[2].startswith("absolute FWHM ")
    assert lines[2].endswith("over 6 of 6 tiles")
    assert [len(line.split()) for line in lines[3:]] == [3, 3]
    rows = rows_of(out / "fwhm_field.csv")
    assert [(row["row"], row["column"]) for row in rows] == [(str(r), str(c)) for r in (1, 2) for c in (1, 2, 3)]
    image = open_stack(out / "fwhm_field.ome.tif")
    assert image.pixel_yx_um == pytest.approx((0.3 * 80, 0.3 * 160 / 3))
    np.testing.assert_allclose(image.data, np.reshape([float(row["fwhm_um"]) for row in rows], (2, 3)), rtol=1e-6)
    status, _, wrong = psf("sharp.tif", "blurred.tif", "--field", 2, 3, "--out", out)
    assert status == 2
    assert "exists already" in wrong
    # of a stack, of one plane
    status, said, _ = psf("stack.tif", "--plane", 0, "--field", 1, 2, "--json")
    assert (status, np.shape(json.loads(said)["field_fwhm_um"])) == (0, (1, 2))


def test_tiles_that_cannot_tell_are_said(psf, tmp_path):
    sharp, blurred = (np.asarray(open_stack(f"{name}.tif").data) for name in ("sharp", "blurred"))
    for name, image in (("sharp", sharp), ("blurred", blurred)):
        image = image.copy()
        image[:80, :80] = 500
        write_tiff(tmp_path / f"{name}.tif", ImageStack(image, "YX", pixel_um=0.3))
    out = tmp_path / "out"
    status, said, wrong = psf(tmp_path / "sharp.tif", tmp_path / "blurred.tif", "--field", 2, 2, "--out", out, *OPTICS)
    assert status == 0
    assert "over 3 of 4 tiles" in said
    assert "Mind: tile 1, 1 (row, column): sharp: all pixels are 500" in wrong
    assert rows_of(out / "fwhm_field.csv")[0]["fwhm_um"] == ""
    assert np.isnan(np.asarray(open_stack(out / "fwhm_field.ome.tif").data)[0, 0])


def test_a_shift_is_said_and_aligned(psf, tmp_path):
    blurred = np.roll(np.asarray(open_stack("blurred.tif").data), (3, -2), (0, 1))
    write_tiff(tmp_path / "moved.tif", ImageStack(blurred, "YX", pixel_um=0.3))
    status, said, wrong = psf("sharp.tif", tmp_path / "moved.tif")
    assert status == 0
    assert wrong.startswith("Mind: blurred lies 3.")
    assert wrong.endswith("px off the sharp image: align them first (align_pair; --align in a shell)\n")
    status, said, wrong = psf("sharp.tif", tmp_path / "moved.tif", "--align")
    assert (status, wrong) == (0, "")
    assert said.startswith("moved by -3.")
    status, said, wrong = psf("stack.tif", "--align", "--plane", 2)
    assert (status, wrong) == (0, "")


@pytest.fixture(scope="module")
def bad(folder):
    """Images that nothing, or little, can be recovered from."""
    sharp, blurred = (np.asarray(open_stack(folder / f"{name}.tif").data) for name in ("sharp", "blurred"))
    spoilt = blurred.astype(np.float32)
    spoilt[3, 4] = np.nan
    bright = np.clip(8 * (sharp.astype(float) - np.median(sharp)) + 65535, 0, 65535).astype(np.uint16)
    partly = np.minimum(sharp, np.quantile(sharp, 0.9).astype(np.uint16))
    images = {
        "small": blurred[:100],
        "flat": np.full_like(blurred, 7),
        "nan": spoilt,
        "bright": bright,
        "partly": partly,
    }
    for name, image in images.items():
        write_tiff(folder / f"{name}.tif", ImageStack(image, "YX", pixel_um=0.3))
    return folder


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("sharp.tif", "small.tif"), "blurred has (100, 160) px, sharp (160, 160): give images of one size"),
        (("sharp.tif", "flat.tif"), "blurred: all pixels are 7, there is nothing to recover from; give an image"),
        (("sharp.tif", "nan.tif"), "blurred: 1 of 25600 pixels are not finite (NaN or infinite); mend or crop them"),
        (("bright.tif", "blurred.tif"), "of its pixels are saturated at 65535: expose less or crop"),
    ],
)
def test_bad_images_are_one_line(psf, bad, arguments, said):
    status, out, wrong = psf(*arguments)
    assert (status, out) == (2, "")
    assert wrong.count("\n") == 1
    assert said in wrong


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("partly.tif", "blurred.tif"), "of the pixels of sharp have its largest value"),
        (
            ("sharp.tif", "blurred.tif", "--na", "0.9", "--wavelength", "0.5"),
            "pixels of 0.3 um alias an image of NA 0.9",
        ),
        (("sharp.tif", "blurred.tif", "--pixel", "300"), "(300 nm is 0.3)"),
    ],
)
def test_doubts_are_one_line_each(psf, bad, arguments, said):
    status, out, wrong = psf(*arguments)
    assert status == 0
    assert "FWHM" in out
    (line,) = [line for line in wrong.splitlines() if said in line]
    assert line.startswith("Mind: ")


def test_a_kernel_is_kept_as_a_model(psf):
    status, said, _ = psf("sharp.tif", "blurred.tif", "--save-model", "my blur")
    assert status == 0
    assert "model my blur saved in" in said
    assert load_model("my blur").card.data == "kernel of sharp.tif, blurred.tif"
    status, _, wrong = psf("sharp.tif", "blurred.tif", "--save-model", "my blur")
    assert (status, wrong) == (
        2,
        "cellrestore psf: there is a model 'my blur' already; give another name, such as 'my blur 2'\n",
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("sharp.tif",), "sharp.tif has one image: give a sharp and a blurred one"),
        (("sharp.tif", "sharp.tif"), "the same image"),
        (("sharp.tif", "other.tif"), "pixels of 0.2 and 0.3 um"),
        (("bare.tif", "bare.tif"), "the pixel size is not known: give it with --pixel"),
        (("sharp.tif", "stack.tif"), "the files have 1 and 3 planes: choose with --plane"),
        (("sharp.tif", "stack.tif", "--plane", "7"), "plane 7 does not exist: there are 3"),
        (("stack.tif", "--plane", "1"), "no plane could be used; plane 1 is the sharpest itself"),
        (("sharp.tif", "blurred.tif", "--na", "0.25"), "--na and --wavelength go together"),
        (("sharp.tif", "blurred.tif", "--na", "0.25", "--wavelength", "500"), "500 nm would be 0.5"),
        (("sharp.tif", "blurred.tif", "--na", "1.3", "--wavelength", "0.5"), "na 1.3 is larger than the immersion"),
        (("sharp.tif", "blurred.tif", "--na", ".2", "--wavelength", ".5", ".6"), "2 wavelengths: give one, or three"),
        (("sharp.tif", "blurred.tif", "--mu", "much"), "--mu much: give auto, gcv or a positive number"),
        (("sharp.tif", "blurred.tif", "--method", "magic"), "method is 'magic': use one of radial, fourier"),
        (("sharp.tif", "blurred.tif", "--save-model", "a/b"), "'a/b' cannot be the name of a model"),
        (("sharp.tif", "blurred.tif", "--csv", "stack.tif"), "stack.tif: exists already"),
        (("sharp.tif", "blurred.tif", "--out", "stack.tif"), "--out stack.tif is a file: give a folder"),
        (("stack.tif", "--save-model", "name"), "--save-model keeps one kernel: choose its plane"),
        (("--beads", "sharp.tif", "blurred.tif"), "2 images were given: give one stack"),
        (("--beads", "stack.tif"), "the stack has 3 planes: 5 or more"),
        (("--beads", "beads.tif", "--diameter", "-1"), "diameter_um is -1.0: give the diameter of a bead"),
        (("--beads", "beads.tif", "--field", "2", "2"), "--field and --align are for images of a specimen"),
        (("sharp.tif", "blurred.tif", "--diameter", "0.1"), "--diameter is that of beads: give --beads too"),
        (("sharp.tif", "blurred.tif", "--field", "0", "3"), "grid is (0, 3): give two whole numbers of tiles"),
        (("sharp.tif", "blurred.tif", "--field", "40", "3"), "smaller than 16 px: use fewer tiles, 10 x 10 at most"),
        (("stack.tif", "--field", "2", "2"), "--field is of one kernel: choose its plane with --plane K"),
        (("missing.tif", "sharp.tif"), "missing.tif: there is no such file"),
    ],
)
def test_wrong_input_is_one_line(psf, arguments, said):
    status, out, wrong = psf(*arguments)
    assert status == 2
    assert wrong.count("\n") == 1
    assert said in wrong
    assert "FWHM" not in out


def test_nothing_is_written_over(psf, tmp_path):
    (tmp_path / "otf.csv").write_text("mine\n")
    status, _, wrong = psf("sharp.tif", "blurred.tif", "--out", tmp_path)
    assert status == 2
    assert "otf.csv: exists already; give another folder" in wrong
    assert not (tmp_path / "psf.ome.tif").exists()
