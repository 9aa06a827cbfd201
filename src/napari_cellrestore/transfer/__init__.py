"""Images of the same cells by two microscopes, paired and put pixel on pixel for training (Jönsson & Sjöstrand 2018, 3.1.1).

Modules: ``planes`` (images as they are paired), ``cells`` (white cells), ``matching`` (which cell is which), ``points`` (SIFT and
RANSAC), ``residual`` (what is left, by intensity), ``parts`` (what moved), ``placement`` (the map), ``judging`` (what
is a bad pair), ``aligning`` and ``aligned`` (two images), ``pairing``, ``folder`` and ``result`` (two folders), ``warping``,
``writing``.

>>> from napari_cellrestore.transfer import align_pair, pair_images, write_pairs
"""

from napari_cellrestore.transfer.aligned import AlignedPair
from napari_cellrestore.transfer.aligning import align_pair, follow_alignment
from napari_cellrestore.transfer.judging import Alignment
from napari_cellrestore.transfer.pairing import Step, follow_pairing, pair_images
from napari_cellrestore.transfer.placement import Placement
from napari_cellrestore.transfer.result import ImagePair, Pairing, Problem
from napari_cellrestore.transfer.writing import follow_writing, save_pair, write_pairs

__all__ = [
    "pair_images",
    "follow_pairing",
    "Pairing",
    "ImagePair",
    "Problem",
    "Step",
    "write_pairs",
    "follow_writing",
    "align_pair",
    "follow_alignment",
    "AlignedPair",
    "Alignment",
    "Placement",
    "save_pair",
]
