"""Report widget: write the report of a restoration and open it."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from pathlib import Path
from threading import Event

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image
from napari.utils.notifications import show_error
from qtpy.QtCore import QUrl
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QCheckBox, QFileDialog, QFormLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_cellrestore.focus import sharpest
from napari_cellrestore.gui.background import Background
from napari_cellrestore.gui.choice import LayerChoice, LayersWatch, is_image
from napari_cellrestore.gui.current import planes_in_view, provenance_of
from napari_cellrestore.gui.layers import stack_from_layer
from napari_cellrestore.gui.panel import Panel
from napari_cellrestore.gui.theme import theme_colour
from napari_cellrestore.report import make_report
from napari_cellrestore.stack import ImageStack


class ReportWidget(Panel):
    """Dock widget that writes one page about the plane shown: input, restored, reference, maps, numbers, origin."""

    def __init__(self, napari_viewer: ViewerModel) -> None:
        super().__init__()
        self._viewer = napari_viewer

        self.input_choice = LayerChoice(napari_viewer, is_image)
        self.restored_choice = LayerChoice(napari_viewer, is_image)
        self.reference_choice = LayerChoice(napari_viewer, is_image, none="none")
        self.sharpest_box = QCheckBox("Sharpest plane of the input as reference")
        self.write_button = QPushButton("Write report…")
        self.write_button.setToolTip("A folder with the page as HTML and PDF, its pictures as PNG, and the numbers")
        self.status = QLabel()
        self.status.setWordWrap(True)
        self.status.setOpenExternalLinks(False)
        self.status.linkActivated.connect(lambda link: QDesktopServices.openUrl(QUrl(link)))

        form = QFormLayout()
        form.addRow("Input", self.input_choice)
        form.addRow("Restored", self.restored_choice)
        form.addRow("Reference", self.reference_choice)
        content = QWidget()
        layout = QVBoxLayout(content)
        layout.addLayout(form)
        layout.addWidget(self.sharpest_box)
        layout.addWidget(self.write_button)
        layout.addWidget(self.status)
        layout.addStretch(1)
        self.set_content(content, "Open an image and restore it first:\nPlugins > Cell Restore > Restore")

        self._writing = Background(self)
        self._writing.came.connect(self._on_written)
        self._writing.failed.connect(self._on_failed)
        self._writing.finished.connect(self._show)
        for choice in (self.input_choice, self.restored_choice, self.reference_choice):
            choice.changed.connect(self._show)
        LayersWatch(napari_viewer, self).changed.connect(self._show)
        self.sharpest_box.toggled.connect(self._show)
        self.write_button.clicked.connect(self._ask_and_write)
        self._show()

    def _show(self, *_: object) -> None:
        if self.input_choice.layer is self.restored_choice.layer:
            self._choose_generated()
        original, restored = self.input_choice.layer, self.restored_choice.layer
        self.show_content(original is not None)
        has_planes = original is not None and original.ndim > 2
        self.sharpest_box.setEnabled(has_planes and self.reference_choice.layer is None)
        self.write_button.setEnabled(original is not None and original is not restored and not self._writing.running)
        if self._writing.running:
            self.status.setText("Writing…")
        elif original is restored:
            self.status.setText("Choose the input and what was made of it: two different layers.")
        elif self.status.text() in ("Writing…", "Choose the input and what was made of it: two different layers."):
            self.status.setText("")

    def _choose_generated(self) -> None:
        """Choose the topmost layer that says it was restored, and as its input the one that it is named after."""
        images = [layer for layer in reversed(self._viewer.layers) if isinstance(layer, Image)]
        generated = [layer for layer in images if "generated" in provenance_of(layer)]
        others = [layer for layer in images if layer not in generated]
        others.sort(key=lambda layer: bool(generated) and not generated[0].name.startswith(f"{layer.name} "))
        for choice, layers in ((self.restored_choice, generated), (self.input_choice, others)):
            if layers:
                choice.refresh()  # the other choice may have heard of a new layer first
                choice.choose(layers[0])

    def _ask_and_write(self) -> None:
        name, _ = QFileDialog.getSaveFileName(self, "Folder of the report (will be made)", "restoration report")
        if name:
            self.write(Path(name))

    def write(self, folder: Path) -> None:
        """Write the report of the planes shown into a new folder."""
        try:
            original = _plane(self._viewer, self.input_choice.layer)
            restored = _plane(self._viewer, self.restored_choice.layer)
            planes = _plane(self._viewer, self.input_choice.layer, but="Z")
            stack = planes if planes.plane_axes == "Z" else None
            if self.sharpest_box.isEnabled() and self.sharpest_box.isChecked() and stack is not None:
                reference: ImageStack | None = stack.select("Z", sharpest(stack))
            else:
                layer = self.reference_choice.layer
                reference = None if layer is None else _plane(self._viewer, layer)
        except (ValueError, TypeError) as error:
            show_error(str(error))
            return
        self._writing.start(_write, folder, original, restored, reference, stack)
        self._show()

    def _on_written(self, page: Path) -> None:
        link, colour = QUrl.fromLocalFile(str(page)).toString(), theme_colour(self._viewer, "text")
        self.status.setText(f"Written: <a style='color:{colour}' href='{escape(link)}'>{escape(page.parent.name)}</a>")

    def _on_failed(self, said: str) -> None:
        self.status.setText("")
        show_error(said)


def _plane(viewer: ViewerModel, layer: Image, but: str = "") -> ImageStack:
    """Return the plane of a layer that is being looked at, or all planes along the axes ``but``."""
    return planes_in_view(viewer, layer, stack_from_layer(layer), but)


def _write(
    _stop: Event,
    folder: Path,
    original: ImageStack,
    restored: ImageStack,
    reference: ImageStack | None,
    stack: ImageStack | None,
) -> Iterator[Path]:
    """Write the report; restored pixels that were not computed yet are computed now."""
    restored = restored.replace(data=np.asarray(restored.data))
    yield make_report(folder, original, restored, reference=reference, stack=stack)
