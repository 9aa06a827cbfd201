"""Time the engines on four networks side by side, as a Markdown table; and tiles beside whole frames.

Beside them what a user would write: eager torch, the network as it is, channels first. The share is that of the rate of a
large matrix product in float32, measured in the same run; the operations counted are those that the engine computes, which
are fewer where the network was written in another way. Weights are untrained, which takes as long as trained ones.

A time is kept only where that product took as long as usual just before and after, so that other programs do not count. Where
others take a large part of the machine, ``taskset -c 0 python benchmarks/engines.py --clock processor`` counts the time that one
processor worked for this program.

What does not pay, and is therefore not done: a transposed convolution of stride 2 and 4 x 4 taps written as one convolution of
2 x 2 taps that makes the four phases together. It computes as many products. Channels-last, on two cores of an Ice Lake, it
took 0.8 to 0.9 of the time where the image is 16 pixels or smaller, as much at 32 and 64, and 1.05 to 1.2 of it above, where
most of the time is spent; four convolutions instead of one took up to 1.9 of it.
"""

from __future__ import annotations

import argparse
import statistics
import time
from copy import deepcopy
from functools import partial

import dask.array as da
import numpy as np
import torch
from timing import CLOCKS, Case, Clock
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from napari_cellrestore.engine import Run, available_engines, compiled_run, openvino_run, padded, torch_run
from napari_cellrestore.engine.machine import has_bfloat16, processor_name
from napari_cellrestore.model import load_model
from napari_cellrestore.networks import create_network, stride_of
from napari_cellrestore.restore import plan_restoration, restore
from napari_cellrestore.rewriting import rewritten
from napari_cellrestore.tiling import round_up

Array = np.ndarray

#: Architecture, channels and side of the image of each network that is timed.
NETWORKS = {
    "nafnet-fast": ("nafnet-fast", 3, 360),
    "pix2pix-fast": ("pix2pix-fast", 3, 360),
    "pix2pix": ("pix2pix", 3, 360),
    "transfer": ("transfer-unet", 3, 256),
    "rrdb": ("rrdb", 132, 64),
}
PRODUCT = 2048  # side of the matrices
SLOWER = 1.25  # of the usual time of the product: another program is at work


def engines_of(network: nn.Module, channels: int) -> dict[tuple[str, str], Run]:
    """Return what runs a network, by engine and precision."""
    makers = {
        "torch": lambda precision: torch_run(network, precision=precision),
        "compiled": lambda precision: compiled_run(network, channels, precision=precision),
        "openvino": lambda precision: openvino_run(network, channels, precision=precision),
    }
    runs = {("eager torch", "float32"): eager(network)}
    for engine, said in available_engines().items():
        for precision in ("float32", "bfloat16"):
            if "not installed" not in said and (precision == "float32" or has_bfloat16(engine, "cpu")):
                started = time.perf_counter()
                runs[engine, precision] = padded(makers[engine](precision), stride_of(network))
                print(f"{engine} {precision} was ready in {time.perf_counter() - started:.1f} s", flush=True)
    return runs


def eager(network: nn.Module) -> Run:
    """Return the network as it is, in the memory layout that it was made in."""

    def run(image: Array) -> Array:
        with torch.inference_mode():
            tensor = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))[None]
            return np.ascontiguousarray(network(tensor)[0].permute(1, 2, 0).numpy())

    return run


def gflop(network: nn.Module, channels: int, side: int) -> float:
    """Return the multiplications and additions of one run."""
    side = round_up(side, stride_of(network))
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network(torch.zeros(1, channels, side, side))
    return float(counter.get_total_flops() / 1e9)


def times_of(
    cases: dict[str, Case], rounds: int, limit_s: float, clock: Clock
) -> tuple[dict[str, list[float]], list[float]]:
    """Return the seconds of each case, run in turn, and those of the product beside them."""
    a, b = torch.rand(PRODUCT, PRODUCT), torch.rand(PRODUCT, PRODUCT)
    for case in cases.values():
        case()
    every: list[tuple[str, float, float]] = []  # case, its time, the longer time of the products before and after
    ends = time.perf_counter() + limit_s
    while True:
        for name, case in cases.items():
            before, taken, after = (seconds(work, clock) for work in (lambda: a @ b, case, lambda: a @ b))
            every.append((name, taken, max(before, after)))
        usual = float(np.percentile([product for _, _, product in every], 10))
        kept = {name: [s for one, s, product in every if one == name and product < SLOWER * usual] for name in cases}
        if time.perf_counter() > ends or min(map(len, kept.values())) >= rounds:
            return kept, [product for _, _, product in every if product < SLOWER * usual]


def seconds(work: Case, clock: Clock) -> float:
    started = clock()
    work()
    return clock() - started


def table(name: str, rounds: int, limit_s: float, clock: Clock) -> None:
    """Print the rows of one network."""
    architecture, channels, side = NETWORKS[name]
    torch.manual_seed(0)
    network = create_network(architecture, channels, 3).eval().requires_grad_(False)
    image = np.random.default_rng(0).uniform(-1, 1, (side, side, channels)).astype(np.float32)
    runs = engines_of(network, channels)
    expected = runs["eager torch", "float32"](image)
    cases = {" ".join(key): (lambda run=run: run(image)) for key, run in runs.items()}
    taken, products = times_of(cases, rounds, limit_s, clock)
    peak = 2 * PRODUCT**3 / statistics.median(products) / 1e9
    whole, less = gflop(network, channels, side), gflop(rewritten(deepcopy(network)), channels, side)
    print(
        f"\n{name}, {side} x {side} x {channels}: peak {peak:.0f} GFLOP/s, {min(map(len, taken.values()))} rounds or more"
    )
    print("| network | engine | ms | of eager | GFLOP | of peak | off by |\n|---|---|---|---|---|---|---|")
    base = statistics.median(taken["eager torch float32"])
    for (engine, precision), run in runs.items():
        median = statistics.median(taken[f"{engine} {precision}"])
        work = whole if engine == "eager torch" else less
        off = np.abs(run(image) - expected).max()
        print(
            f"| {name} {side} x {side} | {engine} {precision} | {1e3 * median:.1f} | {median / base:.2f} | {work:.1f} | "
            f"{work / median / peak:.0%} | {off:.0e} |"
        )


def frame(
    size: tuple[int, int], engines: list[str], tiles: list[int], rounds: int, limit_s: float, clock: Clock
) -> None:
    """Print the time of a frame by deblur-fast, in tiles and whole; in floating point, whose results are not rounded."""
    model, (rows, columns) = load_model("deblur-fast"), size
    image = np.random.default_rng(0).random((rows, columns, 3), np.float32)
    print(f"\n| {columns} x {rows} px, halo {model.card.halo_px} | ms | us per pixel | of whole | off by |")
    print("|---|---|---|---|---|")
    for engine in engines:
        cases: dict[str, Case] = {}
        outputs: dict[str, Array] = {}
        for tile in (max(size), *tiles):
            plan = plan_restoration(
                image, model, engine=engine, device="cpu", precision="float32", tile=tile, intensity=(0, 1)
            )
            name, lazy = f"{engine}, {plan.n_tiles} tiles", restore(image, model, plan)
            cases[name] = partial(_compute, lazy, outputs, name)
        taken, _ = times_of(cases, rounds, limit_s, clock)
        whole, *_ = cases
        for name, times in taken.items():
            median = statistics.median(times)
            off = max(
                float(np.abs(one - other).max()) for one, other in zip(outputs[name], outputs[whole], strict=True)
            )
            print(
                f"| {name} | {1e3 * median:.0f} | {1e6 * median / (rows * columns):.3f} | "
                f"{median / statistics.median(taken[whole]):.2f} | {off:.0e} |",
                flush=True,
            )


def _compute(lazy: da.Array, outputs: dict[str, Array], name: str) -> None:
    outputs[name] = lazy.compute()


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=[*NETWORKS, "frame"], help="one of the tables")
    parser.add_argument("--frame", type=int, nargs=2, default=(1200, 1920), metavar="PX", help="rows and columns")
    parser.add_argument("--engines", nargs="+", default=["torch", "openvino"], help="for the frame")
    parser.add_argument("--tiles", type=int, nargs="+", default=[1024, 512], metavar="PX", help="sides of tiles")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--limit", type=float, default=60.0, help="seconds for the runs of each table, at most")
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    options = parser.parse_args()
    how = options.rounds, options.limit, CLOCKS[options.clock]
    print(
        f"{processor_name('cpu')}, {torch.get_num_threads()} threads, torch {torch.__version__}, {options.clock} time"
    )
    for name in [options.only] if options.only else [*NETWORKS, "frame"]:
        if name == "frame":
            frame(tuple(options.frame), options.engines, options.tiles, *how)
        else:
            table(name, *how)


if __name__ == "__main__":
    main()
