"""Where the pixels of one image lie in another: an affine map, and what it is made of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Placement:
    """``target = matrix @ input + shift_px``, in pixels of the two images, points as (y, x).

    Parameters
    ----------
    matrix : (2, 2) array
    shift_px : (2,) array
        In pixels of the target.

    Examples
    --------
    >>> place = Placement(2 * np.eye(2), np.array([1.0, 0.0]))
    >>> place([3, 4]).tolist(), place.inverse()([7, 8]).tolist(), place.scale
    ([7.0, 8.0], [3.0, 4.0], 2.0)
    """

    matrix: Array
    shift_px: Array

    def __call__(self, points_px: npt.ArrayLike) -> Array:
        """Return where points (..., 2) of the input lie in the target."""
        return np.asarray(np.asarray(points_px, float) @ self.matrix.T + self.shift_px)

    def inverse(self) -> Placement:
        """Return the way back."""
        back = np.asarray(np.linalg.inv(self.matrix), np.float64)
        return Placement(back, -back @ self.shift_px)

    @property
    def scale(self) -> float:
        """Pixels of the target for one of the input: the root of the determinant."""
        return float(np.sqrt(abs(np.linalg.det(self.matrix))))

    @property
    def mirrored(self) -> bool:
        """Whether one image is the mirror image of the other."""
        return bool(np.linalg.det(self.matrix) < 0)

    @property
    def rotation_deg(self) -> float:
        """Angle of the rotation that is nearest to the map; positive is clockwise on the screen."""
        (yy, yx), (xy, xx) = self.matrix
        return float(np.degrees(np.arctan2(yx - xy, yy + xx)))

    @property
    def shear_deg(self) -> float:
        """By how much the angle between rows and columns differs from a right one."""
        rows, columns = (axis / np.linalg.norm(axis) for axis in self.matrix.T)
        return float(np.degrees(np.arcsin(np.clip(rows @ columns, -1, 1))))

    @property
    def anisotropy(self) -> float:
        """Largest scale over the smallest of all directions; 1 where a circle stays one."""
        largest, smallest = np.linalg.svd(self.matrix, compute_uv=False)
        return float(largest / smallest)
