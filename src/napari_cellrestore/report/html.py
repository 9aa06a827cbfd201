"""Parts of a page for the browser; everything that comes from a file or a user is escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

#: Pixels of the browser that a millimetre of a figure takes.
_SCREEN_PX_PER_MM = 5.7

_STYLE = """
:root { color-scheme: light; }
body { margin: 0 auto; padding: 1.5rem; max-width: 70rem; background: #fff; color: #1a1a1a;
  font: 16px/1.5 "DejaVu Sans", system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { margin: 0 0 1rem; font-size: 1.6rem; line-height: 1.25; }
h2 { margin: 2rem 0 .5rem; font-size: 1.15rem; }
.notice { padding: .75rem 1rem; background: #fff4d6; border-left: .4rem solid #e69f00; }
.notice p, .notice ul { margin: 0; }
.notice p { font-weight: bold; }
figure { margin: 1rem 0 0; }
.scroll table { min-width: 40rem; }
.scroll td, .scroll th { overflow-wrap: normal; }
img { display: block; max-width: 100%; height: auto; }
.maps { display: grid; grid-template-columns: repeat(auto-fit, minmax(20rem, 1fr)); gap: 1rem; align-items: start; }
.scroll { overflow-x: auto; }
table { width: 100%; border-collapse: collapse; font-size: .9rem; }
th, td { padding: .3rem .6rem .3rem 0; border-top: 1px solid #c8c8c8; text-align: left; vertical-align: top; }
tr:last-child > * { border-bottom: 1px solid #c8c8c8; }
th { font-weight: normal; color: #555; }
th[scope=row] { width: 12rem; }
td { font-variant-numeric: tabular-nums; }
td.better { font-weight: bold; }
.muted { color: #555; font-size: .9rem; }
@media print { body { max-width: none; padding: 0; font-size: 11px; } figure, table, .notice { break-inside: avoid; } }
"""

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="napari-cellrestore">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<h1>{title}</h1>
{body}</body>
</html>
"""


def text(words: str) -> str:
    """Return words as HTML."""
    return escape(words)


def document(title: str, body: str) -> str:
    """Return a whole page; ``body`` is HTML."""
    return _PAGE.format(title=escape(title), style=_STYLE, body=body)


def figure(file: str, width_mm: float, words: str) -> str:
    """Return a picture that lies beside the page; ``words`` say what it shows."""
    width_px = round(width_mm * _SCREEN_PX_PER_MM)
    return f'<figure><img src="{escape(file)}" width="{width_px}" alt="{escape(words)}"></figure>'


def bullets(texts: Sequence[str]) -> str:
    """Return a list, nothing where there are no texts."""
    return "<ul>\n" + "\n".join(f"<li>{escape(text)}</li>" for text in texts) + "\n</ul>" if texts else ""


def facts_table(facts: Mapping[str, str]) -> str:
    """Return a table of names and what they are."""
    rows = "\n".join(f'<tr><th scope="row">{escape(k)}</th><td>{escape(v)}</td></tr>' for k, v in facts.items())
    return f"<table>\n<tbody>\n{rows}\n</tbody>\n</table>"


def table(rows: Sequence[Sequence[str]]) -> str:
    """Return a table whose first row is the header; wide ones scroll."""
    head, *body = ("".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in row) for tag, row in _tagged(rows))
    lines = "\n".join(f"<tr>{line}</tr>" for line in body)
    return f'<div class="scroll"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{lines}\n</tbody>\n</table></div>'


def _tagged(rows: Sequence[Sequence[str]]) -> list[tuple[str, Sequence[str]]]:
    return [("th" if number == 0 else "td", row) for number, row in enumerate(rows)]
