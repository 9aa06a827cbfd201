"""Other normalisations of stains, which know no classes, to compare with: Reinhard's and Macenko's.

All are fitted by ``fit(source_images, target_images)`` and applied by ``.apply(image)``, as
:func:`napari_cellrestore.stain.fit_hedlund_morell`. Statistics of the source are those of all its images, not of the image that is
mapped, so that tiles give what the whole gives.

Vahadane's (2016) is not among them: the packages that have it bring more than a baseline may. Of torch-staintools the versions for
a current numpy are for academic use only, tiatoolbox needs a torch before 2.13, and both need torchvision; SPAMS, which others
need, is under GPL-3.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from skimage.color import lab2rgb, rgb2lab

from napari_cellrestore.stain.gaussians import RIDGE, Moments
from napari_cellrestore.stain.images import (
    FULL,
    Images,
    Range,
    as_given,
    grey_levels,
    levels,
    named_images,
    with_target_range,
)
from napari_cellrestore.stain.system import LEAST_PX
from napari_cellrestore.stain.transfer import fit_hedlund_morell

Array = np.ndarray

#: Light without a specimen in torchstain, in grey levels.
_LIGHT = 240.0
#: Pixels of an image that the stains are found from.
_SAMPLE_PX = 20_000
#: Density (natural logarithm) below which torchstain takes a pixel for clear, if it has it in any colour.
_CLEAR = 0.15


@dataclass(frozen=True, eq=False)
class Reinhard:
    """Means and standard deviations of CIELAB, (3,) each, of source and target (Reinhard et al. 2001)."""

    source_mean: Array
    source_std: Array
    target_mean: Array
    target_std: Array

    def apply(self, image: Any, *, intensity: Range | None = None) -> Array:
        """Return an image in the colours of the target, in the type it came; what CIELAB has and RGB lacks is cut off."""
        lab = rgb2lab(np.clip(levels(image, intensity) / FULL, 0, 1))
        lab = (lab - self.source_mean) * (self.target_std / self.source_std) + self.target_mean
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # colours that no light has are cut off, as said
            return _back(lab2rgb(lab) * FULL, image, intensity)


def fit_reinhard(
    source: Images, target: Images, *, intensity: Range | None = None, target_intensity: Range | None = None
) -> Reinhard:
    """Fit the normalisation of Reinhard et al. 2001, in CIELAB instead of their l alpha beta, as is usual.

    Grey levels as of :func:`napari_cellrestore.stain.fit_hedlund_morell`.

    Examples
    --------
    >>> ramp = np.stack([np.linspace(60, 200, 64).reshape(8, 8).astype(np.uint8)] * 3, axis=-1)
    >>> fit_reinhard([ramp], [ramp // 2]).apply(ramp).mean().round()
    np.float64(65.0)
    """
    source, target, other = with_target_range(source, target, intensity, target_intensity)
    return Reinhard(*_lab_moments(source, intensity), *_lab_moments(target, other))


def _lab_moments(images: Images, intensity: Range | None) -> tuple[Array, Array]:
    moments = Moments(1)
    for name, pixels in named_images(images):
        lab = rgb2lab(np.clip(levels(pixels, intensity, name) / FULL, 0, 1)).reshape(-1, 3)
        moments.add(lab, np.ones((len(lab), 1)))
    return moments.means[0], np.sqrt(moments.covariances[0].diagonal() - RIDGE + 1e-6)


@dataclass(frozen=True, eq=False)
class Stains:
    """Two stains of some images: white (3,), densities (3, 2) of unit amounts, and the amounts that 1 in 100 pixels exceed."""

    white: Array
    densities: Array
    most: Array


@dataclass(frozen=True, eq=False)
class Macenko:
    """Two stains each of source and target (Macenko et al. 2009)."""

    source: Stains
    target: Stains

    def apply(self, image: Any, *, intensity: Range | None = None) -> Array:
        """Return an image with the stains of the target, in the type it came."""
        colours = levels(image, intensity)
        density = -np.log((colours / self.source.white * _LIGHT + 1) / _LIGHT).reshape(-1, 3)
        amounts = np.linalg.lstsq(self.source.densities, density.T, rcond=None)[0]
        amounts *= (self.target.most / self.source.most)[:, None]
        shown = self.target.white * np.exp(-self.target.densities @ amounts).T
        return _back(shown.reshape(colours.shape), image, intensity)


def fit_macenko(
    source: Images, target: Images, *, intensity: Range | None = None, target_intensity: Range | None = None
) -> Macenko:
    """Fit the normalisation of Macenko et al. 2009; stains are found by torchstain (extra ``stain``), without torch.

    Made for two stains, haematoxylin and eosin. Colours are divided by the white of each set first, the grey level that 98 % of
    its pixels do not exceed; torchstain takes one white for all. Grey levels as of
    :func:`napari_cellrestore.stain.fit_hedlund_morell`. ValueError where hardly a pixel is stained.
    """
    source, target, other = with_target_range(source, target, intensity, target_intensity)
    return Macenko(_stains(source, "source", intensity), _stains(target, "target", other))


def _stains(images: Images, which: str, intensity: Range | None) -> Stains:
    try:
        from torchstain.numpy.normalizers import NumpyMacenkoNormalizer
    except ImportError as error:
        raise ValueError("torchstain is not installed: pip install 'napari-cellrestore[stain]'") from error
    sample = np.concatenate([_sample(levels(pixels, intensity, name)) for name, pixels in named_images(images)])
    white = np.maximum(np.percentile(sample, 98, axis=0), 1.0)
    shown = sample / white * _LIGHT
    stained = int((-np.log((shown + 1) / _LIGHT) >= _CLEAR).all(axis=1).sum())
    if stained < LEAST_PX:
        raise ValueError(
            f"the images of the {which} show no stain: {stained} of {len(shown)} pixels are darker than white in all colours, "
            f"{LEAST_PX} are needed; give images of stained cells"
        )
    normalizer = NumpyMacenkoNormalizer()
    normalizer.fit(shown, Io=_LIGHT)
    return Stains(white, np.asarray(normalizer.HERef), np.asarray(normalizer.maxCRef))


def _sample(colours: Array) -> Array:
    flat = colours.reshape(-1, 3)
    return flat[:: max(1, len(flat) // _SAMPLE_PX)]


def _back(colours: Array, image: Any, intensity: Range | None) -> Array:
    """Return colours of 0 to 255 in the grey levels and the type of an image."""
    low, high = grey_levels(image, intensity)
    return as_given(colours * ((high - low) / FULL) + low, image)


#: Fits of all normalisations by name, each ``fit(source_images, target_images)``.
NORMALISATIONS: dict[str, Callable[..., Any]] = {
    "hedlund-morell": fit_hedlund_morell,
    "reinhard": fit_reinhard,
    "macenko": fit_macenko,
}
