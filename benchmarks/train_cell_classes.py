"""Train the shipped classifier of five white cells on simulated stained cells, and measure it on others.

Cells are drawn as often in each class, stained and seen through the lens; each is cut out with what lies around it, and shown in
several looks: other strengths of the dyes, sizes, focus, light and noise. Writes
src/napari_cellrestore/evaluate/cell_classes.json and prints the confusion matrix, and how often the cells measured on are
classified alike when they are blurred.
Run: python benchmarks/train_cell_classes.py [--cells 60] [--held-out 60]
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

import napari_cellrestore.evaluate
from napari_cellrestore.evaluate import Agreement, CellClassifier, agreement
from napari_cellrestore.evaluate.cell_classes import SHRINKAGE
from napari_cellrestore.simulate import (
    WHITE_CELLS,
    DetectorNoise,
    blood_phantom,
    defocus,
    quantise,
    smear_objectives,
    stained_image,
)

PIXEL_UM = 0.1
FIELD_PX, CROP_PX = 640, 240
#: Looks of each cell that is trained on.
LOOKS = 3
BLURRED_UM = (0.8, 1.6, 2.4)
OUT = Path(napari_cellrestore.evaluate.__file__).with_name("cell_classes.json")


def cells(number: int, first_seed: int) -> Iterator[tuple[np.ndarray, str]]:
    """Yield as many cells of each class, cut out of fields of other seeds."""
    wanted = Counter(dict.fromkeys(WHITE_CELLS, number))
    seed = first_seed
    while +wanted:
        shares = {name: float(left) for name, left in (+wanted).items()}
        field = blood_phantom((FIELD_PX, FIELD_PX), PIXEL_UM, seed=seed, white_per_mm2=2500, shares=shares)
        image = stained_image(field, noise=DetectorNoise(0.0025), seed=seed)
        for cell in field.white_cells:
            middle = np.rint(np.array(cell.centre_um) / PIXEL_UM).astype(int)
            top, left = np.clip(middle - CROP_PX // 2, 0, FIELD_PX - CROP_PX)
            if not cell.whole or not wanted[cell.kind] or np.abs(middle - (top, left) - CROP_PX // 2).max() > 60:
                continue
            wanted[cell.kind] -= 1
            yield image[top : top + CROP_PX, left : left + CROP_PX], cell.kind
        seed += 1


def another_look(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a cell with other strengths of its dyes, other light, focus and noise; recorded nuclei hardly take blue."""
    white = np.percentile(image.reshape(-1, 3), 98, axis=0)
    density = -np.log10(np.clip(image / white, 1 / 255, 1))
    strength = rng.uniform(0.4, 1.2) * rng.uniform(0.6, 1.4, 3) * (1, 1, np.exp(rng.uniform(np.log(0.05), 0)))
    shown = white * rng.uniform(0.7, 1) * 10 ** (-density * strength)
    if blur_um := rng.choice([0.0, 0.4, 0.8]):
        shown = defocus(shown, PIXEL_UM, smear_objectives(), float(blur_um))
    return quantise(DetectorNoise(rng.uniform(0, 0.5)).add(shown, rng), np.dtype(np.uint8))


def confusion(classifier: CellClassifier, images: Sequence[np.ndarray], labels: Sequence[str]) -> Agreement:
    """Return what cells are taken for, rows, by what they are, columns."""
    said = [classifier(image) for image in images]
    counts = np.zeros((len(classifier.classes),) * 2, int)
    for one, label in zip(said, labels, strict=True):
        if one is not None:
            counts[classifier.classes.index(one), classifier.classes.index(label)] += 1
    return Agreement(classifier.classes, counts, said.count(None))


def main() -> None:
    """Train, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=60, help="of each class to train on")
    parser.add_argument("--held-out", type=int, default=60, help="of each class to measure on")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    looks, labels, sizes_um = [], [], []
    for image, label in cells(options.cells, first_seed=0):
        looks += [another_look(image, rng) for _ in range(LOOKS)]
        labels += [label] * LOOKS
        sizes_um += [PIXEL_UM * size for size in rng.uniform(0.8, 1.3, LOOKS)]
    classifier = CellClassifier.fit(looks, labels, sizes_um)
    images, kinds = zip(*cells(options.held_out, first_seed=10_000), strict=True)
    plain = confusion(classifier, images, kinds)
    others = confusion(classifier, [another_look(image, rng) for image in images], kinds)
    about = (
        f"Linear discriminant (shrinkage {SHRINKAGE:g}) of {options.cells} simulated stained cells of each class in {LOOKS} "
        f"looks, at {PIXEL_UM} um. Of other simulated cells it tells {plain.rate}; in other looks {others.rate}. "
        "No recorded cell was used."
    )
    replace(classifier, about=about).save(OUT)
    print(f"{plain.csv()}\n{others.csv()}\n{about}\n{OUT.name}: {OUT.stat().st_size} bytes")
    for um in BLURRED_UM:
        blurred = [quantise(defocus(image, PIXEL_UM, smear_objectives(), um), image.dtype) for image in images[::3]]
        print(f"{um:g} um out of focus: {agreement(classifier, blurred, images[::3], classifier.classes)}")


if __name__ == "__main__":
    main()
