# Measure what a model gains, and where it does harm, against images whose sharp truth is known.
#
#   python measure_restoration.py           drawn blood smears
#   python measure_restoration.py results   the same, tables also written as CSV into the folder "results"
#
# What to adapt: take recorded focus stacks instead of drawn smears: their planes are the input, the sharpest plane is
# the truth. Numbers of drawn smears say little about recorded ones.

import sys
from pathlib import Path

import numpy as np

from napari_cellrestore.evaluate import ScoreTable, score_levels
from napari_cellrestore.filters import unsharp
from napari_cellrestore.restore import restore
from napari_cellrestore.simulate import DetectorNoise, defocus, defocus_stack, draw_smear, smear_objectives

MODEL = "deblur-fast"
LEVELS_UM = [-0.8, -0.4, 0.0, 0.4, 0.8]
PIXEL_UM = 0.1


def measure_smear(seed: int) -> dict[str, dict[str, np.ndarray]]:
    """Return the scores of one smear at every focus level: of the input, of a classical filter, of the model."""
    smear = draw_smear((128, 128), PIXEL_UM, np.random.default_rng(seed))
    truth = defocus(smear, PIXEL_UM, smear_objectives(), 0.0)  # in focus, without noise
    stack = defocus_stack(smear, PIXEL_UM, smear_objectives(), LEVELS_UM, DetectorNoise(), seed=seed)
    restored = {
        "unsharp mask": [unsharp(plane) for plane in stack.data],
        MODEL: restore(stack, MODEL).compute(),
    }
    return score_levels(truth, stack.data, restored, ("mse", "ssim", "fpw"), data_range=255)


if __name__ == "__main__":
    table = ScoreTable.of_stacks(LEVELS_UM, [measure_smear(seed) for seed in range(2)])
    tables = {
        "input": table.by_level("input"),
        "unsharp": table.by_level("unsharp mask"),
        "model": table.by_level(MODEL),
        "as good as which plane": table.success(MODEL, "mse"),
    }
    for content in tables.values():
        print(content.text(), end="\n\n")
    if len(sys.argv) == 2:
        folder = Path(sys.argv[1])
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in tables.items():
            (folder / f"{name}.csv").write_text(content.csv(), encoding="utf-8")
