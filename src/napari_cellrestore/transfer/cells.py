"""The white cells of an image, by their nuclei: where they are, how large, of which shape."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from skimage.measure import regionprops

from napari_cellrestore.nuclei import stained_nuclei
from napari_cellrestore.nuclei.finding import LARGEST_UM2, SMALLEST_UM2
from napari_cellrestore.rescan.looks import steepness
from napari_cellrestore.segment import find_nuclei
from napari_cellrestore.transfer.planes import Levels, Plane, reduced

Array = npt.NDArray[np.float64]

#: Pixel in which cells are looked for and compared; a nucleus is about 20 of them across.
COARSE_UM = 0.4
#: Median area of nuclei as a threshold finds them: where no pixel size is known, it gives one to look for cells with.
USUAL_NUCLEUS_UM2 = 80.0
#: How much wider the limits of area are then.
WIDER = 3.0
#: How much the descriptors of one nucleus differ between two stains, as standard deviations: log area, log compactness
#: (perimeter squared over area), elongation.
SPREADS = (0.20, 0.20, 0.08)
#: That of the log area where the edge of an image cuts one of the nuclei off; its shape says nothing then.
CUT_SPREAD = 0.6
#: Standard deviations of all together beyond which two nuclei are not compared.
UNLIKE = 3.0


@dataclass(frozen=True)
class Cell:
    """A white cell.

    Attributes
    ----------
    at_px : (float, float)
        Row and column of the centre of its nucleus, in pixels of the image.
    area_um2, perimeter_um : float
        Of the nucleus.
    elongation : float
        Shortest over longest axis of the ellipse of its moments.
    cut : bool
        Whether the edge of the image cuts it off: its size and shape say nothing then.
    """

    at_px: tuple[float, float]
    area_um2: float
    perimeter_um: float
    elongation: float
    cut: bool = False

    @property
    def descriptors(self) -> Array:
        """Log area, log compactness, elongation: free of colour, place and turn."""
        return np.array(
            [np.log(self.area_um2), np.log(max(self.perimeter_um, 1e-6) ** 2 / self.area_um2), self.elongation]
        )


@dataclass(frozen=True, eq=False)
class Smear:
    """An image on coarse pixels, with its white cells.

    Attributes
    ----------
    name : str
    working_um : float
        Pixel size that was reckoned with.
    known : bool
        Whether it is the pixel size of the image, or was estimated from its nuclei.
    coarse : (Y, X) array
        How steep luminance is, on pixels of ``coarse_um``.
    coarse_um : float
    cells : sequence of Cell
    reason : str
        Why there are none; empty where there are.
    """

    name: str
    working_um: float
    known: bool
    coarse: Levels
    coarse_um: float
    cells: Sequence[Cell] = ()
    reason: str = ""


def find_cells(plane: Plane, working_um: float, coarse_um: float) -> Smear:
    """Return the white cells of an image by :func:`~napari_cellrestore.nuclei.stained_nuclei`, on coarse pixels.

    Parameters
    ----------
    plane : Plane
    working_um : float
        Pixel size, or what :func:`working_pixel_um` takes for it.
    coarse_um : float
        Pixel on which cells are looked for, so that those of two microscopes are described alike; not below
        ``working_um``.
    """
    factor = coarse_um / working_um
    look = steepness(reduced(plane.look(), factor), coarse_um)
    smear = Smear(plane.name, working_um, plane.pixel_um is not None, look, coarse_um)
    if plane.grey:
        return _without(smear, "it is grey, and white cells are found by their colour: give an image in colours")
    wider = 1.0 if smear.known else WIDER
    nuclei = stained_nuclei(
        reduced(plane.pixels, factor),
        pixel_um=coarse_um,
        smallest_um2=SMALLEST_UM2 / wider,
        largest_um2=LARGEST_UM2 * wider,
    )
    if nuclei.doubt:
        return _without(smear, f"no white cell found: {nuclei.doubt}")
    cells = [_cell(region, nuclei.labels.shape, coarse_um, factor) for region in regionprops(nuclei.labels)]
    if not cells:
        missed = [f"{n} too {what}" for n, what in ((nuclei.too_small, "small"), (nuclei.too_large, "large")) if n]
        return _without(smear, "no white cell found" + (f": violet parts are {', '.join(missed)}" if missed else ""))
    return Smear(smear.name, working_um, smear.known, look, coarse_um, cells)


def working_pixel_um(planes: Iterable[Plane]) -> float:
    """Return a pixel size to look for cells with, where it is not known: from the nuclei of the images.

    ``sqrt(80 um2 / median area in pixels)`` of those that have at least a third of the area of the largest of their image:
    smaller ones are lobes and platelets. It may be wrong by half, and is never written anywhere.
    """
    areas: list[float] = []
    for plane in planes:
        nuclei = [] if plane.grey else find_nuclei(plane.pixels, min_area_px=30)
        areas += [nucleus.area_px for nucleus in nuclei if nucleus.area_px >= nuclei[0].area_px / 3]
    return float(np.sqrt(USUAL_NUCLEUS_UM2 / np.median(areas))) if areas else 0.1


def unlikeness(cell: Cell, others: Sequence[Cell]) -> Array:
    """Return by how many standard deviations the descriptors of other cells (N,) differ from those of one.

    Examples
    --------
    >>> cell = Cell((0, 0), 60.0, 30.0, 0.9)
    >>> unlikeness(cell, [cell, Cell((0, 0), 60.0 * np.exp(0.2), 30.0 * np.exp(0.1), 0.82)]).round(6).tolist()
    [0.0, 1.414214]
    """
    apart = np.array([other.descriptors for other in others]).reshape(-1, 3) - cell.descriptors
    cut = np.array([cell.cut or other.cut for other in others], bool)
    return np.where(cut, np.abs(apart[:, 0]) / CUT_SPREAD, np.linalg.norm(apart / SPREADS, axis=1))


def _without(smear: Smear, reason: str) -> Smear:
    return Smear(smear.name, smear.working_um, smear.known, smear.coarse, smear.coarse_um, (), reason)


def _cell(region: Any, shape: tuple[int, ...], coarse_um: float, factor: float) -> Cell:
    y, x = (float(at) * factor for at in region.centroid)
    top, left, bottom, right = region.bbox
    cut = bool(top == 0 or left == 0 or bottom == shape[0] or right == shape[1])
    elongation = float(region.axis_minor_length / max(region.axis_major_length, 1e-6))
    return Cell((y, x), float(region.area) * coarse_um**2, float(region.perimeter_crofton) * coarse_um, elongation, cut)
