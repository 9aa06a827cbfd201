"""Focus measures: one number for how sharp an image is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Array = np.ndarray

LAG_PX = 6
KERNEL_PX = 2 * LAG_PX + 1

#: Rows differentiated at a time: temporary arrays stay in the cache, and float32 sums stay exact enough.
BLOCK_ROWS = 64


def green(image: npt.ArrayLike) -> Array:
    """Return the channel on which focus is measured: (Y, X) as it is, of (Y, X, 3 or 4) the green one (a view)."""
    grey = np.asarray(image)
    if grey.dtype.kind not in "buif":
        raise TypeError(f"image has dtype {grey.dtype}: give real numbers (integer, float or bool)")
    if grey.ndim == 3 and grey.shape[-1] in (3, 4):
        grey = grey[..., 1]
    if grey.ndim != 2 or grey.size == 0:
        raise ValueError(f"image has shape {grey.shape}: give one plane (Y, X), RGB (Y, X, 3) or RGBA (Y, X, 4)")
    return grey


def second_differences(image: npt.ArrayLike) -> tuple[Array, Array]:
    """Return ``wx * X`` and ``wy * X``, the second differences at a lag of 6 px along x and along y.

    ``dx2[y, x] = 2 X[y, x] - X[y, x - 6] - X[y, x + 6]`` and the same along y: the kernel
    ``[-1 0 0 0 0 0 2 0 0 0 0 0 -1]`` of Olofsson & Wagnström 2019 (section 1.3) as two shifted subtractions.
    Being blind to periods of 6, 3 and 2 px, it measures structure of about 12 px.

    Parameters
    ----------
    image : (Y, X), (Y, X, 3) or (Y, X, 4) array
        Of colour images the green channel is taken.

    Returns
    -------
    dx2, dy2 : (Y - 12, X - 12) arrays
        Only positions where both kernels fit (the source does not say), so a linear ramp gives 0 everywhere.
        float32; float64 where the image is float64 or integer of 32 bit and more.

    Examples
    --------
    >>> parabola = np.arange(20.0) ** 2 + np.zeros((15, 1))
    >>> dx2, dy2 = second_differences(parabola)
    >>> dx2.shape, set(dx2.flat), set(dy2.flat)
    ((3, 8), {np.float64(-72.0)}, {np.float64(0.0)})
    """
    grey = green(image)
    _check_size(grey, KERNEL_PX, "the second difference")
    float_type = np.result_type(grey.dtype, np.float32)
    # Differences of 8 bit are exact in 16 bit, which is twice as fast as float32.
    grey = grey.astype(np.int16 if grey.dtype in (np.uint8, np.int8) else float_type, copy=False)
    rows, columns = grey[LAG_PX:-LAG_PX], grey[:, LAG_PX:-LAG_PX]
    step_x = rows[:, LAG_PX:] - rows[:, :-LAG_PX]
    step_y = columns[LAG_PX:] - columns[:-LAG_PX]
    dx2 = step_x[:, :-LAG_PX] - step_x[:, LAG_PX:]
    dy2 = step_y[:-LAG_PX] - step_y[LAG_PX:]
    return dx2.astype(float_type, copy=False), dy2.astype(float_type, copy=False)


def _second_difference(grey: Array) -> float:
    total, count = 0.0, 0
    for dx2, dy2 in difference_blocks(grey, BLOCK_ROWS):
        total += float(np.vdot(dx2, dx2)) + float(np.vdot(dy2, dy2))
        count += dx2.size
    return total / count


def difference_blocks(grey: Array, rows: int) -> Iterator[tuple[Array, Array]]:
    """Yield the second differences of an image, some rows at a time."""
    for start in range(0, len(grey) - 2 * LAG_PX, rows):
        yield second_differences(grey[start : start + rows + 2 * LAG_PX])


def _brenner(grey: Array) -> float:
    grey = _as_float(grey)
    return mean(np.square(grey[:, 2:] - grey[:, :-2]))


def _tenengrad(grey: Array) -> float:
    grey = _as_float(grey)
    gradient_y, gradient_x = (ndimage.sobel(grey, axis)[1:-1, 1:-1] for axis in (0, 1))
    return mean(np.square(gradient_y) + np.square(gradient_x))


def _laplacian_variance(grey: Array) -> float:
    return float(np.var(ndimage.laplace(_as_float(grey))[1:-1, 1:-1], dtype=np.float64))


def _normalised_variance(grey: Array) -> float:
    grey = _as_float(grey)
    above_darkest = mean(grey - grey.min())
    return float(np.var(grey, dtype=np.float64)) / above_darkest if above_darkest else 0.0


def _vollath_f4(grey: Array) -> float:
    grey = _as_float(grey)
    centred = grey - grey.dtype.type(mean(grey))
    return mean(centred[:, :-2] * (centred[:, 1:-1] - centred[:, 2:]))


def mean(values: Array) -> float:
    """Return the mean, summed in double precision."""
    return float(np.mean(values, dtype=np.float64))


def _as_float(grey: Array) -> Array:
    return grey.astype(np.result_type(grey.dtype, np.float32), copy=False)


def not_finite(grey: Array) -> int:
    """Count the pixels that are NaN or infinite."""
    return 0 if grey.dtype.kind in "bui" else int(grey.size - np.count_nonzero(np.isfinite(grey)))


@dataclass(frozen=True)
class Measure:
    """A focus measure: larger is sharper.

    Called with one image it returns the measure. Every measure is invariant to a constant added to the image, and
    none to gain: ``F(a + k X) = k ** gain_power F(X)``. Compare planes of one exposure only.
    """

    name: str
    function: Callable[[Array], float]
    formula: str
    reference: str
    gain_power: int
    smallest_px: int

    def __call__(self, image: npt.ArrayLike) -> float:
        """Return the measure of one image; see :func:`focus_measure`."""
        grey = green(image)
        _check_size(grey, self.smallest_px, self.name)
        if bad := not_finite(grey):
            raise ValueError(
                f"{bad} of {grey.size} pixels are not finite (NaN or infinite): replace them or cut them off"
            )
        return self.function(grey)


#: The focus measures by name.
MEASURES = {
    measure.name: measure
    for measure in (
        Measure(
            "second_difference",
            _second_difference,
            "mean[(wx * X)^2 + (wy * X)^2], wx = [-1 0 0 0 0 0 2 0 0 0 0 0 -1], wy = wx^T",
            "Olofsson & Wagnström 2019, section 1.3",
            2,
            KERNEL_PX,
        ),
        Measure(
            "brenner",
            _brenner,
            "mean[(X(x + 2) - X(x))^2], along x as published",
            "Brenner et al. 1976, J. Histochem. Cytochem. 24:100",
            2,
            3,
        ),
        Measure(
            "tenengrad",
            _tenengrad,
            "mean[Gx^2 + Gy^2], Sobel gradients",
            "Tenenbaum 1970, thesis, Stanford; Krotkov 1988, Int. J. Comput. Vis. 1:223",
            2,
            3,
        ),
        Measure(
            "laplacian_variance",
            _laplacian_variance,
            "var[Laplacian of X], four neighbours",
            "Pech-Pacheco et al. 2000, ICPR 3:314",
            2,
            3,
        ),
        Measure(
            "normalised_variance",
            _normalised_variance,
            "var[X] / mean[X - min X]; differs from the source, which divides by mean[X]: that depends on the offset",
            "Groen et al. 1985, Cytometry 6:81",
            1,
            2,
        ),
        Measure(
            "vollath_f4",
            _vollath_f4,
            "mean[X(x) X(x + 1) - X(x) X(x + 2)]; differs from the source in that the mean of X is taken off first: "
            "without, it depends on the offset",
            "Vollath 1987, J. Microsc. 147:279",
            2,
            3,
        ),
    )
}


def focus_measure(image: npt.ArrayLike, method: str = "second_difference") -> float:
    """Return how sharp an image is, in a unit of its own: only images of one scene can be compared.

    The default is ``F(X) = mean[(wx * X)^2 + (wy * X)^2]`` of Olofsson & Wagnström 2019 (section 1.3), see
    :func:`second_differences`; the others, their formulas and sources are in :data:`MEASURES`. Only positions where
    the kernel fits are counted, so a constant image scores 0.

    Parameters
    ----------
    image : (Y, X), (Y, X, 3) or (Y, X, 4) array
        Grey levels; of colour images the green channel is measured, alpha is not looked at.
    method : str
        A name of :data:`MEASURES`. All are invariant to a constant offset and none to gain.

    Raises
    ------
    ValueError
        Unknown method, image too small for the kernel, pixels not finite.

    Examples
    --------
    >>> grating = np.sin(2 * np.pi * np.arange(60) / 12) + np.zeros((40, 1))  # period 12 px
    >>> round(focus_measure(grating), 6)  # the mean of (2 (1 - cos pi) sin)^2
    8.0
    >>> focus_measure(np.full((40, 40), 7)), focus_measure(np.full((40, 40), 7), method="vollath_f4")
    (0.0, 0.0)
    """
    return find_measure(method)(image)


def find_measure(method: str) -> Measure:
    """Return the measure of a name; ValueError names those that there are."""
    if method not in MEASURES:
        raise ValueError(f"unknown focus measure {method!r}: use one of {', '.join(MEASURES)}")
    return MEASURES[method]


def _check_size(grey: Array, smallest_px: int, what: str) -> None:
    if min(grey.shape) < smallest_px:
        raise ValueError(
            f"image has {grey.shape[0]} x {grey.shape[1]} px: {what} needs {smallest_px} or more along both axes; "
            "take a larger region"
        )
