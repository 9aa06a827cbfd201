"""Shared fixtures."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from napari_cellrestore.cli import main

# napari's test fixtures write its settings: never the user's.
os.environ["NAPARI_CONFIG"] = ""


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real images, from $CELLRESTORE_DATA or beside the repository; without it a skip, in CI a failure."""
    folder = Path(os.environ.get("CELLRESTORE_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not folder.is_dir():
        message = f"real images not found at {folder}: set CELLRESTORE_DATA"
        if os.environ.get("CELLRESTORE_REQUIRE_DATA"):
            pytest.fail(message)
        pytest.skip(message)
    return folder


@pytest.fixture
def models(tmp_path, monkeypatch) -> Path:
    """Folder of the user's models: of this test alone, and not there yet."""
    monkeypatch.setenv("CELLRESTORE_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


@pytest.fixture
def say(capsys):
    """Run the command line; returns status, lines of output, lines of errors."""

    def run(*arguments):
        capsys.readouterr()
        status = main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return status, out.splitlines(), err.splitlines()

    return run
