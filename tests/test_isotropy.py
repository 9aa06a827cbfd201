import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from napari_cellrestore.isotropy import (
    expand_profile,
    fold,
    project_isotropic,
    radial_operator,
    radial_profile,
    rings_of,
    spectrum_steps,
    unfold,
)

SHAPES = st.tuples(st.integers(1, 24), st.integers(1, 24))
quick = settings(max_examples=25, deadline=None)


def dense(shape, steps):
    """B written down pixel by pixel, and the distances."""
    radii = max(min(shape) // 2, 1)
    y, x = np.indices(shape)
    distance = np.hypot((y - shape[0] // 2) * steps[0], (x - shape[1] // 2) * steps[1]).ravel()
    operator = np.zeros((distance.size, radii))
    for row, d in enumerate(distance):
        if d <= radii - 1:
            operator[row, int(d)] = 1 - (d - int(d))
            if d > int(d):
                operator[row, int(d) + 1] = d - int(d)
    return operator, distance


@quick
@given(shape=SHAPES, spectrum=st.booleans())
def test_operator_and_projection_are_those_of_dense_matrices(shape, spectrum):
    steps = spectrum_steps(shape) if spectrum else (1.0, 1.0)
    expected, distance = dense(shape, steps)
    operator = radial_operator(shape, steps=steps)
    assert sparse.issparse(operator)
    np.testing.assert_allclose(operator.toarray(), expected, atol=1e-12)
    inside = distance <= expected.shape[1] - 1
    np.testing.assert_allclose(operator.sum(1), inside.astype(float), atol=1e-12)

    image = np.random.default_rng(1).normal(size=shape)
    before = image.copy()
    profile = np.linalg.lstsq(expected, image.ravel())[0]
    np.testing.assert_allclose(radial_profile(image, steps=steps), profile, atol=1e-9)
    np.testing.assert_allclose(project_isotropic(image, steps=steps).ravel(), expected @ profile, atol=1e-9)
    np.testing.assert_array_equal(image, before)


@quick
@given(shape=SHAPES)
def test_normal_equations_are_tridiagonal(shape):
    operator = radial_operator(shape)
    normal = (operator.T @ operator).toarray()
    assert not np.triu(normal, 2).any()
    assert np.diagonal(normal).min() > 0


@quick
@given(shape=SHAPES, seed=st.integers(0, 9))
def test_projection_is_idempotent_and_symmetric(shape, seed):
    a, b = np.random.default_rng(seed).normal(size=(2, *shape))
    once = project_isotropic(a)
    np.testing.assert_allclose(project_isotropic(once), once, atol=1e-10)
    assert np.vdot(once, b) == pytest.approx(np.vdot(a, project_isotropic(b)), abs=1e-9)
    assert np.linalg.norm(once) <= np.linalg.norm(a) + 1e-9


@quick
@given(shape=SHAPES, seed=st.integers(0, 9))
def test_isotropic_images_stay_what_they_are(shape, seed):
    profile = np.random.default_rng(seed).normal(size=max(min(shape) // 2, 1))
    image = expand_profile(profile, shape)
    np.testing.assert_allclose(radial_profile(image), profile, atol=1e-10)
    np.testing.assert_allclose(project_isotropic(image), image, atol=1e-10)


def test_values_by_hand():
    """A pixel at sqrt(2) is 0.586 of radius 1 and 0.414 of radius 2; the corner, at sqrt(8), lies beyond radius 2."""
    image = expand_profile([5.0, 3.0, 1.0], (7, 6))
    assert image[3, 3] == 5
    assert image[3, 4] == image[2, 3] == 3
    assert image[4, 4] == pytest.approx(3 * (2 - 2**0.5) + 1 * (2**0.5 - 1))
    assert image[3, 5] == 1
    assert image[5, 5] == 0
    assert image[0, 3] == 0  # 3 px away


def test_spectrum_of_a_frame_that_is_not_square():
    """A Gaussian blur is isotropic in cycles per pixel, not in pixels of the spectrum."""
    shape = (40, 100)
    nu2 = np.fft.fftshift(np.fft.fftfreq(40)[:, None] ** 2 + np.fft.fftfreq(100) ** 2)
    transfer = np.exp(-40 * nu2)
    inside = np.sqrt(nu2) <= 19 / 40
    right = project_isotropic(transfer, steps=spectrum_steps(shape))
    assert np.abs(right - transfer)[inside].max() < 0.01
    assert np.abs(project_isotropic(transfer) - transfer)[inside].max() > 0.2


@quick
@given(shape=SHAPES)
def test_folding_sums_quadrants(shape):
    plane = np.random.default_rng(0).normal(size=shape)
    quarter = np.random.default_rng(1).normal(size=(shape[0] // 2 + 1, shape[1] // 2 + 1))
    spread = unfold(quarter, shape)
    assert spread.shape == shape
    assert np.vdot(fold(plane), quarter) == pytest.approx(np.vdot(plane, spread))  # adjoint
    assert fold(plane).sum() == pytest.approx(plane.sum())


def test_distances_are_remembered():
    radial_profile(np.ones((9, 12)))
    assert rings_of((9, 12), (1.0, 1.0)) is rings_of((9, 12), (1.0, 1.0))


def test_wrong_input():
    with pytest.raises(ValueError, match=r"image has shape \(2, 3, 4\): give one plane \(Y, X\)"):
        project_isotropic(np.zeros((2, 3, 4)))
    with pytest.raises(TypeError, match="image has dtype complex128: give real numbers"):
        radial_profile(np.zeros((4, 4), complex))
    with pytest.raises(ValueError, match=r"shape is \(0, 4\): give \(rows, columns\)"):
        radial_operator((0, 4))
    with pytest.raises(ValueError, match="give two positive distances"):
        radial_operator((4, 4), steps=(1.0, 0.0))
    with pytest.raises(ValueError, match=r"profile has shape \(3,\): a plane of \(4, 9\) has 2 radii"):
        expand_profile([1, 2, 3], (4, 9))
