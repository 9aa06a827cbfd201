"""Shapes drawn over an image, in pixels of that image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from napari.layers import Image, Shapes
from skimage.draw import polygon2mask

Bounds = tuple[int, int, int, int]
#: Shapes that enclose nothing.
OPEN = ("line", "path")


def outline_px(shapes: Shapes, number: int, layer: Image) -> np.ndarray:
    """Return the outline (N, 2) of one shape as rows and columns of a layer."""
    corners = np.asarray(shapes.data[number])
    if shapes.shape_type[number] == "ellipse":  # given by the corners of the box around it
        angle = np.linspace(0, 2 * np.pi, 64, endpoint=False)[:, None]
        centre, down, across = corners.mean(axis=0), (corners[3] - corners[0]) / 2, (corners[1] - corners[0]) / 2
        corners = centre + np.sin(angle) * down + np.cos(angle) * across
    planes = (0.0,) * (layer.ndim - 2)
    world = (shapes.data_to_world(corner)[-2:] for corner in corners)
    return np.array([layer.world_to_data((*planes, *place))[-2:] for place in world])


def bounds_px(shapes: Shapes, number: int, layer: Image, yx_shape: tuple[int, int]) -> Bounds:
    """Return first and last + 1 row, first and last + 1 column of the box around one shape, within the image."""
    outline = outline_px(shapes, number, layer)
    first = np.clip(np.ceil(outline.min(axis=0)).astype(int), 0, yx_shape)
    last = np.clip(np.floor(outline.max(axis=0)).astype(int) + 1, first, yx_shape)
    return int(first[0]), int(last[0]), int(first[1]), int(last[1])


@dataclass(frozen=True, eq=False)
class Area:
    """What a shape encloses: which pixels (``mask``) of a box (``inside``) of the image; ``number`` counts from 1."""

    number: int
    inside: tuple[slice, slice]
    mask: np.ndarray


def areas_px(shapes: Shapes, layer: Image, yx_shape: tuple[int, int], margin_px: int = 0) -> list[Area]:
    """Return what each shape encloses, lines left out, in its box widened by a margin where the image has room."""
    areas = []
    for number, kind in enumerate(shapes.shape_type):
        if kind in OPEN:
            continue
        first_y, last_y, first_x, last_x = bounds_px(shapes, number, layer, yx_shape)
        top, left = max(first_y - margin_px, 0), max(first_x - margin_px, 0)
        bottom, right = min(last_y + margin_px, yx_shape[0]), min(last_x + margin_px, yx_shape[1])
        mask = polygon2mask((bottom - top, right - left), outline_px(shapes, number, layer) - (top, left))
        areas.append(Area(number + 1, (slice(top, bottom), slice(left, right)), mask))
    return areas


def mask_px(shapes: Shapes, layer: Image, yx_shape: tuple[int, int]) -> np.ndarray | None:
    """Return a bool mask (Y, X), True inside any of the shapes; None where none encloses anything, as lines do not."""
    areas = areas_px(shapes, layer, yx_shape)
    mask = np.zeros(yx_shape, bool)
    for area in areas:
        mask[area.inside] |= area.mask
    return mask if areas else None


def line_px(shapes: Shapes, layer: Image) -> np.ndarray | None:
    """Return the ends (2, 2) of the selected line, else of the one drawn last, as rows and columns; None without one."""
    lines = [number for number, kind in enumerate(shapes.shape_type) if kind == "line"]
    chosen = [number for number in lines if number in shapes.selected_data] or lines
    return outline_px(shapes, chosen[-1], layer) if chosen else None
