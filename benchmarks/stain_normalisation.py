"""Time stain normalisation of a camera's frame beside copies of it, and measure it beside other normalisations.

Run with ``.venv/bin/python benchmarks/stain_normalisation.py [--rounds 5]``; with ``--source FOLDER --target FOLDER`` also colour
distances on held-out images, of all normalisations that are installed. Nothing is asserted. A copy is one of the frame as
float32, 1920 x 1200 RGB; one class is to cost no more than four of them.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from timing import CLOCKS, Case, timed

from napari_cellrestore.engine import available_engines, runner
from napari_cellrestore.model import Model
from napari_cellrestore.restore import Plan, plan_restoration, restore
from napari_cellrestore.simulate import draw_smear
from napari_cellrestore.stain import (
    CLASSES,
    NORMALISATIONS,
    class_distances,
    fit_hedlund_morell,
    image_files,
    lab_colours,
)
from napari_cellrestore.stain.images import named_images
from napari_cellrestore.stain_model import stain_model

FRAME = (1200, 1920)


def time_frame(rounds: int, clock: str) -> None:
    """Compare one frame with copies of it, in turn."""
    smear = draw_smear((400, 480), 0.1, np.random.default_rng(0))
    transfer = fit_hedlund_morell([smear], [(0.7 * smear + 20).astype(np.uint8)], pixel_um=0.1)
    frame = np.ascontiguousarray(np.tile(smear, (3, 4, 1)))
    assert frame.shape[:2] == FRAME
    wide = frame.astype(np.float32)
    model = stain_model(transfer)
    unit = wide / 127.5 - 1
    engines = [name for name, there in available_engines().items() if not there.startswith("not installed")]
    runs = {name: runner(model, name, "cpu") for name in engines}
    plans = {name: plan_restoration(frame, model, engine=name) for name in engines}
    cases: dict[str, Case] = {
        "float32 copy": wide.copy,
        "uint8 as float32": lambda: frame.astype(np.float32),
        "StainTransfer.apply, uint8": lambda: transfer.apply(frame),
        **{f"the model's network, {name}": partial(run, unit) for name, run in runs.items()},
        **{
            f"restore, {name}, {plan.n_tiles} tiles": partial(_restored, frame, model, plan)
            for name, plan in plans.items()
        },
    }
    classes = len(transfer.source.classes)
    said = f"{FRAME[1]} x {FRAME[0]} RGB, {classes} classes, {torch.get_num_threads()} threads of torch, {clock} time"
    timed(f"{said}; the aim is {4 * classes} copies", cases, rounds=rounds, against="float32 copy", clock=CLOCKS[clock])


def _restored(frame: np.ndarray, model: Model, plan: Plan) -> np.ndarray:
    return np.asarray(restore(frame, model, plan).compute())


def measure(source: Path, target: Path, most: int, classes: Sequence[str]) -> None:
    """Print distances of classes on held-out images, before and after each normalisation."""
    fitted, kept = zip(*(_parts(image_files(folder), most) for folder in (source, target)), strict=True)
    theirs = lab_colours(kept[1])
    images = [pixels for _, pixels in named_images(kept[0])]
    print(f"\ndistance in CIELAB, {source.name} from {target.name}, {len(images)} held-out images")
    _say("as recorded", class_distances(lab_colours(images), theirs, classes))
    for name, fit in NORMALISATIONS.items():
        options = {"classes": classes} if name == "hedlund-morell" else {}
        try:
            normalisation = fit(*fitted, **options)
        except ValueError as error:
            print(f"  {name:<16} {error}")
            continue
        _say(name, class_distances(lab_colours(map(normalisation.apply, images)), theirs, classes))


def _parts(files: Sequence[Path], most: int) -> tuple[Sequence[Path], Sequence[Path]]:
    """Return files to fit and others to measure, evenly over all."""
    step = max(2, len(files) // most)
    return files[::step][:most], files[1::step][:most]


def _say(name: str, distances: dict[str, float]) -> None:
    each = ", ".join(f"{what} {far:.1f}" for what, far in distances.items())
    print(f"  {name:<16} {np.mean(list(distances.values())):5.1f}   ({each})")


def main() -> None:
    """Run all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    parser.add_argument("--source", type=Path)
    parser.add_argument("--target", type=Path)
    parser.add_argument("--most", type=int, default=10, help="images of each folder to fit, and others to measure on")
    parser.add_argument("--without", nargs="+", default=[], help="classes that the images do not show")
    options = parser.parse_args()
    time_frame(options.rounds, options.clock)
    if options.source and options.target:
        classes = [name for name in CLASSES if name not in options.without]
        measure(options.source, options.target, options.most, classes)


if __name__ == "__main__":
    main()
