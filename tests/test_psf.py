import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import j1

from napari_cellrestore.objective import Objective
from napari_cellrestore.psf import aliasing, blur_radius_px, coherent_psf, in_focus_otf, incoherent_psf, otf, pupil

DRY = Objective(na=0.25, wavelength_um=0.5)
OIL = Objective(na=1.05, wavelength_um=0.53, immersion_index=1.515)


def test_airy_pattern():
    """In focus the PSF is the Airy pattern (2 J1(v) / v)^2, v = 2 pi NA r / wavelength."""
    psf = incoherent_psf((257, 257), 0.25, DRY)
    r_um = 0.25 * np.arange(1, 40)
    v = 2 * np.pi * DRY.na * r_um / DRY.wavelength_um
    np.testing.assert_allclose(psf[128, 129:168] / psf[128, 128], (2 * j1(v) / v) ** 2, atol=2e-3)
    first_zero_px = 0.61 * DRY.wavelength_um / DRY.na / 0.25
    assert abs(np.argmin(psf[128, 128:136]) - first_zero_px) < 0.6


def test_otf_of_a_circular_pupil():
    """OTF(s) = 2/pi (acos s - s sqrt(1 - s^2)), s = frequency / cutoff (Goodman, 6-32)."""
    shape, pixel_um = (512, 512), 0.25
    transfer = otf(incoherent_psf(shape, pixel_um, DRY)).real[0]
    s = np.fft.rfftfreq(512, pixel_um) / DRY.cutoff_per_um
    theory = np.where(s < 1, 2 / np.pi * (np.arccos(np.minimum(s, 1)) - s * np.sqrt(1 - np.minimum(s, 1) ** 2)), 0)
    np.testing.assert_allclose(transfer[:257], theory, atol=0.01)
    assert np.abs(transfer[:257][s > 1.02]).max() < 1e-12


def test_in_focus_otf_is_that_of_the_psf():
    transfer = otf(incoherent_psf((512, 512), 0.25, DRY)).real[0, :257]
    frequency = np.fft.rfftfreq(512, 0.25)
    np.testing.assert_allclose(in_focus_otf(frequency, DRY), transfer, atol=0.01)
    assert in_focus_otf(0, DRY) == 1
    assert not in_focus_otf([DRY.cutoff_per_um, 5], DRY).any()
    # acos(1/2) = pi/3: 2/3 - sqrt(3) / (2 pi)
    assert in_focus_otf(DRY.cutoff_per_um / 2, DRY) == pytest.approx(2 / 3 - 3**0.5 / (2 * np.pi))


@pytest.mark.parametrize("z_um", [0.0, 1.4])
def test_coherent_psf(z_um):
    """Its spectrum is the pupil, its intensity the incoherent PSF; light that passes is conserved."""
    amplitude = coherent_psf((64, 66), 0.1, OIL, z_um)
    assert amplitude.sum() == pytest.approx(1)
    np.testing.assert_allclose(np.fft.fft2(np.fft.ifftshift(amplitude)), pupil((64, 66), 0.1, OIL, z_um), atol=1e-12)
    light = np.abs(amplitude) ** 2
    np.testing.assert_allclose(light / light.sum(), incoherent_psf((64, 66), 0.1, OIL, z_um), atol=1e-12)
    passed = np.count_nonzero(pupil((64, 66), 0.1, OIL))
    assert light.sum() * 64 * 66 == pytest.approx(passed)
    # the wave of opposite defocus is the complex conjugate
    np.testing.assert_allclose(coherent_psf((64, 66), 0.1, OIL, -z_um)[1:, 1:], amplitude[1:, 1:].conj(), atol=1e-12)


def test_paraxial_phase_by_hand():
    """-pi z wavelength / n nu^2, and the same as the exact one to second order in nu."""
    nu = 1 / (64 * 0.3)
    phase = np.angle(pupil((64, 64), 0.3, DRY, 2.0, paraxial=True)[0, 1])
    assert phase == pytest.approx(-np.pi * 2.0 * 0.5 * nu**2)
    assert np.angle(pupil((64, 64), 0.3, DRY, 2.0)[0, 1]) == pytest.approx(phase, rel=1e-3)


@settings(max_examples=25, deadline=None)
@given(z_um=st.floats(-3, 3), rows=st.integers(32, 70), columns=st.integers(32, 70))
def test_sum_one_and_symmetry(z_um, rows, columns):
    psf = incoherent_psf((rows, columns), 0.1, OIL, z_um)
    assert psf.sum() == pytest.approx(1)
    assert psf.min() >= 0
    np.testing.assert_allclose(psf, incoherent_psf((rows, columns), 0.1, OIL, -z_um), atol=1e-12)
    centred = np.roll(psf, (-(rows // 2), -(columns // 2)), (0, 1))
    np.testing.assert_allclose(centred[1:, 1:], centred[:0:-1, :0:-1], atol=1e-12)
    assert otf(psf)[0, 0] == pytest.approx(1)


def test_parseval():
    """The light in the plane is the light in the pupil, whatever the defocus."""
    for z_um in (0, 1.4):
        field = np.fft.ifft2(pupil((64, 64), 0.1, OIL, z_um))
        light = np.sum(np.abs(pupil((64, 64), 0.1, OIL, z_um)) ** 2)
        assert np.sum(np.abs(field) ** 2) * 64 * 64 == pytest.approx(light)


def test_paraxial_agrees_at_low_aperture_only():
    exact, paraxial = (incoherent_psf((65, 65), 0.3, DRY, 2.0, paraxial=p) for p in (False, True))
    assert np.abs(exact - paraxial).max() < 0.02 * exact.max()
    exact, paraxial = (incoherent_psf((65, 65), 0.1, OIL, 1.4, paraxial=p) for p in (False, True))
    assert np.abs(exact - paraxial).max() > 0.05 * exact.max()


def test_the_margin_holds_the_light():
    radius = blur_radius_px(0.1, OIL, 1.4)
    psf = incoherent_psf((255, 255), 0.1, OIL, 1.4)
    y, x = np.ogrid[-127:128, -127:128]
    assert psf[np.hypot(y, x) <= radius].sum() > 0.98


def test_coarse_pixels_are_warned_about():
    with pytest.warns(
        UserWarning, match=r"pixels of 0.3 um alias an image of NA 1.05.*need pixels of 0.126 um or less"
    ):
        incoherent_psf((32, 32), 0.3, OIL)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"na": 1.2, "wavelength_um": 0.5}, "na 1.2 is larger than the immersion index 1: no lens can do that"),
        ({"na": 0.5, "wavelength_um": 530}, "wavelength_um is 530: give the wavelength in micrometres.*0.53"),
        ({"na": -1, "wavelength_um": 0.5}, "na is -1: it must be a positive number"),
    ],
)
def test_impossible_objectives(options, message):
    with pytest.raises(ValueError, match=message):
        Objective(**options)


def test_aliasing_by_numbers():
    assert aliasing(DRY.nyquist_pixel_um, DRY) == ""
    assert "frequencies up to 1 per um need pixels of 0.5 um or less" in aliasing(0.6, DRY)


def test_impossible_kernels():
    with pytest.raises(ValueError, match="pixel_um is -1: give the size of a pixel"):
        coherent_psf((8, 8), -1, OIL)
    with pytest.raises(ValueError, match="pixel_um is 0: give the size of a pixel"):
        incoherent_psf((8, 8), 0, OIL)
    with pytest.raises(ValueError, match="give a 2-D kernel of positive sum"):
        otf(np.zeros((4, 4)))
