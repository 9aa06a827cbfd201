import csv
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage
from skimage.io import imsave

from napari_cellrestore import cli
from napari_cellrestore.card import ModelCard
from napari_cellrestore.cli import COMMANDS, main
from napari_cellrestore.cli._common import expand, read_splits
from napari_cellrestore.evaluate import read_evaluation
from napari_cellrestore.files import open_stack, write_tiff
from napari_cellrestore.focus import MEASURES, focus_curve
from napari_cellrestore.held_out import model_method, score_held_out
from napari_cellrestore.leds import LedTable
from napari_cellrestore.metrics import METRICS, fpw_map
from napari_cellrestore.model import load_model, save_model
from napari_cellrestore.networks import create_network
from napari_cellrestore.restore import plan_restoration, restore, restore_with_spread
from napari_cellrestore.stack import ImageStack
from napari_cellrestore.trust.asking import judge_made, maker_of

Z_UM = (0.0, 0.2, 0.4, 0.6, 0.8)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Folder of models with one small model, ``tiny``."""
    folder = tmp_path_factory.mktemp("models")
    options = {"filters": 4, "blocks": 4, "norm": "none", "dropout": 0.0, "global_skip": True}
    table = {"title": "tiny", "columns": ["MSE", "PSNR"], "rows": {"0 um": [1.25, "inf"], "Mean": [None, 30.0]}}
    card = ModelCard(
        name="tiny",
        task="deblur",
        summary="Does next to nothing",
        network="pix2pix-fast",
        options=options,
        halo_px=32,
        pixel_um=0.1,
        held_out=[{"images": "smears", "number": 3, "mse_of_input": 0.5, "by_level": [table]}],
        limits=["anything"],
    )
    save_model(folder / "tiny", create_network("pix2pix-fast", **options), card)
    return folder


@pytest.fixture(autouse=True)
def _models(home, monkeypatch):
    monkeypatch.setenv("CELLRESTORE_MODELS", str(home))


@pytest.fixture
def damaged(home, tmp_path):
    """A copy of the model with one byte of its weights changed."""
    folder = tmp_path / "damaged"
    shutil.copytree(home / "tiny", folder)
    weights = bytearray((folder / "weights.safetensors").read_bytes())
    weights[-1] ^= 1
    (folder / "weights.safetensors").write_bytes(weights)
    return folder


@pytest.fixture
def focus_file(tmp_path, rng):
    """A focus stack whose focus measure is the parabola 2 - (z - 0.36)^2 / 0.1 times that of its texture."""
    gain = np.sqrt(2 - (np.array(Z_UM) - 0.36) ** 2 / 0.1)
    data = gain[:, None, None] * rng.normal(size=(40, 50))
    stack = ImageStack(data.astype(np.float32), "ZYX", pixel_um=0.1, z_um=Z_UM)
    return str(write_tiff(tmp_path / "cells.ome.tif", stack))


@pytest.fixture
def smear_file(tmp_path, rng):
    path = tmp_path / "smear.png"
    imsave(path, rng.integers(60, 220, (48, 64, 3)).astype(np.uint8), check_contrast=False)
    return str(path)


@pytest.fixture
def broken_file(tmp_path):
    path = tmp_path / "broken.tif"
    path.write_bytes(b"II*\0garbage and nothing else")
    return str(path)


def refused(result, *parts):
    """Whether a run ended with status 2 and one line that holds all the parts."""
    status, _, err = result
    assert status == 2
    assert len(err) == 1, err
    assert all(str(part) in err[0] for part in parts), err[0]
    return True


def python(*arguments, **options):
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=120, **options)


# --- the command itself --------------------------------------------------------------------------------------


def test_the_table_lists_the_subcommands_that_exist():
    home = Path(cli.__file__).parent
    modules = {path.stem for path in home.glob("[!_]*.py")} | {path.parent.name for path in home.glob("*/__init__.py")}
    assert {command.split()[-1] for command in COMMANDS} == modules


@pytest.mark.parametrize("command", COMMANDS)
def test_every_subcommand_has_help(command, capsys):
    with pytest.raises(SystemExit, match="0"):
        main([command, "--help"])
    assert COMMANDS[command][1:] in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("command", [[], ["restore"], ["focus"], ["evaluate"]])
def test_help_imports_nothing_heavy(command):
    heavy = "'torch', 'napari', 'qtpy', 'magicgui', 'numpy', 'tifffile', 'skimage', 'dask', 'matplotlib'"
    code = (
        "import sys; from napari_cellrestore.cli import main\n"
        f"try: main({[*command, '--help']})\n"
        f"finally: print('heavy:', *({{{heavy}}} & set(sys.modules)))"
    )
    done = python("-c", code)
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1] == "heavy:"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], "required: command"),
        (["polish"], "invalid choice: 'polish'"),
        (["focus"], "required: PATH"),
        (["focus", "a.tif", "--roi", "1:2"], "'1:2' is not Y0:Y1,X0:X1"),
        (["restore", "a.tif", "--model", "tiny", "--out", "b.tif", "--intensity", "black", "1"], "invalid float"),
        (["report", "--input", "a", "--out", "b"], "one of the arguments --restored --model is required"),
        (["evaluate", "tiny", "--images", "a", "--limit", "0"], "'0' is not a whole number, 1 or more"),
    ],
)
def test_wrong_usage_is_one_line(arguments, reason, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    (line,) = capsys.readouterr().err.splitlines()
    assert reason in line


def test_status_and_line_of_a_process_and_the_traceback_on_demand(tmp_path):
    missing = str(tmp_path / "none.tif")
    done = python("-m", "napari_cellrestore", "info", missing)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert f"{missing}: there is no such file" in done.stderr
    done = python("-m", "napari_cellrestore", "info", missing, "--debug")
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "FileNotFoundError" in done.stderr


@pytest.mark.skipif(os.name == "nt", reason="pipes close differently")
def test_a_reader_that_has_seen_enough_is_no_error(focus_file):
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "napari_cellrestore", "info", focus_file]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, timeout=120)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


def test_mistakes_of_the_program_are_not_hidden(monkeypatch):
    monkeypatch.setattr("napari_cellrestore.files.open_stack", lambda *_, **__: {}["missing"])
    with pytest.raises(KeyError):
        main(["info", "a.tif"])


def test_patterns_are_expanded_for_shells_that_do_not(tmp_path):
    for name in ("b.tif", "a.tif", "c.png", "[1].tif"):
        (tmp_path / name).touch()
    expected = [str(tmp_path / name) for name in ("[1].tif", "a.tif", "b.tif")]
    assert expand([str(tmp_path / "*.tif")]) == expected
    assert expand([str(tmp_path / "[1].tif")]) == expected[:1]  # a name that looks like a pattern
    assert expand([str(tmp_path / "*.jpg")]) == [str(tmp_path / "*.jpg")]  # so that the error names it


# --- info ------------------------------------------------------------------------------------------------------


def test_info_says_shape_axes_and_calibration(focus_file, say):
    status, out, err = say("info", focus_file)
    assert (status, err) == (0, [])
    assert out == [
        focus_file,
        "  shape       5 x 40 x 50",
        "  axes        ZYX: depth 5, row 40, column 50",
        "  dtype       float32",
        "  pixel size  0.1 um",
        "  z step      0.2 um",
        "  z range     0 to 0.8 um",
        "  taken for   grey focus stack of 5 planes",
    ]


def test_info_says_what_is_not_known_and_what_was_decided(smear_file, say):
    _, out, _ = say("info", smear_file)
    assert "  pixel size  not known" in out
    assert "  taken for   colour image" in out
    assert "  note        the file does not state a pixel size" in out


def test_info_of_leds_and_of_axes_given_by_the_user(tmp_path, say):
    leds = LedTable(index=[3, 4], polar_deg=[0, 12.5], azimuth_deg=[0, 90], wavelength_um=[0.53, 0.63])
    path = write_tiff(tmp_path / "leds.tif", ImageStack(np.zeros((2, 16, 16), np.uint8), "AYX", leds=leds))
    _, out, _ = say("info", path)
    assert (
        "  LEDs        2 planes; polar angle 0 to 12.5 deg; exposure single; brightfield and dark field not told apart (give "
        "--na); wavelength 0.53, 0.63 um" in out
    )
    _, out, _ = say("info", path, "--na", "0.1")
    assert any("kind darkfield (1), point (1)" in line for line in out)
    assert any(line.startswith("  check       plane 0") for line in out)
    table = path.with_name("other.csv")
    table.write_text("index,polar_deg,azimuth_deg\n0,1,2\n1,3,4\n")
    assert any("polar angle 1 to 3 deg" in line for line in say("info", path, "--leds", table)[1])
    checks = json.loads(say("info", path, "--json", "--na", "0.1")[1][0])["checks"]
    assert {one["what"] for one in checks["findings"]} == {"black"}
    assert "  taken for   grey LED stack of 2 planes" in out
    plain = write_tiff(tmp_path / "plain.tif", ImageStack(np.zeros((2, 16, 16), np.uint8), "ZYX"))
    assert "  taken for   grey image, 2 along time" in say("info", plain, "--axes", "TYX")[1]
    assert refused(say("info", plain, "--axes", "TZYX"), plain, "axes='TZYX' does not fit")


def test_info_as_json(focus_file, say):
    _, out, _ = say("info", focus_file, "--json")
    said = json.loads(out[0])
    assert said["shape"] == [5, 40, 50]
    assert said["z_um"] == list(Z_UM)
    assert said["pixel_um"] == 0.1
    assert said["leds"] is None


def test_info_goes_on_after_a_file_that_cannot_be_opened(focus_file, broken_file, tmp_path, say):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "read.me").touch()
    status, out, err = say("info", broken_file, tmp_path / "notes", focus_file)
    assert status == 2
    assert [line.split(": ")[1] for line in err] == [broken_file, str(tmp_path / "notes")]
    assert "no TIFF, PNG, JPEG or BMP files" in err[1]
    assert out[0] == focus_file


def test_info_of_the_machine(home, say):
    import torch

    status, out, err = say("info")
    assert (status, err) == (0, [])
    said = dict(line.split(maxsplit=1) for line in out if line)
    assert said["torch"] == torch.__version__
    text = "\n".join(out)
    assert str(home) in text
    assert "tiny" in text
    machine = json.loads(say("info", "--json")[1][0])
    assert machine["threads"] == torch.get_num_threads()
    assert set(machine["engines"]) == {"torch", "compiled", "openvino"}
    assert machine["models"][0] == "tiny"


# --- focus -----------------------------------------------------------------------------------------------------


def test_focus_finds_the_vertex(focus_file, say):
    status, out, err = say("focus", focus_file, "--json")
    assert (status, err) == (0, [])
    said = json.loads(out[0])
    assert said["sharpest"] == 2
    assert said["peak"] == pytest.approx(0.36, abs=1e-5)
    assert said["z"] == list(Z_UM)
    assert np.divide(said["values"], said["values"][2]) == pytest.approx(
        np.array([0.704, 1.744, 1.984, 1.424, 0.064]) / 1.984
    )
    _, out, _ = say("focus", focus_file)
    assert out[1].split() == ["2", "5", "0.360", "um", *out[1].split()[4:7], focus_file]


@pytest.mark.parametrize("method", MEASURES)
def test_focus_by_every_measure_which_help_lists(method, focus_file, say, capsys):
    _, out, _ = say("focus", focus_file, "--method", method, "--json")
    curve = focus_curve(open_stack(focus_file), method=method)
    assert json.loads(out[0])["values"] == pytest.approx(curve.values)
    with pytest.raises(SystemExit):
        main(["focus", "--help"])
    assert method in capsys.readouterr().out


def test_focus_of_a_region(focus_file, say):
    _, out, _ = say("focus", focus_file, "--roi", "5:30,:20", "--json")
    said = json.loads(out[0])
    curve = focus_curve(open_stack(focus_file), roi=(slice(5, 30), slice(0, 20)))
    assert said["values"] == pytest.approx(curve.values)
    assert said["roi"] == [[5, 30], [None, 20]]
    assert refused(say("focus", focus_file, "--roi", "0:41,0:20"), focus_file, "rows 0:41, the image has 0:40")
    assert refused(say("focus", focus_file, "--roi", "9:9,0:20"), "rows 9:9")


def test_focus_measures_every_channel(focus_file, tmp_path, say):
    planes = open_stack(focus_file).data.compute()
    two = ImageStack(np.stack([planes, planes[::-1]]), "CZYX", z_um=Z_UM)
    path = write_tiff(tmp_path / "two.tif", two)
    _, out, _ = say("focus", path, "--json", "--extract", tmp_path / "sharp")
    said = [json.loads(line) for line in out]
    assert [(one["at"], one["sharpest"]) for one in said] == [({"C": 0}, 2), ({"C": 1}, 2)]
    assert said[1]["peak"] == pytest.approx(0.8 - 0.36, abs=1e-5)
    assert [Path(one["extracted"]).name for one in said] == ["two-C0-sharpest.ome.tif", "two-C1-sharpest.ome.tif"]


def test_focus_extracts_the_plane_as_it_was_and_never_overwrites(focus_file, tmp_path, say):
    folder = tmp_path / "sharp" / "planes"
    assert say("focus", focus_file, "--extract", folder)[0] == 0
    plane = open_stack(folder / "cells-sharpest.ome.tif")
    assert plane.axes == "YX"
    assert plane.pixel_um == 0.1
    assert plane.provenance["z"] == 0.4
    np.testing.assert_array_equal(plane.data, open_stack(focus_file).data[2])
    assert refused(say("focus", focus_file, "--extract", folder), "cells-sharpest.ome.tif: exists already")


def test_focus_says_which_plane_of_unstained_cells_it_extracts(focus_file, tmp_path, rng, say):
    contrast = np.array([1, 4, 3, 1, 3, 5, 4, 1])[:, None, None]
    planes = (contrast * rng.normal(size=(40, 50))).astype(np.float32)
    path = write_tiff(tmp_path / "yeast.ome.tif", ImageStack(planes, "ZYX", z_um=0.5 * np.arange(8)))
    folder = tmp_path / "out"
    status, out, err = say("focus", path, "--extract", folder)
    assert status == 0
    assert "(contrast minimum at focus, which is plane 3 (1.50 um))" in out[1]
    assert err == [
        f"Mind: {path}: contrast has a dip at plane 3, where unstained cells are in focus; "
        "extracting the sharpest, plane 5; --at-minimum extracts plane 3"
    ]
    status, out, err = say("focus", path, "--extract", folder, "--at-minimum", "--json")
    assert status == 0
    assert json.loads(out[0])["minimum_plane"] == 3
    assert err[0].endswith("; extracting plane 3")
    for kind, index in (("sharpest", 5), ("minimum", 3)):
        plane = open_stack(folder / f"yeast-{kind}.ome.tif")
        np.testing.assert_array_equal(plane.data, planes[index])
        assert plane.provenance["z"] == 0.5 * index
    assert "the sharpest by" in open_stack(folder / "yeast-sharpest.ome.tif").provenance["extracted"]
    assert say("focus", path)[2] == []  # nothing extracted, nothing to mind


def test_focus_extracts_no_minimum_where_there_is_none(focus_file, tmp_path, rng, say):
    folder = tmp_path / "out"
    assert refused(say("focus", focus_file, "--at-minimum"), "give --extract FOLDER too")
    result = say("focus", focus_file, "--extract", folder, "--at-minimum")
    assert refused(result, focus_file, "contrast of the stack has no dip by this measure")
    assert len(result[1]) == 2
    assert not folder.exists()


def test_focus_writes_curves_as_a_table(focus_file, tmp_path, say):
    path = tmp_path / "curves.csv"
    say("focus", focus_file, focus_file, "--csv", path)
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 10
    assert [float(row["z"]) for row in rows[:5]] == list(Z_UM)
    assert [row["sharpest"] for row in rows[:5]] == ["0", "0", "1", "0", "0"]
    assert [float(row["value"]) for row in rows[:5]] == focus_curve(open_stack(focus_file)).values.tolist()
    assert refused(say("focus", focus_file, "--csv", path), "curves.csv: exists already")
    assert refused(say("focus", focus_file, "--csv", tmp_path / "no" / "c.csv"), "there is no folder")


def test_focus_skips_bad_stacks_and_says_doubts(focus_file, smear_file, broken_file, tmp_path, say):
    planes = open_stack(focus_file).data.compute()
    planes[1, 0, 0] = np.nan
    holes = write_tiff(tmp_path / "holes.tif", ImageStack(planes, "ZYX"))
    empty = write_tiff(tmp_path / "empty.tif", ImageStack(planes * np.nan, "ZYX"))
    status, out, err = say("focus", broken_file, smear_file, empty, holes)
    assert status == 2
    assert len(out) == 2
    assert "holes.tif (plane 1 not finite)" in out[1]
    assert "plane 1.80 " in out[1]  # the vertex at 0.36 um, where no z is stated
    assert [line.split(": ")[1] for line in err] == [broken_file, smear_file, str(empty)]
    assert "without depth (Z)" in err[1]
    assert "none of the 5 planes is finite" in err[2]


def test_focus_refuses_an_unknown_measure_once(focus_file, say):
    assert refused(say("focus", focus_file, focus_file, "--method", "eye"), "'eye'", "use one of second_difference")


# --- restore ---------------------------------------------------------------------------------------------------


def test_restore_writes_what_the_library_gives(smear_file, tmp_path, say):
    out = tmp_path / "new" / "out.tif"
    status, said, err = say("restore", smear_file, "--model", "tiny", "--out", out, "--engine", "torch")
    assert status == 0
    assert said[0] == f"from       {smear_file}"
    assert said[-1] == f"written    {out}"
    assert all(line.startswith("Mind: ") for line in err)
    assert any("pixel size is not known; the model was trained at 0.1" in line for line in err)
    assert not any(line.startswith("warning") for line in said)
    result = open_stack(out)
    source = open_stack(smear_file)
    expected = restore(source, "tiny", plan_restoration(source, "tiny", engine="torch"))
    np.testing.assert_array_equal(result.data, expected)
    assert result.provenance["model"] == "tiny"
    assert result.provenance["weights_sha256"] == load_model("tiny").card.weights_sha256
    assert result.provenance["source"] == smear_file


def test_restore_counts_its_tiles_in_json(focus_file, tmp_path, say):
    stack = open_stack(focus_file)
    arguments = ["--model", "tiny", "--out", tmp_path / "out", "--engine", "torch", "--tile", 16, "--intensity", -5, 5]
    status, out, _ = say("restore", focus_file, *arguments, "--json")
    assert status == 0
    plan, *tiles, written = [json.loads(line) for line in out]
    count = 5 * len(plan["plan"]["rows"]) * len(plan["plan"]["columns"])
    assert plan["plan"]["intensity"] == [-5, 5]
    assert [(one["done"], one["of"]) for one in tiles] == [(i + 1, count) for i in range(count)]
    assert Path(written["out"]) == tmp_path / "out" / "cells_tiny.ome.tif"
    result = open_stack(written["out"])
    assert (result.axes, result.pixel_um, result.z_um.tolist()) == ("ZYX", stack.pixel_um, list(Z_UM))


def test_restore_dry_run_only_says_the_plan(smear_file, tmp_path, say):
    arguments = ("restore", smear_file, "--model", "tiny", "--out", tmp_path / "out", "--dry-run")
    status, out, _ = say(*arguments, "--engine", "torch")
    assert status == 0
    plan, table = out[: out.index("")], out[out.index("") + 1 :]
    assert [line.split()[0] for line in plan] == "from to model image intensity tiles engine memory".split()
    assert table[0] == "Is this image what the model knows?"
    assert any(line.startswith("defocus") and "nothing but background" in line for line in table)
    domain = json.loads(say(*arguments, "--json")[1][1])
    assert [trait["what"] for trait in domain["traits"]][-3:] == ["grey levels", "size", "defocus"]
    assert len(json.loads(say(*arguments, "--json")[1][0])["plan"]["weights_sha256"]) == 64
    assert not (tmp_path / "out").exists()


def test_restore_turned_writes_mean_and_spread(smear_file, tmp_path, say):
    out = tmp_path / "out.ome.tif"
    arguments = ("restore", smear_file, "--model", "tiny", "--turned", "--out", out)
    status, said, _ = say(*arguments, "--json")
    plan, *tiles, written = map(json.loads, said)
    assert (status, plan["plan"]["way"], plan["plan"]["passes"]) == (0, "turned", 8)
    assert tiles[-1]["done"] == tiles[-1]["of"] == 1
    assert written["files"] == [str(out), str(tmp_path / "out_unsure.ome.tif")]
    source = open_stack(smear_file)
    expected = restore_with_spread(source, "tiny", plan_restoration(source, "tiny", turned=True))
    np.testing.assert_array_equal(open_stack(out).data, expected[0])
    np.testing.assert_array_equal(open_stack(tmp_path / "out_unsure.ome.tif").data, expected[1])
    out.unlink()
    assert refused(say(*arguments), "out_unsure.ome.tif exists already", "--overwrite")
    assert not out.exists()


def test_restore_loses_no_file(smear_file, focus_file, tmp_path, say):
    model = ("--model", "tiny", "--engine", "torch")
    assert refused(say("restore", focus_file, *model, "--out", focus_file, "--overwrite"), focus_file, "the input")
    out = tmp_path / "out.tif"
    out.write_text("mine")
    assert refused(say("restore", smear_file, *model, "--out", out), smear_file, f"{out} exists already", "--overwrite")
    assert out.read_text() == "mine"
    assert say("restore", smear_file, *model, "--out", out, "--overwrite")[0] == 0
    assert open_stack(out).provenance["model"] == "tiny"
    assert refused(say("restore", smear_file, *model, "--out", tmp_path / "smear.png"), "does not end in .tif")
    link = tmp_path / "link.tif"
    os.link(focus_file, link)
    assert refused(say("restore", focus_file, *model, "--out", link, "--overwrite"), "under another name")


def test_restore_adds_nothing_to_a_folder_of_planes(tmp_path, say):
    folder = tmp_path / "planes"
    folder.mkdir()
    for plane in range(3):
        imsave(folder / f"z{plane}.tif", np.full((32, 32), plane, np.uint8), check_contrast=False)
    arguments = ("restore", folder, "--model", "tiny", "--engine", "torch", "--out")
    assert refused(say(*arguments, folder), folder, "lie in it")
    assert say(*arguments, tmp_path)[0] == 0
    assert open_stack(tmp_path / "planes_tiny.ome.tif").axes == "ZYX"


def test_restore_goes_on_after_a_wrong_image(smear_file, broken_file, tmp_path, say):
    status, _, err = say("restore", broken_file, smear_file, "--model", "tiny", "--engine", "torch", "--out", tmp_path)
    assert status == 2
    assert (tmp_path / "smear_tiny.ome.tif").exists()
    assert err[0].startswith(f"cellrestore restore: {broken_file}: ")
    assert all(line.startswith(f"Mind: {smear_file}: ") for line in err[1:])


def test_restore_refuses_results_of_one_name(smear_file, tmp_path, say):
    other = tmp_path / "b" / "smear.tif"
    other.parent.mkdir()
    shutil.copy(smear_file, other)
    arguments = ("restore", smear_file, other, "--model", "tiny", "--out")
    assert refused(say(*arguments, tmp_path / "out.tif"), "one file for 2 images")
    assert refused(say(*arguments, tmp_path / "out"), smear_file, other, "the results would all be")


def test_restore_refuses_wrong_models(smear_file, damaged, tmp_path, say):
    arguments = ("restore", smear_file, "--out", tmp_path / "out.tif", "--model")
    assert refused(say(*arguments, "polish"), "no model 'polish'; there are tiny")
    assert refused(say(*arguments, damaged), damaged, "is not the")
    assert refused(say(*arguments, tmp_path), tmp_path, "no card.json")


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (["--intensity", "9", "3"], "intensity is"),
        (["--intensity", "nan", "3"], "intensity is"),
        (["--tile", "0"], "tile is 0"),
        (["--engine", "steam"], "no engine 'steam'; known are auto, torch, openvino"),
        (["--device", "tpu"], "no device 'tpu'"),
        (["--axes", "ZYX"], "axes='ZYX' does not fit"),
    ],
)
def test_restore_refuses_wrong_options(wrong, reason, smear_file, tmp_path, say):
    result = say("restore", smear_file, "--model", "tiny", "--out", tmp_path / "out.tif", *wrong)
    assert refused(result, smear_file, reason)
    assert not (tmp_path / "out.tif").exists()


def test_restore_keeps_nan_and_says_so(tmp_path, rng, say):
    image = rng.uniform(0, 1, (40, 48)).astype(np.float32)
    image[3, 4] = np.nan
    path = write_tiff(tmp_path / "holes.tif", ImageStack(image, "YX", pixel_um=0.1))
    status, _, err = say("restore", path, "--model", "tiny", "--engine", "torch", "--out", tmp_path / "out.tif")
    assert status == 0
    assert any("1 pixels are NaN or infinite" in line for line in err)
    assert np.argwhere(np.isnan(open_stack(tmp_path / "out.tif").data.compute())).tolist() == [[3, 4]]


# --- compare ---------------------------------------------------------------------------------------------------


@pytest.fixture
def images(tmp_path, rng):
    """Files of a reference and of it with 2 grey levels added, (Y, X) uint8, and of both as planes of one stack."""
    right = rng.integers(0, 200, (30, 36)).astype(np.uint8)
    stacks = {
        "right": ImageStack(right, "YX", pixel_um=0.1),
        "lighter": ImageStack(right + np.uint8(2), "YX", pixel_um=0.1),
        "both": ImageStack(np.stack([right, right + np.uint8(2)]), "ZYX", pixel_um=0.1, z_um=[0, 0.3]),
    }
    return {name: str(write_tiff(tmp_path / f"{name}.ome.tif", stack)) for name, stack in stacks.items()}


def test_compare_measures_by_every_metric(images, tmp_path, say):
    table = tmp_path / "table.csv"
    status, out, err = say("compare", images["right"], images["lighter"], "--csv", table)
    assert (status, err, len(out)) == (0, [], 2)
    with table.open(newline="") as file:
        header, row = csv.reader(file)
    assert header == [images["right"], *(metric.label for metric in METRICS.values())]
    values = dict(zip(METRICS, map(float, row[1:]), strict=True))
    assert (values["mse"], values["mae"], values["fpw"], values["focus_ratio"]) == (4, 2, 0, 1)
    assert values["psnr"] == pytest.approx(20 * np.log10(255 / 2))
    assert out[1].split()[1:3] == ["4", "2"]
    assert refused(say("compare", images["right"], images["lighter"], "--csv", table), "exists already")


def test_compare_goes_plane_by_plane(images, say):
    _, out, _ = say("compare", images["both"], images["both"])
    assert [line.split()[1] for line in out[1:]] == ["plane", "plane", "mean"]
    _, out, _ = say("compare", images["right"], images["both"])  # one reference for all planes
    assert [line.split()[-10] for line in out[1:]] == ["0", "4", "2"]  # MSE
    _, out, _ = say("compare", images["right"], images["both"], "--json")
    first, second = json.loads(out[0])["planes"]
    assert (first["psnr"], second["mse"]) == ("inf", 4)
    assert refused(say("compare", images["both"], images["right"]), images["right"], "it has 1 planes, the reference 2")


def test_compare_counts_black_spots(tmp_path, say):
    clean = np.full((60, 60, 3), 200, np.uint8)
    spotted = clean.copy()
    spotted[20:26, 30:36] = 10
    paths = [str(tmp_path / f"{name}.png") for name in ("clean", "spotted")]
    for path, image in zip(paths, (clean, spotted), strict=True):
        imsave(path, image, check_contrast=False)
    _, out, _ = say("compare", paths[0], *paths, "--black-spots")
    assert out[-2:] == [f"black spots: 0 ({paths[0]})", f"black spots: 1 ({paths[1]})"]
    _, out, _ = say("compare", *paths, "--black-spots", "--json")
    assert json.loads(out[0])["black_spots"] == [1]
    assert not any("black spots" in line for line in say("compare", *paths)[1])


def test_compare_says_how_far_a_restoration_can_be_trusted(tmp_path, rng, say):
    sharp = ndimage.gaussian_filter(rng.normal(size=(160, 160)), 2) * 200 + 128
    measured = ndimage.gaussian_filter(sharp, 2) + rng.normal(0, 1, sharp.shape)
    wrong = sharp.copy()
    wrong[40:60, 40:60] += 30
    for name, pixels in (("measured", measured), ("right", sharp), ("wrong", wrong)):
        write_tiff(
            tmp_path / f"{name}.ome.tif", ImageStack(np.uint8(np.clip(np.rint(pixels), 0, 255)), "YX", pixel_um=0.1)
        )
    paths = [tmp_path / f"{name}.ome.tif" for name in ("measured", "right", "wrong")]
    status, out, _ = say("compare", *paths, "--trust", "--maps", tmp_path / "maps")
    assert status == 0
    header = next(number for number, line in enumerate(out) if line.startswith("% of pixels"))
    shares = {line.split()[0]: [float(word) for word in line.split()[1:]] for line in out[header + 1 : header + 3]}
    right, wrong_shares = (shares[str(path)] for path in paths[1:])
    assert sum(right) == pytest.approx(100, abs=0.1)
    assert right[2] < 2 < wrong_shares[2]
    classes = open_stack(tmp_path / "maps" / "wrong_trust.ome.tif")
    assert classes.pixel_um == 0.1
    assert np.mean(np.asarray(classes.data)[44:56, 44:56] == 3) > 0.9
    assert any(line.startswith("3 contradicts: Blurred again") for line in out)
    said = json.loads(say("compare", *paths[:2], "--trust", "--json")[1][0])
    assert said["trust"][0]["contradicts"] == pytest.approx(right[2] / 100, abs=1e-4)


def test_compare_asks_the_model_where_it_is_unsure(tmp_path, smear_file, say, monkeypatch):
    restored, other = tmp_path / "restored.ome.tif", tmp_path / "other.ome.tif"
    assert say("restore", smear_file, "--model", "tiny", "--out", restored)[0] == 0
    made = open_stack(restored)
    write_tiff(other, made.replace(provenance=dict(made.provenance) | {"model": "gone", "weights_sha256": "1"}))
    judged = []

    def counted(*arguments):
        judged.append(arguments)
        return judge_made(*arguments)

    monkeypatch.setattr("napari_cellrestore.trust.asking.judge_made", counted)
    arguments = ("compare", smear_file, restored, "--trust", "--model", "tiny")
    status, out, err = say(*arguments, "--maps", tmp_path / "maps")
    assert status == 0
    assert len(judged) == 1  # also for the map
    header = next(line for line in out if line.startswith("% of pixels"))
    assert header.split("  ")[-2:] == ["model unsure", "contradicts"]
    assert any(line.startswith("2 model unsure: Asked again") for line in out)
    assert "Is this image what the model knows?" in out
    source = np.asarray(open_stack(smear_file).data)
    trust = judge_made(source, np.asarray(made.data), maker_of(made.provenance))
    np.testing.assert_array_equal(open_stack(tmp_path / "maps" / "restored_trust.ome.tif").data, trust.classes)
    image, domain = map(json.loads, say(*arguments, "--json")[1])
    assert image["trust"][0] == pytest.approx(trust.shares)
    assert domain["domain"]["model"] == "tiny"
    status, _, err = say("compare", smear_file, other, "--trust", "--model", "tiny")
    assert status == 0
    assert err == ["Mind: trust is left out: the model 'gone' that made it is not in the list of models any more"]
    assert refused(say("compare", smear_file, restored, "--model", "tiny"), "give --trust too")
    assert refused(say("compare", smear_file, restored, "--trust", "--model", "polish"), "no model 'polish'")


def test_compare_writes_maps_with_their_calibration(images, tmp_path, say):
    folder = tmp_path / "maps"
    assert say("compare", images["right"], images["both"], "--maps", folder)[0] == 0
    maps = {name: open_stack(folder / f"both_{name}.ome.tif") for name in ("difference", "fpw", "ssim", "gradient")}
    for one in maps.values():
        assert (one.axes, one.data.dtype, one.pixel_um, one.z_um.tolist()) == ("ZYX", np.float32, 0.1, [0, 0.3])
    assert maps["difference"].data[1].compute().tolist() == np.full((30, 36), 2).tolist()
    right = open_stack(images["right"]).data.compute()
    np.testing.assert_array_equal(maps["fpw"].data[1], fpw_map(right, right + np.uint8(2)))
    assert not maps["gradient"].data.compute().any()  # a constant added has no edges
    assert refused(say("compare", images["right"], images["both"], "--maps", folder), "both_difference.ome.tif exists")


def test_compare_keeps_colours_apart_in_the_difference(smear_file, tmp_path, say):
    assert say("compare", smear_file, smear_file, "--maps", tmp_path)[0] == 0
    assert open_stack(tmp_path / "smear_difference.ome.tif").axes == "YXS"
    assert open_stack(tmp_path / "smear_ssim.ome.tif").axes == "YX"
    assert open_stack(tmp_path / "smear_gradient.ome.tif").axes == "YX"


def test_compare_counts_only_what_the_mask_leaves(images, smear_file, tmp_path, rng, say):
    right = open_stack(images["right"]).data.compute()
    half = right.astype(np.float32)
    half[:, :18] += 3
    half[0, 30] = np.nan
    image = str(write_tiff(tmp_path / "half.tif", ImageStack(half, "YX")))
    mask = np.zeros(right.shape, np.uint8)
    mask[1:, :18] = 7
    paths = {}
    for name, pixels in {"left": mask, "none": 0 * mask, "other": mask[1:], "two": np.stack([mask, mask])}.items():
        paths[name] = str(write_tiff(tmp_path / f"{name}.tif", ImageStack(pixels, "ZYX"[-pixels.ndim :])))
    status, out, _ = say("compare", images["right"], image, "--mask", paths["left"])
    assert (status, out[1].split()[1:3]) == (0, ["9", "3"])
    assert refused(say("compare", images["right"], image), image, "1 of 1080 values")
    assert refused(say("compare", images["right"], image, "--mask", paths["none"]), paths["none"], "0 everywhere")
    assert refused(say("compare", images["right"], image, "--mask", paths["other"]), "30 x 36", "this is 29 x 36")
    assert refused(say("compare", images["right"], image, "--mask", paths["two"]), "2 planes of 30 x 36")
    assert refused(say("compare", images["right"], image, "--mask", smear_file), "in colour")
    assert refused(say("compare", images["right"], image, "--mask", tmp_path / "no.tif"), "no.tif")


def test_compare_writes_spectra(images, tmp_path, say):
    path = tmp_path / "spectrum.csv"
    status, _, err = say("compare", images["right"], images["lighter"], images["both"], "--spectrum", path)
    assert (status, err) == (0, [])
    with path.open(newline="") as file:
        header, *rows = csv.reader(file)
    both = images["both"]
    assert header == ["cycles per um", images["lighter"], f"{both} plane 0", f"{both} plane 1"]
    values = np.array(rows, float)
    assert values[-1, 0] == pytest.approx(5)  # Nyquist of 0.1 um
    np.testing.assert_allclose(values[:, 1:], 1)
    assert refused(say("compare", images["right"], images["lighter"], "--spectrum", path), "exists already")
    assert refused(
        say("compare", images["right"], images["lighter"], "--spectrum", tmp_path / "a" / "b.csv"), "no folder"
    )


def test_compare_leaves_out_what_does_not_apply_and_says_so(tmp_path, say):
    flat = write_tiff(tmp_path / "flat.tif", ImageStack(np.full((20, 20), 0.5, np.float32), "YX"))
    status, out, err = say("compare", flat, flat)
    assert status == 0
    assert out[0].split()[1:] == ["MSE", "MAE", "FPW", "MSEMG", "Sharpness", "CV"]
    assert sorted(line.split(": ")[1].split()[0] for line in err) == ["FR", "PSNR"]
    assert "--data-range" in "".join(err)
    _, out, _ = say("compare", flat, flat, "--data-range", 1)
    assert out[0].split()[3:5] == ["PSNR", "SSIM"]


def test_compare_refuses_what_cannot_be_compared(images, smear_file, broken_file, tmp_path, rng, say):
    holes = rng.uniform(size=(30, 36)).astype(np.float32)
    holes[0, 0] = np.nan
    path = write_tiff(tmp_path / "holes.tif", ImageStack(holes, "YX"))
    assert refused(say("compare", images["right"], path), path, "1 of 1080 values of plane 0 are NaN")
    assert refused(say("compare", path, images["right"]), "plane 0 of the reference are NaN")
    assert refused(say("compare", images["right"], smear_file), smear_file, "48 x 64 x 3", "30 x 36")
    assert refused(say("compare", broken_file, smear_file), "broken.tif")
    assert refused(say("compare", images["right"], images["right"], "--data-range", 0), "data_range is 0")
    status, out, err = say("compare", images["right"], broken_file, images["lighter"])
    assert (status, len(out), len(err)) == (2, 2, 1)


# --- models ----------------------------------------------------------------------------------------------------


def test_models_lists_what_there_is(home, say):
    status, out, err = say("models")
    assert (status, err) == (0, [])
    row = next(line for line in out if line.startswith("tiny"))
    assert row.split() == [
        *("tiny", "deblur", load_model("tiny").card.weights_sha256[:12], str(home / "tiny")),
        *"Does next to nothing".split(),
    ]
    cards = [json.loads(line) for line in say("models", "--json")[1]]
    assert cards[0]["name"] == "tiny"
    assert cards[0]["folder"] == str(home / "tiny")


def test_models_says_which_are_damaged(home, tmp_path, monkeypatch, say):
    monkeypatch.setenv("CELLRESTORE_MODELS", str(tmp_path))
    for name in ("good", "cardless", "weightless"):
        shutil.copytree(home / "tiny", tmp_path / name)
    (tmp_path / "cardless" / "card.json").write_text("{")
    (tmp_path / "weightless" / "weights.safetensors").unlink()
    status, out, err = say("models")
    assert status == 0
    assert any(str(tmp_path / "good") in line for line in out)
    assert [line.split()[:2] for line in out[-2:]] == [["cardless", "damaged"], ["weightless", "damaged"]]
    assert len(err) == 2
    assert f"{tmp_path / 'cardless' / 'card.json'}: the card is not JSON" in err[0]
    assert "weights.safetensors: the weights cannot be read" in err[1]


def test_models_shows_a_card(damaged, home, say):
    status, out, _ = say("models", "tiny")
    assert status == 0
    assert out[:2] == ["tiny (deblur)", "Does next to nothing"]
    assert "pixel size  0.1 um" in out
    assert "licence     not stated" in out
    start = out.index("On 3 held-out images of smears:")
    assert out[start + 1].split()[-1] == "0.5"
    assert [line.split() for line in out[start + 3 : start + 6]] == [
        ["tiny", "MSE", "PSNR"],
        ["0", "um", "1.25", "inf"],
        ["Mean", "–", "30"],
    ]
    assert out[-1] == "- anything"
    assert json.loads(say("models", home / "tiny", "--json")[1][0])["limits"] == ["anything"]
    assert say("models", "show", "tiny")[1] == out
    assert refused(say("models", damaged), "weights.safetensors: hash")
    assert refused(say("models", "polish"), "no model 'polish'")


def test_models_are_sent_and_put_in_order(home, tmp_path, monkeypatch, say):
    monkeypatch.setenv("CELLRESTORE_MODELS", str(tmp_path / "models"))
    status, out, _ = say("models", "export", home / "tiny", tmp_path)
    path = tmp_path / "tiny.cellrestore.zip"
    assert (status, out[0]) == (0, str(path))
    assert out[1] == f"SHA-256 {hashlib.sha256(path.read_bytes()).hexdigest()}"
    status, out, _ = say("models", "import", path, "--name", "small one")
    assert status == 0
    assert out[0].startswith("small one (")
    assert json.loads(say("models", "import", path, "--json")[1][0])["name"] == "tiny"
    assert refused(say("models", "import", path), "there is a model 'tiny' already", "such as 'tiny 2'")
    assert say("models", "rename", "tiny", "other")[1] == ["tiny is called other now"]
    assert refused(say("models", "delete", "other"), "nobody to ask here: add --yes")
    assert say("models", "delete", "other", "--yes")[1] == ["other is deleted"]
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["small one"]


def test_models_delete_asks(home, tmp_path, monkeypatch, say):
    monkeypatch.setenv("CELLRESTORE_MODELS", str(tmp_path))
    shutil.copytree(home / "tiny", tmp_path / "tiny")
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    for answer, status, left in (("n", 1, True), ("", 1, True), ("y", 0, False)):
        monkeypatch.setattr("builtins.input", lambda _question, answer=answer: answer)
        assert say("models", "delete", "tiny")[0] == status
        assert (tmp_path / "tiny").exists() == left


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("rename", "tiny"), "rename tiny: give cellrestore models rename NAME NEW"),
        (("export", "tiny"), "give cellrestore models export NAME PATH"),
        (("tiny", "other"), "'tiny' is nothing to do: use list, show, rename"),
        (("list", "--yes"), "--yes is for delete, not for list"),
        (("show", "tiny", "--name", "x"), "--name is for import, not for show"),
        (("delete", "deblur-fast", "--yes"), "is bundled with the program"),
    ],
)
def test_models_says_what_is_missing(say, words, message):
    assert refused(say("models", *words), message)


# --- report ----------------------------------------------------------------------------------------------------


@pytest.fixture
def reported(monkeypatch):
    """What would be reported, without making figures."""
    calls = []

    def make_report(folder, original, restored, **rest):
        calls.append({"original": original, "restored": restored, **rest})
        return Path(folder) / "report.html"

    monkeypatch.setattr("napari_cellrestore.report.make_report", make_report)
    return calls


def test_report_is_written(smear_file, tmp_path, say):
    arguments = ("report", "--input", smear_file, "--model", "tiny", "--out", tmp_path / "out")
    status, out, _ = say(*arguments)
    assert (status, out) == (0, [f"written {tmp_path / 'out' / 'report.html'}"])
    made = json.loads((tmp_path / "out" / "provenance.json").read_text(encoding="utf-8"))
    assert made["images"]["restored"]["provenance"]["model"] == "tiny"
    assert refused(say(*arguments), tmp_path / "out", "is not empty")


def test_report_of_a_plane_of_a_stack(focus_file, reported, tmp_path, say):
    arguments = ("report", "--input", focus_file, "--restored", focus_file, "--out", tmp_path / "out")
    status, _, err = say(*arguments, "--plane", 4, "--reference", "sharpest", "--data-range", 5)
    assert (status, err) == (0, [])
    (call,) = reported
    planes = open_stack(focus_file).data
    np.testing.assert_array_equal(call["original"].data, planes[4])
    np.testing.assert_array_equal(call["restored"].data, planes[4])
    np.testing.assert_array_equal(call["reference"].data, planes[2])
    assert call["stack"].axes == "ZYX"
    assert call["data_range"] == 5
    _, _, err = say(*arguments, "--plane", 2, "--reference", "sharpest")
    assert "plane 2 is the sharpest itself" in err[0]


def test_report_asks_for_what_it_needs(focus_file, smear_file, broken_file, reported, tmp_path, say):
    def report(path, *more):
        return say("report", "--input", path, "--out", tmp_path / "out", *more)

    restored = ("--restored", smear_file)
    assert refused(report(focus_file, *restored), focus_file, "it has 5 planes", "--plane")
    assert refused(report(focus_file, *restored, "--plane", 5), "plane 5 does not exist, there are 5 (0 to 4)")
    assert refused(report(smear_file, *restored, "--plane", 1), "plane 1 does not exist, there are 1 (0 to 0)")
    assert refused(report(smear_file, *restored, "--reference", "sharpest"), "needs a focus stack")
    assert refused(report(smear_file, "--restored", focus_file), focus_file, "it has 5 planes")
    assert refused(report(smear_file, "--model", "polish"), "no model 'polish'")
    assert refused(report(broken_file, *restored), "broken.tif")
    two = write_tiff(tmp_path / "two.tif", ImageStack(np.zeros((2, 3, 20, 20), np.uint8), "CZYX"))
    assert refused(report(two, *restored, "--plane", 1), "its planes lie along C and Z")
    assert not reported


# --- evaluate --------------------------------------------------------------------------------------------------


@pytest.fixture
def smears(tmp_path, rng):
    folder = tmp_path / "smears"
    folder.mkdir()
    for index in range(4):
        image = np.kron(rng.integers(60, 220, (8, 8, 3)), np.ones((6, 6, 1))).astype(np.uint8)
        imsave(folder / f"{index}.png", image, check_contrast=False)
    return folder


def test_evaluate_scores_the_test_images(smears, tmp_path, say):
    arguments = ("evaluate", "tiny", "--images", smears, 3, "--limit", 1)
    status, out, err = say(*arguments, "--out", tmp_path / "out")
    assert (status, [line for line in err if "stack" not in line]) == (0, [])
    table = score_held_out([smears / "0.png"], {"tiny": model_method(load_model("tiny"))})
    text = "\n".join(out)
    for expected in (table.by_level("tiny"), table.success("tiny", "fpw"), table.intervals()):
        assert expected.text() in text
    assert "too few images" in text
    home = tmp_path / "out" / "smears"
    assert (home / "tables" / "by-level-tiny.csv").read_text(encoding="utf-8") == table.by_level("tiny").csv()
    assert {"evaluation.html", "evaluation.pdf", "evaluation.json", "scores.csv", "ledger.jsonl"} <= {
        path.name for path in home.iterdir()
    }


def test_evaluation_goes_on_from_what_was_scored(smears, tmp_path, say, monkeypatch):
    arguments = ("evaluate", "tiny", "--images", smears, 3, "--out", tmp_path / "out", "--json")
    say(*arguments, "--limit", 1)
    ledger = tmp_path / "out" / "smears" / "ledger.jsonl"
    first = ledger.read_text().splitlines()
    with ledger.open("a") as file:
        file.write('{"sample": "3.png", "levels_um": [0.0,')  # cut off by a stop
    _, out, _ = say(*arguments)
    events = [json.loads(line) for line in out]
    assert [event["sample"] for event in events if "sample" in event] == ["3.png"]
    assert events[-1]["samples"] == ["0.png", "3.png"]
    assert ledger.read_text().splitlines()[:2] == first
    assert len(ledger.read_text().splitlines()) == 3
    (tmp_path / "mine" / "smears").mkdir(parents=True)
    (tmp_path / "mine" / "smears" / "thesis.txt").write_text("mine")
    assert refused(say(*arguments[:-3], "--out", tmp_path / "mine"), "holds no evaluation")
    assert refused(say(*arguments, "--classical"), "is of another evaluation (methods was")


def test_evaluate_with_classical_filters_as_json(smears, say):
    _, out, _ = say("evaluate", "tiny", "--images", smears, 4, "--classical", "--json")
    assert [json.loads(line)["done"] for line in out[:-1]] == [1]
    said = json.loads(out[-1])
    assert (said["source"], said["samples"]) == ("smears", ["0.png"])
    assert "by level, Wiener, true PSF" in said["tables"]
    assert len(said["tables"]["success rates"]["rows"]) == 8
    assert len(said["comparisons"]) == 10 * 5  # pairs of five methods, by five metrics


def test_evaluate_on_recorded_stacks_leaves_out_bad_ones(tmp_path, rng, say):
    folder = tmp_path / "stacks"
    folder.mkdir()
    for name in ("a", "b"):
        write_tiff(folder / f"{name}.ome.tif", blurred_stack(rng))
    (folder / "c.tif").write_bytes(b"II*\0nonsense")
    status, out, err = say("evaluate", "tiny", "--stacks", folder)
    assert status == 2
    assert any(line.startswith("Mind: c.tif is left out: ") for line in err)
    assert "tiny on 2 recorded focus stacks in stacks; 1 left out" in out[0]
    rows = [line for line in out if line.startswith("0 um")]
    assert rows[0].split()[2:4] == ["0", "1"]  # of the sharpest plane itself: MSE 0, SSIM 1


def test_what_was_left_out_is_tried_again(tmp_path, rng, say):
    folder = tmp_path / "stacks"
    folder.mkdir()
    write_tiff(folder / "a.ome.tif", blurred_stack(rng))
    (folder / "b.ome.tif").write_bytes(b"II*\0nonsense")
    arguments = ("evaluate", "tiny", "--stacks", folder, "--out", tmp_path / "out", "--json")
    assert say(*arguments)[0] == 2
    (folder / "b.ome.tif").unlink()
    write_tiff(folder / "b.ome.tif", blurred_stack(rng))
    status, out, _ = say(*arguments)
    assert status == 0
    assert json.loads(out[-1])["samples"] == ["a.ome.tif", "b.ome.tif"]
    assert read_evaluation(tmp_path / "out" / "stacks").left_out == {}
    assert refused(say(*arguments, "--z-step", 0.5), "z_step_um was None, now 0.5")


def blurred_stack(rng):
    """A colour focus stack that is sharpest at 0.2 um."""
    sharp = np.kron(rng.integers(60, 220, (8, 8, 3)), np.ones((6, 6, 1)))
    planes = [ndimage.gaussian_filter(sharp, (sigma, sigma, 0)) for sigma in (3, 2, 0, 2, 3)]
    return ImageStack(np.uint8(planes), "ZYXS", pixel_um=0.1, z_um=[-0.2, 0, 0.2, 0.4, 0.6])


def test_evaluate_refuses_what_it_cannot_measure(smears, home, tmp_path, say):
    shutil.copytree(home / "tiny", tmp_path / "stain")
    card = tmp_path / "stain" / "card.json"
    card.write_text(card.read_text().replace('"task": "deblur"', '"task": "stain"'))
    assert refused(say("evaluate", tmp_path / "stain", "--images", smears), "does 'stain'")
    assert refused(say("evaluate", "tiny", "--images", tmp_path / "none"), tmp_path / "none", "no such folder")
    assert refused(say("evaluate", "tiny", "--images", smears, "2"), "one whole number, 3 or more")
    assert refused(say("evaluate", "tiny"), "give --stacks FOLDER or --images FOLDER N")
    assert refused(say("evaluate", "tiny", "tiny", "--images", smears), "models of one name")
    assert refused(say("evaluate", "tiny", "--stacks", smears, "--images", smears), "folders of one name")
    assert refused(say("evaluate", "tiny", "--stacks", smears, "--classical"), "--classical needs --images")
    assert refused(say("evaluate", "tiny", "--stacks", smears, "--sharp", 1, 0), "lower end first")
    assert refused(say("evaluate", "tiny", "--stacks", smears, "--z-step", 0), "distance of the planes")
    assert refused(say("evaluate", "tiny", "--stacks", tmp_path / "none"), "no such folder")


def test_what_is_trained_can_be_shown_and_evaluated(smears, tmp_path, say):
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(
        "{name: mine, network: pix2pix-fast, options: {filters: 4, blocks: 4, norm: none, dropout: 0.0},"
        " losses: {rmse: 1.0}, steps: 2, batch: 1, crop_px: 32, pairs: {noise_gain: 0.01}}"
    )
    status, out, _ = say("train", recipe, "--images", smears, 4, "--folder", tmp_path / "run", "--json")
    assert status == 0
    assert [event["of"] for line in out if "of" in (event := json.loads(line))] == [2, 2]
    card = json.loads(say("models", tmp_path / "run" / "mine", "--json")[1][0])
    assert "smears: 2 images to train, 1 to validate, 1 to test" in card["data"]
    said = json.loads(say("evaluate", tmp_path / "run" / "mine", "--images", smears, 4, "--json")[1][-1])
    expected = card["held_out"][0]["mse_of_input"]
    assert said["of_input"]["mine"]["MSE"] == pytest.approx(expected, abs=1e-4)  # by the optics it was trained for
    assert refused(say("train", recipe, "--images", smears, "x", "--folder", tmp_path), "one whole number")


def test_folders_of_images_are_split_by_name(smears, tmp_path):
    splits = read_splits([[str(smears), "3"]])
    assert [path.name for path in splits["smears"].test] == ["0.png", "3.png"]
    (tmp_path / "other" / "smears").mkdir(parents=True)
    with pytest.raises(ValueError, match="another folder is called smears too"):
        read_splits([[str(smears)], [str(tmp_path / "other" / "smears")]])
    with pytest.raises(ValueError, match=r"other: 0 images cannot be split"):
        read_splits([[str(tmp_path / "other")]])


# --- real files --------------------------------------------------------------------------------------------------


@pytest.mark.real_data
def test_broken_files_are_named_in_one_line(real_data, tmp_path, capfd):
    paths = sorted((real_data / "tiffs" / "broken").iterdir())
    assert paths
    commands = [
        lambda path: ["info", path],
        lambda path: ["focus", path],
        lambda path: ["compare", path, path],
        lambda path: ["restore", path, "--model", "tiny", "--out", str(tmp_path / "out.tif")],
        lambda path: ["report", "--input", path, "--model", "tiny", "--out", str(tmp_path / "out")],
    ]
    for path in paths:
        for command in commands:
            assert main(command(str(path))) == 2
            (line,) = capfd.readouterr().err.splitlines()
            assert path.name in line
    assert not list(tmp_path.iterdir())


@pytest.mark.real_data
def test_the_stated_focus_of_a_real_stack(real_data, say):
    _, out, _ = say("focus", real_data / "focus_stacks" / "yeast_brightfield" / "BF.tif", "--json")
    said = json.loads(out[0])
    assert "contrast minimum at focus" in said["flags"]
    assert said["minimum"] == pytest.approx(15 * 0.3, abs=0.3)
