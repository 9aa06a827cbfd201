# Restore every plane of a stack with a model and save it, calibration and origin included.
#
#   python restore_stack.py                          a drawn blood smear, into a temporary folder
#   python restore_stack.py smear.ome.tif results    a stack of yours, into the folder "results"
#
# What to adapt: MODEL (a name from "cellrestore models", or a model folder), INTENSITY (needed for more than 8 bit).

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from napari_cellrestore.files import open_stack, write_tiff
from napari_cellrestore.model import load_model
from napari_cellrestore.restore import plan_restoration, restore_stack
from napari_cellrestore.simulate import DetectorNoise, defocus_stack, draw_smear, smear_objectives

MODEL = "deblur-fast"
INTENSITY = None  # or (black, full scale) of your camera, such as (100, 4095)


def restore_file(path: Path, folder: Path) -> Path:
    stack = open_stack(path)
    model = load_model(MODEL)
    plan = plan_restoration(stack, model, intensity=INTENSITY)
    print(plan)  # everything that was decided; lines that begin with "warning" tell what does not fit

    folder.mkdir(parents=True, exist_ok=True)
    restored = restore_stack(stack, model, plan)  # lazy: tiles are computed while the file is written
    return write_tiff(folder / f"{path.name.split('.')[0]} restored.ome.tif", restored)


def draw_stack(path: Path) -> Path:
    smear = draw_smear((128, 160), 0.1, np.random.default_rng(1))
    return write_tiff(path, defocus_stack(smear, 0.1, smear_objectives(), [-0.8, 0, 0.8], DetectorNoise()))


if __name__ == "__main__":
    if len(sys.argv) == 3:
        print(f"saved {restore_file(Path(sys.argv[1]), Path(sys.argv[2]))}")
    else:
        with TemporaryDirectory() as folder:
            saved = restore_file(draw_stack(Path(folder) / "smear.ome.tif"), Path(folder))
            print(f"saved {saved.name}: {open_stack(saved)}")
            print(open_stack(saved).provenance["generated"])
