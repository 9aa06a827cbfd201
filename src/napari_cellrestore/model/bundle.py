"""A model as one file, to be sent and kept: a zip of card, weights and a manifest with the hash of each.

Nothing is compressed (weights do not shrink) and no time is written: the same model gives the same file, byte for byte.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from napari_cellrestore.card import ModelCard
from napari_cellrestore.model.archive import TEXT_BYTES, WEIGHTS_BYTES, Archive, write_new, write_zip
from napari_cellrestore.model.folder import CARD, WEIGHTS, Model
from napari_cellrestore.plain import from_json, shortly

MANIFEST = "manifest.json"
FORMAT = "cellrestore-model"
#: Version of the one-file format; a file of a newer version is refused.
BUNDLE_VERSION = 1
SUFFIX = ".cellrestore.zip"
LIMITS = {CARD: TEXT_BYTES, WEIGHTS: WEIGHTS_BYTES}
AGAIN = "copy or download it again"


def write_bundle(path: Path, model: Model) -> Path:
    """Write a loaded model to a new file."""
    assert model.folder is not None
    contents = {CARD: (model.card.to_json() + "\n").encode(), WEIGHTS: (model.folder / WEIGHTS).read_bytes()}
    if _sha256(contents[WEIGHTS]) != model.card.weights_sha256:
        raise ValueError(f"{model.folder / WEIGHTS}: changed while it was read; try again")
    return write_new(path, lambda unfinished: _write(unfinished, contents))


def _write(path: Path, contents: dict[str, bytes]) -> None:
    files = {name: {"bytes": len(content), "sha256": _sha256(content)} for name, content in contents.items()}
    manifest = json.dumps({"format": FORMAT, "version": BUNDLE_VERSION, "files": files}, indent=1) + "\n"
    write_zip(path, {MANIFEST: manifest.encode(), **contents})


def is_bundle(archive: Archive) -> bool:
    """Whether an archive is a model as one file."""
    return MANIFEST in archive.names


def read_bundle(archive: Archive) -> tuple[ModelCard, bytes]:
    """Return card and weights of a model file.

    Raises
    ------
    ValueError
        Something is missing, there twice, too large, of a newer version, or not what was written; the message says which.
    """
    path, contents = archive.path, _contents(archive)
    try:
        card = ModelCard.from_json(contents[CARD].decode("utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    if _sha256(contents[WEIGHTS]) != card.weights_sha256:
        raise ValueError(f"{path}: the weights are not those of its card; ask for the file again where it came from")
    return card, contents[WEIGHTS]


def _contents(archive: Archive) -> dict[str, bytes]:
    """Return the entries that the manifest lists, each of the size and hash that it says."""
    files = _manifest(archive)
    if set(archive.names) != {MANIFEST, *LIMITS}:
        raise ValueError(
            f"{archive.path}: has {shortly(', '.join(sorted(archive.names)), 200)}; a model file has {MANIFEST}, {CARD} and "
            f"{WEIGHTS}, nothing else"
        )
    contents = {}
    for name, most_bytes in LIMITS.items():
        contents[name] = archive.read(name, most_bytes)
        said = {"bytes": len(contents[name]), "sha256": _sha256(contents[name])}
        if files.get(name) != said:
            raise ValueError(f"{archive.path}: {name} is not what was written, its hash differs; {AGAIN}")
    return contents


def _manifest(archive: Archive) -> dict[str, Any]:
    content = archive.read(MANIFEST, TEXT_BYTES // 16)
    try:
        manifest = from_json(content)
    except ValueError as error:
        raise ValueError(f"{archive.path}: {MANIFEST} is not JSON; {AGAIN}") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise ValueError(f"{archive.path}: {MANIFEST} is not that of a model; choose a file that ends in {SUFFIX}")
    if not isinstance(number := manifest.get("version"), int) or number > BUNDLE_VERSION:
        raise ValueError(
            f"{archive.path}: format version {shortly(number)}, this program knows up to {BUNDLE_VERSION}: "
            "update napari-cellrestore"
        )
    files = manifest.get("files")
    return files if isinstance(files, dict) else {}


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
