"""Latent walk: the images between two images, or along one number of what a variational auto-encoder knows."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from threading import Event
from typing import Any

import numpy as np
from napari.components import ViewerModel
from qtpy.QtWidgets import (
    QDoubleSpinBox,
    QFormLayout,
    QLabel,
    QPushButton,
    QRadioButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_cellrestore.card import ModelCard
from napari_cellrestore.gui.background import Background
from napari_cellrestore.gui.choice import Connections, LayerChoice, LayersWatch, choose_two, is_image
from napari_cellrestore.gui.current import display_options, plane_place, planes_in_view, provenance_of
from napari_cellrestore.gui.layers import stack_from_layer
from napari_cellrestore.gui.panel import Panel
from napari_cellrestore.gui.restore.model_choice import ModelChoice
from napari_cellrestore.gui.text import show_text, text_label
from napari_cellrestore.gui.theme import warning_colour
from napari_cellrestore.latent_walk import STEP, latent_walk
from napari_cellrestore.model import load_model
from napari_cellrestore.stack import ImageStack

NO_MODEL = "No model has a latent space: train one by the recipe VAE."
MIND = "All images are computed. None of them was recorded, also not those of steps that look real."


class LatentWidget(Panel):
    """Dock widget that walks through the latent space of a model, from the plane in view."""

    def __init__(self, napari_viewer: ViewerModel) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self._build()
        self._working = Background(self)
        self._working.came.connect(self._put)
        self._working.failed.connect(self._fail)
        self._working.finished.connect(self._show)
        Connections(self).connect(napari_viewer.events.theme, self._show)
        for choice in (self.layer_choice, self.other_choice):
            choice.changed.connect(self._show)
        LayersWatch(napari_viewer, self).changed.connect(self._choose)
        self.model_choice.currentIndexChanged.connect(self._show)
        self.between.toggled.connect(self._show)
        self.walk_button.clicked.connect(self.walk)
        self.closed.connect(self._working.stop)
        self._choose()
        self._show()

    def _build(self) -> None:
        self.layer_choice = LayerChoice(self._viewer, is_image)
        self.other_choice = LayerChoice(self._viewer, is_image)
        for choice in (self.layer_choice, self.other_choice):
            choice.setMinimumContentsLength(9)  # for a narrow dock
        self.model_choice = ModelChoice(has_latent_space)
        self.between = QRadioButton("to another image", checked=True)
        self.along = QRadioButton("along one number of the vector")
        self.direction = QSpinBox(maximum=0)
        self.direction.setToolTip("Which number of the vector changes")
        self.reach = QDoubleSpinBox(value=3, minimum=0.1, maximum=20, singleStep=0.5, prefix="± ")
        self.reach.setToolTip("How far: training draws vectors towards numbers of mean 0 and spread 1, so 3 is far")
        self.steps = QSpinBox(minimum=2, maximum=101, value=9)
        self.walk_button = QPushButton("Walk")
        self.words, self.status = QLabel(MIND, wordWrap=True), text_label(rich=True)
        self._form = form = QFormLayout()
        form.addRow("Model", self.model_choice)
        form.addRow("From", self.layer_choice)
        form.addRow("Walk", self.between)
        form.addRow("", self.along)
        form.addRow("To", self.other_choice)
        form.addRow("Number", self.direction)
        form.addRow("Reach", self.reach)
        form.addRow("Images", self.steps)
        content = QWidget()
        layout = QVBoxLayout(content)
        layout.addLayout(form)
        for part in (self.words, self.walk_button, self.status):
            layout.addWidget(part)
        layout.addStretch(1)
        self.set_content(content, "Open an image to walk from:\nFile > Open, or\nFile > Open Sample > Cell Restore")

    def _choose(self) -> None:
        if self.between.isChecked():
            choose_two(self._viewer, self.layer_choice, self.other_choice)

    def walk(self) -> None:
        """Make the images beside the window; the button stops that."""
        if self._working.running:
            self._working.stop()
            self._show()
            return
        layer, card = self.layer_choice.layer, self.model_choice.card
        if layer is None or card is None:
            return
        show_text(self.status, "")
        try:
            start = planes_in_view(self._viewer, layer, stack_from_layer(layer))
            if self.between.isChecked():
                other = self.other_choice.layer
                if other is layer:
                    raise ValueError("the walk is from an image to itself: choose another, or walk along one number")
                where: dict[str, Any] = {"to": planes_in_view(self._viewer, other, stack_from_layer(other))}
            else:
                where = {"direction": self.direction.value(), "reach": self.reach.value()}
        except (ValueError, TypeError) as error:
            self._fail(str(error))
            return
        options = {**where, "steps": self.steps.value()}
        shown = {**display_options(layer), **plane_place(layer)}
        self._working.start(_walked, start, card.name, options, f"{layer.name} walk", shown)
        self._show()

    def _put(self, made: tuple[ImageStack, str, dict[str, Any]]) -> None:
        """Show the images in the layer of that name, or in a new one."""
        walk, name, shown = made
        metadata = {"cellrestore": {"provenance": dict(walk.provenance)}}
        options = {
            **shown,
            "scale": (1, *shown["scale"]),
            "translate": (0, *shown["translate"]),
            "rotate": _with_leading_axis(shown["rotate"]),
            "affine": _with_leading_axis(shown["affine"]),
            "units": ("pixel", *shown["units"]),
            "axis_labels": ("walk", "y", "x"),
        }
        if name in self._viewer.layers and provenance_of(self._viewer.layers[name]).get("step") == STEP:
            self._viewer.layers.remove(name)
        layer = self._viewer.add_image(walk.data, rgb=walk.rgb, name=name, metadata=metadata, **options)
        count = len(walk.provenance["positions"])
        said = f"{count} images in the layer <b>{escape(layer.name)}</b>: move the slider."
        notes = "".join(f"<p>Mind: {escape(note.rstrip('.'))}.</p>" for note in walk.notes)
        show_text(self.status, f"<p>{said}</p>{notes}")

    def _fail(self, text: str) -> None:
        warning = warning_colour(self._viewer)
        show_text(self.status, f"<span style='color:{warning}'>{escape(text, quote=False)}</span>" if text else "")

    def _show(self, *_: object) -> None:
        layer, card = self.layer_choice.layer, self.model_choice.card
        self.show_content(layer is not None)
        between = self.between.isChecked()
        for part, shown in ((self.other_choice, between), (self.direction, not between), (self.reach, not between)):
            self._form.setRowVisible(part, shown)
        if card is not None:
            self.direction.setMaximum(int(card.options.get("latent", 128)) - 1)
        self.words.setText(MIND if card is not None else NO_MODEL)
        there_is = layer is not None and card is not None and (not between or self.other_choice.layer is not None)
        self.walk_button.setEnabled(there_is)
        self.walk_button.setText("Stop" if self._working.running else "Walk")


def has_latent_space(card: ModelCard) -> bool:
    """Return whether a model is of an architecture with a latent space."""
    return card.network == "vae"


def _with_leading_axis(matrix: np.ndarray) -> np.ndarray:
    """Return a matrix that leaves one more axis, the first, as it is."""
    larger = np.eye(len(matrix) + 1)
    larger[1:, 1:] = matrix
    return larger


def _walked(
    _stop: Event, start: ImageStack, model: str, options: dict[str, Any], name: str, shown: dict[str, Any]
) -> Iterator[tuple[ImageStack, str, dict[str, Any]]]:
    """Yield the images, the name of their layer, and where and how it is shown."""
    yield latent_walk(start, load_model(model), **options), name, shown
