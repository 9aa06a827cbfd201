"""From focus stacks as they were acquired to stacks for training: one z range, planes on top of one another.

The steps of Olofsson & Wagnström 2019 (section 2.1): z counts from the sharpest plane, stacks whose sharpest plane lies
outside an interval are discarded, all are trimmed to one z range, planes are aligned to the sharpest one, and a square
is cut out around the nucleus.
"""

from napari_cellrestore.prepare.folder import TABLE, Row, prepare_folder, stacks_in
from napari_cellrestore.prepare.stack import Prepared, prepare_stack
from napari_cellrestore.prepare.steps import peaks_within, recentre, trim

__all__ = [
    "recentre",
    "peaks_within",
    "trim",
    "prepare_stack",
    "Prepared",
    "prepare_folder",
    "stacks_in",
    "Row",
    "TABLE",
]
