"""A stained blood smear, drawn: a known object to blur."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from napari_cellrestore.simulate.defocus import quantise

Array = np.ndarray

_BACKGROUND = np.array([238, 236, 229], np.float32)
#: Optical densities in red, green and blue: a micrometre of red cell, cytoplasm, granules, chromatin.
_RED_CELL_OD, _CYTOPLASM_OD = (0.035, 0.155, 0.10), (0.10, 0.22, 0.03)
_GRANULE_OD, _CHROMATIN_OD = (0.16, 0.30, 0.10), (0.72, 1.25, 0.34)


def draw_smear(shape: tuple[int, int], pixel_um: float, rng: np.random.Generator) -> Array:
    """Draw a stained blood smear: red cells, granulocytes with lobed nuclei, platelets on a bright background.

    Light is absorbed, ``background * exp(-optical density)``. Red cells have the thickness of Evans & Fung 1972,
    ``sqrt(1 - q) (0.81 + 7.83 q - 4.39 q^2)`` um with ``q = (r / R)^2``; the rest is made up to look right.
    Everything is sharp: blur it with :func:`napari_cellrestore.simulate.defocus`.

    Parameters
    ----------
    shape : (int, int)
        Rows and columns.
    pixel_um : float
        Pixel size; a red cell is 7 to 8 um across.
    rng : numpy Generator
        One state draws one smear.

    Returns
    -------
    (Y, X, 3) uint8 array

    Examples
    --------
    >>> smear = draw_smear((96, 128), 0.1, np.random.default_rng(0))
    >>> red, green, _ = smear.mean((0, 1))
    >>> smear.shape, bool(red > green)
    ((96, 128, 3), True)
    """
    if len(shape) != 2 or min(shape) < 1 or not (np.isfinite(pixel_um) and pixel_um > 0):
        raise ValueError(f"shape {shape} with pixels of {pixel_um} um: give (rows, columns) and a positive size")
    density = np.zeros((*shape, 3), np.float32)
    taken: list[tuple[Array, float]] = []
    for draw, radius_um, area_um2, margin_um in (
        (_white_cell, 6.2, 1500, 8.0),
        (_red_cell, 3.5, 65, -2.0),
        (_platelet, 0.8, 300, 0.0),
    ):
        for place_um in _scatter(np.asarray(shape) * pixel_um, radius_um, area_um2, margin_um, taken, rng):
            first = np.maximum((place_um - 1.5 * radius_um) / pixel_um, 0).astype(int)
            last = np.maximum((place_um + 1.5 * radius_um) / pixel_um, 0).astype(int) + 1
            part = density[first[0] : last[0], first[1] : last[1]]
            y_um, x_um = (
                np.arange(a, a + n, dtype=np.float32) * pixel_um - p
                for a, n, p in zip(first, part.shape, place_um, strict=False)
            )
            part += draw(y_um[:, None], x_um, pixel_um, rng)
    return quantise(_BACKGROUND * np.exp(-density), np.dtype(np.uint8))


def _scatter(
    size_um: Array,
    radius_um: float,
    area_um2: float,
    margin_um: float,
    taken: list[tuple[Array, float]],
    rng: np.random.Generator,
) -> list[Array]:
    """Return places, one for each ``area_um2``, that keep clear of those taken, and add them to ``taken``."""
    wanted = int(np.ceil(np.prod(size_um) / area_um2))
    margin = np.minimum(margin_um, size_um / 2)
    places: list[Array] = []
    for _ in range(30 * wanted):
        place = rng.uniform(margin, size_um - margin)
        if len(places) < wanted and all(np.hypot(*(place - other)) > radius_um + r for other, r in taken):
            places.append(place)
            taken.append((place, radius_um))
    return places


def _red_cell(y_um: Array, x_um: Array, pixel_um: float, rng: np.random.Generator) -> Array:
    radius_um = rng.uniform(3.5, 3.95)
    cell, relative_radius = _round(y_um, x_um, radius_um, 0.03, pixel_um, rng)
    q = np.clip(relative_radius, 0, 1) ** 2
    thickness_um = np.sqrt(1 - q) * (0.81 + 7.83 * q - 4.39 * q**2) + 0.25 * cell
    grain = 1 + 0.04 * _grains(cell.shape, 0.2, pixel_um, rng)
    return _dye(cell * thickness_um * grain, _RED_CELL_OD)


def _white_cell(y_um: Array, x_um: Array, pixel_um: float, rng: np.random.Generator) -> Array:
    cell, _ = _round(y_um, x_um, rng.uniform(5.8, 6.6), 0.03, pixel_um, rng)
    nucleus = np.zeros_like(cell)
    turn, lobes = rng.uniform(0, 2 * np.pi), int(rng.integers(3, 5))
    for angle in turn + 0.42 * np.pi * np.arange(lobes):  # along a horseshoe, each lobe touching the next
        y, x = 2.5 * np.sin(angle), 2.5 * np.cos(angle)
        nucleus = np.maximum(nucleus, _round(y_um - y, x_um - x, rng.uniform(1.6, 2.1), 0.08, pixel_um, rng)[0])
    plasm = cell * (1 - nucleus)
    granules = _grains(cell.shape, 0.13, pixel_um, rng) > 1.3
    return np.asarray(
        _dye(plasm * (1 + 0.1 * _grains(cell.shape, 0.2, pixel_um, rng)), _CYTOPLASM_OD)
        + _dye(plasm * granules, _GRANULE_OD)
        + _dye(nucleus * (1 + 0.2 * _grains(cell.shape, 0.25, pixel_um, rng)), _CHROMATIN_OD)
    )


def _platelet(y_um: Array, x_um: Array, pixel_um: float, rng: np.random.Generator) -> Array:
    body, _ = _round(y_um, x_um, rng.uniform(0.7, 1.1), 0.15, pixel_um, rng)
    return _dye(body * np.clip(1.6 + 0.7 * _grains(body.shape, 0.15, pixel_um, rng), 0.3, None), _GRANULE_OD)


def _round(
    y_um: Array, x_um: Array, radius_um: float, wobble: float, pixel_um: float, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Return an unevenly round body, 1 inside and 0 outside with an edge one pixel wide, and its relative radius."""
    angle = np.arctan2(y_um, x_um)
    uneven = sum(rng.normal(0, wobble / k) * np.cos(k * angle + rng.uniform(0, 2 * np.pi)) for k in (2, 3, 4, 5))
    relative_radius = np.hypot(y_um, x_um) / (radius_um * (1 + uneven))
    return np.asarray(np.clip((1 - relative_radius) * radius_um / pixel_um + 0.5, 0, 1)), relative_radius


def _grains(shape: tuple[int, ...], size_um: float, pixel_um: float, rng: np.random.Generator) -> Array:
    """Return smooth noise of mean 0 and deviation 1 whose grains have a size."""
    noise = ndimage.gaussian_filter(rng.standard_normal(shape, dtype=np.float32), size_um / pixel_um)
    return np.asarray((noise - noise.mean()) / (noise.std() + 1e-6))


def _dye(amount: Array, optical_density: tuple[float, float, float]) -> Array:
    return np.asarray(amount[..., None] * np.asarray(optical_density, np.float32))
