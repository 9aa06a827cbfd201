"""``cellrestore info``: say what files are, or what this machine offers."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from napari_cellrestore.cli._common import add_axes, each, expand, print_json, say_or_json

if TYPE_CHECKING:
    from napari_cellrestore.card import ModelCard
    from napari_cellrestore.leds import LedTable
    from napari_cellrestore.stack import ImageStack

PACKAGES = ("napari-cellrestore", "torch", "openvino", "numpy", "scikit-image", "dask", "tifffile", "napari")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "paths", nargs="*", metavar="PATH", help="file or folder; without any, what this machine offers"
    )
    add_axes(parser)
    parser.add_argument("--leds", metavar="TABLE", help="of an LED stack: its table, where none lies beside it")
    parser.add_argument(
        "--na", type=float, help="of an LED stack: aperture of the objective; its planes are then checked, all are read"
    )
    parser.add_argument(
        "--measure",
        metavar="MODEL",
        help="time all engines with this model, which takes about a minute; from then on the fastest is taken",
    )
    parser.add_argument("--json", action="store_true", help="print one line of JSON for each path")


def run(options: argparse.Namespace) -> int:
    """Describe the files, or the machine, or measure its engines."""
    if options.measure:
        if options.paths:
            raise ValueError("--measure times engines and looks at no file: leave PATH out")
        return _measure(options)
    if options.paths:
        return each(options, expand(options.paths), lambda path: _show_file(options, path))
    machine = describe_machine()
    if options.json:
        print_json(machine)
    else:
        _print_machine(machine)
    return 0


# --- files -------------------------------------------------------------------------------------------------


def _show_file(options: argparse.Namespace, path: str) -> None:
    from napari_cellrestore.files import open_stack

    stack = open_stack(path, axes=options.axes, leds=options.leds)
    checks = None
    if options.na is not None:
        from napari_cellrestore.illumination import check_leds

        checks = check_leds(stack, na=options.na)
        stack = stack.replace(leds=stack.leds and stack.leds.with_kinds(options.na))
    if options.json:
        found = None if checks is None else {"findings": [*map(asdict, checks.findings)], "unknown": checks.unknown}
        print_json({"path": path, **_fields(stack), "checks": found})
        return
    print(path)
    for name, text in [*_lines(stack), *(("check", line) for line in str(checks or "").splitlines())]:
        print(f"  {name:<10}  {text}")


def _fields(stack: ImageStack) -> dict[str, Any]:
    names = ("axes", "pixel_um", "pixel_y_um", "z_step_um", "z_um", "channels", "rgb", "notes", "provenance")
    return {
        "shape": stack.data.shape,
        "dtype": str(stack.data.dtype),
        "taken_for": taken_for(stack),
        "leds": None if stack.leds is None else stack.leds.columns(),
        **{name: getattr(stack, name) for name in names},
    }


def taken_for(stack: ImageStack) -> str:
    """Return what a stack is, in words.

    >>> import numpy as np
    >>> from napari_cellrestore.stack import ImageStack
    >>> taken_for(ImageStack(np.zeros((2, 5, 8, 8, 3)), "TZYXS"))
    'colour focus stack of 5 planes, 2 along time'
    """
    colour = "colour" if stack.rgb else "grey"
    kind, main = f"{colour} image", ""
    if stack.size("A") > 1:
        kind, main = f"{colour} LED stack of {stack.size('A')} planes", "A"
    elif stack.size("Z") > 1:
        kind, main = f"{colour} focus stack of {stack.size('Z')} planes", "Z"
    words = {"T": "time", "P": "position", "C": "channel", "Z": "depth", "Q": "an axis of unknown meaning"}
    others = [letter for letter in stack.plane_axes if letter != main and stack.size(letter) > 1]
    return ", ".join([kind, *(f"{stack.size(letter)} along {words[letter]}" for letter in others)])


def _lines(stack: ImageStack) -> list[tuple[str, str]]:
    """Return the names and texts of what is known of a stack."""
    from napari_cellrestore.stack import AXES

    sizes = zip(stack.axes, stack.data.shape, strict=True)
    lines = [
        ("shape", " x ".join(map(str, stack.data.shape))),
        ("axes", f"{stack.axes}: " + ", ".join(f"{AXES[letter]} {length}" for letter, length in sizes)),
        ("dtype", str(stack.data.dtype)),
        ("pixel size", _pixel(stack)),
    ]
    if "Z" in stack.axes:
        lines += [("z step", _um(stack.z_step_um)), ("z range", _z_range(stack))]
    if stack.channels:
        lines.append(("channels", ", ".join(stack.channels)))
    if stack.leds is not None:
        of_colours = stack.provenance.get("colours", {}).get("wavelength_um", [])
        lines.append(("LEDs", _leds(stack.leds, of_colours)))
    lines.append(("taken for", taken_for(stack)))
    if made := stack.provenance.get("generated") or stack.provenance.get("extracted"):
        lines.append(("made", str(made)))
    return lines + [("note", note) for note in stack.notes]


def _um(length_um: float | None) -> str:
    return "not known" if length_um is None else f"{length_um:g} um"


def _pixel(stack: ImageStack) -> str:
    if stack.pixel_yx_um is None or len(set(stack.pixel_yx_um)) == 1:
        return _um(stack.pixel_um)
    height, width = stack.pixel_yx_um
    return f"{width:g} um wide, {height:g} um high"


def _z_range(stack: ImageStack) -> str:
    return "not known" if stack.z_um is None else f"{stack.z_um[0]:g} to {stack.z_um[-1]:g} um"


def _leds(leds: LedTable, of_colours: Sequence[float | None]) -> str:
    known = {value for value in (*leds.wavelength_um.tolist(), *of_colours) if value and value == value}  # without NaN
    wavelengths = sorted(known)
    return "; ".join(
        [
            f"{len(leds)} planes",
            f"polar angle {leds.polar_deg.min():g} to {leds.polar_deg.max():g} deg",
            f"exposure {', '.join(sorted(set(leds.exposure.tolist())))}",
            _kinds(leds),
            f"wavelength {', '.join(f'{value:g}' for value in wavelengths)} um"
            if wavelengths
            else "wavelength not known",
        ]
    )


def _kinds(leds: LedTable) -> str:
    """Return what shone; a table that calls all LEDs points tells brightfield and dark field not apart."""
    kinds = sorted(set(leds.kind.tolist()))
    if kinds == ["point"]:
        return "brightfield and dark field not told apart (give --na)"
    return f"kind {', '.join(f'{kind} ({int((leds.kind == kind).sum())})' for kind in kinds)}"


# --- the machine -------------------------------------------------------------------------------------------


def describe_machine() -> dict[str, Any]:
    """Return versions, devices, engines and models."""
    import os
    import platform

    import torch

    from napari_cellrestore.engine import available_engines
    from napari_cellrestore.model import list_models, models_folder

    cards = list_models()
    return {
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}},
        "system": platform.platform(),
        "devices": {
            "cpu": f"{os.cpu_count()} cores ({platform.machine()})",
            **{f"cuda:{i}": torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())},
        },
        "threads": torch.get_num_threads(),
        "engines": available_engines(),
        "models_folder": str(models_folder()),
        "models": [card.name for card in cards],
        "fastest": {card.name: _fastest(card) for card in cards if card.task != "distance"},
    }


def _fastest(card: ModelCard) -> str:
    """Return which engine is fastest for a model here, and why."""
    from napari_cellrestore.engine import known, reason

    measured = known(card)
    return reason(measured, card) if measured else "not measured"


def _measure(options: argparse.Namespace) -> int:
    from napari_cellrestore.engine import measure, reason
    from napari_cellrestore.model import load_model

    model = load_model(options.measure)
    measured = measure(model)
    said = reason(measured, model.card)
    say_or_json(options, said, model=model.card.name, fastest=said, measured=measured.model_dump())
    return 0


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _print_machine(machine: dict[str, Any]) -> None:
    for name, number in machine["versions"].items():
        print(f"{name:<20}{number or 'not installed'}")
    print(f"\n{'system':<20}{machine['system']}")
    for kind in ("devices", "engines"):
        for name, text in machine[kind].items():
            print(f"{f'{kind[:-1]} {name}':<20}{text}")
    print(f"{'threads':<20}{machine['threads']}")
    print(f"\n{'models are kept in':<20}{machine['models_folder']}")
    print(f"{'models':<20}{', '.join(machine['models']) or 'none'}")
    print("\nfastest engine of")
    for name, text in machine["fastest"].items():
        print(f"{name:<20}{text}")
