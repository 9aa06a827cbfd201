"""JSON and YAML from elsewhere as plain values, and values in a few words: within bounds, whatever they are."""

from __future__ import annotations

import json
from math import inf
from reprlib import Repr
from typing import Any

import yaml

#: Characters of YAML that are read, and values that it may be with all that it refers to written out.
MOST_CHARACTERS, MOST_VALUES = 2**18, 100_000
_SHORT = Repr()
_SHORT.maxstring = _SHORT.maxother = 200


def from_json(text: str | bytes) -> Any:
    """Return what JSON says; ValueError in one line where it is none.

    >>> from_json("[" * 100_000)
    Traceback (most recent call last):
    ValueError: it is nested too deeply
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def from_yaml(text: str | bytes) -> Any:
    """Return what YAML says, with plain values alone; ValueError in one line where it is none, or larger than it looks.

    >>> from_yaml("{a: [1, two]}")
    {'a': [1, 'two']}
    >>> from_yaml("&a [*a]")
    Traceback (most recent call last):
    ValueError: it refers to parts of itself again and again, to more than 100000 values
    """
    if len(text) > MOST_CHARACTERS:
        raise ValueError(f"it has {len(text)} characters, the most is {MOST_CHARACTERS}")
    try:
        content = yaml.safe_load(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except Exception as error:  # beside its own errors whatever a wrong date or number raises
        raise ValueError(shortly(error, 300) or type(error).__name__) from error
    if _size(content, {}) > MOST_VALUES:
        raise ValueError(f"it refers to parts of itself again and again, to more than {MOST_VALUES} values")
    return content


def _size(value: Any, known: dict[int, float]) -> float:
    """Return how many values there are in one; those that are referred to from several places count in each."""
    if not isinstance(value, dict | list | tuple | set):
        return 1
    if id(value) not in known:
        known[id(value)] = inf  # until it is counted: what is within itself has no end
        parts = [*value, *value.values()] if isinstance(value, dict) else value
        known[id(value)] = 1 + sum(_size(part, known) for part in parts)
    return known[id(value)]


def shortly(value: object, most: int = 80) -> str:
    r"""Return a value in one line of at most so many characters, without what would move a terminal's cursor.

    >>> shortly("a\nb \x1b[2J"), shortly([["x"] * 100] * 3)
    ('a b ?[2J', "[['x', 'x', 'x', 'x', 'x', 'x', ...], ['x', 'x', 'x', 'x', 'x', 'x', ...], ['x'…")
    """
    said = str(value) if isinstance(value, str | BaseException) else _SHORT.repr(value)
    line = "".join(sign if sign.isprintable() else "?" for sign in " ".join(said[: 10 * most].split()))
    return line if len(line) <= most else f"{line[: most - 1]}…"
