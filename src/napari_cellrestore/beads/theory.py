"""The widths that theory expects."""

from __future__ import annotations

import numpy as np

from napari_cellrestore.beads.bead import Zyx, zyx
from napari_cellrestore.beads.gaussian import fit_gaussians
from napari_cellrestore.objective import Objective
from napari_cellrestore.psf import incoherent_psf

Array = np.ndarray

_SIDE = 513  # of computed planes: coarser frequencies misplace the edge of the pupil, on which the width along z hangs


def expected_fwhm(objective: Objective) -> Zyx:
    """Return the widths of the in-focus, aberration-free point-spread function along z, y, x, um, by the same fits.

    Of :func:`napari_cellrestore.psf.incoherent_psf` at many distances from focus: scalar theory of a widefield
    microscope. A confocal microscope with a closed pinhole is narrower by up to 1.4, one with a pinhole of an Airy unit by
    less; a bead that is not small and, at high apertures, polarisation widen it.

    Examples
    --------
    >>> oil = Objective(na=1.4, wavelength_um=0.58, immersion_index=1.518)
    >>> [round(width, 3) for width in expected_fwhm(oil)]
    [0.562, 0.212, 0.212]
    """
    pixel_um = objective.nyquist_pixel_um / 4
    n, na = objective.immersion_index, objective.na
    rough_um = 0.88 * objective.wavelength_um / (n - np.sqrt(n**2 - na**2))
    middle = slice(_SIDE // 2 - 16, _SIDE // 2 + 17)
    half = np.stack(
        [
            incoherent_psf((_SIDE, _SIDE), pixel_um, objective, step / 16 * rough_um)[middle, middle]
            for step in range(17)
        ]
    )
    width_px = 0.51 * objective.wavelength_um / na / pixel_um
    fit = fit_gaussians(np.concatenate([half[:0:-1], half]), (16.0, width_px, width_px), background=0.0)
    return zyx(np.multiply(fit.fwhm_px, (rough_um / 16, pixel_um, pixel_um)))
