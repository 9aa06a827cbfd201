"""The rules of the house: who may import whom, what the manifest names, what the text must not hold."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
import yaml

import napari_cellrestore

HOME = Path(__file__).parents[1]
PACKAGE = Path(napari_cellrestore.__file__).parent
NAME = "napari_cellrestore"

#: Modules by floor: a module imports from its own floor or below.
FLOORS = (
    "stack objective leds recipe card plain",
    "files focus register illumination segment prepare rescan metrics psf beads kernels isotropy recover simulate stain "
    "filters filtered nuclei scan_lines artefacts transfer",
    "networks losses optimiser augment pairs schemes train model deconvolve kernel_model stain_model",
    "tiling rewriting engine sample spread passes domain defocus_prediction restore latent_walk trust evaluate held_out "
    "trained_model report jobs batch",
    "cli gui",
)
FLOOR = {module: floor for floor, modules in enumerate(FLOORS) for module in modules.split()}
WINDOWS = ("napari", "qtpy", "magicgui", "superqt", "pyqtgraph", "PyQt5", "PyQt6", "PySide2", "PySide6", "vispy")
SOURCES = sorted(path for path in PACKAGE.rglob("*.py") if path.name != "__main__.py")


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def part(module: str) -> str:
    """Return which part of the package a module belongs to; "" is the package itself."""
    return (module + ".").split(".")[1]


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line and full name of every import of a file, also those within functions."""
    package = module_name(path).split(".")
    if path.name != "__init__.py":
        package = package[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            home = ".".join([*above, *filter(None, [node.module])])
            # "from package import module" imports the module
            yield from ((node.lineno, f"{home}.{alias.name}" if home == NAME else home) for alias in node.names)


def after_import(modules: list[str]) -> set[str]:
    """Return the top names of all modules that a fresh interpreter has after importing these."""
    program = (
        f"import sys, importlib\nfor name in {modules!r}: importlib.import_module(name)\n"
        "print(*{name.split('.')[0] for name in sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


# --- imports -----------------------------------------------------------------------------------------------


def test_every_module_has_a_floor():
    parts = {part(module_name(path)) for path in SOURCES} - {""}
    assert not parts - set(FLOOR), f"give these a floor in {Path(__file__).name}: {parts - set(FLOOR)}"


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_imports_point_downwards(path):
    ours = part(module_name(path))
    wrong = []
    for line, name in imported(path):
        theirs = part(name)
        if name.split(".")[0] != NAME or theirs in ("", ours, "__version__"):
            continue
        beside = ours in ("cli", "gui")  # two faces that do not know each other
        if not ours or FLOOR.get(theirs, 0) > FLOOR.get(ours, 9) or (beside and theirs in ("cli", "gui")):
            wrong.append(f"{path.name}:{line} imports {name}")
    assert not wrong, wrong


def test_upward_imports_are_seen(tmp_path, monkeypatch):
    """The test above can fail: a core module that imports a face, in each way there is to write it."""
    monkeypatch.setitem(globals(), "PACKAGE", tmp_path / NAME)
    path = tmp_path / NAME / "files" / "tiff.py"
    path.parent.mkdir(parents=True)
    for text in (
        f"from {NAME} import gui",
        f"import {NAME}.gui.layers",
        f"def f():\n    from {NAME}.gui.layers import x",
        "from ..gui import layers",
    ):
        path.write_text(text)
        assert "gui" in {part(name) for _, name in imported(path)}, text
        with pytest.raises(AssertionError, match=r"tiff\.py:"):
            test_imports_point_downwards(path)


def test_importing_the_package_imports_neither_torch_nor_a_window():
    assert not after_import([NAME]) & {"torch", "numpy", *WINDOWS}


def test_words_and_image_science_do_not_import_torch():
    low = [module_name(path) for path in SOURCES if FLOOR.get(part(module_name(path)), 9) <= 1]
    assert f"{NAME}.focus" in low
    assert not after_import(low) & {"torch", *WINDOWS}


def test_only_the_face_in_napari_imports_windows():
    core = [module_name(path) for path in SOURCES if FLOOR.get(part(module_name(path)), 9) <= 3]
    assert f"{NAME}.restore" in core
    assert not after_import(core) & set(WINDOWS)


def test_the_command_line_imports_its_libraries_when_it_needs_them():
    """``--help`` of every subcommand is there at once."""
    shell = [module_name(path) for path in SOURCES if part(module_name(path)) == "cli"]
    assert f"{NAME}.cli.restore" in shell
    assert not after_import(shell) & {"torch", "numpy", "skimage", "dask", *WINDOWS}


# --- manifest ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def manifest() -> dict[str, Any]:
    return yaml.safe_load((PACKAGE / "napari.yaml").read_text(encoding="utf-8"))


def test_napari_finds_the_manifest(manifest):
    (entry,) = (entry for entry in entry_points(group="napari.manifest") if entry.name == manifest["name"])
    assert entry.value == f"{NAME}:napari.yaml"


def test_commands_are_declared_and_used(manifest):
    contributions = manifest["contributions"]
    commands = [command["id"] for command in contributions["commands"]]
    used = re.findall(r"command: (\S+)", (PACKAGE / "napari.yaml").read_text(encoding="utf-8"))
    assert len(set(commands)) == len(commands)
    assert set(used) == set(commands)
    assert all(command.startswith(f"{manifest['name']}.") for command in commands)


def test_commands_name_files_that_exist(manifest):
    for command in manifest["contributions"]["commands"]:
        module, name = command["python_name"].split(":")
        tree = ast.parse((PACKAGE.parent / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8"))
        assert name in {node.name for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)}, command


@pytest.mark.gui
def test_commands_can_be_imported(manifest):
    from npe2 import PluginManifest

    PluginManifest(**manifest).validate_imports()


@pytest.mark.gui
def test_menus_are_those_of_napari(manifest):
    from napari._app_model.constants import MenuId

    known = {str(menu.value) for menu in MenuId.contributables()}
    assert not set(manifest["contributions"]["menus"]) - known


# --- text --------------------------------------------------------------------------------------------------

FOLDERS = ("src", "tests", "docs", "examples", "benchmarks", ".ci")
TEXT = (".py", ".md", ".yaml", ".yml", ".toml", ".txt", ".json", ".cfg", ".csv", "")


def texts() -> Iterator[tuple[Path, str]]:
    """Yield the text files of the repository."""
    files = [path for folder in FOLDERS for path in (HOME / folder).rglob("*")]
    for path in [*files, *HOME.glob("*")]:
        if path.is_file() and path.suffix in TEXT and "__pycache__" not in path.parts and path != Path(__file__):
            yield path, path.read_text(encoding="utf-8")


def lines_with(pattern: str, suffix: str = "", folder: Path = HOME) -> list[str]:
    return [
        f"{path.relative_to(HOME)}:{number}: {line.strip()[:80]}"
        for path, text in texts()
        if path.is_relative_to(folder) and path.name.endswith(suffix)
        for number, line in enumerate(text.splitlines(), 1)
        if re.search(pattern, line)
    ]


def test_nothing_is_unpickled():
    """Weights are data: a model that someone sends must not be able to run code."""
    unsafe = r"\b(pickle|cPickle|dill|joblib|cloudpickle|shelve)\b|torch\.(jit\.load|hub\.load)|allow_pickle"
    unsafe += r"|torch\.load\b(?!\(.*weights_only=True\))"  # which makes tensors and refuses all else
    assert not lines_with(unsafe, ".py", HOME / "src")


def test_no_paths_of_one_machine():
    assert not lines_with(r"(?<![\w.*<-])/(work|root|home|Users|tmp|mnt)/\w|\b[A-Z]:\\+Users\b")


def test_text_files_end_with_a_newline():
    assert not [str(path.relative_to(HOME)) for path, text in texts() if text and not text.endswith("\n")]
