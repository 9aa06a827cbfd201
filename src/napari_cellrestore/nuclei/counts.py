"""Counts of nuclei over many images, and how certain the rates are."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

from scipy.stats import binomtest


@dataclass(frozen=True)
class Rate:
    """A share of something counted, with its 95 % interval; None where there is nothing to take a share of."""

    count: int
    of: int
    share: float | None
    low: float | None
    high: float | None

    def __str__(self) -> str:
        if self.share is None or self.low is None or self.high is None:
            return "none to count"
        return f"{self.count} of {self.of} ({100 * self.share:.1f} %, {100 * self.low:.1f} to {100 * self.high:.1f} %)"


def wilson(count: int, of: int) -> Rate:
    """Return a share with its 95 % interval (Wilson 1927, J. Am. Stat. Assoc. 22:209), which is not empty at 0 of n.

    Examples
    --------
    >>> print(wilson(0, 20), "|", wilson(3, 20), "|", wilson(0, 0))
    0 of 20 (0.0 %, 0.0 to 16.1 %) | 3 of 20 (15.0 %, 5.2 to 36.0 %) | none to count
    """
    if not 0 <= count <= of:
        raise ValueError(f"{count} of {of}: a count lies between 0 and what it is counted of")
    if not of:
        return Rate(0, 0, None, None, None)
    interval = binomtest(count, of).proportion_ci(method="wilson")
    return Rate(count, of, count / of, float(interval.low), float(interval.high))


@dataclass(frozen=True)
class NucleiCounts:
    """What became of nuclei, over one image or many: counts add up.

    Attributes
    ----------
    images : int
        Images whose nuclei were counted.
    empty : int
        Those of them whose target has no nuclei.
    doubtful : int
        Images that were not counted, as the stain of their target is not known.
    target, prediction, matched : int
        Nuclei in the targets, in the predictions, and in both.
    missing, added : int
        Only in the target, only in the prediction.
    resized : int
        Matched, but with less than 0.7 or more than 1 / 0.7 of the area.
    lobes : int
        Matched, but with another number of lobes.
    dice : float
        Sum of the Dice of the matched.

    Examples
    --------
    >>> both = NucleiCounts(images=1, target=3, prediction=2, matched=2, missing=1) + NucleiCounts(images=1, empty=1)
    >>> both.images, both.target, print(both.rates()["missing"])
    1 of 3 (33.3 %, 6.1 to 79.2 %)
    (2, 3, None)
    """

    images: int = 0
    empty: int = 0
    doubtful: int = 0
    target: int = 0
    prediction: int = 0
    matched: int = 0
    missing: int = 0
    added: int = 0
    resized: int = 0
    lobes: int = 0
    dice: float = 0.0

    def __add__(self, other: NucleiCounts) -> NucleiCounts:
        return NucleiCounts(*(getattr(self, one.name) + getattr(other, one.name) for one in fields(self)))

    @property
    def wrong(self) -> int:
        """Nuclei that are missing or added."""
        return self.missing + self.added

    @property
    def mean_dice(self) -> float | None:
        """Mean Dice of the matched, None without any."""
        return self.dice / self.matched if self.matched else None

    def rates(self) -> dict[str, Rate]:
        """Return shares by name: missing of the target's nuclei, added of the prediction's, the others of the matched.

        The interval takes nuclei for independent of each other; those of one image, or slide, are more alike.
        """
        return {
            "missing": wilson(self.missing, self.target),
            "added": wilson(self.added, self.prediction),
            "resized": wilson(self.resized, self.matched),
            "other lobes": wilson(self.lobes, self.matched),
        }

    def as_dict(self) -> dict[str, Any]:
        """Return what JSON can hold; ``NucleiCounts(**counts)`` makes the counts again."""
        return asdict(self)
