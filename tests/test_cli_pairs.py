"""``cellrestore pairs led`` from end to end, on simulated blood that is known."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from napari_cellrestore.cli import main
from napari_cellrestore.files import open_stack, write_tiff
from napari_cellrestore.leds import LedTable
from napari_cellrestore.rescan import Similarity, resample
from napari_cellrestore.simulate import WULFF_2022, DetectorNoise, defocus, led_stack
from napari_cellrestore.simulate.blood import blood_phantom
from napari_cellrestore.stack import ImageStack

PIXEL_UM = 0.25
LEDS = LedTable(
    index=[-1, 0, 1, 2, 3, 4, 5, 6],
    polar_deg=[0, 8, 8, 8, 35, 35, 35, 35],
    azimuth_deg=[0, 0, 120, 240, 0, 90, 180, 270],
    kind=["brightfield"] + ["point"] * 3 + ["darkfield"] * 4,
    gain=[1.0] * 4 + [30.0] * 4,
)
#: Where the stained scan lies in the phantom, of which the unstained one begins at 7.5 um.
STAINED_AT = Similarity(0.996, -1.2, (6.0, 9.0))


@pytest.fixture(scope="module")
def scans():
    """Two fields, each unstained and stained."""
    made = {}
    for seed in (4, 5):
        field = blood_phantom((660, 660), PIXEL_UM / 2, seed=seed, white_per_mm2=1500)
        part = field.crop(slice(60, 600), slice(60, 600))
        noise = DetectorNoise(0.01)
        unstained = led_stack(
            part.transmission(),
            part.pixel_um,
            WULFF_2022,
            LEDS,
            dtype="uint8",
            level=200,
            noise=noise,
            defocus_um=0.4,
            step=2,
        )
        light = defocus(235 * field.stained(), field.pixel_um, WULFF_2022, 0.0)
        light = resample(light, field.pixel_um, STAINED_AT.inverse(), PIXEL_UM, (264, 264), outside=235)
        light = light + np.random.default_rng(seed).normal(0, 1.2, light.shape)
        stained = ImageStack(np.clip(np.rint(light), 0, 255).astype(np.uint8), "YXS", pixel_um=PIXEL_UM)
        made[f"smear{seed}"] = unstained, stained
    return made


@pytest.fixture
def folders(tmp_path, scans):
    for which, folder in enumerate(("before", "after")):
        (tmp_path / folder).mkdir()
        for name, pair in scans.items():
            write_tiff(tmp_path / folder / f"{name}.tif", pair[which])
    return tmp_path


@pytest.fixture
def run(folders, say):
    """Pair the two folders: ``status, output lines, error lines``."""

    def run(*more, unstained="before", stained="after", out="pairs"):
        return say("pairs", "led", folders / unstained, folders / stained, "--out", folders / out, *more)

    return run


def test_two_folders_become_pairs(run, folders):
    status, out, err = run()
    assert (status, err) == (0, [])
    assert out[0].startswith("matched   smear4 (1 of 2): turned by -1.")
    with (folders / "pairs" / "pairs.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    accepted = {row["cell"] for row in rows if row["accepted"] == "1"}
    assert len(accepted) >= 4
    assert out[-1].startswith(f"{len(accepted)} of {len(rows)} pairs accepted, from 2 fields")
    truth = Similarity(shift_um=(-7.5, -7.5)).after(STAINED_AT)
    for row in rows:
        if row["accepted"] == "1":
            there = truth((float(row["stained_y_um"]), float(row["stained_x_um"])))
            missed = there - (float(row["y_um"]), float(row["x_um"]))
            assert np.hypot(*missed) < 0.5 * PIXEL_UM
            assert float(row["scale"]) == pytest.approx(0.996, abs=0.004)  # of a field of 66 um
    for folder in ("inputs", "targets"):
        assert {path.stem for path in (folders / "pairs" / folder).iterdir()} == accepted
    given = open_stack(folders / "pairs" / "inputs" / f"{min(accepted)}.tif")
    assert given.leds.columns()["polar_deg"] == LEDS.columns()["polar_deg"]


def test_pairs_can_be_trained_on(run, folders):
    from napari_cellrestore.pairs import match_folders

    run("--crop-px", "48")
    matched, notes = match_folders(folders / "pairs" / "inputs", folders / "pairs" / "targets")
    assert notes == []
    assert all(path.name == other.name for path, other in matched.items())
    assert open_stack(next(iter(matched))).yx_shape == (48, 48)


def test_a_dry_run_writes_nothing(run, folders):
    before = sorted(folders.rglob("*"))
    status, out, _ = run("--dry-run")
    assert status == 0
    assert out[-1].endswith("nothing was written")
    assert sorted(folders.rglob("*")) == before


def test_a_slide_put_in_twice_is_told_from_another(run, folders, scans):
    """The stained scan of another field: one line that says so, the other field is paired, and the status is 2."""
    write_tiff(folders / "after" / "smear5.tif", scans["smear4"][1], overwrite=True)
    (folders / "before" / "broken.tif").write_bytes(b"II*\0nothing")
    write_tiff(folders / "after" / "broken.tif", scans["smear4"][1])
    write_tiff(folders / "before" / "lonely.tif", scans["smear4"][0])
    status, out, err = run()
    assert status == 2
    assert out[0].startswith("matched   smear4")
    assert len(err) == 3
    assert "lonely.tif: no stained scan of this name; left out" in err[0]
    assert "broken.tif" in err[1]
    assert "smear5: no match: at the best place edges correlate by" in err[2]
    with (folders / "pairs" / "fields.csv").open(newline="", encoding="utf-8") as file:
        reasons = {row["field"]: row["reason"] for row in csv.DictReader(file)}
    assert reasons["smear4"] == ""
    assert reasons["smear5"].startswith("no match")
    assert reasons["broken"]


def test_json_has_a_line_for_each_field_and_cell(run):
    status, out, _ = run("--json", "--dry-run")
    events = [json.loads(line) for line in out]
    assert status == 0
    fields = [event for event in events if "field" in event]
    assert [event["field"] for event in fields] == ["smear4", "smear5"]
    assert all(event["certainty"] > 7 for event in fields)
    assert sum("cell" in event for event in events) == sum(event["cells"] for event in fields)


def test_where_all_are_refused_the_tables_say_why(run, folders, scans):
    write_tiff(folders / "other.tif", scans["smear4"][1])
    status, _, err = run(unstained="before/smear5.tif", stained="other.tif")
    assert status == 2
    assert "no pair could be accepted, the tables are in" in err[-1]
    with (folders / "pairs" / "fields.csv").open(newline="", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert (row["accepted"], row["reason"][:8]) == ("0", "no match")
    assert (folders / "pairs" / "pairs.csv").read_text(encoding="utf-8").startswith("cell,field,")


def refused(result, *parts):
    status, _, err = result
    assert status == 2
    assert all(part in err[-1] for part in parts), err
    return True


def test_what_cannot_be_is_one_line(run, folders, scans):
    unstained, stained = scans["smear4"]
    write_tiff(folders / "blank.tif", stained.replace(pixel_um=None))
    write_tiff(folders / "plain.tif", unstained.replace(leds=None))
    one = {"unstained": "before/smear4.tif", "stained": "after/smear4.tif"}
    assert refused(
        run(unstained="before/smear4.tif", stained="blank.tif"), "pixel size of the stained scan is not known"
    )
    assert refused(run(unstained="plain.tif", stained="after/smear4.tif"), "no LED table")
    assert refused(
        run("--hue", "100", "140", out="green", **one), "no white cells in the stained scan, by hue 100 to 140 deg"
    )
    assert refused(run("--look", "shape", **one), "unknown look 'shape'")
    assert refused(run("--na", "-1", **one), "na is -1")
    assert refused(run(unstained="nowhere"), "there is no such file or folder")
    assert refused(run(out="after"), "exists already; give another folder")
    assert refused(run(out="blank.tif/pairs"), "blank.tif is a file; give a name in a folder")
    assert refused(run(out="nowhere/pairs"), "there is no folder", "make it first")
    assert not (folders / "pairs").exists()


def test_a_pixel_size_can_be_given(run, folders, scans):
    write_tiff(folders / "blank.tif", scans["smear4"][1].replace(pixel_um=None))
    status, out, _ = run("--pixel-um", "0.25", unstained="before/smear4.tif", stained="blank.tif")
    assert status == 0
    assert "from 1 field;" in out[-1]


def test_a_pixel_size_for_both_does_not_change_what_the_stained_file_states(run, folders, scans):
    write_tiff(folders / "blank.tif", scans["smear4"][0].replace(pixel_um=None))
    options = {"unstained": "blank.tif", "stained": "after/smear4.tif"}
    _, out, _ = run("--pixel-um", "0.3", "--dry-run", **options)
    said = "stained smear4.tif states pixels of 0.25 um, pixel_um is 0.3: what the file states is taken"
    assert sum(line.strip().endswith(said) for line in out) == 1


def test_kinds_of_pairs_are_listed(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["pairs", "--help"])
    assert "led" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="2"):
        main(["pairs"])
    assert capsys.readouterr().err.count("\n") == 1
