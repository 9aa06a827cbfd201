"""Blur of an image by defocus, the noise of a camera, and the focus stack that it would record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import fft

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
