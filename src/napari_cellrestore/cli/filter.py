"""``cellrestore filter``: classical filters on images, among them the repair of a scan shear."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_cellrestore.cli._common import add_axes, each, expand, mind, print_json
from napari_cellrestore.cli._results import check_target, counted, progress, targets_of

if TYPE_CHECKING:
    from napari_cellrestore.stack import ImageStack

#: The value of an option that is to be measured.
MEASURED = "measured"
#: The option that can be.
SHEAR_OPTION = "offset_px"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("paths", nargs="+", metavar="PATH", help="file, or folder with one plane a file")
    parser.add_argument(
        "--filter", required=True, metavar="NAME", help="gaussian, mean, median, unsharp or undo_scan_shear"
    )
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="of the filter, may be given again: sigma_px=1.5, size_px=5, amount=2; offset_px=measured, which is what is "
        "done without",
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="PATH",
        help="a file.ome.tif, or a folder for <name>_<filter>.ome.tif",
    )
    add_axes(parser)
    parser.add_argument(
        "--dry-run", action="store_true", help="only say what would be done; a shear is measured and said"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace existing results; never an input")
    parser.add_argument("--json", action="store_true", help="print one line of JSON for each event")


def run(options: argparse.Namespace) -> int:
    """Filter each image to a file of its own, plane by plane."""
    from napari_cellrestore.filtered import filter_options

    used = filter_options(options.filter, **_given(options.option))
    paths = expand(options.paths)
    targets = targets_of(paths, options.out, options.filter)
    return each(options, paths, lambda path: _filter_file(options, path, targets[path], used))


def _filter_file(options: argparse.Namespace, path: str, target: Path, used: dict[str, Any]) -> None:
    from napari_cellrestore.files import open_stack, write_tiff
    from napari_cellrestore.filtered import filter_stack

    check_target(Path(path), target, options.overwrite)
    made = filter_stack(open_stack(path, axes=options.axes), options.filter, **used)
    _say(options, path, target, made)
    if options.dry_run:
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with progress(options, made.n_planes, "plane") as count:
        write_tiff(target, counted(made, count), overwrite=options.overwrite)
    if options.json:
        print_json({"event": "written", "path": path, "out": str(target)})
    else:
        print(f"written    {target}", flush=True)


def _say(options: argparse.Namespace, path: str, target: Path, made: ImageStack) -> None:
    """Say what will be done, and what was measured for it."""
    said = {key: made.provenance.get(key) for key in ("filter", "options", "measured")}
    if options.json:
        print_json({"event": "filter", "path": path, "out": str(target), **said})
    else:
        size = " x ".join(f"{letter} {length}" for letter, length in zip(made.axes, made.data.shape, strict=True))
        settings = ", ".join(f"{key} {value:g}" for key, value in made.provenance["options"].items())
        measured = f"\nmeasured   {_in_options(said['measured']['said'])}" if said["measured"] else ""
        print(f"from       {path}\nto         {target}\nimage      {size}, {made.data.dtype}")
        print(f"filter     {said['filter']}: {settings}{measured}", flush=True)
    for note in made.notes:
        note = _in_options(note)
        mind(f"{path}: {note}" if len(options.paths) > 1 else note)


def _in_options(text: str) -> str:
    return text.replace("(offset_px)", "(--option offset_px=N)")


def _given(texts: Sequence[str]) -> dict[str, float | None]:
    """Return options by name.

    >>> _given(["size_px=5", "amount=0.5", "offset_px=measured"])
    {'size_px': 5.0, 'amount': 0.5, 'offset_px': None}
    """
    given: dict[str, float | None] = {}
    for text in texts:
        key, sign, value = text.partition("=")
        try:
            given[key.strip()] = None if value.strip() == MEASURED else float(value)
        except ValueError:
            sign = ""
        if not sign:
            raise ValueError(f"--option {text}: give a name and a number, such as size_px=5")
        if value.strip() == MEASURED and key.strip() != SHEAR_OPTION:
            raise ValueError(f"--option {text}: only {SHEAR_OPTION} can be measured, give a number")
    return given
