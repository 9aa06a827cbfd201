"""The LEDs of an illumination array: tables of them, arrays that are common, and which planes a network is given.

The turns that map an array onto itself are in :mod:`napari_cellrestore.leds.symmetry`, gaps in an array in
:mod:`napari_cellrestore.leds.gaps`.

>>> from napari_cellrestore.leds import LedTable, arm_leds, choose, rectangular_leds
"""

from __future__ import annotations

from napari_cellrestore.leds.geometry import arm_leds, rectangular_leds
from napari_cellrestore.leds.rules import SUBSETS, Subset, choose, clearest
from napari_cellrestore.leds.table import EXPOSURES, KINDS, LedTable

__all__ = ["LedTable", "EXPOSURES", "KINDS", "rectangular_leds", "arm_leds", "SUBSETS", "Subset", "choose", "clearest"]
