"""A line with the path of a folder or a file, and a button to choose it."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QLineEdit, QPushButton, QWidget


class FolderRow(QWidget):
    """A folder, typed or chosen.

    Parameters
    ----------
    title : str
        Of the window in which it is chosen.
    placeholder : str
        Shown while there is none.
    """

    changed = Signal()

    def __init__(self, title: str, placeholder: str = "") -> None:
        super().__init__()
        self._title = title
        self.line = QLineEdit(placeholderText=placeholder)
        self.button = QPushButton("Choose…")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.line, 1)
        layout.addWidget(self.button)
        self.line.textChanged.connect(self._on_text)
        self.button.clicked.connect(self._choose)

    @property
    def folder(self) -> Path | None:
        """The folder with its full path, None where there is no text; it need not exist."""
        text = self.line.text().strip()
        return Path(text).expanduser().absolute() if text else None

    def show_folder(self, folder: Path | None) -> None:
        """Show a folder."""
        self.line.setText("" if folder is None else str(folder))

    def _on_text(self, text: str) -> None:
        self.line.setToolTip(text)  # a long path has no room in the line
        self.changed.emit()

    def _choose(self) -> None:
        if name := QFileDialog.getExistingDirectory(self, self._title, self.line.text()):
            self.line.setText(name)


class FileRow(FolderRow):
    """A file, typed or chosen.

    Parameters
    ----------
    title, placeholder : str
        As of :class:`FolderRow`.
    kinds : str
        Of the files to choose from, such as ``"Tables (*.csv *.json)"``.
    """

    def __init__(self, title: str, placeholder: str, kinds: str) -> None:
        super().__init__(title, placeholder)
        self._kinds = kinds

    @property
    def file(self) -> Path | None:
        """The file with its full path, None where there is no text; it need not exist."""
        return self.folder

    def _choose(self) -> None:
        name, _ = QFileDialog.getOpenFileName(self, self._title, self.line.text(), self._kinds)
        if name:
            self.line.setText(name)
