"""The focus curve of a stack: drawn with its peak and the planes of the input, and said in sentences."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from napari_cellrestore.focus import FocusCurve
from napari_cellrestore.report.sheet import INK, MUTED, RULE, WIDTH_MM, Block, Sheet, font, paragraph, small_ticks

#: Where the input is.
INPUT = "#d55e00"
#: What the flags of a focus curve mean, for a reader who does not know them.
FLAGS = {
    "one plane": "the stack has one plane, so there is no curve",
    "flat": "the curve is flat: the stack says nothing about focus",
    "peak at edge": "the peak is at the end of the stack: the sharpest plane may lie outside",
    "jagged": "the curve is jagged: a second maximum is nearly as high as the peak",
    "contrast minimum at focus": "contrast is lowest between two maxima, as in unstained cells: focus is at the minimum",
}


def curve_said(curve: FocusCurve, planes: Sequence[int]) -> str:
    """Return what a focus curve says, in sentences; ``planes`` are those that the input is equal to."""

    def position(z: float, index: int | None = None) -> str:
        number = f"{round(float(z), 3) + 0:g}"  # + 0: not "-0"
        if curve.z_unit != "um":
            return f"plane {number}"
        return f"{number} µm" + ("" if index is None else f" (plane {index})")

    inputs = " and ".join(position(curve.z_um[index], index) for index in planes)
    said = [
        f"Sharpest at {position(curve.peak_um, curve.peak_index)}.",
        f"The input is at {inputs}." if planes else "The input is none of the planes of this stack.",
        f"Planes are counted from 0{', and these are equal' if len(planes) > 1 else ''}.",
    ]
    if curve.minimum_um is not None:
        said.append(f"Contrast is lowest at {position(curve.minimum_um)}.")
    if curve.flags:
        said.append(f"Take care: {'; '.join(map(_flag_said, curve.flags))}.")
    return " ".join(said)


def _flag_said(flag: str) -> str:
    """Return what a flag means; those that name a plane have words of their own."""
    if flag.endswith(" constant"):
        return f"{flag.removesuffix(' constant')} has no contrast at all"
    if flag.startswith("gap after "):
        return f"planes are missing after {flag.removeprefix('gap after ')}"
    return FLAGS.get(flag, flag)


def focus_plot(
    curve: FocusCurve, planes: Sequence[int], width_mm: float = WIDTH_MM / 2, picture_mm: float = 60
) -> Block:
    """Return a focus curve, relative to its peak, with the peak and the input's plane marked."""
    name = paragraph("Focus curve of the stack", width_mm, 7.5, bold=True)
    caption = paragraph(curve_said(curve, planes), width_mm, 6, colour=MUTED, max_lines=6)
    plot_w, plot_h = width_mm - 11, min(picture_mm, 0.62 * width_mm) - 8

    def draw(sheet: Sheet, left: float, top: float) -> None:
        name.draw(sheet, left, top)
        top += name.height_mm + 1
        axes = sheet.axes(left + 10, top, plot_w, plot_h, facecolor="white")
        _curve(axes, curve, planes)
        axes.legend(prop=font(6), framealpha=0.9, edgecolor=RULE, facecolor="white", labelcolor=INK)
        axes.spines[["top", "right"]].set_visible(False)
        axes.locator_params(nbins=6)
        axes.locator_params(axis="x", integer=curve.z_unit != "um")
        small_ticks(axes)
        caption.draw(sheet, left, top + plot_h + 8)

    return Block(width_mm, name.height_mm + 1 + plot_h + 8 + caption.height_mm, draw)


def _curve(axes: Axes, curve: FocusCurve, planes: Sequence[int]) -> None:
    values = curve.values / (float(curve.values[curve.peak_index]) or 1.0)
    axes.axvline(curve.peak_um, color=INK, linestyle="--", linewidth=0.8, label="peak")
    axes.plot(curve.z_um, values, color="#0072b2", linewidth=1.1, marker="o", markersize=2.2)
    for number, plane in enumerate(planes):
        z, value = curve.z_um[plane], values[plane]
        if np.isfinite(value):
            label = "" if number else "input"
            axes.plot(z, value, "D", markersize=5, color=INPUT, mec="black", mew=0.5, label=label)
        else:
            axes.axvline(z, color=INPUT, linewidth=1.2, label="input (not measured)")
    axes.set_ylim(0, 1.08)
    axes.set_xlabel("z (µm)" if curve.z_unit == "um" else "plane number", fontproperties=font(6), color=INK)
    axes.set_ylabel("focus / peak", fontproperties=font(6), color=INK)
