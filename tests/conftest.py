"""Shared fixtures."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

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
