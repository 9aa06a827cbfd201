"""A figure of what is seen: the layers in view with scale bars, names and what was computed, as PNG."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
from matplotlib.colors import to_rgb
from napari.components import ViewerModel
from napari.layers import Image
from napari.utils.colormaps import Colormap

from napari_cellrestore.gui.compare.maps import map_kind
from napari_cellrestore.gui.compare.swipe import LINE, LINE_GENERATED, Swipe
from napari_cellrestore.gui.current import full_resolution, lazy_plane, plane_index, provenance_of
from napari_cellrestore.gui.layers import stack_from_layer
from napari_cellrestore.report.pictures import Picture, Scale, pictures_side_by_side
from napari_cellrestore.report.sheet import (
    INK,
    MUTED,
    WIDTH_MM,
    Block,
    Sheet,
    below,
    beside,
    font,
    paragraph,
    shorten,
    write_png,
)
from napari_cellrestore.report.words import MADE_BY, mark, versions
from napari_cellrestore.stack import ImageStack

Rows = Sequence[Sequence["Shown"]]
GAP_MM = 4.0
#: Greatest height of a row of pictures.
ROW_MM = 120.0
#: Where a map has no value, as in the maps of a report.
NO_VALUE = 0.6


@dataclass(frozen=True, eq=False)
class Shown:
    """A layer as it is seen: its pixels in view, not yet read, and how they become colours."""

    name: str
    pixels: Any
    colormap: Colormap | None  # None of colour images
    limits: tuple[float, float]
    gamma: float
    mark: str
    map_name: str
    provenance: Mapping[str, Any]
    place: Mapping[str, Any]

    def colours(self) -> np.ndarray:
        """Return (Y, X, 3) float32 from 0 to 255."""
        pixels = np.asarray(self.pixels)
        if self.colormap is None:
            top = np.iinfo(pixels.dtype).max if pixels.dtype.kind == "u" else 1
            return np.clip(pixels[..., :3].astype(np.float32) / top, 0, 1) * 255
        low, high = self.limits
        shares = np.clip((pixels.astype(np.float32) - low) / (high - low), 0, 1) ** self.gamma
        missing = np.isnan(shares)
        colours = self.colormap.map(np.where(missing, 0, shares).ravel())[:, :3].reshape(*shares.shape, 3)
        colours[missing] = NO_VALUE
        return colours.astype(np.float32) * 255


# --- what is in view ---------------------------------------------------------------------------------------


def shown(viewer: ViewerModel, layer: Image, like: Image | None = None) -> Shown:
    """Return the part of a layer that is in view; with ``like`` that of another layer, in its contrast and colours."""
    region = region_in_view(viewer, like or layer)
    look = like or layer
    kind = map_kind(layer)
    stack = stack_from_layer(layer)
    return Shown(
        name=layer.name,
        pixels=lazy_plane(viewer, layer)[region],
        colormap=None if layer.rgb else look.colormap,
        limits=(0.0, 1.0) if layer.rgb else tuple(look.contrast_limits),
        gamma=look.gamma,
        mark="" if kind else mark("", ImageStack(np.zeros((1, 1)), "YX", provenance=stack.provenance)),
        map_name="" if kind is None else f"{kind.name} ({kind.unit})" if kind.unit else kind.name,
        provenance=provenance_of(layer),
        place={"plane": plane_index(viewer, layer), "rows and columns": [(part.start, part.stop) for part in region]},
    )


def region_in_view(viewer: ViewerModel, layer: Image) -> tuple[slice, slice]:
    """Return which rows and columns of a layer the canvas shows, or a cell of its grid."""
    cells = np.array(viewer.canvas.grid.actual_shape(viewer.layers))
    half = np.array(viewer.canvas.size) / cells / viewer.scene.camera.zoom / 2
    centre = np.array(viewer.scene.camera.center[-2:])
    planes = tuple(viewer.dims.point[: viewer.dims.ndim - 2])
    corners = [
        layer.world_to_data((*planes, *(centre + half * side)))[-2:]
        for side in np.mgrid[-1:3:2, -1:3:2].reshape(2, 4).T
    ]
    size = full_resolution(layer).shape[layer.ndim - 2 : layer.ndim]
    first = np.clip(np.floor(np.min(corners, axis=0) + 0.5).astype(int), 0, size)
    last = np.clip(np.ceil(np.max(corners, axis=0) + 0.5).astype(int), 0, size)
    if (last <= first).any():
        raise ValueError(f"nothing of {layer.name} is in view: move it into the canvas")
    return slice(int(first[0]), int(last[0])), slice(int(first[1]), int(last[1]))


def rows_in_view(viewer: ViewerModel) -> list[list[Shown]]:
    """Return the visible images as the grid shows them; without a grid the topmost one."""
    images = [(index, layer) for index, layer in enumerate(viewer.layers) if isinstance(layer, Image) and layer.visible]
    if not images:
        raise ValueError("no image is visible: show one")
    grid = viewer.canvas.grid
    if not grid.enabled:
        return [[shown(viewer, images[-1][1])]]
    rows: dict[int, list[Shown]] = {}
    for index, layer in sorted(images, key=lambda image: grid.position(image[0], viewer.layers)):
        rows.setdefault(grid.position(index, viewer.layers)[0], []).append(shown(viewer, layer))
    return list(rows.values())


def swipe_in_view(viewer: ViewerModel, swipe: Swipe) -> tuple[list[list[Shown]], int]:
    """Return both images of a swipe, and where in the part in view the second begins."""
    left, right = shown(viewer, swipe.reference), shown(viewer, swipe.candidate, like=swipe.reference)
    return [[left, right]], swipe.column - region_in_view(viewer, swipe.reference)[1].start


def scale_of(layer: Image) -> Scale:
    """Return what a scale bar needs to know."""
    size = stack_from_layer(layer).pixel_yx_um
    return Scale((0, 255)) if size is None else Scale((0, 255), size[1], size[0] / size[1])


# --- the figure --------------------------------------------------------------------------------------------


def grid_figure(rows: Rows, scale: Scale) -> Block:
    """Return pictures in rows, colour bars of maps, and what was computed."""
    columns = max(map(len, rows))
    cell_mm = (WIDTH_MM - GAP_MM * (columns - 1)) / columns
    blocks = []
    for row in rows:
        pictures = [Picture(one.name, one.colours(), one.mark) for one in row]
        blocks.append(_row(pictures, scale, cell_mm))
    all_shown = [one for row in rows for one in row]
    bars = {one.map_name: one for one in all_shown if one.map_name}
    if bars:
        blocks.append(beside(*(_colour_bar(one, min(cell_mm, 60)) for one in bars.values()), gap_mm=GAP_MM))
    return _footed(blocks, all_shown)


def swipe_figure(left: Shown, right: Shown, column: int, scale: Scale) -> Block:
    """Return one picture, of ``left`` up to a column and of ``right`` from there on."""
    pixels, over = left.colours(), right.colours()
    column = int(np.clip(column, 0, pixels.shape[1]))
    pixels[:, column:] = over[:, column:]
    thick = max(1, pixels.shape[1] // 400)
    pixels[:, max(column - thick, 0) : column] = 255 * np.array(to_rgb(LINE_GENERATED if right.mark else LINE))
    marks = [f"{side}: {one.mark}" for side, one in (("left", left), ("right", right)) if one.mark]
    picture = Picture(f"{left.name}  |  {right.name}", pixels, ", ".join(marks))
    return _footed([_row([picture], scale, WIDTH_MM)], [left, right])


def _row(pictures: Sequence[Picture], scale: Scale, cell_mm: float) -> Block:
    n, (rows, columns) = len(pictures), pictures[0].pixels.shape[:2]
    width_mm = cell_mm * n + GAP_MM * (n - 1)
    width_over_height = columns / (rows * scale.aspect)
    # very wide pictures come one below the other, where that makes them larger
    beside_mm = min(cell_mm, ROW_MM * width_over_height)
    below_mm = min(width_mm, (ROW_MM - 5 * (n - 1)) / n * width_over_height)
    room_mm = max(beside_mm, below_mm, 20)
    named = [replace(one, name=shorten(one.name, room_mm, 7.5, bold=True)) for one in pictures]
    return pictures_side_by_side(named, scale, width_mm, ROW_MM)


def _colour_bar(one: Shown, width_mm: float) -> Block:
    """Return which value has which colour."""
    name = paragraph(one.map_name, width_mm, 6)

    def draw(sheet: Sheet, left: float, top: float) -> None:
        name.draw(sheet, left, top)
        axes = sheet.axes(left + 1, top + name.height_mm + 0.5, width_mm - 2, 2.5)
        colours = one.colormap.map(np.linspace(0, 1, 256) ** one.gamma)[None]  # type: ignore[union-attr]
        axes.imshow(colours, extent=(*one.limits, 0, 1), aspect="auto", interpolation="nearest")
        axes.set_yticks([])
        axes.locator_params(axis="x", nbins=5)
        axes.tick_params(labelsize=6, labelcolor=INK, color=INK, length=2, width=0.5, pad=1.5)
        for label in axes.get_xticklabels():
            label.set_fontproperties(font(6))
        for spine in axes.spines.values():
            spine.set(linewidth=0.5, edgecolor=INK)

    return Block(width_mm, name.height_mm + 7, draw)


def _footed(blocks: Sequence[Block], images: Sequence[Shown]) -> Block:
    """Return blocks above what a reader of the figure must know."""
    said = [f"{one.name}: {one.mark}." for one in images if one.mark]
    if any(one.map_name for one in images):
        said.append("Maps are computed from the images above.")
    if not said:
        said.append("None of these images is marked as generated or simulated.")
    made = ", ".join(f"{name} {version}" for name, version in versions().items() if name == MADE_BY)
    width_mm = max(90.0, *(block.width_mm for block in blocks))
    return below(*blocks, paragraph(" ".join([*said, f"Made with {made}." if made else ""]), width_mm, 6, colour=MUTED))


def description(images: Sequence[Shown]) -> str:
    """Return how the images were made, as JSON."""
    told = {one.name: {"provenance": one.provenance, **one.place} for one in images}
    return json.dumps({"made by": dict(versions()), "images": told}, default=_plain)


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else value.tolist() if hasattr(value, "tolist") else str(value)


def write_figure(_stop: Event, path: Path, rows: Rows, scale: Scale, column: int | None) -> Iterator[Path]:
    """Read what is seen and write it; with ``column`` the first image is left of it and the second right."""
    if column is None:
        block = grid_figure(rows, scale)
    else:
        ((left, right),) = rows
        block = swipe_figure(left, right, column, scale)
    write_png(block, path, description([one for row in rows for one in row]))
    yield path
