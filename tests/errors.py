"""What errors must look like."""

from __future__ import annotations

import pytest


def one_line(error: pytest.ExceptionInfo, name: str) -> str:
    """Return the text of an error: one line that begins with the name, and says what came and what to do."""
    text = str(error.value)
    assert text.startswith(f"{name}: ")
    assert "\n" not in text
    assert "; " in text
    assert error.value.__cause__ is None
    return text
