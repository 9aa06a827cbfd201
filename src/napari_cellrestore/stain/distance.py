"""How far the colours of two sets of images are apart, class by class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from skimage.color import rgb2lab

from napari_cellrestore.stain.gaussians import Moments, wasserstein
from napari_cellrestore.stain.images import FULL, Images, Range, levels, named_images
from napari_cellrestore.stain.segmentation import CLASSES, segmented
from napari_cellrestore.stain.system import LEAST_PX, checked_classes

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class LabColours:
    """Means, and mean covariances within an image, in CIELAB of each class; less than :data:`LEAST_PX` pixels say nothing."""

    means: Array
    covariances: Array
    pixels: Array


def lab_colours(images: Images, *, pixel_um: float | None = None, intensity: Range | None = None) -> LabColours:
    """Return the Gaussians in CIELAB of each of :data:`CLASSES`, one image after another segmented anew."""
    moments = Moments(len(CLASSES))
    for name, pixels in named_images(images):
        colours = levels(pixels, intensity, name)
        shown = segmented(colours, pixel_um)
        lab = rgb2lab(np.clip(colours / FULL, 0, 1)).reshape(-1, 3)
        moments.add(lab, (shown.probabilities * shown.inside[..., None]).reshape(-1, len(CLASSES)))
    return LabColours(moments.means, moments.within, moments.weights)


def class_distances(one: LabColours, other: LabColours, classes: Sequence[str] = CLASSES) -> dict[str, float]:
    """Return the 2-Wasserstein distance of each class that both have, in units of CIELAB; 2.3 can just be seen."""
    wanted = [CLASSES.index(name) for name in checked_classes(classes)]
    known = [k for k in wanted if min(one.pixels[k], other.pixels[k]) >= LEAST_PX]
    if not known:
        raise ValueError(
            f"the two sets of images have none of the classes {', '.join(classes)} in common with {LEAST_PX} pixels or more: "
            "give more images of smears"
        )
    return {
        CLASSES[k]: wasserstein(one.means[k], one.covariances[k], other.means[k], other.covariances[k]) for k in known
    }


def colour_distance(
    images: Images,
    target_images: Images,
    *,
    classes: Sequence[str] = CLASSES,
    pixel_um: float | None = None,
    target_pixel_um: float | None = None,
    intensity: Range | None = None,
    target_intensity: Range | None = None,
) -> float:
    """Return how far the colours of images are from those of target images: the mean of :func:`class_distances`.

    Each image is segmented anew by :func:`stain_classes`. Of each class, and of either set, one Gaussian in CIELAB is taken, with
    the mean of all images and the mean of their covariances; the 2-Wasserstein distance of the two counts the difference of
    their means and of their spreads within an image. Classes count alike, however large they are, so that it does not
    matter how many cells either set shows; a class that one set lacks does not count.

    Parameters
    ----------
    images, target_images : folder, files or arrays
        As of :func:`fit_system`.
    classes : sequence of str
        Which of :data:`CLASSES` count.
    pixel_um, target_pixel_um, intensity, target_intensity : optional
        As of :func:`fit_system`, for each set.

    Returns
    -------
    float
        In units of CIELAB (Delta E of 1976), 0 for the same colours.

    Examples
    --------
    >>> from napari_cellrestore.simulate import draw_smear
    >>> smears = [draw_smear((200, 200), 0.1, np.random.default_rng(0))]
    >>> colour_distance(smears, smears)
    0.0
    """
    ours = lab_colours(images, pixel_um=pixel_um, intensity=intensity)
    theirs = lab_colours(target_images, pixel_um=target_pixel_um, intensity=target_intensity)
    return float(np.mean(list(class_distances(ours, theirs, classes).values())))
