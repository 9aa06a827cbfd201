"""What is to be trained: recipe, images, name of the model, folder of the run, settings; and whether it can begin."""

from __future__ import annotations

from itertools import count
from pathlib import Path

from napari.components import ViewerModel
from qtpy.QtCore import Signal
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QFileDialog, QFormLayout, QLineEdit, QVBoxLayout, QWidget
from superqt import QCollapsible

from napari_cellrestore.gui.folder_row import FolderRow
from napari_cellrestore.gui.text import align_labels, text_label
from napari_cellrestore.gui.train.command import Command
from napari_cellrestore.gui.train.file_box import FileBox
from napari_cellrestore.gui.train.needs import lacking
from napari_cellrestore.gui.train.recipe_choice import RecipeChoice, describe
from napari_cellrestore.gui.train.run_folder import recipe_of, runs_folder
from napari_cellrestore.gui.train.settings_box import SettingsBox
from napari_cellrestore.gui.train.source_box import SourceBox
from napari_cellrestore.model import check_name, model_folders, models_folder
from napari_cellrestore.recipe import Recipe
from napari_cellrestore.train import RECIPE, check_run_folder, saved_step


class SetupBox(QWidget):
    """Everything that is chosen before a training begins.

    Parameters
    ----------
    viewer : napari viewer
        Whose layers can be trained on.
    """

    changed = Signal()
    #: A file could not be read or written, in a line; or that it was.
    said = Signal(str)

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__()
        #: Step and recipe of the state in the folder of the run, where it holds one.
        self.saved: tuple[int, Recipe] | None = None
        self._damaged = ""
        self._shown: tuple[Path, int, Recipe] | None = None
        self._file: tuple[Path, Recipe] | None = None
        self._build(viewer)
        self.recipes.changed.connect(self._on_recipe)
        self.sources.changed.connect(self.changed)
        self.sources.failed.connect(self.said)
        self.settings.changed.connect(self.changed)
        self.name.textChanged.connect(self.look)
        self.run_row.changed.connect(self.look)
        self.file.load_wanted.connect(self.load)
        self.file.save_wanted.connect(self.save)
        self.changed.connect(self._show)
        self._on_recipe()

    def _build(self, viewer: ViewerModel) -> None:
        self.recipes, self.about = RecipeChoice(), text_label()
        self.name, self.run_row = QLineEdit(), RunRow("Folder of the run")
        self.name.setToolTip("Under which the model will be in the list")
        self.sources, self.settings, self.file = SourceBox(viewer, lambda: self.run), SettingsBox(), FileBox()
        as_file = QCollapsible("Settings as a file", collapsedIcon="▶")
        as_file.layout().setContentsMargins(0, 0, 0, 0)
        as_file.addWidget(self.file)
        recipe, target = QFormLayout(), QFormLayout()
        recipe.addRow("Recipe", self.recipes)
        recipe.addRow(self.about)
        target.addRow("Model", self.name)
        target.addRow("Run", self.run_row)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(recipe)
        layout.addWidget(self.sources)
        layout.addLayout(target)
        layout.addWidget(self.settings)
        layout.addWidget(as_file)
        self._forms = recipe, self.sources.form, target, self.settings.form

    def showEvent(self, event: QShowEvent) -> None:
        """Align the fields, now that it is known which letters the labels are written in."""
        super().showEvent(event)
        align_labels(*self._forms)

    # --- what is chosen --------------------------------------------------------------------------------------

    @property
    def run(self) -> Path:
        """Folder of the run."""
        return self.run_row.folder or runs_folder() / (self.name.text().strip() or "run")

    def recipe(self) -> Recipe:
        """Return the recipe as it is set, with its images; ValueError in a line where something is missing."""
        if self.saved is not None:  # a run goes on as it was begun; it may become longer
            return self.saved[1].model_copy(update={"steps": self.settings.steps.value()})
        recipe = self.settings.applied_to(self.recipes.recipe).model_copy(update={"images": self.sources.sources()})
        recipe.check_images()
        return recipe

    def command(self) -> Command:
        """Return what the command is told besides the recipe; ValueError in a line where the name cannot be."""
        name, taken = self.name.text().strip(), model_folders()
        if self.recipes.recipe.cyclic:
            check_name(f"{name}-back", taken)  # the model of the way back
        model = models_folder() / check_name(name, taken)
        data, licence = (line.text().strip() for line in (self.settings.data, self.settings.licence))
        return Command(self.run, model, self.settings.cores.value(), data, licence, self.saved is not None)

    def missing(self) -> str:
        """Return what is to be chosen or got before a training can begin, nothing where all is there."""
        try:
            if missing := self._damaged or lacking(self.recipes.recipe):
                return missing
            self.recipe()
            self.command()
        except ValueError as error:
            return str(error)
        return "Pairs are being saved." if self.sources.saving else ""

    # --- showing ---------------------------------------------------------------------------------------------

    def propose_name(self) -> None:
        """Propose a name that no model and no run has, unless the user gave one."""
        if not self.name.isModified():
            self.name.setText(free_name(self.recipes.recipe.name))

    def begin_anew(self) -> None:
        """Propose another name and folder: there is a model of this one now."""
        self.name.setModified(False)
        self.run_row.show_folder(None)
        self.propose_name()

    def look(self, *_: object) -> None:
        """Look whether the folder of the run holds a state to go on from."""
        self.saved, self._damaged = None, ""
        try:
            step = saved_step(self.run)
            if step is not None:
                self.saved = step, recipe_of(self.run)
            check_run_folder(self.run)
        except ValueError as error:
            self._damaged = str(error)
        if self.saved is not None and self._shown != (self.run, *self.saved):
            self._show_saved(*self.saved)
        self._shown = (self.run, *self.saved) if self.saved else None
        self.sources.refresh()
        self.changed.emit()

    def _show_saved(self, step: int, recipe: Recipe) -> None:
        """Show the settings of a run that was begun before."""
        blocked = self.blockSignals(True)
        self._show_recipe(recipe)
        if self.run_row.folder is not None and not self.name.isModified():
            self.name.blockSignals(True)
            self.name.setText(free_name(self.run.name, runs=False))
            self.name.blockSignals(False)
        self.blockSignals(blocked)

    def _show_recipe(self, recipe: Recipe) -> None:
        self.recipes.blockSignals(True)
        self.recipes.choose(recipe.model_copy(update={"images": ()}))
        self.recipes.blockSignals(False)
        self.settings.show_recipe(recipe)
        self.sources.suit(recipe)
        self.sources.show_sources(recipe.images)

    def _on_recipe(self) -> None:
        """Show the settings of another recipe."""
        self.settings.show_recipe(self.recipes.recipe)
        self.sources.suit(self.recipes.recipe)
        self.propose_name()
        self.changed.emit()

    def _show(self) -> None:
        self.about.setText(describe(self.recipes.recipe))
        self.run_row.line.setPlaceholderText(f"runs/{self.run.name}, beside the models")
        for part in (self.recipes, self.sources):
            part.setEnabled(self.saved is None)
        self.settings.suit(begun=self.saved is not None, simulated=self.sources.simulates)
        self.settings.steps.setMinimum(self.saved[0] if self.saved else 1)
        missing = self.missing()
        self.file.save_button.setEnabled(not missing)
        path = None if missing else self._file_of(self.recipe())
        self.file.show_line("" if path is None else self.command().line(path))

    def _file_of(self, recipe: Recipe) -> Path | None:
        """Return the file that holds the settings as they are, None where none does."""
        if self._file is not None and self._file[1] == recipe:
            return self._file[0]
        return self.run / RECIPE if self.saved and self.saved[1] == recipe else None

    # --- as a file -------------------------------------------------------------------------------------------

    def load(self, path: Path) -> None:
        """Show the settings of a YAML file."""
        try:
            recipe = Recipe.read(path)
        except ValueError as error:
            self.said.emit(str(error))
            return
        self._show_recipe(recipe)
        self.propose_name()
        self._file = path, recipe
        self.said.emit("")
        self.changed.emit()

    def save(self, path: Path) -> None:
        """Write the settings as a YAML file, which ``cellrestore train`` runs."""
        try:
            recipe = self.recipe()
            path.write_text(recipe.to_yaml(), encoding="utf-8")
        except (ValueError, OSError) as error:
            self.said.emit(str(error))
            return
        self._file = path, recipe
        self.said.emit(f"Saved as {path.name}")
        self.changed.emit()


class RunRow(FolderRow):
    """The folder of a run; it is looked for where runs are."""

    def _choose(self) -> None:
        if name := QFileDialog.getExistingDirectory(self, self._title, self.line.text() or str(runs_folder())):
            self.line.setText(name)


def free_name(wish: str, *, runs: bool = True) -> str:
    """Return a name like this that no model has, and no run."""
    taken = list(model_folders())
    if runs and runs_folder().is_dir():
        taken += [path.name for path in runs_folder().iterdir()]
    for number in count(1):
        try:
            return check_name(f"{wish} {number}".removesuffix(" 1"), taken)
        except ValueError:
            if number > len(taken) + 1:  # it is no name at all
                break
    return wish
