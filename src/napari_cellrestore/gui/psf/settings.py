"""What a kernel is recovered from, and how: the settings of the PSF widget."""

from __future__ import annotations

from typing import Any

from napari.components import ViewerModel
from napari.layers import Image, Layer
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QDoubleSpinBox, QFormLayout, QHBoxLayout, QLabel, QLineEdit, QWidget

from napari_cellrestore.gui.choice import Connections, LayerChoice
from napari_cellrestore.gui.current import lazy_plane, plane_index, planes_in_view, provenance_of
from napari_cellrestore.gui.layers import stack_from_layer
from napari_cellrestore.gui.psf.field_row import FieldRow
from napari_cellrestore.gui.psf.kernel_layers import STEPS
from napari_cellrestore.gui.psf.optics import OpticsRow
from napari_cellrestore.kernels import COLOURS
from napari_cellrestore.recover import METHODS
from napari_cellrestore.stack import ImageStack

#: What a kernel is recovered from.
PAIR, PLANE, STACK, BEADS = "two images", "plane in view and sharpest", "all planes and sharpest", "beads"


class KernelSettings(QWidget):
    """A form: layers, pixel size, optics, method, size of beads, tiles of the field."""

    #: Something else is chosen, or is calibrated otherwise: what was recovered is not of it.
    changed = Signal()

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__()
        self._viewer = viewer
        self._known_pixel_um: float | None = None
        self._layer_events = Connections(self)
        self._build_choices()
        self._build_method()
        self._build_form()
        self.what.currentIndexChanged.connect(self._on_what)
        for choice in (self.sharp_choice, self.blurred_choice, self.stack_choice):
            choice.changed.connect(self._on_layer)
        self._on_what()

    def _build_choices(self) -> None:
        self.what = QComboBox()
        self.what.addItems([PAIR, PLANE, STACK, BEADS])
        self.what.setToolTip("What a kernel is recovered from: two layers, planes of a focus stack, or images of beads")
        self.sharp_choice = LayerChoice(self._viewer, is_image)
        self.blurred_choice = LayerChoice(self._viewer, is_image)
        self.stack_choice = LayerChoice(self._viewer, has_planes)
        for box in (self.what, self.sharp_choice, self.blurred_choice, self.stack_choice):
            box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
            box.setMinimumContentsLength(8)  # a dock may be narrow
        self.colour = QComboBox()
        self.colour.addItems(COLOURS)
        self.colour.setCurrentText("green")
        self.colour.setToolTip("Which colour of the images is used")
        self.pixel = _length(4, "Width of a pixel at the object, from the layer where it tells")
        self.optics = OpticsRow()

    def _build_method(self) -> None:
        self.method = QComboBox()
        self.method.addItems(METHODS)
        self.method.setToolTip("radial: least squares by radius; fourier: as Werth & Matlock 2018, for comparison")
        self.mu = QLineEdit(placeholderText="auto")
        self.mu.setToolTip("Weight of the prior of a smooth curve; left empty, it is chosen from the data and shown")
        self.diameter = _length(
            3, "Diameter of the beads, from their label; their own size is then taken off the widths that are measured"
        )
        self.field = FieldRow()

    def _build_form(self) -> None:
        self._method_row, pixel = QHBoxLayout(), QHBoxLayout()
        self._method_row.addWidget(self.method, 2)
        self._method_row.addWidget(QLabel("μ"))
        self._method_row.addWidget(self.mu, 2)
        pixel.addWidget(self.pixel, 3)
        pixel.addWidget(self.colour, 2)
        self.form = QFormLayout(self)
        self.form.setContentsMargins(0, 0, 0, 0)
        self.form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        for name, row in (
            ("From", self.what),
            ("Sharp", self.sharp_choice),
            ("Blurred", self.blurred_choice),
            ("Stack", self.stack_choice),
            ("Pixel size", pixel),
            ("Optics", self.optics),
            ("Method", self._method_row),
            ("Bead size", self.diameter),
            ("Field", self.field),
        ):
            self.form.addRow(name, row)

    # --- what is chosen --------------------------------------------------------------------------------------

    @property
    def kind(self) -> str:
        """What a kernel is recovered from: one of PAIR, PLANE, STACK, BEADS."""
        return str(self.what.currentText())

    @property
    def layers(self) -> list[Any]:
        """The sharp and the blurred layer, or the stack; those that there are."""
        pair = [self.sharp_choice.layer, self.blurred_choice.layer]
        return [layer for layer in (pair if self.kind == PAIR else [self.stack_choice.layer]) if layer is not None]

    @property
    def layer(self) -> Any:
        """The layer with the blurred image, the stack or the beads; None without one."""
        return self.blurred_choice.layer if self.kind == PAIR else self.stack_choice.layer

    @property
    def pixel_um(self) -> float:
        """Pixel size: that of the layer, unless it was changed, with all its digits."""
        known, shown = self._known_pixel_um, self.pixel.value()
        if not shown:
            raise ValueError("the pixel size is not known: fill it in above")
        return known if known is not None and shown == round(known, self.pixel.decimals()) else shown

    @property
    def how(self) -> dict[str, Any]:
        """Options of :func:`napari_cellrestore.recover.recover_psf`."""
        return {"method": self.method.currentText(), "mu": self._mu(), "objective": self.optics.objective}

    @property
    def diameter_um(self) -> float | None:
        """Diameter of the beads, None where it is not known."""
        return self.diameter.value() or None

    def _mu(self) -> float | str:
        text = self.mu.text().strip().replace(",", ".")
        if text in ("", "auto", "gcv"):
            return text or "auto"
        try:
            return float(text)
        except ValueError:
            raise ValueError(f"μ is {text!r}: give a positive number, or leave it empty") from None

    # --- pixels ----------------------------------------------------------------------------------------------

    def images(self) -> list[Any]:
        """Return the planes in view of the sharp and of the blurred layer, not yet read."""
        layers = (self.sharp_choice.layer, self.blurred_choice.layer)
        if layers[0] is layers[1]:
            raise ValueError("sharp and blurred are the same layer: choose another, or a plane of a stack under From")
        sizes = [stack.pixel_um for layer in layers if (stack := known_stack(layer)) is not None and stack.pixel_um]
        if sizes and max(sizes) > 1.001 * min(sizes):
            raise ValueError(
                f"pixels of {sizes[0]:g} and {sizes[-1]:g} µm: give images of one pixel size, resample one of them"
            )
        return [self._grey(lazy_plane(self._viewer, layer)) for layer in layers]

    def depth_stack(self) -> ImageStack:
        """Return the planes along Z at the current place along other axes, of one colour."""
        layer = self.stack_choice.layer
        stack = stack_from_layer(layer)
        if "Z" not in stack.axes:
            raise ValueError("these planes are not known to be a focus stack: see Calibration in the Focus widget")
        stack = planes_in_view(self._viewer, layer, stack, but="Z")
        if stack.rgb:
            stack = stack.replace(data=stack.data[..., self._sample], axes=stack.axes.removesuffix("S"))
        return stack

    def plane_in_view(self) -> int | None:
        """Return the number of the plane along Z, None where there is none."""
        layer = self.stack_choice.layer
        stack = None if layer is None else known_stack(layer)
        if stack is None or "Z" not in stack.axes:
            return None
        return plane_index(self._viewer, layer)[stack.plane_axes.index("Z")]

    @property
    def _sample(self) -> int:
        return COLOURS.index(self.colour.currentText())

    def _grey(self, pixels: Any) -> Any:
        """Return one colour of a plane (Y, X[, S])."""
        rgb = pixels.ndim == 3 and pixels.shape[-1] in (3, 4)
        return pixels[..., self._sample] if rgb else pixels

    # --- what changes ----------------------------------------------------------------------------------------

    def _on_what(self, _index: int = 0) -> None:
        pair, beads = self.kind == PAIR, self.kind == BEADS
        for row, seen in (
            (self.sharp_choice, pair),
            (self.blurred_choice, pair),
            (self.stack_choice, not pair),
            (self._method_row, not beads),
            (self.diameter, beads),
            (self.field, self.kind in (PAIR, PLANE)),
        ):
            self.form.setRowVisible(row, seen)
        self._on_layer()

    def _on_layer(self, _event: object = None) -> None:
        """Take what the layers tell."""
        if self.kind == PAIR and self.sharp_choice.layer is self.blurred_choice.layer:
            self._choose_another()
        self._layer_events.clear()
        for layer in self.layers:
            for event in (layer.events.scale, layer.events.units):
                self._layer_events.connect(event, self._on_layer)
        self.colour.setVisible(any(layer.rgb for layer in self.layers))
        stacks = [stack for layer in self.layers if (stack := known_stack(layer)) is not None]
        known = [stack.pixel_um for stack in stacks if stack.pixel_um]
        self._known_pixel_um = known[0] if known else None
        self.pixel.setValue(self._known_pixel_um or 0)
        self.changed.emit()

    def _choose_another(self) -> None:
        """Offer another layer for the blurred image than for the sharp one, if there is one."""
        others = [layer for layer in reversed(self._viewer.layers) if is_image(layer)]
        others = [layer for layer in others if layer is not self.sharp_choice.layer]
        if others:
            blocked = self.blurred_choice.blockSignals(True)
            self.blurred_choice.choose(others[0])
            self.blurred_choice.blockSignals(blocked)


def is_image(layer: Layer) -> bool:
    """Return whether a layer is an image, but not one that was made here."""
    return isinstance(layer, Image) and provenance_of(layer).get("step") not in STEPS


def has_planes(layer: Layer) -> bool:
    """Return whether a layer is an image with more than one plane."""
    return is_image(layer) and layer.ndim > 2


def known_stack(layer: Image) -> ImageStack | None:
    """Return what a layer is, None where that cannot be told."""
    try:
        return stack_from_layer(layer)
    except ValueError:
        return None


def _length(decimals: int, tip: str) -> QDoubleSpinBox:
    box = QDoubleSpinBox(decimals=decimals, maximum=1000, singleStep=0.01, suffix=" µm", specialValueText="not known")
    box.setButtonSymbols(QDoubleSpinBox.ButtonSymbols.NoButtons)  # a dock may be narrow
    box.setToolTip(tip)
    return box
