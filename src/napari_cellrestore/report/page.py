"""A report as a page for the browser and as pages of A4, with the same figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path

from napari_cellrestore.metrics import METRICS
from napari_cellrestore.report.content import Report, Scores
from napari_cellrestore.report.curve import curve_said, focus_plot
from napari_cellrestore.report.html import bullets, document, facts_table, figure
from napari_cellrestore.report.html import table as html_table
from napari_cellrestore.report.maps import colour_map, trust_map, trust_said
from napari_cellrestore.report.pictures import crop, pictures_side_by_side
from napari_cellrestore.report.sheet import MUTED, WIDTH_MM, Block, below, beside, notice, paragraph, table, write_pdf
from napari_cellrestore.report.words import MADE_BY

_WISHES = {"lower": "low", "higher": "high", "one": "1"}
_BETTER = "✓"
DOMAIN_HEADING = "Is this image what the model knows?"


def figures(report: Report, map_mm: float = 90, picture_mm: float = 110) -> dict[str, Block]:
    """Return the figures by the name of their file; maps and curve are ``map_mm`` wide."""
    scale = report.scale
    blocks = {
        "pictures": pictures_side_by_side(
            report.pictures, scale, WIDTH_MM, picture_mm, caption=_picture_caption(report), box=report.detail
        )
    }
    if report.detail is not None:
        blocks["details"] = pictures_side_by_side(
            crop(report.pictures, report.detail), scale, WIDTH_MM, picture_mm, caption=_detail_caption(report)
        )
    for name, content in report.maps.items():
        blocks[name] = colour_map(content, scale, map_mm, picture_mm)
    if report.trust is not None:
        restored = next(picture.pixels for picture in report.pictures if picture.name == "Restored")
        blocks["trust"] = trust_map(restored, report.trust, scale, map_mm, picture_mm)
    if report.curve is not None:
        blocks["focus_curve"] = focus_plot(report.curve, report.planes, map_mm, picture_mm)
    return blocks


def _picture_caption(report: Report) -> str:
    box = "" if report.detail is None else " The box is the detail."
    return f"{report.shown} {report.scale.size_said.capitalize()}.{box}"


def _detail_caption(report: Report) -> str:
    y, x = report.detail or (slice(0, 1), slice(0, 1))
    differs = report.maps["fpw"].limits[1] > 0
    why = f", where the focus of restored and {report.basis} differs most" if differs else ""
    place = f"rows {y.start} to {y.stop - 1}, columns {x.start} to {x.stop - 1}"
    return f"Detail: {place}{why}. {report.scale.size_said.capitalize()}."


# --- scores as text ----------------------------------------------------------------------------------------


def score_rows(scores: Scores) -> Iterator[tuple[tuple[str, ...], int | None]]:
    """Yield the words of each row, and which of them is the better value; the first row is the header."""
    judged = scores.compared_with == "reference"
    yield ("metric", *(f"{name}" for name in scores.columns), "unit", *(["best is"] if judged else [])), None
    for name, values in scores.rows.items():
        metric, better = METRICS[name], scores.better(name)
        column = scores.columns.index(better) if better in scores.columns else None
        words = [_number(value) + (f" {_BETTER}" if n == column else "") for n, value in enumerate(values)]
        wish = [_WISHES[metric.better]] if judged else []
        yield (metric.label, *words, metric.unit, *wish), None if column is None else column + 1


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    if 1e4 <= abs(value) < 1e7:
        return f"{value:.0f}"
    words = f"{value:.4g}"
    return words if words != "1" or value == 1 else f"{value:.4f}"  # a similarity of 1 is said of equal images only


# --- pages of A4 -------------------------------------------------------------------------------------------


def write_pages(report: Report, path: Path) -> int:
    """Write the report as PDF; return the number of pages, one or two."""
    info = {"Title": report.title, "Subject": report.origin, "Creator": MADE_BY}
    return write_pdf(lambda picture_mm: _page(report, picture_mm), path, f"{report.title} – {report.made}", info)


def _page(report: Report, picture_mm: float) -> list[Block]:
    """Return the blocks of a page, from top to bottom, with pictures of a height."""
    count = len(report.maps) + (report.curve is not None) + (report.trust is not None)
    map_mm = (WIDTH_MM - 5 * (count - 1)) / count if count > 1 else WIDTH_MM / 2
    blocks = figures(report, map_mm, picture_mm)
    pictures = [blocks.pop(name) for name in ("pictures", "details") if name in blocks]
    row = beside(*pictures)
    if len(pictures) > 1 and row.width_mm <= WIDTH_MM:  # narrow pictures leave room for larger maps
        pictures, blocks = [row], figures(report, map_mm, max(picture_mm, 50))
    head = below(
        paragraph(report.title, WIDTH_MM, 13, bold=True, max_lines=2),
        notice(report.origin, report.warnings, WIDTH_MM),
    )
    maps = [block for name, block in blocks.items() if name not in ("pictures", "details")]
    return [head, *pictures, beside(*maps, gap_mm=5), _tables(report)]


def _tables(report: Report) -> Block:
    left_mm, gap_mm, key_mm = 86.0, 5.0, 21.0
    right_mm = WIDTH_MM - left_mm - gap_mm
    notes = below(*(paragraph(note, left_mm, 6, colour=MUTED, max_lines=4) for note in report.notes[:6]), gap_mm=0.6)
    settings = "; ".join(f"{name} {value}" for name, value in report.settings.items()) or "no plan came with the image"
    facts = [*report.facts.items(), ("settings", settings)]
    return beside(
        below(*(_score_table(scores, left_mm) for scores in report.scores), notes),
        below(
            table("How it was made", facts, (key_mm, right_mm - key_mm), header=False, size_pt=6),
            *_domain_table(report, right_mm),
        ),
        gap_mm=gap_mm,
    )


def _domain_table(report: Report, width_mm: float) -> list[Block]:
    if report.domain is None:
        return []
    widths = (18.0, 20.0, 20.0, width_mm - 58.0)
    rows, fits = report.domain.table(doubts_only=True), ", ".join(report.domain.as_trained)
    words = paragraph(f"As the images it was trained on: {fits or 'nothing'}.", width_mm, 6.5)
    if len(rows) == 1:
        return [below(paragraph(DOMAIN_HEADING, width_mm, 8, bold=True), words, gap_mm=0.8)]
    return [below(table(DOMAIN_HEADING, rows, widths, size_pt=6), words, gap_mm=0.8)]


def _score_table(scores: Scores, width_mm: float) -> Block:
    words, bold = [], set()
    for number, (row, better) in enumerate(score_rows(scores)):
        words.append(row)
        bold |= {(number, better)} if better is not None else set()
    first, unit, wish = 23.0, 18.0, 11.0
    last = [unit, wish][: len(words[0]) - len(scores.columns) - 1]
    value = (width_mm - first - sum(last)) / len(scores.columns)
    widths = [first, *[value] * len(scores.columns), *last]
    return below(
        table(scores.heading, words, widths, bold=frozenset(bold)),
        paragraph(scores.remark, width_mm, 6, colour=MUTED),
        gap_mm=0.8,
    )


# --- page for the browser ----------------------------------------------------------------------------------

_BODY = """<div class="notice">
<p>{origin}</p>
{warnings}
</div>
{pictures}
<div class="maps">
{maps}
</div>
{domain}
{scores}
<h2>Notes</h2>
{notes}
<h2>How it was made</h2>
{facts}
<h2>Settings</h2>
{settings}
<p class="muted">Numbers: metrics.csv. Everything that is known of the images: provenance.json. Pages to print: report.pdf.</p>
"""


def page_html(report: Report, blocks: Mapping[str, Block]) -> str:
    """Return the page; it lies in the folder of the figures."""
    drawn = {name: _figure(name, block, report) for name, block in blocks.items()}
    pictures = [drawn.pop(name) for name in ("pictures", "details") if name in drawn]
    body = _BODY.format(
        origin=escape(report.origin),
        warnings=bullets(report.warnings),
        pictures="\n".join(pictures),
        maps="\n".join(drawn.values()),
        domain=_domain_html(report),
        scores="\n".join(_score_html(scores) for scores in report.scores),
        notes=bullets(report.notes),
        facts=facts_table(report.facts),
        settings=facts_table(report.settings) if report.settings else "<p>No plan came with the restored image.</p>",
    )
    return document(report.title, body)


def _domain_html(report: Report) -> str:
    return "" if report.domain is None else f"<h2>{DOMAIN_HEADING}</h2>\n{html_table(report.domain.table())}"


def _figure(name: str, block: Block, report: Report) -> str:
    return figure(f"{name}.png", block.width_mm, _alternative(name, report))


def _alternative(name: str, report: Report) -> str:
    """Return a figure in words."""
    shown = ", ".join(picture.name + (f" ({picture.mark})" if picture.mark else "") for picture in report.pictures)
    if name in report.maps:
        return f"{report.maps[name].name}. {report.maps[name].caption}"
    if name == "trust":
        return trust_said(report.trust) if report.trust is not None else ""
    if name == "focus_curve":
        return curve_said(report.curve, report.planes) if report.curve is not None else ""
    return f"{shown}. {_detail_caption(report) if name == 'details' else _picture_caption(report)}"


def _score_html(scores: Scores) -> str:
    (header, _), *rows = score_rows(scores)
    names = list(scores.rows)
    head = "".join(f"<th>{escape(words)}</th>" for words in (*header, "what it is"))
    lines = []
    for name, (row, better) in zip(names, rows, strict=True):
        cells = [f"<td>{escape(row[0])}</td>"]
        for column, words in enumerate(row[1:], 1):
            kind = ' class="better"' if column == better else ""
            cells.append(f"<td{kind}>{escape(words)}</td>")
        lines.append(f"<tr>{''.join(cells)}<td>{escape(METRICS[name].help)}</td></tr>")
    body = "\n".join(lines)
    return (
        f'<h2>{escape(scores.heading)}</h2>\n<div class="scroll"><table>\n<thead><tr>{head}</tr></thead>\n'
        f'<tbody>\n{body}\n</tbody>\n</table></div>\n<p class="muted">{escape(scores.remark)}</p>'
    )
