"""How far a restored image can be trusted: whether it explains the measured one, and what of it the data cannot tell.

A restored image that is right, blurred again as the microscope blurred it, is the measured image up to noise. Where it is
not, the restoration contradicts the data. Where the blur removes what was restored, the data cannot tell: it may be right
or invented, and nothing in the measured image says which. These are two kinds of doubt and shown as two.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy import fft, ndimage, optimize

from napari_cellrestore.filters import blur, kernels_of, mirrored, transfer_of
from napari_cellrestore.simulate import quantise

Array = np.ndarray
Psf = Array | Sequence[Array]

#: Sizes of structures that are looked for in the residual (standard deviation of a Gaussian, pixels).
SIZES_PX = (1.5, 3.0, 6.0)
#: From this many times its expected spread a residual contradicts the data.
CONTRADICTS = 3.0
#: From this amplitude, in units of the noise, restored structure counts that the data cannot tell.
CANNOT_TELL = 3.0
#: From this spread of the model over turned and mirrored images, in units of the noise, it is not sure.
UNSURE = 2.0


@dataclass(frozen=True)
class Verdict:
    """A kind of pixel: its number in a map of classes is its place in :data:`LEGEND`; its colour and what it means."""

    name: str
    colour: str
    brief: str
    meaning: str


#: The kinds of pixel, by their number in :attr:`Trust.classes`; colours are told apart by colour-blind eyes too.
LEGEND = (
    Verdict(
        "explained", "#009e73", "blurred again, as measured", "Blurred again, it is what was measured, up to noise."
    ),
    Verdict(
        "cannot tell",
        "#e69f00",
        "finer than the blur left",
        "Detail finer than what the blur left: the measured image neither confirms nor denies it.",
    ),
    Verdict(
        "model unsure",
        "#56b4e9",
        "differs when turned",
        "Turned or mirrored, the same image is restored differently here.",
    ),
    Verdict(
        "contradicts",
        "#d55e00",
        "added, missing or moved",
        "Blurred again, it is not what was measured: something is added, missing or moved.",
    ),
)

#: The kinds that can be told without asking the model.
UNASKED = tuple(verdict for verdict in LEGEND if verdict.name != "model unsure")


# --- maps ------------------------------------------------------------------------------------------------------


def consistency_map(blurred: npt.ArrayLike, restored: npt.ArrayLike, psf: Psf, noise_std: float | Array) -> Array:
    """Return how clearly the restored image contradicts the measured one, in units of the noise.

    The residual ``e = g - k * f`` is averaged over Gaussians of :data:`SIZES_PX` (each widened by the blur) and divided by
    the standard deviation that the noise has after the same averaging: ``z = (e * w) / (noise sqrt(sum w^2))``. The map is
    the largest ``|z|`` over sizes; of colours the root of the mean square. Where the restoration is right, one grey image
    exceeds 3 in about 0.9 % of its pixels.

    Parameters
    ----------
    blurred, restored : (Y, X) or (Y, X, C) array
        Measured image g and restored image f, in the same grey levels.
    psf : (y, x) array, or one for each colour
        Kernel k that leads from the restored image to the measured one, centred on ``(y // 2, x // 2)``; scaled to sum 1.
    noise_std : float or (Y, X) or (Y, X, C) array
        Standard deviation of the noise of a measured pixel, grey levels.

    Returns
    -------
    (Y, X) float32, not negative.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> scene = ndimage.gaussian_filter(rng.normal(size=(96, 96)), 2) * 100
    >>> kernel = np.ones((5, 5))
    >>> measured = blur(scene, psf=kernel) + rng.normal(0, 1, scene.shape)
    >>> invented = scene.copy()
    >>> invented[40:50, 40:50] += 2
    >>> z = consistency_map(measured, invented, kernel, 1.0)
    >>> bool(z[45, 45] > 6), float(np.mean(consistency_map(measured, scene, kernel, 1.0) > 3)) < 0.02
    (True, True)
    """
    values = _residual(blurred, restored, psf)
    noise = _noise(noise_std, values.shape)
    largest = np.zeros(values.shape[:2], np.float32)
    for size_px in SIZES_PX:
        z = _smoothed(values, noise, _width_px(psf, size_px))
        np.maximum(largest, np.sqrt(np.mean(np.square(z), axis=-1)), out=largest)
    return largest


def unseen_map(restored: npt.ArrayLike, psf: Psf, noise_std: float | Array) -> Array:
    """Return how much of the restored image the measured one cannot confirm, in units of the noise.

    At each spatial frequency the measured image holds the restored structure, weakened by the blur, and noise. The part
    ``1 - w`` with ``w = |K|^2 P / (|K|^2 P + N)`` (Wiener's weight; P is the power of the restored image around this
    frequency, N that of the noise) is not told by the data. The map is the local amplitude (over 3 px) of
    that part of the image, divided by the noise; of colours the root of the mean square.

    Parameters
    ----------
    restored, psf, noise_std
        As in :func:`consistency_map`.

    Returns
    -------
    (Y, X) float32, not negative.
    """
    return _unseen(restored, psf, noise_std)[0]


def smallest_told_px(restored: npt.ArrayLike, psf: Psf, noise_std: float) -> float:
    """Return the size in pixels (half a period) below which the measured image cannot tell what was restored.

    There the restored structure, weakened by the blur, falls below the noise for the first time, over all colours.
    """
    return _unseen(restored, psf, noise_std)[1]


def _unseen(restored: npt.ArrayLike, psf: Psf, noise_std: float | Array) -> tuple[Array, float]:
    """Return the map of :func:`unseen_map` and the size of :func:`smallest_told_px`."""
    image = _image(restored, "the restored image")
    noise = _noise(noise_std, image.shape)
    level = float(np.sqrt(np.mean(np.square(noise))))
    total, sizes = np.zeros(image.shape[:2]), []
    for channel, kernel in zip(np.moveaxis(image, -1, 0), kernels_of(psf, image.shape[-1]), strict=True):
        twice = mirrored(channel)
        spectrum = fft.rfft2(twice)
        weight, cutoff = _told(spectrum, twice.shape, kernel, level)
        unseen = fft.irfft2(spectrum * (1 - weight), twice.shape)[: channel.shape[0], : channel.shape[1]]
        total += ndimage.gaussian_filter(np.square(unseen), 3.0) / level**2
        sizes.append(0.5 / cutoff)
    return np.asarray(np.sqrt(total / image.shape[-1]), np.float32), float(min(sizes))


def estimate_noise(image: npt.ArrayLike) -> float:
    """Return the standard deviation of the noise of an image, from its finest detail.

    The mean square of the diagonal differences ``(a - b - c + d) / 2`` of 2 x 2 pixels in blocks of 16 x 16, of blocks the
    median: at most half of them may hold structure as fine as a pixel, which counts as noise. Of colours the root of the
    mean square. Differs from the usual median of absolute differences (Donoho & Johnstone 1994, Biometrika 81:425), which
    for integers of little noise can take a few values only.

    Examples
    --------
    >>> noisy = np.random.default_rng(0).normal(100, 2, (200, 200))
    >>> round(estimate_noise(noisy), 1)
    2.0
    """
    given = np.asarray(image)
    values = _image(given, "the image")
    squares = np.square((values[1:, 1:] - values[:-1, 1:] - values[1:, :-1] + values[:-1, :-1]) / 2)
    side = min(16, *squares.shape[:2])
    rows, columns = (n // side for n in squares.shape[:2])
    blocks = squares[: rows * side, : columns * side].reshape(rows, side, columns, side, -1).mean(axis=(1, 3))
    variance = float(np.median(blocks, axis=(0, 1)).mean())
    rounding = 1 / 12 if given.dtype.kind in "bui" else 0.0
    return float(np.sqrt(max(variance, rounding)))


# --- judgement -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Trust:
    """How far a restored image can be trusted, place by place.

    Attributes
    ----------
    contradiction : (Y, X) array
        Residual in units of what is expected of it: noise, and the errors that this kind of restoration makes at edges.
    unseen : (Y, X) array
        Restored structure that the data cannot tell, in units of the noise; see :func:`unseen_map`.
    spread : (Y, X) array or None
        Standard deviation over turned and mirrored copies, in units of the noise; None where not asked for.
    noise_std : float
        Of a measured pixel, grey levels.
    misfit : float
        Typical residual in units of the noise: 1 where the restored image explains the measured one completely.
    smallest_told_px : float
        See :func:`smallest_told_px`.
    """

    contradiction: Array
    unseen: Array
    spread: Array | None
    noise_std: float
    misfit: float
    smallest_told_px: float

    @cached_property
    def classes(self) -> Array:
        """Number of the kind of each pixel in :data:`LEGEND`, (Y, X) uint8; the gravest where several apply."""
        classes = np.zeros(self.contradiction.shape, np.uint8)
        classes[self.unseen > CANNOT_TELL] = 1
        if self.spread is not None:
            classes[self.spread > UNSURE] = 2
        classes[self.contradiction > CONTRADICTS] = 3
        return classes

    @cached_property
    def shares(self) -> dict[str, float]:
        """Part of the pixels of each kind, by its name."""
        counts = np.bincount(self.classes.ravel(), minlength=len(LEGEND))
        return {verdict.name: float(count / self.classes.size) for verdict, count in zip(LEGEND, counts, strict=True)}


def judge(
    blurred: npt.ArrayLike,
    restored: npt.ArrayLike,
    psf: Psf,
    *,
    noise_std: float | None = None,
    usual: tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
    usual_psf: Psf | None = None,
    spread: Array | None = None,
) -> Trust:
    """Judge a restored image by the measured one.

    Networks make errors wherever there are edges, also where nothing is invented. So that these do not hide what is, the
    residual is compared with what is usual: its spread is fitted as ``a + b |gradient|^2`` over the image, and where it is
    known what the same method leaves on a like image (``usual``), that is subtracted first.

    Parameters
    ----------
    blurred, restored, psf
        As in :func:`consistency_map`.
    noise_std : float, optional
        Of a measured pixel; default: :func:`estimate_noise` of ``blurred``.
    usual : (blurred, restored), optional
        The restored image blurred again, and what the same method makes of it: an image of which the truth is known.
    usual_psf : optional
        Kernel that leads from the one to the other; default: ``psf``.
    spread : (Y, X) array, optional
        See :class:`Trust`, in grey levels.
    """
    noise = estimate_noise(blurred) if noise_std is None else float(noise_std)
    if not (np.isfinite(noise) and noise > 0):
        raise ValueError(f"noise_std is {noise:g}: give the standard deviation of the noise in grey levels, above 0")
    values = _residual(blurred, restored, psf)
    if usual is not None:
        values = values - _residual(usual[0], usual[1], psf if usual_psf is None else usual_psf)
    image = _image(restored, "the restored image")
    edges = np.mean(
        [ndimage.gaussian_gradient_magnitude(channel, 1.5) ** 2 for channel in np.moveaxis(image, -1, 0)], axis=0
    )
    largest = np.zeros(values.shape[:2], np.float32)
    misfits = []
    for size_px in SIZES_PX:
        width = _width_px(psf, size_px)
        z = _smoothed(values, np.asarray(noise), width)
        local = ndimage.gaussian_filter(edges, width)
        expected = np.stack([_expected(channel, local) for channel in np.moveaxis(z, -1, 0)], axis=-1)
        misfits.append(_robust_std(z))
        np.maximum(largest, np.sqrt(np.mean(np.square(z / expected), axis=-1)), out=largest)
    unseen, smallest_px = _unseen(restored, psf, noise)
    return Trust(
        contradiction=largest,
        unseen=unseen,
        spread=None if spread is None else np.asarray(spread, np.float32) / np.float32(noise),
        noise_std=noise,
        misfit=float(max(misfits)),
        smallest_told_px=smallest_px,
    )


def judge_pair(
    measured: npt.ArrayLike,
    restored: npt.ArrayLike,
    *,
    noise_std: float | None = None,
    method: Callable[[Array], npt.ArrayLike] | None = None,
) -> Trust:
    """Judge a restored image by the measured one alone: the blur between them is found from the two.

    Parameters
    ----------
    measured, restored : (Y, X), (Y, X, 3) or (Y, X, 4) array
        In the same grey levels.
    noise_std : float, optional
        As in :func:`judge`.
    method : callable, optional
        Restores an image (Y, X) or (Y, X, 3) of the measured one's type, as the restored one was. It is asked nine times
        more: for the measured image turned and mirrored (:func:`turned_spread`), and for the restored image blurred again,
        since what it leaves there, where the truth is known, is what it usually leaves.

    Raises
    ------
    ValueError
        Images of unlike shape, not finite, or without structure.
    """
    if np.shape(measured) != np.shape(restored):
        raise ValueError(
            f"the measured image has shape {np.shape(measured)}, the restored one {np.shape(restored)}: give images of one "
            "field and size"
        )
    kernels = _explaining(measured, restored)
    if method is None:
        return judge(measured, restored, kernels, noise_std=noise_std)
    recorded, image = (
        values[..., :3] if values.ndim == 3 else values for values in map(np.asarray, (measured, restored))
    )
    again = blur(image, psf=kernels)
    usual = again, np.asarray(method(quantise(again, recorded.dtype)))
    return judge(
        measured,
        restored,
        kernels,
        noise_std=noise_std,
        usual=usual,
        usual_psf=_explaining(*usual),
        spread=turned_spread(recorded, method),
    )


def explaining_kernel(restored: npt.ArrayLike, measured: npt.ArrayLike) -> Array:
    """Return the isotropic kernel that explains most of a measured grey image (Y, X) by a restored one.

    Least squares for each ring of frequency, ``Re sum(conj(F) G) / sum |F|^2`` of both images less their mean under a Hann
    window. Unlike :func:`napari_cellrestore.recover.recover_psf` it takes nothing off for noise in the restored image: not the
    truest kernel is wanted here but the one that leaves least, so that what it leaves is not its own fault.

    Returns
    -------
    (Y, X) array, centred on ``(Y // 2, X // 2)``, sum 1.
    """
    fixed, blurred = (np.asarray(image, float) for image in (restored, measured))
    rows, columns = fixed.shape
    window = np.hanning(rows + 2)[1:-1, None] * np.hanning(columns + 2)[None, 1:-1]
    f, g = (fft.fft2((image - image.mean()) * window) for image in (fixed, blurred))
    shorter = min(rows, columns)
    radius = shorter * np.hypot(fft.fftfreq(rows)[:, None], fft.fftfreq(columns)[None, :])
    ring = np.rint(radius).astype(int)
    above, below = (np.bincount(ring.ravel(), part.ravel()) for part in ((f.conj() * g).real, np.abs(f) ** 2))
    if not below[1 : shorter // 2].all():
        raise ValueError("the restored image has no structure: there is nothing that could explain the measured one")
    curve = above / np.maximum(below, np.finfo(float).tiny)
    curve[0] = 1  # the mean stays
    curve[shorter // 2 :] = 0  # beyond the Nyquist frequency of the shorter side
    return np.asarray(fft.fftshift(fft.ifft2(np.interp(radius, np.arange(len(curve)), curve)).real))


def _explaining(measured: npt.ArrayLike, restored: npt.ArrayLike) -> list[Array]:
    """Return the kernel of each colour."""
    sharp, blurred = _image(restored, "the restored image"), _image(measured, "the measured image")
    return [explaining_kernel(sharp[..., c], blurred[..., c]) for c in range(sharp.shape[-1])]


def _expected(z: Array, edges: Array) -> Array:
    """Return the spread of ``z`` expected at each place, ``sqrt(a + b edges)``, fitted robustly over classes of edges."""
    steps = np.quantile(edges, np.linspace(0, 1, 13))
    classes = np.clip(np.searchsorted(steps, edges) - 1, 0, 11)
    found = [(edges[classes == n].mean(), _robust_std(z[classes == n]) ** 2) for n in range(12) if (classes == n).any()]
    strength, variance = np.array(found).T
    (flat, slope), _ = optimize.nnls(np.column_stack([np.ones_like(strength), strength]), variance)
    return np.asarray(np.sqrt(np.maximum(flat, 1) + slope * edges))


def _robust_std(values: Array) -> float:
    return float(np.median(np.abs(values)) / 0.6745)


# --- the model asked several times -------------------------------------------------------------------------------


def turned(image: Array) -> list[Array]:
    """Return the eight turned and mirrored copies of an image (Y, X[, C]); :func:`turned_back` undoes them."""
    return [np.rot90(part, turns) for part in (image, image[:, ::-1]) for turns in range(4)]


def turned_back(copies: Sequence[Array]) -> list[Array]:
    """Return copies of :func:`turned` in the place of the image they came from.

    Examples
    --------
    >>> image = np.arange(6).reshape(2, 3)
    >>> all(np.array_equal(copy, image) for copy in turned_back(turned(image)))
    True
    """
    straight = [np.rot90(copy, -(number % 4)) for number, copy in enumerate(copies)]
    return straight[:4] + [copy[:, ::-1] for copy in straight[4:]]


def turned_spread(image: Array, method: Callable[[Array], npt.ArrayLike]) -> Array:
    """Return how differently a method restores an image turned and mirrored, (Y, X) in grey levels.

    The standard deviation over the eight copies, each turned back (test-time augmentation, Bon, section 1.2.4): a right
    restoration does not depend on how the slide lay. Eight times the work of one restoration.
    """
    return mean_and_spread(turned_back([np.asarray(method(np.ascontiguousarray(copy))) for copy in turned(image)]))[1]


def mean_and_spread(copies: Sequence[npt.ArrayLike]) -> tuple[Array, Array]:
    """Return the mean (Y, X[, C]) and the standard deviation (Y, X) of several results; of colours its root mean square."""
    stack = np.stack([np.asarray(copy, np.float32) for copy in copies])
    deviation = stack.std(axis=0, ddof=1)
    return stack.mean(axis=0), deviation if deviation.ndim == 2 else np.sqrt(np.mean(np.square(deviation), axis=-1))


# --- parts -----------------------------------------------------------------------------------------------------


def _residual(blurred: npt.ArrayLike, restored: npt.ArrayLike, psf: Psf) -> Array:
    """Return ``g - k * f`` as (Y, X, C)."""
    if np.shape(blurred) != np.shape(restored):
        raise ValueError(
            f"the measured image has shape {np.shape(blurred)}, the restored one {np.shape(restored)}: give images of one "
            "field and size"
        )
    measured, image = _image(blurred, "the measured image"), _image(restored, "the restored image")
    return np.asarray(measured - blur(image, psf=kernels_of(psf, image.shape[-1])))


def _image(image: npt.ArrayLike, what: str) -> Array:
    """Return an image as (Y, X, C) float32, without alpha."""
    values = np.asarray(image)
    if values.dtype.kind not in "buif":
        raise TypeError(f"{what} has dtype {values.dtype}: give real numbers (integer, float or bool)")
    if values.ndim == 2:
        values = values[..., None]
    if values.ndim != 3 or values.shape[-1] not in (1, 3, 4) or min(values.shape[:2]) < 2:
        raise ValueError(f"{what} has shape {np.shape(image)}: give one plane, (Y, X), (Y, X, 3) or (Y, X, 4)")
    values = values[..., :3].astype(np.float32)
    if bad := int(values.size - np.count_nonzero(np.isfinite(values))):
        raise ValueError(f"{what} has {bad} of {values.size} values that are NaN or infinite: mend or crop it")
    return values


def _noise(noise_std: float | Array, shape: tuple[int, ...]) -> Array:
    """Return the standard deviation of the noise, broadcastable to (Y, X, C); ValueError where it cannot be one."""
    std = np.asarray(noise_std, float)
    std = std[..., None] if std.ndim == 2 else std
    if std.ndim not in (0, 3) or not (np.isfinite(std).all() and (std > 0).all()):
        raise ValueError("noise_std must be positive: a number of grey levels, or one for each pixel")
    if std.ndim == 3 and (std.shape[:2] != shape[:2] or std.shape[2] not in (1, shape[2])):
        raise ValueError(
            f"noise_std has shape {np.shape(noise_std)} for an image of {shape[:2]}: give one for each pixel"
        )
    return std


def _width_px(psf: Psf, size_px: float) -> float:
    """Return the width that a structure of a size has after the blur: both as Gaussians."""
    kernel = np.asarray(psf if isinstance(psf, np.ndarray) and psf.ndim == 2 else psf[0], float)
    kernel = kernel / kernel.sum()
    return float(np.hypot(size_px, 1 / np.sqrt(4 * np.pi * np.sum(kernel**2))))


def _smoothed(values: Array, noise: Array, width_px: float) -> Array:
    """Return values (Y, X, C) averaged over a Gaussian, in units of the spread that averaged noise has."""
    averaged = ndimage.gaussian_filter(values, (width_px, width_px, 0), mode="reflect")
    if noise.ndim == 0:
        return np.asarray(averaged / (noise * np.sqrt(_square_sum(width_px))))
    # the sum of noise^2 w^2: the square of a Gaussian is a Gaussian of 1 / sqrt(2) the width
    narrow = width_px / np.sqrt(2)
    variance = ndimage.gaussian_filter(np.square(noise), (narrow, narrow, 0), mode="reflect")
    return np.asarray(averaged / np.sqrt(variance * _square_sum(width_px)))


def _square_sum(width_px: float) -> float:
    """Return the sum of the squared weights of a Gaussian average."""
    reach = int(4 * width_px + 1)
    line = np.zeros(2 * reach + 1)
    line[reach] = 1
    return float(np.sum(ndimage.gaussian_filter1d(line, width_px) ** 2) ** 2)


def _told(spectrum: Array, shape: tuple[int, ...], kernel: Array, noise_std: float) -> tuple[Array, float]:
    """Return Wiener's weight at each frequency of ``rfft2``, and the first frequency (cycles/px) where it is below half."""
    rows, columns = shape
    distance = np.hypot(fft.fftfreq(rows)[:, None], fft.rfftfreq(columns)[None, :])
    rings = min(shape) // 2
    ring = np.minimum(np.rint(distance * 2 * rings).astype(int), 2 * rings - 1)
    count = np.bincount(ring.ravel(), minlength=2 * rings)
    power = np.abs(spectrum) ** 2 / (rows * columns)
    transfer = np.abs(transfer_of(kernel, shape)) ** 2
    received = np.bincount(ring.ravel(), (transfer * power).ravel(), minlength=2 * rings) / np.maximum(count, 1)
    received = ndimage.gaussian_filter1d(received, 2.0, mode="nearest")
    weight = received / (received + noise_std**2)
    lost = np.flatnonzero(weight[1 : rings + 1] < 0.5)
    cutoff = (lost[0] + 1 if len(lost) else rings) / (2 * rings)
    return weight[ring], float(cutoff)
