"""From the sources that a recipe names to pairs, with what is held out."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Protocol

import numpy as np

from napari_cellrestore.leds import LedTable, clearest
from napari_cellrestore.pairs.crop import Crop, Pairs, Test
from napari_cellrestore.pairs.defocus import DefocusPairs
from napari_cellrestore.pairs.folders import folder_fields, match_folders
from napari_cellrestore.pairs.images import OTHER_UNITS, Field, ImagePairs, usual_levels
from napari_cellrestore.pairs.led_stacks import LedPairs, led_fields
from napari_cellrestore.pairs.picture import DETECTOR_RANGE, Picture, Room, images_in, open_picture
from napari_cellrestore.pairs.shifts import edge_notes
from napari_cellrestore.pairs.split import (
    SETS,
    Split,
    check_leaks,
    fingerprint,
    identical_files,
    look_alikes,
    split_by_image,
)
from napari_cellrestore.pairs.stacks import some, stack_fields, stacks_in
from napari_cellrestore.pairs.unpaired import MixedPairs, UnpairedImages
from napari_cellrestore.pairs.way_back import WayBack, turned_round_tests
from napari_cellrestore.recipe import Augmentation, ImageSource, Recipe

Array = np.ndarray

#: Part of the range of 16 bits that images must use, or it is said that they do not.
_USED = 0.25
#: Look-alikes are looked for in at most so many images: each is decoded for it.
LOOK_ALIKE_IMAGES = 2000
#: Images that grey levels are compared in, evenly over all.
LEVELS_IMAGES = 8
#: Fewer images than this say little, also of what was learnt.
FEW_IMAGES = 10


@dataclass(frozen=True)
class TrainingImages:
    """What a recipe's sources give.

    Attributes
    ----------
    pairs : Pairs
        For the trainer.
    splits : dict of Split
        Files of the three sets by the name of the source: inputs of pairs; of unpaired images both folders.
    tests : dict of callable
        By the name of the source: what it keeps for the test.
    notes : tuple of str
        What the user should know, in sentences: what was left out and why, shifts, look-alikes.
    """

    pairs: Pairs
    splits: dict[str, Split]
    tests: dict[str, Test]
    notes: tuple[str, ...] = ()

    def test(self) -> Iterator[tuple[str, Crop]]:
        """Yield everything that is kept for the test."""
        return chain.from_iterable(test() for test in self.tests.values())

    def way_back(self) -> TrainingImages:
        """Return the same images with inputs and targets exchanged."""
        return replace(self, pairs=WayBack(self.pairs), tests=turned_round_tests(self.tests))


class _Set(Pairs, Protocol):
    """Pairs that know how many they are."""

    def __len__(self) -> int: ...


@dataclass(frozen=True)
class _Wanted:
    """What :func:`training_images` was asked for."""

    recipe: Recipe
    room: Room

    def image_pairs(self, split: Split, fields: Mapping[Path, Field], notes: Sequence[str]) -> ImagePairs:
        """Return recorded pairs, split as their files are."""
        train, validation, test = ([fields[path] for path in part] for part in split.sets)
        return ImagePairs(
            train,
            validation,
            test,
            in_planes=self.recipe.in_planes,
            augmentation=self.recipe.augmentation,
            intensity_range=self.recipe.intensity_range,
            notes=notes,
        )


@dataclass(frozen=True)
class _Found:
    """What one source, or all sharp ones together, give."""

    pairs: _Set
    tests: dict[str, Test]
    splits: dict[str, Split]
    files: list[Split]
    notes: list[str]
    look: Mapping[Path, Picture]
    #: To compare grey levels of: some inputs and targets, none where inputs are made of the targets.
    inputs: Sequence[Picture] = ()
    targets: Sequence[Picture] = ()


def training_images(recipe: Recipe) -> TrainingImages:
    """Return pairs, splits and test of the sources of a recipe.

    All sharp images are drawn from together. Of several kinds of sources each kind gives as many crops as the others,
    and within a kind every image as many: so paired and unpaired images train together.

    Parameters
    ----------
    recipe : Recipe
        With ``images``; ``pairs`` says how sharp images are put out of focus, ``augmentation`` how others are changed.

    Raises
    ------
    ValueError
        Folders and images that cannot be; an image, under whatever name, in two sets.
    """
    if not recipe.images:
        raise ValueError(f"recipe {recipe.name!r} names no images: give a folder of them")
    recipe.check_images()
    wanted = _Wanted(recipe, Room())
    found: dict[str, list[_Found]] = defaultdict(list)
    sharp = {}
    for name, source in zip(source_names(recipe.images), recipe.images, strict=True):
        with _naming(name):
            if source.kind == "sharp":
                sharp[name] = split_by_image(images_in(source.input), every=source.every, slide=source.slide)
            else:
                found[source.kind].append(_KINDS[source.kind](name, source, wanted))
    if sharp:
        found["sharp"].append(_sharp(sharp, wanted))
    everything = list(chain.from_iterable(found.values()))
    check_leaks(chain.from_iterable(one.files for one in everything))
    notes = [
        *chain.from_iterable(one.notes for one in everything),
        *_look_alikes(everything),
        *chain.from_iterable(_levels(one) for one in everything),
        *_few(everything),
    ]
    splits = {name: split for one in everything for name, split in one.splits.items()}
    tests = {name: test for one in everything for name, test in one.tests.items()}
    return TrainingImages(_mixed(found), splits, tests, tuple(notes))


@contextmanager
def _naming(name: str) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise ValueError(f"images of {name}: {error}") from None


# --- kinds ---------------------------------------------------------------------------------------------------


def _sharp(splits: dict[str, Split], wanted: _Wanted) -> _Found:
    train, validation, test = ([path for split in splits.values() for path in getattr(split, part)] for part in SETS)
    recipe = wanted.recipe
    pairs = DefocusPairs(
        train,
        validation,
        recipe.pairs,
        test=test,
        in_planes=recipe.in_planes,
        room=wanted.room,
        intensity_range=recipe.intensity_range,
    )
    tests: dict[str, Test] = {name: partial(pairs.test, split.test) for name, split in splits.items()}
    return _Found(pairs, tests, splits, list(splits.values()), pairs.notes, pairs.pictures)


def _check_two_folders(source: ImageSource) -> None:
    if Path(source.input).resolve() == Path(str(source.target)).resolve():
        raise ValueError("inputs and targets are one folder: give images of two kinds, each in a folder of its own")


def _matched(source: ImageSource) -> tuple[dict[Path, Path], list[str]]:
    """Return the target of each input and notes; ValueError where every target is its input once more."""
    _check_two_folders(source)
    matched, notes = match_folders(source.input, str(source.target))
    if all(identical_files(pair) for pair in matched.items()):
        raise ValueError(
            f"inputs and targets are the same files, e.g. {next(iter(matched)).name}: give what goes in, and what should come "
            "out"
        )
    return matched, notes


def _paired(name: str, source: ImageSource, wanted: _Wanted) -> _Found:
    matched, notes = _matched(source)
    split = split_by_image(list(matched), every=source.every, slide=source.slide)
    targets = Split(*(tuple(matched[path] for path in part) for part in split.sets))
    fields, shifted = folder_fields(matched, wanted.room, align=source.align)
    pairs = wanted.image_pairs(split, fields, [*notes, *shifted])
    return _recorded(name, pairs, [split, targets], fields)


def _stacks(name: str, source: ImageSource, wanted: _Wanted) -> _Found:
    stacks = dict.fromkeys(stacks_in(source.input))
    fields, notes = stack_fields(stacks, wanted.room, align=source.align, at_minimum=source.at_minimum)
    if len(fields) < 3:
        left = f" ({some(notes)})" if notes else ""
        raise ValueError(f"{len(fields)} focus stacks can be used, 3 or more are needed to split them{left}")
    split = split_by_image(list(fields), every=source.every, slide=source.slide)
    pairs = wanted.image_pairs(split, fields, notes)
    return _recorded(name, pairs, [split], fields)


def _unpaired(name: str, source: ImageSource, wanted: _Wanted) -> _Found:
    _check_two_folders(source)
    if wanted.recipe.in_planes > 1:
        raise ValueError(f"in_planes is {wanted.recipe.in_planes}: unpaired images are of one plane; use focus stacks")
    splits = {
        f"{name}, {kind}": split_by_image(images_in(folder), every=source.every, slide=source.slide)
        for kind, folder in (("inputs", source.input), ("targets", str(source.target)))
    }
    pictures = {path: open_picture(path, wanted.room) for s in splits.values() for part in s.sets for path in part}
    ours, theirs = ([[pictures[path] for path in part] for part in split.sets] for split in splits.values())
    pairs = UnpairedImages(
        *zip(ours, theirs, strict=True),
        augmentation=wanted.recipe.augmentation,
        intensity_range=wanted.recipe.intensity_range,
    )
    found = pairs, {name: pairs.test}, splits, list(splits.values()), pairs.notes
    return _Found(*found, pictures, ours[0], theirs[0])


def _recorded(name: str, pairs: ImagePairs, files: list[Split], fields: Mapping[Path, Field]) -> _Found:
    """Return what a source of recorded pairs gives; the first of ``files`` are those of its inputs."""
    targets = {path: field.target for path, field in fields.items()}
    inputs = [field.inputs[plane] for field in fields.values() for plane in field.usual(1)]
    found = pairs, {name: pairs.test}, {name: files[0]}, files, pairs.notes
    return _Found(*found, targets, inputs, list(targets.values()))


def _leds(name: str, source: ImageSource, wanted: _Wanted) -> _Found:
    matched, notes = _matched(source)
    split = split_by_image(list(matched), every=source.every, slide=source.slide)
    targets = Split(*(tuple(matched[path] for path in part) for part in split.sets))
    fields, leds = led_fields(matched, wanted.room, wanted.recipe.leds)
    notes += [*edge_notes(fields, _clearest(fields, leds)), *_idle(wanted.recipe.augmentation)]
    pairs = LedPairs(
        *([fields[path] for path in part] for part in split.sets),
        leds=leds,
        turn=wanted.recipe.augmentation is None or wanted.recipe.augmentation.quarter_turns,
        intensity_range=wanted.recipe.intensity_range,
        notes=notes,
    )
    return _recorded(name, pairs, [split, targets], fields)


def _clearest(fields: Mapping[Path, Field], leds: LedTable) -> slice:
    """Return the channels of the plane that looks most like a usual image."""
    colours, row = next(iter(fields.values())).inputs[0].shape[-1] // len(leds), clearest(leds)
    return slice(row * colours, (row + 1) * colours)


def _idle(augmentation: Augmentation | None) -> list[str]:
    """Return a note on the changes that LED stacks are not given."""
    if augmentation is None:
        return []
    idle = [name for name, value in augmentation if value and name not in ("flips", "quarter_turns")]
    idle += ["flips"] * (augmentation.flips != augmentation.quarter_turns)
    if not idle:
        return []
    return [
        f"augmentation: {', '.join(idle)} change nothing here; of LED stacks quarter_turns alone counts, for all turns and mirrors"
    ]


#: How each kind of source but sharp images becomes pairs.
_KINDS: dict[str, Callable[[str, ImageSource, _Wanted], _Found]] = {
    "pairs": _paired,
    "stacks": _stacks,
    "unpaired": _unpaired,
    "leds": _leds,
}


# --- together ------------------------------------------------------------------------------------------------


def _mixed(found: Mapping[str, Sequence[_Found]]) -> Pairs:
    parts, shares, names = [], [], []
    for kind in found.values():
        total = sum(len(one.pairs) for one in kind)
        for one in kind:
            parts.append(one.pairs)
            shares.append(len(one.pairs) / total)
            names.append(" and ".join(one.splits))
    return parts[0] if len(parts) == 1 else MixedPairs(parts, shares, names)


def source_names(sources: Sequence[ImageSource]) -> list[str]:
    """Return a name for each source: its folder's, with the one above where two are alike."""
    homes = [Path(source.input).resolve() for source in sources]
    count = Counter(home.name for home in homes)
    names = [home.name if count[home.name] == 1 else f"{home.parent.name}/{home.name}" for home in homes]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"two folders of images are called {twice}: rename one, results go by that name")
    return names


def _look_alikes(found: Iterable[_Found]) -> list[str]:
    """Return a note on images in training that look like one held out; ValueError where one is the same."""
    prints: dict[str, dict[str, Array]] = {name: {} for name in SETS}
    pictures: dict[str, Picture] = {}
    for one in found:
        for split in one.files:
            for name in SETS:
                for path in getattr(split, name):
                    if path in one.look and len(pictures) < LOOK_ALIKE_IMAGES:
                        called = f"{path.parent.name}/{path.name}"
                        pictures[called] = one.look[path]
                        prints[name][called] = fingerprint(one.look[path].whole())
    alike = look_alikes(prints)
    for a, b in alike:
        if np.array_equal(pictures[a].whole(), pictures[b].whole()):
            raise ValueError(
                f"{a} and {b} are the same image: one would be learnt from and the other tested on; remove one, or keep them "
                "together by slide"
            )
    if not alike:
        return []
    pairs = ", ".join(f"{a} and {b}" for a, b in alike[:3]) + (", ..." if len(alike) > 3 else "")
    return [
        f"{len(alike)} images in training look much like one kept for validation or test ({pairs}): where they show one "
        "sample, keep them together by slide, or the test is too kind"
    ]


def _levels(one: _Found) -> list[str]:
    """Return a note where inputs and targets have unlike grey levels, or use a small part of 16 bits."""
    pairs, inputs, targets = one.pairs, _spread(one.inputs), _spread(one.targets or list(one.look.values()))
    apart = bool(inputs) and pairs.dtypes[0] != pairs.dtypes[1]
    if unused := _unused(inputs if apart else [*inputs, *targets], pairs.intensity_range):
        return [unused]
    if not inputs:
        return []
    known, ranges = [usual_levels(inputs), usual_levels(targets)], (pairs.intensity_range, pairs.target_range)
    least, most = sorted((b - a) / (high - low) for (a, b), (low, high) in zip(known, ranges, strict=True))
    if not (least > 0 and most > OTHER_UNITS * least):
        return []
    said = [f"{a:.5g} to {b:.5g} of {low:g} to {high:g}" for (a, b), (low, high) in zip(known, ranges, strict=True)]
    return [
        f"grey levels of inputs are {said[0]}, of targets {said[1]}: the network sees one of them nearly flat; rescale one set "
        "to the grey levels of the other"
    ]


def _unused(pictures: Sequence[Picture], known: tuple[float, float]) -> str:
    """Return what is to be said where images of 16 bits use a small part of their range, else nothing."""
    if known != DETECTOR_RANGE["uint16"] or not pictures or pictures[0].dtype != np.uint16:
        return ""
    brightest = max(int(picture.whole().max()) for picture in pictures)
    if brightest >= _USED * known[1]:
        return ""
    return (
        f"images of 16 bits reach {brightest} of {known[1]:g}: the network sees them nearly black; give the range of the "
        f"camera, such as intensity_range: [0, {2 ** int(np.ceil(np.log2(brightest + 1))) - 1}]"
    )


def _spread(pictures: Sequence[Picture]) -> Sequence[Picture]:
    """Return a few pictures, evenly over all."""
    return pictures[:: -(-len(pictures) // LEVELS_IMAGES)] if pictures else []


def _few(found: Iterable[_Found]) -> list[str]:
    """Return a note where images are few."""
    splits = [split for one in found for split in one.splits.values()]
    train, validation, test = (sum(len(getattr(split, name)) for split in splits) for name in SETS)
    if train + validation + test >= FEW_IMAGES:
        return []
    return [
        f"images are few: {train} to train on, and a number measured on {test} says little; add images, or cut large ones into "
        "parts"
    ]
