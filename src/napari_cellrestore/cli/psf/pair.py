"""``cellrestore psf SHARP BLURRED``: the blur between two images."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

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
)
from napari_cellrestore.cli.psf.output import row_of, save, say, write

if TYPE_CHECKING:
    import numpy as np

    from napari_cellrestore.recover import PsfRecovery
    from napari_cellrestore.stack import ImageStack

#: What one colour gives: its kernel, its planes, by how much the blurred one was moved first.
Found = tuple["PsfRecovery", list["np.ndarray"], list["np.ndarray"], "tuple[float, float] | None"]


def run_pair(options: argparse.Namespace) -> int:
    """Recover a kernel of each colour."""
    sharp, blurred = (open_image(path, options) for path in options.images)
    pixel_um = pixel_size_um(options, sharp, blurred)
    planes = _planes(options, sharp, blurred)
    if len(planes[0]) > 1 and (options.align or options.field):
        raise ValueError("--align and --field take one plane: choose it with --plane K")
    found: dict[str, Found] = {}
    wrong: dict[str, ValueError] = {}
    for colour in colours_of(options, sharp.rgb and blurred.rgb, COLOURS):
        try:
            found[colour] = _recovered(options, colour, planes[0], planes[1], pixel_um)
        except ValueError as error:
            wrong[colour] = error
    if not found:
        raise next(iter(wrong.values()))
    for colour, reason in wrong.items():
        mind(f"{colour}: {reason}")
    kernels = [recovery for recovery, *_ in found.values()]
    fields = fields_of(options, {colour: (f[0], g[0]) for colour, (_, f, g, _) in found.items()}, pixel_um)
    rows = [
        row_of(recovery, fields.get(colour), colour=colour, **({} if moved is None else {"moved_px": moved}))
        for colour, (recovery, _, _, moved) in found.items()
    ]
    say(options, rows)
    say_fields(options, fields)
    said = {"sharp": options.images[0], "blurred": options.images[1], "planes": options.plane}
    more = {"channels": tuple(found)} if len(found) > 1 else {}
    write(options, rows, kernels, said, [], (kernels, "C" if more else "", more))
    write_fields(options, fields)
    if options.save_model:
        psfs = [recovery.psf for recovery in kernels]
        if len(psfs) == 2:
            raise ValueError("--save-model needs one colour or three, two could be used: choose one with --colour")
        save(options, psfs[0] if len(psfs) == 1 else psfs, pixel_um)
    return 0


def _recovered(
    options: argparse.Namespace, colour: str, sharp: Sequence[Any], blurred: Sequence[Any], pixel_um: float
) -> Found:
    """Recover the kernel of a colour; with ``--align`` again, once the blurred image lies on the sharp one."""
    from napari_cellrestore.recover import align_pair, recover_psf

    how: dict[str, Any] = {"objective": objective_of(options, colour), **how_of(options)}
    images, others = ([grey(plane, colour) for plane in planes] for planes in (sharp, blurred))
    recovery = recover_psf(images, others, pixel_um, **how)
    if not (options.align and recovery.shifted):
        return recovery, images, others, None
    image, other, moved_px = align_pair(images[0], others[0], recovery.shift_px)
    return recover_psf(image, other, pixel_um, **how), [image], [other], moved_px


def _planes(options: argparse.Namespace, *stacks: ImageStack) -> list[list[np.ndarray]]:
    """Return the planes of both files that go together; one plane goes with each of the other's."""
    from napari_cellrestore.kernels import check_plane

    several = max(stack.n_planes for stack in stacks)
    if several > 1 and not options.plane:
        raise ValueError(f"the files have {' and '.join(str(s.n_planes) for s in stacks)} planes: choose with --plane")
    chosen = [check_plane(plane, several) for plane in options.plane or [0]]
    taken = []
    for path, stack in zip(options.images, stacks, strict=True):
        planes = stack.data.reshape((stack.n_planes, *stack.data.shape[len(stack.plane_axes) :]))
        if stack.n_planes not in (1, several):
            raise ValueError(f"{path} has {stack.n_planes} planes, the other {several}: give one or as many")
        taken.append([planes[plane if stack.n_planes > 1 else 0] for plane in chosen])
    return taken
