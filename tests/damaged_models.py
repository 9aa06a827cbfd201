"""Models as folders, files and packages, and how they are damaged and opened."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from contextlib import suppress
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile

import numpy as np
import yaml

from damage import Rng, changed_bytes, changed_json, changed_value, changed_yaml

OPTIONS = {"filters": 4, "blocks": 4, "norm": "batch", "dropout": 0.0, "global_skip": True}
CARD, WEIGHTS, MANIFEST = "card.json", "weights.safetensors", "manifest.json"


def make_models(folder: Path) -> None:
    """Write a model folder, the same as one file, and weights of another program."""
    import torch

    from napari_cellrestore.card import ModelCard
    from napari_cellrestore.model import export_model, save_model
    from napari_cellrestore.networks import create_network

    torch.manual_seed(0)
    held_out = [{"images": "smears", "number": 3, "mse_of_input": 0.5}]
    card = ModelCard(name="tiny", task="deblur", network="pix2pix-fast", options=OPTIONS, stride=4, held_out=held_out)
    save_model(folder / "tiny", create_network("pix2pix-fast", **OPTIONS), card)
    export_model(folder / "tiny", folder / "tiny.cellrestore.zip")
    rrdb = create_network("rrdb", width=4, blocks=1, growth=2).state_dict()
    state = {_esrgan(name): value for name, value in rrdb.items()}
    torch.save(state, folder / "old.pth", _use_new_zipfile_serialization=False)
    torch.save({"params": state, "step": 3}, folder / "new.pth")
    from safetensors.torch import save_file

    save_file(state, folder / "foreign.safetensors")
    _make_package(folder / "package.zip", folder / "tiny")


def _esrgan(name: str) -> str:
    """Return what BasicSR calls a weight."""
    name = re.sub(r"^blocks\.(\d+)\.blocks\.(\d+)\.", lambda m: f"body.{m[1]}.rdb{int(m[2]) + 1}.", name)
    name = re.sub(r"growing\.(\d+)", lambda m: f"conv{int(m[1]) + 1}", name).replace(".last.", ".conv5.")
    return re.sub(r"^(first|last)\.", r"conv_\1.", re.sub(r"^trunk\.", "conv_body.", name))


def _make_package(path: Path, folder: Path) -> None:
    """Write the parts of a package of bioimage.io that are read."""
    import torch
    from safetensors.torch import load_file

    torch.save(load_file(folder / WEIGHTS), path.with_suffix(".pt"))
    content = path.with_suffix(".pt").read_bytes()
    path.with_suffix(".pt").unlink()
    library = {"import_from": "napari_cellrestore.networks", "callable": "create_network", "kwargs": OPTIONS}
    entry = {"source": "weights.pt", "sha256": hashlib.sha256(content).hexdigest(), "architecture": library}
    description = yaml.safe_dump({"type": "model", "weights": {"pytorch_state_dict": entry}}).encode()
    write_zip(path, {"rdf.yaml": description, "weights.pt": content, CARD: (folder / CARD).read_bytes()})


def read_zip(path: Path) -> dict[str, bytes]:
    with ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write_zip(path: Path, contents: dict[str, bytes], compression: int = ZIP_DEFLATED) -> None:
    with ZipFile(path, "w", compression) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)


def change_model(rng: Rng, seeds: Path, folder: Path) -> Path:
    paths = sorted(seeds.iterdir())
    seed = paths[int(rng.integers(len(paths)))]
    target = folder / seed.name
    if seed.is_dir():
        shutil.copytree(seed, target)
        for name, content in _changed_parts(rng, {p.name: p.read_bytes() for p in target.iterdir()}).items():
            (target / name).write_bytes(content)
    elif seed.suffix == ".zip" and rng.random() < 0.6:
        compression = int(rng.choice([ZIP_STORED, ZIP_DEFLATED]))
        write_zip(target, _changed_parts(rng, read_zip(seed)), compression)
    else:
        target.write_bytes(changed_bytes(rng, seed.read_bytes()))
    return target


def _changed_parts(rng: Rng, parts: dict[str, bytes]) -> dict[str, bytes]:
    """Return the files of a model with one changed; more often than not hashes are those of the changed ones."""
    name = str(rng.choice(sorted(parts)))
    by_suffix = {".json": changed_json, ".yaml": changed_yaml, ".safetensors": _changed_weights}
    parts = {**parts, name: by_suffix.get(Path(name).suffix, changed_bytes)(rng, parts[name])}
    if rng.random() < 0.8:
        with suppress(ValueError, TypeError, RecursionError):
            _rehash(parts)
    return parts


def _rehash(parts: dict[str, bytes]) -> None:
    if WEIGHTS in parts:
        card = json.loads(parts[CARD])
        parts[CARD] = json.dumps({**card, "weights_sha256": hashlib.sha256(parts[WEIGHTS]).hexdigest()}).encode()
    if MANIFEST in parts:
        files = {
            name: {"bytes": len(parts[name]), "sha256": hashlib.sha256(parts[name]).hexdigest()}
            for name in (CARD, WEIGHTS)
        }
        parts[MANIFEST] = json.dumps({**json.loads(parts[MANIFEST]), "files": files}).encode()


def _changed_weights(rng: Rng, content: bytes) -> bytes:
    """Change weights as bytes, or the header alone: names, types, shapes, places."""
    if rng.random() < 0.4:
        return changed_bytes(rng, content)
    length = int.from_bytes(content[:8], "little")
    header = changed_value(rng, json.loads(content[8 : 8 + length]))
    if isinstance(header, dict) and header and rng.random() < 0.2:
        kinds = ("F64", "F16", "BF16", "F8_E4M3", "F4", "C64", "U8", "BOOL", "I64", "X", "F8_E8M0", "F6_E2M3")
        key = str(rng.choice(np.array(list(header), object)))
        header[key] = {**header[key], "dtype": str(rng.choice(kinds))} if isinstance(header[key], dict) else header[key]
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + content[8 + length :]


def open_model(path: Path) -> None:
    """List, load and import a model; each of these may refuse it, the list never."""
    from napari_cellrestore.model import delete_model, import_model, load_model, model_entries

    if path.is_dir():
        home = Path(os.environ["CELLRESTORE_MODELS"])
        home.mkdir(exist_ok=True)
        listed = Path(shutil.copytree(path, home / "listed"))
        try:
            assert "listed" in [entry.name for entry in model_entries()]
        finally:
            shutil.rmtree(listed)
    model = import_model(path, "imported")
    delete_model(model.card.name)
    if path.is_dir():
        load_model(path)
