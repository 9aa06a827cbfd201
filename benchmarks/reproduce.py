"""Rerun the sources' comparisons on sharp images of smears with simulated defocus, and write docs/reproduction.md.

Every variant is trained for the same number of steps, measured on the same held-out images, and kept in its own folder:
a run that was stopped goes on, a finished one is not repeated, and the page is made of what is there. ``--quick`` takes
narrow networks and few steps (about ten minutes each on two cores), ``--full`` the sources' own (for a GPU).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from variants import RESULTS, keep, known, slug, why

from napari_cellrestore.evaluate.certainty import mean_interval
from napari_cellrestore.held_out import LEVELS_UM, simulated_stack
from napari_cellrestore.metrics import focus_ratio, fpw, mse, psnr, ssim
from napari_cellrestore.networks import create_network
from napari_cellrestore.pairs import training_images
from napari_cellrestore.recipe import RECIPES, ImageSource, Recipe
from napari_cellrestore.schemes import create_scheme
from napari_cellrestore.schemes.batch import to_grey_levels, to_tensor
from napari_cellrestore.simulate import defocus_planes
from napari_cellrestore.train import train, trained_network
from napari_cellrestore.train.checkpoint import Checkpoint
from napari_cellrestore.train.learner import Learner

#: Of --quick; that of --full is beside it.
PAGE = Path(__file__).parent.parent / "docs" / "reproduction.md"
TEST_IMAGES = 8
METRICS = ("MSE", "SSIM", "PSNR", "FR", "FPW")
#: What --quick changes in a network, by its name.
NARROW: dict[str, dict[str, Any]] = {
    "pix2pix": {"filters": 16, "blocks": 12, "global_skip": True},
    "pix2pix-fast": {},
    "pan": {"filters": 16},
    "deblurgan": {"filters": 16, "blocks": 3},
    "defocus-unet": {"filters": 8},
}
NARROW_CRITIC: dict[str, dict[str, Any]] = {
    "patch-discriminator": {"filters": 16},
    "pan-discriminator": {"filters": 16},
}


@dataclass(frozen=True)
class Section:
    """A table of a source: its rows are recipes, each with its changes."""

    title: str
    source: str
    rows: dict[str, tuple[str, dict[str, Any]]]
    #: What the source found, in one sentence.
    found: str
    #: Its MSE of each row, of its own images.
    mse: dict[str, float] = field(default_factory=dict)
    #: What must be known to compare the two.
    note: str = ""


def _features(layer: int, weight: float) -> dict[str, Any]:
    """Return what a row changes of pix2pix-dist, nothing where it is that recipe."""
    if (layer, weight) == (3, 50):
        return {}
    return {
        "losses": {"l1": 10, "adversarial": 1, "feature": weight},
        "features": {"network": "distance", "layers": [layer]},
    }


def _focus(weight: float) -> dict[str, Any]:
    return {
        "losses": {"l1": 10, "adversarial": 1, "focus": 127.5 * weight}
    }  # the source's weights are of grey levels 0..255


SECTIONS = [
    Section(
        "pix2pix, PAN and deblurGAN",
        "Olofsson & Wagnström 2019, table 6.2",
        {
            "pix2pix": ("pix2pix", {}),
            "pix2pix, nothing added to its output": ("pix2pix", {"options": {"global_skip": False}}),
            "PAN": ("pan", {}),
            "deblurGAN": ("deblurgan", {}),
            "deblurGAN, features of `distance`": (
                "deblurgan",
                {"features": {"network": "distance", "layers": [3], "compare": "mse"}},
            ),
        },
        "pix2pix was best in all but the focus ratio, where PAN was",
        {"pix2pix": 8.805, "PAN": 13.93, "deblurGAN": 19.53},
        "The source's deblurGAN compares features of VGG-19, whose weights cannot be brought along; the row with features of "
        "`distance` stands in for it with another loss, and its place says nothing of the source's.",
    ),
    Section(
        "Augmentation of colours",
        "Olofsson & Wagnström 2019, table 6.5",
        {"with": ("pix2pix", {}), "without": ("pix2pix", {"pairs": {"other_colours": False}})},
        "augmentation made all but the focus ratio better",
        {"with": 8.805, "without": 9.344},
    ),
    Section(
        "Focus loss",
        "Olofsson & Wagnström 2019, table 6.6",
        {
            "pix2pix": ("pix2pix", {}),
            **{f"focus loss, weight {w:g}": ("pix2pix", _focus(w)) for w in (0.002, 0.02, 0.1)},
        },
        "it made FPW and the focus ratio better and MSE, SSIM and PSNR worse",
        {
            "pix2pix": 6.788,
            "focus loss, weight 0.002": 7.069,
            "focus loss, weight 0.02": 8.882,
            "focus loss, weight 0.1": 8.817,
        },
    ),
    Section(
        "Style loss of VGG-16",
        "Olofsson & Wagnström 2019, table 6.7",
        {
            "pix2pix": ("pix2pix", {}),
            "VGG, block 5, weight 10": ("pix2pix-vgg", {}),
            "`distance`, layer 4, weight 10": (
                "pix2pix-vgg",
                {"features": {"network": "distance", "layers": [4], "compare": "gram"}},
            ),
        },
        "block 5 made FPW and the focus ratio a little better and MSE worse",
        {"pix2pix": 6.788, "VGG, block 5, weight 10": 7.101},
    ),
    Section(
        "Distance loss",
        "Olofsson & Wagnström 2019, table 6.8",
        {
            "pix2pix": ("pix2pix", {}),
            **{
                f"layer {layer}, weight {weight:g}": ("pix2pix-dist", _features(layer, weight))
                for layer, weight in ((3, 10), (3, 50), (3, 100), (4, 50), (5, 10))
            },
        },
        "layer 3 with weight 50 was best in all metrics but the focus ratio",
        {
            "pix2pix": 6.788,
            "layer 3, weight 10": 6.502,
            "layer 3, weight 50": 6.433,
            "layer 3, weight 100": 6.9634,
            "layer 4, weight 50": 7.297,
            "layer 5, weight 10": 9.416,
        },
    ),
    Section(
        "One and two planes in",
        "Olofsson & Wagnström 2019, table 6.9",
        {"one": ("pix2pix-dist", {}), "two": ("pix2pix-dist-2inputs", {})},
        "two planes were a little better in all metrics",
        {"one": 5.698, "two": 5.638},
    ),
    Section(
        "Filters, blocks and kernel",
        "Olofsson & Wagnström 2019, tables 6.10 to 6.14",
        {
            "the original": ("pix2pix-dist", {}),
            "fewer filters": ("pix2pix-dist", {"options": {"filters": 0.1875}}),
            "fewer filters, 8 blocks": ("pix2pix-dist", {"options": {"filters": 0.25, "blocks": 8}}),
            "fewer filters, kernel 3": ("pix2pix-dist", {"options": {"filters": 0.25, "kernel": 3}}),
            "fewer filters, 10 blocks, kernel 3": (
                "pix2pix-dist",
                {"options": {"filters": 0.28125, "blocks": 10, "kernel": 3}},
            ),
            "fewer filters, 8 blocks, kernel 3": (
                "pix2pix-dist",
                {"options": {"filters": 0.3125, "blocks": 8, "kernel": 3}},
            ),
        },
        "all were worse than the original; 8 blocks with 16 of 64 filters was the best of the fast ones",
        {
            "the original": 6.433,
            "fewer filters": 10.13,
            "fewer filters, 8 blocks": 9.226,
            "fewer filters, kernel 3": 13.21,
            "fewer filters, 10 blocks, kernel 3": 9.343,
            "fewer filters, 8 blocks, kernel 3": 9.802,
        },
    ),
    Section(
        "With a critic and without, and critics held back",
        "Olofsson & Wagnström 2019, tables 6.17 to 6.19",
        {
            "GAN": ("pix2pix", {}),
            "CNN": ("pix2pix-cnn", {}),
            "soft labels": ("d-soft", {}),
            "smaller critic": ("d-small", {}),
            "ratio 1:2": ("ratio-1-2", {}),
            "lower learning rate": ("d-lr", {}),
        },
        "the CNN was better than the GAN in all but the focus ratio; soft labels, ratio 1:2 and the lower rate were better still",
        {
            "GAN": 7.791,
            "CNN": 6.961,
            "soft labels": 6.792,
            "smaller critic": 7.993,
            "ratio 1:2": 6.709,
            "lower learning rate": 6.653,
        },
    ),
    Section(
        "Networks A to F over defocus",
        "Werth & Matlock 2018, table 1 and figure 6",
        {letter: (f"defocus-{letter}", {}) for letter in "ABCDEF"},
        "each network of one defocus was best at its own and worse elsewhere; F, of all, held over the whole range",
    ),
]


# --- variants ------------------------------------------------------------------------------------------------------


def variant(name: str, changes: dict[str, Any], options: argparse.Namespace) -> Recipe:
    """Return the recipe of a row in the budget asked for; filters below 1 are a share of the network's."""
    recipe = Recipe(**{**RECIPES[name].model_dump(), **{key: v for key, v in changes.items() if key != "options"}})
    more = dict(changes.get("options", {}))
    if options.quick:
        narrow = {**recipe.options, **NARROW[recipe.network]}
        critic = recipe.discriminator
        if critic:
            wider = {**critic.options, **NARROW_CRITIC[critic.network]}
            critic = critic.model_copy(update={"options": wider})
        recipe = recipe.model_copy(
            update={
                "options": narrow,
                "discriminator": critic,
                "steps": options.steps,
                "precision": options.precision,
                "crop_px": 128,
                "batch": min(recipe.batch, 4),
                "checkpoint_every": 250,
                "patience": None,
            }
        )
    if "filters" in more:
        more["filters"] = round(more["filters"] * recipe.options.get("filters", 64))
    source = ImageSource(kind="sharp", input=str(options.images), every=10)
    return recipe.model_copy(update={"options": {**recipe.options, **more}, "images": (source,)})


def key_of(name: str, changes: dict[str, Any]) -> str:
    """Return the name of the folder of a variant."""
    words = [name, *(f"{key}-{value}" for key, value in sorted(_flat(changes)))]
    return "_".join(words).replace("/", "-").replace(" ", "")


def _flat(changes: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in changes.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def result_of(key: str, options: argparse.Namespace) -> Path:
    """Return where the numbers of a variant are kept."""
    return RESULTS / "reproduce" / budget_of(options) / f"{slug(key)}.json"


def budget_of(options: argparse.Namespace) -> str:
    """Return the name of the budget."""
    return f"quick-{options.steps}-{options.precision}" if options.quick else "full"


def run(name: str, changes: dict[str, Any], options: argparse.Namespace) -> None:
    """Train a variant and measure it, unless that was done."""
    folder, result = options.runs / key_of(name, changes), result_of(key_of(name, changes), options)
    if "rows" in (before := known(result)) or "over_defocus" in before:
        return
    recipe = variant(name, changes, options)
    try:
        images = training_images(recipe)
        started = time.monotonic()
        print(f"{folder.name}", flush=True)
        for progress in train(recipe, images.pairs, folder, resume=True):
            if progress.step % 250 == 0:
                print(
                    f"  {progress.step} of {progress.steps}, {progress.seconds_left / 60:.0f} minutes left", flush=True
                )
        minutes = (time.monotonic() - started) / 60
    except ValueError as error:
        keep(result, why(error))
        return
    network, _ = trained_network(folder, recipe)
    test = next(iter(images.splits.values())).test[:TEST_IMAGES]
    measured = (
        over_defocus(network, recipe, test) if name.startswith("defocus-") else over_levels(network, recipe, test)
    )
    measured |= {"minutes": round(minutes, 1), "parameters": _count(network), "channels": network.in_channels}
    if recipe.discriminator and recipe.discriminator.adversarial == "bce" and "pan" not in name:
        measured["critic"] = critic_outputs(folder, recipe, test)
    keep(result, measured)


# --- measuring -----------------------------------------------------------------------------------------------------


@torch.inference_mode()
def restored(network: torch.nn.Module, planes: list[np.ndarray]) -> np.ndarray:
    """Return what a network makes of planes of one image, in grey levels."""
    joined = np.concatenate([plane.astype(np.float32) for plane in planes], axis=-1)
    return np.clip(to_grey_levels(network(to_tensor([joined])), (0, 255)), 0, 255)


def over_levels(network: torch.nn.Module, recipe: Recipe, paths: tuple[Path, ...]) -> dict[str, Any]:
    """Return the mean over focus levels of each metric, for each image."""
    rows = []
    for index, path in enumerate(paths):
        truth, stack = simulated_stack(path, recipe.pairs, index)
        planes = np.asarray(stack.data)
        rng = np.random.default_rng(index)
        scores = []
        for level in range(len(LEVELS_UM)):
            others = [planes[rng.integers(len(planes))] for _ in range(recipe.in_planes - 1)]
            scores.append(scored(truth, restored(network, [planes[level], *others])))
        rows.append(np.mean(scores, axis=0).tolist())
    return {"rows": rows}


def scored(truth: np.ndarray, image: np.ndarray) -> list[float]:
    """Return MSE, SSIM, PSNR, FR and FPW."""
    levels: Any = {"data_range": 255}
    return [
        mse(truth, image, **levels),
        ssim(truth, image, **levels),
        psnr(truth, image, **levels),
        focus_ratio(truth, image, **levels),
        fpw(truth, image, **levels),
    ]


def input_rows(options: argparse.Namespace) -> dict[str, Any]:
    """Return the same of the planes as they are, kept once it was measured."""
    result = result_of("input", options)
    if not (before := known(result)):
        recipe = variant("pix2pix", {}, options)
        test = next(iter(training_images(recipe).splits.values())).test[:TEST_IMAGES]
        before = keep(result, over_levels(torch.nn.Identity(), recipe, test))
    return before


def over_defocus(network: torch.nn.Module, recipe: Recipe, paths: tuple[Path, ...]) -> dict[str, Any]:
    """Return SSIM and PSNR at every defocus of Werth & Matlock 2018, for each image, of input and output."""
    from napari_cellrestore.pairs import read_smear
    from napari_cellrestore.simulate import smear_objectives

    levels_um = (2.0, 4.0, 6.0, 8.0, 10.0, 15.0, 20.0, 25.0, 30.0, 40.0)
    lens = smear_objectives(recipe.pairs)[0]
    rows = []
    for path in paths:
        image = read_smear(path)[..., 1].astype(np.float32)
        truth, *planes = defocus_planes(image, recipe.pairs.pixel_um, lens, [0.0, *levels_um])
        outputs = [restored(network, [plane[..., None]])[..., 0] for plane in planes]
        rows.append(
            [
                [[ssim(truth, one, data_range=255), psnr(truth, one, data_range=255)] for one in images]
                for images in (planes, outputs)
            ]
        )
    return {"defocus_um": levels_um, "over_defocus": rows}


@torch.inference_mode()
def critic_outputs(folder: Path, recipe: Recipe, paths: tuple[Path, ...]) -> list[float]:
    """Return the mean probability that the critic gives to the input, the restored and the sharp image."""
    learner = Learner(create_scheme(recipe, 3 * recipe.in_planes, 3), "cpu")
    Checkpoint(folder).load(learner)
    critic, network = learner.scheme.critics["critic"].eval(), learner.average["generator"]
    rows = []
    for index, path in enumerate(paths):
        truth, stack = simulated_stack(path, recipe.pairs, index)
        blurred = to_tensor([np.asarray(stack.data[0], np.float32)])
        condition = torch.cat([blurred] * recipe.in_planes, dim=1)
        images = (blurred, network(condition), to_tensor([truth]))
        rows.append([float(critic(condition, image).sigmoid().mean()) for image in images])
    return [round(float(v), 3) for v in np.mean(rows, axis=0)]


@torch.inference_mode()
def add_milliseconds(results: dict[str, dict[str, Any]], recipes: dict[str, Recipe]) -> None:
    """Add the median time of a 360 x 360 image, of all networks in turn in one run."""
    networks = {}
    for key, result in results.items():
        if "channels" in result:
            recipe = recipes[key]
            networks[key] = create_network(recipe.network, result["channels"], None, **recipe.options).eval()
    taken: dict[str, list[float]] = {key: [] for key in networks}
    for _ in range(7):
        for key, network in networks.items():
            image = torch.zeros(1, results[key]["channels"], 360, 360)
            started = time.perf_counter()
            network(image)
            taken[key].append(time.perf_counter() - started)
    for key, seconds in taken.items():
        results[key]["ms"] = round(1000 * float(np.median(seconds)), 1)


def _count(network: torch.nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


# --- the page ------------------------------------------------------------------------------------------------------


def page(results: dict[str, dict[str, Any]], options: argparse.Namespace) -> str:
    """Return the page in Markdown."""
    budget = (
        f"Quick budget: narrow networks (pix2pix with {NARROW['pix2pix']['filters']} filters and "
        f"{NARROW['pix2pix']['blocks']} blocks, the input added to its output, which the source's is not), "
        f"{options.steps} steps of crops of 128 px in {options.precision} for every row, each on one CPU core"
        if options.quick
        else "Full budget: the sources' networks and steps"
    )
    lines = [
        "# The sources' comparisons, rerun",
        "",
        f"{budget}. Sharp blood smears ({options.images.name}), defocus simulated; means over "
        f"{len(LEVELS_UM)} focus levels from {LEVELS_UM[0]} to {LEVELS_UM[-1]} um and {TEST_IMAGES} held-out images, with "
        "95 % bootstrap intervals over images. Made by `benchmarks/reproduce.py`, which goes on where it was stopped; rows "
        "that say so have not been run or cannot be run here. The sources trained 25 to 70 times longer on real stacks, so "
        "orders may differ from theirs, and overlapping intervals decide nothing.",
    ]
    if options.quick:
        lines[-1] += (
            f" In so few steps {_count_worse(results)} are still further from the truth than the image as it came (by MSE), so "
            "that they tell variants apart and restore nothing. pix2pix as in the source, which makes the whole image and not a "
            "correction of it, is far behind: therefore the input is added to its output here."
        )
    for section in SECTIONS:
        lines += ["", f"## {section.title}", "", f"{section.source}: {section.found}.", "", *table(section, results)]
    return "\n".join(lines) + "\n"


def _count_worse(results: dict[str, dict[str, Any]]) -> str:
    """Return how many of the rows that were run have a larger MSE than the image as it came."""
    mse_of = {key: np.array(found["rows"])[:, 0].mean() for key, found in results.items() if "rows" in found}
    came = mse_of.pop("input")
    return f"{sum(one > came for one in mse_of.values())} of {len(mse_of)} rows that were run"


def table(section: Section, results: dict[str, dict[str, Any]]) -> list[str]:
    """Return a section's table."""
    found = {label: results.get(key_of(*row), {}) for label, row in section.rows.items()}
    if "Werth" in section.source:
        return defocus_table(found)
    head = ["", *METRICS, "ms (360 x 360)", "parameters"]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for label, result in {"*not restored*": results["input"], **found}.items():
        cells = [label]
        if "rows" in result:
            cells += [interval(np.array(result["rows"])[:, index]) for index in range(len(METRICS))]
            cells += [f"{result['ms']:g}", f"{result['parameters']:,}"] if "ms" in result else ["", ""]
        else:
            cells += [result.get("missing", "not run yet"), *[""] * (len(head) - 2)]
        lines.append("| " + " | ".join(cells) + " |")
    done = {label: np.array(result["rows"])[:, 0] for label, result in found.items() if "rows" in result}
    if len(done) > 1:
        lines += ["", f"{_order_said(section, done)} {section.note}".rstrip()]
    critics = {label: result["critic"] for label, result in found.items() if "critic" in result}
    if critics and "critic" in section.title:
        lines += ["", "| critic's output for | input | restored | sharp |", "|---|---|---|---|"]
        lines += [f"| {label} | " + " | ".join(f"{v:g}" for v in values) + " |" for label, values in critics.items()]
    return lines


def _order_said(section: Section, done: dict[str, np.ndarray]) -> str:
    """Return the order by MSE, and which rows the source has the other way round."""
    order = sorted(done, key=lambda label: float(done[label].mean()))
    said = f"Order by MSE here: {', '.join(order)}."
    both = [label for label in order if label in section.mse]
    if len(both) < 2:
        return said
    theirs = sorted(both, key=section.mse.__getitem__)
    if both == theirs:
        of_those = "" if both == order else f" of {' and '.join(both)}"
        return f"{said} The source's order{of_those} is the same."
    turned = [(a, b) for i, a in enumerate(both) for b in both[i + 1 :] if section.mse[a] > section.mse[b]]
    # The same images for every row: what counts is the difference of each image.
    sure = [(a, b) for a, b in turned if mean_interval(done[b] - done[a])[1] > 0]
    said += f" The source's: {', '.join(theirs)}."
    if not sure:
        return f"{said} Where they differ, the interval of the difference over images holds zero."
    return f"{said} The other way round, by more than the interval over images: {'; '.join(f'{a} before {b}' for a, b in sure)}."


def defocus_table(found: dict[str, dict[str, Any]]) -> list[str]:
    """Return PSNR by defocus, of the input and of every network."""
    done = {label: result for label, result in found.items() if "over_defocus" in result}
    if not done:
        return ["Not run yet."]
    levels_um = next(iter(done.values()))["defocus_um"]
    lines = [
        "| PSNR (SSIM) | " + " | ".join(f"{z:g} um" for z in levels_um) + " |",
        "|---" * (len(levels_um) + 1) + "|",
    ]
    rows = {"input": np.array(next(iter(done.values()))["over_defocus"])[:, 0]}
    rows |= {label: np.array(result["over_defocus"])[:, 1] for label, result in done.items()}
    for label, values in rows.items():
        means = values.mean(axis=0)
        lines.append(f"| {label} | " + " | ".join(f"{p:.1f} ({s:.2f})" for s, p in means) + " |")
    missing = [label for label in found if label not in done]
    return lines + (["", f"Not run yet: {', '.join(missing)}."] if missing else [])


def interval(values: np.ndarray) -> str:
    """Return a mean with its interval."""
    mean, low, high = mean_interval(values)
    digits = 4 if abs(mean) < 1.5 else 2 if abs(mean) < 100 else 0
    return f"{mean:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("images", type=Path, help="folder of sharp images of 8 bit RGB")
    parser.add_argument("--runs", type=Path, default=Path("runs/reproduce"))
    budget = parser.add_mutually_exclusive_group(required=True)
    budget.add_argument("--quick", action="store_true", help="narrow networks, few steps")
    budget.add_argument("--full", action="store_true", help="as in the sources, for a GPU")
    parser.add_argument("--steps", type=int, default=2000, help="of every variant of --quick")
    parser.add_argument(
        "--precision",
        choices=("float32", "bf16"),
        default="bf16",
        help="of the training of --quick; measured in float32",
    )
    parser.add_argument("--minutes", type=float, default=1e9, help="begin no further variant after so long")
    parser.add_argument("--page-only", action="store_true", help="write the page of what is there")
    parser.add_argument(
        "--share", type=int, nargs=2, default=(0, 1), metavar=("K", "N"), help="run every N-th variant from K"
    )
    parser.add_argument("--threads", type=int, help="processor cores to use")
    options = parser.parse_args()
    options.runs = options.runs / budget_of(options)
    if options.threads:
        torch.set_num_threads(options.threads)
    rows = {key_of(*row): row for section in SECTIONS for row in section.rows.values()}
    first, step = options.share
    started = time.monotonic()
    for name, changes in [] if options.page_only else list(rows.values())[first::step]:
        if time.monotonic() - started < 60 * options.minutes:
            run(name, changes, options)
    results = {key: found for key in rows if (found := known(result_of(key, options)))}
    add_milliseconds(results, {key: variant(*row, options) for key, row in rows.items()})
    results["input"] = input_rows(options)
    target = PAGE if options.quick else PAGE.with_stem("reproduction-full")
    target.write_text(page(results, options), encoding="utf-8")


if __name__ == "__main__":
    main()
