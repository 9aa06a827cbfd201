"""Engines agree, go on in pieces without memory, and are chosen by what was measured."""

import json
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from napari_cellrestore.card import ModelCard
from napari_cellrestore.cli import main
from napari_cellrestore.engine import (
    ENGINES,
    Measurement,
    Runner,
    Timing,
    available_engines,
    choice,
    choose,
    choose_for,
    is_long,
    known,
    machine,
    measure,
    measurement,
    openvino_run,
    padded,
    reason,
    runner,
    torch_run,
)
from napari_cellrestore.engine.runners import in_pieces
from napari_cellrestore.engine.runs import _computing
from napari_cellrestore.files import write_tiff
from napari_cellrestore.model import Model, save_model
from napari_cellrestore.networks import create_network, receptive_halo
from napari_cellrestore.restore import plan_restoration, restore
from napari_cellrestore.stack import ImageStack

AVAILABLE = [name for name, said in available_engines().items() if "not installed" not in said]
#: The kinds of network that come with the program, with other options where these are faster to compile.
KINDS = {
    "pix2pix-fast": {"filters": 4, "blocks": 4, "norm": "none", "dropout": 0.0, "global_skip": True},
    "nafnet-fast": {"width": 8, "blocks": (1, 1), "up_blocks": (0,)},
    "rrdb": {"width": 4, "growth": 2, "blocks": 1},
}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A cache folder of the test's own, and nothing measured before."""
    monkeypatch.setenv("CELLRESTORE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(measurement, "_HELD", {})
    monkeypatch.setattr(measurement, "_RATES", {})
    monkeypatch.setattr(measurement, "_ERRORS", {})
    return tmp_path / "cache"


def model(name="pix2pix-fast", **changes):
    torch.manual_seed(0)
    options = KINDS[name]
    network = create_network(name, **options).eval().requires_grad_(False)
    for parameter in network.parameters():
        parameter.add_(0.05 * torch.randn_like(parameter))
    card = ModelCard(
        name=name,
        task="deblur",
        network=name,
        options=options,
        stride=network.stride,
        halo_px=receptive_halo(network, 3, network.stride),
        weights_sha256=name,
    )
    return Model(network, card.model_copy(update=changes), None)


def image(*shape):
    return np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)


def plain(network, values):
    with torch.inference_mode():
        return network(torch.from_numpy(values.transpose(2, 0, 1)[None]))[0].permute(1, 2, 0).numpy()


# --- agreement --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "engine"),
    # Compiling takes half a minute: of the bundled kind alone.
    [(name, engine) for name in KINDS for engine in AVAILABLE if engine != "compiled" or name == "nafnet-fast"],
)
def test_engines_give_what_eager_torch_gives(name, engine):
    """At sizes that fit the stride and others, and in tiles as in one."""
    ours = model(name)
    run = Runner(ours, engine, "cpu")
    # Of small images torch would compile another program, which takes as long again.
    large = np.array([144, 146] if engine == "compiled" else [64, 50])
    for shape in ((large[0], large[0] + 32, 3), (large[0] - 3, large[1], 3)):
        values = image(*shape)
        expected = plain(ours.network, values)
        np.testing.assert_allclose(run(values), expected, rtol=0, atol=1e-4 * np.abs(expected).max())
    ours.runners[f"{engine} float32", "cpu"] = run  # not compiled again
    frame = 255 * np.abs(image(large[0] + 7, 2 * large[0] + 2, 3))
    whole, tiled = (
        restore(frame, ours, plan_restoration(frame, ours, engine=engine, tile=tile)).compute()
        for tile in (4096, int(large[0]))
    )
    np.testing.assert_allclose(tiled, whole, rtol=0, atol=1e-4 * np.abs(whole).max())


@pytest.mark.parametrize("engine", ["torch", "openvino"])
def test_engines_run_what_was_written_for_doubled_images(engine):
    """Networks whose layers were replaced, at another size than they were traced at."""
    pytest.importorskip(engine)
    torch.manual_seed(0)
    network = create_network("transfer-unet", filters=2).eval().requires_grad_(False)
    make = {"torch": lambda: torch_run(network), "openvino": lambda: openvino_run(network, 3)}[engine]
    values = image(128, 384, 3)
    np.testing.assert_allclose(make()(values), plain(network, values), rtol=0, atol=1e-4)


def test_engines_copy_their_result():
    """A second run does not change what the first gave."""
    for engine in ("torch", "openvino"):
        pytest.importorskip(engine)
        run = Runner(model(), engine, "cpu")
        first = run(image(32, 32, 3))
        before = first.copy()
        run(-image(32, 32, 3))
        np.testing.assert_array_equal(first, before)


def test_bfloat16_is_near_and_its_sums_are_exact():
    ours = model()
    values = image(64, 64, 3)
    full, half = (Runner(ours, "torch", "cpu", precision)(values) for precision in ("float32", "bfloat16"))
    assert half.dtype == np.float32
    assert 1e-5 < np.abs(half - full).max() < 0.02 * np.abs(full).max()
    nothing = model()
    for parameter in nothing.network.parameters():
        parameter.zero_()
    np.testing.assert_array_equal(Runner(nothing, "torch", "cpu", "bfloat16")(values), values)


def test_a_runner_travels_with_its_precision():
    ours, values = Runner(model(), "torch", "cpu", "bfloat16"), image(32, 32, 3)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(ours))(values), ours(values))


def test_a_runner_is_made_once_for_each_way():
    ours = model()
    assert runner(ours, "torch", "cpu") is runner(ours, "torch", "cpu", "float32")
    assert runner(ours, "torch", "cpu", "bfloat16") is not runner(ours, "torch", "cpu")


def test_graphics_cards_compute_float32_as_float32():
    before = torch.backends.cudnn.allow_tf32
    with _computing("cuda:0", "float32"):
        assert not torch.backends.cudnn.allow_tf32
        assert torch.backends.cudnn.enabled
    assert torch.backends.cudnn.allow_tf32 == before


# --- memory -----------------------------------------------------------------------------------------------------

NO_MEMORY = {
    "cuda": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    "python": MemoryError(),
    "numpy": np._core._exceptions._ArrayMemoryError((9, 9), np.dtype(float)),
    "cpu": RuntimeError(
        "[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: not enough memory: you tried to allocate"
    ),
    "mps": RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)"),
    "openvino": RuntimeError("Exception from src/inference: std::bad_alloc"),
}


def blurred(values):
    """Sees 8 px on every side, in steps of 4: what a network of stride 4 and halo 8 may see."""
    rows, columns = (n // 4 for n in values.shape[:2])
    blocks = np.pad(values, ((8, 8), (8, 8), (0, 0)))
    return sum(
        blocks[4 * i : 4 * (i + rows), 4 * j : 4 * (j + columns)] * (1 + i + 5 * j) for i in range(5) for j in range(5)
    )


def limited(run, most_px, error, sizes=None):
    """``run`` on a machine with little memory."""

    def run_or_raise(values):
        if values.shape[0] * values.shape[1] > most_px:
            raise error
        if sizes is not None:
            sizes.append(values.shape[:2])
        return run(values)

    return run_or_raise


@pytest.mark.parametrize("error", NO_MEMORY.values(), ids=NO_MEMORY)
def test_what_does_not_fit_runs_in_pieces(error, caplog):
    values, sizes = image(96, 128, 2), []
    run = in_pieces(limited(blurred, 2500, error, sizes), 4, 8)
    np.testing.assert_allclose(run(values), blurred(values), rtol=1e-6)
    assert max(rows * columns for rows, columns in sizes) <= 2500
    assert "96 x 128 px do not fit in memory: they are run in two pieces" in caplog.text


@settings(max_examples=25, deadline=None)
@given(rows=st.integers(1, 90), columns=st.integers(1, 90), most_px=st.integers(2000, 9000))
def test_pieces_do_not_change_the_result(rows, columns, most_px):
    values, whole = image(rows, columns, 1), padded(blurred, 4)
    run = in_pieces(limited(whole, most_px, MemoryError()), 4, 8)
    np.testing.assert_allclose(run(values), whole(values), rtol=1e-5)


def test_a_network_runs_in_pieces():
    ours = model()
    whole = torch_run(ours.network)
    stride, halo, values = ours.card.stride, ours.card.halo_px, image(4 * 61, 4 * 50, 3)
    run = in_pieces(padded(limited(whole, 120**2, MemoryError()), stride), stride, halo)
    np.testing.assert_allclose(run(values), whole(values), rtol=0, atol=1e-5)


def test_what_was_too_large_is_not_tried_again():
    asked = []

    def run(values):
        asked.append(values.shape[:2])
        if values.shape[0] > 64:
            raise MemoryError
        return values

    limited_run = in_pieces(run, 4, 8)
    for _ in range(3):
        limited_run(image(100, 20, 1))
    assert asked.count((100, 20)) == 1


def test_restoring_goes_on_in_pieces():
    ours, frame = model(), 255 * np.abs(image(120, 160, 3))
    whole = restore(frame, ours, plan_restoration(frame, ours, engine="torch")).compute()
    little = model()
    forward = little.network.forward

    def forward_or_raise(tensor):
        if tensor.shape[-1] * tensor.shape[-2] > 9000:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(tensor)

    class Little(nn.Module):
        def forward(self, tensor):
            return forward_or_raise(tensor)

    little = Model(Little(), little.card, None)
    plan = plan_restoration(frame, ours, engine="torch")
    np.testing.assert_allclose(restore(frame, little, plan).compute(), whole, atol=255e-5)


@pytest.mark.parametrize("halo", [64, sys.maxsize])
def test_what_cannot_be_cut_is_said(halo):
    run = in_pieces(limited(blurred, 10, MemoryError()), 4, halo)
    with pytest.raises(MemoryError, match="100 x 90 px do not fit in memory and cannot be cut: close other programs"):
        run(image(100, 90, 1))


def test_other_errors_are_not_taken_for_it():
    def run(values):
        raise RuntimeError("expected 3 channels")

    with pytest.raises(RuntimeError, match="expected 3 channels"):
        in_pieces(run, 4, 8)(image(100, 90, 1))


# --- what there is ----------------------------------------------------------------------------------------------


def test_devices_are_found_and_asked_for(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert machine.devices() == ["cuda", "cpu"] or machine.devices() == ["cuda", "mps", "cpu"]
    assert available_engines()["torch"] == "CUDA"
    assert choose("auto", "auto", "auto") == ("torch", "cuda", "float32")
    assert choose("torch", "cpu", "auto")[1] == "cpu"
    for engine in set(AVAILABLE) - {"torch"}:
        assert choose(engine, "cpu", "auto")[0] == engine
        with pytest.raises(ValueError, match=f"the engine {engine} runs on the cpu, not on 'cuda'"):
            choose(engine, "auto", "auto")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert choose("auto", "auto", "auto") == ("torch", "mps", "float32")
    with pytest.raises(ValueError, match="bfloat16 is for the cpu and cuda, not for 'mps'"):
        choose("torch", "mps", "bfloat16")


def test_without_a_compiler_nothing_is_compiled(monkeypatch):
    monkeypatch.setattr(machine.shutil, "which", lambda name: None)
    assert available_engines()["compiled"] == "not installed: a C++ compiler (g++, clang++ or cl)"
    with pytest.raises(ValueError, match="the engine compiled is not installed: a C"):
        choose("compiled", "auto", "auto")
    monkeypatch.setattr(machine.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(machine.sysconfig, "get_path", lambda name: "/nowhere")
    assert available_engines()["compiled"] == "not installed: the header files of Python (python3-dev)"


def test_compiled_code_is_kept_with_the_user(cache, monkeypatch):
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    machine.keep_compiled()
    assert machine.os.environ["TORCHINDUCTOR_CACHE_DIR"] == str(cache / "compiled")
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "mine")
    machine.keep_compiled()
    assert machine.os.environ["TORCHINDUCTOR_CACHE_DIR"] == "mine"


# --- measuring --------------------------------------------------------------------------------------------------


@pytest.fixture
def only_torch(monkeypatch):
    """Nothing is made ready that takes seconds."""
    monkeypatch.setattr(measurement, "available_engines", lambda: {"torch": "processor"})
    monkeypatch.setattr(measurement, "has_bfloat16", lambda engine, device: True)
    monkeypatch.setattr(measurement, "SIDE_PX", 64)


def test_what_is_measured_is_kept(only_torch, cache):
    ours = model()
    assert known(ours.card) is None
    found = measure(ours, budget_s=0)
    full, half = found.timings
    assert (full.engine, full.precision, full.error) == ("torch", "float32", 0)
    assert half.precision == "bfloat16"
    assert 0 < half.error < 2
    assert full.s_per_mpx > 0
    (path,) = (cache / "engines").iterdir()
    assert Measurement.model_validate_json(path.read_text()) == found
    measurement._HELD.clear()
    assert known(ours.card) == found
    assert known(model("rrdb").card) is None


def test_what_other_versions_measured_is_not_known(only_torch, monkeypatch):
    ours = model()
    measure(ours, budget_s=0)
    with monkeypatch.context() as changed:
        changed.setattr(torch, "get_num_threads", lambda: 77)
        assert known(ours.card) is None
    facts = measurement._of_machine("cpu")
    monkeypatch.setattr(measurement, "_of_machine", lambda device: {**facts, "torch": "99"})
    assert known(ours.card) is None


@pytest.mark.parametrize("broken", [b"", b"{", b"\xff\xfe", b'{"facts": {}, "side_px": 1, "timings": []}', b"[1]"])
def test_a_broken_cache_is_ignored_and_written_again(only_torch, cache, broken):
    ours = model()
    found = measure(ours, budget_s=0)
    (path,) = (cache / "engines").iterdir()
    path.write_bytes(broken)
    measurement._HELD.clear()
    assert known(ours.card) is None
    again = measure(ours, budget_s=0)
    assert json.loads(path.read_text())["facts"] == found.facts == again.facts
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_without_a_folder_it_is_known_in_this_process(only_torch, cache):
    cache.write_text("a file where the folder should be")
    ours = model()
    assert measure(ours, budget_s=0) == known(ours.card)
    measurement._HELD.clear()
    assert known(ours.card) is None


def test_an_engine_that_fails_is_left_out(only_torch, monkeypatch, caplog):
    monkeypatch.setattr(measurement, "available_engines", lambda: {"torch": "processor", "openvino": "processor"})

    def broken(*_args, **_options):
        raise RuntimeError("no such instruction")

    monkeypatch.setattr("napari_cellrestore.engine.runners.openvino_run", broken)
    assert {one.engine for one in measure(model(), budget_s=0).timings} == {"torch"}
    assert "openvino float32 cannot run pix2pix-fast: no such instruction" in caplog.text


def test_the_image_that_is_timed_is_always_the_same():
    ours = measurement.probe_image(70, 5)
    np.testing.assert_array_equal(ours, measurement.probe_image(70, 5))
    assert ours.shape == (70, 70, 5)
    assert np.abs(ours).max() <= 1
    assert ours.std() > 0.1


def test_large_networks_are_timed_on_small_images(monkeypatch):
    ours = model()
    for rate, side in ((0.1, 512), (400.0, 64), (40.0, 156)):
        monkeypatch.setattr(measurement, "_RATES", {(ours.card.weights_sha256, "cpu"): rate})
        assert measurement._side(ours, "cpu") == side


# --- choosing ---------------------------------------------------------------------------------------------------


def measured(ours, *timings):
    """Put a measurement into the cache: (engine, precision, seconds to make ready, seconds per megapixel, error)."""
    names = ("engine", "precision", "ready_s", "s_per_mpx", "error")
    timings = [Timing(**dict(zip(names, one, strict=True))) for one in timings]
    found = Measurement(facts=measurement._facts(ours.card, "cpu"), side_px=500, timings=timings)
    measurement._keep(found)
    return found


ROWS = (
    ("torch", "float32", 0.0, 2.0, 0.0),
    ("compiled", "float32", 20.0, 1.5, 1e-4),
    ("openvino", "float32", 3.0, 1.0, 1e-4),
)


def test_unmeasured_it_is_torch():
    ours = model()
    chosen = choose_for(ours, device="cpu", megapixels=1e6)
    assert chosen[:3] == ("torch", "cpu", "float32")
    assert chosen.why == "not measured on this machine yet: cellrestore info --measure pix2pix-fast"
    assert choose_for(ours, "torch").why == ""


def test_what_pays_is_chosen():
    """Torch takes 2 s a megapixel; OpenVINO 1 s and 3 s to make it ready: it pays from 3 megapixels on."""
    ours = model()
    measured(ours, *ROWS)
    small, large = (choose_for(ours, device="cpu", megapixels=mpx) for mpx in (2.9, 3.1))
    assert small[:3] == ("torch", "cpu", "float32")
    assert small.why == "ready at once; openvino float32 is faster from 3 megapixels on"
    assert large[:3] == ("openvino", "cpu", "float32")
    assert large.why == (
        "openvino float32: 250 ms against compiled 375, torch 500 for 500 x 500 px, made ready in 3 s; bfloat16 not in this "
        "processor"
    )


def test_what_is_named_is_kept_to():
    ours = model()
    measured(ours, *ROWS, ("openvino", "bfloat16", 3.0, 0.5, 0.1))
    assert choose_for(ours, "torch", megapixels=100)[:3] == ("torch", "cpu", "float32")
    assert choose_for(ours, "openvino", megapixels=0.1)[2] == "bfloat16"
    assert choose_for(ours, "openvino", precision="float32", megapixels=100)[2] == "float32"
    assert choose_for(ours, precision="float32", megapixels=100)[0] == "openvino"
    assert choose_for(ours, "compiled", megapixels=1).why == "made ready in 20 s"


def test_an_error_above_the_tolerance_is_not_chosen():
    ours = model(tolerance=0.3)
    found = measured(ours, *ROWS, ("openvino", "bfloat16", 3.0, 0.5, 0.31))
    assert choose_for(ours, megapixels=100)[:3] == ("openvino", "cpu", "float32")
    assert reason(found, ours.card).endswith("; openvino bfloat16 is off by 0.31 grey levels")
    with pytest.raises(
        ValueError, match=r"changes by 0\.31 grey levels of 255 in bfloat16 and its card allows 0\.3: leave"
    ):
        choose_for(ours, "openvino", precision="bfloat16")


def test_bfloat16_without_hardware_is_slower_and_said(monkeypatch):
    ours = model(tolerance=5.0)
    monkeypatch.setattr(choice, "has_bfloat16", lambda engine, device: False)
    chosen = choose_for(ours, "torch", "cpu", "bfloat16")
    assert chosen.warnings == (
        "this cpu has no hardware for bfloat16, which is slower here than float32: leave precision out",
    )
    monkeypatch.setattr(choice, "has_bfloat16", lambda engine, device: True)
    assert choose_for(ours, "torch", "cpu", "bfloat16").warnings == ()


def test_bfloat16_is_refused_with_numbers():
    with pytest.raises(
        ValueError, match=r"changes by 0\.\d+ grey levels of 255 in bfloat16 and its card allows 0\.001"
    ):
        choose_for(model(tolerance=0.001), "torch", "cpu", "bfloat16")


def test_long_work_is_worth_measuring(monkeypatch):
    ours = model()
    monkeypatch.setattr(measurement, "_RATES", {(ours.card.weights_sha256, "cpu"): 2.0})
    assert not is_long(ours, "auto", "cpu", 29)
    assert is_long(ours, "auto", "cpu", 31)
    assert not is_long(ours, "torch", "cpu", 31)
    measured(ours, *ROWS)
    assert not is_long(ours, "auto", "cpu", 31)


# --- plans and the command line ---------------------------------------------------------------------------------


def test_a_plan_measures_nothing(monkeypatch):
    monkeypatch.setattr(Runner, "ready", lambda self: pytest.fail("a network was run"))
    ours, frame = model(), np.zeros((2000, 2000, 3), np.uint8)
    plan = plan_restoration(frame, ours, device="cpu")
    assert "engine     torch on cpu, float32 (not measured on this machine yet: cellrestore info" in str(plan)
    measured(ours, *ROWS)
    plan = plan_restoration(frame, ours, device="cpu")
    assert "engine     openvino on cpu, float32 (openvino float32: 250 ms against" in str(plan)
    assert type(plan).model_validate_json(plan.model_dump_json()) == plan
    assert plan_restoration(frame[:500], ours, device="cpu").engine == "torch"
    turned = plan_restoration(frame[:500], ours, device="cpu", turned=True)
    assert turned.engine == "openvino"  # 8 times the work


def test_the_plan_is_kept_to():
    ours, frame = model(tolerance=5.0), (255 * np.abs(image(64, 64, 3))).astype(np.float32)
    plan = plan_restoration(frame, ours, engine="torch", device="cpu", precision="bfloat16")
    restored = restore(frame, ours, plan).compute()
    expected = Runner(ours, "torch", "cpu", "bfloat16")(frame / np.float32(plan.intensity[1]) * 2 - 1)
    np.testing.assert_allclose(restored, (expected + 1) / 2 * plan.intensity[1], atol=1e-2)
    assert np.abs(restored - restore(frame, ours, plan_restoration(frame, ours, engine="torch")).compute()).max() > 0.01


def test_several_models_run_by_torch():
    first, second = model(), model("rrdb", stride=4)
    measured(first, *ROWS)
    plan = plan_restoration(np.zeros((300, 300, 3), np.uint8), [first, second], device="cpu")
    assert (plan.engine, plan.precision, plan.engine_why) == ("torch", "float32", "")


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A models folder with a model."""
    monkeypatch.setenv("CELLRESTORE_MODELS", str(tmp_path / "models"))
    ours = model()
    save_model(tmp_path / "models" / "tiny", ours.network, ours.card.model_copy(update={"name": "tiny"}))
    return tmp_path


def test_info_measures_and_tells(home, only_torch, capsys):
    assert main(["info"]) == 0
    assert [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()][-2][1] == "not measured"
    assert main(["info", "--measure", "tiny"]) == 0
    said = capsys.readouterr().out.strip()
    assert said.startswith("torch ")
    assert " ms" in said
    assert main(["info"]) == 0
    assert said in capsys.readouterr().out
    assert main(["info", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["fastest"]["tiny"] == said
    assert main(["info", "--measure", "tiny", "a.tif"]) == 2


def test_long_work_is_measured_first(home, only_torch, monkeypatch, capsys):
    frame = ImageStack((255 * np.abs(image(40, 50, 3))).astype(np.uint8), "YXS", pixel_um=0.1)
    write_tiff(home / "a.ome.tif", frame)
    command = ["restore", str(home / "a.ome.tif"), "--model", "tiny", "--overwrite", "--out", str(home / "out.ome.tif")]
    assert main(command) == 0
    assert "measuring" not in capsys.readouterr().out
    monkeypatch.setattr(choice, "LONG_S", 0.0)
    assert main([*command, "--engine", "torch"]) == 0
    assert main([*command, "--dry-run"]) == 0
    assert "measuring" not in capsys.readouterr().out
    assert main(command) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "measuring  which engine is fastest here, once for this model"
    assert said[1].startswith("measured   torch ")
    assert main(command) == 0
    assert "measuring" not in capsys.readouterr().out


def test_importing_the_engines_loads_none():
    program = "import sys, napari_cellrestore.engine; print({'openvino', 'torch._inductor'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "set()", done.stderr


def test_the_table_of_engines():
    assert tuple(available_engines()) == ENGINES
