"""Restore one large image beside what else one would run: time, and the greatest memory of a process of its own.

The same network, deblur-fast, on the same image of 2048 x 2048 pixels in colour: by ``restore`` of this program, by the sliding
window of MONAI, by ``map_overlap`` of dask around eager torch, by bioimageio.core on the package that
``cellrestore models export --bioimageio`` writes (``--package``), and by CAREamics, which runs networks of its own alone: in an
untrained one of these, without normalisation, the network is exchanged. ``--bioimageio`` and ``--careamics`` name a Python that has
them beside this program, where this one has not.

A case that is not installed says so. "Off" is the largest difference from the image restored whole, in grey levels.
"""

from __future__ import annotations

import argparse
import atexit
import json
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from timing import CLOCKS

Array = np.ndarray
MODEL = "deblur-fast"
TILE, HALO = 512, 88  # halo of its card


def image(side: int) -> Array:
    """Return a smooth image with noise, uint8."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:side, :side] / 40
    waves = np.stack([np.sin(rows + k) * np.cos(columns - k) for k in range(3)], axis=-1)
    return (180 + 40 * waves + rng.normal(0, 2, (side, side, 3))).clip(0, 255).astype(np.uint8)


# --- cases: each returns what restores an image -------------------------------------------------------------


def ours(engine: str, tile: int) -> Callable[[Array], Array]:
    from napari_cellrestore.model import load_model
    from napari_cellrestore.restore import plan_restoration, restore

    model = load_model(MODEL)

    def run(pixels: Array) -> Array:
        plan = plan_restoration(pixels, model, engine=engine, device="cpu", precision="float32", tile=tile)
        return np.asarray(restore(pixels, model, plan).compute())

    return run


def network() -> Callable[[Array], Array]:
    """Return the network by eager torch: (Y, X, 3) in -1..1 to the same."""
    import torch

    from napari_cellrestore.model import load_model

    net = load_model(MODEL).network

    def run(scaled: Array) -> Array:
        with torch.inference_mode():
            tensor = torch.from_numpy(np.ascontiguousarray(scaled.transpose(2, 0, 1)))[None]
            return np.asarray(net(tensor)[0].permute(1, 2, 0).numpy())

    return run


def scaled(pixels: Array) -> Array:
    return pixels.astype(np.float32) / 127.5 - 1


def levels(output: Array) -> Array:
    return np.rint((output + 1) * 127.5).clip(0, 255).astype(np.uint8)


def eager() -> Callable[[Array], Array]:
    run = network()
    return lambda pixels: levels(run(scaled(pixels)))


def monai() -> Callable[[Array], Array]:
    import torch
    from monai.inferers import sliding_window_inference

    from napari_cellrestore.model import load_model

    net = load_model(MODEL).network

    def run(pixels: Array) -> Array:
        with torch.inference_mode():
            tensor = torch.from_numpy(np.ascontiguousarray(scaled(pixels).transpose(2, 0, 1)))[None]
            side = TILE + 2 * HALO
            output = sliding_window_inference(tensor, (side, side), 1, net, overlap=2 * HALO / side)
        return levels(output[0].permute(1, 2, 0).numpy())

    return run


def dask() -> Callable[[Array], Array]:
    import dask.array as da

    run = network()

    def restored(pixels: Array) -> Array:
        chunked = da.from_array(pixels, chunks=(TILE, TILE, 3))
        each = chunked.map_overlap(
            lambda tile: levels(run(scaled(tile))), depth=(HALO, HALO, 0), boundary="none", dtype=np.uint8
        )
        return np.asarray(each.compute())

    return restored


def bioimageio(package: Path) -> Callable[[Array], Array]:
    from bioimageio.core import load_model, predict

    model = load_model(package, perform_io_checks=False)
    size = next(axis.size for axis in model.inputs[0].axes if axis.type == "space")
    steps = (TILE + 2 * HALO - size.min) // size.step

    def run(pixels: Array) -> Array:
        # The package takes and gives grey levels, (batch, channel, y, x).
        inputs = pixels.transpose(2, 0, 1)[None].astype(np.float32)
        (output,) = predict(model=model, inputs=inputs, blocksize_parameter=steps).members.values()
        return np.rint(np.asarray(output.data)[0].transpose(1, 2, 0)).clip(0, 255).astype(np.uint8)

    return run


def careamics() -> Callable[[Array], Array]:
    from careamics import CAREamist
    from careamics.config.factories import create_advanced_care_config
    from careamics.lightning.prediction import convert_prediction

    from napari_cellrestore.model import load_model

    config = create_advanced_care_config(
        experiment_name="peer",
        data_type="array",
        axes="CYX",
        patch_size=(64, 64),
        batch_size=1,
        n_channels_in=3,
        n_channels_out=3,
        normalization="none",
        num_workers=0,
    )
    side = TILE + 2 * HALO

    folder = TemporaryDirectory()  # in which it writes nothing, but which it makes
    atexit.register(folder.cleanup)
    program = CAREamist(config, work_dir=folder.name, enable_progress_bar=False)
    program.model.model = load_model(MODEL).network

    def run(pixels: Array) -> Array:
        # What its predict() does, but that a checkpoint of training is read first.
        images = program._build_predict_datamodule(
            [np.ascontiguousarray(scaled(pixels).transpose(2, 0, 1))],
            tile_size=(side, side),
            tile_overlap=(2 * HALO, 2 * HALO),
        )
        tiles = program.trainer.predict(program.model, datamodule=images)
        (output,), _ = convert_prediction(tiles, tiled=True, restore_shape=True)
        return levels(output.transpose(1, 2, 0))

    return run


CASES: dict[str, Callable[[Path], Callable[[Array], Array]]] = {
    "eager torch, whole": lambda package: eager(),
    "cellrestore, torch": lambda package: ours("torch", TILE),
    "cellrestore, openvino": lambda package: ours("openvino", TILE),
    "MONAI sliding window": lambda package: monai(),
    "dask map_overlap": lambda package: dask(),
    "bioimageio.core": bioimageio,
    "CAREamics": lambda package: careamics(),
}


# --- one case, in a process of its own ------------------------------------------------------------------------


def measure(case: str, side: int, rounds: int, package: Path, out: Path, clock: Callable[[], float]) -> None:
    """Print the time to the first result, that of the next ones and the greatest memory as JSON."""
    pixels = image(side)
    started = clock()
    try:
        run = CASES[case](package)
    except (ImportError, ValueError) as error:
        print(json.dumps({"missing": str(error).splitlines()[0]}))
        return
    np.save(out, run(pixels))
    first, taken = clock() - started, []
    for _ in range(rounds):
        started = clock()
        run(pixels)
        taken.append(clock() - started)
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    print(json.dumps({"first_s": first, "next_s": float(np.median(taken)), "peak_mib": peak_mib}))


def asked(python: str, case: str, options: argparse.Namespace, out: Path) -> dict[str, float | str]:
    """Return what a case says in a process of its own."""
    command = [python, __file__, "--case", case, "--side", str(options.side), "--rounds", str(options.rounds)]
    done = subprocess.run(
        [*command, "--package", str(options.package), "--out", str(out), "--clock", options.clock],
        capture_output=True,
        text=True,
        check=False,
    )
    lines = done.stdout.strip().splitlines()
    return json.loads(lines[-1]) if lines and done.returncode == 0 else {"missing": done.stderr.strip()[-200:]}


def main() -> None:
    """Run every case, or with ``--case`` one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--bioimageio", metavar="PYTHON", default=sys.executable, help="that has bioimageio.core")
    parser.add_argument("--careamics", metavar="PYTHON", default=sys.executable, help="that has CAREamics")
    parser.add_argument("--package", type=Path, default=Path(f"{MODEL}.zip"), help="of bioimage.io")
    parser.add_argument("--case", choices=CASES, help="run this one here")
    parser.add_argument("--clock", choices=CLOCKS, default="wall", help="see engines.py")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.case:
        measure(options.case, options.side, options.rounds, options.package, options.out, CLOCKS[options.clock])
        return
    pythons = {"bioimageio.core": options.bioimageio, "CAREamics": options.careamics}
    print(f"| {MODEL}, {options.side} x {options.side} RGB | first, s | next, s | of eager | peak MiB | off |")
    print("|---|---|---|---|---|---|")
    with TemporaryDirectory() as folder:
        whole, base_s = None, 0.0
        for case in CASES:
            out = Path(folder) / "result.npy"
            said = asked(pythons.get(case, sys.executable), case, options, out)
            if "missing" in said:
                print(f"| {case} | not installed | | | | |")
                continue
            result = np.load(out).astype(int)
            if whole is None:
                whole, base_s = result, said["next_s"]
            off = np.abs(result - whole).max()
            print(
                f"| {case} | {said['first_s']:.2f} | {said['next_s']:.2f} | {said['next_s'] / base_s:.2f} | "
                f"{said['peak_mib']:.0f} | {off} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
