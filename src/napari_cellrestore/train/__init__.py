"""Training: one loop for every scheme, whose state can be gone on from."""

from napari_cellrestore.train.checkpoint import (
    CHECKPOINT,
    RECIPE,
    check_run_folder,
    known_images,
    saved_step,
    trained_network,
)
from napari_cellrestore.train.estimate import Estimate, estimate
from napari_cellrestore.train.loop import Progress, train

__all__ = [
    "CHECKPOINT",
    "RECIPE",
    "Estimate",
    "Progress",
    "check_run_folder",
    "estimate",
    "known_images",
    "saved_step",
    "train",
    "trained_network",
]
