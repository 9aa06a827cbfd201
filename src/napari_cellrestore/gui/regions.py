"""Shapes drawn over an image, in pixels of that image."""

from __future__ import annotations

import numpy as np
from napari.layers import Image, Shapes
from skimage.draw import polygon2mask

Bounds = tuple[int, int, int, int]


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


def mask_px(shapes: Shapes, layer: Image, yx_shape: tuple[int, int]) -> np.ndarray:
    """Return a bool mask (Y, X), True inside any of the shapes."""
    mask = np.zeros(yx_shape, bool)
    for number in range(shapes.nshapes):
        mask |= polygon2mask(yx_shape, outline_px(shapes, number, layer))
    return mask
