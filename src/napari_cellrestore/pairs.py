"""Pairs of (input, target) images that a network learns from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from skimage.io import imread
from skimage.transform import resize

from napari_cellrestore.recipe import DefocusSettings
from napari_cellrestore.simulate import DetectorNoise, defocus_planes, quantise, smear_objectives

Array = np.ndarray


class Pairs(Protocol):
    """What a trainer needs of a set of pairs: crops in grey levels, chosen by the random generator alone."""

    def crop(self, rng: np.random.Generator, size: int) -> tuple[Array, Array]:
        """Return (input, target), each float32 (size, size, C)."""
        ...

    def validation(self) -> list[tuple[Array, Array]]:
        """Return whole (input, target) pairs of images that are in no crop."""
        ...


@dataclass(frozen=True)
class Split:
    """Files of three sets that share no image."""

    train: tuple[Path, ...]
    validation: tuple[Path, ...]
    test: tuple[Path, ...]

    def __post_init__(self) -> None:
        for a, b in (("train", "validation"), ("train", "test"), ("validation", "test")):
            if shared := set(getattr(self, a)) & set(getattr(self, b)):
                raise ValueError(f"{len(shared)} images are in both {a} and {b}, e.g. {min(shared)}: split by image")


def split_by_image(paths: Sequence[Path], *, every: int = 10) -> Split:
    """Split files by image: of every ``every`` in the order of their names one is for test, one for validation.

    Examples
    --------
    >>> split = split_by_image([Path(f"{i:02}.png") for i in range(20)])
    >>> [p.stem for p in split.test], [p.stem for p in split.validation], len(split.train)
    (['00', '10'], ['05', '15'], 16)
    """
    ordered = sorted(paths)
    if len(ordered) < 3:
        raise ValueError(f"{len(ordered)} images cannot be split into training, validation and test: give 3 or more")
    every = min(every, len(ordered))
    test = tuple(ordered[::every])
    validation = tuple(ordered[every // 2 :: every])
    held_out = {*test, *validation}
    return Split(tuple(p for p in ordered if p not in held_out), validation, test)


class DefocusPairs:
    """Pairs by simulated defocus of sharp colour images.

    A crop of an image (in half of the cases rescaled, then flipped, turned, its colours changed) is taken as the
    object; the target is that object through the objective in focus, the input the same out of focus with noise,
    rounded to 8 bit. In half of the crops each colour has its own focus (axial colour).

    Parameters
    ----------
    train, validation : sequence of Path
        Sharp RGB images of 8 bit; no image may be in both.
    settings : DefocusSettings
        Optics, range of defocus, noise.

    Examples
    --------
    >>> from napari_cellrestore.simulate import smear_objectives
    >>> [lens.wavelength_um for lens in smear_objectives(DefocusSettings())]
    [0.62, 0.53, 0.47]
    """

    #: Light from outside a crop: crops are simulated with this many pixels around them, which are cut off.
    MARGIN = 32

    def __init__(
        self, train: Sequence[Path], validation: Sequence[Path] = (), settings: DefocusSettings | None = None
    ) -> None:
        Split(tuple(train), tuple(validation), ())
        self.settings = settings or DefocusSettings()
        self._objectives = smear_objectives(self.settings)
        self._noise = DetectorNoise(self.settings.noise_gain)
        self._images = [read_smear(path) for path in train]
        self._rescaled: dict[tuple[int, float], Array] = {}
        self._validation = list(validation)
        if not self._images:
            raise ValueError("no images to train on: give at least one")

    def crop(self, rng: np.random.Generator, size: int) -> tuple[Array, Array]:
        """Return (input, target), float32 (size, size, 3), grey levels 0 to 255."""
        side = size + 2 * self.MARGIN
        index = int(rng.integers(len(self._images)))
        scale = rng.choice(self.settings.scales) if rng.random() < 0.5 else 1.0
        part = change_colours(self._part(self._image(index, float(scale), side), rng, side), rng)
        low, high = self.settings.levels_um
        step = self.settings.step_um
        z_um = low + step * rng.integers(round((high - low) / step) + 1)
        reach = round(self.settings.axial_colour_um / step)
        offsets_um = step * rng.integers(-reach, reach + 1, 3) if rng.random() < 0.5 else np.zeros(3)
        inner = slice(self.MARGIN, -self.MARGIN)
        pair = self._pair(part, z_um + offsets_um, rng)
        return pair[0][inner, inner], pair[1][inner, inner]

    def validation(self) -> list[tuple[Array, Array]]:
        """Return whole pairs of up to three validation images, halfway to the ends of the range of defocus."""
        pairs = []
        for index, path in enumerate(self._validation[:3]):
            z_um = np.full(3, self.settings.levels_um[1] / 2)
            pairs.append(self._pair(read_smear(path).astype(np.float32), z_um, np.random.default_rng(index)))
        return pairs

    def _image(self, index: int, scale: float, side: int) -> Array:
        """Return an image rescaled (kept for the next time), extended by its mirror image where it is too small."""
        image = self._images[index]
        if scale != 1 and (index, scale) not in self._rescaled:
            shape = [round(n * scale) for n in image.shape[:2]]
            self._rescaled[index, scale] = quantise(resize(image.astype(np.float32), shape), image.dtype)
        image = self._rescaled.get((index, scale), image)
        missing = [max(0, side - n) for n in image.shape[:2]]
        return np.pad(image, [(0, n) for n in missing] + [(0, 0)], mode="symmetric") if any(missing) else image

    def _part(self, image: Array, rng: np.random.Generator, side: int) -> Array:
        """Cut out a square, turned and flipped at random."""
        top, left = (int(rng.integers(n - side + 1)) for n in image.shape[:2])
        part = np.rot90(image[top : top + side, left : left + side].astype(np.float32), int(rng.integers(4)))
        return np.ascontiguousarray(part[:, ::-1] if rng.random() < 0.5 else part)

    def _pair(self, image: Array, z_um: Array, rng: np.random.Generator) -> tuple[Array, Array]:
        pixel_um = self.settings.pixel_um
        # The kernel does not depend on the sign of z; rounding keeps the number of different kernels small.
        target, blurred = defocus_planes(
            image, pixel_um, self._objectives, [0.0, np.round(np.abs(z_um), 6)], edges="wrap"
        )
        recorded = quantise(self._noise.add(blurred, rng), np.dtype(np.uint8))
        return recorded.astype(np.float32), target


def read_smear(path: Path) -> Array:
    """Read an RGB image of 8 bit; ValueError names the file where it is something else."""
    image = imread(path)
    if image.ndim != 3 or image.shape[-1] != 3 or image.dtype != np.uint8:
        raise ValueError(f"{path} is {image.dtype} of shape {image.shape}: RGB images of 8 bit are needed")
    return np.asarray(image)


def change_colours(image: Array, rng: np.random.Generator) -> Array:
    """Change contrast, brightness and white balance at random, within 0 to 255 (Olofsson & Wagnström 2019, 2.3)."""
    contrast = np.exp(rng.uniform(-0.35, 0.35))
    balance = np.exp(rng.uniform(-0.12, 0.12, 3)).astype(np.float32)
    background = np.percentile(image[::8, ::8], 90, axis=(0, 1)).astype(np.float32)
    target = np.clip(background * balance * np.exp(rng.uniform(-0.25, 0.1)), 40, 250)
    return np.asarray(np.clip(target + (image - background) * balance * contrast, 0, 255), dtype=np.float32)
