"""What focus curves say, in plain words: the table below the plot and what makes a curve doubtful."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape

import numpy as np

from napari_cellrestore.focus import FocusCurve
from napari_cellrestore.gui.regions import Bounds

#: Flags that name a plane by how they end, and what is said of these planes.
PLANE_FLAGS = {
    "not finite": "pixels that are not numbers (NaN): left out",
    "constant": "no contrast at all: all pixels are equal",
}
#: Planes that are named before the others are counted.
MOST_NAMED = 4


@dataclass(frozen=True)
class Region:
    """A part of the image that has a curve: its name, its colour (None: that of the text) and where it is."""

    name: str
    colour: str | None
    bounds: Bounds | None


def describe(measured: list[tuple[Region, FocusCurve | str]], colours: dict[str, str]) -> str:
    """Return curves for a person, as rich text; the numbers of planes are links."""
    rows, minds, unit = "", "", ""
    for region, curve in measured:
        if isinstance(curve, str):
            minds += _mind(region.name, [escape(curve)], colours["warning"])
            continue
        unit = "µm" if curve.z_unit == "um" else "planes"
        peak, low, high = _numbers(curve.peak_um, *curve.width_um, z=curve.z_um)
        named = region.name.replace(" ", "&nbsp;")
        name = f"<span style='color:{region.colour or colours['text']}'>●</span>&nbsp;{named}"
        sharpest = _coloured(plane_link(curve.peak_index), colours["text"])
        rows += "<tr>" + "".join(f"<td>{cell}</td>" for cell in (name, sharpest, peak, f"−{low}/+{high}")) + "</tr>"
        minds += _mind(region.name, list(explain(curve)), colours["warning"])
    head = _row("", "sharpest", f"peak ({unit})", f"half width ({unit})", style=f"color:{colours['icon']}")
    return f"<table cellspacing='0' cellpadding='2'>{head if rows else ''}{rows}</table>{minds}"


def explain(curve: FocusCurve) -> Iterator[str]:
    """Yield what the flags of a curve mean, each as a sentence without its full stop."""
    edge = "first" if curve.peak_index == 0 else "last"
    words = {
        "one plane": "there is one plane only, nothing to compare it with",
        "flat": "no plane is sharper than the others; the field may be empty, or all of it out of focus",
        "peak at edge": f"the sharpest plane is the {edge} one recorded; focus may lie beyond",
        "jagged": "several planes come near the maximum: cells at different heights, or noise; draw a region around one",
    }
    yield from (words[flag] for flag in curve.flags if flag in words)
    if curve.minimum_index is not None:
        dip = plane_link(curve.minimum_index) + (f" ({curve.minimum_um:.2g} µm)" if curve.z_unit == "um" else "")
        yield f"contrast has a dip at {dip}; unstained cells are hardly seen in focus, which is then there and not at the maximum"
    for ending, said in PLANE_FLAGS.items():
        if numbers := _plane_numbers(curve, ending):
            yield f"{_listed(numbers)} {'has' if len(numbers) == 1 else 'have'} {said}"
    if gaps := [int(flag.rsplit(" ", 1)[1]) for flag in curve.flags if flag.startswith("gap after")]:
        yield f"planes are missing after {_listed(gaps)}"


def plane_link(index: int) -> str:
    """Return a plane as a link."""
    return f"<a href='{index}'>plane {index}</a>"


def _plane_numbers(curve: FocusCurve, ending: str) -> list[int]:
    return [int(flag.split()[1]) for flag in curve.flags if flag.endswith(ending) and flag.startswith("plane ")]


def _listed(numbers: list[int]) -> str:
    """Return planes by name, the first few of many."""
    named = ", ".join(plane_link(index) for index in numbers[:MOST_NAMED])
    return named + (f" and {len(numbers) - MOST_NAMED} more" if len(numbers) > MOST_NAMED else "")


def _row(*cells: str, style: str = "") -> str:
    """Return a row of a table."""
    return f"<tr style='{style}'>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _mind(name: str, sentences: list[str], colour: str) -> str:
    if not sentences:
        return ""
    text = ". ".join([sentences[0], *(sentence[0].upper() + sentence[1:] for sentence in sentences[1:])])
    return f"<p style='color:{colour}'><b>{name}:</b> {_coloured(text, colour)}.</p>"


def _coloured(text: str, colour: str) -> str:
    """Return rich text whose links have a colour; Qt's own is too dark on dark."""
    return text.replace("<a ", f"<a style='color:{colour}' ")


def _numbers(*values: float, z: np.ndarray) -> list[str]:
    """Return positions with the digits that the distance of the planes tells; NaN was not reached."""
    step = np.median(np.abs(np.diff(z))) if len(z) > 1 else 1.0
    digits = int(np.clip(1 - np.floor(np.log10(step)), 0, 6))
    return ["?" if np.isnan(v) else f"{round(v, digits) + 0:.{digits}f}".replace("-", "−") for v in values]
