"""``cellrestore pairs``: make pairs of images for training, from two scans of one slide or two microscopes."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_cellrestore.cli._common import mind, print_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_cellrestore.rescan import FieldPairs, Scans
    from napari_cellrestore.transfer import ImagePair, Step


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what can be paired, each with its options."""
    kinds = parser.add_subparsers(dest="kind", metavar="kind", required=True)
    summary = "pair an unstained LED scan with the stained scan of the same slide, cell by cell"
    led = kinds.add_parser("led", help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
    led.add_argument(
        "unstained", type=Path, metavar="UNSTAINED", help="LED stack, or folder of them; it stays as it is"
    )
    led.add_argument(
        "stained", type=Path, metavar="STAINED", help="stained image of the field, or folder of those of the same names"
    )
    led.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="new folder for pairs and tables")
    led.add_argument(
        "--pixel-um", type=float, metavar="UM", help="pixel size; of stained scans only where files do not say"
    )
    led.add_argument("--stained-pixel-um", type=float, metavar="UM", help="that of the stained scans")
    led.add_argument("--leds", type=Path, metavar="CSV", help="LED table of all stacks; else NAME.leds.csv beside each")
    led.add_argument("--na", type=float, default=0.4, help="numerical aperture of the unstained scan (0.4)")
    led.add_argument("--crop-px", type=int, default=64, metavar="PX", help="side of the crops (64)")
    led.add_argument(
        "--match-by", default="steepness", help="match fields by steepness (if not given) or by canny edges"
    )
    led.add_argument("--look", default="edges", help="compare cells by edges (if not given), grey or inverted")
    led.add_argument(
        "--place-by", default="field", help="put cells where their field lies (if not given), or where each cell does"
    )
    led.add_argument("--subpixel", action="store_true", help="find each cell to parts of a pixel")
    led.add_argument(
        "--whole-pixels", action="store_true", help="copy targets pixel by pixel, do not interpolate; one magnification"
    )
    for name, low, high, what in (
        ("hue", 220, 310, "hue of white cells in degrees, red is 0"),
        ("saturation", 0.2, 1, "their saturation"),
        ("value", 0.1, 0.95, "their value"),
        ("area", 15, 400, "their area in um2"),
    ):
        both = f"{what} ({low:g} {high:g})"
        led.add_argument(f"--{name}", type=float, nargs=2, default=(low, high), metavar=("LOW", "HIGH"), help=both)
    led.add_argument("--dry-run", action="store_true", help="measure and judge, write nothing")
    led.add_argument("--json", action="store_true", help="print fields and cells as lines of JSON")
    led.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help="show where an error comes from")
    led.set_defaults(run=_led)
    _add_transfer(kinds)


def _add_transfer(kinds: Any) -> None:
    """Declare ``transfer``: images of the same cells by two microscopes."""
    summary = "pair images of the same cells by two microscopes, which nobody tagged, and align them"
    transfer = kinds.add_parser("transfer", help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
    transfer.add_argument("inputs", type=Path, metavar="INPUTS", help="folder of images by one microscope")
    transfer.add_argument("targets", type=Path, metavar="TARGETS", help="folder of images by the other, of any names")
    transfer.add_argument(
        "--out", type=Path, required=True, metavar="FOLDER", help="new folder for input, target and tables"
    )
    transfer.add_argument("--pixel-um", type=float, metavar="UM", help="pixel size of the inputs, if files do not say")
    transfer.add_argument("--target-pixel-um", type=float, metavar="UM", help="pixel size of the targets, the same")
    transfer.add_argument(
        "--turns-deg", type=float, nargs="+", default=[0.0], metavar="DEG", help="turns of the inputs to try (0)"
    )
    transfer.add_argument(
        "--transform", default="affine", help="map that is fitted: affine (if not given) or similarity"
    )
    transfer.add_argument(
        "--keep", default="target", help="which image keeps its pixels: target (if not given) or input"
    )
    transfer.add_argument(
        "--residual-px",
        type=float,
        default=1.0,
        metavar="PX",
        help="largest residual, the median, in pixels of the coarser image (1); 1.5 times as much may be left of white "
        "cells, and of 95 %% of the tiles",
    )
    transfer.add_argument("--dry-run", action="store_true", help="pair and judge, write nothing")
    transfer.add_argument("--json", action="store_true", help="print pairs and problems as lines of JSON")
    transfer.add_argument(
        "--debug", action="store_true", default=argparse.SUPPRESS, help="show where an error comes from"
    )
    transfer.set_defaults(run=_transfer)


def run(options: argparse.Namespace) -> int:
    """Do what the kind of pairs asks for."""
    return int(options.run(options))


def _led(options: argparse.Namespace) -> int:
    from napari_cellrestore.rescan import check_new_folder, find_scans, judge, pair_scans, write_pairs

    check_new_folder(options.out)
    scans = find_scans(
        options.unstained,
        options.stained,
        leds=options.leds,
        pixel_um=options.pixel_um,
        stained_pixel_um=options.stained_pixel_um,
    )
    colours = {"hue_deg": options.hue, "saturation": options.saturation, "value": options.value}
    colours |= dict(zip(("smallest_um2", "largest_um2"), options.area, strict=True))
    measured = pair_scans(
        scans,
        na=options.na,
        crop_px=options.crop_px,
        look=options.look,
        match_by=options.match_by,
        place_by=options.place_by,
        subpixel=options.subpixel,
        colours=colours,
    )
    for sentence in scans.alone:
        _wrong(sentence)
    fields = []
    for number, field in enumerate(measured, 1):
        _say_field(options, scans, field, f"{number} of {len(scans.fields)}")
        fields.append(field)
    fields = judge(fields)
    for field in fields:
        _say_cells(options, field)
    pairs = [pair for field in fields for pair in field.cells]
    accepted = sum(pair.accepted for pair in pairs)
    # the tables tell why pairs were refused; where nothing was compared there is nothing to tell
    writes = not options.dry_run and any(field.match or field.cells for field in fields)
    where = f"the tables are in {options.out}" if writes else "nothing was written"
    if writes:
        written = write_pairs(options.out, scans, fields, crop_px=options.crop_px, whole_pixels=options.whole_pixels)
        for number, _ in enumerate(written, 1):
            if number % 100 == 0 and not options.json:
                print(f"written   {number} of {accepted} pairs", flush=True)
    if not accepted:
        raise ValueError(f"no pair could be accepted, {where}; {_why(fields)}")
    if not options.json:
        print(f"{accepted} of {len(pairs)} pairs accepted, from {len(fields)} field{'s' * (len(fields) != 1)}; {where}")
    return 2 if scans.alone or any(field.reason for field in fields) else 0


def _transfer(options: argparse.Namespace) -> int:
    from napari_cellrestore.rescan import check_new_folder
    from napari_cellrestore.transfer import follow_pairing, follow_writing
    from napari_cellrestore.transfer.aligning import last

    check_new_folder(options.out)
    steps = follow_pairing(
        options.inputs,
        options.targets,
        input_pixel_um=options.pixel_um,
        target_pixel_um=options.target_pixel_um,
        turns_deg=options.turns_deg,
        transform=options.transform,
        keep=options.keep,
        residual_limit_px=options.residual_px,
    )
    pairing = last(steps, lambda step: _say_step(options, step))
    for note in pairing.notes:
        if options.json:
            print_json({"note": note})
        else:
            mind(note)
    for pair in pairing.pairs:
        _say_pair(options, pair)
    for problem in pairing.problems:
        if options.json:
            print_json({"input": problem.input, "target": problem.target, "reason": problem.reason})
        else:
            _wrong(str(problem), "transfer")
    good = len(pairing.good)
    if not good:
        first = f"; {pairing.problems[0]}" if pairing.problems else ""
        raise ValueError(f"no good pair was found, nothing was written{first}")
    if not options.dry_run:
        for number, _ in enumerate(follow_writing(pairing, options.out), 1):
            if number % 100 == 0 and not options.json:
                print(f"written   {number} of {good} pairs", flush=True)
    if not options.json:
        where = "nothing was written" if options.dry_run else f"they are in {options.out}"
        of = f"{pairing.inputs} inputs and {pairing.targets} targets"
        print(f"{good} good pair{'s' * (good != 1)} of {of}; {where}")
    return 2 if pairing.problems else 0


def _say_step(options: argparse.Namespace, step: Step) -> None:
    """Print how far the pairing is, at the end of each part and now and then."""
    if not options.json and (step.done == step.total or step.done % 100 == 0):
        print(f"{step.what}: {step.done} of {step.total}", flush=True)


def _say_pair(options: argparse.Namespace, pair: ImagePair) -> None:
    from napari_cellrestore.transfer.aligned import numbers

    if options.json:
        said = {"pair": pair.name, "input": pair.input.name, "target": pair.target.name, "good": pair.good}
        print_json({**said, "cell_correlation": pair.correlation, **numbers(pair.alignment)})
    elif pair.good:
        found = pair.alignment
        turned = f"turned by {found.rotation_deg:+.2f} deg, scale {found.scale:.4f}"
        points = f"{found.inliers} of {found.matches} points"
        print(
            f"paired    {pair.input.name} and {pair.target.name}: {found.residual_px:.2f} px left, {turned}, {points}"
        )


def _say_field(options: argparse.Namespace, scans: Scans, field: FieldPairs, number: str) -> None:
    match = field.match
    if options.json:
        said: dict[str, Any] = {"field": field.name, "cells": len(field.cells), "reason": field.reason}
        if match is not None:
            said |= {"correlation": match.correlation, "certainty": match.certainty}
            said |= {"scale": match.place.scale, "rotation_deg": match.place.rotation_deg}
        print_json({**said, "notes": list(field.notes)})
    elif match is not None and not match.reason and not field.reason:
        turned = f"turned by {match.place.rotation_deg:+.2f} deg, scale {match.place.scale:.4f}"
        print(f"matched   {field.name} ({number}): {turned}, {len(field.cells)} white cells", flush=True)
    if not options.json:
        for note in field.notes:
            print(f"{field.name}: {note}" if field.reason else f"          {note}", flush=True)
    if field.reason:
        _wrong(f"{field.name}: {field.reason}")


def _say_cells(options: argparse.Namespace, field: FieldPairs) -> None:
    for pair in field.cells:
        if options.json:
            cell = {"cell": pair.name, "ssim": pair.ssim, "shift_px": list(pair.shift_px)}
            print_json({**cell, "accepted": pair.accepted, "reason": pair.reason})
        elif pair.reason and pair.reason != field.reason:
            print(f"refused   {pair.name}: {pair.reason}")


def _wrong(sentence: str, kind: str = "led") -> None:
    print(f"cellrestore pairs {kind}: {sentence}", file=sys.stderr, flush=True)


def _why(fields: Sequence[FieldPairs]) -> str:
    """Return the first reason there is."""
    reasons = [f"{field.name}: {field.reason}" for field in fields if field.reason]
    reasons += [f"{pair.name}: {pair.reason}" for field in fields for pair in field.cells if pair.reason]
    return reasons[0] if reasons else "no white cells were found"
