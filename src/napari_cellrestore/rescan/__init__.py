"""An unstained LED scan and the stained scan of the same slide, paired cell by cell for training (Wulff 2022, 3.1.3).

Fields are matched by their edges, white cells found by their colour, each pair is judged against all others, and what is
accepted is written as crops of one name.

>>> from napari_cellrestore.rescan import find_scans, judge, pair_scans, write_pairs
"""

from napari_cellrestore.rescan.cells import find_white_cells
from napari_cellrestore.rescan.correlation import correlation_map
from napari_cellrestore.rescan.field import FieldMatch, match_field
from napari_cellrestore.rescan.fine import FineMatch, match_cell, ssim_shifts
from napari_cellrestore.rescan.judging import judge
from napari_cellrestore.rescan.looks import LOOKS, accentuated, resample
from napari_cellrestore.rescan.pairing import CellPair, FieldPairs, pair_field
from napari_cellrestore.rescan.planes import ShiftedPlane, bright_plane, shifted_planes
from napari_cellrestore.rescan.scans import Scans, find_scans, pair_scans
from napari_cellrestore.rescan.similarity import Similarity, fit_similarity
from napari_cellrestore.rescan.writing import check_new_folder, cut_inputs, cut_target, write_pairs

__all__ = [
    "find_scans",
    "Scans",
    "pair_scans",
    "pair_field",
    "FieldPairs",
    "CellPair",
    "judge",
    "write_pairs",
    "check_new_folder",
    "cut_inputs",
    "cut_target",
    "find_white_cells",
    "match_field",
    "FieldMatch",
    "match_cell",
    "ssim_shifts",
    "FineMatch",
    "LOOKS",
    "accentuated",
    "resample",
    "correlation_map",
    "Similarity",
    "fit_similarity",
    "bright_plane",
    "shifted_planes",
    "ShiftedPlane",
]
