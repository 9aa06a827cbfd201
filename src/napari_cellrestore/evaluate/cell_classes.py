"""White cells told apart by measures of the nucleus and the plasm around it: a small classifier, for agreement.

It is no differential count. :func:`napari_cellrestore.evaluate.agreement` asks whether a transformed image is classified as
its target is, and for that a classifier must look at what makes cells differ, not be always right.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.resources import files
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.filters import gaussian
from skimage.measure import regionprops

from napari_cellrestore.nuclei import stained_nuclei

Array = np.ndarray

#: What is measured of a cell, in this order. Of optical densities only proportions, so that a pale stain counts as a dark one.
FEATURES = (
    "nucleus area (um2, log)",
    "nucleus eccentricity",
    "nucleus solidity",
    "nucleus lobes",
    "nucleus red of all density",
    "nucleus blue of all density",
    "plasm red of all density",
    "plasm blue of all density",
    "plasm density of the nucleus's",
    "nucleus texture of its density",
    "plasm texture of the nucleus's density",
    "share of plasm near the nucleus",
    "share of plasm farther out",
)
#: Distances from the nucleus in um: where plasm is measured, and how far out it is looked for.
NEAR_UM, FAR_UM = (0.3, 2.0), (2.0, 4.0)
#: Above this optical density it is a cell, not the slide.
CELL_DENSITY = 0.04
#: How far the common covariance is drawn to that of independent features.
SHRINKAGE = 0.05

#: Standard deviations beyond which a feature counts no more.
FAR = 3.0

_GRAIN_UM = 0.5  # structure finer than this is texture
_WHITE_PERCENT = 98.0


def cell_features(image: npt.ArrayLike, pixel_um: float) -> Array | None:
    """Measure the white cell in the middle of a stained image: :data:`FEATURES`, (13,); None without a nucleus and room around it.

    Parameters
    ----------
    image : (Y, X, 3) array
        Around one cell; brightest is the slide.
    pixel_um : float

    Examples
    --------
    >>> smear = np.full((80, 80, 3), 230, np.uint8)
    >>> smear[20:60, 20:60] = 90, 50, 150
    >>> measured = dict(zip(FEATURES, cell_features(smear, 0.2).round(2).tolist()))
    >>> measured["nucleus lobes"], measured["share of plasm farther out"]
    (1.0, 0.0)
    """
    pixels = np.asarray(image)
    found = stained_nuclei(pixels, pixel_um=pixel_um)
    if not len(found):
        return None
    middle_um = (np.array(pixels.shape[:2]) - 1) / 2 * pixel_um
    number = int(np.argmin(np.hypot(*(found.centres_um - middle_um).T)))
    nucleus = found.labels == number + 1
    density = _density(pixels)
    away_um = ndimage.distance_transform_edt(~nucleus) * pixel_um
    near, far = ((away_um > low) & (away_um <= high) for low, high in (NEAR_UM, FAR_UM))
    if not (near.any() and far.any()):
        return None  # the nucleus fills the image
    cell = density.mean(axis=-1) > CELL_DENSITY
    plasm = near & cell if (near & cell).any() else near
    region = regionprops(nucleus.astype(np.uint8))[0]
    grey = density.mean(axis=-1)
    fine = grey - gaussian(grey, max(_GRAIN_UM / pixel_um, 0.7))
    of_nucleus, of_plasm = (np.maximum(np.mean(density[part], axis=0), 1e-3) for part in (nucleus, plasm))
    return np.array(
        [
            np.log(found.area_um2[number]),
            region.eccentricity,
            region.solidity,
            found.lobes[number],
            *(of_nucleus[[0, 2]] / of_nucleus.sum()),
            *(of_plasm[[0, 2]] / of_plasm.sum()),
            of_plasm.sum() / of_nucleus.sum(),
            *(fine[part].std() / of_nucleus.mean() for part in (nucleus, plasm)),
            *(cell[part].mean() for part in (near, far)),
        ],
        float,
    )


def _density(pixels: Array) -> Array:
    """Return the optical density of each colour, 0 to 2.4."""
    levels = pixels[..., :3].astype(np.float32)
    white = np.maximum(np.percentile(levels.reshape(-1, 3), _WHITE_PERCENT, axis=0), 1e-9)
    return np.asarray(-np.log10(np.clip(levels / white, 1 / 255, 1)))


@dataclass(frozen=True)
class CellClassifier:
    """A linear discriminant of :data:`FEATURES`: the class ``k`` with the largest ``w_k z + b_k`` (Fisher 1936).

    ``z`` are the features less their mean, over their standard deviation, from -3 to 3: a strange feature must not outvote all
    others. Called with an image it says the class of the
    white cell in its middle, None where there is no nucleus.

    Parameters
    ----------
    classes : tuple of str
    pixel_um : float
        Of the images that will be classified; another size: ``dataclasses.replace(classifier, pixel_um=0.2)``.
    mean, std : (P,)
    weights : (K, P)
    offsets : (K,)
    about : str
        What it was trained on, and what it is worth.
    """

    classes: tuple[str, ...]
    pixel_um: float
    mean: tuple[float, ...]
    std: tuple[float, ...]
    weights: tuple[tuple[float, ...], ...]
    offsets: tuple[float, ...]
    about: str = ""

    def __post_init__(self) -> None:
        if not (np.isfinite(self.pixel_um) and self.pixel_um > 0):
            raise ValueError(f"pixel_um is {self.pixel_um}: give the size of a pixel in micrometres, above 0")

    @classmethod
    def fit(
        cls, images: Iterable[Array], labels: Sequence[str], pixel_um: float | Sequence[float], *, about: str = ""
    ) -> CellClassifier:
        """Train on images around one cell each; every class counts alike, however often it is met.

        Pixel sizes may be one for each image; the classifier's is their median. Images without a nucleus are left out.
        ValueError where there is one class only, or a class of one cell.
        """
        given = list(images)
        sizes_um = (
            np.broadcast_to(pixel_um, len(given)).tolist() if np.ndim(pixel_um) == 0 else list(np.ravel(pixel_um))
        )
        if not len(given) == len(labels) == len(sizes_um):
            raise ValueError(
                f"{len(given)} images, {len(labels)} labels, {len(sizes_um)} pixel sizes: give one of each for every image"
            )
        measured = [cell_features(image, float(um)) for image, um in zip(given, sizes_um, strict=True)]
        kept = [(values, str(label)) for values, label in zip(measured, labels, strict=True) if values is not None]
        names = tuple(dict.fromkeys(sorted(label for _, label in kept)))
        groups = [np.array([values for values, label in kept if label == name]) for name in names]
        if len(names) < 2 or min(map(len, groups)) < 2:
            counted = ", ".join(f"{name} {len(group)}" for name, group in zip(names, groups, strict=True))
            raise ValueError(
                f"cells with a nucleus: {counted or 'none'}; give two classes or more, of each two cells or more"
            )
        mean, std, weights, offsets = _discriminant(groups)
        rows = tuple(tuple(row) for row in weights.tolist())
        middle_um = float(np.median(sizes_um))
        return cls(names, middle_um, tuple(mean.tolist()), tuple(std.tolist()), rows, tuple(offsets.tolist()), about)

    def __call__(self, image: npt.ArrayLike) -> str | None:
        """Return the class of the white cell in the middle of an image, None where no nucleus is."""
        features = cell_features(image, self.pixel_um)
        if features is None:
            return None
        z = np.clip((features - self.mean) / np.array(self.std), -FAR, FAR)
        return self.classes[int(np.argmax(np.array(self.weights) @ z + self.offsets))]

    def save(self, path: str | Path) -> Path:
        """Write it as JSON, six digits a number."""
        Path(path).write_text(json.dumps(_short(asdict(self)), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        return Path(path)

    @classmethod
    def load(cls, path: str | Path) -> CellClassifier:
        """Read what :meth:`save` wrote."""
        try:
            text = Path(path).read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(f"{path}: this is no classifier of cells; give a file that save wrote") from error
        return cls._of(text, str(path))

    @classmethod
    def _of(cls, text: str, name: str) -> CellClassifier:
        try:
            said = json.loads(text)
            numbers = {key: tuple(map(float, said[key])) for key in ("mean", "std", "offsets")}
            weights = tuple(tuple(map(float, row)) for row in said["weights"])
            one = cls(tuple(said["classes"]), float(said["pixel_um"]), weights=weights, about=said["about"], **numbers)
        except (KeyError, TypeError, json.JSONDecodeError) as error:
            raise ValueError(
                f"{name}: this is no classifier of cells ({error}); give a file that save wrote"
            ) from error
        if {len(one.mean), len(one.std), *map(len, weights)} != {len(FEATURES)} or not (
            len(one.classes) == len(weights) == len(one.offsets)
        ):
            raise ValueError(f"{name}: its numbers are not of {len(FEATURES)} features: train it again")
        return one


def simulated_cells_classifier(pixel_um: float = 0.1) -> CellClassifier:
    """Return the shipped classifier of five white cells, trained on SIMULATED stained cells only.

    It knows the cells of :func:`napari_cellrestore.simulate.blood_phantom`, stained, at 0.1 um: neutrophils, lymphocytes,
    monocytes, eosinophils, basophils, as often each, with dyes of 0.25 to 1.7 times their strength (blue down to a
    twentieth), up to 0.8 um out of focus, with noise. Of 300 other simulated cells it tells all, with such changes 286 of 296.
    No recorded cell was seen in training, immature and ill cells are not among its classes, and it names one of the five
    whatever it is shown. Of 79 recorded cells of one laboratory, most of them neutrophils and eosinophils, it called 71
    eosinophils, 4 lymphocytes and 4 monocytes: lobed nuclei it tells from round ones, recorded neutrophils from eosinophils
    not. Its labels are no diagnosis. It is for agreement between two images of one cell; train your own where you have labels.

    Made by ``benchmarks/train_cell_classes.py``.

    Parameters
    ----------
    pixel_um : float
        Of the images that will be classified.

    Examples
    --------
    >>> simulated_cells_classifier().classes
    ('basophil', 'eosinophil', 'lymphocyte', 'monocyte', 'neutrophil')
    """
    text = (files("napari_cellrestore.evaluate") / "cell_classes.json").read_text(encoding="utf-8")
    return replace(CellClassifier._of(text, "cell_classes.json"), pixel_um=pixel_um)


def _discriminant(groups: Sequence[Array]) -> tuple[Array, Array, Array, Array]:
    """Return mean and standard deviation of the features, weights and offsets of the linear discriminant."""
    everything = np.concatenate(groups)
    mean, std = everything.mean(axis=0), everything.std(axis=0)
    std = np.where(std > 1e-9, std, 1.0)
    scaled = [(group - mean) / std for group in groups]
    centres = np.array([group.mean(axis=0) for group in scaled])
    within = np.concatenate([group - centre for group, centre in zip(scaled, centres, strict=True)])
    covariance = within.T @ within / max(1, len(within) - len(groups))
    scale = max(float(np.trace(covariance)) / len(covariance), 1e-9)
    covariance = (1 - SHRINKAGE) * covariance + SHRINKAGE * scale * np.eye(len(covariance))
    weights = np.linalg.solve(covariance, centres.T).T
    return mean, std, weights, -0.5 * np.einsum("kp,kp->k", weights, centres)


def _short(value: object) -> object:
    """Return numbers with six digits."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, list | tuple):
        return [_short(one) for one in value]
    return {key: _short(one) for key, one in value.items()} if isinstance(value, dict) else value
