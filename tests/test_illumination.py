from __future__ import annotations

import weakref
from functools import cache, partial

import dask.array as da
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_cellrestore.files import open_stack
from napari_cellrestore.illumination import (
    WHATS,
    brightfield,
    check_leds,
    colour_by_angle,
    darkfield,
    differential_phase,
)
from napari_cellrestore.illumination.planes import MIDDLE_PX
from napari_cellrestore.leds import LedTable, arm_leds, rectangular_leds
from napari_cellrestore.simulate import WULFF_2022, DetectorNoise, blood_phantom, led_stack, metered
from napari_cellrestore.stack import ImageStack

NA = 0.1


def stack_of(levels, leds, **more):
    """Planes of 2 x 3 px, each of one grey level."""
    planes = np.broadcast_to(np.asarray(levels)[:, None, None], (len(leds), 2, 3)).copy()
    return ImageStack(planes, "AYX", leds=leds, **more)


N = 96


def thin_object():
    """Complex amplitude (N, N) and phase of cells with sharp edges and of absorbing grains."""
    rng = np.random.default_rng(3)
    depth, dark = np.zeros((N, N)), np.zeros((N, N))
    y, x = np.mgrid[:N, :N]
    for _ in range(60):
        centre, radius = rng.uniform(0, N, 2), rng.uniform(1.5, 5)
        away = np.hypot(*((place - middle + N / 2) % N - N / 2 for place, middle in zip((y, x), centre, strict=True)))
        depth += 0.4 * np.clip(radius - away, 0, 1)
        dark += 0.4 * (np.hypot(y - centre[1], x - centre[0]) < 1)
    return np.exp(1j * depth - dark), depth


@cache
def panel_planes(defocus_um: float = 20.0):
    """Recorded by a lens of NA 0.1 with a panel of 9 x 9 LEDs 0.044 NA apart, of a thin object, 96 x 96 px of 1.5 um."""
    leds = rectangular_leds(9, 9, 4.4, 100)
    n, pixel_um, wavelength_um = N, 1.5, 0.53
    field, _ = thin_object()
    nu = np.fft.fftfreq(n, pixel_um)
    spectrum = np.fft.fft2(field)
    planes = np.empty((len(leds), n, n), np.float32)
    for row, (polar, azimuth) in enumerate(zip(np.radians(leds.polar_deg), np.radians(leds.azimuth_deg), strict=True)):
        y, x = (
            nu[:, None] + np.sin(polar) * np.sin(azimuth) / wavelength_um,
            nu + np.sin(polar) * np.cos(azimuth) / wavelength_um,
        )
        squared = y**2 + x**2
        pupil = squared <= (NA / wavelength_um) ** 2
        phase = 2 * np.pi * defocus_um * np.sqrt(np.maximum(wavelength_um**-2 - squared, 0))
        planes[row] = 1000 * np.abs(np.fft.ifft2(spectrum * pupil * np.exp(1j * phase))) ** 2
    planes += np.random.default_rng(3).normal(0, 0.02, planes.shape).astype(np.float32)
    planes.flags.writeable = False
    return planes


def panel(planes=None, dtype=np.float32):
    leds = rectangular_leds(9, 9, 4.4, 100).with_kinds(NA)
    planes = panel_planes() if planes is None else planes
    return ImageStack(planes.astype(dtype), "AYX", leds=leds)


def found(stack, **options):
    """Plane and kind of each finding."""
    return {(one.plane, one.what) for one in check_leds(stack, na=NA, **options).findings}


# --- composites ----------------------------------------------------------------------------------------------

FIVE = LedTable(
    index=[-1, 0, 1, 2, 2],
    polar_deg=[0, 0, 10, 30, 30],
    azimuth_deg=[0, 0, 0, 90, 90],
    exposure=["single", "single", "single", "low", "high"],
    kind=["brightfield", "point", "point", "darkfield", "darkfield"],
)


@pytest.mark.parametrize("lazy", [False, True])
def test_means_by_hand(lazy):
    stack = stack_of(np.array([99, 10, 20, 4, 200], np.uint8), FIVE)
    if lazy:
        stack = stack.replace(data=da.from_array(stack.data, chunks=(1, 2, 3)))
    bright, dark = brightfield(stack, 0.4), darkfield(stack, 0.4)
    assert isinstance(bright, da.Array) == lazy
    assert bright.dtype == dark.dtype == np.float32
    np.testing.assert_array_equal(bright, np.full((2, 3), 15))  # neither the composite plane nor another exposure
    np.testing.assert_array_equal(dark, np.full((2, 3), 4))
    np.testing.assert_array_equal(brightfield(stack, 0.9), np.full((2, 3), np.float32(34 / 3)))
    np.testing.assert_array_equal(brightfield(stack, 0.4, saturation=20), np.full((2, 3), np.nan))
    np.testing.assert_array_equal(brightfield(stack, 0.4, saturation=21), np.full((2, 3), 15))


@pytest.mark.parametrize(
    ("exposures", "levels", "expected"),
    [
        ([["high"], ["high"]], [40, 100], 70),  # as the selection of high exposures leaves them
        ([["low", "high"], ["low", "high"]], [10, 40, 20, 80], 15),
        ([["low", "high"], ["high"]], [10, 40, 100], 70),
        ([["low", "high", "hdr"], ["hdr"]], [10, 40, 20, 30], 25),
        ([["low", "hdr"], ["low", "high"]], [10, 15, 30, 90], 20),
    ],
)
def test_each_led_counts_once_at_an_exposure_that_all_have(exposures, levels, expected):
    leds = LedTable(
        index=[led for led, each in enumerate(exposures) for _ in each],
        polar_deg=30,
        azimuth_deg=[90 * led for led, each in enumerate(exposures) for _ in each],
        exposure=[one for each in exposures for one in each],
    )
    dark = darkfield(stack_of(np.array(levels, np.uint8), leds), 0.4)
    np.testing.assert_array_equal(dark, np.full((2, 3), expected))


def test_high_exposures_are_not_mixed_with_others():
    leds = LedTable(index=[4, 5], polar_deg=30, azimuth_deg=[0, 90], exposure=["low", "high"])
    with pytest.raises(
        ValueError, match=r"plane 1 \(LED 5\) is a high exposure, .*, plane 0 \(LED 4\) is low: give planes"
    ):
        darkfield(stack_of(np.array([10, 100], np.uint8), leds), 0.4)


def test_saturated_pixels_are_told_one_by_one():
    planes = np.zeros((2, 1, 3), np.uint8)
    planes[0] = 10, 255, 30
    planes[1] = 20, 20, 255
    stack = ImageStack(planes, "AYX", leds=LedTable(index=[0, 1], polar_deg=5, azimuth_deg=[0, 180]))
    np.testing.assert_array_equal(brightfield(stack, 0.4, saturation=255), [[15, np.nan, np.nan]])
    np.testing.assert_array_equal(brightfield(stack, 0.4), [[15, 137.5, 142.5]])
    shade = differential_phase(stack, 0, 0.4, saturation=255)
    np.testing.assert_allclose(shade, [[-1 / 3, np.nan, np.nan]], rtol=1e-6)


AROUND = LedTable(index=range(5), polar_deg=[0, 10, 10, 10, 10], azimuth_deg=[0, 0, 90, 180, 270])


def test_differential_phase_by_hand():
    stack = stack_of(np.array([50.0, 6, 5, 2, 5]), AROUND)
    np.testing.assert_allclose(differential_phase(stack, 0, 0.4), 0.5)  # (6 - 2) / (6 + 2), no others
    np.testing.assert_allclose(differential_phase(stack, 180, 0.4), -0.5)
    np.testing.assert_allclose(differential_phase(stack, 90, 0.4), 0)
    # along the diagonal: (6 + 5) against (2 + 5)
    np.testing.assert_allclose(differential_phase(stack, 45, 0.4), 4 / 18, rtol=1e-6)


def test_differential_phase_is_not_a_number_without_light():
    levels = np.array([50.0, 0, 5, 0, 5])
    for stack in (
        stack_of(levels, AROUND),
        stack_of(levels, AROUND).replace(data=da.from_array(stack_of(levels, AROUND).data)),
    ):
        assert np.isnan(np.asarray(differential_phase(stack, 0, 0.4))).all()
        np.testing.assert_array_equal(differential_phase(stack, 90, 0.4), np.zeros((2, 3)))


@given(st.floats(0, 360), st.integers(0, 5), st.floats(0.1, 50))
@settings(max_examples=25, deadline=None)
def test_differential_phase_changes_sign_with_the_side_and_not_with_the_level(azimuth_deg, seed, gain):
    rng = np.random.default_rng(seed)
    leds = LedTable(index=range(8), polar_deg=10, azimuth_deg=np.arange(8) * 45 + 10)
    stack = ImageStack(rng.uniform(1, 9, (8, 4, 4)), "AYX", leds=leds)
    shade = differential_phase(stack, azimuth_deg, 0.4)
    np.testing.assert_allclose(differential_phase(stack, azimuth_deg + 180, 0.4), -shade, atol=1e-6)
    np.testing.assert_allclose(
        differential_phase(stack.replace(data=stack.data * gain), azimuth_deg, 0.4), shade, atol=1e-6
    )
    assert np.abs(shade).max() <= 1


def test_differential_phase_shows_the_slope_of_phase():
    """Of phase it is the slope along the azimuth, none across: light that goes there is bent further and lost."""
    _, depth = thin_object()
    slopes = [ndimage.gaussian_filter(slope, 1.5, mode="wrap") for slope in np.gradient(depth)]
    shades = [differential_phase(panel(), azimuth, NA) for azimuth in (90, 0)]
    likeness = np.corrcoef([image[4:-4, 4:-4].ravel() for image in (*slopes, *shades)])[:2, 2:]
    print(f"correlation with the slope along and across: {likeness.round(2).tolist()}")
    assert likeness[0, 0] < -0.6
    assert likeness[1, 1] < -0.6
    assert abs(likeness[0, 1]) < 0.2
    assert abs(likeness[1, 0]) < 0.2


def test_colours_of_angles_by_hand():
    leds = LedTable(index=range(4), polar_deg=[0, 30, 30, 30], azimuth_deg=[0, 0, 120, 240])
    red = colour_by_angle(stack_of(np.array([99, 8, 0, 0]), leds), 0.4)
    # weights of red: 1, 1/4, 1/4, of 1.5 in all; of green 1/4 for the LED at 0
    np.testing.assert_allclose(red[0, 0], [8 / 1.5, 2 / 1.5, 2 / 1.5], rtol=1e-6)
    grey = colour_by_angle(stack_of(np.array([99, 8, 8, 8]), leds), 0.4)
    np.testing.assert_allclose(grey, np.full((2, 3, 3), 8), rtol=1e-6)
    kinds = colour_by_angle(stack_of(np.array([99, 8, 0, 0]), leds.with_kinds(0.4)))
    np.testing.assert_array_equal(kinds, red)
    with pytest.raises(ValueError, match="no plane of a single LED of the kind darkfield; give na to tell by angle"):
        colour_by_angle(stack_of(np.array([99, 8, 0, 0]), leds))


def test_colour_stacks_keep_their_colours_but_not_in_the_colour_of_angles(rng):
    data = rng.integers(0, 255, (5, 4, 6, 3)).astype(np.uint8)
    stack = ImageStack(da.from_array(data, chunks=(1, 4, 6, 3)), "AYXS", leds=AROUND)
    np.testing.assert_allclose(brightfield(stack, 0.4), data.mean(0, dtype=float).astype(np.float32))
    assert differential_phase(stack, 0, 0.4).shape == (4, 6, 3)
    outside = AROUND.with_kinds(0.1)
    by_angle = colour_by_angle(stack.replace(leds=outside))
    grey = colour_by_angle(ImageStack(data[..., 1], "AYX", leds=outside))
    np.testing.assert_array_equal(by_angle, grey)


def test_lazy_is_eager_and_reads_each_plane_once():
    planes = panel_planes()
    read = []

    def plane(block_id):
        read.append(block_id[0])
        return planes[block_id[0]][None]

    lazy = panel().replace(
        data=da.map_blocks(plane, chunks=((1,) * 81, N, N), dtype=np.float32, meta=np.empty((0, 0, 0), np.float32))
    )
    leds = lazy.leds
    inside = set(np.flatnonzero(leds.brightfield(NA)).tolist())
    for make, rows in (
        (lambda stack: brightfield(stack, NA), inside),
        (lambda stack: darkfield(stack, NA), set(range(81)) - inside),
        (lambda stack: colour_by_angle(stack, NA), set(range(81)) - inside),
        (lambda stack: differential_phase(stack, 90, NA), inside - {0} - set(np.flatnonzero(leds.y_mm == 0).tolist())),
    ):
        result = make(lazy)
        assert read == []
        np.testing.assert_allclose(result, make(panel()), rtol=1e-6)
        assert sorted(read) == sorted(rows)
        read.clear()
    check_leds(lazy.replace(data=lazy.data[:5], leds=leds[:5]), na=NA)
    assert read == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("make", [brightfield, darkfield, colour_by_angle, partial(differential_phase, azimuth_deg=0)])
def test_few_planes_are_in_memory(make):
    leds = rectangular_leds(15, 15, pitch_mm=4, height_mm=90)
    here = [0, 0]  # now, at most

    def gone():
        here[0] -= 1

    def plane():
        made = np.ones((1, 4, 4), np.uint8)
        weakref.finalize(made, gone)
        here[0] += 1
        here[1] = max(here)
        return made

    data = da.map_blocks(plane, chunks=((1,) * 225, 4, 4), dtype=np.uint8, meta=np.empty((0, 0, 0), np.uint8))
    make(ImageStack(data, "AYX", leds=leds), na=0.2).compute(scheduler="synchronous")
    assert here[1] <= 3


@pytest.mark.parametrize("make", [brightfield, darkfield, colour_by_angle, lambda stack, na: check_leds(stack, na=na)])
def test_stacks_that_cannot_be(make):
    with pytest.raises(ValueError, match="stack has axes ZYX: give an LED stack, AYX or AYXS"):
        make(ImageStack(np.zeros((2, 4, 4)), "ZYX"), 0.4)
    with pytest.raises(ValueError, match="the stack has no LED table: open it with leds="):
        make(ImageStack(np.zeros((2, 4, 4)), "AYX"), 0.4)
    with pytest.raises(ValueError, match="na is 0: a numerical aperture is a positive number"):
        make(stack_of(np.zeros(5), AROUND), 0)


def test_halves_without_leds():
    stack = stack_of(np.ones(5), AROUND)
    with pytest.raises(
        ValueError, match=r"no plane of a single LED with light outside NA 0\.4: the angles go from 0 to 10"
    ):
        darkfield(stack, 0.4)
    lone = LedTable(index=[0, 1], polar_deg=[0, 10], azimuth_deg=0)
    with pytest.raises(ValueError, match=r"inside NA 0\.4 on one side of azimuth 0 deg"):
        differential_phase(stack_of(np.ones(2), lone), 0, 0.4)
    with pytest.raises(ValueError, match="azimuth_deg is inf: give an angle"):
        differential_phase(stack, np.inf, 0.4)


def test_inputs_stay_as_they_are():
    planes = panel_planes()
    before = planes.copy()
    stack = panel(planes)
    for make in (brightfield, darkfield, colour_by_angle):
        make(stack, NA)
    check_leds(stack.replace(data=planes[:20], leds=stack.leds[:20]), na=NA, saturation=1e9)
    np.testing.assert_array_equal(planes, before)
    assert stack.leds.columns() == panel().leds.columns()


# --- checks --------------------------------------------------------------------------------------------------


def test_a_good_stack_has_nothing_wrong():
    checks = check_leds(panel(panel_planes(40.0)), na=NA, saturation=1e6)
    assert checks.findings == ()
    assert np.isfinite(checks.shift_px).mean() > 0.7
    assert (checks.saturated == 0).all()
    assert str(checks).startswith("nothing wrong was found")


def test_faults_are_found_each_in_its_plane():
    leds, planes = panel().leds, panel_planes().copy()
    one = int(np.flatnonzero(np.isclose(leds.x_mm, 17.6) & np.isclose(leds.y_mm, 8.8))[0])
    other = int(np.flatnonzero(np.isclose(leds.x_mm, -8.8) & np.isclose(leds.y_mm, 17.6))[0])  # as bright
    planes[[one, other]] = planes[[other, one]]
    planes[[5, 50]] = planes[[50, 5]]  # between brightfield and dark field
    planes[3] = np.roll(planes[3], 3, 0)
    planes[33] = np.roll(planes[33], (-2, 2), (0, 1))
    planes[2] = 2 + np.random.default_rng(0).normal(0, 0.5, (N, N))  # the LED did not shine
    checks = check_leds(panel(planes), na=NA)
    print(checks)
    by_plane = {finding.plane: finding.what for finding in checks.findings}
    assert set(by_plane) == {one, other, 5, 50, 3, 33, 2}
    assert {by_plane[row] for row in (one, other, 50)} == {"order"}
    assert (by_plane[3], by_plane[33], by_plane[2]) == ("shifted", "shifted", "black")
    np.testing.assert_allclose(checks.shift_px[33], (-2, 2), atol=1)
    (moved,) = (finding for finding in checks.findings if finding.plane == 33)
    assert moved.led == 33
    assert moved.value == pytest.approx(np.hypot(*checks.shift_px[33]))
    assert moved.sentence.startswith("plane 33 (LED 33): ")
    assert len(checks.findings) == 7


def test_dark_field_that_is_moved_as_a_whole():
    planes = panel_planes().copy()
    outside = ~panel().leds.brightfield(NA)
    planes[outside] = np.roll(planes[outside], (3, -1), (1, 2))
    (finding,) = check_leds(panel(planes), na=NA).findings
    assert (finding.plane, finding.led, finding.what) == (None, None, "shifted")
    assert "all planes outside NA 0.1 as a whole" in finding.sentence
    assert finding.value == pytest.approx(np.hypot(3, 1), abs=1)


def test_black_and_saturated_planes():
    planes = np.clip(panel_planes()[:5], 0, 4000).astype(np.uint16)
    planes[4] = 0
    planes[2, :10] = 4000
    stack = ImageStack(planes, "AYX", leds=panel().leds[:5])
    checks = check_leds(stack, na=NA, saturation=4000)
    saturated = {row for row in range(5) if (planes[row] >= 4000).mean() > 0.001}
    assert {one.plane for one in checks.findings if one.what == "saturated"} == saturated
    assert 2 in saturated
    assert [one.plane for one in checks.findings if one.what == "black"] == [4]
    np.testing.assert_allclose(checks.saturated, (planes >= 4000).mean((1, 2)))
    not_told = check_leds(stack, na=NA)
    assert not_told.unknown[0] == "saturation, of uint16 pixels: give the grey level from which they are burnt"
    assert np.isnan(not_told.saturated).all()
    np.testing.assert_array_equal(check_leds(stack.replace(data=(planes // 16).astype(np.uint8)), na=NA).saturated, 0)


@pytest.mark.parametrize("part", ["all", "dark field"])
def test_shuffled_planes(part):
    planes, rng = panel_planes().copy(), np.random.default_rng(0)
    rows = np.arange(81) if part == "all" else np.flatnonzero(~panel().leds.brightfield(NA))
    planes[rows] = planes[rng.permutation(rows)]
    (finding,) = check_leds(panel(planes), na=NA).findings
    assert (finding.plane, finding.what) == (None, "order")
    assert finding.sentence.startswith("the planes are not in the order of the table: ")


@pytest.mark.parametrize("exposures", [("low", "high"), ("low",)])
def test_shuffled_planes_of_arms_that_have_exposures_of_their_own(exposures):
    sample = blood_phantom((256, 256), 0.125, seed=0, white_per_mm2=1500)
    leds = arm_leds(darkfield_exposures=exposures)
    leds = metered(leds, sample.transmission(), 0.125, WULFF_2022, target=0.65, percentile=99.9)
    lit = led_stack(sample.transmission(), 0.125, WULFF_2022, leds, dtype=np.uint8, level=120, step=2)
    assert not any(one.what == "order" for one in check_leds(lit, na=0.4).findings)
    order = np.random.default_rng(1).permutation(len(leds))
    (told,) = [one for one in check_leds(lit.replace(data=lit.data[order]), na=0.4).findings if one.what != "saturated"]
    assert told.sentence.startswith(
        "the planes are not in the order of the table: planes inside NA 0.4 are no more like"
    )


@pytest.mark.parametrize(("step", "said"), [(1, "late"), (-1, "early")])
def test_planes_that_moved_on_by_one(step, said):
    (finding,) = check_leds(panel(np.roll(panel_planes(), step, axis=0)), na=NA).findings
    assert finding.sentence.endswith(f"planes look one too {said} for their LEDs")


def test_dark_planes_of_arms_that_moved_on_by_one():
    """Nothing of their brightness tells, since each ring has its exposure: their likeness does."""
    sample = blood_phantom((384, 384), 0.125, seed=0, white_per_mm2=1500)
    leds = metered(arm_leds(), sample.transmission(), 0.125, WULFF_2022, target=0.65, percentile=99.9)
    lit = led_stack(
        *(sample.transmission(), 0.125, WULFF_2022, leds),
        **{"dtype": np.uint8, "level": 120, "noise": DetectorNoise(0.01), "high_over_low": 2.5, "step": 2},
    )
    low = np.flatnonzero(leds.exposure == "low")
    late = lit.data.copy()
    late[low] = lit.data[np.roll(low, 1)]
    said = [found.sentence for found in check_leds(lit, na=0.4).findings]
    assert not any("for their LEDs" in one for one in said)
    said = [found.sentence for found in check_leds(lit.replace(data=late), na=0.4).findings]
    assert any(one.endswith("planes look one too late for their LEDs") for one in said)


def test_a_plane_that_is_there_twice():
    planes = panel_planes().copy()
    planes[5] = planes[4]
    findings = check_leds(panel(planes), na=NA).findings
    assert [one.plane for one in findings if "has the pixels of plane 4" in one.sentence] == [5]


@pytest.mark.real_data
@pytest.mark.parametrize("colour", ["red", "green", "blue"])
def test_recorded_planes_that_moved_on_by_one(real_data, colour):
    stack = open_stack(real_data / "led_stacks" / "blood_smear" / f"{colour}.tif")
    assert not check_leds(stack, na=0.1).findings
    late = np.roll(np.asarray(stack.data), 1, axis=0)
    assert any("one too late" in found.sentence for found in check_leds(stack.replace(data=late), na=0.1).findings)


def test_low_and_high_exposure_exchanged(rng):
    leds = arm_leds(arms=5, brightfield=False)
    level = np.where(leds.exposure == "high", 40, 10) * np.where(leds.kind == "point", 10, 1)
    planes = level[:, None, None] * rng.uniform(0.9, 1.1, (len(leds), 32, 32))
    stack = ImageStack(planes, "AYX", leds=leds)
    assert not check_leds(stack, na=0.4).findings
    low, high = (int(np.flatnonzero((leds.index == 23) & (leds.exposure == one))[0]) for one in ("low", "high"))
    swapped = planes.copy()
    swapped[[low, high]] = planes[[high, low]]
    findings = check_leds(stack.replace(data=swapped), na=0.4).findings
    assert {one.plane for one in findings} == {low, high}
    assert {one.what for one in findings} == {"order"}
    twice = {name: [*column, *column] for name, column in leds.columns().items()}
    colours = np.repeat([0.63, 0.53], len(leds))
    both = LedTable(**{**twice, "plane": range(2 * len(leds)), "wavelength_um": colours})
    dim = stack.replace(data=np.concatenate([planes, 0.1 * planes]), leds=both)
    assert not check_leds(dim, na=0.4).findings  # green is dim: its high exposure is darker than the low one of red


def test_missing_leds_are_told():
    stack = panel()
    rows = np.delete(np.arange(25), 5)
    missing = check_leds(stack.replace(data=stack.data[rows], leds=stack.leds[rows]), na=NA).findings
    assert [(one.plane, one.what) for one in missing] == [(None, "missing")]
    assert missing[0].sentence == "no LED at x -4.4, y 0 mm, where the panel should have one"


def test_large_planes_are_compared_by_their_middle():
    leds = LedTable(index=range(2), polar_deg=[0, 10], azimuth_deg=0)
    planes = np.zeros((2, 8, MIDDLE_PX + 20), np.uint8)
    planes[:, :, ::2] = 200
    planes[:, 0, 0] = 255
    checks = check_leds(ImageStack(planes, "AYX", leds=leds), na=0.4)
    np.testing.assert_allclose(checks.mean, planes.mean((1, 2)))
    assert checks.saturated[0] == pytest.approx(1 / planes[0].size)  # of the whole plane


def test_pixels_that_are_not_finite_are_named():
    planes = np.ones((5, 8, 8))
    planes[3, 0, 0] = np.nan
    with pytest.raises(ValueError, match=r"plane 3 \(LED 3\) has pixels that are not finite; leave it out or mend it"):
        check_leds(ImageStack(planes, "AYX", leds=AROUND), na=0.4)


# --- recorded ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def recorded(real_data):
    """The 9 x 9 LEDs in the middle of the real panel, in red light."""
    stack = open_stack(real_data / "led_stacks/blood_smear/red.tif")
    return stack.replace(data=np.asarray(stack.data[:81]), leds=stack.leds[:81])


@pytest.mark.real_data
def test_the_recorded_stack_is_good(recorded):
    checks = check_leds(recorded, na=0.1)
    assert checks.findings == ()
    off = np.hypot(*checks.shift_px.T)
    inside = recorded.leds.brightfield(0.1)
    print(f"off by at most {np.nanmax(off[inside]):.2f} px inside NA, {np.nanmax(off[~inside]):.2f} outside")
    assert np.nanmax(off[~inside]) < 1


@pytest.mark.real_data
def test_faults_made_in_the_recorded_stack_are_found(recorded):
    planes = recorded.data.copy()
    planes[[5, 70]] = planes[[70, 5]]  # between brightfield and dark field
    planes[12] = np.roll(planes[12], 3, 0)
    planes[45] = np.roll(planes[45], (2, -2), (0, 1))
    planes[33] = 0
    planes[0] = np.minimum(3 * planes[0], 4)
    checks = check_leds(recorded.replace(data=planes), na=0.1, saturation=4)
    by_plane = {one.plane: one.what for one in checks.findings}
    assert {0, 5, 12, 33, 45, 70} == set(by_plane)
    assert by_plane[70] == "order"
    assert by_plane[5] in ("order", "black")
    assert (by_plane[12], by_plane[45], by_plane[33]) == ("shifted", "shifted", "black")
    assert "saturated" in {one.what for one in checks.findings if one.plane == 0}
    np.testing.assert_allclose(checks.shift_px[45], (2, -2), atol=0.6)
    assert {one.what for one in checks.findings} <= set(WHATS)


@pytest.mark.real_data
def test_the_recorded_stack_shuffled(recorded, rng):
    order = rng.permutation(81)
    (finding,) = check_leds(recorded.replace(data=recorded.data[order]), na=0.1).findings
    assert (finding.plane, finding.what) == (None, "order")
