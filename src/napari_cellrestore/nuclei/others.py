"""Nuclei beside the other cells: where red cells are purple, a threshold of violet takes them too."""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from skimage.filters import threshold_otsu

Array = np.ndarray

#: Cells lie above a threshold of the optical density of green that adapts between these.
CELL_DENSITY = (0.05, 0.15)
#: Squared Mahalanobis distance in three colours beyond which 1 in 1000 pixels of the other cells lie.
OUTSIDE = 16.27
#: Of optical densities, what the noise of flat parts is at least.
NOISE = 0.01
#: Of the green that haemoglobin takes it takes at least this part of blue; what takes less, as platelets do, is violet.
BLUE_SHARE = 0.5
#: Pixels of other cells that are needed to tell what they look like.
ENOUGH_PX = 100
#: How far the cell of a nucleus reaches: in radii of a disc as large as the nucleus, and in pixels that its edge is blurred over.
REACH, EDGE_PX = 0.75, 2


def unlike_others(labels: Array, density: Array) -> Array:
    """Return which parts have a mean colour that the other cells of the image do not have.

    What a threshold takes of one population lies within it: such a part is a dark red cell and no nucleus.

    Parameters
    ----------
    labels : (Y, X) int array
        Parts, 0 outside.
    density : (Y, X, 3) array
        Optical density of each colour.

    Returns
    -------
    (N,) bool array
        Of label ``i + 1``; all where there are no other cells.
    """
    number = int(labels.max())
    takes_blue = density[..., 2] >= BLUE_SHARE * density[..., 1]  # parts of other nuclei do not, nor do platelets
    others = density[find_cells(density) & takes_blue & ~_own(labels)]
    if len(others) < ENOUGH_PX:
        return np.ones(number, bool)
    indices = range(1, number + 1)
    centres = np.stack([ndimage.mean(density[..., colour], labels, indices) for colour in range(3)], axis=-1)
    away = centres.reshape(-1, 3) - others.mean(axis=0)
    inverse = np.linalg.inv(np.cov(others.T) + NOISE**2 * np.eye(3))
    return np.asarray(np.einsum("ij,jk,ik->i", away, inverse, away) > OUTSIDE)


def _own(labels: Array) -> Array:
    """Return what may belong to the cells whose nuclei the parts are."""
    if not labels.any():
        return np.zeros(labels.shape, bool)
    away_px, radius_px = from_nearest(labels)
    return np.asarray(away_px <= REACH * radius_px + EDGE_PX)


def from_nearest(labels: Array) -> tuple[Array, Array]:
    """Return the distance of each pixel from the nearest part, 0 inside, and the radius of a disc as large as that part."""
    away_px, (rows, columns) = ndimage.distance_transform_edt(labels == 0, return_indices=True)
    radius_px = np.sqrt(np.bincount(labels.ravel()) / np.pi)
    return away_px, radius_px[labels[rows, columns]]


def find_cells(density: Array) -> Array:
    """Return where cells of any kind are, by the density of green."""
    green = density[..., 1]
    low, high = CELL_DENSITY
    threshold = float(np.clip(threshold_otsu(green), low, high)) if np.ptp(green) > 1e-6 else low
    return np.asarray(green > threshold)
