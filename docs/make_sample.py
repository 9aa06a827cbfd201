"""Make the fluorescence sample of File > Open Sample from the folder of real images, $CELLRESTORE_DATA.

Run: CELLRESTORE_DATA=/path/to/images python docs/make_sample.py
"""

import os
import re
from pathlib import Path

import numpy as np
import tifffile

import napari_cellrestore

SOURCE = Path(os.environ["CELLRESTORE_DATA"]) / "focus_stacks" / "mitochondria_fluorescence"
SAMPLE = Path(napari_cellrestore.__file__).parent / "data" / "mitochondria.tif"
#: Every second plane, 0.1 um apart, around the stated focus (number 51); the part of the field with most structure.
NUMBERS = range(35, 66, 2)
ROWS, COLUMNS = slice(475, 731), slice(175, 431)

if __name__ == "__main__":
    files = {int(re.search(r"Abs(\d+)\.tif$", path.name)[1]): path for path in SOURCE.glob("*.tif")}
    z_um = {number: round((51 - number) * 0.05, 2) for number in NUMBERS}
    order = sorted(NUMBERS, key=z_um.get)
    planes = np.stack([tifffile.imread(files[number])[ROWS, COLUMNS] for number in order])
    tifffile.imwrite(
        SAMPLE,
        planes,
        ome=True,
        photometric="minisblack",
        compression="deflate",
        compressionargs={"level": 9},
        predictor=True,
        metadata={
            "axes": "ZYX",
            "PhysicalSizeZ": 0.1,
            "PhysicalSizeZUnit": "µm",
            "Plane": {"PositionZ": [z_um[number] for number in order], "PositionZUnit": ["µm"] * len(order)},
        },
    )
    print(f"{SAMPLE.name}: {planes.shape}, {SAMPLE.stat().st_size / 1e6:.2f} MB")
