"""From focus stacks as they were acquired to stacks for training: one z range, planes on top of one another.

The steps of Olofsson & Wagnström 2019 (section 2.1): z counts from the sharpest plane, stacks whose sharpest plane lies
outside an interval are discarded, all are trimmed to one z range, planes are aligned to the sharpest one, and a square
is cut out around the nucleus.
"""

from __future__ import annotations

import csv
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from napari_cellrestore.files import image_suffixes, open_stack, write_tiff
from napari_cellrestore.focus import FocusCurve, focus_curve
from napari_cellrestore.register import Roi, align_stack, common_area
from napari_cellrestore.segment import largest_nucleus, square_around
from napari_cellrestore.stack import ImageStack

#: Positions along z that differ by less are the same: stages do not set nanometres.
SAME_UM = 1e-3
#: Flags of a focus curve that leave no sharpest plane to go by.
USELESS = ("one plane", "flat")
#: The table that :func:`prepare_folder` writes beside the stacks.
TABLE = "prepared.csv"

Interval = tuple[float, float]


# --- steps ---------------------------------------------------------------------------------------------------


def recentre(stack: ImageStack, curve: FocusCurve | None = None) -> ImageStack:
    """Return the stack with z counted from its sharpest plane; pixels stay.

    Parameters
    ----------
    stack : ImageStack
        Of axes ZYX or ZYXS, with ``z_um``.
    curve : FocusCurve, optional
        As measured of this stack, for example of a part of the image. Default: that of whole planes.

    Examples
    --------
    >>> texture = np.random.default_rng(0).normal(size=(32, 32))
    >>> stack = ImageStack(np.stack([texture, 2 * texture, texture]), "ZYX", z_um=[0, 0.2, 0.4])
    >>> recentre(stack).z_um.tolist()
    [-0.2, 0.0, 0.2]
    """
    z_um = _positions(stack)
    curve = curve or focus_curve(stack)
    if len(curve.values) != len(z_um):
        raise ValueError(
            f"the curve has {len(curve.values)} planes, the stack {len(z_um)}: give the curve of this stack"
        )
    return stack.replace(z_um=np.round(z_um - z_um[curve.peak_index], 9) + 0.0)  # no -0.0


def peaks_within(curve: FocusCurve, low_um: float, high_um: float) -> bool:
    """Return whether the sharpest plane lies in an interval of z, ends included.

    The plane counts, as in Olofsson & Wagnström 2019, not the peak between planes.

    Examples
    --------
    >>> curve = FocusCurve(z_um=np.array([-0.2, 0, 0.2]), values=np.array([1, 3, 2.9]), peak_index=1, peak_um=0.1)
    >>> peaks_within(curve, -0.2, 0.0), peaks_within(curve, 0.05, 0.4)
    (True, False)
    """
    low_um, high_um = _interval((low_um, high_um), "the interval of peaks")
    if curve.z_unit != "um":
        raise ValueError("the curve counts planes: to ask for micrometres, give the stack z_um before it is measured")
    return bool(low_um - SAME_UM <= curve.z_um[curve.peak_index] <= high_um + SAME_UM)


@overload
def trim(stacks: ImageStack, low_um: float, high_um: float) -> ImageStack: ...
@overload
def trim(stacks: Sequence[ImageStack], low_um: float, high_um: float) -> list[ImageStack]: ...
def trim(stacks: ImageStack | Sequence[ImageStack], low_um: float, high_um: float) -> ImageStack | list[ImageStack]:
    """Return the planes of a stack, or of each stack of a list, from ``low_um`` to ``high_um``, ends included.

    Raises
    ------
    ValueError
        Where a stack does not reach both ends, or several do not have their planes at the same positions.

    Examples
    --------
    >>> stack = ImageStack(np.zeros((5, 16, 16)), "ZYX", z_um=[-0.4, -0.2, 0, 0.2, 0.4])
    >>> trim(stack, -0.2, 0.4).z_um.tolist()
    [-0.2, 0.0, 0.2, 0.4]
    """
    ends = _interval((low_um, high_um), "the z range")
    if isinstance(stacks, ImageStack):
        return _trimmed(stacks, *ends)
    trimmed = [_trimmed(stack, *ends) for stack in stacks]
    for number, stack in enumerate(trimmed):
        first, this = _positions(trimmed[0]), _positions(stack)
        if first.shape != this.shape or np.abs(first - this).max() > SAME_UM:
            raise ValueError(
                f"stack {number} has its planes at {_list_um(this)} um, stack 0 at {_list_um(first)} um: prepare stacks of "
                "one z step together, others on their own"
            )
    return trimmed


def _trimmed(stack: ImageStack, low_um: float, high_um: float) -> ImageStack:
    z_um = _positions(stack)
    if z_um.min() > low_um + SAME_UM or z_um.max() < high_um - SAME_UM:
        raise ValueError(
            f"planes from {z_um.min():g} to {z_um.max():g} um do not cover {low_um:g} to {high_um:g} um: choose a smaller "
            "z range or leave the stack out"
        )
    inside = np.flatnonzero((z_um >= low_um - SAME_UM) & (z_um <= high_um + SAME_UM))
    if not len(inside) or (np.diff(inside) != 1).any():
        raise ValueError(f"no planes, or planes out of order, from {low_um:g} to {high_um:g} um: z is {_list_um(z_um)}")
    return stack.select("Z", slice(int(inside[0]), int(inside[-1]) + 1))


# --- one stack -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Prepared:
    """A stack for training, or why there is none.

    Attributes
    ----------
    stack : ImageStack or None
        None where the stack was discarded.
    reason : str
        Why it was discarded; empty where it was kept.
    curve : FocusCurve or None
        As measured, against z as it was acquired, of the part that was cut out; None where none could be.
    shifts_px : (Z, 2) float array or None
        By how much the planes that are left were moved; None where they were not aligned.
    """

    stack: ImageStack | None
    reason: str = ""
    curve: FocusCurve | None = None
    shifts_px: npt.NDArray[np.float64] | None = None


def prepare_stack(
    stack: ImageStack,
    *,
    keep_um: Interval | None = (-0.2, 0.4),
    range_um: Interval | None = (-1.4, 1.2),
    align: bool = True,
    crop_px: int | None = None,
    jitter_px: float | None = None,
    rng: np.random.Generator | None = None,
) -> Prepared:
    """Prepare a focus stack for training (Olofsson & Wagnström 2019, section 2.1), or say why it is of no use.

    The square around the nucleus is chosen first and its sharpest plane found, as it may be another than that of
    the whole image. Then z is counted from it, planes are trimmed, whole planes are aligned to it, and the square is
    cut out of them. What a shift leaves empty at the borders is cut off, never filled.

    Parameters
    ----------
    stack : ImageStack
        Of axes ZYX or ZYXS, with ``z_um``; of dask pixels are moved and cut when they are asked for.
    keep_um : (float, float) or None
        Interval of z, as acquired, in which the sharpest plane must lie; None keeps all.
    range_um : (float, float) or None
        z range to trim to, from the sharpest plane; None leaves all planes.
    align : bool
        Whether to align planes, see :func:`napari_cellrestore.register.align_stack`.
    crop_px : int, optional
        Side of the square; default: the whole image.
    jitter_px, rng
        As in :func:`napari_cellrestore.segment.crop_around_nucleus`.

    Returns
    -------
    Prepared

    Raises
    ------
    ValueError
        Options that cannot be. What is wrong with the stack is not raised but the ``reason``.

    Examples
    --------
    >>> texture = np.random.default_rng(0).normal(size=(32, 32))
    >>> contrast = np.array([1, 2, 3, 2, 1.0])
    >>> stack = ImageStack(contrast[:, None, None] * texture, "ZYX", z_um=[-0.2, 0, 0.2, 0.4, 0.6])
    >>> prepare_stack(stack, range_um=(-0.2, 0.2)).stack.z_um.tolist()
    [-0.2, 0.0, 0.2]
    >>> prepare_stack(stack, keep_um=(-0.1, 0.1)).reason
    'sharpest at 0.2 um, outside -0.1 to 0.1 um'
    """
    _check_options(keep_um, range_um, crop_px, jitter_px, rng)
    curve: FocusCurve | None = None
    try:
        _check_pixels(stack)
        square = None if crop_px is None else _square(stack, crop_px, jitter_px, rng)
        curve = focus_curve(stack, roi=square)
        if reason := _useless(curve, keep_um):
            return Prepared(None, reason, curve)
        centred = recentre(stack, curve)
        ready = centred if range_um is None else trim(centred, *range_um)
        if not align or ready.size("Z") == 1:
            return Prepared(_cut(ready, square), "", curve)
        aligned, shifts_px = align_stack(ready, int(np.argmin(np.abs(_positions(ready)))))
        area = common_area(shifts_px, ready.yx_shape)
        return Prepared(_cut(aligned, area if square is None else _moved_inside(square, area)), "", curve, shifts_px)
    except ValueError as error:
        return Prepared(None, str(error), curve)


def _square(
    stack: ImageStack, crop_px: int, jitter_px: float | None, rng: np.random.Generator | None
) -> tuple[slice, slice]:
    nucleus = largest_nucleus(stack.select("Z", focus_curve(stack).peak_index))
    return square_around(nucleus.centroid_px, stack.yx_shape, crop_px, jitter_px, rng)


def _useless(curve: FocusCurve, keep_um: Interval | None) -> str:
    """Return why a curve cannot be used, nothing where it can."""
    if doubts := [flag for flag in curve.flags if flag in USELESS or flag.endswith("not finite")]:
        return f"focus curve: {', '.join(doubts)}"
    if keep_um is None or peaks_within(curve, *keep_um):
        return ""
    return f"sharpest at {curve.z_um[curve.peak_index]:g} um, outside {keep_um[0]:g} to {keep_um[1]:g} um"


def _moved_inside(square: Roi, area: Roi) -> Roi:
    """Return the square moved as little as needed to lie in the area."""
    moved = []
    for part, allowed in zip(square, area, strict=True):
        side = part.stop - part.start
        if side > allowed.stop - allowed.start:
            raise ValueError(
                f"a square of {side} px does not fit the {allowed.stop - allowed.start} px that the aligned planes have in "
                "common: choose a smaller one"
            )
        start = min(max(part.start, allowed.start), allowed.stop - side)
        moved.append(slice(start, start + side))
    return moved[0], moved[1]


def _cut(stack: ImageStack, part: Roi | None) -> ImageStack:
    if part is None or part == tuple(slice(0, length) for length in stack.yx_shape):
        return stack
    rows, columns = part
    made = {"cropped": {"rows": [rows.start, rows.stop], "columns": [columns.start, columns.stop]}}
    return stack.replace(data=stack.data[:, rows, columns], provenance={**stack.provenance, **made})


# --- a folder of stacks --------------------------------------------------------------------------------------


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
    paths = _sources(source, target)
    made_with = {"axes": axes, "seed": int(seed), **_plain_options(options)}
    target.mkdir(parents=True, exist_ok=True)
    outs = {name: target / f"{name}.ome.tif" for name in paths}
    done = {name: _row_of(out, made_with) for name, out in outs.items() if out.exists()}
    with (target / TABLE).open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow([field.name for field in fields(Row)])
        for name, path in paths.items():
            row = done.get(name) or _prepare_file(name, path, outs[name], made_with, options)
            table.writerow([_cell(getattr(row, field.name)) for field in fields(Row)])
            file.flush()
            yield row


def _sources(source: Path, target: Path) -> dict[str, Path]:
    """Return the stacks of a folder by name."""
    if not source.is_dir():
        raise ValueError(f"{source}: there is no such folder; give a folder of focus stacks")
    if target.exists() and not target.is_dir():
        raise ValueError(f"{target}: is a file; give a folder for the prepared stacks")
    if source.resolve() == target.resolve():
        raise ValueError(f"{target}: is the folder of the sources; give another folder for the prepared stacks")
    found: dict[str, Path] = {}
    for path in sorted(source.iterdir()):
        if path.name.startswith(".") or path.resolve() == target.resolve():
            continue
        if not path.is_dir() and path.suffix.lower() not in image_suffixes():
            continue
        name = path.name if path.is_dir() else path.stem.removesuffix(".ome")
        if name in found:
            raise ValueError(f"{found[name].name} and {path.name} would both become {name}.ome.tif: rename one")
        found[name] = path
    if not found:
        raise ValueError(f"{source}: no images in it; they end in {', '.join(image_suffixes())}")
    return found


def _prepare_file(name: str, path: Path, out: Path, made_with: dict[str, Any], options: dict[str, Any]) -> Row:
    rng = np.random.default_rng([made_with["seed"], zlib.crc32(name.encode())])
    try:
        stack = open_stack(path, axes=made_with["axes"])
    except ValueError as error:
        return Row(name, False, str(error))
    prepared = prepare_stack(stack, rng=rng, **options)
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
    _check_options(
        chosen["keep_um"], chosen["range_um"], chosen["crop_px"], chosen["jitter_px"], np.random.default_rng(0)
    )
    return {
        name: [float(end) for end in value] if isinstance(value, Sequence) else value for name, value in chosen.items()
    }


def _cell(value: object) -> object:
    return "" if value is None else int(value) if isinstance(value, bool) else value


# --- what came in --------------------------------------------------------------------------------------------


def _positions(stack: ImageStack) -> npt.NDArray[np.float64]:
    if "Z" not in stack.axes:
        raise ValueError(f"axes {stack.axes}, without depth (Z): give a focus stack, or say what its axes are")
    if stack.z_um is None:
        raise ValueError("the positions of its planes along z are not known: give z_um, one position for each plane")
    return np.asarray(stack.z_um, float)


def _check_pixels(stack: ImageStack) -> None:
    if stack.data.dtype.kind not in "uif":
        raise ValueError(f"pixels are {stack.data.dtype}: give grey levels, integer or float")
    _positions(stack)


def _interval(ends: Sequence[float], what: str) -> Interval:
    low, high = (float(end) for end in ends)
    if not (np.isfinite(low) and np.isfinite(high) and low <= high):
        raise ValueError(f"{what} is {low:g} to {high:g} um: give the lower end first, both finite")
    return low, high


def _check_options(
    keep_um: Interval | None,
    range_um: Interval | None,
    crop_px: int | None,
    jitter_px: float | None,
    rng: np.random.Generator | None,
) -> None:
    if keep_um is not None:
        _interval(keep_um, "keep_um")
    if range_um is not None:
        low, high = _interval(range_um, "range_um")
        if not low <= 0 <= high:
            raise ValueError(f"range_um is {low:g} to {high:g} um: it counts from the sharpest plane and must hold 0")
    if crop_px is not None:
        if isinstance(crop_px, bool) or int(crop_px) != crop_px or crop_px < 13:
            raise ValueError(f"crop_px is {crop_px}: give a whole number, 13 or more (the focus measure needs 13 px)")
        square_around((0, 0), (crop_px, crop_px), crop_px, jitter_px, rng)


def _list_um(z_um: npt.NDArray[np.float64]) -> str:
    return ", ".join(f"{z:g}" for z in z_um)
