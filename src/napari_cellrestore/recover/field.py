"""Kernels over the field: one for each tile of a grid."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from napari_cellrestore.recover.checks import SMALLEST, Image, cannot_tell, checked_pairs, checked_pixel_um
from napari_cellrestore.recover.pair import recover_psf
from napari_cellrestore.recover.recovery import PsfRecovery

Array = np.ndarray

#: Standard deviation over width from which a tile cannot tell.
LOOSE = 0.25


@dataclass(frozen=True, eq=False)
class FieldRecovery:
    """Kernels over the field, one for each tile of a grid.

    Attributes
    ----------
    shape : (int, int)
        Of the images, px.
    pixel_um : float
        Of the images.
    tiles : (gy, gx) object array of PsfRecovery
        None where a tile cannot tell; the reason is in ``reasons``.
    fwhm_um : (gy, gx) array
        Width of each kernel, the absolute one where the objective is known; NaN where there is none.
    fwhm_std_um : (gy, gx) array
        Standard deviation of each width, see :meth:`PsfRecovery.fwhm_std`.
    centres_px : (gy, gx, 2) array
        Row and column of the centre of each tile.
    reasons : dict
        ``{(row, column): message}`` of the tiles that cannot tell.
    """

    shape: tuple[int, int]
    pixel_um: float
    tiles: Array
    fwhm_um: Array
    fwhm_std_um: Array
    centres_px: Array
    reasons: dict[tuple[int, int], str] = field(default_factory=dict)

    @property
    def tile_px(self) -> tuple[float, float]:
        """Rows and columns of a tile; tiles differ from it by less than a pixel."""
        return self.shape[0] / self.tiles.shape[0], self.shape[1] / self.tiles.shape[1]

    @property
    def absolute(self) -> bool:
        """Whether widths are those of the absolute kernels: the optics were known."""
        return any(tile.objective is not None for tile in self.tiles.flat if tile is not None)

    @property
    def spread(self) -> str:
        """The widths in words, and how many tiles they are from."""
        known = self.fwhm_um[np.isfinite(self.fwhm_um)]
        low, median, high = np.percentile(known, (0, 50, 100))
        std = float(np.nanmedian(self.fwhm_std_um))
        return (
            f"FWHM {low:.3g} to {high:.3g} um, median {median:.3g} um, each ±{std:.2g} um, "
            f"over {known.size} of {self.tiles.size} tiles"
        )


def recover_field(
    sharp: Image,
    blurred: Image,
    pixel_um: float | None = None,
    *,
    grid: tuple[int, int] = (3, 3),
    **options: Any,
) -> FieldRecovery:
    """Recover one kernel for each tile of a grid: a tilted sample or a curved field blurs unevenly.

    Tiles do not overlap. One that cannot tell is left out with its reason: without contrast, with nothing above its
    noise, with a width that is not known within :data:`LOOSE` of it, or a kernel that reaches beyond it.

    Parameters
    ----------
    sharp, blurred : (Y, X) arrays or ImageStacks
    pixel_um : float
        Pixel size; of ImageStacks their own, if not given.
    grid : (int, int)
        Tiles down and across.
    **options
        Those of :func:`recover_psf`.

    Raises
    ------
    ValueError
        As of :func:`recover_psf`; tiles below 16 px; no tile that can tell.

    Examples
    --------
    >>> from scipy import ndimage
    >>> scene = np.random.default_rng(0).normal(100, 20, (128, 128))
    >>> blurred = np.where(np.arange(128) < 64, *(ndimage.gaussian_filter(scene, sigma) for sigma in (1.5, 3)))
    >>> found = recover_field(scene, blurred, 0.1, grid=(1, 2))
    >>> left, right = found.fwhm_um[0]
    >>> bool(abs(right / left - 2) < 0.2), found.spread[-17:]
    (True, 'over 2 of 2 tiles')
    """
    pixel_um = checked_pixel_um(sharp, blurred, pixel_um)
    ((f, g),) = checked_pairs(sharp, blurred)
    edges = _edges((f.shape[0], f.shape[1]), grid)
    tiles, width, std = np.full(grid, None), np.full(grid, np.nan), np.full(grid, np.nan)
    reasons: dict[tuple[int, int], str] = {}
    for row, column in np.ndindex(*grid):
        part = np.s_[edges[0][row] : edges[0][row + 1], edges[1][column] : edges[1][column + 1]]
        try:
            found = recover_psf(f[part], g[part], pixel_um, **options)
            width[row, column], std[row, column] = _told_width(found)
            tiles[row, column] = found
        except ValueError as error:
            reasons[row, column] = str(error)
    if len(reasons) == tiles.size:
        raise ValueError(f"no tile of the grid {grid} could be used; the first: {reasons[0, 0]}")
    centres = np.stack(np.meshgrid(*((edge[:-1] + edge[1:] - 1) / 2 for edge in edges), indexing="ij"), -1)
    return FieldRecovery((f.shape[0], f.shape[1]), pixel_um, tiles, width, std, centres, reasons)


def _edges(shape: tuple[int, int], grid: tuple[int, int]) -> list[Array]:
    """Return the first row of each tile and the end, and the same of columns."""
    if len(grid) != 2 or not all(isinstance(n, int | np.integer) and n >= 1 for n in grid):
        raise ValueError(f"grid is {grid}: give two whole numbers of tiles, down and across, 1 or more")
    most = tuple(length // SMALLEST for length in shape)
    if any(n > parts for n, parts in zip(grid, most, strict=True)):
        raise ValueError(
            f"{grid} tiles of {shape} px are smaller than {SMALLEST} px: use fewer tiles, {most[0]} x {most[1]} at most"
        )
    return [np.linspace(0, n, parts + 1).round().astype(int) for n, parts in zip(shape, grid, strict=True)]


def _told_width(found: PsfRecovery) -> tuple[float, float]:
    """Return the width of a kernel, absolute if that is known, and its deviation; ValueError where it cannot be told."""
    if message := cannot_tell(found):
        raise ValueError(message)
    widths = [(found.fwhm_um, found.fwhm_std())]
    if found.absolute_fwhm_um is not None:
        widths.append((found.absolute_fwhm_um, found.fwhm_std(absolute=True)))
    for width, std in widths:  # an absolute width leans on theory where the images tell nothing: both have to be known
        if not np.isfinite(width):
            raise ValueError("the kernel reaches beyond the tile: use fewer tiles")
        if std > LOOSE * width:
            raise ValueError(f"too little detail: its width would be {width:.2g} ± {std:.2g} um; use fewer tiles")
    return widths[-1]
