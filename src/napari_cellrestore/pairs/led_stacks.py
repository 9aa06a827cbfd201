"""LED stacks and the stained images of the same cells (Wulff 2022, 3.1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil
from pathlib import Path

import numpy as np

from napari_cellrestore.augment import turned
from napari_cellrestore.files import open_stack
from napari_cellrestore.leds import LedTable, choose
from napari_cellrestore.leds.symmetry import TOLERANCE_DEG, permutation, turns
from napari_cellrestore.pairs.crop import Crop
from napari_cellrestore.pairs.folders import check_pair
from napari_cellrestore.pairs.images import Field, ImagePairs, read_mirrored
from napari_cellrestore.pairs.picture import Picture, Room, open_picture
from napari_cellrestore.stack import ImageStack

Array = np.ndarray


#: LEDs near the axis, no farther apart than this, are taken for one another where an array is turned.
NEAR_AXIS_TOLERANCE_DEG = 7.0


class LedPairs(ImagePairs):
    """Crops of LED stacks, all planes one after the other along C, and of the stained images that lie on them.

    A crop is turned and mirrored at random, by the symmetries of the array and no others: what was lit from one side is
    then lit from another, so the planes change places with their LEDs. Five arms have turns by 72 degrees, for which
    pixels are interpolated; quarter turns and mirrors move pixels and keep their grey levels. LEDs near the axis are taken for
    one another up to :data:`NEAR_AXIS_TOLERANCE_DEG`: the three of Wulff 2022 beside five arms would forbid all turns. Planes that
    are all lit along the axis know no direction, and take all quarter turns and mirrors.

    Parameters
    ----------
    train, validation, test : sequence of Field
        Fields of one input, whose channels are those of all planes.
    leds : LedTable
        The LED of each plane.
    turn : bool
        Whether crops are turned and mirrored.
    intensity_range, notes
        As of :class:`ImagePairs`.
    """

    #: A camera of 12 bits under the array, a slide scanner of 8 for the stain.
    ONE_TYPE = False

    def __init__(
        self,
        train: Sequence[Field],
        validation: Sequence[Field] = (),
        test: Sequence[Field] = (),
        *,
        leds: LedTable,
        turn: bool = True,
        intensity_range: tuple[float, float] | None = None,
        notes: Sequence[str] = (),
    ) -> None:
        super().__init__(train, validation, test, intensity_range=intensity_range, notes=notes)
        self.leds, self.in_planes = leds, len(leds)
        self._turns = _turns(leds) if turn else [(0.0, False, np.arange(len(leds)))]

    def crop(self, rng: np.random.Generator, size: int) -> Crop:
        """Return a pair of ``size`` x ``size`` pixels, float32, in the grey levels of the images."""
        field = self._train[int(rng.integers(len(self._train)))]
        turn_deg, mirrored, planes = self._turns[int(rng.integers(len(self._turns)))]
        reach = 0 if turn_deg % 90 == 0 else ceil(size * (np.sqrt(2) - 1) / 2) + 2
        spans = []
        for part in field.area:
            first = part.start + int(rng.integers(max(part.stop - part.start - size, 0) + 1))
            spans.append((first - reach, first + size + reach))
        given, target = read_mirrored(field, [0], spans)
        given, target = turned([given, target], turn_deg, mirrored, size)
        by_plane = given.reshape(*given.shape[:2], self.in_planes, -1)
        return Crop(by_plane.take(planes, axis=2).reshape(given.shape), target)


def _turns(leds: LedTable) -> list[tuple[float, bool, Array]]:
    """Return the turns that an array allows: degrees, mirrored first or not, and which plane then takes whose place."""
    near = NEAR_AXIS_TOLERANCE_DEG
    on_axis = (leds.polar_deg <= TOLERANCE_DEG) | (leds.kind == "brightfield")
    found = (
        [(90.0 * k, m) for m in (False, True) for k in range(4)]
        if on_axis.all()
        else turns(leds, near_axis_tolerance_deg=near)
    )
    permuted = [(*turn, permutation(leds, *turn, near_axis_tolerance_deg=near)) for turn in found]
    return [(turn_deg, mirrored, rows) for turn_deg, mirrored, rows in permuted if rows is not None]


def led_fields(matched: Mapping[Path, Path], room: Room, subset: str | None) -> tuple[dict[Path, Field], LedTable]:
    """Return the field of each LED stack, and the LEDs that they have in common.

    Parameters
    ----------
    matched : mapping of Path to Path
        Stained image of each stack.
    room : Room
        Memory for decoded images.
    subset : str, optional
        Of :data:`napari_cellrestore.leds.SUBSETS`; all planes where left out.

    Raises
    ------
    ValueError
        Stacks without an LED table, of other LEDs than the first one, or of another size than their stained image.
    """
    fields: dict[Path, Field] = {}
    leds: LedTable | None = None
    for path, other in matched.items():
        stack = open_stack(path)
        ours = _chosen(path, stack, subset)
        if leds is None:
            leds = ours
        elif not same_leds(leds, ours):
            raise ValueError(f"{path.name} has other LEDs, or in another order, than {next(iter(matched)).name}")
        given = Picture(path.name, stack.joined(ours.plane.tolist()), room, stack.pixel_um)
        target = open_picture(other, room)
        check_pair(given, target, one_type=False)
        fields[path] = Field.of(path.name, given, target)
    if leds is None:
        raise ValueError("no LED stacks: give a folder of them")
    return fields, leds


def _chosen(path: Path, stack: ImageStack, subset: str | None) -> LedTable:
    if stack.leds is None or stack.plane_axes != "A":
        raise ValueError(f"{path.name} has the axes {stack.axes} and no LED table: give stacks of axis A, with a table")
    if subset is None:
        return stack.leds
    return choose(stack.leds, subset, brightfield=bool((stack.leds.kind == "brightfield").any()))


def same_leds(one: LedTable, other: LedTable) -> bool:
    """Return whether the planes of two tables were lit alike, in one order."""
    if len(one) != len(other):
        return False
    same = [(getattr(one, name) == getattr(other, name)).all() for name in ("exposure", "kind")]
    near = [
        np.allclose(one.wavelength_um, other.wavelength_um, atol=0.01, equal_nan=True),
        np.allclose(one.direction, other.direction, rtol=0, atol=2e-4),  # 0.01 degrees
    ]
    return all(same) and all(near)
