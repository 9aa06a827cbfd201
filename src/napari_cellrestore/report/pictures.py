"""Pictures side by side: with one grey mapping, a scale bar each, and a band on those that are computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from napari_cellrestore.report.sheet import MARK, MUTED, RULE, WIDTH_MM, Block, Sheet, paragraph, shorten, text_width_mm

Array = np.ndarray

#: Pixels that are not finite.
NOT_FINITE = (0, 229, 238)
#: Pictures are shown with at most this many pixels a side.
SHOWN_PX = 1600
#: Panels are at least this wide and high, whatever the shape of the image.
PANEL_MM = 13.0


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
class Frame:
    """Size of the frame around an image: that of the image, but no less than a least size."""

    width_mm: float
    height_mm: float
    px_per_mm: float  # along X

    @classmethod
    def fit(cls, pixels: Array, scale: Scale, width_mm: float, height_mm: float, least_mm: float = PANEL_MM) -> Frame:
        """Return the largest frame of pixels of a shape within a width and a height."""
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
    row = Frame.fit(pictures[0].pixels, scale, (width_mm - 4 * (n - 1)) / n, picture_mm)
    column = Frame.fit(pictures[0].pixels, scale, width_mm, (picture_mm - 5 * (n - 1)) / n)
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


def crop(pictures: Sequence[Picture], region: Region) -> tuple[Picture, ...]:
    """Return the same region of every picture."""
    return tuple(replace(picture, pixels=picture.pixels[region]) for picture in pictures)


def _panel(sheet: Sheet, place: Place, picture: Picture, scale: Scale, px_per_mm: float, box: Region | None) -> None:
    shown = as_shown(picture.pixels, scale.levels)
    axes = image_axes(sheet, place, picture.pixels, px_per_mm, scale, picture.colour if picture.mark else RULE)
    axes.imshow(shown, extent=extent(picture.pixels), origin="upper", aspect="auto", interpolation="antialiased")
    if box is not None:
        y, x = box
        for colour, line in (("black", 1.6), ("white", 0.7)):
            corner, width, height = (x.start, y.start), x.stop - x.start, y.stop - y.start
            axes.add_patch(Rectangle(corner, width, height, fill=False, edgecolor=colour, linewidth=line))
    _scale_bar(sheet, place, px_per_mm, scale.pixel_um)
    if picture.mark:
        _mark(sheet, place, picture.mark, picture.colour)


def image_axes(sheet: Sheet, place: Place, pixels: Array, px_per_mm: float, scale: Scale, frame: str = RULE) -> Axes:
    """Return axes in which an image lies in the middle of its frame, which may be wider or higher."""
    axes = sheet.axes(*place, facecolor="#e4e4e4")
    for spine in axes.spines.values():
        spine.set(edgecolor=frame, linewidth=1.2 if frame == MARK else 0.5)
    (rows, columns), (_, _, width, height) = pixels.shape[:2], place
    x, y = width * px_per_mm / 2, height * px_per_mm / scale.aspect / 2
    axes.set(xticks=[], yticks=[], autoscale_on=False)
    axes.set(xlim=(columns / 2 - x, columns / 2 + x), ylim=(rows / 2 + y, rows / 2 - y))
    return axes


def extent(pixels: Array) -> tuple[float, float, float, float]:
    """Return the pixels that :func:`block_means` covers, as matplotlib wants it."""
    factor = block_px(pixels)
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
    factor = block_px(pixels)
    rows, columns = (n // factor for n in pixels.shape[:2])
    if factor == 1:
        return pixels.astype(np.float32)
    blocks = pixels[: rows * factor, : columns * factor].reshape(rows, factor, columns, factor, *pixels.shape[2:])
    with np.errstate(invalid="ignore"):  # inf - inf
        return np.asarray(blocks.mean(axis=(1, 3), dtype=np.float32))


def block_px(pixels: Array) -> int:
    """Side of the blocks that are averaged: no more than the shorter side has."""
    return int(min(-(-max(pixels.shape[:2]) // SHOWN_PX), *pixels.shape[:2]))
