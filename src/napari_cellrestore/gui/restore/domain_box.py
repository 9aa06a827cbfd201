"""Does the model know such an image? Each property of it beside what the model was trained on."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from threading import Event
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QSizePolicy, QToolButton, QVBoxLayout, QWidget

from napari_cellrestore.card import ModelCard
from napari_cellrestore.defocus_prediction import predicted_defocus_um
from napari_cellrestore.domain import AS_TRAINED, OUTSIDE, UNKNOWN, Domain, judge_domain, with_defocus
from napari_cellrestore.gui.background import Background
from napari_cellrestore.restore import Plan
from napari_cellrestore.stack import ImageStack

SIGNS = {AS_TRAINED: "✓", OUTSIDE: "!", UNKNOWN: "?"}
ASKING = "being predicted…"


class DomainBox(QWidget):
    """A verdict that opens to a list; found in the background."""

    def __init__(self) -> None:
        super().__init__()
        self.head = QToolButton(checkable=True, toolButtonStyle=Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.head.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.text = QLabel(wordWrap=True, textFormat=Qt.TextFormat.RichText, visible=False)
        self.text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.head.toggled.connect(self._open)
        self._open(False)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.head)
        layout.addWidget(self.text)
        self._asked: tuple[Any, ModelCard, Plan] | None = None
        self.domain: Domain | None = None
        self.judging = Background(self)
        self.judging.came.connect(self._show)
        self.judging.failed.connect(self._say)

    def _open(self, opened: bool) -> None:
        self.head.setArrowType(Qt.ArrowType.DownArrow if opened else Qt.ArrowType.RightArrow)
        self.text.setVisible(opened)

    def ask(self, stack: ImageStack, card: ModelCard, plan: Plan) -> None:
        """Judge in the background, first by what the pixels say, then by the defocus that is predicted."""
        self.setVisible(True)
        if self._asked and self._asked[0] is stack.data and self._asked[1:] == (card, plan):
            return  # the same pixels, and as far as the plan looked at them they say the same
        self._asked = stack.data, card, plan
        self.domain = None
        self.text.clear()
        self._say("…")
        self.judging.start(_judged, stack, card, plan)

    def clear(self) -> None:
        """Show nothing."""
        self.judging.stop()
        self._asked = self.domain = None
        self.setVisible(False)

    def _show(self, domain: Domain) -> None:
        self.domain = domain
        self.text.setText(domain_said(domain))
        self._say(headline(domain))

    def _say(self, verdict: str) -> None:
        self.head.setText(f"Does the model know this? {verdict}")
        self.head.setToolTip(self.head.text())


def _judged(_stop: Event, stack: ImageStack, card: ModelCard, plan: Plan) -> Iterator[Domain]:
    domain = judge_domain(stack, card, predicted_defocus_um=ASKING, intensity=plan.intensity, planes=plan.planes)
    yield domain
    yield with_defocus(domain, card, predicted_defocus_um(stack, intensity=plan.intensity))


def headline(domain: Domain) -> str:
    """Return the verdict in a few words."""
    outside = [trait.what for trait in domain.traits if trait.verdict == OUTSIDE]
    if outside:
        return "No: " + ", ".join(outside)
    return "Yes" if domain.verdict == AS_TRAINED else "Not known"


def domain_said(domain: Domain) -> str:
    """Return a line for each property as rich text, which a narrow dock can break."""
    lines = []
    for trait in domain.traits:
        what = f"{SIGNS[trait.verdict]} <b>{escape(trait.what)}</b>"
        said = [escape(trait.image)] if trait.image else []
        if trait.verdict == OUTSIDE and trait.distance_said:
            said.append(f"{escape(trait.distance_said)}")
        if trait.verdict == UNKNOWN and trait.said:
            said.append(escape(trait.said))
        if trait.card and not (trait.verdict == UNKNOWN and trait.minds):  # a warning names both numbers already
            said.append(f"trained on {escape(trait.card)}")
        lines.append(f"{what} {'; '.join(said)}")
    signs = " &nbsp; ".join(f"{sign} {verdict}" for verdict, sign in SIGNS.items())
    return f"<p>{'<br>'.join(lines)}</p><p>{signs}</p>"
