"""Text in a narrow dock."""

from __future__ import annotations

import re

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFormLayout, QLabel


def breakable(text: str) -> str:
    """Return a text whose long paths can be broken.

    >>> breakable("/a_b").split(chr(0x200B))
    ['/', 'a_', 'b']
    """
    return re.sub(r"([/\\_])", "\\1\u200b", text)


def text_label(*, rich: bool = False, links: bool = False) -> QLabel:
    """Return a label of several lines, whose text can be selected and whose links, if any, can be followed."""
    label = QLabel(wordWrap=True, textFormat=Qt.TextFormat.RichText if rich else Qt.TextFormat.PlainText)
    followed = Qt.TextInteractionFlag.LinksAccessibleByMouse if links else Qt.TextInteractionFlag.NoTextInteraction
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse | followed)
    return label


def show_text(label: QLabel, text: str) -> None:
    """Show a text, or nothing at all where it is empty."""
    label.setText(breakable(text) if label.textFormat() == Qt.TextFormat.PlainText else text)
    label.setVisible(bool(text))


def align_labels(*forms: QFormLayout) -> None:
    """Let the fields of several forms, one below the other, begin at one place."""
    items = [form.itemAt(row, QFormLayout.ItemRole.LabelRole) for form in forms for row in range(form.rowCount())]
    labels = [item.widget() for item in items if item is not None]
    width = max(label.sizeHint().width() for label in labels)
    for label in labels:
        label.setMinimumWidth(width)
