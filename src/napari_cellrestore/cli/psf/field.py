"""``cellrestore psf --field``: the width of the kernel over the field."""

from __future__ import annotations

import argparse
import csv
from collections.abc import Mapping
from typing import TYPE_CHECKING

from napari_cellrestore.cli._common import aligned, mind, new_table
from napari_cellrestore.cli.psf.options import how_of, objective_of

if TYPE_CHECKING:
    import numpy as np

    from napari_cellrestore.recover import FieldRecovery
    from napari_cellrestore.stack import ImageStack

#: Files of ``--out``.
MAP, TABLE = "fwhm_field.ome.tif", "fwhm_field.csv"
Fields = Mapping[str, "FieldRecovery"]


def fields_of(
    options: argparse.Namespace, images: Mapping[str, tuple[np.ndarray, np.ndarray]], pixel_um: float
) -> Fields:
    """Return the kernels over the field of each colour, none where they are not asked for."""
    from napari_cellrestore.recover import recover_field

    if not options.field:
        return {}
    return {
        colour: recover_field(
            *pair, pixel_um, grid=tuple(options.field), objective=objective_of(options, colour), **how_of(options)
        )
        for colour, pair in images.items()
    }


def say_fields(options: argparse.Namespace, fields: Fields) -> None:
    """Print widths as they lie in the field, their spread, and which tiles cannot tell."""
    for colour, field in fields.items():
        if not options.json:
            kind = "absolute " if field.absolute else ""
            print(f"{colour + ', ' if colour else ''}{kind}{field.spread}")
            print(aligned([[f"{width:.3g}" if width == width else "-" for width in row] for row in field.fwhm_um]))
        for (row, column), reason in field.reasons.items():
            mind(f"{colour + ' ' if colour else ''}tile {row + 1}, {column + 1} (row, column): {reason}")


def write_fields(options: argparse.Namespace, fields: Fields) -> None:
    """Write the map in um, and a line for each tile."""
    if not (options.out and fields):
        return
    from napari_cellrestore.files import write_tiff

    write_tiff(options.out / MAP, _map(options, fields))
    head = ("colour", "row", "column", "centre_y_px", "centre_x_px", "fwhm_um", "fwhm_std_um", "cannot_tell")
    with new_table(options.out / TABLE) as file:
        writer = csv.writer(file)
        writer.writerow(head)
        for colour, field in fields.items():
            for row, column in _places(field):
                reason = field.reasons.get((row, column), "")
                widths = ["", ""] if reason else [field.fwhm_um[row, column], field.fwhm_std_um[row, column]]
                writer.writerow([colour, row + 1, column + 1, *field.centres_px[row, column].tolist(), *widths, reason])


def _places(field: FieldRecovery) -> list[tuple[int, int]]:
    rows, columns = field.fwhm_um.shape
    return [(row, column) for row in range(rows) for column in range(columns)]


def _map(options: argparse.Namespace, fields: Fields) -> ImageStack:
    """Return the widths as an image whose pixels are tiles; NaN where a tile cannot tell."""
    import numpy as np

    from napari_cellrestore.stack import ImageStack

    (first, *_) = fields.values()
    y_um, x_um = (length * first.pixel_um for length in first.tile_px)
    several = len(fields) > 1
    maps = [field.fwhm_um.astype(np.float32) for field in fields.values()]
    return ImageStack(
        np.stack(maps) if several else maps[0],
        "CYX" if several else "YX",
        pixel_um=x_um,
        pixel_y_um=None if np.isclose(x_um, y_um) else y_um,
        channels=tuple(fields) if several else (),
        provenance={
            "generated": "full width at half maximum of the kernel of each tile, um; NaN where a tile cannot tell",
            "kernel": "absolute" if first.absolute else "relative: blurred over sharp",
            "images": options.images,
            "spread": {colour or "grey": field.spread for colour, field in fields.items()},
        },
    )
