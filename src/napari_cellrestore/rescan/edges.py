"""Edges that one scan has and the other does not: dirt, precipitate of the stain, debris that was washed away."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_cellrestore.rescan.looks import find_edges

Array = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Roi = tuple[slice, slice]

#: Part of the pixels below the thresholds of edges that must have a partner, and of those that may be one: what is clear
#: in one scan need only be hinted at in the other.
CLEAR, HINTED = (0.85, 0.95), (0.4, 0.6)
#: How far a partner may lie.
BESIDE_UM = 0.75


class EdgeMaps:
    """Edges of both scans, on the pixels of one, and how far each pixel is from one of the other."""

    def __init__(self, unstained: Array, stained: Array, pixel_um: float) -> None:
        self.pixel_um = pixel_um
        self._clear = [find_edges(image, pixel_um, CLEAR) for image in (unstained, stained)]
        self._far = [_far_from(find_edges(image, pixel_um, HINTED), pixel_um) for image in (unstained, stained)]

    def alone_um(self, unstained: Roi, stained: Roi) -> tuple[float, float]:
        """Return the length of clear edges that only the stained crop has, and that only the unstained one has."""
        crops = unstained, stained
        return tuple(  # type: ignore[return-value]
            float((self._clear[own][crops[own]] & self._far[1 - own][crops[1 - own]]).sum() * self.pixel_um)
            for own in (1, 0)
        )


def _far_from(edges: Mask, pixel_um: float) -> Mask:
    if not edges.any():
        return np.ones(edges.shape, bool)
    return np.asarray(ndimage.distance_transform_edt(~edges) * pixel_um > BESIDE_UM)
