"""Checks of the planes: the button, how far they are, and what they found."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Event
from typing import Any

import numpy as np
from pyqtgraph.graphicsItems.ScatterPlotItem import Symbols
from qtpy.QtCore import QPointF, QRectF, QSize, Qt, QTimer, Signal
from qtpy.QtGui import QColor, QIcon, QPainter, QPixmap
from qtpy.QtWidgets import (
    QDoubleSpinBox,
    QHBoxLayout,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_cellrestore.gui.background import Background
from napari_cellrestore.gui.leds.drawing import SIGNS
from napari_cellrestore.gui.leds.words import checked_said
from napari_cellrestore.gui.text import text_label
from napari_cellrestore.gui.watched import Stopped, WatchedPlanes
from napari_cellrestore.illumination import WHATS, LedChecks, check_leds
from napari_cellrestore.stack import ImageStack

#: Height of the list that is not exceeded.
HIGHEST_PX = 190
_PLANE = Qt.ItemDataRole.UserRole


class ChecksBox(QWidget):
    """The button, and the list of what was found."""

    #: Checks were made, or forgotten (None).
    checked = Signal(object)
    #: Why they could not be made, in a line; empty when they begin.
    failed = Signal(str)
    #: The user goes to this plane.
    picked = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self._stack: ImageStack | None = None
        self._na: float | None = None
        self.planes: WatchedPlanes | None = None
        self.checks: LedChecks | None = None
        self._build()
        self._work = Background(self)
        self._work.came.connect(self._on_checks)
        self._work.failed.connect(self.failed)
        self._work.finished.connect(self._show)
        self._clock = QTimer(self, interval=100)
        self._clock.timeout.connect(self._show_progress)
        self.button.clicked.connect(self.check)
        self.list.itemClicked.connect(self._on_item)
        self.list.itemActivated.connect(self._on_item)
        self._show()

    def _build(self) -> None:
        self.button = QPushButton("Check planes")
        self.level = GreyLevel(decimals=6, maximum=1e9, specialValueText="not known")
        self.level.setStepType(QDoubleSpinBox.StepType.AdaptiveDecimalStepType)
        self.level.setToolTip(
            "Grey level from which a pixel is burnt; without it saturation is not checked, and composites count such "
            "pixels as they are"
        )
        self.progress = QProgressBar(textVisible=False, maximumHeight=4)
        self.said = text_label(rich=True)
        self.list = FindingList()
        self.level_row = QWidget()
        row = QHBoxLayout(self.level_row)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(QLabel("Burnt from"))
        row.addWidget(self.level, 1)
        layout = QVBoxLayout(self)
        for part in (self.level_row, self.button, self.progress, self.said, self.list):
            layout.addWidget(part)

    @property
    def saturation(self) -> float | None:
        """Grey level from which pixels are burnt, None where it is not known."""
        if self._stack is None or self._stack.data.dtype == np.uint8:
            return 255
        return self.level.value() or None

    @property
    def running(self) -> bool:
        """Whether planes are being checked."""
        return self._work.running

    def show_stack(self, stack: ImageStack | None, na: float | None) -> None:
        """Offer checks of a stack AYX or AYXS with its table; what was found of another is forgotten."""
        self._stack, self._na = stack, na
        self.level_row.setVisible(stack is not None and stack.data.dtype != np.uint8)
        self.forget()

    def check(self) -> None:
        """Check the planes; the button stops it meanwhile."""
        if self.running:
            self._work.stop()
            self._show()
            return
        self.forget()
        if self._stack is not None and self._na is not None:
            self.failed.emit("")
            self.planes = WatchedPlanes(self._stack.data, passes=1)
            self._work.start(check_planes, self.planes, self._stack, self._na, self.saturation)
            self._clock.start()
            self._show()

    def forget(self) -> None:
        """Stop checking, and forget what was found."""
        self._work.stop()
        if self.checks is not None:
            self.checks = None
            self.checked.emit(None)
        self._show()

    def show_colour(self, colour: str) -> None:
        """Draw the signs in a colour."""
        self.list.show_colour(colour)

    def _on_checks(self, checks: LedChecks) -> None:
        self.checks = checks
        self.list.show_checks(checks)
        self.checked.emit(checks)
        self._show()

    def _on_item(self, item: QListWidgetItem) -> None:
        if (plane := item.data(_PLANE)) is not None:
            self.picked.emit(plane)

    def _show(self) -> None:
        there_is = self._stack is not None and self._na is not None
        self.button.setEnabled(there_is)
        tip = "Look for planes that are shifted, saturated, black or exchanged, and for LEDs that are missing"
        self.button.setToolTip(tip if there_is else f"{tip}. Needs the NA of the objective")
        self.button.setText("Stop" if self.running else "Check planes")
        checks, n = self.checks, 0 if self._stack is None else self._stack.size("A")
        self.said.setText("" if checks is None else checked_said(checks, n))
        self.said.setVisible(checks is not None)
        self.list.setVisible(checks is not None and bool(checks.findings))
        self.updateGeometry()  # what is said may need more room than before
        self._show_progress()

    def _show_progress(self) -> None:
        if not self.running:
            self._clock.stop()
        elif self.planes is not None:
            reading = self.planes.count < self.planes.total  # then planes are compared
            self.progress.setMaximum(self.planes.total if reading else 0)
            self.progress.setValue(self.planes.count)
        self.progress.setVisible(self.running)


class GreyLevel(QDoubleSpinBox):
    """A number without zeros that say nothing."""

    def textFromValue(self, value: float) -> str:
        """Return the number as it is shown."""
        return f"{value:g}"


class FindingList(QListWidget):
    """Findings, one a row, with their signs."""

    def __init__(self) -> None:
        super().__init__()
        self._colour = "#ff5c5c"
        self._whats: list[str] = []
        self.setWordWrap(True)
        self.setIconSize(QSize(12, 12))
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setResizeMode(QListWidget.ResizeMode.Adjust)

    def show_checks(self, checks: LedChecks) -> None:
        """Show these and nothing of those before."""
        self.clear()
        self._whats = [found.what for found in checks.findings]
        for found in checks.findings:
            item = QListWidgetItem(found.sentence[:1].upper() + found.sentence[1:])
            item.setToolTip(f"{found.what}: {WHATS[found.what]}")
            item.setData(_PLANE, found.plane)
            self.addItem(item)
        self.show_colour(self._colour)

    def show_colour(self, colour: str) -> None:
        """Draw the signs in a colour."""
        self._colour = colour
        for row, what in enumerate(self._whats):
            self.item(row).setIcon(sign_icon(SIGNS.get(what, "o"), colour, hollow=what not in SIGNS))

    def sizeHint(self) -> QSize:
        """Return a height that the rows need, up to a limit."""
        rows = sum(self.sizeHintForRow(row) for row in range(self.count()))
        return QSize(200, min(rows + 2 * self.frameWidth() + 2, HIGHEST_PX))

    def resizeEvent(self, event: Any) -> None:
        """Take the height that texts of another width need."""
        super().resizeEvent(event)
        if event.size().width() != event.oldSize().width():
            self.scheduleDelayedItemsLayout()
            self.updateGeometry()


def sign_icon(sign: str, colour: str, *, hollow: bool = False) -> QIcon:
    """Return a sign of the plan as an icon."""
    pixmap = QPixmap(32, 32)
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.translate(QPointF(16, 16))
    if hollow:
        painter.setPen(QColor(colour))
        painter.scale(2, 2)
        painter.drawEllipse(QRectF(-6, -6, 12, 12))
    else:
        painter.scale(28, 28)
        painter.fillPath(Symbols[sign], QColor(colour))
    painter.end()
    return QIcon(pixmap)


def check_planes(
    stop: Event, planes: WatchedPlanes, stack: ImageStack, na: float, saturation: float | None
) -> Iterator[LedChecks]:
    """Yield what is found in planes that are counted as they are read."""
    planes.stop = stop
    watched: Any = planes
    try:
        yield check_leds(stack.replace(data=watched), na=na, saturation=saturation)
    except Stopped:
        return
