"""Whether a classifier sees in transformed images what it sees in the targets (Jönsson & Sjöstrand 2018, chapter 4, figure 35).

Not whether it is right: the target is classified too, and both answers are compared.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_cellrestore.nuclei import Rate, wilson

Array = np.ndarray
Label = Hashable


@dataclass(frozen=True, eq=False)
class Agreement:
    """How often two classifications of the same cells agree, and which classes are confused.

    Attributes
    ----------
    classes : tuple
    counts : (K, K) int array
        Rows: class of the transformed image; columns: class of its target.
    left_out : int
        Pairs of which one image or both got no class.

    Examples
    --------
    >>> found = Agreement(("lymphocyte", "monocyte"), np.array([[18, 0], [4, 8]]), left_out=1)
    >>> print(found.rate, "kappa", round(found.kappa, 2))
    26 of 30 (86.7 %, 70.3 to 94.7 %) kappa 0.71
    >>> found.row_percent.round(1).tolist()
    [[100.0, 0.0], [33.3, 66.7]]
    """

    classes: tuple[Label, ...]
    counts: Array
    left_out: int = 0

    @property
    def rate(self) -> Rate:
        """The share of pairs of one class, with its 95 % interval (Wilson 1927)."""
        return wilson(int(np.trace(self.counts)), int(self.counts.sum()))

    @property
    def kappa(self) -> float | None:
        """Agreement beyond chance, ``(p - e) / (1 - e)`` (Cohen 1960, Educ. Psychol. Meas. 20:37); None where ``e`` is 1.

        ``p`` is the share that agrees and ``e`` what would agree if both classified by lot, as often each class as they do.
        """
        total = self.counts.sum()
        if not total:
            return None
        expected = float(self.counts.sum(axis=0) @ self.counts.sum(axis=1)) / float(total) ** 2
        return None if expected >= 1 else (float(np.trace(self.counts)) / float(total) - expected) / (1 - expected)

    @property
    def row_percent(self) -> Array:
        """Percent of each row, (K, K); NaN where a row is empty."""
        with np.errstate(invalid="ignore"):
            return np.asarray(100 * self.counts / self.counts.sum(axis=1, keepdims=True))

    @property
    def by_row(self) -> list[Rate]:
        """Of the images transformed to each class, how many have a target of that class."""
        return [wilson(int(row[place]), int(row.sum())) for place, row in enumerate(self.counts)]

    @property
    def by_column(self) -> list[Rate]:
        """Of the targets of each class, how many were transformed to that class."""
        return [wilson(int(column[place]), int(column.sum())) for place, column in enumerate(self.counts.T)]

    def as_dict(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        rate = self.rate
        return {
            "classes": [str(one) for one in self.classes],
            "counts": self.counts.tolist(),
            "row_percent": [[None if np.isnan(v) else float(v) for v in row] for row in self.row_percent],
            "left_out": self.left_out,
            "agree": rate.count,
            "of": rate.of,
            "rate": rate.share,
            "rate_interval": [rate.low, rate.high],
            "kappa": self.kappa,
        }

    def csv(self) -> str:
        """Return the layout of figure 35: counts, totals and percent of rows and of columns."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["transformed \\ target", *self.classes, "total", "agree (%)"])
        for name, row, rate in zip(self.classes, self.counts, self.by_row, strict=True):
            writer.writerow([name, *row.tolist(), int(row.sum()), _percent(rate)])
        writer.writerow(["total", *self.counts.sum(axis=0).tolist(), int(self.counts.sum()), ""])
        writer.writerow(["agree (%)", *map(_percent, self.by_column), "", _percent(self.rate)])
        return text.getvalue()

    def __str__(self) -> str:
        kappa = "not defined" if self.kappa is None else f"{self.kappa:.3f}"
        left = f"; {self.left_out} without a class" if self.left_out else ""
        return f"{self.rate} classified alike, kappa {kappa}{left}"


def agreement(
    classifier: Any,
    transformed: Iterable[Any],
    targets: Iterable[Any],
    classes: Sequence[Label] | None = None,
    *,
    features: Callable[[Any], Any] | None = None,
) -> Agreement:
    """Classify transformed images and their targets, and count how often both are the same.

    Parameters
    ----------
    classifier : callable or estimator
        ``classifier(image) -> label``, None or NaN for no class; or anything with ``predict``, as scikit-learn has, which is given
        the features of all images, (N, P).
    transformed, targets : iterables of images
        In pairs. One image of each is held at a time, unless a classifier has ``predict``: then features.
    classes : sequence, optional
        The labels there can be, in the order of the matrix; if not given those met, sorted.
    features : callable, optional
        ``features(image) -> (P,) array`` for an estimator; None for an image that has none, which gets no class.

    Returns
    -------
    Agreement

    Raises
    ------
    ValueError
        More images of one kind than of the other, none, labels that are not among the classes, features of several lengths.

    Notes
    -----
    Of the source 834 of 981 pairs are in the matrix: those that its network left "unidentified" are not. So are here pairs of
    which one has the label None.

    Examples
    --------
    >>> dark = lambda image: "dark" if image.mean() < 100 else "bright"
    >>> images = [np.full((2, 2), level) for level in (20, 90, 110, 200)]
    >>> print(agreement(dark, [image + 15 for image in images], images))
    3 of 4 (75.0 %, 30.1 to 95.4 %) classified alike, kappa 0.500
    """
    ours, theirs = (_named(_labels(classifier, images, features)) for images in (transformed, targets))
    if len(ours) != len(theirs) or not ours:
        raise ValueError(f"{len(ours)} transformed images and {len(theirs)} targets: give as many of both, one or more")
    pairs = [(a, b) for a, b in zip(ours, theirs, strict=True) if a is not None and b is not None]
    met = sorted({label for pair in pairs for label in pair}, key=str)
    names = tuple(met if classes is None else classes)
    if strange := [label for label in met if label not in names]:
        raise ValueError(
            f"the classifier said {strange[0]!r}, the classes are {', '.join(map(str, names))}: give them all"
        )
    place = {name: number for number, name in enumerate(names)}
    counts = np.zeros((len(names), len(names)), int)
    for a, b in pairs:
        counts[place[a], place[b]] += 1
    return Agreement(names, counts, len(ours) - len(pairs))


def _labels(classifier: Any, images: Iterable[Any], features: Callable[[Any], Any] | None) -> list[Label | None]:
    if not hasattr(classifier, "predict"):
        if not callable(classifier):
            raise TypeError(
                f"classifier is a {type(classifier).__name__}: give a callable, or an estimator with predict"
            )
        return [classifier(image) for image in images]
    if features is None:
        raise ValueError("classifier has predict, which takes features: say how an image is measured (features)")
    measured = [features(image) for image in images]
    table = [np.asarray(one, float) for one in measured if one is not None]
    if len(shapes := sorted({row.shape for row in table})) > 1:
        raise ValueError(f"features have the shapes {shapes}: measure the same of every image, or give None")
    found = iter(np.asarray(classifier.predict(np.stack(table))).tolist() if table else [])
    return [None if one is None else next(found) for one in measured]


def _named(labels: list[Label | None]) -> list[Label | None]:
    """Return labels without NaN, which no label is like, not even itself."""
    return [None if label != label else label for label in labels]


def _percent(rate: Rate) -> str:
    return "" if rate.share is None else f"{100 * rate.share:.1f}"
