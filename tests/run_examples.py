"""Examples and documentation that run: scripts, fenced code, command lines, links, tables, pictures.

Not collected by itself: pytest tests/run_examples.py
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import textwrap
import tomllib
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, get_args

import pytest

HOME = Path(__file__).parents[1]
EXAMPLES = sorted((HOME / "examples").glob("*.py"))
PAGES = [HOME / "README.md", *sorted((HOME / "docs").glob("*.md")), HOME / "CONTRIBUTING.md", HOME / "CHANGELOG.md"]


class Block(NamedTuple):
    """A fenced block of a page: what it is written in, its text and the line it begins at."""

    kind: str
    text: str
    line: int


def blocks(page: Path, kind: str) -> Iterator[Block]:
    """Yield the fenced blocks of a kind, with their places."""
    text = page.read_text(encoding="utf-8")
    for match in re.finditer(r"^( *)```(\w+)\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL):
        if match[2] == kind:
            line = text.count("\n", 0, match.start(3)) + 1
            yield Block(kind, textwrap.dedent(match[3]), line)


def with_blocks(kind: str) -> list[Any]:
    return [pytest.param(page, id=page.name) for page in PAGES if any(blocks(page, kind))]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run in an empty folder, with no models but the bundled ones."""
    monkeypatch.setenv("CELLRESTORE_MODELS", str(tmp_path / "no models"))
    monkeypatch.chdir(tmp_path)


# --- code --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_example(path, tmp_path):
    """It runs without a warning, says what it does at its head, and leaves nothing behind."""
    assert path.read_text(encoding="utf-8").startswith("# ")
    run = [sys.executable, "-W", "error", str(path)]
    done = subprocess.run(run, capture_output=True, text=True, timeout=300, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip(), "it says nothing"
    assert not list(tmp_path.iterdir()), "it left files behind"


def test_there_are_examples():
    assert len(EXAMPLES) >= 4


@pytest.mark.parametrize("page", with_blocks("python"))
def test_python_of_a_page(page):
    """The blocks of a page run one after the other, as a reader would run them."""
    names: dict[str, Any] = {"__name__": page.stem}
    for block in blocks(page, "python"):
        try:
            exec(compile("\n" * (block.line - 1) + block.text, page.name, "exec"), names)
        except Exception:
            pytest.fail(f"{page.name}, line {block.line}:\n\n{block.text}\n{traceback.format_exc(limit=-3)}")


@pytest.mark.parametrize("page", with_blocks("sh"))
def test_command_lines_of_a_page(page, capsys):
    """Every command line names options that exist."""
    from napari_cellrestore.cli import _joined, _parser

    for block in blocks(page, "sh"):
        for line in block.text.splitlines():
            words = shlex.split(line, comments=True)
            if words and Path(words[0]).name == "cellrestore":
                try:
                    _parser(_joined(words[1:])).parse_args(_joined(words[1:]))
                except SystemExit:
                    pytest.fail(f"{page.name}, line {block.line}: {line}\n{capsys.readouterr().err}")


@pytest.mark.parametrize("page", with_blocks("yaml"))
def test_recipes_of_a_page(page):
    from napari_cellrestore.losses import LOSSES
    from napari_cellrestore.networks import create_network
    from napari_cellrestore.recipe import Recipe

    for block in blocks(page, "yaml"):
        recipe = Recipe.from_yaml(block.text)
        assert set(recipe.losses) <= set(LOSSES)
        create_network(recipe.network, **recipe.options)


# --- words -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    text = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{page.name}: {target} does not exist"
        if anchor:
            assert anchor in anchors(file), f"{page.name}: {target} names no heading; there are {anchors(file)}"


def anchors(page: Path) -> list[str]:
    """Return the anchors that GitHub makes of the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return [re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings]


def test_every_page_is_reached_from_the_first():
    index = (HOME / "docs" / "index.md").read_text(encoding="utf-8")
    missing = [page.name for page in PAGES if page.parent.name == "docs" and f"({page.name})" not in index]
    assert missing == ["index.md"]


def test_pages_name_all_there_is():
    """A command, widget, metric, measure, recipe, loss, field of a card or dependency that no page names is a surprise."""
    from napari_cellrestore.card import ModelCard
    from napari_cellrestore.cli import COMMANDS
    from napari_cellrestore.focus import MEASURES
    from napari_cellrestore.losses import LOSSES
    from napari_cellrestore.metrics import METRICS
    from napari_cellrestore.recipe import RECIPES, Augmentation, DefocusSettings, ImageSource, Recipe

    with (HOME / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]
    expected = {
        "command-line.md": [f"`cellrestore {name}`" for name in COMMANDS],
        "focus.md": [f"| {name.replace('_', ' ')} |" for name in MEASURES],
        "compare.md": [metric.label for metric in METRICS.values()],
        "training.md": [*(f"| `{name}` |" for name in RECIPES), *LOSSES, *DefocusSettings.model_fields],
        "recipes.md": [f"| `{name}` |" for name in Recipe.model_fields],
        "pairs.md": [
            *(f"| `{kind}` |" for kind in get_args(ImageSource.model_fields["kind"].annotation)),
            *(f"`{name}" for name in ("every", "slide", "align", "at_minimum", *Augmentation.model_fields)),
        ],
        "models.md": [f"`{name}`" for name in ModelCard.model_fields if name not in ("version", "weights_sha256")],
        "dependencies.md": [
            *(re.match(r"[\w-]+", line)[0] for line in project["dependencies"]),
            *(f"`{name}`" for name in project["optional-dependencies"]),
        ],
    }
    for name, words in expected.items():
        text = (HOME / "docs" / name).read_text(encoding="utf-8")
        assert not [word for word in words if word not in text], name


def test_tables_are_those_of_the_networks(monkeypatch):
    """All but the halos, for which the script takes a minute."""
    monkeypatch.syspath_prepend(HOME / "docs")
    from make_network_table import IN_CHANNELS, described, options
    from tables import markdown

    from napari_cellrestore.networks import NETWORKS

    page = (HOME / "docs" / "networks.md").read_text(encoding="utf-8")
    assert markdown(options()) in page, "not up to date; run docs/make_network_table.py"
    for name in NETWORKS:
        row = " | ".join(described(name, IN_CHANNELS.get(name, 3)))
        assert f"| {row} |" in page, "not up to date; run docs/make_network_table.py"
    assert set(re.findall(r"^\| `([\w-]+)` \|", page, re.MULTILINE)) == set(NETWORKS)


@pytest.mark.parametrize("script", ["make_model_table.py", "make_recipe_table.py"])
def test_tables_are_those_of_models_and_recipes(script):
    check = [sys.executable, str(HOME / "docs" / script), "--check"]
    done = subprocess.run(check, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def test_pictures_are_used_and_small():
    pictures = {path.name: path.stat().st_size for path in (HOME / "docs" / "images").glob("*")}
    shown = {name for page in PAGES for name in re.findall(r"images/([\w.-]+)", page.read_text(encoding="utf-8"))}
    assert set(pictures) == shown
    assert max(pictures.values()) <= 300_000
    assert sum(pictures.values()) <= 3_000_000
