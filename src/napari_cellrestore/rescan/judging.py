"""Which pairs are good for training: each against all others, with the reason where it is not.

Wulff 2022 (section 4.2.4, table 4.3) found such pairs by eye, among those that the trained network did worst at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from napari_cellrestore.rescan.fine import REACH_PX
from napari_cellrestore.rescan.pairing import CellPair, FieldPairs

#: Pairs that are needed to say what is usual.
ENOUGH = 8
#: How far from the median something is unusual, in robust standard deviations.
UNUSUAL = 4.0
#: Disagreement of a cell with its neighbours, and length of edges without a partner, that are never unusual.
BESIDE_PX, ALONE_UM = 2.0, 3.0


def judge(
    fields: Sequence[FieldPairs], *, beside_px: float = BESIDE_PX, alone_um: float = ALONE_UM, unusual: float = UNUSUAL
) -> list[FieldPairs]:
    """Return the fields with a reason for each pair that is refused.

    What is usual is the median over all pairs, unusual what is further from it than ``unusual`` times 1.4826 MAD. In
    this order, a pair is refused where

    - its field has a reason: no match, planes that are shifted;
    - it is too near the edge of a scan;
    - its cell lies beside the place of its field, which is fitted to all around it, by more than ``beside_px`` from what
      is usual in the field, or where the search ended: another cell, or one that moved;
    - the stained or the unstained crop has more than ``alone_um`` and an unusual length of edges without a partner:
      precipitate of the stain, dirt;
    - its similarity is unusually low: the cell is damaged, or another one.

    Shifts are judged from two pairs of a field on, the last two from :data:`ENOUGH` pairs on.
    """
    fields = [replace(field, cells=[_refused(pair, field.reason) for pair in field.cells]) for field in fields]
    fields = [replace(field, cells=_beside(field.cells, beside_px)) for field in fields]
    good = [pair for field in fields for pair in field.cells if pair.accepted]
    if len(good) < ENOUGH:
        return fields
    most_alone, most_missing = (
        max(alone_um, _usual([getattr(pair, name) for pair in good], unusual)) for name in ("alone_um", "missing_um")
    )
    least = -_usual([-pair.ssim for pair in good], unusual)
    middle = float(np.median([pair.ssim for pair in good]))

    def reason(pair: CellPair) -> str:
        if pair.alone_um > most_alone:
            return (
                f"edges of {pair.alone_um:.1f} um in the stained crop have none in the unstained one (up to "
                f"{most_alone:.1f} um is usual): stain or dirt in the target only"
            )
        if pair.missing_um > most_missing:
            return (
                f"edges of {pair.missing_um:.1f} um in the unstained crop have none in the stained one (up to "
                f"{most_missing:.1f} um is usual): dirt in the input only"
            )
        if pair.ssim < least:
            return f"similarity {pair.ssim:.2f} where {middle:.2f} is usual and {least:.2f} the least: damaged, or another cell"
        return ""

    return [replace(field, cells=[_refused(pair, reason(pair)) for pair in field.cells]) for field in fields]


def _usual(values: Sequence[float], unusual: float) -> float:
    """Return the highest value that is not unusual."""
    middle = np.median(values)
    return float(middle + unusual * 1.4826 * np.median(np.abs(np.asarray(values) - middle)))


def _refused(pair: CellPair, reason: str) -> CellPair:
    return pair if pair.reason or not reason else replace(pair, reason=reason)


def _beside(cells: Sequence[CellPair], beside_px: float) -> list[CellPair]:
    """Return the cells of a field, those refused that do not lie where the others say."""
    shifts = np.array([pair.shift_px for pair in cells if pair.accepted]).reshape(-1, 2)
    usual = np.median(shifts, axis=0) if len(shifts) >= 5 else np.zeros(2)  # a look may see all cells a little beside
    judged = []
    for pair in cells:
        away = float(np.hypot(*(np.array(pair.shift_px) - usual)))
        if pair.at_edge:
            pair = _refused(pair, f"no best place within {REACH_PX} px of where its neighbours say it is")
        elif away > beside_px:
            pair = _refused(pair, f"{away:.1f} px beside where its neighbours say it is ({beside_px:g} px at most)")
        judged.append(pair)
    return judged
