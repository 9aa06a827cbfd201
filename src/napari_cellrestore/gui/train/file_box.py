"""Settings as a file, and the command line that runs it."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QApplication, QFileDialog, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from napari_cellrestore.gui.text import show_text, text_label

YAML = "Recipe (*.yaml *.yml)"
NO_LINE = "Save the settings, or start, to get the line that does the same in a shell."


class FileBox(QWidget):
    """Buttons to load and save settings, and to copy the command line."""

    #: The user chose a file to load from, or to save to.
    load_wanted = Signal(object)
    save_wanted = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self.load_button, self.save_button = QPushButton("Load…"), QPushButton("Save…")
        self.load_button.setToolTip("Load the settings of a YAML file: a recipe, with or without its images")
        self.save_button.setToolTip("Save the settings as a YAML file, which cellrestore train runs, here or elsewhere")
        self.copy_button, self.line = QPushButton("Copy command"), text_label()
        self.copy_button.setToolTip("Copy the line that does the same in a shell")
        buttons = QHBoxLayout()
        for button in (self.load_button, self.save_button, self.copy_button):
            buttons.addWidget(button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(buttons)
        layout.addWidget(self.line)
        self.load_button.clicked.connect(self._ask_and_load)
        self.save_button.clicked.connect(self._ask_and_save)
        self.copy_button.clicked.connect(lambda: QApplication.clipboard().setText(self.text))
        self.show_line("")

    def show_line(self, text: str) -> None:
        """Show the command line, or how to get one."""
        self.text = text
        show_text(self.line, text or NO_LINE)
        self.copy_button.setEnabled(bool(text))

    def _ask_and_load(self) -> None:
        name, _ = QFileDialog.getOpenFileName(self, "Settings of a training", "", YAML)
        if name:
            self.load_wanted.emit(Path(name))

    def _ask_and_save(self) -> None:
        name, _ = QFileDialog.getSaveFileName(self, "Save the settings of the training", "recipe.yaml", YAML)
        if name:
            path = Path(name)
            self.save_wanted.emit(path if path.suffix else path.with_suffix(".yaml"))
