"""What the options of ``cellrestore psf`` say."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from napari_cellrestore.cli._common import naming

if TYPE_CHECKING:
    import numpy as np

    from napari_cellrestore.objective import Objective
    from napari_cellrestore.stack import ImageStack

COLOURS = ("red", "green", "blue")


def open_image(path: str, options: argparse.Namespace) -> ImageStack:
    """Open an image; errors name the file as it was given."""
    from napari_cellrestore.files import open_stack

    try:
        return open_stack(path, axes=options.axes)
    except ValueError as error:
        raise ValueError(naming(path, error)) from error


def pixel_size_um(options: argparse.Namespace, *stacks: ImageStack) -> float:
    """Return the pixel size that was given, or else the one on which the images agree."""
    if options.pixel is not None:
        return float(options.pixel)
    sizes = [size for stack in stacks if stack.pixel_yx_um is not None for size in stack.pixel_yx_um]
    if not sizes:
        raise ValueError("the pixel size is not known: give it with --pixel UM")
    if max(sizes) > 1.001 * min(sizes):
        raise ValueError(f"pixels of {min(sizes):g} and {max(sizes):g} um: give images of one size of square pixels")
    return sizes[0]


def z_positions_um(options: argparse.Namespace, stack: ImageStack) -> np.ndarray | None:
    """Return the positions of planes, None where they are not known."""
    import numpy as np

    if options.z_step is not None:
        return np.asarray(options.z_step * np.arange(stack.n_planes))
    return None if stack.z_um is None else np.asarray(stack.z_um)


def colours_of(options: argparse.Namespace, rgb: bool, usual: Sequence[str]) -> Sequence[str]:
    """Return the colours that are used, "" of grey images."""
    if not rgb:
        return ("",)
    return (options.colour,) if options.colour else usual


def objective_of(options: argparse.Namespace, colour: str) -> Objective | None:
    """Return the optics for a colour, None where they are not given."""
    from napari_cellrestore.objective import Objective

    if options.na is None:
        return None
    if len(options.wavelength) not in (1, 3):
        raise ValueError(f"{len(options.wavelength)} wavelengths: give one, or three for red, green and blue")
    number = COLOURS.index(colour) if colour and len(options.wavelength) == 3 else 0
    return Objective(options.na, options.wavelength[number], options.index)


def how_of(options: argparse.Namespace) -> dict[str, Any]:
    """Return the method and its weight."""
    mu = options.mu
    if mu not in ("auto", "gcv"):
        try:
            mu = float(mu)
        except ValueError:
            raise ValueError(f"--mu {mu}: give auto, gcv or a positive number") from None
    return {"method": options.method, "mu": mu}


def grey(plane: Any, colour: str) -> np.ndarray:
    """Return one colour of a plane, of a grey one itself."""
    import numpy as np

    plane = np.asarray(plane)
    if plane.ndim == 2:
        return np.asarray(plane)
    return np.asarray(plane[..., COLOURS.index(colour) if colour else 1])
