"""The table of robustness: hand-made methods and defects with known scores, and its command line."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest
from scipy import ndimage
from skimage.io import imsave

from napari_cellrestore.cli import main
from napari_cellrestore.evaluate import mean_interval, robustness
from napari_cellrestore.files import write_tiff
from napari_cellrestore.filters import undo_scan_shear
from napari_cellrestore.metrics import METRICS
from napari_cellrestore.model import load_model
from napari_cellrestore.simulate import DEFECTS, Defect, draw_smear
from napari_cellrestore.stack import ImageStack


def scenes(number=7, shape=(64, 72)):
    rng = np.random.default_rng(0)
    return [100 + 400 * ndimage.gaussian_filter(rng.normal(0, 1, shape), 2) for _ in range(number)]


def darker(image, strength, rng):
    return np.asarray(image) - strength


DARKER = {"darker": Defect("darker", "darker", darker, (2.0, 6.0), "grey levels", "Takes away grey levels.")}
METHODS = {"as it is": lambda image: image, "brighter": lambda image: image + 2.0}


def by(table, **wanted):
    (row,) = [row for row in table.rows if all(getattr(row, key) == value for key, value in wanted.items())]
    return row


# --- scores


def test_scores_by_hand():
    table = robustness(scenes(), METHODS, metrics=["mse", "mae"], defects=DARKER)
    assert len(table.rows) == 3 * 2 * 2
    row = by(table, defect="darker", strength=6.0, method="brighter", metric="mse")
    assert (row.before[0], row.after[0]) == (pytest.approx(36), pytest.approx(16))
    assert row.change == pytest.approx((-20, -20, -20))
    assert row.kept[0] == pytest.approx(36)  # against what it makes of the undamaged image
    assert (row.unit, row.images, row.verdict) == ("grey levels", 7, "helps")
    none = by(table, defect="none", method="brighter", metric="mae")
    assert (none.before[0], none.after[0], none.kept[0]) == (0, pytest.approx(2), 0)
    assert none.verdict == "harms"
    assert by(table, strength=2.0, method="as it is", metric="mse").verdict == "no difference shown"


def test_intervals_are_those_of_the_means_over_images():
    images = scenes()
    table = robustness(
        images, {"undo": undo_scan_shear}, metrics=["mse"], defects={"s": DEFECTS["bidirectional_shear"]}
    )
    row = by(table, strength=2.0)
    expected = [np.square(DEFECTS["bidirectional_shear"](one, 2.0, None) - one).mean() for one in images]
    assert row.before == pytest.approx(mean_interval(expected))
    assert row.before[1] < row.before[0] < row.before[2]
    assert row.after[0] < 0.05 * row.before[0]
    assert row.verdict == "helps"


def test_a_truth_of_its_own_is_what_is_compared_with():
    pairs = [(image, image + 2.0) for image in scenes(6)]
    table = robustness(pairs, METHODS, metrics=["mse"], defects=DARKER)
    none = {method: by(table, defect="none", method=method) for method in METHODS}
    assert none["as it is"].after[0] == pytest.approx(4)
    assert none["brighter"].after[0] == pytest.approx(0, abs=1e-9)


def test_noise_depends_on_the_seed_the_image_and_the_strength_alone():
    images, noise = scenes(3), {"noise": DEFECTS["detector_noise"]}
    options = {"metrics": ["mse"], "defects": noise}
    table = robustness(images, METHODS, **options)
    assert table == robustness(images, METHODS, **options)
    assert table != robustness(images, METHODS, seed=1, **options)
    alone = robustness(images, {"as it is": METHODS["as it is"]}, **options)
    assert {row.before for row in alone.rows} == {row.before for row in table.rows}
    second = robustness(images, METHODS, metrics=["mse"], defects=DARKER | noise)
    of_noise = [row for row in table.rows if row.defect == "detector noise"]
    assert [row for row in second.rows if row.defect == "detector noise"] == of_noise


def test_identical_images_count_50_db_and_types_tell_the_span():
    images = [image.clip(0, 255).astype(np.uint8) for image in scenes(2)]
    table = robustness(images, {"float": lambda image: image.astype(np.float32)}, metrics=["psnr", "ssim", "cv"])
    none = by(table, defect="none", metric="psnr")
    assert none.before[0] == none.after[0] == none.kept[0] == 50
    assert none.verdict == "not judged"  # how far above 50 is not known
    assert "**PSNR**, dB, at most 50 (2 images)" in table.markdown()
    assert by(table, defect="none", metric="cv").kept is None
    assert by(table, defect="none", metric="cv").verdict == "not judged"
    assert by(table, defect="line step", strength=4.0, metric="ssim").verdict == "too few images"
    assert {row.defect for row in table.rows} == {"none", *(defect.label for defect in DEFECTS.values())}


def test_images_are_not_changed_and_may_come_one_after_another():
    images = scenes(2)
    before = [image.copy() for image in images]
    robustness((image for image in images), METHODS, metrics=["mse"], data_range=255)
    for image, old in zip(images, before, strict=True):
        np.testing.assert_array_equal(image, old)


def smear(dtype, full):
    drawn = draw_smear((64, 72), 0.25, np.random.default_rng(0))
    return (drawn * (0.99 * full / drawn.max())).astype(dtype)


@pytest.mark.parametrize(("dtype", "full"), [("float32", 1), ("uint16", 4095)])
def test_a_model_restores_an_image_with_a_defect_by_the_plan_of_the_image_without(dtype, full):
    """Noise reaches beyond the full scale that is taken of the image, which stays what it was."""
    image, noise = smear(dtype, full), {"noise": DEFECTS["detector_noise"]}
    options = {"metrics": ["mse"], "defects": noise, "data_range": full}
    model = load_model("enhance-smear")
    guessed = robustness([image], {"model": model}, **options)
    given = robustness([ImageStack(image, "YXS")], {"model": model}, intensity=(0, full), **options)
    assert guessed.rows == given.rows
    assert all(row.after[0] < 1.05 * row.before[0] for row in given.rows if row.defect != "none")
    assert sum("full scale" in text for _, text in guessed.notes) == 1
    assert not any("full scale" in text for _, text in given.notes)


def test_an_image_that_cannot_be_scored_is_left_out_where_asked():
    images = [*scenes(1), np.zeros((64, 72)), *scenes(2)]
    options = {"metrics": ["cv"], "defects": DARKER}
    methods = {"as it is": METHODS["as it is"]}
    table = robustness(images, methods, keep_going=True, **options)
    assert {row.images for row in table.rows} == {3}
    ((number, why),) = table.left_out
    assert number == 1
    assert "the image has mean 0" in why
    with pytest.raises(ValueError, match="the image has mean 0"):
        robustness(images, methods, **options)
    with pytest.raises(ValueError, match="none of 1 images can be scored: the image has mean 0"):
        robustness(images[1:2], methods, keep_going=True, **options)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: robustness([], METHODS), "there are no images"),
        (lambda: robustness(scenes(1), {}), "there are no methods"),
        (lambda: robustness(scenes(1), {"half": lambda image: image[::2]}, metrics=["mse"]), r"'half' made \(32, 72\)"),
        (lambda: robustness(scenes(1), METHODS, metrics=["psnr"]), "give data_range"),
        (lambda: robustness(scenes(1), METHODS, metrics=["mad"]), r"unknown metrics \['mad'\]"),
        (lambda: robustness(scenes(1), METHODS, metrics=["mse"], defects=DARKER).of("ssim"), "no scores by 'ssim'"),
    ],
)
def test_wrong_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# --- what is written


def test_tables_that_are_written_hold_the_numbers():
    table = robustness(scenes(), METHODS, metrics=["mse", "sharpness"], defects=DARKER)
    rows = list(csv.DictReader(io.StringIO(table.csv())))
    assert len(rows) == len(table.rows)
    for text, row in zip(rows, table.rows, strict=True):
        assert float(text["after_low"]) == row.after[1]
        assert (text["method"], text["verdict"]) == (row.method, row.verdict)
        assert (text["kept"] == "") == (row.kept is None)
    said = json.loads(json.dumps(table.as_dict()))
    assert said["rows"][0]["before"] == list(table.rows[0].before)
    lines = table.markdown().splitlines()
    assert (
        "| darker | 6 grey levels | 36 (36 to 36) | 36 (36 to 36) | 16 (16 to 16) | 36 (36 to 36) | 36 (36 to 36) |"
        in lines
    )
    assert lines[0] == "**MSE**, grey levels² (7 images)"
    widths = {line.count("|") for line in lines[2:7]}
    assert widths == {8}


def test_the_mean_of_few_images_is_said_alone():
    lines = robustness(scenes(5), METHODS, metrics=["mse"], defects=DARKER).markdown().splitlines()
    assert "| darker | 6 grey levels | 36 | 36 | 16 | 36 | 36 |" in lines
    table = robustness(scenes(5), METHODS, metrics=["mse"], defects=DARKER)
    assert all(np.isnan(row.before[1:]).all() for row in table.rows)
    row = next(csv.DictReader(io.StringIO(table.csv())))
    assert (row["before"], row["before_low"], row["after_high"]) == ("0.0", "", "")


def test_grey_levels_of_other_types_are_not_mixed():
    bytes_, words = scenes(2)[0].clip(0, 255).astype(np.uint8), scenes(2)[1].clip(0, 255).astype(np.uint16)
    with pytest.raises(ValueError, match="it is uint16, those before are uint8: give images of one type"):
        robustness([bytes_, words], METHODS, metrics=["mse"], defects={})
    table = robustness([bytes_, words, bytes_], METHODS, metrics=["mse"], defects={}, keep_going=True)
    assert [number for number, _ in table.left_out] == [1]
    assert table.rows[0].images == 2


def test_psnr_of_12_bit_is_over_what_is_given_and_else_said():
    images = [(16 * image.clip(0, 255)).astype(np.uint16) for image in scenes(2)]
    options = {"metrics": ["psnr"], "defects": DARKER}
    told = robustness(images, METHODS, intensity=(0, 4095), **options)
    assert told == robustness(images, METHODS, data_range=4095, **options)
    pairs = [(image, (image // 16).astype(np.uint8)) for image in images]  # the range is that of the images
    assert robustness(pairs, METHODS, intensity=(0, 4095), **options) == robustness(pairs, METHODS, **options)
    guessed = robustness(images, METHODS, **options)
    assert not told.notes
    ((number, note),) = guessed.notes
    assert number == 0
    assert "over 0 to 65535, the image reaches" in note


# --- command line


@pytest.fixture
def folder(tmp_path):
    home = tmp_path / "good"
    home.mkdir()
    for number, scene in enumerate(scenes(2)):
        imsave(home / f"{number}.png", scene.clip(0, 255).astype(np.uint8), check_contrast=False)
    return home


def test_the_command_prints_a_table_and_writes_it(folder, tmp_path, capsys):
    out = tmp_path / "table.csv"
    (folder / "notes.txt").write_text("no image")
    line = ["robustness", "--images", str(folder), "--filter", "undo_scan_shear", "--defects", "bidirectional_shear"]
    assert main([*line, "--metrics", "mse", "--csv", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "| bidirectional shear | 4 px |" in printed
    rows = list(csv.DictReader(io.StringIO(out.read_text(encoding="utf-8"))))
    assert {row["images"] for row in rows} == {"2"}
    assert all(float(row["after"]) < 0.1 * float(row["before"]) for row in rows if row["defect"] != "none")
    assert main([*line, "--csv", str(out)]) == 2
    assert "exists already" in capsys.readouterr().err


def command(folder, defect):
    """Words of the command line."""
    how = ["--filter", "mean", "--metrics", "mse", "--json", "--defects", defect]
    return ["robustness", "--images", str(folder), *how]


def test_what_cannot_be_read_is_left_out_and_said(folder, tmp_path, capsys):
    (folder / "broken.tif").write_bytes(b"II*\0garbage and nothing else")
    truth = tmp_path / "truth"
    truth.mkdir()
    imsave(truth / "0.png", np.full((64, 72), 90, np.uint8), check_contrast=False)
    imsave(truth / "1.png", np.full((64, 70), 90, np.uint8), check_contrast=False)
    line = command(folder, "line_step")
    assert main(line) == 2
    out, err = capsys.readouterr()
    assert json.loads(out)["left_out"] == ["broken.tif"]
    assert "broken.tif" in err
    assert main([*line, "--truth", str(truth), "--limit", "2"]) == 2
    out, err = capsys.readouterr()
    assert json.loads(out)["rows"][0]["images"] == 1
    assert "both must be of one size" in err


def test_what_cannot_be_scored_is_left_out_and_said(folder, capsys):
    line = ["robustness", "--images", str(folder), "--filter", "mean", "--defects", "line_step", "--json"]
    imsave(folder / "0a_black.png", np.zeros((64, 72), np.uint8), check_contrast=False)
    assert main([*line, "--metrics", "cv"]) == 2
    out, err = capsys.readouterr()
    assert json.loads(out)["left_out"] == ["0a_black.png"]
    assert json.loads(out)["rows"][0]["images"] == 2
    assert "0a_black.png: the image has mean 0" in err
    assert "Mind: 2 images: each number is a mean alone, from 6 images on" in err
    write_tiff(folder / "2.tif", ImageStack(scenes(1)[0].astype(np.float32), "YX"))
    assert main([*line, "--metrics", "psnr"]) == 2
    assert "2.tif: it is float32, those before are uint8: give images of one type" in capsys.readouterr().err
    for path in folder.glob("*.png"):
        path.unlink()
    assert main([*line, "--metrics", "psnr"]) == 2
    assert "none of 1 images can be scored: the reference has dtype float32" in (err := capsys.readouterr().err)
    assert "give --data-range (255 for 8 bit, 4095 for 12 bit, 1 for 0 to 1)\n" in err
    assert main([*line, "--metrics", "mad"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        f"cellrestore robustness: unknown metrics ['mad']: use {', '.join(METRICS)}"
    ]


def test_models_take_the_intensity_and_the_pixel_size_of_the_image_without_a_defect(tmp_path, capsys):
    write_tiff(tmp_path / "a.tif", ImageStack(smear("float32", 1), "YXS", pixel_um=0.9))
    line = ["robustness", "enhance-smear", "--images", str(tmp_path), "--metrics", "mse", "--json"]
    line += ["--defects", "detector_noise"]
    assert main(line) == 0
    out, err = capsys.readouterr()
    said = json.loads(out)
    assert all(row["after"][0] < 1.05 * row["before"][0] for row in said["rows"] if row["defect"] != "none")
    assert err.count("the full scale of float32 is not stated") == 1
    assert "state the full scale (--intensity)" in err
    assert "0.9 um" in err
    assert any("a.tif: the full scale" in note for note in said["notes"])
    assert main([*line, "--intensity", "0", "1"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["rows"] == said["rows"]
    assert "full scale" not in err
    assert main([*line, "--intensity", "1", "0"]) == 2
    assert "--intensity is [1.0, 0.0]" in capsys.readouterr().err


def stating(folder, *sizes_um):
    """Write images that state the size of their pixels."""
    for number, (scene, pixel_um) in enumerate(zip(scenes(len(sizes_um)), sizes_um, strict=True)):
        (folder / f"{number}.png").unlink(missing_ok=True)
        write_tiff(
            folder / f"{number}.tif",
            ImageStack(scene.clip(0, 255).astype(np.uint8), "YX", pixel_um=pixel_um),
            overwrite=True,
        )


def test_the_size_of_a_pixel_is_the_stated_one(folder, capsys):
    line = command(folder, "wrong_immersion")

    def rows(*more):
        assert main([*line, *more]) == 0
        out, err = capsys.readouterr()
        minds = [line for line in err.splitlines() if "each number is a mean alone" not in line]
        return json.loads(out)["rows"], "\n".join(minds)

    _, err = rows()
    assert "Mind: the images state no pixel size, 0.25 um is taken" in err
    given_rows, err = rows("--pixel-um", "0.1")
    assert err == ""
    stating(folder, 0.1, 0.1)
    stated_rows, err = rows()
    assert err == ""
    assert stated_rows == given_rows == rows("--pixel-um", "0.1")[0]
    assert main([*line, "--pixel-um", "0.2"]) == 2
    assert "--pixel-um 0.2: the images state pixels of 0.1 um; leave it out" in capsys.readouterr().err
    stating(folder, 0.1, 0.2)
    assert main(line) == 2
    assert "the images have pixels of 0.1 to 0.2 um: give images of one size" in capsys.readouterr().err
    assert main([*line[:-1], "line_step"]) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--filter", "wiener"], "unknown filter 'wiener': use gaussian, mean"),
        ([], "name a model, or a filter"),
        (["--filter", "mean", "--defects", "dust"], "unknown defect 'dust': use bidirectional_shear"),
        (["--filter", "mean", "--pixel-um", "0"], "pixel_um is 0"),
        (["--filter", "mean", "--pixel-um", "0.5"], "--pixel-um 0.5 --na 0.5: pixels of 0.5 um alias"),
        (["--filter", "mean", "--na", "1.4"], "--na 1.4: the lens that gets the oil is a dry one"),
        (["--filter", "mean", "--truth", "nowhere"], "nowhere: there is no such folder"),
        (["no-such-model"], "no-such-model"),
    ],
)
def test_wrong_options_are_one_line(folder, arguments, message, capsys):
    assert main(["robustness", *arguments, "--images", str(folder)]) == 2
    err = capsys.readouterr().err.splitlines()
    assert len(err) == 1
    assert message in err[0]
