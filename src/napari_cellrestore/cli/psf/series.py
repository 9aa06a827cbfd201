"""``cellrestore psf STACK``: the blur of the planes of a focus stack against its sharpest."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING

from napari_cellrestore.cli._common import mind
from napari_cellrestore.cli.psf.field import fields_of, say_fields, write_fields
from napari_cellrestore.cli.psf.options import (
    COLOURS,
    colours_of,
    grey,
    how_of,
    objective_of,
    open_image,
    pixel_size_um,
    z_positions_um,
)
from napari_cellrestore.cli.psf.output import Kernels, row_of, save, say, write

if TYPE_CHECKING:
    import numpy as np

    from napari_cellrestore.recover import PsfRecovery
    from napari_cellrestore.stack import ImageStack


def run_series(options: argparse.Namespace) -> int:
    """Recover a kernel of each plane."""
    from napari_cellrestore.focus import sharpest
    from napari_cellrestore.kernels import relative_theory

    stack = _depth_stack(options)
    pixel_um = pixel_size_um(options, stack)
    (colour,) = colours_of(options, stack.rgb, ("green",))
    z_um = z_positions_um(options, stack)
    reference = sharpest(stack)
    if not options.json:
        print(f"sharpest: plane {reference}" + ("" if z_um is None else f" ({z_um[reference]:g} um)"), flush=True)
    if options.align:
        stack = _aligned(stack, reference)
    found = _recovered(options, stack, reference, colour, pixel_um)
    images = [grey(stack.data[plane], colour) for plane in (reference, *found)] if options.field else []
    fields = fields_of(options, {colour: (images[0], images[1])}, pixel_um) if images else {}
    rows, theories = [], []
    for plane, recovery in found.items():
        z = {} if z_um is None else {"z_um": float(z_um[plane])}
        rows.append(row_of(recovery, fields.get(colour), plane=plane, **z))
        away_um = None if z_um is None or recovery.objective is None else abs(z_um[plane] - z_um[reference])
        theories.append(None if away_um is None else relative_theory(recovery, away_um))
    say(options, rows)
    say_fields(options, fields)
    said = {"stack": options.images[0], "sharpest": reference}
    write(options, rows, list(found.values()), said, theories, _images(found, reference, z_um))
    write_fields(options, fields)
    if options.save_model:
        (recovery,) = found.values()
        save(options, recovery.psf, pixel_um)
    return 0


def _depth_stack(options: argparse.Namespace) -> ImageStack:
    """Open the stack; refuse what has no depth, and options that need one plane."""
    path = options.images[0]
    stack = open_image(path, options)
    if stack.plane_axes != "Z":
        what = "one image: give a sharp and a blurred one" if stack.n_planes == 1 else f"axes {stack.axes}"
        raise ValueError(f"{path} has {what}; a focus stack has planes along depth (Z), see --axes")
    for option, given in (("--save-model keeps", options.save_model), ("--field is of", options.field)):
        if given and len(options.plane or ()) != 1:
            raise ValueError(f"{option} one kernel: choose its plane with --plane K")
    return stack


def _aligned(stack: ImageStack, reference: int) -> ImageStack:
    """Return the stack with its planes on the sharpest one, cut to what all have."""
    from napari_cellrestore.register import align_stack, common_area

    moved, shifts_px = align_stack(stack, reference)
    rows, columns = common_area(shifts_px, stack.yx_shape)
    return stack.replace(data=moved.data[:, rows, columns])


def _recovered(
    options: argparse.Namespace, stack: ImageStack, reference: int, colour: str, pixel_um: float
) -> dict[int, PsfRecovery]:
    """Recover the kernel of each plane; of one that cannot be used a line says why."""
    from napari_cellrestore.kernels import recover_series

    found: dict[int, PsfRecovery] = {}
    wrong: dict[int, str] = {}
    for plane, recovery in recover_series(
        stack,
        pixel_um,
        reference=reference,
        planes=options.plane,
        colour=COLOURS.index(colour) if colour else 1,
        objective=objective_of(options, colour),
        **how_of(options),
    ):
        if isinstance(recovery, str):
            wrong[plane] = recovery
        else:
            found[plane] = recovery
    if not found:
        own = f"plane {reference} is the sharpest itself"
        why = next((f"plane {plane}: {reason}" for plane, reason in wrong.items()), own)
        raise ValueError(f"{options.images[0]}: no plane could be used; {why}")
    for plane, reason in wrong.items():
        mind(f"plane {plane}: {reason}")
    return found


def _images(found: Mapping[int, PsfRecovery], reference: int, z_um: np.ndarray | None) -> Kernels:
    """Return the kernels along z, with that of the sharpest plane in its place."""
    from napari_cellrestore.kernels import sharp_kernel

    (first, *_) = found.values()
    planes = sorted([*found, reference])
    kernels = [found[plane] if plane in found else sharp_kernel(first) for plane in planes]
    return kernels, "Z", {} if z_um is None else {"z_um": z_um[planes]}
