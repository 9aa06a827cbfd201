"""Choosing layers: a combo box and a check list that follow the viewer's layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from napari.components import ViewerModel
from napari.layers import Image, Layer
from qtpy.QtCore import QObject, QSize, Qt, Signal
from qtpy.QtGui import QPaintEvent
from qtpy.QtWidgets import QComboBox, QListWidget, QListWidgetItem, QStyle, QStyleOptionComboBox, QStylePainter

from napari_cellrestore.gui.theme import check_box_style

Accepts = Callable[[Layer], bool]


def is_image(layer: Layer) -> bool:
    """Return whether a layer is an image."""
    return isinstance(layer, Image)


def has_planes(layer: Layer) -> bool:
    """Return whether a layer is an image with more than one plane."""
    return isinstance(layer, Image) and layer.ndim > 2


class Connections:
    """Connections to events of napari's models, ended when a Qt object is destroyed.

    The models outlive the widget: an event that came later would reach a deleted Qt object.
    """

    def __init__(self, owner: QObject) -> None:
        self._pairs: list[tuple[Any, Callable[..., Any]]] = []
        owner.destroyed.connect(lambda: self.clear())  # Qt holds bound methods weakly, a lambda strongly

    def connect(self, emitter: Any, callback: Callable[..., Any]) -> None:
        """Call ``callback`` on each event of ``emitter``."""
        emitter.connect(callback)
        self._pairs.append((emitter, callback))

    def clear(self) -> None:
        """End all connections."""
        for emitter, callback in self._pairs:
            emitter.disconnect(callback)
        self._pairs.clear()


class LayersWatch(QObject):
    """Says when layers of the viewer come, go, change places or are renamed."""

    changed = Signal()

    def __init__(self, viewer: ViewerModel, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._names = Connections(self)
        lists = Connections(self)
        for event in ("inserted", "removed", "reordered"):
            lists.connect(getattr(viewer.layers.events, event), self._on_list)
        self._follow_names()

    def _follow_names(self) -> None:
        self._names.clear()
        for layer in self._viewer.layers:
            self._names.connect(layer.events.name, self._on_name)

    def _on_list(self, _event: object = None) -> None:
        self._follow_names()
        self.changed.emit()

    def _on_name(self, _event: object = None) -> None:
        self.changed.emit()


class LayerChoice(QComboBox):
    """One layer of the viewer, topmost first.

    Parameters
    ----------
    viewer : napari viewer
    accepts : callable
        Which layers are offered.
    none : str, optional
        Text of a first entry that stands for no layer.
    """

    #: Another layer (or none) is chosen.
    changed = Signal()

    def __init__(self, viewer: ViewerModel, accepts: Accepts, none: str | None = None) -> None:
        super().__init__()
        self._viewer, self._accepts, self._none = viewer, accepts, none
        self._offered: list[Layer | None] = []
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(12)
        self.layer: Any = None
        self.refresh()
        self.currentIndexChanged.connect(self._on_index)
        LayersWatch(viewer, self).changed.connect(self.refresh)

    def choose(self, layer: Layer | None) -> None:
        """Choose one of the layers offered."""
        self.setCurrentIndex(self._offered.index(layer))

    def refresh(self) -> None:
        """List the layers anew; the one chosen stays chosen if it is still there."""
        layers = [layer for layer in reversed(self._viewer.layers) if self._accepts(layer)]
        self._offered = layers if self._none is None else [None, *layers]
        blocked = self.blockSignals(True)
        self.clear()
        for row, layer in enumerate(self._offered):
            self.addItem(self._none if layer is None else layer.name)
            self.setItemData(row, self.itemText(row), Qt.ItemDataRole.ToolTipRole)
        if self._offered:
            self.choose(self.layer if self.layer in self._offered else self._default())
        self.blockSignals(blocked)
        self._on_index(self.currentIndex())

    def _default(self) -> Layer | None:
        active = self._viewer.layers.selection.active
        return active if self._none is None and active in self._offered else self._offered[0]

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Draw a name that is too long with its middle left out; Qt would cut off its end."""
        painter, option = QStylePainter(self), QStyleOptionComboBox()
        self.initStyleOption(option)
        box, text = QStyle.ComplexControl.CC_ComboBox, QStyle.SubControl.SC_ComboBoxEditField
        room = self.style().subControlRect(box, option, text, self).width() - 8
        option.currentText = self.fontMetrics().elidedText(option.currentText, Qt.TextElideMode.ElideMiddle, room)
        painter.drawComplexControl(box, option)
        painter.drawControl(QStyle.ControlElement.CE_ComboBoxLabel, option)

    def _on_index(self, index: int) -> None:
        self.setToolTip(self.currentText())
        chosen = self._offered[index] if index >= 0 else None
        if chosen is not self.layer:
            self.layer = chosen
            self.changed.emit()


def choose_two(viewer: ViewerModel, *choices: LayerChoice) -> None:
    """Choose the two lowest images where one is chosen twice: the first opened first."""
    images = [layer for layer in viewer.layers if is_image(layer)]
    if len(images) > 1 and choices[0].layer is choices[1].layer:
        for choice, layer in zip(choices, images, strict=False):
            choice.refresh()  # it may not have heard of the layer yet
            choice.choose(layer)


class LayerChecks(QListWidget):
    """Several layers of the viewer, topmost first, by check boxes.

    Parameters
    ----------
    viewer : napari viewer
    accepts : callable
        Which layers are offered.
    mark : callable
        Returns what is written behind the name of a layer, or "". Layers with a mark are checked when they come.
    """

    #: Other layers are offered or checked, or one that is checked has another name.
    changed = Signal()

    def __init__(self, viewer: ViewerModel, accepts: Accepts, mark: Callable[[Layer], str]) -> None:
        super().__init__()
        self._viewer, self._accepts, self._mark = viewer, accepts, mark
        self._offered: list[Layer] = []
        self._seen: list[Layer] = []
        self.layers: list[Any] = []
        self._said: tuple[list[int], list[tuple[int, str]]] = [], []
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.refresh()
        self._restyle()
        self.itemChanged.connect(self._on_item)
        LayersWatch(viewer, self).changed.connect(self.refresh)
        Connections(self).connect(viewer.events.theme, self._restyle)

    def check(self, layers: list[Layer]) -> None:
        """Check these layers and no other."""
        self.layers = list(layers)
        self.refresh()

    def refresh(self) -> None:
        """List the layers anew; those still there stay checked."""
        self._offered = [layer for layer in reversed(self._viewer.layers) if self._accepts(layer)]
        come = [layer for layer in self._offered if layer not in self._seen and self._mark(layer)]
        self._seen = [layer for layer in self._viewer.layers if layer in self._seen or layer in self._offered]
        self.layers = [layer for layer in self._offered if layer in self.layers or layer in come]
        blocked = self.blockSignals(True)
        self.clear()
        for layer in self._offered:
            self.addItem(self._item(layer))
        self.blockSignals(blocked)
        self._tell()

    def _item(self, layer: Layer) -> QListWidgetItem:
        mark = self._mark(layer)
        item = QListWidgetItem(f"{layer.name}  ({mark})" if mark else layer.name)
        item.setToolTip(layer.name)
        item.setSizeHint(QSize(0, 22))
        item.setFlags(Qt.ItemFlag.ItemIsUserCheckable | Qt.ItemFlag.ItemIsEnabled)
        item.setCheckState(Qt.CheckState.Checked if layer in self.layers else Qt.CheckState.Unchecked)
        return item

    def _on_item(self, _item: QListWidgetItem) -> None:
        states = [self.item(row).checkState() for row in range(self.count())]
        self.layers = [
            layer for layer, state in zip(self._offered, states, strict=True) if state == Qt.CheckState.Checked
        ]
        self._tell()

    def _restyle(self, _event: object = None) -> None:
        self.setStyleSheet(check_box_style(self._viewer))

    def _tell(self) -> None:
        said = [id(layer) for layer in self._offered], [(id(layer), layer.name) for layer in self.layers]
        if said != self._said:
            self._said = said
            self.changed.emit()
