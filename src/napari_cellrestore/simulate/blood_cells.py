"""The cells of blood, drawn one at a time as thicknesses of their materials."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from napari_cellrestore.simulate.shapes import Grid, bow, disc, dome, grains, outline, rod, spheres, spread

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class DrawnCell:
    """Thickness of materials in um, and the truth: where the cell and its nucleus are, and how many lobes that has."""

    thickness_um: dict[str, Array]
    body: Array
    nucleus: Array
    lobes: int = 0


@dataclass(frozen=True)
class CellKind:
    """How often a white cell is met, how large it is, how many lobes its nucleus has, and how it is drawn.

    Parameters
    ----------
    share : float
        Of all white cells.
    diameter_um : tuple of (float, float, float)
        Smallest and largest diameter on a film, and how often that range is met.
    lobes : mapping
        Number of lobes of the nucleus to how often it is met.
    draw : callable
        ``draw(grid, radius_um, lobes, rng) -> DrawnCell``
    """

    share: float
    diameter_um: tuple[tuple[float, float, float], ...]
    lobes: Mapping[int, float]
    draw: Callable[[Grid, float, int, np.random.Generator], DrawnCell]


def red_cell(grid: Grid, radius_um: float, rng: np.random.Generator) -> DrawnCell:
    """Draw a biconcave disc, a little oval, unevenly filled."""
    relative = outline(grid, radius_um, rng, uneven=0.02, stretch=rng.uniform(1, 1.12), turn=rng.uniform(0, np.pi))
    filled = disc(relative, radius_um) * (1 + 0.03 * grains(grid, 0.5, rng))
    return DrawnCell({"haemoglobin": filled}, relative < 1, np.zeros(grid.shape, bool))


def platelet(grid: Grid, radius_um: float, rng: np.random.Generator) -> DrawnCell:
    """Draw a small body with granules in its middle."""
    relative = outline(grid, radius_um, rng, uneven=0.12, stretch=rng.uniform(1, 1.4), turn=rng.uniform(0, np.pi))
    granules = _granules(grid, relative / 0.75, 8, 0.7 * radius_um, (0.2, 0.3), rng)
    thickness = {"basic cytoplasm": dome(relative, 0.7), "azure granules": granules}
    return DrawnCell(thickness, relative < 1, np.zeros(grid.shape, bool))


def neutrophil(grid: Grid, radius_um: float, lobes: int, rng: np.random.Generator) -> DrawnCell:
    """Draw lobes along a bow, joined by thin bridges, in pale plasm with fine granules."""
    body = outline(grid, radius_um, rng, uneven=0.03)
    nucleus = _lobed(grid, radius_um, lobes, 0.60 * radius_um / np.sqrt(lobes), 1.25, rng)
    chromatin = _chromatin(grid, nucleus, 2.4, 0.45, 0.16, rng)
    granules = _granules(grid, body, 260, radius_um, (0.12, 0.18), rng, beside=nucleus)
    return _cell(body, nucleus, chromatin, {"acid cytoplasm": 1.0}, 2.2, lobes, {"azure granules": granules})


def eosinophil(grid: Grid, radius_um: float, lobes: int, rng: np.random.Generator) -> DrawnCell:
    """Draw a nucleus of round lobes in plasm packed with large granules."""
    body = outline(grid, radius_um, rng, uneven=0.02)
    nucleus = _lobed(grid, radius_um, lobes, 0.55 * radius_um / np.sqrt(lobes), 1.1, rng)
    chromatin = _chromatin(grid, nucleus, 2.2, 0.4, 0.15, rng)
    granules = _granules(grid, body, 380, radius_um, (0.35, 0.5), rng, beside=nucleus)
    return _cell(body, nucleus, chromatin, {"acid cytoplasm": 1.0}, 2.0, lobes, {"eosin granules": granules})


def basophil(grid: Grid, radius_um: float, lobes: int, rng: np.random.Generator) -> DrawnCell:
    """Draw a pale nucleus half hidden by large dark granules of all sizes."""
    body = outline(grid, radius_um, rng, uneven=0.03)
    nucleus = _lobed(grid, radius_um, lobes, 0.58 * radius_um / np.sqrt(lobes), 1.3, rng)
    chromatin = _chromatin(grid, nucleus, 1.6, 0.5, 0.15, rng)
    granules = _granules(grid, body, 85, radius_um, (0.3, 0.6), rng)
    return _cell(body, nucleus, chromatin, {"acid cytoplasm": 1.0}, 2.0, lobes, {"basic granules": granules})


def lymphocyte(grid: Grid, radius_um: float, lobes: int, rng: np.random.Generator) -> DrawnCell:
    """Draw a dense round nucleus, a little out of the middle; the larger the cell the more plasm beside it."""
    body = outline(grid, radius_um, rng, uneven=0.03)
    nucleus_um = radius_um * np.clip(rng.normal(0.88 - 0.06 * (radius_um - 4), 0.03), 0.6, 0.93)
    away, turn = rng.uniform(0.2, 0.9) * (radius_um - nucleus_um), rng.uniform(0, 2 * np.pi)
    centre = away * np.sin(turn), away * np.cos(turn)
    nucleus = outline(grid, nucleus_um, rng, centre_um=centre, uneven=0.04, stretch=rng.uniform(1, 1.15), turn=turn)
    chromatin = _chromatin(grid, nucleus, 2.8, 0.6, 0.14, rng)
    granules = _granules(grid, body, int(rng.integers(0, 4)), radius_um, (0.2, 0.3), rng, beside=nucleus)
    return _cell(body, nucleus, chromatin, {"basic cytoplasm": 1.0}, 1.8, lobes, {"azure granules": granules})


def monocyte(grid: Grid, radius_um: float, lobes: int, rng: np.random.Generator) -> DrawnCell:
    """Draw a large kidney of loose chromatin in much grey plasm with dust and bubbles."""
    body = outline(grid, radius_um, rng, uneven=0.05, stretch=rng.uniform(1, 1.1), turn=rng.uniform(0, np.pi))
    turn, bend = rng.uniform(0, 2 * np.pi), rng.uniform(0.36, 0.44) * radius_um
    centre = -0.22 * radius_um * np.sin(turn), -0.22 * radius_um * np.cos(turn)
    waves = 1 + 0.06 * grains(grid, 1.2, rng)
    nucleus = bow(grid, centre, bend, rng.uniform(1.2, 1.6), turn, rng.uniform(0.27, 0.32) * radius_um) * waves
    chromatin = _chromatin(grid, nucleus, 1.8, 0.45, 0.15, rng)
    granules = _granules(grid, body, 120, radius_um, (0.10, 0.15), rng, beside=nucleus)
    bubbles = _granules(grid, body, int(rng.integers(2, 9)), radius_um, (0.3, 0.6), rng, beside=nucleus)
    plasm = {"acid cytoplasm": 0.5, "basic cytoplasm": 0.5}
    return _cell(body, nucleus, chromatin, plasm, 2.2, lobes, {"azure granules": granules}, bubbles)


#: Shares within the ranges of Wulff 2022 (1.1.1): neutrophils 50 to 75 %, lymphocytes 20 to 40, monocytes 3 to 11,
#: eosinophils below 5, basophils below 1. Diameters, and two lobes of eosinophils: WHO 2003, Manual of basic techniques
#: for a health laboratory, chapter 9 (of monocytes, 15 to 25 um there, the smaller half). Lobes of neutrophils: Bain
#: 2015, Blood Cells, chapter 3, after Arneth.
WHITE_CELLS: Mapping[str, CellKind] = {
    "neutrophil": CellKind(0.62, ((12, 15, 1),), {2: 0.28, 3: 0.47, 4: 0.20, 5: 0.05}, neutrophil),
    "lymphocyte": CellKind(0.28, ((7, 10, 0.85), (10, 15, 0.15)), {1: 1.0}, lymphocyte),
    "monocyte": CellKind(0.07, ((15, 20, 1),), {1: 1.0}, monocyte),
    "eosinophil": CellKind(0.025, ((12, 15, 1),), {2: 0.85, 3: 0.15}, eosinophil),
    "basophil": CellKind(0.005, ((11, 13, 1),), {2: 0.7, 3: 0.3}, basophil),
}


def _lobed(grid: Grid, cell_um: float, lobes: int, lobe_um: float, stretch: float, rng: np.random.Generator) -> Array:
    """Relative radius of the nearest lobe of a chain, or of the bridge between two."""
    centres = _chain(lobes, 1.7 * lobe_um * np.sqrt(stretch), cell_um - 1.1 * lobe_um, rng)
    # A bridge is flat as well as narrow: a dome over it is less than half as high as over a lobe.
    parts = [np.sqrt(0.8 + 0.2 * rod(grid, a, b, 0.4) ** 2) for a, b in pairwise(centres)]
    for centre, along in zip(centres, np.gradient(centres, axis=0), strict=True):
        length = lobe_um * rng.uniform(0.84, 1.12) * np.sqrt(stretch)
        turn = np.arctan2(*along) + rng.normal(0.3, 0.4)
        parts.append(outline(grid, length, rng, centre_um=centre, uneven=0.05, stretch=stretch, turn=turn))
    return np.asarray(np.min(parts, axis=0))


def _chain(links: int, step_um: float, reach_um: float, rng: np.random.Generator) -> Array:
    """Return places (links, 2), each a step from the last: a bow or an S that lies within a circle and does not cross.

    The first such of some at random; if none was, the one that fails least.
    """
    chains: list[tuple[float, int, Array]] = []
    for _ in range(40):
        bends = rng.uniform(0.4, 1.6, links) * np.where(rng.random(links) < 0.25, -1, 1)
        heading = rng.uniform(0, 2 * np.pi) + np.cumsum(bends)
        steps = step_um * rng.uniform(0.92, 1.08, (links, 1)) * np.stack([np.sin(heading), np.cos(heading)], axis=1)
        places = np.cumsum(steps, axis=0)
        places -= places.mean(axis=0)
        apart = np.hypot(*(places[:, None] - places).transpose(2, 0, 1))[np.triu_indices(links, 2)]
        excess = max(np.hypot(*places.T).max() - reach_um, step_um - apart.min(initial=np.inf), 0)
        chains.append((excess, len(chains), places))
        if excess == 0:
            break
    return min(chains)[-1]


def _chromatin(
    grid: Grid, nucleus: Array, height_um: float, clump_um: float, clumps: float, rng: np.random.Generator
) -> Array:
    return np.asarray(dome(nucleus, height_um) * np.clip(1 + clumps * grains(grid, clump_um, rng), 0.4, 1.6))


def _granules(
    grid: Grid,
    body: Array,
    number: int,
    reach_um: float,
    radii_um: tuple[float, float],
    rng: np.random.Generator,
    *,
    beside: Array | None = None,
) -> Array:
    """Thickness of granules at random places of a body, not where its nucleus is, if one is given."""
    distance, angle = reach_um * np.sqrt(rng.uniform(0, 0.95, number)), rng.uniform(0, 2 * np.pi, number)
    centres = np.stack([distance * np.sin(angle), distance * np.cos(angle)], axis=1)
    radii = rng.uniform(*radii_um, number)
    rows, columns = (np.rint((centres.T[a] - um[0]) / grid.pixel_um) for a, um in enumerate((grid.y_um, grid.x_um)))
    at = np.clip(rows, 0, grid.shape[0] - 1).astype(int), np.clip(columns, 0, grid.shape[1] - 1).astype(int)
    whole = body[at] < 1 - radii / reach_um  # none is cut by the outline
    drawn = spheres(grid, centres[whole], radii[whole]) * (body < 1)
    return drawn if beside is None else np.asarray(drawn * np.clip((beside - 0.95) / 0.1, 0, 1))


def _cell(
    body: Array,
    nucleus: Array,
    chromatin: Array,
    plasm: Mapping[str, float],
    height_um: float,
    lobes: int,
    granules: Mapping[str, Array],
    bubbles: Array | float = 0.0,
) -> DrawnCell:
    """Put a cell together: the nucleus lies in the plasm, lifts it and takes up part of its height."""
    inside = chromatin * (body < 1)
    layer = spread(body, height_um)
    layer = np.maximum(layer - 0.5 * inside - bubbles, 0.25 * layer)
    thickness = {name: share * layer for name, share in plasm.items()} | {"chromatin": inside} | dict(granules)
    return DrawnCell(thickness, body < 1, (nucleus < 1) & (body < 1), lobes)


def meet(name: str, rng: np.random.Generator) -> tuple[float, int]:
    """Return the radius in um, and the number of lobes of the nucleus, of a white cell of a class."""
    kind = WHITE_CELLS[name]
    low, high, _ = kind.diameter_um[rng.choice(len(kind.diameter_um), p=[often for *_, often in kind.diameter_um])]
    lobes = int(rng.choice(list(kind.lobes), p=list(kind.lobes.values())))
    return float(rng.uniform(low, high) / 2), lobes
