"""Time how long the program takes to start: the import of the package, and ``cellrestore --help``; medians of new processes."""

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


def seconds(arguments: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def main() -> None:
    """Print the table; the first process of each kind, which may read from disk, is not counted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    print("| started | s |\n|---|---|")
    for name, arguments in COMMANDS.items():
        _, *taken = [seconds(arguments) for _ in range(rounds + 1)]
        print(f"| {name} | {statistics.median(taken):.2f} |")


if __name__ == "__main__":
    main()
