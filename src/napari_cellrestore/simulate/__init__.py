"""Simulated defocus: what a microscope would have recorded of a known image.

Everything is incoherent image formation (science of :mod:`napari_cellrestore.psf`); grey levels keep their units.
"""

from napari_cellrestore.simulate.defocus import (
    DetectorNoise,
    colour_objectives,
    defocus,
    defocus_planes,
    defocus_stack,
    quantise,
    smear_objectives,
)
from napari_cellrestore.simulate.microscope import WERTH_2018, Microscope
from napari_cellrestore.simulate.smear import draw_smear

__all__ = [
    "WERTH_2018",
    "DetectorNoise",
    "Microscope",
    "colour_objectives",
    "defocus",
    "defocus_planes",
    "defocus_stack",
    "draw_smear",
    "quantise",
    "smear_objectives",
]
