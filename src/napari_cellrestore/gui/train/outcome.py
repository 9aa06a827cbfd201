"""What came of a training, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from napari_cellrestore.card import ModelCard
from napari_cellrestore.gui.restore.model_choice import makes_images
from napari_cellrestore.model.folder import read_card
from napari_cellrestore.recipe import Recipe
from napari_cellrestore.train import Estimate

#: Share of time spent waiting for crops from which it is worth a remark.
MUCH_WAITING = 0.3


def images(count: int) -> str:
    """Return a number of images.

    >>> images(1), images(3)
    ('1 image', '3 images')
    """
    return f"{count} image{'s' if count != 1 else ''}"


def estimated(event: Mapping[str, Any]) -> str:
    """Return the size of a run and its time.

    >>> estimated({"parameters": 395011, "seconds_a_step": 0.5, "steps": 720, "images": {"smears": 8}})
    '8 images of smears to train on. A network of 395,011 weights; 720 steps of 0.5 s: about 6 minutes.'
    """
    size = Estimate(event["parameters"], event["seconds_a_step"], event["steps"])
    sources = ", ".join(f"{images(count)} of {name}" for name, count in event["images"].items())
    return (
        f"{sources} to train on. A network of {size.parameters:,} weights; {size.steps:,} steps of "
        f"{size.seconds_a_step:.2g} s: about {size.in_words}."
    )


def begun(name: str, recipe: Recipe, run: Path) -> str:
    """Return what is being trained."""
    sources = ", ".join(Path(source.input).name for source in recipe.images)
    where = run.relative_to(Path.cwd()) if run.is_relative_to(Path.cwd()) else run
    return f"Training {name} by the recipe {recipe.name} on {sources}. The run is in {where}"


def finished(models: Sequence[Mapping[str, Any]]) -> str:
    """Return where the models of a run are, and how they did on the images kept for the test."""
    said = []
    for event in models:
        folder = Path(event["folder"])
        measured = measured_on_test(read_card(folder))
        said.append(f"{event['model']} is finished and in the list of models. {measured}\nIt is in {folder}.")
    return "\n".join(said)


def usable(models: Sequence[Mapping[str, Any]]) -> str | None:
    """Return the name of the first model that the Restore widget offers, None where there is none."""
    cards = (read_card(Path(event["folder"])) for event in models)
    return next((card.name for card in cards if makes_images(card)), None)


def measured_on_test(card: ModelCard) -> str:
    """Return the sentences of a card on its held-out numbers.

    >>> measured_on_test(ModelCard(name="a", task="deblur", network="pix2pix", limits=["It fills in."]))
    'It was measured on no image: none was kept for the test.'
    """
    said = card.limits[len(card.limits) - len(card.held_out) :]
    return " ".join(said) or "It was measured on no image: none was kept for the test."


def state_words(step: int, recipe: Recipe) -> str:
    """Return what a folder holds that a run can go on from."""
    if step >= recipe.steps:
        return f"This folder holds a run at its end, step {step:,}: Resume takes more steps, or makes its model again."
    return f"This folder holds a run of {recipe.name} at step {step:,} of {recipe.steps:,}: Resume goes on from there."
