"""The command line that trains what is set."""

from __future__ import annotations

import os
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Command:
    """What ``cellrestore train`` is told besides the recipe.

    Examples
    --------
    >>> Command(Path("runs"), Path("models"), 2).arguments(Path("mine.yaml"))
    ['train', 'mine.yaml', '--folder', 'runs', '--model', 'models', '--threads', '2']
    """

    run: Path
    model: Path
    threads: int
    data: str = ""
    licence: str = ""
    resume: bool = False

    def arguments(self, recipe: Path, *more: str) -> list[str]:
        """Return what follows ``cellrestore``."""
        line = [
            "train",
            str(recipe),
            "--folder",
            str(self.run),
            "--model",
            str(self.model),
            "--threads",
            str(self.threads),
        ]
        for option, text in (("--data", self.data), ("--licence", self.licence)):
            line += [option, text] if text else []
        return [*line, *(["--resume"] if self.resume else []), *more]

    def line(self, recipe: Path) -> str:
        """Return the line to be typed into a shell."""
        words = ["cellrestore", *self.arguments(recipe)]
        return subprocess.list2cmdline(words) if os.name == "nt" else shlex.join(words)
