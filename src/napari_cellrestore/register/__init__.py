"""Put the planes of a focus stack on top of one another: shifts by cross-correlation, spline interpolation.

While a stack is taken the stage and the sample drift; a network trained on pairs that do not lie on one another learns
the drift (Olofsson & Wagnström 2019, section 2.1.2). Everything is measured on the green channel of colour images.
"""

from napari_cellrestore.register.planes import Roi, align_stack, common_area, follow_shifts, shift_plane, shift_planes
from napari_cellrestore.register.shift import BAND_PX, estimate_shift

__all__ = [
    "BAND_PX",
    "Roi",
    "align_stack",
    "common_area",
    "estimate_shift",
    "follow_shifts",
    "shift_plane",
    "shift_planes",
]
