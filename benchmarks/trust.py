"""How well the trust map finds false structures, and how often it cries wolf: ROC by strength and by size.

Structures are planted into restorations that are otherwise right (blur and noise known), or that a network made (blur
recovered from the same pair, noise estimated). Their strength is the peak that they make in the blurred image, in units of
the noise of a pixel. Between the two lies a right restoration of which only the pair is known: what it misses, no network
could help. Where the network itself contradicts the data counts as clean, unless said otherwise.
Run: CELLRESTORE_DATA=FOLDER python benchmarks/trust.py [--images 3] [--plot FOLDER]
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
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
from napari_cellrestore.simulate import defocus, smear_objectives
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
#: Distances from focus of the images that the network restores.
LEVELS_SHOWN_UM = (0.4, 0.8, 1.2)
#: From this many standard deviations of the noise a known blur's residual is marked.
SIGMAS = 3.0
#: Pixels in which structures make more than this part of the noise are not clean.
REACHED = 0.02
#: A network contradicts the data itself where, without noise, it leaves more than this part of the noise; less is faint.
CONTRADICTED, FAINT = 1.0, 0.5
#: Blue, orange, green, purple of Okabe & Ito, and marks, so that lines are told apart without colours.
LINES = (("#0072b2", "o", "-"), ("#cc79a7", "^", ":"), ("#e69f00", "s", "--"), ("#009e73", "D", "-."))
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


@dataclass
class Tally:
    """Values of the map at planted and at clean pixels, over images."""

    title: str
    strengths: tuple[float, float]
    threshold: float
    clean: list[np.ndarray] = field(default_factory=list)
    own: list[np.ndarray] = field(default_factory=list)  # what the network leaves at clean pixels, noise apart
    found: list[tuple[str, float, float, np.ndarray]] = field(default_factory=list)

    def add(self, values: np.ndarray, planted: Planted, own: np.ndarray | None = None) -> None:
        """Add a map, and where the restoration is not right what it leaves itself, in units of the noise."""
        self.clean.append(values[planted.clean])
        self.own.append(np.zeros_like(self.clean[-1]) if own is None else own[planted.clean])
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
        clean, own = np.concatenate(self.clean), np.concatenate(self.own)
        low, high = self.strengths
        print(f"\n{self.title}, strength {low:g} to {high:g}: {len(self.found)} structures")
        alarms = 100 * np.mean(clean > self.threshold)
        print(f"  area under the curve {self.rate():.3f}; false alarms {alarms:.2f} % of clean pixels")
        for name, threshold in (
            ("the default threshold", self.threshold),
            ("5 % false alarms", np.quantile(clean, 0.95)),
        ):
            hit = np.mean([np.mean(values > threshold) > 0.5 for *_, values in self.found])
            print(f"  found at {name} (more than half of it): {100 * hit:.0f} % of structures")
        if own.any():
            planted = np.concatenate([values for *_, values in self.found])
            print(
                f"  only beside pixels where the network is right: {area_under_curve(planted, clean[own < FAINT]):.3f}"
            )
            rate = area_under_curve(clean[own > CONTRADICTED], clean[own < FAINT])
            print(f"  the network's own contradictions ({100 * np.mean(own > CONTRADICTED):.1f} %): {rate:.3f}")
        for kind in KINDS:
            rates = ", ".join(f"{size:g} px {self.rate(kind=kind, size=size):.3f}" for size in SIZES_PX)
            print(f"  {kind:<10} {self.rate(kind=kind):.3f}: {rates}")

    def curve(self) -> tuple[np.ndarray, np.ndarray]:
        """Return false alarms and planted pixels found, as parts, for all thresholds."""
        clean = np.sort(np.concatenate(self.clean))
        planted = np.sort(np.concatenate([values for *_, values in self.found]))
        thresholds = np.quantile(clean, 1 - np.geomspace(1e-4, 1, 200))
        return tuple(1 - np.searchsorted(values, thresholds) / len(values) for values in (clean, planted))


def known(paths: Sequence[Path], strengths: tuple[float, float]) -> Tally:
    """Plant into right restorations; blur and noise are known."""
    tally = Tally("blur and noise known", strengths, SIGMAS)
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


def recovered(paths: Sequence[Path], strengths: tuple[float, float]) -> list[Tally]:
    """Plant where blur and noise are found from the pair: into the truth, and into what the bundled network made."""
    model = load_model("deblur-fast")
    method = partial(_restored, model=model)
    right, alone, asked = (
        Tally(title, strengths, CONTRADICTS)
        for title in ("right restoration, pair alone", "network, pair alone", "network, asked again")
    )
    rng = np.random.default_rng(0)
    settings = DefocusSettings()
    for number, path in enumerate(paths):
        truth, stack = simulated_stack(path, settings, number)
        for level_um in LEVELS_SHOWN_UM:
            measured = stack.data[LEVELS_UM.index(level_um)]
            restored = method(measured).astype(np.float32)
            kernels = [explaining_kernel(restored[..., c], measured[..., c]) for c in range(3)]
            noise = estimate_noise(measured)
            wrong, planted = plant(restored, kernels, noise, strengths, rng)
            quiet = defocus(read_smear(path), settings.pixel_um, smear_objectives(settings), level_um)
            own = np.abs(quiet - blur(restored, psf=kernels)).max(axis=-1) / noise
            alone.add(judge_pair(measured, wrong).contradiction, planted, own)
            asked.add(judge_pair(measured, wrong, method=method).contradiction, planted, own)
            right.add(judge_pair(measured, np.rint(truth) + wrong - restored).contradiction, planted)
    return [right, alone, asked]


def _restored(image: np.ndarray, model: object) -> np.ndarray:
    return np.asarray(restore(image, model).compute())  # type: ignore[arg-type]


def told(paths: Sequence[Path]) -> dict[float, float]:
    """Return the size (half a period, um) below which the data cannot tell, by distance from focus; true blur and noise."""
    lens = Objective(1.05, 0.53, 1.515)
    sizes = {}
    for level_um in (level for level in LEVELS_UM if level > 0):
        psf = incoherent_psf((127, 127), 0.1, lens, level_um)
        sizes[level_um] = float(
            np.median([0.1 * smallest_told_px(read_smear(path)[..., 1], psf, 0.73) for path in paths])
        )
    return sizes


def plot_curves(tallies: Sequence[Tally], path: Path) -> None:
    """Draw how much is found against how much is a false alarm."""
    figure = Figure(figsize=(5, 3.6), layout="constrained")
    axes = figure.subplots()
    axes.axvline(0.05, color="0.75", linewidth=0.8)
    axes.text(0.052, 0.42, "5 %", color="0.4", fontsize=8)
    for tally, (colour, mark, line) in zip(tallies, LINES, strict=True):
        low, high = tally.strengths
        label = f"{tally.title}, {low:g} to {high:g}: {tally.rate():.3f}"
        axes.plot(*tally.curve(), color=colour, linestyle=line, label=label)
        planted = np.concatenate([values for *_, values in tally.found])
        point = [np.mean(values > tally.threshold) for values in (np.concatenate(tally.clean), planted)]
        axes.plot(*point, color=colour, marker=mark)
    axes.set(xscale="log", xlim=(1e-3, 1), ylim=(0, 1), xlabel="clean pixels that are marked (false alarms)")
    axes.set_ylabel("planted pixels that are marked")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(lambda part, _place: f"{100 * part:g} %")
    axes.legend(
        title="situation, strength: area; mark: default threshold", fontsize=7, title_fontsize=7, loc="lower right"
    )
    _tidy(axes)
    figure.savefig(path, dpi=150)


def plot_sizes(tallies: Sequence[Tally], sizes_um: dict[float, float], path: Path) -> None:
    """Draw the area under the curve by strength and by size, and the size below which the data cannot tell."""
    figure = Figure(figsize=(9, 3), layout="constrained")
    by_strength, by_size, smallest = figure.subplots(1, 3)
    by_size.sharey(by_strength)
    edges = np.linspace(0.3, 1.0, 8)
    for tally, (colour, mark, line) in zip(tallies, LINES, strict=True):
        style = {"color": colour, "marker": mark, "linestyle": line, "markersize": 4}
        rates = [tally.rate(low=low, high=high) for low, high in pairwise(edges)]
        by_strength.plot((edges[1:] + edges[:-1]) / 2, rates, label=tally.title, **style)
        by_size.plot(SIZES_PX, [tally.rate(size=size) for size in SIZES_PX], **style)
    by_strength.set(xlabel="strength (noise of a pixel)", ylabel="area under the ROC curve", ylim=(0.5, 1.01))
    by_strength.legend(fontsize=7, loc="lower right")
    by_size.set(xlabel="size (px, standard deviation)", xticks=SIZES_PX)
    smallest.plot(list(sizes_um), list(sizes_um.values()), color="#0072b2", marker="o", markersize=4)
    smallest.set(xlabel="distance from focus (um)", ylabel="smaller than this (um)\nthe data cannot tell")
    smallest.set_ylim(bottom=0)
    for axes in (by_strength, by_size, smallest):
        _tidy(axes)
    figure.savefig(path, dpi=150)


def _tidy(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="0.92", linewidth=0.6)


def main() -> None:
    """Run all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=3)
    parser.add_argument("--plot", type=Path, metavar="FOLDER", help="where trust_roc.png and trust_size.png go")
    options = parser.parse_args()
    home = Path(os.environ["CELLRESTORE_DATA"]) / "blood_smears" / "bccd"
    paths = split_by_image(list(home.glob("*.jpg")), every=10).test[: options.images]
    sizes_um = told(paths)
    print("size (half a period) below which the data cannot tell, held-out smears, true blur and noise")
    for level_um, size_um in sizes_um.items():
        print(f"  {level_um:g} um from focus: {size_um:.2f} um")
    tallies = [known(paths, (0.3, 0.6)), *recovered(paths, (0.5, 1.0))]
    for tally in tallies:
        tally.say()
    if options.plot:
        plot_curves(tallies, options.plot / "trust_roc.png")
        plot_sizes([known(paths, (0.3, 1.0)), *recovered(paths, (0.3, 1.0))], sizes_um, options.plot / "trust_size.png")


if __name__ == "__main__":
    main()
