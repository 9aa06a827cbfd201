"""Training: one loop for every scheme, whose state can be gone on from."""

from napari_cellrestore.train.checkpoint import known_images, saved_step, trained_network
from napari_cellrestore.train.estimate import Estimate, estimate
from napari_cellrestore.train.loop import Progress, train

__all__ = ["Estimate", "Progress", "estimate", "known_images", "saved_step", "train", "trained_network"]
