"""Pairs for virtual staining: an LED stack of unstained cells, and the same cells scanned again after staining."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from scipy import fft, ndimage

from napari_cellrestore.leds import LedTable
from napari_cellrestore.objective import Objective
from napari_cellrestore.psf import aliasing
from napari_cellrestore.simulate.blood import BloodPhantom, blood_phantom
from napari_cellrestore.simulate.defocus import DetectorNoise, defocus, quantise, smear_objectives
from napari_cellrestore.simulate.illumination import led_stack
from napari_cellrestore.stack import ImageStack

#: Red, green and blue of a slide without cells.
BACKGROUND = (238.0, 236.0, 229.0)


def stained_image(
    phantom: BloodPhantom,
    objective: Sequence[Objective] | None = None,
    *,
    step: int = 1,
    background: tuple[float, float, float] = BACKGROUND,
    noise: DetectorNoise | None = None,
    seed: int = 0,
) -> npt.NDArray[np.uint8]:
    """Return the brightfield image of a stained field, (Y / step, X / step, 3) uint8, in focus.

    Light that the dyes leave, ``background * exp(-absorbance)``, through the incoherent in-focus kernel.

    Parameters
    ----------
    phantom : BloodPhantom
    objective : Objective for each colour, optional
        :func:`smear_objectives`, oil immersion, if not given: the higher power that Wulff 2022 (3.1.3) takes the truth
        with, on pixels of 0.11 um or less. :data:`WULFF_2022` is the lens of the unstained stack.
    step : int
        Every how many pixels of the field the image has one. Detail too fine for those pixels is smoothed first.
    background : (float, float, float)
        Grey levels of red, green and blue without cells.
    noise : DetectorNoise, optional
    seed : int
        Of the noise.

    Examples
    --------
    >>> field = blood_phantom((128, 128), 0.1, seed=1, red_coverage=0)
    >>> bool(np.abs(stained_image(field)[64, 64] - np.array(BACKGROUND)).max() < 5)
    True
    """
    lenses = smear_objectives() if objective is None else tuple(objective)
    if step < 1 or any(n % step for n in phantom.labels.shape):
        raise ValueError(f"step is {step} for a field of shape {phantom.labels.shape}: both must be multiples of it")
    image = defocus(phantom.stained() * np.array(background, np.float32), phantom.pixel_um, lenses, 0.0)
    if step > 1 and any(aliasing(step * phantom.pixel_um, lens) for lens in lenses):
        image = ndimage.gaussian_filter(image, (0.4 * step, 0.4 * step, 0))
    image = image[::step, ::step]
    if noise is not None:
        image = noise.add(image, np.random.default_rng(seed))
    return quantise(image, np.dtype(np.uint8))


def simulated_rescan(
    shape: tuple[int, int],
    pixel_um: float,
    objectives: Sequence[Objective],
    leds: LedTable,
    seed: int,
    *,
    fineness: int = 2,
    white_per_mm2: float = 800.0,
    shares: Mapping[str, float] | None = None,
    red_coverage: float = 0.4,
    level: float = 160.0,
    high_over_low: float = 4.0,
    defocus_um: float | Sequence[float] = 0.0,
    noise: DetectorNoise | None = None,
    target_objectives: Sequence[Objective] | None = None,
    brightfield_leds: LedTable | None = None,
    margin_um: float = 6.0,
) -> tuple[ImageStack, npt.NDArray[np.uint8], BloodPhantom]:
    """Return an unstained LED stack, the stained image of the same field, and the truth, on the same pixels.

    The field is drawn larger by a margin and on finer pixels than the images have: what lies beside it diffracts into
    it, and light of a large angle shows detail finer than the camera's pixels.

    Parameters
    ----------
    shape : (int, int)
        Rows and columns of the images.
    pixel_um : float
        Pixel of the images.
    objectives : Objective for each of red, green, blue
        Of the unstained stack, :data:`WULFF_2022` for example.
    leds : LedTable
        One plane for each row; meter it first with :func:`metered`, or dark field is nearly black.
    seed : int
        Of cells and noise.
    fineness : int
        How many times finer the field is drawn. Detail up to ``(NA + sin polar) / wavelength`` per um is needed.
    white_per_mm2, shares, red_coverage
        As in :func:`blood_phantom`; many more white cells than in blood, as crops around them would have.
    level, high_over_low, defocus_um, noise, brightfield_leds
        As in :func:`led_stack`; the stack is uint8. The noise is that of the unstained stack; the target has none.
    target_objectives : Objective for each colour, optional
        Of the stained image; ``objectives`` if not given, as in a scan of the same slide with the same microscope.
        :func:`smear_objectives` is a higher power, and needs the field on pixels of 0.11 um or less.
    margin_um : float
        Width of the margin.

    Returns
    -------
    stack : ImageStack
        AYXS, uint8.
    target : (Y, X, 3) uint8 array
    phantom : BloodPhantom
        Of the same shape and pixel.

    Examples
    --------
    >>> from napari_cellrestore.simulate import WULFF_2022
    >>> leds = LedTable(index=[0], polar_deg=[8], azimuth_deg=[0])
    >>> stack, target, phantom = simulated_rescan((64, 64), 0.25, WULFF_2022, leds, seed=1)
    >>> stack, target.shape, phantom.labels.shape
    (<ImageStack A 1 x Y 64 x X 64 x S 3, uint8, 0.25 um/px>, (64, 64, 3), (64, 64))
    """
    if fineness < 1 or not (np.isfinite(margin_um) and margin_um >= 0):
        raise ValueError(f"fineness is {fineness} and margin_um {margin_um}: give a whole number from 1 and a width")
    margin = int(np.ceil(margin_um / pixel_um))
    fine_um = pixel_um / fineness
    large_rows, large_columns = (fft.next_fast_len(n + 2 * margin) * fineness for n in shape)
    field = blood_phantom(
        (large_rows, large_columns),
        fine_um,
        seed=seed,
        white_per_mm2=white_per_mm2,
        shares=shares,
        red_coverage=red_coverage,
    )
    stack = led_stack(
        field.transmission([lens.wavelength_um for lens in objectives]),
        fine_um,
        objectives,
        leds,
        dtype=np.uint8,
        level=level,
        high_over_low=high_over_low,
        defocus_um=defocus_um,
        noise=noise,
        step=fineness,
        brightfield_leds=brightfield_leds,
        seed=seed,
    )
    target = stained_image(field, target_objectives or objectives, step=fineness)
    rows, columns = (slice(margin, margin + n) for n in shape)
    fine_rows, fine_columns = (slice(margin * fineness, (margin + n) * fineness) for n in shape)
    return (
        stack.replace(data=np.ascontiguousarray(stack.data[:, rows, columns])),
        np.ascontiguousarray(target[rows, columns]),
        field.crop(fine_rows, fine_columns, fineness),
    )
