"""``cellrestore restore``: restore images with a model."""

from __future__ import annotations

import argparse
import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_cellrestore.cli._cluster import add_dask, cluster_of
from napari_cellrestore.cli._common import add_axes, each, expand, mind, print_json, say_or_json
from napari_cellrestore.cli._many import Work, each_noted, into_folder
from napari_cellrestore.cli._results import TIFF_SUFFIXES, Count, check_target, counted, progress, targets_of
from napari_cellrestore.cli._trust import domain_json, domain_of, domain_said

if TYPE_CHECKING:
    from napari_cellrestore.batch import Cluster
    from napari_cellrestore.model import Model
    from napari_cellrestore.restore import Plan
    from napari_cellrestore.stack import ImageStack


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("paths", nargs="+", metavar="PATH", help="file, or folder with one plane a file")
    parser.add_argument("--model", required=True, metavar="NAME", help="name of a model, or its folder")
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="PATH",
        help="a file.ome.tif, a folder.ome.zarr (for images larger than memory; goes on where it was stopped), or a folder for "
        "<name>_<model>.ome.tif",
    )
    parser.add_argument(
        "--format",
        choices=("tiff", "zarr"),
        help="of results in a folder: OME-TIFF, which it is if not given, or OME-Zarr",
    )
    parser.add_argument("--tile", type=int, metavar="N", help="side of a tile in pixels")
    parser.add_argument(
        "--engine",
        default="auto",
        help="torch, compiled or openvino; auto takes the fastest, as measured on this machine",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    parser.add_argument("--precision", default="auto", help="auto, float32 or bfloat16")
    parser.add_argument(
        "--intensity",
        nargs=2,
        type=float,
        metavar=("LOW", "HIGH"),
        help="grey levels of black and of the brightest the detector can tell, e.g. 0 4095 for 12 bit",
    )
    parser.add_argument(
        "--turned",
        action="store_true",
        help="restore turned and mirrored, 8 times in all (8 times slower): the result is the mean, and a second image "
        "*_unsure says in grey levels how far they differ, where the model is unsure",
    )
    parser.add_argument(
        "--and-back",
        action="store_true",
        help="of a model with a way back (NAME-back): there and back again; what does not come back was lost or made up",
    )
    parser.add_argument(
        "--planes",
        type=int,
        nargs="+",
        metavar="N",
        help="of a model that makes one image of several planes: which, from 0",
    )
    parser.add_argument(
        "--leds", type=Path, metavar="TABLE", help="of an LED stack: its table, where none lies beside it"
    )
    add_axes(parser)
    parser.add_argument(
        "--dry-run", action="store_true", help="only say what would be done, and whether the model knows such images"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace existing results; never an input")
    add_dask(parser, "restore the stacks, or the tiles of one,")
    parser.add_argument("--json", action="store_true", help="print one line of JSON for each event")


def run(options: argparse.Namespace) -> int:
    """Restore each image to a file of its own, tile by tile."""
    from napari_cellrestore.model import load_model, there_and_back

    options.paths = expand(options.paths)
    if options.leds is not None:
        options.leds = options.leds.absolute()
    model = load_model(options.model)
    if options.and_back:
        model = there_and_back(model)
    targets = _targets(options, model.card.name)
    with cluster_of(options) as cluster:
        work = _work(options, model, targets, cluster)
        if options.dry_run or not into_folder(options, targets):
            return each(options, targets, work.here)
        return each_noted(options, targets, work, cluster)


def _targets(options: argparse.Namespace, ending: str) -> dict[str, Path]:
    """Return the file, or the folder of an OME-Zarr, for the result of each path."""
    out, wanted = options.out, options.format
    one = "zarr" if out.suffix.lower() == ".zarr" else "tiff" if out.suffix.lower() in TIFF_SUFFIXES else None
    if one and wanted not in (None, one):
        raise ValueError(f"--out {out} is not of --format {wanted}: leave one of them out")
    if one != "zarr":
        targets = targets_of(options.paths, out, ending)
        if wanted == "zarr":
            targets = {path: file.with_name(f"{file.name.removesuffix('.tif')}.zarr") for path, file in targets.items()}
        return targets
    if len(options.paths) > 1:
        raise ValueError(
            f"--out {out} is one OME-Zarr for {len(options.paths)} images: give a folder and --format zarr"
        )
    return {options.paths[0]: out}


def _restore_file(
    options: argparse.Namespace, path: str, target: Path, model: Model, cluster: Cluster | None = None
) -> None:
    targets = _files(options, target)
    for one in targets:
        check_target(Path(path), one, options.overwrite)
    stack, plan = _planned(options, path, model)
    _say_plan(options, path, target, plan)
    if options.dry_run:
        _say_domain(options, path, stack, model, plan)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with progress(options, plan.n_tiles, "tile") as count:
        _write(options, target, stack, model, plan, count, cluster)
    _say_written(options, path, target)


def _files(options: argparse.Namespace, target: Path) -> list[Path]:
    """Return all files of a result."""
    from napari_cellrestore.restore import spread_path

    return [target, spread_path(target)] if options.turned else [target]


def _planned(options: argparse.Namespace, path: str, model: Model) -> tuple[ImageStack, Plan]:
    from napari_cellrestore.files import open_stack
    from napari_cellrestore.restore import plan_restoration

    stack = open_stack(os.path.abspath(path) if options.dask else path, axes=options.axes, leds=options.leds)
    _measure_before_long_work(options, stack, model)
    plan = plan_restoration(
        stack,
        model,
        tile=options.tile,
        engine=options.engine,
        device=options.device,
        precision=options.precision,
        intensity=options.intensity,
        turned=options.turned,
        planes=options.planes,
    )
    return stack, plan


def _measure_before_long_work(options: argparse.Namespace, stack: ImageStack, model: Model) -> None:
    """Measure the engines, where that is little beside the work; the machines of a cluster are others."""
    from math import prod

    from napari_cellrestore.engine import is_long, measure, reason

    megapixels = prod(stack.data.shape) / stack.size("S") / 1e6 * len(options.paths) * (8 if options.turned else 1)
    if options.dask or options.dry_run or not is_long(model, options.engine, options.device, megapixels):
        return
    say_or_json(options, "measuring  which engine is fastest here, once for this model", event="measuring")
    # Not compiled, which would take half a minute more and is seldom faster than both.
    said = reason(measure(model, options.device, engines=("torch", "openvino")), model.card)
    say_or_json(options, f"measured   {said}", event="measured", fastest=said)


def _write(
    options: argparse.Namespace,
    target: Path,
    stack: ImageStack,
    model: Model,
    plan: Plan,
    count: Count,
    cluster: Cluster | None = None,
) -> None:
    from napari_cellrestore.files import write_image
    from napari_cellrestore.restore import restore_stack, restore_stack_with_spread, write_with_spread

    if cluster is not None:
        _write_from(cluster, options, target, stack, model, plan, count)
    elif plan.passes == 1:
        made, there = counted(restore_stack(stack, model, plan), count), partial(_say_there, options, target, count)
        write_image(target, made, overwrite=options.overwrite, resume=_decides(plan), on_resume=there)
    else:
        mean, spread = restore_stack_with_spread(stack, model, plan)
        write_with_spread(target, counted(mean, count), spread, overwrite=options.overwrite, resume=_decides(plan))


def _decides(plan: Plan) -> dict[str, Any]:
    """Return what of a plan decides the pixels, by which an interrupted restoration is known again."""
    return plan.model_dump(mode="json", exclude={"warnings", "engine_why"})


def _write_from(
    cluster: Cluster,
    options: argparse.Namespace,
    target: Path,
    stack: ImageStack,
    model: Model,
    plan: Plan,
    count: Count,
) -> None:
    """Write results whose tiles the workers compute; those of one OME-Zarr they write themselves."""
    import dask.array as da

    from napari_cellrestore.batch import held
    from napari_cellrestore.files import check_image, write_image
    from napari_cellrestore.restore import held_stack, restore_stack, restore_stack_with_spread

    there, folder = target.suffix.lower() == ".zarr" and plan.passes == 1, target.parent.absolute()
    how: dict[str, Any] = {"overwrite": options.overwrite, "resume": _decides(plan)}
    cluster.check_sees([str(stack.source), *[folder] * there])
    if there:
        with cluster.computing():
            on_resume = partial(_say_there, options, target, count)
            write_image(folder / target.name, restore_stack(stack, model, plan), **how, on_resume=on_resume)
        return
    results = restore_stack_with_spread(stack, model, plan) if plan.passes > 1 else [restore_stack(stack, model, plan)]
    files = _files(options, target)
    for file, result in zip(files, results, strict=True):
        check_image(file, result, **how)
    with held(cluster, [da.asarray(result.data) for result in results], folder, count) as pixels:
        for file, result, made in zip(files, results, pixels, strict=True):
            write_image(file, held_stack(result, made), **how)


def _work(options: argparse.Namespace, model: Model, targets: dict[str, Path], cluster: Cluster | None) -> Work:
    """Return what is done with each of many stacks."""
    # A worker finds at the target what another left that died: that nothing is written over was seen to before.
    there = argparse.Namespace(**{**vars(options), "overwrite": True, "paths": []})
    return Work(
        label=model.label,
        here=lambda path: _restore_file(options, path, targets[path], model, cluster),
        there=_restore_there,
        shared=(there, model),
        files=lambda target: _files(options, target),
        written=lambda path: _say_written(options, path, targets[path]),
    )


def _restore_there(paths: tuple[str, Path], shared: tuple[argparse.Namespace, Model]) -> tuple[str, ...]:
    """On a worker: restore a stack to its file, and return what is to be minded."""
    (path, target), (options, model) = paths, shared
    stack, plan = _planned(options, path, model)
    _write(options, target, stack, model, plan, lambda: None)
    return plan.warnings


# --- what is said ------------------------------------------------------------------------------------------


def _say_plan(options: argparse.Namespace, path: str, target: Path, plan: Plan) -> None:
    if options.json:
        print_json({"event": "plan", "path": path, "out": str(target), "plan": plan.model_dump(mode="json")})
    else:
        print(f"from       {path}\nto         {target}\n{plan.model_copy(update={'warnings': ()})}", flush=True)
    for text in plan.warnings:
        mind(f"{path}: {text}" if len(options.paths) > 1 else text)


def _say_there(options: argparse.Namespace, target: Path, count: Count, there: int, of: int) -> None:
    """Say how many tiles an interrupted run left, and count them as done."""
    text = f"went on    {there} of {of} tiles were there"
    say_or_json(options, text, event="resumed", out=str(target), there=there, of=of)
    for _ in range(there):
        count()


def _say_written(options: argparse.Namespace, path: str, target: Path) -> None:
    files = [str(file) for file in _files(options, target)]
    if options.json:
        print_json({"event": "written", "path": path, "out": str(target), "files": files})
    else:
        print("\n".join(f"written    {file}" for file in files), flush=True)


def _say_domain(options: argparse.Namespace, path: str, stack: ImageStack, model: Model, plan: Plan) -> None:
    """Say how far the image lies from what the model was trained on; warnings of the plan are not said again."""
    domain = domain_of(stack, model.card, plan.intensity, plan.planes)
    if options.json:
        print_json({"event": "domain", "path": path, **domain_json(domain)})
    else:
        print(f"\n{domain_said(domain)}", flush=True)
    for text in domain.warnings:
        if text not in plan.warnings:
            mind(f"{path}: {text}" if len(options.paths) > 1 else text)
