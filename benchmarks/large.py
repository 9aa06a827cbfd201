"""Restore images of up to billions of pixels by the command line, and measure time and memory.

An image is made of the shipped smear, shifted from tile to tile, with noise, as OME-Zarr; it is restored to OME-Zarr in a process
of its own, of which the peak of resident memory is taken. Nothing is held whole anywhere. Prints a table in Markdown.

    python benchmarks/large.py                                    # 40 000 x 40 000, needs 11 GB of disk
    python benchmarks/large.py --sides 1000 2000 5000 10000 20000
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

# This process imports nothing large: what a process is started from counts into its peak.
TILE_PX = 512
HEADER = "| side | megapixels | tiles | ready s | restoring s | µs per pixel | peak MiB | result GB |"


class Measured(NamedTuple):
    """What a process took."""

    #: Seconds from its start to an event that it tells of.
    seconds: dict[str, float]
    tiles: int
    peak_mib: float


def make(path: Path, side: int) -> None:
    """Write a colour image of side x side pixels, tile by tile."""
    import dask.array as da
    import numpy as np

    import napari_cellrestore
    from napari_cellrestore.files import open_stack, write_image
    from napari_cellrestore.stack import ImageStack

    smear = np.asarray(open_stack(Path(napari_cellrestore.__file__).parent / "data" / "smear.jpg").data)
    smear = np.tile(smear, (3, 2, 1))[: TILE_PX * 2, : TILE_PX * 2]

    def tile(block_id: tuple[int, ...]) -> np.ndarray:
        rows, columns = sizes[block_id[0]], sizes[block_id[1]]
        rng = np.random.default_rng(block_id)
        top, left = rng.integers(0, TILE_PX, 2)
        cut = smear[top : top + rows, left : left + columns]
        return np.uint8(np.clip(cut + rng.normal(0, 0.7, cut.shape), 0, 255))

    sizes = tuple(min(TILE_PX, side - start) for start in range(0, side, TILE_PX))
    pixels = da.map_blocks(tile, chunks=(sizes, sizes, (3,)), dtype=np.uint8, meta=np.empty((0, 0, 0), np.uint8))
    write_image(path, ImageStack(pixels, "YXS", pixel_um=0.1), overwrite=True)


def export(path: Path, out: Path) -> None:
    """Write an OME-Zarr as TIFF."""
    from napari_cellrestore.files import open_stack, write_image

    write_image(out, open_stack(path), overwrite=True)


def measured(*command: str | Path) -> Measured:
    """Run a command that prints its events as JSON."""
    start = time.perf_counter()
    process = subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, text=True)
    seconds, tiles = {}, 0
    for line in process.stdout or ():
        event = json.loads(line)
        seconds.setdefault(event["event"], time.perf_counter() - start)
        tiles = event.get("of", tiles)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{command[0]} ended with {os.waitstatus_to_exitcode(status)}")
    seconds["end"] = time.perf_counter() - start
    return Measured(seconds, tiles, usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10))


def gigabytes(path: Path) -> float:
    """Return the size of a file, or of all files of a folder."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file()) / 1e9


def restored(home: Path, side: int, options: argparse.Namespace) -> str:
    """Make and restore an image, and return its row of the table."""
    image, out, tiff = home / f"{side}.ome.zarr", home / f"{side}_restored.ome.zarr", home / f"{side}.ome.tif"
    script = Path(__file__)
    if not image.exists():
        measured(sys.executable, script, "--make", image, "--sides", str(side))
    took = measured(
        *(
            sys.executable,
            "-m",
            "napari_cellrestore",
            "restore",
            image,
            "--model",
            options.model,
            "--out",
            out,
            "--json",
            *(["--tile", str(options.tile)] if options.tile else []),
        )
    )
    ready, restoring = took.seconds["plan"], took.seconds["written"] - took.seconds["plan"]
    row = (
        f"| {side} | {side**2 / 1e6:.0f} | {took.tiles} | {ready:.1f} | {restoring:.1f} | {1e6 * restoring / side**2:.3f} "
        f"| {took.peak_mib:.0f} | {gigabytes(out):.2f} |"
    )
    if options.tiff:
        took = measured(sys.executable, script, "--export", out, tiff)
        row += f"\n\n{side}: as TIFF {gigabytes(tiff):.2f} GB in {took.seconds['end']:.1f} s, peak {took.peak_mib:.0f} MiB\n"
    if not options.folder:
        for path in (image, out):
            shutil.rmtree(path)
        tiff.unlink(missing_ok=True)
    return row


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--sides", type=int, nargs="+", default=[40_000], metavar="PX", help="sides of the images (40000)"
    )
    parser.add_argument("--model", default="deblur-fast")
    parser.add_argument(
        "--folder",
        type=Path,
        help="where images and results are left, and images that are there are taken (a temporary folder, deleted)",
    )
    parser.add_argument("--tile", type=int, metavar="PX", help="side of a tile, unless that of the plan")
    parser.add_argument("--tiff", action="store_true", help="write the results as TIFF too")
    parser.add_argument("--make", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--export", type=Path, nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.make:
        make(options.make, *options.sides)
    elif options.export:
        export(*options.export)
    else:
        with TemporaryDirectory() as home:
            print(f"{HEADER}\n{'|---' * HEADER.count(' | ')}|---|", flush=True)
            for side in options.sides:
                print(restored(options.folder or Path(home), side, options), flush=True)


if __name__ == "__main__":
    main()
