"""Page of an evaluation: curves, tables, comparisons, and the best and worst samples in pictures."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from napari_cellrestore.evaluate import Evaluation, Table, write_scores
from napari_cellrestore.evaluate.comparison import label
from napari_cellrestore.evaluate.evaluation import SUCCESS_BY
from napari_cellrestore.evaluate.extremes import Extreme
from napari_cellrestore.metrics import METRICS
from napari_cellrestore.report import html
from napari_cellrestore.report.pictures import Picture, Scale, pictures_side_by_side
from napari_cellrestore.report.plots import level_curves, success_heat
from napari_cellrestore.report.sheet import (
    MUTED,
    WIDTH_MM,
    Block,
    below,
    beside,
    notice,
    paragraph,
    table,
    write_pdf,
    write_png,
)
from napari_cellrestore.report.words import MADE_BY
from napari_cellrestore.report.written import csv_text, file_name, replace_file, replace_text

SIMULATED = "The stacks were simulated: how models do on recorded ones is not measured here."
JUDGED = (
    "A difference is called better or worse where its bootstrap 95 % interval leaves out 0 and a paired test, corrected for "
    "the number of comparisons, is below 5 %. All else may be chance."
)
_PICTURE_MM = 30.0


def write_evaluation(folder: Path, evaluation: Evaluation, extremes: Sequence[Extreme] = ()) -> Path:
    """Write what an evaluation says into its folder, beside the ledger.

    ``evaluation.html`` and ``evaluation.pdf`` with their pictures, ``scores.csv`` (every score), the tables as CSV in
    ``tables``, and ``evaluation.json``. Files of an earlier time are replaced one by one, each whole.

    Returns
    -------
    Path
        Of ``evaluation.html``.
    """
    blocks = figures(evaluation, extremes)
    return write_files(folder, evaluation, blocks, _sheets(evaluation, blocks), _page(evaluation, blocks))


def write_files(
    folder: Path, evaluation: Evaluation, figures: Mapping[str, Block], sheets: Sequence[Block], page: str
) -> Path:
    """Write figures, tables and scores, the sheets as PDF and the page for the browser; return the path of the page."""
    (folder / "tables").mkdir(parents=True, exist_ok=True)
    for name, block in figures.items():
        replace_file(folder / _picture(name), partial(write_png, block, description=MADE_BY))
    for name, content in evaluation.tables().items():
        replace_text(folder / "tables" / f"{file_name(name)}.csv", content.csv())
    replace_text(folder / "tables" / "comparisons.csv", csv_text(comparison_rows(evaluation)))
    replace_file(folder / "scores.csv", lambda path: write_scores(evaluation, path))
    said = json.dumps(evaluation.as_dict(), indent=1, ensure_ascii=False, allow_nan=False)
    replace_text(folder / "evaluation.json", said + "\n")
    heading = _heading(evaluation)
    info = {"Title": heading, "Creator": MADE_BY}
    replace_file(folder / "evaluation.pdf", lambda path: write_pdf(lambda _: sheets, path, heading, info))
    replace_text(folder / "evaluation.html", page)
    return folder / "evaluation.html"


def _picture(name: str) -> str:
    return f"{file_name(name)}.png"


# --- figures ---------------------------------------------------------------------------------------------------


def figures(evaluation: Evaluation, extremes: Sequence[Extreme] = ()) -> dict[str, Block]:
    """Return the figures by name."""
    scores = evaluation.table
    blocks = {"curves": level_curves(scores)}
    for metric in SUCCESS_BY:
        if metric in scores.metrics:
            for method in evaluation.methods:
                blocks[f"success by {metric} of {method}"] = success_heat(scores, method, metric, evaluation.sharp_um)
    return blocks | best_and_worst(extremes, lambda one: _pictures(one, evaluation))


def best_and_worst(
    extremes: Sequence[Extreme], pictures: Callable[[Extreme], Block], *, titled: bool = False
) -> dict[str, Block]:
    """Return the best and the worst samples in pictures, a figure for each method and metric."""
    blocks = {}
    for method, metric in dict.fromkeys((one.method, one.metric) for one in extremes):
        rows = in_pairs([pictures(one) for one in extremes if (one.method, one.metric) == (method, metric)])
        title = paragraph(f"{method}: best and worst by {METRICS[metric].label}", WIDTH_MM, 8, bold=True)
        blocks[f"best and worst by {metric} of {method}"] = below(*([title] if titled else []), *rows)
    return blocks


def _pictures(one: Extreme, evaluation: Evaluation) -> Block:
    metric = METRICS[one.metric].label
    said = f"{one.rank} by {metric}: {one.name} at {one.level_um:g} µm, {metric} {one.score:.4g} (input {one.score_input:.4g})"
    return pictures_of(one, evaluation, said, restored=one.method, reference="Sharp")


def pictures_of(one: Extreme, evaluation: Evaluation, said: str, *, restored: str, reference: str) -> Block:
    """Return one of the best or worst: what it is, three pictures by their names, and what may be wrong."""
    pictures = [
        Picture("Input", one.blurred),
        Picture(restored, one.restored, "generated"),
        Picture(reference, one.reference),
    ]
    row = pictures_side_by_side(pictures, Scale(_shown_levels(one), one.pixel_um), WIDTH_MM / 2 - 4, _PICTURE_MM)
    words = paragraph(said, row.width_mm, 6.5, max_lines=2)
    return below(words, row, *_causes(one, evaluation, row.width_mm), gap_mm=0.5)


def _causes(one: Extreme, evaluation: Evaluation, width_mm: float) -> list[Block]:
    """Return what may be wrong with one of the worst, as a paragraph."""
    causes = evaluation.causes.get(one.method, {}).get(one.name, []) if one.rank == "worst" else []
    return [paragraph("; ".join(causes), width_mm, 6.5, max_lines=4)] if causes else []


def _shown_levels(one: Extreme) -> tuple[float, float]:
    """Return the grey levels shown black and white: all of 8 bit, else those of the sharp plane."""
    if one.reference.dtype == np.uint8:
        return 0.0, 255.0
    low, high = (float(value) for value in np.nanpercentile(one.reference, (0.1, 99.9)))
    return low, high if high > low else low + 1


# --- words -----------------------------------------------------------------------------------------------------


def _heading(evaluation: Evaluation) -> str:
    return f"Evaluation of {', '.join(evaluation.methods)}"


def measured(evaluation: Evaluation) -> tuple[str, list[str]]:
    """Return what was measured, and what to mind."""
    count = len(evaluation.kept)
    said = f"{count} {evaluation.settings.get('images', 'samples')}"
    minds = [SIMULATED] if evaluation.settings.get("simulated") else []
    if evaluation.left_out:
        minds.append(f"{len(evaluation.left_out)} of {len(evaluation.samples)} could not be scored: see below.")
    if evaluation.remarks:
        minds.append(f"{len(evaluation.remarks)} of {count} are doubtful: see below.")
    return said, minds


def comparison_rows(evaluation: Evaluation) -> list[list[str]]:
    """Return the comparisons as rows of text, the first the header."""
    rows = [["metric", "method", "against", "mean", "mean against", "difference", "from", "to", "p (Holm)", "verdict"]]
    for one in evaluation.comparisons:
        numbers = [f"{value:.4g}" for value in (one.mean, one.mean_against, *one.difference)]
        rows.append([label(one.metric), one.method, one.against, *numbers, f"{one.p:.2g}", one.verdict])
    return rows


def of_samples(evaluation: Evaluation) -> list[list[str]]:
    """Return the samples that were left out or are doubtful, and why."""
    rows = [["sample", "what is wrong"]]
    rows += [[name, f"left out: {reason}"] for name, reason in evaluation.left_out.items()]
    return rows + [[name, f"doubtful: {'; '.join(texts)}"] for name, texts in evaluation.remarks.items()]


def rows_of(content: Table) -> list[list[str]]:
    """Return a table as rows of text, the header first."""
    cells = [[name, *("–" if np.isnan(v) else f"{v:.4g}" for v in values)] for name, values in content.rows.items()]
    return [[content.title, *content.columns], *cells]


# --- page for the browser ----------------------------------------------------------------------------------


def _page(evaluation: Evaluation, blocks: Mapping[str, Block]) -> str:
    curves, *others = html_figures(blocks)
    parts = [curves, *html_compared(evaluation), *others]
    for name, content in evaluation.tables().items():
        parts += html_table(name, rows_of(content))
    if len(rows := of_samples(evaluation)) > 1:
        parts += html_table("Samples to mind", rows)
    return html_page(evaluation, *measured(evaluation), parts)


def html_page(evaluation: Evaluation, said: str, minds: Sequence[str], parts: Sequence[str]) -> str:
    """Return the page: what was measured and what to mind, its parts, and how it was made."""
    top = f'<div class="notice">\n<p>{html.text(said)}</p>\n{html.bullets(minds)}\n</div>'
    methods = {name: str(said) for name, said in dict(evaluation.settings.get("methods", {})).items()}
    made = ["<h2>What was measured</h2>", html.facts_table(methods | {"made by": MADE_BY})]
    made.append("<p class='muted'>Every score: scores.csv. Tables: tables/*.csv. For programs: evaluation.json.</p>")
    return html.document(_heading(evaluation), "\n".join([top, *parts, *made]) + "\n")


def html_figures(blocks: Mapping[str, Block]) -> list[str]:
    """Return the figures, whose files lie beside the page."""
    return [html.figure(_picture(name), one.width_mm, file_name(name)) for name, one in blocks.items()]


def html_table(name: str, rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a table under its heading."""
    return [f"<h2>{html.text(name[0].upper() + name[1:])}</h2>", html.table(rows)]


def html_compared(evaluation: Evaluation) -> list[str]:
    """Return the comparisons of methods, and how they are judged."""
    return [*html_table("Against each other", comparison_rows(evaluation)), f"<p class='muted'>{JUDGED}</p>"]


# --- pages of A4 -------------------------------------------------------------------------------------------


def _sheets(evaluation: Evaluation, blocks: Mapping[str, Block]) -> list[Block]:
    curves, *others = blocks.values()
    return [
        head(evaluation, *measured(evaluation)),
        curves,
        compared(evaluation),
        *in_pairs(others),
        *_tables(evaluation),
    ]


def head(evaluation: Evaluation, said: str, minds: Sequence[str]) -> Block:
    """Return the heading, what was measured, and what to mind."""
    return below(paragraph(_heading(evaluation), WIDTH_MM, 13, bold=True, max_lines=2), notice(said, minds, WIDTH_MM))


def compared(evaluation: Evaluation) -> Block:
    """Return the comparisons of methods, and how they are judged."""
    widths = [14.0, 28.0, 28.0, 15.0, 19.0, 17.0, 14.0, 14.0, 14.0, 23.0]
    judged = paragraph(JUDGED, WIDTH_MM, 6, colour=MUTED)
    return below(table("Against each other", comparison_rows(evaluation), widths), judged)


def first_rows(heading: str, rows: Sequence[Sequence[str]], widths_mm: Sequence[float], count: int) -> list[Block]:
    """Return a table of the first rows, and where the others are."""
    left = len(rows) - 1 - count
    more = [paragraph(f"and {left} more: see evaluation.html", WIDTH_MM, 7)] if left > 0 else []
    return [table(heading, rows[: count + 1], widths_mm), *more]


def in_pairs(blocks: Sequence[Block]) -> list[Block]:
    """Return blocks with two narrow ones beside each other."""
    rows: list[Block] = []
    for block in blocks:
        if rows and rows[-1].width_mm + block.width_mm + 6 <= WIDTH_MM:
            rows[-1] = beside(rows[-1], block)
        else:
            rows.append(block)
    return rows


def _tables(evaluation: Evaluation) -> list[Block]:
    blocks = []
    for name, content in evaluation.tables().items():
        if name.startswith("success by"):
            continue  # drawn as a figure
        rows = rows_of(content)
        first = 34.0
        each = min(24.0, (WIDTH_MM - first) / max(len(rows[0]) - 1, 1))
        blocks.append(table(name[0].upper() + name[1:], rows, [first, *[each] * (len(rows[0]) - 1)]))
    if len(rows := of_samples(evaluation)) > 1:
        blocks += first_rows("Samples to mind", rows, [50.0, WIDTH_MM - 50], 30)
    return blocks
