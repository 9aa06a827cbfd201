"""Curves in a dock widget, in the colours of napari's theme."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyqtgraph as pg
from napari.components import ViewerModel
from qtpy.QtCore import QSize, Qt, Signal

from napari_cellrestore.gui.choice import Connections
from napari_cellrestore.gui.theme import theme_colour


class CurvePlot(pg.PlotWidget):
    """Curves over one axis, their peaks, and a line at the current position that can be dragged.

    Parameters
    ----------
    viewer : napari viewer
        Its theme is followed.
    y_label : str
    """

    #: The user clicked or dragged to this x.
    picked = Signal(float)

    def __init__(self, viewer: ViewerModel, y_label: str) -> None:
        super().__init__()
        self._viewer = viewer
        self._curves: list[tuple[np.ndarray, np.ndarray, str | None, float]] = []
        self._labels = {"left": y_label, "bottom": ""}
        self.setMenuEnabled(False)
        self.setMouseEnabled(x=False, y=False)
        self.hideButtons()
        self.setYRange(0, 1, padding=0.05)
        for side in self._labels:
            self.getAxis(side).enableAutoSIPrefix(False)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        # A blue that is seen on dark and on light.
        self.position = pg.InfiniteLine(movable=True, pen=pg.mkPen("#4a7bf0", width=2, style=Qt.PenStyle.DashLine))
        self.position.setZValue(10)
        self.position.sigDragged.connect(lambda line: self.picked.emit(float(line.value())))
        self.scene().sigMouseClicked.connect(self._on_click)
        Connections(self).connect(viewer.events.theme, self._restyle)
        self._restyle()

    def sizeHint(self) -> QSize:
        """Return a size that fits into a dock widget; pyqtgraph's own is that of a window."""
        return QSize(300, 220)

    def show_curves(self, curves: Sequence[tuple[np.ndarray, np.ndarray, str | None, float]], x_label: str) -> None:
        """Draw curves ``(x, y, colour or None for the text's colour, x of the peak)``."""
        self._curves, self._labels["bottom"] = list(curves), x_label
        self._restyle()

    def _on_click(self, event: object) -> None:
        where = event.scenePos()  # type: ignore[attr-defined]
        box = self.getPlotItem().getViewBox()
        if self._curves and box.sceneBoundingRect().contains(where):
            self.picked.emit(float(box.mapSceneToView(where).x()))

    def _restyle(self, _event: object = None) -> None:
        """Draw everything anew in the colours of the theme."""
        text, background = theme_colour(self._viewer, "text"), theme_colour(self._viewer, "background")
        self.setBackground(background)
        self.clear()
        for side, label in self._labels.items():
            axis = self.getAxis(side)
            axis.setPen(pg.mkPen(text, width=1))
            axis.setTextPen(text)
            axis.setLabel(label)
        for x, y, colour, peak in self._curves:
            pen = pg.mkPen(colour or text, width=2)
            self.plot(x, y, pen=pen, symbol="o", symbolSize=4, symbolPen=None, symbolBrush=colour or text)
            order = np.argsort(x)
            self.plot(
                [peak],
                [np.interp(peak, x[order], y[order])],
                symbol="o",
                symbolSize=11,
                pen=None,
                symbolPen=pen,
                symbolBrush=background,
            )
        if self._curves:
            self.addItem(self.position)
