"""The beads' own size, taken off the widths that were measured."""

from __future__ import annotations

import numpy as np

from napari_cellrestore.beads.bead import Zyx, zyx
from napari_cellrestore.beads.gaussian import FWHM_PER_SIGMA

#: Variance of a solid ball along any axis over its diameter squared: a fifth of its radius squared.
BALL = 1 / 20
#: Diameter over measured width up to which what is left is right within 1 %.
SMALL = 0.7


def without_size(fwhm_um: Zyx, diameter_um: float) -> Zyx:
    """Return the widths of the point-spread function, of the image of a ball that was measured.

    ``sqrt(fwhm^2 - 8 ln 2 d^2 / 20)``: the image is the point-spread function convolved with a ball of diameter d, so
    variances add, and that of a ball along any axis is ``d^2 / 20``. It is exact for a small ball and a Gaussian. By
    simulation, measured with :func:`fit_gaussians`: within 1 % up to d of 0.7 times the measured width, 3 % too wide at
    0.87, 7 % at 1; for the point-spread function of NA 1.4 within 2 % of its own fit throughout.

    Parameters
    ----------
    fwhm_um : (float, float, float)
        Measured full widths at half maximum along z, y, x.
    diameter_um : float
        Of the beads.

    Raises
    ------
    ValueError
        A diameter that is no length, or larger than a width.

    Examples
    --------
    >>> [round(width, 3) for width in without_size((0.731, 0.261, 0.310), 0.1)]
    [0.729, 0.256, 0.305]
    """
    if message := too_large(fwhm_um, check_diameter(diameter_um)):
        raise ValueError(message)
    return zyx(np.sqrt(np.square(fwhm_um) - FWHM_PER_SIGMA**2 * BALL * diameter_um**2))


def check_diameter(diameter_um: float) -> float:
    """Return the diameter of a bead, a positive number."""
    if not (np.isfinite(diameter_um) and diameter_um > 0):
        raise ValueError(f"diameter_um is {diameter_um}: give the diameter of a bead in micrometres, or leave it out")
    return float(diameter_um)


def too_large(fwhm_um: Zyx, diameter_um: float) -> str:
    """Return why the size of beads cannot be taken off, "" if it can."""
    axis = int(np.argmin(fwhm_um))
    if diameter_um <= fwhm_um[axis]:
        return ""
    hint = f" ({diameter_um:g} nm would be {diameter_um / 1000:g})" if diameter_um >= 10 else ""
    return (
        f"beads of {diameter_um:g} um{hint} are larger than the width of {fwhm_um[axis]:.3g} um measured along "
        f"{'zyx'[axis]}, their size cannot be taken off: check the diameter, or use smaller beads"
    )
