"""Choosing what is trained on: folders, or layers that are saved as files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from napari.components import ViewerModel
from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFormLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_cellrestore.gui.background import Background
from napari_cellrestore.gui.choice import LayerChoice, is_image
from napari_cellrestore.gui.folder_row import FolderRow
from napari_cellrestore.gui.layers import stack_from_layer
from napari_cellrestore.gui.train.layer_pairs import FEWEST, count_pairs, pair_folders, save_pairs
from napari_cellrestore.recipe import ALIGNED, WITH_TARGETS, ImageSource, Recipe

LAYERS, AS_FILE = "layers", "as the file says"
#: Ways to give images, and what they are.
KINDS = {
    "sharp": ("Sharp images", "Sharp images of your own; blurred ones are simulated from them."),
    "stacks": ("Focus stacks", "Recorded focus stacks: the sharpest plane is the target of the others."),
    "pairs": ("Two folders", "Images of the same names in two folders: what goes in, and what should come out."),
    "unpaired": ("Two kinds", "Two folders of images that do not belong to each other."),
    "leds": ("LED stacks", "Two folders: LED stacks with their tables, and stained images of the same names."),
    LAYERS: ("Open layers", "Layers that lie on each other; they are saved as files into the folder of the run."),
    AS_FILE: ("As the file says", ""),
}
#: Of the folders: title, placeholder.
INPUT, TARGET = ("Folder of images", "folder of images"), ("Folder of targets", "folder of targets")


class SourceBox(QWidget):
    """Rows for where the images are; which are shown follows from what they are.

    Parameters
    ----------
    viewer : napari viewer
    run : callable
        Returns the folder of the run, into which layers are saved.
    """

    #: Something else is chosen, or pairs were saved.
    changed = Signal()
    #: Why pairs could not be saved, in a line.
    failed = Signal(str)

    def __init__(self, viewer: ViewerModel, run: Callable[[], Path]) -> None:
        super().__init__()
        self._viewer, self._run = viewer, run
        self._file: tuple[ImageSource, ...] = ()
        self._build()
        self._saving = Background(self)
        self._saving.came.connect(lambda _count: self._show())
        self._saving.failed.connect(self.failed)
        self._saving.finished.connect(self._show)
        self.kind.currentIndexChanged.connect(self._show)
        for row in (self.input, self.target):
            row.changed.connect(self.changed)
        self.every.valueChanged.connect(lambda _number: self.changed.emit())
        self.slide.textChanged.connect(lambda _text: self.changed.emit())
        for box in (self.align, self.at_minimum):
            box.toggled.connect(lambda _on: self.changed.emit())
        for choice in (self.input_layer, self.target_layer):
            choice.changed.connect(self._show)
        self.add_button.clicked.connect(self.add_pair)
        self._show()

    def _build(self) -> None:
        self.kind, self.about, self.saved = QComboBox(), QLabel(wordWrap=True), QLabel(wordWrap=True)
        for kind, (words, about) in KINDS.items():
            self.kind.addItem(words, kind)
            self.kind.setItemData(self.kind.count() - 1, about, 3)  # tool tip
        self.kind.model().item(self.kind.count() - 1).setEnabled(False)
        self.input, self.target = FolderRow(*INPUT), FolderRow(*TARGET)
        self.input_layer, self.target_layer = (LayerChoice(self._viewer, is_image) for _ in range(2))
        self.cuts = QSpinBox(minimum=1, maximum=20)
        self.cuts.setToolTip(
            "1: layers are saved whole. 3: each plane is cut into 3 × 3 parts, so that one image can be enough. Parts of one "
            "image are alike: the numbers measured on those kept for the test are too kind."
        )
        self.add_button = QPushButton("Add this pair")
        self.add_button.setToolTip("Save both layers into the folder of the run; nothing there is replaced")
        self.align = QCheckBox("Move inputs onto their targets")
        self.align.setToolTip("By whole pixels, so that no grey level changes; what only one of both shows is cut away")
        self.at_minimum = QCheckBox("In focus at the dip of contrast")
        self.at_minimum.setToolTip("For stacks of unstained cells, which are in focus where their contrast is least")
        self.slide = QLineEdit(placeholderText="as in names, such as ^[^_]+")
        self.slide.setToolTip(
            "Which part of a name is that of the slide, so that images of one slide stay together: all train, or all are kept for "
            "the test. A regular expression: ^[^_]+ is what stands before the first _, ^(.) the first letter. Empty: each image "
            "is split by itself"
        )
        self.every = QSpinBox(minimum=3, maximum=1000, value=10)
        self.every.setToolTip("Of so many images one is kept for the test and one to validate; all others train")
        self.form = QFormLayout()
        self.form.addRow("Images", self.kind)
        self.form.addRow(self.about)
        for words, field in (
            ("Folder", self.input),
            ("Targets", self.target),
            ("Input", self.input_layer),
            ("Target", self.target_layer),
            ("Cut by", self.cuts),
            ("", self.add_button),
        ):
            self.form.addRow(words, field)
        self.form.addRow(self.saved)
        self.form.addRow("", self.align)
        self.form.addRow("", self.at_minimum)
        self.form.addRow("Slide", self.slide)
        self.form.addRow("Test 1 in", self.every)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(self.form)

    # --- what is chosen --------------------------------------------------------------------------------------

    @property
    def saving(self) -> bool:
        """Whether layers are being saved."""
        return self._saving.running

    @property
    def simulates(self) -> bool:
        """Whether blurred images are simulated from sharp ones."""
        return self._kind == "sharp" or (self._kind == AS_FILE and any(one.kind == "sharp" for one in self._file))

    def suit(self, recipe: Recipe) -> None:
        """Propose what a recipe learns from, unless a folder was given."""
        if self.input.folder is None and self._kind not in (LAYERS, AS_FILE):
            self._choose("sharp" if recipe.task in ("deblur", "distance") else _of_two(recipe))

    def show_sources(self, sources: tuple[ImageSource, ...]) -> None:
        """Show sources as a recipe names them."""
        self._file = sources
        self.kind.model().item(self.kind.findData(AS_FILE)).setEnabled(bool(sources))
        if len(sources) > 1:
            self._choose(AS_FILE)
        for source in sources[:1]:
            self.input.line.setText(source.input)
            self.target.line.setText(source.target or "")
            self.every.setValue(source.every)
            self.slide.setText(source.slide or "")
            self.align.setChecked(source.align)
            self.at_minimum.setChecked(source.at_minimum)
            if len(sources) == 1:
                self._choose(source.kind)
        self.changed.emit()

    def sources(self) -> tuple[ImageSource, ...]:
        """Return what is chosen, as a recipe names it; ValueError in a line where something is missing."""
        if missing := self.missing():
            raise ValueError(missing)
        kind = self._kind
        if kind == AS_FILE:
            return self._file
        folders = pair_folders(self._run()) if kind == LAYERS else (self.input.folder, self.target.folder)
        name = "pairs" if kind == LAYERS else kind
        return (
            ImageSource.checked(
                kind=name,
                input=str(folders[0]),
                target=str(folders[1]) if name in WITH_TARGETS else None,
                every=self.every.value(),
                slide=(self.slide.text().strip() or None) if kind != LAYERS else None,
                align=self.align.isChecked() and name in ALIGNED,
                at_minimum=self.at_minimum.isChecked() and name == "stacks",
            ),
        )

    def missing(self) -> str:
        """Return what is to be chosen before it can be trained on, nothing where all is."""
        if self._kind == LAYERS:
            count = count_pairs(self._run())
            return "" if count >= FEWEST else f"Add {FEWEST} pairs or more: one is kept for the test, one to validate."
        if self._kind == AS_FILE:
            folders = [Path(name) for source in self._file for name in (source.input, source.target) if name]
        else:
            rows = (self.input, self.target) if self._kind in WITH_TARGETS else (self.input,)
            folders = [row.folder for row in rows if row.folder is not None]
            if len(folders) < len(rows):
                return "Choose the folders of images and targets." if len(rows) > 1 else "Choose the folder of images."
        return next((f"There is no folder {folder}." for folder in folders if not folder.is_dir()), "")

    @property
    def _kind(self) -> str:
        return str(self.kind.currentData())

    def _choose(self, kind: str) -> None:
        self.kind.setCurrentIndex(self.kind.findData(kind))

    # --- showing ---------------------------------------------------------------------------------------------

    def _show(self, *_: object) -> None:
        kind = self._kind
        for field in (self.input_layer, self.target_layer, self.cuts, self.add_button, self.saved):
            self.form.setRowVisible(field, kind == LAYERS)
        self.form.setRowVisible(self.input, kind not in (LAYERS, AS_FILE))
        self.form.setRowVisible(self.target, kind in WITH_TARGETS)
        self.form.setRowVisible(self.align, kind in (*ALIGNED, LAYERS))
        self.form.setRowVisible(self.at_minimum, kind == "stacks")
        self.form.setRowVisible(self.slide, kind not in (LAYERS, AS_FILE))
        self.form.setRowVisible(self.every, kind != AS_FILE)
        self.about.setText(KINDS[kind][1] or _listed(self._file))
        self._show_layers()
        self.changed.emit()

    def _show_layers(self) -> None:
        given, target = self.input_layer.layer, self.target_layer.layer
        two = given is not None and given is not target
        self.add_button.setEnabled(two and not self.saving)
        count = count_pairs(self._run())
        said = f"{count} {'pair is' if count == 1 else 'pairs are'} in the folder of the run"
        said = "Saving…" if self.saving else said if count else "No pair was added yet"
        self.saved.setText(said if two or count else "Open two images that lie on each other: input and target")

    def refresh(self) -> None:
        """Count the pairs anew: the run has another folder."""
        self._show_layers()

    # --- layers ----------------------------------------------------------------------------------------------

    def add_pair(self) -> None:
        """Save the two layers as files of the run, in the background."""
        given, target = self.input_layer.layer, self.target_layer.layer
        if given is None or given is target or self.saving:
            return
        try:
            stacks = [stack_from_layer(layer) for layer in (given, target)]
        except (ValueError, TypeError) as error:
            self.failed.emit(str(error))
            return
        self._saving.start(save_pairs, self._run(), *stacks, given.name, self.cuts.value())
        self._show()


def _of_two(recipe: Recipe) -> str:
    alone = "adversarial" in recipe.losses and "paired" not in recipe.losses
    return "unpaired" if recipe.cyclic and alone else "pairs"


def _listed(sources: tuple[ImageSource, ...]) -> str:
    names = [Path(name).name for source in sources for name in (source.input, source.target) if name]
    return f"{len(sources)} sources: {', '.join(names)}"
