"""How long to expose each LED: dark field is far darker than brightfield."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from napari_cellrestore.leds import LedTable
from napari_cellrestore.objective import Objective
from napari_cellrestore.simulate.illumination import led_stack


def metered(
    leds: LedTable,
    transmission: npt.ArrayLike,
    pixel_um: float,
    objective: Objective | Sequence[Objective],
    *,
    target: float = 0.6,
    percentile: float = 98.0,
    step: int = 1,
) -> LedTable:
    """Return the table with gains at which the dark-field planes of a sample become well exposed.

    Dark field is tens to thousands of times darker than brightfield, and the darker the larger the angle; Wulff 2022
    (3.1.1) sets shutter and gain of each LED once, by eye, on a sample. Here a percentile of the sample's grey levels
    comes to ``target`` times ``level`` of :func:`led_stack`, at low exposure. LEDs of one polar angle get one gain, so
    that the array keeps its symmetry. Rows whose light enters the objective keep gain 1. Meter once, with a sample that
    has every kind of cell, and use the table for all stacks: gains that follow each field would hide its brightness.

    Parameters
    ----------
    leds, transmission, pixel_um, objective, step
        As in :func:`led_stack`.
    target : float
        Share of the level of a blank field in brightfield.
    percentile : float
        Of all pixels and colours.

    Raises
    ------
    ValueError
        A sample that scatters no light to the objective.
    """
    if not (target > 0 and 0 < percentile <= 100):
        raise ValueError(f"target is {target}, percentile {percentile}: give a positive share and 0 to 100")
    objectives = (objective,) if isinstance(objective, Objective) else tuple(objective)
    dark = (leds.kind != "brightfield") & ~np.any([leds.brightfield(lens.na) for lens in objectives], axis=0)
    gains = np.ones(len(leds))
    if dark.any():
        plain = replace(leds, gain=np.nan)[dark]
        stack = led_stack(transmission, pixel_um, objective, plain, high_over_low=1, step=step)
        seen = np.array([float(np.percentile(plane, percentile)) for plane in np.asarray(stack.data)])
        rings = np.asarray(plain.polar_deg).round(2)
        brightest = np.array([seen[rings == ring].max() for ring in rings.tolist()])
        if not brightest.min() > 0:
            raise ValueError(
                f"the sample scatters no light of the LEDs at {rings[brightest.argmin()]:g} deg into the objective: "
                "meter with one that has cells, on pixels fine enough"
            )
        gains[dark] = target / brightest
    return replace(leds, gain=gains)
