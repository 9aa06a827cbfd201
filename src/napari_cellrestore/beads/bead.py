"""Beads as they were measured, and the point-spread function that they are of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from napari_cellrestore.objective import Objective

Array = np.ndarray

Zyx = tuple[float, float, float]


@dataclass(frozen=True)
class Bead:
    """One bead, or what was taken for one.

    Attributes
    ----------
    zyx_px : (float, float, float)
        Plane, row and column; between pixels if it was measured.
    peak : float
        Grey levels above the background.
    fwhm_um : (float, float, float)
        Full width at half maximum along z, y, x by Gaussians; NaN if it was not measured.
    reason : str
        Why it was left out, "" if it was used.
    """

    zyx_px: Zyx
    peak: float
    fwhm_um: Zyx = (np.nan, np.nan, np.nan)
    reason: str = ""


@dataclass(frozen=True, eq=False)
class BeadPsf:
    """What :func:`measure_beads` returns. Widths are full widths at half maximum along z, y, x, in um.

    Attributes
    ----------
    psf : (Z, Y, X) array
        Average of the beads, aligned within a pixel, without background, each with the same weight; sum 1. The centre is
        the voxel ``(Z // 2, Y // 2, X // 2)``.
    beads : tuple of Bead
        Used and left out, from top to bottom.
    fwhm_um : (float, float, float)
        Of the average.
    expected_um : (float, float, float) or None
        Of the theory for the objective, measured by the same fit: see :func:`expected_fwhm`.
    saturation : float or None
        Grey level that was taken for saturated.
    diameter_um : float or None
        Of the beads themselves; None where it is not known.
    corrected_um : (float, float, float) or None
        ``mean_um`` without the beads' own size, see :func:`without_size`; None where the diameter is not known or larger.
    warnings : tuple of str
        Reasons for doubt, each with what to do.
    """

    psf: Array
    pixel_um: float
    z_step_um: float
    beads: tuple[Bead, ...]
    fwhm_um: Zyx
    objective: Objective | None = None
    expected_um: Zyx | None = None
    saturation: float | None = None
    diameter_um: float | None = None
    corrected_um: Zyx | None = None
    warnings: tuple[str, ...] = ()

    @property
    def used(self) -> tuple[Bead, ...]:
        """The beads of the average."""
        return tuple(bead for bead in self.beads if not bead.reason)

    @property
    def left_out(self) -> tuple[Bead, ...]:
        """The beads that were left out, each with its reason."""
        return tuple(bead for bead in self.beads if bead.reason)

    @cached_property
    def mean_um(self) -> Zyx:
        """Mean of the widths of the single beads."""
        return zyx(np.mean([bead.fwhm_um for bead in self.used], 0))

    @cached_property
    def std_um(self) -> Zyx:
        """Standard deviation of the widths from bead to bead; NaN for one bead."""
        widths = np.array([bead.fwhm_um for bead in self.used])
        return zyx(widths.std(0, ddof=1) if len(widths) > 1 else np.full(3, np.nan))


def reasons(beads: Sequence[Bead]) -> str:
    """Return why beads were left out, with how many, the most frequent reason first.

    >>> reasons([Bead((0, 0, 0), 1, reason="saturated (3 pixels)"), Bead((0, 0, 9), 1, reason="saturated (1 pixel)")])
    '2 saturated'
    """
    kinds = [bead.reason.split(" (")[0] for bead in beads if bead.reason]
    return ", ".join(f"{kinds.count(kind)} {kind}" for kind in sorted(set(kinds), key=kinds.count, reverse=True))


def zyx(values: npt.ArrayLike) -> Zyx:
    """Return three numbers as a tuple."""
    z, y, x = (float(value) for value in np.asarray(values, float))
    return z, y, x
