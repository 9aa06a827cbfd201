"""Damaged files: valid ones with bytes, numbers or words changed, opened as users open them.

Each opens, or is refused with ValueError, TypeError or OSError and one line that names it; nothing else may happen: no other
error, no crash, no endless loop, no memory without bound. A case is a function of the seed and its number alone.

    python tests/fuzz.py --cases 20000 --seed 1          so many of each kind; the faults, and how many were opened
    python tests/fuzz.py --seed 1 --case 4711 --keep .   one of them: keep its file and show where the error comes from
"""

from __future__ import annotations

import argparse
import ctypes
import faulthandler
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from damage import Rng
from damaged_images import change_image, make_images, open_image
from damaged_models import change_model, make_models, open_model
from damaged_texts import change_text, make_texts, open_text

#: What a refusal may be, seconds that a case may take of the clock and of the processor, and bytes of address space.
REFUSALS = (ValueError, TypeError, OSError)
LIMIT_S, BUSY_S, LIMIT_BYTES = 60.0, 10.0, 4 * 2**30
#: Bytes that may be in memory, libraries included, and characters of a message.
RESIDENT_BYTES, MESSAGE = 2**30, 3000
#: Cases that one process does before another is started.
CHUNK = 500


# --- what must be noticed ------------------------------------------------------------------------------------


def misbehave(path: Path) -> None:
    """Do what no reader may; the name of the file says what, for the test of this program."""
    what = path.suffix
    if what == ".crash":
        ctypes.string_at(0)
    while what == ".loop":
        pass
    if what == ".large":
        try:
            np.ones(2**40)
        except MemoryError as error:
            raise ValueError(f"{path.name}: is damaged") from error
    if what == ".wide":
        np.ones(2**25)
    said = {
        ".nameless": "is damaged",
        ".lines": f"{path.name}:\nis damaged",
        ".long": path.name * 2000,
        ".good": path.name,
    }
    raise (ValueError(said[what]) if what in said else KeyError("x"))


MISBEHAVIOUR = {
    "x.crash": "ends the process with status -",
    "x.loop": "takes too long",
    "x.large": "asks for too much memory: x.large: is damaged",
    "x.wide": "MiB; KeyError",
    "x.nameless": "message without the file",
    "x.lines": "message of several lines",
    "x.long": "message of 12000 characters",
    "x.good": "refused",
    "x.bare": "KeyError",
}


def make_misbehaviour(folder: Path) -> None:
    for name in MISBEHAVIOUR:
        (folder / name).touch()


def choose_misbehaviour(rng: Rng, seeds: Path, folder: Path) -> Path:
    return seeds / list(MISBEHAVIOUR)[int(folder.name) % len(MISBEHAVIOUR)]


class Kind(NamedTuple):
    """A kind of files: how valid ones are made, how one is damaged, and how it is opened."""

    make: Callable[[Path], None]
    change: Callable[[Rng, Path, Path], Path]
    open: Callable[[Path], None]


KINDS = {
    "images": Kind(make_images, change_image, open_image),
    "models": Kind(make_models, change_model, open_model),
    "texts": Kind(make_texts, change_text, open_text),
    "misbehaviour": Kind(make_misbehaviour, choose_misbehaviour, misbehave),
}
USUAL = ("images", "models", "texts")


# --- a case --------------------------------------------------------------------------------------------------


def damage(kind: str, seed: int, case: int, seeds: Path, folder: Path) -> Path:
    """Write the damaged file or folder of a case and return it."""
    return KINDS[kind].change(np.random.default_rng([seed, case, len(kind)]), seeds / kind, folder)


def outcome(kind: str, path: Path) -> str:
    """Open a damaged file; return "opened", "refused", or what should not be."""
    began = time.process_time()
    try:
        KINDS[kind].open(path)
        said = "opened"
    except REFUSALS as error:
        said = _judged(str(error), path)
        if any(isinstance(one, MemoryError) for one in _chain(error)):
            said = f"asks for too much memory: {str(error)[:200]}"
    except Exception as error:
        said = f"{type(error).__name__}: {str(error)[:200]!r}"
    if time.process_time() - began > BUSY_S:
        return f"took {time.process_time() - began:.0f} s; {said}"
    return said


def _judged(message: str, path: Path) -> str:
    if not message.strip() or len(message.splitlines()) != 1:
        return f"message of several lines, or none: {message[:200]!r}"
    if len(message) > MESSAGE:
        return f"message of {len(message)} characters: {message[:200]!r}"
    names = [path.name, *(one.name for one in path.rglob("*") if path.is_dir())]
    return "refused" if any(name in message for name in names) else f"message without the file: {message[:200]!r}"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


# --- many ----------------------------------------------------------------------------------------------------


class Found(NamedTuple):
    """What came of a case."""

    kind: str
    case: int
    said: str

    @property
    def fault(self) -> bool:
        return self.said not in ("opened", "refused")


def fuzz(
    kind: str,
    seed: int,
    cases: Sequence[int],
    seeds: Path,
    *,
    limit_s: float = LIMIT_S,
    most_bytes: int = RESIDENT_BYTES,
) -> Iterator[Found]:
    """Yield what came of each case; a process that a case ends is noted and followed by another."""
    options = ("--work", kind, "--seed", seed, "--seeds", seeds, "--limit", limit_s, "--most", most_bytes)
    left = list(cases)
    while left:
        done, last = 0, ""
        with (
            tempfile.TemporaryFile("w+") as errors,
            _worker(options, left[:CHUNK], errors) as worker,
        ):
            assert worker.stdout is not None
            for line in worker.stdout:
                if line.startswith("{"):
                    found = json.loads(line)
                    yield Found(kind, found["case"], found["said"])
                    done += 1
            worker.wait()
            errors.seek(0)
            last = errors.read()
        if worker.returncode:
            why = "takes too long" if "Timeout (" in last else f"ends the process with status {worker.returncode}"
            yield Found(kind, left[done], f"{why}: {last[-1500:]}")
            done += 1
        left = left[done:]


def _worker(options: Sequence[object], cases: Sequence[int], errors: Any) -> subprocess.Popen[str]:
    command = [sys.executable, __file__, *map(str, options)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    worker = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment
    )
    assert worker.stdin is not None
    with suppress(BrokenPipeError):
        worker.stdin.write(" ".join(map(str, cases)) + "\n")
        worker.stdin.close()
    return worker


def work(kind: str, seed: int, seeds: Path, limit_s: float, most_bytes: int) -> None:
    """In a process of its own: do the cases that standard input names, each within bounds."""
    import dask

    cases = [int(word) for word in sys.stdin.readline().split()]
    faulthandler.enable()
    _limit_memory()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as home, dask.config.set(scheduler="synchronous"):
        os.environ["CELLRESTORE_MODELS"] = str(Path(home) / "models")
        if kind in USUAL:
            KINDS[kind].open(sorted((seeds / kind).iterdir())[0])  # imports take time that is not the first case's
        for case in cases:
            folder = Path(home) / str(case)
            folder.mkdir()
            path = damage(kind, seed, case, seeds, folder)
            faulthandler.dump_traceback_later(limit_s, exit=True)
            said = outcome(kind, path)
            faulthandler.cancel_dump_traceback_later()
            if _resident() > most_bytes:
                said = f"took {_resident() / 2**20:.0f} MiB; {said}"
            print(json.dumps({"case": case, "said": said}), flush=True)
            shutil.rmtree(folder)
            if said.startswith("took ") and "MiB" in said:
                os._exit(0)  # the peak stays: the others in another process


def _limit_memory() -> None:
    with suppress(ImportError):  # Windows has no such limits
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (LIMIT_BYTES, LIMIT_BYTES))


def _resident() -> int:
    """Return the most bytes that were in memory so far; 0 where that is not known."""
    with suppress(OSError):  # not what getrusage says, to which the parent's count
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    return 0


def make_seeds(folder: Path, kinds: Sequence[str] = USUAL) -> Path:
    """Write the valid files of some kinds."""
    for kind in kinds:
        (folder / kind).mkdir()
        KINDS[kind].make(folder / kind)
    return folder


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cases", type=int, default=300, help="of each kind")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=USUAL)
    parser.add_argument("--case", type=int, help="only this one, with the place of its error")
    parser.add_argument("--keep", type=Path, help="with --case: keep its file in this folder")
    parser.add_argument("--limit", type=float, default=LIMIT_S, metavar="SECONDS", help="for a case")
    parser.add_argument("--most", type=int, default=RESIDENT_BYTES, metavar="BYTES", help="in memory")
    parser.add_argument("--work", choices=KINDS, help=argparse.SUPPRESS)
    parser.add_argument("--seeds", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(options.work, options.seed, options.seeds, options.limit, options.most)
        return 0
    with tempfile.TemporaryDirectory() as home:
        seeds = make_seeds(Path(home), options.kinds)
        if options.case is not None:
            return _show(options, seeds)
        return _report(options, seeds)


def _show(options: argparse.Namespace, seeds: Path) -> int:
    folder = options.keep or Path(tempfile.mkdtemp())
    os.environ["CELLRESTORE_MODELS"] = str(Path(tempfile.mkdtemp()) / "models")
    for kind in options.kinds:
        path = damage(kind, options.seed, options.case, seeds, folder)
        print(f"{kind}: {path}: {outcome(kind, path)}")
        try:
            KINDS[kind].open(path)
        except Exception:
            traceback.print_exc()
    return 0


def _report(options: argparse.Namespace, seeds: Path) -> int:
    """Do all cases, say the faults as they come, then how many there are of each kind."""
    faults = 0
    for kind in options.kinds:
        counts: Counter[str] = Counter()
        for found in fuzz(
            kind, options.seed, range(options.cases), seeds, limit_s=options.limit, most_bytes=options.most
        ):
            counts["fault" if found.fault else found.said] += 1
            if found.fault:
                print(f"{kind} --seed {options.seed} --case {found.case}: {found.said}", flush=True)
        print(f"{kind}: {options.cases} cases, {dict(counts)}", flush=True)
        faults += counts["fault"]
    return min(faults, 1)


if __name__ == "__main__":
    sys.exit(main())
