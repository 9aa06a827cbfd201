"""What ``cellrestore psf`` prints of kernels, and the files it writes."""

from __future__ import annotations

import argparse
import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_cellrestore.cli._common import aligned, mind, new_table, print_json

if TYPE_CHECKING:
    import numpy as np

    from napari_cellrestore.recover import FieldRecovery, PsfRecovery

#: Columns that are printed: name in :func:`napari_cellrestore.kernels.summary`, head.
COLUMNS = {
    "colour": "colour",
    "plane": "plane",
    "z_um": "z (um)",
    "fwhm_um": "FWHM (um)",
    "absolute_fwhm_um": "absolute (um)",
    "defocus_um": "defocus that fits (um)",
    "trusted_to_per_um": "trusted to (1/um)",
    "smallest_period_um": "period (um)",
    "residual": "residual",
    "noise_sharp": "noise",
    "mu": "mu",
}
Row = dict[str, Any]
#: Kernels, the axis along which they are stacked, fields of the stack.
Kernels = tuple[list["PsfRecovery"], str, dict[str, Any]]


def row_of(found: PsfRecovery, field: FieldRecovery | None = None, **where: Any) -> Row:
    """Return the numbers of a kernel; with known optics also the defocus that fits."""
    from napari_cellrestore.kernels import best_defocus, summary

    row = {key: value for key, value in where.items() if value != ""} | summary(found)
    row["shift_px"] = found.shift_px
    if found.objective is not None:
        row["defocus_um"] = best_defocus(found)[0]
    if field is not None:
        row["field_fwhm_um"] = field.fwhm_um
    return row | {"frequency_per_um": found.frequency, "otf": found.otf, "otf_std": found.otf_std}


def say(options: argparse.Namespace, rows: Sequence[Row]) -> None:
    """Print a line for each kernel, and its doubts."""
    if options.json:
        for row in rows:
            print_json({"images": options.images, **row})
    else:
        names = [name for name in COLUMNS if any(row.get(name) is not None for row in rows)]
        cells = [[_cell(row.get(name)) for name in names] for row in rows]
        for row in rows:
            if "moved_px" in row:
                colour = f"{row['colour']}: " if "colour" in row else ""
                print("{}moved by {:.1f}, {:.1f} px (down, right) first".format(colour, *row["moved_px"]))
        print(aligned([[COLUMNS[name] for name in names], *cells]))
    for row in rows:
        where = " ".join(f"{key} {row[key]}" for key in ("colour", "plane") if key in row and len(rows) > 1)
        for text in row["warnings"]:
            mind(f"{where}: {text}" if where else text)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    return "" if value is None else str(value)


def write(
    options: argparse.Namespace,
    rows: Sequence[Row],
    found: Sequence[PsfRecovery],
    said: Mapping[str, Any],
    theories: Sequence[np.ndarray | None],
    kernels: Kernels,
) -> None:
    """Write kernels, curves and the table that was printed, where they are asked for."""
    from napari_cellrestore.kernels import best_defocus, described, kernel_stack

    if options.out:
        from napari_cellrestore.files import write_tiff

        options.out.mkdir(parents=True, exist_ok=True)
        provenance = {**(described(found[0]) if len(found) == 1 else described_all(found)), **said}
        images, axis, fields = kernels
        write_tiff(options.out / "psf.ome.tif", kernel_stack(images, axis, provenance=provenance, **fields))
        if found[0].objective is not None:
            provenance["kernel"] = "absolute: of the defocused microscope, sum 1 over the frame"
            image = kernel_stack(images, axis, absolute=True, provenance=provenance, **fields)
            write_tiff(options.out / "psf_absolute.ome.tif", image)
            theories = theories or [best_defocus(recovery)[1] for recovery in found]
        if not any(theory is not None for theory in theories):
            theories = [None] * len(found)
        _write_curves(options.out / "otf.csv", rows, found, theories)
    if options.csv:
        names = [name for name in (*COLUMNS, "noise_blurred", "method") if any(name in row for row in rows)]
        write_rows(options.csv, [{name: row.get(name) for name in names} for row in rows])


def described_all(found: Sequence[PsfRecovery]) -> dict[str, Any]:
    """Return how several kernels were made, lists in their order."""
    from napari_cellrestore.kernels import described

    each = [described(recovery) for recovery in found]
    lists = {key: [said.get(key) for said in each] for key in ("fwhm_um", "mu", "warnings")}
    return {key: each[0][key] for key in ("generated", "kernel", "optics", "method")} | lists


def _write_curves(
    path: Path, rows: Sequence[Row], found: Sequence[PsfRecovery], theories: Sequence[np.ndarray | None]
) -> None:
    from napari_cellrestore.kernels import otf_rows

    where = [name for name in ("colour", "plane", "z_um") if name in rows[0]]
    with new_table(path) as file:
        writer = csv.writer(file)
        for number, (row, recovery, theory) in enumerate(zip(rows, found, theories, strict=True)):
            head, lines = otf_rows(recovery, theory)
            if number == 0:
                writer.writerow([*where, *head])
            writer.writerows([*(row[name] for name in where), *line] for line in lines)


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """Write a table into a new file."""
    with new_table(path) as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def save(options: argparse.Namespace, psf: Any, pixel_um: float) -> None:
    """Keep deconvolution by a kernel as a model."""
    from napari_cellrestore.kernel_model import save_kernel

    model = save_kernel(options.save_model, psf, pixel_um=pixel_um, said=f"kernel of {', '.join(options.images)}")
    if not options.json:
        print(f"model {model.card.name} saved in {model.folder}")
