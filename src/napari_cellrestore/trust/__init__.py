"""How far a restored image can be trusted: whether it explains the measured one, and what of it the data cannot tell.

A restored image that is right, blurred again as the microscope blurred it, is the measured image up to noise. Where it is
not, the restoration contradicts the data. Where the blur removes what was restored, the data cannot tell: it may be right
or invented, and nothing in the measured image says which. These are two kinds of doubt and shown as two.
"""

from napari_cellrestore.spread import mean_and_spread, turned, turned_back, turned_spread
from napari_cellrestore.trust.judgement import (
    CANNOT_TELL,
    CONTRADICTS,
    LEGEND,
    TIMES_ASKED,
    UNASKED,
    UNSURE,
    Trust,
    Verdict,
    explaining_kernel,
    judge,
    judge_pair,
    kind_said,
    kinds_of,
)
from napari_cellrestore.trust.maps import (
    SIZES_PX,
    Psf,
    consistency_map,
    estimate_noise,
    smallest_told_px,
    unseen_map,
)

__all__ = [
    "CANNOT_TELL",
    "CONTRADICTS",
    "LEGEND",
    "SIZES_PX",
    "TIMES_ASKED",
    "UNASKED",
    "UNSURE",
    "Psf",
    "Trust",
    "Verdict",
    "consistency_map",
    "estimate_noise",
    "explaining_kernel",
    "judge",
    "judge_pair",
    "kind_said",
    "kinds_of",
    "mean_and_spread",
    "smallest_told_px",
    "turned",
    "turned_back",
    "turned_spread",
    "unseen_map",
]
