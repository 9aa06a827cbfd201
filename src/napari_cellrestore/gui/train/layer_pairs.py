"""Pairs of layers as files that a run can be trained on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise, product
from pathlib import Path
from threading import Event

import numpy as np

from napari_cellrestore.files import write_tiff
from napari_cellrestore.stack import ImageStack

#: What the folders of a run with its inputs and targets are called.
SIDES = ("input", "target")
#: Pairs that there must be: one to train, one to validate, one for the test.
FEWEST = 3


def pair_folders(run: Path) -> tuple[Path, Path]:
    """Return the folders of a run's inputs and targets."""
    return run / "images" / SIDES[0], run / "images" / SIDES[1]


def count_pairs(run: Path) -> int:
    """Return how many pairs were saved for a run."""
    given, target = ({path.name for path in folder.glob("*.ome.tif")} for folder in pair_folders(run))
    return len(given & target)


def save_pairs(stop: Event, run: Path, given: ImageStack, target: ImageStack, name: str, cuts: int) -> Iterator[int]:
    """Write each plane of two stacks as a pair of files, cut into ``cuts`` x ``cuts`` parts; yield how many there are.

    Names begin with a number that is free: nothing is ever replaced.
    """
    _check(given, target)
    folders = pair_folders(run)
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    number = 1 + max((_number(path) for folder in folders for path in folder.iterdir()), default=0)
    for place, part in product(np.ndindex(*given.data.shape[: len(given.plane_axes)]), _parts(given.yx_shape, cuts)):
        if stop.is_set():
            return
        paths = [folder / f"{number:04} {_plain(name)}.ome.tif" for folder in folders]
        try:
            for path, stack in zip(paths, (given, target), strict=True):
                write_tiff(path, _part(stack, place, part))
        except (OSError, ValueError, TypeError):
            paths[0].unlink(missing_ok=True)  # half a pair is none
            raise
        number += 1
    yield count_pairs(run)


def _check(given: ImageStack, target: ImageStack) -> None:
    ours, theirs = (stack.data.shape[: stack.data.ndim - stack.rgb] for stack in (given, target))
    if given.axes.removesuffix("S") != target.axes.removesuffix("S") or ours != theirs:
        said = [f"{stack.axes} {' x '.join(map(str, stack.data.shape))}" for stack in (given, target)]
        raise ValueError(f"the input is {said[0]} px, the target {said[1]}: choose layers that lie on each other")


def _parts(yx_shape: tuple[int, int], cuts: int) -> list[tuple[slice, slice]]:
    """Return rows and columns of parts that share no pixel.

    >>> _parts((10, 4), 2)[0], len(_parts((10, 4), 2))
    ((slice(0, 5, None), slice(0, 2, None)), 4)
    """
    edges = [[length * cut // cuts for cut in range(cuts + 1)] for length in yx_shape]
    rows, columns = ([slice(a, b) for a, b in pairwise(e)] for e in edges)
    return list(product(rows, columns))


def _part(stack: ImageStack, place: tuple[int, ...], part: tuple[slice, slice]) -> ImageStack:
    for letter, index in zip(stack.plane_axes, place, strict=True):
        stack = stack.select(letter, index)
    return stack.replace(data=np.asarray(stack.data[part]))


def _number(path: Path) -> int:
    found = re.match(r"\d+", path.name)
    return int(found.group()) if found else 0


def _plain(name: str) -> str:
    """Return the name of a layer without what a file cannot be called.

    >>> _plain("a/b: sharp?")
    'a b sharp'
    """
    return " ".join(re.sub(r"[^\w .()+-]", " ", name).split())[:60].strip(" .") or "pair"
