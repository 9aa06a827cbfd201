"""Nuclei of a restored image against those of the truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from napari_cellrestore.nuclei.counts import NucleiCounts
from napari_cellrestore.nuclei.finding import GAP_UM, LARGEST_UM2, SMALLEST_UM2, Nuclei, stained_nuclei

Array = np.ndarray

#: A matched nucleus with less than this part of the area, or more than its reciprocal, has another size.
SAME_AREA = 0.7
#: A nucleus just within the limits of area may just miss them in the other image: there they are so much wider.
_MARGIN = 2.0

_NEVER = 1e6


@dataclass(frozen=True, eq=False)
class NucleiComparison:
    """Which nuclei of a target a prediction has; row ``k`` of the columns is the pair ``pairs[k]``.

    Attributes
    ----------
    target, prediction : Nuclei
        Found in both images. Those beyond the limits of area may be paired, and are not counted.
    pairs : (M, 2) int array
        Rows of target and prediction that are one nucleus.
    distance_um, area_ratio, lobe_difference, dice : (M,) array
        Of the centres; area, lobes of the prediction against the target's; of the pixels.
    missing, added : tuple of int
        Rows of the target, and of the prediction, without a partner.
    """

    target: Nuclei
    prediction: Nuclei
    pairs: Array
    distance_um: Array
    area_ratio: Array
    lobe_difference: Array
    dice: Array
    missing: tuple[int, ...]
    added: tuple[int, ...]

    @property
    def doubt(self) -> str:
        """Why the comparison is not to be believed, "" where it is."""
        if self.target.doubt:
            return f"target: {self.target.doubt}"
        return f"prediction: {self.prediction.doubt}" if self.prediction.doubt else ""

    @property
    def counts(self) -> NucleiCounts:
        """The comparison as counts; those of a target of an unknown stain are 0."""
        if self.target.doubt:
            return NucleiCounts(doubtful=1)
        matched = len(self.pairs)
        target = matched + len(self.missing)
        resized = (self.area_ratio < SAME_AREA) | (self.area_ratio > 1 / SAME_AREA)
        return NucleiCounts(
            images=1,
            empty=int(not target),
            target=target,
            prediction=matched + len(self.added),
            matched=matched,
            missing=len(self.missing),
            added=len(self.added),
            resized=int(resized.sum()),
            lobes=int(np.count_nonzero(self.lobe_difference)),
            dice=float(self.dice.sum()),
        )

    def __str__(self) -> str:
        counts = self.counts
        if self.target.doubt:
            return self.doubt
        added = f"{counts.added} added"
        if counts.empty:
            return f"the target has no nuclei, {added}"
        said = f"{counts.missing} of {counts.target} nuclei missing, {added}"
        said += f", {counts.resized} of other size, {counts.lobes} of other lobes" if counts.matched else ""
        return f"{said}; {self.doubt}" if self.doubt else said


def compare_nuclei(
    target: npt.ArrayLike,
    prediction: npt.ArrayLike,
    pixel_um: float,
    *,
    smallest_um2: float = SMALLEST_UM2,
    largest_um2: float = LARGEST_UM2,
    gap_um: float = GAP_UM,
) -> NucleiComparison:
    """Match the nuclei of a restored image one to one with those of the truth.

    Two nuclei can be one where their centres are not farther apart than the radius ``sqrt(area / pi)`` of the target's.
    Of all such matchings that pair as many as can be, the one with the smallest sum of ``distance / radius + 1 - Dice`` is
    taken (Kuhn 1955, Nav. Res. Logist. Q. 2:83). What is left is missing or added.

    Parameters
    ----------
    target, prediction : (Y, X, 3 or 4) arrays
        Truth and restored image, of one size.
    pixel_um, smallest_um2, largest_um2, gap_um : float
        As of :func:`stained_nuclei`. A partner may be half as small or twice as large as the limits say.

    Returns
    -------
    NucleiComparison

    Examples
    --------
    >>> truth = np.full((90, 90, 3), 230, np.uint8)
    >>> truth[10:40, 10:40] = truth[50:80, 50:80] = 90, 50, 150
    >>> erased = truth.copy()
    >>> erased[50:80, 50:80] = 230
    >>> print(compare_nuclei(truth, erased, 0.25))
    1 of 2 nuclei missing, 0 added, 0 of other size, 0 of other lobes
    >>> print(compare_nuclei(erased[45:], truth[45:], 0.25))
    the target has no nuclei, 1 added
    """
    wide = {"smallest_um2": smallest_um2 / _MARGIN, "largest_um2": largest_um2 * _MARGIN, "gap_um": gap_um}
    theirs, ours = (stained_nuclei(image, pixel_um=pixel_um, **wide) for image in (target, prediction))
    if theirs.labels.shape != ours.labels.shape:
        raise ValueError(
            f"target has {theirs.labels.shape} px, prediction {ours.labels.shape}: give images of one size"
        )
    inside_theirs, inside_ours = (
        (found.area_um2 >= smallest_um2) & (found.area_um2 <= largest_um2) for found in (theirs, ours)
    )
    dice = _dice(theirs, ours)
    distance_um = cdist(theirs.centres_um, ours.centres_um)
    pairs = _matched(distance_um, np.sqrt(theirs.area_um2 / np.pi), dice)
    missing = sorted(set(np.flatnonzero(inside_theirs).tolist()) - set(pairs[:, 0].tolist()))
    added = sorted(set(np.flatnonzero(inside_ours).tolist()) - set(pairs[:, 1].tolist()))
    pairs = pairs[inside_theirs[pairs[:, 0]] | inside_ours[pairs[:, 1]]]
    i, j = pairs.T
    return NucleiComparison(
        theirs,
        ours,
        pairs,
        distance_um[i, j],
        ours.area_um2[j] / theirs.area_um2[i],
        ours.lobes[j] - theirs.lobes[i],
        dice[i, j],
        tuple(missing),
        tuple(added),
    )


def _dice(theirs: Nuclei, ours: Nuclei) -> Array:
    """Return the Dice of every two nuclei, (N, M)."""
    n, m = len(theirs) + 1, len(ours) + 1
    common = np.bincount((theirs.labels.astype(np.int64) * m + ours.labels).ravel(), minlength=n * m).reshape(n, m)
    sizes = common.sum(axis=1)[1:, None] + common.sum(axis=0)[None, 1:]
    return np.asarray(2 * common[1:, 1:] / sizes)


def _matched(distance_um: Array, radius_um: Array, dice: Array) -> Array:
    relative = distance_um / radius_um[:, None]
    cost = np.where(relative <= 1, relative + 1 - dice, _NEVER)
    rows, columns = linear_sum_assignment(cost)
    near = cost[rows, columns] < _NEVER
    return np.stack([rows[near], columns[near]], axis=1)
