"""The kernel of a blur as it was recovered: curves, images, widths."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy import fft, special

from napari_cellrestore.isotropy import rings_of, spectrum_steps
from napari_cellrestore.objective import Objective
from napari_cellrestore.psf import in_focus_otf
from napari_cellrestore.recover.spectra import unfolded

Array = np.ndarray

#: Shift of the two images above which it matters, px.
SHIFT_PX = 0.5


@dataclass(frozen=True, eq=False)
class PsfRecovery:
    """What :func:`recover_psf` returns. Curves have one value for each of R radii.

    Attributes
    ----------
    frequency : (R,) array
        Cycles/um.
    otf : (R,) array
        Transfer function of the relative kernel, ``otf[0] = 1``.
    covariance : (R, R) array
        Of the errors of ``otf``; see :attr:`otf_std`.
    mu : float
        Weight of the prior; for ``"fourier"`` in units of ``|F|^2``, for ``"radial"`` 1 / variance of the second
        difference of ``otf`` from radius to radius.
    mu_candidates, mu_scores : (K,) array, dict of (K,) arrays
        What mu was chosen from and by; the smallest score is best. Empty if mu was given.
    residual : (R,) array
        ``|G - F C| / |G|`` of the ring from this radius to the next, noise included.
    trusted : (R,) bool array
        From radius 0 to where the power of the sharp image falls below its noise, not beyond the optical cutoff.
    signal_to_noise : (R,) array
        Power of the sharp image without noise over that of its noise.
    noise_std : (float, float)
        Of the sharp and the blurred image, in grey levels.
    anisotropy : (R,) array
        What the projection onto isotropic kernels removed: root mean square deviation of the transfer function from
        its radial curve, in units of ``otf``, noise taken off; NaN outside the trusted band.
    absolute_otf : (R,) array or None
        Of the defocused microscope, if the objective was given: ``otf`` times the in-focus transfer function.
    shift_px : (float, float)
        By how many rows and columns the blurred image lies off the sharp one; see :attr:`shifted`.
    warnings : tuple of str
        Reasons for doubt, each with what to do.
    """

    method: str
    shape: tuple[int, int]
    pixel_um: float
    objective: Objective | None
    frequency: Array
    otf: Array
    covariance: Array
    mu: float
    mu_candidates: Array
    mu_scores: dict[str, Array]
    residual: Array
    trusted: Array
    signal_to_noise: Array
    noise_std: tuple[float, float]
    anisotropy: Array
    absolute_otf: Array | None = None
    shift_px: tuple[float, float] = (0.0, 0.0)
    warnings: tuple[str, ...] = ()

    @property
    def shifted(self) -> bool:
        """Whether the two images have to be aligned first: they are off by more than :data:`SHIFT_PX`."""
        return max(map(abs, self.shift_px)) > SHIFT_PX

    @property
    def otf_std(self) -> Array:
        """Standard deviation of each value of ``otf``; ``otf`` +- 1.96 of it is the 95 % band."""
        return np.sqrt(np.diag(self.covariance))

    @cached_property
    def psf(self) -> Array:
        """Relative kernel (Y, X), centred on pixel ``(Y // 2, X // 2)``, sum 1."""
        return kernel_of(self.shape, self.otf)

    @cached_property
    def absolute_psf(self) -> Array | None:
        """Kernel of the defocused microscope, like :attr:`psf`; None without an objective."""
        return None if self.absolute_otf is None else kernel_of(self.shape, self.absolute_otf)

    @cached_property
    def fwhm_um(self) -> float:
        """Full width at half maximum of the relative kernel, um."""
        return full_width(self.frequency, self.otf)

    @cached_property
    def absolute_fwhm_um(self) -> float | None:
        """Full width at half maximum of the absolute kernel, um; None without an objective."""
        return None if self.absolute_otf is None else full_width(self.frequency, self.absolute_otf)

    def fwhm_std(self, *, absolute: bool = False) -> float:
        """Return the standard deviation of a width, um, from that of the kernel at half maximum over its slope there."""
        width = self.absolute_fwhm_um if absolute else self.fwhm_um
        if width is None:
            raise ValueError("the absolute kernel needs the optics: recover with objective=Objective(...)")
        step = 0.005 * width
        transform = self._transform(np.array([0, width / 2, width / 2 + step]), absolute)
        _, half, beyond = transform @ self.otf
        excess = transform[1] - transform[0] / 2
        std = np.sqrt(max(float(excess @ self.covariance @ excess), 0.0))
        return float(2 * std * step / max(half - beyond, 1e-12 * abs(half)))

    def radial_psf(self, radius_um: npt.ArrayLike, *, absolute: bool = False) -> tuple[Array, Array]:
        """Return the kernel per um^2 at distances from its centre, and its standard deviation.

        ``k(r) = 2 pi integral of otf(nu) J0(2 pi nu r) nu dnu``.
        """
        transform = self._transform(np.atleast_1d(np.asarray(radius_um, float)), absolute)
        variance = np.einsum("ij,jk,ik->i", transform, self.covariance, transform, optimize=True)
        return transform @ self.otf, np.sqrt(np.maximum(variance, 0))

    def _transform(self, radius_um: Array, absolute: bool) -> Array:
        """Return the matrix that takes ``otf`` to the kernel at these distances."""
        transform = hankel(self.frequency, radius_um)
        if not absolute:
            return transform
        if self.objective is None:
            raise ValueError("the absolute kernel needs the optics: recover with objective=Objective(...)")
        return np.asarray(transform * in_focus_otf(self.frequency, self.objective))


def kernel_of(shape: tuple[int, int], curve: Array) -> Array:
    """Return the centred kernel (Y, X) of a radial transfer function."""
    geometry = rings_of(shape, spectrum_steps(shape))
    half = unfolded(geometry.spread(curve), geometry.shape)
    return np.asarray(fft.fftshift(fft.irfft2(half, geometry.shape)))


def hankel(frequency: Array, radius_um: Array) -> Array:
    """Return the matrix that takes a radial transfer function to its kernel at these distances, per um^2."""
    step = frequency[1] - frequency[0]
    return np.asarray(2 * np.pi * step * frequency * special.j0(2 * np.pi * np.outer(radius_um, frequency)))


def full_width(frequency: Array, curve: Array) -> float:
    """Return twice the largest distance at which the kernel still has half of its largest value, um."""
    pixel_um = 0.5 / (frequency[-1] + frequency[1])
    radius_um = np.arange(0, len(frequency), 0.25) * pixel_um
    kernel = hankel(frequency, radius_um) @ curve
    outer = int(np.flatnonzero(kernel >= kernel.max() / 2)[-1])
    if outer + 1 == len(kernel):
        return float("nan")
    beyond = (kernel[outer] - kernel.max() / 2) / (kernel[outer] - kernel[outer + 1])
    return float(2 * (radius_um[outer] + beyond * (radius_um[1] - radius_um[0])))
