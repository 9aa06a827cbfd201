"""Defects of an instrument: what a scan mode, a wrong immersion or a raised gain makes of a good image (Bon, 2.1.3).

The source provokes them on the microscope; here they are computed. An image comes back in its type: integers are rounded and
limited to their range as a detector's are, floating point is not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import fft

from napari_cellrestore.objective import Objective
from napari_cellrestore.psf import check_sampling, frequency_grid, pupil
from napari_cellrestore.scan_lines import shear_lines
from napari_cellrestore.simulate.defocus import DetectorNoise, quantise

Array = np.ndarray

#: A dry lens, 20x: what immersion oil is most often given to by mistake.
DRY = Objective(na=0.5, wavelength_um=0.53)
OIL_INDEX = 1.515


def bidirectional_shear(image: npt.ArrayLike, offset_px: float) -> Array:
    """Shift every second line (the second, the fourth, ...) along x by ``offset_px``, as unmatched ways of a scan do.

    Fourier interpolation, lines mirrored at their ends: :func:`napari_cellrestore.scan_lines.shear_lines`, here in the type of
    the image. The source gives no offset, its figure 38 shows an exaggerated one.

    Parameters
    ----------
    image : (Y, X) or (Y, X, 3) array
        Integer or floating point.
    offset_px : float
        To the right is positive.

    Examples
    --------
    >>> bidirectional_shear(np.array([[10, 20, 30], [10, 20, 30]], np.uint8), -1).tolist()
    [[10, 20, 30], [20, 30, 30]]
    """
    values = _checked(image)
    return quantise(shear_lines(values, offset_px), values.dtype)


def line_step(image: npt.ArrayLike, step: int) -> Array:
    """Keep the first of every ``step`` lines and interpolate the others, as a scan does that leaves lines out.

    ``(1 - p) above + p below`` with ``p`` the way from the kept line above to that below; after the last kept line it is
    repeated. The source says that the microscope interpolates, not how: linear is taken.

    Parameters
    ----------
    image : (Y, X) or (Y, X, 3) array
        Integer or floating point.
    step : int
        1 keeps every line, 2 every second.

    Examples
    --------
    >>> line_step(np.array([[0.0], [9.0], [4.0], [9.0]]), 2).ravel().tolist()
    [0.0, 2.0, 4.0, 4.0]
    """
    values = _checked(image)
    if isinstance(step, bool) or int(step) != step or not 1 <= step <= len(values):
        raise ValueError(f"step is {step}: give a whole number of lines from 1 to {len(values)} (the image)")
    kept = values[:: int(step)].astype(np.result_type(values, np.float32))
    above, way = np.divmod(np.arange(len(values)), int(step))
    below = np.minimum(above + 1, len(kept) - 1)
    part = (way / step).astype(kept.dtype).reshape(-1, *[1] * (values.ndim - 1))
    return quantise((1 - part) * kept[above] + part * kept[below], values.dtype)


def wrong_immersion(
    image: npt.ArrayLike,
    pixel_um: float,
    objective: Objective = DRY,
    gap_um: float = 600.0,
    *,
    filled_with: float = OIL_INDEX,
) -> Array:
    """Blur as the lens does when what lies between it and the cover glass is not what it was made for.

    A layer of thickness ``d`` and index ``m`` in the place of index ``n`` delays the ray of aperture ``a = n sin(t)`` by
    ``d (sqrt(m^2 - a^2) - sqrt(n^2 - a^2))`` (Hell et al. 1993, J. Microsc. 169:391, for plane
    surfaces). The
    microscopist focuses again: the best fit of ``c0 + c1 a^2`` over the pupil is taken off, what stays is spherical
    aberration. The image has passed the lens already, so its spectrum is multiplied by the transfer function with the
    aberration over that without, incoherent light, 0 beyond the cutoff; borders are mirrored.

    The source put oil on a dry lens and says that the image is blurred, not how much; its microscope was confocal, this is
    wide field.

    Parameters
    ----------
    image : (Y, X) or (Y, X, 3) array
        Integer or floating point.
    pixel_um : float
        Pixel size at the object.
    objective : Objective
        The lens that took the image, and the immersion it was made for; all colours are blurred as its wavelength is. A
        lens of a lower cutoff than the image has detail blurs by that alone.
    gap_um : float
        Thickness of the layer, the free working distance of the lens; 0 is no defect but for detail beyond the cutoff of the
        lens, which is lost.
    filled_with : float
        Index of what was put there.

    Examples
    --------
    >>> point = np.zeros((64, 64))
    >>> point[32, 32] = 1
    >>> peaks = [float(wrong_immersion(point, 0.25, gap_um=gap_um)[32, 32]) for gap_um in (0, 600)]
    >>> 0 < peaks[1] < peaks[0] / 3
    True
    """
    values = _checked(image)
    if not (np.isfinite(gap_um) and gap_um >= 0 and np.isfinite(filled_with) and filled_with >= 1):
        raise ValueError(
            f"gap_um is {gap_um} and filled_with {filled_with}: give a thickness in um and an index from 1 on"
        )
    check_sampling(pixel_um, objective)
    twice = np.pad(values, [(0, n) for n in values.shape[:2]] + [(0, 0)] * (values.ndim - 2), mode="symmetric")
    transfer = _aberration(twice.shape[:2], pixel_um, objective, float(gap_um), float(filled_with))
    transfer = transfer.reshape(transfer.shape + (1,) * (values.ndim - 2))
    spectrum = fft.rfft2(twice.astype(np.result_type(values, np.float32)), axes=(0, 1)) * transfer
    blurred = fft.irfft2(spectrum, twice.shape[:2], axes=(0, 1))
    return quantise(blurred[: values.shape[0], : values.shape[1]], values.dtype)


def _aberration(shape: tuple[int, ...], pixel_um: float, lens: Objective, gap_um: float, filled_with: float) -> Array:
    """Return the transfer function of the aberration alone, half plane as of ``rfft2``, float32."""
    rows, columns = shape[:2]
    right = pupil((rows, columns), pixel_um, lens)
    nu_y, nu_x = frequency_grid((rows, columns), pixel_um)
    a2 = (nu_y**2 + nu_x**2) * lens.wavelength_um**2
    even = np.linspace(0, min(lens.na, filled_with) ** 2, 200)  # of a^2: every part of the pupil counts by its area
    fit = np.polynomial.Polynomial.fit(even, _delay(even, lens.immersion_index, filled_with), 1)
    delay_um = gap_um * (_delay(a2, lens.immersion_index, filled_with) - fit(a2))
    wrong = np.where(a2 <= filled_with**2, right * np.exp(2j * np.pi * delay_um / lens.wavelength_um), 0)
    with_it, without = (np.abs(fft.ifft2(amplitude)) ** 2 for amplitude in (wrong, right))
    above, below = (fft.rfft2(psf).real for psf in (with_it / with_it.sum(), without / without.sum()))
    passed = below > 1e-6
    return np.clip(np.where(passed, above / np.where(passed, below, 1), 0), -1, 1).astype(np.float32)


def _delay(a2: Array, made_for: float, filled_with: float) -> Array:
    return np.asarray(np.sqrt(np.maximum(filled_with**2 - a2, 0)) - np.sqrt(np.maximum(made_for**2 - a2, 0)))


def detector_noise(image: npt.ArrayLike, gain: float, read_std: float = 0.0, *, rng: np.random.Generator) -> Array:
    """Add the noise of a detector, variance ``gain * level + read_std**2``: :class:`DetectorNoise`, in the image's type.

    The image is taken as without noise, and as bright as before: what is raised is the gain, with less light.

    Parameters
    ----------
    image : (Y, X) or (Y, X, 3) array
        Integer or floating point.
    gain : float
        Grey levels per photo-electron.
    read_std : float
        Noise that does not depend on light, in grey levels.
    rng : numpy Generator

    Examples
    --------
    >>> noisy = detector_noise(np.full((200, 200), 100.0), gain=4, rng=np.random.default_rng(0))
    >>> round(float(noisy.std()))  # sqrt(4 * 100)
    20
    """
    values = _checked(image)
    return quantise(DetectorNoise(gain, read_std).add(values, rng), values.dtype)


# --- the table ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Defect:
    """A defect as a table of robustness walks over it. Called, it gives the image at one strength.

    ``strengths`` go from hardly visible to exaggerated, in ``unit``.
    """

    name: str
    label: str
    function: Callable[[npt.ArrayLike, float, np.random.Generator], Array]
    strengths: tuple[float, ...]
    unit: str
    help: str

    def __call__(self, image: npt.ArrayLike, strength: float, rng: np.random.Generator) -> Array:
        """Return the image with the defect; ``rng`` is used where it is random."""
        return self.function(image, strength, rng)


def instrument_defects(pixel_um: float = 0.25, objective: Objective = DRY) -> dict[str, Defect]:
    """Return the defects by name, the wrong immersion as of images with this pixel size and lens.

    Examples
    --------
    >>> shear = instrument_defects()["bidirectional_shear"]
    >>> shear(np.zeros((4, 4), np.uint8), shear.strengths[0], np.random.default_rng(0)).dtype
    dtype('uint8')
    """
    return {
        defect.name: defect
        for defect in (
            Defect(
                "bidirectional_shear",
                "bidirectional shear",
                lambda image, offset_px, rng: bidirectional_shear(image, offset_px),
                (0.5, 1.0, 2.0, 4.0),
                "px",
                "Every second line lies beside the others.",
            ),
            Defect(
                "line_step",
                "line step",
                lambda image, step, rng: line_step(image, int(step)),
                (2.0, 4.0),
                "lines",
                "One line of so many is recorded, the others are interpolated.",
            ),
            Defect(
                "wrong_immersion",
                "wrong immersion",
                lambda image, gap_um, rng: wrong_immersion(image, pixel_um, objective, gap_um),
                (200.0, 600.0, 2000.0),
                "um of oil",
                "Oil on a dry lens, focused again.",
            ),
            Defect("detector_noise", "detector noise", _few_electrons, (1000.0, 100.0, 30.0), "electrons", _NOISE_HELP),
        )
    }


_NOISE_HELP = "So many photo-electrons in the brightest pixel: fewer are noisier."


def _few_electrons(image: npt.ArrayLike, electrons: float, rng: np.random.Generator) -> Array:
    """Return the image with the noise of so many photo-electrons in its brightest pixel."""
    return detector_noise(image, max(float(np.max(image)), 0.0) / electrons, rng=rng)


#: The defects by name, of a dry lens 20x of NA 0.5 and pixels of 0.25 um.
DEFECTS = instrument_defects()


def _checked(image: npt.ArrayLike) -> Array:
    values = np.asarray(image)
    if values.dtype.kind not in "uif":
        raise TypeError(f"image has dtype {values.dtype}: give grey levels, integer or floating point")
    if not (values.ndim == 2 or (values.ndim == 3 and values.shape[-1] == 3)) or 0 in values.shape:
        raise ValueError(f"image has shape {values.shape}: give (Y, X) or (Y, X, 3)")
    finite = np.isfinite(values).reshape(*values.shape[:2], -1).all(axis=-1)
    if not finite.all():
        bad = np.count_nonzero(~finite)
        raise ValueError(f"{bad} of {finite.size} pixels are not finite (NaN or infinite): mend them first")
    return values
