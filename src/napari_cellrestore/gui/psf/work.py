"""What the PSF widget computes beside the window: generators for :class:`napari_cellrestore.gui.background.Background`.

``planes`` are :class:`napari_cellrestore.gui.watched.WatchedPlanes`.
"""

from __future__ import annotations

import re
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
from napari_cellrestore.recover import PsfRecovery, recover_psf
from napari_cellrestore.register import common_area, estimate_shift, shift_plane

#: What a warning of :func:`napari_cellrestore.recover.recover_psf` says of a shift.
SHIFTED = re.compile(r"blurred lies (-?[\d.]+), (-?[\d.]+) px off the sharp image")


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


def pair_work(
    _stop: Event, sharp: Any, blurred: Any, pixel_um: float, how: dict[str, Any], register: tuple[float, float] | None
) -> Iterator[Recovered]:
    """Yield the kernel of two planes, lazy ones too; with ``register`` the blurred one is moved first, beginning there."""
    sharp, blurred = np.asarray(sharp), np.asarray(blurred)
    if register is not None:
        register, sharp, blurred = _registered(sharp, blurred, register)
    found = recover_psf(sharp, blurred, pixel_um, **how)
    yield _with_theory(found, None, moved_px=register)


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
        reference = sharpest(planes)
        if chosen is not None and list(chosen) == [reference]:
            raise ValueError(f"plane {reference} is the sharpest itself: move the slider to another")
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
    stop: Event, planes: Any, reference: int, plane: int, pixel_um: float, how: dict[str, Any], start: Any
) -> Iterator[Recovered]:
    """Yield the kernel of one plane of a stack, moved onto the sharpest first."""
    planes.stop = stop
    for result in pair_work(stop, planes[reference], planes[plane], pixel_um, how, start):
        yield Recovered(**{**vars(result), "plane": plane, "reference": reference})


def beads_work(
    stop: Event, planes: Any, pixel_um: float, z_step_um: float | None, objective: Objective | None
) -> Iterator[BeadPsf]:
    """Yield what beads say."""
    planes.stop = stop
    try:
        yield measure_beads(planes, pixel_um, z_step_um, objective=objective)
    except Stopped:
        return


def shift_said(found: PsfRecovery) -> tuple[float, float] | None:
    """Return by how much the blurred image has to be moved, roughly, if a warning says that it lies off."""
    for text in found.warnings:
        if match := SHIFTED.search(text):
            return -float(match[1]), -float(match[2])
    return None


def _registered(
    sharp: np.ndarray, blurred: np.ndarray, start: tuple[float, float]
) -> tuple[tuple[float, float], np.ndarray, np.ndarray]:
    """Return the shift, and both images cut to what they have in common."""
    shift_px = estimate_shift(sharp, blurred, start=start)
    rows, columns = common_area([shift_px], sharp.shape[:2])
    return shift_px, sharp[rows, columns], shift_plane(blurred, shift_px)[rows, columns]


def _with_theory(found: PsfRecovery, away_um: float | None, **where: Any) -> Recovered:
    if found.objective is None:
        return Recovered(found, **where)
    if away_um is not None:
        return Recovered(
            found, **where, theory=relative_theory(found, away_um), defocus_um=away_um, distance_known=True
        )
    defocus_um, theory = best_defocus(found)
    return Recovered(found, **where, theory=theory, defocus_um=defocus_um)
