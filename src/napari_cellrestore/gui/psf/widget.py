"""PSF widget: the blur between a sharp and a blurred image, of the planes of a stack, or of beads."""

from __future__ import annotations

from html import escape
from typing import Any

import numpy as np
from napari.components import ViewerModel
from qtpy.QtCore import QTimer
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import QGridLayout, QInputDialog, QProgressBar, QPushButton, QVBoxLayout, QWidget

from napari_cellrestore.beads import BeadPsf
from napari_cellrestore.gui.background import Background
from napari_cellrestore.gui.choice import Connections
from napari_cellrestore.gui.current import provenance_of
from napari_cellrestore.gui.panel import Panel
from napari_cellrestore.gui.psf.figure import KernelFigure
from napari_cellrestore.gui.psf.kernel_layers import add_bead_psf, add_beads, add_field_map, add_kernels, add_otf
from napari_cellrestore.gui.psf.settings import BEADS, PAIR, PLANE, STACK, KernelSettings
from napari_cellrestore.gui.psf.words import (
    bead_table,
    describe,
    describe_beads,
    describe_field,
    describe_series,
    field_reasons,
    kernel_table,
)
from napari_cellrestore.gui.psf.work import (
    FieldMap,
    Recovered,
    beads_work,
    pair_field_work,
    pair_work,
    plane_field_work,
    registered_plane,
    series_work,
)
from napari_cellrestore.gui.text import text_label
from napari_cellrestore.gui.theme import theme_colour, warning_colour
from napari_cellrestore.gui.watched import WatchedPlanes
from napari_cellrestore.kernel_model import save_kernel

EMPTY = (
    "Open a sharp and a blurred image<br>of one field, or a focus stack:<br>File > Open, or<br>"
    "File > Open Sample > Cell Restore."
)


class PsfWidget(Panel):
    """Dock widget that recovers point-spread functions."""

    def __init__(self, napari_viewer: ViewerModel) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self._shown: dict[int | None, Recovered] = {}
        self._failed: dict[int, str] = {}
        self._beads: BeadPsf | None = None
        self._layer: Any = None  # what the results are of
        self._pixel_um = 0.0
        self._z_um: np.ndarray | None = None
        self._planes: WatchedPlanes | None = None
        self._build()

        self._work = Background(self)
        self._work.came.connect(self._on_result)
        self._work.failed.connect(self._show_status)
        self._work.finished.connect(self._show)
        self._clock = QTimer(self, interval=100)
        self._clock.timeout.connect(self._show_progress)
        self.closed.connect(self._work.stop)
        lasting = Connections(self)
        lasting.connect(napari_viewer.dims.events.current_step, self._on_step)
        lasting.connect(napari_viewer.events.theme, self._show)
        self.settings.changed.connect(self._forget)
        self.settings.field.asked.connect(self.map_field)
        self.recover_button.clicked.connect(self.recover)
        self.align_button.clicked.connect(self.align_and_recover)
        self.psf_button.clicked.connect(self.add_psf)
        self.otf_button.clicked.connect(self.add_second)
        self.model_button.clicked.connect(self._ask_name)
        self.copy_button.clicked.connect(self.copy_table)
        self._forget()

    # --- what is seen ----------------------------------------------------------------------------------------

    def _build(self) -> None:
        self.settings = KernelSettings(self._viewer)
        self.what, self.optics = self.settings.what, self.settings.optics
        self.recover_button = QPushButton("Recover")
        self.progress = QProgressBar(textVisible=False, maximumHeight=4)
        self.status, self.said, self.field_said = (text_label(rich=True) for _ in range(3))
        self.figure = KernelFigure(self._viewer)
        self.align_button = QPushButton("Align first")
        self.align_button.setToolTip("Move the blurred image onto the sharp one, and recover again")
        self._build_buttons()
        content = QWidget()
        layout = QVBoxLayout(content)
        for part in (self.settings, self.recover_button, self.progress, self.status, self.field_said):
            layout.addWidget(part)
        layout.addWidget(self.figure, 1)
        layout.addWidget(self.said)
        layout.addWidget(self.align_button)
        layout.addLayout(self.buttons)
        layout.addStretch(0)
        self.set_content(content, EMPTY)

    def _build_buttons(self) -> None:
        self.psf_button, self.otf_button = QPushButton("PSF as layer"), QPushButton("OTF as layer")
        self.model_button, self.copy_button = QPushButton("Use for deconvolution…"), QPushButton("Copy table")
        self.model_button.setToolTip("Save deconvolution by this kernel as a model, which Restore then offers")
        self.buttons = QGridLayout()
        for number, button in enumerate(self._all_buttons):
            self.buttons.addWidget(button, *divmod(number, 2))

    @property
    def _all_buttons(self) -> tuple[QPushButton, ...]:
        return self.psf_button, self.otf_button, self.model_button, self.copy_button

    @property
    def kind(self) -> str:
        """What a kernel is recovered from: one of PAIR, PLANE, STACK, BEADS."""
        return self.settings.kind

    @property
    def shown(self) -> Recovered | None:
        """The kernel that is shown: that of the plane in view, of a stack."""
        if self.kind in (PAIR, PLANE):
            return next(iter(self._shown.values()), None)
        return self._shown.get(self.settings.plane_in_view()) if self._shown else None

    def _forget(self) -> None:
        """Forget what was recovered: something else is chosen, or it is recovered anew."""
        self.show_content(bool(self.settings.sharp_choice.layer))
        self._work.stop()
        self._shown, self._failed, self._beads = {}, {}, None
        self.field_said.hide()
        self._show_status("")
        self._show()

    # --- what is recovered -----------------------------------------------------------------------------------

    def recover(self) -> None:
        """Recover what is chosen, in the background; the button stops it meanwhile."""
        if self._work.running:
            self._work.stop()
            self._show()
            return
        self._forget()
        self._try(self._start)

    def align_and_recover(self) -> None:
        """Move the blurred image onto the sharp one and recover again."""
        shown = self.shown
        if shown is not None:
            self._try(self._start_aligned, shown)

    def map_field(self) -> None:
        """Map the width of the kernel over the field, of images that were aligned as they were."""
        self.field_said.hide()
        self._show_status("")
        self._try(self._start_field)

    def _try(self, start: Any, *args: Any) -> None:
        """Start work; where what is chosen does not allow it, say why."""
        try:
            if self.settings.layer is None:
                what = "image" if self.kind == PAIR else "stack"
                raise ValueError(f"there is no {what} to choose: open one")
            self._pixel_um, self._layer = self.settings.pixel_um, self.settings.layer
            start(*args)
        except ValueError as error:
            self._show_status(str(error))
        else:
            self._clock.start()
        self._show()

    def _start(self) -> None:
        how = self.settings.how
        if self.kind == PAIR:
            self._z_um, self._planes = None, None
            self._work.start(pair_work, *self.settings.images(), self._pixel_um, how, None)
            return
        planes, step_um = self._watch()
        if self.kind == BEADS:
            if step_um is None:
                raise ValueError("the z step is not known: give it in the Focus widget under Calibration")
            self._work.start(beads_work, planes, self._pixel_um, step_um, how["objective"], self.settings.diameter_um)
        else:
            chosen = [self.settings.plane_in_view()] if self.kind == PLANE else None
            self._work.start(series_work, planes, self._pixel_um, self._z_um, chosen, how)

    def _start_aligned(self, shown: Recovered) -> None:
        how, off_px = self.settings.how, shown.found.shift_px
        if self.kind == PAIR:
            self._work.start(pair_work, *self.settings.images(), self._pixel_um, how, off_px)
        else:
            planes, _ = self._watch()
            self._work.start(registered_plane, planes, shown.reference, shown.plane, self._pixel_um, how, off_px)

    def _start_field(self) -> None:
        how, grid, moved_px = self.settings.how, self.settings.field.grid, self.shown and self.shown.moved_px
        if self.kind == PAIR:
            self._work.start(pair_field_work, *self.settings.images(), self._pixel_um, grid, how, moved_px)
        else:
            planes, _ = self._watch()
            here = self.settings.plane_in_view()
            self._work.start(plane_field_work, planes, here, self._pixel_um, grid, how, moved_px)

    def _watch(self) -> tuple[WatchedPlanes, float | None]:
        """Return the planes of the stack, counted as they are read, and their distance."""
        stack = self.settings.depth_stack()
        self._z_um = None if stack.z_um is None else np.asarray(stack.z_um)
        self._planes = WatchedPlanes(stack.data, passes=2)
        return self._planes, stack.z_step_um

    def _on_result(self, result: Recovered | BeadPsf | FieldMap | tuple[int, str]) -> None:
        if isinstance(result, BeadPsf):
            self._beads = result
        elif isinstance(result, Recovered):
            self._shown[result.plane] = result
        elif isinstance(result, FieldMap):
            self._show_field(result)
        else:
            self._failed[result[0]] = result[1]
            if self.kind == PLANE:
                self._show_status(result[1])
        self._show()

    # --- what is shown ---------------------------------------------------------------------------------------

    def _on_step(self, _event: object = None) -> None:
        if self.kind == STACK and self._shown:
            self._show()

    def _show(self, _event: object = None) -> None:
        """Show what is known."""
        known, shown = bool(self._shown) or self._beads is not None, self.shown
        for part in (self.figure, self.said, *self._all_buttons):
            part.setVisible(known)
        self.align_button.setVisible(shown is not None and shown.found.shifted)
        for button in (self.otf_button, self.model_button):
            button.setEnabled(self._beads is not None or shown is not None)
        self.otf_button.setText("Beads as points" if self.kind == BEADS else "OTF as layer")
        if self._beads is not None:
            self.said.setText(describe_beads(self._beads, self._colours))
            self.figure.show_beads(self._beads)
        else:
            self._show_kernels(shown)
        self._show_progress()

    def _show_kernels(self, shown: Recovered | None) -> None:
        """Show the kernel of a pair, or of a stack that of the plane in view and what is said of all."""
        stack = self.kind == STACK
        series = (
            describe_series(list(self._shown.values()), self._failed, self._colours) if stack and self._shown else ""
        )
        self.said.setText(series + ("" if shown is None else describe(shown, self._colours)))
        self.figure.show_kernel(shown, over_z=stack)
        if stack:
            widths = {plane: recovered.found for plane, recovered in self._shown.items() if plane is not None}
            self.figure.show_widths(widths, self._z_um, self.settings.plane_in_view())

    @property
    def _colours(self) -> dict[str, str]:
        colours = {role: theme_colour(self._viewer, role) for role in ("text", "icon")}
        return {**colours, "warning": warning_colour(self._viewer)}

    def _show_field(self, result: FieldMap) -> None:
        """Add the map as a layer over the image it is of, and say its spread."""
        layer = self.settings.sharp_choice.layer if self.kind == PAIR else self._layer
        add_field_map(self._viewer, result, layer, f"{self._layer.name} kernel width (um)", self._sources)
        self.field_said.setText(describe_field(result.found, self._colours))
        self.field_said.setToolTip("\n".join(field_reasons(result.found)))
        self.field_said.show()

    def _show_progress(self) -> None:
        running, planes = self._work.running, self._planes
        if not running:
            self._clock.stop()
        self.recover_button.setText("Stop" if running else "Measure" if self.kind == BEADS else "Recover")
        self.settings.field.button.setEnabled(not running)
        counted = running and planes is not None and self.kind in (STACK, BEADS)
        self.progress.setMaximum(planes.total if counted and planes is not None else 0)
        self.progress.setValue(planes.count if counted and planes is not None else 0)
        self.progress.setVisible(running)

    def _show_status(self, text: str) -> None:
        self.status.setText(
            f"<span style='color:{warning_colour(self._viewer)}'>{escape(text, quote=False)}</span>" if text else ""
        )
        self.status.setVisible(bool(text))

    # --- what is done with it --------------------------------------------------------------------------------

    @property
    def _sources(self) -> dict[str, Any]:
        """The layers and how their pixels were made."""
        layers = self.settings.layers if self.kind == PAIR else [self._layer]
        return {layer.name: dict(provenance_of(layer)) for layer in layers}

    def add_psf(self) -> None:
        """Add the kernel as a layer, of a stack the kernels along z; with known optics also that of the microscope."""
        name = f"PSF of {self._layer.name}"
        if self._beads is not None:
            add_bead_psf(self._viewer, self._beads, name, self._sources)
            return
        shown = list(self._shown.values())
        if shown[0].found.objective is not None:
            absolute = add_kernels(self._viewer, shown, f"{name}, absolute", self._z_um, self._sources, absolute=True)
            absolute.visible = False
        add_kernels(self._viewer, shown, name, self._z_um, self._sources)

    def add_second(self) -> None:
        """Add the transfer function, or the beads, as a layer."""
        if self._beads is not None:
            size_um = 4 * max(self._beads.fwhm_um[1:])
            add_beads(self._viewer, self._beads, self._layer, size_um, f"beads of {self._layer.name}")
        elif self.shown is not None:
            add_otf(self._viewer, self.shown, f"OTF of {self._layer.name}", self._sources)

    def _ask_name(self) -> None:
        name, given = QInputDialog.getText(
            self, "Use for deconvolution", "Name of the model:", text=f"{self._layer.name} PSF"
        )
        if given:
            self.save_model(name.strip())

    def save_model(self, name: str) -> None:
        """Save deconvolution by the kernel shown as a model of the user's list."""
        if self._beads is not None:
            middle = self._beads.psf[len(self._beads.psf) // 2]
            psf, said = middle / middle.sum(), f"{len(self._beads.used)} beads in {self._layer.name}"
        elif self.shown is not None:
            psf, said = self.shown.found.psf, f"recovered from {' and '.join(self._sources)}"
        else:
            return
        try:
            save_kernel(name, psf, pixel_um=self._pixel_um, said=said)
        except (ValueError, OSError) as error:
            self._show_status(str(error))
        else:
            self.status.setText(f"Saved as <b>{escape(name)}</b>: open Restore to use it.")
            self.status.setVisible(True)

    def copy_table(self) -> None:
        """Copy the curve of a kernel, of a stack a line for each plane, of beads a line for each, with tabs."""
        table = bead_table(self._beads) if self._beads is not None else None
        QGuiApplication.clipboard().setText(table or kernel_table(list(self._shown.values()), self._z_um))
