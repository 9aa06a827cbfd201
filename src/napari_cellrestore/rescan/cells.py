"""White cells of a stained scan: a range of colours, then what hangs together (Wulff 2022, section 3.1.3 and A.1.1)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from skimage.color import rgb2hsv
from skimage.measure import label, regionprops
from skimage.morphology import isotropic_closing

from napari_cellrestore.segment import Nucleus

#: Violet of a Romanowsky stain: hue in degrees around the circle of colours, saturation and value from 0 to 1.
HUE_DEG, SATURATION, VALUE = (220.0, 310.0), (0.2, 1.0), (0.1, 0.95)
#: Area of a nucleus, or of violet cell where cytoplasm is violet too: platelets are smaller, clumps larger.
SMALLEST_UM2, LARGEST_UM2 = 15.0, 400.0
#: Radius of the closing: lobes of one nucleus that lie less than twice as far apart become one.
CLOSING_UM = 0.8

Range = tuple[float, float]


def find_white_cells(
    image: npt.ArrayLike,
    pixel_um: float,
    *,
    hue_deg: Range = HUE_DEG,
    saturation: Range = SATURATION,
    value: Range = VALUE,
    smallest_um2: float = SMALLEST_UM2,
    largest_um2: float = LARGEST_UM2,
    closing_um: float = CLOSING_UM,
) -> tuple[list[Nucleus], list[Nucleus]]:
    """Return the white cells of a stained image, and what is too large for one; each in the order of rows.

    Pixels within the three ranges, closed by a disc, in connected components. A component is one cell: nuclei that
    touch are not parted, as any rule that parts them would cut up the lobed nuclei of neutrophils, the commonest
    white cells. What is more than one cell by its size is returned apart.

    Parameters
    ----------
    image : (Y, X, 3) array
        RGB of 8 or 16 bit, or float from 0 to 1.
    pixel_um : float
        Pixel size.
    hue_deg : (float, float)
        From 0 to 360, red is 0, green 120, blue 240. With the first above the second the range goes through red.
    saturation, value : (float, float)
        From 0 to 1.
    smallest_um2, largest_um2 : float
        Areas; smaller components, such as platelets, are left out.
    closing_um : float
        Radius of the disc.

    Returns
    -------
    cells, too_large : list of Nucleus
        ``centroid_um`` and ``area_um2`` are set.

    Notes
    -----
    Wulff 2022 chose ranges by eye and does not state them, nor sizes. The defaults were measured on 30 smears of one
    laboratory; another stain or lamp wants its own.

    Examples
    --------
    >>> smear = np.full((64, 64, 3), 230, np.uint8)
    >>> smear[10:30, 20:44] = 90, 50, 150
    >>> cells, too_large = find_white_cells(smear, 0.25)
    >>> cells[0].centroid_px, cells[0].area_um2, too_large
    ((19.5, 31.5), 30.0, [])
    """
    colours = np.asarray(image)
    if colours.ndim != 3 or colours.shape[-1] not in (3, 4):
        raise ValueError(f"the stained scan has shape {colours.shape}: white cells are found by colour, give (Y, X, 3)")
    if not (np.isfinite(pixel_um) and pixel_um > 0 and 0 <= smallest_um2 < largest_um2 and closing_um >= 0):
        raise ValueError(
            f"pixel_um {pixel_um}, areas {smallest_um2} to {largest_um2} um2, closing_um {closing_um}: give a positive "
            "pixel size, a range of areas and a radius"
        )
    violet = _within(colours[..., :3], hue_deg, saturation, value)
    if closing_um >= pixel_um:
        violet = isotropic_closing(violet, closing_um / pixel_um)
    found = [region for region in regionprops(label(violet)) if region.area * pixel_um**2 >= smallest_um2]
    nuclei = [_nucleus(region, colours.shape, pixel_um) for region in found]
    fits = [nucleus.area_px * pixel_um**2 <= largest_um2 for nucleus in nuclei]
    return (
        [nucleus for nucleus, fit in zip(nuclei, fits, strict=True) if fit],
        [nucleus for nucleus, fit in zip(nuclei, fits, strict=True) if not fit],
    )


def _within(rgb: npt.NDArray[np.generic], hue_deg: Range, saturation: Range, value: Range) -> npt.NDArray[np.bool_]:
    hsv = rgb2hsv(rgb) * np.array([360.0, 1.0, 1.0])
    inside = np.ones(hsv.shape[:2], bool)
    for levels, (low, high) in zip(np.moveaxis(hsv, -1, 0), (hue_deg, saturation, value), strict=True):
        inside &= (low <= levels) & (levels <= high) if low <= high else (low <= levels) | (levels <= high)
    return inside


def _nucleus(region: Any, shape: tuple[int, ...], pixel_um: float) -> Nucleus:
    top, left, bottom, right = (int(edge) for edge in region.bbox)
    y, x = (float(at) for at in region.centroid)
    area = float(region.area)
    cut = top == 0 or left == 0 or bottom == shape[0] or right == shape[1]
    centroid_um = y * pixel_um, x * pixel_um
    return Nucleus((y, x), area, (top, left, bottom, right), cut, centroid_um, area * pixel_um**2)


def said(hue_deg: Range = HUE_DEG, saturation: Range = SATURATION, value: Range = VALUE) -> str:
    """Return the ranges of colours for a message.

    >>> said()
    'hue 220 to 310 deg, saturation 0.2 to 1, value 0.1 to 0.95'
    """
    ranges = {"hue": (hue_deg, " deg"), "saturation": (saturation, ""), "value": (value, "")}
    return ", ".join(f"{name} {low:g} to {high:g}{unit}" for name, ((low, high), unit) in ranges.items())
