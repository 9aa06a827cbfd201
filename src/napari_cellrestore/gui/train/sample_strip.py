"""The last picture that a run made of an image kept for validation."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QPixmap, QResizeEvent
from qtpy.QtWidgets import QLabel, QSizePolicy, QVBoxLayout, QWidget

from napari_cellrestore.gui.train.run_folder import newest_sample


class SampleStrip(QWidget):
    """Input, output and target side by side, as wide as there is room, with what they are below."""

    def __init__(self) -> None:
        super().__init__()
        self.picture = _Picture()
        self.words = QLabel(wordWrap=True)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.picture)
        layout.addWidget(self.words)
        self.show_run(None)

    def show_run(self, run: Path | None) -> None:
        """Show the newest picture of a run; nothing where there is none."""
        path = None if run is None else newest_sample(run)
        pixmap = QPixmap() if path is None else QPixmap(str(path))
        self.picture.show_pixmap(pixmap)
        if path is not None:
            self.words.setText(f"Input, output, target of an image kept for validation, step {int(path.stem):,}")
        self.setVisible(not pixmap.isNull())


class _Picture(QLabel):
    """A picture as large as there is room, of a height that does not depend on its width.

    Else a scroll bar that comes makes it lower, so that the bar goes, which makes it higher, without an end.
    """

    HEIGHT_PX = 96

    def __init__(self) -> None:
        super().__init__(alignment=Qt.AlignmentFlag.AlignCenter)
        self._whole = QPixmap()
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.setFixedHeight(self.HEIGHT_PX)

    def show_pixmap(self, pixmap: QPixmap) -> None:
        """Show another picture."""
        self._whole = pixmap
        self._fit()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Fill the room there is now."""
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        if not self._whole.isNull():
            ways = Qt.AspectRatioMode.KeepAspectRatio, Qt.TransformationMode.SmoothTransformation
            self.setPixmap(self._whole.scaled(QSize(max(self.width(), 1), self.HEIGHT_PX), *ways))
