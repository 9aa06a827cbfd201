"""Gaussians fitted to a bead, near its centre."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.optimize import OptimizeWarning, curve_fit

from napari_cellrestore.beads.bead import Zyx, zyx

Array = np.ndarray

#: Full width at half maximum of a Gaussian over its standard deviation.
FWHM_PER_SIGMA = 2 * np.sqrt(2 * np.log(2))
#: Distance from the centre within which Gaussians are fitted, in widths along z and in the plane: further out a
#: point-spread function is none. Along z there are few planes.
WITHIN = (0.8, 0.6)


@dataclass(frozen=True)
class GaussianFit:
    """Gaussians of a bead: widths at half maximum and centre along z, y, x in pixels, height, part explained."""

    fwhm_px: Zyx
    centre_px: Zyx
    height: float
    background: float
    explained: float


def fit_gaussians(volume: npt.ArrayLike, width_px: Zyx, *, background: float | None = None) -> GaussianFit:
    """Fit Gaussians to a bead in the middle of a volume.

    In the plane in focus ``A exp(-(y - y0)^2 / 2 sy^2 - (x - x0)^2 / 2 sx^2)``, along z through ``(y0, x0)`` the same
    of z, both over a background that is known: near the centre a Gaussian cannot tell it from its own foot. For the
    point-spread function of an aberration-free objective these widths are up to 1 % less than the true ones at half
    maximum, along z 2 to 4 %.

    Parameters
    ----------
    volume : (Z, Y, X) array
    width_px : (float, float, float)
        Rough widths at half maximum along z, y, x: where to begin, and how far from the centre pixels count.
    background : float, optional
        If not given, the median along the border of the plane in focus.

    Raises
    ------
    ValueError
        Where a Gaussian cannot be fitted.
    """
    volume = np.asarray(volume, float)
    plane = int(np.argmax(axis_of(volume)))
    for _ in range(2):  # the plane in focus is known once z was fitted
        level = ring_level(volume[plane]) if background is None else background
        (height, y0, x0, sy, sx), alike = _fit_plane(volume[plane] - level, width_px[1:])
        line = ndimage.map_coordinates(
            volume,
            [np.arange(len(volume)), np.full(len(volume), y0), np.full(len(volume), x0)],
            order=1,
            mode="nearest",
        )
        (_, z0, sz), alike_z = _fit_line(line - level, width_px[0])
        plane = int(np.clip(np.rint(z0), 0, len(volume) - 1))
    widths = FWHM_PER_SIGMA * np.abs([sz, sy, sx])
    return GaussianFit(zyx(widths), zyx([z0, y0, x0]), float(height), level, min(alike, alike_z))


def _fit_plane(plane: Array, width_px: Sequence[float]) -> tuple[Array, float]:
    middle = (plane.shape[0] // 2, plane.shape[1] // 2)
    reach_y, reach_x = (max(WITHIN[1] * width, 2.0) for width in width_px)
    y, x = (np.arange(length) - centre for length, centre in zip(plane.shape, middle, strict=True))
    within = (y[:, None] / reach_y) ** 2 + (x / reach_x) ** 2 <= 1
    where = np.stack(np.nonzero(within)).astype(float)

    def model(at: Array, height: float, y0: float, x0: float, sy: float, sx: float) -> Array:
        return np.asarray(height * np.exp(-0.5 * (((at[0] - y0) / sy) ** 2 + ((at[1] - x0) / sx) ** 2)))

    guess = [float(plane[middle]), *middle, *(width / FWHM_PER_SIGMA for width in width_px)]
    return _fit(model, where, plane[within], guess)


def _fit_line(line: Array, width_px: float) -> tuple[Array, float]:
    middle = int(np.argmax(line))
    within = np.abs(np.arange(len(line)) - middle) <= max(WITHIN[0] * width_px, 2)

    def model(at: Array, height: float, z0: float, sz: float) -> Array:
        return np.asarray(height * np.exp(-0.5 * ((at - z0) / sz) ** 2))

    return _fit(
        model, np.flatnonzero(within).astype(float), line[within], [line[middle], middle, width_px / FWHM_PER_SIGMA]
    )


def _fit(model: Callable[..., Array], where: Array, values: Array, guess: Sequence[float]) -> tuple[Array, float]:
    """Return the values of a model that fit best, and the part of the variance that it explains."""
    if len(values) <= len(guess) or not np.ptp(values) > 0:
        raise ValueError("there are too few pixels for a Gaussian")
    with warnings.catch_warnings(), np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        warnings.simplefilter("ignore", OptimizeWarning)  # of the covariance, which is not used
        try:
            best, _ = curve_fit(model, where, values, guess, maxfev=2000)
        except RuntimeError:
            raise ValueError("no Gaussian fits") from None
    left = values - model(where, *best)
    return np.asarray(best), 1 - float(np.mean(left**2) / np.var(values))


def axis_of(volume: Array) -> Array:
    """Return the middle of each plane, averaged over 3 x 3 pixels."""
    _, row, column = (length // 2 for length in volume.shape)
    return np.asarray(volume[:, row - 1 : row + 2, column - 1 : column + 2].mean((1, 2), dtype=float))


def ring_level(plane: Array) -> float:
    """Return the median along the border of a plane."""
    return float(np.median(np.concatenate([plane[0], plane[-1], plane[1:-1, 0], plane[1:-1, -1]])))
