"""Workers of a scheduler on this machine: processes of their own, as on others."""

import json
import socket
import threading
import time
from functools import partial

import dask
import numpy as np
import psutil
import pytest
import tifffile
from distributed import LocalCluster
from distributed.protocol.pickle import dumps
from scipy import ndimage

from napari_cellrestore.batch import LEDGER, Cluster, connected, each_on, held
from napari_cellrestore.batch.ledger import read_rows
from napari_cellrestore.cli import main
from napari_cellrestore.files import open_stack, write_tiff
from napari_cellrestore.model import Model, load_model
from napari_cellrestore.restore import plan_restoration, restore, restore_with_spread
from napari_cellrestore.stack import ImageStack

MODEL = "deblur-fast"
#: So many that a worker can be killed before all are done.
STACKS = 24


@pytest.fixture(scope="module")
def started():
    """Two workers of one thread each; when they are not needed any more, nothing of them is left."""
    with dask.config.set({"distributed.scheduler.allowed-failures": 1}):
        made = LocalCluster(n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0")
    with made:
        yield made
        workers = [psutil.Process(worker.pid) for worker in made.workers.values()]
    assert not psutil.wait_procs(workers, timeout=10)[1]


@pytest.fixture
def local(started):
    """Both workers: one that a test before killed has begun again."""
    started.wait_for_workers(2, timeout=60)
    return started


@pytest.fixture
def said():
    return []


@pytest.fixture
def cluster(local, said):
    with connected(local.scheduler_address, say=said.append) as one:
        yield one


@pytest.fixture
def image(rng):
    return rng.integers(80, 200, (200, 272, 3)).astype(np.uint8)


@pytest.fixture
def folder(tmp_path, rng):
    """Small stacks, and one file that is none."""
    home = tmp_path / "in"
    home.mkdir()
    for number in range(STACKS):
        pixels = rng.integers(80, 200, (2, 96, 112, 3)).astype(np.uint8)
        write_tiff(home / f"f{number}.tif", ImageStack(pixels, "ZYXS", pixel_um=0.1, z_um=[0, 1]))
    (home / "broken.tif").write_bytes(b"II*\0garbage")
    return home


def command(local, arguments):
    return main([*map(str, arguments), "--dask", local.scheduler_address])


# --- tiles of one image --------------------------------------------------------------------------------------


@pytest.mark.parametrize("turned", [False, True])
def test_tiles_from_workers_are_those_made_here(cluster, image, tmp_path, turned):
    plan = plan_restoration(image, MODEL, tile=64, turned=turned)
    lazy = restore_with_spread(image, MODEL, plan) if turned else [restore(image, MODEL, plan)]
    arrived = []
    with held(cluster, lazy, tmp_path, lambda: arrived.append(1)) as pixels:
        for here, there in zip(dask.compute(*lazy, scheduler="threads"), pixels, strict=True):
            np.testing.assert_array_equal(here, there)
    assert len(arrived) == plan.n_tiles
    assert not list(tmp_path.iterdir())


def test_a_tile_takes_a_few_kilobytes_to_the_worker(image):
    """The weights are a task of their own, which all tiles refer to."""
    model = load_model(MODEL)
    tasks = dict(restore(image, model, plan_restoration(image, model, tile=64)).__dask_graph__())
    sizes = {key[0] if isinstance(key, tuple) else key: len(dumps(task)) for key, task in tasks.items()}
    weights = sum(values.numel() * 4 for values in model.network.state_dict().values())
    assert [size > weights for name, size in sizes.items() if name.startswith("Passes")] == [True]
    assert max(size for name, size in sizes.items() if name.startswith("_restore_once")) < 4000


def test_the_command_line_writes_what_it_writes_here(local, image, tmp_path, capsys):
    path = write_tiff(tmp_path / "smear.ome.tif", ImageStack(image, "YXS", pixel_um=0.1))
    line = ("restore", path, "--model", MODEL, "--tile", 64, "--json", "--out")
    assert command(local, [*line, tmp_path / "there.ome.tif"]) == 0
    *_, last, written = map(json.loads, capsys.readouterr().out.splitlines())
    assert last["done"] == last["of"] == plan_restoration(image, MODEL, tile=64).n_tiles > 4
    assert main([str(word) for word in (*line, tmp_path / "here.ome.tif")]) == 0
    here, there = (open_stack(tmp_path / f"{name}.ome.tif") for name in ("here", "there"))
    np.testing.assert_array_equal(here.data, there.data)
    assert there.provenance["plan"] == here.provenance["plan"]
    assert written["out"] == str(tmp_path / "there.ome.tif")


def test_workers_write_the_tiles_of_an_ome_zarr(local, image, tmp_path, monkeypatch):
    path = write_tiff(tmp_path / "smear.ome.tif", ImageStack(image, "YXS", pixel_um=0.1))
    monkeypatch.chdir(tmp_path)  # workers have folders of their own
    assert command(local, ["restore", path.name, "--model", MODEL, "--tile", 64, "--out", "there.ome.zarr"]) == 0
    expected = restore(image, MODEL, plan_restoration(image, MODEL, tile=64))
    np.testing.assert_array_equal(open_stack("there.ome.zarr").data, expected)


def test_a_tile_that_cannot_be_read_is_one_line(local, image, tmp_path, capsys):
    """A file whose last plane is damaged, of which workers find out."""
    path = tmp_path / "smear.tif"
    tifffile.imwrite(path, np.stack([image] * 3), photometric="rgb", compression="zlib")
    with tifffile.TiffFile(path) as file, path.open("r+b") as bytes_of:
        bytes_of.seek(file.pages[2].dataoffsets[0])
        bytes_of.write(b"no pixels")
    assert command(local, ["restore", path, "--model", MODEL, "--out", tmp_path / "out.ome.tif"]) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"cellrestore restore: {path}: ")
    assert [file.name for file in tmp_path.iterdir()] == ["smear.tif"]


# --- the model -----------------------------------------------------------------------------------------------


def watch():
    """On a worker: count how often a model arrives."""

    def arrive(self, state):
        Model.arrived += 1
        self.__dict__.update(state)

    Model.arrived, Model.__setstate__ = 0, arrive


def arrived():
    return Model.arrived


def test_a_model_is_sent_once_to_each_worker(cluster, image, folder, tmp_path):
    model = load_model(MODEL)
    cluster.client.run(watch)
    with held(cluster, [restore(image, model, plan_restoration(image, model, tile=64))], tmp_path):
        assert set(cluster.client.run(arrived).values()) == {1}
    cluster.client.run(watch)

    def name_of(_number, model):
        time.sleep(0.01)
        return model.card.name

    names = [done.value for done in each_on(cluster, name_of, range(40), model)]
    assert names == [MODEL] * 40
    assert set(cluster.client.run(arrived).values()) == {1}


# --- whole stacks --------------------------------------------------------------------------------------------


def test_stacks_from_workers_are_those_made_here_also_when_one_is_killed(local, folder, tmp_path, capsys):
    line = ["restore", folder / "*.tif", "--model", MODEL, "--tile", 32, "--out"]
    out, status = tmp_path / "there", []
    runner = threading.Thread(target=lambda: status.append(command(local, [*line, out])))
    runner.start()
    while not list(out.glob("*.ome.tif")):
        assert runner.is_alive()
        time.sleep(0.01)
    psutil.Process(next(iter(local.workers.values())).pid).kill()
    done_then = len(list(out.glob("*.ome.tif")))
    runner.join()
    assert status == [2]  # one of them cannot be read
    assert done_then < STACKS
    said, err = capsys.readouterr()
    assert said.splitlines()[-2].startswith(f"{STACKS} done, 0 done before, 1 failed: ")
    assert [text for text in err.splitlines() if not text.startswith("Mind: ")] == [
        f"cellrestore restore: {folder / 'broken.tif'}: "
        + next(row.reason for row in read_rows(out / LEDGER) if row.status == "failed").removeprefix("broken.tif: ")
    ]
    assert main([str(word) for word in (*line, tmp_path / "here")]) == 2
    for path in (tmp_path / "here").glob("*.ome.tif"):
        np.testing.assert_array_equal(open_stack(path).data, open_stack(out / path.name).data)
    assert not list(out.glob(".*"))
    capsys.readouterr()
    assert command(local, [*line, out]) == 2
    assert capsys.readouterr().out.splitlines()[0] == f"{STACKS} of {STACKS + 1} were done before"


def test_what_kills_workers_fails_and_the_others_are_done(cluster, local):
    """It shares a task with others, since they are quick; these are done one by one then."""

    def do(item, shared):
        if item == "deadly":
            psutil.Process().kill()
        if item == "wrong":
            raise KeyError("axes")
        return f"{item} {shared}"

    items = [*map(str, range(12)), "deadly", "wrong", *map(str, range(12, 20))]
    local.scheduler.allowed_failures = 0
    try:
        done = {one.item: one for one in each_on(cluster, do, items, "shared")}
    finally:
        local.scheduler.allowed_failures = 1
    assert sorted(done) == sorted(items)
    assert done["deadly"].reason == "1 workers died while they were at it (out of memory?)"
    assert done["wrong"].reason == "KeyError: 'axes'"
    assert all(done[item].value == f"{item} shared" for item in items if item.isdecimal())
    local.wait_for_workers(2, timeout=20)


def test_stacks_are_scored_as_they_are_here(local, tmp_path, rng, monkeypatch, capsys):
    sharp = 20 * ndimage.gaussian_filter(rng.normal(size=(48, 48)), 1)
    planes = [ndimage.gaussian_filter(sharp, abs(z) + 0.3) + 128 for z in (-1, 0, 1)]
    pixels = np.repeat(np.clip(np.stack(planes), 0, 255).astype(np.uint8)[..., None], 3, axis=-1)
    (tmp_path / "stacks").mkdir()
    for name in ("a", "b"):
        write_tiff(tmp_path / "stacks" / f"{name}.tif", ImageStack(pixels, "ZYXS", pixel_um=0.1, z_um=[0, 0.2, 0.4]))
    monkeypatch.chdir(tmp_path)
    said = []
    for run in (partial(command, local), main):
        assert run(["evaluate", MODEL, "--stacks", "stacks", "--json"]) == 0
        said.append(json.loads(capsys.readouterr().out.splitlines()[-1]))
    assert said[0]["samples"] == ["a.tif", "b.tif"]
    assert said[0] == said[1]


# --- the scheduler -------------------------------------------------------------------------------------------


def test_nothing_listens_but_on_this_machine(local):
    processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
    listening = {
        one.laddr.ip for process in processes for one in process.net_connections() if one.status == psutil.CONN_LISTEN
    }
    assert listening == {"127.0.0.1"}


def test_a_scheduler_is_found_by_its_file(local, tmp_path):
    path = tmp_path / "scheduler.json"
    path.write_text(json.dumps({"address": local.scheduler_address}))
    with connected(str(path)) as one:
        assert one.threads() == 2


def test_what_is_no_scheduler_is_said_at_once(tmp_path):
    (tmp_path / "wrong.json").write_text("{}")
    for address, reason in (
        ("tcp://127.0.0.1:9", r"no scheduler answers at tcp://127.0.0.1:9 \(.*\): check address .*dask scheduler"),
        ("http://127.0.0.1:8787", "unknown address scheme 'http'"),
        ("none.json", "there is no such scheduler file"),
        (str(tmp_path / "wrong.json"), "is no scheduler file"),
    ):
        start = time.monotonic()
        with pytest.raises(ValueError, match=reason), connected(address, timeout_s=0.3):
            pass
        assert time.monotonic() - start < 5


@pytest.mark.parametrize(
    ("says", "reason"),
    [(b"", r"nothing within 0\.3 s"), (b"HTTP/1.1 400 Bad Request\r\n\r\n", "what answers there is no dask scheduler")],
)
def test_what_answers_nothing_or_something_else_is_said_at_once(says, reason):
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"

        def answer():
            line, _ = server.accept()
            with line:
                line.sendall(says)
                time.sleep(1)

        threading.Thread(target=answer, daemon=True).start()
        start = time.monotonic()
        with pytest.raises(ValueError, match=rf"no scheduler answers at {address} \({reason}\)"):
            connected(address, timeout_s=0.3).__enter__()
        assert time.monotonic() - start < 5


def test_a_worker_is_no_scheduler(local):
    worker = next(iter(local.scheduler.workers))
    with pytest.raises(ValueError, match="is a worker: give the address of the scheduler"), connected(worker):
        pass


def test_no_scheduler_is_one_line_and_status_2(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("napari_cellrestore.batch.connected", partial(connected, timeout_s=0.3))
    line = ["restore", str(folder / "f0.tif"), "--model", MODEL, "--out", str(tmp_path / "out"), "--dask"]
    assert main([*line, "127.0.0.1:9"]) == 2
    (text,) = capsys.readouterr().err.splitlines()
    assert text.startswith("cellrestore restore: no scheduler answers at 127.0.0.1:9 (")
    monkeypatch.setattr("napari_cellrestore.batch.cluster.find_spec", lambda name: None)
    assert main([*line, "127.0.0.1:9"]) == 2
    assert "pip install 'napari-cellrestore[distributed]'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_other_versions_are_said(cluster, said, monkeypatch):
    answers = {"torch": "1.0", "numpy": ModuleNotFoundError("numpy")}
    monkeypatch.setattr(
        Cluster,
        "_ask",
        lambda self, ask, name, **_: {"tcp://node7:1": answers.get(name, ask(name)), "tcp://node8:1": ask(name)},
    )
    assert cluster.threads() == 2
    assert len(said) == 2
    assert "1.0 on 1 of 2 workers (tcp://node7:1): results may differ" in said[0]
    assert "numpy is" in said[1]
    assert "not installed on 1 of 2 workers" in said[1]


def test_files_that_workers_do_not_see(cluster, tmp_path, monkeypatch):
    (tmp_path / "here.tif").touch()
    cluster.check_sees([tmp_path / "here.tif"])
    monkeypatch.setattr(Cluster, "_ask", lambda *_: {"tcp://node7:1": False, "tcp://node8:1": True})
    with pytest.raises(ValueError, match=r"here\.tif: the worker tcp://node7:1 does not see it \(1 of 2 workers\)"):
        cluster.check_sees([tmp_path / "here.tif"])
