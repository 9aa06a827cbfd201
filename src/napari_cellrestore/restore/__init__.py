"""Restoration: a plan in which everything is decided, and the lazy image that follows it."""

from napari_cellrestore.restore.inputs import ImageLike, Models, before
from napari_cellrestore.restore.plan import Plan, plan_restoration
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

__all__ = [
    "SPREAD",
    "ImageLike",
    "Models",
    "Plan",
    "before",
    "halves",
    "held_stack",
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
