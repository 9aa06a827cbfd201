from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_cellrestore.files.led_table import read_table
from napari_cellrestore.leds import KINDS, SUBSETS, LedTable, arm_leds, choose, rectangular_leds
from napari_cellrestore.leds.gaps import Gap, gaps
from napari_cellrestore.leds.geometry import ORDERS
from napari_cellrestore.leds.symmetry import permutation, turns
from napari_cellrestore.spread import led_symmetries

HEAD = "index,polar_deg,azimuth_deg,exposure\n"


def write(tmp_path, text, name="cells.leds.csv"):
    path = tmp_path / name
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
    leds = LedTable(index=[0, 1, 2], polar_deg=[29.999, 30, 30.001], azimuth_deg=[0, 120, 240])
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
        ("0,1,5,0,low\n", "row 0: it has more cells than the header line, 4; write decimals with a point"),
        ("0,1,nan,low\n", r"row 0 \(LED 0\): azimuth_deg is 'nan': it must be an angle"),
        ("", "it has no rows; give a header line and one row a plane"),
        ("0,1,2,LOW\n0,1,40,low\n", "row 1: LED 0 at exposure low is in row 0 already"),
        ("0,1,2,low\n0,4,40,high\n", r"row 1: LED 0 is at 4 deg \(40 deg around the axis\), in row 0 at 1 \(2\): give"),
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
    with pytest.raises(ValueError, match=r"wavelength_um is '-0\.5': it must be above 0"):
        LedTable(index=[0], polar_deg=[1], azimuth_deg=0, wavelength_um=-0.5)


def test_two_numbers_for_one_led_are_refused():
    said = (
        r"row 2: LED 4 is where LED 3 of row 1 is, at 30 deg \(270 deg around the axis\) and exposure single: give each"
    )
    with pytest.raises(ValueError, match=said):
        LedTable(index=[0, 3, 4], polar_deg=[0, 30, 30], azimuth_deg=[0, -90, 270])
    with pytest.raises(ValueError, match="LED 1 is where LED 0 of row 0 is"):
        LedTable(index=[0, 1], polar_deg=0, azimuth_deg=[0, 90])  # on the axis there is but one direction
    LedTable(index=[-2, -1], polar_deg=0, azimuth_deg=0, kind="brightfield")
    rectangular_leds(64, 64, 4, 60)  # at 70 deg and more LEDs are close


def test_a_magnification_is_no_aperture():
    leds = LedTable(index=[0, 1], polar_deg=[0, 30], azimuth_deg=0)
    assert leds.brightfield(1.49).all()
    with pytest.raises(
        ValueError, match=r"na is 20, above 1\.7: is it the magnification\? Give the numerical aperture"
    ):
        leds.brightfield(20)


def test_one_led_in_two_colours_is_no_duplicate():
    LedTable(index=[0, 1], polar_deg=1, azimuth_deg=0, wavelength_um=[0.63, 0.53])
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


# --- kinds ---------------------------------------------------------------------------------------------------


def test_kinds_follow_from_the_angle_and_brightfield_stays():
    leds = LedTable(
        index=[-1, 0, 1, 2], polar_deg=[0, 29.99, 30.01, 60], azimuth_deg=0, kind=["brightfield", *["darkfield"] * 3]
    )
    again = leds.with_kinds(0.5)
    assert again.kind.tolist() == ["brightfield", "point", "darkfield", "darkfield"]
    assert set(again.kind) <= set(KINDS)
    np.testing.assert_array_equal((again.kind == "point")[1:], leds.brightfield(0.5)[1:])
    assert leds.kind.tolist() == ["brightfield", *["darkfield"] * 3]
    with pytest.raises(ValueError, match="na is -1: a numerical aperture is a positive number"):
        leds.with_kinds(-1)


# --- JSON, places --------------------------------------------------------------------------------------------

COLUMNS = {
    "index": [7, 9],
    "polar_deg": [30.0, 12.5],
    "azimuth_deg": [-45, 45],
    "gain": [None, 2],
    "wavelength_um": 0.5,
}


def test_json_of_rows_and_of_columns_is_one_table(tmp_path):
    rows = [
        {"index": 7, "polar_deg": 30.0, "azimuth_deg": -45, "gain": None, "wavelength_um": 0.5, "camera": "b"},
        {"index": 9, "polar_deg": 12.5, "azimuth_deg": 45, "gain": 2, "wavelength_um": 0.5},
    ]
    by_columns = LedTable.read(write(tmp_path, json.dumps(COLUMNS), "a.leds.json"))
    by_rows = LedTable.read(write(tmp_path, json.dumps(rows), "b.leds.json"))
    assert by_columns.columns() == by_rows.columns()
    assert by_columns.index.tolist() == [7, 9]
    assert by_columns.gain[1] == 2
    assert np.isnan(by_columns.gain[0])
    assert by_columns.wavelength_um.tolist() == [0.5, 0.5]
    again = LedTable.read(write(tmp_path, json.dumps(by_rows.columns()), "c.leds.json"))
    assert again.columns() == by_rows.columns()


def test_semicolons_part_columns_where_the_header_has_no_comma(tmp_path):
    leds = LedTable.read(write(tmp_path, "index;polar_deg;azimuth_deg\n3;10.5;20\n"))
    assert (leds.index.item(), leds.polar_deg.item(), leds.azimuth_deg.item()) == (3, 10.5, 20)
    with pytest.raises(ValueError, match=r"row 0: polar_deg is '10,5': it must be a number"):
        LedTable.read(write(tmp_path, "index;polar_deg;azimuth_deg\n3;10,5;20\n"))


@pytest.mark.parametrize("name", ["a.leds.csv", "a.leds.json"])
def test_angles_follow_from_places_and_height(tmp_path, name):
    text = "index,x_mm,y_mm,height_mm\n0,30,-40,50\n1,0,-5,5\n2,-3,0,5.196152\n"
    if name.endswith("json"):
        text = json.dumps(
            {"index": [0, 1, 2], "x_mm": [30, 0, -3], "y_mm": [-40, -5, 0], "height_mm": [50, 5, 5.196152]}
        )
    leds = LedTable.read(write(tmp_path, text, name))
    np.testing.assert_allclose(leds.polar_deg, [45, 45, 30], atol=1e-5)
    np.testing.assert_allclose(leds.azimuth_deg, [-53.130102, -90, 180], atol=1e-5)
    assert leds.x_mm.tolist() == [30, 0, -3]


def test_angles_that_are_given_are_taken(tmp_path):
    leds = LedTable.read(write(tmp_path, "index,x_mm,y_mm,height_mm,polar_deg,azimuth_deg\n0,30,-40,50,44.5,1\n"))
    assert (leds.polar_deg.item(), leds.azimuth_deg.item()) == (44.5, 1)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.leds.json", "{", r"it is no JSON .*; write it anew"),
        ("a.leds.json", "3", "it must be a list of rows, each an object, or an object of columns"),
        ("a.leds.json", "[1, 2]", "it must be a list of rows"),
        ("a.leds.json", "[]", "it has no rows"),
        ("a.leds.json", "{}", "it has no rows"),
        ("a.leds.json", '{"index": [0, 1], "polar_deg": [1], "azimuth_deg": 0}', "polar_deg has 1 values for 2 rows"),
        (
            "a.leds.json",
            '{"index": [0.5], "polar_deg": 1, "azimuth_deg": 0}',
            "index is '0.5': it must be a whole number",
        ),
        ("a.leds.json", '{"index": 0, "polar_deg": "x", "azimuth_deg": 0}', "row 0: polar_deg is 'x'"),
        ("a.leds.json", '{"index": 0, "polar_deg": true, "azimuth_deg": 0}', "row 0: polar_deg is 'True'"),
        ("a.leds.json", '{"index": 0, "polar_deg": 90, "azimuth_deg": 0}', "polar_deg is '90.0': it must be an angle"),
        (
            "a.leds.json",
            '{"index": [3, 3], "polar_deg": 1, "azimuth_deg": 0}',
            "row 1: LED 3 at exposure single is in row 0",
        ),
        (
            "a.leds.csv",
            "index,x_mm,y_mm\n0,1,2\n",
            "its columns are index, x_mm, y_mm; give a header line with .*, or x_mm, y_mm, height_mm instead of angles",
        ),
        ("a.leds.csv", "index,polar_deg\n0,1\n", "or x_mm, y_mm, height_mm instead of angles"),
        (
            "a.leds.csv",
            "polar_deg,azimuth_deg\n0,1\n",
            "its columns are polar_deg, azimuth_deg; give a header line with index",
        ),
        (
            "a.leds.csv",
            "index,polar_deg,azimuth_deg,plane\n0,1,2,10\n1,3,4,11\n",
            "column plane must have each number from 0 to 1 once",
        ),
        ("a.leds.csv", "index,polar_deg,azimuth_deg,wavelength_um\n0,1,2,530\n", "530 nm are 0.53"),
        ("a.leds.csv", "index,polar_deg,azimuth_deg,gain\n0,1,2,-1\n", "gain is '-1.0': it must be a positive number"),
        ("a.leds.csv", "index,x_mm,y_mm,height_mm\n0,1,2,0\n", "row 0: height_mm is 0: it must be a positive number"),
        ("a.leds.csv", "index,x_mm,y_mm,height_mm\n0,1,,9\n", "row 0: y_mm is '': it must be a number"),
    ],
)
def test_bad_tables_say_what_is_wrong_in_one_line(tmp_path, name, text, message):
    with pytest.raises(ValueError, match=message) as error:
        LedTable.read(write(tmp_path, text, name))
    assert str(error.value).startswith(f"{name}: ")
    assert "\n" not in str(error.value)


def test_fractions_of_an_index_are_not_cut_off():
    assert LedTable(index=[2.0], polar_deg=0, azimuth_deg=0).index.tolist() == [2]
    with pytest.raises(ValueError, match=r"column index has 1\.5: give whole numbers"):
        LedTable(index=[1.5], polar_deg=0, azimuth_deg=0)


# --- geometry ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (3, 3), (4, 4), (2, 5), (7, 1)])
def test_a_panel_has_each_place_once(order, rows, columns):
    leds = rectangular_leds(rows, columns, 2.0, 50, order=order)
    places = {(x, y) for x, y in zip(leds.x_mm / 2, leds.y_mm / 2, strict=True)}
    assert places == {(i - columns // 2, j - rows // 2) for i in range(columns) for j in range(rows)}
    assert leds.index.tolist() == list(range(rows * columns))
    np.testing.assert_allclose(np.tan(np.radians(leds.polar_deg)) * 50, np.hypot(leds.x_mm, leds.y_mm), atol=1e-12)


def test_orders_of_a_panel():
    spiral = rectangular_leds(4, 4, 1, 50)
    rings = np.maximum(np.abs(spiral.x_mm), np.abs(spiral.y_mm))
    assert (np.diff(rings) >= 0).all()  # outward
    full = rectangular_leds(5, 5, 1, 50)
    steps = np.hypot(np.diff(full.x_mm), np.diff(full.y_mm))
    np.testing.assert_allclose(steps, 1)  # to a neighbour, each
    rows = rectangular_leds(2, 3, 1, 50, order="rows")
    assert rows.x_mm.tolist() == [-1, 0, 1, -1, 0, 1]
    assert rows.y_mm.tolist() == [-1, -1, -1, 0, 0, 0]


@pytest.mark.real_data
@pytest.mark.parametrize(("colour", "y_mm"), [("red", 0), ("green", 0.35), ("blue", 0.65)])
def test_the_real_panel_is_a_spiral_below_a_slide_of_1_mm(real_data, colour, y_mm):
    real = LedTable.read(real_data / f"led_stacks/blood_smear/{colour}.leds.csv")
    leds = rectangular_leds(15, 15, 4, 90.88, offset_mm=(0, y_mm), slide_mm=1)
    np.testing.assert_array_equal(leds.index, real.index)
    np.testing.assert_array_equal(leds.x_mm, real.x_mm)
    np.testing.assert_allclose(leds.y_mm, real.y_mm, atol=1e-12)
    np.testing.assert_allclose(leds.polar_deg, real.polar_deg, atol=6e-5)  # rounded to 4 decimals
    np.testing.assert_allclose(leds.azimuth_deg, real.azimuth_deg, atol=6e-5)


def test_light_through_a_slide_comes_from_where_it_says():
    leds = rectangular_leds(9, 9, 10, 40, slide_mm=5, slide_index=1.6)
    sine = np.sin(np.radians(leds.polar_deg))
    aside = 40 * sine / np.sqrt(1 - sine**2) + 5 * (sine / 1.6) / np.sqrt(1 - (sine / 1.6) ** 2)
    np.testing.assert_allclose(aside, np.hypot(leds.x_mm, leds.y_mm), atol=1e-9)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rows": 0}, "rows is 0 and columns 3: an array has at least one LED"),
        ({"pitch_mm": 0}, "pitch_mm is 0: give a positive number of millimetres"),
        ({"height_mm": np.nan}, "height_mm is nan: give a positive number of millimetres"),
        ({"order": "zigzag"}, "unknown order 'zigzag': use spiral or rows"),
        ({"slide_mm": -1}, "slide_mm is -1 and slide_index 1.52: give a thickness"),
        ({"slide_mm": 1, "slide_index": 0.5}, "slide_index 0.5"),
    ],
)
def test_panels_that_cannot_be(options, message):
    with pytest.raises(ValueError, match=message):
        rectangular_leds(**{"rows": 3, "columns": 3, "pitch_mm": 4, "height_mm": 90, **options})


def test_the_arms_are_the_array_of_the_source():
    leds = arm_leds()
    assert len(leds) == 74
    assert len(set(leds.index) - {-1}) == 43
    assert (leds.kind == "brightfield").sum() == 1
    assert (leds.kind == "darkfield").sum() == 60
    assert sorted(set(leds.exposure)) == ["high", "low", "single"]
    near = leds.polar_deg[leds.kind != "brightfield"] == 8
    assert near.sum() == 3
    assert leds.polar_deg.max() == 57
    dark = leds[np.flatnonzero(leds.kind == "darkfield")]
    assert dark.polar_deg.min() > np.degrees(np.arcsin(0.4))
    for index in set(dark.index.tolist()):
        assert dark.exposure[dark.index == index].tolist() == ["low", "high"]
    arms = {azimuth: (leds.azimuth_deg == azimuth).sum() for azimuth in (72, 144, 216, 288)}
    assert set(arms.values()) == {14}
    with pytest.raises(ValueError, match="near_axis is -1 and arms 5: give numbers"):
        arm_leds(near_axis=-1)
    with pytest.raises(ValueError, match="no LEDs: give arms"):
        arm_leds(near_axis=0, arms=0, brightfield=False)


# --- the inputs of the ablation ------------------------------------------------------------------------------


def test_inputs_of_table_3_1_by_rule():
    leds = arm_leds()
    assert {name: len(choose(leds, name)) for name in SUBSETS} == {
        "full": 74,
        "full-no-high": 44,
        "36deg": 44,
        "36deg-no-high": 29,  # printed 30
        "18deg": 14,
        "8deg": 4,
        "brightfield": 1,
    }
    for name, rule in SUBSETS.items():
        part = choose(leds, name)
        assert part.kind[0] == "brightfield"
        single = part[part.kind != "brightfield"] if len(part) > 1 else None
        if single is not None:
            assert rule.max_polar_deg is None or single.polar_deg.max() <= rule.max_polar_deg
            assert rule.high or "high" not in single.exposure
        np.testing.assert_array_equal(leds.index[part.plane], part.index)


def test_inputs_of_another_array_follow_the_same_rules():
    leds = rectangular_leds(15, 15, 4, 60)
    part = choose(leds, "18deg", brightfield=False)
    np.testing.assert_array_equal(part.plane, np.flatnonzero(leds.polar_deg <= 18))
    with pytest.raises(ValueError, match=r"no row of the kind brightfield for '18deg': .*brightfield=False"):
        choose(leds, "18deg")
    with pytest.raises(ValueError, match="'brightfield' leaves no plane: the angles go from 0 to"):
        choose(leds, "brightfield", brightfield=False)
    with pytest.raises(ValueError, match="unknown subset '20deg': use full, full-no-high, 36deg"):
        choose(leds, "20deg")


# --- symmetry ------------------------------------------------------------------------------------------------


def arms(n):
    return arm_leds(arms=n, near_axis=0, arm_polar_deg=(10, 30, 50), azimuth_deg=17)


ARRAYS = {"five arms": (arms(5), 10), "six arms": (arms(6), 12), "panel": (rectangular_leds(5, 5, 4, 60), 8)}


@pytest.mark.parametrize("name", ARRAYS)
def test_turns_of_arrays(name):
    leds, n = ARRAYS[name]
    found = turns(leds)
    assert len(found) == n
    by = 720 / n
    np.testing.assert_allclose([turn for turn, mirrored in found if not mirrored], np.arange(n // 2) * by, atol=1e-3)
    assert sum(mirrored for _, mirrored in found) == n // 2


@given(st.sampled_from(sorted(ARRAYS)), st.integers(0, 11), st.integers(0, 11))
@settings(max_examples=40, deadline=None)
def test_permutations_are_a_group(name, i, j):
    leds, n = ARRAYS[name]
    (a, a_mirrored), (b, b_mirrored) = (turns(leds)[k % n] for k in (i, j))
    first, second = permutation(leds, a, a_mirrored), permutation(leds, b, b_mirrored)
    assert sorted(first) == list(range(len(leds)))
    # turning by a and then by b; a mirror in between turns the first the other way round
    both = permutation(leds, b - a if b_mirrored else a + b, a_mirrored != b_mirrored)
    np.testing.assert_array_equal(first[second], both)
    undone = permutation(leds, a if a_mirrored else -a, a_mirrored)  # each mirror undoes itself
    np.testing.assert_array_equal(first[undone], np.arange(len(leds)))


def test_a_turned_image_is_lit_from_the_turned_direction():
    # One LED to the right (+x): against the clock by 90 degrees the light comes from above, which is -y.
    cross = LedTable(index=range(4), polar_deg=30, azimuth_deg=[0, 90, 180, 270])
    rows = permutation(cross, 90)
    assert cross.azimuth_deg[rows[3]] == 0  # what is lit from +x takes the place of -y
    image = np.zeros((3, 3))
    image[1, 2] = 1  # to the right
    assert np.rot90(image)[0, 1] == 1  # and then above
    mirror = permutation(cross, 0, mirrored=True)
    assert mirror.tolist() == [2, 1, 0, 3]


@pytest.mark.parametrize("leds", [rectangular_leds(5, 5, 4, 60), arm_leds()], ids=["panel", "arms"])
def test_quarter_turns_are_those_of_turned_mean_and_spread(leds):
    square = {(one.turns, one.mirrored): one.planes for one in led_symmetries(leds)}
    for quarters in range(4):
        for mirrored in (False, True):
            rows = permutation(leds, 90 * quarters, mirrored)
            expected = square.get((quarters, mirrored))
            assert (None if rows is None else tuple(rows.tolist())) == expected


def test_rows_are_put_into_the_order_of_planes(tmp_path):
    path = tmp_path / "a.leds.csv"
    path.write_text("Index\tpolar_deg\tAzimuth_deg\tplane\tfile\n7\t1\t0\t1\tb.tif\n8\t2\t0\t0\ta.tif\n")
    leds = LedTable.read(path)
    assert (leds.index.tolist(), leds.plane.tolist()) == ([8, 7], [0, 1])
    assert read_table(path).files == ["a.tif", "b.tif"]


def test_three_leds_near_the_axis_break_the_turns_of_five_arms():
    leds = arm_leds()
    assert permutation(leds, 72) is None
    assert turns(leds) == [(0.0, False), (180.0, True)]
    near = permutation(leds, 72, tolerance_deg=7)
    assert sorted(near) == list(range(74))
    outer = leds.polar_deg > 9
    moved = (leds.azimuth_deg[near] - leds.azimuth_deg)[outer] % 360
    np.testing.assert_allclose(moved, 72)
    np.testing.assert_array_equal(leds.exposure[near], leds.exposure)
    loosely = turns(leds, near_axis_tolerance_deg=7)
    assert [turn for turn, mirrored in loosely if not mirrored] == [0, 72, 144, 216, 288]
    # far from the axis nothing is loosened: a panel keeps its quarter turns
    assert len(turns(rectangular_leds(15, 15, 4, 90), near_axis_tolerance_deg=7)) == 8


def test_exposure_and_colour_are_not_exchanged():
    leds = LedTable(index=[0, 1], polar_deg=20, azimuth_deg=[0, 180], exposure=["low", "high"])
    assert permutation(leds, 180) is None
    leds = LedTable(index=[0, 1], polar_deg=20, azimuth_deg=[0, 180], wavelength_um=[0.5, 0.6])
    assert permutation(leds, 180) is None
    leds = LedTable(index=[0, 1], polar_deg=20, azimuth_deg=[0, 180])
    assert permutation(leds, 180).tolist() == [1, 0]
    assert turns(leds) == [(0.0, False), (180.0, False), (0.0, True), (180.0, True)]
    assert turns(LedTable(index=[0], polar_deg=0, azimuth_deg=5)) == [(0.0, False)]


def test_symmetries_within_the_tolerance(rng):
    exact = arms(5)
    moved = LedTable(
        exact.index, exact.polar_deg + rng.normal(0, 0.1, len(exact)), exact.azimuth_deg, exact.exposure, exact.kind
    )
    np.testing.assert_allclose([turn for turn, _ in turns(moved)], [turn for turn, _ in turns(exact)], atol=0.5)
    assert permutation(moved, 72, tolerance_deg=0.001) is None
    for value, message in ((-1, "tolerance_deg is -1"), (90, "tolerance_deg is 90")):
        with pytest.raises(ValueError, match=message):
            permutation(exact, 72, tolerance_deg=value)
    with pytest.raises(ValueError, match="turn_deg is nan: give an angle in degrees"):
        permutation(exact, np.nan)


# --- gaps ----------------------------------------------------------------------------------------------------


def without(leds, *indices):
    return leds[~np.isin(leds.index, indices)]


def test_missing_leds_of_a_panel():
    leds = rectangular_leds(7, 7, 4, 90, offset_mm=(0, 0.35))
    assert gaps(leds) == []
    centre, corner = gaps(without(leds, 0, 48))
    assert centre == Gap("no LED at x 0, y 0.35 mm, where the panel should have one", xy_mm=(0, 0.35))
    assert str(corner) == "no LED at x 12, y -11.65 mm, where the panel should have one"
    round_panel = leds[np.hypot(leds.x_mm, leds.y_mm - 0.35) < 13]
    assert len(round_panel) < 49
    assert gaps(round_panel) == []


def test_missing_leds_and_exposures_of_arms():
    leds = arm_leds()
    assert gaps(leds) == []
    (lost,) = gaps(without(leds, 20))
    assert str(lost) == "no LED at 17 deg from the axis, azimuth 144 deg, where the ring of 5 should have one"
    np.testing.assert_allclose((lost.polar_deg, lost.azimuth_deg), (17, 144))
    lost = np.flatnonzero((leds.index == 20 + 3) & (leds.exposure == "high"))
    assert gaps(leds[np.delete(np.arange(74), lost)]) == [
        Gap("LED 23 has no plane of high exposure, others of the array have both")
    ]


def test_gaps_of_an_irregular_array_are_not_told(rng):
    leds = LedTable(index=range(20), polar_deg=rng.uniform(0, 50, 20), azimuth_deg=rng.uniform(0, 360, 20))
    assert gaps(leds) == []
    assert gaps(LedTable(index=[-1], polar_deg=0, azimuth_deg=0, kind="brightfield")) == []


@pytest.mark.real_data
def test_the_real_panel_has_no_gaps(real_data):
    for colour in ("red", "green", "blue"):
        assert gaps(LedTable.read(real_data / f"led_stacks/blood_smear/{colour}.leds.csv")) == []
