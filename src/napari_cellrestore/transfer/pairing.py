"""The images of two microscopes, which nobody tagged: which shows the same cell as which (Jönsson & Sjöstrand 2018, 3.1.1)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

import numpy as np

from napari_cellrestore.transfer.aligning import align_planes, check_options, last
from napari_cellrestore.transfer.cells import COARSE_UM
from napari_cellrestore.transfer.folder import Folder
from napari_cellrestore.transfer.judging import RESIDUAL_PX
from napari_cellrestore.transfer.matching import LEAST_CORRELATION, MARGIN, CellMatch, Scores, assign, score
from napari_cellrestore.transfer.planes import check_pixel_um, stem
from napari_cellrestore.transfer.result import ImagePair, Pairing, Problem, problem

#: Pairs from which the usual magnification is known, and how far a pair may lie beside it, where no pixel size tells it.
ENOUGH, BESIDE = 3, 0.05


@dataclass(frozen=True)
class Step:
    """How far the pairing of two folders is: what is done, how many, of how many."""

    what: str
    done: int
    total: int


@dataclass(frozen=True)
class Options:
    """What :func:`pair_images` was asked for."""

    input_pixel_um: float | None
    target_pixel_um: float | None
    turns_deg: tuple[float, ...]
    transform: str
    keep: str
    least_correlation: float
    margin: float
    residual_limit_px: float

    def __post_init__(self) -> None:
        check_options(self.transform, self.keep, self.residual_limit_px)
        check_pixel_um(self.input_pixel_um, "inputs")
        check_pixel_um(self.target_pixel_um, "targets")
        if not self.turns_deg or not np.isfinite(self.turns_deg).all():
            raise ValueError(
                f"turns_deg is {self.turns_deg}: give angles in degrees, 0 among them for images not turned"
            )
        if not (0 < self.least_correlation < 1 and 0 <= self.margin < 1):
            raise ValueError(
                f"correlation {self.least_correlation} and margin {self.margin}: give numbers between 0 and 1"
            )


def pair_images(
    inputs: str | Path,
    targets: str | Path,
    *,
    input_pixel_um: float | None = None,
    target_pixel_um: float | None = None,
    turns_deg: Sequence[float] = (0.0,),
    transform: str = "affine",
    keep: str = "target",
    least_correlation: float = LEAST_CORRELATION,
    margin: float = MARGIN,
    residual_limit_px: float = RESIDUAL_PX,
) -> Pairing:
    """Find which image of one microscope shows the same cell as which of another, and how exactly both can be aligned.

    Names say nothing. In every image white cells are found by their nuclei. The surroundings of each nucleus of the
    inputs are a template, correlated with those of the targets that have a nucleus of about its size and shape; an
    assignment one to one gives the pairs, and each is aligned as by :func:`align_pair`. Listed with a reason, and not
    paired, is what has no white cell, no match, two that are alike, too few common points, an implausible map, too large
    a residual, a part that moved, or another cell.

    Parameters
    ----------
    inputs, targets : path
        Folders of images of one plane each, in colours.
    input_pixel_um, target_pixel_um : float, optional
        Pixel sizes, where files do not state them or state them wrongly. Where one is not known, magnifications between
        1/5 and 5 are searched, beginning at the sizes of the nuclei.
    turns_deg : sequence of float
        Turns of the input that templates are tried at; each finds images turned by up to 5 degrees beside it.
    transform, keep, residual_limit_px
        As of :func:`align_pair`.
    least_correlation : float
        Correlation that two cells need to be one.
    margin : float
        By how much the next best image must correlate less.

    Returns
    -------
    Pairing

    Raises
    ------
    ValueError
        Folders that are not there or hold no images, options that cannot be.

    Notes
    -----
    Jönsson & Sjöstrand 2018 segment the nucleus by a threshold chosen by hand and match it as a template; they do not say
    how a match was decided on, nor which pairs were left out.
    """
    return last(
        follow_pairing(
            inputs,
            targets,
            input_pixel_um=input_pixel_um,
            target_pixel_um=target_pixel_um,
            turns_deg=turns_deg,
            transform=transform,
            keep=keep,
            least_correlation=least_correlation,
            margin=margin,
            residual_limit_px=residual_limit_px,
        )
    )


def follow_pairing(
    inputs: str | Path,
    targets: str | Path,
    *,
    input_pixel_um: float | None = None,
    target_pixel_um: float | None = None,
    turns_deg: Sequence[float] = (0.0,),
    transform: str = "affine",
    keep: str = "target",
    least_correlation: float = LEAST_CORRELATION,
    margin: float = MARGIN,
    residual_limit_px: float = RESIDUAL_PX,
) -> Generator[Step, None, Pairing]:
    """Do as :func:`pair_images`, yielding how far it is."""
    options = Options(
        input_pixel_um,
        target_pixel_um,
        tuple(turns_deg),
        transform,
        keep,
        least_correlation,
        margin,
        residual_limit_px,
    )
    ours, theirs = Folder(inputs, input_pixel_um, "input"), Folder(targets, target_pixel_um, "target")
    if ours.home.resolve() == theirs.home.resolve():
        raise ValueError(f"{inputs}: both folders are the same; give one for each microscope")
    coarse_um = max(COARSE_UM, ours.coarsest_um, theirs.coarsest_um)
    for folder in (ours, theirs):
        for number, _ in enumerate(folder.find(coarse_um), 1):
            yield Step(f"looking for white cells in {folder.which}s", number, len(folder.paths))
    scores = Scores([], [], np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
    total = sum(len(smear.cells) for smear in ours.smears)
    for number, scored in score(ours.smears, theirs.smears, options.turns_deg):
        scores = scored or scores
        yield Step("cells compared", number, total)
    pairs = _pairs(ours, theirs, _of_images(assign(scores, least_correlation)), margin)
    for number, pair in enumerate(pairs):
        if pair.good:
            pairs[number] = _aligned(ours, theirs, pair, options)
        yield Step("pairs aligned", number + 1, len(pairs))
    pairs = _of_one_magnification(pairs)
    return Pairing(
        pairs,
        [*ours.problems, *theirs.problems, *_problems(ours, theirs, pairs, scores, least_correlation)],
        len(ours.paths),
        len(theirs.paths),
        len(scores.values),
        total * sum(len(smear.cells) for smear in theirs.smears),
        [*ours.notes, *theirs.notes, *_unlike_types(ours, theirs)],
        input_pixel_um,
        target_pixel_um,
        keep,
    )


def _of_images(matches: Sequence[CellMatch]) -> dict[tuple[int, int], list[CellMatch]]:
    """Return the matches of cells by the images that they are in."""
    found: dict[tuple[int, int], list[CellMatch]] = {}
    for match in matches:
        found.setdefault((match.image[0], match.target[0]), []).append(match)
    return found


def _pairs(
    ours: Folder, theirs: Folder, matched: Mapping[tuple[int, int], list[CellMatch]], margin: float
) -> list[ImagePair]:
    """Return a pair for each two images that have cells in common, with a reason where another is as like."""
    of_input = Counter(i for i, _ in matched)
    taken = {stem(path).casefold() for path in ours.paths}
    pairs = []
    for (i, j), matches in sorted(matched.items()):
        best = max(matches, key=lambda match: match.margin)
        name = stem(ours.of[i])
        if of_input[i] > 1:
            name = next(one for n in count(1) if (one := f"{name}_{n:02d}").casefold() not in taken)
            taken.add(name.casefold())
        pair = ImagePair(name, ours.of[i], theirs.of[j], best.correlation, best.next_best)
        if best.rival is not None and best.margin < margin:
            other = (theirs if best.rival_is_target else ours).of[best.rival[0]]
            which = "target" if best.rival_is_target else "input"
            reason = (
                f"ambiguous: correlation {best.correlation:.2f}, but {best.next_best:.2f} with {which} {other.name}"
            )
            pair = replace(pair, reason=f"{reason} ({margin:g} less needed)")
        pairs.append(pair)
    return pairs


def _aligned(ours: Folder, theirs: Folder, pair: ImagePair, options: Options) -> ImagePair:
    """Return a pair with its alignment; what cannot be read has the reason."""
    smears = ours.smears[ours.of.index(pair.input)], theirs.smears[theirs.of.index(pair.target)]
    try:
        planes = ours.read(pair.input), theirs.read(pair.target)
    except (ValueError, TypeError, OSError) as error:  # it could be read before
        return replace(pair, reason=" ".join(str(error).split()))
    alignment = last(align_planes(*planes, smears, options.transform, options.residual_limit_px))
    return replace(pair, alignment=alignment, reason=alignment.reason)


def _of_one_magnification(pairs: Sequence[ImagePair]) -> list[ImagePair]:
    """Return the pairs, those refused that are not magnified as the others where no pixel sizes tell."""
    scales = [pair.alignment.scale for pair in pairs if pair.good and not pair.alignment.known]
    if len(scales) < ENOUGH:
        return list(pairs)
    usual = float(np.median(scales))
    judged = []
    for pair in pairs:
        scale = pair.alignment.scale
        if pair.good and not pair.alignment.known and abs(scale / usual - 1) > BESIDE:
            pair = replace(pair, reason=f"another cell: magnification {scale:.3f} where {usual:.3f} is usual")
        judged.append(pair)
    return judged


def _problems(
    ours: Folder, theirs: Folder, pairs: Sequence[ImagePair], scores: Scores, least: float
) -> Iterator[Problem]:
    """Yield bad pairs, then inputs and targets of no pair."""
    for pair in pairs:
        if not pair.good:
            yield Problem(pair.input.name, pair.target.name, pair.reason)
    for mine, others, which in ((ours, theirs, "input"), (theirs, ours, "target")):
        paired = {getattr(pair, which) for pair in pairs}
        best = scores.best_of_images(targets=which == "target")
        for number, path in enumerate(mine.of):
            if path not in paired:
                yield problem(path, which, _no_match(best.get(number), others, which, least))


def _no_match(best: tuple[float, int] | None, others: Folder, which: str, least: float) -> str:
    if not others.of:
        return f"no match: no {others.which} could be used"
    if best is None:
        return f"no match: no {others.which} has a nucleus of about its size and shape"
    correlation, number = best
    if correlation < least:
        return f"no match: at best it correlates by {correlation:.2f}, with {others.of[number].name} ({least:g} needed)"
    return f"no match: {others.of[number].name}, most like it ({correlation:.2f}), belongs to another {which}"


def _unlike_types(ours: Folder, theirs: Folder) -> list[str]:
    kinds = [sorted(set(folder.types.values())) for folder in (ours, theirs)]
    if not all(kinds) or kinds[0] == kinds[1]:
        return []
    said = [", ".join(kind) for kind in kinds]
    return [
        f"inputs are {said[0]}, targets {said[1]}: training wants one type of pixels; pairs are written as they are"
    ]
