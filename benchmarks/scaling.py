"""Time restoration on one worker and on two, each a process with one thread, and print the ratios of medians.

The same stacks are restored by one and by two processes without a scheduler, which is the most that this machine can gain.
All stand all the time and are timed in turn, so that a machine whose speed drifts treats them alike. Beside them: what a
scheduler needs for a task, and what is sent for a tile. Nothing here is asserted.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import dask
import dask.array as da
import numpy as np
import torch
from distributed import LocalCluster
from distributed.protocol.pickle import dumps

from napari_cellrestore.batch import Cluster, connected, each_on, held
from napari_cellrestore.files import open_stack, write_tiff
from napari_cellrestore.model import Model, load_model
from napari_cellrestore.restore import restore, restore_stack
from napari_cellrestore.stack import ImageStack

NUMBERS = (1, 2)


# --- who does the work -------------------------------------------------------------------------------------------


@contextmanager
def workers(number: int) -> Iterator[Cluster]:
    """Give a cluster of so many workers on this machine; dask lets torch run on one thread in each."""
    address = "127.0.0.1"
    with (
        LocalCluster(n_workers=number, threads_per_worker=1, host=address, dashboard_address=f"{address}:0") as local,
        connected(local.scheduler_address) as cluster,
    ):
        yield cluster


def processes(number: int) -> ProcessPoolExecutor:
    """Return so many processes of one thread."""
    return ProcessPoolExecutor(number, get_context("spawn"), one_thread)


def one_thread() -> None:
    """Let dask and torch run on one thread."""
    torch.set_num_threads(1)
    dask.config.set(scheduler="synchronous")


# --- the work ----------------------------------------------------------------------------------------------------


def restore_file(path: Path, model: Model) -> None:
    """Restore a file to a file beside it."""
    write_tiff(path.with_suffix(".restored.tif"), restore_stack(open_stack(path), model), overwrite=True)


def by_cluster(cluster: Cluster, paths: list[Path], model: Model) -> None:
    """Restore whole files on workers."""
    done = list(each_on(cluster, restore_file, paths, model))
    assert not [one.reason for one in done if one.reason], done


def by_processes(pool: ProcessPoolExecutor, paths: list[Path], model: Model) -> None:
    """Restore whole files in processes."""
    list(pool.map(partial(restore_file, model=model), paths))


def by_tiles(cluster: Cluster, lazy: da.Array, folder: str) -> None:
    """Restore an image, tile by tile, into a temporary file."""
    with held(cluster, [lazy], Path(folder)):
        pass


def draw_stacks(folder: Path, number: int, side: int) -> list[Path]:
    """Write stacks of one plane, which differ."""
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    images = (rng.integers(80, 200, (side, side, 3)).astype(np.uint8) for _ in range(number))
    return [
        write_tiff(folder / f"{count}.ome.tif", ImageStack(image, "YXS", pixel_um=0.1))
        for count, image in enumerate(images)
    ]


# --- how long it takes -------------------------------------------------------------------------------------------


def compare(title: str, works: Mapping[tuple[str, int], Callable[[], None]], rounds: int, megapixels: float) -> None:
    """Print the seconds that each number of workers takes, and how many times faster than one."""
    seconds: dict[tuple[str, int], list[float]] = {case: [] for case in works}
    for turn in range(rounds + 1):  # the first is for imports
        for case, work in works.items():
            start = time.perf_counter()
            work()
            if turn:
                seconds[case].append(time.perf_counter() - start)
    medians = {case: statistics.median(times) for case, times in seconds.items()}
    print(f"\n{title}, {megapixels:.1f} megapixels")
    for (kind, number), median in medians.items():
        each = 1e3 * median * number / megapixels
        said = f"{median:7.2f} s   {medians[kind, 1] / median:5.2f} x   {each:6.0f} ms a megapixel for each"
        print(f"  {number} {kind:<32}{said}", flush=True)


def say_overhead(cluster: Cluster, lazy: da.Array, count: int = 1000) -> None:
    """Print how long a task takes that does nothing, and how large a tile's is."""
    start = time.perf_counter()
    cluster.client.gather(cluster.client.map(abs, range(-count, 0), pure=False))
    print(f"\na task that does nothing: {1e3 * (time.perf_counter() - start) / count:.2f} ms")
    start = time.perf_counter()
    for _ in each_on(cluster, lambda item, shared: item, range(count), None):
        pass
    print(f"an item that does nothing, several a task: {1e3 * (time.perf_counter() - start) / count:.2f} ms")
    sizes = {str(key): len(dumps(task)) for key, task in dict(lazy.__dask_graph__()).items()}
    tile = statistics.median(size for name, size in sizes.items() if "_restore_once" in name)
    model = max(size for name, size in sizes.items() if "Passes" in name)
    print(f"a tile of a graph: {tile:.0f} bytes; the model, which is sent once: {model}")


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="deblur-fast")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--stacks", type=int, default=16)
    parser.add_argument(
        "--side", type=int, default=1024, help="in pixels, of the stacks; that of the one image is twice it"
    )
    options = parser.parse_args()
    model = load_model(options.model)
    with ExitStack() as at_end:
        folder = at_end.enter_context(TemporaryDirectory())
        clusters = {number: at_end.enter_context(workers(number)) for number in NUMBERS}
        pools = {number: at_end.enter_context(processes(number)) for number in NUMBERS}
        paths = draw_stacks(Path(folder), options.stacks, options.side)
        (large,) = draw_stacks(Path(folder) / "large", 1, 2 * options.side)
        lazy = restore(open_stack(large), model)
        cases = {("processes, no scheduler", n): partial(by_processes, pool, paths, model) for n, pool in pools.items()}
        cases |= {("workers", n): partial(by_cluster, cluster, paths, model) for n, cluster in clusters.items()}
        compare("stacks", cases, options.rounds, options.stacks * options.side**2 / 1e6)
        cases = {("workers", n): partial(by_tiles, cluster, lazy, folder) for n, cluster in clusters.items()}
        compare("tiles of one image", cases, options.rounds, 4 * options.side**2 / 1e6)
        say_overhead(clusters[1], lazy)


if __name__ == "__main__":
    main()
