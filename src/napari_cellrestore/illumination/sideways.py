"""How light from the side moves an image that is out of focus: by the defocus times the tangent of its angle."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.optimize import least_squares

from napari_cellrestore.leds import LedTable

#: Planes that are needed to tell how defocus moves them in each direction, and to tell its distance alone.
ENOUGH, FEW = 8, 4

Floats = npt.NDArray[np.float64]


def sideways(leds: LedTable, rows: npt.NDArray[np.intp]) -> Floats:
    """Return how far (rows, columns) the light of LEDs goes sideways for each unit of depth.

    >>> sideways(LedTable(index=[0, 1], polar_deg=[0, 45], azimuth_deg=[0, 90]), np.arange(2)).round(6).tolist()
    [[0.0, 0.0], [1.0, 0.0]]
    """
    azimuth = np.radians(leds.azimuth_deg[rows])
    slope = np.tan(np.radians(leds.polar_deg[rows]))
    return np.asarray(slope[:, None] * np.stack([np.sin(azimuth), np.cos(azimuth)], axis=1))


def slopes(light: Floats, shift_px: Floats) -> Floats:
    """Return the matrix (2, 2) of ``shift = light @ matrix``, by a fit that outliers do not pull.

    Of fewer than :data:`ENOUGH` planes it is the defocus in pixels times the unit matrix, by least squares; of fewer than
    :data:`FEW`, whose shifts it would explain whatever they are, it is zero.
    """
    if len(shift_px) < ENOUGH:
        power = float((light**2).sum()) if len(shift_px) >= FEW else 0.0
        return np.eye(2) * (float((light * shift_px).sum()) / power if power else 0.0)

    def left(matrix: Floats) -> Floats:
        return np.asarray(light @ matrix.reshape(2, 2) - shift_px).ravel()

    return np.asarray(least_squares(left, np.zeros(4), loss="cauchy", f_scale=0.3).x.reshape(2, 2))
