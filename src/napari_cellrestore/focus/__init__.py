"""Which plane is sharp, and where: focus measures, focus curves, focus maps, all-in-focus images.

Everything is measured on the green channel of colour images: it holds most of the information in stained cells,
and axial colour puts its plane of focus between those of red and blue (Olofsson & Wagnström 2019, section 1.3).
"""

from napari_cellrestore.focus.curve import FocusCurve, brightest_plane, focus_curve, sharpest
from napari_cellrestore.focus.map import all_in_focus, focus_map, nearest_planes, take_planes
from napari_cellrestore.focus.measures import (
    KERNEL_PX,
    LAG_PX,
    MEASURES,
    Measure,
    focus_measure,
    green,
    second_differences,
)
from napari_cellrestore.focus.planes import Roi, StackLike

__all__ = [
    "focus_measure",
    "MEASURES",
    "Measure",
    "green",
    "second_differences",
    "LAG_PX",
    "KERNEL_PX",
    "focus_curve",
    "FocusCurve",
    "sharpest",
    "brightest_plane",
    "focus_map",
    "all_in_focus",
    "take_planes",
    "nearest_planes",
    "StackLike",
    "Roi",
]
