"""Forward model of the microscope: pupil, defocus, point-spread function, transfer function.

Frequencies are in cycles per micrometre. Scalar, aberration-free theory: no vectorial effects of high
aperture, no coverslip or index mismatch (Gibson-Lanni), no pixel integration.
"""

from __future__ import annotations

import warnings

import numpy as np
import numpy.typing as npt
from scipy import fft

from napari_cellrestore.objective import Objective

Array = np.ndarray


def frequency_grid(shape: tuple[int, int], pixel_um: float) -> tuple[Array, Array]:
    """Return the frequencies (nu_y, nu_x) of the 2-D FFT of an image, FFT order, broadcastable, in cycles/um."""
    return fft.fftfreq(shape[0], pixel_um)[:, None], fft.fftfreq(shape[1], pixel_um)[None, :]


def pupil(
    shape: tuple[int, int],
    pixel_um: float,
    objective: Objective,
    defocus_um: float = 0.0,
    *,
    paraxial: bool = False,
) -> Array:
    """Coherent transfer function of the objective, FFT order, complex (Y, X).

    ``P(nu) = 1`` where ``|nu| <= NA / wavelength``, times the defocus factor
    ``exp(2 pi i z sqrt((n / wavelength)^2 - |nu|^2))``.

    Parameters
    ----------
    shape : (int, int)
        Rows and columns.
    pixel_um : float
        Pixel size at the object.
    objective : Objective
        Aperture, wavelength, immersion.
    defocus_um : float
        Distance of the object from the plane in focus.
    paraxial : bool
        Use ``exp(-i pi z wavelength / n |nu|^2)`` instead of the exact factor. Differs from Werth & Matlock 2018,
        equation 5, which misprints this expression.
    """
    nu_y, nu_x = frequency_grid(shape, pixel_um)
    nu_squared = nu_y**2 + nu_x**2
    n_per_um = objective.immersion_index / objective.wavelength_um
    if paraxial:
        phase = -0.5 * nu_squared / n_per_um
    else:
        # The constant n / wavelength is taken off: it shifts the whole field's phase and no intensity.
        phase = np.sqrt(np.maximum(n_per_um**2 - nu_squared, 0)) - n_per_um
    passes = nu_squared <= (objective.na / objective.wavelength_um) ** 2
    return np.where(passes, np.exp(2j * np.pi * defocus_um * phase), 0)


def incoherent_psf(
    shape: tuple[int, int], pixel_um: float, objective: Objective, defocus_um: float = 0.0, *, paraxial: bool = False
) -> Array:
    """Intensity point-spread function of incoherent imaging, (Y, X), centred, sum 1.

    ``k = |F^-1{P W}|^2 / sum`` (Werth & Matlock 2018, section 3.1; Goodman, Introduction to Fourier Optics,
    chapter 6). The centre is pixel ``(Y // 2, X // 2)``.

    Parameters
    ----------
    shape : (int, int)
        Rows and columns of the result.
    pixel_um : float
        Pixel size; one larger than ``wavelength / (4 NA)`` aliases the image and is warned about.
    objective : Objective
        Aperture, wavelength, immersion.
    defocus_um : float
        Distance from focus; the result does not depend on its sign.
    paraxial : bool
        See :func:`pupil`.

    Examples
    --------
    >>> psf = incoherent_psf((65, 65), 0.1, Objective(na=1.05, wavelength_um=0.53, immersion_index=1.515))
    >>> round(float(psf.sum()), 6), np.unravel_index(psf.argmax(), psf.shape) == (32, 32)
    (1.0, True)
    """
    check_sampling(pixel_um, objective)
    amplitude = fft.ifft2(pupil(shape, pixel_um, objective, defocus_um, paraxial=paraxial))
    intensity = np.abs(amplitude) ** 2
    return np.asarray(fft.fftshift(intensity / intensity.sum()))


def coherent_psf(
    shape: tuple[int, int], pixel_um: float, objective: Objective, defocus_um: float = 0.0, *, paraxial: bool = False
) -> Array:
    """Amplitude point-spread function of coherent imaging, (Y, X), centred, complex, sum 1.

    ``F^-1{P W}`` (Werth & Matlock 2018, equations 2 to 4); the image of a transparent object under one plane wave is
    the squared modulus of the object's field convolved with it. An even field stays what it is. Its squared modulus
    is :func:`incoherent_psf` but for the scale.

    Examples
    --------
    >>> psf = coherent_psf((65, 65), 0.1, Objective(na=1.05, wavelength_um=0.53, immersion_index=1.515), 0.5)
    >>> complex(psf.sum().round(6))
    (1+0j)
    """
    if not (np.isfinite(pixel_um) and pixel_um > 0):
        raise ValueError(f"pixel_um is {pixel_um}: give the size of a pixel at the object in micrometres")
    return np.asarray(fft.fftshift(fft.ifft2(pupil(shape, pixel_um, objective, defocus_um, paraxial=paraxial))))


def in_focus_otf(frequency: npt.ArrayLike, objective: Objective) -> Array:
    """Optical transfer function in focus, closed form, at frequencies in cycles/um.

    ``2 / pi (acos s - s sqrt(1 - s^2))`` with ``s = frequency wavelength / (2 NA)``, 0 from ``s = 1`` on (Goodman,
    Introduction to Fourier Optics, equation 6-32).

    Examples
    --------
    >>> in_focus_otf([0, 0.5, 1], Objective(na=0.25, wavelength_um=0.5))
    array([1.   , 0.391, 0.   ])
    """
    s = np.minimum(np.abs(np.asarray(frequency, float)) / objective.cutoff_per_um, 1)
    return np.asarray(2 / np.pi * (np.arccos(s) - s * np.sqrt(1 - s**2)))


def otf(psf: Array) -> Array:
    """Optical transfer function of a centred point-spread function, FFT order, complex (Y, X), 1 at frequency 0.

    Examples
    --------
    >>> k = incoherent_psf((64, 64), 0.1, Objective(na=1.05, wavelength_um=0.53, immersion_index=1.515))
    >>> round(float(otf(k)[0, 0].real), 6)
    1.0
    """
    psf = np.asarray(psf, float)
    total = psf.sum()
    if psf.ndim != 2 or not np.isfinite(total) or total <= 0:
        raise ValueError(f"psf has shape {psf.shape} and sum {total:g}: give a 2-D kernel of positive sum")
    return np.asarray(fft.fft2(fft.ifftshift(psf)) / total)


def blur_radius_px(pixel_um: float, objective: Objective, defocus_um: float) -> int:
    """Radius in pixels that holds nearly all light of a point: geometric cone plus ten Airy radii."""
    cone_um = (
        abs(defocus_um) * np.tan(np.radians(objective.acceptance_deg)) if objective.acceptance_deg < 89 else np.inf
    )
    airy_um = 0.61 * objective.wavelength_um / objective.na
    return int(np.ceil((min(cone_um, 20 * abs(defocus_um)) + 10 * airy_um) / pixel_um))


def check_sampling(pixel_um: float, objective: Objective) -> None:
    """Refuse an impossible pixel size and warn about one that aliases the incoherent image."""
    if message := aliasing(pixel_um, objective):
        warnings.warn(message, stacklevel=3)


def aliasing(pixel_um: float, objective: Objective) -> str:
    """Return what is wrong with pixels that alias the incoherent image, ``""`` if they do not.

    Examples
    --------
    >>> aliasing(0.5, Objective(na=0.25, wavelength_um=0.5))
    ''
    """
    if not (np.isfinite(pixel_um) and pixel_um > 0):
        raise ValueError(f"pixel_um is {pixel_um}: give the size of a pixel at the object in micrometres")
    if pixel_um <= objective.nyquist_pixel_um * 1.001:
        return ""
    return (
        f"pixels of {pixel_um:g} um alias an image of NA {objective.na:g} at {objective.wavelength_um:g} um; "
        f"frequencies up to {objective.cutoff_per_um:.3g} per um need pixels of {objective.nyquist_pixel_um:.3g} um or less"
    )
