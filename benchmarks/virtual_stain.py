"""Train virtual stains on simulated LED stacks and tabulate them: inputs, losses, depth and amount of data (Wulff 2022).

The cells are simulated, so that the stained image of each is known: nothing here says how a network does on patients' cells.
Every variant has its own folder: a run that was stopped goes on, a finished one is not repeated, and the page is made of what
is there. ``--quick`` takes `nafnet-fast` and few steps (``--variants`` names rows, so that each of two cores can take some),
because the source's RRDB, also at width 32 with two blocks, takes five times as long for a step and is not trained by then: one
row shows it. ``--full`` takes the source's network, for a GPU. Features of VGG-19, which cannot be brought along, are those of
the network ``distance``.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import pairwise, permutations
from pathlib import Path
from shutil import copyfile
from typing import Any

import numpy as np
import torch
from variants import RESULTS, interval, known, markdown, measured_once, slug, trained_once

from napari_cellrestore.evaluate.certainty import mean_interval
from napari_cellrestore.files import open_stack, write_tiff
from napari_cellrestore.leds import SUBSETS, arm_leds
from napari_cellrestore.metrics import mae, ssim
from napari_cellrestore.model import Model
from napari_cellrestore.nuclei import NucleiCounts, compare_nuclei
from napari_cellrestore.recipe import RECIPES, FeatureSettings, ImageSource, Recipe
from napari_cellrestore.restore import restore
from napari_cellrestore.simulate import WULFF_2022, DetectorNoise, blood_phantom, metered, simulated_rescan
from napari_cellrestore.stack import ImageStack

PAGE = Path(__file__).parent.parent / "docs" / "virtual-stain.md"
PIXEL_UM = 0.25
SIDE_PX = 160
DATA = "simulated blood cells"
#: Fields of cells to learn from (one in twelve validates, one is not used) and to test on.
FIELDS, TEST_FIELDS = 144, 80
WHITE_PER_MM2 = 1500.0
#: Grey level of a blank field in brightfield, another for each field: no model shall depend on one exposure.
LEVELS = (100.0, 140.0)
_DISTANCE = FeatureSettings(network="distance", layers=(3,))

#: What each variant changes: recipe, fields of it.
INPUTS: dict[str, tuple[str, dict[str, Any]]] = {name: ("maeNET", {"leds": name}) for name in SUBSETS}
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "maeNET": ("maeNET", {}),
    "maeNET, RRDB": ("maeNET", {}),
    "maePNET": ("maePNET", {"features": _DISTANCE}),
    "maePFNET": ("maePFNET", {"features": _DISTANCE}),
    "maePF-RpGAN-SN": ("maePF-RpGAN-SN", {"features": _DISTANCE}),
    "maePF-UNET": ("maePF-UNET", {"features": _DISTANCE}),
    "maePFNET, twice the blocks": ("maePFNET-deep", {"features": _DISTANCE}),
    "maePFNET, half the data": ("maePFNET", {"features": _DISTANCE}),
}
#: Inputs from the highest to the lowest SSIM of table 4.1.
SOURCE_ORDER = ("full-no-high", "full", "36deg-no-high", "36deg", "18deg", "8deg", "brightfield")
#: How the rows of --quick are trained: as the bundled model was.
QUICK: dict[str, Any] = {
    field: getattr(RECIPES["virtual-stain-sim"], field)
    for field in (
        *("batch", "crop_px", "optimiser", "learning_rate", "muon_rate", "schedule", "average", "gradient_limit"),
        *("patience", "checkpoint_every"),
    )
}
#: What recipes that start from another model start from.
START = "maePFNET"
#: The source's network in --quick: a row of its own, with a fifth of the steps, which takes as long.
RRDB = "maeNET, RRDB"


# --- the simulated slides ---------------------------------------------------------------------------------------------


def make_set(folder: Path, first_seed: int, fields: int) -> None:
    """Write LED stacks and stained images of fields of cells, but for those that are there."""
    sample = blood_phantom((128, 128), PIXEL_UM / 2, seed=0, white_per_mm2=WHITE_PER_MM2)
    leds = metered(arm_leds(), sample.transmission(), PIXEL_UM / 2, WULFF_2022, target=0.65, percentile=99.9)
    noise = DetectorNoise(0.01)
    for kind in ("simulated_blood", "stained"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    for seed in range(first_seed, first_seed + fields):
        stained = folder / "stained" / f"{seed:05d}.tif"
        if stained.exists():
            continue
        stack, target, _ = simulated_rescan(
            (SIDE_PX, SIDE_PX),
            PIXEL_UM,
            WULFF_2022,
            leds,
            seed,
            white_per_mm2=WHITE_PER_MM2,
            level=np.random.default_rng(seed).uniform(*LEVELS),
            high_over_low=2.5,
            noise=noise,
        )
        write_tiff(folder / "simulated_blood" / stained.name, stack, overwrite=True)
        write_tiff(stained, ImageStack(target, "YXS", pixel_um=PIXEL_UM))  # last: it says that the field is there
        print(f"field {seed}", flush=True)


def copy_half(whole: Path, half: Path) -> None:
    """Copy every second field, but for those that are there."""
    for path in sorted((whole / "stained").iterdir())[::2]:
        for kind in ("simulated_blood", "stained"):
            (half / kind).mkdir(parents=True, exist_ok=True)
            if not (half / kind / path.name).exists():
                copyfile(whole / kind / path.name, half / kind / path.name)


# --- variants -----------------------------------------------------------------------------------------------------------


def recipe_of(name: str, options: argparse.Namespace) -> Recipe:
    """Return the recipe of a variant in the budget asked for."""
    base, changes = (INPUTS | MODELS)[name]
    folder = options.runs / ("half" if "half" in name else "set")
    source = ImageSource(kind="leds", input=str(folder / "simulated_blood"), target=str(folder / "stained"), every=12)
    recipe = RECIPES[base].model_copy(update={**changes, "images": (source,)})
    if recipe.start:
        recipe = recipe.model_copy(update={"start": str(folder_of(START, options) / "model")})
    if not options.quick:
        return recipe
    changes = {
        "steps": options.steps,
        "precision": options.precision,
        **network_of(name, recipe, standardise=not options.as_they_are),
        **QUICK,
    }
    return recipe.model_copy(update=changes | ({"steps": options.steps // 5} if name == RRDB else {}))


def network_of(name: str, recipe: Recipe, *, standardise: bool) -> dict[str, Any]:
    """Return the network of a variant that two cores can train."""
    if name == RRDB:
        return {"network": "rrdb", "options": {"width": 32, "growth": 16, "blocks": 2, "standardise": standardise}}
    if recipe.network == "unet-wulff":
        return {"options": {"filters": 16, "standardise": standardise}}
    return {
        "network": "nafnet-fast",
        "options": {
            "global_skip": False,
            "standardise": standardise,
            "blocks": (0, 2, 8) if "twice" in name else (0, 1, 4),
        },
    }


def budget_of(options: argparse.Namespace) -> str:
    """Return the name of the budget."""
    planes = "-as-they-are" if options.as_they_are else ""
    return f"quick-{options.steps}-{options.precision}{planes}" if options.quick else "full"


def first_of(name: str, options: argparse.Namespace) -> str:
    """Return the first row that is trained as this one is: one training is enough for both."""
    recipe = recipe_of(name, options)
    return next(other for other in INPUTS | MODELS if recipe_of(other, options) == recipe)


def folder_of(name: str, options: argparse.Namespace) -> Path:
    """Return the folder of a variant."""
    return Path(options.runs) / budget_of(options) / slug(name)


def result_of(name: str, options: argparse.Namespace) -> Path:
    """Return where the numbers of a variant are kept."""
    return RESULTS / "virtual-stain" / budget_of(options) / f"{slug(name)}.json"


def run(name: str, options: argparse.Namespace) -> None:
    """Train a variant and measure it on the test fields, unless that was done."""
    name = first_of(name, options)
    recipe = recipe_of(name, options)
    if recipe.start and not known(result_of(name, options)):
        trained_once(recipe_of(START, options), folder_of(START, options), data=DATA)
    found = measured_once(
        recipe,
        folder_of(name, options),
        result_of(name, options),
        partial(measure, folder=options.runs / "test"),
        data=DATA,
    )
    print(name, found.get("missing") or f"took {found['minutes']} minutes", flush=True)


def measure(model: Model, folder: Path) -> dict[str, Any]:
    """Return SSIM, mean absolute error and nuclei of every test field."""
    rows, counts = [], NucleiCounts()
    for path in sorted((folder / "stained").iterdir()):
        target = np.asarray(open_stack(path).data)
        image = np.asarray(restore(open_stack(folder / "simulated_blood" / path.name), model))
        rows.append([ssim(target, image, data_range=255), mae(target, image, data_range=255) / 127.5])
        counts += compare_nuclei(target, image, PIXEL_UM).counts
    return {"rows": rows, "nuclei": counts.as_dict(), "planes": model.card.in_planes}


# --- the page ------------------------------------------------------------------------------------------------------------


def page(options: argparse.Namespace) -> str:
    """Return the page in Markdown."""
    budget = (
        f"Quick budget: `nafnet-fast` instead of the source's RRDB, {options.steps} steps of 8 crops of 96 px in "
        f"{options.precision} with Muon, each channel of the planes brought to mean 0 and spread 1 (`standardise`); the row of "
        f"RRDB (width 32, growth 16, two blocks) has {options.steps // 5} steps, which take as long, the U-Net 16 filters"
        if options.quick
        else "Full budget: the source's networks and steps"
    )
    lines = [
        "# Virtual stains of simulated cells",
        "",
        f"Wulff 2022, rerun on simulated blood ([simulated LED stacks](simulated-leds.md)). {budget}; {FIELDS} fields of "
        f"{SIDE_PX} x {SIDE_PX} px to learn from, {TEST_FIELDS} others to test on. 95 % intervals: bootstrap over fields, of "
        "nuclei Wilson's. The cells are simulated and so is their stain: this page compares inputs and losses, and says "
        "nothing of patients' cells. Features of VGG-19 are replaced by those of the network `distance`. Minutes are of one "
        "core. Made by `benchmarks/virtual_stain.py`, which goes on where it was stopped:",
        "",
        "```sh",
        f"python benchmarks/virtual_stain.py --{'quick' if options.quick else 'full'}",
        "```",
        "",
        "## Which LEDs (table 4.1)",
        "",
        "The source trains maePNET on each input and finds 0.8652, 0.8660, 0.8617, 0.8630, 0.8593, 0.8499 and 0.8065 for SSIM, in "
        "this order; its table prints the fourth as 0.08630. Here it is maeNET.",
        "",
        *table(list(INPUTS), options, "the row below", dict(pairwise(INPUTS)).get),
        "",
        f"From the highest to the lowest mean SSIM: {', '.join(ranked(INPUTS, options))}; in the source {', '.join(SOURCE_ORDER)}.",
        *as_they_are(options),
        "",
        "## Which losses, how deep, how much data (tables 4.2, A.1, section 4.3)",
        "",
        "All with the input `full-no-high`. The source finds SSIM 0.8626 for maeNET, 0.8625 for maePNET, 0.8665 for maePFNET, "
        "0.8590 for maePF-RpGAN-SN and 0.8344 for the U-Net, and that the critic erases nuclei. Where the order is another here: "
        f"{other_order(options)}.",
        "",
        *table(
            list(MODELS),
            options,
            "the first row",
            dict.fromkeys(list(MODELS)[1:], next(iter(MODELS))).get,
        ),
    ]
    return "\n".join(lines) + "\n"


#: SSIM of table 4.2 and A.1.
SOURCE_SSIM = {"maeNET": 0.8626, "maePNET": 0.8625, "maePFNET": 0.8665, "maePF-RpGAN-SN": 0.8590, "maePF-UNET": 0.8344}


def other_order(options: argparse.Namespace) -> str:
    """Return which of two models is the better one here and the worse one in the source, beyond chance."""
    rows = {name: found["rows"] for name in SOURCE_SSIM if "rows" in (found := measured_of(name, options))}
    said = []
    for one, other in permutations(rows, 2):
        low = mean_interval(np.array(rows[one])[:, 0] - np.array(rows[other])[:, 0])[1]
        if low > 0 and SOURCE_SSIM[one] < SOURCE_SSIM[other]:
            said.append(f"{one} is above {other}")
    return ", ".join(said) or "nowhere, or not beyond chance"


def table(
    names: Sequence[str], options: argparse.Namespace, other: str, beside: Callable[[str], str | None]
) -> list[str]:
    """Return the rows of variants, each with what SSIM of the same fields differs from that of a row beside it."""
    head = ["variant", "planes", "SSIM", f"SSIM above {other}", "mean absolute error", "nuclei missing", "nuclei added"]
    rows = {}
    for name in names:
        found = measured_of(name, options)
        if "rows" not in found:
            rows[name] = [found.get("missing", "not run yet"), *[""] * (len(head) + 1)]
            continue
        values, neighbour = np.array(found["rows"]), beside(name)
        compared = measured_of(neighbour, options).get("rows") if neighbour else None
        above = interval(values[:, 0] - np.array(compared)[:, 0], 4) if compared else ""
        rates = NucleiCounts(**found["nuclei"]).rates()
        cells = [str(found["planes"]), interval(values[:, 0], 4), above, interval(values[:, 1], 4)]
        cells += [str(rates[what]) for what in ("missing", "added", "other lobes")]
        rows[name] = [*cells, f"{found['parameters']:,}", f"{found['minutes']:.0f}"]
    return markdown([*head, "lobes counted otherwise", "parameters", "minutes"], rows)


def ranked(names: Iterable[str], options: argparse.Namespace) -> list[str]:
    """Return the rows that were run by their mean SSIM, the highest first."""
    found = {name: measured_of(name, options).get("rows") for name in names}
    means = {name: float(np.mean(rows, axis=0)[0]) for name, rows in found.items() if rows}
    return sorted(means, key=lambda name: -means[name])


def as_they_are(options: argparse.Namespace) -> list[str]:
    """Return what SSIM the inputs have without their planes being standardised."""
    options = argparse.Namespace(**vars(options) | {"as_they_are": True})
    found = {name: measured_of(name, options).get("rows") for name in INPUTS} if options.quick else {}
    said = [f"{name} {interval(np.array(rows)[:, 0], 4)}" for name, rows in found.items() if rows]
    return ["", f"With planes as they are (`--as-they-are`): {', '.join(said)}."] if said else []


def measured_of(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Return what was measured of a row."""
    return known(result_of(first_of(name, options), options))


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=Path, default=Path("runs/virtual-stain"))
    budget = parser.add_mutually_exclusive_group(required=True)
    budget.add_argument("--quick", action="store_true", help="narrow networks, few steps")
    budget.add_argument("--full", action="store_true", help="as in the source, for a GPU")
    parser.add_argument("--steps", type=int, default=3000, help="of every variant of --quick")
    parser.add_argument("--variants", nargs="*", choices=[*INPUTS, *MODELS], default=[*INPUTS, *MODELS])
    parser.add_argument(
        "--precision",
        choices=("float32", "bf16"),
        default="bf16",
        help="of the training of --quick; measured in float32",
    )
    parser.add_argument("--as-they-are", action="store_true", help="planes are not standardised")
    parser.add_argument("--minutes", type=float, default=1e9, help="begin no further variant after so long")
    parser.add_argument("--threads", type=int, help="processor cores to use")
    parser.add_argument("--page-only", action="store_true", help="write the page of what is there")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    started = time.monotonic()
    if not options.page_only:
        make_set(options.runs / "set", 0, FIELDS)
        copy_half(options.runs / "set", options.runs / "half")
        make_set(options.runs / "test", 10_000, TEST_FIELDS)
    for name in [] if options.page_only else options.variants:
        if time.monotonic() - started < 60 * options.minutes:
            run(name, options)
    options.as_they_are = False  # of which the page has a line
    PAGE.write_text(page(options), encoding="utf-8")


if __name__ == "__main__":
    main()
