"""Stacks as OME-TIFF, plane by plane, with their calibration and how they were made."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile

from napari_cellrestore.files.calibration import SAVED
from napari_cellrestore.files.planes import WHOLE_PLANE_BYTES
from napari_cellrestore.stack import ImageStack

#: Types of pixels that OME-TIFF can hold.
DTYPES = ("uint8", "uint16", "uint32", "int8", "int16", "int32", "float32", "float64")
#: A classic TIFF addresses 4 GiB; some are left for directories.
CLASSIC_BYTES = 2**32 - 2**25
#: Side of the tiles of planes that are too large to be computed whole.
TILE_PX = 512


def write_tiff(path: str | os.PathLike[str], stack: ImageStack, *, overwrite: bool = False) -> Path:
    """Write a stack as OME-TIFF, which :func:`~napari_cellrestore.files.open_stack` opens as the same stack.

    Pixel size, positions along Z (also uneven ones), channel names, axes, LED table and provenance are kept. Planes
    are computed and written one after the other, large ones in tiles by rows of blocks, to a temporary file that takes the
    name at the end: a file of that name is always complete. Beyond 4 GB it is a BigTIFF.

    Parameters
    ----------
    path : path
        Ends in ``.tif`` or ``.tiff``.
    stack : ImageStack
        Integers up to 32 bits or float of 32 or 64.
    overwrite : bool
        Replace an existing file; never the one that the stack comes from.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ValueError
        For another type of pixels or suffix, and where a file would be lost.

    Examples
    --------
    >>> import tempfile
    >>> from napari_cellrestore.files import open_stack
    >>> stack = ImageStack(np.zeros((3, 16, 16), np.float32), "ZYX", pixel_um=0.1, z_um=[-0.2, 0, 0.3])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     open_stack(write_tiff(folder + "/cells.ome.tif", stack)).z_um.tolist()
    [-0.2, 0.0, 0.3]
    """
    path = Path(path)
    check_tiff(path, stack, overwrite=overwrite)
    unfinished = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        tifffile.imwrite(unfinished, _pixels(stack), ome=True, **_layout(stack), metadata=_metadata(stack))
        os.replace(unfinished, path)
    except tifffile.OmeXmlError as error:
        raise ValueError(
            f"{path.name}: OME-TIFF cannot hold the axes {stack.axes} ({error}); select a plane along one of them first"
        ) from None
    finally:
        with suppress(FileNotFoundError):
            unfinished.unlink()
    return path


def check_tiff(path: str | os.PathLike[str], stack: ImageStack, *, overwrite: bool = False) -> None:
    """Raise ValueError where :func:`write_tiff` would not begin."""
    path = Path(path)
    _check_target(path, stack, overwrite)
    if stack.data.dtype.name not in DTYPES:
        raise ValueError(
            f"{path.name}: pixels are {stack.data.dtype}, OME-TIFF holds {', '.join(DTYPES)}; convert them first"
        )


def _check_target(path: Path, stack: ImageStack, overwrite: bool) -> None:
    if path.suffix.lower() not in (".tif", ".tiff"):
        raise ValueError(f"{path.name}: stacks are written as TIFF; give a name that ends in .tif")
    if not path.parent.is_dir():
        raise ValueError(f"{path.name}: there is no folder {path.parent}; make it first")
    if not path.exists():
        return
    source = Path(stack.source) if stack.source else None
    if source is not None and source.exists() and (path.samefile(source) or path.parent.samefile(source)):
        raise ValueError(f"{path.name}: the stack comes from this file; give another name")
    if not overwrite:
        raise ValueError(f"{path.name}: the file exists; give another name or overwrite=True")


def iter_planes(stack: ImageStack) -> Iterator[npt.NDArray[Any]]:
    """Yield the planes in the order of the axes, each computed by itself."""
    for index in np.ndindex(stack.data.shape[: len(stack.plane_axes)]):
        yield np.ascontiguousarray(stack.data[index])


def iter_tiles(stack: ImageStack) -> Iterator[npt.NDArray[Any]]:
    """Yield square tiles of every plane, row by row; those at the end of a row or of the plane are smaller.

    What is computed at a time are the rows of one row of blocks, so that no block is computed twice.
    """
    for index in np.ndindex(stack.data.shape[: len(stack.plane_axes)]):
        plane = stack.data[index]
        rest = np.empty((0, *plane.shape[1:]), plane.dtype)
        for rows in _rows_of_blocks(plane):
            rest = np.concatenate([rest, np.asarray(plane[rows])])
            while len(rest) >= TILE_PX or (len(rest) and rows.stop == len(plane)):
                for left in range(0, plane.shape[1], TILE_PX):
                    yield rest[:TILE_PX, left : left + TILE_PX]
                rest = rest[TILE_PX:]


def _rows_of_blocks(plane: Any) -> Iterator[slice]:
    """Yield the rows that each row of blocks covers; of an array in memory those of a tile."""
    sizes = (
        plane.chunks[0] if hasattr(plane, "chunks") else [TILE_PX] * (len(plane) // TILE_PX) + [len(plane) % TILE_PX]
    )
    stop = 0
    for size in filter(None, sizes):
        stop += size
        yield slice(stop - size, stop)


def _in_tiles(stack: ImageStack) -> bool:
    return stack.data.nbytes // stack.n_planes > WHOLE_PLANE_BYTES


def _pixels(stack: ImageStack) -> Iterator[npt.NDArray[Any]]:
    return iter_tiles(stack) if _in_tiles(stack) else iter_planes(stack)


def _layout(stack: ImageStack) -> dict[str, Any]:
    """Return how the pixels are stored."""
    sizes = [-(-n // TILE_PX) * TILE_PX if _in_tiles(stack) else n for n in stack.yx_shape]
    stored_bytes = stack.n_planes * sizes[0] * sizes[1] * stack.size("S") * stack.data.dtype.itemsize
    layout: dict[str, Any] = {
        "shape": stack.data.shape,
        "dtype": stack.data.dtype,
        "photometric": "rgb" if stack.rgb else "minisblack",
        "bigtiff": stored_bytes > CLASSIC_BYTES,
    }
    if _in_tiles(stack):
        layout["tile"] = (TILE_PX, TILE_PX)
    if stack.rgb:
        layout |= {"planarconfig": "contig", "extrasamples": ["unassalpha"] if stack.size("S") == 4 else None}
    return layout


def _metadata(stack: ImageStack) -> dict[str, Any]:
    """Return what OME-XML says of the stack; its description holds what OME has no words for."""
    metadata: dict[str, Any] = {"axes": stack.axes, "Description": json.dumps({SAVED: _saved(stack)}, default=_plain)}
    if stack.pixel_yx_um is not None:
        y_um, x_um = stack.pixel_yx_um
        metadata |= {"PhysicalSizeX": x_um, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": y_um, "PhysicalSizeYUnit": "µm"}
    if stack.z_um is not None:
        if stack.z_step_um:
            metadata |= {"PhysicalSizeZ": stack.z_step_um, "PhysicalSizeZUnit": "µm"}
        z_um = _of_each_plane(stack, "Z", np.asarray(stack.z_um))
        metadata["Plane"] = {"PositionZ": z_um, "PositionZUnit": ["µm"] * len(z_um)}
    if stack.channels:
        metadata["Channel"] = {"Name": list(stack.channels)}
    return metadata


def _of_each_plane(stack: ImageStack, axis: str, values: npt.NDArray[np.float64]) -> list[float]:
    """Return the value along one axis for each plane of the file."""
    planes = stack.plane_axes
    shape = [len(values) if letter == axis else 1 for letter in planes]
    full = np.broadcast_to(values.reshape(shape), [stack.size(letter) for letter in planes])
    return [float(value) for value in full.ravel()]


def _saved(stack: ImageStack) -> dict[str, Any]:
    return {
        "axes": stack.axes,
        "shape": stack.data.shape,
        "z_um": stack.z_um,
        "leds": stack.leds.columns() if stack.leds is not None else None,
        "provenance": dict(stack.provenance),
    }


def _plain(value: Any) -> Any:
    """Return a number or array of numpy as Python's own, and anything else as text, for JSON."""
    return value.tolist() if isinstance(value, (np.generic, np.ndarray)) else str(value)
