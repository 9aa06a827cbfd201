"""``cellrestore evaluate``: measure models on recorded focus stacks, on pairs, or on images kept out of their training."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_cellrestore.cli._cluster import add_dask, cluster_of, scored_on
from napari_cellrestore.cli._common import add_axes, add_images, aligned, check_number, mind, print_json, read_splits

if TYPE_CHECKING:
    from napari_cellrestore.batch import Cluster
    from napari_cellrestore.evaluate import Evaluation, Ledger, Method, Sample
    from napari_cellrestore.evaluate.extremes import Causes
    from napari_cellrestore.model import Model
    from napari_cellrestore.recipe import DefocusSettings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.epilog = (
        "With --images give the folders and N that a model was trained with: others would measure what it has seen."
    )
    parser.add_argument("models", nargs="+", metavar="MODEL", help="name of a model, or its folder")
    parser.add_argument(
        "--stacks",
        action="append",
        default=[],
        metavar="FOLDER",
        help="folder of recorded focus stacks, may be given again: their sharpest planes are the truth",
    )
    parser.add_argument(
        "--pairs",
        action="append",
        nargs=2,
        default=[],
        metavar=("INPUT", "TARGET"),
        help="two folders with images of the same names, may be given again: inputs, also LED stacks, and the truth",
    )
    parser.add_argument(
        "--leds", type=Path, metavar="TABLE", help="of pairs with LED stacks, where no table lies beside them"
    )
    parser.add_argument(
        "--pixel-um", type=float, metavar="UM", help="of pairs: size of a pixel, where files do not say; nuclei need it"
    )
    add_images(parser, required=False)
    parser.add_argument(
        "--limit", type=check_number, metavar="COUNT", help="take only the first stacks, pairs or images of each"
    )
    parser.add_argument(
        "--classical",
        action="store_true",
        help="measure classical filters as well; those that undo a blur need the true one, so only with --images",
    )
    parser.add_argument(
        "--sharp",
        nargs=2,
        type=float,
        default=(-0.2, 0.4),
        metavar=("LOW", "HIGH"),
        help="focus levels that count as sharp, in um (-0.2 0.4)",
    )
    add_axes(parser)
    parser.add_argument("--z-step", type=float, metavar="UM", help="distance of the planes, where files do not say")
    parser.add_argument(
        "--align", action="store_true", help="put the planes of recorded stacks on top of one another first"
    )
    parser.add_argument(
        "--data-range", type=float, metavar="N", help="span of possible grey levels (of 8 and 16 bit unsigned: known)"
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FOLDER",
        help="write page, tables and scores there; an evaluation that was stopped goes on from what is there",
    )
    add_dask(parser, "score stacks and pairs")
    parser.add_argument(
        "--json", action="store_true", help="print a line of JSON for each stack or pair, then one for each source"
    )


@dataclass(frozen=True)
class Source:
    """Where samples come from: a folder of recorded stacks, two of pairs, or one of images from which stacks are simulated."""

    name: str
    said: str
    simulated: bool
    samples: Mapping[str, Callable[[], Sample]]
    methods: Mapping[str, Method]
    data_range: float | None
    pairs: bool = False


def run(options: argparse.Namespace) -> int:
    """Score the models on each source; status 2 where a sample had to be left out."""
    from napari_cellrestore.model import load_model

    models = [load_model(name) for name in options.models]
    _check(options, models)
    if options.dask:
        _make_absolute(options)
    left_out = 0
    with cluster_of(options) as cluster:
        for source in [*_recorded(options, models), *_paired(options, models), *_simulated(options, models)]:
            evaluation = _evaluate(options, source, models, cluster)
            left_out += len(evaluation.left_out)
            if options.json:
                print_json({"source": source.name, "out": _folder(options, source), **evaluation.as_dict()})
            else:
                print(_text(source, evaluation), flush=True)
    return 2 if left_out else 0


def _make_absolute(options: argparse.Namespace) -> None:
    """Make paths such as workers find them too, which run in folders of their own."""
    options.stacks = list(map(os.path.abspath, options.stacks))
    options.pairs = [tuple(map(os.path.abspath, pair)) for pair in options.pairs]
    options.images = [(os.path.abspath(folder), *every) for folder, *every in options.images]


def _check(options: argparse.Namespace, models: list[Model]) -> None:
    """Refuse what cannot be, before the work begins."""
    names = [model.card.name for model in models]
    if len(set(names)) < len(names):
        raise ValueError(f"models of one name: {', '.join(names)}; rename one, results go by that name")
    if not options.stacks and not options.pairs and not options.images:
        raise ValueError("nothing to measure on: give --stacks FOLDER or --images FOLDER N, or --pairs INPUT TARGET")
    if options.stacks and (several := [model.card.name for model in models if model.card.in_planes > 1]):
        raise ValueError(f"model {several[0]!r} makes one image of several planes: measure it with --pairs")
    if options.classical and not options.images:
        raise ValueError(
            "--classical needs --images: the filters are given the true blur, which recorded stacks do not tell"
        )
    if options.z_step is not None and not options.z_step > 0:
        raise ValueError(f"--z-step {options.z_step:g}: give the distance of the planes in um, above 0")
    if options.pixel_um is not None and not options.pixel_um > 0:
        raise ValueError(f"--pixel-um {options.pixel_um:g}: give the size of a pixel in um, above 0")
    low, high = options.sharp
    if not low <= high:
        raise ValueError(f"--sharp {low:g} {high:g}: give the lower end first")
    folders = [*options.stacks, *(inputs for inputs, _ in options.pairs), *(folder for folder, *_ in options.images)]
    homes = [Path(folder).resolve().name for folder in folders]
    if len(set(homes)) < len(homes):
        raise ValueError(f"folders of one name: {', '.join(homes)}; rename one, results go by that name")


# --- where samples come from -----------------------------------------------------------------------------------


def _recorded(options: argparse.Namespace, models: list[Model]) -> list[Source]:
    from napari_cellrestore.evaluate import recorded_samples
    from napari_cellrestore.held_out import model_method

    methods = {model.card.name: model_method(model) for model in models}
    sources = []
    for folder in options.stacks:
        samples = recorded_samples(folder, axes=options.axes, z_step_um=options.z_step, align=options.align)
        name = Path(folder).resolve().name
        sources.append(
            Source(
                name, f"recorded focus stacks in {name}", False, _first(samples, options), methods, options.data_range
            )
        )
    return sources


def _paired(options: argparse.Namespace, models: list[Model]) -> list[Source]:
    from napari_cellrestore.evaluate import pair_method, paired_samples

    methods = {model.card.name: pair_method(model) for model in models}
    sources = []
    for inputs, targets in options.pairs:
        samples, notes = paired_samples(
            inputs, targets, axes=options.axes, leds=options.leds, pixel_um=options.pixel_um
        )
        for note in notes:
            mind(note)
        home, truth = (Path(folder).resolve() for folder in (inputs, targets))
        said = f"pairs of {truth.name} and {home.name}"
        sources.append(
            Source(home.name, said, False, _first(samples, options), methods, options.data_range, pairs=True)
        )
    return sources


def _simulated(options: argparse.Namespace, models: list[Model]) -> list[Source]:
    from napari_cellrestore.held_out import classical_methods, model_method, recorded_span, simulated_samples

    if not options.images:
        return []
    settings, known = _settings(models), _camera_range(models)
    methods = {model.card.name: model_method(model) for model in models}
    sources = []
    for name, split in read_splits(options.images).items():
        span = recorded_span(split.test, settings, known)
        beside = classical_methods(settings, span=span) if options.classical else {}
        samples = _first(simulated_samples(split.test, settings, span=span, intensity_range=known), options)
        said = f"focus stacks simulated from held-out images of {name}"
        sources.append(Source(name, said, True, samples, methods | beside, span))
    return sources


def _first(samples: Mapping[str, Callable[[], Sample]], options: argparse.Namespace) -> dict[str, Callable[[], Sample]]:
    return dict(list(samples.items())[: options.limit])


def _settings(models: list[Model]) -> DefocusSettings:
    """Return the optics and noise that the models were trained for, which must be the same."""
    from napari_cellrestore.recipe import DefocusSettings

    for model in models:
        if model.card.task != "deblur":
            raise ValueError(
                f"model {model.card.name!r} does {model.card.task!r}: only deblurring is measured on simulated focus stacks"
            )
    settings = [DefocusSettings(**model.card.recipe.get("pairs", {})) for model in models]
    if any(one != settings[0] for one in settings):
        raise ValueError("the models were trained for different optics: evaluate them one at a time")
    return settings[0]


def _camera_range(models: list[Model]) -> tuple[float, float] | None:
    """Return the grey levels that a camera of 16 bit records, where models learned from simulated planes of such."""
    recipes = [(model.card.recipe, model.card.input_range) for model in models]
    known = {levels for recipe, levels in recipes if "pairs" in recipe and recipe.get("intensity_range")}
    if len(known) > 1:
        raise ValueError("the models were trained for cameras of other grey levels each: evaluate them one at a time")
    return known.pop() if known else None


# --- scores ----------------------------------------------------------------------------------------------------


def _evaluate(options: argparse.Namespace, source: Source, models: list[Model], cluster: Cluster | None) -> Evaluation:
    """Score the samples of a source; what is written already is not scored again."""
    from napari_cellrestore.evaluate import LEDGER, PAIR_METRICS, Evaluation, Ledger, score_samples
    from napari_cellrestore.evaluate.scoring import METRICS

    known = {model.card.name: model.label for model in models}
    said = {
        "images": source.said,
        "methods": {name: known.get(name, "classical filter") for name in source.methods},
        "simulated": source.simulated,
        "data_range": source.data_range,
        "align": options.align,
        "axes": options.axes,
        "z_step_um": options.z_step,
    }
    if source.pairs:
        said |= {
            "pairs": True,
            "leds": None if options.leds is None else str(options.leds),
            "pixel_um": options.pixel_um,
        }
    folder = _folder(options, source)
    ledger: Ledger | None = None
    if folder is not None:
        _check_folder(folder)
        folder.mkdir(parents=True, exist_ok=True)
        ledger = Ledger(folder / LEDGER, said)
    done = {} if ledger is None else {sample.name: sample for sample in ledger.done if not sample.reason}
    waiting = {name: make for name, make in source.samples.items() if name not in done}
    metrics = PAIR_METRICS if source.pairs else METRICS
    score = score_samples if cluster is None else partial(scored_on, cluster)
    scored = score(waiting, source.methods, metrics, data_range=source.data_range, nuclei=True)
    with closing(scored), _progress(options, source, len(done)) as bar:
        for sample in scored:
            done[sample.name] = sample
            if ledger is not None:
                ledger.add(sample)
            bar.update()
            if options.json:
                event = {"done": len(done), "of": len(source.samples), "source": source.name, "sample": sample.name}
                print_json(event | ({"reason": sample.reason} if sample.reason else {}))
            elif sample.reason:
                bar.clear()
                mind(f"{sample.name} is left out: {sample.reason}")
    evaluation = Evaluation(said, [done[name] for name in source.samples], tuple(options.sharp))
    _ = evaluation.table  # refuses where nothing could be scored
    evaluation = replace(evaluation, causes=_causes(evaluation, source))
    if folder is not None:
        _write(folder, evaluation, source)
    return evaluation


def _causes(evaluation: Evaluation, source: Source) -> Causes:
    """Return what may be wrong with the worst samples; of simulated ones it is not their images."""
    from napari_cellrestore.evaluate.extremes import worst_causes

    known = {name: method for name, method in source.methods.items() if not source.simulated}
    return worst_causes(evaluation, source.samples, known)


def _progress(options: argparse.Namespace, source: Source, done: int) -> Any:
    from tqdm import tqdm

    unit = "pair" if source.pairs else "stack"
    return tqdm(total=len(source.samples), initial=done, unit=unit, disable=options.json or None)


def _folder(options: argparse.Namespace, source: Source) -> Path | None:
    return None if options.out is None else options.out / re.sub(r"[^\w.-]+", "-", source.name)


def _check_folder(folder: Path) -> None:
    from napari_cellrestore.evaluate import LEDGER

    if folder.exists() and (not folder.is_dir() or (any(folder.iterdir()) and not (folder / LEDGER).is_file())):
        raise ValueError(f"{folder}: exists already and holds no evaluation; give another name")


def _write(folder: Path, evaluation: Evaluation, source: Source) -> None:
    from napari_cellrestore.evaluate.extremes import extreme_pictures
    from napari_cellrestore.report import write_evaluation
    from napari_cellrestore.report.pairs import write_likely, write_pairs

    pictures = extreme_pictures(evaluation, source.samples, source.methods)
    if source.pairs:
        write_pairs(folder, evaluation, pictures)
    else:
        write_evaluation(folder, evaluation, pictures)
        write_likely(folder, evaluation)


# --- what is said ----------------------------------------------------------------------------------------------


def _text(source: Source, evaluation: Evaluation) -> str:
    kept, left_out = len(evaluation.kept), len(evaluation.left_out)
    lines = [
        f"{', '.join(evaluation.methods)} on {kept} {source.said}" + (f"; {left_out} left out" if left_out else "")
    ]
    for method in evaluation.methods:
        ratios = ", ".join(f"{name} {ratio:.3g}" for name, ratio in evaluation.of_input(method).items())
        lines += [f"left by {method}, as a part of the input's: {ratios}"] if ratios else []
    lines += _nuclei(evaluation)
    lines += [f"doubtful: {name} ({'; '.join(texts)})" for name, texts in evaluation.remarks.items()]
    parts = ["\n".join(lines), *(table.text() for table in evaluation.tables().values()), _comparisons(evaluation)]
    parts += ["\n".join(_extremes(evaluation, method)) for method in evaluation.methods]
    return "\n\n".join(parts) + "\n"


def _nuclei(evaluation: Evaluation) -> list[str]:
    from napari_cellrestore.report.pairs import nuclei_said

    return nuclei_said(evaluation) if evaluation.nuclei or evaluation.of_pairs else []


def _extremes(evaluation: Evaluation, method: str) -> list[str]:
    """Return the best and the worst samples of a method, and what may be wrong with the worst."""
    from napari_cellrestore.evaluate.evaluation import EXTREMES_BY
    from napari_cellrestore.metrics import METRICS

    lines = []
    for metric in EXTREMES_BY:
        if metric in evaluation.table.metrics:
            best, worst = evaluation.extremes(method, metric)
            lines.append(f"{method} by {METRICS[metric].label}: best {', '.join(best)}; worst {', '.join(worst)}")
    causes = evaluation.causes.get(method, {})
    return lines + [f"{name}: {'; '.join(texts)}" for name, texts in causes.items()]


def _comparisons(evaluation: Evaluation) -> str:
    from napari_cellrestore.evaluate.comparison import label

    rows = [["metric", "method", "against", "difference", "95 % interval", "p (Holm)", "over images"]]
    for one in evaluation.comparisons:
        difference, low, high = one.difference
        numbers = [f"{difference:.4g}", f"{low:.4g} to {high:.4g}", f"{one.p:.2g}"]
        rows.append([label(one.metric), one.method, one.against, *numbers, one.verdict])
    return aligned(rows)
