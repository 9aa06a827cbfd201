"""Simulated defocus: what a microscope would have recorded of a known image.

Everything is incoherent image formation (science of :mod:`napari_cellrestore.psf`); grey levels keep their units.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import fft, ndimage

from napari_cellrestore.objective import Objective
from napari_cellrestore.psf import blur_radius_px, incoherent_psf, otf
from napari_cellrestore.recipe import DefocusSettings
from napari_cellrestore.stack import ImageStack

Array = np.ndarray


def smear_objectives(settings: DefocusSettings | None = None) -> tuple[Objective, ...]:
    """Return the blood-smear microscope that the bundled deblurring models know, one objective for each colour.

    Oil immersion, an effective aperture between condenser and objective. Reproduces the fall of the focus measure
    with defocus of Olofsson & Wagnström 2019, table 6.1 (0.77, 0.43, 0.13 at 0.4, 0.8, 1.4 um) within 0.06.
    """
    settings = settings or DefocusSettings()
    return tuple(Objective(settings.na, wavelength, settings.immersion_index) for wavelength in settings.wavelengths_um)


@dataclass(frozen=True)
class DetectorNoise:
    """Noise of a camera in grey levels: variance ``gain * level + read_std**2``.

    ``gain`` is grey levels per photo-electron; 0.0025 is a quiet brightfield camera of 8 bit.
    """

    gain: float = 0.0025
    read_std: float = 0.0

    def __post_init__(self) -> None:
        if not (self.gain >= 0 and self.read_std >= 0):
            raise ValueError(f"gain {self.gain} and read_std {self.read_std} must not be negative")

    def add(self, image: Array, rng: np.random.Generator) -> Array:
        """Return the image with noise, float32; not rounded and not clipped."""
        std = np.sqrt(self.gain * np.maximum(image, 0) + self.read_std**2, dtype=np.float32)
        return np.asarray(image + std * rng.standard_normal(image.shape, dtype=np.float32))


def colour_objectives(objective: Objective | Sequence[Objective], image: Array) -> tuple[Objective, ...]:
    """Return one objective for each colour channel of ``image``."""
    if isinstance(objective, Objective):
        return (objective,) * (image.shape[-1] if image.ndim == 3 else 1)
    if image.ndim != 3 or len(objective) != image.shape[-1]:
        raise ValueError(
            f"{len(objective)} objectives for an image of shape {image.shape}: give one, or one for each colour (Y, X, C)"
        )
    return tuple(objective)


def defocus(
    image: Array,
    pixel_um: float,
    objective: Objective | Sequence[Objective],
    defocus_um: float | Sequence[float],
    *,
    edges: str = "reflect",
) -> Array:
    """Blur an image by the incoherent point-spread function of a defocus.

    ``g = f * k_z`` with ``k_z`` from :func:`napari_cellrestore.psf.incoherent_psf`. The image is taken as the
    object itself; ``defocus_um=0`` filters it with the in-focus function (Werth & Matlock 2018, section 3.2).

    Parameters
    ----------
    image : (Y, X) or (Y, X, C) array
        Grey levels in any unit.
    pixel_um : float
        Pixel size.
    objective : Objective or one for each colour
        One wavelength per colour channel.
    defocus_um : float or one for each colour
        Distance from focus; one value per colour expresses axial colour.
    edges : {"reflect", "wrap"}
        What lies beyond the border: the image mirrored, or the image again (circular convolution).

    Returns
    -------
    float32 array of the image's shape, in its units.

    Examples
    --------
    >>> flat = np.full((64, 64), 7.0)
    >>> bool(np.allclose(defocus(flat, 0.1, smear_objectives()[1], 1.0), 7.0, atol=1e-4))
    True
    """
    return np.asarray(defocus_planes(image, pixel_um, objective, [defocus_um], edges=edges)[0])


def defocus_planes(
    image: Array,
    pixel_um: float,
    objective: Objective | Sequence[Objective],
    defocus_um: Sequence[float | Sequence[float] | Array],
    *,
    edges: str = "reflect",
) -> Array:
    """Blur one image by several defoci, see :func:`defocus`; returns (planes, Y, X[, C]) float32.

    The image is transformed once for all planes.
    """
    image = np.asarray(image)
    if image.ndim not in (2, 3):
        raise ValueError(f"image has shape {image.shape}: give (Y, X) or (Y, X, C)")
    if edges not in ("reflect", "wrap"):
        raise ValueError(f"edges is {edges!r}: use 'reflect' or 'wrap'")
    objectives = colour_objectives(objective, image)
    # Neither the kernel nor its margin depends on the sign of z.
    planes_um = [np.broadcast_to(np.abs(np.asarray(z, float)), (len(objectives),)) for z in defocus_um]
    if not np.all(np.isfinite(planes_um)):
        raise ValueError(f"defocus_um is {list(defocus_um)}: give finite distances in micrometres")
    rows, columns = image.shape[:2]
    cyx = np.moveaxis(image if image.ndim == 3 else image[..., None], -1, 0).astype(np.float32)
    top = left = 0
    if edges == "reflect":
        radius = max(blur_radius_px(pixel_um, o, z) for zs in planes_um for o, z in zip(objectives, zs, strict=True))
        top, left = min(radius, rows - 1), min(radius, columns - 1)
        cyx = np.pad(cyx, [(0, 0), (top, top), (left, left)], mode="reflect")
        rest = [fft.next_fast_len(n, real=True) - n for n in cyx.shape[1:]]
        cyx = np.pad(cyx, [(0, 0), *((0, n) for n in rest)], mode="edge")
    shape = cyx.shape[1:]
    spectra = fft.rfft2(cyx)  # (C, Y, X / 2 + 1)
    result = np.empty((len(planes_um), rows, columns, len(objectives)), np.float32)
    for plane, zs in zip(result, planes_um, strict=True):
        transfer = [_real_otf(shape, pixel_um, lens, float(z)) for lens, z in zip(objectives, zs, strict=True)]
        blurred = fft.irfft2(spectra * np.stack(transfer), shape)
        plane[...] = np.moveaxis(blurred[:, top : top + rows, left : left + columns], 0, -1)
    return result if image.ndim == 3 else result[..., 0]


@lru_cache(maxsize=256)
def _real_otf(shape: tuple[int, int], pixel_um: float, objective: Objective, z_um: float) -> Array:
    """OTF of a defocus in the half plane of ``rfft2``, real because the kernel is symmetric."""
    full = otf(incoherent_psf(shape, pixel_um, objective, z_um))
    return np.asarray(full[:, : shape[1] // 2 + 1].real, dtype=np.float32)


def defocus_stack(
    image: Array,
    pixel_um: float,
    objective: Objective | Sequence[Objective],
    z_um: Sequence[float],
    noise: DetectorNoise | None = None,
    *,
    axial_colour_um: Sequence[float] = (0.0,),
    seed: int = 0,
) -> ImageStack:
    """Return the focus stack a microscope would record of ``image``.

    Parameters
    ----------
    image : (Y, X) or (Y, X, 3) array
        The object; its dtype is the detector's. Integer types are rounded and limited to their range as a camera does.
    pixel_um, objective
        As in :func:`defocus`.
    z_um : sequence of float
        Position of each plane; 0 is in focus.
    noise : DetectorNoise, optional
        Without it the planes are exact.
    axial_colour_um : sequence of float
        Position of the focus of each colour (axial chromatic aberration).
    seed : int
        Of the noise.

    Examples
    --------
    >>> stack = defocus_stack(np.eye(32) * 200, 0.1, smear_objectives()[1], [-0.4, 0, 0.4])
    >>> stack.axes, stack.data.shape, stack.z_step_um
    ('ZYX', (3, 32, 32), 0.4)
    """
    image = np.asarray(image)
    rng = np.random.default_rng(seed)
    distances = [z - np.asarray(axial_colour_um, float) for z in np.asarray(z_um, float)]
    planes = defocus_planes(image, pixel_um, objective, distances)
    return ImageStack(
        np.stack([quantise(noise.add(plane, rng) if noise else plane, image.dtype) for plane in planes]),
        "ZYXS" if image.ndim == 3 else "ZYX",
        pixel_um=pixel_um,
        z_um=z_um,
        provenance={"simulated": "incoherent defocus", "noise": str(noise), "seed": seed},
    )


def quantise(image: Array, dtype: np.dtype) -> Array:
    """Round to an integer type and limit to its range, as a camera does; float types pass through."""
    if not np.issubdtype(dtype, np.integer):
        return image.astype(dtype)
    info = np.iinfo(dtype)
    return np.asarray(np.clip(np.rint(image), info.min, info.max).astype(dtype))


# --- a known object to blur ------------------------------------------------------------------------------------

_BACKGROUND = np.array([238, 236, 229], np.float32)
#: Optical densities in red, green and blue: a micrometre of red cell, cytoplasm, granules, chromatin.
_RED_CELL_OD, _CYTOPLASM_OD = (0.035, 0.155, 0.10), (0.10, 0.22, 0.03)
_GRANULE_OD, _CHROMATIN_OD = (0.16, 0.30, 0.10), (0.72, 1.25, 0.34)


def draw_smear(shape: tuple[int, int], pixel_um: float, rng: np.random.Generator) -> Array:
    """Draw a stained blood smear: red cells, granulocytes with lobed nuclei, platelets on a bright background.

    Light is absorbed, ``background * exp(-optical density)``. Red cells have the thickness of Evans & Fung 1972,
    ``sqrt(1 - q) (0.81 + 7.83 q - 4.39 q^2)`` um with ``q = (r / R)^2``; the rest is made up to look right.
    Everything is sharp: blur it with :func:`defocus`.

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
