"""Focus widget: which plane of a stack is sharp, in the whole frame and in regions."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFormLayout,
    QHBoxLayout,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_cellrestore.focus import MEASURES, FocusCurve
from napari_cellrestore.gui.background import Background
from napari_cellrestore.gui.calibration_box import CalibrationBox
from napari_cellrestore.gui.choice import Connections, LayerChoice, has_planes
from napari_cellrestore.gui.current import display_options, go_to_plane, plane_index, planes_in_view, show_scale
from napari_cellrestore.gui.focus.curves import measure
from napari_cellrestore.gui.focus.made_layers import put_plane, put_stack
from napari_cellrestore.gui.focus.maps import FocusMaps
from napari_cellrestore.gui.focus.prepare_box import PrepareBox
from napari_cellrestore.gui.focus.region_row import RegionRow
from napari_cellrestore.gui.focus.words import Region, describe
from napari_cellrestore.gui.layers import calibrate, stack_from_layer
from napari_cellrestore.gui.panel import Panel
from napari_cellrestore.gui.plot import CurvePlot
from napari_cellrestore.gui.regions import Bounds
from napari_cellrestore.gui.text import text_label
from napari_cellrestore.gui.theme import theme_colour, warning_colour
from napari_cellrestore.gui.watched import WatchedPlanes
from napari_cellrestore.stack import ImageStack

EMPTY = "Open a focus stack:<br>File > Open, or<br>File > Open Sample > Cell Restore."
#: Waiting for the end of a movement before computing.
PAUSE_MS = 150


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

        self._layer_events = Connections(self)
        self._curves = Background(self)
        self._curves.came.connect(self._on_curve)
        self._curves.failed.connect(self._show_status)
        self._curves.finished.connect(self._show)
        self._soon = QTimer(self, singleShot=True, interval=PAUSE_MS)
        self._soon.timeout.connect(self._measure)
        self._clock = QTimer(self, interval=100)
        self._clock.timeout.connect(self._show_progress)

        lasting = Connections(self)
        lasting.connect(napari_viewer.dims.events.current_step, self._on_step)
        lasting.connect(napari_viewer.events.theme, self._show)
        self.stack_choice.changed.connect(self._on_layer)
        self.method_choice.currentIndexChanged.connect(self._restart)
        self.regions.changed.connect(self._on_regions)
        self.calibration.changed.connect(self._recalibrate)
        self.plot.picked.connect(self._go_to_z)
        self.said.linkActivated.connect(lambda plane: self.go_to(int(plane)))
        self.regions.add_button.clicked.connect(self.add_region)
        self.go_button.clicked.connect(self.go_to_sharpest)
        self.extract_button.clicked.connect(self.extract_sharpest)
        self.dip_box.toggled.connect(self._show)
        self.dip_box.toggled.connect(self.prepare.prefer_neighbours)
        self.maps.made.connect(self._on_map)
        self.maps.changed.connect(self._show_progress)
        self.prepare.made.connect(self._on_prepared)
        for box in (self.maps, self.prepare):
            box.failed.connect(self._show_status)
        self._on_layer()

    # --- what is seen ----------------------------------------------------------------------------------------

    def _build(self) -> None:
        self.stack_choice = LayerChoice(self._viewer, has_planes)
        self.method_choice = QComboBox()
        for name, known in MEASURES.items():
            self.method_choice.addItem(name.replace("_", " "), name)
            tip = f"{known.formula}\n{known.reference}"
            self.method_choice.setItemData(self.method_choice.count() - 1, tip, Qt.ItemDataRole.ToolTipRole)
        self.regions = RegionRow(self._viewer)
        self.region_choice = self.regions.choice
        self.plot = CurvePlot(self._viewer, "focus measure / its maximum")
        self.plot.setToolTip("Click or drag the line: the slider follows")
        self.plot.setMinimumHeight(190)
        self.progress = QProgressBar(textVisible=False, maximumHeight=4)
        self.said, self.notes, self.status = (text_label(rich=True, links=True) for _ in range(3))
        self.go_button = QPushButton("Go to sharpest")
        self.extract_button = QPushButton("Extract sharpest plane")
        self.dip_box = QCheckBox()
        self.dip_box.setToolTip("Check it for unstained cells: the buttons then mean the plane of the dip")
        self.maps = FocusMaps(self._viewer)
        self.prepare = PrepareBox()
        self.calibration = CalibrationBox()

        form = QFormLayout()
        form.addRow("Stack", self.stack_choice)
        form.addRow("Measure", self.method_choice)
        form.addRow("Regions", self.regions)
        buttons = QHBoxLayout()
        for button in (self.go_button, self.extract_button):
            buttons.addWidget(button, 1)
        content = QWidget()
        layout = QVBoxLayout(content)
        layout.addLayout(form)
        layout.addWidget(self.notes)
        layout.addWidget(self.plot, 1)
        layout.addWidget(self.progress)
        layout.addWidget(self.said)
        layout.addWidget(self.dip_box)
        layout.addLayout(buttons)
        layout.addWidget(self.maps)
        layout.addWidget(self.status)
        layout.addWidget(self.prepare)
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

    @property
    def at_dip(self) -> bool:
        """Whether the user says that focus is where contrast has a dip."""
        curve = self.frame_curve
        return curve is not None and curve.minimum_index is not None and self.dip_box.isChecked()

    @property
    def focus_plane(self) -> int | None:
        """The plane in focus: the sharpest of the frame, or that of the dip if the user says so; None if not known."""
        curve = self.frame_curve
        return None if curve is None else curve.minimum_index if self.at_dip else curve.peak_index

    # --- what is measured ------------------------------------------------------------------------------------

    def _on_layer(self) -> None:
        """Turn to another layer, or to none."""
        self._layer_events.clear()
        blocked = self.dip_box.blockSignals(True)  # what it means is not known before the stack is
        self.dip_box.setChecked(False)
        self.dip_box.blockSignals(blocked)
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
        self.maps.stop()
        self.prepare.stop()
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
        return planes_in_view(self._viewer, self.layer, stack, but="Z")

    def _measure(self) -> None:
        """Measure the curves that are not known yet, in the background."""
        stack = self.focus_stack
        self._regions = [] if stack is None else self.regions.regions(self.layer, stack.yx_shape)
        missing = [region.bounds for region in self._regions if region.bounds not in self._known]
        if stack is not None and missing:
            self._place = self._other_axes()
            self._planes = WatchedPlanes(stack.data, passes=len(missing))
            self._curves.start(measure, self._planes, stack.z_um, self.method_choice.currentData(), missing)
            self._clock.start()
        self._show()

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
        self._show_focus_plane()
        self.maps.show_stack(self.focus_stack)
        self._show_position()
        self._show_progress()

    def _show_focus_plane(self) -> None:
        """Show which plane the buttons mean."""
        curve = self.frame_curve
        dip = None if curve is None else curve.minimum_index
        self.dip_box.setText(f"Focus is at the dip, plane {dip}")
        self.dip_box.setVisible(dip is not None)
        self.go_button.setText("Go to the dip" if self.at_dip else "Go to sharpest")
        self.extract_button.setText("Extract plane of the dip" if self.at_dip else "Extract sharpest plane")
        for button in (self.go_button, self.extract_button):
            button.setEnabled(curve is not None)
        self.prepare.show_stack(self.focus_stack, self.focus_plane)

    def _show_position(self) -> None:
        curve = self.frame_curve
        if curve is not None and self._stack is not None:
            index = plane_index(self._viewer, self.layer)[self._z_axis]
            self.plot.position.setValue(curve.z_um[index])

    def _show_progress(self) -> None:
        running = self._curves.running or self.maps.running
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
        """Move the slider to the plane of the frame that is in focus."""
        if self.focus_plane is not None:
            self.go_to(self.focus_plane)

    def _go_to_z(self, z: float) -> None:
        if self.frame_curve is not None:
            self.go_to(int(np.argmin(np.abs(self.frame_curve.z_um - z))))

    def add_region(self) -> None:
        """Let the user draw rectangles, in the layer of regions or a new one."""
        self.regions.draw(self.layer, self._stack.yx_shape if self._stack else None)
        self._show_status("Draw rectangles on the image.")

    def _on_regions(self) -> None:
        """Measure soon what is drawn."""
        self._show_status("")
        self._soon.start()

    def extract_sharpest(self) -> None:
        """Add the plane of the frame that is in focus as a layer."""
        stack, curve, index = self.focus_stack, self.frame_curve, self.focus_plane
        if stack is None or curve is None or index is None:
            return
        kind = "dip" if self.at_dip else "sharpest"
        plane = stack.select("Z", index)
        z_um = float(curve.z_um[index]) if curve.z_unit == "um" else None
        made = {"step": f"{kind} plane", "plane": index, "z_um": z_um, "measure": curve.method}
        pixels = plane.replace(data=np.asarray(plane.data), provenance=made)
        self._put(pixels, f"{kind} (plane {index})", **display_options(self.layer))

    def _on_map(self, image: ImageStack) -> None:
        step = image.provenance["step"]
        if step == "all in focus":
            name = f"{step} by {image.provenance['by']}" if "by" in image.provenance else step
            self._put(image, name, **display_options(self.layer))
        elif step == "source plane":
            last = max(image.provenance["planes"] - 1, 1)
            self._put(image, step, colormap="turbo", contrast_limits=(0, last), visible=False)
        elif step == "focus map":
            unit = "µm" if image.provenance["unit"] == "um" else "plane"
            show_scale(self._put(image, f"{step} ({unit})", colormap="turbo"))
        else:
            self._put(image, step, colormap="gray", contrast_limits=(0, 1), visible=False)

    def _put(self, image: ImageStack, what: str, **options: Any) -> Image:
        assert self._stack is not None
        return put_plane(self._viewer, self.layer, self._stack, image, what, **options)

    def _on_prepared(self, made: ImageStack) -> None:
        """Add a stack made of the current one and turn to it: the next step goes on from there."""
        assert self._stack is not None
        first, end = made.provenance["planes"]
        place, at_dip = plane_index(self._viewer, self.layer)[self._z_axis], self.at_dip
        self.stack_choice.choose(put_stack(self._viewer, self.layer, self._stack, made))
        self.dip_box.setChecked(at_dip)
        self.go_to(min(max(place, first), end - 1) - first)

    def _recalibrate(self, stack: ImageStack) -> None:
        """Give the layer, and regions that lie on it, another calibration."""
        layer, shapes = self.layer, self.regions.shapes
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
