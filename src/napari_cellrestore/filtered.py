"""Classical filters on whole stacks: every plane by itself, lazily, in the type and grey levels of the input.

The filters themselves, of one image, are in :mod:`napari_cellrestore.filters`. Those that undo a known blur are not here:
a kernel is kept as a model (:mod:`napari_cellrestore.kernel_model`), and restored with.
"""

from __future__ import annotations

from collections.abc import Mapping
from inspect import signature
from numbers import Real
from typing import Any

import dask.array as da
import numpy as np
from scipy import ndimage

from napari_cellrestore.filters import FILTERS
from napari_cellrestore.scan_lines import LineOffset, estimate_line_offset, undo_shear
from napari_cellrestore.stack import ImageStack

Array = np.ndarray

#: The filters that need nothing but the image, by name.
IMAGE_FILTERS = {name: known for name, known in FILTERS.items() if not known.needs_psf}
#: The one whose offset is measured where it is not given.
SHEAR = "undo_scan_shear"
#: What made an image, in its provenance.
STEP = "filter"
#: Planes that the shear of a stack is measured on, at most.
MEASURED_PLANES = 8


def filter_stack(stack: ImageStack, name: str, **options: float | None) -> ImageStack:
    """Return a stack whose planes are filtered when they are read.

    Each plane, and each of its colours, is filtered by itself and as a whole, in single precision. Integers are rounded and
    limited to the range of their type, as a camera's are; alpha stays. Pixels that are not finite are NaN in the result, and
    count as the nearest known pixel for those around them.

    Parameters
    ----------
    stack : ImageStack
        Integers or floats, numpy or dask.
    name : str
        One of :data:`IMAGE_FILTERS`.
    **options : float
        Of the filter, see :func:`filter_options`. Without ``offset_px`` a shear is measured once for the whole stack
        (:func:`measure_shear`); where none is found the planes stay as they are, and the notes say so.

    Returns
    -------
    ImageStack
        Lazy, one block a plane, with the calibration of the input. The provenance says which filter, with which options,
        and what was measured.

    Examples
    --------
    >>> stack = ImageStack(np.full((3, 20, 30), 7, np.uint8), "ZYX", pixel_um=0.1)
    >>> filter_stack(stack, "median", size_px=5)
    <ImageStack Z 3 x Y 20 x X 30, uint8, 0.1 um/px>
    """
    _check_stack(stack)
    used = filter_options(name, **options)
    _check_sizes(used, stack, name)
    found = measure_shear(stack) if name == SHEAR and used["offset_px"] is None else None
    if found is not None:
        used["offset_px"] = found.to_undo_px
    data = _by_planes(stack)
    stays = name == SHEAR and used["offset_px"] == 0
    if not stays:
        data = data.map_blocks(
            _filter_block, which=name, options=used, rgb=stack.rgb, dtype=data.dtype, meta=data._meta
        )
    notes = (f"{found}: the image stays as it is",) if found is not None and stays else ()
    return stack.replace(data=data, notes=notes, provenance=_provenance(stack, name, used, found, stays))


def filter_options(name: str, **given: float | None) -> dict[str, Any]:
    """Return the options of a filter: those given, and the defaults of the others.

    Examples
    --------
    >>> filter_options("unsharp", amount=2)
    {'sigma_px': 2.0, 'amount': 2.0}
    """
    known = FILTERS.get(name)
    if known is None or known.needs_psf:
        needs = " needs a kernel, which is kept as a model and restored with;" if known else " is not known:"
        raise ValueError(f"filter {name!r}{needs} filters of an image alone are {', '.join(IMAGE_FILTERS)}")
    parameters = signature(known.function).parameters.values()
    defaults = {one.name: one.default for one in parameters if one.kind is one.KEYWORD_ONLY}
    if unknown := sorted(set(given) - set(defaults)):
        raise ValueError(f"filter {name!r} has no option {', '.join(unknown)}: it has {_text(defaults)}")
    return {**defaults, **{option: _number(option, value, defaults[option]) for option, value in given.items()}}


def measure_shear(stack: ImageStack) -> LineOffset:
    """Measure how far every second line lies beside the others, one offset for all planes.

    At most :data:`MEASURED_PLANES` planes are read, spread over the stack, and measured together
    (:func:`~napari_cellrestore.scan_lines.estimate_line_offset`). Planes with pixels that are not finite are left out.

    Examples
    --------
    >>> scene = ndimage.gaussian_filter(np.random.default_rng(0).normal(100, 50, (3, 64, 96)), (0, 1.5, 1.5))
    >>> scene[:, 1::2] = np.roll(scene[:, 1::2], 2, axis=2)
    >>> print(measure_shear(ImageStack(scene, "ZYX")))
    shear of 2.00 ± 0.00 px
    """
    _check_stack(stack)
    places = list(np.ndindex(*stack.data.shape[: len(stack.plane_axes)]))
    spread = np.unique(np.linspace(0, len(places) - 1, MEASURED_PLANES).round().astype(int))
    planes = [_colours(np.asarray(stack.data[places[number]]), stack.rgb) for number in spread]
    whole = [plane for plane in planes if np.isfinite(plane).all()]
    if not whole:
        return LineOffset(np.nan, np.inf, "pixels are missing (not finite) in every plane that was looked at")
    return estimate_line_offset(whole)


# --- planes --------------------------------------------------------------------------------------------------


def _by_planes(stack: ImageStack) -> da.Array:
    """Return the pixels as a lazy array of one block a plane; those in memory are not hashed, which would take long."""
    data, leading = stack.data, len(stack.plane_axes)
    chunks = {axis: 1 if axis < leading else -1 for axis in range(data.ndim)}
    return (
        data.rechunk(chunks) if isinstance(data, da.Array) else da.from_array(data, tuple(chunks.values()), name=False)
    )


def _filter_block(block: Array, *, which: str, options: Mapping[str, Any], rgb: bool) -> Array:
    """Filter the plane of a block; alpha stays."""
    plane = block.reshape(block.shape[block.ndim - 2 - rgb :])
    colours = _colours(plane, rgb)
    missing = ~np.isfinite(colours)
    result = plane.copy()
    filtered = IMAGE_FILTERS[which](_filled(colours, missing), **options)
    _colours(result, rgb)[...] = _like(filtered, plane.dtype)
    if missing.any():
        _colours(result, rgb)[_missing_after(missing, which, options)] = np.nan
    return result.reshape(block.shape)


def _colours(plane: Array, rgb: bool) -> Array:
    """Return the part of a plane that is not alpha."""
    return plane[..., :3] if rgb else plane


def _filled(colours: Array, missing: Array) -> Array:
    """Return a plane in which the nearest known pixel of its colour stands in for those that are missing."""
    if not missing.any():
        return colours
    filled = colours.copy()
    for colour in np.ndindex(colours.shape[2:]):
        grey, gone = filled[..., *colour], missing[..., *colour]
        nearest = ndimage.distance_transform_edt(gone, return_distances=False, return_indices=True)
        grey[...] = 0 if gone.all() else grey[tuple(nearest)]
    return filled


def _missing_after(missing: Array, which: str, options: Mapping[str, Any]) -> Array:
    """Return which pixels of the result are missing: those of the input, moved along with their lines."""
    if which != SHEAR:
        return missing
    ends = np.floor(options["offset_px"]), np.ceil(options["offset_px"])  # between them a pixel is made of both
    return np.asarray(np.any([undo_shear(missing, end) > 0.5 for end in ends], axis=0))


def _like(filtered: Array, dtype: np.dtype) -> Array:
    """Return grey levels in a type: integers rounded and limited to their range."""
    if dtype.kind not in "iu":
        return np.asarray(filtered, dtype)
    info = np.iinfo(dtype)
    levels = filtered if dtype.itemsize <= 2 else filtered.astype(np.float64)  # float32 cannot hold its limits
    return np.asarray(np.clip(np.rint(levels), info.min, info.max).astype(dtype))


# --- what is said of the result ------------------------------------------------------------------------------


def _provenance(
    stack: ImageStack, name: str, used: Mapping[str, Any], found: LineOffset | None, stays: bool
) -> dict[str, Any]:
    label = IMAGE_FILTERS[name].label
    made: dict[str, Any] = {"step": STEP, "filter": name, "options": dict(used)}
    made["computed"] = (
        "nothing, the pixels are those of the source" if stays else f"by the filter {label}, not recorded"
    )
    if found is not None:
        measured = {"offset_px": found.offset_px, "error_px": found.error_px}
        numbers = {key: value if np.isfinite(value) else None for key, value in measured.items()}  # JSON has no NaN
        made["measured"] = {**numbers, "found": found.found, "said": str(found)}
    made |= {"source": stack.source, "source_provenance": dict(stack.provenance)}
    if "generated" in stack.provenance:  # what is made from generated pixels is generated
        made["generated"] = stack.provenance["generated"]
    return made


def _text(options: Mapping[str, Any]) -> str:
    """Return options in words.

    >>> _text({"sigma_px": 2.0, "offset_px": None})
    'sigma_px 2, offset_px measured'
    """
    return ", ".join(f"{key} {'measured' if value is None else f'{value:g}'}" for key, value in options.items())


# --- what came in --------------------------------------------------------------------------------------------


def _check_stack(stack: ImageStack) -> None:
    if stack.data.dtype.kind not in "iuf":
        raise TypeError(f"image is {stack.data.dtype}: grey levels must be integers or floating point")


def _number(option: str, value: Any, default: Any) -> float | int | None:
    if value is None and default is None:
        return None
    number = np.nan if isinstance(value, bool) or not isinstance(value, Real) else float(value)
    if not np.isfinite(number):
        raise ValueError(f"{option} is {value!r}: give a number")
    return int(number) if isinstance(default, int) and number.is_integer() else number


def _check_sizes(used: Mapping[str, Any], stack: ImageStack, name: str) -> None:
    """Raise ValueError where options are wider than the image, or the filter itself would refuse them."""
    longest = max(stack.yx_shape)
    for option, value in used.items():
        if option.endswith("_px") and value is not None and abs(value) > longest:
            raise ValueError(f"{option} is {value:g}: give at most the {longest} px of the image")
    IMAGE_FILTERS[name](np.zeros((2, stack.size("X")), np.float32), **used)
