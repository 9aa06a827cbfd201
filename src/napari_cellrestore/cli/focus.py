"""``cellrestore focus``: find the sharpest plane of focus stacks."""

from __future__ import annotations

import argparse
import csv
import re
from collections.abc import Iterator
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_cellrestore.cli._common import add_axes, check_new, each, expand, mind, new_table, print_json, stem

if TYPE_CHECKING:
    import numpy as np

    from napari_cellrestore.focus import FocusCurve
    from napari_cellrestore.stack import ImageStack

Roi = tuple[slice, slice]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("paths", nargs="+", metavar="PATH", help="file, or folder with one plane a file")
    parser.add_argument(
        "--method",
        default="second_difference",
        help="focus measure: second_difference (if not given), brenner, tenengrad, laplacian_variance, "
        "normalised_variance or vollath_f4",
    )
    parser.add_argument("--roi", type=_roi, metavar="Y0:Y1,X0:X1", help="rows and columns to measure, in pixels")
    add_axes(parser)
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write the curves as a table")
    parser.add_argument("--json", action="store_true", help="print each curve as a line of JSON")
    parser.add_argument("--extract", type=Path, metavar="FOLDER", help="write the sharpest plane of each stack there")
    parser.add_argument(
        "--at-minimum",
        action="store_true",
        help="extract the plane where contrast has a dip instead: unstained cells are in focus there",
    )


def _roi(text: str) -> Roi:
    match = re.fullmatch(r"(\d*):(\d*),(\d*):(\d*)", text)
    if not match:
        raise argparse.ArgumentTypeError(f"{text!r} is not Y0:Y1,X0:X1, such as 100:400,0:512")
    y0, y1, x0, x1 = (int(number) if number else None for number in match.groups())
    return slice(y0, y1), slice(x0, x1)


def run(options: argparse.Namespace) -> int:
    """Print a line for each stack as soon as it is measured."""
    from napari_cellrestore.focus import MEASURES

    if options.method not in MEASURES:
        raise ValueError(f"unknown focus measure {options.method!r}: use one of {', '.join(MEASURES)}")
    if options.at_minimum and options.extract is None:
        raise ValueError("--at-minimum says which plane is extracted: give --extract FOLDER too")
    if options.csv:
        check_new(options.csv)
    if not options.json:
        print(HEADER)
    curves: list[dict[str, Any]] = []
    status = each(options, expand(options.paths), lambda path: curves.extend(_measure(options, path)))
    if options.csv and curves:
        _write_csv(options.csv, curves)
    return status


def _measure(options: argparse.Namespace, path: str) -> list[dict[str, Any]]:
    """Measure, print and extract every focus stack of a file."""
    from napari_cellrestore.files import open_stack
    from napari_cellrestore.focus import focus_curve

    stack = open_stack(path, axes=options.axes)
    if options.roi:
        _check_roi(options.roi, stack.yx_shape)
    measured, without = [], []
    for where, part in focus_stacks(stack):
        curve = focus_curve(part, method=options.method, roi=options.roi)
        name = " ".join([path, *(f"{letter}{number}" for letter, number in where.items())])
        said = {"path": path, "at": where, **_fields(curve), "extracted": None}
        if not options.json:
            print(_row(name, curve), flush=True)
        if options.at_minimum and curve.minimum_index is None:
            without.append(name.removeprefix(path).strip() or "the stack")
        elif options.extract is not None:
            _mind_the_minimum(name, curve, options.at_minimum)
            said["extracted"] = _extract(options.extract, path, where, part, curve, options.at_minimum)
        if options.json:
            print_json(said)
        measured.append(said)
    if without:
        raise ValueError(f"contrast of {', '.join(without)} has no dip by this measure: leave out --at-minimum there")
    return measured


def focus_stacks(stack: ImageStack) -> Iterator[tuple[dict[str, int], ImageStack]]:
    """Yield the focus stack at each position along the other axes (channel, time, ...), and that position."""
    import numpy as np

    if "Z" not in stack.axes:
        raise ValueError(
            f"axes {stack.axes}, without depth (Z): focus is measured along Z; if its planes are, say so with --axes"
        )
    others = stack.plane_axes.replace("Z", "")
    for index in np.ndindex(*map(stack.size, others)):
        part, where = stack, dict(zip(others, index, strict=True))
        for letter, number in where.items():
            part = part.select(letter, number)
        yield where, part


def _check_roi(roi: Roi, yx_shape: tuple[int, int]) -> None:
    for part, length, name in zip(roi, yx_shape, ("rows", "columns"), strict=True):
        start, stop = part.start or 0, length if part.stop is None else part.stop
        if not start < stop <= length:
            raise ValueError(f"--roi has {name} {start}:{stop}, the image has 0:{length}; give a part of these")


def _mind_the_minimum(name: str, curve: FocusCurve, at_minimum: bool) -> None:
    """Say which plane is extracted where it is doubtful which one is in focus."""
    if curve.minimum_index is None:
        return
    dip, sharpest = f"plane {curve.minimum_index}", f"plane {curve.peak_index}"
    todo = f"extracting {dip}" if at_minimum else f"extracting the sharpest, {sharpest}; --at-minimum extracts {dip}"
    mind(f"{name}: contrast has a dip at {dip}, where unstained cells are in focus; {todo}")


def _extract(
    folder: Path, path: str, where: dict[str, int], part: ImageStack, curve: FocusCurve, at_minimum: bool
) -> str:
    """Write the sharpest plane, or that of the contrast minimum, as it was acquired, and return where."""
    from napari_cellrestore.files import write_tiff

    kind, index = ("minimum", curve.minimum_index) if at_minimum else ("sharpest", curve.peak_index)
    assert index is not None
    folder.mkdir(parents=True, exist_ok=True)
    name = "-".join([stem(path), *(f"{letter}{number}" for letter, number in where.items()), f"{kind}.ome.tif"])
    check_new(folder / name)
    chosen = f"where contrast is lowest by {curve.method}" if at_minimum else f"the sharpest by {curve.method}"
    made = {
        "extracted": f"plane {index} of {len(curve.values)}, {chosen}",
        "source": path,
        "at": where,
        "z": float(curve.z_um[index]),
        "z_unit": curve.z_unit,
    }
    plane = part.select("Z", index).replace(provenance={**part.provenance, **made})
    return str(write_tiff(folder / name, plane))


# --- what is said ------------------------------------------------------------------------------------------

HEADER = f"{'sharpest':>8}  {'planes':>6}  {'peak':>12}  {'half width':>18}  stack (what makes it doubtful)"


def _row(name: str, curve: FocusCurve) -> str:
    unit = "um" if curve.z_unit == "um" else "planes"
    peak = f"{round(curve.peak_um, 3) + 0.0:.3f} um" if unit == "um" else f"plane {curve.peak_um:.2f}"
    lower, higher = ("?" if isnan(width) else f"{width:.3g}" for width in curve.width_um)
    doubts = list(curve.flags)
    if curve.minimum_um is not None:
        position = f" ({curve.minimum_um:.2f} um)" if unit == "um" else ""
        doubts.append(f"which is plane {curve.minimum_index}{position}")
    doubtful = f" ({', '.join(doubts)})" if doubts else ""
    widths = f"-{lower} +{higher} {unit}"
    return f"{curve.peak_index:>8}  {len(curve.values):>6}  {peak:>12}  {widths:>18}  {name}{doubtful}"


def _fields(curve: FocusCurve) -> dict[str, Any]:
    return {
        "method": curve.method,
        "roi": None if curve.roi is None else [[part.start, part.stop] for part in curve.roi],
        "sharpest": curve.peak_index,
        "peak": curve.peak_um,
        "width": list(curve.width_um),
        "asymmetry": curve.asymmetry,
        "minimum": curve.minimum_um,
        "minimum_plane": curve.minimum_index,
        "flags": list(curve.flags),
        "z_unit": curve.z_unit,
        "z": _list(curve.z_um),
        "values": _list(curve.values),
    }


def _list(values: np.ndarray) -> list[float]:
    return [float(value) for value in values]


def _write_csv(path: Path, curves: list[dict[str, Any]]) -> None:
    with new_table(path) as file:
        writer = csv.writer(file)
        writer.writerow(["stack", "at", "plane", "z", "z_unit", "method", "value", "sharpest"])
        for curve in curves:
            at = " ".join(f"{letter}{number}" for letter, number in curve["at"].items())
            for plane, (z, value) in enumerate(zip(curve["z"], curve["values"], strict=True)):
                sharpest = int(plane == curve["sharpest"])
                measured = "" if isnan(value) else repr(value)
                writer.writerow([curve["path"], at, plane, z, curve["z_unit"], curve["method"], measured, sharpest])
