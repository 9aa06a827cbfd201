"""A trained network becomes a model: measured on images it never saw, with a card that says so."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from napari_cellrestore.card import ModelCard
from napari_cellrestore.evaluate.certainty import mean_interval
from napari_cellrestore.evaluate.scoring import METRICS
from napari_cellrestore.held_out import model_method, score_held_out, simulated_stack, summary
from napari_cellrestore.leds import LedTable, clearest
from napari_cellrestore.metrics import mse, psnr, ssim
from napari_cellrestore.model import Model, save_model
from napari_cellrestore.networks import receptive_halo, stride_of
from napari_cellrestore.pairs import Crop, Pairs, Split, TrainingImages, images_known
from napari_cellrestore.pairs.crop import Test
from napari_cellrestore.pairs.defocus import DefocusPairs, open_sharp
from napari_cellrestore.pairs.sources import source_names
from napari_cellrestore.recipe import RECIPES, Recipe
from napari_cellrestore.schemes.batch import to_grey_levels, to_tensor
from napari_cellrestore.simulate import quantise
from napari_cellrestore.train import trained_network

Array = np.ndarray
#: Crops whose mean colours stand for the training images, where these are not read whole.
CROPS_FOR_COLOURS = 200

Say = Callable[[str, int], object]
#: Source and field of view of a pair, and the pair.
Crops = Iterator[tuple[tuple[str, str], Crop]]


def make_model(
    run: Path,
    target: Path,
    images: TrainingImages,
    recipe: Recipe,
    *,
    data: str = "",
    licence: str = "",
    say: Say = lambda name, count: None,
    which: str = "generator",
    bundled: bool = False,
) -> Model:
    """Save the network of a run as a model, with its numbers on the images kept for the test.

    Parameters
    ----------
    run : Path
        Folder of the run.
    target : Path
        Folder of the model, which must not exist; its name is the model's.
    images : TrainingImages
        What it was trained on, with the images kept out.
    recipe : Recipe
    data, licence : str
        What the images are; both go into the card.
    say : callable
        Told the name and number of each set of images before it is measured.
    which : {"generator", "back"}
        The way there or the way back of a recipe that has both.
    bundled : bool
        Keep summary and limits of a named recipe: they tell of the bundled model, trained on its images.
    """
    images = images.way_back() if which == "back" else images
    network, step = trained_network(run, recipe, which=which)
    summary, limits = (recipe.summary, recipe.limits) if bundled else _own_words(recipe)
    card = _card(network, recipe, images, target.name, data).model_copy(
        update={"summary": summary or _summary(recipe, which, data), "steps": step, "licence": licence}
    )
    model = Model(network, card, target)
    held_out = _held_out(model, recipe, images, which, say)
    if recipe.cyclic and not held_out:
        back, _ = trained_network(run, recipe, which="back" if which == "generator" else "generator")
        held_out = _there_and_back(model, back, images, say)
    card = card.model_copy(update={"held_out": held_out, "limits": [*limits, *_limits(recipe, which, held_out)]})
    return save_model(target, network, card)


def _card(network: torch.nn.Module, recipe: Recipe, images: TrainingImages, name: str, data: str) -> ModelCard:
    pairs, stride = images.pairs, stride_of(network)
    gives_image, tile_safe = network.gives == "image", bool(network.tile_safe)
    mean, std = _colours(images, recipe)
    return ModelCard(
        name=name,
        task=recipe.task,
        network=recipe.network,
        options={name: value for name, value in recipe.options.items() if name != "weights"},
        in_channels=network.in_channels,
        out_channels=network.out_channels,
        stride=stride,
        tile_safe=tile_safe,
        halo_px=receptive_halo(network, pairs.in_channels, stride) if gives_image and tile_safe else 0,
        **{"in_planes": recipe.in_planes, **images_known(pairs)},
        defocus_um=_defocus_um(pairs) if recipe.task in ("deblur", "distance") else None,
        levels_um=recipe.levels_um,
        colour_mean=tuple(mean.round(2)),
        colour_std=tuple(std.round(2)),
        data="; ".join(filter(None, [data, *map(_describe_split, images.splits, images.splits.values())])),
        recipe=_without_paths(recipe, _unused(images.pairs)),
        seed=recipe.seed,
        created=date.today().isoformat(),
    )


def _without_paths(recipe: Recipe, unused: set[str]) -> dict[str, Any]:
    """Return a recipe for the card. Folders and files are the user's own business: it says in words what images they hold."""
    exclude = dict.fromkeys(["images", *unused], True) | {"options": {"weights"}, "features": {"weights"}}
    start = recipe.start and Path(recipe.start).name
    return recipe.model_copy(update={"start": start}).model_dump(mode="json", exclude=exclude)


def _unused(pairs: Pairs) -> set[str]:
    """Return settings that say nothing of a model: the simulated defocus and noise of one that learned from recorded pairs."""
    return set() if isinstance(pairs, DefocusPairs) else {"pairs"}


def _defocus_um(pairs: Pairs) -> tuple[float, float] | None:
    """Return the range of defocus of the inputs, None where it is not known; targets are in focus."""
    levels = np.asarray(getattr(pairs, "levels_um", ()), float)
    return (round(float(levels.min()), 6), round(float(levels.max()), 6)) if levels.size else None


def _colours(images: TrainingImages, recipe: Recipe) -> tuple[Array, Array]:
    """Return the mean of each channel over the training images, and its spread from image to image."""
    if sharp := _sharp(images, recipe):
        paths = [path for split in sharp.values() for path in split.train]
        means = [open_sharp(path, recipe.pairs).whole().mean((0, 1)) for path in paths]
    else:
        rng = np.random.default_rng(0)
        means = [images.pairs.crop(rng, recipe.crop_px).input.mean((0, 1)) for _ in range(CROPS_FOR_COLOURS)]
    return np.mean(means, axis=0), np.std(means, axis=0)


def _sharp(images: TrainingImages, recipe: Recipe) -> dict[str, Split]:
    """Return the splits of sharp images, of which blurred ones are simulated."""
    names = source_names(recipe.images)
    return {
        name: images.splits[name] for name, source in zip(names, recipe.images, strict=True) if source.kind == "sharp"
    }


def _describe_split(name: str, split: Split) -> str:
    return f"{name}: {len(split.train)} images to train, {len(split.validation)} to validate, {len(split.test)} to test"


# --- held-out numbers ----------------------------------------------------------------------------------------------


def _held_out(model: Model, recipe: Recipe, images: TrainingImages, which: str, say: Say) -> list[dict[str, Any]]:
    sharp = _sharp(images, recipe)
    if recipe.levels_um:
        measured, measure, of_others = sharp, _by_distance, _by_recorded_distance
    else:
        # By focus level only what restores a plane of such an image; the way back makes something else of it.
        one_plane = which == "generator" and recipe.in_planes == 1 and model.card.in_channels in (1, 3)
        measured, measure = sharp if one_plane else {}, _by_level
        of_others = partial(_by_pair, _made(images.pairs))
    rows = []
    for name, split in measured.items():
        say(name, len(split.test))
        rows.append(measure(model, recipe, name, split))
    others = {name: split for name, split in images.splits.items() if name not in measured}
    if others:
        say(" and ".join(others), sum(len(split.test) for split in others.values()))
        tests = {source: test for source, test in images.tests.items() if source not in measured}
        rows += of_others(model, " and ".join(others), _crops(tests))
    return rows


def _crops(tests: Mapping[str, Test]) -> Crops:
    """Yield the pairs for the test with their field of view: files of two sources may have one name."""
    for source, test in tests.items():
        for name, crop in test():
            if crop.paired:
                yield (source, _field(name, crop)), crop


def _field(name: str, crop: Crop) -> str:
    """Return the name of the field of view of a crop for the test: without the level of its plane."""
    return name if crop.level_um is None else name.removesuffix(f" {crop.level_um:+g} um")


def _by_level(model: Model, recipe: Recipe, name: str, split: Split) -> dict[str, Any]:
    """Return the scores on simulated focus stacks of held-out sharp images."""
    table = score_held_out(split.test, {model.card.name: model_method(model)}, recipe.pairs, recipe.intensity_range)
    tables = [table.by_level(method).as_dict() for method in ("input", model.card.name)]
    return {**summary(table, model.card.name, name), "by_level": tables, "metrics": list(METRICS)}


def _by_distance(model: Model, recipe: Recipe, name: str, split: Split) -> dict[str, Any]:
    """Return the error of the predicted distance from focus on simulated stacks of held-out sharp images.

    Of levels on both sides of focus those above, as the simulated ones are alike.
    """
    levels, predicted = [], []
    for path in split.test:
        _, stack = simulated_stack(path, recipe.pairs, 0, recipe.intensity_range)
        z_um = np.asarray(stack.z_um, float)
        planes = np.flatnonzero(z_um >= 0) if (z_um >= 0).any() else np.arange(len(z_um))
        pixels = np.asarray(stack.data)[planes]
        levels.append(z_um[planes])
        predicted.append(_distances(model, pixels if stack.rgb else pixels[..., None]))
    return _distance_row(name, len(split.test), np.concatenate(levels), np.concatenate(predicted))


def _by_recorded_distance(model: Model, name: str, crops: Crops) -> list[dict[str, Any]]:
    """Return the same on held-out focus stacks, of the planes whose level is known."""
    fields, levels, predicted = set(), [], []
    for field, crop in crops:
        if crop.level_um is not None:
            fields.add(field)
            levels.append(crop.level_um)
            predicted.append(_distances(model, crop.input[None])[0])
    return [_distance_row(name, len(fields), np.array(levels), np.array(predicted))] if fields else []


def _distance_row(name: str, number: int, levels_um: Array, predicted_um: Array) -> dict[str, Any]:
    """Return the error of predicted distances from focus, (N,), by true level, of which the sign does not count."""
    distance_um = np.abs(levels_um)
    error = predicted_um - distance_um
    by_level = {level: error[distance_um == level] for level in np.unique(distance_um)}
    return {
        "images": name,
        "number": number,
        "levels_um": [float(level) for level in by_level],
        "error_um": round(float(np.abs(error).mean()), 4),
        "error_by_level_um": [round(float(np.abs(some).mean()), 4) for some in by_level.values()],
        "bias_by_level_um": [round(float(some.mean()), 4) for some in by_level.values()],
    }


@torch.inference_mode()
def _distances(model: Model, planes: Array) -> Array:
    scores = model.network(to_tensor(np.asarray(planes), model.card.input_range))
    return np.asarray(scores.softmax(1).numpy() @ np.array(model.card.levels_um))


def _made(pairs: Pairs) -> np.dtype[Any]:
    """Return the type of the pixels that the model makes, as it is applied: of floating point it stays."""
    given, wanted = (np.dtype(name) for name in pairs.dtypes)
    return given if given.kind == "f" else wanted


def _by_pair(made: np.dtype[Any], model: Model, name: str, crops: Crops) -> list[dict[str, Any]]:
    """Return error, peak signal-to-noise ratio and structural similarity on held-out pairs, with 95 % intervals.

    The planes of a stack count together: intervals are over fields of view.
    """
    scores: dict[tuple[str, str], list[list[float]]] = {}
    for field, crop in crops:
        scores.setdefault(field, []).append(_pair_scores(model, crop, made))
    if not scores:
        return []
    rows = np.array([np.mean(planes, axis=0) for planes in scores.values()])
    row: dict[str, Any] = {"images": name, "number": len(rows)}
    for index, metric in enumerate(_PAIR_METRICS):
        for kind, column in (("_input", index), ("", index + len(_PAIR_METRICS))):
            row[f"{metric}{kind}"] = [float(f"{v:.6g}") for v in mean_interval(rows[:, column])]
    before, after = rows[:, [0, len(_PAIR_METRICS)]].mean(axis=0)
    return [{**row, "mse_of_input": round(after / before, 4)} if before else row]


@torch.inference_mode()
def _pair_scores(model: Model, crop: Crop, made: np.dtype[Any]) -> list[float]:
    """Return the scores of the input, then of the result; an input of fewer channels than the target counts as grey."""
    known = model.card.input_range
    low, high = model.card.output_range or known
    colours = model.card.in_channels // model.card.in_planes
    first = colours * clearest(LedTable(**model.card.leds) if model.card.leds else None)
    before = crop.input[..., first : first + colours]  # of several planes one
    wanted = crop.target.shape[-1]
    before = before[..., :wanted] if colours >= wanted else before.mean(-1, keepdims=True).repeat(wanted, -1)
    before = (before - known[0]) * ((high - low) / (known[1] - known[0])) + low
    after = to_grey_levels(model.network(to_tensor([crop.input], known)), (low, high))
    compared = [(crop.target, quantise(image, made)) for image in (before, after)]
    return [_by_colours(measure, *pair, high - low) for pair in compared for measure in _PAIR_METRICS.values()]


def _by_colours(measure: Callable[..., float], target: Array, image: Array, span: float) -> float:
    """Return the score of images (Y, X, C): of grey and RGB as they are, of other channels the mean."""
    if target.shape[-1] == 3:
        return measure(target, image, data_range=span)
    return float(np.mean([measure(target[..., c], image[..., c], data_range=span) for c in range(target.shape[-1])]))


_PAIR_METRICS = {"mse": mse, "psnr": psnr, "ssim": ssim}


@torch.inference_mode()
def _there_and_back(model: Model, back: torch.nn.Module, images: TrainingImages, say: Say) -> list[dict[str, Any]]:
    """Return the error (MSE, in grey levels of the input) of held-out inputs that went there and back: no truth is needed."""
    name, known = " and ".join(images.splits), model.card.input_range
    say(name, sum(len(split.test) for split in images.splits.values()))
    made, errors = np.dtype(images.pairs.dtypes[0]), []
    for _, crop in images.test():
        again = to_grey_levels(back(model.network(to_tensor([crop.input], known))), known)
        errors.append(float(np.square(quantise(again, made) - crop.input).mean()))
    mean, *interval = (round(v, 5) for v in mean_interval(errors))
    return [{"images": name, "number": len(errors), "mse_there_and_back": [mean, *interval]}] if errors else []


# --- words ---------------------------------------------------------------------------------------------------------

_FILLED_IN = (
    "It fills in detail that was not measured by what such images usually look like: do not count, measure or diagnose on "
    "its output alone."
)
_KNOWN = {
    "deblur": "It was trained on simulated defocus of the images named in its card; on other samples, stains or microscopes its "
    "output is a guess until you have compared it with sharp images of your own.",
    "distance": "It was trained on simulated defocus of the images named in its card and gives the distance from focus without its "
    "sign; on other samples, stains or microscopes it is a guess.",
}


def _own_words(recipe: Recipe) -> tuple[str, list[str]]:
    """Return summary and limits of a recipe, without those of a named one: they tell of the bundled model."""
    named = RECIPES.values()
    bundled = {text for one in named for text in one.limits}
    summary = "" if recipe.summary in {one.summary for one in named} else recipe.summary
    return summary, [text for text in recipe.limits if text not in bundled]


def _summary(recipe: Recipe, which: str, data: str) -> str:
    how = "Way back, trained" if which == "back" else "Trained"
    return f"{how} by the recipe {recipe.name} on {data or ' and '.join(source_names(recipe.images))}"


def _limits(recipe: Recipe, which: str, held_out: list[dict[str, Any]]) -> list[str]:
    """Say in plain words what the measured numbers mean for trust."""
    simulated = which == "generator" and any(source.kind == "sharp" for source in recipe.images)
    other = "It knows images like those it was trained on; on others its output is a guess until you have compared it."
    said = [_KNOWN.get(recipe.task, other) if simulated else other]
    if recipe.task != "distance":
        said.append(_FILLED_IN)
    if recipe.images and all(source.kind == "unpaired" for source in recipe.images):
        said.append("It was trained without pairs: there is nothing to compare with, so no error was measured.")
    return [*said, *(_in_words(row) for row in held_out)]


def _in_words(row: dict[str, Any]) -> str:
    if "error_um" in row:
        return f"On {row['number']} held-out images of {row['images']} its error is {row['error_um']:g} um in the mean."
    if "mse_there_and_back" in row:
        return (
            f"{row['number']} held-out images of {row['images']} that went there and back came back with an error (MSE) of "
            f"{row['mse_there_and_back'][0]:g}; what they were on the way may be wrong all the same."
        )
    if "ssim" in row:
        error = f"{row['mse_of_input']:g} of the input's" if "mse_of_input" in row else f"{row['mse'][0]:g} (input: 0)"
        return (
            f"On {row['number']} held-out pairs of {row['images']} its error (MSE) is {error} and its structural similarity "
            f"{row['ssim'][0]:.3f} (input: {row['ssim_input'][0]:.3f})."
        )
    blurred = f"On held-out {row['images']} images its error (MSE) is {row['mse_of_input']} of the blurred input's."
    if "reach_mse" not in row:
        return blurred
    return (
        f"{blurred} Of images up to 0.8 um out of focus {row['reach_mse']} % (by MSE) and {row['reach_fpw']} % (by FPW) "
        f"become as good as a plane 0.4 um out of focus; counted by the plane each comes to equal, {row['success_mse']} % and "
        f"{row['success_fpw']} % come to one from -0.2 to 0.4 um.{_harm_in_words(row)}"
    )


def _harm_in_words(row: dict[str, Any]) -> str:
    """Say where a model does harm: at the focus level where it does worst.

    >>> _harm_in_words({"worst_mse": -0.1, "worst_fpw": -0.2})
    ''
    >>> "than its input, by 6 % (FPW) of" in _harm_in_words({"worst_mse": -0.1, "worst_fpw": 0.062})
    True
    """
    harm = [
        f"{100 * row[f'worst_{name}']:.0f} % ({name.upper()})" for name in ("mse", "fpw") if row[f"worst_{name}"] > 0
    ]
    if not harm:
        return ""
    return (
        " At the focus level where it does worst, mostly in focus, it is further from the truth than its input, by "
        f"{' and '.join(harm)} of what 0.4 um of defocus do: do not restore what is sharp."
    )
