"""The LEDs of an illumination array: one row for each plane of an LED stack."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

#: How a plane was exposed: at one setting for all (single), as one of a pair (low, high), or merged from several (hdr).
EXPOSURES = ("single", "low", "high", "hdr")
#: What shone: one LED inside or near the aperture, all LEDs inside it, or one LED outside it.
KINDS = ("point", "brightfield", "darkfield")

#: A column is given as a list or a single value and kept as an array with one value a row.
Column = Any

_NUMBERS = ("polar_deg", "azimuth_deg", "x_mm", "y_mm", "wavelength_um", "gain")


@dataclass(frozen=True, eq=False)
class LedTable:
    """Position, angle, colour and exposure of the LED of each plane (Wulff, 3.1). Frozen; columns are read-only.

    Parameters
    ----------
    index : sequence of int
        Number of the LED in the array; it appears again where one LED was exposed twice.
    polar_deg, azimuth_deg : sequence of float
        Direction of the light: angle to the optical axis (0 to below 90) and around it.
    exposure, kind : str or sequence of str
        Of :data:`EXPOSURES` and :data:`KINDS`.
    x_mm, y_mm, wavelength_um, gain : float or sequence of float
        Position in the plane of the array, vacuum wavelength, camera gain; NaN where not known.
    plane : sequence of int, optional
        Plane of the stack that each row describes; the rows as they come if not given. A subset keeps it.

    Examples
    --------
    >>> leds = LedTable(index=[0, 1, 2], polar_deg=[0, 5, 30], azimuth_deg=[0, 0, 72])
    >>> leds.brightfield(na=0.4).tolist()
    [True, True, False]
    >>> leds.subset(max_polar_deg=10).plane.tolist()
    [0, 1]
    """

    index: Column
    polar_deg: Column
    azimuth_deg: Column
    exposure: Column = "single"
    kind: Column = "point"
    x_mm: Column = np.nan
    y_mm: Column = np.nan
    wavelength_um: Column = np.nan
    gain: Column = np.nan
    plane: Column = None

    def __post_init__(self) -> None:
        n = len(np.atleast_1d(self.index))
        if self.plane is None:
            object.__setattr__(self, "plane", range(n))
        for column in fields(self):
            object.__setattr__(self, column.name, _column(column.name, getattr(self, column.name), n))
        self._check()

    def _check(self) -> None:
        self._refuse(~((self.polar_deg >= 0) & (self.polar_deg < 90)), "polar_deg", "an angle from 0 to below 90")
        self._refuse(~np.isfinite(self.azimuth_deg), "azimuth_deg", "an angle in degrees")
        self._refuse(self.wavelength_um <= 0, "wavelength_um", "a positive number of micrometres")
        self._refuse(~np.isin(self.exposure, EXPOSURES), "exposure", f"one of {', '.join(EXPOSURES)}")
        self._refuse(~np.isin(self.kind, KINDS), "kind", f"one of {', '.join(KINDS)}")
        seen: dict[tuple[Any, ...], int] = {}
        colour = np.nan_to_num(self.wavelength_um)
        for row, key in enumerate(zip(self.index, self.exposure, self.kind, colour, strict=True)):
            if seen.setdefault(key, row) != row:
                raise ValueError(
                    f"row {row}: LED {key[0]} at exposure {key[1]} is in row {seen[key]} already: give each LED and "
                    "exposure once"
                )

    def _refuse(self, wrong: npt.NDArray[np.bool_], column: str, allowed: str) -> None:
        if wrong.any():
            row = int(np.argmax(wrong))
            value = getattr(self, column)[row]
            raise ValueError(f"row {row} (LED {self.index[row]}): {column} is {str(value)!r}: it must be {allowed}")

    @classmethod
    def read_csv(cls, path: str | PathLike[str]) -> LedTable:
        """Read a table with a header line; columns named like the fields, others are left out.

        ``index``, ``polar_deg`` and ``azimuth_deg`` must be there. Errors name the file and the row, counted from 0
        like planes.
        """
        path = Path(path)
        try:
            with path.open(encoding="utf-8-sig", newline="") as file:
                rows = list(csv.DictReader(file, skipinitialspace=True))
        except (UnicodeDecodeError, csv.Error) as error:
            raise ValueError(f"{path.name}: not a text table ({error}); save it as CSV in UTF-8") from None
        names = [name for name in (rows[0] if rows else {}) if name in {f.name for f in fields(cls)}]
        if missing := [name for name in ("index", "polar_deg", "azimuth_deg") if name not in names]:
            raise ValueError(f"{path.name}: no rows with {', '.join(missing)}; give a header line and one row a plane")
        try:
            return cls(**{name: [_cell(row, name, number) for number, row in enumerate(rows)] for name in names})
        except ValueError as error:
            raise ValueError(f"{path.name}, {error}") from None

    def columns(self) -> dict[str, list[Any]]:
        """Return the columns as plain lists, None for NaN; ``LedTable(**columns)`` makes the table again."""
        return {f.name: [None if v != v else v for v in getattr(self, f.name).tolist()] for f in fields(self)}

    def subset(self, max_polar_deg: float | None = None, exposures: Sequence[str] | None = None) -> LedTable:
        """Return the rows up to a polar angle and of some exposures; ``plane`` says which planes they are.

        Raises ValueError where an exposure is not in the table or nothing is left.
        """
        keep = np.ones(len(self), bool)
        if max_polar_deg is not None:
            keep &= self.polar_deg <= max_polar_deg
        if exposures is not None:
            known = sorted(set(self.exposure.tolist()))
            wanted = [exposures] if isinstance(exposures, str) else list(exposures)
            if unknown := [name for name in wanted if name not in known]:
                raise ValueError(f"exposures {unknown} are not in the table: it has {', '.join(known)}")
            keep &= np.isin(self.exposure, wanted)
        if not keep.any():
            raise ValueError(
                f"no LED left with max_polar_deg={max_polar_deg}, exposures={exposures}: the angles go from "
                f"{self.polar_deg.min():g} to {self.polar_deg.max():g} degrees"
            )
        return self[keep]

    def brightfield(self, na: float) -> npt.NDArray[np.bool_]:
        """Return for each row whether its light enters an objective in air directly, ``sin(polar) < na``."""
        if not na > 0:
            raise ValueError(f"na is {na}: a numerical aperture is a positive number")
        return np.asarray(np.sin(np.radians(self.polar_deg)) < na)

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, rows: int | slice | Sequence[int] | npt.NDArray[Any]) -> LedTable:
        """Return the table of some rows: a number, a slice, a mask or a list of numbers."""
        if isinstance(rows, (int, np.integer)):
            rows = [int(rows)]
        try:
            where = np.arange(len(self))[rows if isinstance(rows, slice) else np.asarray(rows)]
        except IndexError:
            raise ValueError(
                f"rows {rows} are not in the table: it has {len(self)} (0 to {len(self) - 1}); give a number, a slice, "
                "a mask of that length or a list of numbers"
            ) from None
        return LedTable(**{f.name: getattr(self, f.name)[where] for f in fields(self)})

    def __iter__(self) -> Iterator[LedTable]:
        return (self[row] for row in range(len(self)))

    def __repr__(self) -> str:
        angles = f"{self.polar_deg.min():g} to {self.polar_deg.max():g} deg" if len(self) else "no rows"
        return f"<LedTable {len(self)} planes, {angles}, exposure {', '.join(sorted(set(self.exposure.tolist())))}>"


def _column(name: str, values: Any, n: int) -> npt.NDArray[Any]:
    """Return one column as a read-only array of ``n``."""
    if name in _NUMBERS:
        column = np.asarray([np.nan if v is None else v for v in np.atleast_1d(values)], float)
    else:
        column = np.atleast_1d(np.asarray(values, str if name in ("exposure", "kind") else np.int64))
    if column.shape not in ((n,), (1,)):
        raise ValueError(f"column {name} has {column.size} values for {n} rows: give one for each row")
    column = np.broadcast_to(column, (n,)).copy()
    column.flags.writeable = False
    return column


def _cell(row: dict[str, str], name: str, number: int) -> float | int | str | None:
    """Return the value of a cell; an empty one is None where a number may be unknown."""
    text = (row[name] or "").strip()
    if name in ("exposure", "kind"):
        return text
    if not text and name in _NUMBERS[2:]:
        return None
    try:
        return float(text) if name in _NUMBERS else int(text)
    except ValueError:
        raise ValueError(f"row {number}: {name} is {text!r}: it must be a number") from None
