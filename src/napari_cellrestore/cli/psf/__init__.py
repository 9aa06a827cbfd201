"""``cellrestore psf``: recover the point-spread function from images, or measure it from beads."""

from __future__ import annotations

import argparse
from pathlib import Path

from napari_cellrestore.cli._common import add_axes, check_new
from napari_cellrestore.cli.psf.beads import run_beads
from napari_cellrestore.cli.psf.field import MAP, TABLE
from napari_cellrestore.cli.psf.options import COLOURS
from napari_cellrestore.cli.psf.pair import run_pair
from napari_cellrestore.cli.psf.series import run_series


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.usage = "cellrestore psf SHARP BLURRED | STACK | --beads STACK [options]"
    parser.add_argument(
        "images",
        nargs="+",
        metavar="IMAGE",
        help="a sharp image and a blurred one of the same field; or one focus stack, whose planes go against the sharpest",
    )
    parser.add_argument("--beads", action="store_true", help="the stack shows beads: measure them")
    parser.add_argument(
        "--diameter", type=float, metavar="UM", help="diameter of the beads, whose size is then taken off their widths"
    )
    parser.add_argument("--pixel", type=float, metavar="UM", help="pixel size, where the file does not say")
    parser.add_argument("--z-step", type=float, metavar="UM", help="distance of planes, where the file does not say")
    parser.add_argument("--na", type=float, help="numerical aperture, for theory and the absolute kernel")
    parser.add_argument(
        "--wavelength", type=float, nargs="+", metavar="UM", help="wavelength, one or one each of red, green and blue"
    )
    parser.add_argument("--index", type=float, default=1.0, metavar="N", help="index of the immersion (1.0, air)")
    parser.add_argument("--method", default="radial", help="radial (if not given) or fourier")
    parser.add_argument("--mu", default="auto", help="weight of the prior: auto (if not given), gcv, or a number")
    parser.add_argument(
        "--align", action="store_true", help="move the blurred image, or the planes, onto the sharp first"
    )
    parser.add_argument(
        "--field", type=int, nargs=2, metavar=("DOWN", "ACROSS"), help="also the width over the field, by tiles"
    )
    parser.add_argument("--plane", type=int, nargs="+", metavar="K", help="planes of stacks that are used, from 0")
    parser.add_argument(
        "--colour", choices=COLOURS, help="of colour images; if not given, all of a pair and green of a stack"
    )
    add_axes(parser)
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="write kernels as TIFF and curves as tables there")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write what is printed as a table, in full precision")
    parser.add_argument("--json", action="store_true", help="print one line of JSON for each kernel")
    parser.add_argument(
        "--save-model", metavar="NAME", help="keep deconvolution by the relative kernel as a model for Restore"
    )


def run(options: argparse.Namespace) -> int:
    """Print a line for each kernel; write what is asked for."""
    if len(options.images) > 2 or (options.beads and len(options.images) != 1):
        wanted = "one stack" if options.beads else "a sharp and a blurred image, or one focus stack"
        raise ValueError(f"{len(options.images)} images were given: give {wanted}")
    if (options.na is None) != (options.wavelength is None):
        raise ValueError("--na and --wavelength go together: give both or none")
    if options.diameter is not None and not options.beads:
        raise ValueError("--diameter is that of beads: give --beads too")
    if options.beads and (options.field or options.align):
        raise ValueError("--field and --align are for images of a specimen: leave out --beads, or them")
    _check_targets(options)
    if options.beads:
        return run_beads(options)
    return run_pair(options) if len(options.images) == 2 else run_series(options)


def _check_targets(options: argparse.Namespace) -> None:
    """Refuse, before anything is computed, what exists already."""
    if options.csv:
        check_new(options.csv)
    if options.out:
        kernels = ("psf.ome.tif", "psf_absolute.ome.tif", "otf.csv", *((MAP, TABLE) if options.field else ()))
        names = ("bead_psf.ome.tif", "beads.csv") if options.beads else kernels
        if options.out.is_file():
            raise ValueError(f"--out {options.out} is a file: give a folder")
        for name in names:
            if (options.out / name).exists():
                raise ValueError(f"{options.out / name}: exists already; give another folder")
    if options.save_model:
        from napari_cellrestore.model import check_name, model_folders

        check_name(options.save_model, model_folders())
