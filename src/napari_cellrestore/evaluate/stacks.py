"""Recorded focus stacks as samples: the sharpest plane is the truth, the others are to be restored to it.

Olofsson & Wagnström 2019, section 6.1: their test set is of real stacks, of which the sharpest plane is the ground truth.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import numpy as np

from napari_cellrestore.evaluate.scoring import Sample, in_memory
from napari_cellrestore.files import image_suffixes, open_stack
from napari_cellrestore.files.places import check_folder
from napari_cellrestore.focus import focus_curve
from napari_cellrestore.prepare import recentre
from napari_cellrestore.register import align_stack
from napari_cellrestore.stack import ImageStack

#: Focus levels are rounded to this: stages do not set nanometres, and levels of different stacks must meet.
LEVEL_STEP_UM = 0.01
#: Flags of a focus curve that leave no sharp plane to compare with.
NO_TRUTH = ("one plane", "flat", "contrast minimum at focus")


def recorded_samples(
    folder: str | Path, *, axes: str | None = None, z_step_um: float | None = None, align: bool = False
) -> dict[str, Callable[[], Sample]]:
    """Return the focus stacks of a folder by name, each opened when its turn comes; see :func:`recorded_sample`.

    Raises
    ------
    ValueError
        No such folder, or nothing in it.
    """
    home = Path(folder)
    check_folder(home, "focus stacks")
    paths = [path for path in sorted(home.iterdir()) if not path.name.startswith(".") and _is_stack(path)]
    if not paths:
        raise ValueError(f"{folder}: no images in it; they end in {', '.join(image_suffixes())}")
    return {path.name: partial(recorded_sample, path, axes=axes, z_step_um=z_step_um, align=align) for path in paths}


def _is_stack(path: Path) -> bool:
    return path.is_dir() or path.suffix.lower() in image_suffixes()


def recorded_sample(
    path: str | Path, *, axes: str | None = None, z_step_um: float | None = None, align: bool = False
) -> Sample:
    """Open a focus stack, find its sharpest plane and count z from it.

    Parameters
    ----------
    path : path
        File, or folder with one plane a file.
    axes : str, optional
        What the axes are, where the file does not say, see :func:`napari_cellrestore.files.open_stack`.
    z_step_um : float, optional
        Distance of the planes, where the file does not say.
    align : bool
        Put the planes on top of one another first, see :func:`napari_cellrestore.register.align_stack`: a drift would be
        counted as a fault of the restoration.

    Raises
    ------
    ValueError
        Not a focus stack, no positions along z, no plane sharper than the others, or contrast lowest at focus: then the
        sharpest-looking plane is not the one in focus.
    """
    stack = open_stack(path, axes=axes)
    stack = stack.replace(data=in_memory(stack.data))
    if stack.z_um is None and z_step_um is not None and "Z" in stack.axes:
        stack = stack.replace(z_um=z_step_um * np.arange(stack.size("Z")))
    curve = focus_curve(stack)
    if stack.z_um is None:
        raise ValueError("the positions of its planes along z are not known: give the z step")
    if doubts := [flag for flag in curve.flags if flag in NO_TRUTH]:
        raise ValueError(f"no sharp plane to compare with: {', '.join(doubts)}")
    stack = recentre(stack, curve)
    remarks = tuple(flag for flag in curve.flags)
    finite = np.flatnonzero(np.isfinite(curve.values))
    if len(finite) < len(curve.values):
        stack = _planes(stack, finite)
    if align:
        stack, _ = align_stack(stack, int(np.flatnonzero(finite == curve.peak_index)[0]))
    levels_um = np.round(np.asarray(stack.z_um) / LEVEL_STEP_UM) * LEVEL_STEP_UM
    if len(set(levels_um.round(6))) < len(levels_um):
        raise ValueError(f"planes lie closer than {LEVEL_STEP_UM} um: focus levels could not be told apart")
    stack = stack.replace(z_um=np.round(levels_um, 6) + 0.0)
    reference = np.asarray(stack.data[int(np.flatnonzero(stack.z_um == 0)[0])])
    return Sample(reference, stack, remarks)


def _planes(stack: ImageStack, indices: Iterable[int]) -> ImageStack:
    """Return some of the planes."""
    chosen = list(indices)
    return stack.replace(data=stack.data[chosen], z_um=np.asarray(stack.z_um)[chosen])
