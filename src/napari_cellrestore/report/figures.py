"""Figures of a report: pictures with one grey mapping and a scale bar, maps in colours, the focus curve.

Each function returns a :class:`napari_cellrestore.report.sheet.Block`. Pictures that are computed carry a band that says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle

from napari_cellrestore.focus import FocusCurve
from napari_cellrestore.report.sheet import (
    FONT,
    INK,
    MARK,
    MUTED,
    RULE,
    WIDTH_MM,
    Block,
    Sheet,
    font,
    paragraph,
    shorten,
    text_width_mm,
)
from napari_cellrestore.trust import Trust, Verdict, kind_said, kinds_of

Array = np.ndarray

#: Pixels that are not finite in pictures, and places without a value in maps; neither colour map holds its own.
NOT_FINITE, NO_VALUE = (0, 229, 238), "#9a9a9a"
DIFFERENCE_MAP, FPW_MAP = "RdBu_r", "magma"
#: Where the input is in a focus curve.
INPUT = "#d55e00"
#: Pictures are shown with at most this many pixels a side.
SHOWN_PX = 1600
#: Panels are at least this wide and high, whatever the shape of the image.
PANEL_MM = 13.0


# --- pictures ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Picture:
    """An image as it is shown: grey levels (Y, X) or (Y, X, 3), a name, and the mark written on it in a colour."""

    name: str
    pixels: Array
    mark: str = ""
    colour: str = MARK


@dataclass(frozen=True)
class Scale:
    """What all pictures of a report share: the size of a pixel, and the grey levels shown black and white."""

    levels: tuple[float, float]
    pixel_um: float | None = None
    aspect: float = 1.0  # height over width of a pixel

    @property
    def size_said(self) -> str:
        """How large a pixel is, in words."""
        if self.pixel_um is None:
            return "pixel size not known"
        down = "" if self.aspect == 1 else f" across and {self.pixel_um * self.aspect:g} µm down"
        return f"{self.pixel_um:g} µm per pixel{down}"


Region = tuple[slice, slice]
Place = tuple[float, float, float, float]  # left, top, width, height in mm


@dataclass(frozen=True)
class _Frame:
    """Size of the frame around an image: that of the image, but no less than a least size."""

    width_mm: float
    height_mm: float
    px_per_mm: float  # along X

    @classmethod
    def fit(cls, pixels: Array, scale: Scale, width_mm: float, height_mm: float, least_mm: float = PANEL_MM) -> _Frame:
        rows, columns = pixels.shape[:2]
        height_over_width = rows * scale.aspect / columns
        image_mm = min(width_mm, height_mm / height_over_width)
        return cls(max(image_mm, least_mm), max(image_mm * height_over_width, least_mm), columns / image_mm)


def pictures_side_by_side(
    pictures: Sequence[Picture],
    scale: Scale,
    width_mm: float = WIDTH_MM,
    picture_mm: float = 80,
    *,
    caption: str = "",
    box: Region | None = None,
) -> Block:
    """Return pictures in a row (very wide ones in a column), all with one grey mapping, each with a scale bar.

    ``box`` is outlined in every picture. ``picture_mm`` is the greatest height of the block's pictures together.
    """
    n = len(pictures)
    row = _Frame.fit(pictures[0].pixels, scale, (width_mm - 4 * (n - 1)) / n, picture_mm)
    column = _Frame.fit(pictures[0].pixels, scale, width_mm, (picture_mm - 5 * (n - 1)) / n)
    frame = min(row, column, key=lambda one: one.px_per_mm)
    across, down = (max(frame.width_mm, 20) + 4, 0.0) if frame is row else (0.0, frame.height_mm + 5)
    height_mm = frame.height_mm + 5 + (n - 1) * down
    used_mm = max(n * across - 4, frame.width_mm, min(width_mm, 90))
    words = paragraph(caption, used_mm, 6, colour=MUTED)

    def draw(sheet: Sheet, left: float, top: float) -> None:
        for number, picture in enumerate(pictures):
            x, y = left + number * across, top + number * down
            sheet.text(x, y + 2.2, picture.name, 7.5, bold=True)
            _panel(sheet, (x, y + 4.5, frame.width_mm, frame.height_mm), picture, scale, frame.px_per_mm, box)
        words.draw(sheet, left, top + height_mm + 0.5)

    return Block(used_mm, height_mm + 0.5 + words.height_mm, draw)


def _panel(sheet: Sheet, place: Place, picture: Picture, scale: Scale, px_per_mm: float, box: Region | None) -> None:
    shown = as_shown(picture.pixels, scale.levels)
    axes = _image_axes(sheet, place, picture.pixels, px_per_mm, scale, picture.colour if picture.mark else RULE)
    axes.imshow(shown, extent=_extent(picture.pixels), origin="upper", aspect="auto", interpolation="antialiased")
    if box is not None:
        y, x = box
        for colour, line in (("black", 1.6), ("white", 0.7)):
            corner, width, height = (x.start, y.start), x.stop - x.start, y.stop - y.start
            axes.add_patch(Rectangle(corner, width, height, fill=False, edgecolor=colour, linewidth=line))
    _scale_bar(sheet, place, px_per_mm, scale.pixel_um)
    if picture.mark:
        _mark(sheet, place, picture.mark, picture.colour)


def _image_axes(sheet: Sheet, place: Place, pixels: Array, px_per_mm: float, scale: Scale, frame: str = RULE) -> Axes:
    """Return axes in which an image lies in the middle of its frame, which may be wider or higher."""
    axes = sheet.axes(*place, facecolor="#e4e4e4")
    for spine in axes.spines.values():
        spine.set(edgecolor=frame, linewidth=1.2 if frame == MARK else 0.5)
    (rows, columns), (_, _, width, height) = pixels.shape[:2], place
    x, y = width * px_per_mm / 2, height * px_per_mm / scale.aspect / 2
    axes.set(xticks=[], yticks=[], autoscale_on=False)
    axes.set(xlim=(columns / 2 - x, columns / 2 + x), ylim=(rows / 2 + y, rows / 2 - y))
    return axes


def _extent(pixels: Array) -> tuple[float, float, float, float]:
    """Return the pixels that :func:`block_means` covers, as matplotlib wants it."""
    factor = _factor(pixels)
    rows, columns = (n // factor * factor for n in pixels.shape[:2])
    return 0, columns, rows, 0


def _scale_bar(sheet: Sheet, place: Place, px_per_mm: float, pixel_um: float | None) -> None:
    """Draw a bar of a round length, at most a third of the frame, white on a dark ground."""
    left, top, width, height = place
    right, bottom = left + width - 1, top + height - 1
    unit = 1.0 if pixel_um is None else pixel_um
    length = round_length(min(width / 3, 25) * px_per_mm * unit, whole=pixel_um is None)
    bar_mm = length / unit / px_per_mm
    if bar_mm > width - 3:  # an image of a few pixels
        return
    words = f"{length:g} {'px' if pixel_um is None else 'µm'}"
    ground = max(bar_mm, text_width_mm(words, 5.5)) + 1.6
    sheet.box(right - ground, bottom - 4.2, ground, 4.2, facecolor="black", alpha=0.6)
    sheet.box(right - ground / 2 - bar_mm / 2, bottom - 1.3, bar_mm, 0.6, facecolor="white")
    sheet.text(right - ground / 2, bottom - 2.75, words, 5.5, color="white", ha="center")


def round_length(most: float, whole: bool = False) -> float:
    """Return the greatest of 1, 2 and 5 times a power of ten that is not above ``most``.

    Examples
    --------
    >>> round_length(7.3), round_length(0.049), round_length(0.4, whole=True)
    (5.0, 0.02, 1.0)
    """
    power = 10.0 ** np.floor(np.log10(most))
    length = next(digit for digit in (5, 2, 1) if digit * power <= most * (1 + 1e-9)) * power
    return float(max(length, 1.0) if whole else length)


def _mark(sheet: Sheet, place: Place, words: str, colour: str) -> None:
    """Write a band along the inner upper edge of a frame, or along the left one of a tall frame."""
    left, top, width, height = place
    upright = height > 1.5 * width
    along = (height if upright else width) - 2
    size_pt = next((size for size in (5.5, 5.0, 4.5) if text_width_mm(words, size) <= along), 5.0)
    lines = [words] if text_width_mm(words, size_pt) <= along else words.rsplit(" – ", 1)
    band = 2.6 * len(lines)
    sheet.box(left, top, *((band, height) if upright else (width, band)), facecolor=colour)
    for number, line in enumerate(lines):
        x, y = (1.3 + 2.6 * number, height - 1) if upright else (1, 1.3 + 2.6 * number)
        turn: dict[str, Any] = {"rotation": 90, "ha": "center", "va": "bottom"} if upright else {}
        sheet.text(left + x, top + y, shorten(line, along, size_pt), size_pt, color="black", **turn)


def as_shown(pixels: Array, levels: tuple[float, float]) -> Array:
    """Return (Y, X, 3) uint8: ``levels`` become 0 and 255, pixels that are not finite get a colour of their own."""
    low, high = levels
    means = block_means(pixels)
    if means.ndim == 2:
        means = np.repeat(means[..., None], 3, axis=-1)
    missing = ~np.isfinite(means).all(axis=-1)
    with np.errstate(invalid="ignore"):
        shown = np.clip((means - low) / (high - low), 0, 1) * 255
    shown[missing] = NOT_FINITE
    return np.rint(shown).astype(np.uint8)


def block_means(pixels: Array) -> Array:
    """Return float32 means of k x k pixels, k just large enough for at most :data:`SHOWN_PX` a side.

    Rows and columns that do not fill a block are left out.
    """
    factor = _factor(pixels)
    rows, columns = (n // factor for n in pixels.shape[:2])
    if factor == 1:
        return pixels.astype(np.float32)
    blocks = pixels[: rows * factor, : columns * factor].reshape(rows, factor, columns, factor, *pixels.shape[2:])
    with np.errstate(invalid="ignore"):  # inf - inf
        return np.asarray(blocks.mean(axis=(1, 3), dtype=np.float32))


def _factor(pixels: Array) -> int:
    """Side of the blocks that are averaged: no more than the shorter side has."""
    return int(min(-(-max(pixels.shape[:2]) // SHOWN_PX), *pixels.shape[:2]))


# --- maps and curve ----------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Map:
    """A map (Y, X) to be shown in colours: signed ones about 0, others from 0."""

    name: str
    values: Array
    unit: str
    caption: str
    signed: bool

    @cached_property
    def limits(self) -> tuple[float, float]:
        """Where the colours end (the 99.5th percentile of the absolute values), and the largest of these values."""
        finite = np.abs(self.values[np.isfinite(self.values)])
        most = float(finite.max()) if finite.size else 0.0
        return (float(np.percentile(finite, 99.5)) if finite.size else 0.0) or most or 1.0, most


def colour_map(content: Map, scale: Scale, width_mm: float = WIDTH_MM / 2, picture_mm: float = 80) -> Block:
    """Return a map with a colour bar."""
    frame = _Frame.fit(content.values, scale, width_mm - 16, picture_mm, least_mm=PANEL_MM + 4)
    name = paragraph(content.name, width_mm, 7.5, bold=True)
    caption = paragraph(content.caption, width_mm, 6, colour=MUTED)

    def draw(sheet: Sheet, left: float, top: float) -> None:
        name.draw(sheet, left, top)
        top += name.height_mm + 1
        place = left, top, frame.width_mm, frame.height_mm
        axes = _image_axes(sheet, place, content.values, frame.px_per_mm, scale)
        limit, most = content.limits
        image = axes.imshow(
            np.ma.masked_invalid(block_means(content.values)),
            extent=_extent(content.values),
            cmap=colormaps[DIFFERENCE_MAP if content.signed else FPW_MAP].with_extremes(bad=NO_VALUE),
            vmin=-limit if content.signed else 0,
            vmax=limit,
            origin="upper",
            aspect="auto",
            interpolation="antialiased",
        )
        bar = sheet.axes(left + frame.width_mm + 1.5, top, 2.5, frame.height_mm)
        extend = ("both" if content.signed else "max") if most > limit else "neither"
        sheet.figure.colorbar(image, cax=bar, extend=extend)
        bar.locator_params(nbins=5 if frame.height_mm > 25 else 3)
        bar.set_ylabel(content.unit, fontproperties=font(6), color=INK, labelpad=2)
        small_ticks(bar)
        caption.draw(sheet, left, top + frame.height_mm + 1)

    return Block(width_mm, name.height_mm + frame.height_mm + caption.height_mm + 2, draw)


def trust_map(
    restored: Array, trust: Trust, scale: Scale, width_mm: float = WIDTH_MM / 2, picture_mm: float = 80
) -> Block:
    """Return the restored image, pale, with the places in colour that are in doubt, and what the colours mean."""
    frame = _Frame.fit(restored, scale, width_mm, picture_mm)
    name = paragraph("Trust: what the input says", width_mm, 7.5, bold=True)
    kinds = kinds_of(trust.asked)
    lines = [paragraph(_kind_said(trust, verdict), width_mm - 4, 6, colour=MUTED) for _, verdict in kinds]
    shown = as_shown(restored, scale.levels).astype(np.float32)
    shown = 255 - (255 - shown.mean(axis=-1, keepdims=True)) * 0.5 * np.ones(3, np.float32)
    factor = _factor(restored)
    classes = trust.classes[factor // 2 :: factor, factor // 2 :: factor][: shown.shape[0], : shown.shape[1]]
    for number, verdict in kinds[1:]:
        shown[classes == number] = 255 * np.array(to_rgb(verdict.colour))

    def draw(sheet: Sheet, left: float, top: float) -> None:
        name.draw(sheet, left, top)
        top += name.height_mm + 1
        place = left, top, frame.width_mm, frame.height_mm
        axes = _image_axes(sheet, place, restored, frame.px_per_mm, scale)
        axes.imshow(
            shown.astype(np.uint8), extent=_extent(restored), origin="upper", aspect="auto", interpolation="nearest"
        )
        top += frame.height_mm + 1
        for (number, verdict), line in zip(kinds, lines, strict=True):
            colour = verdict.colour if number else "none"
            sheet.box(left, top + 0.4, 2.2, 2.2, facecolor=colour, edgecolor=MUTED, linewidth=0.4)
            line.draw(sheet, left + 4, top)
            top += line.height_mm + 0.5

    height_mm = name.height_mm + 2 + frame.height_mm + sum(one.height_mm + 0.5 for one in lines) + 0.5
    return Block(width_mm, height_mm, draw)


def _kind_said(trust: Trust, verdict: Verdict, brief: bool = True) -> str:
    return kind_said(verdict, trust.shares[verdict.name], brief=brief)


def trust_said(trust: Trust) -> str:
    """Return a trust map in words."""
    return " ".join(_kind_said(trust, verdict, brief=False) for _, verdict in kinds_of(trust.asked))


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


def small_ticks(axes: Axes, size_pt: float = 6) -> None:
    """Set ticks in the font and weight of the sheets."""
    axes.tick_params(labelsize=size_pt, labelfontfamily=FONT, labelcolor=INK, color=INK, length=2, width=0.5, pad=1.5)
    for spine in axes.spines.values():
        spine.set(linewidth=0.5, edgecolor=INK)


def crop(pictures: Sequence[Picture], region: Region) -> tuple[Picture, ...]:
    """Return the same region of every picture."""
    return tuple(replace(picture, pixels=picture.pixels[region]) for picture in pictures)
