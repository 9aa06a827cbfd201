"""Which cell of one microscope is which of the other: nuclei as templates, then an assignment one to one.

Steepness is correlated, not luminance: any two dark nuclei on a bright film correlate. On 24 smears and what another
microscope made of them the same cell correlated by 0.64 or more and the best other one at least 0.21 below that; luminance
0.87, and 0.08 below.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from napari_cellrestore.rescan import Similarity, correlation_map, resample
from napari_cellrestore.transfer.cells import UNLIKE, Cell, Smear, unlikeness

Array = npt.NDArray[np.float64]

#: Side of the template around a nucleus: the white cell and what touches it.
TEMPLATE_UM = 20.0
#: How far beside the nucleus of the target the template is looked for; nuclei that are cut off have another centre.
REACH_UM = 4.0
#: Cells that a template is compared with at most, those of the most alike nuclei.
MOST_CANDIDATES = 60
#: Magnifications that are tried beside the estimated one, where a pixel size is not known.
ZOOMS = (0.8, 0.9, 1.0, 1.12, 1.25)
#: Correlation that a match needs, and by how much the next best must be below.
LEAST_CORRELATION, MARGIN = 0.5, 0.1


@dataclass(frozen=True)
class CellMatch:
    """A cell of an input and what is most like it.

    Attributes
    ----------
    image, target : (int, int)
        Number of the image and of the cell in it.
    correlation : float
    next_best : float
        Correlation of either cell with the best one of another image; -1 where there is none.
    rival : (int, int) or None
        That other cell, of an input or a target.
    rival_is_target : bool
    """

    image: tuple[int, int]
    target: tuple[int, int]
    correlation: float
    next_best: float = -1.0
    rival: tuple[int, int] | None = None
    rival_is_target: bool = True

    @property
    def margin(self) -> float:
        """By how much it is better than the next."""
        return self.correlation - self.next_best


@dataclass(frozen=True, eq=False)
class Scores:
    """Correlations of the cells that were compared, one row each: cell of an input, cell of a target, correlation."""

    ours: Sequence[tuple[int, int]]
    theirs: Sequence[tuple[int, int]]
    rows: npt.NDArray[np.int64]
    columns: npt.NDArray[np.int64]
    values: Array

    def best_of_images(self, *, targets: bool = False) -> dict[int, tuple[float, int]]:
        """Return for each input, or each target, the highest correlation of its cells, and with which image that is."""
        ours, theirs = [np.array([image for image, _ in cells], int) for cells in (self.ours, self.theirs)]
        sides = (ours[self.rows], theirs[self.columns])
        here, there = sides[::-1] if targets else sides
        best: dict[int, tuple[float, int]] = {}
        for at in np.argsort(self.values):  # the highest last
            best[int(here[at])] = float(self.values[at]), int(there[at])
        return best


def candidates(cell: Cell, others: Sequence[Cell], most: int = MOST_CANDIDATES) -> list[int]:
    """Return the numbers of those cells whose nuclei are so alike that they may be this one.

    At most so many of whole nuclei and so many of those cut off, which are easily alike and would take all places.
    """
    distance = unlikeness(cell, others)
    cut = np.array([other.cut for other in others], bool)
    found: list[int] = []
    for group in (~cut, cut):
        here = np.flatnonzero(group & (distance <= UNLIKE))
        found += here[np.argsort(distance[here], kind="stable")[:most]].tolist()
    return found


def template(smear: Smear, cell: Cell, *, zoom: float = 1.0, turn_deg: float = 0.0) -> npt.NDArray[np.float32]:
    """Return the surroundings of a nucleus, :data:`TEMPLATE_UM` a side; NaN where the image ends."""
    side = round(TEMPLATE_UM / smear.coarse_um) | 1
    turn = Similarity(zoom, turn_deg)
    dy, dx = (side - 1) / 2 - turn(_coarse(smear, cell))
    return resample(smear.coarse, 1.0, Similarity(zoom, turn_deg, (float(dy), float(dx))), 1.0, (side, side))


def surroundings(smear: Smear, cell: Cell) -> npt.NDArray[np.float32]:
    """Return the pixels around a nucleus as far as a template may reach; NaN where the image ends."""
    side = (round(TEMPLATE_UM / smear.coarse_um) | 1) + 2 * _reach_px(smear)
    top, left = (int(at) - side // 2 for at in np.rint(_coarse(smear, cell)))
    wide = np.full((side, side), np.nan, np.float32)
    rows, columns = (
        slice(max(first, 0), min(first + side, n)) for first, n in zip((top, left), smear.coarse.shape, strict=True)
    )
    wide[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left] = smear.coarse[rows, columns]
    return wide


def likeness(templates: Sequence[npt.NDArray[np.float32]], wide: npt.NDArray[np.float32]) -> float:
    """Return the highest correlation of any template within what is around a nucleus; -1 without overlap or contrast."""
    best = -1.0
    for moving in templates:
        reach = (wide.shape[0] - moving.shape[0]) // 2
        correlation, _ = correlation_map(wide, moving, least_overlap=0.5)
        middle = moving.shape[0] - 1 + reach
        near = correlation[middle - reach : middle + reach + 1, middle - reach : middle + reach + 1]
        best = max(best, float(np.nanmax(near, initial=-1.0)))
    return best


def score(
    inputs: Sequence[Smear], targets: Sequence[Smear], turns_deg: Sequence[float] = (0.0,)
) -> Iterator[tuple[int, Scores | None]]:
    """Yield how many cells of the inputs are done, with the correlations after the last.

    Cells of inputs are templates, turned by ``turns_deg`` and, where a pixel size is not known, magnified by
    :data:`ZOOMS`; they are compared with the cells of targets that :func:`candidates` leaves.
    """
    ours = [(number, k) for number, smear in enumerate(inputs) for k in range(len(smear.cells))]
    theirs = [(number, k) for number, smear in enumerate(targets) for k in range(len(smear.cells))]
    their_cells = [targets[number].cells[k] for number, k in theirs]
    all_known = all(smear.known for smear in (*inputs, *targets))
    zooms = (1.0,) if all_known else ZOOMS
    wide = [surroundings(targets[number], targets[number].cells[k]) for number, k in theirs]
    found: list[tuple[int, int, float]] = []
    for row, (number, k) in enumerate(ours):
        cell = inputs[number].cells[k]
        moving = [template(inputs[number], cell, zoom=zoom, turn_deg=turn) for zoom in zooms for turn in turns_deg]
        for column in candidates(cell, their_cells):
            found.append((row, column, likeness(moving, wide[column])))
        yield row + 1, None
    rows, columns, values = zip(*found, strict=True) if found else ((), (), ())
    yield (
        len(ours),
        Scores(ours, theirs, np.array(rows, np.int64), np.array(columns, np.int64), np.array(values, float)),
    )


def assign(scores: Scores, least: float = LEAST_CORRELATION) -> list[CellMatch]:
    """Return the assignment one to one of highest total correlation, of pairs that reach the least one.

    Cells that no chain of candidates joins are assigned apart (Kuhn 1955, Nav. Res. Logist. Q. 2:83), so ten thousand
    images need no matrix of ten thousand squared. The next best is looked for in other images, for both cells.
    """
    n, m = len(scores.ours), len(scores.theirs)
    good = scores.values >= least
    rows, columns, values = scores.rows[good], scores.columns[good], scores.values[good]
    graph = coo_array((np.ones(len(rows)), (rows, columns + n)), shape=(n + m, n + m))
    _, part = connected_components(graph, directed=False)
    matches = []
    for one in np.unique(part[rows]) if len(rows) else ():
        here = part[rows] == one
        left, right = np.unique(rows[here]), np.unique(columns[here])
        matrix = np.zeros((len(left), len(right)))
        matrix[np.searchsorted(left, rows[here]), np.searchsorted(right, columns[here])] = values[here]
        for i, j in zip(*linear_sum_assignment(matrix, maximize=True), strict=True):
            if matrix[i, j] > 0:
                matches.append(_match(scores, int(left[i]), int(right[j]), float(matrix[i, j])))
    return sorted(matches, key=lambda match: match.image)


def _match(scores: Scores, row: int, column: int, value: float) -> CellMatch:
    ours, theirs = scores.ours[row], scores.theirs[column]
    best, rival, is_target = -1.0, None, True
    for here, others, cells, own, of_target in (
        (scores.rows == row, scores.columns, scores.theirs, theirs, True),
        (scores.columns == column, scores.rows, scores.ours, ours, False),
    ):
        for at in np.flatnonzero(here):
            other = cells[int(others[at])]
            if other[0] != own[0] and scores.values[at] > best:
                best, rival, is_target = float(scores.values[at]), other, of_target
    return CellMatch(ours, theirs, value, best, rival, is_target)


def _coarse(smear: Smear, cell: Cell) -> Array:
    """Return where a cell is, in coarse pixels."""
    return np.asarray(cell.at_px) * smear.working_um / smear.coarse_um


def _reach_px(smear: Smear) -> int:
    return round(REACH_UM / smear.coarse_um)
