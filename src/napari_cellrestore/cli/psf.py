"""``cellrestore psf``: recover the point-spread function from images, or measure it from beads."""

from __future__ import annotations

import argparse
import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_cellrestore.cli._common import add_axes, aligned, check_new, mind, naming, print_json

if TYPE_CHECKING:
    import numpy as np

    from napari_cellrestore.beads import BeadPsf
    from napari_cellrestore.objective import Objective
    from napari_cellrestore.recover import PsfRecovery
    from napari_cellrestore.stack import ImageStack

COLOURS = ("red", "green", "blue")
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


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.usage = "cellrestore psf SHARP BLURRED | STACK | --beads STACK [options]"
    parser.add_argument(
        "images",
        nargs="+",
        metavar="IMAGE",
        help="a sharp image and a blurred one of the same field; or one focus stack, whose planes go against the sharpest",
    )
    parser.add_argument("--beads", action="store_true", help="the stack shows beads: measure them")
    parser.add_argument("--pixel", type=float, metavar="UM", help="pixel size, where the file does not say")
    parser.add_argument("--z-step", type=float, metavar="UM", help="distance of planes, where the file does not say")
    parser.add_argument("--na", type=float, help="numerical aperture, for theory and the absolute kernel")
    parser.add_argument(
        "--wavelength", type=float, nargs="+", metavar="UM", help="wavelength, one or one each of red, green and blue"
    )
    parser.add_argument("--index", type=float, default=1.0, metavar="N", help="index of the immersion (1.0, air)")
    parser.add_argument("--method", default="radial", help="radial (if not given) or fourier")
    parser.add_argument("--mu", default="auto", help="weight of the prior: auto (if not given), gcv, or a number")
    parser.add_argument("--plane", type=int, nargs="+", metavar="K", help="planes of stacks that are used, from 0")
    parser.add_argument(
        "--colour", choices=COLOURS, help="of colour images; if not given, all of a pair and green of a stack"
    )
    add_axes(parser)
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="write kernels as TIFF and curves as tables there")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write what is printed as a table, in full precision")
    parser.add_argument("--json", action="store_true", help="print one line of JSON for each kernel")
    parser.add_argument(
        "--save-model", metavar="NAME", help="keep deconvolution by the relative kernel as a model for Restore"
    )


def run(options: argparse.Namespace) -> int:
    """Print a line for each kernel; write what is asked for."""
    if len(options.images) > 2 or (options.beads and len(options.images) != 1):
        wanted = "one stack" if options.beads else "a sharp and a blurred image, or one focus stack"
        raise ValueError(f"{len(options.images)} images were given: give {wanted}")
    if (options.na is None) != (options.wavelength is None):
        raise ValueError("--na and --wavelength go together: give both or none")
    _check_targets(options)
    if options.beads:
        return _beads(options)
    return _pair(options) if len(options.images) == 2 else _series(options)


def _check_targets(options: argparse.Namespace) -> None:
    """Refuse, before anything is computed, what exists already."""
    if options.csv:
        check_new(options.csv)
    if options.out:
        names = (
            ("bead_psf.ome.tif", "beads.csv") if options.beads else ("psf.ome.tif", "psf_absolute.ome.tif", "otf.csv")
        )
        if options.out.is_file():
            raise ValueError(f"--out {options.out} is a file: give a folder")
        for name in names:
            if (options.out / name).exists():
                raise ValueError(f"{options.out / name}: exists already; give another folder")
    if options.save_model:
        from napari_cellrestore.kernel_model import check_model_name

        check_model_name(options.save_model)


# --- two images ------------------------------------------------------------------------------------------------


def _pair(options: argparse.Namespace) -> int:
    from napari_cellrestore.recover import recover_psf

    sharp, blurred = (_open(path, options) for path in options.images)
    pixel_um = _pixel_um(options, sharp, blurred)
    pairs = _planes(options, sharp, blurred)
    colours = _colours(options, sharp.rgb and blurred.rgb, COLOURS)
    found: dict[str, PsfRecovery] = {}
    wrong: dict[str, ValueError] = {}
    for colour in colours:
        images, others = ([_grey(plane, colour) for plane in planes] for planes in pairs)
        optics = _objective(options, colour)
        try:
            found[colour] = recover_psf(images, others, pixel_um, objective=optics, **_how(options))
        except ValueError as error:
            wrong[colour] = error
    if not found:
        raise next(iter(wrong.values()))
    for colour, reason in wrong.items():
        mind(f"{colour}: {reason}")
    rows = [_row(recovery, colour=colour) for colour, recovery in found.items()]
    _say(options, rows)
    said = {"sharp": options.images[0], "blurred": options.images[1], "planes": options.plane}
    fields = {"channels": tuple(found)} if len(found) > 1 else {}
    kernels = list(found.values()), "C" if fields else "", fields
    _write(options, rows, kernels[0], said, [], kernels)
    if options.save_model:
        psfs = [recovery.psf for recovery in found.values()]
        if len(psfs) == 2:
            raise ValueError("--save-model needs one colour or three, two could be used: choose one with --colour")
        _save(options, psfs[0] if len(psfs) == 1 else psfs, pixel_um)
    return 0


def _planes(options: argparse.Namespace, *stacks: ImageStack) -> list[list[np.ndarray]]:
    """Return the planes of both files that go together; one plane goes with each of the other's."""
    from napari_cellrestore.kernels import check_plane

    several = max(stack.n_planes for stack in stacks)
    if several > 1 and not options.plane:
        raise ValueError(f"the files have {' and '.join(str(s.n_planes) for s in stacks)} planes: choose with --plane")
    chosen = [check_plane(plane, several) for plane in options.plane or [0]]
    taken = []
    for path, stack in zip(options.images, stacks, strict=True):
        planes = stack.data.reshape((stack.n_planes, *stack.data.shape[len(stack.plane_axes) :]))
        if stack.n_planes not in (1, several):
            raise ValueError(f"{path} has {stack.n_planes} planes, the other {several}: give one or as many")
        taken.append([planes[plane if stack.n_planes > 1 else 0] for plane in chosen])
    return taken


# --- a focus stack ---------------------------------------------------------------------------------------------


def _series(options: argparse.Namespace) -> int:
    from napari_cellrestore.focus import sharpest
    from napari_cellrestore.kernels import recover_series, relative_theory

    stack = _open(options.images[0], options)
    if stack.plane_axes != "Z":
        what = "one image: give a sharp and a blurred one" if stack.n_planes == 1 else f"axes {stack.axes}"
        raise ValueError(f"{options.images[0]} has {what}; a focus stack has planes along depth (Z), see --axes")
    if options.save_model and len(options.plane or ()) != 1:
        raise ValueError("--save-model keeps one kernel: choose its plane with --plane K")
    pixel_um = _pixel_um(options, stack)
    (colour,) = _colours(options, stack.rgb, ("green",))
    z_um = _z_um(options, stack)
    reference = sharpest(stack)
    if not options.json:
        print(f"sharpest: plane {reference}" + ("" if z_um is None else f" ({z_um[reference]:g} um)"), flush=True)
    found: dict[int, PsfRecovery] = {}
    for plane, recovery in recover_series(
        stack,
        pixel_um,
        reference=reference,
        planes=options.plane,
        colour=COLOURS.index(colour) if colour else 1,
        objective=_objective(options, colour),
        **_how(options),
    ):
        if isinstance(recovery, str):
            mind(f"plane {plane}: {recovery}")
        else:
            found[plane] = recovery
    if not found:
        raise ValueError(f"{options.images[0]}: no plane could be used but the sharpest, {reference}")
    rows, theories = [], []
    for plane, recovery in found.items():
        z = {} if z_um is None else {"z_um": float(z_um[plane])}
        rows.append(_row(recovery, plane=plane, **z))
        away_um = None if z_um is None or recovery.objective is None else abs(z_um[plane] - z_um[reference])
        theories.append(None if away_um is None else relative_theory(recovery, away_um))
    _say(options, rows)
    said = {"stack": options.images[0], "sharpest": reference}
    _write(options, rows, list(found.values()), said, theories, _series_images(found, reference, z_um))
    if options.save_model:
        (recovery,) = found.values()
        _save(options, recovery.psf, pixel_um)
    return 0


def _series_images(found: Mapping[int, PsfRecovery], reference: int, z_um: np.ndarray | None) -> Kernels:
    """Return the kernels along z, with that of the sharpest plane in its place."""
    from napari_cellrestore.kernels import sharp_kernel

    (first, *_) = found.values()
    planes = sorted([*found, reference])
    kernels = [found[plane] if plane in found else sharp_kernel(first) for plane in planes]
    return kernels, "Z", {} if z_um is None else {"z_um": z_um[planes]}


# --- beads -----------------------------------------------------------------------------------------------------


def _beads(options: argparse.Namespace) -> int:
    from napari_cellrestore.beads import measure_beads

    stack = _open(options.images[0], options)
    (colour,) = _colours(options, stack.rgb, ("green",))
    if colour:
        sample = COLOURS.index(colour)
        stack = stack.replace(data=stack.data[..., sample], axes=stack.axes.removesuffix("S"))
    found = measure_beads(stack, options.pixel, options.z_step, objective=_objective(options, colour))
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
        _write_rows(options.out / "beads.csv", rows)
    if options.csv:
        _write_rows(options.csv, rows)
    if options.save_model:
        middle = found.psf[len(found.psf) // 2]
        _save(options, middle / middle.sum(), found.pixel_um)
    return 0


def _say_beads(options: argparse.Namespace, found: BeadPsf, rows: Sequence[Row]) -> None:
    from napari_cellrestore.beads import reasons

    numbers = {
        "mean of the beads": found.mean_um,
        "standard deviation": found.std_um,
        "average bead": found.fwhm_um,
        **({} if found.expected_um is None else {"theory (scalar, widefield)": found.expected_um}),
    }
    if options.json:
        keys = {"mean_um": found.mean_um, "std_um": found.std_um, "fwhm_um": found.fwhm_um}
        said = {"expected_um": found.expected_um, "warnings": found.warnings, "beads": rows}
        print_json({"path": options.images[0], "n": len(found.used), **keys, **said})
    else:
        left = f"; {len(found.left_out)} left out: {reasons(found.beads)}" if found.left_out else ""
        print(f"{len(found.used)} beads used{left}")
        head = ["full width at half maximum (um)", "z", "y", "x"]
        print(aligned([head, *([name, *(f"{value:.3f}" for value in zyx)] for name, zyx in numbers.items())]))
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
        },
    )


# --- what the options say --------------------------------------------------------------------------------------


def _open(path: str, options: argparse.Namespace) -> ImageStack:
    from napari_cellrestore.files import open_stack

    try:
        return open_stack(path, axes=options.axes)
    except ValueError as error:
        raise ValueError(naming(path, error)) from error


def _pixel_um(options: argparse.Namespace, *stacks: ImageStack) -> float:
    if options.pixel is not None:
        return float(options.pixel)
    sizes = [size for stack in stacks if stack.pixel_yx_um is not None for size in stack.pixel_yx_um]
    if not sizes:
        raise ValueError("the pixel size is not known: give it with --pixel UM")
    if max(sizes) > 1.001 * min(sizes):
        raise ValueError(f"pixels of {min(sizes):g} and {max(sizes):g} um: give images of one size of square pixels")
    return sizes[0]


def _z_um(options: argparse.Namespace, stack: ImageStack) -> np.ndarray | None:
    import numpy as np

    if options.z_step is not None:
        return np.asarray(options.z_step * np.arange(stack.n_planes))
    return None if stack.z_um is None else np.asarray(stack.z_um)


def _colours(options: argparse.Namespace, rgb: bool, usual: Sequence[str]) -> Sequence[str]:
    """Return the colours that are used, "" of grey images."""
    if not rgb:
        return ("",)
    return (options.colour,) if options.colour else usual


def _objective(options: argparse.Namespace, colour: str) -> Objective | None:
    from napari_cellrestore.objective import Objective

    if options.na is None:
        return None
    if len(options.wavelength) not in (1, 3):
        raise ValueError(f"{len(options.wavelength)} wavelengths: give one, or three for red, green and blue")
    number = COLOURS.index(colour) if colour and len(options.wavelength) == 3 else 0
    return Objective(options.na, options.wavelength[number], options.index)


def _how(options: argparse.Namespace) -> dict[str, Any]:
    mu = options.mu
    if mu not in ("auto", "gcv"):
        try:
            mu = float(mu)
        except ValueError:
            raise ValueError(f"--mu {mu}: give auto, gcv or a positive number") from None
    return {"method": options.method, "mu": mu}


def _grey(plane: Any, colour: str) -> np.ndarray:
    import numpy as np

    plane = np.asarray(plane)
    if plane.ndim == 2:
        return np.asarray(plane)
    return np.asarray(plane[..., COLOURS.index(colour) if colour else 1])


# --- what is said and written ----------------------------------------------------------------------------------


def _row(found: PsfRecovery, **where: Any) -> Row:
    """Return the numbers of a kernel; with known optics also the defocus that fits."""
    from napari_cellrestore.kernels import best_defocus, summary

    row = {key: value for key, value in where.items() if value != ""} | summary(found)
    if found.objective is not None:
        row["defocus_um"] = best_defocus(found)[0]
    return row | {"frequency_per_um": found.frequency, "otf": found.otf, "otf_std": found.otf_std}


def _say(options: argparse.Namespace, rows: Sequence[Row]) -> None:
    if options.json:
        for row in rows:
            print_json({"images": options.images, **row})
    else:
        names = [name for name in COLUMNS if any(row.get(name) is not None for row in rows)]
        cells = [[_cell(row.get(name)) for name in names] for row in rows]
        print(aligned([[COLUMNS[name] for name in names], *cells]))
    for row in rows:
        where = " ".join(f"{key} {row[key]}" for key in ("colour", "plane") if key in row and len(rows) > 1)
        for text in row["warnings"]:
            mind(f"{where}: {text}" if where else text)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    return "" if value is None else str(value)


def _write(
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
        _write_rows(options.csv, [{name: row.get(name) for name in names} for row in rows])


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
    with path.open("x", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        for number, (row, recovery, theory) in enumerate(zip(rows, found, theories, strict=True)):
            head, lines = otf_rows(recovery, theory)
            if number == 0:
                writer.writerow([*where, *head])
            writer.writerows([*(row[name] for name in where), *line] for line in lines)


def _write_rows(path: Path, rows: Sequence[Row]) -> None:
    with path.open("x", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def _save(options: argparse.Namespace, psf: Any, pixel_um: float) -> None:
    from napari_cellrestore.kernel_model import save_kernel

    model = save_kernel(options.save_model, psf, pixel_um=pixel_um, said=f"kernel of {', '.join(options.images)}")
    if not options.json:
        print(f"model {model.card.name} saved in {model.folder}")
