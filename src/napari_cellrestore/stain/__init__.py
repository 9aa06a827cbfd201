"""Stained smears of one microscope in the colours of another (Jönsson & Sjöstrand 2018, 2.2).

Modules: ``segmentation`` (what each pixel shows), ``gaussians``, ``system`` (colours of a microscope), ``transfer`` (the map from
one to another), ``distance`` (how far colours are apart), ``baselines`` (other normalisations), ``images`` (reading).
"""

from napari_cellrestore.stain.baselines import (
    NORMALISATIONS,
    Macenko,
    Reinhard,
    fit_macenko,
    fit_reinhard,
)
from napari_cellrestore.stain.distance import LabColours, class_distances, colour_distance, lab_colours
from napari_cellrestore.stain.images import image_files
from napari_cellrestore.stain.segmentation import CLASSES, stain_classes
from napari_cellrestore.stain.system import StainSystem, fit_system
from napari_cellrestore.stain.transfer import StainTransfer, fit_hedlund_morell, fit_transfer

__all__ = [
    "CLASSES",
    "NORMALISATIONS",
    "LabColours",
    "Macenko",
    "Reinhard",
    "StainSystem",
    "StainTransfer",
    "class_distances",
    "colour_distance",
    "fit_hedlund_morell",
    "fit_macenko",
    "fit_reinhard",
    "fit_system",
    "fit_transfer",
    "image_files",
    "lab_colours",
    "stain_classes",
]
