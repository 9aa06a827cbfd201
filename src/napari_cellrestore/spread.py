"""The same restoration several times over: the mean is the result, the spread is what the model is not sure of.

One vocabulary for all ways (:data:`WAYS`): a *pass* restores the image once, turned, with other units dropped, or by
another model; passes are combined pixel by pixel into their mean and their standard deviation, in the grey levels of the
input. What is certain does not depend on how the slide lay or on which of several equal models was asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from napari_cellrestore.leds import LedTable
from napari_cellrestore.leds.symmetry import TOLERANCE_DEG, permutation

Array = np.ndarray

#: Ways to restore, by name: how the passes differ. All but the first give a spread.
WAYS = {
    "once": "restored once",
    "turned": "turned and mirrored, each turned back",
    "dropout": "with other units of the network dropped",
    "members": "by several models of one task",
}


@dataclass(frozen=True)
class Symmetry:
    """A turn by quarters, mirrored before or not; of LED stacks also which plane comes to which place.

    Parameters
    ----------
    turns : int
        Quarter turns against the clock.
    mirrored : bool
        Left and right are exchanged first.
    planes : sequence of int, optional
        Of an LED stack: the plane that, turned, is as if lit by the LED of each row of the table.
    """

    turns: int
    mirrored: bool
    planes: tuple[int, ...] | None = None

    def turn(self, image: Array) -> Array:
        """Return an image (Y, X[, C]), or where ``planes`` are given an LED stack (A, Y, X[, C]), turned."""
        if self.planes is None:
            return np.rot90(image[:, ::-1] if self.mirrored else image, self.turns)
        stack = image[list(self.planes)]
        return np.rot90(stack[:, :, ::-1] if self.mirrored else stack, self.turns, axes=(1, 2))

    def back(self, result: Array) -> Array:
        """Return an image (Y, X[, C]) made of the turned one in the place of the one before."""
        straight = np.rot90(result, -self.turns)
        return straight[:, ::-1] if self.mirrored else straight


#: The eight symmetries of a square.
SYMMETRIES = tuple(Symmetry(turns, mirrored) for mirrored in (False, True) for turns in range(4))


def led_symmetries(leds: LedTable, *, tolerance_deg: float = TOLERANCE_DEG) -> tuple[Symmetry, ...]:
    """Return the symmetries of a square that also map an LED array onto itself, each with its permutation of planes.

    A turned image is as if lit from the turned direction, so its planes change places (Wulff, 3.1.6). Turns that pixels
    do not have, such as those of five arms by 72 degrees, would need interpolation and are left out: five arms leave the
    image as it is and the mirror through an arm, a square grid leaves all eight. Directions are ``sin(polar)`` times
    (cos, sin) of the azimuth, which runs from +X (columns) towards +Y (rows, down); brightfield has none. Exposure, kind
    and wavelength must agree.

    Examples
    --------
    >>> cross = LedTable(index=range(5), polar_deg=[0, 30, 30, 30, 30], azimuth_deg=[0, 0, 90, 180, 270])
    >>> len(led_symmetries(cross)), led_symmetries(cross)[4].planes  # mirrored: right and left change places
    (8, (0, 3, 2, 1, 4))
    """
    found = []
    for symmetry in SYMMETRIES:
        rows = permutation(leds, 90 * symmetry.turns, symmetry.mirrored, tolerance_deg=tolerance_deg)
        if rows is not None:
            found.append(replace(symmetry, planes=tuple(rows.tolist())))
    return tuple(found)


def turned(image: Array) -> list[Array]:
    """Return the eight turned and mirrored copies of an image (Y, X[, C]); :func:`turned_back` undoes them."""
    return [symmetry.turn(image) for symmetry in SYMMETRIES]


def turned_back(copies: Sequence[Array]) -> list[Array]:
    """Return copies of :func:`turned` in the place of the image they came from.

    Examples
    --------
    >>> image = np.arange(6).reshape(2, 3)
    >>> all(np.array_equal(copy, image) for copy in turned_back(turned(image)))
    True
    """
    return [symmetry.back(copy) for symmetry, copy in zip(SYMMETRIES, copies, strict=True)]


def turned_mean_and_spread(
    image: Array, method: Callable[[Array], npt.ArrayLike], *, leds: LedTable | None = None
) -> tuple[Array, Array]:
    """Return mean and spread of what a method makes of an image turned and mirrored, each result turned back.

    Test-time augmentation (Bon, section 1.2.4): a right restoration does not depend on how the slide lay.

    Parameters
    ----------
    image : (Y, X[, C]) array, or with ``leds`` an LED stack (A, Y, X[, C])
    method : callable
        Makes (Y, X[, C]) of it.
    leds : LedTable, optional
        One row a plane: planes change places with the LEDs, see :func:`led_symmetries`.

    Returns
    -------
    mean : (Y, X[, C]) float32
    spread : (Y, X) float32
        As in :func:`mean_and_spread`, in the units of the results.

    Raises
    ------
    ValueError
        An LED array that no turn maps onto itself, or of another number of rows than the stack has planes.
    """
    symmetries = SYMMETRIES
    if leds is not None:
        if len(leds) != len(image):
            raise ValueError(f"the LED table has {len(leds)} rows for {len(image)} planes: give one row a plane")
        symmetries = led_symmetries(leds)
        if len(symmetries) < 2:
            raise ValueError("no turn by quarters or mirror maps these LEDs onto themselves: nothing can be turned")
    results = (one.back(np.asarray(method(np.ascontiguousarray(one.turn(image))))) for one in symmetries)
    return mean_and_spread(results)


def turned_spread(image: Array, method: Callable[[Array], npt.ArrayLike]) -> Array:
    """Return the spread alone of :func:`turned_mean_and_spread`: eight times the work of one restoration."""
    return turned_mean_and_spread(image, method)[1]


def mean_and_spread(results: Iterable[npt.ArrayLike]) -> tuple[Array, Array]:
    """Return the mean (Y, X[, C]) and the standard deviation (Y, X) of several results, float32.

    ``s^2 = sum (x - mean)^2 / (n - 1)``, of colours the root of its mean. One result after the other is taken (Welford
    1962, Technometrics 4:419), so that three images are held, however many there are.

    Examples
    --------
    >>> mean, spread = mean_and_spread([np.full((2, 2, 3), value) for value in (1, 2, 3)])
    >>> float(mean[0, 0, 0]), float(spread[0, 0])
    (2.0, 1.0)
    """
    count = 0
    mean = squares = np.zeros((), np.float32)
    for count, result in enumerate(results, 1):
        values = np.asarray(result, np.float32)
        change = values - mean
        mean = mean + change / np.float32(count)
        squares = squares + change * (values - mean)
    if count < 2:
        raise ValueError(f"{count} result has no spread: give two or more")
    variance = squares / np.float32(count - 1)
    return mean, np.sqrt(variance if variance.ndim == 2 else variance.mean(axis=-1))
