"""What a file states about lengths: pixel size, positions along Z, names of channels."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt
import tifffile

from napari_cellrestore.files.ome_leds import ome_led_rows
from napari_cellrestore.leds.reading import Row

_UNIT_NAMES = {
    1.0: "um µm μm micron microns micrometer micrometers micrometre micrometres",
    1e-3: "nm nanometer nanometers nanometre nanometres",
    1e-4: "å angstrom",
    1e-6: "pm picometer picometre",
    1e3: "mm millimeter millimeters millimetre millimetres",
    1e4: "cm centimeter centimeters centimetre centimetres",
    1e6: "m meter meters metre metres",
    25400.0: "in inch inches",
}
#: Micrometres in a unit of length, by the names that microscope files use.
UNIT_UM = {name: um for um, names in _UNIT_NAMES.items() for name in names.split()}
#: A larger pixel in a file of no microscope program is the resolution of a print or screen (96 dpi is 265 um).
LARGEST_PLAIN_PIXEL_UM = 10.0
#: Key of what :mod:`napari_cellrestore.files.export` writes into the description of an OME-TIFF.
SAVED = "napari-cellrestore"


@dataclass(frozen=True)
class Calibration:
    """What a file states. Fields it does not state are None or empty; notes say what it left open."""

    pixel_um: float | None = None
    pixel_y_um: float | None = None
    z_step_um: float | None = None
    z_um: Sequence[float] | None = None
    channels: Sequence[str] = ()
    notes: Sequence[str] = ()
    saved: dict[str, Any] = field(default_factory=dict)
    #: Rows of an LED table, one a plane.
    led_rows: Sequence[Row] = ()

    def z_positions(self, n: int, index: Sequence[int] | None = None) -> npt.NDArray[np.float64] | None:
        """Return the positions of ``n`` planes: as stated, else from 0 in steps (``index`` counts the steps)."""
        if self.z_um is not None and len(self.z_um) == n:
            return np.asarray(self.z_um, float)
        return None if self.z_step_um is None else self.z_step_um * np.asarray(range(n) if index is None else index)

    def noted(self, has_z: bool) -> tuple[str, ...]:
        """Return the notes and what is missing."""
        notes = list(self.notes)
        if self.pixel_um is None and not notes:
            notes.append("the file does not state a pixel size")
        if has_z and self.z_step_um is None and self.z_um is None:
            notes.append("the file does not state the distance of its planes along Z")
        return tuple(notes)


def read_calibration(tif: tifffile.TiffFile, kind: str = "") -> Calibration:
    """Return what a TIFF states, by the first of: OME-XML, ImageJ, tifffile's own description, resolution tags."""
    page = tif.pages.first
    if page.is_ome and (root := ome_root(page.description)) is not None:
        return from_ome(root)
    if tif.is_imagej:
        return from_imagej(tif.imagej_metadata or {}, page)
    if kind == "shaped" and tif.shaped_metadata and unit_um(tif.shaped_metadata[0].get("unit")):
        return from_imagej(tif.shaped_metadata[0], page)
    return from_resolution(page)


def unit_um(name: object) -> float | None:
    r"""Return the micrometres in a unit of length, None where the name is none.

    >>> unit_um("micron"), unit_um(r"\u00B5m"), unit_um("inch"), unit_um("pixel")
    (1.0, 1.0, 25400.0, None)
    """
    text = re.sub(r"\\u([0-9a-fA-F]{4})", lambda code: chr(int(code[1], 16)), str(name)).strip()
    return UNIT_UM.get(text.lower())


# --- TIFF resolution ---------------------------------------------------------------------------------------


def _per_unit(page: tifffile.TiffPage, tag: str) -> float | None:
    """Return pixels per unit from a resolution tag, None where there is none or it says nothing."""
    try:
        number, unit = page.tags[tag].value
        per_unit = float(number) / float(unit)
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None
    return per_unit if 0 < per_unit < np.inf else None


def _pixel_yx_um(page: tifffile.TiffPage, unit: float | None) -> tuple[float | None, float | None]:
    """Return height (None where square) and width of a pixel from the resolution tags and the length of their unit."""
    x, y = _per_unit(page, "XResolution"), _per_unit(page, "YResolution")
    if x is None or unit is None:
        return None, None
    square = y is None or bool(np.isclose(x, y, rtol=1e-6))
    return (None if square or y is None else unit / y), unit / x


def _tag_unit_um(page: tifffile.TiffPage) -> float | None:
    """Return the unit of the resolution tags: inch, centimetre, or None."""
    tag = page.tags.get("ResolutionUnit")
    return {2: 25400.0, 3: 1e4}.get(int(tag.value)) if tag is not None else None


def from_resolution(page: tifffile.TiffPage) -> Calibration:
    """Return the pixel size where the resolution tags can be those of a microscope."""
    pixel_y, pixel = _pixel_yx_um(page, _tag_unit_um(page))
    if pixel is None:
        return Calibration()
    if pixel > LARGEST_PLAIN_PIXEL_UM:
        return Calibration(
            notes=(f"the resolution of {25400 / pixel:.0f} dpi is a print setting: the pixel size is not known",)
        )
    return Calibration(pixel, pixel_y)


# --- ImageJ ------------------------------------------------------------------------------------------------


def from_imagej(stated: dict[str, Any], page: tifffile.TiffPage) -> Calibration:
    """Return what an ImageJ description states (also tifffile's description with ``unit`` and ``spacing``).

    ImageJ gives the resolution per its own ``unit``; programs that imitate it give it per the unit of the TIFF tag.
    """
    by_tag = from_resolution(page)
    unit = unit_um(stated.get("unit"))
    pixel_y, pixel = _pixel_yx_um(page, unit)
    if by_tag.pixel_um is not None:
        pixel_y, pixel = by_tag.pixel_y_um, by_tag.pixel_um
    notes = []
    if pixel is None and str(stated.get("unit") or "").strip():
        notes.append(f"the pixel size is given in {stated['unit']!r}, not a length")
    elif pixel is not None and pixel > 100 * LARGEST_PLAIN_PIXEL_UM:
        notes.append(f"the stated pixel size of {pixel:g} um is too large for a microscope: check it")
    return Calibration(pixel, pixel_y, _imagej_step_um(stated, unit), notes=notes)


def _imagej_step_um(stated: dict[str, Any], unit: float | None) -> float | None:
    """Return the distance of planes: ImageJ's ``spacing``, or SCIFIO's ``scales`` of its ``axes``."""
    unit = unit_um(stated["zunit"]) if "zunit" in stated else unit
    step = stated.get("spacing")
    if unit and isinstance(step, (int, float)):
        return abs(step) * unit or None
    lists = [str(stated.get(key, "")).split(",") for key in ("axes", "scales", "units")]
    scales = {axis: (scale, unit_um(name)) for axis, scale, name in zip(*lists, strict=False)}
    scale, scale_unit = scales.get("Z", ("", None))
    return float(scale) * scale_unit if scale_unit and scale else None


# --- OME ---------------------------------------------------------------------------------------------------


def ome_root(description: str) -> ElementTree.Element | None:
    """Return the OME-XML of a description, None where it cannot be read."""
    try:
        return ElementTree.fromstring(description)
    except ElementTree.ParseError:
        return None


def from_ome(root: ElementTree.Element) -> Calibration:
    """Return what the first image of OME-XML states."""
    image = root.find("{*}Image")
    pixels = image.find("{*}Pixels") if image is not None else None
    if image is None or pixels is None:
        return Calibration()
    x, y, step = (_ome_length(pixels, f"PhysicalSize{axis}") for axis in "XYZ")
    saved = _saved(image.findtext("{*}Description", ""))
    z_um = saved.get("z_um") or _ome_z_um(pixels)
    notes = []
    if x is None and pixels.get("PhysicalSizeX"):
        notes.append(f"the pixel size is given in {pixels.get('PhysicalSizeXUnit')!r}, not a length")
    if z_um and len(z_um) > 1 and step and not np.isclose(np.median(np.abs(np.diff(z_um))), step, rtol=0.01):
        notes.append(f"planes are stated {step:g} um apart, but their positions are not: the positions are used")
    names = tuple(channel.get("Name", "") for channel in pixels.findall("{*}Channel"))
    return Calibration(
        pixel_um=x,
        pixel_y_um=None if x is None or y is None or np.isclose(x, y, rtol=1e-6) else y,
        z_step_um=step,
        z_um=z_um,
        channels=names if all(names) else (),
        notes=notes,
        saved=saved,
        led_rows=ome_led_rows(root, pixels),
    )


def _ome_length(element: ElementTree.Element, name: str) -> float | None:
    """Return an OME length in micrometres; None where it is not there, not a length or not positive."""
    try:
        length = float(element.get(name, "")) * (unit_um(element.get(f"{name}Unit", "µm")) or 0)
    except ValueError:
        return None
    return length if 0 < length < np.inf else None


def _ome_z_um(pixels: ElementTree.Element) -> tuple[float, ...] | None:
    """Return the position of each plane along Z at the first time and channel, where all are lengths and differ."""
    z_um: dict[int, float] = {}
    for plane in pixels.findall("{*}Plane"):
        unit = unit_um(plane.get("PositionZUnit", "µm"))
        if plane.get("TheC") == plane.get("TheT") == "0" and unit and plane.get("PositionZ"):
            z_um[int(plane.get("TheZ", 0))] = float(plane.get("PositionZ", 0)) * unit
    n = int(pixels.get("SizeZ", 1))
    complete = sorted(z_um) == list(range(n)) and len(set(z_um.values())) == n
    return tuple(z_um[index] for index in range(n)) if complete else None


def _saved(description: str) -> dict[str, Any]:
    """Return what this project wrote into a description: axes, shape, LEDs, provenance."""
    try:
        saved = json.loads(description)[SAVED]
    except (ValueError, TypeError, KeyError):
        return {}
    return saved if isinstance(saved, dict) else {}


# --- Leica -------------------------------------------------------------------------------------------------


def from_leica_folder(folder: Path, stated: Calibration, yx_shape: tuple[int, int]) -> Calibration:
    """Return the calibration of a LAS AF export: TIFF planes with an XML of ``DimensionDescription`` beside them.

    ``Length`` is from the first to the last pixel or plane, so that the step is ``Length / (NumberOfElements - 1)``.
    """
    for path in sorted(folder.glob("*.xml")):
        if (root := ome_root(path.read_text("utf-8", "replace"))) is None:
            continue
        size, step_um = {}, {}
        for dimension in root.iter("DimensionDescription"):
            number, unit = dimension.get("NumberOfElements", ""), unit_um(dimension.get("Unit"))
            if unit and number.isdecimal() and int(number) > 1:
                axis = {"1": "X", "2": "Y", "3": "Z"}.get(dimension.get("DimID", ""), "")
                size[axis] = int(number)
                step_um[axis] = abs(float(dimension.get("Length", "nan"))) * unit / (int(number) - 1)
        if (size.get("Y"), size.get("X")) == yx_shape:
            square = np.isclose(step_um["X"], step_um["Y"], rtol=1e-6)
            return replace(
                stated,
                pixel_um=step_um["X"],
                pixel_y_um=None if square else step_um["Y"],
                z_step_um=step_um.get("Z"),
                notes=(f"pixel size and distance of planes are from {path.name}",),
            )
    return stated
