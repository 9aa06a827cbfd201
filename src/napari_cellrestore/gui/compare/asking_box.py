"""What is said while models are asked how sure they are of what they restored, and the way to stop it."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QLabel, QPushButton, QVBoxLayout, QWidget


class AskingBox(QWidget):
    """A line for each image: how far its model is asked, or why it cannot be."""

    #: The user wants no more asking.
    stopped = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[str, float | str] = {}
        self.label = QLabel(wordWrap=True)
        self.stop_button = QPushButton("Stop asking")
        self.stop_button.setToolTip("Leave the map as it is, without where the model is unsure")
        self.stop_button.clicked.connect(self._stop)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.label)
        layout.addWidget(self.stop_button)
        self._show()

    def clear(self) -> None:
        """Say nothing."""
        self._said.clear()
        self._show()

    def say(self, name: str, said: float | str) -> None:
        """Say of an image which part of the asking is done (0 to 1), or why it cannot be."""
        self._said[name] = said
        self._show()

    def answered(self, name: str) -> bool:
        """Return whether the model of an image was asked and has answered."""
        return self._said.get(name) == 1.0

    def _show(self) -> None:
        lines, running = [], False
        for name, said in self._said.items():
            if isinstance(said, str):
                lines.append(f"{name}: where the model is unsure is not shown, since {said}.")
            elif said < 1:
                running = True
                lines.append(f"Asking the model that made {name} how sure it is: {100 * said:.0f} %")
        self.label.setText("\n".join(lines))
        self.stop_button.setVisible(running)
        self.setVisible(bool(lines))

    def _stop(self) -> None:
        for name, said in self._said.items():
            if isinstance(said, float) and said < 1:
                self._said[name] = "the asking was stopped"
        self._show()
        self.stopped.emit()
