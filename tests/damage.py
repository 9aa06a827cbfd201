"""Changes of bytes, of text and of values, as damage and ill will make them; each a function of the random numbers alone."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import yaml

Rng = np.random.Generator

# --- bytes changed -------------------------------------------------------------------------------------------

_WIDTHS = {1: "B", 2: "H", 4: "I", 8: "Q"}
BORDERS = (
    0,
    1,
    2,
    3,
    4,
    7,
    8,
    16,
    255,
    2**15 - 1,
    2**15,
    2**16 - 1,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**63 - 1,
    2**64 - 1,
)


def _place(rng: Rng, content: bytes) -> int:
    """Return a place, more often one of the first or last 200 bytes: headers and directories are there."""
    n = max(len(content), 1)
    kind = rng.integers(4)
    return int(
        rng.integers(n) if kind < 2 else rng.integers(min(n, 200)) if kind == 2 else n - 1 - rng.integers(min(n, 200))
    )


def flip(rng: Rng, content: bytes) -> bytes:
    changed = bytearray(content or b"\0")
    for _ in range(int(rng.integers(1, 5))):
        changed[_place(rng, changed) % len(changed)] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def number(rng: Rng, content: bytes) -> bytes:
    """Write a number at the border of what its width holds, of either byte order."""
    width = int(rng.choice(list(_WIDTHS)))
    value = int(rng.choice(np.array(BORDERS, object))) % 2 ** (8 * width)
    packed = struct.pack("<>"[rng.integers(2)] + _WIDTHS[width], value)
    at = _place(rng, content)
    return content[:at] + packed + content[at + width :]


def cut(rng: Rng, content: bytes) -> bytes:
    return content[: int(rng.integers(len(content) + 1))]


def leave_out(rng: Rng, content: bytes) -> bytes:
    at = _place(rng, content)
    return content[:at] + content[at + int(rng.integers(1, 64)) :]


def put_in(rng: Rng, content: bytes) -> bytes:
    at = _place(rng, content)
    return content[:at] + rng.bytes(int(rng.integers(1, 64))) + content[at:]


def repeat(rng: Rng, content: bytes) -> bytes:
    start, to = _place(rng, content), _place(rng, content)
    return content[:to] + content[start : start + int(rng.integers(1, 256))] + content[to:]


def blank(rng: Rng, content: bytes) -> bytes:
    at, n = _place(rng, content), int(rng.integers(1, 128))
    return content[:at] + bytes([int(rng.choice([0, 255]))]) * len(content[at : at + n]) + content[at + n :]


def digits(rng: Rng, content: bytes) -> bytes:
    """Change a number that is written in digits, its length kept more often than not."""
    found = list(re.finditer(rb"\d+", content))
    if not found:
        return flip(rng, content)
    match = found[int(rng.integers(len(found)))]
    n = len(match[0]) if rng.random() < 0.7 else int(rng.integers(1, 25))
    new = (
        bytes(rng.choice([b"9", b"0", b"1", b"5"])) * n
        if rng.random() < 0.5
        else b"%0*d" % (n, rng.integers(10 ** min(n, 18)))
    )
    return content[: match.start()] + new + content[match.end() :]


CHANGES = (flip, flip, number, number, cut, leave_out, put_in, repeat, blank, digits)


def changed_bytes(rng: Rng, content: bytes, changes: Sequence[Callable[[Rng, bytes], bytes]] = CHANGES) -> bytes:
    """Return the content with one to three changes."""
    for _ in range(int(rng.choice([1, 1, 2, 3]))):
        content = changes[int(rng.integers(len(changes)))](rng, content)
    return content


# --- words and tables changed --------------------------------------------------------------------------------

_LAUGHS = "".join(f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 10)}]\n" for i in range(1, 10))
NASTY_TEXT = (
    *("", "null", "~", "true", "-1", "0", "1e999", "-1e999", ".nan", ".inf", "NaN", "Infinity", "9" * 30, "9" * 5000),
    *("1e400", "0x", "0b_", "1:99", "2024-13-45", "x" * 70_000, "[" * 3000, "{" * 3000, "- " * 3000, '"', "'", "`"),
    *(",", ";", ":", "#", "|", ">", "&a *a", "*none", "&a [*a]", "<<: *a", "l0: &l0 [x]\n" + _LAUGHS),
    *("!!python/object/apply:os.system ['exit 3']", "!!python/name:os.system", "!!bool x", "!!timestamp x", "!!int ''"),
    *("!!float ''", "!!float x", "!!binary %", "!!set {a, b}", "!!null x", "? [a]\n: b", "---", "...", "%YAML 9.9"),
    *("\0", "\r", "\t", "\x1b[31m", "\ufeff", "\ud800", "\u202e", "💥", "µ", "\n\n\n"),
)
NASTY_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2, 3, 10**9, 10**30, -(10**30), 10**400, 0.5, 1e308, float("nan"), float("inf")),
    *("", "x", "-1", "1e999", "x" * 5000, "\0", "\ud800", "a\nb", "../up"),
    *([], {}, [[]], [None], [[[[[]]]]], {"": None}, {"a": {"b": {}}}, [1, 2], [1.5, "x"], ["../../up"]),
)


def changed_text(rng: Rng, content: bytes) -> bytes:
    """Return a text with words, lines or signs changed."""
    parts = re.split(rb"(\s+|[,:;\[\]{}\"])", content)
    nasty = str(rng.choice(np.array(NASTY_TEXT, object))).encode("utf-8", "surrogatepass")
    at, kind = int(rng.integers(len(parts))), int(rng.integers(5))
    if kind == 0:
        return changed_bytes(rng, content)
    if kind == 1:
        parts[at] = nasty
    elif kind == 2:
        parts.insert(at, nasty)
    elif kind == 3:
        parts[at] = parts[int(rng.integers(len(parts)))]
    else:
        lines = content.splitlines(keepends=True) or [b""]
        here, there = rng.integers(len(lines), size=2)
        lines[here] = bytes(rng.choice(np.array([b"", lines[there], lines[here] * 2], object)))
        return b"".join(lines)
    return b"".join(parts)


def changed_value(rng: Rng, value: Any) -> Any:
    """Return a table, list or value as JSON knows them with one thing in it changed, left out or added."""
    nasty = NASTY_VALUES[int(rng.integers(len(NASTY_VALUES)))]
    if isinstance(value, dict) and value and rng.random() < 0.95:
        key = str(rng.choice(np.array(list(value), object)))
        kind = rng.integers(8)
        if kind == 0:
            return {name: one for name, one in value.items() if name != key}
        if kind == 1:
            return {**value, f"{key}2" if rng.random() < 0.5 else "new": nasty}
        return {**value, key: changed_value(rng, value[key])}
    if isinstance(value, list) and value and rng.random() < 0.8:
        at = int(rng.integers(len(value)))
        kind = rng.integers(6)
        if kind == 0:
            return value[:at] + value[at + 1 :]
        if kind == 1:
            return value[:at] + value[at : at + 1] * int(rng.choice([2, 3000])) + value[at:]
        return [*value[:at], changed_value(rng, value[at]), *value[at + 1 :]]
    return nasty


def changed_json(rng: Rng, content: bytes) -> bytes:
    """Return JSON that is JSON still, more often than not."""
    if rng.random() < 0.3:
        return changed_text(rng, content)
    if rng.random() < 0.03:
        return b"[" * 100_000
    return json.dumps(changed_value(rng, json.loads(content))).encode()


def changed_yaml(rng: Rng, content: bytes) -> bytes:
    if rng.random() < 0.5:
        return changed_text(rng, content)
    return yaml.safe_dump(changed_value(rng, yaml.safe_load(content)), allow_unicode=True).encode(
        "utf-8", "surrogatepass"
    )
