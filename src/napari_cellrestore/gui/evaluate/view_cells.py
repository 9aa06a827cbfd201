"""What an evaluation says, as tables for a narrow window."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from napari_cellrestore.evaluate import Comparison, Evaluation, Table
from napari_cellrestore.evaluate.comparison import label
from napari_cellrestore.gui.cells import Cell, Cells, number
from napari_cellrestore.metrics import METRICS
from napari_cellrestore.report.evaluation import comparison_rows

#: Verdicts with a sign: colour alone does not tell them apart for everybody.
SIGNS = {"better": "▲ better", "worse": "▼ worse", "no difference shown": "○ no difference\nshown"}
#: How many of the best and of the worst stacks are named.
EXTREMES = 5


def verdict_cells(evaluation: Evaluation, colours: Mapping[str, str]) -> Cells:
    """Return the comparisons, those of two methods under a line of their own; ``colours`` are those of verdicts."""
    pairs: dict[str, list[Comparison]] = {}
    for one in evaluation.comparisons:
        pairs.setdefault(f"{one.method} against {one.against}", []).append(one)
    rows = []
    for pair, comparisons in pairs.items():
        rows.append([Cell(pair, bold=True)])
        rows += [_verdict(one, colours.get(one.verdict, "")) for one in comparisons]
    columns = ("Metric", "Difference", "Verdict")
    return Cells(columns, [""] * len(rows), rows, comparison_rows(evaluation), wide=2, lines=2)


def _verdict(one: Comparison, colour: str) -> list[Cell]:
    difference, low, high = (f"{value:.3g}".replace("-", "−") for value in one.difference)
    verdict = Cell(SIGNS.get(one.verdict, one.verdict), colour, bold=bool(colour))
    return [Cell(label(one.metric)), Cell(f"{difference}\n{low} to {high}"), verdict]


def table_cells(table: Table) -> Cells:
    """Return a table as it is."""
    rows = [[Cell(shown(value), bold=name == "Mean") for value in values] for name, values in table.rows.items()]
    return Cells([_signs(name) for name in table.columns], _heads(table), rows, _copied(table))


def matrix_cells(table: Table, levels_um: tuple[float, ...], sharp_um: tuple[float, float]) -> Cells:
    """Return a success matrix in shades, columns of sharp planes in brackets; the success rate stands first."""
    low, high = sharp_um
    columns = [
        f"[{_signs(f'{level:g}')}]" if low - 1e-6 <= level <= high + 1e-6 else _signs(f"{level:g}")
        for level in levels_um
    ]
    rows = []
    for *values, rate in table.rows.values():
        shades = [Cell(_percent(value) if value else "·", shade=np.nan_to_num(value) / 100) for value in values]
        rows.append([Cell(_percent(rate), bold=True), *shades])
    return Cells(["SR (%)", *columns], _heads(table), rows, _copied(table))


def rate_cells(table: Table) -> Cells:
    """Return success rates with a line for each range of focus level: there are more of these than of methods."""
    names = [name.rsplit(" ", 1) for name in table.rows]  # the method, which may have spaces, and the metric
    turned = {
        f"{column.replace(' : ', ' to ')} um": [values[place] for values in table.rows.values()]
        for place, column in enumerate(table.columns)
    }
    whole = Table(table.title, tuple(table.rows), turned)
    rows = [[Cell(_percent(value)) for value in values] for values in turned.values()]
    return Cells([f"{method}\n{metric}" for method, metric in names], _heads(whole), rows, _copied(whole))


def extreme_cells(evaluation: Evaluation, method: str, metric: str) -> Cells:
    """Return the best stacks and the worst, with their mean scores."""
    badness = evaluation.table.sample_badness(method, metric)
    sign = -1.0 if METRICS[metric].better == "higher" else 1.0
    scores = {sample.name: sign * float(value) for sample, value in zip(evaluation.kept, badness, strict=True)}
    count = min(EXTREMES, (len(scores) + 1) // 2)  # none is both, but the one in the middle
    best, worst = evaluation.extremes(method, metric, count)
    rows = [[Cell("▲ best"), Cell(name), Cell(shown(scores[name]))] for name in best]
    rows += [[Cell("▼ worst"), Cell(name), Cell(shown(scores[name]))] for name in worst]
    copied = [["rank", "stack", METRICS[metric].label]]
    copied += [[rank.text[2:], name.text, repr(scores[name.text])] for rank, name, _ in rows]
    return Cells(("", "Stack", METRICS[metric].label), [""] * len(rows), rows, copied, wide=1)


def minded_cells(evaluation: Evaluation) -> Cells:
    """Return the stacks that were left out or are doubtful, and why."""
    said = [(name, "left out", without(name, reason)) for name, reason in evaluation.left_out.items()]
    said += [(name, "doubtful", "; ".join(texts)) for name, texts in evaluation.remarks.items()]
    rows = [[Cell(name), Cell(f"{kind}: {why}".replace(" um", " µm"))] for name, kind, why in said]
    copied = [["stack", "", "what is wrong"], *map(list, said)]
    return Cells(("Stack", "What is wrong"), [""] * len(rows), rows, copied, wide=1, lines=3)


def without(name: str, reason: str) -> str:
    """Return why a stack is left out, without its name.

    >>> without("a.tif", "a.tif: the file is empty")
    'the file is empty'
    """
    return reason.removeprefix(f"{name}: ")


# --- texts -------------------------------------------------------------------------------------------------


def shown(value: float) -> str:
    """Return a number as a table shows it, of none a dash."""
    return "–" if np.isnan(value) else number(value)


def _percent(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.0f}"


def _signs(text: str) -> str:
    """Return a text with the signs that are read rather than typed."""
    return text.replace(" um", " µm").replace("-", "−")


def _heads(table: Table) -> list[str]:
    return [_signs(name) for name in table.rows]


def _copied(table: Table) -> list[list[str]]:
    rows = [
        [name, *("" if np.isnan(value) else repr(float(value)) for value in row)] for name, row in table.rows.items()
    ]
    return [[table.title, *table.columns], *rows]
