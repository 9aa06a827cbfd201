"""Damaged files of every kind are refused in one line or opened; ``make fuzz`` tries many more of them."""

from __future__ import annotations

import json
import sys
from collections import Counter

import numpy as np
import pytest
import tifffile

import damaged_models
import fuzz
from napari_cellrestore.files import open_stack
from napari_cellrestore.leds import LedTable
from napari_cellrestore.model import import_model, load_model, model_entries
from napari_cellrestore.recipe import Recipe

SEED = 20_251


@pytest.mark.parametrize(("kind", "cases"), [("images", 300), ("models", 100), ("texts", 200)])
def test_damaged_files_open_or_are_refused_in_one_line(tmp_path, kind, cases):
    found = list(fuzz.fuzz(kind, SEED, range(cases), fuzz.make_seeds(tmp_path, [kind])))
    assert [one for one in found if one.fault] == []
    said = Counter(one.said for one in found)
    assert said.total() == cases
    assert min(said["opened"], said["refused"]) > cases // 10  # neither harmless nor beyond recognition


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited as Linux does")
def test_what_must_not_happen_is_noticed(tmp_path):
    expected = fuzz.MISBEHAVIOUR
    seeds = fuzz.make_seeds(tmp_path, ["misbehaviour"])
    found = list(fuzz.fuzz("misbehaviour", 0, range(len(expected)), seeds, limit_s=4, most_bytes=2**28))
    assert [one.case for one in found] == list(range(len(expected)))
    for one, (name, said) in zip(found, expected.items(), strict=True):
        assert said in one.said, name
        assert one.fault == (name != "x.good"), name


def test_a_case_is_the_same_again(tmp_path):
    seeds = fuzz.make_seeds(tmp_path, ["texts"])
    written = []
    for folder in ("one", "other"):
        (tmp_path / folder).mkdir()
        path = fuzz.damage("texts", SEED, 7, seeds, tmp_path / folder)
        written.append((path.name, path.read_bytes()))
    assert written[0] == written[1]


# --- what it found -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rows", "count", "said"), [(32, 0xFFFF0000, "was cut off"), (12, 12 * 48 // 8, "")])
def test_strips_that_say_they_are_longer_than_they_are(tmp_path, rows, count, said):
    """By gigabytes, which are not asked for; by a few rows, as some programs count the last strip, they are read."""
    path, pixels = tmp_path / "a.tif", np.add.outer(np.arange(32), np.arange(48)) % 5 > 2
    tifffile.imwrite(path, pixels, rowsperstrip=rows, metadata=None)
    with tifffile.TiffFile(path, mode="r+b") as tif:
        tag = tif.pages.first.tags["StripByteCounts"]
        tag.overwrite((*tag.value[:-1], count))
    if said:
        with pytest.raises(ValueError, match=rf"a\.tif: plane 0 ends at byte \d{{10}} of a file of \d{{3}}; it {said}"):
            open_stack(path)
    else:
        np.testing.assert_array_equal(open_stack(path).data, pixels)


RECIPE = "name: a\nnetwork: pix2pix\nlosses: {l1: 1}\n"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[" * 1000, "nested too deeply"),
        (RECIPE + "seed: !!bool x", "is not YAML: 'x'"),
        (RECIPE + "seed: !!timestamp x", "is not YAML"),
        (RECIPE + "seed: !!int ''", "is not YAML"),
        (RECIPE + "options: &a {a: *a}", "refers to parts of itself again and again"),
        (RECIPE + 'summary: ["\\e[2J\\n"]', r"field summary: .* \(came: \['\\x1b\[2J\\n'\]\)"),
        (RECIPE + 'seed: "a\\nb"', r"field seed: .* \(came: a b\)"),
        (RECIPE + "".join(f"x{n}: 1\n" for n in range(3000)), "field x7: .*; and 2992 more. Known fields"),
        ("x" * 300_000, "it has 300000 characters, the most is 262144"),
    ],
)
def test_recipes_that_are_none(tmp_path, text, reason):
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=rf"mine\.yaml: .*{reason}") as caught:
        Recipe.read(path)
    assert len(str(caught.value)) < 2000
    assert len(str(caught.value).splitlines()) == 1


def test_a_recipe_that_laughs_takes_no_memory(tmp_path):
    """Ten names for ten names for ten names ... are ten thousand million values, in 300 bytes."""
    levels = "".join(f"{{a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]}}, " for n in range(1, 10))
    path = tmp_path / "mine.yaml"
    path.write_text(f"{RECIPE}options: {{a: [&a0 x, {levels}]}}", encoding="utf-8")
    with pytest.raises(ValueError, match=r"mine\.yaml: .*to more than 100000 values"):
        Recipe.read(path)


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("a.json", "[" * 100_000, "it is no JSON .it is nested too deeply"),
        ("a.csv", f"index,polar_deg,azimuth_deg\n0,{'x' * 70_000},0", "polar_deg is 'x{79}…': it must be a number"),
        (
            "a.json",
            json.dumps([{"index": 10**30, "polar_deg": 0, "azimuth_deg": 0}]),
            "index has a number of more than 64 bits",
        ),
        ("a.csv", "index,polar_deg,azimuth_deg,kind\n0,0,0,a\x1b[2J", r"kind is 'a\?\[2J': it must be one of point"),
    ],
)
def test_tables_that_are_none(tmp_path, name, text, reason):
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=rf"^{name}: .*{reason}") as caught:
        LedTable.read(tmp_path / name)
    assert len(str(caught.value)) < 300


@pytest.fixture
def models(tmp_path, monkeypatch):
    monkeypatch.setenv("CELLRESTORE_MODELS", str(tmp_path / "list"))
    return fuzz.make_seeds(tmp_path, ["models"]) / "models"


def with_card(models, **changes):
    card = models / "tiny" / "card.json"
    card.write_text(json.dumps({**json.loads(card.read_text(encoding="utf-8")), **changes}), encoding="utf-8")
    return models / "tiny"


def test_a_card_that_is_too_deep_is_refused(models):
    (models / "tiny" / "card.json").write_text("[" * 100_000, encoding="utf-8")
    with pytest.raises(ValueError, match=r"card\.json: the card is not JSON: it is nested too deeply"):
        load_model(models / "tiny")


def test_a_card_that_asks_for_too_much_is_refused_before_memory_is_taken(models):
    """Four parameters fewer than a million million, of weights of a few kB."""
    with pytest.raises(ValueError, match=r"asks for {'filters': 1000000} above 4096; no network here is as large"):
        load_model(with_card(models, options={**damaged_models.OPTIONS, "filters": 10**6}))
    with pytest.raises(ValueError, match="the weights do not fit the network"):
        load_model(with_card(models, options={**damaged_models.OPTIONS, "filters": 4096}))


def test_a_damaged_package_is_named(models):
    """Of what is packed, unpacking has errors of its own."""
    path = models / "package.zip"
    content = bytearray(path.read_bytes())
    start = content.index(b"weights.pt") + 200
    content[start : start + 40] = b"\xff" * 40
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"package\.zip: weights\.pt is damaged \(Error -3 while decompressing"):
        import_model(path, "other")


@pytest.mark.parametrize("dtype", ["F4", "x" * 5000])
def test_types_of_weights_that_are_not_known(models, dtype):
    folder = models / "tiny"
    content = (folder / "weights.safetensors").read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    first = next(name for name in header if name != "__metadata__")
    header[first]["dtype"] = dtype
    text = json.dumps(header).encode()
    changed = len(text).to_bytes(8, "little") + text + content[8 + int.from_bytes(content[:8], "little") :]
    parts = {"card.json": (folder / "card.json").read_bytes(), "weights.safetensors": changed}
    damaged_models._rehash(parts)
    for name, part in parts.items():
        (folder / name).write_bytes(part)
    with pytest.raises(ValueError, match=r"weights\.safetensors: not a safetensors file") as caught:
        load_model(folder)
    assert len(str(caught.value)) < 700
    folder.rename(models.parent / "list")
    (models.parent / "list" / "one").mkdir()
    for name in parts:
        (models.parent / "list" / name).rename(models.parent / "list" / "one" / name)
    assert "one" in [entry.name for entry in model_entries()]
