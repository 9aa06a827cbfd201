"""``cellrestore restore``: restore images with a model."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING
from uuid import uuid4

from napari_cellrestore.cli._common import add_axes, each, expand, mind, print_json, stem
from napari_cellrestore.cli._trust import domain_json, domain_of, domain_said

if TYPE_CHECKING:
    import numpy as np

    from napari_cellrestore.model import Model
    from napari_cellrestore.restore import Plan
    from napari_cellrestore.stack import ImageStack

TIFF_SUFFIXES = (".tif", ".tiff")
#: Called after each tile.
Count = Callable[[], None]


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
    targets = _targets(paths, options.out, model.card.name)
    return each(options, paths, lambda path: _restore_file(options, path, targets[path], model))


def _restore_file(options: argparse.Namespace, path: str, target: Path, model: Model) -> None:
    from napari_cellrestore.files import open_stack
    from napari_cellrestore.restore import plan_restoration, spread_path

    targets = [target, spread_path(target)] if options.turned else [target]
    for one in targets:
        _check_target(Path(path), one, options.overwrite)
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

    with _progress(options, plan.n_tiles) as count:
        if plan.passes == 1:
            write_tiff(target, _counted(restore_stack(stack, model, plan), count), overwrite=options.overwrite)
        else:
            mean, spread = restore_stack_with_spread(stack, model, plan)
            write_with_spread(target, _counted(mean, count), spread, overwrite=options.overwrite)


# --- where results go --------------------------------------------------------------------------------------


def _targets(paths: Sequence[str], out: Path, model: str) -> dict[str, Path]:
    """Return the file for the result of each path."""
    if out.suffix.lower() in TIFF_SUFFIXES and not out.is_dir():
        if len(paths) > 1:
            raise ValueError(f"--out {out} is one file for {len(paths)} images: give a folder")
        return {paths[0]: out}
    if out.is_file():
        raise ValueError(f"--out {out} is a file and does not end in .tif: give another name, or a folder")
    targets = {path: out / f"{stem(path)}_{model}.ome.tif" for path in paths}
    target, times = Counter(targets.values()).most_common(1)[0]
    if times > 1:
        both = ", ".join(path for path in targets if targets[path] == target)
        raise ValueError(f"{both}: the results would all be {target}; restore them into folders of their own")
    return targets


def _check_target(path: Path, target: Path, overwrite: bool) -> None:
    """Raise ValueError where writing would lose a file or add to the input; asked before anything is computed."""
    if path.resolve() in (target.resolve(), target.parent.resolve()):
        raise ValueError(f"the result {target} would be the input, or lie in it; give another --out")
    if target.exists() and path.exists() and target.samefile(path):
        raise ValueError(f"the result {target} is the input under another name; give another --out")
    if target.exists() and not overwrite:
        raise ValueError(f"the result {target} exists already; give another --out, or --overwrite")


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


@contextmanager
def _progress(options: argparse.Namespace, tiles: int) -> Iterator[Count]:
    """Give what is called after each tile, from any thread."""
    from tqdm import tqdm

    lock, done = Lock(), 0

    def count() -> None:
        nonlocal done
        with lock:
            done += 1
            bar.update()
            if options.json:
                print_json({"event": "tile", "done": done, "of": tiles})

    with tqdm(total=tiles, unit="tile", disable=options.json or None) as bar:  # None: only where a person looks
        yield count


def _counted(stack: ImageStack, count: Count) -> ImageStack:
    """Return the stack such that every tile of it that is computed is counted."""
    import dask.array as da

    data = da.asarray(stack.data)
    passed_on = data.map_blocks(
        partial(_pass_on, count=count), dtype=data.dtype, meta=data._meta, name=f"counted-{uuid4().hex}"
    )
    return stack.replace(data=passed_on)


def _pass_on(tile: np.ndarray, count: Count) -> np.ndarray:
    count()
    return tile
