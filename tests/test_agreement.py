"""Agreement of classifications: the matrix of the source, hand-computed numbers, and the small classifier of cells."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_cellrestore.evaluate import (
    Agreement,
    CellClassifier,
    agreement,
    cell_features,
    simulated_cells_classifier,
)
from napari_cellrestore.evaluate.cell_classes import FEATURES
from napari_cellrestore.nuclei import wilson
from napari_cellrestore.simulate import WHITE_CELLS, blood_phantom, defocus, smear_objectives, stained_image

#: Jönsson & Sjöstrand 2018, figure 35.
FIGURE_35 = np.array(
    [
        [99, 1, 4, 1, 1, 1, 3, 2, 0, 1, 0, 0, 0, 0, 0, 0, 0],
        [1, 207, 1, 0, 2, 0, 1, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0],
        [0, 0, 108, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        [0, 0, 12, 113, 1, 0, 0, 0, 0, 1, 1, 0, 0, 2, 1, 0, 1],
        [0, 1, 0, 0, 27, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0],
        [0, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0],
        [0, 3, 1, 0, 3, 0, 140, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        [0, 2, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        [0, 12, 0, 0, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 0, 0, 0],
        [0, 0, 2, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0],
        [0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 1, 0, 0, 1],
        [0, 1, 1, 0, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 0, 0, 0],
        [0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0],
        [0, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0],
        [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    ]
)


# --- the matrix


def test_the_matrix_of_the_source_has_its_percentages():
    found = Agreement(tuple(range(17)), FIGURE_35, left_out=981 - 834)
    assert (found.rate.count, found.rate.of) == (739, 834)
    assert 100 * found.rate.share == pytest.approx(88.6, abs=0.05)
    rows = [87.6, 95.4, 100.0, 85.6, 90.0, 90.9, 95.2, 25.0, 39.1, 71.4, 44.4, 0.0, 33.3, 57.1, 100.0, 0.0]
    assert [100 * rate.share for rate in found.by_row[:16]] == pytest.approx(rows, abs=0.05)
    np.testing.assert_allclose(np.diag(found.row_percent)[:16], rows, atol=0.05)
    assert found.by_row[16].share is None
    assert np.isnan(found.row_percent[16]).all()
    columns = {0: 98.0, 1: 90.8, 2: 77.7, 3: 98.3, 4: 79.4, 6: 97.2, 8: 56.3, 12: 100.0, 16: 0.0}
    assert {k: 100 * found.by_column[k].share for k in columns} == pytest.approx(columns, abs=0.05)
    assert found.kappa == pytest.approx(0.862, abs=0.003)
    table = list(csv.reader(io.StringIO(found.csv())))
    assert table[2][-2:] == ["217", "95.4"]
    assert table[-1][1:4] == ["98.0", "90.8", "77.7"]
    assert table[-1][-1] == "88.6"


def test_nan_is_no_class():
    def dark(image):
        return float("nan") if image.mean() > 150 else "dark"

    images = [np.full((2, 2), level) for level in (20, 90, 110, 200)]
    found = agreement(dark, images, images)
    assert (found.classes, found.counts.tolist(), found.left_out) == (("dark",), [[3]], 1)


@pytest.mark.parametrize("pixel_um", [0, -1, float("nan")])
def test_a_classifier_has_pixels_of_a_size(pixel_um):
    with pytest.raises(ValueError, match="give the size of a pixel in micrometres, above 0"):
        simulated_cells_classifier(pixel_um)


def test_a_file_that_is_no_text_is_no_classifier(tmp_path):
    (tmp_path / "smear.jpg").write_bytes(bytes([255, 216, 255, 224]))
    with pytest.raises(ValueError, match=r"smear\.jpg: this is no classifier of cells"):
        CellClassifier.load(tmp_path / "smear.jpg")


def test_kappa_by_hand_and_where_it_is_not_defined():
    found = Agreement(("a", "b"), np.array([[20, 5], [10, 15]]))
    assert found.kappa == pytest.approx((0.7 - 0.5) / 0.5)
    assert Agreement(("a", "b"), np.array([[9, 0], [0, 0]])).kappa is None
    nothing = Agreement(("a", "b"), np.zeros((2, 2), int), left_out=3)
    assert nothing.kappa is None
    assert str(nothing) == "none to count classified alike, kappa not defined; 3 without a class"
    assert json.loads(json.dumps(nothing.as_dict()))["row_percent"] == [[None, None], [None, None]]


@given(answers=st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abc")), min_size=1, max_size=40))
@settings(max_examples=25, deadline=None)
def test_pairs_are_counted_and_kappa_does_not_depend_on_order(answers):
    ours, theirs = zip(*answers, strict=True)
    found = agreement(lambda image: image, ours, theirs, "abc")
    assert found.counts.sum() == len(answers)
    assert found.rate == wilson(sum(a == b for a, b in answers), len(answers))
    turned = agreement(lambda image: image, theirs, ours, "cba")
    np.testing.assert_array_equal(turned.counts, found.counts.T[::-1, ::-1])
    assert (turned.kappa is None) == (found.kappa is None)
    if found.kappa is not None:
        assert turned.kappa == pytest.approx(found.kappa)
        assert found.kappa <= 1


def test_pairs_without_a_class_are_left_out_and_counted():
    found = agreement(lambda image: image, ["a", None, "b", None], ["a", "a", None, None])
    assert (found.classes, found.counts.tolist(), found.left_out) == (("a",), [[1]], 3)


def test_an_estimator_is_given_features():
    class Nearest:
        def predict(self, table):
            assert table.shape == (3, 1)
            return np.where(table[:, 0] > 5, "high", "low")

    images = [np.full((2, 2), level) for level in (1, 4, 9)]
    found = agreement(Nearest(), [image + 2 for image in images], images, features=lambda image: [image.mean()])
    assert (found.classes, found.counts.tolist()) == (("high", "low"), [[1, 1], [0, 1]])
    with pytest.raises(ValueError, match=r"say how an image is measured \(features\)"):
        agreement(Nearest(), images, images)


def test_images_without_features_are_left_out_and_counted():
    class Nearest:
        def predict(self, table):
            return np.where(np.asarray(table)[:, 0] > 5, "high", "low")

    def level(image):
        return None if image is None else [image]

    found = agreement(Nearest(), [9, None, 2, None], [9, 9, None, None], features=level)
    assert (found.classes, found.counts.tolist(), found.left_out) == (("high",), [[1]], 3)
    assert agreement(Nearest(), [None], [None], features=level).left_out == 1
    with pytest.raises(
        ValueError, match=r"features have the shapes \[\(1,\), \(2,\)\]: measure the same of every image"
    ):
        agreement(Nearest(), [1, 2], [1, 2], features=lambda image: [image] * image)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: agreement(str, [1, 2], [1]), ValueError, "2 transformed images and 1 targets"),
        (lambda: agreement(str, [], []), ValueError, "0 transformed images"),
        (lambda: agreement(str, [1], [2], ["1", "3"]), ValueError, "the classifier said '2', the classes are 1, 3"),
        (lambda: agreement(7, [1], [2]), TypeError, "classifier is a int"),
    ],
)
def test_wrong_input_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


# --- the classifier of cells


@pytest.fixture(scope="module")
def cells():
    """One stained cell or two of each class, of seeds that training did not see, at 0.2 um."""
    found = []
    for seed in (70_001, 70_002):
        shares = dict.fromkeys(WHITE_CELLS, 1.0)
        field = blood_phantom((400, 400), 0.2, seed=seed, white_per_mm2=1400, shares=shares)
        image = stained_image(field, [replace(lens, na=0.55) for lens in smear_objectives()])
        for cell in field.white_cells:
            top, left = (round(um / 0.2) - 60 for um in cell.centre_um)
            if min(top, left) >= 0 and max(top, left) <= 280:
                found.append((image[top : top + 120, left : left + 120], cell.kind))
    return found


def test_features_are_those_of_a_drawn_nucleus():
    y, x = np.indices((100, 100))
    cell = np.full((100, 100, 3), 240, np.uint8)
    cell[np.hypot(y - 50, x - 50) < 30] = 200, 180, 230
    cell[np.hypot(y - 50, x - 50) < 20] = 90, 45, 140
    before = cell.copy()
    measured = dict(zip(FEATURES, cell_features(cell, 0.2), strict=True))
    np.testing.assert_array_equal(cell, before)
    assert np.exp(measured["nucleus area (um2, log)"]) == pytest.approx(np.pi * 4**2, rel=0.12)
    assert measured["nucleus eccentricity"] < 0.2
    assert measured["nucleus solidity"] > 0.95
    assert measured["nucleus lobes"] == 1
    nucleus, plasm = np.log10(240 / np.array([90, 45, 140])), np.log10(240 / np.array([200, 180, 230]))
    assert measured["nucleus red of all density"] == pytest.approx(nucleus[0] / nucleus.sum(), abs=0.03)
    assert measured["plasm blue of all density"] == pytest.approx(plasm[2] / plasm.sum(), abs=0.03)
    assert measured["plasm density of the nucleus's"] == pytest.approx(plasm.sum() / nucleus.sum(), abs=0.08)
    assert measured["share of plasm near the nucleus"] > 0.8
    assert measured["share of plasm farther out"] < 0.1
    assert cell_features(np.full((60, 60, 3), 230, np.uint8), 0.2) is None


def test_the_shipped_classifier_tells_simulated_cells(cells):
    classifier = simulated_cells_classifier(pixel_um=0.2)
    assert set(classifier.classes) == set(WHITE_CELLS)
    right = sum(classifier(image) == kind for image, kind in cells)
    assert len(cells) >= 6
    assert right >= 0.8 * len(cells)
    assert classifier(np.full((60, 60, 3), 230, np.uint8)) is None
    assert "simulated" in classifier.about


def test_blurred_cells_agree_less_than_the_same_cells(cells):
    classifier = simulated_cells_classifier(pixel_um=0.2)
    images = [image for image, _ in cells]
    assert agreement(classifier, images, images, classifier.classes).rate.share == 1
    lenses = [replace(lens, na=0.55) for lens in smear_objectives()]
    blurred = [defocus(image, 0.2, lenses, 8.0) for image in images]
    assert agreement(classifier, blurred, images, classifier.classes).rate.share < 1


def test_training_saving_and_loading(tmp_path, cells):
    labels = [label for _, label in cells]
    kinds = [kind for kind in dict.fromkeys(labels) if labels.count(kind) >= 2]
    chosen = [(image, label) for image, label in cells if label in kinds]
    classifier = CellClassifier.fit(*zip(*chosen, strict=True), 0.2, about="a test")
    assert classifier.classes == tuple(sorted(kinds))
    assert np.mean([classifier(image) == label for image, label in chosen]) >= 0.8
    path = classifier.save(tmp_path / "cells.json")
    again = CellClassifier.load(path)
    assert again.about == "a test"
    assert [again(image) for image, _ in chosen] == [classifier(image) for image, _ in chosen]
    np.testing.assert_allclose(again.weights, classifier.weights, rtol=1e-5)
    assert path.stat().st_size < 20_000


def test_a_linear_discriminant_of_known_groups():
    """Two groups of one covariance: the boundary is midway between their means in the metric of that covariance."""
    from napari_cellrestore.evaluate.cell_classes import _discriminant

    rng = np.random.default_rng(0)
    root = np.array([[2.0, 0.0], [1.5, 0.5]])
    groups = [rng.normal(size=(4000, 2)) @ root.T + centre for centre in ([0, 0], [3, 1])]
    mean, std, weights, offsets = _discriminant(groups)
    normal = (weights[1] - weights[0]) / std
    ideal = np.linalg.solve(root @ root.T, [3, 1])
    assert abs(normal @ ideal) / np.linalg.norm(normal) / np.linalg.norm(ideal) > 0.97
    middle = (np.array([1.5, 0.5]) - mean) / std
    assert (weights @ middle + offsets)[1] - (weights @ middle + offsets)[0] == pytest.approx(0, abs=0.3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "this is no classifier of cells"),
        ("[1", "this is no classifier of cells"),
        (
            '{"classes": ["a", "b"], "pixel_um": 1, "mean": [0], "std": [1], "weights": [[1], [2]], "offsets": [0, 0], '
            '"about": ""}',
            "not of 13 features",
        ),
    ],
)
def test_wrong_files_are_refused(tmp_path, text, message):
    path = tmp_path / "wrong.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        CellClassifier.load(path)


def test_wrong_training_is_refused(cells):
    image = cells[0][0]
    with pytest.raises(ValueError, match="1 images, 2 labels, 1 pixel sizes"):
        CellClassifier.fit([image], ["a", "b"], 0.2)
    with pytest.raises(ValueError, match="a 1, b 1; give two classes or more"):
        CellClassifier.fit([image, image], ["a", "b"], 0.2)
