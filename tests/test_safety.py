"""Files that someone sends may be meant to do harm: nothing in them is run, followed outside, blown up or listened for.

Others of the kind are where they belong: that no module unpickles in ``test_house.py``; zip files that climb, lie or blow up,
TorchScript and programs among weights in ``test_model_exchange.py``.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import pickle
import shutil
import socket
import sys
import threading
import time
from contextlib import redirect_stderr, redirect_stdout
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
import tifffile
from scipy import ndimage

from napari_cellrestore.cli import main
from napari_cellrestore.evaluate import Evaluation, Sample, score_samples
from napari_cellrestore.files import open_stack, write_tiff
from napari_cellrestore.model import import_model, load_model
from napari_cellrestore.recipe import Recipe
from napari_cellrestore.report import make_report, write_evaluation
from napari_cellrestore.report.pairs import write_pairs
from napari_cellrestore.stack import ImageStack
from workplace import focus_stack, make_workplace

posix = pytest.mark.skipif(os.name != "posix", reason="links, pipes and processes as POSIX has them")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return make_workplace(tmp_path_factory.mktemp("home"))


@pytest.fixture
def ran(tmp_path):
    """A path at which something appears where a program in a file was run."""
    yield (path := tmp_path / "ran")
    assert not path.exists(), "the program in the file was run"


class Program:
    """What makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_the_program_of_these_tests_would_run(tmp_path):
    pickle.loads(pickle.dumps(Program(tmp_path / "ran"))).close()
    assert (tmp_path / "ran").exists()


# --- programs in files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".pt", ".ckpt"])
def test_a_pickle_under_the_name_of_weights_is_not_run(models, ran, tmp_path, suffix, protocol):
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(pickle.dumps({"conv_first.weight": Program(ran)}, protocol))
    with pytest.raises(ValueError, match=f"weights{suffix}: is damaged, or holds more than numbers"):
        import_model(path)


def test_a_pickle_in_a_model_folder_is_not_run(models, ran, home, tmp_path):
    """Also where the card says that these are its weights."""
    folder = Path(shutil.copytree(home / "models" / "tiny", tmp_path / "sent"))
    content = pickle.dumps(Program(ran))
    (folder / "weights.safetensors").write_bytes(content)
    card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    card["weights_sha256"] = hashlib.sha256(content).hexdigest()
    (folder / "card.json").write_text(json.dumps(card), encoding="utf-8")
    for read in (load_model, import_model):
        with pytest.raises(ValueError, match=r"weights\.safetensors: not a safetensors file"):
            read(folder)


def test_pickles_among_images_are_not_run(ran, tmp_path):
    np.save(tmp_path / "plane.npy", np.array([Program(ran)], object), allow_pickle=True)
    (tmp_path / "plane.pkl").write_bytes(pickle.dumps(Program(ran)))
    shutil.copy(tmp_path / "plane.npy", tmp_path / "z1.tif")
    with pytest.raises(ValueError, match=r"z1\.tif: it is no TIFF, PNG, JPEG or BMP file"):
        open_stack(tmp_path)
    (tmp_path / "z1.tif").unlink()
    for number in range(2):
        tifffile.imwrite(tmp_path / f"z{number}.tif", np.zeros((8, 8), np.uint8), metadata=None)
    stack = open_stack(tmp_path)
    assert stack.n_planes == 2
    assert any("plane.npy" in note for note in stack.notes)
    for name in ("plane.npy", "plane.pkl"):
        with pytest.raises(ValueError, match=rf"{name}: it is no TIFF, PNG, JPEG or BMP file"):
            open_stack(tmp_path / name)


@pytest.mark.parametrize(
    "tag", ["object/apply:builtins.open", "object/new:builtins.open", "name:os.system", "module:os"]
)
def test_programs_in_recipes_are_not_run(ran, tmp_path, tag):
    text = f"name: a\nnetwork: pix2pix\nlosses: {{l1: 1}}\noptions: {{a: !!python/{tag} ['{ran.as_posix()}', w]}}\n"
    (tmp_path / "mine.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"mine\.yaml: the recipe is not YAML: could not determine a constructor"):
        Recipe.read(tmp_path / "mine.yaml")


# --- XML -----------------------------------------------------------------------------------------------------

ENTITIES = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
LAUGHS = f'<!DOCTYPE OME [<!ENTITY l0 "ha">{ENTITIES}]>'


def ome(path, declared, name, **more):
    """Write an OME-TIFF whose description declares entities, with one as the name of its channel."""
    sizes = 'SizeX="8" SizeY="8" SizeZ="1" SizeC="1" SizeT="1" DimensionOrder="XYCZT" Type="uint8" ID="Pixels:0"'
    text = (
        f'<?xml version="1.0"?>{declared}<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
        f'<Image ID="Image:0" Name="a"><Pixels {sizes}><Channel ID="Channel:0:0" Name="{name}"/>'
        f"<TiffData>{more.get('data', '')}</TiffData></Pixels></Image></OME>"
    )
    tifffile.imwrite(path, np.full((8, 8), 7, np.uint8), description=text, metadata=None)
    return path


def opened_or_said(path):
    """Return all that is known of a file that was opened, or why it was not."""
    try:
        stack = open_stack(path)
    except ValueError as error:
        return str(error)
    return f"{stack} {stack.source} {stack.channels} {stack.notes} {stack.provenance}"


@pytest.mark.parametrize("place", ["in a TIFF", "beside planes"])
def test_entities_of_entities_take_neither_time_nor_memory(tmp_path, place):
    """A thousand million times "ha", in 700 bytes."""
    if place == "in a TIFF":
        opened = ome(tmp_path / "a.ome.tif", LAUGHS, "&l9;")
    else:
        opened = tmp_path
        for number in range(2):
            tifffile.imwrite(tmp_path / f"z{number}.tif", np.zeros((8, 8), np.uint8), metadata=None)
        (tmp_path / "lengths.xml").write_text(f"{LAUGHS}<a>&l9;</a>", encoding="utf-8")
    began, memory = time.process_time(), _resident()
    assert opened.name in opened_or_said(opened)
    assert time.process_time() - began < 5
    assert _resident() - memory < 200 * 2**20


def _resident():
    if sys.platform != "linux":
        return 0
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))


def test_files_that_entities_name_are_not_read(tmp_path):
    (tmp_path / "secret").write_text("the secret", encoding="utf-8")
    secret = (tmp_path / "secret").as_uri()
    for kind in (f'<!ENTITY e SYSTEM "{secret}">', f'<!ENTITY % p SYSTEM "{secret}"> %p; <!ENTITY e "x">'):
        path = ome(tmp_path / "a.ome.tif", f"<!DOCTYPE OME [{kind}]>", "&e;" if "%" not in kind else "a")
        assert "the secret" not in opened_or_said(path)


# --- links and pipes in folders ------------------------------------------------------------------------------


@posix
@pytest.mark.parametrize("name", ["card.json", "weights.safetensors"])
@pytest.mark.parametrize("what", ["/dev/zero", "pipe", "nothing", "itself"])
def test_a_link_that_has_no_end_is_refused_at_once(models, home, tmp_path, name, what):
    folder = Path(shutil.copytree(home / "models" / "tiny", tmp_path / "sent"))
    (folder / name).unlink()
    if what == "pipe":
        os.mkfifo(folder / name)
    else:
        (folder / name).symlink_to({"nothing": tmp_path / "none", "itself": folder / name}.get(what, what))
    refusals = []

    def refuse():
        for read in (load_model, import_model):
            with pytest.raises(ValueError, match=r"no card\.json|cannot be read \(there is no such file\)") as caught:
                read(folder)
            refusals.append(caught)

    thread = threading.Thread(target=refuse, daemon=True)
    thread.start()
    thread.join(20)
    assert len(refusals) == 2
    assert not models.exists() or list(models.iterdir()) == []


@posix
def test_links_are_not_taken_into_the_list(models, home, tmp_path):
    """A model whose files are links is read as what they point to, and kept as files of its own."""
    real = Path(shutil.copytree(home / "models" / "tiny", tmp_path / "elsewhere"))
    sent = tmp_path / "sent"
    sent.mkdir()
    for path in real.iterdir():
        (sent / path.name).symlink_to(path)
    (sent / "more").symlink_to("/etc")
    import_model(sent, "taken")
    shutil.rmtree(real)
    assert {path.name for path in (models / "taken").iterdir()} == {"card.json", "weights.safetensors"}
    assert not any(path.is_symlink() for path in models.rglob("*"))
    load_model("taken")


# --- pages and tables ----------------------------------------------------------------------------------------

SCRIPT, IMAGE = "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>'
STYLE = "</style></title><svg/onload=alert(1)>'{0}&lt;b&gt;"
TAGS = set(
    "html head meta title style body h1 h2 div p ul li figure img table thead tbody tr th td".split()  # nothing that acts
)


class Page(HTMLParser):
    """The tags of a page with their attributes, and its text, as a browser takes them."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.attributes, self.text = set(), [], ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]

    def handle_data(self, data):
        self.text += data


def check_page(path, *words):
    """Raise unless a page shows the words and does nothing."""
    page = Page(path)
    assert page.tags <= TAGS
    for tag, name, value in page.attributes:
        assert not name.startswith("on"), (tag, name)
        assert name not in ("href", "action", "formaction", "srcdoc"), (tag, name)
        if name == "src":
            assert (path.parent / value).is_file()
    shown = page.text + "".join(value or "" for _, name, value in page.attributes if name == "alt")
    for word in words:
        assert word in shown, word


def plan():
    return {"warnings": [SCRIPT, IMAGE], STYLE: SCRIPT, "engine": IMAGE, "versions": {SCRIPT: STYLE}}


def test_a_report_of_evil_names_does_nothing(tmp_path):
    rng = np.random.default_rng(0)
    made = {"generated": SCRIPT, "model": IMAGE, "weights_sha256": STYLE, "source": SCRIPT, "plan": plan()}
    image = ImageStack(
        rng.integers(0, 200, (24, 24)).astype(np.uint8), "YX", pixel_um=0.1, source=f"C:\\{IMAGE}.tif", notes=(SCRIPT,)
    )
    restored = image.replace(data=image.data + np.uint8(1), provenance=made, notes=(STYLE,))
    page = make_report(tmp_path / "report", image, restored, title=f"{SCRIPT} {STYLE}")
    check_page(page, SCRIPT, IMAGE, STYLE)
    page = make_report(tmp_path / "other", image, restored)
    check_page(page, f"{IMAGE}.tif")


def evaluation(method, *names):
    levels = (-0.2, 0.0, 0.2)

    def sample():
        sharp = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(40, 40)), 1) * 200 + 120
        planes = np.clip([ndimage.gaussian_filter(sharp, 6 * abs(z)) for z in levels], 0, 255).astype(np.uint8)
        return Sample(planes[1], ImageStack(planes, "ZYX", pixel_um=0.1, z_um=np.array(levels)))

    def broken():
        raise ValueError(SCRIPT)

    scored = list(score_samples(dict.fromkeys(names, sample), {method: lambda stack: stack.data}, ["mse", "fpw"]))
    scored += list(score_samples({f"{STYLE} left out": broken}, {method: lambda stack: stack.data}, ["mse", "fpw"]))
    return Evaluation({"images": SCRIPT, "models": {method: IMAGE}, STYLE: IMAGE}, scored)


@pytest.mark.parametrize("write", [write_evaluation, write_pairs])
def test_an_evaluation_of_evil_names_does_nothing(tmp_path, write):
    page = write(tmp_path, evaluation(SCRIPT, IMAGE, f"{STYLE} 2"))
    check_page(page, SCRIPT, f"{STYLE} left out")
    assert all(path.parent in (tmp_path, tmp_path / "tables") for path in tmp_path.rglob("*") if path.is_file())


@pytest.mark.gui
def test_what_the_focus_widget_says_of_evil_names_does_nothing():
    from napari_cellrestore.gui.focus.words import Region, describe

    said = describe(
        [(Region("frame", None, None), f"{IMAGE}: {SCRIPT} plane 3 is damaged")], {"warning": "red", "icon": "red"}
    )
    assert "<script" not in said
    assert "<img" not in said
    assert "&lt;script&gt;" in said


@pytest.mark.parametrize("name", ["=cmd|'calc'!A1", "+1+1", "-2", "@SUM(A1)", "\t=1", '=HYPERLINK("x","y")'])
def test_names_that_spreadsheets_would_compute_stay_as_they_are(tmp_path, monkeypatch, capsys, name):
    """Tables are read by programs that find files by these names; a sign put before them would be another name."""
    monkeypatch.chdir(tmp_path)
    try:
        write_tiff(f"{name}.tif", focus_stack())
    except OSError:
        pytest.skip("this disk cannot have such a name")
    assert main(["focus", "--csv", "curves.csv", "--", f"{name}.tif"]) == 0
    with open("curves.csv", encoding="utf-8", newline="") as file:
        assert {row["stack"] for row in csv.DictReader(file)} == {f"{name}.tif"}


# --- the network ---------------------------------------------------------------------------------------------

COMMANDS = (
    "info",
    "info s0.ome.tif",
    "models",
    "models show tiny",
    "focus s0.ome.tif",
    "restore a.ome.tif --model tiny --out disk/restored.ome.tif",
    "compare a.ome.tif b.ome.tif",
    "train tiny.yaml --pairs dim sharp 6 --folder disk/run",
)
#: What Python tells of before a program can be reached, or reaches another.
REACHING = ("socket.bind", "socket.connect", "socket.getaddrinfo", "socket.sendto")


def sockets_of(home, lines):
    """Run commands in this process; return for each its status, what it did with sockets, and what it listened on."""
    os.chdir(home)
    os.environ |= {"CELLRESTORE_MODELS": str(home / "models"), "CELLRESTORE_CACHE": str(home / "cache")}
    done = []
    sys.addaudithook(lambda event, arguments: done.append((event, str(arguments))) if event in REACHING else None)
    found = {}
    for line in lines:
        ended, listening = threading.Event(), set()
        watch = threading.Thread(target=lambda ended=ended, listening=listening: _watch(ended, listening))
        watch.start()
        with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            status = listen() if line == "listen" else main(line.split())
        ended.set()
        watch.join()
        found[line] = status, list(done), sorted(listening)
        done.clear()
    return found


def listen():
    with socket.create_server(("127.0.0.1", 0)):
        time.sleep(0.2)
    return 0


def _watch(ended, listening):
    while not ended.is_set():
        listening |= _listening()
        time.sleep(0.01)


def _listening():
    """Return the addresses on which this process listens, as Linux tells them."""
    own = set()
    for number in os.listdir("/proc/self/fd"):
        try:
            own.add(os.readlink(f"/proc/self/fd/{number}").removeprefix("socket:[").removesuffix("]"))
        except OSError:  # closed meanwhile
            continue
    found = set()
    for kind in ("tcp", "tcp6", "udp", "udp6"):
        lines = Path(f"/proc/self/net/{kind}").read_text().splitlines()[1:]
        entries = [line.split() for line in lines]
        found |= {f"{kind} {entry[1]}" for entry in entries if entry[9] in own and (entry[3] == "0A" or kind[0] == "u")}
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="sockets are listed as Linux does")
def test_commands_neither_listen_nor_reach_out(home):
    """No dashboard of dask either; ``--dask`` joins a cluster that is there and starts none."""
    from interrupted import run

    end = run(sockets_of, home, [*COMMANDS, "listen"])
    assert not end.error
    found = end.result
    _, done, listening = found.pop("listen")
    assert listening, "this test would not notice"
    assert "socket.bind" in {event for event, _ in done}
    assert found == {line: (0, [], []) for line in COMMANDS}
