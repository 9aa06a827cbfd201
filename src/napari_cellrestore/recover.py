"""Recovery of a point-spread function from a sharp and a blurred image of the same field.

With the spectra F of the sharp and G of the blurred image, ``G = H F`` where H is the transfer function of the blur.
What is recovered is the RELATIVE kernel, blurred over in focus, of sum 1; where the optics are known it is multiplied by
the in-focus transfer function to give the ABSOLUTE kernel of the defocused microscope. (Werth & Matlock 2018, section
4.3, compare the one with the other: a centre value near 1 where 0.06 was expected.)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import fft, ndimage, special
from scipy.linalg import LinAlgError, cho_solve_banded, cholesky_banded
from scipy.signal.windows import tukey

from napari_cellrestore.isotropy import Rings, gather, gather_squares, rings_of, spectrum_steps
from napari_cellrestore.objective import Objective
from napari_cellrestore.psf import aliasing, in_focus_otf

Array = np.ndarray
Images = npt.ArrayLike | Sequence[npt.ArrayLike]
Pair = tuple[Array, Array]
Powers = tuple[Array, Array, Array]

METHODS = ("radial", "fourier")
WINDOWS = ("tukey", "hann", "none")

#: Part of each side over which ``apodise="tukey"`` fades an image out, both ends together.
TAPER = 0.25
#: Prior of the curve: it returns to 0, where nothing is measured, over this part of the band that the optics pass.
MEMORY = 0.25
#: Part of the light by which the two images of a pair may differ, one standard deviation.
LIGHT = 0.001
#: Extrapolated over measured brightness of the blurred image, from and to, that still fit: those of other exposure or
#: offset do not.
CUSP = (0.85, 1.02)
#: Times that an estimate corrects the spectrum for the window; the second time gains little.
PASSES = 1
#: Weights of smoothness that are compared: 1 / variance of the second difference of the curve from radius to radius.
CANDIDATES = np.logspace(-2, 11, 53)
#: Shift of the two images above which a warning is given, px.
SHIFT_PX = 0.5
#: Part of the pixels at the largest value from which an image counts as saturated.
SATURATED = 0.01
#: Part of the pixels at the largest value of an integer type from which an image is refused.
HOPELESS = 0.25
#: Shortest side of an image, px.
SMALLEST = 16


@dataclass(frozen=True, eq=False)
class PsfRecovery:
    """What :func:`recover_psf` returns. Curves have one value for each of R radii.

    Attributes
    ----------
    frequency : (R,) array
        Cycles/um.
    otf : (R,) array
        Transfer function of the relative kernel, ``otf[0] = 1``.
    covariance : (R, R) array
        Of the errors of ``otf``; see :attr:`otf_std`.
    mu : float
        Weight of the prior; for ``"fourier"`` in units of ``|F|^2``, for ``"radial"`` 1 / variance of the second
        difference of ``otf`` from radius to radius.
    mu_candidates, mu_scores : (K,) array, dict of (K,) arrays
        What mu was chosen from and by; the smallest score is best. Empty if mu was given.
    residual : (R,) array
        ``|G - F C| / |G|`` of the ring from this radius to the next, noise included.
    trusted : (R,) bool array
        From radius 0 to where the power of the sharp image falls below its noise, not beyond the optical cutoff.
    signal_to_noise : (R,) array
        Power of the sharp image without noise over that of its noise.
    noise_std : (float, float)
        Of the sharp and the blurred image, in grey levels.
    anisotropy : (R,) array
        What the projection onto isotropic kernels removed: root mean square deviation of the transfer function from
        its radial curve, in units of ``otf``, noise taken off; NaN outside the trusted band.
    absolute_otf : (R,) array or None
        Of the defocused microscope, if the objective was given: ``otf`` times the in-focus transfer function.
    warnings : tuple of str
        Reasons for doubt, each with what to do.
    """

    method: str
    shape: tuple[int, int]
    pixel_um: float
    objective: Objective | None
    frequency: Array
    otf: Array
    covariance: Array
    mu: float
    mu_candidates: Array
    mu_scores: dict[str, Array]
    residual: Array
    trusted: Array
    signal_to_noise: Array
    noise_std: tuple[float, float]
    anisotropy: Array
    absolute_otf: Array | None = None
    warnings: tuple[str, ...] = ()

    @property
    def otf_std(self) -> Array:
        """Standard deviation of each value of ``otf``; ``otf`` +- 1.96 of it is the 95 % band."""
        return np.sqrt(np.diag(self.covariance))

    @cached_property
    def psf(self) -> Array:
        """Relative kernel (Y, X), centred on pixel ``(Y // 2, X // 2)``, sum 1."""
        return _kernel(self.shape, self.otf)

    @cached_property
    def absolute_psf(self) -> Array | None:
        """Kernel of the defocused microscope, like :attr:`psf`; None without an objective."""
        return None if self.absolute_otf is None else _kernel(self.shape, self.absolute_otf)

    @cached_property
    def fwhm_um(self) -> float:
        """Full width at half maximum of the relative kernel, um."""
        return _full_width(self.frequency, self.otf)

    @cached_property
    def absolute_fwhm_um(self) -> float | None:
        """Full width at half maximum of the absolute kernel, um; None without an objective."""
        return None if self.absolute_otf is None else _full_width(self.frequency, self.absolute_otf)

    def radial_psf(self, radius_um: npt.ArrayLike, *, absolute: bool = False) -> tuple[Array, Array]:
        """Return the kernel per um^2 at distances from its centre, and its standard deviation.

        ``k(r) = 2 pi integral of otf(nu) J0(2 pi nu r) nu dnu``.
        """
        if absolute and self.objective is None:
            raise ValueError("the absolute kernel needs the optics: recover with objective=Objective(...)")
        transform = _hankel(self.frequency, np.atleast_1d(np.asarray(radius_um, float)))
        if absolute and self.objective is not None:
            transform *= in_focus_otf(self.frequency, self.objective)
        variance = np.einsum("ij,jk,ik->i", transform, self.covariance, transform, optimize=True)
        return transform @ self.otf, np.sqrt(np.maximum(variance, 0))


@dataclass(frozen=True, eq=False)
class FieldRecovery:
    """Kernels over the field, one for each tile of a grid.

    Attributes
    ----------
    tiles : (gy, gx) object array of PsfRecovery
        None where a tile could not be used; the reason is in ``reasons``.
    fwhm_um : (gy, gx) array
        Width of each kernel, the absolute one where the objective is known; NaN where there is none.
    centres_px : (gy, gx, 2) array
        Row and column of the centre of each tile.
    reasons : dict
        ``{(row, column): message}`` of the tiles that could not be used.
    """

    tiles: Array
    fwhm_um: Array
    centres_px: Array
    reasons: dict[tuple[int, int], str] = field(default_factory=dict)


def recover_psf(
    sharp: Images,
    blurred: Images,
    pixel_um: float,
    *,
    method: str = "radial",
    mu: float | str = "auto",
    objective: Objective | None = None,
    apodise: str = "tukey",
) -> PsfRecovery:
    r"""Recover the blur between a sharp and a blurred image.

    ``"radial"`` (default) is the direct least squares of Werth & Matlock 2018, equation 15, which they drop as too
    expensive: ``B^H A^H A B = B^T diag(|F|^2) B`` is tridiagonal. Added to it are:

    - the power of the noise of the sharp image is taken off ``|F|^2``, since ``E |F|^2 = |F_0|^2 + noise`` while the noise
      does not show in ``conj(F) G``; it is measured beyond the optical cutoff, without an objective in the corners
      of the spectrum, and assumed to be white;
    - each ring counts by what it can tell, the part of ``|F|^2`` that is signal over its residual ``|G - F H|^2``;
    - the curve is smooth: ``x = argmin sum w |G - F B x|^2 + mu |(k^2 - D2) x|^2`` with the second difference D2, so
      ``x = (B^T diag(w |F|^2) B + mu P)^-1 B^T Re(w conj(F) G)`` with a pentadiagonal matrix (the prior of Lindgren, Rue &
      Lindström 2011, J. R. Stat. Soc. B 73:423). What is not measured returns to 0. The inverse of the matrix is the
      covariance of the curve (Nychka 1988, J. Am. Stat. Assoc. 83:1134);
    - the images are not periodic and are faded out. A window does not commute with a blur; with an estimate of it
      ``F H - FFT(window (f * h))`` corrects G;
    - nothing is left beyond the cutoff ``2 NA / wavelength`` (compact support);
    - light is conserved: the ratio of the means gives ``otf[0]``, which is then set to 1. Where that does not fit the rest
      of the curve, exposure or camera offset differ; then it is extrapolated as an even curve, and a warning given. A
      transfer function with a cusp, as of a lens in focus, is a few per cent too high then.

    ``"fourier"`` is their equations 17 and 18 as printed, ``(B^T B)^-1 B^T conj(F) G / (|F|^2 + mu)``, for comparison. With
    noise it is biased towards 0; its uncertainty is that from the scatter within rings alone.

    Parameters
    ----------
    sharp, blurred : (Y, X) arrays, or lists of them
        Images of one field each, grey levels in any unit. Several pairs of one blur are used together: their
        statistics are added.
    pixel_um : float
        Pixel size.
    method : {"radial", "fourier"}
        See above.
    mu : "auto", "gcv" or float
        Weight of the prior. ``"auto"`` takes the largest likelihood (generalised maximum likelihood, Wahba 1985, Ann.
        Stat. 13:1378), ``"gcv"`` generalised cross-validation (Golub, Heath & Wahba 1979, Technometrics 21:215); both
        curves are returned. On simulated pairs cross-validation had 1.1 times the error in the median, 2.2 times at
        worst, and its 95 % band held the truth in 92 % of cases against 96 %. ``"fourier"`` knows cross-validation only.
    objective : Objective, optional
        Gives the noise level more safely, compact support, and the absolute kernel. What lies beyond the trusted band
        of an image with little detail is not known, and the peak of the absolute kernel with it.
    apodise : {"tukey", "hann", "none"}
        Window of both images, :data:`TAPER` of each side for "tukey". "none" if they are periodic.

    Returns
    -------
    PsfRecovery

    Raises
    ------
    ValueError
        Images of different shapes, identical, constant, saturated, not finite, or with nothing in common.
    TypeError
        Images that are not real numbers.

    Examples
    --------
    >>> from scipy import ndimage
    >>> scene = np.random.default_rng(0).normal(100, 20, (96, 96))
    >>> found = recover_psf(scene, ndimage.gaussian_filter(scene, 2, mode="wrap"), 0.1)
    >>> bool(abs(found.fwhm_um - 2.355 * 2 * 0.1) < 0.02)
    True
    """
    _check_options(method, mu, apodise, pixel_um)
    pairs = _checked_pairs(sharp, blurred)
    shape = pairs[0][0].shape
    geometry = rings_of(shape, spectrum_steps(shape))
    cutoff = _cutoff_ring(geometry, pixel_um, objective)
    dtype = np.result_type(np.float32, *(image.dtype for pair in pairs for image in pair))
    window = _window(shape, apodise, dtype.name)
    spectra: Sequence[_Spectra] = [_Spectra.of(*pair, window) for pair in pairs]
    estimate = _fourier if method == "fourier" else _radial
    spectra, rings, found = estimate(geometry, spectra, window, cutoff, mu)
    sure = 3.0 if mu == "auto" else 0.0  # a prior that was given may hold everything near 0
    if not found.curve[0] > sure * found.covariance[0, 0] ** 0.5:
        raise ValueError(
            "sharp and blurred have nothing in common: give two images of one field, with more structure than noise"
        )
    frequency = np.arange(geometry.radii) / (min(shape) * pixel_um)
    fields = _described(rings, found, geometry, window, cutoff, frequency, objective)
    result = PsfRecovery(
        method=method, shape=shape, pixel_um=pixel_um, objective=objective, frequency=frequency, **fields
    )
    shift_px = _shift(geometry, spectra, rings, found, cutoff)
    return replace(result, warnings=tuple(_doubts(pairs, shift_px, found.light_kept, result)))


def recover_field(
    sharp: npt.ArrayLike,
    blurred: npt.ArrayLike,
    pixel_um: float,
    *,
    grid: tuple[int, int] = (3, 3),
    method: str = "radial",
    mu: float | str = "auto",
    objective: Objective | None = None,
    apodise: str = "tukey",
) -> FieldRecovery:
    """Recover one kernel for each tile of a grid: a tilted sample or a curved field blurs unevenly.

    Tiles do not overlap. Arguments are those of :func:`recover_psf`; a tile without contrast is left out.

    Examples
    --------
    >>> from scipy import ndimage
    >>> scene = np.random.default_rng(0).normal(100, 20, (128, 128))
    >>> blurred = np.where(np.arange(128) < 64, *(ndimage.gaussian_filter(scene, sigma) for sigma in (1.5, 3)))
    >>> left, right = recover_field(scene, blurred, 0.1, grid=(1, 2)).fwhm_um[0]
    >>> bool(abs(right / left - 2) < 0.2)
    True
    """
    if len(grid) != 2 or not all(isinstance(n, int | np.integer) and n >= 1 for n in grid):
        raise ValueError(f"grid is {grid}: give two whole numbers of tiles, down and across, 1 or more")
    ((f, g),) = _checked_pairs(sharp, blurred)
    if min(n // parts for n, parts in zip(f.shape, grid, strict=True)) < SMALLEST:
        raise ValueError(f"{grid} tiles of {f.shape} px are smaller than {SMALLEST} px: use fewer tiles")
    edges = [np.linspace(0, n, parts + 1).round().astype(int) for n, parts in zip(f.shape, grid, strict=True)]
    tiles, width = np.full(grid, None), np.full(grid, np.nan)
    reasons: dict[tuple[int, int], str] = {}
    for place in np.ndindex(*grid):
        tile = tuple(slice(edge[k], edge[k + 1]) for edge, k in zip(edges, place, strict=True))
        try:
            found = recover_psf(f[tile], g[tile], pixel_um, method=method, mu=mu, objective=objective, apodise=apodise)
        except ValueError as error:
            reasons[place[0], place[1]] = str(error)
            continue
        tiles[place] = found
        width[place] = found.absolute_fwhm_um if found.absolute_fwhm_um is not None else found.fwhm_um
    if len(reasons) == tiles.size:
        raise ValueError(f"no tile of the grid {grid} could be used; the first: {reasons[0, 0]}")
    centres = np.stack(np.meshgrid(*((edge[:-1] + edge[1:] - 1) / 2 for edge in edges), indexing="ij"), -1)
    return FieldRecovery(tiles, width, centres, reasons)


# --- spectra ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Spectra:
    """Spectra of one pair in the half plane of ``rfft2``, without the means: windowed, and of the whole sharp image."""

    sharp: Array
    blurred: Array
    whole: Array
    means: tuple[float, float]

    @classmethod
    def of(cls, sharp: Array, blurred: Array, window: _Window) -> _Spectra:
        """Return the spectra of a pair."""
        f, f_mean = _centred(sharp.astype(window.weights.dtype), window)
        g, g_mean = _centred(blurred.astype(window.weights.dtype), window)
        windowed = fft.rfft2(window.weights * f)
        whole = windowed if window.correlation == 1 else fft.rfft2(f)
        return cls(windowed, fft.rfft2(window.weights * g), whole, (f_mean, g_mean))

    def corrected(self, transfer: Array, window: _Window) -> _Spectra:
        """Return the spectra as if the window commuted with the blur of this transfer function (half plane)."""
        blurred, mean = _centred(fft.irfft2(self.whole * transfer, window.weights.shape), window)
        spectrum = self.blurred + self.sharp * transfer - fft.rfft2(window.weights * blurred)
        return replace(self, blurred=spectrum, means=(self.means[0], self.means[1] - mean))

    def with_mean(self, pixels: int) -> _Spectra:
        """Return the windowed spectra with the sums of the images at frequency 0."""
        sharp, blurred = self.sharp.copy(), self.blurred.copy()
        sharp[0, 0], blurred[0, 0] = (mean * pixels for mean in self.means)
        return replace(self, sharp=sharp, blurred=blurred)


def _centred(image: Array, window: _Window) -> tuple[Array, float]:
    mean = float(np.vdot(window.weights, image) / window.sum)
    return image - image.dtype.type(mean), mean


@dataclass(frozen=True, eq=False)
class _Window:
    """Weights of the pixels (Y, X)."""

    weights: Array
    sum: float
    power: float  # sum of squares
    #: By how much it raises the variance of a sum over the spectrum, whose values it correlates.
    correlation: float


@lru_cache(maxsize=2)
def _window(shape: tuple[int, int], apodise: str, dtype: str) -> _Window:
    taper = {"tukey": TAPER, "hann": 1.0, "none": 0.0}[apodise]
    y, x = (tukey(length + 2, taper)[1:-1] if taper else np.ones(length) for length in shape)
    total, power, fourth = (float((y**k).sum() * (x**k).sum()) for k in (1, 2, 4))
    return _Window(np.outer(y, x).astype(dtype), total, power, y.size * x.size * fourth / power**2)


@dataclass(frozen=True)
class _RingSums:
    """Sums over the rings of the whole plane, up to its corner, of all pairs."""

    count: Array
    ff: Powers  # |F|^2 times fraction^0, ^1, ^2
    fg: tuple[Array, Array]  # Re conj(F) G times fraction^0, ^1
    gg: Array

    def __add__(self, other: _RingSums) -> _RingSums:
        f0, f1, f2 = (mine + theirs for mine, theirs in zip(self.ff, other.ff, strict=True))
        g0, g1 = (mine + theirs for mine, theirs in zip(self.fg, other.fg, strict=True))
        return _RingSums(self.count + other.count, (f0, f1, f2), (g0, g1), self.gg + other.gg)

    def residual(self, curve: Array) -> Array:
        """Return the sums of ``|G - F B x|^2``."""
        start, end = _ends(curve, len(self.count))
        f0, f1, f2 = self.ff
        explained = start * (self.fg[0] - self.fg[1]) + end * self.fg[1]
        power = start**2 * (f0 - 2 * f1 + f2) + 2 * start * end * (f1 - f2) + end**2 * f2
        return np.asarray(np.maximum(self.gg - 2 * explained + power, 0))


def _summed(geometry: Rings, spectra: Sequence[_Spectra], known: Powers | None = None) -> _RingSums:
    """Return the sums of all pairs; those of ``|F|^2`` may be known."""
    total: _RingSums | None = None
    for pair in spectra:
        f, g = pair.sharp, pair.blurred
        product = _folded(f.real * g.real + f.imag * g.imag, geometry.shape)
        fg = geometry.sums(product), geometry.sums(product * geometry.fraction)
        gg = geometry.sums(_folded(g.real**2 + g.imag**2, geometry.shape))
        sums = _RingSums(geometry.counts[0], known or _power_sums(geometry, f), fg, gg)
        total = total + sums if total else sums
    assert total
    return replace(total, ff=known) if known else total


def _power_sums(geometry: Rings, spectrum: Array) -> Powers:
    power = _folded(spectrum.real**2 + spectrum.imag**2, geometry.shape)
    first = power * geometry.fraction
    return geometry.sums(power), geometry.sums(first), geometry.sums(first * geometry.fraction)


def _folded(half: Array, shape: tuple[int, int]) -> Array:
    """Return the quarter plane of a half plane as of ``rfft2``, each value as often as it is in the whole plane."""
    rows, columns = shape
    centre = rows // 2
    quarter = np.zeros((centre + 1, half.shape[1]))
    quarter[: rows - centre] = half[: rows - centre]
    quarter[1:] += half[: rows - centre - 1 : -1] if centre else 0
    quarter[:, 1 : (columns + 1) // 2] *= 2
    return quarter


def _unfolded(quarter: Array, shape: tuple[int, int]) -> Array:
    """Return the half plane as of ``rfft2`` of a quarter plane."""
    centre = shape[0] // 2
    return np.concatenate([quarter[: shape[0] - centre], quarter[:0:-1]])


def _ends(curve: Array, rings: int) -> tuple[Array, Array]:
    """Return the values of a curve at the beginning and the end of each ring, 0 beyond its last radius."""
    long = np.zeros(max(rings, len(curve)) + 1)
    long[: len(curve)] = curve
    return long[:rings], long[1 : rings + 1]


# --- the two methods -------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Estimate:
    """A curve with its covariance before it is scaled to ``otf[0] = 1``, and how mu was chosen."""

    curve: Array
    covariance: Array
    noise: tuple[float, float]
    light_kept: bool
    mu: float
    candidates: Array
    scores: dict[str, Array]


@dataclass(frozen=True, eq=False)
class _Choice:
    """The best mu, its matrix ``B^T diag(w |F|^2) B + mu P`` and curve, and what it was chosen from and by."""

    curve: Array
    matrix: Array
    mu: float
    candidates: Array
    scores: dict[str, Array]


def _radial(
    geometry: Rings, spectra: Sequence[_Spectra], window: _Window, cutoff: int, mu: float | str
) -> tuple[Sequence[_Spectra], _RingSums, _Estimate]:
    """Return the direct estimate, and the spectra corrected for the window with their sums."""
    plain, corrected = _summed(geometry, spectra), spectra
    rings = plain
    curve = rings.fg[0] / np.maximum(rings.ff[0], _TINY)
    curve[0] = curve[1]
    curve = _smooth(curve, 2)[: geometry.radii]
    counted = min(cutoff, geometry.inside)
    samples = float(rings.count[:counted].sum()) / window.correlation
    for again in range(PASSES + 1):
        if again and window.correlation > 1:
            transfer = _unfolded(geometry.spread(_limited(curve, cutoff)), geometry.shape)
            transfer = transfer.astype(window.weights.dtype)
            corrected = [pair.corrected(transfer, window) for pair in spectra]
            rings = _summed(geometry, corrected, plain.ff)
        noise = _noise(rings, cutoff)
        signal = _signal_part(rings, noise[0])
        weight = _weights(rings, curve, noise)[:counted] / window.correlation
        normal, right = _equations(rings, weight, signal[:counted], geometry.radii)
        level = _light(corrected, float(curve[0])) if again else None
        if level:
            normal[2, 0] += len(spectra) / (level * LIGHT) ** 2
            right[0] += len(spectra) / (level * LIGHT**2)
        prior = _prior(geometry.radii, MEMORY * cutoff, level is None)
        choice = _smoothest(normal, right, prior, mu, float(curve[0]), samples, geometry.radii - (level is not None))
        curve = choice.curve
    factor = cholesky_banded(choice.matrix, check_finite=False)
    covariance = cho_solve_banded((factor, False), np.eye(geometry.radii), check_finite=False)
    support = np.arange(geometry.radii) < cutoff
    covariance *= np.outer(support, support)
    return (
        corrected,
        rings,
        _Estimate(
            _limited(curve, cutoff), covariance, noise, level is not None, choice.mu, choice.candidates, choice.scores
        ),
    )


def _equations(rings: _RingSums, weight: Array, signal: Array, radii: int) -> tuple[Array, Array]:
    """Return ``B^T diag(w |F_0|^2) B`` as an upper banded matrix with three diagonals, and ``B^T w Re conj(F) G``."""
    counted = len(weight)
    normal, right = np.zeros((3, radii)), np.zeros(radii)
    diagonal, beside = gather_squares(*(weight * signal * power[:counted] for power in rings.ff))
    normal[2, : counted + 1], normal[1, 1 : counted + 1] = diagonal, beside
    right[: counted + 1] = gather(*(weight * product[:counted] for product in rings.fg))
    return normal, right


def _weights(rings: _RingSums, curve: Array, noise: tuple[float, float]) -> Array:
    """Return the inverse variance of ``conj(F) (G - H F)`` in each ring, times the power of the signal.

    The variance is ``|F|^2`` times that of ``G - H F``, which also holds what the window and the linear interpolation
    leave; it is not taken for much less than the noise of the two images.
    """
    height, _ = _ends(curve, len(rings.count))
    residual = _smooth(rings.residual(curve) / rings.count, 4)
    least = 0.8 * (noise[1] + height**2 * noise[0])
    rounding = 1e-12 * rings.gg / rings.count + 1e-28 * rings.gg.max() + _TINY
    return np.asarray(_signal_part(rings, noise[0]) / np.maximum.reduce([residual, least, rounding]))


def _smoothest(
    normal: Array, right: Array, prior: Array, mu: float | str, gain: float, samples: float, rank: int
) -> _Choice:
    """Return the smooth curve that solves the equations for the best mu."""
    candidates = CANDIDATES if isinstance(mu, str) else np.array([mu], float)
    likelihood, misfit = np.full((2, len(candidates)), np.inf)
    curves = np.zeros((len(candidates), len(right)))
    log_determinant = np.full(len(candidates), np.nan)
    for k, weight in enumerate(candidates / gain**2):
        try:
            factor = cholesky_banded(weight * prior + normal, check_finite=False)
        except LinAlgError:  # the prior is too weak to tell what is not measured
            continue
        x = curves[k] = cho_solve_banded((factor, False), right, check_finite=False)
        log_determinant[k] = 2 * np.log(factor[-1]).sum()
        likelihood[k] = 0.5 * (log_determinant[k] - rank * np.log(weight) - right @ x)
        misfit[k] = normal[2] @ x**2 + 2 * normal[1, 1:] @ (x[1:] * x[:-1]) - 2 * right @ x
    scores: dict[str, Array] = {}
    best = 0
    if isinstance(mu, str):
        # d log|K| / d log mu = R - trace of the smoother
        degrees = len(right) - np.gradient(log_determinant, np.log(candidates))
        first = np.flatnonzero(np.isfinite(degrees))[0]
        squares = misfit - misfit[first] + samples - degrees[first]
        cross = squares / samples / (1 - degrees / samples) ** 2
        scores = {"likelihood": likelihood, "gcv": np.where(np.isfinite(cross), cross, np.inf)}
        best = int(np.argmin(scores["gcv" if mu == "gcv" else "likelihood"]))
    matrix = candidates[best] / gain**2 * prior + normal
    return _Choice(curves[best], matrix, float(candidates[best]), candidates if scores else candidates[:0], scores)


@lru_cache(maxsize=8)
def _prior(radii: int, memory: float, even: bool) -> Array:
    """Return ``L^T L`` of ``L = 1 / memory^2 - D2`` as an upper banded matrix; even about radius 0, or of any slope."""
    operator = (2 + 1 / memory**2) * np.eye(radii) - np.eye(radii, k=1) - np.eye(radii, k=-1)
    operator[0, 1] *= 2
    operator[0] *= 0.5**0.5 if even else 0  # half of the curve is here
    square = operator.T @ operator
    return np.stack([np.append(np.zeros(k), np.diagonal(square, k)) for k in (2, 1, 0)])


def _light(spectra: Sequence[_Spectra], gain: float) -> float | None:
    """Return by how much the blurred images are brighter than the sharp ones, None if that does not fit the curve.

    ``gain`` is the curve extrapolated to frequency 0, as an even one; a transfer function with a cusp lies above it.
    """
    sharp, blurred = np.array([pair.means for pair in spectra]).T
    level = float(sharp @ blurred / max(sharp @ sharp, _TINY))
    return level if level > 0 and CUSP[0] < gain / level < CUSP[1] else None


def _fourier(
    geometry: Rings, spectra: Sequence[_Spectra], window: _Window, cutoff: int, mu: float | str
) -> tuple[Sequence[_Spectra], _RingSums, _Estimate]:
    """Return equations 17 and 18 as printed; of several pairs numerators and denominators are summed."""
    spectra = [pair.with_mean(window.weights.size) for pair in spectra]
    product = np.sum([pair.sharp.conj() * pair.blurred for pair in spectra], 0)
    power = np.sum([np.abs(pair.sharp) ** 2 for pair in spectra], 0)
    candidates, scores = np.empty(0), {}
    if isinstance(mu, str):
        blurred = np.sum([np.abs(pair.blurred) ** 2 for pair in spectra], 0)
        candidates = np.median(power) * np.logspace(-5, 5, 21)
        scores["gcv"] = _cross_validation(product, power, blurred, candidates, len(spectra))
        mu = float(candidates[np.argmin(scores["gcv"])])
    estimate = product.real / (power + mu)
    folded = _folded(estimate, geometry.shape)
    curve = geometry.solve(geometry.sums(folded), geometry.sums(folded * geometry.fraction))
    squares = geometry.sums(_folded(estimate**2, geometry.shape))
    scatter = np.maximum(squares / geometry.counts[0] - _ends(curve, geometry.rings)[0] ** 2, 0)
    variance = 2 * window.correlation * scatter / geometry.counts[0]  # half of the plane repeats the other
    covariance = np.diag(np.append(0, variance[1 : geometry.radii]))
    rings = _summed(geometry, spectra)
    return spectra, rings, _Estimate(curve, covariance, _noise(rings, cutoff), True, mu, candidates, scores)


def _cross_validation(product: Array, power: Array, blurred: Array, candidates: Array, pairs: int) -> Array:
    """Return ``mean |G - F C|^2 / (1 - trace / samples)^2`` of equation 17."""
    explained = product.real**2 + product.imag**2
    scores = []
    for mu in candidates:
        residual = blurred - explained * (power + 2 * mu) / (power + mu) ** 2
        freedom = 1 - np.mean(power / (power + mu)) / pairs
        scores.append(np.mean(residual) / freedom**2)
    return np.asarray(scores)


# --- noise -----------------------------------------------------------------------------------------------------

_TINY = 1e-250


def _cutoff_ring(geometry: Rings, pixel_um: float, objective: Objective | None) -> int:
    """Return the radius from which on the optics pass nothing, at most R."""
    if objective is None:
        return geometry.radii
    return min(int(np.ceil(objective.cutoff_per_um * min(geometry.shape) * pixel_um)), geometry.radii)


def _noise(rings: _RingSums, cutoff: int) -> tuple[float, float]:
    """Return the power of white noise of the sharp and of the blurred image.

    It is the median of the rings beyond the cutoff, if those hold noise and not a part of the image that is finer: what
    the two images have in common cannot be noise, so it is at most ``(1 - coherence) |F|^2`` of every ring.
    """
    beyond = slice(min(cutoff + 2, len(rings.count) - 2), None)
    inside = slice(2, max(cutoff, 3))  # rings of few pixels are too uncertain
    apart = np.clip(1 - rings.fg[0] ** 2 / np.maximum(rings.ff[0] * rings.gg, _TINY), 0, 1)
    powers = []
    for sums in (rings.ff[0], rings.gg):
        mean = sums / rings.count
        tail, most = float(np.median(mean[beyond])), float(np.min((apart * mean)[inside]))
        powers.append(tail if most > 0.5 * tail else most)
    return powers[0], powers[1]


def _signal_part(rings: _RingSums, noise: float) -> Array:
    """Return the part of ``|F|^2`` in each ring that is not noise, 0.001 to 1."""
    return np.asarray(np.clip(1 - noise / np.maximum(_smooth(_means(rings), 2), _TINY), 1e-3, 1))


def _means(rings: _RingSums) -> Array:
    """Return the mean of ``|F|^2`` in each ring; ring 0, from which the mean of the image is taken, as ring 1."""
    means = rings.ff[0] / rings.count
    means[0] = means[1]
    return np.asarray(means)


def _smooth(values: Array, rings: int) -> Array:
    """Return the mean over so many rings to both sides."""
    return np.asarray(ndimage.uniform_filter1d(values, 2 * rings + 1, mode="nearest"))


def _limited(curve: Array, cutoff: int) -> Array:
    return np.where(np.arange(len(curve)) < cutoff, curve, 0)


# --- the result ------------------------------------------------------------------------------------------------


def _described(
    rings: _RingSums,
    found: _Estimate,
    geometry: Rings,
    window: _Window,
    cutoff: int,
    frequency: Array,
    objective: Objective | None,
) -> dict[str, Any]:
    """Return the fields of a PsfRecovery that follow from the estimate."""
    gain, radii = float(found.curve[0]), geometry.radii
    curve = found.curve / gain
    column = found.covariance[:, :1]
    covariance = found.covariance - curve * column - (curve * column).T + np.outer(curve, curve) * column[0]
    noise = found.noise
    signal = _signal_part(rings, noise[0]) * _means(rings)
    ratio = _smooth(_means(rings), 3) / max(noise[0], _TINY) - 1
    trusted = np.logical_and.accumulate((ratio[:radii] >= 1) & (np.arange(radii) < cutoff))
    residual = rings.residual(found.curve)
    height = _ends(found.curve, len(rings.count))[0]
    excess = residual / rings.count - noise[1] - height**2 * noise[0]
    anisotropy = np.sqrt(np.maximum(excess, 0) / np.maximum(signal, _TINY))[:radii] / abs(gain)
    return {
        "otf": curve,
        "covariance": covariance / gain**2,
        "mu": found.mu,
        "mu_candidates": found.candidates,
        "mu_scores": found.scores,
        "residual": np.sqrt(residual / np.maximum(rings.gg, _TINY))[:radii],
        "trusted": trusted,
        "signal_to_noise": ratio[:radii],
        "noise_std": tuple(float(np.sqrt(power / window.power)) for power in noise),
        "anisotropy": np.where(trusted, anisotropy, np.nan),
        "absolute_otf": None if objective is None else curve * in_focus_otf(frequency, objective),
    }


def _kernel(shape: tuple[int, int], curve: Array) -> Array:
    """Return the centred kernel (Y, X) of a radial transfer function."""
    geometry = rings_of(shape, spectrum_steps(shape))
    half = _unfolded(geometry.spread(curve), geometry.shape)
    return np.asarray(fft.fftshift(fft.irfft2(half, geometry.shape)))


def _hankel(frequency: Array, radius_um: Array) -> Array:
    """Return the matrix that takes a radial transfer function to its kernel at these distances, per um^2."""
    step = frequency[1] - frequency[0]
    return np.asarray(2 * np.pi * step * frequency * special.j0(2 * np.pi * np.outer(radius_um, frequency)))


def _full_width(frequency: Array, curve: Array) -> float:
    """Return twice the largest distance at which the kernel still has half of its largest value, um."""
    pixel_um = 0.5 / (frequency[-1] + frequency[1])
    radius_um = np.arange(0, len(frequency), 0.25) * pixel_um
    kernel = _hankel(frequency, radius_um) @ curve
    outer = int(np.flatnonzero(kernel >= kernel.max() / 2)[-1])
    if outer + 1 == len(kernel):
        return float("nan")
    beyond = (kernel[outer] - kernel.max() / 2) / (kernel[outer] - kernel[outer + 1])
    return float(2 * (radius_um[outer] + beyond * (radius_um[1] - radius_um[0])))


# --- what came in ----------------------------------------------------------------------------------------------


def _checked_pairs(sharp: Images, blurred: Images) -> list[Pair]:
    """Return the pairs as they came, (Y, X) arrays of one shape."""
    fs, gs = _listed(sharp), _listed(blurred)
    if len(fs) != len(gs):
        raise ValueError(f"{len(fs)} sharp and {len(gs)} blurred images: give as many of each, in the same order")
    for number, (f, g) in enumerate(zip(fs, gs, strict=True)):
        of_pair = f" of pair {number}" if len(fs) > 1 else ""
        for name, image in (("sharp", f), ("blurred", g)):
            _check_image(image, f"{name}{of_pair}")
        if f.shape != g.shape or f.shape != fs[0].shape:
            other = f.shape if f.shape != g.shape else fs[0].shape
            raise ValueError(
                f"blurred{of_pair} has {g.shape} px, sharp {other}: give images of one size and pixel size"
            )
        if np.array_equal(f, g):
            raise ValueError(f"sharp and blurred{of_pair} are the same image: give the field in and out of focus")
    return list(zip(fs, gs, strict=True))


def _listed(images: Images) -> list[Array]:
    """Return planes: those of a list, or the one that was given."""
    if isinstance(images, list | tuple) and images and all(np.ndim(image) >= 2 for image in images):
        return [np.asarray(image) for image in images]
    return [np.asarray(images)]


def _check_image(image: Array, name: str) -> None:
    if image.dtype.kind not in "uif":
        raise TypeError(f"{name} has dtype {image.dtype}: give grey levels, integer or float")
    if image.ndim != 2:
        raise ValueError(f"{name} has shape {image.shape}: give one plane (Y, X) of one colour, or a list of planes")
    if min(image.shape) < SMALLEST:
        raise ValueError(f"{name} has {image.shape} px: {SMALLEST} or more are needed each way")
    low, high = float(image.min()), float(image.max())
    if not np.isfinite(low + high):
        bad = image.size - np.count_nonzero(np.isfinite(image))
        raise ValueError(f"{name}: {bad} of {image.size} pixels are not finite (NaN or infinite); mend or crop them")
    if low == high:
        raise ValueError(
            f"{name}: all pixels are {low:g}, there is nothing to recover from; give an image with structure"
        )
    if image.dtype.kind in "ui" and high == np.iinfo(image.dtype).max and (part := _at_top(image)) > HOPELESS:
        raise ValueError(
            f"{name}: {part:.0%} of its pixels are saturated at {high:g}: expose less or crop to where it is not"
        )


def _at_top(image: Array) -> float:
    return float(np.count_nonzero(image == image.max()) / image.size)


def _check_options(method: str, mu: float | str, apodise: str, pixel_um: float) -> None:
    if method not in METHODS:
        raise ValueError(f"method is {method!r}: use one of {', '.join(METHODS)}")
    if apodise not in WINDOWS:
        raise ValueError(f"apodise is {apodise!r}: use one of {', '.join(WINDOWS)}")
    number = isinstance(mu, int | float | np.number) and not isinstance(mu, bool)
    if not (mu in ("auto", "gcv") if isinstance(mu, str) else number and 0 < mu < np.inf):
        raise ValueError(f"mu is {mu!r}: use 'auto', 'gcv' or a positive number")
    if not (np.isfinite(pixel_um) and pixel_um > 0):
        raise ValueError(f"pixel_um is {pixel_um}: give the size of a pixel at the object in micrometres")


def _doubts(
    pairs: Sequence[Pair], shift_px: tuple[float, float], light_kept: bool, found: PsfRecovery
) -> Iterator[str]:
    """Yield reasons for doubt, each with what to do."""
    for number, pair in enumerate(pairs):
        for name, image in zip(("sharp", "blurred"), pair, strict=True):
            if (part := _at_top(image)) > SATURATED:
                of_pair = f" of pair {number}" if len(pairs) > 1 else ""
                yield f"{part:.1%} of the pixels of {name}{of_pair} have its largest value {image.max():g}: saturated? expose less"
    if found.objective is not None and (message := aliasing(found.pixel_um, found.objective)):
        yield f"{message}; noise is overestimated and the fine parts of the kernel are wrong"
    if max(map(abs, shift_px)) > SHIFT_PX:
        dy, dx = shift_px
        yield f"blurred lies {dy:.1f}, {dx:.1f} px off the sharp image: align them first (align_stack or estimate_shift)"
    if not light_kept:
        yield (
            "brightness and contrast of the blurred image do not fit one another: exposure or offset differ from the "
            "sharp image; otf[0] is extrapolated"
        )
    band = found.trusted.sum()
    if band < 5:
        yield f"the sharp image is above its noise up to radius {band} of {len(found.otf)}: average frames or give several pairs"
    elif np.mean((found.otf > 1 + 2 * found.otf_std)[found.trusted][1:]) > 0.5:
        yield "blurred holds more fine structure than sharp: are the two swapped?"


def _shift(
    geometry: Rings, spectra: Sequence[_Spectra], rings: _RingSums, found: _Estimate, cutoff: int
) -> tuple[float, float]:
    """Return how far the blurred images lie off the sharp ones: the maximum of their correlation.

    Of frequencies up to the first zero of the transfer function, each as much as it can tell:
    :func:`napari_cellrestore.register.estimate_shift`, for planes near focus, takes fixed ones, and misses by 10 px where
    their contrast is reversed.
    """
    height = _ends(found.curve, geometry.rings)[0] / found.curve[0]
    counted = np.logical_and.accumulate(height > 0.2) & (np.arange(geometry.rings) < min(cutoff, geometry.inside, 100))
    weight = np.where(counted, _weights(rings, found.curve, found.noise) * height, 0)
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
