"""``cellrestore compare``: measure images against a reference."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_cellrestore.cli._common import check_new, each, expand, mind, new_table, print_json, stem
from napari_cellrestore.cli._trust import Judge, domain_json, domain_of, domain_said, judge_with, legend

if TYPE_CHECKING:
    import numpy as np

    from napari_cellrestore.domain import Domain
    from napari_cellrestore.stack import ImageStack

#: A plane of numpy or dask: the latter is read when it is asked for.
Plane = Any
#: Metrics that are relative to the span of possible grey levels.
NEED_RANGE = ("psnr", "ssim", "ssim_global")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("reference", metavar="REFERENCE", help="the image that is right; stacks go plane by plane")
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="what is measured against it")
    parser.add_argument(
        "--data-range", type=float, metavar="N", help="span of possible grey levels (of 8 and 16 bit unsigned: known)"
    )
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write the table in full precision")
    parser.add_argument("--mask", metavar="FILE", help="image of the same size: only where it is not 0 is counted")
    parser.add_argument(
        "--maps", type=Path, metavar="FOLDER", help="write maps of difference, FPW, SSIM and gradient there"
    )
    parser.add_argument(
        "--spectrum",
        type=Path,
        metavar="FILE.csv",
        help="write the power of each image over that of the reference by spatial frequency",
    )
    parser.add_argument(
        "--trust",
        action="store_true",
        help="REFERENCE is the measured image that each IMAGE was restored from: say how far that can be trusted",
    )
    parser.add_argument(
        "--model",
        metavar="NAME",
        help="with --trust: ask this model, which made the images, where it is unsure (nine times the work of restoring)",
    )
    parser.add_argument(
        "--black-spots",
        action="store_true",
        help="of images in bright field: count compact black spots that the reference does not have",
    )
    parser.add_argument("--json", action="store_true", help="print one line of JSON for each image")


def run(options: argparse.Namespace) -> int:
    """Print a table with a row for each image, of stacks for each plane and their mean."""
    import numpy as np

    from napari_cellrestore.files import open_stack
    from napari_cellrestore.metrics import peak_level

    if options.data_range is not None:
        peak_level(np.zeros(1), options.data_range)
    for new in (options.csv, options.spectrum):
        if new:
            check_new(new)
    reference = open_stack(options.reference)
    mask = None if options.mask is None else _read_mask(options.mask, reference)
    data_range = _known_range(reference, options.data_range)
    if options.model and not options.trust:
        raise ValueError("--model is asked for how sure it is of what it restored: give --trust too")
    judge = judge_with(options.model) if options.trust else None
    comparison = Comparison(reference, data_range, mask, bool(options.spectrum), judge, options.black_spots)
    domain = _domain(options, reference)
    status = each(options, expand(options.images), lambda path: _compare(options, comparison, path))
    if options.json and domain is not None:
        print_json({"reference": options.reference, "domain": domain_json(domain)})
    for text in dict.fromkeys(comparison.left_out):
        mind(text)
    if comparison.rows:
        table = comparison.table(options.reference)
        if options.csv:
            with new_table(options.csv) as file:
                file.write(table.csv())
        if options.spectrum:
            _write_spectra(options.spectrum, comparison)
        if not options.json:
            print(table.text())
            for name, number in comparison.spots.items():
                print(f"black spots: {number} ({name})")
            if comparison.trust:
                print(f"\n{comparison.trust_table().text()}\n\n{legend(comparison.asked)}")
            if domain is not None:
                print(f"\n{domain_said(domain)}")
    return status


def _domain(options: argparse.Namespace, reference: ImageStack) -> Domain | None:
    """Return how far the measured image lies from what the model that is asked was trained on."""
    if not options.model:
        return None
    from napari_cellrestore.model import load_model

    return domain_of(reference, load_model(options.model).card)


def _known_range(reference: ImageStack, data_range: float | None) -> float | None:
    import numpy as np

    from napari_cellrestore.metrics import peak_level

    dtype = reference.data.dtype
    return peak_level(np.empty(0, dtype)) if data_range is None and dtype.kind == "u" else data_range


def _read_mask(path: str, reference: ImageStack) -> np.ndarray:
    """Return where an image is not 0."""
    import numpy as np

    from napari_cellrestore.files import open_stack

    stack = open_stack(path)
    if stack.n_planes != 1 or stack.rgb or stack.yx_shape != reference.yx_shape:
        planes = "" if stack.n_planes == 1 else f"{stack.n_planes} planes of "
        colour = " in colour" if stack.rgb else ""
        raise ValueError(
            f"{path}: a mask is one grey plane of {_by(reference.yx_shape)} as the reference, this is "
            f"{planes}{_by(stack.yx_shape)}{colour}"
        )
    mask = np.asarray(stack.data).reshape(stack.yx_shape) != 0
    if not mask.any():
        raise ValueError(f"{path}: the mask is 0 everywhere; it must not be 0 where pixels are to be counted")
    return np.asarray(mask)


def _compare(options: argparse.Namespace, comparison: Comparison, path: str) -> None:
    from napari_cellrestore.files import open_stack

    image = open_stack(path)
    before, before_spots = len(comparison.trust), len(comparison.spots)
    planes = comparison.add(path, image)
    if options.json:
        trust = {"trust": list(comparison.trust.values())[before:]}
        spots = {"black_spots": list(comparison.spots.values())[before_spots:]}
        said = {"reference": options.reference, "image": path, "planes": planes}
        print_json(said | (trust if options.trust else {}) | (spots if options.black_spots else {}))
    if options.maps:
        _write_maps(options.maps, comparison, path, image)
    comparison.classes.clear()


@dataclass
class Comparison:
    """A reference, and the rows of what was measured against it."""

    reference: ImageStack
    data_range: float | None
    mask: np.ndarray | None = None
    with_spectra: bool = False
    judge: Judge | None = None
    with_spots: bool = False
    #: Of the image measured last: the kind of each pixel, plane by plane; None where it cannot be told.
    classes: list[np.ndarray | None] = field(default_factory=list)
    trust: dict[str, dict[str, float]] = field(default_factory=dict)
    asked: bool = False
    spots: dict[str, int] = field(default_factory=dict)
    spectra: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    rows: dict[str, dict[str, float]] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)

    def add(self, name: str, image: ImageStack) -> list[dict[str, float]]:
        """Measure an image; the result has a row for each plane."""
        import numpy as np

        from napari_cellrestore.artefacts import black_spots

        planes = []
        for number, (reference, measured) in enumerate(self.pairs(image)):
            reference, measured = np.asarray(reference), np.asarray(measured)
            inside = (...,) if self.mask is None else self.mask
            _check_finite(reference[inside], f"plane {number} of the reference")
            _check_finite(measured[inside], f"plane {number}")
            planes.append(self._measure(reference, measured))
            title = name if image.n_planes == 1 else f"{name} plane {number}"
            if self.with_spectra:
                self._add_spectrum(title, reference, measured)
            if self.with_spots:
                self.spots[title] = len(black_spots(measured, reference))
            if self.judge is not None:
                self._add_trust(title, reference, measured, image.provenance)
        if len(planes) == 1:
            self.rows[name] = planes[0]
            return planes
        self.rows |= {f"{name} plane {number}": row for number, row in enumerate(planes)}
        self.rows[f"{name} mean"] = {metric: float(np.mean([row[metric] for row in planes])) for metric in planes[0]}
        return planes

    def pairs(self, image: ImageStack) -> list[tuple[Plane, Plane]]:
        """Return (reference, image) plane by plane, not yet read; a reference of one plane goes with every plane."""
        self._check(image)
        references, planes = _planes(self.reference), _planes(image)
        if len(references) == 1:
            references *= len(planes)
        return list(zip(references, planes, strict=True))

    def _check(self, image: ImageStack) -> None:
        ours, theirs = (stack.data.shape[len(stack.plane_axes) :] for stack in (self.reference, image))
        if ours != theirs:
            raise ValueError(f"its planes are {_by(theirs)}, those of the reference {_by(ours)}; crop or resample one")
        if self.reference.n_planes not in (1, image.n_planes):
            raise ValueError(
                f"it has {image.n_planes} planes, the reference {self.reference.n_planes}; give a reference of one plane "
                "or of as many"
            )

    def _measure(self, reference: np.ndarray, image: np.ndarray) -> dict[str, float]:
        """Return every metric; NaN, and why, where it does not apply."""
        from napari_cellrestore.metrics import METRICS, score

        row = {}
        for name, metric in METRICS.items():
            row[name] = float("nan")
            if name in NEED_RANGE and self.data_range is None:
                self.left_out.append(
                    f"PSNR and SSIM are left out: {reference.dtype} does not tell the span of grey levels, --data-range does"
                )
                continue
            try:
                row |= score(reference, image, [name], data_range=self.data_range, mask=self.mask)
            except ValueError as error:
                self.left_out.append(f"{metric.label} is left out: {error}")
        return row

    def _add_spectrum(self, name: str, reference: np.ndarray, image: np.ndarray) -> None:
        from napari_cellrestore.metrics import spectral_ratio

        try:
            self.spectra[name] = spectral_ratio(reference, image, self.pixel_um)
        except ValueError as error:
            self.left_out.append(f"the spectrum is left out: {error}")

    def _add_trust(self, name: str, measured: np.ndarray, restored: np.ndarray, made: Mapping[str, Any]) -> None:
        assert self.judge is not None
        try:
            trust = self.judge(measured, restored, made)
        except ValueError as error:
            self.left_out.append(f"trust is left out: {error}")
            self.classes.append(None)
            return
        self.asked = trust.asked
        self.trust[name] = trust.shares
        self.classes.append(trust.classes)

    def trust_table(self) -> Any:
        """Return the percentage of pixels of each kind of trust, as a table."""
        from napari_cellrestore.evaluate import Table
        from napari_cellrestore.trust import kinds_of

        kinds = [verdict.name for _, verdict in kinds_of(self.asked)]
        rows = {name: [100 * shares[kind] for kind in kinds] for name, shares in self.trust.items()}
        return Table("% of pixels", tuple(kinds), rows)

    @property
    def pixel_um(self) -> float | None:
        """The size of the reference's pixels, where it is known and they are square."""
        height = self.reference.pixel_y_um
        return self.reference.pixel_um if height in (None, self.reference.pixel_um) else None

    def table(self, title: str) -> Any:
        """Return what was measured as a :class:`napari_cellrestore.evaluate.Table`, without empty columns."""
        from math import isnan

        from napari_cellrestore.evaluate import Table
        from napari_cellrestore.metrics import METRICS

        names = [name for name in METRICS if not all(isnan(row[name]) for row in self.rows.values())]
        rows = {name: [row[metric] for metric in names] for name, row in self.rows.items()}
        return Table(title, tuple(METRICS[name].label for name in names), rows)


def _check_finite(plane: np.ndarray, name: str) -> None:
    import numpy as np

    bad = 0 if plane.dtype.kind in "bui" else plane.size - np.count_nonzero(np.isfinite(plane))
    if bad:
        raise ValueError(f"{bad} of {plane.size} values of {name} are NaN or infinite; mend or crop the image")


def _planes(stack: ImageStack) -> list[Plane]:
    import numpy as np

    return [stack.data[index] for index in np.ndindex(stack.data.shape[: len(stack.plane_axes)])]


def _by(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


# --- spectra -----------------------------------------------------------------------------------------------


def _write_spectra(path: Path, comparison: Comparison) -> None:
    """Write a line for each frequency and a column for each image; of equal size, they have the same frequencies."""
    import csv

    import numpy as np

    if not comparison.spectra:
        return
    (frequency, _), *_ = comparison.spectra.values()
    ratios = [ratio for _, ratio in comparison.spectra.values()]
    with new_table(path) as file:
        writer = csv.writer(file)
        writer.writerow([f"cycles per {'pixel' if comparison.pixel_um is None else 'um'}", *comparison.spectra])
        writer.writerows(np.column_stack([frequency, *ratios]).tolist())


# --- maps --------------------------------------------------------------------------------------------------


def _write_maps(folder: Path, comparison: Comparison, path: str, image: ImageStack) -> None:
    """Write each map as float TIFF with the calibration of the image, plane by plane."""
    from napari_cellrestore.files import write_tiff

    maps = _maps(comparison.data_range)
    trusted = bool(comparison.classes) and all(classes is not None for classes in comparison.classes)
    targets = {name: folder / f"{stem(path)}_{name}.ome.tif" for name in (*maps, *(["trust"] if trusted else []))}
    for target in targets.values():
        if target.exists():
            raise ValueError(f"the map {target} exists already; give another folder")
    folder.mkdir(parents=True, exist_ok=True)
    for name, function in maps.items():
        write_tiff(targets[name], _map_stack(comparison, image, name, function))
    if trusted:
        write_tiff(targets["trust"], _trust_stack(comparison, image))


def _maps(data_range: float | None) -> dict[str, Callable[..., np.ndarray]]:
    from napari_cellrestore.metrics import difference_map, fpw_map, gradient_map, ssim_map

    maps: dict[str, Callable[..., np.ndarray]] = {
        "difference": difference_map,
        "fpw": fpw_map,
        "gradient": gradient_map,
    }
    if data_range is not None:
        maps["ssim"] = lambda reference, image: ssim_map(reference, image, data_range=data_range)
    return maps


def _map_stack(comparison: Comparison, image: ImageStack, name: str, function: Callable[..., np.ndarray]) -> ImageStack:
    """Return the stack of maps, each computed when it is written."""
    import dask.array as da
    from dask import delayed

    colours = (min(image.size("S"), 3),) if image.rgb and name == "difference" else ()
    shape = (*image.yx_shape, *colours)
    maps = [da.from_delayed(delayed(function)(*pair), shape, "float32") for pair in comparison.pairs(image)]
    return _as_map(comparison, image, name, da.stack(maps), "S" if colours else "")


def _trust_stack(comparison: Comparison, image: ImageStack) -> ImageStack:
    """Return the kind of each pixel, its number in the legend; they were told when the image was measured."""
    import numpy as np

    return _as_map(comparison, image, "trust", np.stack([np.float32(one) for one in comparison.classes]), "")


def _as_map(comparison: Comparison, image: ImageStack, name: str, planes: Any, colours: str) -> ImageStack:
    return image.replace(
        data=planes.reshape(image.data.shape[: len(image.plane_axes)] + planes.shape[1:]),
        axes=f"{image.plane_axes}YX{colours}",
        notes=(),
        provenance={
            "generated": f"map of {name}: computed, not recorded",
            "reference": comparison.reference.source,
            "image": image.source,
        },
    )
