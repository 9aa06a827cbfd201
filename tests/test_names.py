"""Files of any name, and paths of Windows in recipes."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from napari_cellrestore.cli import main
from napari_cellrestore.recipe import Recipe
from workplace import make_workplace


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """The folder that commands run in."""
    return make_workplace(tmp_path_factory.mktemp("home"))


# --- names ---------------------------------------------------------------------------------------------------

NAMES = {
    "odd": "å e\u0301 漢字 💥 'q' \"d\" `b` # % & ; $HOME $x^2$ {0} ~ [1] <b> a=b,c",
    "spaces": "  two  cells  ",
    "long": "l" * 246,
    "bytes": os.fsdecode(b"caf\xe9"),
    "lines": "two\nlines \x1b[31m",
}


@pytest.fixture
def named(home, tmp_path, monkeypatch, request):
    """A stack and two images whose names are odd, in a folder of the same name."""
    monkeypatch.setenv("CELLRESTORE_MODELS", str(home / "models"))
    monkeypatch.chdir(tmp_path)
    folder = Path("out " + request.param[:100])
    try:
        folder.mkdir()
        for suffix, source in ((".tif", "s0.ome.tif"), (".tiff", "a.ome.tif")):
            shutil.copy(home / source, f"{request.param}{suffix}")
        shutil.copy(home / "b.ome.tif", folder / f"{request.param}.tif")
    except (OSError, UnicodeError) as error:
        pytest.skip(f"this disk cannot have such a name: {error}")
    return request.param, folder


@pytest.mark.parametrize("named", NAMES.values(), ids=NAMES, indirect=True)
def test_files_of_any_name(named, capsys):
    """Everything is done and says the name, or, where a name made of it would be too long, one line says so."""
    name, out = named
    stack, image, other = f"{name}.tif", f"{name}.tiff", str(out / f"{name}.tif")
    long = len(name) > 200
    lines = {
        "info": (["info", stack, "--json"], 0),
        "focus": (["focus", stack, "--extract", str(out / "planes")], 2 if long else 0),
        "restore": (["restore", image, "--model", "tiny", "--engine", "torch", "--out", str(out)], 2 if long else 0),
        "compare": (["compare", image, other, "--csv", str(out / "scores.csv"), "--json"], 0),
    }
    if name in (NAMES["odd"], NAMES["bytes"]):  # which takes seconds
        lines["report"] = (["report", "--input", image, "--restored", other, "--out", str(out / "report")], 0)
    for command, (line, expected) in lines.items():
        status = main(line)
        said, wrong = capsys.readouterr()
        wrong = [one for one in wrong.splitlines() if not one.startswith("Mind: ")]
        assert status == expected or (long and status in (0, 2)), (command, wrong)
        if status:
            assert len(wrong) == 1
            assert "File name too long" in wrong[0]
        elif command == "info":
            assert json.loads(said)["path"] == stack
        elif command == "compare":
            assert json.loads(said.splitlines()[0])["image"] == other
    assert not [path.name for path in out.rglob("*") if path.name.startswith(".")]


WINDOWS = [
    r"C:\data\x",
    r"C:\data/mixed\två celler",
    r"\\server\share\x",
    r"relative\x",
    "relative/x",
    "D:x",
    "C:\\new\\table",
]


@pytest.mark.parametrize("path", WINDOWS)
def test_paths_of_windows_in_recipes_stay_and_are_named_where_they_are_not_there(tmp_path, monkeypatch, capsys, path):
    monkeypatch.chdir(tmp_path)
    images = ({"kind": "pairs", "input": path, "target": f"{path}\\sharp"},)
    recipe = Recipe(name="a", network="pix2pix-fast", losses={"l1": 1}, images=images)
    Path("mine.yaml").write_text(recipe.to_yaml(), encoding="utf-8")
    read = Recipe.read(Path("mine.yaml"))
    assert read == recipe
    assert (read.images[0].input, read.images[0].target) == (path, f"{path}\\sharp")
    by_hand = f"name: a\nnetwork: pix2pix-fast\nlosses: {{l1: 1}}\nimages:\n- {{kind: sharp, input: '{path}'}}\n- input: {path}\n"
    assert [source.input for source in Recipe.from_yaml(by_hand).images] == [path, path]
    assert main(["train", "mine.yaml", "--folder", "run"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert path in line
    assert "there is no such folder" in line
    assert not Path("run").exists()
