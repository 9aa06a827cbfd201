"""Recovery of the blur between a sharp and a blurred image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from napari_cellrestore.isotropy import rings_of, spectrum_steps
from napari_cellrestore.objective import Objective
from napari_cellrestore.recover.checks import Images, check_options, checked_pairs, checked_pixel_um, doubts
from napari_cellrestore.recover.estimate import described
from napari_cellrestore.recover.fourier import fourier_estimate
from napari_cellrestore.recover.noise import cutoff_ring
from napari_cellrestore.recover.radial import radial_estimate
from napari_cellrestore.recover.recovery import PsfRecovery
from napari_cellrestore.recover.shift import shift_of
from napari_cellrestore.recover.spectra import Spectra, window_of


def recover_psf(
    sharp: Images,
    blurred: Images,
    pixel_um: float | None = None,
    *,
    method: str = "radial",
    mu: float | str = "auto",
    objective: Objective | None = None,
    apodise: str = "tukey",
) -> PsfRecovery:
    r"""Recover the blur between a sharp and a blurred image.

    ``"radial"`` (default) is the direct least squares of Werth & Matlock 2018, equation 15, which they drop as too
    expensive: ``B^H A^H A B = B^T diag(|F|^2) B`` is tridiagonal. Added to it are:

    - the power of the noise of the sharp image is taken off ``|F|^2``, since ``E |F|^2 = |F_0|^2 + noise`` while the noise
      does not show in ``conj(F) G``; it is measured beyond the optical cutoff, without an objective in the corners
      of the spectrum, and assumed to be white;
    - each ring counts by what it can tell, the part of ``|F|^2`` that is signal over its residual ``|G - F H|^2``;
    - the curve is smooth: ``x = argmin sum w |G - F B x|^2 + mu |(k^2 - D2) x|^2`` with the second difference D2, so
      ``x = (B^T diag(w |F|^2) B + mu P)^-1 B^T Re(w conj(F) G)`` with a pentadiagonal matrix (the prior of Lindgren, Rue &
      Lindström 2011, J. R. Stat. Soc. B 73:423). What is not measured returns to 0. The inverse of the matrix is the
      covariance of the curve (Nychka 1988, J. Am. Stat. Assoc. 83:1134);
    - the images are not periodic and are faded out. A window does not commute with a blur; with an estimate of it
      ``F H - FFT(window (f * h))`` corrects G;
    - nothing is left beyond the cutoff ``2 NA / wavelength`` (compact support);
    - light is conserved: the ratio of the means gives ``otf[0]``, which is then set to 1. Where that does not fit the rest
      of the curve, exposure or camera offset differ; then it is extrapolated as an even curve, and a warning given. A
      transfer function with a cusp, as of a lens in focus, is a few per cent too high then.

    ``"fourier"`` is their equations 17 and 18 as printed, ``(B^T B)^-1 B^T conj(F) G / (|F|^2 + mu)``, for comparison. With
    noise it is biased towards 0; its uncertainty is that from the scatter within rings alone.

    Parameters
    ----------
    sharp, blurred : (Y, X) arrays or ImageStacks, or lists of them
        Images of one field each, grey levels in any unit. Several pairs of one blur are used together: their
        statistics are added.
    pixel_um : float
        Pixel size; of ImageStacks their own, if not given.
    method : {"radial", "fourier"}
        See above.
    mu : "auto", "gcv" or float
        Weight of the prior. ``"auto"`` takes the largest likelihood (generalised maximum likelihood, Wahba 1985, Ann.
        Stat. 13:1378), ``"gcv"`` generalised cross-validation (Golub, Heath & Wahba 1979, Technometrics 21:215); both
        curves are returned. On simulated pairs cross-validation had 1.1 times the error in the median, 2.2 times at
        worst, and its 95 % band held the truth in 92 % of cases against 96 %. ``"fourier"`` knows cross-validation only.
    objective : Objective, optional
        Gives the noise level more safely, compact support, and the absolute kernel. What lies beyond the trusted band
        of an image with little detail is not known, and the peak of the absolute kernel with it.
    apodise : {"tukey", "hann", "none"}
        Window of both images; "tukey" fades out a quarter of each side. "none" if they are periodic.

    Returns
    -------
    PsfRecovery

    Raises
    ------
    ValueError
        Images of different shapes or pixel sizes, identical, constant, saturated, not finite, or with nothing in common.
    TypeError
        Images that are not real numbers.

    Examples
    --------
    >>> from scipy import ndimage
    >>> scene = np.random.default_rng(0).normal(100, 20, (96, 96))
    >>> found = recover_psf(scene, ndimage.gaussian_filter(scene, 2, mode="wrap"), 0.1)
    >>> bool(abs(found.fwhm_um - 2.355 * 2 * 0.1) < 0.02)
    True
    """
    check_options(method, mu, apodise)
    pixel_um = checked_pixel_um(sharp, blurred, pixel_um)
    pairs = checked_pairs(sharp, blurred)
    shape = pairs[0][0].shape
    geometry = rings_of(shape, spectrum_steps(shape))
    cutoff = cutoff_ring(geometry, pixel_um, objective)
    dtype = np.result_type(np.float32, *(image.dtype for pair in pairs for image in pair))
    window = window_of(shape, apodise, dtype.name)
    spectra: Sequence[Spectra] = [Spectra.of(*pair, window) for pair in pairs]
    estimate = fourier_estimate if method == "fourier" else radial_estimate
    spectra, rings, found = estimate(geometry, spectra, window, cutoff, mu)
    sure = 3.0 if mu == "auto" else 0.0  # a prior that was given may hold everything near 0
    if not found.curve[0] > sure * found.covariance[0, 0] ** 0.5:
        raise ValueError(
            "sharp and blurred have nothing in common: give two images of one field, with more structure than noise"
        )
    frequency = np.arange(geometry.radii) / (min(shape) * pixel_um)
    fields = described(rings, found, geometry, window, cutoff, frequency, objective)
    result = PsfRecovery(
        method=method,
        shape=shape,
        pixel_um=pixel_um,
        objective=objective,
        frequency=frequency,
        shift_px=shift_of(geometry, spectra, rings, found, cutoff),
        **fields,
    )
    return replace(result, warnings=tuple(doubts(pairs, found.light_kept, result)))
