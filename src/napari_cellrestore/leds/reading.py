"""Rows and columns of a table of LEDs, from CSV or JSON."""

from __future__ import annotations

import csv
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from napari_cellrestore.plain import from_json, shortly

#: Columns of numbers, those of text, and those of numbers that may be unknown.
NUMBERS = ("polar_deg", "azimuth_deg", "x_mm", "y_mm", "wavelength_um", "gain")
TEXTS = ("exposure", "kind")
_MAY_BE_UNKNOWN = ("x_mm", "y_mm", "wavelength_um", "gain")
_KNOWN = ("index", *NUMBERS, *TEXTS, "plane")
_ANGLES = ("polar_deg", "azimuth_deg")
#: Where an LED is, of which its angles follow; the height is that of the array above the sample.
_PLACE = ("x_mm", "y_mm", "height_mm")

#: A row as it is stored: texts of CSV, values of JSON.
Row = Mapping[str, Any]


def read_rows(path: Path) -> list[Row]:
    """Return the rows of a CSV table with a header line, or of JSON: a list of rows or an object of columns.

    ValueError names the file.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        return _json_rows(text) if path.suffix.lower() == ".json" else _csv_rows(text)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path.name}: not a text table ({error}); save it as CSV or JSON in UTF-8") from None
    except (csv.Error, ValueError) as error:
        raise ValueError(f"{path.name}: {error}") from None


def _csv_rows(text: str) -> list[Row]:
    """Return rows of text; columns are parted by commas, or by semicolons or tabs where the header line has no comma."""
    header = text.partition("\n")[0]
    parted = next((mark for mark in ",;\t" if mark in header), ",")
    rows = list(csv.DictReader(text.splitlines(), delimiter=parted, skipinitialspace=True))
    for number, row in enumerate(rows):
        if any(str(cell).strip() for cell in row.get(None, [])):
            raise ValueError(
                f"row {number}: it has more cells than the header line, {len(row) - 1}; write decimals with a point and "
                "give each column a name"
            )
    return [{name.strip().lower(): cell for name, cell in row.items() if name} for row in rows]


def _json_rows(text: str) -> list[Row]:
    """Return rows of a list of objects, or of an object of columns in which one value stands for all rows."""
    try:
        stored = from_json(text)
    except ValueError as error:
        raise ValueError(f"it is no JSON ({error}); write it anew, or give the table as CSV") from None
    if isinstance(stored, list) and all(isinstance(row, dict) for row in stored):
        return stored
    if not isinstance(stored, dict):
        raise ValueError("it must be a list of rows, each an object, or an object of columns; write it anew")
    lengths = {name: len(column) for name, column in stored.items() if isinstance(column, list)}
    n = lengths.get("index", max(lengths.values(), default=1))
    if unlike := [name for name, length in lengths.items() if length != n]:
        raise ValueError(f"column {unlike[0]} has {lengths[unlike[0]]} values for {n} rows: give one for each row")
    columns = {name: column if isinstance(column, list) else [column] * n for name, column in stored.items()}
    return [{name: column[number] for name, column in columns.items()} for number in range(n)]


def by_plane(rows: Sequence[Row]) -> list[Row]:
    """Return rows in the order of their planes, where they say them."""
    return sorted(rows, key=lambda row: int(row.get("plane") or 0))


def name_leds(names: Collection[str]) -> bool:
    """Return whether names of columns are those of a table of LEDs: index, and angles or places."""
    return "index" in names and any(set(where) <= set(names) for where in (_ANGLES, _PLACE))


def table_columns(rows: Sequence[Row]) -> dict[str, list[Any]]:
    """Return the columns that a :class:`~napari_cellrestore.leds.LedTable` is made of.

    Where there are no angles but ``x_mm``, ``y_mm`` and ``height_mm``, they are ``polar = atan(hypot(x, y) / height)`` and
    ``azimuth = atan2(y, x)``, in degrees.

    Examples
    --------
    >>> columns = table_columns([{"index": 0, "x_mm": 30, "y_mm": -40, "height_mm": 50}])
    >>> columns["polar_deg"], columns["azimuth_deg"]
    ([45.0], [-53.13010235415598])
    """
    if not any(rows):
        raise ValueError("it has no rows; give a header line and one row a plane")
    names = {name: None for row in rows for name in row}  # in their order
    has_angles = names.keys() >= set(_ANGLES)
    if not name_leds(names):
        raise ValueError(
            f"its columns are {shortly(', '.join(map(str, names)))}; give a header line with index, {', '.join(_ANGLES)}, or "
            f"{', '.join(_PLACE)} instead of angles"
        )
    wanted = [name for name in (*_KNOWN, *(() if has_angles else _PLACE)) if name in names]
    columns = {name: [_value(row, name, number, has_angles) for number, row in enumerate(rows)] for name in wanted}
    return columns if has_angles else _with_angles(columns)


def _with_angles(columns: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """Return columns with the angles that follow from the places."""
    x, y, height = (np.asarray(columns[name], float) for name in _PLACE)
    for number, value in enumerate(height):
        if not (np.isfinite(value) and value > 0):
            raise ValueError(f"row {number}: height_mm is {value:g}: it must be a positive number of millimetres")
    angles = {"polar_deg": np.arctan(np.hypot(x, y) / height), "azimuth_deg": np.arctan2(y, x)}
    return {
        **{name: column for name, column in columns.items() if name not in ("height_mm", *_ANGLES)},
        **{name: np.degrees(angle).tolist() for name, angle in angles.items()},
    }


def _value(row: Row, name: str, number: int, has_angles: bool) -> float | int | str | None:
    """Return the value of a cell; an empty one is None where a number may be unknown."""
    cell = row.get(name)
    text = "" if cell is None else str(cell).strip()
    if name in TEXTS:
        return text.lower() if text.isalpha() else text  # High is high
    if not text and name in _MAY_BE_UNKNOWN and (has_angles or name not in _PLACE):
        return None
    try:
        if isinstance(cell, bool):
            raise ValueError
        return int(text) if name in ("index", "plane") else float(text)
    except ValueError:
        whole = "whole " if name in ("index", "plane") else ""
        raise ValueError(f"row {number}: {name} is {shortly(text)!r}: it must be a {whole}number") from None
