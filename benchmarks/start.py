"""Time how long the program takes to start, and to open a stack: medians of new processes.

With a path, such as the folder of an LED stack in three colours, ``open_stack`` is timed in a new process, the first time and the
second.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

COMMANDS = {
    "python, nothing imported": ["-c", ""],
    "import napari_cellrestore": ["-c", "import napari_cellrestore"],
    "cellrestore --help": ["-m", "napari_cellrestore", "--help"],
    "cellrestore restore --help": ["-m", "napari_cellrestore", "restore", "--help"],
}


#: Opens a path twice and prints both times; what is imported on the way counts for the first.
OPENING = """import sys, time
from napari_cellrestore.files import open_stack
for _ in range(2):
    started = time.perf_counter()
    open_stack(sys.argv[1])
    print(time.perf_counter() - started)
"""


def opening(path: str) -> list[float]:
    """Return how long a path takes to open in a new process, the first time and the second."""
    done = subprocess.run([sys.executable, "-c", OPENING, path], check=True, capture_output=True, text=True)
    return [float(line) for line in done.stdout.split()]


def seconds(arguments: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def main() -> None:
    """Print the table; the first process of each kind, which may read from disk, is not counted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("path", nargs="?", help="what is opened")
    options = parser.parse_args()
    rounds = options.rounds
    print("| started | s |\n|---|---|")
    for name, arguments in COMMANDS.items():
        _, *taken = [seconds(arguments) for _ in range(rounds + 1)]
        print(f"| {name} | {statistics.median(taken):.2f} |")
    if options.path:
        _, *both = [opening(options.path) for _ in range(rounds + 1)]
        for name, taken in zip(("first", "second"), zip(*both, strict=True), strict=True):
            print(f"| open_stack, the {name} time | {statistics.median(taken):.2f} |")


if __name__ == "__main__":
    main()
