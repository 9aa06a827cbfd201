"""Curves with bands of how certain they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyqtgraph as pg
from napari.components import ViewerModel
from qtpy.QtCore import QSize, Qt

from napari_cellrestore.gui.plot import ThemedPlot, faint

#: Half of a band, in standard deviations.
BAND = 2.0


@dataclass(frozen=True, eq=False)
class Curve:
    """A curve over x; ``std`` makes a band of twice that to both sides, no colour is that of the text.

    A ``broad`` one is seen beside a curve that it coincides with.
    """

    x: np.ndarray
    y: np.ndarray
    colour: str | None = None
    std: np.ndarray | None = None
    broad: bool = False
    dots: bool = False


class BandPlot(ThemedPlot):
    """Curves with bands, and lines across at places on the x axis.

    Parameters
    ----------
    viewer : napari viewer
        Its theme is followed.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__(viewer, "")
        self.curves: list[Curve] = []
        self._marks: list[float] = []
        self._restyle()

    def sizeHint(self) -> QSize:
        """Return a size of which there is room below the settings."""
        return QSize(300, 190)

    def show_curves(
        self,
        curves: Sequence[Curve],
        x_label: str,
        y_label: str,
        *,
        x_range: tuple[float, float] | None = None,
        y_range: tuple[float, float] | None = None,
        marks: Sequence[float] = (),
    ) -> None:
        """Draw curves, and dotted lines across at ``marks``."""
        self.curves, self._marks = list(curves), list(marks)
        self._labels = {"left": y_label, "bottom": x_label}
        for axis, extent in (("x", x_range), ("y", y_range)):
            if extent is None:
                self.enableAutoRange(axis=axis)
        if x_range is not None:
            self.setXRange(*x_range, padding=0)
        if y_range is not None:
            self.setYRange(*y_range, padding=0)
        self._restyle()

    def _draw(self, text: str, background: str) -> None:
        for x in self._marks:
            self.addItem(pg.InfiniteLine(x, angle=90, pen=pg.mkPen(text, width=1, style=Qt.PenStyle.DotLine)))
        for curve in self.curves:
            colour = curve.colour or text
            if curve.std is not None:
                self._draw_band(curve.x, curve.y - BAND * curve.std, curve.y + BAND * curve.std, colour)
            pen = pg.mkPen(faint(colour, 130), width=6) if curve.broad else pg.mkPen(colour, width=1.5)
            dots = {"symbol": "o", "symbolSize": 5, "symbolPen": None, "symbolBrush": colour} if curve.dots else {}
            self.plot(curve.x, curve.y, pen=pen, connect="finite", **dots)
