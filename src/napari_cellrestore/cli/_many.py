"""Many inputs, each a result in one folder: a ledger says what became of them, and another run goes on from there."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from napari_cellrestore.cli import WRONG_INPUT
from napari_cellrestore.cli._common import each, mind, naming, say_or_json
from napari_cellrestore.cli._results import check_target, progress

if TYPE_CHECKING:
    from napari_cellrestore.batch import Cluster, Ledger

#: Options that leave the pixels of a result as they are.
ASIDE = ("command", "paths", "model", "out", "dry_run", "overwrite", "json", "debug", "dask")


@dataclass(frozen=True)
class Work:
    """What is done with each input.

    Attributes
    ----------
    label : str
        What does it: a model.
    here : callable
        Does it with a path and says so.
    there, shared
        ``there((path, target), shared)`` does it on a worker and gives what is to be minded; ``shared`` is sent once.
    files : callable
        All files of a result, of its first.
    written : callable
        Says that the result of a path is there.
    """

    label: str
    here: Callable[[str], None]
    there: Callable[[tuple[str, Path], Any], Sequence[str]]
    shared: Any
    files: Callable[[Path], list[Path]]
    written: Callable[[str], None]


def into_folder(options: argparse.Namespace, targets: Mapping[str, Path]) -> bool:
    """Whether results go into a folder, where a ledger can be; never into one that is an input."""
    if options.out in targets.values():
        return False
    return os.path.abspath(options.out) not in map(os.path.abspath, targets)


def each_noted(options: argparse.Namespace, targets: Mapping[str, Path], work: Work, cluster: Cluster | None) -> int:
    """Do the work with each path that was not done before, note what becomes of it, and return the status."""
    from napari_cellrestore.batch import Ledger, remove_unfinished

    options.out.mkdir(parents=True, exist_ok=True)
    ledger = Ledger(options.out, work.label, _fingerprint(options))
    waiting = {
        path: target
        for path, target in targets.items()
        if options.overwrite or not ledger.done(path, work.files(target))
    }
    before = len(targets) - len(waiting)
    if before:
        say_or_json(
            options, f"{before} of {len(targets)} were done before", event="before", done=before, of=len(targets)
        )
    names = {file.name for target in waiting.values() for file in work.files(target)}
    remove_unfinished(options.out, names)
    if cluster is not None and len(waiting) > 1:
        status = _on_workers(cluster, options, waiting, work, ledger)
        remove_unfinished(options.out, names)  # of workers that died
    else:
        status = each(options, waiting, lambda path: _noted(options, path, waiting[path], work, ledger))
    if len(targets) > 1:
        _say_all(options, len(targets), before, ledger)
    return status


def _fingerprint(options: argparse.Namespace) -> str:
    """Return the start of a hash of all that decides what a model makes of an image."""
    from napari_cellrestore.batch import stamp

    asked = {name: value for name, value in vars(options).items() if name not in ASIDE}
    asked = {name: value for name, value in asked.items() if value not in (None, False, "auto")}
    if "leds" in asked:
        asked["leds"] = stamp(asked["leds"])
    return hashlib.sha256(json.dumps(asked, sort_keys=True, default=str).encode()).hexdigest()[:12]


def _check(options: argparse.Namespace, path: str, target: Path, work: Work, ledger: Ledger) -> None:
    """Raise ValueError where a file would be lost; of a result that was made otherwise, say how."""
    if not options.overwrite and target.exists() and (how := ledger.differs(path, target)):
        raise ValueError(f"the result {target} is there and was {how}; give another --out, or --overwrite")
    for file in work.files(target):
        check_target(Path(path), file, options.overwrite)


def _noted(options: argparse.Namespace, path: str, target: Path, work: Work, ledger: Ledger) -> None:
    """Do the work with a path here, and note what becomes of it."""
    from napari_cellrestore.batch import stamp

    was, start = stamp(path), perf_counter()
    with _failure_noted(options, path, target, ledger, was):
        _check(options, path, target, work, ledger)
        work.here(path)
    ledger.add(path, target, was, perf_counter() - start)


@contextmanager
def _failure_noted(
    options: argparse.Namespace, path: str, target: Path, ledger: Ledger, was: tuple[str, str]
) -> Iterator[None]:
    """Note an error; of several inputs none ends the others."""
    from napari_cellrestore.batch import said

    start = perf_counter()
    try:
        yield
    except BrokenPipeError:  # of the output
        raise
    except Exception as error:
        ledger.add(path, target, was, perf_counter() - start, said(error))
        if isinstance(error, WRONG_INPUT) or len(options.paths) == 1:
            raise
        raise ValueError(said(error)) from error


def _on_workers(
    cluster: Cluster, options: argparse.Namespace, waiting: Mapping[str, Path], work: Work, ledger: Ledger
) -> int:
    """Let workers do the work with each path."""
    from napari_cellrestore.batch import each_on, stamp

    ready: list[str] = []

    def check(path: str) -> None:
        with _failure_noted(options, path, waiting[path], ledger, stamp(path)):
            _check(options, path, waiting[path], work, ledger)
        ready.append(path)

    status = each(options, waiting, check)
    cluster.check_sees([options.out.absolute(), *map(os.path.abspath, ready[:1])])
    begun: dict[str, tuple[str, tuple[str, str]]] = {}

    def items() -> Iterator[tuple[str, Path]]:
        for path in ready:
            begun[os.path.abspath(path)] = path, stamp(path)
            yield os.path.abspath(path), waiting[path].absolute()

    with progress(options, len(ready), "stack") as count:
        for done in each_on(cluster, work.there, items(), work.shared):
            path, was = begun.pop(done.item[0])
            ledger.add(path, waiting[path], was, done.seconds, done.reason)
            count()
            if done.reason:
                print(f"cellrestore {options.command}: {naming(path, ValueError(done.reason))}", file=sys.stderr)
                status = 2
                continue
            for text in done.value:
                mind(f"{path}: {text}")
            work.written(path)
    return status


def _say_all(options: argparse.Namespace, total: int, before: int, ledger: Ledger) -> None:
    """Say how many were done, and list those that failed."""
    failed = ledger.failed
    done = total - before - len(failed)
    lines = [f"{done} done, {before} done before, {len(failed)} failed: {ledger.path}"]
    lines += [f"failed     {naming(path, ValueError(reason))}" for path, reason in failed.items()]
    counts = {"done": done, "before": before, "failed": failed}
    say_or_json(options, "\n".join(lines), event="all", **counts, ledger=str(ledger.path))
