from __future__ import annotations

import numpy as np
import pytest

from napari_cellrestore.leds import LedTable

HEAD = "index,polar_deg,azimuth_deg,exposure\n"


def write(tmp_path, text):
    path = tmp_path / "cells.leds.csv"
    path.write_text(text, encoding="utf-8")
    return path


def taken_twice():
    """Three LEDs; the last, outside the aperture, at low and high exposure."""
    return LedTable(
        index=[0, 1, 2, 2],
        polar_deg=[0, 10, 40, 40],
        azimuth_deg=[0, 0, 72, 72],
        exposure=["single", "single", "low", "high"],
        kind=["point", "point", "darkfield", "darkfield"],
    )


def test_csv_is_read_by_its_header(tmp_path):
    path = write(
        tmp_path, "\ufeffx_mm, azimuth_deg,index,polar_deg,sin_polar,gain\n4,-45,7,30.0,0.5,\n-4,45,9,12.5,0.2,2\n"
    )
    leds = LedTable.read_csv(path)
    assert leds.index.tolist() == [7, 9]
    assert leds.plane.tolist() == [0, 1]
    assert leds.polar_deg.tolist() == [30.0, 12.5]
    assert leds.azimuth_deg.tolist() == [-45, 45]
    assert leds.x_mm.tolist() == [4, -4]
    assert leds.exposure.tolist() == ["single", "single"]
    assert np.isnan(leds.gain[0])
    assert leds.gain[1] == 2
    assert np.isnan(leds.wavelength_um).all()


def test_brightfield_is_strictly_below_the_aperture():
    leds = LedTable(index=[0, 1, 2], polar_deg=[29.999, 30, 30.001], azimuth_deg=[0, 0, 0])
    assert leds.brightfield(0.5 + 1e-12).tolist() == [True, True, False]
    assert leds.brightfield(0.4999999).tolist() == [True, False, False]
    with pytest.raises(ValueError, match="na is 0: a numerical aperture is a positive number"):
        leds.brightfield(0)


def test_subset_by_rule_keeps_the_planes_of_the_stack():
    leds = taken_twice()
    assert leds.subset(max_polar_deg=10).plane.tolist() == [0, 1]
    assert leds.subset(exposures=["single", "high"]).plane.tolist() == [0, 1, 3]
    assert leds.subset(exposures="high").subset(max_polar_deg=40).plane.tolist() == [3]
    assert len(leds) == 4
    with pytest.raises(ValueError, match=r"exposures \['hi'\] are not in the table: it has high, low, single"):
        leds.subset(exposures=["hi", "low"])
    with pytest.raises(ValueError, match=r"no LED left with max_polar_deg=-1.*from 0 to 40 degrees"):
        leds.subset(max_polar_deg=-1)


@pytest.mark.parametrize(
    ("rows", "planes"),
    [
        (2, [2]),
        (-1, [3]),
        (np.int64(1), [1]),
        (slice(1, None, 2), [1, 3]),
        ([3, 0], [3, 0]),
        ([True, False, False, True], [0, 3]),
        (np.array([False, True, True, False]), [1, 2]),
    ],
)
def test_rows_are_chosen_like_planes(rows, planes):
    part = taken_twice()[rows]
    assert part.plane.tolist() == planes
    assert part.exposure.tolist() == [taken_twice().exposure[plane] for plane in planes]


def test_rows_that_do_not_exist():
    for rows in (4, [0, 9], [True, False]):
        with pytest.raises(ValueError, match=r"are not in the table: it has 4 \(0 to 3\)"):
            taken_twice()[rows]
    assert [led.plane.item() for led in taken_twice()] == [0, 1, 2, 3]


def test_columns_make_the_table_again():
    leds = taken_twice()
    again = LedTable(**leds.columns())
    assert again.columns() == leds.columns()
    assert leds.columns()["gain"] == [None] * 4


def test_frozen():
    leds = taken_twice()
    with pytest.raises(AttributeError):
        leds.index = [1]  # type: ignore[misc]
    with pytest.raises(ValueError, match="read-only"):
        leds.polar_deg[0] = 3
    angles = np.array([1.0])
    LedTable(index=[0], polar_deg=angles, azimuth_deg=[0])
    angles[0] = 2  # what was given stays the caller's


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("0,1,0,low\n5,2,0,low\n5,2,0,low\n", "row 2: LED 5 at exposure low is in row 1 already"),
        ("0,1,0,low\n1,90,0,low\n", r"row 1 \(LED 1\): polar_deg is '90.0': it must be an angle from 0 to below 90"),
        ("0,-1,0,low\n", r"row 0 \(LED 0\): polar_deg is '-1.0'"),
        ("0,1,0,bright\n", r"row 0 \(LED 0\): exposure is 'bright': it must be one of single, low, high, hdr"),
        ("0,1,0,low\n1,many,0,low\n", "row 1: polar_deg is 'many': it must be a number"),
        ("0,1,0,low\n1.5,2,0,low\n", "row 1: index is '1.5': it must be a whole number"),
        ("0,1,,low\n", "row 0: azimuth_deg is ''"),
        ("0,1\n", "row 0: azimuth_deg is ''"),
        ("0,1,nan,low\n", r"row 0 \(LED 0\): azimuth_deg is 'nan': it must be an angle"),
        ("", "no rows with index, polar_deg, azimuth_deg; give a header line"),
    ],
)
def test_bad_tables_name_file_and_row(tmp_path, rows, message):
    with pytest.raises(ValueError, match=rf"cells\.leds\.csv.*{message}"):
        LedTable.read_csv(write(tmp_path, HEAD + rows))


def test_table_that_is_no_text(tmp_path):
    path = tmp_path / "cells.leds.csv"
    path.write_bytes(b"\x93\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"cells\.leds\.csv: not a text table .*; save it as CSV"):
        LedTable.read_csv(path)


def test_bad_columns():
    with pytest.raises(ValueError, match="column polar_deg has 2 values for 3 rows"):
        LedTable(index=[0, 1, 2], polar_deg=[1, 2], azimuth_deg=0)
    with pytest.raises(ValueError, match=r"row 0 \(LED 0\): kind is 'dark'"):
        LedTable(index=[0], polar_deg=[1], azimuth_deg=0, kind="dark")
    with pytest.raises(ValueError, match=r"wavelength_um is '-0\.5': it must be a positive number"):
        LedTable(index=[0], polar_deg=[1], azimuth_deg=0, wavelength_um=-0.5)


def test_one_led_in_two_colours_is_no_duplicate():
    leds = LedTable(index=[3, 3], polar_deg=1, azimuth_deg=0, wavelength_um=[0.63, 0.53])
    assert leds.wavelength_um.tolist() == [0.63, 0.53]


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("colour", "brightfield", "wavelength_um"), [("red", 21, 0.63), ("green", 19, 0.532), ("blue", 17, 0.475)]
)
def test_real_tables(real_data, colour, brightfield, wavelength_um):
    leds = LedTable.read_csv(real_data / f"led_stacks/blood_smear/{colour}.leds.csv")
    assert len(leds) == 225
    assert leds.brightfield(0.1).sum() == brightfield
    assert set(leds.wavelength_um) == {wavelength_um}
    assert set(leds.exposure) == {"hdr"}
    inside = leds.subset(max_polar_deg=np.degrees(np.arcsin(0.1)))
    np.testing.assert_array_equal(inside.plane, np.flatnonzero(leds.brightfield(0.1)))
