"""What the PSF widget computes beside the window: generators for :class:`napari_cellrestore.gui.background.Background`.

``planes`` are :class:`napari_cellrestore.gui.watched.WatchedPlanes`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from threading import Event
from typing import Any

import numpy as np

from napari_cellrestore.beads import BeadPsf, measure_beads
from napari_cellrestore.focus import sharpest
from napari_cellrestore.gui.watched import Stopped
from napari_cellrestore.kernels import best_defocus, recover_series, relative_theory
from napari_cellrestore.objective import Objective
from napari_cellrestore.recover import FieldRecovery, PsfRecovery, align_pair, recover_field, recover_psf
from napari_cellrestore.register import common_area


@dataclass(frozen=True, eq=False)
class Recovered:
    """A kernel as it is shown.

    Attributes
    ----------
    plane, reference : int or None
        Of the stack; None of two layers.
    theory : (R,) array or None
        Relative transfer function that theory expects, with known optics.
    defocus_um : float or None
        That of the theory: the known distance of the planes, or the one that fits best.
    distance_known : bool
        Which of the two it is.
    moved_px : (float, float) or None
        By how much the blurred image was moved first.
    """

    found: PsfRecovery
    plane: int | None = None
    reference: int | None = None
    theory: np.ndarray | None = None
    defocus_um: float | None = None
    distance_known: bool = False
    moved_px: tuple[float, float] | None = None


@dataclass(frozen=True, eq=False)
class FieldMap:
    """Widths over the field, and the pixel of the sharp image at which the field begins: images that are moved are cut."""

    found: FieldRecovery
    origin_px: tuple[int, int] = (0, 0)


def pair_work(
    _stop: Event, sharp: Any, blurred: Any, pixel_um: float, how: dict[str, Any], off_px: tuple[float, float] | None
) -> Iterator[Recovered]:
    """Yield the kernel of two planes, lazy ones too; where the blurred one is known to lie off, it is moved first."""
    sharp, blurred, moved_px = np.asarray(sharp), np.asarray(blurred), None
    if off_px is not None:
        sharp, blurred, moved_px = align_pair(sharp, blurred, off_px)
    yield _with_theory(recover_psf(sharp, blurred, pixel_um, **how), None, moved_px=moved_px)


def pair_field_work(
    _stop: Event,
    sharp: Any,
    blurred: Any,
    pixel_um: float,
    grid: tuple[int, int],
    how: dict[str, Any],
    moved_px: tuple[float, float] | None,
) -> Iterator[FieldMap]:
    """Yield the widths over the field of two planes; with ``moved_px`` the blurred one is moved first."""
    sharp, blurred, origin_px = np.asarray(sharp), np.asarray(blurred), (0, 0)
    if moved_px is not None:
        whole = sharp.shape
        sharp, blurred, moved_px = align_pair(sharp, blurred, (-moved_px[0], -moved_px[1]))
        rows, columns = common_area([moved_px], (whole[0], whole[1]))
        origin_px = (rows.start or 0, columns.start or 0)
    yield FieldMap(recover_field(sharp, blurred, pixel_um, grid=grid, **how), origin_px)


def plane_field_work(
    stop: Event,
    planes: Any,
    plane: int,
    pixel_um: float,
    grid: tuple[int, int],
    how: dict[str, Any],
    moved_px: tuple[float, float] | None,
) -> Iterator[FieldMap]:
    """Yield the widths over the field of a plane of a stack against its sharpest."""
    planes.stop = stop
    try:
        reference = _other_than(plane, planes)
        yield from pair_field_work(stop, planes[reference], planes[plane], pixel_um, grid, how, moved_px)
    except Stopped:
        return


def series_work(
    stop: Event,
    planes: Any,
    pixel_um: float,
    z_um: np.ndarray | None,
    chosen: Sequence[int] | None,
    how: dict[str, Any],
) -> Iterator[Recovered | tuple[int, str]]:
    """Yield the kernel of planes of a stack against its sharpest; of one that cannot be used its number and why."""
    planes.stop = stop
    try:
        reference = sharpest(planes) if chosen is None else _other_than(chosen[0], planes)
        for plane, found in recover_series(planes, pixel_um, reference=reference, planes=chosen, **how):
            if isinstance(found, str):
                yield plane, found
                continue
            away_um = None if z_um is None else float(abs(z_um[plane] - z_um[reference]))
            # In a long series the distance is only taken where it is known: finding it takes longer than the kernel.
            wanted = away_um is not None or (chosen is not None and len(chosen) == 1)
            where: dict[str, Any] = {"plane": plane, "reference": reference}
            yield _with_theory(found, away_um, **where) if wanted else Recovered(found, **where)
    except Stopped:
        return


def registered_plane(
    stop: Event,
    planes: Any,
    reference: int,
    plane: int,
    pixel_um: float,
    how: dict[str, Any],
    off_px: tuple[float, float],
) -> Iterator[Recovered]:
    """Yield the kernel of one plane of a stack, moved onto the sharpest first."""
    planes.stop = stop
    for result in pair_work(stop, planes[reference], planes[plane], pixel_um, how, off_px):
        yield Recovered(**{**vars(result), "plane": plane, "reference": reference})


def beads_work(
    stop: Event,
    planes: Any,
    pixel_um: float,
    z_step_um: float,
    objective: Objective | None,
    diameter_um: float | None,
) -> Iterator[BeadPsf]:
    """Yield what beads say."""
    planes.stop = stop
    try:
        yield measure_beads(planes, pixel_um, z_step_um, objective=objective, diameter_um=diameter_um)
    except Stopped:
        return


def _other_than(plane: int, planes: Any) -> int:
    """Return the sharpest plane, which this one must not be."""
    reference = int(sharpest(planes))
    if plane == reference:
        raise ValueError(f"plane {reference} is the sharpest itself: move the slider to another")
    return reference


def _with_theory(found: PsfRecovery, away_um: float | None, **where: Any) -> Recovered:
    if found.objective is None:
        return Recovered(found, **where)
    if away_um is not None:
        return Recovered(
            found, **where, theory=relative_theory(found, away_um), defocus_um=away_um, distance_known=True
        )
    defocus_um, theory = best_defocus(found)
    return Recovered(found, **where, theory=theory, defocus_um=defocus_um)
