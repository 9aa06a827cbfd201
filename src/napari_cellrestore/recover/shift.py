"""The shift between the two images of a pair."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import fft

from napari_cellrestore.isotropy import Rings
from napari_cellrestore.recover.estimate import Estimate
from napari_cellrestore.recover.noise import weights_of
from napari_cellrestore.recover.recovery import SHIFT_PX
from napari_cellrestore.recover.rings import RingSums, ends
from napari_cellrestore.recover.spectra import Spectra
from napari_cellrestore.register import common_area, estimate_shift, shift_plane

Array = np.ndarray


def shift_warning(shift_px: tuple[float, float]) -> str:
    """Return what is to be said of a shift, "" if it does not matter."""
    if max(map(abs, shift_px)) <= SHIFT_PX:
        return ""
    dy, dx = shift_px
    return f"blurred lies {dy:.1f}, {dx:.1f} px off the sharp image: align them first (align_pair; --align in a shell)"


def align_pair(
    sharp: npt.ArrayLike, blurred: npt.ArrayLike, shift_px: tuple[float, float] = (0.0, 0.0)
) -> tuple[Array, Array, tuple[float, float]]:
    """Move the blurred image onto the sharp one, and cut both to what they have in common.

    By :func:`napari_cellrestore.register.estimate_shift`, which begins at the shift that is known.

    Parameters
    ----------
    sharp, blurred : (Y, X) arrays
    shift_px : (float, float)
        How far the blurred image lies off, as :attr:`PsfRecovery.shift_px` says.

    Returns
    -------
    sharp, blurred : arrays of one shape
    moved_px : (float, float)
        By how many rows and columns the blurred image was moved.

    Examples
    --------
    >>> from scipy import ndimage
    >>> scene = ndimage.gaussian_filter(np.random.default_rng(0).normal(100, 50, (80, 90)), 2)
    >>> sharp, blurred, moved_px = align_pair(scene[10:74, 10:74], scene[7:71, 12:76])
    >>> moved_px, sharp.shape, bool(np.allclose(sharp, blurred))
    ((-3.0, 2.0), (61, 62), True)
    """
    sharp, blurred = np.asarray(sharp), np.asarray(blurred)
    moved_px = estimate_shift(sharp, blurred, start=(-shift_px[0], -shift_px[1]))
    rows, columns = common_area([moved_px], (sharp.shape[0], sharp.shape[1]))
    return sharp[rows, columns], shift_plane(blurred, moved_px)[rows, columns], moved_px


def shift_of(
    geometry: Rings, spectra: Sequence[Spectra], rings: RingSums, found: Estimate, cutoff: int
) -> tuple[float, float]:
    """Return how far the blurred images lie off the sharp ones: the maximum of their correlation.

    Of frequencies up to the first zero of the transfer function, each as much as it can tell:
    :func:`napari_cellrestore.register.estimate_shift`, for planes near focus, takes fixed ones, and misses by 10 px where
    their contrast is reversed.
    """
    height = ends(found.curve, geometry.rings)[0] / found.curve[0]
    counted = np.logical_and.accumulate(height > 0.2) & (np.arange(geometry.rings) < min(cutoff, geometry.inside, 100))
    weight = np.where(counted, weights_of(rings, found.curve, found.noise) * height, 0)
    # Only so many low frequencies are needed: their block of the spectrum, finely interpolated.
    last = max(int(np.flatnonzero(weight).max(initial=1)), 1)
    rows, columns = (int(last * length / min(geometry.shape)) + 1 for length in geometry.shape)
    down = np.r_[0:rows, -rows + 1 : 0]
    weights = weight[geometry.index[np.abs(down), :columns]]
    product = np.sum([pair.sharp[down, :columns].conj() * pair.blurred[down, :columns] for pair in spectra], 0)
    fine = tuple(fft.next_fast_len(6 * length, real=True) for length in (rows, columns))
    block = np.zeros((fine[0], columns), complex)
    block[down] = weights * product
    likeness = fft.irfft2(block, fine)
    y, x = np.unravel_index(np.argmax(likeness), fine)
    scale_y, scale_x = (length / n for length, n in zip(geometry.shape, fine, strict=True))
    return _peak(likeness[:, x], int(y)) * scale_y, _peak(likeness[y], int(x)) * scale_x


def _peak(values: Array, index: int) -> float:
    """Return where the parabola through the highest of periodic values and its neighbours has its top; signed."""
    before, top, after = (float(values[(index + k) % len(values)]) for k in (-1, 0, 1))
    bend = before - 2 * top + after
    place = index + (0.5 * (before - after) / bend if bend < 0 else 0.0)
    return place - len(values) if place > len(values) / 2 else place
