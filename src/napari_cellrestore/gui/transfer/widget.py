"""Widget that puts two images of the same cell, by two microscopes, pixel on pixel."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import escape
from pathlib import Path
from threading import Event
from typing import Any

from napari.components import ViewerModel
from napari.layers import Image
from qtpy.QtWidgets import (
    QComboBox,
    QFileDialog,
    QFormLayout,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_cellrestore.gui.background import Background
from napari_cellrestore.gui.choice import Connections, LayerChoice, LayersWatch, choose_two, is_image
from napari_cellrestore.gui.current import planes_in_view
from napari_cellrestore.gui.layers import stack_from_layer
from napari_cellrestore.gui.panel import Panel
from napari_cellrestore.gui.text import text_label
from napari_cellrestore.gui.theme import warning_colour
from napari_cellrestore.gui.transfer.made_layers import add_pair
from napari_cellrestore.gui.transfer.words import describe
from napari_cellrestore.stack import ImageStack
from napari_cellrestore.transfer import AlignedPair, follow_alignment, save_pair

EMPTY = "Open two images of the same cell<br>by two microscopes: File > Open."


class PairWidget(Panel):
    """Dock widget that aligns two layers and says how good a pair they are."""

    def __init__(self, napari_viewer: ViewerModel) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self.pair: AlignedPair | None = None
        self._layers: tuple[Image, Image] | None = None  # what the pair is of
        self._failed = ""
        self._build()
        self._work = Background(self)
        self._work.came.connect(self._on_step)
        self._work.failed.connect(self._on_failed)
        self._work.finished.connect(self._show)
        self.closed.connect(self._work.stop)
        Connections(self).connect(napari_viewer.events.theme, self._show)
        for choice in (self.input_choice, self.target_choice):
            choice.changed.connect(self._forget)
        for box in (self.keep_box, self.fit_box):
            box.currentIndexChanged.connect(self._forget)
        LayersWatch(napari_viewer, self).changed.connect(self._choose)
        self.align_button.clicked.connect(self.align)
        self.save_button.clicked.connect(self._ask_folder)
        self._choose()
        self._forget()

    def _build(self) -> None:
        self.input_choice = LayerChoice(self._viewer, is_image)
        self.target_choice = LayerChoice(self._viewer, is_image)
        self.keep_box, self.fit_box = QComboBox(), QComboBox()
        self.keep_box.addItem("of the target", "target")
        self.keep_box.addItem("of the input", "input")
        self.keep_box.setToolTip(
            "Whose pixels stay as recorded; the other image is interpolated.\n"
            "To learn to look like the target: of the target. To restore a noisy input: of the input"
        )
        self.fit_box.addItem("affine", "affine")
        self.fit_box.addItem("similarity", "similarity")
        self.fit_box.setToolTip("Similarity: one scale, a turn and a shift. Affine also allows a little shear")
        for box in (self.keep_box, self.fit_box):
            box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
            box.setMinimumContentsLength(8)
        self.align_button, self.save_button = QPushButton("Align"), QPushButton("Save pair…")
        self.save_button.setToolTip("Add the pair to a folder, as input and target of one name, for training")
        self.progress = QProgressBar(textVisible=False, maximumHeight=4, maximum=0)
        self.said = text_label(rich=True)
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        for name, row in (
            ("Input", self.input_choice),
            ("Target", self.target_choice),
            ("Keep pixels", self.keep_box),
            ("Fit", self.fit_box),
        ):
            form.addRow(name, row)
        content = QWidget()
        layout = QVBoxLayout(content)
        layout.addLayout(form)
        for part in (self.align_button, self.progress, self.said, self.save_button):
            layout.addWidget(part)
        layout.addStretch(1)
        self.set_content(content, EMPTY)

    # --- what is chosen --------------------------------------------------------------------------------------

    def _choose(self) -> None:
        choose_two(self._viewer, self.input_choice, self.target_choice)

    def _forget(self) -> None:
        """Forget the pair: something else is chosen."""
        self._work.stop()
        self.pair, self._layers, self._failed = None, None, ""
        self._show()

    # --- what is done ----------------------------------------------------------------------------------------

    def align(self) -> None:
        """Align the chosen layers beside the window; the button stops it meanwhile."""
        if self._work.running:
            self._forget()
            return
        self._forget()
        ours, theirs = self.input_choice.layer, self.target_choice.layer
        try:
            if ours is theirs:
                raise ValueError("input and target are the same layer: choose two")
            stacks = _plane(self._viewer, ours), _plane(self._viewer, theirs)
        except (ValueError, TypeError) as error:
            self._on_failed(str(error))
            return
        self._layers = ours, theirs
        options = {"keep": self.keep_box.currentData(), "transform": self.fit_box.currentData()}
        self._work.start(_align, *stacks, options)
        self._show()

    def _on_step(self, step: str | AlignedPair) -> None:
        if isinstance(step, str):
            self.said.setText(f"{step}…")
            return
        self.pair = step
        if self._layers is not None:  # both are there: had one gone, another were chosen and the work stopped
            add_pair(self._viewer, step, *self._layers)
        self._show()

    def _on_failed(self, said: str) -> None:
        self._failed = said
        self._show()

    def _ask_folder(self) -> None:
        if name := QFileDialog.getExistingDirectory(self, "Folder of pairs"):
            self.save(Path(name))

    def save(self, folder: Path) -> None:
        """Add the pair to a folder of pairs, under the name of the input; with a number where that is taken."""
        if self.pair is None or self._layers is None:
            return
        try:
            name = _free_name(folder, self._layers[0].name)
            save_pair(self.pair, folder, name)
        except (ValueError, OSError) as error:
            self._on_failed(str(error))
        else:
            self._failed = ""
            self._show()
            self.said.setText(f"{self.said.text()}<p>Saved as <b>{escape(name)}</b> in {escape(str(folder))}.</p>")

    # --- what is seen ----------------------------------------------------------------------------------------

    def _show(self, _event: object = None) -> None:
        self.show_content(self.input_choice.layer is not None)
        running, pair, warning = self._work.running, self.pair, warning_colour(self._viewer)
        self.align_button.setText("Stop" if running else "Align")
        self.progress.setVisible(running)
        text = describe(pair, warning) if pair is not None else "Reading…" if running else ""
        if self._failed:
            text += f"<p><span style='color:{warning}'>{escape(self._failed)}</span></p>"
        self.said.setText(text)
        self.said.setVisible(bool(text))
        self.save_button.setVisible(pair is not None and pair.good and pair.input is not None)


def _plane(viewer: ViewerModel, layer: Image) -> ImageStack:
    """Return the plane of a layer that is in view, not read yet."""
    stack = planes_in_view(viewer, layer, stack_from_layer(layer))
    return stack if stack.source else stack.replace(source=layer.name)


def _align(_stop: Event, ours: ImageStack, theirs: ImageStack, options: dict[str, Any]) -> Iterator[str | AlignedPair]:
    """Yield what is done next, then the pair."""
    pair = yield from follow_alignment(ours, theirs, **options)
    yield pair


def _free_name(folder: Path, layer_name: str) -> str:
    """Return the name of a layer as one of files that the folder does not have."""
    name = re.sub(r'[<>:"/\\|?*\s]+', "_", layer_name).strip("._") or "pair"
    taken = {path.stem.casefold() for sub in ("input", "target") for path in (folder / sub).glob("*.tif")}
    number = next(n for n in range(1, len(taken) + 2) if (name if n == 1 else f"{name}_{n}").casefold() not in taken)
    return name if number == 1 else f"{name}_{number}"
