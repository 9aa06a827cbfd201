"""Restore widget: choose a model, see what it will do, apply it where one looks, save."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari.layers import Image
from napari.utils.notifications import show_error, show_info
from napari_cellrestore.gui.layers import layer_data, stack_from_layer
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import (
    QComboBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)
from superqt import QCollapsible
from superqt.utils import create_worker

from napari_cellrestore.card import ModelCard
from napari_cellrestore.files import write_tiff
from napari_cellrestore.gui.choice import Connections, LayerChoice
from napari_cellrestore.gui.live import LiveRestoration
from napari_cellrestore.model import list_models, load_model
from napari_cellrestore.restore import Plan, plan_restoration, provenance
from napari_cellrestore.stack import ImageStack

if TYPE_CHECKING:
    import napari


class RestoreWidget(QWidget):
    """Dock widget that restores the chosen layer by the chosen model, tile by tile as one looks."""

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__()
        viewer = self._viewer = napari_viewer
        self._live: LiveRestoration | None = None
        self._result: Image | None = None
        self._saving = False

        self.layers = LayerChoice(viewer, lambda layer: isinstance(layer, Image) and layer is not self._result)
        self.models = QComboBox()
        self.models.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.models.setMinimumContentsLength(12)
        self._cards = {card.name: card for card in list_models() if card.task == "deblur"}
        for row, card in enumerate(self._cards.values()):
            self.models.addItem(card.name)
            self.models.setItemData(row, card.summary, Qt.ItemDataRole.ToolTipRole)
        self.card_text, self.plan_text, self.status = _text(), _text(), _text()
        self.apply_button = QPushButton("Apply")
        self.apply_button.setToolTip("Restore what is in view, tile by tile; move the view to restore more")
        self.save_button = QPushButton("Save…")
        self.save_button.setToolTip("Restore the rest and write a TIFF: the numbers shown, with calibration and origin")
        self.progress = QProgressBar()

        form = QFormLayout()
        form.addRow("Image", self.layers)
        form.addRow("Model", self.models)
        buttons = QHBoxLayout()
        buttons.addWidget(self.apply_button)
        buttons.addWidget(self.save_button)
        layout = QVBoxLayout(self)
        layout.addLayout(form)
        layout.addWidget(_section("About the model", self.card_text, expanded=False))
        layout.addWidget(_section("What will happen", self.plan_text, expanded=True))
        layout.addLayout(buttons)
        layout.addWidget(self.progress)
        layout.addWidget(self.status)
        layout.addStretch(1)

        self.layers.changed.connect(self._show_plan)
        self.models.currentIndexChanged.connect(self._show_plan)
        self.apply_button.clicked.connect(self.apply)
        self.save_button.clicked.connect(self.save)
        self._poll = QTimer(self)
        self._poll.setInterval(200)
        self._poll.timeout.connect(self._show_progress)
        Connections(self).connect(viewer.layers.events.removed, self._on_removed)
        self._show_plan()

    # --- choosing ------------------------------------------------------------------------------------

    def _on_removed(self, _event: object) -> None:
        if self._result is not None and self._result not in self._viewer.layers:
            self._forget()
            self._show_progress()

    @property
    def card(self) -> ModelCard | None:
        """Card of the chosen model."""
        return self._cards.get(self.models.currentText())

    def _stack_and_plan(self) -> tuple[ImageStack, Plan]:
        stack = stack_from_layer(self.layers.layer)
        return stack, plan_restoration(stack, load_model(self.models.currentText()))

    def _show_plan(self, _index: int = 0) -> None:
        """Show the card and what Apply would do, or why it cannot."""
        card, layer = self.card, self.layers.layer
        self.card_text.setText(_describe(card) if card else "No model is installed.")
        self.apply_button.setEnabled(False)
        if layer is None:
            self.plan_text.setText("Open an image first: File > Open, or File > Open Sample > Cell Restore.")
        elif card is not None:
            try:
                _, plan = self._stack_and_plan()
            except (ValueError, TypeError) as error:
                self.plan_text.setText(str(error))
            else:
                self.plan_text.setText(_explain(plan))
                self.apply_button.setEnabled(True)
        self._show_progress()

    # --- doing --------------------------------------------------------------------------------------------

    def apply(self) -> None:
        """Add the restored layer, or put a new one in the place of the last."""
        try:
            stack, plan = self._stack_and_plan()
            model = load_model(plan.model)
        except (ValueError, TypeError) as error:
            show_error(str(error))
            return
        source = self.layers.layer
        self._forget()
        live = LiveRestoration(stack, model, plan)
        restored = stack.replace(data=live.levels[0], notes=(), provenance=provenance(stack, model.card, plan))
        ((_, options, _),) = layer_data(restored)
        options |= {
            "name": f"{source.name} restored",
            "multiscale": True,
            "affine": source.affine,
            "contrast_limits": None if stack.rgb else source.contrast_limits,
        }
        if not stack.rgb:
            options["colormap"] = source.colormap
        self._live = live
        self._result = Image(live.levels, **options)
        self._viewer.add_layer(self._result)
        live.changed.connect(self._draw)
        live.failed.connect(show_error)
        self._poll.start()

    def save(self) -> None:
        """Ask for a file and write the whole restored image to it, in the background."""
        if self._live is None or self._result is None:
            return
        name, _ = QFileDialog.getSaveFileName(
            self, "Save the restored image", f"{self._result.name}.ome.tif", "TIFF (*.tif *.tiff)"
        )
        if name:
            self.save_to(Path(name))

    def save_to(self, path: Path) -> None:
        """Write the whole restored image to ``path``, in the background."""
        stack = stack_from_layer(self._result)

        def write() -> Path:
            write_tiff(path, stack, overwrite=True)
            return path

        def done(written: Path) -> None:
            show_info(f"Saved {written.name}: every pixel restored, calibration and origin kept")

        worker = create_worker(write)
        worker.returned.connect(done)
        worker.errored.connect(lambda error: show_error(" ".join(str(error).split())))
        worker.finished.connect(self._saved)
        self._saving = True
        self._show_progress()
        worker.start()

    def _saved(self) -> None:
        self._saving = False
        self._show_progress()

    def _draw(self) -> None:
        if self._result is not None:
            self._result.refresh(extent=False, highlight=False)

    def _forget(self) -> None:
        """Stop computing; take the last result off the list."""
        self._poll.stop()
        live, self._live = self._live, None
        result, self._result = self._result, None
        if live is not None:
            live.stop()
        if result is not None and result in self._viewer.layers:
            self._viewer.layers.remove(result)

    def _show_progress(self) -> None:
        live = self._live
        self.save_button.setEnabled(live is not None and not self._saving)
        if live is None:
            self.progress.setRange(0, 1)
            self.progress.setValue(0)
            self.progress.setFormat("not applied yet")
            self.status.setText("")
            return
        self.progress.setRange(0, live.plan.n_tiles)
        self.progress.setValue(live.n_finished)
        self.progress.setFormat("%v of %m tiles restored")
        if self._saving:
            said = "Saving: the remaining tiles are being restored."
        elif live.pending:
            said = "Restoring what is in view. Dimmed pixels are the input, not restored yet."
        elif live.n_finished < live.plan.n_tiles:
            said = "What is in view is restored. Dimmed pixels are the input: move there or zoom in to restore them."
        else:
            said = "Everything is restored."
        self.status.setText(said)

    def closeEvent(self, event: object) -> None:
        """Stop computing when the widget is closed; the layer stays."""
        self._poll.stop()
        if self._live is not None:
            self._live.stop()
        super().closeEvent(event)


def _text() -> QLabel:
    label = QLabel()
    label.setWordWrap(True)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    return label


def _section(title: str, content: QWidget, *, expanded: bool) -> QCollapsible:
    section = QCollapsible(title)
    section.addWidget(content)
    if expanded:
        section.expand(animate=False)
    return section


def _describe(card: ModelCard) -> str:
    """Return a model's card for a person, as rich text."""
    lines = [f"<b>{card.name}</b> ({card.weights_sha256[:12]})", card.summary]
    if card.defocus_um:
        lines.append(
            f"Trained for {card.defocus_um[0]:g} to {card.defocus_um[1]:g} um of defocus at {card.pixel_um:g} um pixels."
        )
    lines += [f"Trained on: {card.data}", *(f"Mind: {limit}" for limit in card.limits)]
    return "<br>".join(line for line in lines if line)


def _explain(plan: Plan) -> str:
    """Return a plan for a person, warnings first, as rich text."""
    warnings = "".join(f"<p style='color:#d97706'><b>Mind:</b> {text}.</p>" for text in plan.warnings)
    low, high = plan.intensity
    return (
        f"{warnings}<p>{plan.n_tiles} tiles of up to {max(plan.rows)} x {max(plan.columns)} px with a halo of "
        f"{plan.halo_px} px, by {plan.engine} on the {plan.device} in {plan.precision}. Grey levels {low:g} to {high:g} are "
        f"the model's range; the result is {plan.dtype} like the input. Up to {plan.memory_bytes / 2**20:.0f} MiB.</p>"
    )
