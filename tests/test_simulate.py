import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import convolve

from napari_cellrestore.focus import focus_measure
from napari_cellrestore.objective import Objective
from napari_cellrestore.psf import incoherent_psf, otf
from napari_cellrestore.simulate import (
    WERTH_2018,
    DetectorNoise,
    defocus,
    defocus_planes,
    defocus_stack,
    quantise,
    smear_objectives,
)

GREEN = smear_objectives()[1]


def test_defocus_is_the_convolution_with_the_kernel(rng):
    image = rng.uniform(0, 200, (48, 48)).astype(np.float32)
    psf = incoherent_psf((48, 48), 0.1, GREEN, 0.6)
    kernel = np.zeros((49, 49))
    kernel[:48, :48] = psf  # centred on pixel 24, odd for scipy
    direct = convolve(image.astype(float), kernel, mode="wrap")
    np.testing.assert_allclose(defocus(image, 0.1, GREEN, 0.6, edges="wrap"), direct, atol=2e-3)


@settings(max_examples=20, deadline=None)
@given(z_um=st.floats(-1.5, 1.5), gain=st.floats(0.1, 5), shift=st.integers(0, 31))
def test_linear_even_in_z_and_shift_invariant(z_um, gain, shift):
    image = np.random.default_rng(1).uniform(0, 200, (32, 40)).astype(np.float32)
    blurred = defocus(image, 0.1, GREEN, z_um, edges="wrap")
    np.testing.assert_allclose(
        defocus(gain * image, 0.1, GREEN, z_um, edges="wrap"), gain * blurred, rtol=1e-3, atol=0.01
    )
    np.testing.assert_allclose(defocus(image, 0.1, GREEN, -z_um, edges="wrap"), blurred, atol=1e-4)
    rolled = defocus(np.roll(image, shift, 1), 0.1, GREEN, z_um, edges="wrap")
    np.testing.assert_allclose(rolled, np.roll(blurred, shift, 1), atol=1e-3)
    assert blurred.mean() == pytest.approx(image.mean(), rel=1e-5)


def test_planes_are_single_defoci_and_the_input_stays(rng):
    image = rng.integers(0, 255, (40, 56, 3)).astype(np.uint8)
    before = image.copy()
    planes = defocus_planes(image, 0.1, smear_objectives(), [0.0, [0.1, 0.2, 0.3]], edges="wrap")
    np.testing.assert_array_equal(image, before)
    for channel, z_um in enumerate((0.1, 0.2, 0.3)):
        single = defocus(image[..., channel], 0.1, smear_objectives()[channel], z_um, edges="wrap")
        np.testing.assert_allclose(planes[1, ..., channel], single, atol=1e-3)


def test_the_edge_is_mirrored(rng):
    image = rng.uniform(0, 200, (64, 64)).astype(np.float32)
    mirrored = np.pad(image, 63, mode="reflect")
    whole = defocus(mirrored, 0.1, GREEN, 0.8, edges="wrap")[63:127, 63:127]
    np.testing.assert_allclose(defocus(image, 0.1, GREEN, 0.8), whole, atol=0.5)


def test_noise_has_the_stated_variance():
    noise = DetectorNoise(gain=0.25, read_std=2.0)
    noisy = noise.add(np.full((400, 400), 100, np.float32), np.random.default_rng(0))
    assert noisy.var() == pytest.approx(0.25 * 100 + 4, rel=0.02)
    assert noisy.mean() == pytest.approx(100, abs=0.05)


def test_a_stack_is_sharpest_in_focus_and_reproducible(rng):
    image = np.kron(rng.integers(40, 220, (12, 12)), np.ones((8, 8))).astype(np.uint8)
    z_um = np.arange(-1.4, 1.5, 0.2)
    stack, again = (defocus_stack(image, 0.1, GREEN, z_um, DetectorNoise(), seed=3) for _ in range(2))
    np.testing.assert_array_equal(stack.data, again.data)
    assert stack.data.dtype == np.uint8
    assert int(np.argmax([focus_measure(plane) for plane in stack.data])) == 7
    np.testing.assert_allclose(stack.z_um, z_um)
    assert stack.pixel_um == 0.1


def test_axial_colour_moves_the_focus_of_each_colour(rng):
    image = np.repeat(np.kron(rng.integers(40, 220, (12, 12)), np.ones((8, 8)))[..., None], 3, -1)
    stack = defocus_stack(image, 0.1, smear_objectives(), np.arange(-4, 5) * 0.2, axial_colour_um=[-0.4, 0, 0.4])
    peaks = [int(np.argmax([focus_measure(plane[..., c]) for plane in stack.data])) for c in range(3)]
    assert peaks == [2, 4, 6]


def test_quantise_rounds_and_saturates_like_a_camera():
    levels = np.array([-3.0, 0.5, 1.5, 254.4, 300.0])
    assert quantise(levels, np.dtype(np.uint8)).tolist() == [0, 0, 2, 254, 255]
    assert quantise(levels, np.dtype(np.float32)).tolist() == pytest.approx(levels.tolist())


def test_bad_input():
    image = np.zeros((16, 16, 3))
    with pytest.raises(ValueError, match=r"2 objectives for an image of shape \(16, 16, 3\)"):
        defocus(image, 0.1, smear_objectives()[:2], 0)
    with pytest.raises(ValueError, match="edges is 'black': use 'reflect' or 'wrap'"):
        defocus(image, 0.1, GREEN, 0, edges="black")
    with pytest.raises(ValueError, match="give finite distances"):
        defocus(image, 0.1, GREEN, float("nan"))
    with pytest.raises(ValueError, match=r"image has shape \(4,\)"):
        defocus(np.zeros(4), 0.1, Objective(0.5, 0.5), 0)
    with pytest.raises(ValueError, match="must not be negative"):
        DetectorNoise(gain=-1)


@pytest.mark.real_data
def test_the_focus_measure_falls_as_the_source_measured(real_data):
    """0.77, 0.43 and 0.13 at 0.4, 0.8 and 1.4 um (Olofsson & Wagnström 2019, table 6.1) within 0.06, over both sets."""
    from napari_cellrestore.pairs import read_smear

    paths = [p for name in ("bccd", "chula") for p in sorted((real_data / "blood_smears" / name).glob("*.jpg"))[::20]]
    ratios = []
    for path in paths:
        sharp, *planes = defocus_planes(read_smear(path), 0.1, smear_objectives(), [0, 0.4, 0.8, 1.4])
        ratios.append([focus_measure(plane) / focus_measure(sharp) for plane in planes])
    np.testing.assert_allclose(np.mean(ratios, axis=0), [0.77, 0.43, 0.13], atol=0.06)


# --- microscopes by name ---------------------------------------------------------------------------------------


def cells(shape=(160, 160)):
    """Round cells on black, 0 to 4000, far enough from the border that no light is lost."""
    y, x = np.indices(shape)
    spots = [((70, 75), 6.0), ((88, 90), 4.0), ((76, 96), 2.5)]
    image = sum(np.exp(-(((y - row) ** 2 + (x - column) ** 2) / (2 * s**2))) for (row, column), s in spots)
    return np.rint(4000 * image / image.max()).astype(np.uint16)


def test_the_microscope_of_werth_and_matlock():
    """20x and pixels of 6 um on the camera: 0.3 um; in focus, then 2 to 10 um by 2, 15 to 30 by 5, and 40."""
    image = cells()
    before = image.copy()
    stack = WERTH_2018.record(image)
    np.testing.assert_array_equal(image, before)
    assert (stack.axes, stack.data.dtype, stack.pixel_um) == ("ZYX", np.uint16, pytest.approx(0.3))
    assert stack.z_um.tolist() == [0, 2, 4, 6, 8, 10, 15, 20, 25, 30, 40]
    assert stack.provenance["microscope"] == "Werth & Matlock 2018, section 3.2"
    # the first plane is the object through the in-focus kernel: circular convolution, far from the border the same
    transfer = otf(incoherent_psf(image.shape, 0.3, WERTH_2018.objective))
    filtered = np.fft.ifft2(np.fft.fft2(image) * transfer).real
    assert np.abs(stack.data[0] - filtered).max() < 3  # of 3400; 0.5 is rounding, the rest the finite frame
    assert stack.data[0].max() < image.max()
    levels = stack.data.sum((1, 2), dtype=float)
    np.testing.assert_allclose(levels, image.sum(), rtol=2e-3)
    peaks = stack.data.max((1, 2))
    assert (np.diff(peaks.astype(int)) < 0).all()  # the further from focus, the flatter


def test_the_camera_of_a_microscope_ends_at_its_largest_level():
    flat = np.full((32, 32), 4095.0)
    noisy = WERTH_2018.record(flat, [0.0], DetectorNoise(gain=1.0)).data
    assert noisy.max() == 4095
    assert noisy.min() < 4000
    colour = WERTH_2018.record(np.full((32, 32, 3), 7), [0.0, 4.0])
    assert (colour.axes, set(colour.data.ravel())) == ("ZYXS", {7})
    with pytest.raises(ValueError, match="grey levels from 0 to 4096, this camera 0 to 4095: rescale them first"):
        WERTH_2018.record(np.diag([4096.0] * 16))
    with pytest.raises(ValueError, match="NaN cannot be recorded"):
        WERTH_2018.record(np.full((16, 16), np.nan))
