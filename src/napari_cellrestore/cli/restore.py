"""``cellrestore restore``: restore images with a model."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from napari_cellrestore.cli._common import add_axes, each, expand, mind, print_json
from napari_cellrestore.cli._results import check_target, counted, progress, targets_of
from napari_cellrestore.cli._trust import domain_json, domain_of, domain_said

if TYPE_CHECKING:
    from napari_cellrestore.model import Model
    from napari_cellrestore.restore import Plan
    from napari_cellrestore.stack import ImageStack


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("paths", nargs="+", metavar="PATH", help="file, or folder with one plane a file")
    parser.add_argument("--model", required=True, metavar="NAME", help="name of a model, or its folder")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="PATH", help="a file.ome.tif, or a folder for <name>_<model>.ome.tif"
    )
    parser.add_argument("--tile", type=int, metavar="N", help="side of a tile in pixels")
    parser.add_argument("--engine", default="auto", help="auto, torch or openvino")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
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
        help="restore turned and mirrored, 8 times in all (8 times slower): the result is the mean, and a second file "
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
    parser.add_argument("--json", action="store_true", help="print one line of JSON for each event")


def run(options: argparse.Namespace) -> int:
    """Restore each image to a file of its own, tile by tile."""
    from napari_cellrestore.model import load_model, there_and_back

    paths = expand(options.paths)
    model = load_model(options.model)
    if options.and_back:
        model = there_and_back(model)
    targets = targets_of(paths, options.out, model.card.name)
    return each(options, paths, lambda path: _restore_file(options, path, targets[path], model))


def _restore_file(options: argparse.Namespace, path: str, target: Path, model: Model) -> None:
    from napari_cellrestore.files import open_stack
    from napari_cellrestore.restore import plan_restoration, spread_path

    targets = [target, spread_path(target)] if options.turned else [target]
    for one in targets:
        check_target(Path(path), one, options.overwrite)
    stack = open_stack(path, axes=options.axes, leds=options.leds)
    plan = plan_restoration(
        stack,
        model,
        tile=options.tile,
        engine=options.engine,
        device=options.device,
        intensity=options.intensity,
        turned=options.turned,
        planes=options.planes,
    )
    _say_plan(options, path, target, plan)
    if options.dry_run:
        _say_domain(options, path, stack, model, plan)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    _write(options, target, stack, model, plan)
    if options.json:
        print_json({"event": "written", "path": path, "out": str(target), "files": [str(one) for one in targets]})
    else:
        for one in targets:
            print(f"written    {one}", flush=True)


def _write(options: argparse.Namespace, target: Path, stack: ImageStack, model: Model, plan: Plan) -> None:
    from napari_cellrestore.files import write_tiff
    from napari_cellrestore.restore import restore_stack, restore_stack_with_spread, write_with_spread

    with progress(options, plan.n_tiles, "tile") as count:
        if plan.passes == 1:
            write_tiff(target, counted(restore_stack(stack, model, plan), count), overwrite=options.overwrite)
        else:
            mean, spread = restore_stack_with_spread(stack, model, plan)
            write_with_spread(target, counted(mean, count), spread, overwrite=options.overwrite)


# --- what is said ------------------------------------------------------------------------------------------


def _say_plan(options: argparse.Namespace, path: str, target: Path, plan: Plan) -> None:
    if options.json:
        print_json({"event": "plan", "path": path, "out": str(target), "plan": plan.model_dump(mode="json")})
    else:
        print(f"from       {path}\nto         {target}\n{plan.model_copy(update={'warnings': ()})}", flush=True)
    for text in plan.warnings:
        mind(f"{path}: {text}" if len(options.paths) > 1 else text)


def _say_domain(options: argparse.Namespace, path: str, stack: ImageStack, model: Model, plan: Plan) -> None:
    """Say how far the image lies from what the model was trained on; warnings of the plan are not said again."""
    domain = domain_of(stack, model.card, plan.intensity)
    if options.json:
        print_json({"event": "domain", "path": path, **domain_json(domain)})
    else:
        print(f"\n{domain_said(domain)}", flush=True)
    for text in domain.warnings:
        if text not in plan.warnings:
            mind(f"{path}: {text}" if len(options.paths) > 1 else text)
