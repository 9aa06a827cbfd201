"""Images that are made of images: where they go, and how far their writing is."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING
from uuid import uuid4

from napari_cellrestore.cli._common import print_json, stem

if TYPE_CHECKING:
    import numpy as np

    from napari_cellrestore.stack import ImageStack

TIFF_SUFFIXES = (".tif", ".tiff")
#: Called after each tile, or plane.
Count = Callable[[], None]


def targets_of(paths: Sequence[str], out: Path, ending: str) -> dict[str, Path]:
    """Return the file for the result of each path: ``out``, or in it ``<name>_<ending>.ome.tif``."""
    if out.suffix.lower() in TIFF_SUFFIXES and not out.is_dir():
        if len(paths) > 1:
            raise ValueError(f"--out {out} is one file for {len(paths)} images: give a folder")
        return {paths[0]: out}
    if out.is_file():
        raise ValueError(f"--out {out} is a file and does not end in .tif: give another name, or a folder")
    targets = {path: out / f"{stem(path)}_{ending}.ome.tif" for path in paths}
    target, times = Counter(targets.values()).most_common(1)[0]
    if times > 1:
        both = ", ".join(path for path in targets if targets[path] == target)
        raise ValueError(f"{both}: the results would all be {target}; make them in folders of their own")
    return targets


def check_target(path: Path, target: Path, overwrite: bool) -> None:
    """Raise ValueError where writing would lose a file or add to the input; asked before anything is computed."""
    if path.resolve() in (target.resolve(), target.parent.resolve()):
        raise ValueError(f"the result {target} would be the input, or lie in it; give another --out")
    if target.exists() and path.exists() and target.samefile(path):
        raise ValueError(f"the result {target} is the input under another name; give another --out")
    if target.exists() and not overwrite:
        raise ValueError(f"the result {target} exists already; give another --out, or --overwrite")


@contextmanager
def progress(options: argparse.Namespace, total: int, unit: str) -> Iterator[Count]:
    """Give what is called after each tile or plane, from any thread."""
    from tqdm import tqdm

    lock, done = Lock(), 0

    def count() -> None:
        nonlocal done
        with lock:
            done += 1
            bar.update()
            if options.json:
                print_json({"event": unit, "done": done, "of": total})

    with tqdm(total=total, unit=unit, disable=options.json or None) as bar:  # None: only where a person looks
        yield count


def counted(stack: ImageStack, count: Count) -> ImageStack:
    """Return the stack such that every block of it that is computed is counted."""
    import dask.array as da

    data = da.asarray(stack.data)
    passed_on = data.map_blocks(
        partial(_pass_on, count=count), dtype=data.dtype, meta=data._meta, name=f"counted-{uuid4().hex}"
    )
    return stack.replace(data=passed_on)


def _pass_on(block: np.ndarray, count: Count) -> np.ndarray:
    count()
    return block
