"""``cellrestore psf --beads``: the point-spread function from a stack of beads."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from napari_cellrestore.cli._common import aligned, mind, print_json
from napari_cellrestore.cli.psf.options import COLOURS, colours_of, objective_of, open_image
from napari_cellrestore.cli.psf.output import Row, save, write_rows

if TYPE_CHECKING:
    from napari_cellrestore.beads import BeadPsf
    from napari_cellrestore.stack import ImageStack


def run_beads(options: argparse.Namespace) -> int:
    """Measure the beads of a stack."""
    from napari_cellrestore.beads import measure_beads

    stack = open_image(options.images[0], options)
    (colour,) = colours_of(options, stack.rgb, ("green",))
    if colour:
        sample = COLOURS.index(colour)
        stack = stack.replace(data=stack.data[..., sample], axes=stack.axes.removesuffix("S"))
    optics = objective_of(options, colour)
    found = measure_beads(stack, options.pixel, options.z_step, objective=optics, diameter_um=options.diameter)
    rows: list[Row] = [
        dict(zip(("z_px", "y_px", "x_px"), bead.zyx_px, strict=True))
        | {"peak": bead.peak}
        | dict(zip(("fwhm_z_um", "fwhm_y_um", "fwhm_x_um"), bead.fwhm_um, strict=True))
        | {"left_out": bead.reason}
        for bead in found.beads
    ]
    _say_beads(options, found, rows)
    if options.out:
        from napari_cellrestore.files import write_tiff

        options.out.mkdir(parents=True, exist_ok=True)
        write_tiff(options.out / "bead_psf.ome.tif", _bead_image(found, options.images[0]))
        write_rows(options.out / "beads.csv", rows)
    if options.csv:
        write_rows(options.csv, rows)
    if options.save_model:
        middle = found.psf[len(found.psf) // 2]
        save(options, middle / middle.sum(), found.pixel_um)
    return 0


def _say_beads(options: argparse.Namespace, found: BeadPsf, rows: Sequence[Row]) -> None:
    from napari_cellrestore.beads import reasons

    numbers = {
        "mean of the beads": found.mean_um,
        "standard deviation": found.std_um,
        "average bead": found.fwhm_um,
        **({} if found.corrected_um is None else {"mean without the beads' size": found.corrected_um}),
        **({} if found.expected_um is None else {"theory (scalar, widefield)": found.expected_um}),
    }
    if options.json:
        keys: Row = {"mean_um": found.mean_um, "std_um": found.std_um, "fwhm_um": found.fwhm_um}
        keys |= {"diameter_um": found.diameter_um, "corrected_um": found.corrected_um}
        said = {"expected_um": found.expected_um, "warnings": found.warnings, "beads": rows}
        print_json({"path": options.images[0], "n": len(found.used), **keys, **said})
    else:
        left = f"; {len(found.left_out)} left out: {reasons(found.beads)}" if found.left_out else ""
        print(f"{len(found.used)} beads used{left}")
        head = ["full width at half maximum (um)", "z", "y", "x"]
        print(aligned([head, *([name, *(f"{value:.3f}" for value in zyx)] for name, zyx in numbers.items())]))
        if found.diameter_um is None:
            print("the beads' own size is in these widths: their diameter is not known (--diameter UM)")
    for text in found.warnings:
        mind(text)


def _bead_image(found: BeadPsf, path: str) -> ImageStack:
    import numpy as np

    from napari_cellrestore.stack import ImageStack

    half = len(found.psf) // 2
    return ImageStack(
        found.psf.astype(np.float32),
        "ZYX",
        pixel_um=found.pixel_um,
        z_um=[found.z_step_um * step for step in range(-half, half + 1)],
        provenance={
            "generated": f"point-spread function: average of {len(found.used)} beads, aligned, without background, sum 1",
            "stack": path,
            "fwhm_um": found.fwhm_um,
            "mean_um": found.mean_um,
            "std_um": found.std_um,
            "diameter_um": found.diameter_um,
            "corrected_um": found.corrected_um,
        },
    )
