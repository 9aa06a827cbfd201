"""Restore widget: choose a model, see what it will do, apply it where one looks, save."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from threading import Event
from typing import Any

import dask.array as da
from napari.components import ViewerModel
from napari.layers import Image
from napari.utils.notifications import show_error, show_info
from qtpy.QtCore import Qt, QTimer
from qtpy.QtGui import QDoubleValidator
from qtpy.QtWidgets import (
    QCheckBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)
from superqt import QCollapsible

from napari_cellrestore.card import ModelCard
from napari_cellrestore.files import write_image
from napari_cellrestore.gui.background import Background
from napari_cellrestore.gui.choice import Connections, LayerChoice
from napari_cellrestore.gui.layers import smaller_levels, stack_from_layer
from napari_cellrestore.gui.panel import Panel
from napari_cellrestore.gui.restore.domain_box import DomainBox
from napari_cellrestore.gui.restore.live import LiveRestoration
from napari_cellrestore.gui.restore.model_choice import ModelChoice
from napari_cellrestore.gui.restore.result import result_layers
from napari_cellrestore.gui.theme import warning_colour
from napari_cellrestore.model import Model, load_model, there_and_back, way_back
from napari_cellrestore.restore import Plan, plan_restoration, write_with_spread
from napari_cellrestore.spread import WAYS
from napari_cellrestore.stack import ImageStack

SAVED_AS = "OME-TIFF (*.ome.tif *.tif *.tiff);;OME-Zarr, a folder (*.ome.zarr *.zarr)"


class RestoreWidget(Panel):
    """Dock widget that restores the chosen layer by the chosen model, tile by tile as one looks."""

    def __init__(self, napari_viewer: ViewerModel) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self._live: LiveRestoration | None = None
        self._result: Image | None = None
        self._spread: Image | None = None  # of several passes
        self._there: LiveRestoration | None = None  # what the image is between there and back
        self._there_layers: list[Image] = []
        self._decided: tuple[ImageStack, Model, Plan] | None = None
        self._decided_there: tuple[Model, Plan] | None = None
        self._model: Model | None = None  # the one loaded last
        self._build()

        self._saving = Background(self)
        self._saving.came.connect(lambda path: show_info(f"{path.name}: saved, every pixel restored"))
        self._saving.failed.connect(show_error)
        self._saving.finished.connect(self._show_progress)
        self._poll = QTimer(self)
        self._poll.setInterval(200)
        self._poll.timeout.connect(self._show_progress)
        Connections(self).connect(napari_viewer.layers.events.removed, self._on_removed)
        self.layer_choice.changed.connect(self._on_layer)
        self.model_choice.currentIndexChanged.connect(self._decide)
        for edit in (self.black_edit, self.white_edit, self.planes_edit):
            edit.editingFinished.connect(self._decide)
        for check in (self.turned_check, self.back_check):
            check.toggled.connect(self._decide)
        self.apply_button.clicked.connect(self.apply)
        self.save_button.clicked.connect(self._ask_and_save)
        self.closed.connect(self._stop)
        self._decide()

    def _build(self) -> None:
        self.layer_choice = LayerChoice(self._viewer, lambda layer: isinstance(layer, Image) and not is_live(layer))
        self.model_choice = ModelChoice()
        self.about, self.plan_text, self.status = _text(), _text(), _text()
        self.apply_button = QPushButton("Apply")
        self.apply_button.setToolTip("Restore what is in view, tile by tile; move the view to restore more")
        self.save_button = QPushButton("Save…")
        self.save_button.setToolTip("Restore the rest and write a TIFF: the numbers shown, with calibration and origin")
        self.progress = QProgressBar()
        about = QCollapsible("About the model")
        about.addWidget(self.about)

        self.black_edit, self.white_edit = QLineEdit(), QLineEdit()
        levels = QHBoxLayout()
        for edit, tip in ((self.black_edit, "Level of no light"), (self.white_edit, "Highest level of the detector")):
            edit.setValidator(QDoubleValidator(edit))
            edit.setToolTip(f"{tip}; left empty, it is known from the type of the pixels or taken from the image")
            levels.addWidget(edit)
        levels.insertWidget(1, QLabel("to"))
        self.turned_check = QCheckBox("8 ways, 8 times slower")
        self.turned_check.setToolTip(
            "The image is restored turned and mirrored, eight times in all (of LED stacks as often as the LEDs allow). The "
            "result is the mean; a second layer shows in grey levels how far they differ: where the model is unsure."
        )
        self.back_check = QCheckBox("there and back again")
        self.back_check.setToolTip(
            "Apply the model and then the one of the way back, which was trained with it: the image should come out as it was. "
            "What does not was lost or made up on the way; what does may still be wrong in between, which a second layer shows."
        )
        self.planes_edit = QLineEdit(placeholderText="two numbers, such as 3, 5")
        self.planes_edit.setToolTip("The model makes one image of several planes: which, counted from 0, in its order")
        self.domain = DomainBox()
        self.form = form = QFormLayout()
        form.addRow("Image", self.layer_choice)
        form.addRow("Model", self.model_choice)
        form.addRow("Planes", self.planes_edit)
        form.addRow("Grey levels", levels)
        form.addRow("Turned", self.turned_check)
        form.addRow("Cycle", self.back_check)
        buttons = QHBoxLayout()
        buttons.addWidget(self.apply_button)
        buttons.addWidget(self.save_button)
        content = QWidget()
        layout = QVBoxLayout(content)
        layout.addLayout(form)
        layout.addWidget(about)
        layout.addWidget(self.domain)
        layout.addWidget(self.plan_text)
        layout.addLayout(buttons)
        layout.addWidget(self.progress)
        layout.addWidget(self.status)
        layout.addStretch(1)
        self.set_content(content, "Open an image to restore:\nFile > Open, or\nFile > Open Sample > Cell Restore")

    # --- deciding ------------------------------------------------------------------------------------------

    def _on_layer(self) -> None:
        """Forget the range of another image."""
        self.black_edit.clear()
        self.white_edit.clear()
        self._decide()

    def _decide(self, _index: int = 0) -> None:
        """Plan the restoration of the chosen layer and show it, or why it cannot be."""
        layer, card = self.layer_choice.layer, self.model_choice.card
        self.show_content(layer is not None)
        self._decided = self._decided_there = None
        self.form.setRowVisible(self.planes_edit, card is not None and card.in_planes > 1 and not card.leds)
        has_back = card is not None and way_back(card) is not None
        self.form.setRowVisible(self.back_check, has_back)
        if layer is not None and card is not None:
            self.about.setText(describe(card))
            try:
                stack, model = stack_from_layer(layer), self._loaded(card)
                if has_back and self.back_check.isChecked():
                    self._decided_there = model, self._planned(stack, model, card)
                    model = there_and_back(model)
                plan = self._planned(stack, model, card)
                self._decided = stack, model, plan
                self.plan_text.setText(explain(plan, warning_colour(self._viewer)))
                self.black_edit.setPlaceholderText(f"{plan.intensity[0]:g}")
                self.white_edit.setPlaceholderText(f"{plan.intensity[1]:g}")
            except (ValueError, TypeError) as error:
                self.plan_text.setText(escape(str(error)))
        elif card is None:
            self.plan_text.setText("No model is installed: train one, or import one in Models.")
        if self._decided is None:
            self.domain.clear()
        else:
            self.domain.ask(stack, model.card, plan)
        self.apply_button.setEnabled(self._decided is not None)
        self._show_progress()

    def _planned(self, stack: ImageStack, model: Model, card: ModelCard) -> Plan:
        """Return the plan for a model, by what the user chose for that of the card."""
        return plan_restoration(
            stack,
            model,
            intensity=self._intensity(),
            turned=self.turned_check.isChecked(),
            planes=self._planes(card),
            soon=True,
        )

    def _loaded(self, card: ModelCard) -> Model:
        """Return the model of a card; the same one, with what its engine has ready, until another is chosen."""
        if self._model is None or self._model.card != card:
            self._model = load_model(card.name)
        return self._model

    def _intensity(self) -> tuple[float, float] | None:
        """Return the range that the user gave; what is left empty as it was proposed."""
        if not (self.black_edit.text() or self.white_edit.text()):
            return None
        low, high = (edit.text() or edit.placeholderText() or "nan" for edit in (self.black_edit, self.white_edit))
        return float(low.replace(",", ".")), float(high.replace(",", "."))

    def _planes(self, card: ModelCard) -> list[int] | None:
        """Return the planes that the user named, of a model that takes several."""
        words = self.planes_edit.text().replace(",", " ").split()
        if card.in_planes == 1 or card.leds or not words:
            return None
        if not all(word.isdecimal() for word in words):
            raise ValueError(f"planes are {self.planes_edit.text()!r}: give {card.in_planes} numbers, such as 3, 5")
        return [int(word) for word in words]

    # --- applying ------------------------------------------------------------------------------------------

    def apply(self) -> None:
        """Add the restored layer, and of there and back the one between; they take the place of the widget's last ones."""
        if not self._as_decided():
            self._decide()
        if self._decided is None:
            return
        stack, model, plan = self._decided
        source = self.layer_choice.layer
        self._drop_result()
        if self._decided_there is not None:
            self._there = self._begun(stack, *self._decided_there, source)
            self._there_layers = result_layers(self._there, source, there=True)
        self._live = live = self._begun(stack, model, plan, source)
        self._result, *spread = layers = result_layers(live, source)
        self._spread = spread[0] if spread else None
        for layer in [*self._there_layers, *layers]:
            self._viewer.add_layer(layer)
        self._viewer.layers.selection.active = self._result
        self._poll.start()
        self._show_progress()

    def _begun(self, stack: ImageStack, model: Model, plan: Plan, source: Image) -> LiveRestoration:
        """Return a restoration that computes what is in view of its source."""
        live = LiveRestoration(stack, model, plan, smaller_levels(source))
        live.changed.connect(self._draw)
        live.failed.connect(show_error)
        live.begin(source)
        return live

    def _as_decided(self) -> bool:
        """Whether the plan on show is of the layer as it is now. Arrays in memory may have been written to, files may not."""
        layer = self.layer_choice.layer
        if self._decided is None or layer is None:
            return False
        stack = stack_from_layer(layer)
        return isinstance(stack.data, da.Array) and stack.same_as(self._decided[0])

    def _draw(self) -> None:
        for live, layers in ((self._live, (self._result, self._spread)), (self._there, self._there_layers)):
            for layer in layers:
                if layer is not None and live is not None:
                    layer.refresh(extent=False, highlight=False, thumbnail=not live.pending)

    def _drop_result(self) -> None:
        self._stop()
        layers = [self._result, self._spread, *self._there_layers]
        self._result = self._spread = self._live = self._there = None
        self._there_layers = []
        self._remove(layers)

    def _drop_there(self) -> None:
        if self._there is not None:
            self._there.stop()
        layers, self._there, self._there_layers = self._there_layers, None, []
        self._remove(layers)

    def _remove(self, layers: Sequence[Image | None]) -> None:
        for layer in layers:
            if layer is not None and layer in self._viewer.layers:
                self._viewer.layers.remove(layer)

    def _stop(self) -> None:
        self._poll.stop()
        for live in self._lives:
            live.stop()

    @property
    def _lives(self) -> list[LiveRestoration]:
        """The restorations on show: one, and that of the way there."""
        return [live for live in (self._live, self._there) if live is not None]

    def _on_removed(self, _event: object) -> None:
        shown = self._viewer.layers
        if self._result is not None and self._result not in shown:
            self._drop_result()
            self._show_progress()
        if self._spread is not None and self._spread not in shown:
            self._spread = None  # the restored image goes on alone
        if self._there_layers and self._there_layers[0] not in shown:
            self._drop_there()
            self._show_progress()
        self._there_layers = [layer for layer in self._there_layers if layer in shown]

    # --- saving --------------------------------------------------------------------------------------------

    def _ask_and_save(self) -> None:
        if self._result is None:
            return
        proposal = f"{self._result.name}.ome.tif"
        name, _ = QFileDialog.getSaveFileName(self, "Save the restored image", proposal, SAVED_AS)
        if name:
            self.save(Path(name))

    def save(self, path: Path) -> None:
        """Write the whole restored image, in the background; tiles already shown are taken as they are.

        Of several passes the spread is written beside it.
        """
        if self._result is None or self._live is None:
            return
        stacks = [stack_from_layer(self._result)]
        if self._spread is not None:
            both = zip((self._result, self._spread), self._live.finished_with_spread(), strict=True)
            stacks = [stack_from_layer(layer).replace(data=pixels) for layer, pixels in both]
        self._saving.start(_write, path, stacks)
        self._show_progress()

    # --- telling -------------------------------------------------------------------------------------------

    def _show_progress(self) -> None:
        lives = self._lives
        self.save_button.setEnabled(self._live is not None and not self._saving.running)
        self.progress.setVisible(self._live is not None)
        if self._live is None:
            self.status.setText("")
            return
        tiles, finished = sum(live.plan.n_tiles for live in lives), sum(live.n_finished for live in lives)
        self.progress.setRange(0, tiles)
        self.progress.setValue(finished)
        self.progress.setFormat("%v of %m tiles restored")
        if self._saving.running:
            self.status.setText("Saving: the remaining tiles are being restored.")
        elif any(live.pending for live in lives):
            self.status.setText("Restoring what is in view. Dimmed pixels are the input, not restored yet.")
        elif any(live.view_is_too_large for live in lives):
            self.status.setText("Too many tiles in view to restore them all: zoom in.")
        elif finished < tiles:
            self.status.setText("What is in view is restored. Elsewhere dimmed pixels are the input: move or zoom in.")
        else:
            self.status.setText("Everything is restored.")


def is_live(layer: Any) -> bool:
    """Return whether a layer is a restoration that fills in as it is looked at."""
    return bool(layer.multiscale) and hasattr(layer.data[0], "finished")


def describe(card: ModelCard) -> str:
    """Return a model's card for a person, as rich text."""
    lines = [escape(card.summary), f"Weights {card.weights_sha256[:12]}, {card.steps} steps."]
    if card.defocus_um and card.pixel_um:
        low, high = card.defocus_um
        lines.append(f"For {low:g} to {high:g} µm of defocus at pixels of {card.pixel_um:g} µm.")
    lines += [escape(f"Trained on {card.data}.")] if card.data else []
    return "".join(f"<p>{line}</p>" for line in [*lines, *map(escape, card.limits)])


def explain(plan: Plan, colour: str) -> str:
    """Return a plan for a person, as rich text: what to mind in ``colour`` first."""
    minds = [f"<p style='color:{colour}'><b>Mind:</b> {escape(text)}.</p>" for text in plan.warnings]
    low, high = plan.intensity
    made = f"{plan.result_dtype} like the input" if plan.result_dtype == plan.dtype else plan.result_dtype
    tiles = "1 tile" if plan.n_tiles == 1 else f"{plan.n_tiles} tiles"
    does = (
        f"Grey levels {low:g} to {high:g} are the range of the model; the result is {made}. "
        f"{tiles} of up to {max(plan.rows)} × {max(plan.columns)} px with a halo of {plan.halo_px} px, "
        f"by {plan.engine} on the {plan.device}, up to {plan.memory_bytes / 2**20:.0f} MiB each."
    )
    if plan.planes:
        does += f" {len(plan.planes)} planes make one image."
    if plan.passes > 1:
        does += f" Each tile {plan.passes} times, {WAYS[plan.way]}: the result is the mean."
    return "".join([*minds, f"<p>{does}</p>"])


def _write(_stop: Event, path: Path, stacks: Sequence[ImageStack]) -> Iterator[Path]:
    if len(stacks) == 1:
        yield write_image(path, stacks[0], overwrite=True)
    else:
        yield write_with_spread(path, *stacks, overwrite=True)[0]


def _text() -> QLabel:
    label = QLabel()
    label.setWordWrap(True)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    return label
