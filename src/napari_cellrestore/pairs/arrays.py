"""Pairs of arrays in memory or of open layers; a single large pair is split by region."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from napari_cellrestore.pairs.folders import check_pair
from napari_cellrestore.pairs.images import Field, ImagePairs, Roi, in_area
from napari_cellrestore.pairs.picture import Picture, Room, picture_of
from napari_cellrestore.pairs.split import hold_out
from napari_cellrestore.recipe import Augmentation
from napari_cellrestore.stack import ImageStack

#: Parts of the longer side of a single image for validation and for the test, and the least side of either.
STRIPE = 0.15
LEAST_STRIPE_PX = 32


class ArrayPairs(ImagePairs):
    """Pairs of arrays.

    Three pairs or more are split by image, as files are. One or two are split by region, each alike: of the longer
    side the first 70 % train, the next 15 % validate, the last 15 % are for the test. ``notes`` say so, with the
    pixels: neighbouring regions are more alike than two images, so such a test is kinder than a new image is.

    Parameters
    ----------
    inputs, targets : sequence of array or ImageStack
        numpy or dask, of one plane each: (Y, X), (Y, X, 3 or 4 colour samples), or an ImageStack, which states its
        axes. They stay as they are and must not change while training goes on.
    names : sequence of str, optional
        Of the pairs, each another.
    every : int
        Of so many pairs one is for the test and one to validate.
    augmentation, intensity_range
        As of :class:`ImagePairs`.

    Raises
    ------
    ValueError
        Different numbers or sizes of inputs and targets, the same pixels in two pairs, regions that become too small.

    Examples
    --------
    >>> sharp = np.random.default_rng(0).integers(0, 255, (100, 300), np.uint8)
    >>> pairs = ArrayPairs([sharp // 2], [sharp], ["cells"])
    >>> pairs.notes[0]
    'cells: columns 0 to 209 train, 210 to 254 validate, 255 to 299 are for the test'
    >>> pairs.crop(np.random.default_rng(0), 64).input.shape, pairs.intensity_range
    ((64, 64, 1), (0.0, 255.0))
    """

    def __init__(
        self,
        inputs: Sequence[Any],
        targets: Sequence[Any],
        names: Sequence[str] | None = None,
        *,
        every: int = 10,
        augmentation: Augmentation | None = None,
        intensity_range: tuple[float, float] | None = None,
    ) -> None:
        names = [f"pair {number}" for number in range(1, len(inputs) + 1)] if names is None else list(names)
        if not len(inputs) == len(targets) == len(names) > 0:
            raise ValueError(
                f"{len(inputs)} inputs, {len(targets)} targets, {len(names)} names: give one of each a pair"
            )
        if len(set(names)) < len(names):
            raise ValueError(f"names are {', '.join(names)}: give each pair a name of its own")
        fields = [_field(name, a, b) for name, a, b in zip(names, inputs, targets, strict=True)]
        _check_different(fields)
        notes: list[str] = []
        if len(fields) > 2:
            train, validation, test = (list(part) for part in hold_out(fields, every))
        else:
            train, validation, test = ([in_area(f, areas(f)[i]) for f in fields] for i in range(3))
            notes = [_said(field) for field in fields]
            notes.append(
                "the test is on another region of the same image, which is kinder than a new image; with three pairs or "
                "more whole images are kept"
            )
        super().__init__(
            train, validation, test, augmentation=augmentation, intensity_range=intensity_range, notes=notes
        )


def areas(field: Field) -> tuple[Roi, Roi, Roi]:
    """Return the areas of a field for training, validation and test: stripes across its longer side."""
    axis, (first, second, end) = _stripes(field)
    made = []
    for part in (slice(0, first), slice(first, second), slice(second, end)):
        made.append((part, field.area[1]) if axis == 0 else (field.area[0], part))
    return made[0], made[1], made[2]


def _stripes(field: Field) -> tuple[int, tuple[int, int, int]]:
    """Return the longer axis, and where training, validation and test end along it."""
    axis = int(np.argmax(field.target.shape[:2]))
    length = field.target.shape[axis]
    stripe = round(STRIPE * length)
    if stripe < LEAST_STRIPE_PX:
        raise ValueError(
            f"{field.name}: {field.target.shape[0]} x {field.target.shape[1]} px are too few to keep a region for validation "
            f"and one for the test; give {round(LEAST_STRIPE_PX / STRIPE)} px or more along one side, or three pairs"
        )
    return axis, (length - 2 * stripe, length - stripe, length)


def _said(field: Field) -> str:
    axis, (first, second, end) = _stripes(field)
    return (
        f"{field.name}: {('rows', 'columns')[axis]} 0 to {first - 1} train, {first} to {second - 1} validate, {second} to "
        f"{end - 1} are for the test"
    )


def _field(name: str, given: Any, target: Any) -> Field:
    room = Room()
    pair = [_picture(f"{what} of {name}", image, room) for what, image in (("input", given), ("target", target))]
    check_pair(*pair)
    return Field.of(name, *pair)


def _picture(name: str, image: Any, room: Room) -> Picture:
    if isinstance(image, ImageStack):
        return picture_of(image, name, room)
    shape = np.shape(image)
    colour = len(shape) == 3 and shape[-1] in (3, 4)
    if len(shape) != 2 and not colour:
        raise ValueError(
            f"{name} has shape {shape}: give one plane (Y, X) or (Y, X, 3), or an ImageStack with its axes"
        )
    return picture_of(ImageStack(image, "YXS" if colour else "YX"), name, room)


def _check_different(fields: Sequence[Field]) -> None:
    """Raise ValueError where two pairs hold the same input or the same target; of each every fourth pixel is compared."""
    few = slice(None, None, 4)
    for pictures in ([field.inputs[0] for field in fields], [field.target for field in fields]):
        seen: dict[tuple[Any, ...], str] = {}
        for picture in pictures:
            key = picture.shape, hashlib.sha256(picture.part(few, few).tobytes()).digest()
            if (same := seen.setdefault(key, picture.name)) != picture.name:
                raise ValueError(f"{same} and {picture.name} are the same image: give each pair once")
