"""Images that are read when they are asked for, and kept in memory while there is room."""

from __future__ import annotations

from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from skimage.io import imread

from napari_cellrestore.files import image_suffixes, open_stack
from napari_cellrestore.files.places import check_folder
from napari_cellrestore.stack import ImageStack

Array = np.ndarray

#: Bytes of decoded images that are kept in memory; what does not fit is read again for each crop.
ROOM_BYTES = 2 * 2**30
#: Grey levels that the detector can record, by the type of the pixels.
DETECTOR_RANGE = {"uint8": (0.0, 255.0), "uint16": (0.0, 65535.0)}
#: Why those of 8 bit cannot be given.
EIGHT_BIT = "images of 8 bit are restored as 0 to 255, so they are learnt as such; leave it out"
DTYPES = (*DETECTOR_RANGE, "float32", "float64")


class Room:
    """Memory for decoded images, shared by all pictures of a training. First come, first kept: crops are drawn evenly."""

    def __init__(self, limit_bytes: int = ROOM_BYTES) -> None:
        self.left_bytes = limit_bytes
        self._lock = Lock()

    def take(self, n_bytes: int) -> bool:
        """Take memory and return whether there was enough."""
        with self._lock:
            if n_bytes > self.left_bytes:
                return False
            self.left_bytes -= n_bytes
            return True


class Picture:
    """One plane, (Y, X, C), numpy or dask.

    Parameters
    ----------
    name : str
        For messages.
    data : (Y, X, C) array
        Grey levels, of one of :data:`DTYPES`.
    room : Room, optional
        Where a lazy picture is kept once it was read; without it, it is read each time.
    pixel_um : float, optional
        Pixel size.
    """

    def __init__(self, name: str, data: Any, room: Room | None = None, pixel_um: float | None = None) -> None:
        if data.dtype.name not in DTYPES:
            raise ValueError(f"{name}: pixels are {data.dtype}; give one of {', '.join(DTYPES)}")
        self.name, self.pixel_um = name, pixel_um
        self._data, self._room = data, room

    @property
    def shape(self) -> tuple[int, int, int]:
        """Rows, columns, colours."""
        rows, columns, colours = self._data.shape
        return rows, columns, colours

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the pixels."""
        dtype: np.dtype[Any] = np.dtype(self._data.dtype)
        return dtype

    def part(self, rows: slice, columns: slice) -> Array:
        """Return a part as it was recorded."""
        if not isinstance(self._data, np.ndarray) and self._room and self._room.take(self._data.nbytes):
            self._data = _computed(self._data)
        return _computed(self._data[rows, columns])

    def whole(self) -> Array:
        """Return all pixels as they were recorded."""
        return self.part(slice(None), slice(None))

    def replace(self, data: Any) -> Picture:
        """Return a picture of other pixels, of the same name, room and pixel size."""
        return Picture(self.name, data, self._room, self.pixel_um)

    def channel(self, index: int) -> Picture:
        """Return one colour."""
        return self.replace(self._data[..., index : index + 1])


def _computed(data: Any) -> Array:
    # In the thread that makes the batches: dask's own threads would take the cores of the training.
    return data if isinstance(data, np.ndarray) else np.asarray(data.compute(scheduler="synchronous"))


def open_picture(path: Path, room: Room | None = None) -> Picture:
    """Open an image file of one plane: grey, RGB (alpha is left out) or channels; ValueError names the file."""
    return picture_of(open_stack(path), path.name, room)


def picture_of(stack: ImageStack, name: str, room: Room | None = None) -> Picture:
    """Return a stack of one plane as a picture; ValueError where it holds several."""
    data, axes = stack.data, stack.axes
    for letter in [letter for letter in stack.plane_axes if stack.size(letter) == 1]:
        data, axes = data[(slice(None),) * axes.index(letter) + (0,)], axes.replace(letter, "")
    if axes == "CYX":
        data = data.transpose(1, 2, 0)
    elif axes == "YX":
        data = data[..., None]
    elif axes == "YXS":
        data = data[..., :3]
    else:
        planes = ", ".join(f"{letter} {stack.size(letter)}" for letter in axes if letter not in "YXS")
        raise ValueError(
            f"{name}: it holds several planes ({planes}), one is needed; of focus stacks make images of kind 'stacks', of "
            "others save each plane as a file of its own"
        )
    return Picture(name, data, room, stack.pixel_um)


def images_in(folder: str | Path) -> list[Path]:
    """Return the image files of a folder in the order of their names; ValueError where there are none."""
    home = Path(folder)
    check_folder(home)
    found = sorted(
        path
        for path in home.iterdir()
        if path.is_file() and path.suffix.lower() in image_suffixes() and not path.name.startswith(".")
    )
    if not found:
        raise ValueError(f"{folder}: no images in it; they end in {', '.join(image_suffixes())}")
    return found


def read_smear(path: Path) -> Array:
    """Read an RGB image of 8 bit; ValueError names the file where it is something else."""
    image = imread(path)
    if image.ndim != 3 or image.shape[-1] != 3 or image.dtype != np.uint8:
        raise ValueError(f"{path} is {image.dtype} of shape {image.shape}: RGB images of 8 bit are needed")
    return np.asarray(image)
