"""A field of blood cells that is known: unstained, stained, and which cell is where."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from napari_cellrestore.simulate import materials
from napari_cellrestore.simulate.blood_cells import WHITE_CELLS, DrawnCell, meet, platelet, red_cell
from napari_cellrestore.simulate.shapes import Grid, grains

Array = np.ndarray


@dataclass(frozen=True)
class BloodCell:
    """A cell of the field.

    Parameters
    ----------
    label : int
        Its number in the maps of the field.
    kind : str
        ``"red"``, ``"platelet"`` or a class of white cells.
    centre_um : (float, float)
        Y and X from the middle of the first pixel; may lie outside the field.
    radius_um : float
        Of the circle that holds it.
    lobes : int
        Of its nucleus; 0 without one.
    whole : bool
        Whether the border leaves it whole.
    """

    label: int
    kind: str
    centre_um: tuple[float, float]
    radius_um: float
    lobes: int
    whole: bool

    @property
    def white(self) -> bool:
        """Whether it is a white cell."""
        return self.kind in WHITE_CELLS


@dataclass(frozen=True, eq=False)
class BloodPhantom:
    """A field of blood cells, as thickness of what they are made of, and the truth about it.

    Parameters
    ----------
    thickness_um : mapping of str to (Y, X) array
        Of each of :data:`napari_cellrestore.simulate.materials.MATERIALS`.
    pixel_um : float
    labels, nuclei : (Y, X) int32 array
        Number of the cell, and of the cell whose nucleus, that is at each pixel; 0 where none is.
    cells : tuple of BloodCell
        Those seen, by label. Where red cells lie on each other the pixel is of the first.
    """

    thickness_um: Mapping[str, Array]
    pixel_um: float
    labels: Array
    nuclei: Array
    cells: tuple[BloodCell, ...]

    @property
    def white_cells(self) -> tuple[BloodCell, ...]:
        """The white cells."""
        return tuple(cell for cell in self.cells if cell.white)

    def crop(self, rows: slice, columns: slice, step: int = 1) -> BloodPhantom:
        """Return a part of the field, every ``step``-th pixel of it, with the cells seen there; labels stay.

        Examples
        --------
        >>> field = blood_phantom((128, 128), 0.2, seed=1)
        >>> field.crop(slice(0, 64), slice(0, 64), step=2).labels.shape
        (32, 32)
        """
        where = slice(rows.start, rows.stop, step), slice(columns.start, columns.stop, step)
        labels = self.labels[where]
        corner_um = np.array([(w.start or 0) * self.pixel_um for w in where])
        last_um = (np.array(labels.shape) - 1) * self.pixel_um * step
        seen = set(np.unique(labels).tolist())
        cells = []
        for cell in self.cells:
            y, x = (float(place) for place in np.subtract(cell.centre_um, corner_um))
            if cell.label in seen:
                cells.append(replace(cell, centre_um=(y, x), whole=_whole((y, x), cell.radius_um, last_um)))
        thickness = {name: part[where] for name, part in self.thickness_um.items()}
        return BloodPhantom(thickness, self.pixel_um * step, labels, self.nuclei[where], tuple(cells))

    def transmission(self, wavelengths_um: Sequence[float] = (0.62, 0.53, 0.47)) -> Array:
        """Complex amplitude that the unstained field lets through, (Y, X, S) complex64, one for each wavelength."""
        return materials.unstained(self.thickness_um, wavelengths_um)

    def stained(self) -> Array:
        """Share of red, green and blue light that the stained field lets through, (Y, X, 3) float32, no lens between."""
        return materials.stained(self.thickness_um)


def blood_phantom(
    shape: tuple[int, int],
    pixel_um: float,
    *,
    seed: int,
    white_per_mm2: float = 16.0,
    shares: Mapping[str, float] | None = None,
    red_coverage: float = 0.4,
) -> BloodPhantom:
    """Draw a random field of red cells, white cells of five classes and platelets, where they lie in one layer.

    Each cell is drawn once, as thickness of haemoglobin, cytoplasm, chromatin and granules; ``transmission`` reads it as
    refraction and absorption, ``stained`` as dyes. Sizes, proportions and shapes by class:
    :data:`napari_cellrestore.simulate.blood_cells.WHITE_CELLS`. Red cells are discs of 7 to 8 um (Evans & Fung 1972),
    platelets 2 to 3 um, one for 20 red cells. White cells touch nothing, red cells may overlap a little; all may be
    cut by the border.

    Parameters
    ----------
    shape : (int, int)
        Rows and columns.
    pixel_um : float
        Pixel size; 0.15 um or less shows granules.
    seed : int
        One seed is one field.
    white_per_mm2 : float
        White cells. 16 is about normal blood, 1 for 600 red cells; training wants hundreds to 1500.
    shares : mapping of str to float, optional
        Proportions of the classes of white cells, of any sum; a class that is left out does not occur. Those of normal
        blood if not given.
    red_coverage : float
        Share of the area left by white cells that red cells cover, 0 to 0.5.

    Raises
    ------
    ValueError
        Numbers out of range, unknown classes, more white cells than there is room for.

    Examples
    --------
    >>> field = blood_phantom((256, 256), 0.2, seed=1, white_per_mm2=1000, shares={"monocyte": 1})
    >>> sorted({cell.kind for cell in field.cells}), {cell.lobes for cell in field.white_cells}
    (['monocyte', 'red'], {1})
    >>> retarded = np.angle(field.transmission())
    >>> bool(retarded[field.labels == 0].mean() < 0.1 < 0.5 < retarded[field.nuclei > 0].mean())
    True
    """
    shares = _check(shape, pixel_um, white_per_mm2, shares, red_coverage)
    rng = np.random.default_rng(seed)
    film = np.clip(0.3 + 0.05 * _film(shape, pixel_um, rng), 0, None)
    thickness = {name: np.zeros(shape, np.float32) for name in materials.MATERIALS} | {"plasma": film}
    labels, nuclei = np.zeros(shape, np.int32), np.zeros(shape, np.int32)
    cells: list[BloodCell] = []
    size_um = np.asarray(shape) * pixel_um
    for kind, centre, radius, lobes in list(_scatter(size_um, white_per_mm2, shares, red_coverage, rng)):
        first = np.floor((centre - radius) / pixel_um).astype(int)
        last = np.ceil((centre + radius) / pixel_um).astype(int) + 1
        window = tuple(slice(max(a, 0), max(min(b, n), 0)) for a, b, n in zip(first, last, shape, strict=True))
        y_um, x_um = (np.arange(w.start, w.stop) * pixel_um - c for w, c in zip(window, centre, strict=True))
        if not (len(y_um) and len(x_um)):
            continue
        drawn = _draw(kind, Grid(y_um, x_um, pixel_um), radius, lobes, rng)
        if not drawn.body.any():
            continue
        label = len(cells) + 1
        for name, part in drawn.thickness_um.items():
            thickness[name][window] += part.astype(np.float32)
        free = drawn.body & (labels[window] == 0)
        labels[window][free] = label
        nuclei[window][drawn.nucleus] = label
        whole = _whole(centre, radius, size_um - pixel_um)
        cells.append(BloodCell(label, kind, (float(centre[0]), float(centre[1])), radius, drawn.lobes, whole))
    return BloodPhantom(thickness, pixel_um, labels, nuclei, tuple(cells))


def _draw(kind: str, grid: Grid, radius_um: float, lobes: int, rng: np.random.Generator) -> DrawnCell:
    if kind in WHITE_CELLS:
        return WHITE_CELLS[kind].draw(grid, radius_um, lobes, rng)
    return (red_cell if kind == "red" else platelet)(grid, radius_um, rng)


def _scatter(
    size_um: Array, white_per_mm2: float, shares: Mapping[str, float], red_coverage: float, rng: np.random.Generator
) -> Iterator[tuple[str, Array, float, int]]:
    """Yield kind, centre, radius and lobes of cells at places that keep clear of each other, white ones first.

    Centres lie up to a cell's radius beyond the border, so that the border cuts cells as it cuts a larger field.
    """
    margin_um = 10.0  # the radius of the largest
    area_um2 = float(np.prod(size_um + 2 * margin_um))
    white = int(white_per_mm2 * 1e-6 * area_um2 + rng.random())
    places = _Places(size_um, margin_um)
    names = list(shares)
    white_um2 = 0.0
    for name in rng.choice(names, white, p=[shares[name] for name in names]).tolist():
        radius, lobes = meet(name, rng)
        centre = places.find(radius, 1000, rng)
        if centre is None:
            raise ValueError(
                f"no room for {white} white cells on {size_um[0]:g} x {size_um[1]:g} um: ask for fewer than "
                f"{white_per_mm2:g} per mm2"
            )
        white_um2 += np.pi * radius**2
        yield name, centre, radius, lobes
    red = int(red_coverage * (area_um2 - white_um2) / (np.pi * 3.75**2))
    for number in range(red + red // 20):
        kind, radius = ("red", rng.uniform(3.5, 4.0)) if number < red else ("platelet", rng.uniform(1.0, 1.5))
        centre = places.find(radius, 100, rng, overlap_um=0.25 if kind == "red" else 0.0)
        if centre is not None:
            yield kind, centre, radius, 0


def _whole(centre_um: Sequence[float] | Array, radius_um: float, last_um: Array) -> bool:
    """Return whether a circle touches no pixel of the border, the last of which is ``last_um`` from the first."""
    centre = np.asarray(centre_um)
    return bool((centre >= radius_um).all() and (centre <= last_um - radius_um).all())


class _Places:
    """Circles that lie beside each other."""

    def __init__(self, size_um: Array, margin_um: float) -> None:
        self._size_um, self._margin_um = size_um, margin_um
        self._taken = np.empty((0, 4))  # y, x, radius, how far others may reach into it

    def find(self, radius_um: float, tries: int, rng: np.random.Generator, overlap_um: float = 0.0) -> Array | None:
        """Take a place for a circle; None if none was free. Those that both allow an overlap may lie on each other."""
        y, x, radii, overlaps = self._taken.T
        for centre in rng.uniform(-self._margin_um, self._size_um + self._margin_um, (tries, 2)):
            if (np.hypot(y - centre[0], x - centre[1]) >= radii + radius_um - np.minimum(overlaps, overlap_um)).all():
                self._taken = np.vstack([self._taken, [*centre, radius_um, overlap_um]])
                return np.asarray(centre)
        return None


def _film(shape: tuple[int, int], pixel_um: float, rng: np.random.Generator) -> Array:
    """Dried plasma between the cells, uneven over several micrometres."""
    y_um, x_um = (np.arange(n) * pixel_um for n in shape)
    return np.asarray(grains(Grid(y_um, x_um, pixel_um), 3.0, rng), np.float32)


def _check(
    shape: tuple[int, int], pixel_um: float, white_per_mm2: float, shares: Mapping[str, float] | None, coverage: float
) -> dict[str, float]:
    if len(shape) != 2 or min(shape) < 1 or not (np.isfinite(pixel_um) and pixel_um > 0):
        raise ValueError(f"shape {shape} with pixels of {pixel_um} um: give (rows, columns) and a positive size")
    if not (np.isfinite(white_per_mm2) and white_per_mm2 >= 0 and 0 <= coverage <= 0.5):
        raise ValueError(
            f"white_per_mm2 is {white_per_mm2} and red_coverage {coverage}: give a number of cells, and a share of the "
            "area from 0 to 0.5"
        )
    shares = {name: kind.share for name, kind in WHITE_CELLS.items()} if shares is None else dict(shares)
    if unknown := sorted(set(shares) - set(WHITE_CELLS)):
        raise ValueError(f"shares of {', '.join(unknown)}: the classes are {', '.join(WHITE_CELLS)}")
    total = sum(shares.values())
    if not (total > 0 and min(shares.values()) >= 0):
        raise ValueError(f"shares are {shares}: give proportions that are not negative, one of them positive")
    return {name: share / total for name, share in shares.items()}
