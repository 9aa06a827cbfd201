"""Recipes and tables of LEDs, and how they are damaged and read."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from damage import Rng, changed_json, changed_text, changed_yaml


def make_texts(folder: Path) -> None:
    """Write all named recipes, one with everything, and tables of LEDs."""
    from napari_cellrestore.recipe import RECIPES, ImageSource

    for name in list(RECIPES)[::4]:
        recipe = RECIPES[name]
        images = (ImageSource(kind="pairs", input="C:\\data\\blurred", target="sharp"),)
        (folder / f"{name}.yaml").write_text(recipe.model_copy(update={"images": images}).to_yaml(), encoding="utf-8")
    rows: list[dict[str, Any]] = [
        {"index": n, "polar_deg": 5.0 * n, "azimuth_deg": 90.0 * n, "exposure": "single", "kind": "point", "x_mm": n, "y_mm": -n,
         "wavelength_um": 0.53, "gain": None, "file": f"z{n}.tif", "height_mm": 50.0} for n in range(3)
    ]  # fmt: skip
    columns = {name: [row[name] for row in rows] for name in rows[0] if name != "gain"}
    (folder / "rows.leds.json").write_text(json.dumps(rows), encoding="utf-8")
    (folder / "columns.leds.json").write_text(json.dumps({**columns, "gain": 1.0}), encoding="utf-8")
    for mark, name in ((",", "commas"), (";", "semicolons")):
        lines = [mark.join(rows[0]), *(mark.join("" if v is None else str(v) for v in row.values()) for row in rows)]
        (folder / f"{name}.leds.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def change_text(rng: Rng, seeds: Path, folder: Path) -> Path:
    paths = sorted(seeds.iterdir())
    kinds = {suffix: [path for path in paths if path.suffix == suffix] for suffix in (".yaml", ".json", ".csv")}
    of_kind = kinds[str(rng.choice([".yaml", ".yaml", ".json", ".csv"]))]
    seed = of_kind[int(rng.integers(len(of_kind)))]
    change = {".json": changed_json, ".yaml": changed_yaml}.get(seed.suffix, changed_text)
    content = seed.read_bytes()
    for _ in range(int(rng.integers(1, 3))):
        with suppress(Exception):  # of what the first change left
            content = change(rng, content)
    target = folder / seed.name
    target.write_bytes(content)
    return target


def open_text(path: Path) -> None:
    """Read a recipe and write it again, or read a table."""
    from napari_cellrestore.leds import LedTable
    from napari_cellrestore.recipe import Recipe

    if path.suffix == ".yaml":
        Recipe.read(path).to_yaml()
    else:
        repr(LedTable.read(path))
