"""``cellrestore stain``: fit the colours of one microscope to those of another, and keep the map as a model."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_cellrestore.cli._common import aligned, check_new, mind, new_table, print_json

if TYPE_CHECKING:
    from napari_cellrestore.stain import StainSystem, StainTransfer


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("source", type=Path, metavar="SOURCE", help="folder of stained smears whose colours are moved")
    parser.add_argument("target", type=Path, metavar="TARGET", help="folder of smears of the other microscope or stain")
    parser.add_argument("--name", required=True, metavar="NAME", help="of the model, under which Restore lists it")
    parser.add_argument(
        "--every", type=int, default=5, metavar="N", help="one image in N of each is kept out, to measure (5)"
    )
    parser.add_argument(
        "--without",
        nargs="+",
        default=[],
        metavar="CLASS",
        help="what the images do not show: background, 'red cell', nucleus, cytoplasm",
    )
    parser.add_argument(
        "--pixel",
        type=float,
        nargs="+",
        metavar="UM",
        help="pixel size, one or one each of source and target, by which nuclei are told from platelets",
    )
    parser.add_argument(
        "--spread", default="within", help="move the spread of colours within images (if not given), or of all together"
    )
    for which in ("intensity", "target-intensity"):
        of = "the source, and of a target of the same type" if which == "intensity" else "the target"
        parser.add_argument(
            f"--{which}",
            nargs=2,
            type=float,
            metavar=("LOW", "HIGH"),
            help=f"grey levels of black and full scale of {of}, where they are not 8 bit",
        )
    parser.add_argument(
        "--fitted",
        type=Path,
        metavar="FILE.json",
        help="also write what was fitted, which a model does not hold, for Python",
    )
    parser.add_argument("--json", action="store_true", help="print one line of JSON")


def run(options: argparse.Namespace) -> int:
    """Fit both folders, measure on images kept out, save the model."""
    from napari_cellrestore.model import check_name, model_folders
    from napari_cellrestore.stain import CLASSES
    from napari_cellrestore.stain_model import save_stain

    check_name(options.name, model_folders())
    if options.fitted:
        check_new(options.fitted)
    parts = _parts(options)
    if strange := [name for name in options.without if name not in CLASSES]:
        raise ValueError(f"--without {strange[0]}: the classes are {', '.join(CLASSES)}")
    classes = tuple(name for name in CLASSES if name not in options.without)
    knowns = _known(options, parts)
    transfer = _fitted(options, classes, [fit for fit, _ in parts], knowns)
    before, after = _distances(transfer, [kept for _, kept in parts], knowns)
    notes = [*transfer.notes, *_lost(before, after)]
    model = save_stain(
        options.name,
        transfer,
        said=f"colours of {options.source.name} as {options.target.name}; {_said(before, after, len(parts[0][1]))}",
        pixel_um=knowns[0]["pixel_um"],
    )
    if options.fitted:
        with new_table(options.fitted) as file:
            file.write(transfer.to_json())
    if options.json:
        print_json(
            {
                "model": model.card.name,
                "folder": model.folder,
                "source": _numbers(transfer.source),
                "target": _numbers(transfer.target),
                "held_out": [len(kept) for _, kept in parts],
                "before": before,
                "after": after,
                "stretches": transfer.stretches,
                "notes": notes,
            }
        )
    else:
        _say(transfer, before, after, [len(kept) for _, kept in parts])
        print(f"model {model.card.name} saved in {model.folder}")
    for note in notes:
        mind(note)
    return 0


def _fitted(
    options: argparse.Namespace,
    classes: Sequence[str],
    files: Sequence[Sequence[Path]],
    knowns: Sequence[dict[str, Any]],
) -> StainTransfer:
    """Return the map from the system of the source's files to that of the target's."""
    from napari_cellrestore.stain import fit_system, fit_transfer

    systems = []
    folders = options.source, options.target
    for which, folder, some, known in zip(("--intensity", "--target-intensity"), folders, files, knowns, strict=True):
        with _in_options(which, folder):
            systems.append(fit_system(some, classes=classes, **known))
    with _in_options():
        return fit_transfer(*systems, spread=options.spread)


@contextmanager
def _in_options(intensity: str = "--intensity", folder: Path | None = None) -> Iterator[None]:
    """Say what is wrong in the words of the command line instead of those of Python, and in which folder."""
    words = {
        "class '": f"{folder}: class '" if folder else "class '",
        "of the right pixel_um": "of the right --pixel",
        "or leave it out: the classes": "or leave it out (--without): the classes",
        "give the intensity of black and of full scale": f"give black and full scale ({intensity})",
        "intensity is (": f"{intensity} is (",
        "spread is '": "--spread is '",
    }
    try:
        yield
    except ValueError as error:
        said = str(error)
        for python, option in words.items():
            said = said.replace(python, option)
        if said == str(error):
            raise
        raise ValueError(said) from error


def _parts(options: argparse.Namespace) -> list[tuple[list[Path], list[Path]]]:
    """Return images to fit and images kept out, of source and target."""
    from napari_cellrestore.stain import image_files

    if options.every < 2:
        raise ValueError(f"--every {options.every}: give 2 or more, so that images are left to fit")
    if options.source.resolve() == options.target.resolve():
        raise ValueError(f"source and target are the same folder, {options.source}: give images of two microscopes")
    parts = []
    for folder in (options.source, options.target):
        files = image_files(folder)
        kept = files[:: options.every]
        fitted = [path for path in files if path not in kept]
        if not fitted:
            raise ValueError(f"{folder}: {len(files)} image, of which one is kept out: give 2 or more")
        parts.append((fitted, kept))
    return parts


def _known(options: argparse.Namespace, parts: Sequence[tuple[list[Path], list[Path]]]) -> list[dict[str, Any]]:
    """Return pixel size and grey levels of source and target."""
    from napari_cellrestore.stain.images import with_target_range

    pixels = options.pixel or [None]
    if len(pixels) > 2:
        raise ValueError(f"--pixel {' '.join(map(str, pixels))}: give one pixel size, or one each of source and target")
    source, target = (tuple(level) if level else None for level in (options.intensity, options.target_intensity))
    *_, target = with_target_range(parts[0][0], parts[1][0], source, target)
    return [
        {"pixel_um": pixel, "intensity": level}
        for pixel, level in zip([pixels[0], pixels[-1]], (source, target), strict=True)
    ]


def _distances(
    transfer: StainTransfer, kept: Sequence[Sequence[Path]], knowns: Sequence[dict[str, Any]]
) -> tuple[dict[str, float], dict[str, float]]:
    """Return the distance of each class from the target, before and after, on images kept out; not of one that is not there.

    ValueError where the result has no class that the images have.
    """
    from napari_cellrestore.stain import class_distances, lab_colours
    from napari_cellrestore.stain.images import named_images

    source, target = knowns
    with _in_options("--target-intensity"):
        theirs = lab_colours(kept[1], **target)
    apply = partial(transfer.apply, intensity=source["intensity"])
    with _in_options():
        ours = lab_colours(kept[0], **source)
        made = lab_colours((apply(image) for _, image in named_images(kept[0])), **source)
    before = class_distances(ours, theirs, transfer.source.classes)
    try:
        after = class_distances(made, theirs, transfer.source.classes)
    except ValueError:
        after = {}
    if not before.keys() & after.keys():
        raise ValueError(
            f"in the result of the images kept out {' and '.join(before)} is not found any more: nothing is saved; look at the "
            "images, and at --pixel, --intensity and --without"
        )
    return before, after


def _lost(before: dict[str, float], after: dict[str, float]) -> list[str]:
    """Return what is to be minded of classes that the images kept out have and their result has not."""
    lost = [name for name in before if name not in after]
    if not lost:
        return []
    return [
        f"in the result of the images kept out {' and '.join(lost)} is not found any more: look at it, the classes may be wrong"
    ]


def _means(before: dict[str, float], after: dict[str, float]) -> tuple[float, float]:
    """Return the means before and after, over the classes that are there both times."""
    both = [name for name in before if name in after]
    return sum(before[name] for name in both) / len(both), sum(after[name] for name in both) / len(both)


def _said(before: dict[str, float], after: dict[str, float], number: int) -> str:
    """Return what was measured, for the card."""
    was, is_now = _means(before, after)
    of = ", ".join(name for name in before if name in after)
    text = (
        f"on {number} images kept out the mean colour distance of {of} {'fell' if is_now < was else 'rose'} from {was:.1f} to "
        f"{is_now:.1f}"
    )
    return "; ".join([text, *_lost(before, after)])


def _numbers(system: StainSystem) -> dict[str, Any]:
    return {"images": system.images, "pixels": dict(zip(system.classes, system.pixels.round().tolist(), strict=True))}


def _say(transfer: StainTransfer, before: dict[str, float], after: dict[str, float], kept: Sequence[int]) -> None:
    """Print a line for each class, and what the numbers are."""
    source, target = transfer.source, transfer.target
    rows = [["class", "pixels", "target", "before", "after", "stretched"]]
    for name, ours, theirs in zip(source.classes, source.pixels, target.pixels, strict=True):
        distances = [f"{one[name]:.1f}" if name in one else "–" for one in (before, after)]
        rows.append([name, f"{ours:.0f}", f"{theirs:.0f}", *distances, f"{transfer.stretches[name]:.2f} times"])
    rows.append(["mean", "", "", *(f"{one:.1f}" for one in _means(before, after)), ""])
    print(f"fitted to {source.images} and {target.images} images")
    print(aligned(rows))
    print(f"before, after: colour distance (CIELAB) from the target, on {kept[0]} and {kept[1]} images kept out")
    if after.keys() != before.keys():
        print("mean: of the classes that have both")
