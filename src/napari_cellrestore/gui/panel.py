"""What the dock widgets have in common: an empty state, a content that scrolls, and an end."""

from __future__ import annotations

from qtpy.QtCore import QEvent, QSize, Qt, Signal
from qtpy.QtWidgets import QLabel, QScrollArea, QStackedLayout, QWidget


class Panel(QWidget):
    """A dock widget that shows a content, or what to do to get one.

    napari takes a closed dock widget out of the window but keeps it alive as long as anything refers to it, so that it
    would go on reacting to the viewer. A panel is deleted then.
    """

    #: The dock was closed by the user, while the viewer goes on.
    closed = Signal()
    #: A dock is no narrower than its content, from one width to another.
    NARROWEST_PX, WIDEST_PX = 300, 420

    def __init__(self) -> None:
        super().__init__()
        self._pages = QStackedLayout(self)
        self._scroll: QScrollArea | None = None

    def set_content(self, content: QWidget, empty: str) -> None:
        """Show ``content``, scrolled where the window is low, or the text ``empty``."""
        self._scroll = scroll = QScrollArea(widgetResizable=True)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setWidget(content)
        self._pages.addWidget(QLabel(empty, alignment=Qt.AlignmentFlag.AlignCenter, wordWrap=True))
        self._pages.addWidget(scroll)

    def show_content(self, there_is: bool) -> None:
        """Show the content, or the text for when there is none."""
        self._pages.setCurrentIndex(int(there_is))

    def minimumSizeHint(self) -> QSize:
        """Return a width in which nothing of the content is cut off: it scrolls down only."""
        least = super().minimumSizeHint()
        content = self._scroll.widget() if self._scroll is not None else None
        wanted = 0
        if self._scroll is not None and content is not None:
            bar = self._scroll.verticalScrollBar().sizeHint().width()
            wanted = content.minimumSizeHint().width() + 2 * self._scroll.frameWidth() + bar
        return QSize(min(max(wanted, self.NARROWEST_PX), self.WIDEST_PX), least.height())

    def sizeHint(self) -> QSize:
        """Return a size that leaves room for the image."""
        return QSize(350, 700)

    @property
    def is_empty(self) -> bool:
        """Whether the text is shown instead of a content."""
        return self._pages.currentIndex() == 0

    def event(self, event: QEvent) -> bool:
        """End when napari takes the widget out of the window."""
        if event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self.closed.emit()
            self.deleteLater()
        return super().event(event)
