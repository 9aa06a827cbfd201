"""From what a file holds and states to an :class:`~napari_cellrestore.stack.ImageStack`.

Letters are those of :data:`napari_cellrestore.stack.AXES`, in the order in which the file stores its axes, with ``?``
for an axis whose meaning the file does not state; two samples (S) are grey and alpha. A stack has its planes first, then Y, X
and colour samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np

from napari_cellrestore.files.calibration import Calibration
from napari_cellrestore.files.planes import WHOLE_PLANE_BYTES, FileError
from napari_cellrestore.stack import AXES, ImageStack, check_axes

#: What an axis of unknown meaning is taken for, by what is still free.
UNKNOWN_ARE = "ZTCP"
GREY_NOTE = "alpha (opacity) is left out; name an axis for it to have it as a channel (C)"


def assemble(
    path: Path,
    data: da.Array,
    letters: str,
    calibration: Calibration,
    *,
    axes: str | None = None,
    lit: bool = False,
    channels: Sequence[str] = (),
    notes: Sequence[str] = (),
    index: Sequence[int] | None = None,
    **more: Any,
) -> ImageStack:
    """Return the stack of an array that was opened.

    Parameters
    ----------
    path : Path
        What was opened.
    data, letters
        The array as it is stored and its axes.
    calibration : Calibration
        Lengths that the file states.
    axes : str, optional
        The user's word for the axes, in the order of the file or in that of the stack.
    lit : bool
        The leading axis holds LEDs.
    channels, notes
        Names and remarks of the reader.
    index : sequence of int, optional
        Numbers of the planes along Z in steps, where some are missing.
    **more
        Other fields of the stack.
    """
    data, letters, notes = _without_alpha(data, letters, notes, axes)
    said: list[str] = []
    if axes is not None:
        order, axes = place(axes, letters, data.shape, path.name)
    else:
        letters, said = settle(letters, data.shape, lit, path.name)
        order = stack_order(letters)
        axes = "".join(letters[i] for i in order)
    try:
        check_axes(axes, tuple(data.shape[i] for i in order))
    except ValueError as error:
        raise FileError(f"{path.name}: {error}") from None
    n_channels = data.shape[order[axes.index("C")]] if "C" in axes else 0
    named = next((tuple(names) for names in (calibration.channels, channels) if len(names) == n_channels), ())
    return ImageStack(
        _whole_planes(data.transpose(order), axes),
        axes,
        pixel_um=calibration.pixel_um,
        pixel_y_um=calibration.pixel_y_um,
        z_um=calibration.z_positions(data.shape[order[axes.index("Z")]], index) if "Z" in axes else None,
        channels=named,
        source=str(path),
        notes=(*said, *notes, *calibration.noted("Z" in axes)),
        **more,
    )


def _without_alpha(
    data: da.Array, letters: str, notes: Sequence[str], axes: str | None
) -> tuple[da.Array, str, Sequence[str]]:
    """Return array, letters and notes without the alpha of grey images, which is a channel where the user names an axis for it."""
    where = letters.find("S")
    if where < 0 or data.shape[where] != 2:
        return data, letters, notes
    if axes is not None and len(axes) == data.ndim:
        return data, letters.replace("S", "?" if "C" in letters else "C"), notes
    return data[(slice(None),) * where + (0,)], letters.replace("S", ""), [*notes, GREY_NOTE]


def stack_order(letters: str) -> list[int]:
    """Return which stored axis comes where in a stack: planes, Y, X, colour samples.

    >>> stack_order("SYX"), stack_order("YXZ")
    ([1, 2, 0], [2, 0, 1])
    """
    planes = [i for i, letter in enumerate(letters) if letter not in "YXS"]
    return planes + [letters.index(letter) for letter in "YXS" if letter in letters]


def settle(letters: str, shape: Sequence[int], lit: bool, name: str) -> tuple[str, list[str]]:
    """Return ``letters`` with a meaning for each axis, and a note for each one that had to be given."""
    settled, notes = list(letters), []
    planes = [i for i, letter in enumerate(letters) if letter not in "YXS"]
    if lit and planes:
        settled[planes[0]] = "A"
    for i in reversed(planes):
        if settled[i] == "?":
            settled[i] = next((letter for letter in UNKNOWN_ARE if letter not in settled), "?")
            taken = f"{AXES.get(settled[i], '')} ({settled[i]})"
            hint = ", or colours (C)" if shape[i] in (3, 4) and settled[i] != "C" else ""
            notes.append(
                f"{shape[i]} pages without stated meaning were taken as {taken}; they may be something else{hint}: "
                "change it by naming the axes"
            )
    if "?" in settled:
        raise FileError(f"{name}: {len(shape)} axes, too many of unknown meaning; name the axes")
    return "".join(settled), notes[::-1]


def place(axes: str, letters: str, shape: Sequence[int], name: str) -> tuple[list[int], str]:
    """Return which stored axis comes where, and the axes of the stack, for the user's ``axes``.

    They may be in the order of the stack or in that of the file: rows and columns tell which.
    """
    axes = axes.upper()
    for shown in (stack_order(letters), list(range(len(letters)))):
        seen = "".join(letters[i] for i in shown)
        if len(axes) == len(seen) and all(axes.find(letter) == seen.find(letter) for letter in "YX"):
            order = stack_order(axes)
            return [shown[i] for i in order], "".join(axes[i] for i in order)
    order = stack_order(letters)
    sizes = " x ".join(str(shape[i]) for i in order)
    like = "".join(letters[i] if letters[i] in "YXS" else "?" for i in order)
    raise FileError(
        f"{name}: axes={axes!r} does not fit {len(shape)} axes of {sizes}; give a letter for each like {like!r}, with "
        f"Y and X where they are, from {', '.join(f'{letter} ({meaning})' for letter, meaning in AXES.items())}"
    )


def _whole_planes(data: da.Array, axes: str) -> da.Array:
    """Return the array with one plane a block where the file has its pages along another axis; large planes stay in parts."""
    planes = axes.index("Y")
    plane_bytes = data.nbytes // np.prod(data.shape[:planes], initial=1)
    if max(data.chunksize[:planes], default=1) > 1 and plane_bytes <= WHOLE_PLANE_BYTES:
        size = {i: 1 if i < planes else -1 for i in range(data.ndim)}
        return data.rechunk(size)
    return data
