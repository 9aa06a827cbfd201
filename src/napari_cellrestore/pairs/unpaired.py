"""Images of two kinds that do not belong to each other, and several sets of pairs drawn from together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, zip_longest

import numpy as np

from napari_cellrestore.pairs.crop import VALIDATION_IMAGES, Crop, Pairs
from napari_cellrestore.pairs.images import Field, ImagePairs
from napari_cellrestore.pairs.led_stacks import same_leds
from napari_cellrestore.pairs.picture import Picture
from napari_cellrestore.recipe import Augmentation

Array = np.ndarray
Pictures = Sequence[Picture]


class UnpairedImages:
    """Crops of two sets of images, drawn independently: input and target do not belong to each other.

    Parameters
    ----------
    train, validation, test : (inputs, targets)
        Pictures; the two of validation and test are shown side by side in the order given.
    augmentation, notes
        As of :class:`ImagePairs`.
    intensity_range : (float, float), optional
        Grey levels that the network knows as -1 and 1; where the kinds have pixels of two types, of the inputs. What is
        not given is found as :class:`ImagePairs` does, for each type.
    """

    def __init__(
        self,
        train: tuple[Pictures, Pictures],
        validation: tuple[Pictures, Pictures] = ((), ()),
        test: tuple[Pictures, Pictures] = ((), ()),
        *,
        augmentation: Augmentation | None = None,
        intensity_range: tuple[float, float] | None = None,
        notes: Sequence[str] = (),
    ) -> None:
        one_type = len({picture.dtype for part in train for picture in part}) == 1
        # Each kind as pairs of an image with itself: then a crop of a kind is a crop of such a pair.
        self._kinds = [
            ImagePairs(
                *([Field.of(p.name, p, p) for p in part[kind]] for part in (train, validation, test)),
                augmentation=augmentation,
                intensity_range=intensity_range if one_type or kind == 0 else None,
            )
            for kind in (0, 1)
        ]
        ours, theirs = self._kinds
        self.in_channels, self.out_channels = ours.in_channels, theirs.out_channels
        self.pixel_um = ours.pixel_um if ours.pixel_um == theirs.pixel_um else None
        self.dtypes = ours.dtypes[0], theirs.dtypes[0]
        self.intensity_range, self.target_range = ours.intensity_range, theirs.intensity_range
        if one_type:
            low, high = zip(ours.intensity_range, theirs.intensity_range, strict=True)
            self.intensity_range = self.target_range = min(low), max(high)
        self.notes = [*notes, *ours.notes, *theirs.notes]
        if ours.pixel_um and theirs.pixel_um and ours.pixel_um != theirs.pixel_um:
            self.notes.append(
                f"inputs state pixels of {ours.pixel_um:g} um, targets of {theirs.pixel_um:g} um: what is alike has another "
                "size in each; resample one set to the pixel size of the other"
            )

    def __len__(self) -> int:
        """Return the number of images to train on, of the kind that has more."""
        return max(map(len, self._kinds))

    def crop(self, rng: np.random.Generator, size: int) -> Crop:
        """Return an input and a target that do not belong to each other."""
        ours, theirs = (kind.crop(rng, size) for kind in self._kinds)
        return Crop(ours.input, theirs.target, paired=False)

    def validation(self) -> list[Crop]:
        """Return up to four whole images of each kind."""
        ours, theirs = (kind.validation() for kind in self._kinds)
        # one size for both: the previews lie side by side
        sides = [tuple(map(min, a.input.shape[:2], b.target.shape[:2])) for a, b in zip(ours, theirs, strict=False)]
        return [
            Crop(a.input[:y, :x], b.target[:y, :x], paired=False)
            for a, b, (y, x) in zip(ours, theirs, sides, strict=False)
        ]

    def test(self) -> Iterator[tuple[str, Crop]]:
        """Yield what is kept for the test, whole; there is no truth to measure it against."""
        ours, theirs = (kind.test() for kind in self._kinds)
        for (name, a), (other, b) in zip(ours, theirs, strict=False):
            y, x = map(min, a.input.shape[:2], b.target.shape[:2])
            yield f"{name}, {other}", Crop(a.input[:y, :x], b.target[:y, :x], paired=False)


class MixedPairs:
    """Several sets of pairs: each crop is of one of them, drawn by their shares.

    So paired and unpaired images train together (ccGAN of Jönsson & Sjöstrand 2018, section 3.4).

    Parameters
    ----------
    parts : sequence of Pairs
        With the same channels, the same range of grey levels, and of LED stacks the same LEDs in one order.
    shares : sequence of float, optional
        How often each is drawn, relative to the others; alike where left out.
    names : sequence of str, optional
        Of the parts, for messages.
    """

    def __init__(
        self, parts: Sequence[Pairs], shares: Sequence[float] | None = None, names: Sequence[str] | None = None
    ) -> None:
        if not parts:
            raise ValueError("no pairs to mix: give at least one set")
        shares = [1.0] * len(parts) if shares is None else list(shares)
        if len(shares) != len(parts) or not all(np.isfinite(share) and share > 0 for share in shares):
            raise ValueError(f"shares are {shares} of {len(parts)} sets of pairs: give a number above 0 for each")
        names = [f"set {number}" for number in range(1, len(parts) + 1)] if names is None else list(names)
        for what, hint in (
            ("in_channels", "convert the images of one"),
            ("out_channels", "convert the images of one"),
            ("intensity_range", "save both in one type, or give intensity_range"),
            ("target_range", "save the targets of both in one type"),
            ("dtypes", "save both in one type"),
        ):
            first = getattr(parts[0], what)
            for name, part in zip(names[1:], parts[1:], strict=True):
                if getattr(part, what) != first:
                    raise ValueError(
                        f"{what} is {first} of {names[0]}, {getattr(part, what)} of {name}: they cannot train one network; {hint}"
                    )
        self.leds, *others = (getattr(part, "leds", None) for part in parts)
        for name, leds in zip(names[1:], others, strict=True):
            if leds is not self.leds and (leds is None or self.leds is None or not same_leds(self.leds, leds)):
                raise ValueError(
                    f"{name} has other LEDs, or in another order, than {names[0]}: they cannot train one network; bring the planes "
                    "and tables of both into one order"
                )
        self._parts = list(parts)
        self._shares = np.asarray(shares, float) / sum(shares)
        self.in_channels, self.out_channels = parts[0].in_channels, parts[0].out_channels
        self.intensity_range, self.target_range = parts[0].intensity_range, parts[0].target_range
        self.dtypes = parts[0].dtypes
        sizes = {part.pixel_um for part in parts}
        self.pixel_um = sizes.pop() if len(sizes) == 1 else None

    @property
    def levels_um(self) -> Array:
        """How far inputs to train on are out of focus, of those of which it is known."""
        return np.concatenate([np.asarray(getattr(part, "levels_um", ()), float) for part in self._parts])

    def crop(self, rng: np.random.Generator, size: int) -> Crop:
        """Return a crop of one of the sets."""
        return self._parts[int(rng.choice(len(self._parts), p=self._shares))].crop(rng, size)

    def validation(self) -> list[Crop]:
        """Return up to four whole pairs, of each set in turn."""
        in_turn = chain.from_iterable(zip_longest(*(part.validation() for part in self._parts)))
        return [crop for crop in in_turn if crop is not None][:VALIDATION_IMAGES]
