import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from scipy.special import j1

from napari_cellrestore.isotropy import radial_operator
from napari_cellrestore.objective import Objective
from napari_cellrestore.psf import in_focus_otf, incoherent_psf, otf
from napari_cellrestore.recover import METHODS, align_pair, recover_field, recover_psf, shift_warning
from napari_cellrestore.simulate import defocus
from napari_cellrestore.stack import ImageStack

DRY = Objective(na=0.25, wavelength_um=0.53)
PIXEL_UM = 0.3


def scene(shape, seed=0, finest_px=1.0):
    """A texture with grains of many sizes."""
    rng = np.random.default_rng(seed)
    grains = sum(s * ndimage.gaussian_filter(rng.normal(size=shape), s) for s in (finest_px, 3, 8))
    return 100 + 20 * grains / grains.std()


def pair(z_um, noise=0.0, seed=0, size=192, edges="wrap"):
    """What the microscope sees in and out of focus; "crop" cuts it out of a larger image."""
    margin = 40 if edges == "crop" else 0
    rng = np.random.default_rng(seed + 100)
    planes = [
        defocus(scene((size + 2 * margin,) * 2, seed), PIXEL_UM, DRY, z, edges="wrap").astype(float) for z in (0, z_um)
    ]
    planes = [plane[margin : margin + size, margin : margin + size] for plane in planes]
    return [plane + noise * rng.standard_normal(plane.shape) for plane in planes]


def truth(size, z_um):
    """Relative transfer function at the radii of a square frame."""
    sharp, blurred = (otf(incoherent_psf((size, size), PIXEL_UM, DRY, z)).real[0, : size // 2] for z in (0, z_um))
    return blurred / np.maximum(sharp, 1e-9)


def disc_transfer(nu, radius_um):
    v = 2 * np.pi * radius_um * np.maximum(nu, 1e-9)
    return 2 * j1(v) / v


# --- right answers ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("radius_um", [0.6, 1.5])
def test_without_noise_it_is_the_transfer_function(radius_um):
    """Of a disc, 2 J1(v) / v with v = 2 pi radius nu, on periodic images that the lens has filtered."""
    size = 256
    nu = np.hypot(*np.meshgrid(*[np.fft.fftfreq(size, PIXEL_UM)] * 2))
    disc = disc_transfer(nu, radius_um)
    spectrum = np.fft.fft2(scene((size, size))) * in_focus_otf(nu, DRY)
    sharp, blurred = (np.fft.ifft2(spectrum * transfer).real for transfer in (1, disc))
    found = recover_psf(sharp, blurred, PIXEL_UM, objective=DRY, apodise="none")
    band = found.frequency < 0.95 * DRY.cutoff_per_um
    np.testing.assert_allclose(found.otf[band], disc_transfer(found.frequency, radius_um)[band], atol=1e-3)
    assert found.trusted[band].all()
    assert found.residual[1 : band.sum()].max() < 0.02  # the linear interpolation between radii


def test_a_cusp_at_frequency_0():
    """The transfer function of a lens falls linearly from frequency 0; its object is given, not its image in focus."""
    sharp = scene((128, 128))
    kernel = otf(incoherent_psf((128, 128), PIXEL_UM, DRY, 6)).real
    blurred = np.fft.ifft2(np.fft.fft2(sharp) * kernel).real
    found = recover_psf(sharp, blurred, PIXEL_UM, objective=DRY, apodise="none")
    np.testing.assert_allclose(found.otf[:33], kernel[0, :33], atol=4e-3)


def test_relative_and_absolute_kernel():
    sharp, blurred = pair(6.0, noise=0.2)
    found = recover_psf(sharp, blurred, PIXEL_UM, objective=DRY, apodise="none")
    band = found.trusted
    error = np.abs(found.otf - truth(192, 6.0))
    assert error[band][:-5].max() < 0.03  # of the last radii little is measured
    np.testing.assert_allclose(found.absolute_otf, found.otf * in_focus_otf(found.frequency, DRY))
    expected = incoherent_psf((192, 192), PIXEL_UM, DRY, 6.0)
    assert found.absolute_psf.max() == pytest.approx(expected.max(), rel=0.05)
    for kernel in (found.psf, found.absolute_psf):
        assert kernel.sum() == pytest.approx(1)
        assert np.unravel_index(kernel.argmax(), kernel.shape) == (96, 96)
    assert not found.otf[found.frequency > DRY.cutoff_per_um].any()


@pytest.mark.parametrize("shape", [(96, 96), (97, 96), (80, 131), (133, 65)])
def test_gaussian_blur_has_its_width(shape):
    """Of 1.5 px standard deviation: full width 2.355 x 1.5 px, transfer function exp(-2 (pi sigma nu)^2)."""
    sharp = scene(shape, finest_px=0.7)
    blurred = ndimage.gaussian_filter(sharp, 1.5, mode="wrap")
    found = recover_psf(sharp, blurred, 0.1, apodise="none")
    band = found.trusted
    assert found.fwhm_um == pytest.approx(2.3548 * 0.15, rel=0.02)
    expected = np.exp(-2 * (np.pi * 0.15 * found.frequency) ** 2)
    np.testing.assert_allclose(found.otf[band], expected[band], atol=0.01)
    # 1 / (2 pi sigma^2) at the centre
    height, std = found.radial_psf(0)
    assert height[0] == pytest.approx(1 / (2 * np.pi * 0.15**2), rel=0.03)
    assert 0 < std[0] < 0.2 * height[0]


def test_edges_that_do_not_continue():
    """Cut from a larger image, both methods see light that came from outside; the direct one is corrected for it."""
    sharp, blurred = pair(10.0, noise=0.5, edges="crop")
    expected = truth(192, 10.0)
    errors = {}
    for method in METHODS:
        found = recover_psf(sharp, blurred, PIXEL_UM, method=method, objective=DRY)
        band = recover_psf(sharp, blurred, PIXEL_UM, objective=DRY).trusted
        errors[method] = np.sqrt(np.mean((found.otf - expected)[band] ** 2))
    assert errors["radial"] < 0.03
    assert errors["radial"] < 0.5 * errors["fourier"]


def test_the_stated_uncertainty_holds():
    inside, errors = [], []
    for seed in range(8):
        for z_um in (4.0, 15.0):
            found = recover_psf(*pair(z_um, noise=2.0, seed=seed, size=160), PIXEL_UM, objective=DRY, apodise="none")
            error = (found.otf - truth(160, z_um))[found.trusted][1:] / found.otf_std[found.trusted][1:]
            inside.append(np.abs(error) < 1.96)
            errors.append(error)
    assert 0.88 < np.mean(np.concatenate(inside)) <= 1
    assert 0.4 < np.sqrt(np.mean(np.concatenate(errors) ** 2)) < 1.3  # neither too narrow nor too wide


def test_noise_of_the_sharp_image_does_not_lower_the_curve():
    """E |F|^2 = signal + noise: what (17) divides by is too large."""
    expected = truth(192, 4.0)
    sharp, blurred = pair(4.0, noise=4.0)
    found = recover_psf(sharp, blurred, PIXEL_UM, objective=DRY, apodise="none")
    printed = recover_psf(sharp, blurred, PIXEL_UM, method="fourier", mu=1e-3, apodise="none")
    upper = np.flatnonzero(found.trusted)[-8:]
    assert abs(np.mean(found.otf[upper] - expected[upper])) < 0.03
    assert np.mean(printed.otf[upper] - expected[upper]) < -0.15
    np.testing.assert_allclose(found.noise_std, 4.0, rtol=0.05)


def test_anisotropy_is_what_the_projection_removes():
    sharp = scene((160, 160))
    round_blur = ndimage.gaussian_filter(sharp, 2, mode="wrap")
    oval_blur = ndimage.gaussian_filter(sharp, (1.5, 2.5), mode="wrap")
    even, uneven = (recover_psf(sharp, blurred, 0.1, apodise="none") for blurred in (round_blur, oval_blur))
    assert np.nanmax(even.anisotropy[2:]) < 0.02
    # at nu of half transfer the two axes differ by exp(-2 pi^2 nu^2 1.5^2) - exp(-2 pi^2 nu^2 2.5^2)
    assert 0.1 < np.nanmax(uneven.anisotropy) < 0.3


# --- as printed ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mu", [1.0, 1e4])
def test_fourier_is_equations_17_and_18(mu):
    rng = np.random.default_rng(0)
    sharp, blurred = rng.normal(50, 10, (2, 24, 24))
    spectrum_f, spectrum_g = np.fft.fft2(sharp), np.fft.fft2(blurred)
    estimate = np.conj(spectrum_f) * spectrum_g / (np.abs(spectrum_f) ** 2 + mu)
    b = radial_operator((24, 24)).toarray()
    x = np.linalg.inv(b.T @ b) @ b.T @ np.fft.fftshift(estimate).ravel()
    found = recover_psf(sharp, blurred, 0.1, method="fourier", mu=mu, apodise="none")
    assert np.abs(x.imag).max() < 1e-12
    np.testing.assert_allclose(found.otf, x.real / x.real[0], rtol=1e-9)
    assert found.mu == mu
    assert not found.mu_scores


def test_fourier_chooses_mu_by_cross_validation():
    """Of one pair: |F - ...| written down; the score at the chosen mu is the smallest of those shown."""
    sharp, blurred = pair(6.0, noise=2.0, size=64)
    found = recover_psf(sharp, blurred, PIXEL_UM, method="fourier", apodise="none")
    f, g = np.fft.fft2(sharp), np.fft.fft2(blurred)
    score = [
        np.mean(np.abs(g * mu / (np.abs(f) ** 2 + mu)) ** 2) / np.mean(mu / (np.abs(f) ** 2 + mu)) ** 2
        for mu in found.mu_candidates
    ]
    # the half plane counts its first and last column in full
    np.testing.assert_allclose(found.mu_scores["gcv"], score, rtol=0.2)
    assert found.mu == found.mu_candidates[np.argmin(found.mu_scores["gcv"])]


# --- properties ------------------------------------------------------------------------------------------------


@settings(max_examples=10, deadline=None)
@given(gain=st.floats(0.1, 10), unit=st.floats(0.01, 100), method=st.sampled_from(METHODS))
def test_units_and_exposure_do_not_matter(gain, unit, method):
    sharp, blurred = pair(6.0, noise=1.0, size=64)
    mu = 1e4
    plain = recover_psf(sharp, blurred, PIXEL_UM, method=method, mu=mu)
    mu *= unit**2 if method == "fourier" else 1
    changed = recover_psf(unit * sharp, gain * blurred, PIXEL_UM, method=method, mu=mu)
    np.testing.assert_allclose(changed.otf, plain.otf, atol=1e-7)
    np.testing.assert_allclose(changed.otf_std, plain.otf_std, atol=1e-7)
    np.testing.assert_allclose(changed.noise_std, np.multiply(plain.noise_std, (unit, gain)), rtol=1e-6)


@pytest.mark.parametrize(("gain", "level"), [(1.0, 300.0), (2.0, -60.0), (0.5, 40.0)])
def test_offsets_are_noticed_and_taken_off(gain, level):
    sharp, blurred = pair(6.0, noise=1.0, size=128)
    plain = recover_psf(sharp, blurred, PIXEL_UM, objective=DRY)
    assert plain.warnings == ()
    changed = recover_psf(sharp, gain * blurred + level, PIXEL_UM, objective=DRY)
    assert "exposure or offset differ" in changed.warnings[0]
    np.testing.assert_allclose(changed.otf, plain.otf, atol=0.03)


def test_transposed_images_have_the_same_kernel():
    sharp, blurred = (image[:90] for image in pair(6.0, noise=1.0, size=120))
    one, other = (recover_psf(f, g, PIXEL_UM) for f, g in ((sharp, blurred), (sharp.T, blurred.T)))
    np.testing.assert_allclose(one.otf, other.otf, atol=1e-8)
    np.testing.assert_allclose(one.psf, other.psf.T, atol=1e-10)


def test_float32_is_enough():
    sharp, blurred = pair(6.0, noise=1.0, size=96)
    plain = recover_psf(sharp, blurred, PIXEL_UM, objective=DRY)
    single = recover_psf(sharp.astype(np.float32), blurred.astype(np.float32), PIXEL_UM, objective=DRY)
    np.testing.assert_allclose(single.otf, plain.otf, atol=1e-3)


def test_several_pairs_are_one_estimate():
    pairs = [pair(6.0, noise=3.0, seed=seed, size=96) for seed in range(4)]
    sharps, blurreds = zip(*pairs, strict=True)
    once = recover_psf(*pairs[0], PIXEL_UM, objective=DRY, mu=1e5)
    twice = recover_psf([pairs[0][0]] * 2, [pairs[0][1]] * 2, PIXEL_UM, objective=DRY, mu=2e5)
    # twice the data and twice the prior: the same curve, half of the variance
    np.testing.assert_allclose(twice.otf, once.otf, atol=1e-9)
    np.testing.assert_allclose(twice.otf_std * 2**0.5, once.otf_std, atol=1e-9)
    every = recover_psf(sharps, list(blurreds), PIXEL_UM, objective=DRY)
    single = recover_psf(*pairs[0], PIXEL_UM, objective=DRY)
    assert every.otf_std[single.trusted].mean() < 0.7 * single.otf_std[single.trusted].mean()
    printed = recover_psf([pairs[0][0]] * 2, [pairs[0][1]] * 2, PIXEL_UM, method="fourier", mu=2e6)
    np.testing.assert_allclose(printed.otf, recover_psf(*pairs[0], PIXEL_UM, method="fourier", mu=1e6).otf, atol=1e-9)


def test_mu_is_the_best_of_those_shown():
    sharp, blurred = pair(10.0, noise=2.0, size=96)
    for mu, score in (("auto", "likelihood"), ("gcv", "gcv")):
        found = recover_psf(sharp, blurred, PIXEL_UM, mu=mu)
        best = np.argmin(found.mu_scores[score])
        assert found.mu == found.mu_candidates[best]
        assert 0 < best < len(found.mu_candidates) - 1
    smooth, rough = (recover_psf(sharp, blurred, PIXEL_UM, mu=mu).otf for mu in (1e8, 1.0))
    assert np.abs(np.diff(smooth, 2)).max() < 0.1 * np.abs(np.diff(rough, 2)).max()


def test_inputs_stay_and_runs_agree():
    sharp, blurred = pair(6.0, noise=1.0, size=64)
    before = sharp.copy(), blurred.copy()
    one, two = (recover_psf(sharp, blurred, PIXEL_UM) for _ in range(2))
    np.testing.assert_array_equal(one.otf, two.otf)
    np.testing.assert_array_equal(sharp, before[0])
    np.testing.assert_array_equal(blurred, before[1])


def test_field():
    sharp = scene((128, 192))
    widths = np.linspace(1.5, 3.5, 3)
    blurred = np.concatenate(
        [ndimage.gaussian_filter(sharp, s)[:, k * 64 : k * 64 + 64] for k, s in enumerate(widths)], 1
    )
    blurred[:64, :64] = 7
    field = recover_field(sharp, blurred, 0.1, grid=(2, 3))
    assert np.isnan(field.fwhm_um[0, 0])
    assert field.tiles[0, 0] is None
    assert "blurred: all pixels are 7" in field.reasons[0, 0]
    np.testing.assert_allclose(field.fwhm_um[1], 2.3548 * 0.1 * widths, rtol=0.15)
    np.testing.assert_allclose(field.centres_px[1, 2], [95.5, 159.5])
    assert (field.shape, field.pixel_um, field.tile_px, field.absolute) == ((128, 192), 0.1, (64, 64), False)
    known = field.fwhm_um[np.isfinite(field.fwhm_um)]
    assert field.spread.startswith(f"FWHM {known.min():.3g} to {known.max():.3g} um, median")
    assert field.spread.endswith("over 5 of 6 tiles")


def test_tiles_that_cannot_tell_are_empty():
    """Noise alone has no width, and a width that is not known within a quarter is none: both are said."""
    sharp, blurred = pair(6.0, noise=1.0)
    noise = np.random.default_rng(9).normal(100, 1, (2, 64, 64))
    sharp[:64, :64], blurred[:64, :64] = noise
    field = recover_field(sharp, blurred, PIXEL_UM)
    assert np.isnan(field.fwhm_um[0, 0])
    assert "nothing in common" in field.reasons[0, 0]
    for place, reason in field.reasons.items():
        assert field.tiles[place] is None
        assert np.isnan(field.fwhm_um[place])
        assert np.isnan(field.fwhm_std_um[place])
        assert re.search("nothing in common|too little detail: its width would be .* ± .* um", reason)
    assert (field.fwhm_std_um[np.isfinite(field.fwhm_um)] <= 0.25 * field.fwhm_um[np.isfinite(field.fwhm_um)]).all()
    with_optics = recover_field(sharp, blurred, PIXEL_UM, objective=DRY)
    assert with_optics.absolute
    whole = recover_psf(*pair(6.0, noise=1.0), PIXEL_UM, objective=DRY)
    np.testing.assert_allclose(with_optics.fwhm_um[1:], whole.absolute_fwhm_um, rtol=0.1)


def test_the_stated_deviation_of_a_width_holds():
    """Of many noises: the spread of the widths is what each says of itself."""
    found = [recover_psf(*pair(6.0, noise=2.0, seed=seed, size=96), PIXEL_UM, objective=DRY) for seed in range(12)]
    widths = np.array([recovery.absolute_fwhm_um for recovery in found])
    stated = np.mean([recovery.fwhm_std(absolute=True) for recovery in found])
    assert 0.4 < widths.std(ddof=1) / stated < 2.5
    with pytest.raises(ValueError, match="the absolute kernel needs the optics"):
        recover_psf(*pair(6.0, size=64), PIXEL_UM).fwhm_std(absolute=True)


# --- doubts and refusals ---------------------------------------------------------------------------------------


def test_a_shift_is_noticed():
    sharp, blurred = pair(6.0, noise=1.0)
    assert recover_psf(sharp, blurred, PIXEL_UM).warnings == ()
    assert not recover_psf(sharp, blurred, PIXEL_UM).shifted
    found = recover_psf(sharp, np.roll(blurred, (3, -1), (0, 1)), PIXEL_UM)
    assert found.shifted
    assert found.shift_px == pytest.approx((3, -1), abs=0.1)
    assert found.warnings == (shift_warning(found.shift_px),)
    assert found.warnings[0].startswith("blurred lies 3.0, -1.0 px off the sharp image: align them first")
    assert shift_warning((0.2, -0.3)) == ""


def test_a_pair_is_aligned():
    sharp, blurred = pair(6.0, noise=1.0)
    moved = np.roll(blurred, (3, -1), (0, 1))
    before = moved.copy()
    one, other, moved_px = align_pair(sharp, moved, recover_psf(sharp, moved, PIXEL_UM).shift_px)
    assert moved_px == pytest.approx((-3, 1), abs=0.15)
    assert one.shape == other.shape
    np.testing.assert_array_equal(moved, before)
    assert recover_psf(one, other, PIXEL_UM).warnings == ()


def test_image_stacks_bring_their_pixel_size():
    sharp, blurred = pair(6.0, noise=1.0, size=64)
    one, other = (ImageStack(image, "YX", pixel_um=PIXEL_UM) for image in (sharp, blurred))
    expected = recover_psf(sharp, blurred, PIXEL_UM)
    for found in (recover_psf(one, other), recover_psf([one], [other]), recover_psf(one, blurred)):
        assert found.pixel_um == PIXEL_UM
        np.testing.assert_array_equal(found.otf, expected.otf)
    assert recover_psf(one, other, 0.2).pixel_um == 0.2
    assert recover_field(one, other, grid=(1, 1)).pixel_um == PIXEL_UM


def test_swapped_images_are_noticed():
    sharp, blurred = pair(6.0, noise=0.2)
    assert any("are the two swapped?" in warning for warning in recover_psf(blurred, sharp, PIXEL_UM).warnings)


def test_saturated_images():
    sharp, blurred = (np.clip(image * 2, 0, 255).astype(np.uint8) for image in pair(6.0, size=96))
    part = np.mean(sharp == 255)
    assert 0.01 < part < 0.25
    found = recover_psf(sharp, blurred, PIXEL_UM)
    assert f"{part:.1%} of the pixels of sharp have its largest value 255: saturated?" in found.warnings[0]
    with pytest.raises(ValueError, match=r"sharp: .*% of its pixels are saturated at 255: expose less"):
        recover_psf(np.clip(sharp.astype(int) * 2, 0, 255).astype(np.uint8), blurred, PIXEL_UM)


def test_coarse_pixels_are_noticed():
    sharp, blurred = pair(6.0, size=64)
    found = recover_psf(sharp, blurred, 1.0, objective=DRY)
    assert any("pixels of 1 um alias an image of NA 0.25" in warning for warning in found.warnings)
    nanometres = recover_psf(sharp, blurred, 300, objective=DRY)
    assert any("pixels of 300 um at the object are implausible" in warning for warning in nanometres.warnings)
    assert any("(300 nm is 0.3)" in warning for warning in nanometres.warnings)


IMAGE = scene((32, 32))
OTHER = scene((32, 32), seed=1)


@pytest.mark.parametrize(
    ("sharp", "blurred", "options", "message"),
    [
        (IMAGE, OTHER[:30], {}, r"blurred has \(30, 32\) px, sharp \(32, 32\): give images of one size"),
        (IMAGE, IMAGE, {}, "sharp and blurred are the same image: give the field in and out of focus"),
        (IMAGE, np.full((32, 32), 3.0), {}, "blurred: all pixels are 3, there is nothing to recover from"),
        (np.where(IMAGE > 120, np.nan, IMAGE), OTHER, {}, r"sharp: \d+ of 1024 pixels are not finite"),
        (IMAGE[..., None], OTHER, {}, r"sharp has shape \(32, 32, 1\): give one plane \(Y, X\) of one colour"),
        (IMAGE[:8], OTHER[:8], {}, r"sharp has \(8, 32\) px: 16 or more are needed"),
        ([IMAGE, OTHER], [OTHER], {}, "2 sharp and 1 blurred images: give as many of each"),
        ([IMAGE, OTHER], [OTHER, OTHER], {}, "sharp and blurred of pair 1 are the same image"),
        (IMAGE, OTHER, {"method": "wiener"}, "method is 'wiener': use one of radial, fourier"),
        (IMAGE, OTHER, {"mu": "best"}, "mu is 'best': use 'auto', 'gcv' or a positive number"),
        (IMAGE, OTHER, {"mu": -1.0}, "mu is -1.0: use 'auto', 'gcv' or a positive number"),
        (IMAGE, OTHER, {"apodise": "box"}, "apodise is 'box': use one of tukey, hann, none"),
        (IMAGE, -IMAGE, {}, "sharp and blurred have nothing in common"),
        (
            ImageStack(IMAGE, "YX", pixel_um=0.3),
            ImageStack(OTHER, "YX", pixel_um=0.2),
            {"pixel_um": None},
            "pixels of 0.2 and 0.3 um: give images of one size of square pixels",
        ),
        (ImageStack(IMAGE, "YX"), OTHER, {"pixel_um": None}, "the pixel size is not known: give pixel_um"),
    ],
)
def test_refusals(sharp, blurred, options, message):
    with pytest.raises(ValueError, match=message):
        recover_psf(sharp, blurred, **({"pixel_um": PIXEL_UM} | options))


def test_more_refusals():
    with pytest.raises(ValueError, match="pixel_um is 0: give the size of a pixel"):
        recover_psf(IMAGE, OTHER, 0)
    with pytest.raises(TypeError, match="sharp has dtype complex128: give grey levels"):
        recover_psf(IMAGE.astype(complex), OTHER, PIXEL_UM)
    with pytest.raises(ValueError, match=r"grid is \(0, 2\): give two whole numbers"):
        recover_field(IMAGE, OTHER, PIXEL_UM, grid=(0, 2))
    with pytest.raises(ValueError, match=r"\(4, 4\) tiles of \(32, 32\) px are smaller than 16 px"):
        recover_field(IMAGE, OTHER, PIXEL_UM, grid=(4, 4))
    with pytest.raises(ValueError, match="the absolute kernel needs the optics"):
        recover_psf(*pair(6.0, size=64), PIXEL_UM).radial_psf(0, absolute=True)
