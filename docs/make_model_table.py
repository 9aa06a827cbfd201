"""Write the tables of the bundled models, from their cards, into README.md and docs/models.md, and that of recipes.

Run: python docs/make_model_table.py           writes them
     python docs/make_model_table.py --check   only says whether they are up to date
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

os.environ["CELLRESTORE_MODELS"] = os.devnull  # the bundled models only, not those of who runs this

from tables import markdown, replaced, write

from napari_cellrestore.card import ModelCard
from napari_cellrestore.model import list_models
from napari_cellrestore.recipe import RECIPES

DOCS = Path(__file__).parent
MARKS = ("<!-- table: written by docs/make_model_table.py -->", "<!-- end of table -->")
#: Columns of measured numbers: what a card calls them, by MSE and by FPW, and what they are.
COLUMNS = {
    "left": (
        "{}_of_input",
        "error (MSE) and [focus difference](COMPARE#the-numbers) (FPW) after restoration, as a part of the input's: mean over "
        "planes from -1.4 to 1.4 µm",
    ),
    "success": (
        "success_{}",
        "of images up to 0.8 µm out of focus, those that come as close to the truth as a plane between -0.2 and 0.4 µm of the "
        "same stack (Olofsson & Wagnström 2019, section 7.1)",
    ),
    "reach": (
        "reach_{}",
        "of the same images, those that come at least as close to the truth as the worst of these planes",
    ),
    "worst harm": (
        "worst_{}",
        "at the level where the model does worst, how much further from the truth than its input, in units of the input at "
        "0.4 µm: above 0 it made images worse there",
    ),
}
#: Metrics of the tables by focus level.
SHOWN = ("MSE", "SSIM", "FPW")
#: Metrics of models that were measured on pairs.
PAIR_SHOWN = ("MSE", "PSNR", "SSIM")


def short(cards: Sequence[ModelCard], compare: str = "compare.md") -> str:
    """Return one row for each model and set of held-out images, what the columns are, and those measured on pairs."""
    measured = [said for card in cards for said in card.held_out if "psnr" not in said]
    columns = [name for name, (key, _) in COLUMNS.items() if any(key.format("mse") in said for said in measured)]
    header = ["model", "held-out images", *(f"{name}, by MSE / FPW" for name in columns)]
    columns_are = [f"- *{name.capitalize()}*: {COLUMNS[name][1].replace('COMPARE', compare)}." for name in columns]
    table = markdown([header, *(row for card in cards for row in rows(card, columns))])
    return "\n\n".join(part for part in (table, "\n".join(columns_are), by_pair(cards)) if part)


def rows(card: ModelCard, columns: Sequence[str]) -> Iterator[Sequence[str]]:
    """Yield what was measured of a model; one row that says so where nothing was."""
    for said in card.held_out:
        cells = (pair(said, COLUMNS[name][0]) for name in columns)
        if "error_um" not in said and "psnr" not in said:
            yield [f"`{card.name}`", f"{said['number']} of {said['images']}", *cells]
    if not card.held_out:
        yield [f"`{card.name}`", "not measured", *("–" for _ in columns)]


def by_pair(cards: Sequence[ModelCard]) -> str:
    """Return the scores of models that were measured on pairs, beside those of their inputs; nothing where there are none."""
    header = ["model", "held-out pairs", *(f"{metric}, {of}" for metric in PAIR_SHOWN for of in ("input", "model"))]
    lines = [
        [
            f"`{card.name}`",
            f"{said['number']} of {words(said['images'])}",
            *(score(said[f"{metric.lower()}{of}"][0]) for metric in PAIR_SHOWN for of in ("_input", "")),
        ]
        for card in cards
        for said in card.held_out
        if "psnr" in said
    ]
    return markdown([header, *lines]) if lines else ""


def pair(said: dict[str, Any], key: str) -> str:
    """Return a number by MSE and by FPW in words."""
    if key.format("mse") not in said:
        return "–"
    values = [float(said[key.format(metric)]) for metric in ("mse", "fpw")]
    if key.startswith("worst"):
        return " / ".join(f"{value:+.2f}" for value in values)
    return " / ".join(percent(100 * value if key.endswith("_of_input") else value) for value in values)


def percent(value: float) -> str:
    """Return a percentage with the digits that matter."""
    return f"{value:.0f} %" if value >= 9.5 else f"{value:.1f} %"


def long(cards: Sequence[ModelCard]) -> str:
    """Return the table of all models, then card and tables by focus level of each."""
    blocks = [short(cards)]
    for card in cards:
        blocks += [f"### {card.name}", f"{card.summary}.", markdown([("", ""), *facts(card)])]
        blocks += ["\n".join(f"- {limit}" for limit in card.limits)] if card.limits else []
        for said in card.held_out:
            blocks += [f"Means over {said['number']} held-out images of {words(said['images'])}:", table_of(said, card)]
    return "\n\n".join(blocks)


def table_of(said: dict[str, Any], card: ModelCard) -> str:
    """Return the table that fits what was measured."""
    if "psnr" in said:
        return by_pair([card])
    return by_distance(said) if "error_um" in said else by_level(said["by_level"])


def words(name: str) -> str:
    """Return the name of a folder as it is read."""
    return name.replace("_", " ")


def facts(card: ModelCard) -> list[tuple[str, str]]:
    """Return what a card says besides its measurements."""
    low, high = card.defocus_um or (0.0, 0.0)
    known = {
        "task": card.task,
        "network": f"{card.network}, weights `{card.weights_sha256[:12]}`",
        "pixel size": f"{card.pixel_um:g} µm" if card.pixel_um else "",
        "defocus": f"{low:g} to {high:g} µm" if card.defocus_um else "",
        "trained on": card.data,
        "training": f"{card.steps} steps",
        "licence": card.licence,
    }
    return [(name, value or "not stated") for name, value in known.items()]


def by_level(tables: Sequence[dict[str, Any]]) -> str:
    """Return the input's scores and those of the model side by side, a row for each focus level."""
    places = [tables[0]["columns"].index(metric) for metric in SHOWN]
    header = ["", *(f"{metric}, {table['title']}" for metric in SHOWN for table in tables)]
    lines = [
        [level, *(score(table["rows"][level][place]) for place in places for table in tables)]
        for level in tables[0]["rows"]
    ]
    return markdown([header, *lines])


def by_distance(said: dict[str, Any]) -> str:
    """Return the error of the predicted distance from focus at each distance."""
    header = ["distance from focus, µm", *(f"{level:g}" for level in said["levels_um"])]
    lines = [
        [name, *(f"{value:{sign}.2f}" for value in said[f"{key}_by_level_um"])]
        for name, key, sign in (("mean error, µm", "error", ""), ("mean of predicted less true, µm", "bias", "+"))
    ]
    return markdown([header, *lines])


def recipes() -> str:
    """Return a row for each named recipe."""
    return markdown([("recipe", "network", "is"), *((f"`{r.name}`", r.network, r.summary) for r in RECIPES.values())])


def score(value: float | str | None) -> str:
    """Return a score as the card has it: a number, a word for infinity, None for none."""
    if value is None:
        return "–"
    return f"{float(value):.0f}" if 1e4 <= float(value) < 1e9 else f"{float(value):.4g}"


def main(check: bool) -> int:
    """Write the pages, or return 1 where one is not up to date."""
    cards = list_models()
    tables = {
        DOCS.parent / "README.md": short(cards, "docs/compare.md"),
        DOCS / "models.md": long(cards),
        DOCS / "training.md": recipes(),
    }
    pages = {path: replaced(path.read_text(encoding="utf-8"), MARKS, table) for path, table in tables.items()}
    return write(pages, Path(__file__).name, check=check)


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv[1:]))
