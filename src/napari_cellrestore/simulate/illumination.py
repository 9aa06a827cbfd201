"""The stack that a microscope with an array of LEDs records of a thin object."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from scipy import fft

from napari_cellrestore.leds import LedTable
from napari_cellrestore.objective import Objective
from napari_cellrestore.psf import aliasing
from napari_cellrestore.simulate.defocus import DetectorNoise, colour_objectives, quantise
from napari_cellrestore.simulate.tilted_light import (
    direction_per_um,
    object_spectrum,
    passed_width,
    tilted_light_image,
)
from napari_cellrestore.stack import ImageStack

Array = np.ndarray

#: The lens of Wulff 2022 (20x, NA 0.4, dry), one for each of red, green, blue. The wavelengths are not stated there.
WULFF_2022 = tuple(Objective(na=0.4, wavelength_um=wavelength) for wavelength in (0.62, 0.53, 0.47))

_DTYPES = (np.uint8, np.uint16, np.float32)


def led_stack(
    transmission: npt.ArrayLike,
    pixel_um: float,
    objective: Objective | Sequence[Objective],
    leds: LedTable,
    *,
    dtype: npt.DTypeLike = np.float32,
    level: float | None = None,
    full_scale: float | None = None,
    high_over_low: float = 4.0,
    noise: DetectorNoise | None = None,
    defocus_um: float | Sequence[float] = 0.0,
    surround_um: float = 0.0,
    step: int = 1,
    brightfield_leds: LedTable | None = None,
    seed: int = 0,
) -> ImageStack:
    """Return the LED stack of a thin object: one plane for each row of the table.

    A plane of one LED is ``level * exposure * gain * |F^-1{F{object * tilt} P W}|^2``: the coherent image under a
    plane wave that travels along ``(x, y) = (sin polar cos azimuth, sin polar sin azimuth)``, x to the right, y down
    (Werth & Matlock 2018, section 3, for P and W; Zheng, Kolner & Yang 2011 for the array). A row of the kind
    ``brightfield`` is the mean of these intensities over the LEDs inside the aperture: they do not interfere, and a
    shutter as many times shorter keeps the grey levels. A blank object gives ``level`` in every plane whose light
    enters the objective, and 0 in all others.

    Parameters
    ----------
    transmission : (Y, X) or (Y, X, S) array
        Complex amplitude that the object lets through: ``sqrt(transmittance) * exp(i phase)``, 1 where it is blank;
        one for each colour along S. It repeats beyond its borders unless there is a surround.
    pixel_um : float
        Pixel of the object. The light of an LED makes the objective collect detail of the object up to
        ``(NA + sin polar) / wavelength`` per um; where pixels are too coarse to have it, it is missing, with a warning.
    objective : Objective or one for each colour
        See :data:`WULFF_2022`.
    leds : LedTable
        Angles, kind, exposure; ``gain`` multiplies the light like a longer shutter, 1 where not known. See
        :func:`metered`. Wavelengths, where given, must be the objective's.
    dtype : dtype
        uint8, uint16 or float32.
    level : float, optional
        Grey level of a blank object under one LED on the axis, at the exposure "single" and gain 1. Must be given for
        integers; 1 for float32 if not given.
    full_scale : float, optional
        Grey level at which the camera saturates. If not given that of the dtype, for float32 none.
    high_over_low : float
        How many times longer the exposure "high" is than "low"; "low", "single" and "hdr" are 1. Wulff 2022 (3.1.1)
        sets both by eye and states no ratio; 4, two stops, burns a few pixels of dark field as the images there do.
    noise : DetectorNoise, optional
        In grey levels, before saturation. Without it planes are exact.
    defocus_um : float or one for each colour
        Distance of the object from focus.
    surround_um : float
        Width of a blank surround, so that the far side of the image does not diffract into this one. An object that
        is not blank at its border then has an edge there.
    step : int
        The image has one pixel for ``step`` of the object, at no loss; the object needs the finer ones.
    brightfield_leds : LedTable, optional
        The LEDs lit together in rows of the kind "brightfield", where the array has more than were taken singly.
        Those of ``leds`` if not given.
    seed : int
        Of the noise; the noise of a plane does not depend on the other planes but for its number.

    Returns
    -------
    ImageStack
        Axes AYX or AYXS, pixels of ``pixel_um * step``, with the table.

    Raises
    ------
    ValueError
        Shapes, numbers or a dtype that make no sense; a brightfield row without LEDs inside the aperture.

    Examples
    --------
    >>> leds = LedTable(index=[0, 1], polar_deg=[5, 40], azimuth_deg=[0, 90], kind=["point", "darkfield"])
    >>> stack = led_stack(np.ones((32, 32)), 0.18, Objective(na=0.4, wavelength_um=0.53), leds, level=200, dtype="uint8")
    >>> stack.axes, stack.data.max((1, 2)).tolist()
    ('AYX', [200, 0])
    """
    field = np.asarray(transmission)
    objectives = _check(field, pixel_um, objective, leds, step)
    dtype, level, full_scale = _camera(dtype, level, full_scale)
    if not (np.isfinite(high_over_low) and high_over_low > 0 and np.isfinite(surround_um) and surround_um >= 0):
        raise ValueError(
            f"high_over_low is {high_over_low} and surround_um {surround_um}: give a positive ratio and a width"
        )
    offsets = np.atleast_1d(np.asarray(defocus_um, float))
    if offsets.shape not in ((1,), (len(objectives),)) or not np.isfinite(offsets).all():
        raise ValueError(f"defocus_um is {defocus_um}: give a distance in micrometres, or one for each colour")
    offsets = np.broadcast_to(offsets, (len(objectives),))
    lit = _lit_together(leds if brightfield_leds is None else brightfield_leds, leds, objectives)
    directions = list(_directions(leds, lit))
    yxs = field if field.ndim == 3 else field[..., None]
    padded, margin = _with_surround(yxs, round(surround_um / pixel_um), step)
    _check_sampling(padded.shape[:2], pixel_um, objectives, max(polar for polar, *_ in directions), step)
    spectra = [object_spectrum(padded[..., colour]) for colour in range(len(objectives))]
    factors = level * np.nan_to_num(leds.gain, nan=1.0) * np.where(leds.exposure == "high", high_over_low, 1.0)

    rows, columns = (n // step for n in yxs.shape[:2])
    inside = slice(margin, margin + rows), slice(margin, margin + columns)
    data = np.empty((len(leds), rows, columns, len(objectives)), dtype)
    brightfield = np.zeros(data.shape[1:], np.float32)

    def record(image: Array, plane: int) -> None:
        exposed = image * np.float32(factors[plane])
        if noise is not None:
            exposed = noise.add(exposed, np.random.default_rng((seed, plane)))
        data[plane] = quantise(np.minimum(exposed, np.float32(full_scale)), dtype)

    # One direction at a time: it may be in several planes, at two exposures and in brightfield.
    for polar, azimuth, planes, share in directions:
        image = np.empty_like(brightfield)
        for colour, (lens, spectrum) in enumerate(zip(objectives, spectra, strict=True)):
            light = direction_per_um(polar, azimuth, lens.wavelength_um)
            whole = tilted_light_image(spectrum, pixel_um, lens, light, float(offsets[colour]), step)
            image[..., colour] = whole[inside]
        brightfield += share.astype(np.float32) * image
        for plane in planes:
            record(image, plane)
    for plane in np.flatnonzero(leds.kind == "brightfield").tolist():
        record(brightfield, plane)
    return ImageStack(
        data if field.ndim == 3 else data[..., 0],
        "AYXS" if field.ndim == 3 else "AYX",
        pixel_um=pixel_um * step,
        leds=leds,
        provenance={
            "simulated": "LED array, thin object",
            "objectives": [str(lens) for lens in objectives],
            "level": level,
            "high_over_low": high_over_low,
            "defocus_um": offsets.tolist(),
            "noise": str(noise),
            "seed": seed,
        },
    )


def _directions(
    leds: LedTable, lit: dict[tuple[float, float], Array]
) -> Iterator[tuple[float, float, list[int], Array]]:
    """Yield each direction of light with the planes it is taken in, and its share of brightfield in each colour."""
    planes: dict[tuple[float, float], list[int]] = {}
    for plane in np.flatnonzero(leds.kind != "brightfield").tolist():
        planes.setdefault((float(leds.polar_deg[plane]), float(leds.azimuth_deg[plane])), []).append(plane)
    for direction in dict.fromkeys([*planes, *lit]):
        yield *direction, planes.get(direction, []), lit.get(direction, np.zeros(1))


def _lit_together(array: LedTable, leds: LedTable, objectives: Sequence[Objective]) -> dict[tuple[float, float], Array]:
    """Return the share in brightfield, for each colour, of each LED inside the aperture; none without such a row."""
    if not (leds.kind == "brightfield").any():
        return {}
    singles = array[array.kind != "brightfield"]
    _, first = np.unique(singles.index, return_index=True)  # exposed twice, lit once
    singles = singles[np.sort(first)]
    inside = np.array([singles.brightfield(lens.na) for lens in objectives]).reshape(len(objectives), -1)
    if not inside.any(axis=1).all():
        raise ValueError(
            "a row of the kind 'brightfield', but no single LED inside the aperture to light for it: give "
            "brightfield_leds with LEDs up to the angle of acceptance"
        )
    shares: dict[tuple[float, float], Array] = {}
    for led, share in zip(singles, (inside / inside.sum(axis=1, keepdims=True)).T, strict=True):
        direction = float(led.polar_deg[0]), float(led.azimuth_deg[0])
        if share.any():
            shares[direction] = shares.get(direction, 0) + share
    return shares


def _with_surround(yxs: Array, width_px: int, step: int) -> tuple[Array, int]:
    """Return the object within a blank surround of fast FFT lengths, and the margin in pixels of the image."""
    if width_px == 0:
        return yxs, 0
    margin = -(-width_px // step)
    sizes = [fft.next_fast_len(n // step + 2 * margin) * step for n in yxs.shape[:2]]
    padded = np.ones((*sizes, yxs.shape[2]), np.result_type(yxs, np.float32))
    start = margin * step
    padded[start : start + yxs.shape[0], start : start + yxs.shape[1]] = yxs
    return padded, margin


def _camera(dtype: npt.DTypeLike, level: float | None, full_scale: float | None) -> tuple[np.dtype, float, float]:
    """Return type, level of a blank field and level of saturation, or say what is wrong."""
    kind = np.dtype(dtype)
    if kind not in _DTYPES:
        raise ValueError(f"dtype is {kind}: use uint8, uint16 or float32")
    largest = float(np.iinfo(kind).max) if kind != np.float32 else np.inf
    if level is None and kind != np.float32:
        raise ValueError(f"{kind} needs the grey level of a blank field: give level, from 1 to {largest:g}")
    level = 1.0 if level is None else float(level)
    full_scale = largest if full_scale is None else float(full_scale)
    if not (0 < level <= full_scale <= largest):
        raise ValueError(
            f"level is {level:g} and full_scale {full_scale:g}: it must be 0 < level <= full_scale <= {largest:g}"
        )
    return kind, level, full_scale


def _check(
    field: Array, pixel_um: float, objective: Objective | Sequence[Objective], leds: LedTable, step: int
) -> tuple[Objective, ...]:
    if field.ndim not in (2, 3) or 0 in field.shape or field.shape[2:] not in ((), (3,)):
        raise ValueError(f"transmission has shape {field.shape}: give (Y, X), or (Y, X, 3) with one for each colour")
    if not np.issubdtype(field.dtype, np.inexact):
        raise TypeError(
            f"transmission is {field.dtype}: give amplitudes, complex or float, 1 where the object is blank"
        )
    if not np.isfinite(field).all():
        raise ValueError("transmission has values that are not finite")
    if not (np.isfinite(pixel_um) and pixel_um > 0):
        raise ValueError(f"pixel_um is {pixel_um}: give the size of a pixel at the object in micrometres")
    if len(leds) == 0:
        raise ValueError("the LED table is empty: give one row for each plane to simulate")
    if step < 1 or any(n % step for n in field.shape[:2]):
        raise ValueError(f"step is {step} for {field.shape[0]} x {field.shape[1]} pixels: both must be multiples of it")
    objectives = colour_objectives(objective, field)
    if isinstance(objective, Objective) and field.ndim == 3:
        raise ValueError(
            f"one objective for an object of shape {field.shape}: give one with the wavelength of each colour"
        )
    for lens in objectives:
        other = np.abs(leds.wavelength_um - lens.wavelength_um) > 0.001  # False where not known
        if other.any():
            row = int(other.argmax())
            raise ValueError(
                f"row {row} has light of {leds.wavelength_um[row]:g} um, the objective is for {lens.wavelength_um:g} um: "
                "simulate each wavelength with its objective, or leave wavelength_um out of the table"
            )
    return objectives


def _check_sampling(
    shape: Sequence[int], pixel_um: float, objectives: Sequence[Objective], polar_deg: float, step: int
) -> None:
    """Refuse an image too coarse for the field, warn about one too coarse for the intensity and a too coarse object."""
    finest = max(objectives, key=lambda lens: lens.cutoff_per_um)
    if any(passed_width(n, pixel_um, finest) > n // step for n in shape):
        raise ValueError(
            f"step {step} makes pixels of {step * pixel_um:g} um: NA {finest.na:g} at {finest.wavelength_um:g} um needs "
            f"{finest.nyquist_pixel_um:.3g} um or less; use a smaller step"
        )
    if message := aliasing(step * pixel_um, finest):
        warnings.warn(message, stacklevel=3)
    needed = max((lens.na + np.sin(np.radians(polar_deg))) / lens.wavelength_um for lens in objectives)
    if pixel_um * needed > 0.5 * 1.001:
        warnings.warn(
            f"pixels of {pixel_um:g} um hold detail of the object up to {0.5 / pixel_um:.3g} per um, light at {polar_deg:g} deg "
            f"shows it up to {needed:.3g} per um: what is finer will be missing; pixels of {0.5 / needed:.3g} um or less "
            "have it all",
            stacklevel=3,
        )
