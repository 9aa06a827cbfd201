"""Page of an evaluation of pairs: means, nuclei, comparisons, and the best and worst pairs with what may be wrong."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from napari_cellrestore.evaluate.evaluation import Evaluation
from napari_cellrestore.evaluate.extremes import Extreme
from napari_cellrestore.evaluate.ledger import write_nuclei, write_scores
from napari_cellrestore.metrics import METRICS
from napari_cellrestore.report import evaluation as page
from napari_cellrestore.report import html
from napari_cellrestore.report.figures import Picture, Scale, pictures_side_by_side
from napari_cellrestore.report.sheet import (
    MUTED,
    WIDTH_MM,
    Block,
    below,
    notice,
    paragraph,
    table,
    write_pdf,
    write_png,
)
from napari_cellrestore.report.words import MADE_BY
from napari_cellrestore.report.written import csv_text, file_name, replace_file, replace_text

COUNTED = (
    "Nuclei are found by the violet of a May-Grünwald-Giemsa or alike stain and matched by place. Missing: of the target's "
    "nuclei. Added: of the prediction's. Resized (less than 0.7 or more than 1.4 of the area) and other lobes: of those matched. "
    "95 % intervals by Wilson take nuclei for independent."
)
PROPOSED = "Likely causes are proposals from one measurement each: look at the pictures."
_PICTURE_MM = 30.0
_WORST = 20


def write_pairs(folder: Path, evaluation: Evaluation, extremes: Sequence[Extreme] = ()) -> Path:
    """Write what an evaluation of pairs says into its folder, beside the ledger.

    ``evaluation.html`` and ``evaluation.pdf`` with their pictures, ``scores.csv`` and ``nuclei.csv`` (one row for each
    sample), the tables as CSV in ``tables``, and ``evaluation.json``; each replaced whole.

    Returns
    -------
    Path
        Of ``evaluation.html``.
    """
    blocks = {f"{file_name(name)}.png": block for name, block in pair_figures(evaluation, extremes).items()}
    (folder / "tables").mkdir(parents=True, exist_ok=True)
    for name, block in blocks.items():
        replace_file(folder / name, lambda path, block=block: write_png(block, path, MADE_BY))  # type: ignore[misc]
    for name, content in evaluation.tables().items():
        replace_text(folder / "tables" / f"{file_name(name)}.csv", content.csv())
    replace_text(folder / "tables" / "comparisons.csv", csv_text(page.comparison_rows(evaluation)))
    replace_file(folder / "scores.csv", lambda path: write_scores(evaluation, path))
    write_likely(folder, evaluation)
    said = json.dumps(evaluation.as_dict(), indent=1, ensure_ascii=False, allow_nan=False)
    replace_text(folder / "evaluation.json", said + "\n")
    replace_file(folder / "evaluation.pdf", lambda path: _write_pages(evaluation, extremes, path))
    home = folder / "evaluation.html"
    replace_text(home, _page(evaluation, blocks))
    return home


def write_likely(folder: Path, evaluation: Evaluation) -> None:
    """Write the likely causes as ``tables/causes.csv``, and the nuclei of every sample as ``nuclei.csv``."""
    if len(rows := cause_rows(evaluation)) > 1:
        replace_text(folder / "tables" / "causes.csv", csv_text(rows))
    if evaluation.nuclei:
        replace_file(folder / "nuclei.csv", lambda path: write_nuclei(evaluation, path))


def cause_rows(evaluation: Evaluation) -> list[list[str]]:
    """Return what may be wrong with the worst samples as rows of text, the first the header."""
    rows = [["sample", "method", "what may be wrong"]]
    for method, named in evaluation.causes.items():
        rows += [[name, method, "; ".join(texts)] for name, texts in named.items()]
    return rows


def nuclei_rows(evaluation: Evaluation, count: int | None = None) -> list[list[str]]:
    """Return the samples with missing or added nuclei as rows of text, the worst of each method first."""
    rows = [["sample", "method", "nuclei of the target", "missing", "added"]]
    for method in evaluation.nuclei:
        for sample in evaluation.worst_by_nuclei(method, count):
            counts = sample.nuclei[method]
            rows.append([sample.name, method, *map(str, (counts.target, counts.missing, counts.added))])
    return rows


# --- figures ---------------------------------------------------------------------------------------------------


def pair_figures(evaluation: Evaluation, extremes: Sequence[Extreme]) -> dict[str, Block]:
    """Return the best and the worst pairs in pictures, by method and metric."""
    blocks = {}
    for method, metric in dict.fromkeys((one.method, one.metric) for one in extremes):
        shown = [one for one in extremes if (one.method, one.metric) == (method, metric)]
        title = paragraph(f"{method}: best and worst by {METRICS[metric].label}", WIDTH_MM, 8, bold=True)
        rows = page.in_pairs([_pictures(one, evaluation) for one in shown])
        blocks[f"best and worst by {metric} of {method}"] = below(title, *rows)
    return blocks


def _pictures(one: Extreme, evaluation: Evaluation) -> Block:
    metric = METRICS[one.metric].label
    pictures = [
        Picture("Input", one.blurred),
        Picture("Prediction", one.restored, "generated"),
        Picture("Target", one.reference),
    ]
    row = pictures_side_by_side(pictures, Scale(page.shown_levels(one), one.pixel_um), WIDTH_MM / 2 - 4, _PICTURE_MM)
    head = paragraph(f"{one.rank}: {one.name}, {metric} {one.score:.4g}", row.width_mm, 6.5, max_lines=2)
    return below(head, row, *page.causes_of(one, evaluation, row.width_mm), gap_mm=0.5)


# --- page for the browser ----------------------------------------------------------------------------------


def _page(evaluation: Evaluation, blocks: dict[str, Block]) -> str:
    said, minds = _notice(evaluation)
    parts = [f'<div class="notice">\n<p>{html.text(said)}</p>\n{html.bullets(minds)}\n</div>']
    for name, content in evaluation.tables().items():
        parts += [f"<h2>{html.text(name[0].upper() + name[1:])}</h2>", html.table(page.rows_of(content))]
        parts += [f"<p class='muted'>{COUNTED}</p>"] if name == "nuclei" else []
    parts += ["<h2>Against each other</h2>", html.table(page.comparison_rows(evaluation))]
    parts.append(f"<p class='muted'>{page.JUDGED}</p>")
    parts += [html.figure(name, one.width_mm, name.removesuffix(".png")) for name, one in blocks.items()]
    for heading, rows in _lists(evaluation, None):
        parts += [f"<h2>{heading}</h2>", html.table(rows)]
    methods = {name: str(said) for name, said in dict(evaluation.settings.get("methods", {})).items()}
    parts += ["<h2>What was measured</h2>", html.facts_table(methods | {"made by": MADE_BY})]
    parts.append("<p class='muted'>Every score: scores.csv. Tables: tables/*.csv. For programs: evaluation.json.</p>")
    return html.document(_heading(evaluation), "\n".join(parts) + "\n")


def _lists(evaluation: Evaluation, count: int | None) -> list[tuple[str, list[list[str]]]]:
    lists = [
        ("What may be wrong with the worst", cause_rows(evaluation)),
        ("Nuclei missing or added", nuclei_rows(evaluation, count)),
        ("Samples to mind", page.of_samples(evaluation)),
    ]
    return [(heading, rows) for heading, rows in lists if len(rows) > 1]


def _heading(evaluation: Evaluation) -> str:
    return f"Evaluation of {', '.join(evaluation.methods)}"


def _notice(evaluation: Evaluation) -> tuple[str, list[str]]:
    """Return what was measured, and what to mind."""
    said, minds = page.measured(evaluation)
    return said, [*nuclei_said(evaluation), *minds, *([PROPOSED] if evaluation.causes else [])]


def nuclei_said(evaluation: Evaluation) -> list[str]:
    """Return what became of the nuclei, a sentence for each method, or why they were not counted."""
    if not evaluation.nuclei:
        return ["Nuclei were not counted: they need images in colours and a known pixel size."]
    said = []
    for method, counts in evaluation.nuclei.items():
        rates = counts.rates()
        if not counts.target:
            why = f"{counts.doubtful} of an unknown stain" if counts.doubtful else "no target has any"
            said.append(f"{method}: no nuclei to compare ({why}); {counts.added} were added.")
        else:
            doubtful = f"; {counts.doubtful} images of an unknown stain not counted" if counts.doubtful else ""
            added = rates["added"] if counts.added else "none"
            said.append(f"{method}: nuclei missing {rates['missing']}, added {added}{doubtful}.")
    return said


# --- pages of A4 -------------------------------------------------------------------------------------------


def _write_pages(evaluation: Evaluation, extremes: Sequence[Extreme], path: Path) -> None:
    said, minds = _notice(evaluation)

    def build(_picture_mm: float) -> list[Block]:
        title = paragraph(_heading(evaluation), WIDTH_MM, 13, bold=True, max_lines=2)
        return [
            below(title, notice(said, minds, WIDTH_MM)),
            *_tables(evaluation),
            *pair_figures(evaluation, extremes).values(),
            *_list_tables(evaluation),
        ]

    write_pdf(build, path, _heading(evaluation), {"Title": _heading(evaluation), "Creator": MADE_BY})


def _tables(evaluation: Evaluation) -> list[Block]:
    blocks = []
    for name, content in evaluation.tables().items():
        rows = page.rows_of(content)
        block = table(name[0].upper() + name[1:], rows, [60.0, *[24.0] * (len(rows[0]) - 1)])
        below_it = [paragraph(COUNTED, WIDTH_MM, 6, colour=MUTED)] if name == "nuclei" else []
        blocks.append(below(block, *below_it))
    widths = [14.0, 28.0, 28.0, 15.0, 19.0, 17.0, 14.0, 14.0, 14.0, 23.0]
    compared = table("Against each other", page.comparison_rows(evaluation), widths)
    return [*blocks, below(compared, paragraph(page.JUDGED, WIDTH_MM, 6, colour=MUTED))]


def _list_tables(evaluation: Evaluation) -> list[Block]:
    blocks = []
    for heading, rows in _lists(evaluation, _WORST):
        shown, first = rows[: _WORST + 1], 50.0
        widths = [first, *[(WIDTH_MM - first) / (len(rows[0]) - 1)] * (len(rows[0]) - 1)]
        if rows[0][-1] == "what may be wrong":
            widths = [first, 30.0, WIDTH_MM - first - 30]
        more = f"and {len(rows) - len(shown)} more: see evaluation.html" if len(rows) > len(shown) else ""
        blocks.append(below(table(heading, shown, widths), *([paragraph(more, WIDTH_MM, 7)] if more else [])))
    return blocks
