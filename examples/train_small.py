# Train a network on sharp images, save it as a model with its card, and use it.
#
#   python train_small.py            a handful of steps on drawn blood smears, in a temporary folder
#   python train_small.py my-run     the same, kept in the folder "my-run"
#
# The steps here show the way only; their result is of no use. For real work give sharp images of your own and the steps
# of a recipe, best from the shell, where a run can be stopped and resumed: cellrestore train --help
# What to adapt: draw_images (a folder of your images instead), RECIPE (network, losses, optics and range of defocus).

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

from napari_cellrestore.card import ModelCard
from napari_cellrestore.model import save_model
from napari_cellrestore.networks import receptive_halo, stride_of
from napari_cellrestore.pairs import DefocusPairs, split_by_image
from napari_cellrestore.recipe import DefocusSettings, Recipe
from napari_cellrestore.restore import restore
from napari_cellrestore.simulate import draw_smear
from napari_cellrestore.train import train, trained_network

RECIPE = Recipe(
    name="small",
    network="pix2pix-fast",
    options={"norm": "none", "dropout": 0.0, "global_skip": True},
    losses={"rmse": 1.0},
    steps=5,
    batch=2,
    crop_px=48,
    pairs=DefocusSettings(levels_um=(-0.8, 0.8)),
)


def draw_images(folder: Path, number: int = 5) -> list[Path]:
    folder.mkdir(parents=True)
    paths = [folder / f"smear {seed}.png" for seed in range(number)]
    for seed, path in enumerate(paths):
        Image.fromarray(draw_smear((128, 128), RECIPE.pairs.pixel_um, np.random.default_rng(seed))).save(path)
    return paths


def train_model(folder: Path) -> None:
    split = split_by_image(draw_images(folder / "images"), every=3)  # no image is in two sets
    pairs = DefocusPairs(split.train, split.validation, RECIPE.pairs)
    for progress in train(RECIPE, pairs, folder / "run"):
        print(f"step {progress.step} of {progress.steps}: loss {progress.losses['loss']:.4f}")

    network, steps = trained_network(folder / "run", RECIPE)
    card = ModelCard(
        name=RECIPE.name,
        task=RECIPE.task,
        network=RECIPE.network,
        options=RECIPE.options,
        stride=stride_of(network),
        halo_px=receptive_halo(network, 3, stride_of(network)),
        pixel_um=RECIPE.pairs.pixel_um,
        defocus_um=RECIPE.pairs.levels_um,
        data="drawn smears",
        recipe=RECIPE.model_dump(mode="json"),
        steps=steps,
        limits=["Trained for a few steps only: of no use."],
    )
    model = save_model(folder / "model", network, card)
    sharp = np.asarray(Image.open(split.test[0]))
    print(f"{model.label} made {restore(sharp, model).compute().shape} of {split.test[0].name}")


if __name__ == "__main__":
    if len(sys.argv) == 2:
        train_model(Path(sys.argv[1]))
    else:
        with TemporaryDirectory() as home:
            train_model(Path(home))
