"""Training, validation and test images that share nothing: an image seen in training says nothing about new ones."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TypeVar

import numpy as np
from skimage.transform import resize_local_mean

Array = np.ndarray
T = TypeVar("T")

#: Names of the three sets.
SETS = ("train", "validation", "test")
#: Part of the bits of a fingerprint up to which two images look alike; of unlike images half of them differ.
ALIKE = 0.1
_FINGERPRINT_PX = 16


@dataclass(frozen=True)
class Split:
    """Files of three sets that share no image."""

    train: tuple[Path, ...]
    validation: tuple[Path, ...]
    test: tuple[Path, ...]

    def __post_init__(self) -> None:
        for a, b in (("train", "validation"), ("train", "test"), ("validation", "test")):
            if shared := set(getattr(self, a)) & set(getattr(self, b)):
                raise ValueError(f"{len(shared)} images are in both {a} and {b}, e.g. {min(shared)}: split by image")

    @property
    def sets(self) -> tuple[tuple[Path, ...], tuple[Path, ...], tuple[Path, ...]]:
        """Training, validation and test."""
        return self.train, self.validation, self.test


def split_by_image(paths: Sequence[Path], *, every: int = 10, slide: str | None = None) -> Split:
    """Split files by image: of every ``every`` in the order of their names one is for test, one for validation.

    Parameters
    ----------
    paths : sequence of Path
        Three images or more.
    every : int
        Of fewer images than this, one is for test and one for validation all the same.
    slide : str, optional
        Regular expression: images in whose names it finds the same stay together, and slides are split as images are
        otherwise. ``"^[^_]+"`` takes what comes before the first ``_``; of an expression with a group the group counts.

    Examples
    --------
    >>> split = split_by_image([Path(f"{i:02}.png") for i in range(20)])
    >>> [p.stem for p in split.test], [p.stem for p in split.validation], len(split.train)
    (['00', '10'], ['05', '15'], 16)
    >>> names = ["a_1.png", "a_2.png", "b_1.png", "c_1.png"]
    >>> [p.name for p in split_by_image([Path(name) for name in names], slide="^[^_]+").test]
    ['a_1.png', 'a_2.png']
    """
    ordered = sorted(paths)
    if slide is None:
        return Split(*hold_out(ordered, every))
    slides = defaultdict(list)
    for path in ordered:
        slides[_slide_of(path, slide)].append(path)
    if len(slides) < 3:
        raise ValueError(
            f"slide {slide!r} finds {len(slides)} slides in {len(paths)} names ({', '.join(sorted(slides))}): give 3 or more"
        )
    return Split(*(tuple(chain.from_iterable(slides[s] for s in part)) for part in hold_out(sorted(slides), every)))


def hold_out(items: Sequence[T], every: int = 10) -> tuple[tuple[T, ...], tuple[T, ...], tuple[T, ...]]:
    """Return which of the items train, validate and test: the first of every ``every`` tests, the middle one validates."""
    if every < 3:
        raise ValueError(
            f"every is {every}: one image in {every} for test and one to validate leave none to train; give 3"
        )
    if len(items) < 3:
        raise ValueError(f"{len(items)} images cannot be split into training, validation and test: give 3 or more")
    every = min(every, len(items))
    role = [
        "test" if i % every == 0 else "validation" if i % every == every // 2 else "train" for i in range(len(items))
    ]
    train, validation, test = (tuple(item for item, r in zip(items, role, strict=True) if r == name) for name in SETS)
    return train, validation, test


def _slide_of(path: Path, slide: str) -> str:
    try:
        found = re.search(slide, path.name)
    except re.error as error:
        raise ValueError(f"slide {slide!r} is no regular expression: {error}") from None
    name = found and (found.group(1) if found.re.groups else found.group())
    if not name:
        raise ValueError(
            f"{path.name}: slide {slide!r} finds nothing in this name; rename it or give another expression"
        )
    return str(name)


# --- leaks ---------------------------------------------------------------------------------------------------


def check_leaks(splits: Iterable[Split]) -> None:
    """Raise ValueError where a file of one set is, under whatever name, in another set of any of the splits too.

    Files are compared by their contents, folders by those of their files. Only files of one size are read.
    """
    set_of: dict[Path, str] = {}
    for split in splits:
        for name in SETS:
            for path in chain.from_iterable(_files(path) for path in getattr(split, name)):
                if set_of.setdefault(path.resolve(), name) != name:
                    raise ValueError(
                        f"{path} is in both {set_of[path.resolve()]} and {name}: give each folder of images once"
                    )
    for group in identical_files(set_of):
        sets = {set_of[path]: path for path in group}
        if len(sets) > 1:
            (a, one), (b, other) = sorted(sets.items())[:2]
            raise ValueError(
                f"{one} ({a}) and {other} ({b}) are the same image under two names: remove one, or keep them together by slide"
            )


def identical_files(paths: Iterable[Path]) -> list[list[Path]]:
    """Return the groups of files that hold the same bytes."""
    groups = [sorted(paths)]
    for key in (_size, _middle, _digest):  # the cheap ones first
        groups = [same for group in groups for same in _grouped(group, key) if len(same) > 1]
    return groups


def _grouped(paths: Iterable[Path], key: Callable[[Path], Hashable]) -> Iterable[list[Path]]:
    found = defaultdict(list)
    for path in paths:
        found[key(path)].append(path)
    return found.values()


def _size(path: Path) -> int:
    return path.stat().st_size


def _middle(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(path.stat().st_size // 2)
        return hashlib.sha256(file.read(2**16)).digest()


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _files(path: Path) -> list[Path]:
    return sorted(one for one in path.iterdir() if one.is_file()) if path.is_dir() else [path]


# --- look-alikes ---------------------------------------------------------------------------------------------


def fingerprint(image: Array) -> Array:
    """Return 256 bits that tell how an image (Y, X, C) looks from afar: where it gets brighter to the right.

    A difference hash on 16 x 16 means; grey levels, noise, compression and small changes of size hardly matter.
    """
    thin = image[:: max(1, image.shape[0] // 128), :: max(1, image.shape[1] // 128)].mean(-1, dtype=np.float64)
    small = resize_local_mean(thin, (_FINGERPRINT_PX, _FINGERPRINT_PX + 1))
    return np.asarray(np.diff(small, axis=1) > 0).ravel()


def look_alikes(fingerprints: Mapping[str, Mapping[str, Array]]) -> list[tuple[str, str]]:
    """Return names of images in training that look like one held out; ``fingerprints`` by set, then by name."""
    found = []
    trained = fingerprints.get("train", {})
    if not trained:
        return []
    bits = np.stack(list(trained.values()))
    for name in ("validation", "test"):
        for held_out, print_ in fingerprints.get(name, {}).items():
            alike = np.flatnonzero((bits != print_).mean(1) <= ALIKE)
            found += [(list(trained)[index], held_out) for index in alike]
    return found
