"""Plots of an evaluation: scores over focus level, and success matrices."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from napari_cellrestore.evaluate import ScoreTable
from napari_cellrestore.metrics import METRICS
from napari_cellrestore.report.sheet import INK, MUTED, RULE, WIDTH_MM, Block, Sheet, font, paragraph, small_ticks

#: Colours of methods, told apart by colour-blind eyes too (Okabe & Ito 2008); the input is grey.
PALETTE = ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_WISH = {"lower": "lower is better", "higher": "higher is better", "one": "1 is best"}
_SHOWN = ("mse", "fpw", "ssim", "focus_ratio", "psnr")
_COLUMNS = 3


def colours(scores: ScoreTable) -> dict[str, str]:
    """Return the colour of each method."""
    methods = [method for method in scores.scores if method != "input"]
    return {"input": MUTED} | {method: PALETTE[number % len(PALETTE)] for number, method in enumerate(methods)}


def level_curves(scores: ScoreTable, width_mm: float = WIDTH_MM, plot_mm: float = 38) -> Block:
    """Return each metric over focus level, mean and bootstrap 95 % interval over images (figure 6.8 of the source)."""
    metrics = [name for name in _SHOWN if name in scores.metrics] or list(scores.metrics)
    title = paragraph("Scores by focus level", width_mm, 8, bold=True)
    count = len(next(iter(scores.scores.values()))[metrics[0]])
    caption = paragraph(
        f"Lines: mean over {count} images. Bands: bootstrap 95 % intervals of the mean.", width_mm, 6, colour=MUTED
    )
    across, down = width_mm / _COLUMNS, plot_mm + 15
    rows = -(-(len(metrics) + 1) // _COLUMNS)

    def draw(sheet: Sheet, left: float, top: float) -> None:
        title.draw(sheet, left, top)
        top += title.height_mm + 1
        for number, metric in enumerate(metrics):
            row, column = divmod(number, _COLUMNS)
            x, y = left + column * across, top + row * down
            axes = sheet.axes(x + 11, y + 4, across - 14, plot_mm, facecolor="white")
            _draw_curves(axes, scores, metric)
            sheet.text(x + 11, y + 1.5, f"{METRICS[metric].label} ({_WISH[METRICS[metric].better]})", 6.5, bold=True)
        row, column = divmod(len(metrics), _COLUMNS)
        for number, (method, colour) in enumerate(colours(scores).items()):
            x, y = left + column * across + 11, top + row * down + 6 + 4.5 * number
            sheet.box(x, y - 0.4, 7, 0.8, facecolor=colour)
            sheet.text(x + 9, y, method, 6.5)
        caption.draw(sheet, left, top + rows * down)

    return Block(width_mm, title.height_mm + 1 + rows * down + caption.height_mm, draw)


def _draw_curves(axes: Axes, scores: ScoreTable, metric: str) -> None:
    for method, colour in colours(scores).items():
        mean, low, high = scores.level_intervals(method, metric).T
        axes.fill_between(scores.levels_um, low, high, color=colour, alpha=0.2, linewidth=0)
        axes.plot(scores.levels_um, mean, color=colour, linewidth=1.2, marker="o", markersize=2)
    axes.set_xlabel("focus level (µm)", fontproperties=font(6), color=INK, labelpad=1.5)
    axes.spines[["top", "right"]].set_visible(False)
    axes.locator_params(nbins=5)
    if METRICS[metric].better == "lower":
        axes.set_ylim(bottom=0)
    small_ticks(axes)


def success_heat(
    scores: ScoreTable, method: str, metric: str, sharp_um: tuple[float, float], width_mm: float = 90
) -> Block:
    """Return a success matrix in shades, with the success rate of each row (table A.1 of the source)."""
    content = scores.success(method, metric, sharp_um)
    body = np.array([row[:-1] for row in list(content.rows.values())[:-1]])
    rates = [row[-1] for row in list(content.rows.values())[:-1]]
    levels = [f"{level:g}" for level in scores.levels_um]
    title = paragraph(f"{method}: as which plane it is as good, by {METRICS[metric].label}", width_mm, 7.5, bold=True)
    low, high = sharp_um
    caption = paragraph(
        f"Rows: focus level of the input (µm). Columns: plane that the restored image is as good as. In percent of images; "
        f"framed: planes that count as sharp, {low:g} to {high:g} µm. Right: success rate.",
        width_mm,
        6,
        colour=MUTED,
    )
    side = width_mm - 22
    inside = [n for n, level in enumerate(scores.levels_um) if low - 1e-6 <= level <= high + 1e-6]

    def draw(sheet: Sheet, left: float, top: float) -> None:
        title.draw(sheet, left, top)
        top += title.height_mm + 1
        axes = sheet.axes(left + 9, top, side, side, facecolor="white")
        axes.imshow(np.nan_to_num(body), cmap="Blues", vmin=0, vmax=100, aspect="auto")
        if len(levels) <= 16:
            _write_cells(axes, body)
        if inside:
            for edge in (inside[0] - 0.5, inside[-1] + 0.5):
                axes.axvline(edge, color="#d55e00", linewidth=1)
        every = max(1, -(-len(levels) // 16))
        axes.set_xticks(range(0, len(levels), every), levels[::every])
        axes.set_yticks(range(0, len(levels), every), levels[::every])
        small_ticks(axes, 5)
        cell = side / len(levels)
        for row, rate in list(enumerate(rates))[::every]:
            words = "–" if np.isnan(rate) else f"{rate:.0f} %"
            sheet.text(left + 9 + side + 1.5, top + (row + 0.5) * cell, words, 6, bold=True)
        caption.draw(sheet, left, top + side + 5)

    return Block(width_mm, title.height_mm + 1 + side + 5 + caption.height_mm, draw)


def _write_cells(axes: Axes, body: np.ndarray) -> None:
    for row, column in np.argwhere(np.nan_to_num(body) >= 0.5):
        value = body[row, column]
        colour = "white" if value > 55 else INK
        axes.text(column, row, f"{value:.0f}", ha="center", va="center", color=colour, fontproperties=font(4.5))
    axes.set_facecolor(RULE)
