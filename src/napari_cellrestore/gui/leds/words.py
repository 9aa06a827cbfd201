"""What is said of LEDs, of planes that are selected and of what was found, in plain words."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from html import escape

import numpy as np

from napari_cellrestore.illumination import LedChecks
from napari_cellrestore.leds import EXPOSURES, LedTable

#: What shone, in the words of the legend: once the aperture is known, and by the table alone.
KINDS = {"point": "inside the aperture", "darkfield": "dark field", "brightfield": "all inside together"}
#: Signs of exposures in the legend.
RINGS = {"low": "◦ low", "high": "◎ high", "hdr": "◌ hdr"}


def led_said(leds: LedTable, rows: Sequence[int]) -> str:
    """Return which LED is in rows of a table that are of the same one, and the planes that it shone for."""
    planes = ", ".join(f"plane {row}" + _exposed(leds, row, " ({})") for row in rows)
    return f"{where_said(leds, rows[0])}: {planes}"


def plane_said(leds: LedTable, row: int, kind: str) -> str:
    """Return what a plane is lit by."""
    what = {"point": "", "darkfield": ", dark field"}.get(kind, "")
    return f"Plane {row}: {where_said(leds, row)}{what}{_exposed(leds, row, ', {} exposure')}"


def where_said(leds: LedTable, row: int) -> str:
    """Return the number of an LED and the direction of its light."""
    if leds.kind[row] == "brightfield":
        return "all LEDs inside the aperture"
    return f"LED {leds.index[row]}, {leds.polar_deg[row]:.3g}° at azimuth {leds.azimuth_deg[row] % 360:.3g}°"


def _exposed(leds: LedTable, row: int, form: str) -> str:
    exposure = str(leds.exposure[row])
    return "" if exposure == "single" else form.format(exposure)


def selection_said(leds: LedTable, rows: Collection[int]) -> str:
    """Return how many planes are selected, up to which angle, of which exposures."""
    if not rows:
        return "No planes selected"
    chosen = leds[sorted(rows)]
    single = chosen.kind != "brightfield"
    said = f"{len(rows)} of {len(leds)} planes"
    if single.any():
        said += f", up to {chosen.polar_deg[single].max():.3g}°"
    exposures = [name for name in EXPOSURES if (chosen.exposure[single] == name).any()]
    if exposures and exposures != ["single"]:
        said += f", {'exposures' if len(exposures) > 1 else 'exposure'} {', '.join(exposures)}"
    return said + (", with brightfield" if not single.all() else "")


def legend_said(
    leds: LedTable, kinds: Sequence[str], colours: Mapping[str, str], na: float | None, *, missing: bool = False
) -> str:
    """Return the legend of a plan as rich text."""
    said = [
        f"<span style='color:{colours[kind]}'>●</span>&nbsp;{_kind_said(kind, kinds, na).replace(' ', '&nbsp;')}"
        for kind in KINDS
        if kind in kinds
    ]
    exposures = ringed(leds)
    said += [sign.replace(" ", "&nbsp;") for name, sign in RINGS.items() if name in exposures]
    if na is not None and na < 1:
        said.append("◯&nbsp;NA")
    if missing:
        said.append("◌&nbsp;missing")
    return " &nbsp; ".join(said)


def ringed(leds: LedTable) -> set[str]:
    """Return the exposures that rings tell apart: those of a pair or of several exposures, none where all are alike."""
    exposures = set(leds.exposure[leds.kind != "brightfield"].tolist())
    return exposures - {"single"} if len(exposures) > 1 else set()


def _kind_said(kind: str, kinds: Sequence[str], na: float | None) -> str:
    told = na is not None or "darkfield" in kinds
    return "one LED" if kind == "point" and not told else KINDS[kind]


def checked_said(checks: LedChecks, n: int) -> str:
    """Return what checks found in short, and what they could not tell, as rich text."""
    planes = {found.plane for found in checks.findings if found.plane is not None}
    count = len(checks.findings)
    if not count:
        said = f"No fault found in {n} planes."
    else:
        where = f" in {len(planes)} of {n} planes" if planes else ""
        said = f"{count} {'fault' if count == 1 else 'faults'} found{where}."
    return "<br>".join([f"<b>{said}</b>", *(f"Not told: {escape(unknown)}." for unknown in checks.unknown)])


def counts_said(leds: LedTable, n: int) -> str:
    """Return whether a table has a row for each plane."""
    if len(leds) == n:
        return f"{n} rows for {n} planes"
    return f"{len(leds)} rows for {n} planes: there must be one row for each plane"


def na_by_kinds(leds: LedTable) -> tuple[float, float] | None:
    """Return between which NA the aperture lies by the kinds of a table; None where they do not tell."""
    sine = np.sin(np.radians(leds.polar_deg))
    inside, outside = sine[leds.kind == "point"], sine[leds.kind == "darkfield"]
    if not len(inside) or not len(outside) or inside.max() >= outside.min():
        return None
    return float(inside.max()), float(outside.min())
