"""How well the trust map finds false structures, and how often it cries wolf: ROC by strength and by size.

Structures are planted into restorations that are otherwise right (blur and noise known), or that a network made (blur
recovered from the same pair, noise estimated). Their strength is the peak that they make in the blurred image, in units of
the noise of a pixel. Run: CELLRESTORE_DATA=FOLDER python benchmarks/trust.py [--images 3] [--plot FILE.png]
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from scipy import ndimage, stats

from napari_cellrestore.filters import blur
from napari_cellrestore.held_out import LEVELS_UM, simulated_stack
from napari_cellrestore.model import load_model
from napari_cellrestore.objective import Objective
from napari_cellrestore.pairs import read_smear, split_by_image
from napari_cellrestore.psf import incoherent_psf
from napari_cellrestore.recipe import DefocusSettings
from napari_cellrestore.restore import restore
from napari_cellrestore.trust import (
    CONTRADICTS,
    consistency_map,
    estimate_noise,
    explaining_kernel,
    judge_pair,
    smallest_told_px,
)

KINDS = ("blob", "erased", "moved edge")
SIZES_PX = (1.5, 3.0, 5.0)
SPACING_PX = 62
#: Pixels in which structures make more than this part of the noise are not clean.
REACHED = 0.02
#: Pixels nearer to a structure than this are not clean either: the map averages over some.
GUARD_PX = 12


@dataclass(frozen=True)
class Planted:
    """Places of planted structures: number, kind, size and strength of each, and which pixels belong to it."""

    kinds: list[str]
    sizes_px: list[float]
    strengths: list[float]
    labels: np.ndarray
    clean: np.ndarray  # pixels that no structure reaches, not even blurred


def plant(
    restored: np.ndarray,
    psf: Sequence[np.ndarray],
    noise: float,
    strengths: tuple[float, float],
    rng: np.random.Generator,
) -> tuple[np.ndarray, Planted]:
    """Return the restored image (Y, X, C) with false structures, and where they are."""
    half = SPACING_PX // 2
    y, x = np.mgrid[-half : half + 1, -half : half + 1]
    changed, labels = restored.copy(), np.zeros(restored.shape[:2], int)
    kinds, sizes_px, drawn = [], [], []
    background = np.percentile(restored, 90, axis=(0, 1))
    rows, columns = (range(half, n - half - 1, SPACING_PX) for n in restored.shape[:2])
    for row in rows:
        for column in columns:
            part = slice(row - half, row + half + 1), slice(column - half, column + half + 1)
            kind, size = str(rng.choice(KINDS)), float(rng.choice(SIZES_PX))
            window = np.exp(-(y**2 + x**2) / 2 / size**2)[..., None]
            if kind == "blob":
                structure = window * rng.choice([-1, 1]) * np.ones(restored.shape[-1])
            elif kind == "erased":
                structure = window * (background - restored[part])
            else:
                structure = window * (np.roll(restored[part], 2, axis=int(rng.integers(2))) - restored[part])
            seen = np.abs(blur(structure, psf=[_middle(kernel, half) for kernel in psf])).max(axis=-1)
            strength = float(rng.uniform(*strengths))
            if seen.max() < 1e-3:  # nothing there to erase or to move
                continue
            changed[part] += structure * strength * noise / seen.max()
            kinds.append(kind)
            sizes_px.append(size)
            drawn.append(strength)
            labels[part][seen > 0.5 * seen.max()] = len(kinds)
    reached = np.abs(blur(changed - restored, psf=list(psf))).max(axis=-1) > REACHED * noise
    far = ndimage.distance_transform_edt(labels == 0) > GUARD_PX
    return changed, Planted(kinds, sizes_px, drawn, labels, far & ~reached)


def _middle(kernel: np.ndarray, half: int) -> np.ndarray:
    """Return the middle of a kernel, no larger than the part it blurs."""
    cut = [slice(max(0, n // 2 - half), n // 2 + half + 1) for n in kernel.shape]
    return kernel[tuple(cut)]


def area_under_curve(positive: np.ndarray, negative: np.ndarray) -> float:
    """Return the chance that a planted pixel is above a clean one."""
    ranks = stats.rankdata(np.concatenate([positive, negative]))
    n = len(positive)
    return float((ranks[:n].sum() - n * (n + 1) / 2) / (n * len(negative)))


class Tally:
    """Values of the map at planted and at clean pixels, over images."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.clean: list[np.ndarray] = []
        self.found: list[tuple[str, float, float, np.ndarray]] = []

    def add(self, values: np.ndarray, planted: Planted) -> None:
        """Add a map."""
        self.clean.append(values[planted.clean])
        for number, told in enumerate(zip(planted.kinds, planted.sizes_px, planted.strengths, strict=True), 1):
            self.found.append((*told, values[planted.labels == number]))

    def rate(self, **of: object) -> float:
        """Return the area under the curve of some of the structures."""
        chosen = [
            values
            for kind, size, strength, values in self.found
            if of.get("kind") in (None, kind)
            and of.get("size") in (None, size)
            and ("low" not in of or of["low"] <= strength < of["high"])  # type: ignore[operator]
        ]
        return area_under_curve(np.concatenate(chosen), np.concatenate(self.clean)) if chosen else np.nan

    def say(self) -> None:
        """Print all rates."""
        clean = np.concatenate(self.clean)
        print(f"\n{self.title}: {len(self.found)} structures")
        print(
            f"  area under the curve {self.rate():.3f}; false alarms {100 * np.mean(clean > CONTRADICTS):.2f} % of clean pixels"
        )
        hit = np.mean([np.mean(values > CONTRADICTS) > 0.5 for *_, values in self.found])
        print(f"  found at the default threshold (more than half of it): {100 * hit:.0f} % of structures")
        for kind in KINDS:
            rates = ", ".join(f"{size:g} px {self.rate(kind=kind, size=size):.3f}" for size in SIZES_PX)
            print(f"  {kind:<10} {self.rate(kind=kind):.3f}: {rates}")


def known(paths: Sequence[Path], strengths: tuple[float, float]) -> Tally:
    """Plant into right restorations; blur and noise are known."""
    tally = Tally(f"blur and noise known, strength {strengths[0]:g} to {strengths[1]:g}")
    rng = np.random.default_rng(0)
    lens = Objective(0.25, 0.53)
    for path in paths:
        in_focus = blur(read_smear(path)[..., 1], psf=incoherent_psf((63, 63), 0.3, lens))[..., None]
        for defocus_um, noise in ((10.0, 2.0), (20.0, 2.0), (30.0, 2.0)):
            psf = incoherent_psf((127, 127), 0.3, lens, defocus_um)
            measured = blur(in_focus, psf=psf) + rng.normal(0, noise, in_focus.shape)
            wrong, planted = plant(in_focus, [psf], noise, strengths, rng)
            tally.add(consistency_map(measured, wrong, psf, noise), planted)
    return tally


def recovered(paths: Sequence[Path], strengths: tuple[float, float], ask_again: bool) -> Tally:
    """Plant into what the bundled network made; blur recovered from the pair, noise estimated."""
    model = load_model("deblur-fast")
    method = partial(_restored, model=model) if ask_again else None
    again = "model asked once more" if ask_again else "model not at hand"
    tally = Tally(f"network, blur recovered, noise estimated, {again}, strength {strengths[0]:g} to {strengths[1]:g}")
    rng = np.random.default_rng(0)
    for number, path in enumerate(paths):
        _, stack = simulated_stack(path, DefocusSettings(), number)
        for level_um in (0.4, 0.8, 1.2):
            measured = stack.data[LEVELS_UM.index(level_um)]
            restored = _restored(measured, model=model).astype(np.float32)
            kernels = [explaining_kernel(restored[..., c], measured[..., c]) for c in range(3)]
            wrong, planted = plant(restored, kernels, estimate_noise(measured), strengths, rng)
            tally.add(judge_pair(measured, wrong, method=method).contradiction, planted)
    return tally


def _restored(image: np.ndarray, model: object) -> np.ndarray:
    return np.asarray(restore(image, model).compute())  # type: ignore[arg-type]


def told(paths: Sequence[Path]) -> None:
    """Print the size below which the data cannot tell, by distance from focus."""
    print("\nsize (half a period) below which the data cannot tell, held-out smears, true blur and noise")
    lens = Objective(1.05, 0.53, 1.515)
    for level_um in (0.4, 0.8, 1.2):
        psf = incoherent_psf((127, 127), 0.1, lens, level_um)
        sizes = [smallest_told_px(read_smear(path)[..., 1], psf, 0.73) for path in paths]
        print(f"  {level_um:g} um from focus: {0.1 * np.median(sizes):.2f} um")


def plot(tallies: Sequence[Tally], path: Path) -> None:
    """Draw the area under the curve by strength and by size."""
    figure = Figure(figsize=(7, 2.8), layout="constrained")
    by_strength, by_size = figure.subplots(1, 2, sharey=True)
    edges = np.linspace(0.3, 1.0, 8)
    for tally in tallies:
        rates = [tally.rate(low=low, high=high) for low, high in pairwise(edges)]
        label = tally.title.rsplit(", strength", 1)[0]
        by_strength.plot((edges[1:] + edges[:-1]) / 2, rates, marker="o", markersize=3, label=label)
        by_size.plot(SIZES_PX, [tally.rate(size=size) for size in SIZES_PX], marker="o", markersize=3)
    by_strength.set(xlabel="strength (noise of a pixel)", ylabel="area under the ROC curve")
    by_size.set(xlabel="size (px, standard deviation)")
    by_strength.legend(fontsize=6)
    figure.savefig(path, dpi=120)


def main() -> None:
    """Run all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=3)
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    home = Path(os.environ["CELLRESTORE_DATA"]) / "blood_smears" / "bccd"
    paths = split_by_image(list(home.glob("*.jpg")), every=10).test[: options.images]
    told(paths)
    tallies = [known(paths, (0.3, 0.6)), *(recovered(paths, (0.5, 1.0), again) for again in (False, True))]
    for tally in tallies:
        tally.say()
    if options.plot:
        plot(
            [known(paths, (0.3, 1.0)), *(recovered(paths, (0.3, 1.0), again) for again in (False, True))], options.plot
        )


if __name__ == "__main__":
    main()
