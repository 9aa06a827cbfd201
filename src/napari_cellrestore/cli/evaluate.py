"""``cellrestore evaluate``: measure a model on images kept out of its training."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_cellrestore.cli._common import add_images, print_json, read_splits

if TYPE_CHECKING:
    from napari_cellrestore.card import ModelCard
    from napari_cellrestore.evaluate import ScoreTable, Table
    from napari_cellrestore.held_out import Method
    from napari_cellrestore.model import Model
    from napari_cellrestore.recipe import DefocusSettings

#: Metrics by which success is told (Olofsson & Wagnström 2019, table 7.1).
SUCCESS_BY = ("mse", "fpw")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.epilog = "Give the folders and N that the model was trained with: others would measure what it has seen."
    parser.add_argument("model", metavar="MODEL", help="name of a model, or its folder")
    add_images(parser)
    parser.add_argument("--limit", type=_count, metavar="COUNT", help="take only the first images of each test")
    parser.add_argument(
        "--classical", action="store_true", help="measure classical filters as well, given the true blur"
    )
    parser.add_argument("--csv", type=Path, metavar="FOLDER", help="write the tables in full precision there")
    parser.add_argument("--json", action="store_true", help="print one line of JSON for each folder of images")


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of images, 1 or more")
    return int(text)


def run(options: argparse.Namespace) -> int:
    """Score focus stacks simulated from the images of each test as the model's were for training."""
    from napari_cellrestore.held_out import summary
    from napari_cellrestore.model import load_model

    model = load_model(options.model)
    settings = _settings(model.card)
    splits = read_splits(options.images)
    if options.csv and options.csv.exists() and (not options.csv.is_dir() or any(options.csv.iterdir())):
        raise ValueError(f"{options.csv}: exists already and is not an empty folder; give another name")
    for name, split in splits.items():
        scores = _score(options, split.test[: options.limit], model, settings)
        said, tables = summary(scores, model.card.name, name), _tables(scores, model.card.name)
        if options.csv:
            _write_csv(options.csv, name, tables)
        if options.json:
            print_json(
                {"model": model.label, **said, "tables": {key: table.as_dict() for key, table in tables.items()}}
            )
        else:
            print(_text(model, said, tables), flush=True)
    return 0


def _settings(card: ModelCard) -> DefocusSettings:
    """Return the optics and noise that the model was trained for."""
    from napari_cellrestore.recipe import DefocusSettings

    if card.task != "deblur":
        raise ValueError(
            f"model {card.name!r} does {card.task!r}: only deblurring is measured on simulated focus stacks"
        )
    return DefocusSettings(**card.recipe.get("pairs", {}))


def _score(options: argparse.Namespace, paths: tuple[Path, ...], model: Model, settings: DefocusSettings) -> ScoreTable:
    from tqdm import tqdm

    from napari_cellrestore.held_out import classical_methods, model_method, score_held_out

    methods = {model.card.name: model_method(model)}
    if options.classical:
        methods |= classical_methods(settings)
    with tqdm(total=len(paths) * len(methods), unit="stack", disable=options.json or None) as bar:
        counted = {name: _counted(method, bar.update) for name, method in methods.items()}
        return score_held_out(paths, counted, settings)


def _counted(method: Method, count: Callable[[], Any]) -> Method:
    def and_count(stack: Any) -> Any:
        restored = method(stack)
        count()
        return restored

    return and_count


def _tables(scores: ScoreTable, model: str) -> dict[str, Table]:
    """Return the tables by the names of their files."""
    tables = {f"by level, {method}": scores.by_level(method) for method in scores.scores}
    tables |= {f"success by {metric}, {model}": scores.success(model, metric) for metric in SUCCESS_BY}
    return tables | {"success rates": scores.intervals(SUCCESS_BY)}


def _text(model: Model, said: dict[str, Any], tables: dict[str, Table]) -> str:
    lines = [
        f"{model.label} on focus stacks simulated from {said['number']} images of {said['images']}",
        f"MSE is {said['mse_of_input']} of the input's, FPW {said['fpw_of_input']}; as good as a sharp plane: "
        f"{said['success_mse']} % by MSE, {said['success_fpw']} % by FPW (up to 0.8 um out of focus)",
        f"harm at the level where it does worst: {said['worst_mse']} by MSE, {said['worst_fpw']} by FPW (above 0 is harm)",
    ]
    return "\n\n".join(["\n".join(lines), *(table.text() for table in tables.values())]) + "\n"


def _write_csv(folder: Path, images: str, tables: dict[str, Table]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        file = re.sub(r"[^\w.-]+", "-", f"{images} {name}")
        (folder / f"{file}.csv").write_text(table.csv(), encoding="utf-8")
