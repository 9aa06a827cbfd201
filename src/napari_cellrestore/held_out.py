"""How a deblurring model does on images it never saw, beside the classical filters given the true blur.

Focus stacks are simulated from sharp images kept out of training; truth is the image through the objective in focus.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from napari_cellrestore.evaluate import (
    SHARP_UM,
    Evaluation,
    Method,
    Sample,
    interval_rates,
    score_samples,
    success_matrix,
)
from napari_cellrestore.evaluate.scoring import METRICS
from napari_cellrestore.evaluate.tables import ScoreTable
from napari_cellrestore.filters import richardson_lucy, unsharp, wiener
from napari_cellrestore.model import Model
from napari_cellrestore.pairs.defocus import open_sharp, recorded_range
from napari_cellrestore.psf import incoherent_psf
from napari_cellrestore.recipe import DefocusSettings
from napari_cellrestore.restore import restore
from napari_cellrestore.simulate import DetectorNoise, defocus, defocus_stack, smear_objectives
from napari_cellrestore.stack import ImageStack

Array = np.ndarray
Levels = tuple[float, float]

#: Focus levels of Olofsson & Wagnström 2019, table 6.1, made symmetric.
LEVELS_UM = tuple(round(0.2 * step, 1) for step in range(-7, 8))
#: Images up to this far out of focus enter the rates of a card.
NEAR_UM = (-0.8, 0.8)
#: The best in MSE over all levels of the values tried, 0.0003 to 0.03, on crops of three validation images; it is the
#: largest of them, so a larger one may be better still.
WIENER_BALANCE = 0.03
#: More are better still (40: 20 % less error), and take as much longer.
RICHARDSON_LUCY_ITERATIONS = 20


def levels_of(settings: DefocusSettings) -> tuple[float, ...]:
    """Return the focus levels that models of these settings are measured at: 15 over the range, or those that are named.

    >>> levels_of(DefocusSettings()) == LEVELS_UM
    True
    >>> levels_of(DefocusSettings(only_um=(6, 2)))
    (2.0, 6.0)
    """
    levels = settings.only_um or np.linspace(*settings.levels_um, len(LEVELS_UM)).round(6) + 0.0
    return tuple(np.unique(np.asarray(levels, float)).tolist())


def simulated_samples(
    paths: Sequence[Path],
    settings: DefocusSettings | None = None,
    *,
    span: float = 255.0,
    intensity_range: Levels | None = None,
) -> dict[str, Callable[[], Sample]]:
    """Return a focus stack for each image by its name, simulated when its turn comes.

    The noise of an image depends on its place in the list alone. Images that do not record ``span`` grey levels raise
    ValueError then: scores of 8 and of 16 bit cannot be compared. ``intensity_range`` is what the camera of images of 16 bit
    records, where that is less.
    """
    settings = settings or DefocusSettings()
    return {path.name: partial(_sample, path, settings, seed, span, intensity_range) for seed, path in enumerate(paths)}


def _sample(path: Path, settings: DefocusSettings, seed: int, span: float, intensity_range: Levels | None) -> Sample:
    if (found := _span(path, settings, intensity_range)) != span:
        raise ValueError(
            f"{path} has {found + 1:g} grey levels, other images {span + 1:g}: convert it, or leave it out"
        )
    truth, stack = simulated_stack(path, settings, seed, intensity_range)
    return Sample(truth, stack)


def recorded_span(paths: Sequence[Path], settings: DefocusSettings, intensity_range: Levels | None = None) -> float:
    """Return the span of grey levels that the camera of sharp images records, 255 of 8 bit: of the first that can be read."""
    for path in paths:
        with suppress(ValueError, OSError):
            return _span(path, settings, intensity_range)
    return 255.0


def _span(path: Path, settings: DefocusSettings, intensity_range: Levels | None) -> float:
    low, high = recorded_range(path, open_sharp(path, settings), intensity_range)
    return high - low


def score_held_out(
    paths: Sequence[Path],
    methods: dict[str, Method],
    settings: DefocusSettings | None = None,
    intensity_range: Levels | None = None,
) -> ScoreTable:
    """Score methods on stacks simulated from images; ValueError where one cannot be."""
    settings = settings or DefocusSettings()
    span = recorded_span(paths, settings, intensity_range)
    samples = simulated_samples(paths, settings, span=span, intensity_range=intensity_range)
    scored = list(score_samples(samples, methods, METRICS, data_range=span))
    if wrong := [f"{sample.name}: {sample.reason}" for sample in scored if sample.reason]:
        raise ValueError(wrong[0])
    return Evaluation({}, scored).table


def simulated_stack(
    path: Path, settings: DefocusSettings, seed: int, intensity_range: Levels | None = None
) -> tuple[Array, ImageStack]:
    """Return (truth, stack): the image through the objective in focus, and its noisy focus stack of the image's type.

    Grey, (Y, X), with one wavelength. The levels are those of :func:`levels_of`.
    """
    picture, lenses = open_sharp(path, settings), smear_objectives(settings)
    image, limits = picture.whole(), recorded_range(path, picture, intensity_range)
    one = len(lenses) == 1
    image, lens = (image[..., 0], lenses[0]) if one else (image, lenses)
    noise = DetectorNoise(settings.noise_gain)
    stack = defocus_stack(image, settings.pixel_um, lens, levels_of(settings), noise, seed=seed)
    recorded = np.clip(stack.data, *limits).astype(image.dtype)
    return defocus(image, settings.pixel_um, lens, 0.0), stack.replace(data=recorded)


def model_method(model: Model) -> Method:
    """Return a model as a method."""
    return partial(restore, model=model)


def classical_methods(settings: DefocusSettings | None = None, *, span: float = 255.0) -> dict[str, Method]:
    """Return the filters; those that undo a blur are given the TRUE kernel of each plane, which no user has.

    What they make is the object itself; it is filtered by the in-focus kernel, which the truth has seen too. Results are
    limited to the grey levels from 0 to ``span``.
    """
    settings = settings or DefocusSettings()
    objectives = smear_objectives(settings)

    def undoing(undo: Callable[..., Array], **options: float) -> Method:
        def restore_planes(stack: ImageStack) -> Array:
            planes = []
            for plane, z_um in zip(stack.data, np.asarray(stack.z_um), strict=True):
                side = 2 * (min(plane.shape[:2]) // 2) - 1
                psf = [incoherent_psf((side, side), settings.pixel_um, lens, abs(z_um)) for lens in objectives]
                lens, kernel = (objectives, psf) if stack.rgb else (objectives[0], psf[0])
                sharp = undo(plane, psf=kernel, **options)
                planes.append(np.clip(defocus(sharp, settings.pixel_um, lens, 0.0), 0, span))
            return np.stack(planes)

        return restore_planes

    return {
        "unsharp mask": lambda stack: np.stack([np.clip(unsharp(plane), 0, span) for plane in stack.data]),
        "Wiener, true PSF": undoing(wiener, balance=WIENER_BALANCE),
        "Richardson-Lucy, true PSF": undoing(richardson_lucy, iterations=RICHARDSON_LUCY_ITERATIONS),
    }


def summary(table: ScoreTable, method: str, images: str) -> dict[str, Any]:
    """Return the numbers a card states of a method on a set of images.

    ``*_of_input`` is the mean over levels divided by that of the input planes. The others are left out where 0.4 um, the last
    level that counts as sharp, is not among the levels. For images from -0.8 to 0.8 um out of focus, in percent:
    ``success_*`` is the rate of :func:`napari_cellrestore.evaluate.success_matrix`, ``reach_*`` how many are no worse than the
    worst plane that counts as sharp (0.4 um). Simulated stacks are alike on both sides of focus, so an image as good as the
    planes at -0.4 and 0.4 um is assigned to either by chance, and only the second counts as sharp: ``success_*`` loses half
    of these. ``worst_*`` is how much worse than its input it is at the level where it does worst, in units of the input's
    score at 0.4 um: a value above 0 is harm.
    """
    ours, theirs = table.scores[method], table.scores["input"]
    result: dict[str, Any] = {"images": images, "number": len(ours["mse"]), "levels_um": list(table.levels_um)}
    for metric in ("mse", "fpw"):
        result[f"{metric}_of_input"] = round(float(ours[metric].mean() / theirs[metric].mean()), 4)
        if SHARP_UM[1] in table.levels_um:
            result |= _rates(metric, ours[metric], theirs[metric], table.levels_um)
    return result


def _rates(metric: str, ours: Array, theirs: Array, levels_um: tuple[float, ...]) -> dict[str, float]:
    """Return how often restored images are as good as sharp planes, and the harm done."""
    _, success = success_matrix(ours, theirs, levels_um)
    worst_sharp = theirs[:, _between(levels_um, SHARP_UM)].max(axis=1, keepdims=True)
    reach = 100 * (ours <= worst_sharp).mean(axis=0)
    rates = {
        f"{name}_{metric}": round(float(interval_rates(rate, levels_um, [NEAR_UM])[0]), 1)
        for name, rate in (("success", success), ("reach", reach))
    }
    harm = (ours - theirs).mean(axis=0) / theirs[:, levels_um.index(SHARP_UM[1])].mean()
    return {**rates, f"worst_{metric}": round(float(harm.max()), 3)}


def _between(levels_um: Sequence[float], interval_um: tuple[float, float]) -> Array:
    low, high = interval_um
    return np.array([low - 1e-6 <= level <= high + 1e-6 for level in levels_um])
