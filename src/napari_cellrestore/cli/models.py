"""``cellrestore models``: list models and show their cards."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_cellrestore.cli import one_line
from napari_cellrestore.cli._common import aligned, mind, print_json

if TYPE_CHECKING:
    from napari_cellrestore.card import ModelCard
    from napari_cellrestore.model import Model


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("name", nargs="?", metavar="NAME", help="show the card of this model (name or folder)")
    parser.add_argument("--json", action="store_true", help="print cards as JSON, one line a model")


def run(options: argparse.Namespace) -> int:
    """List the models, or load one and show its card."""
    from napari_cellrestore.model import load_model

    if options.name is None:
        _list(options)
        return 0
    model = load_model(options.name)
    if options.json:
        print_json({**model.card.model_dump(mode="json"), "folder": str(model.folder)})
    else:
        print(card_text(model))
    return 0


def _list(options: argparse.Namespace) -> None:
    cards = _readable_cards()
    if options.json:
        for folder, card in cards:
            print_json({**card.model_dump(mode="json"), "folder": str(folder)})
        return
    rows = [[card.name, card.task, card.weights_sha256[:12], str(folder), card.summary] for folder, card in cards]
    print(aligned([["name", "task", "hash", "where", "what it does"], *rows]))


def _readable_cards() -> list[tuple[Path, ModelCard]]:
    """Return folder and card of each model, and say which cannot be used."""
    from napari_cellrestore.card import ModelCard
    from napari_cellrestore.model import model_folders

    cards = []
    for folder in model_folders().values():
        try:
            cards.append((folder, ModelCard.read(folder / "card.json")))
        except ValueError as error:
            mind(f"model left out: {one_line(error)}")
            continue
        if not (folder / "weights.safetensors").is_file():
            mind(f"{folder}: has no weights.safetensors, so it cannot be used; copy the model folder again")
    return cards


# --- a card in words ---------------------------------------------------------------------------------------


def card_text(model: Model) -> str:
    """Return the card of a model that was loaded, and so has the weights of its hash."""
    card = model.card
    lines = [f"{card.name} ({card.task})", card.summary, "", *_facts(model)]
    for row in card.held_out:
        lines += ["", *_held_out(row)]
    if card.limits:
        lines += ["", "Not to be trusted with:", *(f"- {text}" for text in card.limits)]
    return "\n".join(lines)


def _facts(model: Model) -> list[str]:
    card = model.card
    options = ", ".join(f"{name} {value}" for name, value in card.options.items())
    facts = {
        "folder": model.folder,
        "weights": f"{card.weights_sha256} (checked)",
        "network": f"{card.network}{f' ({options})' if options else ''}",
        "channels": f"{card.in_channels} in, {card.out_channels} out",
        "grey levels": "{:g} to {:g}".format(*card.input_range),
        "pixel size": f"{card.pixel_um:g} um" if card.pixel_um else "",
        "defocus": "{:g} to {:g} um".format(*card.defocus_um) if card.defocus_um else "",
        "colours": _colours(card),
        "tiles": f"halo {card.halo_px} px, aligned to {card.stride} px" if card.tile_safe else "none: it runs whole",
        "trained on": card.data,
        "training": f"{card.steps} steps{'' if card.seed is None else f', seed {card.seed}'}",
        "made": card.created,
        "with": ", ".join(f"{name} {number}" for name, number in card.versions.items()),
        "licence": card.licence,
    }
    return [f"{name:<12}{value or 'not stated'}" for name, value in facts.items()]


def _colours(card: ModelCard) -> str:
    each = zip(card.colour_mean, card.colour_std, strict=False)
    return ", ".join(f"{mean:.0f} +- {std:.0f}" for mean, std in each)


#: What the numbers of a card's held-out tables are.
HELD_OUT = {
    "mse_of_input": "error (MSE), as a part of the input's",
    "fpw_of_input": "difference of focus (FPW), as a part of the input's",
    "success_mse": "as good as a sharp plane by MSE (%)",
    "success_fpw": "as good as a sharp plane by FPW (%)",
    "reach_mse": "as good as the plane 0.4 um out of focus by MSE (%)",
    "reach_fpw": "as good as the plane 0.4 um out of focus by FPW (%)",
    "worst_mse": "harm by MSE where it does worst (above 0 is harm)",
    "worst_fpw": "harm by FPW where it does worst (above 0 is harm)",
}


def _held_out(row: dict[str, Any]) -> list[str]:
    """Return what was measured on one set of images; cards may leave things out."""
    lines = [f"On {row.get('number', 'some')} held-out images of {row.get('images', 'an unnamed set')}:"]
    lines += [f"{text:<52}{row[name]}" for name, text in HELD_OUT.items() if name in row]
    for table in row.get("by_level", ()):
        lines += ["", _table_text(table)]
    return lines


def _table_text(table: dict[str, Any]) -> str:
    """Return a table that was saved as JSON, where NaN is null and infinity a word."""
    from napari_cellrestore.evaluate import Table

    rows = {name: [float("nan" if v is None else v) for v in values] for name, values in table["rows"].items()}
    return Table(table["title"], tuple(table["columns"]), rows).text()
