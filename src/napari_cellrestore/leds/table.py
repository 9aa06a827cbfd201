"""The LEDs of an illumination array: one row for each plane of an LED stack."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_cellrestore.leds.reading import NUMBERS, TEXTS, Row, read_rows, table_columns
from napari_cellrestore.plain import shortly

#: How a plane was exposed: at one setting for all (single), as one of a pair (low, high), or merged from several (hdr).
EXPOSURES = ("single", "low", "high", "hdr")
#: What shone: one LED inside or near the aperture, all LEDs inside it, or one LED outside it.
KINDS = ("point", "brightfield", "darkfield")

#: Longest wavelength of a table: a number above it is one of nanometres.
LONGEST_UM = 20.0
#: No objective has a larger numerical aperture.
LARGEST_NA = 1.7
#: Directions of one LED in several rows differ by no more than this, as sine of the angle: a degree.
ONE_PLACE = 0.0175
#: A column is given as a list or a single value and kept as an array with one value a row.
Column = Any


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
        Plane of the stack that each row describes; the rows as they come if not given. A subset keeps it, until it is the
        table of a stack of its own: there it is counted anew.

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
        wrong = (self.wavelength_um <= 0) | (self.wavelength_um > LONGEST_UM)
        self._refuse(wrong, "wavelength_um", f"above 0 and at most {LONGEST_UM:g} micrometres (530 nm are 0.53)")
        self._refuse(self.gain <= 0, "gain", "a positive number")
        self._refuse(~np.isin(self.exposure, EXPOSURES), "exposure", f"one of {', '.join(EXPOSURES)}")
        self._refuse(~np.isin(self.kind, KINDS), "kind", f"one of {', '.join(KINDS)}")
        self._check_once()

    def _check_once(self) -> None:
        """Refuse an LED that is there twice at one exposure, and one number for LEDs in two directions or the reverse."""
        exposed: dict[tuple[Any, ...], int] = {}
        places: dict[tuple[Any, ...], int] = {}
        from_there: dict[tuple[Any, ...], int] = {}
        together = self.kind == "brightfield"
        direction = np.where(together, 0, self.direction)
        colour = np.nan_to_num(self.wavelength_um)
        for row, led in enumerate(self.index.tolist()):
            exposure = (led, self.exposure[row], bool(together[row]), colour[row])
            if (first := exposed.setdefault(exposure, row)) != row:
                raise ValueError(
                    f"row {row}: LED {led} at exposure {self.exposure[row]} is in row {first} already: give each LED and "
                    "exposure once"
                )
            first = places.setdefault((led, bool(together[row]), colour[row]), row)
            if abs(direction[first] - direction[row]) > ONE_PLACE:
                raise ValueError(
                    f"row {row}: LED {led} is at {self.polar_deg[row]:g} deg ({self.azimuth_deg[row]:g} deg around the axis), in "
                    f"row {first} at {self.polar_deg[first]:g} ({self.azimuth_deg[first]:g}): give each LED a number of its own"
                )
            # to a hundredth of a degree, as tables are rounded: in large arrays LEDs at the rim are half a degree apart
            place = (np.round(direction[row], 4), *exposure[1:])
            if not together[row] and (first := from_there.setdefault(place, row)) != row:
                raise ValueError(
                    f"row {row}: LED {led} is where LED {self.index[first]} of row {first} is, at {self.polar_deg[row]:g} deg "
                    f"({self.azimuth_deg[row]:g} deg around the axis) and exposure {self.exposure[row]}: give each LED once, and "
                    "wavelength_um where they are of other colours"
                )

    def _refuse(self, wrong: npt.NDArray[np.bool_], column: str, allowed: str) -> None:
        if wrong.any():
            row = int(np.argmax(wrong))
            value = getattr(self, column)[row]
            raise ValueError(
                f"row {row} (LED {self.index[row]}): {column} is {shortly(str(value))!r}: it must be {allowed}"
            )

    @classmethod
    def read(cls, path: str | PathLike[str]) -> LedTable:
        """Read a table: CSV with a header line, or JSON where the name ends in ``.json``.

        JSON is a list of rows, each an object, or an object of columns, in which one value stands for all rows. Columns
        are named like the fields, others are left out; rows are put into the order of ``plane``. There must be ``index``
        and either ``polar_deg`` and ``azimuth_deg``, or ``x_mm``, ``y_mm`` and ``height_mm``, the height of the array above
        the sample, of which the angles follow: ``polar = atan(hypot(x, y) / height)``, ``azimuth = atan2(y, x)``. Angles
        that are given are taken.

        Raises
        ------
        ValueError
            One line that names the file and the row, counted from 0 like planes.
        """
        path = Path(path)
        return cls.of_rows(read_rows(path), path.name)

    @classmethod
    def read_csv(cls, path: str | PathLike[str]) -> LedTable:
        """Read a table of CSV; :meth:`read` tells CSV from JSON and says which columns there must be."""
        return cls.read(path)

    @classmethod
    def of_rows(cls, rows: Sequence[Row], name: str) -> LedTable:
        """Return the table of rows that were read from a file of this name, which errors begin with."""
        try:
            table = cls(**table_columns(rows))
            if sorted(table.plane.tolist()) != list(range(len(table))):
                raise ValueError(
                    f"column plane must have each number from 0 to {len(table) - 1} once; leave it out where rows come in "
                    "the order of the planes"
                )
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
        return table[np.argsort(table.plane)]

    @property
    def direction(self) -> npt.NDArray[np.complex128]:
        """Where the light goes across the axis, ``sin(polar) exp(i azimuth)``: one number for one direction."""
        return np.asarray(np.sin(np.radians(self.polar_deg)) * np.exp(1j * np.radians(self.azimuth_deg)))

    def counted(self) -> LedTable:
        """Return the table whose rows are planes 0, 1, 2 ... in this order; itself where they are."""
        return self if np.array_equal(self.plane, np.arange(len(self))) else replace(self, plane=None)

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

    def with_kinds(self, na: float) -> LedTable:
        """Return the table with the kind of each single LED by its angle: "point" inside the aperture, else "darkfield".

        Inside is ``sin(polar) < na``, as in :meth:`brightfield`. Rows of the kind "brightfield", lit by all LEDs inside,
        stay. The immersion of the objective does not come in: angles are those in air, where the array is, and
        ``n sin(angle)`` is the same in each layer up to the lens.

        Examples
        --------
        >>> leds = LedTable(index=[-1, 0, 1], polar_deg=[0, 10, 30], azimuth_deg=0, kind=["brightfield", "point", "point"])
        >>> leds.with_kinds(na=0.4).kind.tolist()
        ['brightfield', 'point', 'darkfield']
        """
        kinds = np.where(self.brightfield(na), "point", "darkfield")
        return replace(self, kind=np.where(self.kind == "brightfield", "brightfield", kinds))

    def brightfield(self, na: float) -> npt.NDArray[np.bool_]:
        """Return for each row whether its light enters an objective in air directly, ``sin(polar) < na``."""
        check_na(na)
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


def check_na(na: float) -> None:
    """Raise ValueError for what is no numerical aperture of an objective."""
    if not na > 0:
        raise ValueError(f"na is {na}: a numerical aperture is a positive number")
    if na > LARGEST_NA:
        raise ValueError(f"na is {na:g}, above {LARGEST_NA:g}: is it the magnification? Give the numerical aperture")


def _column(name: str, values: Any, n: int) -> npt.NDArray[Any]:
    """Return one column as a read-only array of ``n``."""
    if name in NUMBERS:
        column = np.asarray([np.nan if v is None else v for v in np.atleast_1d(values)], float)
    elif name in TEXTS:
        column = np.atleast_1d(np.asarray(values, str))
    else:
        column = _whole(name, np.atleast_1d(np.asarray(values)))
    if column.shape not in ((n,), (1,)):
        raise ValueError(f"column {name} has {column.size} values for {n} rows: give one for each row")
    column = np.broadcast_to(column, (n,)).copy()
    column.flags.writeable = False
    return column


def _whole(name: str, column: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Return a column of whole numbers; a fraction is never cut off."""
    try:
        whole = column.astype(np.int64)
    except OverflowError:
        raise ValueError(f"column {name} has a number of more than 64 bits: give smaller whole numbers") from None
    if wrong := [value for value, number in zip(column.tolist(), whole.tolist(), strict=True) if value != number]:
        raise ValueError(f"column {name} has {wrong[0]!r}: give whole numbers")
    return whole
