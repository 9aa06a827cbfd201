"""What tests of windows share."""

from __future__ import annotations

import pytest


@pytest.fixture
def viewer(make_napari_viewer):
    """A viewer that is not shown: quicker, and enough where nothing must be seen or clicked."""
    return make_napari_viewer()
