"""``cellrestore report``: write a report of a restoration."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from napari_cellrestore.cli._common import add_axes, mind

if TYPE_CHECKING:
    from napari_cellrestore.stack import ImageStack


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--input", required=True, metavar="PATH", help="what was restored, or the stack it is from")
    parser.add_argument("--plane", type=int, metavar="K", help="plane of the stack, from 0")
    restored = parser.add_mutually_exclusive_group(required=True)
    restored.add_argument("--restored", metavar="PATH", help="the restored image, or its stack")
    restored.add_argument("--model", metavar="NAME", help="restore the plane with this model")
    parser.add_argument(
        "--reference", metavar="PATH", help="the sharp image of the same place; 'sharpest' is that of the input stack"
    )
    add_axes(parser)
    parser.add_argument("--data-range", type=float, metavar="N", help="span of possible grey levels, for PSNR and SSIM")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="folder for the report")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier report")


def run(options: argparse.Namespace) -> int:
    """Collect the images of one plane and write the report."""
    from napari_cellrestore.files import open_stack
    from napari_cellrestore.report import make_report

    stack = open_stack(options.input, axes=options.axes)
    original = plane_of(stack, options.plane, options.input)
    page = make_report(
        options.out,
        original,
        _restored(options, original),
        reference=_reference(options, stack),
        stack=stack if _is_focus_stack(stack) else None,
        data_range=options.data_range,
        overwrite=options.overwrite,
    )
    print(f"written {page}")
    return 0


def plane_of(stack: ImageStack, plane: int | None, path: str) -> ImageStack:
    """Return one plane of a stack; which must be said where there are several."""
    several = [letter for letter in stack.plane_axes if stack.size(letter) > 1]
    if plane is not None and not 0 <= plane < stack.n_planes:
        raise ValueError(
            f"{path}: plane {plane} does not exist, there are {stack.n_planes} (0 to {stack.n_planes - 1})"
        )
    if several and plane is None:
        raise ValueError(f"{path}: it has {stack.n_planes} planes, a report is about one; choose it with --plane")
    if len(several) > 1:
        raise ValueError(f"{path}: its planes lie along {' and '.join(several)}; a report takes a stack along one axis")
    for letter in stack.plane_axes:
        stack = stack.select(letter, (plane or 0) if letter in several else 0)
    return stack


def _is_focus_stack(stack: ImageStack) -> bool:
    return stack.axes in ("ZYX", "ZYXS") and stack.n_planes > 1


def _restored(options: argparse.Namespace, original: ImageStack) -> ImageStack:
    """Return the restored plane, read or made now."""
    import numpy as np

    if options.restored:
        return _same_plane(options, options.restored)
    from napari_cellrestore.restore import restore_stack

    restored = restore_stack(original, options.model)
    return restored.replace(data=np.asarray(restored.data))  # computed once, not for each figure


def _reference(options: argparse.Namespace, stack: ImageStack) -> ImageStack | None:
    if options.reference != "sharpest":
        return None if options.reference is None else _same_plane(options, options.reference)
    if not _is_focus_stack(stack):
        raise ValueError(f"{options.input}: --reference sharpest needs a focus stack (ZYX), it has axes {stack.axes}")
    from napari_cellrestore.focus import sharpest

    plane = sharpest(stack)
    if plane == options.plane:
        mind(f"plane {plane} is the sharpest itself: its restoration can only differ from it")
    return stack.select("Z", plane)


def _same_plane(options: argparse.Namespace, path: str) -> ImageStack:
    """Return an image of one plane, or of a stack the plane that the report is about."""
    from napari_cellrestore.files import open_stack

    stack = open_stack(path)
    return plane_of(stack, options.plane if stack.n_planes > 1 else None, path)
