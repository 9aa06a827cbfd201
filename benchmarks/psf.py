"""Measure the recovery of point-spread functions on simulated pairs, and its time beside its FFTs.

Run with ``.venv/bin/python benchmarks/psf.py``. Nothing here is asserted. Pairs are those of Werth & Matlock 2018, section
3.2: NA 0.25, pixels of 0.3 um, the image in focus filtered by the in-focus kernel; noise is added to BOTH images, and
they are cut out of a larger field, so that they are not periodic. The reference is equations 17 and 18 as printed at
the mu that is best against the truth, which nobody has; both methods see the same window and are judged over the
same band, the one that the direct method trusts.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
from scipy import fft
from skimage import data, io

from napari_cellrestore.isotropy import project_isotropic
from napari_cellrestore.objective import Objective
from napari_cellrestore.psf import incoherent_psf, otf
from napari_cellrestore.recover import PsfRecovery, recover_psf
from napari_cellrestore.simulate import defocus, draw_smear

LENS, PIXEL_UM = Objective(na=0.25, wavelength_um=0.53), 0.3
DEFOCUS_UM, NOISE = (2.0, 6.0, 10.0, 30.0), (0.5, 2.0, 5.0)
MARGIN_PX = 32
ORACLE = np.logspace(2, 11, 37)
FOLDER = Path(os.environ.get("CELLRESTORE_DATA", Path(__file__).parents[2] / "shared" / "data"))


def textures() -> dict[str, np.ndarray]:
    """Return grey images: stained tissue, a drawn smear, a photographed one if there is, and one with little detail."""
    found = {
        "tissue": data.immunohistochemistry()[..., 1],
        "drawn smear": draw_smear((576, 576), PIXEL_UM, np.random.default_rng(1))[..., 1],
    }
    smear = FOLDER / "blood_smears" / "bccd" / "BloodImage_00001.jpg"
    if smear.is_file():
        found["real smear"] = io.imread(smear)[..., 1]
    found["one cell"] = data.cell()
    return {name: image.astype(np.float32) for name, image in found.items()}


@lru_cache(maxsize=1)
def truth(z_um: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return frequencies, relative and absolute transfer function; the relative one is 0 where the lens passes nothing."""
    size = 1024
    focus, absolute = (otf(incoherent_psf((size, size), PIXEL_UM, LENS, z)).real[0, : size // 2] for z in (0, z_um))
    return fft.rfftfreq(size, PIXEL_UM)[:-1], np.where(focus > 1e-3, absolute / np.maximum(focus, 1e-3), 0), absolute


def rms(values: np.ndarray) -> float:
    """Return the root mean square."""
    return float(np.sqrt(np.mean(values**2)))


def oracle(sharp: np.ndarray, blurred: np.ndarray, expected: np.ndarray, band: np.ndarray) -> float:
    """Return the error of equations 17 and 18 at their best mu."""
    curves = (recover_psf(sharp, blurred, PIXEL_UM, method="fourier", mu=mu, objective=LENS).otf for mu in ORACLE)
    return min(rms((curve - expected)[band]) for curve in curves)


def peak(found: PsfRecovery, z_um: float) -> tuple[float, float]:
    """Return the peak of the absolute kernel, and the stated deviation of its centre, both over the true peak."""
    expected = incoherent_psf(found.shape, PIXEL_UM, LENS, z_um).max()
    _, std = found.radial_psf(0, absolute=True)
    return float(found.absolute_psf.max() / expected), float(std[0] * PIXEL_UM**2 / expected)


def accuracy(seeds: int) -> None:
    """Print errors, their ratio and coverage for every texture, defocus and noise."""
    print(f"{'':12} defocus noise   band  error  (17+18)  ratio  covered  noise found     peak   stated")
    ratios: dict[str, list[float]] = {}
    covered: dict[str, list[np.ndarray]] = {}
    tops: dict[str, list[float]] = {}
    for name, image in textures().items():
        for z_um in DEFOCUS_UM:
            clean = [defocus(image, PIXEL_UM, LENS, z)[MARGIN_PX:-MARGIN_PX, MARGIN_PX:-MARGIN_PX] for z in (0, z_um)]
            for noise in NOISE:
                for seed in range(seeds):
                    rng = np.random.default_rng(seed)
                    sharp, blurred = (plane + noise * rng.standard_normal(plane.shape) for plane in clean)
                    found = recover_psf(sharp, blurred, PIXEL_UM, objective=LENS)
                    band = found.trusted
                    expected = np.interp(found.frequency, *truth(z_um)[:2])
                    error = rms((found.otf - expected)[band])
                    best = oracle(sharp, blurred, expected, band)
                    inside = np.abs(found.otf - expected)[band][1:] <= 1.96 * found.otf_std[band][1:]
                    ratios.setdefault(name, []).append(error / best)
                    covered.setdefault(name, []).append(inside)
                    if seed:
                        continue
                    top, std = peak(found, z_um)
                    if noise == min(NOISE):
                        tops.setdefault(name, []).append(top)
                    part = found.frequency[band][-1] / LENS.cutoff_per_um
                    print(
                        f"{name:12} {z_um:5.0f} um {noise:5}  {part:5.2f}  {error:.4f}   {best:.4f}  {error / best:5.2f}  "
                        f"{inside.mean():7.0%}  {found.noise_std[0]:5.2f} {found.noise_std[1]:5.2f}  {top:7.3f} +-{std:6.3f} "
                        f"{'; '.join(found.warnings)}"
                    )
    for name, values in [*ratios.items(), ("all", [ratio for part in ratios.values() for ratio in part])]:
        hits = np.concatenate(covered[name] if name in covered else [hit for part in covered.values() for hit in part])
        print(
            f"{name:12} ratio: median {statistics.median(values):.2f}, largest {max(values):.2f}; "
            f"95 % band holds the truth in {hits.mean():.1%} of {hits.size}"
        )
    for name, values in tops.items():
        off = max(abs(value - 1) for value in values)
        print(f"{name:12} peak of the absolute kernel at noise {min(NOISE)}: off by {off:.1%} at most")


def median_s(case: Callable[[], object], rounds: int = 7) -> float:
    """Return the median time of a case in seconds, after a first run."""
    case()
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        case()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def times(shape: tuple[int, int]) -> None:
    """Print the time of recovery and projection beside FFTs."""
    rng = np.random.default_rng(0)
    for dtype in (np.float64, np.float32):
        sharp, blurred = rng.normal(100, 20, (2, *shape)).astype(dtype)
        blurred = (0.7 * sharp + 0.3 * blurred).astype(dtype)
        recovery = median_s(lambda f=sharp, g=blurred: recover_psf(f, g, PIXEL_UM, objective=LENS))
        half = median_s(lambda f=sharp: fft.rfft2(f))
        full = median_s(lambda f=sharp: fft.fft2(f))
        projection = median_s(lambda f=sharp: project_isotropic(f))
        print(
            f"{shape[0]} x {shape[1]} {np.dtype(dtype).name}: recovery {1e3 * recovery:.0f} ms = "
            f"{recovery / (5 * half):.2f} x its five real FFTs, {recovery / (2 * full):.2f} x the two complex ones of the images; "
            f"projection {1e3 * projection:.1f} ms = {projection / half:.2f} x a real, {projection / full:.2f} x a complex FFT"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=1, help="noises per case")
    options = parser.parse_args()
    accuracy(options.seeds)
    times((1040, 1388))
    times((512, 512))
