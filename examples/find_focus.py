# Find the sharpest plane of a focus stack and save it with its calibration.
#
#   python find_focus.py                          the fluorescence sample that is shipped, into a temporary folder
#   python find_focus.py cells.ome.tif results    a stack of yours, into the folder "results"
#
# What to adapt: METHOD (other focus measures suit other contrasts), REGION (rows and columns of one cell).

import sys
from importlib.resources import as_file, files
from pathlib import Path
from tempfile import TemporaryDirectory

from napari_cellrestore.files import open_stack, write_tiff
from napari_cellrestore.focus import focus_curve

METHOD = "second_difference"
REGION = None  # or (slice(100, 200), slice(50, 150))


def save_sharpest(path: Path, folder: Path) -> Path:
    stack = open_stack(path)
    for note in stack.notes:
        print(f"mind: {note}")

    curve = focus_curve(stack, method=METHOD, roi=REGION)
    unit = "um" if curve.z_unit == "um" else "planes"
    print(f"{path.name}: plane {curve.peak_index} of {stack.n_planes}, focus at {curve.peak_um:.2f} {unit}")
    for flag in curve.flags:
        print(f"doubtful: {flag}")

    folder.mkdir(parents=True, exist_ok=True)
    sharpest = stack.select("Z", curve.peak_index)
    return write_tiff(folder / f"{path.name.split('.')[0]} sharpest.ome.tif", sharpest)


if __name__ == "__main__":
    if len(sys.argv) == 3:
        print(f"saved {save_sharpest(Path(sys.argv[1]), Path(sys.argv[2]))}")
    else:
        with (
            as_file(files("napari_cellrestore") / "data" / "mitochondria.tif") as sample,
            TemporaryDirectory() as folder,
        ):
            print(
                f"saved {save_sharpest(sample, Path(folder)).name}, deleted again: give a stack and a folder to keep it"
            )
