"""Command line: one file a subcommand, imported only when it is the one asked for."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version

#: Subcommand -> what it does; the module of the same name has ``add_arguments(parser)`` and ``run(options) -> int``.
COMMANDS = {
    "demo": "go the whole way on the shipped sample, from a focus stack to a report",
    "info": "say what files are, or what this machine offers",
    "focus": "find the sharpest plane of focus stacks",
    "restore": "restore images with a model",
    "compare": "measure an image against a reference",
    "train": "train a model by a recipe",
    "models": "list models and show their cards",
    "report": "write a report of a restoration",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status: 2 for wrong input, said in one line."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(
        prog="cellrestore",
        description="Restore microscope images, see what changed and how far to trust it.",
    )
    parser.add_argument("--version", action="version", version=f"napari-cellrestore {version('napari-cellrestore')}")
    parser.add_argument("--debug", action="store_true", help="show where an error comes from")
    subparsers = parser.add_subparsers(dest="command", metavar="command", required=True)
    asked = next((word for word in arguments if not word.startswith("-")), None)
    for name, summary in COMMANDS.items():
        subparser = subparsers.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
        if name == asked:
            import_module(f"{__name__}.{name}").add_arguments(subparser)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.DEBUG if options.debug else logging.ERROR, format="%(message)s")
    try:
        return int(import_module(f"{__name__}.{options.command}").run(options))
    except (ValueError, TypeError, OSError) as error:
        if options.debug:
            raise
        print(f"cellrestore {options.command}: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"cellrestore {options.command}: stopped", file=sys.stderr)
        return 130
