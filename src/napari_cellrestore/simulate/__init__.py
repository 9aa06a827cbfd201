"""What a microscope would have recorded of a known object: focus stacks, LED stacks, blood cells unstained and stained.

Also the defects that an instrument adds. Defocus is incoherent image formation, LED stacks are coherent, one direction of
light at a time (science of :mod:`napari_cellrestore.psf`). Grey levels keep their units.
"""

from napari_cellrestore.simulate.blood import BloodCell, BloodPhantom, blood_phantom
from napari_cellrestore.simulate.blood_cells import WHITE_CELLS
from napari_cellrestore.simulate.defects import (
    DEFECTS,
    Defect,
    bidirectional_shear,
    detector_noise,
    instrument_defects,
    line_step,
    wrong_immersion,
)
from napari_cellrestore.simulate.defocus import (
    DetectorNoise,
    colour_objectives,
    defocus,
    defocus_planes,
    defocus_stack,
    quantise,
    smear_objectives,
)
from napari_cellrestore.simulate.illumination import WULFF_2022, led_stack
from napari_cellrestore.simulate.metering import metered
from napari_cellrestore.simulate.microscope import WERTH_2018, Microscope
from napari_cellrestore.simulate.rescan import simulated_rescan, stained_image
from napari_cellrestore.simulate.smear import draw_smear

__all__ = [
    "DEFECTS",
    "WERTH_2018",
    "WHITE_CELLS",
    "WULFF_2022",
    "BloodCell",
    "BloodPhantom",
    "Defect",
    "DetectorNoise",
    "Microscope",
    "bidirectional_shear",
    "blood_phantom",
    "colour_objectives",
    "defocus",
    "defocus_planes",
    "defocus_stack",
    "detector_noise",
    "draw_smear",
    "instrument_defects",
    "led_stack",
    "line_step",
    "metered",
    "quantise",
    "simulated_rescan",
    "smear_objectives",
    "stained_image",
    "wrong_immersion",
]
