"""Which planes of an LED stack a network is given: the inputs of Wulff 2022, by rule."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_cellrestore.leds.table import LedTable


@dataclass(frozen=True)
class Subset:
    """A rule for the single LEDs of a stack; the brightfield image comes with all.

    Parameters
    ----------
    max_polar_deg : float or None
        Largest angle to the axis; None for all.
    high : bool
        With the high exposures of dark field.
    """

    max_polar_deg: float | None = None
    high: bool = True


#: The seven inputs of table 3.1, by name. A largest angle below 0 leaves no single LED.
SUBSETS = {
    "full": Subset(),
    "full-no-high": Subset(high=False),
    "36deg": Subset(36.0),
    "36deg-no-high": Subset(36.0, high=False),
    "18deg": Subset(18.0),
    "8deg": Subset(8.0),
    "brightfield": Subset(-1.0),
}


def choose(leds: LedTable, name: str, *, brightfield: bool = True) -> LedTable:
    """Return the rows of one input of the ablation of Wulff 2022 (3.3.4, table 3.1); ``plane`` says which planes.

    Rows are chosen by rule, the largest angle and whether with high exposures, so that the names fit other arrays too.
    On the array of :func:`~napari_cellrestore.leds.arm_leds` the rules give 74, 44, 44, 29, 14, 4 and 1 planes. The
    table prints 30 in place of 29: 13 LEDs up to 18 degrees, 15 of dark field up to 36 at low exposure and brightfield
    are 29, which with the 15 high exposures makes the 44 that are printed. The network was trained with 29 as well: it
    is stated to have 4 027 728 parameters (table 4.1), as one of 29 colour images has; of 30 it would have 4 177 701. The
    angle of "full", 56 degrees, is 57 in the text (3.1.1), and the line of 8 degrees says "> 18" where 8 is meant.

    Parameters
    ----------
    leds : LedTable
        Exposures that are called "high" are taken for high.
    name : str
        Of :data:`SUBSETS`.
    brightfield : bool
        With the row of the kind "brightfield", as all inputs of the source; the table must have one. False for arrays
        of which no such image was taken.

    Raises
    ------
    ValueError
        An unknown name, no brightfield row, or no row that the rule leaves.

    Examples
    --------
    >>> from napari_cellrestore.leds import arm_leds
    >>> [len(choose(arm_leds(), name)) for name in SUBSETS]
    [74, 44, 44, 29, 14, 4, 1]
    """
    if name not in SUBSETS:
        raise ValueError(f"unknown subset {name!r}: use {', '.join(SUBSETS)}")
    rule = SUBSETS[name]
    together = leds.kind == "brightfield"
    if brightfield and not together.any():
        raise ValueError(
            f"no row of the kind brightfield for {name!r}: give a table that has one, or brightfield=False for single "
            "LEDs alone"
        )
    keep = ~together
    if rule.max_polar_deg is not None:
        keep &= leds.polar_deg <= rule.max_polar_deg
    if not rule.high:
        keep &= leds.exposure != "high"
    keep |= together & brightfield
    if not keep.any():
        raise ValueError(
            f"{name!r} leaves no plane: the angles go from {leds.polar_deg.min():g} to {leds.polar_deg.max():g} degrees"
        )
    return leds[np.flatnonzero(keep)]


def clearest(leds: LedTable | None) -> int:
    """Return the row that looks most like a usual image: all LEDs inside the aperture, else the most central, else the first."""
    return 0 if leds is None else int(np.argmin(np.where(leds.kind == "brightfield", -1.0, leds.polar_deg)))
