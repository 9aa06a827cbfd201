"""What a network that is being trained makes of what one looks at."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QGridLayout, QLabel, QPushButton, QWidget

from napari_cellrestore.card import ModelCard
from napari_cellrestore.gui.background import Background
from napari_cellrestore.gui.choice import LayerChoice
from napari_cellrestore.gui.current import full_resolution, plane_place, planes_in_view, provenance_of
from napari_cellrestore.gui.layers import stack_from_layer
from napari_cellrestore.gui.train.run_folder import recipe_of
from napari_cellrestore.model import Model
from napari_cellrestore.networks import stride_of
from napari_cellrestore.restore import plan_restoration, provenance, restore
from napari_cellrestore.stack import ImageStack
from napari_cellrestore.train import known_images, trained_network

STEP = "preview of training"
#: Longest side of the part that is restored.
SIDE_PX = 512


class PreviewBox(QWidget):
    """A layer to choose, whose part in view is restored whenever a run has saved a state, into one layer.

    Parameters
    ----------
    viewer : napari viewer
    """

    #: The preview of a step is shown.
    shown = Signal(int)

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__()
        self._viewer = viewer
        self._run: Path | None = None
        self._layer: Image | None = None
        self.on_box = QCheckBox("Preview")
        self.on_box.setToolTip("Restore what is in view of this layer whenever the run has saved a state")
        self.layer_choice = LayerChoice(viewer, _is_recorded)
        self.layer_choice.setMinimumContentsLength(5)  # for a narrow dock
        self.now_button = QPushButton("Now")
        self.now_button.setToolTip("Restore what is in view by the state saved last")
        self.words = QLabel(wordWrap=True)
        layout = QGridLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setColumnStretch(1, 1)
        for column, part in enumerate((self.on_box, self.layer_choice, self.now_button)):
            layout.addWidget(part, 0, column)
        layout.addWidget(self.words, 1, 0, 1, 3)
        self._working = Background(self)
        self._working.came.connect(self._put)
        self._working.failed.connect(self._say)
        self._working.finished.connect(self._show)
        self.on_box.toggled.connect(lambda _on: self.follow(self._run))
        self.layer_choice.changed.connect(self._show)
        self.now_button.clicked.connect(self.refresh)
        self._say("")

    def follow(self, run: Path | None) -> None:
        """Show what the state of a run makes of the view, if wished for; to be called whenever one was saved."""
        self._run = run
        if self.on_box.isChecked():
            self.refresh()
        self._show()

    def refresh(self) -> None:
        """Restore what is in view by the state saved last; one at a time, a slow one is not begun anew."""
        source = self.layer_choice.layer
        if self._run is None or source is None or self._working.running:
            return
        try:
            together = known_images(self._run).get("leds") is not None
            part, place = part_in_view(self._viewer, source, all_planes=together)
        except (ValueError, TypeError) as error:
            self._say(str(error))
            return
        self._working.start(_previews, self._run, part, place, source)
        self._show()

    def _put(self, found: tuple[int, np.ndarray, dict[str, Any]]) -> None:
        """Show the pixels in the layer of the preview, or in a new one."""
        step, pixels, options = found
        if self._layer is not None and self._layer in self._viewer.layers and _alike(self._layer.data, pixels):
            self._layer.data = pixels
            for option in ("scale", "translate", "rotate", "affine", "units", "metadata", "name"):
                setattr(self._layer, option, options[option])
        else:
            if self._layer in self._viewer.layers:
                self._viewer.layers.remove(self._layer)
            active = self._viewer.layers.selection.active
            self._layer = self._viewer.add_image(pixels, **options)
            self._viewer.layers.selection.active = active
        self._say("")
        self.shown.emit(step)

    def _say(self, text: str) -> None:
        self.words.setText(" ".join(text.split()))
        self.words.setVisible(bool(text))
        self._show()

    def _show(self, *_: object) -> None:
        there_is = self.layer_choice.layer is not None
        self.on_box.setEnabled(there_is)
        self.now_button.setEnabled(there_is and self._run is not None and not self._working.running)


def part_in_view(viewer: ViewerModel, layer: Image, *, all_planes: bool = False) -> tuple[ImageStack, dict[str, Any]]:
    """Return what is in view of the plane shown, or of all, at most :data:`SIDE_PX` a side, and where in the world it is."""
    stack = stack_from_layer(layer)
    if not all_planes:
        stack = planes_in_view(viewer, layer, stack)
    factor = np.asarray(layer.downsample_factors)[layer.data_level, -2:] if layer.multiscale else 1
    first, last = layer.corner_pixels[:, -2:] * factor
    lengths = full_resolution(layer).shape[layer.ndim - 2 : layer.ndim]
    spans = [_middle(*span) for span in zip(first, last, lengths, strict=True)]
    place = plane_place(layer)
    corner = np.asarray(place["scale"]) * [span.start for span in spans]
    place["translate"] = np.asarray(place["translate"]) + np.asarray(place["rotate"]) @ corner
    return stack.replace(data=stack.data[(slice(None),) * len(stack.plane_axes) + tuple(spans)]), place


def _middle(first: float, last: float, length: int) -> slice:
    """Return the middle of what is in view along an axis, of the image where nothing of it is.

    >>> _middle(-20, 99, 80), _middle(0, 2000, 4000), _middle(90, 120, 80)
    (slice(0, 80, None), slice(744, 1256, None), slice(0, 80, None))
    """
    low, high = max(int(first), 0), min(int(last) + 1, length)
    low, high = (low, high) if high > low else (0, length)
    start = low + max(high - low - SIDE_PX, 0) // 2
    return slice(start, min(start + SIDE_PX, high))


def _previews(
    _stop: Event, run: Path, part: ImageStack, place: dict[str, Any], source: Image
) -> Iterator[tuple[int, np.ndarray, dict[str, Any]]]:
    """Yield the step, the restored part and the options of its layer."""
    recipe = recipe_of(run)
    network, step = trained_network(run, recipe)
    if network.gives != "image":
        raise ValueError(f"the network {recipe.network!r} gives no image that could be shown")
    card = ModelCard(
        name=f"{run.name}, step {step:,} of {recipe.steps:,}",
        task=recipe.task,
        network=recipe.network,
        in_channels=network.in_channels,
        out_channels=network.out_channels,
        stride=stride_of(network),
        tile_safe=False,  # the part is small enough to run whole
        **{"in_planes": recipe.in_planes, **known_images(run)},
    )
    model = Model(network, card, None)
    plan = plan_restoration(part, model)
    made = {**provenance(part, plan), "step": STEP}
    rgb = plan.result_axes.endswith("S")
    options = {
        **place,
        "name": f"Preview: step {step:,}",
        "rgb": rgb,
        "metadata": {"cellrestore": {"provenance": made}},
    }
    if not rgb:
        limits = source.contrast_limits if plan.result_dtype == plan.dtype else plan.result_intensity
        options |= {"contrast_limits": limits, "colormap": source.colormap}
    yield step, np.asarray(restore(part, model, plan)), options


def _alike(before: np.ndarray, now: np.ndarray) -> bool:
    return before.ndim == now.ndim and before.dtype == now.dtype and before.shape[2:] == now.shape[2:]


def _is_recorded(layer: Any) -> bool:
    return isinstance(layer, Image) and provenance_of(layer).get("step") != STEP
