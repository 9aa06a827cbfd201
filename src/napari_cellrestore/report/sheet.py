"""Sheets: blocks of text and pictures in millimetres, drawn alike into picture files and on A4 pages.

Only matplotlib's ``Figure`` on its own canvas is used, never pyplot: nothing global is changed, so sheets can be made
in any thread and inside napari. Every text is set in DejaVu Sans, which matplotlib brings along.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.patches import Rectangle
from matplotlib.textpath import TextToPath

FONT = "DejaVu Sans"
INK, MUTED, RULE = "#1a1a1a", "#555555", "#c8c8c8"
#: Colour of everything that says "computed" or "take care"; black text on it has a contrast of 9 to 1.
MARK, NOTICE = "#e69f00", "#fff4d6"

PAGE_MM, MARGIN_MM = (210.0, 297.0), 12.0
WIDTH_MM = PAGE_MM[0] - 2 * MARGIN_MM
PNG_DPI = 300
_PAGE_GAP_MM = 3.5
_MM_PER_PT = 25.4 / 72


# --- blocks on sheets --------------------------------------------------------------------------------------


class Sheet:
    """A figure on which things are placed in millimetres from its top left corner."""

    def __init__(self, width_mm: float, height_mm: float) -> None:
        self.size_mm = (width_mm, height_mm)
        self.figure = Figure(figsize=(width_mm / 25.4, height_mm / 25.4), facecolor="white")
        FigureCanvasAgg(self.figure)

    def _place(self, left: float, top: float, width: float, height: float) -> tuple[float, float, float, float]:
        across, down = self.size_mm
        return left / across, 1 - (top + height) / down, width / across, height / down

    def axes(self, left: float, top: float, width: float, height: float, **options: Any) -> Axes:
        """Return axes that fill a rectangle."""
        axes = self.figure.add_axes(self._place(left, top, width, height), **options)
        axes.grid(visible=False)  # whatever a user's settings say
        return axes

    def box(self, left: float, top: float, width: float, height: float, **options: Any) -> None:
        """Draw a rectangle, by default filled and without an edge."""
        x, y, across, down = self._place(left, top, width, height)
        self.figure.add_artist(Rectangle((x, y), across, down, **{"linewidth": 0, "zorder": 2, **options}))

    def text(
        self, left: float, middle: float, words: str, size_pt: float, *, bold: bool = False, **options: Any
    ) -> None:
        """Write one line; ``middle`` is the height of its middle, ``left`` its start unless ``ha`` says otherwise."""
        x, y, _, _ = self._place(left, middle, 0, 0)
        options = {"ha": "left", "va": "center_baseline", "color": INK, "zorder": 3, **options}
        self.figure.text(
            x, y, printable(words), fontproperties=font(size_pt, bold), parse_math=False, usetex=False, **options
        )


@dataclass(frozen=True)
class Block:
    """Something of a known size that draws itself on a sheet, given the place of its top left corner."""

    width_mm: float
    height_mm: float
    draw: Callable[[Sheet, float, float], None]


def beside(*blocks: Block, gap_mm: float = 6) -> Block:
    """Return blocks from left to right, tops aligned."""

    def draw(sheet: Sheet, left: float, top: float) -> None:
        for block in blocks:
            block.draw(sheet, left, top)
            left += block.width_mm + gap_mm

    width_mm = sum(block.width_mm for block in blocks) + gap_mm * (len(blocks) - 1)
    return Block(width_mm, max(block.height_mm for block in blocks), draw)


def below(*blocks: Block, gap_mm: float = 3) -> Block:
    """Return blocks from top to bottom, left edges aligned."""

    def draw(sheet: Sheet, left: float, top: float) -> None:
        for block in blocks:
            block.draw(sheet, left, top)
            top += block.height_mm + gap_mm

    height_mm = sum(block.height_mm for block in blocks) + gap_mm * (len(blocks) - 1)
    return Block(max(block.width_mm for block in blocks), height_mm, draw)


def write_png(block: Block, path: Path, description: str) -> None:
    """Write a block as a picture with a narrow margin."""
    sheet = Sheet(block.width_mm + 6, block.height_mm + 6)
    block.draw(sheet, 3, 3)
    sheet.figure.savefig(path, format="png", dpi=PNG_DPI, facecolor="white", metadata={"Description": description})


def write_pdf(build: Callable[[float], Sequence[Block]], path: Path, footer: str, info: dict[str, str]) -> int:
    """Write blocks on A4 pages with pictures as high as lets all fit on one page; return the number of pages.

    ``build`` returns the blocks for a greatest height of pictures in millimetres.
    """
    for picture_mm in range(80, 35, -1):
        pages = _pages(build(picture_mm))
        if len(pages) == 1:
            break
    else:
        pages = _pages(build(62))
    with PdfPages(path, metadata=info) as pdf:
        for number, blocks in enumerate(pages, 1):
            sheet = Sheet(*PAGE_MM)
            below(*blocks, gap_mm=_PAGE_GAP_MM).draw(sheet, MARGIN_MM, MARGIN_MM)
            middle = PAGE_MM[1] - MARGIN_MM / 2
            sheet.text(MARGIN_MM, middle, shorten(footer, WIDTH_MM - 20, 6), 6, color=MUTED)
            sheet.text(PAGE_MM[0] - MARGIN_MM, middle, f"{number} / {len(pages)}", 6, color=MUTED, ha="right")
            pdf.savefig(sheet.figure, dpi=PNG_DPI, facecolor="white")
    return len(pages)


def _pages(blocks: Sequence[Block]) -> list[list[Block]]:
    """Return the blocks of each page, in order."""
    pages: list[list[Block]] = [[]]
    room = PAGE_MM[1] - 2 * MARGIN_MM
    for block in blocks:
        if pages[-1] and below(*pages[-1], block, gap_mm=_PAGE_GAP_MM).height_mm > room:
            pages.append([])
        pages[-1].append(block)
    return pages


# --- text --------------------------------------------------------------------------------------------------


def font(size_pt: float, bold: bool = False) -> FontProperties:
    """Return the one font, in a size."""
    return FontProperties(family=FONT, size=size_pt, weight="bold" if bold else "normal")


@lru_cache(maxsize=1)
def _letters() -> frozenset[int]:
    return frozenset(get_font(findfont(font(10))).get_charmap())


def printable(words: str) -> str:
    """Return text in one line with what the font cannot show replaced by a question mark on black."""
    letters = _letters()
    return "".join(letter if ord(letter) in letters else "\ufffd" for letter in " ".join(words.split()))


@lru_cache(maxsize=8192)
def text_width_mm(words: str, size_pt: float, bold: bool = False) -> float:
    """Return how wide a line is."""
    width_pt, _, _ = TextToPath().get_text_width_height_descent(printable(words), font(size_pt, bold), ismath=False)
    return float(width_pt) * _MM_PER_PT


@lru_cache(maxsize=1024)
def wrap(words: str, width_mm: float, size_pt: float, bold: bool = False) -> tuple[str, ...]:
    """Return text in lines that fit a width; a word that is too long (a path) is broken."""
    lines: list[str] = []
    line = ""
    for word in printable(words).split():
        longer = f"{line} {word}" if line else word
        if text_width_mm(longer, size_pt, bold) <= width_mm:
            line = longer
            continue
        lines += [line] if line else []
        while text_width_mm(word, size_pt, bold) > width_mm and len(word) > 1:
            kept = _fitting(word, width_mm, size_pt, bold)
            lines.append(word[:kept])
            word = word[kept:]
        line = word
    return (*lines, line) if line else tuple(lines)


def shorten(words: str, width_mm: float, size_pt: float, bold: bool = False) -> str:
    """Return text in one line that fits a width, with its middle left out where it must be."""
    words = printable(words)
    if text_width_mm(words, size_pt, bold) <= width_mm:
        return words
    kept = _fitting(words, width_mm - text_width_mm("…", size_pt, bold), size_pt, bold)
    while kept > 1 and text_width_mm(_middle_out(words, kept), size_pt, bold) > width_mm:
        kept -= 1
    return _middle_out(words, kept)


def _middle_out(words: str, kept: int) -> str:
    return f"{words[: kept // 2]}…{words[len(words) - (kept - kept // 2) :]}"


def _fitting(words: str, width_mm: float, size_pt: float, bold: bool) -> int:
    """Return how many letters from the start fit a width; at least 1."""
    low, high = 1, len(words)
    while low < high:
        middle = (low + high + 1) // 2
        if text_width_mm(words[:middle], size_pt, bold) <= width_mm:
            low = middle
        else:
            high = middle - 1
    return low


def paragraph(
    words: str,
    width_mm: float,
    size_pt: float = 7,
    *,
    bold: bool = False,
    colour: str = INK,
    max_lines: int | None = None,
    rest: str = "…",
) -> Block:
    """Return wrapped text; beyond ``max_lines`` it is cut and ``rest`` is its last line."""
    lines = wrap(words, width_mm, size_pt, bold)
    if max_lines is not None and len(lines) > max_lines:
        lines = (*lines[: max_lines - 1], rest)
    line_mm = 1.4 * size_pt * _MM_PER_PT

    def draw(sheet: Sheet, left: float, top: float) -> None:
        for number, line in enumerate(lines):
            sheet.text(left, top + (number + 0.5) * line_mm, line, size_pt, bold=bold, color=colour)

    return Block(width_mm, len(lines) * line_mm, draw)


def notice(heading: str, texts: Sequence[str], width_mm: float, *, max_lines: int = 4, max_texts: int = 6) -> Block:
    """Return a coloured box of warnings; what is beyond the limits is counted."""
    shown = [paragraph(f"•  {words}", width_mm - 8, max_lines=max_lines) for words in texts[:max_texts]]
    if len(texts) > max_texts:
        shown.append(paragraph(f"and {len(texts) - max_texts} more: see report.html", width_mm - 8, bold=True))
    inner = below(paragraph(heading, width_mm - 8, 8, bold=True, max_lines=3), *shown, gap_mm=0.8)

    def draw(sheet: Sheet, left: float, top: float) -> None:
        sheet.box(left, top, width_mm, inner.height_mm + 4, facecolor=NOTICE)
        sheet.box(left, top, 1.5, inner.height_mm + 4, facecolor=MARK)
        inner.draw(sheet, left + 5, top + 2)

    return Block(width_mm, inner.height_mm + 4, draw)


def table(
    heading: str,
    rows: Sequence[Sequence[str]],
    widths_mm: Sequence[float],
    *,
    bold: frozenset[tuple[int, int]] = frozenset(),
    header: bool = True,
    size_pt: float = 6.5,
) -> Block:
    """Return a table with left-aligned columns; long cells are wrapped. ``bold`` holds (row, column) of bold cells."""
    width_mm = sum(widths_mm)
    title = paragraph(heading, width_mm, 8, bold=True)
    cells = [
        [
            paragraph(
                shorten(words, 3.7 * (width - 2), size_pt),
                width - 2,
                size_pt,
                bold=(row, column) in bold,
                colour=MUTED if (row == 0 if header else column == 0) else INK,
            )
            for column, (words, width) in enumerate(zip(line, widths_mm, strict=True))
        ]
        for row, line in enumerate(rows)
    ]
    heights = [max(cell.height_mm for cell in line) + 0.7 for line in cells]
    starts = np.concatenate([[0], np.cumsum(widths_mm)[:-1]])

    def draw(sheet: Sheet, left: float, top: float) -> None:
        title.draw(sheet, left, top)
        top += title.height_mm + 1
        for line, height in zip(cells, heights, strict=True):
            sheet.box(left, top, width_mm, 0.1, facecolor=RULE)
            for cell, start in zip(line, starts, strict=True):
                cell.draw(sheet, left + start, top + 0.35)
            top += height
        sheet.box(left, top, width_mm, 0.1, facecolor=RULE)

    return Block(width_mm, title.height_mm + 1 + sum(heights), draw)


def small_ticks(axes: Axes, size_pt: float = 6) -> None:
    """Set ticks in the font and weight of the sheets."""
    axes.tick_params(labelsize=size_pt, labelfontfamily=FONT, labelcolor=INK, color=INK, length=2, width=0.5, pad=1.5)
    for spine in axes.spines.values():
        spine.set(linewidth=0.5, edgecolor=INK)
