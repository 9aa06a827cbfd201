"""Measurement of a point-spread function from images of beads: which can be used, their average, its widths.

A bead much smaller than the resolution is imaged as the point-spread function; the size of a larger one can be taken off.
One bead that saturates, touches another or lies at the border is left out, with its reason; the others are used.
"""

from napari_cellrestore.beads.bead import Bead, BeadPsf, reasons
from napari_cellrestore.beads.gaussian import FWHM_PER_SIGMA, GaussianFit, fit_gaussians
from napari_cellrestore.beads.measuring import measure_beads
from napari_cellrestore.beads.size import without_size
from napari_cellrestore.beads.theory import expected_fwhm

__all__ = [
    "FWHM_PER_SIGMA",
    "Bead",
    "BeadPsf",
    "GaussianFit",
    "expected_fwhm",
    "fit_gaussians",
    "measure_beads",
    "reasons",
    "without_size",
]
