from __future__ import annotations

import csv
import json
import subprocess
import sys

import dask.array as da
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_cellrestore.cli import main
from napari_cellrestore.files import open_stack, write_tiff
from napari_cellrestore.files.zarr.writing import write_zarr
from napari_cellrestore.focus import FocusCurve, focus_curve
from napari_cellrestore.prepare import TABLE, peaks_within, prepare_folder, prepare_stack, recentre, stacks_in, trim
from napari_cellrestore.segment import crop_around_nucleus, largest_nucleus
from napari_cellrestore.simulate import defocus_stack, draw_smear, smear_objectives
from napari_cellrestore.stack import ImageStack

#: As Olofsson & Wagnström 2019 acquired them: 17 planes, 0.2 um apart.
Z_UM = np.round(np.arange(-1.6, 1.61, 0.2), 6)


def stack_peaking_at(peak_um, z_um=Z_UM, shape=(48, 56), drift_px=(0, 0)):
    """A texture whose contrast falls from a plane on, drifting by whole pixels from plane to plane."""
    scene = ndimage.gaussian_filter(np.random.default_rng(7).normal(0, 900, (130, 140)), 2)
    planes = []
    for number, z in enumerate(np.asarray(z_um)):
        top, left = 40 + drift_px[0] * number, 40 + drift_px[1] * number
        contrast = 1 / (1 + (z - peak_um) ** 2)
        planes.append(30000 + contrast * scene[top : top + shape[0], left : left + shape[1]])
    return ImageStack(np.array(planes).astype(np.uint16), "ZYX", pixel_um=0.1, z_um=z_um)


# --- steps


def test_recentring_moves_z_and_not_pixels():
    stack = stack_peaking_at(0.4)
    centred = recentre(stack)
    assert centred.data is stack.data
    assert centred.z_um.tolist() == pytest.approx((Z_UM - 0.4).tolist())
    assert centred.z_um[focus_curve(stack).peak_index] == 0
    assert stack.z_um.tolist() == Z_UM.tolist()
    assert recentre(centred).z_um.tolist() == centred.z_um.tolist()


def test_recentring_by_the_curve_of_a_part():
    curve = focus_curve(stack_peaking_at(-0.2))
    assert recentre(stack_peaking_at(0.4), curve).z_um[7] == 0
    with pytest.raises(ValueError, match="curve has 17 planes, the stack 5"):
        recentre(stack_peaking_at(0, Z_UM[:5]), curve)


def test_recentring_on_a_plane_that_is_not_the_sharpest():
    stack = stack_peaking_at(0.4)
    assert recentre(stack, plane=3).z_um.tolist() == pytest.approx((Z_UM - Z_UM[3]).tolist())
    with pytest.raises(ValueError, match="plane is 17: the stack has planes 0 to 16"):
        recentre(stack, plane=17)


@pytest.mark.parametrize(("peak", "kept"), [(-0.4, False), (-0.2, True), (0.0, True), (0.4, True), (0.6, False)])
def test_the_interval_of_the_source_holds_its_four_planes(peak, kept):
    assert peaks_within(focus_curve(stack_peaking_at(peak)), -0.2, 0.4) is kept


def test_the_ranges_of_the_source_leave_14_planes_from_every_kept_peak():
    stacks = trim([recentre(stack_peaking_at(peak)) for peak in (-0.2, 0, 0.2, 0.4)], -1.4, 1.2)
    expected = np.round(np.arange(-1.4, 1.21, 0.2), 6)
    for stack in stacks:
        assert stack.z_um.tolist() == pytest.approx(expected.tolist())
        assert focus_curve(stack).peak_index == 7


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 7), st.integers(0, 7), st.booleans())
def test_trimming_keeps_exactly_the_planes_inside(first, last, falling):
    low, high = sorted((Z_UM[first], Z_UM[-1 - last]))
    z_um = Z_UM[::-1] if falling else Z_UM
    stack = ImageStack(np.arange(17.0)[:, None, None] + np.zeros((17, 2, 2)), "ZYX", z_um=z_um)
    trimmed = trim(stack, low + 4e-4, high - 4e-4)  # less than a nanometre
    inside = (z_um >= low - 1e-9) & (z_um <= high + 1e-9)
    assert trimmed.z_um.tolist() == z_um[inside].tolist()
    assert trimmed.data[:, 0, 0].tolist() == np.flatnonzero(inside).tolist()


def test_what_cannot_be_trimmed():
    stack = stack_peaking_at(0)
    with pytest.raises(ValueError, match=r"planes from -1.6 to 1.6 um do not cover -1.8 to 1.2 um"):
        trim(stack, -1.8, 1.2)
    with pytest.raises(ValueError, match=r"z range is 1 to -1 um: give the lower end first"):
        trim(stack, 1, -1)
    with pytest.raises(ValueError, match="positions of its planes along z are not known"):
        trim(stack.replace(z_um=None), -1, 1)
    with pytest.raises(ValueError, match=r"stack 1 has its planes at -0\.3, 0, 0\.3 um, stack 0 at -0\.4, -0\.2"):
        trim([stack, stack_peaking_at(0, [-0.6, -0.3, 0, 0.3, 0.6])], -0.4, 0.4)
    with pytest.raises(ValueError, match="curve counts planes"):
        peaks_within(FocusCurve(np.arange(3.0), np.ones(3), 0, 0.0, z_unit="plane"), -1, 1)


# --- one stack


def test_a_drifting_stack_is_recentred_trimmed_and_aligned():
    stack = stack_peaking_at(0.2, drift_px=(1, -2))
    prepared = prepare_stack(stack)
    assert prepared.reason == ""
    assert prepared.curve.z_um[prepared.curve.peak_index] == pytest.approx(0.2)
    steps = np.arange(14) - 7
    assert prepared.shifts_px.tolist() == np.outer(steps, (1, -2)).tolist()
    still = stack_peaking_at(0.2).data[2:16]  # with its sharpest plane where it is at 0.2 um
    assert prepared.stack.data.shape == (14, 48 - 13, 56 - 26)
    sharp = stack.data[9, 6:-7, 14:-12]
    assert np.array_equal(prepared.stack.data[7], sharp)
    for plane, one in zip(prepared.stack.data, still, strict=True):
        contrast = one.astype(float).std() / still[7].astype(float).std()
        assert np.abs(30000 + contrast * (sharp - 30000.0) - plane).max() < 3
    assert prepared.stack.provenance["cropped"] == {"rows": [6, 41], "columns": [14, 44]}


def test_a_stack_in_place_is_not_touched_and_dask_stays_lazy():
    stack = stack_peaking_at(0)
    lazy = stack.replace(data=da.from_array(stack.data, chunks=(1, 48, 56)))
    prepared = prepare_stack(lazy)
    assert isinstance(prepared.stack.data, da.Array)
    assert np.array_equal(prepared.stack.data.compute(scheduler="synchronous"), stack.data[1:15])
    assert not prepared.shifts_px.any()


def test_steps_can_be_left_out():
    stack = stack_peaking_at(0.8, drift_px=(1, 0))
    prepared = prepare_stack(stack, keep_um=None, range_um=None, align=False)
    assert prepared.shifts_px is None
    assert prepared.stack.data is stack.data
    assert prepared.stack.z_um[12] == 0
    alone = prepare_stack(stack, keep_um=None, range_um=(0, 0))
    assert np.array_equal(alone.stack.data, stack.data[12:13])


def test_the_square_holds_the_nucleus_and_what_it_shows_is_as_sharp():
    smear = draw_smear((200, 220), 0.1, np.random.default_rng(2))
    stack = defocus_stack(smear, 0.1, smear_objectives(), [-0.8, -0.4, 0, 0.4, 0.8])
    options = {"range_um": (-0.8, 0.8), "crop_px": 120, "jitter_px": 15, "align": False}
    prepared = prepare_stack(stack, rng=np.random.default_rng(1), **options)
    assert prepared.stack.yx_shape == (120, 120)
    square = prepared.stack.provenance["cropped"]
    y, x = largest_nucleus(stack.select("Z", 2)).centroid_px
    assert square["rows"][0] < y < square["rows"][1]
    assert square["columns"][0] < x < square["columns"][1]
    assert np.array_equal(prepared.stack.data, stack.data[:, slice(*square["rows"]), slice(*square["columns"])])
    again = prepare_stack(stack, rng=np.random.default_rng(1), **options)
    assert again.stack.provenance == prepared.stack.provenance


def test_the_nucleus_can_be_looked_for_in_another_plane_than_the_sharpest():
    planes = np.full((2, 100, 100, 3), 230, np.uint8)
    planes[0, 10:40, 10:40] = planes[1, 50:80, 50:80] = 90, 50, 150
    squares = [crop_around_nucleus(planes, 30, plane=plane, jitter_px=0)[1] for plane in (0, 1)]
    assert squares == [(slice(10, 40), slice(10, 40)), (slice(50, 80), slice(50, 80))]
    with pytest.raises(ValueError, match="plane is 2: the stack has planes 0 to 1"):
        crop_around_nucleus(planes, 30, plane=2, jitter_px=0)


@pytest.mark.parametrize(
    ("stack", "reason"),
    [
        (stack_peaking_at(0.6), "sharpest at 0.6 um, outside -0.2 to 0.4 um"),
        (stack_peaking_at(0.0, Z_UM[4:]), "planes from -0.8 to 1.6 um do not cover -1.4 to 1.2 um"),
        (ImageStack(np.full((17, 40, 40), 7), "ZYX", z_um=Z_UM), "focus curve: flat"),
        (ImageStack(np.ones((17, 40, 40)), "ZYX"), "positions of its planes along z are not known"),
        (ImageStack(np.ones((17, 40, 40)), "TYX"), "axes TYX, without depth"),
        (ImageStack(np.ones((2, 17, 40, 40)), "TZYX", z_um=Z_UM), "axes TZYX: focus is measured along Z"),
        (ImageStack(np.ones((17, 40, 40), bool), "ZYX", z_um=Z_UM), "pixels are bool"),
    ],
)
def test_what_is_wrong_with_a_stack_is_said_and_not_raised(stack, reason):
    prepared = prepare_stack(stack)
    assert prepared.stack is None
    assert reason in prepared.reason


def test_a_plane_that_is_not_finite():
    stack = stack_peaking_at(0)
    data = stack.data.astype(float)
    data[3, 0, 0] = np.nan
    assert prepare_stack(stack.replace(data=data)).reason == "focus curve: plane 3 not finite"


@pytest.mark.parametrize("align", [True, False])
def test_a_constant_plane_is_named_as_acquired(align):
    stack = stack_peaking_at(0)
    stack.data[5] = 30000
    assert prepare_stack(stack, align=align).reason == "focus curve: plane 5 constant"


def test_z_positions_that_cannot_be():
    z_um = Z_UM.copy()
    z_um[4] = z_um[3]
    prepared = prepare_stack(stack_peaking_at(0).replace(z_um=z_um))
    assert "planes 3 and 4 are the same position (z -1 and -1 um)" in prepared.reason
    z_um[4] = -1.5
    assert "planes 3 and 4 are out of order" in prepare_stack(stack_peaking_at(0).replace(z_um=z_um)).reason
    one = stack_peaking_at(0, [0.0])
    assert prepare_stack(one, range_um=None).reason == "focus curve: one plane"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"keep_um": (0.4, -0.2)}, "keep_um is 0.4 to -0.2 um: give the lower end first"),
        ({"range_um": (0.2, 1)}, "range_um is 0.2 to 1 um: it counts from the sharpest plane and must hold 0"),
        ({"crop_px": 8}, "crop_px is 8: give a whole number, 13 or more"),
        ({"crop_px": 64}, "a random offset needs rng"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(ValueError, match=message):
        prepare_stack(stack_peaking_at(0), **options)


# --- a folder


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "acquired"
    folder.mkdir()
    write_tiff(folder / "a.ome.tif", stack_peaking_at(0, drift_px=(0, 1)))
    write_tiff(folder / "b.ome.tif", stack_peaking_at(0.6))
    (folder / "c.tif").write_bytes(b"II*\0broken")
    write_tiff(folder / "d.tif", stack_peaking_at(0.2))
    (folder / "notes.txt").write_text("not an image")
    return folder


def table_of(folder):
    with (folder / TABLE).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_results_of_zarr_folders_have_the_names_of_files(tmp_path):
    (tmp_path / "acquired").mkdir()
    write_zarr(tmp_path / "acquired" / "a.ome.zarr", stack_peaking_at(0))
    assert [(row.stack, row.kept) for row in prepare_folder(tmp_path / "acquired", tmp_path / "ready")] == [("a", True)]
    assert sorted(path.name for path in (tmp_path / "ready").iterdir()) == ["a.ome.tif", TABLE]
    write_tiff(tmp_path / "acquired" / "a.tif", stack_peaking_at(0))
    with pytest.raises(ValueError, match=r"a\.ome\.zarr and a\.tif would both become a\.ome\.tif: rename one"):
        list(prepare_folder(tmp_path / "acquired", tmp_path / "ready"))


def test_a_folder_gives_stacks_and_a_table(source, tmp_path):
    target = tmp_path / "prepared"
    rows = list(prepare_folder(source, target))
    assert [(row.stack, row.kept) for row in rows] == [("a", True), ("b", False), ("c", False), ("d", True)]
    assert "outside -0.2 to 0.4 um" in rows[1].reason
    assert rows[2].reason.startswith("c.tif: ")
    assert (rows[0].sharpest, rows[0].shift_px, rows[3].shift_px) == (8, 7, 0)
    assert rows[3].peak_um == pytest.approx(0.2, abs=0.01)
    assert sorted(path.name for path in target.iterdir()) == ["a.ome.tif", "d.ome.tif", TABLE]
    table = table_of(target)
    assert [row["stack"] for row in table] == ["a", "b", "c", "d"]
    assert [row["kept"] for row in table] == ["1", "0", "0", "1"]
    assert table[0]["shift_px"] == "7.0"
    assert table[2]["sharpest"] == ""
    written = open_stack(target / "a.ome.tif")
    expected = prepare_stack(open_stack(source / "a.ome.tif")).stack
    assert np.array_equal(written.data.compute(), expected.data.compute())
    assert written.z_um.tolist() == pytest.approx(expected.z_um.tolist())
    assert written.provenance["source"] == "a.ome.tif"


def test_it_goes_on_where_it_was_stopped(source, tmp_path, monkeypatch):
    target = tmp_path / "prepared"
    first = next(stopped := prepare_folder(source, target))
    stopped.close()
    assert [row["stack"] for row in table_of(target)] == ["a"]
    made = (target / "a.ome.tif").stat().st_mtime_ns
    (source / "c.tif").unlink()
    write_tiff(source / "c.tif", stack_peaking_at(0.4))  # mended meanwhile
    rows = list(prepare_folder(source, target))
    assert rows[0] == first
    assert (target / "a.ome.tif").stat().st_mtime_ns == made
    assert [row.kept for row in rows] == [True, False, True, True]
    assert rows == list(prepare_folder(source, target))
    with pytest.raises(ValueError, match=r"a\.ome\.tif: was prepared with .*give another folder"):
        list(prepare_folder(source, target, align=False))
    assert len(table_of(target)) == 4  # refused before the table was touched


def test_stacks_with_other_levels_than_those_before_are_left_out(source, tmp_path):
    write_tiff(source / "e.tif", stack_peaking_at(0, np.delete(Z_UM, 4)))
    write_tiff(source / "f.tif", stack_peaking_at(0, np.round(np.arange(-15, 15.1) / 10, 6)))
    rows = {row.stack: row for row in prepare_folder(source, tmp_path / "out")}
    assert [name for name, row in rows.items() if row.kept] == ["a", "d"]
    assert rows["e"].reason == "no plane at -0.8 um, unlike the stacks before"
    assert rows["e"].flags == "gap after plane 3"
    assert rows["f"].reason.startswith("planes at -1.3, -1.1, ")
    again = list(prepare_folder(source, tmp_path / "out"))
    assert again == list(rows.values())
    untrimmed = list(prepare_folder(source, tmp_path / "untrimmed", range_um=None, align=False))
    assert [row.stack for row in untrimmed if row.kept] == ["a", "d", "e", "f"]


def test_it_goes_on_after_it_was_killed_while_it_wrote(source, tmp_path):
    target = tmp_path / "prepared"
    program = """
import os, signal, sys
import tifffile
from napari_cellrestore.prepare import prepare_folder
rows = prepare_folder(*sys.argv[1:])
next(rows), next(rows), next(rows)
write = tifffile.imwrite
def killed(path, *args, **options):
    write(path, *args, **options)
    os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
tifffile.imwrite = killed
next(rows)
"""
    done = subprocess.run([sys.executable, "-c", program, source, target], timeout=120, capture_output=True)
    assert done.returncode != 0
    names = {path.name for path in target.iterdir()}
    assert len(names) == 3  # of the stack that was being written there is a part under another name
    assert {"a.ome.tif", TABLE} < names
    assert [row["stack"] for row in table_of(target)] == ["a", "b", "c"]
    made = (target / "a.ome.tif").stat().st_mtime_ns
    rows = list(prepare_folder(source, target))
    assert [row.kept for row in rows] == [True, False, False, True]
    assert (target / "a.ome.tif").stat().st_mtime_ns == made
    assert sorted(path.name for path in target.iterdir()) == ["a.ome.tif", "d.ome.tif", TABLE]
    assert [row["reason"] != "" for row in table_of(target)] == [False, True, True, False]


def test_planes_of_different_sizes_are_a_reason(source, tmp_path):
    folder = source / "e"
    folder.mkdir()
    for number, rows in enumerate((40, 40, 38)):
        write_tiff(folder / f"z{number}.tif", ImageStack(np.full((rows, 50), 7, np.uint8), "YX"))
    rows = {row.stack: row.reason for row in prepare_folder(source, tmp_path / "out")}
    assert "z2.tif: it is 38 x 50 uint8, but z0.tif is 40 x 50 uint8; keep only planes of one kind" in rows["e"]
    assert list(stacks_in(source, tmp_path / "out")) == ["a", "b", "c", "d", "e"]


def test_offsets_depend_on_name_and_seed_and_not_on_the_other_stacks(tmp_path):
    smear = draw_smear((160, 160), 0.1, np.random.default_rng(3))
    stack = defocus_stack(smear, 0.1, smear_objectives(), [-0.4, 0, 0.4])
    folder = tmp_path / "acquired"
    folder.mkdir()
    options = {"range_um": (-0.4, 0.4), "crop_px": 64, "jitter_px": 12, "align": False}
    write_tiff(folder / "b.tif", stack)
    list(prepare_folder(folder, tmp_path / "one", **options))
    write_tiff(folder / "a.tif", stack)
    list(prepare_folder(folder, tmp_path / "two", **options))
    list(prepare_folder(folder, tmp_path / "three", seed=1, **options))

    def square(name):
        return open_stack(tmp_path / name).provenance["cropped"]

    assert square("one/b.ome.tif") == square("two/b.ome.tif")
    assert square("two/a.ome.tif") != square("two/b.ome.tif")
    assert square("three/b.ome.tif") != square("two/b.ome.tif")


def test_wrong_folders(source, tmp_path):
    with pytest.raises(ValueError, match="there is no such folder"):
        next(prepare_folder(tmp_path / "none", tmp_path / "out"))
    with pytest.raises(ValueError, match="is the folder of the sources"):
        next(prepare_folder(source, source))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="no images in it"):
        next(prepare_folder(tmp_path / "empty", tmp_path / "out"))
    with pytest.raises(TypeError, match="unknown options crop: use keep_um, range_um, align, crop_px, jitter_px"):
        next(prepare_folder(source, tmp_path / "out", crop=3))
    (source / "a.png").touch()
    with pytest.raises(ValueError, match=r"a\.ome\.tif and a\.png would both become a\.ome\.tif"):
        next(prepare_folder(source, tmp_path / "out"))
    (source / "a.png").unlink()
    (tmp_path / "out").mkdir()
    write_tiff(tmp_path / "out" / "a.ome.tif", stack_peaking_at(0))
    with pytest.raises(ValueError, match="holds other things than prepared stacks; give a new folder"):
        next(prepare_folder(source, tmp_path / "out"))
    (tmp_path / "out" / TABLE).touch()
    with pytest.raises(ValueError, match="was not made by prepare"):
        next(prepare_folder(source, tmp_path / "out"))


# --- command line


def test_the_command(source, tmp_path, capsys):
    target = tmp_path / "prepared"
    assert main(["focus", "prepare", str(source), str(target), "--keep", "-0.2", "0.6", "--range", "-1.0", "1.0"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("kept      a: sharpest was plane 8 at ")
    assert lines[0].endswith("um, moved by up to 5 px")
    assert lines[2].startswith("left out  c: c.tif: ")
    assert lines[-1] == f"3 of 4 stacks kept; the table is {target / TABLE}"
    assert open_stack(target / "b.ome.tif").z_um.tolist() == pytest.approx(np.arange(-1, 1.1, 0.2).tolist())


def test_the_command_in_json_and_where_nothing_is_kept(source, tmp_path, capsys):
    (source / "a.ome.tif").unlink()
    (source / "d.tif").unlink()
    assert main(["focus", "prepare", str(source), str(tmp_path / "out"), "--json"]) == 2
    out, err = capsys.readouterr()
    assert [json.loads(line)["kept"] for line in out.splitlines()] == [False, False]
    assert "no stack could be kept; b: sharpest at 0.6 um" in err
    assert (
        main(["focus", "prepare", str(source), str(tmp_path / "all"), "--keep-all", "--range", "-1", "1", "--no-align"])
        == 0
    )
    assert json.loads(json.dumps(table_of(tmp_path / "all")))[0]["shift_px"] == ""
