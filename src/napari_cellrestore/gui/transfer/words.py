"""What an aligned pair says, in words for the dock widget."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from napari_cellrestore.transfer import AlignedPair


def describe(pair: AlignedPair, warning: str) -> str:
    """Return an aligned pair as rich text; ``warning`` is the colour of what speaks against it."""
    found = pair.alignment
    head = "<b>Good pair</b>" if pair.good else _coloured(f"<b>Bad pair:</b> {escape(pair.reason)}", warning)
    rows = "".join(f"<tr><td>{name}</td><td>{value}</td></tr>" for name, value in _rows(pair))
    table = f"<table cellspacing='0' cellpadding='3'>{rows}</table>" if rows else ""
    notes = "".join(f"<p>{_coloured(_sentence(note), warning)}</p>" for note in found.notes)
    return f"<p>{head}</p>{table}{notes}"


def _rows(pair: AlignedPair) -> Iterable[tuple[str, str]]:
    found = pair.alignment
    if found.place is None:
        return
    yield "residual", f"<b>{found.residual_px:.2f} px</b>, 95 % below {found.residual95_px:.2f} px"
    beside = "beside the pixel sizes" if found.known else "target pixels for one of the input"
    yield "scale", f"{found.scale:.3f} {beside}"
    yield "rotation", f"{found.rotation_deg:+.2f}°".replace("-", "−")
    yield "points", f"{found.inliers} of {found.matches} agree, by {found.points_px:.2f} px"
    if pair.target is not None:
        rows, columns = pair.target.yx_shape
        yield "both show", f"{columns} × {rows} px of the {pair.keep}"


def _sentence(text: str) -> str:
    return escape(text[0].upper() + text[1:]) + "."


def _coloured(text: str, colour: str) -> str:
    return f"<span style='color:{colour}'>{text}</span>"
