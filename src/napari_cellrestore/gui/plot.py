"""Curves in a dock widget, in the colours of napari's theme."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyqtgraph as pg
from napari.components import ViewerModel
from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtGui import QColor

from napari_cellrestore.gui.choice import Connections
from napari_cellrestore.gui.theme import theme_colour

#: Colours of what is told apart, also by colour-blind eyes, seen on dark and on light (Okabe & Ito 2008).
PALETTE = ("#e69f00", "#56b4e9", "#009e73", "#d55e00", "#cc79a7", "#0072b2")


class ThemedPlot(pg.PlotWidget):
    """A plot in the colours of the theme, which it follows; the mouse does not move its axes.

    Parameters
    ----------
    viewer : napari viewer
    y_label : str
    """

    def __init__(self, viewer: ViewerModel, y_label: str) -> None:
        super().__init__()
        self._viewer = viewer
        self._labels = {"left": y_label, "bottom": ""}
        self.setMenuEnabled(False)
        self.setMouseEnabled(x=False, y=False)
        self.hideButtons()
        self.getPlotItem().setContentsMargins(0, 8, 8, 4)  # the uppermost number is higher than its tick
        for side in self._labels:
            self.getAxis(side).enableAutoSIPrefix(False)
        Connections(self).connect(viewer.events.theme, self._restyle)

    def sizeHint(self) -> QSize:
        """Return a size that fits into a dock widget; pyqtgraph's own is that of a window."""
        return QSize(300, 220)

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
        self._draw(text, background)

    def _draw(self, text: str, background: str) -> None:
        """Draw what there is to be seen."""
        raise NotImplementedError

    def _draw_band(self, x: np.ndarray, low: np.ndarray, high: np.ndarray, colour: str) -> None:
        """Shade what lies between two curves."""
        edges = [pg.PlotDataItem(x, edge, pen=None) for edge in (low, high)]
        for edge in edges:
            self.addItem(edge)
        self.addItem(pg.FillBetweenItem(*edges, brush=faint(colour, 70)))


class CurvePlot(ThemedPlot):
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
        super().__init__(viewer, y_label)
        self._curves: list[tuple[np.ndarray, np.ndarray, str | None, float]] = []
        self.setYRange(0, 1, padding=0.05)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        # A blue that is seen on dark and on light.
        self.position = pg.InfiniteLine(movable=True, pen=pg.mkPen("#4a7bf0", width=2, style=Qt.PenStyle.DashLine))
        self.position.setZValue(10)
        self.position.sigDragged.connect(lambda line: self.picked.emit(float(line.value())))
        self.scene().sigMouseClicked.connect(self._on_click)
        self._restyle()

    def show_curves(self, curves: Sequence[tuple[np.ndarray, np.ndarray, str | None, float]], x_label: str) -> None:
        """Draw curves ``(x, y, colour or None for the text's colour, x of the peak)``."""
        self._curves, self._labels["bottom"] = list(curves), x_label
        self._restyle()

    def _on_click(self, event: object) -> None:
        where = event.scenePos()  # type: ignore[attr-defined]
        box = self.getPlotItem().getViewBox()
        if self._curves and box.sceneBoundingRect().contains(where):
            self.picked.emit(float(box.mapSceneToView(where).x()))

    def _draw(self, text: str, background: str) -> None:
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


class LinePlot(ThemedPlot):
    """Lines of several images over one axis, and a level that they are judged by.

    Parameters
    ----------
    viewer : napari viewer
        Its theme is followed.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__(viewer, "")
        self._lines: list[tuple[np.ndarray, np.ndarray, str | None]] = []
        self._level: float | None = None
        self._restyle()

    def show_lines(
        self,
        lines: Sequence[tuple[np.ndarray, np.ndarray, str | None]],
        x_label: str,
        y_label: str,
        *,
        y_range: tuple[float, float] | None = None,
        level: float | None = None,
    ) -> None:
        """Draw lines ``(x, y, colour or None for the text's colour)``, and a dashed one at a level of y."""
        self._lines, self._level = list(lines), level
        self._labels = {"left": y_label, "bottom": x_label}
        if y_range is None:
            self.enableAutoRange(axis="y")
        else:
            self.setYRange(*y_range, padding=0)
        self._restyle()

    def _draw(self, text: str, background: str) -> None:
        if self._level is not None:
            pen = pg.mkPen(text, width=1, style=Qt.PenStyle.DashLine)
            self.addItem(pg.InfiniteLine(self._level, angle=0, pen=pen))
        for x, y, colour in self._lines:
            self.plot(x, y, pen=pg.mkPen(colour or text, width=1.5), connect="finite")


def faint(colour: str, alpha: int) -> QColor:
    """Return a colour that lets through what is below; ``alpha`` of 255 is opaque."""
    shade = QColor(colour)
    shade.setAlpha(alpha)
    return shade
