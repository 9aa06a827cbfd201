"""LED stacks: images that are made of all their planes, and whether the planes are what the table says.

>>> from napari_cellrestore.illumination import brightfield, check_leds, colour_by_angle, darkfield, differential_phase
"""

from __future__ import annotations

from napari_cellrestore.illumination.checks import LedChecks, check_leds
from napari_cellrestore.illumination.composites import brightfield, colour_by_angle, darkfield, differential_phase
from napari_cellrestore.illumination.finding import WHATS, Finding

__all__ = [
    "brightfield",
    "darkfield",
    "differential_phase",
    "colour_by_angle",
    "check_leds",
    "LedChecks",
    "Finding",
    "WHATS",
]
