"""``cellrestore focus prepare``: make a folder of focus stacks ready for training."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from napari_cellrestore.cli._common import add_axes, print_json

if TYPE_CHECKING:
    from napari_cellrestore.prepare import Row


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("source", type=Path, metavar="SOURCE_FOLDER", help="folder of focus stacks; it stays as it is")
    parser.add_argument(
        "target",
        type=Path,
        metavar="TARGET_FOLDER",
        help="folder for the stacks that are kept and prepared.csv, the table of all; stacks already there are not made "
        "again",
    )
    keep = parser.add_mutually_exclusive_group()
    keep.add_argument(
        "--keep",
        nargs=2,
        type=float,
        default=(-0.2, 0.4),
        metavar=("LOW", "HIGH"),
        help="keep stacks whose sharpest plane lies here, in um of z as acquired (-0.2 0.4)",
    )
    keep.add_argument("--keep-all", action="store_true", help="keep stacks wherever their sharpest plane lies")
    parser.add_argument(
        "--range",
        nargs=2,
        type=float,
        default=(-1.4, 1.2),
        metavar=("LOW", "HIGH"),
        help="trim to this z range, in um from the sharpest plane (-1.4 1.2)",
    )
    parser.add_argument("--no-align", action="store_true", help="leave planes where they are")
    parser.add_argument("--crop", type=int, metavar="PX", help="cut out a square of this side around the nucleus")
    parser.add_argument("--jitter", type=float, metavar="PX", help="spread of the square's random offset (a sixth)")
    parser.add_argument("--seed", type=int, default=0, help="of the random offsets (0)")
    add_axes(parser)
    parser.add_argument("--json", action="store_true", help="print each stack as a line of JSON")


def run(options: argparse.Namespace) -> int:
    """Print a line for each stack as soon as it is done."""
    from napari_cellrestore.prepare import TABLE, prepare_folder

    rows = []
    for row in prepare_folder(
        options.source,
        options.target,
        axes=options.axes,
        seed=options.seed,
        keep_um=None if options.keep_all else tuple(options.keep),
        range_um=tuple(options.range),
        align=not options.no_align,
        crop_px=options.crop,
        jitter_px=options.jitter,
    ):
        rows.append(row)
        if options.json:
            print_json(vars(row))
        else:
            print(_line(row), flush=True)
    kept = sum(row.kept for row in rows)
    if not options.json:
        print(f"{kept} of {len(rows)} stacks kept; the table is {options.target / TABLE}")
    if not kept:
        raise ValueError(f"{options.source}: no stack could be kept; {rows[0].stack}: {rows[0].reason}")
    return 0


def _line(row: Row) -> str:
    if not row.kept:
        return f"left out  {row.stack}: {row.reason}"
    moved = "" if row.shift_px is None else f", moved by up to {row.shift_px:g} px"
    doubts = f" ({row.flags})" if row.flags else ""
    return f"kept      {row.stack}: sharpest was plane {row.sharpest} at {row.peak_um:g} um{moved}{doubts}"
