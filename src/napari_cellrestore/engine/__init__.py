"""Engines: how a network is run. Every engine gives what eager float32 torch gives, within the card's tolerance."""

from napari_cellrestore.engine.choice import Choice, choose, choose_for, is_long, reason
from napari_cellrestore.engine.held import Room, at_once, held_bytes
from napari_cellrestore.engine.machine import ENGINES, PRECISIONS, available_engines, cache_folder, memory_bytes
from napari_cellrestore.engine.measurement import Measurement, Timing, known, measure
from napari_cellrestore.engine.runners import Runner, runner, tile_bytes
from napari_cellrestore.engine.runs import Run, compiled_run, openvino_run, padded, torch_run

__all__ = [
    "ENGINES",
    "PRECISIONS",
    "Choice",
    "Measurement",
    "Room",
    "Run",
    "Runner",
    "Timing",
    "at_once",
    "available_engines",
    "cache_folder",
    "choose",
    "choose_for",
    "compiled_run",
    "held_bytes",
    "is_long",
    "known",
    "measure",
    "memory_bytes",
    "openvino_run",
    "padded",
    "reason",
    "runner",
    "tile_bytes",
    "torch_run",
]
