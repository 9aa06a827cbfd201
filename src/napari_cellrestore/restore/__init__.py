"""Restoration: a plan in which everything is decided, and the lazy image that follows it."""

from napari_cellrestore.restore.inputs import ImageLike, Models, before, loaded
from napari_cellrestore.restore.plan import Plan
from napari_cellrestore.restore.planning import plan_restoration
from napari_cellrestore.restore.result import (
    SPREAD,
    halves,
    held_stack,
    provenance,
    restore,
    restore_stack,
    restore_stack_with_spread,
    restore_with_spread,
    spread_path,
    spread_provenance,
    write_with_spread,
)
from napari_cellrestore.restore.tiles import Tiles

__all__ = [
    "SPREAD",
    "ImageLike",
    "Models",
    "Plan",
    "Tiles",
    "before",
    "halves",
    "held_stack",
    "loaded",
    "plan_restoration",
    "provenance",
    "restore",
    "restore_stack",
    "restore_stack_with_spread",
    "restore_with_spread",
    "spread_path",
    "spread_provenance",
    "write_with_spread",
]
