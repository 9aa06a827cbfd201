"""Time of the transfer network of Jönsson & Sjöstrand 2018 on one cell: plain torch beside the engine, in turn."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch

from napari_cellrestore.engine import torch_run
from napari_cellrestore.networks import create_network

SIDE_PX = 256


def plain(network: torch.nn.Module) -> Callable[[np.ndarray], np.ndarray]:
    """Return the network as it is, in the memory layout that it was made in."""

    def run(image: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            tensor = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))[None]
            return np.asarray(network(tensor)[0].permute(1, 2, 0).numpy())

    return run


def main() -> None:
    """Print medians and how far the results are apart."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    torch.manual_seed(0)
    network = create_network("transfer-unet").eval()
    image = np.random.default_rng(0).uniform(-1, 1, (SIDE_PX, SIDE_PX, 3)).astype(np.float32)
    ways = {
        "plain": plain(network),
        "channels last": torch_run(network, rewrite=False),
        "written in another way": torch_run(network),
    }
    results = {name: run(image) for name, run in ways.items()}
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, run in ways.items():
            started = time.perf_counter()
            run(image)
            taken[name].append(1000 * (time.perf_counter() - started))
    print(f"{sum(p.numel() for p in network.parameters()):,} parameters, {SIDE_PX} x {SIDE_PX} px")
    for name, times in taken.items():
        apart = np.abs(results[name] - results["plain"]).max()
        print(f"{name:24s} median {np.median(times):6.1f} ms, least {min(times):6.1f} ms, apart {apart:.1e}")


if __name__ == "__main__":
    main()
