"""The planes of a focus stack: what came in, checked, and one plane after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from napari_cellrestore.focus.measures import green
from napari_cellrestore.stack import ImageStack

Array = np.ndarray
StackLike = Array | ImageStack  # or a dask array: anything with shape, dtype and planes that numpy can read
Roi = tuple[slice, slice]


def focus_stack(stack: StackLike, z_um: Sequence[float] | Array | None) -> tuple[Array, Array, str]:
    """Return pixels (Z, Y, X[, S]), the z of each plane and the unit of z."""
    if isinstance(stack, ImageStack):
        if stack.axes not in ("ZYX", "ZYXS"):
            others = stack.axes.replace("Z", "").replace("Y", "").replace("X", "").replace("S", "")
            todo = (
                f'select one plane along {", ".join(others)} first: stack.select("{others[0]}", 0)'
                if others
                else "open a stack"
            )
            raise ValueError(f"stack has axes {stack.axes}: focus is measured along Z (ZYX or ZYXS); {todo}")
        z_um = stack.z_um if z_um is None else z_um
        stack = stack.data
    planes = as_planes(stack)
    if not (planes.ndim == 3 or (planes.ndim == 4 and planes.shape[-1] in (3, 4))) or 0 in planes.shape:
        raise ValueError(
            f"stack has shape {planes.shape}: give planes (Z, Y, X) or colour planes (Z, Y, X, 3 or 4); for one image "
            "use focus_measure"
        )
    if z_um is None:
        return planes, np.arange(len(planes), dtype=float), "plane"
    return planes, check_z(z_um, len(planes)), "um"


def as_planes(stack: Any) -> Any:
    """Return an array as it is, a list of planes as one array; planes of different sizes are named.

    Examples
    --------
    >>> as_planes([np.zeros((4, 5)), np.zeros((4, 6))])
    Traceback (most recent call last):
    ValueError: plane 1 has shape (4, 6), plane 0 (4, 5): give planes of one size; cut or leave out the others
    """
    if hasattr(stack, "shape") and hasattr(stack, "dtype"):
        return stack
    shapes = [np.shape(plane) for plane in stack]
    for number, shape in enumerate(shapes):
        if shape != shapes[0]:
            raise ValueError(
                f"plane {number} has shape {shape}, plane 0 {shapes[0]}: give planes of one size; cut or leave out the "
                "others"
            )
    return np.asarray(stack)


def check_z(z_um: Sequence[float] | Array, count: int) -> Array:
    """Return the positions of planes, checked: one for each plane, rising or falling."""
    z = np.asarray(z_um, float)
    if z.shape != (count,):
        raise ValueError(
            f"z_um has shape {z.shape} for {count} planes: give one position in micrometres for each plane"
        )
    if not np.isfinite(z).all():
        raise ValueError(f"z_um of plane {int(np.argmin(np.isfinite(z)))} is not a finite number")
    steps = np.diff(z) * np.sign(z[-1] - z[0])
    if count > 1 and not (steps > 0).all():
        first = int(np.argmin(steps > 0))
        what = "the same position" if z[first] == z[first + 1] else "out of order"
        raise ValueError(
            f"planes {first} and {first + 1} are {what} (z {z[first]:g} and {z[first + 1]:g} um): z must rise or fall "
            "from plane to plane; sort the planes or leave out the repeated one"
        )
    return z


def green_planes(planes: Array, roi: Roi | None = None) -> Iterator[Array]:
    """Yield the green channel of each plane as numpy, one at a time; of a dask array only that is computed."""
    if roi is not None and not (isinstance(roi, tuple) and [type(part) for part in roi] == [slice, slice]):
        raise TypeError(f"roi is {roi!r}: give (slice of rows, slice of columns)")
    rows, columns = (slice(None), slice(None)) if roi is None else roi
    for index in range(len(planes)):
        plane = planes[index, rows, columns]
        yield green(plane[..., 1] if plane.ndim == 3 else plane)
