"""A drawing of the LED array: what shone, how it was exposed, what is wrong, which LED is shown and which are selected."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pyqtgraph as pg
from napari.components import ViewerModel
from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QResizeEvent

from napari_cellrestore.gui.leds.places import Plan, plan_of
from napari_cellrestore.gui.leds.words import ringed
from napari_cellrestore.gui.plot import PALETTE, ThemedPlot, faint
from napari_cellrestore.gui.theme import warning_colour
from napari_cellrestore.leds import LedTable
from napari_cellrestore.leds.gaps import gaps

#: Colours of what shone.
KIND_COLOURS = {"point": PALETTE[0], "darkfield": PALETTE[1], "brightfield": PALETTE[2]}
#: Diameters of a spot, of the rings of exposures and of the LED shown, and of signs, as parts of the distance of
#: neighbouring LEDs.
SPOT, RINGS, SHOWN, SIGN = 0.54, {"low": 0.74, "hdr": 0.74, "high": 0.96}, 1.35, 0.9
#: Halves that differential phase compares, in the colours of the map: from where light makes it positive and negative.
MORE, LESS = "#d6604d", "#4393c3"
#: Signs of what is wrong with a plane.
SIGNS = {"shifted": "t2", "saturated": "star", "black": "x", "order": "s"}
#: Height that a plan does not exceed in a wide dock.
HIGHEST_PX = 420
_UNSELECTED = 90


class PlanDrawing(ThemedPlot):
    """The drawing, as large as there is room.

    Parameters
    ----------
    viewer : napari viewer
        Its theme is followed.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self.leds: LedTable | None = None
        self.plan: Plan | None = None  # before the plot, whose size changes while it is made
        self._na: float | None = None
        super().__init__(viewer, "")
        self.shown_row: int | None = None
        self._selected: frozenset[int] = frozenset()
        self._marks: Mapping[int, str] = {}
        #: Where LEDs are missing.
        self.missing: list[tuple[float, float]] = []
        self._azimuth_deg: float | None = None
        self.setAccessibleName("Plan of the LED array")
        box = self.getPlotItem().getViewBox()
        box.invertY(True)
        box.setAspectLocked(True)
        self.getPlotItem().setContentsMargins(0, 0, 4, 0)
        for side in ("left", "bottom"):
            self.hideAxis(side)
        self._marker = pg.ScatterPlotItem(pxMode=False, antialias=True)
        self.brush_line = pg.PlotCurveItem()
        self._restyle()

    def sizeHint(self) -> QSize:
        """Return a size about as high as a dock is wide."""
        return QSize(300, 290)

    def show_table(self, leds: LedTable | None, na: float | None) -> None:
        """Show the LEDs of a table, or none, and the aperture of the objective if it is known."""
        kinds = [] if leds is None else (leds if na is None else leds.with_kinds(na)).kind.tolist()
        self.leds, self._na = leds, na
        self.plan = None if leds is None else plan_of(leds, kinds)
        missing = [] if leds is None or self.plan is None else map(self.plan.place_of, gaps(leds))
        self.missing = [place for place in missing if place is not None]
        self._fit()
        self._restyle()

    def show_selection(self, rows: Iterable[int]) -> None:
        """Show which rows are selected; where none is, all look alike."""
        self._selected = frozenset(rows)
        self._restyle()

    def show_marks(self, marks: Mapping[int, str]) -> None:
        """Show what is wrong with rows, by the keys of :data:`SIGNS`."""
        self._marks = marks
        self._restyle()

    def fit_width(self, width: int) -> None:
        """Be nearly as high as wide, as arrays are.

        The width is that of the dock: it does not change with a scroll bar, which may come and go with the height.
        """
        self.setFixedHeight(int(np.clip(0.82 * width, 200, HIGHEST_PX)))

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Show the whole array at any size."""
        super().resizeEvent(event)
        self._fit()

    def show_azimuth(self, azimuth_deg: float | None) -> None:
        """Show the halves that differential phase compares, or none."""
        self._azimuth_deg = azimuth_deg
        self._restyle()

    def show_row(self, row: int | None) -> None:
        """Mark the LED of a row, and the ring of its exposure."""
        self.shown_row = row
        self._draw_marker()

    def _fit(self) -> None:
        """Choose the part of the plane that has the LEDs and, if it is not far larger, the aperture."""
        if self.plan is None or not self.plan.spots:
            return
        xy, circle = self.plan.xy, self._circle()
        reach = np.abs(xy).max() + self.plan.spacing
        if circle is not None and circle <= 1.5 * reach:
            corners = np.array([[-circle, -circle], [circle, circle]])
            xy = np.concatenate([xy, corners])
        low, high = xy.min(axis=0) - 0.8 * self.plan.spacing, xy.max(axis=0) + 0.8 * self.plan.spacing
        self.getPlotItem().getViewBox().setRange(
            xRange=(low[0], high[0]), yRange=(low[1], high[1]), padding=0.02, disableAutoRange=True
        )

    def _circle(self) -> float | None:
        return None if self.plan is None or self._na is None else self.plan.aperture_radius(self._na)

    def _draw(self, text: str, background: str) -> None:
        if self.plan is None or self.leds is None or not self.plan.spots:
            return
        self._draw_aperture(text)
        self._draw_rings(text)
        self._draw_spots(background)
        self._draw_missing()
        self._draw_marks(background)
        self._marker = pg.ScatterPlotItem(pxMode=False, antialias=True)
        self.brush_line = pg.PlotCurveItem(pen=pg.mkPen(text, width=1, style=Qt.PenStyle.DashLine))
        for item, height in ((self._marker, 20), (self.brush_line, 30)):
            item.setZValue(height)
            self.addItem(item)
        self._draw_marker()

    def _draw_aperture(self, text: str) -> None:
        radius = self._circle()
        if radius is not None:
            angle = np.linspace(0, 2 * np.pi, 181)
            pen = pg.mkPen(faint(text, 190), width=1.5)
            self.addItem(pg.PlotCurveItem(radius * np.cos(angle), radius * np.sin(angle), pen=pen, antialias=True))
        if self._azimuth_deg is not None and self.plan is not None:
            reach = radius or float(np.abs(self.plan.xy).max())
            for side, colour in ((0, MORE), (180, LESS)):
                angle = np.radians(np.linspace(-90, 90, 91) + side + self._azimuth_deg)
                half = reach * np.stack([np.cos(angle), np.sin(angle)], axis=1)
                outline = np.concatenate([half, half[:1]])
                item = pg.PlotCurveItem(*outline.T, pen=None, brush=faint(colour, 110), fillLevel="enclosed")
                item.setZValue(-10)
                self.addItem(item)

    def _draw_rings(self, text: str) -> None:
        assert self.plan is not None
        assert self.leds is not None
        told = ringed(self.leds)
        rings = [
            (spot.xy, RINGS[exposure], exposure, self._is_bright(row))
            for spot in self.plan.spots
            for row in spot.rows
            if (exposure := str(self.leds.exposure[row])) in told
        ]
        if not rings:
            return
        styles = {"hdr": Qt.PenStyle.DotLine}
        self.addItem(
            self._scatter(
                [xy for xy, *_ in rings],
                [part for _, part, *_ in rings],
                pen=[
                    pg.mkPen(
                        faint(text, 210 if bright else _UNSELECTED),
                        width=1.2,
                        style=styles.get(name, Qt.PenStyle.SolidLine),
                    )
                    for *_, name, bright in rings
                ],
                brush=None,
            )
        )

    def _draw_spots(self, background: str) -> None:
        assert self.plan is not None
        spots = self.plan.spots
        alphas = [255 if any(map(self._is_bright, spot.rows)) else _UNSELECTED for spot in spots]
        brushes = [pg.mkBrush(faint(KIND_COLOURS[spot.kind], alpha)) for spot, alpha in zip(spots, alphas, strict=True)]
        sizes = [SPOT * (1.5 if spot.kind == "brightfield" else 1) for spot in spots]
        self.addItem(
            self._scatter([spot.xy for spot in spots], sizes, pen=pg.mkPen(background, width=0.5), brush=brushes)
        )

    def _draw_missing(self) -> None:
        if self.missing:
            pen = pg.mkPen(mark_colour(self._viewer), width=1.5, style=Qt.PenStyle.DotLine)
            self.addItem(self._scatter(self.missing, [SPOT] * len(self.missing), pen=pen, brush=None))

    def _draw_marks(self, background: str) -> None:
        assert self.plan is not None
        wrong = [
            (spot.xy, SIGNS[self._marks[row]])
            for spot in self.plan.spots
            for row in spot.rows
            if self._marks.get(row) in SIGNS
        ]
        if wrong:
            self.addItem(
                self._scatter(
                    [xy for xy, _ in wrong],
                    [SIGN] * len(wrong),
                    symbol=[sign for _, sign in wrong],
                    pen=pg.mkPen(background, width=0.5),
                    brush=pg.mkBrush(mark_colour(self._viewer)),
                )
            )

    def _draw_marker(self) -> None:
        row, text = self.shown_row, self.getAxis("left").textPen().color()
        if self.plan is None or self.leds is None or row is None or row >= len(self.leds):
            self._marker.setData([])
            return
        spot = self.plan.spots[self.plan.spot_of(row)]
        rings = [(SHOWN, 2.0)]
        if len(spot.rows) > 1 and (ring := RINGS.get(str(self.leds.exposure[row]))):
            rings.append((ring, 2.5))
        self._marker.setData(
            pos=[spot.xy] * len(rings),
            size=[part * self.plan.spacing for part, _ in rings],
            pen=[pg.mkPen(text, width=width) for _, width in rings],
            brush=None,
            symbol="o",
        )

    def _scatter(self, places: list[tuple[float, float]], parts: list[float], **look: Any) -> pg.ScatterPlotItem:
        assert self.plan is not None
        sizes = [part * self.plan.spacing for part in parts]
        return pg.ScatterPlotItem(pos=places, size=sizes, pxMode=False, antialias=True, **look)

    def _is_bright(self, row: int) -> bool:
        return not self._selected or row in self._selected


def mark_colour(viewer: ViewerModel) -> str:
    """Return the colour of what is wrong, which is none of those of what shone."""
    return {"#f59e0b": "#ff5c5c"}.get(warning_colour(viewer), "#c1121f")
