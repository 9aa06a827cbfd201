"""Pairs of (input, target) images that a network learns from: simulated, in two folders, from stacks or open layers.

>>> from napari_cellrestore.pairs import training_images, DefocusPairs, ArrayPairs
"""

from napari_cellrestore.pairs.arrays import ArrayPairs
from napari_cellrestore.pairs.crop import Crop, Pairs, images_known
from napari_cellrestore.pairs.defocus import DefocusPairs, change_colours
from napari_cellrestore.pairs.folders import match_folders
from napari_cellrestore.pairs.images import Field, ImagePairs
from napari_cellrestore.pairs.picture import Picture, Room, open_picture, read_smear
from napari_cellrestore.pairs.sources import TrainingImages, training_images
from napari_cellrestore.pairs.split import Split, check_leaks, split_by_image
from napari_cellrestore.pairs.stacks import stack_fields
from napari_cellrestore.pairs.unpaired import MixedPairs, UnpairedImages

__all__ = [
    "training_images",
    "TrainingImages",
    "Pairs",
    "Crop",
    "images_known",
    "DefocusPairs",
    "ImagePairs",
    "ArrayPairs",
    "UnpairedImages",
    "MixedPairs",
    "Field",
    "Picture",
    "Room",
    "match_folders",
    "stack_fields",
    "Split",
    "split_by_image",
    "check_leaks",
    "change_colours",
    "open_picture",
    "read_smear",
]
