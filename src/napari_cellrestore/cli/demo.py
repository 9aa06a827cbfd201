"""``cellrestore demo``: the whole way on the shipped sample."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_cellrestore.stack import ImageStack

#: The plane that is restored: well out of focus, within what the model was trained for.
PLANE_UM = 0.8
PIXEL_UM = 0.1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--out", type=Path, default=Path("cellrestore-demo"), help="folder that is (re)written")
    parser.add_argument("--no-window", action="store_true", help="take a screenshot even where there is a display")


def run(options: argparse.Namespace) -> int:
    """Make a focus stack, find its focus, restore a blurred plane, compare it with the truth, report, show."""
    import numpy as np

    from napari_cellrestore.files import open_stack, write_tiff
    from napari_cellrestore.focus import focus_curve
    from napari_cellrestore.metrics import METRICS, score
    from napari_cellrestore.model import load_model
    from napari_cellrestore.report import make_report
    from napari_cellrestore.restore import plan_restoration, restore_stack

    out: Path = options.out
    _empty(out)
    stack_path, truth_path = out / "smear focus stack.ome.tif", out / "smear in focus.ome.tif"

    _step(1, "a focus stack: a blood smear the model never saw, defocused by -1.4 to 1.4 um, written as OME-TIFF")
    for path, stack in zip((stack_path, truth_path), _record(), strict=True):
        write_tiff(path, stack, overwrite=True)
    stack, truth = open_stack(stack_path), open_stack(truth_path)
    print(f"      {stack}")

    _step(2, "its focus curve")
    curve = focus_curve(stack)
    print(
        f"      sharpest plane {curve.peak_index} of {stack.n_planes}, focus at {round(curve.peak_um, 2) + 0.0:.2f} um"
    )

    index = int(np.argmin(np.abs(np.asarray(stack.z_um) - PLANE_UM)))
    _step(3, f"restoring plane {index}, {PLANE_UM:g} um out of focus")
    blurred = stack.select("Z", index)
    model = load_model("deblur-fast")
    plan = plan_restoration(blurred, model)
    print("      " + str(plan).replace("\n", "\n      "))
    restored_path = out / "smear restored.ome.tif"
    write_tiff(restored_path, restore_stack(blurred, model, plan), overwrite=True)
    restored = open_stack(restored_path)

    _step(4, "compared with the truth, which a user does not have")
    names = ("mse", "psnr", "ssim", "focus_ratio", "fpw")
    scores = [score(np.asarray(truth.data), np.asarray(s.data), names, data_range=255) for s in (blurred, restored)]
    for name in names:
        print(f"      {METRICS[name].label:<6} blurred {scores[0][name]:8.3f}   restored {scores[1][name]:8.3f}")

    _step(5, "the report")
    report = make_report(out / "report", blurred, restored, reference=truth, stack=stack, title="Demo: a blood smear")
    print(f"      {report}")

    _step(6, "napari")
    _show(out, [stack_path, restored_path], window=not options.no_window and _has_display())
    return 0


def _record() -> tuple[ImageStack, ImageStack]:
    """Return the focus stack of the shipped smear and its truth, as the microscope of the models records it."""
    from napari_cellrestore.pairs import read_smear
    from napari_cellrestore.simulate import DetectorNoise, defocus_stack, smear_objectives

    with as_file(files("napari_cellrestore") / "data" / "smear.jpg") as path:
        smear = read_smear(path)
    z_um = [round(0.2 * step, 1) for step in range(-7, 8)]
    stack = defocus_stack(smear, PIXEL_UM, smear_objectives(), z_um, DetectorNoise(), seed=1)
    truth = defocus_stack(smear, PIXEL_UM, smear_objectives(), [0.0])
    return stack, truth.select("Z", 0)


def _empty(out: Path) -> None:
    """Make the folder anew; refuse one that holds something else."""
    mark = out / ".cellrestore-demo"
    if out.is_file():
        raise ValueError(f"{out}: is a file; give a folder with --out")
    if out.exists():
        if any(out.iterdir()) and not mark.exists():
            raise ValueError(f"{out}: holds something else than a demo; give another folder with --out")
        shutil.rmtree(out)
    out.mkdir(parents=True)
    mark.touch()


def _step(number: int, text: str) -> None:
    print(f"{number}/6  {text}", flush=True)


def _has_display() -> bool:
    return sys.platform in ("win32", "darwin") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _show(out: Path, layers: list[Path], *, window: bool) -> None:
    """Show the layers in napari where there is a display, else take a screenshot of a window nobody sees."""
    show = [sys.executable, "-m", "napari_cellrestore.gui.show", *map(str, layers)]
    if window:
        print("      opening; close the window to end")
        subprocess.run(show, check=True)
        return
    if not shutil.which("xvfb-run"):
        print("      no display and no xvfb-run here: open the files above in napari")
        return
    picture = out / "napari.png"
    xvfb = ["xvfb-run", "-a", "-s", "-screen 0 1600x1000x24"]
    subprocess.run([*xvfb, *show, "--screenshot", str(picture)], check=True, timeout=300)
    print(f"      no display here: a screenshot of the window is in {picture}")
