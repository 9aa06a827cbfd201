"""Judging a restored image: which of the kinds of doubt applies where."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
import numpy.typing as npt
from scipy import fft, ndimage, optimize

from napari_cellrestore.filters import blur
from napari_cellrestore.simulate import quantise
from napari_cellrestore.spread import turned_spread
from napari_cellrestore.trust.maps import (
    Psf,
    estimate_noise,
    image_of,
    residual_of,
    smoothed,
    unseen_of,
    width_px_of,
)

Array = np.ndarray

#: Sizes by which a restoration is judged whose own errors are not known: larger, these prevail.
JUDGED_PX = (1.5, 3.0)
#: Over this far at least (standard deviation of a Gaussian, pixels) its squares are averaged: both sides of a moved edge.
POOL_PX = 3.0
#: Times that a method is asked what it usually leaves, each with noise of its own.
TIMES_ASKED = 4
#: From this many times what is expected of it a residual, averaged over a neighbourhood, contradicts the data.
CONTRADICTS = 2.0
#: A residual's square counts up to this many times what is expected; of a normal one KEPT of it is left so.
OUTLIER, KEPT = 6.0, 0.974
#: No square is expected to be smaller than this part of the noise's: a network follows the noise, and leaves less.
LEAST = 0.5
#: What is expected is fitted to each so many-th row and column.
FIT_STEP = 4
#: From this amplitude, in units of the noise, restored structure counts that the data cannot tell.
CANNOT_TELL = 3.0
#: From this spread of the model asked several times, in units of the noise, it is not sure.
UNSURE = 2.0


@dataclass(frozen=True)
class Verdict:
    """A kind of pixel: its number in a map of classes is its place in :data:`LEGEND`; its colour and what it means."""

    name: str
    colour: str
    brief: str
    meaning: str


#: The kinds of pixel, by their number in :attr:`Trust.classes`; colours differ for colour-blind eyes too, also where they lie
#: thinly on an image (by 25 or more in CIEDE2000; simulated by Machado, Oliveira & Fernandes 2009).
LEGEND = (
    Verdict(
        "explained", "#009e73", "blurred again, as measured", "Blurred again, it is what was measured, up to noise."
    ),
    Verdict(
        "cannot tell",
        "#f5c242",
        "finer than the blur left",
        "Detail finer than what the blur left: the measured image neither confirms nor denies it.",
    ),
    Verdict(
        "model unsure",
        "#3b8fd6",
        "asked again, it differs",
        "Asked again, as with the image turned and mirrored, the model does not restore the same here.",
    ),
    Verdict(
        "contradicts",
        "#a50f15",
        "added, missing or moved",
        "Blurred again, it is not what was measured: something is added, missing or moved.",
    ),
)

#: The kinds that can be told without asking the model.
UNASKED = tuple(verdict for verdict in LEGEND if verdict.name != "model unsure")


def kinds_of(asked: bool) -> list[tuple[int, Verdict]]:
    """Return number and kind of what a map of classes can show: how sure the model is only where it was asked."""
    return [(number, verdict) for number, verdict in enumerate(LEGEND) if asked or verdict in UNASKED]


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
        Standard deviation of the model asked several times, in units of the noise; None where it was not asked.
    noise_std : float
        Of a measured pixel, grey levels.
    misfit : float
        Typical residual in units of the noise: 1 where the restored image explains the measured one completely.
    smallest_told_px : float
        See :func:`smallest_told_px`.
    alone : (Y, X) array or None
        The contradiction judged by the pair alone, where the model was asked: asking forgives what it always gets wrong.
    """

    contradiction: Array
    unseen: Array
    spread: Array | None
    noise_std: float
    misfit: float
    smallest_told_px: float
    alone: Array | None = None

    @property
    def asked(self) -> bool:
        """Whether the model was asked how sure it is."""
        return self.spread is not None

    @cached_property
    def classes(self) -> Array:
        """Number of the kind of each pixel in :data:`LEGEND`, (Y, X) uint8; the gravest where several apply."""
        classes = np.zeros(self.contradiction.shape, np.uint8)
        classes[self.unseen > CANNOT_TELL] = 1
        if self.spread is not None:
            classes[self.spread > UNSURE] = 2
        for contradiction in (self.contradiction, self.alone):
            if contradiction is not None:
                classes[contradiction > CONTRADICTS] = 3
        return classes

    @cached_property
    def shares(self) -> dict[str, float]:
        """Part of the pixels of each kind, by its name."""
        counts = np.bincount(self.classes.ravel(), minlength=len(LEGEND))
        return {verdict.name: float(count / self.classes.size) for verdict, count in zip(LEGEND, counts, strict=True)}


def kind_said(verdict: Verdict, share: float, *, brief: bool = False) -> str:
    """Return a kind in words, with the part of the pixels that are of it.

    >>> kind_said(LEGEND[0], 0.9996, brief=True), kind_said(LEGEND[3], 0.0004, brief=True)
    ('explained (over 99.9 %): blurred again, as measured', 'contradicts (under 0.1 %): added, missing or moved')
    """
    percent = f"{100 * share:.1f} %"
    if 0 < share < 0.0005:
        percent = "under 0.1 %"
    elif 0.9995 <= share < 1:
        percent = "over 99.9 %"
    return f"{verdict.name} ({percent}): {verdict.brief if brief else verdict.meaning}"


def judge(
    blurred: npt.ArrayLike,
    restored: npt.ArrayLike,
    psf: Psf,
    *,
    noise_std: float | None = None,
    usual: Sequence[Array] = (),
    spread: Array | None = None,
) -> Trust:
    """Judge a restored image by the measured one.

    Networks make errors wherever there are edges, also where nothing is invented. So that these do not hide what is, the
    residual is compared with what is usual. What the same method leaves of like images (``usual``) is subtracted, in the
    mean, and the square expected of the rest is ``a + b m^2 + c v`` with m that mean and v the variance over those images,
    both around each place; where none are known, ``a + b |gradient|^2``. The map is the root mean square of the residual
    in these units over :data:`JUDGED_PX`, colours and a neighbourhood of :data:`POOL_PX`. Where the model was asked, the map
    of the pair alone is kept beside it, and a pixel contradicts where either says so.

    Parameters
    ----------
    blurred, restored, psf
        As in :func:`consistency_map`.
    noise_std : float, optional
        Of a measured pixel; default: :func:`estimate_noise` of ``blurred``.
    usual : sequence of (Y, X, C) arrays, optional
        What the same method leaves where the truth is known, each from noise of its own: :func:`left_of` of
        :func:`like_images`.
    spread : (Y, X) array, optional
        See :class:`Trust`, in grey levels.
    """
    noise = estimate_noise(blurred) if noise_std is None else float(noise_std)
    if not (np.isfinite(noise) and noise > 0):
        raise ValueError(f"noise_std is {noise:g}: give the standard deviation of the noise in grey levels, above 0")
    values = residual_of(blurred, restored, psf)
    edges = _edges(restored)
    contradiction, misfit = _contradiction(values, psf, noise, edges, usual)
    unseen, smallest_px = unseen_of(restored, psf, noise)
    return Trust(
        contradiction=contradiction,
        unseen=unseen,
        spread=None if spread is None else np.asarray(spread, np.float32) / np.float32(noise),
        noise_std=noise,
        misfit=misfit,
        smallest_told_px=smallest_px,
        alone=_contradiction(values, psf, noise, edges)[0] if len(usual) else None,
    )


def _contradiction(
    values: Array, psf: Psf, noise: float, edges: Array, usual: Sequence[Array] = ()
) -> tuple[Array, float]:
    """Return the residual in units of what is expected of it, and its typical size in units of the noise."""
    mean = np.mean(usual, axis=0) if len(usual) else None
    pooled, misfits = np.zeros(values.shape[:2]), []
    for size_px in JUDGED_PX:
        width = width_px_of(psf, size_px)
        smooth = partial(smoothed, noise=np.asarray(noise), width_px=width)
        if mean is None:
            z, signs = smooth(values), [edges]
        else:
            z, signs = smooth(values - mean), [np.square(smooth(mean))]
            if len(usual) > 1:
                signs.append(np.var([smooth(one) for one in usual], axis=0, ddof=1))
        signs = [ndimage.gaussian_filter(sign, (width, width, 0)) for sign in signs]
        misfits.append(_robust_std(z))
        times_expected = [
            square / _expected(square, [sign[..., channel] for sign in signs])
            for channel, square in enumerate(np.moveaxis(np.square(z), -1, 0))
        ]
        pooled += ndimage.gaussian_filter(np.mean(times_expected, axis=0), max(POOL_PX, width)) / len(JUDGED_PX)
    return np.asarray(np.sqrt(pooled), np.float32), float(max(misfits))


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
        Restores an image (Y, X) or (Y, X, 3) of the measured one's type, as the restored one was. It is asked twelve times
        more: for the measured image turned and mirrored (:func:`turned_spread`), and for the restored image blurred again
        with fresh noise (:func:`like_images`), since what it leaves there, where the truth is known, is what it usually
        leaves.

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
    kernels = explaining_kernels(measured, restored)
    if method is None:
        return judge(measured, restored, kernels, noise_std=noise_std)
    noise = estimate_noise(measured) if noise_std is None else float(noise_std)
    likes = like_images(measured, restored, kernels, noise)
    return judge(
        measured,
        restored,
        kernels,
        noise_std=noise,
        usual=[left_of(like, np.asarray(method(like))) for like in likes],
        spread=turned_spread(_without_alpha(measured), method),
    )


def like_images(measured: npt.ArrayLike, restored: npt.ArrayLike, psf: Psf, noise_std: float) -> list[Array]:
    """Return :data:`TIMES_ASKED` images like the measured one of which the truth is known, in its type.

    Each is the restored image blurred, with noise of its own (a parametric bootstrap, Efron & Tibshirani 1993, An
    Introduction to the Bootstrap, chapter 6).
    """
    again, dtype = blur(_without_alpha(restored), psf=psf), np.asarray(measured).dtype
    rng = np.random.default_rng(0)
    return [quantise(again + rng.normal(0, noise_std, again.shape), dtype) for _ in range(TIMES_ASKED)]


def left_of(like: Array, made: Array) -> Array:
    """Return what a restoration leaves of an image, ``g - k * f`` as (Y, X, C), with the blur found from the two."""
    return residual_of(like, made, explaining_kernels(like, made))


def _without_alpha(image: npt.ArrayLike) -> Array:
    values = np.asarray(image)
    return values[..., :3] if values.ndim == 3 else values


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
    # Where the restored image has nothing, a tenth of the noise keeps the quotient from running away.
    floor = np.bincount(ring.ravel()) * np.sum(np.square(window)) * (0.1 * estimate_noise(measured)) ** 2
    if not below[1 : shorter // 2].all():
        raise ValueError("the restored image has no structure: there is nothing that could explain the measured one")
    curve = above / np.maximum(below + floor, np.finfo(float).tiny)
    curve[0] = 1  # the mean stays
    curve[shorter // 2 :] = 0  # beyond the Nyquist frequency of the shorter side
    return np.asarray(fft.fftshift(fft.ifft2(np.interp(radius, np.arange(len(curve)), curve)).real))


def explaining_kernels(measured: npt.ArrayLike, restored: npt.ArrayLike) -> list[Array]:
    """Return :func:`explaining_kernel` of each colour."""
    sharp, blurred = image_of(restored, "the restored image"), image_of(measured, "the measured image")
    return [explaining_kernel(sharp[..., c], blurred[..., c]) for c in range(sharp.shape[-1])]


def _edges(restored: npt.ArrayLike) -> Array:
    """Return the squared gradient of a restored image, over all colours: (Y, X, C) of one value a pixel."""
    image = image_of(restored, "the restored image")
    slopes = [ndimage.gaussian_gradient_magnitude(channel, 1.5) ** 2 for channel in np.moveaxis(image, -1, 0)]
    return np.repeat(np.mean(slopes, axis=0)[..., None], image.shape[-1], axis=-1)


def _expected(square: Array, signs: Sequence[Array]) -> Array:
    """Return the mean of ``square`` expected at each place, ``a + b sign_1 + c sign_2``, none of them negative.

    Least squares relative to what is expected; of each square no more counts than :data:`OUTLIER` times that, so that
    what contradicts is not taken for usual.
    """
    terms = np.stack([np.ones_like(square), *signs], axis=-1)
    few, given = terms[::FIT_STEP, ::FIT_STEP].reshape(-1, terms.shape[-1]), square[::FIT_STEP, ::FIT_STEP].ravel()
    scale = np.maximum(few.mean(axis=0), np.finfo(float).tiny)
    few = few / scale
    weights = np.zeros(len(scale))
    weights[0] = np.median(given) / 0.455
    for _ in range(6):
        expected = np.maximum(few @ weights, LEAST)
        weights, _ = optimize.nnls(few / expected[:, None], np.minimum(given / expected, OUTLIER) / KEPT)
    return np.asarray(np.maximum(terms @ (weights / scale), LEAST))


def _robust_std(values: Array) -> float:
    return float(np.median(np.abs(values)) / 0.6745)
