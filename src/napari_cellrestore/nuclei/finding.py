"""Nuclei in the image of a May-Grünwald-Giemsa, Wright or alike stain, by their colour."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.color import rgb2hsv
from skimage.filters import gaussian, threshold_otsu
from skimage.measure import label

from napari_cellrestore.nuclei.lobes import count_lobes
from napari_cellrestore.nuclei.others import unlike_others
from napari_cellrestore.stack import ImageStack

Array = np.ndarray

#: Areas of nuclei: platelets are smaller, clumps and folds of the film larger.
SMALLEST_UM2, LARGEST_UM2 = 15.0, 400.0
#: Parts of one colour that lie nearer than this are one nucleus.
GAP_UM = 1.5
#: Between these the threshold adapts, in units of optical density.
THRESHOLD = (0.10, 0.18)
#: Above this the colour is violet at all: what Otsu's threshold is measured on.
VIOLET = 0.05
#: Hues that Romanowsky stains do not make dark, in degrees: yellow, green, light blue.
FOREIGN_HUE_DEG = (60.0, 215.0)
#: Mean optical density and saturation from which such a part counts.
FOREIGN_DENSITY, FOREIGN_SATURATION = 0.1, 0.15
#: Nuclei are the darkest of what is coloured: so much of it is looked at.
DARKEST_PERCENT = 10.0
#: Share of violet below which the stain is doubtful.
SURE = 0.5
#: Light that most of a stained image lets pass, at least; what shines on black lets less.
LIGHT = 0.2

_WHITE_PERCENT = 98.0  # brighter than nearly all is the slide without cells
_SMOOTH_UM = 0.25
_CRUMB_UM2 = 2.0  # smaller parts are granules or noise


@dataclass(frozen=True, eq=False)
class Nuclei:
    """The nuclei of an image; row ``i`` of each column is the nucleus of label ``i + 1``.

    Attributes
    ----------
    labels : (Y, X) int32 array
        0 outside of nuclei.
    pixel_um : float
        Pixel size.
    centres_um : (N, 2) array
        Row and column of the centre of gravity; the centre of the first pixel is 0.
    area_um2 : (N,) array
        Of the pixels.
    lobes : (N,) int array
        See :func:`count_lobes`.
    too_small, too_large : int
        Violet parts beyond the limits of area, which are not among the nuclei.
    like_others : int
        Violet parts of the colour of the other cells of the image, which are not among the nuclei: purple red cells.
    confidence : float
        From 0 to 1: the share of violet in what is violet, blue, green or yellow and not pale, or in the darkest tenth of
        that, whichever is less; 1 where nothing is.
    doubt : str
        Why the nuclei are not to be believed, "" where they are.
    """

    labels: Array
    pixel_um: float
    centres_um: Array
    area_um2: Array
    lobes: Array
    too_small: int = 0
    too_large: int = 0
    like_others: int = 0
    confidence: float = 1.0
    doubt: str = ""

    def __len__(self) -> int:
        return len(self.area_um2)

    @property
    def table(self) -> list[dict[str, float]]:
        """One row for each nucleus: label, y_um, x_um, area_um2, lobes."""
        return [
            {"label": row + 1, "y_um": float(y), "x_um": float(x), "area_um2": float(area), "lobes": int(lobes)}
            for row, ((y, x), area, lobes) in enumerate(zip(self.centres_um, self.area_um2, self.lobes, strict=True))
        ]


def stained_nuclei(
    image: npt.ArrayLike | ImageStack,
    *,
    pixel_um: float | None = None,
    smallest_um2: float = SMALLEST_UM2,
    largest_um2: float = LARGEST_UM2,
    gap_um: float = GAP_UM,
) -> Nuclei:
    """Find the nuclei of white cells in a stained image.

    A nucleus takes away green and lets blue pass; haemoglobin takes both, cytoplasm little of either. With the optical
    density ``D = -log10(I / I_white)`` of each colour, ``I_white`` the grey level that 98 % of the pixels do not exceed,
    smoothed by 0.25 um, a pixel belongs to a nucleus where::

        D_green - D_blue > t,    t = Otsu's threshold of all pixels above 0.05, but not below 0.10 nor above 0.18

    and its hue is not between 60 and 215 degrees (yellow, green, light blue). So pale stains and pale cytoplasm are told
    apart, and an image without nuclei has none. Parts nearer than
    ``gap_um`` are one nucleus with several lobes; then those beyond the limits of area are left out, and those whose mean
    colour is one of the other cells (:func:`~napari_cellrestore.nuclei.others.unlike_others`).

    On 76 smears of one laboratory all 79 white cells were found, 4 of them in two pieces, and 2 other things; of 65
    drawn nuclei (0.1 to 0.3 um pixels) all, the pixels with a Dice of 0.93 (median).

    Parameters
    ----------
    image : (Y, X, 3) or (Y, X, 4) array, or ImageStack of axes YXS
        RGB of any type, 0 is no light.
    pixel_um : float
        Pixel size; of an ImageStack the default is its own. With 1 all lengths and areas are in pixels.
    smallest_um2, largest_um2 : float
        Limits of the area.
    gap_um : float
        See above. Lobes of one cell lie nearer, nuclei of two cells farther, unless these are crowded.

    Raises
    ------
    ValueError
        Grey images, no pixel size, limits that cannot be, pixels that are not finite.

    Notes
    -----
    Wulff 2022 (3.1.3) uses ranges of hue, saturation and value chosen by eye and does not state them.
    :func:`napari_cellrestore.segment.find_nuclei` parts any image at a threshold; this one also tells that there is none.

    Examples
    --------
    >>> smear = np.full((80, 80, 3), 230, np.uint8)
    >>> smear[20:40, 20:44] = 90, 50, 150
    >>> nuclei = stained_nuclei(smear, pixel_um=0.25)
    >>> len(nuclei), nuclei.lobes.tolist(), bool(25 < nuclei.area_um2[0] < 35)
    (1, [1], True)
    """
    pixels, pixel_um = _colours(image, pixel_um)
    if not (0 <= smallest_um2 < largest_um2 and gap_um >= 0):
        raise ValueError(
            f"areas {smallest_um2:g} to {largest_um2:g} um2, gap {gap_um:g} um: give the smaller area first, and 0 or more"
        )
    shown = _transmitted(pixels, pixel_um)
    density = -np.log10(shown)
    violet, foreign = density[..., 1] - density[..., 2], _foreign(shown)
    mask = (violet > _threshold(violet)) & ~foreign
    found, small, large = _grouped(mask, pixel_um, smallest_um2, largest_um2, gap_um)
    unlike = unlike_others(found, density)
    found = _numbered(unlike)[found]
    number = int(found.max())
    area = np.bincount(found.ravel(), minlength=number + 1)[1:] * pixel_um**2
    centres = np.reshape(ndimage.center_of_mass(found > 0, found, range(1, number + 1)), (-1, 2)) * pixel_um
    boxes = ndimage.find_objects(found)
    lobes = [count_lobes(found[box] == row + 1, pixel_um) for row, box in enumerate(boxes)]
    confidence = _confidence(foreign, density.mean(axis=-1), mask, _CRUMB_UM2 / pixel_um**2)
    doubt = _doubt(float(np.median(shown)), confidence)
    return Nuclei(
        found, pixel_um, centres, area, np.array(lobes, int), small, large, int((~unlike).sum()), confidence, doubt
    )


def _colours(image: npt.ArrayLike | ImageStack, pixel_um: float | None) -> tuple[Array, float]:
    if isinstance(image, ImageStack):
        pixel_um = image.pixel_um if pixel_um is None else pixel_um
        image = np.asarray(image.data)
    pixels = np.asarray(image)
    if pixels.ndim != 3 or pixels.shape[-1] not in (3, 4):
        raise ValueError(f"image has shape {pixels.shape}: nuclei are found by their colour; give (Y, X, 3), red first")
    if pixel_um is None or not (np.isfinite(pixel_um) and pixel_um > 0):
        raise ValueError(f"pixel_um is {pixel_um}: give the size of a pixel in um; with 1 all lengths are in pixels")
    if not np.isfinite(pixels).all():
        raise ValueError("image has pixels that are not finite (NaN or infinite): replace them or cut them off")
    return pixels[..., :3].astype(np.float32), float(pixel_um)


def _transmitted(pixels: Array, pixel_um: float) -> Array:
    """Return the share of light that each colour lets pass, from 1/255 to 1 and a little above."""
    white = np.percentile(pixels.reshape(-1, 3), _WHITE_PERCENT, axis=0)
    share = np.clip(pixels / np.maximum(white, 1e-9), 1 / 255, 2) if white.min() > 0 else np.ones_like(pixels)
    # of the logarithm, not of the light: dark chromatin counts as much as what is clear between
    smooth = gaussian(np.log10(share), max(_SMOOTH_UM / pixel_um, 0.7), channel_axis=-1)
    return np.asarray(np.power(10.0, smooth))


def _threshold(violet: Array) -> float:
    low, high = THRESHOLD
    some = violet[violet > VIOLET]
    if some.size < 2 or np.ptp(some) < 1e-6:
        return low
    return float(np.clip(threshold_otsu(some), low, high))


def _grouped(
    mask: Array, pixel_um: float, smallest_um2: float, largest_um2: float, gap_um: float
) -> tuple[Array, int, int]:
    """Return labels of what lies near each other and is neither too small nor too large, and how many were that."""
    parts = label(mask)
    solid = np.bincount(parts.ravel()) * pixel_um**2 >= min(_CRUMB_UM2, smallest_um2)
    solid[0] = False
    mask = solid[parts]
    if not mask.any():
        return np.zeros(mask.shape, np.int32), 0, 0
    groups = label(ndimage.distance_transform_edt(~mask) * pixel_um <= gap_um / 2) * mask
    area = np.bincount(groups.ravel()) * pixel_um**2
    small, large = (area < smallest_um2)[1:], (area > largest_um2)[1:]
    return _numbered(~(small | large))[groups], int(small.sum()), int(large.sum())


def _numbered(kept: Array) -> Array:
    """Return the new number of each label, 0 first: 1, 2, 3 of those kept, 0 of the others."""
    return np.concatenate([[0], np.where(kept, np.cumsum(kept), 0)]).astype(np.int32)


def _foreign(shown: Array) -> Array:
    """Return where the hue is none of the stain."""
    hsv = rgb2hsv(np.clip(shown, 0, 1))
    low, high = (edge / 360 for edge in FOREIGN_HUE_DEG)
    return np.asarray((hsv[..., 0] > low) & (hsv[..., 0] < high) & (hsv[..., 1] > FOREIGN_SATURATION))


def _confidence(foreign: Array, density: Array, mask: Array, crumb_px: float) -> float:
    parts = label(foreign & (density > FOREIGN_DENSITY))
    strange = (np.bincount(parts.ravel()) >= crumb_px)[parts] & (parts > 0)
    coloured = density[mask | strange]
    if not coloured.size:
        return 1.0
    darkest = density >= np.percentile(coloured, 100 - DARKEST_PERCENT)
    return min(_share(mask, strange), _share(mask & darkest, strange & darkest))


def _share(violet: Array, strange: Array) -> float:
    return float(np.count_nonzero(violet) / np.count_nonzero(violet | strange))


def _doubt(light: float, confidence: float) -> str:
    if light < LIGHT:
        return "most of the image is dark: it is no stained film in bright field, its nuclei are not known"
    if confidence >= SURE:
        return ""
    return (
        f"{100 * (1 - confidence):.0f} % of what is coloured is yellow, green or blue, not violet: another stain or another "
        "order of colours, its nuclei are not known"
    )
