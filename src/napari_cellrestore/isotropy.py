"""Isotropic images: the operator B that spins a radial curve into a plane, its inverse and the projection.

Werth & Matlock 2018, section 3.6. A pixel at distance ``d`` from the centre is interpolated linearly between the
radii ``floor d`` and ``floor d + 1``, so ``B`` has two entries a row and ``B^T B`` is tridiagonal: sums over rings and
one banded solve replace the dense matrices for which the report gives up its direct method.

Distances depend on the size of the plane only. Those of the last :data:`REMEMBERED` sizes are kept, a quarter plane
each (about 6 MB for 1040 x 1388), because all four quadrants share them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.linalg import solveh_banded

Array = np.ndarray
Steps = tuple[float, float]

#: How many sizes of planes are remembered.
REMEMBERED = 8


def radial_operator(shape: tuple[int, int], *, steps: Steps = (1.0, 1.0)) -> sparse.csr_array:
    """Return the sparse operator B of a centred plane, (Y * X, R).

    Row ``y * X + x`` holds ``1 - (d - floor d)`` in column ``floor d`` and ``d - floor d`` in the next one, where ``d``
    is the distance from pixel ``(Y // 2, X // 2)``. Columns are the radii ``0 .. R - 1`` with ``R = min(Y, X) // 2``, at
    least 1. Rows of pixels beyond the last radius are zero.

    Parameters
    ----------
    shape : (int, int)
        Rows and columns of the plane, odd or even.
    steps : (float, float)
        Distance of neighbouring rows and of neighbouring columns. ``(1, 1)``, pixels, is right for images; the
        frequencies of a frame that is not square are isotropic with :func:`spectrum_steps`.

    Raises
    ------
    ValueError
        An empty plane; steps that are not positive.

    Examples
    --------
    >>> radial_operator((4, 4)).toarray()[:, 0].reshape(4, 4).round(2)  # the pixels at sqrt(2) lie beyond radius 1
    array([[0., 0., 0., 0.],
           [0., 0., 0., 0.],
           [0., 0., 1., 0.],
           [0., 0., 0., 0.]])
    """
    rings = rings_of(*_checked(shape, steps))
    quarter = np.arange(rings.index.size).reshape(rings.index.shape)
    pixel = unfold(quarter, rings.shape).ravel()
    ring, fraction = rings.index.ravel()[pixel], rings.fraction.ravel()[pixel]
    inside = np.flatnonzero(ring < rings.inside)
    rows = np.concatenate([inside, inside])
    columns = np.concatenate([ring[inside], ring[inside] + 1])
    weights = np.concatenate([1 - fraction[inside], fraction[inside]])
    full = sparse.csr_array((weights, (rows, columns)), shape=(pixel.size, rings.inside + 1))
    operator = full[:, : rings.radii]
    operator.eliminate_zeros()
    return operator


def radial_profile(image: npt.ArrayLike, *, steps: Steps = (1.0, 1.0)) -> Array:
    """Return the radial curve whose plane is nearest to the image, ``(B^T B)^-1 B^T image``, (R,) float64.

    Examples
    --------
    >>> y, x = np.ogrid[-8:8, -8:8]
    >>> radial_profile(3 - 0.25 * np.hypot(y, x))
    array([3.  , 2.75, 2.5 , 2.25, 2.  , 1.75, 1.5 , 1.25])
    """
    plane = _plane(image)
    rings = rings_of(*_checked(plane.shape, steps))
    folded = fold(plane)
    return rings.solve(rings.sums(folded), rings.sums(folded * rings.fraction))


def expand_profile(profile: npt.ArrayLike, shape: tuple[int, int], *, steps: Steps = (1.0, 1.0)) -> Array:
    """Return the centred plane ``B x`` of a radial curve, 0 beyond its last radius.

    Examples
    --------
    >>> expand_profile([1, 0.5], (4, 4))
    array([[0. , 0. , 0. , 0. ],
           [0. , 0. , 0.5, 0. ],
           [0. , 0.5, 1. , 0.5],
           [0. , 0. , 0.5, 0. ]])
    """
    rings = rings_of(*_checked(shape, steps))
    profile = np.asarray(profile, float)
    if profile.shape != (rings.radii,):
        raise ValueError(f"profile has shape {profile.shape}: a plane of {rings.shape} has {rings.radii} radii")
    return unfold(rings.spread(profile), rings.shape)


def project_isotropic(image: npt.ArrayLike, *, steps: Steps = (1.0, 1.0)) -> Array:
    """Return the isotropic image nearest to ``image``: ``B (B^T B)^-1 B^T image``, float64 of the same shape.

    Idempotent and symmetric; pixels beyond the last radius become 0. Costs less than one FFT of the image.

    Differs from Werth & Matlock 2018, section 3.6, who call ``(B^T B)^-1 B^T`` the projection: that is
    :func:`radial_profile`.

    Examples
    --------
    >>> image = np.random.default_rng(0).normal(size=(33, 40))
    >>> once = project_isotropic(image)
    >>> bool(np.allclose(project_isotropic(once), once))
    True
    """
    plane = _plane(image)
    return expand_profile(radial_profile(plane, steps=steps), plane.shape, steps=steps)


def spectrum_steps(shape: tuple[int, int]) -> Steps:
    """Return the steps with which the spectrum of a frame is isotropic in cycles per length.

    The spectrum of Y rows has steps of 1 / Y cycles per pixel. Radii count the shorter side's, ``1 / min(Y, X)``, so
    the last one is next to the Nyquist frequency, which both sides share.

    Examples
    --------
    >>> spectrum_steps((100, 200))
    (1.0, 0.5)
    """
    (rows, columns), _ = _checked(shape, (1.0, 1.0))
    shorter = min(rows, columns)
    return shorter / rows, shorter / columns


# --- rings -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Rings:
    """The distances of a plane from its centre, on the quarter (Y // 2 + 1, X // 2 + 1) that all quadrants share.

    Ring ``i`` holds the distances from ``i`` to below ``i + 1`` (the last radius itself counts to the ring before it);
    ``index`` is the ring of a pixel and ``fraction`` the rest of its distance. Rings below ``inside`` are those of B.
    """

    shape: tuple[int, int]
    index: Array
    fraction: Array

    @property
    def radii(self) -> int:
        """Number of radii R."""
        return _radii(self.shape)

    @property
    def inside(self) -> int:
        """Number of rings between the radii; a plane too small to have any has one, with the centre alone in it."""
        return max(self.radii - 1, 1)

    @cached_property
    def rings(self) -> int:
        """Number of rings up to the corner."""
        return int(self.index.max()) + 1

    @cached_property
    def counts(self) -> tuple[Array, Array, Array]:
        """Sums over the pixels of each ring of ``fraction`` to the power 0, 1 and 2."""
        ones = fold(np.ones(self.shape))
        return self.sums(ones), self.sums(ones * self.fraction), self.sums(ones * self.fraction**2)

    def sums(self, quarter: Array) -> Array:
        """Return the sums over rings of a folded plane."""
        return np.bincount(self.index.ravel(), quarter.ravel(), self.rings)

    def spread(self, profile: Array) -> Array:
        """Return the quarter plane of ``B x``, 0 beyond the last radius."""
        start, rise = np.zeros((2, max(self.rings, self.inside)))
        ends = np.append(profile, 0.0)[: self.inside + 1]
        start[: self.inside], rise[: self.inside] = ends[:-1], np.diff(ends)
        quarter = rise[self.index]
        quarter *= self.fraction
        quarter += start[self.index]
        return np.asarray(quarter)

    def solve(self, sums: Array, sums_fraction: Array) -> Array:
        """Return ``(B^T B)^-1 B^T`` of a plane from its sums over rings, plain and weighted with ``fraction``."""
        diagonal, beside = gather_squares(*(count[: self.inside] for count in self.counts))
        diagonal[diagonal == 0] = 1  # the second radius of a plane that has one only
        banded = np.stack([np.append(0, beside), diagonal])
        return np.asarray(solveh_banded(banded, gather(sums[: self.inside], sums_fraction[: self.inside])))[
            : self.radii
        ]


@lru_cache(maxsize=REMEMBERED)
def rings_of(shape: tuple[int, int], steps: Steps) -> Rings:
    """Return the rings of a plane; the distances are those of pixels times ``steps``."""
    y, x = (np.arange(length // 2 + 1) * step for length, step in zip(shape, steps, strict=True))
    distance = np.hypot(y[:, None], x)
    index = distance.astype(np.intp)
    last = _radii(shape) - 1
    index[distance == last] = max(last - 1, 0)
    if last == 0:
        index[distance > 0] += 1
    return Rings(shape, index, distance - index)


def gather(sums: Array, sums_fraction: Array) -> Array:
    """Return ``B^T p`` from the sums of ``p`` and of ``p * fraction`` over rings; one radius more than rings."""
    result = np.zeros(len(sums) + 1)
    result[:-1] = sums - sums_fraction
    result[1:] += sums_fraction
    return result


def gather_squares(sums: Array, sums_fraction: Array, sums_fraction2: Array) -> tuple[Array, Array]:
    """Return diagonal and off-diagonal of ``B^T diag(q) B`` from the sums of ``q fraction^0, ^1, ^2`` over rings."""
    diagonal = np.zeros(len(sums) + 1)
    diagonal[:-1] = sums - 2 * sums_fraction + sums_fraction2
    diagonal[1:] += sums_fraction2
    return diagonal, sums_fraction - sums_fraction2


def fold(plane: Array) -> Array:
    """Return the sum of the four quadrants of a centred plane, (Y // 2 + 1, X // 2 + 1), the centre in its corner."""
    y, x = (length // 2 for length in plane.shape)
    half = np.zeros((y + 1, plane.shape[1]))
    half[: len(plane) - y] = plane[y:]
    half[1:] += plane[:y][::-1]
    quarter = np.zeros((y + 1, x + 1))
    quarter[:, : plane.shape[1] - x] = half[:, x:]
    quarter[:, 1:] += half[:, :x][:, ::-1]
    return quarter


def unfold(quarter: Array, shape: tuple[int, int]) -> Array:
    """Return the centred plane whose four quadrants are all ``quarter``."""
    half = np.concatenate([quarter[:0:-1], quarter[: shape[0] - shape[0] // 2]])
    return np.concatenate([half[:, :0:-1], half[:, : shape[1] - shape[1] // 2]], axis=1)


def _radii(shape: tuple[int, int]) -> int:
    return max(min(shape) // 2, 1)


# --- what came in ----------------------------------------------------------------------------------------------


def _plane(image: npt.ArrayLike) -> Array:
    plane = np.asarray(image)
    if plane.ndim != 2 or plane.size == 0:
        raise ValueError(f"image has shape {plane.shape}: give one plane (Y, X)")
    if plane.dtype.kind not in "buif":
        raise TypeError(f"image has dtype {plane.dtype}: give real numbers (integer, float or bool)")
    return plane


def _checked(shape: tuple[int, ...], steps: Steps) -> tuple[tuple[int, int], Steps]:
    if len(shape) != 2 or min(shape) < 1:
        raise ValueError(f"shape is {tuple(shape)}: give (rows, columns), 1 or more of each")
    if len(steps) != 2 or not all(np.isfinite(step) and step > 0 for step in steps):
        raise ValueError(f"steps are {steps}: give two positive distances, of neighbouring rows and columns")
    return (int(shape[0]), int(shape[1])), (float(steps[0]), float(steps[1]))
