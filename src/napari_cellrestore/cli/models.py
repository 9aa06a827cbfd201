"""``cellrestore models``: list models, show their cards, rename, delete, export and import them."""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from napari_cellrestore.cli import one_line
from napari_cellrestore.cli._common import aligned, mind, print_json, say_or_json

if TYPE_CHECKING:
    from napari_cellrestore.model import Entry, Model

HELP = """\
cellrestore models                        list the models
cellrestore models show NAME              show the card of a model (name or folder); NAME alone does the same
cellrestore models rename NAME NEW        give a model of yours another name
cellrestore models delete NAME            delete a model of yours
cellrestore models export NAME PATH       write a model to one file, to be sent and kept
cellrestore models import PATH            add a model from such a file, a package of bioimage.io or a model folder
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = HELP
    parser.add_argument(
        "words", nargs="*", metavar="WORD", help="what to do, see below; without it the models are listed"
    )
    parser.add_argument("--name", help="import: list the model under this name instead of its own")
    parser.add_argument("--bioimageio", action="store_true", help="export: write a package of bioimage.io, and test it")
    parser.add_argument(
        "--author", action="append", default=[], metavar="NAME", help="export: who made the model; may be given again"
    )
    parser.add_argument("--yes", action="store_true", help="delete: do not ask")
    parser.add_argument("--json", action="store_true", help="print cards and what was done as JSON, one line each")


def run(options: argparse.Namespace) -> int:
    """Do what the words say."""
    words = options.words or ["list"]
    if words[0] not in ACTIONS:
        if len(words) > 1:
            raise ValueError(f"{words[0]!r} is nothing to do: use {', '.join(ACTIONS)}, or the name of one model")
        words = ["show", *words]
    what, *given = words
    action, wanted = ACTIONS[what]
    if len(given) != len(wanted):
        raise ValueError(f"{' '.join(words)}: give cellrestore models {' '.join([what, *wanted])}")
    for option, of in (("name", "import"), ("bioimageio", "export"), ("author", "export"), ("yes", "delete")):
        if getattr(options, option) and what != of:
            raise ValueError(f"--{option} is for {of}, not for {what}; leave it out")
    return action(options, *given)


def _show(options: argparse.Namespace, name: str) -> int:
    from napari_cellrestore.model import load_model

    model = load_model(name)
    if options.json:
        print_json({**model.card.model_dump(mode="json"), "folder": str(model.folder)})
    else:
        print(card_text(model))
    return 0


def _list(options: argparse.Namespace) -> int:
    """List the models, those that can be used first; of a damaged one a line says why."""
    from napari_cellrestore.model import model_entries

    entries = sorted(model_entries(), key=lambda entry: entry.card is None)
    if options.json:
        for entry in entries:
            if entry.card is not None:
                print_json({**entry.card.model_dump(mode="json"), "folder": str(entry.folder)})
    else:
        print(aligned([["name", "task", "hash", "where", "what it does"], *map(_row, entries)]))
    for entry in entries:
        if entry.card is None:
            mind(f"model {entry.name} cannot be used: {one_line(entry.problem)}")
    return 0


def _row(entry: Entry) -> list[str]:
    card = entry.card
    if card is None:
        return [entry.name, "damaged", "-", str(entry.folder), ""]
    return [card.name, card.task, card.weights_sha256[:12], str(entry.folder), card.summary]


def _rename(options: argparse.Namespace, name: str, new_name: str) -> int:
    from napari_cellrestore.model import rename_model

    folder = rename_model(name, new_name)
    say_or_json(options, f"{name} is called {folder.name} now", renamed=name, name=folder.name, folder=str(folder))
    return 0


def _delete(options: argparse.Namespace, name: str) -> int:
    from napari_cellrestore.model import delete_model

    if not options.yes and not _agreed(f"Delete the model {name} for good? [y/N] "):
        print("kept", file=sys.stderr)
        return 1
    delete_model(name)
    say_or_json(options, f"{name} is deleted", deleted=name)
    return 0


def _agreed(question: str) -> bool:
    """Ask on the terminal; where there is none, nothing is agreed to."""
    if not sys.stdin.isatty():
        raise ValueError("delete asks before it does, and there is nobody to ask here: add --yes")
    return input(question).strip().lower() in ("y", "yes")


def _export(options: argparse.Namespace, name: str, path: str) -> int:
    from napari_cellrestore.model import export_model

    written = export_model(name, path, bioimageio=options.bioimageio, authors=options.author)
    with written.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    said = f"{written}\nSHA-256 {sha256}" + ("\nbioimageio.core tested it: passed" if options.bioimageio else "")
    say_or_json(options, said, exported=name, path=str(written), sha256=sha256)
    return 0


def _import(options: argparse.Namespace, path: str) -> int:
    from napari_cellrestore.model import import_model

    model = import_model(path, options.name)
    said = f"{model.label} is in the list now: {model.folder}"
    say_or_json(options, said, imported=path, name=model.card.name, folder=str(model.folder))
    return 0


#: What can be done: how, and what is given with it.
ACTIONS: dict[str, tuple[Callable[..., int], tuple[str, ...]]] = {
    "list": (_list, ()),
    "show": (_show, ("NAME",)),
    "rename": (_rename, ("NAME", "NEW")),
    "delete": (_delete, ("NAME",)),
    "export": (_export, ("NAME", "PATH")),
    "import": (_import, ("PATH",)),
}


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
    from napari_cellrestore.model.words import facts

    said = {"folder": model.folder, "weights": f"{model.card.weights_sha256} (checked)", **facts(model.card)}
    return [f"{name:<12}{value or 'not stated'}" for name, value in said.items()]


def _held_out(row: dict[str, Any]) -> list[str]:
    """Return what was measured on one set of images; cards may leave things out."""
    from napari_cellrestore.model.words import held_out

    where, numbers = held_out(row)
    lines = [f"On {where}:", *(f"{text:<52}{value}" for text, value in numbers.items())]
    for table in row.get("by_level", ()):
        lines += ["", _table_text(table)]
    return lines


def _table_text(table: dict[str, Any]) -> str:
    """Return a table that was saved as JSON, where NaN is null and infinity a word."""
    from napari_cellrestore.evaluate import Table

    rows = {name: [float("nan" if v is None else v) for v in values] for name, values in table["rows"].items()}
    return Table(table["title"], tuple(table["columns"]), rows).text()
