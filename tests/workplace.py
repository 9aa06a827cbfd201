"""Small stacks, images, a model and a recipe, for tests of whole commands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage
from skimage.io import imsave

from napari_cellrestore.card import ModelCard
from napari_cellrestore.files import write_tiff
from napari_cellrestore.model import export_model, save_model
from napari_cellrestore.networks import create_network
from napari_cellrestore.stack import ImageStack

RECIPE = """
name: tiny
network: pix2pix-fast
options: {filters: 4, blocks: 4, norm: none, dropout: 0.0, global_skip: true}
losses: {l1: 1.0}
steps: 2
batch: 1
crop_px: 32
checkpoint_every: 1
"""
NETWORK: dict[str, Any] = {"filters": 8, "blocks": 4, "norm": "none", "dropout": 0.0, "global_skip": True}
Z_UM = np.round(np.arange(-0.6, 0.61, 0.2), 6)


def scene(seed=0, shape=(96, 96)):
    """Smooth noise."""
    return ndimage.gaussian_filter(np.random.default_rng(seed).normal(0, 900, shape), 2)


def focus_stack(seed=0):
    planes = [30_000 + scene(seed) / (1 + (z / 0.4) ** 2) for z in Z_UM]
    return ImageStack(np.array(planes).astype(np.uint16), "ZYX", pixel_um=0.1, z_um=Z_UM)


def make_workplace(home: Path) -> Path:
    """Write them all."""
    (home / "stacks").mkdir()
    for number in range(2):
        write_tiff(home / "stacks" / f"s{number}.ome.tif", focus_stack(number))
    write_tiff(home / "s0.ome.tif", focus_stack())
    for name, plane in (("a", 1), ("b", 3)):
        write_tiff(home / f"{name}.ome.tif", focus_stack().select("Z", plane).replace(notes=()))
    for folder in ("sharp", "dim"):
        (home / folder).mkdir()
    rng = np.random.default_rng(0)
    for number in range(6):
        pixels = np.kron(rng.integers(40, 230, (10, 12, 3)), np.ones((8, 8, 1))).astype(np.uint8)
        imsave(home / "sharp" / f"{number}.png", pixels, check_contrast=False)
        imsave(home / "dim" / f"{number}.png", (0.7 * pixels).astype(np.uint8), check_contrast=False)
    (home / "tiny.yaml").write_text(RECIPE, encoding="utf-8")
    options = {**NETWORK, "filters": 4}
    card = ModelCard(
        name="tiny",
        task="deblur",
        network="pix2pix-fast",
        options=options,
        in_channels=1,
        out_channels=1,
        stride=4,
        halo_px=32,
        input_range=(0, 65535),
    )
    save_model(home / "models" / "tiny", create_network("pix2pix-fast", 1, 1, **options), card)
    export_model(home / "models" / "tiny", home / "tiny.cellrestore.zip")
    (home / "disk").mkdir()
    return home
