"""Time restoration beside what a user would run instead, in one process, and print ratios of medians.

Run with ``make benchmark``. The cases of a group are timed in turn, so that a machine whose speed drifts treats them
alike. Nothing here is asserted: compare the ratios.
"""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np
import torch
from timing import Case, timed

from napari_cellrestore.engine import available_engines, openvino_run, padded, torch_run
from napari_cellrestore.model import Model, load_model
from napari_cellrestore.restore import plan_restoration, restore


def restoration(model: Model, rows: int, columns: int, rounds: int) -> None:
    """Compare engines on one image, network alone and the whole job from grey levels to grey levels."""
    image = np.random.default_rng(0).integers(0, 256, (rows, columns, 3)).astype(np.uint8)
    scaled = image.astype(np.float32) / 127.5 - 1
    stride = model.card.stride
    size = [-(-n // stride) * stride for n in (rows, columns)]
    plain = torch.zeros(1, 3, *size)

    def eager() -> object:
        with torch.inference_mode():
            return model.network(plain)

    runs = {"torch": padded(torch_run(model.network), stride)}
    if "not installed" not in available_engines()["openvino"]:
        runs["openvino"] = padded(openvino_run(model.network, 3), stride)
    cases: dict[str, Case] = {"eager torch": eager}
    for name, run in runs.items():
        cases[f"network by {name}"] = lambda run=run: run(scaled)
        for tile in (512, 1 << 20) if max(rows, columns) > 512 else (1 << 20,):
            plan = plan_restoration(image, model, engine=name, tile=tile)
            lazy = restore(image, model, plan)
            cases[f"restore() by {name}, {plan.n_tiles} tiles"] = lambda lazy=lazy: lazy.compute()
    timed(f"{model.card.name}, {columns} x {rows} RGB uint8", cases, rounds=rounds, against="eager torch")


def peak(rounds: int) -> None:
    """Measure the machine: a large float32 matrix product."""
    a, b = torch.rand(2048, 2048), torch.rand(2048, 2048)
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        a @ b
        seconds.append(time.perf_counter() - start)
    print(f"machine: {torch.get_num_threads()} threads, {2 * 2048**3 / statistics.median(seconds) / 1e9:.0f} GFLOP/s")


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    peak(rounds)
    model = load_model("deblur-fast")
    restoration(model, 360, 360, 3 * rounds)
    restoration(model, 1200, 1920, rounds)
    for row in model.card.held_out:
        said = {key: value for key, value in row.items() if not isinstance(value, list)}
        print(f"\n{model.card.name} on held-out images: {said}")


if __name__ == "__main__":
    main()
