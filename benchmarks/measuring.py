"""Time focus and metrics beside scikit-image and the nearest public focus map, and stream an evaluation.

Run with ``make benchmark``, or alone: python benchmarks/measuring.py [--stacks 1000]. Ratios of medians in one run;
nothing is asserted.
"""

from __future__ import annotations

import argparse
import os
import resource
import time
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from scipy import ndimage
from scipy.signal import fftconvolve
from skimage import filters
from skimage import metrics as theirs
from timing import Case, timed

from napari_cellrestore import metrics as ours
from napari_cellrestore.evaluate import recorded_sample, score_samples
from napari_cellrestore.files import write_tiff
from napari_cellrestore.focus import focus_curve, focus_map
from napari_cellrestore.held_out import model_method
from napari_cellrestore.model import load_model
from napari_cellrestore.objective import Objective
from napari_cellrestore.psf import incoherent_psf
from napari_cellrestore.simulate import draw_smear
from napari_cellrestore.stack import ImageStack


def focus(rounds: int) -> None:
    """Compare the focus curve with one read of the green channel as float32."""
    stack = np.random.default_rng(0).integers(0, 256, (17, 401, 401, 3)).astype(np.uint8)

    def read() -> list[float]:
        return [float(plane[..., 1].astype(np.float32).sum()) for plane in stack]

    cases: dict[str, Case] = {
        "read": read,
        "focus_curve": lambda: focus_curve(stack),
        "focus_map": lambda: focus_map(stack),
    }
    timed("focus, 17 x 401 x 401 RGB uint8", cases, rounds=rounds, against="read")


def metrics(rounds: int) -> None:
    """Compare metrics with those of scikit-image, on RGB and on grey."""
    rng = np.random.default_rng(0)
    for shape in ((480, 640, 3), (1024, 1024)):
        reference = rng.integers(0, 256, shape).astype(np.uint8)
        image = np.clip(reference + rng.normal(0, 9, shape), 0, 255).astype(np.uint8)
        channel = -1 if len(shape) == 3 else None
        pair = (reference, image)
        cases: dict[str, tuple[Case, Case]] = {
            "mse": (partial(theirs.mean_squared_error, *pair), partial(ours.mse, *pair)),
            "psnr": (partial(theirs.peak_signal_noise_ratio, *pair), partial(ours.psnr, *pair)),
            "ssim": (partial(theirs.structural_similarity, *pair, channel_axis=channel), partial(ours.ssim, *pair)),
        }
        if channel is None:
            cases["gradient"] = (partial(filters.sobel, image), partial(ours.gradient_magnitude, image))
        for name, (peer, own) in cases.items():
            said = " x ".join(map(str, shape))
            timed(
                f"{name}, {said} uint8",
                {"scikit-image": peer, "cellrestore": own},
                rounds=rounds,
                against="scikit-image",
            )


def maps(rounds: int) -> None:
    """Compare the focus map with that of the extended-depth-of-field tutorial of mahotas, in time and in error.

    That is the nearest public one in Python found: the Sobel magnitude of each pixel, the plane where it is largest. It
    knows no tiles; beside it the same with the magnitude averaged over the tile, which is what a user would write.
    """
    z_um = np.linspace(-1.6, 1.6, 17)
    stack, truth_um = tilted_stack(z_um)
    sobels = {"scikit-image": lambda plane: filters.sobel(plane.astype(np.float32))}
    try:
        import mahotas

        sobels = {"mahotas": lambda plane: mahotas.sobel(plane, just_filter=True)}
    except ImportError:
        print("mahotas is not installed: its tutorial is timed with the Sobel filter of scikit-image")
    ((name, sobel),) = sobels.items()

    def per_pixel() -> np.ndarray:
        return z_um[np.argmax([sobel(plane) for plane in stack], axis=0)]

    def per_tile() -> np.ndarray:
        return z_um[np.argmax([ndimage.uniform_filter(sobel(plane), 36) for plane in stack], axis=0)]

    cases: dict[str, Case] = {
        f"tutorial of mahotas ({name})": per_pixel,
        "the same, averaged over 36 px": per_tile,
        "focus_map": lambda: focus_map(stack, z_um, 36)[0],
    }
    timed(f"focus map, {' x '.join(map(str, stack.shape))} uint8", cases, rounds=rounds, against="focus_map")
    for title, case in cases.items():
        error_um = np.asarray(case()) - truth_um
        inner = error_um[36:-36, 36:-36]
        print(f"  {title:<38} error {np.sqrt(np.mean(inner**2)):.3f} um rms, median {np.median(np.abs(inner)):.3f} um")


def tilted_stack(z_um: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return a focus stack of a tilted smear, and the z at which each pixel is in focus."""
    rng = np.random.default_rng(1)
    sharp = draw_smear((401, 401), 0.1, rng)[..., 1].astype(np.float32)
    height_um = np.broadcast_to(np.linspace(-0.9, 0.9, 401), (401, 401))
    lens = Objective(1.05, 0.53, 1.515)
    levels_um = np.round(np.arange(-2.6, 2.61, 0.1), 1)
    blurred = []
    for level in levels_um:
        kernel = incoherent_psf((63, 63), 0.1, lens, float(level))
        blurred.append(blur(sharp, kernel))
    blurred_levels = np.stack(blurred)
    planes = []
    for z in z_um:
        place = (z - height_um - levels_um[0]) / 0.1
        rows, columns = np.indices(sharp.shape)
        plane = ndimage.map_coordinates(blurred_levels, [place, rows, columns], order=1, mode="nearest")
        planes.append(np.clip(plane + rng.normal(0, 0.8, plane.shape), 0, 255))
    return np.rint(planes).astype(np.uint8), height_um


def blur(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Convolve an image, mirrored at its borders, with a kernel."""
    margin = kernel.shape[0] // 2
    return np.asarray(fftconvolve(np.pad(image, margin, mode="symmetric"), kernel, mode="valid"))


def evaluation(stacks: int, side: int = 128) -> None:
    """Stream an evaluation of many recorded stacks: memory and cores."""
    model = load_model("deblur-fast")
    rng = np.random.default_rng(0)
    smear = draw_smear((side, side), 0.1, rng)
    planes = np.stack([ndimage.gaussian_filter(smear, (s, s, 0)) for s in (3, 2, 1, 0, 1, 2, 3)])
    with TemporaryDirectory() as folder:
        path = write_tiff(Path(folder) / "a.ome.tif", ImageStack(planes, "ZYXS", pixel_um=0.1, z_um=0.2 * np.arange(7)))
        samples = {f"{number}.ome.tif": partial(recorded_sample, path) for number in range(stacks)}
        began, worked = time.perf_counter(), time.process_time()
        print(f"\nevaluation of {stacks} stacks of 7 x {side} x {side} RGB uint8 by {model.card.name}")
        for number, scored in enumerate(score_samples(samples, {model.card.name: model_method(model)}), 1):
            assert not scored.reason, scored.reason
            if number in (min(50, stacks // 4), stacks // 2, stacks):
                wall = time.perf_counter() - began
                cores = (time.process_time() - worked) / wall
                print(
                    f"  after {number:5} stacks: {rss_mib():6.0f} MiB resident, {peak_mib():6.0f} MiB at most, "
                    f"{cores:.2f} of {os.cpu_count()} cores busy, {1e3 * wall / number:.0f} ms a stack"
                )


def rss_mib() -> float:
    """Return the memory of this process now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1]) if Path("/proc/self/statm").exists() else 0
    return pages * resource.getpagesize() / 2**20


def peak_mib() -> float:
    """Return the greatest memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def main() -> None:
    """Run all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--stacks", type=int, default=1000)
    options = parser.parse_args()
    focus(options.rounds)
    maps(max(3, options.rounds // 3))
    metrics(options.rounds)
    evaluation(options.stacks)
    evaluation(max(8, options.stacks // 25), side=480)


if __name__ == "__main__":
    main()
