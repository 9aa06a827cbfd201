"""``cellrestore robustness``: what defects of the instrument do to images, and models and filters to those."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_cellrestore.cli import WRONG_INPUT
from napari_cellrestore.cli._common import IMAGE_SUFFIXES, check_new, check_number, mind, naming, new_table, print_json

if TYPE_CHECKING:
    from napari_cellrestore.stack import ImageStack

#: Size of a pixel in micrometres where neither the images nor the user say it.
USUAL_UM = 0.25
#: The defect that depends on the size of a pixel.
OF_SIZE = "wrong_immersion"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.epilog = "Give images of the kind that a model is meant for, not those that it was trained on."
    parser.add_argument("models", nargs="*", metavar="MODEL", help="name of a model, or its folder")
    parser.add_argument("--images", required=True, type=Path, metavar="FOLDER", help="good images, one a file")
    parser.add_argument(
        "--truth",
        type=Path,
        metavar="FOLDER",
        help="what models should make of them, images of the same names; without it the good images themselves",
    )
    parser.add_argument(
        "--filter",
        action="append",
        default=[],
        dest="filters",
        metavar="NAME",
        help="a classical filter beside the models, may be given again: median, undo_scan_shear, ...",
    )
    parser.add_argument(
        "--metrics", nargs="+", metavar="NAME", help="what is measured (mse msemg ssim psnr cv sharpness)"
    )
    parser.add_argument("--defects", nargs="+", metavar="NAME", help="only these defects: bidirectional_shear, ...")
    parser.add_argument("--limit", type=check_number, metavar="COUNT", help="take only the first images")
    parser.add_argument(
        "--pixel-um",
        type=float,
        metavar="UM",
        help=f"size of a pixel where the images do not state it (for the wrong immersion {USUAL_UM:g})",
    )
    parser.add_argument(
        "--na",
        type=float,
        default=0.5,
        metavar="NA",
        help="aperture of the dry lens that gets the wrong immersion (0.5)",
    )
    parser.add_argument(
        "--data-range", type=float, metavar="N", help="span of possible grey levels (of 8 and 16 bit unsigned: known)"
    )
    parser.add_argument(
        "--intensity",
        nargs=2,
        type=float,
        metavar=("LOW", "HIGH"),
        help="grey levels of black and of the brightest the detector can tell, where images are not 8 bit",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of noise (0)")
    parser.add_argument(
        "--csv", type=Path, metavar="FILE", help="write all numbers, and whether a method helps or harms"
    )
    parser.add_argument("--json", action="store_true", help="print the table as one line of JSON")


def run(options: argparse.Namespace) -> int:
    """Print a table for each metric; status 2 where an image had to be left out."""
    from napari_cellrestore.evaluate import BON_METRICS, FEW_IMAGES, robustness

    if options.csv:
        check_new(options.csv)
    methods, paths = _methods(options), _paths(options)
    defects = _defects(options, paths)
    read: list[Path] = []
    left_out: list[str] = []
    try:
        table = robustness(
            _images(options, paths, read, left_out),
            methods,
            metrics=options.metrics or BON_METRICS,
            defects=defects,
            data_range=options.data_range,
            intensity=options.intensity,
            seed=options.seed,
            keep_going=not options.debug,
        )
    except ValueError as error:
        if left_out and not read:
            raise ValueError(f"none of the {len(left_out)} images can be scored: give others") from error
        raise ValueError(_in_options(str(error))) from error
    left_out += [read[number].name for number, _ in table.left_out]
    notes = [naming(read[number], ValueError(_in_options(text))) for number, text in table.notes]
    for number, text in table.left_out:
        mind(f"left out, {naming(read[number], ValueError(_in_options(text)))}")
    for text in notes:
        mind(text)
    if options.csv:
        with new_table(options.csv) as file:
            file.write(table.csv())
    if options.json:
        print_json({**table.as_dict(), "images": options.images, "left_out": left_out, "notes": notes})
    else:
        print(table.markdown())
    if table.rows[0].images < FEW_IMAGES:
        mind(
            f"{table.rows[0].images} images: each number is a mean alone, from {FEW_IMAGES} images on its interval is said"
        )
    return 2 if left_out else 0


def _in_options(text: str) -> str:
    """Return what is wrong in the words of the command line instead of those of Python."""
    words = {
        "give data_range": "give --data-range",
        ', or "reference" for the maximum of the reference': "",
        "data_range is ": "--data-range is ",
        "intensity is ": "--intensity is ",
        "(intensity)": "(--intensity)",
    }
    for python, option in words.items():
        text = text.replace(python, option)
    return text


def _methods(options: argparse.Namespace) -> dict[str, Any]:
    """Return models and filters by name."""
    from napari_cellrestore.filters import FILTERS

    plain = {name: one for name, one in FILTERS.items() if not one.needs_psf}
    if unknown := [name for name in options.filters if name not in plain]:
        raise ValueError(f"unknown filter {unknown[0]!r}: use {', '.join(plain)}")
    methods: dict[str, Any] = {name: plain[name] for name in options.filters}
    if options.models:
        from napari_cellrestore.model import load_model

        models = [load_model(name) for name in options.models]
        if several := [model.card.name for model in models if model.card.in_planes > 1]:
            raise ValueError(
                f"model {several[0]!r} makes one image of several planes: defects are given to single images"
            )
        names = [model.card.name for model in models]
        if len({*names, *methods}) < len(names) + len(methods):
            raise ValueError(
                f"methods of one name: {', '.join([*names, *methods])}; rename one, results go by that name"
            )
        methods = {model.card.name: model for model in models} | methods
    if not methods:
        raise ValueError("nothing to measure: name a model, or a filter (--filter median)")
    return methods


def _defects(options: argparse.Namespace, paths: Sequence[Path]) -> dict[str, Any]:
    from napari_cellrestore.objective import Objective
    from napari_cellrestore.psf import aliasing
    from napari_cellrestore.simulate import instrument_defects

    if options.na >= 1:
        raise ValueError(f"--na {options.na:g}: the lens that gets the oil is a dry one; give an NA below 1")
    lens = Objective(na=options.na, wavelength_um=0.53)
    sized = OF_SIZE in (options.defects or [OF_SIZE])
    stated_um = _stated_um(paths, options.pixel_um) if sized else None
    pixel_um = next((size for size in (options.pixel_um, stated_um) if size is not None), USUAL_UM)
    if wrong := aliasing(pixel_um, lens):
        raise ValueError(f"--pixel-um {pixel_um:g} --na {options.na:g}: {wrong}")
    known = instrument_defects(pixel_um, lens)
    if unknown := [name for name in options.defects or [] if name not in known]:
        raise ValueError(f"unknown defect {unknown[0]!r}: use {', '.join(known)}")
    if sized and options.pixel_um is None and stated_um is None:
        mind(
            f"the images state no pixel size, {pixel_um:g} um is taken for the wrong immersion: give theirs (--pixel-um)"
        )
    return {name: known[name] for name in options.defects or known}


def _stated_um(paths: Sequence[Path], given_um: float | None) -> float | None:
    """Return the size of a pixel that the images state, None where none does; ValueError where it is not the one given."""
    from napari_cellrestore.files import open_stack

    sizes: list[float] = []
    for path in paths:
        with suppress(*WRONG_INPUT):  # said when it is its turn
            sizes += open_stack(path).pixel_yx_um or ()
    if not sizes:
        return None
    least, most = min(sizes), max(sizes)
    if most > 1.001 * least:
        raise ValueError(
            f"the images have pixels of {least:g} to {most:g} um: give images of one size of square pixels, or other --defects "
            f"than {OF_SIZE}"
        )
    if given_um is not None and not 0.999 * least <= given_um <= 1.001 * least:
        raise ValueError(
            f"--pixel-um {given_um:g}: the images state pixels of {least:g} um; leave it out, or correct them"
        )
    return least


def _paths(options: argparse.Namespace) -> list[Path]:
    """Return the images of the folder."""
    from napari_cellrestore.files.places import check_folder

    for folder in (options.images, options.truth):
        if folder is not None:
            check_folder(folder)
    paths = sorted(path for path in options.images.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)[: options.limit]
    if not paths:
        raise ValueError(f"{options.images}: no images there; give a folder with {', '.join(IMAGE_SUFFIXES)}")
    return paths


def _images(options: argparse.Namespace, paths: Sequence[Path], read: list[Path], left_out: list[str]) -> Iterator[Any]:
    """Yield the images, or pairs of image and truth, one after another; what cannot be read is said and left out."""
    from tqdm import tqdm

    bar = tqdm(paths, unit="image", disable=options.json or None)
    for path in bar:
        try:
            image = _read(path, options.pixel_um)
            pair = image if options.truth is None else (image, _like(image, options.truth / path.name))
        except WRONG_INPUT as error:
            if options.debug:
                raise
            left_out.append(path.name)
            bar.clear()
            mind(f"left out, {naming(path, error)}")
            continue
        read.append(path)
        yield pair


def _read(path: Path, pixel_um: float | None = None) -> ImageStack:
    """Return an image of one plane, without alpha, of the given pixel size where it states none."""
    import numpy as np

    from napari_cellrestore.files import open_stack

    stack = open_stack(path)
    if stack.n_planes != 1:
        raise ValueError(f"it has {stack.n_planes} planes: give one image a file")
    for letter in stack.plane_axes:
        stack = stack.select(letter, 0)
    image = np.asarray(stack.data)
    image = np.ascontiguousarray(image[..., :3]) if stack.rgb else image
    return stack.replace(data=image, pixel_um=stack.pixel_um or pixel_um)


def _like(image: ImageStack, path: Path) -> ImageStack:
    truth = _read(path)
    if truth.data.shape != image.data.shape:
        raise ValueError(
            f"the image has shape {image.data.shape}, its truth {truth.data.shape}: both must be of one size"
        )
    return truth
