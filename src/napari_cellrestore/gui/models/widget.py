"""Models widget: which models there are, what each is good for, and how one gets here and away."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from threading import Event

from napari.components import ViewerModel
from qtpy.QtGui import QDragEnterEvent, QDropEvent, QShowEvent
from qtpy.QtWidgets import (
    QFileDialog,
    QGridLayout,
    QInputDialog,
    QLabel,
    QLineEdit,
    QMessageBox,
    QPushButton,
    QSizePolicy,
    QTextBrowser,
    QVBoxLayout,
    QWidget,
)

from napari_cellrestore.gui.background import Background
from napari_cellrestore.gui.choice import Connections
from napari_cellrestore.gui.models.card_text import card_text
from napari_cellrestore.gui.models.model_list import ModelList
from napari_cellrestore.gui.models.news import NEWS
from napari_cellrestore.gui.panel import Panel
from napari_cellrestore.gui.theme import warning_colour
from napari_cellrestore.model import (
    Model,
    NameTakenError,
    delete_model,
    export_model,
    import_model,
    rename_model,
)

IMPORTED = "Models (*.zip *.pth *.pt *.safetensors);;All files (*)"
#: Kinds of files that a model is exported to, by what the dialog calls them: end of the name.
EXPORTED = {
    "Model as one file (*.cellrestore.zip)": ".cellrestore.zip",
    "Package of bioimage.io (*.bioimage-io.zip)": ".bioimage-io.zip",
}


class ModelsWidget(Panel):
    """Dock widget that lists models with their cards, and imports, exports, renames and deletes them."""

    def __init__(self, napari_viewer: ViewerModel) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self._taken: list[tuple[Path, NameTakenError]] = []
        self._build()
        self._working = Background(self)
        self._working.came.connect(self._on_came)
        self._working.failed.connect(self.say)
        self._working.finished.connect(self._on_finished)
        self.models.chosen.connect(self._show)
        self.import_button.clicked.connect(self._ask_and_import)
        self.export_button.clicked.connect(self._ask_and_export)
        self.rename_button.clicked.connect(self._ask_and_rename)
        self.delete_button.clicked.connect(self._ask_and_delete)
        NEWS.changed.connect(self.refresh)
        Connections(self).connect(napari_viewer.events.theme, self.refresh)
        self.setAcceptDrops(True)
        self.say("")
        self.refresh()

    def _build(self) -> None:
        self.models = ModelList()
        self.import_button, self.export_button = QPushButton("Import…"), QPushButton("Export…")
        self.rename_button, self.delete_button = QPushButton("Rename…"), QPushButton("Delete…")
        self.import_button.setToolTip("Add a model from a file; files can also be dropped here")
        self.status = QLabel(wordWrap=True)
        self.status.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.card = QTextBrowser()
        self.card.setMinimumHeight(240)
        self.card.setStyleSheet("QTextBrowser {background: transparent; border: none}")
        buttons = QGridLayout()
        for place, button in enumerate(
            (self.import_button, self.export_button, self.rename_button, self.delete_button)
        ):
            buttons.addWidget(button, *divmod(place, 2))
        content = QWidget()
        layout = QVBoxLayout(content)
        layout.addWidget(self.models)
        layout.addLayout(buttons)
        layout.addWidget(self.status)
        layout.addWidget(self.card, 1)
        self.set_content(content, "")
        self.show_content(True)

    def showEvent(self, event: QShowEvent) -> None:
        """List models that were made meanwhile."""
        self.refresh()
        super().showEvent(event)

    # --- showing ---------------------------------------------------------------------------------------------

    def refresh(self, _event: object = None) -> None:
        """List the models anew."""
        self.models.refresh(warning_colour(self._viewer))

    def say(self, text: str) -> None:
        """Say something below the buttons."""
        self.status.setText(re.sub(r"([/\\_.-])", "\\1\u200b", text))  # where long paths and names may break
        self.status.setVisible(bool(text))

    def _show(self) -> None:
        entry, busy = self.models.entry, self._working.running
        own = entry is not None and not entry.bundled
        self.card.setHtml(card_text(entry, warning_colour(self._viewer)) if entry else "")
        self.import_button.setEnabled(not busy)
        self.export_button.setEnabled(not busy and entry is not None and entry.card is not None)
        for button, does in ((self.rename_button, "renamed"), (self.delete_button, "deleted")):
            button.setEnabled(not busy and own)
            button.setToolTip("" if own else f"Bundled models are not {does}")
        if not busy and self.status.text().endswith("…"):
            self.say("")

    def _changed(self, said: str, choose: str = "") -> None:
        """Say what was done, here and to other widgets."""
        self.models.refresh(warning_colour(self._viewer), choose)
        self.say(said)
        NEWS.changed.emit()

    # --- rename and delete -----------------------------------------------------------------------------------

    def _ask_and_rename(self) -> None:
        entry = self.models.entry
        if entry is not None and (name := self._ask_name("Rename model", f"New name of {entry.name}", entry.name)):
            self.rename(entry.name, name)

    def rename(self, name: str, new_name: str) -> None:
        """Give a model another name."""
        if self._done(lambda: rename_model(name, new_name)):
            self._changed(f"{name} is called {new_name} now", new_name)

    def _ask_and_delete(self) -> None:
        entry = self.models.entry
        if entry is not None and self._agreed(f"Delete the model {entry.name} for good?"):
            self.delete(entry.name)

    def delete(self, name: str) -> None:
        """Delete a model."""
        if self._done(lambda: delete_model(name)):
            self._changed(f"{name} is deleted")

    def _done(self, do: Callable[[], object]) -> bool:
        try:
            do()
        except (ValueError, OSError) as error:
            self.refresh()
            self.say(" ".join(str(error).split()))
            return False
        return True

    # --- import and export -----------------------------------------------------------------------------------

    def _ask_and_import(self) -> None:
        names, _ = QFileDialog.getOpenFileNames(self, "Import models", "", IMPORTED)
        self.import_files([Path(name) for name in names])

    def import_files(self, paths: Sequence[Path], name: str | None = None) -> None:
        """Add models from files; where one has a name that is taken, another is asked for."""
        if self._working.running:
            self.say("Not imported, as something else is under way: drop it again then")
        elif paths:
            self._working.start(_import, list(paths), name)
            self.say(f"Importing {paths[0].name}…")
            self._show()

    def _ask_and_export(self) -> None:
        entry = self.models.entry
        if entry is None:
            return
        name, kind = QFileDialog.getSaveFileName(
            self,
            f"Export {entry.name}",
            f"{entry.name}{next(iter(EXPORTED.values()))}",
            ";;".join(EXPORTED),
            options=QFileDialog.Option.DontConfirmOverwrite,  # nothing is overwritten
        )
        if name:
            suffix = EXPORTED.get(kind, next(iter(EXPORTED.values())))
            stem = name
            for end in (*EXPORTED.values(), ".zip"):
                stem = stem.removesuffix(end)
            self.export(entry.name, Path(f"{stem}{suffix}"))

    def export(self, name: str, path: Path) -> None:
        """Write a model to a file; the end of its name says what kind."""
        package = path.name.endswith(EXPORTED["Package of bioimage.io (*.bioimage-io.zip)"])
        self._working.start(_export, name, path, package)
        self.say(f"Exporting {name}, and testing the package…" if package else f"Exporting {name}…")
        self._show()

    def _on_came(self, came: Path | Model | tuple[Path, NameTakenError]) -> None:
        if isinstance(came, Path):
            self.say(f"Written: {came}")
        elif isinstance(came, Model):
            self._changed(f"{came.card.name} is in the list", came.card.name)
        else:
            self._taken.append(came)

    def _on_finished(self) -> None:
        """Ask for names of what could not be imported under its own, one file at a time."""
        self._show()
        while self._taken and not self._working.running:
            path, error = self._taken.pop(0)
            label = f"There is a model of this name. Name for {path.name}"
            if name := self._ask_name("Import model", label, error.free):
                self.import_files([path], name)

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Take files."""
        if any(url.isLocalFile() for url in event.mimeData().urls()):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        """Import the files dropped."""
        self.import_files([Path(url.toLocalFile()) for url in event.mimeData().urls() if url.isLocalFile()])
        event.acceptProposedAction()

    # --- asking ----------------------------------------------------------------------------------------------

    def _ask_name(self, title: str, label: str, proposal: str) -> str:
        name, given = QInputDialog.getText(self, title, label, QLineEdit.EchoMode.Normal, proposal)
        return name.strip() if given else ""

    def _agreed(self, question: str) -> bool:
        return QMessageBox.question(self, "Delete model", question) == QMessageBox.StandardButton.Yes


def _import(_stop: Event, paths: list[Path], name: str | None) -> Iterator[Model | tuple[Path, NameTakenError]]:
    for path in paths:
        try:
            yield import_model(path, name)
        except NameTakenError as error:
            yield path, error


def _export(_stop: Event, name: str, path: Path, package: bool) -> Iterator[Path]:
    yield export_model(name, path, bioimageio=package)
