"""A folder of focus stacks made ready for training, and the table that says what became of each."""

from __future__ import annotations

import csv
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from glob import escape
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_cellrestore.files import image_name, image_suffixes, open_stack, write_tiff
from napari_cellrestore.files.places import check_folder
from napari_cellrestore.prepare.stack import Prepared, check_options, prepare_stack
from napari_cellrestore.prepare.steps import SAME_UM, list_um, positions
from napari_cellrestore.stack import ImageStack

#: The table that :func:`prepare_folder` writes beside the stacks.
TABLE = "prepared.csv"


@dataclass(frozen=True)
class Row:
    """What became of one stack: a row of the table.

    ``sharpest`` is the plane and ``peak_um`` its position between planes, both as acquired; ``shift_px`` is the longest
    shift of a plane. None where not measured.
    """

    stack: str
    kept: bool
    reason: str = ""
    sharpest: int | None = None
    peak_um: float | None = None
    shift_px: float | None = None
    flags: str = ""


def prepare_folder(
    source: str | Path, target: str | Path, *, axes: str | None = None, seed: int = 0, **options: Any
) -> Iterator[Row]:
    """Prepare every focus stack of a folder and write the kept ones, yielding a row for each.

    Writes ``<name>.ome.tif`` for each kept stack, whole or not at all, and the table ``prepared.csv``, complete up to the
    row that was yielded last. To go on after a stop, call it again: stacks that are there are not made again.
    With a z range, a stack is left out where its levels are not those of the first that was kept: one is missing, or
    the z step is another.

    Parameters
    ----------
    source : path
        Folder of image files, or of folders with one plane a file; taken in the order of their names.
    target : path
        Folder for the results, made if needed; not the source.
    axes : str, optional
        What the axes of the files are, where they do not say, see :func:`napari_cellrestore.files.open_stack`.
    seed : int
        Of the random offsets; those of a stack depend on its name too, not on what else is in the folder.
    **options
        Of :func:`prepare_stack`, but ``rng``.

    Yields
    ------
    Row
        ``kept``, or the ``reason`` why not: also files that cannot be opened, which do not stop the others.

    Raises
    ------
    ValueError
        Folders and options that cannot be, two stacks of one name, a file in the target that was made otherwise.
    OSError
        Where nothing can be written.
    """
    source, target = Path(source), Path(target)
    paths = stacks_in(source, target)
    made_with = {"axes": axes, "seed": int(seed), **_plain_options(options)}
    target.mkdir(parents=True, exist_ok=True)
    outs = {name: target / f"{name}.ome.tif" for name in paths}
    done = {name: _row_of(out, made_with) for name, out in outs.items() if out.exists()}
    _remove_unfinished(outs.values())
    levels_um = None
    with (target / TABLE).open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow([field.name for field in fields(Row)])
        for name, path in paths.items():
            row = done.get(name) or _prepare_file(name, path, outs[name], made_with, options, levels_um)
            if levels_um is None and row.kept and made_with["range_um"] is not None:
                levels_um = positions(open_stack(outs[name]))
            table.writerow([_cell(getattr(row, field.name)) for field in fields(Row)])
            file.flush()
            yield row


def stacks_in(source: str | Path, target: str | Path) -> dict[str, Path]:
    """Return the stacks of a folder by name, as :func:`prepare_folder` takes them; ValueError for folders that cannot be."""
    source, target = Path(source), Path(target)
    check_folder(source, "focus stacks")
    if target.exists() and not target.is_dir():
        raise ValueError(f"{target}: is a file; give a folder for the prepared stacks")
    if source.resolve() == target.resolve():
        raise ValueError(f"{target}: is the folder of the sources; give another folder for the prepared stacks")
    if target.is_dir() and not (target / TABLE).exists() and any(one.name[0] != "." for one in target.iterdir()):
        raise ValueError(f"{target}: holds other things than prepared stacks; give a new folder for them")
    found: dict[str, Path] = {}
    for path in sorted(source.iterdir()):
        if path.name.startswith(".") or path.resolve() == target.resolve():
            continue
        if not path.is_dir() and path.suffix.lower() not in image_suffixes():
            continue
        name = image_name(path)
        if name in found:
            raise ValueError(f"{found[name].name} and {path.name} would both become {name}.ome.tif: rename one")
        found[name] = path
    if not found:
        raise ValueError(f"{source}: no images in it; they end in {', '.join(image_suffixes())}")
    return found


def _remove_unfinished(outs: Iterable[Path]) -> None:
    """Remove what a run that was killed while it wrote left of files."""
    for out in outs:
        for part in out.parent.glob(f".{escape(out.name)}.*.part"):
            part.unlink()


def _prepare_file(
    name: str,
    path: Path,
    out: Path,
    made_with: dict[str, Any],
    options: dict[str, Any],
    levels_um: npt.NDArray[np.float64] | None,
) -> Row:
    rng = np.random.default_rng([made_with["seed"], zlib.crc32(name.encode())])
    try:
        stack = open_stack(path, axes=made_with["axes"])
    except ValueError as error:
        return Row(name, False, str(error))
    prepared = prepare_stack(stack, rng=rng, **options)
    if prepared.stack is not None and levels_um is not None and (reason := _other_levels(prepared.stack, levels_um)):
        prepared = replace(prepared, stack=None, reason=reason)
    row = _row(name, prepared)
    if prepared.stack is None:
        return row
    said = {"row": vars(row), "options": made_with}
    result = prepared.stack.replace(provenance={**prepared.stack.provenance, "prepared": said, "source": path.name})
    try:
        write_tiff(out, result)
    except ValueError as error:  # a plane that cannot be read, pixels that TIFF does not hold
        return Row(**{**vars(row), "kept": False, "reason": str(error)})
    return row


def _other_levels(stack: ImageStack, levels_um: npt.NDArray[np.float64]) -> str:
    """Return in what the positions of planes differ from those of the stacks before, nothing where they do not."""
    far = np.abs(positions(stack)[:, None] - levels_um) > SAME_UM
    missing, added = levels_um[far.all(axis=0)], positions(stack)[far.all(axis=1)]
    said = [f"no plane at {list_um(missing)} um"] * bool(len(missing))
    said += [f"planes at {list_um(added)} um"] * bool(len(added))
    return f"{' and '.join(said)}, unlike the stacks before" if said else ""


def _row(name: str, prepared: Prepared) -> Row:
    curve, shifts_px = prepared.curve, prepared.shifts_px
    return Row(
        name,
        kept=prepared.stack is not None,
        reason=prepared.reason,
        sharpest=None if curve is None else curve.peak_index,
        peak_um=None if curve is None else round(float(curve.peak_um), 6),
        shift_px=None if shifts_px is None else round(float(np.hypot(*shifts_px.T).max()), 3),
        flags="" if curve is None else "; ".join(curve.flags),
    )


def _row_of(out: Path, made_with: dict[str, Any]) -> Row:
    """Return the row of a stack that was prepared before, from what its file says."""
    said = open_stack(out).provenance.get("prepared")
    if not said:
        raise ValueError(
            f"{out}: a file of this name is there and was not made by prepare; move it, or give another folder"
        )
    if said["options"] != made_with:
        raise ValueError(
            f"{out}: was prepared with {said['options']}, not {made_with}; give another folder, or delete it"
        )
    return Row(**said["row"])


def _plain_options(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options, checked, as JSON gives them back."""
    defaults = prepare_stack.__kwdefaults__ or {}
    allowed = [name for name in defaults if name != "rng"]
    if unknown := sorted(set(options) - set(allowed)):
        raise TypeError(f"unknown options {', '.join(unknown)}: use {', '.join(allowed)}")
    chosen = {name: options.get(name, defaults[name]) for name in allowed}
    check_options(
        chosen["keep_um"], chosen["range_um"], chosen["crop_px"], chosen["jitter_px"], np.random.default_rng(0)
    )
    return {
        name: [float(end) for end in value] if isinstance(value, Sequence) else value for name, value in chosen.items()
    }


def _cell(value: object) -> object:
    return "" if value is None else int(value) if isinstance(value, bool) else value
