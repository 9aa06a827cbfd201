"""What an evaluation says, as tables for a narrow window."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from napari_cellrestore.evaluate import Comparison, Evaluation, Table
from napari_cellrestore.evaluate.comparison import label
from napari_cellrestore.evaluate.evaluation import EXTREMES
from napari_cellrestore.gui.cells import Cell, Cells, number
from napari_cellrestore.gui.evaluate.views import kind_of
from napari_cellrestore.metrics import METRICS
from napari_cellrestore.report.evaluation import comparison_rows
from napari_cellrestore.report.pairs import nuclei_rows

#: Verdicts with a sign: colour alone does not tell them apart for everybody.
SIGNS = {"better": "▲ better", "worse": "▼ worse", "no difference shown": "○ no difference\nshown"}
#: Rates of nuclei as they are named in a table.
RATES = {"missing": "Missing", "added": "Added", "resized": "Other size", "other lobes": "Other lobes"}
#: How many samples with missing or added nuclei are named.
NAMED = 20


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
    kind = kind_of(evaluation)
    copied = [["rank", kind, METRICS[metric].label]]
    copied += [[rank.text[2:], name.text, repr(scores[name.text])] for rank, name, _ in rows]
    columns = ("", kind.capitalize(), METRICS[metric].label)
    return Cells(columns, [""] * len(rows), rows, copied, wide=1, lines=_lines(scores, 24))


def mean_cells(evaluation: Evaluation) -> Cells:
    """Return the mean of each metric with its interval, the methods of a metric under each other."""
    rows, copied = [], [["metric", "method", "mean", "from", "to"]]
    values = iter(evaluation.means().rows.values())
    for metric in evaluation.table.metrics:
        rows.append([Cell(METRICS[metric].label, bold=True)])
        for method in evaluation.table.scores:
            mean, low, high = next(values)
            rows.append([Cell(method), Cell(shown(mean)), Cell(f"{shown(low)} to {shown(high)}")])
            copied.append([metric, method, *map(repr, (mean, low, high))])
    return Cells(("Method", "Mean", "95 % interval"), [""] * len(rows), rows, copied, wide=0)


def cause_cells(evaluation: Evaluation, method: str | None) -> Cells:
    """Return what may be wrong with the worst samples of a method."""
    said = evaluation.causes.get(method or "", {})
    rows = [[Cell(name), Cell("\n".join(texts))] for name, texts in said.items()]
    lines = max((sum(_lines([text], 22, 9) for text in texts) for texts in said.values()), default=1)
    copied = [["sample", "what may be wrong"], *([name, "; ".join(texts)] for name, texts in said.items())]
    return Cells(
        (kind_of(evaluation).capitalize(), "What may be wrong"), [""] * len(rows), rows, copied, wide=1, lines=lines
    )


def nuclei_cells(evaluation: Evaluation, method: str | None) -> Cells:
    """Return what became of nuclei over all samples, and the samples in which it went worst."""
    if method not in evaluation.nuclei:
        return Cells((), (), (), ())
    counts = evaluation.nuclei[method]
    rows = []
    for name, rate in counts.rates().items():
        parts = [None if part is None else f"{100 * part:.0f}" for part in (rate.share, rate.low, rate.high)]
        share = "–" if parts[0] is None else f"{parts[0]} % ({parts[1]} to {parts[2]})"
        rows.append([Cell(RATES[name]), Cell(f"{rate.count} of {rate.of}"), Cell(share)])
    if counts.mean_dice is not None:
        rows.append([Cell("Dice of the matched"), Cell(shown(counts.mean_dice)), Cell("1 is best")])
    wrong = evaluation.worst_by_nuclei(method)
    kind = kind_of(evaluation)
    rows.append([Cell(f"Missing (−) or added (+) in {len(wrong)} of {counts.images} {kind}s", bold=True)])
    for sample in wrong[:NAMED]:
        one = sample.nuclei[method]
        rows.append([Cell(sample.name), Cell(f"−{one.missing} of {one.target}"), Cell(f"+{one.added}")])
    if len(wrong) > NAMED:
        rows.append([Cell(f"and {len(wrong) - NAMED} more: see nuclei.csv")])
    table = evaluation.nuclei_table()
    copied = [*_copied(table), [], *nuclei_rows(evaluation)]
    lines = _lines([sample.name for sample in wrong[:NAMED]], 18)
    return Cells(("Nuclei", "Count", "Share, 95 %"), [""] * len(rows), rows, copied, wide=0, lines=lines)


def minded_cells(evaluation: Evaluation) -> Cells:
    """Return the samples that were left out or are doubtful, and why."""
    said = [(name, "left out", without(name, reason)) for name, reason in evaluation.left_out.items()]
    said += [(name, "doubtful", "; ".join(texts)) for name, texts in evaluation.remarks.items()]
    rows = [[Cell(name), Cell(f"{kind}: {why}".replace(" um", " µm"))] for name, kind, why in said]
    kind = kind_of(evaluation)
    copied = [[kind, "", "what is wrong"], *map(list, said)]
    return Cells((kind.capitalize(), "What is wrong"), [""] * len(rows), rows, copied, wide=1, lines=3)


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


def _lines(texts: Iterable[str], letters: int, most: int = 2) -> int:
    """Return how many lines the longest text needs in a column of about so many letters."""
    return min(max((-(-len(text) // letters) for text in texts), default=1), most)


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
