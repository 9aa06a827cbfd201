"""Pairs of recorded images: fields of view, each with its target and one or several planes that may be the input."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from napari_cellrestore.augment import augment, reach_px
from napari_cellrestore.pairs.crop import VALIDATION_PIXELS, VALIDATION_PX, Crop
from napari_cellrestore.pairs.picture import DETECTOR_RANGE, EIGHT_BIT, Picture
from napari_cellrestore.recipe import Augmentation

Array = np.ndarray
Roi = tuple[slice, slice]

#: Part of the grey levels of floating point images that may lie below, and above, what the network knows as -1 and 1.
OUTSIDE_PERCENT = 0.1
#: Images that grey levels of floating point are measured in, evenly over all.
_MEASURED_IMAGES = 64
#: Factor between the ranges of inputs and targets from which they are in other units.
OTHER_UNITS = 10.0


@dataclass(frozen=True, eq=False)
class Field:
    """A field of view: a target and the planes that may be its input.

    Parameters
    ----------
    name : str
        For messages and results.
    inputs : sequence of Picture
        In the order of their distance along z, where there are several.
    target : Picture
        Of the same rows and columns.
    levels_um : sequence of float or None
        How far each input is out of focus.
    shifts_px : sequence of (int, int)
        Whole pixels by which each input has to be moved to lie on the target.
    area : (slice, slice)
        Rows and columns of the target that crops are taken from.
    """

    name: str
    inputs: tuple[Picture, ...]
    target: Picture
    levels_um: tuple[float | None, ...]
    shifts_px: tuple[tuple[int, int], ...]
    area: Roi

    @classmethod
    def of(cls, name: str, given: Picture, target: Picture) -> Field:
        """Return the field of a pair of whole images."""
        rows, columns, _ = target.shape
        return cls(name, (given,), target, (None,), ((0, 0),), (slice(0, rows), slice(0, columns)))

    def read(self, planes: Sequence[int], rows: slice, columns: slice) -> tuple[Array, Array]:
        """Return inputs, one after the other along C, and target of a part, as they were recorded."""
        parts = []
        for plane in planes:
            dy, dx = self.shifts_px[plane]
            moved = slice(rows.start - dy, rows.stop - dy), slice(columns.start - dx, columns.stop - dx)
            parts.append(self.inputs[plane].part(*moved))
        return np.concatenate(parts, axis=-1), self.target.part(rows, columns)

    def level_um(self, planes: Sequence[int]) -> float | None:
        """Return the level of an input of one plane, None where there are several."""
        return self.levels_um[planes[0]] if len(planes) == 1 else None

    def usual(self, n_planes: int) -> list[int]:
        """Return the planes that are shown where one choice must do: half the way out of focus, on both sides."""
        n = len(self.inputs)
        return [int(n * (j + 0.5) / max(n_planes, 2)) for j in range(n_planes)]

    def whole(self, planes: Sequence[int], area: Roi | None = None) -> Crop:
        """Return a whole pair, or an area of it."""
        rows, columns = area or self.area
        given, target = self.read(planes, rows, columns)
        return Crop(given.astype(np.float32), target.astype(np.float32), self.level_um(planes))


class ImagePairs:
    """Crops of recorded pairs.

    A crop is drawn anywhere in an image with the same chance, every image with the same chance. Where an image ends,
    within a crop that is larger than it or under a change of shape, it is mirrored.

    Parameters
    ----------
    train, validation, test : sequence of Field
        Fields; of one type of pixels, all inputs of one number of colours and all targets too.
    in_planes : int
        Planes of a field that enter together, all different, at random.
    augmentation : Augmentation, optional
        Random changes; none where left out.
    intensity_range : (float, float), optional
        Grey levels that the network knows as -1 and 1; not of 8 bit, which are 0 to 255. Default: what 16 bits can hold; of
        floating point all but 0.1 % of the grey levels of the training images at either end, measured once and said in
        ``notes``. Targets of another type than the inputs have a range of their own, found alike (``target_range``).
    notes : sequence of str
        What the user should know, in sentences; more are added.

    Raises
    ------
    ValueError
        Images that are not alike, fields of fewer planes than enter.
    """

    #: Whether inputs and targets must have one type of pixels: what is alike can be compared and given back.
    ONE_TYPE = True

    def __init__(
        self,
        train: Sequence[Field],
        validation: Sequence[Field] = (),
        test: Sequence[Field] = (),
        *,
        in_planes: int = 1,
        augmentation: Augmentation | None = None,
        intensity_range: tuple[float, float] | None = None,
        notes: Sequence[str] = (),
    ) -> None:
        if not train:
            raise ValueError("no images to train on: give at least one")
        fields = [*train, *validation, *test]
        for field in fields:
            if len(field.inputs) < in_planes:
                raise ValueError(
                    f"{field.name}: {in_planes} planes are to enter together, it has {len(field.inputs)} besides the target; "
                    "use focus stacks, or in_planes 1"
                )
        self._train, self._validation, self._test = list(train), list(validation), list(test)
        self._in_planes, self._augmentation = in_planes, augmentation
        in_colours = _same("colours", [(p.name, p.shape[-1]) for field in fields for p in field.inputs], "inputs")
        self.out_channels: int = _same("colours", [(f.target.name, f.target.shape[-1]) for f in fields], "targets")
        self.in_channels: int = in_planes * in_colours
        inputs, targets = [p for field in fields for p in field.inputs], [field.target for field in fields]
        dtype, target_dtype = (_same_type(pictures, "images") for pictures in (inputs, targets))
        self.dtypes = dtype, target_dtype
        if self.ONE_TYPE:
            _same_type([inputs[0], targets[0]], "images")
        self.notes = list(notes)
        sizes = {picture.pixel_um for picture in (*inputs, *targets)}
        self.pixel_um = sizes.pop() if len(sizes) == 1 else None
        if sizes:
            self.notes.append(_unlike_sizes(sizes))
        self._limits = DETECTOR_RANGE.get(dtype)
        given = _checked(intensity_range, dtype) or self._limits
        if dtype == target_dtype:
            self.intensity_range = self.target_range = given or self._measured_range()
        else:
            stained = [field.target for field in self._few()]
            self.intensity_range = given or self._measured("inputs", _shown(self._few()))
            self.target_range = DETECTOR_RANGE.get(target_dtype) or self._measured("targets", stained)

    def __len__(self) -> int:
        """Return the number of fields to train on."""
        return len(self._train)

    @property
    def levels_um(self) -> Array:
        """How far inputs to train on are out of focus, of those of which it is known."""
        return np.array([level for field in self._train for level in field.levels_um if level is not None])

    def crop(self, rng: np.random.Generator, size: int) -> Crop:
        """Return a pair of ``size`` x ``size`` pixels, float32, in the grey levels of the images."""
        field = self._train[int(rng.integers(len(self._train)))]
        # without replacement in the order drawn: the network sees the nearer plane first as often as last
        planes = [int(plane) for plane in rng.choice(len(field.inputs), self._in_planes, replace=False)]
        spans = []
        reach = reach_px(self._augmentation, size)
        for part in field.area:
            first = part.start + int(rng.integers(max(part.stop - part.start - size, 0) + 1))
            spans.append((first - reach, first + size + reach))
        given, target = read_mirrored(field, planes, spans)
        if self._augmentation is not None:
            given, target = augment(
                rng, given, target, self._augmentation, planes=self._in_planes, size=size, limits=self._limits
            )
        return Crop(given, target, field.level_um(planes))

    def validation(self) -> list[Crop]:
        """Return a few whole pairs that are in no crop; of large ones the middle, of small ones more."""
        crops: list[Crop] = []
        left = VALIDATION_PIXELS
        for field in self._validation:
            crops.append(field.whole(field.usual(self._in_planes), middle(field.area, VALIDATION_PX)))
            left -= crops[-1].target[..., 0].size
            if left <= 0:
                break
        return crops

    def test(self) -> Iterator[tuple[str, Crop]]:
        """Yield name and pair of everything that is kept for the test, whole: each plane of a stack."""
        for field in self._test:
            chosen = [[i] for i in range(len(field.inputs))] if self._in_planes == 1 else [field.usual(self._in_planes)]
            for planes in chosen:
                level = field.level_um(planes)
                yield field.name + (f" {level:+g} um" if level is not None else ""), field.whole(planes)

    def _measured_range(self) -> tuple[float, float]:
        few = self._few()
        inputs = _finite_levels(_shown(few))
        targets = _finite_levels([field.target for field in few])
        spans = sorted((inputs[1] - inputs[0], targets[1] - targets[0]))
        if spans[1] > OTHER_UNITS * spans[0]:
            raise ValueError(
                f"grey levels of inputs are {inputs[0]:g} to {inputs[1]:g}, of targets {targets[0]:g} to {targets[1]:g}: "
                "rescale one set to the grey levels of the other"
            )
        low, high = min(inputs[0], targets[0]), max(inputs[1], targets[1])
        self._say_measured("pixels", low, high)
        return low, high

    def _measured(self, which: str, pictures: Sequence[Picture]) -> tuple[float, float]:
        low, high = _finite_levels(pictures)
        self._say_measured(f"pixels of {which}", low, high)
        return low, high

    def _say_measured(self, what: str, low: float, high: float) -> None:
        self.notes.append(
            f"{what} are floating point: {low:.6g} to {high:.6g} became the range of grey levels, measured in "
            f"{len(self._few())} training images ({OUTSIDE_PERCENT:g} % lie outside at either end)"
        )

    def _few(self) -> list[Field]:
        return self._train[:: -(-len(self._train) // _MEASURED_IMAGES)]


def read_mirrored(field: Field, planes: Sequence[int], spans: Sequence[tuple[int, int]]) -> tuple[Array, Array]:
    """Return inputs and target of a part in float32 that may reach beyond the area of a field, which is mirrored there."""
    inside = [slice(max(a, area.start), min(b, area.stop)) for (a, b), area in zip(spans, field.area, strict=True)]
    missing = [(part.start - a, b - part.stop) for (a, b), part in zip(spans, inside, strict=True)]
    given, target = (image.astype(np.float32) for image in field.read(planes, *inside))
    for image, picture in ((given, field.inputs[planes[0]]), (target, field.target)):
        if picture.dtype.kind == "f" and not np.isfinite(image).all():
            raise ValueError(f"{picture.name}: pixels are not finite (NaN or infinite); mend the image or leave it out")
    if not any(map(any, missing)):
        return given, target
    pad = [*missing, (0, 0)]
    return np.pad(given, pad, mode="symmetric"), np.pad(target, pad, mode="symmetric")


def middle(area: Roi, most_px: int) -> Roi:
    """Return the middle of an area, at most so many pixels a side.

    >>> middle((slice(0, 100), slice(0, 20)), 50)
    (slice(25, 75, None), slice(0, 20, None))
    """
    cut = []
    for part in area:
        side = min(part.stop - part.start, most_px)
        first = part.start + (part.stop - part.start - side) // 2
        cut.append(slice(first, first + side))
    return cut[0], cut[1]


def in_area(field: Field, area: Roi) -> Field:
    """Return a field that is confined to an area."""
    return replace(field, area=area)


def usual_levels(pictures: Sequence[Picture]) -> tuple[float, float]:
    """Return the grey levels between which all but :data:`OUTSIDE_PERCENT` at either end lie; both alike of one level."""
    levels = np.concatenate([_thinned(picture).ravel() for picture in pictures])
    low, high = np.percentile(levels, [OUTSIDE_PERCENT, 100 - OUTSIDE_PERCENT])
    return float(low), float(high)


def _finite_levels(pictures: Sequence[Picture]) -> tuple[float, float]:
    if bad := [picture.name for picture in pictures if not np.isfinite(_thinned(picture)).all()]:
        raise ValueError(f"{bad[0]}: pixels are not finite (NaN or infinite); mend the image or leave it out")
    low, high = usual_levels(pictures)
    if low == high:
        raise ValueError(f"{pictures[0].name}: nearly all grey levels are {low:g}, there is nothing to learn from")
    return low, high


def _thinned(picture: Picture) -> Array:
    rows, columns, _ = picture.shape
    return picture.part(slice(None, None, max(1, rows // 128)), slice(None, None, max(1, columns // 128)))


def _shown(fields: Sequence[Field]) -> list[Picture]:
    return [field.inputs[i] for field in fields for i in field.usual(1)]


def _same_type(pictures: Sequence[Picture], which: str) -> str:
    name: str = _same("pixels of", [(picture.name, picture.dtype.name) for picture in pictures], which)
    return name


def _same(what: str, named: Sequence[tuple[str, Any]], which: str) -> Any:
    """Return the value that all have; ValueError names two that differ."""
    name, value = named[0]
    for other, theirs in named[1:]:
        if theirs != value:
            said = (
                (f"{value} {what}", f"{theirs} {what}")
                if what == "colours"
                else (f"{what} {value}", f"{what} {theirs}")
            )
            raise ValueError(
                f"{name} has {said[0]}, {other} has {said[1]}: {which} must all be alike; convert the others"
            )
    return value


def _unlike_sizes(sizes: Collection[float | None]) -> str:
    known = sorted(size for size in sizes if size is not None)
    said = f"{known[0]:g} um" + (f" to {known[-1]:g} um" if len(known) > 1 else ", others none")
    return (
        f"the images state different pixel sizes, {said}, so none is known: resample them to one, as what is alike must have "
        "one size in pixels"
    )


def _checked(given: tuple[float, float] | None, dtype: str) -> tuple[float, float] | None:
    if given is None:
        return None
    low, high = (float(level) for level in given)
    said = f"intensity_range is {low:g} to {high:g}"
    if not (np.isfinite([low, high]).all() and low < high):
        raise ValueError(f"{said}: give the lower grey level first, both finite")
    if dtype == "uint8" and (low, high) != DETECTOR_RANGE[dtype]:
        raise ValueError(f"{said}: {EIGHT_BIT}")
    return low, high
