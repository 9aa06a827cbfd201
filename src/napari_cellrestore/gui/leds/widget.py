"""LEDs widget: the LED array of a stack as a plan, what is wrong with its planes, and images made of all of them."""

from __future__ import annotations

from html import escape
from typing import Any

from napari.components import ViewerModel
from napari.layers import Layer
from qtpy.QtGui import QResizeEvent
from qtpy.QtWidgets import QFormLayout, QVBoxLayout, QWidget

from napari_cellrestore.gui.calibration_box import with_leading_axis
from napari_cellrestore.gui.choice import Connections, LayerChoice, LayersWatch, has_planes
from napari_cellrestore.gui.current import go_to_plane, plane_index, planes_in_view, provenance_of, show_scale
from napari_cellrestore.gui.focus.made_layers import put_plane
from napari_cellrestore.gui.layers import calibrate, stack_from_layer
from napari_cellrestore.gui.leds.aperture import ApertureField
from napari_cellrestore.gui.leds.checks_box import ChecksBox
from napari_cellrestore.gui.leds.composites import PHASE, composite_said, look_of
from napari_cellrestore.gui.leds.composites_box import CompositesBox
from napari_cellrestore.gui.leds.drawing import KIND_COLOURS, mark_colour
from napari_cellrestore.gui.leds.made_layers import put_selection
from napari_cellrestore.gui.leds.plan import LedPlan
from napari_cellrestore.gui.leds.selection_box import SelectionBox
from napari_cellrestore.gui.leds.table_box import TableBox
from napari_cellrestore.gui.leds.words import legend_said, plane_said
from napari_cellrestore.gui.panel import Panel
from napari_cellrestore.gui.text import text_label
from napari_cellrestore.gui.theme import warning_colour
from napari_cellrestore.illumination import LedChecks
from napari_cellrestore.leds import LedTable
from napari_cellrestore.stack import ImageStack

EMPTY = "Open an LED stack:<br>File > Open, or<br>File > Open Sample > Cell Restore."
HINT = "Click an LED, or arrow keys and E. Drag to select: Shift freehand, Ctrl adds, Alt removes."


class LedsWidget(Panel):
    """Dock widget with the LED array of a stack."""

    def __init__(self, napari_viewer: ViewerModel) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self._stack: ImageStack | None = None
        self._place: tuple[int, ...] = ()  # along other axes than A
        self._build()
        self.setMinimumWidth(250)

        self._layer_events = Connections(self)
        lasting = Connections(self)
        lasting.connect(napari_viewer.dims.events.current_step, self._on_step)
        lasting.connect(napari_viewer.events.theme, self._on_theme)
        LayersWatch(napari_viewer, self).changed.connect(self._show_azimuth)
        self.stack_choice.changed.connect(self._on_layer)
        self.na.valueChanged.connect(self._on_na)
        self.plan.picked.connect(self.go_to)
        self.plan.brushed.connect(self.selection.select)
        self.selection.changed.connect(lambda: self.plan.show_selection(self.selection.rows))
        self.selection.asked.connect(self.extract)
        self.checks.checked.connect(self._on_checks)
        self.checks.picked.connect(self.go_to)
        self.composites.made.connect(self._on_composite)
        self.composites.turned.connect(self._on_turn)
        self.table.given.connect(self.give_table)
        self.table.proposed.connect(self._show_proposal)
        self.table.said.connect(self._say)
        for box in (self.checks, self.composites):
            box.failed.connect(self._show_status)
        self.closed.connect(self._stop)
        self._on_theme()
        self._on_layer()

    # --- what is seen ----------------------------------------------------------------------------------------

    def _build(self) -> None:
        self.stack_choice = LayerChoice(self._viewer, has_planes)
        self.stack_choice.setMinimumContentsLength(9)  # for a narrow dock
        self.na = ApertureField()
        self.na_said, self.missing, self.legend = (text_label(rich=True) for _ in range(3))
        self.plan = LedPlan(self._viewer)
        self.plane_said, self.hint, self.status = (text_label(rich=True) for _ in range(3))
        self.hint.setText(HINT)
        self.selection, self.checks, self.table = SelectionBox(), ChecksBox(), TableBox()
        self.composites = CompositesBox(lambda: self.checks.saturation)
        self._form = QFormLayout()
        self._form.addRow("Stack", self.stack_choice)
        self._form.addRow("NA", self.na)
        self._of_table = [self.legend, self.plane_said, self.hint, self.selection, self.checks, self.composites]
        content = QWidget()
        layout = QVBoxLayout(content)
        layout.setContentsMargins(6, 9, 6, 9)  # all texts have room in a dock of 250 px, also beside a scroll bar
        layout.addLayout(self._form)
        for part in (self.na_said, self.missing):
            layout.addWidget(part)
        layout.addWidget(self.plan)
        for part in (*self._of_table, self.status, self.table):
            if part in (self.selection, self.checks, self.composites):
                part.layout().setContentsMargins(0, 8, 0, 0)
            layout.addWidget(part)
        layout.addStretch(1)
        self.set_content(content, EMPTY)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Give the plan the height that fits the width of the dock."""
        super().resizeEvent(event)
        self.plan.fit_width(self.width())

    @property
    def layer(self) -> Any:
        """The image layer that is looked at, or None."""
        return self.stack_choice.layer

    @property
    def _name(self) -> str:
        return "" if self.layer is None else str(self.layer.name)

    @property
    def leds(self) -> LedTable | None:
        """The LED table of the layer."""
        return None if self._stack is None else self._stack.leds

    @property
    def na_value(self) -> float | None:
        """Numerical aperture of the objective, None where it is not known."""
        return self.na.value() or None

    @property
    def led_stack(self) -> ImageStack | None:
        """The planes along A at the current place along other axes; None without a table."""
        stack = self._stack
        if stack is None or stack.leds is None:
            return None
        return planes_in_view(self._viewer, self.layer, stack, but="A")

    @property
    def _led_axis(self) -> int:
        """Which axis of the layer has the LEDs, or could have."""
        stack = self._stack
        return stack.plane_axes.index("A") if stack is not None and "A" in stack.axes else 0

    @property
    def _n(self) -> int:
        return 0 if self._stack is None else int(self._stack.data.shape[self._led_axis])

    # --- what it is of ---------------------------------------------------------------------------------------

    def _on_layer(self) -> None:
        """Turn to another layer, or to none."""
        self._layer_events.clear()
        self.show_content(self.layer is not None)
        if self.layer is not None:
            for name in ("data", "scale", "metadata", "axis_labels"):
                self._layer_events.connect(getattr(self.layer.events, name), self._reload)
        self._stack = None
        self._reload()

    def _reload(self, _event: object = None) -> None:
        """Read anew what the layer is."""
        problem = ""
        try:
            self._stack = None if self.layer is None else stack_from_layer(self.layer)
        except ValueError as error:
            self._stack, problem = None, str(error)
        self.na.take(self.leds, self._name)
        self._restart()
        self._show_status(problem)

    def _on_na(self, na: float) -> None:
        self.na.keep(self._name if na else "")
        if not na:
            self.na.take(self.leds, self._name)
        self._restart()

    def _restart(self) -> None:
        """Stop what is being made, forget what was found, and show the stack."""
        self._stop()
        self._show_status("")
        stack, leds = self.led_stack, self.leds
        self._place = self._other_axes()
        self.checks.show_stack(stack, self.na_value)
        self.composites.show_stack(stack, self.na_value)
        self.selection.show_table(leds, self.na_value)
        self.table.show_stack(leds, self._n)
        self._show()

    def _stop(self) -> None:
        self.checks.forget()
        self.composites.stop()

    def _other_axes(self) -> tuple[int, ...]:
        """Return the current place along the axes that are not A."""
        if self._stack is None or self.layer is None:
            return ()
        place = plane_index(self._viewer, self.layer)
        return tuple(index for axis, index in enumerate(place) if axis != self._led_axis)

    # --- what is shown ---------------------------------------------------------------------------------------

    def _show(self) -> None:
        """Show what is known."""
        stack, leds, na = self._stack, self.leds, self.na_value
        for part in self._of_table:
            part.setVisible(leds is not None)
        self._form.setRowVisible(self.na, leds is not None)
        self.missing.setVisible(stack is not None and leds is None)
        self.table.setVisible(stack is not None)
        if stack is not None and leds is None:
            self.missing.setText(_missing_said(stack, self._n))
            self.table.expand(animate=False)
        need = "Give the NA of the objective for checks and composites." if leds is not None and na is None else ""
        self.na_said.setText(self.na.origin or need)
        self.na_said.setVisible(bool(self.na_said.text()))
        self.plan.setVisible(leds is not None)
        if leds is None:
            self._show_proposal(self.table.proposal)
            return
        self._show_plan(leds)
        self.plan.show_selection(self.selection.rows)
        kinds = self._kinds(leds)
        self.legend.setText(legend_said(leds, kinds, KIND_COLOURS, na, missing=bool(self.plan.missing)))
        self._show_row()
        self._show_azimuth()

    def _show_plan(self, leds: LedTable) -> None:
        self.plan.show_marks({})
        self.plan.show_table(leds, self.na_value)

    def _show_proposal(self, leds: LedTable | None) -> None:
        """Show a table that is not given yet, where there is no other."""
        if self.leds is None:
            self.plan.setVisible(leds is not None)
            self.plan.show_selection(())
            self.plan.show_row(None)
            self.plan.show_table(leds, self.na_value)

    def _kinds(self, leds: LedTable) -> list[str]:
        na = self.na_value
        return list((leds if na is None else leds.with_kinds(na)).kind.tolist())

    def _show_row(self) -> None:
        """Mark the LED of the plane in view."""
        leds = self.leds
        if leds is None:
            return
        row = plane_index(self._viewer, self.layer)[self._led_axis]
        self.plan.show_row(row)
        self.plane_said.setText(plane_said(leds, row, self._kinds(leds)[row]))

    def _on_step(self, _event: object = None) -> None:
        """Follow the slider; along another axis than A it leads to another stack."""
        if self.leds is None:
            return
        if self._other_axes() != self._place:
            self._restart()
        else:
            self._show_row()

    def _phase_layer(self) -> Layer | None:
        """Return the layer of differential phase of this stack, if there is one."""
        name = "" if self.layer is None else f"{self.layer.name} {PHASE}"
        layer = self._viewer.layers[name] if name in self._viewer.layers else None
        return layer if layer is not None and provenance_of(layer).get("step") == PHASE else None

    def _show_azimuth(self) -> None:
        shown = self.leds is not None and self.na_value is not None and self._phase_layer() is not None
        self.plan.show_azimuth(float(self.composites.azimuth.value()) if shown else None)

    def _show_status(self, text: str) -> None:
        """Show why something could not be done."""
        self._say(text, False)

    def _say(self, text: str, well: bool) -> None:
        said = escape(text, quote=False)
        self.status.setText(said if well else f"<span style='color:{warning_colour(self._viewer)}'>{said}</span>")
        self.status.setVisible(bool(text))

    def _on_theme(self, _event: object = None) -> None:
        self.checks.show_colour(mark_colour(self._viewer))

    # --- what is done ----------------------------------------------------------------------------------------

    def go_to(self, row: int) -> None:
        """Move the slider to the plane of a row of the table."""
        if self.layer is not None and row < self._n:
            go_to_plane(self._viewer, self.layer, self._led_axis, row)

    def extract(self) -> None:
        """Add the planes selected as a layer."""
        stack, rows = self.led_stack, sorted(self.selection.rows)
        if stack is None or not rows:
            return
        made, is_new = put_selection(self._viewer, self.layer, stack, rows, self.selection.name)
        n = f"{len(rows)} {'plane' if len(rows) == 1 else 'planes'}"
        self._say(f"New layer {made.name}: {n}." if is_new else f"These {n} are in {made.name} already.", True)

    def give_table(self, leds: LedTable, said: str, na: float | None = None) -> None:
        """Give the layer a table, made by an NA or not; its first axis becomes that of LEDs where it has none."""
        stack, layer = self._stack, self.layer
        if stack is None or len(leds) != self._n:
            return
        place = plane_index(self._viewer, layer)
        lit = stack if "A" in stack.axes else with_leading_axis(stack, "A")
        notes = [note for note in lit.notes if "taken as" not in note and not note.startswith("LED table")]
        self._layer_events.clear()
        calibrate(layer, lit.replace(leds=leds, notes=(*notes, f"LED table: {said}")))
        for axis, index in enumerate(place):
            go_to_plane(self._viewer, layer, axis, index)
        if na is not None:
            self.na.keep(layer.name, na)
        self._on_layer()
        self._say(f"LED table: {said}, {len(leds)} rows.", True)
        self.table.collapse(animate=False)

    def _on_checks(self, checks: LedChecks | None) -> None:
        marks: dict[int, str] = {}
        for found in checks.findings if checks is not None else ():
            if found.plane is not None:
                marks.setdefault(found.plane, found.what)
        self.plan.show_marks(marks)

    def _on_composite(self, image: ImageStack) -> None:
        """Add an image made of the planes as a layer, or renew it."""
        stack = self.led_stack
        if stack is None:
            return
        new = f"{self.layer.name} {image.provenance['step']}" not in self._viewer.layers
        layer = put_plane(self._viewer, self.layer, stack, image, image.provenance["step"], **look_of(image))
        if new and image.provenance["step"] == PHASE:
            show_scale(layer)
        self._say(composite_said(image), True)
        self._show_azimuth()

    def _on_turn(self) -> None:
        """Renew the differential phase at another azimuth, if there is one."""
        if self._phase_layer() is not None:
            self.composites.ask(PHASE)
        self._show_azimuth()


def _missing_said(stack: ImageStack, n: int) -> str:
    """Return what a stack lacks to be an LED stack that is known."""
    if "A" in stack.axes:
        return f"It is not known which LED shone for which of the {n} planes: load or make a table with {n} rows."
    return (
        f"These planes are not known to be of LEDs. If they are, load or make a table with {n} rows: the first axis is "
        "then that of the LEDs."
    )
