"""Scores of many images, one sample after another: what is kept is numbers, so a thousand stacks take no more memory than one.

A sample is a sharp image and what is to be restored to it. Several are scored at once, one on each processor core.
"""

from __future__ import annotations

import logging
import os
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import islice
from threading import Event
from typing import Any

import numpy as np

from napari_cellrestore.metrics import DataRange, score
from napari_cellrestore.nuclei import NucleiCounts, compare_nuclei
from napari_cellrestore.stack import ImageStack

Array = np.ndarray
#: Takes a stack (ZYX or ZYXS) and gives its restored planes, numpy or dask.
Method = Callable[[ImageStack], Any]

#: Metrics of table 6.1.
METRICS = ("mse", "ssim", "psnr", "focus_ratio", "fpw")
#: Stacks of up to this many bytes are read and restored whole, not plane by plane.
SMALL_BYTES = 2**26
#: What can be wrong with one sample; the others are scored all the same.
WRONG_SAMPLE = (ValueError, TypeError, OSError, RuntimeError, MemoryError)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Sample:
    """A true image and what is to be restored to it: planes of a focus stack one by one, or the input of a pair.

    Attributes
    ----------
    reference : (Y, X) or (Y, X, 3 or 4) array
        What restored images are compared with.
    stack : ImageStack
        What methods are given, numpy or dask. A focus stack is ZYX or ZYXS, its ``z_um`` are the focus levels, counted
        from the reference. The input of a pair is an image or a stack that becomes one image.
    remarks : tuple of str
        What makes the sample doubtful.
    beside : (Y, X) or (Y, X, 3) array, optional
        Of a pair, the input as one image of the colours of the reference; None for a focus stack, which has its planes.
    """

    reference: Array
    stack: ImageStack
    remarks: tuple[str, ...] = ()
    beside: Array | None = None

    @property
    def levels_um(self) -> Array:
        """Focus levels; of a pair one, 0."""
        return np.asarray(self.stack.z_um, float) if self.beside is None else np.zeros(1)

    @property
    def inputs(self) -> Any:
        """The images that are to be restored, one for each level."""
        return self.stack.data if self.beside is None else self.beside[None]

    def restored(self, apply: Method) -> Any:
        """Return what a method makes of it, one image for each level; ValueError where its grey levels are not the target's."""
        images = in_memory(apply(self.stack))
        if self.beside is None:
            return images
        if images.dtype != self.reference.dtype and self.stack.data.dtype != self.reference.dtype:
            raise ValueError(
                f"what was made has {images.dtype} pixels, the target {self.reference.dtype}: choose a model that was trained to "
                "make images of that type"
            )
        return images[None]


@dataclass(frozen=True, eq=False)
class Scored:
    """Scores of one sample, or why there are none.

    ``scores[method][metric]`` is (L,), one for each of ``levels_um``; the planes themselves are the method ``"input"``.
    ``nuclei[method]`` is what became of the nuclei of the reference, empty where they were not counted.
    """

    name: str
    levels_um: tuple[float, ...] = ()
    scores: Mapping[str, Mapping[str, Array]] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    reason: str = ""
    nuclei: Mapping[str, NucleiCounts] = field(default_factory=dict)


def score_samples(
    samples: Mapping[str, Callable[[], Sample]],
    methods: Mapping[str, Method],
    metrics: Iterable[str] = METRICS,
    *,
    data_range: DataRange = None,
    nuclei: bool = False,
    workers: int | None = None,
    stop: Event | None = None,
) -> Generator[Scored, None, None]:
    """Score methods on samples, in their order; a sample that cannot be scored is said, and does not end the others.

    Parameters
    ----------
    samples : mapping of callables
        Each makes its sample when its turn comes, and is forgotten after it.
    methods : mapping
        Name -> method. The first is nothing special here.
    metrics, data_range
        As in :func:`napari_cellrestore.metrics.score`.
    nuclei : bool
        Count nuclei as well, of samples in colours whose pixel size is known.
    workers : int, optional
        Samples at work at once; default: one for each processor core.
    stop : Event, optional
        When it is set, no more samples are begun.

    Examples
    --------
    >>> texture = np.random.default_rng(0).normal(size=(1, 32, 32))
    >>> def good() -> Sample:
    ...     return Sample(texture[0], ImageStack(0.5 * texture, "ZYX", z_um=[0.2]))
    >>> def bad() -> Sample:
    ...     raise ValueError("the file is empty")
    >>> for scored in score_samples({"a": good, "b": bad}, {"double": lambda stack: 2 * stack.data}, ["mse"]):
    ...     print(scored.name, scored.scores.get("double"), scored.reason)
    a {'mse': array([0.])}
    b None the file is empty
    """
    names = list(metrics)
    if "input" in methods:
        raise ValueError("a method is called 'input', the name of the planes themselves: give it another name")
    stop = stop or Event()

    def one(name: str) -> Scored | None:
        return None if stop.is_set() else _score(name, samples[name], methods, names, data_range, nuclei, stop)

    count = workers or os.cpu_count() or 1
    with ThreadPoolExecutor(count, thread_name_prefix="score", initializer=_one_core_each) as pool:
        waiting = iter(samples)
        queue: deque[Future[Scored | None]] = deque(pool.submit(one, name) for name in islice(waiting, count + 1))
        try:
            while queue:
                scored = queue.popleft().result()
                if scored is None:
                    return
                queue.extend(pool.submit(one, name) for name in islice(waiting, 1))
                yield scored
        finally:
            stop.set()


def _one_core_each() -> None:
    """Keep a network from spreading over cores that score other samples; torch counts threads for each thread."""
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)


def _score(
    name: str,
    make: Callable[[], Sample],
    methods: Mapping[str, Method],
    metrics: Sequence[str],
    data_range: DataRange,
    nuclei: bool,
    stop: Event,
) -> Scored | None:
    try:
        sample = make()
        sample = replace(sample, stack=sample.stack.replace(data=in_memory(sample.stack.data)))
        images = {"input": sample.inputs} | {method: sample.restored(apply) for method, apply in methods.items()}
        rows: dict[str, list[dict[str, float]]] = {method: [] for method in images}
        for index in range(len(sample.levels_um)):
            if stop.is_set():
                return None
            for method, planes in images.items():
                plane = computed(planes[index])
                rows[method].append(score(sample.reference, plane, metrics, data_range=data_range))
        scores = {method: _columns(part) for method, part in rows.items()}
        counts, doubts = _nuclei(sample, images, scores["input"]) if nuclei else ({}, ())
    except WRONG_SAMPLE as error:
        _log.info("%s: left out", name, exc_info=True)
        return Scored(name, reason=" ".join(str(error).split()) or type(error).__name__)
    levels = tuple(sample.levels_um.tolist())
    return Scored(name, levels, scores, (*sample.remarks, *doubts), nuclei=counts)


def _nuclei(
    sample: Sample, images: Mapping[str, Any], scores_input: Mapping[str, Array]
) -> tuple[dict[str, NucleiCounts], tuple[str, ...]]:
    """Return counts by method, and doubts: of a focus stack at the level whose input is about as bad as its mean.

    One level only: the planes of a stack show the same nuclei, and would count them again and again.
    """
    pixel_um = sample.stack.pixel_um
    if sample.reference.ndim != 3 or pixel_um is None:
        return {}, ()
    values = next(iter(scores_input.values()))
    index = int(np.argmin(np.abs(values - values.mean())))
    shown = {method: planes for method, planes in images.items() if sample.beside is None or method != "input"}
    found = {method: compare_nuclei(sample.reference, computed(p[index]), pixel_um) for method, p in shown.items()}
    doubts = dict.fromkeys(f"nuclei not counted, {one.doubt}" for one in found.values() if one.target.doubt)
    return {method: one.counts for method, one in found.items()}, tuple(doubts)


def score_levels(
    reference: Array,
    planes: Sequence[Array] | Array,
    restored: Mapping[str, Sequence[Array] | Array],
    metrics: Iterable[str] = METRICS,
    *,
    data_range: DataRange = None,
) -> dict[str, dict[str, Array]]:
    """Score one stack: its planes, and what each method made of them, against its sharp plane.

    Parameters
    ----------
    reference : (Y, X) or (Y, X, 3) array
        The sharp plane.
    planes : (L, Y, X[, 3]) array
        One plane for each focus level.
    restored : mapping of (L, Y, X[, 3]) arrays
        Name of the method: the images restored from the planes.
    metrics, data_range
        As in :func:`napari_cellrestore.metrics.score`.

    Returns
    -------
    ``{method: {metric: (L,) array}}``; the planes are the method ``"input"``.
    """
    names = list(metrics)
    if "input" in restored:
        raise ValueError("a method is called 'input', the name of the planes themselves: give it another name")
    for method, images in restored.items():
        if len(images) != len(planes):
            raise ValueError(f"{method!r} has {len(images)} images for {len(planes)} planes: give one for each plane")
    return {
        method: _columns([score(reference, image, names, data_range=data_range) for image in images])
        for method, images in {"input": planes, **restored}.items()
    }


def _columns(rows: Sequence[Mapping[str, float]]) -> dict[str, Array]:
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def computed(plane: Any) -> Array:
    """Return a plane of numpy or dask, computed in this thread: each sample has one core."""
    return np.asarray(plane.compute(scheduler="synchronous") if hasattr(plane, "compute") else plane)


def in_memory(planes: Any) -> Any:
    """Return planes of dask as numpy where they are few and small: that takes less time than one after another."""
    return computed(planes) if hasattr(planes, "compute") and planes.nbytes <= SMALL_BYTES else planes
