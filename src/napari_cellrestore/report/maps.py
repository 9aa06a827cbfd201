"""Maps in colours: what differs between two images, and which places of a restoration are in doubt."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import to_rgb

from napari_cellrestore.report.pictures import (
    PANEL_MM,
    Frame,
    Scale,
    as_shown,
    block_means,
    block_px,
    extent,
    image_axes,
)
from napari_cellrestore.report.sheet import INK, MUTED, WIDTH_MM, Block, Sheet, font, paragraph, small_ticks
from napari_cellrestore.trust import Trust, Verdict, kind_said, kinds_of

Array = np.ndarray

DIFFERENCE_MAP, FPW_MAP = "RdBu_r", "magma"
#: Places without a value; neither colour map holds it.
NO_VALUE = "#9a9a9a"


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
    frame = Frame.fit(content.values, scale, width_mm - 16, picture_mm, least_mm=PANEL_MM + 4)
    name = paragraph(content.name, width_mm, 7.5, bold=True)
    caption = paragraph(content.caption, width_mm, 6, colour=MUTED)

    def draw(sheet: Sheet, left: float, top: float) -> None:
        name.draw(sheet, left, top)
        top += name.height_mm + 1
        place = left, top, frame.width_mm, frame.height_mm
        axes = image_axes(sheet, place, content.values, frame.px_per_mm, scale)
        limit, most = content.limits
        image = axes.imshow(
            np.ma.masked_invalid(block_means(content.values)),
            extent=extent(content.values),
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
    frame = Frame.fit(restored, scale, width_mm, picture_mm)
    name = paragraph("Trust: what the input says", width_mm, 7.5, bold=True)
    kinds = kinds_of(trust.asked)
    lines = [paragraph(_kind_said(trust, verdict), width_mm - 4, 6, colour=MUTED) for _, verdict in kinds]
    shown = as_shown(restored, scale.levels).astype(np.float32)
    shown = 255 - (255 - shown.mean(axis=-1, keepdims=True)) * 0.5 * np.ones(3, np.float32)
    factor = block_px(restored)
    classes = trust.classes[factor // 2 :: factor, factor // 2 :: factor][: shown.shape[0], : shown.shape[1]]
    for number, verdict in kinds[1:]:
        shown[classes == number] = 255 * np.array(to_rgb(verdict.colour))

    def draw(sheet: Sheet, left: float, top: float) -> None:
        name.draw(sheet, left, top)
        top += name.height_mm + 1
        place = left, top, frame.width_mm, frame.height_mm
        axes = image_axes(sheet, place, restored, frame.px_per_mm, scale)
        axes.imshow(
            shown.astype(np.uint8), extent=extent(restored), origin="upper", aspect="auto", interpolation="nearest"
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
