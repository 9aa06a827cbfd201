"""Beads: widths that are known, what is left out and why, the average, a real stack."""

from __future__ import annotations

import re

import dask.array as da
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage, special
from scipy.optimize import brentq

from napari_cellrestore.beads import (
    FWHM_PER_SIGMA,
    expected_fwhm,
    fit_gaussians,
    measure_beads,
    reasons,
    without_size,
)
from napari_cellrestore.files import open_stack
from napari_cellrestore.objective import Objective
from napari_cellrestore.psf import incoherent_psf
from napari_cellrestore.stack import ImageStack

OIL = Objective(na=1.4, wavelength_um=0.58, immersion_index=1.518)
SIGMA_PX = (3.0, 2.0, 2.5)
PLACES = ((15.3, 30.2, 30.7), (14.6, 30.0, 90.4), (16.0, 90.5, 31.0), (15.0, 92.0, 95.3))


def stack_of(places, sigma_px=SIGMA_PX, shape=(31, 125, 130), height=1000.0, level=100.0):
    """Return Gaussian beads, float, without noise."""
    z, y, x = np.indices(shape)
    stack = np.full(shape, float(level))
    for place in places:
        stack += height * np.exp(
            -0.5 * sum(((at - c) / s) ** 2 for at, c, s in zip((z, y, x), place, sigma_px, strict=True))
        )
    return stack


def noisy(stack, rng, read=5.0):
    return np.round(rng.poisson(stack) + rng.normal(0, read, stack.shape)).clip(0).astype(np.uint16)


# --- widths ------------------------------------------------------------------------------------------------


def test_widths_of_gaussian_beads(rng):
    stack = noisy(stack_of(PLACES), rng)
    before = stack.copy()
    found = measure_beads(stack, 0.1, 0.2)
    expected = FWHM_PER_SIGMA * np.multiply(SIGMA_PX, (0.2, 0.1, 0.1))
    assert len(found.used) == 4
    np.testing.assert_allclose(found.mean_um, expected, rtol=0.02)
    np.testing.assert_allclose(found.fwhm_um, expected, rtol=0.02)
    assert (np.array(found.std_um) < 0.03 * expected).all()
    for bead, place in zip(found.used, PLACES, strict=True):
        np.testing.assert_allclose(bead.zyx_px, place, atol=0.15)
        assert bead.peak == pytest.approx(1000, rel=0.1)
    np.testing.assert_array_equal(stack, before)


def test_the_average_is_the_bead_in_the_middle_of_a_volume_of_sum_1():
    found = measure_beads(stack_of(PLACES), 0.1, 0.2)
    psf = found.psf
    middle = np.unravel_index(psf.argmax(), psf.shape)
    assert middle == tuple(length // 2 for length in psf.shape)
    assert all(length % 2 for length in psf.shape)
    z, y, x = (np.arange(length) - length // 2 for length in psf.shape)
    true = np.exp(-0.5 * ((z[:, None, None] / 3) ** 2 + (y[:, None] / 2) ** 2 + (x / 2.5) ** 2))
    np.testing.assert_allclose(psf / psf.max(), true, atol=0.01)
    assert psf.sum() == pytest.approx(1)


def test_widths_of_the_point_spread_function_of_an_objective(rng):
    """The widths of simulated optics: what the same fit says of the theory, and nearly the true ones."""
    pixel_um, step_um = 0.045, 0.1
    planes = [incoherent_psf((81, 81), pixel_um, OIL, step_um * k) for k in range(-15, 16)]
    stack = noisy(20 + 40000 * np.stack(planes), rng, read=1)
    found = measure_beads(stack, pixel_um, step_um, objective=OIL)
    assert found.expected_um == expected_fwhm(OIL)
    np.testing.assert_allclose(found.fwhm_um, found.expected_um, rtol=0.03)
    assert found.warnings[0].startswith("1 bead only")


@pytest.mark.parametrize("objective", [OIL, Objective(0.25, 0.5), Objective(1.2, 0.52, 1.33)])
def test_expected_widths_against_integrals(objective):
    """In focus the Airy pattern, on the axis the integral over the pupil (Born & Wolf, section 8.8)."""
    airy = 2 * 1.61634 * objective.wavelength_um / (2 * np.pi * objective.na)
    assert (2 * special.j1(1.61634) / 1.61634) ** 2 == pytest.approx(0.5, abs=1e-5)
    nu = np.linspace(0, objective.na / objective.wavelength_um, 4001)
    kz = np.sqrt((objective.immersion_index / objective.wavelength_um) ** 2 - nu**2)

    def over_half(z):
        return abs(np.trapezoid(np.exp(2j * np.pi * z * kz) * nu, nu) / (nu[-1] ** 2 / 2)) ** 2 - 0.5

    n, na = objective.immersion_index, objective.na
    axial = 2 * brentq(over_half, 0, 0.7 * objective.wavelength_um / (n - np.sqrt(n**2 - na**2)))
    z, y, x = expected_fwhm(objective)
    assert (y, x) == pytest.approx((airy, airy), rel=0.01)
    assert 0.95 < z / axial < 0.99


@settings(max_examples=20, deadline=None)
@given(
    st.tuples(*[st.floats(1.2, 4)] * 3),
    st.tuples(*[st.floats(-0.6, 0.6)] * 3),
    st.floats(0.5, 1000),
    st.floats(-50, 50),
)
def test_gaussians_are_fitted_exactly(sigma_px, off_px, height, level):
    place = np.add(20, off_px)
    volume = stack_of([place], sigma_px, (41, 41, 41), height, level)
    fit = fit_gaussians(volume, tuple(2.5 * np.array(sigma_px)))
    # the line through the centre is interpolated between pixels, which does not change its width
    np.testing.assert_allclose(fit.fwhm_px, FWHM_PER_SIGMA * np.array(sigma_px), rtol=1e-3)
    np.testing.assert_allclose(fit.centre_px, place, atol=2e-3)
    assert fit.explained == pytest.approx(1, abs=1e-3)


# --- what is left out ----------------------------------------------------------------------------------------


def test_one_bad_bead_does_not_spoil_the_others(rng):
    """Saturated, touching, at the border, far up in the stack: each left out with its reason."""
    shape = (31, 200, 260)
    good = ((15, 40, 45), (15, 40, 130), (15.4, 120, 50), (15, 115, 130.2))
    stack = stack_of(good, shape=shape)
    stack += stack_of([(15, 160, 200), (15, 160, 215)], shape=shape, level=0)  # touching
    stack += stack_of([(15, 40, 254)], shape=shape, level=0)  # at the border
    stack += stack_of([(2, 100, 210)], shape=shape, level=0)  # far up
    stack += stack_of([(15, 50, 200)], shape=shape, level=0, height=9000)  # saturated
    stack = np.minimum(noisy(stack, rng), 4095)
    found = measure_beads(stack, 0.1, 0.2)
    assert [tuple(np.rint(bead.zyx_px[1:]).astype(int)) for bead in found.used] == [
        (40, 45),
        (40, 130),
        (115, 130),
        (120, 50),
    ]
    said = {tuple(np.rint(bead.zyx_px[1:]).astype(int)): bead.reason for bead in found.left_out}
    assert re.match(r"saturated \(\d.*% of the pixels at 4095\)", said[50, 200])
    assert said[40, 254].startswith("at the border (5 px from it")
    assert said[160, 200].startswith("near another (15 px away")
    assert said[160, 215].startswith("near another")
    assert re.match(r"too few planes around it \([12] of", said[100, 210])
    assert found.saturation == 4095
    np.testing.assert_allclose(found.mean_um, FWHM_PER_SIGMA * np.multiply(SIGMA_PX, (0.2, 0.1, 0.1)), rtol=0.03)
    assert reasons(found.beads).startswith("2 near another")


def test_two_beads_that_touch_are_of_odd_width(rng):
    stack = stack_of(PLACES)
    stack += stack_of([(15, 30, 85.5)], level=0)
    found = measure_beads(noisy(stack, rng), 0.1, 0.2)
    (touching,) = found.left_out
    assert touching.zyx_px[2] == pytest.approx(88, abs=0.5)
    assert re.match(r"odd width \(1\.\d+ um along x, the median is 0\.\d+\)|not like a bead", touching.reason)


def test_dim_beads_are_left_out(rng):
    stack = noisy(stack_of(PLACES[:3]) + stack_of([PLACES[3]], level=0, height=120), rng)
    (dim,) = measure_beads(stack, 0.1, 0.2).left_out
    assert re.match(r"dim \(1\d\d above a noise of 1\d\)", dim.reason)


def test_a_bead_between_two_depths_is_not_like_a_bead(rng):
    stack = stack_of((*PLACES[:3], (10, 92, 95), (18, 92, 95)))
    found = measure_beads(noisy(stack, rng), 0.1, 0.2)
    assert len(found.used) == 3
    assert "92" in str(np.rint(found.left_out[0].zyx_px[1]))


def test_pixels_at_the_largest_value_of_a_type_are_saturated():
    stack = np.minimum(stack_of(PLACES, height=150), 255).astype(np.uint8)
    assert measure_beads(stack, 0.1, 0.2).saturation is None
    stack = np.minimum(stack_of(PLACES, height=200), 255).astype(np.uint8)
    with pytest.raises(ValueError, match="none of 4 beads can be used: 4 saturated"):
        measure_beads(stack, 0.1, 0.2)


# --- input ---------------------------------------------------------------------------------------------------


def test_stacks_colours_and_lazy_planes_give_the_same():
    stack = np.round(stack_of(PLACES)).astype(np.uint16)
    plain = measure_beads(stack, 0.1, 0.2)
    colour = np.stack([0 * stack, stack, stack[::-1]], -1)
    lazy = ImageStack(da.from_array(colour, chunks=(1, -1, -1, -1)), "ZYXS", pixel_um=0.1, z_um=0.2 * np.arange(31))
    np.testing.assert_allclose(measure_beads(lazy).psf, plain.psf)
    assert measure_beads(stack, 0.1, 0.2, reach_um=(1.4, 1.2)).psf.shape == (15, 25, 25)


def test_bad_input(rng):
    noise = rng.normal(100, 10, (20, 100, 100))
    for empty in (noise, np.full((20, 64, 64), 7), np.zeros((20, 64, 64), np.uint8)):
        with pytest.raises(ValueError, match=r"no bead found: nothing stands 8 times the noise above"):
            measure_beads(empty, 0.1, 0.2)
    with pytest.raises(ValueError, match="z_step_um is None: give it in micrometres"):
        measure_beads(ImageStack(noise, "ZYX", pixel_um=0.1))
    with pytest.raises(ValueError, match="pixel_um is -1: give it in micrometres"):
        measure_beads(noise, -1, 0.2)
    with pytest.raises(ValueError, match="the stack has 3 planes: 5 or more"):
        measure_beads(noise[:3], 0.1, 0.2)
    with pytest.raises(ValueError, match=r"shape \(100, 100\)"):
        measure_beads(noise[0], 0.1, 0.2)
    noise[3, 5, 5] = np.nan
    with pytest.raises(ValueError, match="plane 3: 1 of 10000 pixels are not finite"):
        measure_beads(noise, 0.1, 0.2)
    with pytest.raises(TypeError, match="dtype bool"):
        measure_beads(noise > 100, 0.1, 0.2)
    with pytest.raises(ValueError, match=r"pixels are 0.2 x 0.1 um: beads need square ones"):
        measure_beads(ImageStack(noise, "ZYX", pixel_um=0.1, pixel_y_um=0.2))


def test_doubts():
    found = measure_beads(stack_of(PLACES, (3, 0.9, 0.9)), 0.2, 0.2, objective=OIL)
    assert [text.split(":")[0] for text in found.warnings] == [
        "the width along y is 2.2 samples",
        "the width along x is 2.2 samples",
        found.warnings[2],
    ]
    assert found.warnings[2].startswith("pixels of 0.2 um alias an image of NA 1.4")


# --- the beads' own size -------------------------------------------------------------------------------------


def ball(diameter_px, side_px, parts=4):
    """Return how much of each voxel a ball fills."""
    at = (np.arange(side_px * parts) - (side_px * parts - 1) / 2) / parts
    full = at[:, None, None] ** 2 + at[:, None] ** 2 + at**2 <= (diameter_px / 2) ** 2
    return full.reshape((side_px, parts) * 3).mean((1, 3, 5))


@pytest.mark.parametrize(("part", "within"), [(0.3, 0.01), (0.7, 0.012), (0.95, 0.04)])
def test_the_size_of_a_ball_is_taken_off(part, within):
    """A Gaussian convolved with a ball, by numbers: what is left of the width that is measured is the Gaussian's."""
    fwhm_px = np.array([16.0, 10.0, 10.0])
    volume = np.zeros((41, 41, 41))
    side = int(part * 10) // 2 * 2 + 3
    middle = slice(20 - side // 2, 21 + side // 2)
    volume[middle, middle, middle] = ball(part * 10, side)
    image = ndimage.gaussian_filter(volume, fwhm_px / FWHM_PER_SIGMA, truncate=5)
    measured = fit_gaussians(image, tuple(fwhm_px), background=0.0).fwhm_px
    np.testing.assert_allclose(without_size(measured, part * 10), fwhm_px, rtol=within)
    assert measured[1] > fwhm_px[1]


def test_variances_of_a_ball_and_a_gaussian_add():
    """8 ln 2 / 20 of the squared diameter, since the variance of a ball along an axis is R^2 / 5."""
    filled = ball(20, 23)
    at = np.arange(23) - 11
    assert (filled.sum((1, 2)) * at**2).sum() / filled.sum() == pytest.approx(20**2 / 20, rel=0.01)
    assert without_size((2.0, 1.0, 1.0), 0.5)[1] == pytest.approx((1 - 8 * np.log(2) / 20 * 0.25) ** 0.5)
    with pytest.raises(ValueError, match=r"beads of 1.2 um are larger than the width of 1 um measured along y.*cannot"):
        without_size((2.0, 1.0, 1.1), 1.2)
    with pytest.raises(ValueError, match=r"beads of 100 um \(100 nm would be 0.1\) are larger"):
        without_size((2.0, 1.0, 1.1), 100)
    with pytest.raises(ValueError, match="diameter_um is 0: give the diameter of a bead in micrometres"):
        without_size((2.0, 1.0, 1.1), 0)


def test_beads_of_known_and_of_unknown_size():
    stack = stack_of(PLACES)
    plain = measure_beads(stack, 0.1, 0.2)
    assert (plain.diameter_um, plain.corrected_um) == (None, None)
    known = measure_beads(stack, 0.1, 0.2, diameter_um=0.3)
    assert known.mean_um == plain.mean_um
    assert known.corrected_um == without_size(plain.mean_um, 0.3)
    assert known.warnings == plain.warnings
    nearly = measure_beads(stack, 0.1, 0.2, diameter_um=0.4)
    assert "beads of 0.4 um are 0.85 of the width: what is left of it is up to 7 % too wide" in nearly.warnings[0]
    large = measure_beads(stack, 0.1, 0.2, diameter_um=0.5)
    assert large.corrected_um is None
    assert large.warnings[0].startswith("beads of 0.5 um are larger than the width of 0.471 um measured along y")
    with pytest.raises(ValueError, match="diameter_um is -1"):
        measure_beads(stack, 0.1, 0.2, diameter_um=-1)


# --- real --------------------------------------------------------------------------------------------------


@pytest.mark.real_data
def test_real_beads(real_data):
    """Numbers of the documentation: a confocal microscope, 100x/1.40 oil, pinhole of 1 Airy unit."""
    found = measure_beads(open_stack(real_data / "psf" / "beads_confocal"), objective=OIL)
    assert len(found.used) == pytest.approx(78, abs=3)
    assert sum(bead.reason.startswith("saturated") for bead in found.beads) == 3
    np.testing.assert_allclose(found.mean_um, (0.731, 0.261, 0.310), rtol=0.02)
    np.testing.assert_allclose(found.std_um, (0.035, 0.009, 0.010), rtol=0.25)
    np.testing.assert_allclose(found.fwhm_um, (0.718, 0.260, 0.309), rtol=0.02)
    np.testing.assert_allclose(found.expected_um, (0.562, 0.212, 0.212), rtol=0.01)
