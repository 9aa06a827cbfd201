"""How one scan of a slide lies on another: a scale, a turn and a shift."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

#: Points from which scale and rotation are fitted; with fewer only the shift is.
FEWEST = 6
#: Points that the search for a first fit looks at: all their pairs are tried.
_MOST = 80


@dataclass(frozen=True)
class Similarity:
    """``to = scale * turn(rotation) * from + shift``, in micrometres, points as (y, x).

    Parameters
    ----------
    scale : float
        1 where both pixel sizes are what they are said to be.
    rotation_deg : float
        Positive turns from the columns to the rows: clockwise on the screen.
    shift_um : (float, float)
        Down and right.

    Examples
    --------
    >>> quarter = Similarity(rotation_deg=90, shift_um=(1, 0))
    >>> quarter([0, 2]).round(9).tolist(), quarter.inverse()([3, 0]).round(9).tolist()
    ([3.0, 0.0], [0.0, 2.0])
    """

    scale: float = 1.0
    rotation_deg: float = 0.0
    shift_um: tuple[float, float] = (0.0, 0.0)

    @property
    def matrix(self) -> Array:
        """The (2, 2) matrix of scale and turn."""
        angle = np.radians(self.rotation_deg)
        return self.scale * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])

    def __call__(self, points_um: npt.ArrayLike) -> Array:
        """Return where points (..., 2) come to lie."""
        return np.asarray(np.asarray(points_um, float) @ self.matrix.T + self.shift_um)

    def inverse(self) -> Similarity:
        """Return the way back."""
        back = Similarity(1 / self.scale, -self.rotation_deg)
        dy, dx = -back(self.shift_um)
        return Similarity(back.scale, back.rotation_deg, (float(dy), float(dx)))

    def after(self, first: Similarity) -> Similarity:
        """Return what ``first`` and then this one do."""
        dy, dx = self(first.shift_um)
        return Similarity(self.scale * first.scale, self.rotation_deg + first.rotation_deg, (float(dy), float(dx)))


def fit_similarity(
    from_um: npt.ArrayLike, to_um: npt.ArrayLike, *, near_um: float
) -> tuple[Similarity, npt.NDArray[np.bool_]]:
    """Fit a similarity to pairs of points of which up to half may be wrong.

    Points are complex numbers, ``to = a * from + b``. Of the exact fits to two points the one with the least median
    distance is taken (least median of squares, Rousseeuw 1984, J. Am. Stat. Assoc. 79:871), then least squares over the
    points near it. All pairs of points are tried, so no chance is in it.

    Parameters
    ----------
    from_um, to_um : (N, 2) arrays
        Points as (y, x).
    near_um : float
        Points at most this far from the fit agree with it.

    Returns
    -------
    similarity : Similarity
        With fewer than :data:`FEWEST` points only a shift, their median.
    agree : (N,) bool array

    Examples
    --------
    >>> here = np.random.default_rng(0).uniform(0, 100, (20, 2))
    >>> there = Similarity(1.02, 1.5, (3, -4))(here)
    >>> there[:6] += 5
    >>> found, agree = fit_similarity(here, there, near_um=0.5)
    >>> round(found.scale, 6), round(found.rotation_deg, 6), int(agree.sum())
    (1.02, 1.5, 14)
    """
    ours, theirs = (np.asarray(points, float).reshape(-1, 2) for points in (from_um, to_um))
    if ours.shape != theirs.shape or not len(ours):
        raise ValueError(f"{len(ours)} points for {len(theirs)}: give one for each, and at least one")
    if len(ours) < FEWEST:
        dy, dx = np.median(theirs - ours, axis=0)
        shift = Similarity(shift_um=(float(dy), float(dx)))
        return shift, np.hypot(*(shift(ours) - theirs).T) <= near_um
    z, w = (points[:, 1] + 1j * points[:, 0] for points in (ours, theirs))
    a, b = _least_median(z, w)
    for _ in range(5):  # the points that agree and the fit to them settle each other
        agree = np.abs(a * z + b - w) <= near_um
        if agree.sum() < 2:
            break
        a, b = _least_squares(z[agree], w[agree])
    return _of(a, b), np.abs(a * z + b - w) <= near_um


def _least_median(z: npt.NDArray[np.complex128], w: npt.NDArray[np.complex128]) -> tuple[complex, complex]:
    some = np.linspace(0, len(z) - 1, min(len(z), _MOST)).round().astype(int)
    one, two = (some[index] for index in np.triu_indices(len(some), 1))
    far = np.abs(z[one] - z[two]) >= np.median(np.abs(z[one] - z[two]))  # near points tell little of a turn
    one, two = one[far], two[far]
    a = (w[one] - w[two]) / (z[one] - z[two])
    b = w[one] - a * z[one]
    best = np.argmin(np.median(np.abs(a[:, None] * z[some] + b[:, None] - w[some]), axis=1))
    return complex(a[best]), complex(b[best])


def _least_squares(z: npt.NDArray[np.complex128], w: npt.NDArray[np.complex128]) -> tuple[complex, complex]:
    from_mean, to_mean = z - z.mean(), w - w.mean()
    a = np.vdot(from_mean, to_mean) / np.vdot(from_mean, from_mean)
    return complex(a), complex(w.mean() - a * z.mean())


def _of(a: complex, b: complex) -> Similarity:
    return Similarity(float(abs(a)), float(np.degrees(np.angle(a))), (float(b.imag), float(b.real)))
