import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import jv

from napari_cellrestore.leds import LedTable
from napari_cellrestore.objective import Objective
from napari_cellrestore.psf import pupil
from napari_cellrestore.simulate import WULFF_2022, DetectorNoise, led_stack, metered

LENS = Objective(na=0.4, wavelength_um=0.5)
CUTOFF = 0.8  # NA / wavelength, per um


def table(polar, azimuth=0.0, **columns):
    polar = np.atleast_1d(polar)
    azimuth = np.broadcast_to(azimuth, polar.shape)
    kind = columns.pop("kind", np.where(np.sin(np.radians(polar)) < 0.4, "point", "darkfield").tolist())
    return LedTable(index=range(len(polar)), polar_deg=polar, azimuth_deg=azimuth, kind=kind, **columns)


def polar_of(nu_per_um):
    """Polar angle of light of a spatial frequency."""
    return np.degrees(np.arcsin(np.asarray(nu_per_um) * LENS.wavelength_um))


def by_tilting(field, pixel_um, lens, nu_yx, defocus_um=0.0):
    """The textbook formula in double precision, for light whose wave fits the grid."""
    y, x = (np.arange(n) * pixel_um for n in field.shape)
    tilt = np.exp(2j * np.pi * (nu_yx[0] * y[:, None] + nu_yx[1] * x))
    return np.abs(np.fft.ifft2(np.fft.fft2(field * tilt) * pupil(field.shape, pixel_um, lens, defocus_um))) ** 2


def cells(rng, shape=(48, 48), strength=0.3):
    smooth = np.fft.ifft2(np.fft.fft2(rng.normal(size=shape)) * np.exp(-(np.hypot(*np.indices(shape)) ** 2) / 400)).real
    return np.exp(1j * strength * smooth / smooth.std() - 0.1 * rng.random(shape))


# --- the image of one LED --------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [1.0, 0.3 + 0.2j])
def test_a_blank_object_is_even_inside_the_aperture_and_black_outside(value):
    leds = table([0, 10, 23, 24, 40, 57], [0, 33, 200, 45, 10, 300])
    stack = led_stack(np.full((37, 50), value), 0.19, LENS, leds, defocus_um=3.0)
    np.testing.assert_allclose(stack.data[:3], abs(value) ** 2, rtol=1e-5)
    assert (stack.data[3:] == 0).all()


@settings(max_examples=40, deadline=None)
@given(polar=st.floats(0, 60), azimuth=st.floats(0, 360), cycles=st.integers(3, 20))
def test_orders_of_a_phase_grating_enter_where_the_grating_equation_says(polar, azimuth, cycles):
    """``exp(i e cos(2 pi f x))`` has orders ``i^n J_n(e)`` at ``n f``; each passes if ``|nu_led + n f| <= NA / wavelength``."""
    n_px, pixel_um, depth = 128, 0.1, 0.4
    f = cycles / (n_px * pixel_um)
    x = np.arange(n_px) * pixel_um
    grating = np.exp(1j * depth * np.cos(2 * np.pi * f * x))[None].repeat(8, 0)
    nu = np.sin(np.radians(polar)) / 0.5 * np.array([np.sin(np.radians(azimuth)), np.cos(np.radians(azimuth))])
    orders = np.arange(-8, 9)
    distance = np.hypot(nu[0], nu[1] + orders * f)
    if np.abs(distance - CUTOFF).min() < 1e-6:
        return  # on the rim, rounding decides
    field = sum(
        1j ** int(n) * jv(n, depth) * np.exp(2j * np.pi * n * f * x) * (d <= CUTOFF)
        for n, d in zip(orders, distance, strict=True)
    )
    image = led_stack(grating, pixel_um, LENS, table(polar, azimuth)).data[0]
    np.testing.assert_allclose(image, np.broadcast_to(np.abs(field) ** 2, image.shape), atol=2e-6)


def test_the_first_order_is_seen_in_dark_field_of_the_right_leds_only():
    """A grating of 1 um along x, NA 0.4, 0.5 um: light of 1 per um along +x or -x is bent onto the axis."""
    x = np.arange(100) * 0.1
    grating = np.exp(0.1j * np.cos(2 * np.pi * x))[None].repeat(10, 0)
    leds = table([30, 30, 30, 30, 25, 60], [0, 90, 180, 45, 90, 0])
    levels = led_stack(grating, 0.1, LENS, leds).data.mean((1, 2))
    first = jv(1, 0.1) ** 2
    # 45 deg: (0.71 - 1, 0.71) per um is within 0.8; along y the first orders stay outside; 60 deg: 1.73 - 1 is within
    np.testing.assert_allclose(levels, [first, 0, first, first, 0, first], atol=1e-5)
    assert levels[[0, 2, 3, 5]].min() > 0.9 * first


def test_without_an_aperture_the_image_is_the_transmittance(rng):
    """A pupil wider than the grid passes everything, whatever the LED."""
    field = cells(rng)
    wide = Objective(na=1.5, wavelength_um=0.5, immersion_index=1.515)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pixels as coarse as these alias
        stack = led_stack(field, 0.4, wide, table([0, 20], [0, 70]))
    np.testing.assert_allclose(stack.data, np.broadcast_to(np.abs(field) ** 2, stack.data.shape), rtol=2e-5)


def test_the_light_of_an_image_is_that_of_the_frequencies_that_pass(rng):
    field = cells(rng)
    spectrum = np.abs(np.fft.fft2(field) / field.size) ** 2
    nu = np.fft.fftfreq(48, 0.15)
    for polar, azimuth in ((12.3, 77.0), (41.0, 200.0)):
        light = np.sin(np.radians(polar)) / 0.5 * np.exp(1j * np.radians(azimuth))
        passes = np.hypot(nu[:, None] + light.imag, nu + light.real) <= CUTOFF
        mean = led_stack(field, 0.15, LENS, table(polar, azimuth)).data.mean(dtype=float)
        assert mean == pytest.approx(spectrum[passes].sum(), rel=1e-5)


@pytest.mark.parametrize("defocus_um", [0.0, 4.0])
def test_moving_the_pupil_is_tilting_the_light_and_single_precision_is_enough(rng, defocus_um):
    field = cells(rng, (64, 80))
    for k_y, k_x in ((0, 0), (3, -4), (-9, 11)):
        nu = np.array([k_y / (64 * 0.15), k_x / (80 * 0.15)])
        leds = table(polar_of(np.hypot(*nu)), np.degrees(np.arctan2(*nu)))
        image = led_stack(field, 0.15, LENS, leds, defocus_um=defocus_um).data[0]
        truth = by_tilting(field, 0.15, LENS, nu, defocus_um)
        assert np.sqrt(np.mean((image - truth) ** 2)) < 6e-7 * truth.mean()


def test_light_that_does_not_fit_the_grid_does_not_leak(rng):
    """On four copies of the object the wave fits, on one it does not; nothing changes."""
    field = cells(rng, (32, 32))
    nu = np.array([1 / (128 * 0.15), 6 / (128 * 0.15)])
    leds = table(polar_of(np.hypot(*nu)), np.degrees(np.arctan2(*nu)))
    truth = by_tilting(np.tile(field, (4, 4)), 0.15, LENS, nu, 2.0)[:32, :32]
    np.testing.assert_allclose(led_stack(field, 0.15, LENS, leds, defocus_um=2.0).data[0], truth, atol=3e-6)


# --- symmetries ------------------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(polar=st.floats(0, 57), azimuth=st.floats(-180, 180), z_um=st.floats(-5, 5), seed=st.integers(0, 99))
def test_a_mirrored_object_in_mirrored_light_is_mirrored(polar, azimuth, z_um, seed):
    field = cells(np.random.default_rng(seed), (30, 33))
    image = led_stack(field, 0.2, LENS, table(polar, azimuth), defocus_um=z_um).data[0]
    left = led_stack(field[:, ::-1], 0.2, LENS, table(polar, 180 - azimuth), defocus_um=z_um).data[0]
    up = led_stack(field[::-1], 0.2, LENS, table(polar, -azimuth), defocus_um=z_um).data[0]
    turned = led_stack(field.T, 0.2, LENS, table(polar, 90 - azimuth), defocus_um=z_um).data[0]
    np.testing.assert_allclose(left, image[:, ::-1], atol=3e-6)
    np.testing.assert_allclose(up, image[::-1], atol=3e-6)
    np.testing.assert_allclose(turned, image.T, atol=3e-6)


@settings(max_examples=25, deadline=None)
@given(polar=st.floats(1, 57), azimuth=st.floats(0, 360))
def test_absorption_in_focus_looks_the_same_from_both_sides(polar, azimuth):
    rng = np.random.default_rng(0)
    absorbing, phase = np.exp(-rng.random((32, 32))), cells(rng, (32, 32))
    both = table([polar, polar], [azimuth, azimuth + 180])
    here, there = led_stack(absorbing, 0.19, LENS, both).data
    np.testing.assert_allclose(here, there, atol=1e-6)
    here, there = led_stack(phase, 0.19, LENS, both).data
    assert np.abs(here - there).max() > 1e-5


def test_a_prism_bends_light_towards_its_thick_side():
    """Phase that grows along x by 0.2 cycles per um: light along +x is bent out of the aperture, light along -x stays."""
    prism = np.exp(2j * np.pi * 0.2 * np.arange(50) * 0.2)[None].repeat(20, 0)
    leds = table(polar_of([0.7, 0.7, 0.95, 0.95]), [0, 180, 0, 180])
    np.testing.assert_allclose(led_stack(prism, 0.2, LENS, leds).data.mean((1, 2)), [0, 1, 0, 1], atol=1e-6)


def test_differential_phase_contrast_has_the_sign_of_the_slope():
    x = (np.arange(128) - 64) * 0.15
    hill = np.exp(0.8j * np.exp(-(x**2) / 8))[None].repeat(32, 0)
    to_right, to_left = led_stack(hill, 0.15, LENS, table([20, 20], [0, 180])).data
    contrast = (to_left - to_right)[16]
    assert contrast[50:60].min() > 0.05  # uphill
    assert contrast[69:79].max() < -0.05  # downhill
    np.testing.assert_allclose(contrast[1:], -contrast[:0:-1], atol=1e-5)


# --- several LEDs ----------------------------------------------------------------------------------------------


def test_brightfield_is_the_mean_of_the_leds_inside_the_aperture(rng):
    field = cells(rng)
    leds = LedTable(
        index=[99, 0, 1, 2, 3, 3],
        polar_deg=[0, 8, 15, 22, 35, 35],
        azimuth_deg=[0, 10, 130, 250, 0, 0],
        exposure=["single"] * 4 + ["low", "high"],
        kind=["brightfield"] + ["point"] * 3 + ["darkfield"] * 2,
    )
    stack = led_stack(field, 0.15, LENS, leds)
    np.testing.assert_allclose(stack.data[0], stack.data[1:4].mean(0), rtol=1e-5)
    alone = led_stack(field, 0.15, LENS, leds[[0]], brightfield_leds=leds).data[0]
    np.testing.assert_allclose(alone, stack.data[0], rtol=1e-6)
    half = led_stack(field, 0.15, LENS, leds[[0]], brightfield_leds=table([8, 15], [10, 130])).data[0]
    np.testing.assert_allclose(half, stack.data[1:3].mean(0), rtol=1e-5)


def test_brightfield_is_that_of_the_transmission_cross_coefficients(rng):
    """Hopkins: ``I(x) = sum over nu, nu' of T(nu, nu') O(nu) O*(nu') exp(2 pi i (nu - nu') x)``."""
    n, pixel_um = 16, 0.2
    field = cells(rng, (n, n))
    leds = table([4.0, 11.0, 17.0, 21.0, 23.0], [20.0, 100.0, 170.0, 245.0, 330.0])
    nu = np.fft.fftfreq(n, pixel_um)
    nu_y, nu_x = (part.ravel() for part in np.meshgrid(nu, nu, indexing="ij"))
    light = np.sin(np.radians(leds.polar_deg)) / 0.5 * np.exp(1j * np.radians(leds.azimuth_deg))
    pupils = np.hypot(nu_y + light.imag[:, None], nu_x + light.real[:, None]) <= CUTOFF  # LED, nu
    cross = pupils.T.astype(float) @ pupils / len(leds)
    place = np.arange(n) * pixel_um
    y, x = (part.ravel()[:, None] for part in np.meshgrid(place, place, indexing="ij"))
    waves = np.exp(2j * np.pi * (y * nu_y + x * nu_x)) * np.fft.fft2(field).ravel() / n**2  # place, nu
    truth = np.einsum("pn,nm,pm->p", waves, cross, waves.conj()).real.reshape(n, n)
    lit = LedTable(index=[0], polar_deg=[0], azimuth_deg=[0], kind="brightfield")
    image = led_stack(field, pixel_um, LENS, lit, brightfield_leds=leds).data[0]
    np.testing.assert_allclose(image, truth, atol=2e-6)


def test_each_colour_has_its_own_objective(rng):
    field = np.stack([cells(rng) for _ in range(3)], axis=-1)
    leds = table([0, 20, 30], [0, 50, 100])
    stack = led_stack(field, 0.15, WULFF_2022, leds, defocus_um=[1.0, 0.0, -1.0])
    assert (stack.axes, stack.pixel_um, stack.leds is not None) == ("AYXS", 0.15, True)
    for colour, z_um in enumerate((1.0, 0.0, -1.0)):
        single = led_stack(field[..., colour], 0.15, WULFF_2022[colour], leds, defocus_um=z_um)
        assert single.axes == "AYX"
        np.testing.assert_array_equal(stack.data[..., colour], single.data)


# --- pixels and borders ----------------------------------------------------------------------------------------


@settings(max_examples=20, deadline=None)
@given(step=st.sampled_from([2, 3, 4]), polar=st.floats(0, 57), azimuth=st.floats(0, 360))
def test_coarser_pixels_are_every_so_many_of_the_finer(step, polar, azimuth):
    field = cells(np.random.default_rng(1))
    leds = table(polar, azimuth)
    coarse = led_stack(field, 0.07, LENS, leds, step=step, defocus_um=2.0)
    np.testing.assert_allclose(
        coarse.data, led_stack(field, 0.07, LENS, leds, defocus_um=2.0).data[:, ::step, ::step], atol=2e-6
    )
    assert coarse.pixel_um == pytest.approx(0.07 * step)


def test_a_surround_is_a_larger_object_that_is_blank_there(rng):
    field = cells(rng, (40, 44))
    embedded = np.ones((60, 64), complex)  # fast lengths that the margins of 10 lead to
    embedded[10:50, 10:54] = field
    leds = table([5, 30], [40, 90])
    stack = led_stack(field, 0.15, LENS, leds, surround_um=1.5)
    whole = led_stack(embedded, 0.15, LENS, leds)
    assert stack.data.shape == (2, 40, 44)
    np.testing.assert_allclose(stack.data, whole.data[:, 10:50, 10:54], atol=2e-6)
    assert np.abs(stack.data - led_stack(field, 0.15, LENS, leds).data).max() > 0.01
    stepped = led_stack(field, 0.15, LENS, leds, surround_um=1.5, step=2)
    np.testing.assert_allclose(stepped.data, stack.data[:, ::2, ::2], atol=2e-6)


# --- the camera ------------------------------------------------------------------------------------------------


def test_high_exposure_is_so_many_times_the_low_one_until_it_saturates(rng):
    field = cells(rng)
    leds = LedTable(
        index=[0, 0],
        polar_deg=[30, 30],
        azimuth_deg=[0, 0],
        exposure=["low", "high"],
        kind="darkfield",
        gain=[8.0, 8.0],
    )
    plain = led_stack(field, 0.15, LENS, table([30])).data[0]
    low, high = led_stack(field, 0.15, LENS, leds, level=400, high_over_low=2.5, full_scale=400).data
    np.testing.assert_allclose(low, 3200 * plain, rtol=1e-5)
    np.testing.assert_allclose(high, np.minimum(8000 * plain, 400), rtol=1e-5)
    assert (low < 400).all()
    assert (high == 400).any()
    assert (high < 400).any()


def test_levels_gain_and_types():
    leds = table([5, 5.5], gain=[1.0, 0.25])
    blank = np.ones((16, 16))
    assert led_stack(blank, 0.2, LENS, leds).data.max((1, 2)).tolist() == pytest.approx([1, 0.25])
    for dtype in (np.uint8, "uint16"):
        data = led_stack(blank, 0.2, LENS, leds, dtype=dtype, level=200).data
        assert (data.dtype, data.max((1, 2)).tolist(), data.min()) == (np.dtype(dtype), [200, 50], 50)
    twelve_bit = led_stack(2 * blank, 0.2, LENS, leds, dtype=np.uint16, level=3000, full_scale=4095).data
    assert twelve_bit.max((1, 2)).tolist() == [4095, 3000]


def test_noise_is_that_of_the_camera_and_of_the_seed():
    leds = table([5, 40])
    noise = DetectorNoise(gain=0.5, read_std=2.0)
    first, again, other = (
        led_stack(np.ones((200, 200)), 0.19, LENS, leds, level=100, noise=noise, seed=seed).data for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert np.abs(np.corrcoef(first[0].ravel(), other[0].ravel())[0, 1]) < 0.02
    assert np.abs(np.corrcoef(first[0].ravel(), first[1].ravel())[0, 1]) < 0.02
    np.testing.assert_allclose(first.var((1, 2)), [0.5 * 100 + 4, 4], rtol=0.03)
    np.testing.assert_allclose(first.mean((1, 2)), [100, 0], atol=0.15)


def test_inputs_stay_and_the_stack_knows_how_it_was_made(rng):
    field = cells(rng)
    before = field.copy()
    leds = table([5, 10, 40]).subset(max_polar_deg=20)
    stack = led_stack(field, 0.15, LENS, leds[[1]], level=2.0)
    np.testing.assert_array_equal(field, before)
    assert stack.leds.plane.tolist() == [0]  # of this stack, not of the array it was chosen from
    assert (stack.provenance["simulated"], stack.provenance["level"]) == ("LED array, thin object", 2.0)


def test_metering_brings_dark_field_to_the_level_asked_for(rng):
    field = np.stack([cells(rng)] * 3, axis=-1)
    leds = table([8, 20, 30, 30, 45, 45], [0, 0, 0, 180, 90, 270])
    exposed = metered(leds, field, 0.15, WULFF_2022, target=0.5, percentile=99)
    assert exposed.gain[:2].tolist() == [1, 1]
    assert exposed.gain[2] == exposed.gain[3]
    assert exposed.gain[4] == exposed.gain[5]
    assert exposed.gain[4] > exposed.gain[2] > 1
    bright = np.percentile(led_stack(field, 0.15, WULFF_2022, exposed).data[2:], 99, axis=(1, 2, 3)).reshape(2, 2)
    np.testing.assert_allclose(bright.max(1), 0.5, rtol=1e-4)
    with pytest.raises(ValueError, match="scatters no light of the LEDs at 30 deg"):
        metered(leds, np.ones((32, 32, 3)), 0.15, WULFF_2022)


# --- wrong use -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dtype": np.uint8}, "uint8 needs the grey level of a blank field: give level, from 1 to 255"),
        (
            {"dtype": np.uint8, "level": 300},
            r"level is 300 and full_scale 255: it must be 0 < level <= full_scale <= 255",
        ),
        ({"dtype": np.int16, "level": 3}, "dtype is int16: use uint8, uint16 or float32"),
        ({"step": 3}, "step is 3 for 32 x 32 pixels"),
        ({"step": 4}, r"step 4 makes pixels of 0.76 um: NA 0.4 at 0.5 um needs 0.312 um or less"),
        ({"high_over_low": 0}, "high_over_low is 0"),
        ({"transmission": np.ones((4, 4, 4, 4))}, r"transmission has shape \(4, 4, 4, 4\)"),
        ({"transmission": np.full((8, 8), np.nan)}, "not finite"),
        ({"transmission": np.ones((32, 32, 3))}, "give one with the wavelength of each colour"),
        ({"transmission": np.ones((32, 32, 3)), "objective": [LENS] * 2}, "2 objectives for an image of shape"),
        ({"transmission": np.ones((32, 32, 2))}, r"transmission has shape \(32, 32, 2\): give \(Y, X\), or"),
        ({"defocus_um": [1.0, 2.0]}, r"defocus_um is \[1.0, 2.0\]"),
        ({"defocus_um": np.nan}, "defocus_um is nan"),
        ({"pixel_um": 0}, "pixel_um is 0"),
        ({"leds": LedTable(index=[0], polar_deg=[0], azimuth_deg=[0], kind="brightfield")}, "no single LED inside"),
        ({"leds": table([5, 9], wavelength_um=[0.5, 0.63])}, "row 1 has light of 0.63 um, the objective is for 0.5 um"),
    ],
)
def test_wrong_arguments(arguments, message):
    given_ = {
        "transmission": np.ones((32, 32)),
        "pixel_um": 0.19,
        "objective": LENS,
        "leds": table([5, 30]),
    } | arguments
    with pytest.raises(ValueError, match=message):
        led_stack(**given_)


def test_whole_numbers_are_no_amplitudes():
    with pytest.raises(TypeError, match="transmission is uint8: give amplitudes"):
        led_stack(np.ones((8, 8), np.uint8), 0.19, LENS, table([5]))


def test_pixels_too_coarse_for_the_light_are_told_what_is_needed(rng):
    field = cells(rng)
    with pytest.warns(UserWarning, match=r"light at 57 deg shows it up to 2.48 per um: .* pixels of 0.202 um or less"):
        led_stack(field, 0.25, LENS, table([57]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        led_stack(field, 0.201, LENS, table([57]))
        led_stack(field, 0.25, LENS, table([20]))
