"""PSF widget: the blur between a sharp and a blurred image, of the planes of a stack, or of beads."""

from __future__ import annotations

from html import escape
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Layer
from qtpy.QtCore import Qt, QTimer
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QGridLayout,
    QHBoxLayout,
    QInputDialog,
    QLabel,
    QLineEdit,
    QProgressBar,
    QPushButton,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from napari_cellrestore.beads import BeadPsf
from napari_cellrestore.gui.background import Background
from napari_cellrestore.gui.choice import Connections, LayerChoice
from napari_cellrestore.gui.current import lazy_plane, plane_index, provenance_of
from napari_cellrestore.gui.layers import stack_from_layer
from napari_cellrestore.gui.panel import Panel
from napari_cellrestore.gui.psf.kernel_layers import add_bead_psf, add_beads, add_kernels, add_otf
from napari_cellrestore.gui.psf.kernel_plot import BandPlot, Curve
from napari_cellrestore.gui.psf.optics import OpticsRow
from napari_cellrestore.gui.psf.words import (
    ABSOLUTE,
    OTF,
    RESIDUAL,
    THEORY,
    bead_table,
    describe,
    describe_beads,
    describe_series,
    kernel_table,
)
from napari_cellrestore.gui.psf.work import (
    Recovered,
    beads_work,
    pair_work,
    registered_plane,
    series_work,
    shift_said,
)
from napari_cellrestore.gui.theme import theme_colour, warning_colour
from napari_cellrestore.gui.watched import WatchedPlanes
from napari_cellrestore.kernel_model import save_kernel
from napari_cellrestore.kernels import COLOURS
from napari_cellrestore.recover import METHODS
from napari_cellrestore.stack import ImageStack

EMPTY = (
    "Open a sharp and a blurred image<br>of one field, or a focus stack:<br>File > Open, or<br>"
    "File > Open Sample > Cell Restore."
)
#: What a kernel is recovered from.
PAIR, PLANE, STACK, BEADS = "two images", "plane in view and sharpest", "all planes and sharpest", "beads"


class PsfWidget(Panel):
    """Dock widget that recovers point-spread functions."""

    def __init__(self, napari_viewer: ViewerModel) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self._shown: dict[int | None, Recovered] = {}
        self._failed: dict[int, str] = {}
        self._beads: BeadPsf | None = None
        self._layer: Any = None  # what the results are of
        self._how: dict[str, Any] = {}
        self._pixel_um = 0.0
        self._known_pixel_um: float | None = None
        self._z_um: np.ndarray | None = None
        self._planes: WatchedPlanes | None = None
        self._build()
        self._layer_events = Connections(self)

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
        self.what.currentIndexChanged.connect(self._on_what)
        for choice in (self.sharp_choice, self.blurred_choice, self.stack_choice):
            choice.changed.connect(self._on_layer)
        self.recover_button.clicked.connect(self.recover)
        self.said.linkActivated.connect(lambda _link: self.register_and_recover())
        self.psf_button.clicked.connect(self.add_psf)
        self.otf_button.clicked.connect(self.add_second)
        self.model_button.clicked.connect(self._ask_name)
        self.copy_button.clicked.connect(self.copy_table)
        self._on_what()

    # --- what is seen ----------------------------------------------------------------------------------------

    def _build(self) -> None:
        self.what = QComboBox()
        self.what.addItems([PAIR, PLANE, STACK, BEADS])
        self.what.setToolTip("What a kernel is recovered from: two layers, planes of a focus stack, or images of beads")
        self.sharp_choice = LayerChoice(self._viewer, is_image)
        self.blurred_choice = LayerChoice(self._viewer, is_image)
        self.stack_choice = LayerChoice(self._viewer, has_planes)
        self.colour = QComboBox()
        self.colour.addItems(COLOURS)
        self.colour.setCurrentText("green")
        self.colour.setToolTip("Which colour of the images is used")
        self.pixel = QDoubleSpinBox(
            decimals=4, maximum=1000, singleStep=0.01, suffix=" µm", specialValueText="not known"
        )
        self.pixel.setToolTip("Width of a pixel at the object, from the layer where it tells")
        self.optics = OpticsRow()
        self.method = QComboBox()
        self.method.addItems(METHODS)
        self.method.setToolTip("radial: least squares by radius; fourier: as Werth & Matlock 2018, for comparison")
        self.mu = QLineEdit(placeholderText="auto")
        self.mu.setToolTip("Weight of the prior of a smooth curve; left empty, it is chosen from the data and shown")
        method = QHBoxLayout()
        method.addWidget(self.method, 2)
        method.addWidget(QLabel("μ"))
        method.addWidget(self.mu, 2)
        self.form = QFormLayout()
        self.form.addRow("From", self.what)
        self.form.addRow("Sharp", self.sharp_choice)
        self.form.addRow("Blurred", self.blurred_choice)
        self.form.addRow("Stack", self.stack_choice)
        pixel = QHBoxLayout()
        pixel.addWidget(self.pixel, 3)
        pixel.addWidget(self.colour, 2)
        self.form.addRow("Pixel size", pixel)
        self.form.addRow("Optics", self.optics)
        self.form.addRow("Method", method)
        self._method_row = method
        self.recover_button = QPushButton("Recover")
        self.progress = QProgressBar(textVisible=False, maximumHeight=4)
        self.status, self.said = _text(), _text()
        self.otf_plot, self.psf_plot, self.z_plot = (BandPlot(self._viewer) for _ in range(3))
        self.tabs = QTabWidget()
        self.tabs.setMinimumHeight(215)
        self._build_buttons()
        content = QWidget()
        layout = QVBoxLayout(content)
        layout.addLayout(self.form)
        layout.addWidget(self.recover_button)
        layout.addWidget(self.progress)
        layout.addWidget(self.status)
        layout.addWidget(self.tabs, 1)
        layout.addWidget(self.said)
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
        return str(self.what.currentText())

    @property
    def layer(self) -> Any:
        """The layer with the blurred image, the stack or the beads; None without one."""
        return self.blurred_choice.layer if self.kind == PAIR else self.stack_choice.layer

    @property
    def shown(self) -> Recovered | None:
        """The kernel that is shown: that of the plane in view, of a stack."""
        if self.kind in (PAIR, PLANE):
            return next(iter(self._shown.values()), None)
        return self._shown.get(self._plane_in_view()) if self._shown else None

    # --- what is chosen --------------------------------------------------------------------------------------

    def _on_what(self, _index: int = 0) -> None:
        pair, beads = self.kind == PAIR, self.kind == BEADS
        for field in (self.sharp_choice, self.blurred_choice):
            self.form.setRowVisible(field, pair)
        self.form.setRowVisible(self.stack_choice, not pair)
        self.form.setRowVisible(self._method_row, not beads)
        self.recover_button.setText("Measure" if beads else "Recover")
        self.otf_button.setText("Beads as points" if beads else "OTF as layer")
        self._on_layer()

    def _on_layer(self) -> None:
        """Forget what was recovered from other layers; take what the new one tells."""
        there_is = bool(self.sharp_choice.layer)
        self.show_content(there_is)
        if self.kind == PAIR and self.sharp_choice.layer is self.blurred_choice.layer:
            self._choose_another()
        layers = [self.layer] if self.kind != PAIR else [self.sharp_choice.layer, self.blurred_choice.layer]
        self._layer_events.clear()
        for layer in filter(None, layers):
            for event in (layer.events.scale, layer.events.units):
                self._layer_events.connect(event, self._on_calibration)
        self.colour.setVisible(any(layer is not None and layer.rgb for layer in layers))
        stacks = [stack for layer in layers if layer is not None and (stack := _stack(layer)) is not None]
        known = [stack.pixel_um for stack in stacks if stack.pixel_um]
        self._known_pixel_um = known[0] if known else None
        self.pixel.setValue(self._known_pixel_um or 0)
        self._forget()

    def _on_calibration(self, _event: object = None) -> None:
        self._on_layer()

    def _choose_another(self) -> None:
        """Offer another layer for the blurred image than for the sharp one, if there is one."""
        others = [layer for layer in reversed(self._viewer.layers) if is_image(layer)]
        others = [layer for layer in others if layer is not self.sharp_choice.layer]
        if others:
            blocked = self.blurred_choice.blockSignals(True)
            self.blurred_choice.choose(others[0])
            self.blurred_choice.blockSignals(blocked)

    def _forget(self) -> None:
        self._work.stop()
        self._shown, self._failed, self._beads = {}, {}, None
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
        try:
            self._start(None)
        except ValueError as error:
            self._show_status(str(error))
        self._show()

    def register_and_recover(self) -> None:
        """Move the blurred image onto the sharp one and recover again."""
        shown = self.shown
        if shown is None or (start := shift_said(shown.found)) is None:
            return
        try:
            self._start(start, shown)
        except ValueError as error:
            self._show_status(str(error))
        self._show()

    def _start(self, register: tuple[float, float] | None, again: Recovered | None = None) -> None:
        layer = self.layer
        if layer is None:
            raise ValueError(f"there is no {'image' if self.kind == PAIR else 'stack'} to choose: open one")
        objective = self.optics.objective
        if not self.pixel.value():
            raise ValueError("the pixel size is not known: fill it in above")
        self._pixel_um, self._layer = self._chosen_pixel_um(), layer
        self._how = {"method": self.method.currentText(), "mu": self._mu(), "objective": objective}
        if self.kind == PAIR:
            self._start_pair(register)
            return
        stack = self._depth_stack(layer)
        self._z_um = None if stack.z_um is None else np.asarray(stack.z_um)
        self._planes = WatchedPlanes(stack.data, passes=2)
        if self.kind == BEADS:
            if stack.z_step_um is None:
                raise ValueError("the z step is not known: give it in the Focus widget under Calibration")
            self._work.start(beads_work, self._planes, self._pixel_um, stack.z_step_um, objective)
        elif register is not None and again is not None:
            args = (again.reference, again.plane, self._pixel_um, self._how, register)
            self._work.start(registered_plane, self._planes, *args)
        else:
            chosen = [self._plane_in_view()] if self.kind == PLANE else None
            self._work.start(series_work, self._planes, self._pixel_um, self._z_um, chosen, self._how)
        self._clock.start()

    def _start_pair(self, register: tuple[float, float] | None) -> None:
        layers = (self.sharp_choice.layer, self.blurred_choice.layer)
        if layers[0] is layers[1]:
            raise ValueError("sharp and blurred are the same layer: choose another, or a plane of a stack under From")
        sizes = [stack.pixel_um for layer in layers if (stack := _stack(layer)) is not None and stack.pixel_um]
        if sizes and max(sizes) > 1.001 * min(sizes):
            raise ValueError(
                f"pixels of {sizes[0]:g} and {sizes[-1]:g} µm: give images of one pixel size, resample one of them"
            )
        self._z_um, self._planes = None, None
        images = [self._grey(lazy_plane(self._viewer, layer)) for layer in layers]
        self._work.start(pair_work, *images, self._pixel_um, self._how, register)

    def _chosen_pixel_um(self) -> float:
        """Return the pixel size: that of the layer, unless it was changed, with all its digits."""
        known, shown = self._known_pixel_um, self.pixel.value()
        return known if known is not None and shown == round(known, self.pixel.decimals()) else shown

    def _mu(self) -> float | str:
        text = self.mu.text().strip().replace(",", ".")
        if text in ("", "auto", "gcv"):
            return text or "auto"
        try:
            return float(text)
        except ValueError:
            raise ValueError(f"μ is {text!r}: give a positive number, or leave it empty") from None

    def _grey(self, pixels: Any) -> Any:
        """Return one colour of a plane (Y, X[, S]) or of planes of a colour layer."""
        rgb = pixels.ndim == 3 and pixels.shape[-1] in (3, 4)
        return pixels[..., COLOURS.index(self.colour.currentText())] if rgb else pixels

    def _depth_stack(self, layer: Image) -> ImageStack:
        """Return the planes along Z at the current place along other axes, of one colour."""
        stack = stack_from_layer(layer)
        if "Z" not in stack.axes:
            raise ValueError("these planes are not known to be a focus stack: see Calibration in the Focus widget")
        place = dict(zip(stack.plane_axes, plane_index(self._viewer, layer), strict=True))
        for letter in stack.plane_axes.replace("Z", ""):
            stack = stack.select(letter, place[letter])
        if stack.rgb:
            sample = COLOURS.index(self.colour.currentText())
            stack = stack.replace(data=stack.data[..., sample], axes=stack.axes.removesuffix("S"))
        return stack

    def _plane_in_view(self) -> int | None:
        stack = _stack(self.stack_choice.layer) if self.stack_choice.layer is not None else None
        if stack is None or "Z" not in stack.axes:
            return None
        return plane_index(self._viewer, self.stack_choice.layer)[stack.plane_axes.index("Z")]

    def _on_result(self, result: Recovered | BeadPsf | tuple[int, str]) -> None:
        if isinstance(result, BeadPsf):
            self._beads = result
        elif isinstance(result, Recovered):
            self._shown[result.plane] = result
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
        colours = {role: theme_colour(self._viewer, role) for role in ("text", "icon")}
        colours["warning"] = warning_colour(self._viewer)
        known = bool(self._shown) or self._beads is not None
        self.tabs.setVisible(known)
        for button in self._all_buttons:
            button.setVisible(known)
        self._show_tabs()
        for button in (self.otf_button, self.model_button):
            button.setEnabled(self._beads is not None or self.shown is not None)
        if self._beads is not None:
            self.said.setText(describe_beads(self._beads, colours))
            self._draw_beads(self._beads)
        else:
            shown = self.shown
            text = describe_series(list(self._shown.values()), self._failed, colours) if self.kind == STACK else ""
            self.said.setText((text if self._shown else "") + ("" if shown is None else describe(shown, colours)))
            self._draw_kernel(shown)
            self._draw_series()
        self.said.setVisible(known)
        running = self._work.running
        name = "Measure" if self.kind == BEADS else "Recover"
        self.recover_button.setText("Stop" if running else name)
        self._show_progress()

    def _show_tabs(self) -> None:
        """Have the tabs of what is shown, and keep the one in front."""
        wanted = {"OTF": self.otf_plot, "PSF": self.psf_plot}
        if self._beads is not None:
            wanted = {"PSF": self.psf_plot}
        elif self.kind == STACK:
            wanted["Over z"] = self.z_plot
        if [self.tabs.tabText(number) for number in range(self.tabs.count())] != list(wanted):
            self.tabs.clear()
            for name, plot in wanted.items():
                self.tabs.addTab(plot, name)

    def _draw_kernel(self, shown: Recovered | None) -> None:
        if shown is None:
            self.otf_plot.show_curves([], "", "")
            self.psf_plot.show_curves([], "", "")
            return
        found = shown.found
        trusted = float(found.frequency[found.trusted].max(initial=0.0))
        end = 1.15 * trusted or float(found.frequency[-1])
        seen = found.frequency <= end
        curves = [
            Curve(found.frequency[seen], found.residual[seen], RESIDUAL),
            Curve(found.frequency[seen], found.otf[seen], OTF, found.otf_std[seen]),
        ]
        if shown.theory is not None:
            curves.insert(0, Curve(found.frequency[seen], shown.theory[seen], THEORY, broad=True))
        low = min(-0.1, float(np.min(found.otf[seen])) - 0.05)
        self.otf_plot.show_curves(
            curves, "cycles/µm", "relative OTF", x_range=(0, end), y_range=(low, 1.1), marks=[trusted]
        )
        self.otf_plot.setToolTip(
            "Band: ± 2 standard deviations. Grey: residual |G − F·OTF| / |G|. Dotted: end of trust"
        )
        radius_um = np.linspace(0, 4 * max(found.fwhm_um, found.pixel_um), 81)
        value, std = found.radial_psf(radius_um)
        lines = [Curve(radius_um, value / value[0], OTF, std / value[0])]
        if found.objective is not None:
            absolute, std = found.radial_psf(radius_um, absolute=True)
            lines.append(Curve(radius_um, absolute / absolute[0], ABSOLUTE, std / absolute[0]))
        self.psf_plot.show_curves(lines, "distance from the centre (µm)", "PSF / its peak")
        self.psf_plot.setToolTip(
            "Orange: relative to the sharp image. Green: absolute, of the microscope, where the optics are known"
        )

    def _draw_series(self) -> None:
        planes = [plane for plane in self._shown if plane is not None]
        x = np.array(planes if self._z_um is None else [self._z_um[plane] for plane in planes], float)
        width = np.array([self._shown[plane].found.fwhm_um for plane in planes])
        curves = [Curve(x, width, OTF, dots=True)]
        absolute = [self._shown[plane].found.absolute_fwhm_um for plane in planes]
        if planes and None not in absolute:
            curves.append(Curve(x, np.array(absolute, float), ABSOLUTE, dots=True))
        here = self._plane_in_view()
        at = [] if here is None else [float(here) if self._z_um is None else float(self._z_um[here])]
        label = "plane" if self._z_um is None else "z (µm)"
        self.z_plot.show_curves(curves if planes else [], label, "FWHM (µm)", marks=at if planes else [])

    def _draw_beads(self, found: BeadPsf) -> None:
        middle = [length // 2 for length in found.psf.shape]
        top = found.psf[tuple(middle)]
        sizes = (found.z_step_um, found.pixel_um, found.pixel_um)
        lines = (
            found.psf[:, middle[1], middle[2]],
            found.psf[middle[0], :, middle[2]],
            found.psf[middle[0], middle[1]],
        )
        curves = [
            Curve((np.arange(len(line)) - centre) * size, line / top, colour)
            for line, centre, size, colour in zip(lines, middle, sizes, (None, OTF, THEORY), strict=True)
        ]
        self.psf_plot.show_curves(curves, "distance from the centre (µm)", "average bead")
        self.psf_plot.setToolTip("Lines through the centre of the average")

    def _show_progress(self) -> None:
        running = self._work.running
        if not running:
            self._clock.stop()
        planes = self._planes
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
        layers = [self._layer] if self.kind != PAIR else [self.sharp_choice.layer, self.blurred_choice.layer]
        return {layer.name: dict(provenance_of(layer)) for layer in layers if layer is not None}

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


def is_image(layer: Layer) -> bool:
    """Return whether a layer is an image, but not a kernel or a transfer function that was made here."""
    return isinstance(layer, Image) and provenance_of(layer).get("step") not in (
        "point-spread function",
        "transfer function",
    )


def has_planes(layer: Layer) -> bool:
    """Return whether a layer is an image with more than one plane."""
    return is_image(layer) and layer.ndim > 2


def _stack(layer: Image) -> ImageStack | None:
    """Return what a layer is, None where that cannot be told."""
    try:
        return stack_from_layer(layer)
    except ValueError:
        return None


def _text() -> QLabel:
    label = QLabel(wordWrap=True, textFormat=Qt.TextFormat.RichText)
    label.setTextInteractionFlags(
        Qt.TextInteractionFlag.TextSelectableByMouse | Qt.TextInteractionFlag.LinksAccessibleByMouse
    )
    return label
