"""Command line: one file a subcommand, imported only when it is the one asked for."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version
from io import TextIOWrapper
from types import ModuleType
from typing import NoReturn

#: Subcommand, of one word or two -> what it does; the module of its last word has ``add_arguments(parser)`` and
#: ``run(options) -> int``.
COMMANDS = {
    "demo": "go the whole way on the shipped sample, from a focus stack to a report",
    "info": "say what files are, or what this machine offers",
    "focus": "find the sharpest plane of focus stacks",
    "focus prepare": "make focus stacks ready for training: one z range, aligned, cut around the cell",
    "restore": "restore images with a model",
    "filter": "smooth or sharpen images, or undo a scan shear",
    "psf": "recover the point-spread function",
    "stain": "fit the colours of one microscope to those of another, as a model",
    "compare": "measure an image against a reference",
    "pairs": "make pairs for training from two scans of one slide",
    "train": "train a model by a recipe",
    "evaluate": "measure models on many focus stacks, and compare them",
    "robustness": "measure what models make of images with the defects of an instrument",
    "models": "list models and show their cards",
    "report": "write a report of a restoration",
}

#: Errors that what the user gave can cause; everything else is a mistake of the program and not hidden.
WRONG_INPUT = (ValueError, TypeError, OSError)


class Parser(argparse.ArgumentParser):
    """A parser that says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        """Leave with status 2."""
        self.exit(2, f"{self.prog}: {one_line(message)}; see {self.prog} --help\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status: 2 for wrong input, said in one line."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a file name may hold what the terminal cannot show
    arguments = _joined(arguments)
    options = _parser(arguments).parse_args(arguments)
    logging.basicConfig(level=logging.DEBUG if options.debug else logging.ERROR, format="%(message)s")
    try:
        status = int(_module(options.command).run(options))
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # whoever read the output, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except WRONG_INPUT as error:
        if options.debug:
            raise
        print(f"cellrestore {options.command}: {one_line(error)}", file=sys.stderr)
        return 2
    except MemoryError as error:
        if options.debug:
            raise
        why = f" ({one_line(error)})" if str(error) else ""
        print(f"cellrestore {options.command}: there is not enough memory{why}; close other programs", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"cellrestore {options.command}: stopped", file=sys.stderr)
        return 130


def _joined(arguments: list[str]) -> list[str]:
    """Return the arguments with a subcommand of two words as one.

    >>> _joined(["focus", "prepare", "a", "b"]), _joined(["focus", "a.tif"])
    (['focus prepare', 'a', 'b'], ['focus', 'a.tif'])
    """
    for first in range(len(arguments) - 1):
        pair = " ".join(arguments[first : first + 2])
        if pair in COMMANDS and not any(word in COMMANDS for word in arguments[:first]):
            return [*arguments[:first], pair, *arguments[first + 2 :]]
    return arguments


def _module(command: str) -> ModuleType:
    return import_module(f"{__name__}.{command.split()[-1]}")


def _parser(arguments: Sequence[str]) -> Parser:
    """Return the parser; of the subcommands only the one that is asked for is imported."""
    parser = Parser(
        prog="cellrestore",
        description="Restore microscope images, see what changed and how far to trust it.",
    )
    parser.add_argument("--version", action="version", version=f"napari-cellrestore {version('napari-cellrestore')}")
    debug = "show where an error comes from"
    parser.add_argument("--debug", action="store_true", help=debug)
    subparsers = parser.add_subparsers(dest="command", metavar="command", required=True)
    asked = next((word for word in arguments if not word.startswith("-")), None)
    for name, summary in COMMANDS.items():
        subparser = subparsers.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
        if name == asked:
            _module(name).add_arguments(subparser)
            subparser.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help=debug)
    return parser


def one_line(message: object) -> str:
    """Return a message with its lines joined."""
    return " ".join(str(message).split())
