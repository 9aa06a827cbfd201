"""Time a virtual stain of a camera's frame beside the source's way and beside the machine's limit, in one run.

The network is that of Wulff 2022 with 44 images in: RRDB of width 132, 53 GFLOP for a patch of 64 x 64 pixels. The source's
way is one patch after another. The limit is the rate of one large convolution of the same network on a tile that fits the
cache no worse. Untrained weights take as long as trained ones.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable

import dask
import dask.array as da
import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from napari_cellrestore.card import ModelCard
from napari_cellrestore.leds import arm_leds, choose
from napari_cellrestore.model import Model
from napari_cellrestore.networks import create_network, receptive_halo
from napari_cellrestore.restore import plan_restoration, restore
from napari_cellrestore.stack import ImageStack

PATCH_PX = 64
#: Multiplications and additions of a pixel in a convolution of 132 to 132 channels by 3 x 3.
LAYER_FLOP = 2 * 132 * 132 * 9


def model(width: int) -> Model:
    """Return the source's network, untrained, and its card."""
    leds = choose(arm_leds(), "full-no-high")
    torch.manual_seed(0)
    network = create_network("rrdb", 3 * len(leds), 3, width=width).eval()
    card = ModelCard(
        name="rrdb",
        task="stain",
        network="rrdb",
        options={"width": width},
        in_channels=3 * len(leds),
        in_planes=len(leds),
        leds=leds.columns(),
        stride=1,
        halo_px=receptive_halo(create_network("rrdb", 3, 3, width=4, growth=2), 3, 1),
    )
    return Model(network, card, None)


def flop_of(network: nn.Module, channels: int) -> float:
    """Return multiplications and additions for a pixel."""
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network(torch.zeros(1, channels, 16, 16))
    return counter.get_total_flops() / 16**2


def seconds(work: Callable[[], object], rounds: int) -> float:
    """Return the median time."""
    taken = []
    for _ in range(rounds):
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    return float(np.median(taken))


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frame", type=int, nargs=2, default=(1200, 1900), help="rows and columns")
    parser.add_argument("--width", type=int, default=132, help="of the network")
    parser.add_argument("--tile", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--engine", default="torch")
    parser.add_argument("--precision", default="float32", help="of the frame; patches and the layer are float32")
    options = parser.parse_args()
    stainer, (rows, columns) = model(options.width), options.frame
    leds, channels = choose(arm_leds(), "full-no-high"), stainer.card.in_channels
    frame = da.random.default_rng(0).integers(
        0, 255, (len(leds), rows, columns, 3), dtype=np.uint8, chunks=(1, rows, columns, 3)
    )
    stack = ImageStack(frame, "AYXS", leds=leds)
    how = {"engine": options.engine, "precision": options.precision}
    plan = plan_restoration(stack, stainer, tile=options.tile, intensity=(0, 255), **how)
    print(plan)
    flop = flop_of(stainer.network, channels)
    print(f"{flop * PATCH_PX**2 / 1e9:.1f} GFLOP for a patch, halo {plan.halo_px} px")

    patch = torch.rand(1, channels, PATCH_PX, PATCH_PX)
    large = torch.rand(1, 132, 512, 512).to(memory_format=torch.channels_last)
    layer = nn.Conv2d(132, 132, 3, padding=1).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    with torch.inference_mode():
        of_patch = seconds(lambda: stainer.network(patch), 3 * options.rounds) / PATCH_PX**2
        of_layer = seconds(lambda: layer(large), 3 * options.rounds) / 512**2
    limit = LAYER_FLOP / of_layer
    print(f"patches one by one  {1e6 * of_patch:8.2f} us a pixel  {flop / of_patch / 1e9:7.0f} GFLOP/s")
    print(f"one large layer     {1e6 * of_layer:8.2f} us a pixel  {limit / 1e9:7.0f} GFLOP/s")

    started = time.perf_counter()
    with dask.config.set(scheduler="synchronous"):
        restore(stack, stainer, plan).compute()
    ours = (time.perf_counter() - started) / (rows * columns)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"the frame, in tiles {1e6 * ours:8.2f} us a pixel  {flop / ours / 1e9:7.0f} GFLOP/s of use: {of_patch / ours:.2f} "
        f"times as fast as patches, {flop / ours / limit:.2f} of the layer's rate; at most {memory:.1f} GiB"
    )


if __name__ == "__main__":
    main()
