"""Shapes of which cells are drawn: thickness in micrometres on a grid of places in micrometres."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Grid:
    """Places of the pixels of a patch in um, relative to the centre of what is drawn there."""

    y_um: Array
    x_um: Array
    pixel_um: float

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return len(self.y_um), len(self.x_um)

    def polar(self, centre_um: Sequence[float] = (0, 0)) -> tuple[Array, Array]:
        """Distance from and angle about a place, from +X (columns) towards +Y (rows)."""
        y, x = self.y_um[:, None] - centre_um[0], self.x_um[None, :] - centre_um[1]
        return np.hypot(y, x), np.arctan2(y, x)


def outline(
    grid: Grid,
    radius_um: float,
    rng: np.random.Generator,
    *,
    centre_um: Sequence[float] = (0, 0),
    uneven: float = 0.03,
    stretch: float = 1.0,
    turn: float = 0.0,
) -> Array:
    """Distance from the centre of an unevenly round body over that of its outline; 1 on it, below 1 inside.

    The body reaches ``radius_um`` where it is widest. ``stretch`` is its length over its width, ``turn`` the angle of the
    length in radians.
    """
    distance, angle = grid.polar(centre_um)
    waves = [(k, rng.normal(0, uneven / k), rng.uniform(0, 2 * np.pi)) for k in (2, 3, 4, 5)]
    reach = 1 + sum(size * np.cos(k * angle + phase) for k, size, phase in waves) - sum(abs(w[1]) for w in waves)
    across = np.hypot(np.cos(angle - turn), stretch * np.sin(angle - turn))
    return np.asarray(distance * across / (radius_um * reach))


def dome(relative: Array, height_um: float) -> Array:
    """Thickness of a cap, ``height sqrt(1 - r^2)``, of what has the relative radius r."""
    return np.asarray(height_um * np.sqrt(np.maximum(1 - relative**2, 0)))


def spread(relative: Array, height_um: float) -> Array:
    """Thickness of a cell that has spread: flat, falling off at its rim, ``height sqrt(1 - r^6)``."""
    return np.asarray(height_um * np.sqrt(np.maximum(1 - relative**6, 0)))


def disc(relative: Array, radius_um: float) -> Array:
    """Thickness of a red cell, ``sqrt(1 - q) (0.81 + 7.83 q - 4.39 q^2)`` with ``q = r^2`` (Evans & Fung 1972).

    Scaled from their radius of 3.91 um.
    """
    q = np.minimum(relative, 1) ** 2
    return np.asarray(np.sqrt(1 - q) * (0.81 + 7.83 * q - 4.39 * q**2) * radius_um / 3.91)


def rod(grid: Grid, start_um: Sequence[float], end_um: Sequence[float], radius_um: float) -> Array:
    """Distance from a line between two places over the radius of the rod about it."""
    y, x = grid.y_um[:, None] - start_um[0], grid.x_um[None, :] - start_um[1]
    along = np.subtract(end_um, start_um)
    share = np.clip((y * along[0] + x * along[1]) / max(float(along @ along), 1e-9), 0, 1)
    return np.asarray(np.hypot(y - share * along[0], x - share * along[1]) / radius_um)


def bow(
    grid: Grid, centre_um: Sequence[float], bend_um: float, half_angle: float, turn: float, width_um: float
) -> Array:
    """Distance from an arc over the half width of the sausage about it: a kidney."""
    distance, angle = grid.polar(centre_um)
    off = np.angle(np.exp(1j * (angle - turn)))
    ends = [
        grid.polar((centre_um[0] + bend_um * np.sin(turn + side), centre_um[1] + bend_um * np.cos(turn + side)))[0]
        for side in (-half_angle, half_angle)
    ]
    return np.asarray(np.where(np.abs(off) <= half_angle, np.abs(distance - bend_um), np.minimum(*ends)) / width_um)


def spheres(grid: Grid, centres_um: Array, radii_um: Array) -> Array:
    """Total thickness of small spheres, which may lie above each other.

    Each has its volume, however it lies on the pixels; those smaller than a pixel are drawn wider and thinner.
    """
    wide = np.hypot(radii_um, 0.75 * grid.pixel_um)  # reaches a pixel wherever it lies
    reach = np.arange(-1, 2 * int(np.ceil(wide.max(initial=0) / grid.pixel_um)) + 1)
    places, squared = [], []
    for axis, um in enumerate((grid.y_um, grid.x_um)):
        first = np.floor((centres_um[:, axis] - wide - um[0]) / grid.pixel_um).astype(int)
        place = first[:, None] + reach  # sphere, pixel beside it
        squared.append((um[0] + place * grid.pixel_um - centres_um[:, axis, None]) ** 2)
        places.append(np.where((place >= 0) & (place < len(um)), place, len(um)))  # the last is thrown away
    thickness = np.sqrt(np.maximum(wide[:, None, None] ** 2 - squared[0][:, :, None] - squared[1][:, None, :], 0))
    volume = 4 / 3 * np.pi * radii_um**3 / grid.pixel_um**2
    thickness *= (volume / thickness.sum((1, 2)))[:, None, None]
    rows, columns = (n + 1 for n in grid.shape)
    pixels = places[0][:, :, None] * columns + places[1][:, None, :]
    total = np.bincount(pixels.ravel(), thickness.ravel(), rows * columns).reshape(rows, columns)
    return np.asarray(total[:-1, :-1], np.float32)


def grains(grid: Grid, size_um: float, rng: np.random.Generator) -> Array:
    """Smooth noise of mean 0 and deviation 1, with grains of a size."""
    sigma = size_um / grid.pixel_um
    noise = ndimage.gaussian_filter(rng.standard_normal(grid.shape, dtype=np.float32), sigma, mode="wrap")
    return np.asarray(noise * max(2 * np.sqrt(np.pi) * sigma, 1))
