"""How methods stand the defects of an instrument: scores before and after, by defect and strength (Bon, 2.1.3).

The source puts one misadjustment on the microscope and looks at what its networks make of it. Here each good image is given
each of :data:`napari_cellrestore.simulate.DEFECTS`.
"""

from __future__ import annotations

import csv
import io
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_cellrestore.evaluate.certainty import mean_interval
from napari_cellrestore.evaluate.tables import PSNR_CAP
from napari_cellrestore.metrics import METRICS, DataRange, score
from napari_cellrestore.sample import as_stack
from napari_cellrestore.simulate import DEFECTS, Defect
from napari_cellrestore.stack import ImageStack

if TYPE_CHECKING:
    from napari_cellrestore.model import Model
    from napari_cellrestore.restore import Plan

Array = np.ndarray
Image = Array | ImageStack
#: Takes an image and gives one of its size.
Restore = Callable[[Array], Array]
#: Mean over images, and the ends of its 95 % interval.
Interval = tuple[float, float, float]

#: Metrics of the tables of the source.
BON_METRICS = ("mse", "msemg", "ssim", "psnr", "cv", "sharpness")
#: With fewer images an interval from resampling says too much.
FEW_IMAGES = 6
NO_DEFECT = "none"


@dataclass(frozen=True)
class RobustnessRow:
    """One metric of one method on images with one defect.

    Attributes
    ----------
    defect, unit : str
    strength : float
        Defect ``"none"`` is the images as they are.
    method, metric : str
    images : int
    before, after : (float, float, float)
        Metric of the image with the defect, and of what the method made of it, against the truth: mean over images and its
        bootstrap 95 % interval, whose ends are NaN for fewer than :data:`FEW_IMAGES` images. A PSNR above 50 dB counts as 50.
    change : (float, float, float)
        ``after - before``, image by image.
    kept : (float, float, float), optional
        Metric of what the method made of the image with the defect against what it made of the one without: does the defect
        show in the result? None for metrics that need no reference.
    """

    defect: str
    strength: float
    unit: str
    method: str
    metric: str
    images: int
    before: Interval
    after: Interval
    change: Interval
    kept: Interval | None

    @property
    def verdict(self) -> str:
        """Whether the method ``"helps"`` or ``"harms"``, by the interval of the change; not corrected for many rows.

        Metrics without a reference, those best at 1, and PSNR that is 50 dB before and after are not judged.
        """
        better = METRICS[self.metric].better
        _, low, high = self.change
        if better == "one" or not METRICS[self.metric].needs_reference:
            return "not judged"
        if self.metric == "psnr" and min(self.before[0], self.after[0]) >= PSNR_CAP:
            return "not judged"
        if self.images < FEW_IMAGES:
            return "too few images"
        if low <= 0 <= high:
            return "no difference shown"
        return "helps" if (low > 0) == (better == "higher") else "harms"

    def as_dict(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        return {**asdict(self), "verdict": self.verdict}


@dataclass(frozen=True)
class RobustnessTable:
    """Rows for every defect, strength, method and metric.

    Attributes
    ----------
    rows : tuple of RobustnessRow
    notes : tuple of (int, str)
        What the models' plans mind of images: number of the image, from 0, and a sentence; each sentence once.
    left_out : tuple of (int, str)
        Images that could not be scored, and why.
    """

    rows: tuple[RobustnessRow, ...]
    notes: tuple[tuple[int, str], ...] = ()
    left_out: tuple[tuple[int, str], ...] = ()

    def of(self, metric: str) -> list[RobustnessRow]:
        """Return the rows of a metric."""
        if not (rows := [row for row in self.rows if row.metric == metric]):
            known = ", ".join(dict.fromkeys(row.metric for row in self.rows))
            raise ValueError(f"no scores by {metric!r}: there are {known}")
        return rows

    def as_dict(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        return {"rows": [row.as_dict() for row in self.rows], "notes": self.notes, "left_out": self.left_out}

    def csv(self) -> str:
        """Return comma-separated values in full precision, a line for each row."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        ends = [f"{name}{end}" for name in ("before", "after", "change", "kept") for end in ("", "_low", "_high")]
        writer.writerow(["defect", "strength", "unit", "method", "metric", "images", *ends, "verdict"])
        for row in self.rows:
            numbers = [*row.before, *row.after, *row.change, *(row.kept or ("", "", ""))]
            told = ["" if number != number else number for number in numbers]  # NaN
            writer.writerow(
                [row.defect, row.strength, row.unit, row.method, row.metric, row.images, *told, row.verdict]
            )
        return text.getvalue()

    def markdown(self) -> str:
        """Return a table for each metric: before, and for each method after, and kept.

        Means and their 95 % intervals; of fewer than :data:`FEW_IMAGES` images the means alone.
        """
        return "\n".join(
            part for metric in dict.fromkeys(row.metric for row in self.rows) for part in _section(self.of(metric))
        )


def robustness(
    images: Iterable[Image | tuple[Image, Image]],
    methods: Mapping[str, Restore | Model],
    *,
    metrics: Sequence[str] = BON_METRICS,
    defects: Mapping[str, Defect] = DEFECTS,
    data_range: DataRange = None,
    intensity: tuple[float, float] | None = None,
    seed: int = 0,
    keep_going: bool = False,
) -> RobustnessTable:
    """Give each image each defect, restore it by each method, and score what comes out.

    Parameters
    ----------
    images : iterable of (Y, X) or (Y, X, 3) arrays or ImageStacks, or of pairs of them
        Good images, taken one after another. Of a pair the first gets the defects, the second is what the method should make
        of it; a single image is its own truth, as for methods that repair.
    methods : mapping
        Name -> model, or callable that takes an image and gives one of its size. A model restores an image with a defect by
        the plan of the image without: a defect, such as a bright pixel of noise, does not change its grey levels.
    metrics : sequence of str
        Of :data:`napari_cellrestore.metrics.METRICS`.
    defects : mapping
        :data:`napari_cellrestore.simulate.DEFECTS`, or :func:`napari_cellrestore.simulate.instrument_defects` of another pixel size
        and lens.
    data_range
        As in :func:`napari_cellrestore.metrics.score`; if not given that of ``intensity``, unless the truth has another type than
        the images.
    intensity : (float, float), optional
        Black and full scale, for models as in a plan, and for metrics that need their span.
    seed : int
        Of noise: that of the n-th image, a defect and a strength depends on nothing else.
    keep_going : bool
        Leave out an image that cannot be scored, and list it in ``left_out``, instead of raising.

    Returns
    -------
    RobustnessTable

    Raises
    ------
    ValueError
        No images, no methods, unknown metrics, a result of another size, images of another type than the first, whose grey
        levels are not the same; with ``keep_going`` no image that can be scored.

    Examples
    --------
    >>> from napari_cellrestore.filters import undo_scan_shear
    >>> from scipy import ndimage
    >>> noise = np.random.default_rng(0).normal(100, 60, (2, 64, 64))
    >>> scenes = ndimage.gaussian_filter(noise, (0, 2, 2))
    >>> shear = {"shear": DEFECTS["bidirectional_shear"]}
    >>> table = robustness(scenes, {"undo": undo_scan_shear}, metrics=["mse"], defects=shear)
    >>> for row in table.rows:
    ...     print(row.defect, row.strength, row.after[0] < row.before[0] / 10 + 0.01)
    none 0.0 True
    bidirectional shear 0.5 True
    bidirectional shear 1.0 True
    bidirectional shear 2.0 True
    bidirectional shear 4.0 True
    """
    if not methods:
        raise ValueError("there are no methods: give one or more, name -> callable")
    score([[0]], [[0]], [name for name in metrics if name not in METRICS])  # raises before the work
    kind: np.dtype[Any] | None = None
    scores: dict[_Key, list[_Scores]] = {}
    notes: dict[str, int] = {}
    left_out: list[tuple[int, str]] = []
    for number, given in enumerate(images):
        image, truth = given if isinstance(given, tuple) else (given, given)
        try:
            ready, minds = _ready(methods, image, intensity)
            span = data_range
            if span is None and intensity is not None and _pixels(truth).dtype == _pixels(image).dtype:
                span = float(intensity[1] - intensity[0])
            judge = _Judge(tuple(metrics), span, _pixels(truth))
            if kind is not None and judge.truth.dtype != kind:
                raise ValueError(f"it is {judge.truth.dtype}, those before are {kind}: give images of one type")
            found = list(_scored(_pixels(image), ready, judge, defects, (seed, number)))
        except (ValueError, TypeError, OSError) as error:
            if not keep_going:
                raise
            left_out.append((number, " ".join(str(error).split())))
            continue
        kind = judge.truth.dtype
        for text in [*minds, *judge.notes()]:
            notes.setdefault(text, number)
        for key, of_image in found:
            scores.setdefault(key, []).append(of_image)
    if left_out and not scores:
        raise ValueError(f"none of {len(left_out)} images can be scored: {left_out[0][1]}")
    if not scores:
        raise ValueError("there are no images: give one or more")
    rows = tuple(row for key, several in scores.items() for row in _rows(key, several))
    return RobustnessTable(rows, tuple((number, text) for text, number in notes.items()), tuple(left_out))


#: Defect, strength, unit, method.
_Key = tuple[str, float, str, str]
#: Of one image: before, after, kept, each by metric.
_Scores = tuple[Mapping[str, float], Mapping[str, float], Mapping[str, float]]


@dataclass(frozen=True, eq=False)
class _Judge:
    """Scores images; what a type tells of grey levels is that of the truth, since results may have another."""

    metrics: tuple[str, ...]
    data_range: DataRange
    truth: Array

    def notes(self) -> list[str]:
        """Say where the grey levels that a type can hold are many more than the image has."""
        wide = self.truth.dtype.kind == "u" and self.truth.dtype.itemsize > 1 and self.data_range is None
        if not wide or not {"psnr", "ssim", "ssim_global"} & set(self.metrics):
            return []
        most, full = int(self.truth.max()), np.iinfo(self.truth.dtype).max
        said = f"PSNR and SSIM are taken over 0 to {full}, the image reaches {most}: give data_range, 4095 for 12 bit"
        return [said] if most <= full / 4 else []

    def __call__(self, reference: Array, image: Array, *, alone: bool = True) -> dict[str, float]:
        """Return scores by metric; without ``alone`` only of those that compare."""
        span = self.data_range
        if span is None and self.truth.dtype.kind == "u":
            span = float(np.iinfo(self.truth.dtype).max)
        chosen = [name for name in self.metrics if alone or METRICS[name].needs_reference]
        found = score(reference, image, chosen, data_range=span)
        return {name: min(value, PSNR_CAP) if name == "psnr" else value for name, value in found.items()}


def _pixels(image: Image) -> Array:
    return np.asarray(image.data if isinstance(image, ImageStack) else image)


def _ready(
    methods: Mapping[str, Restore | Model], image: Image, intensity: tuple[float, float] | None
) -> tuple[dict[str, Restore], list[str]]:
    """Return the methods as callables, models with the plan of this image, and what the plans mind."""
    ready: dict[str, Restore] = {}
    minds: list[str] = []
    for name, method in methods.items():
        if callable(method):
            ready[name] = method
            continue
        from napari_cellrestore.restore import plan_restoration  # torch, which filters do without

        stack = as_stack(image if isinstance(image, ImageStack) else np.asarray(image))
        plan = plan_restoration(stack, method, intensity=intensity)
        minds += plan.warnings
        ready[name] = partial(_restored, stack=stack, model=method, plan=plan)
    return ready, minds


def _restored(damaged: Array, stack: ImageStack, model: Model, plan: Plan) -> Array:
    from napari_cellrestore.restore import restore

    return np.asarray(restore(stack.replace(data=damaged), model, plan))


def _scored(
    image: Array, methods: Mapping[str, Restore], judge: _Judge, defects: Mapping[str, Defect], seed: tuple[int, int]
) -> Iterator[tuple[_Key, _Scores]]:
    """Yield the scores of one image, by defect, strength and method."""
    own = {name: _made(name, method, image) for name, method in methods.items()}
    for defect, strength, unit, damaged in _damaged(image, defects, seed):
        before = judge(judge.truth, damaged)
        for name, method in methods.items():
            made = _made(name, method, damaged) if defect != NO_DEFECT else own[name]
            kept = judge(own[name], made, alone=False)
            yield (defect, strength, unit, name), (before, judge(judge.truth, made), kept)


def _damaged(
    image: Array, defects: Mapping[str, Defect], seed: tuple[int, int]
) -> Iterator[tuple[str, float, str, Array]]:
    """Yield label, strength, unit and image, first without a defect."""
    yield NO_DEFECT, 0.0, "", image
    for defect in defects.values():
        named = zlib.crc32(defect.name.encode())  # hash() is another in each run
        for strength in defect.strengths:
            rng = np.random.default_rng([*seed, named, round(1000 * strength)])
            yield defect.label, strength, defect.unit, defect(image, strength, rng)


def _made(name: str, method: Restore, image: Array) -> Array:
    made = np.asarray(method(image))
    if made.shape != image.shape:
        raise ValueError(f"{name!r} made {made.shape} of an image of {image.shape}: give methods that keep the size")
    return made


def _rows(key: _Key, several: Sequence[_Scores]) -> Iterator[RobustnessRow]:
    defect, strength, unit, method = key
    for metric in several[0][0]:
        before, after = (np.array([one[part][metric] for one in several]) for part in (0, 1))
        kept = [one[2][metric] for one in several if metric in one[2]]
        yield RobustnessRow(
            defect,
            strength,
            unit,
            method,
            metric,
            len(several),
            _interval(before),
            _interval(after),
            _interval(after - before),
            _interval(kept) if kept else None,
        )


def _interval(values: Sequence[float] | Array) -> Interval:
    return mean_interval(values) if len(values) >= FEW_IMAGES else (float(np.mean(values)), np.nan, np.nan)


# --- what is shown -----------------------------------------------------------------------------------------


def _section(rows: Sequence[RobustnessRow]) -> Iterator[str]:
    methods = list(dict.fromkeys(row.method for row in rows))
    metric = METRICS[rows[0].metric]
    with_kept = [method for method in methods if metric.needs_reference]
    heads = ["defect", "strength", "before", *(f"after {method}" for method in methods)]
    heads += [f"{method}, of its own" for method in with_kept]
    unit = f", {metric.unit}" if metric.unit else ""
    most = f", at most {PSNR_CAP:g}" if metric.name == "psnr" else ""
    yield f"**{metric.label}**{unit}{most} ({rows[0].images} images)\n"
    yield _line(heads)
    yield _line(["---"] * len(heads))
    for at in dict.fromkeys((row.defect, row.strength, row.unit) for row in rows):
        here = {row.method: row for row in rows if (row.defect, row.strength, row.unit) == at}
        first = next(iter(here.values()))
        strength = f"{first.strength:g} {first.unit}" if first.unit else ""
        cells = [first.defect, strength, _said(first.before), *(_said(here[method].after) for method in methods)]
        yield _line(cells + [_said(here[method].kept) for method in with_kept])
    yield ""


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _said(interval: Interval | None) -> str:
    if interval is None:
        return "–"
    mean, low, high = interval
    return f"{mean:.4g}" if np.isnan(low) else f"{mean:.4g} ({low:.4g} to {high:.4g})"
