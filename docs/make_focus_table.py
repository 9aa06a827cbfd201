"""Write the tables of planes and shifts found in real focus stacks into docs/focus.md.

The folder of real images is that of $CELLRESTORE_DATA.

Run: python docs/make_focus_table.py           writes them
     python docs/make_focus_table.py --check   only says whether they are up to date
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import numpy as np
from tables import markdown, replaced, write

from napari_cellrestore.files import open_stack
from napari_cellrestore.focus import MEASURES, FocusCurve, focus_curve
from napari_cellrestore.register import align_stack, common_area, estimate_shift

PAGE = Path(__file__).parent / "focus.md"
MARKS = ("<!-- focus table: written by docs/make_focus_table.py -->", "<!-- end of focus table -->")

#: Number of the file in focus, and distance of the planes, as the ReadMe of the mitochondria states them.
MITOCHONDRIA_FOCUS, MITOCHONDRIA_STEP_UM = 51, 0.05
#: Plane near which the yeast is in focus, and against which its planes are aligned.
YEAST_FOCUS = 15
#: Parts of a pixel that are told apart when what is left of a drift is measured.
UPSAMPLE = 50


# --- planes ------------------------------------------------------------------------------------------------


def mitochondria(folder: Path) -> str:
    """Return the planes found in fluorescence, beside the one that is stated."""
    stack = open_stack(folder / "mitochondria_fluorescence")
    names = sorted((folder / "mitochondria_fluorescence").glob("*.tif"))
    numbers = [int(re.findall(r"\d+", path.stem)[-1]) for path in names]
    stated = numbers.index(MITOCHONDRIA_FOCUS)
    curves = [focus_curve(np.asarray(stack.data), method=method) for method in MEASURES]
    lines = [
        [words(curve.method), str(curve.peak_index), f"{curve.peak_um - stated:+.2f}", flags(curve)] for curve in curves
    ]
    title = (
        f"**Mitochondria in fluorescence**, {len(numbers)} planes {MITOCHONDRIA_STEP_UM} µm apart; stated is plane {stated} "
        f"(file {MITOCHONDRIA_FOCUS} of {numbers[0]} to {numbers[-1]}):"
    )
    return f"{title}\n\n" + markdown([["measure", "sharpest plane", "error of the peak, in planes", "flags"], *lines])


def yeast(folder: Path) -> str:
    """Return the planes found in unstained cells, sharpest and least contrast, beside the one that is stated."""
    stack = open_stack(folder / "yeast_brightfield" / "BF.tif")
    pixels = np.asarray(stack.data)
    lines = []
    for method in MEASURES:
        curve = focus_curve(pixels, method=method)
        dip, error = "–", "–"
        if curve.minimum_index is not None and curve.minimum_um is not None:
            dip, error = str(curve.minimum_index), f"{curve.minimum_um - YEAST_FOCUS:+.2f}"
        lines.append([words(method), str(curve.peak_index), dip, error, flags(curve)])
    title = (
        f"**Unstained yeast in brightfield**, {len(pixels)} planes {stack.z_step_um:g} µm apart; stated is a focus near plane "
        f"{YEAST_FOCUS}:"
    )
    header = ["measure", "sharpest plane", "plane of the dip", "error of the dip, in planes", "flags"]
    return f"{title}\n\n" + markdown([header, *lines])


def flags(curve: FocusCurve) -> str:
    """Return what makes a curve doubtful."""
    return ", ".join(curve.flags) or "none"


def words(method: str) -> str:
    """Return the name of a measure as the page has it."""
    return method.replace("_", " ")


# --- drift -------------------------------------------------------------------------------------------------


def drift(folder: Path) -> str:
    """Return how far planes of the yeast were moved, and what of the drift is left."""
    stack = open_stack(folder / "yeast_brightfield" / "BF.tif")
    aligned, shifts_px = align_stack(stack, YEAST_FOCUS, against="neighbour", upsample=20)
    rows, columns = common_area(shifts_px, stack.yx_shape)
    before, after = (between_neighbours(np.asarray(each.data)[:, rows, columns]) for each in (stack, aligned))
    lines = [["planes of BF.tif, each against its neighbour", longest(shifts_px), said(before), said(after)]]

    pair = np.stack(
        [np.asarray(open_stack(folder / "yeast_brightfield" / f"{name}.tif").data) for name in ("T0", "T10")]
    )
    moved, shifts_px = align_stack(pair, 0, upsample=UPSAMPLE)
    rows, columns = common_area(shifts_px, pair.shape[1:])
    whole = [np.array([shift_of(each[:, rows, columns])]) for each in (pair, moved)]
    lines.append(["T10.tif onto T0.tif, whole frame", longest(shifts_px), *map(said, whole)])
    parts = [np.array([shift_of(each[:, y, x]) for y, x in halves(rows, columns)]) for each in (pair, moved)]
    lines.append(["the same, each half of the frame by itself", longest(shifts_px), *map(said, parts)])
    return markdown([["what", "moved by up to, px", "drift before, px", "drift left after, px"], *lines])


def between_neighbours(planes: np.ndarray) -> np.ndarray:
    """Return the shift between each plane and the next."""
    return np.array([shift_of(planes[index : index + 2]) for index in range(len(planes) - 1)])


def shift_of(two: np.ndarray) -> tuple[float, float]:
    """Return the shift of the second image onto the first."""
    return estimate_shift(two[0], two[1], upsample=UPSAMPLE)


def halves(rows: slice, columns: slice) -> list[tuple[slice, slice]]:
    """Return upper, lower, left and right half of a frame."""
    y, x = (rows.start + rows.stop) // 2, (columns.start + columns.stop) // 2
    return [
        (slice(rows.start, y), columns),
        (slice(y, rows.stop), columns),
        (rows, slice(columns.start, x)),
        (rows, slice(x, columns.stop)),
    ]


def longest(shifts_px: np.ndarray) -> str:
    """Return the length of the longest shift."""
    return f"{np.hypot(*shifts_px.T).max():.1f}"


def said(shifts_px: np.ndarray) -> str:
    """Return the lengths of shifts: their mean and the longest, or the one."""
    lengths = np.hypot(*shifts_px.T)
    return f"{lengths[0]:.2f}" if len(lengths) == 1 else f"{lengths.mean():.2f} (mean), {lengths.max():.2f} (largest)"


def main(check: bool) -> int:
    """Write the page, or return 1 where it is not up to date."""
    if not os.environ.get("CELLRESTORE_DATA"):
        raise SystemExit("set CELLRESTORE_DATA to the folder of real images")
    folder = Path(os.environ["CELLRESTORE_DATA"]) / "focus_stacks"
    tables = "\n\n".join([mitochondria(folder), yeast(folder), drift(folder)])
    return write({PAGE: replaced(PAGE.read_text(encoding="utf-8"), MARKS, tables)}, Path(__file__).name, check=check)


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv[1:]))
