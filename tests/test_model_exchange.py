"""Models on their way: one file, packages of bioimage.io, weights of other programs; renamed and deleted."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import unicodedata
from dataclasses import replace
from types import SimpleNamespace
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import leaky_relu

from napari_cellrestore.card import ModelCard
from napari_cellrestore.model import (
    NameTakenError,
    bioimage_description,
    bioimage_io,
    check_name,
    delete_model,
    export_model,
    import_model,
    list_models,
    load_model,
    model_entries,
    model_folders,
    rename_model,
    save_model,
)
from napari_cellrestore.model.archive import Archive
from napari_cellrestore.model.foreign import state_of
from napari_cellrestore.model.names import LONGEST
from napari_cellrestore.networks import create_network

OPTIONS = {"filters": 4, "blocks": 4, "norm": "none", "dropout": 0.0, "global_skip": True}


@pytest.fixture
def tiny(models):
    torch.manual_seed(0)
    card = ModelCard(
        name="tiny",
        task="deblur",
        summary="Does little",
        network="pix2pix-fast",
        options=OPTIONS,
        stride=4,
        halo_px=8,
        pixel_um=0.1,
        licence="BSD-3-Clause",
        limits=["anything"],
        held_out=[{"images": "smears", "number": 3, "mse_of_input": 0.5}],
    )
    return save_model(models / "tiny", create_network("pix2pix-fast", **OPTIONS), card)


@pytest.fixture
def sent(tiny, tmp_path):
    return export_model("tiny", tmp_path)


def own(models):
    """Everything in the folder of models, hidden or not."""
    return sorted(path.name for path in models.iterdir()) if models.is_dir() else []


# --- names -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["défocus 2 um (fast)", "模型", "a", "v1.2", "con2", "under_score-dash+plus", "x" * LONGEST]
)
def test_names_that_can_be(name):
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name",
    ["", " a", "a ", "a.", ".a", "../a", "a/b", "a\\b", "a:b", "a\n", "a*", 'a"', "..", "x" * (LONGEST + 1), "a\x00"],
)
def test_names_that_are_no_folders(name):
    with pytest.raises(ValueError, match="cannot be the name of a model: use up to 60 letters"):
        check_name(name)


@pytest.mark.parametrize("name", ["con", "NUL", "Com1", "lpt9.zip", "aux .a"])
def test_devices_of_windows_are_no_names(name):
    with pytest.raises(ValueError, match="is a device of Windows"):
        check_name(name)


def test_case_and_accents_do_not_make_another_name():
    for other in ("TINY", unicodedata.normalize("NFD", "défocus").upper()):
        with pytest.raises(NameTakenError, match=r"already; give another name, such as '.* 2'"):
            check_name(other, ["tiny", "défocus"])
    with pytest.raises(NameTakenError) as caught:
        check_name("tiny", ["tiny", "Tiny 2"])
    assert caught.value.free == "tiny 3"


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=70))
def test_a_name_is_one_folder_or_refused(name):
    try:
        checked = check_name(name)
    except ValueError:
        return
    assert not set('/\\:*?"<>|\0') & set(checked)
    assert len(checked.encode()) + len(".cellrestore.zip") <= 256
    assert check_name(checked) == checked


# --- rename and delete -------------------------------------------------------------------------------------


def test_a_renamed_model_is_the_same_under_its_new_name(tiny, models):
    assert rename_model("tiny", "small one") == models / "small one"
    again = load_model("small one")
    assert again.card == tiny.card.model_copy(update={"name": "small one"})
    assert json.loads((models / "small one" / "card.json").read_text())["name"] == "small one"
    assert own(models) == ["small one"]
    rename_model("small one", "Small One")
    assert own(models) == ["Small One"]


def test_a_folder_renamed_by_hand_has_its_name(tiny, models):
    (models / "tiny").rename(models / "by hand")
    assert "by hand" in [card.name for card in list_models()]
    assert load_model("by hand").card.name == "by hand"


@pytest.mark.parametrize(
    ("name", "new", "message"),
    [
        ("tiny", "deblur-fast", "there is a model 'deblur-fast' already; give another name, such as 'deblur-fast 2'"),
        ("tiny", "tiny", "is called 'tiny' already"),
        ("tiny", "../tiny", "cannot be the name"),
        ("deblur-fast", "mine", "'deblur-fast' is bundled with the program: it is neither renamed nor deleted"),
        ("other", "mine", "no model 'other' of yours; there are tiny"),
    ],
)
def test_what_cannot_be_renamed(tiny, models, name, new, message):
    with pytest.raises(ValueError, match=message):
        rename_model(name, new)
    assert own(models) == ["tiny"]


def test_a_deleted_model_is_gone(tiny, models):
    delete_model("tiny")
    assert own(models) == []
    with pytest.raises(ValueError, match="no model 'tiny' of yours; there are none"):
        delete_model("tiny")
    with pytest.raises(ValueError, match="'deblur-fast' is bundled"):
        delete_model("deblur-fast")


def test_damaged_models_can_be_renamed_and_deleted(tiny, models):
    (models / "tiny" / "card.json").write_text("{")
    rename_model("tiny", "broken")
    assert [entry.name for entry in model_entries() if entry.problem] == ["broken"]
    delete_model("broken")
    assert own(models) == []


def test_a_delete_that_is_interrupted_leaves_no_half_model(tiny, models, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", lambda *_args, **_options: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            delete_model("tiny")
    (left,) = models.iterdir()
    assert (left / "card.json").is_file()
    assert "tiny" not in model_folders()
    save_model(models / "next", tiny.network, tiny.card)
    delete_model("next")  # and what was left goes with it
    assert own(models) == []


def test_a_linked_model_is_not_deleted_where_it_is(tiny, models, tmp_path):
    (models / "tiny").rename(tmp_path / "elsewhere")
    try:
        (models / "tiny").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    except OSError:
        pytest.skip("this account cannot make links")
    delete_model("tiny")
    assert own(models) == []
    assert load_model(tmp_path / "elsewhere").card.weights_sha256 == tiny.card.weights_sha256


# --- one file ----------------------------------------------------------------------------------------------


def test_a_model_comes_back_from_its_file(tiny, sent, tmp_path):
    assert sent == tmp_path / "tiny.cellrestore.zip"
    again = import_model(sent, "back")
    assert again.card == tiny.card.model_copy(update={"name": "back"})
    image = torch.rand(1, 3, 8, 12)
    assert torch.equal(again.network(image), tiny.network(image))
    delete_model("tiny")
    assert import_model(sent).card == tiny.card


def test_the_same_model_gives_the_same_file(tiny, sent, tmp_path):
    other = export_model("tiny", tmp_path / "other name.cellrestore.zip")
    assert other.read_bytes() == sent.read_bytes()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
    with ZipFile(sent) as archive:
        assert {entry.compress_type for entry in archive.infolist()} == {ZIP_STORED}
        manifest = json.loads(archive.read("manifest.json"))
        for name, said in manifest["files"].items():
            content = archive.read(name)
            assert said == {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def test_exports_never_overwrite(tiny, sent, tmp_path):
    before = sent.read_bytes()
    for path in (tmp_path, sent):
        with pytest.raises(ValueError, match=r"exists already; give another name"):
            export_model("tiny", path)
    with pytest.raises(ValueError, match=r"there is no folder .*; make it first"):
        export_model("tiny", tmp_path / "none" / "a.zip")
    with pytest.raises(ValueError, match=r"give a folder, or a name that ends in \.cellrestore\.zip"):
        export_model("tiny", tmp_path / "tiny.tar")
    with pytest.raises(ValueError, match="no model 'other'"):
        export_model("other", tmp_path)
    assert sent.read_bytes() == before


def test_a_full_disk_leaves_no_file(tiny, tmp_path, monkeypatch):
    def full(*_args, **_options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ZipFile, "writestr", full)
    with pytest.raises(OSError, match="No space left"):
        export_model("tiny", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["models"]


def test_a_name_that_is_taken_is_refused_and_one_proposed(tiny, sent, models):
    with pytest.raises(
        NameTakenError, match=r"tiny\.cellrestore\.zip: there is a model 'tiny' already.* such as 'tiny 2'"
    ):
        import_model(sent)
    with pytest.raises(ValueError, match="there is a model 'deblur-fast' already"):
        import_model(sent, "Deblur-Fast")
    assert own(models) == ["tiny"]


def test_a_trained_folder_is_imported(tiny, models, tmp_path):
    shutil.copytree(models / "tiny", tmp_path / "run" / "tiny")
    model = import_model(tmp_path / "run" / "tiny", "from a run")
    assert model.folder == models / "from a run"
    assert model.card.weights_sha256 == tiny.card.weights_sha256


def contents_of(path):
    with ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def rewrite(path, contents, compression=ZIP_STORED):
    with ZipFile(path, "w", compression) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)


def changed(path, *, card=None, manifest=True, **contents):
    """Write a model file anew, its manifest true to what is in it unless told otherwise."""
    files = {**contents_of(path), **{name.replace("_", "."): content for name, content in contents.items()}}
    if card is not None:
        files["card.json"] = json.dumps({**json.loads(files["card.json"]), **card}).encode()
    if manifest:
        listed = {
            name: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
            for name, content in files.items()
            if name != "manifest.json"
        }
        files["manifest.json"] = json.dumps({"format": "cellrestore-model", "version": 1, "files": listed}).encode()
    rewrite(path, files)


def rehashed(path, weights, **card):
    changed(path, weights_safetensors=weights, card={"weights_sha256": hashlib.sha256(weights).hexdigest(), **card})


def cut(path):
    path.write_bytes(path.read_bytes()[:-40])


def flip(path):
    content = bytearray(path.read_bytes())
    content[content.index(b"weights.safetensors") + 5000] ^= 1
    path.write_bytes(content)


def more(path, name, content=b"x", **attributes):
    with ZipFile(path, "a") as archive:
        entry = ZipInfo(name)
        for key, value in attributes.items():
            setattr(entry, key, value)
        archive.writestr(entry, content)


def bomb(path):
    files = contents_of(path)
    rewrite(path, {**files, "weights.safetensors": bytes(64 * 2**20)}, ZIP_DEFLATED)


def manifest_of(path, **fields):
    files = contents_of(path)
    rewrite(path, {**files, "manifest.json": json.dumps({**json.loads(files["manifest.json"]), **fields})})


WRONG = {
    "not a zip": (lambda path: path.write_bytes(b"weights"), "not a zip file, or cut off"),
    "empty": (lambda path: path.write_bytes(b""), "not a zip file, or cut off"),
    "cut off": (cut, "not a zip file, or cut off"),
    "a byte changed": (flip, "weights.safetensors is damaged .*CRC"),
    "another hash": (
        lambda path: changed(path, card={"summary": "x"}, manifest=False),
        "card.json is not what was written",
    ),
    "weights of another card": (
        lambda path: changed(path, card={"weights_sha256": "0" * 64}),
        "the weights are not those of its card",
    ),
    "a newer card": (
        lambda path: changed(path, card={"version": 99}),
        "format version 99, this program knows up to 1: update",
    ),
    "a newer file": (lambda path: manifest_of(path, version=2), "format version 2, this program knows up to 1: update"),
    "no version": (lambda path: manifest_of(path, version="x"), "format version x"),
    "another manifest": (lambda path: manifest_of(path, format="x"), "is not that of a model"),
    "files that are none": (lambda path: manifest_of(path, files=[]), "card.json is not what was written"),
    "manifest no JSON": (lambda path: changed(path, manifest_json=b"{", manifest=False), "manifest.json is not JSON"),
    "manifest too deep": (
        lambda path: changed(path, manifest_json=b"[" * 200_000, manifest=False),
        "manifest.json is not JSON",
    ),
    "another network": (lambda path: changed(path, card={"network": "unet9"}), "no network 'unet9'; known are"),
    "other channels": (
        lambda path: changed(path, card={"in_channels": 1}),
        "do not fit the network 'pix2pix-fast' of the card",
    ),
    "another size": (
        lambda path: changed(path, card={"options": {**OPTIONS, "filters": 8}}),
        "do not fit the network 'pix2pix-fast' of the card",
    ),
    "a size for no machine": (
        lambda path: changed(path, card={"options": {**OPTIONS, "filters": 10**9}}),
        "asks for {'filters': 1000000000} above 4096",
    ),
    "a large size": (
        lambda path: changed(path, card={"options": {"filters": 4096, "blocks": 16}}),
        "do not fit the network",
    ),
    "no safetensors": (lambda path: rehashed(path, b"\x80\x04weights"), "tiny.cellrestore.zip: .*header"),
    "a name that climbs": (
        lambda path: changed(path, card={"name": "../../up"}),
        "'../../up' cannot be the name of a model",
    ),
    "an entry too many": (
        lambda path: more(path, "run.py"),
        "has card.json, manifest.json, run.py, weights.safetensors; a",
    ),
    "an entry that climbs": (lambda path: more(path, "../../up"), r"nothing else"),
    "an absolute entry": (lambda path: more(path, "/etc/up"), r"nothing else"),
    "a link": (
        lambda path: more(path, "up", b"/", external_attr=0o120777 << 16),
        "up is a link, encrypted or there twice",
    ),
    "a zip bomb": (bomb, "weights.safetensors would be 64 MiB from 0.1 MiB, .* it is not read"),
    "no weights": (
        lambda path: rewrite(path, {k: v for k, v in contents_of(path).items() if k != "weights.safetensors"}),
        "nothing else",
    ),
    "something else": (lambda path: rewrite(path, {"a.txt": b"x"}), "is a zip file, but holds no model"),
}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(("damage", "message"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_with_a_file_is_said_and_nothing_is_left(sent, models, tmp_path, damage, message):
    delete_model("tiny")
    damage(sent)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ValueError, match=message) as caught:
        import_model(sent)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"{sent}: ")
    assert sorted(tmp_path.rglob("*")) == before
    assert own(models) == []


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_entry_that_is_there_twice_is_refused(sent):
    more(sent, "card.json", b"{}")
    with pytest.raises(ValueError, match="a name is a link, encrypted or there twice"):
        import_model(sent, "twice")


def test_there_is_no_such_file(models, tmp_path):
    with pytest.raises(ValueError, match="there is no such file"):
        import_model(tmp_path / "none.cellrestore.zip")
    with pytest.raises(ValueError, match=r"no card.json, so this is no model folder"):
        import_model(tmp_path)


def test_a_disk_that_fills_up_leaves_nothing(sent, models, monkeypatch):
    delete_model("tiny")

    def full(*_args, **_options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_text", full)
    with pytest.raises(OSError, match="No space left"):
        import_model(sent)
    assert own(models) == []


def test_processes_that_import_and_delete_at_once(sent, models):
    """Some are first, others are told so; what is there in the end is whole."""
    program = (
        "import sys\n"
        "from napari_cellrestore.model import delete_model, import_model\n"
        "done = 0\n"
        "for _ in range(6):\n"
        "    for do in (lambda: import_model(sys.argv[1], 'shared'), lambda: delete_model('shared')):\n"
        "        try:\n            do(); done += 1\n"
        "        except ValueError as error:\n"
        "            said = str(error)\n"
        "            assert 'already' in said or 'no model' in said or 'not there any more' in said, said\n"
        "print(done)\n"
    )
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(sent)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    ends = [run.communicate(timeout=300) for run in runs]
    assert [run.returncode for run in runs] == [0, 0], ends
    assert all(int(out) > 0 for out, _ in ends)
    left = [name for name in own(models) if name != "tiny"]
    assert left in ([], ["shared"])
    for name in left:
        assert load_model(name).card.name == name


# --- the list ----------------------------------------------------------------------------------------------


def test_a_list_says_what_is_damaged_without_reading_weights(tiny, models):
    for name in ("carded", "cut", "cardless"):
        shutil.copytree(models / "tiny", models / name)
    (models / "carded" / "card.json").write_text("{")
    (models / "cardless" / "card.json").unlink()
    weights = models / "cut" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    (models / ".half").mkdir()
    shutil.copy(models / "tiny" / "card.json", models / ".half")
    (models / "notes").mkdir()
    problems = {entry.name: entry.problem for entry in model_entries()}
    assert not problems["tiny"]
    assert "not JSON" in problems["carded"]
    assert "no card.json" in problems["cardless"]
    assert "not a safetensors file" in problems["cut"]
    assert set(problems) == {"tiny", "carded", "cut", "cardless", *(e.name for e in model_entries() if e.bundled)}
    assert {"carded", "cut", "cardless"}.isdisjoint(card.name for card in list_models())
    entry = next(entry for entry in model_entries() if entry.name == "tiny")
    assert entry.size_bytes == sum(path.stat().st_size for path in (models / "tiny").iterdir())
    assert not entry.bundled


# --- packages of bioimage.io -------------------------------------------------------------------------------

SUM = "f" * 64


def package(path, model, *, card=True, sha256=None, **architecture):
    """Write the parts of a package that are read, as the library writes them."""
    state = path.with_suffix(".pt")
    torch.save(dict(model.network.state_dict()), state)
    content = state.read_bytes()
    architecture = {
        "import_from": "napari_cellrestore.networks",
        "callable": "create_network",
        "kwargs": {"name": "pix2pix-fast"},
        **architecture,
    }
    entry = {
        "source": "weights.pt",
        "sha256": sha256 or hashlib.sha256(content).hexdigest(),
        "architecture": architecture,
    }
    description = {"format_version": "0.5.12", "type": "model", "weights": {"pytorch_state_dict": entry}}
    files = {"rdf.yaml": yaml.safe_dump(description), "weights.pt": content}
    rewrite(path, files | ({"card.json": model.card.to_json()} if card else {}), ZIP_DEFLATED)
    return path


def test_a_package_of_this_program_is_imported_without_the_library(tiny, tmp_path):
    model = import_model(package(tmp_path / "p.zip", tiny), "from a package")
    assert model.card == tiny.card.model_copy(update={"name": "from a package"})
    image = torch.rand(1, 3, 8, 8)
    assert torch.equal(model.network(image), tiny.network(image))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"import_from": "os", "callable": "system"}, r"its network \(pytorch_state_dict\) is not one of this program"),
        ({"import_from": None, "source": "unet.py", "callable": "UNet2d"}, "comes as a program, which is not run here"),
        ({"card": False}, "is not one of this program"),
        ({"sha256": SUM}, "weights.pt is not what was written, its hash differs"),
    ],
)
def test_packages_of_others_are_refused(tiny, models, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        import_model(package(tmp_path / "p.zip", tiny, **options), "other")
    assert own(models) == ["tiny"]


@pytest.mark.parametrize(
    ("description", "message"),
    [
        ("weights: {torchscript: {source: weights.pt}}", r"its network \(torchscript\)"),
        ("weights: [1, 2]", r"its network \(no weights\)"),
        ("- 1", "no weights"),
        ("a: [", "rdf.yaml is not YAML"),
        ("!!python/object/apply:os.system ['exit 3']", "rdf.yaml is not YAML"),
    ],
)
def test_descriptions_that_are_none(models, tmp_path, description, message):
    rewrite(tmp_path / "p.zip", {"rdf.yaml": description})
    with pytest.raises(ValueError, match=message):
        import_model(tmp_path / "p.zip", "other")


def test_a_package_without_the_library_is_refused(tiny, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "bioimageio.core", None)
    monkeypatch.setitem(sys.modules, "bioimageio", None)
    with pytest.raises(ValueError, match=r"pip install 'napari-cellrestore\[bioimageio\]'"):
        export_model("tiny", tmp_path, bioimageio=True)
    assert [path.name for path in tmp_path.iterdir()] == ["models"]


def test_a_package_gives_grey_levels_of_the_result(tiny, tmp_path):
    """A camera of 12 bits under the input, a scanner of 8 for the result."""
    levels = {"input_range": (0.0, 4095.0), "output_range": (0.0, 255.0), "output_dtype": "uint8"}
    model = replace(tiny, card=tiny.card.model_copy(update=levels))
    bioimage_io._write_files(tmp_path, model)
    grey, result = (np.load(tmp_path / f"test-{name}.npy") for name in ("input", "output"))
    assert grey.max() > 1000
    with torch.inference_mode():
        expected = (model.network(torch.from_numpy(grey / 2047.5 - 1)).numpy() + 1) * 127.5
    np.testing.assert_allclose(result, expected, atol=0.02)
    step = SimpleNamespace(ScaleLinearKwargs=dict, ScaleLinearDescr=lambda kwargs: kwargs)
    said = bioimage_description.scalings(step, model.card)
    assert said == ([{"gain": pytest.approx(1 / 2047.5), "offset": -1.0}], [{"gain": 127.5, "offset": 127.5}])


@pytest.mark.filterwarnings("ignore")  # of the library and what it imports
def test_a_package_passes_the_test_of_its_library(tiny, models, tmp_path):
    """And comes back with the same output; one with another output does not pass."""
    pytest.importorskip("bioimageio.core", reason="the extra bioimageio is not installed")
    from napari_cellrestore.model.bioimage_io import check_package

    path = export_model("tiny", tmp_path, bioimageio=True, authors=["Ann Author"])
    model = import_model(path, "back")
    image = torch.rand(1, 3, 16, 24) * 2 - 1
    torch.testing.assert_close(model.network(image), tiny.network(image), rtol=0, atol=1e-5)
    assert model.card == tiny.card.model_copy(update={"name": "back"})
    files = contents_of(path)
    description = yaml.safe_load(files["rdf.yaml"])
    assert description["authors"] == [{"name": "Ann Author"}]
    assert description["license"] == "BSD-3-Clause"
    assert description["cite"][0]["doi"] == "10.1109/CVPR.2017.632"
    assert "- anything" in files["README.md"].decode()
    (first,) = description["inputs"]
    assert first["axes"][2]["size"] == {"min": 24, "step": 4}
    assert first["axes"][2]["unit"] == "micrometer"
    assert first["preprocessing"][1]["kwargs"] == {"gain": pytest.approx(2 / 255), "offset": -1.0}
    assert description["outputs"][0]["axes"][2]["halo"] == 8
    (tmp_path / "package").mkdir()
    for name, content in files.items():
        (tmp_path / "package" / name).write_bytes(content)
    output = tmp_path / "package" / "test-output.npy"
    np.save(output, np.load(output) + 1)
    description["outputs"][0]["test_tensor"]["sha256"] = hashlib.sha256(output.read_bytes()).hexdigest()
    (tmp_path / "package" / "rdf.yaml").write_text(yaml.safe_dump(description))
    with pytest.raises(
        ValueError, match=r"does not pass the test of bioimageio\.core: .*1728 of 1728 elements disagree"
    ):
        check_package(tmp_path / "package" / "rdf.yaml")


# --- weights of other programs -----------------------------------------------------------------------------


class Dense(nn.Module):
    """Dense block as the authors of ESRGAN write it."""

    def __init__(self, width, growth):
        super().__init__()
        for number in range(1, 6):
            channels = width + (number - 1) * growth
            setattr(self, f"conv{number}", nn.Conv2d(channels, growth if number < 5 else width, 3, 1, 1))

    def forward(self, x):
        seen = [x]
        for number in range(1, 5):
            seen.append(leaky_relu(getattr(self, f"conv{number}")(torch.cat(seen, 1)), 0.2))
        return self.conv5(torch.cat(seen, 1)) * 0.2 + x


class Block(nn.Module):
    def __init__(self, width, growth):
        super().__init__()
        self.RDB1, self.RDB2, self.RDB3 = (Dense(width, growth) for _ in range(3))

    def forward(self, x):
        return self.RDB3(self.RDB2(self.RDB1(x))) * 0.2 + x


class Generator(nn.Module):
    """ESRGAN's generator without its enlargement, on images of 0..1."""

    def __init__(self, width=6, growth=3, blocks=1):
        super().__init__()
        self.conv_first = nn.Conv2d(3, width, 3, 1, 1)
        self.RRDB_trunk = nn.Sequential(*(Block(width, growth) for _ in range(blocks)))
        self.trunk_conv = nn.Conv2d(width, width, 3, 1, 1)
        self.conv_last = nn.Conv2d(width, 3, 3, 1, 1)

    def forward(self, x):
        first = self.conv_first(x)
        return self.conv_last(first + self.trunk_conv(self.RRDB_trunk(first)))


@pytest.fixture
def generator():
    torch.manual_seed(1)
    return Generator().double().eval()


@pytest.mark.parametrize("inside", [None, "params_ema"])
def test_weights_of_esrgan_do_what_they_did(models, generator, tmp_path, inside):
    state = {key: value.float() for key, value in generator.state_dict().items()}
    torch.save(state if inside is None else {inside: state, "step": 7}, tmp_path / "1x sharp.pth")
    model = import_model(tmp_path / "1x sharp.pth")
    assert (model.card.name, model.card.network, model.card.halo_px) == ("1x sharp", "rrdb", 18)
    image = torch.rand(1, 3, 44, 44, dtype=torch.double)
    with torch.inference_mode():
        there = generator(image)
        here = (model.network.double()(image * 2 - 1) + 1) / 2
    inner = slice(18, -18)
    torch.testing.assert_close(here[..., inner, inner], there[..., inner, inner], rtol=0, atol=1e-6)
    assert "nothing is known of its training" in model.card.limits[0]


def basicsr(key):
    return key.replace("RRDB_trunk", "body").replace("RDB", "rdb").replace("trunk_conv", "conv_body")


def test_the_names_of_basicsr_are_known(models, generator, tmp_path):
    from safetensors.torch import save_file

    save_file(
        {basicsr(key): value.float() for key, value in generator.state_dict().items()}, tmp_path / "a.safetensors"
    )
    torch.save({key: value.float() for key, value in generator.state_dict().items()}, tmp_path / "b.pth")
    one, other = (import_model(tmp_path / name) for name in ("a.safetensors", "b.pth"))
    assert one.card.weights_sha256 == other.card.weights_sha256


def test_weights_that_enlarge_or_are_not_whole_are_refused(models, generator, tmp_path):
    state = dict(generator.state_dict())
    torch.save({**state, "upconv1.weight": torch.zeros(6, 6, 3, 3)}, tmp_path / "x4.pth")
    with pytest.raises(ValueError, match=r"holds upconv1.weight, .* generator without enlargement"):
        import_model(tmp_path / "x4.pth")
    state.pop("RRDB_trunk.0.RDB2.conv3.bias")
    torch.save(state, tmp_path / "less.pth")
    with pytest.raises(ValueError, match="do not fit the network 'rrdb'"):
        import_model(tmp_path / "less.pth")
    assert own(models) == []


class Evil:
    def __reduce__(self):
        return (exec, ("raise SystemExit('unpickled')",))


@pytest.mark.parametrize("legacy", [False, True])
def test_a_program_among_weights_is_not_run(models, tmp_path, legacy):
    torch.save({"conv_first.weight": Evil()}, tmp_path / "evil.pth", _use_new_zipfile_serialization=not legacy)
    with pytest.raises(ValueError, match="holds more than numbers, which could be a program; it is not opened"):
        import_model(tmp_path / "evil.pth")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_torchscript_is_not_run(models, tmp_path):
    torch.jit.trace(nn.Identity(), torch.zeros(1)).save(str(tmp_path / "script.pt"))
    with pytest.raises(ValueError, match="holds more than numbers"):
        import_model(tmp_path / "script.pt")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is damaged, or holds more"),
        (b"\x08\0\0\0\0\0\0\0{", "not a safetensors file"),
        (b"PK\x03\x04 and no more", "not a zip file"),
        (b"\x80\x02K\x07.", "is damaged, or holds more"),
    ],
)
def test_damaged_weights(tmp_path, content, message):
    with pytest.raises(ValueError, match=message):
        state_of(tmp_path / "a.pth", content)


def test_weights_that_claim_too_much_are_not_read(tmp_path):
    torch.save({"conv_first.weight": torch.zeros(1).expand(2**32)}, tmp_path / "wide.pth")
    with pytest.raises(ValueError, match="claim more than 2 GiB"):
        state_of(tmp_path / "wide.pth", (tmp_path / "wide.pth").read_bytes())
    torch.save([torch.zeros(3)], tmp_path / "list.pth")
    with pytest.raises(ValueError, match="holds a list, not weights by name"):
        state_of(tmp_path / "list.pth", (tmp_path / "list.pth").read_bytes())


def test_an_archive_of_zeros_within_weights_is_not_read(tmp_path):
    rewrite(tmp_path / "bomb.pth", {"archive/data.pkl": bytes(64 * 2**20)}, ZIP_DEFLATED)
    with pytest.raises(ValueError, match="would be 64 MiB unpacked; it is not read"):
        state_of(tmp_path / "bomb.pth", (tmp_path / "bomb.pth").read_bytes())


def test_an_encrypted_entry_is_refused(tmp_path):
    rewrite(tmp_path / "a.zip", {"card.json": b"{}"})
    content = bytearray((tmp_path / "a.zip").read_bytes())
    content[6] |= 1
    content[content.rindex(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(ValueError, match=r"card.json is a link, encrypted or there twice"):
        Archive(tmp_path / "a.zip")
