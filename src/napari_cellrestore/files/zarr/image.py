"""What the metadata of an OME-Zarr image says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import zarr
from pydantic import ValidationError
from yaozarrs import v04, v05
from zarr.errors import ContainsArrayError, GroupNotFoundError

from napari_cellrestore.files.calibration import SAVED, Calibration, unit_um
from napari_cellrestore.files.planes import FileError
from napari_cellrestore.files.zarr.axes import letters_of

#: Versions of the metadata that can be read, and how.
VERSIONS = {"0.4": v04, "0.5": v05}
#: Key, within what this project writes, of an image that is not finished.
UNFINISHED = "unfinished"


class OmeImage(NamedTuple):
    """Arrays of an image from the finest to the coarsest, in the order of the file, and what is said of them."""

    levels: Sequence[zarr.Array[Any]]
    letters: str
    units: Sequence[str | None]
    #: Of the finest level, in ``units``.
    scale: Sequence[float]
    translation: Sequence[float]
    omero: Mapping[str, Any]
    saved: Mapping[str, Any]
    notes: Sequence[str]


def read_image(path: Path) -> OmeImage:
    """Return what an OME-Zarr holds; of several images in a folder as bioformats2raw makes them the first."""
    group, notes = _group(path), []
    if series := _series(path, group):
        if len(series) > 1:
            notes.append(f"the folder holds {len(series)} images: the first ({series[0]}) was taken")
        group = _member(path, group, series[0], zarr.Group)
    return _read(path, group, notes)


def is_image(path: Path) -> bool:
    """Return whether a folder is an OME-Zarr image, finished or not."""
    try:
        attributes = _group(path).attrs.asdict()
    except Exception:  # a damaged file can make a reader raise anything
        return False
    return "multiscales" in _ome(attributes) or UNFINISHED in saved_in(attributes)


def saved_in(attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what this project wrote into the attributes."""
    saved = attributes.get(SAVED)
    return saved if isinstance(saved, dict) else {}


# --- the folder --------------------------------------------------------------------------------------------


def _group(path: Path) -> zarr.Group:
    try:
        return zarr.open_group(str(path), mode="r", use_consolidated=False)
    except ContainsArrayError:
        raise FileError(
            f"{path.name}: it is an array without the metadata of an image; open the folder that holds it, or say what "
            "it is by saving it as OME-Zarr"
        ) from None
    except GroupNotFoundError:
        raise FileError(
            f"{path.name}: neither zarr.json nor .zgroup is in the folder; it is no OME-Zarr, or was not copied whole"
        ) from None


def _member(path: Path, group: zarr.Group, name: str, kind: type) -> Any:
    try:
        found = group[name]
    except KeyError:
        found = None
    if not isinstance(found, kind):
        raise FileError(f"{path.name}: its {kind.__name__.lower()} {name!r} is not there; copy the folder again")
    return found


def _ome(attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    ome = attributes.get("ome", attributes)
    return ome if isinstance(ome, dict) else {}


def _series(path: Path, group: zarr.Group) -> list[str]:
    """Return the images of a folder with the layout of bioformats2raw; empty where it has another."""
    ome = _ome(group.attrs.asdict())
    if "bioformats2raw.layout" not in ome or "multiscales" in ome or "plate" in ome:
        return []
    listed = _ome(group["OME"].attrs.asdict()).get("series") if "OME" in group else None
    names = [str(name) for name in listed or sorted(group.group_keys(), key=lambda name: (len(name), name))]
    names = [name for name in names if name != "OME"]
    if not names:
        raise FileError(f"{path.name}: it holds no image; copy the folder again")
    return names


# --- the metadata ------------------------------------------------------------------------------------------


def _read(path: Path, group: zarr.Group, notes: list[str]) -> OmeImage:
    attributes = group.attrs.asdict()
    ome, saved = _ome(attributes), saved_in(attributes)
    if UNFINISHED in saved:
        raise FileError(
            f"{path.name}: its writing was broken off; give the command that wrote it again, it goes on there"
        )
    multiscale = _multiscale(path, ome, notes)
    models = VERSIONS[_version(path, ome, multiscale, notes)]
    axes = multiscale.get("axes")
    if not isinstance(axes, list) or not all(isinstance(axis, dict) for axis in axes):
        raise FileError(f"{path.name}: its metadata does not name the axes; save it anew as OME-Zarr 0.5")
    letters = letters_of(axes)
    if not {"Y", "X"} <= set(letters):
        names = ", ".join(str(axis.get("name")) for axis in axes)
        raise FileError(f"{path.name}: its axes are {names}, and an image needs y and x; save it anew with these")
    datasets = [_valid(path, models.Dataset, one) for one in multiscale.get("datasets") or ()]
    if not datasets:
        raise FileError(f"{path.name}: its metadata names no arrays; save it anew")
    scale, translation = _placed(path, models, datasets[0], multiscale, len(axes))
    return OmeImage(
        [_level(path, group, dataset.path, len(axes)) for dataset in datasets],
        letters,
        [axis.get("unit") for axis in axes],
        scale,
        translation,
        ome["omero"] if isinstance(ome.get("omero"), dict) else {},
        saved,
        notes,
    )


def _multiscale(path: Path, ome: Mapping[str, Any], notes: list[str]) -> Mapping[str, Any]:
    """Return the first image of a group; what holds none is said."""
    several = ome.get("multiscales")
    for kind, what, do in (
        ("plate", "a plate of images", f"open one of them, such as {path.name}/A/1/0"),
        ("well", "a well of a plate", f"open a field of it, such as {path.name}/0"),
        ("image-label", "labels, not an image", "open the image that they belong to"),
        ("labels", "a folder of labels", "open the image that they belong to"),
    ):
        if kind in ome and (not several or kind == "image-label"):
            raise FileError(f"{path.name}: it is {what}; {do}")
    if not isinstance(several, list) or not several or not isinstance(several[0], dict):
        raise FileError(f"{path.name}: it is a zarr without the metadata of an image; save it anew as OME-Zarr")
    if len(several) > 1:
        notes.append(f"the folder holds {len(several)} images: the first was taken")
    return several[0]


def _version(path: Path, ome: Mapping[str, Any], multiscale: Mapping[str, Any], notes: list[str]) -> str:
    version = ome.get("version", multiscale.get("version"))
    if version is None:
        notes.append("the file does not state its version of OME-Zarr: it was read as 0.4")
        return "0.4"
    if version not in VERSIONS:
        raise FileError(
            f"{path.name}: it is OME-Zarr {version}, and {' and '.join(VERSIONS)} can be opened; convert it to one of these"
        )
    return str(version)


def _valid(path: Path, model: Any, given: Any) -> Any:
    """Return metadata as the library's model of it."""
    try:
        return model.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or model.__name__
        said = " ".join(first["msg"].split("\n")[0].split()).rstrip(".")
        raise FileError(f"{path.name}: its metadata is wrong at {where} ({said}); save it anew as OME-Zarr") from None


def _placed(
    path: Path, models: Any, dataset: Any, multiscale: Mapping[str, Any], ndim: int
) -> tuple[list[float], list[float]]:
    """Return scale and translation of an array: its own, then those of all arrays."""
    steps = list(dataset.coordinateTransformations)
    if of_all := multiscale.get("coordinateTransformations"):
        steps += _valid(
            path, models.Dataset, {"path": "all", "coordinateTransformations": of_all}
        ).coordinateTransformations
    scale, translation = np.ones(ndim), np.zeros(ndim)
    for step in steps:
        numbers = getattr(step, step.type)
        if len(numbers) != ndim:
            raise FileError(f"{path.name}: its {step.type} has {len(numbers)} numbers for {ndim} axes; save it anew")
        if step.type == "scale":
            scale, translation = scale * numbers, translation * numbers
        else:
            translation = translation + numbers
    return [_clean(one) for one in scale], [_clean(one) for one in translation]


def _clean(number: float) -> float:
    return float(f"{number:.12g}")


def _level(path: Path, group: zarr.Group, name: str, ndim: int) -> zarr.Array[Any]:
    array: zarr.Array[Any] = _member(path, group, name, zarr.Array)
    if array.ndim != ndim:
        raise FileError(f"{path.name}: its array {name!r} has {array.ndim} axes, its metadata {ndim}; save it anew")
    if array.dtype.kind not in "biuf":
        raise FileError(
            f"{path.name}: its pixels ({array.dtype}) are no real numbers; save it anew as integers or float"
        )
    return array


# --- what it says of lengths -------------------------------------------------------------------------------


def calibration_of(image: OmeImage) -> Calibration:
    """Return pixel size and positions along Z, where the image states them as lengths."""
    notes: list[str] = []
    pixel_um, pixel_y_um = _length(image, "X", notes), _length(image, "Y", [])
    if pixel_um is not None and pixel_y_um is not None and np.isclose(pixel_um, pixel_y_um, rtol=1e-6):
        pixel_y_um = None
    return Calibration(
        pixel_um=pixel_um,
        pixel_y_um=None if pixel_um is None else pixel_y_um,
        z_um=_z_um(image),
        notes=notes,
    )


def _length(image: OmeImage, letter: str, notes: list[str]) -> float | None:
    """Return micrometres per pixel, None where they are not stated."""
    where = image.letters.index(letter)
    scale, unit = image.scale[where], image.units[where]
    um = unit_um(unit)
    if um is not None and 0 < scale < np.inf:
        return _clean(scale * um)
    if um is not None:
        notes.append(f"the stated pixel size is {scale:g} {unit}: the pixel size is not known")
    elif unit is not None:
        notes.append(f"the pixel size is given in {unit!r}, not a length")
    elif scale != 1:
        notes.append(f"the pixel size {scale:g} is given without a unit: the pixel size is not known")
    return None


def _z_um(image: OmeImage) -> list[float] | None:
    """Return the position of each plane along Z, None where they are not lengths or not apart."""
    if "Z" not in image.letters:
        return None
    where = image.letters.index("Z")
    um, step, n = unit_um(image.units[where]), image.scale[where], image.levels[0].shape[where]
    if um is None or not np.isfinite(step) or (step == 0 and n > 1):
        return None
    return [_clean((image.translation[where] + step * plane) * um) for plane in range(n)]
