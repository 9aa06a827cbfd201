"""The plan of the LED array that one can use: click, brush and arrow keys."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from napari.components import ViewerModel
from qtpy.QtCore import QEvent, QPoint, Qt, Signal
from qtpy.QtGui import QKeyEvent, QMouseEvent
from skimage.measure import points_in_poly

from napari_cellrestore.gui.leds.drawing import PlanDrawing
from napari_cellrestore.gui.leds.words import led_said

#: What arrow keys do.
STEPS = {
    Qt.Key.Key_Left: (-1, 0),
    Qt.Key.Key_Right: (1, 0),
    Qt.Key.Key_Up: (0, -1),
    Qt.Key.Key_Down: (0, 1),
}
#: The mouse was dragged, not only clicked.
DRAGGED_PX = 4
#: What a brush does to the selection.
REPLACE, ADD, REMOVE = "replace", "add", "remove"


class LedPlan(PlanDrawing):
    """The plan. A click shows an LED, a second one its other exposure, a drag selects, arrow keys go on."""

    #: The user goes to this row of the table.
    picked = Signal(int)
    #: The user brushed over these rows, to replace what is selected, or to add or remove them.
    brushed = Signal(object, str)

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__(viewer)
        self._pressed: QPoint | None = None
        self._path: list[tuple[float, float]] = []
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)

    def go_to(self, number: int) -> None:
        """Go to a spot: to the exposure of the LED shown if it has that one; on the LED shown to its next."""
        assert self.plan is not None
        assert self.leds is not None
        rows, here = self.plan.spots[number].rows, self.shown_row
        if here in rows:
            row = rows[(rows.index(here) + 1) % len(rows)]
        else:
            exposure = None if here is None else self.leds.exposure[here]
            row = next((row for row in rows if self.leds.exposure[row] == exposure), rows[0])
        if row != here:
            self.picked.emit(row)

    def spot_at(self, where: QPoint) -> int | None:
        """Return the number of the spot at a place of the widget."""
        if self.plan is None or not self.plan.spots:
            return None
        distance = np.hypot(*(self.plan.xy - self._plan_xy(where)).T)
        nearest = int(distance.argmin())
        return nearest if distance[nearest] <= 0.6 * self.plan.spacing else None

    def _plan_xy(self, where: QPoint) -> tuple[float, float]:
        point = self.getPlotItem().getViewBox().mapSceneToView(self.mapToScene(where))
        return float(point.x()), float(point.y())

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Go to the nearest LED in the direction of an arrow key, or with E to the other exposure."""
        row = self.shown_row
        if self.plan is None or self.leds is None or row is None or row >= len(self.leds):
            super().keyPressEvent(event)
            return
        here = self.plan.spot_of(row)
        if event.key() in STEPS:
            there = self.plan.next_spot(here, *STEPS[event.key()])
            if there != here:
                self.go_to(there)
        elif event.key() == Qt.Key.Key_E:
            self.go_to(here)
        else:
            super().keyPressEvent(event)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Begin a click or a brush."""
        self.setFocus()
        if event.button() == Qt.MouseButton.LeftButton and self.plan is not None:
            self._pressed, self._path = event.pos(), [self._plan_xy(event.pos())]
        event.accept()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Go on with a brush; without a button say what is below the mouse."""
        if self._pressed is None:
            number = self.spot_at(event.pos())
            self.setCursor(Qt.CursorShape.ArrowCursor if number is None else Qt.CursorShape.PointingHandCursor)
            if number is None or self.plan is None or self.leds is None:
                self.setToolTip("")
            else:
                self.setToolTip(led_said(self.leds, self.plan.spots[number].rows))
            return
        if not self._dragged(event.pos()):
            return
        self._path.append(self._plan_xy(event.pos()))
        outline = self._outline(bool(event.modifiers() & Qt.KeyboardModifier.ShiftModifier))
        self.brush_line.setData(*np.array([*outline, outline[0]]).T)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """End a click or a brush."""
        if self._pressed is None or event.button() != Qt.MouseButton.LeftButton or self.plan is None:
            return
        dragged, how = self._dragged(event.pos()) or len(self._path) > 1, _how(event)
        if dragged:
            self._path.append(self._plan_xy(event.pos()))
            outline = self._outline(bool(event.modifiers() & Qt.KeyboardModifier.ShiftModifier))
            inside = points_in_poly(self.plan.xy, outline)
            self.brushed.emit(self._rows(np.flatnonzero(inside)), how)
        elif (number := self.spot_at(event.pos())) is not None:
            if how == REPLACE:
                self.go_to(number)
            else:
                self.brushed.emit(self._rows([number]), how)
        self._pressed = None
        self.brush_line.setData([], [])

    def leaveEvent(self, event: QEvent) -> None:
        """Forget what was below the mouse."""
        self.setToolTip("")
        super().leaveEvent(event)

    def _rows(self, numbers: Iterable[int]) -> frozenset[int]:
        assert self.plan is not None
        return frozenset(row for number in numbers for row in self.plan.spots[number].rows)

    def _dragged(self, where: QPoint) -> bool:
        return self._pressed is not None and (where - self._pressed).manhattanLength() > DRAGGED_PX

    def _outline(self, freehand: bool) -> list[tuple[float, float]]:
        """Return the outline of the brush: the way of the mouse, or the rectangle from its first to its last place."""
        if freehand:
            return self._path
        (left, top), (right, bottom) = self._path[0], self._path[-1]
        return [(left, top), (right, top), (right, bottom), (left, bottom)]


def _how(event: QMouseEvent) -> str:
    if event.modifiers() & Qt.KeyboardModifier.ControlModifier:
        return ADD
    return REMOVE if event.modifiers() & Qt.KeyboardModifier.AltModifier else REPLACE
