"""Steps of preparing a focus stack that only look at positions along z."""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

import numpy as np
import numpy.typing as npt

from napari_cellrestore.focus import FocusCurve, focus_curve
from napari_cellrestore.stack import ImageStack

#: Positions along z that differ by less are the same: stages do not set nanometres.
SAME_UM = 1e-3

Interval = tuple[float, float]


def recentre(stack: ImageStack, curve: FocusCurve | None = None, *, plane: int | None = None) -> ImageStack:
    """Return the stack with z counted from its sharpest plane, or another; pixels stay.

    Parameters
    ----------
    stack : ImageStack
        Of axes ZYX or ZYXS, with ``z_um``.
    curve : FocusCurve, optional
        As measured of this stack, for example of a part of the image. Default: that of whole planes.
    plane : int, optional
        The plane that gets z = 0, where it is not the sharpest: unstained cells are in focus where contrast is lowest
        (``curve.minimum_index``).

    Examples
    --------
    >>> texture = np.random.default_rng(0).normal(size=(32, 32))
    >>> stack = ImageStack(np.stack([texture, 2 * texture, texture]), "ZYX", z_um=[0, 0.2, 0.4])
    >>> recentre(stack).z_um.tolist()
    [-0.2, 0.0, 0.2]
    """
    z_um = positions(stack)
    if plane is None:
        curve = curve or focus_curve(stack)
        if len(curve.values) != len(z_um):
            raise ValueError(
                f"the curve has {len(curve.values)} planes, the stack {len(z_um)}: give the curve of this stack"
            )
        plane = curve.peak_index
    if not 0 <= plane < len(z_um):
        raise ValueError(f"plane is {plane}: the stack has planes 0 to {len(z_um) - 1}")
    return stack.replace(z_um=np.round(z_um - z_um[plane], 9) + 0.0)  # no -0.0


def peaks_within(curve: FocusCurve, low_um: float, high_um: float) -> bool:
    """Return whether the sharpest plane lies in an interval of z, ends included.

    The plane counts, as in Olofsson & Wagnström 2019, not the peak between planes.

    Examples
    --------
    >>> curve = FocusCurve(z_um=np.array([-0.2, 0, 0.2]), values=np.array([1, 3, 2.9]), peak_index=1, peak_um=0.1)
    >>> peaks_within(curve, -0.2, 0.0), peaks_within(curve, 0.05, 0.4)
    (True, False)
    """
    low_um, high_um = check_interval((low_um, high_um), "the interval of peaks")
    if curve.z_unit != "um":
        raise ValueError("the curve counts planes: to ask for micrometres, give the stack z_um before it is measured")
    return bool(low_um - SAME_UM <= curve.z_um[curve.peak_index] <= high_um + SAME_UM)


@overload
def trim(stacks: ImageStack, low_um: float, high_um: float) -> ImageStack: ...
@overload
def trim(stacks: Sequence[ImageStack], low_um: float, high_um: float) -> list[ImageStack]: ...
def trim(stacks: ImageStack | Sequence[ImageStack], low_um: float, high_um: float) -> ImageStack | list[ImageStack]:
    """Return the planes of a stack, or of each stack of a list, from ``low_um`` to ``high_um``, ends included.

    Raises
    ------
    ValueError
        Where a stack does not reach both ends, or several do not have their planes at the same positions.

    Examples
    --------
    >>> stack = ImageStack(np.zeros((5, 16, 16)), "ZYX", z_um=[-0.4, -0.2, 0, 0.2, 0.4])
    >>> trim(stack, -0.2, 0.4).z_um.tolist()
    [-0.2, 0.0, 0.2, 0.4]
    """
    ends = check_interval((low_um, high_um), "the z range")
    if isinstance(stacks, ImageStack):
        return _trimmed(stacks, *ends)
    trimmed = [_trimmed(stack, *ends) for stack in stacks]
    for number, stack in enumerate(trimmed):
        first, this = positions(trimmed[0]), positions(stack)
        if first.shape != this.shape or np.abs(first - this).max() > SAME_UM:
            raise ValueError(
                f"stack {number} has its planes at {list_um(this)} um, stack 0 at {list_um(first)} um: prepare stacks of "
                "one z step together, others on their own"
            )
    return trimmed


def _trimmed(stack: ImageStack, low_um: float, high_um: float) -> ImageStack:
    z_um = positions(stack)
    if z_um.min() > low_um + SAME_UM or z_um.max() < high_um - SAME_UM:
        raise ValueError(
            f"planes from {z_um.min():g} to {z_um.max():g} um do not cover {low_um:g} to {high_um:g} um: choose a smaller "
            "z range or leave the stack out"
        )
    inside = np.flatnonzero((z_um >= low_um - SAME_UM) & (z_um <= high_um + SAME_UM))
    if not len(inside) or (np.diff(inside) != 1).any():
        raise ValueError(f"no planes, or planes out of order, from {low_um:g} to {high_um:g} um: z is {list_um(z_um)}")
    return stack.select("Z", slice(int(inside[0]), int(inside[-1]) + 1))


# --- what came in --------------------------------------------------------------------------------------------


def positions(stack: ImageStack) -> npt.NDArray[np.float64]:
    """Return where the planes of a stack lie; ValueError where that is not known."""
    if "Z" not in stack.axes:
        raise ValueError(f"axes {stack.axes}, without depth (Z): give a focus stack, or say what its axes are")
    if stack.z_um is None:
        raise ValueError("the positions of its planes along z are not known: give z_um, one position for each plane")
    return np.asarray(stack.z_um, float)


def check_interval(ends: Sequence[float], what: str) -> Interval:
    """Return the ends of an interval, checked."""
    low, high = (float(end) for end in ends)
    if not (np.isfinite(low) and np.isfinite(high) and low <= high):
        raise ValueError(f"{what} is {low:g} to {high:g} um: give the lower end first, both finite")
    return low, high


def list_um(z_um: npt.NDArray[np.float64]) -> str:
    """Return positions for a message."""
    return ", ".join(f"{z:g}" for z in z_um)
