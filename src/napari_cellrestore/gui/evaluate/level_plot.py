"""Scores over focus level, with bands of how certain they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyqtgraph as pg
from napari.components import ViewerModel

from napari_cellrestore.gui.plot import PALETTE, ThemedPlot

#: Of the input: told from the methods by having no colour.
INPUT = "#8c8c8c"


def method_colours(methods: Sequence[str]) -> dict[str, str]:
    """Return the colour of each method.

    >>> method_colours(["input", "deblur-fast"])
    {'input': '#8c8c8c', 'deblur-fast': '#e69f00'}
    """
    restored = [method for method in methods if method != "input"]
    colours = {method: PALETTE[number % len(PALETTE)] for number, method in enumerate(restored)}
    return {method: colours.get(method, INPUT) for method in methods}


class LevelPlot(ThemedPlot):
    """A line for each method, and a band where there is one.

    Parameters
    ----------
    viewer : napari viewer
        Its theme is followed.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__(viewer, "")
        self._levels_um = np.zeros(0)
        self.lines: dict[str, np.ndarray] = {}
        self._labels["bottom"] = "focus level (µm)"
        self._restyle()

    def show_scores(self, levels_um: Sequence[float], lines: Mapping[str, np.ndarray], label: str) -> None:
        """Draw lines (L,), or lines with their bands (L, 3): mean, low, high."""
        self._levels_um, self.lines = np.asarray(levels_um), dict(lines)
        self._labels["left"] = label
        self._restyle()

    def _draw(self, text: str, background: str) -> None:
        for method, colour in method_colours(list(self.lines)).items():
            values = self.lines[method]
            mean = values if values.ndim == 1 else values[:, 0]
            if values.ndim == 2:
                self._draw_band(self._levels_um, values[:, 1], values[:, 2], colour)
            pen = pg.mkPen(colour, width=2)
            dots = {"symbol": "o", "symbolSize": 4, "symbolPen": None, "symbolBrush": colour}
            self.plot(self._levels_um, mean, pen=pen, **dots)
