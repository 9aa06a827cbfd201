"""What each pixel of a stained blood smear shows: background, red cell, nucleus or cytoplasm of a white cell.

As Jönsson & Sjöstrand 2018 (2.2) describe it: first the white cells, nucleus and cytoplasm; what lies outside of them is
background or red cell by a threshold; the nucleus is told from the cytoplasm. The source leaves each step open.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import ndimage
from skimage.filters import gaussian

from napari_cellrestore.nuclei import stained_nuclei
from napari_cellrestore.nuclei.finding import SMALLEST_UM2
from napari_cellrestore.nuclei.others import BLUE_SHARE, EDGE_PX, OUTSIDE, REACH, find_cells, from_nearest
from napari_cellrestore.stain.gaussians import Moments, distances, log_norms, posterior
from napari_cellrestore.stain.images import Range, levels

Array = np.ndarray

CLASSES = ("background", "red cell", "nucleus", "cytoplasm")
BACKGROUND, RED_CELL, NUCLEUS, CYTOPLASM = range(4)

#: Smallest nucleus in pixels where their size is not known: of most microscopes larger than a platelet.
SMALLEST_PX = 400
#: Squared Mahalanobis distance in three colours beyond which 1 in 100 pixels of a class lie; OUTSIDE is that of 1 in 1000.
FAR = 11.34
#: A class with fewer examples in an image is not in it.
LEAST_EXAMPLES = 100
#: Rounds of expectation and maximisation, and of how many pixels of an image at most.
ROUNDS, ROUNDS_PX = 4, 60_000


@dataclass(frozen=True, eq=False)
class Segmented:
    """Probabilities (Y, X, 4), which pixels have a colour of any class, and why nuclei are doubted ("" where they are not)."""

    probabilities: Array
    inside: Array
    doubt: str = ""


def stain_classes(image: Any, *, pixel_um: float | None = None, intensity: Range | None = None) -> Array:
    """Return the probability that a pixel shows background, red cell, nucleus or cytoplasm.

    Otsu's threshold of the optical density of green parts background and cells. Nuclei are those of
    :func:`napari_cellrestore.nuclei.stained_nuclei` whose colour is none of the other cells. A white cell reaches from its nucleus
    as far as :data:`REACH` of its radius; cells outside of white ones are red cells. Inside, cytoplasm is what is neither
    background, red cell, between them, nor nucleus. Of each class a Gaussian in RGB is fitted, and with it the
    probabilities are improved in :data:`ROUNDS` rounds of expectation and maximisation (Dempster et al. 1977), in which
    nucleus and cytoplasm lie in white cells only. What fits no class, as 1 pixel in 1000 of a Gaussian, does not count for it.

    Parameters
    ----------
    image : (Y, X, 3) or (Y, X, 4) array
        A smear stained by May-Grünwald-Giemsa, Wright or alike, in bright field; alpha is left out.
    pixel_um : float, optional
        Pixel size, by which nuclei are told from platelets. Without it a nucleus has :data:`SMALLEST_PX` pixels or more.
    intensity : (float, float), optional
        Grey levels of black and full scale; needed unless the image is of 8 bit.

    Returns
    -------
    (Y, X, 4) float32 array
        In the order of :data:`CLASSES`; the sum over classes is 1. A class that is not in the image has 0 everywhere.

    Raises
    ------
    ValueError, TypeError
        Grey images, types whose range is not given, pixels that are not finite.

    Notes
    -----
    Colours are told by what lies around them, so that tiles may differ from the whole.
    :meth:`napari_cellrestore.stain.StainSystem.probabilities` tells them by colour alone.

    Examples
    --------
    >>> smear = np.full((120, 120, 3), 225, np.uint8)
    >>> smear[10:40, 10:110] = 200, 150, 140
    >>> smear[60:110, 40:100] = 190, 170, 215
    >>> smear[70:100, 55:85] = 90, 50, 150
    >>> shown = stain_classes(smear).argmax(axis=-1)
    >>> [CLASSES[shown[place]] for place in ((50, 50), (25, 60), (85, 70), (64, 70))]
    ['background', 'red cell', 'nucleus', 'cytoplasm']
    """
    return segmented(levels(image, intensity), pixel_um).probabilities


def segmented(colours: Array, pixel_um: float | None = None) -> Segmented:
    """Return what the pixels of an image (Y, X, 3) of 0 to 255 show; see :func:`stain_classes`."""
    density = _density(colours)
    cells = find_cells(density)
    nuclei, doubt = _nuclei(colours, pixel_um)
    depth, near = _depth(nuclei)
    examples = np.zeros((len(CLASSES), *near.shape), bool)
    examples[BACKGROUND] = ~near & ~cells
    examples[RED_CELL] = ~near & cells & (density[..., 2] >= BLUE_SHARE * density[..., 1])
    examples[NUCLEUS] = depth > EDGE_PX
    ring = near & (depth < -EDGE_PX)
    examples[CYTOPLASM, ring] = _neither(colours[ring], *_fitted(colours, examples))
    flat, cell = colours.reshape(-1, 3), near.ravel().astype(int)
    means, covariances, priors = _refined(flat, cell, *_fitted(colours, examples), examples)
    probabilities, inside = _expected(flat, cell, means, covariances, priors)
    shape = colours.shape[:2]
    return Segmented(probabilities.reshape(*shape, len(CLASSES)).astype(np.float32), inside.reshape(shape), doubt)


# --- examples of each class ----------------------------------------------------------------------------------


def _density(colours: Array) -> Array:
    """Return optical densities, of the white that 98 % of the pixels do not exceed."""
    white = np.maximum(np.percentile(colours.reshape(-1, 3), 98, axis=0), 1.0)
    return np.asarray(-np.log10(np.clip(gaussian(colours, 1, channel_axis=-1) / white, 1 / 255, None)))


def _nuclei(colours: Array, pixel_um: float | None) -> tuple[Array, str]:
    """Return labels of nuclei, none of them where they are doubted, and why they are."""
    limits = {"pixel_um": 1.0, "smallest_um2": SMALLEST_PX} if pixel_um is None else {"pixel_um": pixel_um}
    found = stained_nuclei(colours, **{"smallest_um2": SMALLEST_UM2, **limits}, largest_um2=np.inf, gap_um=0)
    return (np.zeros_like(found.labels) if found.doubt else found.labels), found.doubt


def _depth(nuclei: Array) -> tuple[Array, Array]:
    """Return the depth of each pixel in a nucleus, negative outside, in pixels, and which are in a white cell."""
    if not nuclei.any():
        return np.full(nuclei.shape, -np.inf), np.zeros(nuclei.shape, bool)
    away_px, radius_px = from_nearest(nuclei)
    return ndimage.distance_transform_edt(nuclei > 0) - away_px, away_px <= REACH * radius_px


def _neither(colours: Array, means: Array, covariances: Array, found: Array) -> Array:
    """Return which colours (N, 3) are neither background, red cell, a mixture of both as at an edge, nor nucleus."""
    far = np.ones(len(colours), bool)
    if found[NUCLEUS]:
        far &= distances(colours, means[[NUCLEUS]], covariances[[NUCLEUS]])[:, 0] > FAR
    if found[BACKGROUND]:
        red = float(found[RED_CELL])
        inverse = np.linalg.inv(covariances[BACKGROUND] + red * covariances[RED_CELL])
        to = red * (means[RED_CELL] - means[BACKGROUND])
        away = colours - means[BACKGROUND]
        part = np.clip(away @ inverse @ to / max(float(to @ inverse @ to), 1e-9), 0, 1)
        rest = away - part[:, None] * to
        far &= np.einsum("ij,jk,ik->i", rest, inverse, rest) > FAR
    return far


# --- expectation and maximisation ----------------------------------------------------------------------------


def _fitted(colours: Array, examples: Array) -> tuple[Array, Array, Array]:
    """Return means, covariances and which classes have enough examples."""
    moments = Moments(len(CLASSES))
    for k, mask in enumerate(examples):
        some = colours[mask]
        moments.add(some, np.eye(len(CLASSES))[[k] * len(some)])
    return moments.means, moments.covariances, moments.weights >= LEAST_EXAMPLES


def _refined(
    flat: Array, cell: Array, means: Array, covariances: Array, found: Array, examples: Array
) -> tuple[Array, Array, Array]:
    """Return means, covariances and priors (2, 4), outside of white cells and inside, after the rounds."""
    step = max(1, len(flat) // ROUNDS_PX)
    flat, cell = flat[::step], cell[::step]
    priors = _first_priors(examples, found)
    for _ in range(ROUNDS):
        probabilities, inside = _expected(flat, cell, means, covariances, priors)
        moments = Moments(len(CLASSES))
        moments.add(flat, probabilities * inside[:, None])
        means, covariances = moments.means, moments.covariances
        alive = moments.weights * step >= min(LEAST_EXAMPLES / 2, step * moments.weights.max())
        shares = [probabilities[cell == part].mean(axis=0) if (cell == part).any() else alive for part in (0, 1)]
        priors = np.stack(shares) * alive
    return means, covariances, priors


def _first_priors(examples: Array, found: Array) -> Array:
    """Return priors (2, 4) outside of white cells and inside; those of classes that are not in the image are 0."""
    outside = examples.reshape(len(CLASSES), -1).sum(axis=1) * found * (np.arange(len(CLASSES)) <= RED_CELL)
    if not outside.any():
        outside = np.eye(len(CLASSES))[BACKGROUND]
    inside = found if found.any() else outside  # how far neighbours reach into white cells is not known
    return np.stack([outside / outside.sum(), inside / inside.sum()])


def _expected(flat: Array, cell: Array, means: Array, covariances: Array, priors: Array) -> tuple[Array, Array]:
    """Return probabilities (N, 4) and which pixels have a colour of a class that may be there."""
    away = distances(flat, means, covariances)
    with np.errstate(divide="ignore"):
        logs = np.log(priors)  # -inf where a class cannot be
    probabilities = posterior((log_norms(covariances) + logs)[cell] - 0.5 * away)
    possible = np.where((priors > 0)[cell], away, np.inf)
    return probabilities, possible.min(axis=1) <= OUTSIDE
