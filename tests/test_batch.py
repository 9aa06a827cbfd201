import csv
import json
import os

import numpy as np
import pytest

from napari_cellrestore.batch import LEDGER, Ledger, remove_unfinished, said, stamp
from napari_cellrestore.batch.ledger import HEADER, read_rows
from napari_cellrestore.cli import main
from napari_cellrestore.files import open_stack, write_tiff
from napari_cellrestore.files.zarr.writing import write_zarr
from napari_cellrestore.stack import ImageStack

MODEL, PLAN = "tiny (0123456789ab)", "44136fa355b3"


@pytest.fixture
def inputs(tmp_path, rng):
    """Three small images in colour."""
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(3):
        pixels = rng.integers(80, 200, (32, 48, 3)).astype(np.uint8)
        write_tiff(folder / f"f{number}.tif", ImageStack(pixels, "YXS", pixel_um=0.1))
    return folder


@pytest.fixture
def restore(inputs, tmp_path, say):
    """Restore by the command line; returns status, events, lines of errors."""

    def run(*arguments, paths=(inputs / "*.tif",)):
        line = ["restore", *paths, "--model", "deblur-fast", "--out", tmp_path / "out", "--json", *arguments]
        status, out, err = say(*line)
        return status, list(map(json.loads, out)), [line for line in err if not line.startswith("Mind: ")]

    return run


def written(events):
    return [os.path.basename(event["path"]) for event in events if event["event"] == "written"]


def table(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


# --- the ledger ----------------------------------------------------------------------------------------------


def noted(folder, path, target, reason="", **changes):
    ledger = Ledger(folder, **{"model": MODEL, "plan": PLAN, **changes})
    ledger.add(str(path), target, stamp(path), 1.5, reason)
    return ledger


def test_done_is_what_the_ledger_says_and_is_there_of_the_same_input_model_and_plan(inputs, tmp_path):
    path, target = str(inputs / "f0.tif"), tmp_path / "f0_tiny.ome.tif"
    noted(tmp_path, path, target)
    assert not Ledger(tmp_path, MODEL, PLAN).done(path, [target])  # the result is not there
    target.touch()
    assert Ledger(tmp_path, MODEL, PLAN).done(path, [target])
    assert not Ledger(tmp_path, MODEL, PLAN).done(path, [target, tmp_path / "f0_tiny_unsure.ome.tif"])
    assert not Ledger(tmp_path, "tiny (ba9876543210)", PLAN).done(path, [target])
    assert not Ledger(tmp_path, MODEL, "c0ffee").done(path, [target])
    os.utime(path, ns=(0, 1))
    assert not Ledger(tmp_path, MODEL, PLAN).done(path, [target])


def test_the_last_row_of_a_result_counts(inputs, tmp_path):
    path, target = str(inputs / "f0.tif"), tmp_path / "f0.ome.tif"
    target.touch()
    noted(tmp_path, path, target, reason="disk full")
    assert not Ledger(tmp_path, MODEL, PLAN).done(path, [target])
    noted(tmp_path, path, target)
    assert Ledger(tmp_path, MODEL, PLAN).done(path, [target])
    assert [row["status"] for row in table(tmp_path / LEDGER)] == ["failed", "done"]


def test_it_says_how_a_result_differs(inputs, tmp_path):
    path, target = str(inputs / "f0.tif"), tmp_path / "f0.ome.tif"
    noted(tmp_path, path, target)
    assert Ledger(tmp_path, MODEL, PLAN).differs(path, target) == ""
    assert Ledger(tmp_path, "large (f00)", PLAN).differs(path, target) == f"made by {MODEL}"
    assert Ledger(tmp_path, MODEL, "c0ffee").differs(path, target) == "made with other options"
    os.utime(path, ns=(0, 1))
    assert Ledger(tmp_path, MODEL, PLAN).differs(path, target) == "made before its input changed"
    assert Ledger(tmp_path, MODEL, PLAN).differs(path, tmp_path / "other.ome.tif") == ""


@pytest.mark.parametrize("kept", [0.0, 0.3, 0.9])
def test_a_row_that_was_cut_off_is_dropped_and_the_next_is_whole(inputs, tmp_path, kept):
    paths = [str(inputs / f"f{number}.tif") for number in range(3)]
    targets = [tmp_path / f"f{number}.ome.tif" for number in range(3)]
    ledger = noted(tmp_path, paths[0], targets[0])
    start = (tmp_path / LEDGER).stat().st_size
    ledger.add(paths[1], targets[1], stamp(paths[1]), 1.0)
    end = (tmp_path / LEDGER).stat().st_size
    os.truncate(tmp_path / LEDGER, start + int(kept * (end - start)))
    assert [row.input for row in read_rows(tmp_path / LEDGER)] == paths[:1]
    noted(tmp_path, paths[2], targets[2])
    assert [row.input for row in read_rows(tmp_path / LEDGER)] == [paths[0], paths[2]]


def test_an_empty_file_is_a_new_ledger(tmp_path):
    (tmp_path / LEDGER).touch()
    noted(tmp_path, "a.tif", tmp_path / "a.ome.tif")
    assert [row.input for row in read_rows(tmp_path / LEDGER)] == ["a.tif"]


def test_commas_quotes_line_ends_and_bytes_that_are_no_text(tmp_path):
    name = 'a, "b"\nc\udcff.tif'
    reason = "line 1\nline 2, still"
    Ledger(tmp_path, MODEL, PLAN).add(name, tmp_path / name, ("1", "2026"), 0.0, reason)
    content = (tmp_path / LEDGER).read_bytes()
    assert content.count(b"\n") == 2
    (row,) = read_rows(tmp_path / LEDGER)
    assert (row.input, row.reason) == (name.replace("\n", "\\n"), reason.replace("\n", "\\n"))


def test_another_table_of_that_name_is_refused(tmp_path):
    (tmp_path / LEDGER).write_text("mine\n")
    with pytest.raises(ValueError, match=r"restored\.csv: is no ledger of cellrestore restore; move it"):
        Ledger(tmp_path, MODEL, PLAN)
    assert (tmp_path / LEDGER).read_text() == "mine\n"


def test_stamp_of_files_folders_and_led_tables(tmp_path):
    image, planes = tmp_path / "cells.tif", tmp_path / "planes"
    (planes / "red").mkdir(parents=True)
    for path, size, ns in ((image, 5, 10**18 + 7), (planes / "0.tif", 3, 10**18), (planes / "red" / "1.tif", 4, 10**9)):
        path.write_bytes(b"x" * size)
        os.utime(path, ns=(0, ns))
    assert stamp(image) == ("5", "2001-09-09T01:46:40.000000007Z")
    assert stamp(planes) == ("7", "2001-09-09T01:46:40.000000000Z")
    (tmp_path / "cells.leds.csv").write_text("index\n")
    assert stamp(image)[0] == "11"
    assert stamp(tmp_path / "none.tif") == ("", "")


def test_stamp_of_a_zarr_changes_with_its_tiles(tmp_path):
    path = write_zarr(tmp_path / "a.ome.zarr", ImageStack(np.zeros((8, 8), np.uint8), "YX"))
    before, (tile,) = stamp(path), [one for one in (path / "0" / "c").rglob("*") if one.is_file()]
    os.utime(tile, ns=(0, 2 * 10**18))
    assert stamp(path) == (before[0], "2033-05-18T03:33:20.000000000Z")
    (path / "zarr.json").write_text("{")
    assert int(stamp(path)[0]) > 0


def test_only_what_is_unfinished_of_these_results_is_removed(tmp_path):
    kept = ["a.ome.tif", ".b.ome.tif.0123abcd.part", ".a.ome.tif.part", "a.ome.tif.0123abcd.part"]
    for name in [*kept, ".a.ome.tif.0123abcd.part"]:
        (tmp_path / name).touch()
    remove_unfinished(tmp_path, {"a.ome.tif"})
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(kept)


def test_errors_are_one_line():
    assert said(ValueError("two\nlines")) == "two lines"
    assert said(RuntimeError("not enough memory")) == "RuntimeError: not enough memory"
    assert said(OSError()) == "OSError: "


# --- batches -------------------------------------------------------------------------------------------------


def test_a_batch_goes_on_where_it_stopped(restore, inputs, tmp_path):
    status, events, err = restore()
    assert (status, err, written(events)) == (0, [], ["f0.tif", "f1.tif", "f2.tif"])
    assert events[-1] == {
        "event": "all",
        "done": 3,
        "before": 0,
        "failed": {},
        "ledger": str(tmp_path / "out" / LEDGER),
    }
    rows = table(tmp_path / "out" / LEDGER)
    assert tuple(rows[0]) == HEADER
    assert [row["status"] for row in rows] == ["done"] * 3
    (tmp_path / "out" / "f1_deblur-fast.ome.tif").unlink()
    status, events, err = restore()
    assert (status, err, written(events)) == (0, [], ["f1.tif"])
    assert events[0] == {"event": "before", "done": 2, "of": 3}
    assert restore("--overwrite")[1][-1]["done"] == 3
    assert written(restore(paths=[inputs / "f0.tif"])[1]) == []  # one that is done is done, too


def test_a_killed_run_leaves_no_litter(restore, tmp_path):
    restore()
    out = tmp_path / "out"
    (out / "f1_deblur-fast.ome.tif").unlink()
    (out / ".f1_deblur-fast.ome.tif.0123abcd.part").touch()
    restore()
    assert not list(out.glob(".*"))


def test_changed_inputs_and_other_options_are_said_and_nothing_is_written_over(restore, inputs, tmp_path):
    restore()
    result = tmp_path / "out" / "f0_deblur-fast.ome.tif"
    before = result.read_bytes()
    os.utime(inputs / "f0.tif", ns=(0, 10**18))
    status, events, err = restore()
    assert status == 2
    assert "was made before its input changed; give another --out, or --overwrite" in err[0]
    assert list(events[-1]["failed"]) == [str(inputs / "f0.tif")]
    status, _, err = restore("--intensity", "0", "200")
    assert (status, len(err)) == (2, 3)
    assert "was made with other options" in err[1]
    assert restore("--overwrite", "--engine", "auto")[0] == 0
    assert open_stack(result).data.shape == (32, 48, 3)
    assert result.read_bytes() != before  # a new file, as its own name says


def test_failures_end_nothing_are_listed_and_tried_again(restore, inputs, tmp_path, monkeypatch):
    (inputs / "broken.tif").write_bytes(b"II*\0garbage")
    status, events, err = restore()
    assert (status, len(err)) == (2, 1)
    assert written(events) == ["f0.tif", "f1.tif", "f2.tif"]
    assert list(events[-1]["failed"]) == [str(inputs / "broken.tif")]
    (row,) = [row for row in table(tmp_path / "out" / LEDGER) if row["status"] == "failed"]
    assert row["reason"].startswith("broken.tif: ")
    write_tiff(inputs / "broken.tif", open_stack(inputs / "f0.tif"), overwrite=True)
    status, events, _ = restore()
    assert (status, written(events)) == (0, ["broken.tif"])


def test_a_mistake_of_the_program_fails_one_stack_and_is_named(restore, tmp_path, monkeypatch):
    def out_of_memory(stack, *_):
        if stack.source.endswith("f1.tif"):
            raise RuntimeError("not enough memory: you tried to allocate 9 bytes")
        return write(stack, *_)

    from napari_cellrestore import restore as package

    write = package.restore_stack
    monkeypatch.setattr(package, "restore_stack", out_of_memory)
    status, events, err = restore()
    assert (status, written(events)) == (2, ["f0.tif", "f2.tif"])
    assert "f1.tif: RuntimeError: not enough memory" in err[0]


def test_an_input_folder_gets_no_ledger(inputs, capsys):
    assert main(["restore", str(inputs), "--model", "deblur-fast", "--out", str(inputs)]) == 2
    assert "lie in it" in capsys.readouterr().err
    assert not (inputs / LEDGER).exists()
