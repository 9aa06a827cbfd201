"""The colours of a microscope and its stain: one Gaussian in RGB for each class of what a smear shows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_cellrestore.stain.gaussians import Moments, distances, log_norms, posterior
from napari_cellrestore.stain.images import Images, Range, levels, named_images
from napari_cellrestore.stain.segmentation import CLASSES, segmented

Array = np.ndarray

#: Pixels that a class must have in all images together: below, its covariance is that of a few spots.
LEAST_PX = 500
#: A class that fewer images show, and less than half of all, has the light and the stain of those alone.
FEW_IMAGES = 10
#: Pixels that show a class in an image.
_SHOWN_PX = 100
_ARRAYS = ("means", "covariances", "within", "priors", "pixels", "colour_mean", "colour_std")


@dataclass(frozen=True, eq=False)
class StainSystem:
    """Colours of one microscope, in grey levels from 0 (black) to 255 (full scale); K classes.

    Attributes
    ----------
    classes : tuple of str
        Of :data:`CLASSES`.
    means : (K, 3) array
        Red, green and blue.
    covariances : (K, 3, 3) array
        Of all images together, with :data:`napari_cellrestore.stain.gaussians.RIDGE` on the diagonal.
    within : (K, 3, 3) array
        Mean of the covariances of each image about its own mean, likewise. What is left in ``covariances`` are differences
        from image to image, of light and staining.
    priors : (K,) array
        Share of each class, sum 1.
    pixels : (K,) array
        Weight of each class in pixels.
    images : int
        Number of images.
    colour_mean, colour_std : (3,) array
        Mean colour of an image, and its standard deviation from image to image.
    notes : tuple of str
        What to mind, in sentences.
    """

    classes: tuple[str, ...]
    means: Array
    covariances: Array
    within: Array
    priors: Array
    pixels: Array
    images: int
    colour_mean: Array
    colour_std: Array
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        k = len(self.classes)
        shapes = ((k, 3), (k, 3, 3), (k, 3, 3), (k,), (k,), (3,), (3,))
        for name, shape in zip(_ARRAYS, shapes, strict=True):
            array = np.array(getattr(self, name), dtype=float)
            if array.shape != shape or not np.isfinite(array).all():
                raise ValueError(f"{name} has shape {array.shape}: give {shape} finite numbers for {k} classes")
            array.flags.writeable = False
            object.__setattr__(self, name, array)
        if not k or not set(self.classes) <= set(CLASSES) or len(set(self.classes)) < k:
            raise ValueError(f"classes are {self.classes}: give some of {', '.join(CLASSES)}, each once")
        if (self.priors <= 0).any() or abs(self.priors.sum() - 1) > 1e-6:
            raise ValueError(f"priors are {self.priors.tolist()}: give positive shares whose sum is 1")
        for name in ("covariances", "within"):
            for said, matrix in zip(self.classes, getattr(self, name), strict=True):
                if not np.allclose(matrix, matrix.T) or np.linalg.eigvalsh(matrix)[0] <= 0:
                    raise ValueError(f"{name} of {said!r} is not symmetric and positive: fit it from images")

    def probabilities(self, image: Any, *, intensity: Range | None = None) -> Array:
        """Return the probability (Y, X, K) of each class by the colour of each pixel alone (Bayes), float32, sum 1.

        Parameters
        ----------
        image : (Y, X, 3) or (Y, X, 4) array
        intensity : (float, float), optional
            Grey levels of black and full scale; needed unless the image is of 8 bit.
        """
        colours = levels(image, intensity).reshape(-1, 3)
        away = distances(colours, self.means, self.covariances)
        found = posterior(log_norms(self.covariances) + np.log(self.priors) - 0.5 * away)
        return found.reshape(*np.shape(image)[:2], -1).astype(np.float32)

    def to_dict(self) -> dict[str, Any]:
        """Return numbers and words, as JSON takes them."""
        arrays = {name: getattr(self, name).tolist() for name in _ARRAYS}
        return {"classes": list(self.classes), **arrays, "images": self.images, "notes": list(self.notes)}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> StainSystem:
        """Return the system of :meth:`to_dict`; ValueError in one line where it is not one."""
        wanted = {"classes", *_ARRAYS, "images", "notes"}
        if not isinstance(content, Mapping) or set(content) != wanted:
            got = sorted(content) if isinstance(content, Mapping) else type(content).__name__
            raise ValueError(f"not the colours of a microscope: the fields are {got}, wanted are {sorted(wanted)}")
        try:
            return cls(**{**content, "classes": tuple(content["classes"]), "notes": tuple(content["notes"])})
        except TypeError as error:
            raise ValueError(f"not the colours of a microscope: {error}") from error

    def to_json(self) -> str:
        """Return the system as indented JSON."""
        return json.dumps(self.to_dict(), indent=1)

    @classmethod
    def from_json(cls, text: str) -> StainSystem:
        """Return the system of :meth:`to_json`; ValueError in one line where it is not one."""
        return cls.from_dict(read_json(text))


def fit_system(
    images: Images,
    *,
    classes: Sequence[str] = CLASSES,
    pixel_um: float | None = None,
    intensity: Range | None = None,
) -> StainSystem:
    """Fit one Gaussian in RGB for each class to images of one microscope (Jönsson & Sjöstrand 2018, 2.2).

    Each image is segmented by :func:`stain_classes`, and its pixels count for each class with their probability. One
    image after another is read; none is kept.

    Parameters
    ----------
    images : folder, files or arrays
        Smears of one microscope and stain, (Y, X, 3 or 4), of any sizes; an iterator will do. A large image counts more.
    classes : sequence of str
        Which of :data:`CLASSES` are fitted: leave out what the images do not show.
    pixel_um : float, optional
        Pixel size, by which nuclei are told from platelets; see :func:`stain_classes`.
    intensity : (float, float), optional
        Grey levels of black and full scale; needed unless the images are of 8 bit.

    Raises
    ------
    ValueError
        No images, images without colours, a class with fewer than :data:`LEAST_PX` pixels.

    Notes
    -----
    ``notes`` say which class fewer than :data:`FEW_IMAGES` images and less than half of all show, or has less than twice the
    pixels that are needed: where hardly an image has a white cell, red cells of others may turn violet.

    Examples
    --------
    >>> from napari_cellrestore.simulate import draw_smear
    >>> system = fit_system([draw_smear((200, 200), 0.1, np.random.default_rng(0))], pixel_um=0.1)
    >>> system.classes
    ('background', 'red cell', 'nucleus', 'cytoplasm')
    >>> system.means.argmax(axis=1).tolist(), bool(system.means[2].min() < 100)
    ([0, 0, 2, 2], True)
    """
    chosen = checked_classes(classes)
    moments, means, doubts = Moments(len(CLASSES)), [], []
    showing = np.zeros(len(CLASSES), int)
    for name, pixels in named_images(images):
        colours = levels(pixels, intensity, name)
        shown = segmented(colours, pixel_um)
        weights = (shown.probabilities * shown.inside[..., None]).reshape(-1, len(CLASSES))
        moments.add(colours.reshape(-1, 3), weights)
        showing += weights.sum(axis=0) >= _SHOWN_PX
        means.append(colours.mean(axis=(0, 1), dtype=np.float64))
        doubts += [f"{Path(name).name}: {shown.doubt}"] if shown.doubt else []
    kept = [CLASSES.index(name) for name in chosen]
    check_pixels(moments.weights, kept, len(means))
    weights = moments.weights[kept]
    notes = [f"in {len(doubts)} of {len(means)} images nuclei were not used; {doubts[0]}"] if doubts else []
    notes += _few(kept, moments.weights, showing, len(means))
    return StainSystem(
        classes=chosen,
        means=moments.means[kept],
        covariances=moments.covariances[kept],
        within=moments.within[kept],
        priors=weights / weights.sum(),
        pixels=weights,
        images=len(means),
        colour_mean=np.mean(means, axis=0),
        colour_std=np.std(means, axis=0),
        notes=tuple(notes),
    )


def checked_classes(classes: Sequence[str]) -> tuple[str, ...]:
    """Return names of classes in the order of :data:`CLASSES`; ValueError where there are others or none."""
    given = [classes] if isinstance(classes, str) else list(classes)
    if not given or (strange := [name for name in given if name not in CLASSES]):
        raise ValueError(
            f"classes are {given}: give some of {', '.join(CLASSES)}" + (f", not {strange}" if given else "")
        )
    return tuple(name for name in CLASSES if name in given)


def check_pixels(pixels: Array, wanted: Sequence[int], images: int) -> None:
    """Raise ValueError where a class has too few pixels, and say which, how many, and what to do."""
    few = [k for k in wanted if pixels[k] < LEAST_PX]
    if few:
        said = ", ".join(f"{CLASSES[k]!r} has {pixels[k]:.0f} pixels" for k in few)
        rest = [CLASSES[k] for k in wanted if k not in few]
        leave = f", or leave it out: the classes are then {', '.join(rest)}" if rest else ""
        raise ValueError(
            f"class {said} in {images} images, {LEAST_PX} are needed: give images that show it, of the right pixel_um{leave}"
        )


def _few(kept: Sequence[int], pixels: Array, showing: Array, images: int) -> list[str]:
    """Return what is to be minded of classes that few images show, or few pixels."""
    return [
        f"{CLASSES[k]!r} comes from {showing[k]} of {images} images, {pixels[k]:.0f} pixels: a map from so few may not hold for "
        "others; give images that show it, or leave it out"
        for k in kept
        if showing[k] < min(FEW_IMAGES, images / 2) or pixels[k] < 2 * LEAST_PX
    ]


def read_json(text: str) -> Any:
    """Return the content of JSON; ValueError where it is none."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error}") from error
