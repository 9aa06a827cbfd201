"""Page of an evaluation of pairs: means, nuclei, comparisons, and the best and worst pairs with what may be wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from napari_cellrestore.evaluate.evaluation import Evaluation
from napari_cellrestore.evaluate.extremes import Extreme
from napari_cellrestore.evaluate.ledger import write_nuclei
from napari_cellrestore.metrics import METRICS
from napari_cellrestore.report import evaluation as page
from napari_cellrestore.report.sheet import MUTED, WIDTH_MM, Block, below, paragraph, table
from napari_cellrestore.report.written import csv_text, replace_file, replace_text

COUNTED = (
    "Nuclei are found by the violet of a May-Grünwald-Giemsa or alike stain and matched by place. Missing: of the target's "
    "nuclei. Added: of the prediction's. Resized (less than 0.7 or more than 1.4 of the area) and other lobes: of those matched. "
    "95 % intervals by Wilson take nuclei for independent."
)
PROPOSED = "Likely causes are proposals from one measurement each: look at the pictures."
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
    said, minds = page.measured(evaluation)
    minds = [*nuclei_said(evaluation), *minds, *([PROPOSED] if evaluation.causes else [])]
    blocks = page.best_and_worst(extremes, lambda one: _pictures(one, evaluation), titled=True)
    sheets = [page.head(evaluation, said, minds), *_tables(evaluation), *blocks.values(), *_list_tables(evaluation)]
    shown = page.html_page(evaluation, said, minds, _parts(evaluation, blocks))
    home = page.write_files(folder, evaluation, blocks, sheets, shown)
    write_likely(folder, evaluation)
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


def _pictures(one: Extreme, evaluation: Evaluation) -> Block:
    said = f"{one.rank}: {one.name}, {METRICS[one.metric].label} {one.score:.4g}"
    return page.pictures_of(one, evaluation, said, restored="Prediction", reference="Target")


# --- page for the browser ----------------------------------------------------------------------------------


def _parts(evaluation: Evaluation, blocks: Mapping[str, Block]) -> list[str]:
    parts = []
    for name, content in evaluation.tables().items():
        parts += page.html_table(name, page.rows_of(content))
        parts += [f"<p class='muted'>{COUNTED}</p>"] if name == "nuclei" else []
    parts += [*page.html_compared(evaluation), *page.html_figures(blocks)]
    for heading, rows in _lists(evaluation, None):
        parts += page.html_table(heading, rows)
    return parts


def _lists(evaluation: Evaluation, count: int | None) -> list[tuple[str, list[list[str]]]]:
    lists = [
        ("What may be wrong with the worst", cause_rows(evaluation)),
        ("Nuclei missing or added", nuclei_rows(evaluation, count)),
        ("Samples to mind", page.of_samples(evaluation)),
    ]
    return [(heading, rows) for heading, rows in lists if len(rows) > 1]


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


def _tables(evaluation: Evaluation) -> list[Block]:
    blocks = []
    for name, content in evaluation.tables().items():
        rows = page.rows_of(content)
        block = table(name[0].upper() + name[1:], rows, [60.0, *[24.0] * (len(rows[0]) - 1)])
        below_it = [paragraph(COUNTED, WIDTH_MM, 6, colour=MUTED)] if name == "nuclei" else []
        blocks.append(below(block, *below_it))
    return [*blocks, page.compared(evaluation)]


def _list_tables(evaluation: Evaluation) -> list[Block]:
    blocks = []
    for heading, rows in _lists(evaluation, _WORST):
        first = 50.0
        widths = [first, *[(WIDTH_MM - first) / (len(rows[0]) - 1)] * (len(rows[0]) - 1)]
        if rows[0][-1] == "what may be wrong":
            widths = [first, 30.0, WIDTH_MM - first - 30]
        blocks.append(below(*page.first_rows(heading, rows, widths, _WORST)))
    return blocks
