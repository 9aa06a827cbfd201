"""Axes of a stack and axes of OME-Zarr, which come in one order: time, then channels or others, then space."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from yaozarrs import v05

#: Name and type of each axis; LED, position and unknown ones are of types of their own, which the standard allows.
AXES: dict[str, tuple[str, str | None]] = {
    "T": ("t", "time"),
    "P": ("p", "position"),
    "Q": ("q", None),
    "A": ("a", "LED"),
    "C": ("c", "channel"),
    "S": ("c", "channel"),
    "Z": ("z", "space"),
    "Y": ("y", "space"),
    "X": ("x", "space"),
}
LETTERS = {name: letter for letter, (name, _) in AXES.items() if letter not in "QS"}
#: The standard has no more.
MOST_AXES = 5


def stored_order(axes: str) -> list[int]:
    """Return which axis of a stack is stored where.

    >>> stored_order("ZCYX"), stored_order("TYXS")
    ([1, 0, 2, 3], [0, 3, 1, 2])
    """
    return sorted(range(len(axes)), key=lambda i: list(AXES).index(axes[i]))


def ome_axes(stored: str, known: str) -> list[v05.Axis]:
    """Return the axes of an array that is stored in the order ``stored``; those of ``known`` length are in micrometres."""
    if len(stored) > MOST_AXES or {"C", "S"} <= set(stored):
        raise ValueError(
            f"OME-Zarr cannot hold the axes {stored}: {MOST_AXES} at most, and either channels or colours; select a "
            "plane along one of them first"
        )
    return [_ome_axis(*AXES[letter], unit="micrometer" if letter in known else None) for letter in stored]


def _ome_axis(name: str, kind: str | None, *, unit: str | None) -> v05.Axis:
    match kind:
        case "time":
            return v05.TimeAxis(name=name)
        case "channel":
            return v05.ChannelAxis(name=name)
        case "space":
            return v05.SpaceAxis(name=name, unit=unit)
    return v05.CustomAxis(name=name, type=kind)


def letters_of(axes: Sequence[Any]) -> str:
    """Return the letters of axes as a file names them, ``?`` for those of no or another meaning.

    >>> letters_of([{"name": "channels", "type": "channel"}, {"name": "angle"}, {"name": "Y", "type": "space"}])
    'C?Y'
    """
    kinds = {"time": "T", "channel": "C"}
    found = []
    for axis in axes:
        letter = kinds.get(axis.get("type"), LETTERS.get(str(axis.get("name")).lower(), "?"))
        found.append("?" if letter in found else letter)
    return "".join(found)
