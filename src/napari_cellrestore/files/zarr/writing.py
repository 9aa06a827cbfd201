"""Stacks as OME-Zarr, tile by tile, so that writing needs little memory and can go on where it was broken off."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import dask.array as da
import zarr

from napari_cellrestore.files.calibration import SAVED
from napari_cellrestore.files.planes import stamp_of
from napari_cellrestore.files.zarr import SUFFIX, is_zarr
from napari_cellrestore.files.zarr.attributes import attributes_of, plain
from napari_cellrestore.files.zarr.axes import AXES, ome_axes, stored_order
from napari_cellrestore.files.zarr.image import UNFINISHED, is_image, saved_in
from napari_cellrestore.files.zarr.opening import tile_files
from napari_cellrestore.files.zarr.pyramid import halved, n_levels
from napari_cellrestore.files.zarr.tiles import Blocks, create, tiled
from napari_cellrestore.stack import ImageStack

#: Types of pixels that are written.
DTYPES = ("bool", "uint8", "uint16", "uint32", "int8", "int16", "int32", "float16", "float32", "float64")
#: Key of the fingerprint of what an image was made of.
MADE_OF = "made_of"
#: How the names of files end that zarr was writing when it was killed.
PARTIAL = ".partial"
#: What makes a broken off result another one, by the part of its fingerprint.
OTHER = {"image": "another image, or it has changed", "made": "another model or plan", "tiles": "other tiles"}


def write_zarr(
    path: str | os.PathLike[str],
    stack: ImageStack,
    *,
    overwrite: bool = False,
    resume: Mapping[str, Any] | None = None,
    on_resume: Callable[[int, int], None] | None = None,
) -> Path:
    """Write a stack as OME-Zarr 0.5, which :func:`~napari_cellrestore.files.open_stack` opens as the same stack.

    A tile of the folder is a block of the dask array. Blocks are computed and written one by one into ``.<name>.part``, which
    takes the name at the end: a folder of that name is always complete. Smaller copies for viewing are made of the written
    tiles. What breaks off leaves the unfinished folder.

    Parameters
    ----------
    path : path
        Ends in ``.zarr``.
    stack : ImageStack
        Integers up to 32 bits, float or bool, of five axes at most.
    overwrite : bool
        Replace an existing OME-Zarr; never the one that the stack comes from, nor any other folder.
    resume : mapping, optional
        What decides the pixels, beside the file that the stack comes from: a plan, say. An interrupted writing with the same, of
        the same unchanged file and in the same tiles, is gone on with, and its tiles are kept. None begins anew.
    on_resume : callable, optional
        Called once with how many blocks were there, of how many, where there were any.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    ValueError
        For another suffix, type of pixels or axes, where a folder would be lost, and where what an interrupted writing left is of
        another image, plan or tiles.
    OSError
        Where the disk is full; what was written is kept.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> from napari_cellrestore.files import open_stack
    >>> stack = ImageStack(np.zeros((3, 16, 16), np.float32), "ZYX", pixel_um=0.1, z_um=[-0.2, 0, 0.3])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     open_stack(write_zarr(folder + "/cells.ome.zarr", stack)).z_um.tolist()
    [-0.2, 0.0, 0.3]
    """
    path = Path(path)
    _check_target(path, stack, overwrite)
    layout = _laid_out(stack, resume)
    part = unfinished(path)
    with _disk_may_be_full(part, path):
        group = _begin(part, path, layout.made_of, overwrite)
        levels = _write_levels(group, layout, on_resume)
        attributes = attributes_of(stack, path.name.split(".")[0], layout.stored, levels)
        attributes[SAVED][MADE_OF] = layout.made_of
        group.update_attributes(attributes)
    _publish(part, path, levels)
    return path


def check_zarr(
    path: str | os.PathLike[str], stack: ImageStack, *, overwrite: bool = False, resume: Mapping[str, Any] | None = None
) -> None:
    """Raise ValueError where :func:`write_zarr` would not begin; nothing is computed or written."""
    path = Path(path)
    _check_target(path, stack, overwrite)
    _left(unfinished(path), path, _laid_out(stack, resume).made_of, overwrite)


class Layout(NamedTuple):
    """Stored axes, the pixels along them in blocks of whole tiles, the size of a tile, and what the pixels are made of."""

    stored: str
    data: da.Array
    tile: tuple[int, ...]
    made_of: dict[str, str | None]


def _laid_out(stack: ImageStack, resume: Mapping[str, Any] | None) -> Layout:
    order = stored_order(stack.axes)
    stored = "".join(stack.axes[i] for i in order)
    ome_axes(stored, "")
    data, tile = tiled(da.asarray(stack.data).transpose(order), stored)
    return Layout(stored, data, tile, {} if resume is None else fingerprint(stack, resume, (data.chunks, tile)))


def unfinished(path: Path) -> Path:
    """Return the folder in which an OME-Zarr is written until it is whole."""
    return path.with_name(f".{path.name}.part")


# --- may it be written -------------------------------------------------------------------------------------


def _check_target(path: Path, stack: ImageStack, overwrite: bool) -> None:
    if path.suffix.lower() != SUFFIX:
        raise ValueError(f"{path.name}: an OME-Zarr is a folder; give it a name that ends in .ome.zarr")
    if not path.parent.is_dir():
        raise ValueError(f"{path.name}: there is no folder {path.parent}; make it first")
    if inside := next((folder for folder in path.absolute().parents if is_zarr(folder)), None):
        raise ValueError(f"{path.name}: it would lie in {inside.name}, which is a zarr; give another place")
    if stack.data.dtype.name not in DTYPES:
        raise ValueError(
            f"{path.name}: pixels are {stack.data.dtype}, written are {', '.join(DTYPES)}; convert them first"
        )
    if path.exists():
        _check_replaced(path, stack, overwrite)


def _check_replaced(path: Path, stack: ImageStack, overwrite: bool) -> None:
    source = Path(stack.source) if stack.source else None
    if source is not None and source.exists() and (path.samefile(source) or path.resolve() in source.resolve().parents):
        raise ValueError(f"{path.name}: the stack comes from this folder; give another name")
    if not path.is_dir() or (any(path.iterdir()) and not is_image(path)):
        raise ValueError(f"{path.name}: there is something else of that name, no OME-Zarr image; give another name")
    if not overwrite:
        raise ValueError(f"{path.name}: the folder exists; give another name or overwrite=True")


# --- the unfinished folder ---------------------------------------------------------------------------------


def fingerprint(stack: ImageStack, made: Mapping[str, Any], tiles: Any) -> dict[str, str | None]:
    """Return what decides the pixels of a stack that is ``made`` of a file; ``image`` is None where there is no file."""
    source = Path(stack.source) if stack.source else None
    files: list[Any] = []
    if source is not None and source.exists():
        inside = sorted(source.iterdir()) if source.is_dir() else [source]
        inside += tile_files(source) if is_zarr(source) else []  # other programs write tiles in place
        files = [(str(file.resolve()), stamp_of(file)) for file in inside if file.is_file()]
    kind = (stack.axes, stack.data.shape, stack.data.dtype.name)
    return {"image": _sha256(files) if files else None, "made": _sha256([kind, made]), "tiles": _sha256(tiles)}


def _sha256(value: Any) -> str:
    return hashlib.sha256(json.dumps(plain(value), sort_keys=True).encode()).hexdigest()


def _left(part: Path, path: Path, made_of: Mapping[str, str | None], overwrite: bool) -> zarr.Group | None:
    """Return the unfinished folder that is there, if it is of the same stack; None where there is nothing to go on with."""
    there = [one for one in part.iterdir() if one.suffix != PARTIAL] if part.exists() else []
    if not there:
        return None
    if not is_image(part):
        raise ValueError(f"{path.name}: {part.name} is needed for writing, and something else is there; move it away")
    group = zarr.open_group(str(part), mode="r+", use_consolidated=False)
    found = saved_in(group.attrs.asdict()).get(MADE_OF)
    if made_of.get("image") is not None and found == made_of:
        return group
    if not overwrite:
        raise ValueError(f"{path.name}: {part.name} is what an interrupted writing left{_differs(found, made_of)}")
    return None


def _begin(part: Path, path: Path, made_of: Mapping[str, str | None], overwrite: bool) -> zarr.Group:
    """Return the unfinished folder: the one that is there where it is of the same stack, else a new one."""
    there = _left(part, path, made_of, overwrite)
    if there is not None:
        return there
    if part.exists():
        shutil.rmtree(part)
    part.mkdir()
    begun = {UNFINISHED: True, MADE_OF: dict(made_of)}
    return zarr.create_group(str(part), zarr_format=3, attributes={SAVED: begun})


def _differs(found: Any, made_of: Mapping[str, str | None]) -> str:
    """Return in what an unfinished folder is of something else, and what to do."""
    if not (found and made_of):
        return "; delete that folder, give another name, or overwrite"
    differs = [OTHER[key] for key in OTHER if made_of[key] is None or found.get(key) != made_of[key]]
    return (
        f" of {' and '.join(differs)}; give the command that began it to go on with that, delete that folder, give another "
        "name, or overwrite"
    )


def _write_levels(
    group: zarr.Group, layout: Layout, on_resume: Callable[[int, int], None] | None
) -> list[zarr.Array[Any]]:
    """Write the image and its smaller copies, and return them."""
    names = [AXES[letter][0] for letter in layout.stored]
    levels: list[zarr.Array[Any]] = []
    for number in range(n_levels(layout.data.shape[-2:])):
        level = halved(levels[-1]) if levels else layout.data
        levels.append(create(group, str(number), level, layout.tile, names))
        blocks = Blocks(level, levels[-1])
        places = blocks.unfinished()
        there = len(blocks.places) - len(places)
        if there and number == 0 and on_resume is not None:
            on_resume(there, len(blocks.places))
        blocks.write(places)
    return levels


@contextmanager
def _disk_may_be_full(part: Path, path: Path) -> Iterator[None]:
    """Say in one line that the disk is full, what was kept, and how to go on."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise OSError(
            f"{path.name}: the disk is full; {_kept(part)} in {part.name}: make room and give the same command again, it goes on "
            "there"
        ) from None


def _kept(part: Path) -> str:
    try:
        array = zarr.open_array(str(part / "0"), mode="r")
    except (OSError, ValueError):
        return "nothing is finished"
    return f"{array.nchunks_initialized} of {array.nchunks} tiles are kept"


def _publish(part: Path, path: Path, levels: list[zarr.Array[Any]]) -> None:
    """Give the unfinished folder its name."""
    if missing := sum(level.nchunks - level.nchunks_initialized for level in levels):
        raise ValueError(
            f"{path.name}: {missing} tiles are gone from {part.name} while it was written; has another run written it too? "
            "Give the command again"
        )
    for litter in part.rglob(f"*{PARTIAL}"):
        litter.unlink()
    old = None
    if path.exists():
        old = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.old")
        path.rename(old)
    part.rename(path)
    if old is not None:
        shutil.rmtree(old)
