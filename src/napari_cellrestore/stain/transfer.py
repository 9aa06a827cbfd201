"""Colours of one microscope as another would show them: an affine map for each class, weighted by its probability.

The normalisation of Hedlund and Morell, as Jönsson & Sjöstrand 2018 (2.2) describe it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from napari_cellrestore.stain.gaussians import log_norms, optimal_map, whitening
from napari_cellrestore.stain.images import (
    FULL,
    Images,
    Range,
    check_finite,
    grey_levels,
    rounded,
    with_alpha,
    with_target_range,
)
from napari_cellrestore.stain.system import StainSystem, fit_system, read_json

Array = np.ndarray

#: Which covariances the maps move onto each other: within images, or of all images together.
SPREADS = ("within", "all")
#: A map that stretches colours more than this says so: noise is stretched along.
STRETCH = 2.0
#: Pixels that are computed together: few enough for the nearest caches of a processor.
BLOCK_PX = 8192


class Affine(NamedTuple):
    """The transfer as one affine map of a colour ``u`` and what is made of its result, for K classes.

    ``weight @ u + bias`` has 6 K rows: first the whitened colour, row ``j K + k`` its component j for class k, then the
    mapped colour, row ``(3 + j) K + k`` its component j by class k. The probability of class k is proportional to
    ``exp(log_weight[k] - |whitened|^2)``. Squared lengths, not the products that they could be written out in: there large
    numbers would cancel, and float32 would not do.
    """

    weight: Array
    bias: Array
    log_weight: Array


@dataclass(frozen=True, eq=False)
class StainTransfer:
    """The map of colours from one system to another; see :func:`fit_transfer`."""

    source: StainSystem
    target: StainSystem
    spread: str = "within"

    def __post_init__(self) -> None:
        for name in ("source", "target"):
            if not isinstance(getattr(self, name), StainSystem):
                raise TypeError(
                    f"{name} is a {type(getattr(self, name)).__name__}: give the StainSystem of fit_system, one of each microscope"
                )
        if self.source.classes != self.target.classes:
            raise ValueError(
                f"the source has the classes {', '.join(self.source.classes)}, the target {', '.join(self.target.classes)}: "
                "fit both with the same classes"
            )
        if self.spread not in SPREADS:
            raise ValueError(f"spread is {self.spread!r}: use {' or '.join(SPREADS)}")

    @cached_property
    def maps(self) -> Array:
        """The matrix (K, 3, 3) of each class: symmetric, it moves covariance onto covariance."""
        name = "within" if self.spread == "within" else "covariances"
        return optimal_map(getattr(self.source, name), getattr(self.target, name))

    @property
    def stretches(self) -> dict[str, float]:
        """How many times the map of a class stretches differences of colours, noise too, in the direction of the most."""
        return dict(zip(self.source.classes, np.linalg.eigvalsh(self.maps)[:, -1].tolist(), strict=True))

    @property
    def notes(self) -> tuple[str, ...]:
        """What to mind, in sentences."""
        far = [f"{name} {times:.1f} times" for name, times in self.stretches.items() if times > STRETCH]
        said = (*(f"source: {note}" for note in self.source.notes), *(f"target: {note}" for note in self.target.notes))
        return (*said, f"differences of colours, and noise, are stretched in {', '.join(far)}") if far else said

    def affine(self, intensity: Range = (0.0, FULL), unit: float = 1.0) -> Affine:
        """Return the transfer for colours ``u = (x - middle) / unit`` of grey levels ``x`` of this black and full scale.

        Results are colours in the same form.
        """
        low, high = intensity
        gain = FULL / (high - low)  # levels of 255 for one grey level
        scale, middle = gain * unit, gain * ((high + low) / 2 - low)
        white = whitening(self.source.covariances) * np.sqrt(0.5)
        log_weight = np.log(self.source.priors) + log_norms(self.source.covariances)
        rows = [white * scale, self.maps]
        ends = [
            np.einsum("kij,kj->ki", white, middle - self.source.means),
            (np.einsum("kij,kj->ki", self.maps, middle - self.source.means) + self.target.means - middle) / scale,
        ]
        # component by component, so that those of all classes lie together
        weight = np.concatenate([one.transpose(1, 0, 2).reshape(-1, 3) for one in rows])
        bias = np.concatenate([one.T.ravel() for one in ends])
        return Affine(weight, bias, log_weight - log_weight.max())

    def apply(self, image: Any, *, intensity: Range | None = None) -> Array:
        """Return an image in the colours of the target, in the type it came; the input stays as it is.

        Every pixel is mapped by its own colour alone, so that tiles give what the whole gives.

        Parameters
        ----------
        image : (Y, X, 3) or (Y, X, 4) array
            In colours of the source. Alpha stays as it is.
        intensity : (float, float), optional
            Grey levels of black and full scale; needed unless the image is of 8 bit.

        Returns
        -------
        array of the same shape and type
            Integers are rounded and clipped to the range of their type (not to ``intensity``); floating point is not clipped.

        Raises
        ------
        ValueError, TypeError
            Grey images, types whose range is not given, pixels that are not finite. A stain model in
            :func:`napari_cellrestore.restore.restore` keeps NaN where they are.
        """
        given = np.asarray(image)
        low, high = grey_levels(given, intensity)
        check_finite(given[..., :3])
        middle = np.float32((low + high) / 2)
        affine = self.affine((low, high))
        affine.bias[-3 * len(self.source.classes) :] += middle
        matrix = np.concatenate([affine.weight, affine.bias[:, None]], axis=1).astype(np.float32)
        flat = given[..., :3].reshape(-1, 3)
        result = np.empty(flat.shape, given.dtype)
        colours = np.ones((4, BLOCK_PX), np.float32)  # the last row takes the bias along
        for start in range(0, len(flat), BLOCK_PX):
            part = flat[start : start + BLOCK_PX]
            block = colours[:, : len(part)]
            np.subtract(part.T, middle, out=block[:3], casting="unsafe")
            made = mapped(matrix @ block, affine.log_weight.astype(np.float32))
            result[start : start + BLOCK_PX] = rounded(made, given.dtype).T
        return with_alpha(result.reshape(*given.shape[:2], 3), given)

    def probabilities(self, image: Any, *, intensity: Range | None = None) -> Array:
        """Return the probabilities that weight the maps; see :meth:`StainSystem.probabilities`."""
        return self.source.probabilities(image, intensity=intensity)

    def to_dict(self) -> dict[str, Any]:
        """Return numbers and words, as JSON takes them."""
        return {"source": self.source.to_dict(), "target": self.target.to_dict(), "spread": self.spread}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> StainTransfer:
        """Return the transfer of :meth:`to_dict`; ValueError in one line where it is not one."""
        if not isinstance(content, Mapping) or set(content) != {"source", "target", "spread"}:
            got = sorted(content) if isinstance(content, Mapping) else type(content).__name__
            raise ValueError(f"not a transfer of colours: the fields are {got}, wanted are source, spread, target")
        systems = {name: StainSystem.from_dict(content[name]) for name in ("source", "target")}
        return cls(**systems, spread=content["spread"])

    def to_json(self) -> str:
        """Return the transfer as indented JSON."""
        return json.dumps(self.to_dict(), indent=1)

    @classmethod
    def from_json(cls, text: str) -> StainTransfer:
        """Return the transfer of :meth:`to_json`; ValueError in one line where it is not one."""
        return cls.from_dict(read_json(text))


def mapped(rows: Array, log_weight: Array) -> Array:
    """Return colours (3, N) of the rows (6 K, N) of :class:`Affine`, which are overwritten."""
    whitened, colours = rows.reshape(2, 3, len(log_weight), -1)
    np.square(whitened, out=whitened)
    first, second, third = whitened
    first += second
    first += third
    logs = np.subtract(log_weight[:, None], first, out=first)
    logs -= logs.max(axis=0)
    shares = np.exp(logs, out=logs)
    made = np.einsum("jkn,kn->jn", colours, shares)
    made /= shares.sum(axis=0)
    return np.asarray(made)


def fit_transfer(source: StainSystem, target: StainSystem, *, spread: str = "within") -> StainTransfer:
    """Return the map of colours from one microscope to another.

    Of each class c an affine map from its Gaussian in the source to that in the target::

        x'_c = M_c (x - mean_source,c) + mean_target,c,    M_c = A^-1/2 (A^1/2 B A^1/2)^1/2 A^-1/2

    with A and B the covariances of the class in source and target: of all affine maps that move A onto B the one that changes
    colours least (optimal transport). The result is the sum over classes of ``p_c(x) x'_c``, with the probability p_c of
    the class by the colour x alone.

    Parameters
    ----------
    source, target : StainSystem
        Of :func:`fit_system`, with the same classes.
    spread : {"within", "all"}
        A and B within images, so that an image is not stretched by what differs from image to image (light, staining), or
        of all images together. Probabilities are those of all images together in both cases.

    Notes
    -----
    Jönsson & Sjöstrand 2018 state one Gaussian for each class and system and "an affine transformation", not which: any
    rotation of whitened colours would move the covariance as well.

    Examples
    --------
    >>> from napari_cellrestore.simulate import draw_smear
    >>> smear = draw_smear((200, 200), 0.1, np.random.default_rng(0))
    >>> darker = (0.8 * smear).astype(np.uint8)
    >>> transfer = fit_transfer(fit_system([smear], pixel_um=0.1), fit_system([darker], pixel_um=0.1))
    >>> bool(abs(transfer.apply(smear).astype(int) - darker).mean() < 2)
    True
    """
    return StainTransfer(source, target, spread)


def fit_hedlund_morell(
    source: Images,
    target: Images,
    *,
    intensity: Range | None = None,
    target_intensity: Range | None = None,
    **options: Any,
) -> StainTransfer:
    """Fit both systems and the map between them.

    Parameters
    ----------
    source, target : folder, files or arrays
        As of :func:`fit_system`.
    intensity, target_intensity : (float, float), optional
        Grey levels of black and full scale of each; needed unless the images are of 8 bit. That of the source holds for the
        target too where it has none of its own and both are of one type.
    **options
        Of :func:`fit_system`, for both.
    """
    source, target, theirs = with_target_range(source, target, intensity, target_intensity)
    return fit_transfer(
        fit_system(source, intensity=intensity, **options), fit_system(target, intensity=theirs, **options)
    )
