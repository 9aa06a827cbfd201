"""Pairs for training as files: a crop of the LED stack and of the stained scan for each cell, and tables of all."""

from __future__ import annotations

import csv
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_cellrestore.files import write_tiff
from napari_cellrestore.files.places import check_parent
from napari_cellrestore.rescan.looks import resample
from napari_cellrestore.rescan.pairing import CROP_PX, SAME_POWER, CellPair, FieldPairs, pixel_of, square_at
from napari_cellrestore.rescan.scans import Scans
from napari_cellrestore.rescan.similarity import Similarity
from napari_cellrestore.simulate import quantise
from napari_cellrestore.stack import ImageStack

#: What is in the folder.
INPUTS, TARGETS, PAIRS, FIELDS = "inputs", "targets", "pairs.csv", "fields.csv"
#: Pixels of the stained scan around a crop that interpolation sees.
_AROUND_PX = 12


def check_new_folder(out: str | Path) -> Path:
    """Return the folder as a path; ValueError unless it can be made anew."""
    out = Path(out)
    if out.exists():
        raise ValueError(f"{out}: exists already; give another folder, nothing is written over")
    check_parent(out)
    return out


def write_pairs(
    out: str | Path,
    scans: Scans,
    fields: Sequence[FieldPairs],
    *,
    crop_px: int = CROP_PX,
    whole_pixels: bool = False,
) -> Iterator[CellPair]:
    """Write the accepted pairs of judged fields, yielding each as it is written; and the tables of all.

    ``inputs/NAME.tif`` is the crop of the LED stack as recorded, with LED table and pixel size, ``targets/NAME.tif`` that
    of the stained scan on the same pixels, in its own grey levels. ``pairs.csv`` has a row for every cell that was
    found, ``fields.csv`` for every field. All is made under a name that begins with a dot and takes its own name at
    the end: a folder of that name is always complete.

    Parameters
    ----------
    out : path
        A folder that is not there yet.
    scans, fields
        As from :func:`find_scans`, and from :func:`judge`.
    crop_px : int
        As for :func:`pair_field`.
    whole_pixels : bool
        Targets are copied pixel by pixel, up to half a pixel beside their place, as in Wulff 2022, and not interpolated.

    Raises
    ------
    ValueError
        The folder exists; a field whose scans can no longer be read; whole pixels of another magnification.
    """
    out = check_new_folder(out)
    unfinished = out.with_name(f".{out.name}.part")
    if unfinished.exists():  # of a run that was killed
        shutil.rmtree(unfinished)
    try:
        for folder in (INPUTS, TARGETS):
            (unfinished / folder).mkdir(parents=True)
        for field in fields:
            yield from _write_field(unfinished, scans, field, crop_px, whole_pixels)
        _write_table(unfinished / FIELDS, [_field_row(field) for field in fields], _field_row(FieldPairs("")))
        cells = [_cell_row(scans, field, pair) for field in fields for pair in field.cells]
        nothing = CellPair("", (0, 0), (0, 0), Similarity())
        _write_table(unfinished / PAIRS, cells, _cell_row(scans, FieldPairs(""), nothing))
        os.replace(unfinished, out)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _write_field(folder: Path, scans: Scans, field: FieldPairs, crop_px: int, whole_pixels: bool) -> Iterator[CellPair]:
    pairs = [pair for pair in field.cells if pair.accepted]
    if not pairs:
        return
    unstained, stained = scans.open(field.name)
    pixel_um = pixel_of(unstained, None, "unstained")
    for pair, pixels in zip(pairs, cut_inputs(unstained, pairs, pixel_um, crop_px), strict=True):
        said = {"field": field.name, "centre_um": pair.at_um, "stained_centre_um": pair.stained_at_um}
        crop = replace(unstained, data=pixels, provenance={**unstained.provenance, "paired": said})
        write_tiff(folder / INPUTS / f"{pair.name}.tif", crop)
        target = cut_target(stained, pair, pixel_um, crop_px, whole_pixels=whole_pixels)
        write_tiff(folder / TARGETS / f"{pair.name}.tif", target)
        yield pair


def cut_inputs(
    unstained: ImageStack, pairs: Sequence[CellPair], pixel_um: float, crop_px: int
) -> list[npt.NDArray[Any]]:
    """Return the crop of each cell out of every plane, as recorded; each plane is read once for all of them."""
    squares = [square_at(np.asarray(pair.at_um) / pixel_um, crop_px) for pair in pairs]
    crops: list[list[npt.NDArray[Any]]] = [[] for _ in pairs]
    for number in range(unstained.size("A")):
        plane = np.asarray(unstained.data[number])
        for crop, square in zip(crops, squares, strict=True):
            crop.append(plane[square].copy())
    return [np.stack(crop) for crop in crops]


def cut_target(
    stained: ImageStack, pair: CellPair, pixel_um: float, crop_px: int, *, whole_pixels: bool = False
) -> ImageStack:
    """Return the stained cell on the pixels of its crop of the unstained scan, (Y, X, 3), in its own dtype.

    Interpolated by a cubic spline, from a blurred scan where that has smaller pixels; integers are rounded and limited
    to their range.
    """
    theirs_um = pixel_of(stained, None, "stained")
    rows, columns = square_at(np.asarray(pair.at_um) / pixel_um, crop_px)
    first_um = np.array([rows.start, columns.start]) * pixel_um
    back = pair.place.inverse()
    if whole_pixels:
        pixels = _copied(stained, back(first_um + 0.5 * (crop_px - 1) * pixel_um), theirs_um, pixel_um, crop_px)
    else:
        corners = first_um + np.array([(y, x) for y in (0, crop_px) for x in (0, crop_px)]) * pixel_um
        seen_px = back(corners) / theirs_um
        around = _AROUND_PX * max(pixel_um / theirs_um, 1.0)
        low = np.maximum(np.floor(seen_px.min(0) - around), 0).astype(int)
        high = np.ceil(seen_px.max(0) + around).astype(int)
        part = np.asarray(stained.data[low[0] : high[0], low[1] : high[1], :3])
        to_crop = (
            Similarity(shift_um=tuple(-first_um)).after(pair.place).after(Similarity(shift_um=tuple(low * theirs_um)))
        )
        pixels = quantise(resample(part, theirs_um, to_crop, pixel_um, (crop_px, crop_px), order=3), part.dtype)
    made = {"target": "copied" if whole_pixels else "interpolated", "scale": pair.place.scale}
    return ImageStack(
        pixels, "YXS", pixel_um=pixel_um, source=stained.source, provenance={**stained.provenance, "paired": made}
    )


def _copied(
    stained: ImageStack, centre_um: npt.NDArray[np.float64], theirs_um: float, pixel_um: float, crop_px: int
) -> npt.NDArray[Any]:
    if abs(theirs_um / pixel_um - 1) > SAME_POWER:
        raise ValueError(
            f"pixels of {theirs_um:g} um cannot be copied for an input of {pixel_um:g} um: leave out whole_pixels, so that "
            "targets are interpolated"
        )
    rows, columns = square_at(centre_um / theirs_um, crop_px)
    return np.asarray(stained.data[rows, columns, :3])


# --- tables --------------------------------------------------------------------------------------------------


def _cell_row(scans: Scans, field: FieldPairs, pair: CellPair) -> dict[str, Any]:
    y_um, x_um = scans.on_slide(field.name, pair.at_um)
    stained_y_um, stained_x_um = scans.on_slide(field.name, pair.stained_at_um, stained=True)
    down, right = pair.shift_px
    return {
        "cell": pair.name,
        "field": field.name,
        "x_um": round(x_um, 3),
        "y_um": round(y_um, 3),
        "stained_x_um": round(stained_x_um, 3),
        "stained_y_um": round(stained_y_um, 3),
        "shift_px": round(float(np.hypot(down, right)), 3),
        "shift_down_px": round(down, 3),
        "shift_right_px": round(right, 3),
        "ssim": round(pair.ssim, 4),
        "scale": round(pair.place.scale, 5),
        "rotation_deg": round(pair.place.rotation_deg, 4),
        "stained_only_um": round(pair.alone_um, 2),
        "unstained_only_um": round(pair.missing_um, 2),
        "accepted": int(pair.accepted),
        "reason": pair.reason,
    }


def _field_row(field: FieldPairs) -> dict[str, Any]:
    match = field.match
    found = match is not None and not match.reason
    return {
        "field": field.name,
        "cells": len(field.cells),
        "accepted": sum(pair.accepted for pair in field.cells),
        "correlation": round(match.correlation, 4) if match else "",
        "certainty": round(match.certainty, 2) if match else "",
        "scale": round(match.place.scale, 5) if match and found else "",
        "rotation_deg": round(match.place.rotation_deg, 4) if match and found else "",
        "tiles": match.tiles if match and found else "",
        "agreeing": match.agreeing if match and found else "",
        "residual_um": round(match.residual_um, 3) if match and found else "",
        "reason": field.reason,
        "notes": "; ".join(field.notes),
    }


def _write_table(path: Path, rows: Sequence[Mapping[str, Any]], like: Mapping[str, Any]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(like))
        table.writeheader()
        table.writerows({key: "" if value != value else value for key, value in row.items()} for row in rows)
