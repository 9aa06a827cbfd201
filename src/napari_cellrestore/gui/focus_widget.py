"""Focus widget: which plane of a stack is sharp, in the whole frame and in regions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from threading import Event
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Layer, Shapes
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import (
    QComboBox,
    QFormLayout,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_cellrestore.focus import MEASURES, FocusCurve, all_in_focus, focus_curve, focus_map
from napari_cellrestore.gui.background import Background
from napari_cellrestore.gui.calibration_box import CalibrationBox
from napari_cellrestore.gui.choice import Connections, LayerChoice
from napari_cellrestore.gui.current import go_to_plane, made_from, plane_index, plane_place, put_layer, show_scale
from napari_cellrestore.gui.layers import LABELS, layer_data, stack_from_layer
from napari_cellrestore.gui.panel import Panel
from napari_cellrestore.gui.plot import CurvePlot
from napari_cellrestore.gui.regions import Bounds, bounds_px
from napari_cellrestore.gui.theme import theme_colour, warning_colour
from napari_cellrestore.stack import ImageStack

EMPTY = "Open a focus stack:<br>File > Open, or<br>File > Open Sample > Cell Restore."
#: Colours of regions, told apart by colour-blind eyes too and seen on dark and light (Okabe & Ito 2008).
PALETTE = ("#e69f00", "#56b4e9", "#009e73", "#d55e00", "#cc79a7", "#0072b2")
#: Waiting for the end of a movement before computing.
PAUSE_MS = 150
#: Confidence of a focus map below which there is no structure to focus on: noise reaches about 0.1.
SURE = 0.2


class FocusWidget(Panel):
    """Dock widget with the focus curve of a stack and of regions drawn on it."""

    def __init__(self, napari_viewer: ViewerModel) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self._stack: ImageStack | None = None
        self._known: dict[Bounds | None, FocusCurve | str] = {}
        self._regions: list[Region] = []
        self._planes: WatchedPlanes | None = None
        self._place: tuple[int, ...] = ()  # along other axes than Z
        self._build()

        self._layer_events, self._shape_events = Connections(self), Connections(self)
        self._curves, self._maps = Background(self), Background(self)
        self._curves.came.connect(self._on_curve)
        self._curves.failed.connect(self._show_status)
        self._curves.finished.connect(self._show)
        self._maps.came.connect(self._on_map)
        self._maps.failed.connect(self._show_status)
        self._maps.finished.connect(self._show)
        self._soon = QTimer(self, singleShot=True, interval=PAUSE_MS)
        self._soon.timeout.connect(self._measure)
        self._clock = QTimer(self, interval=100)
        self._clock.timeout.connect(self._show_progress)

        lasting = Connections(self)
        lasting.connect(napari_viewer.dims.events.current_step, self._on_step)
        lasting.connect(napari_viewer.events.theme, self._show)
        self.stack_choice.changed.connect(self._on_layer)
        self.method_choice.currentIndexChanged.connect(self._restart)
        self.region_choice.changed.connect(self._on_region_layer)
        self.calibration.changed.connect(self._recalibrate)
        self.plot.picked.connect(self._go_to_z)
        self.said.linkActivated.connect(lambda plane: self.go_to(int(plane)))
        self.add_button.clicked.connect(self.add_region)
        self.go_button.clicked.connect(self.go_to_sharpest)
        self.extract_button.clicked.connect(self.extract_sharpest)
        self.map_button.clicked.connect(lambda: self._start_map("focus map"))
        self.fused_button.clicked.connect(lambda: self._start_map("all in focus"))
        self._on_region_layer()
        self._on_layer()

    # --- what is seen ----------------------------------------------------------------------------------------

    def _build(self) -> None:
        self.stack_choice = LayerChoice(self._viewer, has_planes)
        self.method_choice = QComboBox()
        for name, measure in MEASURES.items():
            self.method_choice.addItem(name.replace("_", " "), name)
            tip = f"{measure.formula}\n{measure.reference}"
            self.method_choice.setItemData(self.method_choice.count() - 1, tip, Qt.ItemDataRole.ToolTipRole)
        self.region_choice = LayerChoice(self._viewer, lambda layer: isinstance(layer, Shapes), none="none")
        self.add_button = QPushButton("Add region")
        self.add_button.setToolTip("Draw rectangles on the image: each gets a curve of its own")
        self.plot = CurvePlot(self._viewer, "focus measure / its maximum")
        self.plot.setToolTip("Click or drag the line: the slider follows")
        self.plot.setMinimumHeight(190)
        self.progress = QProgressBar(textVisible=False, maximumHeight=4)
        self.said, self.notes, self.status = _text(), _text(), _text()
        self.go_button = QPushButton("Go to sharpest")
        self.extract_button = QPushButton("Extract sharpest plane")
        self.map_button = QPushButton("Focus map")
        self.map_button.setToolTip(
            "The z at which each place is sharpest, as a layer; empty where there is nothing to focus on"
        )
        self.fused_button = QPushButton("All in focus")
        self.fused_button.setToolTip("One image put together from the sharpest plane of each place, as a layer")
        self.calibration = CalibrationBox()

        form = QFormLayout()
        form.addRow("Stack", self.stack_choice)
        form.addRow("Measure", self.method_choice)
        regions = QHBoxLayout()
        regions.addWidget(self.region_choice, 1)
        regions.addWidget(self.add_button)
        form.addRow("Regions", regions)
        buttons = QGridLayout()
        for place, button in enumerate((self.go_button, self.extract_button, self.map_button, self.fused_button)):
            buttons.addWidget(button, *divmod(place, 2))
        content = QWidget()
        layout = QVBoxLayout(content)
        layout.addLayout(form)
        layout.addWidget(self.notes)
        layout.addWidget(self.plot, 1)
        layout.addWidget(self.progress)
        layout.addWidget(self.said)
        layout.addLayout(buttons)
        layout.addWidget(self.status)
        layout.addWidget(self.calibration)
        self.set_content(content, EMPTY)

    @property
    def layer(self) -> Any:
        """The image layer that is looked at, or None."""
        return self.stack_choice.layer

    @property
    def frame_curve(self) -> FocusCurve | None:
        """The curve of the whole frame, once it is measured."""
        curve = self._known.get(None)
        return curve if isinstance(curve, FocusCurve) else None

    # --- what is measured ------------------------------------------------------------------------------------

    def _on_layer(self) -> None:
        """Turn to another layer, or to none."""
        self._layer_events.clear()
        self.show_content(self.layer is not None)
        if self.layer is not None:
            for name in ("data", "scale", "metadata"):
                self._layer_events.connect(getattr(self.layer.events, name), self._reload)
        self._reload()

    def _reload(self, _event: object = None) -> None:
        """Read anew what the layer is."""
        problem = ""
        try:
            self._stack = None if self.layer is None else stack_from_layer(self.layer)
        except ValueError as error:
            self._stack, problem = None, str(error)
        if self._stack is not None:
            self.calibration.show_stack(self._stack)
            self.notes.setText("<br>".join(f"• {note}" for note in self._stack.notes))
            self.notes.setVisible(bool(self._stack.notes))
        self._restart()
        self._show_status(problem)

    def _restart(self, _index: int = 0) -> None:
        """Forget what was measured; measure soon."""
        self._curves.stop()
        self._maps.stop()
        self._known.clear()
        self._regions = []
        self._show_status("")
        self._soon.start()
        self._show()

    @property
    def focus_stack(self) -> ImageStack | None:
        """The planes along Z at the current place along other axes; None where there is no Z."""
        stack = self._stack
        if stack is None or "Z" not in stack.axes:
            return None
        place = dict(zip(stack.plane_axes, plane_index(self._viewer, self.layer), strict=True))
        for letter in stack.plane_axes.replace("Z", ""):
            stack = stack.select(letter, place[letter])
        return stack

    def _measure(self) -> None:
        """Measure the curves that are not known yet, in the background."""
        stack = self.focus_stack
        self._regions = [] if stack is None else self._list_regions(stack.yx_shape)
        missing = [region.bounds for region in self._regions if region.bounds not in self._known]
        if stack is not None and missing:
            self._place = self._other_axes()
            self._planes = WatchedPlanes(stack.data, passes=len(missing))
            self._curves.start(measure, self._planes, stack.z_um, self.method_choice.currentData(), missing)
            self._clock.start()
        self._show()

    def _list_regions(self, yx_shape: tuple[int, int]) -> list[Region]:
        regions = [Region("frame", None, None)]
        shapes = self.region_choice.layer
        for number in range(0 if shapes is None else shapes.nshapes):
            bounds = bounds_px(shapes, number, self.layer, yx_shape)
            red, green, blue = (255 * shapes.edge_color[number][:3]).round().astype(int)
            regions.append(Region(f"region {number + 1}", f"#{red:02x}{green:02x}{blue:02x}", bounds))
        return regions

    def _on_curve(self, measured: tuple[Bounds | None, FocusCurve | str]) -> None:
        bounds, curve = measured
        self._known[bounds] = curve
        self._show()

    def _other_axes(self) -> tuple[int, ...]:
        """Return the current place along the axes that are not Z."""
        assert self._stack is not None
        place = zip(self._stack.plane_axes, plane_index(self._viewer, self.layer), strict=True)
        return tuple(index for letter, index in place if letter != "Z")

    # --- what is shown ---------------------------------------------------------------------------------------

    def _show(self, _event: object = None) -> None:
        """Show what is known."""
        stack = self._stack
        measured = [(region, self._known[region.bounds]) for region in self._regions if region.bounds in self._known]
        curves = [(region, curve) for region, curve in measured if isinstance(curve, FocusCurve)]
        unit = "z (µm)" if stack is None or stack.z_um is not None else "plane (z step not known)"
        self.plot.show_curves(
            [(c.z_um, c.values / (np.nanmax(c.values) or 1), region.colour, c.peak_um) for region, c in curves], unit
        )
        if stack is not None and "Z" not in stack.axes:
            self.said.setText(
                "These planes are not known to be a focus stack. If they are, set <i>First axis is</i> to depth below."
            )
            self.calibration.expand(animate=False)
        else:
            colours = {role: theme_colour(self._viewer, role) for role in ("text", "icon")}
            self.said.setText(describe(measured, colours | {"warning": warning_colour(self._viewer)}))
        for button in (self.go_button, self.extract_button):
            button.setEnabled(self.frame_curve is not None)
        for button in (self.map_button, self.fused_button):
            button.setEnabled(self.focus_stack is not None and not self._maps.running)
        self._show_position()
        self._show_progress()

    def _show_position(self) -> None:
        curve = self.frame_curve
        if curve is not None and self._stack is not None:
            index = plane_index(self._viewer, self.layer)[self._z_axis]
            self.plot.position.setValue(curve.z_um[index])

    def _show_progress(self) -> None:
        running = self._curves.running or self._maps.running
        if not running:
            self._clock.stop()
        if running and self._planes is not None:
            self.progress.setMaximum(self._planes.total)
            self.progress.setValue(self._planes.count)
        self.progress.setVisible(running)

    def _show_status(self, text: str) -> None:
        self.status.setText(text)
        self.status.setVisible(bool(text))

    def _on_step(self, _event: object = None) -> None:
        """Follow the slider; along another axis than Z it leads to another stack."""
        if self._stack is None or "Z" not in self._stack.axes:
            return
        if self._known and self._other_axes() != self._place:
            self._restart()
        else:
            self._show_position()

    # --- what is done ----------------------------------------------------------------------------------------

    @property
    def _z_axis(self) -> int:
        return 0 if self._stack is None else self._stack.plane_axes.index("Z")

    def go_to(self, plane: int) -> None:
        """Move the slider to a plane."""
        go_to_plane(self._viewer, self.layer, self._z_axis, plane)

    def go_to_sharpest(self) -> None:
        """Move the slider to the sharpest plane of the frame."""
        if self.frame_curve is not None:
            self.go_to(self.frame_curve.peak_index)

    def _go_to_z(self, z: float) -> None:
        if self.frame_curve is not None:
            self.go_to(int(np.argmin(np.abs(self.frame_curve.z_um - z))))

    def add_region(self) -> None:
        """Let the user draw rectangles, in the layer of regions or a new one."""
        shapes = self.region_choice.layer
        if shapes is None:
            shapes = self._viewer.add_shapes(
                ndim=2,
                name=f"{self.layer.name} regions",
                edge_color=PALETTE[0],
                face_color="transparent",
                edge_width=max(1, min(self._stack.yx_shape) / 150) if self._stack else 1,
                metadata={"cellrestore regions": True},
                **plane_place(self.layer),
            )
            self.region_choice.choose(shapes)
        self._viewer.layers.selection.active = shapes
        shapes.visible = True
        shapes.mode = "add_rectangle"
        self._show_status("Draw rectangles on the image.")

    def _on_region_layer(self) -> None:
        self._shape_events.clear()
        if (shapes := self.region_choice.layer) is not None:
            for name in ("data", "edge_color", "scale", "translate"):
                self._shape_events.connect(getattr(shapes.events, name), self._on_regions)
        self._on_regions()

    def _on_regions(self, _event: object = None) -> None:
        """Measure soon what is drawn; the next shape gets the next colour."""
        shapes = self.region_choice.layer
        if shapes is not None and "cellrestore regions" in shapes.metadata:
            with shapes.block_update_properties():
                shapes.current_edge_color = PALETTE[shapes.nshapes % len(PALETTE)]
            self._show_status("")
        self._soon.start()

    def extract_sharpest(self) -> None:
        """Add the sharpest plane of the frame as a layer."""
        stack, curve = self.focus_stack, self.frame_curve
        if stack is None or curve is None:
            return
        index = curve.peak_index
        plane = stack.select("Z", index)
        z_um = float(curve.z_um[index]) if curve.z_unit == "um" else None
        made = {"step": "sharpest plane", "plane": index, "z_um": z_um, "measure": curve.method}
        pixels = plane.replace(data=np.asarray(plane.data), provenance=made)
        self._add(pixels, f"sharpest (plane {index})", **self._display())

    def _start_map(self, kind: str) -> None:
        if (stack := self.focus_stack) is not None:
            self._planes = WatchedPlanes(stack.data, passes=1)
            self._maps.start(make_map, self._planes, stack, kind)
            self._clock.start()
            self._show()

    def _on_map(self, image: ImageStack) -> None:
        step = image.provenance["step"]
        if step == "all in focus":
            self._add(image, step, **self._display())
        elif step == "focus map":
            unit = "µm" if image.provenance["unit"] == "um" else "plane"
            show_scale(self._add(image, f"{step} ({unit})", colormap="turbo"))
        else:
            self._add(image, step, colormap="gray", contrast_limits=(0, 1), visible=False)

    def _add(self, image: ImageStack, what: str, **options: Any) -> Image:
        """Add a plane made of the current layer, in its place."""
        assert self._stack is not None
        image = image.replace(
            notes=(), provenance=made_from({self.layer.name: self._stack.provenance}, **image.provenance)
        )
        ((data, own, _),) = layer_data(image)
        name = f"{self.layer.name} {what}"
        return put_layer(self._viewer, data, {**own, **plane_place(self.layer), **options, "name": name})

    def _display(self) -> dict[str, Any]:
        """Return the options that show an image as the current layer shows it."""
        layer = self.layer
        if layer.rgb:
            return {}
        return {"colormap": layer.colormap, "contrast_limits": layer.contrast_limits, "gamma": layer.gamma}

    def _recalibrate(self, stack: ImageStack) -> None:
        """Give the layer, and regions that lie on it, another calibration."""
        layer, shapes = self.layer, self.region_choice.layer
        place = plane_index(self._viewer, layer)
        before = layer.scale[-2:].copy()
        self._layer_events.clear()
        calibrate(layer, stack)
        if shapes is not None and np.array_equal(shapes.scale[-2:], before):
            shapes.scale = [*shapes.scale[:-2], *layer.scale[-2:]]
        if not np.array_equal(layer.scale[-2:], before):
            self._viewer.reset_view()
        for axis, index in enumerate(place):
            go_to_plane(self._viewer, layer, axis, index)
        self._on_layer()


@dataclass(frozen=True)
class Region:
    """A part of the image that has a curve: its name, its colour (None: that of the text) and where it is."""

    name: str
    colour: str | None
    bounds: Bounds | None


class Stopped(Exception):
    """What reads planes is no longer wanted."""


class WatchedPlanes:
    """The planes of a stack as they are read: counts them, and reads no more once ``stop`` is set.

    The progress of a function that walks through a stack by itself, and the way to end it.
    """

    def __init__(self, data: Any, passes: int) -> None:
        self._data = data
        self.shape, self.ndim, self.dtype = data.shape, data.ndim, data.dtype
        self.count, self.total = 0, passes * len(data)
        self.stop = Event()

    def __len__(self) -> int:
        return len(self._data)

    def __getitem__(self, key: Any) -> Any:
        if self.stop.is_set():
            raise Stopped
        self.count += 1
        return self._data[key]


def measure(
    stop: Event, planes: Any, z_um: np.ndarray | None, method: str, regions: list[Bounds | None]
) -> Iterator[tuple[Bounds | None, FocusCurve | str]]:
    """Yield each region with its curve, or with why it has none."""
    planes.stop = stop
    for bounds in regions:
        roi = None if bounds is None else (slice(*bounds[:2]), slice(*bounds[2:]))
        try:
            yield bounds, focus_curve(planes, z_um, method, roi)
        except Stopped:
            return
        except (ValueError, TypeError) as error:
            yield bounds, str(error)


def make_map(stop: Event, planes: Any, stack: ImageStack, step: str) -> Iterator[ImageStack]:
    """Yield the images of a map, what each is in its provenance."""
    planes.stop = stop
    window = min(36, *stack.yx_shape)
    made = {"step": step, "window_px": window, "confidence_from": SURE, "unit": "plane" if stack.z_um is None else "um"}
    plane = stack.select("Z", 0).replace(provenance=made)
    try:
        if step == "all in focus":
            image, _ = all_in_focus(planes, stack.z_um, window)
            yield plane.replace(data=image)
        else:
            peak_um, confidence = focus_map(planes, stack.z_um, window)
            peak_um[confidence < SURE] = np.nan
            yield plane.replace(data=confidence, axes="YX", provenance={**made, "step": f"{step} confidence"})
            yield plane.replace(data=peak_um, axes="YX")
    except Stopped:
        return


def calibrate(layer: Image, stack: ImageStack) -> None:
    """Give a layer the calibration of a stack; its pixels and its place in the field stay."""
    letters = stack.axes.removesuffix("S")
    ((_, options, _),) = layer_data(stack.replace(axes=stack.axes.replace("C", "Q"), channels=()))
    layer.axis_labels = tuple(LABELS[letter] for letter in letters)
    layer.units, layer.scale = options["units"], options["scale"]
    starts = zip(letters, options["translate"], layer.translate, strict=True)
    layer.translate = [z if letter == "Z" else kept for letter, z, kept in starts]
    layer.metadata = {**layer.metadata, **options["metadata"]}


def has_planes(layer: Layer) -> bool:
    """Return whether a layer is an image with more than one plane."""
    return isinstance(layer, Image) and layer.ndim > 2


# --- words -------------------------------------------------------------------------------------------------


def describe(measured: list[tuple[Region, FocusCurve | str]], colours: dict[str, str]) -> str:
    """Return curves for a person, as rich text; the numbers of planes are links."""
    rows, minds, unit = "", "", ""
    for region, curve in measured:
        if isinstance(curve, str):
            minds += _mind(region.name, curve, colours["warning"])
            continue
        unit = "µm" if curve.z_unit == "um" else "planes"
        peak, low, high = _numbers(curve.peak_um, *curve.width_um, z=curve.z_um)
        name = f"<span style='color:{region.colour or colours['text']}'>●</span> {region.name}"
        link = f"<a style='color:{colours['text']}' href='{curve.peak_index}'>plane {curve.peak_index}</a>"
        rows += "<tr>" + "".join(f"<td>{cell}</td>" for cell in (name, link, peak, f"−{low} / +{high}")) + "</tr>"
        minds += "".join(_mind(region.name, explain(flag, curve), colours["warning"]) for flag in curve.flags)
    head = "".join(f"<td>{cell}</td>" for cell in ("", "sharpest", f"peak ({unit})", f"half width ({unit})"))
    table = f"<tr style='color:{colours['icon']}'>{head}</tr>{rows}" if rows else ""
    return f"<table cellspacing='0' cellpadding='4'>{table}</table>{minds}"


def _mind(name: str, text: str, colour: str) -> str:
    return f"<p style='color:{colour}'><b>{name}:</b> {text}.</p>"


def explain(flag: str, curve: FocusCurve) -> str:
    """Return what a flag of a curve means, in plain words."""
    unit = "µm" if curve.z_unit == "um" else "planes"
    words = {
        "one plane": "there is one plane only, nothing to compare it with",
        "flat": "no plane is sharper than the others; the field may be empty, or all of it out of focus",
        "peak at edge": f"the sharpest plane is the {'first' if curve.peak_index == 0 else 'last'} one recorded; focus "
        "may lie beyond",
        "jagged": "several planes come near the maximum; cells at different heights, or noise: draw a region around "
        "one",
        "contrast minimum at focus": f"contrast has a dip at {curve.minimum_um or 0:.2g} {unit}; unstained cells "
        "are hardly seen in focus, which is then there and not at the maximum",
    }
    if flag.endswith("not finite"):
        return f"{flag.removesuffix(' not finite')} has pixels that are not numbers (NaN) and was left out"
    return words.get(flag, flag)


def _numbers(*values: float, z: np.ndarray) -> list[str]:
    """Return positions with the digits that the distance of the planes tells; NaN was not reached."""
    step = np.median(np.abs(np.diff(z))) if len(z) > 1 else 1.0
    digits = int(np.clip(1 - np.floor(np.log10(step)), 0, 6))
    return ["?" if np.isnan(v) else f"{round(v, digits) + 0:.{digits}f}".replace("-", "−") for v in values]


def _text() -> QLabel:
    label = QLabel(wordWrap=True, textFormat=Qt.TextFormat.RichText)
    label.setTextInteractionFlags(
        Qt.TextInteractionFlag.TextSelectableByMouse | Qt.TextInteractionFlag.LinksAccessibleByMouse
    )
    return label
