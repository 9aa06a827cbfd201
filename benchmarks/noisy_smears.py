"""Camera noise on sharp smears: pairs to train `enhance-smear` on, and what it and filters make of held-out ones.

``make`` writes pairs of every smear with noise of a strength of its own and without; ``measure`` puts noise of a few strengths on
the held-out smears, and writes docs/camera-noise.md. Each filter has, at each strength, the setting that is best on smears
that were trained on; the model is told nothing.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from enhance import FILTERS_SHOWN, filtered
from variants import RESULTS, interval, keep, known, markdown

from napari_cellrestore.files import write_tiff
from napari_cellrestore.metrics import mse, psnr, ssim
from napari_cellrestore.model import Model, load_model
from napari_cellrestore.pairs import read_smear, split_by_image
from napari_cellrestore.pairs.picture import images_in
from napari_cellrestore.restore import restore
from napari_cellrestore.simulate import DetectorNoise, quantise
from napari_cellrestore.stack import ImageStack

PAGE = Path(__file__).parent.parent / "docs" / "camera-noise.md"
PIXEL_UM = 0.1
#: Grey levels per photo-electron: weakest and strongest, a noise of 2 and of 17 grey levels where there is no cell.
GAINS = (0.02, 1.5)
#: One smear of so many has no noise: a model shall leave it as it is.
CLEAN = 8
SHOWN_GAINS = (0.02, 0.1, 0.5, 1.5)
#: Smears of each set on which the setting of a filter is chosen, and on which it is measured.
FITTED, TEST = 6, 20
METRICS: dict[str, tuple[Callable[..., float], int]] = {"SSIM": (ssim, 4), "PSNR (dB)": (psnr, 2)}
Array = np.ndarray


def noisy(image: Array, gain: float, seed: int) -> Array:
    """Return an image with the noise of a camera, in its type."""
    return quantise(DetectorNoise(gain).add(image.astype(np.float32), np.random.default_rng(seed)), image.dtype)


def make_pairs(folder: Path, runs: Path, pixel_um: float) -> None:
    """Write a noisy and a clean image of every smear of a folder, with the size of its pixels."""
    for kind in ("noisy", "clean"):
        (runs / f"{kind}_{folder.name}").mkdir(parents=True, exist_ok=True)
    for seed, path in enumerate(images_in(folder)):
        image = read_smear(path)
        gain = 0.0 if seed % CLEAN == 1 else float(np.exp(np.random.default_rng([seed, 1]).uniform(*np.log(GAINS))))
        for kind, one in (("noisy", noisy(image, gain, seed)), ("clean", image)):
            target = runs / f"{kind}_{folder.name}" / f"{path.stem}.tif"
            write_tiff(target, ImageStack(one, "YXS", pixel_um=pixel_um), overwrite=True)


def measured(folder: Path, every: int, model: Model) -> dict[str, Any]:
    """Return the scores of held-out smears at every strength: of the input, of filters at their best, of the model."""
    split = split_by_image(images_in(folder), every=every)
    train = [read_smear(path) for path in split.train[:: len(split.train) // FITTED][:FITTED]]
    test = [read_smear(path) for path in split.test[:TEST]]

    def by_model(image: Array) -> Array:
        return np.asarray(restore(image, model).compute())

    found: dict[str, Any] = {"number": len(test), "gains": {}}
    for gain in SHOWN_GAINS:
        ways: dict[str, Callable[[Array], Array]] = {"input": lambda image: image}
        for name, settings in FILTERS_SHOWN.items():
            best = min(settings, key=lambda one, name=name: _error(partial(filtered, name, one), train, gain))
            ways[name] = partial(filtered, name, best)
        ways[model.card.name] = by_model
        found["gains"][str(gain)] = {name: _scores(way, test, gain) for name, way in ways.items()}
        print(f"{folder.name}, gain {gain}", flush=True)
    found["clean"] = [mse(image, by_model(image), data_range=255) for image in test]
    return found


def _error(way: Callable[[Array], Array], images: Sequence[Array], gain: float) -> float:
    made = [way(noisy(image, gain, seed)) for seed, image in enumerate(images)]
    return float(np.mean([mse(image, one, data_range=255) for image, one in zip(images, made, strict=True)]))


def _scores(way: Callable[[Array], Array], images: Sequence[Array], gain: float) -> list[list[float]]:
    rows = []
    for seed, image in enumerate(images):
        made = np.clip(way(noisy(image, gain, 1000 + seed)), 0, 255)
        rows.append([measure(image, made, data_range=255) for measure, _ in METRICS.values()])
    return rows


# --- the page -----------------------------------------------------------------------------------------------------------


def page(sets: dict[str, dict[str, Any]], model_name: str) -> str:
    """Return the page in Markdown."""
    lines = [
        "# Camera noise on smears",
        "",
        f"The bundled `{model_name}` beside filters, on held-out blood smears to which the noise of a camera was added: variance = "
        "gain x grey level, independent from pixel to pixel. Each filter has, at each gain, the setting with the least squared "
        "error on smears that the model learned from, which nobody knows of an image of his own; the model is told nothing. Means "
        "with 95 % bootstrap intervals over images. Made by `benchmarks/noisy_smears.py`.",
    ]
    for name, found in sets.items():
        for index, (metric, (_, digits)) in enumerate(METRICS.items()):
            head = [f"{metric}, noise of a blank field", *(f"{np.sqrt(200 * gain):.1f}" for gain in SHOWN_GAINS)]
            ways = next(iter(found["gains"].values()))
            rows = {
                way: [interval(np.array(found["gains"][str(gain)][way])[:, index], digits) for gain in SHOWN_GAINS]
                for way in ways
            }
            lines += ["", f"## {name}, {metric.split(' ')[0]}, {found['number']} images", "", *markdown(head, rows)]
        worst = f"{max(found['clean']):.3f}"
        lines += [
            "",
            f"Without noise the model changes an image by an MSE of {interval(found['clean'], 3)}, at most {worst}.",
        ]
    if worse := not_best(sets, model_name):
        lines += ["", worse]
    lines += [
        "",
        "Noise is in grey levels of 0 to 255, standard deviation at a level of 200. What was simulated is what was learned: noise "
        "that a camera's program has smoothed, the blocks of JPEG, or stripes are something else.",
        "",
    ]
    return "\n".join(lines)


def not_best(sets: dict[str, dict[str, Any]], model_name: str) -> str:
    """Return where a filter is as good as the model or better, to the digits shown; "" where it is nowhere."""
    places = []
    for name, found in sets.items():
        for gain in SHOWN_GAINS:
            for index, (metric, (_, digits)) in enumerate(METRICS.items()):
                means = {
                    way: round(float(np.mean(np.array(rows)[:, index])), digits)
                    for way, rows in found["gains"][str(gain)].items()
                }
                best = max((way for way in means if way != model_name), key=lambda way: means[way])
                if means[best] >= means[model_name]:
                    places.append(
                        f"{name}, noise of {np.sqrt(200 * gain):.1f}, {metric}: {best} {means[best]:.{digits}f}, the model "
                        f"{means[model_name]:.{digits}f}"
                    )
    return f"A filter is as good as the model, or better, here: {'; '.join(places)}." if places else ""


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("step", choices=("make", "measure"))
    parser.add_argument("--images", nargs=2, action="append", metavar=("FOLDER", "N"), required=True)
    parser.add_argument(
        "--pixel-um",
        nargs="+",
        type=float,
        default=[PIXEL_UM],
        metavar="UM",
        help="of each folder, or one of all (0.1)",
    )
    parser.add_argument("--model", default="enhance-smear", help="name or folder of the model")
    parser.add_argument("--runs", type=Path, default=Path("runs/noisy-smears"))
    options = parser.parse_args()
    model = load_model(options.model) if options.step == "measure" else None
    sets = {}
    sizes_um = options.pixel_um * len(options.images) if len(options.pixel_um) == 1 else options.pixel_um
    for (folder, every), pixel_um in zip(options.images, sizes_um, strict=True):
        if model is None:
            make_pairs(Path(folder), options.runs, pixel_um)
            continue
        # By its weights: numbers of a model are not those of the next one of its name.
        result = RESULTS / "noisy-smears" / f"{Path(folder).name}-{model.card.weights_sha256[:12]}.json"
        sets[Path(folder).name] = known(result) or keep(result, measured(Path(folder), int(every), model))
    if model is not None:
        PAGE.write_text(page(sets, model.card.name), encoding="utf-8")


if __name__ == "__main__":
    main()
