"""A model's card for a person, as rich text."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from napari_cellrestore.card import ModelCard
from napari_cellrestore.model import Entry
from napari_cellrestore.model.words import facts, held_out


def card_text(entry: Entry, colour: str) -> str:
    """Return what is known of a model; of one that cannot be used the reason, in ``colour``."""
    if entry.card is None:
        return f"<p style='color:{colour}'><b>Cannot be used:</b> {escape(entry.problem)}</p>"
    card = entry.card
    parts = [f"<p><b>{escape(card.name)}</b></p>", f"<p>{escape(card.summary)}</p>" if card.summary else ""]
    parts += [_head("Not to be trusted with"), _limits(card)]
    for row in card.held_out:
        where, numbers = held_out(row)
        parts += [_head(f"On {where}"), _table(numbers)]
    if not card.held_out:
        parts += [_head("On held-out images"), "<p>It was not measured on images kept out of its training.</p>"]
    origin = {"weights": f"SHA-256 {card.weights_sha256}", "folder": str(entry.folder)}
    parts += [_head("Facts"), _table({**facts(card), **origin})]
    return "".join(parts)


def _head(text: str) -> str:
    return f"<p><b>{escape(text)}</b></p>"


def _limits(card: ModelCard) -> str:
    if not card.limits:
        return "<p>The card does not say; so compare its results with sharp images of your own.</p>"
    return f"<ul style='margin-left: -24px'>{''.join(f'<li>{escape(text)}</li>' for text in card.limits)}</ul>"


def _table(rows: Mapping[str, Any]) -> str:
    cells = (
        f"<tr><td style='padding-right: 8px'>{escape(str(name))}</td><td>{escape(str(value) or 'not stated')}</td></tr>"
        for name, value in rows.items()
    )
    return f"<table>{''.join(cells)}</table>"
