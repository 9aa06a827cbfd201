"""What the checks keep of each plane of an LED stack, from one pass over them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_cellrestore.focus import green
from napari_cellrestore.illumination.composites import lit_table
from napari_cellrestore.leds import LedTable
from napari_cellrestore.register import BAND_PX
from napari_cellrestore.stack import ImageStack

#: Of larger planes the middle of this width is compared with other planes, so that memory does not grow with them.
MIDDLE_PX = 384

#: Pixels over which the structure is much the same, so that they count as one when planes are compared.
SPECK_PX = 40

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class MeasuredPlanes:
    """Numbers of each plane, one row for each of the table, and the structure in its middle.

    Parameters
    ----------
    leds : LedTable
    mean : (A,) float array
        Mean grey level, of colours that of green.
    flat : (A,) bool array
        All pixels are the same.
    saturated : (A,) float array
        Fraction of pixels that are burnt in any colour; NaN where the level is not known.
    structure : (A, y, x) float32 array
        The middle of each plane, band-pass filtered as for registration, divided by its mean.
    """

    leds: LedTable
    mean: Floats
    flat: npt.NDArray[np.bool_]
    saturated: Floats
    structure: npt.NDArray[np.float32]

    @property
    def chance(self) -> float:
        """Correlation (standard deviation) that planes with nothing in common have by chance."""
        return float((self.structure[0].size / SPECK_PX) ** -0.5)


def measure_planes(stack: ImageStack, saturation: float | None) -> MeasuredPlanes:
    """Return what is kept of each plane; each is read once."""
    leds = lit_table(stack)
    middle = tuple(_middle(length) for length in stack.yx_shape)
    shape = tuple(part.stop - part.start for part in middle)
    n = len(leds)
    mean, saturated, flat = np.full(n, np.nan), np.full(n, np.nan), np.zeros(n, bool)
    structure = np.zeros((n, *shape), np.float32)
    for row in range(n):
        plane = np.asarray(stack.data[row])
        grey = green(plane)
        if not np.isfinite(grey).all():
            raise ValueError(
                f"plane {row} (LED {leds.index[row]}) has pixels that are not finite; leave it out or mend it"
            )
        mean[row], flat[row] = grey.mean(dtype=float), grey.min() == grey.max()
        if saturation is not None:
            burnt = (plane >= saturation).any(axis=-1) if stack.rgb else plane >= saturation
            saturated[row] = burnt.mean()
        if not flat[row]:
            structure[row] = _structure(grey[middle])
    return MeasuredPlanes(leds, mean, flat, saturated, structure)


def _middle(length: int) -> slice:
    start = max(length - MIDDLE_PX, 0) // 2
    return slice(start, start + min(length, MIDDLE_PX))


def _structure(grey: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Return an image without its finest and coarsest structure, its spread 1; 0 where it has none."""
    wide = grey.astype(np.float32)
    fine, coarse = (ndimage.gaussian_filter(wide, sigma, mode="nearest") for sigma in BAND_PX)
    band = fine - coarse
    spread = band.std()
    return np.asarray(band / spread if spread > 0 else band)
